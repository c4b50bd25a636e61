package humanhours

import (
	"context"
	"time"

	"github.com/shopspring/decimal"
)

// Change is one line of an org's history: who changed which assumption, when and why.
type Change struct {
	Seq   int64     `json:"-"`                // grows with each change of an org, and may have gaps; set by History, 1 at least
	At    time.Time `json:"at"`               // UTC, milliseconds
	KeyID string    `json:"key_id,omitempty"` // the API key that made the change; empty in process
	// Subject is what was changed: "currency", "default_hourly_rate", "plan", "task_types.<key>" (made, with all that it has),
	// "task_types.<key>.<field>", "overrides.<key>", "agents.<id>.hourly_rate", "agents.<id>.display_name", "events.<id>.voided",
	// "events.<id>.redacted" or "events.<id>.agent_cost".
	Subject string `json:"subject"`
	Old     string `json:"old,omitempty"` // the value before; empty: there was none
	New     string `json:"new,omitempty"` // the value after; empty: removed
	Reason  string `json:"reason,omitempty"`
}

// MaxHistoryPage is how many changes History returns at most.
const MaxHistoryPage = 1000

// HistoryPage is a part of an org's history.
type HistoryPage struct {
	Changes []Change // oldest first
	More    bool     // there are changes before the first of them
}

// History returns the last changes to the assumptions of the caller's org whose Seq is less than before: up to limit, 1 to MaxHistoryPage. before
// 0: the last of all. Nothing is ever taken out of a history. It reads what is stored, past the cache of settings. A Tracker without
// Config.Orgs has none.
func (t *Tracker) History(ctx context.Context, c Caller, before int64, limit int) (HistoryPage, error) {
	switch {
	case before < 0:
		return HistoryPage{}, invalid("before", "must be the seq of a change")
	case limit < 1 || limit > MaxHistoryPage:
		return HistoryPage{}, invalid("limit", "must be 1 to "+string(appendGrouped(nil, MaxHistoryPage)))
	}
	org, err := t.org(ctx, c)
	if err != nil || t.cfg.Orgs == nil {
		return HistoryPage{}, err
	}
	changes, err := t.cfg.Orgs.History(ctx, HistoryQuery{Org: org.ID, Before: before, Limit: limit + 1})
	if err != nil {
		return HistoryPage{}, unread("the org store", err)
	}
	page := HistoryPage{Changes: changes, More: len(changes) > limit}
	if page.More {
		page.Changes = changes[len(changes)-limit:]
	}
	return page, nil
}

// changeLog collects what one edit changes.
type changeLog struct {
	at      time.Time
	keyID   string
	reason  string
	changes []Change
}

// text notes a change of a text, if it is one.
func (l *changeLog) text(subject, old, now string) {
	if old == now {
		return
	}
	l.changes = append(l.changes, Change{At: l.at, KeyID: l.keyID, Subject: subject, Old: old, New: now, Reason: l.reason})
}

// number notes a change of a number.
func (l *changeLog) number(subject string, old, now decimal.NullDecimal) {
	l.text(subject, numberText(old), numberText(now))
}

// numberText is how a number stands in the history; empty if there is none.
func numberText(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return string(AppendDecimal(nil, d.Decimal))
}

// setNumber rounds a number to what is kept, sets it, and notes the change under a subject. field is its name for errors.
func (l *changeLog) setNumber(subject, field string, to *decimal.NullDecimal, value decimal.NullDecimal, limit int64) error {
	if !value.Valid {
		value = decimal.NullDecimal{}
	} else {
		kept, err := checkNumber(field, value.Decimal, limit)
		if err != nil {
			return err
		}
		value.Decimal = kept
	}
	l.number(subject, *to, value)
	*to = value
	return nil
}

// setText sets a text, and notes the change.
func (l *changeLog) setText(subject, field string, to *string, value string) error {
	if err := checkOptional(field, value); err != nil {
		return err
	}
	l.text(subject, *to, value)
	*to = value
	return nil
}
