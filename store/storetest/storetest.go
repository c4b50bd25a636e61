// Package storetest proves that an adapter keeps the contracts of package humanhours: Store, with Reporter where it is one, OrgStore, KeyStore and
// Limiter. Each case proves one sentence of the comment on the interface and prints that sentence when it fails.
//
// An adapter's own test file needs little more than this:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(tb testing.TB) humanhours.Store { return open(tb, tb.TempDir()) })
//	}
//
//	func TestStoreShared(t *testing.T) {
//		storetest.RunShared(t, func(tb testing.TB, n int) []humanhours.Store {
//			dir, handles := tb.TempDir(), make([]humanhours.Store, n)
//			for i := range handles {
//				handles[i] = open(tb, dir) // as n processes would
//			}
//			return handles
//		})
//	}
//
//	func BenchmarkStore(b *testing.B) {
//		storetest.Benchmark(b, func(tb testing.TB) humanhours.Store { return open(tb, tb.TempDir()) })
//	}
//
// Every case gets an empty store of its own; closing it is the business of the function that made it, with tb.Cleanup.
// The cases assume nothing about where data is kept, use no clock (all instants are fixed, in 2026, so that a store that expires
// data by its own clock is found out), and need no network, no files and no test library.
package storetest

import (
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
)

// Run proves the contract of humanhours.Store on the stores that newStore makes, the concurrent part too, and that of humanhours.Reporter where they
// are one: reports from its sums must be those from its events. Each call of
// newStore must return an empty store.
func Run(t *testing.T, newStore func(testing.TB) humanhours.Store) {
	t.Helper()
	runAll(t, append(storeProofs(), rollupProofs()...), newStore)
	runAll(t, append(sharedProofs(), sharedRollupProofs()...), alone(newStore))
}

// RunShared proves the part of the contract of humanhours.Store that stores which share their data can break: each call of
// newStores must return n handles on one empty store, as independent of one another as n processes would be. A store that
// lives in one process has nothing to gain from it: Run covers one handle.
func RunShared(t *testing.T, newStores func(tb testing.TB, n int) []humanhours.Store) {
	t.Helper()
	runAll(t, append(sharedProofs(), sharedRollupProofs()...), several(newStores))
}

// RunOrgs proves the contract of humanhours.OrgStore. Each call of newStore must return an empty store.
func RunOrgs(t *testing.T, newStore func(testing.TB) humanhours.OrgStore) {
	t.Helper()
	runAll(t, orgProofs(), newStore)
	runAll(t, sharedOrgProofs(), alone(newStore))
}

// RunSharedOrgs is to humanhours.OrgStore what RunShared is to humanhours.Store.
func RunSharedOrgs(t *testing.T, newStores func(tb testing.TB, n int) []humanhours.OrgStore) {
	t.Helper()
	runAll(t, sharedOrgProofs(), several(newStores))
}

// RunKeys proves the contract of humanhours.KeyStore. Each call of newStore must return an empty store.
func RunKeys(t *testing.T, newStore func(testing.TB) humanhours.KeyStore) {
	t.Helper()
	runAll(t, keyProofs(), newStore)
	runAll(t, sharedKeyProofs(), alone(newStore))
}

// RunSharedKeys is to humanhours.KeyStore what RunShared is to humanhours.Store.
func RunSharedKeys(t *testing.T, newStores func(tb testing.TB, n int) []humanhours.KeyStore) {
	t.Helper()
	runAll(t, sharedKeyProofs(), several(newStores))
}

// proof is one case: how a sentence of a contract is proven on an S.
type proof[S any] struct {
	name     string
	contract string // the sentence, word for word
	run      func(k *kit, s S)
}

// handles is how many handles a case for shared stores gets.
const handles = 4

// alone makes a shared store of one that has a single handle.
func alone[S any](newStore func(testing.TB) S) func(testing.TB) []S {
	return func(tb testing.TB) []S { return []S{newStore(tb)} }
}

func several[S any](newStores func(testing.TB, int) []S) func(testing.TB) []S {
	return func(tb testing.TB) []S {
		tb.Helper()
		stores := newStores(tb, handles)
		if len(stores) != handles {
			tb.Fatalf("newStores made %d handles, want %d", len(stores), handles)
		}
		return stores
	}
}

// defaultPatience is how long a call may take before it counts as hung. It is generous: only a broken store waits for it.
const defaultPatience = 20 * time.Second

func runAll[S any](t *testing.T, proofs []proof[S], fresh func(testing.TB) S) {
	t.Helper()
	for _, p := range proofs {
		t.Run(p.name, func(t *testing.T) { p.on(t, defaultPatience, fresh) })
	}
}

// on runs p. It is apart from testing.T so that the tests of this package can watch a proof fail.
func (p proof[S]) on(tb testing.TB, patience time.Duration, fresh func(testing.TB) S) {
	tb.Helper()
	done := false
	defer func() {
		if tb.Failed() || !done { // not done: a panic, or Fatal
			tb.Logf("this breaks the contract: %s", p.contract)
		}
	}()
	p.run(&kit{TB: tb, patience: patience}, fresh(tb))
	done = true
}
