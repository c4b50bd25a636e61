// Package store holds what stores share.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/gather"
)

var (
	_ humanhours.Store    = (*Group)(nil)
	_ humanhours.Reporter = (*Group)(nil)
)

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
	inner    humanhours.Store
	timeout  time.Duration
	gatherer *gather.Gatherer[humanhours.Entry, humanhours.Appended]
}

// NewGroup returns group commit over inner. Closing inner stays the caller's business, after Close.
func NewGroup(inner humanhours.Store, cfg GroupConfig) *Group {
	cfg = cfg.withDefaults()
	g := &Group{inner: inner, timeout: cfg.FlushTimeout}
	g.gatherer = gather.New(gather.Config[humanhours.Entry, humanhours.Appended]{
		Flush: g.flush, Closed: ErrClosed, Size: sizeOf,
		Failed: func(err error) humanhours.Appended {
			if !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("store: Append %w", err)
			}
			return humanhours.Appended{Err: err}
		},
		MaxItems: cfg.MaxEntries, MaxBytes: cfg.MaxBytes, MaxQueue: cfg.MaxQueue,
	})
	return g
}

// Append implements humanhours.Store.
func (g *Group) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	// Copies: the caller may have its own back before the flush.
	mine := make([]humanhours.Entry, len(entries))
	for i := range entries {
		mine[i] = entries[i]
		mine[i].Event = entries[i].Event.Clone()
	}
	return g.gatherer.Do(ctx, mine)
}

func (g *Group) flush(entries []humanhours.Entry) []humanhours.Appended {
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	return g.inner.Append(ctx, entries)
}

// sizeOf is about how many bytes an entry has on its way to a store.
func sizeOf(e *humanhours.Entry) int {
	const rest, call = 512, 256 // numbers, names of fields, instants
	v := &e.Event
	return rest + call*len(v.LLMCalls) + len(v.Org) + len(e.Key) + len(v.AgentID) + len(v.TaskType) + len(v.Model) + len(v.Metadata) +
		len(v.AuditSample.InputExcerpt) + len(v.AuditSample.OutputExcerpt)
}

// Close refuses further Appends with ErrClosed, also those that wait for room in the queue, and returns when all that were
// accepted have been answered and no goroutine of the Group is left. Reading goes on working. Closing twice is the same as closing once.
func (g *Group) Close() error {
	g.gatherer.Close()
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

// Amend implements humanhours.Store.
func (g *Group) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	return g.inner.Amend(ctx, q)
}

// Rollups implements humanhours.Reporter, if the inner store does.
func (g *Group) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	if r, ok := g.inner.(humanhours.Reporter); ok {
		return r.Rollups(ctx, q)
	}
	return func(yield func(humanhours.Rollup, error) bool) { yield(humanhours.Rollup{}, errNoSums) }
}

// Rebuild implements humanhours.Reporter, likewise.
func (g *Group) Rebuild(ctx context.Context, org string) error {
	if r, ok := g.inner.(humanhours.Reporter); ok {
		return r.Rebuild(ctx, org)
	}
	return errNoSums
}

var errNoSums = fmt.Errorf("store: the store keeps no sums: %w", errors.ErrUnsupported)

// Agents implements humanhours.Store.
func (g *Group) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	return g.inner.Agents(ctx, org, test)
}
