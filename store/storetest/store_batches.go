package storetest

import (
	"fmt"
	"time"

	"github.com/humanhours/humanhours-go"
)

// storeProofs are the cases that need one store and one caller.
func storeProofs() []proof[humanhours.Store] {
	var all []proof[humanhours.Store]
	for _, part := range [][]proof[humanhours.Store]{
		batchProofs(), identityProofs(), windowProofs(), quotaProofs(), valueProofs(), agentProofs(), amendmentProofs(), readingProofs(), failureProofs(),
	} {
		all = append(all, part...)
	}
	return all
}

// invalid returns entries that no store can hold, each wrong in one way.
func invalid(k *kit) []humanhours.Entry {
	return []humanhours.Entry{
		k.entry("acme", key("invalid"), func(e *humanhours.Entry) { e.Event.Org = "" }),
		k.entry("acme", key("invalid"), func(e *humanhours.Entry) { e.Event.ID = "" }),
		k.entry("acme", key("invalid"), func(e *humanhours.Entry) { e.At = time.Time{} }),
		k.entry("acme", key("invalid"), lasting(0)),
		k.entry("acme", key("invalid"), lasting(-time.Hour)),
	}
}

// step is an entry of a batch and what must become of it.
type step struct {
	entry humanhours.Entry
	want  string
	event humanhours.Event // if it is another than the entry's
}

// batch appends steps as one batch and checks each answer.
func (k *kit) batch(s humanhours.Store, steps ...step) {
	k.Helper()
	entries := make([]humanhours.Entry, len(steps))
	for i := range steps {
		entries[i] = steps[i].entry
	}
	for i, got := range k.append(s, entries...) {
		event := steps[i].event
		if event.ID == "" {
			event = entries[i].Event
		}
		k.is(fmt.Sprintf("entry %d of the batch", i), got, steps[i].want, event)
	}
}

func batchProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"an entry is stored with its key and its count", wholeEntries, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			k.used(s, "acme", epoch, 0)
			k.create(s, e)
			k.stored(s, e.Event)
			k.lists(s, humanhours.EventQuery{Org: "acme"}, []humanhours.Event{e.Event})
			k.lists(s, humanhours.EventQuery{Org: "acme", Order: humanhours.ByReceived}, []humanhours.Event{e.Event})
			k.holds(s, e, e.At, e.Event)
			k.used(s, "acme", epoch, 1)
		}},
		{"what is refused in a batch leaves nothing behind", wholeEntries, func(k *kit, s humanhours.Store) {
			first, second := k.entry("acme", key("1"), capped(1)), k.entry("acme", key("2"), capped(1))
			third := k.entry("acme", key("1"), capped(1))
			k.batch(s, step{entry: first, want: created}, step{entry: second, want: refused}, step{entry: third, want: replayed, event: first.Event})
			k.absent(s, second)
			k.lists(s, humanhours.EventQuery{Org: "acme"}, []humanhours.Event{first.Event})
			k.used(s, "acme", epoch, 1)
		}},
		{"a batch with every fate in it", independentEntries, func(k *kit, s humanhours.Store) {
			old := k.entry("acme", key("old"))
			k.create(s, old)
			bad := invalid(k)
			retry := k.entry("acme", key("old"))
			over := k.entry("acme", key("over"), capped(1))
			other := k.entry("other", key("old"), capped(1))
			good := []humanhours.Entry{k.entry("acme"), k.entry("acme", key("new")), k.entry("acme")}
			k.batch(s,
				step{entry: bad[0], want: failed},
				step{entry: good[0], want: created},
				step{entry: bad[1], want: failed},
				step{entry: bad[2], want: failed},
				step{entry: retry, want: replayed, event: old.Event},
				step{entry: over, want: refused},
				step{entry: good[1], want: created},
				step{entry: bad[3], want: failed},
				step{entry: other, want: created},
				step{entry: old, want: created}, // its id is stored
				step{entry: bad[4], want: failed},
				step{entry: good[2], want: created},
			)
			k.lists(s, humanhours.EventQuery{Org: "acme"}, []humanhours.Event{old.Event, good[0].Event, good[1].Event, good[2].Event})
			k.lists(s, humanhours.EventQuery{Org: "other"}, []humanhours.Event{other.Event})
			k.used(s, "acme", epoch, 4)
			k.used(s, "other", epoch, 1)
			k.holds(s, good[1], epoch, good[1].Event)
			k.free(s, over, epoch)
		}},
		{"a batch over several orgs", independentEntries, func(k *kit, s humanhours.Store) {
			a1, b1, c1 := k.entry("a", key("k"), capped(1)), k.entry("b", key("k"), capped(1)), k.entry("c", key("k"))
			a2, b2, c2 := k.entry("a", key("k2"), capped(1)), k.entry("b", key("k")), k.entry("c", key("k2"))
			k.batch(s,
				step{entry: a1, want: created}, step{entry: b1, want: created}, step{entry: c1, want: created},
				step{entry: a2, want: refused}, step{entry: b2, want: replayed, event: b1.Event}, step{entry: c2, want: created},
			)
			k.lists(s, humanhours.EventQuery{Org: "a"}, []humanhours.Event{a1.Event})
			k.lists(s, humanhours.EventQuery{Org: "b"}, []humanhours.Event{b1.Event})
			k.lists(s, humanhours.EventQuery{Org: "c"}, []humanhours.Event{c1.Event, c2.Event})
		}},
		{"the largest batch", independentEntries, func(k *kit, s humanhours.Store) {
			entries := make([]humanhours.Entry, humanhours.MaxBatch)
			events := make([]humanhours.Event, len(entries))
			for i := range entries {
				entries[i] = k.entry("acme", key(eventID(i)))
				events[i] = entries[i].Event
			}
			for i, got := range k.append(s, entries...) {
				k.is("an entry of the largest batch", got, created, events[i])
			}
			k.lists(s, humanhours.EventQuery{Org: "acme"}, events)
			k.used(s, "acme", epoch, int64(len(entries)))
			for i := range entries {
				entries[i] = k.again(entries[i])
			}
			for i, got := range k.append(s, entries...) {
				k.is("an entry of the largest batch, sent again", got, replayed, events[i])
			}
			k.used(s, "acme", epoch, int64(len(entries)))
		}},
		{"a key twice in a batch", orderedEntries, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", key("k"), at(epoch))
			second := k.again(first)
			different := k.again(first, fingerprint(humanhours.Fingerprint{15: 1}))
			free := k.again(first, at(epoch.Add(window)))
			late := k.again(free, at(epoch.Add(window+time.Minute)))
			k.batch(s,
				step{entry: first, want: created},
				step{entry: second, want: replayed, event: first.Event},
				step{entry: different, want: mismatched, event: first.Event},
				step{entry: free, want: created},
				step{entry: late, want: replayed, event: free.Event},
			)
			k.lists(s, humanhours.EventQuery{Org: "acme", Order: humanhours.ByReceived}, []humanhours.Event{first.Event, free.Event})
			k.used(s, "acme", epoch, 2)
		}},
		{"a key that is refused first and created after in a batch", orderedEntries, func(k *kit, s humanhours.Store) {
			k.create(s, k.entry("acme"))
			over := k.entry("acme", key("k"), capped(1))
			first, second := k.again(over, capped(2)), k.again(over)
			k.batch(s, step{entry: over, want: refused}, step{entry: first, want: created}, step{entry: second, want: replayed, event: first.Event})
			k.used(s, "acme", epoch, 2)
		}},
		{"the quota is reached within a batch", orderedEntries, func(k *kit, s humanhours.Store) {
			const limit = 3
			k.create(s, k.entry("acme", key("0"), capped(limit)))
			one, two := k.entry("acme", key("1"), capped(limit)), k.entry("acme", capped(limit))
			over, overKeyless := k.entry("acme", key("over"), capped(limit)), k.entry("acme", capped(limit))
			retry := k.again(one)
			rehearsal := k.entry("acme", capped(limit), test)
			june := k.entry("acme", key("over"), capped(limit), at(time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC)))
			higher := k.entry("acme", capped(limit+1))
			k.batch(s,
				step{entry: one, want: created}, step{entry: two, want: created},
				step{entry: over, want: refused}, step{entry: overKeyless, want: refused},
				step{entry: retry, want: replayed, event: one.Event},
				step{entry: rehearsal, want: created}, step{entry: june, want: created}, step{entry: higher, want: created},
			)
			k.used(s, "acme", epoch, limit+1)
			k.used(s, "acme", june.At, 1)
			k.absent(s, overKeyless)
		}},
	}
}
