package humanhours

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Store keeps events. It is the port that every durable backend implements; package storetest proves an implementation
// against this contract, sentence by sentence.
//
// # Atomicity
//
//   - Each entry is atomic: event, key and counter are all there or none is.
//   - Entries of a batch are independent: one that is poisoned, refused or replayed changes nothing for the others.
//   - Entries of a batch take effect in order, so the first entry with a key creates and later ones replay it.
//   - Of any number of concurrent Appends with one (org, key), exactly one creates and all others get its event, byte for byte.
//   - Concurrent Appends never exceed the cap.
//
// # Identity
//
//   - Appending an event whose id is already stored in its org changes nothing and returns the stored one, not as a replay.
//   - Orgs and keys are opaque byte strings that never collide, whatever is in them.
//   - The same key in another org is another key.
//
// # Idempotency keys
//
//   - A key names its event for the window from its first use by Entry.At: not a millisecond less, and at exactly that age it is free again.
//   - An entry without a key always creates.
//   - A replay whose fingerprint differs is a mismatch and returns the first event all the same.
//   - Replay finds what a key holds at a time, and changes nothing.
//
// # Quota
//
//   - Usage counts the events of an org by the UTC month of Entry.At.
//   - An entry is refused when its month already holds Cap events, and a refused entry stores nothing.
//   - A replay never counts against the quota and succeeds even when the quota is used up.
//   - A refused entry never burns its key.
//   - Test events are never counted and never refused.
//
// # Values
//
//   - Every field of an event survives: decimals exactly, instants to the millisecond in UTC, metadata as the same JSON value.
//   - No reference to a caller's slice is kept, and none of the store's own is handed out.
//   - Events are immutable: what was answered once is answered ever after.
//
// # Agents
//
//   - Agents returns each agent that a stored event names once, with the first and the last instant of occurrence of its events, ordered by id; those of test events apart.
//   - An agent is recorded in the same step as its event: an entry that is refused, replayed or failed changes nothing about agents.
//
// # Amendments
//
//   - Amend adds an amendment to an event that has as many as Base says, and changes nothing otherwise.
//   - Of concurrent Amends with one Base exactly one is stored.
//   - Event and Events show an event with its amendments, in their order; Append and Replay answer it as it was stored.
//   - A redaction erases metadata and audit sample: nothing that the store answers has them from then on.
//   - In a store that is an OrgStore too, the change is appended to the history of the org in the same step.
//
// # Reading
//
//   - Events yields each matching event once, in the order that was asked for, whatever the order in which they came.
//   - Events goes on after a cursor, wherever it comes from.
//   - Events holds no lock and no transaction while the caller's loop body runs.
//   - A sparse event has at least what EventQuery.Sparse and Bare leave in, as the whole one has it.
//   - An org sees its own events only.
//
// # Failure
//
//   - A context that has ended is answered promptly with its error, and nothing is stored.
//   - An invalid entry fails alone and stores nothing.
//
// Methods must be safe for concurrent use. "Not found", "replayed" and "quota reached" are answers; an error means that
// the backend broke.
type Store interface {
	// Append stores entries and returns one result per entry, in order. entries is never empty and must not be written to, and the caller may use it
	// for something else once Append has returned, also when that was because of its context. For one entry the store must look, in this order, at its id (already
	// stored: return that event), its key (in use: replay), and its quota. An Appended.Err says that the outcome of that entry
	// is unknown; the caller then retries with the same id or key.
	Append(ctx context.Context, entries []Entry) []Appended

	// Replay returns the event that q.Key names at q.At, and whether there is one. q.Key is never empty.
	Replay(ctx context.Context, q ReplayQuery) (Replay, error)

	// Event returns one event; false when the org has no such event.
	Event(ctx context.Context, org, id string) (Event, bool, error)

	// Events yields the events that q asks for. After an error it yields nothing more. An event that is appended while
	// the loop runs may or may not be yielded, never twice.
	Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error]

	// Usage returns how many events of org count for a month.
	Usage(ctx context.Context, org string, month Month) (int64, error)

	// Amend adds an amendment to an event. Found is false, and nothing is stored, if the org has no such event.
	Amend(ctx context.Context, q AmendQuery) (Amended, error)

	// Agents returns the agents that live events of org name, or with test those that test events name. An event that is deleted because
	// of its age leaves its agent as it is.
	Agents(ctx context.Context, org string, test bool) ([]AgentSeen, error)
}

// AgentSeen is an agent that has events.
type AgentSeen struct {
	ID    string
	First time.Time // least OccurredAt of its events, UTC, whole milliseconds
	Last  time.Time // greatest OccurredAt of its events
}

// Entry is an event on its way into a Store. Stores may rely on its event: texts but for Org are valid UTF-8, metadata is
// nil or a compact JSON object, instants are whole milliseconds in UTC. A Tracker sees to that.
type Entry struct {
	Event       Event
	At          time.Time     // when it was received: windows and quotas go by it, and no store needs a clock
	Key         string        // idempotency key; empty: none. Any bytes, up to 1,100
	Fingerprint Fingerprint   // of the request, kept with the key
	Window      time.Duration // how long the key names the event, more than 0 if there is a key
	Cap         int64         // events that the org may have in the month of At; 0: any number
}

// errEntry is wrapped by the errors of Entry.Check.
var errEntry = errors.New("humanhours: invalid entry")

// Check reports an entry that no store can hold: without an org, an id, a receipt time, or a window for its key. Stores
// call it on every entry before they write; a Tracker never makes such an entry.
func (e *Entry) Check() error {
	switch {
	case e.Event.Org == "":
		return fmt.Errorf("%w: the event has no org", errEntry)
	case e.Event.ID == "":
		return fmt.Errorf("%w: the event has no id", errEntry)
	case e.At.IsZero():
		return fmt.Errorf("%w: it has no receipt time", errEntry)
	case e.Key != "" && e.Window <= 0:
		return fmt.Errorf("%w: it has a key and no window", errEntry)
	}
	return nil
}

// Appended is what became of an Entry.
type Appended struct {
	// Event is what is stored now: the one that was there first, or the given one. It may be the entry's own, and so last as long as that, or the one of
	// other answers: nobody writes to it. nil if refused or failed.
	Event         *Event
	Replayed      bool  // the key named an event already; Event is that one
	Mismatch      bool  // Replayed, and the fingerprint differs
	QuotaExceeded bool  // refused; nothing was stored
	Err           error // the backend broke; the outcome of this entry is unknown
}

// ReplayQuery asks what a key names.
type ReplayQuery struct {
	Org         string
	Key         string
	Fingerprint Fingerprint // of the request that asks
	At          time.Time
}

// Replay is what a key names.
type Replay struct {
	Event    Event
	Found    bool
	Mismatch bool // Found, and the fingerprint differs
}

// EventOrder is the order of a query.
type EventOrder int

const (
	// ByOccurred orders by (OccurredAt, ID). It is the default.
	ByOccurred EventOrder = iota
	// ByReceived orders by (ReceivedAt, ID): what came since a cursor stays after it, so that it suits copying.
	ByReceived
)

// EventQuery asks for the events of one org. Its zero value but for Org asks for all of them, oldest first.
type EventQuery struct {
	Org        string
	From       time.Time  // inclusive, on the instant of Order; zero: no bound
	To         time.Time  // exclusive, likewise
	Order      EventOrder // ByOccurred or ByReceived
	Descending bool       // newest first
	After      Cursor     // start after this position, in the direction of the query; zero: at the start
	Limit      int        // yield at most this many; 0: all
	// Sparse lets the store leave out what few reports need, if it is faster so: KeyID, ReceivedAt, AgentDuration, Usage, LLMCalls, AuditSample,
	// Baseline.Minutes, HourlyRate, Credited, Scale, and of Cost all but Source and UnpricedModel. What amendments say is whole. It goes with ByOccurred.
	Sparse bool
	// Bare lets it leave out AgentID, TaskType, Baseline.Source and Cost.Source too, of events that are Sparse.
	Bare bool
}

// Cursor is a position in an ordered stream of events, as CursorOf returns it: At is whole milliseconds. It stays valid
// when events come and go.
type Cursor struct {
	At time.Time
	ID string
}

// IsZero reports whether c is the start of the stream.
func (c Cursor) IsZero() bool { return c.ID == "" && c.At.IsZero() }

// CursorOf returns the position of e in the stream of q.
func (q EventQuery) CursorOf(e *Event) Cursor {
	if q.Order == ByReceived {
		return Cursor{At: e.ReceivedAt, ID: e.ID}
	}
	return Cursor{At: e.OccurredAt, ID: e.ID}
}

// Month is a calendar month in UTC.
type Month struct {
	Year  int
	Month time.Month
}

// MonthOf returns the UTC month that t is in.
func MonthOf(t time.Time) Month {
	year, month, _ := t.UTC().Date()
	return Month{Year: year, Month: month}
}

// Start returns the first instant of m. Its end is m.Next().Start().
func (m Month) Start() time.Time { return time.Date(m.Year, m.Month, 1, 0, 0, 0, 0, time.UTC) }

// Next returns the month after m.
func (m Month) Next() Month { return MonthOf(m.Start().AddDate(0, 1, 0)) }

// String returns m as "2026-05".
func (m Month) String() string { return m.Start().Format("2006-01") }
