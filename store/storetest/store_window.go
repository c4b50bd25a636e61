package storetest

import (
	"strconv"
	"time"

	"github.com/humanhours/humanhours-go"
)

func windowProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"a key is free again at exactly its age", exactWindow, func(k *kit, s humanhours.Store) {
			for _, length := range []time.Duration{time.Millisecond, time.Second, time.Hour, window, 30 * 24 * time.Hour} {
				first := k.entry("acme", key("k "+length.String()), lasting(length), at(epoch))
				k.create(s, first)
				last, end := epoch.Add(length-time.Millisecond), epoch.Add(length)
				k.holds(s, first, last, first.Event)
				k.replay(s, k.again(first, at(last)), first.Event)
				k.free(s, first, end)
				next := k.again(first, at(end))
				k.create(s, next)
				k.holds(s, next, end, next.Event)
			}
		}},
		{"windows of centuries, and in others", exactWindow, func(k *kit, s humanhours.Store) {
			const longest = time.Duration(1<<63 - 1)
			for i, when := range []time.Time{
				epoch, time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1677, 9, 21, 0, 0, 0, 0, time.UTC), time.Date(2262, 4, 11, 12, 0, 0, 0, time.UTC),
			} {
				for _, length := range []time.Duration{window, longest} {
					first := k.entry("acme", key("k "+strconv.Itoa(i)+length.String()), lasting(length), at(when))
					k.create(s, first)
					k.replay(s, k.again(first, at(when.Add(length/2).Truncate(time.Millisecond))), first.Event)
					k.free(s, first, when.Add(length).Add(time.Millisecond))
				}
			}
		}},
		{"a key that was free is in use for a window again", exactWindow, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			for range 3 {
				next := k.again(first, at(first.At.Add(window)))
				k.create(s, next)
				k.replay(s, k.again(next, at(next.At.Add(window-time.Millisecond))), next.Event)
				k.stored(s, first.Event) // the key has moved on, its event has not
				first = next
			}
			k.used(s, "acme", epoch, 4)
		}},
		{"a key outlasts the traffic of its window", exactWindow, func(k *kit, s humanhours.Store) {
			// Stores clear keys away beside normal writes. The last of the traffic comes from a process whose clock is ahead.
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			for i := range 49 {
				k.create(s, k.entry("acme", key("k "+strconv.Itoa(i)), at(epoch.Add(time.Duration(i)*window/48+10*time.Minute))))
			}
			k.replay(s, k.again(first, at(epoch.Add(window-time.Millisecond))), first.Event)
		}},
		{"a key that nobody asked about for long is free", exactWindow, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			later := epoch.AddDate(0, 0, 90)
			k.free(s, first, later)
			k.create(s, k.again(first, at(later)))
		}},
		{"a replay does not prolong the window", exactWindow, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			k.replay(s, k.again(first, at(epoch.Add(window/2))), first.Event)
			k.replay(s, k.again(first, at(epoch.Add(window-time.Millisecond)), lasting(10*window)), first.Event)
			k.is("the first entry again", k.append(s, first)[0], created, first.Event)
			k.free(s, first, epoch.Add(window))
			k.create(s, k.again(first, at(epoch.Add(window))))
		}},
		{"a replay does not shorten the window", exactWindow, func(k *kit, s humanhours.Store) {
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			k.replay(s, k.again(first, at(epoch.Add(time.Hour)), lasting(time.Millisecond)), first.Event)
			k.replay(s, k.again(first, at(epoch.Add(window-time.Millisecond))), first.Event)
		}},
		{"a writer whose clock is behind", exactWindow, func(k *kit, s humanhours.Store) {
			// Clocks of two processes differ: a retry may seem to come before the first use.
			first := k.entry("acme", key("k"), at(epoch))
			k.create(s, first)
			early := epoch.Add(-time.Second)
			k.holds(s, first, early, first.Event)
			k.replay(s, k.again(first, at(early)), first.Event)
			k.replay(s, k.again(first, at(epoch.Add(window-time.Millisecond))), first.Event)
			k.create(s, k.again(first, at(epoch.Add(window))))
		}},
		{"the window in other time zones", exactWindow, func(k *kit, s humanhours.Store) {
			east, west := time.FixedZone("east", 14*3600), time.FixedZone("west", -11*3600)
			first := k.entry("acme", key("k"))
			first.At = first.At.In(east)
			k.create(s, first)
			k.holds(s, first, first.At.Add(window-time.Millisecond).In(west), first.Event)
			k.free(s, first, first.At.Add(window).In(west))
			retry := k.again(first)
			retry.At = first.At.Add(window - time.Millisecond).In(west)
			k.replay(s, retry, first.Event)
			next := k.again(first)
			next.At = first.At.Add(window).In(west)
			k.create(s, next)
		}},
		{"entries without a key", keylessCreates, func(k *kit, s humanhours.Store) {
			keyed := k.entry("acme", key("k"))
			k.create(s, keyed)
			first := k.entry("acme")
			k.create(s, first)
			for range 3 {
				k.create(s, k.again(first)) // the same content but for the id
			}
			k.batch(s, step{entry: k.again(first), want: created}, step{entry: k.again(first), want: created})
			windowed := k.again(first)
			windowed.Window = window
			k.create(s, windowed)
			k.create(s, k.again(windowed))
			k.used(s, "acme", epoch, 9)
			k.replay(s, k.again(keyed), keyed.Event)
		}},
		{"a mismatch", mismatchIsTold, func(k *kit, s humanhours.Store) {
			prints := []humanhours.Fingerprint{
				{}, {0: 1}, {15: 1}, {0: 0xff}, {15: 0xff}, {7: 0x80}, {0: 'a', 1: 0, 2: 'b'}, {0: 'a', 1: 0, 2: 'c'},
			}
			for i, first := range prints {
				e := k.entry("acme", key("k"+string(rune('0'+i))), fingerprint(first))
				k.create(s, e)
				for _, other := range prints {
					want := mismatched
					if other == first {
						want = replayed
					}
					k.is("a retry", k.append(s, k.again(e, fingerprint(other)))[0], want, e.Event)
					found, err := s.Replay(k.Context(), humanhours.ReplayQuery{Org: "acme", Key: e.Key, Fingerprint: other, At: e.At})
					if err != nil || !found.Found || found.Mismatch != (other != first) {
						k.Fatalf("Replay of fingerprint %x with %x: Found %t, Mismatch %t, error %v", first, other, found.Found, found.Mismatch, err)
					}
					k.same("Replay", found.Event, e.Event)
				}
			}
		}},
		{"a mismatch does not change the fingerprint", mismatchIsTold, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), fingerprint(humanhours.Fingerprint{1}))
			other := k.again(e, fingerprint(humanhours.Fingerprint{2}))
			k.create(s, e)
			for range 2 {
				k.is("a different request", k.append(s, other)[0], mismatched, e.Event)
				k.replay(s, k.again(e), e.Event)
			}
			k.used(s, "acme", epoch, 1)
			next := k.again(other, at(e.At.Add(window)))
			k.create(s, next)
			k.is("the first request, when the key is another's", k.append(s, k.again(e, at(next.At)))[0], mismatched, next.Event)
		}},
		{"Replay of keys that were never used", replayOnlyFinds, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			k.free(s, e, epoch) // no such org
			k.create(s, k.entry("acme", key("other")))
			k.free(s, e, epoch)
			k.create(s, e) // asking did not claim it
			k.holds(s, e, epoch, e.Event)
		}},
		{"Replay changes nothing", replayOnlyFinds, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), at(epoch), capped(2))
			k.create(s, e)
			for _, age := range []time.Duration{0, -time.Second, window / 2, window - time.Millisecond, window, 2 * window, 0} {
				if age < window {
					k.holds(s, e, epoch.Add(age), e.Event)
				} else {
					k.free(s, e, epoch.Add(age))
				}
				query := humanhours.ReplayQuery{Org: "acme", Key: "k", Fingerprint: humanhours.Fingerprint{9}, At: epoch.Add(age)}
				if found, err := s.Replay(k.Context(), query); err != nil || found.Found != (age < window) || found.Mismatch != found.Found {
					k.Fatalf("Replay at age %v: Found %t, Mismatch %t, error %v", age, found.Found, found.Mismatch, err)
				}
			}
			k.used(s, "acme", epoch, 1)
			k.replay(s, k.again(e, at(epoch.Add(window-time.Millisecond))), e.Event)
			k.create(s, k.again(e, at(epoch.Add(window))))
		}},
	}
}
