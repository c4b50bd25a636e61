package gather

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func newDoubler(flush func([]int) []int, flights int) *Gatherer[int, int] {
	return New(Config[int, int]{
		Flush: flush, Failed: func(error) int { return -1 }, Size: func(*int) int { return 1 }, Closed: errors.New("closed"),
		MaxItems: 16, MaxBytes: 1 << 20, MaxQueue: 64, Flights: flights,
	})
}

func double(items []int) []int {
	out := make([]int, len(items))
	for i, n := range items {
		out[i] = 2 * n
	}
	return out
}

// Package store has the tests of what a caller sees.
func TestEveryCallerGetsItsOwn(t *testing.T) {
	for _, flights := range []int{1, 3} {
		g := newDoubler(double, flights)
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() { assert.Equal(t, []int{2 * n, -2 * n}, g.Do(context.Background(), []int{n, -n})) })
		}
		all.Wait()
		g.Close()
		assert.Equal(t, []int{-1}, g.Do(context.Background(), []int{1}))
	}
}

func TestFlightsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		g := newDoubler(func(items []int) []int {
			most.Store(max(most.Load(), now.Add(1)))
			<-time.After(time.Second)
			now.Add(-1)
			return double(items)
		}, 2)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() { assert.Equal(t, []int{2 * n}, g.Do(context.Background(), []int{n})) })
		}
		all.Wait()
		g.Close()
		assert.EqualValues(t, 2, most.Load())
	})
}

// Nobody waits longer than the timeout for a flush that hangs, in it, behind it or after it; when it ends, all goes on.
func TestLateFlushesKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		g := New(Config[int, int]{
			Flush: func(items []int) []int {
				<-hang
				return double(items)
			},
			Failed: func(err error) int {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				return -1
			},
			Size: func(*int) int { return 1 }, Closed: errors.New("closed"),
			MaxItems: 2, MaxBytes: 1 << 20, MaxQueue: 64, Flights: 2, Timeout: time.Second,
		})
		start := time.Now()
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() { assert.Equal(t, []int{-1}, g.Do(context.Background(), []int{n})) })
		}
		all.Wait()
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, []int{-1}, g.Do(context.Background(), []int{1}))
		assert.Equal(t, time.Second, time.Since(start), "answered at once")
		close(hang)
		synctest.Wait()
		assert.Equal(t, []int{2}, g.Do(context.Background(), []int{1}))
		g.Close()
	})
}

// Flushes that end by themselves just when they are late are not late, so the next one follows. Behind a backend that hangs that must not go on
// until everybody in a long queue has had a flush.
func TestNobodyWaitsThroughManyFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config[int, int]{
			Flush: func(items []int) []int {
				<-time.After(time.Second)
				return double(items)
			},
			Failed: func(error) int { return -1 }, Size: func(*int) int { return 1 }, Closed: errors.New("closed"),
			MaxItems: 2, MaxBytes: 1 << 20, MaxQueue: 64, Flights: 1, Timeout: time.Second,
		})
		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				<-time.After(time.Duration(n) * 100 * time.Millisecond)
				start := time.Now()
				g.Do(context.Background(), []int{n})
				assert.LessOrEqual(t, time.Since(start), 2*time.Second)
			})
		}
		all.Wait()
		g.Close()
	})
}

// Where the processors are busy, stepping aside once can take as long as many flushes: it must not be done before each of them.
func TestStepsAsideLessOftenWhenThatTakesLong(t *testing.T) {
	f := newDoubler(double, 1).flights[0]
	const slow, fast = time.Duration(-1), time.Hour // flushes in whose time a step takes too long, or hardly any
	settle := func(answered int, took time.Duration) {
		f.last, f.took = max(1, answered), took
		f.settle(answered)
	}
	before := 0
	for range 3 {
		settle(1, slow)
		assert.Greater(t, f.unsettled, before, "it gives up for longer each time")
		before = f.unsettled
		for n := f.unsettled; n > 0; n-- {
			settle(1, slow)
			assert.Equal(t, n-1, f.unsettled)
		}
	}
	for f.patience > 0 {
		settle(1, fast)
		assert.Zero(t, f.unsettled)
	}
	settle(0, slow)
	assert.Zero(t, f.unsettled, "a lone caller has nobody to wait for")
}

// A step in which callers do their own work is as long as that is. It saves them their flushes.
func TestStepsAsideForAsLongAsThatBringsCallers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	g := newDoubler(double, 1)
	f := g.flights[0]
	f.last, f.took = 2, 2*time.Millisecond
	for range g.cfg.MaxItems {
		go func() {
			for start := time.Now(); time.Since(start) < f.took/4; {
			}
			g.queue <- nil
		}()
	}
	f.settle(0)
	assert.Zero(t, f.unsettled)
}

// On one processor a flush holds it while it waits for the disk. Those who are ready to run must not find that the first of them has begun one alone.
func TestCallersThatComeTogetherGoTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		flushes := 0
		g := newDoubler(func(items []int) []int {
			flushes++
			return double(items)
		}, 1)
		const rounds = 100
		for range rounds {
			var all sync.WaitGroup
			for n := range 8 {
				all.Go(func() { g.Do(context.Background(), []int{n}) })
			}
			all.Wait()
			synctest.Wait() // until the flight has ended
		}
		g.Close()
		assert.Less(t, flushes, rounds*3/2, "each flush of the first one alone is another for the rest")
	})
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	for range 30 {
		g := newDoubler(double, 2)
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() { g.Do(context.Background(), []int{n}) })
		}
		all.Wait()
		g.Close()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if strings.Contains(string(stacks), ").run(") {
			t.Fatalf("a goroutine still runs after Close:\n%s", stacks)
		}
	}
}
