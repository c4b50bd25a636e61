package humanhours

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go/internal/instant"
)

// Events are read far more often than they are written: each time that they are exported or grouped by something that no sums are kept by. What
// AppendStored writes is therefore read here, without reflection. Whatever looks otherwise is left to encoding/json, and a fuzz target holds both
// against each other.

// scanner goes through JSON without white space. Once it meets something else, it stays bad.
type scanner struct {
	data []byte
	at   int
	bad  bool
}

// next skips c, or is bad.
func (s *scanner) next(c byte) {
	if s.at >= len(s.data) || s.data[s.at] != c {
		s.bad = true
		return
	}
	s.at++
}

func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

// quoted returns what stands between quotes, and whether there are escapes in it. What else is in it, nobody has looked at.
func (s *scanner) quoted() (text []byte, escaped bool) {
	s.next('"')
	if s.bad {
		return nil, false
	}
	for i := s.at; ; {
		n := bytes.IndexByte(s.data[i:], '"')
		if n < 0 {
			s.bad = true
			return nil, false
		}
		slashes := 0 // before the quote
		for i+n-slashes > s.at && s.data[i+n-slashes-1] == '\\' {
			slashes++
		}
		i += n + 1
		if slashes%2 == 0 {
			text = s.data[s.at : i-1]
			s.at = i
			return text, bytes.IndexByte(text, '\\') >= 0
		}
	}
}

// member goes to the value of the next member of an object that is open, and returns its name; false at the end.
func (s *scanner) member(first bool) (name []byte, ok bool) {
	if s.peek() == '}' {
		s.at++
		return nil, false
	}
	if !first {
		s.next(',')
	}
	name, escaped := s.quoted()
	s.next(':')
	s.bad = s.bad || escaped
	return name, !s.bad
}

// text reads a string.
func (s *scanner) text() string {
	start := s.at
	raw, escaped := s.quoted()
	if s.bad {
		return ""
	}
	if escaped || !plain(raw) {
		var text string
		if json.Unmarshal(s.data[start:s.at], &text) != nil {
			s.bad = true
		}
		return text
	}
	// Words of our own come all the time.
	switch string(raw) {
	case "success":
		return "success"
	case "failure":
		return "failure"
	case "EUR":
		return "EUR"
	case "USD":
		return "USD"
	case "builtin":
		return "builtin"
	case "default":
		return "default"
	case "computed":
		return "computed"
	case "provided":
		return "provided"
	}
	return string(raw)
}

// plain reports whether a string is what stands between the quotes.
func plain(raw []byte) bool {
	for _, c := range raw {
		if c < ' ' {
			return false
		}
	}
	return utf8.Valid(raw)
}

// digits reads a number without an exponent, of which the value is units / 10^places.
func (s *scanner) digits() (units int64, places int32, ok bool) {
	i, negative, n := s.at, false, 0
	if i < len(s.data) && s.data[i] == '-' {
		negative = true
		i++
	}
	first, point := i, -1
	for ; i < len(s.data); i++ {
		c := s.data[i]
		if c == '.' && point < 0 && n > 0 {
			point = i
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if n++; n > 18 {
			return 0, 0, false
		}
		units = 10*units + int64(c-'0')
	}
	if n == 0 || i == point+1 || s.data[first] == '0' && n > 1 && point != first+1 {
		return 0, 0, false
	}
	if i < len(s.data) && s.data[i] != ',' && s.data[i] != '}' && s.data[i] != ']' {
		return 0, 0, false
	}
	if point >= 0 {
		places = int32(i - point - 1)
	}
	if negative {
		units = -units
	}
	s.at = i
	return units, places, true
}

func (s *scanner) decimal() decimal.Decimal {
	if units, places, ok := s.digits(); ok {
		return decimal.New(units, -places)
	}
	var d decimal.Decimal // a longer one
	if raw := s.raw(); s.bad || raw[0] == '"' || raw[0] == 'n' || json.Unmarshal(raw, &d) != nil {
		s.bad = true
	}
	return d
}

func (s *scanner) nullDecimal() decimal.NullDecimal {
	if s.peek() == 'n' {
		s.bad = s.bad || string(s.raw()) != "null"
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(s.decimal())
}

func (s *scanner) int64() int64 {
	units, places, ok := s.digits()
	s.bad = s.bad || !ok || places != 0
	return units
}

func (s *scanner) int32() int32 {
	n := s.int64()
	s.bad = s.bad || n != int64(int32(n))
	return int32(n)
}

func (s *scanner) count() *int64 {
	n := s.int64()
	return &n
}

func (s *scanner) boolean() bool {
	raw := s.raw()
	switch string(raw) {
	case "true":
		return true
	case "false":
		return false
	}
	s.bad = true
	return false
}

func (s *scanner) instant() time.Time {
	text, _ := s.quoted()
	ms, ok := instant.Parse(text)
	s.bad = s.bad || !ok
	return time.UnixMilli(ms).UTC()
}

// raw skips a value and returns it. That it is JSON is known only as far as quotes and brackets go.
func (s *scanner) raw() []byte {
	start, depth := s.at, 0
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case '"':
			if s.quoted(); s.bad {
				return nil
			}
			if depth == 0 {
				return s.data[start:s.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.value(start)
			}
			if depth--; depth == 0 {
				s.at++
				return s.data[start:s.at]
			}
		case ',':
			if depth == 0 {
				return s.value(start)
			}
		case ' ', '\t', '\r', '\n':
			s.bad = true
			return nil
		}
		s.at++
	}
	if depth > 0 {
		s.bad = true
		return nil
	}
	return s.value(start)
}

func (s *scanner) value(start int) []byte {
	s.bad = s.bad || s.at == start
	if s.bad {
		return nil
	}
	return s.data[start:s.at]
}

// into decodes a value that is an object or an array.
func into[T any](s *scanner) (v T) {
	if raw := s.raw(); s.bad || json.Unmarshal(raw, &v) != nil {
		s.bad = true
	}
	return v
}

// scan reads what AppendStored wrote; false: it is something else, and w may have a part of it. A sparse one lacks what EventQuery.Sparse says.
func (w *eventJSON) scan(data []byte, sparse bool) bool {
	s := scanner{data: data}
	s.next('{')
	for first := true; ; first = false {
		name, ok := s.member(first)
		if !ok {
			return !s.bad && s.at == len(data)
		}
		switch string(name) {
		case "v":
			w.V = int(s.int32())
		case "received_at":
			w.ReceivedAt = s.instant()
		case "hours_scale":
			w.HoursScale = s.int32()
		case "money_scale":
			w.MoneyScale = s.int32()
		case "event_id":
			w.ID = s.text()
		case "test":
			w.Test = s.boolean()
		case "agent_id":
			w.AgentID = s.text()
		case "task_type":
			w.TaskType = s.text()
		case "outcome":
			w.Outcome = Outcome(s.text())
		case "credited":
			credited := s.boolean()
			w.Credited = &credited
		case "resolved_baseline_source":
			w.BaselineFrom = BaselineSource(s.text())
		case "currency":
			w.Currency = s.text()
		case "hours_saved":
			w.HoursSaved = s.decimal()
		case "cost_saved":
			w.CostSaved = s.decimal()
		case "agent_cost":
			w.AgentCost = s.nullDecimal()
		case "resolved_cost_source":
			w.CostFrom = CostSource(s.text())
		case "unpriced_model":
			w.UnpricedModel = s.text()
		case "net_saved":
			w.NetSaved = s.decimal()
		case "occurred_at":
			w.OccurredAt = s.instant()
		case "model":
			w.Model = s.text()
		case "metadata":
			raw := s.raw()
			if s.bad || raw[0] != '{' || !sparse && !json.Valid(raw) {
				return false
			}
			w.Metadata = bytes.Clone(raw)
		case "amendments":
			w.Amendments = into[[]amendmentJSON](&s)
		default:
			if sparse {
				s.raw()
			} else if !w.scanRest(string(name), &s) {
				return false
			}
		}
		if s.bad {
			return false
		}
	}
}

// scanRest reads a member that a sparse event lacks; false: it has another name.
func (w *eventJSON) scanRest(name string, s *scanner) bool {
	p, u := &w.priceJSON, &w.usageJSON
	switch name {
	case "key_id":
		w.KeyID = s.text()
	case "resolved_baseline_minutes":
		w.Baseline = s.decimal()
	case "resolved_hourly_rate":
		w.Rate = s.decimal()
	case "resolved_hourly_rate_source":
		w.RateFrom = RateSource(s.text())
	case "agent_duration_seconds":
		w.AgentDuration = s.nullDecimal()
	case "cost_precision":
		w.Precision = CostPrecision(s.text())
	case "unpriced_reason":
		w.Unpriced = UnpricedReason(s.text())
	case "tokens_in":
		u.TokensIn = s.count()
	case "tokens_out":
		u.TokensOut = s.count()
	case "tokens_cache_read":
		u.TokensCacheRead = s.count()
	case "tokens_cache_write":
		u.TokensCacheWrite = s.count()
	case "tokens_cache_write_1h":
		u.TokensCacheWrite1h = s.count()
	case "tokens_reasoning":
		u.TokensReasoning = s.count()
	case "tokens_audio":
		u.TokensAudio = s.count()
	case "images":
		u.Images = s.count()
	case "web_searches":
		u.WebSearches = s.count()
	case "priced_as":
		p.PricedAs = s.text()
	case "price_input_per_token":
		p.Input = s.nullDecimal()
	case "price_output_per_token":
		p.Output = s.nullDecimal()
	case "price_cache_read_per_token":
		p.CacheRead = s.nullDecimal()
	case "price_cache_write_per_token":
		p.CacheWrite = s.nullDecimal()
	case "price_cache_write_1h_per_token":
		p.CacheWrite1h = s.nullDecimal()
	case "price_reasoning_per_token":
		p.Reasoning = s.nullDecimal()
	case "price_audio_per_token":
		p.Audio = s.nullDecimal()
	case "price_per_image":
		p.Image = s.nullDecimal()
	case "price_per_web_search":
		p.WebSearch = s.nullDecimal()
	case "price_per_request":
		p.Request = s.nullDecimal()
	case "price_currency":
		p.Currency = s.text()
	case "price_source":
		p.Source = s.text()
	case "price_version":
		p.Version = s.text()
	case "price_date":
		p.Date = s.text()
	case "fx_rate":
		p.FXRate = s.nullDecimal()
	case "fx_source":
		p.FXSource = s.text()
	case "fx_date":
		p.FXDate = s.text()
	case "llm_calls":
		w.LLMCalls = into[[]callJSON](s)
	case "audit_sample":
		w.AuditSample = into[AuditSample](s)
	default:
		return false
	}
	return true
}

// member returns the value of a member of the event's metadata, nil if there is none; false: the metadata is not a JSON object, or one with white space.
func member(metadata json.RawMessage, key string) (value json.RawMessage, ok bool) {
	s := scanner{data: metadata}
	s.next('{')
	for first := true; ; first = false {
		if s.peek() == '}' {
			s.at++
			return value, !s.bad && s.at == len(metadata)
		}
		if !first {
			s.next(',')
		}
		start := s.at
		name, escaped := s.quoted()
		if s.bad {
			return nil, false
		}
		found := string(name) == key
		if escaped {
			var text string
			found = json.Unmarshal(metadata[start:s.at], &text) == nil && text == key
		}
		s.next(':')
		raw := s.raw()
		if s.bad {
			return nil, false
		}
		if found {
			value = raw // the last one counts
		}
	}
}
