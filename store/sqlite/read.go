package sqlite

import (
	"context"
	"database/sql/driver"
	"iter"
	"math"
	"time"

	"github.com/humanhours/humanhours-go"
)

// Replay implements humanhours.Store.
func (s *Store) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	var replay humanhours.Replay
	err := s.read(ctx, func(scan scan) error {
		h, err := scanHolder(scan)
		replay = humanhours.Replay{Event: *h.event, Found: true, Mismatch: h.fingerprint != q.Fingerprint}
		return err
	}, s.write.text.replay, q.Org, q.Key, q.At.UnixMilli())
	if err != nil {
		return humanhours.Replay{}, err
	}
	return replay, nil
}

// Event implements humanhours.Store.
func (s *Store) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	var event humanhours.Event
	found := false
	err := s.read(ctx, func(scan scan) (err error) {
		event, err = scanAmended(scan)
		found = err == nil
		return err
	}, s.write.text.amended, org, id)
	if err != nil {
		return humanhours.Event{}, false, err
	}
	return event, found, nil
}

// Usage implements humanhours.Store.
func (s *Store) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	var n int64
	err := s.read(ctx, func(scan scan) error { return scan(&n) }, usageQuery, org, month.String())
	return n, err
}

// Agents implements humanhours.Store.
func (s *Store) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	var agents []humanhours.AgentSeen
	err := s.read(ctx, func(scan scan) error {
		var id string
		var first, last int64
		err := scan(&id, &first, &last)
		agents = append(agents, humanhours.AgentSeen{ID: id, First: instant(first), Last: instant(last)})
		return err
	}, "SELECT agent_id, first_occurred_at_ms, last_occurred_at_ms FROM agents WHERE org = ? AND test = ? ORDER BY agent_id", org, test)
	if err != nil {
		return nil, err
	}
	return agents, nil
}

// page is how many whole events are read at a time.
const page = 256

// position is a place in the order of a query.
type position struct {
	ms int64
	id string
}

func (p position) before(o position) bool { return p.ms < o.ms || p.ms == o.ms && p.id < o.id }

// ceilMilli rounds up: events stand on whole milliseconds.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms
}

// Events implements humanhours.Store. It reads a page of events at a time; no statement is open while the caller's loop body runs.
func (s *Store) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		// What is left to read: from first (exclusive upwards, inclusive downwards) to last (exclusive). No event has an empty id.
		first, last := position{ms: math.MinInt64}, position{ms: math.MaxInt64}
		if !q.From.IsZero() {
			first.ms = ceilMilli(q.From)
		}
		if !q.To.IsZero() {
			last.ms = ceilMilli(q.To)
		}
		if !q.After.IsZero() {
			after := position{ms: ceilMilli(q.After.At), id: q.After.ID}
			if after.ms != q.After.At.UnixMilli() {
				after.id = "" // between two milliseconds
			}
			if q.Descending && after.before(last) {
				last = after
			} else if !q.Descending && first.before(after) {
				first = after
			}
		}
		lean := q.Sparse && q.Order == humanhours.ByOccurred
		read, size := s.wholePages(), page
		if lean {
			read, size = s.sparsePages(q.Org), sparsePage
		}
		query := s.write.text.pages[pageKind{q.Order, q.Descending, lean, lean && q.Bare}]
		for left := q.Limit; ; {
			n := size
			if left > 0 {
				n = min(n, left)
			}
			found, event, err := read(ctx, query, q.Org, q.Org, first.ms, first.id, last.ms, last.id, n)
			if err != nil {
				yield(humanhours.Event{}, err)
				return
			}
			for i := range found {
				e, err := event(i)
				if ended := ctx.Err(); ended != nil {
					err = ended
				}
				if err != nil {
					yield(humanhours.Event{}, err)
					return
				}
				at := q.CursorOf(&e) // before the caller can change it
				if !yield(e, nil) {
					return
				}
				if q.Descending {
					last = position{at.At.UnixMilli(), at.ID}
				} else {
					first = position{at.At.UnixMilli(), at.ID}
				}
			}
			if left -= found; q.Limit > 0 && left <= 0 || found < n {
				return
			}
		}
	}
}

// pages reads a page with a query: how many events it has, and each of them.
type pages func(ctx context.Context, query string, args ...any) (found int, event func(i int) (humanhours.Event, error), err error)

func (s *Store) wholePages() pages {
	events := make([]humanhours.Event, 0, page)
	return func(ctx context.Context, query string, args ...any) (int, func(int) (humanhours.Event, error), error) {
		events = events[:0]
		add := func(scan scan) error {
			event, err := scanAmended(scan)
			events = append(events, event)
			return err
		}
		err := s.readRows(ctx, func(row []driver.Value) error { return add(assigned(row)) }, add, query, args...)
		return len(events), func(i int) (humanhours.Event, error) { return events[i], nil }, err
	}
}

func (s *Store) sparsePages(org string) pages {
	var rows [][sparseColumns]driver.Value
	return func(ctx context.Context, query string, args ...any) (int, func(int) (humanhours.Event, error), error) {
		var err error
		rows, err = s.readSparse(ctx, rows[:0], query, args...)
		return len(rows), func(i int) (humanhours.Event, error) {
			e := humanhours.Event{Org: org}
			r := sparseRow{values: rows[i][:]}
			err := r.event(&e)
			return e, err
		}, err
	}
}

// pageKind is a way to read.
type pageKind struct {
	order      humanhours.EventOrder
	descending bool
	sparse     bool
	bare       bool
}

// pageQueries has a sum as the limit: SQLite looks at a bare parameter there when it plans, and would prepare the statement
// again each time it is bound.
func pageQueries() map[pageKind]string {
	all := make(map[pageKind]string)
	for order, at := range map[humanhours.EventOrder]string{humanhours.ByOccurred: "occurred_at_ms", humanhours.ByReceived: "received_at_ms"} {
		where := " FROM events WHERE org = ? AND (" + at + ", id) > (?, ?) AND (" + at + ", id) < (?, ?) ORDER BY "
		for _, list := range []string{selected(""), sparse, bare} {
			kind := pageKind{order: order, sparse: list == sparse || list == bare, bare: list == bare}
			list := "SELECT " + list + ofAmended + where + at
			all[kind] = list + ", id LIMIT ? + 0"
			kind.descending = true
			all[kind] = list + " DESC, id DESC LIMIT ? + 0"
		}
	}
	return all
}
