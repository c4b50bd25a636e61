package compact

import (
	"bytes"
	"errors"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

var errDamaged = errors.New("a stored event is damaged, or was written by a newer release")

// Decode reads what Append wrote into an event that is zero but for its org, its id and its instants. A sparse one lacks what EventQuery.Sparse says.
func Decode(data []byte, e *humanhours.Event, sparse bool) error {
	e.Credited = true
	r := reader{data: data}
	for r.more() {
		field := r.byte()
		if field == filler {
			break
		}
		switch field {
		case testFlag:
			r.varint()
			e.Test = true
		case agentID:
			e.AgentID = r.text()
		case taskType:
			e.TaskType = r.text()
		case outcome:
			e.Outcome = humanhours.Outcome(r.text())
		case model:
			e.Model = r.text()
		case baselineSource:
			e.Baseline.Source = humanhours.BaselineSource(r.text())
		case currency:
			e.Currency = r.text()
		case hoursSaved:
			e.HoursSaved = r.decimal()
		case costSaved:
			e.CostSaved = r.decimal()
		case agentCost:
			e.AgentCost = decimal.NewNullDecimal(r.decimal())
		case netSaved:
			e.NetSaved = r.decimal()
		case costSource:
			e.Cost.Source = humanhours.CostSource(r.text())
		case unpricedModel:
			e.Cost.UnpricedModel = r.text()
		case metadata:
			e.Metadata = bytes.Clone(r.block())
		default:
			if sparse {
				r.skip(field)
			} else {
				r.field(field, e)
			}
		}
	}
	if r.bad {
		return errDamaged
	}
	return nil
}

// field reads one that a sparse event lacks.
func (r *reader) field(field byte, e *humanhours.Event) {
	switch field {
	case keyID:
		e.KeyID = r.text()
	case uncreditedFlag:
		r.varint()
		e.Credited = false
	case hoursScale:
		e.Scale.Hours = r.scale()
	case moneyScale:
		e.Scale.Money = r.scale()
	case duration:
		e.AgentDuration = decimal.NewNullDecimal(r.decimal())
	case baseline:
		e.Baseline.Minutes = r.decimal()
	case rate:
		e.HourlyRate.Amount = r.decimal()
	case rateSource:
		e.HourlyRate.Source = humanhours.RateSource(r.text())
	case precision:
		e.Cost.Precision = humanhours.CostPrecision(r.text())
	case unpriced:
		e.Cost.Unpriced = humanhours.UnpricedReason(r.text())
	case inputExcerpt:
		e.AuditSample.InputExcerpt = r.text()
	case outputExcerpt:
		e.AuditSample.OutputExcerpt = r.text()
	case call:
		one := reader{data: r.block()}
		e.LLMCalls = append(e.LLMCalls, humanhours.PricedCall{})
		c := &e.LLMCalls[len(e.LLMCalls)-1]
		for one.more() {
			one.call(one.byte(), &c.Model, &c.Usage, &c.Price, &c.FX, e.Currency)
		}
		r.bad = r.bad || one.bad
	default:
		r.call(field, &e.Model, &e.Usage, &e.Cost.Price, &e.Cost.FX, e.Currency)
	}
}

// call reads a field of what a call used and what that cost, in the order in which appendCall writes them.
func (r *reader) call(field byte, name *string, u *humanhours.Usage, p *humanhours.Price, fx *humanhours.ExchangeRate, currency string) {
	switch field {
	case model:
		*name = r.text()
	case pricedAs:
		if p.Model = r.text(); p.Model == words[sameModel] {
			p.Model = *name
		}
	case perRequest:
		p.Request = decimal.NewNullDecimal(r.decimal())
	case priceCurrency:
		p.Currency = r.text()
	case priceSource:
		p.Source = r.text()
	case priceVersion:
		p.Version = r.text()
	case priceDate:
		p.Date = r.date()
	case fxRate:
		fx.From, fx.To, fx.Rate = p.Currency, currency, r.decimal()
	case fxSource:
		fx.Source = r.text()
	case fxDate:
		fx.Date = r.date()
	default:
		if n := int(field) - usage; n >= 0 && n < len(counts(u)) {
			*counts(u)[n] = humanhours.Int64(r.varint())
		} else if n := int(field) - price; n >= 0 && n < len(units(p)) {
			*units(p)[n] = decimal.NewNullDecimal(r.decimal())
		} else {
			r.skip(field)
		}
	}
}

// Redact appends data without the fields that a redaction erases. Fields of a newer release stay.
func Redact(dst, data []byte) ([]byte, error) {
	r := reader{data: data}
	for r.more() {
		start := r.at
		field := r.byte()
		if field == filler {
			break
		}
		r.skip(field)
		if r.bad {
			break
		}
		if field != metadata && field != inputExcerpt && field != outputExcerpt {
			dst = append(dst, data[start:r.at]...)
		}
	}
	if r.bad {
		return dst, errDamaged
	}
	return dst, nil
}

// reader takes fields apart. Once it is bad, it has no more.
type reader struct {
	data []byte
	at   int
	bad  bool
}

func (r *reader) more() bool { return !r.bad && r.at < len(r.data) }

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.bad = true
		return 0
	}
	r.at++
	return r.data[r.at-1]
}

func (r *reader) uvarint() uint64 {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) varint() int64 {
	n := r.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.data)-r.at) {
		r.bad = true
		return nil
	}
	r.at += int(n)
	return r.data[r.at-int(n) : r.at]
}

func (r *reader) block() []byte { return r.take(r.uvarint()) }

func (r *reader) text() string {
	n := r.uvarint()
	if n&1 == 0 {
		return string(r.take(n >> 1)) // of its own: a part of the whole would keep all of it in memory, as long as anybody has the text
	}
	if n >>= 1; n >= uint64(len(words)) {
		r.bad = true
		return ""
	}
	return words[n]
}

func (r *reader) decimal() decimal.Decimal {
	exp := r.byte()
	switch {
	case exp == 0:
		d, err := decimal.NewFromString(string(r.block()))
		r.bad = r.bad || err != nil
		return d
	case exp > 2*mostExponent+1:
		r.bad = true
		return decimal.Decimal{}
	}
	n := r.varint()
	if n == 0 {
		return decimal.Decimal{}
	}
	return decimal.New(n, int32(exp)-mostExponent-1)
}

// scale reads decimals of a Scale. More of them than any has could fill the memory later.
func (r *reader) scale() int32 {
	n := r.varint()
	r.bad = r.bad || n < 0 || n > 18
	return int32(n)
}

func (r *reader) date() time.Time { return time.Unix(r.varint()*day, 0).UTC() }

// skip steps over the value of a field.
func (r *reader) skip(field byte) {
	switch field & kindBits {
	case numbers:
		r.varint()
	case texts:
		if n := r.uvarint(); n&1 == 0 {
			r.take(n >> 1)
		}
	case decimals:
		if r.byte() == 0 {
			r.block()
		} else {
			r.varint()
		}
	case blocks:
		r.block()
	}
}
