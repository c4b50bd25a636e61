package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/sqlite"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func file(tb testing.TB) string { return filepath.Join(tb.TempDir(), "hours.db") }

func open(tb testing.TB, path string, cfg sqlite.Config) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(path, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// several opens one file n times, as n processes would.
func several[S any](tb testing.TB, n int, as func(*sqlite.Store) S) []S {
	path, handles := file(tb), make([]S, n)
	for i := range handles {
		handles[i] = as(open(tb, path, sqlite.Config{}))
	}
	return handles
}

func asStore(s *sqlite.Store) humanhours.Store   { return s }
func asOrgs(s *sqlite.Store) humanhours.OrgStore { return s }
func asKeys(s *sqlite.Store) humanhours.KeyStore { return s }

func newStore(tb testing.TB) humanhours.Store { return open(tb, file(tb), sqlite.Config{}) }

func TestStore(t *testing.T) { storetest.Run(t, newStore) }

func TestStoreInMemory(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) humanhours.Store { return open(tb, ":memory:", sqlite.Config{}) })
}

func TestStoreShared(t *testing.T) {
	storetest.RunShared(t, func(tb testing.TB, n int) []humanhours.Store { return several(tb, n, asStore) })
}

func TestOrgs(t *testing.T) {
	storetest.RunOrgs(t, func(tb testing.TB) humanhours.OrgStore { return open(tb, file(tb), sqlite.Config{}) })
	storetest.RunSharedOrgs(t, func(tb testing.TB, n int) []humanhours.OrgStore { return several(tb, n, asOrgs) })
}

func TestKeys(t *testing.T) {
	storetest.RunKeys(t, func(tb testing.TB) humanhours.KeyStore { return open(tb, file(tb), sqlite.Config{}) })
	storetest.RunSharedKeys(t, func(tb testing.TB, n int) []humanhours.KeyStore { return several(tb, n, asKeys) })
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, newStore) }

func BenchmarkReports(b *testing.B) { storetest.BenchmarkReports(b, 1_000_000, newStore) }
