package sqlite_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// The backup that docs/operations.md describes: one command on a second connection, while the database is written to.
func TestBackupOfALiveDatabase(t *testing.T) {
	path := file(t)
	s := open(t, path, sqlite.Config{Synchronous: sqlite.Normal, CheckpointPages: 50}) // with checkpoints in between
	key := humanhours.APIKey{ID: "3fK9xQ2b", Org: "acme", CreatedAt: storetest.Entry("acme", 0).At}
	if _, _, err := s.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}

	const writers, each, perAppend, backups = 4, 10_000, 5, 5
	var answered [writers]atomic.Int64 // appends of each writer
	stop, enough := make(chan struct{}), make(chan struct{}, writers*each)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				select {
				case <-stop:
					return
				default:
				}
				for _, got := range s.Append(t.Context(), entries((w*each+n)*perAppend, perAppend)) {
					if got.Err != nil || got.Replayed {
						t.Errorf("replayed %t, error %v", got.Replayed, got.Err)
						return
					}
				}
				answered[w].Store(int64(n + 1))
				enough <- struct{}{}
			}
		})
	}
	go func() {
		all.Wait()
		close(enough)
	}()
	defer all.Wait()
	defer close(stop)

	db := raw(t, path)
	for range backups {
		for range 40 { // so that each backup has something new
			if _, ok := <-enough; !ok {
				t.Fatal("the writers have ended")
			}
		}
		var before [writers]int64
		for w := range writers {
			before[w] = answered[w].Load()
		}
		copied := filepath.Join(t.TempDir(), "backup.db")
		if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", copied); err != nil {
			t.Fatal(err)
		}
		if got := text(t, raw(t, copied), "PRAGMA integrity_check"); got != "ok" {
			t.Fatal(got)
		}

		backup := open(t, copied, sqlite.Config{})
		inside := make(map[string]humanhours.Event)
		for e, err := range backup.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
			if err != nil {
				t.Fatal(err)
			}
			inside[e.ID] = e
		}
		for w := range writers {
			for _, want := range entries(w*each*perAppend, int(before[w])*perAppend) {
				if got, ok := inside[want.Event.ID]; !ok || !got.Equal(&want.Event) {
					t.Fatalf("event %s was answered before the backup: in it %t, equal %t", want.Event.ID, ok, got.Equal(&want.Event))
				}
			}
		}
		if len(inside)%perAppend != 0 {
			t.Errorf("%d events are in the backup, want whole appends of %d", len(inside), perAppend)
		}
		if n := used(t, backup, storetest.Entry("acme", 0).At); n != int64(len(inside)) {
			t.Errorf("%d events are counted in the backup, %d are in it", n, len(inside))
		}
		if got, ok, err := backup.Key(t.Context(), key.ID); err != nil || !ok || got != key {
			t.Errorf("the API key in the backup: %+v %t %v", got, ok, err)
		}

		// It takes over: retries are answered with what is in it, and what is not can be stored.
		retry := entries(0, 1)
		retry[0].Event.ID = "retry"
		want, ok := inside[entries(0, 1)[0].Event.ID]
		if got := backup.Append(t.Context(), retry)[0]; ok && (!got.Replayed || !got.Event.Equal(&want)) {
			t.Errorf("a retry on the backup: %+v", got)
		}
		mustAppend(t, backup, entries(writers*each*perAppend, 1)...)
		t.Logf("%d events, %d answered before", len(inside), (before[0]+before[1]+before[2]+before[3])*perAppend)
	}
}
