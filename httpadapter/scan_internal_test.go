package httpadapter

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/scan"
)

const usual = `{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success","agent_duration_seconds":4.25,"agent_cost":null,
	"human_baseline_minutes" : 4, "model":"anthropic/claude-haiku-4.5","metadata":{"client":"acme","n":[1, 2e5]},"occurred_at":"2026-05-14T09:29:00.000Z",
	"llm_calls":[{"model":"a/b","tokens_in":1240,"tokens_out":35},{"tokens_in":1,"images":null}],"audit_sample":{"input_excerpt":"Zo\u00eb","output_excerpt":null},"idempotency_key":"k"}`

var requests = []string{
	usual, `{}`, ` { } `, `null`, `[]`, ``, `{"agent_id":null}`, `{"agent_id":1}`, `{"Agent_ID":"a"}`, `{"agent_id":"a","agent_id":"b"}`, `{"other":1}`, `{"agent_id":"a"}x`, `{"agent_id":"a",}`,
	`{"tokens_in":1.5}`, `{"tokens_in":1e3}`, `{"tokens_in":"1"}`, `{"tokens_in":-0}`, `{"tokens_in":1234567890123456789}`, `{"agent_cost":0.10}`, `{"agent_cost":1e-400}`, `{"metadata":{"a":}}`,
	`{"metadata":[1]}`, `{"metadata":null}`, `{"metadata": {"a" : 1 } }`, `{"occurred_at":"0001-01-01T00:00:00.000Z"}`, `{"occurred_at":"2026-05-14T09:29:00+02:00"}`, `{"occurred_at":""}`,
	`{"occurred_at":"2026-05-14\u005409:29:00Z"}`, `{"idempotency_key":""}`, `{"llm_calls":[]}`, `{"llm_calls":[null]}`, `{"llm_calls":[{"model":"a","model":"b"}]}`, `{"llm_calls":[{"agent_id":"a"}]}`,
	`{"llm_calls":[{}]}`, `{"llm_calls":{}}`, `{"llm_calls":[` + strings.Repeat(`{},`, humanhours.MaxLLMCalls) + `{}]}`, `{"audit_sample":{"input_excerpt":"a","input_excerpt":"b"}}`,
	`{"audit_sample":{"x":1}}`, `{"audit_sample":[]}`, `{"audit_sample":{"output_excerpt":"a","input_excerpt":"b"}}`, `{"outcome":"\ud800"}`, "{\"model\":\"\xff\"}",
}

// show is a request as text, in which null is no metadata, as it is for a Tracker.
func show(r humanhours.TrackRequest) string {
	if string(r.Metadata) == "null" {
		r.Metadata = nil
	}
	return fmt.Sprintf("%+v", r)
}

// FuzzScanTrack: a request that is read in the fast way is what the other way makes of it.
func FuzzScanTrack(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{scan.Scanner{Data: data, Spaces: true}}
		var got humanhours.TrackRequest
		if !utf8.Valid(data) || !s.track(&got) || !s.Done() {
			return
		}
		want, err := decodeAny(data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, show(want), show(got), "%s", data)
	})
}

// FuzzScanBatch: likewise a batch, with what is wrong in it.
func FuzzScanBatch(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(`{"events":[` + r + `]}`))
		f.Add([]byte(` { "events" : [ {"agent_id":"a"} , ` + r + ` , {"model":"b"} ] } `))
	}
	f.Add([]byte(`{"events":[` + strings.Repeat("{},", humanhours.MaxBatch) + `{}]}`))
	f.Add([]byte(`{"events":[{}],"events":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := scanBatch(data)
		if !ok {
			return
		}
		want, err := decodeAnyBatch(data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, len(want), len(got))
		for i := range want {
			require.Equal(t, show(want[i].request), show(got[i].request), "%s", data)
			require.Equal(t, fmt.Sprint(want[i].err), fmt.Sprint(got[i].err), "%s", data)
		}
	})
}

// TestUsualRequestsAreScanned: what the documentation shows is read in the fast way.
func TestUsualRequestsAreScanned(t *testing.T) {
	scanned := func(data string) bool {
		s := scanner{scan.Scanner{Data: []byte(data), Spaces: true}}
		var r humanhours.TrackRequest
		return s.track(&r) && s.Done()
	}
	assert.True(t, scanned(usual))
	docs, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(docs), "/v1/track")
	_, example, _ = strings.Cut(example, "'{")
	example, _, found := strings.Cut(example, "}'")
	require.True(t, found)
	assert.True(t, scanned("{"+example+"}"), example)
	items, ok := scanBatch([]byte(`{"events":[` + usual + `,{"tokens_in":"1"}]}`))
	require.True(t, ok)
	require.NoError(t, items[0].err)
	require.Error(t, items[1].err)
}
