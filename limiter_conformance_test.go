package humanhours_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestLimiterConformance(t *testing.T) {
	storetest.RunLimiter(t, func(_ testing.TB, clock func() time.Time) humanhours.Limiter { return humanhours.NewLimiter(clock) })
}

// Two processes' worth of callers on one limiter: what the suite for several handles asks of a shared one.
func TestLimiterConformanceShared(t *testing.T) {
	storetest.RunSharedLimiter(t, func(_ testing.TB, n int, clock func() time.Time) []humanhours.Limiter {
		l := humanhours.NewLimiter(clock)
		handles := make([]humanhours.Limiter, n)
		for i := range handles {
			handles[i] = l
		}
		return handles
	})
}

// Keys that come once and never again must not stay: their number follows the last two seconds, not the age of the process.
func TestMemoryLimiterHoldsRecentKeysOnly(t *testing.T) {
	const perStep, step = 50, 10 * time.Millisecond
	const bound = perStep * int(2*time.Second/step) * 11 / 10
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	for i := range int(8 * time.Second / step) {
		for j := range perStep {
			take(t, l, fmt.Sprint("key ", i, " ", j), 3)
		}
		require.LessOrEqual(t, l.Len(), bound)
		clock.Advance(step)
	}
}

// A key costs what its limit costs, however often it is asked for, allowed or refused.
func TestMemoryLimiterBoundsTheMemoryOfAKey(t *testing.T) {
	const keys, limit, seconds = 50, 1000, 8
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	before := heap()
	for range seconds {
		for _, name := range names {
			for range limit + 10 {
				_, _ = l.Take(t.Context(), humanhours.TakeQuery{Key: name, Limit: limit})
			}
		}
		clock.Advance(time.Second)
	}
	// 8 bytes an instant; twice that leaves room for the ring's growth and for the map.
	assert.LessOrEqual(t, int64(heap()-before), int64(2*8*limit*keys))
	assert.Equal(t, keys, l.Len()) // and keeps the limiter alive until here
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A wall clock can be set back, and two goroutines that read it can arrive in the other order. Time then stands still for
// the limiter: it never allows more than a clock that had stopped would.
func TestMemoryLimiterOnAClockThatJumps(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		limit := 1 + random.IntN(20)
		clock := newClock(noon)
		l := humanhours.NewLimiter(clock.Now)
		latest := noon
		var allowed []time.Time
		for i := range 2000 {
			switch random.IntN(8) {
			case 0:
				clock.Advance(-time.Duration(random.Int64N(int64(3 * time.Second))))
			case 1:
				clock.Set(latest.Add(time.Duration(random.Int64N(int64(2 * time.Second)))))
			default:
				clock.Advance(time.Duration(random.Int64N(int64(time.Second) / int64(limit))))
			}
			if now := clock.Now(); now.After(latest) {
				latest = now
			}
			inside := 0
			for j := len(allowed) - 1; j >= 0 && latest.Sub(allowed[j]) < time.Second; j-- {
				inside++
			}
			d := take(t, l, "k", limit)
			require.Equal(t, inside < limit, d.Allowed, "take %d of seed %d", i, seed)
			if d.Allowed {
				allowed = append(allowed, latest)
				continue
			}
			require.Positive(t, d.RetryAfter)
			require.LessOrEqual(t, d.RetryAfter, time.Second)
		}
	}
}

// Crowds come and go, so that the tables grow, are swept, shrink and grow again with keys in them, and each key's ring grows, by limits
// around the sizes that it has. Every decision is that of a list of all instants.
func TestMemoryLimiterIsExactWhileKeysComeAndGo(t *testing.T) {
	const keys, steps = 6000, 300_000
	random := rand.New(rand.NewPCG(8, 8))
	limits := []int{1, 2, 3, 4, 5, 7, 8, 9, 16, 17}
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	allowed := make([][]time.Time, keys)
	now, crowd := noon, 1
	for i := range steps {
		if random.IntN(3000) == 0 {
			crowd = []int{1, 10, 300, keys}[random.IntN(4)]
		}
		// Of a crowd some are asked for often, so that they need more than the first few instants.
		k := random.IntN(1 + random.IntN(crowd))
		limit := limits[k%len(limits)]
		if random.IntN(20) == 0 {
			limit = limits[random.IntN(len(limits))]
		}
		for len(allowed[k]) > 0 && now.Sub(allowed[k][0]) >= time.Second {
			allowed[k] = allowed[k][1:]
		}
		want := humanhours.Decision{Allowed: true}
		if n := len(allowed[k]) - limit; n >= 0 {
			want = humanhours.Decision{RetryAfter: time.Second - now.Sub(allowed[k][n])}
		} else {
			allowed[k] = append(allowed[k], now)
		}
		got, err := l.Take(t.Context(), humanhours.TakeQuery{Key: names[k], Limit: limit})
		if err != nil || got != want {
			t.Fatalf("take %d, of key %d with a limit of %d: got %v, %v, want %v", i, k, limit, got, err, want)
		}
		switch random.IntN(1000) {
		case 0:
			now = now.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
		case 1:
			now = now.Add(time.Second)
		default:
			now = now.Add(time.Duration(random.Int64N(int64(200 * time.Microsecond))))
		}
		clock.Set(now)
	}
}

// What a crowd needed is given back when it has gone.
func TestMemoryLimiterGivesRoomBack(t *testing.T) {
	const crowd = 100_000
	clock := newClock(noon)
	l := humanhours.NewLimiter(clock.Now)
	before := heap()
	for i := range crowd {
		_, _ = l.Take(t.Context(), humanhours.TakeQuery{Key: fmt.Sprint("key ", i), Limit: 60})
	}
	require.Equal(t, crowd, l.Len())
	require.Greater(t, heap()-before, int64(64*crowd))
	for range 400 {
		clock.Advance(10 * time.Millisecond)
		_, _ = l.Take(t.Context(), humanhours.TakeQuery{Key: "busy", Limit: 60})
	}
	assert.Less(t, heap()-before, int64(2*crowd)) // next to nothing for each of them
	assert.Equal(t, 1, l.Len())                   // and keeps the limiter alive until here
}
