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
	for range l.nameless {
		held = append(held, Held{Reason: "has no usable id"})
	}
	rows := make(map[string]*row, n)
	for id, r := range l.rows {
		last := old.rows[id]
		fault := l.faults[id]
		switch {
		case fault != "" && last != nil && last.unpriced == humanhours.UnpricedPartial:
			last = nil // is not better
		case fault == "" && last != nil:
			if fault = jump(last, r); fault != "" && accept != nil {
				price := r.price
				price.Model, price.Currency, price.Source = id, currencyListing, sourceOpenRouter
				if accept(id, last.price, price) {
					fault = ""
				}
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
	if len(old.rows) > 0 && 3*len(held) > n+l.nameless {
		last := held[len(held)-1]
		return fail("%d of %d rows cannot be believed, such as that of %q, which %s: the feed is broken, or in another unit",
			len(held), n+l.nameless, last.Model, last.Reason)
	}
	at = at.UTC()
	info := Info{Source: sourceOpenRouter, Date: at.Truncate(24 * time.Hour), Fetched: at}
	b := newStatic(info, currencyListing, rows)
	if b.info.Version == old.info.Version {
		info.Date = old.info.Date // the same edition, of the day when it came out
		b = newStatic(info, currencyListing, rows)
	}
	return b, Compare(old, b), held, nil
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

// jump says which price of a row cannot be believed because it is so far from the last one; empty: none. A price that appears or
// vanishes is no jump.
func jump(old, new *row) (reason string) {
	if old.unpriced != "" || new.unpriced != "" {
		return ""
	}
	comparePrices(old, new, func(name string, a, b decimal.NullDecimal) {
		if reason == "" && a.Valid && b.Valid && jumped(a.Decimal, b.Decimal) {
			reason = fmt.Sprintf("jumped from %s to %s per unit of %s", a.Decimal, b.Decimal, name)
		}
	})
	return reason
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
