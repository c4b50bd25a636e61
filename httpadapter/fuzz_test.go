package httpadapter_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/store/memory"
)

// FuzzDecodeTrack: whatever comes, it is either refused with a known code or becomes an event whose every value is within
// the documented bounds.
func FuzzDecodeTrack(f *testing.F) {
	for _, b := range badBodies() {
		if len(b.body) < 4096 {
			f.Add([]byte(b.body))
		}
	}
	for _, o := range oddRequests {
		if len(o.body) < 4096 {
			f.Add([]byte(o.body))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := httpadapter.DecodeTrack(data)
		if err != nil {
			var e *humanhours.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, humanhours.CodeValidation, e.Code)
			require.NotEmpty(t, e.Message)
			require.True(t, utf8.ValidString(e.Message+e.Field))
			return
		}
		require.True(t, utf8.Valid(data), "invalid UTF-8 was taken")
		require.True(t, json.Valid(data), "invalid JSON was taken")
		tracker, err := humanhours.New(memory.New(), humanhours.Config{
			Clock: func() time.Time { return start }, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		result, err := tracker.Track(t.Context(), humanhours.Caller{}, request)
		if err != nil {
			var e *humanhours.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, []humanhours.Code{humanhours.CodeValidation, humanhours.CodeUnknownTaskType, humanhours.CodeOccurredAtOutOfRange}, e.Code)
			require.NotEmpty(t, e.Field)
			return
		}
		event := result.Event
		within := func(field string, d decimal.Decimal, limit int64) {
			require.False(t, d.IsNegative(), field)
			require.False(t, d.GreaterThan(decimal.NewFromInt(limit)), field)
			require.GreaterOrEqual(t, d.Exponent(), int32(-9), field)
		}
		within("human_baseline_minutes", event.Baseline.Minutes, humanhours.MaxBaselineMinutes)
		within("agent_duration_seconds", event.AgentDuration.Decimal, humanhours.MaxDurationSeconds)
		within("agent_cost", event.AgentCost.Decimal, humanhours.MaxAgentCost)
		within("tokens_in", decimal.NewFromInt(event.TokensIn.Int64), humanhours.MaxTokens)
		within("tokens_out", decimal.NewFromInt(event.TokensOut.Int64), humanhours.MaxTokens)
		require.False(t, event.OccurredAt.Before(start.Add(-humanhours.MaxEventAge)))
		require.False(t, event.OccurredAt.After(start.Add(humanhours.MaxEventLead)))
		require.Zero(t, event.OccurredAt.Nanosecond()%1e6)
		require.True(t, event.Outcome.Valid())
		require.Equal(t, event.ROI.NetSaved.String(), event.Recompute().NetSaved.String())

		encoded := event.AppendJSON(nil)
		require.True(t, json.Valid(encoded), "%s", encoded)
		var decoded humanhours.Event
		require.NoError(t, json.Unmarshal(encoded, &decoded))
		require.Equal(t, string(encoded), string(decoded.AppendJSON(nil)))
	})
}
