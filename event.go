package humanhours

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go/internal/instant"
)

// Outcome is how a task ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess     Outcome = "success"
	OutcomeFailure     Outcome = "failure"
	OutcomeNeedsReview Outcome = "needs_review"
)

// Valid reports whether o is one of the three outcomes.
func (o Outcome) Valid() bool {
	return o == OutcomeSuccess || o == OutcomeFailure || o == OutcomeNeedsReview
}

// Event is one task that an agent finished, with everything that was resolved for it. Events are immutable: an
// event never changes once it is stored, and it holds every number that is needed to compute its results again.
type Event struct {
	ID    string // "evt_" and a ULID of the receipt time
	Org   string
	KeyID string // the API key that recorded it, valid UTF-8; empty in process
	Test  bool   // recorded with a test key: never counted against the quota

	AgentID       string
	TaskType      string
	Outcome       Outcome
	AgentDuration decimal.NullDecimal // seconds, 9 decimals; not Valid: not sent, counted as 0
	Model         string              // as sent, or that of all LLMCalls if they have one
	Usage                             // as sent, or the sums of LLMCalls
	LLMCalls      []PricedCall
	Metadata      json.RawMessage // a compact JSON object, or nil
	AuditSample   AuditSample
	OccurredAt    time.Time // UTC, milliseconds
	ReceivedAt    time.Time // UTC, milliseconds

	Baseline   Baseline
	HourlyRate HourlyRate
	Currency   string // of every amount in ROI and of HourlyRate, ISO 4217
	Cost       RunCost
	Credited   bool  // whether the outcome was credited with a saving
	Scale      Scale // decimals that the results were rounded to

	ROI // HoursSaved, CostSaved, AgentCost, NetSaved

	// Amendments are the corrections that were made since, in their order. Only Store.Event, Store.Events, Store.Amend and UnmarshalJSON fill
	// them in; they are no part of what is stored of an event, nor of what Equal compares.
	Amendments []Amendment
}

// AuditSample holds excerpts of what went in and came out, for a person who checks the agent's work.
type AuditSample struct {
	InputExcerpt  string `json:"input_excerpt,omitempty"`  // up to 2000 characters
	OutputExcerpt string `json:"output_excerpt,omitempty"` // up to 2000 characters
}

// NullInt64 is a whole number that may be absent, as decimal.NullDecimal is for decimals.
type NullInt64 struct {
	Int64 int64
	Valid bool // false: absent, and Int64 means nothing
}

// Int64 returns n as a number that is present.
func Int64(n int64) NullInt64 { return NullInt64{Int64: n, Valid: true} }

// Clone returns a copy of e that shares no memory with it.
func (e Event) Clone() Event {
	e.Metadata = slices.Clone(e.Metadata)
	e.LLMCalls = slices.Clone(e.LLMCalls)
	e.Amendments = slices.Clone(e.Amendments)
	for i := range e.Amendments {
		e.Amendments[i].LLMCalls = slices.Clone(e.Amendments[i].LLMCalls)
	}
	return e
}

// dateLayout is how the dates of prices and exchange rates are written.
const dateLayout = time.DateOnly

// storedVersion is the version of the stored encoding. It is raised only when an older release
// would misread what a newer one writes; new fields alone are ignored by older releases.
const storedVersion = 1

// MarshalJSON returns the event as POST /v1/track answers it: one flat object, numbers written from their
// decimals and never through a float, absent fields omitted. It leaves out what is of no use to the
// sender (org, key, receipt time, scale); AppendStored keeps that too.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// AppendJSON appends what MarshalJSON returns to dst.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = e.appendPublic(append(dst, '{'))
	if len(e.Amendments) > 0 {
		dst = append(AppendAmendments(append(dst[:len(dst)-1], `,"amendments":`...), e.Amendments), '}')
	}
	return dst
}

// AppendStored appends the encoding that a store may keep: the fields of AppendJSON and what only the system needs, with a
// version. It leaves out the org: any bytes are an org and not all of them are JSON, and every store files events by org anyway.
// Equal events of an org have equal encodings, in every store and every process.
func (e *Event) AppendStored(dst []byte) []byte {
	dst = append(dst, `{"v":`...)
	dst = strconv.AppendInt(dst, storedVersion, 10)
	if e.KeyID != "" {
		dst = appendStringField(dst, `,"key_id":`, e.KeyID)
	}
	dst = appendTimeField(dst, `,"received_at":`, e.ReceivedAt)
	dst = appendIntField(dst, `,"hours_scale":`, int64(e.Scale.Hours))
	dst = appendIntField(dst, `,"money_scale":`, int64(e.Scale.Money))
	return e.appendPublic(append(dst, ','))
}

// appendPublic appends the public fields and the closing brace to an object that is open.
func (e *Event) appendPublic(dst []byte) []byte {
	dst = appendStringField(dst, `"event_id":`, e.ID)
	if e.Test {
		dst = append(dst, `,"test":true`...)
	}
	dst = appendStringField(dst, `,"agent_id":`, e.AgentID)
	dst = appendStringField(dst, `,"task_type":`, e.TaskType)
	dst = appendStringField(dst, `,"outcome":`, string(e.Outcome))
	if !e.Credited {
		dst = append(dst, `,"credited":false`...)
	}
	dst = appendDecimalField(dst, `,"resolved_baseline_minutes":`, e.Baseline.Minutes)
	dst = appendStringField(dst, `,"resolved_baseline_source":`, string(e.Baseline.Source))
	dst = appendDecimalField(dst, `,"resolved_hourly_rate":`, e.HourlyRate.Amount)
	dst = appendStringField(dst, `,"resolved_hourly_rate_source":`, string(e.HourlyRate.Source))
	dst = appendStringField(dst, `,"currency":`, e.Currency)
	if e.AgentDuration.Valid {
		dst = appendDecimalField(dst, `,"agent_duration_seconds":`, e.AgentDuration.Decimal)
	}
	dst = appendDecimalField(dst, `,"hours_saved":`, e.HoursSaved)
	dst = appendDecimalField(dst, `,"cost_saved":`, e.CostSaved)
	if e.AgentCost.Valid {
		dst = appendDecimalField(dst, `,"agent_cost":`, e.AgentCost.Decimal)
	} else {
		dst = append(dst, `,"agent_cost":null`...)
	}
	dst = appendStringField(dst, `,"resolved_cost_source":`, string(e.Cost.Source))
	if e.Cost.Precision != "" {
		dst = appendStringField(dst, `,"cost_precision":`, string(e.Cost.Precision))
	}
	if e.Cost.Unpriced != "" {
		dst = appendStringField(dst, `,"unpriced_reason":`, string(e.Cost.Unpriced))
	}
	if e.Cost.UnpricedModel != "" {
		dst = appendStringField(dst, `,"unpriced_model":`, e.Cost.UnpricedModel)
	}
	dst = appendDecimalField(dst, `,"net_saved":`, e.NetSaved)
	dst = appendTimeField(dst, `,"occurred_at":`, e.OccurredAt)
	if e.Model != "" {
		dst = appendStringField(dst, `,"model":`, e.Model)
	}
	dst = appendUsage(dst, &e.Usage)
	dst = appendPrice(dst, &e.Cost.Price)
	dst = appendFX(dst, &e.Cost.FX)
	if len(e.LLMCalls) > 0 {
		dst = AppendCalls(append(dst, `,"llm_calls":`...), e.LLMCalls)
	}
	if len(e.Metadata) > 0 {
		dst = append(append(dst, `,"metadata":`...), e.Metadata...)
	}
	if s := &e.AuditSample; *s != (AuditSample{}) {
		dst = append(dst, `,"audit_sample":{`...)
		if s.InputExcerpt != "" {
			dst = appendStringField(dst, `"input_excerpt":`, s.InputExcerpt)
		}
		if s.OutputExcerpt != "" {
			if s.InputExcerpt != "" {
				dst = append(dst, ',')
			}
			dst = appendStringField(dst, `"output_excerpt":`, s.OutputExcerpt)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// eventJSON is the decoding side of appendPublic and AppendStored.
type eventJSON struct {
	V             int                 `json:"v"`
	KeyID         string              `json:"key_id"`
	ReceivedAt    time.Time           `json:"received_at"`
	HoursScale    int32               `json:"hours_scale"`
	MoneyScale    int32               `json:"money_scale"`
	ID            string              `json:"event_id"`
	Test          bool                `json:"test"`
	AgentID       string              `json:"agent_id"`
	TaskType      string              `json:"task_type"`
	Outcome       Outcome             `json:"outcome"`
	Credited      *bool               `json:"credited"`
	Baseline      decimal.Decimal     `json:"resolved_baseline_minutes"`
	BaselineFrom  BaselineSource      `json:"resolved_baseline_source"`
	Rate          decimal.Decimal     `json:"resolved_hourly_rate"`
	RateFrom      RateSource          `json:"resolved_hourly_rate_source"`
	Currency      string              `json:"currency"`
	AgentDuration decimal.NullDecimal `json:"agent_duration_seconds"`
	HoursSaved    decimal.Decimal     `json:"hours_saved"`
	CostSaved     decimal.Decimal     `json:"cost_saved"`
	AgentCost     decimal.NullDecimal `json:"agent_cost"`
	CostFrom      CostSource          `json:"resolved_cost_source"`
	Precision     CostPrecision       `json:"cost_precision"`
	UnpricedModel string              `json:"unpriced_model"`
	Unpriced      UnpricedReason      `json:"unpriced_reason"`
	NetSaved      decimal.Decimal     `json:"net_saved"`
	OccurredAt    time.Time           `json:"occurred_at"`
	Model         string              `json:"model"`
	usageJSON
	priceJSON
	LLMCalls    []callJSON      `json:"llm_calls"`
	Metadata    json.RawMessage `json:"metadata"`
	AuditSample AuditSample     `json:"audit_sample"`
	Amendments  []amendmentJSON `json:"amendments"`
}

// DecodeStored reads what AppendStored wrote for an event of org.
func DecodeStored(org string, data []byte) (Event, error) { return decodeStored(org, data, false) }

// DecodeSparse is DecodeStored without what EventQuery.Sparse leaves out, in a third of the time.
func DecodeSparse(org string, data []byte) (Event, error) { return decodeStored(org, data, true) }

func decodeStored(org string, data []byte, sparse bool) (Event, error) {
	var e Event
	if err := e.decode(data, sparse); err != nil {
		return Event{}, err
	}
	e.Org = org
	return e, nil
}

// UnmarshalJSON reads what MarshalJSON or AppendStored wrote. Unknown fields are ignored; what was left out stays zero.
func (e *Event) UnmarshalJSON(data []byte) error { return e.decode(data, false) }

func (e *Event) decode(data []byte, sparse bool) error {
	var w eventJSON
	if !w.scan(data, sparse) {
		var any eventJSON
		if err := json.Unmarshal(data, &any); err != nil {
			return fmt.Errorf("humanhours: decode event: %w", err)
		}
		w = any
	}
	if w.V > storedVersion {
		return fmt.Errorf("humanhours: decode event %s: written by a newer release (encoding version %d, this release reads up to %d)",
			w.ID, w.V, storedVersion)
	}
	scale := Scale{Hours: w.HoursScale, Money: w.MoneyScale}
	if !scale.valid() {
		return fmt.Errorf("humanhours: decode event %s: the scale %v is out of range", w.ID, scale)
	}
	price, fx, err := w.prices(w.Currency)
	var calls []PricedCall
	if err == nil {
		calls, err = pricedCalls(w.Currency, w.LLMCalls)
	}
	if err != nil {
		return fmt.Errorf("humanhours: decode event %s: %w", w.ID, err)
	}
	corrections, err := amendments(w.Currency, w.Amendments)
	if err != nil {
		return fmt.Errorf("humanhours: decode event %s: %w", w.ID, err)
	}
	*e = Event{
		ID: w.ID, KeyID: w.KeyID, Test: w.Test,
		AgentID: w.AgentID, TaskType: w.TaskType, Outcome: w.Outcome, AgentDuration: w.AgentDuration,
		Model: w.Model, Usage: w.usage(), LLMCalls: calls,
		Metadata: w.Metadata, AuditSample: w.AuditSample,
		OccurredAt: w.OccurredAt.UTC(), ReceivedAt: w.ReceivedAt.UTC(),
		Baseline:   Baseline{Minutes: w.Baseline, Source: w.BaselineFrom},
		HourlyRate: HourlyRate{Amount: w.Rate, Source: w.RateFrom},
		Currency:   w.Currency,
		Cost: RunCost{
			Source: w.CostFrom, Precision: w.Precision, Unpriced: w.Unpriced, UnpricedModel: w.UnpricedModel, Price: price, FX: fx,
		},
		Credited: w.Credited == nil || *w.Credited,
		Scale:    scale,
		ROI:      ROI{HoursSaved: w.HoursSaved, CostSaved: w.CostSaved, AgentCost: w.AgentCost, NetSaved: w.NetSaved},

		Amendments: corrections,
	}
	return nil
}

// Equal reports whether e and o are the same event in every field, numbers compared by value.
func (e *Event) Equal(o *Event) bool {
	return e.Org == o.Org && string(e.AppendStored(nil)) == string(o.AppendStored(nil))
}

func nullInt64(p *int64) NullInt64 {
	if p == nil {
		return NullInt64{}
	}
	return Int64(*p)
}

func parseDate(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ms, ok := instant.ParseDate([]byte(s)); ok {
		return time.UnixMilli(ms).UTC(), nil
	}
	return time.Parse(dateLayout, s)
}

func appendStringField(dst []byte, name, s string) []byte {
	return appendString(append(dst, name...), s)
}

func appendIntField(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(dst, name...), n, 10)
}

func appendDecimalField(dst []byte, name string, d decimal.Decimal) []byte {
	return AppendDecimal(append(dst, name...), d)
}

func appendTimeField(dst []byte, name string, t time.Time) []byte {
	return append(instant.Append(append(append(dst, name...), '"'), t.UnixMilli()), '"')
}

func appendDateField(dst []byte, name string, t time.Time) []byte {
	return append(instant.AppendDate(append(append(dst, name...), '"'), t.UnixMilli()), '"')
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, as in encoding/json; unlike there,
// '<', '>' and '&' stay readable, because the result is never put into a page.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start, i := 0, 0
	for i < len(s) && s[i]-' ' <= '~'-' ' && s[i] != '"' && s[i] != '\\' { // what most texts are of
		i++
	}
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

// AppendDecimal appends d as a JSON number in its one canonical form: no exponent, no trailing zeros. It does not use
// d.String, whose form depends on package variables that belong to the host program. Only a number of more than some
// hundred digits, which no event holds, gets an exponent: its zeros could fill the memory.
func AppendDecimal(dst []byte, d decimal.Decimal) []byte {
	if d.IsZero() {
		return append(dst, '0')
	}
	var buf [64]byte
	digits := buf[:0]
	if d.NumDigits() <= 18 {
		digits = strconv.AppendInt(digits, d.CoefficientInt64(), 10)
	} else {
		digits = d.Coefficient().Append(digits, 10)
	}
	if digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	exp := int(d.Exponent())
	for exp < 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exp++
	}
	point := len(digits) + exp // where the decimal point stands
	const longest = 400
	switch {
	case exp > longest || point < -longest:
		return strconv.AppendInt(append(append(dst, digits...), 'e'), int64(exp), 10)
	case exp >= 0:
		dst = append(dst, digits...)
		for range exp {
			dst = append(dst, '0')
		}
	case point > 0:
		dst = append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
	default:
		dst = append(dst, '0', '.')
		for range -point {
			dst = append(dst, '0')
		}
		dst = append(dst, digits...)
	}
	return dst
}

// idPrefix starts every event id.
const idPrefix = "evt_"

// newULIDs returns the default id source. ULIDs sort by receipt time, also within a millisecond, and cannot be
// guessed; ulid.Make would share its state with every other user of that package in the process.
func newULIDs(random io.Reader) func(time.Time) (string, error) {
	entropy := ulid.Monotonic(random, 0)
	var mu sync.Mutex
	var id ulid.ULID // not in the function: what goes to a Reader is on the heap
	next := func(ms uint64) (ulid.ULID, error) {
		mu.Lock()
		defer mu.Unlock()
		err := id.SetTime(ms)
		if err == nil {
			err = entropy.MonotonicRead(ms, id[6:])
		}
		return id, err
	}
	return func(at time.Time) (string, error) {
		id, err := next(ulid.Timestamp(at))
		if err != nil {
			return "", fmt.Errorf("make an event id: %w", err)
		}
		var text [len(idPrefix) + ulid.EncodedSize]byte
		copy(text[:], idPrefix)
		if err := id.MarshalTextTo(text[len(idPrefix):]); err != nil {
			return "", fmt.Errorf("write an event id: %w", err)
		}
		return string(text[:]), nil
	}
}
