package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// sampleOrg returns an org in which everything is set, without ID and Version.
func sampleOrg() humanhours.Org {
	minutes := null("12.345678901")
	return humanhours.Org{
		Plan: "pro", Currency: "CHF", HourlyRate: null("999999.999999999"),
		Agents: map[string]humanhours.Agent{
			"agent-1":          {DisplayName: "Zoë 😀", HourlyRate: null("0.000000001")},
			"agent-2":          {},
			`"a":b, {c}\d <&>`: {DisplayName: "two\nlines", HourlyRate: null("0")},
		},
		Overrides: map[string]humanhours.Override{
			"ticket_deflection": {BaselineMinutes: dec("525599.999999999"), Reason: `measured: "ours"`, At: epoch},
			"code_review":       {BaselineMinutes: decimal.Decimal{}},
		},
		TaskTypes: map[string]humanhours.TaskType{
			"own_type": {
				Key: "own_type", DisplayName: "Own", Category: "support", Unit: "one ticket",
				BaselineMinutes: minutes, LowMinutes: null("0.1"), HighMinutes: null("525600"),
				Source: humanhours.Evidence{
					Kind: "measured", Title: "t", Publisher: "p", Year: 2025, URL: "https://example.com/?a=1&b=2", Figure: "12 min", Derivation: "d",
				},
				ArchivedAt: epoch.Add(time.Millisecond),
			},
			"bare_type": {Key: "bare_type"},
		},
	}
}

// sampleChanges returns n lines of history, told apart by tag.
func sampleChanges(tag string, n int) []humanhours.Change {
	changes := make([]humanhours.Change, n)
	for i := range changes {
		changes[i] = humanhours.Change{
			At: epoch.Add(time.Duration(i) * time.Millisecond), KeyID: "3fK9xQ2b", Subject: fmt.Sprint(tag, " ", i), Old: "45", New: `60 "é"` + "\n", Reason: "why",
		}
	}
	return changes
}

// update runs UpdateOrg, which must succeed.
func (k *kit) update(s humanhours.OrgStore, id string, f func(*humanhours.Org) []humanhours.Change) humanhours.Org {
	k.Helper()
	org, err := s.UpdateOrg(k.Context(), id, func(o *humanhours.Org) ([]humanhours.Change, error) { return f(o), nil })
	if err != nil {
		k.Fatalf("UpdateOrg: %v", err)
	}
	return org
}

// org reads an org, which must be there.
func (k *kit) org(s humanhours.OrgStore, id string) humanhours.Org {
	k.Helper()
	org, ok, err := s.Org(k.Context(), id)
	if err != nil || !ok {
		k.Fatalf("Org %q: found %t, error %v", id, ok, err)
	}
	return org
}

// noOrg checks that there is no org of an id.
func (k *kit) noOrg(s humanhours.OrgStore, id string) {
	k.Helper()
	org, ok, err := s.Org(k.Context(), id)
	if err != nil || ok {
		k.Fatalf("Org %q, which was never stored: found %t, error %v", id, ok, err)
	}
	k.equal("an org that is not there", org, humanhours.Org{})
	k.history(s, id)
}

// history checks the history of an org.
func (k *kit) history(s humanhours.OrgStore, id string, want ...humanhours.Change) {
	k.Helper()
	got, err := s.History(k.Context(), humanhours.HistoryQuery{Org: id})
	if err != nil {
		k.Fatalf("History: %v", err)
	}
	k.equal("the history", k.unnumbered(got), want)
}

// unnumbered checks that Seq grows, and takes it out: a store numbers as it likes.
func (k *kit) unnumbered(changes []humanhours.Change) []humanhours.Change {
	k.Helper()
	var last int64
	for i := range changes {
		if changes[i].Seq <= last {
			k.Fatalf("the change behind the one of seq %d has seq %d", last, changes[i].Seq)
		}
		last, changes[i].Seq = changes[i].Seq, 0
	}
	return changes
}

// equal compares two values of one type by diff.
func (k *kit) equal(what string, got, want any) {
	k.Helper()
	if d := diff(what, reflect.ValueOf(got), reflect.ValueOf(want)); d != "" {
		k.Fatal(d)
	}
}

// numbered returns an org with what the store sets.
func numbered(want humanhours.Org, id string, version int64) humanhours.Org {
	want.ID, want.Version = id, version
	return want
}

// setAll makes an org what sampleOrg returns.
func setAll(o *humanhours.Org) []humanhours.Change {
	*o = sampleOrg()
	return sampleChanges("set", 1)
}

// vandalise changes everything in the maps of an org.
func vandalise(o humanhours.Org) {
	for name := range o.Agents {
		o.Agents[name] = humanhours.Agent{DisplayName: "vandal"}
	}
	for name := range o.Overrides {
		o.Overrides[name] = humanhours.Override{Reason: "vandal"}
	}
	for name := range o.TaskTypes {
		o.TaskTypes[name] = humanhours.TaskType{Key: "vandal"}
	}
	if o.Agents != nil {
		o.Agents["vandal"] = humanhours.Agent{}
	}
}

func orgProofs() []proof[humanhours.OrgStore] {
	return []proof[humanhours.OrgStore]{
		{"an org that is not there", orgSnapshot, func(k *kit, s humanhours.OrgStore) {
			k.noOrg(s, "acme")
			k.update(s, "other", setAll)
			k.noOrg(s, "acme")
		}},
		{"a snapshot stays as it is", orgSnapshot, func(k *kit, s humanhours.OrgStore) {
			k.update(s, "acme", setAll)
			before := k.org(s, "acme")
			k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
				vandalise(*o)
				o.Plan = "free"
				return nil
			})
			k.equal("a snapshot, after an update", before, numbered(sampleOrg(), "acme", 1))
			if after := k.org(s, "acme"); after.Plan != "free" || after.Agents["agent-1"].DisplayName != "vandal" {
				k.Fatalf("a snapshot after the update does not show it: %+v", after)
			}
		}},
		{"every setting of an org", orgsExact, func(k *kit, s humanhours.OrgStore) {
			k.equal("UpdateOrg", k.update(s, "acme", setAll), numbered(sampleOrg(), "acme", 1))
			k.equal("Org", k.org(s, "acme"), numbered(sampleOrg(), "acme", 1))
			k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
				k.equal("the argument of f", *o, numbered(sampleOrg(), "acme", 1))
				*o = humanhours.Org{}
				return nil
			})
			k.equal("an org whose settings were removed", k.org(s, "acme"), numbered(humanhours.Org{}, "acme", 2))
			for i, rate := range []string{"0.000000001", "1000000", "45.10", "0.1", "123456.789012345", "0"} {
				k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
					o.HourlyRate = null(rate)
					o.Overrides = map[string]humanhours.Override{"x": {BaselineMinutes: dec(rate), At: epoch.Add(time.Duration(i) * time.Millisecond)}}
					return nil
				})
				got := k.org(s, "acme")
				k.equal("a rate", got.HourlyRate, null(rate))
				k.equal("a baseline", got.Overrides["x"], humanhours.Override{BaselineMinutes: dec(rate), At: epoch.Add(time.Duration(i) * time.Millisecond)})
			}
		}},
		{"instants of other time zones", orgsExact, func(k *kit, s humanhours.OrgStore) {
			for i, zone := range []*time.Location{time.FixedZone("", 14*3600), time.FixedZone("XYZ", -11*3600)} {
				moment := epoch.Add(time.Duration(i) * time.Millisecond)
				k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
					o.Overrides = map[string]humanhours.Override{"x": {At: moment.In(zone)}}
					o.TaskTypes = map[string]humanhours.TaskType{"y": {ArchivedAt: moment.In(zone)}}
					return []humanhours.Change{{At: moment.In(zone)}}
				})
				org := k.org(s, "acme")
				history, err := s.History(k.Context(), humanhours.HistoryQuery{Org: "acme"})
				if err != nil || len(history) != i+1 {
					k.Fatalf("%d lines of history, want %d (error %v)", len(history), i+1, err)
				}
				for _, got := range []time.Time{org.Overrides["x"].At, org.TaskTypes["y"].ArchivedAt, history[i].At} {
					if !got.Equal(moment) {
						k.Fatalf("an instant is %v, want %v", got, moment)
					}
				}
			}
		}},
		{"ids never collide", opaqueOrgIDs, func(k *kit, s humanhours.OrgStore) {
			set := func(id string) humanhours.Org { return humanhours.Org{Plan: fmt.Sprintf("%x", id)} }
			for _, id := range names() {
				k.update(s, id, func(o *humanhours.Org) []humanhours.Change {
					k.equal("the argument of f for an org that is not there", *o, humanhours.Org{ID: id})
					*o = set(id)
					return []humanhours.Change{{At: epoch, Subject: o.Plan}}
				})
			}
			for _, id := range names() {
				k.equal("an org", k.org(s, id), numbered(set(id), id, 1))
				k.history(s, id, humanhours.Change{At: epoch, Subject: set(id).Plan})
			}
		}},
		{"what f is given", orgPrivateCopy, func(k *kit, s humanhours.OrgStore) {
			calls := 0
			k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
				calls++
				k.equal("the argument of f for an org that is not there", *o, humanhours.Org{ID: "acme"})
				return setAll(o)
			})
			k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
				calls++
				k.equal("the argument of f", *o, numbered(sampleOrg(), "acme", 1))
				o.Agents["agent-3"] = humanhours.Agent{DisplayName: "new"}
				return nil
			})
			if calls < 2 {
				k.Fatalf("f ran %d times in two updates", calls)
			}
			want := sampleOrg()
			want.Agents["agent-3"] = humanhours.Agent{DisplayName: "new"}
			k.equal("the org", k.org(s, "acme"), numbered(want, "acme", 2))
		}},
		{"maps are not shared", orgMapsPrivate, func(k *kit, s humanhours.OrgStore) {
			given := sampleOrg()
			changes := sampleChanges("set", 2)
			var argument *humanhours.Org
			answer := k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
				argument = o
				*o = given
				return changes
			})
			vandalise(given)
			vandalise(*argument)
			argument.Plan = "vandal"
			changes[0].Subject = "vandal"
			k.equal("what UpdateOrg returned, after the argument of f has been changed", answer, numbered(sampleOrg(), "acme", 1))
			vandalise(answer)
			for range 2 {
				got := k.org(s, "acme")
				k.equal("Org", got, numbered(sampleOrg(), "acme", 1))
				vandalise(got)
				history, err := s.History(k.Context(), humanhours.HistoryQuery{Org: "acme"})
				if err != nil {
					k.Fatalf("History: %v", err)
				}
				k.equal("History", k.unnumbered(history), sampleChanges("set", 2))
				history[0].Subject = "vandal"
				history = append(history, humanhours.Change{Subject: "vandal"})
				_ = history
			}
			stop := errors.New("stop")
			_, err := s.UpdateOrg(k.Context(), "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
				k.equal("the argument of f", *o, numbered(sampleOrg(), "acme", 1))
				vandalise(*o)
				return nil, stop
			})
			if !errors.Is(err, stop) {
				k.Fatalf("UpdateOrg gave the error %v, want the one of f", err)
			}
			k.equal("Org, after an update that failed", k.org(s, "acme"), numbered(sampleOrg(), "acme", 1))
			k.update(s, "acme", func(*humanhours.Org) []humanhours.Change { return sampleChanges("more", 1) })
			k.history(s, "acme", append(sampleChanges("set", 2), sampleChanges("more", 1)...)...)
		}},
		{"ID and Version are not f's", orgOwnFields, func(k *kit, s humanhours.OrgStore) {
			for version := int64(1); version <= 4; version++ {
				got := k.update(s, "acme", func(o *humanhours.Org) []humanhours.Change {
					if o.ID != "acme" || o.Version != version-1 {
						k.Fatalf("f got ID %q and Version %d, want %q and %d", o.ID, o.Version, "acme", version-1)
					}
					switch version { // the last update changes nothing, and is one
					case 1:
						o.ID, o.Version = "other", 77
					case 2:
						o.ID, o.Version = "", 0
					case 3:
						o.Version = -1
					}
					return nil
				})
				if got.ID != "acme" || got.Version != version {
					k.Fatalf("UpdateOrg returned ID %q and Version %d, want %q and %d", got.ID, got.Version, "acme", version)
				}
				k.equal("the org", k.org(s, "acme"), humanhours.Org{ID: "acme", Version: version})
			}
			k.noOrg(s, "other")
		}},
		{"an error of f", orgErrorOfF, func(k *kit, s humanhours.OrgStore) {
			mine := errors.New("mine")
			fail := func(id string) {
				k.Helper()
				org, err := s.UpdateOrg(k.Context(), id, func(o *humanhours.Org) ([]humanhours.Change, error) {
					o.Plan = "vandal"
					vandalise(*o)
					return sampleChanges("vandal", 1), fmt.Errorf("wrapped: %w", mine)
				})
				if !errors.Is(err, mine) {
					k.Fatalf("UpdateOrg gave the error %v, want the one of f", err)
				}
				k.equal("UpdateOrg that failed", org, humanhours.Org{})
			}
			fail("acme")
			k.noOrg(s, "acme")
			k.update(s, "acme", setAll)
			fail("acme")
			k.equal("the org", k.org(s, "acme"), numbered(sampleOrg(), "acme", 1))
			k.history(s, "acme", sampleChanges("set", 1)...)
		}},
		{"the org as stored", orgAsStored, func(k *kit, s humanhours.OrgStore) {
			for range 3 {
				got := k.update(s, "acme", setAll)
				k.equal("UpdateOrg", got, k.org(s, "acme"))
			}
		}},
		{"history", orgHistory, func(k *kit, s humanhours.OrgStore) {
			k.history(s, "acme")
			var want []humanhours.Change
			for i, n := range []int{3, 0, 1, 20, 1} {
				// Their instants go back: the order is that of storing.
				changes := sampleChanges(fmt.Sprint("update ", i), n)
				for j := range changes {
					changes[j].At = changes[j].At.Add(-time.Duration(i) * time.Hour)
				}
				k.update(s, "acme", func(*humanhours.Org) []humanhours.Change { return changes })
				k.update(s, "other", func(*humanhours.Org) []humanhours.Change { return sampleChanges("other", 1) })
				want = append(want, changes...)
				k.history(s, "acme", want...)
			}
			bare := humanhours.Change{At: epoch, Subject: "hourly_rate"}
			k.update(s, "acme", func(*humanhours.Org) []humanhours.Change { return []humanhours.Change{bare} })
			k.history(s, "acme", append(want, bare)...)
		}},
		{"pages of history", orgHistoryPage, func(k *kit, s humanhours.OrgStore) {
			const n = 12
			for i := range n {
				k.update(s, "acme", func(*humanhours.Org) []humanhours.Change { return sampleChanges(fmt.Sprint(i), 1) })
				k.update(s, "other", func(*humanhours.Org) []humanhours.Change { return sampleChanges("other", 1) })
			}
			page := func(before int64, limit int) []humanhours.Change {
				changes, err := s.History(k.Context(), humanhours.HistoryQuery{Org: "acme", Before: before, Limit: limit})
				if err != nil {
					k.Fatalf("History: %v", err)
				}
				return changes
			}
			all := page(0, 0)
			if len(all) != n {
				k.Fatalf("%d changes, want %d", len(all), n)
			}
			for _, limit := range []int{0, 1, 5, n, n + 1, math.MaxInt32} {
				for end := range n + 1 {
					before := all[n-1].Seq + 1
					if end < n {
						before = all[end].Seq
					}
					want := all[:end]
					if limit > 0 {
						want = want[max(0, end-limit):]
					}
					if end == 0 {
						want = nil
					}
					k.equal(fmt.Sprintf("up to %d changes before seq %d", limit, before), page(before, limit), slices.Clip(want))
				}
				k.equal("the last changes", page(0, limit), page(math.MaxInt64, limit))
			}
			k.equal("before the first of all", page(1, 3), []humanhours.Change(nil))
		}},
		{"an ended context", orgsPrompt, func(k *kit, s humanhours.OrgStore) {
			k.update(s, "acme", setAll)
			for _, id := range []string{"acme", "unknown"} {
				for want, ctx := range k.ended() {
					k.answers("Org", want, func() error {
						_, ok, err := s.Org(ctx, id)
						if ok {
							return errors.New("none, but an org")
						}
						return err
					})
					k.answers("History", want, func() error {
						_, err := s.History(ctx, humanhours.HistoryQuery{Org: id})
						return err
					})
					k.answers("UpdateOrg", want, func() error {
						_, err := s.UpdateOrg(ctx, id, func(o *humanhours.Org) ([]humanhours.Change, error) {
							o.Plan = "vandal"
							return sampleChanges("vandal", 1), nil
						})
						return err
					})
				}
			}
			k.equal("the org", k.org(s, "acme"), numbered(sampleOrg(), "acme", 1))
			k.history(s, "acme", sampleChanges("set", 1)...)
			k.noOrg(s, "unknown")
		}},
	}
}

func sharedOrgProofs() []proof[[]humanhours.OrgStore] {
	return []proof[[]humanhours.OrgStore]{
		{"many updates at once", orgNoneLost, func(k *kit, stores []humanhours.OrgStore) {
			const updaters, rounds = 12, 4
			ctx := k.Context()
			errs := make([]error, updaters)
			k.race(updaters, func(i int) { errs[i] = raise(ctx, stores[i%len(stores)], fmt.Sprint("agent-", i), rounds) })
			for _, err := range errs {
				if err != nil {
					k.Fatalf("UpdateOrg: %v", err)
				}
			}
			org := k.org(stores[0], "acme")
			if org.Version != updaters*rounds || len(org.Agents) != updaters {
				k.Fatalf("after %d updates by %d callers the version is %d and %d of them show", updaters*rounds, updaters, org.Version, len(org.Agents))
			}
			k.equal("a rate that each update raises by 1", org.HourlyRate.Decimal, decimal.NewFromInt(updaters*rounds))
		}},
		{"history of many updates at once", orgHistoryStep, func(k *kit, stores []humanhours.OrgStore) {
			const updaters, rounds = 12, 4
			ctx := k.Context()
			errs := make([]error, updaters)
			k.race(updaters, func(i int) { errs[i] = raise(ctx, stores[i%len(stores)], fmt.Sprint("agent-", i), rounds) })
			for _, err := range errs {
				if err != nil {
					k.Fatalf("UpdateOrg: %v", err)
				}
			}
			history, err := stores[0].History(ctx, humanhours.HistoryQuery{Org: "acme"})
			if err != nil {
				k.Fatalf("History: %v", err)
			}
			if len(history) != updaters*rounds {
				k.Fatalf("%d lines of history after %d updates with one line each", len(history), updaters*rounds)
			}
			for i, change := range history {
				// Each says from what to what it raised the rate: in the order of the updates, without a gap.
				if change.Old != fmt.Sprint(i) || change.New != fmt.Sprint(i+1) {
					k.Fatalf("line %d of the history says %s to %s", i, change.Old, change.New)
				}
			}
		}},
		{"an update and its history can be seen together", orgHistoryStep, func(k *kit, stores []humanhours.OrgStore) {
			ctx := k.Context()
			k.inStep(writers, func(int) error { return raise(ctx, stores[0], "agent-1", 1) }, []sign{
				{"the update", func(step int) (bool, error) {
					org, _, err := stores[1%len(stores)].Org(ctx, "acme")
					return org.Version > int64(step), err
				}},
				{"its history", func(step int) (bool, error) {
					history, err := stores[2%len(stores)].History(ctx, humanhours.HistoryQuery{Org: "acme"})
					return len(history) > step, err
				}},
			})
		}},
		{"an update during another", orgNoneLost, func(k *kit, stores []humanhours.OrgStore) {
			// The first call of f waits until somebody else has updated the org; a store that runs f alone makes that one wait.
			other := stores[len(stores)-1]
			ctx := k.Context()
			start, done := make(chan struct{}), make(chan error, 1)
			go func() {
				<-start
				_, err := other.UpdateOrg(ctx, "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
					o.Currency = "USD"
					return []humanhours.Change{{At: epoch, Subject: "currency"}}, nil
				})
				done <- err
			}()
			calls := 0
			var err error
			k.within("UpdateOrg", func() {
				_, err = stores[0].UpdateOrg(ctx, "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
					if calls++; calls == 1 {
						close(start)
						timer := time.NewTimer(overlap)
						defer timer.Stop()
						select {
						case err := <-done:
							done <- err
						case <-timer.C: // it waits for us
						}
					}
					o.Plan = "pro"
					return []humanhours.Change{{At: epoch, Subject: "plan"}}, nil
				})
			})
			if err != nil {
				k.Fatalf("UpdateOrg: %v", err)
			}
			k.within("UpdateOrg in another goroutine", func() { err = <-done })
			if err != nil {
				k.Fatalf("UpdateOrg in another goroutine: %v", err)
			}
			k.equal("the org", k.org(stores[0], "acme"), humanhours.Org{ID: "acme", Version: 2, Plan: "pro", Currency: "USD"})
			history, err := other.History(ctx, humanhours.HistoryQuery{Org: "acme"})
			if err != nil || len(history) != 2 {
				k.Fatalf("%d lines of history, want 2 (error %v)", len(history), err)
			}
		}},
		{"every handle knows what the others updated", orgSnapshot, func(k *kit, stores []humanhours.OrgStore) {
			for i, s := range stores {
				next := stores[(i+1)%len(stores)]
				id := fmt.Sprint("org", i)
				k.noOrg(next, id)
				k.update(s, id, setAll)
				k.equal("the org", k.org(next, id), numbered(sampleOrg(), id, 1))
				k.update(next, id, func(o *humanhours.Org) []humanhours.Change {
					*o = humanhours.Org{Plan: "free"}
					return sampleChanges("next", 1)
				})
				k.equal("the org", k.org(s, id), humanhours.Org{ID: id, Version: 2, Plan: "free"})
				k.history(s, id, append(sampleChanges("set", 1), sampleChanges("next", 1)...)...)
			}
		}},
	}
}

// overlap is how long an update waits for one that may be unable to run beside it.
const overlap = 50 * time.Millisecond

// raise updates an org some times: it raises the rate by 1 and puts the agent there.
func raise(ctx context.Context, s humanhours.OrgStore, agent string, times int) error {
	for range times {
		_, err := s.UpdateOrg(ctx, "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
			old := o.HourlyRate.Decimal
			o.HourlyRate = decimal.NewNullDecimal(old.Add(decimal.NewFromInt(1)))
			if o.Agents == nil {
				o.Agents = make(map[string]humanhours.Agent)
			}
			o.Agents[agent] = humanhours.Agent{DisplayName: agent}
			return []humanhours.Change{{At: epoch, Subject: agent, Old: old.String(), New: o.HourlyRate.Decimal.String()}}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
