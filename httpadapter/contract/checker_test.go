package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
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

// report is a report that was asked for with a query.
func report(query, rows, totals string) *exchange {
	e := made(http.MethodGet, "/v1/reports/time-saved", "", http.StatusOK, `{"rows":[`+rows+`],"totals":[`+totals+
		`],"caveats":{"failures":0,"unpriced":0,"voided_left_out":0,"test_events_left_out":0},"from":null,"to":null}`)
	e.ResponseHeader.Del("ETag")
	e.Query = query
	return e
}

// sums are the sums of a row.
const sums = `"currency":"EUR","events":1,"hours_saved":0.066,"cost_saved":2.97,"agent_cost":0,"net_saved":2.97`

// ranged are those that come with a range.
const ranged = `,"hours_saved_conservative":0,"cost_saved_conservative":0,"net_saved_conservative":-1` +
	`,"hours_saved_optimistic":1,"cost_saved_optimistic":45,"net_saved_optimistic":44`

// csvReport is a report as CSV.
func csvReport(query, lines string) *exchange {
	e := report(query, "", "")
	e.ResponseBody = []byte(lines)
	e.ResponseHeader.Set("Content-Type", "text/csv; charset=utf-8")
	e.ResponseHeader.Set("Content-Disposition", `attachment; filename="report.csv"`)
	return e
}

const (
	sumColumns = "currency,events,hours_saved,cost_saved,agent_cost,net_saved"
	sumCells   = "EUR,1,0.066,2.97,0,2.97"
)

// export is one event as CSV, with one column in another way.
func export(column, cell string) *exchange {
	names, cells := strings.Split(exportColumns, ","), strings.Split(exportCells, ",")
	if i := slices.Index(names, column); i >= 0 {
		cells[i] = cell
	}
	e := csvReport("", strings.Join(names, ",")+"\r\n"+strings.Join(cells, ",")+"\r\n")
	e.Path = "/v1/reports/export"
	e.ResponseHeader.Set("Content-Disposition", `attachment; filename="events.csv"`)
	return e
}

const (
	exportColumns = "event_id,occurred_at,received_at,test,agent_id,task_type,outcome,credited,model,tokens_in,tokens_out,agent_duration_seconds," +
		"resolved_baseline_minutes,resolved_baseline_source,resolved_hourly_rate,resolved_hourly_rate_source,currency,hours_saved,cost_saved,agent_cost," +
		"resolved_cost_source,cost_precision,unpriced_reason,net_saved,metadata"
	exportCells = "evt_1,2026-05-06T10:42:00.000Z,2026-05-06T10:42:01.000Z,false,a,b,success,true,,,,,4,builtin,45,default,EUR,0.066,2.97,,none,,,2.97,"
)

// cut cuts an answer off behind a text, as the recorder does.
func cut(behind string) func(*exchange) {
	return func(e *exchange) {
		start, _, ok := bytes.Cut(e.ResponseBody, []byte(behind))
		if !ok {
			panic(behind)
		}
		e.ResponseBody, e.ResponseCut = append(bytes.Clone(start), behind...), true
	}
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
		"header of a request":           {readOrg(), func(e *exchange) { e.RequestHeader.Set("Idempotency-Key", "k") }, "the header Idempotency-Key is not documented"},
		"value of a header":             {changeOrg(), func(e *exchange) { e.RequestHeader.Set("If-Match", "7") }, "If-Match"},
		"body":                          {readOrg(), func(e *exchange) { e.RequestBody = []byte("{}") }, "none is documented"},
		"member of a request":           {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"currency":"EUR","rate":1}`) }, "not documented: [.rate]"},
		"type of a request":             {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"currency":1}`) }, "got number"},
		"value of a request":            {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1000001}`) }, "maximum"},
		"number beyond all bounds":      {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1e999999999}`) }, "maximum"},
		"number that is rounded":        {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":1000000.0000000004}`) }, ""},
		"number that is close to zero":  {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"default_hourly_rate":-1e-999999999}`) }, ""},
		"good report":                   {report("", `{"agent":"a",`+sums+`}`, `{`+sums+`}`), nil, ""},
		"good report by three":          {report("group_by=model,metadata.a%22,metadata.b", `{"model":null,"metadata.a\"":1.50,"metadata.b":true,`+sums+`}`, ""), nil, ""},
		"good report with a range":      {report("range=true", `{"agent":"a",`+sums+ranged+`}`, `{`+sums+ranged+`}`), nil, ""},
		"good report, cut":              {report("", `{"agent":"a",`+sums+`},{"agent":"b",`+sums+`}`, ""), cut(`{"agent":"b","curr`), ""},
		"good report, cut in totals":    {report("", `{"agent":"a",`+sums+`}`, `{`+sums+`}`), cut(`"totals":[{"currency":"E`), ""},
		"good report, cut at once":      {report("", `{"agent":"a",`+sums+`}`, ""), cut(`{"ro`), ""},
		"good CSV":                      {csvReport("format=csv&group_by=day,metadata.b", "day,metadata.b,"+sumColumns+"\r\n2026-05-06,\"a\r\nb\","+sumCells+"\r\n"), nil, ""},
		"good CSV without lines":        {csvReport("format=csv", "agent,"+sumColumns+"\r\n"), nil, ""},
		"good CSV, cut":                 {csvReport("format=csv", "agent,"+sumColumns+"\r\na,"+sumCells+"\r\n\"b,"+sumCells+"\r\n"), cut("\r\n\"b,EUR"), ""},
		"good export":                   {export("", ""), nil, ""},
		"good export of a refused cost": {export("unpriced_reason", "no_tokens"), nil, ""},
		"good filters":                  {report("metadata.a=1&metadata.a=2&metadata..=3&agent_id=a&agent_id=b&model=&outcome=failure&outcome=success", "", ""), nil, ""},

		"dimension missing":                {report("group_by=agent,day", `{"agent":"a",`+sums+`}`, ""), nil, `"day"`},
		"dimension that nobody asked for":  {report("", `{"agent":"a","model":null,`+sums+`}`, ""), nil, "rows 0"},
		"dimension of the metadata":        {report("group_by=metadata.a", `{"metadata.b":"a",`+sums+`}`, ""), nil, "rows 0"},
		"dimension that there is not":      {report("group_by=agent,team", `{"agent":"a","team":"a",`+sums+`}`, ""), nil, "team"},
		"dimension without a key":          {report("group_by=metadata.", `{"metadata.":"a",`+sums+`}`, ""), nil, "group_by"},
		"dimensions, five":                 {report("group_by=agent,day,week,month,hour", "", ""), nil, "maxItems"},
		"dimensions sent twice":            {report("group_by=agent&group_by=day", "", ""), nil, "more than once"},
		"dimension twice":                  {report("group_by=agent,agent", "", ""), nil, "items at 0 and 1 are equal"},
		"value of a dimension":             {report("group_by=metadata.a", `{"metadata.a":{},`+sums+`}`, ""), nil, "got object"},
		"value of a dimension, later":      {report("group_by=day", `{"day":"2026-05-06",`+sums+`},{"day":"yesterday",`+sums+`}`, ""), nil, "/rows/1/day"},
		"dimension in totals":              {report("", "", `{"agent":"a",`+sums+`}`), nil, "agent"},
		"range that nobody asked for":      {report("range=false", `{"agent":"a",`+sums+ranged+`}`, ""), nil, "rows 0"},
		"range missing":                    {report("range=true", `{"agent":"a",`+sums+`}`, ""), nil, "rows 0"},
		"range missing in totals":          {report("range=true", `{"agent":"a",`+sums+ranged+`}`, `{`+sums+`}`), nil, "totals 0"},
		"row without events":               {report("", `{"agent":"a",`+strings.Replace(sums, ":1,", ":0,", 1)+`}`, ""), nil, "minimum"},
		"row before a cut":                 {report("", `{"agent":1,`+sums+`},{"agent":"b",`+sums+`}`, ""), cut(`{"agent":"b",`), "rows 0"},
		"row with more before a cut":       {report("", `{"agent":"a","day":"2026-05-06",`+sums+`},{"agent":"b",`+sums+`}`, ""), cut(`{"agent":"b",`), "rows 0"},
		"member before a cut":              {made(http.MethodGet, "/v1/org", "", http.StatusOK, `{"extra":1,`+org[1:]), cut(`"org_id":"a`), "extra"},
		"no JSON before a cut":             {report("", `{"agent":"a"],`+sums+`}`, ""), cut(`"totals`), "invalid character"},
		"whole answer, called cut":         {report("", "", ""), cut("null}"), "it is whole"},
		"parameter of another report":      {report("metric=events", "", ""), nil, "the query parameter metric is not documented"},
		"parameter that others ignore":     {report("x=1", "", ""), nil, "the query parameter x is not documented"},
		"parameter twice":                  {report("period=7d&period=7d", "", ""), nil, "more than once"},
		"parameter called metadata":        {report("metadata=x", "", ""), nil, "the query parameter metadata is not documented"},
		"metadata without a key":           {report("metadata.=x", "", ""), nil, "the query parameter metadata. is not documented"},
		"metadata in another case":         {report("Metadata.a=x", "", ""), nil, "the query parameter Metadata.a is not documented"},
		"metadata with another sign":       {report("metadata_a=x", "", ""), nil, "the query parameter metadata_a is not documented"},
		"metadata where there is no such":  {readOrg(), func(e *exchange) { e.Query = "metadata.a=x" }, "the query parameter metadata.a is not documented"},
		"value of a repeated parameter":    {report("outcome=success&outcome=done", "", ""), nil, "outcome"},
		"instant":                          {report("from=yesterday", "", ""), nil, "from"},
		"whole number":                     {report("top=ten", "", ""), nil, "top"},
		"CSV without being asked":          {csvReport("", "agent,"+sumColumns+"\r\n"), nil, `the format ""`},
		"JSON instead of CSV":              {report("format=csv", "", ""), nil, `the format "csv"`},
		"CSV without a name":               {csvReport("format=csv", "agent,"+sumColumns+"\r\n"), func(e *exchange) { e.ResponseHeader.Del("Content-Disposition") }, "belongs to CSV"},
		"JSON with the name of a file":     {report("", "", ""), func(e *exchange) { e.ResponseHeader.Set("Content-Disposition", `attachment; filename="report.csv"`) }, "belongs to CSV"},
		"CSV by another name":              {export("", ""), func(e *exchange) { e.ResponseHeader.Set("Content-Disposition", `attachment; filename="x.csv"`) }, "Content-Disposition"},
		"CSV in another charset":           {export("", ""), func(e *exchange) { e.ResponseHeader.Set("Content-Type", "text/csv") }, "text/csv"},
		"CSV with bare line feeds":         {csvReport("format=csv", "agent,"+sumColumns+"\n"), nil, "CR and LF"},
		"CSV without its last end of line": {csvReport("format=csv", "agent,"+sumColumns), nil, "CR and LF"},
		"CSV without a header":             {csvReport("format=csv", ""), nil, "CR and LF"},
		"columns in another order":         {csvReport("format=csv&group_by=day,agent", "agent,day,"+sumColumns+"\r\n"), nil, "the columns are"},
		"sums in another order":            {csvReport("format=csv", "agent,events,currency"+strings.TrimPrefix(sumColumns, "currency,events")+"\r\n"), nil, "the columns are"},
		"column missing":                   {csvReport("format=csv&range=true", "agent,"+sumColumns+"\r\n"), nil, "the columns are"},
		"column of an export": {export("", ""), func(e *exchange) {
			e.ResponseBody = bytes.Replace(e.ResponseBody, []byte("metadata"), []byte("meta"), 1)
		}, "the columns are"},
		"cell missing":                   {csvReport("format=csv", "agent,"+sumColumns+"\r\n"+sumCells+"\r\n"), nil, "wrong number of fields"},
		"cell before a cut":              {csvReport("format=csv", "agent,"+sumColumns+"\r\na,b,"+sumCells+"\r\na,"+sumCells+"\r\n"), cut("\r\na,EUR"), "wrong number of fields"},
		"cell of an export":              {export("outcome", "done"), nil, "/0/outcome"},
		"number in a cell":               {export("hours_saved", "6.60e-2"), nil, "/0/hours_saved"},
		"instant in a cell":              {export("received_at", "2026-05-06"), nil, "/0/received_at"},
		"reason in a cell":               {export("unpriced_reason", "no"), nil, "/0/unpriced_reason"},
		"plan of a report that all have": {refused(http.MethodGet, "/v1/reports/usage", 403, "feature_locked", "m"), nil, "must be"},

		"nothing of a request":    {changeOrg(), func(e *exchange) { e.RequestBody = []byte(`{"reason":"why"}`) }, "missing"},
		"media type of a request": {changeOrg(), func(e *exchange) { e.RequestHeader.Set("Content-Type", "text/plain") }, "text/plain"},
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
	require.NoError(t, c.check(report("group_by=day,metadata.a&metadata.a=1", `{"day":"2026-05-06","metadata.a":"1",`+sums+`}`, "")))
	misspelt := refused(http.MethodGet, "/v1/reports/time-saved", 422, "validation_error", "m")
	misspelt.Query = "agent=a"
	misspelt.ResponseBody = bytes.Replace(misspelt.ResponseBody, []byte(`"m"`), []byte(`"m","field":"agent"`), 1)
	require.NoError(t, c.check(misspelt))
	require.Subset(t, c.unseen(), []string{
		"GET /orgs", "GET /orgs: 200", "GET /org: 202", "GET /org: 401", "any operation: 500", "NoEndpoint", "/components/parameters/IfMatch/schema",
		"/components/schemas/Org/properties/gone", "/components/schemas/Org/properties/plan", "/components/schemas/Org/properties/resolved_hourly_rate_source: org",
		"/components/schemas/RateSource: none", "/components/schemas/BatchResult/properties/event",
		"/components/schemas/Price/properties/priced_as", "/components/schemas/UsageSent/properties/images",
		"/paths/~1org/patch/requestBody/content/application~1json/schema/properties/currency",
		"GET /reports/usage refuses unknown parameters", "GET /reports/time-saved takes sort", "GET /reports/cost-saved takes metadata",
		"GET /reports/cost-saved: 200 as application/json", "GET /reports/time-saved: 200 as text/csv; charset=utf-8",
		"/components/parameters/GroupBy/schema/items/anyOf/0: month", "/components/schemas/ReportRow/properties/month",
		"/components/schemas/ReportLine/properties/net_saved", "/components/responses/Report/headers/Content-Disposition/schema",
	})
	for _, shown := range []string{
		"GET /reports/time-saved refuses unknown parameters", "GET /reports/time-saved takes metadata", "GET /reports/time-saved: 200 as application/json",
		"/components/parameters/GroupBy/schema/items/anyOf/0: day", "/components/schemas/ReportRow/properties/day",
		`/components/schemas/ReportRow/patternProperties/^metadata\.`,
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
		"type":              {"type: integer, minimum: 1, description: Grows", "type: whole, minimum: 1, description: Grows"},
		"pattern":           {"^[A-Z]{3}$", "^[A-Z{3}$"},
		"style":             {"style: form\n      explode: true", "style: deepObject\n      explode: true"},
		"values in one":     {"      in: query\n      description: The media type", "      in: query\n      explode: false\n      description: The media type"},
		"keyword, in names": {"propertyNames: {pattern: ^metadata", "propertyNames: {begins: ^metadata"},
		"unknown":           {"x-unknown-parameters: refused\n", "x-unknown-parameters: forbidden\n"},
		"columns":           {"received_at,test,agent_id", "test,received_at,agent_id"},
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
