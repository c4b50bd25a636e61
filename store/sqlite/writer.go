package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// queryer is what *sql.DB and *sql.Conn have in common.
type queryer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// statements keeps prepared statements by their text. SQLite needs longer to prepare a statement of many columns than to run it.
type statements struct {
	on queryer

	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

func newStatements(on queryer) *statements {
	return &statements{on: on, prepared: make(map[string]*sql.Stmt)}
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.prepared[query]; ok {
		return stmt, nil
	}
	stmt, err := s.on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.prepared[query] = stmt
	return stmt, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.prepared {
		_ = stmt.Close() // nothing is lost with a statement
	}
	clear(s.prepared)
}

// writer is the connection that writes. Only who has the turn may touch what is below it.
type writer struct {
	db      *sql.DB
	cfg     Config
	only    bool // the database's only connection: it reads too, and is never given up
	foreign bool // the caller's database: its settings are checked, not made

	text   queries
	newest int // version of the schema that this release makes

	turn     chan struct{} // holds one token while it is taken
	closing  chan struct{} // closed by close
	conn     *sql.Conn
	stmts    *statements
	commands map[string]driver.Stmt // prepared, by their text
	args     []driver.NamedValue    // of the command that runs
	bound    []any                  // rows of the group that is written
	lookedAt int64                  // the last event that the retention has gone round to
	counted  map[slot]int           // logs of level 0, as far as this connection knows
	closed   bool
}

func newWriter(db *sql.DB, cfg Config, newest int, only bool) *writer {
	if only {
		db.SetMaxOpenConns(1)
	}
	return &writer{db: db, cfg: cfg, newest: newest, only: only, text: newQueries(), counted: make(map[slot]int), turn: make(chan struct{}, 1), closing: make(chan struct{})}
}

// take waits for the turn.
func (w *writer) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}
	if w.closed {
		<-w.turn
		return ErrClosed
	}
	if err := w.connect(ctx); err != nil {
		<-w.turn
		return err
	}
	return nil
}

// keptRows is for how many rows memory is kept from one Append to the next: those of a group of the usual size.
const keptRows = 256

func (w *writer) release() {
	clear(w.bound) // keep nobody's metadata alive
	if w.bound = w.bound[:0]; cap(w.bound) > keptRows*len(columns) {
		w.bound = nil
	}
	<-w.turn
}

func (w *writer) close() {
	close(w.closing)
	w.turn <- struct{}{}
	defer w.release()
	w.closed = true
	w.disconnect()
}

// connect makes the connection, if there is none. The statements on it run to their end whatever becomes of ctx: they
// are short, and to interrupt one costs a goroutine for each.
func (w *writer) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	w.conn, w.stmts, w.commands = conn, newStatements(conn), make(map[string]driver.Stmt)
	if err := w.configure(ctx); err != nil {
		w.disconnect()
		return err
	}
	return nil
}

// disconnect closes the connection. It does not go back to the pool: its settings are those of a writer.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	w.stmts.close()
	_ = w.conn.Raw(func(any) error {
		for _, command := range w.commands {
			_ = command.Close() // nothing is lost with a statement
		}
		return driver.ErrBadConn
	})
	_ = w.conn.Close()
	w.conn, w.stmts, w.commands = nil, nil, nil
}

func (w *writer) configure(ctx context.Context) error {
	background := context.WithoutCancel(ctx)
	var timeout, synchronous int64
	var journal, encoding string
	for pragma, value := range map[string]any{
		"busy_timeout": &timeout, "synchronous": &synchronous, "journal_mode": &journal, "encoding": &encoding,
	} {
		if err := w.conn.QueryRowContext(background, "PRAGMA "+pragma).Scan(value); err != nil {
			return err
		}
	}
	switch {
	case encoding != "UTF-8":
		return fmt.Errorf("sqlite: the database is in %s; it must be in UTF-8", encoding)
	case !w.foreign:
	case journal != "wal" && !w.only:
		return fmt.Errorf("sqlite: the database is in journal mode %s; open it with _pragma=journal_mode(WAL)", journal)
	case w.cfg.Synchronous == Full && synchronous < 2, synchronous < 1:
		return fmt.Errorf("sqlite: the database does not sync as Config.Synchronous says; open it with _pragma=synchronous(%s)", w.cfg.Synchronous)
	case timeout < 1 && !w.only:
		return errors.New("sqlite: the database does not wait for other writers; open it with _pragma=busy_timeout(5000)")
	}
	// This connection waits in retry, where a context can end it, and not inside SQLite. Its cache is 16 MB: a commit that has split a page
	// of an index goes through all of it, which outweighs what a larger one saves.
	settings := []string{
		"PRAGMA busy_timeout = 0",
		fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", w.cfg.CheckpointPages),
		"PRAGMA cache_size = -16000",
		"PRAGMA temp_store = MEMORY",
	}
	if !w.foreign {
		settings = append(settings, "PRAGMA synchronous = "+w.cfg.Synchronous.String())
	}
	for _, setting := range settings {
		if _, err := w.conn.ExecContext(background, setting); err != nil {
			return err
		}
	}
	if w.foreign || w.only {
		return nil
	}
	return w.retry(ctx, func() error {
		if err := w.conn.QueryRowContext(background, "PRAGMA journal_mode = WAL").Scan(&journal); err != nil {
			return err
		}
		if journal != "wal" {
			return fmt.Errorf("sqlite: the file cannot be put into WAL mode (it stays in mode %s); is it on a network file system?", journal)
		}
		return nil
	})
}

// retry calls f until it does not answer that another connection has the lock, for the busy timeout at most.
func (w *writer) retry(ctx context.Context, f func() error) error {
	var deadline time.Time
	wait := 50 * time.Microsecond
	for {
		err := f()
		if code(err) != codeBusy {
			return err
		}
		now := time.Now()
		if deadline.IsZero() {
			deadline = now.Add(w.cfg.BusyTimeout)
		}
		if now.After(deadline) {
			return fmt.Errorf("sqlite: another process has been writing for %v: %w", w.cfg.BusyTimeout, err)
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		wait = min(2*wait, 5*time.Millisecond)
	}
}

// do runs f in a transaction that no other writer is beside, and commits it. f gets a context that does not end; when ctx has
// ended before the commit, nothing is stored.
func (w *writer) do(ctx context.Context, f func(context.Context, *writer) error) error {
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.release()
	background := context.WithoutCancel(ctx)
	begin := func() error {
		_, err := w.exec(background, "BEGIN IMMEDIATE")
		return err
	}
	if err := w.retry(ctx, begin); err != nil {
		w.recover(background, err)
		return err
	}
	finished := false
	defer func() {
		if !finished { // also when f panics
			w.rollback(background)
		}
	}()
	if err := w.checkVersion(background); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f(background, w); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := w.exec(background, "COMMIT"); err != nil {
		return err
	}
	finished = true
	return nil
}

// checkVersion refuses to write where a newer release has upgraded the file since it was opened: what is missing in rows of this one may be
// what that relies on.
func (w *writer) checkVersion(ctx context.Context) error {
	var version int
	err := w.query(ctx, func(scan scan) error { return scan(&version) }, "SELECT user_version FROM pragma_user_version")
	if err == nil && version > w.newest {
		err = fmt.Errorf("a newer release has upgraded the file since (to schema version %d, this release knows up to %d): restart with that release", version, w.newest)
	}
	return err
}

func (w *writer) rollback(ctx context.Context) {
	// SQLite itself has rolled back after some errors, such as a full disk.
	if _, err := w.exec(ctx, "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		w.giveUp(ctx, err)
	}
}

// recover looks after a BEGIN that failed for another reason than a lock.
func (w *writer) recover(ctx context.Context, err error) {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "within a transaction") {
		w.giveUp(ctx, err)
	}
}

// giveUp closes a connection of which nobody knows the state. The next write makes another.
func (w *writer) giveUp(ctx context.Context, err error) {
	if w.only {
		return // it has all the data
	}
	w.cfg.Logger.WarnContext(ctx, "sqlite: gave up the connection that writes", "error", err)
	w.disconnect()
}

// exec runs a prepared statement that answers no rows. It goes to the driver itself: package sql makes new arguments for each
// statement, which for an insert of some hundred values costs more than SQLite does.
func (w *writer) exec(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	w.args = w.args[:0]
	for i, value := range args {
		switch value.(type) {
		case nil, int64, string, []byte:
		default:
			if value, err = driver.DefaultParameterConverter.ConvertValue(value); err != nil {
				return nil, err
			}
		}
		w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	err = w.conn.Raw(func(conn any) error {
		command, ok := w.commands[query]
		if !ok {
			if command, err = conn.(driver.ConnPrepareContext).PrepareContext(ctx, query); err != nil {
				return err
			}
			w.commands[query] = command
		}
		result, err = command.(driver.StmtExecContext).ExecContext(ctx, w.args)
		return err
	})
	clear(w.args) // keep nobody's metadata alive
	return result, err
}

// query runs a prepared statement and calls each for every row.
func (w *writer) query(ctx context.Context, each func(scan) error, query string, args ...any) error {
	return w.stmts.query(ctx, each, query, args...)
}

// scan is the Scan of a row.
type scan func(dest ...any) error

// query runs a prepared statement and calls each for every row. No row is open when it returns.
func (s *statements) query(ctx context.Context, each func(scan) error, query string, args ...any) (err error) {
	stmt, err := s.get(ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// read runs a query beside the writer, or in its turn if there is one connection only.
func (s *Store) read(ctx context.Context, each func(scan) error, query string, args ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return ErrClosed
	}
	var err error
	if s.reads != nil {
		err = s.reads.query(ctx, each, query, args...)
	} else {
		if err = s.write.take(ctx); err != nil {
			return err
		}
		defer s.write.release()
		err = s.write.query(ctx, each, query, args...)
	}
	if ended := ctx.Err(); err != nil && ended != nil {
		return ended // SQLite only says that it was interrupted
	}
	if err != nil {
		return fmt.Errorf("sqlite: read %s: %w", s.name, err)
	}
	return nil
}
