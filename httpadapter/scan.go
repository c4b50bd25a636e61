package httpadapter

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/instant"
	"github.com/humanhours/humanhours-go/internal/scan"
)

// Nearly all requests look alike, and are read here, in a fraction of the time that reflection takes. Whatever is unusual, and all that is wrong, is left to
// decodeAny, which has the words for it. A fuzz target holds both against each other.

// decodeTrack reads one event as it was sent. What needs no knowledge of JSON is checked by the Tracker.
func decodeTrack(data []byte) (humanhours.TrackRequest, error) {
	if utf8.Valid(data) {
		s := scanner{scan.Scanner{Data: data, Spaces: true}}
		var r humanhours.TrackRequest
		if s.track(&r) && s.Done() {
			return r, nil
		}
	}
	return decodeAny(data)
}

// batchItem is one of a batch as it was sent.
type batchItem struct {
	request humanhours.TrackRequest
	err     error
}

// scanBatch reads the body of a batch; false: it is unusual, or wrong.
func scanBatch(body []byte) (items []batchItem, ok bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	s := scanner{scan.Scanner{Data: body, Spaces: true}}
	s.Next('{')
	if name, ok := s.Member(true); !ok || string(name) != "events" {
		return nil, false
	}
	s.Next('[')
	for s.Item(len(items) == 0) {
		if len(items) == humanhours.MaxBatch {
			return nil, false
		}
		var one batchItem
		if start := s.At; !s.track(&one.request) {
			s.At, s.Bad = start, false
			raw := s.Value()
			if s.Bad {
				return nil, false
			}
			one.request, one.err = decodeAny(raw)
		}
		items = append(items, one)
	}
	_, more := s.Member(false)
	return items, !more && s.Done() && len(items) > 0
}

type scanner struct{ scan.Scanner }

// Fields of a request, and of a call.
const (
	agentID = iota
	taskType
	outcome
	duration
	agentCost
	baseline
	model
	llmCalls
	metadata
	auditSample
	occurredAt
	idempotencyKey
	counts  // the first of those of a Usage, in its order
	unknown = 31
)

func fieldOf(name []byte) uint {
	switch string(name) {
	case "agent_id":
		return agentID
	case "task_type":
		return taskType
	case "outcome":
		return outcome
	case "agent_duration_seconds":
		return duration
	case "agent_cost":
		return agentCost
	case "human_baseline_minutes":
		return baseline
	case "model":
		return model
	case "llm_calls":
		return llmCalls
	case "metadata":
		return metadata
	case "audit_sample":
		return auditSample
	case "occurred_at":
		return occurredAt
	case "idempotency_key":
		return idempotencyKey
	case "tokens_in":
		return counts
	case "tokens_out":
		return counts + 1
	case "tokens_cache_read":
		return counts + 2
	case "tokens_cache_write":
		return counts + 3
	case "tokens_cache_write_1h":
		return counts + 4
	case "tokens_reasoning":
		return counts + 5
	case "tokens_audio":
		return counts + 6
	case "images":
		return counts + 7
	case "web_searches":
		return counts + 8
	}
	return unknown
}

// track reads a request; false: it is unusual, or wrong, and r may have a part of it.
func (s *scanner) track(r *humanhours.TrackRequest) bool {
	var seen uint32 // fields, of which encoding/json would take the last
	s.Next('{')
	for first := true; ; first = false {
		name, ok := s.Member(first)
		if !ok {
			return !s.Bad
		}
		field := fieldOf(name)
		if field == unknown || seen&(1<<field) != 0 {
			return false
		}
		seen |= 1 << field
		if s.Null() {
			continue // absent
		}
		switch field {
		case agentID:
			r.AgentID = s.Text()
		case taskType:
			r.TaskType = s.Text()
		case outcome:
			r.Outcome = humanhours.Outcome(s.Text())
		case duration:
			r.AgentDuration = s.number()
		case agentCost:
			r.AgentCost = s.number()
		case baseline:
			r.HumanBaselineMinutes = s.number()
		case model:
			r.Model = s.Text()
		case llmCalls:
			r.LLMCalls = s.calls()
		case metadata:
			r.Metadata = json.RawMessage(s.Value())
		case auditSample:
			s.auditSample(&r.AuditSample)
		case occurredAt:
			r.OccurredAt = s.instant()
		case idempotencyKey:
			r.IdempotencyKey = s.Text()
			s.Bad = s.Bad || r.IdempotencyKey == ""
		default:
			s.count(&r.Usage, field)
		}
	}
}

func (s *scanner) number() decimal.NullDecimal {
	units, places, ok := s.Digits()
	if !ok {
		s.Bad = true
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(decimal.New(units, -places))
}

// count reads one of the counts of a usage.
func (s *scanner) count(u *humanhours.Usage, field uint) {
	units, places, ok := s.Digits()
	s.Bad = s.Bad || !ok || places > 0
	*[...]*humanhours.NullInt64{
		&u.TokensIn, &u.TokensOut, &u.TokensCacheRead, &u.TokensCacheWrite, &u.TokensCacheWrite1h, &u.TokensReasoning, &u.TokensAudio, &u.Images, &u.WebSearches,
	}[field-counts] = humanhours.Int64(units)
}

func (s *scanner) calls() (calls []humanhours.LLMCall) {
	s.Next('[')
	for s.Item(len(calls) == 0) {
		if len(calls) == humanhours.MaxLLMCalls {
			s.Bad = true
			return nil
		}
		var c humanhours.LLMCall
		var seen uint32
		s.Next('{')
		for first := true; ; first = false {
			name, ok := s.Member(first)
			if !ok {
				break
			}
			field := fieldOf(name)
			if s.Bad = field == unknown || field != model && field < counts || seen&(1<<field) != 0; s.Bad {
				return nil
			}
			seen |= 1 << field
			switch {
			case s.Null():
			case field == model:
				c.Model = s.Text()
			default:
				s.count(&c.Usage, field)
			}
		}
		if s.Bad = s.Bad || seen == 0; s.Bad { // there may be any number of {}, of a few bytes each
			return nil
		}
		calls = append(calls, c)
	}
	return calls
}

func (s *scanner) auditSample(a *humanhours.AuditSample) {
	s.Next('{')
	seen := 0
	for first := true; ; first = false {
		name, ok := s.Member(first)
		if !ok {
			return
		}
		var to *string
		switch string(name) {
		case "input_excerpt":
			to, seen = &a.InputExcerpt, seen+1
		case "output_excerpt":
			to, seen = &a.OutputExcerpt, seen+10
		}
		if s.Bad = to == nil || seen%10 > 1 || seen > 11; s.Bad {
			return
		}
		if !s.Null() {
			*to = s.Text()
		}
	}
}

// instant reads one as most are written: in UTC, to the millisecond or the second.
func (s *scanner) instant() time.Time {
	text, escaped := s.Quoted()
	if s.Bad || escaped {
		s.Bad = true
		return time.Time{}
	}
	if ms, ok := instant.Parse(text); ok {
		t := time.UnixMilli(ms).UTC()
		s.Bad = t.IsZero() // which stands for an absent one
		return t
	}
	t, err := parseInstant(string(text))
	s.Bad = err != nil
	return t
}
