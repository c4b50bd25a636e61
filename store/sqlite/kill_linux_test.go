//go:build linux

package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// Set in a process that appends until it is killed, and has no tests. Its arguments are a file, the first entry and a number of its own.
const killChild = "SQLITE_TEST_KILL_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(killChild) == "" {
		os.Exit(m.Run())
	}
	fmt.Fprintln(os.Stderr, appendUntilKilled(os.Args[1:]))
	os.Exit(1)
}

// attempt is the i-th entry as a process sends it: the key is that of every attempt, and the id is its own.
func attempt(i, process int) humanhours.Entry {
	e := entries(i, 1)[0]
	e.Event.ID, e.Event.AgentID = fmt.Sprintf("%06d.%03d", i, process), e.Key
	return e
}

// attempted is the opposite.
func attempted(id string) (i, process int, err error) {
	_, err = fmt.Sscanf(id, "%06d.%03d", &i, &process)
	return i, process, err
}

// appendUntilKilled writes a line for each append that was answered: the first entry, and the ids of the events that all of them have.
func appendUntilKilled(args []string) error {
	var numbers [2]int
	for i := range numbers {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	first, process := numbers[0], numbers[1]
	s, err := sqlite.Open(args[0], sqlite.Config{CheckpointPages: 1}) // each commit is followed by a checkpoint
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(3, uint64(process)))
	for {
		group := make([]humanhours.Entry, 1+random.IntN(8))
		for j := range group {
			group[j] = attempt(first+j, process)
		}
		line := strconv.Itoa(first)
		for _, got := range s.Append(context.Background(), group) {
			if got.Err != nil || got.QuotaExceeded || got.Mismatch {
				return fmt.Errorf("an append of %d from %d: %+v", len(group), first, got)
			}
			line += " " + got.Event.ID
		}
		if _, err := io.WriteString(os.Stdout, line+"\n"); err != nil {
			return err
		}
		first += len(group)
	}
}

// victim is a process that appends.
type victim struct {
	cmd    *osexec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
	lines  []string // that it wrote
}

func startVictim(t *testing.T, path string, first, process int) *victim {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: osexec.CommandContext(t.Context(), self, path, strconv.Itoa(first), strconv.Itoa(process))}
	v.cmd.Env = append(os.Environ(), killChild+"=1")
	v.cmd.Stderr = &v.stderr
	pipe, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	v.stdout = bufio.NewReader(pipe)
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return v
}

// read takes n lines, or those that are left.
func (v *victim) read(n int) error {
	for range n {
		line, err := v.stdout.ReadString('\n')
		if err != nil {
			return err
		}
		v.lines = append(v.lines, strings.TrimSuffix(line, "\n"))
	}
	return nil
}

// kill ends the process after n more lines and a moment: of its own, or counted from the start of a checkpoint.
func (v *victim) kill(path string, n int, checkpoint bool, spins int) error {
	hung := time.AfterFunc(time.Minute, func() { _ = v.cmd.Process.Kill() })
	defer hung.Stop()
	early := v.read(n)
	if early == nil && checkpoint {
		early = waitForCheckpoint(path)
	}
	for range spins {
		runtime.Gosched()
	}
	_ = v.cmd.Process.Kill()
	for early == nil && v.read(1) == nil { // what it wrote before it noticed
	}
	err := v.cmd.Wait()
	var exit *osexec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL && early == nil && v.stderr.Len() == 0 {
			return nil
		}
	}
	return fmt.Errorf("it was not killed while it appended: %w\n%s", errors.Join(early, err), v.stderr.String())
}

// Where the header of the index of the log has how many frames were moved to the file, and how many a checkpoint set out to move.
const moved, tried = 96, 128

// inCheckpoint reports whether the last checkpoint was not finished.
func inCheckpoint(t *testing.T, path string) bool {
	t.Helper()
	index, err := os.ReadFile(path + "-shm")
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint32(index[moved:]) != binary.NativeEndian.Uint32(index[tried:])
}

// waitForCheckpoint returns when one is under way, or after many looks.
func waitForCheckpoint(path string) (err error) {
	file, err := os.Open(path + "-shm")
	if err != nil {
		return err
	}
	defer file.Close()
	index, err := syscall.Mmap(int(file.Fd()), 0, os.Getpagesize(), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Munmap(index)) }()
	number := func(at int) uint32 { return atomic.LoadUint32((*uint32)(unsafe.Pointer(&index[at]))) }
	for range 10_000_000 {
		if number(moved) != number(tried) {
			return nil
		}
	}
	return nil
}

// size is 0 if there is no file.
func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// What was answered is there, whole and once, when processes are killed while they move the log into the file, or somewhere else.
// It is the death of processes only: what they have handed to the system survives that, synced or not.
func TestKilledInCheckpoints(t *testing.T) {
	const rounds = 24
	began := time.Now()
	path := file(t)
	random := rand.New(rand.NewPCG(1, 2))
	answered := make(map[int]string) // the event of each entry
	next, process, kills, inside, logs, grew, unanswered := 0, 0, 0, 0, 0, 0, 0
	for round := range rounds {
		before, targeted := size(t, path), round%4 != 2
		first := max(0, next-random.IntN(8)) // some come again, and all that were not answered
		victims := []*victim{startVictim(t, path, first, process)}
		process++
		if round%4 == 3 { // the other goes on for a while, with the same entries
			victims = append(victims, startVictim(t, path, first, process))
			process++
		}
		for i, v := range victims {
			lines, spins := 1+20*i+random.IntN(12), random.IntN(100_000) // an append or more
			if targeted {
				spins = random.IntN(100)
			}
			if err := v.kill(path, lines, targeted, spins); err != nil {
				t.Fatal(err)
			}
			kills++
		}
		if inCheckpoint(t, path) {
			inside++
		}
		if size(t, path+"-wal") > 0 {
			logs++
		}
		if size(t, path) > before {
			grew++
		}
		for _, v := range victims {
			for _, line := range v.lines {
				ids := strings.Fields(line)
				i, err := strconv.Atoi(ids[0])
				if err != nil {
					t.Fatal(err)
				}
				for j, id := range ids[1:] {
					if known, ok := answered[i+j]; ok && known != id {
						t.Fatalf("round %d: entry %d was answered with event %s, and with %s", round, i+j, known, id)
					}
					answered[i+j] = id
					next = max(next, i+j+1)
				}
			}
		}
		unanswered += checkAnswers(t, path, answered) - len(answered)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if len(answered) != next {
		t.Errorf("%d entries were answered, want all %d", len(answered), next)
	}
	if inside == 0 || grew == 0 {
		t.Errorf("of %d kills %d were in a checkpoint, and the file grew %d times: nothing was shown", kills, inside, grew)
	}
	t.Logf("%d kills in %d rounds, %d of them ended in a checkpoint, %d left a log, in %d the file grew; %d events answered, %d stored and not answered, in %v",
		kills, rounds, inside, logs, grew, len(answered), unanswered, time.Since(began).Round(time.Millisecond))
}

// notInAgents counts the agents of events that the table of agents does not have, or has other instants of.
const notInAgents = `SELECT count(*) FROM
  (SELECT org, agent_id, test, min(occurred_at_ms), max(occurred_at_ms) FROM events GROUP BY 1, 2, 3 EXCEPT SELECT * FROM agents)`

// checkAnswers opens the file, holds it against the answers and returns how many events are in it.
func checkAnswers(t *testing.T, path string, answered map[int]string) int {
	t.Helper()
	s, err := sqlite.Open(path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stored, last := make(map[int]string), entries(0, 1)[0].At
	for event, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		i, process, err := attempted(event.ID)
		if err != nil {
			t.Fatal(err)
		}
		if sent := attempt(i, process); !event.Equal(&sent.Event) {
			t.Errorf("event %s is not what was sent: %+v", event.ID, event)
		}
		if other, ok := stored[i]; ok {
			t.Errorf("the key of entry %d has the events %s and %s", i, other, event.ID)
		}
		stored[i], last = event.ID, event.ReceivedAt
	}
	for i, id := range answered {
		if stored[i] != id {
			t.Errorf("entry %d was answered with event %s, and %q is stored", i, id, stored[i])
		}
	}
	requireSums(t, s, "acme")
	if n := used(t, s, last); n != int64(len(stored)) {
		t.Errorf("%d events are counted, %d are stored", n, len(stored))
	}
	db := raw(t, path)
	for query, want := range map[string]string{
		"PRAGMA integrity_check":                     "ok",
		"SELECT count(*) FROM idempotency":           strconv.Itoa(len(stored)),
		"SELECT count(*) FROM events_readable":       strconv.Itoa(len(stored)),
		"SELECT coalesce(sum(events), 0) FROM usage": strconv.Itoa(len(stored)),
		notInAgents: "0",
		"SELECT count(*) = (SELECT count(DISTINCT agent_id) FROM events) FROM agents":    "1",
		"SELECT count(*) FROM idempotency WHERE event_id NOT IN (SELECT id FROM events)": "0",
	} {
		if got := text(t, db, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if err := errors.Join(db.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return len(stored)
}
