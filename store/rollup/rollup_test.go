package rollup_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

var start = time.Date(2026, time.May, 14, 9, 0, 0, 0, time.UTC)

// events are n of few kinds, around an instant.
func events(random *rand.Rand, n int) []humanhours.Event {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	list := make([]humanhours.Event, n)
	for i := range list {
		e := &list[i]
		e.AgentID, e.TaskType, e.Model = pick("a", "b", "é"), pick("t", "u"), pick("", "m", "n")
		e.Outcome = humanhours.Outcome(pick("success", "failure", "needs_review"))
		e.Currency, e.Test = pick("EUR", "USD"), random.IntN(5) == 0
		e.OccurredAt = start.Add(time.Duration(random.IntN(20*60)-600) * time.Minute)
		e.HoursSaved, e.CostSaved = decimal.New(int64(random.IntN(1000)), -3), decimal.New(int64(random.IntN(100000)), -2)
		e.NetSaved = decimal.RequireFromString(pick("0", "-1.5", "0.0000000001", "922337203685477580.7", "-9223372036854775807", "123456789.123456789", "9000000000", "-9000000000"))
		if random.IntN(2) == 0 {
			e.AgentCost = decimal.NewNullDecimal(decimal.New(int64(random.IntN(1000)), -6))
		}
		if random.IntN(6) == 0 {
			e.Amendments = []humanhours.Amendment{{Kind: humanhours.AmendVoid}}
		}
	}
	return list
}

// source answers from a log alone.
func source(log []byte) rollup.Source {
	return rollup.Source{Groups: func(context.Context, rollup.Span) iter.Seq2[rollup.Group, error] {
		return func(yield func(rollup.Group, error) bool) { yield(rollup.Group{Logs: [][]byte{log}, Count: -1}, nil) }
	}}
}

var dimensions = []humanhours.Dimension{humanhours.ByAgent, humanhours.ByTaskType, humanhours.ByModel, humanhours.ByOutcome}

// texts are the sums by a dimension, one a line.
func texts(t testing.TB, by humanhours.Dimension, rollups iter.Seq2[humanhours.Rollup, error]) string {
	t.Helper()
	all := make(map[string]*humanhours.Rollup)
	for r, err := range rollups {
		require.NoError(t, err)
		value := map[humanhours.Dimension]string{
			humanhours.ByAgent: r.Agent, humanhours.ByTaskType: r.TaskType, humanhours.ByModel: r.Model, humanhours.ByOutcome: string(r.Outcome),
		}[by]
		at := fmt.Sprintf("%d %q %t %s %q", r.Hour, value, r.Test, r.Currency, r.UnpricedModel)
		sum := all[at]
		if sum == nil {
			sum = &humanhours.Rollup{}
			all[at] = sum
		}
		sum.Events, sum.Voided, sum.Failures, sum.Unpriced = sum.Events+r.Events, sum.Voided+r.Voided, sum.Failures+r.Failures, sum.Unpriced+r.Unpriced
		sum.HoursSaved.AddSum(&r.HoursSaved)
		sum.CostSaved.AddSum(&r.CostSaved)
		sum.AgentCost.AddSum(&r.AgentCost)
		sum.NetSaved.AddSum(&r.NetSaved)
	}
	var lines []string
	for at, r := range all {
		line := fmt.Sprintf("%d %d %d %d %s %s %s %s", r.Events, r.Voided, r.Failures, r.Unpriced,
			r.HoursSaved.Decimal(), r.CostSaved.Decimal(), r.AgentCost.Decimal(), r.NetSaved.Decimal())
		if line != "0 0 0 0 0 0 0 0" {
			lines = append(lines, at+": "+line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func sumsOf(list []humanhours.Event) iter.Seq2[humanhours.Rollup, error] {
	return func(yield func(humanhours.Rollup, error) bool) {
		for i := range list {
			if !yield(list[i].Rollup(), nil) {
				return
			}
		}
	}
}

// TestLogsAddUp: however events come in blocks, and however often these are merged, a log has their sums.
func TestLogsAddUp(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		var all []humanhours.Event
		var log []byte
		for range 1 + random.IntN(12) {
			group := events(random, random.IntN(40))
			var b rollup.Builder
			for i := range group {
				r := group[i].Rollup()
				b.Add(&r)
			}
			log = b.Append(log)
			all = append(all, group...)
			if len(all) > 0 && random.IntN(3) == 0 { // taken off again
				i := random.IntN(len(all))
				var b rollup.Builder
				b.Remove(&all[i])
				all = slices.Delete(all, i, i+1)
				log = b.Append(log)
			}
			if random.IntN(3) == 0 {
				merged, err := rollup.Merge(log)
				require.NoError(t, err)
				log = merged
			}
		}
		n, agree, err := rollup.Count(log)
		require.NoError(t, err)
		require.True(t, agree)
		require.EqualValues(t, len(all), n)
		for _, by := range dimensions {
			got := texts(t, by, source(log).Rollups(ctx, humanhours.RollupQuery{Org: "acme", By: by}))
			require.Equal(t, texts(t, by, sumsOf(all)), got, "by %s, seed %d", by, seed)
		}
	}
}

func TestAMergedLogIsAsLargeAsItsSumsAreMany(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	add := func(n int) []byte {
		var b rollup.Builder
		for range n {
			e := events(random, 1)[0]
			e.NetSaved = decimal.New(5, 0)
			r := e.Rollup()
			b.Add(&r)
		}
		return b.Append(nil)
	}
	short, err := rollup.Merge(add(20_000))
	require.NoError(t, err)
	long, err := rollup.Merge(short, add(20_000))
	require.NoError(t, err)
	assert.Less(t, len(long), len(short)+len(short)/10)
	assert.Less(t, len(add(1000)), 1000*32, "a fact takes a score of bytes")
}

// What was added and taken off leaves nothing.
func TestNothingIsLeftOfWhatIsTakenOff(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 1))
	var b rollup.Builder
	for _, e := range events(random, 50) {
		r := e.Rollup()
		b.Add(&r)
		b.Remove(&e)
	}
	merged, err := rollup.Merge(b.Append(nil))
	require.NoError(t, err)
	assert.Empty(t, merged)
}

func TestRedactionsChangeNoSums(t *testing.T) {
	e := events(rand.New(rand.NewPCG(3, 1)), 1)[0]
	assert.Empty(t, rollup.Amended(e, humanhours.Amendment{Kind: humanhours.AmendRedact}))
	assert.NotEmpty(t, rollup.Amended(e, humanhours.Amendment{Kind: humanhours.AmendVoid}))
}

// Whole hours come from the log and the rest from events, which are asked for nothing else.
func TestEdgesComeFromEvents(t *testing.T) {
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	random := rand.New(rand.NewPCG(4, 1))
	all := events(random, 2000)
	var b rollup.Builder
	for i := range all {
		r := all[i].Rollup()
		b.Add(&r)
	}
	within := func(from, to time.Time) []humanhours.Event {
		var list []humanhours.Event
		for _, e := range all {
			if (from.IsZero() || !e.OccurredAt.Before(from)) && (to.IsZero() || e.OccurredAt.Before(to)) {
				list = append(list, e)
			}
		}
		return list
	}
	for _, test := range []struct {
		from, to time.Time
		edges    int
	}{
		{},
		{from: hour(0)}, {to: hour(2)}, {from: hour(-3), to: hour(3)},
		{from: hour(0).Add(1), edges: 1}, {to: hour(2).Add(-1), edges: 1}, {from: hour(-3).Add(time.Minute), to: hour(3).Add(time.Minute), edges: 2},
		{from: hour(0).Add(time.Minute), to: hour(1).Add(-time.Minute), edges: 1}, {from: hour(0).Add(30 * time.Minute), to: hour(1).Add(30 * time.Minute), edges: 1},
		{from: hour(1), to: hour(1)}, {from: hour(2), to: hour(1)},
		{from: time.UnixMilli(-1), to: time.UnixMilli(1), edges: 1},
	} {
		edges := 0
		s := source(b.Append(nil))
		s.Events = func(_ context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
			edges++
			assert.Less(t, q.To.Sub(q.From), 2*time.Hour, "what is whole is in the log")
			return func(yield func(humanhours.Event, error) bool) {
				for _, e := range within(q.From, q.To) {
					if !yield(e, nil) {
						return
					}
				}
			}
		}
		got := texts(t, humanhours.ByModel, s.Rollups(t.Context(), humanhours.RollupQuery{Org: "acme", By: humanhours.ByModel, From: test.from, To: test.to}))
		assert.Equal(t, texts(t, humanhours.ByModel, sumsOf(within(test.from, test.to))), got, "%v to %v", test.from, test.to)
		assert.Equal(t, test.edges, edges, "%v to %v", test.from, test.to)
	}
}

func TestErrorsEndTheSums(t *testing.T) {
	broken := errors.New("the disk is gone")
	failing := rollup.Source{
		Groups: func(context.Context, rollup.Span) iter.Seq2[rollup.Group, error] {
			return func(yield func(rollup.Group, error) bool) { yield(rollup.Group{}, broken) }
		},
		Events: func(context.Context, humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
			return func(yield func(humanhours.Event, error) bool) { yield(humanhours.Event{}, broken) }
		},
	}
	for _, q := range []humanhours.RollupQuery{
		{By: humanhours.ByAgent}, {By: humanhours.ByAgent, From: start.Add(1), To: start.Add(2 * time.Hour)}, {By: humanhours.ByDay},
	} {
		n := 0
		for _, err := range failing.Rollups(t.Context(), q) {
			require.Error(t, err)
			n++
		}
		assert.Equal(t, 1, n)
	}
	for _, err := range source([]byte("not a log")).Rollups(t.Context(), humanhours.RollupQuery{By: humanhours.ByAgent}) {
		assert.ErrorContains(t, err, "Rebuild")
	}
}

// A group that is damaged, or of another number of events than it should be, is asked for once more.
func TestGroupsAreMadeAnew(t *testing.T) {
	e := events(rand.New(rand.NewPCG(6, 1)), 1)
	e[0].Amendments = nil
	var b rollup.Builder
	r := e[0].Rollup()
	b.Add(&r)
	right := rollup.Group{Logs: [][]byte{b.Append(nil)}, Count: 1}
	for name, group := range map[string]rollup.Group{
		"damaged":  {Logs: [][]byte{[]byte("something")}, Count: -1},
		"too few":  {Count: 1},
		"too many": {Logs: [][]byte{b.Append(b.Append(nil))}, Count: 1},
	} {
		for _, healed := range []bool{true, false} {
			again := group
			if healed {
				again = right
			}
			group.Again = func(context.Context) (rollup.Group, error) { return again, nil }
			s := rollup.Source{Groups: func(context.Context, rollup.Span) iter.Seq2[rollup.Group, error] {
				return func(yield func(rollup.Group, error) bool) { yield(group, nil) }
			}}
			n, failed := int64(0), error(nil)
			for r, err := range s.Rollups(t.Context(), humanhours.RollupQuery{By: humanhours.ByAgent}) {
				n, failed = n+r.Events, err
			}
			if !healed {
				require.ErrorContains(t, failed, "Rebuild", name)
				continue
			}
			require.NoError(t, failed, name)
			require.EqualValues(t, 1, n, name)
		}
	}
}

// Where every event has a text of its own, sums are longer than facts, and stay facts.
func TestCompactNeverGrows(t *testing.T) {
	add := func(n int, agent func(i int) string) []byte {
		var b rollup.Builder
		for i := range n {
			r := humanhours.Rollup{Agent: agent(i), Model: agent(-i), Events: 1, Currency: "EUR"}
			b.Add(&r)
		}
		return b.Append(nil)
	}
	own := add(500, func(i int) string { return fmt.Sprint("agent of some name ", i) })
	log, err := rollup.Compact(own, own)
	require.NoError(t, err)
	require.LessOrEqual(t, len(log), 2*len(own))
	joined, err := rollup.Join(own, own)
	require.NoError(t, err)
	require.Less(t, len(joined), 2*len(own), "each text once")
	require.Equal(t, len(joined), rollup.Size(joined), "one block")
	q := humanhours.RollupQuery{By: humanhours.ByAgent}
	require.Equal(t, texts(t, q.By, source(log).Rollups(t.Context(), q)), texts(t, q.By, source(joined).Rollups(t.Context(), q)))
	few := add(500, func(i int) string { return fmt.Sprint("agent ", i%3) })
	log, err = rollup.Compact(few, few)
	require.NoError(t, err)
	require.Less(t, len(log), len(few)/4)
	n, _, err := rollup.Count(log)
	require.NoError(t, err)
	require.EqualValues(t, 1000, n)
}

// FuzzLog: what is not a log is an error, and what is one says the same when it is merged.
func FuzzLog(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 1))
	for n := range 4 {
		var b rollup.Builder
		for _, e := range events(random, n) {
			r := e.Rollup()
			b.Add(&r)
		}
		f.Add(b.Append(b.Append(nil)))
	}
	f.Add([]byte("\x00\x00\x00\x01\x00"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, log []byte) {
		n, _, err := rollup.Count(log)
		merged, err2 := rollup.Merge(log)
		require.Equal(t, err == nil, err2 == nil)
		if err != nil {
			return
		}
		after, _, err := rollup.Count(merged)
		require.NoError(t, err)
		require.Equal(t, n, after)
		for _, by := range dimensions {
			q := humanhours.RollupQuery{By: by}
			require.Equal(t, texts(t, by, source(log).Rollups(t.Context(), q)), texts(t, by, source(merged).Rollups(t.Context(), q)))
		}
	})
}
