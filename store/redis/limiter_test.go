package redis_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func newLimiter(tb testing.TB, client goredis.UniversalClient, cfg redis.LimiterConfig) *redis.Limiter {
	tb.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second // a slow machine is no outage
	}
	l, err := redis.NewLimiter(client, cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, l.Close()) })
	return l
}

func runLimiter(t *testing.T, connect func(testing.TB) goredis.UniversalClient) {
	t.Run("one", func(t *testing.T) {
		c := connect(t)
		storetest.RunLimiter(t, func(tb testing.TB, clock func() time.Time) humanhours.Limiter {
			return newLimiter(tb, c, redis.LimiterConfig{Prefix: fresh(), Clock: clock, OnFailure: redis.FailClosed})
		}, storetest.Resolution(time.Microsecond))
	})
	t.Run("several", func(t *testing.T) {
		storetest.RunSharedLimiter(t, func(tb testing.TB, n int, clock func() time.Time) []humanhours.Limiter {
			prefix, limiters := fresh(), make([]humanhours.Limiter, n)
			for i := range limiters {
				limiters[i] = newLimiter(tb, connect(tb), redis.LimiterConfig{Prefix: prefix, Clock: clock, OnFailure: redis.FailClosed})
			}
			return limiters
		}, storetest.Resolution(time.Microsecond))
	})
}

func TestLimiter(t *testing.T) {
	server := redistest.Start(t)
	runLimiter(t, func(tb testing.TB) goredis.UniversalClient { return server.Client(tb) })
}

func TestLimiterOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	runLimiter(t, func(tb testing.TB) goredis.UniversalClient { return cluster.Client(tb) })
}

// By the clock of Redis itself, three instances at once.
func TestLimiterBySharedTime(t *testing.T) {
	const limit, callers = 50, 8
	server := redistest.Start(t)
	prefix := fresh()
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	type taken struct{ before, after time.Duration } // between which its instant lies, since start
	var mu sync.Mutex
	var list []taken
	var allowed, refused atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range 3 {
		l := newLimiter(t, server.Client(t), redis.LimiterConfig{Prefix: prefix, OnFailure: redis.FailClosed})
		for range callers {
			all.Go(func() {
				for ctx.Err() == nil {
					before := time.Since(start)
					d, err := l.Take(context.Background(), humanhours.TakeQuery{Key: "acme", Limit: limit})
					after := time.Since(start)
					if !assert.NoError(t, err) {
						return
					}
					if d.Allowed {
						allowed.Add(1)
						mu.Lock()
						list = append(list, taken{before, after})
						mu.Unlock()
						continue
					}
					refused.Add(1)
					assert.Greater(t, d.RetryAfter, time.Duration(0))
					assert.LessOrEqual(t, d.RetryAfter, time.Second)
				}
			})
		}
	}
	all.Wait()
	seconds := int64(time.Since(start)/time.Second) + 1
	assert.LessOrEqual(t, allowed.Load(), limit*seconds)
	assert.GreaterOrEqual(t, allowed.Load(), limit*(seconds-1))
	assert.Positive(t, refused.Load())
	for _, one := range list {
		certain := 0 // less than a second from the first of these to the last, wherever in their intervals they were decided
		for _, other := range list {
			if other.before >= one.before && other.after < one.before+time.Second {
				certain++
			}
		}
		assert.LessOrEqual(t, certain, limit, "in the second from %v", one.before)
	}
	client := server.Client(t)
	keys, err := client.Keys(t.Context(), prefix+"*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	assert.LessOrEqual(t, client.LLen(t.Context(), keys[0]).Val(), int64(limit))
	life := client.PTTL(t.Context(), keys[0]).Val()
	assert.Greater(t, life, time.Duration(0))
	assert.LessOrEqual(t, life, 2*time.Second)
	redistest.Eventually(t, func() error {
		if client.Exists(context.Background(), keys[0]).Val() != 0 {
			return errors.New("an idle key is still there")
		}
		return nil
	})
}

// testClock is a clock that a test moves.
type testClock struct{ now atomic.Int64 }

func (c *testClock) time() time.Time { return time.UnixMicro(c.now.Load()) }

func TestLimiterWhenTheClockGoesBack(t *testing.T) {
	clock := &testClock{}
	clock.now.Store(1_800_000_000_000_000)
	l := newLimiter(t, redistest.Start(t).Client(t), redis.LimiterConfig{Clock: clock.time, OnFailure: redis.FailClosed})
	take := func() bool {
		d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: 3})
		require.NoError(t, err)
		return d.Allowed
	}
	require.True(t, take())
	clock.now.Add(300_000)
	require.True(t, take())
	clock.now.Add(-3_600_000_000) // the new server is an hour behind
	require.True(t, take())
	require.False(t, take(), "three are in this second")
	clock.now.Add(700_000) // the first was 300 ms before the second, whatever the clock says
	require.True(t, take())
	require.False(t, take())
	clock.now.Add(300_000)
	require.True(t, take())
	require.True(t, take())
	require.False(t, take())
}

// Moved instants are a new list, which must end like any other also if nothing comes after them.
func TestLimiterKeyEndsAfterTheClockWentBack(t *testing.T) {
	clock := &testClock{}
	clock.now.Store(1_800_000_000_000_000)
	client, prefix := redistest.Start(t).Client(t), fresh()
	l := newLimiter(t, client, redis.LimiterConfig{Prefix: prefix, Clock: clock.time, OnFailure: redis.FailClosed})
	for _, allowed := range []bool{true, false} {
		d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: 1})
		require.NoError(t, err)
		require.Equal(t, allowed, d.Allowed)
		clock.now.Add(-1)
	}
	keys, err := client.Keys(t.Context(), prefix+"*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Positive(t, client.PTTL(t.Context(), keys[0]).Val())
}

func TestLimiterWhileASlotMoves(t *testing.T) {
	const limit = 10
	clock := &testClock{}
	clock.now.Store(1_800_000_000_000_000)
	cluster := redistest.StartCluster(t, 3)
	client, prefix := cluster.Client(t), fresh()
	l := newLimiter(t, client, redis.LimiterConfig{Prefix: prefix, Clock: clock.time, OnFailure: redis.FailClosed})
	allowed := 0
	take := func(n int) {
		for range n {
			d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: limit})
			require.NoError(t, err)
			if d.Allowed {
				allowed++
			}
		}
	}
	take(1)
	slot := cluster.SlotOf(t, prefix+"l:acme")
	steps := 0
	cluster.MoveSlot(t, slot, (cluster.Owner(t, slot)+1)%3, func(int) {
		steps++
		take(2)
	})
	require.Equal(t, 1+2*steps, allowed, "all of them are below the limit")
	take(2 * limit)
	require.Equal(t, limit, allowed, "what was counted before, during and after the move counts together")
}

func TestLimiterMemory(t *testing.T) {
	const limit = 1000
	clock := &testClock{}
	clock.now.Store(1_800_000_000_000_000)
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	l := newLimiter(t, client, redis.LimiterConfig{Prefix: prefix, Clock: clock.time, OnFailure: redis.FailClosed})
	for range 5 * limit {
		_, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: limit})
		require.NoError(t, err)
		clock.now.Add(900)
	}
	keys, err := client.Keys(t.Context(), prefix+"*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	bytes := client.MemoryUsage(t.Context(), keys[0], 0).Val()
	t.Logf("%d bytes for a limit of %d", bytes, limit)
	assert.LessOrEqual(t, bytes, int64(16*limit))
}

func TestLimiterKeysNeverCollide(t *testing.T) {
	l := newLimiter(t, redistest.Start(t).Client(t), redis.LimiterConfig{OnFailure: redis.FailClosed})
	keys := []string{"", "a", "{a}", "{}a", "a\n", "a\x00", "~YQ", "\xff", strings.Repeat("\xfe", 255), "l:a", "a:b", "a b"}
	for i, key := range keys {
		d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: key, Limit: 1})
		require.NoError(t, err)
		require.True(t, d.Allowed, "key %d %q shares its count with another", i, key)
	}
}

func TestLimiterAfterRedisForgotItsScripts(t *testing.T) {
	server := redistest.Start(t)
	l := newLimiter(t, server.Client(t), redis.LimiterConfig{OnFailure: redis.FailClosed})
	for i := range 20 {
		server.Must(t, "SCRIPT", "FLUSH")
		var all sync.WaitGroup
		for k := range 10 {
			all.Go(func() {
				_, err := l.Take(context.Background(), humanhours.TakeQuery{Key: strconv.Itoa(i*10 + k%5), Limit: 10})
				assert.NoError(t, err)
			})
		}
		all.Wait()
	}
}

// changes counts what OnChange is told.
type changes struct{ begun, ended atomic.Int64 }

func (c *changes) told(err error) {
	if err != nil {
		c.begun.Add(1)
	} else {
		c.ended.Add(1)
	}
}

func TestLimiterDuringAnOutage(t *testing.T) {
	quick := &goredis.Options{MaxRetries: -1, DialTimeout: 100 * time.Millisecond, DialerRetries: 1}
	for _, mode := range []redis.FailureMode{redis.FallbackLocal, redis.FailOpen, redis.FailClosed} {
		t.Run(mode.String(), func(t *testing.T) {
			server := redistest.Start(t)
			options := *quick
			options.Addr = server.Addr()
			client := goredis.NewClient(&options)
			t.Cleanup(func() { _ = client.Close() })
			var told changes
			var logged lines
			l := newLimiter(t, client, redis.LimiterConfig{
				OnFailure: mode, Timeout: 50 * time.Millisecond, RetryAfter: time.Millisecond, OnChange: told.told,
				Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			q := humanhours.TakeQuery{Key: "acme", Limit: 2}
			redistest.Eventually(t, func() error { // a first call may take longer than the timeout
				_, err := l.Take(t.Context(), q)
				if err != nil || told.begun.Load() > told.ended.Load() {
					return errors.New("not yet")
				}
				return nil
			})
			server.Kill()
			before := told.begun.Load()
			allowed, failed := 0, 0
			for range 20 {
				d, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "other", Limit: 2})
				if err != nil {
					failed++
				} else if d.Allowed {
					allowed++
				}
			}
			assert.EqualValues(t, before+1, told.begun.Load(), "told once")
			switch mode {
			case redis.FallbackLocal:
				assert.Zero(t, failed)
				assert.GreaterOrEqual(t, allowed, 2)
				assert.Less(t, allowed, 20, "it limits by itself")
			case redis.FailOpen:
				assert.Equal(t, 20, allowed)
			default:
				assert.Equal(t, 20, failed)
			}
			server.Restart()
			redistest.Eventually(t, func() error {
				_, err := l.Take(t.Context(), q)
				if err == nil && told.ended.Load() <= before {
					err = errors.New("not back yet")
				}
				return err
			})
			assert.Equal(t, told.begun.Load()+told.ended.Load(), logged.n.Load(), "logged as often as told, not for each Take")
		})
	}
}

// lines counts what is logged.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(1)
	return len(p), nil
}

// The nodes that are left go on answering, which must not end the outage with every other Take.
func TestLimiterOutageOfOneNode(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, "--cluster-require-full-coverage", "no")
	var told changes
	prefix := fresh()
	l := newLimiter(t, cluster.Client(t), redis.LimiterConfig{
		Prefix: prefix, Timeout: 500 * time.Millisecond, RetryAfter: time.Minute, OnFailure: redis.FailClosed, OnChange: told.told,
		Logger: slog.New(slog.DiscardHandler),
	})
	keys := map[int]string{} // by node
	for i := 0; len(keys) < 3; i++ {
		key := strconv.Itoa(i)
		keys[cluster.Owner(t, cluster.SlotOf(t, prefix+"l:"+key))] = key
	}
	for _, key := range keys { // connections are made, the slots and the script known
		_, err := l.Take(t.Context(), humanhours.TakeQuery{Key: key, Limit: 1000})
		require.NoError(t, err)
	}
	cluster.Nodes[0].Kill()
	answered, failed := 0, 0
	for range 5 {
		for _, key := range keys {
			if _, err := l.Take(t.Context(), humanhours.TakeQuery{Key: key, Limit: 1000}); err != nil {
				failed++
			} else {
				answered++
			}
		}
	}
	assert.GreaterOrEqual(t, failed, 5)
	assert.Positive(t, answered, "the other nodes are asked, and answer")
	assert.EqualValues(t, 1, told.begun.Load())
	assert.Zero(t, told.ended.Load())
}

func TestLimiterWhenRedisHangs(t *testing.T) {
	server := redistest.Start(t)
	l := newLimiter(t, server.Client(t), redis.LimiterConfig{
		Timeout: 100 * time.Millisecond, OnFailure: redis.FailClosed, Logger: slog.New(slog.DiscardHandler),
	})
	server.Must(t, "CLIENT", "PAUSE", 2000, "ALL")
	start := time.Now()
	_, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: 1})
	require.Error(t, err)
	assert.Less(t, time.Since(start), 1500*time.Millisecond, "it must not wait for Redis")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = l.Take(ctx, humanhours.TakeQuery{Key: "acme", Limit: 1})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// Takes that come while those before them hang wait no longer than these.
func TestLimiterQueueWhileRedisHangs(t *testing.T) {
	const timeout, pause, waves = 100 * time.Millisecond, 4 * time.Second, 8
	server := redistest.Start(t)
	l := newLimiter(t, server.Client(t), redis.LimiterConfig{Timeout: timeout, OnFailure: redis.FailClosed, Logger: slog.New(slog.DiscardHandler)})
	server.Must(t, "CLIENT", "PAUSE", pause.Milliseconds(), "ALL")
	ticker := time.NewTicker(timeout / 5)
	defer ticker.Stop()
	var all sync.WaitGroup
	for range waves {
		all.Go(func() {
			start := time.Now()
			_, err := l.Take(context.Background(), humanhours.TakeQuery{Key: "acme", Limit: 1})
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Less(t, time.Since(start), pause/4)
		})
		<-ticker.C
	}
	all.Wait()
}

func TestLimiterLeavesNoGoroutine(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	require.NoError(t, client.Ping(t.Context()).Err())
	before := runtime.NumGoroutine()
	l := newLimiter(t, client, redis.LimiterConfig{})
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond) // some of them give up
			defer cancel()
			_, _ = l.Take(ctx, humanhours.TakeQuery{Key: strconv.Itoa(i % 5), Limit: 10})
		})
	}
	all.Wait()
	require.NoError(t, l.Close())
	_, err := l.Take(t.Context(), humanhours.TakeQuery{Key: "acme", Limit: 1})
	require.ErrorIs(t, err, redis.ErrLimiterClosed)
	redistest.Eventually(t, func() error {
		if n := runtime.NumGoroutine(); n > before {
			return errors.New("there are " + strconv.Itoa(n-before) + " goroutines more than before")
		}
		return nil
	})
	require.NoError(t, client.Ping(t.Context()).Err(), "the client stays open")
}

// Takes of 64 callers beside a plain SET by the same client, by turns in one run: the ratios are the result.
func BenchmarkLimiter(b *testing.B) {
	const callers, each = 64, 64
	ctx := context.Background()
	client := redistest.Start(b).Client(b)
	l := newLimiter(b, client, redis.LimiterConfig{OnFailure: redis.FailClosed})
	names := make([]string, 100)
	for i := range names {
		names[i] = "bench " + strconv.Itoa(i)
	}
	many := func(do func(i int) error) time.Duration {
		start := time.Now()
		var all sync.WaitGroup
		for caller := range callers {
			all.Go(func() {
				for i := caller; i < callers*each; i += callers {
					if err := do(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	take := func(keys int) func(int) error {
		return func(i int) error {
			_, err := l.Take(ctx, humanhours.TakeQuery{Key: names[i%keys], Limit: 1_000_000})
			return err
		}
	}
	var set, one, spread time.Duration
	rounds := 0
	for b.Loop() {
		set += many(func(i int) error { return client.Set(ctx, names[i%len(names)], "x", 0).Err() })
		one += many(take(1))
		spread += many(take(len(names)))
		rounds++
	}
	takes := float64(rounds * callers * each)
	b.ReportMetric(0, "ns/op") // of a round: it says nothing
	b.ReportMetric(takes/set.Seconds(), "set/s")
	b.ReportMetric(takes/one.Seconds(), "1-key-take/s")
	b.ReportMetric(takes/spread.Seconds(), "100-keys-take/s")
	b.ReportMetric(set.Seconds()/one.Seconds(), "1-key-ratio")
	b.ReportMetric(set.Seconds()/spread.Seconds(), "100-keys-ratio")
}

func TestLimiterConfig(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{})
	defer client.Close()
	for name, cfg := range map[string]redis.LimiterConfig{
		"braces":  {Prefix: "a{b}"},
		"mode":    {OnFailure: 7},
		"timeout": {Timeout: -1},
	} {
		_, err := redis.NewLimiter(client, cfg)
		assert.Error(t, err, name)
	}
}
