//go:build linux

package sqlite_test

import (
	"bufio"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/humanhours/humanhours-go/store/sqlite"
)

const (
	syncChild   = "SQLITE_TEST_SYNC_CHILD" // set in the process that is traced
	syncFile    = "sync.db"
	syncAppends = 20
	syncAnswer  = "answered "
)

// What the kernel is asked for, as strace sees it: with Full nothing of the log is unsynced when Append returns. With Normal
// everything is, which shows that the trace would tell.
func TestTheFileIsSyncedBeforeTheAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		cfg      sqlite.Config
		unsynced int // answers
	}{
		"Full":            {sqlite.Config{}, 0},
		"FullCheckpoints": {sqlite.Config{CheckpointPages: 30}, 0}, // the log starts anew every few answers
		"Normal":          {sqlite.Config{Synchronous: sqlite.Normal}, syncAppends},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(syncChild) != "" {
				appendAndAnswer(t, test.cfg)
				return
			}
			got := readTrace(t, traceChild(t))
			if got.answers != syncAppends {
				t.Fatalf("the trace has %d answers, want %d", got.answers, syncAppends)
			}
			if len(got.idle) > 0 {
				t.Fatalf("the trace has no write to the log before the answers %q", got.idle)
			}
			if len(got.unsynced) != test.unsynced {
				t.Errorf("something of the log was not synced at %d answers, want %d: %q", len(got.unsynced), test.unsynced, got.unsynced)
			}
			if test.unsynced == 0 && !got.folder {
				t.Error("the folder was not synced before the first answer: a new file could be lost with its name")
			}
		})
	}
}

// appendAndAnswer is the traced process. Each line it writes is one system call.
func appendAndAnswer(t *testing.T, cfg sqlite.Config) {
	s := open(t, filepath.Join(t.TempDir(), syncFile), cfg)
	for i, e := range entries(0, syncAppends) {
		mustAppend(t, s, e)
		if _, err := fmt.Fprintf(os.Stdout, "%s%d\n", syncAnswer, i); err != nil {
			t.Fatal(err)
		}
	}
}

// traceChild runs the calling test in a process of its own, under strace, and returns the name of the trace.
func traceChild(t *testing.T) string {
	t.Helper()
	if out, err := osexec.CommandContext(t.Context(), "strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("strace cannot be run: %v\n%s", err, out)
		}
		t.Skipf("SKIPPED: strace cannot be run, so nobody sees whether the file is synced: %v\n%s", err, out)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := osexec.CommandContext(t.Context(), "strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write,pwrite64,writev,pwritev,pwritev2",
		"-e", "signal=none", "-o", trace, binary, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), syncChild+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return trace
}

// traced is what a trace says.
type traced struct {
	answers  int
	idle     []string // answers before which nothing was written to the log
	unsynced []string // answers at which something was written to the log and not synced
	folder   bool     // the file's folder was synced before the first answer
}

var (
	traceStart  = regexp.MustCompile(`^(\d+) +(\w+)\(\d+<([^>]*)>(?:, "(` + syncAnswer + `\d+)\\n")?`)
	traceResult = regexp.MustCompile(`^(\d+) +.*\) += 0\b`)
)

// readTrace counts a write from the moment it starts, and a sync when it has ended well, for the writes before it started.
func readTrace(t *testing.T, name string) (got traced) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	type call struct {
		name, file string
		writes     int // that had started before it
	}
	calls := make(map[string]call) // the last one of each thread
	var writes, synced, answered int
	var folder string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if start := traceStart.FindStringSubmatch(line); start != nil {
			c := call{name: start[2], file: start[3], writes: writes}
			calls[start[1]] = c
			switch answer := start[4]; {
			case strings.HasSuffix(c.file, "/"+syncFile+"-wal") && strings.Contains(c.name, "write"):
				folder = filepath.Dir(c.file)
				writes++
			case answer != "":
				got.answers++
				if writes == answered {
					got.idle = append(got.idle, answer)
				}
				if writes > synced {
					got.unsynced = append(got.unsynced, answer)
				}
				answered = writes
			}
		}
		end := traceResult.FindStringSubmatch(line)
		if end == nil {
			continue
		}
		switch c := calls[end[1]]; {
		case !strings.HasSuffix(c.name, "sync"):
		case strings.HasSuffix(c.file, "/"+syncFile+"-wal"):
			synced = max(synced, c.writes)
		case c.file == folder && got.answers == 0:
			got.folder = true
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}
