package sqlite

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// slot is what a log of sums is of: an org and a day of occurrence, UTC.
type slot struct {
	org string
	day int64
}

const dayMS = 24 * 60 * 60 * 1000

func dayOf(ms int64) int64 {
	d := ms / dayMS
	if ms%dayMS < 0 {
		d--
	}
	return d
}

func slotOf(e *humanhours.Event) slot { return slot{e.Org, dayOf(e.OccurredAt.UnixMilli())} }

// blocks are what a transaction adds to the sums.
type blocks map[slot]*rollup.Builder

func (b blocks) of(s slot) *rollup.Builder {
	block := b[s]
	if block == nil {
		block = &rollup.Builder{}
		b[s] = block
	}
	return block
}

// fanout is how many logs of a level become one of the next, up to a level: what is there is of thousands of groups.
const (
	fanout   = 16
	topLevel = 4
)

// maxCounted bounds the slots of which it is remembered how many logs of level 0 there are. Of another one they are counted.
const maxCounted = 10_000

// sum writes what a transaction adds to the sums.
func (w *writer) sum(ctx context.Context, b blocks) error {
	for at, block := range b {
		if err := w.addLog(ctx, at, 0, block.Append(nil)); err != nil {
			return err
		}
		n, known := w.counted[at]
		if n++; !known {
			if len(w.counted) >= maxCounted {
				clear(w.counted)
			}
			err := w.query(ctx, func(scan scan) error { return scan(&n) }, "SELECT count(*) FROM rollups WHERE org = ? AND day = ? AND level = 0", at.org, at.day)
			if err != nil {
				return err
			}
		}
		w.counted[at] = n
		if n < fanout {
			continue
		}
		delete(w.counted, at)
		err := w.merge(ctx, at, 0)
		if rollup.Damaged(err) { // nobody's events are to be refused for that
			if err = w.missing(ctx, at); err == nil {
				_, err = w.exec(ctx, "DELETE FROM rollups WHERE org = ? AND day = ?", at.org, at.day)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// missing has the sums of a slot made anew by the next report that needs them.
func (w *writer) missing(ctx context.Context, at slot) error {
	_, err := w.exec(ctx, "INSERT OR IGNORE INTO rollups_missing (org, day) VALUES (?, ?)", at.org, at.day)
	return err
}

func (w *writer) addLog(ctx context.Context, at slot, level int, log []byte) error {
	if len(log) == 0 {
		return nil
	}
	_, err := w.exec(ctx, "INSERT OR ROLLBACK INTO rollups (org, day, level, log) VALUES (?, ?, ?, ?)", at.org, at.day, level, log)
	return err
}

// merge makes the logs of a level one of the next, if there are enough of them.
func (w *writer) merge(ctx context.Context, at slot, level int) error {
	if level == topLevel {
		return nil
	}
	// The latest of them; together they are not to become longer than is soon read and written.
	const mostBytes = 4 << 20
	n, size, first := 0, int64(0), int64(0)
	err := w.query(ctx, func(scan scan) error {
		var length int64
		err := scan(&first, &length)
		n, size = n+1, size+length
		return err
	}, "SELECT seq, length(log) FROM rollups WHERE org = ? AND day = ? AND level = ? ORDER BY seq DESC LIMIT ? + 0", at.org, at.day, level, fanout)
	if err != nil || n < fanout || size > mostBytes {
		return err
	}
	var logs [][]byte
	err = w.query(ctx, func(scan scan) error {
		var log []byte
		err := scan(&log)
		logs = append(logs, log)
		return err
	}, "SELECT log FROM rollups WHERE org = ? AND day = ? AND level = ? AND seq >= ?", at.org, at.day, level, first)
	if err != nil {
		return err
	}
	merged, err := rollup.Compact(logs...)
	if err != nil {
		return err
	}
	if _, err := w.exec(ctx, "DELETE FROM rollups WHERE org = ? AND day = ? AND level = ? AND seq >= ?", at.org, at.day, level, first); err != nil {
		return err
	}
	if err := w.addLog(ctx, at, level+1, merged); err != nil {
		return err
	}
	return w.merge(ctx, at, level+1)
}

// Rollups implements humanhours.Reporter.
func (s *Store) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	return rollup.Source{
		Groups: func(ctx context.Context, hours rollup.Span) iter.Seq2[rollup.Group, error] {
			return s.logs(ctx, q.Org, hours)
		},
		Events: s.Events,
	}.Rollups(ctx, q)
}

// daysAtOnce bounds what is read at a time.
const daysAtOnce = 16

// logs yields those of a span of hours, day by day.
func (s *Store) logs(ctx context.Context, org string, hours rollup.Span) iter.Seq2[rollup.Group, error] {
	return func(yield func(rollup.Group, error) bool) {
		first, last := int64(math.MinInt64), int64(math.MaxInt64) // days, [first, last)
		if hours.First != math.MinInt64 {
			first = dayOf(hours.First * 3_600_000)
		}
		if hours.Last != math.MaxInt64 {
			last = dayOf(hours.Last*3_600_000-1) + 1
		}
		if err := s.complete(ctx, org, first, last); err != nil {
			yield(rollup.Group{}, err)
			return
		}
		var days []int64
		err := s.read(ctx, func(scan scan) error {
			var day int64
			err := scan(&day)
			days = append(days, day)
			return err
		}, "SELECT DISTINCT day FROM rollups WHERE org = ? AND day >= ? AND day < ? ORDER BY day", org, first, last)
		if err != nil {
			yield(rollup.Group{}, err)
			return
		}
		for part := range slices.Chunk(days, daysAtOnce) {
			groups, err := s.days(ctx, org, part[0], part[len(part)-1])
			if err != nil {
				yield(rollup.Group{}, err)
				return
			}
			for _, group := range groups {
				if !yield(group, nil) {
					return
				}
			}
		}
	}
}

// days reads the logs of some days, the last included.
func (s *Store) days(ctx context.Context, org string, first, last int64) ([]rollup.Group, error) {
	var groups []rollup.Group
	var of int64
	err := s.read(ctx, func(scan scan) error {
		var day int64
		var log []byte
		if err := scan(&day, &log); err != nil {
			return err
		}
		if len(groups) == 0 || day != of {
			of = day
			groups = append(groups, rollup.Group{Count: -1, Again: func(ctx context.Context) (rollup.Group, error) { return s.again(ctx, org, day) }})
		}
		group := &groups[len(groups)-1]
		group.Logs = append(group.Logs, log)
		return nil
	}, "SELECT day, log FROM rollups WHERE org = ? AND day >= ? AND day <= ? ORDER BY day", org, first, last)
	return groups, err
}

// again makes the sums of a day anew, because they are damaged.
func (s *Store) again(ctx context.Context, org string, day int64) (rollup.Group, error) {
	err := s.write.do(ctx, func(ctx context.Context, w *writer) error { return w.missing(ctx, slot{org, day}) })
	if err == nil {
		err = s.complete(ctx, org, day, day+1)
	}
	if err != nil {
		return rollup.Group{}, err
	}
	groups, err := s.days(ctx, org, day, day)
	if err != nil || len(groups) == 0 {
		return rollup.Group{Count: -1}, err
	}
	groups[0].Again = nil
	return groups[0], nil
}

// complete makes the sums that are missing.
func (s *Store) complete(ctx context.Context, org string, first, last int64) error {
	var days []int64
	err := s.read(ctx, func(scan scan) error {
		var day int64
		err := scan(&day)
		days = append(days, day)
		return err
	}, "SELECT day FROM rollups_missing WHERE org = ? AND day >= ? AND day < ?", org, first, last)
	if err != nil {
		return err
	}
	for _, day := range days {
		err := s.write.do(ctx, func(ctx context.Context, w *writer) error { return w.sumUp(ctx, slot{org, day}) })
		if err != nil {
			if ctx.Err() == nil {
				err = fmt.Errorf("sqlite: sum up the events of a day in %s: %w", s.name, err)
			}
			return err
		}
	}
	return nil
}

// sumUp makes the sums of a day from its events.
func (w *writer) sumUp(ctx context.Context, at slot) error {
	for _, table := range []string{"rollups", "rollups_missing"} {
		if _, err := w.exec(ctx, "DELETE FROM "+table+" WHERE org = ? AND day = ?", at.org, at.day); err != nil {
			return err
		}
	}
	delete(w.counted, at)
	const most = 256 << 10 // bytes of a log that more is merged into, and of what is not merged yet
	var block rollup.Builder
	var log []byte
	var full [][]byte
	merge := func() (err error) {
		if len(log) > most {
			full, log = append(full, log), nil
		}
		log, err = rollup.Compact(log, block.Append(nil))
		block = rollup.Builder{}
		return err
	}
	err := w.query(ctx, func(scan scan) error {
		e := humanhours.Event{Org: at.org}
		if err := scanSparse(scan, &e); err != nil {
			return err
		}
		r := e.Rollup()
		if block.Add(&r); block.Len() > most {
			return merge()
		}
		return nil
	}, "SELECT "+sparse+ofAmended+" FROM events WHERE org = ? AND occurred_at_ms >= ? AND occurred_at_ms < ?",
		at.org, at.org, at.day*dayMS, (at.day+1)*dayMS)
	if err != nil {
		return err
	}
	if err := merge(); err != nil {
		return err
	}
	for _, log := range append(full, log) {
		if err := w.addLog(ctx, at, 1, log); err != nil {
			return err
		}
	}
	return nil
}

// Rebuild implements humanhours.Reporter. It makes the sums of one day after the other, and Appends go on between.
func (s *Store) Rebuild(ctx context.Context, org string) error {
	err := s.write.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, "INSERT OR IGNORE INTO rollups_missing (org, day) SELECT org, day FROM rollups WHERE org = ?"+
			" UNION SELECT org, (occurred_at_ms - ((occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000 FROM events WHERE org = ?", org, org)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("sqlite: rebuild the sums in %s: %w", s.name, err)
		}
		return err
	}
	return s.complete(ctx, org, math.MinInt64, math.MaxInt64)
}

// unsum takes events off the sums that retention is about to delete: those that a condition selects. It returns how many they are and a function that is to be
// called when they are deleted, and that takes back what the schema then does for those who delete by hand.
func (w *writer) unsum(ctx context.Context, b blocks, where string, args ...any) (events int64, after func() error, err error) {
	var slots []slot
	err = w.query(ctx, func(scan scan) error {
		var e humanhours.Event
		if err := scanSparse(scan, &e, &e.Org); err != nil {
			return err
		}
		at := slotOf(&e)
		if !slices.Contains(slots, at) {
			slots = append(slots, at)
		}
		b.of(at).Remove(&e)
		events++
		return nil
	}, "SELECT "+sparse+", "+amendmentsOf+", org FROM events WHERE "+where, args...)
	if err != nil {
		return 0, nil, err
	}
	known := make([]slot, 0, len(slots)) // whose sums are there
	for _, at := range slots {
		missing, err := w.has(ctx, "rollups_missing", at)
		if err != nil {
			return 0, nil, err
		}
		if !missing {
			known = append(known, at)
		}
	}
	return events, func() error {
		for _, at := range known {
			if _, err := w.exec(ctx, "DELETE FROM rollups_missing WHERE org = ? AND day = ?", at.org, at.day); err != nil {
				return err
			}
		}
		for _, at := range slots {
			left := false
			err := w.query(ctx, func(scan scan) error { return scan(&left) },
				"SELECT EXISTS (SELECT 1 FROM events WHERE org = ? AND occurred_at_ms >= ? AND occurred_at_ms < ?)", at.org, at.day*dayMS, (at.day+1)*dayMS)
			if err != nil {
				return err
			}
			if !left { // then there are no sums either
				delete(b, at)
				for _, table := range []string{"rollups", "rollups_missing"} {
					if _, err := w.exec(ctx, "DELETE FROM "+table+" WHERE org = ? AND day = ?", at.org, at.day); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}, nil
}

func (w *writer) has(ctx context.Context, table string, at slot) (found bool, err error) {
	err = w.query(ctx, func(scan scan) error { return scan(&found) }, "SELECT EXISTS (SELECT 1 FROM "+table+" WHERE org = ? AND day = ?)", at.org, at.day)
	return found, err
}
