package humanhours_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// rows returns the rows of a report as "value|value currency events hours cost agent net".
func rows(report humanhours.Report) []string {
	lines := make([]string, len(report.Rows))
	for i, row := range report.Rows {
		values := make([]string, len(row.Values))
		for j, v := range row.Values {
			values[j] = string(v.AppendJSON(nil))
		}
		lines[i] = strings.Join(values, "|") + " " + sums(row.ReportSums)
	}
	return lines
}

func sums(s humanhours.ReportSums) string {
	return fmt.Sprintf("%s %d %s %s %s %s", s.Currency, s.Events, s.HoursSaved, s.CostSaved, s.AgentCost, s.NetSaved)
}

func (w *world) report(t testing.TB, q humanhours.ReportQuery) humanhours.Report {
	t.Helper()
	report, err := w.Report(t.Context(), owner, q)
	require.NoError(t, err)
	return report
}

func by(dimensions ...humanhours.Dimension) humanhours.ReportQuery {
	return humanhours.ReportQuery{GroupBy: dimensions}
}

// TestReportAddsUp: whatever it is grouped by, filtered by and cut at, a report is the sum of its events to the last digit, and so are its totals.
func TestReportAddsUp(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"}
	all := []humanhours.Dimension{
		humanhours.ByAgent, humanhours.ByTaskType, humanhours.ByCategory, humanhours.ByModel, humanhours.ByOutcome, humanhours.ByBaselineSource,
		humanhours.ByCostSource, humanhours.ByClient, humanhours.ByHour, humanhours.ByDay, humanhours.ByWeek, humanhours.ByMonth,
		humanhours.MetadataDimension("client"), humanhours.MetadataDimension("nothing"),
	}
	for seed := range uint64(25) {
		r := seeded(seed)
		w := newWorld(t, humanhours.Config{Prices: book{"m": quote("0.000001", "0.000002", "EUR")}})
		var events []humanhours.Event
		for i := range 60 {
			w.clock.Set(noon.Add(-time.Duration(r.IntN(60*24)) * time.Hour))
			if i == 30 {
				_, err := w.UpdateSettings(t.Context(), owner, humanhours.SettingsPatch{Currency: ptr("USD")}, humanhours.Edit{})
				require.NoError(t, err)
			}
			events = append(events, w.track(t, owner, reportable(r)).Event)
		}
		for range 40 {
			q := humanhours.ReportQuery{}
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			q.GroupBy = slices.Clone(all[:r.IntN(5)])
			zone, err := time.LoadLocation(zones[r.IntN(len(zones))])
			require.NoError(t, err)
			q.Zone = zone
			if r.IntN(2) == 0 {
				q.From = events[r.IntN(len(events))].OccurredAt
			}
			if r.IntN(2) == 0 {
				q.To = noon.Add(-time.Duration(r.IntN(1000)) * time.Hour)
			}
			if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
				q.From, q.To = q.To, q.From
			}
			if r.IntN(3) == 0 {
				q.Filter.Agents = []string{"a", "b"}
			}
			if r.IntN(4) == 0 {
				q.Filter.Outcomes = []humanhours.Outcome{humanhours.OutcomeFailure}
			}
			report := w.report(t, q)
			want := map[string][4]decimal.Decimal{}
			counts := map[string]int64{}
			for _, e := range events {
				if !q.From.IsZero() && e.OccurredAt.Before(q.From) || !q.To.IsZero() && !e.OccurredAt.Before(q.To) ||
					q.Filter.Agents != nil && e.AgentID > "b" || q.Filter.Outcomes != nil && e.Outcome != humanhours.OutcomeFailure {
					continue
				}
				s := want[e.Currency]
				want[e.Currency] = [4]decimal.Decimal{s[0].Add(e.HoursSaved), s[1].Add(e.CostSaved), s[2].Add(e.AgentCost.Decimal), s[3].Add(e.NetSaved)}
				counts[e.Currency]++
			}
			check := func(what string, list []humanhours.ReportSums) {
				got := map[string][4]decimal.Decimal{}
				n := map[string]int64{}
				for _, s := range list {
					sum := got[s.Currency]
					got[s.Currency] = [4]decimal.Decimal{sum[0].Add(s.HoursSaved), sum[1].Add(s.CostSaved), sum[2].Add(s.AgentCost), sum[3].Add(s.NetSaved)}
					n[s.Currency] += s.Events
				}
				require.Equal(t, counts, n, "%s of %+v", what, q)
				for currency, sums := range want {
					for i := range sums {
						require.True(t, sums[i].Equal(got[currency][i]), "%s of %+v: %s, want %s", what, q, got[currency][i], sums[i])
					}
				}
			}
			check("totals", report.Totals)
			list := make([]humanhours.ReportSums, len(report.Rows))
			for i, row := range report.Rows {
				require.Len(t, row.Values, len(q.GroupBy))
				list[i] = row.ReportSums
			}
			check("rows", list)
		}
	}
}

// reportable is a request that reports have something to say about.
func reportable(r *rand.Rand) humanhours.TrackRequest {
	return request(func(q *humanhours.TrackRequest) {
		q.AgentID = pick(r, "a", "b", "c")
		q.TaskType = pick(r, "email_classification", "blog_post", "of_ours")
		q.HumanBaselineMinutes = decimal.NewNullDecimal(randomNumber(r, 600, 9))
		q.Outcome = pick(r, humanhours.OutcomeSuccess, humanhours.OutcomeFailure, humanhours.OutcomeNeedsReview)
		q.OccurredAt = time.Time{}
		switch r.IntN(3) {
		case 0:
			q.AgentCost = decimal.NewNullDecimal(randomNumber(r, 1000, 9))
		case 1:
			q.Model = pick(r, "m", "unknown")
			q.TokensIn = humanhours.Int64(r.Int64N(1_000_000))
		}
		if client := pick(r, "", `"x"`, `"y"`, "4", "4.0", "true", "null", "[1]"); client != "" {
			q.Metadata = json.RawMessage(`{"client":` + client + `}`)
		}
	})
}

func TestReportValues(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	for _, m := range []string{`{"client":"zoë"}`, `{"client":4}`, `{"client":4.0}`, `{"client":4e0}`, `{"client":12}`, `{"client":true}`, `{"client":""}`,
		`{"client_id":"by id"}`, `{"client":null,"client_id":"x"}`, `{"client":{"a":1}}`, `{}`, `{"client":1e99999}`} {
		w.track(t, owner, request(func(r *humanhours.TrackRequest) { r.Metadata = json.RawMessage(m) }))
	}
	report := w.report(t, by(humanhours.ByClient))
	var values []string
	for _, row := range report.Rows {
		values = append(values, string(row.Values[0].AppendJSON(nil))+" "+strconv.FormatInt(row.Events, 10))
	}
	assert.Equal(t, []string{"null 2", "true 1", "12 1", "1e99999 1", "4 3", `"" 1`, `"by id" 1`, `"x" 1`, `"zoë" 1`}, sortedNumbersApart(values))
	filtered := w.report(t, humanhours.ReportQuery{Filter: humanhours.ReportFilter{Metadata: map[string][]string{"client": {"4.00", "zoë"}}}})
	assert.EqualValues(t, 4, filtered.Totals[0].Events)
}

// sortedNumbersApart: a number that no arithmetic is done on is sorted by its text.
func sortedNumbersApart(values []string) []string {
	values = slices.Clone(values)
	slices.SortStableFunc(values[2:5], strings.Compare)
	return values
}

// TestReportCalendar: days of a zone are 23 to 25 hours long, weeks are those of ISO 8601, and an hour that comes twice is two.
func TestReportCalendar(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	kathmandu, err := time.LoadLocation("Asia/Kathmandu")
	require.NoError(t, err)
	w := newWorld(t, humanhours.Config{})
	track := func(at time.Time) {
		w.clock.Set(at)
		w.track(t, owner, request())
	}
	autumn := time.Date(2026, time.October, 25, 0, 0, 0, 0, berlin) // 25 hours
	for h := range 25 {
		track(autumn.Add(time.Duration(h)*time.Hour + 30*time.Minute))
	}
	track(autumn.Add(25 * time.Hour))
	one := func(zone *time.Location, d humanhours.Dimension) (values []string) {
		q := by(d)
		q.Zone = zone
		for _, row := range w.report(t, q).Rows {
			values = append(values, row.Values[0].Text+" "+strconv.FormatInt(row.Events, 10))
		}
		return values
	}
	assert.Equal(t, []string{"2026-10-25 25", "2026-10-26 1"}, one(berlin, humanhours.ByDay))
	hours := one(berlin, humanhours.ByHour)
	require.Len(t, hours, 26)
	assert.Equal(t, []string{"2026-10-25T02:00:00+01:00 1", "2026-10-25T02:00:00+02:00 1"}, hours[2:4])
	assert.Equal(t, []string{"2026-W43 25", "2026-W44 1"}, one(berlin, humanhours.ByWeek))
	assert.Equal(t, []string{"2026-10 26"}, one(berlin, humanhours.ByMonth))
	assert.Len(t, one(kathmandu, humanhours.ByHour), 25, "the last two are in one hour there")
	assert.Equal(t, "2026-10-25T04:00:00+05:45 1", one(kathmandu, humanhours.ByHour)[0])
	track(time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC))
	assert.Equal(t, []string{"2026-W43 26", "2026-W53 1"}, one(nil, humanhours.ByWeek))
}

func TestReportCaveats(t *testing.T) {
	w := newWorld(t, humanhours.Config{Prices: book{}})
	ctx := t.Context()
	w.track(t, owner, request(func(r *humanhours.TrackRequest) { r.AgentCost = null("1") }))
	w.track(t, owner, request(func(r *humanhours.TrackRequest) {
		r.Outcome, r.Model, r.TokensIn = humanhours.OutcomeFailure, "made-up", humanhours.Int64(1)
	}))
	w.track(t, owner, request(func(r *humanhours.TrackRequest) {
		r.LLMCalls = []humanhours.LLMCall{{Model: "called", Usage: humanhours.Usage{TokensIn: humanhours.Int64(1)}}}
	}))
	rehearsal := owner
	rehearsal.Test = true
	w.track(t, rehearsal, request())
	report := w.report(t, by())
	assert.Equal(t, humanhours.ReportCaveats{Failures: 1, Unpriced: 2, UnpricedModels: []string{"called", "made-up"}, LeftOut: 1}, report.Caveats)
	assert.Equal(t, []string{" " + sums(report.Totals[0])}, rows(report))
	test := w.report(t, humanhours.ReportQuery{Test: true})
	assert.EqualValues(t, 1, test.Totals[0].Events)
	assert.Zero(t, test.Caveats.LeftOut)
	none := w.report(t, humanhours.ReportQuery{From: noon.Add(time.Hour)})
	assert.Empty(t, none.Rows)
	assert.Empty(t, none.Totals)

	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Plan = "free" })
	_, err := w.Report(ctx, owner, humanhours.ReportQuery{})
	requireError(t, err, humanhours.CodeFeatureLocked, "")
}

func TestReportOrder(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	for agent, n := range map[string]int{"a": 2, "b": 3, "c": 2, "d": 1} {
		for range n {
			w.track(t, owner, request(func(r *humanhours.TrackRequest) { r.AgentID = agent }))
		}
	}
	order := func(sort humanhours.ReportSort, top int) string {
		q := by(humanhours.ByAgent)
		q.Sort, q.Top = sort, top
		report := w.report(t, q)
		assert.EqualValues(t, 8, report.Totals[0].Events, "of all rows")
		assert.False(t, report.Truncated, "it was asked for so many")
		var agents string
		for _, row := range report.Rows {
			agents += row.Values[0].Text
		}
		return agents
	}
	assert.Equal(t, "abcd", order("", 0))
	assert.Equal(t, "dacb", order(humanhours.SortEvents, 0))
	assert.Equal(t, "bacd", order("-events", 0))
	assert.Equal(t, "ba", order("-hours_saved", 2))
	assert.Equal(t, "bacd", order("-cost_saved", 10_000))
	assert.Equal(t, "dacb", order(humanhours.SortNet, 0))
	assert.Equal(t, "abcd", order("-agent_cost", 0), "all have 0")
}

// manyAgents is a store with one event of each of many agents.
type manyAgents struct {
	humanhours.Store
	n int
}

func (s manyAgents) Events(context.Context, humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		for i := range s.n {
			if !yield(humanhours.Event{AgentID: fmt.Sprintf("agent %06d", (i*7919)%s.n), Currency: "EUR"}, nil) {
				return
			}
		}
	}
}

func TestReportIsBounded(t *testing.T) {
	const events = 250_000
	w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store { return manyAgents{s, events} })
	report := w.report(t, by(humanhours.ByAgent))
	require.True(t, report.Truncated)
	require.Len(t, report.Rows, humanhours.MaxReportRows)
	for i, row := range report.Rows {
		require.Equal(t, fmt.Sprintf("agent %06d", i), row.Values[0].Text, "the first of all")
		require.EqualValues(t, 1, row.Events)
	}
	require.EqualValues(t, events, report.Totals[0].Events)
	q := by(humanhours.ByAgent)
	q.Sort = "-net_saved"
	_, err := w.Report(t.Context(), owner, q)
	requireError(t, err, humanhours.CodeValidation, "group_by")
	q.Filter.Agents = []string{"agent 000001"}
	require.Len(t, w.report(t, q).Rows, 1)
}

func TestReportRefuses(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	for field, list := range map[string][]humanhours.ReportQuery{
		"group_by": {by("agents"), by(""), by("metadata."), by("agent", "agent"), by("agent", "model", "outcome", "day", "month")},
		"sort":     {{Sort: "net"}, {Sort: "-"}, {Sort: "--events"}},
		"top":      {{Top: -1}, {Top: humanhours.MaxReportRows + 1}},
		"period":   {{Period: "1w"}, {Period: "7d", From: noon}, {Period: "all", To: noon}},
		"to":       {{From: noon, To: noon.Add(-1)}, {To: noon.AddDate(9000, 0, 0)}},
		"from":     {{From: noon.AddDate(-5, 0, -10), To: noon}, {From: noon.AddDate(-2026, 0, 0)}},
		"outcome":  {{Filter: humanhours.ReportFilter{Outcomes: []humanhours.Outcome{"done"}}}},
	} {
		for _, q := range list {
			_, err := w.Report(t.Context(), owner, q)
			requireError(t, err, humanhours.CodeValidation, field)
		}
	}
	w.report(t, humanhours.ReportQuery{From: noon.AddDate(-5, 0, 0), To: noon, GroupBy: []humanhours.Dimension{"agent", "metadata.a", "metadata.b", "day"}})
}

// TestReportRange: at both ends of the evidence, each event is computed as it would have been with that baseline.
func TestReportRange(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	_, err := w.CreateTaskType(t.Context(), owner, "own", humanhours.TaskTypePatch{
		BaselineMinutes: ptr(null("60")), LowMinutes: ptr(null("30")), HighMinutes: ptr(null("120")),
	}, humanhours.Edit{})
	require.NoError(t, err)
	one := func(edit func(*humanhours.TrackRequest)) { w.track(t, owner, request(edit)) }
	one(func(r *humanhours.TrackRequest) {
		r.TaskType, r.AgentDuration, r.AgentCost = "own", null("0"), null("1")
	})
	one(func(r *humanhours.TrackRequest) { r.AgentDuration = null("0") }) // email_classification: 4 minutes, 1 to 6
	one(func(r *humanhours.TrackRequest) { r.TaskType, r.HumanBaselineMinutes = "other", null("6") })
	one(func(r *humanhours.TrackRequest) { r.TaskType, r.Outcome = "own", humanhours.OutcomeFailure })
	tt, _ := humanhours.BuiltinTaskType("email_classification")
	require.Equal(t, []string{"4", "1", "6"}, []string{text(tt.BaselineMinutes), text(tt.LowMinutes), text(tt.HighMinutes)})

	q := by(humanhours.ByTaskType)
	q.Range = true
	report := w.report(t, q)
	ends := func(s *humanhours.Savings) string {
		return s.HoursSaved.String() + " " + s.CostSaved.String() + " " + s.NetSaved.String()
	}
	got := map[string]string{}
	for _, row := range report.Rows {
		got[row.Values[0].Text] = ends(row.Conservative) + ", " + row.HoursSaved.String() + ", " + ends(row.Optimistic)
	}
	assert.Equal(t, map[string]string{
		"own":                  "0.5 22.5 21.5, 1, 2 90 89",
		"email_classification": "0.017 0.765 0.765, 0.067, 0.1 4.5 4.5",
		"other":                "0.099 4.455 4.455, 0.099, 0.099 4.455 4.455",
	}, got)
	assert.Equal(t, "0.616 27.72 26.72", ends(report.Totals[0].Conservative))
	assert.Equal(t, "2.199 98.955 97.955", ends(report.Totals[0].Optimistic))
	assert.Nil(t, w.report(t, by()).Totals[0].Optimistic)

	// The catalogue changes: what was tracked stays within its range.
	_, err = w.UpdateTaskType(t.Context(), owner, "own", humanhours.TaskTypePatch{
		BaselineMinutes: ptr(null("90")), LowMinutes: ptr(null("80")), HighMinutes: ptr(null("100")),
	}, humanhours.Edit{})
	require.NoError(t, err)
	for _, row := range w.report(t, q).Rows {
		require.True(t, row.Conservative.HoursSaved.LessThanOrEqual(row.HoursSaved) && row.HoursSaved.LessThanOrEqual(row.Optimistic.HoursSaved))
	}
}

// TestNumbersHaveOneOrder: any three values agree about it, those too that no arithmetic is done on.
func TestNumbersHaveOneOrder(t *testing.T) {
	var values []humanhours.ReportValue
	for _, text := range []string{"9", "10", "2", "-3", "0.5", "1e200", "9e150", "5.1e150", "-1e300", strings.Repeat("9", 65), strings.Repeat("1", 16_000)} {
		values = append(values, humanhours.ReportValue{Text: text, Kind: humanhours.NumberValue})
	}
	values = append(values, humanhours.ReportValue{}, humanhours.ReportValue{Text: "true", Kind: humanhours.BoolValue}, humanhours.ReportValue{Text: "9", Kind: humanhours.TextValue})
	for _, a := range values {
		for _, b := range values {
			require.Equal(t, -b.Compare(a), a.Compare(b))
			require.Equal(t, a == b, a.Compare(b) == 0)
			for _, c := range values {
				if a.Compare(b) <= 0 && b.Compare(c) <= 0 {
					require.LessOrEqual(t, a.Compare(c), 0, "%q %q %q", a.Text, b.Text, c.Text)
				}
			}
		}
	}
}

// TestReportTextsAreBounded: groups by large texts are refused before they fill the memory.
func TestReportTextsAreBounded(t *testing.T) {
	w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store { return largeTexts{s} })
	_, err := w.Report(t.Context(), owner, by(humanhours.MetadataDimension("k")))
	requireError(t, err, humanhours.CodeValidation, "group_by")
	page, err := w.Events(t.Context(), owner, humanhours.EventListQuery{Limit: humanhours.MaxEventPage})
	require.NoError(t, err)
	require.Less(t, len(page.Events), 500, "a page of large events is short")
	require.False(t, page.Next.IsZero())
}

// largeTexts is a store whose events have much metadata.
type largeTexts struct{ humanhours.Store }

func (largeTexts) Events(context.Context, humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		filler := strings.Repeat("x", 16_000)
		for i := range 10_000 {
			e := humanhours.Event{ID: fmt.Sprint("evt_", i), Currency: "EUR", OccurredAt: noon, Metadata: json.RawMessage(fmt.Sprintf(`{"k":"%d%s"}`, i, filler))}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestRepriceWhenTheBookIsAway(t *testing.T) {
	down := false
	w := newWorld(t, humanhours.Config{Prices: quoteFunc(func(humanhours.PriceQuery) (humanhours.Quote, error) {
		if down {
			return humanhours.Quote{}, errors.New("down")
		}
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	})})
	id := w.track(t, owner, priced("m", 1, 1)).Event.ID
	_, err := w.RepriceEvent(t.Context(), owner, id, "")
	assert.Contains(t, requireError(t, err, humanhours.CodeValidation, "").Message, "unknown_model")
	down = true
	_, err = w.RepriceEvent(t.Context(), owner, id, "")
	requireError(t, err, humanhours.CodeUnavailable, "")
	_, err = w.RepriceEvents(t.Context(), owner, humanhours.EventListQuery{}, "")
	requireError(t, err, humanhours.CodeUnavailable, "")
	plain := w.track(t, owner, request()).Event.ID
	_, err = w.RepriceEvent(t.Context(), owner, plain, "")
	assert.Contains(t, requireError(t, err, humanhours.CodeValidation, "").Hint, "void it")
}
