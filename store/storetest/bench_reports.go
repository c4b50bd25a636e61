package storetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// BenchmarkReports measures reports of 30 days about a million events or so: once of one org, and once of 100 orgs of which each has its part; with 20
// agents, 30 task types and 10 models. Each call of newStore must return an empty store.
func BenchmarkReports(b *testing.B, events int, newStore func(testing.TB) humanhours.Store) {
	for _, orgs := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d orgs", orgs), func(b *testing.B) {
			s := newStore(b)
			start := time.Now()
			fillOrgs(b, s, orgs, events)
			b.Logf("%d events stored in %v", events, time.Since(start).Round(time.Millisecond))
			tracker, err := humanhours.New(s, humanhours.Config{})
			if err != nil {
				b.Fatal(err)
			}
			for _, by := range [][]humanhours.Dimension{
				{humanhours.ByAgent}, {humanhours.ByTaskType}, {humanhours.ByModel}, {humanhours.ByDay}, {humanhours.MetadataDimension("team")},
			} {
				b.Run(strings.ReplaceAll(fmt.Sprint(by[0]), ".", " "), func(b *testing.B) {
					n := 0
					for b.Loop() {
						org := filledOrg(n % orgs)
						n++
						report, err := tracker.Report(b.Context(), humanhours.Caller{Org: org}, humanhours.ReportQuery{
							GroupBy: by, From: filledFrom.Add(17*time.Minute + 3*time.Millisecond), To: filledFrom.Add(30*24*time.Hour + 17*time.Minute + 3*time.Millisecond),
						})
						if err != nil || len(report.Rows) == 0 {
							b.Fatalf("%d rows, error %v", len(report.Rows), err)
						}
					}
				})
			}
			b.Run("export", func(b *testing.B) {
				rows := 0
				for b.Loop() {
					for _, err := range s.Events(b.Context(), humanhours.EventQuery{Org: filledOrg(0), Limit: 100_000}) {
						if err != nil {
							b.Fatal(err)
						}
						rows++
					}
				}
				eventsPerSecond(b, rows/b.N)
			})
		})
	}
}

var filledFrom = time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC)

func filledOrg(n int) string { return fmt.Sprint("org-", n) }

// fillOrgs appends events that are spread over 30 days and some orgs, in groups of 64 as they come: with 20 agents, 30 task types and 10 models. The same for the
// same arguments.
func fillOrgs(tb testing.TB, s humanhours.Store, orgs, events int) {
	tb.Helper()
	for first := 0; first < events; first += 64 {
		for _, got := range s.Append(tb.Context(), fleet(orgs, events, first, min(64, events-first))) {
			if got.Err != nil || got.Replayed || got.QuotaExceeded {
				tb.Fatalf("an entry was %s (error %v)", outcome(got), got.Err)
			}
		}
	}
}

// fleet is the entries of fillOrgs from the first on, n of them.
func fleet(orgs, events, first, n int) []humanhours.Entry {
	random := rand.New(rand.NewPCG(uint64(first), 3))
	group := make([]humanhours.Entry, n)
	for i := range group {
		at := filledFrom.Add(time.Duration(first+i) * (31 * 24 * time.Hour / time.Duration(events))).Truncate(time.Millisecond)
		e := Entry(filledOrg(random.IntN(orgs)), first+i)
		event := &e.Event
		event.AuditSample, event.LLMCalls = humanhours.AuditSample{}, nil
		event.Usage = humanhours.Usage{TokensIn: event.TokensIn, TokensOut: event.TokensOut}
		price := event.Cost.Price
		event.Cost.Price = humanhours.Price{
			Model: price.Model, Input: price.Input, Output: price.Output, Currency: price.Currency, Source: price.Source, Version: price.Version, Date: price.Date,
		}
		event.AgentID, event.TaskType, event.Model = fmt.Sprint("agent-", random.IntN(20)), fmt.Sprint("task_type_", random.IntN(30)), fmt.Sprint("acme/model-", random.IntN(10))
		event.Metadata = []byte(fmt.Sprintf(`{"team":"team %d","ticket":"%d"}`, random.IntN(12), first+i))
		event.HoursSaved, event.CostSaved = decimal.New(int64(random.IntN(900)), -3), decimal.New(int64(random.IntN(9000)), -2)
		event.NetSaved = event.CostSaved.Sub(event.AgentCost.Decimal)
		event.ReceivedAt, event.OccurredAt = at, at.Add(-time.Duration(random.IntN(60_000))*time.Millisecond)
		e.At, e.Key, e.Window = at, fmt.Sprint("key-", first+i), window
		group[i] = e
	}
	return group
}
