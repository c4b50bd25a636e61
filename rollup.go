package humanhours

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Reporter is what a Store can be besides: one that keeps sums of its events by the hour, so that a report costs by its rows and not by the
// events behind them. A Store that is none has its reports added up from Events; both ways give the same report, and package storetest compares them.
//
// Sums are written in the step that writes the event, or its amendment: at no time does one count without the other.
//
// Methods must be safe for concurrent use.
type Reporter interface {
	// Rollups yields sums of the events that occurred in a span of time, live and test ones. Each event is in exactly one of them, with what its
	// amendments make of it; the order does not matter, and two may be alike in everything but the sums. No count is below 0: what an amendment takes off, it is
	// taken off from. After an error it yields nothing more.
	// An error that wraps errors.ErrUnsupported says that there are no sums: a decorator gives it whose store is no Reporter.
	Rollups(ctx context.Context, q RollupQuery) iter.Seq2[Rollup, error]

	// Rebuild makes the sums of an org anew from its events, should they be in doubt: after a repair of the database, or a change of it by
	// hand. Appends go on meanwhile, or wait.
	Rebuild(ctx context.Context, org string) error
}

// RollupQuery asks for the sums of an org. Its zero value but for Org and By asks for all of them.
type RollupQuery struct {
	Org string
	// By is what the sums are apart by, besides the hour: ByAgent, ByTaskType, ByModel or ByOutcome. Of the four fields of a Rollup that these
	// are, the others need not be set.
	By Dimension
	// From and To bound OccurredAt, [From, To). Zero: no bound.
	From, To time.Time
}

// Rollup is the sum of what some events of one hour, in one currency, add to a report.
type Rollup struct {
	Hour     int64 // of OccurredAt, in whole hours since 1970-01-01T00:00Z
	Agent    string
	TaskType string
	Model    string // empty: none
	Outcome  Outcome
	Test     bool
	Currency string
	// UnpricedModel is why Unpriced is not 0, where it is known: the model that has no price.
	UnpricedModel string

	Events   int64 // that count; the fields below are about these
	Voided   int64 // that do not
	Failures int64
	Unpriced int64 // without an agent cost

	HoursSaved, CostSaved, AgentCost, NetSaved Sum
}

// millisPerHour is the length of an hour of Rollup.Hour.
const millisPerHour = int64(time.Hour / time.Millisecond)

// HourOf returns the hour that t is in, as Rollup.Hour has it.
func HourOf(t time.Time) int64 {
	ms := t.UnixMilli()
	hour := ms / millisPerHour
	if ms%millisPerHour < 0 {
		hour--
	}
	return hour
}

// Rollup returns what e adds to a report, with its amendments.
func (e *Event) Rollup() Rollup {
	r := Rollup{
		Hour: HourOf(e.OccurredAt), Agent: e.AgentID, TaskType: e.TaskType, Model: e.Model, Outcome: e.Outcome, Test: e.Test, Currency: e.Currency,
	}
	if e.Voided() {
		r.Voided = 1
		return r
	}
	if len(e.Amendments) > 0 {
		current := e.Current()
		e = &current
	}
	r.Events = 1
	if e.Outcome == OutcomeFailure {
		r.Failures = 1
	}
	r.HoursSaved.Add(e.HoursSaved)
	r.CostSaved.Add(e.CostSaved)
	r.NetSaved.Add(e.NetSaved)
	if e.AgentCost.Valid {
		r.AgentCost.Add(e.AgentCost.Decimal)
		return r
	}
	r.Unpriced = 1
	r.UnpricedModel = e.Model
	if e.Cost.UnpricedModel != "" {
		r.UnpricedModel = e.Cost.UnpricedModel
	}
	return r
}

// rollupDimension returns by what a store must keep sums apart to answer q; false: sums cannot, and events must.
func (q *ReportQuery) rollupDimension() (Dimension, bool) {
	var by Dimension
	needs := func(d Dimension) bool {
		if by == "" {
			by = d
		}
		return by == d
	}
	if q.Range || len(q.Filter.Metadata) > 0 ||
		len(q.Filter.Agents) > 0 && !needs(ByAgent) || len(q.Filter.TaskTypes) > 0 && !needs(ByTaskType) ||
		len(q.Filter.Models) > 0 && !needs(ByModel) || len(q.Filter.Outcomes) > 0 && !needs(ByOutcome) {
		return "", false
	}
	for _, d := range q.GroupBy {
		switch d {
		case ByHour, ByDay, ByWeek, ByMonth:
			continue
		case ByCategory:
			d = ByTaskType
		case ByAgent, ByTaskType, ByModel, ByOutcome:
		default:
			return "", false
		}
		if !needs(d) {
			return "", false
		}
	}
	needs(ByOutcome) // the fewest
	return by, true
}

// addRollups adds up the sums that a store keeps. Its error is errors.ErrUnsupported if they cannot answer the query after all.
func (r *reporter) addRollups(ctx context.Context, store Store, sums Reporter, by Dimension) error {
	q := RollupQuery{Org: r.org.ID, By: by, From: r.q.From, To: r.q.To}
	calendar := newCalendar(&r.q, r.zone)
	var split []int64
	for sum, err := range sums.Rollups(ctx, q) {
		if err != nil {
			return err
		}
		if !calendar.whole(sum.Hour) {
			if len(split) == 0 || split[len(split)-1] != sum.Hour {
				split = append(split, sum.Hour)
			}
			continue
		}
		if err := r.addRollup(&sum, calendar.at); err != nil {
			return err
		}
	}
	// Hours that are cut by the calendar of the zone, as the one around midnight in India is, come from their events.
	slices.Sort(split)
	split = slices.Compact(split)
	const most = 8 // of all hours one in so many; else it is faster to read all events
	if len(split)*most > len(calendar.known) {
		return errors.ErrUnsupported
	}
	for _, hour := range split {
		from, to := time.UnixMilli(hour*millisPerHour), time.UnixMilli((hour+1)*millisPerHour)
		if from.Before(r.q.From) {
			from = r.q.From
		}
		if !r.q.To.IsZero() && r.q.To.Before(to) {
			to = r.q.To
		}
		if err := r.addAll(store.Events(ctx, EventQuery{Org: r.org.ID, From: from, To: to, Sparse: true})); err != nil {
			return err
		}
	}
	return nil
}

// calendar says which hours are in one unit of what a report is grouped by.
type calendar struct {
	zone  *time.Location
	units []Dimension
	known map[int64]bool // which are
	at    time.Time      // in the hour that was asked for last
}

func newCalendar(q *ReportQuery, zone *time.Location) *calendar {
	c := &calendar{zone: zone, known: make(map[int64]bool)}
	for _, d := range q.GroupBy {
		switch d {
		case ByHour, ByDay, ByWeek, ByMonth:
			c.units = append(c.units, d)
		}
	}
	return c
}

// whole reports whether an hour is in one unit, and sets at to an instant of it.
func (c *calendar) whole(hour int64) bool {
	if len(c.units) == 0 {
		return true
	}
	c.at = time.UnixMilli(hour * millisPerHour).In(c.zone)
	whole, ok := c.known[hour]
	if !ok {
		whole = !c.cut(hour)
		c.known[hour] = whole
	}
	return whole
}

// cut reports whether a unit ends within an hour, or the clock is changed.
func (c *calendar) cut(hour int64) bool {
	start := time.UnixMilli(hour * millisPerHour).In(c.zone)
	end := start.Add(time.Hour)
	if _, until := start.ZoneBounds(); !until.IsZero() && until.Before(end) {
		return true
	}
	// A local hour begins, and with it perhaps a day, a week or a month.
	_, offset := start.Zone()
	into := ((start.Unix()+int64(offset))%3600 + 3600) % 3600
	next := end.Add(-time.Duration(into) * time.Second)
	return into > 0 && c.differs(next.Add(-time.Millisecond), next)
}

func (c *calendar) differs(a, b time.Time) bool {
	return slices.ContainsFunc(c.units, func(d Dimension) bool { return calendarUnit(d, a) != calendarUnit(d, b) })
}
