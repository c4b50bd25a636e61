package humanhours_test

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func FuzzParseKey(f *testing.F) {
	good := "hh_live_ABCDEFGH_" + strings.Repeat("aZ09", 12)
	f.Add(good)
	f.Add(strings.Replace(good, "live", "test", 1))
	for _, bad := range malformedKeys(good) {
		f.Add(bad)
	}
	shape := regexp.MustCompile(`\Ahh_(live|test)_([A-Za-z0-9]{8})_[A-Za-z0-9]{48}\z`)
	f.Fuzz(func(t *testing.T, text string) {
		id, test, err := humanhours.ParseKey(text)
		m := shape.FindStringSubmatch(text)
		if m == nil {
			requireError(t, err, humanhours.CodeInvalidAPIKey, "")
			require.Empty(t, id)
			return
		}
		require.NoError(t, err)
		require.Equal(t, m[2], id)
		require.Equal(t, m[1] == "test", test)
		require.NotContains(t, humanhours.NewSecret(text).String(), text[17:])
	})
}

func FuzzDecodeStored(f *testing.F) {
	for _, seed := range []string{
		storedHead + minimalJSON, storedHeadFull + fullJSON, "{" + fullJSON, `{}`, `null`, `[]`, `{"v":2}`, `{"metadata":null}`, `{"metadata": { "a" : 1 }}`,
		`{"credited":null,"tokens_in":null,"agent_cost":"1e3"}`, `{"hours_saved":1e999999999}`, `{"hours_saved":1e-9999}`, `{"occurred_at":"2026-05-14T23:00:00+05:30"}`,
		`{"priced_as":"m","price_input_per_token":-1}`, `{"fx_rate":0,"currency":"EUR"}`, `{"agent_id":"\ud800\u0000"}`, `{"audit_sample":{"output_excerpt":"x"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := humanhours.DecodeStored("acme", data)
		if err != nil {
			require.Zero(t, e)
			return
		}
		if y, r := e.OccurredAt.Year(), e.ReceivedAt.Year(); y < 0 || y > 9999 || r < 0 || r > 9999 {
			return // the zone of an instant at the very end: no Tracker writes it
		}
		first := e.AppendStored(nil)
		again, err := humanhours.DecodeStored("acme", first)
		require.NoError(t, err, "%s", first)
		require.Equal(t, string(first), string(again.AppendStored(nil)))
		require.True(t, json.Valid(e.AppendJSON(nil)))
	})
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		"", "null", " null ", "{}", " {\n} ", `{"a":1}`, `{"a":[{"b":"\"[{"}],"a":1e400}`, `{"\u0000":"\ud800"}`, "{\"a\":\"\u2028<>&\"}", "\u00a0{}", "{}\v", "\ufeff{}", `{}{}`,
		`[]`, `{"a":`, metadataOfDepth(8, "[", "]"), metadataOfDepth(9, "[", "]"), metadataOfSize(humanhours.MaxMetadataSize), metadataOfSize(humanhours.MaxMetadataSize + 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		got, err := humanhours.CheckMetadata(raw)
		require.Equal(t, given, raw, "the caller's bytes are only read")
		if err != nil {
			requireError(t, err, humanhours.CodeValidation, "metadata")
			return
		}
		if got == nil {
			require.Contains(t, []string{"", "null"}, strings.Trim(string(raw), " \t\r\n"))
			return
		}
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, raw), "what is accepted is JSON")
		require.Equal(t, compact.String(), string(got), "compact, and otherwise as it came")
		require.LessOrEqual(t, len(got), humanhours.MaxMetadataSize)
		require.LessOrEqual(t, depthOf(t, got), humanhours.MaxMetadataDepth)
		require.Equal(t, byte('{'), got[0])
		again, err := humanhours.CheckMetadata(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	})
}

// depthOf measures by parsing how deep JSON is nested.
func depthOf(t *testing.T, raw []byte) int {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // numbers may be of any size
	for depth, deepest := 0, 0; ; {
		token, err := dec.Token()
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}
