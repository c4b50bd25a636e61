package redis_test

import (
	"crypto/rand"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// fresh is a prefix that nobody has used: one server has room for many empty stores.
func fresh() string { return "hh" + rand.Text() + ":" }

func open(tb testing.TB, client goredis.UniversalClient, prefix string) *redis.Store {
	tb.Helper()
	s, err := redis.New(client, redis.Config{Prefix: prefix})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func TestStore(t *testing.T) {
	c := redistest.Start(t).Client(t)
	storetest.Run(t, func(tb testing.TB) humanhours.Store { return open(tb, c, fresh()) })
}

// several makes handles on one empty store, each with a client of its own.
func several[S any](server *redistest.Server, as func(*redis.Store) S) func(testing.TB, int) []S {
	return func(tb testing.TB, n int) []S {
		prefix, stores := fresh(), make([]S, n)
		for i := range stores {
			stores[i] = as(open(tb, server.Client(tb), prefix))
		}
		return stores
	}
}

func TestStoreShared(t *testing.T) {
	storetest.RunShared(t, several(redistest.Start(t), func(s *redis.Store) humanhours.Store { return s }))
}

func TestOrgs(t *testing.T) {
	server := redistest.Start(t)
	c := server.Client(t)
	storetest.RunOrgs(t, func(tb testing.TB) humanhours.OrgStore { return open(tb, c, fresh()) })
	storetest.RunSharedOrgs(t, several(server, func(s *redis.Store) humanhours.OrgStore { return s }))
}

func TestKeys(t *testing.T) {
	server := redistest.Start(t)
	c := server.Client(t)
	storetest.RunKeys(t, func(tb testing.TB) humanhours.KeyStore { return open(tb, c, fresh()) })
	storetest.RunSharedKeys(t, several(server, func(s *redis.Store) humanhours.KeyStore { return s }))
}

func TestHasKeys(t *testing.T) {
	s := open(t, redistest.Start(t).Client(t), fresh())
	has, err := s.HasKeys(t.Context())
	require.NoError(t, err)
	require.False(t, has)
	_, _, err = s.PutKey(t.Context(), humanhours.APIKey{ID: "3fK9xQ2b", Org: "acme"})
	require.NoError(t, err)
	has, err = s.HasKeys(t.Context())
	require.NoError(t, err)
	require.True(t, has)
}

func BenchmarkStore(b *testing.B) {
	c := redistest.Start(b).Client(b)
	storetest.Benchmark(b, func(tb testing.TB) humanhours.Store { return open(tb, c, fresh()) })
}

func BenchmarkReports(b *testing.B) {
	c := redistest.Start(b).Client(b)
	storetest.BenchmarkReports(b, 1_000_000, func(tb testing.TB) humanhours.Store { return open(tb, c, fresh()) })
}

// A store is durable if Redis is: here every write is on the disk before it is answered.
func TestEverythingSurvivesARestart(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	prefixes, first := make(map[string]string), true
	storetest.RunRestart(t, func(tb testing.TB, dir string) storetest.Durable {
		if prefixes[dir] == "" {
			prefixes[dir] = fresh()
		}
		if !first {
			server.Restart()
		}
		first = false
		return open(tb, server.Client(tb), prefixes[dir])
	})
}
