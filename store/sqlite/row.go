package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// columns are those of events but for seq, in the order of bind and scanEvent.
var columns = [...]string{
	"org", "id", "key_id", "test", "agent_id", "task_type", "outcome", "credited", "model", "tokens_in", "tokens_out",
	"agent_duration_seconds_nano", "occurred_at_ms", "received_at_ms", "currency",
	"hours_saved_nano", "cost_saved_nano", "agent_cost_nano", "net_saved_nano",
	"baseline_minutes_nano", "baseline_source", "hourly_rate_nano", "hourly_rate_source",
	"cost_source", "unpriced_reason", "priced_as", "price_input_per_token", "price_output_per_token",
	"price_currency", "price_source", "price_version", "price_date", "fx_from", "fx_to", "fx_rate", "fx_source", "fx_date",
	"metadata", "input_excerpt", "output_excerpt", "hours_scale", "money_scale", "cost_precision",
	"unpriced_model", "tokens_cache_read", "tokens_cache_write", "tokens_cache_write_1h", "tokens_reasoning", "tokens_audio", "images", "web_searches",
	"price_cache_read_per_token", "price_cache_write_per_token", "price_cache_write_1h_per_token", "price_reasoning_per_token",
	"price_audio_per_token", "price_per_image", "price_per_web_search", "price_per_request", "llm_calls",
}

// shape is which of the columns a row has; the others are NULL. Of 60 columns most events have some 35, always the same ones, and the
// driver binds parameters in time that grows with the square of their number.
type shape uint64

const wholeShape shape = 1<<len(columns) - 1

// shaped moves what is not NULL to the front of a row.
func shaped(row []any) (shape, []any) {
	var s shape
	n := 0
	for i, value := range row {
		if value != nil {
			s |= 1 << i
			row[n] = value
			n++
		}
	}
	return s, row[:n:n]
}

// maxShapes is how many shapes have a statement of their own, of some 20 kB each. Rows of others are written with all columns.
const maxShapes = 64

// shapes holds the text that inserts a row of a shape.
type shapes map[shape]string

func newShapes() shapes { return shapes{wholeShape: insertText(wholeShape)} }

// insert returns the statement for a row, and the row as that takes it.
func (all shapes) insert(s shape, row []any) (query string, args []any) {
	query, ok := all[s]
	if !ok && len(all) < maxShapes {
		query, ok = insertText(s), true
		all[s] = query
	}
	if ok {
		return query, row
	}
	whole := make([]any, len(columns))
	for i := range whole {
		if s&(1<<i) != 0 {
			whole[i], row = row[0], row[1:]
		}
	}
	return all[wholeShape], whole
}

// insertText inserts one row of a shape.
func insertText(s shape) string {
	var set []string
	for i, column := range columns {
		if s&(1<<i) != 0 {
			set = append(set, column)
		}
	}
	// An insert that fails ends the transaction, so OR ROLLBACK is what happens anyway; it saves SQLite a copy of every page that the
	// statement touches, from which it would undo the statement alone.
	return "INSERT OR ROLLBACK INTO events (" + strings.Join(set, ", ") + ") VALUES " + tuples(1, len(set))
}

// selected is the list of columns as a query has it, with a prefix for each.
func selected(prefix string) string { return prefix + strings.Join(columns[:], ", "+prefix) }

// binder turns fields into arguments; its error is that of the first field that does not fit.
type binder struct {
	args []any
	err  error
}

func (b *binder) null() { b.args = append(b.args, nil) }

// put and number take the argument of the row before when it is the same, as most are: to make a value an argument allocates.
func (b *binder) put(s string) {
	if before, ok := b.before().(string); ok && before == s {
		b.args = append(b.args, b.before())
		return
	}
	b.args = append(b.args, s)
}

func (b *binder) number(n int64) {
	if before, ok := b.before().(int64); ok && before == n {
		b.args = append(b.args, b.before())
		return
	}
	b.args = append(b.args, n)
}

// before is the argument that the row before has for the column that is next.
func (b *binder) before() any {
	if i := len(b.args) - len(columns); i >= 0 {
		return b.args[i]
	}
	return nil
}

// text is NULL if it is empty.
func (b *binder) text(s string) {
	if s == "" {
		b.null()
		return
	}
	b.put(s)
}

func (b *binder) flag(set bool) {
	if set {
		b.number(1)
		return
	}
	b.number(0)
}

func (b *binder) integer(n humanhours.NullInt64) {
	if !n.Valid {
		b.null()
		return
	}
	b.number(n.Int64)
}

func (b *binder) nano(name string, d decimal.Decimal) {
	n, ok := nano(d)
	if !ok && b.err == nil {
		b.err = fmt.Errorf("sqlite: the event's %s does not fit a whole number of 1e-9 units in 64 bits", name)
	}
	b.number(n)
}

func (b *binder) nullNano(name string, d decimal.NullDecimal) {
	if !d.Valid {
		b.null()
		return
	}
	b.nano(name, d.Decimal)
}

// maxExponent bounds the zeros that a decimal of few digits can have as text.
const maxExponent = 1000

// writable reports whether d has a text of a sensible length.
func writable(d decimal.Decimal) bool {
	return -maxExponent <= d.Exponent() && d.Exponent() <= maxExponent
}

func (b *binder) decimal(name string, d decimal.Decimal) {
	if !writable(d) {
		if b.err == nil {
			b.err = fmt.Errorf("sqlite: the event's %s has too many zeros", name)
		}
		b.null()
		return
	}
	b.put(string(humanhours.AppendDecimal(nil, d)))
}

func (b *binder) nullDecimal(name string, d decimal.NullDecimal) {
	if !d.Valid {
		b.null()
		return
	}
	b.decimal(name, d.Decimal)
}

func (b *binder) date(t time.Time) {
	if t.IsZero() {
		b.null()
		return
	}
	b.put(t.UTC().Format(time.DateOnly))
}

// event appends the arguments of one row.
func (b *binder) event(e *humanhours.Event) {
	b.put(e.Org)
	b.put(e.ID)
	b.text(e.KeyID)
	b.flag(e.Test)
	b.put(e.AgentID)
	b.put(e.TaskType)
	b.put(string(e.Outcome))
	b.flag(e.Credited)
	b.text(e.Model)
	b.integer(e.TokensIn)
	b.integer(e.TokensOut)
	b.nullNano("agent_duration_seconds", e.AgentDuration)
	b.number(e.OccurredAt.UnixMilli())
	b.number(e.ReceivedAt.UnixMilli())
	b.put(e.Currency)
	b.nano("hours_saved", e.HoursSaved)
	b.nano("cost_saved", e.CostSaved)
	b.nullNano("agent_cost", e.AgentCost)
	b.nano("net_saved", e.NetSaved)
	b.nano("baseline_minutes", e.Baseline.Minutes)
	b.put(string(e.Baseline.Source))
	b.nano("hourly_rate", e.HourlyRate.Amount)
	b.put(string(e.HourlyRate.Source))
	b.put(string(e.Cost.Source))
	b.text(string(e.Cost.Unpriced))
	price := &e.Cost.Price
	b.text(price.Model)
	b.nullDecimal("price_input_per_token", price.Input)
	b.nullDecimal("price_output_per_token", price.Output)
	b.text(price.Currency)
	b.text(price.Source)
	b.text(price.Version)
	b.date(price.Date)
	fx := &e.Cost.FX
	b.text(fx.From)
	b.text(fx.To)
	if fx.To == "" {
		b.null()
	} else {
		b.decimal("fx_rate", fx.Rate)
	}
	b.text(fx.Source)
	b.date(fx.Date)
	b.text(string(e.Metadata))
	b.text(e.AuditSample.InputExcerpt)
	b.text(e.AuditSample.OutputExcerpt)
	b.number(int64(e.Scale.Hours))
	b.number(int64(e.Scale.Money))
	b.text(string(e.Cost.Precision))
	b.text(e.Cost.UnpricedModel)
	for _, n := range []humanhours.NullInt64{
		e.TokensCacheRead, e.TokensCacheWrite, e.TokensCacheWrite1h, e.TokensReasoning, e.TokensAudio, e.Images, e.WebSearches,
	} {
		b.integer(n)
	}
	for i, unit := range morePrices(price) {
		b.nullDecimal(columns[firstMorePrice+i], *unit)
	}
	if len(e.LLMCalls) == 0 {
		b.null()
		return
	}
	for i := range e.LLMCalls {
		c := &e.LLMCalls[i]
		units := morePrices(&c.Price)
		for _, unit := range append(units[:], &c.Price.Input, &c.Price.Output, &decimal.NullDecimal{Decimal: c.FX.Rate}) {
			if !writable(unit.Decimal) && b.err == nil {
				b.err = fmt.Errorf("sqlite: a price of the event's llm_calls.%d has too many zeros", i)
			}
		}
	}
	if b.err != nil {
		b.null()
		return
	}
	b.put(string(humanhours.AppendCalls(nil, e.LLMCalls)))
}

// firstMorePrice is the column of the first of morePrices, which llm_calls follows.
const firstMorePrice = len(columns) - 9

// morePrices are the prices besides those of input and output, in the order of their columns.
func morePrices(p *humanhours.Price) [8]*decimal.NullDecimal {
	return [8]*decimal.NullDecimal{&p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.Audio, &p.Image, &p.WebSearch, &p.Request}
}

// reader takes a row apart.
type reader struct {
	event                                   humanhours.Event
	keyID, model, unpriced, pricedAs        sql.NullString
	priceIn, priceOut, priceCur, priceFrom  sql.NullString
	priceVer, priceDate, fxFrom, fxTo       sql.NullString
	fxRate, fxSource, fxDate                sql.NullString
	metadata, input, output                 sql.NullString
	tokensIn, tokensOut, duration, cost     sql.NullInt64
	occurred, received                      int64
	hours, saved, net, baseline, hourlyRate int64
	precision, unpricedModel, calls         sql.NullString
	counts                                  [7]sql.NullInt64
	prices                                  [8]sql.NullString
}

// targets appends what Scan writes the columns to.
func (r *reader) targets(dst []any) []any {
	e := &r.event
	return append(dst,
		&e.Org, &e.ID, &r.keyID, &e.Test, &e.AgentID, &e.TaskType, &e.Outcome, &e.Credited, &r.model, &r.tokensIn, &r.tokensOut,
		&r.duration, &r.occurred, &r.received, &e.Currency,
		&r.hours, &r.saved, &r.cost, &r.net,
		&r.baseline, &e.Baseline.Source, &r.hourlyRate, &e.HourlyRate.Source,
		&e.Cost.Source, &r.unpriced, &r.pricedAs, &r.priceIn, &r.priceOut,
		&r.priceCur, &r.priceFrom, &r.priceVer, &r.priceDate, &r.fxFrom, &r.fxTo, &r.fxRate, &r.fxSource, &r.fxDate,
		&r.metadata, &r.input, &r.output, &e.Scale.Hours, &e.Scale.Money,
		&r.precision, &r.unpricedModel, &r.counts[0], &r.counts[1], &r.counts[2], &r.counts[3], &r.counts[4], &r.counts[5], &r.counts[6],
		&r.prices[0], &r.prices[1], &r.prices[2], &r.prices[3], &r.prices[4], &r.prices[5], &r.prices[6], &r.prices[7], &r.calls,
	)
}

// done completes the event after Scan.
func (r *reader) done() (humanhours.Event, error) {
	e := &r.event
	e.KeyID, e.Model = r.keyID.String, r.model.String
	e.Usage = humanhours.Usage{
		TokensIn: fromNull(r.tokensIn), TokensOut: fromNull(r.tokensOut), TokensCacheRead: fromNull(r.counts[0]), TokensCacheWrite: fromNull(r.counts[1]),
		TokensCacheWrite1h: fromNull(r.counts[2]), TokensReasoning: fromNull(r.counts[3]), TokensAudio: fromNull(r.counts[4]),
		Images: fromNull(r.counts[5]), WebSearches: fromNull(r.counts[6]),
	}
	e.AgentDuration, e.AgentCost = fromNullNano(r.duration), fromNullNano(r.cost)
	e.OccurredAt, e.ReceivedAt = instant(r.occurred), instant(r.received)
	e.HoursSaved, e.CostSaved, e.NetSaved = fromNano(r.hours), fromNano(r.saved), fromNano(r.net)
	e.Baseline.Minutes, e.HourlyRate.Amount = fromNano(r.baseline), fromNano(r.hourlyRate)
	e.Cost.Unpriced, e.Cost.UnpricedModel = humanhours.UnpricedReason(r.unpriced.String), r.unpricedModel.String
	e.Cost.Precision = humanhours.CostPrecision(r.precision.String)
	price, fx := &e.Cost.Price, &e.Cost.FX
	price.Model, price.Currency, price.Source, price.Version = r.pricedAs.String, r.priceCur.String, r.priceFrom.String, r.priceVer.String
	fx.From, fx.To, fx.Source = r.fxFrom.String, r.fxTo.String, r.fxSource.String
	if r.metadata.Valid {
		e.Metadata = json.RawMessage(r.metadata.String)
	}
	e.AuditSample = humanhours.AuditSample{InputExcerpt: r.input.String, OutputExcerpt: r.output.String}
	var rate decimal.NullDecimal
	decimals := []struct {
		text sql.NullString
		to   *decimal.NullDecimal
	}{{r.priceIn, &price.Input}, {r.priceOut, &price.Output}, {r.fxRate, &rate}}
	for i, unit := range morePrices(price) {
		decimals = append(decimals, struct {
			text sql.NullString
			to   *decimal.NullDecimal
		}{r.prices[i], unit})
	}
	for _, field := range decimals {
		if field.text.Valid {
			d, err := decimal.NewFromString(field.text.String)
			if err != nil {
				return humanhours.Event{}, fmt.Errorf("sqlite: event %s: %w", e.ID, err)
			}
			*field.to = decimal.NewNullDecimal(d)
		}
	}
	fx.Rate = rate.Decimal
	for _, field := range []struct {
		text sql.NullString
		to   *time.Time
	}{{r.priceDate, &price.Date}, {r.fxDate, &fx.Date}} {
		if field.text.Valid {
			day, err := time.Parse(time.DateOnly, field.text.String)
			if err != nil {
				return humanhours.Event{}, fmt.Errorf("sqlite: event %s: %w", e.ID, err)
			}
			*field.to = day
		}
	}
	if r.calls.Valid {
		var err error
		if e.LLMCalls, err = humanhours.DecodeCalls(e.Currency, []byte(r.calls.String)); err != nil {
			return humanhours.Event{}, fmt.Errorf("sqlite: event %s: llm_calls: %w", e.ID, err)
		}
	}
	return *e, nil
}

func fromNull(n sql.NullInt64) humanhours.NullInt64 {
	return humanhours.NullInt64{Int64: n.Int64, Valid: n.Valid}
}

// scanEvent reads the columns of a row; more are the targets of what follows them.
func scanEvent(scan scan, more ...any) (humanhours.Event, error) {
	var r reader
	var targets [len(columns) + 4]any
	if err := scan(append(r.targets(targets[:0]), more...)...); err != nil {
		return humanhours.Event{}, err
	}
	return r.done()
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

const nanoPlaces = 9

// nano returns d in units of 1e-9, and false if that is not a whole number or does not fit.
func nano(d decimal.Decimal) (int64, bool) {
	if d.IsZero() {
		return 0, true
	}
	digits := d.NumDigits()
	shift := int(d.Exponent()) + nanoPlaces
	switch {
	case shift >= 0 && digits+shift <= 18:
		n := d.CoefficientInt64()
		for range shift {
			n *= 10
		}
		return n, true
	case digits+shift > 19, digits+shift <= 0: // too large, or less than one unit
		return 0, false
	}
	n := d.Coefficient()
	if shift >= 0 {
		n.Mul(n, pow10(shift))
	} else {
		var rest big.Int
		if n.QuoRem(n, pow10(-shift), &rest); rest.Sign() != 0 {
			return 0, false
		}
	}
	return n.Int64(), n.IsInt64()
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func fromNano(n int64) decimal.Decimal { return decimal.New(n, -nanoPlaces) }

func fromNullNano(n sql.NullInt64) decimal.NullDecimal {
	if !n.Valid {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(fromNano(n.Int64))
}
