package storetest

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// looseOrgs is a plain OrgStore. It is honest when nothing in it is set.
type looseOrgs struct {
	file    func(id string) string              // what an org is filed under
	copies  func(humanhours.Org) humanhours.Org // how an org is copied on its way in and out; defaults to Clone
	between func()                              // happens between reading and writing, and the write is blind; nil: both are one step
	keep    func(was, now *humanhours.Org)      // changes what is stored; defaults to setting ID and Version
	answer  func(*humanhours.Org)               // changes what UpdateOrg returns
	failure func(error) error                   // changes the error of f
	early   bool                                // writes history before f is known to succeed
	creates bool                                // an org is there once somebody has tried to update it
	last    bool                                // keeps the latest changes only
	late    bool                                // writes history in a second step
	deaf    bool                                // does not look at the context
	sorted  bool                                // orders history by its instants
	page    func(*humanhours.HistoryQuery)      // changes what is asked of history

	unnumbered bool // history has one seq only
	shared     bool // hands out its own history

	mu      sync.Mutex
	orgs    map[string]humanhours.Org
	history map[string][]humanhours.Change
}

func (s *looseOrgs) name(id string) string {
	if s.file == nil {
		return id
	}
	return s.file(id)
}

func (s *looseOrgs) copy(o humanhours.Org) humanhours.Org {
	if s.copies == nil {
		return o.Clone()
	}
	return s.copies(o)
}

func (s *looseOrgs) Org(ctx context.Context, id string) (humanhours.Org, bool, error) {
	if err := ctx.Err(); err != nil && !s.deaf {
		return humanhours.Org{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.orgs[s.name(id)]
	return s.copy(o), ok, nil
}

func (s *looseOrgs) UpdateOrg(ctx context.Context, id string, f func(*humanhours.Org) ([]humanhours.Change, error)) (humanhours.Org, error) {
	if err := ctx.Err(); err != nil && !s.deaf {
		return humanhours.Org{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orgs == nil {
		s.orgs, s.history = make(map[string]humanhours.Org), make(map[string][]humanhours.Change)
	}
	name := s.name(id)
	was, ok := s.orgs[name]
	if !ok {
		was.ID = id
		if s.creates {
			s.orgs[name] = was
		}
	}
	now := s.copy(was)
	if s.between != nil {
		s.mu.Unlock()
		s.between()
	}
	changes, err := f(&now)
	if s.between != nil {
		s.between()
		s.mu.Lock()
	}
	if s.early {
		s.history[name] = append(s.history[name], changes...)
	}
	if err != nil {
		if s.failure != nil {
			err = s.failure(err)
		}
		return humanhours.Org{}, err
	}
	if s.keep == nil {
		now.ID, now.Version = id, was.Version+1
	} else {
		s.keep(&was, &now)
	}
	s.orgs[name] = s.copy(now)
	if s.late {
		s.mu.Unlock()
		stall()
		s.mu.Lock()
	}
	if s.last {
		s.history[name] = nil
	}
	if !s.early {
		s.history[name] = append(s.history[name], changes...)
	}
	answer := s.copy(now) // f has a pointer to now
	call(s.answer, &answer)
	return answer, nil
}

func (s *looseOrgs) History(ctx context.Context, q humanhours.HistoryQuery) ([]humanhours.Change, error) {
	if err := ctx.Err(); err != nil && !s.deaf {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	history := s.history[s.name(q.Org)]
	for i := range history {
		history[i].Seq = int64(i + 1)
	}
	if s.shared {
		return history, nil
	}
	history = slices.Clone(history)
	if s.sorted {
		slices.SortStableFunc(history, func(a, b humanhours.Change) int { return a.At.Compare(b.At) })
	}
	call(s.page, &q)
	last := len(history)
	if q.Before > 0 {
		last = int(min(int64(last), q.Before-1))
	}
	first := 0
	if q.Limit > 0 {
		first = max(0, last-q.Limit)
	}
	if first == last {
		return nil, nil
	}
	history = history[first:last]
	if s.unnumbered {
		for i := range history {
			history[i].Seq = 7
		}
	}
	return history, nil
}

func orgLiars() []liar[[]humanhours.OrgStore] {
	type org = humanhours.Org
	of := func(lie string, caughtBy string, make func() *looseOrgs) liar[[]humanhours.OrgStore] {
		return liar[[]humanhours.OrgStore]{lie: lie, caughtBy: caughtBy, fresh: func() []humanhours.OrgStore {
			return []humanhours.OrgStore{make()}
		}}
	}
	alike := func(o org) org { return o }
	changed := func(change func(*org)) func() *looseOrgs {
		return func() *looseOrgs {
			return &looseOrgs{copies: func(o org) org {
				o = o.Clone()
				change(&o)
				return o
			}}
		}
	}
	return []liar[[]humanhours.OrgStore]{
		of("writes over what others wrote", "many updates at once", func() *looseOrgs { return &looseOrgs{between: stall} }),
		of("writes over what another wrote meanwhile", "an update during another", func() *looseOrgs { return &looseOrgs{between: func() {}} }),
		of("writes history in a second step", "an update and its history can be seen together", func() *looseOrgs { return &looseOrgs{late: true} }),
		of("loses history when others write", "history of many updates at once", func() *looseOrgs { return &looseOrgs{last: true} }),
		of("hands out its own maps", "maps are not shared", func() *looseOrgs { return &looseOrgs{copies: alike} }),
		of("hands out its own maps to readers", "a snapshot stays as it is", func() *looseOrgs { return &looseOrgs{copies: alike} }),
		of("hands out its own history", "maps are not shared", func() *looseOrgs { return &looseOrgs{shared: true} }),
		of("copies one of the maps", "maps are not shared", func() *looseOrgs {
			return &looseOrgs{copies: func(o org) org {
				o.Agents = maps.Clone(o.Agents)
				return o
			}}
		}),
		of("lets f set the version", "ID and Version are not f's", func() *looseOrgs {
			return &looseOrgs{keep: func(_, now *org) { now.Version++ }}
		}),
		of("does not count an update without changes", "ID and Version are not f's", func() *looseOrgs {
			return &looseOrgs{keep: func(was, now *org) {
				now.ID, now.Version = was.ID, was.Version
				if now.Plan != was.Plan || was.Version == 0 {
					now.Version++
				}
			}}
		}),
		of("tells f the id of no org", "what f is given", func() *looseOrgs {
			return &looseOrgs{copies: func(o org) org {
				o = o.Clone()
				if o.Version == 0 {
					o.ID = ""
				}
				return o
			}}
		}),
		of("hides the error of f", "an error of f", func() *looseOrgs {
			return &looseOrgs{failure: func(err error) error { return errors.New("update: " + err.Error()) }}
		}),
		of("writes history although f fails", "an error of f", func() *looseOrgs { return &looseOrgs{early: true} }),
		of("creates an org although f fails", "an error of f", func() *looseOrgs { return &looseOrgs{creates: true} }),
		of("has empty settings for an org that is not there", "an org that is not there", func() *looseOrgs {
			return &looseOrgs{copies: func(o org) org {
				o = o.Clone()
				if o.Currency == "" {
					o.Currency = humanhours.DefaultCurrency
				}
				return o
			}}
		}),
		of("keeps the latest changes only", "history", func() *looseOrgs { return &looseOrgs{last: true} }),
		of("orders history by its instants", "history", func() *looseOrgs { return &looseOrgs{sorted: true} }),
		of("gives all changes one seq", "history", func() *looseOrgs { return &looseOrgs{unnumbered: true} }),
		of("gives all of history at once", "pages of history", func() *looseOrgs {
			return &looseOrgs{page: func(q *humanhours.HistoryQuery) { q.Limit = 0 }}
		}),
		of("starts each page at the end", "pages of history", func() *looseOrgs {
			return &looseOrgs{page: func(q *humanhours.HistoryQuery) { q.Before = 0 }}
		}),
		of("has a change on two pages", "pages of history", func() *looseOrgs {
			return &looseOrgs{page: func(q *humanhours.HistoryQuery) {
				if q.Before > 0 && q.Before < math.MaxInt64 {
					q.Before++
				}
			}}
		}),
		of("compares ids without case", "ids never collide", func() *looseOrgs { return &looseOrgs{file: strings.ToLower} }),
		of("mends ids that are not UTF-8", "ids never collide", func() *looseOrgs { return &looseOrgs{file: mended} }),
		of("does not look at the context", "an ended context", func() *looseOrgs { return &looseOrgs{deaf: true} }),
		of("keeps four decimals of a rate", "every setting of an org", changed(func(o *org) { o.HourlyRate.Decimal = o.HourlyRate.Decimal.Round(4) })),
		of("takes no rate for a rate of 0", "every setting of an org", changed(func(o *org) { o.HourlyRate.Valid = true })),
		of("loses when a type was archived", "every setting of an org", changed(func(o *org) {
			for name, tt := range o.TaskTypes {
				tt.ArchivedAt = tt.ArchivedAt.Truncate(time.Second)
				o.TaskTypes[name] = tt
			}
		})),
		of("takes the wall clock for UTC", "instants of other time zones", changed(func(o *org) {
			for name, override := range o.Overrides {
				override.At = wallClock(override.At)
				o.Overrides[name] = override
			}
		})),
		of("answers without the version", "the org as stored", func() *looseOrgs {
			return &looseOrgs{answer: func(o *org) { o.Version = 0 }}
		}),
		{lie: "does not hear of other handles", caughtBy: "every handle knows what the others updated", fresh: func() []humanhours.OrgStore {
			return []humanhours.OrgStore{memory.New(), memory.New()}
		}},
	}
}

func TestOrgLiarsAreCaught(t *testing.T) {
	expose(t, append(lift(orgProofs()), sharedOrgProofs()...), orgLiars())
}

func TestHonestOrgStoresAreNotAccused(t *testing.T) {
	RunOrgs(t, func(testing.TB) humanhours.OrgStore { return memory.New() })
	t.Run("loose", func(t *testing.T) { RunOrgs(t, func(testing.TB) humanhours.OrgStore { return &looseOrgs{} }) })
}
