package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// agentJSON is one row of GET /v1/agents, and without its last three fields the answer of a PATCH.
type agentJSON struct {
	ID                 string            `json:"agent_id"`
	DisplayName        string            `json:"display_name,omitempty"`
	HourlyRate         json.RawMessage   `json:"hourly_rate"` // as the org has set it for this agent; null: not set
	ResolvedRate       json.RawMessage   `json:"resolved_hourly_rate"`
	ResolvedRateSource string            `json:"resolved_hourly_rate_source"`
	Currency           string            `json:"currency"` // of the rates
	First              string            `json:"first_event_at,omitempty"`
	Last               string            `json:"last_event_at,omitempty"`
	Recent             []json.RawMessage `json:"last_30_days,omitempty"` // sums by currency, as reports have them
}

func newAgentJSON(e *humanhours.AgentEntry) agentJSON {
	row := agentJSON{
		ID: e.ID, DisplayName: e.DisplayName, HourlyRate: numberJSON(e.HourlyRate), Currency: e.Currency,
		ResolvedRate: numberJSON(decimal.NewNullDecimal(e.Rate.Amount)), ResolvedRateSource: string(e.Rate.Source),
		First: instantJSON(e.First), Last: instantJSON(e.Last),
	}
	for i := range e.Recent {
		row.Recent = append(row.Recent, append(appendSums([]byte{'{'}, &e.Recent[i]), '}'))
	}
	return row
}

// agents answers GET /v1/agents.
func (a *API) agents(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	test := false
	switch mode := query.Get("mode"); mode {
	case "", "live":
	case "test":
		test = true
	default:
		return reply{}, invalid("mode", "mode must be live or test")
	}
	// Before the rows: the ETag must not be newer than what it stands for.
	settings, err := a.tracker.Settings(ctx, req.caller)
	if err != nil {
		return reply{}, err
	}
	entries, err := a.tracker.Agents(ctx, req.caller, test)
	if err != nil {
		return reply{}, err
	}
	list := make([]agentJSON, len(entries))
	for i := range entries {
		list[i] = newAgentJSON(&entries[i])
	}
	return reply{status: http.StatusOK, etag: etag(settings.Version), body: encode(map[string][]agentJSON{"agents": list})}, nil
}

// updateAgent answers PATCH /v1/agents/{id}.
func (a *API) updateAgent(ctx context.Context, req request) (reply, error) {
	var w struct {
		HourlyRate  numberField `json:"hourly_rate"`
		DisplayName textField   `json:"display_name"`
		Reason      textField   `json:"reason"`
	}
	if err := decodeObject(req.body, &w); err != nil {
		return reply{}, err
	}
	e, err := req.edit(&w.Reason)
	if err != nil {
		return reply{}, err
	}
	var p humanhours.AgentPatch
	if err := read(w.HourlyRate.into("hourly_rate", &p.HourlyRate), w.DisplayName.into("display_name", &p.DisplayName)); err != nil {
		return reply{}, err
	}
	if p == (humanhours.AgentPatch{}) {
		return reply{}, nothingToChange("hourly_rate, display_name")
	}
	entry, err := a.tracker.UpdateAgent(ctx, req.caller, req.PathValue("id"), p, e)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, etag: etag(entry.Version), body: encode(newAgentJSON(&entry))}, nil
}
