package humanhours

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
)

// hooks runs the calls to a Config's hooks one at a time, in order, away from the request. Its goroutine lives only while
// there is something to do, so that a Tracker needs no Close.
type hooks struct {
	what   string // for the log
	limit  int
	logger *slog.Logger

	mu      sync.Mutex
	queue   []func()
	running bool
	added   int64 // calls that were ever queued
	done    int64 // calls that have ended
	dropped int   // since the queue was last empty
	waiters []waiter
}

// waiter waits until done reaches a number.
type waiter struct {
	until int64
	ready chan struct{}
}

func (h *hooks) init(what string, limit int, logger *slog.Logger) {
	h.what, h.limit, h.logger = what, limit, logger
}

// enqueue never blocks. The operator hears of the first call that is dropped at once, the hook may hang for ever; and of
// their number when it has caught up.
func (h *hooks) enqueue(call func()) {
	h.mu.Lock()
	if len(h.queue) >= h.limit {
		h.dropped++
		first := h.dropped == 1
		h.mu.Unlock()
		if first {
			h.logger.Warn("humanhours: "+h.what+" is too slow; calls are dropped", "queue", h.limit)
		}
		return
	}
	h.queue = append(h.queue, call)
	h.added++
	if !h.running {
		h.running = true
		go h.run()
	}
	h.mu.Unlock()
}

func (h *hooks) run() {
	emptied := false
	defer func() {
		if !emptied { // a hook has ended this goroutine with runtime.Goexit
			go h.run()
		}
	}()
	for {
		call, dropped := h.next()
		if dropped > 0 {
			h.logger.Warn("humanhours: "+h.what+" was too slow; calls were dropped", "dropped", dropped, "queue", h.limit)
		}
		if call == nil {
			emptied = true
			return
		}
		h.call(call)
	}
}

// next takes a call from the queue. When there is none, run must end, and dropped says how many calls the queue had no room for.
func (h *hooks) next() (call func(), dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		dropped, h.dropped = h.dropped, 0
		h.queue, h.running = nil, false
		return nil, dropped
	}
	call = h.queue[0]
	h.queue[0] = nil
	h.queue = h.queue[1:]
	return call, 0
}

// call contains a panic: a hook must not take the service down.
func (h *hooks) call(f func()) {
	defer func() {
		if p := recover(); p != nil {
			h.logger.Error("humanhours: "+h.what+" panicked", "panic", p, "stack", string(debug.Stack()))
		}
		h.mu.Lock()
		h.done++
		for len(h.waiters) > 0 && h.waiters[0].until <= h.done { // in order: added only grows
			close(h.waiters[0].ready)
			h.waiters = h.waiters[1:]
		}
		h.mu.Unlock()
	}()
	f()
}

// drain waits until everything that is queued now has run.
func (h *hooks) drain(ctx context.Context) error {
	h.mu.Lock()
	if h.done == h.added {
		h.mu.Unlock()
		return nil
	}
	w := waiter{until: h.added, ready: make(chan struct{})}
	h.waiters = append(h.waiters, w)
	h.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
