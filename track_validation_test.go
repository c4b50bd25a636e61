package humanhours_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

type edit = func(*humanhours.TrackRequest)

// Ways to set one field of a request.
func setAgentID(s string) edit  { return func(r *humanhours.TrackRequest) { r.AgentID = s } }
func setTaskType(s string) edit { return func(r *humanhours.TrackRequest) { r.TaskType = s } }
func setModel(s string) edit    { return func(r *humanhours.TrackRequest) { r.Model = s } }
func setKey(s string) edit      { return func(r *humanhours.TrackRequest) { r.IdempotencyKey = s } }
func setMetadata(s string) edit {
	return func(r *humanhours.TrackRequest) { r.Metadata = json.RawMessage(s) }
}

func setTokens(in, out int64) edit {
	return func(r *humanhours.TrackRequest) {
		r.TokensIn, r.TokensOut = humanhours.Int64(in), humanhours.Int64(out)
	}
}

func setOutcome(o humanhours.Outcome) edit {
	return func(r *humanhours.TrackRequest) { r.Outcome = o }
}

func setExcerpts(in, out string) edit {
	return func(r *humanhours.TrackRequest) {
		r.AuditSample = humanhours.AuditSample{InputExcerpt: in, OutputExcerpt: out}
	}
}

func setOccurredAt(at time.Time) edit {
	return func(r *humanhours.TrackRequest) { r.OccurredAt = at }
}

// metadataOfSize returns a compact object of that many bytes.
func metadataOfSize(n int) string { return `{"k":"` + strings.Repeat("x", n-8) + `"}` }

// metadataOfDepth returns an object that is nested that deep.
func metadataOfDepth(n int, open, end string) string {
	return `{"k":` + strings.Repeat(open, n-1) + strings.Repeat(end, n-1) + `}`
}

// requestNumbers are the fields of a request that are decimals.
var requestNumbers = []struct {
	field string
	limit int64
	of    func(*humanhours.TrackRequest) *decimal.NullDecimal
}{
	{"agent_duration_seconds", humanhours.MaxDurationSeconds, func(r *humanhours.TrackRequest) *decimal.NullDecimal { return &r.AgentDuration }},
	{"agent_cost", humanhours.MaxAgentCost, func(r *humanhours.TrackRequest) *decimal.NullDecimal { return &r.AgentCost }},
	{"human_baseline_minutes", humanhours.MaxBaselineMinutes, func(r *humanhours.TrackRequest) *decimal.NullDecimal { return &r.HumanBaselineMinutes }},
}

type refusal struct {
	name, field string
	code        humanhours.Code
	edit        edit
}

// refusals are requests that break one rule each.
func refusals() []refusal {
	const validation = humanhours.CodeValidation
	var list []refusal
	add := func(field, name string, edit edit) { list = append(list, refusal{name, field, validation, edit}) }

	names := map[string]func(string) edit{"agent_id": setAgentID, "task_type": setTaskType, "model": setModel}
	for field, set := range names {
		add(field, "201 characters", set(strings.Repeat("a", 201)))
		add(field, "201 characters of several bytes", set(strings.Repeat("é", 201)))
		for name, s := range badTexts() {
			add(field, name, set(s))
		}
		if field != "model" {
			add(field, "missing", set(""))
		}
	}
	for _, s := range []humanhours.Outcome{"", "done", "Success", "success ", "needs-review", "\x00"} {
		add("outcome", fmt.Sprintf("%q", s), setOutcome(s))
	}
	for _, n := range requestNumbers {
		for name, d := range map[string]decimal.Decimal{
			"just over the bound": decimal.NewFromInt(n.limit).Add(dec("0.000000001")), "half of the last place over the bound": decimal.NewFromInt(n.limit).Add(dec("0.0000000005")),
			"just negative": dec("-0.000000001"), "less than the last place below zero": dec("-0.0000000000001"), "negative": dec("-5"),
			"1e999999999": decimal.New(1, 999_999_999), "1e2147483647": decimal.New(1, math.MaxInt32), "-1e-999999999": decimal.New(-1, -999_999_999),
			"40 digits": dec(strings.Repeat("7", 40)),
		} {
			add(n.field, name, func(r *humanhours.TrackRequest) { *n.of(r) = decimal.NewNullDecimal(d) })
		}
	}
	for name, n := range map[string]int64{"negative": -1, "over the bound": humanhours.MaxTokens + 1, "least": math.MinInt64, "greatest": math.MaxInt64} {
		add("tokens_in", name, setTokens(n, 0))
		add("tokens_out", name, setTokens(0, n))
	}
	for name, s := range map[string]string{
		"a list": `[]`, "a string": `"x"`, "a number": `1`, "true": `true`, "not JSON": `x`, "cut off": `{"a":1`, "two values": `{}{}`, "data after it": `{} x`,
		"a trailing comma": `{"a":1,}`, "a bare key": `{a:1}`, "single quotes": `{'a':1}`, "NaN": `{"a":NaN}`, "a control character": "{\"a\":\"\n\"}",
		"invalid UTF-8": "{\"a\":\"\xff\"}", "a byte order mark": "\ufeff{}", "a bad escape": `{"a":"\x"}`, "unbalanced": `{"a":[}`, "an open string": `{"a":"`,
		"one byte over 16 KiB": metadataOfSize(humanhours.MaxMetadataSize + 1), "9 deep in lists": metadataOfDepth(9, "[", "]"),
		"9 deep in objects":         `{"k":` + strings.Repeat(`{"k":`, 8) + `1` + strings.Repeat(`}`, 8) + `}`,
		"deep beyond any parser":    `{"k":` + strings.Repeat("[", 200_000),
		"9 deep behind a string":    `{"\"":"\\","k":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		"a space that JSON has not": "\u00a0{}",
		"a vertical tab behind it":  "{}\v",
	} {
		add("metadata", name, setMetadata(s))
	}
	for name, s := range map[string]string{"2001 characters": strings.Repeat("x", 2001), "2001 characters of several bytes": strings.Repeat("漢", 2001), "invalid UTF-8": "a\xffb"} {
		add("audit_sample.input_excerpt", name, setExcerpts(s, ""))
		add("audit_sample.output_excerpt", name, setExcerpts("", s))
	}
	add("idempotency_key", "256 characters", setKey(strings.Repeat("k", 256)))
	add("idempotency_key", "256 characters of several bytes", setKey(strings.Repeat("é", 256)))
	for name, s := range badTexts() {
		add("idempotency_key", name, setKey(s))
	}
	for name, at := range map[string]time.Time{
		"a millisecond too old": noon.Add(-humanhours.MaxEventAge - time.Millisecond), "a millisecond too far ahead": noon.Add(humanhours.MaxEventLead + time.Millisecond),
		"in the year 1": time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), "in the year 9999": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		"in the first nanosecond that is not the zero time": time.Time{}.Add(1),
	} {
		list = append(list, refusal{name, "occurred_at", humanhours.CodeOccurredAtOutOfRange, setOccurredAt(at)})
	}
	list = append(list, refusal{"not in the catalogue", "task_type", humanhours.CodeUnknownTaskType, setTaskType("no_such_type")})
	return list
}

// badTexts are refused wherever control characters are.
func badTexts() map[string]string {
	return map[string]string{
		"NUL": "a\x00b", "newline": "a\nb", "tab": "\tab", "escape": "a\x1b[0m", "delete": "a\x7f", "C1 control": "a\u0085b", "invalid UTF-8": "a\xff", "cut-off UTF-8": "a\xe6\xbc",
	}
}

func TestTrackRefuses(t *testing.T) {
	for _, tc := range refusals() {
		t.Run(tc.field+" "+tc.name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{})
			// A retry is looked up before some refusals, so every rule is tried with and without a key.
			for _, key := range []string{"", "key of " + tc.field} {
				req := request(setKey(key), tc.edit)
				_, err := w.Track(t.Context(), humanhours.Caller{}, req)
				e := requireError(t, err, tc.code, tc.field)
				assert.True(t, strings.HasPrefix(e.Message, tc.field+" "), "%q is a sentence about the field", e.Message)
			}
			assert.Empty(t, w.stored(t, defaultOrg), "a refused request leaves nothing behind")
			assert.Zero(t, w.usage(t, defaultOrg))
		})
	}
}

func TestTrackAccepts(t *testing.T) {
	accepted := map[string]edit{
		"names of 200 characters": func(r *humanhours.TrackRequest) {
			r.AgentID, r.Model, r.TaskType = strings.Repeat("a", 200), strings.Repeat("m", 200), strings.Repeat("t", 200)
			r.HumanBaselineMinutes = null("1")
		},
		"names of 200 characters of several bytes": func(r *humanhours.TrackRequest) {
			r.AgentID, r.Model, r.TaskType = strings.Repeat("é", 200), strings.Repeat("漢", 200), strings.Repeat("🙂", 200)
			r.HumanBaselineMinutes = null("1")
		},
		"a name of one character":          setAgentID("a"),
		"a name with spaces and signs":     setAgentID(` "<a>" \ / % {}: 1`),
		"a line separator":                 setAgentID("a\u2028b"),
		"outcome failure":                  setOutcome(humanhours.OutcomeFailure),
		"outcome needs_review":             setOutcome(humanhours.OutcomeNeedsReview),
		"no tokens":                        setTokens(0, 0),
		"tokens at the bound":              setTokens(humanhours.MaxTokens, humanhours.MaxTokens),
		"a key of 255 characters":          setKey(strings.Repeat("k", 255)),
		"a key of 255 characters of bytes": setKey(strings.Repeat("🙂", 255)),
		"a key of one space":               setKey(" "),
		"no metadata":                      setMetadata(""),
		"null metadata":                    setMetadata(" null "),
		"empty metadata":                   setMetadata("{}"),
		"metadata of 16 KiB":               setMetadata(metadataOfSize(humanhours.MaxMetadataSize)),
		"metadata that is small without its spaces": setMetadata(
			strings.Replace(metadataOfSize(humanhours.MaxMetadataSize), ":", ":"+strings.Repeat(" ", 1000), 1)),
		"metadata 8 deep in lists":     setMetadata(metadataOfDepth(8, "[", "]")),
		"metadata 8 deep in objects":   setMetadata(`{"k":` + strings.Repeat(`{"k":`, 7) + `1` + strings.Repeat(`}`, 7) + `}`),
		"metadata side by side":        setMetadata(`{"a":[[[]]],"b":[[[]]],"c":{"d":{}},"e":[[],[],[],[]]}`),
		"brackets in strings":          setMetadata(`{"[[[[[[[[[[":"{{{{{{{{{{","\"[[[[[[[[[[":"\\","a":"]]]\\\"[[[[[[[[[["}`),
		"numbers that no machine adds": setMetadata(`{"n":1e999999999,"m":` + strings.Repeat("9", 400) + `}`),
		"excerpts of 2000 characters":  setExcerpts(strings.Repeat("漢", 2000), strings.Repeat("🙂", 2000)),
		"excerpts with several lines":  setExcerpts("a\r\n\tb\x00", "\u0085"),
		"as old as it may be":          setOccurredAt(noon.Add(-humanhours.MaxEventAge)),
		"as far ahead as it may be":    setOccurredAt(noon.Add(humanhours.MaxEventLead)),
		"a part of a millisecond more": setOccurredAt(noon.Add(humanhours.MaxEventLead + 999_999*time.Nanosecond)),
		"another time zone":            setOccurredAt(noon.Add(humanhours.MaxEventLead).In(time.FixedZone("", -11*3600))),
	}
	for _, n := range requestNumbers {
		for name, d := range map[string]decimal.Decimal{
			"zero": decimal.Zero, "at the bound": decimal.NewFromInt(n.limit), "at the bound after rounding": decimal.NewFromInt(n.limit).Add(dec("0.00000000049")),
			"noise of a float": dec("0.30000000000000004"), "1e-999999999": decimal.New(1, -999_999_999), "0e999999999": decimal.New(0, 999_999_999),
		} {
			accepted[n.field+" "+name] = func(r *humanhours.TrackRequest) { *n.of(r) = decimal.NewNullDecimal(d) }
		}
	}
	for name, edit := range accepted {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{})
			e := w.trackOne(t, request(edit))
			requireSame(t, e, w.stored(t, defaultOrg)[0])
		})
	}
}

func TestTrackNamesTheFirstBrokenField(t *testing.T) {
	// In the order of the fields of a TrackRequest: everything from one field on is broken.
	steps := []struct {
		field string
		edit  edit
	}{
		{"agent_id", setAgentID("")},
		{"task_type", setTaskType("")},
		{"outcome", setOutcome("")},
		{"agent_duration_seconds", func(r *humanhours.TrackRequest) { r.AgentDuration = null("-1") }},
		{"agent_cost", func(r *humanhours.TrackRequest) { r.AgentCost = null("-1") }},
		{"human_baseline_minutes", func(r *humanhours.TrackRequest) { r.HumanBaselineMinutes = null("-1") }},
		{"model", setModel("\n")},
		{"tokens_in", func(r *humanhours.TrackRequest) { r.TokensIn = humanhours.Int64(-1) }},
		{"tokens_out", func(r *humanhours.TrackRequest) { r.TokensOut = humanhours.Int64(-1) }},
		{"metadata", setMetadata("[]")},
		{"audit_sample.input_excerpt", func(r *humanhours.TrackRequest) { r.AuditSample.InputExcerpt = "\xff" }},
		{"audit_sample.output_excerpt", func(r *humanhours.TrackRequest) { r.AuditSample.OutputExcerpt = "\xff" }},
		{"idempotency_key", setKey("\n")},
		{"occurred_at", setOccurredAt(noon.AddDate(-1, 0, 0))},
	}
	w := newWorld(t, humanhours.Config{})
	for i, step := range steps {
		req := request()
		for _, later := range steps[i:] {
			later.edit(&req)
		}
		_, err := w.Track(t.Context(), humanhours.Caller{}, req)
		code := humanhours.CodeValidation
		if step.field == "occurred_at" {
			code = humanhours.CodeOccurredAtOutOfRange
		}
		requireError(t, err, code, step.field)
	}
}

func TestTrackNormalises(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	occurred := time.Date(2026, time.May, 14, 13, 30, 0, 123_999_999, time.FixedZone("", 5*3600+1800))
	e := w.trackOne(t, humanhours.TrackRequest{
		AgentID: "a", TaskType: "t", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: null("0.30000000000000004"), AgentCost: null("0.0000000005"), HumanBaselineMinutes: null("4.00000000049"),
		Metadata: json.RawMessage(" {\n\t\"b\" : [ 1.0 , 2e3 ] , \"a\" : \"x y\\u0000<>\" } "), OccurredAt: occurred,
	})
	assert.Equal(t, "0.3", text(e.AgentDuration))
	assert.Equal(t, "0.000000001", text(e.AgentCost))
	assert.Equal(t, "4", e.Baseline.Minutes.String())
	assert.Equal(t, `{"b":[1.0,2e3],"a":"x y\u0000<>"}`, string(e.Metadata), "compact, and otherwise as it came")
	assert.Equal(t, time.Date(2026, time.May, 14, 8, 0, 0, 123e6, time.UTC), e.OccurredAt)

	absent := w.trackOne(t, request(func(r *humanhours.TrackRequest) {
		r.AgentDuration = decimal.NullDecimal{Decimal: dec("-7")}
		r.TokensIn = humanhours.NullInt64{Int64: -7}
		r.Metadata = json.RawMessage(" null\n")
	}))
	assert.Zero(t, absent.AgentDuration, "what is not Valid means nothing, whatever is in it")
	assert.Zero(t, absent.TokensIn)
	assert.Nil(t, absent.Metadata)
	require.Equal(t, figures{"0.067", "3.015", "", "3.015"}, figuresOf(absent.ROI))
}
