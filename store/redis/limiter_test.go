package redis_test

import (
	"context"
	"errors"
	"log/slog"
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
	var allowed, refused atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range 3 {
		l := newLimiter(t, server.Client(t), redis.LimiterConfig{Prefix: prefix, OnFailure: redis.FailClosed})
		for range callers {
			all.Go(func() {
				for ctx.Err() == nil {
					d, err := l.Take(context.Background(), humanhours.TakeQuery{Key: "acme", Limit: limit})
					if !assert.NoError(t, err) {
						return
					}
					if d.Allowed {
						allowed.Add(1)
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
	client := server.Client(t)
	keys, err := client.Keys(t.Context(), prefix+"*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	assert.LessOrEqual(t, client.LLen(t.Context(), keys[0]).Val(), int64(limit))
	life := client.PTTL(t.Context(), keys[0]).Val()
	assert.Greater(t, life, time.Duration(0))
	assert.LessOrEqual(t, life, 2*time.Second)
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
			l := newLimiter(t, client, redis.LimiterConfig{
				OnFailure: mode, Timeout: 50 * time.Millisecond, RetryAfter: time.Millisecond, OnChange: told.told,
				Logger: slog.New(slog.DiscardHandler),
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
		})
	}
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
