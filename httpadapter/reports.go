package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

const metadataParameter = "metadata."

// span is what the parameters say about time and events, which all reports have in common.
type span struct {
	period   string
	from, to time.Time
	zone     *time.Location
	filter   humanhours.ReportFilter
	test     bool
}

// parameters reads a query. A parameter that it does not know is refused: a misspelt filter would make a report about something else.
type parameters struct {
	values url.Values
	err    error
}

// only refuses parameters that are not among names, and those of metadata unless they are allowed.
func (p *parameters) only(names []string, metadata bool) {
	for name, values := range p.values {
		if metadata && strings.HasPrefix(name, metadataParameter) && name != metadataParameter {
			continue
		}
		if !slices.Contains(names, name) {
			message := "there is no parameter " + strconv.Quote(name) + " here"
			if len(names) > 0 {
				message += "; there are " + strings.Join(names, ", ")
			}
			p.fail(name, message)
			return
		}
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			p.fail(name, name+" was sent more than once")
			return
		}
	}
}

// repeatable are the filters that take any of several values.
var repeatable = []string{"agent_id", "task_type", "model", "outcome"}

// spanNames are the parameters of a span.
var spanNames = []string{"period", "from", "to", "tz", "agent_id", "task_type", "model", "outcome", "mode"}

func (p *parameters) fail(field, message string) {
	if p.err == nil {
		p.err = invalid(field, message)
	}
}

// span reads the time and the filters.
func (p *parameters) span() (s span) {
	s.zone = time.UTC
	if name := p.values.Get("tz"); name != "" {
		zone, err := time.LoadLocation(name)
		if err != nil || !geographic(name) {
			p.fail("tz", `tz must be a zone of the IANA database, such as "Europe/Berlin"`)
		} else {
			s.zone = zone
		}
	}
	s.from, s.to = p.instant("from"), p.instant("to")
	if p.values.Has("period") && p.values.Get("period") == "" {
		p.fail("period", "period must not be empty")
	}
	if s.period = p.values.Get("period"); s.period == "" && !p.values.Has("from") && !p.values.Has("to") {
		s.period = "30d"
	}
	s.filter.Agents, s.filter.TaskTypes, s.filter.Models = p.values["agent_id"], p.values["task_type"], p.values["model"]
	for _, outcome := range p.values["outcome"] {
		s.filter.Outcomes = append(s.filter.Outcomes, humanhours.Outcome(outcome))
	}
	for name, values := range p.values {
		if key, ok := strings.CutPrefix(name, metadataParameter); ok {
			if s.filter.Metadata == nil {
				s.filter.Metadata = make(map[string][]string)
			}
			s.filter.Metadata[key] = values
		}
	}
	s.test = p.mode()
	return s
}

// geographic refuses what is found among zones and is none of a place: the server's own, and those that count leap seconds.
func geographic(name string) bool {
	switch first, _, _ := strings.Cut(strings.ToLower(name), "/"); first {
	case "local", "localtime", "posixrules", "factory", "right", "posix":
		return false
	}
	return true
}

// mode reports whether test events are asked for.
func (p *parameters) mode() bool {
	switch mode := p.values.Get("mode"); mode {
	case "", "live":
		return false
	case "test":
		return true
	}
	p.fail("mode", "mode must be live or test")
	return false
}

// instant reads an RFC 3339 instant; zero if there is none.
func (p *parameters) instant(name string) time.Time {
	text := p.values.Get(name)
	if text == "" {
		if p.values.Has(name) {
			p.fail(name, name+` must be an RFC 3339 instant such as "2026-05-06T10:42:00.000Z"`)
		}
		return time.Time{}
	}
	at, err := parseInstant(text)
	if err != nil {
		p.fail(name, name+` must be an RFC 3339 instant such as "2026-05-06T10:42:00.000Z"`)
	}
	return at
}

// count reads a whole number from 1 to most; 0 if there is none.
func (p *parameters) count(name string, most int) int {
	text := p.values.Get(name)
	if text == "" && !p.values.Has(name) {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		p.fail(name, name+" must be a whole number from 1 to "+strconv.Itoa(most))
		return 0
	}
	return n
}

// flag reads true or false; false if there is none.
func (p *parameters) flag(name string) bool {
	switch text := p.values.Get(name); {
	case text == "true":
		return true
	case text != "false" && p.values.Has(name):
		p.fail(name, name+" must be true or false")
	}
	return false
}

// groupBy reads the dimensions.
func (p *parameters) groupBy() (list []humanhours.Dimension) {
	if !p.values.Has("group_by") {
		return []humanhours.Dimension{humanhours.ByAgent}
	}
	for name := range strings.SplitSeq(p.values.Get("group_by"), ",") {
		list = append(list, humanhours.Dimension(name))
	}
	return list
}

// format reports whether CSV is asked for.
func (p *parameters) csv() bool {
	switch format := p.values.Get("format"); format {
	case "", "json":
		return false
	case "csv":
		return true
	}
	p.fail("format", "format must be json or csv")
	return false
}

// parameters parses the query of a request.
func (req request) parameters(names []string, metadata bool) (*parameters, error) {
	values, err := req.query()
	if err != nil {
		return nil, err
	}
	p := &parameters{values: values}
	p.only(names, metadata)
	return p, p.err
}

// ranked answers GET /v1/reports/time-saved and cost-saved: groups of events, those first that saved most.
func (a *API) ranked(sort humanhours.ReportSort) func(context.Context, request) (reply, error) {
	return func(ctx context.Context, req request) (reply, error) {
		p, err := req.parameters(append([]string{"group_by", "sort", "top", "format", "range"}, spanNames...), true)
		if err != nil {
			return reply{}, err
		}
		by := sort
		if p.values.Has("sort") {
			switch by = humanhours.ReportSort(p.values.Get("sort")); by {
			case "dimensions":
				by = humanhours.SortDimensions
			case "":
				p.fail("sort", "sort must not be empty")
			}
		}
		return a.answerReport(ctx, req, p, p.groupBy(), by, p.count("top", humanhours.MaxReportRows))
	}
}

// leaderboardTop is how many rows a leaderboard has.
const leaderboardTop = 10

// leaderboard answers GET /v1/reports/leaderboard.
func (a *API) leaderboard(ctx context.Context, req request) (reply, error) {
	p, err := req.parameters(append([]string{"group_by", "metric", "top", "format", "range"}, spanNames...), true)
	if err != nil {
		return reply{}, err
	}
	metric := humanhours.SortHours
	if p.values.Has("metric") {
		metric = humanhours.ReportSort(p.values.Get("metric"))
	}
	if !slices.Contains([]humanhours.ReportSort{humanhours.SortHours, humanhours.SortCost, humanhours.SortNet, humanhours.SortEvents}, metric) {
		p.fail("metric", "metric must be hours_saved, cost_saved, net_saved or events")
	}
	top := p.count("top", humanhours.MaxReportRows)
	if top == 0 {
		top = leaderboardTop
	}
	return a.answerReport(ctx, req, p, p.groupBy(), "-"+metric, top)
}

func (a *API) answerReport(
	ctx context.Context, req request, p *parameters, by []humanhours.Dimension, sort humanhours.ReportSort, top int,
) (reply, error) {
	s := p.span()
	asCSV, withRange := p.csv(), p.flag("range")
	if p.err != nil {
		return reply{}, p.err
	}
	report, err := a.tracker.Report(ctx, req.caller, humanhours.ReportQuery{
		Period: s.period, From: s.from, To: s.to, Filter: s.filter, GroupBy: by, Zone: s.zone, Sort: sort, Top: top, Test: s.test, Range: withRange,
	})
	if err != nil {
		return reply{}, err
	}
	if asCSV {
		answer := csvReply("report.csv", reportCSV(&report))
		answer.truncated = report.Truncated
		return answer, nil
	}
	return reply{status: http.StatusOK, body: append(appendReport(nil, &report), '\n')}, nil
}

// appendReport appends a report as JSON.
func appendReport(dst []byte, r *humanhours.Report) []byte {
	dst = append(dst, `{"rows":[`...)
	for i := range r.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRow(dst, r.GroupBy, &r.Rows[i])
	}
	dst = append(dst, `],"totals":[`...)
	for i := range r.Totals {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendSums(append(dst, '{'), &r.Totals[i]), '}')
	}
	dst = append(append(dst, `],"caveats":`...), trimmed(encode(newCaveatsJSON(&r.Caveats)))...)
	dst = appendBounds(dst, r.From, r.To)
	if r.Truncated {
		dst = append(dst, `,"truncated":true`...)
	}
	return append(dst, '}')
}

func trimmed(line []byte) []byte { return line[:len(line)-1] } // without the end of the line

func appendBounds(dst []byte, from, to time.Time) []byte {
	return append(append(append(append(dst, `,"from":`...), boundJSON(from)...), `,"to":`...), boundJSON(to)...)
}

// boundJSON is a bound of a period; null if there is none.
func boundJSON(t time.Time) json.RawMessage {
	if t.IsZero() {
		return json.RawMessage("null")
	}
	return trimmed(encode(instantJSON(t)))
}

// appendRow appends a row: its dimensions by their names, then its sums.
func appendRow(dst []byte, by []humanhours.Dimension, row *humanhours.ReportRow) []byte {
	dst = append(dst, '{')
	for i, d := range by {
		dst = append(append(dst, trimmed(encode(string(d)))...), ':')
		dst = append(row.Values[i].AppendJSON(dst), ',')
	}
	return append(appendSums(dst, &row.ReportSums), '}')
}

// appendSums appends the members of sums.
func appendSums(dst []byte, s *humanhours.ReportSums) []byte {
	dst = append(append(dst, `"currency":`...), trimmed(encode(s.Currency))...)
	dst = strconv.AppendInt(append(dst, `,"events":`...), s.Events, 10)
	for _, sum := range amounts(s) {
		dst = append(append(append(dst, `,"`...), sum.name...), `":`...)
		dst = humanhours.AppendDecimal(dst, sum.value)
	}
	return dst
}

type amount struct {
	name  string
	value decimal.Decimal
}

// amounts are the amounts of sums by their names, in the order of the columns.
func amounts(s *humanhours.ReportSums) []amount {
	list := []amount{{"hours_saved", s.HoursSaved}, {"cost_saved", s.CostSaved}, {"agent_cost", s.AgentCost}, {"net_saved", s.NetSaved}}
	for _, end := range []struct {
		name    string
		savings *humanhours.Savings
	}{{"_conservative", s.Conservative}, {"_optimistic", s.Optimistic}} {
		if end.savings != nil {
			list = append(list, amount{"hours_saved" + end.name, end.savings.HoursSaved}, amount{"cost_saved" + end.name, end.savings.CostSaved},
				amount{"net_saved" + end.name, end.savings.NetSaved})
		}
	}
	return list
}

// caveatsJSON is what a reader of a report should know.
type caveatsJSON struct {
	Failures       int64    `json:"failures"`
	Unpriced       int64    `json:"unpriced"`
	UnpricedModels []string `json:"unpriced_models,omitempty"`
	Voided         int64    `json:"voided_left_out"`
	LeftOut        int64    `json:"test_events_left_out"`
}

func newCaveatsJSON(c *humanhours.ReportCaveats) caveatsJSON {
	return caveatsJSON{Failures: c.Failures, Unpriced: c.Unpriced, UnpricedModels: c.UnpricedModels, Voided: c.Voided, LeftOut: c.LeftOut}
}

// summary answers GET /v1/reports/summary.
func (a *API) summary(ctx context.Context, req request) (reply, error) {
	p, err := req.parameters(spanNames, true)
	if err != nil {
		return reply{}, err
	}
	s := p.span()
	if p.err != nil {
		return reply{}, p.err
	}
	sum, err := a.tracker.Summary(ctx, req.caller, humanhours.SummaryQuery{Period: s.period, From: s.from, To: s.to, Filter: s.filter, Zone: s.zone, Test: s.test})
	if err != nil {
		return reply{}, err
	}
	dst := []byte(`{"totals":[`)
	for i := range sum.Totals {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSums(append(dst, '{'), &sum.Totals[i].ReportSums)
		if sum.Totals[i].FTE.Valid {
			dst = humanhours.AppendDecimal(append(dst, `,"fte":`...), sum.Totals[i].FTE.Decimal)
		}
		dst = append(dst, '}')
	}
	dst = append(append(dst, `],"outcomes":`...), trimmed(encode(map[string]int64{
		"success":      sum.Outcomes[humanhours.OutcomeSuccess],
		"failure":      sum.Outcomes[humanhours.OutcomeFailure],
		"needs_review": sum.Outcomes[humanhours.OutcomeNeedsReview],
	}))...)
	dst = append(dst, `,"success_rate":`...)
	if rate := numberJSON(sum.SuccessRate); rate != nil {
		dst = append(dst, rate...)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"previous":`...)
	if sum.Previous == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, `{"totals":[`...)
		for i := range sum.Previous.Totals {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendSums(append(dst, '{'), &sum.Previous.Totals[i]), '}')
		}
		dst = append(appendBounds(append(dst, ']'), sum.Previous.From, sum.Previous.To), '}')
	}
	dst = append(dst, `,"trend":[`...)
	for i := range sum.Trend {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRow(dst, []humanhours.Dimension{humanhours.ByDay}, &sum.Trend[i])
	}
	dst = append(append(dst, `],"caveats":`...), trimmed(encode(newCaveatsJSON(&sum.Caveats)))...)
	dst = append(appendBounds(dst, sum.From, sum.To), "}\n"...)
	return reply{status: http.StatusOK, body: dst}, nil
}

// usageReportJSON is the answer of GET /v1/reports/usage.
type usageReportJSON struct {
	Plan      string `json:"plan,omitempty"`
	Currency  string `json:"currency"`
	Events    int64  `json:"events_this_month"`
	Included  *int64 `json:"events_included_in_plan"` // null: any number
	Remaining *int64 `json:"remaining"`
	Start     string `json:"period_start"`
	End       string `json:"period_end"`
}

// usage answers GET /v1/reports/usage.
func (a *API) usage(ctx context.Context, req request) (reply, error) {
	if _, err := req.parameters(nil, false); err != nil {
		return reply{}, err
	}
	u, err := a.tracker.MonthUsage(ctx, req.caller)
	if err != nil {
		return reply{}, err
	}
	body := usageReportJSON{Plan: u.Plan, Currency: u.Currency, Events: u.Events, Start: instantJSON(u.Start), End: instantJSON(u.End)}
	if u.Included.Valid {
		remaining := u.Remaining().Int64
		body.Included, body.Remaining = &u.Included.Int64, &remaining
	}
	return reply{status: http.StatusOK, body: encode(body)}, nil
}
