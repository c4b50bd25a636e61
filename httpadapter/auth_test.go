package httpadapter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestAuthentication(t *testing.T) {
	const (
		missing   = humanhours.CodeMissingAuthorization
		malformed = humanhours.CodeInvalidAPIKey
		revoked   = humanhours.CodeKeyRevoked
	)
	s := newServer(t)
	gone := s.newKey("acme", false, 0)
	_, err := s.keys.Revoke(t.Context(), gone[8:16])
	require.NoError(t, err)
	key := s.key
	id, secret := key[8:16], key[17:]
	wrongSecret := "hh_live_" + id + "_" + flipped(secret)
	for _, tc := range []struct {
		name   string
		values []string // of the Authorization header
		code   humanhours.Code
	}{
		{"live key", []string{"Bearer " + key}, ""},
		{"test key", []string{"Bearer " + s.newKey("acme", true, 0)}, ""},
		{"lower-case scheme", []string{"bearer " + key}, ""},
		{"odd-case scheme", []string{"BeArEr " + key}, ""},

		{"no header", nil, missing},
		{"empty header", []string{""}, missing},
		{"only empty headers", []string{"", ""}, missing},

		{"scheme alone", []string{"Bearer"}, malformed},
		{"scheme and a space", []string{"Bearer "}, malformed},
		{"key alone", []string{key}, malformed},
		{"Basic", []string{"Basic " + key}, malformed},
		{"Token", []string{"Token " + key}, malformed},
		{"no space", []string{"Bearer" + key}, malformed},
		{"two keys in one header", []string{"Bearer " + key + ", Bearer " + key}, malformed},
		{"two headers", []string{"Bearer " + key, "Bearer " + key}, malformed},
		{"two schemes", []string{"Bearer " + key, "Basic YTpi"}, malformed},
		{"a character short", []string{"Bearer " + key[:len(key)-1]}, malformed},
		{"a character long", []string{"Bearer " + key + "x"}, malformed},
		{"a space after", []string{"Bearer " + key + " "}, malformed},
		{"huge", []string{"Bearer " + strings.Repeat("x", 1<<20)}, malformed},
		{"hyphen in the id", []string{"Bearer hh_live_" + id[:7] + "-_" + secret}, malformed},
		{"plus in the secret", []string{"Bearer hh_live_" + id + "_+" + secret[1:]}, malformed},
		{"letter of two bytes", []string{"Bearer hh_live_" + id + "_é" + secret[2:]}, malformed},
		{"no underscore", []string{"Bearer hh_live_" + id + "x" + secret}, malformed},
		{"prefix in upper case", []string{"Bearer HH_LIVE_" + id + "_" + secret}, malformed},
		{"prefix of another kind", []string{"Bearer hh_prod_" + id + "_" + secret}, malformed},
		{"unknown id", []string{"Bearer hh_live_" + flipped(id) + "_" + secret}, malformed},
		{"wrong secret", []string{"Bearer " + wrongSecret}, malformed},
		{"live key as a test key", []string{"Bearer hh_test_" + id + "_" + secret}, malformed},

		{"revoked", []string{"Bearer " + gone}, revoked},
		{"revoked with a wrong secret", []string{"Bearer hh_live_" + gone[8:16] + "_" + flipped(gone[17:])}, malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, target := range []string{"POST /v1/track", "POST /v1/track/batch", "GET /v1/task-types", "GET /v1/price-book"} {
				method, path, _ := strings.Cut(target, " ")
				body := event()
				if strings.HasSuffix(path, "batch") {
					body = `{"events":[` + event() + `]}`
				}
				auth := header("Authorization", tc.values...)
				if tc.code == "" {
					require.Less(t, s.do(method, path, body, auth).status, 300)
					continue
				}
				a := s.do(method, path, "", auth, withBody(untouchable{t}))
				a.refused(http.StatusUnauthorized, tc.code, "")
				want := `Bearer error="invalid_token"`
				if tc.code == missing {
					want = "Bearer"
				}
				require.Equal(t, want, a.header.Get("WWW-Authenticate"))
				for _, presented := range []string{key, gone, wrongSecret} {
					requireNoPart(t, presented[17:], a.body+fmt.Sprint(a.header)+s.log.String())
				}
			}
		})
	}
	require.Empty(t, s.log.String(), "bad credentials are not the server's fault")
}

// flipped returns s with its last character changed.
func flipped(s string) string {
	last := byte('x')
	if s[len(s)-1] == last {
		last = 'y'
	}
	return s[:len(s)-1] + string(last)
}

// requireNoPart: no 6 characters of the secret are in text.
func requireNoPart(t *testing.T, secret, text string) {
	t.Helper()
	for i := range len(secret) - 5 {
		require.NotContains(t, text, secret[i:i+6])
	}
}

// TestSecretStaysOutOfLogs: not even a panic shows it.
func TestSecretStaysOutOfLogs(t *testing.T) {
	for name, broken := range map[string]func(*setup){
		"panic": panicking("boom"), "store down": failing(errors.New("down")), "key store down": brokenKeys,
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, broken)
			a := s.track(event())
			require.GreaterOrEqual(t, a.status, 500)
			require.NotEmpty(t, s.log.String())
			requireNoPart(t, s.key[17:], a.body+fmt.Sprint(a.header)+s.log.String())
		})
	}
}

// keyStoreDown is a key store that cannot be read.
type keyStoreDown struct{ humanhours.KeyStore }

func (keyStoreDown) Key(context.Context, string) (humanhours.APIKey, bool, error) {
	return humanhours.APIKey{}, false, errors.New("10.0.0.7: connection refused")
}

func brokenKeys(c *setup) {
	c.keys = func(next humanhours.KeyStore) humanhours.KeyStore { return keyStoreDown{next} }
}

// authenticating has a Config.Authenticate that answers as given.
func authenticating(caller humanhours.Caller, err error) func(*setup) {
	return func(c *setup) {
		c.api.Authenticate = func(*http.Request) (humanhours.Caller, error) { return caller, err }
	}
}

func TestCustomAuthenticate(t *testing.T) {
	t.Run("its caller is used", func(t *testing.T) {
		s := newServer(t, authenticating(humanhours.Caller{Org: "from-oidc", KeyID: "alice", Test: true}, nil))
		require.Equal(t, "true", s.track(event(), header("Authorization")).fields(http.StatusCreated).text("test"))
		require.Empty(t, s.stored("acme"))
		stored := s.stored("from-oidc")
		require.Len(t, stored, 1)
		require.Equal(t, "alice", stored[0].KeyID)
	})
	t.Run("it sees the request", func(t *testing.T) {
		s := newServer(t, func(c *setup) {
			c.api.Authenticate = func(r *http.Request) (humanhours.Caller, error) {
				return humanhours.Caller{Org: r.Header.Get("X-Org")}, nil
			}
		})
		s.track(event(), header("X-Org", "two")).fields(http.StatusCreated)
		require.Len(t, s.stored("two"), 1)
	})
	t.Run("a plain error is internal", func(t *testing.T) {
		s := newServer(t, authenticating(humanhours.Caller{}, errors.New("ldap://10.0.0.7 says no")))
		a := s.track("", withBody(untouchable{t}))
		a.refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
		require.NotContains(t, a.body, "ldap")
		lines := s.log.lines(t)
		require.Len(t, lines, 1)
		require.Equal(t, "ldap://10.0.0.7 says no", lines[0]["error"])
		require.Equal(t, a.header.Get("X-Request-Id"), lines[0]["request_id"])
	})
	for _, code := range []humanhours.Code{
		humanhours.CodeMissingAuthorization, humanhours.CodeInvalidAPIKey, humanhours.CodeKeyRevoked, humanhours.CodeFeatureLocked, humanhours.CodeUnavailable,
	} {
		t.Run("its "+string(code)+" is answered", func(t *testing.T) {
			cause := fmt.Errorf("wrapped: %w", &humanhours.Error{Code: code, Message: "said by the hook", Hint: "h", Err: errors.New("secret cause")})
			s := newServer(t, authenticating(humanhours.Caller{}, cause))
			a := s.track("", withBody(untouchable{t}))
			require.Equal(t, "said by the hook", a.refused(wantStatus[code], code, "").Message)
			require.NotContains(t, a.body, "cause")
		})
	}
	// A Code is an error as well. Status and body must tell the same story about it.
	t.Run("a bare code", func(t *testing.T) {
		for _, err := range []error{humanhours.CodeKeyRevoked, fmt.Errorf("no: %w", humanhours.CodeKeyRevoked)} {
			s := newServer(t, authenticating(humanhours.Caller{}, err))
			a := s.track(event())
			if a.status == http.StatusUnauthorized {
				a.refused(http.StatusUnauthorized, humanhours.CodeKeyRevoked, "")
				continue
			}
			a.refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
			require.Len(t, s.log.lines(t), 1)
		}
	})
}

func TestScopes(t *testing.T) {
	s := newServer(t)
	reader := as(s.newKey("acme", false, humanhours.ScopeReportsRead))
	for _, path := range []string{"/v1/track", "/v1/track/batch"} {
		p := s.do(http.MethodPost, path, "", reader, withBody(untouchable{t})).refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "")
		require.Contains(t, p.Message, "track:write")
	}
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/v1/task-types", "", reader).status, "the catalogue needs no scope")
	writer := as(s.newKey("acme", false, humanhours.ScopeTrackWrite))
	s.track(event(), writer).fields(http.StatusCreated)
}

// TestWhatTakesAToken sends a request until the limit of three a second is met.
func TestWhatTakesAToken(t *testing.T) {
	const limit = 3
	for _, tc := range []struct {
		name         string
		method, path string
		body         string
		edit         edit
		status       int
		free         bool
	}{
		{name: "event", method: http.MethodPost, path: "/v1/track", body: event(), status: 201},
		{name: "replay", method: http.MethodPost, path: "/api/v1/track", body: event(), edit: withKey("k"), status: 200},
		{name: "malformed event", method: http.MethodPost, path: "/v1/track", body: "{", status: 422},
		{name: "wrong media type", method: http.MethodPost, path: "/v1/track", body: event(), edit: header("Content-Type", "text/plain"), status: 415},
		{name: "too large", method: http.MethodPost, path: "/v1/track", body: strings.Repeat(" ", 200<<10), status: 413},
		{name: "batch of four", method: http.MethodPost, path: "/v1/track/batch", body: `{"events":[` + strings.Repeat(event()+",", 3) + event() + `]}`, status: 200},
		{name: "malformed batch", method: http.MethodPost, path: "/v1/track/batch", body: "{}", status: 422},
		{name: "catalogue", method: http.MethodGet, path: "/v1/task-types", status: 200},
		{name: "price book", method: http.MethodGet, path: "/v1/price-book", status: 200},
		{name: "catalogue by HEAD", method: http.MethodHead, path: "/v1/task-types", status: 200},
		{name: "wrong method", method: http.MethodGet, path: "/v1/track", status: 405, free: true},
		{name: "no such endpoint", method: http.MethodPost, path: "/v1/nothing", status: 404, free: true},
		{name: "no credentials", method: http.MethodPost, path: "/v1/track", edit: header("Authorization"), status: 401, free: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, plan(humanhours.Plan{RequestsPerSecond: limit}))
			if tc.name == "replay" {
				s.track(event(), withKey("k"))
				s.clock.Advance(time.Second)
			}
			for range limit {
				a := s.do(tc.method, tc.path, tc.body, tc.edit)
				require.Equal(t, tc.status, a.status, a.body)
			}
			if tc.free {
				require.Equal(t, tc.status, s.do(tc.method, tc.path, tc.body, tc.edit).status)
				require.Equal(t, http.StatusCreated, s.track(event()).status)
				return
			}
			before := len(s.stored("acme"))
			a := s.do(tc.method, tc.path, "", tc.edit, withBody(untouchable{t}))
			a.refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
			require.Equal(t, "1", a.header.Get("Retry-After"))
			require.Len(t, s.stored("acme"), before)
			require.Equal(t, http.StatusCreated, s.track(event(), as(s.newKey("acme", false, 0))).status, "another key has tokens of its own")
		})
	}
	t.Run("insufficient scope", func(t *testing.T) {
		s := newServer(t, plan(humanhours.Plan{RequestsPerSecond: limit}))
		reader := as(s.newKey("acme", false, humanhours.ScopeReportsRead))
		for range limit {
			s.track("", reader, withBody(untouchable{t})).refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "")
		}
		s.track("", reader, withBody(untouchable{t})).refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
	})
}

// TestOrderOfChecks breaks one rule after the other, from the last that is checked to the first: the first that is broken is answered.
func TestOrderOfChecks(t *testing.T) {
	s := newServer(t, plan(humanhours.Plan{RequestsPerSecond: 7}))
	body, method := event("agent_id", `""`, "task_type", `"unknown"`), http.MethodPost
	edits := []edit{withKey("k")}
	check := func(status int, code humanhours.Code, field string) answer {
		t.Helper()
		a := s.do(method, "/v1/track", body, edits...)
		a.refused(status, code, field)
		return a
	}
	check(422, humanhours.CodeValidation, "agent_id") // before task_type
	body = "{" + body
	check(422, humanhours.CodeValidation, "") // JSON, before rules
	body += strings.Repeat(" ", 128<<10)
	check(413, humanhours.CodePayloadTooLarge, "")
	edits = append(edits, header("Content-Type", "text/plain"))
	check(415, humanhours.CodeUnsupportedMediaType, "")
	reader := s.newKey("acme", false, humanhours.ScopeReportsRead)
	edits = append(edits, as(reader), withBody(untouchable{t}))
	for range 7 {
		check(403, humanhours.CodeInsufficientScope, "")
	}
	check(429, humanhours.CodeRateLimited, "")
	edits = append(edits, header("Authorization"))
	check(401, humanhours.CodeMissingAuthorization, "")
	method = http.MethodPut
	check(405, humanhours.CodeMethodNotAllowed, "")
	require.Empty(t, s.stored("acme"))
}

// TestRateLimitIsExact: 60 in a second, not 61, on the published free plan; and 60 again when the second is over.
func TestRateLimitIsExact(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.OrgDefaults.Plan = "free" })
	for range 30 {
		s.track(event()).fields(http.StatusCreated)
	}
	s.clock.Advance(500 * time.Millisecond)
	for range 30 {
		s.track(event()).fields(http.StatusCreated)
	}
	for _, wait := range []time.Duration{0, 499 * time.Millisecond} {
		s.clock.Advance(wait)
		a := s.track(event())
		a.refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	s.clock.Advance(time.Millisecond) // a second after the first 30
	for range 30 {
		s.track(event()).fields(http.StatusCreated)
	}
	s.track(event()).refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
	require.EqualValues(t, 90, s.usage(), "what was refused was not stored")
}
