package httpadapter_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/pricebook"
)

// fixedID makes the answers of a server predictable to the byte.
func fixedID(c *setup) {
	c.tracker.NewID = func(time.Time) (string, error) { return "evt_01", nil }
}

func TestDocumentedExample(t *testing.T) {
	const request = `{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success",` +
		`"agent_duration_seconds":4,"occurred_at":"2026-05-06T10:42:00.000Z"}`
	const want = `{"event_id":"evt_01","agent_id":"support-classifier","task_type":"email_classification","outcome":"success",` +
		`"resolved_baseline_minutes":4,"resolved_baseline_source":"builtin",` +
		`"resolved_hourly_rate":45,"resolved_hourly_rate_source":"default","currency":"EUR",` +
		`"agent_duration_seconds":4,"hours_saved":0.066,"cost_saved":2.97,` +
		`"agent_cost":null,"resolved_cost_source":"none","net_saved":2.97,"occurred_at":"2026-05-06T10:42:00.000Z"}` + "\n"
	for _, path := range []string{"/v1/track", "/api/v1/track"} {
		t.Run(path, func(t *testing.T) {
			a := newServer(t, fixedID).do(http.MethodPost, path, request)
			require.Equal(t, http.StatusCreated, a.status)
			require.Equal(t, want, a.body)
			require.Equal(t, "application/json", a.header.Get("Content-Type"))
			require.NotContains(t, a.header, "Idempotency-Replayed")
			require.NotContains(t, a.header, "Idempotency-Mismatch")
		})
	}
}

func TestDefaultEventID(t *testing.T) {
	s := newServer(t)
	require.Regexp(t, `^"evt_[0-9A-HJKMNP-TV-Z]{26}"$`, s.track(event()).fields(http.StatusCreated).id())
}

// TestFullRequest sends every field and gets everything back, with the price and the exchange rate that were used.
func TestFullRequest(t *testing.T) {
	book, rates := pricebook.Snapshot(), pricebook.SnapshotRates()
	s := newServer(t, fixedID, func(c *setup) { c.tracker.Prices, c.tracker.Rates = book, rates })
	s.update(func(o *humanhours.Org) {
		o.HourlyRate = decimal.NewNullDecimal(decimal.RequireFromString("62.50"))
		o.Agents = map[string]humanhours.Agent{"writer": {HourlyRate: decimal.NewNullDecimal(decimal.NewFromInt(80))}}
	})
	const model = "anthropic/claude-sonnet-4.5"
	quote, err := book.Quote(t.Context(), humanhours.PriceQuery{Model: model})
	require.NoError(t, err)
	fx, ok, err := rates.Rate(t.Context(), "USD", "EUR", start)
	require.NoError(t, err)
	require.True(t, ok)
	in, out := quote.Price.Input.Decimal, quote.Price.Output.Decimal
	cost := in.Mul(decimal.NewFromInt(12_000)).Add(out.Mul(decimal.NewFromInt(800))).Mul(fx.Rate).Round(9)
	net := decimal.NewFromInt(40).Sub(cost)

	a := s.track(`{"agent_id":"writer","task_type":"my own work","outcome":"needs_review","agent_duration_seconds":12.5,
		"human_baseline_minutes":30,"model":"`+model+`","tokens_in":12000,"tokens_out":800,
		"metadata":{"client": "acme <&> co", "n": 1.50},"audit_sample":{"input_excerpt":"line\n\"1\"","output_excerpt":"ü"},
		"occurred_at":"2026-05-06T12:42:00.1239+02:00","idempotency_key":"run-1"}`, withKey("run-1"))
	require.Equal(t, http.StatusCreated, a.status, a.body)
	require.Equal(t, `{"event_id":"evt_01","agent_id":"writer","task_type":"my own work","outcome":"needs_review",`+
		`"resolved_baseline_minutes":30,"resolved_baseline_source":"request",`+
		`"resolved_hourly_rate":80,"resolved_hourly_rate_source":"agent","currency":"EUR",`+
		`"agent_duration_seconds":12.5,"hours_saved":0.497,"cost_saved":39.76,`+
		`"agent_cost":`+cost.String()+`,"resolved_cost_source":"computed","cost_precision":"exact","net_saved":`+net.Sub(decimal.RequireFromString("0.24")).String()+`,`+
		`"occurred_at":"2026-05-06T10:42:00.123Z","model":"`+model+`","tokens_in":12000,"tokens_out":800,`+
		`"priced_as":"`+model+`","price_input_per_token":`+in.String()+`,"price_output_per_token":`+out.String()+`,`+
		fmt.Sprintf(`"price_currency":"USD","price_source":"openrouter","price_version":%q,"price_date":%q,`,
			book.Info().Version, book.Info().Date.Format(time.DateOnly))+
		fmt.Sprintf(`"fx_rate":%s,"fx_source":%q,"fx_date":%q,`, fx.Rate, fx.Source, rates.Date().Format(time.DateOnly))+
		`"metadata":{"client":"acme <&> co","n":1.50},`+
		`"audit_sample":{"input_excerpt":"line\n\"1\"","output_excerpt":"ü"}}`+"\n", a.body)

	stored := s.stored("acme")
	require.Len(t, stored, 1)
	require.Equal(t, a.body, string(stored[0].AppendJSON(nil))+"\n", "what was answered is what was stored")
	require.Equal(t, s.key[8:16], stored[0].KeyID)
	require.Equal(t, start, stored[0].ReceivedAt)
}

func TestFailureSavesNothing(t *testing.T) {
	f := newServer(t).track(event("outcome", `"failure"`, "agent_cost", "1.25")).fields(http.StatusCreated)
	for name, want := range map[string]string{
		"credited": "false", "hours_saved": "0", "cost_saved": "0", "agent_cost": "1.25", "resolved_cost_source": `"provided"`, "net_saved": "-1.25",
	} {
		require.Equal(t, want, f.text(name), name)
	}
}

func TestTestKeyMarksItsEvents(t *testing.T) {
	s := newServer(t, plan(humanhours.Plan{EventsPerMonth: 1}))
	s.track(event()).fields(http.StatusCreated)
	key := s.newKey("acme", true, 0)
	require.Equal(t, "true", s.track(event(), as(key)).fields(http.StatusCreated).text("test"), "no quota for tests")
	require.EqualValues(t, 1, s.usage())
}

// oddRequests are good, whatever they look like. want has members of the answer as they must be written; an empty text: absent.
var oddRequests = []struct {
	name string
	body string
	edit edit
	want map[string]string
}{
	{name: "4.0", body: event("human_baseline_minutes", "4.0"), want: map[string]string{"resolved_baseline_minutes": "4"}},
	{name: "4e0", body: event("human_baseline_minutes", "4e0"), want: map[string]string{"resolved_baseline_minutes": "4"}},
	{name: "0.4E+1", body: event("human_baseline_minutes", "0.4E+1"), want: map[string]string{"resolved_baseline_minutes": "4"}},
	{name: "400e-2", body: event("human_baseline_minutes", "400e-2"), want: map[string]string{"resolved_baseline_minutes": "4"}},
	{name: "float noise", body: event("agent_cost", "0.30000000000000004"), want: map[string]string{"agent_cost": "0.3"}},
	{name: "half of the last place", body: event("agent_cost", "0.0000000005"), want: map[string]string{"agent_cost": "0.000000001"}},
	{name: "below half of the last place", body: event("agent_cost", "0.00000000049"), want: map[string]string{"agent_cost": "0"}},
	{name: "minus zero", body: event("agent_cost", "-0", "tokens_in", "-0.0"), want: map[string]string{"agent_cost": "0", "tokens_in": "0"}},
	{name: "0e999999999", body: event("agent_cost", "0e999999999", "tokens_out", "0e999999999"), want: map[string]string{"agent_cost": "0", "tokens_out": "0"}},
	{name: "0e-99999999999999999999", body: event("agent_cost", "0e-99999999999999999999", "tokens_in", "0e-99999999999999999999"), want: map[string]string{"agent_cost": "0", "tokens_in": "0"}},
	{name: "1e-400", body: event("agent_cost", "1e-400"), want: map[string]string{"agent_cost": "0"}},
	{name: "1e-99999999999999999999", body: event("agent_duration_seconds", "1e-99999999999999999999"), want: map[string]string{"agent_duration_seconds": "0"}},
	{name: "64 characters", body: event("agent_cost", "1."+strings.Repeat("0", 62)), want: map[string]string{"agent_cost": "1"}},
	{name: "64 digits of tokens", body: event("tokens_in", "1."+strings.Repeat("0", 62)), want: map[string]string{"tokens_in": "1"}},
	{name: "tokens as 1e12", body: event("tokens_in", "1e12", "tokens_out", "1.5e1"), want: map[string]string{"tokens_in": "1000000000000", "tokens_out": "15"}},
	{name: "greatest numbers", body: event("human_baseline_minutes", "525600", "agent_duration_seconds", "31622400", "agent_cost", "1e9"),
		want: map[string]string{"resolved_baseline_minutes": "525600", "agent_duration_seconds": "31622400", "agent_cost": "1000000000", "hours_saved": "0"}},
	{name: "rounded to the greatest", body: event("human_baseline_minutes", "525600.00000000049"), want: map[string]string{"resolved_baseline_minutes": "525600", "hours_saved": "8760"}},
	{name: "zero baseline", body: event("human_baseline_minutes", "0"), want: map[string]string{"resolved_baseline_source": `"request"`, "hours_saved": "0"}},
	{name: "agent slower than a person", body: event("agent_duration_seconds", "86400"), want: map[string]string{"hours_saved": "0", "cost_saved": "0"}},
	{name: "null is absent", body: event("agent_duration_seconds", "null", "agent_cost", "null", "human_baseline_minutes", "null", "model", "null",
		"tokens_in", "null", "tokens_out", "null", "metadata", "null", "audit_sample", "null", "occurred_at", "null", "idempotency_key", "null"),
		want: map[string]string{
			"agent_duration_seconds": "", "agent_cost": "null", "resolved_baseline_source": `"builtin"`, "model": "", "tokens_in": "", "tokens_out": "",
			"metadata": "", "audit_sample": "", "occurred_at": `"2026-05-06T10:45:00.000Z"`,
		}},
	{name: "null and empty usage", body: event("llm_calls", "[ ]", "images", "null"), want: map[string]string{"llm_calls": "", "images": ""}},
	{name: "null calls", body: event("llm_calls", "null", "web_searches", "0"), want: map[string]string{"llm_calls": "", "web_searches": "0"}},
	{name: "calls", body: event("model", `"m"`, "llm_calls", `[{"tokens_in":1e1,"tokens_cache_read":2.0,"x":[{}]},{"model":"n,]}\"","tokens_out":null}]`),
		want: map[string]string{"model": `"m"`, "tokens_in": "10", "tokens_cache_read": "2", "unpriced_reason": `"no_price_book"`, "unpriced_model": `"m"`,
			"llm_calls": `[{"model":"m","tokens_in":10,"tokens_cache_read":2},{"model":"n,]}\""}]`}},
	{name: "null excerpts", body: event("audit_sample", `{"input_excerpt":null,"output_excerpt":null}`), want: map[string]string{"audit_sample": ""}},
	{name: "unknown fields", body: event("event_id", `"evt_mine"`, "hours_saved", "99", "x", `[{"agent_id":1}]`), want: map[string]string{"hours_saved": "0.067", "x": ""}},
	{name: "unknown huge number", body: event("x", "1e999999999"), want: map[string]string{"hours_saved": "0.067"}},
	{name: "offset", body: event("occurred_at", `"2026-05-06T12:42:00+02:00"`), want: map[string]string{"occurred_at": `"2026-05-06T10:42:00.000Z"`}},
	{name: "negative offset into another day", body: event("occurred_at", `"2026-05-05T23:30:00.5-09:00"`), want: map[string]string{"occurred_at": `"2026-05-06T08:30:00.500Z"`}},
	{name: "nanoseconds", body: event("occurred_at", `"2026-05-06T10:42:00.123999999Z"`), want: map[string]string{"occurred_at": `"2026-05-06T10:42:00.123Z"`}},
	{name: "exactly 90 days old", body: event("occurred_at", instant(start.AddDate(0, 0, -90))), want: map[string]string{"occurred_at": `"2026-02-05T10:45:00.000Z"`}},
	{name: "exactly 24 hours ahead", body: event("occurred_at", instant(start.Add(24*time.Hour))), want: map[string]string{"occurred_at": `"2026-05-07T10:45:00.000Z"`}},
	{name: "charset=utf-8", body: event(), edit: header("Content-Type", `application/json; charset="UTF-8"`)},
	{name: "upper-case media type", body: event(), edit: header("Content-Type", "Application/JSON")},
	{name: "identity encoding", body: event(), edit: header("Content-Encoding", "identity")},
	{name: "255-character key", body: event(), edit: withKey(strings.Repeat("é", 255))},
	{name: "header and body key agree", body: event("idempotency_key", `"k"`), edit: withKey("k")},
	{name: "metadata of depth 8", body: event("metadata", nested(8)), want: map[string]string{"metadata": nested(8)}},
	{name: "brackets in strings are no depth", body: event("metadata", `{"m":"[[[[[[[[[{{{\"[[["}`), want: map[string]string{"metadata": `{"m":"[[[[[[[[[{{{\"[[["}`}},
	{name: "metadata of 16384 bytes", body: event("metadata", sized(16384)), want: map[string]string{"metadata": sized(16384)}},
	{name: "spaces in metadata do not count", body: event("metadata", "{"+strings.Repeat(" ", 20_000)+"}"), want: map[string]string{"metadata": "{}"}},
	{name: "metadata keeps its numbers", body: event("metadata", `{"n":1e999999999,"m":0.10}`), want: map[string]string{"metadata": `{"n":1e999999999,"m":0.10}`}},
	{name: "200 characters of many bytes", body: event("agent_id", quoted(strings.Repeat("語", 200)), "model", quoted(strings.Repeat("😀", 200))),
		want: map[string]string{"agent_id": quoted(strings.Repeat("語", 200))}},
	{name: "2000 characters of many bytes", body: event("audit_sample", `{"output_excerpt":"`+strings.Repeat("😀", 2000)+`"}`),
		want: map[string]string{"audit_sample": `{"output_excerpt":"` + strings.Repeat("😀", 2000) + `"}`}},
	{name: "empty excerpts and model", body: event("audit_sample", `{"input_excerpt":""}`, "model", `""`), want: map[string]string{"audit_sample": "", "model": ""}},
	{name: "half a surrogate pair", body: event("agent_id", `"a\ud800b"`), want: map[string]string{"agent_id": "\"a\ufffdb\""}},
	{name: "spaces around", body: " \t\r\n" + event() + " \t\r\n", want: map[string]string{"agent_id": `"a"`}},
	{name: "unknown type with a baseline", body: event("task_type", `"Anything at all"`, "human_baseline_minutes", "6"), want: map[string]string{"hours_saved": "0.1"}},
	{name: "exactly 128 KiB", body: event() + strings.Repeat(" ", 128<<10-len(event()))},
	{name: "a body longer than it is said to be", body: event(), edit: func(r *http.Request) { r.ContentLength = 1 }},
	{name: "a body shorter than it is said to be", body: event(), edit: func(r *http.Request) { r.ContentLength = 1000 }},
	{name: "a body that is said to be none", body: event(), edit: func(r *http.Request) { r.ContentLength = 0 }},
	{name: "exactly 128 KiB of unknown length", body: event() + strings.Repeat(" ", 128<<10-len(event())), edit: withoutLength()},
}

func TestGoodRequestsThatLookOdd(t *testing.T) {
	for _, tc := range oddRequests {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			got := s.track(tc.body, tc.edit).fields(http.StatusCreated)
			for name, want := range tc.want {
				require.Equal(t, want, got.text(name), name)
			}
			require.Len(t, s.stored("acme"), 1)
		})
	}
}

// TestAnswersAreNotMixed: answers are built in memory that is used again, while others are being written.
func TestAnswersAreNotMixed(t *testing.T) {
	s := newServer(t)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for i := range 50 {
				mine := fmt.Sprintf(`{"of":"%d-%d","text":"%s"}`, caller, i, strings.Repeat(string(rune('a'+caller)), 1<<(i%14)))
				first := s.track(event("metadata", mine), withKey(fmt.Sprintf("k-%d-%d", caller, i)))
				again := s.track(event("metadata", mine), withKey(fmt.Sprintf("k-%d-%d", caller, i)))
				assert.Equal(t, http.StatusCreated, first.status)
				assert.Equal(t, http.StatusOK, again.status)
				assert.Contains(t, first.body, `"metadata":`+mine+`}`)
				assert.Equal(t, first.body, again.body)
			}
		})
	}
	all.Wait()
}
