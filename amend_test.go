package humanhours_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestVoid(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	wrong := w.track(t, owner, withKey("k", func(r *humanhours.TrackRequest) { r.AgentCost = null("1") })).Event
	right := w.track(t, owner, request()).Event
	voided, err := w.VoidEvent(ctx, owner, wrong.ID, "tracked twice")
	require.NoError(t, err)
	assert.True(t, voided.Voided())
	require.Len(t, voided.Amendments, 1)
	assert.Equal(t, humanhours.Amendment{Kind: humanhours.AmendVoid, At: noon, KeyID: owner.KeyID, Reason: "tracked twice"}, voided.Amendments[0])
	assert.True(t, voided.NetSaved.Equal(wrong.NetSaved), "the event itself stays")
	again, err := w.VoidEvent(ctx, owner, wrong.ID, "again")
	require.NoError(t, err)
	assert.Len(t, again.Amendments, 1, "once")

	report := w.report(t, by())
	assert.Equal(t, "EUR 1 0.066 2.97 0 2.97", sums(report.Totals[0]))
	assert.EqualValues(t, 1, report.Caveats.Voided)
	summary, err := w.Summary(ctx, owner, humanhours.SummaryQuery{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, summary.Totals[0].Events)
	assert.EqualValues(t, 1, w.agents(t, false)["support-bot"].Recent[0].Events)
	var exported []string
	for e, err := range w.Export(ctx, owner, humanhours.EventListQuery{}) {
		require.NoError(t, err)
		exported = append(exported, e.ID)
	}
	assert.Equal(t, []string{right.ID}, exported)
	page, err := w.Events(ctx, owner, humanhours.EventListQuery{})
	require.NoError(t, err)
	require.Len(t, page.Events, 2, "a list shows them")
	assert.EqualValues(t, 2, w.usage(t, "acme"), "the quota has counted it")

	replay := w.track(t, owner, withKey("k", func(r *humanhours.TrackRequest) { r.AgentCost = null("1") }))
	assert.True(t, replay.Replayed)
	assert.Empty(t, replay.Event.Amendments, "a replay answers the original")
	requireSame(t, wrong, replay.Event)
	assert.Equal(t, []string{"events." + wrong.ID + ".voided: false -> true (tracked twice)"}, w.history(t))
	assert.JSONEq(t, `[{"kind":"void","at":"2026-05-14T12:00:00.000Z","key_id":"3fK9xQ2b","reason":"tracked twice"}]`,
		string(humanhours.AppendAmendments(nil, voided.Amendments)))
}

func TestRedact(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	req := withKey("k", func(r *humanhours.TrackRequest) {
		r.Metadata = json.RawMessage(`{"person":"Zoë"}`)
		r.AuditSample = humanhours.AuditSample{InputExcerpt: "Dear Zoë", OutputExcerpt: "Yours"}
	})
	event := w.track(t, owner, req).Event
	redacted, err := w.RedactEvent(ctx, owner, event.ID, "asked to")
	require.NoError(t, err)
	assert.True(t, redacted.Redacted())
	replay := w.track(t, owner, req)
	assert.True(t, replay.Replayed)
	assert.False(t, replay.Mismatch)
	stored, _, err := w.store.Event(ctx, "acme", event.ID)
	require.NoError(t, err)
	for name, e := range map[string]humanhours.Event{"answer": redacted, "replay": replay.Event, "read": stored} {
		assert.Nil(t, e.Metadata, name)
		assert.Zero(t, e.AuditSample, name)
		assert.NotContains(t, string(e.AppendJSON(nil)), "Zo", name)
		e.Metadata, e.AuditSample = event.Metadata, event.AuditSample
		requireSame(t, event, e)
	}
	assert.Equal(t, "EUR 1 0.066 2.97 0 2.97", sums(w.report(t, by()).Totals[0]), "the numbers stay")
}

func TestReprice(t *testing.T) {
	prices := book{}
	w := newWorld(t, humanhours.Config{Prices: prices})
	ctx := t.Context()
	single := w.track(t, owner, priced("new-model", 1000, 100)).Event
	calls := w.track(t, owner, request(func(r *humanhours.TrackRequest) {
		r.LLMCalls = []humanhours.LLMCall{
			{Model: "new-model", Usage: humanhours.Usage{TokensIn: humanhours.Int64(10)}},
			{Model: "other", Usage: humanhours.Usage{TokensOut: humanhours.Int64(10)}},
		}
	})).Event
	w.track(t, owner, request(func(r *humanhours.TrackRequest) { r.AgentCost = null("1") }))
	w.track(t, owner, request()) // no model: nothing to price
	gone := w.track(t, owner, priced("new-model", 1, 1)).Event
	_, err := w.VoidEvent(ctx, owner, gone.ID, "")
	require.NoError(t, err)
	_, err = w.RepriceEvent(ctx, owner, single.ID, "")
	requireError(t, err, humanhours.CodeValidation, "")

	prices["new-model"] = quote("0.001", "0.002", "EUR")
	w.clock.Advance(time.Hour)
	done, err := w.RepriceEvents(ctx, owner, humanhours.EventListQuery{}, "the price is known now")
	require.NoError(t, err)
	assert.Equal(t, humanhours.Repriced{Repriced: 1, Unpriced: 1}, done)
	stored, _, err := w.store.Event(ctx, "acme", single.ID)
	require.NoError(t, err)
	require.Len(t, stored.Amendments, 1)
	a := stored.Amendments[0]
	assert.Equal(t, "1.2", text(a.AgentCost))
	assert.True(t, a.At.Equal(noon.Add(time.Hour)))
	assert.Equal(t, "v7", a.Cost.Price.Version, "which book")
	assert.False(t, stored.AgentCost.Valid, "the old value is kept")
	assert.Equal(t, humanhours.UnpricedUnknownModel, stored.Cost.Unpriced)
	now := stored.Current()
	assert.Equal(t, "1.2", text(now.AgentCost))
	assert.Equal(t, now.CostSaved.Sub(now.AgentCost.Decimal).String(), now.NetSaved.String())
	assert.Equal(t, figuresOf(now.ROI), figuresOf(now.Recompute()), "it is computed from what is frozen on it")

	prices["other"] = quote("0.01", "0.01", "EUR")
	done, err = w.RepriceEvents(ctx, owner, humanhours.EventListQuery{}, "")
	require.NoError(t, err)
	assert.Equal(t, humanhours.Repriced{Repriced: 1}, done)
	stored, _, err = w.store.Event(ctx, "acme", calls.ID)
	require.NoError(t, err)
	current := stored.Current()
	assert.Equal(t, "0.11", text(current.AgentCost))
	assert.Equal(t, "v7", current.LLMCalls[1].Price.Version)
	assert.Empty(t, stored.LLMCalls[1].Price.Version)
	done, err = w.RepriceEvents(ctx, owner, humanhours.EventListQuery{}, "")
	require.NoError(t, err)
	assert.Zero(t, done, "once")

	report := w.report(t, by())
	assert.Equal(t, "2.31", report.Totals[0].AgentCost.String(), "1 + 1.2 + 0.11")
	assert.EqualValues(t, 1, report.Caveats.Unpriced)
	assert.Contains(t, w.historyAt(t), "events."+single.ID+".agent_cost:  -> 1.2 (the price is known now)")
	raw := string(stored.AppendJSON(nil))
	var decoded humanhours.Event
	require.NoError(t, json.Unmarshal([]byte(raw), &decoded))
	assert.JSONEq(t, raw, string(decoded.AppendJSON(nil)))
	require.Len(t, decoded.Amendments, 1)
}

// historyAt returns the lines of the owner's history, whatever their instants.
func (w *world) historyAt(t testing.TB) (lines []string) {
	t.Helper()
	page, err := w.History(t.Context(), owner, 0, 100)
	require.NoError(t, err)
	for _, c := range page.Changes {
		lines = append(lines, c.Subject+": "+c.Old+" -> "+c.New+" ("+c.Reason+")")
	}
	return lines
}

// TestAmendmentsMeet: people who amend one event at the same time lose nothing, and each kind is there once.
func TestAmendmentsMeet(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	id := w.track(t, owner, request()).Event.ID
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := w.VoidEvent(t.Context(), owner, id, "v")
			assert.NoError(t, err)
		})
		all.Go(func() {
			_, err := w.RedactEvent(t.Context(), owner, id, "r")
			assert.NoError(t, err)
		})
	}
	all.Wait()
	event, err := w.Event(t.Context(), owner, id)
	require.NoError(t, err)
	require.Len(t, event.Amendments, 2)
	require.Len(t, w.history(t), 2)
}

// failingAmends is a store that cannot amend.
type failingAmends struct {
	humanhours.Store
	err error
}

func (s failingAmends) Amend(context.Context, humanhours.AmendQuery) (humanhours.Amended, error) {
	return humanhours.Amended{}, s.err
}

func TestRefusedAmendments(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	id := w.track(t, owner, request()).Event.ID
	amend := []func(context.Context, humanhours.Caller, string, string) (humanhours.Event, error){w.VoidEvent, w.RedactEvent, w.RepriceEvent}
	for _, f := range amend {
		_, err := f(ctx, owner, "evt_nothing", "")
		requireError(t, err, humanhours.CodeNotFound, "")
		_, err = f(ctx, humanhours.Caller{Org: "globex"}, id, "")
		requireError(t, err, humanhours.CodeNotFound, "")
		_, err = f(ctx, owner, id, strings.Repeat("x", humanhours.MaxTextLength+1))
		requireError(t, err, humanhours.CodeValidation, "reason")
	}
	_, err := w.RepriceEvents(ctx, owner, humanhours.EventListQuery{Period: "1w"}, "")
	requireError(t, err, humanhours.CodeValidation, "period")
	assert.Empty(t, w.history(t))

	broken := errors.New("broken")
	w = newWorld(t, humanhours.Config{}, func(s humanhours.Store) humanhours.Store { return failingAmends{s, broken} })
	id = w.track(t, owner, request()).Event.ID
	_, err = w.VoidEvent(ctx, owner, id, "")
	assert.Contains(t, requireError(t, err, humanhours.CodeUnavailable, "").Hint, "look before you repeat it")
	assert.ErrorIs(t, err, broken)
}
