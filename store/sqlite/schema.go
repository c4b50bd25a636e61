package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
)

// applicationID marks the file as ours, in its header: "HHrs".
const applicationID = 0x48487273

//go:embed schema/1.sql
var schema1 string

//go:embed schema/2.sql
var schema2 string

//go:embed schema/3.sql
var schema3 string

//go:embed schema/4.sql
var schema4 string

// steps are the statements that bring a file from version i to version i+1.
func steps() []string { return []string{schema1, schema2, schema3, schema4} }

// standing says what a database is.
type standing struct {
	application, version int64
	objects              int64 // tables, views and indices
}

// look asks in one statement, which sees the database before or after a change of another process, and not a bit of both.
func look(ctx context.Context, q queryer) (s standing, err error) {
	err = q.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), count(*) FROM sqlite_schema").
		Scan(&s.application, &s.version, &s.objects)
	return s, err
}

// check refuses a database that is not ours to write to; newest is the version that this release makes.
func (s standing) check(name string, newest int, upgrade bool) error {
	switch {
	case s.application == 0 && s.version == 0 && s.objects == 0:
		return nil // nobody's
	case s.application != applicationID:
		return fmt.Errorf("sqlite: %s belongs to another application; it is left as it is", name)
	case s.version > int64(newest):
		return fmt.Errorf("sqlite: %s was written by a newer release (schema version %d, this release knows up to %d); it is left as it is",
			name, s.version, newest)
	case s.version < int64(newest) && !upgrade:
		return fmt.Errorf("sqlite: %s is of an older release (schema version %d, this release makes %d); the server of this release upgrades it when it starts, once those of the older one have been stopped",
			name, s.version, newest)
	}
	return nil
}

// inspect checks a file that exists without writing to it.
func inspect(path string, cfg Config, newest int) error {
	found, err := lookAt(path, cfg, "ro")
	if extendedCode(err) == codeReadOnlyRollback {
		// A process was killed in the middle of a change, such as making the file, and only a connection that can write
		// undoes that. Any program that opens the file does.
		found, err = lookAt(path, cfg, "rw")
	}
	if err != nil {
		return err
	}
	return found.check(path, newest, !cfg.NoUpgrade)
}

// lookAt looks at a file through a connection of its own, in a mode of SQLite's URIs.
func lookAt(path string, cfg Config, mode string) (found standing, err error) {
	db, err := sql.Open("sqlite", dsn(path, "mode", mode, "_pragma", "busy_timeout("+strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10)+")"))
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return look(context.Background(), db)
}

// current reports whether there is nothing to migrate. A file that cannot be written to is an error here already, and not only when
// the first event comes.
func (s *Store) current(ctx context.Context) (bool, error) {
	if err := s.write.take(ctx); err != nil {
		return false, err
	}
	defer s.write.release()
	var found standing
	err := s.write.retry(ctx, func() (err error) {
		found, err = look(ctx, s.write.conn)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := found.check(s.name, len(s.steps), !s.cfg.NoUpgrade); err != nil || found.version < int64(len(s.steps)) {
		return false, err
	}
	// A write of nothing. BEGIN IMMEDIATE would be a mere BEGIN on a file that is opened for reading only, as SQLite does when it must.
	_, err = s.write.conn.ExecContext(ctx, "DELETE FROM usage WHERE 0")
	if code(err) == codeBusy { // another one is writing; that this one never can would have been said before
		err = nil
	}
	return err == nil, err
}

// upgrade brings the database up to date in one transaction, and tells the log when that is done.
func (s *Store) upgrade(ctx context.Context) error {
	var from int64
	err := s.write.do(ctx, func(ctx context.Context, w *writer) (err error) {
		from, err = s.migrate(ctx, w)
		return err
	})
	if newest := len(s.steps); err == nil && from > 0 && from < int64(newest) {
		s.cfg.Logger.InfoContext(ctx, "sqlite: upgraded the database", "file", s.name, "from", from, "to", newest)
	}
	return err
}

// migrate runs the steps that are missing and returns the version from before. Another process may have run them since inspect.
func (s *Store) migrate(ctx context.Context, w *writer) (from int64, err error) {
	found, err := look(ctx, w.conn)
	if err != nil {
		return 0, err
	}
	newest := len(s.steps)
	if err := found.check(s.name, newest, !s.cfg.NoUpgrade); err != nil || found.version == int64(newest) {
		return found.version, err
	}
	for i, step := range s.steps[found.version:] {
		_, err := w.conn.ExecContext(ctx, step)
		if err != nil && found.version > 0 {
			return 0, fmt.Errorf("the upgrade from schema version %d failed at the step to %d and left the file as it was; go on with the release that was used before: %w",
				found.version, found.version+int64(i)+1, err)
		}
		if err != nil {
			return 0, err
		}
	}
	for _, pragma := range []string{
		"PRAGMA application_id = " + strconv.Itoa(applicationID),
		"PRAGMA user_version = " + strconv.Itoa(newest),
	} {
		if _, err := w.conn.ExecContext(ctx, pragma); err != nil {
			return 0, err
		}
	}
	return found.version, nil
}
