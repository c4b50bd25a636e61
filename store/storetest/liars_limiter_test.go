package storetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
)

// slidingLog is a plain Limiter that remembers every Take. It is honest when nothing in it is set.
type slidingLog struct {
	clock   func() time.Time
	key     func(string) string               // changes keys
	limit   func(int) int                     // changes limits
	window  time.Duration                     // defaults to a second
	refused bool                              // counts refused Takes
	between func()                            // happens between looking and taking; nil: both are one step
	wait    func(time.Duration) time.Duration // changes RetryAfter
	forgets bool                              // starts anew when the limit changes
	tick    time.Duration                     // how fine it measures time

	mu     sync.Mutex
	taken  map[string][]time.Time
	limits map[string]int
}

func (l *slidingLog) Take(_ context.Context, q humanhours.TakeQuery) (humanhours.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken, l.limits = make(map[string][]time.Time), make(map[string]int)
	}
	window, key, limit := time.Second, rename(l.key, q.Key), q.Limit
	if l.window != 0 {
		window = l.window
	}
	if l.limit != nil {
		limit = l.limit(limit)
	}
	if l.forgets && l.limits[key] != q.Limit {
		l.taken[key] = nil
	}
	l.limits[key] = q.Limit
	now := l.clock()
	if l.tick > 0 {
		now = now.Truncate(l.tick)
	}
	inside := l.taken[key]
	for len(inside) > 0 && now.Sub(inside[0]) >= window {
		inside = inside[1:]
	}
	allowed := len(inside) < limit
	if l.between != nil {
		l.mu.Unlock()
		l.between()
		l.mu.Lock()
		inside = l.taken[key]
	}
	if allowed || l.refused {
		l.taken[key] = append(inside, now)
	}
	if allowed {
		return humanhours.Decision{Allowed: true}, nil
	}
	wait := window - now.Sub(inside[len(inside)-limit])
	if l.wait != nil {
		wait = l.wait(wait)
	}
	return humanhours.Decision{RetryAfter: wait}, nil
}

// leakyBucket is GCRA: it spaces requests evenly and lets a burst through at the start.
type leakyBucket struct {
	clock func() time.Time
	burst func(limit int) int
	mu    sync.Mutex
	next  map[string]time.Time
}

func (l *leakyBucket) Take(_ context.Context, q humanhours.TakeQuery) (humanhours.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, spacing := l.clock(), time.Second/time.Duration(q.Limit)
	at := later(l.next[q.Key], now)
	if wait := at.Add(spacing).Sub(now) - time.Duration(l.burst(q.Limit))*spacing; wait > 0 {
		return humanhours.Decision{RetryAfter: min(wait, time.Second)}, nil
	}
	l.next[q.Key] = at.Add(spacing)
	return humanhours.Decision{Allowed: true}, nil
}

// fixedWindow counts by the seconds of the clock.
type fixedWindow struct {
	clock func() time.Time
	mu    sync.Mutex
	count map[string]int
}

func (l *fixedWindow) Take(_ context.Context, q humanhours.TakeQuery) (humanhours.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	second := now.Truncate(time.Second)
	name := second.String() + q.Key
	if l.count[name] >= q.Limit {
		return humanhours.Decision{RetryAfter: second.Add(time.Second).Sub(now)}, nil
	}
	l.count[name]++
	return humanhours.Decision{Allowed: true}, nil
}

// limiterLiar is a liar that needs a clock.
func limiterLiar(lie, caughtBy string, make func(clock func() time.Time) humanhours.Limiter) liar[limiters] {
	return liar[limiters]{lie: lie, caughtBy: caughtBy, fresh: func() limiters {
		return newLimiterOptions(nil).limiters(func(clock func() time.Time) []humanhours.Limiter {
			return []humanhours.Limiter{make(clock)}
		})
	}}
}

func limiterLiars() []liar[limiters] {
	log := func(lie, caughtBy string, l func() *slidingLog) liar[limiters] {
		return limiterLiar(lie, caughtBy, func(clock func() time.Time) humanhours.Limiter {
			s := l()
			s.clock = clock
			return s
		})
	}
	bucket := func(lie, caughtBy string, burst func(int) int) liar[limiters] {
		return limiterLiar(lie, caughtBy, func(clock func() time.Time) humanhours.Limiter {
			return &leakyBucket{clock: clock, burst: burst, next: make(map[string]time.Time)}
		})
	}
	return []liar[limiters]{
		bucket("allows a burst and then goes on at its rate", "the first second", func(limit int) int { return limit }),
		bucket("wants requests evenly spaced", "every arrival as the definition says", func(int) int { return 1 }),
		limiterLiar("counts by the seconds of the clock", "no second is special", func(clock func() time.Time) humanhours.Limiter {
			return &fixedWindow{clock: clock, count: make(map[string]int)}
		}),
		log("counts refused Takes", "a caller who never stops", func() *slidingLog { return &slidingLog{refused: true} }),
		log("lets a second end late", "the first second", func() *slidingLog { return &slidingLog{window: time.Second + 1} }),
		log("lets a second end early", "every arrival as the definition says", func() *slidingLog { return &slidingLog{window: time.Second - 1} }),
		log("measures in milliseconds", "every arrival as the definition says", func() *slidingLog { return &slidingLog{tick: time.Millisecond} }),
		log("allows one more", "every arrival as the definition says", func() *slidingLog { return &slidingLog{limit: func(n int) int { return n + 1 }} }),
		log("refuses one who keeps to the limit", "a key that keeps to its limit", func() *slidingLog { return &slidingLog{window: 1010 * time.Millisecond} }),
		log("allows at most 500", "the first second", func() *slidingLog { return &slidingLog{limit: func(n int) int { return min(n, 500) }} }),
		log("counts all keys together", "many keys at once", func() *slidingLog { return &slidingLog{key: func(string) string { return "" }} }),
		log("compares keys without case", "keys are counted apart", func() *slidingLog { return &slidingLog{key: strings.ToLower} }),
		log("cuts keys to 255 bytes", "keys are counted apart", func() *slidingLog { return &slidingLog{key: func(s string) string { return s[:min(len(s), 255)] }} }),
		log("ends keys at a NUL", "keys are counted apart", func() *slidingLog { return &slidingLog{key: cString} }),
		log("mends keys that are not UTF-8", "keys are counted apart", func() *slidingLog { return &slidingLog{key: mended} }),
		log("cuts keys to 4 bytes", "many callers with a key each", func() *slidingLog { return &slidingLog{key: func(s string) string { return s[:min(len(s), 4)] }} }),
		log("forgets when the limit changes", "a limit that changes", func() *slidingLog { return &slidingLog{forgets: true} }),
		log("forgets when the limit always changes", "a limit that always changes", func() *slidingLog { return &slidingLog{forgets: true} }),
		log("looks and then takes", "many callers at one instant", func() *slidingLog { return &slidingLog{between: stall} }),
		log("looks and then takes while time goes on", "many callers while time goes on", func() *slidingLog { return &slidingLog{between: stall} }),
		log("names no time", "come back after RetryAfter", func() *slidingLog { return &slidingLog{wait: func(time.Duration) time.Duration { return 0 }} }),
		log("always names a second", "come back after RetryAfter", func() *slidingLog { return &slidingLog{wait: func(time.Duration) time.Duration { return time.Second }} }),
		log("names a time that is too short", "come back after RetryAfter", func() *slidingLog {
			return &slidingLog{wait: func(d time.Duration) time.Duration { return (d + 1) / 2 }}
		}),
		{lie: "has handles that count apart", caughtBy: "the handles count together", fresh: func() limiters {
			return newLimiterOptions(nil).limiters(func(clock func() time.Time) []humanhours.Limiter {
				return []humanhours.Limiter{humanhours.NewLimiter(clock), humanhours.NewLimiter(clock)}
			})
		}},
	}
}

func TestLimiterLiarsAreCaught(t *testing.T) {
	expose(t, append(limiterProofs(), sharedLimiterProofs()...), limiterLiars())
}

func TestHonestLimitersAreNotAccused(t *testing.T) {
	t.Run("of the root", func(t *testing.T) {
		RunLimiter(t, func(_ testing.TB, clock func() time.Time) humanhours.Limiter { return humanhours.NewLimiter(clock) })
	})
	t.Run("plain", func(t *testing.T) {
		RunLimiter(t, func(_ testing.TB, clock func() time.Time) humanhours.Limiter { return &slidingLog{clock: clock} })
	})
	for _, tick := range []time.Duration{time.Microsecond, time.Millisecond} {
		t.Run("coarse "+tick.String(), func(t *testing.T) {
			RunLimiter(t, func(_ testing.TB, clock func() time.Time) humanhours.Limiter {
				return &slidingLog{clock: clock, tick: tick}
			}, Resolution(tick))
		})
	}
	t.Run("shared", func(t *testing.T) {
		RunSharedLimiter(t, func(_ testing.TB, n int, clock func() time.Time) []humanhours.Limiter {
			list := make([]humanhours.Limiter, n)
			one := humanhours.NewLimiter(clock)
			for i := range list {
				list[i] = one
			}
			return list
		})
	})
}
