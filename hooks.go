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
	limit  int
	logger *slog.Logger

	mu      sync.Mutex
	queue   []func()
	running bool
	dropped int           // since the queue was last empty
	idle    chan struct{} // closed when running turns false; nil while nobody waits
}

func (h *hooks) init(limit int, logger *slog.Logger) { h.limit, h.logger = limit, logger }

// enqueue never blocks. The operator hears of the first call that is dropped at once, the hook may hang for ever; and of
// their number when it has caught up.
func (h *hooks) enqueue(call func()) {
	h.mu.Lock()
	full := len(h.queue) >= h.limit
	if full {
		h.dropped++
	}
	first := h.dropped == 1
	if !full {
		h.add(call)
	}
	h.mu.Unlock()
	if full && first {
		h.logger.Warn("humanhours: a hook is too slow; calls are dropped", "queue", h.limit)
	}
}

func (h *hooks) add(call func()) {
	h.queue = append(h.queue, call)
	if !h.running {
		h.running = true
		go h.run()
	}
}

func (h *hooks) run() {
	for {
		h.mu.Lock()
		calls, dropped := h.queue, h.dropped
		h.queue, h.dropped = nil, 0
		if len(calls) == 0 {
			h.running = false
			if h.idle != nil {
				close(h.idle)
				h.idle = nil
			}
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		if dropped > 0 {
			h.logger.Warn("humanhours: a hook was too slow; calls were dropped", "dropped", dropped, "queue", h.limit)
		}
		for _, call := range calls {
			h.call(call)
		}
	}
}

// call contains a panic: a hook must not take the service down.
func (h *hooks) call(f func()) {
	defer func() {
		if p := recover(); p != nil {
			h.logger.Error("humanhours: a hook panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// drain waits until nothing is queued or running.
func (h *hooks) drain(ctx context.Context) error {
	h.mu.Lock()
	if !h.running {
		h.mu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
