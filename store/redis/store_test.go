package redis_test

import (
	"crypto/rand"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
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

func client(tb testing.TB) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:7777"})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func TestStore(t *testing.T) {
	c := client(t)
	require.NoError(t, c.FlushAll(t.Context()).Err())
	storetest.Run(t, func(tb testing.TB) humanhours.Store { return open(tb, c, fresh()) })
}

func several[S any](t *testing.T, as func(*redis.Store) S) func(testing.TB, int) []S {
	return func(tb testing.TB, n int) []S {
		prefix, stores := fresh(), make([]S, n)
		for i := range stores {
			stores[i] = as(open(tb, client(tb), prefix))
		}
		return stores
	}
}

func TestStoreShared(t *testing.T) {
	storetest.RunShared(t, several(t, func(s *redis.Store) humanhours.Store { return s }))
}

func TestOrgs(t *testing.T) {
	c := client(t)
	storetest.RunOrgs(t, func(tb testing.TB) humanhours.OrgStore { return open(tb, c, fresh()) })
	storetest.RunSharedOrgs(t, several(t, func(s *redis.Store) humanhours.OrgStore { return s }))
}

func TestKeys(t *testing.T) {
	c := client(t)
	storetest.RunKeys(t, func(tb testing.TB) humanhours.KeyStore { return open(tb, c, fresh()) })
	storetest.RunSharedKeys(t, several(t, func(s *redis.Store) humanhours.KeyStore { return s }))
}

func BenchmarkStore(b *testing.B) {
	c := client(b)
	storetest.Benchmark(b, func(tb testing.TB) humanhours.Store { return open(tb, c, fresh()) })
}
