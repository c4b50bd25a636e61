package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// sampleKey returns a key of org with the given id.
func sampleKey(org, id string) humanhours.APIKey {
	return humanhours.APIKey{
		ID: id, Org: org, Hash: sha256.Sum256([]byte(org + id)), Scopes: humanhours.ScopeTrackWrite | humanhours.ScopeOrgWrite, CreatedAt: epoch,
	}
}

// put stores a key, which must be new.
func (k *kit) put(s humanhours.KeyStore, key humanhours.APIKey) humanhours.APIKey {
	k.Helper()
	stored, created, err := s.PutKey(k.Context(), key)
	if err != nil || !created {
		k.Fatalf("PutKey of a new key: created %t, error %v", created, err)
	}
	k.equal("PutKey", stored, key)
	return key
}

// taken puts a key whose id is taken by want.
func (k *kit) taken(s humanhours.KeyStore, key, want humanhours.APIKey) {
	k.Helper()
	stored, created, err := s.PutKey(k.Context(), key)
	if err != nil || created {
		k.Fatalf("PutKey of an id that is taken: created %t, error %v", created, err)
	}
	k.equal("PutKey of an id that is taken", stored, want)
	k.key(s, want)
}

// key checks that a key is stored.
func (k *kit) key(s humanhours.KeyStore, want humanhours.APIKey) {
	k.Helper()
	got, ok, err := s.Key(k.Context(), want.ID)
	if err != nil || !ok {
		k.Fatalf("Key %q: found %t, error %v", want.ID, ok, err)
	}
	k.equal("Key", got, want)
}

// noKey checks that there is no key of an id.
func (k *kit) noKey(s humanhours.KeyStore, id string) {
	k.Helper()
	got, ok, err := s.Key(k.Context(), id)
	if err != nil || ok {
		k.Fatalf("Key %q, which was never stored: found %t, error %v", id, ok, err)
	}
	k.equal("a key that is not there", got, humanhours.APIKey{})
}

// keys checks the list of an org.
func (k *kit) keys(s humanhours.KeyStore, org string, want ...humanhours.APIKey) {
	k.Helper()
	got, err := s.Keys(k.Context(), org)
	if err != nil {
		k.Fatalf("Keys: %v", err)
	}
	k.equal(fmt.Sprintf("Keys(%q)", org), got, want)
}

// revoke revokes a key and returns it as it must be after.
func (k *kit) revoke(s humanhours.KeyStore, key humanhours.APIKey, at, want time.Time) humanhours.APIKey {
	k.Helper()
	got, ok, err := s.RevokeKey(k.Context(), key.ID, at)
	if err != nil || !ok {
		k.Fatalf("RevokeKey: found %t, error %v", ok, err)
	}
	key.RevokedAt = want
	k.equal("RevokeKey", got, key)
	k.key(s, key)
	return key
}

// touch records that a key was used and returns the key as it must be after.
func (k *kit) touch(s humanhours.KeyStore, key humanhours.APIKey, at, want time.Time) humanhours.APIKey {
	k.Helper()
	if err := s.TouchKey(k.Context(), key.ID, at); err != nil {
		k.Fatalf("TouchKey: %v", err)
	}
	key.LastUsedAt = want
	k.key(s, key)
	return key
}

func keyProofs() []proof[humanhours.KeyStore] {
	return []proof[humanhours.KeyStore]{
		{"every field of a key", keyFound, func(k *kit, s humanhours.KeyStore) {
			var want []humanhours.APIKey
			for i := range 16 {
				key := sampleKey("acme", fmt.Sprintf("key%05d", i))
				key.Scopes, key.Test = humanhours.Scopes(i%8), i >= 8
				key.CreatedAt = epoch.Add(time.Duration(i) * time.Millisecond)
				if i%3 == 0 {
					key.Hash = humanhours.KeyHash{31: byte(i)}
				}
				want = append(want, k.put(s, key))
			}
			for _, key := range want {
				k.key(s, key)
			}
			k.keys(s, "acme", want...)
		}},
		{"the keys of all orgs", keysOfOrg, func(k *kit, s humanhours.KeyStore) {
			k.keys(s, "")
			var want []humanhours.APIKey
			for i, org := range []string{"b", "a", "{a}", "b", "\x00"} {
				key := sampleKey(org, fmt.Sprintf("key%05d", i))
				key.CreatedAt = epoch.Add(time.Duration(i) * time.Second)
				want = append(want, k.put(s, key))
			}
			want[1] = k.revoke(s, want[1], epoch.Add(time.Hour), epoch.Add(time.Hour))
			k.keys(s, "", want...)
		}},
		{"a key that is not there", keyFound, func(k *kit, s humanhours.KeyStore) {
			k.noKey(s, "3fK9xQ2b")
			k.put(s, sampleKey("acme", "3fK9xQ2b"))
			for _, id := range []string{"", "3fK9xQ2", "3fK9xQ2bb", "3fK9xQ2%", "*", "acme"} {
				k.noKey(s, id)
			}
		}},
		{"a revoked key is still there", keyFound, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			key = k.revoke(s, key, epoch.Add(time.Hour), epoch.Add(time.Hour))
			k.key(s, key)
			k.keys(s, "acme", key)
		}},
		{"ids differ by case", keyCase, func(k *kit, s humanhours.KeyStore) {
			var want []humanhours.APIKey
			for _, id := range []string{"abcdefgh", "ABCDEFGH", "Abcdefgh", "abcdefgH", "00000001", "1", "01"} {
				k.noKey(s, id)
				want = append(want, k.put(s, sampleKey("acme", id)))
			}
			k.revoke(s, want[1], epoch, epoch)
			for i, key := range want {
				if i == 1 {
					key.RevokedAt = epoch
				}
				k.key(s, key)
			}
		}},
		{"an id that is taken", keyTaken, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			k.taken(s, key, key)
			other := sampleKey("other", key.ID)
			other.Test, other.Scopes, other.CreatedAt, other.RevokedAt = true, 0, epoch.Add(time.Hour), epoch.Add(2*time.Hour)
			k.taken(s, other, key)
			k.keys(s, "other")
			k.keys(s, "acme", key)
		}},
		{"a revoked key is not brought back", keyTaken, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			revoked := k.revoke(s, key, epoch.Add(time.Hour), epoch.Add(time.Hour))
			k.taken(s, key, revoked)
			k.keys(s, "acme", revoked)
		}},
		{"the keys of an org", keysOfOrg, func(k *kit, s humanhours.KeyStore) {
			k.keys(s, "acme")
			var want []humanhours.APIKey
			for i, id := range []string{"b", "a", "B", "A", "10", "9", "z", "y", "aa"} {
				key := sampleKey("acme", id)
				key.CreatedAt = epoch.Add(-time.Duration(i/3) * time.Millisecond)
				want = append(want, k.put(s, key))
				k.put(s, sampleKey("acme2", "2"+id))
			}
			want[4] = k.revoke(s, want[4], epoch, epoch)
			slices.SortFunc(want, func(a, b humanhours.APIKey) int {
				if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
					return c
				}
				return strings.Compare(a.ID, b.ID)
			})
			k.keys(s, "acme", want...)
			k.keys(s, "unknown")
		}},
		{"the keys of orgs with odd names", keysOfOrg, func(k *kit, s humanhours.KeyStore) {
			var want []humanhours.APIKey
			for i, org := range names() {
				want = append(want, k.put(s, sampleKey(org, fmt.Sprintf("key%05d", i))))
			}
			for _, key := range want {
				k.keys(s, key.Org, key)
				k.key(s, key)
			}
		}},
		{"revoking", keyRevoked, func(k *kit, s humanhours.KeyStore) {
			if _, ok, err := s.RevokeKey(k.Context(), "3fK9xQ2b", epoch); ok || err != nil {
				k.Fatalf("RevokeKey of a key that is not there: found %t, error %v", ok, err)
			}
			k.noKey(s, "3fK9xQ2b")
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			second := k.put(s, sampleKey("acme", "3fK9xQ2c"))
			k.revoke(s, key, epoch.Add(time.Millisecond), epoch.Add(time.Millisecond))
			k.key(s, second)
		}},
		{"revoking again", keyRevokeOnce, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			first := epoch.Add(time.Hour)
			for _, at := range []time.Time{first, first.Add(time.Hour), first.Add(-time.Minute), first} {
				k.revoke(s, key, at, first)
			}
		}},
		{"a key that is put revoked", keyRevokeOnce, func(k *kit, s humanhours.KeyStore) {
			key := sampleKey("acme", "3fK9xQ2b")
			key.RevokedAt = epoch.Add(time.Hour)
			k.put(s, key)
			k.revoke(s, key, epoch.Add(2*time.Hour), key.RevokedAt)
			k.keys(s, "acme", key)
		}},
		{"touching a key", keyTouched, func(k *kit, s humanhours.KeyStore) {
			key, other := k.put(s, sampleKey("acme", "3fK9xQ2b")), k.put(s, sampleKey("acme", "3fK9xQ2c"))
			k.key(s, key)
			key = k.touch(s, key, epoch.Add(time.Hour), epoch.Add(time.Hour))
			k.keys(s, "acme", key, other)
			k.keys(s, "", key, other)
			k.taken(s, key, key)
			k.taken(s, sampleKey("acme", key.ID), key)
			other = k.touch(s, other, epoch.Add(time.Millisecond), epoch.Add(time.Millisecond))
			k.keys(s, "acme", key, other)
			k.keys(s, "", key, other)
		}},
		{"touching a key again", keyNeverBack, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			for _, minutes := range []time.Duration{-90, -60, -61, -60, -90, 0, -1, 30, 29, -90} {
				at, want := epoch.Add(minutes*time.Minute), key.LastUsedAt
				if at.After(want) {
					want = at
				}
				key = k.touch(s, key, at, want)
			}
			at, next := key.LastUsedAt, key.LastUsedAt.Add(time.Millisecond)
			k.touch(s, key, next, next)
			k.touch(s, key, at, next)
			digits := k.put(s, sampleKey("acme", "3fK9xQ2c")) // instants of which each has more of them than the one before
			for _, ms := range []int64{-9, 8, 77, 999_999_999_999, 1_000_000_000_000} {
				at := time.UnixMilli(ms).UTC()
				digits = k.touch(s, digits, at, at)
				k.touch(s, digits, at.Add(-10*time.Millisecond), at)
			}
		}},
		{"touching a revoked key", keyTouchedToo, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			key = k.touch(s, key, epoch, epoch)
			key = k.revoke(s, key, epoch.Add(time.Hour), epoch.Add(time.Hour))
			key = k.touch(s, key, epoch.Add(2*time.Hour), epoch.Add(2*time.Hour))
			k.keys(s, "acme", key)
			k.revoke(s, key, epoch.Add(3*time.Hour), key.RevokedAt)
			second := k.put(s, sampleKey("acme", "3fK9xQ2c"))
			second = k.revoke(s, second, epoch, epoch)
			k.touch(s, second, epoch.Add(time.Hour), epoch.Add(time.Hour))
		}},
		{"touching a key that is not there", keyNoTouch, func(k *kit, s humanhours.KeyStore) {
			other := k.put(s, sampleKey("acme", "3fK9xQ2c"))
			key := sampleKey("acme", "3fK9xQ2b")
			for _, id := range []string{key.ID, "", "3fk9xq2c", "3fK9xQ2", "*", "acme"} {
				if err := s.TouchKey(k.Context(), id, epoch); err != nil {
					k.Fatalf("TouchKey of %q, of which there is no key: %v", id, err)
				}
				k.noKey(s, id)
			}
			k.keys(s, "", other)
			k.put(s, key) // which was not used before
			k.key(s, key)
		}},
		{"a key that is put used", keyPutUsed, func(k *kit, s humanhours.KeyStore) {
			key := sampleKey("acme", "3fK9xQ2b")
			key.LastUsedAt = epoch.Add(time.Hour)
			k.put(s, key)
			k.key(s, key)
			k.keys(s, "acme", key)
			later := key
			later.LastUsedAt = epoch.Add(2 * time.Hour)
			k.taken(s, later, key)
			k.taken(s, sampleKey("acme", key.ID), key)
			k.touch(s, key, epoch.Add(time.Minute), key.LastUsedAt)
			k.touch(s, key, epoch.Add(3*time.Hour), epoch.Add(3*time.Hour))
		}},
		{"instants of keys", keysExact, func(k *kit, s humanhours.KeyStore) {
			for i, instant := range []time.Time{
				epoch.In(time.FixedZone("", 14*3600)), epoch.In(time.FixedZone("XYZ", -11*3600)), epoch.Add(999_999), epoch.Truncate(time.Second),
			} {
				key := sampleKey("acme", fmt.Sprintf("key%05d", i))
				key.CreatedAt = instant
				k.put(s, key)
				key = k.revoke(s, key, instant.Add(time.Hour), instant.Add(time.Hour))
				k.touch(s, key, instant.Add(2*time.Hour), instant.Add(2*time.Hour))
				key.ID = fmt.Sprintf("old%05d", i)
				key.LastUsedAt = instant.Add(time.Minute)
				k.put(s, key)
				k.key(s, key)
			}
		}},
		{"an ended context", keysPrompt, func(k *kit, s humanhours.KeyStore) {
			key := k.put(s, sampleKey("acme", "3fK9xQ2b"))
			for want, ctx := range k.ended() {
				k.answers("PutKey", want, func() error {
					_, created, err := s.PutKey(ctx, sampleKey("acme", "3fK9xQ2c"))
					if created {
						return errors.New("none, but created")
					}
					return err
				})
				k.answers("RevokeKey", want, func() error {
					_, _, err := s.RevokeKey(ctx, key.ID, epoch)
					return err
				})
				k.answers("TouchKey", want, func() error { return s.TouchKey(ctx, key.ID, epoch) })
				k.answers("TouchKey of no key", want, func() error { return s.TouchKey(ctx, "3fK9xQ2c", epoch) })
				k.answers("Key", want, func() error {
					_, ok, err := s.Key(ctx, key.ID)
					if ok {
						return errors.New("none, but a key")
					}
					return err
				})
				k.answers("Keys", want, func() error {
					_, err := s.Keys(ctx, "acme")
					return err
				})
			}
			k.key(s, key)
			k.noKey(s, "3fK9xQ2c")
		}},
	}
}

func sharedKeyProofs() []proof[[]humanhours.KeyStore] {
	return []proof[[]humanhours.KeyStore]{
		{"one id, many writers", keyTaken, func(k *kit, stores []humanhours.KeyStore) {
			const rounds = 6
			ctx := k.Context()
			for round := range rounds {
				id := fmt.Sprintf("key%05d", round)
				got := make([]humanhours.APIKey, writers)
				created := make([]bool, writers)
				errs := make([]error, writers)
				k.race(writers, func(i int) {
					got[i], created[i], errs[i] = stores[i%len(stores)].PutKey(ctx, sampleKey(fmt.Sprint("org", i), id))
				})
				first := slices.Index(created, true)
				if first < 0 {
					k.Fatalf("none of %d writers with one id created the key (error %v)", writers, errs[0])
				}
				for i := range got {
					if errs[i] != nil || created[i] != (i == first) {
						k.Fatalf("%d writers with one id: created %t, error %v, want one to create", writers, created[i], errs[i])
					}
					k.equal("PutKey", got[i], sampleKey(fmt.Sprint("org", first), id))
				}
				k.key(stores[0], got[0])
			}
		}},
		{"revoked by many at once", keyRevokeOnce, func(k *kit, stores []humanhours.KeyStore) {
			ctx := k.Context()
			key := k.put(stores[0], sampleKey("acme", "3fK9xQ2b"))
			got := make([]humanhours.APIKey, writers)
			errs := make([]error, writers)
			k.race(writers, func(i int) {
				got[i], _, errs[i] = stores[i%len(stores)].RevokeKey(ctx, key.ID, epoch.Add(time.Duration(i)*time.Second))
			})
			key.RevokedAt = got[0].RevokedAt
			for i := range got {
				if errs[i] != nil {
					k.Fatalf("RevokeKey: %v", errs[i])
				}
				k.equal("RevokeKey by one of many", got[i], key)
			}
			k.key(stores[0], key)
		}},
		{"touched by many at once", keyNeverBack, func(k *kit, stores []humanhours.KeyStore) {
			const rounds = 4
			ctx := k.Context()
			for round := range rounds {
				key := k.put(stores[0], sampleKey("acme", fmt.Sprintf("key%05d", round)))
				errs := make([]error, writers)
				k.race(writers, func(i int) {
					errs[i] = stores[i%len(stores)].TouchKey(ctx, key.ID, epoch.Add(time.Duration((i*37+round*11)%writers)*time.Second))
				})
				for _, err := range errs {
					if err != nil {
						k.Fatalf("TouchKey: %v", err)
					}
				}
				key.LastUsedAt = epoch.Add((writers - 1) * time.Second)
				for _, s := range stores {
					k.key(s, key)
				}
			}
		}},
		{"put and revoked by many at once", keysSafe, func(k *kit, stores []humanhours.KeyStore) {
			// Half of them put keys, each on its own; half of them revoke what is there. Nothing is lost.
			ctx := k.Context()
			errs := make([]error, writers)
			k.race(writers, func(i int) {
				s := stores[i%len(stores)]
				id := fmt.Sprintf("key%05d", i/2)
				if i%2 == 0 {
					_, _, errs[i] = s.PutKey(ctx, sampleKey("acme", id))
				} else if _, _, errs[i] = s.RevokeKey(ctx, id, epoch); errs[i] == nil {
					_, errs[i] = s.Keys(ctx, "acme")
				}
			})
			for _, err := range errs {
				if err != nil {
					k.Fatalf("a call among many: %v", err)
				}
			}
			keys, err := stores[0].Keys(ctx, "acme")
			if err != nil || len(keys) != writers/2 {
				k.Fatalf("%d keys, want %d (error %v)", len(keys), writers/2, err)
			}
			for i, key := range keys {
				want := sampleKey("acme", fmt.Sprintf("key%05d", i))
				want.RevokedAt = key.RevokedAt
				k.equal("a key", key, want)
			}
		}},
		{"every handle knows what the others stored", keyFound, func(k *kit, stores []humanhours.KeyStore) {
			for i, s := range stores {
				next := stores[(i+1)%len(stores)]
				key := sampleKey("acme", fmt.Sprintf("key%05d", i))
				k.noKey(next, key.ID)
				k.put(s, key)
				k.key(next, key)
				key = k.revoke(next, key, epoch, epoch)
				k.key(s, key)
				key = k.touch(next, key, epoch, epoch)
				k.key(s, key)
				k.taken(s, sampleKey("acme", key.ID), key)
			}
		}},
	}
}
