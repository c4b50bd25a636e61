package sqlite

import (
	"context"
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

// page is how many events are read at a time.
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

// Events implements humanhours.Store. It reads pages of 256 events; no statement is open while the caller's loop body runs.
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
		query := s.write.text.pages[pageKind{q.Order, q.Descending}]
		events := make([]humanhours.Event, 0, page)
		for left := q.Limit; ; {
			n := page
			if left > 0 {
				n = min(n, left)
			}
			events = events[:0]
			err := s.read(ctx, func(scan scan) error {
				event, err := scanAmended(scan)
				events = append(events, event)
				return err
			}, query, q.Org, q.Org, first.ms, first.id, last.ms, last.id, n)
			if err != nil {
				yield(humanhours.Event{}, err)
				return
			}
			for i := range events {
				if err := ctx.Err(); err != nil {
					yield(humanhours.Event{}, err)
					return
				}
				at := q.CursorOf(&events[i]) // before the caller can change it
				if !yield(events[i], nil) {
					return
				}
				if q.Descending {
					last = position{at.At.UnixMilli(), at.ID}
				} else {
					first = position{at.At.UnixMilli(), at.ID}
				}
			}
			if left -= len(events); q.Limit > 0 && left <= 0 || len(events) < n {
				return
			}
		}
	}
}

// pageKind is a way to read.
type pageKind struct {
	order      humanhours.EventOrder
	descending bool
}

// pageQueries has a sum as the limit: SQLite looks at a bare parameter there when it plans, and would prepare the statement
// again each time it is bound. Of an org without amendments, as most are, it looks for them once and not at each event.
func pageQueries() map[pageKind]string {
	all := make(map[pageKind]string)
	list := "SELECT " + selected("") + ", CASE WHEN EXISTS (SELECT 1 FROM amendments WHERE org = ?) THEN " + amendmentsOf + " END"
	for order, at := range map[humanhours.EventOrder]string{humanhours.ByOccurred: "occurred_at_ms", humanhours.ByReceived: "received_at_ms"} {
		where := " FROM events WHERE org = ? AND (" + at + ", id) > (?, ?) AND (" + at + ", id) < (?, ?) ORDER BY "
		all[pageKind{order, false}] = list + where + at + ", id LIMIT ? + 0"
		all[pageKind{order, true}] = list + where + at + " DESC, id DESC LIMIT ? + 0"
	}
	return all
}
