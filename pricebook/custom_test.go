package pricebook

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// own writes a price of one's own.
func own(org, from, model, input string) CustomPrice {
	p := CustomPrice{Org: org, Price: humanhours.Price{Model: model, Input: null(input), Output: null(input), Currency: "EUR"}}
	if from != "" {
		p.From = date(from)
	}
	return p
}

func alias(org, from, model, target string) CustomAlias {
	a := CustomAlias{Org: org, Model: model, Target: target}
	if from != "" {
		a.From = date(from)
	}
	return a
}

// TestCustom: the strongest of what holds at the time of the run, and the answer shows what it is.
func TestCustom(t *testing.T) {
	under := good(t, list(model("list", `"prompt":"1","completion":"1"`), model("other", `"prompt":"2","completion":"1"`), model("exact:nitro", `"prompt":"3","completion":"1"`)))
	c, err := NewCustom(under, []CustomPrice{
		own("acme", "2026-03-01", "list", "30"),
		own("acme", "2026-06-01", "list", "60"),
		own("acme", "2026-01-01", "list", "10"),
		own("", "2026-02-01", "list", "200"),
		own("", "", "house", "5"),
		own("", "", "exact", "6"),
	}, []CustomAlias{
		alias("", "", "list", "other"), // an own price goes first
		alias("", "", "misspelt", "list"),
		alias("acme", "2026-06-01", "misspelt", "house"),
		alias("", "2026-06-01", "other", "house"),
		alias("", "", "one", "two"), alias("", "", "two", "three"), alias("", "", "three", "four"), alias("", "", "four", "house"),
		alias("", "", "to-nowhere", "nowhere"),
		alias("", "", "routed", "other:nitro"), alias("", "", "house-2", "house:floor"),
	})
	require.NoError(t, err)
	for _, tc := range []struct {
		name, org, model, at string
		want, pricedAs       string
		estimated            bool
	}{
		{"the org's, the latest that holds", "acme", "list", "2026-05-31", "30", "list", false},
		{"from its first instant", "acme", "list", "2026-06-01", "60", "list", false},
		{"the org's is not of the future", "acme", "list", "2026-01-01", "10", "list", false},
		{"another org has everybody's", "umbrella", "list", "2026-07-01", "200", "list", false},
		{"before every own price, the alias", "umbrella", "list", "2026-01-31", "2", "other", false},
		{"an alias to an own price", "umbrella", "misspelt", "2026-07-01", "200", "list", false},
		{"an alias of the org", "acme", "misspelt", "2026-07-01", "5", "house", false},
		{"before it holds, everybody's", "acme", "misspelt", "2026-05-01", "30", "list", false},
		{"an alias over the list below", "acme", "other", "2026-06-01", "5", "house", false},
		{"before it, the list below", "acme", "other", "2026-05-31", "2", "other", false},
		{"four steps", "acme", "one", "2026-07-01", "5", "house", false},
		{"own model", "", "house", "2026-07-01", "5", "house", false},
		{"an alias to nothing", "acme", "to-nowhere", "2026-07-01", "", "", false},
		{"unknown", "acme", "nowhere", "2026-07-01", "", "", false},
		{"no prefix", "acme", "hous", "2026-07-01", "", "", false},
		{"a routing suffix on an own model", "acme", "house:nitro", "2026-07-01", "5", "house", true},
		{"a routing suffix on a negotiated one", "acme", "list:online", "2026-07-01", "60", "list", true},
		{"a routing suffix on an alias", "acme", "misspelt:online", "2026-07-01", "5", "house", true},
		{"a routing suffix on an alias of the list below", "acme", "other:online", "2026-05-01", "2", "other", true},
		{"a row of its own below goes first", "acme", "exact:nitro", "2026-07-01", "3", "exact:nitro", false},
		{"an alias to a routing suffix", "acme", "routed", "2026-05-01", "2", "other", true},
		{"an alias to a routing suffix of an own model", "acme", "house-2", "2026-05-01", "5", "house", true},
		{"another suffix", "acme", "house:free", "2026-07-01", "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := quote(t, c, humanhours.PriceQuery{Org: tc.org, Model: tc.model, At: date(tc.at)})
			require.Equal(t, tc.want, text(q.Price.Input))
			require.Equal(t, tc.pricedAs, q.Price.Model)
			require.Equal(t, tc.estimated, q.Estimated)
		})
	}
	require.Equal(t, under.Info(), c.Info())
	p := quote(t, c, humanhours.PriceQuery{Org: "acme", Model: "list", At: date("2026-07-01")}).Price
	require.Equal(t, "custom", p.Source)
	require.Equal(t, "2026-06-01", p.Version)
	require.Equal(t, date("2026-06-01"), p.Date)
	p = quote(t, c, humanhours.PriceQuery{Model: "house"}).Price
	require.Equal(t, "undated", p.Version)
	require.Zero(t, p.Date)
}

func TestCustomKeepsWhatIsGiven(t *testing.T) {
	p := own("", "2026-01-01", "m", "1")
	p.Price.Source, p.Price.Version, p.Price.Date = "contract", "7", date("2025-12-01")
	c, err := NewCustom(nil, []CustomPrice{p}, nil)
	require.NoError(t, err)
	require.Equal(t, p.Price, quote(t, c, humanhours.PriceQuery{Model: "m", At: today}).Price)
	require.Equal(t, humanhours.UnpricedUnknownModel, quote(t, c, humanhours.PriceQuery{Model: "other", At: today}).Unpriced)
	require.Zero(t, c.Info())
}

func TestCustomIsChecked(t *testing.T) {
	for _, tc := range []struct {
		want    string
		prices  []CustomPrice
		aliases []CustomAlias
	}{
		{want: `price 1, of "" for org "acme": the price's model`, prices: []CustomPrice{own("", "", "m", "1"), own("acme", "", "", "1")}},
		{want: `price 0, of "m" for org "": the price's currency`, prices: []CustomPrice{{Price: humanhours.Price{Model: "m", Input: null("1")}}}},
		{want: `the price's currency`, prices: []CustomPrice{{Price: humanhours.Price{Model: "m", Input: null("1"), Currency: "usd"}}}},
		{want: "negative: -1", prices: []CustomPrice{own("", "", "m", "-1")}},
		{want: "out of range", prices: []CustomPrice{own("", "", "m", "1e500")}},
		{want: "no price in it", prices: []CustomPrice{own("", "", "m", "")}},
		{want: "same instant", prices: []CustomPrice{own("a", "2026-01-01", "m", "1"), own("a", "2026-01-01", "m", "2")}},
		{want: `alias 0, of "" for org "": the model`, aliases: []CustomAlias{alias("", "", "", "m")}},
		{want: `alias 0, of "m" for org "": the target`, aliases: []CustomAlias{alias("", "", "m", "")}},
		{want: "same instant", aliases: []CustomAlias{alias("", "", "m", "a"), alias("", "", "m", "b")}},
		{want: "circle", aliases: []CustomAlias{alias("", "", "m", "m")}},
		{want: "circle", aliases: []CustomAlias{alias("", "", "a", "b"), alias("acme", "2026-01-01", "b", "a")}},
		{want: "more than 4", aliases: []CustomAlias{alias("", "", "1", "2"), alias("", "", "2", "3"), alias("", "", "3", "4"), alias("", "", "4", "5"), alias("", "", "5", "6")}},
	} {
		_, err := NewCustom(nil, tc.prices, tc.aliases)
		require.ErrorContains(t, err, tc.want)
	}
	_, err := NewCustom(nil, []CustomPrice{own("a", "", "m", "1"), own("b", "", "m", "1"), own("", "", "m", "1")},
		[]CustomAlias{alias("a", "", "x", "y"), alias("b", "", "y", "x")})
	require.NoError(t, err, "what two orgs say has nothing to do with each other")
}

type brokenBook struct{}

func (brokenBook) Quote(context.Context, humanhours.PriceQuery) (humanhours.Quote, error) {
	return humanhours.Quote{}, errors.New("no connection")
}

func TestCustomReplace(t *testing.T) {
	c, err := NewCustom(brokenBook{}, []CustomPrice{own("", "", "m", "1")}, nil)
	require.NoError(t, err)
	_, err = c.Quote(t.Context(), humanhours.PriceQuery{Model: "x", At: today})
	require.ErrorContains(t, err, "no connection")
	require.Error(t, c.Replace([]CustomPrice{own("", "", "m", "-2")}, nil))
	require.Equal(t, "1", input(t, c, "m"), "after an error the old prices are in use")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 100 {
				if i == 0 {
					_ = c.Replace([]CustomPrice{own("", "", "m", "2")}, []CustomAlias{alias("", "", "x", "m")})
				} else {
					_, _ = c.Quote(context.Background(), humanhours.PriceQuery{Model: "m", At: time.Now()})
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, "2", input(t, c, "x"))
}

// TestCustomBehindAnAliasOfTheListing: what the listing prices as another model has the operator's price of that model.
func TestCustomBehindAnAliasOfTheListing(t *testing.T) {
	under := good(t, list(model("m", `"prompt":"1","completion":"1"`), `{"id":"~latest","alias_target":{"slug":"m"},"pricing":{"prompt":"1","completion":"1"}}`))
	c, err := NewCustom(under, []CustomPrice{own("acme", "2026-06-01", "m", "0.5")}, nil)
	require.NoError(t, err)
	for _, tc := range []struct {
		org, model, at, want, currency string
		estimated                      bool
	}{
		{"acme", "~latest", "2026-06-01", "0.5", "EUR", false},
		{"acme", "~latest:nitro", "2026-06-01", "0.5", "EUR", true},
		{"acme", "m:nitro", "2026-06-01", "0.5", "EUR", true},
		{"acme", "~latest", "2026-05-31", "1", "USD", false},
		{"umbrella", "~latest", "2026-06-01", "1", "USD", false},
	} {
		q := quote(t, c, humanhours.PriceQuery{Org: tc.org, Model: tc.model, At: date(tc.at)})
		require.Equal(t, []string{tc.want, tc.currency, "m"}, []string{text(q.Price.Input), q.Price.Currency, q.Price.Model}, "%+v", tc)
		require.Equal(t, tc.estimated, q.Estimated, "%+v", tc)
	}
}
