package httpadapter_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// priceList is a price book of a few odd models, with a price for everything in "all".
type priceList struct{}

func (priceList) Quote(_ context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	per := func(units int64) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.New(units, -6)) }
	p := humanhours.Price{Model: q.Model, Input: per(1), Output: per(2), Currency: "EUR", Source: "test", Version: "1", Date: start}
	switch q.Model {
	case "all":
		p.CacheRead, p.CacheWrite, p.CacheWrite1h, p.Reasoning, p.Audio = per(3), per(4), per(5), per(6), per(7)
		p.Image, p.WebSearch, p.Request = per(8), per(9), per(10)
	case "text":
	case "estimated":
		return humanhours.Quote{Price: p, Estimated: true}, nil
	case "in dollars":
		p.Currency = "USD"
	case "dear":
		p.Input = decimal.NewNullDecimal(decimal.NewFromInt(1_000_000_000))
	case "dynamic":
		return humanhours.Quote{Unpriced: humanhours.UnpricedDynamic}, nil
	case "down":
		return humanhours.Quote{}, errors.New("down")
	default:
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	}
	return humanhours.Quote{Price: p}, nil
}

// TestEveryUnitIsPriced sends one of everything.
func TestEveryUnitIsPriced(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.Prices = priceList{} })
	counts := []string{"tokens_in", "tokens_out", "tokens_cache_read", "tokens_cache_write", "tokens_cache_write_1h", "tokens_reasoning", "tokens_audio",
		"images", "web_searches"}
	body := []string{"model", `"all"`}
	for _, name := range counts {
		body = append(body, name, "1")
	}
	got := s.track(event(body...), header("X-Request-Id", "one-of-each")).fields(http.StatusCreated)
	require.Equal(t, "0.000055", got.text("agent_cost"))
	for _, name := range counts {
		require.Equal(t, "1", got.text(name), name)
	}
	for name, want := range map[string]string{
		"price_input_per_token": "0.000001", "price_output_per_token": "0.000002", "price_cache_read_per_token": "0.000003",
		"price_cache_write_per_token": "0.000004", "price_cache_write_1h_per_token": "0.000005", "price_reasoning_per_token": "0.000006",
		"price_audio_per_token": "0.000007", "price_per_image": "0.000008", "price_per_web_search": "0.000009", "price_per_request": "0.00001",
	} {
		require.Equal(t, want, got.text(name), name)
	}
	price := s.do(http.MethodGet, "/v1/price-book?model=estimated", "")
	require.Contains(t, price.body, `"cost_precision":"estimated"`)
}

func TestUnpricedReasons(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.Prices = priceList{} })
	for _, tc := range []struct {
		reason humanhours.UnpricedReason
		body   string
	}{
		{humanhours.UnpricedNoModel, event("tokens_in", "1")},
		{humanhours.UnpricedNoTokens, event("model", `"all"`)},
		{humanhours.UnpricedUnknownModel, event("model", `"nobody's"`, "tokens_in", "1")},
		{humanhours.UnpricedDynamic, event("model", `"dynamic"`, "tokens_in", "1")},
		{humanhours.UnpricedPartial, event("model", `"text"`, "tokens_in", "1", "images", "1")},
		{humanhours.UnpricedNoFX, event("model", `"in dollars"`, "tokens_in", "1")},
		{humanhours.UnpricedOutOfRange, event("model", `"dear"`, "tokens_in", "2")},
		{humanhours.UnpricedUnavailable, event("model", `"down"`, "tokens_in", "1")},
	} {
		got := s.track(tc.body).fields(http.StatusCreated)
		require.Equal(t, quoted(string(tc.reason)), got.text("unpriced_reason"))
		require.Equal(t, "null", got.text("agent_cost"))
	}
}

// TestIDsFailInABatch: an item that fails within is answered as such.
func TestIDsFailInABatch(t *testing.T) {
	s := newServer(t, func(c *setup) {
		c.tracker.NewID = func(time.Time) (string, error) { return "", errors.New("no entropy") }
	})
	results := s.batch([]string{event()}).results()
	require.Equal(t, []int{http.StatusInternalServerError}, statuses(results))
	require.Equal(t, humanhours.CodeInternal, results[0].Error.Code)
}

func TestEveryFieldOfATaskTypeCanBeChanged(t *testing.T) {
	s := newServer(t)
	s.change(http.StatusCreated, http.MethodPost, "/v1/task-types", `{"key":"own"}`)
	got := s.change(http.StatusOK, http.MethodPatch, "/v1/task-types/own", `{"display_name":"Own","category":"ours","unit":"one","default_baseline_minutes":2,
		"low_minutes":1,"high_minutes":3,"baseline_source":"timed","reason":"now known"}`)
	for name, want := range map[string]string{"display_name": `"Own"`, "category": `"ours"`, "unit": `"one"`, "low_minutes": "1", "high_minutes": "3"} {
		require.Equal(t, want, got.text(name), name)
	}
	require.JSONEq(t, `{"evidence":"stated","derivation":"timed"}`, got.text("source"))

	s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":60}`)
	agent := s.change(http.StatusOK, http.MethodPatch, "/v1/agents/a", `{"display_name":"A"}`)
	require.Equal(t, `"org"`, agent.text("resolved_hourly_rate_source"))
}

// laterPrices is priceList for the models that are known by now.
type laterPrices struct{ known map[string]bool }

func (l laterPrices) Quote(ctx context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	if !l.known[q.Model] {
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	}
	return priceList{}.Quote(ctx, q)
}
