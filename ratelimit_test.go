package humanhours_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// take asks a limiter for one request.
func take(t *testing.T, l humanhours.Limiter, key string, limit int) humanhours.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: key, Limit: limit})
	require.NoError(t, err)
	return d
}

func TestMemoryLimiterForgetsIdleKeys(t *testing.T) {
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	for i := range 2000 {
		take(t, l, fmt.Sprint("key", i), 5)
	}
	assert.Equal(t, 2000, l.Len())
	clock.Advance(2 * time.Second)
	for range 64 { // whoever comes looks after the others
		take(t, l, "busy", 1000)
	}
	assert.Equal(t, 1, l.Len())
}

func TestMemoryLimiterOnTheRealClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := humanhours.NewLimiter(nil)
		assert.True(t, take(t, l, "k", 1).Allowed)
		assert.Equal(t, humanhours.Decision{RetryAfter: time.Second}, take(t, l, "k", 1))
		<-time.After(time.Second - time.Nanosecond)
		assert.Equal(t, humanhours.Decision{RetryAfter: time.Nanosecond}, take(t, l, "k", 1))
		<-time.After(time.Nanosecond)
		assert.True(t, take(t, l, "k", 1).Allowed)
	})
}

func TestMemoryLimiterWhenTheClockGoesBack(t *testing.T) {
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	assert.True(t, take(t, l, "k", 1).Allowed)
	clock.Advance(-time.Hour)
	assert.False(t, take(t, l, "k", 1).Allowed, "a clock that was set back gives nothing away")
	clock.Set(noon.Add(time.Second))
	assert.True(t, take(t, l, "k", 1).Allowed, "and locks nobody out for longer than the window")
}

func TestMemoryLimiterWhenTheClockGoesBackBeforeTheFirstTake(t *testing.T) {
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	clock.Advance(-time.Hour)
	assert.True(t, take(t, l, "k", 1).Allowed, "nothing was counted yet")
	assert.Equal(t, humanhours.Decision{RetryAfter: time.Second}, take(t, l, "k", 1))
}
