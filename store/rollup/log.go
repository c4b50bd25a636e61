package rollup

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/humanhours/humanhours-go"
)

// key is what the cells of a merged block are apart by.
type key struct {
	hour                      int64
	value, currency, unpriced uint32
	kind                      kind
	test                      bool
}

// total is the sum of cells.
type total struct {
	events, voided, failed, nocost int64
	nanos                          [4]int64
	wide                           *[4]humanhours.Sum // the sums that have grown out of nanos, and nanos is 0
}

func (t *total) add(c *cell) {
	t.events, t.voided, t.failed, t.nocost = t.events+c.events, t.voided+c.voided, t.failed+c.failed, t.nocost+c.nocost
	if t.wide == nil && c.wide == nil && addNanos(&t.nanos, &c.nanos) {
		return
	}
	if t.wide == nil {
		t.wide = new([4]humanhours.Sum)
		for i, n := range t.nanos {
			t.wide[i].AddNano(n)
		}
		t.nanos = [4]int64{}
	}
	for i := range t.wide {
		if c.wide != nil {
			t.wide[i].Add(c.wide[i])
		} else {
			t.wide[i].AddNano(c.nanos[i])
		}
	}
}

// addNanos adds to sums, unless one of them grows out of its type.
func addNanos(sums, add *[4]int64) bool {
	for i, n := range add {
		if (n >= 0) != (sums[i]+n >= sums[i]) {
			return false
		}
	}
	for i, n := range add {
		sums[i] += n
	}
	return true
}

// table adds up cells, and gives each of their texts one number.
type table struct {
	names   map[string]uint32
	texts   []string
	totals  map[key]*total
	order   []key
	last    *string  // first text of the block that numbers is of
	numbers []uint32 // of those texts that were asked for, one more than it is
	facts   [256]sums
}

// sums are those that a fact went into. Most facts are like one that came shortly before.
type sums struct {
	by                 [len(cubes)]uint32
	currency, unpriced uint32
	hour               int64
	test               bool
	totals             [len(cubes)]*total // nil: of no fact yet
}

func newTable() *table {
	return &table{names: map[string]uint32{"": 0}, texts: []string{""}, totals: make(map[key]*total)}
}

// number is that of a text of a block.
func (t *table) number(texts []string, i uint64) uint32 {
	if n := t.numbers[i]; n > 0 {
		return n - 1
	}
	n, ok := t.names[texts[i]]
	if !ok {
		n = uint32(len(t.texts))
		t.texts, t.names[texts[i]] = append(t.texts, texts[i]), n
	}
	t.numbers[i] = n + 1
	return n
}

// begin prepares for the cells of a block.
func (t *table) begin(texts []string) {
	if t.last != &texts[0] {
		t.last, t.numbers = &texts[0], slices.Grow(t.numbers[:0], len(texts))[:len(texts)]
		clear(t.numbers)
	}
}

// fact adds a fact to the sums of all kinds.
func (t *table) fact(texts []string, c *cell) {
	t.begin(texts)
	at := sums{currency: t.number(texts, c.currency), unpriced: t.number(texts, c.unpriced), hour: c.hour, test: c.test}
	hash := uint32(c.hour)
	for i, k := range cubes {
		at.by[i] = t.number(texts, c.by[k])
		hash = hash*31 + at.by[i]
	}
	there := &t.facts[hash%uint32(len(t.facts))]
	at.totals = there.totals
	if *there != at || at.totals[0] == nil {
		for i, k := range cubes {
			at.totals[i] = t.total(texts, c, k)
		}
		*there = at
	}
	for _, sum := range at.totals {
		sum.add(c)
	}
}

// add adds what a cell says about a kind of sums.
func (t *table) add(texts []string, c *cell, k kind) {
	t.begin(texts)
	t.total(texts, c, k).add(c)
}

// total is the sum that a cell goes into.
func (t *table) total(texts []string, c *cell, k kind) *total {
	at := key{
		hour: c.hour, value: t.number(texts, c.by[k]), currency: t.number(texts, c.currency), unpriced: t.number(texts, c.unpriced), kind: k, test: c.test,
	}
	sum := t.totals[at]
	if sum == nil {
		sum = &total{}
		t.totals[at] = sum
		t.order = append(t.order, at)
	}
	return sum
}

// each calls f with the sums that are not 0, until it returns false.
func (t *table) each(f func(k kind, value string, r *humanhours.Rollup) bool) {
	for _, at := range t.order {
		c := cell{kind: at.kind, test: at.test, hour: at.hour, currency: uint64(at.currency), unpriced: uint64(at.unpriced)}
		c.by[at.kind] = uint64(at.value)
		sum := t.totals[at]
		c.events, c.voided, c.failed, c.nocost, c.nanos = sum.events, sum.voided, sum.failed, sum.nocost, sum.nanos
		r := c.rollup(t.texts)
		if sum.wide != nil {
			for i, s := range sumsOf(&r) {
				*s = sum.wide[i]
			}
		}
		if !zero(&r) && !f(at.kind, t.texts[at.value], &r) {
			return
		}
	}
}

// Merge returns a log of one block that says the same, without facts; nothing if all sums are 0.
func Merge(logs ...[]byte) ([]byte, error) {
	t := newTable()
	for _, log := range logs {
		err := each(log, func(texts []string, c *cell) {
			if c.kind == fact {
				t.fact(texts, c)
				return
			}
			t.add(texts, c, c.kind)
		})
		if err != nil {
			return nil, err
		}
	}
	var merged Builder
	t.each(func(k kind, value string, r *humanhours.Rollup) bool {
		merged.sum(k, r, value)
		return true
	})
	return merged.Append(nil), nil
}

// Join returns a log of one block that says the same with the same cells: each text stands in it once.
func Join(logs ...[]byte) ([]byte, error) {
	var joined Builder
	for _, log := range logs {
		err := each(log, func(texts []string, c *cell) {
			r := c.rollup(texts)
			if c.kind == fact {
				joined.Add(&r)
			} else {
				joined.sum(c.kind, &r, texts[c.by[c.kind]])
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return joined.Append(nil), nil
}

// mostMerged is how much Compact merges: some ten milliseconds of work.
const mostMerged = 512 << 10

// Compact returns one log that says what several do: merged where that makes it smaller, and is soon done. Where nearly every event has a text of its own it
// does not, for a fact is shorter than the four sums that it goes into.
func Compact(logs ...[]byte) ([]byte, error) {
	size := 0
	for _, log := range logs {
		size += len(log)
	}
	if size <= mostMerged {
		if merged, err := Merge(logs...); err != nil || len(merged) < size {
			return merged, err
		}
	}
	return slices.Concat(logs...), nil
}

func zero(r *humanhours.Rollup) bool {
	if r.Events != 0 || r.Voided != 0 || r.Failures != 0 || r.Unpriced != 0 {
		return false
	}
	for _, sum := range sumsOf(r) {
		if !sum.IsZero() {
			return false
		}
	}
	return true
}

// Count is how many events the sums of a log are of, counted or voided, by each of what they are apart by; false if these do not agree.
func Count(log []byte) (events int64, agree bool, err error) {
	var counts [len(cubes)]int64
	err = each(log, func(_ []string, c *cell) {
		for i, k := range cubes {
			if c.kind == fact || c.kind == k {
				counts[i] += c.events + c.voided
			}
		}
	})
	for _, n := range counts {
		if n != counts[0] {
			return 0, false, err
		}
	}
	return counts[0], true, err
}

// Amend adds the difference that an amendment makes of an event, which has those before it: what it adds now instead of what it added.
func (b *Builder) Amend(e humanhours.Event, a humanhours.Amendment) {
	if a.Kind == humanhours.AmendRedact { // the numbers stay
		return
	}
	b.Remove(&e)
	e.Amendments = append(slices.Clip(e.Amendments), a)
	r := e.Rollup()
	b.Add(&r)
}

// Amended is the block of an Amend; empty if nothing changes.
func Amended(e humanhours.Event, a humanhours.Amendment) []byte {
	var b Builder
	b.Amend(e, a)
	return b.Append(nil)
}

// Remove takes off what an event adds.
func (b *Builder) Remove(e *humanhours.Event) {
	r := e.Rollup()
	r.Events, r.Voided, r.Failures, r.Unpriced = -r.Events, -r.Voided, -r.Failures, -r.Unpriced
	for _, sum := range sumsOf(&r) {
		was := *sum
		*sum = humanhours.Sum{}
		sum.Sub(&was)
	}
	b.Add(&r)
}

// Span is the whole hours of a query, [First, Last).
type Span struct{ First, Last int64 }

// Empty reports whether no whole hour is in the span.
func (s Span) Empty() bool { return s.First >= s.Last }

// SpanOf returns the hours that are within the bounds of a query as a whole.
func SpanOf(q *humanhours.RollupQuery) Span {
	s := Span{First: math.MinInt64, Last: math.MaxInt64}
	if !q.From.IsZero() {
		if s.First = humanhours.HourOf(q.From); time.UnixMilli(s.First * hourMS).Before(q.From) {
			s.First++
		}
	}
	if !q.To.IsZero() {
		s.Last = humanhours.HourOf(q.To)
	}
	return s
}

const hourMS = int64(time.Hour / time.Millisecond)

// Source is where sums come from.
type Source struct {
	// Groups yields the sums of hours of a span, and perhaps those of others. What an amendment takes off is in the group of what it is taken off from, so that
	// no count of a Rollup is below 0.
	Groups func(ctx context.Context, hours Span) iter.Seq2[Group, error]
	// Events yields the events of a span of time.
	Events func(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error]
}

// Group is the logs of some hours.
type Group struct {
	Logs [][]byte
	// Count is of how many events the logs are to be, counted or voided; below 0: nobody knows.
	Count int64
	// Again makes the logs anew, where they are damaged or of another number of events; nil: then that is an error.
	Again func(ctx context.Context) (Group, error)
}

// fold adds up what a group says about a kind of sums.
func (g *Group) fold(k kind) (*table, error) {
	t, count := newTable(), int64(0)
	for _, log := range g.Logs {
		err := each(log, func(texts []string, c *cell) {
			if c.kind == fact || c.kind == k {
				count += c.events + c.voided
				t.add(texts, c, k)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if g.Count >= 0 && g.Count != count {
		return nil, errDamaged
	}
	return t, nil
}

// Rollups answers a query: whole hours from the logs, and what is before and behind them from events.
func (s Source) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	return func(yield func(humanhours.Rollup, error) bool) {
		by, err := kindOf(q.By)
		if err != nil {
			yield(humanhours.Rollup{}, err)
			return
		}
		hours := SpanOf(&q)
		if hours.Empty() {
			s.add(ctx, q.Org, q.From, q.To, yield)
			return
		}
		if hours.First > math.MinInt64 && !s.add(ctx, q.Org, q.From, time.UnixMilli(hours.First*hourMS), yield) {
			return
		}
		if hours.Last < math.MaxInt64 && !s.add(ctx, q.Org, time.UnixMilli(hours.Last*hourMS), q.To, yield) {
			return
		}
		for group, err := range s.Groups(ctx, hours) {
			var sums *table
			if err == nil {
				sums, err = group.fold(by)
			}
			if errors.Is(err, errDamaged) && group.Again != nil {
				if group, err = group.Again(ctx); err == nil {
					sums, err = group.fold(by)
				}
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(humanhours.Rollup{}, err)
				return
			}
			going := true
			sums.each(func(_ kind, _ string, r *humanhours.Rollup) bool {
				if hours.First <= r.Hour && r.Hour < hours.Last {
					going = yield(*r, nil)
				}
				return going
			})
			if !going {
				return
			}
		}
	}
}

// add yields what the events of a span of time add.
func (s Source) add(ctx context.Context, org string, from, to time.Time, yield func(humanhours.Rollup, error) bool) bool {
	if !from.Before(to) {
		return true
	}
	for event, err := range s.Events(ctx, humanhours.EventQuery{Org: org, From: from, To: to, Sparse: true}) {
		if err != nil {
			yield(humanhours.Rollup{}, err)
			return false
		}
		if !yield(event.Rollup(), nil) {
			return false
		}
	}
	return true
}
