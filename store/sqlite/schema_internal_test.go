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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// The next release has two steps more than this one.
const thisVersion, nextVersion = 4, 6

func nextRelease() []string {
	return append(steps(),
		"ALTER TABLE events ADD COLUMN team TEXT; UPDATE events SET team = 'team of ' || agent_id",
		"CREATE INDEX events_by_team ON events (org, team)",
	)
}

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

// thisRelease makes a file of this release that nobody has open.
func thisRelease(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hours.db")
	s := openRelease(t, path, steps(), nil)
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

// agentsOf is what the events of an org say about its agents.
func agentsOf(t *testing.T, s *Store, org string, test bool) []humanhours.AgentSeen {
	t.Helper()
	byID := make(map[string]humanhours.AgentSeen)
	for e, err := range s.Events(t.Context(), humanhours.EventQuery{Org: org}) { // the earliest first
		if err != nil {
			t.Fatal(err)
		}
		if e.Test != test {
			continue
		}
		seen, ok := byID[e.AgentID]
		if !ok {
			seen = humanhours.AgentSeen{ID: e.AgentID, First: e.OccurredAt}
		}
		seen.Last = e.OccurredAt
		byID[e.AgentID] = seen
	}
	list := slices.Collect(maps.Values(byID))
	slices.SortFunc(list, func(a, b humanhours.AgentSeen) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// knowsAgents checks that the agents of an org are those of its events.
func knowsAgents(t *testing.T, s *Store, org string) {
	t.Helper()
	for _, test := range []bool{false, true} {
		got, err := s.Agents(t.Context(), org, test)
		if want := agentsOf(t, s, org, test); err != nil || !slices.Equal(got, want) {
			t.Fatalf("agents of %s, test %t: %v, want %v (%v)", org, test, got, want, err)
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
	knowsAgents(t, s, "acme")
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

// upgraded checks what the steps of the next release made of n events.
func upgraded(t *testing.T, s *Store, n int) {
	t.Helper()
	holds(t, s, n, nextVersion)
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
	path := thisRelease(t)
	var log bytes.Buffer
	s := openRelease(t, path, nextRelease(), &log)
	upgraded(t, s, events)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "upgraded the database") ||
		!strings.Contains(got, path) || !strings.Contains(got, "from=4 to=6") {
		t.Errorf("the log says %q", got)
	}
	closeAll(t, s)
	log.Reset()
	upgraded(t, openRelease(t, path, nextRelease(), &log), events)
	holds(t, openRelease(t, filepath.Join(t.TempDir(), "new.db"), nextRelease(), &log), 0, nextVersion)
	if log.Len() > 0 { // a file that is up to date, and one that was just made
		t.Errorf("the log says %q", log.String())
	}
}

// TestNoUpgrade: a tool leaves the file to the processes of the older release that serve it.
func TestNoUpgrade(t *testing.T) {
	path := thisRelease(t)
	old := openRelease(t, path, steps(), nil)
	_, err := openAt(path, Config{NoUpgrade: true}, nextRelease())
	if err == nil || !strings.Contains(err.Error(), "is of an older release (schema version 4, this release makes 6); the server of this release upgrades it") {
		t.Fatalf("error %v", err)
	}
	fill(t, old, events, 1)
	closeAll(t, old)
	for _, path := range []string{path, filepath.Join(t.TempDir(), "new.db")} { // of this release, and none yet
		s, err := openAt(path, Config{NoUpgrade: true}, steps())
		if err != nil {
			t.Fatal(err)
		}
		closeAll(t, s)
	}
}

func TestAnUpgradeThatFailsLeavesTheFile(t *testing.T) {
	path := thisRelease(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"INSERT INTO nowhere VALUES (1)", "CREATE UNIQUE INDEX one ON events (org)", "no SQL"} {
		var log bytes.Buffer
		_, err := openAt(path, logged(&log), append(nextRelease()[:thisVersion+1], step))
		if err == nil {
			t.Fatalf("%s: no error", step)
		}
		if got := err.Error(); strings.Contains(got, "\n") || !strings.HasPrefix(got, "sqlite: open "+path+": ") ||
			!strings.Contains(got, "from schema version 4 failed at the step to 6 and left the file as it was; go on with the release that was used before") {
			t.Errorf("%s: %q", step, got)
		}
		if log.Len() > 0 {
			t.Errorf("the log says %q", log.String())
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Fatalf("%s: the file was changed (%v)", step, err)
		}
	}
	old := openRelease(t, path, steps(), nil)
	holds(t, old, events, thisVersion)
	fill(t, old, events, 1)
	closeAll(t, old)
	upgraded(t, openRelease(t, path, nextRelease(), nil), events+1)
}

// A process that dies before the commit leaves what a copy of its files has, with all the steps in the log.
func TestAnUpgradeThatIsKilledLeavesTheFile(t *testing.T) {
	path := thisRelease(t)
	s := openRelease(t, path, steps(), nil)
	s.steps, s.write.newest = nextRelease(), nextVersion
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
	old := openRelease(t, copied, steps(), nil)
	holds(t, old, events, thisVersion)
	if got := ask(t, old, "PRAGMA integrity_check"); got != "ok" {
		t.Error(got)
	}
	closeAll(t, old)
	upgraded(t, openRelease(t, copied, nextRelease(), nil), events)
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
		upgraded(t, openRelease(t, path, nextRelease(), nil), events)
	}
	t.Run("all have seen the old version", func(t *testing.T) {
		path := thisRelease(t)
		var stores [handles]*Store
		for i := range stores {
			s, err := openAt(path, cfg, steps())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			s.steps, s.write.newest = nextRelease(), nextVersion
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
			path := thisRelease(t)
			each(func(int) {
				s, err := openAt(path, cfg, nextRelease())
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

// An older release goes on beside the one that has upgraded the file: reading in the middle of a query too.
func TestAnUpgradeBesideAnOldReader(t *testing.T) {
	path := thisRelease(t)
	old := openRelease(t, path, steps(), nil)
	holds(t, old, events, thisVersion) // its statements are prepared now
	var s *Store
	n := 0
	for got, err := range old.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 10 {
			s = openRelease(t, path, nextRelease(), nil)
			upgraded(t, s, events)
		}
		if got.Org != "acme" || got.AgentID == "" {
			t.Fatalf("%+v", got)
		}
	}
	if n != events {
		t.Fatalf("%d events, want %d", n, events)
	}
	holds(t, old, events, nextVersion)
	if err := old.Append(t.Context(), []humanhours.Entry{storetest.Entry("acme", events)})[0].Err; err == nil || !strings.Contains(err.Error(), "restart with that release") {
		t.Errorf("the old release writes: %v", err)
	}
	upgraded(t, s, events)

	snapshot := filepath.Join(t.TempDir(), "hours.db") // and one that holds on to what it saw
	another := openRelease(t, snapshot, steps(), nil)
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
		if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM events, pragma_user_version WHERE user_version = 4").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 3 {
		t.Fatalf("%d events", n)
	}
	upgraded(t, openRelease(t, snapshot, nextRelease(), nil), 3)
	if n := count(); n != 3 {
		t.Fatalf("%d events of the old version after the upgrade", n)
	}
}

func TestANewerFileIsRefused(t *testing.T) {
	path := thisRelease(t)
	closeAll(t, openRelease(t, path, nextRelease(), nil))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for newest, want := range map[int]string{4: "schema version 6, this release knows up to 4", 5: "schema version 6, this release knows up to 5"} {
		_, err := openAt(path, Config{}, nextRelease()[:newest])
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the release of version %d: %v", newest, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the file was changed (%v)", err)
	}
	upgraded(t, openRelease(t, path, nextRelease(), nil), events)
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
	found, err := look(t.Context(), &late{DB: db, make: func() { openRelease(t, path, steps(), nil) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := found.check(path, 1, true); err != nil {
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
				s := openRelease(t, copied, steps(), nil)
				fill(t, s, 0, 3)
				holds(t, s, 3, thisVersion)
				return
			}
			if _, err := openAt(copied, Config{}, steps()); err == nil || !strings.Contains(err.Error(), test.want) {
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

// Another org in a file of version 1, with agents that have several events, in another order than they occurred, and test events: copies of what
// the release of version 1 stored.
const agents1 = `
INSERT INTO events SELECT seq + 100, 'org of agents', id || 'x', key_id, 0, 'b', task_type, outcome, credited, model, tokens_in, tokens_out,
  agent_duration_seconds_nano, occurred_at_ms + (seq * 7 % 3 - 1) * 3600000 - 1, received_at_ms, currency, hours_saved_nano, cost_saved_nano,
  agent_cost_nano, net_saved_nano, baseline_minutes_nano, baseline_source, hourly_rate_nano, hourly_rate_source, cost_source, unpriced_reason,
  priced_as, price_input_per_token, price_output_per_token, price_currency, price_source, price_version, price_date, fx_from, fx_to, fx_rate,
  fx_source, fx_date, metadata, input_excerpt, output_excerpt, hours_scale, money_scale FROM events;
CREATE TEMP TABLE copies AS SELECT * FROM events WHERE org = 'org of agents';
UPDATE copies SET seq = seq + 100, id = id || 'y', test = 1, occurred_at_ms = -(occurred_at_ms - 1778750000000);
INSERT INTO events SELECT * FROM copies;
UPDATE copies SET seq = seq + 100, id = id || 'z', test = seq % 2, agent_id = 'B', occurred_at_ms = occurred_at_ms - 5;
INSERT INTO events SELECT * FROM copies;
DROP TABLE copies;
INSERT INTO api_keys VALUES ('3fK9xQ2b', 'acme', zeroblob(32), 0, 0, 1778750000000, NULL),
  ('3fK9xQ2c', 'acme', zeroblob(32), 0, 0, 1778750000001, 1778750000002);
`

// What the release of version 1 stored, this one answers as that did, and goes on with: testdata has a file of its, as SQL, and its events.
func TestAFileOfVersion1(t *testing.T) {
	rows, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/version1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hours.db")
	db, err := sql.Open("sqlite", dsn(path, "_pragma", "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{schema1, string(rows), agents1, "PRAGMA application_id = 1212707443", "PRAGMA user_version = 1"} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := openRelease(t, path, steps(), &log)
	if !strings.Contains(log.String(), "from=1 to=4") {
		t.Errorf("the log says %q", log.String())
	}
	var got []byte
	for e, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(e.AppendStored(got), '\n')
	}
	if !bytes.Equal(got, want) {
		t.Errorf("events:\n%s\nwant\n%s", got, want)
	}
	millis := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	for _, test := range []struct {
		org  string
		test bool
		want []humanhours.AgentSeen
	}{
		{"acme", false, []humanhours.AgentSeen{
			{ID: "agent-0", First: millis(1778750910116), Last: millis(1778750910116)},
			{ID: "agent-1", First: millis(1778750911116), Last: millis(1778750911116)},
			{ID: "agent-2", First: millis(1778750912116), Last: millis(1778750912116)},
		}},
		{"acme", true, nil},
		{"org of agents", false, []humanhours.AgentSeen{
			{ID: "B", First: millis(-4511120), Last: millis(-4511120)},
			{ID: "b", First: millis(1778747312115), Last: millis(1778754511115)},
		}},
		{"org of agents", true, []humanhours.AgentSeen{
			{ID: "B", First: millis(-910120), Last: millis(2687880)},
			{ID: "b", First: millis(-4511115), Last: millis(2687885)},
		}},
	} {
		if got, err := s.Agents(t.Context(), test.org, test.test); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("agents of %s, test %t: %v, want %v (%v)", test.org, test.test, got, test.want, err)
		}
	}
	var summed int64 // from what a release without sums has stored
	for r, err := range s.Rollups(t.Context(), humanhours.RollupQuery{Org: "acme", By: humanhours.ByAgent}) {
		if err != nil {
			t.Fatal(err)
		}
		summed += r.Events
	}
	if summed != int64(bytes.Count(want, []byte("\n"))) {
		t.Errorf("the sums are of %d events", summed)
	}
	first := storetest.Entry("acme", 0)
	replay, err := s.Replay(t.Context(), humanhours.ReplayQuery{Org: "acme", Key: "key-a", Fingerprint: humanhours.Fingerprint{1, 2, 0}, At: first.At})
	if err != nil || !replay.Found || replay.Mismatch || replay.Event.ID != first.Event.ID {
		t.Errorf("replay %+v, error %v", replay, err)
	}
	keys, err := s.Keys(t.Context(), "acme")
	if err != nil || len(keys) != 2 || !keys[0].LastUsedAt.IsZero() || !keys[1].LastUsedAt.IsZero() || keys[1].RevokedAt.IsZero() {
		t.Errorf("keys %+v, error %v", keys, err)
	}
	fill(t, s, 3, 1)
	knowsAgents(t, s, "acme")
	if used, err := s.Usage(t.Context(), "acme", humanhours.MonthOf(first.At)); err != nil || used != 4 {
		t.Errorf("%d events are counted, want 4 (%v)", used, err)
	}
	old := storetest.Event("acme", 0)
	amended, err := s.Amend(t.Context(), humanhours.AmendQuery{Org: "acme", ID: old.ID, Amendment: humanhours.Amendment{Kind: humanhours.AmendVoid, At: old.ReceivedAt}})
	if err != nil || !amended.Stored || !amended.Event.Voided() {
		t.Errorf("amended %+v, error %v", amended, err)
	}
	if got := ask(t, s, "SELECT group_concat(voided) || ' ' || (SELECT count(*) FROM amendments) FROM (SELECT voided FROM events_readable WHERE org = 'acme' ORDER BY seq)"); got != "1,0,0,0 1" {
		t.Errorf("the view says %q", got)
	}
	if got := ask(t, s, "SELECT tokens_cache_read || ' ' || cost_precision FROM events_readable ORDER BY seq DESC LIMIT 1"); got != "4096 estimated" {
		t.Errorf("the view says %q", got)
	}
}

// TestErasingLeavesTheSetting: a database that was handed in may have secure_delete on for good.
func TestErasingLeavesTheSetting(t *testing.T) {
	s := openRelease(t, filepath.Join(t.TempDir(), "hours.db"), steps(), nil)
	for was, setting := range []string{"OFF", "ON", "FAST"} {
		err := s.write.do(t.Context(), func(ctx context.Context, w *writer) error {
			if _, err := w.conn.ExecContext(ctx, "PRAGMA secure_delete = "+setting); err != nil {
				return err
			}
			if err := w.erase(ctx, "acme", "evt"); err != nil {
				return err
			}
			now := -1
			if err := w.conn.QueryRowContext(ctx, "PRAGMA secure_delete").Scan(&now); err != nil {
				return err
			}
			if now != was {
				t.Errorf("secure_delete is %d after an erasure, and was %d", now, was)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
