package humanhours_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// newCappedWorld returns a world where every org may have that many events a month.
func newCappedWorld(t *testing.T, events int64) *world {
	t.Helper()
	return newWorld(t, humanhours.Config{
		Plans: map[string]humanhours.Plan{"small": {EventsPerMonth: events}}, OrgDefaults: humanhours.Org{Plan: "small"},
	})
}

func TestQuota(t *testing.T) {
	w := newCappedWorld(t, 2)
	w.trackOne(t, request())
	w.trackOne(t, request())
	for range 3 {
		_, err := w.Track(t.Context(), humanhours.Caller{}, request())
		e := requireError(t, err, humanhours.CodeQuotaExceeded, "")
		assert.Contains(t, e.Message, "2 events")
		assert.Contains(t, e.Hint, "2026-06-01T00:00:00Z")
	}
	assert.Len(t, w.stored(t, defaultOrg), 2)
	assert.EqualValues(t, 2, w.usage(t, defaultOrg), "what is refused is not counted")
	w.track(t, humanhours.Caller{Org: "other"}, request())

	w.clock.Set(time.Date(2026, time.May, 31, 23, 59, 59, 999e6, time.UTC))
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	requireError(t, err, humanhours.CodeQuotaExceeded, "")
	w.clock.Advance(time.Millisecond)
	w.trackOne(t, request())
}

func TestQuotaRetryAfterIsTheNextUTCMonth(t *testing.T) {
	for name, tc := range map[string]struct {
		now  time.Time
		want time.Duration
	}{
		"middle of a month":            {noon, 17*24*time.Hour + 12*time.Hour},
		"last millisecond":             {time.Date(2026, time.January, 31, 23, 59, 59, 999e6, time.UTC), time.Millisecond},
		"first instant":                {time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC), 31 * 24 * time.Hour},
		"leap February":                {time.Date(2028, time.February, 28, 12, 0, 0, 0, time.UTC), 36 * time.Hour},
		"plain February":               {time.Date(2027, time.February, 28, 12, 0, 0, 0, time.UTC), 12 * time.Hour},
		"end of the year":              {time.Date(2026, time.December, 31, 23, 0, 0, 0, time.UTC), time.Hour},
		"next year where the clock is": {time.Date(2026, time.December, 31, 11, 0, 0, 0, time.UTC), 13 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newCappedWorld(t, 1)
			w.clock.Set(tc.now)
			w.trackOne(t, request())
			_, err := w.Track(t.Context(), humanhours.Caller{}, request())
			e := requireError(t, err, humanhours.CodeQuotaExceeded, "")
			assert.Equal(t, tc.want, e.RetryAfter)
			w.clock.Advance(e.RetryAfter - time.Millisecond)
			_, err = w.Track(t.Context(), humanhours.Caller{}, request())
			requireError(t, err, humanhours.CodeQuotaExceeded, "")
			w.clock.Advance(time.Millisecond)
			w.trackOne(t, request())
		})
	}
}

func TestQuotaCountsByReceipt(t *testing.T) {
	w := newCappedWorld(t, 1)
	lastMonth := request(func(r *humanhours.TrackRequest) { r.OccurredAt = noon.AddDate(0, -1, 0) })
	w.trackOne(t, lastMonth)
	_, err := w.Track(t.Context(), humanhours.Caller{}, lastMonth)
	requireError(t, err, humanhours.CodeQuotaExceeded, "")
}

func TestTestEventsDoNotCount(t *testing.T) {
	w := newCappedWorld(t, 1)
	rehearsal := humanhours.Caller{Test: true}
	for range 3 {
		assert.True(t, w.track(t, rehearsal, request()).Event.Test)
	}
	assert.Zero(t, w.usage(t, defaultOrg))
	w.trackOne(t, request())
	w.track(t, rehearsal, request())
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	requireError(t, err, humanhours.CodeQuotaExceeded, "")
}

func TestFreePlanHasFiveHundredEvents(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgDefaults: humanhours.Org{Plan: "free"}})
	batch := make([]humanhours.TrackRequest, 501)
	for i := range batch {
		batch[i] = withKey(fmt.Sprint(i))
	}
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, batch)
	require.NoError(t, err)
	for i, r := range results[:500] {
		require.NoError(t, r.Err, i)
	}
	e := requireError(t, results[500].Err, humanhours.CodeQuotaExceeded, "")
	assert.Contains(t, e.Message, "500 events")
}

func TestUpgradeLiftsTheQuota(t *testing.T) {
	w := newWorld(t, humanhours.Config{Plans: map[string]humanhours.Plan{"one": {EventsPerMonth: 1}, "free for all": {}}})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.Plan = "one" })
	w.trackOne(t, withKey("a"))
	_, err := w.Track(t.Context(), humanhours.Caller{}, withKey("b"))
	requireError(t, err, humanhours.CodeQuotaExceeded, "")
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.Plan = "free for all" })
	assert.False(t, w.track(t, humanhours.Caller{}, withKey("b")).Replayed, "the refused request has not burned its key")
}
