package humanhours

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// Bounds of a report.
const (
	MaxReportDimensions = 4                      // that a report is grouped by at once
	MaxReportRows       = 10_000                 // of one report; Report.Truncated says that there were more
	MaxReportRange      = 5*366*24*time.Hour + 1 // from ReportQuery.From to To: five years
	MaxFilterValues     = 100                    // of each filter, each of up to MaxTextLength characters
)

// Dimension is what the rows of a report are grouped by.
type Dimension string

// The dimensions. MetadataDimension makes the others. Hours, days, weeks (ISO 8601) and months are those of ReportQuery.Zone.
const (
	ByAgent          Dimension = "agent"
	ByTaskType       Dimension = "task_type"
	ByCategory       Dimension = "category" // of the task type, as the org's catalogue has it now
	ByModel          Dimension = "model"
	ByOutcome        Dimension = "outcome"
	ByBaselineSource Dimension = "baseline_source"
	ByCostSource     Dimension = "cost_source"
	ByClient         Dimension = "client" // metadata.client, else metadata.client_id
	ByHour           Dimension = "hour"
	ByDay            Dimension = "day"
	ByWeek           Dimension = "week"
	ByMonth          Dimension = "month"
)

const metadataPrefix = "metadata."

// MetadataDimension groups by a member of the events' metadata: by strings, numbers and booleans. Events without it, or with something
// else in it, are a group of their own. The key has up to MaxNameLength characters.
func MetadataDimension(key string) Dimension { return Dimension(metadataPrefix + key) }

// metadataKey returns the key of a MetadataDimension.
func (d Dimension) metadataKey() (string, bool) {
	key, ok := strings.CutPrefix(string(d), metadataPrefix)
	return key, ok && key != "" && utf8.RuneCountInString(key) <= MaxNameLength
}

func (d Dimension) valid() bool {
	switch d {
	case ByAgent, ByTaskType, ByCategory, ByModel, ByOutcome, ByBaselineSource, ByCostSource, ByClient, ByHour, ByDay, ByWeek, ByMonth:
		return true
	}
	_, ok := d.metadataKey()
	return ok
}

// ReportSort is the order of the rows of a report. Rows that it leaves equal are in the order of their dimensions.
type ReportSort string

// The orders. A "-" before one of them turns it round.
const (
	SortDimensions ReportSort = "" // by the values of the dimensions, then by currency
	SortEvents     ReportSort = "events"
	SortHours      ReportSort = "hours_saved"
	SortCost       ReportSort = "cost_saved"
	SortAgentCost  ReportSort = "agent_cost"
	SortNet        ReportSort = "net_saved"
)

// ReportQuery asks for a report about the events of one org. Its zero value asks for the totals of all live events.
type ReportQuery struct {
	// Period is 24h, 7d, 30d, 90d, ytd or all instead of From and To: see Period. Empty: From and To.
	Period string
	// From and To bound OccurredAt, [From, To). Zero: no bound. At most five years apart if both are set.
	From, To time.Time
	// Filter leaves out events.
	Filter ReportFilter
	// GroupBy lists up to MaxReportDimensions dimensions, each once. Empty: one row for each currency.
	GroupBy []Dimension
	// Zone is where hours, days, weeks and months begin. Defaults to UTC.
	Zone *time.Location
	Sort ReportSort
	// Top keeps that many rows of the order, 1 to MaxReportRows. 0: MaxReportRows. Totals are those of all rows.
	Top int
	// Test reports about the events of test keys, instead of those of live ones.
	Test bool
	// Range adds what the events would have saved at the low and at the high end of the evidence for their baselines.
	Range bool
}

// ReportFilter keeps the events that match every one of its fields. An empty list matches all.
type ReportFilter struct {
	Agents, TaskTypes, Models []string  // any of these
	Outcomes                  []Outcome // any of these
	// Metadata keeps events whose metadata has one of these values under a key: the text of a string or of a boolean, or a number, however
	// it is written.
	Metadata map[string][]string
}

// Report is what a ReportQuery asked for. All sums are exact, and Totals are the sums of the events whatever they are grouped by.
type Report struct {
	From, To  time.Time // of the query, or of its period; zero: no bound
	GroupBy   []Dimension
	Range     bool        // of the query
	Rows      []ReportRow // only where there are events
	Totals    []ReportSums
	Caveats   ReportCaveats
	Truncated bool // there were more rows; Totals are those of all of them
}

// ReportRow is a group of events in one currency.
type ReportRow struct {
	Values []ReportValue // of ReportQuery.GroupBy, in that order
	ReportSums
}

// ReportSums are sums of events in one currency. Amounts in different currencies are never added.
type ReportSums struct {
	Currency   string
	Events     int64
	HoursSaved decimal.Decimal
	CostSaved  decimal.Decimal
	AgentCost  decimal.Decimal // of the events that have one
	NetSaved   decimal.Decimal // may be negative
	// Conservative and Optimistic are set with ReportQuery.Range: what the same events save if a person needs as little, or as much, as the
	// catalogue's evidence has it now. A baseline without a range (from the request, an override, a fallback) counts as it is.
	Conservative, Optimistic *Savings
}

// Savings are sums of what events save.
type Savings struct {
	HoursSaved, CostSaved, NetSaved decimal.Decimal
}

// ReportCaveats is what a reader of a report should know.
type ReportCaveats struct {
	Failures       int64    // of the counted events: they save nothing and cost what they cost
	Unpriced       int64    // of the counted events: their agent cost is not known, and counts as 0
	UnpricedModels []string // their models, sorted; of more than 100, the first by name
	Voided         int64    // events that match but were voided
	LeftOut        int64    // events of test keys that match but for that; 0 in a report about those
}

// ReportValue is the value that a group has in one dimension. It is comparable.
type ReportValue struct {
	Text string
	Kind ReportValueKind
}

// ReportValueKind is what a ReportValue is.
type ReportValueKind uint8

// The kinds, in the order in which they are sorted.
const (
	MissingValue ReportValueKind = iota // the events have none
	BoolValue                           // Text is true or false
	NumberValue                         // Text is a number of JSON
	TextValue
)

func textValue(s string) ReportValue {
	if s == "" {
		return ReportValue{}
	}
	return ReportValue{Text: s, Kind: TextValue}
}

// AppendJSON appends v as a JSON value: null if it is missing.
func (v ReportValue) AppendJSON(dst []byte) []byte {
	switch v.Kind {
	case MissingValue:
		return append(dst, "null"...)
	case TextValue:
		return appendString(dst, v.Text)
	}
	return append(dst, v.Text...)
}

// Compare orders by kind, then by text; numbers by their value, and those of more than 64 characters or far from any that people write behind
// all others.
func (v ReportValue) Compare(o ReportValue) int {
	if v.Kind != o.Kind || v.Kind != NumberValue {
		return cmp.Or(cmp.Compare(v.Kind, o.Kind), strings.Compare(v.Text, o.Text))
	}
	a, moderateA := moderate(v.Text)
	b, moderateB := moderate(o.Text)
	switch {
	case moderateA && moderateB:
		return a.Cmp(b)
	case moderateA:
		return -1
	case moderateB:
		return 1
	}
	return strings.Compare(v.Text, o.Text)
}

// moderate reads a number of unknown origin, if it is one on which arithmetic ends soon.
func moderate(text string) (decimal.Decimal, bool) {
	const longest = 64
	if len(text) > longest {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil && -100 <= d.Exponent() && d.Exponent() <= 100
}

// validate names the first field that is wrong, by its name over HTTP.
func (q *ReportQuery) validate() error {
	if len(q.GroupBy) > MaxReportDimensions {
		return invalid("group_by", "must have at most "+strconv.Itoa(MaxReportDimensions)+" dimensions")
	}
	for i, d := range q.GroupBy {
		switch {
		case !d.valid():
			e := invalid("group_by", "has an unknown dimension "+strconv.Quote(string(d)))
			e.Hint = "Use agent, task_type, category, model, outcome, baseline_source, cost_source, client, hour, day, week, month or metadata.<key>."
			return e
		case slices.Contains(q.GroupBy[:i], d):
			return invalid("group_by", "has "+string(d)+" twice")
		}
	}
	name, down := strings.CutPrefix(string(q.Sort), "-")
	switch by := ReportSort(name); {
	case by == SortDimensions && !down:
	case slices.Contains([]ReportSort{SortEvents, SortHours, SortCost, SortAgentCost, SortNet}, by):
	default:
		return invalid("sort", "must be events, hours_saved, cost_saved, agent_cost or net_saved, or one of them with a - before it")
	}
	switch {
	case q.Top < 0 || q.Top > MaxReportRows:
		return invalid("top", "must be 1 to "+string(appendGrouped(nil, MaxReportRows)))
	case !q.From.IsZero() && (q.From.UTC().Year() < 1 || q.From.UTC().Year() > 9999):
		return invalid("from", "must be in the years 1 to 9999, in UTC")
	case !q.To.IsZero() && (q.To.UTC().Year() < 1 || q.To.UTC().Year() > 9999):
		return invalid("to", "must be in the years 1 to 9999, in UTC")
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return invalid("to", "must not be before from")
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Sub(q.From) > MaxReportRange:
		return invalid("from", "must be at most five years before to")
	}
	return q.Filter.validate()
}

func (f *ReportFilter) validate() error {
	for _, list := range []struct {
		field  string
		values []string
	}{{"agent_id", f.Agents}, {"task_type", f.TaskTypes}, {"model", f.Models}} {
		if err := checkFilter(list.field, list.values); err != nil {
			return err
		}
	}
	for _, o := range f.Outcomes {
		if !o.Valid() {
			return invalid("outcome", ruleOutcome)
		}
	}
	if len(f.Metadata) > MaxFilterValues {
		return invalid("metadata", "must have at most "+strconv.Itoa(MaxFilterValues)+" filters")
	}
	for key, values := range f.Metadata {
		field := metadataPrefix + key
		if _, ok := Dimension(field).metadataKey(); !ok {
			return invalid("metadata", "keys must be 1 to 200 characters")
		}
		if err := checkFilter(field, values); err != nil {
			return err
		}
	}
	return nil
}

func checkFilter(field string, values []string) error {
	if len(values) > MaxFilterValues {
		return invalid(field, "must have at most "+strconv.Itoa(MaxFilterValues)+" values")
	}
	for _, value := range values {
		if utf8.RuneCountInString(value) > MaxTextLength {
			return invalid(field, "must be at most "+strconv.Itoa(MaxTextLength)+" characters")
		}
	}
	return nil
}

// Report aggregates the events of the caller's org. Its plan must include reports.
func (t *Tracker) Report(ctx context.Context, c Caller, q ReportQuery) (Report, error) {
	return t.report(ctx, c, q, MaxReportRows)
}

// report is Report with up to most rows.
func (t *Tracker) report(ctx context.Context, c Caller, q ReportQuery, most int) (Report, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return Report{}, err
	}
	if err := t.unlocked(org.Plan, FeatureReports); err != nil {
		return Report{}, err
	}
	if err := q.validate(); err != nil {
		return Report{}, err
	}
	if q.From, q.To, err = resolvePeriod(q.Period, q.From, q.To, q.Zone, t.now()); err != nil {
		return Report{}, err
	}
	r, err := t.addUp(ctx, q, most, &org.Org)
	if err != nil {
		return Report{}, err
	}
	return r.report(), nil
}

// addUp adds up the sums that the store keeps, if it does and they can answer q, or else the events. Its error is an *Error.
func (t *Tracker) addUp(ctx context.Context, q ReportQuery, most int, org *Org) (*reporter, error) {
	r, err := newReporter(q, most, org), errors.ErrUnsupported
	if by, ok := q.rollupDimension(); ok && t.sums != nil {
		err = r.addRollups(ctx, t.store, t.sums, by)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		r = newReporter(q, most, org)
		err = r.addEvents(ctx, t.store)
	}
	var e *Error
	if err != nil && !errors.As(err, &e) {
		err = unread("the store", err)
	}
	return r, err
}

// category is that of a task type as the org's catalogue has it now; empty if it has none.
func (o *Org) category(key string) string {
	if tt, ok := builtins()[key]; ok {
		return tt.Category
	}
	return o.TaskTypes[key].Category
}

// reporter aggregates a stream of events.
type reporter struct {
	q      ReportQuery
	filter filter
	org    *Org // for its catalogue
	zone   *time.Location

	rows     map[string]*reportGroup
	most     int           // rows of the report
	bound    []ReportValue // rows behind this one are dropped, if there is one
	key      []byte        // of the event that is being added
	values   []ReportValue
	totals   map[string]*reportSum
	caveats  ReportCaveats
	unpriced map[string]bool // models
	dropped  bool            // rows
	size     int             // of what rows holds, in bytes
}

type reportGroup struct {
	values   []ReportValue
	currency string
	reportSum
}

func newReporter(q ReportQuery, most int, org *Org) *reporter {
	r := &reporter{
		q: q, filter: newFilter(&q.Filter), most: most, org: org, zone: q.Zone,
		rows: make(map[string]*reportGroup), totals: make(map[string]*reportSum), unpriced: make(map[string]bool),
		values: make([]ReportValue, len(q.GroupBy)),
	}
	if r.zone == nil {
		r.zone = time.UTC
	}
	if q.Top > 0 {
		r.most = q.Top
	}
	return r
}

func (r *reporter) addAll(events iter.Seq2[Event, error]) error {
	for e, err := range events {
		if err != nil {
			return err
		}
		if err := r.add(&e); err != nil {
			return err
		}
	}
	return nil
}

// maxUnpricedModels bounds ReportCaveats.UnpricedModels.
const maxUnpricedModels = 100

func (r *reporter) add(e *Event) error {
	if matches, err := r.filter.matches(e); err != nil || !matches {
		return err
	}
	sum := e.Rollup()
	var low, high ROI
	if r.q.Range && sum.Events > 0 && e.Test == r.q.Test {
		current := e.Current()
		low, high = r.org.savingsRange(&current)
	}
	for i, d := range r.q.GroupBy {
		var err error
		if r.values[i], err = r.value(d, e); err != nil {
			return err
		}
	}
	return r.count(&sum, &low, &high)
}

// addRollup adds a sum that a store keeps of events at about an instant, in the zone of the report.
func (r *reporter) addRollup(sum *Rollup, at time.Time) error {
	f := &r.filter
	if !among(f.agents, sum.Agent) || !among(f.taskTypes, sum.TaskType) || !among(f.models, sum.Model) || !among(f.outcomes, sum.Outcome) {
		return nil
	}
	e := Event{AgentID: sum.Agent, TaskType: sum.TaskType, Model: sum.Model, Outcome: sum.Outcome, OccurredAt: at}
	for i, d := range r.q.GroupBy {
		r.values[i], _ = r.value(d, &e) // an error is one of metadata
	}
	return r.count(sum, &ROI{}, &ROI{})
}

// count adds what some events add, and what these save at both ends of the evidence, to the group of r.values.
func (r *reporter) count(sum *Rollup, low, high *ROI) error {
	if sum.Test != r.q.Test {
		if sum.Test {
			r.caveats.LeftOut += sum.Events + sum.Voided
		}
		return nil
	}
	r.caveats.Voided += sum.Voided
	if sum.Events == 0 {
		return nil
	}
	r.caveats.Failures += sum.Failures
	r.caveats.Unpriced += sum.Unpriced
	if sum.Unpriced > 0 && sum.UnpricedModel != "" {
		r.unprice(sum.UnpricedModel)
	}
	r.key = r.key[:0]
	for _, v := range r.values {
		r.key = append(r.key, byte(v.Kind))
		r.key = strconv.AppendInt(r.key, int64(len(v.Text)), 10)
		r.key = append(append(r.key, ':'), v.Text...)
	}
	r.key = append(r.key, sum.Currency...)
	total := r.totals[sum.Currency]
	if total == nil {
		total = &reportSum{}
		r.totals[sum.Currency] = total
	}
	total.add(sum, low, high)
	group := r.rows[string(r.key)]
	if group == nil {
		if r.bound != nil && compareValues(r.values, r.bound) > 0 {
			r.dropped = true
			return nil
		}
		if err := r.makeRoom(); err != nil {
			return err
		}
		group = &reportGroup{values: slices.Clone(r.values), currency: sum.Currency}
		r.rows[string(r.key)] = group
		r.size += 2 * len(r.key)
	}
	group.add(sum, low, high)
	return nil
}

// unprice notes a model without a price. Of too many, the first by name are kept, in whatever order they come.
func (r *reporter) unprice(model string) {
	r.unpriced[model] = true
	if len(r.unpriced) <= 10*maxUnpricedModels {
		return
	}
	last := slices.Sorted(maps.Keys(r.unpriced))[maxUnpricedModels]
	maps.DeleteFunc(r.unpriced, func(model string, _ bool) bool { return model >= last })
}

// savingsRange is what an event saves at both ends of the evidence for its baseline.
func (o *Org) savingsRange(e *Event) (low, high ROI) {
	least, most := e.Baseline.Minutes, e.Baseline.Minutes
	var tt TaskType
	switch e.Baseline.Source {
	case BaselineBuiltin:
		tt = builtins()[e.TaskType]
	case BaselineCustom:
		tt = o.TaskTypes[e.TaskType]
	}
	// The catalogue may have changed since: what the event was computed from is in its range in any case.
	if tt.LowMinutes.Valid {
		least = decimal.Min(least, tt.LowMinutes.Decimal)
	}
	if tt.HighMinutes.Valid {
		most = decimal.Max(most, tt.HighMinutes.Decimal)
	}
	roi := func(minutes decimal.Decimal) ROI {
		return computeROI(minutes, e.AgentDuration.Decimal, e.HourlyRate.Amount, e.AgentCost, e.Credited, e.Scale)
	}
	return roi(least), roi(most)
}

// maxReportSize bounds the texts of all groups, in bytes: a member of metadata can have 16 KiB.
const maxReportSize = 64 << 20

// maxReportGroups is how many groups are kept in memory. That is enough to sort any report that somebody reads.
const maxReportGroups = 10 * MaxReportRows

// makeRoom keeps the groups few enough for one more. In the order of the dimensions it is known which will not be among the first, whatever
// comes; in the order of sums it is not.
func (r *reporter) makeRoom() error {
	if r.most > maxReportGroups { // whoever asks for so many has them in memory anyway
		return nil
	}
	if r.size > maxReportSize {
		e := invalid("group_by", "makes groups by texts that are too large together")
		e.Hint = "Take another dimension, a shorter period or a filter."
		return e
	}
	if len(r.rows) < max(maxReportGroups, 2*r.most) {
		return nil
	}
	if r.q.Sort != SortDimensions {
		e := invalid("group_by", "makes more than "+string(appendGrouped(nil, maxReportGroups))+" groups, too many to sort by a sum")
		e.Hint = "Sort by the dimensions, or take a shorter period, a filter or fewer dimensions."
		return e
	}
	groups := slices.SortedFunc(maps.Values(r.rows), func(a, b *reportGroup) int {
		return cmp.Or(compareValues(a.values, b.values), strings.Compare(a.currency, b.currency))
	})
	last := groups[r.most] // one more than the report has: so it knows that there are more
	r.bound, r.dropped = last.values, true
	maps.DeleteFunc(r.rows, func(key string, g *reportGroup) bool {
		drop := compareValues(g.values, r.bound) > 0
		if drop {
			r.size -= 2 * len(key)
		}
		return drop
	})
	return nil
}

func compareValues(a, b []ReportValue) int { return slices.CompareFunc(a, b, ReportValue.Compare) }

// value is what an event has in a dimension.
func (r *reporter) value(d Dimension, e *Event) (ReportValue, error) {
	switch d {
	case ByAgent:
		return textValue(e.AgentID), nil
	case ByTaskType:
		return textValue(e.TaskType), nil
	case ByCategory:
		return textValue(r.org.category(e.TaskType)), nil
	case ByModel:
		return textValue(e.Model), nil
	case ByOutcome:
		return textValue(string(e.Outcome)), nil
	case ByBaselineSource:
		return textValue(string(e.Baseline.Source)), nil
	case ByCostSource:
		return textValue(string(e.Cost.Source)), nil
	case ByClient:
		if v, err := e.member("client"); err != nil || v.Kind != MissingValue {
			return v, err
		}
		return e.member("client_id")
	case ByHour, ByDay, ByWeek, ByMonth:
		return textValue(calendarUnit(d, e.OccurredAt.In(r.zone))), nil
	}
	key, _ := d.metadataKey()
	return e.member(key)
}

// member is a member of the event's metadata as a value.
func (e *Event) member(key string) (ReportValue, error) {
	if e.Metadata == nil {
		return ReportValue{}, nil
	}
	raw, ok := member(e.Metadata, key)
	if !ok { // with white space, or not JSON
		var metadata map[string]json.RawMessage
		if err := json.Unmarshal(e.Metadata, &metadata); err != nil {
			return ReportValue{}, &Error{Code: CodeInternal, Message: "the metadata of event " + e.ID + " is not valid", Err: err}
		}
		raw = metadata[key]
	}
	return metadataValue(raw), nil
}

// calendarUnit names the hour, day, week or month that an instant is in, in its zone. An hour has the offset, because an hour that a clock
// goes through twice is two.
func calendarUnit(d Dimension, local time.Time) string {
	switch d {
	case ByHour:
		return local.Format("2006-01-02T15:00:00Z07:00")
	case ByDay:
		return local.Format(time.DateOnly)
	case ByWeek:
		year, week := local.ISOWeek()
		return strconv.Itoa(year) + "-W" + string([]byte{byte('0' + week/10), byte('0' + week%10)})
	}
	return local.Format("2006-01")
}

// metadataValue is a member of metadata as a value.
func metadataValue(raw json.RawMessage) ReportValue {
	if len(raw) == 0 {
		return ReportValue{}
	}
	switch c := raw[0]; {
	case c == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw):
		return ReportValue{Text: string(raw[1 : len(raw)-1]), Kind: TextValue} // also the empty one
	case c == '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return ReportValue{Text: s, Kind: TextValue}
		}
	case c == 't' || c == 'f':
		return ReportValue{Text: string(raw), Kind: BoolValue}
	case c == '-' || c >= '0' && c <= '9':
		return ReportValue{Text: canonical(string(raw)), Kind: NumberValue}
	}
	return ReportValue{}
}

// canonical writes a number in one way however it came: 4, 4.0 and 4e0 are one value. Numbers far from any that people write stay as they are.
func canonical(number string) string {
	d, ok := moderate(number)
	if !ok {
		return number
	}
	return string(AppendDecimal(nil, d))
}

// filter is a ReportFilter that is ready to be asked about many events.
type filter struct {
	agents, taskTypes, models map[string]bool
	outcomes                  map[Outcome]bool
	metadata                  map[string]wanted
}

// wanted are the values of a member of metadata: as texts, and those that are numbers in one way however they came.
type wanted struct{ texts, numbers map[string]bool }

func newFilter(f *ReportFilter) filter {
	ready := filter{agents: setOf(f.Agents), taskTypes: setOf(f.TaskTypes), models: setOf(f.Models), outcomes: setOf(f.Outcomes)}
	for key, values := range f.Metadata {
		w := wanted{texts: setOf(values), numbers: make(map[string]bool)}
		for _, value := range values {
			w.numbers[canonical(value)] = true
		}
		if ready.metadata == nil {
			ready.metadata = make(map[string]wanted)
		}
		ready.metadata[key] = w
	}
	return ready
}

func setOf[T comparable](list []T) map[T]bool {
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set
}

func (f *filter) matches(e *Event) (bool, error) {
	if !among(f.agents, e.AgentID) || !among(f.taskTypes, e.TaskType) || !among(f.models, e.Model) || !among(f.outcomes, e.Outcome) {
		return false, nil
	}
	for key, w := range f.metadata {
		v, err := e.member(key)
		switch {
		case err != nil || v.Kind == MissingValue:
			return false, err
		case v.Kind == NumberValue && w.numbers[v.Text]:
		case !w.texts[v.Text]:
			return false, nil
		}
	}
	return true, nil
}

// among reports whether v is in a set, of which an empty one stands for everything.
func among[T comparable](set map[T]bool, v T) bool { return len(set) == 0 || set[v] }

// reportSum adds events up.
type reportSum struct {
	events                      int64
	hours, cost, agentCost, net Sum
	low, high                   savingsSum
}

type savingsSum struct{ hours, cost, net Sum }

func (s *savingsSum) add(roi *ROI) {
	s.hours.Add(roi.HoursSaved)
	s.cost.Add(roi.CostSaved)
	s.net.Add(roi.NetSaved)
}

func (s *savingsSum) savings() *Savings {
	return &Savings{HoursSaved: s.hours.Decimal(), CostSaved: s.cost.Decimal(), NetSaved: s.net.Decimal()}
}

// add adds what some events add, and what they save at both ends of the evidence.
func (s *reportSum) add(sum *Rollup, low, high *ROI) {
	s.events += sum.Events
	s.hours.AddSum(&sum.HoursSaved)
	s.cost.AddSum(&sum.CostSaved)
	s.agentCost.AddSum(&sum.AgentCost)
	s.net.AddSum(&sum.NetSaved)
	s.low.add(low)
	s.high.add(high)
}

func (r *reporter) sums(s *reportSum, currency string) ReportSums {
	sums := ReportSums{
		Currency: currency, Events: s.events,
		HoursSaved: s.hours.Decimal(), CostSaved: s.cost.Decimal(), AgentCost: s.agentCost.Decimal(), NetSaved: s.net.Decimal(),
	}
	if r.q.Range {
		sums.Conservative, sums.Optimistic = s.low.savings(), s.high.savings()
	}
	return sums
}

func (r *reporter) report() Report {
	report := Report{From: r.q.From, To: r.q.To, GroupBy: r.q.GroupBy, Range: r.q.Range, Caveats: r.caveats, Rows: make([]ReportRow, 0, len(r.rows))}
	for _, group := range r.rows {
		report.Rows = append(report.Rows, ReportRow{Values: group.values, ReportSums: r.sums(&group.reportSum, group.currency)})
	}
	for currency, total := range r.totals {
		report.Totals = append(report.Totals, r.sums(total, currency))
	}
	slices.SortFunc(report.Totals, func(a, b ReportSums) int { return strings.Compare(a.Currency, b.Currency) })
	for model := range r.unpriced {
		report.Caveats.UnpricedModels = append(report.Caveats.UnpricedModels, model)
	}
	slices.Sort(report.Caveats.UnpricedModels)
	report.Caveats.UnpricedModels = slices.Clip(report.Caveats.UnpricedModels[:min(maxUnpricedModels, len(report.Caveats.UnpricedModels))])
	report.order(r.q.Sort)
	if len(report.Rows) > r.most || r.dropped {
		report.Truncated = r.q.Top == 0
		report.Rows = slices.Clip(report.Rows[:min(r.most, len(report.Rows))])
	}
	return report
}

// order sorts the rows.
func (r *Report) order(by ReportSort) {
	name, down := strings.CutPrefix(string(by), "-")
	slices.SortFunc(r.Rows, func(a, b ReportRow) int {
		c := 0
		switch ReportSort(name) {
		case SortEvents:
			c = cmp.Compare(a.Events, b.Events)
		case SortHours:
			c = a.HoursSaved.Cmp(b.HoursSaved)
		case SortCost:
			c = a.CostSaved.Cmp(b.CostSaved)
		case SortAgentCost:
			c = a.AgentCost.Cmp(b.AgentCost)
		case SortNet:
			c = a.NetSaved.Cmp(b.NetSaved)
		}
		if down {
			c = -c
		}
		return cmp.Or(c, compareValues(a.Values, b.Values), strings.Compare(a.Currency, b.Currency))
	})
}
