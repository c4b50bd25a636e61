package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

const (
	asServer    = "SERVER_TEST_PROCESS"   // set in a process that is the server and not its tests
	asFileLimit = "SERVER_TEST_FILE_SIZE" // how many bytes a file of that process may have, until SIGUSR1
)

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	if limit := os.Getenv(asFileLimit); limit != "" {
		if err := limitFiles(limit); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	main()
}

// limitFiles stands in for a disk that is full: no file grows beyond limit, until SIGUSR1 makes space.
func limitFiles(limit string) error {
	n, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ) // a write that does not fit fails
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &files); err != nil {
		return err
	}
	space := make(chan os.Signal, 1)
	signal.Notify(space, syscall.SIGUSR1)
	go func() {
		<-space
		files.Cur = files.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &files)
	}()
	limited := files
	limited.Cur = n
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited)
}

// process is a server in a process of its own.
type process struct {
	cmd    *exec.Cmd
	url    string
	client *http.Client
	stderr *syncBuffer
	wait   func() error // until it has ended
}

// connections is how many clients there are at once.
const connections = 16

// spawn starts a server on a free port. The test's end kills it.
func spawn(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{
		cmd:    exec.Command(self, append([]string{"-addr", "127.0.0.1:0"}, args...)...),
		stderr: &syncBuffer{},
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}},
	}
	p.cmd.Env = append(append(os.Environ(), asServer+"=1"), environment...)
	p.cmd.Stderr = p.stderr
	stdout, in, err := os.Pipe()
	require.NoError(t, err)
	p.cmd.Stdout = in
	err = p.cmd.Start()
	_ = in.Close()
	require.NoError(t, err)
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		p.kill(t)
		_ = stdout.Close()
	})

	hung := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer hung.Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "listens on "); ok {
			p.url = url
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return p
		}
	}
	_ = p.wait()
	require.Fail(t, "the server ended early", p.stderr.String())
	return nil
}

// kill sends SIGKILL and reports whether that is what ended the process.
func (p *process) kill(t *testing.T) bool {
	t.Helper()
	_ = p.cmd.Process.Kill()
	err := p.wait()
	p.client.CloseIdleConnections()
	require.NotContains(t, p.stderr.String(), "DATA RACE")
	require.NotContains(t, p.stderr.String(), "panic")
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signaled() && status.Signal() == syscall.SIGKILL, "it ended by itself: %v\n%s", err, p.stderr.String())
	return true
}

// answer is what came back, without the end of the line.
type answer struct {
	status int
	body   string
}

// track sends the event of an idempotency key. It is always the same event, and its agent is the key.
func (p *process) track(apiKey, key string) (answer, error) {
	body := fmt.Sprintf(`{"agent_id":%q,"task_type":"email_classification","outcome":"success",`+
		`"agent_duration_seconds":4.125,"metadata":{"key":%[1]q,"rest":[1.10,null]}}`, key)
	request, err := http.NewRequest(http.MethodPost, p.url+"/v1/track", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := p.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{response.StatusCode, strings.TrimSuffix(string(got), "\n")}, nil
}

// code is the code of a problem that was answered.
func (a answer) code() humanhours.Code {
	var problem struct {
		Error struct {
			Code humanhours.Code `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(a.body), &problem)
	return problem.Error.Code
}

// ledger is what the clients were told.
type ledger struct {
	mu      sync.Mutex
	events  map[string]string // the answer of each key that has one
	created map[string]bool   // keys that were answered 201
}

func newLedger() *ledger {
	return &ledger{events: make(map[string]string), created: make(map[string]bool)}
}

// note takes down an event that was answered, and says what is wrong with it.
func (l *ledger) note(key string, a answer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, known := l.events[key]
	switch {
	case a.status != http.StatusCreated && a.status != http.StatusOK:
		return fmt.Errorf("%s was answered %d: %s", key, a.status, a.body)
	case known && first != a.body:
		return fmt.Errorf("%s has two answers:\n%s\n%s", key, first, a.body)
	case a.status == http.StatusCreated && l.created[key]:
		return fmt.Errorf("%s was created twice", key)
	}
	l.events[key] = a.body
	l.created[key] = l.created[key] || a.status == http.StatusCreated
	return nil
}

func (l *ledger) keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := make([]string, 0, len(l.events))
	for key := range l.events {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// each calls f for every key, from all connections at once.
func each(keys []string, f func(i int, key string)) {
	var next atomic.Int64
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(keys); i = int(next.Add(1)) - 1 {
				f(i, keys[i])
			}
		})
	}
	clients.Wait()
}

// replays checks that every answer is given again, as a replay.
func (l *ledger) replays(t *testing.T, p *process, apiKey string) {
	t.Helper()
	each(l.keys(), func(_ int, key string) {
		a, err := p.track(apiKey, key)
		if assert.NoError(t, err) && assert.Equal(t, http.StatusOK, a.status, "%s: %s", key, a.body) {
			assert.NoError(t, l.note(key, a))
		}
	})
}

// check holds the file against the ledger: those events, each once, with those answers, and counts that agree.
func (l *ledger) check(t *testing.T, db, org string) {
	t.Helper()
	s, err := sqlite.Open(db, sqlite.Config{})
	require.NoError(t, err)
	defer s.Close()
	l.checkStore(t, s, org)

	raw, err := sql.Open("sqlite", db)
	require.NoError(t, err)
	defer raw.Close()
	var verdict string
	require.NoError(t, raw.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	var counted int
	require.NoError(t, raw.QueryRowContext(t.Context(), "SELECT sum(events) FROM usage").Scan(&counted))
	require.Equal(t, len(l.events), counted, "there are counts of other months or orgs")
}

// checkStore does so with what a store answers.
func (l *ledger) checkStore(t *testing.T, s humanhours.Store, org string) {
	t.Helper()
	stored := make(map[string]string)
	months := make(map[humanhours.Month]int64)
	for event, err := range s.Events(t.Context(), humanhours.EventQuery{Org: org}) {
		require.NoError(t, err)
		require.NotContains(t, stored, event.AgentID, "a key with two events")
		stored[event.AgentID] = string(event.AppendJSON(nil))
		months[humanhours.MonthOf(event.ReceivedAt)]++
	}
	require.Len(t, stored, len(l.events))
	for key, want := range l.events {
		require.Equal(t, want, stored[key], key)
	}
	for month, events := range months {
		used, err := s.Usage(t.Context(), org, month)
		require.NoError(t, err)
		require.Equal(t, events, used, "the count of %s", month)
	}
}

// acme has no limits.
func acme(t *testing.T) string {
	return writeOrgs(t, `{"orgs":[{"id":"acme","currency":"USD","hourly_rate":60.5,"keys":["`+key1+`"]}]}`)
}

// TestKilledServerLosesNothing kills the server at moments that nobody chose, and retries what was not answered.
func TestKilledServerLosesNothing(t *testing.T) {
	want := 20
	if testing.Short() {
		want = 3
	}
	began := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	db, orgs := filepath.Join(t.TempDir(), "hours.db"), acme(t)
	l := newLedger()
	var (
		mu        sync.Mutex
		todo      []string // to be sent before new keys
		lost      = make(map[string]bool)
		sent      int
		retried   int
		kills     int
		stopped   int // of them, how many hit a server that was stopping
		landed    int // events that were stored and not answered
		unwelcome []error
	)
	next := func() string {
		mu.Lock()
		defer mu.Unlock()
		if len(todo) > 0 {
			key := todo[0]
			todo = todo[1:]
			return key
		}
		sent++
		return fmt.Sprintf("key-%05d", sent)
	}

	for round := 0; kills < want; round++ {
		require.Less(t, round, 2*want, "the server stops before it can be killed")
		p := spawn(t, nil, "-db", db, "-orgs", orgs)
		last := random.Int64N(200) + 1 // the answer after which it is killed
		stop := round%4 == 3           // or is told to stop, and killed when some clients have noticed
		noticed := random.Int64N(connections) + 1
		var answered, gone atomic.Int64
		var clients sync.WaitGroup
		for range connections {
			clients.Go(func() {
				for {
					key := next()
					a, err := p.track(key1, key)
					if err != nil {
						mu.Lock()
						lost[key] = true
						mu.Unlock()
						break
					}
					wrong := l.note(key, a)
					mu.Lock()
					if wrong != nil {
						unwelcome = append(unwelcome, wrong)
					}
					if lost[key] && a.status == http.StatusOK {
						landed++
					}
					delete(lost, key)
					mu.Unlock()
					if answered.Add(1) != last {
						continue
					}
					if stop {
						_ = p.cmd.Process.Signal(syscall.SIGTERM)
					} else {
						_ = p.cmd.Process.Kill()
					}
				}
				if gone.Add(1) == noticed && stop {
					_ = p.cmd.Process.Kill()
				}
			})
		}
		clients.Wait()
		require.Empty(t, unwelcome)
		require.GreaterOrEqual(t, answered.Load(), last, "it did not answer any more: %s", p.stderr.String())
		if p.kill(t) {
			kills++
			if stop {
				stopped++
			}
		}

		// What was not answered comes again, from two connections at once; some of the rest too.
		todo = nil
		for key := range lost {
			todo = append(todo, key, key)
		}
		slices.Sort(todo)
		retried += len(lost)
		known := l.keys()
		for range 8 {
			todo = append(todo, known[random.IntN(len(known))])
		}
	}

	p := spawn(t, nil, "-db", db, "-orgs", orgs)
	each(todo, func(_ int, key string) {
		a, err := p.track(key1, key)
		if assert.NoError(t, err) {
			assert.NoError(t, l.note(key, a))
		}
	})
	require.Len(t, l.events, sent, "every key has its answer by now")
	l.replays(t, p, key1)
	require.True(t, p.kill(t))
	l.check(t, db, "acme")
	t.Logf("%d kills (%d while it stopped), %d events answered, %d retried, %d of them stored before, in %v",
		kills+1, stopped, len(l.events), retried, landed, time.Since(began).Round(time.Millisecond))
}

func TestTwoServersOnOneFile(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	testTwoServers(t, []string{"-db", db}, func(l *ledger) { l.check(t, db, "acme") })
}

// testTwoServers sends each key to two servers at once, and more keys than the month has room for. Both are where the flags say, and
// check holds that against what they answered.
func testTwoServers(t *testing.T, flags []string, check func(*ledger)) {
	const excess = 20
	quota := int(humanhours.DefaultPlans()["free"].EventsPerMonth)
	perSecond := humanhours.DefaultPlans()["free"].RequestsPerSecond
	var apiKeys []string // so many that none reaches the limit of its rate, also if the servers share it
	for range 2*(quota+excess)/perSecond + 1 {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), slices.Concat([]string{"keys", "create", "-org", "acme", "-plan", "free"}, flags), &out, io.Discard))
		apiKeys = append(apiKeys, strings.TrimSpace(out.String()))
	}
	servers := []*process{spawn(t, nil, flags...), spawn(t, nil, flags...)}
	keys := make([]string, quota+excess)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%05d", i)
	}
	month := humanhours.MonthOf(time.Now())
	l := newLedger()
	var created, refused, mixed atomic.Int64
	var by [2]atomic.Int64
	each(keys, func(i int, key string) {
		var answers [2]answer
		var errs [2]error
		var both sync.WaitGroup
		for n, p := range servers {
			both.Go(func() { answers[n], errs[n] = p.track(apiKeys[i%len(apiKeys)], key) })
		}
		both.Wait()
		if !assert.NoError(t, errors.Join(errs[:]...)) {
			return
		}
		first, second := answers[0].status, answers[1].status
		switch {
		case first == http.StatusTooManyRequests && second == first:
			refused.Add(1)
			assert.Equal(t, humanhours.CodeQuotaExceeded, answers[0].code(), answers[0].body)
			assert.Equal(t, humanhours.CodeQuotaExceeded, answers[1].code(), answers[1].body)
			return
		case first == http.StatusCreated && second == http.StatusOK:
			by[0].Add(1)
		case first == http.StatusOK && second == http.StatusCreated:
			by[1].Add(1)
		default:
			mixed.Add(1)
		}
		created.Add(1)
		assert.NoError(t, errors.Join(l.note(key, answers[0]), l.note(key, answers[1])))
	})
	require.Zero(t, mixed.Load(), "one server creates and the other replays, or both refuse")
	for _, p := range servers {
		p.kill(t)
	}
	check(l)
	t.Logf("the servers created %d and %d events and refused %d", by[0].Load(), by[1].Load(), refused.Load())
	if month != humanhours.MonthOf(time.Now()) {
		t.Skip("a month has just ended: there is room in the next one")
	}
	require.EqualValues(t, quota, created.Load())
	require.EqualValues(t, excess, refused.Load())
}

// TestFullDisk fills the disk, and makes space with and without a restart.
func TestFullDisk(t *testing.T) {
	for name, again := range map[string]func(*testing.T, *process, ...string) *process{
		"restart": func(t *testing.T, p *process, args ...string) *process {
			require.True(t, p.kill(t))
			return spawn(t, nil, args...)
		},
		"no restart": func(t *testing.T, p *process, _ ...string) *process {
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGUSR1))
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "hours.db")
			args := []string{"-db", db, "-orgs", acme(t)}
			p := spawn(t, []string{asFileLimit + "=" + strconv.Itoa(1<<20)}, args...)
			l := newLedger()
			var mu sync.Mutex
			var refused []string
			send := func(_ int, key string) {
				a, err := p.track(key1, key)
				switch {
				case !assert.NoError(t, err):
				case a.status == http.StatusServiceUnavailable:
					assert.Equal(t, humanhours.CodeUnavailable, a.code(), a.body)
					mu.Lock()
					defer mu.Unlock()
					refused = append(refused, key)
				default:
					assert.NoError(t, l.note(key, a))
				}
			}
			sent := 0
			for len(refused) < 100 && !t.Failed() {
				require.Less(t, sent, 10_000, "the disk is never full")
				keys := make([]string, 50)
				for i := range keys {
					keys[i] = fmt.Sprintf("key-%05d", sent+i)
				}
				sent += len(keys)
				each(keys, send)
			}
			require.NotEmpty(t, l.events)
			stored := len(l.events)
			l.replays(t, p, key1) // a full disk can be read

			p = again(t, p, args...)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for full := true; full; { // the signal may take a moment
				require.NoError(t, ctx.Err(), "it does not recover: %s", p.stderr.String())
				a, err := p.track(key1, "space")
				require.NoError(t, err)
				if full = a.status == http.StatusServiceUnavailable; !full {
					require.NoError(t, l.note("space", a))
				}
			}
			l.replays(t, p, key1)
			unanswered := refused
			refused = nil
			each(unanswered, send)
			require.Empty(t, refused)
			for _, key := range unanswered {
				require.True(t, l.created[key], "%s was answered 503 and stored all the same", key)
			}
			each([]string{"new-1", "new-2", "new-3"}, send)
			require.Len(t, l.events, sent+4)
			require.True(t, p.kill(t))
			l.check(t, db, "acme")
			t.Logf("%d events on the full disk, %d answered 503 and sent again", stored, len(unanswered))
		})
	}
}
