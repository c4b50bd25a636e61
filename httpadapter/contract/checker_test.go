package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/docs"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/store/memory"
)

// made is an exchange that keeps the contract, to be spoilt: the answer to a request that went well.
func made(method, path, body string, status int, answer string) *exchange {
	return &exchange{
		Test: "TestMadeUp", Method: method, Path: path, RequestBody: []byte(body), Status: status, ResponseBody: []byte(answer),
		RequestHeader: http.Header{
			"Authorization": {"Bearer hh_live_" + strings.Repeat("a", 8) + "_" + strings.Repeat("b", 48)}, "Content-Type": {"application/json"},
		},
		ResponseHeader: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"1"}, "Etag": {`"7"`}},
	}
}

const org = `{"org_id":"acme","currency":"EUR","default_hourly_rate":null,"resolved_hourly_rate":45,"resolved_hourly_rate_source":"default"}`

func readOrg() *exchange { return made(http.MethodGet, "/v1/org", "", http.StatusOK, org) }

func changeOrg() *exchange {
	return made(http.MethodPatch, "/v1/org", `{"default_hourly_rate":null,"reason":"why"}`, http.StatusOK, org)
}

// refused is an exchange that ends in an error.
func refused(method, path string, status int, code, message string) *exchange {
	e := made(method, path, "", status, fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message))
	e.ResponseHeader.Del("ETag")
	return e
}

func batch(events, results string) *exchange {
	e := made(http.MethodPost, "/v1/track/batch", `{"events":[`+events+`]}`, http.StatusOK, `{"results":[`+results+`]}`)
	e.ResponseHeader.Del("ETag")
	return e
}

const (
	badEvent  = `{"agent_id":7,"anything":1}`
	badResult = `{"status":422,"error":{"code":"validation_error","message":"agent_id must be a string","field":"agent_id"}}`
)

// TestChecker: it passes what is as documented, and nothing else.
func TestChecker(t *testing.T) {
	c := documented(t)
	for name, tc := range map[string]struct {
		exchange *exchange
		spoil    func(*exchange)
		want     string // part of the error; empty: none
	}{
		"good":                {readOrg(), nil, ""},
		"good by HEAD":        {readOrg(), func(e *exchange) { e.Method = http.MethodHead }, ""},
		"good, older path":    {readOrg(), func(e *exchange) { e.Path = "/api/v1/org" }, ""},
		"good change":         {changeOrg(), nil, ""},
		"good change, ignore": {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"currency":"EUR","x":[{"y":1}]}`) }, ""},
		"good refusal":        {refused(http.MethodGet, "/v1/history", 422, "validation_error", "limit"), nil, ""},
		"good batch":          {batch(badEvent, badResult), nil, ""},
		"no endpoint":         {refused(http.MethodGet, "/v1/nothing", 404, "not_found", "there is no endpoint /v1/nothing"), nil, ""},

		"endpoint":                  {readOrg(), func(e *exchange) { e.Path = "/v1/orgs" }, "is not documented"},
		"endpoint of another root":  {readOrg(), func(e *exchange) { e.Path = "/v2/org" }, "is not documented"},
		"endpoint with a slash":     {readOrg(), func(e *exchange) { e.Path = "/v1/org/" }, "is not documented"},
		"method":                    {readOrg(), func(e *exchange) { e.Method = http.MethodPut }, "PUT /v1/org is not documented"},
		"404 of a hidden endpoint":  {refused(http.MethodGet, "/v1/orgs/x", 404, "not_found", "there is no org x"), nil, "does not say so"},
		"status":                    {readOrg(), func(e *exchange) { e.Status = http.StatusAccepted }, "the status 202 is not documented"},
		"status of an error":        {refused(http.MethodGet, "/v1/org", 409, "not_found", "m"), nil, "the status 409 is not documented"},
		"status of other endpoints": {refused(http.MethodGet, "/v1/org", 404, "not_found", "m"), nil, "the status 404 is not documented"},
		"member of an answer": {readOrg(), func(e *exchange) {
			e.ResponseBody = []byte(strings.Replace(org, "{", `{"extra":1,`, 1))
		}, "extra"},
		"member of an answer, deep within": {batch("{}", `{"status":422,"error":{"code":"validation_error","message":"m","extra":1}}`), nil, "extra"},
		"member of an event":               {batch(badEvent, strings.Replace(badResult, `"error"`, `"event"`, 1)), nil, "missing properties"},
		"member missing": {readOrg(), func(e *exchange) {
			e.ResponseBody = []byte(strings.Replace(org, `"currency":"EUR",`, "", 1))
		}, "currency"},
		"type of an answer": {readOrg(), func(e *exchange) {
			e.ResponseBody = []byte(strings.Replace(org, "45", `"45"`, 1))
		}, "got string, want number"},
		"value of an answer": {readOrg(), func(e *exchange) {
			e.ResponseBody = []byte(strings.Replace(org, `"default"}`, `"agent"}`, 1))
		}, "must be one of"},
		"answer that is no JSON":   {readOrg(), func(e *exchange) { e.ResponseBody = []byte("{") }, "no JSON"},
		"media type of an answer":  {readOrg(), func(e *exchange) { e.ResponseHeader.Set("Content-Type", "text/plain") }, "text/plain"},
		"header of an answer":      {readOrg(), func(e *exchange) { e.ResponseHeader.Set("X-Extra", "1") }, "the header X-Extra is not documented"},
		"header missing":           {readOrg(), func(e *exchange) { e.ResponseHeader.Del("ETag") }, "the header Etag is missing"},
		"header of another shape":  {readOrg(), func(e *exchange) { e.ResponseHeader.Set("ETag", "7") }, "does not match pattern"},
		"header sent twice":        {readOrg(), func(e *exchange) { e.ResponseHeader.Add("X-Request-Id", "2") }, "more than once"},
		"code of another status":   {refused(http.MethodGet, "/v1/history", 422, "not_found", "m"), nil, "code"},
		"code that is not listed":  {refused(http.MethodGet, "/v1/history", 422, "unknown_task_type", "m"), nil, "must be"},
		"code that nobody knows":   {refused(http.MethodGet, "/v1/history", 500, "surprise", "m"), nil, "must be"},
		"code of an item":          {batch("{}", strings.Replace(badResult, "422", "429", 1)), nil, "came with 429"},
		"results of other events":  {batch(badEvent+","+badEvent, badResult), nil, "2 events have 1 results"},
		"scope of other endpoints": {refused(http.MethodGet, "/v1/history", 403, "insufficient_scope", "lacks org:write"), nil, "needs reports:read"},
		"allowed methods": {refused(http.MethodPost, "/v1/org", 405, "method_not_allowed", "m"), func(e *exchange) {
			e.ResponseHeader.Set("Allow", "GET, HEAD")
		}, "allows"},

		"no credentials":  {readOrg(), func(e *exchange) { e.RequestHeader.Del("Authorization") }, "without an API key"},
		"query parameter": {readOrg(), func(e *exchange) { e.Query = "verbose=1" }, "the query parameter verbose is not documented"},
		"value of a parameter": {made(http.MethodGet, "/v1/history", "", http.StatusOK, `{"history":[]}`), func(e *exchange) {
			e.ResponseHeader.Del("ETag")
			e.Query = "limit=1001"
		}, "limit"},
		"header of a request":          {readOrg(), func(e *exchange) { e.RequestHeader.Set("Idempotency-Key", "k") }, "the header Idempotency-Key is not documented"},
		"value of a header":            {changeOrg(), func(e *exchange) { e.RequestHeader.Set("If-Match", "7") }, "If-Match"},
		"body":                         {readOrg(), func(e *exchange) { e.RequestBody = []byte("{}") }, "none is documented"},
		"member of a request":          {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"currency":"EUR","rate":1}`) }, "not documented: [.rate]"},
		"type of a request":            {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"currency":1}`) }, "got number"},
		"value of a request":           {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1000001}`) }, "maximum"},
		"number beyond all bounds":     {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1e999999999}`) }, "maximum"},
		"number that is rounded":       {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1000000.0000000004}`) }, ""},
		"number that is close to zero": {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":-1e-999999999}`) }, ""},
		"nothing of a request":         {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"reason":"why"}`) }, "missing"},
		"media type of a request":      {changeOrg(), func(e *exchange) { e.RequestHeader.Set("Content-Type", "text/plain") }, "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.spoil != nil {
				tc.spoil(tc.exchange)
			}
			checker := newChecker(c, allowances{ignored: []string{"x"}})
			err := checker.check(tc.exchange)
			if tc.want == "" {
				require.NoError(t, err)
				require.NotEmpty(t, checker.seen)
				return
			}
			require.ErrorContains(t, err, tc.want)
			require.Empty(t, checker.seen, "what is wrong shows nothing")
		})
	}
}

// TestAllowances: what tests may do on purpose, and no more than that.
func TestAllowances(t *testing.T) {
	c := newChecker(documented(t), allowances{madeUp: []string{"TestMadeUp"}, credentials: []string{"TestOther"}})
	gone := refused(http.MethodGet, "/v1/org", 404, "not_found", "m")
	require.NoError(t, c.check(gone))
	require.Empty(t, c.seen, "what is made up shows nothing")
	gone.Test = "TestMadeUpToo"
	require.ErrorContains(t, c.check(gone), "the status 404 is not documented")
	require.ErrorContains(t, c.check(refused(http.MethodGet, "/v1/org", 404, "internal", "m")), "came with 404")
	require.ErrorContains(t, c.check(made(http.MethodGet, "/v1/org", "", 404, `{"error":"gone"}`)), "want object")

	e := readOrg()
	e.RequestHeader.Del("Authorization")
	e.Test = "TestOther/here"
	require.NoError(t, c.check(e))
}

// TestUnseen: what the document has and no exchange shows is told.
func TestUnseen(t *testing.T) {
	const aStatus, aProperty = "        '200': {$ref: '#/components/responses/Org'}\n", "        plan: {type: string, "
	text := docs.OpenAPI
	for _, change := range [][2]string{
		{aStatus, aStatus + "        '202': {$ref: '#/components/responses/Org'}\n"},
		{aProperty, "        gone: {type: integer}\n" + aProperty},
		{"\n  /org:\n", "\n  /orgs:\n    get: {operationId: orgs, responses: {'200': {$ref: '#/components/responses/Org'}}}\n\n  /org:\n"},
		{"[agent, org, default]", "[agent, org, default, none]"},
	} {
		require.Contains(t, text, change[0])
		text = strings.Replace(text, change[0], change[1], 1)
	}
	loaded, err := load(text)
	require.NoError(t, err)
	c := newChecker(loaded, allowances{})
	require.NoError(t, c.check(changeOrg()))
	require.NoError(t, c.check(readOrg()))
	require.Subset(t, c.unseen(), []string{
		"GET /orgs", "GET /orgs: 200", "GET /org: 202", "GET /org: 401", "any operation: 500", "NoEndpoint", "/components/parameters/IfMatch/schema",
		"/components/schemas/Org/properties/gone", "/components/schemas/Org/properties/plan", "/components/schemas/Org/properties/resolved_hourly_rate_source: org",
		"/components/schemas/Event/properties/resolved_hourly_rate_source: none", "/components/schemas/BatchResult/properties/event",
		"/components/schemas/Price/properties/priced_as", "/components/schemas/UsageSent/properties/images",
		"/paths/~1org/patch/requestBody/content/application~1json/schema/properties/currency",
	})
	for _, shown := range []string{
		"GET /org", "GET /org: 200", "PATCH /org", "/components/schemas/Org/properties/org_id",
		"/components/schemas/Org/properties/resolved_hourly_rate_source: default",
		"/paths/~1org/patch/requestBody/content/application~1json/schema/properties/reason",
	} {
		require.NotContains(t, c.unseen(), shown)
		require.Contains(t, c.obligations(), shown)
	}
}

// TestSlipsInADocument: what would silently mean nothing is refused.
func TestSlipsInADocument(t *testing.T) {
	for name, change := range map[string][2]string{
		"keyword":           {"minLength: 1", "minlength: 1"},
		"keyword, deep":     {"exclusiveMinimum: 0", "above: 0"},
		"name in a header":  {"required: true\n      schema: {type: integer", "require: true\n      schema: {type: integer"},
		"schema":            {"'#/components/schemas/Outcome'", "'#/components/schemas/Outcom'"},
		"response":          {"'#/components/responses/Org'", "'#/components/responses/Orgs'"},
		"parameter":         {"'#/components/parameters/IfMatch'", "'#/components/parameters/ifMatch'"},
		"example":           {"'#/components/examples/Event'", "'#/components/examples/event'"},
		"type":              {"type: integer, minimum: 1, description: 1 is", "type: whole, minimum: 1, description: 1 is"},
		"pattern":           {"^[A-Z]{3}$", "^[A-Z{3}$"},
		"security":          {"[{apiKey: ['reports:read']}]", "[{key: ['reports:read']}]"},
		"body without need": {"required: true\n        content", "required: false\n        content"},
		"key that is twice": {"      operationId: getOrg\n", "      operationId: getOrg\n      operationId: getOrg\n"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, docs.OpenAPI, change[0])
			_, err := load(strings.Replace(docs.OpenAPI, change[0], change[1], 1))
			require.Error(t, err)
		})
	}
}

// TestDocumentedExample: the example of the document is what the API answers.
func TestDocumentedExample(t *testing.T) {
	l := loader{}
	require.NoError(t, decodeDocument(docs.OpenAPI, &l.doc))
	request, err := json.Marshal(l.doc.Components.Examples["TrackRequest"].Value)
	require.NoError(t, err)
	event := l.doc.Components.Examples["Event"].Value
	want, err := json.Marshal(event)
	require.NoError(t, err)

	store := memory.New()
	clock := func() time.Time { return time.Date(2026, 5, 6, 10, 42, 1, 0, time.UTC) }
	tracker, err := humanhours.New(store, humanhours.Config{
		Clock: clock, NewID: func(time.Time) (string, error) { return event.(map[string]any)["event_id"].(string), nil },
	})
	require.NoError(t, err)
	api, err := httpadapter.New(tracker, httpadapter.Config{
		Authenticate: func(*http.Request) (humanhours.Caller, error) { return humanhours.Caller{}, nil },
	})
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/track", bytes.NewReader(request))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	got, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, w.Code, string(got))
	require.JSONEq(t, string(want), string(got))
}
