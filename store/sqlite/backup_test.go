package sqlite_test

import (
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
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

// documented is the backup of docs/operations.md.
type documented struct {
	backup  string   // what makes it
	away    []string // files to move away
	restore []string // what puts it in their place
}

// readDocumented takes the commands and names from the page, so that the page is what is tested.
func readDocumented(t *testing.T) documented {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Backup\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var found documented
	if block := regexp.MustCompile("(?s)\n```\n(.*?)\n```\n").FindStringSubmatch(section); block != nil {
		found.backup = block[1]
	}
	spans := func(step string) (all []string) {
		line := regexp.MustCompile("(?m)^" + step + `\. .*$`).FindString(section)
		for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
			all = append(all, span[1])
		}
		return all
	}
	found.away = spans("2")
	found.restore = append(spans("3"), spans("4")...)
	if found.backup == "" || len(found.away) != 3 || len(found.restore) != 2 {
		t.Fatalf("the section on backups has changed: %+v", found)
	}
	return found
}

// shell runs a command of the page in a folder.
func shell(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// The page as it stands: its backup while events come, its restore over what a killed process left, and a store on the result.
func TestBackupAndRestoreAsDocumented(t *testing.T) {
	for _, tool := range []string{"sqlite3", "sh", "sync"} {
		if _, err := osexec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("SKIPPED: the documented backup is not tried: %v", err)
		}
	}
	page := readDocumented(t)
	dir := t.TempDir()
	path := filepath.Join(dir, page.away[0])
	s := open(t, path, sqlite.Config{CheckpointPages: 50}) // with checkpoints in between
	if found, err := s.HasKeys(t.Context()); err != nil || found {
		t.Errorf("keys in a new file: %t %v", found, err)
	}
	key := humanhours.APIKey{ID: "3fK9xQ2b", Org: "acme", CreatedAt: storetest.Entry("acme", 0).At}
	if _, _, err := s.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}

	const most, perAppend = 100_000, 5
	progress, stop := make(chan int, most), make(chan struct{}) // progress has the appends that were answered, as a count
	var writing sync.WaitGroup
	writing.Go(func() {
		defer close(progress)
		for n := range most {
			select {
			case <-stop:
				return
			default:
			}
			for _, got := range s.Append(t.Context(), entries(n*perAppend, perAppend)) {
				if got.Err != nil || got.Replayed {
					t.Errorf("replayed %t, error %v", got.Replayed, got.Err)
					return
				}
			}
			progress <- n + 1
		}
	})
	stopWriting := sync.OnceFunc(func() {
		close(stop)
		writing.Wait()
	})
	defer stopWriting()
	wait := func(more int) (answered int) {
		t.Helper()
		for range more {
			n, ok := <-progress
			if !ok {
				t.Fatal("the writer has ended")
			}
			answered = n
		}
		return answered
	}
	before := wait(100)
	if got := shell(t, dir, page.backup); got != "ok" {
		t.Fatalf("the check of the backup: %s", got)
	}
	wait(len(progress) + 100) // what comes after the backup
	stopWriting()
	total := 0
	for _, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		total++
	}

	// A process that is killed leaves its log. It is not that of the backup.
	log, err := os.ReadFile(path + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatalf("the log has %d bytes, error %v", len(log), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", log, 0o600); err != nil {
		t.Fatal(err)
	}

	away := t.TempDir()
	for _, name := range page.away {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(away, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	shell(t, dir, page.restore[0])
	if got := shell(t, dir, page.restore[1]); got != "ok" {
		t.Fatalf("the check of what was restored: %s", got)
	}

	restored := open(t, path, sqlite.Config{})
	inside := make(map[string]humanhours.Event)
	for e, err := range restored.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		inside[e.ID] = e
	}
	for _, want := range entries(0, before*perAppend) {
		if got, ok := inside[want.Event.ID]; !ok || !got.Equal(&want.Event) {
			t.Fatalf("event %s was answered before the backup: in it %t, equal %t", want.Event.ID, ok, got.Equal(&want.Event))
		}
	}
	if len(inside)%perAppend != 0 || len(inside) >= total {
		t.Errorf("%d events are in the backup, want whole appends of %d, and fewer than the %d that were stored in the end", len(inside), perAppend, total)
	}
	if n := used(t, restored, storetest.Entry("acme", 0).At); n != int64(len(inside)) {
		t.Errorf("%d events are counted, %d are there", n, len(inside))
	}
	if got, ok, err := restored.Key(t.Context(), key.ID); err != nil || !ok || got != key {
		t.Errorf("the API key: %+v %t %v", got, ok, err)
	}
	if found, err := restored.HasKeys(t.Context()); err != nil || !found {
		t.Errorf("there is a key: %t %v", found, err)
	}
	again := func(i int, id string) bool { // a client sends it again, and the server gives it a new id
		retry := entries(i, 1)
		retry[0].Event.ID = id
		got := restored.Append(t.Context(), retry)[0]
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		return got.Replayed
	}
	if !again(0, "retry-1") {
		t.Error("a retry of what is in the backup made a new event")
	}
	if after := len(inside); again(after, "retry-2") || !again(after, "retry-3") {
		t.Error("of the retries of what came after the backup, the first makes an event and the second does not")
	}
	t.Logf("%d events answered before the backup, %d in it, %d in the end", before*perAppend, len(inside), total)
}
