package httpadapter_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/pricebook"
)

func TestPriceBook(t *testing.T) {
	book := pricebook.Snapshot()
	s := newServer(t, func(c *setup) { c.tracker.Prices = book })
	get := func(query string) string {
		a := s.do(http.MethodGet, "/v1/price-book"+query, "")
		require.Equal(t, http.StatusOK, a.status, a.body)
		return a.body
	}
	// The clock of the test is before the day of the list.
	edition := `{"source":"openrouter","version":"` + book.Info().Version + `","date":"2026-11-23","fetched_at":"2026-11-23T00:00:00.000Z","age_seconds":0,"models":614,`
	require.Equal(t, edition+`"unpriced":[]}`+"\n", get(""))

	for range 2 {
		s.track(event("model", `"anthropic/claude-sonet-4.5"`, "tokens_in", "5")).fields(http.StatusCreated)
	}
	s.track(event("tokens_in", "5")).fields(http.StatusCreated)
	require.Equal(t, edition+`"unpriced":[`+
		`{"model":"anthropic/claude-sonet-4.5","unpriced_reason":"unknown_model","events":2,"last_received_at":"2026-05-06T10:45:00.000Z"},`+
		`{"unpriced_reason":"no_model","events":1,"last_received_at":"2026-05-06T10:45:00.000Z"}]}`+"\n", get(""))

	for model, price := range map[string]string{
		"anthropic/claude-sonnet-4.5": `{"priced_as":"anthropic/claude-sonnet-4.5","price_input_per_token":0.000003,"price_output_per_token":0.000015,` +
			`"price_cache_read_per_token":0.0000003,"price_cache_write_per_token":0.00000375,"price_currency":"USD","price_source":"openrouter",` +
			`"price_version":"` + book.Info().Version + `","price_date":"2026-11-23"}`,
		"openrouter/auto": `{"unpriced_reason":"dynamic_price"}`,
		"nobody/nothing":  `{"unpriced_reason":"unknown_model"}`,
	} {
		require.Contains(t, get("?model="+model), `"models":614,"model":{"id":"`+model+`","price":`+price+`},"unpriced":`)
	}
	s.do(http.MethodGet, "/v1/price-book?model=", "").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "model")
	s.do(http.MethodGet, "/v1/price-book?model=%zz", "").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")

	none := newServer(t)
	a := none.do(http.MethodGet, "/v1/price-book?model=m", "")
	require.Equal(t, `{"model":{"id":"m","price":{"unpriced_reason":"no_price_book"}},"unpriced":[]}`+"\n", a.body)
}

// TestRunOfCalls sends a run of two calls, of which only one is in the higher tier.
func TestRunOfCalls(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.Prices, c.tracker.Rates = pricebook.Snapshot(), pricebook.SnapshotRates() })
	s.update(func(o *humanhours.Org) { o.Currency = "USD" })
	const model = "anthropic/claude-sonnet-4.5" // more than 200,000 tokens of a prompt cost more
	calls := `"llm_calls":[{"model":"` + model + `","tokens_in":1000,"tokens_cache_read":199001,"tokens_out":10},{"model":"` + model + `","tokens_in":200000}]`
	a := s.track(`{"agent_id":"a","task_type":"email_classification","outcome":"success",` + calls + `}`)
	// 1000 x 0.000006 + 199001 x 0.0000006 + 10 x 0.0000225, and 200000 x 0.000003
	require.Equal(t, "0.7256256", a.fields(http.StatusCreated).text("agent_cost"))
	require.Equal(t, `"exact"`, a.fields(http.StatusCreated).text("cost_precision"))
	require.Contains(t, a.body, `"model":"`+model+`","tokens_in":201000,"tokens_out":10,"tokens_cache_read":199001,"llm_calls":[{"model":"`+model+`",`+
		`"tokens_in":1000,"tokens_out":10,"tokens_cache_read":199001,"priced_as":"`+model+`","price_input_per_token":0.000006,"price_output_per_token":0.0000225,`+
		`"price_cache_read_per_token":0.0000006,"price_currency":"USD"`)
	require.Contains(t, a.body, `{"model":"`+model+`","tokens_in":200000,"priced_as":"`+model+`","price_input_per_token":0.000003,"price_output_per_token":0.000015,"price_currency":"USD"`)

	// The same as totals: no call is known to be in the higher tier.
	got := s.track(event("model", quoted(model), "tokens_in", "201000", "tokens_cache_read", "199001", "tokens_out", "10")).fields(http.StatusCreated)
	require.Equal(t, "0.6628503", got.text("agent_cost"))
	require.Equal(t, `"estimated"`, got.text("cost_precision"))
}

// TestRehearsalsAreNotAmongTheUnpriced: they would hide what live runs lack.
func TestRehearsalsAreNotAmongTheUnpriced(t *testing.T) {
	s := newServer(t)
	body := event("model", `"no/such-model"`, "tokens_in", "1")
	s.track(body, as(s.newKey("acme", true, 0))).fields(http.StatusCreated)
	require.Equal(t, "[]", s.do(http.MethodGet, "/v1/price-book", "").fields(http.StatusOK).text("unpriced"))
	s.track(body).fields(http.StatusCreated)
	require.Contains(t, s.do(http.MethodGet, "/v1/price-book", "").fields(http.StatusOK).text("unpriced"), `"no/such-model"`)
}
