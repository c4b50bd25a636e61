package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// voiding returns an amendment that voids an event; n tells it from others.
func voiding(n int) humanhours.Amendment {
	return humanhours.Amendment{
		Kind: humanhours.AmendVoid, At: epoch.Add(time.Hour + time.Duration(n)*time.Millisecond), KeyID: "3fK9xQ2b", Reason: fmt.Sprint("sent twice, ", n),
	}
}

// redacting is voiding for a redaction.
func redacting(n int) humanhours.Amendment {
	a := voiding(n)
	a.Kind, a.Reason = humanhours.AmendRedact, fmt.Sprint("erasure ", n)
	return a
}

// repricing is voiding for a later price: one of everything that is priced, with the calls of a run.
func repricing(n int) humanhours.Amendment {
	sample := Event("acme", n)
	a := voiding(n)
	a.Kind, a.Reason = humanhours.AmendReprice, fmt.Sprint("the book has it now, ", n)
	a.Cost, a.AgentCost, a.NetSaved = sample.Cost, sample.AgentCost, sample.NetSaved.Add(decimal.New(int64(n), -9))
	calls(&sample)
	a.LLMCalls = sample.LLMCalls
	return a
}

// amending returns the query that makes a of an event whose amendments are those in e, with a line of history that only it has.
func amending(e *humanhours.Event, a humanhours.Amendment) humanhours.AmendQuery {
	return humanhours.AmendQuery{
		Org: e.Org, ID: e.ID, Base: len(e.Amendments), Amendment: a,
		Change: humanhours.Change{
			At: a.At, KeyID: a.KeyID, Subject: "events." + e.ID + "." + string(a.Kind), Old: fmt.Sprint(len(e.Amendments)), New: a.Reason, Reason: "why \"é\"\n",
		},
	}
}

// after returns e with one amendment more.
func after(e humanhours.Event, a humanhours.Amendment) humanhours.Event {
	e = e.Clone()
	e.Amendments = append(e.Amendments, a)
	if a.Kind == humanhours.AmendRedact {
		e.Redact()
	}
	return e
}

// unamended returns e as Append and Replay answer it.
func unamended(e humanhours.Event) humanhours.Event {
	e.Amendments = nil
	return e
}

// amend makes an amendment, which must be stored, and returns the event as it must be from then on.
func (k *kit) amend(s humanhours.Store, e humanhours.Event, a humanhours.Amendment) humanhours.Event {
	k.Helper()
	want := after(e, a)
	k.amended("an amendment", s, amending(&e, a), humanhours.Amended{Event: want, Found: true, Stored: true})
	return want
}

// amended checks the answer to a query.
func (k *kit) amended(what string, s humanhours.Store, q humanhours.AmendQuery, want humanhours.Amended) {
	k.Helper()
	got, err := s.Amend(k.Context(), q)
	if err != nil {
		k.Fatalf("Amend: %v", err)
	}
	if got.Found != want.Found || got.Stored != want.Stored {
		k.Fatalf("%s: Found %t, Stored %t, want %t and %t", what, got.Found, got.Stored, want.Found, want.Stored)
	}
	k.same(what+": the answer", got.Event, want.Event)
}

// shows checks that an event is what it must be, whichever way it is asked for. entry is what it was stored with, with a key.
func (k *kit) shows(s humanhours.Store, entry humanhours.Entry, want humanhours.Event) {
	k.Helper()
	k.stored(s, want)
	for _, q := range directions(want.Org) {
		found := 0
		for _, got := range k.list(s, q) {
			if got.ID == want.ID {
				k.same("Events", got, want)
				found++
			}
		}
		if found != 1 {
			k.Fatalf("Events %s: %s is yielded %d times", describe(q), want.ID, found)
		}
	}
	k.is("an entry whose id is stored", k.append(s, entry)[0], created, unamended(want))
	k.replay(s, k.again(entry), unamended(want))
	k.holds(s, entry, entry.At, unamended(want))
}

// noted checks the history of an org, if the store keeps one.
func (k *kit) noted(s humanhours.Store, org string, want ...humanhours.Change) {
	k.Helper()
	if orgs, ok := s.(humanhours.OrgStore); ok {
		k.history(orgs, org, want...)
	}
}

// listsWhole is lists for all of the content.
func (k *kit) listsWhole(s humanhours.Store, q humanhours.EventQuery, want []humanhours.Event) {
	k.Helper()
	k.lists(s, q, want)
	for i, got := range k.list(s, q) {
		k.same(fmt.Sprintf("Events %s: number %d", describe(q), i), got, want[i])
	}
}

func amendmentProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"an amendment on the right base and on wrong ones", baseDecides, func(k *kit, s humanhours.Store) {
			entry := k.entry("acme", key("k"))
			e := k.create(s, entry)
			var lines []humanhours.Change
			for i, a := range []humanhours.Amendment{repricing(0), voiding(1), redacting(2), voiding(3)} {
				for _, base := range []int{i - 1, i + 1, -1, 0, i + 100, humanhours.MaxAmendments} {
					for _, other := range []humanhours.Amendment{voiding(9), repricing(9), redacting(9)} {
						if q := amending(&e, other); base != i {
							q.Base = base
							k.amended(fmt.Sprintf("an amendment of base %d of an event that has %d", base, i), s, q, humanhours.Amended{Event: e, Found: true})
						}
					}
				}
				k.shows(s, entry, e)
				k.noted(s, "acme", lines...)
				lines = append(lines, amending(&e, a).Change)
				e = k.amend(s, e, a)
				k.shows(s, entry, e)
				k.noted(s, "acme", lines...)
			}
		}},
		{"an amendment of an event that is not there", baseDecides, func(k *kit, s humanhours.Store) {
			mine, later := k.entry("acme", key("k")), k.entry("acme", key("later"))
			k.create(s, mine)
			theirs := mine.Event
			theirs.Org = "other"
			empty := mine.Event
			empty.ID = ""
			for _, e := range []humanhours.Event{theirs, later.Event, empty, {Org: "", ID: mine.Event.ID}, {Org: "nobody", ID: later.Event.ID}} {
				for _, a := range []humanhours.Amendment{voiding(1), repricing(2), redacting(3)} {
					for _, base := range []int{0, 1, -1} {
						q := amending(&e, a)
						q.Base = base
						k.amended(fmt.Sprintf("an amendment of %q of org %q", e.ID, e.Org), s, q, humanhours.Amended{})
					}
				}
			}
			k.shows(s, mine, mine.Event)
			k.create(s, later)
			k.shows(s, later, later.Event)
			k.create(s, humanhours.Entry{Event: theirs, At: mine.At})
			k.stored(s, theirs)
			for _, org := range []string{"acme", "other", "nobody"} {
				k.noted(s, org)
			}
		}},
		{"the amendments of orgs with odd names", opaqueNames, func(k *kit, s humanhours.Store) {
			first := k.entry("acme").Event
			all := names()
			batch := make([]humanhours.Entry, len(all))
			for i, org := range all {
				batch[i] = humanhours.Entry{Event: first, At: first.ReceivedAt}
				batch[i].Event.Org = org
			}
			for i, got := range k.append(s, batch...) {
				k.is("an event", got, created, batch[i].Event)
			}
			for i := range all {
				batch[i].Event = k.amend(s, batch[i].Event, voiding(i))
			}
			for i := range all {
				k.stored(s, batch[i].Event)
				k.listsWhole(s, humanhours.EventQuery{Org: all[i]}, []humanhours.Event{batch[i].Event})
				empty := batch[i].Event
				empty.Amendments = nil
				k.noted(s, all[i], amending(&empty, voiding(i)).Change)
			}
		}},
		{"every field of an amendment", amendmentsShow, everyFieldOfAnAmendment},
		{"amendments in their order", amendmentsShow, func(k *kit, s humanhours.Store) {
			entry := k.entry("acme", key("k"))
			e := k.create(s, entry)
			for n := range humanhours.MaxAmendments {
				a := voiding(-n * 7919 % 101) // their instants, reasons and kinds are in no order
				switch n % 7 {
				case 2:
					a = repricing(n)
				case 5:
					a = redacting(-n)
				}
				e = k.amend(s, e, a)
			}
			k.shows(s, entry, e)
		}},
		{"amended events among others", amendmentsShow, func(k *kit, s humanhours.Store) {
			const stored = 1100
			all := k.fill(s, "acme", stored)
			for i, e := range k.fill(s, "other", 3) { // which has the same instants
				k.amend(s, e, voiding(i))
			}
			for i := 0; i < stored; i += 37 {
				full := all[i]
				for n, a := range []humanhours.Amendment{repricing(i), voiding(i + 1), redacting(i + 2)} {
					if n <= i%3 {
						full = k.amend(s, full, a)
					}
				}
				all[i] = full
			}
			for _, q := range directions("acme") {
				whole := expect(all, q)
				k.listsWhole(s, q, whole)
				for _, at := range []int{0, 36, 37, 255, 256, 700, stored - 2} {
					q.After, q.Limit = q.CursorOf(&whole[at]), 300
					k.listsWhole(s, q, expect(all, q))
				}
			}
			k.stored(s, all...)
		}},
		{"an event that is amended while a list is read", amendmentsShow, func(k *kit, s humanhours.Store) {
			all := k.fill(s, "acme", 600)
			for _, q := range directions("acme") {
				order := expect(all, q)
				last := order[len(order)-1]
				n := 0
				for got, err := range s.Events(k.Context(), q) {
					if err != nil {
						k.Fatalf("Events: %v", err)
					}
					if n == 0 {
						last = k.amend(s, last, voiding(len(last.Amendments)))
					}
					k.same("Events", unamended(got), unamended(order[n]))
					n++
				}
				if n != len(all) {
					k.Fatalf("Events %s: %d events, want %d", describe(q), n, len(all))
				}
				for i := range all {
					if all[i].ID == last.ID {
						all[i] = last
					}
				}
				k.listsWhole(s, q, expect(all, q))
			}
		}},
		{"what Append and Replay answer of an amended event", amendmentsShow, func(k *kit, s humanhours.Store) {
			var steps []step
			for i, a := range []humanhours.Amendment{voiding(1), repricing(2)} {
				entry := k.entry("acme", key(fmt.Sprint(i)))
				e := k.amend(s, k.create(s, entry), a)
				k.shows(s, entry, e)
				other := k.again(entry, fingerprint(humanhours.Fingerprint{1}))
				k.is("another request with the key", k.append(s, other)[0], mismatched, unamended(e))
				steps = append(steps,
					step{entry: entry, want: created, event: unamended(e)}, step{entry: k.again(entry), want: replayed, event: unamended(e)},
					step{entry: k.entry("acme"), want: created},
				)
			}
			k.batch(s, steps...)
		}},
		{"a redaction", redactionErases, func(k *kit, s humanhours.Store) {
			beside := k.entry("acme", key("beside")) // has the same metadata
			k.create(s, beside)
			for i, before := range [][]humanhours.Amendment{nil, {voiding(1)}, {repricing(1), voiding(2)}, {redacting(1)}} {
				for name, change := range map[string]option{
					"all": func(*humanhours.Entry) {}, "calls": func(e *humanhours.Entry) { calls(&e.Event) },
					"test": test, "metadata": func(e *humanhours.Entry) { e.Event.AuditSample = humanhours.AuditSample{} },
					"excerpts": func(e *humanhours.Entry) { e.Event.Metadata = nil },
					"nothing":  func(e *humanhours.Entry) { e.Event.Redact() },
					"long": func(e *humanhours.Entry) {
						long := strings.Repeat("personal 😀 ", humanhours.MaxExcerptLength/11)
						e.Event.AuditSample = humanhours.AuditSample{InputExcerpt: long, OutputExcerpt: long + "."}
						e.Event.Metadata = []byte(`{"who":"` + strings.Repeat("personal ", 800) + `"}`)
					},
				} {
					entry := k.entry("acme", key(fmt.Sprint(name, i)), change)
					e := k.create(s, entry)
					for _, a := range before {
						e = k.amend(s, e, a)
					}
					e = k.amend(s, e, redacting(3))
					if len(e.Metadata) > 0 || e.AuditSample != (humanhours.AuditSample{}) {
						k.Fatal("the case expects what was erased")
					}
					k.shows(s, entry, e)
					other := k.again(entry, fingerprint(humanhours.Fingerprint{1}))
					k.is("another request with the key", k.append(s, other)[0], mismatched, unamended(e))
					k.batch(s,
						step{entry: k.entry("acme"), want: created}, step{entry: entry, want: created, event: unamended(e)},
						step{entry: k.again(entry), want: replayed, event: unamended(e)},
					)
					e = k.amend(s, e, voiding(4))
					k.shows(s, entry, e)
				}
			}
			k.shows(s, beside, beside.Event)
		}},
		{"amendments are not shared", nothingShared, func(k *kit, s humanhours.Store) {
			e := k.create(s, k.entry("acme"))
			q := amending(&e, repricing(1))
			want := after(e, repricing(1))
			spoil := func(list []humanhours.Amendment) {
				for i := range list {
					for j := range list[i].LLMCalls {
						list[i].LLMCalls[j] = humanhours.PricedCall{}
					}
					list[i] = humanhours.Amendment{Reason: "vandal"}
				}
				_ = append(list, humanhours.Amendment{Reason: "vandal"})
			}
			got, err := s.Amend(k.Context(), q)
			if err != nil {
				k.Fatalf("Amend: %v", err)
			}
			k.equal("the amendment of the caller", q.Amendment, repricing(1))
			k.same("Amend", got.Event, want)
			for i := range q.Amendment.LLMCalls {
				q.Amendment.LLMCalls[i] = humanhours.PricedCall{}
			}
			k.same("the answer, after the caller's amendment has been changed", got.Event, want)
			for range 2 {
				spoil(got.Event.Amendments)
				again, _ := k.event(s, "acme", e.ID)
				k.same("Event", again, want)
				spoil(again.Amendments)
				for _, q := range directions("acme") {
					for _, listed := range k.list(s, q) {
						k.same("Events", listed, want)
						spoil(listed.Amendments)
					}
				}
				q.Base = 7
				if got, err = s.Amend(k.Context(), q); err != nil {
					k.Fatalf("Amend: %v", err)
				}
				k.same("Amend of another base", got.Event, want)
			}
			want = k.amend(s, want, voiding(2))
			k.stored(s, want)
		}},
		{"amending with an ended context", endedContext, func(k *kit, s humanhours.Store) {
			entry := k.entry("acme", key("k"))
			e := k.amend(s, k.create(s, entry), voiding(1))
			for _, org := range []string{"acme", "unknown"} {
				for _, a := range []humanhours.Amendment{voiding(2), redacting(3)} {
					for want, ctx := range k.ended() {
						q := amending(&e, a)
						q.Org = org
						k.answers("Amend", want, func() error {
							got, err := s.Amend(ctx, q)
							if got.Found || got.Stored {
								return fmt.Errorf("none, but Found %t and Stored %t", got.Found, got.Stored)
							}
							return err
						})
					}
				}
			}
			k.shows(s, entry, e)
			empty := unamended(e)
			k.noted(s, "acme", amending(&empty, voiding(1)).Change)
			k.noted(s, "unknown")
		}},
		{"an amendment in the history of an org", amendmentIsNoted, func(k *kit, s humanhours.Store) {
			orgs, ok := s.(humanhours.OrgStore)
			if !ok {
				k.Skip("not an OrgStore")
			}
			e := k.create(s, k.entry("acme"))
			elsewhere := k.create(s, k.entry("other"))
			q := amending(&e, voiding(1))
			q.Change = sampleChanges("line", 1)[0]
			zoned := q.Change.At
			q.Change.At = zoned.In(time.FixedZone("", 14*3600)).Add(999_999)
			want := []humanhours.Change{sampleChanges("line", 1)[0]}
			e = after(e, voiding(1))
			k.amended("an amendment", s, q, humanhours.Amended{Event: e, Found: true, Stored: true})
			k.historyOnly(orgs, "acme", want...) // there are no settings, so there is no org
			k.amended("the same again", s, q, humanhours.Amended{Event: e, Found: true})
			k.historyOnly(orgs, "acme", want...)
			want = append(want, amending(&e, redacting(2)).Change)
			e = k.amend(s, e, redacting(2))
			k.historyOnly(orgs, "acme", want...)
			k.noOrg(orgs, "other")

			k.equal("UpdateOrg", k.update(orgs, "acme", func(o *humanhours.Org) []humanhours.Change {
				k.equal("the argument of f for an org that has history only", *o, humanhours.Org{ID: "acme"})
				return setAll(o)
			}), numbered(sampleOrg(), "acme", 1))
			want = append(want, sampleChanges("set", 1)...)
			k.history(orgs, "acme", want...)

			bare := amending(&e, repricing(3))
			bare.Change = humanhours.Change{At: epoch, Subject: "events"}
			e = after(e, repricing(3))
			k.amended("an amendment", s, bare, humanhours.Amended{Event: e, Found: true, Stored: true})
			want = append(want, bare.Change)
			k.history(orgs, "acme", want...)
			k.equal("the org, after an amendment", k.org(orgs, "acme"), numbered(sampleOrg(), "acme", 1))
			k.update(orgs, "acme", func(*humanhours.Org) []humanhours.Change { return sampleChanges("more", 2) })
			k.history(orgs, "acme", append(want, sampleChanges("more", 2)...)...)

			line := amending(&elsewhere, voiding(1)).Change
			k.amend(s, elsewhere, voiding(1))
			k.historyOnly(orgs, "other", line)
		}},
	}
}

// historyOnly checks that there is history of an org that has no settings.
func (k *kit) historyOnly(s humanhours.OrgStore, id string, want ...humanhours.Change) {
	k.Helper()
	org, ok, err := s.Org(k.Context(), id)
	if err != nil || ok {
		k.Fatalf("Org %q, which has history only: found %t, error %v", id, ok, err)
	}
	k.equal("an org that is not there", org, humanhours.Org{})
	k.history(s, id, want...)
}

// Each amendment comes back alone, and behind the others on one event.
func everyFieldOfAnAmendment(k *kit, s humanhours.Store) {
	changes := map[string]func(*humanhours.Amendment){
		"everything": func(*humanhours.Amendment) {}, "no key id": func(a *humanhours.Amendment) { a.KeyID = "" },
		"no reason": func(a *humanhours.Amendment) { a.Reason = "" }, "no calls": func(a *humanhours.Amendment) { a.LLMCalls = nil },
		"no exchange": func(a *humanhours.Amendment) { a.Cost.Price.Currency, a.Cost.FX = "EUR", humanhours.ExchangeRate{} },
		"no price":    func(a *humanhours.Amendment) { a.Cost.Price, a.Cost.FX = humanhours.Price{}, humanhours.ExchangeRate{} },
		"exact":       func(a *humanhours.Amendment) { a.Cost.Precision = humanhours.CostExact },
		"cost 0":      func(a *humanhours.Amendment) { a.AgentCost, a.NetSaved = null("0"), dec("0") },
		"least":       func(a *humanhours.Amendment) { a.AgentCost, a.NetSaved = null("0.000000001"), dec("-0.000000001") },
		"most": func(a *humanhours.Amendment) {
			a.AgentCost, a.NetSaved = null("999999999.999999999"), dec("-999999999.999999999")
			a.Cost.FX.Rate = dec("123456789012345678901234567890.123456789012345678901234567891")
			a.Cost.Price.Output = null("0.000000000000000000000000000001234567890123456789012345678901")
			a.LLMCalls[0].Price.Image = null("98765432109876543210.9876543210987654321")
		},
		"trailing zeros": func(a *humanhours.Amendment) { a.NetSaved, a.Cost.Price.Input = dec("26.7400"), null("100e-7") },
		"price 0": func(a *humanhours.Amendment) {
			a.Cost.Price.Input, a.Cost.Price.Request = null("0"), decimal.NullDecimal{}
		},
		"price of no day": func(a *humanhours.Amendment) {
			a.Cost.Price.Date, a.Cost.FX.Date, a.Cost.Price.Version = time.Time{}, time.Time{}, ""
		},
	}
	for i, instant := range []time.Time{
		epoch.Add(time.Millisecond), epoch.Add(999_999), epoch.Add(-1), time.Date(1969, time.December, 31, 23, 59, 59, 1_500_000, time.UTC),
		epoch.In(time.FixedZone("", 14*3600)), time.Date(2199, time.December, 31, 23, 59, 59, 999_000_000, time.FixedZone("XYZ", -11*3600)),
	} {
		changes[fmt.Sprint("instant ", i)] = func(a *humanhours.Amendment) { a.At = instant }
	}
	for i, text := range []string{
		"Zoë 日本 😀 e\u0301", ` spaces `, `"quoted" \ back\slash \n \u0041`, "</script><!-- & -->", "'; DROP TABLE events; --", "%s %d %", "null", "0",
		"a:b|c,d;e", "],[", `},{"kind":"void"`, "\u2028\u2029\ufeff\u200b\ufffd", "two\nlines\r\n\ttab", "nul \x00 bell \a escape \x1b delete \x7f", " ",
		strings.Repeat("😀", humanhours.MaxTextLength),
	} {
		changes[fmt.Sprint("text ", i)] = func(a *humanhours.Amendment) { a.Reason, a.KeyID = text, text }
	}
	together := k.create(s, k.entry("acme"))
	for name, change := range changes {
		for _, a := range []humanhours.Amendment{repricing(k.made), voiding(k.made), redacting(k.made)} {
			kind := a.Kind
			if kind != humanhours.AmendReprice { // nothing else has a price
				full := repricing(k.made)
				change(&full)
				a.At, a.KeyID, a.Reason = full.At, full.KeyID, full.Reason
			} else {
				change(&a)
			}
			alone := k.create(s, k.entry("acme"))
			q := amending(&alone, a)
			alone = after(alone, a)
			k.amended(fmt.Sprintf("%s, %s", name, kind), s, q, humanhours.Amended{Event: alone, Found: true, Stored: true})
			k.stored(s, alone)
			for _, q := range directions("acme") {
				before := alone // one step back, to start with it
				before.OccurredAt, before.ReceivedAt = before.OccurredAt.Add(-time.Millisecond), before.ReceivedAt.Add(-time.Millisecond)
				if q.Descending {
					before.OccurredAt, before.ReceivedAt = before.OccurredAt.Add(2*time.Millisecond), before.ReceivedAt.Add(2*time.Millisecond)
				}
				q.After, q.Limit = q.CursorOf(&before), 1
				k.listsWhole(s, q, []humanhours.Event{alone})
			}
			if len(together.Amendments) < humanhours.MaxAmendments {
				together = k.amend(s, together, a)
			}
		}
	}
	k.stored(s, together)
}

func sharedAmendmentProofs() []proof[[]humanhours.Store] {
	return []proof[[]humanhours.Store]{
		{"one base, many callers", oneAmends, func(k *kit, stores []humanhours.Store) {
			const rounds = 6
			entry := k.entry("acme", key("k"))
			e := k.create(stores[0], entry)
			var lines []humanhours.Change
			ctx := k.Context()
			for range rounds {
				queries, answers, errs := make([]humanhours.AmendQuery, writers), make([]humanhours.Amended, writers), make([]error, writers)
				for i := range queries {
					a := voiding(i)
					switch i % 3 {
					case 1:
						a = repricing(i)
					case 2:
						a = redacting(i)
					}
					queries[i] = amending(&e, a)
				}
				k.race(writers, func(i int) { answers[i], errs[i] = stores[i%len(stores)].Amend(ctx, queries[i]) })
				winner := -1
				for i, got := range answers {
					switch {
					case errs[i] != nil:
						k.Fatalf("Amend: %v", errs[i])
					case !got.Found:
						k.Fatal("Amend of an event that is stored did not find it")
					case got.Stored && winner >= 0:
						k.Fatalf("%d callers amended an event that had %d amendments: both %q and %q were stored",
							writers, len(e.Amendments), queries[winner].Amendment.Reason, queries[i].Amendment.Reason)
					case got.Stored:
						winner = i
					}
				}
				if winner < 0 {
					k.Fatalf("%d callers amended an event that had %d amendments: none was stored", writers, len(e.Amendments))
				}
				lines = append(lines, queries[winner].Change)
				e = after(e, queries[winner].Amendment)
				for _, got := range answers {
					k.same("Amend", got.Event, e) // nobody goes on until all are answered
				}
				for _, s := range stores {
					k.stored(s, e)
					k.noted(s, "acme", lines...)
				}
			}
			k.shows(stores[len(stores)-1], entry, e)
		}},
		{"many callers who all get their turn", baseDecides, func(k *kit, stores []humanhours.Store) {
			const callers = 24
			e := k.create(stores[0], k.entry("acme"))
			errs := make([]error, callers)
			ctx := k.Context()
			k.race(callers, func(i int) {
				now := e
				for {
					got, err := stores[i%len(stores)].Amend(ctx, amending(&now, voiding(i)))
					if err == nil && !got.Found {
						err = fmt.Errorf("it was not found")
					}
					if err == nil && !got.Stored && len(got.Event.Amendments) <= len(now.Amendments) {
						err = fmt.Errorf("with %d amendments it was not stored, for it has %d", len(now.Amendments), len(got.Event.Amendments))
					}
					if errs[i] = err; err != nil || got.Stored {
						return
					}
					now = got.Event
				}
			})
			for _, err := range errs {
				if err != nil {
					k.Fatalf("Amend: %v", err)
				}
			}
			got, _ := k.event(stores[0], "acme", e.ID)
			seen := make(map[string]int)
			for _, a := range got.Amendments {
				seen[a.Reason]++
			}
			for i := range callers {
				if reason := voiding(i).Reason; seen[reason] != 1 || len(got.Amendments) != callers {
					k.Fatalf("of %d amendments %d are there, %q %d times", callers, len(got.Amendments), reason, seen[reason])
				}
			}
		}},
		{"a redaction is one step", redactionErases, func(k *kit, stores []humanhours.Store) {
			ctx := k.Context()
			entries := make([]humanhours.Entry, writers)
			for i := range entries {
				entries[i] = k.entry("acme", key(fmt.Sprint(i)))
				k.create(stores[0], entries[i])
			}
			at := func(i int) humanhours.Store { return stores[i%len(stores)] }
			erased := func(e *humanhours.Event) bool {
				return len(e.Metadata) == 0 && e.AuditSample == (humanhours.AuditSample{})
			}
			k.inStep(writers, func(i int) error {
				got, err := at(0).Amend(ctx, amending(&entries[i].Event, redacting(i)))
				if err == nil && !got.Stored {
					err = fmt.Errorf("an Amend: Found %t, Stored %t", got.Found, got.Stored)
				}
				return err
			}, []sign{
				{"the amendment", func(i int) (bool, error) {
					e, _, err := at(1).Event(ctx, "acme", entries[i].Event.ID)
					if len(e.Amendments) > 0 != erased(&e) {
						err = fmt.Errorf("an event with %d redactions, erased %t", len(e.Amendments), erased(&e))
					}
					return len(e.Amendments) > 0, err
				}},
				{"the erasure in Replay", func(i int) (bool, error) {
					found, err := at(2).Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: entries[i].Key, At: entries[i].At})
					return erased(&found.Event), err
				}},
				{"the erasure in Append", func(i int) (bool, error) {
					got := only(at(3).Append(ctx, entries[i:i+1]))
					if got.Err != nil {
						return false, got.Err
					}
					return erased(got.Event), nil
				}},
				{"the erasure in Events", func(i int) (bool, error) {
					for e, err := range at(1).Events(ctx, humanhours.EventQuery{Org: "acme", From: entries[i].Event.OccurredAt}) {
						if err != nil || e.ID == entries[i].Event.ID {
							return erased(&e), err
						}
					}
					return false, nil
				}},
			})
		}},
		{"every handle knows what the others amended", redactionErases, func(k *kit, stores []humanhours.Store) {
			entries, events := make([]humanhours.Entry, len(stores)), make([]humanhours.Event, len(stores))
			for i, s := range stores {
				entries[i] = k.entry("acme", key(fmt.Sprint(i)))
				events[i] = k.create(s, entries[i])
			}
			all := func() {
				k.Helper()
				for _, s := range stores {
					for i := range entries {
						k.shows(s, entries[i], events[i])
					}
				}
			}
			all() // so that a handle which remembers has something to remember
			for round, a := range []humanhours.Amendment{voiding(1), redacting(2), repricing(3)} {
				for i := range stores {
					events[i] = k.amend(stores[(i+1+round)%len(stores)], events[i], a)
				}
				all()
			}
		}},
		{"an amendment and its history can be seen together", amendmentIsNoted, func(k *kit, stores []humanhours.Store) {
			orgs, ok := stores[2%len(stores)].(humanhours.OrgStore)
			if !ok {
				k.Skip("not an OrgStore")
			}
			ctx := k.Context()
			e := k.create(stores[0], k.entry("acme"))
			now := e
			k.inStep(writers, func(i int) error {
				got, err := stores[0].Amend(ctx, amending(&now, voiding(i)))
				if err == nil && !got.Stored {
					err = fmt.Errorf("an Amend: Found %t, Stored %t", got.Found, got.Stored)
				}
				now = got.Event
				return err
			}, []sign{
				{"the amendment", func(i int) (bool, error) {
					got, _, err := stores[1%len(stores)].Event(ctx, "acme", e.ID)
					return len(got.Amendments) > i, err
				}},
				{"its history", func(i int) (bool, error) {
					history, err := orgs.History(ctx, humanhours.HistoryQuery{Org: "acme"})
					return len(history) > i, err
				}},
			})
		}},
		{"amendments beside updates of the org", amendmentIsNoted, func(k *kit, stores []humanhours.Store) {
			const callers, rounds = 16, 4
			handles := make([]humanhours.OrgStore, len(stores))
			for i, s := range stores {
				orgs, ok := s.(humanhours.OrgStore)
				if !ok {
					k.Skip("not an OrgStore")
				}
				handles[i] = orgs
			}
			events := make([]humanhours.Event, callers)
			for i := range events {
				events[i] = k.create(stores[0], k.entry("acme"))
			}
			ctx := k.Context()
			errs := make([]error, callers)
			k.race(callers, func(i int) {
				if i%2 == 0 {
					errs[i] = raise(ctx, handles[i%len(stores)], fmt.Sprint("agent-", i), rounds)
					return
				}
				errs[i] = amendTimes(ctx, stores[i%len(stores)], events[i], rounds)
			})
			for _, err := range errs {
				if err != nil {
					k.Fatalf("a caller: %v", err)
				}
			}
			if org := k.org(handles[0], "acme"); org.Version != callers/2*rounds {
				k.Fatalf("after %d updates the version is %d", callers/2*rounds, org.Version)
			}
			for _, s := range handles {
				history, err := s.History(ctx, humanhours.HistoryQuery{Org: "acme"})
				if err != nil {
					k.Fatalf("History: %v", err)
				}
				lines := make(map[string]int)
				for _, c := range k.unnumbered(history) {
					lines[c.Subject]++
				}
				for i, e := range events {
					subject := "events." + e.ID + ".void"
					if i%2 == 0 {
						subject = fmt.Sprint("agent-", i)
					}
					if lines[subject] != rounds {
						k.Fatalf("%d lines of history say %s, want %d", lines[subject], subject, rounds)
					}
				}
				if len(history) != callers*rounds {
					k.Fatalf("%d lines of history, want %d", len(history), callers*rounds)
				}
			}
		}},
	}
}

// amendTimes voids an event some times, which nobody else amends.
func amendTimes(ctx context.Context, s humanhours.Store, e humanhours.Event, times int) error {
	for n := range times {
		got, err := s.Amend(ctx, amending(&e, voiding(n)))
		if err == nil && !got.Stored {
			err = fmt.Errorf("an Amend: Found %t, Stored %t", got.Found, got.Stored)
		}
		if err != nil {
			return err
		}
		e = got.Event
	}
	return nil
}
