package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
)

// Org implements humanhours.OrgStore.
func (s *Store) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	var fields []any
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		got, err := c.HMGet(ctx, s.base(id)+orgKey, "version", "settings").Result()
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			fields = got
		}
		return err
	})
	if err != nil {
		return humanhours.Org{}, false, fmt.Errorf("redis: read org: %w", err)
	}
	if len(fields) != 2 || fields[0] == nil {
		return humanhours.Org{}, false, nil
	}
	version, err := text(fields[0])
	if err != nil {
		return humanhours.Org{}, false, err
	}
	settings, err := text(fields[1])
	if err != nil {
		return humanhours.Org{}, false, err
	}
	var org humanhours.Org
	if err := json.Unmarshal([]byte(settings), &org); err != nil {
		return humanhours.Org{}, false, fmt.Errorf("redis: decode org: %w", err)
	}
	org.ID = id // as it is: JSON would mend invalid UTF-8 in it
	if org.Version, err = strconv.ParseInt(version, 10, 64); err != nil {
		return humanhours.Org{}, false, fmt.Errorf("redis: decode org: %w", err)
	}
	return org, true, nil
}

// UpdateOrg implements humanhours.OrgStore. Nothing is locked while f runs.
func (s *Store) UpdateOrg(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error) {
	for {
		org, found, err := s.Org(ctx, id)
		if err != nil {
			return humanhours.Org{}, err
		}
		if !found {
			org = humanhours.Org{ID: id}
		}
		was := org.Version
		changes, err := f(&org)
		if err != nil {
			return humanhours.Org{}, err
		}
		org.ID, org.Version = id, was+1
		settings, err := json.Marshal(org)
		if err != nil {
			return humanhours.Org{}, fmt.Errorf("redis: encode org: %w", err)
		}
		args := []any{was, org.Version, rand.Text(), (s.cfg.Timeout + time.Minute).Milliseconds(), settings}
		for _, change := range changes {
			line, err := json.Marshal(change)
			if err != nil {
				return humanhours.Org{}, fmt.Errorf("redis: encode change: %w", err)
			}
			args = append(args, line)
		}
		base := s.base(id)
		calls := []call{{script: s.scripts.org, keys: []string{base, base + orgKey}, args: args}}
		s.client.run(ctx, calls)
		if err := calls[0].err; err != nil {
			return humanhours.Org{}, fmt.Errorf("redis: update org: %w", err)
		}
		switch calls[0].answer {
		case "ok":
			return org.Clone(), nil
		case "changed":
		default:
			return humanhours.Org{}, errAnswer
		}
	}
}

// History implements humanhours.OrgStore.
func (s *Store) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	key := s.base(q.Org) + historyKey
	var lines []string
	var first int64
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		last, err := c.LLen(ctx, key).Result()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if q.Before > 0 {
			last = min(last, q.Before-1)
		}
		if first = 0; q.Limit > 0 {
			first = max(0, last-int64(q.Limit))
		}
		if lines = nil; first == last {
			return nil
		}
		// Lines are only ever added at the end, so these places stay what they were.
		got, err := c.LRange(ctx, key, first, last-1).Result()
		if err = errors.Join(err, ctx.Err()); err == nil {
			lines = got
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redis: read history: %w", err)
	}
	var changes []humanhours.Change
	for i, line := range lines {
		var change humanhours.Change
		if err := json.Unmarshal([]byte(line), &change); err != nil {
			return nil, fmt.Errorf("redis: decode change: %w", err)
		}
		change.Seq = first + int64(i) + 1
		changes = append(changes, change)
	}
	return changes, nil
}
