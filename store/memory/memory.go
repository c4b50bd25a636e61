// Package memory keeps everything in the process: for tests, demos and programs that can afford to forget. It
// fulfils the same contracts as the durable stores, and is proven by the same suite.
//
// Memory grows with every event and is never given back; a durable store is the right choice for a long-running service.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/compact"
)

var (
	_ humanhours.Store    = (*Store)(nil)
	_ humanhours.Reporter = (*Store)(nil)
	_ humanhours.OrgStore = (*Store)(nil)
	_ humanhours.KeyStore = (*Store)(nil)
)

// Store is a humanhours.Store, OrgStore and KeyStore in memory. Make one with New. It is safe for concurrent use.
type Store struct {
	mu      sync.RWMutex // guards the map, not the partitions
	tenants map[string]*tenant

	orgs settings
	keys keyring
}

// New returns an empty Store.
func New() *Store {
	return &Store{
		tenants: make(map[string]*tenant),
		orgs:    settings{byID: make(map[string]orgRecord)},
		keys:    keyring{byID: make(map[string]humanhours.APIKey)},
	}
}

// tenant holds the events of one org.
type tenant struct {
	org      string
	mu       sync.Mutex
	arena    arena
	ids      index  // by id
	keys     places // by idempotency key: the event that it names, or named
	months   map[humanhours.Month]int64
	agents   [2]map[string]*seen               // of live events, and of test events
	amended  map[string][]humanhours.Amendment // by id of the event; a list that is here is never written to
	sums     map[int64]*day
	occurred index
	received index
}

// seen is when an agent's events occurred, in Unix milliseconds.
type seen struct{ first, last int64 }

// tenant returns the partition of an org, or nil if it has none and create is false.
func (s *Store) tenant(org string, create bool) *tenant {
	s.mu.RLock()
	t := s.tenants[org]
	s.mu.RUnlock()
	if t != nil || !create {
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t = s.tenants[org]; t == nil {
		t = &tenant{
			org:     org,
			keys:    newPlaces(),
			months:  make(map[humanhours.Month]int64),
			agents:  [2]map[string]*seen{{}, {}},
			amended: make(map[string][]humanhours.Amendment),
			sums:    make(map[int64]*day),
		}
		t.ids.arena, t.occurred.arena, t.received.arena = &t.arena, &t.arena, &t.arena
		s.tenants[org] = t
	}
	return t
}

// Append implements humanhours.Store.
func (s *Store) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := make([]humanhours.Appended, len(entries))
	for i := range entries {
		if err := ctx.Err(); err != nil {
			results[i].Err = err
			continue
		}
		if err := entries[i].Check(); err != nil {
			results[i].Err = err
			continue
		}
		s.tenant(entries[i].Event.Org, true).append(&entries[i], &results[i])
	}
	return results
}

func (t *tenant) append(entry *humanhours.Entry, result *humanhours.Appended) {
	event := &entry.Event
	// Encoded before the lock: it is the greater part of the work.
	var buf [1024]byte
	stored := compact.Append(buf[:0], event)
	adds := event.Rollup()
	t.mu.Lock()
	defer t.mu.Unlock()
	stands := byID(event.ID)
	chunk, i := t.ids.find(stands)
	if there, ok := t.ids.holds(chunk, i, stands); ok {
		t.answer(there, result)
		return
	}
	var key uint64
	if entry.Key != "" {
		there, hash, ok := t.keys.find(&t.arena, entry.Key)
		if key = hash; ok {
			if first := t.arena.at(there); first.holds(entry.At) {
				result.Replayed, result.Mismatch = true, first.differs(entry.Fingerprint)
				t.answer(there, result)
				return
			}
		}
	}
	if !event.Test {
		month := humanhours.MonthOf(entry.At)
		if entry.Cap > 0 && t.months[month] >= entry.Cap {
			result.QuotaExceeded = true
			return
		}
		t.months[month]++
	}
	at := t.arena.put(entry, stored)
	t.ids.insertAt(chunk, i, item{stands.rank, at})
	if entry.Key != "" {
		t.keys.by[key] = at // Keys that have expired stay until they are used again: until when entries may come late, is not known here.
	}
	t.occurred.insert(item{event.OccurredAt.UnixMilli(), at}, event.ID)
	t.received.insert(item{event.ReceivedAt.UnixMilli(), at}, event.ID)
	see(t.agents[space(event.Test)], event.AgentID, event.OccurredAt.UnixMilli())
	t.sum(&adds)
	result.Event = event
}

// space is which of tenant.agents an event belongs to.
func space(test bool) int {
	if test {
		return 1
	}
	return 0
}

func see(agents map[string]*seen, id string, occurred int64) {
	there := agents[id]
	if there == nil {
		// A copy, or the map would keep the request alive that the id was cut from.
		agents[strings.Clone(id)] = &seen{first: occurred, last: occurred}
		return
	}
	there.first, there.last = min(there.first, occurred), max(there.last, occurred)
}

// Agents implements humanhours.Store.
func (s *Store) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := s.tenant(org, false)
	if t == nil {
		return nil, nil
	}
	var list []humanhours.AgentSeen
	t.mu.Lock()
	for id, when := range t.agents[space(test)] {
		list = append(list, humanhours.AgentSeen{ID: id, First: time.UnixMilli(when.first).UTC(), Last: time.UnixMilli(when.last).UTC()})
	}
	t.mu.Unlock()
	slices.SortFunc(list, func(a, b humanhours.AgentSeen) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// answer completes a result with the event at a place, as it was stored.
func (t *tenant) answer(at place, result *humanhours.Appended) {
	event, err := t.arena.at(at).event(t.org, false)
	if err != nil {
		*result = humanhours.Appended{Err: err}
		return
	}
	result.Event = &event
}

// Replay implements humanhours.Store.
func (s *Store) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Replay{}, err
	}
	t := s.tenant(q.Org, false)
	if t == nil {
		return humanhours.Replay{}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at, _, ok := t.keys.find(&t.arena, q.Key)
	if !ok || !t.arena.at(at).holds(q.At) {
		return humanhours.Replay{}, nil
	}
	event, err := t.arena.at(at).event(t.org, false)
	return humanhours.Replay{Event: event, Found: err == nil, Mismatch: t.arena.at(at).differs(q.Fingerprint)}, err
}

// Event implements humanhours.Store.
func (s *Store) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Event{}, false, err
	}
	t := s.tenant(org, false)
	if t == nil {
		return humanhours.Event{}, false, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.ids.at(byID(id))
	if !ok {
		return humanhours.Event{}, false, nil
	}
	event, err := t.shown(at)
	return event, err == nil, err
}

// shown is the event at a place with its amendments. It is called with the lock held.
func (t *tenant) shown(at place) (humanhours.Event, error) {
	event, err := t.arena.at(at).event(t.org, false)
	return amend(event, t.amended[event.ID]), err
}

// amend gives an event its amendments.
func amend(event humanhours.Event, list []humanhours.Amendment) humanhours.Event {
	event.Amendments = slices.Clone(list)
	for i := range event.Amendments {
		event.Amendments[i].LLMCalls = slices.Clone(event.Amendments[i].LLMCalls)
	}
	return event
}

// Amend implements humanhours.Store.
func (s *Store) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Amended{}, err
	}
	t := s.tenant(q.Org, false)
	if t == nil {
		return humanhours.Amended{}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.ids.at(byID(q.ID))
	if !ok {
		return humanhours.Amended{}, nil
	}
	list := t.amended[q.ID]
	stored := len(list) == q.Base
	if stored {
		before, err := t.shown(at)
		if err != nil {
			return humanhours.Amended{}, err
		}
		if q.Amendment.Kind == humanhours.AmendRedact {
			if err := t.arena.at(at).redact(); err != nil {
				return humanhours.Amended{}, err
			}
		}
		a := q.Amendment
		a.At = a.At.UTC().Truncate(time.Millisecond)
		a.LLMCalls = slices.Clone(a.LLMCalls)
		t.amended[q.ID] = append(slices.Clip(list), a)
		t.amend(before, a)
		s.orgs.note(q.Org, q.Change)
	}
	event, err := t.shown(at)
	return humanhours.Amended{Event: event, Found: true, Stored: stored}, err
}

// What a query reads at a time, while it holds the lock: so many events, and not many more bytes.
const (
	page      = 256
	pageBytes = 1 << 20
)

// Events implements humanhours.Store.
func (s *Store) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(humanhours.Event{}, err)
			return
		}
		t := s.tenant(q.Org, false)
		if t == nil {
			return
		}
		idx := &t.occurred
		if q.Order == humanhours.ByReceived {
			idx = &t.received
		}
		r := newSpan(q)
		var items []item
		var copied []byte // the records of a page: what is in the arena may be redacted
		var amended [][]humanhours.Amendment
		last := ""
		for left := q.Limit; ; {
			t.mu.Lock()
			most := page
			if left > 0 {
				most = min(left, page)
			}
			items = idx.read(items[:0], r, most)
			more := len(items) == most
			copied, amended = copied[:0], amended[:0]
			for i := range items {
				rec := t.arena.at(items[i].at)
				copied, amended = append(copied, rec...), append(amended, t.amended[string(rec.id())])
				if len(copied) > pageBytes && i+1 < len(items) {
					items, more = items[:i+1], true
					break
				}
			}
			t.mu.Unlock()
			rest := record(copied)
			for i := range items {
				rec := rest[:rest.size()]
				rest = rest[len(rec):]
				event, err := rec.event(t.org, q.Sparse)
				event = amend(event, amended[i])
				if cancelled := ctx.Err(); cancelled != nil {
					err = cancelled
				}
				if err != nil {
					yield(humanhours.Event{}, err)
					return
				}
				last = event.ID
				if !yield(event, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if !more {
				return
			}
			r = r.after(position{rank: items[len(items)-1].rank, id: last})
		}
	}
}

// Usage implements humanhours.Store.
func (s *Store) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	t := s.tenant(org, false)
	if t == nil {
		return 0, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.months[month], nil
}

// settings is the OrgStore part. Orgs are kept encoded, so that no caller can reach what is stored.
type settings struct {
	mu   sync.RWMutex
	byID map[string]orgRecord
}

type orgRecord struct {
	version int64
	stored  []byte
	history []humanhours.Change // append-only: a shorter slice of it that was handed out stays as it is
}

// note appends a change to the history of an org, which need not have settings.
func (s *settings) note(id string, c humanhours.Change) {
	c.At = c.At.UTC().Truncate(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	org := s.byID[id]
	org.history = append(org.history, c)
	s.byID[id] = org
}

func (r orgRecord) decode(id string) (humanhours.Org, error) {
	org := humanhours.Org{ID: id}
	if r.stored == nil {
		return org, nil
	}
	err := json.Unmarshal(r.stored, &org)
	org.ID, org.Version = id, r.version // the id as it is: JSON would mend invalid UTF-8 in it
	return org, err
}

// Org implements humanhours.OrgStore.
func (s *Store) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Org{}, false, err
	}
	s.orgs.mu.RLock()
	r, ok := s.orgs.byID[id]
	s.orgs.mu.RUnlock()
	if !ok || r.version == 0 { // there may be history all the same
		return humanhours.Org{}, false, nil
	}
	org, err := r.decode(id)
	return org, err == nil, err
}

// UpdateOrg implements humanhours.OrgStore. f runs without a lock, so it may call the store.
func (s *Store) UpdateOrg(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error) {
	for {
		if err := ctx.Err(); err != nil {
			return humanhours.Org{}, err
		}
		s.orgs.mu.RLock()
		was := s.orgs.byID[id]
		s.orgs.mu.RUnlock()
		org, err := was.decode(id)
		if err != nil {
			return humanhours.Org{}, err
		}
		changes, err := f(&org)
		if err != nil {
			return humanhours.Org{}, err
		}
		org.ID, org.Version = id, was.version+1
		stored, err := json.Marshal(org)
		if err != nil {
			return humanhours.Org{}, fmt.Errorf("memory: encode org: %w", err)
		}
		s.orgs.mu.Lock()
		now := s.orgs.byID[id]
		swapped := now.version == was.version
		if swapped {
			s.orgs.byID[id] = orgRecord{version: org.Version, stored: stored, history: append(now.history, changes...)}
		}
		s.orgs.mu.Unlock()
		if swapped {
			return org.Clone(), nil
		}
	}
}

// History implements humanhours.OrgStore.
func (s *Store) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.orgs.mu.RLock()
	defer s.orgs.mu.RUnlock()
	all := s.orgs.byID[q.Org].history
	first, last := 0, len(all)
	if q.Before > 0 {
		last = int(min(int64(last), q.Before-1))
	}
	if q.Limit > 0 {
		first = max(0, last-q.Limit)
	}
	changes := append([]humanhours.Change(nil), all[first:last]...)
	for i := range changes {
		changes[i].Seq = int64(first + i + 1)
	}
	return changes, nil
}
