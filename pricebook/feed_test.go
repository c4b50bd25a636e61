package pricebook

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// clockwork is a feed in a bubble of synctest that notes when it is asked, after the start.
type clockwork struct {
	began time.Time
	fail  atomic.Bool
	mu    sync.Mutex
	times []time.Duration
}

func (c *clockwork) asked() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.times)
}

func (c *clockwork) RoundTrip(*http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.times = append(c.times, time.Since(c.began))
	c.mu.Unlock()
	if c.fail.Load() {
		return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
	}
	return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(list(nine("0.000001")...)))}, nil
}

// started is a book that has been started in a bubble.
func started(t *testing.T, ctx context.Context, jitter func(int64) int64) (*clockwork, <-chan struct{}) {
	t.Helper()
	c := &clockwork{began: time.Now()}
	b, _ := newBook(t, Config{Client: &http.Client{Transport: c}, Base: &Static{}, Clock: time.Now, Jitter: jitter})
	done := b.Start(ctx)
	synctest.Wait()
	return c, done
}

func middle(n int64) int64 { return n / 2 }

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, done := started(t, ctx, middle)
		require.Equal(t, []time.Duration{0}, c.asked(), "the first refresh is at once")
		pass(72*time.Hour + time.Second)
		require.Equal(t, []time.Duration{0, 24 * time.Hour, 48 * time.Hour, 72 * time.Hour}, c.asked())
		cancel()
		<-done
		pass(100 * time.Hour)
		require.Len(t, c.asked(), 4, "after its context there is no refresh")
	})
}

func TestStartRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, done := started(t, ctx, middle)
		c.fail.Store(true)
		pass(24*time.Hour + 16*time.Minute)
		c.fail.Store(false)
		pass(48 * time.Hour)
		minutes := func(n int) time.Duration { return 24*time.Hour + time.Duration(n)*time.Minute }
		require.Equal(t, []time.Duration{0, minutes(0), minutes(1), minutes(3), minutes(7), minutes(15), minutes(31), minutes(31) + 24*time.Hour}, c.asked())
		c.fail.Store(true)
		pass(30 * 24 * time.Hour)
		asked := c.asked()
		last := len(asked) - 1
		require.Equal(t, 24*time.Hour, asked[last]-asked[last-1], "the pauses grow up to the interval")
		cancel()
		<-done
	})
}

func TestJitter(t *testing.T) {
	for name, tc := range map[string]struct {
		jitter func(int64) int64
		want   time.Duration
	}{
		"the least":     {func(int64) int64 { return 0 }, 24*time.Hour - 144*time.Minute},
		"the most":      {func(n int64) int64 { return n - 1 }, 24*time.Hour + 144*time.Minute},
		"in the middle": {middle, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				c, done := started(t, ctx, tc.jitter)
				pass(tc.want + time.Second)
				require.Equal(t, []time.Duration{0, tc.want}, c.asked())
				cancel()
				<-done
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, done := started(t, ctx, nil)
		pass(200 * 24 * time.Hour)
		var pauses []time.Duration
		asked := c.asked()
		for i := range asked[1:] {
			pauses = append(pauses, asked[i+1]-asked[i])
			require.InDelta(t, 24*time.Hour, pauses[i], float64(144*time.Minute))
		}
		require.NotEqual(t, pauses[0], pauses[1])
		cancel()
		<-done
	})
}

// TestNothingRunsUnlessAsked: no request, no goroutine.
func TestNothingRunsUnlessAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{began: time.Now()}
		b, _ := newBook(t, Config{Client: &http.Client{Transport: c}})
		_, err := NewRates(RatesConfig{Client: &http.Client{Transport: c}})
		require.NoError(t, err)
		pass(1000 * time.Hour)
		_ = input(t, b, "anthropic/claude-sonnet-4.5")
		require.Empty(t, c.asked())
	}) // a bubble with a goroutine left in it fails
}

// TestStartEndsWithinARequest: a feed that hangs does not hold up a shutdown, and what was given up is not reported as a failure.
func TestStartEndsWithinARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b, j := newBook(t, Config{Client: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}})
		done := b.Start(ctx)
		synctest.Wait()
		cancel()
		<-done
		require.Empty(t, j.reports)
		require.Empty(t, j.logged())
	})
}

// TestTheDefaultClientGivesUp: a feed that never answers is a failure after half a minute.
func TestTheDefaultClientGivesUp(t *testing.T) {
	require.Equal(t, 30*time.Second, options{}.withDefaults("").client.Timeout)
}

// pass lets the bubble's time pass. Nobody waits.
func pass(d time.Duration) { <-time.After(d); synctest.Wait() }
