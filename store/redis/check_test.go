package redis_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
)

// check runs Check and returns what it logged: a line for each finding, and the error.
func check(t *testing.T, client goredis.UniversalClient) (lines []string, err error) {
	t.Helper()
	var log bytes.Buffer
	s, err := redis.New(client, redis.Config{
		Timeout: time.Second, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	defer s.Close()
	err = s.Check(t.Context())
	return strings.Split(strings.TrimSpace(log.String()), "\n"), err
}

func TestCheck(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	client := server.Client(t)
	for name, test := range map[string]struct {
		settings []any
		want     []string // one for each line
	}{
		"fine":                    {nil, []string{""}},
		"evicts anything":         {[]any{"maxmemory-policy", "allkeys-lru"}, []string{"level=WARN.*allkeys-lru.*events are dropped"}},
		"evicts idempotency keys": {[]any{"maxmemory-policy", "volatile-ttl"}, []string{"level=WARN.*volatile-ttl.*idempotency keys are dropped"}},
		"keeps nothing":           {[]any{"appendonly", "no"}, []string{"level=WARN.*loses all events"}},
		"keeps snapshots":         {[]any{"appendonly", "no", "save", "60 1"}, []string{""}},
		"two at once": {[]any{"appendonly", "no", "maxmemory-policy", "allkeys-random"},
			[]string{"level=WARN.*allkeys-random", "level=WARN.*loses all events"}},
	} {
		t.Run(name, func(t *testing.T) {
			server.Must(t, "CONFIG", "SET", "maxmemory-policy", "noeviction", "appendonly", "yes", "save", "")
			if test.settings != nil {
				server.Must(t, append([]any{"CONFIG", "SET"}, test.settings...)...)
			}
			lines, err := check(t, client)
			require.NoError(t, err)
			require.Len(t, lines, len(test.want))
			for i, want := range test.want {
				assert.Regexp(t, want, lines[i])
				if want != "" {
					assert.Contains(t, lines[i], server.Addr())
				}
			}
		})
	}
}

func TestCheckWhereLittleIsAllowed(t *testing.T) {
	server := redistest.Start(t)
	user := func(rules ...any) *goredis.Client {
		server.Must(t, append([]any{"ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "+@all"}, rules...)...)
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), Username: "app", Password: "secret"})
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	lines, err := check(t, user("-config"))
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "level=DEBUG")
	lines, err = check(t, user("-config", "-info"))
	require.NoError(t, err)
	for _, line := range lines {
		require.Contains(t, line, "level=DEBUG")
	}
	least := user("-@all", "+@read", "+@write", "+@scripting", "+@connection", "resetkeys", "~hh:*")
	_, err = check(t, least)
	require.NoError(t, err)
	s := open(t, least, "")
	require.NoError(t, s.Append(t.Context(), []humanhours.Entry{keyedEntry("acme", 1)})[0].Err)
	_, err = s.UpdateOrg(t.Context(), "acme", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, nil })
	require.NoError(t, err)
	amend(t, s, amendment(1, humanhours.AmendRedact, 0))
	_, err = s.Agents(t.Context(), "acme", false)
	require.NoError(t, err)
	_, _, err = s.PutKey(t.Context(), humanhours.APIKey{ID: "3fK9xQ2b", Org: "acme"})
	require.NoError(t, err)
	require.NoError(t, s.TouchKey(t.Context(), "3fK9xQ2b", time.Now()))
	for _, command := range []string{"zadd", "copy", "hincrby", "hmget", "hgetall", "hlen", "setrange", "mget"} {
		_, err = check(t, user("-"+command))
		require.ErrorContains(t, err, strings.ToUpper(command), "a script would end in its middle")
	}
	_, err = check(t, user("resetkeys", "~other:*"))
	require.ErrorContains(t, err, "may not run")
	_, err = check(t, user("-@scripting"))
	require.ErrorContains(t, err, "may not do this")
	_, err = check(t, user("resetpass"))
	require.ErrorContains(t, err, "WRONGPASS")
}

func TestCheckOfACluster(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, "--appendonly", "yes")
	c.Nodes[1].Must(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
	lines, err := check(t, c.Client(t))
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], c.Nodes[1].Addr())
	c.Nodes[2].Kill()
	_, err = check(t, c.Client(t))
	require.Error(t, err)
}

// oldServer answers INFO as an old release does.
type oldServer struct{ version string }

func (oldServer) DialHook(next goredis.DialHook) goredis.DialHook { return next }
func (oldServer) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}
func (o oldServer) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if text, ok := cmd.(*goredis.StringCmd); ok && cmd.Name() == "info" {
			text.SetVal("# Server\r\nredis_version:" + o.version + "\r\nredis_mode:standalone\r\n")
		}
		return err
	}
}

func TestCheckOfTheVersion(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	for version, old := range map[string]bool{"5.0.14": true, "6.0.20": true, "6.2.0": false, "7.0.15": false, "10.1.0": false, "255.255.255": false, "next": false} {
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
		client.AddHook(oldServer{version})
		_, err := check(t, client)
		if old {
			require.ErrorContains(t, err, version)
			require.ErrorContains(t, err, "6.2")
		} else {
			require.NoError(t, err, version)
		}
		require.NoError(t, client.Close())
	}
}

func TestNewDoesNoIO(t *testing.T) {
	dialed := false
	client := goredis.NewClient(&goredis.Options{OnConnect: func(context.Context, *goredis.Conn) error { dialed = true; return nil }})
	s, err := redis.New(client, redis.Config{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, client.Close())
	require.False(t, dialed)
}
