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

// steps are the statements that bring a file from version i to version i+1.
func steps() []string { return []string{schema1} }

// standing says what a database is.
type standing struct {
	application, version int64
	objects              int64 // tables, views and indices
}

func look(ctx context.Context, q queryer) (s standing, err error) {
	for _, part := range []struct {
		query string
		value *int64
	}{
		{"PRAGMA application_id", &s.application},
		{"PRAGMA user_version", &s.version},
		{"SELECT count(*) FROM sqlite_schema", &s.objects},
	} {
		if err := q.QueryRowContext(ctx, part.query).Scan(part.value); err != nil {
			return s, err
		}
	}
	return s, nil
}

// check refuses a database that is not ours to write to.
func (s standing) check(name string) error {
	newest := int64(len(steps()))
	switch {
	case s.application == 0 && s.version == 0 && s.objects == 0:
		return nil // nobody's
	case s.application != applicationID:
		return fmt.Errorf("sqlite: %s belongs to another application; it is left as it is", name)
	case s.version > newest:
		return fmt.Errorf("sqlite: %s was written by a newer release (schema version %d, this release knows up to %d); it is left as it is",
			name, s.version, newest)
	}
	return nil
}

// inspect checks a file that exists without writing to it.
func inspect(path string, cfg Config) (err error) {
	db, err := sql.Open("sqlite", dsn(path, "mode", "ro", "_pragma", "busy_timeout("+strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10)+")"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	found, err := look(context.Background(), db)
	if err != nil {
		return err
	}
	return found.check(path)
}

// current reports whether there is nothing to migrate.
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
	return found.version == int64(len(steps())), found.check(s.name)
}

// migrate brings the database up to date, within the transaction of its caller. Another process may have done so since inspect.
func (s *Store) migrate(ctx context.Context, w *writer) error {
	found, err := look(ctx, w.conn)
	if err != nil {
		return err
	}
	if err := found.check(s.name); err != nil {
		return err
	}
	all := steps()
	if found.version == int64(len(all)) {
		return nil
	}
	for _, step := range all[found.version:] {
		if _, err := w.conn.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	for _, pragma := range []string{
		"PRAGMA application_id = " + strconv.Itoa(applicationID),
		"PRAGMA user_version = " + strconv.Itoa(len(all)),
	} {
		if _, err := w.conn.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	if found.version > 0 {
		s.cfg.Logger.InfoContext(ctx, "sqlite: upgraded the database", "file", s.name, "from", found.version, "to", len(all))
	}
	return nil
}
