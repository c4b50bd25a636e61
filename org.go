package humanhours

import (
	"context"
	"maps"
	"regexp"

	"github.com/shopspring/decimal"
)

// Published defaults of an org that sets nothing.
const (
	// DefaultCurrency is the currency of an org that names none.
	DefaultCurrency = "EUR"
	// DefaultHourlyRate is what an hour costs in an org that sets no rate, in the org's currency. It is meant as 45 EUR: an
	// org with another currency should set its own rate.
	DefaultHourlyRate = 45
)

// MaxOrgLength is the longest id of an org, in bytes.
const MaxOrgLength = 255

// Org holds the settings of one tenant. A snapshot that an OrgStore returned is the caller's own copy.
type Org struct {
	ID       string `json:"id"`
	Version  int64  `json:"version"`            // counts the updates; set by the OrgStore
	Plan     string `json:"plan,omitempty"`     // a name in Config.Plans; empty: no limits
	Currency string `json:"currency,omitempty"` // ISO 4217; empty: DefaultCurrency
	// HourlyRate is what an hour of the org's people costs, in Currency, 0 to MaxHourlyRate. Not Valid: DefaultHourlyRate.
	HourlyRate decimal.NullDecimal `json:"hourly_rate"`
	Agents     map[string]Agent    `json:"agents,omitempty"`     // settings by agent id
	Overrides  map[string]Override `json:"overrides,omitempty"`  // baselines of built-in types, by key
	TaskTypes  map[string]TaskType `json:"task_types,omitempty"` // the org's own types, archived ones too, by key
}

// Agent holds what an org has set for one of its agents.
type Agent struct {
	DisplayName string              `json:"display_name,omitempty"`
	HourlyRate  decimal.NullDecimal `json:"hourly_rate"` // of the people whose work it does; not Valid: the org's rate
}

// Clone returns a copy of o that shares no memory with it.
func (o Org) Clone() Org {
	o.Agents = maps.Clone(o.Agents)
	o.Overrides = maps.Clone(o.Overrides)
	o.TaskTypes = maps.Clone(o.TaskTypes)
	return o
}

// currencyCode is the shape of an ISO 4217 code. Which of them exist is the business of Rates.
var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

const ruleCurrency = `must be an ISO 4217 code in upper case, such as "EUR"`

// Validate checks what does not depend on the plans of a Tracker: currency, rates and baselines. The error is a
// CodeValidation error that names the field.
func (o Org) Validate() error { return o.normalize() }

// normalize validates the settings and rounds them to what events keep, so that an event repeats the setting that it was
// computed from. It gives o maps of its own: the ones it has may be somebody else's.
func (o *Org) normalize() (err error) {
	*o = o.Clone()
	if o.Currency != "" && !currencyCode.MatchString(o.Currency) {
		return invalid("currency", ruleCurrency)
	}
	null := func(field string, d *decimal.NullDecimal, limit int64) {
		if err == nil && d.Valid {
			d.Decimal, err = checkNumber(field, d.Decimal, limit)
		}
	}
	null("hourly_rate", &o.HourlyRate, MaxHourlyRate)
	name := func(field, s string) {
		if err == nil {
			err = checkName(field, s)
		}
	}
	for id, agent := range o.Agents {
		name("agent_id", id)
		null("hourly_rate", &agent.HourlyRate, MaxHourlyRate)
		o.Agents[id] = agent
	}
	for key, override := range o.Overrides {
		minutes := decimal.NewNullDecimal(override.BaselineMinutes)
		null("baseline_minutes_override", &minutes, MaxBaselineMinutes)
		override.BaselineMinutes = minutes.Decimal
		o.Overrides[key] = override
	}
	for key, tt := range o.TaskTypes {
		name("task_type", key)
		null("default_baseline_minutes", &tt.BaselineMinutes, MaxBaselineMinutes)
		null("low_minutes", &tt.LowMinutes, MaxBaselineMinutes)
		null("high_minutes", &tt.HighMinutes, MaxBaselineMinutes)
		o.TaskTypes[key] = tt
	}
	return err
}

// currency returns the org's currency.
func (o *Org) currency() string {
	if o.Currency == "" {
		return DefaultCurrency
	}
	return o.Currency
}

// RateSource says which layer an hourly rate came from.
type RateSource string

// The layers, strongest first.
const (
	RateAgent   RateSource = "agent"   // set for the agent
	RateOrg     RateSource = "org"     // set for the org
	RateDefault RateSource = "default" // DefaultHourlyRate
)

// HourlyRate is what an hour of human work was valued at.
type HourlyRate struct {
	Amount decimal.Decimal // in the org's currency, 0 to MaxHourlyRate
	Source RateSource
}

// resolveRate walks the layers: agent > org > default.
func (o *Org) resolveRate(agentID string) HourlyRate {
	if agent, ok := o.Agents[agentID]; ok && agent.HourlyRate.Valid {
		return HourlyRate{Amount: agent.HourlyRate.Decimal, Source: RateAgent}
	}
	if o.HourlyRate.Valid {
		return HourlyRate{Amount: o.HourlyRate.Decimal, Source: RateOrg}
	}
	return HourlyRate{Amount: decimal.NewFromInt(DefaultHourlyRate), Source: RateDefault}
}

// OrgStore keeps the settings of orgs and the history of their changes.
//
// Ids are opaque byte strings of 1 to 255 bytes and must never collide. Methods must be safe for concurrent use, must
// return promptly when ctx ends, and must keep no reference to a map that came from a caller, nor hand
// out one of their own. Decimals must survive exactly, instants to the millisecond in UTC.
type OrgStore interface {
	// Org returns a snapshot of one org; false when there is none. Later updates must not show in it.
	Org(ctx context.Context, id string) (Org, bool, error)

	// UpdateOrg is compare-and-swap: it hands f a private copy of the org as it is (for an absent one: the zero Org with
	// its ID), and stores what f made of it if nobody else has updated the org meanwhile; otherwise it starts over, so that
	// of concurrent updates none is lost. f may therefore run several times and must depend on its argument only.
	// The changes that f returned must be appended to the org's history in the same atomic step. ID and Version are the
	// store's: whatever f does to them has no effect, and Version grows by one with each update. An error of f must be
	// returned as it is (errors.Is), with nothing stored. UpdateOrg returns the org as stored.
	UpdateOrg(ctx context.Context, id string, f func(*Org) ([]Change, error)) (Org, error)

	// History returns the org's changes in the order in which they were stored; none for an absent org. Seq grows from each change to the
	// next. With Before and Limit it returns the last changes before one, and reads no others.
	History(ctx context.Context, q HistoryQuery) ([]Change, error)
}

// HistoryQuery asks for changes of one org. Its zero value but for Org asks for all.
type HistoryQuery struct {
	Org    string
	Before int64 // changes whose Seq is less; 0: all
	Limit  int   // the last so many of them; 0: all
}
