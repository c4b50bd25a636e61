//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
)

// checkRedis holds what a store in Redis has against the ledger.
func (l *ledger) checkRedis(t *testing.T, client goredis.UniversalClient, org string) {
	t.Helper()
	s, err := redis.New(client, redis.Config{})
	require.NoError(t, err)
	defer s.Close()
	l.checkStore(t, s, org)
}

func TestTwoServersOnOneRedis(t *testing.T) {
	server := redistest.Start(t)
	testTwoServers(t, []string{"-redis", server.URL()}, func(l *ledger) { l.checkRedis(t, server.Client(t), "acme") })
}

// TestTwoServersOnOneCluster knows one node of it, which is enough.
func TestTwoServersOnOneCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	testTwoServers(t, []string{"-redis", cluster.Nodes[0].URL()}, func(l *ledger) { l.checkRedis(t, cluster.Client(t), "acme") })
}

// TestTwoServersShareALimit sends as much as two servers answer, with one key.
func TestTwoServersShareALimit(t *testing.T) {
	const seconds = 3
	limit := humanhours.DefaultPlans()["free"].RequestsPerSecond
	server := redistest.Start(t)
	flags := []string{"-redis", server.URL(), "-orgs", writeOrgs(t, `{"orgs":[{"id":"acme","plan":"free","keys":["`+key1+`"]}]}`)}
	servers := []*process{spawn(t, nil, flags...), spawn(t, nil, flags...)}
	for _, p := range servers {
		_, err := p.track(key1, "settings are read and scripts are loaded")
		require.NoError(t, err)
	}

	type taken struct{ before, after time.Duration } // between which it was allowed, since start
	var mu sync.Mutex
	var list []taken
	var by [2]int
	var refused atomic.Int64
	start := time.Now()
	var clients sync.WaitGroup
	for n, p := range servers {
		for c := range 4 {
			clients.Go(func() {
				for i := 0; time.Since(start) < seconds*time.Second; i++ {
					before := time.Since(start)
					a, err := p.track(key1, fmt.Sprintf("key-%d-%d-%d", n, c, i))
					after := time.Since(start)
					if !assert.NoError(t, err) {
						return
					}
					if a.code() == humanhours.CodeRateLimited {
						refused.Add(1)
						continue
					}
					if !assert.Equal(t, http.StatusCreated, a.status, a.body) {
						return
					}
					mu.Lock()
					list = append(list, taken{before, after})
					by[n]++
					mu.Unlock()
				}
			})
		}
	}
	clients.Wait()
	for _, one := range list {
		certain := 0 // less than a second from the first of these to the last, wherever in between they were allowed
		for _, other := range list {
			if other.before >= one.before && other.after < one.before+time.Second {
				certain++
			}
		}
		require.LessOrEqual(t, certain, limit, "in the second from %v", one.before)
	}
	require.LessOrEqual(t, len(list), limit*(seconds+1))
	require.GreaterOrEqual(t, len(list), limit*(seconds-1), "the servers do not take from each other what nobody has")
	require.Positive(t, by[0])
	require.Positive(t, by[1])
	require.Positive(t, refused.Load())
	for _, p := range servers {
		require.NotContains(t, p.stderr.String(), "limiter", "nothing of this was limited by one server alone")
	}
	t.Logf("the servers allowed %d and %d requests in %d seconds, and refused %d", by[0], by[1], seconds, refused.Load())
}

// TestKilledRedis kills Redis under two servers and brings it back. Both go on all the while.
func TestKilledRedis(t *testing.T) {
	const patience = 15 * time.Second // the store tries for 5 seconds, and a Tracker asks it twice
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	flags := []string{"-redis", server.URL(), "-orgs", acme(t)}
	servers := []*process{spawn(t, nil, flags...), spawn(t, nil, flags...)}
	l := newLedger()
	sent, landed := 0, 0
	for round := range rounds {
		var mu sync.Mutex
		lost := make(map[string]bool)
		next := func() string {
			mu.Lock()
			defer mu.Unlock()
			sent++
			return fmt.Sprintf("key-%05d", sent)
		}
		var answered atomic.Int64
		last := int64(100 + 150*round) // the answer after which Redis is killed: with the requests of all others on their way
		var clients sync.WaitGroup
		for c := range connections {
			p := servers[c%2]
			clients.Go(func() {
				for {
					key := next()
					began := time.Now()
					a, err := p.track(key1, key)
					if !assert.NoError(t, err) {
						return
					}
					if a.status == http.StatusServiceUnavailable {
						assert.Less(t, time.Since(began), patience)
						assert.Equal(t, humanhours.CodeUnavailable, a.code(), a.body)
						assert.Contains(t, a.body, "retry with the same idempotency key")
						assert.NotContains(t, a.body, server.Addr(), "what is behind is nobody's business")
						mu.Lock()
						lost[key] = true
						mu.Unlock()
						return
					}
					assert.NoError(t, l.note(key, a))
					if answered.Add(1) == last {
						server.Kill()
					}
				}
			})
		}
		clients.Wait()
		require.Len(t, lost, connections)

		server.Restart()
		l.replays(t, servers[0], key1)
		l.replays(t, servers[1], key1)
		keys := make([]string, 0, len(lost))
		for key := range lost {
			keys = append(keys, key)
		}
		for n := range servers { // each asks the server that it did not ask before, and then the other one
			each(keys, func(i int, key string) {
				a, err := servers[(i+n)%2].track(key1, key)
				if assert.NoError(t, err) && assert.NoError(t, l.note(key, a)) && n == 0 && a.status == http.StatusOK {
					mu.Lock()
					landed++
					mu.Unlock()
				}
			})
		}
	}
	require.Len(t, l.events, sent)
	for _, p := range servers {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.wait(), p.stderr.String())
	}
	l.checkRedis(t, server.Client(t), "acme")
	t.Logf("%d events; %d requests were on their way when Redis was killed, %d of them stored", sent, rounds*connections, landed)
}

// TestNewcomerOnRedis: the first start shows a key, the second one where to get another.
func TestNewcomerOnRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Must(t, "ACL", "SETUSER", "svc", "on", ">secret/word", "~*", "&*", "+@all")
	at := "redis://svc:secret%2Fword@" + server.Addr() + "/0?client_name=hours"
	flags := []string{"-redis", at, "-redis-prefix", "svc:"}
	s := startAt(t, flags...)
	require.Contains(t, s.stdout, "  events      in Redis at "+server.Addr()+", in keys that begin with svc:\n")
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	response, answer := s.post(t, key, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)
	require.NoError(t, s.stop())

	again := startAt(t, flags...)
	require.NotContains(t, again.stdout, "hh_live_")
	require.Contains(t, hint(t, again),
		" keys create -org first-org -redis 'redis://svc:PASSWORD@"+server.Addr()+"/0?client_name=hours' -redis-prefix svc:")
	for _, printed := range []string{s.stdout, s.stderr.String(), again.stdout, again.stderr.String()} {
		require.NotContains(t, printed, "secret")
	}
	response, answer = again.post(t, key, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)

	keys := func(args ...string) string {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), append([]string{"keys", args[0]}, append(flags, args[1:]...)...), &out, io.Discard))
		return out.String()
	}
	second := strings.TrimSpace(keys("create", "-org", firstOrgID))
	response, _ = again.post(t, second, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode)
	id := second[len("hh_live_"):][:8]
	require.Contains(t, keys("list", "-org", firstOrgID), id)
	require.Contains(t, keys("revoke", id), "is revoked")
	require.Contains(t, keys("list", "-org", firstOrgID), "revoked 20")
	for name := range strings.FieldsSeq(strings.Trim(server.Must(t, "KEYS", "*"), "[]")) {
		require.True(t, strings.HasPrefix(name, "svc:"), name)
	}
}

// TestRedisErrors: what a newcomer meets is one plain sentence, without a password, and exit status 1.
func TestRedisErrors(t *testing.T) {
	server := redistest.Start(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := closed.Addr().String()
	require.NoError(t, closed.Close())
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer mute.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	const unreadable = "the URL of -redis cannot be read: it is like redis://user:password@host:6379/0"
	for name, tc := range map[string]struct {
		redis string
		want  string
	}{
		"nobody there": {"redis://:geheim@" + nobody, "the Redis at " + nobody + " cannot be reached: dial tcp " + nobody +
			": connect: connection refused; start it, or give the address of another one with -redis"},
		"no node there":    {"redis://:geheim@" + nobody + "," + nobody, "the Redis at " + nobody + "," + nobody + " cannot be reached: "},
		"no answer":        {"redis://:geheim@" + mute.Addr().String(), "the Redis at " + mute.Addr().String() + " cannot be reached: "},
		"a wrong password": {"redis://someone:geheim@" + server.Addr(), "refuses: WRONGPASS"},
		"not a URL":        {"127.0.0.1:6379", unreadable},
		"another scheme":   {"http://:geheim@127.0.0.1", unreadable},
		"a raw password":   {"redis://:12/geheim@127.0.0.1:6379", unreadable},
		"a parameter":      {"redis://:geheim@127.0.0.1:6379?geheim=1", unreadable},
		"no URL":           {"", "-redis needs a URL"},
		"two places":       {server.URL() + " -db hours.db", "-redis and -db exclude each other: the data is either in Redis or in a file"},
		"a prefix of what": {"-redis-prefix x:", "-redis-prefix needs -redis"},
		"braces":           {server.URL() + " -redis-prefix {x}", "must not contain braces"},
	} {
		flags := strings.Fields(tc.redis)
		if !strings.HasPrefix(tc.redis, "-") {
			flags = append([]string{"-redis"}, strings.Split(tc.redis, " ")...)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one of them waits
			for _, command := range [][]string{{"-addr", "127.0.0.1:0"}, {"keys", "list", "-org", "acme"}} {
				stdout, stderr, exit := asProcess(t, self, append(command, flags...)...)
				require.Equal(t, 1, exit, stderr)
				require.Empty(t, stdout)
				require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
				require.Contains(t, stderr, "server: ")
				require.Contains(t, stderr, tc.want)
				require.NotContains(t, stderr, "geheim")
			}
		})
	}
}

// TestStopOnRedis: a request that waits for Redis when the server is told to stop gets its answer.
func TestStopOnRedis(t *testing.T) {
	server := redistest.Start(t)
	s := startAt(t, "-redis", server.URL(), "-orgs", acme(t))
	response, answer := s.post(t, key1, strings.NewReader(example)) // what can be remembered is
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)
	server.Must(t, "CLIENT", "PAUSE", 30_000, "WRITE")
	answered := make(chan int, 1)
	go func() {
		response, _ := s.post(t, key1, strings.NewReader(example))
		answered <- response.StatusCode
	}()
	redistest.Eventually(t, func() error {
		if !regexp.MustCompile(`flags=b.*cmd=evalsha`).MatchString(server.Must(t, "CLIENT", "LIST")) {
			return errors.New("the script does not wait yet")
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	s.stderr.wait("stopping")
	server.Must(t, "CLIENT", "UNPAUSE")
	require.Equal(t, http.StatusCreated, <-answered)
	require.NoError(t, <-stopped)
	redistest.Eventually(t, func() error { // only the one that asks
		if n := strings.Count(server.Must(t, "CLIENT", "LIST"), "id="); n > 1 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	require.NotContains(t, s.stderr.String(), "limiter")
	require.Equal(t, "2", server.Must(t, "HLEN", redis.DefaultPrefix+"{acme}:i"))
}

func TestRedisURLs(t *testing.T) {
	for at, want := range map[string]struct{ client, address, printed string }{
		"redis://h":                               {"*redis.Client", "h", "redis://h"},
		"rediss://u:p@h:7000/3":                   {"*redis.Client", "h:7000", "rediss://u:PASSWORD@h:7000/3"},
		"unix://u:p@/run/redis.sock?db=1":         {"*redis.Client", "/run/redis.sock", "unix://u:PASSWORD@/run/redis.sock?db=1"},
		"redis://:p@a:1,b:2,[::1]:3":              {"*redis.ClusterClient", "a:1,b:2,[::1]:3", "redis://:PASSWORD@a:1,b:2,[::1]:3"},
		"redis://a,b,[::1]?pool_size=3":           {"*redis.ClusterClient", "a,b,[::1]", "redis://a,b,[::1]?pool_size=3"},
		"redis://:s@a,b?master_name=m&password=p": {"*redis.Client", "a,b", "redis://:PASSWORD@a,b?master_name=m&password=PASSWORD"},
	} {
		client, _, err := parseRedis(at)
		require.NoError(t, err, at)
		require.Equal(t, want.client, fmt.Sprintf("%T", client), at)
		require.NoError(t, client.Close())
		require.Equal(t, want.address, redisAddress(at))
		require.Equal(t, want.printed, redacted(at))
	}
	client, _, err := parseRedis("redis://:p%40@a:1,b")
	require.NoError(t, err)
	options := client.(*goredis.ClusterClient).Options()
	require.Equal(t, []string{"a:1", "b:6379"}, options.Addrs)
	require.Equal(t, "p@", options.Password)
	require.True(t, options.ContextTimeoutEnabled)
	require.NoError(t, client.Close())
}
