package httpadapter_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// taskTypes returns the rows of the catalogue by key.
func (s *server) taskTypes(query string, edits ...edit) map[string]fields {
	s.t.Helper()
	a := s.do(http.MethodGet, "/v1/task-types"+query, "", edits...)
	require.Equal(s.t, http.StatusOK, a.status, a.body)
	require.Equal(s.t, "application/json", a.header.Get("Content-Type"))
	var body struct {
		TaskTypes []fields `json:"task_types"`
	}
	decodeStrictly(s.t, a.body, &body)
	require.NotNil(s.t, body.TaskTypes, "an empty list is [] and not null")
	rows := map[string]fields{}
	for _, row := range body.TaskTypes {
		var key string
		require.NoError(s.t, json.Unmarshal(row["key"], &key))
		rows[key] = row
	}
	require.Len(s.t, rows, len(body.TaskTypes), "no key comes twice")
	return rows
}

func TestBuiltinTaskTypes(t *testing.T) {
	rows := newServer(t).taskTypes("")
	require.Len(t, rows, 50)
	for _, tt := range humanhours.BuiltinTaskTypes() {
		row := rows[tt.Key]
		require.Equal(t, quoted(tt.DisplayName), row.text("display_name"))
		require.Equal(t, quoted(tt.Category), row.text("category"))
		require.Equal(t, quoted(tt.Unit), row.text("unit"))
		minutes := tt.BaselineMinutes.Decimal.String()
		require.Equal(t, minutes, row.text("default_baseline_minutes"), "a JSON number")
		require.Equal(t, minutes, row.text("resolved_baseline_minutes"))
		require.Equal(t, `"builtin"`, row.text("resolved_baseline_source"))
		require.Equal(t, tt.LowMinutes.Decimal.String(), row.text("low_minutes"))
		require.Equal(t, tt.HighMinutes.Decimal.String(), row.text("high_minutes"))
		var evidence humanhours.Evidence
		require.NoError(t, json.Unmarshal(row["source"], &evidence))
		require.Equal(t, tt.Source, evidence)
		require.NotEmpty(t, evidence.Kind)
		require.NotContains(t, row, "override")
	}
	require.Equal(t, "0.5", rows["survey_response_coding"].text("low_minutes"))
}

func TestTaskTypesByCategory(t *testing.T) {
	s := newServer(t)
	s.update(ownType)
	for query, want := range map[string]int{"": 51, "?category=": 51, "?category=support": 7, "?category=ours": 1, "?category=Support": 0, "?category=none": 0} {
		rows := s.taskTypes(query)
		require.Len(t, rows, want, query)
	}
	for _, row := range s.taskTypes("?category=support&category=dev") {
		require.Equal(t, `"support"`, row.text("category"))
	}
}

func TestTaskTypesOfAnOrg(t *testing.T) {
	s := newServer(t)
	s.update(ownType)
	s.update(func(o *humanhours.Org) {
		o.Overrides = map[string]humanhours.Override{
			"email_classification": {BaselineMinutes: decimal.RequireFromString("6.25"), Reason: "timed in our own team"},
			"blog_post":            {BaselineMinutes: decimal.Zero},
		}
		o.TaskTypes["open"] = humanhours.TaskType{Key: "open", DisplayName: "Without minutes", Category: "ours"}
		o.TaskTypes["old"] = humanhours.TaskType{Key: "old", ArchivedAt: start, BaselineMinutes: decimal.NewNullDecimal(decimal.NewFromInt(1))}
	})
	rows := s.taskTypes("")
	require.Len(t, rows, 52)
	require.NotContains(t, rows, "old", "archived types do not show")

	mail := rows["email_classification"]
	require.Equal(t, "4", mail.text("default_baseline_minutes"), "the original stays beside the override")
	require.JSONEq(t, `{"baseline_minutes_override":6.25,"reason":"timed in our own team"}`, mail.text("override"))
	require.Equal(t, "6.25", mail.text("resolved_baseline_minutes"))
	require.Equal(t, `"override"`, mail.text("resolved_baseline_source"))
	require.Contains(t, mail, "source")
	require.Equal(t, "0", rows["blog_post"].text("resolved_baseline_minutes"), "zero is an override as well")

	own := rows["own"]
	require.Equal(t, "7.5", own.text("default_baseline_minutes"))
	require.Equal(t, `"custom"`, own.text("resolved_baseline_source"))
	require.NotContains(t, own, "low_minutes")
	require.NotContains(t, own, "source", "no evidence is not empty evidence")

	open := rows["open"]
	require.Equal(t, "null", open.text("default_baseline_minutes"))
	require.Equal(t, "null", open.text("resolved_baseline_minutes"))
	require.NotContains(t, open, "resolved_baseline_source")

	require.Len(t, s.taskTypes("", as(s.newKey("other", false, 0))), 50, "another org sees nothing of it")
	for key, minutes := range map[string]string{"email_classification": "6.25", "own": "7.5"} {
		got := s.track(event("task_type", quoted(key))).fields(http.StatusCreated)
		require.Equal(t, minutes, got.text("resolved_baseline_minutes"), "the catalogue says what an event gets")
	}
}

func TestTaskTypesWithFallback(t *testing.T) {
	s := newServer(t, func(c *setup) { c.tracker.FallbackBaseline = decimal.NewNullDecimal(decimal.NewFromInt(15)) })
	s.update(func(o *humanhours.Org) {
		o.TaskTypes = map[string]humanhours.TaskType{"open": {Key: "open", DisplayName: "Without minutes", Category: "ours"}}
	})
	row := s.taskTypes("")["open"]
	require.Equal(t, "null", row.text("default_baseline_minutes"))
	require.Equal(t, "15", row.text("resolved_baseline_minutes"))
	require.Equal(t, `"fallback"`, row.text("resolved_baseline_source"))
	require.Equal(t, `"fallback"`, s.track(event("task_type", `"never heard of"`)).fields(http.StatusCreated).text("resolved_baseline_source"))
}

func TestTaskTypesByHead(t *testing.T) {
	s := newServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	lengths := map[string]int64{}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v1/task-types", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+s.key)
		a, err := server.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(a.Body)
		require.NoError(t, err)
		require.NoError(t, a.Body.Close())
		require.Equal(t, http.StatusOK, a.StatusCode)
		require.Equal(t, "application/json", a.Header.Get("Content-Type"))
		lengths[method] = int64(len(body))
	}
	require.Positive(t, lengths[http.MethodGet])
	require.Zero(t, lengths[http.MethodHead])
}

func TestTaskTypesWithAMalformedQuery(t *testing.T) {
	newServer(t).do(http.MethodGet, "/v1/task-types?category=%zz", "").refused(http.StatusUnprocessableEntity, humanhours.CodeValidation, "")
}
