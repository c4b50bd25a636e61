package sqlite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// sums are those of an org by agent and hour, one a line.
func sums(t testing.TB, s *sqlite.Store, org string) []string {
	t.Helper()
	var list []humanhours.Rollup
	for r, err := range s.Rollups(t.Context(), humanhours.RollupQuery{Org: org, By: humanhours.ByAgent}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return sumLines(list)
}

func sumLines(list []humanhours.Rollup) []string {
	all := make(map[string]*humanhours.Rollup)
	for _, r := range list {
		at := fmt.Sprintf("%d %s %t %s", r.Hour, r.Agent, r.Test, r.UnpricedModel)
		if all[at] == nil {
			all[at] = &humanhours.Rollup{}
		}
		all[at].Events += r.Events
		all[at].Voided += r.Voided
		all[at].CostSaved.AddSum(&r.CostSaved)
		all[at].NetSaved.AddSum(&r.NetSaved)
	}
	var lines []string
	for at, r := range all {
		if line := fmt.Sprintf("%d %d %s %s", r.Events, r.Voided, r.CostSaved.Decimal(), r.NetSaved.Decimal()); line != "0 0 0 0" {
			lines = append(lines, at+" "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

// requireSums proves that the sums of an org are those of its events.
func requireSums(t testing.TB, s *sqlite.Store, org string) {
	t.Helper()
	var list []humanhours.Rollup
	for e, err := range s.Events(t.Context(), humanhours.EventQuery{Org: org}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Rollup())
	}
	if got, want := sums(t, s, org), sumLines(list); !slices.Equal(got, want) {
		t.Errorf("the sums are\n%q, and those of the events\n%q", got, want)
	}
}

func TestRetentionDeletesSums(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Retention: sqlite.MinRetention})
	day := 0
	appendDay := func() {
		t.Helper()
		for i := range 40 {
			e := storetest.Entry("acme", day*40+i)
			e.At = time.Date(2026, time.May, 1+day, 0, i, 0, 0, time.UTC)
			e.Event.ReceivedAt, e.Event.OccurredAt = e.At, e.At.Add(-time.Hour)
			got := s.Append(t.Context(), []humanhours.Entry{e})[0]
			if got.Err != nil {
				t.Fatal(got.Err)
			}
			if i%7 == 0 && day == 0 {
				_, err := s.Amend(t.Context(), humanhours.AmendQuery{
					Org: "acme", ID: got.Event.ID, Amendment: humanhours.Amendment{Kind: humanhours.AmendVoid, At: e.At}, Change: humanhours.Change{At: e.At},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		day++
	}
	for range 6 {
		appendDay()
		requireSums(t, s, "acme")
	}
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	first := text(t, db, "SELECT min(occurred_at_ms / 86400000) FROM events")
	if first == "20573" {
		t.Fatal("nothing was deleted") // 30 April
	}
	for query, want := range map[string]string{
		"SELECT min(day) FROM rollups":         first,
		"SELECT count(*) FROM rollups_missing": "0",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// Who deletes or changes events by hand has reports of what is left.
func TestSumsOfWhatIsChangedByHand(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{})
	for i := range 60 {
		e := storetest.Entry("acme", i)
		e.Event.OccurredAt = e.Event.OccurredAt.Add(time.Duration(i-30) * 7 * time.Hour)
		if got := s.Append(t.Context(), []humanhours.Entry{e})[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	for e, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme", Limit: 4, Descending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		_, err := s.Amend(t.Context(), humanhours.AmendQuery{
			Org: "acme", ID: e.ID, Amendment: humanhours.Amendment{Kind: humanhours.AmendVoid, At: e.ReceivedAt}, Change: humanhours.Change{At: e.ReceivedAt},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	before := sums(t, s, "acme")
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	for _, query := range []string{
		"DELETE FROM events WHERE agent_id = 'agent-3'",
		"UPDATE events SET agent_id = 'merged' WHERE agent_id IN ('agent-1', 'agent-2')",
		"UPDATE events SET occurred_at_ms = occurred_at_ms - 86400000 * 3 WHERE agent_id = 'agent-4'",
		"DELETE FROM amendments WHERE event_id = (SELECT min(event_id) FROM amendments)",
		"UPDATE amendments SET kind = 'redact', body = replace(body, 'void', 'redact')",
		"DELETE FROM rollups",
		"INSERT INTO rollups (org, day, level, log) VALUES ('acme', 20587, 0, x'0000000100')",
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
		if query[:12] == "DELETE FROM " && query[12] == 'r' || query[:6] == "INSERT" { // the sums themselves: this is what Rebuild is there for
			if err := s.Rebuild(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
		}
		now := sums(t, s, "acme")
		if (query[:6] == "UPDATE" || strings.Contains(query, "amendments")) && slices.Equal(now, before) {
			t.Errorf("%s: nothing has changed", query)
		}
		before = now
		requireSums(t, s, "acme")
	}
}

// A file is not to grow with the sums of its events: they are merged as they come.
func TestSumsAreMerged(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Synchronous: sqlite.Normal})
	const events = 2000
	for i := range events {
		if got := s.Append(t.Context(), entries(i, 1))[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	requireSums(t, s, "acme")
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	for query, want := range map[string]string{
		"SELECT count(*) < 3 * 16 FROM rollups":                                      "1",
		"SELECT max(level) >= 2 FROM rollups":                                        "1",
		"SELECT sum(length(log)) < 20 * 2000 FROM rollups":                           "1",
		"SELECT EXISTS (SELECT 1 FROM rollups GROUP BY level HAVING count(*) >= 16)": "0",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// Who opens the file again and again merges what others have left.
func TestSumsOfManyLivesAreMerged(t *testing.T) {
	path := file(t)
	for i := range 70 {
		s := open(t, path, sqlite.Config{Synchronous: sqlite.Normal})
		if got := s.Append(t.Context(), entries(i, 1))[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
		if i == 69 {
			requireSums(t, s, "acme")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	if got := text(t, db, "SELECT count(*) FROM rollups"); got != "10" { // 4 of level 1
		t.Errorf("%s logs", got)
	}
}

// Sums that are damaged keep no event out, and a report makes them anew.
func TestDamagedSumsKeepNothingOut(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Synchronous: sqlite.Normal})
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	for i := range 40 {
		if got := s.Append(t.Context(), entries(i, 1))[0]; got.Err != nil {
			t.Fatal(got.Err)
		}
		if i%20 == 3 {
			if _, err := db.Exec("UPDATE rollups SET log = substr(log, 1, length(log) - 3)"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := text(t, db, "SELECT count(*) FROM rollups_missing"); got != "1" {
		t.Errorf("%s days are missing", got)
	}
	if got := text(t, db, "SELECT count(*) < 30 FROM rollups"); got != "1" {
		t.Error("the logs of a damaged day are kept, and read by each append")
	}
	requireSums(t, s, "acme")
	if _, err := db.Exec("UPDATE rollups SET log = substr(log, 1, length(log) - 3)"); err != nil {
		t.Fatal(err)
	}
	requireSums(t, s, "acme")
}

// Logs that have become long stay as they are: to make one of them would take seconds, or be refused.
func TestLongSumsKeepNothingOut(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Synchronous: sqlite.Normal})
	mustAppend(t, s, entries(0, 1)...)
	db := raw(t, path)
	defer func() { _ = db.Close() }()
	for range 15 {
		if _, err := db.Exec("INSERT INTO rollups (org, day, level, log) SELECT org, day, 1, zeroblob(1000000) FROM rollups WHERE level = 0 LIMIT 1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 70 {
		mustAppend(t, s, entries(1+i, 1)...)
	}
	if got := text(t, db, "SELECT count(*) FROM rollups WHERE level = 1"); got != "19" {
		t.Errorf("%s logs of level 1", got)
	}
}
