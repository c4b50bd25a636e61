// Package compact is for stores that keep events where nobody else reads them. Its form of an event has a third of the size of Event.AppendStored, and
// is written and read in a fraction of the time. It leaves out what such a store has beside it: the org, the id and both instants.
//
// It is a list of fields. A field is a byte that says which one it is, and its value. The two high bits of the byte say what the value is: a whole
// number (a varint), a text (its length and itself, or the number of a word), a decimal (exponent and coefficient), or a block (its length and
// itself). So a release steps over fields that it does not know. What is zero or absent has no field.
package compact

import (
	"encoding/binary"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// Kinds of values.
const (
	numbers  = 0x00
	texts    = 0x40
	decimals = 0x80
	blocks   = 0xc0
	kindBits = 0xc0
)

// filler is no field: nothing that follows counts.
const filler = 0

// Fields. One may be added at the end of its kind, and none may become another: they are in what is stored.
const (
	testFlag = numbers + 1 + iota
	uncreditedFlag
	hoursScale
	moneyScale
	priceDate // in days since 1970-01-01, as fxDate
	fxDate
	usage // the first of the counts, of which there may be 16
	_     = usage + 16
)

const (
	keyID = texts + 1 + iota
	agentID
	taskType
	outcome
	model
	baselineSource
	rateSource
	currency
	costSource
	precision
	unpriced
	unpricedModel
	pricedAs
	priceCurrency
	priceSource
	priceVersion
	fxSource
	inputExcerpt
	outputExcerpt
)

const (
	duration = decimals + 1 + iota
	baseline
	rate
	hoursSaved
	costSaved
	agentCost
	netSaved
	perRequest
	fxRate
	price // the first of the prices of the counts
)

const (
	metadata = blocks + 1 + iota
	call
)

const day = 24 * 60 * 60 // seconds

// sameModel is the word for the model of the event, as what it was priced as.
const sameModel = 0

// words are texts that come all the time. A release cannot read an event with a word that it does not know: one may be added at the end, and be written
// by word in a release after that.
var words = [...]string{
	sameModel: "", "success", "failure", "needs_review", "request", "override", "builtin", "custom", "fallback", "agent", "org", "default",
	"provided", "computed", "none", "exact", "estimated", "EUR", "USD", "GBP", "CHF", "openrouter", "ECB",
}

// word returns the number of a word.
func word(s string) (int, bool) {
	switch s {
	case "success":
		return 1, true
	case "failure":
		return 2, true
	case "needs_review":
		return 3, true
	case "request":
		return 4, true
	case "override":
		return 5, true
	case "builtin":
		return 6, true
	case "custom":
		return 7, true
	case "fallback":
		return 8, true
	case "agent":
		return 9, true
	case "org":
		return 10, true
	case "default":
		return 11, true
	case "provided":
		return 12, true
	case "computed":
		return 13, true
	case "none":
		return 14, true
	case "exact":
		return 15, true
	case "estimated":
		return 16, true
	case "EUR":
		return 17, true
	case "USD":
		return 18, true
	case "GBP":
		return 19, true
	case "CHF":
		return 20, true
	case "openrouter":
		return 21, true
	case "ECB":
		return 22, true
	}
	return 0, false
}

// counts are those of a usage, in the order of their fields.
func counts(u *humanhours.Usage) [9]*humanhours.NullInt64 {
	return [...]*humanhours.NullInt64{
		&u.TokensIn, &u.TokensOut, &u.TokensCacheRead, &u.TokensCacheWrite, &u.TokensCacheWrite1h, &u.TokensReasoning, &u.TokensAudio, &u.Images, &u.WebSearches,
	}
}

// units are the prices of the counts.
func units(p *humanhours.Price) [9]*decimal.NullDecimal {
	return [...]*decimal.NullDecimal{&p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.Audio, &p.Image, &p.WebSearch}
}

// Append appends an event without its org, its id and its instants.
func Append(dst []byte, e *humanhours.Event) []byte {
	dst = appendText(dst, keyID, e.KeyID)
	if e.Test {
		dst = append(dst, testFlag, 0)
	}
	if !e.Credited {
		dst = append(dst, uncreditedFlag, 0)
	}
	dst = appendNumber(dst, hoursScale, int64(e.Scale.Hours))
	dst = appendNumber(dst, moneyScale, int64(e.Scale.Money))
	dst = appendText(dst, agentID, e.AgentID)
	dst = appendText(dst, taskType, e.TaskType)
	dst = appendWord(dst, outcome, string(e.Outcome))
	dst = appendNull(dst, duration, &e.AgentDuration)
	dst = appendDecimal(dst, baseline, e.Baseline.Minutes)
	dst = appendWord(dst, baselineSource, string(e.Baseline.Source))
	dst = appendDecimal(dst, rate, e.HourlyRate.Amount)
	dst = appendWord(dst, rateSource, string(e.HourlyRate.Source))
	dst = appendWord(dst, currency, e.Currency)
	dst = appendDecimal(dst, hoursSaved, e.HoursSaved)
	dst = appendDecimal(dst, costSaved, e.CostSaved)
	dst = appendNull(dst, agentCost, &e.AgentCost)
	dst = appendDecimal(dst, netSaved, e.NetSaved)
	dst = appendWord(dst, costSource, string(e.Cost.Source))
	dst = appendWord(dst, precision, string(e.Cost.Precision))
	dst = appendWord(dst, unpriced, string(e.Cost.Unpriced))
	dst = appendText(dst, unpricedModel, e.Cost.UnpricedModel)
	dst = appendCall(dst, e.Model, &e.Usage, &e.Cost.Price, &e.Cost.FX)
	for i := range e.LLMCalls {
		c := &e.LLMCalls[i]
		block := appendCall(nil, c.Model, &c.Usage, &c.Price, &c.FX)
		dst = append(binary.AppendUvarint(append(dst, call), uint64(len(block))), block...)
	}
	if len(e.Metadata) > 0 {
		dst = append(binary.AppendUvarint(append(dst, metadata), uint64(len(e.Metadata))), e.Metadata...)
	}
	dst = appendText(dst, inputExcerpt, e.AuditSample.InputExcerpt)
	return appendText(dst, outputExcerpt, e.AuditSample.OutputExcerpt)
}

// appendCall appends what a call used and what that costs.
func appendCall(dst []byte, name string, u *humanhours.Usage, p *humanhours.Price, fx *humanhours.ExchangeRate) []byte {
	dst = appendText(dst, model, name)
	for i, n := range counts(u) {
		if n.Valid {
			dst = binary.AppendVarint(append(dst, byte(usage+i)), n.Int64)
		}
	}
	if p.Model == "" {
		return dst
	}
	if p.Model == name {
		dst = append(dst, pricedAs, sameModel<<1|1)
	} else {
		dst = appendText(dst, pricedAs, p.Model)
	}
	for i, unit := range units(p) {
		dst = appendNull(dst, byte(price+i), unit)
	}
	dst = appendNull(dst, perRequest, &p.Request)
	dst = appendWord(dst, priceCurrency, p.Currency)
	dst = appendWord(dst, priceSource, p.Source)
	dst = appendText(dst, priceVersion, p.Version)
	dst = binary.AppendVarint(append(dst, priceDate), daysOf(p.Date))
	if fx.To == "" {
		return dst
	}
	dst = appendNull(dst, fxRate, &decimal.NullDecimal{Decimal: fx.Rate, Valid: true})
	dst = appendWord(dst, fxSource, fx.Source)
	return binary.AppendVarint(append(dst, fxDate), daysOf(fx.Date))
}

// daysOf returns the day that t is in, UTC.
func daysOf(t time.Time) int64 {
	s := t.Unix()
	if s%day < 0 {
		s -= day
	}
	return s / day
}

func appendNumber(dst []byte, field byte, n int64) []byte {
	if n == 0 {
		return dst
	}
	return binary.AppendVarint(append(dst, field), n)
}

func appendText(dst []byte, field byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, field), uint64(len(s))<<1), s...)
}

func appendWord(dst []byte, field byte, s string) []byte {
	if n, ok := word(s); ok {
		return append(dst, field, byte(n<<1|1))
	}
	return appendText(dst, field, s)
}

// Decimals of more digits or a greater exponent are written as text.
const (
	mostDigits   = 18
	mostExponent = 60
)

func appendDecimal(dst []byte, field byte, d decimal.Decimal) []byte {
	if d.IsZero() {
		return dst
	}
	exp := d.Exponent()
	if exp < -mostExponent || exp > mostExponent || d.NumDigits() > mostDigits {
		text := humanhours.AppendDecimal(nil, d)
		return append(binary.AppendUvarint(append(dst, field, 0), uint64(len(text))), text...)
	}
	return binary.AppendVarint(append(dst, field, byte(exp+mostExponent+1)), d.CoefficientInt64())
}

func appendNull(dst []byte, field byte, d *decimal.NullDecimal) []byte {
	switch {
	case !d.Valid:
		return dst
	case d.Decimal.IsZero():
		return append(dst, field, mostExponent+1, 0)
	}
	return appendDecimal(dst, field, d.Decimal)
}
