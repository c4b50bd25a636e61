package humanhours_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestEventPages(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	for i := range 25 {
		w.track(t, owner, request(func(r *humanhours.TrackRequest) {
			r.AgentID, r.OccurredAt = fmt.Sprint("agent ", i%2), noon.Add(-time.Duration(i/3)*time.Second) // some at one instant
		}))
	}
	for _, down := range []bool{false, true} {
		for _, limit := range []int{1, 3, 24, 25, 26} {
			q := humanhours.EventListQuery{Descending: down, Limit: limit, Filter: humanhours.ReportFilter{Agents: []string{"agent 0"}}}
			var found []humanhours.Event
			for pages := 0; ; pages++ {
				require.Less(t, pages, 30)
				page, err := w.Events(t.Context(), owner, q)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page.Events), limit)
				found = append(found, page.Events...)
				if q.After = page.Next; page.Next.IsZero() {
					break
				}
			}
			require.Len(t, found, 13)
			for i := range found[1:] {
				older, newer := found[i], found[i+1]
				if down {
					older, newer = newer, older
				}
				require.True(t, older.OccurredAt.Before(newer.OccurredAt) || older.OccurredAt.Equal(newer.OccurredAt) && older.ID < newer.ID)
			}
		}
	}
	all, err := w.Events(t.Context(), owner, humanhours.EventListQuery{Period: "24h"})
	require.NoError(t, err)
	assert.Len(t, all.Events, 25)
	one, err := w.Event(t.Context(), owner, all.Events[3].ID)
	require.NoError(t, err)
	requireSame(t, all.Events[3], one)
	_, err = w.Event(t.Context(), humanhours.Caller{Org: "globex"}, one.ID)
	requireError(t, err, humanhours.CodeNotFound, "")

	for field, q := range map[string]humanhours.EventListQuery{
		"limit": {Limit: humanhours.MaxEventPage + 1}, "period": {Period: "1w"}, "to": {From: noon, To: noon.Add(-1)},
		"outcome": {Filter: humanhours.ReportFilter{Outcomes: []humanhours.Outcome{"x"}}},
	} {
		_, err := w.Events(t.Context(), owner, q)
		requireError(t, err, humanhours.CodeValidation, field)
		for _, err := range w.Export(t.Context(), owner, q) {
			if field != "limit" {
				requireError(t, err, humanhours.CodeValidation, field)
			}
		}
	}
	n := 0
	for _, err := range w.Export(t.Context(), owner, humanhours.EventListQuery{Limit: 1}) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 25, n, "an export has no pages")
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Plan = "free" })
	for _, err := range w.Export(t.Context(), owner, humanhours.EventListQuery{}) {
		requireError(t, err, humanhours.CodeFeatureLocked, "")
	}
	_, err = w.Events(t.Context(), owner, humanhours.EventListQuery{})
	require.NoError(t, err)
}
