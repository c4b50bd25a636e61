package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// expect is the contract of Events, naively: what a query must yield of all events of its org.
func expect(all []humanhours.Event, q humanhours.EventQuery) []humanhours.Event {
	compare := func(a, b humanhours.Cursor) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	}
	var list []humanhours.Event
	for _, e := range all {
		position := q.CursorOf(&e)
		beyond := compare(position, q.After)
		if q.Descending {
			beyond = -beyond
		}
		if !q.From.IsZero() && position.At.Before(q.From) || !q.To.IsZero() && !position.At.Before(q.To) || !q.After.IsZero() && beyond <= 0 {
			continue
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b humanhours.Event) int { return compare(q.CursorOf(&a), q.CursorOf(&b)) })
	if q.Descending {
		slices.Reverse(list)
	}
	if q.Limit > 0 && len(list) > q.Limit {
		list = list[:q.Limit]
	}
	return list
}

// directions are the four ways to read all events of an org.
func directions(org string) []humanhours.EventQuery {
	return []humanhours.EventQuery{
		{Org: org},
		{Org: org, Descending: true},
		{Org: org, Order: humanhours.ByReceived},
		{Org: org, Order: humanhours.ByReceived, Descending: true},
	}
}

// fill stores n events in a random order, many of them at equal instants, and in different orders by occurrence and by receipt.
// Each time it is the same.
func (k *kit) fill(s humanhours.Store, org string, n int) []humanhours.Event {
	k.Helper()
	random := rand.New(rand.NewPCG(1, uint64(n)))
	entries := make([]humanhours.Entry, n)
	for i, j := range random.Perm(n) {
		entries[i] = k.entry(org,
			func(e *humanhours.Entry) { e.Event = bare(org, k.made) },
			at(epoch.Add(time.Duration(j/4)*time.Second)),
			occurred(epoch.Add(-time.Hour+time.Duration(random.IntN(n)/5)*10*time.Millisecond)))
	}
	random.Shuffle(n, func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	all := make([]humanhours.Event, n)
	for i := range entries {
		all[i] = entries[i].Event
	}
	for start := 0; start < n; start += 100 {
		for i, got := range k.append(s, entries[start:min(start+100, n)]...) {
			k.is("an event", got, created, all[start+i])
		}
	}
	return all
}

// edges are cursors and bounds around the instants of events: on them, beside them, and far away.
func edges(all []humanhours.Event, q humanhours.EventQuery) []time.Time {
	list := []time.Time{time.Date(1, time.January, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)}
	for i := 0; i < len(all); i += 13 {
		on := q.CursorOf(&all[i]).At
		list = append(list, on, on.Add(-time.Millisecond), on.Add(time.Millisecond))
	}
	return list
}

func readingProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"sparse events", sparseIsEnough, func(k *kit, s humanhours.Store) {
			random := seeded(17)
			k.load([]humanhours.Store{s}, "acme", random, 12)
			for _, change := range []func(*humanhours.Event){calls, func(e *humanhours.Event) { *e = bare(e.Org, k.made) }} {
				e := k.entry("acme")
				change(&e.Event)
				k.create(s, e)
			}
			for _, q := range directions("acme") {
				for _, limit := range []int{0, 1, 40} {
					q.Limit, q.Sparse, q.Bare = limit, false, false
					want := k.list(s, q)
					for _, q.Bare = range []bool{false, true} {
						q.Sparse = true
						got := k.list(s, q)
						if len(got) != len(want) {
							k.Fatalf("%d sparse events of %+v, want %d", len(got), q, len(want))
						}
						for i := range got {
							if a, b := sparseText(got[i], q.Bare), sparseText(want[i], q.Bare); a != b {
								k.Fatalf("a sparse event, bare %t, is\n%s\nand the whole one\n%s", q.Bare, a, b)
							}
						}
					}
				}
			}
		}},
		{"the order of events", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 60)
			for _, q := range directions("acme") {
				k.lists(s, q, expect(all, q))
			}
			// One that comes late, one that comes early, and one at an instant that is taken.
			for _, e := range []humanhours.Entry{
				k.entry("acme", at(epoch.Add(-time.Hour)), occurred(epoch.Add(-80*24*time.Hour))),
				k.entry("acme", at(epoch.Add(time.Hour)), occurred(epoch.Add(24*time.Hour))),
				k.entry("acme", at(all[7].ReceivedAt), occurred(all[9].OccurredAt)),
			} {
				k.create(s, e)
				all = append(all, e.Event)
			}
			for _, q := range directions("acme") {
				k.lists(s, q, expect(all, q))
			}
		}},
		{"ties are broken by the bytes of the id", eventsInOrder, func(k *kit, s humanhours.Store) {
			var all []humanhours.Event
			for _, id := range []string{"evt_b", "evt_B", "evt_a", "evt_A", "evt_10", "evt_9", "evt_", "evt_aa", "evt_a_", "evt_a-", "evt_Ab"} {
				e := k.entry("acme", at(epoch), occurred(epoch), func(e *humanhours.Entry) { e.Event.ID = id })
				k.create(s, e)
				all = append(all, e.Event)
			}
			for _, q := range directions("acme") {
				k.lists(s, q, expect(all, q))
				for i := range all {
					q.After = q.CursorOf(&all[i])
					k.lists(s, q, expect(all, q))
				}
			}
		}},
		{"events between two instants", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 50)
			zone := time.FixedZone("", -7*3600)
			for _, q := range directions("acme") {
				bounds := edges(all, q)
				for i, bound := range bounds {
					q.From, q.To = bound, time.Time{}
					k.lists(s, q, expect(all, q))
					q.From, q.To = time.Time{}, bound
					k.lists(s, q, expect(all, q))
					q.From, q.To = bound.In(zone), bounds[(i+5)%len(bounds)].In(zone) // also the wrong way round: none
					k.lists(s, q, expect(all, q))
				}
				q.From, q.To = bounds[2], bounds[2]
				k.lists(s, q, nil)
			}
		}},
		{"bounds finer than a millisecond", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 20)
			for _, q := range directions("acme") {
				on := q.CursorOf(&all[5]).At
				for _, ns := range []time.Duration{-1, 1, 500_000, -999_999} {
					q.From, q.To = on.Add(ns), time.Time{}
					k.lists(s, q, expect(all, q))
					q.From, q.To = time.Time{}, on.Add(ns)
					k.lists(s, q, expect(all, q))
				}
			}
		}},
		{"at most so many events", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 12)
			for _, q := range directions("acme") {
				for q.Limit = range 15 {
					k.lists(s, q, expect(all, q))
				}
				q.Limit, q.From = 3, q.CursorOf(&all[4]).At
				k.lists(s, q, expect(all, q))
			}
		}},
		{"more events than a page", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 1500)
			for _, q := range directions("acme") {
				k.lists(s, q, expect(all, q))
				q.Limit = 1100
				k.lists(s, q, expect(all, q))
			}
		}},
		{"events that come while others are read", eventsInOrder, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 600)
			for _, q := range directions("acme") {
				seen := make(map[string]int)
				n := 0
				var last humanhours.Event
				for e, err := range s.Events(k.Context(), q) {
					if err != nil {
						k.Fatalf("Events: %v", err)
					}
					if seen[e.ID]++; seen[e.ID] > 1 {
						k.Fatalf("Events %s: %s is yielded twice", describe(q), e.ID)
					}
					if n > 0 && len(expect([]humanhours.Event{e}, humanhours.EventQuery{Order: q.Order, Descending: q.Descending, After: q.CursorOf(&last)})) == 0 {
						k.Fatalf("Events %s: %s comes after %s", describe(q), e.ID, last.ID)
					}
					last = e
					if n++; n%50 == 1 && n < 1000 { // just before and just after where the reader stands
						near := k.entry("acme", at(e.ReceivedAt.Add(-time.Millisecond)), occurred(e.OccurredAt.Add(-time.Millisecond)))
						next := k.entry("acme", at(e.ReceivedAt.Add(time.Millisecond)), occurred(e.OccurredAt.Add(time.Millisecond)))
						k.append(s, near, next)
					}
				}
				for _, e := range all {
					if seen[e.ID] == 0 {
						k.Fatalf("Events %s: %s, which was there before, is left out", describe(q), e.ID)
					}
				}
			}
		}},
		{"no events", eventsInOrder, func(k *kit, s humanhours.Store) {
			for _, q := range directions("acme") {
				k.lists(s, q, nil)
				q.After, q.From, q.Limit = humanhours.Cursor{At: epoch, ID: eventID(3)}, epoch, 3
				k.lists(s, q, nil)
			}
			k.create(s, k.entry("other"))
			for _, q := range directions("acme") {
				k.lists(s, q, nil)
			}
		}},
		{"going on after every event", cursorGoesOn, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 40)
			for _, q := range directions("acme") {
				for _, e := range expect(all, q) {
					for _, limit := range []int{0, 1, 4} {
						q.After, q.Limit = q.CursorOf(&e), limit
						k.lists(s, q, expect(all, q))
					}
				}
			}
		}},
		{"reading page by page", cursorGoesOn, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 60)
			for _, q := range directions("acme") {
				want := expect(all, q)
				for _, size := range []int{1, 2, 7, 59, 60} {
					q.Limit, q.After = size, humanhours.Cursor{}
					var got []humanhours.Event
					for len(got) <= len(want) {
						page := k.list(s, q)
						if len(page) == 0 {
							break
						}
						got = append(got, page...)
						q.After = q.CursorOf(&page[len(page)-1])
					}
					if len(got) != len(want) {
						k.Fatalf("Events %s, page by page: %d events, want %d", describe(q), len(got), len(want))
					}
					for i := range got {
						if got[i].ID != want[i].ID {
							k.Fatalf("Events %s, page by page: number %d is %s, want %s", describe(q), i, got[i].ID, want[i].ID)
						}
					}
				}
			}
		}},
		{"a cursor from elsewhere", cursorGoesOn, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 40)
			zone := time.FixedZone("", 9*3600)
			for _, q := range directions("acme") {
				for i, instant := range append(edges(all, q), time.Time{}) {
					for _, id := range []string{"", "a", "evt_", "evt_~", all[i%len(all)].ID, strings.ToLower(all[i%len(all)].ID), eventID(0), eventID(99_999)} {
						q.After = humanhours.Cursor{At: instant.In(zone), ID: id}
						k.lists(s, q, expect(all, q))
					}
				}
			}
		}},
		{"a cursor with bounds", cursorGoesOn, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 40)
			random := rand.New(rand.NewPCG(2, 3))
			for _, q := range directions("acme") {
				bounds := append(edges(all, q), time.Time{})
				for range 150 {
					q.From, q.To = bounds[random.IntN(len(bounds))], bounds[random.IntN(len(bounds))]
					q.After, q.Limit = q.CursorOf(&all[random.IntN(len(all))]), random.IntN(10)
					k.lists(s, q, expect(all, q))
				}
			}
		}},
		{"a cursor whose neighbours come after it was made", cursorGoesOn, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", at(epoch), occurred(epoch))
			before := k.entry("acme", at(epoch.Add(-time.Second)), occurred(epoch.Add(-time.Second)))
			after := k.entry("acme", at(epoch.Add(time.Second)), occurred(epoch.Add(time.Second)))
			k.create(s, first)
			k.create(s, after)
			k.create(s, before)
			for _, q := range directions("acme") {
				q.After = q.CursorOf(&first.Event)
				want := after.Event
				if q.Descending {
					want = before.Event
				}
				k.lists(s, q, []humanhours.Event{want})
			}
		}},
		{"the loop body uses the store", nothingHeld, func(k *kit, s humanhours.Store) {
			const stored = 8
			all := k.fill(s, "acme", stored)
			for _, q := range directions("acme") {
				entries := make([]humanhours.Entry, stored)
				for i := range entries {
					// Behind the reader in no direction: the loop stays as long as it was.
					entries[i] = k.entry("acme", key(fmt.Sprint(q.Order, q.Descending, i)))
				}
				q.Limit = stored
				query := humanhours.ReplayQuery{Org: "acme", Key: "k", At: epoch}
				ctx := k.Context()
				var n int
				var failure error
				k.within("a loop over Events whose body uses the store", func() {
					for e, err := range s.Events(ctx, q) {
						if err != nil {
							failure = err
							return
						}
						if got := s.Append(ctx, entries[n:n+1]); got[0].Err != nil {
							failure = got[0].Err
						}
						if _, _, err := s.Event(ctx, "acme", e.ID); err != nil {
							failure = err
						}
						if _, err := s.Usage(ctx, "acme", humanhours.MonthOf(epoch)); err != nil {
							failure = err
						}
						if _, err := s.Replay(ctx, query); err != nil {
							failure = err
						}
						if _, err := s.Agents(ctx, "acme", false); err != nil {
							failure = err
						}
						for _, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme", Limit: 2}) {
							if err != nil {
								failure = err
							}
						}
						n++
					}
				})
				if failure != nil || n != stored {
					k.Fatalf("a loop over Events whose body uses the store ended after %d of %d with the error %v", n, stored, failure)
				}
			}
			k.used(s, "acme", epoch, int64(len(all)+4*stored))
		}},
		{"a loop that is left early", nothingHeld, func(k *kit, s humanhours.Store) {
			k.fill(s, "acme", 30)
			ctx := k.Context()
			for i := range 40 { // more often than any pool has connections
				q := directions("acme")[i%4]
				entry := k.entry("acme")
				var failure error
				k.within("a call after a loop that was left early", func() {
					for _, err := range s.Events(ctx, q) {
						failure = err
						break
					}
					if got := s.Append(ctx, []humanhours.Entry{entry}); got[0].Err != nil {
						failure = got[0].Err
					}
				})
				if failure != nil {
					k.Fatalf("a call after a loop that was left early: %v", failure)
				}
			}
		}},
		{"orgs see their own events", orgsAreIsolated, func(k *kit, s humanhours.Store) {
			a, b := k.fill(s, "acme", 20), k.fill(s, "acme2", 20)
			for _, q := range directions("acme") {
				k.lists(s, q, expect(a, q))
				q.After = q.CursorOf(&b[3]) // another org's position is a position
				k.lists(s, q, expect(a, q))
			}
			for _, e := range b {
				if _, ok := k.event(s, "acme", e.ID); ok {
					k.Fatalf("org %q sees an event of org %q", "acme", e.Org)
				}
			}
			for _, q := range directions("acme2") {
				k.lists(s, q, expect(b, q))
			}
			k.used(s, "acme", epoch, 20)
		}},
		{"an unknown org", orgsAreIsolated, func(k *kit, s humanhours.Store) {
			k.fill(s, "acme", 3)
			for _, org := range []string{"unknown", "acm", "acme2", "ACME", "acme ", "*", "%"} {
				for _, q := range directions(org) {
					k.lists(s, q, nil)
				}
				if _, ok := k.event(s, org, eventID(1)); ok {
					k.Fatalf("org %q, which stored nothing, has an event", org)
				}
				k.used(s, org, epoch, 0)
			}
			if _, ok := k.event(s, "acme", "evt_unknown"); ok {
				k.Fatal("an id that was never stored has an event")
			}
		}},
	}
}

// sparseText is what a sparse event, or a bare one, has to have.
func sparseText(e humanhours.Event, bare bool) string {
	amendments := humanhours.AppendAmendments(nil, e.Amendments)
	lean := humanhours.Event{
		ID: e.ID, Test: e.Test, AgentID: e.AgentID, TaskType: e.TaskType, Outcome: e.Outcome, Model: e.Model, Metadata: e.Metadata, OccurredAt: e.OccurredAt,
		Baseline: humanhours.Baseline{Source: e.Baseline.Source}, Currency: e.Currency,
		Cost: humanhours.RunCost{Source: e.Cost.Source, UnpricedModel: e.Cost.UnpricedModel}, ROI: e.ROI,
	}
	if bare {
		lean.AgentID, lean.TaskType, lean.Baseline.Source, lean.Cost.Source = "", "", "", ""
	}
	return e.Org + " " + string(lean.AppendStored(nil)) + string(amendments)
}
