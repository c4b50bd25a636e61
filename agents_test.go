package humanhours_test

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func (w *world) agents(t testing.TB, test bool) map[string]humanhours.AgentEntry {
	t.Helper()
	list, err := w.Agents(t.Context(), owner, test)
	require.NoError(t, err)
	byID := map[string]humanhours.AgentEntry{}
	for i, entry := range list {
		require.True(t, i == 0 || list[i-1].ID < entry.ID, "in order")
		byID[entry.ID] = entry
	}
	return byID
}

func TestAgents(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	at := func(agent string, ago time.Duration, edits ...func(*humanhours.TrackRequest)) humanhours.Event {
		return w.track(t, owner, request(append(edits, func(r *humanhours.TrackRequest) {
			r.AgentID, r.OccurredAt = agent, noon.Add(-ago)
		})...)).Event
	}
	at("old", 40*24*time.Hour)
	at("edge", humanhours.AgentRecent)                  // not within 30 days any more
	at("edge", humanhours.AgentRecent-time.Millisecond) // just
	at("bot", 50*24*time.Hour)                          // its first
	events := []humanhours.Event{at("bot", time.Hour), at("bot", 0, func(r *humanhours.TrackRequest) {
		r.AgentCost = null("0.000000001")
	}), at("bot", time.Minute, func(r *humanhours.TrackRequest) { r.Outcome, r.AgentCost = humanhours.OutcomeFailure, null("7") })}
	rehearsal := owner
	rehearsal.Test = true
	w.track(t, rehearsal, request(func(r *humanhours.TrackRequest) { r.AgentID = "rehearsal" }))
	w.track(t, humanhours.Caller{Org: "globex"}, request(func(r *humanhours.TrackRequest) { r.AgentID = "theirs" }))

	_, err := w.UpdateAgent(ctx, owner, "bot", humanhours.AgentPatch{HourlyRate: ptr(null("80")), DisplayName: ptr("Bot")}, humanhours.Edit{Reason: "seniors"})
	require.NoError(t, err)
	planned, err := w.UpdateAgent(ctx, owner, "planned", humanhours.AgentPatch{DisplayName: ptr("Later")}, humanhours.Edit{})
	require.NoError(t, err)
	assert.EqualValues(t, 2, planned.Version)
	_, err = w.UpdateSettings(ctx, owner, humanhours.SettingsPatch{Currency: ptr("CHF"), HourlyRate: ptr(null("90"))}, humanhours.Edit{})
	require.NoError(t, err)
	swiss := at("bot", 0)
	require.Equal(t, "CHF", swiss.Currency)

	agents := w.agents(t, false)
	require.Len(t, agents, 4)
	bot := agents["bot"]
	assert.Equal(t, "Bot", bot.DisplayName)
	assert.Equal(t, humanhours.HourlyRate{Amount: dec("80"), Source: humanhours.RateAgent}, bot.Rate)
	assert.Equal(t, "CHF", bot.Currency)
	assert.True(t, bot.First.Equal(noon.Add(-50*24*time.Hour)) && bot.Last.Equal(noon))
	require.Len(t, bot.Recent, 2, "a row for each currency")
	assert.Equal(t, "CHF", bot.Recent[0].Currency)
	assert.EqualValues(t, 1, bot.Recent[0].Events)
	euros := bot.Recent[1]
	assert.EqualValues(t, 3, euros.Events, "a failure counts")
	var hours, cost, net decimal.Decimal
	for _, e := range events {
		hours, cost, net = hours.Add(e.HoursSaved), cost.Add(e.CostSaved), net.Add(e.NetSaved)
	}
	assert.Equal(t, []string{hours.String(), cost.String(), "7.000000001", net.String()},
		[]string{euros.HoursSaved.String(), euros.CostSaved.String(), euros.AgentCost.String(), euros.NetSaved.String()})
	assert.True(t, euros.NetSaved.Equal(euros.CostSaved.Sub(euros.AgentCost)))
	assert.Empty(t, agents["old"].Recent)
	assert.EqualValues(t, 1, agents["edge"].Recent[0].Events)
	assert.Equal(t, humanhours.HourlyRate{Amount: dec("90"), Source: humanhours.RateOrg}, agents["edge"].Rate)
	assert.True(t, agents["planned"].First.IsZero() && agents["planned"].Recent == nil)

	tests := w.agents(t, true)
	require.Contains(t, tests, "rehearsal")
	assert.EqualValues(t, 1, tests["rehearsal"].Recent[0].Events)
	assert.Empty(t, tests["bot"].Recent, "live events are not in it")

	_, err = w.UpdateAgent(ctx, owner, "bot", humanhours.AgentPatch{HourlyRate: &decimal.NullDecimal{}}, humanhours.Edit{})
	require.NoError(t, err)
	_, err = w.UpdateAgent(ctx, owner, "planned", humanhours.AgentPatch{DisplayName: ptr("")}, humanhours.Edit{})
	require.NoError(t, err)
	assert.NotContains(t, w.agents(t, false), "planned", "without settings and events it is nothing")
	assert.Equal(t, []string{
		"agents.bot.hourly_rate:  -> 80 (seniors)", "agents.bot.display_name:  -> Bot (seniors)", "agents.planned.display_name:  -> Later",
		"currency: EUR -> CHF", "default_hourly_rate:  -> 90", "agents.bot.hourly_rate: 80 -> ", "agents.planned.display_name: Later -> ",
	}, w.history(t))
}

func TestRefusedAgentEdits(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	edit := func(id, rate string) error {
		_, err := w.UpdateAgent(t.Context(), owner, id, humanhours.AgentPatch{HourlyRate: ptr(null(rate))}, humanhours.Edit{})
		return err
	}
	requireError(t, edit("", "1"), humanhours.CodeValidation, "agent_id")
	requireError(t, edit("a\n", "1"), humanhours.CodeValidation, "agent_id")
	requireError(t, edit("a", "-1"), humanhours.CodeValidation, "hourly_rate")
	requireError(t, edit("a", "1000001"), humanhours.CodeValidation, "hourly_rate")
	_, err := w.UpdateAgent(t.Context(), owner, "a", humanhours.AgentPatch{DisplayName: ptr("\x01")}, humanhours.Edit{})
	requireError(t, err, humanhours.CodeValidation, "display_name")
	assert.Empty(t, w.history(t))
	w.setOrg(t, "acme", func(o *humanhours.Org) {
		o.Agents = map[string]humanhours.Agent{}
		for i := range humanhours.MaxAgents {
			o.Agents["agent "+strconv.Itoa(i)] = humanhours.Agent{DisplayName: "x"}
		}
	})
	requireError(t, edit("one more", "1"), humanhours.CodeValidation, "")
}

func TestSettings(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgDefaults: humanhours.Org{Plan: "pro", Currency: "USD"}})
	ctx := t.Context()
	settings, err := w.Settings(ctx, owner)
	require.NoError(t, err)
	assert.Equal(t, humanhours.OrgSettings{
		ID: "acme", Plan: "pro", Currency: "USD", Rate: humanhours.HourlyRate{Amount: dec("45"), Source: humanhours.RateDefault},
	}, settings)
	before := w.track(t, owner, request()).Event
	settings, err = w.UpdateSettings(ctx, owner, humanhours.SettingsPatch{HourlyRate: ptr(null("60.0000000004"))}, humanhours.Edit{})
	require.NoError(t, err)
	assert.Equal(t, "pro", settings.Plan, "the first edit starts from what was in force")
	assert.Equal(t, "60", text(settings.HourlyRate))
	after := w.track(t, owner, request()).Event
	assert.Equal(t, humanhours.RateOrg, after.HourlyRate.Source)
	stored, _, err := w.store.Event(ctx, "acme", before.ID)
	require.NoError(t, err)
	requireSame(t, before, stored)
	for field, p := range map[string]humanhours.SettingsPatch{
		"currency": {Currency: ptr("eur")}, "default_hourly_rate": {HourlyRate: ptr(null("1000001"))},
	} {
		_, err := w.UpdateSettings(ctx, owner, p, humanhours.Edit{})
		requireError(t, err, humanhours.CodeValidation, field)
	}
	settings, err = w.UpdateSettings(ctx, owner, humanhours.SettingsPatch{Currency: ptr(""), HourlyRate: &decimal.NullDecimal{}}, humanhours.Edit{})
	require.NoError(t, err)
	assert.Equal(t, "EUR", settings.Currency, "cleared: the default")
	assert.Equal(t, humanhours.RateDefault, settings.Rate.Source)
}

// failingReads is a store whose reads fail.
type failingReads struct {
	humanhours.Store
	agents, events error
}

func (s failingReads) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	if s.agents != nil {
		return nil, s.agents
	}
	return s.Store.Agents(ctx, org, test)
}

func (s failingReads) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) { yield(humanhours.Event{}, s.events) }
}

func TestAgentsOfAStoreThatFails(t *testing.T) {
	broken := errors.New("broken")
	for _, s := range []failingReads{{agents: broken}, {events: broken}} {
		w := newWorld(t, humanhours.Config{}, func(inner humanhours.Store) humanhours.Store {
			s.Store = inner
			return s
		})
		_, err := w.Agents(t.Context(), owner, false)
		requireError(t, err, humanhours.CodeUnavailable, "")
		assert.ErrorIs(t, err, broken)
	}
}

func TestEditsNeedAnOrgStore(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	tracker, err := humanhours.New(w.store, humanhours.Config{})
	require.NoError(t, err)
	_, err = tracker.UpdateAgent(t.Context(), owner, "a", humanhours.AgentPatch{DisplayName: ptr("x")}, humanhours.Edit{})
	requireError(t, err, humanhours.CodeInternal, "")
	page, err := tracker.History(t.Context(), owner, 0, 1)
	require.NoError(t, err)
	assert.Empty(t, page)
}

// However many agents there are, and however long their ids, they are listed.
func TestManyAgentsAreListed(t *testing.T) {
	const agents = 45_000
	s := memory.New()
	entries := make([]humanhours.Entry, agents)
	for i := range entries {
		entries[i] = storetest.Entry("acme", i)
		entries[i].Event.AgentID = strings.Repeat("\U0001f600", 190) + strconv.Itoa(i)
	}
	for _, got := range s.Append(t.Context(), entries) {
		require.NoError(t, got.Err)
	}
	tracker, err := humanhours.New(s, humanhours.Config{Clock: func() time.Time { return entries[agents-1].At.Add(time.Hour) }})
	require.NoError(t, err)
	list, err := tracker.Agents(t.Context(), humanhours.Caller{Org: "acme"}, false)
	require.NoError(t, err)
	require.Len(t, list, agents)
	require.EqualValues(t, 1, list[7].Recent[0].Events)
}
