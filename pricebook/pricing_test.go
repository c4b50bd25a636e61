package pricebook

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// TestPricesOfARow: what a row's pricing object means before conditions. Prices are in the order of priceKeys.
func TestPricesOfARow(t *testing.T) {
	const both = `"prompt":"0.000002","completion":"0.000008"`
	for _, tc := range []struct {
		name, pricing string
		want          [buckets]string
		unpriced      humanhours.UnpricedReason
		faulty        bool
	}{
		{name: "all", pricing: both + `,"input_cache_read":"3","input_cache_write":"4","input_cache_write_1h":"5","internal_reasoning":"6","audio":"7","image":"8","web_search":"9","request":"10"`,
			want: [buckets]string{"0.000002", "0.000008", "3", "4", "5", "6", "7", "8", "9", "10"}},
		{name: "numbers", pricing: `"prompt":1e-7,"completion":0.0000002,"request":0`, want: [buckets]string{"0.0000001", "0.0000002", 9: "0"}},
		{name: "22 digits", pricing: `"prompt":"0.0000000833333333333333","completion":0.0000000833333333333333`,
			want: [buckets]string{"0.0000000833333333333333", "0.0000000833333333333333"}},
		{name: "free altogether", pricing: `"prompt":"0","completion":"0","internal_reasoning":"0","image":"0","web_search":"0","audio":"0"`,
			want: [buckets]string{"0", "0", 5: "0", 6: "0", 7: "0", 8: "0"}},
		{name: "zeros that say nothing", pricing: both + `,"internal_reasoning":"0","image":0,"web_search":"0.000","audio":"0","input_cache_read":"0","request":"0"`,
			want: [buckets]string{"0.000002", "0.000008", "0", 9: "0"}},
		{name: "paid output alone", pricing: `"prompt":"0","completion":"1","image":"0"`, want: [buckets]string{"0", "1"}},
		{name: "free but for large prompts", pricing: `"prompt":"0","completion":"0","audio":"0","overrides":[{"min_prompt_tokens":5,"prompt":"1"}]`, want: [buckets]string{"0", "0"}},
		{name: "older shape", pricing: both + `,"request":"0.005","image":"0","web_search":"0","internal_reasoning":"0"`, want: [buckets]string{"0.000002", "0.000008", 9: "0.005"}},
		{name: "newer shape", pricing: both + `,"video":"1","input_audio_cache":{"x":1},"image":"0.3"`, want: [buckets]string{"0.000002", "0.000008", 7: "0.3"}},
		{name: "discount", pricing: both + `,"request":"0.01","discount":0.25`, want: [buckets]string{"0.0000015", "0.000006", 9: "0.0075"}},
		{name: "discount as text", pricing: both + `,"discount":"0.1"`, want: [buckets]string{"0.0000018", "0.0000072"}},
		{name: "discount of nothing", pricing: both + `,"discount":0`, want: [buckets]string{"0.000002", "0.000008"}},
		{name: "null elsewhere", pricing: both + `,"discount":null,"overrides":null,"image":null,"audio":""`, want: [buckets]string{"0.000002", "0.000008"}},
		{name: "a bucket at no fixed price", pricing: both + `,"image":"-1","input_cache_read":-1`, want: [buckets]string{"0.000002", "0.000008"}},

		{name: "dynamic", pricing: `"prompt":"-1","completion":"-1"`, unpriced: humanhours.UnpricedDynamic},
		{name: "dynamic number", pricing: `"prompt":-1,"completion":"0.1"`, unpriced: humanhours.UnpricedDynamic},
		{name: "dynamic output", pricing: `"prompt":"0","completion":"-1.0"`, unpriced: humanhours.UnpricedDynamic},

		{name: "negative", pricing: `"prompt":"-0.1","completion":"1"`, faulty: true},
		{name: "negative elsewhere", pricing: both + `,"image":"-2"`, faulty: true},
		{name: "text", pricing: `"prompt":"n/a","completion":"1"`, faulty: true},
		{name: "text elsewhere", pricing: both + `,"audio":"free"`, faulty: true},
		{name: "NaN", pricing: `"prompt":"NaN","completion":"1"`, faulty: true},
		{name: "infinite", pricing: `"prompt":"Infinity","completion":"1"`, faulty: true},
		{name: "bool", pricing: `"prompt":true,"completion":"1"`, faulty: true},
		{name: "object", pricing: `"prompt":{"usd":"1"},"completion":"1"`, faulty: true},
		{name: "empty", pricing: `"prompt":"","completion":"1"`, faulty: true},
		{name: "null", pricing: `"prompt":"1","completion":null`, faulty: true},
		{name: "absent", pricing: `"prompt":"1"`, faulty: true},
		{name: "no prices", pricing: ``, faulty: true},
		{name: "huge exponent", pricing: `"prompt":"1e999999999","completion":"1"`, faulty: true},
		{name: "huge exponent as number", pricing: `"prompt":1e999999999,"completion":"1"`, faulty: true},
		{name: "tiny exponent", pricing: `"prompt":"1e-999999999","completion":"1"`, faulty: true},
		{name: "a billion", pricing: `"prompt":"1000000000","completion":"1"`, faulty: true},
		{name: "long", pricing: `"prompt":"0.00000000000000000000000000000000000000000000000000000000000000001","completion":"1"`, faulty: true},
		{name: "discount of all", pricing: both + `,"discount":1`, faulty: true},
		{name: "discount below nothing", pricing: both + `,"discount":"-0.1"`, faulty: true},
		{name: "discount in percent", pricing: both + `,"discount":"10%"`, faulty: true},
		{name: "discount of text", pricing: both + `,"discount":""`, faulty: true},
		{name: "overrides no list", pricing: both + `,"overrides":{}`, faulty: true},
		{name: "override no object", pricing: both + `,"overrides":[null]`, faulty: true},
		{name: "override negative", pricing: both + `,"overrides":[{"prompt":"-5"}]`, faulty: true},
		{name: "threshold negative", pricing: both + `,"overrides":[{"min_prompt_tokens":-1}]`, faulty: true},
		{name: "threshold a fraction", pricing: both + `,"overrides":[{"min_prompt_tokens":1.5}]`, faulty: true},
		{name: "threshold text", pricing: both + `,"overrides":[{"min_prompt_tokens":"many"}]`, faulty: true},
		{name: "window without end", pricing: both + `,"overrides":[{"utc_start":100}]`, faulty: true},
		{name: "minute 60", pricing: both + `,"overrides":[{"utc_start":160,"utc_end":200}]`, faulty: true},
		{name: "start at 24", pricing: both + `,"overrides":[{"utc_start":2400,"utc_end":200}]`, faulty: true},
		{name: "end after 24", pricing: both + `,"overrides":[{"utc_start":0,"utc_end":2401}]`, faulty: true},
		{name: "weekday", pricing: both + `,"overrides":[{"utc_days":["Saturday"]}]`, faulty: true},
		{name: "no weekday", pricing: both + `,"overrides":[{"utc_days":[]}]`, faulty: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, held := parse(t, list(model("m", tc.pricing)))
			q := quote(t, b, humanhours.PriceQuery{Model: "m", At: today})
			if tc.faulty {
				require.Equal(t, humanhours.UnpricedPartial, q.Unpriced)
				require.Len(t, held, 1)
				require.Equal(t, "m", held[0].Model)
				require.NotEmpty(t, held[0].Reason)
				return
			}
			require.Empty(t, held)
			require.Equal(t, tc.unpriced, q.Unpriced)
			var got [buckets]string
			for i, bucket := range bucketsOf(&q.Price) {
				got[i] = text(*bucket)
			}
			require.Equal(t, tc.want, got)
			require.False(t, q.Estimated)
		})
	}
}

// TestOverrides: base 1, and what each query gets. Days and hours are UTC, whatever the zone of the instant.
func TestOverrides(t *testing.T) {
	at := func(s string) time.Time {
		instant, err := time.Parse(time.RFC3339, s)
		require.NoError(t, err)
		return instant
	}
	in := func(tokens int64) humanhours.Usage { return humanhours.Usage{TokensIn: n(tokens)} }
	for _, tc := range []struct {
		name, overrides string
		at              time.Time
		usage           humanhours.Usage
		totals          bool
		want            string // "" for no price
		estimated       bool
	}{
		{name: "at the threshold", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(100), want: "1"},
		{name: "over the threshold", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(101), want: "2"},
		{name: "threshold as text", overrides: `{"min_prompt_tokens":"100","prompt":"2"}`, usage: in(101), want: "2"},
		{name: "threshold of nothing", overrides: `{"min_prompt_tokens":0,"prompt":"2"}`, usage: in(0), want: "1"},
		{name: "an all-cached prompt is a prompt", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`,
			usage: humanhours.Usage{TokensIn: n(0), TokensCacheRead: n(101)}, want: "2"},
		{name: "all parts of the prompt count", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`,
			usage: humanhours.Usage{TokensIn: n(21), TokensCacheRead: n(20), TokensCacheWrite: n(20), TokensCacheWrite1h: n(20), TokensAudio: n(20)}, want: "2"},
		{name: "output does not count", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`,
			usage: humanhours.Usage{TokensIn: n(100), TokensOut: n(500), TokensReasoning: n(500), Images: n(500)}, want: "1"},
		{name: "the later entry wins", overrides: `{"min_prompt_tokens":200,"prompt":"3"},{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(300), want: "2"},
		{name: "an entry without the key leaves it", overrides: `{"min_prompt_tokens":100,"prompt":"2"},{"min_prompt_tokens":100,"completion":"9"}`, usage: in(300), want: "2"},
		{name: "no condition always holds", overrides: `{"prompt":"2"}`, want: "2"},
		{name: "a price taken away", overrides: `{"min_prompt_tokens":100,"prompt":"-1"}`, usage: in(101), want: ""},

		{name: "totals stay at the base", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(101), totals: true, want: "1", estimated: true},
		{name: "totals at the threshold are exact", overrides: `{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(100), totals: true, want: "1"},
		{name: "totals over the lowest threshold", overrides: `{"min_prompt_tokens":500,"prompt":"2"},{"min_prompt_tokens":100,"prompt":"2"}`, usage: in(101), totals: true, want: "1", estimated: true},
		{name: "totals and the time of the day", overrides: `{"utc_start":1200,"utc_end":1300,"prompt":"2"}`, usage: in(101), totals: true, want: "2"},
		{name: "totals, a threshold at another time", overrides: `{"min_prompt_tokens":100,"utc_start":1300,"utc_end":1400,"prompt":"2"}`, usage: in(101), totals: true, want: "1"},
		{name: "totals, a threshold at this time", overrides: `{"min_prompt_tokens":100,"utc_start":1200,"utc_end":1300,"prompt":"2"}`, usage: in(101), totals: true, want: "1", estimated: true},

		{name: "before the window", overrides: `{"utc_start":400,"utc_end":600,"prompt":"2"}`, at: at("2026-11-25T03:59:59.999Z"), want: "1"},
		{name: "start of the window", overrides: `{"utc_start":400,"utc_end":600,"prompt":"2"}`, at: at("2026-11-25T04:00:00Z"), want: "2"},
		{name: "end within the window", overrides: `{"utc_start":400,"utc_end":600,"prompt":"2"}`, at: at("2026-11-25T05:59:59.999Z"), want: "2"},
		{name: "end of the window", overrides: `{"utc_start":400,"utc_end":600,"prompt":"2"}`, at: at("2026-11-25T06:00:00Z"), want: "1"},
		{name: "the window is of UTC", overrides: `{"utc_start":400,"utc_end":600,"prompt":"2"}`, at: at("2026-11-25T10:30:00+05:30"), want: "2"},
		{name: "past midnight", overrides: `{"utc_start":1000,"utc_end":100,"prompt":"2"}`, at: at("2026-11-25T00:59:00Z"), want: "2"},
		{name: "past midnight, its end", overrides: `{"utc_start":1000,"utc_end":100,"prompt":"2"}`, at: at("2026-11-25T01:00:00Z"), want: "1"},
		{name: "past midnight, its start", overrides: `{"utc_start":1000,"utc_end":100,"prompt":"2"}`, at: at("2026-11-25T10:00:00Z"), want: "2"},
		{name: "until midnight", overrides: `{"utc_start":1000,"utc_end":2400,"prompt":"2"}`, at: at("2026-11-25T23:59:59Z"), want: "2"},
		{name: "until midnight, then", overrides: `{"utc_start":1000,"utc_end":2400,"prompt":"2"}`, at: at("2026-11-25T00:00:00Z"), want: "1"},
		{name: "until midnight as 0", overrides: `{"utc_start":1000,"utc_end":0,"prompt":"2"}`, at: at("2026-11-25T23:59:59Z"), want: "2"},
		{name: "minutes", overrides: `{"utc_start":930,"utc_end":945,"prompt":"2"}`, at: at("2026-11-25T09:44:59Z"), want: "2"},
		{name: "equal is all day", overrides: `{"utc_start":700,"utc_end":700,"prompt":"2"}`, at: at("2026-11-25T06:59:00Z"), want: "2"},
		{name: "the day", overrides: `{"utc_days":["wednesday"],"prompt":"2"}`, want: "2"},
		{name: "another day", overrides: `{"utc_days":["tuesday","thursday"],"prompt":"2"}`, want: "1"},
		{name: "the day of UTC", overrides: `{"utc_days":["tuesday"],"prompt":"2"}`, at: at("2026-11-25T01:00:00+02:00"), want: "2"},
		{name: "the day is of the instant, not of the window's start", overrides: `{"utc_start":2200,"utc_end":200,"utc_days":["tuesday"],"prompt":"2"}`, at: at("2026-11-25T01:00:00Z"), want: "1"},
		{name: "day but not hour", overrides: `{"utc_start":1300,"utc_end":1400,"utc_days":["wednesday"],"prompt":"2"}`, want: "1"},
		{name: "tier but not hour", overrides: `{"min_prompt_tokens":100,"utc_start":1300,"utc_end":1400,"prompt":"2"}`, usage: in(101), want: "1"},
		{name: "tier and hour", overrides: `{"min_prompt_tokens":100,"utc_start":1200,"utc_end":1400,"prompt":"2"}`, usage: in(101), want: "2"},

		{name: "a newer condition is not applied", overrides: `{"region":"eu","prompt":"2"}`, want: "1", estimated: true},
		{name: "nor is a newer price", overrides: `{"video":"5","prompt":"2"}`, want: "1", estimated: true},
		{name: "others are", overrides: `{"prompt":"3"},{"region":"eu","prompt":"2"}`, want: "3", estimated: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := good(t, list(model("m", `"prompt":"1","completion":"1","overrides":[`+tc.overrides+`]`)))
			if tc.at.IsZero() {
				tc.at = today
			}
			again, err := ParseSnapshot(b.encode())
			require.NoError(t, err)
			for _, b := range []*Static{b, again} {
				q := quote(t, b, humanhours.PriceQuery{Model: "m", At: tc.at, Usage: tc.usage, Totals: tc.totals})
				require.Equal(t, tc.want, text(q.Price.Input))
				require.Equal(t, tc.estimated, q.Estimated)
				if tc.want == "" {
					require.Equal(t, humanhours.UnpricedDynamic, q.Unpriced)
				}
			}
		})
	}
}

func TestFixture(t *testing.T) {
	data, err := os.ReadFile("testdata/openrouter_fixture.json")
	require.NoError(t, err)
	b, held := parse(t, string(data))
	require.Equal(t, 16, b.Info().Models)
	require.Len(t, held, 2)
	require.Equal(t, []string{"example/bad-price", "example/no-pricing"}, []string{held[0].Model, held[1].Model})
	for model, want := range map[string]string{
		"example/plain": "0.0000025", "example/plain:free": "0", "example/plain:batch": "0.00000125", "~example/plain-latest": "0.0000025",
		"openrouter/auto": "", "example/song": "0", "example/old-shape": "0.000001", "example/numeric-price": "0.0000001", "example/no-pricing": "",
		"example/night-rate": "0.00000022", "example/two-tiers": "0.00000065",
	} {
		require.Equal(t, want, input(t, b, model), model)
	}
	// Tier x cache: the price of the cache in a tier is the tier's, and stays where a later tier does not name it.
	q := quote(t, b, humanhours.PriceQuery{Model: "example/two-tiers", Usage: humanhours.Usage{TokensIn: n(1), TokensCacheRead: n(128_000)}})
	require.Equal(t, "0.00000195", text(q.Price.Input))
	require.Equal(t, "0.000000234", text(q.Price.CacheRead))
	q = quote(t, b, humanhours.PriceQuery{Model: "example/tiers-out-of-order", Usage: humanhours.Usage{TokensIn: n(200_000)}})
	require.Equal(t, "0.0000025", text(q.Price.Input))
}

// TestCosts: what runs cost, to the last digit.
func TestCosts(t *testing.T) {
	b := good(t, list(
		model("cached", `"prompt":"0.000005","completion":"0.000025","input_cache_read":"0.0000005","input_cache_write":"0.00000625","input_cache_write_1h":"0.00001",
			"overrides":[{"min_prompt_tokens":1000,"prompt":"0.00001","input_cache_read":"0.000001"}]`),
		model("long", `"prompt":"0.0000000833333333333333","completion":"0"`),
		model("free", `"prompt":"0","completion":"0"`),
		model("discounted", `"prompt":"0.001","completion":"0.0027","discount":"0.25","overrides":[{"min_prompt_tokens":100,"prompt":"0.002"}]`),
		model("request", `"prompt":"0.000001","completion":"0.000001","request":"0.005","web_search":"0.01","image":"0.002","discount":"0.1"`),
	))
	for _, tc := range []struct {
		name, model string
		usage       humanhours.Usage
		want        string
	}{
		{"a discount on a tier", "discounted", humanhours.Usage{TokensIn: n(101), TokensOut: n(10)}, "0.17175"},
		{"7 long ones", "long", humanhours.Usage{TokensIn: n(7)}, "0.000000583333333333"}, // 0.0000005833333333333331, rounded at the 18th decimal
		{"writes of both lifetimes", "cached", humanhours.Usage{TokensIn: n(0), TokensCacheWrite: n(400), TokensCacheWrite1h: n(600)}, "0.0085"},
		{"all cached, in the tier", "cached", humanhours.Usage{TokensIn: n(0), TokensCacheRead: n(1001)}, "0.001001"},
		{"all cached, below it", "cached", humanhours.Usage{TokensIn: n(0), TokensCacheRead: n(1000)}, "0.0005"},
		{"a price of zero", "free", humanhours.Usage{TokensIn: n(1_000_000), TokensOut: n(5)}, "0"},
		{"everything by the piece", "request", humanhours.Usage{TokensIn: n(1000), Images: n(2), WebSearches: n(3)}, "0.036"},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, cost(t, b, tc.model, tc.usage)) })
	}
}

// TestThroughATracker: prices reach the events of a Tracker exactly, and tiers only those that sent their calls one by one.
func TestThroughATracker(t *testing.T) {
	b := good(t, list(
		model("long", `"prompt":"0.0000000833333333333333","completion":"0"`),
		model("tiered", `"prompt":"0.001","completion":"0","overrides":[{"min_prompt_tokens":100,"prompt":"0.002"}]`),
	))
	tracker, err := humanhours.New(memory.New(), humanhours.Config{Prices: b, Rates: SnapshotRates()})
	require.NoError(t, err)
	track := func(r humanhours.TrackRequest) humanhours.Event {
		r.AgentID, r.TaskType, r.Outcome = "a", "email_classification", humanhours.OutcomeSuccess
		result, err := tracker.Track(t.Context(), humanhours.Caller{}, r)
		require.NoError(t, err)
		return result.Event
	}
	e := track(humanhours.TrackRequest{Model: "long", Usage: humanhours.Usage{TokensIn: n(7)}})
	require.Equal(t, "0.0000000833333333333333", text(e.Cost.Price.Input))
	require.Equal(t, dec("0.0000000833333333333333").Mul(dec("7")).Mul(dec("0.88022588")).Round(9).String(), e.AgentCost.Decimal.String())

	sixty := humanhours.Usage{TokensIn: n(60)}
	calls := track(humanhours.TrackRequest{LLMCalls: []humanhours.LLMCall{{Model: "tiered", Usage: sixty}, {Model: "tiered", Usage: sixty}}})
	require.Equal(t, humanhours.CostExact, calls.Cost.Precision, "no single call is over the threshold")
	totals := track(humanhours.TrackRequest{Model: "tiered", Usage: humanhours.Usage{TokensIn: n(120)}})
	require.Equal(t, humanhours.CostEstimated, totals.Cost.Precision)
	require.Equal(t, calls.AgentCost.Decimal.String(), totals.AgentCost.Decimal.String(), "totals alone do not trip a tier")
	large := track(humanhours.TrackRequest{LLMCalls: []humanhours.LLMCall{{Model: "tiered", Usage: humanhours.Usage{TokensIn: n(120)}}}})
	require.Equal(t, "0.105627106", totals.AgentCost.Decimal.String()) // 120 x 0.001 USD x 0.88022588
	require.Equal(t, "0.211254211", large.AgentCost.Decimal.String())
}
