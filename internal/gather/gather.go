// Package gather lets concurrent requests share a flush: while one is in flight, the requests that come gather, and go down as the
// next one. There is no timer: a request that finds no flush in flight starts one at once, so a lone caller waits for nobody.
package gather

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a Gatherer. Every field but Timeout and Flights must be set.
type Config[In, Out any] struct {
	// Flush carries out the items of several requests and returns one result for each, in order. It must end by itself.
	Flush func(items []In) []Out
	// Failed is the result of an item that was not carried out, or whose outcome nobody knows.
	Failed func(err error) Out
	// Size is about how many bytes an item has.
	Size func(item *In) int
	// Closed is the error of requests that come after Close.
	Closed error
	// Timeout is after how long in flight requests are answered with context.DeadlineExceeded, whatever becomes of the flush. While all
	// flights are late like this, nobody is kept waiting behind them: requests are answered so at once. A request that has waited as long
	// for its flush is answered likewise, so nobody waits for more than twice the time. 0: never.
	Timeout time.Duration

	MaxItems int // of one flush
	MaxBytes int // of one flush; a single item may be larger
	MaxQueue int // requests that wait for a flush; further ones block
	Flights  int // flushes at once; 0: 1
}

// Gatherer is safe for concurrent use. Its goroutines live only while there is something to flush. Make one with New.
type Gatherer[In, Out any] struct {
	cfg     Config[In, Out]
	queue   chan *request[In, Out]
	flights []*flight[In, Out]
	looking atomic.Int32   // flights that will look into the queue before they flush or end
	late    atomic.Int32   // flights whose flush has not ended in time
	runs    sync.WaitGroup // goroutines that flush

	mu       sync.RWMutex   // held for reading while a request is being accepted
	closed   bool           // guarded by mu
	closing  chan struct{}  // closed by the first Close
	once     sync.Once      // of closing
	accepted sync.WaitGroup // requests that will be answered
}

// request is one Do, or a part of one that is larger than a flush.
type request[In, Out any] struct {
	ctx      context.Context
	items    []In
	bytes    int
	since    time.Time  // when it came, if there is a Timeout
	done     chan []Out // has room for the one answer, so that answering never waits
	answered atomic.Bool
}

// flight is one that flushes.
type flight[In, Out any] struct {
	g    *Gatherer[In, Out]
	busy atomic.Bool

	// Of the goroutine that flushes:
	last      int           // requests of the last flush
	took      time.Duration // by it
	unsettled int           // flushes that go out without settle
	patience  int           // how many that will be next time
	content   int           // flushes that go out when as many wait as were answered
}

// New returns a Gatherer.
func New[In, Out any](cfg Config[In, Out]) *Gatherer[In, Out] {
	g := &Gatherer[In, Out]{cfg: cfg, queue: make(chan *request[In, Out], cfg.MaxQueue), closing: make(chan struct{})}
	for range max(1, cfg.Flights) {
		g.flights = append(g.flights, &flight[In, Out]{g: g})
	}
	return g
}

// Do hands items down with a flush and returns one result for each, in order. The Gatherer keeps items until they are flushed, also
// when ctx ends before: then its error is the result of what has no other yet.
func (g *Gatherer[In, Out]) Do(ctx context.Context, items []In) []Out {
	requests := g.split(ctx, items)
	accepted := 0
	var refused error
	for _, r := range requests {
		if refused = g.accept(r); refused != nil {
			break
		}
		accepted++
	}
	if accepted == 1 && len(requests) == 1 {
		return g.wait(ctx, requests[0])
	}
	results := make([]Out, 0, len(items))
	for i, r := range requests {
		if i < accepted {
			results = append(results, g.wait(ctx, r)...)
		} else {
			results = append(results, g.failed(len(r.items), refused)...)
		}
	}
	return results
}

func (g *Gatherer[In, Out]) wait(ctx context.Context, r *request[In, Out]) []Out {
	select {
	case results := <-r.done:
		return results
	case <-ctx.Done():
		return g.failed(len(r.items), ctx.Err())
	}
}

// split cuts items into requests that fit a flush.
func (g *Gatherer[In, Out]) split(ctx context.Context, items []In) []*request[In, Out] {
	var requests []*request[In, Out]
	var last *request[In, Out]
	var now time.Time
	if g.cfg.Timeout > 0 {
		now = time.Now()
	}
	start := 0
	for i := range items {
		size := g.cfg.Size(&items[i])
		if last == nil || i-start == g.cfg.MaxItems || last.bytes+size > g.cfg.MaxBytes {
			last = &request[In, Out]{ctx: ctx, since: now, done: make(chan []Out, 1)}
			requests = append(requests, last)
			start = i
		}
		last.items = items[start : i+1 : i+1]
		last.bytes += size
	}
	return requests
}

// accept queues a request, or says why not. An accepted request is answered, whatever happens.
func (g *Gatherer[In, Out]) accept(r *request[In, Out]) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return g.cfg.Closed
	}
	g.accepted.Add(1)
	select {
	case g.queue <- r:
	case <-r.ctx.Done():
		g.accepted.Done()
		return r.ctx.Err()
	case <-g.closing:
		g.accepted.Done()
		return g.cfg.Closed
	}
	g.launch()
	g.giveUp()
	return nil
}

// giveUp answers what is queued, if all flights are late.
func (g *Gatherer[In, Out]) giveUp() {
	for int(g.late.Load()) == len(g.flights) {
		select {
		case r := <-g.queue:
			g.answer(r, g.failed(len(r.items), context.DeadlineExceeded))
		default:
			return
		}
	}
}

// launch starts a flight, unless one is there that will look into the queue anyway, or all are under way.
func (g *Gatherer[In, Out]) launch() {
	if g.looking.Load() > 0 {
		return
	}
	for _, f := range g.flights {
		if f.busy.CompareAndSwap(false, true) {
			g.looking.Add(1)
			g.runs.Go(f.run)
			return
		}
	}
}

// run flushes until nothing is queued.
func (f *flight[In, Out]) run() {
	g := f.g
	var first *request[In, Out] // taken from the queue, and too large for the flush before
	answered := 0
	for {
		f.settle(answered)
		var group []*request[In, Out]
		group, first = g.gather(first)
		if answered = len(group); answered > 0 {
			// A request that was queued since gather looked has seen that somebody is looking, and left it to us.
			if g.looking.Add(-1); len(g.queue) > 0 {
				g.launch()
			}
			start := time.Now()
			g.flush(group, first)
			f.last, f.took = answered, time.Since(start)
			g.looking.Add(1)
			continue
		}
		f.busy.Store(false)
		if g.looking.Add(-1); len(g.queue) > 0 { // likewise
			g.launch()
		}
		return
	}
}

// settle lets those run who are about to come: callers that were answered by the last flush, and, where callers come together, those who are just as
// ready to run as the first of them, but have not had a processor yet. Without this a flush has one or two items and the one after it all the rest, at
// the price of two. A lone caller is not kept waiting: there is no more than one step aside, after its answer.
//
// Those who came during the flush are waiting already, so all are there when they and the answered ones are: of one flight, half of the callers
// would otherwise go with each flush for ever. Several flights are there to take turns, each with its part of the callers. Where the answered ones
// may be running on another processor, settle waits for them for a part of the time that the last flush took; where they do not come back, it is
// content with fewer for a while. On a single processor a step aside that brings nobody is the last: all who could run have run, and the runtime
// asks the network for more only when nothing else is to be done, so this goroutine had better flush, or end.
//
// A step aside is worth the flushes of their own that those who came would have had. Where other goroutines keep all processors busy, it may take
// longer than that; then the next flushes go without.
func (f *flight[In, Out]) settle(answered int) {
	const yields, part, mostPatience, contentFor = 2048, 4, 1 << 12, 64
	enough := min(f.g.cfg.MaxItems, f.g.cfg.MaxQueue) // no more go with one flush, or can wait for it
	if answered > 0 {
		all := answered
		if f.content > 0 {
			f.content--
		} else if len(f.g.flights) == 1 {
			all += len(f.g.queue)
		}
		enough = min(enough, all)
	}
	if alone := answered == 0 && f.last < 2; alone || len(f.g.queue) >= enough {
		return
	}
	if f.unsettled > 0 {
		f.unsettled--
		return
	}
	inVain := answered < 2 || runtime.GOMAXPROCS(0) == 1
	start, first := time.Now(), len(f.g.queue)
	for range yields {
		before := len(f.g.queue)
		runtime.Gosched()
		queued := len(f.g.queue)
		switch waited := time.Since(start); {
		case waited > 2*f.took*time.Duration(max(1, queued-first)):
			f.patience = min(max(8, 2*f.patience), mostPatience)
			f.unsettled = f.patience
			return
		case queued >= enough, queued == before && inVain:
			f.patience /= 2
			return
		case !inVain && waited > f.took/part:
			f.patience /= 2
			f.content = contentFor
			return
		}
	}
	f.content = contentFor
}

// gather takes requests from the queue as far as they fit one flush. What was taken and does not fit is returned as next.
func (g *Gatherer[In, Out]) gather(first *request[In, Out]) (group []*request[In, Out], next *request[In, Out]) {
	items, bytes := 0, 0
	for r := first; ; r = nil {
		if r == nil {
			select {
			case r = <-g.queue:
			default:
				return group, nil
			}
		}
		if r.answered.Load() { // by a flush that was late
			continue
		}
		if err := r.ctx.Err(); err != nil { // gone while it waited
			g.answer(r, g.failed(len(r.items), err))
			continue
		}
		if g.cfg.Timeout > 0 && time.Since(r.since) >= g.cfg.Timeout {
			g.answer(r, g.failed(len(r.items), context.DeadlineExceeded))
			continue
		}
		if len(group) > 0 && (items+len(r.items) > g.cfg.MaxItems || bytes+r.bytes > g.cfg.MaxBytes) {
			return group, r
		}
		group = append(group, r)
		items += len(r.items)
		bytes += r.bytes
	}
}

// flush hands a group down and its results back. The request that is next waits for it too.
func (g *Gatherer[In, Out]) flush(group []*request[In, Out], next *request[In, Out]) {
	items := group[0].items
	if len(group) > 1 {
		n := 0
		for _, r := range group {
			n += len(r.items)
		}
		items = make([]In, 0, n)
		for _, r := range group {
			items = append(items, r.items...)
		}
	}
	if g.cfg.Timeout > 0 {
		watch := time.AfterFunc(g.cfg.Timeout, func() {
			g.late.Add(1)
			for _, r := range group {
				g.answer(r, g.failed(len(r.items), context.DeadlineExceeded))
			}
			if next != nil {
				g.answer(next, g.failed(len(next.items), context.DeadlineExceeded))
			}
			g.giveUp()
		})
		defer func() {
			if !watch.Stop() {
				g.late.Add(-1)
			}
		}()
	}
	results := g.carryOut(items)
	for _, r := range group {
		g.answer(r, results[:len(r.items):len(r.items)])
		results = results[len(r.items):]
	}
}

// carryOut is Flush with an answer for every item also when it panics or answers too little: nobody else's goroutine is there to do it.
func (g *Gatherer[In, Out]) carryOut(items []In) (results []Out) {
	defer func() {
		if p := recover(); p != nil {
			results = g.failed(len(items), fmt.Errorf("panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	results = g.cfg.Flush(items)
	if missing := len(items) - len(results); missing > 0 {
		results = append(results[:len(results):len(results)], g.failed(missing, fmt.Errorf("gave %d answers for %d entries", len(results), len(items)))...)
	}
	return results
}

// answer gives a request its results, if it has none yet.
func (g *Gatherer[In, Out]) answer(r *request[In, Out], results []Out) {
	if r.answered.CompareAndSwap(false, true) {
		r.done <- results
		g.accepted.Done()
	}
}

// failed is n results with one error.
func (g *Gatherer[In, Out]) failed(n int, err error) []Out {
	results := make([]Out, n)
	for i := range results {
		results[i] = g.cfg.Failed(err)
	}
	return results
}

// Close refuses further requests, also those that wait for room in the queue, and returns when all that were accepted have been answered
// and no goroutine of the Gatherer is left. Closing twice is the same as closing once.
func (g *Gatherer[In, Out]) Close() {
	g.once.Do(func() { close(g.closing) })
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.accepted.Wait()
	g.runs.Wait()
}
