package sqlite_test

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
	"github.com/shopspring/decimal"
)

// entries returns n entries with keys, from the i-th on, a millisecond apart: runs that were sent as two totals, as most are.
func entries(i, n int) []humanhours.Entry {
	group := make([]humanhours.Entry, n)
	for j := range group {
		e := storetest.Entry("acme", i+j)
		e.At = time.Date(2026, time.May, 14, 0, 0, 0, 0, time.UTC).Add(time.Duration(i+j) * time.Millisecond)
		e.Event.ReceivedAt, e.Event.OccurredAt = e.At, e.At.Add(-time.Minute)
		price := &e.Event.Cost.Price
		e.Event.Usage = humanhours.Usage{TokensIn: e.Event.TokensIn, TokensOut: e.Event.TokensOut}
		*price = humanhours.Price{
			Model: price.Model, Input: price.Input, Output: price.Output,
			Currency: price.Currency, Source: price.Source, Version: price.Version, Date: price.Date,
		}
		e.Event.AgentCost = decimal.NewNullDecimal(decimal.RequireFromString("0.000749173"))
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

// What group commit gains for 64 callers with one event each, and what it costs a lone one. All four ways take turns in one run, so that a
// disk that is slow for a while is slow for all of them: the ratios are the result.
func BenchmarkGroupCommit(b *testing.B) {
	const callers, each, alone = 64, 32, 200
	made := 0
	next := func(n int) []humanhours.Entry {
		made += n
		return entries(made-n, n)
	}
	// A sync of a log that grows costs about twice that of one that is written over, which is what it is after its first 64 MB.
	grown := func() *sqlite.Store {
		path := file(b)
		s := open(b, path, sqlite.Config{})
		for {
			for _, got := range s.Append(b.Context(), next(256)) {
				if got.Err != nil || got.Replayed {
					b.Fatalf("replayed %t, error %v", got.Replayed, got.Err)
				}
			}
			if log, err := os.Stat(path + "-wal"); err != nil || log.Size() > 64<<20 {
				return s
			}
		}
	}
	direct := grown()
	grouped := store.NewGroup(grown(), store.GroupConfig{})
	defer grouped.Close()
	one := func(s humanhours.Store, entry []humanhours.Entry) {
		if got := s.Append(b.Context(), entry)[0]; got.Err != nil || got.Replayed {
			b.Errorf("replayed %t, error %v", got.Replayed, got.Err)
		}
	}
	many := func(s humanhours.Store) time.Duration {
		work := next(callers * each)
		start := time.Now()
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for i := c; i < len(work); i += callers {
					one(s, work[i:i+1])
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	// One after the other: the first call after one on the other file is slower, whoever makes it.
	lone := func(s humanhours.Store) []time.Duration {
		took := make([]time.Duration, alone)
		for i := range took {
			entry := next(1)
			start := time.Now()
			one(s, entry)
			took[i] = time.Since(start)
		}
		return took
	}

	many(direct) // statements are prepared, files have pages
	many(grouped)
	var manyDirect, manyGrouped time.Duration
	var loneDirect, loneGrouped []time.Duration
	rounds := 0
	for b.Loop() {
		manyDirect += many(direct)
		manyGrouped += many(grouped)
		loneDirect = append(loneDirect, lone(direct)...)
		loneGrouped = append(loneGrouped, lone(grouped)...)
		rounds++
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2]) / float64(time.Microsecond)
	}
	events := float64(rounds * callers * each)
	b.ReportMetric(0, "ns/op") // of a round: it says nothing
	b.ReportMetric(events/manyDirect.Seconds(), "64-direct/s")
	b.ReportMetric(events/manyGrouped.Seconds(), "64-grouped/s")
	b.ReportMetric(manyDirect.Seconds()/manyGrouped.Seconds(), "64-gain")
	b.ReportMetric(median(loneDirect), "1-direct-µs")
	b.ReportMetric(median(loneGrouped), "1-grouped-µs")
	b.ReportMetric(median(loneGrouped)/median(loneDirect), "1-ratio")
}
