package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// TestConformance: a store behind group commit is still that store.
func TestConformance(t *testing.T) {
	for name, cfg := range map[string]store.GroupConfig{
		"defaults": {},
		"small":    {MaxEntries: 3, MaxBytes: 2000, MaxQueue: 1},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(tb testing.TB) humanhours.Store {
				g := store.NewGroup(memory.New(), cfg)
				tb.Cleanup(func() { require.NoError(tb, g.Close()) })
				return g
			})
		})
	}
}

// gate is a store whose Append waits until the test lets it go on, and keeps what it was given.
type gate struct {
	humanhours.Store
	open    chan struct{} // one receive lets one flush go on
	flush   func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended
	mu      sync.Mutex
	flushes [][]humanhours.Entry
}

func newGate() *gate {
	inner := memory.New()
	return &gate{Store: inner, flush: inner.Append, open: make(chan struct{})}
}

func (s *gate) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	s.mu.Lock()
	s.flushes = append(s.flushes, entries)
	s.mu.Unlock()
	select {
	case <-s.open:
		return s.flush(ctx, entries)
	case <-ctx.Done():
		results := make([]humanhours.Appended, len(entries))
		for i := range results {
			results[i].Err = ctx.Err()
		}
		return results
	}
}

// sizes returns how many entries each flush had so far.
func (s *gate) sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sizes []int
	for _, entries := range s.flushes {
		sizes = append(sizes, len(entries))
	}
	return sizes
}

func entry(n int) humanhours.Entry {
	at := time.Date(2026, 5, 6, 10, 0, 0, 0, time.UTC)
	return humanhours.Entry{At: at, Event: humanhours.Event{
		ID: fmt.Sprintf("evt_%026d", n), Org: "acme", AgentID: "a", TaskType: "t", Outcome: humanhours.OutcomeSuccess,
		OccurredAt: at, ReceivedAt: at,
	}}
}

func entries(from, to int) []humanhours.Entry {
	var list []humanhours.Entry
	for n := from; n < to; n++ {
		list = append(list, entry(n))
	}
	return list
}

// caller is an Append under way.
type caller struct{ done chan []humanhours.Appended }

func start(ctx context.Context, g *store.Group, list []humanhours.Entry) caller {
	c := caller{done: make(chan []humanhours.Appended, 1)}
	go func() { c.done <- g.Append(ctx, list) }()
	return c
}

// stored requires that the caller got its own events back.
func (c caller) stored(t *testing.T, list []humanhours.Entry) {
	t.Helper()
	results := <-c.done
	require.Len(t, results, len(list))
	for i, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, list[i].Event.ID, r.Event.ID, "the result of another caller")
	}
}

func (c caller) failed(t *testing.T, want error) {
	t.Helper()
	for _, r := range <-c.done {
		require.ErrorIs(t, r.Err, want)
	}
}

// TestGathering: one flush in flight, what comes meanwhile goes down as the next, and everybody gets what is theirs.
func TestGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{})
		var callers []caller
		for n := range 10 {
			callers = append(callers, start(t.Context(), g, entries(10*n, 10*n+n+1)))
			synctest.Wait()
			require.Equal(t, []int{1}, s.sizes(), "the first starts at once, the others wait for it")
		}
		s.open <- struct{}{}
		callers[0].stored(t, entries(0, 1))
		synctest.Wait()
		require.Equal(t, []int{1, 54}, s.sizes())
		s.open <- struct{}{}
		for n, c := range callers[1:] {
			c.stored(t, entries(10*(n+1), 10*(n+1)+n+2))
		}
		require.NoError(t, g.Close())
	})
}

// TestNoTimer: a lone caller waits for its own flush and for nothing else.
func TestNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := store.NewGroup(memory.New(), store.GroupConfig{})
		before := time.Now()
		start(t.Context(), g, entries(0, 1)).stored(t, entries(0, 1))
		require.Zero(t, time.Since(before))
		synctest.Wait() // and then fails the test if a goroutine is left
	})
}

func TestGroupsAreBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  store.GroupConfig
		want []int
	}{
		{"in entries", store.GroupConfig{MaxEntries: 4}, []int{1, 4, 4, 1}},
		{"in bytes", store.GroupConfig{MaxBytes: 3 * 600}, []int{1, 3, 3, 3}},
		{"an event larger than a group goes alone", store.GroupConfig{MaxBytes: 1}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newGate()
				g := store.NewGroup(s, tc.cfg)
				var callers []caller
				for n := range 10 {
					callers = append(callers, start(t.Context(), g, entries(n, n+1)))
					synctest.Wait()
				}
				for range tc.want {
					s.open <- struct{}{}
					synctest.Wait()
				}
				require.Equal(t, tc.want, s.sizes())
				for n, c := range callers {
					c.stored(t, entries(n, n+1))
				}
			})
		})
	}
}

// TestLargeBatchIsSplit: a batch over the bound goes down in parts, in order, and comes back whole.
func TestLargeBatchIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		close(s.open)
		g := store.NewGroup(s, store.GroupConfig{MaxEntries: 256, MaxQueue: 1})
		start(t.Context(), g, entries(0, 1000)).stored(t, entries(0, 1000))
		total := 0
		for _, size := range s.sizes() {
			require.LessOrEqual(t, size, 256)
			total += size
		}
		require.Equal(t, 1000, total)
	})
}

// TestBackPressure: when the queue is full, callers block until there is room or their context ends.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{MaxQueue: 2, MaxEntries: 1})
		for n := range 3 { // one in flight, two queued
			start(t.Context(), g, entries(n, n+1))
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		impatient := start(ctx, g, entries(3, 4))
		patient := start(t.Context(), g, entries(4, 5))
		synctest.Wait()
		cancel()
		impatient.failed(t, context.Canceled)
		for range 4 {
			s.open <- struct{}{}
			synctest.Wait()
		}
		patient.stored(t, entries(4, 5))
		require.Equal(t, []int{1, 1, 1, 1}, s.sizes(), "who left was not stored")
	})
}

// TestCancellation: a caller that leaves is answered at once; the others in its flush get theirs.
func TestCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{})
		first := start(t.Context(), g, entries(0, 1))
		synctest.Wait()
		leaving, cancelLeaving := context.WithCancel(t.Context())
		waiting, cancelWaiting := context.WithCancel(t.Context())
		inFlight := start(leaving, g, entries(1, 2))
		beside := start(t.Context(), g, entries(2, 3))
		synctest.Wait()
		s.open <- struct{}{}
		first.stored(t, entries(0, 1))
		synctest.Wait() // the flush of inFlight and beside is under way
		queued := start(waiting, g, entries(3, 4))
		synctest.Wait()
		cancelLeaving()
		inFlight.failed(t, context.Canceled)
		cancelWaiting()
		queued.failed(t, context.Canceled)
		s.open <- struct{}{}
		beside.stored(t, entries(2, 3))
		require.NoError(t, g.Close())
		require.Equal(t, []int{1, 2}, s.sizes(), "who left before its flush is not in one")
		_, ok, err := g.Event(t.Context(), "acme", entry(1).Event.ID)
		require.NoError(t, err)
		require.True(t, ok, "who left during its flush was stored all the same")

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		start(ended, g, entries(5, 6)).failed(t, context.Canceled)
	})
}

// TestCallersMemory: a caller that was answered has its memory back, also while the flush is still under way.
func TestCallersMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		list := entries(0, 1)
		list[0].Event.Metadata = []byte(`{"a":1}`)
		c := start(ctx, g, list)
		synctest.Wait()
		cancel()
		c.failed(t, context.Canceled)
		copy(list[0].Event.Metadata, `{"b":2}`)
		list[0].Event.AgentID = "vandal"
		s.open <- struct{}{}
		require.NoError(t, g.Close())
		stored, ok, err := s.Event(t.Context(), "acme", entry(0).Event.ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, `{"a":1}`, string(stored.Metadata))
		require.Equal(t, "a", stored.AgentID)
	})
}

// TestFailures: a failed entry is its caller's, a failed flush is its callers', and the next flush is not touched.
func TestFailures(t *testing.T) {
	broken := errors.New("disk full")
	for _, tc := range []struct {
		name  string
		flush func(ctx context.Context, inner humanhours.Store, list []humanhours.Entry) []humanhours.Appended
		fails func(n int) bool // whether the caller of entry n is told of a failure
	}{
		{"one entry", func(ctx context.Context, inner humanhours.Store, list []humanhours.Entry) []humanhours.Appended {
			results := inner.Append(ctx, list)
			for i := range list {
				if list[i].Event.ID == entry(3).Event.ID {
					results[i] = humanhours.Appended{Err: broken}
				}
			}
			return results
		}, func(n int) bool { return n == 3 }},
		{"the flush", func(_ context.Context, _ humanhours.Store, list []humanhours.Entry) []humanhours.Appended {
			results := make([]humanhours.Appended, len(list))
			for i := range results {
				results[i].Err = broken
			}
			return results
		}, func(int) bool { return true }},
		{"a panic", func(context.Context, humanhours.Store, []humanhours.Entry) []humanhours.Appended {
			panic("nil map")
		}, func(int) bool { return true }},
		{"too few answers", func(ctx context.Context, inner humanhours.Store, list []humanhours.Entry) []humanhours.Appended {
			return inner.Append(ctx, list)[:2]
		}, func(n int) bool { return n > 2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newGate()
				honest := s.flush
				g := store.NewGroup(s, store.GroupConfig{})
				first := start(t.Context(), g, entries(0, 1))
				synctest.Wait()
				var second []caller
				for n := 1; n < 5; n++ {
					second = append(second, start(t.Context(), g, entries(n, n+1)))
					synctest.Wait()
				}
				s.open <- struct{}{}
				first.stored(t, entries(0, 1))
				synctest.Wait()
				third := start(t.Context(), g, entries(5, 6))
				synctest.Wait()
				s.flush = func(ctx context.Context, list []humanhours.Entry) []humanhours.Appended {
					s.flush = honest
					return tc.flush(ctx, s.Store, list)
				}
				s.open <- struct{}{}
				for i, c := range second {
					results := <-c.done
					require.Len(t, results, 1)
					if tc.fails(i + 1) {
						require.Error(t, results[0].Err, "entry %d", i+1)
					} else {
						require.NoError(t, results[0].Err, "entry %d", i+1)
						require.Equal(t, entry(i+1).Event.ID, results[0].Event.ID)
					}
				}
				s.open <- struct{}{}
				third.stored(t, entries(5, 6))
				require.NoError(t, g.Close())
			})
		})
	}
}

// TestHungFlush: a flush that hangs ends with its timeout, for its own callers only.
func TestHungFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{FlushTimeout: time.Minute})
		hung := start(t.Context(), g, entries(0, 1))
		synctest.Wait()
		next := start(t.Context(), g, entries(1, 2))
		before := time.Now()
		hung.failed(t, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(before))
		s.open <- struct{}{}
		next.stored(t, entries(1, 2))
	})
}

// TestClose: what was accepted is drained, what comes later or has no room yet is refused, and nothing is left running.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGate()
		g := store.NewGroup(s, store.GroupConfig{MaxQueue: 1, MaxEntries: 1})
		inFlight := start(t.Context(), g, entries(0, 1))
		synctest.Wait()
		queued := start(t.Context(), g, entries(1, 2))
		synctest.Wait()
		blocked := start(t.Context(), g, entries(2, 3))
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- g.Close() }()
		blocked.failed(t, store.ErrClosed)
		synctest.Wait()
		start(t.Context(), g, entries(3, 4)).failed(t, store.ErrClosed)
		select {
		case <-closed:
			t.Fatal("Close returned before what was accepted was stored")
		default:
		}
		s.open <- struct{}{}
		inFlight.stored(t, entries(0, 1))
		s.open <- struct{}{}
		queued.stored(t, entries(1, 2))
		require.NoError(t, <-closed)
		require.NoError(t, g.Close(), "closing twice")
		_, ok, err := g.Event(t.Context(), "acme", entry(1).Event.ID)
		require.NoError(t, err)
		require.True(t, ok, "reading goes on")
	})
}

// TestManyCallers: under load from all sides, with callers that leave, every answer is the caller's own and Close waits for all.
func TestManyCallers(t *testing.T) {
	inner := memory.New()
	g := store.NewGroup(inner, store.GroupConfig{MaxEntries: 16, MaxQueue: 8})
	const callers, each = 64, 50
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if (c+i)%7 == 0 {
					go cancel()
				}
				list := entries(c*1000+i*10, c*1000+i*10+i%5+1)
				for n, r := range g.Append(ctx, list) {
					if r.Err == nil && r.Event.ID != list[n].Event.ID {
						t.Errorf("got %s, want %s", r.Event.ID, list[n].Event.ID)
					}
					if r.Err != nil && !errors.Is(r.Err, context.Canceled) {
						t.Errorf("%s: %v", list[n].Event.ID, r.Err)
					}
					if r.Err != nil { // the retry finds it, or stores it
						if again := g.Append(t.Context(), list[n:n+1]); again[0].Err != nil {
							t.Errorf("retry: %v", again[0].Err)
						}
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.NoError(t, g.Close())
	n := 0
	for _, err := range iter.Seq2[humanhours.Event, error](inner.Events(t.Context(), humanhours.EventQuery{Org: "acme"})) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, callers*each/5*(1+2+3+4+5), n)
}
