package humanhours_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// watched is a store in memory that says what it is asked for a report.
type watched struct {
	*memory.Store
	asked []string
	sums  error // of Rollups, if set
}

func (s *watched) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	s.asked = append(s.asked, "events")
	return s.Store.Events(ctx, q)
}

func (s *watched) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	s.asked = append(s.asked, "sums by "+string(q.By))
	if s.sums != nil {
		return func(yield func(humanhours.Rollup, error) bool) { yield(humanhours.Rollup{}, s.sums) }
	}
	return s.Store.Rollups(ctx, q)
}

// TestReportsAreMadeFromSums: what sums can say is asked of them, and nothing else of the events.
func TestReportsAreMadeFromSums(t *testing.T) {
	s := &watched{Store: memory.New()}
	for i := range 3 {
		require.NoError(t, s.Append(t.Context(), []humanhours.Entry{storetest.Entry("acme", i)})[0].Err)
	}
	tracker, err := humanhours.New(s, humanhours.Config{})
	require.NoError(t, err)
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	require.NoError(t, err)
	some := humanhours.ReportFilter{Agents: []string{"agent-0", "agent-1", "agent-2"}}
	metadata := humanhours.ReportFilter{Metadata: map[string][]string{"client": {"Zoë"}}}
	for name, test := range map[string]struct {
		q    humanhours.ReportQuery
		want string
		and  []string
	}{
		"all":                           {humanhours.ReportQuery{}, "sums by outcome", []string{}},
		"by agent":                      {by(humanhours.ByAgent), "sums by agent", []string{}},
		"by category and task type":     {by(humanhours.ByCategory, humanhours.ByTaskType), "sums by task_type", []string{}},
		"by month, day and model":       {by(humanhours.ByMonth, humanhours.ByDay, humanhours.ByModel), "sums by model", []string{}},
		"by outcome and week":           {by(humanhours.ByOutcome, humanhours.ByWeek), "sums by outcome", []string{}},
		"by day of India":               {humanhours.ReportQuery{GroupBy: []humanhours.Dimension{humanhours.ByDay}, Zone: kolkata}, "sums by outcome", []string{}},
		"of some agents":                {humanhours.ReportQuery{Filter: some}, "sums by agent", []string{}},
		"by agent, of some":             {humanhours.ReportQuery{GroupBy: []humanhours.Dimension{humanhours.ByAgent}, Filter: some}, "sums by agent", []string{}},
		"by model, of some agents":      {humanhours.ReportQuery{GroupBy: []humanhours.Dimension{humanhours.ByModel}, Filter: some}, "events", []string{}},
		"by agent and model":            {by(humanhours.ByAgent, humanhours.ByModel), "events", []string{}},
		"by client":                     {by(humanhours.ByClient), "events", []string{}},
		"by the source of the baseline": {by(humanhours.ByBaselineSource), "events", []string{}},
		"by metadata":                   {by(humanhours.MetadataDimension("client")), "events", []string{}},
		"of some metadata":              {humanhours.ReportQuery{Filter: metadata}, "events", []string{}},
		"with a range":                  {humanhours.ReportQuery{Range: true}, "events", []string{}},
		"by hour of India":              {humanhours.ReportQuery{GroupBy: []humanhours.Dimension{humanhours.ByHour}, Zone: kolkata}, "sums by outcome", []string{"events", "events", "events"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.asked = nil
			report, err := tracker.Report(t.Context(), humanhours.Caller{Org: "acme"}, test.q)
			require.NoError(t, err)
			require.Len(t, report.Totals, 1)
			assert.EqualValues(t, 3, report.Totals[0].Events)
			assert.Equal(t, test.want, s.asked[0])
			if test.want != "events" {
				assert.Equal(t, test.and, s.asked[1:])
			}
		})
	}
}

// A store that turns out to keep no sums is asked for its events, and one that fails fails.
func TestReportsWithoutSums(t *testing.T) {
	s := &watched{Store: memory.New()}
	require.NoError(t, s.Append(t.Context(), []humanhours.Entry{storetest.Entry("acme", 1)})[0].Err)
	tracker, err := humanhours.New(s, humanhours.Config{})
	require.NoError(t, err)
	s.sums = fmt.Errorf("a decorator of a store: %w", errors.ErrUnsupported)
	report, err := tracker.Report(t.Context(), humanhours.Caller{Org: "acme"}, by(humanhours.ByAgent))
	require.NoError(t, err)
	assert.EqualValues(t, 1, report.Totals[0].Events)
	assert.Contains(t, s.asked, "events")
	s.sums = errors.New("the disk is gone")
	_, err = tracker.Report(t.Context(), humanhours.Caller{Org: "acme"}, by(humanhours.ByAgent))
	var e *humanhours.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, humanhours.CodeUnavailable, e.Code)
}

// TestHoursThatAZoneCuts: where a zone is not whole hours from UTC, or changes its clock in the middle of one, an hour is read in parts.
func TestHoursThatAZoneCuts(t *testing.T) {
	s := memory.New()
	tracker, err := humanhours.New(s, humanhours.Config{})
	require.NoError(t, err)
	n := 0
	at := func(text string) {
		t.Helper()
		occurred, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		e := storetest.Entry("acme", n)
		n++
		e.Event.OccurredAt = occurred.UTC()
		require.NoError(t, s.Append(t.Context(), []humanhours.Entry{e})[0].Err)
	}
	for _, text := range []string{
		"2026-05-14T18:29:59.999Z", "2026-05-14T18:30:00Z", // midnight in India
		"2026-05-14T18:14:59.999Z", "2026-05-14T18:15:00Z", // and in Nepal
		"2026-10-03T15:29:59.999Z", "2026-10-03T15:30:00Z", // 2:00 becomes 2:30 on Lord Howe
		"2026-04-04T14:59:59.999Z", "2026-04-04T15:00:00Z", "2026-04-04T15:29:59.999Z", "2026-04-04T15:30:00Z", // 2:00 becomes 1:30 there
		"2011-12-30T09:59:59.999Z", "2011-12-30T10:00:00Z", // a day that Samoa never had
		"1883-11-18T17:03:57.999Z", "1883-11-18T17:03:58Z", // New York leaves its sun
	} {
		at(text)
	}
	for zone, dimensions := range map[string][]humanhours.Dimension{
		"Asia/Kolkata":        {humanhours.ByDay, humanhours.ByHour, humanhours.ByMonth},
		"Asia/Kathmandu":      {humanhours.ByDay},
		"Australia/Lord_Howe": {humanhours.ByHour},
		"Pacific/Apia":        {humanhours.ByDay},
		"America/New_York":    {humanhours.ByHour, humanhours.ByDay},
	} {
		loc, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, d := range dimensions {
			units := make(map[string]int64)
			for e, err := range s.Events(t.Context(), humanhours.EventQuery{Org: "acme"}) {
				require.NoError(t, err)
				units[unit(d, e.OccurredAt.In(loc))]++
			}
			report, err := tracker.Report(t.Context(), humanhours.Caller{Org: "acme"}, humanhours.ReportQuery{GroupBy: []humanhours.Dimension{d}, Zone: loc})
			require.NoError(t, err)
			got := make(map[string]int64)
			for _, row := range report.Rows {
				got[row.Values[0].Text] = row.Events
			}
			assert.Equal(t, units, got, "%s by %s", zone, d)
		}
	}
}

func unit(d humanhours.Dimension, local time.Time) string {
	switch d {
	case humanhours.ByHour:
		return local.Format("2006-01-02T15:00:00Z07:00")
	case humanhours.ByMonth:
		return local.Format("2006-01")
	}
	return local.Format(time.DateOnly)
}

// undivided is a store that does not say which time its events are spread over.
type undivided struct{ humanhours.Store }

func (s undivided) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	if q.Limit == 1 {
		return func(func(humanhours.Event, error) bool) {}
	}
	return s.Store.Events(ctx, q)
}

// TestPartsOfAPeriodAddUp: a report that reads several parts of a period at once is that of a single reader, also where there are too many groups.
func TestPartsOfAPeriodAddUp(t *testing.T) {
	s := memory.New()
	const events = 4000
	for i := range events {
		e := storetest.Entry("acme", i)
		e.Event.OccurredAt = e.Event.OccurredAt.Add(time.Duration(i*i%events) * time.Hour)
		e.Event.Metadata = []byte(fmt.Sprintf(`{"n":%d}`, i*7919%events))
		require.NoError(t, s.Append(t.Context(), []humanhours.Entry{e})[0].Err)
	}
	tracker, err := humanhours.New(s, humanhours.Config{})
	require.NoError(t, err)
	whole, err := humanhours.New(undivided{Store: s}, humanhours.Config{})
	require.NoError(t, err)
	for _, q := range []humanhours.ReportQuery{
		by(humanhours.MetadataDimension("n")), by(humanhours.MetadataDimension("n"), humanhours.ByWeek),
		{GroupBy: []humanhours.Dimension{humanhours.MetadataDimension("n")}, Top: 7},
		{GroupBy: []humanhours.Dimension{humanhours.MetadataDimension("n")}, Top: 7, Sort: "-events", Range: true},
		{GroupBy: []humanhours.Dimension{humanhours.ByClient}, Range: true},
	} {
		got, err := tracker.Report(t.Context(), humanhours.Caller{Org: "acme"}, q)
		require.NoError(t, err)
		want, err := whole.Report(t.Context(), humanhours.Caller{Org: "acme"}, q)
		require.NoError(t, err)
		require.Equal(t, rows(want), rows(got), "%+v", q)
		require.Equal(t, want.Truncated, got.Truncated)
		require.Equal(t, sums(want.Totals[0]), sums(got.Totals[0]))
	}
}

// frugal leaves out of events whatever a query lets it.
type frugal struct{ humanhours.Store }

func (s frugal) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		for e, err := range s.Store.Events(ctx, q) {
			if q.Sparse {
				e = humanhours.Event{
					Org: e.Org, ID: e.ID, Test: e.Test, AgentID: e.AgentID, TaskType: e.TaskType, Outcome: e.Outcome, Model: e.Model, Metadata: e.Metadata,
					OccurredAt: e.OccurredAt, Baseline: humanhours.Baseline{Source: e.Baseline.Source}, Currency: e.Currency, ROI: e.ROI, Amendments: e.Amendments,
					Cost: humanhours.RunCost{Source: e.Cost.Source, UnpricedModel: e.Cost.UnpricedModel},
				}
				if q.Bare {
					e.AgentID, e.TaskType, e.Baseline.Source, e.Cost.Source = "", "", "", ""
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestReportsNeedNoMoreThanTheyAskFor: a store may leave out of events what a query lets it.
func TestReportsNeedNoMoreThanTheyAskFor(t *testing.T) {
	s := memory.New()
	for i := range 300 {
		e := storetest.Entry("acme", i)
		e.Event.OccurredAt = e.Event.OccurredAt.Add(time.Duration(i) * 5 * time.Hour)
		e.Event.TaskType, e.Event.Model = []string{"email_classification", "own"}[i%2], []string{"", "m"}[i/2%2]
		e.Event.Baseline.Source = []humanhours.BaselineSource{humanhours.BaselineBuiltin, humanhours.BaselineRequest}[i/3%2]
		e.Event.Outcome = []humanhours.Outcome{humanhours.OutcomeSuccess, humanhours.OutcomeFailure}[i/4%2]
		if i%5 == 0 {
			e.Event.AgentCost.Valid = false
			e.Event.Cost.Source = humanhours.CostNone
		}
		require.NoError(t, s.Append(t.Context(), []humanhours.Entry{e})[0].Err)
	}
	whole, err := humanhours.New(undivided{Store: s}, humanhours.Config{})
	require.NoError(t, err)
	little, err := humanhours.New(frugal{s}, humanhours.Config{})
	require.NoError(t, err)
	all := []humanhours.Dimension{
		humanhours.ByAgent, humanhours.ByTaskType, humanhours.ByCategory, humanhours.ByModel, humanhours.ByOutcome, humanhours.ByBaselineSource, humanhours.ByCostSource,
		humanhours.ByClient, humanhours.ByDay, humanhours.MetadataDimension("n"),
	}
	for _, filter := range []humanhours.ReportFilter{
		{}, {Agents: []string{"agent-1"}}, {TaskTypes: []string{"own"}}, {Models: []string{"m"}}, {Outcomes: []humanhours.Outcome{humanhours.OutcomeFailure}},
		{Metadata: map[string][]string{"client": {"Zoë"}}},
	} {
		for i, d := range all {
			for _, q := range []humanhours.ReportQuery{
				{GroupBy: []humanhours.Dimension{d}, Filter: filter}, {GroupBy: []humanhours.Dimension{d}, Filter: filter, Range: true},
				{GroupBy: []humanhours.Dimension{d, all[(i+3)%len(all)]}, Filter: filter},
			} {
				got, err := little.Report(t.Context(), humanhours.Caller{Org: "acme"}, q)
				require.NoError(t, err)
				want, err := whole.Report(t.Context(), humanhours.Caller{Org: "acme"}, q)
				require.NoError(t, err)
				require.Equal(t, rows(want), rows(got), "%+v", q)
				require.Equal(t, want.Caveats, got.Caveats)
			}
		}
	}
}
