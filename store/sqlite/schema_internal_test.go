package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// release3 has two steps more than the release of version 1.
func release3() []string {
	return []string{schema1,
		"ALTER TABLE events ADD COLUMN team TEXT; UPDATE events SET team = 'team of ' || agent_id",
		"CREATE INDEX events_by_team ON events (org, team)",
	}
}

func release1() []string { return release3()[:1] }

func openRelease(t *testing.T, path string, release []string, log *bytes.Buffer) *Store {
	t.Helper()
	s, err := openAt(path, logged(log), release)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// logged writes to log, if there is one.
func logged(log *bytes.Buffer) Config {
	if log == nil {
		return Config{Logger: slog.New(slog.DiscardHandler)}
	}
	return Config{Logger: slog.New(slog.NewTextHandler(log, nil))}
}

// events is more than one page of a reader.
const events = page + 44

// version1 makes a file of version 1 that nobody has open.
func version1(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hours.db")
	s := openRelease(t, path, release1(), nil)
	fill(t, s, 0, events)
	closeAll(t, s)
	return path
}

func fill(t *testing.T, s *Store, i, n int) {
	t.Helper()
	group := make([]humanhours.Entry, n)
	for j := range group {
		group[j] = storetest.Entry("acme", i+j)
	}
	for _, got := range s.Append(t.Context(), group) {
		if got.Err != nil {
			t.Fatal(got.Err)
		}
	}
}

func closeAll(t *testing.T, stores ...*Store) {
	t.Helper()
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// holds checks that the store has the first n events and that version of the schema.
func holds(t *testing.T, s *Store, n int, version int64) {
	t.Helper()
	i, used := 0, make(map[humanhours.Month]int64)
	for got, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		want := storetest.Event("acme", i)
		if found, ok, err := s.Event(t.Context(), "acme", want.ID); err != nil || !ok || !found.Equal(&want) {
			t.Fatalf("event %d: found %t, error %v", i, ok, err)
		}
		used[humanhours.MonthOf(got.ReceivedAt)]++
		i++
	}
	if i != n {
		t.Fatalf("%d events, want %d", i, n)
	}
	for month, want := range used {
		if got, err := s.Usage(t.Context(), "acme", month); err != nil || got != want {
			t.Fatalf("%d events are counted in %s, want %d (%v)", got, month, want, err)
		}
	}
	found, err := look(t.Context(), s.reads.on)
	if err != nil || found.version != version || found.application != applicationID {
		t.Fatalf("%+v, want version %d (%v)", found, version, err)
	}
}

func ask(t *testing.T, s *Store, query string) (answer string) {
	t.Helper()
	if err := s.reads.on.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// upgraded checks what the steps to version 3 made of n events.
func upgraded(t *testing.T, s *Store, n int) {
	t.Helper()
	holds(t, s, n, 3)
	for query, want := range map[string]string{
		"SELECT count(*) FROM events WHERE team IS NULL OR team <> 'team of ' || agent_id": "0",
		"SELECT count(*) FROM sqlite_schema WHERE name = 'events_by_team'":                 "1",
		"PRAGMA integrity_check": "ok",
	} {
		if got := ask(t, s, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	path := version1(t)
	var log bytes.Buffer
	s := openRelease(t, path, release3(), &log)
	upgraded(t, s, events)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "upgraded the database") ||
		!strings.Contains(got, path) || !strings.Contains(got, "from=1 to=3") {
		t.Errorf("the log says %q", got)
	}
	closeAll(t, s)
	log.Reset()
	upgraded(t, openRelease(t, path, release3(), &log), events)
	holds(t, openRelease(t, filepath.Join(t.TempDir(), "new.db"), release3(), &log), 0, 3)
	if log.Len() > 0 { // a file that is up to date, and one that was just made
		t.Errorf("the log says %q", log.String())
	}
}

func TestAnUpgradeThatFailsLeavesTheFile(t *testing.T) {
	path := version1(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"INSERT INTO nowhere VALUES (1)", "CREATE UNIQUE INDEX one ON events (org)", "no SQL"} {
		var log bytes.Buffer
		_, err := openAt(path, logged(&log), append(release3()[:2], step))
		if err == nil {
			t.Fatalf("%s: no error", step)
		}
		if got := err.Error(); strings.Contains(got, "\n") || !strings.HasPrefix(got, "sqlite: open "+path+": ") ||
			!strings.Contains(got, "from schema version 1 failed at the step to 3 and left the file as it was; go on with the release that was used before") {
			t.Errorf("%s: %q", step, got)
		}
		if log.Len() > 0 {
			t.Errorf("the log says %q", log.String())
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Fatalf("%s: the file was changed (%v)", step, err)
		}
	}
	old := openRelease(t, path, release1(), nil)
	holds(t, old, events, 1)
	fill(t, old, events, 1)
	closeAll(t, old)
	upgraded(t, openRelease(t, path, release3(), nil), events+1)
}

// A process that dies before the commit leaves what a copy of its files has, with all the steps in the log.
func TestAnUpgradeThatIsKilledLeavesTheFile(t *testing.T) {
	path := version1(t)
	s := openRelease(t, path, release1(), nil)
	s.steps = release3()
	copied := filepath.Join(t.TempDir(), "copy.db")
	errKilled := errors.New("killed")
	err := s.write.do(t.Context(), func(ctx context.Context, w *writer) error {
		if _, err := w.conn.ExecContext(ctx, "PRAGMA cache_size = 2"); err != nil { // so that the log has it now, and not at the commit
			return err
		}
		if _, err := s.migrate(ctx, w); err != nil {
			return err
		}
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(path + suffix)
			if err != nil {
				return err
			}
			if err := os.WriteFile(copied+suffix, content, 0o600); err != nil {
				return err
			}
			if len(content) < 10*4096 {
				t.Errorf("hours.db%s has %d bytes: there is little to copy", suffix, len(content))
			}
		}
		return errKilled
	})
	if !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	old := openRelease(t, copied, release1(), nil)
	holds(t, old, events, 1)
	if got := ask(t, old, "PRAGMA integrity_check"); got != "ok" {
		t.Error(got)
	}
	closeAll(t, old)
	upgraded(t, openRelease(t, copied, release3(), nil), events)
}

func TestOneOfManyUpgrades(t *testing.T) {
	const handles = 4
	each := func(f func(i int)) {
		var all sync.WaitGroup
		for i := range handles {
			all.Go(func() { f(i) })
		}
		all.Wait()
	}
	var log bytes.Buffer // the handler lets one write at a time
	cfg := logged(&log)
	once := func(path string) {
		t.Helper()
		if n := strings.Count(log.String(), "upgraded the database"); n != 1 {
			t.Errorf("%d upgrades: %s", n, log.String())
		}
		log.Reset()
		upgraded(t, openRelease(t, path, release3(), nil), events)
	}
	t.Run("all have seen version 1", func(t *testing.T) {
		path := version1(t)
		var stores [handles]*Store
		for i := range stores {
			s, err := openAt(path, cfg, release1())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			s.steps = release3()
			if current, err := s.current(t.Context()); current || err != nil {
				t.Fatalf("current %t, error %v", current, err)
			}
			stores[i] = s
		}
		each(func(i int) {
			if err := stores[i].upgrade(t.Context()); err != nil {
				t.Error(err)
			}
		})
		once(path)
	})
	t.Run("all open", func(t *testing.T) {
		for range 3 {
			path := version1(t)
			each(func(int) {
				s, err := openAt(path, cfg, release3())
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			once(path)
		}
	})
}

// The release of version 1 goes on beside the one that has upgraded the file: reading in the middle of a query too.
func TestAnUpgradeBesideAnOldReader(t *testing.T) {
	path := version1(t)
	old := openRelease(t, path, release1(), nil)
	holds(t, old, events, 1) // its statements are prepared now
	var s *Store
	n := 0
	for got, err := range old.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 10 {
			s = openRelease(t, path, release3(), nil)
			upgraded(t, s, events)
		}
		if got.Org != "acme" || got.AgentID == "" {
			t.Fatalf("%+v", got)
		}
	}
	if n != events {
		t.Fatalf("%d events, want %d", n, events)
	}
	holds(t, old, events, 3)

	snapshot := filepath.Join(t.TempDir(), "hours.db") // and one that holds on to what it saw
	another := openRelease(t, snapshot, release1(), nil)
	fill(t, another, 0, 3)
	db, err := sql.Open("sqlite", snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	count := func() (n int) {
		if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM events, pragma_user_version WHERE user_version = 1").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 3 {
		t.Fatalf("%d events", n)
	}
	upgraded(t, openRelease(t, snapshot, release3(), nil), 3)
	if n := count(); n != 3 {
		t.Fatalf("%d events of version 1 after the upgrade", n)
	}
}

func TestANewerFileIsRefused(t *testing.T) {
	path := version1(t)
	closeAll(t, openRelease(t, path, release3(), nil))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for newest, want := range map[int]string{1: "schema version 3, this release knows up to 1", 2: "schema version 3, this release knows up to 2"} {
		_, err := openAt(path, Config{}, release3()[:newest])
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the release of version %d: %v", newest, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the file was changed (%v)", err)
	}
	upgraded(t, openRelease(t, path, release3(), nil), events)
}

// late is a database that another process makes between the first question and the second.
type late struct {
	*sql.DB
	asked int
	make  func()
}

func (l *late) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if l.asked++; l.asked == 2 {
		l.make()
	}
	return l.DB.QueryRowContext(ctx, query, args...)
}

func TestAFileThatIsBeingMadeIsNotAnotherApplications(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hours.db")
	db, err := sql.Open("sqlite", dsn(path, "_pragma", "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := look(t.Context(), &late{DB: db, make: func() { openRelease(t, path, release1(), nil) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := found.check(path, 1); err != nil {
		t.Fatal(err)
	}
}

// A change that was not finished when its process died, from before the file had a write-ahead log: a journal says how to undo it.
func TestAFileWhoseProcessWasKilledBeforeItHadALog(t *testing.T) {
	for name, test := range map[string]struct {
		before, want string
	}{
		"as it was made":      {"", ""},
		"another application": {"CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)", "another application"},
	} {
		t.Run(name, func(t *testing.T) {
			path, copied := filepath.Join(t.TempDir(), "hours.db"), filepath.Join(t.TempDir(), "copy.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			for _, statement := range []string{
				test.before, "PRAGMA cache_size = 2", "BEGIN", "CREATE TABLE unfinished (x)",
				"WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO unfinished SELECT randomblob(2000) FROM n",
			} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			for _, suffix := range []string{"", "-journal"} {
				content, err := os.ReadFile(path + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if len(content) == 0 {
					t.Fatalf("hours.db%s is empty", suffix)
				}
				if err := os.WriteFile(copied+suffix, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.want == "" {
				s := openRelease(t, copied, release1(), nil)
				fill(t, s, 0, 3)
				holds(t, s, 3, 1)
				return
			}
			if _, err := openAt(copied, Config{}, release1()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatal(err)
			}
			theirs, err := sql.Open("sqlite", copied)
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			got := make(map[string]string)
			for _, query := range []string{"PRAGMA journal_mode", "SELECT group_concat(name) FROM sqlite_schema", "SELECT sum(x) FROM theirs"} {
				var answer string
				if err := theirs.QueryRowContext(t.Context(), query).Scan(&answer); err != nil {
					t.Fatalf("%s: %v", query, err)
				}
				got[query] = answer
			}
			if want := map[string]string{
				"PRAGMA journal_mode": "delete", "SELECT group_concat(name) FROM sqlite_schema": "theirs", "SELECT sum(x) FROM theirs": "1",
			}; !maps.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
