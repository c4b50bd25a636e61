package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// looseKeys is an honest KeyStore with something put in the way.
type looseKeys struct {
	humanhours.KeyStore
	put    func(ctx context.Context, s humanhours.KeyStore, key humanhours.APIKey) (humanhours.APIKey, bool, error)
	revoke func(ctx context.Context, s humanhours.KeyStore, id string, at time.Time) (humanhours.APIKey, bool, error)
	touch  func(ctx context.Context, s humanhours.KeyStore, id string, at time.Time) error
	read   func(*humanhours.APIKey)                      // changes keys that are read
	list   func([]humanhours.APIKey) []humanhours.APIKey // changes lists
	id     func(string) string                           // changes ids
	ctx    func(context.Context) context.Context         // changes the context of everything
}

func (s *looseKeys) context(ctx context.Context) context.Context {
	if s.ctx == nil {
		return ctx
	}
	return s.ctx(ctx)
}

func (s *looseKeys) PutKey(ctx context.Context, key humanhours.APIKey) (humanhours.APIKey, bool, error) {
	id := key.ID
	key.ID = rename(s.id, id)
	if s.put != nil {
		return s.put(s.context(ctx), s.KeyStore, key)
	}
	stored, created, err := s.KeyStore.PutKey(s.context(ctx), key)
	stored.ID = id
	call(s.read, &stored)
	return stored, created, err
}

func (s *looseKeys) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	key, ok, err := s.KeyStore.Key(s.context(ctx), rename(s.id, id))
	if ok {
		key.ID = id
		call(s.read, &key)
	}
	return key, ok, err
}

func (s *looseKeys) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	keys, err := s.KeyStore.Keys(s.context(ctx), org)
	for i := range keys {
		call(s.read, &keys[i])
	}
	if s.list != nil {
		keys = s.list(keys)
	}
	return keys, err
}

func (s *looseKeys) RevokeKey(ctx context.Context, id string, at time.Time) (humanhours.APIKey, bool, error) {
	if s.revoke != nil {
		return s.revoke(s.context(ctx), s.KeyStore, id, at)
	}
	key, ok, err := s.KeyStore.RevokeKey(s.context(ctx), rename(s.id, id), at)
	if ok {
		key.ID = id
		call(s.read, &key)
	}
	return key, ok, err
}

func (s *looseKeys) TouchKey(ctx context.Context, id string, at time.Time) error {
	if s.touch != nil {
		return s.touch(s.context(ctx), s.KeyStore, id, at)
	}
	return s.KeyStore.TouchKey(s.context(ctx), rename(s.id, id), at)
}

// marks keeps in its own way when keys were used.
type marks struct {
	looseKeys
	mu   sync.Mutex
	used map[string]time.Time
}

// marking makes marks of an honest store: mark says when a key is taken to be used last, of what it was (zero: never) and what comes.
func marking(mark func(k humanhours.APIKey, was, at time.Time) time.Time) *marks {
	m := &marks{used: make(map[string]time.Time)}
	m.KeyStore = memory.New()
	m.read = func(k *humanhours.APIKey) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if at, ok := m.used[k.ID]; ok {
			k.LastUsedAt = at
		}
	}
	m.touch = func(ctx context.Context, s humanhours.KeyStore, id string, at time.Time) error {
		k, ok, err := s.Key(ctx, id)
		if err != nil || !ok {
			return err
		}
		m.mu.Lock()
		was := m.used[id]
		m.mu.Unlock()
		at = mark(k, was, at.UTC().Truncate(time.Millisecond))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.used[id] = at
		return nil
	}
	return m
}

func keyLiars() []liar[[]humanhours.KeyStore] {
	type (
		store = humanhours.KeyStore
		key   = humanhours.APIKey
	)
	of := func(lie string, caughtBy string, l looseKeys) liar[[]store] {
		return liar[[]store]{lie: lie, caughtBy: caughtBy, fresh: func() []store {
			s := l
			s.KeyStore = memory.New()
			return []store{&s}
		}}
	}
	// overwriting puts a key under an id that is taken. A memory store has no way to do it, so it shadows the key.
	overwriting := func(lie, caughtBy string, answer func(was key, given key) (key, bool)) liar[[]store] {
		return liar[[]store]{lie: lie, caughtBy: caughtBy, fresh: func() []store {
			now := make(map[string]key)
			l := looseKeys{KeyStore: memory.New()}
			l.put = func(ctx context.Context, s store, given key) (key, bool, error) {
				stored, created, err := s.PutKey(ctx, given)
				if !created && err == nil {
					stored, created = answer(stored, given)
					now[given.ID] = stored
				}
				return stored, created, err
			}
			l.read = func(k *key) {
				if other, ok := now[k.ID]; ok {
					*k = other
				}
			}
			return []store{&l}
		}}
	}
	return []liar[[]store]{
		overwriting("brings a revoked key back", "a revoked key is not brought back", func(was, _ key) (key, bool) {
			was.RevokedAt = time.Time{}
			return was, false
		}),
		overwriting("overwrites a key", "an id that is taken", func(_, given key) (key, bool) { return given, false }),
		overwriting("says that it created a key twice", "an id that is taken", func(was, _ key) (key, bool) { return was, true }),
		{lie: "looks at the id and then writes", caughtBy: "one id, many writers", fresh: func() []store {
			l := looseKeys{KeyStore: memory.New()}
			l.put = func(ctx context.Context, s store, given key) (key, bool, error) {
				if there, ok, err := s.Key(ctx, given.ID); ok || err != nil {
					return there, false, err
				}
				stall()
				_, _, err := s.PutKey(ctx, given)
				return given, true, err
			}
			return []store{&l}
		}},
		of("compares ids without case", "ids differ by case", looseKeys{id: strings.ToLower}),
		of("takes ids of digits for numbers", "ids differ by case", looseKeys{id: numeric}),
		of("does not find revoked keys", "a revoked key is still there", looseKeys{list: func(keys []key) []key {
			return slices.DeleteFunc(keys, func(k key) bool { return !k.RevokedAt.IsZero() })
		}}),
		of("lists keys by id", "the keys of an org", looseKeys{list: func(keys []key) []key {
			slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.ID, b.ID) })
			return keys
		}}),
		of("takes no org for an org", "the keys of all orgs", looseKeys{list: func(keys []key) []key {
			return slices.DeleteFunc(keys, func(k key) bool { return k.Org != keys[0].Org })
		}}),
		of("lists keys newest first", "every field of a key", looseKeys{list: func(keys []key) []key {
			slices.Reverse(keys)
			return keys
		}}),
		of("mends orgs that are not UTF-8", "the keys of orgs with odd names", looseKeys{read: func(k *key) { k.Org = mended(k.Org) }}),
		of("loses the scopes", "every field of a key", looseKeys{read: func(k *key) { k.Scopes = 0 }}),
		of("loses whether it is a test key", "every field of a key", looseKeys{read: func(k *key) { k.Test = false }}),
		of("keeps instants in seconds", "instants of keys", looseKeys{read: func(k *key) { k.CreatedAt = k.CreatedAt.Truncate(time.Second) }}),
		of("answers in local time", "instants of keys", looseKeys{read: func(k *key) { k.CreatedAt = k.CreatedAt.In(time.FixedZone("CEST", 2*3600)) }}),
		of("finds a key that is not there", "a key that is not there", looseKeys{id: func(id string) string { return id[:min(len(id), 8)] }}),
		of("does not look at the context", "an ended context", looseKeys{ctx: func(context.Context) context.Context { return context.Background() }}),
		{lie: "revokes again", caughtBy: "revoking again", fresh: func() []store {
			latest := make(map[string]time.Time)
			l := looseKeys{KeyStore: memory.New()}
			l.read = func(k *key) {
				if at, ok := latest[k.ID]; ok {
					k.RevokedAt = at
				}
			}
			l.revoke = func(ctx context.Context, s store, id string, at time.Time) (key, bool, error) {
				latest[id] = at
				k, ok, err := s.RevokeKey(ctx, id, at)
				k.RevokedAt = at
				return k, ok, err
			}
			return []store{&l}
		}},
		of("answers a revocation with the caller's time", "revoked by many at once", looseKeys{
			revoke: func(ctx context.Context, s store, id string, at time.Time) (key, bool, error) {
				k, ok, err := s.RevokeKey(ctx, id, at)
				k.RevokedAt = at
				return k, ok, err
			},
		}),
		of("finds a key to revoke that is not there", "revoking", looseKeys{
			revoke: func(ctx context.Context, s store, id string, at time.Time) (key, bool, error) {
				k, _, err := s.RevokeKey(ctx, id, at)
				return k, true, err
			},
		}),
		of("takes a key that is put revoked for one that is not", "a key that is put revoked", looseKeys{
			put: func(ctx context.Context, s store, given key) (key, bool, error) {
				given.RevokedAt = time.Time{}
				return s.PutKey(ctx, given)
			},
		}),
		{lie: "touches all keys of an org", caughtBy: "touching a key", fresh: func() []store {
			l := looseKeys{KeyStore: memory.New()}
			l.touch = func(ctx context.Context, s store, _ string, at time.Time) error {
				keys, err := s.Keys(ctx, "acme")
				for _, k := range keys {
					err = errors.Join(err, s.TouchKey(ctx, k.ID, at))
				}
				return err
			}
			return []store{&l}
		}},
		of("does not list when keys were used", "touching a key", looseKeys{list: func(keys []key) []key {
			for i := range keys {
				keys[i].LastUsedAt = time.Time{}
			}
			return keys
		}}),
		of("touches nothing", "touching a key", looseKeys{touch: func(ctx context.Context, _ store, _ string, _ time.Time) error { return ctx.Err() }}),
		{lie: "keeps the use that came last", caughtBy: "touching a key again", fresh: func() []store {
			return []store{marking(func(_ key, _, at time.Time) time.Time { return at })}
		}},
		{lie: "keeps the first use", caughtBy: "touching a key again", fresh: func() []store {
			return []store{marking(func(_ key, was, at time.Time) time.Time {
				if was.IsZero() {
					return at
				}
				return was
			})}
		}},
		{lie: "compares instants as text", caughtBy: "touching a key again", fresh: func() []store {
			return []store{marking(func(_ key, was, at time.Time) time.Time {
				if !was.IsZero() && fmt.Sprint(at.UnixMilli()) < fmt.Sprint(was.UnixMilli()) {
					return was
				}
				return at
			})}
		}},
		{lie: "does not touch revoked keys", caughtBy: "touching a revoked key", fresh: func() []store {
			return []store{marking(func(k key, was, at time.Time) time.Time {
				if !k.RevokedAt.IsZero() {
					return was
				}
				return later(was, at)
			})}
		}},
		of("brings a revoked key back when it is touched", "touching a revoked key", looseKeys{read: func(k *key) {
			if k.LastUsedAt.After(k.RevokedAt) {
				k.RevokedAt = time.Time{}
			}
		}}),
		of("fails to touch a key that is not there", "touching a key that is not there", looseKeys{
			touch: func(ctx context.Context, s store, id string, at time.Time) error {
				if _, ok, _ := s.Key(ctx, id); !ok && ctx.Err() == nil {
					return errors.New("no such key")
				}
				return s.TouchKey(ctx, id, at)
			},
		}),
		{lie: "remembers the use of a key that is not there", caughtBy: "touching a key that is not there", fresh: func() []store {
			m := marking(nil)
			m.touch = func(_ context.Context, _ store, id string, at time.Time) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.used[id] = at
				return nil
			}
			return []store{m}
		}},
		of("takes a key that is put for one that was never used", "a key that is put used", looseKeys{
			put: func(ctx context.Context, s store, given key) (key, bool, error) {
				given.LastUsedAt = time.Time{}
				return s.PutKey(ctx, given)
			},
		}),
		{lie: "takes over when a key was used from one whose id is taken", caughtBy: "a key that is put used", fresh: func() []store {
			l := looseKeys{KeyStore: memory.New()}
			l.put = func(ctx context.Context, s store, given key) (key, bool, error) {
				stored, created, err := s.PutKey(ctx, given)
				if err == nil && !created && !given.LastUsedAt.IsZero() {
					err = s.TouchKey(ctx, given.ID, given.LastUsedAt)
				}
				return stored, created, err
			}
			return []store{&l}
		}},
		of("keeps in seconds when keys were used", "instants of keys", looseKeys{read: func(k *key) { k.LastUsedAt = k.LastUsedAt.Truncate(time.Second) }}),
		of("does not look at the context when it touches", "an ended context", looseKeys{
			touch: func(_ context.Context, s store, id string, at time.Time) error {
				return s.TouchKey(context.Background(), id, at)
			},
		}),
		{lie: "looks when a key was used and then writes", caughtBy: "touched by many at once", fresh: func() []store {
			return []store{marking(func(_ key, was, at time.Time) time.Time {
				stall()
				return later(was, at)
			})}
		}},
		{lie: "loses one of many keys", caughtBy: "put and revoked by many at once", fresh: func() []store {
			l := looseKeys{KeyStore: memory.New()}
			l.list = func(keys []key) []key { return keys[:min(len(keys), 30)] }
			return []store{&l}
		}},
		{lie: "does not hear of other handles", caughtBy: "every handle knows what the others stored", fresh: func() []store {
			return []store{memory.New(), memory.New()}
		}},
	}
}

func TestKeyLiarsAreCaught(t *testing.T) {
	expose(t, append(lift(keyProofs()), sharedKeyProofs()...), keyLiars())
}

func TestHonestKeyStoreIsNotAccused(t *testing.T) {
	RunKeys(t, func(testing.TB) humanhours.KeyStore { return memory.New() })
}
