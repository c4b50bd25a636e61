package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/humanhours/humanhours-go"
)

// ended are contexts that have ended, with the error that each must be answered with.
func (k *kit) ended() map[error]context.Context {
	cancelled, cancel := context.WithCancel(k.Context())
	cancel()
	late, cancel := context.WithDeadline(k.Context(), epoch)
	k.Cleanup(cancel)
	return map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late}
}

// answers checks that a call which was made with an ended context gives its error, and promptly.
func (k *kit) answers(what string, want error, call func() error) {
	k.Helper()
	var err error
	k.within(what+" with a context that has ended", func() { err = call() })
	if !errors.Is(err, want) {
		k.Fatalf("%s with a context that has ended gave the error %v, want %v", what, err, want)
	}
}

func failureProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"Append with an ended context", endedContext, func(k *kit, s humanhours.Store) {
			for want, ctx := range k.ended() {
				entries := []humanhours.Entry{
					k.entry("acme", key("1 "+want.Error())), k.entry("acme"), k.entry("other", key("1 "+want.Error())),
				}
				var results []humanhours.Appended
				k.within("Append with a context that has ended", func() { results = s.Append(ctx, entries) })
				if len(results) != len(entries) {
					k.Fatalf("Append of %d entries gave %d results", len(entries), len(results))
				}
				for i, got := range results {
					k.is("an entry with a context that has ended", got, failed, humanhours.Event{})
					if !errors.Is(got.Err, want) {
						k.Fatalf("the error is %v, want %v", got.Err, want)
					}
					k.absent(s, entries[i])
				}
				k.used(s, "acme", epoch, 0)
				k.used(s, "other", epoch, 0)
			}
			for want := range k.ended() { // the keys were not burned
				k.create(s, k.entry("acme", key("1 "+want.Error())))
			}
		}},
		{"reading with an ended context", endedContext, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			k.create(s, e)
			for _, org := range []string{"acme", "unknown"} {
				for want, ctx := range k.ended() {
					k.answers("Replay", want, func() error {
						found, err := s.Replay(ctx, humanhours.ReplayQuery{Org: org, Key: "k", At: epoch})
						if found.Found {
							return errors.New("none, but an event")
						}
						return err
					})
					k.answers("Event", want, func() error {
						_, ok, err := s.Event(ctx, org, e.Event.ID)
						if ok {
							return errors.New("none, but an event")
						}
						return err
					})
					k.answers("Usage", want, func() error {
						_, err := s.Usage(ctx, org, humanhours.MonthOf(epoch))
						return err
					})
					k.answers("Agents", want, func() error {
						list, err := s.Agents(ctx, org, false)
						if len(list) > 0 {
							return errors.New("none, but agents")
						}
						return err
					})
					k.answers("Events", want, func() error {
						var errs []error
						for _, err := range s.Events(ctx, humanhours.EventQuery{Org: org}) {
							if len(errs) == 2 {
								break
							}
							errs = append(errs, err)
						}
						if len(errs) != 1 {
							return errors.New("none, or more after it")
						}
						return errs[0]
					})
				}
			}
		}},
		{"a context that ends while events are read", endedContext, func(k *kit, s humanhours.Store) {
			const stored = humanhours.MaxBatch
			entries := make([]humanhours.Entry, stored)
			for i := range entries {
				entries[i] = k.entry("acme")
			}
			k.append(s, entries...)
			for _, limit := range []int{0, stored} {
				ctx, cancel := context.WithCancel(k.Context())
				defer cancel()
				var n int
				k.answers("Events", context.Canceled, func() (last error) {
					for _, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme", Limit: limit}) {
						if last != nil {
							return errors.New("an error, and more after it")
						}
						if last = err; err == nil {
							n++
						}
						if n == 3 {
							cancel()
						}
					}
					return last
				})
				if n < 3 || n == stored {
					k.Fatalf("a context that ended after 3 of %d events let %d through", stored, n)
				}
			}
		}},
		{"invalid entries", invalidAlone, func(k *kit, s humanhours.Store) {
			for _, bad := range invalid(k) {
				k.is("an invalid entry", k.append(s, bad)[0], failed, humanhours.Event{})
			}
			for _, bad := range invalid(k) {
				good := k.entry("acme")
				k.batch(s, step{entry: bad, want: failed}, step{entry: good, want: created}, step{entry: bad, want: failed})
				k.stored(s, good.Event)
				if bad.Event.ID != "" && bad.Event.Org != "" {
					k.absent(s, humanhours.Entry{Event: bad.Event, Key: bad.Key, At: epoch})
				}
			}
			for _, org := range []string{"", "acme"} {
				for _, e := range k.list(s, humanhours.EventQuery{Org: org}) {
					if e.ID == "" || e.Org == "" {
						k.Fatalf("an invalid event is stored: id %q, org %q", e.ID, e.Org)
					}
				}
			}
			k.used(s, "acme", epoch, 5)
			k.used(s, "", epoch, 0)
			k.used(s, "acme", time.Time{}, 0)
			k.create(s, k.entry("acme", key("invalid"))) // which no invalid entry has burned
		}},
	}
}
