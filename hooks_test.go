package humanhours_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestOnEventIsToldOfCreatedEventsOnly(t *testing.T) {
	var told []humanhours.Event
	w := newWorld(t, humanhours.Config{
		OnEvent: func(e humanhours.Event) { told = append(told, e) },
		Plans:   map[string]humanhours.Plan{"p": {EventsPerMonth: 4}}, OrgDefaults: humanhours.Org{Plan: "p"},
	})
	var want []humanhours.Event
	want = append(want, w.trackOne(t, request()), w.trackOne(t, withKey("k")))
	w.track(t, humanhours.Caller{}, withKey("k"))                    // a replay
	w.track(t, humanhours.Caller{}, withKey("k", setAgentID("bot"))) // a mismatch
	_, err := w.Track(t.Context(), humanhours.Caller{}, request(setAgentID("")))
	require.Error(t, err)
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, []humanhours.TrackRequest{
		request(), withKey("k"), request(setAgentID("")), withKey("k2"), request(), // the last is over the quota
	})
	require.NoError(t, err)
	want = append(want, results[0].Event, results[3].Event)

	require.NoError(t, w.Shutdown(t.Context()))
	require.Len(t, told, len(want))
	for i := range want {
		requireSame(t, want[i], told[i]) // in their order
	}
}

func TestHookGetsItsOwnCopy(t *testing.T) {
	seen := make(chan string, 1)
	w := newWorld(t, humanhours.Config{OnEvent: func(e humanhours.Event) {
		seen <- string(e.Metadata)
		copy(e.Metadata, "xxxxxx")
	}})
	e := w.trackOne(t, request(setMetadata(`{"a":1}`)))
	copy(e.Metadata, "yyyyyy")
	require.NoError(t, w.Shutdown(t.Context()))
	assert.Equal(t, `{"a":1}`, <-seen)
	assert.Equal(t, `yyyyyy}`, string(e.Metadata))
	assert.Equal(t, `{"a":1}`, string(w.stored(t, defaultOrg)[0].Metadata))
}

func TestHookThatBlocksDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		told := 0
		w := newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) { <-release; told++ }})
		for range 3 {
			w.trackOne(t, request()) // would never come back if it waited for the hook
		}
		synctest.Wait()
		assert.Zero(t, told)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, w.Shutdown(ctx), context.DeadlineExceeded, "Shutdown waits as long as it may")
		close(release)
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Equal(t, 3, told, "Shutdown has waited for all of them")

		w.trackOne(t, request())
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Equal(t, 4, told, "a Tracker works on after Shutdown")
	})
}

func TestHooksRunOneAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, told := 0, []string{}
		w := newWorld(t, humanhours.Config{OnEvent: func(e humanhours.Event) {
			running++
			assert.Equal(t, 1, running)
			<-time.After(time.Second)
			told = append(told, e.AgentID)
			running--
		}})
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint("agent", i))
			w.trackOne(t, request(setAgentID(want[i])))
		}
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Equal(t, want, told)
	})
}

func TestHookThatPanics(t *testing.T) {
	told := 0
	w := newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) {
		if told++; told == 1 {
			panic("the metrics are down")
		}
	}})
	w.trackOne(t, request())
	w.trackOne(t, request())
	require.NoError(t, w.Shutdown(t.Context()))
	assert.Equal(t, 2, told, "the next call comes")
	assert.Contains(t, w.log.String(), "the metrics are down")
	assert.Contains(t, w.log.String(), "hooks_test.go", "with the place")
}

func TestHookQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told []string
		w := newWorld(t, humanhours.Config{HookQueue: 2, OnEvent: func(e humanhours.Event) { <-release; told = append(told, e.AgentID) }})
		w.trackOne(t, request(setAgentID("running")))
		synctest.Wait()
		for i := range 5 {
			w.trackOne(t, request(setAgentID(fmt.Sprint("queued", i))))
		}
		close(release)
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Equal(t, []string{"running", "queued0", "queued1"}, told)
		assert.Len(t, w.stored(t, defaultOrg), 6, "the store is the record")
		assert.Contains(t, w.log.String(), "level=WARN")
		w.trackOne(t, request())
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Equal(t, 1, strings.Count(w.log.String(), "dropped=3"), "told once: %s", w.log)
	})
}

// The operator must hear of dropped calls while the hook hangs, not after.
func TestDroppedHookCallsAreLoggedWhileTheHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, humanhours.Config{HookQueue: 1, OnEvent: func(humanhours.Event) { <-release }})
		for range 4 {
			w.trackOne(t, request())
			synctest.Wait()
		}
		logged := w.log.String()
		close(release)
		require.NoError(t, w.Shutdown(t.Context()))
		assert.Contains(t, logged, "dropped")
	})
}

func TestHookMayUseTheTracker(t *testing.T) {
	var w *world
	told := 0
	w = newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) {
		if told++; told < 3 {
			_, err := w.Track(context.Background(), humanhours.Caller{}, request())
			assert.NoError(t, err)
		}
	}})
	w.trackOne(t, request())
	for range 3 { // each waits for what the hook had recorded until then
		require.NoError(t, w.Shutdown(t.Context()))
	}
	assert.Equal(t, 3, told)
}

func TestShutdownWithoutHooks(t *testing.T) {
	w := newWorld(t, humanhours.Config{Logger: slog.New(slog.DiscardHandler)})
	w.trackOne(t, request())
	assert.NoError(t, w.Shutdown(t.Context()))
}

// A hook that ends its goroutine, as a failing test in it does, takes no other call along.
func TestHookMayEndItsGoroutine(t *testing.T) {
	told := 0
	w := newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) {
		told++
		runtime.Goexit()
	}})
	for range 3 {
		w.trackOne(t, request())
	}
	require.NoError(t, w.Shutdown(t.Context()))
	assert.Equal(t, 3, told)
}

// Shutdown waits for what was answered before it, not for what goes on being answered.
func TestShutdownUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan struct{})
		w := newWorld(t, humanhours.Config{OnEvent: func(humanhours.Event) { <-next }})
		w.trackOne(t, request())
		done := make(chan error, 1)
		go func() { done <- w.Shutdown(t.Context()) }()
		synctest.Wait()
		w.trackOne(t, request())
		next <- struct{}{}
		require.NoError(t, <-done, "the second event is still with its hook")
		next <- struct{}{}
	})
}
