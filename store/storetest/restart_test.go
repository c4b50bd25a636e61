package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/stretchr/testify/assert"
)

// undead is a memory store that a restart does not empty: what a durable store looks like from outside.
type undead struct {
	*memory.Store
	failing error
}

func (s undead) Close() error { return s.failing }

// oblivious is a durable store with something put in the way of each life but the first.
func oblivious(lie, caughtBy string, next func(before *memory.Store) Durable) liar[*lives] {
	return liar[*lives]{lie: lie, caughtBy: caughtBy, fresh: func() *lives {
		var kept *memory.Store
		return newLives("", func(testing.TB, string) Durable {
			if kept == nil {
				kept = memory.New()
				return undead{Store: kept}
			}
			return next(kept)
		})
	}}
}

// plain hides that a store keeps more than events.
type plain struct{ Durable }

// uncounted forgets counts: the old life's month starts at 0 again.
type uncounted struct{ undead }

func (uncounted) Usage(context.Context, string, humanhours.Month) (int64, error) { return 0, nil }

// lastOnly finds the last line of a history.
type lastOnly struct{ undead }

func (s lastOnly) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	changes, err := s.undead.History(ctx, q)
	return changes[max(0, len(changes)-1):], err
}

// pardoning forgets that keys were revoked.
type pardoning struct{ undead }

func (s pardoning) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	key, ok, err := s.undead.Key(ctx, id)
	key.RevokedAt = time.Time{}
	return key, ok, err
}

// unused forgets when keys were used.
type unused struct{ undead }

func (s unused) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	keys, err := s.undead.Keys(ctx, org)
	for i := range keys {
		keys[i].LastUsedAt = time.Time{}
	}
	return keys, err
}

// newcomers knows the agents of events that came since the restart.
type newcomers struct{ *roster }

func (newcomers) Close() error { return nil }

// forgiving forgets amendments.
type forgiving struct{ undead }

func (s forgiving) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	e, ok, err := s.undead.Event(ctx, org, id)
	e.Amendments = nil
	return e, ok, err
}

// restoring answers with metadata of before the restart.
type restoring struct{ undead }

func (s restoring) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	found, err := s.undead.Replay(ctx, q)
	if found.Found {
		found.Event.AuditSample = humanhours.AuditSample{InputExcerpt: "Where is my parcel?", OutputExcerpt: "On its way."}
	}
	return found, err
}

// keyless forgets idempotency keys: those that come are new.
type keyless struct{ undead }

func (s keyless) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	changed := make([]humanhours.Entry, len(entries))
	for i, e := range entries {
		e.Key = ""
		changed[i] = e
	}
	return s.undead.Append(ctx, changed)
}

// clinging keeps keys for twice their window.
type clinging struct{ undead }

func (s clinging) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	found, err := s.undead.Replay(ctx, q)
	if err == nil && !found.Found {
		q.At = q.At.Add(-window)
		return s.undead.Replay(ctx, q)
	}
	return found, err
}

func restartLiars() []liar[*lives] {
	var liars []liar[*lives]
	for _, p := range restartProofs() {
		liars = append(liars,
			oblivious("keeps nothing: "+p.name, p.name, func(*memory.Store) Durable { return undead{Store: memory.New()} }),
			liar[*lives]{lie: "cannot be closed: " + p.name, caughtBy: p.name, fresh: func() *lives {
				s := undead{memory.New(), errors.New("the disk is gone")}
				return newLives("", func(testing.TB, string) Durable { return s })
			}},
		)
	}
	return append(liars,
		oblivious("forgets the idempotency keys", "idempotency keys after a restart", func(s *memory.Store) Durable { return keyless{undead{Store: s}} }),
		oblivious("starts windows again", "idempotency keys after a restart", func(s *memory.Store) Durable { return clinging{undead{Store: s}} }),
		oblivious("forgets the counts", "usage after a restart", func(s *memory.Store) Durable { return uncounted{undead{Store: s}} }),
		oblivious("forgets the agents", "agents after a restart", func(s *memory.Store) Durable {
			return newcomers{&roster{Store: s}}
		}),
		oblivious("forgets the amendments", "amendments after a restart", func(s *memory.Store) Durable { return forgiving{undead{Store: s}} }),
		oblivious("knows what was erased", "redactions after a restart", func(s *memory.Store) Durable { return restoring{undead{Store: s}} }),
		oblivious("forgets when API keys were used", "used API keys after a restart", func(s *memory.Store) Durable { return unused{undead{Store: s}} }),
		oblivious("forgets the history but for its end", "the history of an org after a restart", func(s *memory.Store) Durable { return lastOnly{undead{Store: s}} }),
		oblivious("forgets revocations", "revoked API keys after a restart", func(s *memory.Store) Durable { return pardoning{undead{Store: s}} }),
	)
}

func TestStoresThatForgetAreCaught(t *testing.T) { expose(t, restartProofs(), restartLiars()) }

func TestHonestDurableStoreIsNotAccused(t *testing.T) {
	for name, as := range map[string]func(Durable) Durable{
		"of everything":  func(s Durable) Durable { return s },
		"of events only": func(s Durable) Durable { return plain{s} },
	} {
		t.Run(name, func(t *testing.T) {
			disk := make(map[string]Durable)
			RunRestart(t, func(_ testing.TB, dir string) Durable {
				if disk[dir] == nil {
					disk[dir] = undead{Store: memory.New()}
				}
				return as(disk[dir])
			})
		})
	}
}

func TestCasesOfRestartsQuoteTheirContracts(t *testing.T) {
	contracts := normalised(comments(t, "store.go", "Store") + comments(t, "rollup.go", "Reporter") + comments(t, "org.go", "OrgStore") + comments(t, "apikey.go", "KeyStore"))
	for _, p := range restartProofs() {
		assert.Contains(t, contracts, p.contract, "the contract of the case %q", p.name)
	}
	unique(t, restartProofs())
}
