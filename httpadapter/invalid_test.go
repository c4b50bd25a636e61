package httpadapter_test

import (
	"cmp"
	"encoding/json"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// badRequest is a request that must be refused.
type badRequest struct {
	name   string
	body   string
	field  string
	status int             // 0: 422
	code   humanhours.Code // empty: validation_error
	edit   edit
}

// badBodies are wrong by themselves, whether sent alone or, if they are JSON, in a batch.
func badBodies() []badRequest {
	list := []badRequest{
		{name: "empty body", body: ""},
		{name: "only spaces", body: " \n"},
		{name: "null", body: "null"},
		{name: "array", body: "[" + event() + "]"},
		{name: "string", body: `"agent_id"`},
		{name: "number", body: "1"},
		{name: "bool", body: "true"},
		{name: "truncated", body: strings.TrimSuffix(event(), "}")},
		{name: "truncated in a string", body: `{"agent_id":"a`},
		{name: "data after the value", body: event() + event()},
		{name: "letter after the value", body: event() + "x"},
		{name: "brace after the value", body: event() + "}"},
		{name: "byte order mark", body: "\ufeff" + event()},
		{name: "trailing comma", body: `{"agent_id":"a",}`},
		{name: "single quotes", body: `{'agent_id':'a'}`},
		{name: "comment", body: "{/**/}"},
		{name: "raw newline in a string", body: event("agent_id", "\"a\nb\"")},
		{name: "unknown escape", body: event("agent_id", `"\x41"`)},
		{name: "half an escape", body: event("agent_id", `"\u12"`)},
		{name: "10,001 brackets", body: event("metadata", strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001))},

		{name: "invalid UTF-8 in agent_id", body: event("agent_id", "\"a\xff\"")},
		{name: "invalid UTF-8 in a name", body: event("x\xff", "1")},
		{name: "invalid UTF-8 in metadata", body: event("metadata", "{\"m\":\"\xc3\x28\"}")},
		{name: "invalid UTF-8 in an excerpt", body: event("audit_sample", "{\"input_excerpt\":\"\xe2\x82\"}")},
		{name: "invalid UTF-8 in an unknown field", body: event("x", "\"\x80\"")},
		{name: "overlong UTF-8", body: event("agent_id", "\"\xc0\xaf\"")},
		{name: "surrogate in UTF-8", body: event("agent_id", "\"\xed\xa0\x80\"")},
		{name: "invalid UTF-8 after the value", body: event() + "\xff"},
		{name: "UTF-16", body: "{\x00}\x00"},

		{name: "empty object", body: "{}", field: "agent_id"},
		{name: "outcome unknown", body: event("outcome", `"done"`), field: "outcome"},
		{name: "outcome upper case", body: event("outcome", `"SUCCESS"`), field: "outcome"},
		{name: "outcome with a space", body: event("outcome", `"success "`), field: "outcome"},
		{name: "type unknown", body: event("task_type", `"no_such_type"`), field: "task_type", code: humanhours.CodeUnknownTaskType},
		{name: "type in upper case", body: event("task_type", `"Email_Classification"`), field: "task_type", code: humanhours.CodeUnknownTaskType},

		{name: "baseline of a minute too many", body: event("human_baseline_minutes", "525601"), field: "human_baseline_minutes"},
		{name: "baseline a billionth too long", body: event("human_baseline_minutes", "525600.000000001"), field: "human_baseline_minutes"},
		{name: "baseline rounded to too long", body: event("human_baseline_minutes", "525600.0000000005"), field: "human_baseline_minutes"},
		{name: "duration over 366 days", body: event("agent_duration_seconds", "31622401"), field: "agent_duration_seconds"},
		{name: "duration a billionth too long", body: event("agent_duration_seconds", "31622400.000000001"), field: "agent_duration_seconds"},
		{name: "cost over 1e9", body: event("agent_cost", "1000000000.01"), field: "agent_cost"},
		{name: "cost a billionth too high", body: event("agent_cost", "1000000000.000000001"), field: "agent_cost"},
		{name: "cost of 1e10", body: event("agent_cost", "1e10"), field: "agent_cost"},

		{name: "metadata of depth 9", body: event("metadata", nested(9)), field: "metadata"},
		{name: "metadata of depth 9 in arrays", body: event("metadata", `{"m":`+strings.Repeat("[", 8)+strings.Repeat("]", 8)+"}"), field: "metadata"},
		{name: "metadata of depth 9000", body: event("metadata", nested(9000)), field: "metadata"},
		{name: "metadata of 16385 bytes", body: event("metadata", sized(16385)), field: "metadata"},
		{name: "metadata of 100 KiB", body: event("metadata", sized(100<<10)), field: "metadata"},

		{name: "key in the body empty", body: event("idempotency_key", `""`), field: "idempotency_key"},
	}
	// Every field with every type of JSON that it does not take.
	texts := []string{"agent_id", "task_type", "outcome", "model", "occurred_at", "idempotency_key"}
	numbers := []string{"agent_duration_seconds", "agent_cost", "human_baseline_minutes", "tokens_in", "tokens_out",
		"tokens_cache_read", "tokens_cache_write", "tokens_cache_write_1h", "tokens_reasoning", "tokens_audio", "images", "web_searches"}
	wrong := func(field string, values ...string) {
		for _, v := range values {
			list = append(list, badRequest{name: field + " is " + v, body: event(field, v), field: field})
		}
	}
	for _, field := range texts {
		wrong(field, "true", "7", "[]", "{}")
	}
	for _, field := range numbers {
		wrong(field, "true", "[]", "{}", `"7"`, `""`, `"NaN"`, `"Infinity"`, "-1", "-1e999", "1e999999999", "1e99999999999999999999",
			"1234567890123456789012345678901234567890", "1."+strings.Repeat("0", 63), strings.Repeat("9", 65), strings.Repeat("9", 100_000))
	}
	for _, field := range numbers[:3] {
		wrong(field, "-0.000000001", "-1e-400", "-1e-99999999999999999999")
	}
	for _, field := range numbers[3:] {
		wrong(field, "1.5", "0.1", "1e-1", "1e-400", "1e13", "1000000000001", "1000000000000.5", "9223372036854775808", "18446744073709551617", "18446744073709551617.0", "1e18", "1e19")
	}
	wrong("metadata", "true", "7", "[]", `"{}"`, `[{"a":1}]`)
	wrong("llm_calls", "true", "7", `"x"`, "{}", "["+strings.Repeat("{},", humanhours.MaxLLMCalls)+"{}]")
	for _, call := range []struct{ text, field string }{
		{"1", ""}, {"null", ""}, {`"x"`, ""}, {"[]", ""}, {`{"model":7}`, ".model"}, {`{"model":"a\nb"}`, ".model"}, {`{"tokens_in":"1"}`, ".tokens_in"},
		{`{"tokens_in":1.5}`, ".tokens_in"}, {`{"tokens_in":1,"tokens_cache_write_1h":-1}`, ".tokens_cache_write_1h"}, {`{"images":1e999999999}`, ".images"},
		{`{"tokens_cache_read":1}`, ".tokens_in"}, {`{"tokens_in":1,"tokens_reasoning":1}`, ".tokens_out"},
	} {
		list = append(list, badRequest{name: "a call is " + call.text, body: event("llm_calls", `[ {"tokens_in":1} , `+call.text+`]`), field: "llm_calls.1" + call.field})
	}
	list = append(list,
		badRequest{name: "a part of the input without the rest", body: event("tokens_cache_read", "0"), field: "tokens_in"},
		badRequest{name: "a part of the output without the rest", body: event("tokens_in", "1", "tokens_reasoning", "5"), field: "tokens_out"},
		badRequest{name: "totals and calls", body: event("tokens_out", "1", "llm_calls", `[{"tokens_in":1}]`), field: "tokens_out"})
	wrong("audit_sample", "true", "7", "[]", `"x"`)
	for _, excerpt := range []string{"input_excerpt", "output_excerpt"} {
		for _, v := range []string{"true", "7", "[]", "{}", quoted(strings.Repeat("x", 2001)), quoted(strings.Repeat("語", 2001))} {
			field := "audit_sample." + excerpt
			list = append(list, badRequest{name: field + " is " + v, body: event("audit_sample", `{"`+excerpt+`":`+v+`}`), field: field})
		}
	}
	// Texts that JSON does not know as numbers.
	for _, v := range []string{"NaN", "Infinity", "-Infinity", "+1", "01", "-01", "0x10", ".5", "5.", "1e", "1e+", "1_000", "1,5", "--1", "1 2", "-", "１"} {
		list = append(list, badRequest{name: "bare " + v, body: event("agent_cost", v)})
	}
	// Names.
	for _, field := range []string{"agent_id", "task_type", "outcome"} {
		list = append(list,
			badRequest{name: field + " missing", body: event(field, ""), field: field},
			badRequest{name: field + " null", body: event(field, "null"), field: field},
			badRequest{name: field + " empty", body: event(field, `""`), field: field})
	}
	for _, field := range []string{"agent_id", "task_type", "model"} {
		wrong(field, quoted(strings.Repeat("x", 201)), quoted(strings.Repeat("語", 201)), `"a\u0000b"`, `"a\nb"`, `"\t"`, "\"a\x7f\"", `"a\u0085"`, `"\u001b[31m"`)
	}
	wrong("idempotency_key", quoted(strings.Repeat("x", 256)), quoted(strings.Repeat("😀", 256)), `"a\u0000"`, `"\r\n"`, `"\u009f"`)
	// Instants.
	wrong("occurred_at", `""`, `"now"`, `"2026-05-06"`, `"2026-05-06T10:42:00"`, `"2026-05-06T10:42Z"`, `"2026-05-06T10:42:00,5Z"`, `"2026-05-06T1:42:00Z"`,
		`"2026-05-06 10:42:00Z"`, `"2026-05-06T10:42:00+0200"`, `"2026-05-06T10:42:00+02"`, `"2026-05-06T10:42:00+24:01"`, `"2026-05-06T10:42:00 Z"`, `"1778064120"`,
		`"2026-02-29T10:42:00Z"`, `"2026-13-01T10:42:00Z"`, `"2026-05-06T24:00:00Z"`, `"2026-05-06T10:42:60Z"`, `"2026-05-06T10:42:00.Z"`,
		`"10000-01-01T00:00:00Z"`, `"-2026-05-06T10:42:00Z"`, `"Wed, 06 May 2026 10:42:00 GMT"`)
	for _, v := range []string{
		instant(start.AddDate(0, 0, -90).Add(-time.Millisecond)), instant(start.Add(24*time.Hour + time.Millisecond)),
		`"0000-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"0001-01-01T01:00:00.0001+01:00"`, `"0001-01-01T00:00:00.001Z"`, `"1970-01-01T00:00:00Z"`,
		`"9999-12-31T23:59:59Z"`, `"9999-12-31T23:59:59-23:59"`,
	} {
		list = append(list, badRequest{
			name: "occurred_at is " + v, body: event("occurred_at", v), field: "occurred_at", code: humanhours.CodeOccurredAtOutOfRange,
		})
	}
	return list
}

// badEnvelopes are good events that come in a bad request.
func badEnvelopes() []badRequest {
	const media, large = humanhours.CodeUnsupportedMediaType, humanhours.CodePayloadTooLarge
	over := event("x", quoted(strings.Repeat("x", 128<<10)))
	list := []badRequest{
		{name: "a body of 128 KiB and a byte", body: event() + strings.Repeat(" ", 128<<10-len(event())+1), status: 413, code: large},
		{name: "a body over 128 KiB", body: over, status: 413, code: large},
		{name: "a body over 128 KiB that is not read", body: over, status: 413, code: large, edit: func(r *http.Request) {
			r.Body = io.NopCloser(iotest.ErrReader(io.ErrClosedPipe))
		}},
		{name: "a body over 128 KiB that is said to be short", body: over, status: 413, code: large, edit: func(r *http.Request) { r.ContentLength = 1 }},
		{name: "a body over 128 KiB of unknown length", body: over, status: 413, code: large, edit: withoutLength()},
		{name: "a body without end", status: 413, code: large, edit: func(r *http.Request) { withBody(endless{})(r); withoutLength()(r) }},
		{name: "a body that ends early", edit: withBody(io.MultiReader(strings.NewReader(`{"agent_id"`), iotest.ErrReader(io.ErrUnexpectedEOF)))},
		{name: "a body that cannot be read", edit: withBody(io.MultiReader(strings.NewReader(event()[:20]), iotest.ErrReader(io.ErrClosedPipe)))},
		{name: "a body of unknown length that cannot be read", edit: func(r *http.Request) {
			withBody(io.MultiReader(strings.NewReader(event()), iotest.ErrReader(io.ErrClosedPipe)))(r)
			withoutLength()(r)
		}},

		{name: "key empty", field: "idempotency_key", edit: withKey("")},
		{name: "key of 256 characters", field: "idempotency_key", edit: withKey(strings.Repeat("x", 256))},
		{name: "key of 256 characters of two bytes", field: "idempotency_key", edit: withKey(strings.Repeat("é", 256))},
		{name: "key with a tab", field: "idempotency_key", edit: withKey("a\tb")},
		{name: "key with a newline", field: "idempotency_key", edit: withKey("a\r\nb")},
		{name: "key with a zero byte", field: "idempotency_key", edit: withKey("test\x00k1")},
		{name: "key in Latin-1", field: "idempotency_key", edit: withKey("caf\xe9")},
		{name: "two keys", field: "idempotency_key", edit: header("Idempotency-Key", "k1", "k2")},
		{name: "the same key twice", field: "idempotency_key", edit: header("Idempotency-Key", "k1", "k1")},
		{name: "header and body key differ", body: event("idempotency_key", `"k2"`), field: "idempotency_key", edit: withKey("k1")},
		{name: "header key and empty body key", body: event("idempotency_key", `""`), field: "idempotency_key", edit: withKey("k1")},
	}
	for name, values := range map[string][]string{
		"no Content-Type": nil, "empty Content-Type": {""}, "two Content-Types": {"application/json", "application/json"},
		"text/plain": {"text/plain"}, "form": {"application/x-www-form-urlencoded"}, "JSON lines": {"application/jsonl"}, "merge patch": {"application/merge-patch+json"},
		"JSON in a parameter": {"text/plain; application/json"}, "list": {"application/json, text/plain"},
		"Latin-1": {"application/json; charset=latin1"}, "UTF-16": {"application/json; charset=utf-16"}, "two charsets": {"application/json; charset=utf-8; charset=latin1"},
	} {
		list = append(list, badRequest{name: name, status: 415, code: media, edit: header("Content-Type", values...)})
	}
	for _, v := range []string{"gzip", "GZIP", "br", "identity, gzip"} {
		list = append(list, badRequest{name: "Content-Encoding " + v, status: 415, code: media, edit: header("Content-Encoding", v)})
	}
	list = append(list, badRequest{name: "two Content-Encodings", status: 415, code: media, edit: header("Content-Encoding", "identity", "gzip")})
	for i := range list {
		list[i].body = cmp.Or(list[i].body, event())
	}
	return list
}

// endless is a body that goes on forever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// subtest is a name for t.Run: huge values would drown its output.
func subtest(name string) string { return name[:min(len(name), 80)] }

func (b badRequest) want() (status int, code humanhours.Code) {
	return cmp.Or(b.status, http.StatusUnprocessableEntity), cmp.Or(b.code, humanhours.CodeValidation)
}

// TestBadRequests sends each with the key k1, and then checks that it left nothing behind.
func TestBadRequests(t *testing.T) {
	list := append(badBodies(), badEnvelopes()...)
	require.Greater(t, len(list), 200)
	for _, tc := range list {
		t.Run(subtest(tc.name), func(t *testing.T) {
			s := newServer(t)
			key := withKey("k1")
			if tc.field == "idempotency_key" {
				key = nil // the request brings the one that is at fault
			}
			status, code := tc.want()
			p := s.track(tc.body, key, tc.edit).refused(status, code, tc.field)
			require.NotContains(t, p.Message, "json:", "the message is about JSON, not about Go")
			require.Less(t, len(p.Message)+len(p.Hint), 1000)
			if strings.Contains(tc.name, " is -") {
				require.Contains(t, p.Message, "negative")
			}
			require.Empty(t, s.stored("acme"))
			require.Zero(t, s.usage())
			require.Empty(t, s.log.String(), "what a client does wrong is not logged")
			for _, key := range []string{"k1", "k2"} {
				require.Equal(t, http.StatusCreated, s.track(event(), withKey(key)).status, "the key %s is free", key)
			}
		})
	}
}

// TestBadBodiesInABatch sends each in the middle of a batch, where it must be refused as it is alone and harm nobody else.
func TestBadBodiesInABatch(t *testing.T) {
	bad := slices.DeleteFunc(badBodies(), func(b badRequest) bool { return !json.Valid([]byte(b.body)) || strings.Contains(b.name, "UTF-8") })
	require.Greater(t, len(bad), 150)
	s := newServer(t)
	items := []string{event()}
	for _, tc := range bad {
		items = append(items, tc.body, event())
	}
	results := s.batch(items).results()
	require.Len(t, results, len(items))
	for i, tc := range bad {
		got := results[1+2*i]
		status, code := tc.want()
		if got.Error == nil {
			t.Errorf("%s: was stored", subtest(tc.name))
			continue
		}
		require.Equal(t, status, got.Status, subtest(tc.name))
		checkProblem(t, *got.Error, subtest(tc.name), code, tc.field)
		require.Equal(t, http.StatusCreated, results[2+2*i].Status, "after: %s", tc.name)
	}
	require.Equal(t, len(bad)+1, len(s.stored("acme")))
	require.EqualValues(t, len(bad)+1, s.usage())
}

// TestNumbersAreExact holds thousands of numbers against the exact fractions of math/big: refused if negative or over the bound
// after they are rounded to nine decimals, half away from zero, and otherwise answered as that.
func TestNumbersAreExact(t *testing.T) {
	s := newServer(t)
	random := rand.New(rand.NewPCG(1, 2))
	scale, limit := big.NewInt(1e9), new(big.Int).Mul(big.NewInt(humanhours.MaxAgentCost), big.NewInt(1e9))
	taken := 0
	for range 3000 {
		text := randomNumber(random)
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)
		units := new(big.Rat).Mul(exact, new(big.Rat).SetInt(scale))
		rounded := new(big.Int).Quo(new(big.Int).Add(new(big.Int).Mul(units.Num(), big.NewInt(2)), units.Denom()), new(big.Int).Mul(units.Denom(), big.NewInt(2)))
		a := s.track(event("agent_cost", text))
		if exact.Sign() < 0 || rounded.Cmp(limit) > 0 {
			a.refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "agent_cost")
			continue
		}
		taken++
		got, ok := new(big.Rat).SetString(a.fields(http.StatusCreated).text("agent_cost"))
		require.True(t, ok)
		require.Zero(t, got.Cmp(new(big.Rat).SetFrac(rounded, scale)), "%s was answered as %s", text, got.FloatString(12))
	}
	require.Greater(t, taken, 1000)
}

// randomNumber is the text of a JSON number of at most 64 characters, often near a bound.
func randomNumber(random *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789990005"[random.IntN(16)]
		}
		return string(b)
	}
	text := []string{"", "", "", "-"}[random.IntN(4)]
	switch random.IntN(4) {
	case 0:
		text += "0." + strings.Repeat("0", random.IntN(12)) + digits(1+random.IntN(20))
	case 1:
		text += "1000000000." + strings.Repeat("0", random.IntN(10)) + digits(1+random.IntN(5))
	case 2:
		text += "1" + digits(random.IntN(12))
	default:
		text += "9" + digits(random.IntN(8)) + "." + digits(1+random.IntN(14))
	}
	if random.IntN(2) == 0 {
		text += []string{"e", "E", "e+", "e-", "E-0"}[random.IntN(5)] + strconv.Itoa(random.IntN(30))
	}
	return text
}

// TestWorstInputsAreCheap: whatever a request says, answering it takes memory in proportion to its size.
func TestWorstInputsAreCheap(t *testing.T) {
	s := newServer(t)
	s.track(event()) // what is made once, such as the catalogue
	bodies := map[string]string{}
	for _, tc := range badBodies() {
		bodies[tc.name] = tc.body
	}
	for _, tc := range oddRequests {
		bodies[tc.name] = tc.body
	}
	for name, body := range bodies {
		r := s.request(http.MethodPost, "/v1/track", body)
		used := allocated(func() { s.send(r) })
		require.Less(t, used, uint64(64<<10+20*len(body)), subtest(name))
	}
}

// TestWorstBatchIsCheap: the items of a batch are counted before memory is spent on each of them.
func TestWorstBatchIsCheap(t *testing.T) {
	s := newServer(t)
	s.track(event())
	const size = 1 << 20
	for name, body := range map[string]string{
		"numbers":         `{"events":[` + strings.Repeat("1,", size/2) + "1]}",
		"objects":         `{"events":[` + strings.Repeat("{},", size/3) + "{}]}",
		"one huge number": `{"events":[` + strings.Repeat("9", size) + "]}",
	} {
		t.Run(name, func(t *testing.T) {
			r := s.request(http.MethodPost, "/v1/track/batch", body)
			var a answer
			used := allocated(func() { a = s.send(r) })
			require.Less(t, used, uint64(10*size), "bytes for a body of %d", size)
			if name == "one huge number" {
				require.Equal(t, http.StatusUnprocessableEntity, a.results()[0].Status)
				return
			}
			a.refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "events")
		})
	}
}
