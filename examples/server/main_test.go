package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// running is a server that serves in this process.
type running struct {
	url    string
	stdout string // what it printed until it listened
	stderr *syncBuffer
	stop   func() error // tells it to stop and waits until it has
}

// start runs the server on a free port, in memory unless args say otherwise. The test's end stops it.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	return startAt(t, append([]string{"-db", inMemory}, args...)...)
}

// startAt is start on the default database, unless args say otherwise.
func startAt(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, in := io.Pipe()
	s := &running{stderr: &syncBuffer{}}
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), in, s.stderr)
		in.CloseWithError(io.EOF)
		done <- err
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		go io.Copy(io.Discard, stdout)
		return <-done
	})
	t.Cleanup(func() { _ = s.stop() })

	var printed bytes.Buffer
	buf := make([]byte, 4096)
	listens := regexp.MustCompile(`listens on (http://\S+)`)
	end := regexp.MustCompile(`to stop\.\n$|as before; .*\n$`) // the last line, by the kind of start
	if slices.Contains(args, "-orgs") {
		end = regexp.MustCompile(`rates .*\n$`)
	}
	for !end.MatchString(printed.String()) {
		n, err := stdout.Read(buf)
		printed.Write(buf[:n])
		require.NoError(t, err, "the server ended early: %s%s", printed.String(), s.stderr.String())
	}
	s.stdout = printed.String()
	s.url = listens.FindStringSubmatch(s.stdout)[1]
	return s
}

const example = `{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success","agent_duration_seconds":4}`

func (s *running) post(t *testing.T, key string, body io.Reader) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, s.url+"/v1/track", body)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(answer)
}

// TestNewcomer does what the server prints.
func TestNewcomer(t *testing.T) {
	s := start(t)
	keys := regexp.MustCompile(`hh_live_[A-Za-z0-9]{8}_[A-Za-z0-9]{48}`).FindAllString(s.stdout, -1)
	require.Len(t, keys, 2, "the key alone, and within the curl")
	require.Equal(t, keys[0], keys[1])
	body := regexp.MustCompile(`-d '(.*)'`).FindStringSubmatch(s.stdout)[1]
	require.Equal(t, example, body)

	response, answer := s.post(t, keys[0], strings.NewReader(body))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	require.Contains(t, answer, `"hours_saved":0.066,"cost_saved":2.97`)

	response, err := http.Get(s.url + "/healthz")
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)

	require.NoError(t, s.stop())
	require.NotContains(t, s.stderr.String(), keys[0], "a key must not be logged")
}

// TestGracefulShutdown: a request whose body is still on its way when the server is told to stop gets its answer.
func TestGracefulShutdown(t *testing.T) {
	s := start(t)
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	body, send := io.Pipe()
	type result struct {
		status int
		answer string
	}
	answered := make(chan result, 1)
	go func() {
		response, answer := s.post(t, key, body)
		answered <- result{response.StatusCode, answer}
	}()
	// The second write returns only when the client has sent the first, so the request is under way.
	for _, part := range []string{example[:20], example[20:40]} {
		_, err := io.WriteString(send, part)
		require.NoError(t, err)
	}
	waitUntilReached(t, s)
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	s.stderr.wait("stopping")
	_, err := io.WriteString(send, example[40:])
	require.NoError(t, err)
	require.NoError(t, send.Close())
	got := <-answered
	require.Equal(t, http.StatusCreated, got.status)
	require.Contains(t, got.answer, `"net_saved":2.97`)
	require.NoError(t, <-stopped)
	_, err = net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.Error(t, err, "the port must be closed")
}

// waitUntilReached returns when the server has accepted the connections made so far: it accepts in order.
func waitUntilReached(t *testing.T, s *running) {
	t.Helper()
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(s.url + "/healthz")
	require.NoError(t, err)
	response.Body.Close()
}

func TestErrorsOfANewcomer(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"port taken", []string{"-addr", taken.Addr().String()}, taken.Addr().String() + " is in use by another program; choose another address with -addr"},
		{"no port", []string{"-addr", "localhost"}, "choose another address with -addr"},
		{"argument", []string{"start"}, `unexpected argument "start"; see -help`},
		{"no file", []string{"-addr", "127.0.0.1:0", "-orgs", filepath.Join(t.TempDir(), "none.json")}, "cannot read the file of -orgs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), append([]string{"-db", inMemory}, tc.args...), io.Discard, io.Discard)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "\n", "one plain sentence")
		})
	}
	t.Run("port taken at the first start", func(t *testing.T) {
		db := filepath.Join(t.TempDir(), "hours.db")
		require.Error(t, run(t.Context(), []string{"-addr", taken.Addr().String(), "-db", db}, io.Discard, io.Discard))
		require.Contains(t, start(t, "-db", db).stdout, "hh_live_", "the next start is the first one that shows a key")
	})
	t.Run("flag", func(t *testing.T) {
		var stderr bytes.Buffer
		require.ErrorIs(t, run(t.Context(), []string{"-port", "1"}, io.Discard, &stderr), errUsage)
		require.Contains(t, stderr.String(), "-addr")
	})
	t.Run("help", func(t *testing.T) {
		require.NoError(t, run(t.Context(), []string{"-help"}, io.Discard, io.Discard))
	})
}

const (
	key1 = "hh_live_AAAAAAA1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	key2 = "hh_live_AAAAAAA2_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	key3 = "hh_test_AAAAAAA3_cccccccccccccccccccccccccccccccccccccccccccccccc"
)

func writeOrgs(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orgs.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestOrgsFile(t *testing.T) {
	s := start(t, "-orgs", writeOrgs(t, `{"orgs":[
		{"id":"acme","plan":"free","currency":"USD","hourly_rate":60.5,"keys":["`+key1+`"],"revoked_keys":["`+key2+`"]},
		{"id":"umbrella","currency":"GBP","keys":["`+key3+`"]}]}`))
	require.NotContains(t, s.stdout, "hh_live_", "no first org beside the file's")

	response, answer := s.post(t, key1, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)
	require.Contains(t, answer, `"resolved_hourly_rate":60.5,"resolved_hourly_rate_source":"org","currency":"USD"`)

	response, answer = s.post(t, key2, strings.NewReader(example))
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.Contains(t, answer, `"key_revoked"`)

	response, answer = s.post(t, key3, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	require.Contains(t, answer, `"test":true`)
	require.Contains(t, s.stderr.String(), `org "umbrella" has no hourly_rate of its own: an hour counts as 45 GBP`)
}

func TestOrgsFileWithMistakes(t *testing.T) {
	for _, tc := range []struct{ name, content, want string }{
		{"not JSON", `{"orgs":`, "not valid"},
		{"trailing", `{"orgs":[{"id":"a"}]} x`, "something after"},
		{"empty", `{}`, "there are no orgs"},
		{"misspelt field", `{"orgs":[{"id":"a","hourly_rat":4}]}`, `unknown field "hourly_rat"`},
		{"no id", `{"orgs":[{"plan":"pro"}]}`, `orgs[0] (""): id must be 1 to 255 bytes`},
		{"blank id", `{"orgs":[{"id":" "}]}`, `orgs[0] (" "): id must be 1 to 255 bytes and not blank`},
		{"twice", `{"orgs":[{"id":"a"},{"id":"a"}]}`, `orgs[1] ("a"): the id stands twice`},
		{"plan", `{"orgs":[{"id":"a","plan":"gold"}]}`, `there is no plan "gold"; choose one of enterprise, free, pro`},
		{"currency", `{"orgs":[{"id":"a","currency":"euro"}]}`, "currency must be an ISO 4217 code"},
		{"rate", `{"orgs":[{"id":"a","hourly_rate":-1}]}`, "hourly_rate must not be negative"},
		{"huge rate", `{"orgs":[{"id":"a","hourly_rate":1e900}]}`, "hourly_rate must be at most 1,000,000"},
		{"key", `{"orgs":[{"id":"a","keys":["hh_live_short"]}]}`, "the API key is malformed"},
		{"key type", `{"orgs":[{"id":"a","keys":[12345]}]}`, "a key must be a string"},
		{"revoked key", `{"orgs":[{"id":"a","revoked_keys":["x"]}]}`, "the API key is malformed"},
		{"a key for a rate", `{"orgs":[{"id":"a","hourly_rate":"` + key1 + `"}]}`, "not valid"},
		{"a key for a field", `{"orgs":[{"id":"a","` + key1 + `":1}]}`, `unknown field "hh_..."`},
		{"a key for a plan", `{"orgs":[{"id":"a","plan":"` + key1 + `"}]}`, `there is no plan "hh_..."`},
		{"one id, two keys", `{"orgs":[{"id":"a","keys":["` + key1 + `","` + strings.ReplaceAll(key1, "a", "b") + `"]}]}`, "belongs to another key"},
		{"one key, two orgs", `{"orgs":[{"id":"a","keys":["` + key1 + `"]},{"id":"b","keys":["` + key1 + `"]}]}`, `orgs[1] ("b"): the key id AAAAAAA1 belongs to another key or org already`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-db", inMemory, "-orgs", writeOrgs(t, tc.content)}, io.Discard, io.Discard)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "aaaaaaaa", "no part of a secret")
		})
	}
}

// TestOrgUpdate: applying a file twice changes nothing the second time, and what is left out stays.
func TestOrgUpdate(t *testing.T) {
	var entry orgEntry
	require.NoError(t, json.Unmarshal([]byte(`{"id":"a","plan":"pro","hourly_rate":50}`), &entry))
	org := humanhours.Org{ID: "a", Currency: "USD"}
	changes, err := entry.update(&org)
	require.NoError(t, err)
	require.Len(t, changes, 2)
	require.Equal(t, "USD", org.Currency)
	org.Version = 1
	_, err = entry.update(&org)
	require.ErrorIs(t, err, errUnchanged)
}

// syncBuffer collects what several goroutines write.
type syncBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// wait returns when text has been written.
func (b *syncBuffer) wait(text string) {
	for {
		b.mu.Lock()
		if strings.Contains(b.buf.String(), text) {
			b.mu.Unlock()
			return
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		<-changed
	}
}

// TestRestart: a second start finds everything, prints no new key, and says where the data is.
func TestRestart(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	s := start(t, "-db", db)
	require.Contains(t, s.stdout, "in the file "+db)
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	post := func() (int, string) {
		request, err := http.NewRequest(http.MethodPost, s.url+"/v1/track", strings.NewReader(example))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "once")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
	status, first := post()
	require.Equal(t, http.StatusCreated, status)
	require.NoError(t, s.stop())

	s = start(t, "-db", db)
	require.NotContains(t, s.stdout, "hh_live_")
	require.Contains(t, s.stdout, "in the file "+db+"\n")
	status, again := post()
	require.Equal(t, http.StatusOK, status, "a replay, across the restart")
	require.Equal(t, first, again)
}

// TestFirstKey: a start shows a first key unless the database has one, whatever came before.
func TestFirstKey(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, db string){
		"nothing": func(*testing.T, string) {},
		"an empty file": func(t *testing.T, db string) {
			require.NoError(t, os.WriteFile(db, nil, 0o600))
		},
		"keys list": func(t *testing.T, db string) {
			_ = run(t.Context(), []string{"keys", "list", "-org", "acme", "-db", db}, io.Discard, io.Discard)
		},
		"keys create with a mistake": func(t *testing.T, db string) {
			require.Error(t, run(t.Context(), []string{"keys", "create", "-org", "acme", "-plan", "gold", "-db", db}, io.Discard, io.Discard))
		},
		"no orgs file": func(t *testing.T, db string) {
			none := filepath.Join(t.TempDir(), "none.json")
			require.Error(t, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-db", db, "-orgs", none}, io.Discard, io.Discard))
		},
		"an orgs file without keys": func(t *testing.T, db string) {
			require.NoError(t, start(t, "-db", db, "-orgs", writeOrgs(t, `{"orgs":[{"id":"first-org","plan":"free"}]}`)).stop())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			here, err := os.Getwd()
			require.NoError(t, err)
			before(t, "hours.db")
			s := start(t, "-db", "hours.db")
			key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
			require.NotEmpty(t, key, s.stdout)
			if name == "an orgs file without keys" {
				require.Contains(t, s.stdout, "is on the free plan", "the plan of an org that exists stays")
			} else {
				require.Contains(t, s.stdout, "is on the pro plan")
			}
			response, answer := s.post(t, key, strings.NewReader(example))
			require.Equal(t, http.StatusCreated, response.StatusCode, answer)
			require.NoError(t, s.stop())

			s = start(t, "-db", "hours.db")
			require.NotContains(t, s.stdout, "hh_live_")
			require.Contains(t, s.stdout, "in the file "+filepath.Join(here, "hours.db")+"\n", "wherever it was started")
		})
	}
}

// hint is the command for another key that a second start prints.
func hint(t *testing.T, s *running) string {
	t.Helper()
	found := regexp.MustCompile(`another one: (.* keys create .*)\n$`).FindStringSubmatch(s.stdout)
	require.NotNil(t, found, s.stdout)
	return found[1]
}

// TestHint: the command says what it must, and no more.
func TestHint(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, start(t, "-db", defaultDB).stop())
	require.Regexp(t, ` keys create -org first-org$`, hint(t, start(t, "-db", defaultDB)))

	db := filepath.Join(dir, "hours.db")
	require.NoError(t, run(t.Context(), []string{"keys", "create", "-org", "acme", "-db", db}, io.Discard, io.Discard))
	require.Regexp(t, ` keys create -org ID -db `+regexp.QuoteMeta(db)+`$`, hint(t, start(t, "-db", "hours.db")), "there is no first-org")
	require.NoError(t, run(t.Context(), []string{"keys", "create", "-org", "first-org", "-db", db}, io.Discard, io.Discard))
	require.Regexp(t, ` keys create -org first-org -db `+regexp.QuoteMeta(db)+`$`, hint(t, start(t, "-db", "hours.db")))

	require.Equal(t, "go run ./examples/server", program("go-build42/b001/exe/server"), "what go run made is gone tomorrow")
	require.Equal(t, "./server", program("./server"))
	require.Equal(t, `'/opt/it'\''s mine/server'`, program("/opt/it's mine/server"))
	require.Equal(t, `''`, quote(""))
}

// TestKeysCommand makes, lists and revokes keys beside a server that runs on the same file.
func TestKeysCommand(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	keys := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"keys"}, args...), &out, io.Discard)
		return out.String(), err
	}
	out, err := keys("create", "-org", "acme", "-plan", "free", "-db", db)
	require.NoError(t, err)
	key := strings.TrimSpace(out)
	require.NoError(t, humanhours.CheckKey(humanhours.NewSecret(key)))
	id := key[len("hh_live_"):][:8]

	s := start(t, "-db", db)
	response, answer := s.post(t, key, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)

	out, err = keys("list", "-org", "acme", "-db", db)
	require.NoError(t, err)
	require.Regexp(t, id+` +"acme" +live +all +\S+ +\S+ +valid`, out)
	require.NotContains(t, out, key[len(key)-48:])

	out, err = keys("revoke", "-db", db, id)
	require.NoError(t, err)
	require.Contains(t, out, `key `+id+` of org "acme" is revoked`)
	out, err = keys("list", "-org", "acme", "-db", db)
	require.NoError(t, err)
	require.Contains(t, out, "revoked 20")

	for want, args := range map[string][]string{
		"keys create needs -org ID":   {"create", "-db", db},
		"there is no key of that id":  {"revoke", "-db", db, "AAAAAAAA"},
		"takes the id of one key":     {"revoke", "-db", db},
		"plan must be one of":         {"create", "-org", "acme", "-plan", "gold", "-db", db},
		"gone when this command ends": {"create", "-org", "acme", "-db", inMemory},
		`unexpected argument "x"`:     {"list", "-org", "acme", "-db", db, "x"},
	} {
		_, err := keys(args...)
		require.ErrorContains(t, err, want)
	}
	for _, org := range []string{" ", "\t\n", strings.Repeat("a", 256), strings.Repeat("é", 150)} {
		_, err := keys("create", "-org", org, "-db", db)
		require.EqualError(t, err, "the id of an org must be 1 to 255 bytes and not blank")
	}
	_, err = keys("create", "-org", strings.Repeat("a", 255), "-db", db)
	require.NoError(t, err)
	_, err = keys("delete")
	require.ErrorIs(t, err, errUsage)
	_, err = keys()
	require.ErrorIs(t, err, errUsage)
}

// TestKeysWithoutADatabase: to look for keys makes no database.
func TestKeysWithoutADatabase(t *testing.T) {
	for _, args := range [][]string{{"list", "-org", "acme"}, {"revoke", "AAAAAAAA"}} {
		t.Run(args[0], func(t *testing.T) {
			dir := t.TempDir()
			db := filepath.Join(dir, "hours.db")
			args := slices.Insert(slices.Clone(args), 1, "-db", db)
			err := run(t.Context(), append([]string{"keys"}, args...), io.Discard, io.Discard)
			require.ErrorContains(t, err, "there is no database at "+db+"; ")
			require.ErrorContains(t, err, "keys create -org ID -db "+db)
			require.NotContains(t, err.Error(), "\n")
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)

			require.NoError(t, os.WriteFile(db, nil, 0o600))
			err = run(t.Context(), append([]string{"keys"}, args...), io.Discard, io.Discard)
			require.ErrorContains(t, err, "there is no database at "+db, "an empty file is none")
			info, err := os.Stat(db)
			require.NoError(t, err)
			require.Zero(t, info.Size())
		})
	}
}

// TestKeysBesideALock: whoever waited in vain is told for whom.
func TestKeysBesideALock(t *testing.T) {
	db := filepath.Join(t.TempDir(), "hours.db")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"keys", "create", "-org", "acme", "-db", db}, &out, io.Discard))
	other, err := sql.Open("sqlite", db)
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	for name, args := range map[string][]string{
		"create":        {"create", "-org", "acme", "-db", db},
		"create a plan": {"create", "-org", "acme", "-plan", "pro", "-db", db},
		"revoke":        {"revoke", "-db", db, out.String()[len("hh_live_"):][:8]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for some seconds
			err := run(t.Context(), append([]string{"keys"}, args...), io.Discard, io.Discard)
			require.ErrorContains(t, err, "did not answer: ")
			require.ErrorContains(t, err, "another process has been writing for 5s: database is locked")
			require.NotContains(t, err.Error(), "\n")
			t.Log(err)
		})
	}
}

// newer makes a database of a release that is not there yet.
func newer(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "newer.db")
	s, err := sqlite.Open(path, sqlite.Config{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "PRAGMA user_version = 999")
	require.NoError(t, errors.Join(err, db.Close()))
	return path
}

// badDatabases are files that the server cannot use, and what it says of them.
func badDatabases(t *testing.T) map[string]struct{ db, want string } {
	notADatabase := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(notADatabase, bytes.Repeat([]byte("not a database\n"), 100), 0o600))
	noFolder := filepath.Join(t.TempDir(), "none")
	folder := t.TempDir()
	newer := newer(t)
	bad := map[string]struct{ db, want string }{
		"no folder":               {filepath.Join(noFolder, "hours.db"), "the folder " + noFolder + ", where the database should be, does not exist"},
		"not a database":          {notADatabase, notADatabase + " is not a SQLite database, or is damaged"},
		"a folder":                {folder, folder + " is a folder, not a database file"},
		"file of a newer version": {newer, newer + " was written by a newer release (schema version 999"},
	}
	if runtime.GOOS == "linux" { // root can write to every other folder
		bad["folder not writable"] = struct{ db, want string }{"/proc/hours.db", "/proc/hours.db cannot be opened; it and its folder must be writable"}
	}
	return bad
}

// TestDatabaseErrors: what a newcomer meets is one plain sentence.
func TestDatabaseErrors(t *testing.T) {
	for name, bad := range badDatabases(t) {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{"-addr", "127.0.0.1:0", "-db", bad.db}, {"keys", "create", "-org", "acme", "-db", bad.db}} {
				err := run(t.Context(), args, io.Discard, io.Discard)
				require.ErrorContains(t, err, bad.want)
				require.NotContains(t, err.Error(), "\n")
				t.Log(err)
			}
		})
	}
}
