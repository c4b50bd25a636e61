package humanhours_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// orgSpy is an OrgStore that counts reads and lets a test into the middle of them.
type orgSpy struct {
	humanhours.OrgStore
	reads  atomic.Int64
	onRead func(humanhours.Org, bool, error) (humanhours.Org, bool, error) // runs after the read, before its answer
}

func (s *orgSpy) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	s.reads.Add(1)
	org, found, err := s.OrgStore.Org(ctx, id)
	if s.onRead != nil {
		return s.onRead(org, found, err)
	}
	return org, found, err
}

// newSpiedWorld returns a world whose org settings are read through the spy.
func newSpiedWorld(t *testing.T, ttl time.Duration) (*world, *orgSpy) {
	t.Helper()
	spy := &orgSpy{OrgStore: memory.New()}
	return newWorld(t, humanhours.Config{Orgs: spy, OrgCacheTTL: ttl}), spy
}

func TestOrgSettingsAreRememberedForTheTTL(t *testing.T) {
	for name, tc := range map[string]struct{ configured, ttl time.Duration }{
		"default": {0, 5 * time.Second}, "configured": {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w, spy := newSpiedWorld(t, tc.configured)
			w.trackOne(t, request())
			assert.EqualValues(t, 1, spy.reads.Load(), "once for the whole request")
			w.clock.Advance(tc.ttl - time.Millisecond)
			w.trackOne(t, request())
			assert.EqualValues(t, 1, spy.reads.Load(), "not again within the TTL")
			w.clock.Advance(time.Millisecond)
			w.trackOne(t, request())
			assert.EqualValues(t, 2, spy.reads.Load(), "again after it")
			w.track(t, humanhours.Caller{Org: "other"}, request())
			assert.EqualValues(t, 3, spy.reads.Load(), "each org for itself")
		})
	}
}

func TestNegativeTTLMeansNoCache(t *testing.T) {
	w, spy := newSpiedWorld(t, -1)
	w.trackOne(t, request())
	reads := spy.reads.Load()
	w.trackOne(t, request())
	assert.Equal(t, 2*reads, spy.reads.Load())
}

// rateOf tracks a task and returns the hourly rate it was valued at.
func rateOf(t *testing.T, w *world) string {
	t.Helper()
	return w.trackOne(t, request()).HourlyRate.Amount.String()
}

func setRate(rate string) func(*humanhours.Org) {
	return func(o *humanhours.Org) { o.HourlyRate = null(rate) }
}

func TestUpdateOrgShowsAtOnce(t *testing.T) {
	w, spy := newSpiedWorld(t, time.Hour)
	w.track(t, humanhours.Caller{Org: "other"}, request())
	assert.Equal(t, "45", rateOf(t, w))
	w.setOrg(t, defaultOrg, setRate("60"))
	assert.Equal(t, "60", rateOf(t, w))
	reads := spy.reads.Load()
	w.track(t, humanhours.Caller{Org: "other"}, request())
	assert.Equal(t, reads, spy.reads.Load(), "the settings of other orgs stay remembered")

	// An update of another process shows when the TTL is over.
	_, err := spy.UpdateOrg(t.Context(), defaultOrg, func(o *humanhours.Org) ([]humanhours.Change, error) {
		setRate("75")(o)
		return nil, nil
	})
	require.NoError(t, err)
	assert.Equal(t, "60", rateOf(t, w))
	w.clock.Advance(time.Hour)
	assert.Equal(t, "75", rateOf(t, w))
}

// A read that started before an update and ends after it must not bring the old settings back.
func TestUpdateOrgDuringARead(t *testing.T) {
	w, spy := newSpiedWorld(t, time.Hour)
	reading, updated := make(chan struct{}), make(chan struct{})
	first := true
	spy.onRead = func(org humanhours.Org, found bool, err error) (humanhours.Org, bool, error) {
		if first {
			first = false
			close(reading)
			<-updated
		}
		return org, found, err
	}
	inFlight := make(chan string, 1)
	go func() {
		result, err := w.Track(context.Background(), humanhours.Caller{}, request())
		assert.NoError(t, err)
		inFlight <- result.Event.HourlyRate.Amount.String()
	}()
	<-reading
	w.setOrg(t, defaultOrg, setRate("60"))
	close(updated)
	assert.Contains(t, []string{"45", "60"}, <-inFlight, "the request that was under way may see either")
	assert.Equal(t, "60", rateOf(t, w), "later ones see the update")
}

func TestUpdateOrgThatFailedHalfwayIsReadAgain(t *testing.T) {
	w, spy := newSpiedWorld(t, time.Hour)
	assert.Equal(t, "45", rateOf(t, w))
	broken := errors.New("connection lost")
	spy.OrgStore = lostAnswer{spy.OrgStore, broken}
	_, err := w.UpdateOrg(t.Context(), defaultOrg, func(o *humanhours.Org) ([]humanhours.Change, error) {
		setRate("60")(o)
		return nil, nil
	})
	requireError(t, err, humanhours.CodeUnavailable, "")
	assert.ErrorIs(t, err, broken)
	assert.Equal(t, "60", rateOf(t, w), "it was stored, only the answer was lost")
}

// lostAnswer stores updates and then fails.
type lostAnswer struct {
	humanhours.OrgStore
	err error
}

func (s lostAnswer) UpdateOrg(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error) {
	if _, err := s.OrgStore.UpdateOrg(ctx, id, f); err != nil {
		return humanhours.Org{}, err
	}
	return humanhours.Org{}, s.err
}

func TestOrgStoreThatFails(t *testing.T) {
	w, spy := newSpiedWorld(t, time.Second)
	broken := errors.New("connection refused")
	spy.onRead = func(humanhours.Org, bool, error) (humanhours.Org, bool, error) {
		return humanhours.Org{}, false, broken
	}
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	assert.Equal(t, time.Second, requireError(t, err, humanhours.CodeUnavailable, "").RetryAfter)
	assert.ErrorIs(t, err, broken)
	_, err = w.TaskTypes(t.Context(), humanhours.Caller{}, humanhours.TaskTypeQuery{})
	requireError(t, err, humanhours.CodeUnavailable, "")

	spy.onRead = nil
	w.trackOne(t, request())
	assert.Len(t, w.stored(t, defaultOrg), 1, "a failure is not remembered, and has stored nothing")
}

func TestStoredSettingsThatAreNotValid(t *testing.T) {
	for name, org := range map[string]humanhours.Org{
		"unknown plan": {Plan: "platinum"}, "currency": {Currency: "euro"}, "rate": {HourlyRate: null("-1")},
	} {
		t.Run(name, func(t *testing.T) {
			w, spy := newSpiedWorld(t, time.Second)
			spy.onRead = func(humanhours.Org, bool, error) (humanhours.Org, bool, error) { return org, true, nil }
			_, err := w.Track(t.Context(), humanhours.Caller{}, request())
			requireError(t, err, humanhours.CodeInternal, "")
			assert.NotErrorIs(t, err, humanhours.CodeValidation, "the caller's request is not at fault")
			assert.Empty(t, w.stored(t, defaultOrg))
		})
	}
}
