package pricebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/humanhours/humanhours-go"
)

var _ humanhours.PriceBook = (*Custom)(nil)

// CustomPrice is an operator's own price of a model: of one that runs on own machines, or of a negotiated rate.
type CustomPrice struct {
	Org  string    // "": every org
	From time.Time // the price holds for runs from this instant on; the zero value: always
	// Price of the model with the id Price.Model. Currency must be set. Source defaults to "custom", Version to the day of From, or
	// "undated", and Date to the day of From. A bucket that is not Valid has no price: what is used of it leaves the run unpriced.
	Price humanhours.Price
}

// CustomAlias is another name of a model.
type CustomAlias struct {
	Org    string    // "": every org
	From   time.Time // the name holds for runs from this instant on; the zero value: always
	Model  string    // the name that runs report
	Target string    // the id that they are priced as, which may be an alias again
}

// Custom lays an operator's prices and aliases over another price book. It is safe for concurrent use.
type Custom struct {
	under humanhours.PriceBook
	table atomic.Pointer[customTable]
}

// maxAliasSteps is how many aliases may lead to a price.
const maxAliasSteps = 4

// customTable is what Replace swaps. The rows of a scope are sorted, the latest first.
type customTable struct {
	prices  map[scope][]CustomPrice
	aliases map[scope][]CustomAlias
}

type scope struct{ org, model string }

// NewCustom returns a book that answers with the first of these that exists at the time of the run: the org's own price of the model,
// the own price for every org, the org's alias, the alias for every org, and what under says. Of several prices or aliases of one scope
// the latest holds that is not of the future. Price.Model of an answer says what the model was priced as. A routing suffix falls back to the
// own price or alias of its base as it does in a Static, marked as estimated.
//
// under may be nil: then nothing else has a price. An error names the row that is wrong: a model, currency or target that is missing, a
// price that is negative, two rows of the same scope and instant, aliases that lead in a circle or over more than 4 steps.
func NewCustom(under humanhours.PriceBook, prices []CustomPrice, aliases []CustomAlias) (*Custom, error) {
	c := &Custom{under: under}
	if err := c.Replace(prices, aliases); err != nil {
		return nil, err
	}
	return c, nil
}

// Replace puts other prices and aliases in place of all of them, at once. After an error the old ones are still in use.
func (c *Custom) Replace(prices []CustomPrice, aliases []CustomAlias) error {
	t := &customTable{prices: map[scope][]CustomPrice{}, aliases: map[scope][]CustomAlias{}}
	for i, p := range prices {
		p.Price = withDefaults(p)
		if err := t.addPrice(p); err != nil {
			return fmt.Errorf("pricebook: price %d, of %q for org %q: %w", i, p.Price.Model, p.Org, err)
		}
	}
	for i, a := range aliases {
		if err := t.addAlias(a); err != nil {
			return fmt.Errorf("pricebook: alias %d, of %q for org %q: %w", i, a.Model, a.Org, err)
		}
	}
	for i, a := range aliases {
		if !t.ends(a.Org, a.Model) {
			return fmt.Errorf("pricebook: alias %d, of %q for org %q: it leads in a circle, or over more than %d aliases", i, a.Model, a.Org, maxAliasSteps)
		}
	}
	c.table.Store(t)
	return nil
}

func withDefaults(p CustomPrice) humanhours.Price {
	price := p.Price
	price.Source = cmp.Or(price.Source, "custom")
	if price.Date.IsZero() && !p.From.IsZero() {
		price.Date = p.From.UTC().Truncate(24 * time.Hour)
	}
	if price.Version == "" {
		price.Version = "undated"
		if !p.From.IsZero() {
			price.Version = p.From.UTC().Format(time.DateOnly)
		}
	}
	return price
}

func (t *customTable) addPrice(p CustomPrice) error {
	switch {
	case !validID(p.Price.Model):
		return fmt.Errorf("the price's model must have 1 to %d characters", maxModelID)
	case !validCurrency(p.Price.Currency):
		return fmt.Errorf("the price's currency must be a code of ISO 4217, and is %q", p.Price.Currency)
	}
	priced := false
	for i, bucket := range bucketsOf(&p.Price) {
		switch {
		case !bucket.Valid:
			continue
		case !bounded(bucket.Decimal):
			return fmt.Errorf("the price of %s is out of range", priceKeys[i])
		case bucket.Decimal.IsNegative():
			return fmt.Errorf("the price of %s is negative: %s", priceKeys[i], bucket.Decimal)
		}
		priced = true
	}
	if !priced {
		return errors.New("there is no price in it")
	}
	key := scope{p.Org, p.Price.Model}
	i, twice := slices.BinarySearchFunc(t.prices[key], p.From, func(o CustomPrice, from time.Time) int { return from.Compare(o.From) })
	if twice {
		return fmt.Errorf("there is another one from the same instant, %s", p.From.UTC().Format(time.RFC3339Nano))
	}
	t.prices[key] = slices.Insert(t.prices[key], i, p)
	return nil
}

func (t *customTable) addAlias(a CustomAlias) error {
	switch {
	case !validID(a.Model):
		return fmt.Errorf("the model must have 1 to %d characters", maxModelID)
	case !validID(a.Target):
		return fmt.Errorf("the target must have 1 to %d characters", maxModelID)
	}
	key := scope{a.Org, a.Model}
	i, twice := slices.BinarySearchFunc(t.aliases[key], a.From, func(o CustomAlias, from time.Time) int { return from.Compare(o.From) })
	if twice {
		return fmt.Errorf("there is another one from the same instant, %s", a.From.UTC().Format(time.RFC3339Nano))
	}
	t.aliases[key] = slices.Insert(t.aliases[key], i, a)
	return nil
}

// ends reports whether the aliases from a model come to an end within maxAliasSteps, whichever of them hold at the time. An alias for every
// org may lead on over one of a single org; that is found from the latter.
func (t *customTable) ends(org, model string) bool {
	reached := map[string]bool{model: true}
	for range maxAliasSteps + 1 {
		next := map[string]bool{}
		for model := range reached {
			for _, key := range scopes(org, model) {
				for _, a := range t.aliases[key] {
					next[a.Target] = true
				}
			}
		}
		reached = next
	}
	return len(reached) == 0
}

// scopes are where to look, the strongest first.
func scopes(org, model string) [2]scope { return [2]scope{{org, model}, {"", model}} }

// Quote implements humanhours.PriceBook. It fails only when the book under it does.
func (c *Custom) Quote(ctx context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	t := c.table.Load()
	quote, found := t.own(&q)
	if found {
		return quote, nil
	}
	quote, err := c.underneath(ctx, q)
	base, ok := routed(q.Model)
	if err != nil || !ok || quote.Unpriced == "" && quote.Price.Model == q.Model {
		return t.preferred(q, quote), err
	}
	// The book under this one has no row for the id with its routing suffix. What the operator says of the base goes first.
	q.Model = base
	own, found := t.own(&q)
	switch {
	case found:
		quote = own
	case q.Model == base:
		quote = t.preferred(q, quote)
	default:
		if quote, err = c.underneath(ctx, q); err != nil {
			return quote, err
		}
		quote = t.preferred(q, quote)
	}
	quote.Estimated = quote.Unpriced == ""
	return quote, nil
}

// preferred is quote, or the operator's price of the model that the book under this one has priced q as, where that is another: a listing has
// aliases too.
func (t *customTable) preferred(q humanhours.PriceQuery, quote humanhours.Quote) humanhours.Quote {
	if quote.Unpriced != "" || quote.Price.Model == q.Model {
		return quote
	}
	q.Model = quote.Price.Model
	if own, found := t.own(&q); found {
		return own
	}
	return quote
}

func (c *Custom) underneath(ctx context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	if c.under == nil {
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	}
	quote, err := c.under.Quote(ctx, q)
	if err == nil && quote.Unpriced == "" && quote.Price.Model == "" {
		quote.Price.Model = q.Model // after an alias it is not what the caller asked for
	}
	return quote, err
}

// own returns the operator's price. Where there is none it leaves in q.Model where the aliases lead to.
func (t *customTable) own(q *humanhours.PriceQuery) (quote humanhours.Quote, found bool) {
	for {
		for _, key := range scopes(q.Org, q.Model) {
			if i := slices.IndexFunc(t.prices[key], func(p CustomPrice) bool { return !p.From.After(q.At) }); i >= 0 {
				return humanhours.Quote{Price: t.prices[key][i].Price}, true
			}
		}
		target := t.target(q)
		if target == "" {
			return quote, false
		}
		q.Model = target // Replace has seen to it that this ends
	}
}

func (t *customTable) target(q *humanhours.PriceQuery) string {
	for _, key := range scopes(q.Org, q.Model) {
		if i := slices.IndexFunc(t.aliases[key], func(a CustomAlias) bool { return !a.From.After(q.At) }); i >= 0 {
			return t.aliases[key][i].Target
		}
	}
	return ""
}

// Info returns which edition the book under this one holds; the zero Info if it does not say.
func (c *Custom) Info() Info {
	if under, ok := c.under.(interface{ Info() Info }); ok {
		return under.Info()
	}
	return Info{}
}
