package httpadapter_test

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/httpadapter"
)

// TestInert: whatever a spreadsheet takes for the separator, no cell begins like a formula.
func TestInert(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain": "plain", "a-b": "a-b", "a=b; c": "a=b; c", "x@y": "x@y", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", " =1": " '=1",
		"\t=1": "'\t'=1", "\r=1": "'\r'=1", "\n=1": "\n'=1", "a;=cmd": "a;'=cmd", "a; =cmd": "a; '=cmd", "a\t-1": "a\t'-1", "＝1": "'＝1", "a|=b": "a|'=b",
		`{"k":"x;=1","n":-2}`: `{"k":"x;'=1","n":-2}`,
	} {
		require.Equal(t, want, httpadapter.Inert(text), "%q", text)
	}
}

// TestCSVKeepsTexts: every sign of a text is in its cell.
func TestCSVKeepsTexts(t *testing.T) {
	s := newServer(t)
	texts := []string{`a\rb`, `ab`, `a\nb`, `a\r\nb`, `a,b`, `a\"b`, ` a `, `a;b`}
	for _, text := range texts {
		s.track(event("metadata", `{"k":"`+text+`"}`)).fields(http.StatusCreated)
	}
	body := s.get("/v1/reports/time-saved?group_by=metadata.k&format=csv").body
	require.Equal(t, len(texts)+1, strings.Count(body, "EUR")+1)
	require.Contains(t, body, "\"a\rb\",EUR")
	require.Contains(t, body, "\"a\nb\",EUR")
	require.Contains(t, body, "\"a\r\nb\",EUR")
	records, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, len(texts)+1)
}
