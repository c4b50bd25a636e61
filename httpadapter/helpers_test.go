package httpadapter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/store/memory"
)

// start is where every clock begins.
var start = time.Date(2026, 5, 6, 10, 45, 0, 0, time.UTC)

// clock stands still until it is moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return start.Add(time.Duration(c.ahead.Load())) }
func (c *clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// setup is what a test may change about a server.
type setup struct {
	tracker humanhours.Config
	api     httpadapter.Config
	wrap    func(humanhours.Store) humanhours.Store       // around the store of the events
	keys    func(humanhours.KeyStore) humanhours.KeyStore // around the store of the keys
}

// server is an API over a memory store, without limits, for the org "acme".
type server struct {
	http.Handler
	t       testing.TB
	tracker *humanhours.Tracker
	store   *memory.Store
	keys    *humanhours.Keys
	clock   *clock
	log     *logs
	key     string // of acme, live, all scopes
	plan    string // of acme; empty: no limits
}

func newServer(t testing.TB, changes ...func(*setup)) *server {
	t.Helper()
	s := &server{t: t, store: memory.New(), clock: &clock{}, log: &logs{}}
	c := setup{
		wrap: func(s humanhours.Store) humanhours.Store { return s },
		keys: func(s humanhours.KeyStore) humanhours.KeyStore { return s },
	}
	c.tracker.Orgs = s.store
	c.tracker.Clock = s.clock.Now
	c.tracker.Logger = slog.New(slog.NewJSONHandler(s.log, nil))
	c.api.Logger = c.tracker.Logger
	for _, change := range changes {
		change(&c)
	}
	s.plan = c.tracker.OrgDefaults.Plan
	s.keys = humanhours.NewKeys(c.keys(s.store), humanhours.KeysConfig{Clock: s.clock.Now, CacheTTL: -1})
	if c.api.Authenticate == nil {
		c.api.Keys = s.keys
	}
	var err error
	s.tracker, err = humanhours.New(c.wrap(s.store), c.tracker)
	require.NoError(t, err)
	s.Handler, err = httpadapter.New(s.tracker, c.api)
	require.NoError(t, err)
	// Made past any wrapper, so that a key exists also where the key store is down.
	_, secret, err := humanhours.NewKeys(s.store, humanhours.KeysConfig{Clock: s.clock.Now}).Create(t.Context(), "acme", false, 0)
	require.NoError(t, err)
	s.key = secret.Reveal()
	return s
}

// plan puts acme on a plan with these limits.
func plan(p humanhours.Plan) func(*setup) {
	return func(c *setup) {
		c.tracker.Plans = map[string]humanhours.Plan{"tested": p}
		c.tracker.OrgDefaults.Plan = "tested"
	}
}

// newKey makes a further API key.
func (s *server) newKey(org string, test bool, scopes humanhours.Scopes) string {
	s.t.Helper()
	_, secret, err := s.keys.Create(s.t.Context(), org, test, scopes)
	require.NoError(s.t, err)
	return secret.Reveal()
}

// update changes the settings of acme, which stays on its plan.
func (s *server) update(f func(*humanhours.Org)) {
	s.t.Helper()
	_, err := s.tracker.UpdateOrg(s.t.Context(), "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
		if o.Version == 0 {
			o.Plan = s.plan
		}
		f(o)
		return nil, nil
	})
	require.NoError(s.t, err)
}

// edit changes a request before it is sent. nil changes nothing.
type edit func(*http.Request)

// header sets a header to values, or removes it.
func header(name string, values ...string) edit {
	return func(r *http.Request) {
		delete(r.Header, name)
		if len(values) > 0 {
			r.Header[name] = values
		}
	}
}

func as(key string) edit        { return header("Authorization", "Bearer "+key) }
func withKey(key string) edit   { return header("Idempotency-Key", key) }
func withBody(b io.Reader) edit { return func(r *http.Request) { r.Body = io.NopCloser(b) } }
func withoutLength() edit       { return func(r *http.Request) { r.ContentLength = -1 } }
func withContext(ctx context.Context) edit {
	return func(r *http.Request) { *r = *r.WithContext(ctx) }
}

// request is an authorized JSON request that was not sent yet.
func (s *server) request(method, path, body string, edits ...edit) *http.Request {
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.key)
	r.Header.Set("Content-Type", "application/json")
	for _, e := range edits {
		if e != nil {
			e(r)
		}
	}
	return r
}

func (s *server) do(method, path, body string, edits ...edit) answer {
	s.t.Helper()
	return s.send(s.request(method, path, body, edits...))
}

func (s *server) send(r *http.Request) answer {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return answer{t: s.t, status: w.Code, header: w.Result().Header, body: w.Body.String()}
}

func (s *server) track(body string, edits ...edit) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/v1/track", body, edits...)
}

func (s *server) batch(items []string, edits ...edit) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/v1/track/batch", `{"events":[`+strings.Join(items, ",")+`]}`, edits...)
}

// stored returns the events of an org, oldest first.
func (s *server) stored(org string) []humanhours.Event {
	s.t.Helper()
	var events []humanhours.Event
	for e, err := range s.store.Events(context.Background(), humanhours.EventQuery{Org: org}) {
		require.NoError(s.t, err)
		events = append(events, e)
	}
	return events
}

// usage is what acme has used of its quota.
func (s *server) usage() int64 {
	s.t.Helper()
	n, err := s.store.Usage(context.Background(), "acme", humanhours.MonthOf(s.clock.Now()))
	require.NoError(s.t, err)
	return n
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// problem is the body of an error.
type problem struct {
	Code    humanhours.Code `json:"code"`
	Message string          `json:"message"`
	Hint    string          `json:"hint"`
	Field   string          `json:"field"`
}

// refused checks that the answer is an error of the documented shape, and returns it.
func (a answer) refused(status int, code humanhours.Code, field string) problem {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	var body struct {
		Error problem `json:"error"`
	}
	decodeStrictly(a.t, a.body, &body)
	checkProblem(a.t, body.Error, a.body, code, field)
	require.Equal(a.t, "application/json", a.header.Get("Content-Type"))
	require.NotEmpty(a.t, a.header.Get("X-Request-Id"))
	return body.Error
}

func checkProblem(t testing.TB, p problem, body string, code humanhours.Code, field string) {
	t.Helper()
	require.Equal(t, code, p.Code, body)
	require.Equal(t, field, p.Field, body)
	require.NotEmpty(t, p.Message, body)
	if field == "" {
		require.NotContains(t, body, `"field"`, "no single field is at fault")
	}
}

// fields returns the members of the JSON object in the body, as they were written.
func (a answer) fields(status int) fields {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	require.Equal(a.t, "application/json", a.header.Get("Content-Type"))
	var f fields
	decodeStrictly(a.t, a.body, &f)
	return f
}

// fields is a JSON object with the text of its members.
type fields map[string]json.RawMessage

// text returns a member as it was written; empty if it is not there.
func (f fields) text(name string) string { return string(f[name]) }

// id returns the quoted event_id.
func (f fields) id() string { return f.text("event_id") }

// result is one item of the answer to a batch.
type result struct {
	Status   int      `json:"status"`
	Replayed bool     `json:"idempotency_replayed"`
	Mismatch bool     `json:"idempotency_mismatch"`
	Event    fields   `json:"event"`
	Error    *problem `json:"error"`
}

// results returns the items of the answer to a batch. Each has an event or an error, never both.
func (a answer) results() []result {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.status, a.body)
	var body struct {
		Results []result `json:"results"`
	}
	decodeStrictly(a.t, a.body, &body)
	for _, r := range body.Results {
		require.Equal(a.t, r.Status >= 400, r.Error != nil, a.body)
		require.Equal(a.t, r.Status < 400, r.Event != nil, a.body)
	}
	return body.Results
}

func statuses(rs []result) []int {
	list := make([]int, len(rs))
	for i, r := range rs {
		list[i] = r.Status
	}
	return list
}

// decodeStrictly reads one JSON value that has no unknown members and nothing after it but a newline.
func decodeStrictly(t testing.TB, body string, v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(v), body)
	rest, err := io.ReadAll(dec.Buffered())
	require.NoError(t, err)
	require.Equal(t, "\n", string(rest))
}

// event is the body of a good request, with members set to JSON texts, or taken away where the text is empty:
// event("agent_cost", "1.5", "outcome", "").
func event(pairs ...string) string {
	members := []string{"agent_id", `"a"`, "task_type", `"email_classification"`, "outcome", `"success"`}
	for i := 0; i < len(pairs); i += 2 {
		if at := slices.Index(members, pairs[i]); at >= 0 && at%2 == 0 {
			members[at+1] = pairs[i+1]
		} else {
			members = append(members, pairs[i], pairs[i+1])
		}
	}
	var b strings.Builder
	for i := 0; i < len(members); i += 2 {
		if members[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + members[i] + `":` + members[i+1])
	}
	return "{" + b.String() + "}"
}

// quoted is s as a JSON string.
func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// nested is an object of the given depth.
func nested(depth int) string {
	return strings.Repeat(`{"m":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

// sized is an object of the given number of bytes.
func sized(size int) string { return `{"m":"` + strings.Repeat("x", size-8) + `"}` }

// instant is a time as JSON.
func instant(t time.Time) string { return t.UTC().Format(`"2006-01-02T15:04:05.000Z"`) }

// untouchable is a body that must not be read.
type untouchable struct{ t testing.TB }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// hooked is a store whose Append is replaced.
type hooked struct {
	humanhours.Store
	append func(ctx context.Context, next humanhours.Store, entries []humanhours.Entry) []humanhours.Appended
}

func (s hooked) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	return s.append(ctx, s.Store, entries)
}

// failing has a store that fails for the events of the given agents, or for all if none is given, and stores the others.
func failing(err error, agents ...string) func(*setup) {
	return func(c *setup) {
		c.wrap = func(next humanhours.Store) humanhours.Store {
			return hooked{next, func(ctx context.Context, next humanhours.Store, entries []humanhours.Entry) []humanhours.Appended {
				out := make([]humanhours.Appended, 0, len(entries))
				for i, e := range entries {
					if len(agents) == 0 || slices.Contains(agents, e.Event.AgentID) {
						out = append(out, humanhours.Appended{Err: fmt.Errorf("agent %s: %w", e.Event.AgentID, err)})
						continue
					}
					out = append(out, next.Append(ctx, entries[i:i+1])...)
				}
				return out
			}}
		}
	}
}

// panicking has a store that panics with p.
func panicking(p any) func(*setup) {
	return func(c *setup) {
		c.wrap = func(next humanhours.Store) humanhours.Store {
			return hooked{next, func(context.Context, humanhours.Store, []humanhours.Entry) []humanhours.Appended { panic(p) }}
		}
	}
}

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// lines returns the lines, decoded.
func (l *logs) lines(t testing.TB) []map[string]any {
	t.Helper()
	var list []map[string]any
	dec := json.NewDecoder(strings.NewReader(l.String()))
	for dec.More() {
		var line map[string]any
		require.NoError(t, dec.Decode(&line))
		list = append(list, line)
	}
	return list
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
