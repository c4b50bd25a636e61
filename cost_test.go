package humanhours_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// fxDate is the day of the test rates.
var fxDate = time.Date(2026, time.May, 13, 0, 0, 0, 0, time.UTC)

// usdToEUR knows one pair of currencies.
func usdToEUR(rate string) humanhours.Rates {
	return rateFunc(func(from, to string, _ time.Time) (humanhours.ExchangeRate, bool, error) {
		if from != "USD" || to != "EUR" {
			return humanhours.ExchangeRate{}, false, nil
		}
		return humanhours.ExchangeRate{Rate: dec(rate), Source: "fixing", Date: fxDate}, true, nil
	})
}

func TestRunCost(t *testing.T) {
	const (
		provided = humanhours.CostProvided
		computed = humanhours.CostComputed
		none     = humanhours.CostNone
	)
	broken := errors.New("connection refused")
	prices := book{
		"eur": quote("0.000003", "0.000015", "EUR"), "usd": quote("0.000003", "0.000015", "USD"),
		"gbp": quote("0.000003", "0.000015", "GBP"), "free": quote("0", "0", "EUR"),
		"in-only": quote("0.000003", "", "EUR"), "out-only": quote("", "0.000015", "EUR"), "no-sides": quote("", "", "EUR"),
		"dear": quote("1", "1", "EUR"), "negative": quote("-1", "0.1", "EUR"), "tiny": quote("0.0000000005", "0", "USD"),
		"dynamic": {Unpriced: humanhours.UnpricedDynamic}, "exact": quote("1.234567890123456789012", "0", "EUR"),
	}
	for exponent, name := range map[int32]string{math.MaxInt32: "huge", math.MinInt32: "minute"} {
		q := quote("0", "0", "EUR")
		q.Price.Input = decimal.NewNullDecimal(decimal.New(1, exponent))
		prices[name] = q
	}
	both := func(model string) humanhours.TrackRequest { return priced(model, 1000, 500) }
	in := func(model string, n int64) humanhours.TrackRequest {
		return request(func(r *humanhours.TrackRequest) { r.Model, r.TokensIn = model, humanhours.Int64(n) })
	}
	out := func(model string, n int64) humanhours.TrackRequest {
		return request(func(r *humanhours.TrackRequest) { r.Model, r.TokensOut = model, humanhours.Int64(n) })
	}
	costing := func(r humanhours.TrackRequest, cost string) humanhours.TrackRequest {
		r.AgentCost = null(cost)
		return r
	}
	for _, tc := range []struct {
		name   string
		req    humanhours.TrackRequest
		cfg    humanhours.Config
		source humanhours.CostSource
		reason humanhours.UnpricedReason
		cost   string // empty: unknown
	}{
		{name: "provided wins over computed", req: costing(both("eur"), "0.5"), source: provided, cost: "0.5"},
		{name: "provided zero", req: costing(both("eur"), "0"), source: provided, cost: "0"},
		{name: "provided, for a model that has no price", req: costing(both("dynamic"), "0.5"), source: provided, cost: "0.5"},
		{name: "both kinds of tokens", req: both("eur"), source: computed, cost: "0.0105"},
		{name: "input tokens alone", req: in("eur", 1000), source: computed, cost: "0.003"},
		{name: "output tokens alone", req: out("eur", 500), source: computed, cost: "0.0075"},
		{name: "input tokens where only they have a price", req: in("in-only", 1000), source: computed, cost: "0.003"},
		{name: "output tokens where only they have a price", req: out("out-only", 500), source: computed, cost: "0.0075"},
		{name: "a price of zero is a price", req: both("free"), source: computed, cost: "0"},
		{name: "no tokens used", req: priced("eur", 0, 0), source: computed, cost: "0"},
		{name: "converted", req: both("usd"), source: computed, cost: "0.0096474"},
		{name: "rounded once, after the conversion", req: in("tiny", 1), source: computed, cost: "0"},
		{name: "a price with 22 digits", req: in("exact", 7), source: computed, cost: "8.641975231"},
		{name: "as much as a run may cost", req: in("dear", humanhours.MaxAgentCost), source: computed, cost: "1000000000"},
		{name: "a price too small to count", req: in("minute", 1), source: none, reason: humanhours.UnpricedOutOfRange},

		{name: "nothing to price", req: request(), source: none},
		{name: "tokens without a model", req: in("", 1000), source: none, reason: humanhours.UnpricedNoModel},
		{name: "a model without tokens", req: request(func(r *humanhours.TrackRequest) { r.Model = "eur" }), source: none, reason: humanhours.UnpricedNoTokens},
		{name: "an unknown model", req: both("other"), source: none, reason: humanhours.UnpricedUnknownModel},
		{name: "a dynamic price", req: both("dynamic"), source: none, reason: humanhours.UnpricedDynamic},
		{name: "output tokens without a price", req: both("in-only"), source: none, reason: humanhours.UnpricedPartial},
		{name: "input tokens without a price", req: both("out-only"), source: none, reason: humanhours.UnpricedPartial},
		{name: "no price at all", req: in("no-sides", 1), source: none, reason: humanhours.UnpricedPartial},
		{name: "no rate for the currency", req: both("gbp"), source: none, reason: humanhours.UnpricedNoFX},
		{name: "one more than a run may cost", req: in("dear", humanhours.MaxAgentCost+1), source: none, reason: humanhours.UnpricedOutOfRange},
		{name: "a negative price", req: both("negative"), source: none, reason: humanhours.UnpricedOutOfRange},
		{name: "a price of absurd size", req: in("huge", 1), source: none, reason: humanhours.UnpricedOutOfRange},

		{
			name: "without rates", req: both("usd"), source: none, reason: humanhours.UnpricedNoFX,
			cfg: humanhours.Config{Prices: prices},
		},
		{
			name: "without a price book", req: both("eur"), source: none, reason: humanhours.UnpricedNoPriceBook,
			cfg: humanhours.Config{Rates: usdToEUR("1")},
		},
		{
			name: "a price book that fails", req: both("eur"), source: none, reason: humanhours.UnpricedUnavailable,
			cfg: humanhours.Config{Prices: quoteFunc(func(humanhours.PriceQuery) (humanhours.Quote, error) { return humanhours.Quote{}, broken })},
		},
		{
			name: "rates that fail", req: both("usd"), source: none, reason: humanhours.UnpricedUnavailable,
			cfg: humanhours.Config{Prices: prices, Rates: rateFunc(func(string, string, time.Time) (humanhours.ExchangeRate, bool, error) {
				return humanhours.ExchangeRate{}, false, broken
			})},
		},
		{
			name: "a rate of zero", req: both("usd"), source: none, reason: humanhours.UnpricedOutOfRange,
			cfg: humanhours.Config{Prices: prices, Rates: usdToEUR("0")},
		},
		{
			name: "a negative rate", req: both("usd"), source: none, reason: humanhours.UnpricedOutOfRange,
			cfg: humanhours.Config{Prices: prices, Rates: usdToEUR("-0.9")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.cfg.Prices == nil && tc.cfg.Rates == nil {
				tc.cfg.Prices, tc.cfg.Rates = prices, usdToEUR("0.9188")
			}
			w := newWorld(t, tc.cfg)
			e := w.trackOne(t, tc.req)
			assert.Equal(t, tc.source, e.Cost.Source)
			assert.Equal(t, tc.reason, e.Cost.Unpriced)
			assert.Equal(t, tc.cost, text(e.AgentCost))
			assert.True(t, e.NetSaved.Equal(dec("2.97").Sub(e.AgentCost.Decimal)), "an unknown cost is not subtracted, a known one is")
			if tc.source != computed {
				assert.Zero(t, e.Cost.Price, "no price was used")
				assert.Zero(t, e.Cost.FX, "no rate was used")
			}
			stored := w.stored(t, defaultOrg)
			require.Len(t, stored, 1, "the event is stored, whatever its price")
			requireSame(t, e, stored[0])
			if tc.reason == humanhours.UnpricedUnavailable {
				assert.Contains(t, w.log.String(), broken.Error(), "the operator is told")
			} else {
				assert.Empty(t, w.log.String())
			}

			var public map[string]json.RawMessage
			raw, err := json.Marshal(e)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, &public))
			want := tc.cost
			if want == "" {
				want = "null"
			}
			assert.Equal(t, want, string(public["agent_cost"]), "unknown is null, free is 0")
		})
	}
}

func TestRunCostIsRoundedAfterTheConversion(t *testing.T) {
	w := newWorld(t, humanhours.Config{Prices: book{"m": quote("0.0000000005", "0", "USD")}, Rates: usdToEUR("1.9")})
	// 0.00000000095. Rounded to 0.000000001 USD before, it would be 0.000000002.
	assert.Equal(t, "0.000000001", w.trackOne(t, priced("m", 1, 0)).AgentCost.Decimal.String())
}

func TestPriceAndRateAreFrozenOnTheEvent(t *testing.T) {
	price, rate := quote("1.234567890123456789012", "0.00000000000000000000000000000001", "USD"), "0.918800000000000000001"
	prices := book{"m": price}
	w := newWorld(t, humanhours.Config{Prices: prices, Rates: usdToEUR(rate)})
	e := w.trackOne(t, priced("m", 7, 1))
	prices["m"] = quote("99", "99", "USD")

	stored, found, err := w.store.Event(t.Context(), defaultOrg, e.ID)
	require.NoError(t, err)
	require.True(t, found)
	for _, cost := range []humanhours.RunCost{e.Cost, stored.Cost} {
		assert.Equal(t, "1.234567890123456789012", cost.Price.Input.Decimal.String())
		assert.Equal(t, "0.00000000000000000000000000000001", cost.Price.Output.Decimal.String())
		assert.Equal(t, []string{"vendor/model", "USD", "list", "v7"}, []string{cost.Price.Model, cost.Price.Currency, cost.Price.Source, cost.Price.Version})
		assert.True(t, price.Price.Date.Equal(cost.Price.Date))
		assert.Equal(t, []string{"USD", "EUR", "fixing"}, []string{cost.FX.From, cost.FX.To, cost.FX.Source})
		assert.Equal(t, rate, cost.FX.Rate.String())
		assert.True(t, fxDate.Equal(cost.FX.Date))
	}
	// 8.641975230864197523084 x 0.918800000000000000001
	assert.Equal(t, "7.940246842", e.AgentCost.Decimal.String())
	assert.Equal(t, figuresOf(e.ROI), figuresOf(stored.Recompute()))
}

func TestPriceBookAndRatesAreAskedForTheRun(t *testing.T) {
	occurred := noon.Add(-36 * time.Hour)
	var asked []humanhours.PriceQuery
	var pairs [][2]string
	w := newWorld(t, humanhours.Config{
		Prices: quoteFunc(func(q humanhours.PriceQuery) (humanhours.Quote, error) {
			asked = append(asked, q)
			return quote("1", "1", "USD"), nil
		}),
		Rates: rateFunc(func(from, to string, at time.Time) (humanhours.ExchangeRate, bool, error) {
			pairs = append(pairs, [2]string{from, to})
			assert.True(t, occurred.Equal(at))
			return humanhours.ExchangeRate{Rate: dec("0.8")}, true, nil
		}),
	})
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Currency = "CHF" })
	req := priced("vendor/model:free", 1, 1)
	req.OccurredAt = occurred
	e := w.track(t, humanhours.Caller{Org: "acme"}, req).Event
	assert.Equal(t, "CHF", e.Currency)
	assert.Equal(t, []humanhours.PriceQuery{{Org: "acme", Model: "vendor/model:free", At: occurred, Usage: req.Usage, Totals: true}}, asked)
	assert.Equal(t, [][2]string{{"USD", "CHF"}}, pairs)

	req.AgentCost = null("1")
	w.track(t, humanhours.Caller{Org: "acme"}, req)
	assert.Len(t, asked, 1, "a cost that was provided needs no price")
}

// A PriceBook that matches ids exactly has no reason to repeat the model. Its price must be frozen all the same.
func TestPriceOfABookThatNamesNoRow(t *testing.T) {
	q := quote("0.5", "0.5", "EUR")
	q.Price.Model = ""
	w := newWorld(t, humanhours.Config{Prices: book{"m": q}})
	e := w.trackOne(t, priced("m", 1, 1))
	require.Equal(t, "1", text(e.AgentCost))
	stored := w.stored(t, defaultOrg)[0]
	assert.Equal(t, "0.5", text(stored.Cost.Price.Input), "the price is on the stored event")
	assert.Equal(t, figuresOf(e.ROI), figuresOf(stored.Recompute()))
}

// What is frozen must come back from the store as it was answered the first time, whatever a book of somebody else says.
func TestFrozenPriceIsStorable(t *testing.T) {
	q := quote("0.5", "0.5", "USD")
	q.Price.Date = time.Date(2026, 5, 6, 23, 59, 59, 999, time.FixedZone("", -3600))
	q.Price.Version = "v\xff"
	w := newWorld(t, humanhours.Config{
		Prices: book{"m": q},
		Rates: rateFunc(func(from, to string, at time.Time) (humanhours.ExchangeRate, bool, error) {
			return humanhours.ExchangeRate{Rate: dec("0.9"), Source: "s\xff", Date: at}, true, nil
		}),
	})
	caller := humanhours.Caller{KeyID: "k\xff"}
	req := withKey("k", func(r *humanhours.TrackRequest) { r.Model, r.TokensIn = "m", humanhours.Int64(2) })
	first, again := w.track(t, caller, req), w.track(t, caller, req)
	require.True(t, again.Replayed)
	require.Equal(t, first.Event.Cost.Price.Date, again.Event.Cost.Price.Date)
	require.Equal(t, first.Event.Cost.FX.Date, again.Event.Cost.FX.Date)
	require.Equal(t, "v\ufffd", first.Event.Cost.Price.Version)
	require.Equal(t, first.Event.Cost.Price.Version, again.Event.Cost.Price.Version)
	require.Equal(t, first.Event.Cost.FX.Source, again.Event.Cost.FX.Source)
	require.Equal(t, first.Event.KeyID, again.Event.KeyID)
}

// A negative price makes no run cheaper, also when the other price outweighs it.
func TestNegativePriceIsNoPrice(t *testing.T) {
	for name, q := range map[string]humanhours.Quote{"input": quote("-1", "5", "EUR"), "output": quote("5", "-1", "EUR")} {
		w := newWorld(t, humanhours.Config{Prices: book{"m": q}})
		e := w.trackOne(t, priced("m", 1, 1))
		require.Equal(t, humanhours.UnpricedOutOfRange, e.Cost.Unpriced, name)
		require.False(t, e.AgentCost.Valid, name)
	}
}
