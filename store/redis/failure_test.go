package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestKilledTenTimes(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client, prefix := server.Client(t), fresh()
	stores := []*redis.Store{open(t, client, prefix), open(t, server.Client(t), prefix)}
	wind := startStorm(t, stores, []string{"a", "b", "c"}, 12, 500*time.Millisecond)
	for range 10 {
		wind.more(40)
		server.Kill()
		server.Restart()
	}
	wind.more(40)
	wind.end(stores[0], client, prefix)
}

func TestAPauseIsNotAHang(t *testing.T) {
	t.Parallel() // it waits most of the time
	const pause = 2500 * time.Millisecond
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	s, err := redis.New(client, redis.Config{Prefix: prefix, Timeout: 700 * time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, s.Append(t.Context(), []humanhours.Entry{keyedEntry("acme", 0)})[0].Err)
	calls := map[string]func(context.Context, int) error{
		"Append": func(ctx context.Context, n int) error {
			return s.Append(ctx, []humanhours.Entry{keyedEntry("acme", n)})[0].Err
		},
		"Event": func(ctx context.Context, n int) error {
			_, _, err := s.Event(ctx, "acme", keyedEntry("acme", n).Event.ID)
			return err
		},
		"Events": func(ctx context.Context, _ int) (err error) {
			for _, err = range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
			}
			return err
		},
		"Replay": func(ctx context.Context, n int) error {
			e := keyedEntry("acme", n)
			_, err := s.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: e.Key, At: e.At})
			return err
		},
		"Usage": func(ctx context.Context, _ int) error {
			_, err := s.Usage(ctx, "acme", humanhours.Month{Year: 2026, Month: time.May})
			return err
		},
		"Agents": func(ctx context.Context, _ int) error { _, err := s.Agents(ctx, "acme", false); return err },
		"Amend": func(ctx context.Context, n int) error {
			_, err := s.Amend(ctx, amendment(0, humanhours.AmendVoid, n))
			return err
		},
		"Redact": func(ctx context.Context, n int) error {
			_, err := s.Amend(ctx, amendment(0, humanhours.AmendRedact, n))
			return err
		},
		"UpdateOrg": func(ctx context.Context, _ int) error {
			_, err := s.UpdateOrg(ctx, "acme", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, nil })
			return err
		},
		"PutKey": func(ctx context.Context, n int) error {
			_, _, err := s.PutKey(ctx, humanhours.APIKey{ID: strconv.Itoa(n), Org: "acme"})
			return err
		},
		"TouchKey": func(ctx context.Context, n int) error { return s.TouchKey(ctx, strconv.Itoa(n), time.Now()) },
		"Keys":     func(ctx context.Context, _ int) error { _, err := s.Keys(ctx, "acme"); return err },
		"Check":    func(ctx context.Context, _ int) error { return s.Check(ctx) },
	}
	server.Must(t, "CLIENT", "PAUSE", int(pause/time.Millisecond), "ALL")
	var all sync.WaitGroup
	n := 0
	for name, call := range calls {
		for _, deadline := range []time.Duration{0, 200 * time.Millisecond} {
			for range 8 { // more than go out at once
				n++
				mine := n
				all.Go(func() {
					ctx, want := context.Background(), 700*time.Millisecond
					if deadline > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, deadline)
						defer cancel()
						want = deadline
					}
					start := time.Now()
					err := call(ctx, mine)
					took := time.Since(start)
					assert.ErrorIs(t, err, context.DeadlineExceeded, "%s with a deadline of %v", name, deadline)
					assert.GreaterOrEqual(t, took, want-50*time.Millisecond, "%s with a deadline of %v", name, deadline)
					assert.Less(t, took, want+900*time.Millisecond, "%s with a deadline of %v", name, deadline)
				})
			}
		}
	}
	all.Wait()
	redistest.Eventually(t, func() error { return calls["Append"](context.Background(), 0) })
	answered := make(map[string]humanhours.Event)
	for i := range n + 1 { // what was sent during the pause may have been stored or not; a retry is answered either way
		e := keyedEntry("acme", i)
		got := s.Append(t.Context(), []humanhours.Entry{e})[0]
		require.NoError(t, got.Err)
		require.False(t, got.Replayed)
		answered[e.Key] = *got.Event
	}
	require.NoError(t, s.Close())
	second := open(t, client, prefix)
	audit(t, second, "acme", answered)
	require.NoError(t, second.Check(t.Context()), "the client is open")
}

func TestConnectionsAreKilled(t *testing.T) {
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	stores := []*redis.Store{open(t, client, prefix), open(t, server.Client(t), prefix)}
	wind := startStorm(t, stores, []string{"a", "b"}, 12, 5*time.Second)
	for range 30 {
		wind.more(10)
		server.Must(t, "CLIENT", "KILL", "TYPE", "normal")
	}
	wind.end(stores[0], client, prefix)
	require.Zero(t, wind.failures.Load(), "a new connection is made within the deadline: %v", wind.errors())
}

func TestMemoryIsFull(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	client, prefix, ctx := server.Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	wind := startStorm(t, []*redis.Store{s}, []string{"a", "b", "c"}, 12, 2*time.Second)
	update := func(tag string) error {
		_, err := s.UpdateOrg(ctx, "a", func(*humanhours.Org) ([]humanhours.Change, error) { return []humanhours.Change{{Subject: tag}}, nil })
		return err
	}
	for range 5 {
		wind.more(100)
		server.Must(t, "CONFIG", "SET", "maxmemory", usedMemory(t, client)+20_000)
		wind.fail(50)
		// Nothing grows now, so what is there can be looked at: the same failures with one writer, of each kind.
		server.Must(t, "CONFIG", "SET", "maxmemory", 1)
		before := rawKeys(t, client, prefix+"{alone}")
		rehearsal := keyedEntry("alone", 1)
		rehearsal.Event.Test = true // the first write is another one
		for _, e := range []humanhours.Entry{keyedEntry("alone", 0), rehearsal} {
			err := s.Append(ctx, []humanhours.Entry{e})[0].Err
			require.ErrorContains(t, err, "raise maxmemory")
			require.ErrorContains(t, err, "OOM")
		}
		require.Equal(t, before, rawKeys(t, client, prefix+"{alone}"), "something of an entry that failed was written")
		require.ErrorContains(t, update("never"), "raise maxmemory")
		_, _, err := s.PutKey(ctx, humanhours.APIKey{ID: "never", Org: "a"})
		require.ErrorContains(t, err, "raise maxmemory")
		require.NoError(t, s.TouchKey(ctx, "never", time.Now()), "there is nothing to write")
		_, _, err = s.Event(ctx, "a", "x")
		require.NoError(t, err, "reading goes on")
		_, err = s.Agents(ctx, "a", false)
		require.NoError(t, err, "reading goes on")
		server.Must(t, "CONFIG", "SET", "maxmemory", 0)
	}
	wind.more(100)
	wind.end(s, client, prefix)
	for _, text := range wind.errors() {
		require.Contains(t, text, "OOM")
	}
	keys, err := s.Keys(ctx, "a")
	require.NoError(t, err)
	require.Empty(t, keys)
	history, err := s.History(ctx, humanhours.HistoryQuery{Org: "a"})
	require.NoError(t, err)
	require.Empty(t, history)
	require.NoError(t, update("now"))
}

// The address stays and what answers there changes, as with a name or a proxy: first the master, which becomes a replica of the one that was
// promoted, and then that one.
func TestReplicaIsPromoted(t *testing.T) {
	t.Parallel() // it waits most of the time
	master, replica := redistest.Start(t, "--repl-diskless-sync-delay", "0"), redistest.Start(t)
	replicate := func(server, of *redistest.Server) {
		host, port, err := net.SplitHostPort(of.Addr())
		require.NoError(t, err)
		server.Must(t, "REPLICAOF", host, port)
	}
	replicate(replica, master)
	redistest.Eventually(t, func() error {
		if info := replica.Must(t, "INFO", "replication"); !strings.Contains(info, "master_link_status:up") {
			return errors.New("the replica has not got everything yet")
		}
		return nil
	})
	var mu sync.Mutex
	address := master.Addr()
	client := goredis.NewClient(&goredis.Options{Addr: "redis.test:6379", Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		to := address
		mu.Unlock()
		var d net.Dialer
		return d.DialContext(ctx, "tcp", to)
	}})
	t.Cleanup(func() { _ = client.Close() })
	prefix := fresh()
	s := open(t, client, prefix)
	wind := startStorm(t, []*redis.Store{s}, []string{"a", "b"}, 8, 500*time.Millisecond)
	wind.more(100)

	// By hand, and without losing what is under way: the master stops writing, the replica has all of it, and takes over.
	master.Must(t, "CLIENT", "PAUSE", 20_000, "WRITE")
	redistest.Eventually(t, func() error {
		offset := func(server *redistest.Server, name string) string {
			for line := range strings.Lines(server.Must(t, "INFO", "replication")) {
				if value, ok := strings.CutPrefix(line, name+":"); ok {
					return strings.TrimSpace(value)
				}
			}
			return name
		}
		if a, b := offset(master, "master_repl_offset"), offset(replica, "slave_repl_offset"); a != b {
			return fmt.Errorf("the master is at %s, the replica at %s", a, b)
		}
		return nil
	})
	replica.Must(t, "REPLICAOF", "NO", "ONE")
	replicate(master, replica)
	master.Must(t, "CLIENT", "UNPAUSE")
	wind.fail(20)
	entry := keyedEntry("a", int(wind.made.Add(1)))
	err := prompt(t, "Append", 300*time.Millisecond, func(ctx context.Context) error { return s.Append(ctx, []humanhours.Entry{entry})[0].Err })
	require.ErrorIs(t, err, context.DeadlineExceeded, "it may pass, so it is tried until the deadline")
	require.ErrorContains(t, err, "READONLY")
	require.ErrorContains(t, err, "point the client at the master")
	entry.Event.Test = true
	err = prompt(t, "Append", 300*time.Millisecond, func(ctx context.Context) error { return s.Append(ctx, []humanhours.Entry{entry})[0].Err })
	require.ErrorContains(t, err, "READONLY")
	err = prompt(t, "UpdateOrg", 300*time.Millisecond, func(ctx context.Context) error {
		_, err := s.UpdateOrg(ctx, "a", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, nil })
		return err
	})
	require.ErrorContains(t, err, "READONLY")

	mu.Lock()
	address = replica.Addr()
	mu.Unlock()
	master.Kill()
	wind.more(200)
	wind.end(s, client, prefix)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel() // it waits most of the time
	server := redistest.Start(t)
	server.Must(t, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+eval", "+evalsha")
	server.Must(t, "ACL", "SETUSER", "default", "resetpass", ">other")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())
	for name, test := range map[string]struct {
		options goredis.Options
		says    []string
		waits   bool
	}{
		"no password":       {goredis.Options{Addr: server.Addr()}, []string{"set it in the options"}, false},
		"another password":  {goredis.Options{Addr: server.Addr(), Password: "x"}, []string{"WRONGPASS", "refuses the user name or the password"}, false},
		"a user who cannot": {goredis.Options{Addr: server.Addr(), Username: "reader", Password: "secret"}, []string{"may not do this"}, false},
		"nobody there":      {goredis.Options{Addr: nobody}, []string{nobody, "refused"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			client := goredis.NewClient(&test.options)
			defer client.Close()
			s, err := redis.New(client, redis.Config{Timeout: 4 * time.Second}) // go-redis dials for half of that
			require.NoError(t, err)
			defer s.Close()
			var err2 error
			var other sync.WaitGroup
			start := time.Now()
			other.Go(func() {
				_, err2 = s.UpdateOrg(t.Context(), "acme", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, nil })
			})
			err = s.Append(t.Context(), []humanhours.Entry{keyedEntry("acme", 1)})[0].Err
			other.Wait()
			if !test.waits {
				require.Less(t, time.Since(start), time.Second, "it is no use to try again")
			}
			for _, text := range test.says {
				assert.ErrorContains(t, err, text)
				assert.ErrorContains(t, err2, text)
			}
		})
	}
}

func TestCloseDrains(t *testing.T) {
	const callers = 64
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	sent := make(sending, 1)
	client.AddHook(sent)
	s, err := redis.New(client, redis.Config{Prefix: prefix})
	require.NoError(t, err)
	server.Must(t, "CLIENT", "PAUSE", 300, "ALL")
	results := make([]error, callers)
	var all, begun sync.WaitGroup
	begun.Add(callers)
	for i := range callers {
		all.Go(func() {
			begun.Done()
			results[i] = s.Append(context.Background(), []humanhours.Entry{keyedEntry("acme", i)})[0].Err
		})
	}
	begun.Wait()
	<-sent
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	all.Wait()
	stored := 0
	for _, err := range results {
		if err == nil {
			stored++
		} else {
			require.ErrorIs(t, err, store.ErrClosed)
		}
	}
	require.Positive(t, stored)
	require.ErrorIs(t, s.Append(t.Context(), []humanhours.Entry{keyedEntry("acme", 999)})[0].Err, store.ErrClosed)
	require.NoError(t, client.Ping(t.Context()).Err(), "the client is the caller's")
	used, err := s.Usage(t.Context(), "acme", humanhours.Month{Year: 2026, Month: time.May})
	require.NoError(t, err, "reading goes on")
	require.EqualValues(t, stored, used)
	redistest.Eventually(t, func() error {
		stacks := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(stack, "store/redis.") || strings.Contains(stack, "internal/gather") {
				return fmt.Errorf("a goroutine still runs:\n%s", stack)
			}
		}
		return nil
	})
}

// sending tells of each script call that is about to be sent, if somebody listens.
type sending chan struct{}

func (sending) DialHook(next goredis.DialHook) goredis.DialHook { return next }
func (sending) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}
func (s sending) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		select {
		case s <- struct{}{}:
		default:
		}
		return next(ctx, cmd)
	}
}

// A connection that breaks after Redis has carried out a script: the answer is lost, and the call is made again.
type loseAnswer struct {
	mu   sync.Mutex
	then func() // before the call is made again; nil: nothing is lost
	skip int    // answers that arrive before
	keep bool   // this one arrives too: then only comes between it and the next call
}

func (*loseAnswer) DialHook(next goredis.DialHook) goredis.DialHook { return next }
func (*loseAnswer) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (l *loseAnswer) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if !strings.HasPrefix(cmd.Name(), "eval") || err != nil {
			return err
		}
		l.mu.Lock()
		then, keep := l.then, l.keep
		if l.skip > 0 {
			l.skip, then = l.skip-1, nil
		} else {
			l.then, l.keep = nil, false
		}
		l.mu.Unlock()
		if then != nil {
			if then(); keep {
				return nil
			}
			cmd.SetErr(net.ErrClosed)
			return net.ErrClosed
		}
		return nil
	}
}

func TestLostAnswers(t *testing.T) {
	server, prefix, ctx := redistest.Start(t), fresh(), t.Context()
	client, hook := server.Client(t), &loseAnswer{}
	client.AddHook(hook)
	s, other := open(t, client, prefix), open(t, server.Client(t), prefix)
	lose := func(then func()) {
		hook.mu.Lock()
		hook.then = then
		hook.mu.Unlock()
	}
	count := func(s *redis.Store) humanhours.Org {
		org, err := s.UpdateOrg(ctx, "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
			return []humanhours.Change{{Subject: strconv.FormatInt(o.Version, 10)}}, nil
		})
		require.NoError(t, err)
		return org
	}
	count(s) // the scripts are loaded
	lose(func() {
		for range 3 {
			count(other)
		}
	})
	require.EqualValues(t, 2, count(s).Version, "as it was when this update was made")
	history, err := s.History(ctx, humanhours.HistoryQuery{Org: "acme"})
	require.NoError(t, err)
	require.Len(t, history, 5, "no update was made twice")
	org, _, err := s.Org(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 5, org.Version)

	require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 0)})[0].Err)
	lose(func() {})
	got := s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 1)})[0]
	require.NoError(t, got.Err)
	require.False(t, got.Replayed)
	_, _, err = s.PutKey(ctx, humanhours.APIKey{ID: "j", Org: "acme"})
	require.NoError(t, err)
	lose(func() { _, _, err = other.RevokeKey(ctx, "k", time.Now()) })
	key, created, err := s.PutKey(ctx, humanhours.APIKey{ID: "k", Org: "acme"})
	require.NoError(t, err)
	require.True(t, created)
	require.False(t, key.RevokedAt.IsZero(), "it was revoked since")
	used := storetest.Event("acme", 0).ReceivedAt
	lose(func() { require.NoError(t, other.TouchKey(ctx, "k", used.Add(time.Hour))) })
	require.NoError(t, s.TouchKey(ctx, "k", used))
	key, _, err = s.Key(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, used.Add(time.Hour), key.LastUsedAt, "it was used since")
	requireAgents(t, other, "acme", []humanhours.Event{storetest.Event("acme", 0), storetest.Event("acme", 1)})
	auditRaw(t, server.Client(t), prefix, "acme", 2)
}

func TestWhatIsGoneIsAnErrorAtOnce(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	e := keyedEntry("acme", 1)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
	require.NoError(t, client.Del(ctx, prefix+"{acme}:e:1").Err())
	start := time.Now()
	_, _, err := s.Event(ctx, "acme", e.Event.ID)
	require.ErrorContains(t, err, "maxmemory-policy")
	_, err = s.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: e.Key, At: e.At})
	require.ErrorContains(t, err, "maxmemory-policy")
	require.ErrorContains(t, s.Append(ctx, []humanhours.Entry{e})[0].Err, "maxmemory-policy")
	for _, kind := range []humanhours.AmendmentKind{humanhours.AmendVoid, humanhours.AmendRedact} {
		_, err = s.Amend(ctx, amendment(1, kind, 0))
		require.ErrorContains(t, err, "maxmemory-policy")
	}
	history, err := s.History(ctx, humanhours.HistoryQuery{Org: "acme"})
	require.NoError(t, err)
	require.Empty(t, history)
	for _, err = range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
	}
	require.ErrorContains(t, err, "maxmemory-policy")
	requireAgents(t, s, "acme", []humanhours.Event{e.Event}) // which are not in the chunk
	require.NoError(t, client.Del(ctx, prefix+"{acme}:m").Err())
	_, err = s.Agents(ctx, "acme", false)
	require.ErrorContains(t, err, "maxmemory-policy")
	require.NoError(t, client.HSet(ctx, prefix+"{acme}:u", 2026*12+4, "x").Err())
	_, err = s.Usage(ctx, "acme", humanhours.Month{Year: 2026, Month: time.May})
	require.Error(t, err)
	require.Less(t, time.Since(start), 2*time.Second, "to try again does not help")
}

// Where a part of an org's data is evicted or deleted, the rest must never answer with something else than what is gone.
func TestWhatIsGoneIsNotSomethingElse(t *testing.T) {
	client, ctx := redistest.Start(t).Client(t), t.Context()
	for name, gone := range map[string][]string{
		"the amendments": {":v:1"}, "the open chunk": {":e:1"}, "the counters": {":m"}, "chunk and counters": {":e:1", ":m"}, "the index": {":i"},
		"counters and index": {":m", ":i"}, "all but the keys": {":m", ":i", ":e:1"}, "all but the chunk": {":m", ":i", ":k"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := fresh()
			s := open(t, client, prefix)
			old := make([]humanhours.Entry, 5)
			for i := range old {
				old[i] = keyedEntry("acme", i)
			}
			for _, got := range s.Append(ctx, old) {
				require.NoError(t, got.Err)
			}
			voided, err := s.Amend(ctx, amendment(0, humanhours.AmendVoid, 0))
			require.NoError(t, err)
			require.True(t, voided.Stored)
			for _, part := range gone {
				if part == ":k" {
					keys, err := client.Keys(ctx, prefix+"{acme}:k:*").Result()
					require.NoError(t, err)
					require.NoError(t, client.Del(ctx, keys...).Err())
					continue
				}
				require.NoError(t, client.Del(ctx, prefix+"{acme}"+part).Err())
			}
			known := make(map[string]humanhours.Event)
			for i := range old {
				known[old[i].Event.AgentID] = old[i].Event
			}
			for i := 5; i < 10; i++ { // these may be stored or refused
				_ = s.Append(ctx, []humanhours.Entry{keyedEntry("acme", i)})
			}
			agents, err := s.Agents(ctx, "acme", false)
			if err == nil {
				for _, a := range agents {
					if e, ok := known[a.ID]; ok {
						require.True(t, !a.First.After(e.OccurredAt) && !a.Last.Before(e.OccurredAt), "%+v", a)
						delete(known, a.ID)
					}
				}
				require.Empty(t, known, "agents of events that were stored are left out")
			}
			for i := range old {
				event, found, err := s.Event(ctx, "acme", old[i].Event.ID)
				require.True(t, err != nil || !found || event.Equal(&old[i].Event), "event %d is %+v", i, event)
				require.True(t, err != nil || !found || event.Voided() == (i == 0), "event %d has the amendments %+v", i, event.Amendments)
				replay, err := s.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: old[i].Key, At: old[i].At})
				require.True(t, err != nil || !replay.Found || replay.Event.Equal(&old[i].Event), "the key of event %d names %+v", i, replay.Event)
				again := s.Append(ctx, old[i:i+1])[0]
				require.True(t, again.Err != nil || again.Event.Equal(&old[i].Event), "event %d is answered with %+v", i, again.Event)
			}
			for event, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
				if err != nil {
					break
				}
				if slices.ContainsFunc(old, func(e humanhours.Entry) bool { return e.Event.ID == event.ID }) {
					require.Equal(t, event.ID == old[0].Event.ID, event.Voided(), "%s has the amendments %+v", event.ID, event.Amendments)
				}
			}
		})
	}
}

// A key whose event is gone is not free: its retry would be a second event.
func TestAKeyWhoseEventIsGoneIsNotFree(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	first, retry := keyedEntry("acme", 1), keyedEntry("acme", 2)
	retry.Key = first.Key
	require.NoError(t, s.Append(ctx, []humanhours.Entry{first})[0].Err)
	require.NoError(t, client.Del(ctx, prefix+"{acme}:e:1").Err())
	require.ErrorContains(t, s.Append(ctx, []humanhours.Entry{retry})[0].Err, "maxmemory-policy")
	other := keyedEntry("acme", 3)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{other})[0].Err, "the org goes on")
	event, found, err := s.Event(ctx, "acme", other.Event.ID)
	require.NoError(t, err)
	require.True(t, found && event.Equal(&other.Event))
}

// Redis does nothing else while a call runs, so none is larger than Config.MaxBytes, however many events come at once.
func TestCallsAreBoundedInBytes(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(t), t.Context()
	s, err := redis.New(client, redis.Config{Prefix: fresh(), MaxBytes: 2 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 1000)})[0].Err) // the script is loaded
	server.Must(t, "CONFIG", "RESETSTAT")
	batch := make([]humanhours.Entry, 40)
	for i := range batch {
		batch[i] = keyedEntry("acme", i)
	}
	for _, got := range s.Append(ctx, batch) {
		require.NoError(t, got.Err)
	}
	stats, err := client.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	_, calls, _ := strings.Cut(stats, "cmdstat_evalsha:calls=")
	calls, _, _ = strings.Cut(calls, ",")
	n, err := strconv.Atoi(calls)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 8, "40 events of 400 bytes and more in calls of 2 KB")
}

// However many of a group have one key, or keys in common: it is one call, and the first of each creates.
func TestRepeatedKeysAreOneCall(t *testing.T) {
	server := redistest.Start(t)
	client, ctx := server.Client(t), t.Context()
	s := open(t, client, fresh())
	require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 1000)})[0].Err) // the script is loaded
	server.Must(t, "CONFIG", "RESETSTAT")
	group := make([]humanhours.Entry, 30) // few enough for the bytes of a call
	for i := range group {
		group[i] = keyedEntry("acme", i)
		group[i].Key = "key-" + strconv.Itoa(i%3)
		if i >= 15 {
			group[i].Fingerprint = humanhours.Fingerprint{1}
		}
	}
	for i, got := range s.Append(ctx, group) {
		require.NoError(t, got.Err)
		require.Equal(t, i >= 3, got.Replayed, "entry %d", i)
		require.Equal(t, i >= 15, got.Mismatch, "entry %d", i)
		require.True(t, got.Event.Equal(&group[i%3].Event), "entry %d", i)
	}
	stats, err := client.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	require.Contains(t, stats, "cmdstat_evalsha:calls=1,")
	used, err := s.Usage(ctx, "acme", humanhours.MonthOf(group[0].At))
	require.NoError(t, err)
	require.EqualValues(t, 4, used)

	// With room for one more, the first takes it and the rest replay it; those of another key are refused.
	for i := range group {
		group[i] = keyedEntry("acme", 300+i)
		group[i].Key, group[i].Cap = "late-"+strconv.Itoa(i%2), 5
	}
	for i, got := range s.Append(ctx, group) {
		require.NoError(t, got.Err)
		require.Equal(t, i%2 == 1, got.QuotaExceeded, "entry %d", i)
		require.Equal(t, i%2 == 0 && i > 0, got.Replayed, "entry %d", i)
	}
}

// Entries of one org that differ in the month, the week, having a key or being of a test are one call all the same, and each finds what those
// before it have stored.
func TestAnyGroupOfAnOrgIsOneCall(t *testing.T) {
	server := redistest.Start(t)
	client, prefix, ctx := server.Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 1000)})[0].Err) // the script is loaded
	server.Must(t, "CONFIG", "RESETSTAT")
	group := make([]humanhours.Entry, 24)
	for i := range group {
		e := keyedEntry("acme", i)
		e.At = e.At.AddDate(0, i%2, 0)
		e.Event.ReceivedAt, e.Event.OccurredAt = e.At, e.At.AddDate(0, 0, -7*(i%4))
		e.Event.Test = i%6 == 5
		if i%3 == 0 {
			e.Key, e.Window, e.Fingerprint = "", 0, humanhours.Fingerprint{}
		}
		group[i] = e
	}
	group[20].Key, group[20].Fingerprint = group[1].Key, group[1].Fingerprint // of another month and week
	group[21].Event.ID = group[2].Event.ID
	group[22].Event.ID = group[22%3+3].Event.ID // of one with another class
	for i, got := range s.Append(ctx, group) {
		require.NoError(t, got.Err, "entry %d", i)
		want := map[int]int{20: 1, 21: 2, 22: 4}[i]
		if want == 0 {
			want = i
		}
		require.Equal(t, i == 20, got.Replayed, "entry %d", i)
		require.True(t, got.Event.Equal(&group[want].Event), "entry %d", i)
	}
	stats, err := client.Info(ctx, "commandstats").Result()
	require.NoError(t, err)
	require.Contains(t, stats, "cmdstat_evalsha:calls=1,")
}

// A cap is used up in the order of a group, also by entries that have none.
func TestCapsAreUsedUpInOrder(t *testing.T) {
	ctx := t.Context()
	s := open(t, redistest.Start(t).Client(t), fresh())
	group := make([]humanhours.Entry, 4)
	for i, most := range []int64{3, 0, 3, 0} {
		group[i] = storetest.Entry("acme", i)
		group[i].Cap = most
	}
	for i, got := range s.Append(ctx, group) {
		require.NoError(t, got.Err)
		require.False(t, got.QuotaExceeded, "entry %d", i)
	}
	again := []humanhours.Entry{storetest.Entry("acme", 10), storetest.Entry("acme", 11), storetest.Entry("acme", 12)}
	again[0].Cap, again[2].Cap = 5, 5
	got := s.Append(ctx, again)
	require.False(t, got[0].QuotaExceeded)
	require.False(t, got[1].QuotaExceeded)
	require.True(t, got[2].QuotaExceeded, "the one without a cap was before it")
}

// What keeps one section of a call from being stored keeps back no other.
func TestSectionsFailAlone(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	june := keyedEntry("acme", 1)
	june.At = june.At.AddDate(0, 1, 0)
	group := []humanhours.Entry{keyedEntry("acme", 0), june, keyedEntry("acme", 2)}
	require.NoError(t, client.HSet(ctx, prefix+"{acme}:u", 2026*12+5, "many").Err()) // June's counter is none
	got := s.Append(ctx, group)
	require.NoError(t, got[0].Err)
	require.ErrorContains(t, got[1].Err, "not an integer")
	require.NoError(t, got[2].Err)
	for i := range group {
		_, found, err := s.Event(ctx, "acme", group[i].Event.ID)
		require.NoError(t, err)
		require.Equal(t, i != 1, found, "entry %d", i)
	}
}

// Where the first of a key cannot be counted, nothing is stored that the others could replay.
func TestRepeatedKeysOfAFullCounter(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	require.NoError(t, client.HSet(ctx, prefix+"{acme}:u", 2026*12+4, int64(math.MaxInt64)).Err())
	group := make([]humanhours.Entry, 3)
	for i := range group {
		group[i] = keyedEntry("acme", i)
		group[i].Key = "k"
	}
	for i, got := range s.Append(ctx, group) {
		require.ErrorContains(t, got.Err, "counter of the month is full", "entry %d", i)
		_, found, err := s.Event(ctx, "acme", group[i].Event.ID)
		require.NoError(t, err)
		require.False(t, found)
	}
}

// More entries than fit one call, with one key at both ends: the first one creates.
func TestLargeBatchesAreInOrder(t *testing.T) {
	client := redistest.Start(t).Client(t)
	s := open(t, client, fresh())
	for round := range 20 {
		batch := make([]humanhours.Entry, humanhours.MaxBatch)
		for i := range batch {
			batch[i] = keyedEntry("acme", round*humanhours.MaxBatch+i)
		}
		last := &batch[len(batch)-1]
		last.Key = batch[200].Key
		got := s.Append(t.Context(), batch)
		require.False(t, got[200].Replayed)
		require.True(t, got[len(got)-1].Replayed)
		require.True(t, got[len(got)-1].Event.Equal(&batch[200].Event))
	}
}
