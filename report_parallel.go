package humanhours

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A report that has to read events reads several parts of its period at once. What it costs is to decode them, so the processors decide how fast it is.
const (
	maxReaders     = 4 // of one report
	partsPerReader = 4 // events are not spread evenly
	minPart        = 6 * time.Hour
)

// addEvents adds up the events of a period.
func (r *reporter) addEvents(ctx context.Context, store Store) error {
	q := EventQuery{Org: r.org.ID, From: r.q.From, To: r.q.To, Sparse: !r.q.Range, Bare: !r.q.Range && !r.names()}
	readers := min(maxReaders, runtime.GOMAXPROCS(0))
	var parts []EventQuery
	if readers > 1 {
		var err error
		if parts, err = split(ctx, store, q, readers*partsPerReader); err != nil {
			return err
		}
	}
	if len(parts) < 2 {
		return r.addAll(store.Events(ctx, q))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan EventQuery, len(parts))
	for _, part := range parts {
		queue <- part
	}
	close(queue)
	// One for each reader, r for the first. The sums of a group are those of all of them.
	partial := make([]*reporter, readers)
	var failed error
	var once sync.Once
	var all sync.WaitGroup
	for i := range partial {
		if partial[i] = r; i > 0 {
			partial[i] = newReporter(r.q, r.most, r.org)
		}
		all.Go(func() {
			for part := range queue {
				if err := partial[i].addAll(store.Events(ctx, part)); err != nil {
					once.Do(func() { failed = err })
					cancel() // the others, whose errors are then of no interest
					return
				}
			}
		})
	}
	if all.Wait(); failed != nil {
		return failed
	}
	for _, other := range partial[1:] {
		if err := r.merge(other); err != nil {
			return err
		}
	}
	return nil
}

// names reports whether the report is by, or filtered by, what a bare event lacks.
func (r *reporter) names() bool {
	return len(r.q.Filter.Agents) > 0 || len(r.q.Filter.TaskTypes) > 0 || slices.ContainsFunc(r.q.GroupBy, func(d Dimension) bool {
		return slices.Contains([]Dimension{ByAgent, ByTaskType, ByCategory, ByBaselineSource, ByCostSource}, d)
	})
}

// split cuts a query into parts of the same length; none if its events are not spread over much time.
func split(ctx context.Context, store Store, q EventQuery, parts int) ([]EventQuery, error) {
	ends := [2]time.Time{}
	for i := range ends {
		end := q
		end.Descending, end.Limit = i == 1, 1
		for e, err := range store.Events(ctx, end) {
			if err != nil {
				return nil, err
			}
			ends[i] = e.OccurredAt
		}
	}
	first, last := ends[0].UnixMilli(), ends[1].UnixMilli()
	length := (last - first) / int64(parts)
	if first >= last || length < minPart.Milliseconds() {
		return nil, nil
	}
	list := make([]EventQuery, parts)
	for i := range list {
		list[i] = q
		if i > 0 {
			list[i].From = time.UnixMilli(first + int64(i)*length).UTC()
			list[i-1].To = list[i].From
		}
	}
	return list, nil
}

// merge adds what another reporter of the same report has added up.
func (r *reporter) merge(o *reporter) error {
	r.caveats.Failures += o.caveats.Failures
	r.caveats.Unpriced += o.caveats.Unpriced
	r.caveats.Voided += o.caveats.Voided
	r.caveats.LeftOut += o.caveats.LeftOut
	for model := range o.unpriced {
		r.unprice(model)
	}
	for currency, total := range o.totals {
		if there := r.totals[currency]; there != nil {
			there.merge(total)
		} else {
			r.totals[currency] = total
		}
	}
	r.dropped = r.dropped || o.dropped
	if r.bound == nil || o.bound != nil && compareValues(o.bound, r.bound) < 0 {
		r.bound = o.bound
	}
	maps.DeleteFunc(r.rows, func(key string, g *reportGroup) bool {
		drop := r.bound != nil && compareValues(g.values, r.bound) > 0
		if drop {
			r.size -= 2 * len(key)
		}
		return drop
	})
	for key, group := range o.rows {
		if there := r.rows[key]; there != nil {
			there.merge(&group.reportSum)
			continue
		}
		if r.bound != nil && compareValues(group.values, r.bound) > 0 {
			continue
		}
		if err := r.makeRoom(); err != nil {
			return err
		}
		r.rows[key] = group
		r.size += 2 * len(key)
	}
	return nil
}

func (s *reportSum) merge(o *reportSum) {
	s.events += o.events
	s.hours.AddSum(&o.hours)
	s.cost.AddSum(&o.cost)
	s.agentCost.AddSum(&o.agentCost)
	s.net.AddSum(&o.net)
	s.low.merge(&o.low)
	s.high.merge(&o.high)
}

func (s *savingsSum) merge(o *savingsSum) {
	s.hours.AddSum(&o.hours)
	s.cost.AddSum(&o.cost)
	s.net.AddSum(&o.net)
}
