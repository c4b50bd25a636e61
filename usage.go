package humanhours

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// MaxLLMCalls is how many calls one run may list.
const MaxLLMCalls = 200

// Usage is what a call of a model, or a whole run, consumed. Every count is 0 to MaxTokens; one that is absent counts as 0.
//
// The counts are disjoint: a token that was read from a cache is in TokensCacheRead and not in TokensIn as well, a token of reasoning in
// TokensReasoning and not in TokensOut. Some APIs report totals that include them: subtract first. Who knows two totals only sends
// those, and all of it is charged at the prices of input and output.
type Usage struct {
	TokensIn           NullInt64 // input at the full price
	TokensOut          NullInt64 // output without reasoning
	TokensCacheRead    NullInt64 // input that came from a cache
	TokensCacheWrite   NullInt64 // input that went into a cache of 5 minutes
	TokensCacheWrite1h NullInt64 // input that went into a cache of one hour
	TokensReasoning    NullInt64 // charged as output where the price list has no price of its own for it
	TokensAudio        NullInt64 // input that was audio
	Images             NullInt64 // input images that are charged by the piece
	WebSearches        NullInt64
}

// kinds is how many counts a Usage has.
const kinds = 9

// countNames are the counts' names in requests and events, in the order of counts.
var countNames = [kinds]string{
	"tokens_in", "tokens_out", "tokens_cache_read", "tokens_cache_write", "tokens_cache_write_1h", "tokens_reasoning", "tokens_audio",
	"images", "web_searches",
}

func (u *Usage) counts() [kinds]*NullInt64 {
	return [kinds]*NullInt64{
		&u.TokensIn, &u.TokensOut, &u.TokensCacheRead, &u.TokensCacheWrite, &u.TokensCacheWrite1h, &u.TokensReasoning, &u.TokensAudio,
		&u.Images, &u.WebSearches,
	}
}

// PromptTokens returns the size of the prompt, on which price tiers depend: all input tokens, those of a cache too.
func (u Usage) PromptTokens() int64 {
	return u.TokensIn.Int64 + u.TokensCacheRead.Int64 + u.TokensCacheWrite.Int64 + u.TokensCacheWrite1h.Int64 + u.TokensAudio.Int64
}

// add adds the counts of o.
func (u *Usage) add(o Usage) {
	sums := u.counts()
	for i, n := range o.counts() {
		if n.Valid {
			*sums[i] = Int64(sums[i].Int64 + n.Int64)
		}
	}
}

// validate checks the counts; prefix starts the names of the fields.
func (u *Usage) validate(prefix string) error {
	for i, n := range u.counts() {
		switch {
		case !n.Valid:
			*n = NullInt64{}
		case n.Int64 < 0:
			return invalid(prefix+countNames[i], "must not be negative")
		case n.Int64 > MaxTokens:
			return invalid(prefix+countNames[i], "must be at most "+string(appendGrouped(nil, MaxTokens)))
		}
	}
	// A part without the rest comes from somebody whose total has the part in it, and who would pay for it twice.
	switch {
	case u.TokensIn.Valid:
	case u.TokensCacheRead.Valid, u.TokensCacheWrite.Valid, u.TokensCacheWrite1h.Valid, u.TokensAudio.Valid:
		return invalid(prefix+"tokens_in", "must be sent with tokens of a cache or of audio: the input tokens besides those, 0 if there were none")
	}
	if u.TokensReasoning.Valid && !u.TokensOut.Valid {
		return invalid(prefix+"tokens_out", "must be sent with tokens_reasoning: the output tokens besides those, 0 if there were none")
	}
	return nil
}

// LLMCall is one call of a model within a run.
type LLMCall struct {
	Model string // the model's id in the price book; empty: the Model of the request
	Usage
}

// PricedCall is a call as its event keeps it, with the price that was used, frozen. The price is zero when the run has no computed cost.
type PricedCall struct {
	LLMCall
	Price Price
	FX    ExchangeRate // zero when the price is in the event's currency
}

// validateCalls checks the calls of a request and gives those without a model that of the request.
func (r *TrackRequest) validateCalls() error {
	if len(r.LLMCalls) == 0 {
		r.LLMCalls = nil
		return nil
	}
	if len(r.LLMCalls) > MaxLLMCalls {
		return invalid("llm_calls", "must have at most "+strconv.Itoa(MaxLLMCalls)+" items")
	}
	for i, n := range r.Usage.counts() {
		if n.Valid {
			return invalid(countNames[i], "must not be sent with llm_calls: each call has its own")
		}
	}
	calls := make([]LLMCall, len(r.LLMCalls)) // the ones it has are the caller's
	for i := range calls {
		prefix := "llm_calls." + strconv.Itoa(i) + "."
		calls[i] = r.LLMCalls[i]
		if calls[i].Model == "" {
			calls[i].Model = r.Model
		} else if err := checkName(prefix+"model", calls[i].Model); err != nil {
			return err
		}
		if err := calls[i].validate(prefix); err != nil {
			return err
		}
	}
	r.LLMCalls = calls
	return nil
}

// setCalls gives e the calls of its run, their sums, and their model if they have one in common and the request named none.
func (e *Event) setCalls(calls []LLMCall) {
	if len(calls) == 0 {
		return
	}
	e.LLMCalls = make([]PricedCall, len(calls))
	common := calls[0].Model
	for i := range calls {
		e.LLMCalls[i].LLMCall = calls[i]
		e.Usage.add(calls[i].Usage)
		if calls[i].Model != common {
			common = ""
		}
	}
	if e.Model == "" {
		e.Model = common
	}
}

// appendUsage appends the counts that are present, each after a comma.
func appendUsage(dst []byte, u *Usage) []byte {
	for i, n := range u.counts() {
		if n.Valid {
			dst = append(append(append(dst, `,"`...), countNames[i]...), `":`...)
			dst = strconv.AppendInt(dst, n.Int64, 10)
		}
	}
	return dst
}

// usageJSON is the decoding side of appendUsage.
type usageJSON struct {
	TokensIn           *int64 `json:"tokens_in"`
	TokensOut          *int64 `json:"tokens_out"`
	TokensCacheRead    *int64 `json:"tokens_cache_read"`
	TokensCacheWrite   *int64 `json:"tokens_cache_write"`
	TokensCacheWrite1h *int64 `json:"tokens_cache_write_1h"`
	TokensReasoning    *int64 `json:"tokens_reasoning"`
	TokensAudio        *int64 `json:"tokens_audio"`
	Images             *int64 `json:"images"`
	WebSearches        *int64 `json:"web_searches"`
}

func (w *usageJSON) usage() Usage {
	return Usage{
		TokensIn: nullInt64(w.TokensIn), TokensOut: nullInt64(w.TokensOut), TokensCacheRead: nullInt64(w.TokensCacheRead),
		TokensCacheWrite: nullInt64(w.TokensCacheWrite), TokensCacheWrite1h: nullInt64(w.TokensCacheWrite1h),
		TokensReasoning: nullInt64(w.TokensReasoning), TokensAudio: nullInt64(w.TokensAudio),
		Images: nullInt64(w.Images), WebSearches: nullInt64(w.WebSearches),
	}
}

// appendPrice appends a frozen price, each field after a comma; nothing for the zero Price.
func appendPrice(dst []byte, p *Price) []byte {
	if p.Model == "" {
		return dst
	}
	dst = appendStringField(dst, `,"priced_as":`, p.Model)
	for i, unit := range p.units() {
		if unit.Valid {
			dst = append(append(append(dst, `,"`...), unitNames[i]...), `":`...)
			dst = AppendDecimal(dst, unit.Decimal)
		}
	}
	if p.Request.Valid {
		dst = appendDecimalField(dst, `,"price_per_request":`, p.Request.Decimal)
	}
	dst = appendStringField(dst, `,"price_currency":`, p.Currency)
	dst = appendStringField(dst, `,"price_source":`, p.Source)
	dst = appendStringField(dst, `,"price_version":`, p.Version)
	return appendDateField(dst, `,"price_date":`, p.Date)
}

// appendFX appends a frozen exchange rate, each field after a comma; nothing for the zero ExchangeRate.
func appendFX(dst []byte, fx *ExchangeRate) []byte {
	if fx.To == "" {
		return dst
	}
	dst = appendDecimalField(dst, `,"fx_rate":`, fx.Rate)
	dst = appendStringField(dst, `,"fx_source":`, fx.Source)
	return appendDateField(dst, `,"fx_date":`, fx.Date)
}

// priceJSON is the decoding side of appendPrice and appendFX.
type priceJSON struct {
	PricedAs     string              `json:"priced_as"`
	Input        decimal.NullDecimal `json:"price_input_per_token"`
	Output       decimal.NullDecimal `json:"price_output_per_token"`
	CacheRead    decimal.NullDecimal `json:"price_cache_read_per_token"`
	CacheWrite   decimal.NullDecimal `json:"price_cache_write_per_token"`
	CacheWrite1h decimal.NullDecimal `json:"price_cache_write_1h_per_token"`
	Reasoning    decimal.NullDecimal `json:"price_reasoning_per_token"`
	Audio        decimal.NullDecimal `json:"price_audio_per_token"`
	Image        decimal.NullDecimal `json:"price_per_image"`
	WebSearch    decimal.NullDecimal `json:"price_per_web_search"`
	Request      decimal.NullDecimal `json:"price_per_request"`
	Currency     string              `json:"price_currency"`
	Source       string              `json:"price_source"`
	Version      string              `json:"price_version"`
	Date         string              `json:"price_date"`
	FXRate       decimal.NullDecimal `json:"fx_rate"`
	FXSource     string              `json:"fx_source"`
	FXDate       string              `json:"fx_date"`
}

// prices returns the price and the exchange rate, which is to currency.
func (w *priceJSON) prices(currency string) (p Price, fx ExchangeRate, err error) {
	p = Price{
		Model: w.PricedAs, Input: w.Input, Output: w.Output, CacheRead: w.CacheRead, CacheWrite: w.CacheWrite, CacheWrite1h: w.CacheWrite1h,
		Reasoning: w.Reasoning, Audio: w.Audio, Image: w.Image, WebSearch: w.WebSearch, Request: w.Request,
		Currency: w.Currency, Source: w.Source, Version: w.Version,
	}
	if p.Date, err = parseDate(w.Date); err != nil {
		return p, fx, fmt.Errorf("price_date: %w", err)
	}
	var date time.Time
	if date, err = parseDate(w.FXDate); err != nil {
		return p, fx, fmt.Errorf("fx_date: %w", err)
	}
	if w.FXRate.Valid {
		fx = ExchangeRate{From: w.Currency, To: currency, Rate: w.FXRate.Decimal, Source: w.FXSource, Date: date}
	}
	return p, fx, nil
}

// AppendCalls appends calls as events have them in llm_calls: a JSON array.
func AppendCalls(dst []byte, calls []PricedCall) []byte {
	dst = append(dst, '[')
	for i := range calls {
		c := &calls[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendStringField(dst, `{"model":`, c.Model)
		dst = appendUsage(dst, &c.Usage)
		dst = appendPrice(dst, &c.Price)
		dst = append(appendFX(dst, &c.FX), '}')
	}
	return append(dst, ']')
}

// DecodeCalls reads what AppendCalls wrote for an event in a currency.
func DecodeCalls(currency string, data []byte) ([]PricedCall, error) {
	var list []callJSON
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	return pricedCalls(currency, list)
}

type callJSON struct {
	Model string `json:"model"`
	usageJSON
	priceJSON
}

func pricedCalls(currency string, list []callJSON) ([]PricedCall, error) {
	if len(list) == 0 {
		return nil, nil
	}
	calls := make([]PricedCall, len(list))
	for i := range list {
		w := &list[i]
		price, fx, err := w.prices(currency)
		if err != nil {
			return nil, fmt.Errorf("llm_calls.%d: %w", i, err)
		}
		calls[i] = PricedCall{LLMCall: LLMCall{Model: w.Model, Usage: w.usage()}, Price: price, FX: fx}
	}
	return calls, nil
}
