package httpadapter_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/docs"
	"github.com/humanhours/humanhours-go/httpadapter"
)

func ifMatch(tag string) edit { return header("If-Match", tag) }

// change makes a request with a body that must succeed, and returns the fields of the answer.
func (s *server) change(status int, method, path, body string, edits ...edit) fields {
	s.t.Helper()
	a := s.do(method, path, body, edits...)
	require.Regexp(s.t, `^"\d+"$`, a.header.Get("ETag"))
	return a.fields(status)
}

// history returns the lines of GET /v1/history, newest first, as "seq subject old new reason".
func (s *server) history(query string, edits ...edit) (lines []string, next string) {
	s.t.Helper()
	f := s.do(http.MethodGet, "/v1/history"+query, "", edits...).fields(http.StatusOK)
	var rows []fields
	require.NoError(s.t, json.Unmarshal(f["history"], &rows))
	require.NotNil(s.t, rows)
	for _, row := range rows {
		line := []string{row.text("seq"), row.text("subject"), row.text("old"), row.text("new")}
		if reason := row.text("reason"); reason != "" {
			line = append(line, reason)
		}
		require.Regexp(s.t, `^"2026-05-06T10:45:00.000Z"$`, row.text("at"))
		lines = append(lines, strings.Join(line, " "))
	}
	return lines, f.text("next_before")
}

func TestOwnTaskTypes(t *testing.T) {
	s := newServer(t)
	made := s.change(http.StatusCreated, http.MethodPost, "/v1/task-types", `{"key":"invoice_check","display_name":"Invoice check","category":"finance",
		"default_baseline_minutes":12.5,"baseline_source":"Time study, March","unit":"one invoice","low_minutes":5,"high_minutes":20,"reason":"we check many"}`)
	require.Equal(t, `"custom"`, made.text("layer"))
	require.Equal(t, "12.5", made.text("default_baseline_minutes"))
	require.Equal(t, "12.5", made.text("resolved_baseline_minutes"))
	require.Equal(t, `"custom"`, made.text("resolved_baseline_source"))
	require.JSONEq(t, `{"evidence":"stated","derivation":"Time study, March"}`, made.text("source"))
	require.Equal(t, `"custom"`, s.track(event("task_type", `"invoice_check"`)).fields(http.StatusCreated).text("resolved_baseline_source"))

	bare := s.change(http.StatusCreated, http.MethodPost, "/api/v1/task-types", `{"key":"bare","display_name":null,"default_baseline_minutes":null,"unknown":1}`)
	require.Equal(t, `"bare"`, bare.text("display_name"))
	require.Equal(t, `"custom"`, bare.text("category"))
	require.Equal(t, "null", bare.text("default_baseline_minutes"))
	require.Equal(t, "null", bare.text("resolved_baseline_minutes"))

	changed := s.change(http.StatusOK, http.MethodPatch, "/v1/task-types/invoice_check", `{"default_baseline_minutes":15,"low_minutes":null,"key":"invoice_check"}`)
	require.Equal(t, "15", changed.text("default_baseline_minutes"))
	require.NotContains(t, changed, "low_minutes")
	require.Equal(t, "20", changed.text("high_minutes"))

	gone := s.change(http.StatusOK, http.MethodDelete, "/v1/task-types/invoice_check?reason=no+longer", "")
	require.Equal(t, `"2026-05-06T10:45:00.000Z"`, gone.text("archived_at"))
	s.track(event("task_type", `"invoice_check"`)).refused(http.StatusUnprocessableEntity, humanhours.CodeUnknownTaskType, "task_type")
	require.NotContains(t, s.taskTypes(""), "invoice_check")
	archived := s.taskTypes("?archived=true")
	require.Len(t, archived, 1)
	require.Contains(t, archived, "invoice_check")
	require.Contains(t, s.do(http.MethodGet, "/v1/task-types/invoice_check", "").fields(http.StatusOK), "archived_at")
	s.change(http.StatusOK, http.MethodPost, "/v1/task-types/invoice_check/restore", "")
	require.Contains(t, s.taskTypes("?archived=false"), "invoice_check")

	lines, next := s.history("")
	require.Empty(t, next)
	require.Equal(t, []string{
		`6 "task_types.invoice_check.archived" "true" "false"`,
		`5 "task_types.invoice_check.archived" "false" "true" "no longer"`,
		`4 "task_types.invoice_check.low_minutes" "5" null`,
		`3 "task_types.invoice_check.default_baseline_minutes" "12.5" "15"`,
		`2 "task_types.bare" null "\"bare\", category \"custom\""`,
	}, lines[:5])
	require.Contains(t, lines[5], `"we check many"`)
}

func TestOverrides(t *testing.T) {
	s := newServer(t)
	set := s.change(http.StatusOK, http.MethodPost, "/v1/task-types/email_classification/override", `{"baseline_minutes_override":6.25,"reason":"timed in our own team"}`)
	require.Equal(t, "4", set.text("default_baseline_minutes"), "the original stays on record")
	require.Equal(t, "6.25", set.text("resolved_baseline_minutes"))
	require.Equal(t, `"override"`, set.text("resolved_baseline_source"))
	require.Equal(t, `"builtin"`, set.text("layer"))
	require.JSONEq(t, `{"baseline_minutes_override":6.25,"reason":"timed in our own team","at":"2026-05-06T10:45:00.000Z"}`, set.text("override"))
	require.Contains(t, set, "source")
	require.Equal(t, `"override"`, s.track(event()).fields(http.StatusCreated).text("resolved_baseline_source"))
	back := s.change(http.StatusOK, http.MethodDelete, "/v1/task-types/email_classification/override", "")
	require.NotContains(t, back, "override")
	require.Equal(t, `"builtin"`, s.track(event()).fields(http.StatusCreated).text("resolved_baseline_source"))
	s.do(http.MethodDelete, "/v1/task-types/email_classification/override", "").refused(http.StatusNotFound, humanhours.CodeNotFound, "")
}

func TestAgentsOverHTTP(t *testing.T) {
	s := newServer(t)
	s.track(event("agent_id", `"support/bot ü"`, "agent_cost", "0.5")).fields(http.StatusCreated)
	s.track(event("agent_id", `"rehearsal"`), as(s.newKey("acme", true, 0))).fields(http.StatusCreated)
	set := s.change(http.StatusOK, http.MethodPatch, "/v1/agents/support%2Fbot%20%C3%BC", `{"hourly_rate":80,"display_name":"Bot","reason":"seniors"}`)
	require.Equal(t, `"support/bot ü"`, set.text("agent_id"))
	require.Equal(t, "80", set.text("hourly_rate"))
	require.Equal(t, `"agent"`, set.text("resolved_hourly_rate_source"))
	require.NotContains(t, set, "last_30_days")
	s.change(http.StatusOK, http.MethodPatch, "/v1/agents/"+"..%2F..", `{"display_name":"odd"}`)

	rows := func(query string) map[string]fields {
		a := s.do(http.MethodGet, "/v1/agents"+query, "")
		require.Equal(t, `"2"`, a.header.Get("ETag"))
		var body struct {
			Agents []fields `json:"agents"`
		}
		require.Equal(t, http.StatusOK, a.status)
		decodeStrictly(t, a.body, &body)
		byID := map[string]fields{}
		for _, row := range body.Agents {
			byID[row.text("agent_id")] = row
		}
		return byID
	}
	live := rows("?mode=live")
	require.Len(t, live, 2)
	bot := live[`"support/bot ü"`]
	require.Equal(t, `"2026-05-06T10:45:00.000Z"`, bot.text("first_event_at"))
	require.Equal(t, bot.text("first_event_at"), bot.text("last_event_at"))
	require.JSONEq(t, `[{"currency":"EUR","events":1,"hours_saved":0.067,"cost_saved":3.015,"agent_cost":0.5,"net_saved":2.515}]`, bot.text("last_30_days"))
	require.Equal(t, `"odd"`, live[`"../.."`].text("display_name"))
	require.Equal(t, "null", live[`"../.."`].text("hourly_rate"))
	require.Contains(t, rows("?mode=test"), `"rehearsal"`)
	require.NotContains(t, rows("?mode=test")[`"support/bot ü"`], "first_event_at")
}

func TestOrgOverHTTP(t *testing.T) {
	s := newServer(t)
	a := s.do(http.MethodGet, "/v1/org", "")
	require.Equal(t, `"0"`, a.header.Get("ETag"))
	require.JSONEq(t, `{"org_id":"acme","currency":"EUR","default_hourly_rate":null,"resolved_hourly_rate":45,"resolved_hourly_rate_source":"default"}`, a.body)
	s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"currency":"CHF","default_hourly_rate":90.5,"reason":"we moved"}`)
	f := s.do(http.MethodGet, "/v1/org", "").fields(http.StatusOK)
	require.Equal(t, `"CHF"`, f.text("currency"))
	require.Equal(t, "90.5", f.text("resolved_hourly_rate"))
	require.Equal(t, `"org"`, f.text("resolved_hourly_rate_source"))
	require.Equal(t, `"CHF"`, s.track(event()).fields(http.StatusCreated).text("currency"))
	f = s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"currency":null,"default_hourly_rate":null}`)
	require.Equal(t, `"EUR"`, f.text("currency"))
	require.Equal(t, "null", f.text("default_hourly_rate"))

	s = newServer(t, plan(humanhours.Plan{}))
	require.Equal(t, `"tested"`, s.do(http.MethodGet, "/v1/org", "").fields(http.StatusOK).text("plan"))
}

// TestIfMatch: of two people who read the same settings, the second to write is told, whatever part of them the first has changed.
func TestIfMatch(t *testing.T) {
	s := newServer(t)
	tag := s.do(http.MethodGet, "/v1/task-types", "").header.Get("ETag")
	require.Equal(t, tag, s.do(http.MethodGet, "/v1/task-types/blog_post", "").header.Get("ETag"))
	s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":50}`, ifMatch(tag))
	writes := map[string]string{
		"POST /v1/task-types": `{"key":"new"}`, "POST /v1/task-types/blog_post/override": `{"baseline_minutes_override":1}`,
		"DELETE /v1/task-types/blog_post/override": "", "PATCH /v1/task-types/x": `{"unit":"x"}`, "DELETE /v1/task-types/x": "",
		"POST /v1/task-types/x/restore": "", "PATCH /v1/agents/a": `{"hourly_rate":1}`, "PATCH /v1/org": `{"default_hourly_rate":60}`,
	}
	for write, body := range writes {
		method, path, _ := strings.Cut(write, " ")
		for _, stale := range []string{tag, `"7"`, `"-1"`, `"01"`, `W/"1"`, `"not ours"`} {
			s.do(method, path, body, ifMatch(stale)).refused(http.StatusPreconditionFailed, humanhours.CodePreconditionFailed, "")
		}
		for _, malformed := range []edit{ifMatch("1"), ifMatch(""), ifMatch(`"1`), ifMatch(`"1", "2"`), header("If-Match", `"1"`, `"2"`)} {
			s.do(method, path, body, malformed).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")
		}
	}
	lines, _ := s.history("")
	require.Len(t, lines, 1)
	s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":60}`, ifMatch("*"))
	s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":70}`, ifMatch(`"2"`))
}

func TestRefusedWrites(t *testing.T) {
	s := newServer(t)
	s.change(http.StatusCreated, http.MethodPost, "/v1/task-types", `{"key":"own","default_baseline_minutes":1}`)
	for _, tc := range []struct{ method, path, body, field string }{
		{"POST", "/v1/task-types", `{}`, "key"},
		{"POST", "/v1/task-types", `{"key":null}`, "key"},
		{"POST", "/v1/task-types", `{"key":7}`, "key"},
		{"POST", "/v1/task-types", `{"key":"Bad Key"}`, "key"},
		{"POST", "/v1/task-types", `{"key":"own"}`, "key"},
		{"POST", "/v1/task-types", `{"key":"blog_post"}`, "key"},
		{"POST", "/v1/task-types", `{"key":"a","display_name":1}`, "display_name"},
		{"POST", "/v1/task-types", `{"key":"a","default_baseline_minutes":"7"}`, "default_baseline_minutes"},
		{"POST", "/v1/task-types", `{"key":"a","default_baseline_minutes":-1}`, "default_baseline_minutes"},
		{"POST", "/v1/task-types", `{"key":"a","default_baseline_minutes":1e999999999}`, "default_baseline_minutes"},
		{"POST", "/v1/task-types", `{"key":"a","baseline_source":{}}`, "baseline_source"},
		{"POST", "/v1/task-types", `{"key":"a","reason":[]}`, "reason"},
		{"POST", "/v1/task-types", `[]`, ""},
		{"POST", "/v1/task-types", `{"key":"a"} x`, ""},
		{"POST", "/v1/task-types", ``, ""},
		{"PATCH", "/v1/task-types/own", `{}`, ""},
		{"PATCH", "/v1/task-types/own", `{"minutes":5}`, ""},
		{"PATCH", "/v1/task-types/own", `{"key":"other","unit":"x"}`, "key"},
		{"PATCH", "/v1/task-types/own", `{"display_name":null}`, "display_name"},
		{"PATCH", "/v1/task-types/own", `{"low_minutes":2}`, "low_minutes"},
		{"PATCH", "/v1/task-types/blog_post", `{"unit":"x"}`, "key"},
		{"DELETE", "/v1/task-types/blog_post", ``, "key"},
		{"DELETE", "/v1/task-types/own?reason=%zz", ``, ""},
		{"DELETE", "/v1/task-types/own?reason=" + strings.Repeat("x", 501), ``, "reason"},
		{"POST", "/v1/task-types/own/override", `{"baseline_minutes_override":1}`, "key"},
		{"POST", "/v1/task-types/blog_post/override", `{}`, "baseline_minutes_override"},
		{"POST", "/v1/task-types/blog_post/override", `{"baseline_minutes_override":null}`, "baseline_minutes_override"},
		{"POST", "/v1/task-types/blog_post/override", `{"baseline_minutes_override":true}`, "baseline_minutes_override"},
		{"POST", "/v1/task-types/blog_post/override", `{"baseline_minutes_override":525601}`, "baseline_minutes_override"},
		{"PATCH", "/v1/agents/a", `{"rate":1}`, ""},
		{"PATCH", "/v1/agents/a", `{"hourly_rate":"1"}`, "hourly_rate"},
		{"PATCH", "/v1/agents/a", `{"display_name":1}`, "display_name"},
		{"PATCH", "/v1/agents/a%00", `{"hourly_rate":1}`, "agent_id"},
		{"PATCH", "/v1/org", `{"rate":1}`, ""},
		{"PATCH", "/v1/org", `{"currency":"euro"}`, "currency"},
		{"PATCH", "/v1/org", `{"currency":1}`, "currency"},
		{"PATCH", "/v1/org", `{"default_hourly_rate":-0.1}`, "default_hourly_rate"},
		{"GET", "/v1/task-types?archived=yes", ``, "archived"},
		{"GET", "/v1/agents?mode=all", ``, "mode"},
		{"GET", "/v1/agents?mode=%zz", ``, ""},
		{"GET", "/v1/history?limit=0", ``, "limit"},
		{"GET", "/v1/history?limit=1001", ``, "limit"},
		{"GET", "/v1/history?limit=ten", ``, "limit"},
		{"GET", "/v1/history?before=0", ``, "before"},
		{"GET", "/v1/history?before=-1", ``, "before"},
		{"GET", "/v1/history?before=99999999999999999999", ``, "before"},
		{"GET", "/v1/history?%zz", ``, ""},
	} {
		p := s.do(tc.method, tc.path, tc.body).refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, tc.field)
		require.NotContains(t, p.Message, "json:", "%s %s %s", tc.method, tc.path, tc.body)
	}
	for _, path := range []string{"/v1/task-types/nothing", "/v1/task-types/nothing/restore", "/v1/task-types/nothing/override"} {
		method, body := http.MethodPost, `{"baseline_minutes_override":1}`
		if !strings.Contains(path, "nothing/") {
			method = http.MethodDelete
		}
		s.do(method, path, body).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	}
	s.do(http.MethodPatch, "/v1/task-types/nothing", `{"unit":"x"}`).refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	s.do(http.MethodGet, "/v1/task-types/nothing", "").refused(http.StatusNotFound, humanhours.CodeNotFound, "")
	lines, _ := s.history("")
	require.Len(t, lines, 1, "what is refused is in no history")
}

func TestHistoryPages(t *testing.T) {
	s := newServer(t)
	for i := range 7 {
		s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":`+strconv.Itoa(i+1)+`}`)
	}
	var all []string
	query := "?limit=3"
	for pages := 1; ; pages++ {
		lines, next := s.history(query)
		all = append(all, lines...)
		if next == "" {
			require.Equal(t, 3, pages)
			break
		}
		query = "?limit=3&before=" + next
	}
	whole, _ := s.history("?limit=1000")
	require.Equal(t, whole, all)
	require.Equal(t, `7 "default_hourly_rate" "6" "7"`, all[0])
	require.Equal(t, `1 "default_hourly_rate" null "1"`, all[6])
	lines, next := s.history("?before=1")
	require.Empty(t, lines)
	require.Empty(t, next)

	for i := range 101 {
		s.change(http.StatusOK, http.MethodPatch, "/v1/org", `{"default_hourly_rate":`+strconv.Itoa(i+100)+`}`)
	}
	lines, next = s.history("")
	require.Len(t, lines, 100)
	require.Equal(t, "9", next)

	f := s.do(http.MethodGet, "/v1/history?limit=1", "").fields(http.StatusOK)
	require.Contains(t, f.text("history"), `"key_id":"`+s.key[8:16]+`"`)
}

// TestWritesAreGuarded: credentials, scope, plan and rate limit come first, as on /v1/track.
func TestWritesAreGuarded(t *testing.T) {
	s := newServer(t, plan(humanhours.Plan{Locked: humanhours.FeatureTaskTypes}))
	type endpoint struct {
		method, path, body string
		scope              humanhours.Scopes
		locked             bool
	}
	endpoints := []endpoint{
		{"GET", "/v1/task-types", "", 0, false},
		{"GET", "/v1/task-types/blog_post", "", 0, false},
		{"POST", "/v1/task-types", `{"key":"own"}`, humanhours.ScopeOrgWrite, true},
		{"PATCH", "/v1/task-types/own", `{"unit":"x"}`, humanhours.ScopeOrgWrite, true},
		{"DELETE", "/v1/task-types/own", "", humanhours.ScopeOrgWrite, true},
		{"POST", "/v1/task-types/own/restore", "", humanhours.ScopeOrgWrite, true},
		{"POST", "/v1/task-types/blog_post/override", `{"baseline_minutes_override":1}`, humanhours.ScopeOrgWrite, true},
		{"DELETE", "/v1/task-types/blog_post/override", "", humanhours.ScopeOrgWrite, true},
		{"GET", "/v1/agents", "", humanhours.ScopeReportsRead, false},
		{"PATCH", "/v1/agents/a", `{"hourly_rate":1}`, humanhours.ScopeOrgWrite, false},
		{"GET", "/v1/org", "", 0, false},
		{"PATCH", "/v1/org", `{"default_hourly_rate":1}`, humanhours.ScopeOrgWrite, false},
		{"GET", "/v1/history", "", humanhours.ScopeReportsRead, false},
	}
	all := []humanhours.Scopes{humanhours.ScopeTrackWrite, humanhours.ScopeReportsRead, humanhours.ScopeOrgWrite}
	for _, e := range endpoints {
		s.do(e.method, e.path, e.body, header("Authorization")).refused(http.StatusUnauthorized, humanhours.CodeMissingAuthorization, "")
		for _, scope := range all {
			a := s.do(e.method, e.path, e.body, as(s.newKey("acme", false, scope)))
			switch {
			case e.scope != 0 && scope != e.scope:
				require.Contains(t, a.refused(http.StatusForbidden, humanhours.CodeInsufficientScope, "").Message, e.scope.String())
			case e.locked:
				require.Contains(t, a.refused(http.StatusForbidden, humanhours.CodeFeatureLocked, "").Message, "the plan tested does not include")
			default:
				require.Equal(t, http.StatusOK, a.status, "%s %s: %s", e.method, e.path, a.body)
			}
		}
		if e.body != "" {
			s.do(e.method, e.path, e.body, header("Content-Type", "text/plain")).refused(http.StatusUnsupportedMediaType, humanhours.CodeUnsupportedMediaType, "")
			s.do(e.method, e.path, `{"x":"`+strings.Repeat("x", 128<<10)+`"}`).refused(http.StatusRequestEntityTooLarge, humanhours.CodePayloadTooLarge, "")
		}
	}
	s = newServer(t, plan(humanhours.Plan{RequestsPerSecond: 1}))
	for _, e := range endpoints {
		s.clock.Advance(time.Second)
		require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/v1/org", "").status)
		require.Equal(t, "1", s.do(e.method, e.path, e.body).header.Get("Retry-After"), e.path)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/v1/openapi.yaml", "/api/v1/openapi.yaml"} {
		a := s.do(http.MethodGet, path, "", header("Authorization"))
		require.Equal(t, http.StatusOK, a.status)
		require.Equal(t, docs.OpenAPI, a.body)
		require.Equal(t, "application/yaml", a.header.Get("Content-Type"))
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
	}
}

// TestEveryRouteIsDocumented: also one that no test asks for.
func TestEveryRouteIsDocumented(t *testing.T) {
	_, paths, found := strings.Cut(docs.OpenAPI, "\npaths:\n")
	require.True(t, found)
	paths, _, _ = strings.Cut(paths, "\ncomponents:\n")
	var documented []string
	for _, path := range regexp.MustCompile(`(?m)^  (/\S+):$`).FindAllStringSubmatch(paths, -1) {
		documented = append(documented, path[1])
	}
	require.ElementsMatch(t, documented, newServer(t).Handler.(*httpadapter.API).Routes())
}

// TestEveryHandlerHasItsEndpoint: what can be mounted alone is an endpoint of the table, and every one of the table can be.
func TestEveryHandlerHasItsEndpoint(t *testing.T) {
	api := newServer(t).Handler.(*httpadapter.API)
	allowed := func(serve func(http.ResponseWriter, *http.Request), path string) string {
		w := httptest.NewRecorder()
		serve(w, httptest.NewRequest("BREW", path, nil))
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, path)
		require.NotEmpty(t, w.Header().Get("Allow"), path)
		return w.Header().Get("Allow")
	}
	var alone, mounted []string
	for i := range reflect.TypeFor[*httpadapter.API]().NumMethod() {
		name := reflect.TypeFor[*httpadapter.API]().Method(i).Name
		serve, ok := reflect.ValueOf(api).Method(i).Interface().(func(http.ResponseWriter, *http.Request))
		if ok && name != "ServeHTTP" {
			alone = append(alone, allowed(serve, "/"+name))
		}
	}
	for _, path := range api.Routes() {
		mounted = append(mounted, allowed(api.ServeHTTP, "/v1"+path))
	}
	require.ElementsMatch(t, mounted, alone)
}

// TestOneByOne: each endpoint can be mounted in another router, which says what the path held.
func TestOneByOne(t *testing.T) {
	s := newServer(t)
	mux := http.NewServeMux()
	s = s.mounted(func(api *httpadapter.API) http.Handler {
		mux.HandleFunc("/types/{key}/override", api.Override)
		mux.HandleFunc("/people/{id}", api.Agent)
		return mux
	})
	s.change(http.StatusOK, http.MethodPost, "/types/blog_post/override", `{"baseline_minutes_override":1}`)
	s.change(http.StatusOK, http.MethodPatch, "/people/bot", `{"hourly_rate":1}`)
}
