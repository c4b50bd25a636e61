package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"
)

// perEntry is how many rows an entry that is stored may delete. More than one, so that a backlog shrinks; few, so that none waits for it.
const perEntry = 2

// slack is how long a key is kept after it has expired, in milliseconds: another window, at least an hour. An entry whose At is before
// the expiry may come late, from a process that was slow or whose clock is behind.
func slack(window int64) int64 { return max(window, time.Hour.Milliseconds()) }

// forget deletes a few keys and events whose time is over. Time is that of the entry that is furthest behind, so that one
// clock that is ahead does not take keys from the others in its group.
func (s *Store) forget(ctx context.Context, w *writer, g *group) error {
	rows := len(g.events)
	if rows == 0 {
		return nil
	}
	now := int64(math.MaxInt64)
	for i := range g.entries {
		if g.results[i].Err == nil {
			now = min(now, g.entries[i].At.UnixMilli())
		}
	}
	// The limits are sums for the reason that pageQueries tells.
	_, err := w.exec(ctx, "DELETE FROM idempotency WHERE seq IN (SELECT seq FROM idempotency WHERE forget_at_ms <= ? ORDER BY forget_at_ms LIMIT ? + 0)",
		now, perEntry*rows)
	if err != nil || s.cfg.Retention == 0 {
		return err
	}
	// Events are stored nearly in the order of their receipt, so the oldest are at the start of the table and no index is needed to
	// find them. Some that stand in the way, from a clock that was ahead, are stepped over; and so that many of those stop nothing,
	// a second look goes round through the whole table while the first finds nothing.
	deleted, err := s.forgetFrom(ctx, w, g, 0, now, rows)
	if err != nil || deleted > 0 {
		return err
	}
	if deleted, err = s.forgetFrom(ctx, w, g, w.lookedAt, now, rows); err != nil || deleted > 0 {
		return err // there may be more
	}
	var last sql.NullInt64
	var seen int
	err = w.query(ctx, func(scan scan) error { return scan(&last, &seen) },
		"SELECT max(seq), count(*) FROM (SELECT seq FROM events WHERE seq > ? ORDER BY seq LIMIT ? + 0)", w.lookedAt, perEntry*rows+stepOver)
	if err != nil {
		return err
	}
	if w.lookedAt = last.Int64; seen < perEntry*rows+stepOver { // the end
		w.lookedAt = 0
	}
	return nil
}

// stepOver is how many events a look goes through beyond those that it may delete.
const stepOver = 64

// forgetFrom deletes a few of the events behind seq that are older than the retention, and says how many. Their amendments go with them, by a
// trigger of the schema: they do not count as rows, but an event has few.
func (s *Store) forgetFrom(ctx context.Context, w *writer, g *group, seq, now int64, rows int) (deleted int64, err error) {
	const old = "seq IN (SELECT seq FROM (SELECT seq, received_at_ms FROM events WHERE seq > ? ORDER BY seq LIMIT ? + 0) WHERE received_at_ms < ? LIMIT ? + 0)"
	args := []any{seq, perEntry*rows + stepOver, now - s.cfg.Retention.Milliseconds(), perEntry * rows}
	deleted, after, err := w.unsum(ctx, g.sums, old, args...)
	if err != nil || deleted == 0 {
		return 0, err
	}
	if _, err := w.exec(ctx, "DELETE FROM events WHERE "+old, args...); err != nil {
		return 0, err
	}
	return deleted, after()
}
