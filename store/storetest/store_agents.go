package storetest

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/humanhours/humanhours-go"
)

// named says which agent did the task.
func named(agent string) option { return func(e *humanhours.Entry) { e.Event.AgentID = agent } }

// expectAgents is the contract of Agents, naively: what it must return of all events of an org.
func expectAgents(all []humanhours.Event, test bool) []humanhours.AgentSeen {
	var list []humanhours.AgentSeen
	for _, e := range all {
		if e.Test != test {
			continue
		}
		at := 0
		for at < len(list) && list[at].ID < e.AgentID {
			at++
		}
		occurred := e.OccurredAt.UTC().Truncate(time.Millisecond)
		if at == len(list) || list[at].ID != e.AgentID {
			list = append(list[:at], append([]humanhours.AgentSeen{{ID: e.AgentID, First: occurred, Last: occurred}}, list[at:]...)...)
			continue
		}
		if agent := &list[at]; occurred.Before(agent.First) {
			agent.First = occurred
		} else if occurred.After(agent.Last) {
			agent.Last = occurred
		}
	}
	return list
}

// agents checks which agents an org has, if these are all its events.
func (k *kit) agents(s humanhours.Store, org string, all ...humanhours.Event) {
	k.Helper()
	for _, test := range []bool{false, true} {
		got, err := s.Agents(k.Context(), org, test)
		if err != nil {
			k.Fatalf("Agents: %v", err)
		}
		want, what := expectAgents(all, test), fmt.Sprintf("Agents of %q, test %t", org, test)
		for i := range min(len(got), len(want)) {
			if got[i].ID != want[i].ID {
				k.Fatalf("%s: number %d is %q, want %q", what, i, got[i].ID, want[i].ID)
			}
			k.equal(fmt.Sprintf("%s: %q", what, got[i].ID), got[i], want[i])
		}
		if len(got) != len(want) {
			k.Fatalf("%s: %d agents, want %d", what, len(got), len(want))
		}
	}
}

func agentProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"the first and the last event of an agent", agentsSeen, func(k *kit, s humanhours.Store) {
			k.agents(s, "acme")
			var all []humanhours.Event
			for _, minute := range []time.Duration{0, 5, 3, -2, 9, 9, -7, 1} {
				for i, agent := range []string{"a", "b", "a"} { // "a" twice: the order of its two is not that of time
					e := k.entry("acme", named(agent), occurred(epoch.Add(minute*time.Minute-time.Duration(i)*time.Second)))
					all = append(all, k.create(s, e))
					k.agents(s, "acme", all...)
				}
			}
			for range 3 { // batches, in which some come before what is there, and some after
				var batch []humanhours.Entry
				for i, minute := range []time.Duration{2, 20, -20, 4, -30, 30} {
					batch = append(batch, k.entry("acme", named(string("abc"[i%3])), occurred(epoch.Add(time.Duration(k.made)*minute*time.Second))))
					all = append(all, batch[i].Event)
				}
				for i, got := range k.append(s, batch...) {
					k.is("an event", got, created, batch[i].Event)
				}
				k.agents(s, "acme", all...)
			}
		}},
		{"agents in the order of their ids", agentsSeen, func(k *kit, s humanhours.Store) {
			var batch []humanhours.Entry
			var all []humanhours.Event
			for _, agent := range append(names(), strings.Repeat("é", humanhours.MaxNameLength), strings.Repeat("😀", humanhours.MaxNameLength)) {
				if agent != "" && utf8.ValidString(agent) {
					e := k.entry("acme", named(agent))
					batch, all = append(batch, e), append(all, e.Event)
				}
			}
			for i, got := range k.append(s, batch...) {
				k.is("an event", got, created, all[i])
			}
			k.agents(s, "acme", all...)
		}},
		{"many agents", agentsSeen, func(k *kit, s humanhours.Store) {
			batch := make([]humanhours.Entry, humanhours.MaxBatch)
			all := make([]humanhours.Event, len(batch))
			for i := range batch { // of each three, or nearly so, far from one another
				at := time.Duration(i * 389 % len(batch))
				batch[i] = k.entry("acme", named(fmt.Sprint("agent ", i%334)), occurred(epoch.Add(-at*time.Minute)))
				batch[i].Event.Test = i%5 == 0
				all[i] = batch[i].Event
			}
			for i, got := range k.append(s, batch...) {
				k.is("an event", got, created, all[i])
			}
			k.agents(s, "acme", all...)
		}},
		{"agents of test events", agentsSeen, func(k *kit, s humanhours.Store) {
			var all []humanhours.Event
			for i, e := range []humanhours.Entry{
				k.entry("acme", named("both")), k.entry("acme", named("both"), test), k.entry("acme", named("live")), k.entry("acme", named("test"), test),
				k.entry("acme", named("both"), test, occurred(epoch.Add(-time.Hour))), k.entry("acme", named("both"), occurred(epoch.Add(time.Hour))),
			} {
				all = append(all, k.create(s, e))
				k.agents(s, "acme", all[:i+1]...)
			}
			batch := []humanhours.Entry{
				k.entry("acme", named("both"), test, occurred(epoch.Add(2*time.Hour))), k.entry("acme", named("both"), occurred(epoch.Add(-2*time.Hour))),
			}
			for i, got := range k.append(s, batch...) {
				k.is("an event", got, created, batch[i].Event)
				all = append(all, batch[i].Event)
			}
			k.agents(s, "acme", all...)
		}},
		{"instants of agents", agentsSeen, func(k *kit, s humanhours.Store) {
			zones := []*time.Location{time.UTC, time.FixedZone("", 14*3600), time.FixedZone("XYZ", -11*3600)}
			var all []humanhours.Event
			for i, instant := range []time.Time{
				epoch, epoch.Add(time.Millisecond), epoch.Add(2*time.Millisecond + 999_999), epoch.Add(-1), epoch.Truncate(time.Second),
				time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC), time.Date(1970, time.January, 1, 0, 0, 0, -1_000_000, time.UTC),
				time.Date(1969, time.December, 31, 23, 59, 59, 1_500_000, time.UTC), time.Date(1901, time.January, 1, 0, 0, 0, 7_000_000, time.UTC),
				time.Date(2199, time.December, 31, 23, 59, 59, 999_000_000, time.UTC),
			} {
				alone := k.entry("acme", named(fmt.Sprint("agent ", i)), occurred(instant.In(zones[i%3])))
				together := k.entry("acme", named("all"), occurred(instant.In(zones[i%3])))
				k.append(s, alone, together)
				all = append(all, alone.Event, together.Event)
				k.agents(s, "acme", all...)
			}
		}},
		{"the agents of orgs with odd names", opaqueNames, func(k *kit, s humanhours.Store) {
			var batch []humanhours.Entry
			all := names()
			for i, org := range all {
				batch = append(batch, k.entry(org, named("agent")), k.entry(org, named(fmt.Sprint("agent ", i))))
			}
			for i, got := range k.append(s, batch...) {
				k.is("an event", got, created, batch[i].Event)
			}
			for i, org := range all {
				k.agents(s, org, batch[2*i].Event, batch[2*i+1].Event)
			}
			for _, org := range []string{"acme", "acm", "agent", "nobody"} {
				k.agents(s, org)
			}
		}},
		{"what is not stored changes no agent", agentsInStep, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", named("known"), key("k"), capped(1))
			all := []humanhours.Event{k.create(s, first)}
			early, late := occurred(first.Event.OccurredAt.Add(-time.Hour)), occurred(first.Event.OccurredAt.Add(time.Hour))
			for _, agent := range []string{"known", "unknown"} {
				for _, when := range []option{early, late} {
					k.refuse(s, k.entry("acme", named(agent), when, capped(1)))
					k.agents(s, "acme", all...)
					k.replay(s, k.entry("acme", named(agent), when, key("k")), first.Event)
					k.agents(s, "acme", all...)
					other := k.entry("acme", named(agent), when, key("k"), fingerprint(humanhours.Fingerprint{1}))
					k.is("a mismatch", k.append(s, other)[0], mismatched, first.Event)
					k.agents(s, "acme", all...)
					stored := first
					named(agent)(&stored)
					when(&stored)
					k.is("an entry whose id is stored", k.append(s, stored)[0], created, first.Event)
					stored.Event.Test = true
					k.is("a test entry whose id is stored", k.append(s, stored)[0], created, first.Event)
					k.agents(s, "acme", all...)
					for _, bad := range invalid(k) {
						named(agent)(&bad)
						when(&bad)
						k.is("an invalid entry", k.append(s, bad)[0], failed, humanhours.Event{})
					}
					k.agents(s, "acme", all...)
					k.agents(s, "")
					for _, ctx := range k.ended() {
						k.is("an entry with an ended context", only(s.Append(ctx, []humanhours.Entry{k.entry("acme", named(agent), when)})), failed, humanhours.Event{})
					}
					k.agents(s, "acme", all...)
				}
			}
			all = append(all, k.create(s, k.entry("acme", named("unknown"), capped(2))))
			k.agents(s, "acme", all...)
		}},
		{"what is not stored in a batch changes no agent", agentsInStep, func(k *kit, s humanhours.Store) {
			before := k.entry("acme", named("old"), key("old"))
			k.create(s, before)
			when := func(minutes int) option { return occurred(epoch.Add(time.Duration(minutes) * time.Minute)) }
			known := before
			named("new")(&known)
			when(-50)(&known)
			one, two := k.entry("acme", named("new"), when(1), key("one"), capped(3)), k.entry("acme", named("old"), when(2), capped(3))
			three := k.entry("acme", named("other"), when(3), test)
			bad := invalid(k)
			for i := range bad {
				named("old")(&bad[i])
				when(90)(&bad[i])
			}
			k.batch(s,
				step{entry: k.entry("acme", named("new"), when(-60), key("old"), capped(3)), want: replayed, event: before.Event},
				step{entry: one, want: created},
				step{entry: bad[0], want: failed},
				step{entry: k.entry("acme", named("new"), when(60), key("one"), capped(3)), want: replayed, event: one.Event}, // by one of the batch
				step{entry: known, want: created, event: before.Event},
				step{entry: two, want: created},
				step{entry: k.entry("acme", named("new"), when(70), capped(3)), want: refused},
				step{entry: k.entry("acme", named("old"), when(-80), capped(3)), want: refused},
				step{entry: k.entry("acme", named("never"), when(4), capped(3)), want: refused},
				step{entry: bad[1], want: failed},
				step{entry: three, want: created},
				step{entry: k.entry("acme", named("never"), when(4), key("old"), capped(3), test), want: replayed, event: before.Event},
				step{entry: bad[2], want: failed}, step{entry: bad[3], want: failed},
			)
			k.agents(s, "acme", before.Event, one.Event, two.Event, three.Event)

			// Entries of one kind, of which every third is a replay that would move its agent.
			all := []humanhours.Event{before.Event, one.Event, two.Event, three.Event}
			var steps []step
			for i := range 30 {
				at := i * 7 % 30
				if i%3 == 0 {
					steps = append(steps, step{
						entry: k.entry("acme", named(string("abcd"[i%4])), when(200*(i%2)-100), key("old")), want: replayed, event: before.Event,
					})
					continue
				}
				e := k.entry("acme", named(string("abc"[at%3])), when(at), key(fmt.Sprint("new ", i)))
				steps, all = append(steps, step{entry: e, want: created}), append(all, e.Event)
			}
			k.batch(s, steps...)
			k.agents(s, "acme", all...)
		}},
		{"the store's agents are not handed out", nothingShared, func(k *kit, s humanhours.Store) {
			all := []humanhours.Event{k.create(s, k.entry("acme", named("a"))), k.create(s, k.entry("acme", named("b")))}
			for range 2 {
				list, err := s.Agents(k.Context(), "acme", false)
				if err != nil {
					k.Fatalf("Agents: %v", err)
				}
				for i := range list {
					list[i] = humanhours.AgentSeen{ID: "vandal"}
				}
				k.agents(s, "acme", all...)
			}
		}},
	}
}

func sharedAgentProofs() []proof[[]humanhours.Store] {
	return []proof[[]humanhours.Store]{
		{"one agent, many writers", agentsSeen, func(k *kit, stores []humanhours.Store) {
			const rounds, size = 3, 6
			for round := range rounds {
				org := fmt.Sprint("org", round)
				var all []humanhours.Event
				batches := make([][]humanhours.Entry, writers)
				for i := range batches {
					for j := range size {
						// Who comes first is neither the earliest nor the latest, and each writer has some that move what is known, and some that do not.
						away := time.Duration((i*37+j*11)%writers+j) * time.Second
						if j%2 == 1 {
							away = -away
						}
						e := k.entry(org, named(fmt.Sprint("agent ", j%3)), occurred(epoch.Add(away)))
						e.Event.Test = j == size-1
						batches[i], all = append(batches[i], e), append(all, e.Event)
					}
				}
				for i, results := range k.batches(stores, batches) {
					for j, got := range results {
						k.is("an event of one of many writers", got, created, batches[i][j].Event)
					}
				}
				for _, s := range stores {
					k.agents(s, org, all...)
				}
			}
		}},
		{"an agent is seen with its event", agentsInStep, func(k *kit, stores []humanhours.Store) {
			entries := make([]humanhours.Entry, 2*writers)
			for i := range entries { // some are the first of their agent, the others are later than those before
				entries[i] = k.entry("acme", key(fmt.Sprint(i)), named(fmt.Sprint("agent ", i%3*i)))
			}
			ctx := k.Context()
			s := stores[len(stores)-1]
			agent := sign{"its agent", func(i int) (bool, error) {
				list, err := s.Agents(ctx, "acme", false)
				for _, a := range list {
					if e := &entries[i].Event; a.ID == e.AgentID {
						return !a.Last.Before(e.OccurredAt), err
					}
				}
				return false, err
			}}
			k.inStep(len(entries), func(i int) error {
				got := only(stores[0].Append(ctx, entries[i:i+1]))
				if outcome(got) != created {
					return fmt.Errorf("an event was %s (error %w)", outcome(got), got.Err)
				}
				return nil
			}, append(signs(ctx, stores, entries)[:2], agent))
		}},
	}
}
