package humanhours_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestRetryGetsTheSameEvent(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	first := w.track(t, humanhours.Caller{}, withKey("run-1"))
	assert.False(t, first.Replayed)
	w.clock.Advance(time.Hour)
	for range 3 {
		retry := w.track(t, humanhours.Caller{}, withKey("run-1"))
		assert.True(t, retry.Replayed)
		assert.False(t, retry.Mismatch)
		requireSame(t, first.Event, retry.Event)
	}
	assert.False(t, w.track(t, humanhours.Caller{}, withKey("run-2")).Replayed)
	assert.False(t, w.track(t, humanhours.Caller{}, withKey("Run-1")).Replayed, "keys differ by case")
	assert.EqualValues(t, 3, w.usage(t, defaultOrg), "replays do not count")
}

func TestRequestsWithoutAKeyAlwaysCreate(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	assert.NotEqual(t, w.trackOne(t, request()).ID, w.trackOne(t, request()).ID)
	assert.Len(t, w.stored(t, defaultOrg), 2)
}

func TestConcurrentRequestsWithOneKeyCreateOnce(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	const callers = 64
	var created atomic.Int64
	events := make([]humanhours.Event, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			result, err := w.Track(context.Background(), humanhours.Caller{KeyID: []string{"keykey01", "keykey02"}[i%2]}, withKey("run-1"))
			if assert.NoError(t, err) && !result.Replayed {
				created.Add(1)
			}
			events[i] = result.Event
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, created.Load())
	for _, e := range events {
		requireSame(t, events[0], e)
	}
	assert.Len(t, w.stored(t, defaultOrg), 1)
	assert.EqualValues(t, 1, w.usage(t, defaultOrg))
}

func TestKeysBelongToAnOrg(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	first := w.track(t, humanhours.Caller{Org: "acme", KeyID: "keykey01"}, withKey("run-1"))
	assert.False(t, w.track(t, humanhours.Caller{Org: "globex", KeyID: "keykey01"}, withKey("run-1")).Replayed, "another org, another key")
	again := w.track(t, humanhours.Caller{Org: "acme", KeyID: "keykey02"}, withKey("run-1"))
	assert.True(t, again.Replayed, "of the org, whichever API key is used")
	assert.False(t, again.Mismatch)
	assert.Equal(t, "keykey01", again.Event.KeyID)
	requireSame(t, first.Event, again.Event)
}

func TestTestCallersHaveKeysOfTheirOwn(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	rehearsal := humanhours.Caller{Test: true}
	assert.False(t, w.track(t, rehearsal, withKey("run-1")).Replayed)
	live := w.track(t, humanhours.Caller{}, withKey("run-1"))
	assert.False(t, live.Replayed, "a rehearsal must not swallow a live event")
	assert.False(t, live.Event.Test)
	again := w.track(t, rehearsal, withKey("run-1"))
	assert.True(t, again.Replayed)
	assert.True(t, again.Event.Test)
	// The live key that looks like the stored form of a test key is no key at all.
	_, err := w.Track(t.Context(), humanhours.Caller{}, withKey("test\x00run-1"))
	requireError(t, err, humanhours.CodeValidation, "idempotency_key")
	assert.False(t, w.track(t, humanhours.Caller{}, withKey("testrun-1")).Replayed)
}

func TestKeyIsFreeAfterExactlyTheWindow(t *testing.T) {
	require.Equal(t, 24*time.Hour, humanhours.IdempotencyWindow)
	w := newWorld(t, humanhours.Config{})
	first := w.track(t, humanhours.Caller{}, withKey("run-1"))
	for _, age := range []time.Duration{23 * time.Hour, 24*time.Hour - time.Millisecond} {
		w.clock.Set(noon.Add(age))
		assert.True(t, w.track(t, humanhours.Caller{}, withKey("run-1")).Replayed, "from its first use, not from its last: %s", age)
	}
	w.clock.Set(noon.Add(24 * time.Hour))
	second := w.track(t, humanhours.Caller{}, withKey("run-1"))
	assert.False(t, second.Replayed)
	assert.NotEqual(t, first.Event.ID, second.Event.ID)
	w.clock.Set(noon.Add(48*time.Hour - time.Millisecond))
	third := w.track(t, humanhours.Caller{}, withKey("run-1"))
	assert.True(t, third.Replayed)
	requireSame(t, second.Event, third.Event)
}

// A retry is not at fault when the world has moved on since it was first sent.
func TestRetryWhenTheWorldHasMovedOn(t *testing.T) {
	for name, tc := range map[string]struct {
		req  humanhours.TrackRequest
		move func(*testing.T, *world)
		code humanhours.Code // what a first request gets now; empty: it is accepted
	}{
		"its task type was archived": {
			withKey("k", setTaskType("own")),
			func(t *testing.T, w *world) {
				w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
					o.TaskTypes = map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("5"), ArchivedAt: noon}}
				})
			},
			humanhours.CodeUnknownTaskType,
		},
		"its task type is gone": {
			withKey("k", setTaskType("own")),
			func(t *testing.T, w *world) { w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.TaskTypes = nil }) },
			humanhours.CodeUnknownTaskType,
		},
		"its time has left the 90 days": {
			withKey("k", setOccurredAt(noon.Add(-humanhours.MaxEventAge))),
			func(_ *testing.T, w *world) { w.clock.Advance(24*time.Hour - time.Millisecond) },
			humanhours.CodeOccurredAtOutOfRange,
		},
		"the quota is used up": {
			withKey("k"),
			func(t *testing.T, w *world) {
				for range 2 {
					w.trackOne(t, request())
				}
			},
			humanhours.CodeQuotaExceeded,
		},
		"the plan was lowered": {
			withKey("k"),
			func(t *testing.T, w *world) {
				w.trackOne(t, request())
				w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.Plan = "one" })
			},
			humanhours.CodeQuotaExceeded,
		},
		"the price, the rate, the baseline and the currency changed": {
			withKey("k", func(r *humanhours.TrackRequest) { r.Model, r.TokensIn = "m", humanhours.Int64(5) }),
			func(t *testing.T, w *world) {
				w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
					o.Currency, o.HourlyRate = "USD", null("99")
					o.Overrides = map[string]humanhours.Override{"email_classification": {BaselineMinutes: dec("1")}}
				})
			},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{
				Prices: book{"m": quote("0.1", "0.1", "EUR")}, Plans: map[string]humanhours.Plan{"three": {EventsPerMonth: 3}, "one": {EventsPerMonth: 1}},
			})
			w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
				o.Plan = "three"
				o.TaskTypes = map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("5")}}
			})
			first := w.track(t, humanhours.Caller{}, tc.req)
			tc.move(t, w)
			retry := w.track(t, humanhours.Caller{}, tc.req)
			assert.True(t, retry.Replayed)
			assert.False(t, retry.Mismatch, "what was resolved is no part of the request")
			requireSame(t, first.Event, retry.Event)

			other := tc.req
			other.IdempotencyKey = "other"
			_, err := w.Track(t.Context(), humanhours.Caller{}, other)
			assert.Equal(t, tc.code, humanhours.CodeOf(err))
		})
	}
}

func TestRefusedRequestDoesNotBurnItsKey(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	req := withKey("k", setTaskType("own"))
	_, err := w.Track(t.Context(), humanhours.Caller{}, req)
	requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.TaskTypes = map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("5")}}
	})
	assert.False(t, w.track(t, humanhours.Caller{}, req).Replayed)
}

// fullRequest has every field set.
func fullRequest() humanhours.TrackRequest {
	return humanhours.TrackRequest{
		AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: null("4"), AgentCost: null("0.5"), HumanBaselineMinutes: null("6"),
		Model: "m", Usage: humanhours.Usage{TokensIn: humanhours.Int64(100), TokensOut: humanhours.Int64(20)},
		Metadata:    json.RawMessage(`{"client":"acme","n":{"a":1,"b":[1,2]}}`),
		AuditSample: humanhours.AuditSample{InputExcerpt: "in", OutputExcerpt: "out"},
		OccurredAt:  noon.Add(-time.Hour), IdempotencyKey: "run-1",
	}
}

func TestMismatch(t *testing.T) {
	absent := func(n func(*humanhours.TrackRequest) *decimal.NullDecimal) edit {
		return func(r *humanhours.TrackRequest) { *n(r) = decimal.NullDecimal{} }
	}
	different := map[string]edit{
		"agent": setAgentID("support-bot2"), "task type": setTaskType("code_review"), "outcome": setOutcome(humanhours.OutcomeFailure), "model": setModel("n"),
		"no model": setModel(""), "tokens in": setTokens(101, 20), "tokens out": setTokens(100, 21), "tokens swapped": setTokens(20, 100),
		"no tokens in":  func(r *humanhours.TrackRequest) { r.TokensIn = humanhours.NullInt64{} },
		"no tokens out": func(r *humanhours.TrackRequest) { r.TokensOut = humanhours.NullInt64{} },
		"a text moved from one field to the next": func(r *humanhours.TrackRequest) {
			r.AgentID, r.TaskType = "support-bote", "mail_classification"
		},
		"numbers that read the same one after the other": func(r *humanhours.TrackRequest) {
			r.AgentDuration, r.AgentCost, r.HumanBaselineMinutes = null("40.56"), null(""), null("")
		},
		"metadata value": setMetadata(`{"client":"acme","n":{"a":2,"b":[1,2]}}`), "metadata order of a list": setMetadata(`{"client":"acme","n":{"a":1,"b":[2,1]}}`),
		"metadata key": setMetadata(`{"Client":"acme","n":{"a":1,"b":[1,2]}}`), "metadata type": setMetadata(`{"client":"acme","n":{"a":"1","b":[1,2]}}`),
		"more metadata": setMetadata(`{"client":"acme","n":{"a":1,"b":[1,2]},"x":null}`), "empty metadata": setMetadata(`{}`), "no metadata": setMetadata(``),
		"input excerpt": setExcerpts("IN", "out"), "output excerpt": setExcerpts("in", "OUT"), "excerpts swapped": setExcerpts("out", "in"), "excerpts moved": setExcerpts("ino", "ut"),
		"occurred a millisecond later": setOccurredAt(noon.Add(-time.Hour + time.Millisecond)), "occurred now": setOccurredAt(time.Time{}),
	}
	for _, n := range requestNumbers {
		different[n.field+" in the last place"] = func(r *humanhours.TrackRequest) {
			*n.of(r) = decimal.NewNullDecimal(n.of(r).Decimal.Add(dec("0.000000001")))
		}
		different[n.field+" zero"] = func(r *humanhours.TrackRequest) { *n.of(r) = null("0") }
		different[n.field+" absent"] = absent(n.of)
	}
	same := map[string]edit{
		"nothing": func(*humanhours.TrackRequest) {},
		"trailing zeros": func(r *humanhours.TrackRequest) {
			r.AgentDuration, r.AgentCost, r.HumanBaselineMinutes = null("4.000"), null("0.50"), decimal.NewNullDecimal(decimal.New(60, -1))
		},
		"an exponent":          func(r *humanhours.TrackRequest) { r.AgentDuration = null("0.4e1") },
		"noise that is cut":    func(r *humanhours.TrackRequest) { r.AgentDuration = null("4.0000000000000001") },
		"order in metadata":    setMetadata(`{"n":{"b":[1,2],"a":1},"client":"acme"}`),
		"spaces in metadata":   setMetadata(" {\n\"client\" : \"acme\",\t\"n\" : { \"a\":1, \"b\":[1, 2] } }\r\n"),
		"escapes in metadata":  setMetadata(`{"client":"\u0061cme","n":{"a":1,"b":[1,2]}}`),
		"another time zone":    setOccurredAt(noon.Add(-time.Hour).In(time.FixedZone("", -5*3600))),
		"part of a millsecond": setOccurredAt(noon.Add(-time.Hour + 999_999)),
	}
	for _, policy := range []humanhours.MismatchPolicy{humanhours.MismatchReplay, humanhours.MismatchRefuse} {
		w := newWorld(t, humanhours.Config{Mismatch: policy})
		first := w.track(t, humanhours.Caller{}, fullRequest())
		for name, edit := range different {
			req := fullRequest()
			edit(&req)
			result, err := w.Track(t.Context(), humanhours.Caller{}, req)
			if policy == humanhours.MismatchRefuse {
				requireError(t, err, humanhours.CodeIdempotencyKeyReused, "idempotency_key")
				assert.Zero(t, result)
				continue
			}
			require.NoError(t, err, name)
			assert.True(t, result.Replayed && result.Mismatch, name)
			requireSame(t, first.Event, result.Event)
		}
		for name, edit := range same {
			req := fullRequest()
			edit(&req)
			result, err := w.Track(t.Context(), humanhours.Caller{}, req)
			require.NoError(t, err, name)
			assert.True(t, result.Replayed, name)
			assert.False(t, result.Mismatch, "%s makes no difference", name)
		}
		assert.Len(t, w.stored(t, defaultOrg), 1)
	}
}

func TestMismatchOfARequestThatWouldBeRefused(t *testing.T) {
	for _, policy := range []humanhours.MismatchPolicy{humanhours.MismatchReplay, humanhours.MismatchRefuse} {
		w := newWorld(t, humanhours.Config{Mismatch: policy})
		w.track(t, humanhours.Caller{}, withKey("k"))
		result, err := w.Track(t.Context(), humanhours.Caller{}, withKey("k", setTaskType("no_such_type")))
		if policy == humanhours.MismatchRefuse {
			requireError(t, err, humanhours.CodeIdempotencyKeyReused, "idempotency_key")
			continue
		}
		require.NoError(t, err)
		assert.True(t, result.Mismatch)
	}
}

func TestMismatchIsReported(t *testing.T) {
	for _, policy := range []humanhours.MismatchPolicy{humanhours.MismatchReplay, humanhours.MismatchRefuse} {
		var reported []humanhours.Mismatch
		w := newWorld(t, humanhours.Config{Mismatch: policy, OnMismatch: func(m humanhours.Mismatch) { reported = append(reported, m) }})
		c := humanhours.Caller{Org: "acme", KeyID: "keykey01", Test: true}
		first := w.track(t, c, withKey("run-1", setMetadata(`{"a":1}`)))
		w.track(t, c, withKey("run-1", setMetadata(`{"a":1}`)))
		c.KeyID = "keykey02"
		result, _ := w.Track(t.Context(), c, withKey("run-1", setMetadata(`{"a":2}`)))
		copy(result.Event.Metadata, "xxxxxxx")
		require.NoError(t, w.Shutdown(t.Context()))
		require.Len(t, reported, 1, "a plain retry is no mismatch")
		m := reported[0]
		assert.Equal(t, []string{"acme", "keykey02", "run-1"}, []string{m.Org, m.KeyID, m.Key})
		requireSame(t, first.Event, m.First)
	}
}

// lostConnection stores what it is given and then fails, as often as told.
func lostConnection(times int, cause error) func(humanhours.Store) humanhours.Store {
	return func(s humanhours.Store) humanhours.Store {
		return appendFunc{s, func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
			results := s.Append(ctx, entries)
			if times--; times >= 0 {
				for i := range results {
					results[i] = humanhours.Appended{Err: cause}
				}
			}
			return results
		}}
	}
}

func TestConnectionLostAfterTheEventWasStored(t *testing.T) {
	for _, key := range []string{"", "run-1"} {
		var told atomic.Int64
		w := newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) { told.Add(1) }}, lostConnection(1, errors.New("connection reset")))
		result := w.track(t, humanhours.Caller{}, withKey(key))
		assert.False(t, result.Replayed, "the Tracker's own second try is not the caller's retry")
		stored := w.stored(t, defaultOrg)
		require.Len(t, stored, 1, "stored once")
		requireSame(t, stored[0], result.Event)
		assert.EqualValues(t, 1, w.usage(t, defaultOrg), "counted once")
		require.NoError(t, w.Shutdown(t.Context()))
		assert.EqualValues(t, 1, told.Load())
	}
}

func TestConnectionLostTwice(t *testing.T) {
	w := newWorld(t, humanhours.Config{}, lostConnection(2, errors.New("connection reset")))
	_, err := w.Track(t.Context(), humanhours.Caller{}, withKey("run-1"))
	e := requireError(t, err, humanhours.CodeUnavailable, "")
	assert.Contains(t, e.Hint, "same idempotency key")
	retry := w.track(t, humanhours.Caller{}, withKey("run-1"))
	assert.True(t, retry.Replayed)
	assert.Len(t, w.stored(t, defaultOrg), 1)
	assert.EqualValues(t, 1, w.usage(t, defaultOrg))
}

func TestStoreThatAlwaysFails(t *testing.T) {
	broken := errors.New("connection refused")
	for name, answer := range map[string]func(int) []humanhours.Appended{
		"with an error": func(n int) []humanhours.Appended {
			results := make([]humanhours.Appended, n)
			for i := range results {
				results[i].Err = broken
			}
			return results
		},
		"by answering nothing": func(int) []humanhours.Appended { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store {
				return appendFunc{s, func(_ context.Context, entries []humanhours.Entry) []humanhours.Appended {
					calls++
					return answer(len(entries))
				}}
			})
			result, err := w.Track(t.Context(), humanhours.Caller{}, withKey("run-1"))
			e := requireError(t, err, humanhours.CodeUnavailable, "")
			assert.Equal(t, time.Second, e.RetryAfter)
			assert.NotContains(t, e.Message+e.Hint, "refused", "the cause is for logs only")
			assert.Zero(t, result)
			if strings.Contains(name, "error") {
				assert.ErrorIs(t, err, broken)
			}
			assert.Equal(t, 2, calls, "a second try, and no more")
			assert.Empty(t, w.stored(t, defaultOrg))
		})
	}
}

// brokenReplay is a Store that cannot look up keys.
type brokenReplay struct {
	humanhours.Store
	err error
}

func (s brokenReplay) Replay(context.Context, humanhours.ReplayQuery) (humanhours.Replay, error) {
	return humanhours.Replay{}, s.err
}

func TestStoreThatCannotTellARetry(t *testing.T) {
	broken := errors.New("connection refused")
	w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store { return brokenReplay{s, broken} })
	_, err := w.Track(t.Context(), humanhours.Caller{}, withKey("k", setTaskType("no_such_type")))
	requireError(t, err, humanhours.CodeUnavailable, "")
	assert.ErrorIs(t, err, broken, "a refusal could be wrong: the key may name an event")
	_, err = w.Track(t.Context(), humanhours.Caller{}, request(setTaskType("no_such_type")))
	requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
}

// TestFingerprintsLast: a retry may meet a newer release than its first try did, and the store has what the older one made of it.
func TestFingerprintsLast(t *testing.T) {
	full := run("m", counts("in", 1, "out", 2, "read", 3))
	full.AgentDuration, full.AgentCost = humanhours.Seconds(42500*time.Millisecond), decimal.NewNullDecimal(decimal.RequireFromString("0.0210"))
	full.HumanBaselineMinutes = decimal.NewNullDecimal(decimal.New(12, 0))
	full.Metadata = json.RawMessage(`{"b": 1, "a": ["é", null]}`)
	full.AuditSample = humanhours.AuditSample{InputExcerpt: "in", OutputExcerpt: "out"}
	full.OccurredAt = noon.Add(-time.Minute)
	for name, test := range map[string]struct {
		request humanhours.TrackRequest
		want    string
	}{
		"small": {request(), "b4f3b127b3a1b68b1989842286b13608"},
		"full":  {full, "a6a4f2ea3f11ab5a876c07c487cf5905"},
		"calls": {run("", humanhours.Usage{}, call("a", "in", 1), call("b", "in", 2, "images", 3)), "85ccb9eb3dd3d1a99fdbd6ba3fba7b48"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{})
			test.request.IdempotencyKey = "k"
			w.trackOne(t, test.request)
			q := humanhours.ReplayQuery{Org: defaultOrg, Key: "k", At: noon}
			_, err := hex.Decode(q.Fingerprint[:], []byte(test.want))
			require.NoError(t, err)
			found, err := w.store.Replay(t.Context(), q)
			require.NoError(t, err)
			assert.True(t, found.Found)
			assert.False(t, found.Mismatch)
		})
	}
}
