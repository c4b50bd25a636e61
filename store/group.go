// Package store holds what stores share.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/humanhours/humanhours-go"
)

var _ humanhours.Store = (*Group)(nil)

// ErrClosed is what Append answers after Close.
var ErrClosed = errors.New("store: the group commit is closed")

// GroupConfig configures a Group. The zero value is right for SQLite and Redis.
type GroupConfig struct {
	// MaxEntries is how many entries one flush may have. Defaults to 256.
	MaxEntries int
	// MaxBytes is how large one flush may be, by the size of its events, roughly. A single event may be larger. Defaults to 1 MiB.
	MaxBytes int
	// MaxQueue is how many Appends may wait for a flush. Further ones block until there is room or their context ends.
	// Defaults to 1024.
	MaxQueue int
	// FlushTimeout is how long one flush may take. Defaults to 30 seconds.
	FlushTimeout time.Duration
}

func (c GroupConfig) withDefaults() GroupConfig {
	if c.MaxEntries <= 0 {
		c.MaxEntries = 256
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 20
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = 1024
	}
	if c.FlushTimeout <= 0 {
		c.FlushTimeout = 30 * time.Second
	}
	return c
}

// Group is group commit for any Store whose Append costs the same for one entry as for many, such as one that syncs a file
// or crosses a network. While one flush is in flight, the Appends that come gather, and go down as the next flush.
// There is no timer: an Append that finds no flush in flight starts one at once, so a lone caller waits for nobody.
//
// A caller whose context ends is answered at once with its error; its entries may still be stored, and a
// retry finds them. A flush runs under a context of its own, so that nobody's cancellation touches the others. A flush that fails is
// reported to the callers that were in it, an entry that fails to its own caller.
//
// Group is safe for concurrent use. Its goroutine lives only while there is something to flush. Make one with NewGroup.
type Group struct {
	inner humanhours.Store
	cfg   GroupConfig

	queue    chan *call
	flushing atomic.Bool
	unsettle int // flushes that go out without settle; of the goroutine that flushes
	patience int // how many that will be next time

	runs sync.WaitGroup // goroutines that flush

	mu       sync.RWMutex   // held for reading while a call is being accepted
	closed   bool           // guarded by mu
	closing  chan struct{}  // closed by the first Close
	once     sync.Once      // of closing
	accepted sync.WaitGroup // calls that will be answered
}

// call is one Append, or a part of one that is larger than a flush.
type call struct {
	ctx     context.Context
	entries []humanhours.Entry // copies: the caller may have its own back before the flush
	bytes   int
	done    chan []humanhours.Appended // has room for the one answer, so that answering never waits
}

// NewGroup returns group commit over inner. Closing inner stays the caller's business, after Close.
func NewGroup(inner humanhours.Store, cfg GroupConfig) *Group {
	cfg = cfg.withDefaults()
	return &Group{inner: inner, cfg: cfg, queue: make(chan *call, cfg.MaxQueue), closing: make(chan struct{})}
}

// Append implements humanhours.Store.
func (g *Group) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	calls := g.split(ctx, entries)
	accepted := 0
	var refused error
	for _, c := range calls {
		if refused = g.accept(c); refused != nil {
			break
		}
		accepted++
	}
	results := make([]humanhours.Appended, 0, len(entries))
	for i, c := range calls {
		if i >= accepted {
			results = append(results, failed(len(c.entries), refused)...)
			continue
		}
		select {
		case answer := <-c.done:
			results = append(results, answer...)
		case <-ctx.Done():
			results = append(results, failed(len(c.entries), ctx.Err())...)
		}
	}
	return results
}

// split copies entries into calls that fit a flush.
func (g *Group) split(ctx context.Context, entries []humanhours.Entry) []*call {
	var calls []*call
	var last *call
	for i := range entries {
		size := sizeOf(&entries[i])
		if last == nil || len(last.entries) == g.cfg.MaxEntries || last.bytes+size > g.cfg.MaxBytes {
			last = &call{
				ctx: ctx, done: make(chan []humanhours.Appended, 1),
				entries: make([]humanhours.Entry, 0, min(len(entries)-i, g.cfg.MaxEntries)),
			}
			calls = append(calls, last)
		}
		entry := entries[i]
		entry.Event = entry.Event.Clone()
		last.entries = append(last.entries, entry)
		last.bytes += size
	}
	return calls
}

// sizeOf is about how many bytes an entry has on its way to a store.
func sizeOf(e *humanhours.Entry) int {
	const rest = 512 // numbers, names of fields, instants
	v := &e.Event
	return rest + len(v.Org) + len(e.Key) + len(v.AgentID) + len(v.TaskType) + len(v.Model) + len(v.Metadata) +
		len(v.AuditSample.InputExcerpt) + len(v.AuditSample.OutputExcerpt)
}

// accept queues a call, or says why not. An accepted call is answered, whatever happens.
func (g *Group) accept(c *call) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return ErrClosed
	}
	g.accepted.Add(1)
	select {
	case g.queue <- c:
	case <-c.ctx.Done():
		g.accepted.Done()
		return c.ctx.Err()
	case <-g.closing:
		g.accepted.Done()
		return ErrClosed
	}
	if g.flushing.CompareAndSwap(false, true) {
		g.runs.Go(g.run)
	}
	return nil
}

// run flushes until nothing is queued.
func (g *Group) run() {
	var first *call // taken from the queue, and too large for the flush before
	answered, took := 0, time.Duration(0)
	for {
		g.settle(answered, took)
		var group []*call
		group, first = g.gather(first)
		if answered = len(group); answered > 0 {
			start := time.Now()
			g.flush(group)
			took = time.Since(start)
			continue
		}
		g.flushing.Store(false)
		// A call that was queued since gather looked has seen flushing and left it to us.
		if len(g.queue) == 0 || !g.flushing.CompareAndSwap(false, true) {
			return
		}
	}
}

// settle lets those run who were answered by the last flush: most of them come back at once with another call, but have not had a
// processor yet. Without this the next flush has one or two entries and the one after it all the rest, at the price of two. It gives
// up after a part of the time that the last flush took. For a lone caller there is no more than one step aside.
//
// Where other goroutines keep all processors busy, one step aside may take longer than many flushes; then the next ones go without.
func (g *Group) settle(answered int, took time.Duration) {
	const yields, part, mostPatience = 2048, 4, 1 << 12
	if answered == 0 {
		return
	}
	if g.unsettle > 0 {
		g.unsettle--
		return
	}
	start := time.Now()
	for range yields {
		runtime.Gosched()
		switch waited := time.Since(start); {
		case waited > 2*took:
			g.patience = min(max(64, 2*g.patience), mostPatience)
			g.unsettle = g.patience
			return
		case answered == 1, len(g.queue) >= answered, waited > took/part:
			g.patience /= 2
			return
		}
	}
}

// gather takes calls from the queue as far as they fit one flush. What was taken and does not fit is returned as next.
func (g *Group) gather(first *call) (group []*call, next *call) {
	entries, bytes := 0, 0
	for c := first; ; c = nil {
		if c == nil {
			select {
			case c = <-g.queue:
			default:
				return group, nil
			}
		}
		if err := c.ctx.Err(); err != nil { // gone while it waited
			g.answer(c, failed(len(c.entries), err))
			continue
		}
		if len(group) > 0 && (entries+len(c.entries) > g.cfg.MaxEntries || bytes+c.bytes > g.cfg.MaxBytes) {
			return group, c
		}
		group = append(group, c)
		entries += len(c.entries)
		bytes += c.bytes
	}
}

// flush hands a group down and its results back.
func (g *Group) flush(group []*call) {
	entries := group[0].entries
	if len(group) > 1 {
		entries = nil
		for _, c := range group {
			entries = append(entries, c.entries...)
		}
	}
	results := g.append(entries)
	for _, c := range group {
		g.answer(c, results[:len(c.entries):len(c.entries)])
		results = results[len(c.entries):]
	}
}

// append is inner.Append with a timeout, and with an answer for every entry also from a store that panics or
// answers too little: nobody else's goroutine is there to do it.
func (g *Group) append(entries []humanhours.Entry) (results []humanhours.Appended) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.FlushTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			results = failed(len(entries), fmt.Errorf("store: Append panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	results = g.inner.Append(ctx, entries)
	if missing := len(entries) - len(results); missing > 0 {
		results = slices.Concat(results, failed(missing, errors.New("store: Append gave no answer for this entry")))
	}
	return results
}

func (g *Group) answer(c *call, results []humanhours.Appended) {
	c.done <- results
	g.accepted.Done()
}

// failed is n results with one error.
func failed(n int, err error) []humanhours.Appended {
	results := make([]humanhours.Appended, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

// Close refuses further Appends with ErrClosed, also those that wait for room in the queue, and returns when all that were
// accepted have been answered and no goroutine of the Group is left. Reading goes on working. Closing twice is the same as closing once.
func (g *Group) Close() error {
	g.once.Do(func() { close(g.closing) })
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.accepted.Wait()
	g.runs.Wait()
	return nil
}

// Replay implements humanhours.Store.
func (g *Group) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	return g.inner.Replay(ctx, q)
}

// Event implements humanhours.Store.
func (g *Group) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	return g.inner.Event(ctx, org, id)
}

// Events implements humanhours.Store.
func (g *Group) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return g.inner.Events(ctx, q)
}

// Usage implements humanhours.Store.
func (g *Group) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	return g.inner.Usage(ctx, org, month)
}
