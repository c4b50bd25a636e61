package storetest

import (
	"time"

	"github.com/humanhours/humanhours-go"
)

func quotaProofs() []proof[humanhours.Store] {
	june := time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC)
	return []proof[humanhours.Store]{
		{"usage at the borders of a month", usageByMonth, func(k *kit, s humanhours.Store) {
			k.used(s, "acme", epoch, 0)
			k.create(s, k.entry("acme", at(june.Add(-time.Millisecond))))
			k.used(s, "acme", june, 0)
			k.create(s, k.entry("acme", at(june)))
			k.create(s, k.entry("acme", at(june.Add(time.Millisecond))))
			k.create(s, k.entry("acme", at(june.AddDate(0, 1, 0).Add(-time.Millisecond))))
			k.used(s, "acme", epoch, 1)
			k.used(s, "acme", june, 3)
			k.used(s, "acme", june.AddDate(0, 1, 0), 0)
			k.used(s, "acme", june.AddDate(1, 0, 0), 0)
			k.used(s, "acme", june.AddDate(-1, 0, 0), 0)
			k.used(s, "other", june, 0)
		}},
		{"usage follows UTC", usageByMonth, func(k *kit, s humanhours.Store) {
			east, west := time.FixedZone("east", 14*3600), time.FixedZone("west", -11*3600)
			for _, received := range []time.Time{
				june.In(west), june.Add(time.Hour).In(west), // 31 May there
				june.Add(-time.Millisecond).In(east), // 1 June there
			} {
				e := k.entry("acme")
				e.At = received
				k.create(s, e)
			}
			k.used(s, "acme", epoch, 1)
			k.used(s, "acme", june, 2)
			over := k.entry("acme", capped(1))
			over.At = june.Add(-time.Hour).In(east)
			k.refuse(s, over)
		}},
		{"usage follows receipt, not occurrence", usageByMonth, func(k *kit, s humanhours.Store) {
			k.create(s, k.entry("acme", at(june), occurred(june.AddDate(0, 0, -80))))
			k.create(s, k.entry("acme", at(june.Add(-time.Hour)), occurred(june.Add(23*time.Hour))))
			k.used(s, "acme", june.AddDate(0, 0, -80), 0)
			k.used(s, "acme", epoch, 1)
			k.used(s, "acme", june, 1)
		}},
		{"usage over the turn of the year", usageByMonth, func(k *kit, s humanhours.Store) {
			year := time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC)
			k.create(s, k.entry("acme", at(year)))
			k.create(s, k.entry("acme", at(year.Add(-time.Millisecond)))) // came late: months are counted apart
			k.create(s, k.entry("acme", at(year)))
			k.used(s, "acme", year, 2)
			k.used(s, "acme", year.AddDate(0, -1, 0), 1)
			k.used(s, "acme", year.AddDate(1, 0, 0), 0)
		}},
		{"the cap of a month", capRefuses, func(k *kit, s humanhours.Store) {
			const limit = 3
			for range limit {
				k.create(s, k.entry("acme", capped(limit), at(june.Add(-time.Millisecond))))
			}
			over := k.entry("acme", key("k"), capped(limit))
			for range 2 {
				k.refuse(s, over)
				k.absent(s, over)
			}
			k.refuse(s, k.entry("acme", capped(limit)))
			k.used(s, "acme", epoch, limit)
			k.create(s, k.entry("acme", capped(limit), at(june)))
			k.create(s, k.entry("acme", capped(limit), at(june.AddDate(-1, -1, 0)))) // May of another year
			k.create(s, k.entry("other", capped(limit)))
			k.used(s, "acme", epoch, limit)
			k.used(s, "acme", june, 1)
		}},
		{"a cap that changes", capRefuses, func(k *kit, s humanhours.Store) {
			k.create(s, k.entry("acme"))
			k.create(s, k.entry("acme", capped(2)))
			k.refuse(s, k.entry("acme", capped(2)))
			k.refuse(s, k.entry("acme", capped(1))) // lowered below what is used
			k.create(s, k.entry("acme", capped(3)))
			k.create(s, k.entry("acme", capped(0))) // lifted
			k.refuse(s, k.entry("acme", capped(4)))
			k.create(s, k.entry("acme", capped(1<<62)))
			k.used(s, "acme", epoch, 5)
		}},
		{"replays are not counted", replaysAreFree, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(2))
			k.create(s, e)
			for range 5 {
				k.replay(s, k.again(e), e.Event)
				k.is("a different request", k.append(s, k.again(e, fingerprint(humanhours.Fingerprint{1})))[0], mismatched, e.Event)
			}
			k.used(s, "acme", epoch, 1)
			k.create(s, k.entry("acme", capped(2))) // there is still room
			k.refuse(s, k.entry("acme", capped(2)))
		}},
		{"replays succeed when the quota is used up", replaysAreFree, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(1), at(epoch))
			k.create(s, e)
			k.refuse(s, k.entry("acme", capped(1)))
			k.replay(s, k.again(e), e.Event)
			k.is("a different request", k.append(s, k.again(e, fingerprint(humanhours.Fingerprint{1})))[0], mismatched, e.Event)
			k.holds(s, e, epoch, e.Event)
			k.refuse(s, k.again(e, at(epoch.Add(window)))) // its key is free, so that it would be a new event
			k.used(s, "acme", epoch, 1)
		}},
		{"a replay in the next month is not counted there", replaysAreFree, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(1), at(june.Add(-time.Millisecond)))
			k.create(s, e)
			k.replay(s, k.again(e, at(june)), e.Event)
			k.used(s, "acme", june, 0)
			k.create(s, k.entry("acme", capped(1), at(june)))
			k.replay(s, k.again(e, at(june)), e.Event)
		}},
		{"a refused key is free", refusedKeepsKey, func(k *kit, s humanhours.Store) {
			k.create(s, k.entry("acme", capped(1)))
			over := k.entry("acme", key("k"), capped(1), at(june.Add(-time.Hour)), fingerprint(humanhours.Fingerprint{1}))
			k.refuse(s, over)
			k.free(s, over, over.At)
			next := k.again(over, at(june), fingerprint(humanhours.Fingerprint{2})) // the month has turned, the window has not passed
			k.create(s, next)
			k.holds(s, next, june.Add(window-time.Millisecond), next.Event)
			k.free(s, next, june.Add(window)) // a window from its own first use
		}},
		{"a refused entry is taken when there is room", refusedKeepsKey, func(k *kit, s humanhours.Store) {
			k.create(s, k.entry("acme"))
			over := k.entry("acme", key("k"), capped(1))
			for range 3 {
				k.refuse(s, over)
			}
			over.Cap = 2
			k.create(s, over) // with the same id
			k.replay(s, k.again(over), over.Event)
			k.used(s, "acme", epoch, 2)
		}},
		{"test events", testEventsAreOut, func(k *kit, s humanhours.Store) {
			for range 3 {
				k.create(s, k.entry("acme", capped(1), test))
			}
			k.used(s, "acme", epoch, 0)
			k.create(s, k.entry("acme", capped(1))) // they took no room
			k.refuse(s, k.entry("acme", capped(1)))
			e := k.entry("acme", key("k"), capped(1), test)
			k.create(s, e) // and need none
			k.replay(s, k.again(e), e.Event)
			k.batch(s,
				step{entry: k.entry("acme", capped(1), test), want: created},
				step{entry: k.entry("acme", capped(1)), want: refused},
				step{entry: k.entry("acme", capped(1), test), want: created},
			)
			k.used(s, "acme", epoch, 1)
			if n := len(k.list(s, humanhours.EventQuery{Org: "acme"})); n != 7 {
				k.Fatalf("%d events are listed, want 7: test events too", n)
			}
		}},
	}
}
