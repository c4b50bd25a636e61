package sqlite

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
)

// name is an id or a key within an org.
type name struct{ org, text string }

// holder is what a key names.
type holder struct {
	event       *humanhours.Event
	fingerprint humanhours.Fingerprint
	expires     int64 // Unix milliseconds
}

// account is what a quota counts in: an org and a UTC month.
type account struct {
	org, month string
}

// agent is what an org's events name, those of test events apart.
type agent struct {
	org, id string
	test    bool
}

// span is the first and the last of some instants, in Unix milliseconds.
type span struct{ first, last int64 }

// group is the plan of one Append. The writer's lock is held while it is made and carried out, so what was read stays true, and
// what a group may meet is looked up at once.
type group struct {
	entries []humanhours.Entry
	results []humanhours.Appended

	stored map[name]*humanhours.Event // by id: found, or planned; read only
	keys   map[name]holder            // found, or planned
	used   map[account]int64
	added  map[account]int64
	seen   map[agent]span // of the events to write
	sums   blocks         // likewise

	// known: it was looked up which ids are stored. Hardly any ever comes twice, so this is put off until it matters: when an entry would be
	// a replay or be refused, or when the index of ids refuses one.
	known bool

	bound   [][]any // the row of events for each entry that is valid
	events  [][]any // those to write
	keyRows [][]any // rows of idempotency that are new
	retaken [][]any // rows that take the place of others
}

// Append implements humanhours.Store. All entries are committed in one transaction, with one sync of the file. An entry whose decimals
// do not fit whole 1e-9 units in 64 bits fails alone; no event that a Tracker makes is like that. When the database fails, every entry
// of the call has the error.
func (s *Store) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results, err := s.append(ctx, entries)
	if err != nil && len(entries) > 1 && alone(err) {
		// Something in one of them, and nobody knows in which.
		for i := range entries {
			if results[i].Err != nil {
				continue // invalid
			}
			one, err := s.append(ctx, entries[i:i+1])
			if results[i] = one[0]; err != nil {
				results[i] = humanhours.Appended{Err: err}
			}
		}
		return results
	}
	if err != nil {
		for i := range results {
			if results[i].Err == nil {
				results[i] = humanhours.Appended{Err: err}
			}
		}
	}
	return results
}

// alone reports whether an error is about a value, and not about the database.
func alone(err error) bool {
	c := code(err)
	return c == codeTooBig || c == codeConstraint
}

// append stores entries in one transaction. With an error, results hold only which entries were invalid.
func (s *Store) append(ctx context.Context, entries []humanhours.Entry) ([]humanhours.Appended, error) {
	results, err := s.tryAppend(ctx, entries, false)
	if err != nil && code(err) == codeConstraint { // some id is there
		return s.tryAppend(ctx, entries, true)
	}
	return results, err
}

// tryAppend runs one transaction.
func (s *Store) tryAppend(ctx context.Context, entries []humanhours.Entry, known bool) ([]humanhours.Appended, error) {
	g := &group{entries: entries, results: make([]humanhours.Appended, len(entries)), known: known}
	if err := ctx.Err(); err != nil {
		return g.results, err
	}
	for i := range entries {
		g.results[i].Err = entries[i].Check()
	}
	var invalid []error
	err := s.write.do(ctx, func(ctx context.Context, w *writer) error {
		g.bind(w)
		invalid = make([]error, len(entries))
		for i := range entries {
			invalid[i] = g.results[i].Err
		}
		if err := g.find(ctx, w); err != nil {
			return err
		}
		if err := g.plan(ctx, w); err != nil {
			return err
		}
		if err := g.store(ctx, w); err != nil {
			return err
		}
		if err := s.forget(ctx, w, g); err != nil {
			return err
		}
		return w.sum(ctx, g.sums)
	})
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("sqlite: append to %s: %w", s.name, err)
		}
		for i, broken := range invalid { // what was planned did not happen
			g.results[i] = humanhours.Appended{Err: broken}
		}
		return g.results, err
	}
	return g.results, nil
}

// bind makes the rows of the valid entries, in memory that the writer keeps. An event that would lose digits is found here, before anything is written.
func (g *group) bind(w *writer) {
	bound := binder{args: w.bound[:0]}
	defer func() { w.bound = bound.args }() // to be cleared, also after a panic
	g.bound = make([][]any, len(g.entries))
	for i := range g.entries {
		if g.results[i].Err != nil {
			continue
		}
		start := len(bound.args)
		bound.event(&g.entries[i].Event)
		g.results[i].Err, bound.err = bound.err, nil
		g.bound[i] = bound.args[start:len(bound.args):len(bound.args)]
	}
}

// How many rows are looked for with one statement. A few sizes are enough for any group, and each is prepared once. What is written goes a
// row at a time: the driver binds parameters in time that grows with the square of their number.
var lookups = [...]int{32, 8, 1}

// inLookups calls f with the arguments of n pairs at a time, n being one of lookups, until all pairs are done.
func inLookups(args []any, f func(n int, args []any) error) error {
	for _, n := range lookups {
		for len(args) >= 2*n {
			if err := f(n, args[:2*n]); err != nil {
				return err
			}
			args = args[2*n:]
		}
	}
	return nil
}

// each runs a statement for every row.
func (w *writer) each(ctx context.Context, query string, rows [][]any) error {
	for _, row := range rows {
		if _, err := w.exec(ctx, query, row...); err != nil {
			return err
		}
	}
	return nil
}

// tuples returns n times "(?, ?, ...)" of a width.
func tuples(n, width int) string {
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	return one + strings.Repeat(", "+one, n-1)
}

// perLookup makes a statement for each size in lookups.
func perLookup(make func(n int) string) map[int]string {
	all := map[int]string{}
	for _, n := range lookups {
		all[n] = make(n)
	}
	return all
}

// queries holds the long statements. Their text is made once.
type queries struct {
	byID, byKey                                    map[int]string
	insertKey, replaceKey, putAgent, event, replay string
	amended                                        string // event with its amendments
	inserts                                        shapes
	pages                                          map[pageKind]string
}

const (
	keyRow   = "idempotency (org, key, event_id, fingerprint, expires_at_ms, forget_at_ms)"
	keyWidth = 6
)

func newQueries() queries {
	// CROSS JOIN keeps the order: the few that are wanted, then a look-up in the index for each.
	return queries{
		byID: perLookup(func(n int) string {
			return "WITH want (org, id) AS (VALUES " + tuples(n, 2) + ") SELECT e.org, e.id FROM want" +
				" CROSS JOIN events AS e ON e.org = want.org AND e.id = want.id"
		}),
		byKey: perLookup(func(n int) string {
			return "WITH want (org, key) AS (VALUES " + tuples(n, 2) + ") SELECT k.org, k.key FROM want" +
				" CROSS JOIN idempotency AS k ON k.org = want.org AND k.key = want.key"
		}),
		inserts:    newShapes(),
		insertKey:  "INSERT OR ROLLBACK INTO " + keyRow + " VALUES " + tuples(1, keyWidth),
		replaceKey: "INSERT OR REPLACE INTO " + keyRow + " VALUES " + tuples(1, keyWidth),
		putAgent: "INSERT INTO agents (org, agent_id, test, first_occurred_at_ms, last_occurred_at_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET" +
			" first_occurred_at_ms = min(first_occurred_at_ms, excluded.first_occurred_at_ms)," +
			" last_occurred_at_ms = max(last_occurred_at_ms, excluded.last_occurred_at_ms)" +
			" WHERE excluded.first_occurred_at_ms < first_occurred_at_ms OR excluded.last_occurred_at_ms > last_occurred_at_ms",
		event:   "SELECT " + selected("") + " FROM events WHERE org = ? AND id = ?",
		amended: "SELECT " + selected("") + ", " + amendmentsOf + " FROM events WHERE org = ? AND id = ?",
		replay: "SELECT " + selected("e.") + ", k.fingerprint, k.expires_at_ms FROM idempotency AS k" +
			" CROSS JOIN events AS e ON e.org = k.org AND e.id = k.event_id WHERE k.org = ? AND k.key = ? AND k.expires_at_ms > ?",
		pages: pageQueries(),
	}
}

// find reads the events and keys that the group may meet.
func (g *group) find(ctx context.Context, w *writer) error {
	g.stored, g.keys = make(map[name]*humanhours.Event, len(g.entries)), make(map[name]holder, len(g.entries))
	g.used, g.added, g.seen = make(map[account]int64), make(map[account]int64), make(map[agent]span)
	g.sums = make(blocks)
	if g.known {
		if err := g.findIDs(ctx, w); err != nil {
			return err
		}
	}
	var keys []any
	for i := range g.entries {
		if e := &g.entries[i]; g.results[i].Err == nil && e.Key != "" {
			keys = append(keys, e.Event.Org, e.Key)
		}
	}
	var found []name
	err := inLookups(keys, func(n int, args []any) error {
		return w.query(ctx, func(scan scan) error {
			var key name
			err := scan(&key.org, &key.text)
			found = append(found, key)
			return err
		}, w.text.byKey[n], args...)
	})
	if err != nil {
		return err
	}
	for _, key := range found {
		// The row may have outlived its event, which retention deletes in another order: then the key is free, and its row is replaced.
		g.keys[key] = holder{expires: math.MinInt64}
		var h holder
		err := w.query(ctx, func(scan scan) (err error) {
			h, err = scanHolder(scan)
			g.keys[key] = h
			return err
		}, w.text.replay, key.org, key.text, math.MinInt64)
		if err != nil {
			return err
		}
	}
	return nil
}

// findIDs reads those events of the group that are stored already.
func (g *group) findIDs(ctx context.Context, w *writer) error {
	g.known = true
	var ids []any
	for i := range g.entries {
		if e := &g.entries[i]; g.results[i].Err == nil {
			ids = append(ids, e.Event.Org, e.Event.ID)
		}
	}
	// Short rows first: of most entries there is nothing, and a statement with all columns costs even when it finds no row.
	var found []name
	err := inLookups(ids, func(n int, args []any) error {
		return w.query(ctx, func(scan scan) error {
			var id name
			err := scan(&id.org, &id.text)
			found = append(found, id)
			return err
		}, w.text.byID[n], args...)
	})
	if err != nil {
		return err
	}
	for _, id := range found {
		event, ok, err := w.event(ctx, id)
		if err != nil {
			return err
		}
		if ok {
			g.stored[id] = &event
		}
	}
	return nil
}

// event reads one event in the transaction, as it was stored.
func (w *writer) event(ctx context.Context, id name) (event humanhours.Event, found bool, err error) {
	err = w.query(ctx, func(scan scan) (err error) {
		event, err = scanEvent(scan)
		found = err == nil
		return err
	}, w.text.event, id.org, id.text)
	return event, found, err
}

func scanHolder(scan scan) (holder, error) {
	var h holder
	var fingerprint []byte
	event, err := scanEvent(scan, &fingerprint, &h.expires)
	h.event = &event
	if err == nil && len(fingerprint) != len(h.fingerprint) {
		err = fmt.Errorf("sqlite: the fingerprint of event %s has %d bytes, want %d", h.event.ID, len(fingerprint), len(h.fingerprint))
	}
	if err != nil {
		return holder{}, err
	}
	h.fingerprint = humanhours.Fingerprint(fingerprint)
	return h, nil
}

const usageQuery = "SELECT events FROM usage WHERE org = ? AND month = ?"

// plan decides what becomes of each entry, in order.
func (g *group) plan(ctx context.Context, w *writer) error {
	for i := range g.entries {
		if g.results[i].Err != nil {
			continue
		}
		decided, err := g.planOne(ctx, w, i)
		if err == nil && !decided {
			if err = g.findIDs(ctx, w); err == nil {
				_, err = g.planOne(ctx, w, i)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// planOne decides about one entry. False: first it must be known which ids are stored.
func (g *group) planOne(ctx context.Context, w *writer, i int) (decided bool, err error) {
	entry, result := &g.entries[i], &g.results[i]
	event := &entry.Event
	id, at := name{event.Org, event.ID}, entry.At.UnixMilli()
	if there, ok := g.stored[id]; ok {
		*result = humanhours.Appended{Event: there}
		return true, nil
	}
	key := name{event.Org, entry.Key}
	if entry.Key != "" {
		if h, ok := g.keys[key]; ok && at < h.expires {
			*result = humanhours.Appended{Event: h.event, Replayed: true, Mismatch: h.fingerprint != entry.Fingerprint}
			return g.known, nil
		}
	}
	if !event.Test {
		month := account{event.Org, humanhours.MonthOf(entry.At).String()}
		used, ok := g.used[month]
		if !ok {
			err := w.query(ctx, func(scan scan) error { return scan(&used) }, usageQuery, month.org, month.month)
			if err != nil {
				return false, err
			}
		}
		if entry.Cap > 0 && used >= entry.Cap {
			g.used[month], result.QuotaExceeded = used, true
			return g.known, nil
		}
		g.used[month] = used + 1
		g.added[month]++
	}
	result.Event = event
	g.stored[id] = event
	g.events = append(g.events, g.bound[i])
	g.see(event)
	adds := event.Rollup()
	g.sums.of(slotOf(event)).Add(&adds)
	if entry.Key != "" {
		g.claim(key, entry)
	}
	return true, nil
}

// see plans the row of an event's agent.
func (g *group) see(event *humanhours.Event) {
	a, at := agent{event.Org, event.AgentID, event.Test}, event.OccurredAt.UnixMilli()
	s, ok := g.seen[a]
	if !ok {
		s = span{at, at}
	}
	g.seen[a] = span{min(s.first, at), max(s.last, at)}
}

// claim plans the row of a key.
func (g *group) claim(key name, entry *humanhours.Entry) {
	window := entry.Window.Milliseconds()
	if entry.Window%time.Millisecond != 0 {
		window++
	}
	expires := entry.At.UnixMilli() + window
	_, taken := g.keys[key]
	g.keys[key] = holder{event: &entry.Event, fingerprint: entry.Fingerprint, expires: expires}
	row := []any{key.org, key.text, entry.Event.ID, entry.Fingerprint[:], expires, expires + slack(window)}
	if taken {
		g.retaken = append(g.retaken, row)
		return
	}
	g.keyRows = append(g.keyRows, row)
}

// store writes what was planned.
func (g *group) store(ctx context.Context, w *writer) error {
	for _, row := range g.events {
		query, args := w.text.inserts.insert(shaped(row))
		if _, err := w.exec(ctx, query, args...); err != nil {
			return err
		}
	}
	if err := w.each(ctx, w.text.insertKey, g.keyRows); err != nil {
		return err
	}
	if err := w.each(ctx, w.text.replaceKey, g.retaken); err != nil {
		return err
	}
	for month, n := range g.added {
		_, err := w.exec(ctx, "INSERT INTO usage (org, month, events) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events",
			month.org, month.month, n)
		if err != nil {
			return err
		}
	}
	for a, s := range g.seen {
		if _, err := w.exec(ctx, w.text.putAgent, a.org, a.id, a.test, s.first, s.last); err != nil {
			return err
		}
	}
	return nil
}
