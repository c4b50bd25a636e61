package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/shopspring/decimal"
)

// The stores in this file are broken on purpose, each in one way that stores are broken in practice. A suite that
// lets one of them through proves nothing.

// stall is what lies between the two steps of a store that should take one: a moment in which others go on.
func stall() {
	for range 20 {
		runtime.Gosched()
	}
}

// twisted is an honest store with something put in the way.
type twisted struct {
	humanhours.Store
	entry  func(*humanhours.Entry)                          // changes entries on their way in
	answer func(humanhours.Entry, *humanhours.Appended)     // changes answers to Append
	event  func(*humanhours.Event)                          // changes events that are read
	ask    func(*humanhours.ReplayQuery)                    // changes what Replay is asked
	found  func(humanhours.ReplayQuery, *humanhours.Replay) // changes what Replay finds
	query  func(*humanhours.EventQuery)                     // changes what Events is asked
	ctx    func(context.Context) context.Context            // changes the context of everything
	org    func(string) string                              // changes every org
	key    func(string) string                              // changes every key
	seen   func(*humanhours.AgentSeen)                      // changes agents that are read
	amend  func(*humanhours.AmendQuery)                     // changes amendments on their way in
	shown  func(*humanhours.Event)                          // changes events that are shown with their amendments
	listed func(*humanhours.Event)                          // changes events of a list
}

func call[T any](f func(*T), v *T) {
	if f != nil {
		f(v)
	}
}

func rename(f func(string) string, name string) string {
	if f == nil {
		return name
	}
	return f(name)
}

func (s *twisted) context(ctx context.Context) context.Context {
	if s.ctx == nil {
		return ctx
	}
	return s.ctx(ctx)
}

func (s *twisted) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	changed := slices.Clone(entries)
	for i := range changed {
		e := &changed[i]
		e.Event.Org, e.Key = rename(s.org, e.Event.Org), rename(s.key, e.Key)
		call(s.entry, e)
	}
	results := s.Store.Append(s.context(ctx), changed)
	for i := range results {
		a := &results[i]
		if a.Event != nil {
			event := a.Event.Clone() // it may be that of the entry
			a.Event = &event
			a.Event.Org = entries[i].Event.Org
			call(s.event, a.Event)
		}
		if s.answer != nil {
			s.answer(entries[i], a)
		}
	}
	return results
}

func (s *twisted) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	org := q.Org
	q.Org, q.Key = rename(s.org, q.Org), rename(s.key, q.Key)
	call(s.ask, &q)
	r, err := s.Store.Replay(s.context(ctx), q)
	if r.Found {
		r.Event.Org = org
		call(s.event, &r.Event)
	}
	if s.found != nil {
		s.found(q, &r)
	}
	return r, err
}

func (s *twisted) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	e, ok, err := s.Store.Event(s.context(ctx), rename(s.org, org), id)
	if ok {
		e.Org = org
		call(s.event, &e)
		call(s.shown, &e)
	}
	return e, ok, err
}

func (s *twisted) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	org := q.Org
	q.Org = rename(s.org, q.Org)
	call(s.amend, &q)
	a, err := s.Store.Amend(s.context(ctx), q)
	if a.Found {
		a.Event.Org = org
		call(s.event, &a.Event)
		call(s.shown, &a.Event)
	}
	return a, err
}

func (s *twisted) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	org := q.Org
	q.Org = rename(s.org, q.Org)
	call(s.query, &q)
	return func(yield func(humanhours.Event, error) bool) {
		for e, err := range s.Store.Events(s.context(ctx), q) {
			if err == nil {
				e.Org = org
				call(s.event, &e)
				call(s.shown, &e)
				call(s.listed, &e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (s *twisted) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	return s.Store.Usage(s.context(ctx), rename(s.org, org), month)
}

func (s *twisted) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	list, err := s.Store.Agents(s.context(ctx), rename(s.org, org), test)
	for i := range list {
		call(s.seen, &list[i])
	}
	return list, err
}

// loose is a store that keeps its own list of keys beside an honest store of events.
type loose struct {
	humanhours.Store
	name    func(org, key string) string           // what a key is filed under; defaults to what cannot collide
	between func()                                 // happens between looking and writing; nil: both are one step
	burns   bool                                   // a refused entry claims its key
	again   func(c *claim, e humanhours.Entry)     // happens to a claim when it is replayed
	ahead   bool                                   // looks up all keys of a batch before it writes
	idAfter bool                                   // looks at the key before the id
	expired func(c claim, e humanhours.Entry) bool // defaults to the contract

	mu     sync.Mutex
	claims map[string]claim
}

type claim struct {
	org, id string
	print   humanhours.Fingerprint
	until   time.Time
}

func (s *loose) file(org, key string) string {
	if s.name != nil {
		return s.name(org, key)
	}
	return string(rune(len(org))) + org + key
}

func (s *loose) look(ctx context.Context, e humanhours.Entry) (humanhours.Appended, bool) {
	c, ok := s.claims[s.file(e.Event.Org, e.Key)]
	over := !e.At.Before(c.until)
	if s.expired != nil {
		over = s.expired(c, e)
	}
	if !ok || over {
		return humanhours.Appended{}, false
	}
	if s.again != nil {
		s.again(&c, e)
		s.claims[s.file(e.Event.Org, e.Key)] = c
	}
	event, _, err := s.Store.Event(ctx, c.org, c.id)
	event.Amendments = nil
	return humanhours.Appended{Event: &event, Err: err, Replayed: true, Mismatch: c.print != e.Fingerprint}, true
}

func (s *loose) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := make([]humanhours.Appended, len(entries))
	known := make([]bool, len(entries))
	look := func(i int) {
		e := entries[i]
		if e.Key == "" || e.Check() != nil {
			return
		}
		if _, ok, _ := s.Store.Event(ctx, e.Event.Org, e.Event.ID); ok && !s.idAfter {
			return
		}
		results[i], known[i] = s.look(ctx, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims == nil {
		s.claims = make(map[string]claim)
	}
	if s.ahead {
		for i := range entries {
			look(i)
		}
	}
	for i, e := range entries {
		if !s.ahead {
			look(i)
		}
		if known[i] {
			continue
		}
		if s.between != nil {
			s.mu.Unlock()
			s.between()
			s.mu.Lock()
		}
		_, stored, _ := s.Store.Event(ctx, e.Event.Org, e.Event.ID)
		keyless := e
		if e.Check() == nil {
			keyless.Key = ""
		}
		results[i] = s.Store.Append(ctx, []humanhours.Entry{keyless})[0]
		if e.Key != "" && results[i].Err == nil && !stored && (s.burns || !results[i].QuotaExceeded) {
			s.claims[s.file(e.Event.Org, e.Key)] = claim{e.Event.Org, e.Event.ID, e.Fingerprint, e.At.Add(e.Window)}
		}
	}
	return results
}

func (s *loose) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	if err := ctx.Err(); err != nil {
		return humanhours.Replay{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.again
	s.again = nil
	a, ok := s.look(ctx, humanhours.Entry{Event: humanhours.Event{Org: q.Org}, Key: q.Key, Fingerprint: q.Fingerprint, At: q.At})
	s.again = again
	if !ok {
		return humanhours.Replay{}, nil
	}
	return humanhours.Replay{Event: *a.Event, Found: true, Mismatch: a.Mismatch}, a.Err
}

// miscount is an honest store of events that counts in its own way.
type miscount struct {
	humanhours.Store
	count  func(e humanhours.Entry, a humanhours.Appended) bool // whether an entry is counted once more
	before func()                                               // happens before that
	refuse bool                                                 // refuses whatever comes when the cap is reached

	mu    sync.Mutex
	extra map[string]int64
}

func (s *miscount) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := make([]humanhours.Appended, len(entries))
	for i, e := range entries {
		used, _ := s.Usage(ctx, e.Event.Org, humanhours.MonthOf(e.At))
		if s.refuse && e.Cap > 0 && used >= e.Cap && ctx.Err() == nil && e.Check() == nil {
			results[i].QuotaExceeded = true
			continue
		}
		results[i] = s.Store.Append(ctx, entries[i:i+1])[0]
		if s.count != nil && s.count(e, results[i]) {
			if s.before != nil {
				s.before()
			}
			s.mu.Lock()
			if s.extra == nil {
				s.extra = make(map[string]int64)
			}
			s.extra[e.Event.Org+humanhours.MonthOf(e.At).String()]++
			s.mu.Unlock()
		}
	}
	return results
}

func (s *miscount) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	n, err := s.Store.Usage(ctx, org, month)
	s.mu.Lock()
	defer s.mu.Unlock()
	return n + s.extra[org+month.String()], err
}

// roster is an honest store of events that keeps agents in its own way.
type roster struct {
	humanhours.Store
	name  func(e *humanhours.Event) string                          // what an event's agent is filed under; defaults to its id
	ms    func(time.Time) time.Time                                 // makes instants whole milliseconds; defaults to what was before
	merge func(was *humanhours.AgentSeen, at time.Time)             // changes a row for one more event; defaults to the contract
	more  func(e humanhours.Entry, a humanhours.Appended) bool      // whether an entry that stores no event changes agents all the same
	early func(entries []humanhours.Entry) []humanhours.Entry       // those whose agents are recorded before anything is stored
	apart func()                                                    // happens between an event and its agent; nil: both are one step
	torn  func()                                                    // happens between reading a row and writing it
	list  func([]humanhours.AgentSeen, bool) []humanhours.AgentSeen // changes lists, of live events or of test events

	mu   sync.Mutex
	rows map[row]humanhours.AgentSeen
}

type row struct {
	org, agent string
	test       bool
}

func (s *roster) record(e *humanhours.Event) {
	at := e.OccurredAt.UTC()
	if s.ms != nil {
		at = s.ms(at)
	}
	at = at.Truncate(time.Millisecond)
	key := row{e.Org, e.AgentID, e.Test}
	if s.name != nil {
		key.agent = s.name(e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.rows[key]
	if s.torn != nil {
		s.mu.Unlock()
		s.torn()
		s.mu.Lock()
	}
	switch {
	case !ok:
		was = humanhours.AgentSeen{ID: key.agent, First: at, Last: at}
	case s.merge != nil:
		s.merge(&was, at)
	case at.Before(was.First):
		was.First = at
	case at.After(was.Last):
		was.Last = at
	}
	if s.rows == nil {
		s.rows = make(map[row]humanhours.AgentSeen)
	}
	s.rows[key] = was
}

func (s *roster) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	if s.early != nil {
		for _, e := range s.early(entries) {
			s.record(&e.Event)
		}
		stall()
	}
	results := make([]humanhours.Appended, len(entries))
	for i, e := range entries {
		_, there, _ := s.Store.Event(ctx, e.Event.Org, e.Event.ID)
		a := only(s.Store.Append(ctx, entries[i:i+1]))
		results[i] = a
		if s.apart != nil {
			s.apart()
		}
		if outcome(a) == created && !there || s.more != nil && s.more(e, a) {
			s.record(&e.Event)
		}
	}
	return results
}

func (s *roster) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []humanhours.AgentSeen
	for key, agent := range s.rows {
		if key.org == org && key.test == test {
			list = append(list, agent)
		}
	}
	slices.SortFunc(list, func(a, b humanhours.AgentSeen) int { return strings.Compare(a.ID, b.ID) })
	if s.list != nil {
		list = s.list(list, test)
	}
	return list, ctx.Err()
}

// override replaces single methods of an honest store.
type override struct {
	humanhours.Store
	append func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended
	replay func(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error)
	event  func(ctx context.Context, org, id string) (humanhours.Event, bool, error)
	events func(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error]
	usage  func(ctx context.Context, org string, month humanhours.Month) (int64, error)
	agents func(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error)
	amend  func(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error)
}

func (s override) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	if s.amend == nil {
		return s.Store.Amend(ctx, q)
	}
	return s.amend(ctx, q)
}

func (s override) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	if s.append == nil {
		return s.Store.Append(ctx, entries)
	}
	return s.append(ctx, entries)
}

func (s override) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	if s.replay == nil {
		return s.Store.Replay(ctx, q)
	}
	return s.replay(ctx, q)
}

func (s override) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	if s.event == nil {
		return s.Store.Event(ctx, org, id)
	}
	return s.event(ctx, org, id)
}

func (s override) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	if s.events == nil {
		return s.Store.Events(ctx, q)
	}
	return s.events(ctx, q)
}

func (s override) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	if s.usage == nil {
		return s.Store.Usage(ctx, org, month)
	}
	return s.usage(ctx, org, month)
}

func (s override) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	if s.agents == nil {
		return s.Store.Agents(ctx, org, test)
	}
	return s.agents(ctx, org, test)
}

// all reads what a query yields, and its error.
func all(seq iter.Seq2[humanhours.Event, error]) (list []humanhours.Event, failure error) {
	for e, err := range seq {
		if err != nil {
			failure = err
			continue
		}
		list = append(list, e)
	}
	return list, failure
}

// rearranged is a store that reads events honestly and then yields them as it likes.
func rearranged(f func(q humanhours.EventQuery, list []humanhours.Event) []humanhours.Event, query func(*humanhours.EventQuery)) func() humanhours.Store {
	return func() humanhours.Store {
		s := memory.New()
		return override{Store: s, events: func(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
			return func(yield func(humanhours.Event, error) bool) {
				asked := q
				call(query, &asked)
				list, err := all(s.Events(ctx, asked))
				if err != nil {
					yield(humanhours.Event{}, err)
					return
				}
				if f != nil {
					list = f(q, list)
				}
				for _, e := range list {
					if !yield(e, nil) {
						return
					}
				}
			}
		}}
	}
}

// wallClock is t with the clock's reading taken for UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

func throughFloat(d *decimal.Decimal) {
	f, _ := d.Float64()
	*d = decimal.NewFromFloat(f)
}

// one is a shared store with a single handle.
func one(fresh func() humanhours.Store) func() []humanhours.Store {
	return func() []humanhours.Store { return []humanhours.Store{fresh()} }
}

func twist(t twisted) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := t
		s.Store = memory.New()
		return &s
	})
}

func onKeys(l func() *loose) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := l()
		s.Store = memory.New()
		return s
	})
}

func onCounts(l func() *miscount) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := l()
		s.Store = memory.New()
		return s
	})
}

func onAgents(l func() *roster) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := l()
		s.Store = memory.New()
		return s
	})
}

// with builds a store from an honest one.
func with(f func(s humanhours.Store) humanhours.Store) func() []humanhours.Store {
	return one(func() humanhours.Store { return f(memory.New()) })
}

func on(change func(*humanhours.Event)) func() []humanhours.Store {
	return twist(twisted{entry: func(e *humanhours.Entry) { change(&e.Event) }})
}

func storeLiars() []liar[[]humanhours.Store] {
	type (
		store    = humanhours.Store
		entry    = humanhours.Entry
		appended = humanhours.Appended
		event    = humanhours.Event
		query    = humanhours.EventQuery
		agent    = humanhours.AgentSeen
	)
	return []liar[[]store]{
		// Atomicity.
		{lie: "forgets keys by its own clock", caughtBy: "an entry is stored with its key and its count", fresh: onKeys(func() *loose {
			return &loose{expired: func(c claim, _ entry) bool { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).After(c.until) }}
		})},
		{lie: "counts nothing", caughtBy: "an entry is stored with its key and its count", fresh: with(func(s store) store {
			return override{Store: s, usage: func(context.Context, string, humanhours.Month) (int64, error) { return 0, nil }}
		})},
		{lie: "writes to the caller's entries", caughtBy: "an entry is stored with its key and its count", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				results := s.Append(ctx, entries)
				for i := range entries {
					entries[i].Fingerprint = humanhours.Fingerprint{1}
				}
				return results
			}}
		})},
		{lie: "stores the event before it looks at the quota", caughtBy: "what is refused in a batch leaves nothing behind", fresh: with(storesRefused)},
		{lie: "counts after the event is there", caughtBy: "what can be seen is whole", fresh: with(func(s store) store {
			return countsLate(s)
		})},
		{lie: "counts before the event is there", caughtBy: "what can be seen is whole", fresh: with(func(s store) store {
			return countsEarly(s)
		})},
		{lie: "stores the key before the event", caughtBy: "what can be seen is whole", fresh: with(func(s store) store {
			return keyApart(s, func(claim, write func()) { claim(); stall(); write() })
		})},
		{lie: "stores the event before the key", caughtBy: "what can be seen is whole", fresh: with(func(s store) store {
			return keyApart(s, func(claim, write func()) { write(); stall(); claim() })
		})},
		{lie: "gives up a batch at an invalid entry", caughtBy: "a batch with every fate in it", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				results := make([]appended, len(entries))
				for i := range entries {
					if err := entries[i].Check(); err != nil {
						for j := range results {
							results[j].Err = err
						}
						return results
					}
				}
				return s.Append(ctx, entries)
			}}
		})},
		{lie: "gives up a batch at a refused entry", caughtBy: "the quota is reached within a batch", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				results := make([]appended, len(entries))
				for i := range entries {
					results[i] = s.Append(ctx, entries[i:i+1])[0]
					if results[i].QuotaExceeded {
						for j := i; j < len(results); j++ {
							results[j].QuotaExceeded = true
						}
						return results
					}
				}
				return results
			}}
		})},
		{lie: "files a batch under its first org", caughtBy: "a batch over several orgs", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				entries = slices.Clone(entries)
				for i := range entries {
					entries[i].Event.Org = entries[0].Event.Org
				}
				return s.Append(ctx, entries)
			}}
		})},
		{lie: "answers a batch in another order", caughtBy: "the largest batch", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				results := s.Append(ctx, entries)
				slices.Reverse(results)
				return results
			}}
		})},
		{lie: "takes 512 entries at most", caughtBy: "the largest batch", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				return s.Append(ctx, entries[:min(len(entries), 512)])
			}}
		})},
		{lie: "works off a batch from its end", caughtBy: "a key twice in a batch", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				entries = slices.Clone(entries)
				slices.Reverse(entries)
				results := s.Append(ctx, entries)
				slices.Reverse(results)
				return results
			}}
		})},
		{lie: "looks up the keys of a batch before it writes", caughtBy: "a key twice in a batch", fresh: onKeys(func() *loose {
			return &loose{ahead: true}
		})},
		{lie: "looks at the quota once per batch", caughtBy: "the quota is reached within a batch", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				entries = slices.Clone(entries)
				used, _ := s.Usage(ctx, entries[0].Event.Org, humanhours.MonthOf(entries[0].At))
				for i := range entries {
					if used < entries[i].Cap {
						entries[i].Cap = 0
					}
				}
				return s.Append(ctx, entries)
			}}
		})},
		{lie: "lets a refused entry of a batch burn its key", caughtBy: "a key that is refused first and created after in a batch", fresh: onKeys(func() *loose {
			return &loose{burns: true}
		})},
		{lie: "locks org by org as the entries come", caughtBy: "batches over the same orgs in opposite order", patience: 300 * time.Millisecond, fresh: with(func(s store) store {
			var mu sync.Mutex
			locks := make(map[string]*sync.Mutex)
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				held := make(map[string]bool)
				for _, e := range entries {
					mu.Lock()
					lock := locks[e.Event.Org]
					if lock == nil {
						lock = new(sync.Mutex)
						locks[e.Event.Org] = lock
					}
					mu.Unlock()
					if !held[e.Event.Org] {
						held[e.Event.Org] = true
						lock.Lock()
						defer lock.Unlock()
						stall()
					}
				}
				return s.Append(ctx, entries)
			}}
		})},
		{lie: "looks at the key and then writes", caughtBy: "one key, many writers", fresh: onKeys(func() *loose {
			return &loose{between: stall}
		})},
		{lie: "looks at a key that has expired and then writes", caughtBy: "one key, many writers, when it is free again", fresh: onKeys(func() *loose {
			return &loose{between: stall}
		})},
		{lie: "looks at the keys of a batch and then writes", caughtBy: "the same keys in many batches", fresh: onKeys(func() *loose {
			return &loose{between: stall}
		})},
		{lie: "answers a replay with the caller's own event", caughtBy: "one key, many writers", fresh: twist(twisted{
			answer: func(e entry, a *appended) {
				if a.Replayed {
					a.Event = &e.Event
				}
			},
		})},
		{lie: "looks at the quota and then writes", caughtBy: "the cap, many writers", fresh: with(capRace)},
		{lie: "looks at the quota and then writes, in batches", caughtBy: "the cap, many batches", fresh: with(capRace)},
		{lie: "gives up when the cap is near", caughtBy: "the cap, many writers", fresh: twist(twisted{entry: func(e *entry) {
			if e.Cap > 2 {
				e.Cap -= 2
			}
		}})},

		// Identity.
		{lie: "calls its own retry a replay", caughtBy: "the same entry again is not a replay", fresh: with(ownRetryIsReplay)},
		{lie: "calls a retry that overtook its first attempt a replay", caughtBy: "one id, many writers", fresh: with(ownRetryIsReplay)},
		{lie: "calls the retry of a cancelled call a replay", caughtBy: "calls that are cancelled under way, and retried", fresh: with(ownRetryIsReplay)},
		{lie: "fails on an id that is stored", caughtBy: "the same id twice in a batch", fresh: with(func(s store) store {
			var mu sync.Mutex
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				mu.Lock()
				defer mu.Unlock()
				results := make([]appended, len(entries))
				for i, e := range entries {
					if _, there, _ := s.Event(ctx, e.Event.Org, e.Event.ID); there {
						results[i].Err = errors.New("duplicate key value violates unique constraint")
						continue
					}
					results[i] = s.Append(ctx, entries[i:i+1])[0]
				}
				return results
			}}
		})},
		{lie: "claims a key for an id that is stored", caughtBy: "an id that is stored claims no other key", fresh: with(func(s store) store {
			claimed := make(map[string]string)
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				claimed[entries[0].Key] = entries[0].Event.ID
				return s.Append(ctx, entries)
			}, replay: func(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
				e, ok, err := s.Event(ctx, q.Org, claimed[q.Key])
				return humanhours.Replay{Event: e, Found: ok}, err
			}}
		})},
		{lie: "looks at the key before the id", caughtBy: "an id that is stored goes before a key in use", fresh: onKeys(func() *loose {
			return &loose{idAfter: true}
		})},
		{lie: "overwrites an event by its id", caughtBy: "an id that is stored keeps its content", fresh: with(func(s store) store {
			latest := make(map[string]event)
			return &twisted{Store: s,
				entry: func(e *entry) { latest[e.Event.ID] = e.Event.Clone() },
				event: func(e *event) { *e = latest[e.ID].Clone() },
			}
		})},
		{lie: "looks at the quota before the id", caughtBy: "an id that is stored is not refused and not counted", fresh: onCounts(func() *miscount {
			return &miscount{refuse: true}
		})},
		{lie: "counts an id that is stored again", caughtBy: "an id that is stored is not refused and not counted", fresh: onCounts(func() *miscount {
			seen := make(map[string]bool)
			return &miscount{count: func(e entry, a appended) bool {
				again := seen[e.Event.ID] && outcome(a) == created
				seen[e.Event.ID] = true
				return again
			}}
		})},
		{lie: "knows an id in all orgs", caughtBy: "the same id in another org is another event", fresh: with(func(s store) store {
			first := make(map[string]string)
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				e := entries[0].Event
				if first[e.ID] == "" {
					first[e.ID] = e.Org
				}
				if first[e.ID] != e.Org {
					there, _, err := s.Event(ctx, first[e.ID], e.ID)
					return []appended{{Event: &there, Err: err}}
				}
				return s.Append(ctx, entries)
			}}
		})},
		{lie: "joins org and key with a colon", caughtBy: "names never collide", fresh: onKeys(func() *loose {
			return &loose{name: func(org, key string) string { return org + ":" + key }}
		})},
		{lie: "joins org and key with a NUL", caughtBy: "names never collide", fresh: onKeys(func() *loose {
			return &loose{name: func(org, key string) string { return org + "\x00" + key }}
		})},
		{lie: "joins org and key as they are", caughtBy: "names never collide", fresh: onKeys(func() *loose {
			return &loose{name: func(org, key string) string { return org + key }}
		})},
		{lie: "compares keys without case", caughtBy: "names never collide", fresh: twist(twisted{key: strings.ToLower})},
		{lie: "trims keys", caughtBy: "names never collide", fresh: twist(twisted{key: trimmed})},
		{lie: "mends keys that are not UTF-8", caughtBy: "names never collide", fresh: twist(twisted{key: mended})},
		{lie: "ends keys at a NUL", caughtBy: "names never collide", fresh: twist(twisted{key: cString})},
		{lie: "takes keys of digits for numbers", caughtBy: "names never collide", fresh: twist(twisted{key: numeric})},
		{lie: "cuts keys to 255 bytes", caughtBy: "long keys never collide", fresh: twist(twisted{key: func(key string) string { return key[:min(len(key), 255)] }})},
		{lie: "cuts keys to 1024 bytes", caughtBy: "long keys never collide", fresh: twist(twisted{key: func(key string) string { return key[:min(len(key), 1024)] }})},
		{lie: "compares orgs without case", caughtBy: "orgs never collide", fresh: twist(twisted{org: strings.ToLower})},
		{lie: "mends orgs that are not UTF-8", caughtBy: "orgs never collide", fresh: twist(twisted{org: mended})},
		{lie: "trims orgs", caughtBy: "orgs never collide", fresh: twist(twisted{org: trimmed})},
		{lie: "puts orgs in braces", caughtBy: "orgs never collide", fresh: twist(twisted{org: func(org string) string { return strings.Trim(org, "{}") + "." }})},
		{lie: "knows a key in all orgs", caughtBy: "the same key in another org", fresh: onKeys(func() *loose {
			return &loose{name: func(_, key string) string { return key }}
		})},
		{lie: "knows a key in all orgs at once", caughtBy: "one key in many orgs at once", fresh: onKeys(func() *loose {
			return &loose{name: func(_, key string) string { return key }}
		})},

		// Keys.
		{lie: "frees a key a millisecond early", caughtBy: "a key is free again at exactly its age", fresh: twist(twisted{entry: func(e *entry) {
			if e.Window > time.Millisecond {
				e.Window -= time.Millisecond
			}
		}})},
		{lie: "frees a key a millisecond late", caughtBy: "a key is free again at exactly its age", fresh: twist(twisted{entry: func(e *entry) { e.Window += time.Millisecond }})},
		{lie: "keeps windows in seconds", caughtBy: "a key is free again at exactly its age", fresh: onKeys(func() *loose {
			return &loose{expired: func(c claim, e entry) bool { return !e.At.Truncate(time.Second).Before(c.until.Truncate(time.Second)) }}
		})},
		{lie: "counts in nanoseconds of 64 bits", caughtBy: "windows of centuries, and in others", fresh: onKeys(func() *loose {
			return &loose{expired: func(c claim, e entry) bool { return e.At.UnixNano() >= c.until.UnixNano() }}
		})},
		{lie: "has one window for all keys", caughtBy: "a key is free again at exactly its age", fresh: twist(twisted{entry: func(e *entry) { e.Window = window }})},
		{lie: "never frees a key", caughtBy: "a key that nobody asked about for long is free", fresh: onKeys(func() *loose {
			return &loose{expired: func(claim, entry) bool { return false }}
		})},
		{lie: "clears keys away by the latest of its traffic", caughtBy: "a key outlasts the traffic of its window", fresh: onKeys(func() *loose {
			var latest time.Time
			return &loose{expired: func(c claim, e entry) bool {
				latest = later(latest, e.At)
				return !e.At.Before(c.until) || !latest.Before(c.until)
			}}
		})},
		{lie: "deletes the event with its key", caughtBy: "a key that was free is in use for a window again", fresh: with(deletesWithKey)},
		{lie: "prolongs a window by a replay", caughtBy: "a replay does not prolong the window", fresh: onKeys(func() *loose {
			return &loose{again: func(c *claim, e entry) { c.until = later(c.until, e.At.Add(e.Window)) }}
		})},
		{lie: "takes the window of the latest entry", caughtBy: "a replay does not shorten the window", fresh: onKeys(func() *loose {
			return &loose{again: func(c *claim, e entry) { c.until = e.At.Add(e.Window) }}
		})},
		{lie: "does not know a key before its first use", caughtBy: "a writer whose clock is behind", fresh: onKeys(func() *loose {
			return &loose{expired: func(c claim, e entry) bool { return !e.At.Before(c.until) || e.At.Before(c.until.Add(-window)) }}
		})},
		{lie: "reckons windows by the wall clock", caughtBy: "the window in other time zones", fresh: twist(twisted{
			entry: func(e *entry) { e.At = wallClock(e.At) },
			ask:   func(q *humanhours.ReplayQuery) { q.At = wallClock(q.At) },
		})},
		{lie: "takes no key for a key", caughtBy: "entries without a key", fresh: twist(twisted{entry: func(e *entry) {
			if e.Key == "" {
				e.Key, e.Window = "none", window
			}
		}})},
		{lie: "never tells a mismatch", caughtBy: "a mismatch", fresh: twist(twisted{answer: func(_ entry, a *appended) { a.Mismatch = false }})},
		{lie: "never tells a mismatch in Replay", caughtBy: "a mismatch", fresh: twist(twisted{found: func(_ humanhours.ReplayQuery, r *humanhours.Replay) { r.Mismatch = false }})},
		{lie: "compares half of the fingerprint", caughtBy: "a mismatch", fresh: twist(twisted{
			entry: func(e *entry) { clear(e.Fingerprint[8:]) },
			ask:   func(q *humanhours.ReplayQuery) { clear(q.Fingerprint[8:]) },
		})},
		{lie: "refuses a mismatch", caughtBy: "a mismatch", fresh: twist(twisted{answer: func(_ entry, a *appended) {
			if a.Mismatch {
				*a = appended{Err: errors.New("conflict")}
			}
		}})},
		{lie: "takes over the fingerprint of a mismatch", caughtBy: "a mismatch does not change the fingerprint", fresh: onKeys(func() *loose {
			return &loose{again: func(c *claim, e entry) { c.print = e.Fingerprint }}
		})},
		{lie: "claims a key that Replay asks for", caughtBy: "Replay of keys that were never used", fresh: with(func(s store) store {
			asked := make(map[string]bool)
			return &twisted{Store: s, ask: func(q *humanhours.ReplayQuery) { asked[q.Key] = true }, answer: func(e entry, a *appended) {
				a.Replayed = a.Replayed || asked[e.Key]
			}}
		})},
		{lie: "forgets a key that Replay finds expired", caughtBy: "Replay changes nothing", fresh: with(func(s store) store {
			forgotten := make(map[string]bool)
			return &twisted{Store: s, found: func(q humanhours.ReplayQuery, r *humanhours.Replay) {
				if !r.Found || forgotten[q.Key] {
					forgotten[q.Key] = true
					*r = humanhours.Replay{}
				}
			}}
		})},
		{lie: "does not look at the time in Replay", caughtBy: "Replay changes nothing", fresh: twist(twisted{ask: func(q *humanhours.ReplayQuery) { q.At = epoch }})},
		{lie: "counts what Replay finds", caughtBy: "Replay changes nothing", fresh: with(func(s store) store {
			var n int64
			return override{Store: s, replay: func(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
				n++
				return s.Replay(ctx, q)
			}, usage: func(ctx context.Context, org string, month humanhours.Month) (int64, error) {
				used, err := s.Usage(ctx, org, month)
				return used + n, err
			}}
		})},

		// Quota.
		{lie: "counts by the wall clock", caughtBy: "usage follows UTC", fresh: twist(twisted{entry: func(e *entry) { e.At = wallClock(e.At) }})},
		{lie: "counts by when it occurred", caughtBy: "usage follows receipt, not occurrence", fresh: twist(twisted{entry: func(e *entry) { e.At = e.Event.OccurredAt }})},
		{lie: "counts the same month of all years", caughtBy: "usage at the borders of a month", fresh: with(func(s store) store {
			return override{Store: s, usage: func(ctx context.Context, org string, month humanhours.Month) (n int64, err error) {
				for year := 2020; year < 2030 && err == nil; year++ {
					var used int64
					used, err = s.Usage(ctx, org, humanhours.Month{Year: year, Month: month.Month})
					n += used
				}
				return n, err
			}}
		})},
		{lie: "keeps one counter, for the latest month", caughtBy: "usage over the turn of the year", fresh: with(func(s store) store {
			var latest humanhours.Month
			var n int64
			return &override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				if month := humanhours.MonthOf(entries[0].At); month != latest {
					latest, n = month, 0
				}
				n++
				return s.Append(ctx, entries)
			}, usage: func(ctx context.Context, org string, month humanhours.Month) (int64, error) {
				if month == latest {
					return n, ctx.Err()
				}
				return s.Usage(ctx, org, month)
			}}
		})},
		{lie: "lets one more in than the cap", caughtBy: "the cap of a month", fresh: twist(twisted{entry: func(e *entry) {
			if e.Cap > 0 {
				e.Cap++
			}
		}})},
		{lie: "stores what it refuses", caughtBy: "the cap of a month", fresh: with(storesRefused)},
		{lie: "answers a refusal with the event", caughtBy: "the cap of a month", fresh: twist(twisted{answer: func(e entry, a *appended) {
			if a.QuotaExceeded {
				a.Event = &e.Event
			}
		}})},
		{lie: "remembers the first cap", caughtBy: "a cap that changes", fresh: with(func(s store) store {
			var first int64
			return &twisted{Store: s, entry: func(e *entry) {
				if first == 0 {
					first = e.Cap
				}
				if e.Cap > 0 {
					e.Cap = first
				}
			}}
		})},
		{lie: "keeps the cap in 32 bits", caughtBy: "a cap that changes", fresh: twist(twisted{entry: func(e *entry) {
			if e.Cap != 0 {
				e.Cap = max(1, int64(int32(e.Cap)))
			}
		}})},
		{lie: "counts replays", caughtBy: "replays are not counted", fresh: onCounts(func() *miscount {
			return &miscount{count: func(_ entry, a appended) bool { return a.Replayed }}
		})},
		{lie: "refuses replays when the quota is used up", caughtBy: "replays succeed when the quota is used up", fresh: onCounts(func() *miscount {
			return &miscount{refuse: true}
		})},
		{lie: "counts a replay in its own month", caughtBy: "a replay in the next month is not counted there", fresh: onCounts(func() *miscount {
			return &miscount{count: func(e entry, a appended) bool {
				return a.Replayed && humanhours.MonthOf(e.At) != humanhours.MonthOf(a.Event.ReceivedAt)
			}}
		})},
		{lie: "lets a refused entry burn its key", caughtBy: "a refused key is free", fresh: onKeys(func() *loose { return &loose{burns: true} })},
		{lie: "lets a refused entry burn its id", caughtBy: "a refused entry is taken when there is room", fresh: with(func(s store) store {
			burned := make(map[string]bool)
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				if burned[entries[0].Event.ID] {
					return []appended{{QuotaExceeded: true}}
				}
				results := s.Append(ctx, entries)
				burned[entries[0].Event.ID] = results[0].QuotaExceeded
				return results
			}}
		})},
		{lie: "counts test events", caughtBy: "test events", fresh: onCounts(func() *miscount {
			return &miscount{count: func(e entry, a appended) bool { return e.Event.Test && outcome(a) == created }}
		})},
		{lie: "refuses test events", caughtBy: "test events", fresh: onCounts(func() *miscount { return &miscount{refuse: true} })},
		{lie: "does not list test events", caughtBy: "test events", fresh: one(rearranged(func(_ query, list []event) []event {
			return slices.DeleteFunc(list, func(e event) bool { return e.Test })
		}, nil))},

		// Values.
		{lie: "takes money through a float", caughtBy: "decimals at their extremes", fresh: on(func(e *event) { throughFloat(&e.CostSaved) })},
		{lie: "takes prices through a float", caughtBy: "decimals at their extremes", fresh: on(func(e *event) {
			if e.Cost.Price.Input.Valid {
				throughFloat(&e.Cost.Price.Input.Decimal)
			}
		})},
		{lie: "keeps 12 decimals", caughtBy: "decimals at their extremes", fresh: on(func(e *event) { e.Cost.FX.Rate = e.Cost.FX.Rate.Round(12) })},
		{lie: "takes tokens through a float", caughtBy: "decimals at their extremes", fresh: on(func(e *event) {
			if e.TokensIn.Valid && e.TokensIn.Int64 < 1<<60 {
				e.TokensIn.Int64 = int64(float64(e.TokensIn.Int64))
			}
		})},
		{lie: "adds up in floats", caughtBy: "sums of many amounts", fresh: on(func(e *event) { throughFloat(&e.CostSaved) })},
		{lie: "takes an absent number for 0", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.AgentDuration.Valid = true })},
		{lie: "takes 0 for an absent number", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.TokensIn.Valid = e.TokensIn.Int64 != 0 })},
		{lie: "takes no cost for a cost of 0", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.AgentCost.Valid = true })},
		{lie: "credits every event", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Credited = true })},
		{lie: "loses the key id", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.KeyID = "" })},
		{lie: "loses the day of the price", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Cost.Price.Date = time.Time{} })},
		{lie: "loses the calls of a run", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.LLMCalls = nil })},
		{lie: "loses the price of a call", caughtBy: "fields that may be absent", fresh: on(func(e *event) {
			if len(e.LLMCalls) > 0 {
				e.LLMCalls[1].Price.Output = decimal.NullDecimal{}
			}
		})},
		{lie: "takes an absent count for 0", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Images.Valid = true })},
		{lie: "loses a price beyond those of input and output", caughtBy: "fields that may be absent", fresh: on(func(e *event) {
			e.Cost.Price.CacheWrite1h = decimal.NullDecimal{}
		})},
		{lie: "takes every cost for exact", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Cost.Precision = humanhours.CostExact })},
		{lie: "loses the reason why there is no cost", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Cost.Unpriced = "" })},
		{lie: "has one scale for all events", caughtBy: "fields that may be absent", fresh: on(func(e *event) { e.Scale = humanhours.DefaultScale() })},
		{lie: "takes the wall clock for UTC", caughtBy: "instants to the millisecond in UTC", fresh: on(func(e *event) { e.OccurredAt = wallClock(e.OccurredAt) })},
		{lie: "answers in local time", caughtBy: "instants to the millisecond in UTC", fresh: twist(twisted{event: func(e *event) {
			e.OccurredAt = e.OccurredAt.In(time.FixedZone("CEST", 2*3600))
		}})},
		{lie: "keeps instants in seconds", caughtBy: "instants to the millisecond in UTC", fresh: on(func(e *event) { e.ReceivedAt = e.ReceivedAt.Truncate(time.Second) })},
		{lie: "rounds instants up", caughtBy: "instants finer than a millisecond", fresh: on(func(e *event) { e.OccurredAt = e.OccurredAt.Round(time.Millisecond) })},
		{lie: "drops NUL from text", caughtBy: "text", fresh: on(func(e *event) {
			e.AuditSample.InputExcerpt = strings.ReplaceAll(e.AuditSample.InputExcerpt, "\x00", "")
		})},
		{lie: "cuts text at 255 bytes", caughtBy: "text", fresh: on(func(e *event) { e.AgentID = e.AgentID[:min(len(e.AgentID), 255)] })},
		{lie: "trims text", caughtBy: "text", fresh: on(func(e *event) { e.TaskType = strings.TrimSpace(e.TaskType) })},
		{lie: "escapes text for HTML", caughtBy: "text", fresh: on(func(e *event) { e.Model = strings.ReplaceAll(e.Model, "<", "&lt;") })},
		{lie: "decodes metadata into floats", caughtBy: "metadata", fresh: on(func(e *event) {
			var v any
			if json.Unmarshal(e.Metadata, &v) == nil {
				e.Metadata, _ = json.Marshal(v)
			}
		})},
		{lie: "keeps a text column of 8 KiB for metadata", caughtBy: "metadata", fresh: on(func(e *event) {
			if len(e.Metadata) > 8<<10 {
				e.Metadata = nil
			}
		})},
		{lie: "keeps the caller's metadata", caughtBy: "the caller's metadata is not kept", fresh: with(func(s store) store {
			kept := make(map[string]json.RawMessage)
			return &twisted{Store: s,
				entry: func(e *entry) { kept[e.Event.ID] = e.Event.Metadata },
				event: func(e *event) { e.Metadata = slices.Clone(kept[e.ID]) },
			}
		})},
		{lie: "answers with no event", caughtBy: "metadata", fresh: twist(twisted{answer: func(_ entry, a *appended) { a.Event = nil }})},
		{lie: "hands out its own metadata", caughtBy: "the store's metadata is not handed out", fresh: with(func(s store) store {
			kept := make(map[string]json.RawMessage)
			return &twisted{Store: s, event: func(e *event) {
				if kept[e.ID] == nil {
					kept[e.ID] = e.Metadata
				}
				e.Metadata = kept[e.ID]
			}}
		})},
		{lie: "hands out its own metadata to Replay", caughtBy: "the store's metadata is not handed out", fresh: with(func(s store) store {
			kept := make(map[string]json.RawMessage)
			return &twisted{Store: s, found: func(_ humanhours.ReplayQuery, r *humanhours.Replay) {
				if kept[r.Event.ID] == nil {
					kept[r.Event.ID] = r.Event.Metadata
				}
				r.Event.Metadata = kept[r.Event.ID]
			}}
		})},
		{lie: "changes an event when its key is another's", caughtBy: "answers are final", fresh: with(deletesWithKey)},
		{lie: "does not hear of other handles", caughtBy: "every handle knows what the others stored", fresh: func() []store {
			shared := memory.New()
			list := make([]store, handles)
			for i := range list {
				var mu sync.Mutex
				unknown := make(map[string]bool) // remembers what was not there
				list[i] = override{Store: shared, event: func(ctx context.Context, org, id string) (event, bool, error) {
					mu.Lock()
					defer mu.Unlock()
					e, ok, err := shared.Event(ctx, org, id)
					unknown[id] = unknown[id] || !ok
					if unknown[id] {
						return event{}, false, err
					}
					return e, ok, err
				}}
			}
			return list
		}},
		{lie: "has handles with data of their own", caughtBy: "one key, many writers", fresh: func() []store {
			return []store{memory.New(), memory.New()}
		}},

		// Agents.
		{lie: "takes the latest to come for the last of its agent", caughtBy: "the first and the last event of an agent", fresh: onAgents(func() *roster {
			return &roster{merge: func(was *agent, at time.Time) { was.First, was.Last = earlier(was.First, at), at }}
		})},
		{lie: "takes the first to come for the first of its agent", caughtBy: "the first and the last event of an agent", fresh: onAgents(func() *roster {
			return &roster{merge: func(was *agent, at time.Time) { was.Last = later(was.Last, at) }}
		})},
		{lie: "lists agents without case", caughtBy: "agents in the order of their ids", fresh: onAgents(func() *roster {
			return &roster{list: func(list []agent, _ bool) []agent {
				slices.SortStableFunc(list, func(a, b agent) int { return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
				return list
			}}
		})},
		{lie: "compares agents without case", caughtBy: "agents in the order of their ids", fresh: onAgents(func() *roster {
			return &roster{name: func(e *event) string { return strings.ToLower(e.AgentID) }}
		})},
		{lie: "cuts agents to 255 bytes", caughtBy: "agents in the order of their ids", fresh: onAgents(func() *roster {
			return &roster{name: func(e *event) string { return e.AgentID[:min(len(e.AgentID), 255)] }}
		})},
		{lie: "ends agents at a NUL", caughtBy: "agents in the order of their ids", fresh: onAgents(func() *roster {
			return &roster{name: func(e *event) string { return strings.TrimSuffix(cString(e.AgentID), ".") }}
		})},
		{lie: "lists 256 agents", caughtBy: "many agents", fresh: onAgents(func() *roster {
			return &roster{list: func(list []agent, _ bool) []agent { return list[:min(len(list), 256)] }}
		})},
		{lie: "lists agents of test events among the others", caughtBy: "agents of test events", fresh: with(func(s store) store {
			return override{Store: s, agents: func(ctx context.Context, org string, test bool) ([]agent, error) {
				list, err := s.Agents(ctx, org, test)
				if err != nil || test {
					return list, err
				}
				tests, err := s.Agents(ctx, org, true)
				for _, a := range tests {
					if !slices.ContainsFunc(list, func(b agent) bool { return a.ID == b.ID }) {
						list = append(list, a)
					}
				}
				slices.SortFunc(list, func(a, b agent) int { return strings.Compare(a.ID, b.ID) })
				return list, err
			}}
		})},
		{lie: "knows an agent of test events by its first", caughtBy: "agents of test events", fresh: onAgents(func() *roster {
			return &roster{list: func(list []agent, test bool) []agent {
				for i := range list {
					if test {
						list[i].Last = list[i].First
					}
				}
				return list
			}}
		})},
		{lie: "keeps instants of agents in seconds", caughtBy: "instants of agents", fresh: twist(twisted{seen: func(a *agent) { a.First = a.First.Truncate(time.Second) }})},
		{lie: "rounds instants of agents up", caughtBy: "instants of agents", fresh: onAgents(func() *roster {
			return &roster{ms: func(at time.Time) time.Time { return at.Round(time.Millisecond) }}
		})},
		{lie: "answers instants of agents in local time", caughtBy: "instants of agents", fresh: twist(twisted{seen: func(a *agent) {
			a.Last = a.Last.In(time.FixedZone("CEST", 2*3600))
		}})},
		{lie: "takes an instant before 1970 for none", caughtBy: "instants of agents", fresh: twist(twisted{seen: func(a *agent) {
			if a.First.UnixMilli() < 0 {
				a.First = time.UnixMilli(0).UTC()
			}
		}})},
		{lie: "mends orgs that are not UTF-8 when it lists agents", caughtBy: "the agents of orgs with odd names", fresh: with(func(s store) store {
			return override{Store: s, agents: func(ctx context.Context, org string, test bool) ([]agent, error) {
				return s.Agents(ctx, mended(org), test)
			}}
		})},
		{lie: "records agents of what it refuses", caughtBy: "what is not stored changes no agent", fresh: onAgents(func() *roster {
			return &roster{more: func(_ entry, a appended) bool { return a.QuotaExceeded }}
		})},
		{lie: "records agents of replays", caughtBy: "what is not stored changes no agent", fresh: onAgents(func() *roster {
			return &roster{more: func(_ entry, a appended) bool { return a.Replayed && !a.Mismatch }}
		})},
		{lie: "records agents of mismatches", caughtBy: "what is not stored changes no agent", fresh: onAgents(func() *roster {
			return &roster{more: func(_ entry, a appended) bool { return a.Mismatch }}
		})},
		{lie: "records the agent of an entry whose id is stored", caughtBy: "what is not stored changes no agent", fresh: onAgents(func() *roster {
			return &roster{more: func(_ entry, a appended) bool { return outcome(a) == created }}
		})},
		{lie: "records agents of what fails", caughtBy: "what is not stored changes no agent", fresh: onAgents(func() *roster {
			return &roster{more: func(_ entry, a appended) bool { return a.Err != nil }}
		})},
		{lie: "records the agents of a batch as a whole", caughtBy: "what is not stored in a batch changes no agent", fresh: onAgents(func() *roster {
			return &roster{early: func(entries []entry) []entry {
				if len(entries) == 1 {
					return nil
				}
				return entries
			}}
		})},
		{lie: "hands out its own agents", caughtBy: "the store's agents are not handed out", fresh: with(func(s store) store {
			kept := make(map[bool][]agent)
			return override{Store: s, agents: func(ctx context.Context, org string, test bool) ([]agent, error) {
				list, err := s.Agents(ctx, org, test)
				if len(kept[test]) != len(list) {
					kept[test] = list
				}
				return kept[test], err
			}}
		})},
		{lie: "reads what it knows of an agent and then writes", caughtBy: "one agent, many writers", fresh: onAgents(func() *roster { return &roster{torn: stall} })},
		{lie: "records the agent after the event", caughtBy: "an agent is seen with its event", fresh: onAgents(func() *roster { return &roster{apart: stall} })},
		{lie: "records the agent before the event", caughtBy: "an agent is seen with its event", fresh: onAgents(func() *roster {
			return &roster{early: func(entries []entry) []entry { return entries }}
		})},

		// Reading.
		{lie: "lists in the order of ids", caughtBy: "the order of events", fresh: one(rearranged(func(_ query, list []event) []event {
			slices.SortFunc(list, func(a, b event) int { return strings.Compare(a.ID, b.ID) })
			return list
		}, nil))},
		{lie: "knows one order", caughtBy: "the order of events", fresh: one(rearranged(nil, func(q *query) { q.Order = humanhours.ByOccurred }))},
		{lie: "sorts by the instant alone, newest first", caughtBy: "the order of events", fresh: one(rearranged(func(q query, list []event) []event {
			if q.Descending {
				slices.SortFunc(list, func(a, b event) int { return strings.Compare(a.ID, b.ID) })
				slices.SortStableFunc(list, func(a, b event) int { return q.CursorOf(&b).At.Compare(q.CursorOf(&a).At) })
			}
			return list
		}, nil))},
		{lie: "sorts ids without case", caughtBy: "ties are broken by the bytes of the id", fresh: one(rearranged(func(q query, list []event) []event {
			slices.SortStableFunc(list, func(a, b event) int {
				if c := q.CursorOf(&a).At.Compare(q.CursorOf(&b).At); c != 0 {
					return c
				}
				return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID))
			})
			if q.Descending {
				slices.Reverse(list)
			}
			return list
		}, nil))},
		{lie: "leaves out events at From", caughtBy: "events between two instants", fresh: one(rearranged(nil, func(q *query) {
			if !q.From.IsZero() {
				q.From = q.From.Add(time.Millisecond)
			}
		}))},
		{lie: "takes in events at To", caughtBy: "events between two instants", fresh: one(rearranged(nil, func(q *query) {
			if !q.To.IsZero() {
				q.To = q.To.Add(time.Millisecond)
			}
		}))},
		{lie: "bounds both orders by when it occurred", caughtBy: "events between two instants", fresh: one(rearranged(func(q query, list []event) []event {
			return slices.DeleteFunc(list, func(e event) bool { return !q.From.IsZero() && e.OccurredAt.Before(q.From) })
		}, func(q *query) { q.From = time.Time{} }))},
		{lie: "cuts bounds to milliseconds", caughtBy: "bounds finer than a millisecond", fresh: one(rearranged(nil, func(q *query) {
			q.From, q.To = q.From.Truncate(time.Millisecond), q.To.Truncate(time.Millisecond)
		}))},
		{lie: "has a limit of its own", caughtBy: "at most so many events", fresh: one(rearranged(nil, func(q *query) { q.Limit = min(q.Limit, 10) }))},
		{lie: "knows no limit", caughtBy: "at most so many events", fresh: one(rearranged(nil, func(q *query) { q.Limit = 0 }))},
		{lie: "yields one page", caughtBy: "more events than a page", fresh: one(rearranged(func(_ query, list []event) []event { return list[:min(len(list), 1000)] }, nil))},
		{lie: "pages by the instant alone", caughtBy: "more events than a page", fresh: one(rearranged(func(q query, list []event) []event {
			const page = 100
			for i := page; i < len(list); i += page { // goes on after the last instant of a page
				end := i
				for end < len(list) && q.CursorOf(&list[end]).At.Equal(q.CursorOf(&list[i-1]).At) {
					end++
				}
				list = slices.Delete(list, i, end)
			}
			return list
		}, nil))},
		{lie: "pages by offset", caughtBy: "events that come while others are read", fresh: with(pagesByOffset)},
		{lie: "pages by offset while others write", caughtBy: "lists while others write", fresh: with(pagesByOffset)},
		{lie: "yields an empty event for none", caughtBy: "no events", fresh: one(rearranged(func(_ query, list []event) []event {
			if len(list) == 0 {
				return make([]event, 1)
			}
			return list
		}, nil))},
		{lie: "yields the event of the cursor again", caughtBy: "going on after every event", fresh: one(rearranged(inclusive, nil))},
		{lie: "yields the last event of a page again", caughtBy: "reading page by page", fresh: one(rearranged(inclusive, nil))},
		{lie: "goes on after the instant of the cursor", caughtBy: "going on after every event", fresh: one(rearranged(func(q query, list []event) []event {
			return slices.DeleteFunc(list, func(e event) bool { return !q.After.IsZero() && q.CursorOf(&e).At.Equal(q.After.At) })
		}, nil))},
		{lie: "looks for the event of the cursor", caughtBy: "a cursor from elsewhere", fresh: with(func(s store) store {
			return override{Store: s, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				e, ok, err := s.Event(ctx, q.Org, q.After.ID)
				if err == nil && !q.After.IsZero() && (!ok || q.CursorOf(&e) != q.After) {
					return func(func(event, error) bool) {}
				}
				return s.Events(ctx, q)
			}}
		})},
		{lie: "takes a cursor without an id for none", caughtBy: "a cursor from elsewhere", fresh: one(rearranged(nil, func(q *query) {
			if q.After.ID == "" {
				q.After = humanhours.Cursor{}
			}
		}))},
		{lie: "takes a cursor for a bound", caughtBy: "a cursor with bounds", fresh: one(rearranged(nil, func(q *query) {
			if !q.After.IsZero() && !q.Descending {
				q.From = time.Time{}
			}
			if !q.After.IsZero() && q.Descending {
				q.To = time.Time{}
			}
		}))},
		{lie: "takes a cursor for an offset in the order of arrival", caughtBy: "a cursor whose neighbours come after it was made", fresh: with(func(s store) store {
			var arrived []string
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				for _, e := range entries {
					arrived = append(arrived, e.Event.ID)
				}
				return s.Append(ctx, entries)
			}, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				return func(yield func(event, error) bool) {
					for _, id := range arrived[slices.Index(arrived, q.After.ID)+1:] {
						if e, _, err := s.Event(ctx, q.Org, id); !yield(e, err) {
							return
						}
					}
				}
			}}
		})},
		{lie: "holds its lock while a loop runs", caughtBy: "the loop body uses the store", patience: 300 * time.Millisecond, fresh: with(func(s store) store {
			var mu sync.RWMutex
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				mu.Lock()
				defer mu.Unlock()
				return s.Append(ctx, entries)
			}, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				return func(yield func(event, error) bool) {
					mu.RLock()
					defer mu.RUnlock()
					s.Events(ctx, q)(yield)
				}
			}}
		})},
		{lie: "leaks a connection when a loop is left early", caughtBy: "a loop that is left early", patience: 300 * time.Millisecond, fresh: with(func(s store) store {
			pool := make(chan struct{}, 10)
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				pool <- struct{}{}
				defer func() { <-pool }()
				return s.Append(ctx, entries)
			}, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				return func(yield func(event, error) bool) {
					pool <- struct{}{}
					for e, err := range s.Events(ctx, q) {
						if !yield(e, err) {
							return
						}
					}
					<-pool
				}
			}}
		})},
		{lie: "finds an event in any org", caughtBy: "orgs see their own events", fresh: with(func(s store) store {
			orgs := make(map[string]string)
			return &override{Store: &twisted{Store: s, entry: func(e *entry) { orgs[e.Event.ID] = e.Event.Org }},
				event: func(ctx context.Context, _, id string) (event, bool, error) { return s.Event(ctx, orgs[id], id) }}
		})},
		{lie: "finds orgs by a prefix", caughtBy: "an unknown org", fresh: with(func(s store) store {
			known := make(map[string]bool)
			return &twisted{Store: s, entry: func(e *entry) { known[e.Event.Org] = true }, org: func(org string) string {
				for name := range known {
					if strings.HasPrefix(name, org) && org != "" {
						return name
					}
				}
				return org
			}}
		})},

		// Failure.
		{lie: "does not look at the context when it writes", caughtBy: "Append with an ended context", fresh: with(func(s store) store {
			return override{Store: s, append: func(_ context.Context, entries []entry) []appended { return s.Append(context.Background(), entries) }}
		})},
		{lie: "writes and then looks at the context", caughtBy: "Append with an ended context", fresh: with(func(s store) store {
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				results := s.Append(context.Background(), entries)
				if err := ctx.Err(); err != nil {
					for i := range results {
						results[i] = appended{Err: err}
					}
				}
				return results
			}}
		})},
		{lie: "hides the error of the context", caughtBy: "Append with an ended context", fresh: twist(twisted{answer: func(_ entry, a *appended) {
			if a.Err != nil {
				a.Err = errors.New("timeout")
			}
		}})},
		{lie: "waits for something else than the context", caughtBy: "reading with an ended context", patience: 300 * time.Millisecond, fresh: with(func(s store) store {
			return override{Store: s, usage: func(ctx context.Context, org string, month humanhours.Month) (int64, error) {
				if ctx.Err() != nil {
					select {}
				}
				return s.Usage(ctx, org, month)
			}}
		})},
		{lie: "does not look at the context when it reads", caughtBy: "reading with an ended context", fresh: with(func(s store) store {
			return override{Store: s, event: func(_ context.Context, org, id string) (event, bool, error) {
				return s.Event(context.Background(), org, id)
			}}
		})},
		{lie: "does not look at the context when it lists agents", caughtBy: "reading with an ended context", fresh: with(func(s store) store {
			return override{Store: s, agents: func(_ context.Context, org string, test bool) ([]agent, error) {
				return s.Agents(context.Background(), org, test)
			}}
		})},
		{lie: "yields nothing when the context has ended", caughtBy: "reading with an ended context", fresh: with(func(s store) store {
			return override{Store: s, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				if ctx.Err() != nil {
					return func(func(event, error) bool) {}
				}
				return s.Events(ctx, q)
			}}
		})},
		{lie: "looks at the context once in a loop", caughtBy: "a context that ends while events are read", fresh: with(func(s store) store {
			return override{Store: s, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				if ctx.Err() != nil {
					return s.Events(ctx, q)
				}
				return s.Events(context.Background(), q)
			}}
		})},
		{lie: "stops quietly when the context ends", caughtBy: "a context that ends while events are read", fresh: with(func(s store) store {
			return override{Store: s, events: func(ctx context.Context, q query) iter.Seq2[event, error] {
				return func(yield func(event, error) bool) {
					for e, err := range s.Events(ctx, q) {
						if err != nil || !yield(e, err) {
							return
						}
					}
				}
			}}
		})},
		{lie: "takes a key without a window", caughtBy: "invalid entries", fresh: twist(twisted{entry: func(e *entry) {
			if e.Window <= 0 {
				e.Window = window
			}
		}})},
		{lie: "takes an event without a receipt time", caughtBy: "invalid entries", fresh: twist(twisted{entry: func(e *entry) {
			if e.At.IsZero() {
				e.At = e.Event.ReceivedAt
			}
		}})},
		{lie: "takes an event without an org", caughtBy: "invalid entries", fresh: twist(twisted{org: func(org string) string { return "org " + org }})},
	}
}

func trimmed(s string) string { return strings.TrimSpace(s) + "." }

func mended(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func cString(s string) string {
	head, _, _ := strings.Cut(s, "\x00")
	return head + "."
}

func numeric(s string) string {
	if d, err := decimal.NewFromString(s); err == nil {
		return d.String()
	}
	return s
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// storesRefused stores the event of an entry that it refuses.
func storesRefused(s humanhours.Store) humanhours.Store {
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
		results := s.Append(ctx, entries)
		for i, e := range entries {
			if results[i].QuotaExceeded {
				e.Cap, e.Key = 0, ""
				s.Append(ctx, []humanhours.Entry{e})
			}
		}
		return results
	}}
}

// countsLate counts an event in a second step.
func countsLate(s humanhours.Store) humanhours.Store {
	var mu sync.Mutex
	n := make(map[string]int64)
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
		results := s.Append(ctx, entries)
		stall()
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			n[e.Event.Org]++
		}
		return results
	}, usage: func(_ context.Context, org string, _ humanhours.Month) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return n[org], nil
	}}
}

// countsEarly counts an event in a first step.
func countsEarly(s humanhours.Store) humanhours.Store {
	var mu sync.Mutex
	n := make(map[string]int64)
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
		mu.Lock()
		for _, e := range entries {
			n[e.Event.Org]++
		}
		mu.Unlock()
		stall()
		return s.Append(ctx, entries)
	}, usage: func(_ context.Context, org string, _ humanhours.Month) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return n[org], nil
	}}
}

// keyApart stores the key of an event and the event in two steps.
func keyApart(s humanhours.Store, order func(claim, write func())) humanhours.Store {
	var mu sync.Mutex
	claimed := make(map[string]humanhours.Event)
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) (results []humanhours.Appended) {
		order(func() {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range entries {
				claimed[e.Event.Org+"/"+e.Key] = e.Event.Clone()
			}
		}, func() { results = s.Append(ctx, entries) })
		return results
	}, replay: func(_ context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
		mu.Lock()
		defer mu.Unlock()
		e, ok := claimed[q.Org+"/"+q.Key]
		return humanhours.Replay{Event: e, Found: ok}, nil
	}}
}

// capRace looks at the quota in a first step and writes in a second.
func capRace(s humanhours.Store) humanhours.Store {
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
		results := make([]humanhours.Appended, len(entries))
		for i, e := range entries {
			used, _ := s.Usage(ctx, e.Event.Org, humanhours.MonthOf(e.At))
			stall()
			if e.Cap > 0 && used < e.Cap {
				e.Cap = 0
			}
			results[i] = s.Append(ctx, []humanhours.Entry{e})[0]
		}
		return results
	}}
}

// ownRetryIsReplay looks at the key before the id, which finds the entry's own event.
func ownRetryIsReplay(s humanhours.Store) humanhours.Store {
	var mu sync.Mutex
	return override{Store: s, append: func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
		mu.Lock()
		defer mu.Unlock()
		results := make([]humanhours.Appended, len(entries))
		for i, e := range entries {
			_, there, _ := s.Event(ctx, e.Event.Org, e.Event.ID)
			results[i] = s.Append(ctx, entries[i:i+1])[0]
			results[i].Replayed = results[i].Replayed || there
		}
		return results
	}}
}

// deletesWithKey keeps an event where its key is: what takes the key over takes the place of the event.
func deletesWithKey(s humanhours.Store) humanhours.Store {
	holder := make(map[string]humanhours.Event)
	keyOf := make(map[string]string)
	return &twisted{Store: s, answer: func(e humanhours.Entry, a *humanhours.Appended) {
		if e.Key != "" && outcome(*a) == created && keyOf[e.Event.ID] == "" {
			holder[e.Key], keyOf[e.Event.ID] = e.Event.Clone(), e.Key
		}
	}, event: func(e *humanhours.Event) {
		if now, ok := holder[keyOf[e.ID]]; ok {
			id := e.ID
			*e = now.Clone()
			e.ID = id
		}
	}}
}

// inclusive starts a list at the cursor, not after it.
func inclusive(q humanhours.EventQuery, list []humanhours.Event) []humanhours.Event {
	if q.After.IsZero() || len(list) == 0 {
		return list
	}
	first := list[0]
	first.ID = q.After.ID
	return append([]humanhours.Event{first}, list...)
}

// pagesByOffset reads again from the start for each page, and skips what it has yielded.
func pagesByOffset(s humanhours.Store) humanhours.Store {
	return override{Store: s, events: func(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
		return func(yield func(humanhours.Event, error) bool) {
			const page = 64
			for offset := 0; ; offset += page {
				q := q
				q.Limit = offset + page + 1
				list, err := all(s.Events(ctx, q))
				if err != nil {
					yield(humanhours.Event{}, err)
					return
				}
				list = list[min(offset, len(list)):]
				for _, e := range list[:min(page, len(list))] {
					if !yield(e, nil) {
						return
					}
				}
				if len(list) <= page {
					return
				}
			}
		}
	}}
}

func TestStoreLiarsAreCaught(t *testing.T) {
	expose(t, append(lift(storeProofs()), sharedProofs()...), slices.Concat(storeLiars(), amendmentLiars(), sparseLiars()))
}

func TestHonestStoreIsNotAccused(t *testing.T) {
	Run(t, func(testing.TB) humanhours.Store { return memory.New() })
}
