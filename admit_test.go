package humanhours_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// newLimitedWorld returns a world where the org "acme" has a plan of three requests a second.
func newLimitedWorld(t *testing.T, cfg humanhours.Config) *world {
	t.Helper()
	cfg.Plans = map[string]humanhours.Plan{"three": {RequestsPerSecond: 3}}
	w := newWorld(t, cfg)
	for _, org := range []string{"acme", "globex"} {
		w.setOrg(t, org, func(o *humanhours.Org) { o.Plan = "three" })
	}
	return w
}

func TestRateLimit(t *testing.T) {
	w := newLimitedWorld(t, humanhours.Config{})
	caller := humanhours.Caller{Org: "acme", KeyID: "keykey01"}
	for range 3 {
		w.track(t, caller, request())
		w.clock.Advance(100 * time.Millisecond)
	}
	_, err := w.Track(t.Context(), caller, request())
	e := requireError(t, err, humanhours.CodeRateLimited, "")
	assert.Equal(t, 700*time.Millisecond, e.RetryAfter, "until the first of the three is a second old")
	assert.Contains(t, e.Message, "3")
	assert.NotEmpty(t, e.Hint)
	assert.Len(t, w.stored(t, "acme"), 3, "a refused request stores nothing")

	w.track(t, humanhours.Caller{Org: "acme", KeyID: "keykey02"}, request())
	w.track(t, humanhours.Caller{Org: "globex", KeyID: "keykey01"}, request())
	w.track(t, humanhours.Caller{Org: "acme"}, request())

	w.clock.Advance(e.RetryAfter)
	w.track(t, caller, request())
}

func TestEveryRequestTakesOneToken(t *testing.T) {
	caller := humanhours.Caller{Org: "acme"}
	for name, call := range map[string]func(*testing.T, *world){
		"a batch": func(t *testing.T, w *world) {
			results, err := w.TrackBatch(t.Context(), caller, make([]humanhours.TrackRequest, 50))
			require.NoError(t, err)
			require.Len(t, results, 50)
		},
		"an empty batch": func(t *testing.T, w *world) {
			_, err := w.TrackBatch(t.Context(), caller, nil)
			require.NoError(t, err)
		},
		"a malformed request": func(t *testing.T, w *world) {
			_, err := w.Track(t.Context(), caller, humanhours.TrackRequest{})
			requireError(t, err, humanhours.CodeValidation, "agent_id")
		},
		"a request outside of the scopes": func(t *testing.T, w *world) {
			_, err := w.Track(t.Context(), humanhours.Caller{Org: "acme", Scopes: humanhours.ScopeReportsRead}, request())
			requireError(t, err, humanhours.CodeInsufficientScope, "")
		},
		"admission alone": func(t *testing.T, w *world) {
			require.NoError(t, w.Admit(t.Context(), caller, humanhours.ScopeTrackWrite))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLimitedWorld(t, humanhours.Config{})
			for range 3 {
				call(t, w)
			}
			_, err := w.TrackBatch(t.Context(), caller, nil)
			requireError(t, err, humanhours.CodeRateLimited, "")
			_, err = w.Track(t.Context(), caller, humanhours.TrackRequest{})
			requireError(t, err, humanhours.CodeRateLimited, "")
		})
	}
}

func TestRecordTakesNoToken(t *testing.T) {
	w := newLimitedWorld(t, humanhours.Config{Limiter: limiterFunc(func(humanhours.TakeQuery) (humanhours.Decision, error) {
		t.Error("the limiter was asked")
		return humanhours.Decision{}, nil
	})})
	caller := humanhours.Caller{Org: "acme"}
	_, err := w.Record(t.Context(), caller, request())
	require.NoError(t, err)
	_, err = w.RecordBatch(t.Context(), caller, []humanhours.TrackRequest{request()})
	require.NoError(t, err)
	w.track(t, humanhours.Caller{}, request()) // the default org has no limits
}

func TestLimiterIsAskedForTheKeyOfTheCaller(t *testing.T) {
	asked := map[string]humanhours.Caller{}
	w := newWorld(t, humanhours.Config{
		OrgDefaults: humanhours.Org{Plan: "enterprise"},
		Limiter: limiterFunc(func(q humanhours.TakeQuery) (humanhours.Decision, error) {
			assert.Equal(t, 1000, q.Limit)
			asked[q.Key] = humanhours.Caller{}
			return humanhours.Decision{Allowed: true}, nil
		}),
	})
	callers := []humanhours.Caller{
		{Org: "a", KeyID: "b"}, {Org: "a"}, {Org: "ab"}, {Org: "a:b", KeyID: "c"}, {Org: "a", KeyID: ":bc"}, {Org: "a", KeyID: "b:c"},
		{Org: "1:a", KeyID: "b"}, {Org: "1", KeyID: ":ab"}, {Org: "1:1:a"}, {Org: "11:a"}, {Org: "1", KeyID: "1:a"}, {Org: "a\x00", KeyID: "b"},
		{Org: "a", KeyID: "\x00b"}, {Org: "aaaaaaaaaaa"}, {Org: "1:aaaaaaaaaa", KeyID: "a"},
	}
	for _, c := range callers {
		w.track(t, c, request())
	}
	assert.Len(t, asked, len(callers), "no two callers are counted together")
}

func TestLimiterThatFails(t *testing.T) {
	broken := errors.New("connection refused")
	w := newLimitedWorld(t, humanhours.Config{Limiter: limiterFunc(func(humanhours.TakeQuery) (humanhours.Decision, error) {
		return humanhours.Decision{Allowed: true}, broken
	})})
	_, err := w.Track(t.Context(), humanhours.Caller{Org: "acme"}, request())
	requireError(t, err, humanhours.CodeUnavailable, "")
	assert.ErrorIs(t, err, broken)
	assert.Empty(t, w.stored(t, "acme"), "unlimited is not what a broken limiter means")
}

func TestScopes(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	all := []humanhours.Scopes{humanhours.ScopeTrackWrite, humanhours.ScopeReportsRead, humanhours.ScopeOrgWrite}
	for _, need := range all {
		for mask := range humanhours.Scopes(1 << len(all)) {
			err := w.Admit(t.Context(), humanhours.Caller{Scopes: mask}, need)
			if mask == 0 || mask&need != 0 {
				assert.NoError(t, err, "%s covers %s", mask, need)
				continue
			}
			assert.Contains(t, requireError(t, err, humanhours.CodeInsufficientScope, "").Message, need.String())
		}
	}
	both := humanhours.ScopeTrackWrite | humanhours.ScopeOrgWrite
	requireError(t, w.Admit(t.Context(), humanhours.Caller{Scopes: humanhours.ScopeTrackWrite}, both), humanhours.CodeInsufficientScope, "")

	_, err := w.TrackBatch(t.Context(), humanhours.Caller{Scopes: humanhours.ScopeOrgWrite}, []humanhours.TrackRequest{request()})
	requireError(t, err, humanhours.CodeInsufficientScope, "")
	assert.Empty(t, w.stored(t, defaultOrg))
}

func TestDefaultPlans(t *testing.T) {
	want := map[string]humanhours.Plan{
		"free": {RequestsPerSecond: 60, EventsPerMonth: 500, Locked: humanhours.FeatureTaskTypes | humanhours.FeatureReports},
		"pro":  {RequestsPerSecond: 200}, "enterprise": {RequestsPerSecond: 1000},
	}
	plans := humanhours.DefaultPlans()
	assert.Equal(t, want, plans)
	plans["free"] = humanhours.Plan{}
	assert.Equal(t, want, humanhours.DefaultPlans(), "the map is the caller's own")
}

func TestPlansAreCopied(t *testing.T) {
	plans := map[string]humanhours.Plan{"once": {RequestsPerSecond: 1}}
	w := newWorld(t, humanhours.Config{Plans: plans, OrgDefaults: humanhours.Org{Plan: "once"}})
	delete(plans, "once")
	w.trackOne(t, request())
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	requireError(t, err, humanhours.CodeRateLimited, "")
}

// A limiter that does not say when to come back must not leave the caller without an answer to that.
func TestLimiterWithoutRetryAfter(t *testing.T) {
	w := newWorld(t, humanhours.Config{
		OrgDefaults: humanhours.Org{Plan: "pro"},
		Limiter: limiterFunc(func(humanhours.TakeQuery) (humanhours.Decision, error) {
			return humanhours.Decision{}, nil
		}),
	})
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	require.Equal(t, time.Second, requireError(t, err, humanhours.CodeRateLimited, "").RetryAfter)
}

func TestOrgIsBounded(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.track(t, humanhours.Caller{Org: strings.Repeat("\xff", humanhours.MaxOrgLength)}, request())
	_, err := w.Track(t.Context(), humanhours.Caller{Org: strings.Repeat("x", humanhours.MaxOrgLength+1)}, request())
	requireError(t, err, humanhours.CodeValidation, "org")
}
