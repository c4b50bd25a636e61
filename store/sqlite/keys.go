package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/humanhours/humanhours-go"
)

const keyColumns = "id, org, hash, test, scopes, created_at_ms, revoked_at_ms, last_used_at_ms"

func scanKey(scan scan) (humanhours.APIKey, error) {
	var key humanhours.APIKey
	var hash []byte
	var created int64
	var revoked, used sql.NullInt64
	if err := scan(&key.ID, &key.Org, &hash, &key.Test, &key.Scopes, &created, &revoked, &used); err != nil {
		return humanhours.APIKey{}, err
	}
	if len(hash) != len(key.Hash) {
		return humanhours.APIKey{}, fmt.Errorf("sqlite: the hash of key %s has %d bytes, want %d", key.ID, len(hash), len(key.Hash))
	}
	key.Hash = humanhours.KeyHash(hash)
	key.CreatedAt = instant(created)
	if revoked.Valid {
		key.RevokedAt = instant(revoked.Int64)
	}
	if used.Valid {
		key.LastUsedAt = instant(used.Int64)
	}
	return key, nil
}

const keyByID = "SELECT " + keyColumns + " FROM api_keys WHERE id = ?"

// PutKey implements humanhours.KeyStore.
func (s *Store) PutKey(ctx context.Context, key humanhours.APIKey) (stored humanhours.APIKey, created bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, w *writer) error {
		var revoked, used any
		if !key.RevokedAt.IsZero() {
			revoked = key.RevokedAt.UnixMilli()
		}
		if !key.LastUsedAt.IsZero() {
			used = key.LastUsedAt.UnixMilli()
		}
		hash := key.Hash
		result, err := w.exec(ctx, "INSERT INTO api_keys ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			key.ID, key.Org, hash[:], key.Test, int64(key.Scopes), key.CreatedAt.UnixMilli(), revoked, used)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		created = n > 0
		return w.query(ctx, func(scan scan) (err error) {
			stored, err = scanKey(scan)
			return err
		}, keyByID, key.ID)
	})
	if err != nil {
		return humanhours.APIKey{}, false, err
	}
	return stored, created, nil
}

// Key implements humanhours.KeyStore.
func (s *Store) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	var key humanhours.APIKey
	found := false
	err := s.read(ctx, func(scan scan) (err error) {
		key, err = scanKey(scan)
		found = err == nil
		return err
	}, keyByID, id)
	if err != nil {
		return humanhours.APIKey{}, false, err
	}
	return key, found, nil
}

// Keys implements humanhours.KeyStore.
func (s *Store) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	var keys []humanhours.APIKey
	each := func(scan scan) error {
		key, err := scanKey(scan)
		keys = append(keys, key)
		return err
	}
	var err error
	if org == "" {
		err = s.read(ctx, each, "SELECT "+keyColumns+" FROM api_keys ORDER BY created_at_ms, id")
	} else {
		err = s.read(ctx, each, "SELECT "+keyColumns+" FROM api_keys WHERE org = ? ORDER BY created_at_ms, id", org)
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// HasKeys reports whether there is any key, of whichever org, revoked or not.
func (s *Store) HasKeys(ctx context.Context) (bool, error) {
	var found bool
	err := s.read(ctx, func(scan scan) error { return scan(&found) }, "SELECT EXISTS (SELECT 1 FROM api_keys)")
	return found, err
}

// RevokeKey implements humanhours.KeyStore.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) (humanhours.APIKey, bool, error) {
	var key humanhours.APIKey
	found := false
	err := s.write.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, "UPDATE api_keys SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms IS NULL", at.UnixMilli(), id)
		if err != nil {
			return err
		}
		return w.query(ctx, func(scan scan) (err error) {
			key, err = scanKey(scan)
			found = err == nil
			return err
		}, keyByID, id)
	})
	if err != nil {
		return humanhours.APIKey{}, false, err
	}
	return key, found, nil
}

// TouchKey implements humanhours.KeyStore.
func (s *Store) TouchKey(ctx context.Context, id string, at time.Time) error {
	ms := at.UnixMilli()
	return s.write.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, "UPDATE api_keys SET last_used_at_ms = ? WHERE id = ? AND (last_used_at_ms IS NULL OR last_used_at_ms < ?)", ms, id, ms)
		return err
	})
}
