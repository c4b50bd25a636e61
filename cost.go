package humanhours

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// All arithmetic on money and hours is in this file, and all of it is exact: shopspring/decimal, rounded only
// where a comment says so, half away from zero.

// Scale is the number of decimals that results are rounded to. The zero value means DefaultScale; when one field is
// set, a zero in the other means no decimals.
type Scale struct {
	Hours int32 // of hours_saved
	Money int32 // of cost_saved, agent_cost and net_saved
}

// maxScale is the most decimals that a result may be rounded to. It keeps a corrupt scale from filling the memory with zeros.
const maxScale = 18

func (s Scale) valid() bool {
	return 0 <= s.Hours && s.Hours <= maxScale && 0 <= s.Money && s.Money <= maxScale
}

func (s Scale) orDefault() Scale {
	if s == (Scale{}) {
		return DefaultScale()
	}
	return s
}

// DefaultScale is the published rule: hours to 3 decimals, money to 9.
func DefaultScale() Scale { return Scale{Hours: 3, Money: 9} }

// inputScale is the number of decimals that every number in a request is kept to. Further digits (the
// 0.30000000000000004 of a float) are rounded away before anything is computed.
const inputScale = 9

// Upper bounds of what a caller may send. They are inclusive, and low enough that every
// amount on an event fits an int64 of 1e-9 units (8,760 hours x 1e6 = 8.76e9 < 9.22e9).
const (
	MaxBaselineMinutes = 525_600      // 365 days
	MaxDurationSeconds = 366 * 86_400 // 366 days
	MaxAgentCost       = 1_000_000_000
	MaxHourlyRate      = 1_000_000
	MaxTokens          = 1_000_000_000_000
)

// ROIInput is what the saving of one task is computed from.
type ROIInput struct {
	BaselineMinutes decimal.Decimal     // what a person needs, 0 to MaxBaselineMinutes
	AgentSeconds    decimal.Decimal     // what the agent needed, 0 to MaxDurationSeconds
	HourlyRate      decimal.Decimal     // what an hour of that person costs, 0 to MaxHourlyRate
	AgentCost       decimal.NullDecimal // what the run cost, 0 to MaxAgentCost; not Valid: unknown
	Outcome         Outcome
	// Credit decides whether an outcome saves anything. Defaults to DefaultCredit.
	Credit func(Outcome) bool
	// Scale is what the results are rounded to, 0 to 18 decimals. Defaults to DefaultScale().
	Scale Scale
}

// ROI is what one task saved.
type ROI struct {
	HoursSaved decimal.Decimal     // hours, never negative
	CostSaved  decimal.Decimal     // HoursSaved x hourly rate
	AgentCost  decimal.NullDecimal // not Valid: unknown, and then not subtracted
	NetSaved   decimal.Decimal     // CostSaved - AgentCost; may be negative
}

// DefaultCredit is the published rule: success and needs_review are credited, a failure saves nothing. A run that
// failed left the work to be done by a person.
func DefaultCredit(o Outcome) bool { return o == OutcomeSuccess || o == OutcomeNeedsReview }

// ComputeROI computes what one task saved. It is pure: it needs no Tracker, no store and no clock.
// A Tracker answers with exactly these numbers for the same input.
//
//	hours_saved = round(max(0, baseline_minutes - agent_seconds/60) / 60)   to 3 decimals
//	cost_saved  = round(hours_saved x hourly_rate)                          from the rounded hours, to 9 decimals
//	net_saved   = cost_saved - (agent_cost or 0)
//
// An outcome that is not credited saves 0 hours; its cost still counts. Inputs are rounded to 9 decimals first. An input
// that is negative or over its bound, or an unknown outcome, is a CodeValidation error that names the field
// as in a TrackRequest.
func ComputeROI(in ROIInput) (ROI, error) {
	var err error
	if in.BaselineMinutes, err = checkNumber("human_baseline_minutes", in.BaselineMinutes, MaxBaselineMinutes); err != nil {
		return ROI{}, err
	}
	if in.AgentSeconds, err = checkNumber("agent_duration_seconds", in.AgentSeconds, MaxDurationSeconds); err != nil {
		return ROI{}, err
	}
	if in.HourlyRate, err = checkNumber("hourly_rate", in.HourlyRate, MaxHourlyRate); err != nil {
		return ROI{}, err
	}
	if in.AgentCost.Valid {
		if in.AgentCost.Decimal, err = checkNumber("agent_cost", in.AgentCost.Decimal, MaxAgentCost); err != nil {
			return ROI{}, err
		}
	}
	if !in.Outcome.Valid() {
		return ROI{}, invalid("outcome", ruleOutcome)
	}
	if !in.Scale.valid() {
		return ROI{}, invalid("scale", "must be 0 to 18 decimals")
	}
	credit := in.Credit
	if credit == nil {
		credit = DefaultCredit
	}
	return computeROI(in.BaselineMinutes, in.AgentSeconds, in.HourlyRate, in.AgentCost, credit(in.Outcome), in.Scale), nil
}

// computeROI is ComputeROI on numbers that are known to be in range.
func computeROI(minutes, seconds, rate decimal.Decimal, cost decimal.NullDecimal, credited bool, scale Scale) ROI {
	scale = scale.orDefault()
	if roi, ok := smallROI(minutes, seconds, rate, cost, credited, scale); ok {
		return roi
	}
	return wideROI(minutes, seconds, rate, cost, credited, scale)
}

// wideROI is computeROI for numbers of any size.
func wideROI(minutes, seconds, rate decimal.Decimal, cost decimal.NullDecimal, credited bool, scale Scale) ROI {
	var roi ROI
	if credited {
		// One division by 3600 instead of two by 60: the result is rounded once.
		saved := minutes.Mul(decimal.NewFromInt(60)).Sub(seconds)
		if saved.IsPositive() {
			roi.HoursSaved = saved.DivRound(decimal.NewFromInt(3600), scale.Hours)
		}
		roi.CostSaved = round(roi.HoursSaved.Mul(rate), scale.Money)
	}
	roi.NetSaved = roi.CostSaved
	if cost.Valid {
		roi.AgentCost = decimal.NewNullDecimal(round(cost.Decimal, scale.Money))
		roi.NetSaved = roi.CostSaved.Sub(roi.AgentCost.Decimal)
	}
	return roi
}

// smallROI is computeROI for small numbers; false: they are not.
func smallROI(minutes, seconds, rate decimal.Decimal, cost decimal.NullDecimal, credited bool, scale Scale) (roi ROI, ok bool) {
	var hours, money small
	if credited {
		if saved := smallOf(minutes).times(small{n: 60}).minus(smallOf(seconds)); saved.wide || saved.n > 0 {
			hours = saved.over(3600, -scale.Hours)
			hours.exp = -scale.Hours
		}
		money = hours.times(smallOf(rate)).rounded(scale.Money)
	}
	net := money
	if cost.Valid {
		amount := smallOf(cost.Decimal)
		rounded := amount.rounded(scale.Money)
		if net = money.minus(rounded); net.wide {
			return ROI{}, false
		}
		roi.AgentCost = cost
		if rounded != amount {
			roi.AgentCost.Decimal = rounded.decimal()
		}
	}
	if net.wide {
		return ROI{}, false
	}
	roi.HoursSaved, roi.CostSaved, roi.NetSaved = hours.decimal(), money.decimal(), net.decimal()
	return roi, true
}

// Recompute computes the results of e again from what is frozen on it: the same numbers as e.ROI for every stored event,
// whatever the catalogue, the rates, the price book and the Config say today.
func (e *Event) Recompute() ROI {
	scale := e.Scale.orDefault()
	cost := e.AgentCost // provided: the amount is itself the input
	if e.Cost.Source == CostComputed {
		cost = decimal.NewNullDecimal(e.computedCost(scale.Money))
	}
	return computeROI(e.Baseline.Minutes, e.AgentDuration.Decimal, e.HourlyRate.Amount, cost, e.Credited, scale)
}

// round rounds half away from zero, and leaves a number alone that has no more than that many decimals.
func round(d decimal.Decimal, places int32) decimal.Decimal {
	if d.Exponent() >= -places {
		return d
	}
	return d.Round(places)
}

var (
	errNegative = errors.New("must not be negative")
	errTooLarge = errors.New("is too large")
)

// keep rounds d to places and holds it against the bounds 0 and limit. It compares magnitudes before it computes, so
// that 1e999999999 costs nothing: rescaling such a number would fill the memory.
func keep(d decimal.Decimal, limit int64, places int32) (decimal.Decimal, error) {
	switch d.Sign() {
	case -1:
		return decimal.Decimal{}, errNegative
	case 0:
		return decimal.Decimal{}, nil // also for 0e999999999
	}
	magnitude := int64(d.NumDigits()) + int64(d.Exponent()) // 10^(magnitude-1) <= d < 10^magnitude
	if magnitude > smallDigits+1 {
		return decimal.Decimal{}, errTooLarge // no limit has more digits
	}
	if magnitude < -int64(places) {
		return decimal.Decimal{}, nil // less than a tenth of the last place
	}
	d = round(d, places)
	if magnitude <= smallDigits && powers[max(magnitude, 0)] <= limit {
		return d, nil // the usual case: fewer digits
	}
	if over := smallOf(d).minus(small{n: limit}); over.wide && d.GreaterThan(decimal.NewFromInt(limit)) || over.n > 0 {
		return decimal.Decimal{}, errTooLarge
	}
	return d, nil
}

// checkNumber is keep for a number that a caller sent in field.
func checkNumber(field string, d decimal.Decimal, limit int64) (decimal.Decimal, error) {
	kept, err := keep(d, limit, inputScale)
	switch {
	case errors.Is(err, errNegative):
		return kept, invalid(field, "must not be negative")
	case err != nil:
		return kept, invalid(field, "must be at most "+string(appendGrouped(nil, limit)))
	}
	return kept, nil
}

// appendGrouped appends n with thousands separators: "525,600".
func appendGrouped(dst []byte, n int64) []byte {
	if n >= 1000 {
		dst = append(appendGrouped(dst, n/1000), ',')
		return append(dst, byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
	}
	return AppendDecimal(dst, decimal.NewFromInt(n))
}

// CostSource says where the run cost of an event came from.
type CostSource string

// The sources, strongest first.
const (
	CostProvided CostSource = "provided" // sent with the request
	CostComputed CostSource = "computed" // tokens x price, converted to the org's currency
	CostNone     CostSource = "none"     // unknown, which is not the same as free
)

// UnpricedReason says why a run that named a model or tokens has no cost. The zero value: it has one, or nothing was to be priced.
type UnpricedReason string

// The reasons.
const (
	UnpricedNoModel      UnpricedReason = "no_model"               // tokens without a model
	UnpricedNoTokens     UnpricedReason = "no_tokens"              // a model without tokens
	UnpricedNoPriceBook  UnpricedReason = "no_price_book"          // Config.Prices is nil
	UnpricedUnknownModel UnpricedReason = "unknown_model"          // the book has no such id
	UnpricedDynamic      UnpricedReason = "dynamic_price"          // the provider decides the price run by run
	UnpricedPartial      UnpricedReason = "partial_price"          // a kind of token that was used has no price
	UnpricedNoFX         UnpricedReason = "no_exchange_rate"       // no rate from the price's currency to the org's
	UnpricedOutOfRange   UnpricedReason = "cost_out_of_range"      // the result would be over MaxAgentCost
	UnpricedUnavailable  UnpricedReason = "price_book_unavailable" // the price book or the rates did not answer
)

// PriceBook says what a model costs. Implementations must be safe for concurrent use.
type PriceBook interface {
	// Quote returns the price of q.Model for q.Org at q.At, or in Quote.Unpriced why there is none. q.Model is never
	// empty. It must match ids exactly or by declared aliases; a guess is worse than no price. An error means that the
	// book could not be read; the event is then stored unpriced, with UnpricedUnavailable.
	Quote(ctx context.Context, q PriceQuery) (Quote, error)
}

// PriceQuery asks for the price of one call, or of a whole run.
type PriceQuery struct {
	Org   string
	Model string
	At    time.Time // when the run occurred
	Usage Usage     // what the call consumed, on which a price may depend
	// Totals says that Usage is of a whole run of nobody knows how many calls. Then tiers by the size of the prompt must
	// not be applied: many small calls are not one large one.
	Totals bool
}

// Quote is the answer of a PriceBook.
type Quote struct {
	Price    Price          // the price, if Unpriced is empty
	Unpriced UnpricedReason // why there is none
	// Estimated says that the price is right but for something that the query does not tell, such as the sizes of the calls behind the totals of a run.
	Estimated bool
}

// Price is what the units of a model cost. It is frozen on every event that was priced with it. All prices are in Currency
// and never negative; zero is a price, not Valid is none.
type Price struct {
	Model        string              // the row of the book that was used
	Input        decimal.NullDecimal // per token of Usage.TokensIn
	Output       decimal.NullDecimal // per token of Usage.TokensOut, and so on
	CacheRead    decimal.NullDecimal
	CacheWrite   decimal.NullDecimal
	CacheWrite1h decimal.NullDecimal
	Reasoning    decimal.NullDecimal // not Valid: Output
	Audio        decimal.NullDecimal
	Image        decimal.NullDecimal // per image
	WebSearch    decimal.NullDecimal // per search
	Request      decimal.NullDecimal // per call, on top; not Valid: 0
	Currency     string              // ISO 4217
	Source       string              // whose price list
	Version      string              // which edition of it
	Date         time.Time           // the day of that edition, UTC
}

// unitNames are the prices' names on events, in the order of units.
var unitNames = [kinds]string{
	"price_input_per_token", "price_output_per_token", "price_cache_read_per_token", "price_cache_write_per_token",
	"price_cache_write_1h_per_token", "price_reasoning_per_token", "price_audio_per_token", "price_per_image", "price_per_web_search",
}

// units are the prices of the counts of a Usage, in their order.
func (p *Price) units() [kinds]*decimal.NullDecimal {
	return [kinds]*decimal.NullDecimal{
		&p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.Audio, &p.Image, &p.WebSearch,
	}
}

// freeze leaves of the price what is frozen of it for a usage: input and output, and of the others those that were used. It answers why there is no
// price if one is missing or out of range.
func (p *Price) freeze(u *Usage) UnpricedReason {
	if !p.Reasoning.Valid {
		p.Reasoning = p.Output
	}
	units := p.units()
	for i, n := range u.counts() {
		used := n.Valid && n.Int64 > 0
		switch {
		case used && !units[i].Valid:
			return UnpricedPartial
		case !units[i].Valid, !used && units[i] != &p.Input && units[i] != &p.Output:
			*units[i] = decimal.NullDecimal{}
		case !sane(units[i].Decimal):
			return UnpricedOutOfRange
		}
	}
	switch {
	case !sane(p.Request.Decimal):
		return UnpricedOutOfRange
	case !p.Request.Valid || p.Request.Decimal.IsZero():
		p.Request = decimal.NullDecimal{}
	}
	return ""
}

// Rates converts between currencies. Implementations must be safe for concurrent use.
type Rates interface {
	// Rate returns what one unit of from costs in to, at the given time; false when it is not known. Codes are ISO 4217
	// in upper case and differ. An error means that the rates could not be read.
	Rate(ctx context.Context, from, to string, at time.Time) (ExchangeRate, bool, error)
}

// ExchangeRate is how many units of To one unit of From buys. It is frozen on every event that was priced with it.
type ExchangeRate struct {
	From, To string          // ISO 4217
	Rate     decimal.Decimal // greater than zero
	Source   string          // whose rates
	Date     time.Time       // the day of the rate, UTC
}

// CostPrecision says how sure a computed run cost is.
type CostPrecision string

// The precisions.
const (
	CostExact     CostPrecision = "exact"     // everything that the price depends on was known
	CostEstimated CostPrecision = "estimated" // something was not, such as the sizes of the calls behind the totals of a run
)

// RunCost says where the run cost of an event came from. The amount is ROI.AgentCost.
type RunCost struct {
	Source    CostSource
	Precision CostPrecision  // empty unless Source is CostComputed
	Unpriced  UnpricedReason // why Source is CostNone; empty when the request said nothing that could be priced
	// UnpricedModel is the model of the call that has no price, in a run of several calls; empty in others, whose model is Event.Model.
	UnpricedModel string
	Price         Price        // frozen; zero unless Source is CostComputed, and for a run of several calls, each of which has its own
	FX            ExchangeRate // frozen; zero when the price is in the org's currency
}

// computeCost is what a call cost before that is rounded.
func computeCost(u *Usage, p *Price, fx *ExchangeRate) decimal.Decimal {
	sum := p.Request.Decimal
	units := p.units()
	for i, n := range u.counts() {
		if n.Valid && units[i].Valid {
			sum = sum.Add(decimal.NewFromInt(n.Int64).Mul(units[i].Decimal))
		}
	}
	if fx.To != "" {
		sum = sum.Mul(fx.Rate)
	}
	return sum
}

// smallCost is computeCost for small numbers.
func smallCost(u *Usage, p *Price, fx *ExchangeRate) small {
	sum := smallOf(p.Request.Decimal)
	units := p.units()
	for i, n := range u.counts() {
		if n.Valid && units[i].Valid {
			sum = sum.plus(small{n: n.Int64}.times(smallOf(units[i].Decimal)))
		}
	}
	if fx.To != "" {
		sum = sum.times(smallOf(fx.Rate))
	}
	return sum
}

// computedCost is the run cost of e from its frozen prices, rounded to so many decimals: once, for the sum of all calls.
func (e *Event) computedCost(places int32) decimal.Decimal {
	var sum small
	e.calls(func(u *Usage, p *Price, fx *ExchangeRate) { sum = sum.plus(smallCost(u, p, fx)) })
	if sum = sum.rounded(places); !sum.wide {
		return sum.decimal()
	}
	return e.wideCost(places)
}

// wideCost is computedCost for numbers of any size.
func (e *Event) wideCost(places int32) decimal.Decimal {
	var sum decimal.Decimal
	e.calls(func(u *Usage, p *Price, fx *ExchangeRate) { sum = sum.Add(computeCost(u, p, fx)) })
	return round(sum, places)
}

// calls calls f with each call of the run, or with the totals of the run if it does not list them.
func (e *Event) calls(f func(*Usage, *Price, *ExchangeRate)) {
	if len(e.LLMCalls) == 0 {
		f(&e.Usage, &e.Cost.Price, &e.Cost.FX)
	}
	for i := range e.LLMCalls {
		c := &e.LLMCalls[i]
		f(&c.Usage, &c.Price, &c.FX)
	}
}

// resolveCost fills in what the run of e cost: provided > computed > none. e.Cost is zero before. A book that does not answer costs
// the event its price, not the org its event: reports show it as unpriced, with the reason.
func (t *Tracker) resolveCost(ctx context.Context, e *Event, provided decimal.NullDecimal) {
	switch {
	case provided.Valid:
		e.Cost.Source, e.AgentCost = CostProvided, provided
		return
	case e.Model == "" && e.Usage == (Usage{}) && len(e.LLMCalls) == 0:
		e.Cost.Source = CostNone
		return
	}
	e.Cost.Source, e.Cost.Precision = CostComputed, CostExact
	none := func(reason UnpricedReason, model string) {
		e.Cost = RunCost{Source: CostNone, Unpriced: reason, UnpricedModel: model}
		for i := range e.LLMCalls {
			e.LLMCalls[i].Price, e.LLMCalls[i].FX = Price{}, ExchangeRate{}
		}
	}
	if len(e.LLMCalls) == 0 {
		if reason := t.price(ctx, e, e.Model, &e.Usage, &e.Cost.Price, &e.Cost.FX, true); reason != "" {
			none(reason, "")
			return
		}
	}
	for i := range e.LLMCalls {
		c := &e.LLMCalls[i]
		if reason := t.price(ctx, e, c.Model, &c.Usage, &c.Price, &c.FX, false); reason != "" {
			none(reason, c.Model)
			return
		}
	}
	amount, err := keep(e.computedCost(DefaultScale().Money), MaxAgentCost, DefaultScale().Money)
	if err != nil {
		none(UnpricedOutOfRange, "")
		return
	}
	e.AgentCost = decimal.NewNullDecimal(amount)
}

// price freezes the price of a call of a model, or of the totals of a run, and the exchange rate of its currency. It answers why there is none, and
// notes on e if the price is estimated.
func (t *Tracker) price(ctx context.Context, e *Event, model string, u *Usage, price *Price, fx *ExchangeRate, totals bool) UnpricedReason {
	switch {
	case model == "":
		return UnpricedNoModel
	case *u == (Usage{}):
		return UnpricedNoTokens
	case t.cfg.Prices == nil:
		return UnpricedNoPriceBook
	}
	quote, err := t.cfg.Prices.Quote(ctx, PriceQuery{Org: e.Org, Model: model, At: e.OccurredAt, Usage: *u, Totals: totals})
	if err != nil {
		t.cfg.Logger.WarnContext(ctx, "humanhours: the price book did not answer; the event has no run cost",
			"org", e.Org, "model", model, "error", err)
		return UnpricedUnavailable
	}
	if quote.Unpriced != "" {
		return quote.Unpriced
	}
	if reason := quote.Price.freeze(u); reason != "" {
		return reason
	}
	*price = quote.Price
	if price.Model == "" {
		price.Model = model // a book of one's own need not repeat what it was asked
	}
	// What is frozen must come back from every store as it was answered: days, and valid UTF-8.
	price.Date = day(price.Date)
	for _, text := range [...]*string{&price.Model, &price.Currency, &price.Source, &price.Version} {
		*text = mend(*text)
	}
	// The totals of a run are of one call at least, and nobody knows of how many more.
	if quote.Estimated || totals && price.Request.Valid {
		e.Cost.Precision = CostEstimated
	}
	if price.Currency == e.Currency {
		return ""
	}
	if t.cfg.Rates == nil {
		return UnpricedNoFX
	}
	rate, ok, err := t.cfg.Rates.Rate(ctx, price.Currency, e.Currency, e.OccurredAt)
	switch {
	case err != nil:
		t.cfg.Logger.WarnContext(ctx, "humanhours: the exchange rates did not answer; the event has no run cost",
			"org", e.Org, "from", price.Currency, "to", e.Currency, "error", err)
		return UnpricedUnavailable
	case !ok:
		return UnpricedNoFX
	case !sane(rate.Rate) || rate.Rate.IsZero():
		return UnpricedOutOfRange
	}
	rate.From, rate.To = price.Currency, e.Currency
	rate.Date, rate.Source = day(rate.Date), mend(rate.Source)
	*fx = rate
	return ""
}

// day cuts an instant to its day, UTC.
func day(t time.Time) time.Time {
	if t = t.UTC(); t.Nanosecond() == 0 && t.Unix()%(24*60*60) == 0 {
		return t // as those of a price list are
	}
	return t.Truncate(24 * time.Hour)
}

// mend replaces what is not UTF-8, as every encoder of JSON would.
func mend(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// sane reports whether a price or rate that somebody else's code returned is safe to compute with: not
// negative, and of a size that arithmetic handles at once.
func sane(d decimal.Decimal) bool {
	return d.Sign() >= 0 && d.Exponent() >= -64 && d.Exponent() <= 18 && d.NumDigits() <= 64
}
