package memory

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/humanhours/humanhours-go"
)

// keyring is the KeyStore part. An APIKey holds no reference, so that assigning one copies it.
type keyring struct {
	mu   sync.RWMutex
	byID map[string]humanhours.APIKey
}

// PutKey implements humanhours.KeyStore.
func (s *Store) PutKey(ctx context.Context, key humanhours.APIKey) (humanhours.APIKey, bool, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.APIKey{}, false, err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if there, ok := s.keys.byID[key.ID]; ok {
		return there, false, nil
	}
	for _, at := range []*time.Time{&key.CreatedAt, &key.RevokedAt, &key.LastUsedAt} {
		*at = at.UTC().Truncate(time.Millisecond)
	}
	s.keys.byID[key.ID] = key
	return key, true, nil
}

// Key implements humanhours.KeyStore.
func (s *Store) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.APIKey{}, false, err
	}
	s.keys.mu.RLock()
	defer s.keys.mu.RUnlock()
	key, ok := s.keys.byID[id]
	return key, ok, nil
}

// Keys implements humanhours.KeyStore.
func (s *Store) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var keys []humanhours.APIKey
	s.keys.mu.RLock()
	for _, key := range s.keys.byID {
		if key.Org == org || org == "" {
			keys = append(keys, key)
		}
	}
	s.keys.mu.RUnlock()
	slices.SortFunc(keys, func(a, b humanhours.APIKey) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys, nil
}

// RevokeKey implements humanhours.KeyStore.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) (humanhours.APIKey, bool, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.APIKey{}, false, err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	key, ok := s.keys.byID[id]
	if ok && key.RevokedAt.IsZero() {
		key.RevokedAt = at.UTC().Truncate(time.Millisecond)
		s.keys.byID[id] = key
	}
	return key, ok, nil
}

// TouchKey implements humanhours.KeyStore.
func (s *Store) TouchKey(ctx context.Context, id string, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at = at.UTC().Truncate(time.Millisecond)
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if key, ok := s.keys.byID[id]; ok && at.After(key.LastUsedAt) {
		key.LastUsedAt = at
		s.keys.byID[id] = key
	}
	return nil
}
