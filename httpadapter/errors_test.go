package httpadapter_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
)

// wantStatus is the documented table.
var wantStatus = map[humanhours.Code]int{
	"missing_authorization":    401,
	"invalid_api_key":          401,
	"key_revoked":              401,
	"feature_locked":           403,
	"insufficient_scope":       403,
	"not_found":                404,
	"method_not_allowed":       405,
	"precondition_failed":      412,
	"payload_too_large":        413,
	"unsupported_media_type":   415,
	"validation_error":         422,
	"unknown_task_type":        422,
	"occurred_at_out_of_range": 422,
	"idempotency_key_reused":   422,
	"rate_limited":             429,
	"quota_exceeded":           429,
	"unavailable":              503,
	"internal":                 500,
}

// TestEveryCodeHasItsStatus also looks into the source for codes that the table has forgotten.
func TestEveryCodeHasItsStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../errors.go", nil, 0)
	require.NoError(t, err)
	declared := map[humanhours.Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && fmt.Sprint(spec.Type) == "Code" && len(spec.Values) == 1 {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			declared[humanhours.Code(text)] = true
		}
		return true
	})
	require.Len(t, declared, len(wantStatus))
	for code, status := range wantStatus {
		require.True(t, declared[code], code)
		require.Equal(t, status, httpadapter.Status(&humanhours.Error{Code: code}), code)
		require.Equal(t, status, httpadapter.Status(fmt.Errorf("wrapped: %w", &humanhours.Error{Code: code})), code)
	}
	for _, err := range []error{errors.New("strange"), context.Canceled, &humanhours.Error{}, &humanhours.Error{Code: "of_a_later_release"}} {
		require.Equal(t, 500, httpadapter.Status(err), err)
	}
}

// TestErrorShape answers every code, with and without what is optional.
func TestErrorShape(t *testing.T) {
	for code, status := range wantStatus {
		t.Run(string(code), func(t *testing.T) {
			full := &humanhours.Error{
				Code: code, Message: `m "1"`, Hint: "h", Field: "a.b", RetryAfter: 1500 * time.Millisecond, Err: errors.New("the cause"),
			}
			a := newServer(t, authenticating(humanhours.Caller{}, full)).track(event())
			require.Equal(t, "2", a.header.Get("Retry-After"), "whole seconds, rounded up")
			require.NotContains(t, a.body, "the cause")
			if code == humanhours.CodeInternal {
				a.refused(status, code, "")
				require.NotContains(t, a.body, "m \\\"1")
			} else {
				require.Equal(t, fmt.Sprintf(`{"error":{"code":%q,"message":"m \"1\"","hint":"h","field":"a.b"}}`+"\n", code), a.body)
			}
			bare := &humanhours.Error{Code: code, Message: "m"}
			a = newServer(t, authenticating(humanhours.Caller{}, bare)).track(event())
			a.refused(status, code, "")
			require.NotContains(t, a.header, "Retry-After")
			require.Equal(t, status == 401, a.header.Get("WWW-Authenticate") != "")
		})
	}
}

// TestUnknownCodeIsInternal: a code without a status must not show its words.
func TestUnknownCodeIsInternal(t *testing.T) {
	s := newServer(t, authenticating(humanhours.Caller{}, &humanhours.Error{Code: "of_a_later_release", Message: "words"}))
	a := s.track(event())
	a.refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
	require.NotContains(t, a.body, "words")
	require.Len(t, s.log.lines(t), 1)
}

func TestNotFound(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/track/", "/v1/track/batch/", "/v1/TRACK", "/v2/track", "/api/v1", "/api/track", "/v1/track%2Fbatch", "/track", "/v1/%ff"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			s.do(method, path, "", header("Authorization"), withBody(untouchable{t})).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	s := newServer(t)
	for path, allow := range map[string]string{
		"/v1/track": "POST", "/v1/track/batch": "POST", "/v1/price-book": "GET, HEAD", "/v1/openapi.yaml": "GET, HEAD",
		"/v1/task-types": "GET, HEAD, POST", "/v1/task-types/x": "GET, HEAD, PATCH, DELETE", "/v1/task-types/x/restore": "POST",
		"/v1/task-types/x/override": "POST, DELETE", "/v1/agents": "GET, HEAD", "/v1/agents/x": "PATCH", "/v1/org": "GET, HEAD, PATCH",
		"/v1/history": "GET, HEAD",
	} {
		for _, prefix := range []string{"", "/api"} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "PURGE"} {
				if slices.Contains(strings.Split(allow, ", "), method) {
					continue
				}
				a := s.do(method, prefix+path, "", header("Authorization"), withBody(untouchable{t}))
				a.refused(http.StatusMethodNotAllowed, humanhours.CodeMethodNotAllowed, "")
				require.Equal(t, allow, a.header.Get("Allow"), method+path)
			}
		}
	}
}

func TestPanic(t *testing.T) {
	for name, p := range map[string]any{
		"text": "the pool at 10.0.0.7 is closed", "error": errors.New("the pool at 10.0.0.7 is closed"),
		"a public error": &humanhours.Error{Code: humanhours.CodeNotFound, Message: "the pool at 10.0.0.7 is closed"}, "slice": []int{10007},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, panicking(p))
			for _, a := range []answer{s.track(event(), withKey("k")), s.batch([]string{event()})} {
				id := a.header.Get("X-Request-Id")
				require.Contains(t, a.refused(http.StatusInternalServerError, humanhours.CodeInternal, "").Hint, id)
				require.NotContains(t, a.body, "10.0.0.7")
				require.NotContains(t, a.body, "goroutine")
				var mine []map[string]any
				for _, line := range s.log.lines(t) {
					if line["request_id"] == id {
						mine = append(mine, line)
					}
				}
				require.Len(t, mine, 1, "logged exactly once")
				require.Equal(t, "ERROR", mine[0]["level"])
				require.EqualValues(t, 500, mine[0]["status"])
				require.Regexp(t, `10.0.0.7|10007`, mine[0]["error"])
				require.Contains(t, mine[0]["error"], "helpers_test.go", "with the stack of the panic")
			}
			require.Len(t, s.log.lines(t), 2)
		})
	}
}

func TestPanicInAuthenticate(t *testing.T) {
	s := newServer(t, func(c *setup) {
		c.api.Authenticate = func(*http.Request) (humanhours.Caller, error) { panic("no") }
	})
	s.track(event()).refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
	require.Len(t, s.log.lines(t), 1)
}

// TestAbortHandler: the panic that net/http itself knows is not for us to answer.
func TestAbortHandler(t *testing.T) {
	s := newServer(t, panicking(http.ErrAbortHandler))
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { s.track(event()) })
	require.Empty(t, s.log.String())
}

// orgStoreDown is an org store that cannot be read any more after some reads.
type orgStoreDown struct {
	humanhours.OrgStore
	reads *atomic.Int64
}

func (s orgStoreDown) Org(context.Context, string) (humanhours.Org, bool, error) {
	if s.reads.Add(-1) >= 0 {
		return humanhours.Org{}, false, nil
	}
	return humanhours.Org{}, false, errors.New("10.0.0.7: connection refused")
}

// orgStoreFails goes down after a number of reads, with no cache before it.
func orgStoreFails(after int64) func(*setup) {
	reads := &atomic.Int64{}
	reads.Store(after)
	return func(c *setup) { c.tracker.Orgs, c.tracker.OrgCacheTTL = orgStoreDown{reads: reads}, -1 }
}

// limiterDown is a limiter that does not answer.
type limiterDown struct{}

func (limiterDown) Take(context.Context, humanhours.TakeQuery) (humanhours.Decision, error) {
	return humanhours.Decision{}, errors.New("10.0.0.7: connection refused")
}

func TestUnavailable(t *testing.T) {
	for name, tc := range map[string]struct {
		broken func(*setup)
		reads  bool // the body is read before the failure is met
	}{
		"store":     {broken: failing(errors.New("10.0.0.7: connection refused")), reads: true},
		"key store": {broken: brokenKeys},
		"org store": {broken: orgStoreFails(0)},
		"limiter": {broken: func(c *setup) {
			plan(humanhours.Plan{RequestsPerSecond: 1})(c)
			c.tracker.Limiter = limiterDown{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, tc.broken)
			edits := []edit{withKey("k")}
			if !tc.reads {
				edits = append(edits, withBody(untouchable{t}))
			}
			a := s.track(event(), edits...)
			p := a.refused(http.StatusServiceUnavailable, humanhours.CodeUnavailable, "")
			require.Equal(t, "1", a.header.Get("Retry-After"))
			require.Regexp(t, `(?i)retry with the same idempotency.key`, p.Hint)
			require.NotContains(t, a.body, "10.0.0.7")
			lines := s.log.lines(t)
			require.Len(t, lines, 1)
			require.Equal(t, "ERROR", lines[0]["level"])
			require.Equal(t, a.header.Get("X-Request-Id"), lines[0]["request_id"])
			require.Equal(t, "/v1/track", lines[0]["path"])
			require.Contains(t, lines[0]["error"], "10.0.0.7")
			require.Empty(t, s.stored("acme"))
		})
	}
}

// TestOrgStoreGoesDownAfterAdmission: what is refused as a whole is answered as a whole, on every endpoint.
func TestOrgStoreGoesDownAfterAdmission(t *testing.T) {
	for target, body := range map[string]string{
		"POST /v1/track": event(), "POST /v1/track/batch": `{"events":[` + event() + `]}`, "GET /v1/task-types": "", "GET /v1/price-book": "",
	} {
		s := newServer(t, orgStoreFails(1))
		method, path, _ := strings.Cut(target, " ")
		s.do(method, path, body).refused(http.StatusServiceUnavailable, humanhours.CodeUnavailable, "")
		require.Len(t, s.log.lines(t), 1)
		require.Empty(t, s.stored("acme"))
	}
}

// TestClientIsGone: nobody was failed, so nobody is woken up.
func TestClientIsGone(t *testing.T) {
	for _, when := range []string{"before", "while the store works"} {
		for _, path := range []string{"/v1/track", "/v1/track/batch"} {
			t.Run(when+" "+path, func(t *testing.T) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				s := newServer(t, func(c *setup) {
					c.wrap = func(next humanhours.Store) humanhours.Store {
						return hooked{next, func(ctx context.Context, next humanhours.Store, entries []humanhours.Entry) []humanhours.Appended {
							leave()
							return next.Append(ctx, entries)
						}}
					}
				})
				if when == "before" {
					leave()
				}
				s.do(http.MethodPost, path, `{"events":[`+event()+`],`+event()[1:], withContext(ctx))
				lines := s.log.lines(t)
				require.Len(t, lines, 1)
				require.Equal(t, "INFO", lines[0]["level"])
				require.Empty(t, s.stored("acme"))
			})
		}
	}
}

func TestQuotaSaysWhenTheMonthEnds(t *testing.T) {
	for _, tc := range []struct {
		ahead time.Duration // of the start, 2026-05-06 10:45 UTC
		want  string
	}{
		{0, "2207700"},
		{time.Millisecond, "2207700"},
		{25*24*time.Hour + 13*time.Hour + 14*time.Minute + 59*time.Second, "1"},
		{25*24*time.Hour + 13*time.Hour + 14*time.Minute + 59*time.Second + 999*time.Millisecond, "1"},
	} {
		s := newServer(t, plan(humanhours.Plan{EventsPerMonth: 1}))
		s.clock.Advance(tc.ahead)
		s.track(event()).fields(http.StatusCreated)
		a := s.track(event())
		p := a.refused(http.StatusTooManyRequests, humanhours.CodeQuotaExceeded, "")
		require.Equal(t, tc.want, a.header.Get("Retry-After"))
		require.Contains(t, p.Hint, "2026-06-01T00:00:00Z")
		seconds, err := strconv.Atoi(tc.want)
		require.NoError(t, err)
		s.clock.Advance(time.Duration(seconds) * time.Second)
		s.track(event()).fields(http.StatusCreated)
	}
}

func TestRequestID(t *testing.T) {
	s := newServer(t, panicking("boom"))
	for _, id := range []string{"a", "0", "req-1_2.3:4/5", strings.Repeat("x", 128), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"} {
		a := s.track(event(), header("X-Request-Id", id))
		require.Equal(t, []string{id}, a.header["X-Request-Id"])
		require.Contains(t, s.log.String(), `"request_id":"`+id+`"`)
	}
	seen := map[string]bool{}
	for _, id := range []string{"", strings.Repeat("x", 129), "a\nb", "a\r\nSet-Cookie: x=y", "a b", "ä", "\xff", `a"b`, "<b>", "a\x00", "日本", "%0a", "a;b", "a,b"} {
		a := s.track(event(), header("X-Request-Id", id))
		got := a.header.Get("X-Request-Id")
		require.Regexp(t, `^[A-Za-z0-9]{16,64}$`, got)
		require.False(t, seen[got], "each request has its own")
		seen[got] = true
		require.Contains(t, s.log.String(), got)
		if len(id) > 3 {
			require.NotContains(t, s.log.String(), `"request_id":`+quoted(id))
		}
	}
	require.NotEmpty(t, s.track(event(), header("X-Request-Id")).header.Get("X-Request-Id"))
}

func TestCustomRequestID(t *testing.T) {
	s := newServer(t, failing(errors.New("down")), func(c *setup) {
		c.api.RequestID = func(r *http.Request) string { return "trace-" + r.Method }
	})
	a := s.track(event(), header("X-Request-Id", "mine"))
	require.Equal(t, "trace-POST", a.header.Get("X-Request-Id"))
	require.Equal(t, "trace-POST", s.log.lines(t)[0]["request_id"])
}

// TestRequestIDOnEveryAnswer: also on those that went well.
func TestRequestIDOnEveryAnswer(t *testing.T) {
	s := newServer(t)
	for _, a := range []answer{s.track(event()), s.batch([]string{event()}), s.do(http.MethodGet, "/v1/task-types", ""), s.do(http.MethodGet, "/nothing", "")} {
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
	}
}

// TestBodyIsNotAskedFor: a client that waits for "100 Continue" need not send a body that would be refused.
func TestBodyIsNotAskedFor(t *testing.T) {
	s := newServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	client := server.Client()
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
	for name, tc := range map[string]struct {
		auth   string
		body   io.Reader
		status int
	}{
		"no credentials": {"", untouchable{t}, 401},
		"too large":      {"Bearer " + s.key, untouchable{t}, 413},
		"asked for":      {"Bearer " + s.key, strings.NewReader(event()), 201},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/track", tc.body)
			require.NoError(t, err)
			if r.ContentLength <= 0 {
				r.ContentLength = 1 << 20
			}
			r.Header = http.Header{"Authorization": {tc.auth}, "Content-Type": {"application/json"}, "Expect": {"100-continue"}}
			a, err := client.Do(r)
			require.NoError(t, err)
			require.NoError(t, a.Body.Close())
			require.Equal(t, tc.status, a.StatusCode)
		})
	}
}

// Slips in what the operator configures end in a logged 500 or a request id of ours, never in a dropped connection.
func TestSlipsInTheConfig(t *testing.T) {
	t.Run("a nil pointer for an error", func(t *testing.T) {
		s := newServer(t, func(c *setup) {
			c.api.Authenticate = func(*http.Request) (humanhours.Caller, error) {
				var e *humanhours.Error
				return humanhours.Caller{}, e
			}
		})
		s.track(event()).refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
		require.Len(t, s.log.lines(t), 1)
	})
	t.Run("a panic in RequestID", func(t *testing.T) {
		s := newServer(t, func(c *setup) { c.api.RequestID = func(*http.Request) string { panic("no id") } })
		a := s.track(event())
		require.Equal(t, http.StatusCreated, a.status)
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
		require.Len(t, s.log.lines(t), 1)
	})
}

// A path that is not clean is no endpoint. A redirect would make clients send their key and their event twice.
func TestPathsAreNotRedirected(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"//v1/track", "/v1//track", "/v1/./track", "/v1/x/../track", "/v1/track/"} {
		a := s.do(http.MethodPost, path, event())
		a.refused(http.StatusNotFound, humanhours.CodeNotFound, "")
		require.NotEmpty(t, a.header.Get("X-Request-Id"), path)
	}
}
