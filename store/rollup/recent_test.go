package rollup_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// TestRecentAddsUp: what comes one by one, is amended and is read in between has the same sums as the events.
func TestRecentAddsUp(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 2))
		var recent rollup.Recent
		var all []humanhours.Event
		var log []byte
		for _, e := range events(random, 8000) {
			if random.IntN(3) > 0 { // few are so large; these come alone
				e.NetSaved = e.CostSaved
			}
			r := e.Rollup()
			recent.Add(&r)
			if random.IntN(10) == 0 && !e.Voided() {
				void := humanhours.Amendment{Kind: humanhours.AmendVoid}
				recent.Amend(e, void)
				e.Amendments = append(e.Amendments, void)
			}
			all = append(all, e)
			if random.IntN(500) > 0 {
				continue
			}
			log = recent.Append(nil)
			require.Equal(t, log, recent.Append(nil), "reading changes nothing")
			n, agree, err := rollup.Count(log)
			require.NoError(t, err)
			require.True(t, agree)
			require.EqualValues(t, len(all), n)
		}
		log = recent.Append(nil)
		for _, by := range dimensions {
			got := texts(t, by, source(log).Rollups(t.Context(), humanhours.RollupQuery{Org: "acme", By: by}))
			require.Equal(t, texts(t, by, sumsOf(all)), got, "by %s, seed %d", by, seed)
		}
	}
}

// TestRecentIsSmallWhereEventsAreAlike: a service has few agents that do a few kinds of tasks all the time, and a new name for each event is as large as ever.
func TestRecentIsSmallWhereEventsAreAlike(t *testing.T) {
	size := func(kinds int) (recent, plain int) {
		var r rollup.Recent
		var b rollup.Builder
		for i := range 40_000 {
			e := events(rand.New(rand.NewPCG(7, 7)), 1)[0]
			e.AgentID, e.NetSaved, e.Amendments = fmt.Sprint("agent ", i%kinds), e.CostSaved, nil
			adds := e.Rollup()
			r.Add(&adds)
			b.Add(&adds)
		}
		return len(r.Append(nil)), len(b.Append(nil))
	}
	recent, plain := size(16)
	assert.Less(t, recent, plain/10)
	recent, plain = size(40_000)
	assert.Equal(t, plain, recent)
}
