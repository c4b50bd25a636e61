package humanhours

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMostMetadataIsOrderly(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"client":"acme","run":"a81c"}`, `{"a":-0.50,"b":[],"c":[1,{"d":null},"ü",true],"e":{"f":false}}`, `{"":""}`, `{"a":{"b":{"c":{"d":{"e":{"f":{"g":{}}}}}}}}`,
	} {
		assert.True(t, orderly([]byte(text)), text)
	}
	for _, text := range []string{
		``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":-}`, `{"a":nul}`, `{"a":truer}`, `{"a":"\u0001"}`, "{\"a\":\"\x01\"}",
		`{"a":1}}`, `{"a":1} `, `{ "a":1}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a":{"c":1,"b":2}}`, `{"a":"<"}`, `{"a":"&"}`, "{\"a\":\"\u2028\"}", `{"a":"\n"}`, `{"\n":1}`, `{"<":1}`,
		`{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{}}}}}}}}}`, `{"a":[1}}`, `{"a":{"b":1]}`, `{"a":1e5}`,
	} {
		assert.False(t, orderly([]byte(text)), text)
	}
}

// FuzzOrderly: what is orderly is what the long way makes of it.
func FuzzOrderly(f *testing.F) {
	for _, seed := range []string{`{"client":"acme","run":"a81c"}`, `{"a":-0.50,"b":[],"c":[1,{"d":null},"ü",true]}`, `{"a":1,"a":2}`, `[[[1],"x"],{}]`, `{"a":"\\","b":"\""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !utf8.Valid(raw) || !orderly(raw) {
			return
		}
		require.True(t, json.Valid(raw), "%q", raw)
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, raw))
		require.Equal(t, string(raw), compact.String())
		require.Equal(t, string(raw), string(canonicalJSON(raw)))
		require.LessOrEqual(t, depth(raw), MaxMetadataDepth)
	})
}
