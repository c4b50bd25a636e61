package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/gather"
)

var _ humanhours.Limiter = (*Limiter)(nil)

// ErrLimiterClosed is what Take answers after Close.
var ErrLimiterClosed = errors.New("redis: the limiter is closed")

// FailureMode says what a Limiter does while Redis does not answer.
type FailureMode int

const (
	// FallbackLocal lets each instance limit by itself: a key may then have its limit once on every instance. It is the default.
	FallbackLocal FailureMode = iota
	// FailOpen allows everything.
	FailOpen
	// FailClosed allows nothing: Take returns the error, and a Tracker answers unavailable.
	FailClosed
)

// LimiterConfig configures a Limiter. The zero value is right for production.
type LimiterConfig struct {
	// Prefix starts the names of all keys in Redis, as in Config. Defaults to DefaultPrefix.
	Prefix string
	// OnFailure is what happens while Redis does not answer. Defaults to FallbackLocal.
	OnFailure FailureMode
	// Timeout is how long a Take waits for Redis, and for the Takes before it, until OnFailure decides. Defaults to 250 milliseconds.
	Timeout time.Duration
	// RetryAfter is how long Redis is left alone after it has failed; then one Take tries it again. With FailClosed every Take tries. An
	// outage is over with the first answer that comes RetryAfter or more after the last failure. Defaults to a second.
	RetryAfter time.Duration
	// OnChange is told when an outage begins, with its error, and with nil when it is over. It must return soon. Nil: nobody is told.
	OnChange func(err error)
	// Logger hears the same. Defaults to slog.Default().
	Logger *slog.Logger
	// Clock is for tests. Nil means the time of Redis itself, so that all instances agree; it never goes back for a key.
	Clock func() time.Time
}

func (c LimiterConfig) withDefaults() LimiterConfig {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Timeout == 0 {
		c.Timeout = 250 * time.Millisecond
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c LimiterConfig) validate() error {
	switch {
	case c.OnFailure < FallbackLocal || c.OnFailure > FailClosed:
		return errors.New("redis: LimiterConfig.OnFailure must be FallbackLocal, FailOpen or FailClosed")
	case c.Timeout < time.Millisecond:
		return errors.New("redis: LimiterConfig.Timeout must be at least a millisecond")
	case c.RetryAfter < 0:
		return errors.New("redis: LimiterConfig.RetryAfter must not be negative")
	}
	return checkPrefix(c.Prefix)
}

// Limiter is the humanhours.Limiter that many instances share: the exact sliding window of humanhours.MemoryLimiter, in Redis. A Take
// costs the same for every limit. One whose answer was lost with its connection is made again, and may take twice. Memory is about 11 bytes x limit for each key that was active in the last two seconds. Takes that come
// while others are on their way go out together. It never closes the client. Make one with NewLimiter.
type Limiter struct {
	cfg      LimiterConfig
	client   caller
	script   *goredis.Script
	local    *humanhours.MemoryLimiter
	gatherer *gather.Gatherer[*take, error]
	start    time.Time
	down     atomic.Bool
	retry    atomic.Int64 // while down: when Redis may be tried again, since start
	lost     atomic.Int64 // while down: when Redis failed last, since start
}

// take is one Take on its way.
type take struct {
	key   string
	limit int

	wait time.Duration // once the flush has answered: 0 is allowed
}

// NewLimiter returns a Limiter on a client. It does not talk to Redis yet.
func NewLimiter(client goredis.UniversalClient, cfg LimiterConfig) (*Limiter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Limiter{
		cfg: cfg, client: caller{client: client, timeout: cfg.Timeout}, script: goredis.NewScript(limiterLua),
		local: humanhours.NewLimiter(cfg.Clock), start: time.Now(),
	}
	l.gatherer = gather.New(gather.Config[*take, error]{
		Flush: l.flush, Failed: func(err error) error { return err }, Size: func(**take) int { return 1 },
		Closed: ErrLimiterClosed, Timeout: cfg.Timeout,
		MaxItems: maxGroup, MaxBytes: maxGroup, MaxQueue: 4096, Flights: flights,
	})
	return l, nil
}

// Close waits for the Takes that are on their way; later ones answer ErrLimiterClosed. The client stays open.
func (l *Limiter) Close() error {
	l.gatherer.Close()
	return nil
}

// Take implements humanhours.Limiter. Its error is that of ctx, ErrLimiterClosed, or with FailClosed that of Redis.
func (l *Limiter) Take(ctx context.Context, q humanhours.TakeQuery) (humanhours.Decision, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Decision{}, err
	}
	t := &take{key: q.Key, limit: max(1, q.Limit)}
	if l.down.Load() && l.cfg.OnFailure != FailClosed && !l.mayTry() {
		return l.without(ctx, q, nil)
	}
	switch err := l.gatherer.Do(ctx, []*take{t})[0]; {
	case err == nil:
		l.answered()
		return humanhours.Decision{Allowed: t.wait == 0, RetryAfter: t.wait}, nil
	case ctx.Err() != nil:
		return humanhours.Decision{}, ctx.Err()
	case errors.Is(err, ErrLimiterClosed):
		return humanhours.Decision{}, err
	default:
		l.failed(err)
		return l.without(ctx, q, err)
	}
}

// without decides without Redis.
func (l *Limiter) without(ctx context.Context, q humanhours.TakeQuery, err error) (humanhours.Decision, error) {
	switch l.cfg.OnFailure {
	case FailOpen:
		return humanhours.Decision{Allowed: true}, nil
	case FailClosed:
		return humanhours.Decision{}, fmt.Errorf("redis: limiter: %w", err)
	default:
		return l.local.Take(ctx, q)
	}
}

// mayTry lets one Take through whenever it is time to see whether Redis is back.
func (l *Limiter) mayTry() bool {
	now, at := int64(time.Since(l.start)), l.retry.Load()
	return now >= at && l.retry.CompareAndSwap(at, now+int64(l.cfg.RetryAfter))
}

func (l *Limiter) failed(err error) {
	now := int64(time.Since(l.start))
	l.lost.Store(now)
	l.retry.Store(now + int64(l.cfg.RetryAfter))
	if l.down.Swap(true) {
		return
	}
	l.cfg.Logger.Warn("redis: the limiter does not reach Redis", "error", err, "mode", l.cfg.OnFailure)
	if l.cfg.OnChange != nil {
		l.cfg.OnChange(err)
	}
}

// answered ends an outage. While one node of a cluster is down the others go on answering, which ends nothing.
func (l *Limiter) answered() {
	if !l.down.Load() || int64(time.Since(l.start))-l.lost.Load() < int64(l.cfg.RetryAfter) || !l.down.Swap(false) {
		return
	}
	l.cfg.Logger.Info("redis: the limiter reaches Redis again")
	if l.cfg.OnChange != nil {
		l.cfg.OnChange(nil)
	}
}

// String says what happens.
func (m FailureMode) String() string {
	switch m {
	case FallbackLocal:
		return "each instance limits by itself"
	case FailOpen:
		return "everything is allowed"
	default:
		return "nothing is allowed"
	}
}

// flush takes for a group, with one call for each key.
func (l *Limiter) flush(takes []*take) []error {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()
	now := ""
	if l.cfg.Clock != nil {
		now = fmt.Sprint(l.cfg.Clock().UnixMicro())
	}
	byKey := make(map[string]int, len(takes)) // index of the call
	var calls []call
	var members [][]int
	for i, t := range takes {
		n, ok := byKey[t.key]
		if !ok {
			n = len(calls)
			byKey[t.key] = n
			calls = append(calls, call{script: l.script, keys: []string{l.cfg.Prefix + "l:" + tag(t.key)}, args: []any{now}})
			members = append(members, nil)
		}
		calls[n].args = append(calls[n].args, t.limit)
		members[n] = append(members[n], i)
	}
	l.client.persist(ctx, calls)
	errs := make([]error, len(takes))
	for n, c := range calls {
		answer, ok := c.answer.([]any)
		if c.err == nil && (!ok || len(answer) != len(members[n])) {
			c.err = errAnswer
		}
		for j, i := range members[n] {
			if errs[i] = c.err; c.err != nil {
				continue
			}
			wait, ok := answer[j].(int64)
			if !ok {
				errs[i] = errAnswer
			}
			takes[i].wait = time.Duration(wait) * time.Microsecond
		}
	}
	return errs
}
