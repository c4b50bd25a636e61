package humanhours

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slowly is UnmarshalJSON by encoding/json alone.
func slowly(data []byte) (w eventJSON, err error) {
	err = json.Unmarshal(data, &w)
	return w, err
}

// same compares by value: decimals may have come by another way.
func same(t *testing.T, fast, slow *eventJSON) {
	t.Helper()
	a, err := json.Marshal(fast)
	require.NoError(t, err)
	b, err := json.Marshal(slow)
	require.NoError(t, err)
	assert.Equal(t, string(b), string(a))
	assert.True(t, reflect.DeepEqual(slow.Metadata, fast.Metadata) && slow.ReceivedAt.Equal(fast.ReceivedAt) && slow.OccurredAt.Equal(fast.OccurredAt))
}

// stored are events as they have been stored, one a line.
func stored(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile("store/sqlite/testdata/version1.jsonl")
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// FuzzScanStored: what is read without reflection is what encoding/json reads.
func FuzzScanStored(f *testing.F) {
	for _, line := range stored(f) {
		f.Add([]byte(line))
	}
	for _, text := range []string{
		`{}`, `{"v":1}`, `{"v":1,"v":2}`, `{"v":1.0}`, `{"v":01}`, `{"v":-0}`, `{"v":1,}`, `{"V":1}`, `{"v":null}`, `{"v":"1"}`, ` {"v":1}`, `{"v":1}x`, `{"v":99999999999}`,
		`{"agent_id":"a\"b\\u00e9\ud83d\ude00"}`, `{"agent_id":"\ud83d"}`, "{\"agent_id\":\"\xff\"}", "{\"agent_id\":\"\n\"}", `{"agent_id":null}`, `{"agent_id":1}`, `{"agent_id":"a}`,
		`{"cost_saved":1e3}`, `{"cost_saved":"1.5"}`, `{"cost_saved":-0.000000001}`, `{"cost_saved":123456789012345678901234567890.5}`, `{"cost_saved":1.}`, `{"cost_saved":.5}`,
		`{"cost_saved":00.5}`, `{"cost_saved":--1}`, `{"cost_saved":-}`, `{"cost_saved":1.2.3}`, `{"cost_saved":null}`, `{"cost_saved":{}}`, `{"agent_cost":null}`, `{"agent_cost":0}`,
		`{"occurred_at":"2026-02-29T00:00:00.000Z"}`, `{"occurred_at":"2024-02-29T23:59:59.999Z"}`, `{"occurred_at":"2024-02-29T23:59:59.999+01:00"}`, `{"occurred_at":"0000-01-01T00:00:00.000Z"}`,
		`{"occurred_at":"2024-13-01T00:00:00.000Z"}`, `{"occurred_at":"2024-01-01T24:00:00.000Z"}`,
		`{"metadata":{"a":[1,{"b":"}"}],"c":"\""}}`, `{"metadata":{"a":1}`, `{"metadata":{]}`, `{"metadata":[1]}`, `{"metadata":null}`, `{"metadata":{"a":}}`, `{"metadata":{"a":1,"a":2}}`,
		`{"llm_calls":[{"model":"m","tokens_in":1}]}`, `{"llm_calls":null}`, `{"amendments":[{"kind":"void"}]}`, `{"audit_sample":{"input_excerpt":"x"}}`, `{"test":true}`, `{"test":1}`, `{"unknown":1}`,
		`{"tokens_in":5,"price_date":"2026-05-01","fx_rate":0.9231}`, `{"credited":false}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fast eventJSON
		if !fast.scan(data, false) {
			return // encoding/json reads it, or not
		}
		slow, err := slowly(data)
		require.NoError(t, err, "%s", data)
		same(t, &fast, &slow)
		var sparse eventJSON
		require.True(t, sparse.scan(data, true))
		slow.KeyID, slow.Baseline, slow.Rate, slow.RateFrom, slow.AgentDuration = "", decimal.Decimal{}, decimal.Decimal{}, "", decimal.NullDecimal{}
		slow.Unpriced, slow.Precision, slow.usageJSON, slow.priceJSON, slow.LLMCalls, slow.AuditSample = "", "", usageJSON{}, priceJSON{}, nil, AuditSample{}
		same(t, &sparse, &slow)
	})
}

// FuzzMember: a member of metadata is the one that encoding/json finds.
func FuzzMember(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1}`, `{"a":1,"a":"x"}`, `{"\u0061":true,"b":{"a":2}}`, `{"b":[1,2],"a":"é\n"}`, `{"a":"` + "\xff" + `"}`, `{"a":1} `, `{"a" :1}`, `{"a":-1.50e2}`, `[]`, `{"a":{}}`, `{"a"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) || len(data) == 0 || data[0] != '{' {
			return // no event has it
		}
		var all map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &all))
		e := Event{Metadata: data}
		got, err := e.member("a")
		require.NoError(t, err)
		want := ReportValue{}
		if raw := all["a"]; len(raw) > 0 {
			var s string
			if raw[0] == '"' {
				require.NoError(t, json.Unmarshal(raw, &s))
				want = ReportValue{Text: s, Kind: TextValue}
			} else {
				want = metadataValue(raw)
			}
		}
		assert.Equal(t, want, got)
	})
}

// Events as they are stored are read without reflection: otherwise a report takes ten times as long, and nobody notices but by the clock.
func TestStoredEventsAreScanned(t *testing.T) {
	for _, line := range stored(t) {
		var w eventJSON
		assert.True(t, w.scan([]byte(line), false), "%s", line)
	}
}

func BenchmarkDecodeStored(b *testing.B) {
	line := []byte(stored(b)[0])
	for name, decode := range map[string]func() error{
		"stored":        func() error { _, err := DecodeStored("acme", line); return err },
		"sparse":        func() error { _, err := DecodeSparse("acme", line); return err },
		"encoding/json": func() error { _, err := slowly(line); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(line)), "json-bytes")
		})
	}
}
