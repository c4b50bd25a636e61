package humanhours

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// HoursPerMonth is what one full-time equivalent works in a month: 22 days of 8 hours.
const HoursPerMonth = 22 * 8

// daysPerMonth is the length of the month that a full-time equivalent is measured by: so 30 days are one month.
const daysPerMonth = 30

// Period is a span of time by its name, seen from an instant. The names are 24h, 7d, 30d and 90d, which end with the millisecond of now and are
// exactly so long; ytd, from the start of the year in a zone; and all, which has no bounds. False: there is no such period.
func Period(name string, now time.Time, zone *time.Location) (from, to time.Time, ok bool) {
	to = now.UTC().Truncate(time.Millisecond).Add(time.Millisecond) // exclusive, so that what occurred just now is in it
	switch name {
	case "24h":
		return to.Add(-24 * time.Hour), to, true
	case "7d", "30d", "90d":
		days := map[string]int{"7d": 7, "30d": 30, "90d": 90}[name]
		return to.Add(-time.Duration(days) * 24 * time.Hour), to, true
	case "ytd":
		if zone == nil {
			zone = time.UTC
		}
		return time.Date(now.In(zone).Year(), time.January, 1, 0, 0, 0, 0, zone).UTC(), to, true
	case "all":
		return time.Time{}, time.Time{}, true
	}
	return time.Time{}, time.Time{}, false
}

// resolvePeriod returns the bounds of a query.
func resolvePeriod(name string, from, to time.Time, zone *time.Location, now time.Time) (time.Time, time.Time, error) {
	if name == "" {
		return from, to, nil
	}
	if !from.IsZero() || !to.IsZero() {
		return from, to, invalid("period", "and from or to exclude each other")
	}
	from, to, ok := Period(name, now, zone)
	if !ok {
		return from, to, invalid("period", "must be 24h, 7d, 30d, 90d, ytd or all")
	}
	return from, to, nil
}

// Summary is one page about the events of an org in a period.
type Summary struct {
	From, To time.Time
	Totals   []SummaryTotals // one for each currency
	Previous *SummaryPeriod  // the span of the same length before From; nil: the period has no bounds
	Outcomes map[Outcome]int64
	// SuccessRate is the share of events that are a success, 0 to 1, 4 decimals; not Valid: there are no events.
	SuccessRate decimal.NullDecimal
	Trend       []ReportRow // each day of the period and each currency, also those without events; Values is the day
	Caveats     ReportCaveats
}

// SummaryTotals are the sums of a period.
type SummaryTotals struct {
	ReportSums
	// FTE is how many people would have worked full-time on it: hours / (HoursPerMonth x months of the period), a month being 30 days; 3 decimals.
	// Not Valid: the period has no bounds.
	FTE decimal.NullDecimal
}

// SummaryPeriod are the sums of the period before.
type SummaryPeriod struct {
	From, To time.Time
	Totals   []ReportSums
}

// SummaryQuery asks for a Summary.
type SummaryQuery struct {
	Period   string
	From, To time.Time // as of a ReportQuery, like the others
	Filter   ReportFilter
	Zone     *time.Location // of the days; defaults to UTC
	Test     bool
}

// Summary sums up the events of the caller's org in a period. Its plan must include reports.
func (t *Tracker) Summary(ctx context.Context, c Caller, q SummaryQuery) (Summary, error) {
	days := ReportQuery{
		Period: q.Period, From: q.From, To: q.To, Filter: q.Filter, Zone: q.Zone, Test: q.Test, GroupBy: []Dimension{ByDay, ByOutcome},
	}
	report, err := t.report(ctx, c, days, maxReportGroups)
	if err != nil {
		return Summary{}, err
	}
	q.From, q.To = report.From, report.To
	s := Summary{From: q.From, To: q.To, Outcomes: make(map[Outcome]int64), Caveats: report.Caveats}
	bounded := !q.From.IsZero() && !q.To.IsZero()
	for _, total := range report.Totals {
		totals := SummaryTotals{ReportSums: total}
		if bounded {
			totals.FTE = fullTime(total.HoursSaved, q.To.Sub(q.From))
		}
		s.Totals = append(s.Totals, totals)
	}
	var events int64
	for _, row := range report.Rows {
		s.Outcomes[Outcome(row.Values[1].Text)] += row.Events
		events += row.Events
	}
	if events > 0 {
		s.SuccessRate = decimal.NewNullDecimal(decimal.NewFromInt(s.Outcomes[OutcomeSuccess]).DivRound(decimal.NewFromInt(events), 4))
	}
	s.Trend = trend(report, q)
	before := ReportQuery{From: q.From.Add(-q.To.Sub(q.From)), To: q.From, Filter: q.Filter, Test: q.Test}
	if bounded && q.To.After(q.From) && before.From.Year() >= 1 {
		previous, err := t.Report(ctx, c, before)
		if err != nil {
			return Summary{}, err
		}
		s.Previous = &SummaryPeriod{From: before.From, To: before.To, Totals: previous.Totals}
	}
	return s, nil
}

// fullTime is hours as full-time equivalents of a period.
func fullTime(hours decimal.Decimal, period time.Duration) decimal.NullDecimal {
	if period <= 0 {
		return decimal.NullDecimal{}
	}
	// hours / (HoursPerMonth x period / month), with one division at the end.
	month := decimal.NewFromInt(int64(daysPerMonth * 24 * time.Hour))
	return decimal.NewNullDecimal(hours.Mul(month).DivRound(decimal.NewFromInt(HoursPerMonth).Mul(decimal.NewFromInt(int64(period))), 3))
}

// trend is the report of days and outcomes by days alone, with the days between that have no events: from the first to the last day of the period, or of
// the events where it lacks a bound.
func trend(report Report, q SummaryQuery) []ReportRow {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	type cell struct{ day, currency string }
	found := make(map[cell]*ReportSums)
	first, last := "", ""
	for _, row := range report.Rows {
		day := row.Values[0].Text
		if first == "" || day < first {
			first = day
		}
		last = max(last, day)
		at := cell{day, row.Currency}
		if there := found[at]; there != nil {
			there.Events += row.Events
			there.HoursSaved, there.CostSaved = there.HoursSaved.Add(row.HoursSaved), there.CostSaved.Add(row.CostSaved)
			there.AgentCost, there.NetSaved = there.AgentCost.Add(row.AgentCost), there.NetSaved.Add(row.NetSaved)
			continue
		}
		sums := row.ReportSums
		found[at] = &sums
	}
	// One bound alone may be thousands of years away.
	if !q.From.IsZero() && !q.To.IsZero() {
		first, last = q.From.In(zone).Format(time.DateOnly), q.To.Add(-time.Millisecond).In(zone).Format(time.DateOnly)
	}
	day, err := time.Parse(time.DateOnly, first)
	if err != nil || len(report.Totals) == 0 { // no events
		return nil
	}
	var rows []ReportRow
	for ; ; day = day.AddDate(0, 0, 1) {
		name := day.Format(time.DateOnly)
		if strings.Compare(name, last) > 0 {
			return slices.Clip(rows)
		}
		for _, total := range report.Totals {
			sums := ReportSums{Currency: total.Currency}
			if there := found[cell{name, total.Currency}]; there != nil {
				sums = *there
			}
			rows = append(rows, ReportRow{Values: []ReportValue{textValue(name)}, ReportSums: sums})
		}
	}
}

// MonthUsage is what an org has used of its plan in the month of now.
type MonthUsage struct {
	Plan       string
	Currency   string
	Events     int64     // by receipt, in UTC; those of test keys are not counted
	Included   NullInt64 // events that the plan includes; not Valid: any number
	Start, End time.Time // of the month
}

// Remaining is how many events the plan still includes; not Valid: any number.
func (u *MonthUsage) Remaining() NullInt64 {
	if !u.Included.Valid {
		return NullInt64{}
	}
	return Int64(max(0, u.Included.Int64-u.Events))
}

// MonthUsage returns what the caller's org has used of its plan in this month. It is open to all plans.
func (t *Tracker) MonthUsage(ctx context.Context, c Caller) (MonthUsage, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return MonthUsage{}, err
	}
	month := MonthOf(t.now())
	used, err := t.store.Usage(ctx, org.ID, month)
	if err != nil {
		return MonthUsage{}, unread("the store", err)
	}
	u := MonthUsage{Plan: org.Plan, Currency: org.currency(), Events: used, Start: month.Start(), End: month.Next().Start()}
	if org.plan.EventsPerMonth > 0 {
		u.Included = Int64(org.plan.EventsPerMonth)
	}
	return u, nil
}
