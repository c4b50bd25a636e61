package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// taskTypeJSON is one row of GET /v1/task-types.
type taskTypeJSON struct {
	Key                    string               `json:"key"`
	Layer                  string               `json:"layer"` // where the type is defined: builtin or custom
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
	ArchivedAt             string               `json:"archived_at,omitempty"`
}

type overrideJSON struct {
	BaselineMinutes json.RawMessage `json:"baseline_minutes_override"`
	Reason          string          `json:"reason,omitempty"`
	At              string          `json:"at,omitempty"` // when it was set
}

// taskTypes answers GET /v1/task-types.
func (a *API) taskTypes(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	q := humanhours.TaskTypeQuery{Category: query.Get("category")}
	switch archived := query.Get("archived"); archived {
	case "", "false":
	case "true":
		q.Archived = true
	default:
		return reply{}, invalid("archived", "archived must be true or false")
	}
	// Before the rows: the ETag must not be newer than what it stands for.
	settings, err := a.tracker.Settings(ctx, req.caller)
	if err != nil {
		return reply{}, err
	}
	entries, err := a.tracker.TaskTypes(ctx, req.caller, q)
	if err != nil {
		return reply{}, err
	}
	list := make([]taskTypeJSON, len(entries))
	for i := range entries {
		list[i] = newTaskTypeJSON(&entries[i])
	}
	return reply{status: http.StatusOK, etag: etag(settings.Version), body: encode(map[string][]taskTypeJSON{"task_types": list})}, nil
}

// taskType answers GET /v1/task-types/{key}.
func (a *API) taskType(ctx context.Context, req request) (reply, error) {
	entry, err := a.tracker.TaskType(ctx, req.caller, req.PathValue("key"))
	return taskTypeReply(http.StatusOK, entry, err)
}

func taskTypeReply(status int, entry humanhours.CatalogueEntry, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: status, etag: etag(entry.Version), body: encode(newTaskTypeJSON(&entry))}, nil
}

// taskTypePatchJSON is the body of a POST or PATCH of a task type.
type taskTypePatchJSON struct {
	Key                    textField   `json:"key"` // of POST only
	DisplayName            textField   `json:"display_name"`
	Category               textField   `json:"category"`
	Unit                   textField   `json:"unit"`
	DefaultBaselineMinutes numberField `json:"default_baseline_minutes"`
	LowMinutes             numberField `json:"low_minutes"`
	HighMinutes            numberField `json:"high_minutes"`
	BaselineSource         textField   `json:"baseline_source"`
	Reason                 textField   `json:"reason"`
}

// decode reads a body, and the edit that goes with it.
func (w *taskTypePatchJSON) decode(req request) (p humanhours.TaskTypePatch, e humanhours.Edit, err error) {
	if err = decodeObject(req.body, w); err != nil {
		return p, e, err
	}
	if e, err = req.edit(&w.Reason); err != nil {
		return p, e, err
	}
	err = read(
		w.DisplayName.into("display_name", &p.DisplayName), w.Category.into("category", &p.Category), w.Unit.into("unit", &p.Unit),
		w.DefaultBaselineMinutes.into("default_baseline_minutes", &p.BaselineMinutes),
		w.LowMinutes.into("low_minutes", &p.LowMinutes), w.HighMinutes.into("high_minutes", &p.HighMinutes),
		w.BaselineSource.into("baseline_source", &p.BaselineSource),
	)
	return p, e, err
}

// createTaskType answers POST /v1/task-types.
func (a *API) createTaskType(ctx context.Context, req request) (reply, error) {
	var w taskTypePatchJSON
	p, e, err := w.decode(req)
	if err != nil {
		return reply{}, err
	}
	var key *string
	if err := w.Key.into("key", &key)(); err != nil {
		return reply{}, err
	}
	if key == nil || *key == "" {
		return reply{}, invalid("key", "key is required")
	}
	// null is absent in a new type, which has defaults for these.
	for _, text := range []**string{&p.DisplayName, &p.Category} {
		if *text != nil && **text == "" {
			*text = nil
		}
	}
	entry, err := a.tracker.CreateTaskType(ctx, req.caller, *key, p, e)
	return taskTypeReply(http.StatusCreated, entry, err)
}

// updateTaskType answers PATCH /v1/task-types/{key}.
func (a *API) updateTaskType(ctx context.Context, req request) (reply, error) {
	var w taskTypePatchJSON
	p, e, err := w.decode(req)
	if err != nil {
		return reply{}, err
	}
	if w.Key.set && w.Key.value != req.PathValue("key") {
		return reply{}, invalid("key", "key cannot be changed")
	}
	if p == (humanhours.TaskTypePatch{}) {
		return reply{}, nothingToChange("display_name, category, unit, default_baseline_minutes, low_minutes, high_minutes, baseline_source")
	}
	entry, err := a.tracker.UpdateTaskType(ctx, req.caller, req.PathValue("key"), p, e)
	return taskTypeReply(http.StatusOK, entry, err)
}

// archiveTaskType answers DELETE /v1/task-types/{key}.
func (a *API) archiveTaskType(ctx context.Context, req request) (reply, error) {
	return a.editTaskType(ctx, req, a.tracker.ArchiveTaskType)
}

// restoreTaskType answers POST /v1/task-types/{key}/restore.
func (a *API) restoreTaskType(ctx context.Context, req request) (reply, error) {
	return a.editTaskType(ctx, req, a.tracker.RestoreTaskType)
}

// editTaskType runs an edit that takes no body.
func (a *API) editTaskType(ctx context.Context, req request, run func(context.Context, humanhours.Caller, string, humanhours.Edit) (humanhours.CatalogueEntry, error)) (reply, error) {
	e, err := req.edit(nil)
	if err != nil {
		return reply{}, err
	}
	entry, err := run(ctx, req.caller, req.PathValue("key"), e)
	return taskTypeReply(http.StatusOK, entry, err)
}

// setOverride answers POST /v1/task-types/{key}/override.
func (a *API) setOverride(ctx context.Context, req request) (reply, error) {
	var w struct {
		Minutes numberField `json:"baseline_minutes_override"`
		Reason  textField   `json:"reason"`
	}
	if err := decodeObject(req.body, &w); err != nil {
		return reply{}, err
	}
	e, err := req.edit(&w.Reason)
	if err != nil {
		return reply{}, err
	}
	var minutes *decimal.NullDecimal
	if err := w.Minutes.into("baseline_minutes_override", &minutes)(); err != nil {
		return reply{}, err
	}
	if minutes == nil || !minutes.Valid {
		return reply{}, invalid("baseline_minutes_override", "baseline_minutes_override is required")
	}
	entry, err := a.tracker.OverrideTaskType(ctx, req.caller, req.PathValue("key"), minutes.Decimal, e)
	return taskTypeReply(http.StatusOK, entry, err)
}

// removeOverride answers DELETE /v1/task-types/{key}/override.
func (a *API) removeOverride(ctx context.Context, req request) (reply, error) {
	return a.editTaskType(ctx, req, a.tracker.RemoveOverride)
}

func newTaskTypeJSON(e *humanhours.CatalogueEntry) taskTypeJSON {
	t := taskTypeJSON{
		Key: e.Key, Layer: string(humanhours.BaselineCustom), DisplayName: e.DisplayName, Category: e.Category, Unit: e.Unit,
		DefaultBaselineMinutes: numberJSON(e.BaselineMinutes),
		LowMinutes:             numberJSON(e.LowMinutes),
		HighMinutes:            numberJSON(e.HighMinutes),
	}
	if e.Builtin {
		t.Layer = string(humanhours.BaselineBuiltin)
	}
	if e.HasBaseline {
		t.ResolvedMinutes = numberJSON(decimal.NewNullDecimal(e.InForce.Minutes))
		t.ResolvedSource = string(e.InForce.Source)
	}
	if e.Override != nil {
		t.Override = &overrideJSON{
			BaselineMinutes: numberJSON(decimal.NewNullDecimal(e.Override.BaselineMinutes)), Reason: e.Override.Reason, At: instantJSON(e.Override.At),
		}
	}
	if e.Source != (humanhours.Evidence{}) {
		t.Source = &e.Source
	}
	t.ArchivedAt = instantJSON(e.ArchivedAt)
	return t
}
