package httpadapter_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// amendments returns those of an event in an answer.
func (a answer) amendments() []fields {
	a.t.Helper()
	var list []fields
	require.NoError(a.t, json.Unmarshal(a.fields(http.StatusOK)["amendments"], &list))
	return list
}

func TestAmendmentsOverHTTP(t *testing.T) {
	prices := map[string]bool{}
	s := newServer(t, func(c *setup) { c.tracker.Prices = laterPrices{prices} })
	id := func(body string, edits ...edit) string {
		return strings.Trim(s.track(body, edits...).fields(http.StatusCreated).id(), `"`)
	}
	twice := id(event("agent_cost", "1"))
	person := event("metadata", `{"person":"Zoë"}`, "audit_sample", `{"input_excerpt":"Dear Zoë","output_excerpt":"Yours"}`)
	private := id(person, withKey("k"))
	late := id(event("model", `"all"`, "tokens_in", "1000", "tokens_out", "0"))
	calls := id(event("llm_calls", `[{"model":"all","tokens_in":1000},{"model":"text","tokens_out":10}]`))

	a := s.do(http.MethodPost, "/v1/events/"+twice+"/void", `{"reason":"tracked twice"}`)
	require.Equal(t, "1", a.fields(http.StatusOK).text("agent_cost"), "the event itself stays")
	list := a.amendments()
	require.Len(t, list, 1)
	require.Equal(t, `"void"`, list[0].text("kind"))
	require.Equal(t, `"tracked twice"`, list[0].text("reason"))
	require.Equal(t, `"2026-05-06T10:45:00.000Z"`, list[0].text("at"))
	require.Equal(t, quoted(s.key[8:16]), list[0].text("key_id"))
	require.Len(t, s.do(http.MethodPost, "/v1/events/"+twice+"/void", `{}`).amendments(), 1)

	a = s.do(http.MethodPost, "/v1/events/"+private+"/redact", `{"reason":"asked to"}`)
	require.NotContains(t, a.body, "Zoë")
	require.NotContains(t, a.body, "metadata")
	require.Equal(t, `"redact"`, a.amendments()[0].text("kind"))
	replay := s.track(person, withKey("k"))
	require.Equal(t, "true", replay.header.Get("Idempotency-Replayed"))
	require.Empty(t, replay.header.Get("Idempotency-Mismatch"))
	require.NotContains(t, replay.body, "Zoë")
	require.NotContains(t, replay.body, "amendments", "a replay answers the original")

	s.do(http.MethodPost, "/v1/events/"+late+"/reprice", `{}`).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")
	prices["all"] = true
	a = s.do(http.MethodPost, "/v1/events/"+late+"/reprice", `{"reason":"the price is known"}`)
	require.Equal(t, "null", a.fields(http.StatusOK).text("agent_cost"), "the old value is kept")
	require.Equal(t, `"unknown_model"`, a.fields(http.StatusOK).text("unpriced_reason"))
	list = a.amendments()
	require.Equal(t, `"reprice"`, list[0].text("kind"))
	require.Equal(t, "0.00101", list[0].text("agent_cost"), "1000 x 0.000001, and a fee of 0.00001")
	require.Equal(t, `"computed"`, list[0].text("resolved_cost_source"))
	require.Equal(t, `"test"`, list[0].text("price_source"))

	f := s.do(http.MethodPost, "/v1/events/reprice?period=7d", `{"reason":"all"}`).fields(http.StatusOK)
	require.Equal(t, "0", f.text("repriced"))
	require.Equal(t, "1", f.text("still_unpriced"))
	prices["text"] = true
	f = s.do(http.MethodPost, "/v1/events/reprice", `{}`).fields(http.StatusOK)
	require.Equal(t, "1", f.text("repriced"))
	require.NotContains(t, f, "next_cursor")
	list = s.get("/v1/events/" + calls).amendments()
	require.Contains(t, list[0].text("llm_calls"), `"price_version":"1"`)

	report := s.get("/v1/reports/time-saved").fields(http.StatusOK)
	require.Contains(t, report.text("totals"), `"events":3`)
	require.Contains(t, report.text("totals"), `"agent_cost":0.00204`)
	require.Contains(t, report.text("caveats"), `"voided_left_out":1`)
	require.NotContains(t, s.get("/v1/reports/export").body, twice)
	require.Contains(t, s.get("/v1/reports/export").body, "0.00101")
	require.Contains(t, s.get("/v1/events").body, `"kind":"void"`)
	lines, _ := s.history("")
	require.Len(t, lines, 4)
	require.Contains(t, lines, `1 "events.`+twice+`.voided" "false" "true" "tracked twice"`)
	require.Contains(t, lines, `3 "events.`+late+`.agent_cost" null "0.00101" "the price is known"`)
}

func TestRepricePages(t *testing.T) {
	prices := map[string]bool{}
	s := newServer(t, func(c *setup) { c.tracker.Prices = laterPrices{prices} })
	for range 2 {
		items := make([]string, 600)
		for i := range items {
			items[i] = event("model", `"text"`, "tokens_in", "1")
		}
		s.batch(items)
	}
	prices["text"] = true
	const none = "?from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00Z&tz=Europe/Berlin&agent_id=nobody&task_type=blog_post&outcome=success&metadata.team=x&mode=test"
	require.JSONEq(t, `{"repriced":0,"still_unpriced":0}`, s.do(http.MethodPost, "/v1/events/reprice"+none, `{}`).body)
	total, cursor := 0, ""
	for pages := 0; ; pages++ {
		require.Less(t, pages, 3)
		f := s.do(http.MethodPost, "/v1/events/reprice?model=text"+cursor, `{}`).fields(http.StatusOK)
		n, err := strconv.Atoi(f.text("repriced"))
		require.NoError(t, err)
		total += n
		if f.text("next_cursor") == "" {
			break
		}
		cursor = "&cursor=" + strings.Trim(f.text("next_cursor"), `"`)
	}
	require.Equal(t, 1200, total)
}

func TestRefusedAmendments(t *testing.T) {
	s := newServer(t)
	id := strings.Trim(s.track(event()).fields(http.StatusCreated).id(), `"`)
	for _, path := range []string{"/void", "/redact", "/reprice"} {
		path = "/v1/events/" + id + path
		for body, field := range map[string]string{
			``: "", `[]`: "", `{"reason":1}`: "reason", `{"reeson":"x"}`: "", `{"reason":"` + strings.Repeat("x", 501) + `"}`: "reason",
		} {
			s.do(http.MethodPost, path, body).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, field)
		}
		s.do(http.MethodPost, path+"?reason=x", `{}`).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "reason")
		s.do(http.MethodPost, path, `{}`, as(s.newKey("acme", false, humanhours.ScopeOrgWrite))).
			refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "") // the answer shows the event
		s.do(http.MethodPost, strings.Replace(path, id, "evt_x", 1), `{}`).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
		s.do(http.MethodPost, path, `{}`, as(s.newKey("globex", false, 0))).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
		require.Equal(t, "POST", s.do(http.MethodGet, path, "").header.Get("Allow"))
	}
	for query, field := range map[string]string{"period=1w": "period", "limit=1": "limit", "cursor=x": "cursor", "outcome=x": "outcome"} {
		s.do(http.MethodPost, "/v1/events/reprice?"+query, `{}`).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, field)
	}
	s.do(http.MethodPost, "/v1/events/reprice", `{"agent_id":"a"}`).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")
	s.do(http.MethodPost, "/v1/events/reprice", `{"reason":[]}`).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "reason")
	for _, path := range []string{"reprice", id + "/void", id + "/reprice", id + "/redact"} {
		path = "/v1/events/" + path
		s.do(http.MethodPost, path, `{}`, header("Authorization")).refused(http.StatusUnauthorized, humanhours.CodeMissingAuthorization, "")
		s.do(http.MethodPost, path, `{}`, as(s.newKey("acme", false, humanhours.ScopeReportsRead))).
			refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "")
		s.do(http.MethodPost, path, `{}`, header("Content-Type")).refused(http.StatusUnsupportedMediaType, humanhours.CodeUnsupportedMediaType, "")
		s.do(http.MethodPost, path, `{"x":"`+strings.Repeat("x", 128<<10)+`"}`).refused(http.StatusRequestEntityTooLarge, humanhours.CodePayloadTooLarge, "")
	}
	s = newServer(t, plan(humanhours.Plan{RequestsPerSecond: 1}))
	s.get("/v1/org").fields(http.StatusOK)
	for _, path := range []string{"reprice", "x/void", "x/reprice", "x/redact"} {
		s.do(http.MethodPost, "/v1/events/"+path, `{}`).refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
	}
}
