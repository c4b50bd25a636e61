package pricebook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// row is one model of a price list. It is immutable once its edition is built.
type row struct {
	price     humanhours.Price          // before overrides, the discount taken off
	unpriced  humanhours.UnpricedReason // why there is no price
	overrides []override                // in their order, the discount taken off
	newer     bool                      // some override is of a shape that this release does not know: quotes are estimates
	alias     string                    // the model that this one is another name of; empty: none
	text      string                    // the canonical JSON of all this, and what the edition's version is made of
	kept      bool                      // from an earlier edition, whose version and date are in price
	target    *row                      // of alias, in the same edition; nil: priced as itself
}

const buckets = 10

// priceKeys are the names of the prices in a listing, in the order of bucketsOf.
var priceKeys = [buckets]string{
	"prompt", "completion", "input_cache_read", "input_cache_write", "input_cache_write_1h", "internal_reasoning", "audio", "image",
	"web_search", "request",
}

func bucketsOf(p *humanhours.Price) [buckets]*decimal.NullDecimal {
	return [buckets]*decimal.NullDecimal{
		&p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.Audio, &p.Image, &p.WebSearch, &p.Request,
	}
}

// required tells the two prices that every model has.
func required(bucket int) bool { return bucket < 2 }

// oftenZero tells the prices that old listings write as "0" for paid models where they mean that they do not say.
func oftenZero(bucket int) bool {
	switch priceKeys[bucket] {
	case "internal_reasoning", "audio", "image", "web_search":
		return true
	}
	return false
}

// tariff is what a pricing object, or one of its overrides, says of each bucket.
type tariff [buckets]struct {
	stated bool
	price  decimal.NullDecimal // not Valid: "-1", there is no price
}

// noPrice is what a listing says where a price is not fixed. Taken as a number it would make every run earn money.
const noPrice = -1

// parseTariff reads the prices of a JSON object, or says what is wrong with them.
func parseTariff(m map[string]json.RawMessage) (t tariff, fault string) {
	for i, key := range priceKeys {
		raw := m[key]
		if absent(raw) || string(raw) == `""` {
			continue
		}
		text, _ := scalar(raw)
		price, ok := parseAmount(text)
		switch {
		case !ok:
			return t, fmt.Sprintf("%s is %.80s, which is no price", key, raw)
		case price.Equal(decimal.NewFromInt(noPrice)):
			t[i].stated = true
		case price.IsNegative():
			return t, fmt.Sprintf("%s is negative: %s", key, price)
		default:
			t[i].stated, t[i].price = true, decimal.NewNullDecimal(price)
		}
	}
	return t, ""
}

// paid reports whether input or output costs something.
func (t *tariff) paid() bool {
	return t[0].price.Decimal.IsPositive() || t[1].price.Decimal.IsPositive()
}

// dropZeros takes out the zeros that state nothing.
func (t *tariff) dropZeros() {
	for i := range t {
		if oftenZero(i) && t[i].price.Valid && t[i].price.Decimal.IsZero() {
			t[i].stated, t[i].price = false, decimal.NullDecimal{}
		}
	}
}

// multiply is for discounts.
func (t *tariff) multiply(factor decimal.Decimal) {
	for i := range t {
		if t[i].price.Valid {
			t[i].price.Decimal = t[i].price.Decimal.Mul(factor)
		}
	}
}

// onto sets the prices that t states, and leaves the others.
func (t *tariff) onto(p *humanhours.Price) {
	for i, bucket := range bucketsOf(p) {
		if t[i].stated {
			*bucket = t[i].price
		}
	}
}

// appendTo appends the prices as fields of a JSON object, each before a comma.
func (t *tariff) appendTo(dst []byte) []byte {
	for i, key := range priceKeys {
		switch c := t[i]; {
		case c.price.Valid:
			dst = append(humanhours.AppendDecimal(append(dst, `"`+key+`":"`...), c.price.Decimal), `",`...)
		case c.stated:
			dst = append(dst, `"`+key+`":"-1",`...)
		}
	}
	return dst
}

// override is a set of prices that replaces others where its conditions hold.
type override struct {
	conditions
	prices tariff
}

// conditions of an override, all of which must hold. The zero value always holds.
type conditions struct {
	tiered    bool
	minPrompt int64 // tokens; the prompt must be larger
	windowed  bool
	start     int   // minute of the day, UTC, from which it holds
	end       int   // and until before which; less than start: of the next day; equal: all day
	days      uint8 // a bit per time.Weekday, UTC; 0: every day
}

const minutesOfDay = 24 * 60

// holdAt reports whether the conditions on the time hold.
func (c *conditions) holdAt(at time.Time) bool {
	at = at.UTC()
	if c.days != 0 && c.days&(1<<at.Weekday()) == 0 {
		return false
	}
	minute := at.Hour()*60 + at.Minute()
	switch {
	case !c.windowed:
		return true
	case c.start < c.end:
		return c.start <= minute && minute < c.end
	}
	return c.start <= minute || minute < c.end
}

// weekdays in the order of time.Weekday.
var weekdays = [7]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

var conditionKeys = []string{"min_prompt_tokens", "utc_start", "utc_end", "utc_days"}

// maxPromptCondition bounds min_prompt_tokens far above any prompt.
const maxPromptCondition = 1_000_000_000_000

// parseOverride reads an entry. One with a key that nobody here knows is of a newer shape: what it says may depend on that key.
func parseOverride(raw json.RawMessage) (o override, newer bool, fault string) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return o, false, "has an override that is not an object"
	}
	for key := range m {
		if !slices.Contains(priceKeys[:], key) && !slices.Contains(conditionKeys, key) {
			return o, true, ""
		}
	}
	if raw := m["min_prompt_tokens"]; !absent(raw) {
		o.tiered = true
		if o.minPrompt, fault = parseWhole(raw, maxPromptCondition); fault != "" {
			return o, false, "min_prompt_tokens " + fault
		}
	}
	if start, end := m["utc_start"], m["utc_end"]; !absent(start) || !absent(end) {
		o.windowed = true
		if o.start, fault = parseClock(start, minutesOfDay-1); fault != "" {
			return o, false, "utc_start " + fault
		}
		if o.end, fault = parseClock(end, minutesOfDay); fault != "" {
			return o, false, "utc_end " + fault
		}
	}
	if raw := m["utc_days"]; !absent(raw) {
		var names []string
		if json.Unmarshal(raw, &names) != nil || len(names) == 0 {
			return o, false, "utc_days is not a list of weekdays"
		}
		for _, name := range names {
			day := slices.Index(weekdays[:], name)
			if day < 0 {
				return o, false, fmt.Sprintf("utc_days has %.40q, which is no weekday", name)
			}
			o.days |= 1 << day
		}
	}
	o.prices, fault = parseTariff(m)
	return o, false, fault
}

// parseWhole reads a whole number from 0 to most.
func parseWhole(raw json.RawMessage, most int64) (n int64, fault string) {
	text, _ := scalar(raw)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Sprintf("is %.40s, not a whole number up to %d", raw, most)
	}
	return n, ""
}

// parseClock reads a time of the day that is written as the number HHMM, and returns its minute.
func parseClock(raw json.RawMessage, most int) (minute int, fault string) {
	n, fault := parseWhole(raw, 2400)
	minute = int(n/100*60 + n%100)
	if fault != "" || n%100 > 59 || minute > most {
		return 0, fmt.Sprintf("is %.40s, which is no time of the day as HHMM", raw)
	}
	return minute, ""
}

func clock(minute int) string { return strconv.Itoa(minute/60*100 + minute%60) }

// appendTo appends the conditions as fields of a JSON object, each before a comma.
func (c *conditions) appendTo(dst []byte) []byte {
	if c.tiered {
		dst = append(strconv.AppendInt(append(dst, `"min_prompt_tokens":`...), c.minPrompt, 10), ',')
	}
	if c.windowed {
		dst = append(dst, `"utc_start":`+clock(c.start)+`,"utc_end":`+clock(c.end)+`,`...)
	}
	if c.days != 0 {
		dst = append(dst, `"utc_days":[`...)
		for day, name := range weekdays {
			if c.days&(1<<day) != 0 {
				dst = append(dst, `"`+name+`",`...)
			}
		}
		dst = append(closed(dst, ']'), ',')
	}
	return dst
}

// closed ends a list or an object of parts that end in commas.
func closed(dst []byte, end byte) []byte {
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, end)
}

// String returns the conditions as JSON; empty for those that always hold.
func (c *conditions) String() string {
	fields := c.appendTo(nil)
	if len(fields) == 0 {
		return ""
	}
	return "{" + string(closed(fields, '}'))
}

// parsePricing reads the pricing object of a model. Where something is wrong it says so in fault, and returns a row without a price.
func parsePricing(m map[string]json.RawMessage, alias string) (r *row, fault string) {
	r = &row{alias: alias}
	text := []byte("{")
	base, factor, text, fault := r.parsePrices(m, text)
	switch {
	case fault != "":
		*r, text = row{alias: alias, unpriced: humanhours.UnpricedPartial}, []byte("{")
	case !base[0].price.Valid || !base[1].price.Valid:
		*r = row{alias: alias, unpriced: humanhours.UnpricedDynamic}
	default:
		base.multiply(factor)
		base.onto(&r.price)
		for i := range r.overrides {
			r.overrides[i].prices.multiply(factor)
		}
	}
	if alias != "" {
		text = append(appendJSONString(append(text, `"alias_target":`...), alias), ',')
	}
	r.text = string(closed(text, '}'))
	return r, fault
}

// parsePrices reads all of a pricing object, and appends its canonical form to text.
func (r *row) parsePrices(m map[string]json.RawMessage, text []byte) (base tariff, factor decimal.Decimal, _ []byte, fault string) {
	if base, fault = parseTariff(m); fault != "" {
		return
	}
	for i := range base {
		if required(i) && !base[i].stated {
			return base, factor, text, "has no price for " + priceKeys[i]
		}
	}
	discount, fault := parseDiscount(m["discount"])
	if fault != "" {
		return
	}
	factor = decimal.NewFromInt(1).Sub(discount)
	var list []json.RawMessage
	if raw := m["overrides"]; !absent(raw) && json.Unmarshal(raw, &list) != nil {
		return base, factor, text, "overrides is not a list"
	}
	if len(list) > maxOverrides {
		return base, factor, text, fmt.Sprintf("has %d overrides, more than %d", len(list), maxOverrides)
	}
	paid := base.paid()
	for _, raw := range list {
		o, newer, fault := parseOverride(raw)
		switch {
		case fault != "":
			return base, factor, text, fault
		case newer:
			r.newer = true
		default:
			r.overrides = append(r.overrides, o)
			paid = paid || o.prices.paid()
		}
	}
	if paid {
		base.dropZeros()
		for i := range r.overrides {
			r.overrides[i].prices.dropZeros()
		}
	}
	text = base.appendTo(text)
	if !discount.IsZero() {
		text = append(humanhours.AppendDecimal(append(text, `"discount":"`...), discount), `",`...)
	}
	if len(list) > 0 {
		text = append(text, `"overrides":[`...)
		for i := range r.overrides {
			text = append(text, '{')
			text = r.overrides[i].appendTo(text)
			text = append(closed(r.overrides[i].prices.appendTo(text), '}'), ',')
		}
		if r.newer {
			// What it says is lost on this release. That there is something must not be.
			text = append(text, `{"unknown":true},`...)
		}
		text = append(closed(text, ']'), ',')
	}
	return base, factor, text, ""
}

// maxOverrides is how many a model may have: each quote goes through them.
const maxOverrides = 100

// maxDiscountPlaces keeps a price with its discount taken off within 64 digits.
const maxDiscountPlaces = 18

// parseDiscount reads the fraction that is taken off every price.
func parseDiscount(raw json.RawMessage) (d decimal.Decimal, fault string) {
	if absent(raw) {
		return d, ""
	}
	text, _ := scalar(raw)
	d, ok := parseAmount(text)
	if !ok || d.IsNegative() || d.GreaterThanOrEqual(decimal.NewFromInt(1)) || d.Exponent() < -maxDiscountPlaces {
		return decimal.Decimal{}, fmt.Sprintf("discount is %.40s, not a fraction from 0 to less than 1", raw)
	}
	return d, ""
}

// quote answers for the conditions of q. A Quote is large: it is written where it is returned from, and copied once.
func (r *row) quote(q *humanhours.PriceQuery, quote *humanhours.Quote) {
	if r.unpriced != "" {
		quote.Unpriced = r.unpriced
		return
	}
	quote.Price, quote.Estimated = r.price, r.newer
	for i := range r.overrides {
		o := &r.overrides[i]
		switch {
		case o.tiered && q.Usage.PromptTokens() <= o.minPrompt, !o.holdAt(q.At):
		case o.tiered && q.Totals:
			quote.Estimated = true // some call of the run may have been so large
		default:
			o.prices.onto(&quote.Price)
		}
	}
	if !quote.Price.Input.Valid || !quote.Price.Output.Valid {
		*quote = humanhours.Quote{Unpriced: humanhours.UnpricedDynamic} // an override took it away
	}
}

// keep returns a copy of r for a later edition.
func (r *row) keep() *row {
	c := *r
	c.kept, c.target = true, nil
	return &c
}

// comparePrices calls f for every price that both rows have, with its name: those of the models, and those of overrides with the same
// conditions.
func comparePrices(old, new *row, f func(name string, a, b decimal.NullDecimal)) {
	a, b := bucketsOf(&old.price), bucketsOf(&new.price)
	for i, key := range priceKeys {
		f(key, *a[i], *b[i])
	}
	for i := range new.overrides {
		n := &new.overrides[i]
		k := slices.IndexFunc(old.overrides, func(o override) bool { return o.conditions == n.conditions })
		if k < 0 {
			continue
		}
		for j, key := range priceKeys {
			f(key+" "+n.String(), old.overrides[k].prices[j].price, n.prices[j].price)
		}
	}
}
