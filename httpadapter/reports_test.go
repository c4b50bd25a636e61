package httpadapter_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// filled is a server with a few events of acme: two agents, a failure, a price in the request, metadata, and a test event.
func filled(t *testing.T, changes ...func(*setup)) *server {
	t.Helper()
	s := newServer(t, changes...)
	for _, body := range []string{
		event("agent_id", `"a"`, "agent_cost", "1.5", "metadata", `{"team":"=cmd()","n":4.0,"client":"web"}`),
		event("agent_id", `"a"`, "outcome", `"failure"`, "model", `"made-up"`, "tokens_in", "5"),
		event("agent_id", `"b"`, "task_type", `"blog_post"`, "metadata", `{"team":"-1","n":12,"flag":true}`),
		event("agent_id", `"b"`, "occurred_at", `"2026-04-20T22:30:00.000Z"`, "model", `"m"`, "agent_duration_seconds", "60"),
	} {
		s.track(body).fields(http.StatusCreated)
	}
	s.track(event("agent_id", `"t"`), as(s.newKey("acme", true, 0))).fields(http.StatusCreated)
	return s
}

func (s *server) get(path string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, "")
}

func TestReports(t *testing.T) {
	s := filled(t)
	f := s.get("/v1/reports/time-saved").fields(http.StatusOK)
	require.Equal(t, `[{"agent":"b","currency":"EUR","events":2,"hours_saved":3.467,"cost_saved":156.015,"agent_cost":0,"net_saved":156.015},`+
		`{"agent":"a","currency":"EUR","events":2,"hours_saved":0.067,"cost_saved":3.015,"agent_cost":1.5,"net_saved":1.515}]`, f.text("rows"))
	require.Equal(t, `[{"currency":"EUR","events":4,"hours_saved":3.534,"cost_saved":159.03,"agent_cost":1.5,"net_saved":157.53}]`, f.text("totals"))
	require.JSONEq(t, `{"failures":1,"unpriced":3,"unpriced_models":["m","made-up"],"voided_left_out":0,"test_events_left_out":1}`, f.text("caveats"))
	require.Equal(t, `"2026-04-06T10:45:00.001Z"`, f.text("from"), "30 days to the millisecond")
	require.Equal(t, `"2026-05-06T10:45:00.001Z"`, f.text("to"))
	require.NotContains(t, f, "truncated")

	for query, want := range map[string]string{
		"?group_by=outcome,day&period=7d&sort=events": `"failure","day":"2026-05-06"`,
		"?group_by=day&tz=Asia/Kathmandu&period=all":  `{"day":"2026-04-21"`,
		"?group_by=metadata.team":                     `{"metadata.team":null`,
		"?group_by=metadata.n":                        `{"metadata.n":4,`,
		"?group_by=metadata.flag":                     `{"metadata.flag":true,`,
		"?group_by=category":                          `{"category":"content"`,
		"?group_by=week&period=ytd":                   `{"week":"2026-W17"`,
		"?group_by=hour&sort=-events&top=1":           `{"hour":"2026-05-06T10:00:00Z","currency":"EUR","events":3`,
		"?group_by=client":                            `{"client":"web"`,
		"?metadata.n=4&group_by=agent":                `"events":1`,
		"?agent_id=a&agent_id=b&outcome=failure":      `"events":1`,
		"?model=made-up":                              `"agent":"a"`,
		"?task_type=blog_post":                        `"agent":"b"`,
		"?mode=test":                                  `{"agent":"t"`,
		"?from=2026-05-06T10:45:00Z":                  `"events":3`,
		"?to=2026-05-06T12:45:00%2B02:00&sort=-net_saved&group_by=baseline_source,cost_source,model,task_type": `"events":1`,
	} {
		for _, path := range []string{"/v1/reports/cost-saved", "/api/v1/reports/time-saved"} {
			a := s.get(path + query)
			require.Equal(t, http.StatusOK, a.status, a.body)
			require.Contains(t, a.body, want, query)
		}
	}
	require.Equal(t, "null", s.get("/v1/reports/cost-saved?from=2026-05-06T10:45:00Z").fields(http.StatusOK).text("to"))
	require.Equal(t, "[]", s.get("/v1/reports/cost-saved?agent_id=nobody").fields(http.StatusOK).text("rows"))
	require.Equal(t, "[]", s.get("/v1/reports/cost-saved?agent_id=nobody").fields(http.StatusOK).text("totals"))

	board := s.get("/v1/reports/leaderboard?metric=events&top=1&group_by=task_type").fields(http.StatusOK)
	require.Contains(t, board.text("rows"), `"task_type":"email_classification","currency":"EUR","events":3`)
	require.Contains(t, board.text("totals"), `"events":4`)
	require.Contains(t, s.get("/v1/reports/leaderboard?metric=net_saved").fields(http.StatusOK).text("rows"), `[{"agent":"b"`)
	require.Contains(t, s.get("/v1/reports/leaderboard").body, `[{"agent":"b"`)
}

func TestSummaryOverHTTP(t *testing.T) {
	s := filled(t)
	f := s.get("/v1/reports/summary?period=7d").fields(http.StatusOK)
	require.Contains(t, f.text("totals"), `"events":3`)
	require.Contains(t, f.text("totals"), `"fte":0.085`)
	require.JSONEq(t, `{"success":2,"failure":1,"needs_review":0}`, f.text("outcomes"))
	require.Equal(t, "0.6667", f.text("success_rate"))
	require.JSONEq(t, `{"totals":[],"from":"2026-04-22T10:45:00.001Z","to":"2026-04-29T10:45:00.001Z"}`, f.text("previous"))
	var trend []fields
	require.NoError(t, json.Unmarshal(f["trend"], &trend))
	require.Len(t, trend, 8)
	require.Equal(t, `"2026-05-06"`, trend[7].text("day"))
	require.Equal(t, "3", trend[7].text("events"))
	require.Equal(t, "0", trend[3].text("hours_saved"))

	before := s.get("/v1/reports/summary?from=2026-05-01T00:00:00Z&to=2026-05-15T00:00:00Z").fields(http.StatusOK).text("previous")
	require.Contains(t, before, `"events":1,`)
	require.Contains(t, before, `"from":"2026-04-17T00:00:00.000Z","to":"2026-05-01T00:00:00.000Z"`)

	all := s.get("/v1/reports/summary?period=all").fields(http.StatusOK)
	require.Equal(t, "null", all.text("previous"))
	require.Equal(t, "null", all.text("from"))
	none := s.get("/v1/reports/summary?agent_id=nobody").fields(http.StatusOK)
	require.Equal(t, "null", none.text("success_rate"))
	require.Contains(t, s.get("/v1/reports/summary?period=24h&tz=Europe/Berlin").fields(http.StatusOK).text("previous"), `"totals":[]`)
	far := s.get("/v1/reports/summary?to=9999-12-31T00:00:00Z").fields(http.StatusOK)
	require.Less(t, len(far.text("trend")), 10_000, "a bound far away adds no days")
	require.Contains(t, s.get("/v1/reports/summary?period=30d").fields(http.StatusOK).text("trend"), `"day":"2026-04-20"`)
}

func TestUsageOverHTTP(t *testing.T) {
	s := filled(t, plan(humanhours.Plan{EventsPerMonth: 10, Locked: humanhours.FeatureReports}))
	require.JSONEq(t, `{"plan":"tested","currency":"EUR","events_this_month":4,"events_included_in_plan":10,"remaining":6,
		"period_start":"2026-05-01T00:00:00.000Z","period_end":"2026-06-01T00:00:00.000Z"}`, s.get("/v1/reports/usage").body)
	for _, path := range []string{"summary", "time-saved", "cost-saved", "leaderboard", "export"} {
		s.get("/v1/reports/"+path).refused(http.StatusForbidden, humanhours.CodeFeatureLocked, "")
	}
	require.Equal(t, http.StatusOK, s.get("/v1/events").status, "what it has recorded, an org can always see")
	require.Contains(t, newServer(t).get("/v1/reports/usage").body, `"events_included_in_plan":null,"remaining":null`)
}

func TestCSV(t *testing.T) {
	s := filled(t)
	a := s.get("/v1/reports/time-saved?group_by=metadata.team,metadata.n&format=csv&sort=events")
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "text/csv; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(t, `attachment; filename="report.csv"`, a.header.Get("Content-Disposition"))
	require.Equal(t, "metadata.team,metadata.n,currency,events,hours_saved,cost_saved,agent_cost,net_saved\r\n"+
		"'-1,12,EUR,1,3.417,153.765,0,153.765\r\n'=cmd(),4,EUR,1,0.067,3.015,1.5,1.515\r\n,,EUR,2,0.05,2.25,0,2.25\r\n", a.body)

	a = s.get("/v1/reports/export?period=all&agent_id=a")
	require.Equal(t, `attachment; filename="events.csv"`, a.header.Get("Content-Disposition"))
	records, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 3)
	row := map[string]string{}
	for i, name := range records[0] {
		row[name] = records[1][i]
	}
	require.Equal(t, "2026-05-06T10:45:00.000Z", row["occurred_at"])
	require.Equal(t, "1.515", row["net_saved"])
	require.Equal(t, `{"team":"=cmd()","n":4.0,"client":"web"}`, row["metadata"])
	require.Contains(t, a.body, "\r\n")
	require.Equal(t, 1, strings.Count(s.get("/v1/reports/export?agent_id=nobody").body, "\n"), "the header")
	require.Equal(t, 2, strings.Count(s.get("/v1/reports/export?mode=test").body, "\n"))
}

// stream is a store whose events end with an error after n.
type stream struct {
	humanhours.Store
	n   int
	err error
}

func (s stream) Events(context.Context, humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) {
		for i := range s.n {
			e := humanhours.Event{
				ID: fmt.Sprintf("evt_%d", i), AgentID: "=1+1", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess, Credited: true,
				Currency: "EUR", OccurredAt: start, ReceivedAt: start, Metadata: fmt.Appendf(nil, `{"n":%d}`, i),
			}
			e.Baseline.Source, e.HourlyRate.Source, e.Cost.Source = humanhours.BaselineBuiltin, humanhours.RateDefault, humanhours.CostNone
			if !yield(e, nil) {
				return
			}
		}
		if s.err != nil {
			yield(humanhours.Event{}, s.err)
		}
	}
}

func streaming(n int, err error) func(*setup) {
	return func(c *setup) {
		c.wrap = func(inner humanhours.Store) humanhours.Store { return stream{inner, n, err} }
	}
}

// bursting is a store that panics when it is read.
type bursting struct{ humanhours.Store }

func (bursting) Events(context.Context, humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(func(humanhours.Event, error) bool) { panic("burst") }
}

// TestExportStreams: memory does not grow with the export, and one that fails in the middle is cut off instead of looking whole.
func TestExportStreams(t *testing.T) {
	const events = 50_000
	s := newServer(t, streaming(events, nil))
	web := httptest.NewServer(s.Handler)
	defer web.Close()
	read := func(s *server, url string) (int64, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/reports/export", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+s.key)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
		n, err := io.Copy(io.Discard, response.Body)
		return n, err
	}
	n, err := read(s, web.URL)
	require.NoError(t, err)
	require.Greater(t, n, int64(events*100))
	require.Equal(t, events+1, strings.Count(s.get("/v1/reports/export").body, "\r\n"))

	s = newServer(t, streaming(events, errors.New("the disk is gone")))
	web = httptest.NewServer(s.Handler)
	defer web.Close()
	_, err = read(s, web.URL)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, s.log.String(), "the disk is gone")

	s = newServer(t, func(c *setup) {
		c.wrap = func(inner humanhours.Store) humanhours.Store { return bursting{inner} }
	})
	s.get("/v1/reports/export").refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
	require.Contains(t, s.log.String(), "panic: burst")

	s = newServer(t, streaming(10, errors.New("the disk is gone")))
	s.get("/v1/reports/export").refused(http.StatusServiceUnavailable, humanhours.CodeUnavailable, "")
	s.get("/v1/reports/summary").refused(http.StatusServiceUnavailable, humanhours.CodeUnavailable, "")
	s.get("/v1/events").refused(http.StatusServiceUnavailable, humanhours.CodeUnavailable, "")
}

func TestEventPages(t *testing.T) {
	s := newServer(t)
	var ids []string
	for i := range 23 {
		s.clock.Advance(time.Second)
		agent := `"even"`
		if i%2 == 1 {
			agent = `"odd"`
		}
		ids = append(ids, s.track(event("agent_id", agent)).fields(http.StatusCreated).id())
	}
	walk := func(query string) (found []string) {
		path := "/v1/events?limit=5" + query
		for {
			f := s.get(path).fields(http.StatusOK)
			var events []fields
			require.NoError(t, json.Unmarshal(f["events"], &events))
			for _, e := range events {
				found = append(found, e.id())
			}
			next := f.text("next_cursor")
			if next == "" {
				return found
			}
			path = "/v1/events?limit=5" + query + "&cursor=" + strings.Trim(next, `"`)
			if len(found) == 5 { // what comes meanwhile disturbs nobody
				s.track(event("agent_id", `"later"`, "occurred_at", `"2026-05-07T00:00:00Z"`), as(s.newKey("acme", false, 0))).fields(http.StatusCreated)
			}
		}
	}
	newest := walk("&order=newest")
	for i := range newest {
		require.Equal(t, ids[len(ids)-1-i], newest[i])
	}
	require.Len(t, newest, 23)
	require.Equal(t, ids, walk("&order=oldest&to=2026-05-06T23:00:00Z"))
	require.Len(t, walk("&agent_id=odd"), 11)
	one := s.get("/v1/events/" + strings.Trim(ids[7], `"`)).fields(http.StatusOK)
	require.Equal(t, ids[7], one.id())
	s.get("/v1/events/evt_nothing").refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	s.do(http.MethodGet, "/v1/events/"+strings.Trim(ids[7], `"`), "", as(s.newKey("globex", false, 0))).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	require.Equal(t, "[]", s.get("/v1/events?mode=test").fields(http.StatusOK).text("events"))
}

// TestSparsePages: a filter that matches little does not make a page look at everything.
func TestSparsePages(t *testing.T) {
	s := newServer(t, streaming(50_000, nil))
	f := s.get("/v1/events?agent_id=nobody&order=oldest").fields(http.StatusOK)
	require.Equal(t, "[]", f.text("events"))
	require.NotEmpty(t, f.text("next_cursor"))
	require.Equal(t, humanhours.MaxEventPage, strings.Count(s.get("/v1/events?limit=1000").body, `"event_id"`))
}

// TestTooManyRows: a report that leaves rows out says so, unless it was asked to.
func TestTooManyRows(t *testing.T) {
	s := newServer(t, streaming(humanhours.MaxReportRows+1, nil))
	for query, truncated := range map[string]string{"": "true", "&top=10000": ""} {
		f := s.get("/v1/reports/time-saved?group_by=metadata.n" + query).fields(http.StatusOK)
		require.Equal(t, humanhours.MaxReportRows, strings.Count(f.text("rows"), `"events":1,`))
		require.Contains(t, f.text("totals"), `"events":10001`)
		require.Equal(t, truncated, f.text("truncated"))
		require.Equal(t, truncated, s.get("/v1/reports/time-saved?format=csv&group_by=metadata.n"+query).header.Get("X-Report-Truncated"))
	}
}

// TestReportsTakeEveryParameter: all know the same time and the same filters, and all values of what has a list of them.
func TestReportsTakeEveryParameter(t *testing.T) {
	s := filled(t)
	const filters = "?from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00%2B02:00&tz=Europe/Berlin&agent_id=a&agent_id=b&task_type=email_classification&task_type=none" +
		"&model=&outcome=success&outcome=needs_review&metadata.client=web&metadata.client=app&metadata.n=4&mode=live"
	for path, want := range map[string]string{
		"reports/summary": `"totals":[{"currency":"EUR","events":1,`, "reports/export": ",a,email_classification,success,true,", "events": `"agent_id":"a"`,
		"reports/time-saved": `"rows":[{"agent":"a"`, "reports/cost-saved": `"rows":[{"agent":"a"`, "reports/leaderboard": `"rows":[{"agent":"a"`,
	} {
		path = "/v1/" + path
		a := s.get(path + filters)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.Contains(t, a.body, want)
		for _, period := range []string{"24h", "7d", "30d", "90d", "ytd", "all"} {
			require.Equal(t, http.StatusOK, s.get(path+"?period="+period).status)
		}
	}
	for _, path := range []string{"time-saved", "cost-saved", "leaderboard"} {
		path = "/v1/reports/" + path + "?top=1&range=true&group_by="
		for _, dimension := range []string{
			"agent", "task_type", "category", "model", "outcome", "baseline_source", "cost_source", "client", "hour", "day", "week", "month", "metadata.a,metadata.b",
		} {
			first, _, _ := strings.Cut(dimension, ",")
			require.Contains(t, s.get(path+dimension+"&format=json").body, `"rows":[{"`+first+`":`)
			require.Contains(t, s.get(path+dimension+"&format=csv").body, dimension+",currency,events,")
		}
	}
	require.Contains(t, s.get("/v1/reports/time-saved?sort=dimensions").body, `"rows":[{"agent":"a"`)
	require.Contains(t, s.get("/v1/reports/time-saved?range=true&format=csv&agent_id=nobody").body, "net_saved_optimistic\r\n", "the columns are there without events")
	for _, sum := range []string{"events", "hours_saved", "cost_saved", "agent_cost", "net_saved"} {
		for _, path := range []string{"time-saved", "cost-saved"} {
			up, down := s.get("/v1/reports/"+path+"?group_by=day&sort="+sum), s.get("/v1/reports/"+path+"?group_by=day&sort=-"+sum)
			require.Contains(t, up.body, `"rows":[{"day":"2026-04-20"`)
			require.Contains(t, down.body, `"rows":[{"day":"2026-05-06"`)
		}
		if sum != "agent_cost" {
			require.Contains(t, s.get("/v1/reports/leaderboard?group_by=month&metric="+sum).body, `"rows":[{"month":"2026-05"`)
		}
	}
}

func TestRefusedReports(t *testing.T) {
	s := newServer(t)
	for query, field := range map[string]string{
		"group_by=agents": "group_by", "group_by=": "group_by", "group_by=agent,agent": "group_by", "group_by=agent,model,outcome,day,week": "group_by",
		"group_by=metadata.": "group_by", "period=1w": "period", "period=": "period", "tz=localtime": "tz", "to=9999-12-31T23:59:59-02:00": "to", "from=0001-01-01T00:00:00%2B02:00": "from", "period=7d&from=2026-05-01T00:00:00Z": "period", "tz=Mars": "tz", "tz=Local": "tz",
		"tz=../etc/passwd": "tz", "tz=right/Europe/Berlin": "tz", "tz=Factory": "tz",
		"group_by=metadata." + strings.Repeat("k", 201): "group_by", "metadata.n=" + strings.Repeat("9", 501): "metadata.n",
		"metadata." + strings.Repeat("k", 201) + "=x": "metadata", strings.Repeat("agent_id=a&", 101): "agent_id", "sort=name": "sort", "sort=": "sort", "sort=-": "sort", "top=0": "top", "top=1000000000": "top", "top=-1": "top",
		"top=": "top", "top=ten": "top", "format=xml": "format", "mode=all": "mode", "from=yesterday": "from", "from=": "from", "to=2026-13-01": "to",
		"from=2026-05-02T00:00:00Z&to=2026-05-01T00:00:00Z": "to", "from=2020-01-01T00:00:00Z&to=2026-05-01T00:00:00Z": "from",
		"outcome=done": "outcome", "agent=a": "agent", "period=7d&period=30d": "period", "metadata.=x": "metadata.", "%zz": "",
	} {
		s.get("/v1/reports/time-saved?"+query).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, field)
	}
	for path, field := range map[string]string{
		"reports/leaderboard?metric=agent_cost": "metric", "reports/leaderboard?sort=events": "sort", "reports/usage?period=7d": "period", "reports/cost-saved?agent=a": "agent",
		"reports/summary?group_by=agent": "group_by", "reports/export?format=json": "format", "events?limit=0": "limit", "events?limit=1001": "limit",
		"events?order=up": "order", "events?cursor=x": "cursor", "events?cursor=MTIz": "cursor", "events?cursor=OTk5OTk5OTk5OTk5OTk5OTk5LmE": "cursor",
		"events?period=1w": "period", "events?period=": "period", "events/evt_x?mode=test": "mode", "reports/usage?x": "x", "events/evt_x?%zz": "", "events?outcome=x": "outcome", "events?group_by=agent": "group_by", "events?metadata=x": "metadata",
	} {
		s.get("/v1/"+path).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, field)
	}
	for _, path := range []string{
		"reports/time-saved", "reports/cost-saved", "reports/export", "reports/usage", "reports/summary", "reports/leaderboard", "events", "events/x",
	} {
		s.do(http.MethodGet, "/v1/"+path, "", as(s.newKey("acme", false, humanhours.ScopeTrackWrite))).
			refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "")
		s.do(http.MethodGet, "/v1/"+path, "", header("Authorization")).refused(http.StatusUnauthorized, humanhours.CodeMissingAuthorization, "")
		limited := newServer(t, plan(humanhours.Plan{RequestsPerSecond: 1}))
		limited.get("/v1/" + path)
		limited.get("/v1/"+path).refused(http.StatusTooManyRequests, humanhours.CodeRateLimited, "")
	}
}
