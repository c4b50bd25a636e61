package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/humanhours/humanhours-go"
)

// sparse are the columns of an event that a report needs, as humanhours.EventQuery has it. ofAmended follows them.
const sparse = "id, occurred_at_ms, test, agent_id, task_type, outcome, model, currency, hours_saved_nano, cost_saved_nano, agent_cost_nano, net_saved_nano," +
	" unpriced_model, baseline_source, cost_source, metadata"

// bare are as many, and NULL where a bare event has nothing: each text costs as much as the sums.
const bare = "id, occurred_at_ms, test, NULL, NULL, outcome, model, currency, hours_saved_nano, cost_saved_nano, agent_cost_nano, net_saved_nano," +
	" unpriced_model, NULL, NULL, metadata"

const sparseColumns = 16 + 1 // with ofAmended

// ofAmended is amendmentsOf, which are looked for once and not at each event of an org without any, as most are. Its parameter is the org.
const ofAmended = ", CASE WHEN EXISTS (SELECT 1 FROM amendments WHERE org = ?) THEN " + amendmentsOf + " END"

// sparseRow takes a row apart that has come from the driver. Once a value is not what its column holds, it is bad.
type sparseRow struct {
	values []driver.Value
	bad    bool
}

func (r *sparseRow) next() driver.Value {
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *sparseRow) text() string {
	switch v := r.next().(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	r.bad = true
	return ""
}

func (r *sparseRow) number() int64 {
	n, ok := r.next().(int64)
	r.bad = r.bad || !ok
	return n
}

// nullText and nullNumber are zero for NULL.
func (r *sparseRow) nullText() string {
	if r.values[0] == nil {
		r.next()
		return ""
	}
	return r.text()
}

func (r *sparseRow) nullNumber() sql.NullInt64 {
	if r.values[0] == nil {
		r.next()
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: r.number(), Valid: true}
}

// event fills in e, which has its org.
func (r *sparseRow) event(e *humanhours.Event) error {
	e.ID = r.text()
	e.OccurredAt = instant(r.number())
	e.Test = r.number() != 0
	e.AgentID, e.TaskType, e.Outcome = r.nullText(), r.nullText(), humanhours.Outcome(r.text())
	e.Model, e.Currency = r.nullText(), r.text()
	e.HoursSaved, e.CostSaved = fromNano(r.number()), fromNano(r.number())
	e.AgentCost, e.NetSaved = fromNullNano(r.nullNumber()), fromNano(r.number())
	e.Cost.UnpricedModel = r.nullText()
	e.Baseline.Source, e.Cost.Source = humanhours.BaselineSource(r.nullText()), humanhours.CostSource(r.nullText())
	if metadata := r.nullText(); metadata != "" {
		e.Metadata = json.RawMessage(metadata)
	}
	bodies := r.nullText()
	if r.bad {
		return fmt.Errorf("sqlite: event %s: a column has a value of another type", e.ID)
	}
	if bodies == "" {
		return nil
	}
	var err error
	if e.Amendments, err = humanhours.DecodeAmendments(e.Currency, []byte("["+bodies+"]")); err != nil {
		return fmt.Errorf("sqlite: event %s: %w", e.ID, err)
	}
	return nil
}

// scanRow reads a row of sparse columns through package sql.
func scanRow(scan scan, more ...any) (row [sparseColumns]driver.Value, err error) {
	var values [sparseColumns]any
	targets := make([]any, 0, len(values)+len(more))
	for i := range values {
		targets = append(targets, &values[i])
	}
	err = scan(append(targets, more...)...)
	for i, value := range values {
		row[i] = value
	}
	return row, err
}

// scanSparse reads such a row as an event; e has its org, or more does.
func scanSparse(scan scan, e *humanhours.Event, more ...any) error {
	row, err := scanRow(scan, more...)
	if err != nil {
		return err
	}
	r := sparseRow{values: row[:]}
	return r.event(e)
}

// sparsePage is how many sparse events are read at a time.
const sparsePage = 2048

// readSparse appends the rows of a query of sparse columns. They are small beside the events that they become.
func (s *Store) readSparse(ctx context.Context, rows [][sparseColumns]driver.Value, query string, args ...any) ([][sparseColumns]driver.Value, error) {
	err := s.readRows(ctx, func(row []driver.Value) error {
		rows = append(rows, [sparseColumns]driver.Value(row))
		return nil
	}, func(scan scan) error {
		row, err := scanRow(scan)
		rows = append(rows, row)
		return err
	}, query, args...)
	return rows, err
}

// readRows runs a query beside the writer and calls each for every row, as the driver has it: package sql needs as long to hand a row over as SQLite does
// to find it. Where there is one connection only, it calls scanned instead.
func (s *Store) readRows(ctx context.Context, each func([]driver.Value) error, scanned func(scan) error, query string, args ...any) error {
	db, ok := (*sql.DB)(nil), false
	if s.reads != nil {
		db, ok = s.reads.on.(*sql.DB)
	}
	if !ok || s.closed.Load() || ctx.Err() != nil {
		return s.read(ctx, scanned, query, args...)
	}
	conn, err := db.Conn(ctx)
	if err == nil {
		err = conn.Raw(func(c any) error {
			named := make([]driver.NamedValue, len(args))
			for i, value := range args {
				value, err := driver.DefaultParameterConverter.ConvertValue(value)
				if err != nil {
					return err
				}
				named[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
			}
			return eachRow(ctx, c, query, named, each)
		})
		err = errors.Join(err, conn.Close())
	}
	if ended := ctx.Err(); err != nil && ended != nil {
		return ended // SQLite only says that it was interrupted
	}
	if err != nil {
		return fmt.Errorf("sqlite: read %s: %w", s.name, err)
	}
	return nil
}

// eachRow runs a query on a connection of the driver.
func eachRow(ctx context.Context, conn any, query string, args []driver.NamedValue, each func([]driver.Value) error) (err error) {
	stmt, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// assigned is the Scan of a row of the driver, for what the columns of events are scanned into.
func assigned(row []driver.Value) scan {
	return func(dest ...any) error {
		for i, to := range dest {
			if !assign(to, row[i]) {
				return fmt.Errorf("sqlite: column %d: a value of type %T where %T is wanted", i, row[i], to)
			}
		}
		return nil
	}
}

func assign(to any, value driver.Value) bool {
	switch to := to.(type) {
	case *sql.NullString:
		*to = sql.NullString{}
		return value == nil || assign(&to.String, value) && assign(&to.Valid, int64(1))
	case *sql.NullInt64:
		*to = sql.NullInt64{}
		return value == nil || assign(&to.Int64, value) && assign(&to.Valid, int64(1))
	case *string:
		return assignText(to, value)
	case *humanhours.Outcome:
		return assignText(to, value)
	case *humanhours.BaselineSource:
		return assignText(to, value)
	case *humanhours.RateSource:
		return assignText(to, value)
	case *humanhours.CostSource:
		return assignText(to, value)
	case *int64:
		n, ok := value.(int64)
		*to = n
		return ok
	case *int32:
		n, ok := value.(int64)
		*to = int32(n)
		return ok && int64(*to) == n
	case *bool:
		n, ok := value.(int64)
		*to = n != 0
		return ok
	}
	return false
}

func assignText[T ~string](to *T, value driver.Value) bool {
	switch value := value.(type) {
	case string:
		*to = T(value)
		return true
	case []byte:
		*to = T(value)
		return true
	}
	return false
}
