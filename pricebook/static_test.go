package pricebook

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// TestModelIDs: an id is found exactly, or by a declared step that the answer shows.
func TestModelIDs(t *testing.T) {
	alias := func(id, target, price string) string {
		return `{"id":"` + id + `","alias_target":{"name":"x","slug":"` + target + `"},"pricing":{"prompt":"` + price + `","completion":"0"}}`
	}
	b := good(t, list(
		model("x/base", `"prompt":"1","completion":"1"`),
		model("x/base:free", `"prompt":"0","completion":"0"`),
		model("x/own:nitro", `"prompt":"7","completion":"1"`),
		model("x/own", `"prompt":"8","completion":"1"`),
		model("x/auto", `"prompt":"-1","completion":"-1"`),
		alias("~x/latest", "x/base", "2"),
		alias("~x/second", "~x/latest", "3"),
		alias("~x/gone", "x/nowhere", "4"),
		alias("~x/auto", "x/auto", "5"),
		alias("~x/self", "~x/self", "6"),
		alias("~x/ping", "~x/pong", "10"),
		alias("~x/pong", "~x/ping", "11"),
	))
	for _, tc := range []struct {
		model, pricedAs, want string
		estimated             bool
		unpriced              humanhours.UnpricedReason
	}{
		{model: "x/base", pricedAs: "x/base", want: "1"},
		{model: "~x/latest", pricedAs: "x/base", want: "1"},
		{model: "~x/second", pricedAs: "x/base", want: "1"},
		{model: "~x/gone", pricedAs: "~x/gone", want: "4"},
		{model: "~x/self", pricedAs: "~x/self", want: "6"},
		{model: "~x/ping", pricedAs: "~x/ping", want: "10"},
		{model: "~x/pong", pricedAs: "~x/pong", want: "11"},
		{model: "~x/auto", unpriced: humanhours.UnpricedDynamic},
		{model: "x/base:nitro", pricedAs: "x/base", want: "1", estimated: true},
		{model: "x/base:floor", pricedAs: "x/base", want: "1", estimated: true},
		{model: "x/base:exacto", pricedAs: "x/base", want: "1", estimated: true},
		{model: "x/base:online", pricedAs: "x/base", want: "1", estimated: true},
		{model: "~x/latest:online", pricedAs: "x/base", want: "1", estimated: true},
		{model: "x/base:free:nitro", pricedAs: "x/base:free", want: "0", estimated: true},
		{model: "x/own:nitro", pricedAs: "x/own:nitro", want: "7"},
		{model: "x/auto:nitro", unpriced: humanhours.UnpricedDynamic},
		{model: "x/base:free", pricedAs: "x/base:free", want: "0"},
		{model: "x/own:free", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:batch", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:thinking", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:extended", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:NITRO", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base:nitro:online", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/unknown:nitro", unpriced: humanhours.UnpricedUnknownModel},
		{model: ":nitro", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/bas", unpriced: humanhours.UnpricedUnknownModel},
		{model: "x/base-2", unpriced: humanhours.UnpricedUnknownModel},
		{model: "base", unpriced: humanhours.UnpricedUnknownModel},
		{model: "X/Base", unpriced: humanhours.UnpricedUnknownModel},
		{model: " x/base", unpriced: humanhours.UnpricedUnknownModel},
	} {
		t.Run(tc.model, func(t *testing.T) {
			q := quote(t, b, humanhours.PriceQuery{Model: tc.model, At: today})
			require.Equal(t, tc.unpriced, q.Unpriced)
			require.Equal(t, tc.pricedAs, q.Price.Model)
			require.Equal(t, tc.want, text(q.Price.Input))
			require.Equal(t, tc.estimated, q.Estimated)
		})
	}
}

// TestQuoteDoesNotAllocate: the way of every event.
func TestQuoteDoesNotAllocate(t *testing.T) {
	book := Snapshot()
	q := humanhours.PriceQuery{Org: "o", Model: "anthropic/claude-sonnet-4.5", At: today, Usage: humanhours.Usage{TokensIn: n(300_000)}}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = book.Quote(t.Context(), q) }))
}
