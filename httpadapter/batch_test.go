package httpadapter_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestBatchMixture(t *testing.T) {
	s := newServer(t)
	s.track(event("agent_id", `"before"`), withKey("before")).fields(http.StatusCreated)
	for _, path := range []string{"/v1/track/batch", "/api/v1/track/batch"} {
		items := []struct {
			body     string
			status   int
			replayed bool
			mismatch bool
			code     humanhours.Code
			field    string
		}{
			{body: event("agent_id", `"one"`), status: 201},
			{body: event("agent_cost", `"1"`), status: 422, code: humanhours.CodeValidation, field: "agent_cost"},
			{body: event("agent_id", `"two"`, "idempotency_key", quoted(path)), status: 201},
			{body: "[]", status: 422, code: humanhours.CodeValidation},
			{body: "null", status: 422, code: humanhours.CodeValidation},
			{body: `"x"`, status: 422, code: humanhours.CodeValidation},
			{body: "{}", status: 422, code: humanhours.CodeValidation, field: "agent_id"},
			{body: event("agent_id", `"two"`, "idempotency_key", quoted(path)), status: 200, replayed: true},
			{body: event("agent_id", `"differs"`, "idempotency_key", quoted(path)), status: 200, replayed: true, mismatch: true},
			{body: event("agent_id", `"before"`, "idempotency_key", `"before"`), status: 200, replayed: true},
			{body: event("task_type", `"unheard of"`), status: 422, code: humanhours.CodeUnknownTaskType, field: "task_type"},
			{body: event("occurred_at", `"1999-01-01T00:00:00Z"`), status: 422, code: humanhours.CodeOccurredAtOutOfRange, field: "occurred_at"},
			{body: event("metadata", nested(9)), status: 422, code: humanhours.CodeValidation, field: "metadata"},
			{body: event("idempotency_key", `""`), status: 422, code: humanhours.CodeValidation, field: "idempotency_key"},
			{body: event("agent_id", `"last"`), status: 201},
		}
		bodies := make([]string, len(items))
		for i := range items {
			bodies[i] = items[i].body
		}
		before := len(s.stored("acme"))
		a := s.do(http.MethodPost, path, `{"events":[`+strings.Join(bodies, ",")+`],"unknown":1}`)
		results := a.results()
		require.Len(t, results, len(items))
		for i, want := range items {
			got := results[i]
			require.Equal(t, want.status, got.Status, "item %d", i)
			require.Equal(t, want.replayed, got.Replayed, "item %d", i)
			require.Equal(t, want.mismatch, got.Mismatch, "item %d", i)
			if want.code != "" {
				checkProblem(t, *got.Error, fmt.Sprint("item ", i), want.code, want.field)
			}
		}
		for i, agent := range map[int]string{0: "one", 2: "two", 7: "two", 8: "two", 9: "before", 14: "last"} {
			require.Equal(t, quoted(agent), results[i].Event.text("agent_id"), "item %d is about its own request", i)
		}
		require.Equal(t, results[2].Event, results[7].Event)
		require.Equal(t, results[2].Event, results[8].Event)
		require.Len(t, s.stored("acme"), before+3)
		require.NotContains(t, a.header, "Idempotency-Replayed", "the flags are per item")
	}
	require.Empty(t, s.log.String())
}

// TestItemsOfABatchAreToldApart: commas, brackets and quotes within an item belong to it.
func TestItemsOfABatchAreToldApart(t *testing.T) {
	items := []string{
		event("metadata", `{"a":[1,[2,{"b":","}]],"c":"]},{[\\"}`), " \n" + event("metadata", `{"q":"\",{"}`) + "\t", `"a,b"`, `["x",{"y":1}]`, "1.5e3", "true",
		event("agent_id", `"\\"`), "{\r\n}", event("metadata", `{"\u0022,":"\u005d"}`),
	}
	s := newServer(t)
	for _, layout := range []string{`{"events":[%s]}`, "\n{ \"events\" :\t[ %s ] } ", `{"x":{"events":[1]},"events":[%s],"y":[1,2]}`} {
		a := s.do(http.MethodPost, "/v1/track/batch", fmt.Sprintf(layout, strings.Join(items, ",")))
		results := a.results()
		require.Equal(t, []int{201, 201, 422, 422, 422, 422, 201, 422, 201}, statuses(results))
		require.Equal(t, `{"a":[1,[2,{"b":","}]],"c":"]},{[\\"}`, results[0].Event.text("metadata"))
		require.Equal(t, `{"q":"\",{"}`, results[1].Event.text("metadata"))
		require.Equal(t, `"\\"`, results[6].Event.text("agent_id"))
	}
}

// TestBatchEventsAreLikeSingleOnes: the event in a result is what POST /v1/track would have answered.
func TestBatchEventsAreLikeSingleOnes(t *testing.T) {
	for _, tc := range oddRequests {
		if tc.edit != nil || !strings.HasPrefix(tc.body, "{") {
			continue
		}
		single := newServer(t, fixedID).track(tc.body)
		a := newServer(t, fixedID).batch([]string{tc.body})
		require.Equal(t, `{"results":[{"status":201,"event":`+strings.TrimSpace(single.body)+"}]}\n", a.body, tc.name)
	}
}

func TestBatchErrorsAreLikeSingleOnes(t *testing.T) {
	a := newServer(t).batch([]string{event("outcome", "")})
	require.Equal(t, `{"results":[{"status":422,"error":{"code":"validation_error","message":"outcome is required","field":"outcome"}}]}`+"\n", a.body)
}

func TestBatchSizes(t *testing.T) {
	for _, n := range []int{1, 2, 999, 1000} {
		s := newServer(t)
		results := s.batch(slices.Repeat([]string{event()}, n)).results()
		require.Equal(t, slices.Repeat([]int{201}, n), statuses(results))
		require.EqualValues(t, n, s.usage())
		ids := map[string]bool{}
		for _, r := range results {
			ids[r.Event.id()] = true
		}
		require.Len(t, ids, n)
	}
}

func TestBadBatches(t *testing.T) {
	one := event("idempotency_key", `"k1"`)
	for _, tc := range []badRequest{
		{name: "no events", body: `{"events":[]}`, field: "events"},
		{name: "events missing", body: `{}`, field: "events"},
		{name: "events null", body: `{"events":null}`, field: "events"},
		{name: "events an object", body: `{"events":` + one + `}`, field: "events"},
		{name: "events a string", body: `{"events":"[]"}`, field: "events"},
		{name: "events a number", body: `{"events":1}`, field: "events"},
		{name: "1001 events", body: `{"events":[` + strings.Repeat(one+",", 1000) + one + `]}`, field: "events"},
		{name: "1001 bad events", body: `{"events":[` + strings.Repeat("1,", 1000) + `1]}`, field: "events"},
		{name: "a bare array", body: `[` + one + `]`},
		{name: "a single event", body: one, field: "events"},
		{name: "empty body", body: ""},
		{name: "null", body: "null"},
		{name: "truncated", body: `{"events":[` + one + `]`},
		{name: "an item is no JSON", body: `{"events":[` + one + `,{"agent_id":}]}`},
		{name: "data after the batch", body: `{"events":[` + one + `]}{}`},
		{name: "invalid UTF-8 in an item", body: `{"events":[` + one + `,` + event("agent_id", "\"\xff\"") + `]}`},
		{name: "Idempotency-Key header", body: `{"events":[` + one + `]}`, edit: withKey("k1"), field: "idempotency_key"},
		{name: "empty Idempotency-Key header", body: `{"events":[` + one + `]}`, edit: withKey(""), field: "idempotency_key"},
		{name: "no Content-Type", body: `{"events":[` + one + `]}`, edit: header("Content-Type"), status: 415, code: humanhours.CodeUnsupportedMediaType},
		{name: "over 8 MiB", body: `{"events":[` + one + `]}` + strings.Repeat(" ", 8<<20), status: 413, code: humanhours.CodePayloadTooLarge},
		{name: "over 8 MiB of unknown length", body: `{"events":[` + one + `]}` + strings.Repeat(" ", 8<<20), edit: withoutLength(),
			status: 413, code: humanhours.CodePayloadTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			status, code := tc.want()
			p := s.do(http.MethodPost, "/v1/track/batch", tc.body, tc.edit).refused(status, code, tc.field)
			require.NotContains(t, p.Message, "json:")
			require.Empty(t, s.stored("acme"))
			require.Zero(t, s.usage())
			require.Equal(t, http.StatusCreated, s.track(event(), withKey("k1")).status, "no key was burned")
		})
	}
}

func TestBatchOf8MiBIsTaken(t *testing.T) {
	s := newServer(t)
	body := `{"events":[` + event() + `]}`
	body += strings.Repeat(" ", 8<<20-len(body))
	require.Equal(t, []int{201}, statuses(s.do(http.MethodPost, "/v1/track/batch", body).results()))
}

func TestQuotaEndsInTheMiddleOfABatch(t *testing.T) {
	s := newServer(t, plan(humanhours.Plan{EventsPerMonth: 3}))
	keyed := event("idempotency_key", `"k"`)
	results := s.batch([]string{keyed, event(), "{}", event(), event(), event("idempotency_key", `"late"`), keyed}).results()
	require.Equal(t, []int{201, 201, 422, 201, 429, 429, 200}, statuses(results), "a bad event takes no quota, and a replay needs none")
	require.Equal(t, humanhours.CodeQuotaExceeded, results[4].Error.Code)
	require.EqualValues(t, 3, s.usage())
	s.update(func(o *humanhours.Org) { o.Plan = "" })
	require.Equal(t, []int{201}, statuses(s.batch([]string{event("idempotency_key", `"late"`)}).results()), "its key was not burned")
}

func TestStoreFailsForSomeOfABatch(t *testing.T) {
	s := newServer(t, failing(errors.New("shard 3 at 10.0.0.7 is down"), "b", "d"))
	agent := func(name string) string { return event("agent_id", quoted(name), "idempotency_key", quoted(name)) }
	a := s.batch([]string{agent("a"), agent("b"), agent("c"), agent("d"), "{}"})
	results := a.results()
	require.Equal(t, []int{201, 503, 201, 503, 422}, statuses(results))
	for _, i := range []int{1, 3} {
		require.Equal(t, humanhours.CodeUnavailable, results[i].Error.Code)
		require.Regexp(t, `(?i)same idempotency.key`, results[i].Error.Hint)
	}
	require.NotContains(t, a.body, "10.0.0.7")
	require.Len(t, s.stored("acme"), 2)
	lines := s.log.lines(t)
	require.Len(t, lines, 1, "one line for the whole batch")
	require.Equal(t, "ERROR", lines[0]["level"])
	require.Equal(t, a.header.Get("X-Request-Id"), lines[0]["request_id"])
	require.EqualValues(t, 2, lines[0]["failed"])
	require.Contains(t, lines[0]["error"], "agent b: shard 3", "the first of them")
}

func TestStrictMismatchInABatch(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.Mismatch = humanhours.MismatchRefuse })
	results := s.batch([]string{event("idempotency_key", `"k"`), event("agent_id", `"b"`, "idempotency_key", `"k"`), event()}).results()
	require.Equal(t, []int{201, 422, 201}, statuses(results))
	checkProblem(t, *results[1].Error, "", humanhours.CodeIdempotencyKeyReused, "idempotency_key")
}
