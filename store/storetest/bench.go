package storetest

import (
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
)

// Benchmark measures what a service asks of a humanhours.Store: events that are appended one by one, in batches and by many
// callers at once, retries, and reading. Every event has an idempotency key, as most have in practice. The rate
// of events per second is reported beside the usual figures. Each call of newStore must return an empty store.
func Benchmark(b *testing.B, newStore func(testing.TB) humanhours.Store) {
	b.Run("append", func(b *testing.B) {
		s, next := newStore(b), stream()
		b.ReportAllocs()
		b.ResetTimer()
		batch := make([]humanhours.Entry, 1)
		for range b.N {
			batch[0] = next()
			mustAppend(b, s, batch)
		}
		eventsPerSecond(b, 1)
	})
	b.Run("append batch of 100", func(b *testing.B) {
		s, next := newStore(b), stream()
		b.ReportAllocs()
		b.ResetTimer()
		batch := make([]humanhours.Entry, 100)
		for range b.N {
			for i := range batch {
				batch[i] = next()
			}
			mustAppend(b, s, batch)
		}
		eventsPerSecond(b, len(batch))
	})
	b.Run("append from 64 callers", func(b *testing.B) {
		s, next := newStore(b), stream()
		b.ReportAllocs()
		parallel(b, func() {
			mustAppend(b, s, []humanhours.Entry{next()})
		})
		eventsPerSecond(b, 1)
	})
	b.Run("replay", func(b *testing.B) {
		s, next := newStore(b), stream()
		stored := make([]humanhours.Entry, 100)
		for i := range stored {
			stored[i] = next()
		}
		mustAppend(b, s, stored)
		b.ReportAllocs()
		b.ResetTimer()
		batch := make([]humanhours.Entry, 1)
		for i := range b.N {
			batch[0] = next()
			batch[0].Key = stored[i%len(stored)].Key
			if got := s.Append(b.Context(), batch); outcome(got[0]) != replayed {
				b.Fatalf("a retry was %s (error %v)", outcome(got[0]), got[0].Err)
			}
		}
		eventsPerSecond(b, 1)
	})
	b.Run("events", func(b *testing.B) {
		const stored = 1000
		s, next := newStore(b), stream()
		batch := make([]humanhours.Entry, 500)
		for range stored / len(batch) {
			for i := range batch {
				batch[i] = next()
			}
			mustAppend(b, s, batch)
		}
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			n := 0
			for _, err := range s.Events(b.Context(), humanhours.EventQuery{Org: "acme"}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != stored {
				b.Fatalf("%d events, want %d", n, stored)
			}
		}
		eventsPerSecond(b, stored)
	})
}

// stream returns a source of entries that any goroutine may use. They come a millisecond apart and differ in what a real one
// would differ in; making one costs little beside storing it.
func stream() func() humanhours.Entry {
	template := Entry("acme", 0)
	template.Window = window
	var count atomic.Int64
	return func() humanhours.Entry {
		n := count.Add(1)
		e := template
		e.At = e.At.Add(time.Duration(n) * time.Millisecond)
		e.Event.ReceivedAt = e.At
		e.Event.OccurredAt = e.Event.OccurredAt.Add(time.Duration(n) * time.Millisecond)
		e.Event.ID = eventID(int(n))
		e.Key = "key-" + strconv.FormatInt(n, 10)
		return e
	}
}

func mustAppend(b *testing.B, s humanhours.Store, batch []humanhours.Entry) {
	for _, got := range s.Append(b.Context(), batch) {
		if outcome(got) != created {
			b.Errorf("an entry was %s (error %v)", outcome(got), got.Err)
		}
	}
}

// parallel runs f b.N times from 64 goroutines, or as near to it as the number of processors divides.
func parallel(b *testing.B, f func()) {
	b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f()
		}
	})
}

func eventsPerSecond(b *testing.B, perOp int) {
	b.ReportMetric(float64(b.N)*float64(perOp)/b.Elapsed().Seconds(), "events/s")
}
