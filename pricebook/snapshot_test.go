package pricebook

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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
	require.Equal(t, info.Date, info.Fetched)
	for _, tc := range []struct {
		model, in, out, read, write string
		unpriced                    humanhours.UnpricedReason
	}{
		{model: "anthropic/claude-sonnet-4.5", in: "0.000003", out: "0.000015", read: "0.0000003", write: "0.00000375"},
		{model: "anthropic/claude-sonnet-4.5:batch", in: "0.0000015", out: "0.0000075", read: "0.00000015", write: "0.000001875"},
		{model: "google/gemma-4-31b-it:free", in: "0", out: "0"},
		{model: "openrouter/auto", unpriced: humanhours.UnpricedDynamic},
		{model: "~anthropic/claude-opus-latest", in: "0.000004", out: "0.00002", read: "0.0000002", write: "0.000005"},
		{model: "anthropic/claude-sonnet", unpriced: humanhours.UnpricedUnknownModel}, // a prefix is no match
		{model: "claude-sonnet-4.5", unpriced: humanhours.UnpricedUnknownModel},       // nor is a suffix
		{model: "Anthropic/Claude-Sonnet-4.5", unpriced: humanhours.UnpricedUnknownModel},
		{model: "anthropic/claude-sonnet-4.5:free", unpriced: humanhours.UnpricedUnknownModel},
	} {
		t.Run(tc.model, func(t *testing.T) {
			q := quote(t, book, humanhours.PriceQuery{Org: "o", Model: tc.model, At: today})
			require.Equal(t, tc.unpriced, q.Unpriced)
			if tc.unpriced != "" {
				return
			}
			require.Equal(t, tc.in, text(q.Price.Input))
			require.Equal(t, tc.out, text(q.Price.Output))
			require.Equal(t, tc.read, text(q.Price.CacheRead))
			require.Equal(t, tc.write, text(q.Price.CacheWrite))
			require.Equal(t, tc.model, q.Price.Model)
			require.Equal(t, "USD", q.Price.Currency)
			require.Equal(t, info.Version, q.Price.Version)
			require.Equal(t, info.Date, q.Price.Date)
		})
	}
}

// TestSnapshotPricesEverything: a row is either dynamic or has both prices, none negative.
func TestSnapshotPricesEverything(t *testing.T) {
	tiers := 0
	for id, r := range Snapshot().rows {
		if r.unpriced == humanhours.UnpricedDynamic {
			continue
		}
		require.Empty(t, r.unpriced, id)
		requireSane(t, id, r)
		tiers += len(r.overrides)
		if strings.HasSuffix(id, ":free") {
			require.True(t, r.price.Input.Decimal.IsZero() && r.price.Output.Decimal.IsZero(), id)
		}
	}
	require.Equal(t, 81, tiers)
}

// requireSane holds a priced row against what every row is.
func requireSane(t testing.TB, id string, r *row) {
	t.Helper()
	require.True(t, r.price.Input.Valid && r.price.Output.Valid, id)
	for _, bucket := range bucketsOf(&r.price) {
		require.False(t, bucket.Decimal.IsNegative(), id)
		require.LessOrEqual(t, bucket.Decimal.NumDigits(), 64, id)
		require.GreaterOrEqual(t, bucket.Decimal.Exponent(), int32(-64), id)
	}
	for _, o := range r.overrides {
		for _, c := range o.prices {
			require.False(t, c.price.Decimal.IsNegative(), id)
		}
	}
}

// TestSnapshotFileRoundTrips: one parser reads the listing and the file, and nothing is lost between them.
func TestSnapshotFileRoundTrips(t *testing.T) {
	fixture, err := os.ReadFile("testdata/openrouter_fixture.json")
	require.NoError(t, err)
	odd := list(
		model("all", `"prompt":"0.000005","completion":1.5e-5,"input_cache_read":"0.0000005","input_cache_write":"0.00000625","input_cache_write_1h":"0.00001",
			"internal_reasoning":"0.000025","audio":"0.000001","image":"-1","web_search":"0.01","request":"0.005","discount":0.25,
			"overrides":[{"min_prompt_tokens":0,"utc_start":2330,"utc_end":2400,"utc_days":["saturday","sunday"],"prompt":"0.1","audio":"-1"},{"utc_start":0,"utc_end":0},{"new":1}]`),
		`{"id":"nick <&\u2028","alias_target":{"slug":"all"},"pricing":{"prompt":"1","completion":"1"}}`,
		`{"id":"bad","alias_target":{"slug":"all"},"pricing":null}`,
		model("auto", `"prompt":"-1","completion":"1"`),
	)
	for name, listing := range map[string]string{"fixture": string(fixture), "odd": odd, "one": list(model("m", `"prompt":"1","completion":"2"`))} {
		t.Run(name, func(t *testing.T) {
			first, _ := parse(t, listing)
			again, err := ParseSnapshot(first.encode())
			require.NoError(t, err)
			require.Equal(t, string(first.encode()), string(again.encode()))
			require.Equal(t, first.Info(), again.Info())
			require.Equal(t, slices.Collect(first.Models()), slices.Collect(again.Models()))
			for id := range first.Models() {
				for _, q := range []humanhours.PriceQuery{
					{Model: id, At: today}, {Model: id, At: today.AddDate(0, 0, 3).Add(11*time.Hour + 45*time.Minute), Usage: humanhours.Usage{TokensIn: n(300_000)}},
				} {
					require.Equal(t, prices(quote(t, first, q)), prices(quote(t, again, q)), id)
				}
			}
		})
	}
}

// prices is a quote in which equal numbers are equal.
func prices(q humanhours.Quote) string {
	s := string(q.Unpriced) + q.Price.Model + q.Price.Version + q.Price.Date.String()
	if q.Estimated {
		s += " estimated"
	}
	for _, bucket := range bucketsOf(&q.Price) {
		s += " " + text(*bucket)
	}
	return s
}

func TestVersionIsTheContent(t *testing.T) {
	a := good(t, list(model("a", `"prompt":"1","completion":"2"`), model("b", `"prompt":"1","completion":"2"`)))
	same := good(t, list(model("b", `"completion":2.00,"prompt":1e0,"new_field":"7"`), model("a", `"prompt":"1.0","completion":"2","discount":"0"`)))
	other := good(t, list(model("a", `"prompt":"1","completion":"2"`), model("b", `"prompt":"1","completion":"2.1"`)))
	require.Equal(t, a.Info().Version, same.Info().Version)
	require.Equal(t, string(a.encode()), string(same.encode()))
	require.NotEqual(t, a.Info().Version, other.Info().Version)
}

func TestParseSnapshotRefusesWhatIsBroken(t *testing.T) {
	file := string(good(t, list(model("m", `"prompt":"0.1","completion":"0.2"`))).encode())
	for name, broken := range map[string]string{
		"empty": "", "cut": file[:len(file)/2], "no object": "[]", "another price": strings.Replace(file, `"0.1"`, `"0.3"`, 1),
		"another version": strings.Replace(file, `"version":"`, `"version":"0`, 1), "a negative price": strings.Replace(file, `"0.1"`, `"-0.1"`, 1),
		"a word": strings.Replace(file, `"0.1"`, `"n/a"`, 1), "no day": strings.Replace(file, "2026-11-25\"", "soon\"", 1),
		"no id": strings.Replace(file, `"m"`, `""`, 1), "a list of prices": strings.Replace(file, `{"prompt":"0.1","completion":"0.2"}`, `["0.1","0.2"]`, 1),
		"a wrong stamp": strings.Replace(file, `"0.2"}`, `"0.2","kept":{"version":"v","date":"soon"}}`, 1),
	} {
		require.NotEqual(t, file, broken)
		_, err := ParseSnapshot([]byte(broken))
		require.Error(t, err, name)
	}
	_, err := ParseSnapshot([]byte(file))
	require.NoError(t, err)
}

func TestWriteTo(t *testing.T) {
	var buf bytes.Buffer
	written, err := Snapshot().WriteTo(&buf)
	require.NoError(t, err)
	require.EqualValues(t, buf.Len(), written)
	require.Equal(t, string(snapshotJSON), buf.String(), "the embedded file is what the tool writes")
}

// TestSnapshotCost computes a run from the book and the rates: (1,000 x 0.000003 + 200 x 0.000015) USD x 0.88022588.
func TestSnapshotCost(t *testing.T) {
	q := quote(t, Snapshot(), humanhours.PriceQuery{Model: "anthropic/claude-sonnet-4.5"})
	rate, _, _ := SnapshotRates().Rate(t.Context(), "USD", "EUR", time.Time{})
	e := humanhours.Event{
		Usage: humanhours.Usage{TokensIn: n(1000), TokensOut: n(200)}, Credited: true, Scale: humanhours.DefaultScale(),
		Cost: humanhours.RunCost{Source: humanhours.CostComputed, Price: q.Price, FX: rate},
	}
	require.True(t, e.Recompute().AgentCost.Decimal.Equal(dec("0.005281355")), "0.00528135528, rounded at the ninth decimal")
}

// TestAnEmptyEdition: the zero value is a book that knows nothing.
func TestAnEmptyEdition(t *testing.T) {
	b := &Static{}
	require.Equal(t, humanhours.UnpricedUnknownModel, quote(t, b, humanhours.PriceQuery{Model: "m:nitro"}).Unpriced)
	require.Empty(t, slices.Collect(b.Models()))
	require.Zero(t, b.Info())
}
