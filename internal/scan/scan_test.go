package scan_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/internal/scan"
)

var values = []string{
	`{}`, `[]`, `{"a":1}`, `{"a":[1,-2.50,{"b":null}],"c":"x\"\\\u00fc","d":true}`, ` { "a" : [ 1 , 2 ] , "b" : "ü" } `, `1e5`, `-0`, `"x"`, `null`, `[[[[1]]]]`, "[1,\n2]",
	``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,1]`, `{,"a":1}`, `01`, `1.`, `.5`, `-`, `nul`, `truer`, `"\x"`, "\"\x01\"", `{"a":1}}`, `[1}`, `{"a":1]`, `{1:2}`, `"a`, `"a\"`,
	strings.Repeat("[", 40) + strings.Repeat("]", 40), `{"a":1 "b":2}`, `[1 2]`,
}

// FuzzValue: what is taken for a value is one for encoding/json, and reading on begins where it ends.
func FuzzValue(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v), true)
		f.Add([]byte(v), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, spaces bool) {
		if !utf8.Valid(data) {
			return
		}
		s := scan.Scanner{Data: data, Spaces: spaces}
		value := s.Value()
		if s.Bad {
			return
		}
		require.True(t, json.Valid(value), "%q of %q", value, data)
		if !spaces {
			var compact bytes.Buffer
			require.NoError(t, json.Compact(&compact, value))
			require.Equal(t, string(value), compact.String())
		}
		if s.Done() {
			require.True(t, json.Valid(data))
			raw := scan.Scanner{Data: data, Spaces: spaces}
			require.Equal(t, string(value), string(raw.Raw()))
			require.True(t, raw.Done())
		}
	})
}

// TestValue: most of what is valid is taken.
func TestValue(t *testing.T) {
	for _, v := range values {
		s := scan.Scanner{Data: []byte(v), Spaces: true}
		s.Value()
		assert.Equal(t, json.Valid([]byte(v)) && strings.Count(v, "[") < 40, s.Done(), "%q", v)
	}
}

// FuzzDigits: a number that is read has the value that it has.
func FuzzDigits(f *testing.F) {
	for _, v := range []string{"0", "-0", "1.50", "123456789012345678", "1234567890123456789", "01", "1.", ".1", "-", "1e5", "1,", "12}", "1 ", "0.000000000000000001"} {
		f.Add([]byte(v), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, spaces bool) {
		s := scan.Scanner{Data: data, Spaces: spaces}
		units, places, ok := s.Digits()
		if !ok {
			return
		}
		text := bytes.TrimSpace(data[:s.At])
		require.True(t, json.Valid(text), "%q", text)
		got := new(big.Rat).SetFrac(big.NewInt(units), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(places)), nil))
		want, fine := new(big.Rat).SetString(string(text))
		require.True(t, fine)
		require.Zero(t, want.Cmp(got), "%q is %v", text, got)
	})
}

func TestScanner(t *testing.T) {
	s := scan.Scanner{Data: []byte(` { "a" : "x\n" , "b":null,"c" : [ ] } `), Spaces: true}
	s.Next('{')
	name, ok := s.Member(true)
	require.True(t, ok)
	assert.Equal(t, "a", string(name))
	assert.False(t, s.Null())
	assert.Equal(t, "x\n", s.Text())
	name, _ = s.Member(false)
	assert.Equal(t, "b", string(name))
	assert.True(t, s.Null())
	_, _ = s.Member(false)
	s.Next('[')
	assert.False(t, s.Item(true))
	_, ok = s.Member(false)
	assert.False(t, ok)
	assert.True(t, s.Done())
	for _, bad := range []string{`"a`, `"a\"`, "\"\x01\"", `"\x"`, `1`, ``} {
		s := scan.Scanner{Data: []byte(bad)}
		s.Text()
		assert.True(t, s.Bad, "%q", bad)
		assert.False(t, s.Done())
	}
	tight := scan.Scanner{Data: []byte(`{ }`)}
	tight.Next('{')
	tight.Next('}')
	assert.True(t, tight.Bad, "white space where there must be none")
}
