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
	return []proof[[]humanhours.Store]{
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
			results := make([][]humanhours.Appended, len(batches))
			ctx := k.Context()
			k.race(len(batches), func(i int) { results[i] = stores[i%len(stores)].Append(ctx, batches[i]) })
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
			k.race(writers, func(i int) {
				if i == writers/2 {
					cancel()
				}
				results[i] = stores[i%len(stores)].Append(ctx, entries[i:i+1])[0]
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
			const limit = writers/2 + 5
			k.create(stores[0], k.entry("acme", capped(limit)))
			entries := make([]humanhours.Entry, writers)
			for i := range entries {
				entries[i] = k.entry("acme", key(fmt.Sprint(i)), capped(limit))
			}
			free := limit - 1
			for i, got := range k.together(stores, entries) {
				want := refused
				if outcome(got) == created {
					want = created
					free--
				}
				k.is("an entry near the cap", got, want, entries[i].Event)
				if want == refused {
					k.absent(stores[0], entries[i])
				}
			}
			if free != 0 {
				k.Fatalf("%d entries were let in over the cap of %d (negative: too few)", -free, limit)
			}
			k.used(stores[0], "acme", epoch, limit)
		}},
		{"the cap, many batches", capHolds, func(k *kit, stores []humanhours.Store) {
			const limit, size = 101, 10
			batches := make([][]humanhours.Entry, writers/2)
			for i := range batches {
				for j := range size {
					e := k.entry("acme", capped(limit))
					if j%5 == 4 {
						e.Event.Test = true
					}
					batches[i] = append(batches[i], e)
				}
			}
			results := make([][]humanhours.Appended, len(batches))
			ctx := k.Context()
			k.race(len(batches), func(i int) { results[i] = stores[i%len(stores)].Append(ctx, batches[i]) })
			n := 0
			for i := range batches {
				for j, e := range batches[i] {
					switch got := outcome(results[i][j]); {
					case e.Event.Test:
						k.is("a test event", results[i][j], created, e.Event)
					case got == created:
						n++
					case got != refused:
						k.is("an entry near the cap", results[i][j], refused, e.Event)
					}
				}
			}
			if n != limit {
				k.Fatalf("%d entries were let in, want exactly the cap of %d", n, limit)
			}
			k.used(stores[0], "acme", epoch, limit)
			if n := len(k.list(stores[0], humanhours.EventQuery{Org: "acme"})); n != limit+writers/2*size/5 {
				k.Fatalf("%d events are stored, want %d and the test events", n, limit)
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
			results := make([][]humanhours.Appended, len(batches))
			ctx := k.Context()
			k.race(len(batches), func(i int) { results[i] = stores[i%len(stores)].Append(ctx, batches[i]) })
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
			// Each org has one writer, and readers who look whether what they see is all there.
			const orgs, readers, events = 4, 2, 96
			entries := make([][]humanhours.Entry, orgs)
			for i := range entries {
				for j := range events {
					entries[i] = append(entries[i], k.entry(fmt.Sprint("org", i), key(fmt.Sprint(j))))
				}
			}
			ctx := k.Context()
			complaints := make([]string, orgs*(1+readers))
			var stop atomic.Bool
			k.race(len(complaints), func(i int) {
				s, mine := stores[i%len(stores)], entries[i%orgs]
				for j := 0; j < events && !stop.Load() && ctx.Err() == nil; {
					if i >= orgs {
						j, complaints[i] = watch(ctx, s, mine)
					} else if got := s.Append(ctx, mine[j:j+1])[0]; outcome(got) == created {
						j++
					} else {
						complaints[i] = "an event was " + outcome(got)
					}
					if complaints[i] != "" {
						stop.Store(true)
					}
				}
			})
			for _, complaint := range complaints {
				if complaint != "" {
					k.Fatal(complaint)
				}
			}
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
	}
}

// together appends each entry on its own, all at once, over all handles.
func (k *kit) together(stores []humanhours.Store, entries []humanhours.Entry) []humanhours.Appended {
	k.Helper()
	results := make([][]humanhours.Appended, len(entries))
	ctx := k.Context()
	k.race(len(entries), func(i int) { results[i] = stores[i%len(stores)].Append(ctx, entries[i:i+1]) })
	flat := make([]humanhours.Appended, len(entries))
	for i := range results {
		if len(results[i]) != 1 {
			k.Fatalf("Append of one entry gave %d results", len(results[i]))
		}
		flat[i] = results[i][0]
	}
	return flat
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

// watch looks once at how far the writer of entries has come. It returns how many it has certainly stored, and a complaint if
// something was there in part. What it looks at later may only be more.
func watch(ctx context.Context, s humanhours.Store, entries []humanhours.Entry) (certain int, complaint string) {
	org, month := entries[0].Event.Org, humanhours.MonthOf(epoch)
	var failure error
	note := func(err error) {
		if err != nil {
			failure = err
		}
	}
	used := func() int {
		n, err := s.Usage(ctx, org, month)
		note(err)
		return int(n)
	}
	there := func(e *humanhours.Entry) bool {
		_, ok, err := s.Event(ctx, org, e.Event.ID)
		note(err)
		return ok
	}
	held := func(e *humanhours.Entry) bool {
		found, err := s.Replay(ctx, humanhours.ReplayQuery{Org: org, Key: e.Key, At: e.At})
		note(err)
		return found.Found
	}
	listed := func(e *humanhours.Entry, order humanhours.EventOrder) (ok bool) {
		for latest, err := range s.Events(ctx, humanhours.EventQuery{Org: org, Order: order, Descending: true, Limit: 1}) {
			note(err)
			ok = latest.ID >= e.Event.ID
		}
		return ok
	}
	whole := func(n int, sign string) string {
		e := &entries[n-1]
		switch {
		case used() < n:
			return fmt.Sprintf("%s of event %d can be seen, and it is not counted", sign, n)
		case !there(e):
			return fmt.Sprintf("%s of event %d can be seen, and the event cannot be found", sign, n)
		case !held(e):
			return fmt.Sprintf("%s of event %d can be seen, and its key is free", sign, n)
		case !listed(e, humanhours.ByOccurred), !listed(e, humanhours.ByReceived):
			return fmt.Sprintf("%s of event %d can be seen, and the event is not listed", sign, n)
		}
		return ""
	}
	certain = used()
	if certain > 0 {
		complaint = whole(certain, "the count")
	}
	if next := certain + 1; complaint == "" && next <= len(entries) {
		e := &entries[next-1]
		switch { // the latest sign first: each of them is the first one in some broken store
		case there(e):
			complaint = whole(next, "the id")
		case held(e):
			complaint = whole(next, "the key")
		case listed(e, humanhours.ByOccurred):
			complaint = whole(next, "the place in the list")
		case listed(e, humanhours.ByReceived):
			complaint = whole(next, "the place in the list by receipt")
		}
	}
	if failure != nil {
		complaint = failure.Error()
	}
	return certain, complaint
}
