package humanhours_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// minimalEvent has only what every event has.
func minimalEvent() humanhours.Event {
	return humanhours.Event{
		ID: "evt_01KRJXNW00ABCDEFGHJKMNPQRS", Org: "acme", AgentID: "support-bot", TaskType: "email_classification",
		Outcome: humanhours.OutcomeSuccess, OccurredAt: noon, ReceivedAt: noon,
		Baseline:   humanhours.Baseline{Minutes: dec("4.0"), Source: humanhours.BaselineBuiltin},
		HourlyRate: humanhours.HourlyRate{Amount: dec("45.00"), Source: humanhours.RateDefault},
		Currency:   "EUR", Cost: humanhours.RunCost{Source: humanhours.CostNone}, Credited: true, Scale: humanhours.DefaultScale(),
		ROI: humanhours.ROI{HoursSaved: dec("0.0670"), CostSaved: dec("3.015"), NetSaved: dec("3.015")},
	}
}

// fullEvent has everything.
func fullEvent() humanhours.Event {
	e := minimalEvent()
	e.KeyID, e.Test = "keykey01", true
	e.Outcome, e.Credited = humanhours.OutcomeFailure, false
	e.AgentDuration = null("4.50")
	e.Model = "vendor/model:free"
	e.Usage = counts("in", 1000, "out", 0, "read", 2000, "write", 300, "write1h", 40, "reasoning", 50, "audio", 6, "images", 7, "searches", 8)
	e.LLMCalls = []humanhours.PricedCall{
		{LLMCall: call("a \"b\"", "in", 1, "searches", 2), Price: quote("1.50", "", "GBP").Price, FX: humanhours.ExchangeRate{
			From: "GBP", To: "CHF", Rate: dec("1.10"), Source: "fixing", Date: fxDate,
		}},
		{LLMCall: call("")},
	}
	e.Metadata = json.RawMessage(`{"client":"<acme>","n":1.0}`)
	e.AuditSample = humanhours.AuditSample{InputExcerpt: "a \"b\"\n", OutputExcerpt: "ü"}
	e.OccurredAt = noon.Add(-time.Hour + 5*time.Millisecond)
	e.Currency = "CHF"
	e.Cost = humanhours.RunCost{
		Source: humanhours.CostComputed, Precision: humanhours.CostEstimated, UnpricedModel: "other",
		Price: fullQuote(func() string { return "0.00000025" }).Price,
		FX:    humanhours.ExchangeRate{From: "USD", To: "CHF", Rate: dec("0.80"), Source: "fixing", Date: fxDate},
	}
	e.ROI = humanhours.ROI{AgentCost: null("0.0002"), NetSaved: dec("-0.0002")}
	return e
}

const (
	minimalJSON = `"event_id":"evt_01KRJXNW00ABCDEFGHJKMNPQRS","agent_id":"support-bot","task_type":"email_classification","outcome":"success",` +
		`"resolved_baseline_minutes":4,"resolved_baseline_source":"builtin","resolved_hourly_rate":45,"resolved_hourly_rate_source":"default",` +
		`"currency":"EUR","hours_saved":0.067,"cost_saved":3.015,"agent_cost":null,"resolved_cost_source":"none","net_saved":3.015,` +
		`"occurred_at":"2026-05-14T12:00:00.000Z"}`
	fullJSON = `"event_id":"evt_01KRJXNW00ABCDEFGHJKMNPQRS","test":true,"agent_id":"support-bot","task_type":"email_classification","outcome":"failure",` +
		`"credited":false,"resolved_baseline_minutes":4,"resolved_baseline_source":"builtin","resolved_hourly_rate":45,` +
		`"resolved_hourly_rate_source":"default","currency":"CHF","agent_duration_seconds":4.5,"hours_saved":0,"cost_saved":0,"agent_cost":0.0002,` +
		`"resolved_cost_source":"computed","cost_precision":"estimated","unpriced_model":"other","net_saved":-0.0002,"occurred_at":"2026-05-14T11:00:00.005Z","model":"vendor/model:free","tokens_in":1000,` +
		`"tokens_out":0,"tokens_cache_read":2000,"tokens_cache_write":300,"tokens_cache_write_1h":40,"tokens_reasoning":50,"tokens_audio":6,` +
		`"images":7,"web_searches":8,"priced_as":"vendor/model","price_input_per_token":0.00000025,"price_output_per_token":0.00000025,` +
		`"price_cache_read_per_token":0.00000025,"price_cache_write_per_token":0.00000025,"price_cache_write_1h_per_token":0.00000025,` +
		`"price_reasoning_per_token":0.00000025,"price_audio_per_token":0.00000025,"price_per_image":0.00000025,"price_per_web_search":0.00000025,` +
		`"price_per_request":0.00000025,"price_currency":"USD",` +
		`"price_source":"list","price_version":"v7","price_date":"2026-05-01","fx_rate":0.8,"fx_source":"fixing","fx_date":"2026-05-13",` +
		`"llm_calls":[{"model":"a \"b\"","tokens_in":1,"web_searches":2,"priced_as":"vendor/model","price_input_per_token":1.5,"price_currency":"GBP",` +
		`"price_source":"list","price_version":"v7","price_date":"2026-05-01","fx_rate":1.1,"fx_source":"fixing","fx_date":"2026-05-13"},{"model":""}],` +
		`"metadata":{"client":"<acme>","n":1.0},"audit_sample":{"input_excerpt":"a \"b\"\n","output_excerpt":"ü"}}`
	storedHead     = `{"v":1,"received_at":"2026-05-14T12:00:00.000Z","hours_scale":3,"money_scale":9,`
	storedHeadFull = `{"v":1,"key_id":"keykey01","received_at":"2026-05-14T12:00:00.000Z","hours_scale":3,"money_scale":9,`
)

func TestEventEncoding(t *testing.T) {
	unpriced := minimalEvent()
	unpriced.Cost.Unpriced = humanhours.UnpricedDynamic
	for name, tc := range map[string]struct {
		event          humanhours.Event
		public, stored string
	}{
		"minimal": {minimalEvent(), "{" + minimalJSON, storedHead + minimalJSON},
		"full":    {fullEvent(), "{" + fullJSON, storedHeadFull + fullJSON},
		"unpriced": {
			unpriced, "{" + strings.Replace(minimalJSON, `"net_saved"`, `"unpriced_reason":"dynamic_price","net_saved"`, 1),
			storedHead + strings.Replace(minimalJSON, `"net_saved"`, `"unpriced_reason":"dynamic_price","net_saved"`, 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			public, err := tc.event.MarshalJSON()
			require.NoError(t, err)
			assert.Equal(t, tc.public, string(public))
			assert.Equal(t, tc.public, string(tc.event.AppendJSON(nil)))
			assert.Equal(t, "x"+tc.public, string(tc.event.AppendJSON([]byte("x"))), "it appends")
			stored := tc.event.AppendStored([]byte("x"))
			assert.Equal(t, "x"+tc.stored, string(stored))
			assert.True(t, json.Valid(stored[1:]))

			decoded, err := humanhours.DecodeStored("acme", stored[1:])
			require.NoError(t, err)
			assert.True(t, decoded.Equal(&tc.event))
			assert.Equal(t, tc.event.OccurredAt, decoded.OccurredAt)
			assert.Equal(t, time.UTC, decoded.ReceivedAt.Location())

			var back humanhours.Event
			require.NoError(t, json.Unmarshal(public, &back))
			assert.Equal(t, tc.public, string(back.AppendJSON(nil)), "the public encoding can be read as well")
		})
	}
	var inStruct struct{ Event humanhours.Event }
	inStruct.Event = minimalEvent()
	raw, err := json.Marshal(inStruct)
	require.NoError(t, err)
	assert.Equal(t, `{"Event":{`+minimalJSON+`}`, string(raw))
}

func TestAuditSampleWithOneExcerpt(t *testing.T) {
	e := minimalEvent()
	e.AuditSample.OutputExcerpt = "out"
	assert.Contains(t, string(e.AppendJSON(nil)), `"audit_sample":{"output_excerpt":"out"}}`)
	e.AuditSample = humanhours.AuditSample{InputExcerpt: "in"}
	assert.Contains(t, string(e.AppendJSON(nil)), `"audit_sample":{"input_excerpt":"in"}}`)
}

func TestEventInstantsAreWrittenInUTC(t *testing.T) {
	e := minimalEvent()
	e.OccurredAt = time.Date(2026, time.May, 15, 1, 2, 3, 4_999_999, time.FixedZone("", 13*3600))
	e.Cost.Price = quote("1", "1", "EUR").Price
	e.Cost.Price.Date = time.Date(2026, time.May, 1, 23, 0, 0, 0, time.UTC)
	text := string(e.AppendJSON(nil))
	assert.Contains(t, text, `"occurred_at":"2026-05-14T12:02:03.004Z"`)
	assert.Contains(t, text, `"price_date":"2026-05-01"`)
}

func TestDecodeStoredIsTheInverse(t *testing.T) {
	r := seeded(5)
	w := newRandomWorld(t, r)
	for range 2000 {
		e := w.track(t, humanhours.Caller{Org: defaultOrg, KeyID: maybe(r, randomName(r, 8)), Test: r.IntN(2) == 0}, randomRequest(r)).Event
		e.Org = randomText(r, 9) + "\xff" // any bytes, beside the encoding
		encoded := e.AppendStored(nil)
		decoded, err := humanhours.DecodeStored(e.Org, encoded)
		require.NoError(t, err, "%s", encoded)
		require.Equal(t, string(encoded), string(decoded.AppendStored(nil)))
		require.Equal(t, withoutNumbers(e), withoutNumbers(decoded), "%s", encoded)
		for i, d := range decimalsOf(&e) {
			require.True(t, d.Equal(*decimalsOf(&decoded)[i]), "%s", encoded)
		}
		for i, d := range nullDecimalsOf(&e) {
			require.Equal(t, text(*d), text(*nullDecimalsOf(&decoded)[i]), "%s", encoded)
		}
	}
}

func decimalsOf(e *humanhours.Event) []*decimal.Decimal {
	list := []*decimal.Decimal{&e.Baseline.Minutes, &e.HourlyRate.Amount, &e.HoursSaved, &e.CostSaved, &e.NetSaved, &e.Cost.FX.Rate}
	for i := range e.LLMCalls {
		list = append(list, &e.LLMCalls[i].FX.Rate)
	}
	return list
}

func nullDecimalsOf(e *humanhours.Event) []*decimal.NullDecimal {
	list := []*decimal.NullDecimal{&e.AgentDuration, &e.AgentCost}
	prices := []*humanhours.Price{&e.Cost.Price}
	for i := range e.LLMCalls {
		prices = append(prices, &e.LLMCalls[i].Price)
	}
	for _, p := range prices {
		list = append(list, &p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.Audio, &p.Image, &p.WebSearch, &p.Request)
	}
	return list
}

// withoutNumbers returns e without its decimals, which have several forms of one value.
func withoutNumbers(e humanhours.Event) humanhours.Event {
	e = e.Clone()
	for _, d := range decimalsOf(&e) {
		*d = decimal.Decimal{}
	}
	for _, d := range nullDecimalsOf(&e) {
		*d = decimal.NullDecimal{}
	}
	return e
}

func TestDecodeStoredOfOtherReleases(t *testing.T) {
	good := storedHead + minimalJSON
	_, err := humanhours.DecodeStored("acme", []byte(strings.Replace(good, `"v":1`, `"v":2`, 1)))
	assert.ErrorContains(t, err, "newer release")
	assert.ErrorContains(t, err, "evt_01KRJXNW00ABCDEFGHJKMNPQRS")

	more := strings.Replace(good, `"v":1`, `"v":1,"new":{"a":[1]},"newer":null`, 1)
	decoded, err := humanhours.DecodeStored("acme", []byte(more))
	require.NoError(t, err)
	assert.Equal(t, good, string(decoded.AppendStored(nil)), "unknown fields are ignored")

	for name, bad := range map[string]string{
		"empty": "", "cut off": good[:len(good)-1], "a list": "[]", "a bad date": strings.Replace(storedHeadFull+fullJSON, "2026-05-01", "2026-13-01", 1),
		"a bad rate date": strings.Replace(storedHeadFull+fullJSON, "2026-05-13", "yesterday", 1), "a bad instant": strings.Replace(good, "T12:00", "T25:00", 1),
		"a bad number": strings.Replace(good, `"hours_saved":0.067`, `"hours_saved":"much"`, 1), "an absurd number": strings.Replace(good, "0.067", "1e999999999", 1),
	} {
		decoded, err := humanhours.DecodeStored("acme", []byte(bad))
		assert.Error(t, err, name)
		assert.Zero(t, decoded, name)
	}
}

func TestEventsShareNoMemory(t *testing.T) {
	stored := []byte(storedHeadFull + fullJSON)
	decoded, err := humanhours.DecodeStored("acme", stored)
	require.NoError(t, err)
	clone := decoded.Clone()
	for i := range stored {
		stored[i] = 'x'
	}
	want := fullEvent()
	assert.True(t, decoded.Equal(&want))
	copy(decoded.Metadata, "xxxxxxx")
	assert.True(t, clone.Equal(&want))
	assert.False(t, decoded.Equal(&want))
}

func TestEventEqual(t *testing.T) {
	for name, change := range map[string]func(*humanhours.Event){
		"org": func(e *humanhours.Event) { e.Org = "globex" }, "key": func(e *humanhours.Event) { e.KeyID = "" }, "receipt": func(e *humanhours.Event) { e.ReceivedAt = noon.Add(time.Millisecond) },
		"scale": func(e *humanhours.Event) { e.Scale.Money = 2 }, "price version": func(e *humanhours.Event) { e.Cost.Price.Version = "v8" },
		"rate": func(e *humanhours.Event) { e.Cost.FX.Rate = dec("0.81") }, "absent, not zero": func(e *humanhours.Event) { e.TokensOut = humanhours.NullInt64{} },
	} {
		e, same := fullEvent(), fullEvent()
		assert.True(t, e.Equal(&same))
		change(&e)
		assert.False(t, e.Equal(&same), name)
	}
	e, same := fullEvent(), fullEvent()
	e.Cost.FX.Rate = dec("0.8000")
	assert.True(t, e.Equal(&same), "numbers are compared by value")
}

// encodedAgentID returns the JSON text of an agent id.
func encodedAgentID(s string) string {
	e := humanhours.Event{AgentID: s}
	_, rest, _ := strings.Cut(string(e.AppendJSON(nil)), `"agent_id":`)
	value, _, _ := strings.Cut(rest, `,"task_type"`)
	return value
}

func TestStringsAreEncodedAsByEncodingJSON(t *testing.T) {
	check := func(s string) {
		t.Helper()
		mine := encodedAgentID(s)
		std, err := json.Marshal(s)
		require.NoError(t, err)
		var got, want string
		require.NoError(t, json.Unmarshal([]byte(mine), &got), "%q", mine)
		require.NoError(t, json.Unmarshal(std, &want))
		require.Equal(t, want, got, "%q as %s", s, mine)
	}
	for i := range 256 {
		check(string([]byte{byte(i)}))
		check(string([]byte{'a', byte(i), 'b'}))
		for j := range 256 {
			check(string([]byte{byte(i), byte(j)}))
		}
	}
	for r := rune(0); r <= 0x11ffff; r += 1 + r/64 {
		check("x" + string(r) + "y")
	}
	r := seeded(6)
	for range 2000 {
		raw := make([]byte, r.IntN(24))
		for i := range raw {
			raw[i] = byte(r.UintN(256))
		}
		check(string(raw))
		check(randomText(r, 24))
	}
	assert.Equal(t, `"<a> & \"b\"\\\n\r\t\u0000\u001f\u007f é`+"\u2028\ufffd"+`"`, encodedAgentID("<a> & \"b\"\\\n\r\t\x00\x1f\x7f é\u2028\xff"))
}

// encodedNumber returns the JSON text of a decimal.
func encodedNumber(d decimal.Decimal) string {
	e := humanhours.Event{ROI: humanhours.ROI{HoursSaved: d}}
	_, rest, _ := strings.Cut(string(e.AppendJSON(nil)), `"hours_saved":`)
	value, _, _ := strings.Cut(rest, ",")
	return value
}

func TestDecimalsHaveOneForm(t *testing.T) {
	canonical := regexp.MustCompile(`^(0|-?([1-9][0-9]*|0\.[0-9]*[1-9]|[1-9][0-9]*\.[0-9]*[1-9]))$`)
	check := func(d decimal.Decimal) {
		t.Helper()
		number := encodedNumber(d)
		require.Regexp(t, canonical, number)
		got, ok := new(big.Rat).SetString(number)
		require.True(t, ok, number)
		require.Zero(t, got.Cmp(rat(d)), "%v x 10^%d as %s", d.Coefficient(), d.Exponent(), number)
	}
	r := seeded(7)
	for range 5000 {
		coefficient := new(big.Int).SetUint64(r.Uint64() >> r.IntN(64))
		for range r.IntN(3) {
			coefficient.Mul(coefficient, new(big.Int).SetUint64(pick(r, 10, 1000, r.Uint64())))
		}
		if r.IntN(2) == 0 {
			coefficient.Neg(coefficient)
		}
		check(decimal.NewFromBigInt(coefficient, r.Int32N(60)-40))
	}
	for _, n := range []int64{0, 1, -1, 10, 100, math.MaxInt64, math.MinInt64, 999_999_999_999_999_999, 1_000_000_000_000_000_000, -1_000_000_000_000_000_000} {
		for exponent := int32(-25); exponent <= 5; exponent++ {
			check(decimal.New(n, exponent))
		}
	}
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e10": "0", "2.9700": "2.97", "1e3": "1000", "100": "100", "1.0": "1", "-0.50": "-0.5", "1e-9": "0.000000001",
		"1234567890123456789012.5": "1234567890123456789012.5", "12e-1": "1.2",
	} {
		assert.Equal(t, want, encodedNumber(dec(in)))
	}
}

// The package variables of decimal belong to the host program.
func TestPackageVariablesOfDecimalMakeNoDifference(t *testing.T) {
	type globals struct {
		trim, unquoted, scientific bool
		division                   int
	}
	set := func(g globals) {
		decimal.TrimTrailingZeros, decimal.MarshalJSONWithoutQuotes, decimal.UseScientificNotation = g.trim, g.unquoted, g.scientific
		decimal.DivisionPrecision = g.division
	}
	was := globals{decimal.TrimTrailingZeros, decimal.MarshalJSONWithoutQuotes, decimal.UseScientificNotation, decimal.DivisionPrecision}
	defer set(was)

	var want []string
	for _, g := range []globals{was, {division: 1}, {true, true, true, 0}, {false, true, true, 2}, {true, false, true, 40}} {
		set(g)
		r := seeded(8)
		w := newRandomWorld(t, r)
		var got []string
		for i := range 100 {
			req := randomRequest(r)
			req.IdempotencyKey = strconv.Itoa(i)
			e := w.trackOne(t, req)
			e.ID = "evt_"
			decoded, err := humanhours.DecodeStored(e.Org, e.AppendStored(nil))
			require.NoError(t, err)
			got = append(got, string(decoded.AppendStored(nil)))

			set(was)
			retry := w.track(t, humanhours.Caller{}, req)
			require.False(t, retry.Mismatch, "the fingerprint of %+v", req)
			set(g)
		}
		if want == nil {
			want = got
		}
		require.Equal(t, want, got, "%+v", g)
	}
}

func TestEventIDs(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	var ids []string
	for i := range 300 {
		if i%10 == 0 {
			w.clock.Advance(time.Millisecond)
		}
		e := w.trackOne(t, request(setOccurredAt(noon.Add(-time.Duration(i)*time.Hour))))
		rest, ok := strings.CutPrefix(e.ID, "evt_")
		require.True(t, ok, e.ID)
		id, err := ulid.ParseStrict(rest)
		require.NoError(t, err)
		require.Equal(t, e.ReceivedAt, ulid.Time(id.Time()).UTC(), "the time of receipt, not of the run")
		ids = append(ids, e.ID)
	}
	assert.True(t, slices.IsSorted(ids), "in the order of receipt, also within a millisecond")

	other := newWorld(t, humanhours.Config{}).trackOne(t, request())
	assert.NotContains(t, ids, other.ID)
}

func TestEventIDsAreUniqueUnderConcurrency(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				results, err := w.TrackBatch(context.Background(), humanhours.Caller{}, []humanhours.TrackRequest{request(), request(), request()})
				assert.NoError(t, err)
				for _, r := range results {
					assert.NoError(t, r.Err)
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, e := range w.stored(t, defaultOrg) {
		ids[e.ID] = true
	}
	assert.Len(t, ids, 8*20*3)
}

func TestULIDsNeedRandomness(t *testing.T) {
	_, err := humanhours.NewULIDs(strings.NewReader(""))(noon)
	assert.Error(t, err)
	newID := humanhours.NewULIDs(repeated(7))
	first, err := newID(noon)
	require.NoError(t, err)
	second, err := newID(noon)
	require.NoError(t, err)
	assert.Less(t, first, second, "ids do not repeat within a millisecond, whatever the source gives")
}

func TestMonth(t *testing.T) {
	late := time.Date(2026, time.December, 31, 23, 30, 0, 0, time.FixedZone("", -3600))
	m := humanhours.MonthOf(late)
	assert.Equal(t, humanhours.Month{Year: 2027, Month: time.January}, m, "by UTC")
	assert.Equal(t, "2027-01", fmt.Sprint(m))
	assert.Equal(t, "2026-12", fmt.Sprint(humanhours.MonthOf(late.Add(-time.Hour))))
	assert.Equal(t, humanhours.Month{Year: 2027, Month: time.January}, humanhours.MonthOf(late.Add(-time.Hour)).Next())
	assert.Equal(t, time.Date(2027, time.February, 1, 0, 0, 0, 0, time.UTC), m.Next().Start())
}
