package redis

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/gather"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// maxGroup is how many entries a group has at most. A script blocks all of Redis while it runs, and a byte says whose an entry is.
const maxGroup = 256

// maxRecords is how many bytes of records one section has, unless a single one is larger. They go into one chunk, which has less than 16,000
// bytes before, and in which a record begins below 65,536.
const maxRecords = 32 << 10

// flights is how many groups are on their way at once: one is put together while Redis works on the other.
const flights = 2

// prepared is an entry as it goes over the wire, made in the goroutine of its caller.
type prepared struct {
	place int // among the entries of its Append
	org   string
	class class
	id    string // field of the index
	key   string // field of the idempotency key, or nothing
	agent string
	body  string // record

	at, occurred, received int64
	adds                   humanhours.Rollup // to the sums

	// Once the flush has answered, and not before: its caller may have left.
	letter byte              // as append.lua has it
	other  *humanhours.Event // the one that was there first, if any
}

// What append.lua says of an entry.
const (
	created    = 'c'
	known      = 's'
	replayed   = 'r'
	mismatched = 'm'
	refused    = 'q'
	full       = 'o'
	lost       = 'g' // of the whole section
	longer     = "C" // likewise, and behind the others: its log of sums has become long
)

// class is what the entries of one section of a script call have in common.
type class struct {
	month   int64
	cap     int64 // 0: none
	counted bool
	week    int64
	bucket  int64 // of the key's expiry; noBucket: no key
}

const (
	weekMS   = 7 * 24 * 60 * 60 * 1000
	bucketMS = 6 * 60 * 60 * 1000 // as in common.lua
	noBucket = -1 << 62
	limb     = 10_000_000_000 // of two that a counter is compared in: a double holds each of them
)

// lane gathers the Appends that go to one server. In a cluster each node has its own, so that a node that is away, or slow,
// holds up no others.
type lane = gather.Gatherer[*prepared, error]

func sizeOf(p *prepared) int { return 128 + len(p.body) }

func (s *Store) newLane() *lane {
	return gather.New(gather.Config[*prepared, error]{
		Flush: s.flush, Closed: store.ErrClosed,
		Size:     func(p **prepared) int { return sizeOf(*p) },
		Failed:   func(err error) error { return err },
		Timeout:  s.cfg.Timeout,
		MaxItems: maxGroup, MaxBytes: s.cfg.MaxBytes, MaxQueue: s.cfg.MaxQueue, Flights: flights,
	})
}

// laneTo returns the lane to a node.
func (s *Store) laneTo(node string) *lane {
	s.mu.RLock()
	l := s.lanes[node]
	s.mu.RUnlock()
	if l != nil {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes[node] == nil {
		s.lanes[node] = s.newLane()
	}
	return s.lanes[node]
}

// begin accepts an Append, unless the Store is closed. It ends with s.appends.Done.
func (s *Store) begin() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.appends.Add(1)
	return true
}

// Append implements humanhours.Store. Appends that come while others are on their way go out together as the next call.
func (s *Store) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := make([]humanhours.Appended, len(entries))
	all := make([]prepared, len(entries))
	items := make([]*prepared, 0, len(entries))
	for i := range entries {
		all[i].place = i
		if err := s.prepare(&all[i], &entries[i]); err != nil {
			results[i].Err = err
			continue
		}
		items = append(items, &all[i])
	}
	if len(items) == 0 {
		return results
	}
	for j, err := range s.appendAll(ctx, items) {
		p := items[j]
		i := p.place
		switch {
		case err != nil:
			results[i].Err = fmt.Errorf("redis: append: %w", explain(err))
		case p.letter == created:
			results[i].Event = &entries[i].Event
		case p.letter == refused:
			results[i].QuotaExceeded = true
		default:
			results[i] = humanhours.Appended{Event: p.other, Replayed: p.letter != known, Mismatch: p.letter == mismatched}
		}
	}
	return results
}

// appendAll sends items down the lanes of their nodes, at once.
func (s *Store) appendAll(ctx context.Context, items []*prepared) []error {
	if !s.begin() {
		errs := make([]error, len(items))
		for i := range errs {
			errs[i] = store.ErrClosed
		}
		return errs
	}
	defer s.appends.Done()
	until := time.Now().Add(s.cfg.Timeout)
	if len(items) > 1 { // it may take several calls
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	if s.client.cluster == nil {
		return s.appendTo(ctx, until, "", items)
	}
	parts := make(map[string][]int, 1) // of the items, by node
	node := ""
	for i, p := range items {
		if i == 0 || p.org != items[i-1].org {
			node = s.client.nodeOf(ctx, s.base(p.org))
		}
		parts[node] = append(parts[node], i)
	}
	if len(parts) == 1 {
		return s.appendTo(ctx, until, node, items)
	}
	errs := make([]error, len(items))
	var all sync.WaitGroup
	for node, part := range parts {
		all.Go(func() {
			mine := make([]*prepared, len(part))
			for j, i := range part {
				mine[j] = items[i]
			}
			for j, err := range s.appendTo(ctx, until, node, mine) {
				errs[part[j]] = err
			}
		})
	}
	all.Wait()
	return errs
}

// appendTo sends items to a node, in order: what does not fit one call begins when the one before it is answered for good.
func (s *Store) appendTo(ctx context.Context, until time.Time, node string, items []*prepared) []error {
	l := s.laneTo(node)
	n, bytes := 0, 0
	for n < len(items) && n < maxGroup && (n == 0 || bytes+sizeOf(items[n]) <= s.cfg.MaxBytes) {
		bytes += sizeOf(items[n])
		n++
	}
	errs := appendGroup(ctx, until, l, items[:n])
	if n < len(items) {
		errs = append(errs, s.appendTo(ctx, until, node, items[n:])...)
	}
	return errs
}

// transient is an error of a call that a later one may not meet.
type transient struct{ err error }

func (t *transient) Error() string { return t.err.Error() }

func isTransient(err error) bool {
	_, ok := err.(*transient)
	return ok
}

// appendGroup sends items until none of them has an error that may pass. It is the caller who waits between two tries, and not
// the flush, which others share.
func appendGroup(ctx context.Context, until time.Time, l *lane, items []*prepared) []error {
	errs := l.Do(ctx, items) // which takes no longer than twice the timeout
	if !slices.ContainsFunc(errs, isTransient) {
		return errs
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var again []*prepared
		var index []int
		for i, err := range errs {
			if t, ok := err.(*transient); ok {
				again, index = append(again, items[i]), append(index, i)
				errs[i] = t.err
			}
		}
		if len(again) == 0 {
			return errs
		}
		if !sleep(ctx, pause) {
			for _, i := range index {
				errs[i] = errors.Join(ctx.Err(), errs[i])
			}
			return errs
		}
		for j, err := range l.Do(ctx, again) {
			if err != nil && errors.Is(err, ctx.Err()) {
				err = errors.Join(err, errs[index[j]]) // says what it has waited for
			}
			errs[index[j]] = err
		}
	}
}

func (s *Store) prepare(p *prepared, entry *humanhours.Entry) error {
	if err := entry.Check(); err != nil {
		return err
	}
	p.org, p.id, p.agent = entry.Event.Org, idField(entry.Event.ID), entry.Event.AgentID
	p.at, p.occurred, p.received = entry.At.UnixMilli(), entry.Event.OccurredAt.UnixMilli(), entry.Event.ReceivedAt.UnixMilli()
	p.class = class{month: monthNumber(humanhours.MonthOf(entry.At)), counted: !entry.Event.Test, week: floorDiv(p.occurred, weekMS), bucket: noBucket}
	if p.class.counted {
		p.class.cap = max(0, entry.Cap)
	}
	p.adds = entry.Event.Rollup()
	var made *claim
	if !inRange(p.at) {
		return errors.New("redis: the receipt time of the entry is out of range")
	}
	if entry.Key != "" {
		window := entry.Window.Milliseconds()
		if entry.Window%time.Millisecond != 0 {
			window++
		}
		expires := p.at + window
		if !inRange(expires) {
			return errors.New("redis: the window of the entry's key is out of range")
		}
		p.class.bucket = floorDiv(expires, bucketMS)
		p.key = keyHash(entry.Key)
		made = &claim{expires: expires, fingerprint: entry.Fingerprint}
	}
	var buf [512]byte
	body, err := appendRecord(buf[:0], &entry.Event, p.id, made)
	if err != nil {
		return err
	}
	p.body = string(body)
	return nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// keyHash is the field of an idempotency key. 160 bits: not even somebody who tries finds two keys that share one.
func keyHash(key string) string {
	var buf [128]byte
	sum := sha256.Sum256(append(buf[:0], key...))
	return string(sum[:20])
}

// monthNumber is the field of a month's counter.
func monthNumber(m humanhours.Month) int64 { return int64(m.Year)*12 + int64(m.Month) - 1 }

// instant is t as it comes back: whole milliseconds in UTC.
func instant(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// flush appends a group with one script call for each org, all in one pipeline. It tries once: whoever has an error that may pass comes again.
func (s *Store) flush(items []*prepared) []error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	errs := make([]error, len(items))
	batches := batchesOf(items)
	calls := make([]call, len(batches))
	pending := make([]*call, len(batches))
	for i, b := range batches {
		base := s.base(b.org)
		calls[i] = call{script: s.scripts.append, keys: []string{base, base + metaKey}, args: b.arguments(items)}
		pending[i] = &calls[i]
	}
	s.client.send(ctx, pending)
	for i, b := range batches {
		for j, answered := range b.answers(calls[i]) {
			section := b.sections[j]
			err, ok := answered.(error)
			switch {
			case !ok:
				err = s.take(b.org, section, answered, items, errs)
			case passing(err):
				err = &transient{err}
			}
			if err == nil {
				continue
			}
			for _, at := range section.index {
				errs[at] = err
			}
		}
	}
	return errs
}

// batch is the entries of one script call.
type batch struct {
	org       string
	sections  []*section
	ids, held map[string]int // the last section with an id, with a key; nil: the group has one entry
}

// section is entries of a call that share a class and have different ids. Each section finds what those before it have stored.
type section struct {
	class class
	index []int // of the items
	bytes int
	// repeats: some keys are those of several entries, so the script has to remember which ones it gives away.
	repeats bool
}

// batchesOf divides items into calls, one for each org.
func batchesOf(items []*prepared) []*batch {
	var batches []*batch
	of := make(map[string]*batch, 1)
	for i, p := range items {
		b := of[p.org]
		if b == nil {
			b = &batch{org: p.org}
			if len(items) > 1 {
				b.ids, b.held = make(map[string]int, len(items)), make(map[string]int, len(items))
			}
			batches, of[p.org] = append(batches, b), b
		}
		b.add(i, p)
	}
	return batches
}

// add puts an item into a section that is not before another one with its key, and behind the last one with its id.
func (b *batch) add(i int, p *prepared) {
	first, holder := 0, -1
	if at, ok := b.ids[p.id]; ok {
		first = at + 1
	}
	if at, ok := b.held[p.key]; ok && p.key != "" {
		first, holder = max(first, at), at
	}
	at := b.open(p, first)
	if at < 0 {
		at = len(b.sections)
		b.sections = append(b.sections, &section{class: p.class})
	}
	if b.ids != nil {
		b.ids[p.id], b.held[p.key] = at, at
	}
	into := b.sections[at]
	into.repeats = into.repeats || holder == at
	into.index = append(into.index, i)
	into.bytes += len(p.body)
}

// open returns a section from first on that takes p; -1: it needs a new one.
func (b *batch) open(p *prepared, first int) int {
	for at := len(b.sections) - 1; at >= first; at-- {
		in := b.sections[at]
		if in.class == p.class && in.bytes+len(p.body) <= maxRecords {
			return at
		}
		// A cap is used up in order, also by what has none itself.
		if in.class.counted && p.class.counted && in.class.month == p.class.month && (in.class.cap > 0 || p.class.cap > 0) {
			break
		}
	}
	return -1
}

// arguments are those of append.lua.
func (b *batch) arguments(items []*prepared) []any {
	if len(b.sections) == 1 {
		return b.sections[0].arguments(items)
	}
	var args []any
	for _, in := range b.sections {
		args = append(args, in.arguments(items)...)
	}
	return args
}

// answers are those of the sections; an error is one of Redis.
func (b *batch) answers(c call) []any {
	list, ok := c.answer.([]any)
	switch {
	case c.err != nil:
		return slices.Repeat([]any{c.err}, len(b.sections))
	case len(b.sections) == 1:
		return []any{c.answer}
	case !ok || len(list) != len(b.sections):
		return make([]any, len(b.sections)) // no answer that take knows
	}
	return list
}

// arguments are those of append.lua for a section.
func (b *section) arguments(items []*prepared) []any {
	const fixed = 21
	n := len(b.index)
	args := make([]any, fixed+2*n, fixed+2*n+min(n, 8))
	if b.class.bucket == noBucket {
		args = args[:fixed+n]
	}
	var sums rollup.Builder
	ends := make([]byte, 0, 3*n)
	agents := agentsOf{whose: make([]byte, 0, n)}
	ats, records := make([]byte, 0, 6*n), make([]byte, 0, b.bytes)
	p := items[b.index[0]]
	from, to, first, latest, earliest := p.occurred, p.occurred, p.received, p.received, p.at
	for j, i := range b.index {
		p := items[i]
		from, to, first, latest = min(from, p.occurred), max(to, p.occurred), min(first, p.received), max(latest, p.received)
		earliest = min(earliest, p.at)
		ats = appendInstant(ats, p.at)
		records = append(records, p.body...)
		agents.add(p.agent, p.occurred)
		sums.Add(&p.adds)
		end := len(sums.Cells())
		ends = append(ends, byte(end>>16), byte(end>>8), byte(end))
		args[fixed+j] = &p.id // a pointer costs no memory in an any
		if p.key != "" {
			args[fixed+n+j] = &p.key
		}
	}
	log := sums.Append(nil)
	counted, repeats, bucket, keep := 0, 0, any(""), int64(0)
	if b.repeats {
		repeats = 1
	}
	if b.class.counted {
		counted = 1
	}
	if b.class.bucket != noBucket {
		// Until nobody's clock can be before the end of the bucket: a bucket more.
		bucket, keep = b.class.bucket, (b.class.bucket+2)*bucketMS-earliest
	}
	copy(args, []any{
		n, b.class.month, counted, b.class.cap / limb, b.class.cap % limb, b.class.week, bucket, keep, from, to, first, latest,
		ats, floorDiv(earliest, bucketMS), records, repeats, agents.spans(), agents.whose, log, len(log) - len(sums.Cells()), ends,
	})
	for _, id := range agents.ids {
		args = append(args, agentField(id, !b.class.counted))
	}
	return args
}

var errAnswer = errors.New("redis: the script gave an answer that this release does not know")

// take reads the answer of append.lua for a section.
func (s *Store) take(org string, b *section, answered any, items []*prepared, errs []error) error {
	if answered == "c" || answered == longer {
		if answered == longer {
			s.shorten(org, b.class.week)
		}
		for _, at := range b.index {
			items[at].letter = created
		}
		return nil
	}
	answer, ok := answered.([]any)
	if !ok || len(answer) == 0 {
		return errAnswer
	}
	letters, err := text(answer[0])
	if letters == string(lost) {
		return errGone
	}
	if rest, long := strings.CutSuffix(letters, longer); long {
		letters = rest
		s.shorten(org, b.class.week)
	}
	if err != nil || len(letters) != len(b.index) {
		return errAnswer
	}
	extras := answer[1:]
	for i, at := range b.index {
		p := items[at]
		switch p.letter = letters[i]; p.letter {
		case created, refused:
		case full:
			errs[at] = errors.New("the counter of the month is full: Redis cannot count further")
		case known, replayed, mismatched:
			if len(extras) == 0 {
				return errAnswer
			}
			extra, err := text(extras[0])
			if err != nil {
				return err
			}
			extras = extras[1:]
			event, err := s.event(org, extra)
			if err == nil && p.letter == known && idField(event.ID) != p.id {
				err = errGone
			}
			p.other, errs[at] = &event, err
		default:
			return errAnswer
		}
	}
	return nil
}
