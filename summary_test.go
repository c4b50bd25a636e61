package humanhours_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestPeriods(t *testing.T) {
	now := noon.Add(123_456 * time.Microsecond)
	end := noon.Add(124 * time.Millisecond)
	for name, length := range map[string]time.Duration{"24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour, "90d": 90 * 24 * time.Hour} {
		from, to, ok := humanhours.Period(name, now, nil)
		require.True(t, ok)
		assert.Equal(t, end, to, "the millisecond of now is in it")
		assert.Equal(t, length, to.Sub(from))
	}
	apia, err := time.LoadLocation("Pacific/Apia")
	require.NoError(t, err)
	newYear := time.Date(2025, time.December, 31, 12, 0, 0, 0, time.UTC) // which is 2026 in Samoa
	from, _, ok := humanhours.Period("ytd", newYear, apia)
	require.True(t, ok)
	assert.Equal(t, time.Date(2025, time.December, 31, 11, 0, 0, 0, time.UTC), from)
	from, _, _ = humanhours.Period("ytd", newYear, nil)
	assert.Equal(t, time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC), from)
	from, to, ok := humanhours.Period("all", now, nil)
	assert.True(t, ok && from.IsZero() && to.IsZero())
	_, _, ok = humanhours.Period("1w", now, nil)
	assert.False(t, ok)
}

func TestSummary(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	at := func(ago time.Duration, outcome humanhours.Outcome) {
		w.track(t, owner, request(func(r *humanhours.TrackRequest) {
			r.OccurredAt, r.Outcome, r.AgentCost = noon.Add(-ago), outcome, null("0.1")
			r.HumanBaselineMinutes, r.AgentDuration = null("600"), null("0")
		}))
	}
	at(0, humanhours.OutcomeSuccess)
	at(time.Hour, humanhours.OutcomeSuccess)
	at(2*24*time.Hour, humanhours.OutcomeNeedsReview)
	at(2*24*time.Hour, humanhours.OutcomeFailure)
	at(7*24*time.Hour-time.Millisecond, humanhours.OutcomeSuccess) // the first of the period
	at(7*24*time.Hour, humanhours.OutcomeSuccess)                  // the last of the one before
	at(14*24*time.Hour, humanhours.OutcomeSuccess)                 // before that
	from, to, _ := humanhours.Period("7d", noon, nil)
	s, err := w.Summary(ctx, owner, humanhours.SummaryQuery{Period: "7d"})
	require.NoError(t, err)
	require.True(t, s.From.Equal(from) && s.To.Equal(to))
	require.Len(t, s.Totals, 1)
	assert.Equal(t, "EUR 5 40 1800 0.5 1799.5", sums(s.Totals[0].ReportSums))
	assert.Equal(t, "0.974", text(s.Totals[0].FTE), "40 h / (176 h x 7/30)")
	assert.Equal(t, map[humanhours.Outcome]int64{"success": 3, "failure": 1, "needs_review": 1}, s.Outcomes)
	assert.Equal(t, "0.6", text(s.SuccessRate))
	require.Len(t, s.Previous.Totals, 1)
	assert.Equal(t, "EUR 1 10 450 0.1 449.9", sums(s.Previous.Totals[0]))
	assert.True(t, s.Previous.To.Equal(from) && s.Previous.From.Equal(from.Add(-7*24*time.Hour)))
	require.Len(t, s.Trend, 8, "7 x 24 hours from noon on touch 8 days")
	var days []string
	for _, row := range s.Trend {
		days = append(days, row.Values[0].Text+" "+sums(row.ReportSums))
	}
	assert.Equal(t, "2026-05-07 EUR 1 10 450 0.1 449.9", days[0])
	assert.Equal(t, "2026-05-08 EUR 0 0 0 0 0", days[1])
	assert.Equal(t, "2026-05-12 EUR 2 10 450 0.2 449.8", days[5])
	assert.Equal(t, "2026-05-14 EUR 2 20 900 0.2 899.8", days[7])
	assert.EqualValues(t, 1, s.Caveats.Failures)

	month, err := w.Summary(ctx, owner, humanhours.SummaryQuery{From: to.Add(-30 * 24 * time.Hour), To: to})
	require.NoError(t, err)
	assert.Equal(t, "0.341", text(month.Totals[0].FTE), "60 h / 176 h")
	assert.Empty(t, month.Previous.Totals)

	all, err := w.Summary(ctx, owner, humanhours.SummaryQuery{})
	require.NoError(t, err)
	assert.Nil(t, all.Previous)
	assert.False(t, all.Totals[0].FTE.Valid)
	assert.Len(t, all.Trend, 15, "from the first event to the last")

	for _, far := range []humanhours.SummaryQuery{{To: noon.AddDate(7000, 0, 0)}, {From: noon.AddDate(-2000, 0, 0)}} {
		s, err := w.Summary(ctx, owner, far)
		require.NoError(t, err)
		assert.Len(t, s.Trend, 15, "one bound alone adds no days")
	}
	early := time.Date(2, time.January, 1, 0, 0, 0, 0, time.UTC)
	s, err = w.Summary(ctx, owner, humanhours.SummaryQuery{From: early, To: early.AddDate(4, 0, 0)})
	require.NoError(t, err)
	assert.Nil(t, s.Previous, "there is no year before the first")

	none, err := w.Summary(ctx, humanhours.Caller{Org: "globex"}, humanhours.SummaryQuery{From: from, To: to})
	require.NoError(t, err)
	assert.False(t, none.SuccessRate.Valid)
	assert.Empty(t, none.Trend)
}

func TestMonthUsage(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgDefaults: humanhours.Org{Plan: "free"}})
	w.track(t, owner, request(func(r *humanhours.TrackRequest) { r.OccurredAt = noon.AddDate(0, -1, 0) }))
	rehearsal := owner
	rehearsal.Test = true
	w.track(t, rehearsal, request())
	u, err := w.MonthUsage(t.Context(), owner)
	require.NoError(t, err, "it is open to all plans")
	assert.Equal(t, humanhours.MonthUsage{
		Plan: "free", Currency: "EUR", Events: 1, Included: humanhours.Int64(500),
		Start: time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, time.June, 1, 0, 0, 0, 0, time.UTC),
	}, u)
	assert.Equal(t, humanhours.Int64(499), u.Remaining())
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Plan = "pro" })
	u, err = w.MonthUsage(t.Context(), owner)
	require.NoError(t, err)
	assert.False(t, u.Remaining().Valid)
}
