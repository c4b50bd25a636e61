package humanhours

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go/internal/instant"
	"github.com/humanhours/humanhours-go/internal/scan"
)

// Events are read far more often than they are written: each time that they are exported or grouped by something that no sums are kept by. What
// AppendStored writes is therefore read here, without reflection. Whatever looks otherwise is left to encoding/json, and a fuzz target holds both
// against each other.

// scanner is a scan.Scanner for what events have. What stores keep has no white space.
type scanner struct{ scan.Scanner }

func (s *scanner) decimal() decimal.Decimal {
	if units, places, ok := s.Digits(); ok {
		return decimal.New(units, -places)
	}
	var d decimal.Decimal // a longer one
	if raw := s.Raw(); s.Bad || raw[0] == '"' || raw[0] == 'n' || json.Unmarshal(raw, &d) != nil {
		s.Bad = true
	}
	return d
}

func (s *scanner) nullDecimal() decimal.NullDecimal {
	if s.Null() {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(s.decimal())
}

func (s *scanner) int64() int64 {
	units, places, ok := s.Digits()
	s.Bad = s.Bad || !ok || places != 0
	return units
}

func (s *scanner) int32() int32 {
	n := s.int64()
	s.Bad = s.Bad || n != int64(int32(n))
	return int32(n)
}

func (s *scanner) count() *int64 {
	n := s.int64()
	return &n
}

func (s *scanner) boolean() bool {
	raw := s.Raw()
	switch string(raw) {
	case "true":
		return true
	case "false":
		return false
	}
	s.Bad = true
	return false
}

func (s *scanner) instant() time.Time {
	text, _ := s.Quoted()
	ms, ok := instant.Parse(text)
	s.Bad = s.Bad || !ok
	return time.UnixMilli(ms).UTC()
}

// into decodes a value that is an object or an array.
func into[T any](s *scanner) (v T) {
	if raw := s.Raw(); s.Bad || json.Unmarshal(raw, &v) != nil {
		s.Bad = true
	}
	return v
}

// scan reads what AppendStored wrote; false: it is something else, and w may have a part of it. A sparse one lacks what EventQuery.Sparse says.
func (w *eventJSON) scan(data []byte, sparse bool) bool {
	s := scanner{scan.Scanner{Data: data}}
	s.Next('{')
	for first := true; ; first = false {
		name, ok := s.Member(first)
		if !ok {
			return !s.Bad && s.At == len(data)
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
			w.ID = s.Text()
		case "test":
			w.Test = s.boolean()
		case "agent_id":
			w.AgentID = s.Text()
		case "task_type":
			w.TaskType = s.Text()
		case "outcome":
			w.Outcome = Outcome(s.Text())
		case "credited":
			credited := s.boolean()
			w.Credited = &credited
		case "resolved_baseline_source":
			w.BaselineFrom = BaselineSource(s.Text())
		case "currency":
			w.Currency = s.Text()
		case "hours_saved":
			w.HoursSaved = s.decimal()
		case "cost_saved":
			w.CostSaved = s.decimal()
		case "agent_cost":
			w.AgentCost = s.nullDecimal()
		case "resolved_cost_source":
			w.CostFrom = CostSource(s.Text())
		case "unpriced_model":
			w.UnpricedModel = s.Text()
		case "net_saved":
			w.NetSaved = s.decimal()
		case "occurred_at":
			w.OccurredAt = s.instant()
		case "model":
			w.Model = s.Text()
		case "metadata":
			raw := s.Raw()
			if s.Bad || raw[0] != '{' || !sparse && !json.Valid(raw) {
				return false
			}
			w.Metadata = bytes.Clone(raw)
		case "amendments":
			w.Amendments = into[[]amendmentJSON](&s)
		default:
			if sparse {
				s.Raw()
			} else if !w.scanRest(string(name), &s) {
				return false
			}
		}
		if s.Bad {
			return false
		}
	}
}

// scanRest reads a member that a sparse event lacks; false: it has another name.
func (w *eventJSON) scanRest(name string, s *scanner) bool {
	p, u := &w.priceJSON, &w.usageJSON
	switch name {
	case "key_id":
		w.KeyID = s.Text()
	case "resolved_baseline_minutes":
		w.Baseline = s.decimal()
	case "resolved_hourly_rate":
		w.Rate = s.decimal()
	case "resolved_hourly_rate_source":
		w.RateFrom = RateSource(s.Text())
	case "agent_duration_seconds":
		w.AgentDuration = s.nullDecimal()
	case "cost_precision":
		w.Precision = CostPrecision(s.Text())
	case "unpriced_reason":
		w.Unpriced = UnpricedReason(s.Text())
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
		p.PricedAs = s.Text()
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
		p.Currency = s.Text()
	case "price_source":
		p.Source = s.Text()
	case "price_version":
		p.Version = s.Text()
	case "price_date":
		p.Date = s.Text()
	case "fx_rate":
		p.FXRate = s.nullDecimal()
	case "fx_source":
		p.FXSource = s.Text()
	case "fx_date":
		p.FXDate = s.Text()
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
	s := scanner{scan.Scanner{Data: metadata}}
	s.Next('{')
	for first := true; ; first = false {
		if s.Peek() == '}' {
			s.At++
			return value, !s.Bad && s.At == len(metadata)
		}
		if !first {
			s.Next(',')
		}
		start := s.At
		name, escaped := s.Quoted()
		if s.Bad {
			return nil, false
		}
		found := string(name) == key
		if escaped {
			var text string
			found = json.Unmarshal(metadata[start:s.At], &text) == nil && text == key
		}
		s.Next(':')
		raw := s.Raw()
		if s.Bad {
			return nil, false
		}
		if found {
			value = raw // the last one counts
		}
	}
}
