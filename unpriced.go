package humanhours

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// UnpricedModel counts the events of an org that named a model, or tokens, and have no run cost.
type UnpricedModel struct {
	Model  string         // as sent; empty: none was named, or one of too many
	Reason UnpricedReason // why it has no price
	Events int64          // since the Tracker was made; replays are not counted
	Last   time.Time      // when the latest of them was received
}

// maxUnpriced is how many pairs of model and reason of an org are told apart: the names come from clients.
const maxUnpriced = 1000

// unpriced counts, so that a misspelt id is found. The record is the events themselves.
type unpriced struct {
	mu    sync.Mutex
	byOrg map[string]map[unpricedKey]*UnpricedModel
}

type unpricedKey struct {
	model  string
	reason UnpricedReason
}

// add counts a new event, if it should have a run cost and has none.
func (u *unpriced) add(e *Event) {
	if e.Cost.Unpriced == "" || e.Test { // rehearsals must not hide what live runs lack
		return
	}
	model := e.Model
	if e.Cost.UnpricedModel != "" {
		model = e.Cost.UnpricedModel
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byOrg == nil {
		u.byOrg = make(map[string]map[unpricedKey]*UnpricedModel)
	}
	of := u.byOrg[e.Org]
	if of == nil {
		of = make(map[unpricedKey]*UnpricedModel)
		u.byOrg[e.Org] = of
	}
	key := unpricedKey{model, e.Cost.Unpriced}
	count := of[key]
	if count == nil && len(of) >= maxUnpriced {
		key.model = ""
		count = of[key]
	}
	if count == nil {
		count = &UnpricedModel{Model: key.model, Reason: key.reason}
		of[key] = count
	}
	count.Events++
	if e.ReceivedAt.After(count.Last) {
		count.Last = e.ReceivedAt
	}
}

// of lists the counts of an org, most events first.
func (u *unpriced) of(org string) []UnpricedModel {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]UnpricedModel, 0, len(u.byOrg[org]))
	for _, count := range u.byOrg[org] {
		list = append(list, *count)
	}
	slices.SortFunc(list, func(a, b UnpricedModel) int {
		return cmp.Or(-cmp.Compare(a.Events, b.Events), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// PriceBookInfo says which edition of a price list a PriceBook holds.
type PriceBookInfo struct {
	Source  string    // whose price list
	Version string    // which edition
	Date    time.Time // the day of that edition, UTC
	Fetched time.Time // when it was read from its source, UTC
	Models  int       // how many models it lists
}

// PriceBookDescriber is what a PriceBook may be as well, so that Tracker.PriceBook can tell which edition it holds.
type PriceBookDescriber interface {
	Info() PriceBookInfo
}

// PriceBookState is what an org sees of the price book.
type PriceBookState struct {
	Info     PriceBookInfo // zero: the book does not say, or there is none
	Age      time.Duration // since Info.Fetched; 0 where that is not known
	Unpriced []UnpricedModel
}

// PriceBook returns which prices are in force for an org, and which of its models had none.
func (t *Tracker) PriceBook(ctx context.Context, c Caller) (PriceBookState, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return PriceBookState{}, err
	}
	state := PriceBookState{Unpriced: t.unpriced.of(org.ID)}
	if book, ok := t.cfg.Prices.(PriceBookDescriber); ok {
		state.Info = book.Info()
		if !state.Info.Fetched.IsZero() {
			state.Age = max(0, t.now().Sub(state.Info.Fetched))
		}
	}
	return state, nil
}

// Quote returns what the price book says of a model now, for a run of the org that sends its totals.
func (t *Tracker) Quote(ctx context.Context, c Caller, model string) (Quote, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return Quote{}, err
	}
	if err := checkName("model", model); err != nil {
		return Quote{}, err
	}
	if t.cfg.Prices == nil {
		return Quote{Unpriced: UnpricedNoPriceBook}, nil
	}
	quote, err := t.cfg.Prices.Quote(ctx, PriceQuery{Org: org.ID, Model: model, At: t.now(), Totals: true})
	if err != nil {
		return Quote{}, unavailable("the price book", err)
	}
	if quote.Unpriced != "" {
		quote.Price = Price{}
	} else if quote.Price.Model == "" {
		quote.Price.Model = model
	}
	return quote, nil
}

// AppendJSON appends q as a JSON object with the names that events have: the price, with cost_precision if it is estimated, or unpriced_reason.
func (q *Quote) AppendJSON(dst []byte) []byte {
	if q.Unpriced != "" {
		return append(appendStringField(dst, `{"unpriced_reason":`, string(q.Unpriced)), '}')
	}
	start := len(dst)
	dst = appendPrice(dst, &q.Price)
	if len(dst) == start { // of a book that names no model
		return append(dst, "{}"...)
	}
	dst[start] = '{' // for the comma
	if q.Estimated {
		dst = appendStringField(dst, `,"cost_precision":`, string(CostEstimated))
	}
	return append(dst, '}')
}
