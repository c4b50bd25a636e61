package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// call makes a request with a key, or another secret, and returns the status and the answer.
func (s *running) call(t *testing.T, method, path, key, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// TestOverrideOfANewcomer does what the README says after the first event, and finds it after a restart.
func TestOverrideOfANewcomer(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	s := startAt(t, "-db", db)
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	status, answer := s.call(t, http.MethodPost, "/v1/task-types/email_classification/override", key, `{"baseline_minutes_override":6.25,"reason":"timed in our own team"}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, `"default_baseline_minutes":4`)
	check := func() {
		t.Helper()
		_, answer := s.call(t, http.MethodPost, "/v1/track", key, example)
		require.Contains(t, answer, `"resolved_baseline_minutes":6.25,"resolved_baseline_source":"override"`)
		_, answer = s.call(t, http.MethodGet, "/v1/history", key, "")
		require.Contains(t, answer, `"subject":"overrides.email_classification","old":null,"new":"6.25","reason":"timed in our own team"`)
		_, answer = s.call(t, http.MethodGet, "/v1/agents", key, "")
		require.Contains(t, answer, `"agent_id":"support-classifier"`)
		status, answer = s.call(t, http.MethodGet, "/v1/openapi.yaml", "", "")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, answer, "openapi: 3.1")
	}
	check()
	status, _ = s.call(t, http.MethodGet, "/admin/keys", key, "")
	require.Equal(t, http.StatusNotFound, status, "keys are not managed over HTTP unless that is asked for")
	_, answer = s.call(t, http.MethodGet, "/v1/history", key, "")
	require.Contains(t, answer, `"key_id":null,"subject":"plan","old":null,"new":"pro","reason":"first start"`)
	status, answer = s.call(t, http.MethodGet, "/v1//org", key, "")
	require.Equal(t, http.StatusNotFound, status, "an unclean path is not redirected")
	require.Contains(t, answer, "not_found")
	require.NoError(t, s.stop())
	s = startAt(t, "-db", db)
	check()
}

func TestRotateCommand(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	keys := func(args ...string) string {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), append(append([]string{"keys", args[0]}, "-db", db), args[1:]...), &out, io.Discard))
		return strings.TrimSpace(out.String())
	}
	old := keys("create", "-org", "acme", "-scopes", "track:write,org:write")
	require.Regexp(t, `(?m)^`+old[8:16]+` .* track:write org:write .* never +valid$`, keys("list"))
	s := startAt(t, "-db", db)
	status, _ := s.call(t, http.MethodPost, "/v1/track", old, example)
	require.Equal(t, http.StatusCreated, status)
	status, _ = s.call(t, http.MethodGet, "/v1/history", old, "")
	require.Equal(t, http.StatusForbidden, status)

	fresh := keys("rotate", old[8:16])
	for _, key := range []string{old, fresh} {
		status, _ := s.call(t, http.MethodPost, "/v1/track", key, example)
		require.Equal(t, http.StatusCreated, status, "nothing stands still")
	}
	require.NoError(t, s.stop())
	require.Contains(t, keys("revoke", old[8:16]), "is revoked")
	require.NotContains(t, keys("list"), "never", "both were used, and that is written before the server ends")
	for _, args := range [][]string{{"keys", "rotate", "-db", db, old[8:16]}, {"keys", "rotate", "-db", db}, {"keys", "rotate", "-db", db, "nothing1"}} {
		require.Error(t, run(t.Context(), args, io.Discard, io.Discard))
	}
	var usage bytes.Buffer
	require.ErrorIs(t, run(t.Context(), []string{"keys", "create", "-org", "a", "-scopes", "all", "-db", db}, io.Discard, &usage), errUsage)
	require.Contains(t, usage.String(), `unknown scope "all"`)
}

func TestAdminOverHTTP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	token := strings.Repeat("s3cret-", 6)
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	s := start(t, "-admin-token-file", file)
	require.Contains(t, s.stdout, "/admin/keys")
	status, answer := s.call(t, http.MethodPost, "/admin/keys", token, `{"org":"acme","scopes":["track:write"]}`)
	require.Equal(t, http.StatusCreated, status, answer)
	var made struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &made))
	status, _ = s.call(t, http.MethodPost, "/v1/track", made.Secret, example)
	require.Equal(t, http.StatusCreated, status)
	for _, wrong := range []string{"", made.Secret, token[1:]} {
		status, answer = s.call(t, http.MethodGet, "/admin/keys", wrong, "")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, answer, "-admin-token-file")
	}
	status, _ = s.call(t, http.MethodDelete, "/admin/keys/"+made.ID, token, "")
	require.Equal(t, http.StatusOK, status)
	status, _ = s.call(t, http.MethodPost, "/v1/track", made.Secret, example)
	require.Equal(t, http.StatusUnauthorized, status)
	require.NoError(t, s.stop())
	require.NotContains(t, s.stderr.String(), token)
	require.NotContains(t, s.stderr.String(), made.Secret)

	require.NoError(t, os.WriteFile(file, []byte("short"), 0o600))
	for name, want := range map[string]string{file: "at least 32 characters", file + "-missing": "cannot read the file of -admin-token-file"} {
		require.ErrorContains(t, run(t.Context(), []string{"-db", inMemory, "-addr", "127.0.0.1:0", "-admin-token-file", name}, io.Discard, io.Discard), want)
	}
}

// TestOrgsFileIsInTheHistory under the names that the API has for the same settings.
func TestOrgsFileIsInTheHistory(t *testing.T) {
	s := start(t, "-orgs", writeOrgs(t, `{"orgs":[{"id":"acme","plan":"pro","currency":"USD","hourly_rate":60.5,"keys":["`+key1+`"]}]}`))
	_, answer := s.call(t, http.MethodGet, "/v1/history", key1, "")
	for _, line := range []string{
		`"subject":"default_hourly_rate","old":null,"new":"60.5","reason":"orgs file"`, `"subject":"currency","old":"EUR","new":"USD"`,
		`"subject":"plan","old":null,"new":"pro"`,
	} {
		require.Contains(t, answer, line)
	}
}
