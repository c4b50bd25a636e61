package pricebook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// What a listing must be like before it replaces the last good edition.

// Held is a row that a refresh did not take from the feed. The row of the last good edition stays in use, if there is one.
type Held struct {
	Model  string // the model's id; of rates, the currency; empty when the row has no usable id
	Reason string
}

const (
	sourceOpenRouter = "openrouter"
	currencyListing  = "USD"
)

// merge makes an edition of a listing that was fetched at some time, over the last good edition. accept is Config.AcceptJump.
func (l *listing) merge(old *Static, at time.Time, accept func(model string, old, new humanhours.Price) bool) (*Static, Diff, []Held, error) {
	fail := func(format string, args ...any) (*Static, Diff, []Held, error) {
		return nil, Diff{}, nil, fmt.Errorf(format, args...)
	}
	n := len(l.rows)
	switch {
	case n == 0:
		return fail("the listing has no models")
	case 3*n < 2*len(old.rows):
		return fail("the listing shrank to %d models from %d: more than a third is gone", n, len(old.rows))
	}
	var held []Held
	rows := make(map[string]*row, n)
	priced, lost := 0, 0 // of the models before, and of those the ones whose prices would be dynamic now
	for id, r := range l.rows {
		last, fault := old.rows[id], l.faults[id]
		if last != nil && last.unpriced == "" {
			if priced++; fault == "" && r.unpriced != "" {
				lost++
			}
		}
		if fault != "" && last != nil && last.unpriced == humanhours.UnpricedPartial {
			last = nil // is not better
		}
		if before := old.lastPriced(id); fault == "" && before != nil {
			now := r
			if other := target(l.rows, r); other != nil {
				now = other
			}
			if fault = jump(before, now); fault != "" && accept != nil {
				price := now.price
				price.Model, price.Currency, price.Source = id, currencyListing, sourceOpenRouter
				if accept(id, before.price, price) {
					fault = ""
				}
			}
			if fault != "" && last == nil {
				r, _ = parsePricing(nil, "") // rather no price than this one
			}
		}
		if fault != "" {
			held = append(held, Held{Model: id, Reason: fault})
			if last != nil {
				r = last.keep()
			}
		}
		rows[id] = r
	}
	slices.SortFunc(held, func(a, b Held) int { return strings.Compare(a.Model, b.Model) })
	refused := len(held) + l.nameless
	if l.nameless > 0 {
		held = append([]Held{{Reason: fmt.Sprintf("%d rows have no usable id", l.nameless)}}, held...)
	}
	switch {
	case len(old.rows) > 0 && 3*refused > n+l.nameless:
		last := held[len(held)-1]
		return fail("%d of %d rows cannot be believed, such as that of %q, which %s: the feed is broken, or in another unit",
			refused, n+l.nameless, last.Model, last.Reason)
	case 3*lost > priced:
		return fail("%d of %d models have no fixed price any more: the feed is broken", lost, priced)
	}
	at = at.UTC()
	info := Info{Source: sourceOpenRouter, Date: at.Truncate(24 * time.Hour), Fetched: at}
	b := newStatic(info, currencyListing, rows)
	if b.info.Version == old.info.Version {
		info.Date = old.info.Date // the same edition, of the day when it came out
		b = newStatic(info, currencyListing, rows)
	}
	b.past = old.pastOf(b)
	return b, Compare(old, b), held, nil
}

// maxPast is how many models are remembered that have no price any more.
const maxPast = 10_000

// pastOf returns the last prices of the models that have none in next. A price must not get in by going away for one refresh first. They are
// remembered as long as the process runs.
func (b *Static) pastOf(next *Static) map[string]*row {
	past := make(map[string]*row)
	remember := func(id string) {
		if r := next.rows[id]; (r == nil || r.unpriced != "") && len(past) < maxPast {
			if before := b.lastPriced(id); before != nil {
				past[id] = before
			}
		}
	}
	for id := range b.rows {
		remember(id)
	}
	for id := range b.past {
		remember(id)
	}
	return past
}

// lastPriced returns the row by which a model is priced, or was when it last had a price; nil: it never had one.
func (b *Static) lastPriced(id string) *row {
	if r := b.rows[id]; r != nil && r.unpriced == "" {
		if r.target != nil {
			return r.target
		}
		return r
	}
	return b.past[id]
}

// settled is b with the rows of base in place of those that were held back since before the day of base, which somebody has looked at.
func (b *Static) settled(base *Static) *Static {
	rows := make(map[string]*row, len(b.rows))
	for id, r := range b.rows {
		if last := base.rows[id]; r.kept && last != nil && r.price.Date.Before(base.info.Date) {
			r = last.keep()
		}
		rows[id] = r
	}
	return newStatic(b.info, b.currency, rows)
}

// maxJump is by how much a price may rise or fall from one edition to the next. Beyond it somebody has to look.
const maxJump = 100

// jump says which price of a row cannot be believed because it is so far from the last one; empty: none. What counts is what would be paid: an override
// that is new is held against the prices that it replaces.
func jump(old, new *row) (reason string) {
	if old.unpriced != "" || new.unpriced != "" {
		return ""
	}
	compare := func(before, now humanhours.Price, where string) {
		was, is := bucketsOf(&before), bucketsOf(&now)
		complete(&before)
		complete(&now)
		for i, key := range priceKeys {
			a, b := *was[i], *is[i]
			if !a.Valid && perToken(i) { // it appears: dearer than input by so much it is none either
				a = before.Input
				if !b.Decimal.GreaterThan(a.Decimal) {
					continue
				}
			}
			if reason == "" && a.Valid && b.Valid && jumped(a.Decimal, b.Decimal) {
				reason = strings.TrimSpace(fmt.Sprintf("jumped from %s to %s per unit of %s %s", a.Decimal, b.Decimal, key, where))
			}
		}
	}
	compare(old.price, new.price, "")
	for i := range new.overrides {
		n := &new.overrides[i]
		before, now := old.price, new.price
		if k := slices.IndexFunc(old.overrides, func(o override) bool { return o.conditions == n.conditions }); k >= 0 {
			old.overrides[k].prices.onto(&before)
		}
		n.prices.onto(&now)
		compare(before, now, n.String())
	}
	return reason
}

// complete fills in what a price means that it does not state.
func complete(p *humanhours.Price) {
	if !p.Request.Valid {
		p.Request = decimal.NewNullDecimal(decimal.Decimal{})
	}
	if !p.Reasoning.Valid {
		p.Reasoning = p.Output
	}
}

// perToken tells the prices of input tokens, which are of the order of each other.
func perToken(bucket int) bool {
	switch priceKeys[bucket] {
	case "input_cache_read", "input_cache_write", "input_cache_write_1h", "audio":
		return true
	}
	return false
}

func jumped(a, b decimal.Decimal) bool {
	if a.GreaterThan(b) {
		a, b = b, a
	}
	return b.GreaterThan(a.Mul(decimal.NewFromInt(maxJump)))
}

// Diff is what differs between two editions of a price list.
type Diff struct {
	New, Gone []string // ids of models, sorted
	Changed   []string // models whose pricing differs in anything
	Prices    []Change // the prices of models in both editions that differ, overrides with the same conditions too
}

// Change is a price that differs between two editions, with discounts taken off.
type Change struct {
	Model    string
	Price    string              // its name in the listing, such as "prompt", and the conditions of an override
	Old, New decimal.NullDecimal // not Valid: no price
}

// Compare says what differs from one edition to the next.
func Compare(old, new *Static) Diff {
	var d Diff
	for id := range new.Models() {
		n, o := new.rows[id], old.rows[id]
		switch {
		case o == nil:
			d.New = append(d.New, id)
		case o.text != n.text:
			d.Changed = append(d.Changed, id)
			comparePrices(o, n, func(name string, a, b decimal.NullDecimal) {
				if a.Valid != b.Valid || !a.Decimal.Equal(b.Decimal) {
					d.Prices = append(d.Prices, Change{Model: id, Price: name, Old: a, New: b})
				}
			})
		}
	}
	for id := range old.Models() {
		if new.rows[id] == nil {
			d.Gone = append(d.Gone, id)
		}
	}
	return d
}
