package humanhours

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// AmendmentKind says what an Amendment corrects.
type AmendmentKind string

// The kinds.
const (
	AmendVoid    AmendmentKind = "void"    // the event does not count any more
	AmendReprice AmendmentKind = "reprice" // the run cost of an event that had none, by the price book of later
	AmendRedact  AmendmentKind = "redact"  // metadata and audit sample were erased; the numbers stay
)

// MaxAmendments is how many amendments one event can have.
const MaxAmendments = 100

// Amendment is a correction of an event. The event itself stays as it was stored, but for what a redaction erases; amendments are only
// ever added.
type Amendment struct {
	Kind   AmendmentKind
	At     time.Time // UTC, milliseconds
	KeyID  string    // the API key that made it; empty in process
	Reason string    // up to MaxTextLength characters; may be empty

	// Of a reprice: what the event costs by the later book, and so what it saves. Otherwise zero.
	Cost      RunCost
	AgentCost decimal.NullDecimal
	NetSaved  decimal.Decimal
	LLMCalls  []PricedCall // those of the event, each with its price
}

// AmendQuery is an amendment on its way into a Store.
type AmendQuery struct {
	Org, ID   string // of the event
	Base      int    // how many amendments the event had when this one was decided on
	Amendment Amendment
	Change    Change // the line of history that goes with it
}

// Amended is what became of an AmendQuery.
type Amended struct {
	Event  Event // with its amendments, as it is now
	Found  bool  // there is such an event
	Stored bool  // false: it has been amended since, and nothing was changed
}

// Voided reports whether the event does not count any more.
func (e *Event) Voided() bool { return e.has(AmendVoid) }

// Redacted reports whether metadata and audit sample were erased.
func (e *Event) Redacted() bool { return e.has(AmendRedact) }

func (e *Event) has(kind AmendmentKind) bool {
	for i := range e.Amendments {
		if e.Amendments[i].Kind == kind {
			return true
		}
	}
	return false
}

// Current returns the event with the numbers that its amendments gave it. Whether it counts at all is Voided.
func (e *Event) Current() Event {
	now := *e
	for i := range e.Amendments {
		if a := &e.Amendments[i]; a.Kind == AmendReprice {
			now.Cost, now.AgentCost, now.NetSaved = a.Cost, a.AgentCost, a.NetSaved
			if len(a.LLMCalls) > 0 {
				now.LLMCalls = a.LLMCalls
			}
		}
	}
	return now
}

// Redact takes out of e what a redaction erases.
func (e *Event) Redact() { e.Metadata, e.AuditSample = nil, AuditSample{} }

// AppendAmendments appends amendments as events have them: a JSON array.
func AppendAmendments(dst []byte, list []Amendment) []byte {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = list[i].append(dst)
	}
	return append(dst, ']')
}

func (a *Amendment) append(dst []byte) []byte {
	dst = appendStringField(dst, `{"kind":`, string(a.Kind))
	dst = appendTimeField(dst, `,"at":`, a.At)
	if a.KeyID != "" {
		dst = appendStringField(dst, `,"key_id":`, a.KeyID)
	}
	if a.Reason != "" {
		dst = appendStringField(dst, `,"reason":`, a.Reason)
	}
	if a.Kind == AmendReprice {
		dst = appendDecimalField(dst, `,"agent_cost":`, a.AgentCost.Decimal)
		dst = appendDecimalField(dst, `,"net_saved":`, a.NetSaved)
		dst = appendStringField(dst, `,"resolved_cost_source":`, string(a.Cost.Source))
		dst = appendStringField(dst, `,"cost_precision":`, string(a.Cost.Precision))
		dst = appendFX(appendPrice(dst, &a.Cost.Price), &a.Cost.FX)
		if len(a.LLMCalls) > 0 {
			dst = AppendCalls(append(dst, `,"llm_calls":`...), a.LLMCalls)
		}
	}
	return append(dst, '}')
}

type amendmentJSON struct {
	Kind      AmendmentKind   `json:"kind"`
	At        time.Time       `json:"at"`
	KeyID     string          `json:"key_id"`
	Reason    string          `json:"reason"`
	AgentCost decimal.Decimal `json:"agent_cost"`
	NetSaved  decimal.Decimal `json:"net_saved"`
	Source    CostSource      `json:"resolved_cost_source"`
	Precision CostPrecision   `json:"cost_precision"`
	priceJSON
	LLMCalls []callJSON `json:"llm_calls"`
}

// DecodeAmendments reads what AppendAmendments wrote for an event in a currency.
func DecodeAmendments(currency string, data []byte) ([]Amendment, error) {
	var list []amendmentJSON
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("humanhours: decode amendments: %w", err)
	}
	return amendments(currency, list)
}

func amendments(currency string, list []amendmentJSON) ([]Amendment, error) {
	if len(list) == 0 {
		return nil, nil
	}
	decoded := make([]Amendment, len(list))
	for i := range list {
		w := &list[i]
		decoded[i] = Amendment{Kind: w.Kind, At: w.At.UTC(), KeyID: w.KeyID, Reason: w.Reason}
		if w.Kind != AmendReprice {
			continue
		}
		price, fx, err := w.prices(currency)
		var calls []PricedCall
		if err == nil {
			calls, err = pricedCalls(currency, w.LLMCalls)
		}
		if err != nil {
			return nil, fmt.Errorf("humanhours: decode amendments.%d: %w", i, err)
		}
		decoded[i].Cost = RunCost{Source: w.Source, Precision: w.Precision, Price: price, FX: fx}
		decoded[i].AgentCost, decoded[i].NetSaved, decoded[i].LLMCalls = decimal.NewNullDecimal(w.AgentCost), w.NetSaved, calls
	}
	return decoded, nil
}

// VoidEvent takes an event of the caller's org out of all reports, and says why in its amendments and in the history. The event stays, and a replay still
// answers it. Voiding it again changes nothing. What was counted for the quota stays counted.
func (t *Tracker) VoidEvent(ctx context.Context, c Caller, id, reason string) (Event, error) {
	return t.amend(ctx, c, id, reason, marking("voided", AmendVoid), AmendVoid)
}

// RedactEvent erases metadata and audit sample of an event of the caller's org, wherever its store has them, for people's right to erasure. The
// numbers stay, and a replay answers without what was erased. Redacting it again changes nothing.
func (t *Tracker) RedactEvent(ctx context.Context, c Caller, id, reason string) (Event, error) {
	return t.amend(ctx, c, id, reason, marking("redacted", AmendRedact), AmendRedact)
}

// marking decides on an amendment that says nothing but its kind, which an event has once.
func marking(field string, kind AmendmentKind) decideFunc {
	return func(e *Event, _ *Amendment) (string, string, string, error) {
		if e.has(kind) {
			return "", "", "", errUnchanged
		}
		return field, "false", "true", nil
	}
}

// RepriceEvent computes the run cost of an event of the caller's org that has none, by the price book as it is now. An event that has a cost, is
// voided, or still has no price stays as it is; the latter is a CodeValidation error.
func (t *Tracker) RepriceEvent(ctx context.Context, c Caller, id, reason string) (Event, error) {
	return t.amend(ctx, c, id, reason, t.reprice(ctx), AmendReprice)
}

// reprice decides what RepriceEvent makes of an event.
func (t *Tracker) reprice(ctx context.Context) decideFunc {
	return func(e *Event, a *Amendment) (string, string, string, error) {
		now := e.Current()
		if now.Cost.Source != CostNone || e.Voided() {
			return "", "", "", errUnchanged
		}
		now = now.Clone()
		now.Cost = RunCost{}
		t.resolveCost(ctx, &now, decimal.NullDecimal{})
		switch {
		case now.Cost.Unpriced == UnpricedUnavailable: // nothing is known of its price, so there is nothing to say about it
			return "", "", "", unread("the price book", nil)
		case now.Cost.Source != CostComputed:
			return "", "", "", stillUnpriced(cmp.Or(now.Cost.Unpriced, UnpricedNoModel))
		}
		roi := computeROI(now.Baseline.Minutes, now.AgentDuration.Decimal, now.HourlyRate.Amount, now.AgentCost, now.Credited, now.Scale)
		a.Cost, a.AgentCost, a.NetSaved, a.LLMCalls = now.Cost, roi.AgentCost, roi.NetSaved, now.LLMCalls
		return "agent_cost", "", numberText(a.AgentCost), nil
	}
}

// stillUnpriced says why an event that was to be repriced has no run cost.
func stillUnpriced(reason UnpricedReason) error {
	e := &Error{Code: CodeValidation, Message: "the event still has no run cost: " + string(reason)}
	switch reason {
	case UnpricedNoModel, UnpricedNoTokens:
		e.Hint = "It was tracked without what a cost is computed from; void it and track it again, with its agent_cost."
	default:
		e.Hint = "Give its model a price, or wait for a list that has one: GET /v1/price-book?model= says what is known."
	}
	return e
}

// decideFunc fills in the amendment of an event as it is, and describes it as the change of a field. errUnchanged: there is nothing to amend.
type decideFunc func(*Event, *Amendment) (field, old, now string, err error)

// amend adds an amendment to an event of the caller's org.
func (t *Tracker) amend(ctx context.Context, c Caller, id, reason string, decide decideFunc, kind AmendmentKind) (Event, error) {
	if err := checkOptional("reason", reason); err != nil {
		return Event{}, err
	}
	event, err := t.Event(ctx, c, id)
	if err != nil {
		return Event{}, err
	}
	return t.amendRead(ctx, event, c.KeyID, reason, decide, kind)
}

// amendRead is amend for an event that was read already, however long ago: it decides again if the event has been amended since.
func (t *Tracker) amendRead(ctx context.Context, event Event, keyID, reason string, decide decideFunc, kind AmendmentKind) (Event, error) {
	for {
		if len(event.Amendments) >= MaxAmendments {
			return Event{}, &Error{Code: CodeValidation, Message: "the event has " + strconv.Itoa(MaxAmendments) + " amendments, which is the most", Hint: "Void it, and track it again."}
		}
		q := AmendQuery{
			Org: event.Org, ID: event.ID, Base: len(event.Amendments),
			Amendment: Amendment{Kind: kind, At: t.now(), KeyID: mend(keyID), Reason: reason},
		}
		field, old, now, err := decide(&event, &q.Amendment)
		switch {
		case errors.Is(err, errUnchanged):
			return event, nil
		case err != nil:
			return Event{}, err
		}
		q.Change = Change{
			At: q.Amendment.At, KeyID: q.Amendment.KeyID, Subject: "events." + event.ID + "." + field, Old: old, New: now, Reason: reason,
		}
		amended, err := t.store.Amend(ctx, q)
		if err != nil {
			e := unavailable("the store", err)
			e.Hint = "Nothing is half-written, but the event may have been amended: look before you repeat it."
			return Event{}, e
		}
		if !amended.Found { // it was there a moment ago: its age is over
			return Event{}, noEvent()
		}
		if amended.Stored {
			return amended.Event, nil
		}
		event = amended.Event
	}
}

// Repriced is what RepriceEvents has done.
type Repriced struct {
	Repriced int    // events that have a cost now
	Unpriced int    // events that still have none
	Next     Cursor // where to go on; zero: that was all
}

// maxReprice is how many events without a cost one RepriceEvents looks at.
const maxReprice = 1000

// RepriceEvents is RepriceEvent for the events that q asks for and that have no cost: up to 1000 of them. q.After is where to go on.
func (t *Tracker) RepriceEvents(ctx context.Context, c Caller, q EventListQuery, reason string) (Repriced, error) {
	var done Repriced
	if err := checkOptional("reason", reason); err != nil {
		return done, err
	}
	eq, matches, err := t.eventQuery(ctx, c, &q)
	if err != nil {
		return done, err
	}
	seen := 0
	for event, err := range t.store.Events(ctx, eq) {
		if err != nil {
			return done, unread("the store", err)
		}
		if done.Repriced+done.Unpriced == maxReprice || seen == maxPageScan {
			return done, nil
		}
		seen++
		done.Next = eq.CursorOf(&event)
		ok, err := matches(&event)
		if err != nil {
			return done, err
		}
		current := event.Current()
		if !ok || current.Cost.Unpriced == "" || event.Voided() {
			continue
		}
		switch _, err := t.amendRead(ctx, event, c.KeyID, reason, t.reprice(ctx), AmendReprice); {
		case err == nil:
			done.Repriced++
		case errors.Is(err, CodeValidation):
			done.Unpriced++
		case errors.Is(err, CodeNotFound): // its age was over meanwhile
		default:
			return done, err
		}
	}
	done.Next = Cursor{}
	return done, nil
}

func noEvent() error {
	return &Error{Code: CodeNotFound, Message: "there is no such event", Hint: "GET /v1/events lists them."}
}
