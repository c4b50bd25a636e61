package sqlite_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// entries returns n entries with keys, from the i-th on, a millisecond apart.
func entries(i, n int) []humanhours.Entry {
	group := make([]humanhours.Entry, n)
	for j := range group {
		e := storetest.Entry("acme", i+j)
		e.At = time.Date(2026, time.May, 14, 0, 0, 0, 0, time.UTC).Add(time.Duration(i+j) * time.Millisecond)
		e.Event.ReceivedAt, e.Event.OccurredAt = e.At, e.At.Add(-time.Minute)
		e.Key, e.Window = "key-"+strconv.Itoa((i+j)*7919%1_000_003), humanhours.IdempotencyWindow
		group[j] = e
	}
	return group
}

// What a group commit hands down, with the file synced after each group and without.
func BenchmarkGroupOf64(b *testing.B) {
	for _, synchronous := range []sqlite.Synchronous{sqlite.Full, sqlite.Normal} {
		b.Run(synchronous.String(), func(b *testing.B) {
			s := open(b, file(b), sqlite.Config{Synchronous: synchronous})
			groups := make([][]humanhours.Entry, b.N)
			for i := range groups {
				groups[i] = entries(i*64, 64)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for _, group := range groups {
				for _, got := range s.Append(b.Context(), group) {
					if got.Err != nil || got.Replayed {
						b.Fatalf("replayed %t, error %v", got.Replayed, got.Err)
					}
				}
			}
			b.ReportMetric(64*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
