package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
)

// All API keys are in one hash slot: an id belongs to no org until it is looked up, and an id and the list of its org are
// written in one step. They are few, and Keys remembers them. "#" is in no tag of an org.
const (
	apiKeysTag = "{#keys}"
	apiKeys    = ":k"  // hash: id -> key, and what happened to it
	apiKeysOf  = ":o:" // and the tag of an org: set of ids
)

func (s *Store) keysBase() string { return s.cfg.Prefix + apiKeysTag }

// Fields of the hash that say what happened to a key, behind its id. They win over what the key itself says.
const (
	revokedField = ":revoked"
	usedField    = ":used"
)

// storedKey is a key as it is written. Any bytes are an org, and not all of them are JSON.
type storedKey struct {
	humanhours.APIKey
	Org []byte `json:"org"`
}

func decodeKey(id, settings, revoked, used string) (humanhours.APIKey, error) {
	var k storedKey
	if err := json.Unmarshal([]byte(settings), &k); err != nil {
		return humanhours.APIKey{}, fmt.Errorf("redis: decode API key: %w", err)
	}
	key := k.APIKey
	key.ID, key.Org = id, string(k.Org)
	for _, field := range [...]struct {
		text string
		to   *time.Time
	}{{revoked, &key.RevokedAt}, {used, &key.LastUsedAt}} {
		if field.text == "" {
			continue
		}
		ms, err := strconv.ParseInt(field.text, 10, 64)
		if err != nil {
			return humanhours.APIKey{}, fmt.Errorf("redis: decode API key: %w", err)
		}
		*field.to = time.UnixMilli(ms).UTC()
	}
	return key, nil
}

// keyCall calls key.lua.
func (s *Store) keyCall(ctx context.Context, id string, args ...any) (key humanhours.APIKey, what string, err error) {
	base := s.keysBase()
	calls := []call{{script: s.scripts.key, keys: []string{base, base + apiKeys}, args: args}}
	s.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return key, "", fmt.Errorf("redis: write API key: %w", err)
	}
	list, ok := calls[0].answer.([]any)
	if !ok || len(list) != 4 && len(list) != 0 {
		return key, "", errAnswer
	}
	if len(list) == 0 {
		return key, "", nil
	}
	var parts [4]string
	for i := range parts {
		if parts[i], err = text(list[i]); err != nil {
			return key, "", err
		}
	}
	key, err = decodeKey(id, parts[0], parts[1], parts[2])
	return key, parts[3], err
}

// PutKey implements humanhours.KeyStore.
func (s *Store) PutKey(ctx context.Context, key humanhours.APIKey) (stored humanhours.APIKey, created bool, err error) {
	revoked, used := milliseconds(key.RevokedAt), milliseconds(key.LastUsedAt)
	key.CreatedAt, key.RevokedAt, key.LastUsedAt = instant(key.CreatedAt), time.Time{}, time.Time{}
	settings, err := json.Marshal(storedKey{APIKey: key, Org: []byte(key.Org)})
	if err != nil {
		return humanhours.APIKey{}, false, fmt.Errorf("redis: encode API key: %w", err)
	}
	stored, what, err := s.keyCall(ctx, key.ID, "put", key.ID, settings, rand.Text(), apiKeysOf+tag(key.Org), revoked, used)
	if err != nil {
		return humanhours.APIKey{}, false, err
	}
	return stored, what == "created", nil
}

// milliseconds is an instant as a field has it; nothing if it is zero.
func milliseconds(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// RevokeKey implements humanhours.KeyStore.
func (s *Store) RevokeKey(ctx context.Context, id string, at time.Time) (humanhours.APIKey, bool, error) {
	key, what, err := s.keyCall(ctx, id, "revoke", id, at.UnixMilli())
	if err != nil || what == "" {
		return humanhours.APIKey{}, false, err
	}
	return key, true, nil
}

// TouchKey implements humanhours.KeyStore.
func (s *Store) TouchKey(ctx context.Context, id string, at time.Time) error {
	_, _, err := s.keyCall(ctx, id, "touch", id, at.UnixMilli())
	return err
}

// Key implements humanhours.KeyStore.
func (s *Store) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	keys, err := s.readKeys(ctx, []string{id})
	if err != nil || len(keys) == 0 {
		return humanhours.APIKey{}, false, err
	}
	return keys[0], true, nil
}

// Keys implements humanhours.KeyStore.
func (s *Store) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	var ids []string
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		var got []string
		var err error
		if org == "" {
			got, err = c.HKeys(ctx, s.keysBase()+apiKeys).Result()
			got = slices.DeleteFunc(got, func(field string) bool { return strings.Contains(field, ":") })
		} else {
			got, err = c.SMembers(ctx, s.keysBase()+apiKeysOf+tag(org)).Result()
		}
		if err = errors.Join(err, ctx.Err()); err == nil {
			ids = got
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redis: read API keys: %w", err)
	}
	keys, err := s.readKeys(ctx, ids)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b humanhours.APIKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// HasKeys reports whether there is any API key, revoked ones too.
func (s *Store) HasKeys(ctx context.Context) (bool, error) {
	found := false
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		n, err := c.Exists(ctx, s.keysBase()+apiKeys).Result()
		if err = errors.Join(err, ctx.Err()); err == nil {
			found = n > 0
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("redis: read API keys: %w", err)
	}
	return found, nil
}

// readKeys returns those keys that there are.
func (s *Store) readKeys(ctx context.Context, ids []string) ([]humanhours.APIKey, error) {
	if len(ids) == 0 {
		return nil, ctx.Err()
	}
	const each = 3
	fields := make([]string, 0, each*len(ids))
	for _, id := range ids {
		fields = append(fields, id, id+revokedField, id+usedField)
	}
	var values []any
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		got, err := c.HMGet(ctx, s.keysBase()+apiKeys, fields...).Result()
		if err = errors.Join(err, ctx.Err()); err == nil {
			values = got
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redis: read API keys: %w", err)
	}
	if len(values) != len(fields) {
		return nil, errAnswer
	}
	var keys []humanhours.APIKey
	for i, id := range ids {
		settings, ok := values[each*i].(string)
		if !ok {
			continue
		}
		revoked, _ := values[each*i+1].(string)
		used, _ := values[each*i+2].(string)
		key, err := decodeKey(id, settings, revoked, used)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
