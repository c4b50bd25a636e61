package storetest

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// variant is an event that differs from a sample in what it is named after.
type variant struct {
	name  string
	event humanhours.Event
}

// variants applies each change to a full sample.
func (k *kit) variants(changes map[string]func(*humanhours.Event)) []variant {
	var list []variant
	for name, change := range changes {
		e := k.entry("acme").Event
		change(&e)
		list = append(list, variant{name, e})
	}
	return list
}

// survive stores events and checks that each comes back as it was, whichever way it is read.
func (k *kit) survive(s humanhours.Store, list []variant) {
	k.Helper()
	byID := make(map[string]variant)
	entries := make([]humanhours.Entry, len(list))
	for i, v := range list {
		byID[v.event.ID] = v
		entries[i] = humanhours.Entry{Event: v.event, At: v.event.ReceivedAt, Key: v.event.ID, Window: window}
	}
	for i, got := range k.append(s, entries...) {
		// A store may answer with the instants as they were given; it must keep them in UTC.
		got.Event.OccurredAt = got.Event.OccurredAt.UTC().Truncate(time.Millisecond)
		got.Event.ReceivedAt = got.Event.ReceivedAt.UTC().Truncate(time.Millisecond)
		k.is(list[i].name, got, created, list[i].event)
	}
	for i, v := range list {
		got, ok := k.event(s, v.event.Org, v.event.ID)
		if !ok {
			k.Fatalf("%s: the event is not stored", v.name)
		}
		k.same(v.name+": Event", got, v.event)
		k.replay(s, k.again(entries[i]), v.event)
		k.holds(s, entries[i], entries[i].At, v.event)
	}
	for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
		events := k.list(s, humanhours.EventQuery{Org: "acme", Order: order})
		if len(events) != len(list) {
			k.Fatalf("%d events are listed, want %d", len(events), len(list))
		}
		for _, got := range events {
			k.same(byID[got.ID].name+": Events", got, byID[got.ID].event)
		}
	}
}

func valueProofs() []proof[humanhours.Store] {
	return []proof[humanhours.Store]{
		{"fields that may be absent", fieldsSurvive, func(k *kit, s humanhours.Store) {
			list := k.variants(map[string]func(*humanhours.Event){
				"everything":     func(*humanhours.Event) {},
				"no key id":      func(e *humanhours.Event) { e.KeyID = "" },
				"test":           func(e *humanhours.Event) { e.Test = true },
				"failure":        func(e *humanhours.Event) { e.Outcome, e.Credited = humanhours.OutcomeFailure, false },
				"needs review":   func(e *humanhours.Event) { e.Outcome = humanhours.OutcomeNeedsReview },
				"no duration":    func(e *humanhours.Event) { e.AgentDuration = decimal.NullDecimal{} },
				"duration 0":     func(e *humanhours.Event) { e.AgentDuration = null("0") },
				"no model":       func(e *humanhours.Event) { e.Model = "" },
				"no tokens in":   func(e *humanhours.Event) { e.TokensIn = humanhours.NullInt64{} },
				"no tokens out":  func(e *humanhours.Event) { e.TokensOut = humanhours.NullInt64{} },
				"0 tokens":       func(e *humanhours.Event) { e.TokensIn, e.TokensOut = humanhours.Int64(0), humanhours.Int64(0) },
				"no metadata":    func(e *humanhours.Event) { e.Metadata = nil },
				"empty metadata": func(e *humanhours.Event) { e.Metadata = json.RawMessage(`{}`) },
				"no excerpts":    func(e *humanhours.Event) { e.AuditSample = humanhours.AuditSample{} },
				"input excerpt":  func(e *humanhours.Event) { e.AuditSample.OutputExcerpt = "" },
				"output excerpt": func(e *humanhours.Event) { e.AuditSample.InputExcerpt = "" },
				"no cost": func(e *humanhours.Event) {
					e.Cost, e.AgentCost = humanhours.RunCost{Source: humanhours.CostNone}, decimal.NullDecimal{}
				},
				"provided cost":    func(e *humanhours.Event) { e.Cost = humanhours.RunCost{Source: humanhours.CostProvided} },
				"cost 0":           func(e *humanhours.Event) { e.AgentCost = null("0") },
				"no exchange":      func(e *humanhours.Event) { e.Cost.Price.Currency, e.Cost.FX = "EUR", humanhours.ExchangeRate{} },
				"no input price":   func(e *humanhours.Event) { e.Cost.Price.Input = decimal.NullDecimal{} },
				"no output price":  func(e *humanhours.Event) { e.Cost.Price.Output = decimal.NullDecimal{} },
				"price 0":          func(e *humanhours.Event) { e.Cost.Price.Input, e.Cost.Price.Output = null("0"), null("0") },
				"price of no date": func(e *humanhours.Event) { e.Cost.Price.Date, e.Cost.FX.Date = time.Time{}, time.Time{} },
				"price of no list": func(e *humanhours.Event) { e.Cost.Price.Source, e.Cost.Price.Version, e.Cost.FX.Source = "", "", "" },
				"fallback baseline": func(e *humanhours.Event) {
					e.Baseline.Source, e.HourlyRate.Source = humanhours.BaselineFallback, humanhours.RateDefault
				},
				"other scale":    func(e *humanhours.Event) { e.Scale = humanhours.Scale{Hours: 6, Money: 2} },
				"other currency": func(e *humanhours.Event) { e.Currency, e.Cost.FX.To = "JPY", "JPY" },
				"exact":          func(e *humanhours.Event) { e.Cost.Precision = humanhours.CostExact },
				"two totals": func(e *humanhours.Event) {
					p := e.Cost.Price
					e.Usage = humanhours.Usage{TokensIn: e.TokensIn, TokensOut: e.TokensOut}
					e.Cost.Precision, e.Cost.Price = "", humanhours.Price{
						Model: p.Model, Input: p.Input, Output: p.Output, Currency: p.Currency, Source: p.Source, Version: p.Version, Date: p.Date,
					}
				},
				"cache only":       func(e *humanhours.Event) { e.Usage = humanhours.Usage{TokensCacheRead: humanhours.Int64(0)} },
				"searches only":    func(e *humanhours.Event) { e.Usage = humanhours.Usage{WebSearches: humanhours.Int64(3)} },
				"no search price":  func(e *humanhours.Event) { e.Cost.Price.WebSearch = decimal.NullDecimal{} },
				"search price 0":   func(e *humanhours.Event) { e.Cost.Price.WebSearch = null("0") },
				"calls":            calls,
				"calls of a model": func(e *humanhours.Event) { calls(e); e.Model = "acme/large-2" },
				"calls, no cost": func(e *humanhours.Event) {
					calls(e)
					e.Cost = humanhours.RunCost{Source: humanhours.CostNone, Unpriced: humanhours.UnpricedUnknownModel, UnpricedModel: "own smal"}
					e.AgentCost = decimal.NullDecimal{}
					for i := range e.LLMCalls {
						e.LLMCalls[i] = humanhours.PricedCall{LLMCall: e.LLMCalls[i].LLMCall}
					}
				},
			})
			for _, reason := range []humanhours.UnpricedReason{
				humanhours.UnpricedNoModel, humanhours.UnpricedDynamic, humanhours.UnpricedUnavailable,
			} {
				e := k.entry("acme").Event
				e.Cost, e.AgentCost = humanhours.RunCost{Source: humanhours.CostNone, Unpriced: reason}, decimal.NullDecimal{}
				list = append(list, variant{"unpriced: " + string(reason), e})
			}
			k.made++
			list = append(list, variant{"nothing that may be absent", bare("acme", k.made)})
			k.survive(s, list)
		}},
		{"decimals at their extremes", fieldsSurvive, func(k *kit, s humanhours.Store) {
			changes := make(map[string]func(*humanhours.Event))
			for _, amount := range []string{
				"8760000000.123456789", "9223372036.854775807", "0.000000001", "0.1", "0.3", "2.97", "1e3", "100", "0.10", "0",
				"123456789.987654321", "4503599627.370497", "9007199.254740993", "0.000000000", "999999999.999999999",
			} {
				changes["amount "+amount] = func(e *humanhours.Event) {
					e.CostSaved, e.NetSaved, e.AgentCost = dec(amount), dec(amount).Neg(), null(amount)
				}
			}
			for _, n := range []string{"0.000000001", "31622400", "31622399.999999999", "525600", "525599.999999999", "0.066", "8760", "1000000", "999999.999999999"} {
				changes["number "+n] = func(e *humanhours.Event) {
					e.AgentDuration, e.Baseline.Minutes, e.HourlyRate.Amount = null(n), dec(n), dec(n)
					e.HoursSaved = dec(n).Round(3)
				}
			}
			for _, price := range []string{
				"0.0000000833333333333333", "0.0000000000000000000001", "1e-64", "123456.0000000000000000000001", "3e2",
				"0.3333333333333333333333333333333333333333333333333333333333333333",
			} {
				changes["price "+price] = func(e *humanhours.Event) {
					e.Cost.Price.Input, e.Cost.Price.Output, e.Cost.FX.Rate = null(price), null(price), dec(price)
				}
			}
			for _, n := range []int64{1, humanhours.MaxTokens, 1<<53 + 1, math.MaxInt64} {
				changes["tokens "+strconv.FormatInt(n, 10)] = func(e *humanhours.Event) {
					e.TokensIn, e.TokensOut = humanhours.Int64(n), humanhours.Int64(n-1)
				}
			}
			k.survive(s, k.variants(changes))
		}},
		{"sums of many amounts", fieldsSurvive, func(k *kit, s humanhours.Store) {
			var want decimal.Decimal
			entries := make([]humanhours.Entry, 300)
			for i := range entries {
				amount := []string{"0.000000001", "8760000000.123456789", "0.1"}[i%3]
				entries[i] = k.entry("acme", func(e *humanhours.Entry) { e.Event.CostSaved = dec(amount) })
				want = want.Add(dec(amount))
			}
			k.append(s, entries...)
			var got decimal.Decimal
			for _, e := range k.list(s, humanhours.EventQuery{Org: "acme"}) {
				got = got.Add(e.CostSaved)
			}
			if !got.Equal(want) {
				k.Fatalf("the sum is %v, want %v", got, want)
			}
		}},
		{"instants to the millisecond in UTC", fieldsSurvive, func(k *kit, s humanhours.Store) {
			zones := []*time.Location{
				time.UTC, time.FixedZone("", 14*3600), time.FixedZone("XYZ", -11*3600), time.FixedZone("", 5*3600+45*60),
				time.FixedZone("GMT", 0), time.FixedZone("", -(3*3600 + 30*60 + 15)),
			}
			instants := []time.Time{
				epoch, epoch.Truncate(time.Second), epoch.Truncate(time.Second).Add(time.Millisecond), epoch.Truncate(24 * time.Hour),
				epoch.Truncate(time.Second).Add(999 * time.Millisecond), time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC).Add(-time.Millisecond),
				time.Date(2028, time.February, 29, 23, 59, 59, 999_000_000, time.UTC), time.Date(2026, time.March, 29, 1, 30, 0, 0, time.UTC),
			}
			var list []variant
			for _, zone := range zones {
				for _, instant := range instants {
					e := k.entry("acme", at(instant.In(zone)), occurred(instant.Add(-time.Hour).In(zone))).Event
					list = append(list, variant{"received " + e.ReceivedAt.Format(time.RFC3339Nano), e})
				}
			}
			k.survive(s, list)
		}},
		{"instants finer than a millisecond", fieldsSurvive, func(k *kit, s humanhours.Store) {
			var list []variant
			for _, ns := range []time.Duration{1, 499_999, 500_000, 999_999} {
				e := k.entry("acme", at(epoch.Add(ns)), occurred(epoch.Add(-time.Hour+ns))).Event
				list = append(list, variant{ns.String() + " over", e})
			}
			k.survive(s, list)
		}},
		{"text", fieldsSurvive, func(k *kit, s humanhours.Store) {
			changes := make(map[string]func(*humanhours.Event))
			for _, text := range []string{
				"Zoë 日本 😀 e\u0301", ` trailing space `, `"quoted" \ back\slash \n \u0041`, "</script><!-- & -->", "'; DROP TABLE events; --",
				"%s %d %", "null", "0", "a:b|c,d;e", "\u2028\u2029\ufeff\u200b\ufffd", strings.Repeat("é", humanhours.MaxNameLength),
			} {
				changes["text "+text] = func(e *humanhours.Event) { e.AgentID, e.TaskType, e.Model, e.KeyID = text, text, text, text }
			}
			for _, text := range []string{
				"two\nlines\r\n\ttab", "nul \x00 bell \a escape \x1b delete \x7f", " ", strings.Repeat("😀", humanhours.MaxExcerptLength),
			} {
				changes["excerpt "+text[:1]+strconv.Itoa(len(text))] = func(e *humanhours.Event) {
					e.AuditSample = humanhours.AuditSample{InputExcerpt: text, OutputExcerpt: text + "."}
				}
			}
			k.survive(s, k.variants(changes))
		}},
		{"metadata", fieldsSurvive, func(k *kit, s humanhours.Store) {
			changes := make(map[string]func(*humanhours.Event))
			for _, text := range []string{
				`{"n":12345678901234567890}`, `{"n":1e400}`, `{"n":-1.5e-400}`, `{"n":0.1000000000000000055511151231257827021181583404541015625}`,
				`{"n":[0,-0,1.0,1.50,9007199254740993,-9223372036854775808,18446744073709551615]}`,
				`{"s":"\u00e9\ud83d\ude00\u0000\u001f\u007f\"\\\/\b\f\n\r\t"}`, `{"s":"é😀\u2028</script>&"}`, `{"lone":"\ud800"}`,
				`{"":"","b":{"a":[],"":{}},"a":[null,true,false,"true",[[]]]}`, `{"z":1,"a":2,"Z":3,"A":4}`,
				`{"a b":1,"a.b":2,"a:b":3,"$ref":4,"__proto__":5,"\u0061c":6}`, `{"date":"2026-05-14T09:30:00.123456789+14:00"}`,
				`{"deep":{"3":{"4":{"5":{"6":{"7":[8]}}}}}}`, `{ "spaced" : [ 1 , 2 ] }`,
				`{"long":"` + strings.Repeat("x", humanhours.MaxMetadataSize-11) + `"}`,
			} {
				changes["metadata "+text[:min(40, len(text))]] = func(e *humanhours.Event) { e.Metadata = json.RawMessage(text) }
			}
			k.survive(s, k.variants(changes))
		}},
		{"the caller's metadata is not kept", nothingShared, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			want := e.Event.Clone()
			batch := []humanhours.Entry{e}
			k.is("a new entry", s.Append(k.Context(), batch)[0], created, want)
			scribble(e.Event.Metadata)
			batch[0] = humanhours.Entry{} // nor the batch
			k.stored(s, want)
			k.lists(s, humanhours.EventQuery{Org: "acme"}, []humanhours.Event{want})
			e.Event = want
			k.replay(s, k.again(e), want)
			k.holds(s, e, e.At, want)
		}},
		{"the store's metadata is not handed out", nothingShared, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"))
			want := k.create(s, e).Clone()
			query := humanhours.ReplayQuery{Org: "acme", Key: "k", At: e.At}
			for range 2 {
				got, _ := k.event(s, "acme", want.ID)
				k.same("Event", got, want)
				scribble(got.Metadata)
				for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
					for _, got := range k.list(s, humanhours.EventQuery{Org: "acme", Order: order}) {
						k.same("Events", got, want)
						scribble(got.Metadata)
					}
				}
				found, err := s.Replay(k.Context(), query)
				if err != nil {
					k.Fatalf("Replay: %v", err)
				}
				k.same("Replay", found.Event, want)
				scribble(found.Event.Metadata)
				for _, entry := range []humanhours.Entry{k.again(e), e} {
					got := k.append(s, entry)[0]
					k.same("Append", *got.Event, want)
					scribble(got.Event.Metadata)
				}
			}
		}},
		{"answers are final", eventsAreFinal, func(k *kit, s humanhours.Store) {
			e := k.entry("acme", key("k"), capped(3))
			first := k.create(s, e)
			k.create(s, k.entry("acme", key("other"), capped(3)))
			k.is("the key with another request", k.append(s, k.again(e, fingerprint(humanhours.Fingerprint{1}), func(e *humanhours.Entry) {
				e.Event = bare("acme", k.made)
			}))[0], mismatched, first)
			k.create(s, k.again(e, at(e.At.Add(window)), func(e *humanhours.Entry) { e.Event.Metadata = nil })) // takes the key over
			k.refuse(s, k.again(e, at(e.At.Add(2*window))))
			k.stored(s, first)
			k.is("the first entry again", k.append(s, e)[0], created, first)
			k.same("Events", k.list(s, humanhours.EventQuery{Org: "acme", Limit: 1})[0], first)
		}},
	}
}

// scribble writes over a slice that the store must not know.
func scribble(metadata json.RawMessage) {
	for i := range metadata {
		metadata[i] = '#'
	}
}
