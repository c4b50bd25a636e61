package humanhours

import (
	"context"
	"iter"
	"time"
)

// Bounds of a page of events.
const (
	MaxEventPage     = 1000
	DefaultEventPage = 100
	// maxPageScan is how many events one page looks at: where few match, a page is short and says where to go on.
	maxPageScan = 20_000
	// maxPageSize is how many bytes of metadata and excerpts a page has, roughly.
	maxPageSize = 4 << 20
)

// EventListQuery asks for events of an org. Its zero value asks for the first page of all live ones, oldest first.
type EventListQuery struct {
	Period     string    // as of a ReportQuery
	From, To   time.Time // on OccurredAt, [From, To); zero: no bound
	Zone       *time.Location
	Filter     ReportFilter
	Test       bool   // the events of test keys, instead of those of live ones
	Descending bool   // newest first
	After      Cursor // where the page before ended; zero: at the start
	Limit      int    // 1 to MaxEventPage; 0: DefaultEventPage
}

// EventPage is a page of events, by (OccurredAt, ID).
type EventPage struct {
	Events []Event
	// Next is where the next page starts; zero: this was the last. A page may be short, and even empty, and still have a next one.
	Next Cursor
}

// Event returns one event of the caller's org, or a CodeNotFound error.
func (t *Tracker) Event(ctx context.Context, c Caller, id string) (Event, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return Event{}, err
	}
	event, ok, err := t.store.Event(ctx, org.ID, id)
	switch {
	case err != nil:
		return Event{}, unread("the store", err)
	case !ok:
		return Event{}, noEvent()
	}
	return event, nil
}

// Events returns a page of the caller's org's events. Pages that follow one another have every event once that was there all the time.
func (t *Tracker) Events(ctx context.Context, c Caller, q EventListQuery) (EventPage, error) {
	if q.Limit < 0 || q.Limit > MaxEventPage {
		return EventPage{}, invalid("limit", "must be 1 to "+string(appendGrouped(nil, MaxEventPage)))
	}
	if q.Limit == 0 {
		q.Limit = DefaultEventPage
	}
	eq, matches, err := t.eventQuery(ctx, c, &q)
	if err != nil {
		return EventPage{}, err
	}
	var page EventPage
	seen, size := 0, 0
	var last Cursor
	for event, err := range t.store.Events(ctx, eq) {
		switch {
		case err != nil:
			return EventPage{}, unread("the store", err)
		case len(page.Events) == q.Limit || seen == maxPageScan || size > maxPageSize: // there is more
			page.Next = last
			return page, nil
		}
		seen++
		last = eq.CursorOf(&event)
		ok, err := matches(&event)
		if err != nil {
			return EventPage{}, err
		}
		if ok {
			page.Events = append(page.Events, event)
			size += len(event.Metadata) + len(event.AuditSample.InputExcerpt) + len(event.AuditSample.OutputExcerpt)
		}
	}
	return page, nil
}

// Export yields the events that a report on q counts, whatever its Limit: without those that were voided, and with the numbers that their amendments
// gave them, so that their sum is the report. Its plan must include reports. It ends with its first error, which is an *Error.
func (t *Tracker) Export(ctx context.Context, c Caller, q EventListQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		org, err := t.org(ctx, c)
		if err == nil {
			err = t.unlocked(org.Plan, FeatureReports)
		}
		if err != nil {
			yield(Event{}, err)
			return
		}
		eq, matches, err := t.eventQuery(ctx, c, &q)
		if err != nil {
			yield(Event{}, err)
			return
		}
		for event, err := range t.store.Events(ctx, eq) {
			if err != nil {
				yield(Event{}, unread("the store", err))
				return
			}
			ok, err := matches(&event)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if ok && !event.Voided() && !yield(event.Current(), nil) {
				return
			}
		}
	}
}

// eventQuery is q for a store, and what it leaves to be looked at.
func (t *Tracker) eventQuery(ctx context.Context, c Caller, q *EventListQuery) (EventQuery, func(*Event) (bool, error), error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return EventQuery{}, nil, err
	}
	check := ReportQuery{From: q.From, To: q.To, Filter: q.Filter}
	if err := check.validate(); err != nil {
		return EventQuery{}, nil, err
	}
	from, to, err := resolvePeriod(q.Period, q.From, q.To, q.Zone, t.now())
	if err != nil {
		return EventQuery{}, nil, err
	}
	wanted := newFilter(&q.Filter)
	matches := func(e *Event) (bool, error) {
		if e.Test != q.Test {
			return false, nil
		}
		return wanted.matches(e)
	}
	return EventQuery{Org: org.ID, From: from, To: to, Descending: q.Descending, After: q.After}, matches, nil
}
