package pricebook

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// DefaultRatesURL is the European Central Bank's file of the reference rates of the last working day. eurofxref-hist-90d.xml beside it
// has those of 90 days.
const DefaultRatesURL = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"

const sourceECB, currencyECB = "ecb", "EUR"

// parseECB reads a file of reference rates: tables by day, the oldest first, and what of them is no rate.
func parseECB(body []byte) (tables []*RateTable, held []Held, err error) {
	var file struct {
		Days []struct {
			Time  string `xml:"time,attr"`
			Rates []struct {
				Currency string `xml:"currency,attr"`
				Rate     string `xml:"rate,attr"`
			} `xml:"Cube"`
		} `xml:"Cube>Cube"`
	}
	if err := xml.Unmarshal(body, &file); err != nil {
		return nil, nil, fmt.Errorf("the answer is cut off or not XML: its %d bytes start with %q: %w", len(body), body[:min(len(body), 40)], err)
	}
	seen := map[time.Time]bool{}
	for _, day := range file.Days {
		date, err := time.Parse(time.DateOnly, day.Time)
		if err != nil {
			return nil, nil, fmt.Errorf("the rates are of %.40q, which is no day", day.Time)
		}
		if seen[date] {
			return nil, nil, fmt.Errorf("the rates of %s are there twice", day.Time)
		}
		seen[date] = true
		rates := map[string]decimal.Decimal{currencyECB: decimal.NewFromInt(1)}
		wrong := map[string]bool{}
		for _, r := range day.Rates {
			rate, ok := parseRate(r.Rate)
			other, twice := rates[r.Currency]
			switch {
			case !validCurrency(r.Currency):
				held = append(held, Held{Reason: fmt.Sprintf("the rates of %s have one for %.40q, which is no currency", day.Time, r.Currency)})
			case !ok || twice && !other.Equal(rate):
				held = append(held, Held{Model: r.Currency, Reason: fmt.Sprintf("has no clear rate on %s: %.40q", day.Time, r.Rate)})
				wrong[r.Currency] = r.Currency != currencyECB
			default:
				rates[r.Currency] = rate
			}
		}
		for code := range wrong {
			if wrong[code] {
				delete(rates, code)
			}
		}
		if len(rates) > 1 {
			tables = append(tables, &RateTable{base: currencyECB, rates: rates, source: sourceECB, date: date})
		}
	}
	if len(tables) == 0 {
		return nil, nil, fmt.Errorf("the answer has no rates: it starts with %q", body[:min(len(body), 40)])
	}
	slices.SortFunc(tables, byDate)
	return tables, held, nil
}

func byDate(a, b *RateTable) int { return a.date.Compare(b.date) }

// parseRate reads a rate: a number greater than zero.
func parseRate(text string) (decimal.Decimal, bool) {
	rate, ok := parseAmount(text)
	return rate, ok && rate.IsPositive()
}

// validCurrency reports whether a code looks like one of ISO 4217.
func validCurrency(code string) bool {
	return len(code) == 3 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
