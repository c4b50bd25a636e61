package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
	"github.com/shopspring/decimal"
)

// raw opens a file beside the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func text(t *testing.T, db *sql.DB, query string) (value string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func mustAppend(t *testing.T, s humanhours.Store, group ...humanhours.Entry) {
	t.Helper()
	for i, got := range s.Append(t.Context(), group) {
		if got.Err != nil || got.Replayed || got.QuotaExceeded {
			t.Fatalf("entry %d: %+v", i, got)
		}
	}
}

func used(t *testing.T, s humanhours.Store, at time.Time) int64 {
	t.Helper()
	n, err := s.Usage(t.Context(), "acme", humanhours.MonthOf(at))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEverythingSurvivesARestart(t *testing.T) {
	storetest.RunRestart(t, func(tb testing.TB, dir string) storetest.Durable {
		return open(tb, filepath.Join(dir, "a b%3F#?é.db"), sqlite.Config{})
	})
}

func TestAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%3F#?é.db")
	s := open(t, path, sqlite.Config{})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if got := s.Append(t.Context(), entries(100, 1))[0].Err; !errors.Is(got, sqlite.ErrClosed) {
		t.Fatalf("Append after Close: %v", got)
	}
	if _, _, err := s.Event(t.Context(), "acme", "x"); !errors.Is(err, sqlite.ErrClosed) {
		t.Fatalf("Event after Close: %v", err)
	}
	if _, err := os.Stat(path); err != nil { // under that very name
		t.Fatal(err)
	}
}

func TestFilesThatAreRefusedStayAsTheyAre(t *testing.T) {
	for name, test := range map[string]struct {
		make func(db *sql.DB)
		want string
	}{
		"newer":             {func(db *sql.DB) { exec(t, db, "PRAGMA user_version = 7") }, "newer release (schema version 7"},
		"other application": {func(db *sql.DB) { exec(t, db, "PRAGMA application_id = 77") }, "another application"},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t)
			if err := open(t, path, sqlite.Config{}).Close(); err != nil {
				t.Fatal(err)
			}
			db := raw(t, path)
			test.make(db) // in the log: the connection stays open, so that there is one
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sqlite.Open(path, sqlite.Config{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Fatalf("the file was written to (%v)", err)
			}
			if _, err := sqlite.New(raw(t, "file:"+path+"?_pragma=busy_timeout(1000)"), sqlite.Config{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("New: error %v, want %q", err, test.want)
			}
		})
	}
	t.Run("a table of somebody else's", func(t *testing.T) {
		path := file(t)
		exec(t, raw(t, path), "CREATE TABLE events (x)")
		if _, err := sqlite.Open(path, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "another application") {
			t.Fatal(err)
		}
	})
	t.Run("text", func(t *testing.T) {
		path := file(t)
		content := []byte(strings.Repeat("this is no database\n", 100))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(path, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "is not a SQLite database") {
			t.Fatal(err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(content, after) {
			t.Fatalf("the file was written to (%v)", err)
		}
	})
}

func TestPathsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		"":                                 "is empty",
		dir:                                "is a folder",
		filepath.Join(dir, "none", "x.db"): "does not exist",
	} {
		if _, err := sqlite.Open(path, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%q): %v, want %q", path, err, want)
		}
	}
	if _, err := sqlite.Open(":memory:", sqlite.Config{Retention: time.Hour}); err == nil {
		t.Error("a retention shorter than the idempotency window is taken")
	}
}

func TestDatabasesThatAreHandedIn(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                           "journal mode",
		"?_pragma=journal_mode(WAL)": "wait for other writers",
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)": "does not sync",
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)":   "",
	} {
		db := raw(t, "file:"+file(t)+dsn)
		s, err := sqlite.New(db, sqlite.Config{})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("New on %q: %v, want %q", dsn, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("New on %q: %v", dsn, err)
		}
		mustAppend(t, s, entries(0, 3)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := text(t, db, "SELECT count(*) FROM events_readable"); got != "3" { // still open
			t.Fatalf("%s events", got)
		}
	}
	db := raw(t, ":memory:")
	db.SetMaxOpenConns(1)
	s, err := sqlite.New(db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, entries(0, 3)...)
	if n := used(t, s, entries(0, 1)[0].At); n != 3 {
		t.Fatalf("%d events are counted", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestViews(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{})
	var saved, net decimal.Decimal
	group := entries(0, 12)
	for i := range group {
		e := &group[i].Event
		e.ReceivedAt = e.ReceivedAt.AddDate(0, 1, 0)                    // a month is that of occurrence
		e.CostSaved = decimal.RequireFromString("8760000000.123456789") // two of them are past int64
		e.NetSaved = decimal.RequireFromString("-999999999.999999999")
		if i%3 == 0 {
			e.NetSaved = decimal.RequireFromString("0.000000001")
		}
		saved, net = saved.Add(e.CostSaved), net.Add(e.NetSaved)
	}
	mustAppend(t, s, group...)
	db := raw(t, path)
	for query, want := range map[string]string{
		"SELECT cost_saved FROM monthly_totals":                                       saved.String(),
		"SELECT net_saved FROM monthly_totals":                                        net.String(),
		"SELECT hours_saved FROM monthly_totals":                                      "6.084",
		"SELECT agent_cost FROM monthly_totals":                                       "0.008990076",
		"SELECT org || month || currency || events FROM monthly_totals":               "acme2026-05EUR12",
		"SELECT cost_saved FROM events_readable LIMIT 1":                              "8760000000.123456789",
		"SELECT net_saved FROM events_readable WHERE seq = 2":                         "-999999999.999999999",
		"SELECT net_saved FROM events_readable WHERE seq = 1":                         "0.000000001",
		"SELECT hours_saved FROM events_readable LIMIT 1":                             "0.507",
		"SELECT hourly_rate FROM events_readable LIMIT 1":                             "52.75",
		"SELECT agent_duration_seconds FROM events_readable LIMIT 1":                  "4.25",
		"SELECT received_at FROM events_readable WHERE seq = 2":                       "2026-06-14T00:00:00.001Z",
		"SELECT metadata ->> '$.client' FROM events_readable LIMIT 1":                 "Zoë",
		"SELECT typeof(cost_saved_units) || typeof(net_saved_nano) FROM monthly_sums": "integerinteger",
		"PRAGMA integrity_check":                                                      "ok",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestAnAmountThatDoesNotFitFailsAlone(t *testing.T) {
	s := open(t, file(t), sqlite.Config{})
	for i, amount := range []string{"9223372036.854775808", "0.0000000001", "1e9999", "1e-9999", "-9223372036.854775809", "1.0000000001"} {
		group := entries(10*i, 3)
		group[1].Event.CostSaved = decimal.RequireFromString(amount)
		got := s.Append(t.Context(), group)
		if got[0].Err != nil || got[2].Err != nil || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "cost_saved") {
			t.Fatalf("%s: %v, %v, %v", amount, got[0].Err, got[1].Err, got[2].Err)
		}
		if _, ok, _ := s.Event(t.Context(), "acme", group[1].Event.ID); ok {
			t.Fatalf("%s is stored", amount)
		}
	}
}

// A steady load with retention: after the first weeks the file has the size that it keeps.
func TestTheFileStopsGrowing(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Retention: sqlite.MinRetention, Synchronous: sqlite.Normal})
	db := raw(t, path)
	const days, perDay = 30, 60
	size := make([]string, days)
	for day := range days {
		group := entries(day*perDay, perDay)
		for i := range group {
			at := time.Date(2026, time.March, 1+day, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour / 3)
			group[i].At, group[i].Event.ReceivedAt, group[i].Event.OccurredAt = at, at, at
		}
		for i := 0; i < len(group); i += 6 {
			mustAppend(t, s, group[i:i+6]...)
		}
		size[day] = text(t, db, "PRAGMA page_count")
	}
	if size[10] != size[days-1] {
		t.Errorf("the file has %s pages after 11 days, %s after 30: %v", size[10], size[days-1], size)
	}
	for _, table := range []string{"events", "idempotency"} {
		if got := text(t, db, fmt.Sprintf("SELECT count(*) <= %d FROM %s", 3*perDay, table)); got != "1" {
			t.Errorf("%s has more rows than those of three days", table)
		}
	}
	// Retention counts from the last event, which came at 19:40.
	if got, want := text(t, db, "SELECT count(*) FROM events WHERE received_at_ms >= (SELECT max(received_at_ms) FROM events) - 48 * 3600000"), "121"; got != want {
		t.Errorf("%s events of the last 48 hours are there, want %s", got, want)
	}
	if got := text(t, db, "SELECT sum(events) FROM usage"); got != fmt.Sprint(days*perDay) {
		t.Errorf("%s events are counted, want all %d", got, days*perDay)
	}
	agents, err := s.Agents(t.Context(), "acme", false)
	if err != nil || len(agents) != 7 {
		t.Fatalf("%d agents, error %v", len(agents), err)
	}
	for i, a := range agents { // whose first events are gone
		if first := time.Date(2026, time.March, 1, 0, 20*i, 0, 0, time.UTC); !a.First.Equal(first) || a.Last.Before(first.AddDate(0, 0, days-2)) {
			t.Errorf("agent %+v, want it since %v", a, first)
		}
	}
}

// What has piled up, such as while no event came, is deleted two rows for each event and not at once.
func TestABacklogIsDeletedInSmallSteps(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Retention: sqlite.MinRetention})
	db := raw(t, path)
	mustAppend(t, s, entries(0, 200)...)
	late := entries(1000, 3)
	for i := range late {
		late[i].At = late[i].At.AddDate(0, 0, 30)
		late[i].Event.ReceivedAt, late[i].Event.OccurredAt = late[i].At, late[i].At
		mustAppend(t, s, late[i])
		for _, table := range []string{"events", "idempotency"} {
			if got, want := text(t, db, "SELECT count(*) FROM "+table), fmt.Sprint(200-(i+1)); got != want {
				t.Errorf("%s has %s rows after %d events, want %s", table, got, i+1, want)
			}
		}
	}
}

// A clock that was far ahead for a while, as at the boot of a machine without one, leaves events that are not old for long.
func TestRetentionGoesOnBehindEventsFromTheFuture(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Retention: sqlite.MinRetention, Synchronous: sqlite.Normal})
	const future = 300
	ahead := entries(0, future)
	for i := range ahead {
		ahead[i].At = ahead[i].At.AddDate(1, 0, 0)
		ahead[i].Event.ReceivedAt, ahead[i].Event.OccurredAt = ahead[i].At, ahead[i].At
	}
	mustAppend(t, s, ahead...)
	const days, perDay = 30, 20
	for i := range days * perDay {
		e := entries(1000+i, 1)
		e[0].At = e[0].At.Add(time.Duration(i) * 24 * time.Hour / perDay)
		e[0].Event.ReceivedAt, e[0].Event.OccurredAt = e[0].At, e[0].At
		mustAppend(t, s, e...)
	}
	if got := text(t, raw(t, path), fmt.Sprintf("SELECT count(*) <= %d FROM events", future+5*perDay)); got != "1" {
		t.Errorf("%s events are kept", text(t, raw(t, path), "SELECT count(*) FROM events"))
	}
}

// Which file it is, is said once, by Open.
func TestTheWorkingFolderMayChange(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "hours.db", sqlite.Config{})
	mustAppend(t, s, entries(0, 1)...)
	t.Chdir(t.TempDir())
	if _, found, err := s.Event(t.Context(), "acme", entries(0, 1)[0].Event.ID); err != nil || !found {
		t.Errorf("found %t, error %v", found, err)
	}
}

// A limit on the pages stands in for a disk that is full.
func TestAFullDisk(t *testing.T) {
	path := file(t)
	limited := raw(t, "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=max_page_count(100)")
	s, err := sqlite.New(limited, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	var failed []humanhours.Entry
	for failed == nil {
		group := entries(stored, 10)
		results := s.Append(t.Context(), group)
		if results[0].Err == nil {
			stored += 10
			continue
		}
		failed = group
		for _, got := range results {
			if got.Err == nil || !strings.Contains(got.Err.Error(), "full") {
				t.Fatalf("error %v", got.Err)
			}
		}
	}
	for _, e := range failed {
		if _, ok, err := s.Event(t.Context(), "acme", e.Event.ID); ok || err != nil {
			t.Fatalf("found %t, error %v", ok, err)
		}
	}
	if n := used(t, s, failed[0].At); n != int64(stored) || stored == 0 {
		t.Fatalf("%d events are counted, %d are stored", n, stored)
	}
	retry := entries(0, 1)
	retry[0].Event.ID = "retry"
	if got := s.Append(t.Context(), retry)[0]; got.Err != nil || !got.Replayed { // the connection is as good as before
		t.Fatalf("a retry on a full disk: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, sqlite.Config{}) // there is space again
	mustAppend(t, s, failed...)
	if n := used(t, s, failed[0].At); n != int64(stored+len(failed)) {
		t.Fatalf("%d events are counted after the disk had space again, want %d", n, stored+len(failed))
	}
	if got := text(t, raw(t, path), "PRAGMA integrity_check"); got != "ok" {
		t.Fatal(got)
	}
}

func TestAWriterOutsideIsWaitedForAndCanBeGivenUp(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{BusyTimeout: 50 * time.Millisecond})
	other, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), entries(0, 1))[0].Err; err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("after the busy timeout: %v", err)
	}
	patient := open(t, path, sqlite.Config{BusyTimeout: time.Hour}) // opening does not write
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := patient.Append(ctx, entries(0, 1))[0].Err; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("when the context ends: %v", err)
	}
	if n := used(t, s, storetest.Entry("acme", 0).At); n != 0 { // readers do not wait
		t.Fatalf("%d events", n)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, patient, entries(0, 1)...)
}

// Retention deletes events in the order in which they were stored, and keys in that in which they expire: a key's row may be left alone.
func TestAKeyWhoseEventIsGoneIsFree(t *testing.T) {
	s := open(t, file(t), sqlite.Config{Retention: sqlite.MinRetention})
	start := entries(0, 1)[0].At
	after := func(d time.Duration, n int, window time.Duration) humanhours.Entry {
		e := entries(n, 1)[0]
		e.At, e.Window = start.Add(d), window
		e.Event.ReceivedAt, e.Event.OccurredAt = e.At, e.At
		return e
	}
	long := after(0, 0, 4*sqlite.MinRetention)
	mustAppend(t, s, long)
	mustAppend(t, s, after(50*time.Hour, 1, time.Hour)) // deletes the first event
	if _, found, err := s.Event(t.Context(), "acme", long.Event.ID); found || err != nil {
		t.Fatalf("found %t, error %v", found, err)
	}
	again := after(51*time.Hour, 2, time.Hour)
	again.Key = long.Key
	found, err := s.Replay(t.Context(), humanhours.ReplayQuery{Org: "acme", Key: long.Key, At: again.At})
	if err != nil || found.Found {
		t.Fatalf("the key of an event that is gone: %+v, %v", found, err)
	}
	mustAppend(t, s, after(51*time.Hour, 3, time.Hour), again)
	again.Event.ID = "retry"
	if got := s.Append(t.Context(), []humanhours.Entry{again})[0]; !got.Replayed || got.Err != nil {
		t.Fatalf("a retry: %+v", got)
	}
}
