package pricebook

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestSnapshot(t *testing.T) {
	book := Snapshot()
	info := book.Info()
	require.Equal(t, 614, info.Models)
	require.Equal(t, "openrouter", info.Source)
	require.Len(t, info.Version, 12)
	require.False(t, info.Date.IsZero())
	for _, tc := range []struct {
		model, in, out string
		unpriced       humanhours.UnpricedReason
	}{
		{model: "anthropic/claude-sonnet-4.5", in: "0.000003", out: "0.000015"},
		{model: "anthropic/claude-sonnet-4.5:batch", in: "0.0000015", out: "0.0000075"},
		{model: "google/gemma-4-31b-it:free", in: "0", out: "0"},
		{model: "openrouter/auto", unpriced: humanhours.UnpricedDynamic},
		{model: "~anthropic/claude-opus-latest", in: "0.000004", out: "0.00002"},
		{model: "anthropic/claude-sonnet", unpriced: humanhours.UnpricedUnknownModel}, // a prefix is no match
		{model: "claude-sonnet-4.5", unpriced: humanhours.UnpricedUnknownModel},       // nor is a suffix
		{model: "Anthropic/Claude-Sonnet-4.5", unpriced: humanhours.UnpricedUnknownModel},
		{model: "anthropic/claude-sonnet-4.5:free", unpriced: humanhours.UnpricedUnknownModel},
	} {
		t.Run(tc.model, func(t *testing.T) {
			q, err := book.Quote(t.Context(), humanhours.PriceQuery{Org: "o", Model: tc.model, At: time.Now()})
			require.NoError(t, err)
			require.Equal(t, tc.unpriced, q.Unpriced)
			if tc.unpriced != "" {
				require.Zero(t, q.Price, "a model without a price must not come with one")
				return
			}
			require.Equal(t, tc.in, q.Price.Input.Decimal.String())
			require.Equal(t, tc.out, q.Price.Output.Decimal.String())
			require.Equal(t, tc.model, q.Price.Model)
			require.Equal(t, "USD", q.Price.Currency)
			require.Equal(t, info.Version, q.Price.Version)
			require.Equal(t, info.Date, q.Price.Date)
		})
	}
}

// TestSnapshotPricesEverything: a row is either dynamic or has both prices, none negative.
func TestSnapshotPricesEverything(t *testing.T) {
	for id, r := range Snapshot().rows {
		if r.unpriced == humanhours.UnpricedDynamic {
			continue
		}
		require.True(t, r.price.Input.Valid && r.price.Output.Valid, id)
		require.False(t, r.price.Input.Decimal.IsNegative() || r.price.Output.Decimal.IsNegative(), id)
		if strings.HasSuffix(id, ":free") {
			require.True(t, r.price.Input.Decimal.IsZero() && r.price.Output.Decimal.IsZero(), id)
		}
	}
}

func TestParseSnapshotRefusesWrongPrices(t *testing.T) {
	const head = `{"source":"s","version":"v","date":"2026-01-02","currency":"USD","models":{"m":`
	for _, prices := range []string{`["-0.1","1"]`, `["1","-2"]`, `["n/a","1"]`, `["1","NaN"]`, `[1,2]`} {
		_, err := parseSnapshot([]byte(head + prices + "}}"))
		require.Error(t, err, prices)
	}
	book, err := parseSnapshot([]byte(head + `["0.0000000833333333333333",""]}}`))
	require.NoError(t, err)
	require.Equal(t, "0.0000000833333333333333", book.rows["m"].price.Input.Decimal.String())
	require.False(t, book.rows["m"].price.Output.Valid, "no price is not a price of zero")
}

func TestSnapshotRates(t *testing.T) {
	table := SnapshotRates()
	for _, tc := range []struct{ from, to, want string }{
		{"USD", "EUR", "0.88022588"},
		{"USD", "JPY", "157.47729333"},
		{"EUR", "USD", "1.136072027330076"},
		{"EUR", "GBP", "0.858175790059706"},
	} {
		rate, ok, err := table.Rate(t.Context(), tc.from, tc.to, time.Time{})
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, tc.want, rate.Rate.String(), "%s to %s", tc.from, tc.to)
		require.Equal(t, time.Date(2026, 9, 29, 0, 0, 0, 0, time.UTC), rate.Date)
		require.NotEmpty(t, rate.Source)
	}
	for _, pair := range [][2]string{{"USD", "XXX"}, {"XXX", "EUR"}, {"usd", "EUR"}} {
		_, ok, err := table.Rate(t.Context(), pair[0], pair[1], time.Time{})
		require.NoError(t, err)
		require.False(t, ok, pair)
	}
}

// TestSnapshotCost computes a run from the book and the rates: (1,000 x 0.000003 + 200 x 0.000015) USD x 0.88022588.
func TestSnapshotCost(t *testing.T) {
	q, err := Snapshot().Quote(t.Context(), humanhours.PriceQuery{Model: "anthropic/claude-sonnet-4.5"})
	require.NoError(t, err)
	rate, _, _ := SnapshotRates().Rate(t.Context(), "USD", "EUR", time.Time{})
	e := humanhours.Event{
		Usage: humanhours.Usage{TokensIn: humanhours.Int64(1000), TokensOut: humanhours.Int64(200)}, Credited: true, Scale: humanhours.DefaultScale(),
		Cost: humanhours.RunCost{Source: humanhours.CostComputed, Price: q.Price, FX: rate},
	}
	require.True(t, e.Recompute().AgentCost.Decimal.Equal(decimal.RequireFromString("0.005281355")), "0.00528135528, rounded at the ninth decimal")
}
