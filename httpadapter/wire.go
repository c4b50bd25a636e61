package httpadapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// readBody reads a JSON body of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := checkContentType(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, err := readAll(w, r, limit)
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &over):
		return nil, tooLarge(limit)
	case r.Context().Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return nil, invalid("", "the body could not be read; was it sent to its end?")
	}
	return nil, invalid("", "the body ended early")
}

// readAll reads a body to its end. What its length is said to be is believed up to a point: a claim alone must not take memory, and a middleware may have put
// another body in its place.
func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	const believed = 64 << 10
	if r.ContentLength < 1 || r.ContentLength > believed {
		var all bytes.Buffer
		all.Grow(int(max(0, min(r.ContentLength, believed))) + bytes.MinRead)
		_, err := all.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
		return all.Bytes(), err
	}
	body := make([]byte, 0, r.ContentLength+1) // one more, to see the end
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		case len(body) == cap(body):
			rest, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max(0, limit-int64(len(body)))))
			if body = append(body, rest...); err == nil && int64(len(body)) > limit {
				err = &http.MaxBytesError{Limit: limit}
			}
			return body, err
		}
	}
}

func tooLarge(limit int64) error {
	return &humanhours.Error{
		Code: humanhours.CodePayloadTooLarge, Message: fmt.Sprintf("the body is over %d bytes", limit),
		Hint: "Send less: fewer events at once, or shorter texts.",
	}
}

// checkContentType accepts exactly one Content-Type, application/json, in UTF-8 and not compressed.
func checkContentType(h http.Header) error {
	values := h["Content-Type"]
	wrong := func(message string) error {
		return &humanhours.Error{
			Code: humanhours.CodeUnsupportedMediaType, Message: message, Hint: "Send the header Content-Type: application/json.",
		}
	}
	if len(values) != 1 {
		return wrong("the body must be JSON")
	}
	if values[0] != "application/json" {
		media, params, err := mime.ParseMediaType(values[0])
		if err != nil || media != "application/json" {
			return wrong("the body must be JSON")
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return wrong("the body must be in UTF-8")
		}
	}
	for _, encoding := range h["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return &humanhours.Error{
				Code: humanhours.CodeUnsupportedMediaType, Message: "the body must not be compressed",
				Hint: "Leave Content-Encoding out.",
			}
		}
	}
	return nil
}

// trackJSON is the body of POST /v1/track and an item of a batch. null means absent; unknown fields are ignored.
type trackJSON struct {
	AgentID              string `json:"agent_id"`
	TaskType             string `json:"task_type"`
	Outcome              string `json:"outcome"`
	AgentDuration        number `json:"agent_duration_seconds"`
	AgentCost            number `json:"agent_cost"`
	HumanBaselineMinutes number `json:"human_baseline_minutes"`
	Model                string `json:"model"`
	usageJSON
	LLMCalls       json.RawMessage        `json:"llm_calls"`
	Metadata       json.RawMessage        `json:"metadata"`
	AuditSample    humanhours.AuditSample `json:"audit_sample"`
	OccurredAt     *string                `json:"occurred_at"`
	IdempotencyKey *string                `json:"idempotency_key"`
}

// decodeAny is decodeTrack for anything that may be sent.
func decodeAny(data []byte) (humanhours.TrackRequest, error) {
	var w trackJSON
	if err := decodeObject(data, &w); err != nil {
		return humanhours.TrackRequest{}, err
	}
	r := humanhours.TrackRequest{
		AgentID: w.AgentID, TaskType: w.TaskType, Outcome: humanhours.Outcome(w.Outcome),
		Model: w.Model, Metadata: w.Metadata, AuditSample: w.AuditSample,
	}
	for _, n := range []struct {
		field string
		from  number
		to    *decimal.NullDecimal
	}{
		{"agent_duration_seconds", w.AgentDuration, &r.AgentDuration},
		{"agent_cost", w.AgentCost, &r.AgentCost},
		{"human_baseline_minutes", w.HumanBaselineMinutes, &r.HumanBaselineMinutes},
	} {
		if n.from.fault != "" {
			return humanhours.TrackRequest{}, invalid(n.field, n.field+" "+n.from.fault)
		}
		*n.to = n.from.value
	}
	var err error
	if r.Usage, err = w.usage(""); err != nil {
		return humanhours.TrackRequest{}, err
	}
	if r.LLMCalls, err = decodeCalls(w.LLMCalls); err != nil {
		return humanhours.TrackRequest{}, err
	}
	if w.OccurredAt != nil {
		if r.OccurredAt, err = parseInstant(*w.OccurredAt); err != nil {
			return humanhours.TrackRequest{}, invalid("occurred_at", `occurred_at must be an RFC 3339 instant such as "2026-05-06T10:42:00.000Z"`)
		}
	}
	if w.IdempotencyKey != nil {
		if *w.IdempotencyKey == "" {
			return humanhours.TrackRequest{}, invalid("idempotency_key", "idempotency_key must be 1 to 255 characters")
		}
		r.IdempotencyKey = *w.IdempotencyKey
	}
	return r, nil
}

// usageJSON is what a call or a whole run consumed.
type usageJSON struct {
	TokensIn           number `json:"tokens_in"`
	TokensOut          number `json:"tokens_out"`
	TokensCacheRead    number `json:"tokens_cache_read"`
	TokensCacheWrite   number `json:"tokens_cache_write"`
	TokensCacheWrite1h number `json:"tokens_cache_write_1h"`
	TokensReasoning    number `json:"tokens_reasoning"`
	TokensAudio        number `json:"tokens_audio"`
	Images             number `json:"images"`
	WebSearches        number `json:"web_searches"`
}

// usage reads the counts; prefix starts the names of the fields.
func (w *usageJSON) usage(prefix string) (u humanhours.Usage, err error) {
	for _, n := range []struct {
		field string
		from  *number
		to    *humanhours.NullInt64
	}{
		{"tokens_in", &w.TokensIn, &u.TokensIn},
		{"tokens_out", &w.TokensOut, &u.TokensOut},
		{"tokens_cache_read", &w.TokensCacheRead, &u.TokensCacheRead},
		{"tokens_cache_write", &w.TokensCacheWrite, &u.TokensCacheWrite},
		{"tokens_cache_write_1h", &w.TokensCacheWrite1h, &u.TokensCacheWrite1h},
		{"tokens_reasoning", &w.TokensReasoning, &u.TokensReasoning},
		{"tokens_audio", &w.TokensAudio, &u.TokensAudio},
		{"images", &w.Images, &u.Images},
		{"web_searches", &w.WebSearches, &u.WebSearches},
	} {
		if *n.to, err = n.from.whole(prefix + n.field); err != nil {
			return humanhours.Usage{}, err
		}
	}
	return u, nil
}

// decodeCalls reads llm_calls. An empty list is an absent one.
func decodeCalls(raw json.RawMessage) ([]humanhours.LLMCall, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	items, err := splitArray(raw, humanhours.MaxLLMCalls)
	if err != nil {
		return nil, invalid("llm_calls", "llm_calls "+err.Error())
	}
	calls := make([]humanhours.LLMCall, len(items))
	for i, item := range items {
		path := "llm_calls." + strconv.Itoa(i)
		var w struct {
			Model string `json:"model"`
			usageJSON
		}
		err := json.Unmarshal(item, &w)
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrongType) && wrongType.Field != "":
			return nil, invalid(path+"."+wrongType.Field, path+"."+wrongType.Field+" must be "+jsonKind(wrongType.Type))
		case err != nil, bytes.TrimLeft(item, " \t\r\n")[0] != '{':
			return nil, invalid(path, path+" must be an object")
		}
		calls[i].Model = w.Model
		if calls[i].Usage, err = w.usage(path + "."); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// splitArray returns the items of a valid JSON array, most of them at most, without copying. Decoding into a slice instead would let a
// body of 8 MiB make four million items before anybody counts them.
func splitArray(raw json.RawMessage, most int) ([]json.RawMessage, error) {
	if raw[0] != '[' {
		return nil, errors.New("must be an array")
	}
	raw = bytes.TrimSpace(raw[1 : len(raw)-1])
	if len(raw) == 0 {
		return nil, nil
	}
	var items []json.RawMessage
	level, inString, start := 0, false, 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
		case c == '}' || c == ']':
			level--
		case c == ',' && level == 0:
			items = append(items, raw[start:i])
			start = i + 1
			if len(items) == most {
				return nil, fmt.Errorf("must have at most %d items", most)
			}
		}
	}
	return append(items, raw[start:]), nil
}

// parseInstant reads an RFC 3339 instant, strictly: package time also takes a comma before the fraction, an hour of one
// digit and an offset of more than a day.
func parseInstant(s string) (time.Time, error) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(s) < shortest || s[13] != ':' || strings.Contains(s, ",") {
		return time.Time{}, errors.New("not RFC 3339")
	}
	if offset := s[len(s)-5:]; s[len(s)-1] != 'Z' && (offset[:2] > "23" || offset[3:] > "59") {
		return time.Time{}, errors.New("the offset is out of range")
	}
	t, err := time.Parse(time.RFC3339, s)
	if err == nil && t.IsZero() {
		t = t.Add(1) // the first instant of the year 1 is out of range, not absent
	}
	return t, err
}

// decodeObject reads a JSON object into v, with errors that speak of the JSON and not of Go.
func decodeObject(data []byte, v any) error {
	if !utf8.Valid(data) {
		return invalid("", "the body must be valid UTF-8")
	}
	err := json.Unmarshal(data, v)
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		if trimmed := bytes.TrimLeft(data, " \t\r\n"); trimmed[0] != '{' { // null
			return invalid("", "a JSON object is expected")
		}
		return nil
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return invalid(wrongType.Field, wrongType.Field+" must be "+jsonKind(wrongType.Type))
	case errors.As(err, &wrongType):
		return invalid("", "a JSON object is expected")
	case errors.As(err, &syntax):
		return invalid("", fmt.Sprintf("the body is not valid JSON: %s (at byte %d)", syntax.Error(), syntax.Offset))
	}
	return invalid("", "the body is not valid JSON")
}

// decodeOnly is decodeObject for a body in which a field besides those of dst, which names lists for people, is refused and not ignored.
func decodeOnly(body []byte, dst any, names string) error {
	if err := decodeObject(body, dst); err != nil {
		return err
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(dst); err != nil {
		return invalid("", "the body has a field besides "+names)
	}
	return nil
}

// jsonKind names the JSON type that a field takes.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a string"
	}
}

// number is a JSON number, read exactly. encoding/json's own Number would also take a number in quotes.
type number struct {
	value decimal.NullDecimal // not Valid: absent
	fault string              // what is wrong with it; the sentence starts with the field's name
}

// maxNumberLen bounds the text of a number. No number that means anything is longer.
const maxNumberLen = 64

// UnmarshalJSON implements json.Unmarshaler. It never fails: the error would lack the field's name.
func (n *number) UnmarshalJSON(data []byte) error {
	*n = number{}
	switch {
	case string(data) == "null":
	case data[0] != '-' && (data[0] < '0' || data[0] > '9'):
		n.fault = "must be a number"
	case len(data) > maxNumberLen:
		n.fault = "must be a number of at most 64 characters"
	default:
		// The exponent is read apart and held within bounds that keep the number as large or as small as it
		// needs to be to be refused or rounded to 0: 1e999999999 must not meet any arithmetic.
		mantissa, exponent, _ := strings.Cut(strings.ToLower(string(data)), "e")
		shift := 0
		if exponent != "" {
			var err error
			if shift, err = strconv.Atoi(exponent); err != nil { // out of range
				shift = maxShift
				if exponent[0] == '-' {
					shift = -maxShift
				}
			}
		}
		d, err := decimal.NewFromString(mantissa)
		if err != nil {
			n.fault = "must be a number"
			return nil
		}
		n.value = decimal.NewNullDecimal(d.Shift(int32(max(-maxShift, min(shift, maxShift)))))
	}
	return nil
}

// maxShift is far more than the digits of a number of maxNumberLen can make up for.
const maxShift = 1000

// whole returns the number as a count of tokens.
func (n *number) whole(field string) (humanhours.NullInt64, error) {
	d := n.value.Decimal
	switch {
	case n.fault != "":
		return humanhours.NullInt64{}, invalid(field, field+" "+n.fault)
	case !n.value.Valid:
		return humanhours.NullInt64{}, nil
	case d.NumDigits()+int(d.Exponent()) > 18:
		d = decimal.NewFromInt(int64(d.Sign()) * (humanhours.MaxTokens + 1)) // refused by the Tracker, with the right words
	case !d.IsInteger():
		return humanhours.NullInt64{}, invalid(field, field+" must be a whole number")
	}
	return humanhours.Int64(d.IntPart()), nil
}
