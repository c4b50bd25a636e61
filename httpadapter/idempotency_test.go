package httpadapter_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// replayed checks that a is the answer first again.
func replayed(t *testing.T, first, a answer) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, first.body, a.body, "byte for byte")
	require.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
}

func TestReplayOfAFullRequest(t *testing.T) {
	s := newServer(t)
	body := event("agent_duration_seconds", "4.50", "agent_cost", "0.30000000000000004", "human_baseline_minutes", "1e1", "model", `"m<&>\u2028"`,
		"tokens_in", "1e3", "metadata", `{ "b" : 1.50, "a" : "<\u00e9\ud83d\ude00>" }`, "audit_sample", `{"output_excerpt":"\u0000\u007f\n\""}`,
		"occurred_at", `"2026-05-06T12:42:00.1239+02:00"`)
	first := s.track(body, withKey("k"))
	require.Equal(t, http.StatusCreated, first.status, first.body)
	again := s.track(body, withKey("k"))
	replayed(t, first, again)
	require.NotContains(t, again.header, "Idempotency-Mismatch")
	// The same request in other words, one after the other.
	for _, change := range [][2]string{
		{"4.50", "45e-1"},
		{`{ "b" : 1.50, "a" : "<\u00e9\ud83d\ude00>" }`, `{"a":"<é😀>","b":1.50}`},
		{`"2026-05-06T12:42:00.1239+02:00"`, `"2026-05-06T10:42:00.123Z"`},
		{`"outcome"`, ` "unknown" : [ ] , "outcome"`},
	} {
		require.Contains(t, body, change[0])
		body = strings.Replace(body, change[0], change[1], 1)
		again := s.track(body, withKey("k"))
		replayed(t, first, again)
		require.NotContains(t, again.header, "Idempotency-Mismatch", change[1])
	}
}

func TestReplays(t *testing.T) {
	for _, tc := range []struct {
		name      string
		change    []func(*setup)
		prepare   func(*server)
		body      string // of the first request; empty: event()
		meanwhile func(*server)
		again     func(s *server) answer // nil: the first request again
		fresh     bool                   // a new event is wanted
		mismatch  bool
	}{
		{name: "at once"},
		{name: "key in the body", again: func(s *server) answer { return s.track(event("idempotency_key", `"k"`)) }},
		{name: "under the other path", again: func(s *server) answer { return s.do(http.MethodPost, "/api/v1/track", event(), withKey("k")) }},
		{name: "another key of the org", again: func(s *server) answer { return s.track(event(), withKey("k"), as(s.newKey("acme", false, 0))) }},
		{name: "another org", fresh: true, again: func(s *server) answer { return s.track(event(), withKey("k"), as(s.newKey("other", false, 0))) }},
		{name: "a test key of the org", fresh: true, again: func(s *server) answer { return s.track(event(), withKey("k"), as(s.newKey("acme", true, 0))) }},
		{name: "another idempotency key", fresh: true, again: func(s *server) answer { return s.track(event(), withKey("K")) }},
		{name: "no idempotency key", fresh: true, again: func(s *server) answer { return s.track(event()) }},
		{name: "a millisecond before 24 hours", meanwhile: func(s *server) { s.clock.Advance(24*time.Hour - time.Millisecond) }},
		{name: "after 24 hours", fresh: true, meanwhile: func(s *server) { s.clock.Advance(24 * time.Hour) }},
		{name: "another request", mismatch: true, again: func(s *server) answer { return s.track(event("agent_id", `"b"`), withKey("k")) }},
		{name: "0 where nothing was", mismatch: true, again: func(s *server) answer { return s.track(event("agent_cost", "0"), withKey("k")) }},
		{name: "the task type was archived",
			prepare: func(s *server) { s.update(ownType) }, body: event("task_type", `"own"`),
			meanwhile: func(s *server) {
				s.update(func(o *humanhours.Org) {
					tt := o.TaskTypes["own"]
					tt.ArchivedAt = start
					o.TaskTypes["own"] = tt
				})
				s.track(event("task_type", `"own"`), withKey("other")).refused(422, humanhours.CodeUnknownTaskType, "task_type")
			},
		},
		{name: "another request, for a type that is unknown", mismatch: true,
			again: func(s *server) answer { return s.track(event("task_type", `"never known"`), withKey("k")) }},
		{name: "occurred_at left the 90 days",
			body: event("occurred_at", instant(start.AddDate(0, 0, -90))),
			meanwhile: func(s *server) {
				s.clock.Advance(time.Hour)
				body := event("occurred_at", instant(start.AddDate(0, 0, -90)))
				s.track(body, withKey("other")).refused(422, humanhours.CodeOccurredAtOutOfRange, "occurred_at")
			},
		},
		{name: "the quota is used up", change: []func(*setup){plan(humanhours.Plan{EventsPerMonth: 2})},
			meanwhile: func(s *server) {
				s.track(event()).fields(http.StatusCreated)
				s.track(event(), withKey("other")).refused(429, humanhours.CodeQuotaExceeded, "")
			}},
		{name: "the rate and the baseline changed",
			meanwhile: func(s *server) {
				s.update(func(o *humanhours.Org) {
					o.HourlyRate = decimal.NewNullDecimal(decimal.NewFromInt(100))
					o.Overrides = map[string]humanhours.Override{"email_classification": {BaselineMinutes: decimal.NewFromInt(60)}}
				})
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, tc.change...)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			body := event()
			if tc.body != "" {
				body = tc.body
			}
			first := s.track(body, withKey("k"))
			require.Equal(t, http.StatusCreated, first.status, first.body)
			if tc.meanwhile != nil {
				tc.meanwhile(s)
			}
			used := s.usage()
			again := tc.again
			if again == nil {
				again = func(s *server) answer { return s.track(body, withKey("k")) }
			}
			a := again(s)
			if tc.fresh {
				require.NotEqual(t, first.fields(http.StatusCreated).id(), a.fields(http.StatusCreated).id())
				require.NotContains(t, a.header, "Idempotency-Replayed")
				return
			}
			replayed(t, first, a)
			require.Equal(t, used, s.usage(), "a replay does not count")
			if tc.mismatch {
				require.Equal(t, "true", a.header.Get("Idempotency-Mismatch"))
			} else {
				require.NotContains(t, a.header, "Idempotency-Mismatch")
			}
		})
	}
}

// ownType gives the org a task type of its own.
func ownType(o *humanhours.Org) {
	o.TaskTypes = map[string]humanhours.TaskType{"own": {
		Key: "own", DisplayName: "Own", Category: "ours", BaselineMinutes: decimal.NewNullDecimal(decimal.RequireFromString("7.50")),
	}}
}

func TestStrictMismatchPolicy(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.Mismatch = humanhours.MismatchRefuse })
	first := s.track(event(), withKey("k"))
	a := s.track(event("agent_id", `"b"`), withKey("k"))
	a.refused(http.StatusUnprocessableEntity, humanhours.CodeIdempotencyKeyReused, "idempotency_key")
	require.NotContains(t, a.body, first.fields(http.StatusCreated).id(), "nothing is said about the first event")
	replayed(t, first, s.track(event(), withKey("k")))
	require.Len(t, s.stored("acme"), 1)
}

// TestRefusalsBurnNoKey: a request that was refused for the state of things creates when that state is gone.
func TestRefusalsBurnNoKey(t *testing.T) {
	s := newServer(t, plan(humanhours.Plan{EventsPerMonth: 1}))
	s.clock.Advance(25*24*time.Hour + 13*time.Hour) // a quarter of an hour before June
	own := event("task_type", `"own"`, "occurred_at", instant(s.clock.Now().Add(24*time.Hour+time.Minute)))
	s.track(own, withKey("type")).refused(422, humanhours.CodeUnknownTaskType, "task_type")
	s.update(ownType)
	s.track(own, withKey("type")).refused(422, humanhours.CodeOccurredAtOutOfRange, "occurred_at")
	s.track(event(), withKey("first")).fields(http.StatusCreated)
	s.track(event(), withKey("quota")).refused(429, humanhours.CodeQuotaExceeded, "")
	s.clock.Advance(15 * time.Minute)
	s.track(own, withKey("type")).fields(http.StatusCreated)
	s.track(event(), withKey("quota")).refused(429, humanhours.CodeQuotaExceeded, "")
}

// TestConcurrentRetries: 64 identical requests through a real server make one event.
func TestConcurrentRetries(t *testing.T) {
	const callers = 64
	s := newServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	var mu sync.Mutex
	bodies := map[string]int{}
	codes := map[int]int{}
	flags := map[string]int{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/track", strings.NewReader(event("agent_cost", "0.10")))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = http.Header{
				"Authorization": {"Bearer " + s.key}, "Content-Type": {"application/json"}, "Idempotency-Key": {"the same"},
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			bodies[string(body)]++
			codes[answer.StatusCode]++
			flags[answer.Header.Get("Idempotency-Replayed")]++
		})
	}
	wg.Wait()
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusOK: callers - 1}, codes)
	require.Equal(t, map[string]int{"": 1, "true": callers - 1}, flags)
	require.Len(t, bodies, 1, "all answers are the same")
	require.Len(t, s.stored("acme"), 1)
	require.EqualValues(t, 1, s.usage())
}
