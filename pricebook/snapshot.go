// Package pricebook knows what models and currencies cost. It carries a dated snapshot of OpenRouter's public price list and of
// exchange rates, so that a first start needs no network:
//
//	tracker, err := humanhours.New(store, humanhours.Config{
//		Prices: pricebook.Snapshot(),
//		Rates:  pricebook.SnapshotRates(),
//	})
//
// Every event that is priced with them carries the price, the version and the date.
package pricebook

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

var (
	_ humanhours.PriceBook = (*Static)(nil)
	_ humanhours.Rates     = (*RateTable)(nil)
)

// snapshotJSON lists model id -> [input, output] in USD per token, as decimal strings.
//
//go:embed snapshot.json
var snapshotJSON []byte

// ratesJSON lists what one USD buys.
//
//go:embed rates.json
var ratesJSON []byte

// dynamicPrice is what the price list says of models whose price the provider decides run by run. Taken as a
// number it would make every run earn money.
const dynamicPrice = "-1"

// Static is a price book that does not change: the same answer for every org and any time. It is safe for concurrent use.
type Static struct {
	rows map[string]row
	info Info
}

// Info says which edition of a price list a book holds.
type Info struct {
	Source  string    // whose price list
	Version string    // which edition
	Date    time.Time // the day of that edition, UTC
	Models  int       // how many models it lists
}

type row struct {
	price    humanhours.Price
	unpriced humanhours.UnpricedReason
}

// Snapshot returns the embedded price book: about 600 models, in USD.
func Snapshot() *Static {
	book, err := parseSnapshot(snapshotJSON)
	if err != nil {
		panic("pricebook: the embedded price snapshot is broken: " + err.Error())
	}
	return book
}

func parseSnapshot(data []byte) (*Static, error) {
	var file struct {
		Source, Version, Date, Currency string
		Models                          map[string][2]string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	date, err := time.Parse(time.DateOnly, file.Date)
	if err != nil {
		return nil, err
	}
	book := &Static{
		rows: make(map[string]row, len(file.Models)),
		info: Info{Source: file.Source, Version: file.Version, Date: date, Models: len(file.Models)},
	}
	for id, price := range file.Models {
		if price[0] == dynamicPrice || price[1] == dynamicPrice {
			book.rows[id] = row{unpriced: humanhours.UnpricedDynamic}
			continue
		}
		in, err := parsePrice(price[0])
		if err != nil {
			return nil, fmt.Errorf("%s: input price: %w", id, err)
		}
		out, err := parsePrice(price[1])
		if err != nil {
			return nil, fmt.Errorf("%s: output price: %w", id, err)
		}
		book.rows[id] = row{price: humanhours.Price{
			Model: id, Input: in, Output: out,
			Currency: file.Currency, Source: file.Source, Version: file.Version, Date: date,
		}}
	}
	return book, nil
}

// parsePrice reads a price per token; an empty text is no price.
func parsePrice(s string) (decimal.NullDecimal, error) {
	if s == "" {
		return decimal.NullDecimal{}, nil
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return decimal.NullDecimal{}, err
	}
	if d.IsNegative() {
		return decimal.NullDecimal{}, fmt.Errorf("%s is negative", s)
	}
	return decimal.NewNullDecimal(d), nil
}

// Info returns which edition b holds.
func (b *Static) Info() Info { return b.info }

// Quote implements humanhours.PriceBook. Ids match exactly. It never fails.
func (b *Static) Quote(_ context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	r, ok := b.rows[q.Model]
	if !ok {
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	}
	return humanhours.Quote{Price: r.price, Unpriced: r.unpriced}, nil
}

// RateTable holds exchange rates of one day and answers for any time with them. It is safe for concurrent use.
type RateTable struct {
	base   string
	rates  map[string]decimal.Decimal // what one unit of base buys
	source string
	date   time.Time
}

// crossPlaces is how many decimals a rate is rounded to that is not in the table itself: 9 significant
// digits and more also for currencies of very unlike size.
const crossPlaces = 15

// SnapshotRates returns the embedded exchange rates: 19 currencies, of one day.
func SnapshotRates() *RateTable {
	table, err := parseRates(ratesJSON)
	if err != nil {
		panic("pricebook: the embedded exchange rates are broken: " + err.Error())
	}
	return table
}

func parseRates(data []byte) (*RateTable, error) {
	var file struct {
		Source, Date, Base string
		Rates              map[string]json.Number
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	date, err := time.Parse(time.DateOnly, file.Date)
	if err != nil {
		return nil, err
	}
	table := &RateTable{base: file.Base, source: file.Source, date: date, rates: make(map[string]decimal.Decimal, len(file.Rates)+1)}
	for code, number := range file.Rates {
		rate, err := decimal.NewFromString(number.String())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", code, err)
		}
		if !rate.IsPositive() {
			return nil, fmt.Errorf("%s: the rate %s is not positive", code, rate)
		}
		table.rates[strings.ToUpper(code)] = rate
	}
	table.rates[file.Base] = decimal.NewFromInt(1)
	return table, nil
}

// Date returns the day of the rates, UTC.
func (t *RateTable) Date() time.Time { return t.date }

// Rate implements humanhours.Rates. Rates from the table's base are exact, others are cross rates rounded to 15 decimals.
// It never fails.
func (t *RateTable) Rate(_ context.Context, from, to string, _ time.Time) (humanhours.ExchangeRate, bool, error) {
	perFrom, okFrom := t.rates[from]
	perTo, okTo := t.rates[to]
	if !okFrom || !okTo {
		return humanhours.ExchangeRate{}, false, nil
	}
	rate := perTo
	if from != t.base {
		rate = perTo.DivRound(perFrom, crossPlaces)
	}
	return humanhours.ExchangeRate{From: from, To: to, Rate: rate, Source: t.source, Date: t.date}, true, nil
}
