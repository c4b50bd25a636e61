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

var _ humanhours.Rates = (*RateTable)(nil)

// ratesJSON lists what one USD buys.
//
//go:embed rates.json
var ratesJSON []byte

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
		rate, ok := parseAmount(number.String())
		if !ok || !rate.IsPositive() {
			return nil, fmt.Errorf("%s: %.40q is not a rate", code, number)
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
	rate, ok := t.rate(from, to)
	return rate, ok, nil
}

func (t *RateTable) rate(from, to string) (humanhours.ExchangeRate, bool) {
	perFrom, okFrom := t.rates[from]
	perTo, okTo := t.rates[to]
	if !okFrom || !okTo {
		return humanhours.ExchangeRate{}, false
	}
	rate := perTo
	if from != t.base {
		rate = perTo.DivRound(perFrom, crossPlaces)
	}
	return humanhours.ExchangeRate{From: from, To: to, Rate: rate, Source: t.source, Date: t.date}, true
}
