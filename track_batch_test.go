package humanhours_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestTrackBatchAnswersEachRequestInOrder(t *testing.T) {
	w := newCappedWorld(t, 4)
	before := w.trackOne(t, withKey("old")) // 1 of 4
	batch := []humanhours.TrackRequest{
		request(setAgentID("a0")),                      // 2 of 4
		request(setAgentID("")),                        // bad
		withKey("old"),                                 // replay of an earlier request
		withKey("new", setAgentID("a3")),               // 3 of 4
		request(setTaskType("no_such_type")),           // unknown
		withKey("new", setAgentID("a3")),               // replay within the batch
		withKey("new", setAgentID("other")),            // mismatch within the batch
		request(setAgentID("a7")),                      // 4 of 4
		withKey("late", setAgentID("a8")),              // over the quota
		withKey("old"),                                 // replay, though the quota is used up
		request(setOccurredAt(noon.AddDate(-1, 0, 0))), // too old
		{}, // empty
	}
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, batch)
	require.NoError(t, err)
	var got []string
	for _, r := range results {
		switch {
		case r.Err != nil:
			assert.Zero(t, r.Result, "either Err or Result")
			got = append(got, string(humanhours.CodeOf(r.Err)))
		case r.Mismatch:
			got = append(got, "mismatch "+r.Event.AgentID)
		case r.Replayed:
			got = append(got, "replay "+r.Event.AgentID)
		default:
			got = append(got, "new "+r.Event.AgentID)
		}
	}
	assert.Equal(t, []string{
		"new a0", "validation_error", "replay support-bot", "new a3", "unknown_task_type", "replay a3", "mismatch a3", "new a7",
		"quota_exceeded", "replay support-bot", "occurred_at_out_of_range", "validation_error",
	}, got)
	requireSame(t, before, results[2].Event)
	requireSame(t, results[3].Event, results[5].Event)
	requireError(t, results[1].Err, humanhours.CodeValidation, "agent_id")
	assert.EqualValues(t, 4, w.usage(t, defaultOrg))

	var stored []string
	for _, e := range w.stored(t, defaultOrg) {
		stored = append(stored, e.AgentID)
	}
	assert.Equal(t, []string{"support-bot", "a0", "a3", "a7"}, stored, "ids follow the order of the batch")
}

func TestTrackBatchEqualsTheSameRequestsOneByOne(t *testing.T) {
	r := seeded(4)
	batch := make([]humanhours.TrackRequest, 400)
	for i := range batch {
		batch[i] = randomRequest(r)
		switch r.IntN(4) {
		case 0:
			batch[i].IdempotencyKey = fmt.Sprint("key", r.IntN(40))
		case 1:
			batch[i].AgentID = maybe(r, "a")
		}
	}
	worlds := [2]*world{}
	for i := range worlds {
		n := 0
		worlds[i] = newWorld(t, humanhours.Config{
			FallbackBaseline: null("3"), Plans: map[string]humanhours.Plan{"p": {EventsPerMonth: 250}}, OrgDefaults: humanhours.Org{Plan: "p"},
			NewID: func(time.Time) (string, error) { n++; return fmt.Sprintf("evt_%04d", n), nil },
		})
	}
	results, err := worlds[0].TrackBatch(t.Context(), humanhours.Caller{}, batch)
	require.NoError(t, err)
	codes := map[humanhours.Code]int{}
	for i, req := range batch {
		one, err := worlds[1].Track(t.Context(), humanhours.Caller{}, req)
		require.Equal(t, err, results[i].Err)
		require.Equal(t, one.Replayed, results[i].Replayed)
		require.Equal(t, one.Mismatch, results[i].Mismatch)
		require.Equal(t, figuresOf(one.Event.ROI), figuresOf(results[i].Event.ROI))
		requireSame(t, one.Event, results[i].Event)
		codes[humanhours.CodeOf(err)]++
	}
	assert.EqualValues(t, 250, worlds[0].usage(t, defaultOrg))
	assert.Greater(t, codes[humanhours.CodeQuotaExceeded], 10, "the batch must meet the quota")
	assert.Greater(t, codes[humanhours.CodeValidation], 10)
}

// The entry of a request that is refused is used for the next one.
func TestNothingOfARefusedRequestGoesToTheNext(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, []humanhours.TrackRequest{withKey("k", setTaskType("no_such_type")), request()})
	require.NoError(t, err)
	requireError(t, results[0].Err, humanhours.CodeUnknownTaskType, "task_type")
	require.NoError(t, results[1].Err)
	alone := w.trackOne(t, request())
	alone.ID = results[1].Event.ID
	requireSame(t, alone, results[1].Event)
	assert.False(t, w.track(t, humanhours.Caller{}, withKey("k")).Replayed, "the key went to another request")
}

func TestTrackBatchBounds(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	batch := make([]humanhours.TrackRequest, humanhours.MaxBatch+1)
	for i := range batch {
		batch[i] = request()
	}
	_, err := w.TrackBatch(t.Context(), humanhours.Caller{}, batch)
	assert.Contains(t, requireError(t, err, humanhours.CodeValidation, "events").Message, "1,000")
	_, err = w.RecordBatch(t.Context(), humanhours.Caller{}, batch)
	requireError(t, err, humanhours.CodeValidation, "events")
	assert.Empty(t, w.stored(t, defaultOrg), "all or nothing here")

	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, batch[1:])
	require.NoError(t, err)
	assert.Len(t, results, humanhours.MaxBatch)
	assert.Len(t, w.stored(t, defaultOrg), humanhours.MaxBatch)

	for _, none := range [][]humanhours.TrackRequest{nil, {}} {
		results, err = w.TrackBatch(t.Context(), humanhours.Caller{}, none)
		require.NoError(t, err)
		assert.Empty(t, results)
	}
}

// A store that fails for some entries only.
func TestTrackBatchOnAStoreThatFailsForOneEntry(t *testing.T) {
	broken := errors.New("shard 2 is down")
	w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store {
		return appendFunc{s, func(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
			results := make([]humanhours.Appended, len(entries))
			for i := range entries {
				if strings.HasPrefix(entries[i].Event.AgentID, "poison") {
					results[i].Err = broken
				} else {
					results[i] = s.Append(ctx, entries[i:i+1])[0]
				}
			}
			return results
		}}
	})
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, []humanhours.TrackRequest{
		request(setAgentID("a")), request(setAgentID("poison1")), request(setAgentID("b")), request(setAgentID("poison2")),
	})
	require.NoError(t, err)
	assert.Equal(t, "a", results[0].Event.AgentID)
	requireError(t, results[1].Err, humanhours.CodeUnavailable, "")
	assert.ErrorIs(t, results[1].Err, broken)
	assert.Equal(t, "b", results[2].Event.AgentID)
	requireError(t, results[3].Err, humanhours.CodeUnavailable, "")
	assert.Len(t, w.stored(t, defaultOrg), 2)
}

// A store may answer two requests of a batch with one event, and a created one with the event that it was given.
func TestResultsOfABatchShareNothing(t *testing.T) {
	w := newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store {
		return appendFunc{s, func(_ context.Context, entries []humanhours.Entry) []humanhours.Appended {
			if len(entries) == 1 { // the last, once more
				return []humanhours.Appended{{}}
			}
			first := &entries[0].Event
			return []humanhours.Appended{{Event: first}, {Event: first, Replayed: true}, {}}
		}}
	})
	r := request(setKey("k"))
	r.Metadata = []byte(`{"a":1}`)
	results, err := w.TrackBatch(t.Context(), humanhours.Caller{}, []humanhours.TrackRequest{r, r, r})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.NoError(t, results[1].Err)
	require.True(t, results[1].Replayed)
	clear(results[0].Event.Metadata)
	clear(r.Metadata)
	require.Equal(t, `{"a":1}`, string(results[1].Event.Metadata))
	require.ErrorIs(t, results[2].Err, humanhours.CodeUnavailable, "the store gave no event")
}
