package storetest

import (
	"time"

	"github.com/humanhours/humanhours-go"
)

func identityProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"the same entry again is not a replay", idStoredOnce, func(k *kit, s humanhours.Store) {
			for _, e := range []humanhours.Entry{k.entry("acme", key("k"), capped(2)), k.entry("acme", capped(2))} {
				k.create(s, e)
				for range 3 {
					k.is("an entry whose id is stored", k.append(s, e)[0], created, e.Event)
				}
			}
			k.used(s, "acme", epoch, 2)
			if n := len(k.list(s, humanhours.EventQuery{Org: "acme"})); n != 2 {
				k.Fatalf("%d events are stored, want 2", n)
			}
		}},
		{"the same id twice in a batch", idStoredOnce, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(1))
			k.batch(s, step{entry: e, want: created}, step{entry: e, want: created}, step{entry: e, want: created})
			k.used(s, "acme", epoch, 1)
			k.lists(s, humanhours.EventQuery{Org: "acme"}, []humanhours.Event{e.Event})
		}},
		{"an id that is stored claims no other key", idStoredOnce, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("first"))
			k.create(s, e)
			other := e
			other.Key = "second"
			k.is("an entry whose id is stored", k.append(s, other)[0], created, e.Event)
			k.free(s, other, other.At)
			next := k.again(other)
			k.create(s, next)
			k.holds(s, e, e.At, e.Event)
		}},
		{"an id that is stored goes before a key in use", idStoredOnce, func(k *kit, s humanhours.Store) {
			a, b := k.entry("acme", key("a")), k.entry("acme", key("b"))
			k.create(s, a)
			k.create(s, b)
			crossed := a
			crossed.Key, crossed.Fingerprint = b.Key, humanhours.Fingerprint{1}
			k.is("an entry whose id is stored and whose key is another event's", k.append(s, crossed)[0], created, a.Event)
			k.holds(s, b, b.At, b.Event)
		}},
		{"an id that is stored keeps its content", idStoredOnce, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			k.create(s, e)
			changed := e
			changed.Event = bare("acme", 900)
			changed.Event.ID = e.Event.ID
			changed.Fingerprint = humanhours.Fingerprint{1}
			k.is("an entry whose id is stored, with other content", k.append(s, changed)[0], created, e.Event)
			k.stored(s, e.Event)
			for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
				k.lists(s, humanhours.EventQuery{Org: "acme", Order: order}, []humanhours.Event{e.Event})
			}
			k.holds(s, e, e.At, e.Event)
		}},
		{"an id that is stored is not refused and not counted", idStoredOnce, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(1))
			k.create(s, e)
			k.is("an entry whose id is stored, with the quota used up", k.append(s, e)[0], created, e.Event)
			june := e
			june.At = time.Date(2026, time.June, 20, 0, 0, 0, 0, time.UTC) // and its key is free again
			k.is("an entry whose id is stored, in another month", k.append(s, june)[0], created, e.Event)
			k.used(s, "acme", epoch, 1)
			k.used(s, "acme", june.At, 0)
			k.free(s, june, june.At)
		}},
		{"the same id in another org is another event", idStoredOnce, func(k *kit, s humanhours.Store) {
			a := k.entry("acme", key("k"))
			b := a
			b.Event = bare("other", k.made)
			k.create(s, a)
			k.create(s, b)
			k.stored(s, a.Event, b.Event)
			k.used(s, "other", epoch, 1)
		}},
		{"names never collide", opaqueNames, func(k *kit, s humanhours.Store) {
			var entries []humanhours.Entry
			for _, name := range names() {
				entries = append(entries, k.entry("acme", key(name)), k.entry(name, key("acme")))
			}
			for _, separator := range separators() {
				// Whatever a store joins them with, two of these pairs meet.
				parts := joints(separator)
				for _, org := range parts {
					for _, name := range parts {
						entries = append(entries, k.entry("in "+separator+"\r"+org, key(name)))
					}
				}
			}
			k.distinct(s, entries)
		}},
		{"long keys never collide", opaqueNames, func(k *kit, s humanhours.Store) {
			var entries []humanhours.Entry
			for _, name := range longKeys() {
				entries = append(entries, k.entry("acme", key(name)))
			}
			k.distinct(s, entries)
		}},
		{"orgs never collide", opaqueNames, func(k *kit, s humanhours.Store) {
			all := names()
			events := make([][]humanhours.Event, len(all))
			for i, org := range all {
				// The same id in each, as many events as distinguish the neighbours.
				for n := range 1 + i%3 {
					e := Entry(org, n)
					e.Event.Metadata = nil
					events[i] = append(events[i], e.Event)
					k.create(s, e)
				}
			}
			for i, org := range all {
				k.used(s, org, epoch, int64(len(events[i])))
				k.stored(s, events[i]...)
				if _, ok := k.event(s, org, eventID(len(events[i]))); ok {
					k.Fatalf("org %q has an event of another org", org)
				}
				k.lists(s, humanhours.EventQuery{Org: org}, events[i])
				k.lists(s, humanhours.EventQuery{Org: org, Order: humanhours.ByReceived}, events[i])
			}
		}},
		{"the same key in another org", keysBelongToOrgs, func(k *kit, s humanhours.Store) {
			a, b := k.entry("a", key("k")), k.entry("b", key("k"), fingerprint(humanhours.Fingerprint{1}))
			k.create(s, a)
			k.free(s, b, b.At)
			k.create(s, b)
			k.replay(s, k.again(a), a.Event)
			k.replay(s, k.again(b), b.Event)
			k.holds(s, a, a.At, a.Event)
			k.holds(s, b, b.At, b.Event)
		}},
	}
}

// distinct checks that no two entries share a key: all of them create, and then each key names its own event.
func (k *kit) distinct(s humanhours.Store, entries []humanhours.Entry) {
	k.Helper()
	round := func(what, want string, entries, first []humanhours.Entry) {
		for start := 0; start < len(entries); start += humanhours.MaxBatch {
			end := min(start+humanhours.MaxBatch, len(entries))
			for i, got := range k.append(s, entries[start:end]...) {
				e := entries[start+i]
				if outcome(got) != want || got.Event.ID != first[start+i].Event.ID || got.Event.Org != e.Event.Org {
					k.Fatalf("org %q with key %q, %s: was %s with event %q of org %q (error %v), want it %s", e.Event.Org, e.Key, what,
						outcome(got), got.Event.ID, got.Event.Org, got.Err, want)
				}
			}
		}
	}
	round("used for the first time", created, entries, entries)
	again := make([]humanhours.Entry, len(entries))
	for i := range entries {
		again[i] = k.again(entries[i])
	}
	round("used again", replayed, again, entries)
	for i := 0; i < len(entries); i += 1 + len(entries)/200 { // one call each: a sample is enough
		k.holds(s, entries[i], entries[i].At, entries[i].Event)
	}
}
