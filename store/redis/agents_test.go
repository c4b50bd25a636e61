package redis_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
)

// commands are how often each command was called since the last CONFIG RESETSTAT.
func commands(t *testing.T, client *goredis.Client) map[string]string {
	t.Helper()
	stats, err := client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	calls := make(map[string]string)
	for _, line := range regexp.MustCompile(`cmdstat_(\w+):calls=(\d+)`).FindAllStringSubmatch(stats, -1) {
		calls[line[1]] = line[2]
	}
	return calls
}

// Agents are read and written with what an append reads and writes anyway.
func TestAgentsCostNoCommand(t *testing.T) {
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	s := open(t, client, prefix)
	group := make([]humanhours.Entry, 20) // few enough for the bytes of a call
	for round := range 3 {
		server.Must(t, "CONFIG", "RESETSTAT")
		for i := range group {
			group[i] = keyedEntry("acme", 100*round+i)
			group[i].Event.AgentID = fmt.Sprint("agent ", i/2*round)
		}
		for _, got := range s.Append(t.Context(), group) {
			require.NoError(t, got.Err)
		}
		if calls := commands(t, client); round > 0 {
			require.Equal(t, []string{"1", "3", "3"}, []string{calls["evalsha"], calls["hmget"], calls["hset"]}, "for the ids, the keys and the rest: %v", calls)
		}
	}
}

// What a release has stored that recorded no agents, or stores beside this one, is recorded when somebody asks.
func TestAgentsOfAnOlderRelease(t *testing.T) {
	server := redistest.Start(t)
	client, prefix, ctx := server.Client(t), fresh(), t.Context()
	s, base := open(t, client, prefix), prefix+"{acme}"
	var all []humanhours.Event
	add := func(n int, agent string, test bool, occurred time.Duration) {
		e := keyedEntry("acme", n)
		e.Event.AgentID, e.Event.Test, e.Event.OccurredAt = agent, test, e.Event.OccurredAt.Add(occurred)
		require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
		all = append(all, e.Event)
	}
	// forget makes of the hash what an older release leaves there, of n events.
	forget := func(n int64, agents ...string) {
		require.NoError(t, client.HIncrBy(ctx, base+":m", "r", -n).Err())
		require.NoError(t, client.HDel(ctx, base+":m", append(agents, "none")...).Err())
	}
	read := func() string {
		server.Must(t, "CONFIG", "RESETSTAT")
		requireAgents(t, s, "acme", all)
		return commands(t, client)["get"]
	}
	for i := range 100 { // several chunks
		add(i, fmt.Sprint("agent ", i%3), i%10 == 0, time.Duration(i%7-3)*time.Hour)
	}
	chunks := fmt.Sprint(len(rawKeys(t, client, base+":e:")))
	require.Greater(t, chunks, "2")
	require.Empty(t, read())
	require.NoError(t, client.HDel(ctx, base+":m", "r", "aagent 0", "aagent 1", "aagent 2", "Aagent 0", "Aagent 1", "Aagent 2").Err())
	require.Equal(t, chunks, read())
	require.Empty(t, read(), "once is enough")

	require.NoError(t, client.HDel(ctx, base+":m", "r", "f", "aagent 0", "aagent 1", "aagent 2", "Aagent 0", "Aagent 1", "Aagent 2").Err())
	add(1000, "agent 1", false, -time.Minute) // the first of this release
	add(1001, "another", true, 0)
	require.NotEmpty(t, read())
	require.Empty(t, read())

	many := make([]humanhours.Entry, 700) // more agents than are recorded with one call
	for i := range many {
		many[i] = keyedEntry("acme", 5000+i)
		many[i].Event.AgentID = fmt.Sprint("one of many ", i)
		all = append(all, many[i].Event)
	}
	for _, got := range s.Append(ctx, many) {
		require.NoError(t, got.Err)
	}
	for i := range many {
		require.NoError(t, client.HDel(ctx, base+":m", "a"+many[i].Event.AgentID).Err())
	}
	forget(int64(len(many)))
	require.NotEmpty(t, read())
	require.Empty(t, read())

	add(1002, "late", false, 0) // by an instance of an older release
	add(1003, "late", true, 0)
	forget(2, "alate", "Alate")
	add(1004, "late", false, time.Hour)
	require.NotEmpty(t, read())
	require.Empty(t, read())
	require.Equal(t, fmt.Sprint(len(all)), client.HGet(ctx, base+":m", "r").Val())

	// Between the look at the events and the record of it.
	meanwhile := func(f func()) {
		client := server.Client(t)
		client.AddHook(&beforeThird{f: f})
		_, err := open(t, client, prefix).Agents(ctx, "acme", false)
		require.NoError(t, err)
	}
	forget(1, "alate")
	meanwhile(func() { add(1100, "late", false, 5*time.Hour) }) // one that is recorded
	require.Empty(t, read())
	forget(1, "alate")
	meanwhile(func() { // one that is not
		add(1101, "late", true, 5*time.Hour)
		forget(1, "Alate")
	})
	require.NotEmpty(t, read())
	require.Empty(t, read())
	forget(1, "alate")
	meanwhile(func() { // one that is not, when somebody else was faster
		require.NotEmpty(t, read())
		add(1102, "later", false, 0)
		forget(1, "alater")
	})
	require.NotEmpty(t, read())
	require.Empty(t, read())

	// Of several who ask at once, one records, and events that come meanwhile are no trouble.
	forget(int64(len(all)), "aagent 0", "alate")
	failures := make(chan error, 9)
	for i := range cap(failures) {
		other := open(t, server.Client(t), prefix)
		go func() {
			var err error
			if i < 6 {
				_, err = other.Agents(context.Background(), "acme", false)
			} else {
				e := keyedEntry("acme", 2000+i)
				err = other.Append(context.Background(), []humanhours.Entry{e})[0].Err
			}
			failures <- err
		}()
	}
	for i := range cap(failures) {
		if i >= 6 {
			all = append(all, keyedEntry("acme", 2000+i).Event)
		}
		require.NoError(t, <-failures)
	}
	requireAgents(t, s, "acme", all)
	require.Empty(t, read())
	require.Equal(t, fmt.Sprint(len(all)), client.HGet(ctx, base+":m", "r").Val())

	// An answer that is lost: it is recorded once.
	forget(1, "alate")
	hook := &loseAnswer{}
	lossy := server.Client(t)
	lossy.AddHook(hook)
	_, err := open(t, lossy, prefix).Agents(ctx, "acme", false)
	require.NoError(t, err)
	forget(1, "alate")
	hook.mu.Lock()
	hook.then = func() { // after the question; the answer to what is recorded is the next to be lost
		hook.mu.Lock()
		hook.then = func() {}
		hook.mu.Unlock()
	}
	hook.mu.Unlock()
	_, err = open(t, lossy, prefix).Agents(ctx, "acme", false)
	require.NoError(t, err)
	requireAgents(t, s, "acme", all)
	require.Equal(t, fmt.Sprint(len(all)), client.HGet(ctx, base+":m", "r").Val())
}

// beforeThird calls f before the third script call: the first two are the question, and what lists the chunks.
type beforeThird struct {
	calls atomic.Int64
	f     func()
}

func (*beforeThird) DialHook(next goredis.DialHook) goredis.DialHook { return next }
func (*beforeThird) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}
func (b *beforeThird) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") && b.calls.Add(1) == 3 {
			b.f()
		}
		return next(ctx, cmd)
	}
}

// What is known of an agent is read before anything is written.
func TestADamagedAgentStoresNothing(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s, base := open(t, client, prefix), prefix+"{acme}"
	e := keyedEntry("acme", 1)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
	require.NoError(t, client.HSet(ctx, base+":m", "a"+e.Event.AgentID, "x").Err())
	dump := func() map[string]string {
		all := make(map[string]string)
		for _, name := range rawKeys(t, client, base) {
			all[name] = client.Dump(ctx, name).Val()
		}
		return all
	}
	before := dump()
	next := keyedEntry("acme", 8) // of the same agent
	require.Equal(t, e.Event.AgentID, next.Event.AgentID)
	require.Error(t, s.Append(ctx, []humanhours.Entry{next})[0].Err)
	require.True(t, maps.Equal(before, dump()), "something was written")
	_, err := s.Agents(ctx, "acme", false)
	require.ErrorContains(t, err, "damaged")
	other := keyedEntry("acme", 2)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{other})[0].Err, "the others go on")
}

// A server compares strings as its locale has it, in which bytes need not sort as they do here.
func TestTheLocaleOfTheServerHasNoPart(t *testing.T) {
	dir := t.TempDir()
	const name = "en_US.UTF-8"
	if out, err := exec.Command("localedef", "-i", "en_US", "-f", "UTF-8", filepath.Join(dir, name)).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no locale can be made, which takes the package locales: %v: %s", err, out)
		}
		t.Skipf("SKIPPED: no locale can be made: %v: %s", err, out)
	}
	t.Setenv("LOCPATH", dir)
	t.Setenv("LC_ALL", name)
	client, ctx := redistest.Start(t).Client(t), t.Context()
	if client.Eval(ctx, `return 'a' < 'B' and 1 or 0`, nil).Val() != int64(1) {
		if os.Getenv("CI") != "" {
			t.Fatal("the server does not take the locale")
		}
		t.Skip("SKIPPED: the server does not take the locale")
	}
	s := open(t, client, fresh())
	first := keyedEntry("acme", 0)
	n := 0
	for away := time.Minute; away < 200*24*time.Hour; away = away*5/4 + 1234567*time.Nanosecond {
		e := first
		n++
		e.Event.ID, e.Key = fmt.Sprint("first ", n), fmt.Sprint("key ", n)
		e.Window = away.Truncate(time.Millisecond)
		e.Event.OccurredAt = e.Event.OccurredAt.Add(-away).Truncate(time.Millisecond)
		require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
		for _, at := range []time.Duration{-time.Hour, e.Window / 3, e.Window - time.Millisecond} {
			again := e
			again.Event.ID, again.At = fmt.Sprint("again ", n, at), e.At.Add(at)
			got := s.Append(ctx, []humanhours.Entry{again})[0]
			require.NoError(t, got.Err)
			require.True(t, got.Replayed, "%v after a key with a window of %v", at, e.Window)
		}
		free := e
		free.Event.ID, free.At = fmt.Sprint("free ", n), e.At.Add(e.Window)
		got := s.Append(ctx, []humanhours.Entry{free})[0]
		require.NoError(t, got.Err)
		require.False(t, got.Replayed, "at the end of a window of %v", e.Window)
		free.Event.ID, free.At = fmt.Sprint("again free ", n), e.At // whose clock is behind
		got = s.Append(ctx, []humanhours.Entry{free})[0]
		require.NoError(t, got.Err)
		require.True(t, got.Replayed && strings.HasPrefix(got.Event.ID, "free"), "the later claim holds a key, and not %s", got.Event.ID)
	}
	require.Greater(t, n, 40)
	var events []humanhours.Event
	for e, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	requireAgents(t, s, "acme", events)
}
