package storetest

import (
	"context"
	"iter"
	"math"
	"sync/atomic"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/stretchr/testify/assert"
)

// summer is an honest store whose sums are made from its events, in one way that sums go wrong.
type summer struct {
	*memory.Store
	skip    int  // the n-th event is in no sum, counted from 1
	raw     bool // amendments change nothing
	wrap    bool // sums are kept in 64 bits
	lag     bool // what is appended is summed a little later
	replays bool // what is replayed is summed again
	twice   bool // Rebuild adds what is there
	apart   bool // what an amendment takes off is a sum of its own

	rebuilt  atomic.Bool
	replayed atomic.Int64
	summed   atomic.Int64
}

func (s *summer) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := s.Store.Append(ctx, entries)
	if s.lag {
		stall()
	}
	for _, got := range results {
		switch outcome(got) {
		case created:
			s.summed.Add(1)
		case replayed:
			s.replayed.Add(1)
		}
	}
	return results
}

func (s *summer) Rebuild(ctx context.Context, org string) error {
	s.rebuilt.Store(s.twice)
	return s.Store.Rebuild(ctx, org)
}

func (s *summer) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	return func(yield func(humanhours.Rollup, error) bool) {
		n := 0
		for e, err := range s.Store.Events(ctx, humanhours.EventQuery{Org: q.Org, From: q.From, To: q.To}) {
			if err != nil {
				yield(humanhours.Rollup{}, err)
				return
			}
			if n++; n == s.skip || s.lag && int64(n) > s.summed.Load() {
				continue
			}
			if s.raw {
				e.Amendments = nil
			}
			r := e.Rollup()
			if s.wrap && n == 20 { // past 2^63 by now
				r.CostSaved.AddNano(math.MinInt64)
				r.CostSaved.AddNano(math.MinInt64)
			}
			if s.apart && len(e.Amendments) > 0 {
				was := e
				was.Amendments = nil
				off, on := was.Rollup(), was.Rollup()
				off.Events, off.Failures, off.Unpriced = -off.Events, -off.Failures, -off.Unpriced
				for _, pair := range [][2]*humanhours.Sum{
					{&off.HoursSaved, &on.HoursSaved}, {&off.CostSaved, &on.CostSaved}, {&off.AgentCost, &on.AgentCost}, {&off.NetSaved, &on.NetSaved},
				} {
					*pair[0] = humanhours.Sum{}
					pair[0].Sub(pair[1])
				}
				if !yield(on, nil) || !yield(off, nil) {
					return
				}
			}
			again := s.rebuilt.Load() || s.replays && s.replayed.Load() >= int64(n)
			if !yield(r, nil) || again && !yield(r, nil) {
				return
			}
		}
	}
}

// onSums makes a store of a summer that f has prepared.
func onSums(f func(*summer)) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := &summer{Store: memory.New()}
		f(s)
		return s
	})
}

func rollupLiars() []liar[[]humanhours.Store] {
	return []liar[[]humanhours.Store]{
		{lie: "forgets an event", caughtBy: "reports from sums and from events", fresh: onSums(func(s *summer) { s.skip = 17 })},
		{lie: "loses a block when it merges", caughtBy: "sums of many small batches", fresh: onSums(func(s *summer) { s.skip = 600 })},
		{lie: "never takes off what is amended", caughtBy: "sums of what is amended", fresh: onSums(func(s *summer) { s.raw = true })},
		{lie: "takes off elsewhere", caughtBy: "sums of what is amended", fresh: onSums(func(s *summer) { s.apart = true })},
		{lie: "wraps", caughtBy: "sums beyond 64 bits", fresh: onSums(func(s *summer) { s.wrap = true })},
		{lie: "adds to what is there", caughtBy: "sums that are made anew", fresh: onSums(func(s *summer) { s.twice = true })},
		{lie: "sums up later", caughtBy: "an event and its sums can be seen together", fresh: onSums(func(s *summer) { s.lag = true })},
		{lie: "sums up replays", caughtBy: "sums under many writers, made anew meanwhile", fresh: onSums(func(s *summer) { s.replays = true })},
	}
}

// stingy leaves too much out of sparse events.
type stingy struct {
	*memory.Store
	leave func(*humanhours.Event)
}

func (s stingy) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		for e, err := range s.Store.Events(ctx, q) {
			if q.Sparse {
				s.leave(&e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func sparseLiars() []liar[[]humanhours.Store] {
	var liars []liar[[]humanhours.Store]
	for lie, leave := range map[string]func(*humanhours.Event){
		"leaves amendments out":      func(e *humanhours.Event) { e.Amendments = nil },
		"leaves metadata out":        func(e *humanhours.Event) { e.Metadata = nil },
		"leaves unpriced models out": func(e *humanhours.Event) { e.Cost.UnpricedModel = "" },
		"leaves costs out":           func(e *humanhours.Event) { e.AgentCost.Valid = false },
	} {
		liars = append(liars, liar[[]humanhours.Store]{lie: lie, caughtBy: "sparse events", fresh: one(func() humanhours.Store {
			return stingy{memory.New(), leave}
		})})
	}
	return liars
}

func TestStoresThatMiscountAreCaught(t *testing.T) {
	expose(t, append(lift(rollupProofs()), sharedRollupProofs()...), rollupLiars())
}

func TestSummerIsHonest(t *testing.T) {
	Run(t, func(testing.TB) humanhours.Store { return &summer{Store: memory.New()} })
}

func TestCasesOfRollupsQuoteTheirContract(t *testing.T) {
	contract := normalised(comments(t, "rollup.go", "Reporter"))
	for _, p := range append(lift(rollupProofs()), sharedRollupProofs()...) {
		assert.Contains(t, contract, p.contract, "the contract of the case %q", p.name)
	}
	unique(t, append(lift(rollupProofs()), sharedRollupProofs()...))
}
