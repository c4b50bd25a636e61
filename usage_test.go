package humanhours_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// list is a price for everything, each recognisable in a sum.
func list() humanhours.Quote {
	q := quote("0.000001", "0.00001", "EUR")
	p := &q.Price
	p.CacheRead, p.CacheWrite, p.CacheWrite1h = null("0.0000001"), null("0.00000125"), null("0.000002")
	p.Reasoning, p.Audio, p.Image, p.WebSearch, p.Request = null("0.00002"), null("0.00003"), null("0.004"), null("0.05"), null("0.6")
	return q
}

func counts(pairs ...any) (u humanhours.Usage) {
	fields := map[string]*humanhours.NullInt64{
		"in": &u.TokensIn, "out": &u.TokensOut, "read": &u.TokensCacheRead, "write": &u.TokensCacheWrite, "write1h": &u.TokensCacheWrite1h,
		"reasoning": &u.TokensReasoning, "audio": &u.TokensAudio, "images": &u.Images, "searches": &u.WebSearches,
	}
	for i := 0; i < len(pairs); i += 2 {
		*fields[pairs[i].(string)] = humanhours.Int64(int64(pairs[i+1].(int)))
	}
	return u
}

func run(model string, u humanhours.Usage, calls ...humanhours.LLMCall) humanhours.TrackRequest {
	return request(func(r *humanhours.TrackRequest) { r.Model, r.Usage, r.LLMCalls = model, u, calls })
}

func call(model string, pairs ...any) humanhours.LLMCall {
	return humanhours.LLMCall{Model: model, Usage: counts(pairs...)}
}

// Every kind of usage has its price, and one that is used and has none makes the run partly priced, which is not priced.
func TestCostOfEveryKindOfUsage(t *testing.T) {
	noFee := list()
	noFee.Price.Request = null("")
	plain, noReasoning := quote("0.000001", "0.00001", "EUR"), list()
	noReasoning.Price.Reasoning, noReasoning.Price.Request = null(""), null("0")
	w := newWorld(t, humanhours.Config{Prices: book{"m": noFee, "fee": list(), "plain": plain, "no-reasoning": noReasoning, "free": quote("0", "0", "EUR")}})
	for _, tc := range []struct {
		name      string
		req       humanhours.TrackRequest
		cost      string
		precision humanhours.CostPrecision
		reason    humanhours.UnpricedReason
		frozen    string // names of the prices on the event besides input and output
	}{
		{name: "a prompt that was all cached", req: run("m", counts("in", 0, "out", 10, "read", 1000)), cost: "0.0002", frozen: "cache_read"},
		{name: "written to a cache of 5 minutes", req: run("m", counts("in", 7, "write", 1000)), cost: "0.001257", frozen: "cache_write"},
		{name: "written to a cache of an hour", req: run("m", counts("in", 7, "write1h", 1000)), cost: "0.002007", frozen: "cache_write_1h"},
		{name: "both caches", req: run("m", counts("in", 0, "write", 1000, "write1h", 1000)), cost: "0.00325", frozen: "cache_write cache_write_1h"},
		{name: "reasoning", req: run("m", counts("out", 1, "reasoning", 100)), cost: "0.00201", frozen: "reasoning"},
		{name: "reasoning costs what output does", req: run("no-reasoning", counts("out", 1, "reasoning", 100)), cost: "0.00101", frozen: "reasoning"},
		{name: "audio", req: run("m", counts("in", 0, "audio", 100)), cost: "0.003", frozen: "audio"},
		{name: "images", req: run("m", counts("images", 2)), cost: "0.008", frozen: "image"},
		{name: "searches", req: run("m", counts("searches", 3)), cost: "0.15", frozen: "web_search"},
		{name: "none of what has no price", req: run("plain", counts("in", 1000, "read", 0, "images", 0)), cost: "0.001"},
		{name: "a fee per call, of nobody knows how many", req: run("fee", counts("in", 1000)), cost: "0.601", precision: humanhours.CostEstimated, frozen: "request"},
		{name: "a fee for one call", req: run("", humanhours.Usage{}, call("fee", "in", 1000)), cost: "0.601", frozen: "request"},
		{name: "a fee for each call", req: run("fee", humanhours.Usage{}, call("", "in", 1000), call("", "in", 1000)), cost: "1.202", frozen: "request"},
		{name: "free", req: run("free", counts("in", 5, "out", 5)), cost: "0"},

		{name: "a cache without a price", req: run("plain", counts("in", 1000, "read", 1)), reason: humanhours.UnpricedPartial},
		{name: "an image without a price", req: run("free", counts("in", 1000, "images", 1)), reason: humanhours.UnpricedPartial},
		{name: "reasoning without a price", req: run("in-only", counts("out", 0, "reasoning", 1)), reason: humanhours.UnpricedUnknownModel},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := w.trackOne(t, tc.req)
			assert.Equal(t, tc.cost, text(e.AgentCost))
			assert.Equal(t, tc.reason, e.Cost.Unpriced)
			if tc.reason != "" {
				assert.Empty(t, e.Cost.Precision)
				assert.Zero(t, e.Cost.Price)
				return
			}
			if tc.precision == "" {
				tc.precision = humanhours.CostExact
			}
			assert.Equal(t, tc.precision, e.Cost.Precision)
			p := e.Cost.Price
			if len(e.LLMCalls) > 0 {
				assert.Zero(t, p, "each call has its own")
				p = e.LLMCalls[0].Price
			}
			frozen := ""
			for _, unit := range []struct {
				name string
				set  bool
			}{
				{"cache_read", p.CacheRead.Valid}, {"cache_write", p.CacheWrite.Valid}, {"cache_write_1h", p.CacheWrite1h.Valid}, {"reasoning", p.Reasoning.Valid},
				{"audio", p.Audio.Valid}, {"image", p.Image.Valid}, {"web_search", p.WebSearch.Valid}, {"request", p.Request.Valid},
			} {
				if unit.set {
					frozen += " " + unit.name
				}
			}
			assert.Equal(t, tc.frozen, strings.TrimSpace(frozen), "what was not used is not frozen")
			assert.Equal(t, figuresOf(e.ROI), figuresOf(e.Recompute()))
		})
	}
}

func TestRunOfSeveralCalls(t *testing.T) {
	tiny := quote("0.0000000004", "0", "EUR")
	tiny.Price.Model = "vendor/tiny"
	w := newWorld(t, humanhours.Config{
		Prices: book{"tiny": tiny, "usd": quote("0.5", "0", "USD"), "eur": quote("0.25", "0", "EUR"), "dynamic": {Unpriced: humanhours.UnpricedDynamic}},
		Rates:  usdToEUR("0.5"),
	})
	t.Run("the sum is rounded, and not the calls", func(t *testing.T) {
		e := w.trackOne(t, run("", humanhours.Usage{}, call("tiny", "in", 1), call("tiny", "in", 1), call("tiny", "in", 1)))
		assert.Equal(t, "0.000000001", text(e.AgentCost))
		assert.Equal(t, "tiny", e.Model, "the model that all calls have")
		assert.Equal(t, counts("in", 3), e.Usage, "the sums of the calls")
		assert.Equal(t, "vendor/tiny", e.LLMCalls[2].Price.Model)
		assert.Equal(t, figuresOf(e.ROI), figuresOf(e.Recompute()))
	})
	t.Run("models and currencies differ", func(t *testing.T) {
		e := w.trackOne(t, run("", humanhours.Usage{}, call("usd", "in", 4), call("eur", "in", 2, "out", 9)))
		assert.Equal(t, "1.5", text(e.AgentCost))
		assert.Empty(t, e.Model)
		assert.Equal(t, counts("in", 6, "out", 9), e.Usage)
		assert.Equal(t, "USD", e.LLMCalls[0].FX.From)
		assert.Zero(t, e.LLMCalls[1].FX)
		requireSame(t, e, w.stored(t, defaultOrg)[1])
		back, err := humanhours.DecodeStored(e.Org, e.AppendStored(nil))
		require.NoError(t, err)
		assert.True(t, back.Equal(&e))
		assert.Equal(t, figuresOf(e.ROI), figuresOf(back.Recompute()))
	})
	t.Run("the model of the request is that of calls without one", func(t *testing.T) {
		e := w.trackOne(t, run("eur", humanhours.Usage{}, call("", "in", 4), call("usd", "in", 4)))
		assert.Equal(t, "2", text(e.AgentCost))
		assert.Equal(t, []string{"eur", "eur", "usd"}, []string{e.Model, e.LLMCalls[0].Model, e.LLMCalls[1].Model})
	})
	t.Run("one call without a price", func(t *testing.T) {
		for model, reason := range map[string]humanhours.UnpricedReason{
			"misspelt": humanhours.UnpricedUnknownModel, "dynamic": humanhours.UnpricedDynamic,
		} {
			e := w.trackOne(t, run("eur", humanhours.Usage{}, call("", "in", 4), call(model, "in", 4)))
			assert.False(t, e.AgentCost.Valid)
			assert.Equal(t, humanhours.RunCost{Source: humanhours.CostNone, Unpriced: reason, UnpricedModel: model}, e.Cost)
			assert.Zero(t, e.LLMCalls[0].Price, "no price was used")
			assert.Equal(t, counts("in", 4), e.LLMCalls[0].Usage, "what was sent is there")
		}
		e := w.trackOne(t, run("", humanhours.Usage{}, call("", "in", 4)))
		assert.Equal(t, humanhours.UnpricedNoModel, e.Cost.Unpriced)
		e = w.trackOne(t, run("", humanhours.Usage{}, call("eur")))
		assert.Equal(t, humanhours.UnpricedNoTokens, e.Cost.Unpriced)
	})
	t.Run("a cost that was provided", func(t *testing.T) {
		r := run("", humanhours.Usage{}, call("eur", "in", 4))
		r.AgentCost = null("7")
		e := w.trackOne(t, r)
		assert.Equal(t, "7", text(e.AgentCost))
		assert.Empty(t, e.Cost.Precision)
		assert.Len(t, e.LLMCalls, 1)
	})
	t.Run("the caller's list is its own", func(t *testing.T) {
		calls := []humanhours.LLMCall{call("eur", "in", 4)}
		e := w.trackOne(t, run("usd", humanhours.Usage{}, calls...))
		calls[0].Model = "changed"
		e.LLMCalls[0].Model = "changed"
		stored, found, err := w.store.Event(t.Context(), defaultOrg, e.ID)
		require.NoError(t, err)
		require.True(t, found)
		assert.Equal(t, "eur", stored.LLMCalls[0].Model)
	})
}

// The price book is told what a price may depend on, and whether it is that of one call.
func TestPriceBookIsAskedForEachCall(t *testing.T) {
	var asked []humanhours.PriceQuery
	w := newWorld(t, humanhours.Config{Prices: quoteFunc(func(q humanhours.PriceQuery) (humanhours.Quote, error) {
		asked = append(asked, q)
		quote := list()
		quote.Estimated = q.Totals && q.Usage.PromptTokens() > 100
		return quote, nil
	})})
	small, large := counts("in", 40, "read", 20, "write", 20, "write1h", 10, "audio", 10, "images", 5), counts("in", 40, "read", 61)
	for u, want := range map[humanhours.Usage]int64{small: 100, large: 101} {
		assert.Equal(t, want, u.PromptTokens())
	}
	e := w.trackOne(t, run("m", large))
	assert.Equal(t, humanhours.CostEstimated, e.Cost.Precision)
	e = w.trackOne(t, run("m", humanhours.Usage{}, humanhours.LLMCall{Usage: large}, humanhours.LLMCall{Model: "n", Usage: small}))
	assert.Equal(t, humanhours.CostExact, e.Cost.Precision)
	for i := range asked {
		assert.Equal(t, defaultOrg, asked[i].Org)
		assert.Equal(t, e.OccurredAt, asked[i].At)
		asked[i].Org, asked[i].At = "", humanhours.PriceQuery{}.At
	}
	assert.Equal(t, []humanhours.PriceQuery{{Model: "m", Usage: large, Totals: true}, {Model: "m", Usage: large}, {Model: "n", Usage: small}}, asked)
}

func TestUsageIsValidated(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	most := make([]humanhours.LLMCall, humanhours.MaxLLMCalls)
	w.trackOne(t, run("m", humanhours.Usage{}, most...))
	for name, tc := range map[string]struct {
		req   humanhours.TrackRequest
		field string
	}{
		"negative":                       {run("m", counts("in", 1, "read", -1)), "tokens_cache_read"},
		"too many":                       {run("m", counts("searches", humanhours.MaxTokens+1)), "web_searches"},
		"a cache without the rest":       {run("m", counts("read", 1)), "tokens_in"},
		"a cache write without the rest": {run("m", counts("out", 1, "write1h", 0)), "tokens_in"},
		"reasoning without the rest":     {run("m", counts("in", 1, "reasoning", 1)), "tokens_out"},
		"totals and calls":               {run("m", counts("in", 1), call("m", "in", 1)), "tokens_in"},
		"images and calls":               {run("m", counts("images", 0), call("m", "in", 1)), "images"},
		"too many calls":                 {run("m", humanhours.Usage{}, append(most, call("m"))...), "llm_calls"},
		"a call's count":                 {run("m", humanhours.Usage{}, call("m"), call("m", "out", -1)), "llm_calls.1.tokens_out"},
		"a call's cache":                 {run("m", humanhours.Usage{}, call("m", "read", 1)), "llm_calls.0.tokens_in"},
		"a call's model":                 {run("m", humanhours.Usage{}, call("a\nb")), "llm_calls.0.model"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Tracker.Track(t.Context(), humanhours.Caller{}, tc.req)
			requireError(t, err, humanhours.CodeValidation, tc.field)
		})
	}
}

// A retry with other usage is another request, and a retry of one that knows two totals is the same one for every release.
func TestUsageIsPartOfTheFingerprint(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	first := run("m", counts("in", 1, "out", 2, "read", 3), nil...)
	first.IdempotencyKey = "k"
	w.trackOne(t, first)
	for i, other := range []humanhours.TrackRequest{
		run("m", counts("in", 1, "out", 2)), run("m", counts("in", 1, "out", 2, "read", 4)), run("m", counts("in", 1, "out", 2, "write", 3)),
		run("m", counts("in", 1, "out", 2, "read", 3, "images", 0)), run("m", humanhours.Usage{}, call("m", "in", 1, "out", 2, "read", 3)),
	} {
		other.IdempotencyKey = "k"
		assert.True(t, w.track(t, humanhours.Caller{}, other).Mismatch, "request %d", i)
	}
	assert.False(t, w.track(t, humanhours.Caller{}, first).Mismatch)

	calls := run("m", humanhours.Usage{}, call("a", "in", 1), call("b", "in", 2))
	calls.IdempotencyKey = "calls"
	w.trackOne(t, calls)
	swapped := run("m", humanhours.Usage{}, call("b", "in", 2), call("a", "in", 1))
	swapped.IdempotencyKey = "calls"
	assert.True(t, w.track(t, humanhours.Caller{}, swapped).Mismatch)
	assert.False(t, w.track(t, humanhours.Caller{}, calls).Mismatch)
}

func TestUnpricedModelsAreCounted(t *testing.T) {
	info := humanhours.PriceBookInfo{Source: "list", Version: "v", Models: 2, Date: noon.AddDate(0, 0, -2), Fetched: noon.AddDate(0, 0, -1)}
	w := newWorld(t, humanhours.Config{Prices: described{book{"m": list(), "dynamic": {Unpriced: humanhours.UnpricedDynamic}}, info}})
	other := humanhours.Caller{Org: "other"}
	for range 3 {
		w.trackOne(t, run("misspelt", counts("in", 1)))
	}
	w.trackOne(t, run("m", counts("in", 1)))
	w.trackOne(t, request())
	w.trackOne(t, run("", humanhours.Usage{}, call("m", "in", 1), call("dynamic", "in", 1)))
	replayed := run("dynamic", counts("in", 1))
	replayed.IdempotencyKey = "k"
	w.track(t, other, replayed)
	w.track(t, other, replayed)

	state, err := w.Tracker.PriceBook(t.Context(), humanhours.Caller{})
	require.NoError(t, err)
	assert.Equal(t, info, state.Info)
	assert.Equal(t, w.stored(t, defaultOrg)[0].ReceivedAt.Sub(info.Fetched), state.Age)
	require.Len(t, state.Unpriced, 2)
	for i, want := range []string{"misspelt unknown_model 3", "dynamic dynamic_price 1"} {
		u := state.Unpriced[i]
		assert.Equal(t, want, fmt.Sprintf("%s %s %d", u.Model, u.Reason, u.Events))
		assert.False(t, u.Last.IsZero())
	}
	state, err = w.Tracker.PriceBook(t.Context(), other)
	require.NoError(t, err)
	require.Len(t, state.Unpriced, 1, "an org sees its own")
	assert.EqualValues(t, 1, state.Unpriced[0].Events, "a replay is no event")

	for i := range 1050 { // names come from clients: they must not fill the memory
		w.trackOne(t, run("made-up-"+strconv.Itoa(i), counts("in", 1)))
	}
	state, err = w.Tracker.PriceBook(t.Context(), humanhours.Caller{})
	require.NoError(t, err)
	assert.LessOrEqual(t, len(state.Unpriced), 1001)
	var sum int64
	for _, u := range state.Unpriced {
		sum += u.Events
	}
	assert.EqualValues(t, 4+1050, sum, "all are counted")
	w.track(t, other, run("misspelt", counts("in", 1)))
	state, err = w.Tracker.PriceBook(t.Context(), other)
	require.NoError(t, err)
	assert.Len(t, state.Unpriced, 2, "one org takes nothing from another")
}

type described struct {
	book
	info humanhours.PriceBookInfo
}

func (d described) Info() humanhours.PriceBookInfo { return d.info }

func TestQuote(t *testing.T) {
	w := newWorld(t, humanhours.Config{Prices: book{"m": quote("0.5", "0", "EUR"), "dynamic": {Unpriced: humanhours.UnpricedDynamic}}})
	q, err := w.Tracker.Quote(t.Context(), humanhours.Caller{}, "m")
	require.NoError(t, err)
	assert.Equal(t, `{"priced_as":"vendor/model","price_input_per_token":0.5,"price_output_per_token":0,"price_currency":"EUR","price_source":"list",`+
		`"price_version":"v7","price_date":"2026-05-01"}`, string(q.AppendJSON(nil)))
	q.Estimated = true
	assert.Contains(t, string(q.AppendJSON(nil)), `"price_date":"2026-05-01","cost_precision":"estimated"}`)
	q, err = w.Tracker.Quote(t.Context(), humanhours.Caller{}, "dynamic")
	require.NoError(t, err)
	assert.Equal(t, `{"unpriced_reason":"dynamic_price"}`, string(q.AppendJSON(nil)))
	_, err = w.Tracker.Quote(t.Context(), humanhours.Caller{}, "")
	requireError(t, err, humanhours.CodeValidation, "model")
	q, err = newWorld(t, humanhours.Config{}).Tracker.Quote(t.Context(), humanhours.Caller{}, "m")
	require.NoError(t, err)
	assert.Equal(t, humanhours.UnpricedNoPriceBook, q.Unpriced)
}
