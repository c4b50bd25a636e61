package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// taskTypeJSON is one row of GET /v1/task-types.
type taskTypeJSON struct {
	Key                    string               `json:"key"`
	DisplayName            string               `json:"display_name"`
	Category               string               `json:"category"`
	Unit                   string               `json:"unit,omitempty"`
	DefaultBaselineMinutes json.RawMessage      `json:"default_baseline_minutes"` // as published or created; null: none
	LowMinutes             json.RawMessage      `json:"low_minutes,omitempty"`
	HighMinutes            json.RawMessage      `json:"high_minutes,omitempty"`
	ResolvedMinutes        json.RawMessage      `json:"resolved_baseline_minutes"` // what an event gets now; null: it must bring its own
	ResolvedSource         string               `json:"resolved_baseline_source,omitempty"`
	Override               *overrideJSON        `json:"override,omitempty"`
	Source                 *humanhours.Evidence `json:"source,omitempty"`
}

type overrideJSON struct {
	BaselineMinutes json.RawMessage `json:"baseline_minutes_override"`
	Reason          string          `json:"reason,omitempty"`
}

// taskTypes answers GET /v1/task-types.
func (a *API) taskTypes(ctx context.Context, req request) (reply, error) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return reply{}, invalid("", "the query is malformed: "+err.Error())
	}
	entries, err := a.tracker.TaskTypes(ctx, req.caller, query.Get("category"))
	if err != nil {
		return reply{}, err
	}
	list := make([]taskTypeJSON, len(entries))
	for i := range entries {
		list[i] = newTaskTypeJSON(&entries[i])
	}
	return reply{status: http.StatusOK, body: encode(map[string][]taskTypeJSON{"task_types": list})}, nil
}

func newTaskTypeJSON(e *humanhours.CatalogueEntry) taskTypeJSON {
	t := taskTypeJSON{
		Key: e.Key, DisplayName: e.DisplayName, Category: e.Category, Unit: e.Unit,
		DefaultBaselineMinutes: numberJSON(e.BaselineMinutes),
		LowMinutes:             numberJSON(e.LowMinutes),
		HighMinutes:            numberJSON(e.HighMinutes),
	}
	if e.HasBaseline {
		t.ResolvedMinutes = numberJSON(decimal.NewNullDecimal(e.InForce.Minutes))
		t.ResolvedSource = string(e.InForce.Source)
	}
	if e.Override != nil {
		t.Override = &overrideJSON{
			BaselineMinutes: numberJSON(decimal.NewNullDecimal(e.Override.BaselineMinutes)), Reason: e.Override.Reason,
		}
	}
	if e.Source != (humanhours.Evidence{}) {
		t.Source = &e.Source
	}
	return t
}

// numberJSON writes a decimal as a JSON number; nil (null, or left out) if there is none.
func numberJSON(d decimal.NullDecimal) json.RawMessage {
	if !d.Valid {
		return nil
	}
	return humanhours.AppendDecimal(nil, d.Decimal)
}
