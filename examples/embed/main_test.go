package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHelpDesk: the service's own route records events in process, and the mounted API serves the same org.
func TestHelpDesk(t *testing.T) {
	desk, secret, err := newHelpDesk(t.Context())
	require.NoError(t, err)
	server := httptest.NewServer(desk.routes())
	defer server.Close()

	// 1 minute - 1.8 s = 0.016 h x 45 = 0.72; less 1,240 x 0.000001 + 35 x 0.000005 USD x 0.88022588.
	const want = `{"currency":"EUR","net_saved":0.71875448,"queue":"billing","ticket":"4711"}`
	for range 2 {
		response := do(t, server, http.MethodPost, "/tickets/4711/classify", "")
		require.Equal(t, http.StatusOK, response.Code)
		require.JSONEq(t, want, response.Body.String())
	}

	response := do(t, server, http.MethodGet, "/v1/task-types?category=support", secret.Reveal())
	require.Equal(t, http.StatusOK, response.Code)
	require.Contains(t, response.Body.String(), `"ticket_triage"`)
	require.Equal(t, http.StatusUnauthorized, do(t, server, http.MethodGet, "/v1/task-types", "").Code)
}

func TestSavingsTable(t *testing.T) {
	desk, _, err := newHelpDesk(t.Context())
	require.NoError(t, err)
	server := httptest.NewServer(desk.routes())
	defer server.Close()
	for _, id := range []string{"1", "2", "3"} {
		do(t, server, http.MethodPost, "/tickets/"+id+"/classify", "")
	}
	table := regexp.MustCompile(`\d{4}-\d{2}`).ReplaceAllString(do(t, server, http.MethodGet, "/savings", "").Body.String(), "2026-11")
	require.Equal(t, strings.Join([]string{
		"    month      task type  tasks  hours  saved  run cost   net  currency",
		"  2026-11  ticket_triage      3    0.0   2.16      0.00  2.16       EUR",
		"      all                     3    0.0   2.16      0.00  2.16       EUR", "",
	}, "\n"), table)
}

func do(t *testing.T, server *httptest.Server, method, path, key string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(""))
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	recorder := httptest.NewRecorder()
	server.Config.Handler.ServeHTTP(recorder, request)
	return recorder
}
