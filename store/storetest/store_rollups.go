package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// reporter returns the optional part of a store, or skips the case.
func (k *kit) reporter(s humanhours.Store) humanhours.Reporter {
	k.Helper()
	r, ok := s.(humanhours.Reporter)
	if !ok {
		k.Skip("not a Reporter")
	}
	for _, err := range r.Rollups(k.Context(), humanhours.RollupQuery{Org: "nobody", By: humanhours.ByAgent}) {
		if errors.Is(err, errors.ErrUnsupported) {
			k.Skip("not a Reporter")
		}
	}
	return r
}

// listed is a store of a list of events of one org that is no Reporter.
type listed struct {
	humanhours.Store // nil: a report needs nothing else
	events           []humanhours.Event
}

func (s listed) Events(_ context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		for i := range s.events {
			at := s.events[i].OccurredAt
			if (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To)) && !yield(s.events[i], nil) {
				return
			}
		}
	}
}

// summing is the Reporter of a store; the events that its sums cannot say are listed.
type summing struct {
	listed
	humanhours.Reporter
}

// sumsAgree checks that reports from the sums of a store and from its events are the same.
func (k *kit) sumsAgree(s humanhours.Store, org string, random *rand.Rand, queries []humanhours.ReportQuery) {
	k.Helper()
	events := k.list(s, humanhours.EventQuery{Org: org})
	tracker := func(s humanhours.Store) *humanhours.Tracker {
		t, err := humanhours.New(s, humanhours.Config{})
		if err != nil {
			k.Fatalf("New: %v", err)
		}
		return t
	}
	sums, plain := tracker(summing{listed: listed{events: events}, Reporter: k.reporter(s)}), tracker(listed{events: events})
	caller := humanhours.Caller{Org: org}
	for range 8 {
		k.sumOnce(s, events, org, random)
	}
	for _, q := range queries {
		got, err := sums.Report(k.Context(), caller, q)
		want, err2 := plain.Report(k.Context(), caller, q)
		if err = errors.Join(err, err2); err != nil {
			k.Fatalf("Report of %+v: %v", q, err)
		}
		if a, b := reportText(&got), reportText(&want); a != b {
			k.Fatalf("a report of %+v: %s", q, differs(a, b))
		}
	}
}

// sumOnce checks the sums of a random span of time, hour by hour.
func (k *kit) sumOnce(s humanhours.Store, events []humanhours.Event, org string, random *rand.Rand) {
	k.Helper()
	by := []humanhours.Dimension{humanhours.ByAgent, humanhours.ByTaskType, humanhours.ByModel, humanhours.ByOutcome}[random.IntN(4)]
	q := humanhours.RollupQuery{Org: org, By: by}
	if len(events) > 0 && random.IntN(4) > 0 {
		a, b := events[random.IntN(len(events))].OccurredAt, events[random.IntN(len(events))].OccurredAt
		if b.Before(a) {
			a, b = b, a
		}
		q.From, q.To = a, b.Add(time.Duration(random.IntN(2))*time.Millisecond)
	}
	got, want := make(map[string]*humanhours.Rollup), make(map[string]*humanhours.Rollup)
	add := func(to map[string]*humanhours.Rollup, r humanhours.Rollup) {
		value := map[humanhours.Dimension]string{
			humanhours.ByAgent: r.Agent, humanhours.ByTaskType: r.TaskType, humanhours.ByModel: r.Model, humanhours.ByOutcome: string(r.Outcome),
		}[by]
		at := fmt.Sprintf("hour %d, %q, test %t, %s, %q", r.Hour, value, r.Test, r.Currency, r.UnpricedModel)
		sum := to[at]
		if sum == nil {
			sum = &humanhours.Rollup{}
			to[at] = sum
		}
		sum.Events, sum.Voided, sum.Failures, sum.Unpriced = sum.Events+r.Events, sum.Voided+r.Voided, sum.Failures+r.Failures, sum.Unpriced+r.Unpriced
		sum.HoursSaved.AddSum(&r.HoursSaved)
		sum.CostSaved.AddSum(&r.CostSaved)
		sum.AgentCost.AddSum(&r.AgentCost)
		sum.NetSaved.AddSum(&r.NetSaved)
	}
	for r, err := range s.(humanhours.Reporter).Rollups(k.Context(), q) {
		if err != nil {
			k.Fatalf("Rollups of %+v: %v", q, err)
		}
		if min(r.Events, r.Voided, r.Failures, r.Unpriced) < 0 {
			k.Fatalf("Rollups of %+v: a count is below 0: %+v", q, r)
		}
		add(got, r)
	}
	for i := range events {
		at := events[i].OccurredAt
		if (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To)) {
			add(want, events[i].Rollup())
		}
	}
	if a, b := sumTexts(got), sumTexts(want); a != b {
		k.Fatalf("the sums of %+v: %s", q, differs(a, b))
	}
}

func sumTexts(sums map[string]*humanhours.Rollup) string {
	var lines []string
	for at, r := range sums {
		line := fmt.Sprintf("%d %d %d %d %s %s %s %s", r.Events, r.Voided, r.Failures, r.Unpriced,
			r.HoursSaved.Decimal(), r.CostSaved.Decimal(), r.AgentCost.Decimal(), r.NetSaved.Decimal())
		if line != "0 0 0 0 0 0 0 0" { // what was taken off again
			lines = append(lines, at+": "+line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// differs shows the first line in which what the sums say and what the events say differ.
func differs(sums, events string) string {
	a, b := strings.Split(sums, "\n"), strings.Split(events, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "nothing", "nothing"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("%s from the sums, %s from the events", x, y)
		}
	}
	return ""
}

// reportText is all of a report.
func reportText(r *humanhours.Report) string {
	text := fmt.Sprintf("%+v, truncated %t\n", r.Caveats, r.Truncated)
	for _, sums := range r.Totals {
		text += sumsText(&sums)
	}
	for _, row := range r.Rows {
		text += fmt.Sprintf("%q ", row.Values) + sumsText(&row.ReportSums)
	}
	return text
}

func sumsText(s *humanhours.ReportSums) string {
	return fmt.Sprintf("%s %d %s %s %s %s\n", s.Currency, s.Events, s.HoursSaved, s.CostSaved, s.AgentCost, s.NetSaved)
}

// load appends events of all kinds in batches, and amends some: with replays, refusals, entries that fail and ones that come again. It returns how many
// events are new.
func (k *kit) load(stores []humanhours.Store, org string, random *rand.Rand, batches int) (events int) {
	k.Helper()
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	var all []humanhours.Entry
	known := make(map[string]bool)
	for range batches {
		var batch []humanhours.Entry
		for range 1 + random.IntN(24) {
			e := k.entry(org)
			event := &e.Event
			event.AgentID, event.TaskType = pick("a", "b", "agent \"c\"", "é"), pick("ticket_deflection", "own", "report")
			event.Model = pick("", "m", "acme/large-2")
			event.Outcome = humanhours.Outcome(pick("success", "success", "failure", "needs_review"))
			event.Currency = pick("EUR", "EUR", "USD")
			event.Test = random.IntN(8) == 0
			event.HoursSaved, event.CostSaved, event.NetSaved = dec(pick("0", "0.066", "12.5")), dec(pick("0", "2.97", "0.000000001")), dec(pick("0", "-4.2", "922337203.68"))
			if random.IntN(3) == 0 {
				event.AgentCost = humanhours.ROI{}.AgentCost
				event.Cost.UnpricedModel = pick("", "unknown/model", "m")
			}
			if random.IntN(4) > 0 { // some weeks around, in whole hours and beside them
				event.OccurredAt = epoch.Truncate(time.Hour).Add(time.Duration(random.IntN(1000)-500) * 30 * time.Minute).Add(time.Duration(random.IntN(3)-1) * time.Millisecond)
			}
			if random.IntN(60) == 0 { // before 1970, and far from everything
				event.OccurredAt = time.Date(1961+random.IntN(20), time.March, 1+random.IntN(30), random.IntN(24), 59, 59, 999_000_000, time.UTC)
			}
			switch {
			case random.IntN(3) == 0:
				key(pick("k1", "k2", "k3", event.ID))(&e)
			case random.IntN(12) == 0:
				e.Cap = 1
			case random.IntN(20) == 0:
				event.ID = ""
			case random.IntN(12) == 0 && len(all) > 0:
				e = all[random.IntN(len(all))]
			}
			batch = append(batch, e)
		}
		all = append(all, batch...)
		for _, got := range stores[random.IntN(len(stores))].Append(k.Context(), batch) {
			if outcome(got) == created && !known[got.Event.ID] {
				known[got.Event.ID] = true
				events++
			}
			if got.Err != nil || got.QuotaExceeded || random.IntN(6) > 0 {
				continue
			}
			s := stores[random.IntN(len(stores))]
			event, found, err := s.Event(k.Context(), org, got.Event.ID)
			if err != nil || !found {
				k.Fatalf("Event: found %t, error %v", found, err)
			}
			a := voiding(1)
			switch random.IntN(4) {
			case 0:
				a = redacting(1)
			case 1, 2:
				if event.Currency == "EUR" { // that of the sample
					a = repricing(1)
				}
			}
			k.amend(s, event, a)
		}
	}
	return events
}

// sumQueries are reports that sums can answer: by everything that they are apart by, with filters, bounds and zones.
func sumQueries(random *rand.Rand) []humanhours.ReportQuery {
	zone := func() *time.Location {
		names := []string{"UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Africa/Monrovia"}
		loc, err := time.LoadLocation(names[random.IntN(len(names))])
		if err != nil { // a machine without zones
			return time.UTC
		}
		return loc
	}
	filters := map[humanhours.Dimension]humanhours.ReportFilter{
		humanhours.ByAgent: {Agents: []string{"a", "é"}}, humanhours.ByTaskType: {TaskTypes: []string{"own"}},
		humanhours.ByModel: {Models: []string{"m", ""}}, humanhours.ByOutcome: {Outcomes: []humanhours.Outcome{humanhours.OutcomeFailure}},
		"": {},
	}
	var list []humanhours.ReportQuery
	for _, dimensions := range [][]humanhours.Dimension{
		{}, {humanhours.ByAgent}, {humanhours.ByTaskType}, {humanhours.ByCategory}, {humanhours.ByCategory, humanhours.ByTaskType}, {humanhours.ByModel},
		{humanhours.ByOutcome},
	} {
		for _, units := range [][]humanhours.Dimension{
			{}, {humanhours.ByHour}, {humanhours.ByDay}, {humanhours.ByWeek}, {humanhours.ByMonth}, {humanhours.ByMonth, humanhours.ByDay},
		} {
			q := humanhours.ReportQuery{GroupBy: append(append([]humanhours.Dimension(nil), units...), dimensions...), Zone: zone(), Test: random.IntN(6) == 0}
			by := humanhours.Dimension("")
			if len(dimensions) > 0 {
				by = dimensions[len(dimensions)-1]
			}
			if by == humanhours.ByCategory {
				by = humanhours.ByTaskType
			}
			if random.IntN(2) == 0 {
				q.Filter = filters[by]
			}
			if random.IntN(3) > 0 {
				q.From = epoch.Add(time.Duration(random.IntN(400)-300) * 37 * time.Minute)
				q.To = q.From.Add(time.Duration(random.IntN(3000)) * 7 * time.Minute)
			}
			list = append(list, q)
		}
	}
	return list
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// rollupProofs are cases of the optional humanhours.Reporter.
func rollupProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"reports from sums and from events", sumsAreEvents, func(k *kit, s humanhours.Store) {
			k.reporter(s)
			for seed := range uint64(3) {
				org, random := fmt.Sprint("org \x00", seed), seeded(seed)
				k.load([]humanhours.Store{s}, org, random, 24)
				k.sumsAgree(s, org, random, sumQueries(random))
			}
		}},
		{"sums of many small batches", sumsAreEvents, func(k *kit, s humanhours.Store) {
			k.reporter(s)
			random := seeded(11)
			for i := range 700 { // so that whoever merges now and then has merged
				e := k.entry("acme")
				e.Event.AgentID = fmt.Sprint("agent-", i%5)
				e.Event.OccurredAt = epoch.Add(time.Duration(i%50) * time.Minute)
				k.create(s, e)
			}
			k.sumsAgree(s, "acme", random, sumQueries(random))
		}},
		{"sums of what is amended", sumsAreEvents, func(k *kit, s humanhours.Store) {
			k.reporter(s)
			random := seeded(12)
			e := k.create(s, k.entry("acme"))
			for n, a := range []humanhours.Amendment{redacting(1), repricing(2), repricing(3), voiding(4), repricing(5)} {
				e = k.amend(s, e, a)
				k.amended("an Amend that comes too late", s, func() humanhours.AmendQuery {
					q := amending(&e, voiding(n))
					q.Base = 0
					return q
				}(), humanhours.Amended{Event: e, Found: true})
				k.sumsAgree(s, "acme", random, sumQueries(random))
			}
		}},
		{"sums beyond 64 bits", sumsAreEvents, func(k *kit, s humanhours.Store) {
			k.reporter(s)
			random := seeded(13)
			for i := range 60 { // some of which fit, until they are added up
				e := k.entry("acme")
				e.Event.CostSaved, e.Event.NetSaved = dec("922337203.685477580"), dec("-922337203.685477580")
				if i%3 == 0 {
					e.Event.CostSaved, e.Event.NetSaved = dec("9223372036.854775807"), dec("-9223372036.854775807")
				}
				k.create(s, e)
			}
			k.sumsAgree(s, "acme", random, sumQueries(random))
		}},
		{"sums that are made anew", sumsAnew, func(k *kit, s humanhours.Store) {
			r, random := k.reporter(s), seeded(14)
			k.load([]humanhours.Store{s}, "acme", random, 12)
			for _, org := range []string{"acme", "nobody"} {
				if err := r.Rebuild(k.Context(), org); err != nil {
					k.Fatalf("Rebuild: %v", err)
				}
			}
			k.sumsAgree(s, "acme", random, sumQueries(random))
			k.load([]humanhours.Store{s}, "acme", random, 12)
			k.sumsAgree(s, "acme", random, sumQueries(random))
		}},
	}
}

// sharedRollupProofs are likewise cases for stores that share their data.
func sharedRollupProofs() []proof[[]humanhours.Store] {
	return []proof[[]humanhours.Store]{
		{"an event and its sums can be seen together", sumsInStep, func(k *kit, stores []humanhours.Store) {
			k.reporter(stores[0])
			entries := make([]humanhours.Entry, writers)
			for i := range entries {
				entries[i] = k.entry("acme", occurred(epoch.Add(time.Duration(i)*time.Hour)))
			}
			ctx := k.Context()
			k.inStep(writers, func(i int) error { return only(stores[0].Append(ctx, entries[i:i+1])).Err }, []sign{
				{"the event", func(i int) (bool, error) {
					_, found, err := stores[1%len(stores)].Event(ctx, "acme", entries[i].Event.ID)
					return found, err
				}},
				{"its sum", func(i int) (bool, error) {
					hour, found := humanhours.HourOf(entries[i].Event.OccurredAt), false
					for r, err := range stores[2%len(stores)].(humanhours.Reporter).Rollups(ctx, humanhours.RollupQuery{Org: "acme", By: humanhours.ByAgent}) {
						if err != nil {
							return false, err
						}
						found = found || r.Hour == hour && r.Events > 0
					}
					return found, nil
				}},
			})
		}},
		{"sums under many writers, made anew meanwhile", sumsAreEvents, func(k *kit, stores []humanhours.Store) {
			const callers, rounds = 8, 12
			k.reporter(stores[0])
			ctx, random := k.Context(), seeded(15)
			batches := make([][][]humanhours.Entry, callers)
			for i := range batches {
				for round := range rounds {
					var batch []humanhours.Entry
					for j := range 1 + (i*round)%9 {
						e := k.entry("acme", key(fmt.Sprint("k", i%3, j, round/2)), occurred(epoch.Add(time.Duration(j*round)*time.Hour)))
						e.Event.AgentID = fmt.Sprint("agent-", j%3)
						batch = append(batch, e)
					}
					batches[i] = append(batches[i], batch)
				}
			}
			errs := make([]error, callers)
			k.race(callers, func(i int) {
				s := stores[i%len(stores)]
				for n, batch := range batches[i] {
					for _, got := range s.Append(ctx, batch) {
						errs[i] = errors.Join(errs[i], got.Err)
					}
					if i == 0 && n%4 == 0 {
						errs[i] = errors.Join(errs[i], s.(humanhours.Reporter).Rebuild(ctx, "acme"))
					}
					for _, err := range s.(humanhours.Reporter).Rollups(ctx, humanhours.RollupQuery{Org: "acme", By: humanhours.ByModel}) {
						errs[i] = errors.Join(errs[i], err)
					}
				}
			})
			if err := errors.Join(errs...); err != nil {
				k.Fatalf("a writer: %v", err)
			}
			k.sumsAgree(stores[0], "acme", random, sumQueries(random))
			k.load(stores, "acme", random, 12)
			k.sumsAgree(stores[len(stores)-1], "acme", random, sumQueries(random))
		}},
	}
}

// sumsAfterRestart: what was summed before a restart counts after it, and goes on.
func sumsAfterRestart(k *kit, l *lives) {
	random := seeded(16)
	events := 0
	for range 3 {
		s := l.next(k)
		k.reporter(s)
		events += k.load([]humanhours.Store{s}, "acme", random, 8)
	}
	s := l.next(k)
	if n := len(k.list(s, humanhours.EventQuery{Org: "acme"})); n != events {
		k.Fatalf("%d events are there, want %d", n, events)
	}
	k.sumsAgree(s, "acme", random, sumQueries(random))
}
