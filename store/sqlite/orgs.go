package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/humanhours/humanhours-go"
)

// errMeanwhile says that somebody else has updated the org.
var errMeanwhile = errors.New("sqlite: the org was updated meanwhile")

// Org implements humanhours.OrgStore.
func (s *Store) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	org := humanhours.Org{ID: id}
	found := false
	err := s.read(ctx, func(scan scan) error {
		var version int64
		var settings []byte
		if err := scan(&version, &settings); err != nil {
			return err
		}
		found = true
		err := json.Unmarshal(settings, &org)
		org.ID, org.Version = id, version // the id as it is: JSON would mend invalid UTF-8 in it
		return err
	}, "SELECT version, settings FROM orgs WHERE id = ?", id)
	if err != nil || !found {
		return humanhours.Org{}, false, err
	}
	return org, true, nil
}

// UpdateOrg implements humanhours.OrgStore. f runs outside any transaction, so it may call the store.
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
			return humanhours.Org{}, fmt.Errorf("sqlite: encode org: %w", err)
		}
		err = s.write.do(ctx, func(ctx context.Context, w *writer) error { return putOrg(ctx, w, &org, settings, changes) })
		switch {
		case errors.Is(err, errMeanwhile):
			continue
		case err != nil:
			return humanhours.Org{}, err
		}
		return org.Clone(), nil
	}
}

// putOrg stores an org if its version is the next one.
func putOrg(ctx context.Context, w *writer, org *humanhours.Org, settings []byte, changes []humanhours.Change) error {
	query, args := "INSERT INTO orgs (version, settings, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", []any{org.Version, string(settings), org.ID}
	if org.Version > 1 {
		query = "UPDATE orgs SET version = ?, settings = ? WHERE id = ? AND version = ?"
		args = append(args, org.Version-1)
	}
	result, err := w.exec(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errMeanwhile, err)
	}
	return w.note(ctx, org.ID, changes...)
}

// note appends changes to the history of an org, which need not have settings.
func (w *writer) note(ctx context.Context, org string, changes ...humanhours.Change) error {
	for _, c := range changes {
		_, err := w.exec(ctx, "INSERT INTO org_history (org, at_ms, key_id, subject, old, new, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
			org, c.At.UnixMilli(), c.KeyID, c.Subject, c.Old, c.New, c.Reason)
		if err != nil {
			return err
		}
	}
	return nil
}

// History implements humanhours.OrgStore.
func (s *Store) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	before, limit := q.Before, int64(q.Limit)
	if before == 0 {
		before = math.MaxInt64
	}
	if limit == 0 {
		limit = -1 // no limit
	}
	var changes []humanhours.Change
	err := s.read(ctx, func(scan scan) error {
		var c humanhours.Change
		var at int64
		err := scan(&c.Seq, &at, &c.KeyID, &c.Subject, &c.Old, &c.New, &c.Reason)
		c.At = instant(at)
		changes = append(changes, c)
		return err
	}, "SELECT seq, at_ms, key_id, subject, old, new, reason FROM org_history WHERE org = ? AND seq < ? ORDER BY seq DESC LIMIT ?", q.Org, before, limit)
	if err != nil {
		return nil, err
	}
	slices.Reverse(changes)
	return changes, nil
}
