package httpadapter_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
)

// admin is a server's admin handler, which lets in who says the word.
func (s *server) admin() *server {
	s.t.Helper()
	admin, err := httpadapter.NewAdmin(httpadapter.AdminConfig{Keys: s.keys, Logger: slog.New(slog.NewJSONHandler(s.log, nil)), Authorize: func(r *http.Request) error {
		switch r.Header.Get("Authorization") {
		case "Bearer word":
			return nil
		case "Bearer broken":
			return errors.New("the directory is away")
		}
		return &humanhours.Error{Code: humanhours.CodeInvalidAPIKey, Message: "who are you?"}
	}})
	require.NoError(s.t, err)
	other := *s
	other.Handler, other.key = admin, "word"
	return &other
}

func TestAdminManagesKeys(t *testing.T) {
	s := newServer(t)
	admin := s.admin()
	made := admin.do(http.MethodPost, "/admin/keys", `{"org":"acme","test":true,"scopes":["track:write"]}`)
	f := made.fields(http.StatusCreated)
	require.Equal(t, "no-store", made.header.Get("Cache-Control"))
	require.Equal(t, `["track:write"]`, f.text("scopes"))
	require.Equal(t, "true", f.text("test"))
	secret := strings.Trim(f.text("secret"), `"`)
	require.True(t, strings.HasPrefix(secret, "hh_test_"))
	s.track(event(), as(secret)).fields(http.StatusCreated)
	require.NoError(t, s.keys.Flush(t.Context()))

	id := strings.Trim(f.text("id"), `"`)
	second := admin.do(http.MethodPost, "/admin/keys/"+id+"/rotate", "").fields(http.StatusCreated)
	require.Equal(t, `["track:write"]`, second.text("scopes"))
	s.track(event(), as(strings.Trim(second.text("secret"), `"`))).fields(http.StatusCreated)
	s.track(event(), as(secret)).fields(http.StatusCreated)

	s.clock.Advance(time.Second)
	gone := admin.do(http.MethodDelete, "/admin/keys/"+id, "").fields(http.StatusOK)
	require.Equal(t, `"2026-05-06T10:45:01.000Z"`, gone.text("revoked_at"))
	require.Equal(t, `"2026-05-06T10:45:00.000Z"`, gone.text("last_used_at"))
	s.track(event(), as(secret)).refused(http.StatusUnauthorized, humanhours.CodeKeyRevoked, "")
	admin.do(http.MethodPost, "/admin/keys/"+id+"/rotate", "").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "id")

	all := admin.do(http.MethodPost, "/admin/keys", `{"org":"globex","test":null,"scopes":null}`).fields(http.StatusCreated)
	require.Equal(t, `["track:write","reports:read","org:write"]`, all.text("scopes"))
	list := admin.do(http.MethodGet, "/admin/keys?org=globex", "")
	require.Equal(t, 1, strings.Count(list.body, `"id"`))
	require.NotContains(t, list.body, "secret")
	everything := admin.do(http.MethodGet, "/admin/keys", "").body
	require.Equal(t, 4, strings.Count(everything, `"id"`))
	require.NotContains(t, everything, secret[18:])
	require.NotContains(t, s.log.String(), secret[18:])
	require.Contains(t, s.log.String(), "an API key was revoked")
}

func TestAdminRefuses(t *testing.T) {
	s := newServer(t)
	admin := s.admin()
	for body, field := range map[string]string{
		`{}`: "org", `{"org":1}`: "org", `{"org":""}`: "org", `{"org":"` + strings.Repeat("x", 256) + `"}`: "org", `{"org":"a","test":1}`: "test",
		`{"org":"a","scopes":[]}`: "scopes", `{"org":"a","scopes":["all"]}`: "scopes", `{"org":"a","scopes":"track:write"}`: "scopes", `[]`: "", ``: "",
		`{"org":"  "}`: "org", `{"org":"a","scope":["track:write"]}`: "", `{"org":"a","tset":true}`: "",
	} {
		admin.do(http.MethodPost, "/admin/keys", body).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, field)
	}
	admin.do(http.MethodDelete, "/admin/keys/nothing1", "").refused(http.StatusNotFound, humanhours.CodeNotFound, "id")
	admin.do(http.MethodPost, "/admin/keys/nothing1/rotate", "").refused(http.StatusNotFound, humanhours.CodeNotFound, "id")
	admin.do(http.MethodGet, "/admin/keys?%zz", "").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")
	admin.do(http.MethodGet, "/admin", "").refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	require.Equal(t, "GET, HEAD, POST", admin.do(http.MethodPut, "/admin/keys", "").header.Get("Allow"))
	for _, e := range [][2]string{{"GET", "/admin/keys"}, {"POST", "/admin/keys"}, {"DELETE", "/admin/keys/x"}, {"POST", "/admin/keys/x/rotate"}} {
		admin.do(e[0], e[1], "", as(s.key)).refused(http.StatusUnauthorized, humanhours.CodeInvalidAPIKey, "")
		require.NotContains(t, admin.do(e[0], e[1], "", as("broken")).refused(http.StatusInternalServerError, humanhours.CodeInternal, "").Message, "directory")
		s.do(e[0], e[1], "").refused(http.StatusNotFound, humanhours.CodeNotFound, "") // the API itself has none of it
	}
	_, err := httpadapter.NewAdmin(httpadapter.AdminConfig{Keys: s.keys})
	require.Error(t, err)
	_, err = httpadapter.NewAdmin(httpadapter.AdminConfig{Authorize: func(*http.Request) error { return nil }})
	require.Error(t, err)
	open, err := httpadapter.NewAdmin(httpadapter.AdminConfig{Keys: s.keys, Authorize: func(*http.Request) error { return nil }})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	open.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/admin/keys", nil))
	require.Equal(t, http.StatusOK, w.Code)
}
