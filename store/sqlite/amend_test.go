package sqlite_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/shopspring/decimal"
)

func mustAmend(t *testing.T, s humanhours.Store, id string, base int, a humanhours.Amendment) {
	t.Helper()
	got, err := s.Amend(t.Context(), humanhours.AmendQuery{
		Org: "acme", ID: id, Base: base, Amendment: a, Change: humanhours.Change{At: a.At, Subject: "events." + id},
	})
	if err != nil || !got.Stored {
		t.Fatalf("%+v, %v", got, err)
	}
}

// What a redaction erases is not merely out of reach: no byte of it is left in the file, wherever its row was.
func TestARedactionLeavesNothingInTheFile(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{})
	secret := func(i int, part string) string { return fmt.Sprintf("secret-%d-%s.", i, part) }
	const n = 40
	group := entries(0, n)
	for i := range group {
		e, times := &group[i].Event, 1+i%4*60 // some have pages of their own
		e.Metadata = []byte(`{"who":"` + strings.Repeat(secret(i, "metadata"), times) + `"}`)
		e.AuditSample.InputExcerpt = strings.Repeat(secret(i, "input"), times)
		e.AuditSample.OutputExcerpt = strings.Repeat(secret(i, "output"), times)
	}
	mustAppend(t, s, group[:n/2]...)
	for _, e := range group[n/2:] {
		mustAppend(t, s, e)
	}
	redacted := func(i int) bool { return i%3 != 1 }
	for i := range group {
		if redacted(i) {
			mustAmend(t, s, group[i].Event.ID, 0, humanhours.Amendment{Kind: humanhours.AmendRedact, At: group[i].At})
		}
	}
	if err := s.Close(); err != nil { // moves the log into the file
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range group {
		for _, part := range []string{"metadata", "input", "output"} {
			if left := bytes.Contains(content, []byte(secret(i, part))); left == redacted(i) {
				t.Errorf("%s: redacted %t, in the file %t", secret(i, part), redacted(i), left)
			}
		}
	}
	if got := text(t, raw(t, path), "PRAGMA integrity_check"); got != "ok" {
		t.Error(got)
	}
}

func TestWhatAnalystsSeeOfAmendments(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{})
	group := entries(0, 3)
	mustAppend(t, s, group...)
	at := group[0].At
	mustAmend(t, s, group[0].Event.ID, 0, humanhours.Amendment{
		Kind: humanhours.AmendReprice, At: at,
		AgentCost: decimal.NewNullDecimal(decimal.RequireFromString("0.5")), NetSaved: decimal.RequireFromString("12345678.000000001"),
	})
	mustAmend(t, s, group[0].Event.ID, 1, humanhours.Amendment{
		Kind: humanhours.AmendVoid, At: at.Add(time.Second), KeyID: "3fK9xQ2b", Reason: "sent twice",
	})
	mustAmend(t, s, group[1].Event.ID, 0, humanhours.Amendment{Kind: humanhours.AmendRedact, At: at})
	db := raw(t, path)
	for query, want := range map[string]string{
		"SELECT group_concat(voided) FROM (SELECT voided FROM events_readable ORDER BY seq)":                      "1,0,0",
		"SELECT count(*) FROM events_readable WHERE voided = 0":                                                   "2",
		"SELECT group_concat(n || kind) FROM (SELECT * FROM amendments ORDER BY org, event_id, n)":                "1reprice,2void,1redact",
		"SELECT reason || key_id || (at_ms - " + fmt.Sprint(at.UnixMilli()) + ") FROM amendments WHERE n = 2":     "sent twice3fK9xQ2b1000",
		"SELECT count(*) FROM amendments WHERE reason IS NULL AND key_id IS NULL":                                 "2",
		"SELECT body ->> '$.agent_cost' || ' ' || (body -> '$.net_saved') FROM amendments WHERE kind = 'reprice'": "0.5 12345678.000000001",
		"SELECT count(*) FROM events WHERE metadata IS NULL AND input_excerpt IS NULL AND output_excerpt IS NULL": "1",
		"SELECT count(*) FROM org_history": "3",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// Amendments go with their event, in its step, and a new event of that id has none.
func TestRetentionDeletesAmendments(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Retention: sqlite.MinRetention})
	db := raw(t, path)
	old := entries(0, 20)
	mustAppend(t, s, old...)
	for i := range old {
		for base := range 1 + i%3 {
			mustAmend(t, s, old[i].Event.ID, base, humanhours.Amendment{Kind: humanhours.AmendVoid, At: old[i].At})
		}
	}
	late := entries(1000, 20)
	for i := range late {
		late[i].At = late[i].At.AddDate(0, 0, 30)
		late[i].Event.ReceivedAt, late[i].Event.OccurredAt = late[i].At, late[i].At
		mustAppend(t, s, late[i])
		if i == 0 {
			mustAmend(t, s, late[0].Event.ID, 0, humanhours.Amendment{Kind: humanhours.AmendVoid, At: late[0].At})
		}
		left := "SELECT count(*) || ' ' || (SELECT count(*) FROM amendments) || ' ' ||" +
			" (SELECT count(*) FROM amendments AS a WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.org = a.org AND e.id = a.event_id)) FROM events"
		amendments := 1
		for j := min(2*(i+1), len(old)); j < len(old); j++ {
			amendments += 1 + j%3
		}
		if got, want := text(t, db, left), fmt.Sprintf("%d %d 0", max(20-2*(i+1), 0)+i+1, amendments); got != want {
			t.Errorf("after %d events: %s, want %s", i+1, got, want)
		}
	}
	again := entries(0, 1)[0]
	again.Event.ReceivedAt, again.At = late[0].At, late[0].At
	mustAppend(t, s, again)
	if e, ok, err := s.Event(t.Context(), "acme", again.Event.ID); err != nil || !ok || len(e.Amendments) > 0 {
		t.Errorf("found %t with %d amendments (%v)", ok, len(e.Amendments), err)
	}
	if history, err := s.History(t.Context(), humanhours.HistoryQuery{Org: "acme"}); err != nil || len(history) != 40 {
		t.Errorf("%d lines of history (%v)", len(history), err)
	}
}

// What the look for amendments costs readers of an org that has none, and of one in which every event has some.
func BenchmarkEvents(b *testing.B) {
	for _, amended := range []bool{false, true} {
		b.Run(fmt.Sprintf("amended=%t", amended), func(b *testing.B) {
			s := open(b, file(b), sqlite.Config{})
			group := entries(0, 1024)
			s.Append(b.Context(), group)
			for i := range group {
				if amended {
					void := humanhours.Amendment{Kind: humanhours.AmendVoid, At: group[i].At}
					if _, err := s.Amend(b.Context(), humanhours.AmendQuery{Org: "acme", ID: group[i].Event.ID, Amendment: void}); err != nil {
						b.Fatal(err)
					}
				}
			}
			for b.Loop() {
				n := 0
				for _, err := range s.Events(b.Context(), humanhours.EventQuery{Org: "acme"}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != len(group) {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(len(group)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
