package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/storetest"
	"github.com/oklog/ulid/v2"
)

// entries returns n entries with keys, from the i-th on, a millisecond apart: events as most are, of about 450 bytes of JSON.
func entries(i, n int) []humanhours.Entry {
	group := make([]humanhours.Entry, n)
	for j := range group {
		e := storetest.Entry("acme", i+j)
		e.At = time.Date(2026, time.May, 14, 0, 0, 0, 0, time.UTC).Add(time.Duration(i+j) * time.Millisecond)
		event := &e.Event
		event.ID = "evt_" + ulid.ULID{0: 1, 1: 0x9e, 12: byte((i + j) >> 24), 13: byte((i + j) >> 16), 14: byte((i + j) >> 8), 15: byte(i + j)}.String()
		event.ReceivedAt, event.OccurredAt = e.At, e.At.Add(-time.Minute)
		event.KeyID, event.AuditSample, event.Metadata, event.Model = "", humanhours.AuditSample{}, nil, ""
		event.Usage = humanhours.Usage{}
		event.Cost = humanhours.RunCost{Source: humanhours.CostProvided}
		e.Key, e.Window = "9f1c2d3e-0000-4000-8000-"+fmt.Sprintf("%012d", i+j), humanhours.IdempotencyWindow
		group[j] = e
	}
	return group
}

// A full Append beside a plain SET of the same bytes by the same client, and for a lone caller beside the bare call of the same script. All of them
// take turns in one run: the ratios are the result.
func BenchmarkAppend(b *testing.B) {
	const each, alone, block = 64, 300, 50
	ctx := context.Background()
	c := redistest.Start(b).Client(b)
	s := open(b, c, fresh())
	plain := fresh()
	made := 0
	next := func(n int) []humanhours.Entry {
		made += n
		return entries(made-n, n)
	}
	appendOne := func(entry []humanhours.Entry) {
		if got := s.Append(ctx, entry)[0]; got.Err != nil || got.Replayed {
			b.Errorf("replayed %t, error %v", got.Replayed, got.Err)
		}
	}
	many := func(callers int, do func(i int)) time.Duration {
		start := time.Now()
		var all sync.WaitGroup
		for caller := range callers {
			all.Go(func() {
				for i := caller; i < callers*each; i += callers {
					do(i)
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	// A block of one kind after a block of the other: a call finds the processors more awake after the longer one, whichever it is itself.
	lone := func(n int, prepare func(i int) func()) []time.Duration {
		calls := make([]func(), n)
		for i := range calls {
			calls[i] = prepare(i)
		}
		took := make([]time.Duration, n)
		for i, call := range calls {
			start := time.Now()
			call()
			took[i] = time.Since(start)
		}
		return took
	}
	var set, full [2]time.Duration
	callers := [2]int{64, 256}
	var loneBare, loneFull []time.Duration
	rounds := 0
	for b.Loop() {
		for k, n := range callers {
			work := next(n * each)
			texts := make([]string, len(work))
			keys := make([]string, len(work))
			for i := range work {
				texts[i] = string(work[i].Event.AppendStored(nil))
				keys[i] = plain + work[i].Event.ID
			}
			set[k] += many(n, func(i int) {
				if err := c.Set(ctx, keys[i], texts[i], 0).Err(); err != nil {
					b.Error(err)
				}
			})
			full[k] += many(n, func(i int) { appendOne(work[i : i+1]) })
		}
		work := next(2 * alone)
		for start := 0; start < alone; start += block {
			loneBare = append(loneBare, lone(block, func(i int) func() {
				call, err := s.BareAppend(&work[alone+start+i])
				if err != nil {
					b.Fatal(err)
				}
				return func() {
					if err := call(ctx); err != nil {
						b.Error(err)
					}
				}
			})...)
			loneFull = append(loneFull, lone(block, func(i int) func() { return func() { appendOne(work[start+i : start+i+1]) } })...)
		}
		rounds++
	}
	median := func(list []time.Duration) float64 {
		slices.Sort(list)
		return float64(list[len(list)/2]) / float64(time.Microsecond)
	}
	b.ReportMetric(0, "ns/op") // of a round: it says nothing
	for k, n := range callers {
		name := strconv.Itoa(n)
		events := float64(rounds * n * each)
		b.ReportMetric(events/set[k].Seconds(), name+"-set/s")
		b.ReportMetric(events/full[k].Seconds(), name+"-append/s")
		b.ReportMetric(set[k].Seconds()/full[k].Seconds(), name+"-ratio")
	}
	b.ReportMetric(median(loneBare), "1-script-µs")
	b.ReportMetric(median(loneFull), "1-append-µs")
	b.ReportMetric(median(loneFull)/median(loneBare), "1-ratio")
}
