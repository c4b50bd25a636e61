package humanhours

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// AgentEntry is an agent as its org sees it: one that has events, or settings, or both.
type AgentEntry struct {
	ID          string
	Version     int64               // of the org's settings
	DisplayName string              // as the org has set it; may be empty
	HourlyRate  decimal.NullDecimal // as the org has set it for this agent; not Valid: not set
	Rate        HourlyRate          // in force, in Currency
	Currency    string              // of the org
	First, Last time.Time           // when the first and the last of its events occurred; zero: it has none
	Recent      []ReportSums        // of the events of the last AgentRecent, by currency; without a range
}

// AgentRecent is the time that AgentEntry.Recent looks back.
const AgentRecent = 30 * 24 * time.Hour

// Agents returns the agents of the caller's org, ordered by id: those that live events name, or with test those that test events name,
// and those that have settings.
func (t *Tracker) Agents(ctx context.Context, c Caller, test bool) ([]AgentEntry, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return nil, err
	}
	seen, err := t.store.Agents(ctx, org.ID, test)
	if err != nil {
		return nil, unread("the store", err)
	}
	byID := make(map[string]*AgentEntry, len(seen)+len(org.Agents))
	for _, s := range seen {
		entry := org.agent(s.ID)
		entry.First, entry.Last = s.First, s.Last
		byID[s.ID] = &entry
	}
	for id := range org.Agents {
		if byID[id] == nil {
			entry := org.agent(id)
			byID[id] = &entry
		}
	}
	now := t.now()
	q := ReportQuery{From: now.Add(-AgentRecent).Add(time.Millisecond), To: now.Add(time.Millisecond), GroupBy: []Dimension{ByAgent}, Test: test}
	sums, err := t.addUp(ctx, q, math.MaxInt/2, &org.Org)
	if err != nil {
		return nil, err
	}
	for _, row := range sums.report().Rows { // in the order of currencies
		if entry := byID[row.Values[0].Text]; entry != nil { // nil: its first event came since
			entry.Recent = append(entry.Recent, row.ReportSums)
		}
	}
	list := make([]AgentEntry, 0, len(byID))
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		list = append(list, *byID[id])
	}
	return list, nil
}

func (o *Org) agent(id string) AgentEntry {
	set := o.Agents[id]
	return AgentEntry{
		ID: id, Version: o.Version, DisplayName: set.DisplayName, HourlyRate: set.HourlyRate, Rate: o.resolveRate(id), Currency: o.currency(),
	}
}

// MaxAgents is for how many agents an org can have settings.
const MaxAgents = 10_000

// AgentPatch says which settings of an agent to change; nil leaves one as it is.
type AgentPatch struct {
	HourlyRate  *decimal.NullDecimal // of the people whose work it does, 0 to MaxHourlyRate; not Valid: back to the org's rate
	DisplayName *string              // up to MaxTextLength characters; empty: none
}

// UpdateAgent changes the settings of an agent, for events that are tracked from then on. An agent that has no events yet can be set up.
// The entry that it returns has no sums and no instants.
func (t *Tracker) UpdateAgent(ctx context.Context, c Caller, id string, p AgentPatch, e Edit) (AgentEntry, error) {
	if err := checkName("agent_id", id); err != nil {
		return AgentEntry{}, err
	}
	org, err := t.edit(ctx, c, e, 0, func(o *Org, log *changeLog) error {
		agent, subject := o.Agents[id], "agents."+id
		if p.HourlyRate != nil {
			if err := log.setNumber(subject+".hourly_rate", "hourly_rate", &agent.HourlyRate, *p.HourlyRate, MaxHourlyRate); err != nil {
				return err
			}
		}
		if p.DisplayName != nil {
			if err := log.setText(subject+".display_name", "display_name", &agent.DisplayName, *p.DisplayName); err != nil {
				return err
			}
		}
		if o.Agents == nil {
			o.Agents = make(map[string]Agent)
		}
		o.Agents[id] = agent
		if agent == (Agent{}) {
			delete(o.Agents, id)
		}
		if len(o.Agents) > MaxAgents {
			return &Error{Code: CodeValidation, Message: "the org has settings for " + strconv.Itoa(MaxAgents) + " agents, which is the most",
				Hint: "Clear those of agents that are gone."}
		}
		return nil
	})
	if err != nil {
		return AgentEntry{}, err
	}
	return org.agent(id), nil
}
