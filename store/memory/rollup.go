package memory

import (
	"context"
	"iter"
	"slices"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// day has the sums of the events that occurred on a day, UTC.
type day struct {
	logs   [][]byte      // none is ever written to
	recent rollup.Recent // what came since
}

// compactAt is how large what came since is when it is made a log.
const compactAt = 128 << 10

// dayOf returns the day of an hour.
func dayOf(hour int64) int64 {
	d := hour / 24
	if hour%24 < 0 {
		d--
	}
	return d
}

func (t *tenant) day(hour int64) *day {
	d := t.sums[dayOf(hour)]
	if d == nil {
		d = &day{}
		t.sums[dayOf(hour)] = d
	}
	return d
}

// sum adds what an event adds. It is called with the lock held, as amend is.
func (t *tenant) sum(r *humanhours.Rollup) {
	d := t.day(r.Hour)
	d.recent.Add(r)
	d.compact()
}

// amend adds the difference that an amendment makes.
func (t *tenant) amend(before humanhours.Event, a humanhours.Amendment) {
	d := t.day(humanhours.HourOf(before.OccurredAt))
	d.recent.Amend(before, a)
	d.compact()
}

// compact makes what came since a log, or a part of the last one as long as that stays small.
func (d *day) compact() {
	const small = 256 << 10 // a few milliseconds, for which appends to the org wait
	if d.recent.Len() < compactAt {
		return
	}
	log := d.recent.Append(nil)
	d.recent = rollup.Recent{}
	if n := len(d.logs); n > 0 && len(d.logs[n-1]) < small {
		if one, err := rollup.Compact(d.logs[n-1], log); err == nil { // no error can be: nobody else writes these
			d.logs = append(slices.Clone(d.logs[:n-1]), one)
			return
		}
	}
	d.logs = append(slices.Clip(d.logs), log)
}

// Rollups implements humanhours.Reporter.
func (s *Store) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	groups := func(ctx context.Context, hours rollup.Span) iter.Seq2[rollup.Group, error] {
		return func(yield func(rollup.Group, error) bool) {
			t := s.tenant(q.Org, false)
			if t == nil {
				return
			}
			for _, d := range t.days(hours) {
				if err := ctx.Err(); err != nil {
					yield(rollup.Group{}, err)
					return
				}
				t.mu.Lock()
				logs, recent := t.sums[d].logs, t.sums[d].recent.Append(nil)
				t.mu.Unlock()
				if !yield(rollup.Group{Logs: append(slices.Clip(logs), recent), Count: -1}, nil) {
					return
				}
			}
		}
	}
	return rollup.Source{Groups: groups, Events: s.Events}.Rollups(ctx, q)
}

// days are those of a span that have sums.
func (t *tenant) days(hours rollup.Span) []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []int64
	for d := range t.sums {
		if d*24 < hours.Last && hours.First < d*24+24 {
			list = append(list, d)
		}
	}
	slices.Sort(list)
	return list
}

// Rebuild implements humanhours.Reporter. Appends to the org wait for it.
func (s *Store) Rebuild(ctx context.Context, org string) error {
	t := s.tenant(org, false)
	if t == nil {
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.sums
	t.sums = make(map[int64]*day, len(was))
	for _, chunk := range t.occurred.chunks {
		for _, r := range chunk {
			event, err := t.shown(r.at)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				t.sums = was
				return err
			}
			adds := event.Rollup()
			t.sum(&adds)
		}
	}
	return nil
}
