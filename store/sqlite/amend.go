package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/humanhours/humanhours-go"
)

// amendmentsOf is an event's amendments, as a column of a query over events: the bodies with commas between them, NULL if there are none. To
// read them in the same statement is to see the event and them at one time.
const amendmentsOf = "(SELECT group_concat(body, ',' ORDER BY n) FROM amendments AS a WHERE a.org = events.org AND a.event_id = events.id)"

// scanAmended reads an event and amendmentsOf behind it.
func scanAmended(scan scan) (humanhours.Event, error) {
	var bodies sql.NullString
	event, err := scanEvent(scan, &bodies)
	if err != nil || !bodies.Valid {
		return event, err
	}
	event.Amendments, err = humanhours.DecodeAmendments(event.Currency, []byte("["+bodies.String+"]"))
	if err != nil {
		return humanhours.Event{}, fmt.Errorf("sqlite: event %s: %w", event.ID, err)
	}
	return event, nil
}

// Amend implements humanhours.Store.
func (s *Store) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	var amended humanhours.Amended
	err := s.write.do(ctx, func(ctx context.Context, w *writer) (err error) {
		amended, err = w.amend(ctx, &q)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("sqlite: amend an event in %s: %w", s.name, err)
		}
		return humanhours.Amended{}, err
	}
	return amended, nil
}

// amend runs in the transaction.
func (w *writer) amend(ctx context.Context, q *humanhours.AmendQuery) (humanhours.Amended, error) {
	amended, err := w.amended(ctx, q)
	if err != nil || !amended.Found || len(amended.Event.Amendments) != q.Base {
		return amended, err
	}
	a := &q.Amendment
	if a.Kind == humanhours.AmendRedact {
		if err := w.erase(ctx, q.Org, q.ID); err != nil {
			return humanhours.Amended{}, err
		}
	}
	list := humanhours.AppendAmendments(nil, []humanhours.Amendment{*a})
	body := string(list[1 : len(list)-1]) // without the brackets
	_, err = w.exec(ctx, "INSERT INTO amendments (org, event_id, n, kind, at_ms, key_id, reason, body)"+
		" VALUES (?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?)",
		q.Org, q.ID, q.Base+1, string(a.Kind), a.At.UnixMilli(), a.KeyID, a.Reason, body)
	if err != nil {
		return humanhours.Amended{}, err
	}
	if err := w.note(ctx, q.Org, q.Change); err != nil {
		return humanhours.Amended{}, err
	}
	before := amended.Event
	if amended, err = w.amended(ctx, q); err != nil { // as it is read from now on
		return humanhours.Amended{}, err
	}
	amended.Stored = true
	sums := make(blocks)
	sums.of(slotOf(&before)).Amend(before, *a)
	return amended, w.sum(ctx, sums)
}

// erase takes metadata and excerpts out of an event, and has SQLite overwrite them: for this statement only, because groups of appends are a tenth
// slower with it. The pragma works when it is prepared, so it goes past the prepared statements.
func (w *writer) erase(ctx context.Context, org, id string) (err error) {
	was := 0 // a caller's database may have it on: 0 off, 1 on, 2 fast
	if err := w.conn.QueryRowContext(ctx, "PRAGMA secure_delete").Scan(&was); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(ctx, "PRAGMA secure_delete = ON"); err != nil {
		return err
	}
	defer func() {
		_, back := w.conn.ExecContext(ctx, "PRAGMA secure_delete = "+[...]string{"OFF", "ON", "FAST"}[was])
		err = errors.Join(err, back)
	}()
	_, err = w.exec(ctx, "UPDATE events SET metadata = NULL, input_excerpt = NULL, output_excerpt = NULL WHERE org = ? AND id = ?", org, id)
	return err
}

// amended reads the event of a query, as it is now.
func (w *writer) amended(ctx context.Context, q *humanhours.AmendQuery) (amended humanhours.Amended, err error) {
	err = w.query(ctx, func(scan scan) (err error) {
		amended.Event, err = scanAmended(scan)
		amended.Found = err == nil
		return err
	}, w.text.amended, q.Org, q.ID)
	return amended, err
}
