package memory_test

import (
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func newStore(testing.TB) humanhours.Store { return memory.New() }

// newStores hands out one store n times: all that its process has.
func newStores(_ testing.TB, n int) []humanhours.Store {
	s := memory.New()
	handles := make([]humanhours.Store, n)
	for i := range handles {
		handles[i] = s
	}
	return handles
}

func TestStore(t *testing.T)       { storetest.Run(t, newStore) }
func TestStoreShared(t *testing.T) { storetest.RunShared(t, newStores) }

func TestOrgs(t *testing.T) {
	storetest.RunOrgs(t, func(testing.TB) humanhours.OrgStore { return memory.New() })
}

func TestKeys(t *testing.T) {
	storetest.RunKeys(t, func(testing.TB) humanhours.KeyStore { return memory.New() })
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, newStore) }

func BenchmarkReports(b *testing.B) { storetest.BenchmarkReports(b, 1_000_000, newStore) }
