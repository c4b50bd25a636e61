package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
)

// LimiterOption adapts the cases for a humanhours.Limiter.
type LimiterOption func(*limiterOptions)

type limiterOptions struct{ tick time.Duration }

// Resolution tells how fine the limiter measures time. The clock of the cases then moves in whole steps of d, at which
// the limiter must still be exact. Defaults to a nanosecond; d must divide a second and be at most a millisecond.
func Resolution(d time.Duration) LimiterOption {
	return func(o *limiterOptions) { o.tick = d }
}

// RunLimiter proves the contract of humanhours.Limiter on the limiters that newLimiter makes. Each call must return a limiter
// that has counted nothing yet and takes its time from clock, which any goroutine may call.
func RunLimiter(t *testing.T, newLimiter func(tb testing.TB, clock func() time.Time) humanhours.Limiter, options ...LimiterOption) {
	t.Helper()
	o := newLimiterOptions(options)
	runAll(t, limiterProofs(), func(tb testing.TB) limiters {
		return o.limiters(func(clock func() time.Time) []humanhours.Limiter { return []humanhours.Limiter{newLimiter(tb, clock)} })
	})
	runAll(t, sharedLimiterProofs(), func(tb testing.TB) limiters {
		return o.limiters(func(clock func() time.Time) []humanhours.Limiter { return []humanhours.Limiter{newLimiter(tb, clock)} })
	})
}

// RunSharedLimiter is to humanhours.Limiter what RunShared is to humanhours.Store: n handles that count together.
func RunSharedLimiter(t *testing.T, newLimiters func(tb testing.TB, n int, clock func() time.Time) []humanhours.Limiter, options ...LimiterOption) {
	t.Helper()
	o := newLimiterOptions(options)
	runAll(t, sharedLimiterProofs(), func(tb testing.TB) limiters {
		return o.limiters(func(clock func() time.Time) []humanhours.Limiter {
			return several(func(tb testing.TB, n int) []humanhours.Limiter { return newLimiters(tb, n, clock) })(tb)
		})
	})
}

func newLimiterOptions(options []LimiterOption) limiterOptions {
	o := limiterOptions{tick: time.Nanosecond}
	for _, option := range options {
		option(&o)
	}
	return o
}

func (o limiterOptions) limiters(open func(clock func() time.Time) []humanhours.Limiter) limiters {
	clock := &fakeClock{tick: o.tick}
	return limiters{handles: open(clock.time), clock: clock}
}

// limiters are the handles that a case works with, and the clock of all of them.
type limiters struct {
	handles []humanhours.Limiter
	clock   *fakeClock
}

// fakeClock is a clock that a case moves.
type fakeClock struct {
	tick time.Duration
	now  atomic.Int64 // since epoch
	step atomic.Int64 // how far each reading moves it
}

func (c *fakeClock) time() time.Time {
	return epoch.Add(time.Duration(c.now.Add(c.step.Load())))
}

// elapsed returns the time since epoch.
func (c *fakeClock) elapsed() time.Duration { return time.Duration(c.now.Load()) }

// set moves the clock to a time after epoch, down to a whole tick.
func (c *fakeClock) set(d time.Duration) { c.now.Store(int64(d - d%c.tick)) }

// advance moves the clock by d, at least by a tick if d is positive.
func (c *fakeClock) advance(d time.Duration) {
	if d > 0 {
		d = max(d, c.tick)
	}
	c.set(c.elapsed() + d)
}

// model is the contract of Limiter, naively: the instants of all allowed Takes by key.
type model struct {
	allowed map[string][]time.Duration
}

// take decides. wait is how long until a Take can be allowed, if this one is not.
func (m *model) take(now time.Duration, key string, limit int) (allowed bool, wait time.Duration) {
	inside := m.allowed[key]
	for len(inside) > 0 && now-inside[0] >= time.Second {
		inside = inside[1:]
	}
	if len(inside) >= limit {
		m.allowed[key] = inside
		return false, inside[len(inside)-limit] + time.Second - now
	}
	m.allowed[key] = append(inside, now)
	return true, 0
}

// rounding is how much later than necessary a refused caller may be told to come back.
const rounding = time.Millisecond

// follow sends one Take and holds the answer against the model. It returns how long to wait if it was refused.
func (k *kit) follow(l limiters, m *model, key string, limit int) time.Duration {
	k.Helper()
	now := l.clock.elapsed()
	allowed, wait := m.take(now, key, limit)
	d := k.take(l.handles[0], key, limit)
	if d.Allowed != allowed {
		k.Fatalf("at %v, with a limit of %d and %d allowed in the second before: allowed %t, want %t", now, limit, len(m.allowed[key]), d.Allowed, allowed)
	}
	if allowed {
		return 0
	}
	if d.RetryAfter < wait || d.RetryAfter > wait+rounding {
		k.Fatalf("at %v, with a limit of %d: RetryAfter is %v, but a Take can be allowed after %v", now, limit, d.RetryAfter, wait)
	}
	return d.RetryAfter
}

// take sends one Take and checks what must be true of every answer.
func (k *kit) take(l humanhours.Limiter, key string, limit int) humanhours.Decision {
	k.Helper()
	d, err := l.Take(k.Context(), humanhours.TakeQuery{Key: key, Limit: limit})
	if err != nil {
		k.Fatalf("Take: %v", err)
	}
	if !d.Allowed && (d.RetryAfter <= 0 || d.RetryAfter > time.Second) {
		k.Fatalf("refused with a RetryAfter of %v, want more than 0 and at most a second", d.RetryAfter)
	}
	return d
}

// drain takes until the key is refused, and returns how many were allowed.
func (k *kit) drain(l humanhours.Limiter, key string, limit int) int {
	k.Helper()
	for n := range 2*limit + 2 {
		if !k.take(l, key, limit).Allowed {
			return n
		}
	}
	return 2*limit + 2
}

func newModel() *model { return &model{allowed: make(map[string][]time.Duration)} }

// arrivals are ways in which requests may come: how long after the last answer the next one is sent.
func arrivals(limit int, random *rand.Rand) map[string]func(wait time.Duration) time.Duration {
	spacing := time.Second / time.Duration(limit)
	return map[string]func(time.Duration) time.Duration{
		"all at once": func(time.Duration) time.Duration {
			return time.Duration(random.Int64N(2) * random.Int64N(2) * int64(time.Second))
		},
		"evenly":         func(time.Duration) time.Duration { return spacing },
		"a bit too fast": func(time.Duration) time.Duration { return spacing - spacing/10 },
		"at random":      func(time.Duration) time.Duration { return time.Duration(random.Int64N(int64(2*spacing) + 1)) },
		"by nanoseconds": func(time.Duration) time.Duration { return time.Duration(random.Int64N(3)) },
		"around the end of the second": func(time.Duration) time.Duration {
			return []time.Duration{0, 1, time.Second - 1, time.Second, time.Second + 1}[random.IntN(5)]
		},
		"as told": func(wait time.Duration) time.Duration { return wait },
		"not quite as told": func(wait time.Duration) time.Duration {
			return max(0, wait-time.Duration(random.Int64N(2)))
		},
		"in bursts with pauses": func(time.Duration) time.Duration {
			switch random.IntN(2 * limit) {
			case 0:
				return time.Duration(random.Int64N(int64(3 * time.Second)))
			case 1:
				return time.Hour
			}
			return time.Duration(random.Int64N(int64(spacing)/3 + 1))
		},
	}
}

func limiterProofs() []proof[limiters] {
	return []proof[limiters]{
		{"the first second", limitExact, func(k *kit, l limiters) {
			for _, limit := range []int{1, 2, 60, 1000} {
				key := fmt.Sprint("key ", limit)
				start := l.clock.elapsed()
				for _, moment := range []time.Duration{0, time.Millisecond, time.Second / 2, time.Second - 1} {
					l.clock.set(start + moment)
					want := 0
					if moment == 0 {
						want = limit
					}
					if n := k.drain(l.handles[0], key, limit); n != want {
						k.Fatalf("%v after a burst at the limit of %d, %d more are allowed, want %d", moment, limit, n, want)
					}
				}
				l.clock.set(start + time.Second)
				if n := k.drain(l.handles[0], key, limit); n != limit {
					k.Fatalf("a second after a burst at the limit of %d, %d are allowed, want %d", limit, n, limit)
				}
			}
		}},
		{"no second is special", limitExact, func(k *kit, l limiters) {
			// A burst late in one second of the clock and another early in the next are in one interval of a second.
			const limit = 10
			for i, late := range []time.Duration{900 * time.Millisecond, 999 * time.Millisecond, time.Millisecond} {
				key := fmt.Sprint("key ", i)
				second := l.clock.elapsed().Truncate(time.Second) + 5*time.Second - time.Duration(epoch.Nanosecond())
				l.clock.set(second + late)
				if n := k.drain(l.handles[0], key, limit); n != limit {
					k.Fatalf("%d are allowed, want %d", n, limit)
				}
				l.clock.set(second + time.Second)
				if n := k.drain(l.handles[0], key, limit); n != 0 {
					k.Fatalf("a burst at %v, and %d more are allowed at the turn of the second", late, n)
				}
			}
		}},
		{"a key that keeps to its limit", limitExact, func(k *kit, l limiters) {
			random := rand.New(rand.NewPCG(4, 2))
			for _, limit := range []int{1, 3, 7, 60, 1000} {
				spacing := (time.Second + time.Duration(limit) - 1) / time.Duration(limit)
				spacing += (l.clock.tick - spacing%l.clock.tick) % l.clock.tick
				start := l.clock.elapsed()
				for i := range min(3*limit+5, 1200) {
					// Evenly, and then late by less than the next is: never more than the limit in a second.
					l.clock.set(start + time.Duration(i)*spacing)
					if i%limit == 0 && limit > 1 {
						start += time.Duration(random.Int64N(int64(spacing)))
						start -= start % l.clock.tick
					}
					if d := k.take(l.handles[0], fmt.Sprint("key ", limit), limit); !d.Allowed {
						k.Fatalf("request %d of a key that keeps to its limit of %d is refused", i, limit)
					}
				}
			}
		}},
		{"every arrival as the definition says", limitExact, func(k *kit, l limiters) {
			for _, limit := range []int{1, 2, 3, 10, 60, 200, 1000} {
				for seed := range uint64(3) {
					random := rand.New(rand.NewPCG(seed, uint64(limit)))
					patterns := arrivals(limit, random)
					for _, name := range sortedKeys(patterns) {
						m := newModel()
						key := fmt.Sprint(name, limit, seed)
						var wait time.Duration
						for range min(3*limit, 700) + 60 {
							wait = k.follow(l, m, key, limit)
							l.clock.advance(patterns[name](wait))
						}
					}
				}
			}
		}},
		{"many keys at once", limitExact, func(k *kit, l limiters) {
			m := newModel()
			random := rand.New(rand.NewPCG(5, 5))
			for range 4000 {
				n := random.IntN(50)
				k.follow(l, m, fmt.Sprint("key ", n), 1+n%7)
				l.clock.advance(time.Duration(random.Int64N(int64(4 * time.Millisecond))))
			}
		}},
		{"a caller who never stops", limitRefused, func(k *kit, l limiters) {
			const limit = 5
			if n := k.drain(l.handles[0], "k", limit); n != limit {
				k.Fatalf("%d are allowed, want %d", n, limit)
			}
			for range 99 { // ten times a second, all refused until the first second is over
				l.clock.advance(10 * time.Millisecond)
				if k.take(l.handles[0], "k", limit).Allowed {
					k.Fatalf("allowed at %v", l.clock.elapsed())
				}
			}
			l.clock.set(time.Second)
			if n := k.drain(l.handles[0], "k", limit); n != limit {
				k.Fatalf("a second after the last allowed Take, with refused ones between, %d are allowed, want %d", n, limit)
			}
		}},
		{"keys are counted apart", limitKeys, func(k *kit, l limiters) {
			keys := append(append(names(), longKeys()...), "")
			for _, key := range keys {
				if !k.take(l.handles[0], key, 1).Allowed {
					k.Fatalf("the first Take of key %q is refused", key)
				}
			}
			for _, key := range keys {
				if k.take(l.handles[0], key, 1).Allowed {
					k.Fatalf("the second Take of key %q is allowed", key)
				}
			}
		}},
		{"a limit that changes", limitChanges, func(k *kit, l limiters) {
			// 10 at once, then as if the limit were lowered to 3 and raised again.
			first := l.clock.elapsed()
			if n := k.drain(l.handles[0], "k", 10); n != 10 {
				k.Fatalf("%d are allowed, want 10", n)
			}
			for moment, steps := range [][][2]int{ // limit, how many are allowed
				{{3, 0}, {10, 0}, {11, 1}, {20, 9}, {1, 0}, {20, 0}, {1000, 980}},
				{{1000, 1000}, {1, 0}, {999, 0}, {1001, 1}},
				{{1, 1}, {3, 2}, {2, 0}, {4, 1}},
			} {
				l.clock.set(first + time.Duration(moment)*time.Second)
				for _, step := range steps {
					if n := k.drain(l.handles[0], "k", step[0]); n != step[1] {
						k.Fatalf("in second %d with the limit now %d, %d are allowed, want %d", moment, step[0], n, step[1])
					}
				}
			}
		}},
		{"a limit that always changes", limitChanges, func(k *kit, l limiters) {
			for seed := range uint64(6) {
				random := rand.New(rand.NewPCG(seed, 6))
				m := newModel()
				limits := []int{1, 2, 3, 5, 20, 100}
				for range 700 {
					wait := k.follow(l, m, fmt.Sprint("key ", seed), limits[random.IntN(len(limits))])
					switch random.IntN(6) {
					case 0:
						l.clock.advance(wait)
					case 1:
						l.clock.advance(time.Duration(random.Int64N(int64(time.Second))))
					case 2:
						l.clock.advance(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
					}
				}
			}
		}},
		{"come back after RetryAfter", limitRetryAfter, func(k *kit, l limiters) {
			random := rand.New(rand.NewPCG(7, 7))
			for _, limit := range []int{1, 2, 5, 60, 1000} {
				key := fmt.Sprint("key ", limit)
				for round := range 30 {
					var d humanhours.Decision
					for d = k.take(l.handles[0], key, limit); d.Allowed; d = k.take(l.handles[0], key, limit) {
						if random.IntN(2) == 0 {
							l.clock.advance(time.Duration(random.Int64N(int64(time.Second) / int64(2*limit))))
						}
					}
					start := l.clock.elapsed()
					if early := d.RetryAfter - rounding - l.clock.tick; early > 0 {
						l.clock.set(start + early)
						if k.take(l.handles[0], key, limit).Allowed {
							k.Fatalf("round %d, limit %d: refused for %v and allowed after %v", round, limit, d.RetryAfter, early)
						}
					}
					l.clock.set(start + d.RetryAfter)
					if !k.take(l.handles[0], key, limit).Allowed {
						k.Fatalf("round %d, limit %d: refused for %v, and refused again after that", round, limit, d.RetryAfter)
					}
				}
			}
		}},
	}
}

func sharedLimiterProofs() []proof[limiters] {
	return []proof[limiters]{
		{"many callers at one instant", limitAtomic, func(k *kit, l limiters) {
			ctx := k.Context()
			for round, limit := range []int{1, 2, 17, 100, 1000, 1} {
				const each = 20
				var allowed, failures atomic.Int64
				k.race(writers, func(i int) {
					for range each {
						d, err := l.handles[i%len(l.handles)].Take(ctx, humanhours.TakeQuery{Key: "k", Limit: limit})
						if err != nil {
							failures.Add(1)
						}
						if d.Allowed {
							allowed.Add(1)
						}
					}
				})
				if failures.Load() > 0 {
					k.Fatalf("%d Takes failed", failures.Load())
				}
				if n := allowed.Load(); n != int64(limit) {
					k.Fatalf("round %d: %d of %d Takes at one instant are allowed, want exactly the limit of %d", round, n, writers*each, limit)
				}
				l.clock.advance(time.Second)
			}
		}},
		{"many callers while time goes on", limitAtomic, func(k *kit, l limiters) {
			// What each caller knows is between which two instants its Take was decided.
			type taken struct {
				before, after time.Duration
				allowed       bool
			}
			const limit, each = 50, 25
			ctx := k.Context()
			l.clock.step.Store(int64(max(700*time.Microsecond, l.clock.tick)))
			all := make([][]taken, writers)
			errs := make([]error, writers)
			k.race(writers, func(i int) {
				for range each {
					before := l.clock.elapsed()
					d, err := l.handles[i%len(l.handles)].Take(ctx, humanhours.TakeQuery{Key: "k", Limit: limit})
					if err != nil {
						errs[i] = err
						return
					}
					all[i] = append(all[i], taken{before, l.clock.elapsed(), d.Allowed})
				}
			})
			var list []taken
			for i := range all {
				if errs[i] != nil {
					k.Fatalf("Take: %v", errs[i])
				}
				list = append(list, all[i]...)
			}
			for _, one := range list {
				// Certainly less than a second from the first of these to the last.
				certain, possible := 0, 0
				for _, other := range list {
					if other.allowed && other.before >= one.before && other.after < one.before+time.Second {
						certain++
					}
					if other.allowed && other.after > one.before-time.Second && other.before <= one.after {
						possible++
					}
				}
				if certain > limit {
					k.Fatalf("%d Takes are allowed within a second from %v, with a limit of %d", certain, one.before, limit)
				}
				if !one.allowed && possible < limit {
					k.Fatalf("a Take at %v is refused with at most %d allowed in the second before, with a limit of %d", one.before, possible, limit)
				}
			}
		}},
		{"many callers with a key each", limitKeys, func(k *kit, l limiters) {
			ctx := k.Context()
			const limit = 10
			allowed := make([]int, writers)
			errs := make([]error, writers)
			k.race(writers, func(i int) {
				for j := range 2 * limit {
					d, err := l.handles[(i+j)%len(l.handles)].Take(ctx, humanhours.TakeQuery{Key: fmt.Sprint("key ", i), Limit: limit})
					if err != nil {
						errs[i] = err
					}
					if d.Allowed {
						allowed[i]++
					}
				}
			})
			for i, n := range allowed {
				if errs[i] != nil || n != limit {
					k.Fatalf("%d Takes of a key are allowed, want the limit of %d (error %v)", n, limit, errs[i])
				}
			}
		}},
		{"the handles count together", limitAtomic, func(k *kit, l limiters) {
			const limit = 6
			for range 3 {
				for i := range limit {
					if !k.take(l.handles[i%len(l.handles)], "k", limit).Allowed {
						k.Fatalf("Take %d of %d is refused", i+1, limit)
					}
					l.clock.advance(time.Millisecond)
				}
				for _, handle := range l.handles {
					if k.take(handle, "k", limit).Allowed {
						k.Fatalf("a handle allows more than the limit of %d, which the others have used up", limit)
					}
				}
				l.clock.advance(time.Second)
			}
		}},
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for name := range m {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	return keys
}
