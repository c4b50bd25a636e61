package storetest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/shopspring/decimal"
)

// historian is an honest store of everything with something put in the way of orgs.
type historian struct {
	*memory.Store
	amend   func(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error)
	org     func(humanhours.Org, bool) (humanhours.Org, bool)
	update  func(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error)
	history func(q humanhours.HistoryQuery, changes []humanhours.Change) []humanhours.Change
}

func (s *historian) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	if s.amend == nil {
		return s.Store.Amend(ctx, q)
	}
	return s.amend(ctx, q)
}

func (s *historian) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	org, ok, err := s.Store.Org(ctx, id)
	if err == nil && s.org != nil {
		org, ok = s.org(org, ok)
	}
	return org, ok, err
}

func (s *historian) UpdateOrg(
	ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error),
) (humanhours.Org, error) {
	if s.update == nil {
		return s.Store.UpdateOrg(ctx, id, f)
	}
	return s.update(ctx, id, f)
}

func (s *historian) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	changes, err := s.Store.History(ctx, q)
	if err == nil && s.history != nil {
		changes = s.history(q, changes)
	}
	return changes, err
}

// onHistory makes a store of a historian that f has prepared.
func onHistory(f func(*historian)) func() []humanhours.Store {
	return one(func() humanhours.Store {
		s := &historian{Store: memory.New()}
		f(s)
		return s
	})
}

// numbers gives changes their seq.
func numbers(changes []humanhours.Change) []humanhours.Change {
	changes = slices.Clone(changes)
	for i := range changes {
		changes[i].Seq = int64(i + 1)
	}
	return changes
}

// ofEvent reports whether a line of history is about an event.
func ofEvent(c humanhours.Change) bool { return strings.HasPrefix(c.Subject, "events.") }

// scratch is what a liar knows of an event by its id, with a lock.
type scratch[T any] struct {
	mu   sync.Mutex
	byID map[string]T
}

func (s *scratch[T]) set(id string, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = make(map[string]T)
	}
	s.byID[id] = v
}

func (s *scratch[T]) get(id string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.byID[id]
	return v, ok
}

func (s *scratch[T]) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// insists amends an event whatever Base says.
func insists(ctx context.Context, s humanhours.Store, q humanhours.AmendQuery) (humanhours.Amended, error) {
	for {
		e, _, err := s.Event(ctx, q.Org, q.ID)
		if err != nil {
			return humanhours.Amended{}, err
		}
		q.Base = len(e.Amendments)
		if got, err := s.Amend(ctx, q); err != nil || got.Stored || !got.Found {
			return got, err
		}
	}
}

// amendments changes each amendment that is shown.
func amendments(change func(*humanhours.Amendment)) func() []humanhours.Store {
	return twist(twisted{shown: func(e *humanhours.Event) {
		for i := range e.Amendments {
			change(&e.Amendments[i])
		}
	}})
}

// remembers keeps what events had before they were redacted.
func remembers(f func(t *twisted, restore func(*humanhours.Event))) func() []humanhours.Store {
	return one(func() humanhours.Store {
		var first scratch[humanhours.Event]
		t := &twisted{Store: memory.New(), entry: func(e *humanhours.Entry) {
			if _, ok := first.get(e.Event.ID); !ok {
				first.set(e.Event.ID, e.Event.Clone())
			}
		}}
		f(t, func(e *humanhours.Event) {
			if was, ok := first.get(e.ID); ok {
				was = was.Clone()
				e.Metadata, e.AuditSample = was.Metadata, was.AuditSample
			}
		})
		return t
	})
}

// amendingHistory keeps the history by reading it and writing it again, in two steps.
func amendingHistory(s *historian) {
	var mu sync.Mutex
	var lines []humanhours.Change
	add := func(more []humanhours.Change) {
		mu.Lock()
		was := slices.Clone(lines)
		mu.Unlock()
		stall()
		mu.Lock()
		defer mu.Unlock()
		lines = append(was, more...)
	}
	s.amend = func(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
		got, err := s.Store.Amend(ctx, q)
		if got.Stored {
			add([]humanhours.Change{q.Change})
		}
		return got, err
	}
	s.update = func(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error) {
		var changes []humanhours.Change
		org, err := s.Store.UpdateOrg(ctx, id, func(o *humanhours.Org) (_ []humanhours.Change, err error) {
			changes, err = f(o)
			return changes, err
		})
		if err == nil {
			add(changes)
		}
		return org, err
	}
	s.history = func(humanhours.HistoryQuery, []humanhours.Change) []humanhours.Change {
		mu.Lock()
		defer mu.Unlock()
		return numbers(lines)
	}
}

func amendmentLiars() []liar[[]humanhours.Store] {
	type (
		store     = humanhours.Store
		entry     = humanhours.Entry
		appended  = humanhours.Appended
		event     = humanhours.Event
		amendment = humanhours.Amendment
		query     = humanhours.AmendQuery
		amended   = humanhours.Amended
		change    = humanhours.Change
	)
	// overAmend replaces Amend of a store of events.
	overAmend := func(f func(ctx context.Context, s store, q query) (amended, error)) func() []store {
		return with(func(s store) store {
			return override{Store: s, amend: func(ctx context.Context, q query) (amended, error) { return f(ctx, s, q) }}
		})
	}
	const onBase = "an amendment on the right base and on wrong ones"
	liars := []liar[[]store]{
		// The base.
		{lie: "amends whatever Base says", caughtBy: onBase, fresh: overAmend(insists)},
		{lie: "takes a Base that is too high", caughtBy: onBase, fresh: overAmend(func(ctx context.Context, s store, q query) (amended, error) {
			if e, _, _ := s.Event(ctx, q.Org, q.ID); q.Base > len(e.Amendments) {
				q.Base = len(e.Amendments)
			}
			return s.Amend(ctx, q)
		})},
		{lie: "takes a Base that is too low", caughtBy: onBase, fresh: overAmend(func(ctx context.Context, s store, q query) (amended, error) {
			if e, _, _ := s.Event(ctx, q.Org, q.ID); q.Base >= 0 && q.Base < len(e.Amendments) {
				q.Base = len(e.Amendments)
			}
			return s.Amend(ctx, q)
		})},
		{lie: "erases before it looks at Base", caughtBy: onBase, fresh: one(func() store {
			var gone scratch[bool]
			return &twisted{Store: memory.New(), amend: func(q *query) {
				if q.Amendment.Kind == humanhours.AmendRedact {
					gone.set(q.ID, true)
				}
			}, event: func(e *event) {
				if _, ok := gone.get(e.ID); ok {
					e.Redact()
				}
			}}
		})},
		{lie: "writes history of what it does not store", caughtBy: onBase, fresh: onHistory(func(s *historian) {
			var more []change
			s.amend = func(ctx context.Context, q query) (amended, error) {
				got, err := s.Store.Amend(ctx, q)
				if got.Found && !got.Stored {
					more = append(more, q.Change)
				}
				return got, err
			}
			s.history = func(_ humanhours.HistoryQuery, changes []change) []change { return numbers(append(changes, more...)) }
		})},
		{lie: "answers a refusal without the event", caughtBy: onBase, fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				got, err := s.Amend(ctx, q)
				if !got.Stored {
					got.Event = event{}
				}
				return got, err
			})},
		{lie: "answers with the event as it was", caughtBy: onBase, fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				was, _, _ := s.Event(ctx, q.Org, q.ID)
				got, err := s.Amend(ctx, q)
				got.Event = was
				return got, err
			})},
		{lie: "amends an event of any org", caughtBy: "an amendment of an event that is not there", fresh: with(func(s store) store {
			var home scratch[string]
			return override{Store: s, append: func(ctx context.Context, entries []entry) []appended {
				for _, e := range entries {
					home.set(e.Event.ID, e.Event.Org)
				}
				return s.Append(ctx, entries)
			}, amend: func(ctx context.Context, q query) (amended, error) {
				if org, ok := home.get(q.ID); ok {
					q.Org = org
				}
				return s.Amend(ctx, q)
			}}
		})},
		{lie: "keeps amendments for an event to come", caughtBy: "an amendment of an event that is not there", fresh: with(func(s store) store {
			var early scratch[amendment]
			return &twisted{Store: override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
				got, err := s.Amend(ctx, q)
				if !got.Found && err == nil {
					early.set(q.Org+"/"+q.ID, q.Amendment)
				}
				return got, err
			}}, shown: func(e *event) {
				if a, ok := early.get(e.Org + "/" + e.ID); ok {
					e.Amendments = append([]amendment{a}, e.Amendments...)
				}
			}}
		})},
		{lie: "notes what it does not find", caughtBy: "an amendment of an event that is not there", fresh: onHistory(func(s *historian) {
			var more scratch[[]change]
			s.amend = func(ctx context.Context, q query) (amended, error) {
				got, err := s.Store.Amend(ctx, q)
				if !got.Found {
					more.set(q.Org, []change{q.Change})
				}
				return got, err
			}
			s.history = func(q humanhours.HistoryQuery, changes []change) []change {
				lines, _ := more.get(q.Org)
				return numbers(append(changes, lines...))
			}
		})},
		{lie: "takes an event that is not there for an error", caughtBy: "an amendment of an event that is not there", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				got, err := s.Amend(ctx, q)
				if !got.Found && err == nil {
					err = context.Canceled
				}
				return got, err
			})},
		{lie: "mends orgs that are not UTF-8 when it amends", caughtBy: "the amendments of orgs with odd names", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				q.Org = mended(q.Org)
				return s.Amend(ctx, q)
			})},
		{lie: "files amendments by the id of the event alone", caughtBy: "the amendments of orgs with odd names", fresh: one(func() store {
			var lists scratch[[]amendment]
			return &twisted{Store: memory.New(), amend: func(q *query) {
				list, _ := lists.get(q.ID)
				lists.set(q.ID, append(list, q.Amendment))
			}, shown: func(e *event) { e.Amendments, _ = lists.get(e.ID) }}
		})},

		// What is shown.
		{lie: "loses the key id of an amendment", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) { a.KeyID = "" })},
		{lie: "cuts reasons to 255 bytes", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) {
			a.Reason = strings.ToValidUTF8(a.Reason[:min(len(a.Reason), 255)], "")
		})},
		{lie: "trims reasons", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) { a.Reason = strings.TrimSpace(a.Reason) })},
		{lie: "keeps instants of amendments in seconds", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) {
			a.At = a.At.Truncate(time.Second)
		})},
		{lie: "takes the wall clock of amendments for UTC", caughtBy: "every field of an amendment", fresh: twist(twisted{amend: func(q *query) {
			q.Amendment.At = wallClock(q.Amendment.At)
		}})},
		{lie: "takes the exchange rate of a reprice through a float", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) {
			throughFloat(&a.Cost.FX.Rate)
		})},
		{lie: "loses the calls of a reprice", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) { a.LLMCalls = nil })},
		{lie: "loses prices of a reprice beyond input and output", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) {
			a.Cost.Price.WebSearch = decimal.NullDecimal{}
		})},
		{lie: "takes every amendment for a void", caughtBy: "every field of an amendment", fresh: amendments(func(a *amendment) { a.Kind = humanhours.AmendVoid })},
		{lie: "shows amendments in the order of their instants", caughtBy: "amendments in their order", fresh: twist(twisted{shown: func(e *event) {
			slices.SortStableFunc(e.Amendments, func(a, b amendment) int { return a.At.Compare(b.At) })
		}})},
		{lie: "numbers amendments in text", caughtBy: "amendments in their order", fresh: twist(twisted{shown: func(e *event) {
			byText := make(map[string]amendment)
			for i, a := range e.Amendments {
				byText[strconv.Itoa(i)] = a
			}
			for i, key := range slices.Sorted(maps.Keys(byText)) {
				e.Amendments[i] = byText[key]
			}
		}})},
		{lie: "keeps 64 amendments", caughtBy: "amendments in their order", fresh: twist(twisted{shown: func(e *event) {
			e.Amendments = e.Amendments[:min(len(e.Amendments), 64)]
		}})},
		{lie: "shows no amendments in lists", caughtBy: "amended events among others", fresh: twist(twisted{listed: func(e *event) { e.Amendments = nil }})},
		{lie: "shows the amendments of the first page of a list", caughtBy: "amended events among others", fresh: one(func() store {
			n := 0
			return &twisted{Store: memory.New(), query: func(*humanhours.EventQuery) { n = 0 }, listed: func(e *event) {
				if n++; n > 256 {
					e.Amendments = nil
				}
			}}
		})},
		{lie: "shows no amendments after a cursor", caughtBy: "amended events among others", fresh: one(func() store {
			after := false
			return &twisted{Store: memory.New(), query: func(q *humanhours.EventQuery) { after = !q.After.IsZero() }, listed: func(e *event) {
				if after {
					e.Amendments = nil
				}
			}}
		})},
		{lie: "gives the amendments of an event to the next one", caughtBy: "amended events among others", fresh: one(func() store {
			var before []amendment
			return &twisted{Store: memory.New(), query: func(*humanhours.EventQuery) { before = nil }, listed: func(e *event) {
				before, e.Amendments = e.Amendments, before
			}}
		})},
		{lie: "holds its lock while a list is read, and to amend", caughtBy: "an event that is amended while a list is read", patience: 300 * time.Millisecond,
			fresh: with(func(s store) store {
				locked := 0
				return &twisted{
					Store: override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
						if locked > 0 {
							return amended{}, context.DeadlineExceeded
						}
						return s.Amend(ctx, q)
					}},
					query:  func(*humanhours.EventQuery) { locked = 0 },
					listed: func(*event) { locked++ },
				}
			})},
		{lie: "shows amendments in Append", caughtBy: "what Append and Replay answer of an amended event", fresh: with(func(s store) store {
			return &twisted{Store: s, answer: func(_ entry, a *appended) {
				if a.Event == nil {
					return
				}
				if e, ok, _ := s.Event(context.Background(), a.Event.Org, a.Event.ID); ok {
					a.Event.Amendments = e.Amendments
				}
			}}
		})},
		{lie: "shows amendments in Replay", caughtBy: "what Append and Replay answer of an amended event", fresh: with(func(s store) store {
			return &twisted{Store: s, found: func(_ humanhours.ReplayQuery, r *humanhours.Replay) {
				if e, ok, _ := s.Event(context.Background(), r.Event.Org, r.Event.ID); ok {
					r.Event.Amendments = e.Amendments
				}
			}}
		})},
		{lie: "answers a replay with the later price", caughtBy: "what Append and Replay answer of an amended event", fresh: with(func(s store) store {
			return &twisted{Store: s, answer: func(_ entry, a *appended) {
				if !a.Replayed {
					return
				}
				if e, ok, _ := s.Event(context.Background(), a.Event.Org, a.Event.ID); ok {
					current := e.Current()
					current.Amendments = nil
					a.Event = &current
				}
			}}
		})},
		{lie: "forgets the key of an event that was voided", caughtBy: "what Append and Replay answer of an amended event", fresh: with(func(s store) store {
			return &twisted{Store: s, found: func(_ humanhours.ReplayQuery, r *humanhours.Replay) {
				if e, _, _ := s.Event(context.Background(), r.Event.Org, r.Event.ID); e.Voided() {
					*r = humanhours.Replay{}
				}
			}}
		})},

		// Redactions.
		{lie: "erases nothing", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) { s.event = restore })},
		{lie: "erases nothing in lists", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) { s.listed = restore })},
		{lie: "erases nothing where events are shown", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) { s.shown = restore })},
		{lie: "erases nothing in Replay", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) {
			s.found = func(_ humanhours.ReplayQuery, r *humanhours.Replay) { restore(&r.Event) }
		})},
		{lie: "erases nothing in replays", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) {
			s.answer = func(_ entry, a *appended) {
				if a.Replayed {
					restore(a.Event)
				}
			}
		})},
		{lie: "erases nothing for an id that is stored", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) {
			s.answer = func(_ entry, a *appended) {
				if outcome(*a) == created {
					restore(a.Event)
				}
			}
		})},
		{lie: "erases the excerpts only", caughtBy: "a redaction", fresh: remembers(func(s *twisted, restore func(*event)) {
			s.event = func(e *event) {
				full := *e
				restore(&full)
				e.Metadata = full.Metadata
			}
		})},
		{lie: "erases the model too", caughtBy: "a redaction", fresh: twist(twisted{shown: func(e *event) {
			if e.Redacted() {
				e.Model = ""
			}
		}})},
		{lie: "erases what the calls of a run cost", caughtBy: "a redaction", fresh: twist(twisted{shown: func(e *event) {
			if e.Redacted() {
				e.LLMCalls = nil
			}
		}})},
		{lie: "erases all that has the same metadata", caughtBy: "a redaction", fresh: one(func() store {
			gone := false
			return &twisted{Store: memory.New(), amend: func(q *query) { gone = gone || q.Amendment.Kind == humanhours.AmendRedact }, event: func(e *event) {
				if gone && e.AuditSample.InputExcerpt == "Where is my parcel?" {
					e.Redact()
				}
			}}
		})},
		{lie: "erases after it has answered that it did", caughtBy: "a redaction is one step", fresh: with(func(s store) store {
			var hidden scratch[event]
			return &twisted{Store: override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
				was, _, _ := s.Event(ctx, q.Org, q.ID)
				hidden.set(q.ID, was)
				defer hidden.drop(q.ID)
				defer stall()
				return s.Amend(ctx, q)
			}}, event: func(e *event) {
				if was, ok := hidden.get(e.ID); ok {
					e.Metadata, e.AuditSample = was.Metadata, was.AuditSample
				}
			}}
		})},
		{lie: "erases before it amends", caughtBy: "a redaction is one step", fresh: with(func(s store) store {
			var gone scratch[bool]
			return &twisted{Store: override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
				gone.set(q.ID, true)
				stall()
				return s.Amend(ctx, q)
			}}, event: func(e *event) {
				if _, ok := gone.get(e.ID); ok {
					e.Redact()
				}
			}}
		})},
		{lie: "remembers events on each handle", caughtBy: "every handle knows what the others amended", fresh: func() []store {
			shared := memory.New()
			list := make([]store, handles)
			for i := range list {
				var known scratch[event]
				list[i] = override{Store: shared, event: func(ctx context.Context, org, id string) (event, bool, error) {
					if e, ok := known.get(id); ok {
						return e, true, ctx.Err()
					}
					e, ok, err := shared.Event(ctx, org, id)
					if ok {
						known.set(id, e)
					}
					return e, ok, err
				}}
			}
			return list
		}},
		{lie: "remembers replays on each handle", caughtBy: "every handle knows what the others amended", fresh: func() []store {
			shared := memory.New()
			list := make([]store, handles)
			for i := range list {
				var known scratch[humanhours.Replay]
				list[i] = override{Store: shared, replay: func(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
					if r, ok := known.get(q.Key); ok {
						return r, ctx.Err()
					}
					r, err := shared.Replay(ctx, q)
					if r.Found {
						known.set(q.Key, r)
					}
					return r, err
				}}
			}
			return list
		}},

		// Values and failure.
		{lie: "keeps the caller's amendment", caughtBy: "amendments are not shared", fresh: one(func() store {
			var kept scratch[[]humanhours.PricedCall]
			return &twisted{Store: memory.New(), amend: func(q *query) { kept.set(q.ID, q.Amendment.LLMCalls) }, shown: func(e *event) {
				if list, ok := kept.get(e.ID); ok && len(e.Amendments) == 1 {
					e.Amendments[0].LLMCalls = slices.Clone(list)
				}
			}}
		})},
		{lie: "answers with the caller's amendment", caughtBy: "amendments are not shared", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				got, err := s.Amend(ctx, q)
				if got.Stored {
					got.Event.Amendments[q.Base].LLMCalls = q.Amendment.LLMCalls
				}
				return got, err
			})},
		{lie: "writes to the caller's amendment", caughtBy: "amendments are not shared", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				got, err := s.Amend(ctx, q)
				for i := range q.Amendment.LLMCalls {
					q.Amendment.LLMCalls[i].Model = "vandal"
				}
				return got, err
			})},
		{lie: "hands out its own amendments", caughtBy: "amendments are not shared", fresh: one(func() store {
			var kept scratch[[]amendment]
			return &twisted{Store: memory.New(), shown: func(e *event) {
				list, ok := kept.get(e.ID)
				if !ok || len(list) < len(e.Amendments) {
					list = e.Amendments
					kept.set(e.ID, list)
				}
				e.Amendments = list
			}}
		})},
		{lie: "amends when the context has ended", caughtBy: "amending with an ended context", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				return s.Amend(context.WithoutCancel(ctx), q)
			})},
		{lie: "amends and then looks at the context", caughtBy: "amending with an ended context", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				got, err := s.Amend(context.WithoutCancel(ctx), q)
				if ctx.Err() != nil {
					return amended{}, ctx.Err()
				}
				return got, err
			})},

		// Many callers.
		{lie: "looks at Base and then writes", caughtBy: "one base, many callers", fresh: overAmend(
			func(ctx context.Context, s store, q query) (amended, error) {
				e, ok, err := s.Event(ctx, q.Org, q.ID)
				if err != nil || !ok || len(e.Amendments) != q.Base {
					return amended{Event: e, Found: ok}, err
				}
				stall()
				return insists(ctx, s, q)
			})},
		{lie: "amends nothing when many ask", caughtBy: "one base, many callers", fresh: with(func(s store) store {
			var mu sync.Mutex
			asking := 0
			return override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
				mu.Lock()
				asking++
				mu.Unlock()
				stall()
				mu.Lock()
				defer mu.Unlock()
				if asking > 1 {
					q.Base = -1
				}
				return s.Amend(ctx, q)
			}}
		})},
		{lie: "reads amendments and writes all of them again", caughtBy: "many callers who all get their turn", fresh: with(func(s store) store {
			var lists scratch[[]amendment]
			return &twisted{Store: override{Store: s, amend: func(ctx context.Context, q query) (amended, error) {
				list, _ := lists.get(q.ID)
				e, ok, err := s.Event(ctx, q.Org, q.ID)
				e.Amendments = slices.Clone(list)
				if len(list) != q.Base {
					return amended{Event: e, Found: ok}, err
				}
				stall()
				e.Amendments = append(e.Amendments, q.Amendment)
				lists.set(q.ID, e.Amendments)
				return amended{Event: e, Found: ok, Stored: true}, err
			}}, shown: func(e *event) {
				list, _ := lists.get(e.ID)
				e.Amendments = slices.Clone(list)
			}}
		})},

		// History.
		{lie: "notes no amendments", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			s.history = func(_ humanhours.HistoryQuery, changes []change) []change {
				return slices.DeleteFunc(changes, func(c change) bool { return ofEvent(c) || strings.HasPrefix(c.Subject, "line") })
			}
		})},
		{lie: "makes an org of a line of history", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			s.org = func(o humanhours.Org, ok bool) (humanhours.Org, bool) { return o, true }
		})},
		{lie: "counts an amendment as a version", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			s.amend = func(ctx context.Context, q query) (amended, error) {
				got, err := s.Store.Amend(ctx, q)
				if _, there, _ := s.Store.Org(ctx, q.Org); there && got.Stored {
					_, err = s.Store.UpdateOrg(ctx, q.Org, func(*humanhours.Org) ([]change, error) { return nil, nil })
				}
				return got, err
			}
		})},
		{lie: "starts the history with the settings", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			start := 0
			s.update = func(ctx context.Context, id string, f func(*humanhours.Org) ([]change, error)) (humanhours.Org, error) {
				if _, there, _ := s.Store.Org(ctx, id); !there {
					lines, _ := s.Store.History(ctx, humanhours.HistoryQuery{Org: id})
					start = len(lines)
				}
				return s.Store.UpdateOrg(ctx, id, f)
			}
			s.history = func(_ humanhours.HistoryQuery, changes []change) []change { return changes[min(start, len(changes)):] }
		})},
		{lie: "keeps the latest line about an event", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			s.history = func(_ humanhours.HistoryQuery, changes []change) []change { return changes[max(0, len(changes)-1):] }
		})},
		{lie: "notes the instant of the amendment in its zone", caughtBy: "an amendment in the history of an org", fresh: onHistory(func(s *historian) {
			s.amend = func(ctx context.Context, q query) (amended, error) {
				q.Change.At = wallClock(q.Change.At)
				return s.Store.Amend(ctx, q)
			}
		})},
		{lie: "notes an amendment in a second step", caughtBy: "an amendment and its history can be seen together", fresh: onHistory(func(s *historian) {
			var mu sync.Mutex
			told := 0
			s.amend = func(ctx context.Context, q query) (amended, error) {
				got, err := s.Store.Amend(ctx, q)
				stall()
				mu.Lock()
				defer mu.Unlock()
				told++
				return got, err
			}
			s.history = func(_ humanhours.HistoryQuery, changes []change) []change {
				mu.Lock()
				defer mu.Unlock()
				return changes[:min(told, len(changes))]
			}
		})},
		{lie: "notes an amendment before it makes it", caughtBy: "an amendment and its history can be seen together", fresh: onHistory(func(s *historian) {
			var mu sync.Mutex
			var lines []change
			s.amend = func(ctx context.Context, q query) (amended, error) {
				mu.Lock()
				lines = append(lines, q.Change)
				mu.Unlock()
				stall()
				return s.Store.Amend(ctx, q)
			}
			s.history = func(humanhours.HistoryQuery, []change) []change {
				mu.Lock()
				defer mu.Unlock()
				return numbers(lines)
			}
		})},
		{lie: "reads the history and writes all of it again", caughtBy: "amendments beside updates of the org", fresh: onHistory(amendingHistory)},
	}
	return liars
}

func TestHistorianIsHonest(t *testing.T) {
	Run(t, func(testing.TB) humanhours.Store { return &historian{Store: memory.New()} })
}
