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

// enqueue never blocks.
func (h *hooks) enqueue(call func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) >= h.limit {
		h.dropped++
		return
	}
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
			h.logger.Warn("humanhours: hooks are too slow; calls were dropped", "dropped", dropped, "queue", h.limit)
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
