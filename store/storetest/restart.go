package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
)

// Durable is a Store that keeps its data when its process ends. If it is an OrgStore or a KeyStore too, that is proven with it.
type Durable interface {
	humanhours.Store
	Close() error
}

// RunRestart proves that a store which is closed and opened again keeps the contracts as one that never stopped: open opens the
// store in a folder, which is empty for the first call of a case and later holds what the call before left there. The cases
// close every store that they open; to close it once more must do no harm.
func RunRestart(t *testing.T, open func(tb testing.TB, dir string) Durable) {
	t.Helper()
	runAll(t, restartProofs(), func(tb testing.TB) *lives { return newLives(tb.TempDir(), open) })
}

// lives are the lives of one durable store, one after the other.
type lives struct {
	dir  string
	open func(tb testing.TB, dir string) Durable
	now  Durable // nil: none is open
}

func newLives(dir string, open func(testing.TB, string) Durable) *lives {
	return &lives{dir: dir, open: open}
}

// next closes the store, if there is one, and opens it again.
func (l *lives) next(k *kit) Durable {
	k.Helper()
	if l.now == nil {
		k.Cleanup(func() {
			if l.now != nil {
				_ = l.now.Close() // of a case that failed
			}
		})
	}
	l.end(k)
	l.now = l.open(k.TB, l.dir)
	return l.now
}

func (l *lives) end(k *kit) {
	k.Helper()
	if l.now == nil {
		return
	}
	s := l.now
	l.now = nil
	if err := s.Close(); err != nil {
		k.Fatalf("Close: %v", err)
	}
}

func restartProofs() []proof[*lives] {
	return []proof[*lives]{
		{"events after a restart", eventsAreFinal, eventsAfterRestart},
		{"ids after a restart", idStoredOnce, idsAfterRestart},
		{"idempotency keys after a restart", exactWindow, keysAfterRestart},
		{"fingerprints after a restart", mismatchIsTold, fingerprintsAfterRestart},
		{"usage after a restart", usageByMonth, usageAfterRestart},
		{"a quota after a restart", capRefuses, quotaAfterRestart},
		{"agents after a restart", agentsSeen, agentsAfterRestart},
		{"amendments after a restart", amendmentsShow, amendmentsAfterRestart},
		{"redactions after a restart", redactionErases, redactionsAfterRestart},
		{"sums after a restart", sumsAreEvents, sumsAfterRestart},
		{"orgs after a restart", orgOwnFields, orgsAfterRestart},
		{"the history of an org after a restart", orgHistory, historyAfterRestart},
		{"API keys after a restart", keyFound, apiKeysAfterRestart},
		{"revoked API keys after a restart", keyRevokeOnce, revokedAfterRestart},
		{"used API keys after a restart", keyNeverBack, usedAfterRestart},
	}
}

// Several restarts, with events of each life: one alone, and a batch.
func eventsAfterRestart(k *kit, l *lives) {
	const org, other, restarts = "acme", "a\x00c\xff", 3
	var mine, theirs []humanhours.Event
	for range restarts {
		s := l.next(k)
		mine = append(mine, k.create(s, k.entry(org)))
		batch := []humanhours.Entry{k.entry(org, key("key "+mine[len(mine)-1].ID)), k.entry(org, test), k.entry(other)}
		for i, got := range k.append(s, batch...) {
			k.is("an entry of a batch", got, created, batch[i].Event)
		}
		k.made++
		small := bare(org, k.made)
		mine = append(mine, batch[0].Event, batch[1].Event, k.create(s, humanhours.Entry{Event: small, At: small.ReceivedAt}))
		theirs = append(theirs, batch[2].Event)
	}
	s := l.next(k)
	k.stored(s, mine...)
	k.stored(s, theirs...)
	for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
		k.lists(s, humanhours.EventQuery{Org: org, Order: order}, mine)
		k.lists(s, humanhours.EventQuery{Org: other, Order: order}, theirs)
	}
	k.lists(s, humanhours.EventQuery{Org: org, Descending: true, After: (humanhours.EventQuery{}).CursorOf(&mine[2])}, reversed(mine[:2]))
}

func reversed(events []humanhours.Event) []humanhours.Event {
	events = slices.Clone(events)
	slices.Reverse(events)
	return events
}

func idsAfterRestart(k *kit, l *lives) {
	first := k.entry("acme")
	k.create(l.next(k), first)
	s := l.next(k)
	changed := first
	changed.Event.AgentID = "another"
	k.is("an id that was stored before the restart", k.append(s, changed)[0], created, first.Event)
	k.used(s, "acme", first.At, 1)
}

// Time goes on while the store is down.
func keysAfterRestart(k *kit, l *lives) {
	const org = "acme"
	first := k.entry(org, key("order-1"))
	short := k.entry(org, key("order-2"), lasting(time.Second))
	s := l.next(k)
	k.create(s, first)
	k.create(s, short)

	s = l.next(k)
	last, free := first.At.Add(window-time.Millisecond), first.At.Add(window)
	k.replay(s, k.again(first), first.Event)
	k.replay(s, k.again(first, at(last)), first.Event)
	k.replay(s, k.again(short, at(short.At.Add(time.Second-time.Millisecond))), short.Event)
	k.holds(s, first, last, first.Event)
	k.free(s, first, free)
	k.free(s, short, short.At.Add(time.Second))
	elsewhere := first
	elsewhere.Event.Org = "another org"
	k.free(s, elsewhere, first.At)
	second := k.again(first, at(free))
	k.create(s, second)

	s = l.next(k)
	k.replay(s, k.again(second), second.Event)
	k.holds(s, second, free.Add(window-time.Millisecond), second.Event)
	k.free(s, second, free.Add(window))
	k.stored(s, first.Event, short.Event, second.Event)
	k.used(s, org, first.At, 3)
}

func fingerprintsAfterRestart(k *kit, l *lives) {
	first := k.entry("acme", key("order-1"), fingerprint(humanhours.Fingerprint{1, 15: 2}))
	k.create(l.next(k), first)
	s := l.next(k)
	k.replay(s, k.again(first), first.Event)
	other := k.again(first, fingerprint(humanhours.Fingerprint{1, 15: 3}))
	k.is("another request with a key in use", k.append(s, other)[0], mismatched, first.Event)
}

func usageAfterRestart(k *kit, l *lives) {
	const org = "acme"
	next := humanhours.MonthOf(epoch).Next().Start()
	s := l.next(k)
	for range 3 {
		k.create(s, k.entry(org))
	}
	k.create(s, k.entry(org, at(next)))
	k.create(s, k.entry(org, test))
	s = l.next(k)
	k.used(s, org, epoch, 3)
	k.used(s, org, next, 1)
	k.used(s, "another org", epoch, 0)
	k.create(s, k.entry(org))
	k.used(l.next(k), org, epoch, 4)
}

func quotaAfterRestart(k *kit, l *lives) {
	const org, limit = "acme", 2
	s := l.next(k)
	first := k.entry(org, capped(limit), key("first"))
	k.create(s, first)
	k.create(s, k.entry(org, capped(limit)))
	late := k.entry(org, capped(limit), key("late"))
	k.refuse(s, late)

	s = l.next(k)
	k.refuse(s, k.entry(org, capped(limit)))
	k.replay(s, k.again(first), first.Event)
	k.absent(s, late)
	k.create(s, k.entry(org, capped(limit), test))
	k.create(s, k.entry(org, capped(limit), at(humanhours.MonthOf(epoch).Next().Start())))
	k.create(s, k.again(late, capped(limit+1)))
	k.used(s, org, epoch, limit+1)
}

// Each life has an agent of its own, and moves both ends of one that they share.
func agentsAfterRestart(k *kit, l *lives) {
	const org, other, restarts = "acme", "a\x00c\xff", 3
	var mine, theirs []humanhours.Event
	for life := range restarts {
		s := l.next(k)
		k.agents(s, org, mine...)
		k.agents(s, other, theirs...)
		away := time.Duration(1+life) * time.Hour
		batch := []humanhours.Entry{
			k.entry(org, named("shared"), occurred(epoch.Add(away))), k.entry(org, named("shared"), occurred(epoch.Add(-away))),
			k.entry(org, named(eventID(life))), k.entry(org, named("shared"), test, occurred(epoch.Add(-2*away))),
			k.entry(other, named("shared"), occurred(epoch.Add(3*away))),
		}
		for i, got := range k.append(s, batch...) {
			k.is("an entry of a batch", got, created, batch[i].Event)
		}
		for _, e := range batch[:4] {
			mine = append(mine, e.Event)
		}
		theirs = append(theirs, batch[4].Event)
	}
	s := l.next(k)
	k.agents(s, org, mine...)
	k.agents(s, other, theirs...)
}

// Each life goes on with what the ones before have amended.
func amendmentsAfterRestart(k *kit, l *lives) {
	entry := k.entry("acme", key("k"))
	e := entry.Event
	var lines []humanhours.Change
	for life, list := range [][]humanhours.Amendment{{voiding(1), repricing(2)}, {voiding(3)}, {repricing(4), voiding(5)}, nil} {
		s := l.next(k)
		if life == 0 {
			k.create(s, entry)
		}
		k.shows(s, entry, e)
		k.noted(s, "acme", lines...)
		stale := amending(&e, voiding(9))
		stale.Base--
		k.amended("an amendment of a wrong base", s, stale, humanhours.Amended{Event: e, Found: true})
		for _, a := range list {
			lines = append(lines, amending(&e, a).Change)
			e = k.amend(s, e, a)
		}
	}
}

func redactionsAfterRestart(k *kit, l *lives) {
	entry, beside := k.entry("acme", key("k")), k.entry("acme", key("beside"))
	s := l.next(k)
	k.create(s, entry)
	k.create(s, beside)
	e := k.amend(s, entry.Event, redacting(1))
	s = l.next(k)
	k.shows(s, entry, e)
	k.shows(s, beside, beside.Event)
	e = k.amend(s, e, voiding(2))
	k.shows(l.next(k), entry, e)
}

// orgs returns the OrgStore of a life; false, with nothing proven, if it is none.
func (l *lives) orgs(k *kit) (humanhours.OrgStore, bool) {
	k.Helper()
	s, ok := l.next(k).(humanhours.OrgStore)
	return s, ok
}

func orgsAfterRestart(k *kit, l *lives) {
	s, ok := l.orgs(k)
	if !ok {
		k.Skip("not an OrgStore")
	}
	k.update(s, "acme", setAll)
	k.update(s, "a\x00\xff", setAll)
	s, _ = l.orgs(k)
	k.equal("the org", k.org(s, "acme"), numbered(sampleOrg(), "acme", 1))
	k.equal("the org", k.org(s, "a\x00\xff"), numbered(sampleOrg(), "a\x00\xff", 1))
	k.noOrg(s, "another org")
	want := numbered(sampleOrg(), "acme", 2)
	want.Plan = "free"
	k.equal("UpdateOrg", k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
		o.Plan = "free"
		return nil
	}), want)
	s, _ = l.orgs(k)
	k.equal("the org", k.org(s, "acme"), want)
}

func historyAfterRestart(k *kit, l *lives) {
	var want []humanhours.Change
	for _, tag := range []string{"first", "second", "third"} {
		s, ok := l.orgs(k)
		if !ok {
			k.Skip("not an OrgStore")
		}
		k.history(s, "acme", want...)
		changes := sampleChanges(tag, 2)
		k.update(s, "acme", func(*humanhours.Org) []humanhours.Change { return changes })
		want = append(want, changes...)
	}
	s, _ := l.orgs(k)
	k.history(s, "acme", want...)
	k.history(s, "another org")
}

// apiKeys returns the KeyStore of a life; false, with nothing proven, if it is none.
func (l *lives) apiKeys(k *kit) (humanhours.KeyStore, bool) {
	k.Helper()
	s, ok := l.next(k).(humanhours.KeyStore)
	return s, ok
}

func apiKeysAfterRestart(k *kit, l *lives) {
	s, ok := l.apiKeys(k)
	if !ok {
		k.Skip("not a KeyStore")
	}
	first, second := sampleKey("acme", "3fK9xQ2b"), sampleKey("acme", "3fk9xq2b")
	second.Test, second.CreatedAt = true, epoch.Add(time.Millisecond)
	k.put(s, second)
	k.put(s, first)
	s, _ = l.apiKeys(k)
	k.key(s, first)
	k.key(s, second)
	k.keys(s, "acme", first, second)
	k.noKey(s, "AAAAAAAA")
	k.taken(s, sampleKey("another org", first.ID), first)
}

func revokedAfterRestart(k *kit, l *lives) {
	s, ok := l.apiKeys(k)
	if !ok {
		k.Skip("not a KeyStore")
	}
	key, when := k.put(s, sampleKey("acme", "3fK9xQ2b")), epoch.Add(time.Hour)
	k.revoke(s, key, when, when)
	s, _ = l.apiKeys(k)
	revoked := key
	revoked.RevokedAt = when
	k.key(s, revoked)
	k.keys(s, "acme", revoked)
	k.taken(s, key, revoked)
	k.revoke(s, key, when.Add(time.Hour), when)
}

func usedAfterRestart(k *kit, l *lives) {
	s, ok := l.apiKeys(k)
	if !ok {
		k.Skip("not a KeyStore")
	}
	key, revoked, when := k.put(s, sampleKey("acme", "3fK9xQ2b")), k.put(s, sampleKey("acme", "3fk9xq2b")), epoch.Add(time.Hour)
	never := k.put(s, sampleKey("acme", "3fK9xQ2c"))
	key = k.touch(s, key, when, when)
	revoked = k.touch(s, revoked, when.Add(time.Minute), when.Add(time.Minute))
	revoked = k.revoke(s, revoked, when, when)
	s, _ = l.apiKeys(k)
	k.keys(s, "acme", key, never, revoked)
	k.taken(s, sampleKey("acme", key.ID), key)
	k.touch(s, key, epoch, when)
	k.touch(s, never, epoch, epoch)
	k.touch(s, revoked, when.Add(time.Hour), when.Add(time.Hour))
}
