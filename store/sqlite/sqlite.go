// Package sqlite keeps events, orgs and API keys in one SQLite file: the durable default of a single machine. It needs no cgo.
//
// An event that was answered is on the disk: the file is in WAL mode and synced before Append returns (see Config.Synchronous). Append
// commits all its entries in one transaction, so that many callers share one sync when a group commit (package store) stands in
// front. Any number of processes on one machine may use the file at once; a network file system is no place for it.
//
// The schema is made to be read: one row an event in the table events, one an agent in agents, one a correction of an event in
// amendments, and the views events_readable, monthly_sums and monthly_totals. Orgs, ids and keys are stored byte for byte. A file of an older version is upgraded when it is
// opened, in one transaction; one of a newer version or of another program is refused and left as it is.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/humanhours/humanhours-go"
	driver "modernc.org/sqlite"
)

var (
	_ humanhours.Store    = (*Store)(nil)
	_ humanhours.Reporter = (*Store)(nil)
	_ humanhours.OrgStore = (*Store)(nil)
	_ humanhours.KeyStore = (*Store)(nil)
)

// ErrClosed is what every method answers after Close.
var ErrClosed = errors.New("sqlite: the store is closed")

// Synchronous says when a commit is on the disk.
type Synchronous int

const (
	// Full syncs the file before Append answers: an answered event survives a power loss. It is the default.
	Full Synchronous = iota
	// Normal syncs only at checkpoints. A process that is killed loses nothing, but events that were answered in the last moments
	// before a power loss or a crash of the operating system may be lost. The file is not corrupted by either.
	Normal
)

func (s Synchronous) String() string {
	if s == Normal {
		return "NORMAL"
	}
	return "FULL"
}

// MinRetention is the least Config.Retention.
const MinRetention = 2 * humanhours.IdempotencyWindow

// Config configures a Store. The zero value is right for production.
type Config struct {
	// Synchronous says when a commit is on the disk. Defaults to Full.
	Synchronous Synchronous
	// BusyTimeout is how long a call waits for another handle or process that is writing, once it is its turn: the calls of one Store take turns,
	// and those that wait for theirs wait as long as their contexts. Defaults to 5 seconds.
	BusyTimeout time.Duration
	// Retention is how long events are kept after they were received, by the Entry.At of the events that come, in small steps beside
	// normal writes; counts of months, orgs and their history stay. At least MinRetention. Defaults to 0: for ever.
	Retention time.Duration
	// CheckpointPages is how many pages of 4 KiB the write-ahead log gathers before they are moved to the
	// file. More is faster; fewer keeps the log smaller. Defaults to 16000 (64 MB).
	CheckpointPages int
	// NoUpgrade refuses a file of an older release instead of upgrading it, which would put processes of that release out of service: for
	// tools that are used beside them. Defaults to upgrading.
	NoUpgrade bool
	// Logger hears of upgrades of the file and of connections that had to be given up. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.CheckpointPages == 0 {
		c.CheckpointPages = 16000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Synchronous != Full && c.Synchronous != Normal:
		return errors.New("sqlite: Config.Synchronous must be Full or Normal")
	case c.BusyTimeout < time.Millisecond:
		return errors.New("sqlite: Config.BusyTimeout must be at least a millisecond")
	case c.Retention != 0 && c.Retention < MinRetention:
		return fmt.Errorf("sqlite: Config.Retention must be at least %v, or 0 to keep events for ever", MinRetention)
	case c.CheckpointPages < 1:
		return errors.New("sqlite: Config.CheckpointPages must be at least 1")
	}
	return nil
}

// Store is a humanhours.Store, OrgStore and KeyStore in a SQLite file. Make one with Open or New. It is safe for concurrent use;
// writers take turns, readers do not wait for them.
type Store struct {
	cfg    Config
	name   string   // of the file, for errors
	steps  []string // of the schema
	write  *writer
	reads  *statements // nil: there is one connection, the writer's
	opened []*sql.DB   // what Open opened, readers first
	closed atomic.Bool
}

// Open opens the database file at path, and makes it if there is none; its folder must exist. The path ":memory:" means a
// database that lives as long as the Store. Close it when nobody uses it any more.
func Open(path string, cfg Config) (*Store, error) { return openAt(path, cfg, steps()) }

// openAt is Open of the release that has these steps.
func openAt(path string, cfg Config, steps []string) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if path == ":memory:" {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			return nil, fmt.Errorf("sqlite: %w", err)
		}
		s := &Store{cfg: cfg, name: path, steps: steps, write: newWriter(db, cfg, len(steps), true), opened: []*sql.DB{db}}
		return s.start()
	}
	exists, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil { // connections are made later too, when the working folder may be another
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if exists {
		// Looked at through a connection that cannot write: the last one to close would otherwise move the log of a file
		// that is not ours into it. To read the header with package os instead would drop the locks that other
		// handles of this process have on the file.
		if err := inspect(path, cfg, len(steps)); err != nil {
			return nil, explain(path, err)
		}
	}
	busy := "busy_timeout(" + strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10) + ")"
	db, err := sql.Open("sqlite", dsn(path, "_pragma", busy))
	if err != nil {
		return nil, explain(path, err)
	}
	readers, err := sql.Open("sqlite", dsn(path, "_pragma", busy, "_pragma", "query_only(1)"))
	if err != nil {
		_ = db.Close()
		return nil, explain(path, err)
	}
	n := max(4, runtime.GOMAXPROCS(0))
	readers.SetMaxOpenConns(n)
	readers.SetMaxIdleConns(n)
	s := &Store{
		cfg: cfg, name: path, steps: steps,
		write: newWriter(db, cfg, len(steps), false), reads: newStatements(readers), opened: []*sql.DB{readers, db},
	}
	return s.start()
}

// New returns a Store on a database that the caller opened with the driver of modernc.org/sqlite and closes after the Store. The
// Store keeps one connection for writing and reads on others. The database is the Store's alone: New refuses one that has tables of
// the caller's. It must be set up like this, or New says what is wrong:
//
//	sql.Open("sqlite", "file:hours.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
//
// For a ":memory:" database set db.SetMaxOpenConns(1); the Store then has the only connection, and nobody else gets one before Close.
// Close closes that connection, and the data ends with it.
func New(db *sql.DB, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if _, ok := db.Driver().(*driver.Driver); !ok {
		return nil, fmt.Errorf("sqlite: the database must be opened with the driver of modernc.org/sqlite, not %T", db.Driver())
	}
	s := &Store{cfg: cfg, name: "the database", steps: steps(), write: newWriter(db, cfg, len(steps()), db.Stats().MaxOpenConnections == 1)}
	s.write.foreign = true
	if !s.write.only {
		s.reads = newStatements(db)
	}
	return s.start()
}

// start connects the writer and brings the file up to date.
func (s *Store) start() (*Store, error) {
	ctx := context.Background()    // waiting for another writer is bounded by BusyTimeout; an upgrade takes the time it takes
	current, err := s.current(ctx) // a file that is up to date can be opened while another process writes
	if err == nil && !current {
		err = s.upgrade(ctx)
	}
	if err != nil {
		_ = s.Close()
		return nil, explain(s.name, err)
	}
	return s, nil
}

// Close waits for the write that is under way and closes what Open opened; writes that wait for their turn get ErrClosed. Closing
// again does nothing.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var errs []error
	if s.reads != nil {
		s.reads.close()
	}
	s.write.close()
	for _, db := range s.opened {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// checkPath says in plain words what SQLite would say in a number.
func checkPath(path string) (exists bool, err error) {
	if path == "" {
		return false, errors.New("sqlite: the path of the database is empty")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return false, fmt.Errorf("sqlite: %s is a folder, not a database file", path)
	case err == nil:
		return info.Size() > 0, nil
	case !errors.Is(err, os.ErrNotExist):
		return false, fmt.Errorf("sqlite: %s cannot be reached: %w", path, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return false, fmt.Errorf("sqlite: the folder %s, where the database should be, does not exist", filepath.Dir(path))
	}
	return false, nil
}

// dsn makes a URI of a path, which may have any characters in it, and parameters.
func dsn(path string, parameters ...string) string {
	path = filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		path = "/" + path
	}
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Add(parameters[i], parameters[i+1])
	}
	return "file:" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/") + "?" + values.Encode()
}

// Primary result codes of SQLite, which never change.
const (
	codeBusy       = 5
	codeReadOnly   = 8
	codeIO         = 10
	codeCorrupt    = 11
	codeFull       = 13
	codeCantOpen   = 14
	codeTooBig     = 18
	codeConstraint = 19
	codeNotADB     = 26
)

// codeReadOnlyRollback is an extended one: a change that was not finished must be undone, and the connection may not.
const codeReadOnlyRollback = codeReadOnly | 3<<8

// code returns the primary result code of an error, or 0.
func code(err error) int { return extendedCode(err) & 0xff }

func extendedCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// explain turns what can go wrong while a file is opened into one sentence.
func explain(path string, err error) error {
	switch code(err) {
	case codeNotADB, codeCorrupt:
		return fmt.Errorf("sqlite: %s is not a SQLite database, or is damaged: %w", path, err)
	case codeCantOpen:
		return fmt.Errorf("sqlite: %s cannot be opened; it and its folder must be writable: %w", path, err)
	case codeReadOnly:
		return fmt.Errorf("sqlite: %s cannot be written to; it and its folder must be writable: %w", path, err)
	case codeBusy:
		return fmt.Errorf("sqlite: %s is in use by another program: %w", path, err)
	case codeFull, codeIO:
		return fmt.Errorf("sqlite: the disk of %s is full or failing: %w", path, err)
	}
	if strings.HasPrefix(err.Error(), "sqlite: ") {
		return err
	}
	return fmt.Errorf("sqlite: open %s: %w", path, err)
}
