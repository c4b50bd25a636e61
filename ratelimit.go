package humanhours

import (
	"context"
	"hash/maphash"
	"math/bits"
	"slices"
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

const (
	limiterShards = 256 // a power of two. They bound contention, and how long a shard is held while idle keys are dropped or it grows.
	limiterSweeps = 8   // how many shards a Take looks after at most
)

// MemoryLimiter is the in-process Limiter: an exact sliding window of the last Limit instants of each key. A Take is O(1).
// Memory is 8 bytes x Limit, and about a hundred bytes, for each key that was active in the last two seconds or so; idle keys are
// dropped. It runs no goroutine. Make one with NewLimiter.
type MemoryLimiter struct {
	clock  func() time.Time
	start  time.Time // a window before there was a limiter, so that an instant of 0 is out of every window
	seed   maphash.Seed
	swept  atomic.Int64 // the last turn of a shard to be swept; the n-th comes n/limiterShards of a window after start
	shards [limiterShards]limiterShard
}

// limiterShard is a hash table with open addressing over the keys in the order in which they came. With a million keys, a Take is mostly a
// wait for memory: here for one line of the slots and one of the keys, each key is hashed once, and the room of dropped keys is used
// again. Go maps of pointers, one for each of the last two windows, took two to three times as long.
type limiterShard struct {
	mu    sync.Mutex
	now   time.Duration // since MemoryLimiter.start; never goes back, also when the clock does
	keys  []takes
	slots []uint32 // 0: empty; or 1 + the index of a key, in as many low bits as number the slots, and the other bits of its hash
	_     [64]byte // keeps two shards off one cache line
}

// takes are the latest allowed instants of a key, at least all those inside the window: a ring whose oldest is at next. It has 64 bytes, a
// cache line, and of many keys most are asked for too seldom to need more.
type takes struct {
	key  string
	hash uint32
	next uint32
	few  [2]time.Duration // the ring, until it needs more room; an instant of 0 is none
	more []time.Duration  // the ring from then on
}

// NewLimiter returns an in-process Limiter that reads the given clock. A nil clock means time.Now, whose monotonic reading
// makes it immune to changes of the wall clock.
func NewLimiter(clock func() time.Time) *MemoryLimiter {
	if clock == nil {
		clock = time.Now
	}
	return &MemoryLimiter{clock: clock, start: clock().Add(-limitWindow), seed: maphash.MakeSeed()}
}

// Take implements Limiter. It never fails.
func (l *MemoryLimiter) Take(_ context.Context, q TakeQuery) (Decision, error) {
	now := max(limitWindow, l.clock().Sub(l.start)) // not less, also when the clock goes back
	hash := maphash.String(l.seed, q.Key)
	s := &l.shards[hash%limiterShards]
	s.mu.Lock()
	s.now = max(s.now, now)
	d := s.find(q.Key, uint32(hash>>32)).take(s.now, max(1, q.Limit)) // a limit of less is not allowed, and would have no instant
	s.mu.Unlock()
	l.sweep(now)
	return d, nil
}

// Len returns how many keys are held in memory, for metrics and tests.
func (l *MemoryLimiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}

// sweep drops the idle keys of the shards whose turn has come, also of those that nobody asks for. Each shard has its turn once in a window,
// one after the other, so that no Take waits for all of them. Where Takes are few, each looks after the next few shards, and none is left out.
func (l *MemoryLimiter) sweep(now time.Duration) {
	due := int64(now / (limitWindow / limiterShards))
	for range limiterSweeps {
		done := l.swept.Load()
		if done >= due {
			return
		}
		turn := done + 1
		if late := due - turn; late >= limiterShards { // whole rounds are left out, and no shard of one
			turn += late / limiterShards * limiterShards
		}
		if !l.swept.CompareAndSwap(done, turn) {
			return // somebody else is at it
		}
		s := &l.shards[turn%limiterShards]
		s.mu.Lock()
		s.sweep(now)
		s.mu.Unlock()
	}
}

// sweep drops the keys without an instant inside the window: to forget them changes no decision. now may be behind: two goroutines that
// read the clock in one order can arrive in the other.
func (s *limiterShard) sweep(now time.Duration) {
	s.now = max(s.now, now)
	used := s.drop() // the most since the last sweep, or since there was no more room
	switch {
	case used < cap(s.keys)/4: // room that was not needed for a window is given back
		s.resize(1 << bits.Len(uint(used)))
	case len(s.keys) < used:
		s.index()
	}
}

// drop drops idle keys, and returns how many there were of all.
func (s *limiterShard) drop() (before int) {
	before = len(s.keys)
	s.keys = slices.DeleteFunc(s.keys, func(k takes) bool { return s.now-k.latest() >= limitWindow })
	return before
}

// resize makes room for n keys, a power of two.
func (s *limiterShard) resize(n int) {
	s.keys = append(make([]takes, 0, n), s.keys...)
	s.slots = make([]uint32, 2*n)
	s.index()
}

// index fills the slots anew.
func (s *limiterShard) index() {
	clear(s.slots)
	mask := uint32(len(s.slots) - 1)
	for i := range s.keys {
		hash := s.keys[i].hash
		at := hash & mask
		for s.slots[at] != 0 {
			at = (at + 1) & mask
		}
		s.slots[at] = hash&^mask | uint32(i+1)
	}
}

// find returns the takes of a key, new ones if it has none. They stay where they are until the next find or sweep.
func (s *limiterShard) find(key string, hash uint32) *takes {
	if n := len(s.keys); n == cap(s.keys) {
		if s.drop(); len(s.keys) > n/2 || n == 0 {
			s.resize(max(4, 2*n))
		} else {
			s.index()
		}
	}
	mask := uint32(len(s.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		slot := s.slots[at]
		if slot == 0 {
			s.keys = append(s.keys, takes{key: key, hash: hash})
			s.slots[at] = hash&^mask | uint32(len(s.keys))
			return &s.keys[len(s.keys)-1]
		}
		if (slot^hash)&^mask == 0 {
			if k := &s.keys[slot&mask-1]; k.key == key {
				return k
			}
		}
	}
}

func (k *takes) ring() []time.Duration {
	if k.more != nil {
		return k.more
	}
	return k.few[:]
}

func (k *takes) latest() time.Duration {
	ring := k.ring()
	return ring[(int(k.next)+len(ring)-1)%len(ring)]
}

func (k *takes) take(now time.Duration, limit int) Decision {
	ring := k.ring()
	if limit <= len(ring) {
		// Of the allowed instants only the Limit-th from the end matters: if that one is out of the window, so is
		// everything before it.
		if age := now - ring[(int(k.next)+len(ring)-limit)%len(ring)]; age < limitWindow {
			return Decision{RetryAfter: limitWindow - age}
		}
	} else if now-ring[k.next] < limitWindow { // the ring grows only while instants inside the window need the room
		more := make([]time.Duration, min(2*len(ring), limit))
		copy(more[copy(more, ring[k.next:]):], ring[:k.next])
		k.more, k.next = more, uint32(len(ring))
		ring = more
	}
	ring[k.next] = now
	k.next = uint32((int(k.next) + 1) % len(ring))
	return Decision{Allowed: true}
}
