package pricebook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

var _ humanhours.Rates = (*RateBook)(nil)

// maxDays is how many days of rates are kept: events may be 90 days old, and corrections older.
const maxDays = 400

// RatesConfig sets up a RateBook. The zero value is right for most.
type RatesConfig struct {
	// URL of a file of rates in the format of the European Central Bank's. Defaults to DefaultRatesURL.
	URL string
	// Client fetches the file. One of your own should have a Timeout. Defaults to a client with a timeout of 30 seconds.
	Client *http.Client
	// Interval between two refreshes of Start, each moved by up to 10 % at random. Defaults to 24 hours.
	Interval time.Duration
	// MaxBytes is the most that is read of one file, unpacked. Defaults to 32 MiB.
	MaxBytes int64
	// File keeps the days so far for the next start. It is written in one step, after each refresh that succeeds, and belongs to one
	// RateBook. Defaults to "": nothing is kept.
	File string
	// Base is a table to have from the start, of its day, for currencies and times of which nothing better is known. Defaults to SnapshotRates().
	Base *RateTable
	// OnRefresh is told of every refresh but those whose context was cancelled, after it. Defaults to nobody.
	OnRefresh func(Report)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Clock tells the time. Defaults to time.Now.
	Clock func() time.Time
	// Jitter returns a random number from 0 to n-1, n > 0. It must be safe for concurrent use. Defaults to rand.Int64N of math/rand/v2.
	Jitter func(n int64) int64
}

// RateBook has the exchange rates of up to 400 days and keeps itself up to date. It is safe for concurrent use. It has nothing to close.
type RateBook struct {
	feed feed[*rateEdition]
}

// NewRates returns a book with the rates at hand: Config.Base and those of Config.File. It makes no request. A file that is damaged is
// logged and otherwise ignored; the error is of a RatesConfig that makes no sense.
func NewRates(c RatesConfig) (*RateBook, error) {
	o := options{
		url: c.URL, client: c.Client, interval: c.Interval, maxBytes: c.MaxBytes, file: c.File, onRefresh: c.OnRefresh,
		logger: c.Logger, clock: c.Clock, jitter: c.Jitter,
	}.withDefaults(DefaultRatesURL)
	if err := o.validate(); err != nil {
		return nil, err
	}
	base := c.Base
	if base == nil {
		base = SnapshotRates()
	}
	b := &RateBook{feed: feed[*rateEdition]{options: o, name: "rates"}}
	b.feed.decode = func(data []byte) (*rateEdition, error) { return decodeRates(data, base) }
	b.feed.read = func(ctx context.Context, get getter, old *rateEdition, at time.Time) (*rateEdition, Report, error) {
		body, err := get(ctx, o.url)
		if err != nil {
			return nil, Report{}, err
		}
		days, held, err := parseECB(body)
		if err != nil {
			return nil, Report{}, err
		}
		return old.merge(days, held, at)
	}
	b.feed.open(newRateEdition(nil, base, base.date))
	return b, nil
}

// Rate implements humanhours.Rates: by the rates of the UTC day of at or, on a day without, of the last day before. Before the first
// day of all it answers with that. The rate of a currency that some day lacks is of the last day that has it. Rates from the table's own
// currency are exact, others are cross rates rounded to 15 decimals. It never fails, and never waits for a refresh.
func (b *RateBook) Rate(_ context.Context, from, to string, at time.Time) (humanhours.ExchangeRate, bool, error) {
	rate, ok := b.feed.edition().rate(from, to, at)
	return rate, ok, nil
}

// Info returns which edition is in use. Its Date is the last day of which there are rates.
func (b *RateBook) Info() Info { return b.feed.edition().Info() }

// Age returns how long ago the rates were last seen at their source.
func (b *RateBook) Age() time.Duration { return b.feed.age() }

// Start refreshes the rates in the background, as Book.Start does the prices.
func (b *RateBook) Start(ctx context.Context) (done <-chan struct{}) { return b.feed.start(ctx) }

// Refresh fetches the rates now, as Book.Refresh does the prices.
func (b *RateBook) Refresh(ctx context.Context) (Report, error) {
	r, _ := b.feed.refresh(ctx)
	return r, r.Err
}

// rateEdition is all the days that are known at one time. It is immutable.
type rateEdition struct {
	days   []*RateTable // of the feed, the oldest first
	base   *RateTable
	tables []*RateTable // days and base, the oldest first; of one day, base first
	info   Info
}

func newRateEdition(days []*RateTable, base *RateTable, fetched time.Time) *rateEdition {
	days = days[max(0, len(days)-maxDays):]
	e := &rateEdition{days: days, base: base, tables: sortTables(base, days)}
	newest := e.tables[len(e.tables)-1]
	sum := sha256.New()
	hashed := days // of base too there would be another version with each release, and its file would not fit
	if len(hashed) == 0 {
		hashed = e.tables
	}
	for _, t := range hashed {
		sum.Write(t.appendTo(nil))
	}
	e.info = Info{
		Source: newest.source, Version: hex.EncodeToString(sum.Sum(nil))[:12], Date: newest.date, Fetched: fetched.UTC(), Models: len(newest.rates),
	}
	return e
}

// sortTables puts base before the day that it shares with the feed: the later one of a day goes first in look-ups.
func sortTables(base *RateTable, days []*RateTable) []*RateTable {
	tables := append([]*RateTable{base}, days...)
	slices.SortStableFunc(tables, byDate)
	return tables
}

func (e *rateEdition) Info() Info { return e.info }

func (e *rateEdition) renewed(at time.Time) *rateEdition {
	c := *e
	c.info.Fetched = at.UTC()
	return &c
}

func (e *rateEdition) rate(from, to string, at time.Time) (rate humanhours.ExchangeRate, ok bool) {
	day := at.UTC().Truncate(24 * time.Hour)
	later, _ := slices.BinarySearchFunc(e.tables, day, func(t *RateTable, day time.Time) int {
		if t.date.After(day) {
			return 1
		}
		return -1
	})
	for i := later - 1; i >= 0; i-- {
		if rate, ok = e.tables[i].rate(from, to); ok {
			return rate, true
		}
	}
	for _, t := range e.tables[later:] {
		if rate, ok = t.rate(from, to); ok {
			return rate, true
		}
	}
	return humanhours.ExchangeRate{}, false
}

// maxAhead is how far in the future a day of rates may be: clocks differ, and days begin elsewhere first.
const maxAhead = 48 * time.Hour

// maxBehind is how old the last day of a file of rates may be. There are days without rates, but not weeks.
const maxBehind = 30 * 24 * time.Hour

// merge adds days that were fetched at some time.
func (e *rateEdition) merge(fetched []*RateTable, held []Held, at time.Time) (*rateEdition, Report, error) {
	fail := func(format string, args ...any) (*rateEdition, Report, error) {
		return nil, Report{}, fmt.Errorf(format, args...)
	}
	fetched = fetched[max(0, len(fetched)-maxDays):] // what is older would not be kept
	newest := fetched[len(fetched)-1]
	switch {
	case newest.date.After(at.Add(maxAhead)):
		return fail("the rates are of %s, which is in the future", newest.date.Format(time.DateOnly))
	case newest.date.Before(at.Truncate(24 * time.Hour).Add(-maxBehind)):
		return fail("the rates are of %s at the latest: the feed stands still", newest.date.Format(time.DateOnly))
	}
	if len(e.days) > 0 {
		if last := e.days[len(e.days)-1]; 3*len(newest.rates) < 2*len(last.rates) {
			return fail("the rates shrank to %d currencies from %d: more than a third is gone", len(newest.rates), len(last.rates))
		}
	}
	days := map[time.Time]*RateTable{}
	for _, t := range e.days {
		days[t.date] = t
	}
	sofar := e
	for _, t := range fetched {
		believed, jumps := sofar.believe(t)
		if 3*len(jumps) > len(t.rates) {
			return fail("%d of the %d rates of %s jumped: the feed is broken, or of another currency", len(jumps), len(t.rates), t.date.Format(time.DateOnly))
		}
		held = append(held, jumps...)
		days[t.date] = believed
		sofar = &rateEdition{tables: sortTables(e.base, slices.Collect(maps.Values(days)))}
	}
	next := newRateEdition(slices.SortedFunc(maps.Values(days), byDate), e.base, at)
	slices.SortStableFunc(held, func(a, b Held) int { return strings.Compare(a.Model, b.Model) })
	report := Report{Held: held}
	for _, t := range fetched {
		if i := slices.IndexFunc(e.days, func(o *RateTable) bool { return o.date.Equal(t.date) }); i < 0 {
			report.New++
		} else if string(e.days[i].appendTo(nil)) != string(days[t.date].appendTo(nil)) {
			report.Repriced++
		}
	}
	return next, report, nil
}

// believe returns t without the rates that are too far from the last ones.
func (e *rateEdition) believe(t *RateTable) (*RateTable, []Held) {
	var held []Held
	rates := maps.Clone(t.rates)
	for code, rate := range t.rates {
		last, ok := e.rate(t.base, code, t.date)
		if ok && jumped(last.Rate, rate) {
			delete(rates, code)
			held = append(held, Held{Model: code, Reason: fmt.Sprintf("jumped from %s to %s per %s on %s", last.Rate, rate, t.base, t.date.Format(time.DateOnly))})
		}
	}
	return &RateTable{base: t.base, rates: rates, source: t.source, date: t.date}, held
}

// appendTo appends the day as a field of a JSON object.
func (t *RateTable) appendTo(dst []byte) []byte {
	dst = append(dst, `"`+t.date.Format(time.DateOnly)+`":{`...)
	for _, code := range slices.Sorted(maps.Keys(t.rates)) {
		if code != t.base {
			dst = append(appendJSONString(dst, code), `:"`...)
			dst = append(humanhours.AppendDecimal(dst, t.rates[code]), `",`...)
		}
	}
	return closed(dst, '}')
}

// encode writes the days of the feed as JSON, one a line, sorted: equal days have equal bytes.
func (e *rateEdition) encode() []byte {
	dst := appendHead([]byte("{\n"), e.info)
	dst = append(dst, `"base":"`+currencyECB+"\",\n\"days\":{\n"...)
	for _, t := range e.days {
		dst = append(t.appendTo(dst), ",\n"...)
	}
	return append(endLines(dst), "}}\n"...)
}

// decodeRates reads what encode wrote. What the file says of the edition besides its days follows from them.
func decodeRates(data []byte, base *RateTable) (*rateEdition, error) {
	var file struct {
		Base    string
		Version string
		Fetched time.Time
		Days    map[string]map[string]string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	if file.Base != currencyECB || len(file.Days) == 0 {
		return nil, errors.New("it has no rates per EUR")
	}
	if year := file.Fetched.UTC().Year(); year < 1 || year > 9999 {
		return nil, errors.New("it was fetched at no year that can be written")
	}
	var days []*RateTable
	for name, list := range file.Days {
		date, err := time.Parse(time.DateOnly, name)
		if err != nil {
			return nil, err
		}
		rates := map[string]decimal.Decimal{currencyECB: decimal.NewFromInt(1)}
		for code, text := range list {
			rate, ok := parseRate(text)
			if !ok || !validCurrency(code) || code == currencyECB {
				return nil, fmt.Errorf("%s: %.40q has the rate %.40q", name, code, text)
			}
			rates[code] = rate
		}
		days = append(days, &RateTable{base: currencyECB, rates: rates, source: sourceECB, date: date})
	}
	slices.SortFunc(days, byDate)
	fetched := file.Fetched.UTC()
	if base.date.After(fetched) {
		fetched = base.date // so that the file is used also with the base of a later release
	}
	e := newRateEdition(days, base, fetched)
	if e.info.Version != file.Version {
		return nil, fmt.Errorf("the version is %s, but the days are those of %s", file.Version, e.info.Version)
	}
	return e, nil
}
