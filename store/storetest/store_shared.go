package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/humanhours/humanhours-go"
)

// writers is how many goroutines a case sends against a store at once.
const writers = 64

// sharedProofs are the cases with many callers, on one handle or on several.
func sharedProofs() []proof[[]humanhours.Store] {
	return append(append(sharedAgentProofs(), sharedAmendmentProofs()...), []proof[[]humanhours.Store]{
		{"one key, many writers", oneCreates, func(k *kit, stores []humanhours.Store) {
			const rounds = 6
			for round := range rounds {
				entries := make([]humanhours.Entry, writers)
				for i := range entries {
					// Their clocks differ and so do their requests, but for the key.
					skew := time.Duration((i*7)%writers-writers/2) * time.Millisecond
					entries[i] = k.entry("acme", key(fmt.Sprint("k", round)), at(epoch.Add(skew)), fingerprint(humanhours.Fingerprint{byte(i)}))
				}
				k.oneCreates(stores, entries)
			}
			k.used(stores[0], "acme", epoch, rounds)
			if n := len(k.list(stores[0], humanhours.EventQuery{Org: "acme"})); n != rounds {
				k.Fatalf("%d events are stored under %d keys", n, rounds)
			}
		}},
		{"one key, many writers, when it is free again", oneCreates, func(k *kit, stores []humanhours.Store) {
			const rounds = 4
			k.create(stores[0], k.entry("acme", key("k"), at(epoch)))
			for round := range rounds {
				entries := make([]humanhours.Entry, writers)
				for i := range entries {
					entries[i] = k.entry("acme", key("k"), at(epoch.Add(time.Duration(1+round)*window)), fingerprint(humanhours.Fingerprint{byte(i)}))
				}
				k.oneCreates(stores, entries)
			}
			k.used(stores[0], "acme", epoch, 1+rounds)
		}},
		{"the same keys in many batches", oneCreates, func(k *kit, stores []humanhours.Store) {
			const keys = 16
			batches := make([][]humanhours.Entry, writers/2)
			for i := range batches {
				for j := range keys { // each in another order
					batches[i] = append(batches[i], k.entry("acme", key(fmt.Sprint((i*5+j)%keys))))
				}
			}
			results := k.batches(stores, batches)
			first := make(map[string]humanhours.Event)
			for i := range batches {
				for j, e := range batches[i] {
					if outcome(results[i][j]) == created {
						if first[e.Key].ID != "" {
							k.Fatalf("key %q has created two events", e.Key)
						}
						first[e.Key] = e.Event
					}
				}
			}
			for i := range batches {
				for j, e := range batches[i] {
					want := replayed
					if first[e.Key].ID == e.Event.ID {
						want = created
					}
					k.is("an entry whose key is in many batches", results[i][j], want, first[e.Key])
				}
			}
			k.used(stores[0], "acme", epoch, keys)
		}},
		{"one key in many orgs at once", keysBelongToOrgs, func(k *kit, stores []humanhours.Store) {
			entries := make([]humanhours.Entry, writers)
			for i := range entries {
				entries[i] = k.entry(fmt.Sprint("org", i), key("k"), capped(1))
			}
			for i, got := range k.together(stores, entries) {
				k.is("the first use of a key in its org", got, created, entries[i].Event)
			}
		}},
		{"one id, many writers", idStoredOnce, func(k *kit, stores []humanhours.Store) {
			// A retry that overtakes its first attempt.
			for _, options := range [][]option{{key("k"), capped(2)}, {capped(2)}} {
				e := k.entry("acme", options...)
				entries := make([]humanhours.Entry, writers)
				for i := range entries {
					entries[i] = e
				}
				for _, got := range k.together(stores, entries) {
					k.is("an entry that many writers send", got, created, e.Event)
				}
			}
			k.used(stores[0], "acme", epoch, 2)
			if n := len(k.list(stores[0], humanhours.EventQuery{Org: "acme"})); n != 2 {
				k.Fatalf("%d events are stored, want 2", n)
			}
		}},
		{"calls that are cancelled under way, and retried", idStoredOnce, func(k *kit, stores []humanhours.Store) {
			entries := make([]humanhours.Entry, writers)
			for i := range entries {
				entries[i] = k.entry("acme", key(fmt.Sprint(i)), capped(writers))
			}
			ctx, cancel := context.WithCancel(k.Context())
			defer cancel()
			results := make([]humanhours.Appended, writers)
			answered := make(chan struct{}, writers)
			k.race(1+writers, func(i int) {
				if i == writers { // when some have their answer, and others are under way
					for range writers / 8 {
						<-answered
					}
					cancel()
					return
				}
				mine := []humanhours.Entry{entries[i]}
				mine[0].Event = entries[i].Event.Clone()
				results[i] = only(stores[i%len(stores)].Append(ctx, mine))
				if results[i].Event != nil {
					event := results[i].Event.Clone()
					results[i].Event = &event
				}
				scribble(mine[0].Event.Metadata)
				mine[0].Event.AgentID = "another" // what it gave is the caller's again
				answered <- struct{}{}
			})
			for i, got := range results {
				if outcome(got) != failed {
					k.is("an entry", got, created, entries[i].Event)
				}
				k.is("an entry, sent again", k.append(stores[(i+1)%len(stores)], entries[i])[0], created, entries[i].Event)
				k.replay(stores[0], k.again(entries[i]), entries[i].Event)
			}
			k.used(stores[0], "acme", epoch, writers)
		}},
		{"the cap, many writers", capHolds, func(k *kit, stores []humanhours.Store) {
			const rounds, limit = 4, writers/2 + 5
			for round := range rounds {
				org := fmt.Sprint("org", round)
				k.create(stores[0], k.entry(org, capped(limit)))
				entries := make([]humanhours.Entry, writers)
				for i := range entries {
					entries[i] = k.entry(org, key(fmt.Sprint(i)), capped(limit))
				}
				n := 1
				for i, got := range k.together(stores, entries) {
					if outcome(got) == created {
						n++
						k.is("an entry near the cap", got, created, entries[i].Event)
						continue
					}
					k.is("an entry near the cap", got, refused, entries[i].Event)
					if round == 0 {
						k.absent(stores[0], entries[i])
					}
				}
				if n != limit {
					k.Fatalf("%d entries were let in, want exactly the cap of %d", n, limit)
				}
				k.used(stores[0], org, epoch, limit)
			}
		}},
		{"the cap, many batches", capHolds, func(k *kit, stores []humanhours.Store) {
			const rounds, limit, size, rehearsals = 3, 101, 10, writers / 2 * 2
			for round := range rounds {
				org := fmt.Sprint("org", round)
				batches := make([][]humanhours.Entry, writers/2)
				for i := range batches {
					for j := range size {
						e := k.entry(org, capped(limit))
						e.Event.Test = j%5 == 4
						batches[i] = append(batches[i], e)
					}
				}
				n := 0
				for i, results := range k.batches(stores, batches) {
					for j, got := range results {
						switch e := batches[i][j]; {
						case e.Event.Test:
							k.is("a test event", got, created, e.Event)
						case outcome(got) == created:
							n++
						default:
							k.is("an entry near the cap", got, refused, e.Event)
						}
					}
				}
				if n != limit {
					k.Fatalf("%d entries were let in, want exactly the cap of %d", n, limit)
				}
				k.used(stores[0], org, epoch, limit)
				if n := len(k.list(stores[0], humanhours.EventQuery{Org: org})); n != limit+rehearsals {
					k.Fatalf("%d events are stored, want %d and %d of test keys", n, limit, rehearsals)
				}
			}
		}},
		{"batches over the same orgs in opposite order", independentEntries, func(k *kit, stores []humanhours.Store) {
			// Whoever locks org by org, as the entries come, waits for the other for ever.
			const orgs = 8
			batches := make([][]humanhours.Entry, writers)
			for i := range batches {
				for j := range orgs {
					org := j
					if i%2 == 1 {
						org = orgs - 1 - j
					}
					batches[i] = append(batches[i], k.entry(fmt.Sprint("org", org), key(fmt.Sprint(i))))
				}
			}
			results := k.batches(stores, batches)
			for i := range batches {
				for j, got := range results[i] {
					k.is("an entry of a batch over many orgs", got, created, batches[i][j].Event)
				}
			}
			for i := range orgs {
				k.used(stores[0], fmt.Sprint("org", i), epoch, writers)
			}
		}},
		{"what can be seen is whole", wholeEntries, func(k *kit, stores []humanhours.Store) {
			entries := make([]humanhours.Entry, 2*writers)
			for i := range entries {
				entries[i] = k.entry("acme", key(fmt.Sprint(i)))
			}
			ctx := k.Context()
			k.inStep(len(entries), func(i int) error {
				got := only(stores[0].Append(ctx, entries[i:i+1]))
				if outcome(got) != created {
					return fmt.Errorf("an event was %s (error %w)", outcome(got), got.Err)
				}
				return nil
			}, signs(ctx, stores, entries))
		}},
		{"lists while others write", eventsInOrder, func(k *kit, stores []humanhours.Store) {
			old := k.fill(stores[0], "acme", 300)
			queries := directions("acme")
			lists := make([][]humanhours.Event, len(queries))
			errs := make([]error, len(queries))
			ctx := k.Context()
			read := make(chan humanhours.Event) // what a reader is at
			var reading sync.WaitGroup
			reading.Add(len(queries))
			var made atomic.Int64
			made.Store(int64(k.made))
			k.race(1+len(queries)+writers, func(i int) {
				switch {
				case i == 0:
					reading.Wait()
					close(read)
				case i <= len(queries):
					defer reading.Done()
					i--
					for e, err := range stores[i%len(stores)].Events(ctx, queries[i]) {
						if errs[i] = err; err != nil || len(lists[i]) == endless {
							return
						}
						if lists[i] = append(lists[i], e); len(lists[i])%8 == 0 && len(lists[i]) < 250 {
							read <- e
						}
					}
				default:
					for e := range read { // puts one before it and one after it
						before, after := Entry("acme", int(made.Add(1))), Entry("acme", int(made.Add(1)))
						at(e.ReceivedAt.Add(-time.Millisecond))(&before)
						occurred(e.OccurredAt.Add(-time.Millisecond))(&before)
						at(e.ReceivedAt.Add(time.Millisecond))(&after)
						occurred(e.OccurredAt.Add(time.Millisecond))(&after)
						stores[i%len(stores)].Append(ctx, []humanhours.Entry{before, after})
					}
				}
			})
			for i, q := range queries {
				if errs[i] != nil {
					k.Fatalf("Events: %v", errs[i])
				}
				there := make(map[string]bool)
				for _, e := range lists[i] {
					if there[e.ID] {
						k.Fatalf("Events %s: %s is yielded twice", describe(q), e.ID)
					}
					there[e.ID] = true
				}
				for j, e := range expect(lists[i], q) {
					if lists[i][j].ID != e.ID {
						k.Fatalf("Events %s: number %d is %s, want %s", describe(q), j, lists[i][j].ID, e.ID)
					}
				}
				for _, e := range old {
					if !there[e.ID] {
						k.Fatalf("Events %s: %s, which was there before, is left out", describe(q), e.ID)
					}
				}
			}
		}},
		{"every handle knows what the others stored", eventsAreFinal, func(k *kit, stores []humanhours.Store) {
			limit := int64(2 * len(stores))
			var all []humanhours.Event
			for i, s := range stores {
				next := stores[(i+1)%len(stores)]
				e := k.entry("acme", key(fmt.Sprint(i)), capped(limit), at(epoch))
				k.free(next, e, e.At)
				if _, ok := k.event(next, "acme", e.Event.ID); ok {
					k.Fatal("an event is there before it is stored")
				}
				k.used(next, "acme", epoch, int64(2*i))
				k.create(s, e)
				k.holds(next, e, e.At, e.Event)
				k.stored(next, e.Event)
				k.used(next, "acme", epoch, int64(2*i+1))
				k.replay(next, k.again(e), e.Event)
				k.is("an entry whose id is stored", k.append(next, e)[0], created, e.Event)
				second := k.entry("acme", capped(limit), at(epoch))
				k.create(next, second)
				all = append(all, e.Event, second.Event)
				k.agents(s, "acme", all...)
				k.agents(next, "acme", all...)
				list := k.list(s, humanhours.EventQuery{Org: "acme", Order: humanhours.ByReceived, Descending: true, Limit: 2})
				if len(list) != 2 || list[0].ID != second.Event.ID || list[1].ID != e.Event.ID {
					k.Fatalf("the latest events are not the two that were stored last: %v", len(list))
				}
			}
			for _, s := range stores {
				k.refuse(s, k.entry("acme", capped(limit), at(epoch)))
				taken := k.entry("acme", key("0"), at(epoch.Add(window-time.Millisecond)))
				if got := k.append(s, taken)[0]; outcome(got) != replayed {
					k.Fatalf("a key that another handle claimed was %s, want it replayed", outcome(got))
				}
			}
		}},
	}...)
}

// together appends each entry on its own, all at once, over all handles.
func (k *kit) together(stores []humanhours.Store, entries []humanhours.Entry) []humanhours.Appended {
	k.Helper()
	results := make([]humanhours.Appended, len(entries))
	ctx := k.Context()
	k.race(len(entries), func(i int) { results[i] = only(stores[i%len(stores)].Append(ctx, entries[i:i+1])) })
	return results
}

// batches appends all batches at once, over all handles.
func (k *kit) batches(stores []humanhours.Store, batches [][]humanhours.Entry) [][]humanhours.Appended {
	k.Helper()
	results := make([][]humanhours.Appended, len(batches))
	ctx := k.Context()
	k.race(len(batches), func(i int) { results[i] = stores[i%len(stores)].Append(ctx, batches[i]) })
	for i := range results {
		if len(results[i]) != len(batches[i]) {
			k.Fatalf("Append of %d entries gave %d results", len(batches[i]), len(results[i]))
		}
	}
	return results
}

// oneCreates appends entries, which share a key and differ in their fingerprints, all at once.
func (k *kit) oneCreates(stores []humanhours.Store, entries []humanhours.Entry) {
	k.Helper()
	results := k.together(stores, entries)
	first := -1
	for i, got := range results {
		if outcome(got) == created {
			if first >= 0 {
				k.Fatalf("%d writers with one key: events %s and %s were both created", len(entries), entries[first].Event.ID, entries[i].Event.ID)
			}
			first = i
		}
	}
	if first < 0 {
		k.Fatalf("%d writers with one key: none of them created an event (the first one was %s)", len(entries), outcome(results[0]))
	}
	stored, _ := k.event(stores[0], entries[first].Event.Org, entries[first].Event.ID)
	want := string(stored.AppendStored(nil))
	for i, got := range results {
		if i == first {
			k.is("the writer that created", got, created, entries[first].Event)
			continue
		}
		k.is("another writer with the key", got, mismatched, entries[first].Event)
		if answer := string(got.Event.AppendStored(nil)); answer != want {
			k.Fatalf("another writer got\n%s, which is not byte for byte\n%s", answer, want)
		}
		k.absent(stores[0], humanhours.Entry{Event: entries[i].Event})
	}
}

// only returns the answer to a batch of one entry.
func only(results []humanhours.Appended) humanhours.Appended {
	if len(results) != 1 {
		return humanhours.Appended{Err: fmt.Errorf("one entry was appended with %d results", len(results))}
	}
	return results[0]
}

// signs are the ways to see that an entry is stored, each on another handle.
func signs(ctx context.Context, stores []humanhours.Store, entries []humanhours.Entry) []sign {
	var list []sign
	add := func(name string, seen func(s humanhours.Store, e *humanhours.Entry, number int) (bool, error)) {
		s := stores[(len(list)+1)%len(stores)]
		list = append(list, sign{name, func(i int) (bool, error) { return seen(s, &entries[i], i+1) }})
	}
	add("its id", func(s humanhours.Store, e *humanhours.Entry, _ int) (bool, error) {
		_, ok, err := s.Event(ctx, e.Event.Org, e.Event.ID)
		return ok, err
	})
	add("its key", func(s humanhours.Store, e *humanhours.Entry, _ int) (bool, error) {
		found, err := s.Replay(ctx, humanhours.ReplayQuery{Org: e.Event.Org, Key: e.Key, At: e.At})
		return found.Found, err
	})
	add("its count", func(s humanhours.Store, e *humanhours.Entry, number int) (bool, error) {
		n, err := s.Usage(ctx, e.Event.Org, humanhours.MonthOf(e.At))
		return n >= int64(number), err
	})
	for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
		add("its place in a list", func(s humanhours.Store, e *humanhours.Entry, _ int) (ok bool, failure error) {
			for latest, err := range s.Events(ctx, humanhours.EventQuery{Org: e.Event.Org, Order: order, Descending: true, Limit: 1}) {
				ok, failure = latest.ID >= e.Event.ID, err
			}
			return ok, failure
		})
	}
	return list
}
