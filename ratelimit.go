package humanhours

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter decides whether a request may go on.
//
// The bound is exact. Of all Takes on one key, in any interval of one second (half-open: a Take exactly one second
// after another is not in the same interval), at most Limit are allowed; and a Take is refused only if Limit others were
// allowed in the second before it. Refused Takes do not count. Check and take are one atomic step.
//
// Implementations must be safe for concurrent use, must keep memory per key bounded by its limit, and must
// forget a key that is idle. Keys are opaque byte strings and must never collide.
type Limiter interface {
	// Take asks for one request. q.Limit is at least 1 and may change from call to call. "Refused" is an answer; an error
	// means that the limiter itself broke.
	Take(ctx context.Context, q TakeQuery) (Decision, error)
}

// TakeQuery asks for one request under a key.
type TakeQuery struct {
	Key   string // whose requests are counted together
	Limit int    // requests allowed in any one second, at least 1
}

// Decision is the answer of a Limiter.
type Decision struct {
	Allowed    bool
	RetryAfter time.Duration // when refused: how long until a Take can be allowed, more than 0 and at most a second
}

// limitWindow is the length of the sliding window.
const limitWindow = time.Second

// limiterShards bounds contention; a power of two.
const limiterShards = 32

// MemoryLimiter is the in-process Limiter: an exact sliding window of the last Limit instants of each key. A Take is O(1).
// Memory is 8 bytes x Limit for each key that was active in the last two seconds or so; idle keys are dropped. It runs
// no goroutine. Make one with NewLimiter.
type MemoryLimiter struct {
	clock  func() time.Time
	start  time.Time
	seed   maphash.Seed
	visits atomic.Uint32
	shards [limiterShards]limiterShard
}

// limiterShard holds its keys in two generations. Every window the older one is dropped whole: a key that was not touched
// for a window has no instant left that counts, so forgetting it changes no decision.
type limiterShard struct {
	mu     sync.Mutex
	now    time.Duration // never goes back, also when the clock does
	turned time.Duration // when the generations last changed
	young  map[string]*takes
	old    map[string]*takes
	_      [64]byte // keeps two shards off one cache line
}

// takes is a ring of the latest allowed instants of a key, oldest at head.
type takes struct {
	at   []time.Duration // since MemoryLimiter.start
	head int
	n    int
}

// NewLimiter returns an in-process Limiter that reads the given clock. A nil clock means time.Now, whose monotonic reading
// makes it immune to changes of the wall clock.
func NewLimiter(clock func() time.Time) *MemoryLimiter {
	if clock == nil {
		clock = time.Now
	}
	return &MemoryLimiter{clock: clock, start: clock(), seed: maphash.MakeSeed()}
}

// Take implements Limiter. It never fails.
func (l *MemoryLimiter) Take(_ context.Context, q TakeQuery) (Decision, error) {
	q.Limit = max(1, q.Limit) // less is not allowed, and would divide by zero
	now := l.clock().Sub(l.start)
	s := &l.shards[maphash.String(l.seed, q.Key)%limiterShards]
	s.mu.Lock()
	d := s.take(now, q)
	s.mu.Unlock()
	// Shards that nobody asks for keep their keys; so every Take also looks after one other shard.
	if other := &l.shards[l.visits.Add(1)%limiterShards]; other.mu.TryLock() {
		other.advance(now)
		other.mu.Unlock()
	}
	return d, nil
}

// Len returns how many keys are held in memory, for metrics and tests.
func (l *MemoryLimiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}

// advance moves the shard's time on and drops what has been idle for a window. now may be behind: two goroutines that read
// the clock in one order can arrive in the other.
func (s *limiterShard) advance(now time.Duration) {
	s.now = max(s.now, now)
	switch idle := s.now - s.turned; {
	case idle < limitWindow:
	case idle < 2*limitWindow:
		s.old, s.young, s.turned = s.young, nil, s.now
	default: // even the younger keys have been idle for a window
		s.old, s.young, s.turned = nil, nil, s.now
	}
}

func (s *limiterShard) take(now time.Duration, q TakeQuery) Decision {
	s.advance(now)
	k := s.young[q.Key]
	if k == nil {
		if k = s.old[q.Key]; k != nil {
			delete(s.old, q.Key)
		} else {
			k = &takes{}
		}
		if s.young == nil {
			s.young = make(map[string]*takes)
		}
		s.young[q.Key] = k
	}
	if k.n >= q.Limit {
		// Of the allowed instants only the Limit-th from the end matters: if that one is out of the window, so is
		// everything before it.
		if age := s.now - k.fromEnd(q.Limit); age < limitWindow {
			return Decision{RetryAfter: limitWindow - age}
		}
	}
	k.push(s.now, q.Limit)
	return Decision{Allowed: true}
}

// fromEnd returns the i-th latest instant, 1 being the latest.
func (k *takes) fromEnd(i int) time.Duration {
	return k.at[(k.head+k.n-i)%len(k.at)]
}

// push appends an instant. The ring grows only while instants inside the window need the room, up to limit.
func (k *takes) push(now time.Duration, limit int) {
	for k.n > 0 && (k.n >= limit || k.n == len(k.at) && now-k.at[k.head] >= limitWindow) {
		k.head = (k.head + 1) % len(k.at)
		k.n--
	}
	if k.n == len(k.at) {
		at := make([]time.Duration, min(max(2*k.n, 2), max(limit, k.n+1)))
		for i := range k.n {
			at[i] = k.at[(k.head+i)%len(k.at)]
		}
		k.at, k.head = at, 0
	}
	k.at[(k.head+k.n)%len(k.at)] = now
	k.n++
}
