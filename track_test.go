package humanhours_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestTrackPublishedExample(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	result := w.track(t, humanhours.Caller{}, request())
	assert.False(t, result.Replayed)
	assert.False(t, result.Mismatch)
	e := result.Event
	assert.Equal(t, figures{"0.066", "2.97", "", "2.97"}, figuresOf(e.ROI))
	assert.Equal(t, "4", e.Baseline.Minutes.String())
	assert.Equal(t, humanhours.BaselineBuiltin, e.Baseline.Source)
	assert.Equal(t, "45", e.HourlyRate.Amount.String())
	assert.Equal(t, humanhours.RateDefault, e.HourlyRate.Source)
	assert.Equal(t, humanhours.CostNone, e.Cost.Source)
	assert.Equal(t, "EUR", e.Currency)
	assert.True(t, e.Credited)
	assert.Equal(t, humanhours.DefaultScale(), e.Scale)
	assert.Equal(t, noon, e.OccurredAt)
	assert.Equal(t, noon, e.ReceivedAt)
	requireSame(t, e, w.stored(t, defaultOrg)[0])
}

func TestTrackStoresWhatItAnswers(t *testing.T) {
	r := seeded(3)
	w := newRandomWorld(t, r)
	for range 300 {
		req := randomRequest(r)
		c := humanhours.Caller{Org: pick(r, defaultOrg, "acme", "a\x00\xff"), KeyID: maybe(r, "keykey01"), Test: r.IntN(2) == 0}
		if req.TaskType == "own" {
			c.Org = defaultOrg
		}
		e := w.track(t, c, req).Event
		stored, found, err := w.store.Event(t.Context(), c.Org, e.ID)
		require.NoError(t, err)
		require.True(t, found)
		requireSame(t, e, stored)
		require.True(t, e.Equal(&stored))

		require.Equal(t, c, humanhours.Caller{Org: e.Org, KeyID: e.KeyID, Test: e.Test})
		require.Equal(t, []any{req.AgentID, req.TaskType, req.Outcome, req.AuditSample}, []any{e.AgentID, e.TaskType, e.Outcome, e.AuditSample})
		require.Len(t, e.LLMCalls, len(req.LLMCalls))
		if len(req.LLMCalls) == 0 {
			require.Equal(t, []any{req.Model, req.Usage}, []any{e.Model, e.Usage})
		}
		for i, sent := range req.LLMCalls {
			if sent.Model == "" {
				sent.Model = req.Model
			}
			require.Equal(t, sent, e.LLMCalls[i].LLMCall)
		}
		require.Equal(t, text(req.AgentDuration), text(e.AgentDuration))
		require.Equal(t, string(req.Metadata), string(e.Metadata))
		if req.OccurredAt.IsZero() {
			req.OccurredAt = noon
		}
		require.Equal(t, req.OccurredAt.Truncate(time.Millisecond), e.OccurredAt)
	}
}

func TestTrackStepsComeInTheirOrder(t *testing.T) {
	// Each request breaks everything from its step on. The answer is about that step.
	lateUnknown := request(func(r *humanhours.TrackRequest) { r.TaskType, r.OccurredAt = "no_such_type", noon.AddDate(-1, 0, 0) })
	malformed := lateUnknown
	malformed.AgentID = ""
	late := lateUnknown
	late.TaskType = "email_classification"

	w := newWorld(t, humanhours.Config{Plans: map[string]humanhours.Plan{"p": {RequestsPerSecond: 4, EventsPerMonth: 1}}})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.Plan = "p" })
	w.trackOne(t, request())
	for _, step := range []struct {
		code  humanhours.Code
		field string
		req   humanhours.TrackRequest
	}{
		{humanhours.CodeValidation, "agent_id", malformed},
		{humanhours.CodeUnknownTaskType, "task_type", lateUnknown},
		{humanhours.CodeOccurredAtOutOfRange, "occurred_at", late},
		{humanhours.CodeRateLimited, "", malformed},
	} {
		_, err := w.Track(t.Context(), humanhours.Caller{}, step.req)
		requireError(t, err, step.code, step.field)
	}
	w.clock.Advance(time.Second)
	_, err := w.Track(t.Context(), humanhours.Caller{}, request())
	requireError(t, err, humanhours.CodeQuotaExceeded, "")
	assert.Len(t, w.stored(t, defaultOrg), 1)
}

func TestTrackKeepsNoReferenceToTheRequest(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	metadata := json.RawMessage(`{"client":"acme"}`)
	e := w.trackOne(t, request(func(r *humanhours.TrackRequest) { r.Metadata = metadata }))
	copy(metadata, `{"CLIENT"`)
	assert.JSONEq(t, `{"client":"acme"}`, string(e.Metadata))
	copy(e.Metadata, `{"CLIENT"`)
	assert.JSONEq(t, `{"client":"acme"}`, string(w.stored(t, defaultOrg)[0].Metadata))
}

func TestTrackUsesOneReceiptTimePerRequest(t *testing.T) {
	now := noon
	w := newWorld(t, humanhours.Config{Clock: func() time.Time {
		now = now.Add(1234567 * time.Nanosecond)
		return now
	}})
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, []humanhours.TrackRequest{request(), request()})
	require.NoError(t, err)
	first := results[0].Event
	assert.Equal(t, first.ReceivedAt, results[1].Event.ReceivedAt)
	assert.Equal(t, first.ReceivedAt, first.OccurredAt, "a task without a time occurred when it was received")
	assert.Zero(t, first.ReceivedAt.Nanosecond()%1e6, "whole milliseconds")
	assert.Equal(t, time.UTC, first.ReceivedAt.Location())
}

func TestTrackDefaultClock(t *testing.T) {
	w := newWorld(t, humanhours.Config{Clock: time.Now})
	before := time.Now().Truncate(time.Millisecond)
	e := w.trackOne(t, request())
	assert.WithinRange(t, e.ReceivedAt, before, time.Now())
}

func TestTrackWithAnEndedContext(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Track(ctx, humanhours.Caller{}, request())
	requireError(t, err, humanhours.CodeUnavailable, "")
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, w.stored(t, defaultOrg))
}

func TestSourceOfIDsThatFails(t *testing.T) {
	broken := errors.New("no entropy")
	w := newWorld(t, humanhours.Config{NewID: func(time.Time) (string, error) { return "", broken }})
	_, err := w.Track(t.Context(), humanhours.Caller{}, withKey("k"))
	requireError(t, err, humanhours.CodeInternal, "")
	assert.ErrorIs(t, err, broken)
	assert.Empty(t, w.stored(t, defaultOrg))
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Nanosecond: "0.000000001", 4 * time.Second: "4", 90 * time.Minute: "5400", 1500 * time.Millisecond: "1.5", -time.Second: "-1",
	} {
		assert.Equal(t, want, text(humanhours.Seconds(d)))
	}
}
