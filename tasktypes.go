package humanhours

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// MaxTaskTypes is how many types of its own an org can have, archived ones too.
const MaxTaskTypes = 1000

// EvidenceStated is the Evidence.Kind of an org's own type: the org says so, and nobody else has looked at it.
const EvidenceStated = "stated"

// CatalogueEntry is a task type as one org sees it.
type CatalogueEntry struct {
	TaskType              // as it was published or created
	Version     int64     // of the org's settings
	Builtin     bool      // false: the org's own
	Override    *Override // the org's override of a built-in type; nil: none
	InForce     Baseline  // what an event tracked now would get; meaningless unless HasBaseline
	HasBaseline bool      // false: events must bring human_baseline_minutes
}

// TaskTypeQuery asks for task types. The zero value asks for all that are not archived.
type TaskTypeQuery struct {
	Category string // exactly this; empty: any
	Archived bool   // the org's archived types instead
}

// TaskTypes lists the task types that the caller's org sees, by category and key: the built-ins, with its overrides, and its own.
func (t *Tracker) TaskTypes(ctx context.Context, c Caller, q TaskTypeQuery) ([]CatalogueEntry, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return nil, err
	}
	list := org.catalogue(t.cfg.FallbackBaseline, q.Archived)
	if q.Category != "" {
		list = slices.DeleteFunc(list, func(e CatalogueEntry) bool { return e.Category != q.Category })
	}
	return list, nil
}

// TaskType returns one task type, an archived one too, or a CodeNotFound error.
func (t *Tracker) TaskType(ctx context.Context, c Caller, key string) (CatalogueEntry, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return CatalogueEntry{}, err
	}
	entry, ok := org.entry(key, t.cfg.FallbackBaseline)
	if !ok {
		return CatalogueEntry{}, noTaskType(key)
	}
	return entry, nil
}

func noTaskType(key string) error {
	return &Error{Code: CodeNotFound, Message: "there is no task type " + strconv.Quote(key), Hint: "GET /v1/task-types lists them."}
}

// entry returns a task type as the org sees it.
func (o *Org) entry(key string, fallback decimal.NullDecimal) (CatalogueEntry, bool) {
	entry := CatalogueEntry{Version: o.Version}
	if entry.TaskType, entry.Builtin = builtins()[key]; entry.Builtin {
		if override, ok := o.Overrides[key]; ok {
			entry.Override = &override
		}
	} else {
		tt, ok := o.TaskTypes[key]
		if !ok {
			return CatalogueEntry{}, false
		}
		entry.TaskType = tt
		entry.Key = key // the one that requests are resolved by
	}
	entry.InForce, entry.HasBaseline = o.resolveBaseline(key, decimal.NullDecimal{}, fallback)
	return entry, true
}

// catalogue lists what the org sees: the built-ins and its own types that are not archived, or the archived ones.
func (o *Org) catalogue(fallback decimal.NullDecimal, archived bool) []CatalogueEntry {
	list := make([]CatalogueEntry, 0, len(builtins())+len(o.TaskTypes))
	add := func(key string) {
		if entry, ok := o.entry(key, fallback); ok && entry.ArchivedAt.IsZero() != archived {
			list = append(list, entry)
		}
	}
	for key := range builtins() {
		add(key)
	}
	for key := range o.TaskTypes {
		if _, clash := builtins()[key]; !clash {
			add(key)
		}
	}
	sortTaskTypes(list, func(e *CatalogueEntry) *TaskType { return &e.TaskType })
	return list
}

// TaskTypePatch is what an org says about a task type of its own; nil leaves a field as it is, or empty in a new one.
type TaskTypePatch struct {
	DisplayName     *string              // up to MaxTextLength characters, as all texts. Of a new type: defaults to its key
	Category        *string              // of a new type: defaults to "custom"
	Unit            *string              // what exactly one task is
	BaselineMinutes *decimal.NullDecimal // 0 to MaxBaselineMinutes; not Valid: none, then Config.FallbackBaseline applies
	LowMinutes      *decimal.NullDecimal // low end of what was seen, at most BaselineMinutes
	HighMinutes     *decimal.NullDecimal // high end, at least BaselineMinutes
	BaselineSource  *string              // where the minutes come from; it becomes the evidence's derivation
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// CreateTaskType makes a task type of the caller's org. key is lowercase snake_case; one that is built in, or that the org has already, is
// a CodeValidation error.
func (t *Tracker) CreateTaskType(ctx context.Context, c Caller, key string, p TaskTypePatch, e Edit) (CatalogueEntry, error) {
	if err := checkName("key", key); err != nil {
		return CatalogueEntry{}, err
	}
	if !snakeCase.MatchString(key) {
		return CatalogueEntry{}, invalid("key", `must be lowercase snake_case, such as "invoice_check"`)
	}
	return t.editTaskType(ctx, c, key, e, func(o *Org, log *changeLog) error {
		clash := &Error{Code: CodeValidation, Field: "key", Message: "key " + key + " is taken"}
		if _, ok := builtins()[key]; ok {
			clash.Hint = "It is a built-in type: override its baseline, or choose another key."
			return clash
		}
		if there, ok := o.TaskTypes[key]; ok {
			clash.Hint = "Change the type that has it, or choose another key."
			if !there.ArchivedAt.IsZero() {
				clash.Hint = "An archived type has it: restore that, or choose another key."
			}
			return clash
		}
		if len(o.TaskTypes) >= MaxTaskTypes {
			return &Error{Code: CodeValidation, Message: "the org has " + strconv.Itoa(MaxTaskTypes) + " task types of its own, which is the most"}
		}
		tt := TaskType{Key: key, DisplayName: key, Category: "custom"}
		if err := p.apply(&tt, &changeLog{}, ""); err != nil {
			return err
		}
		log.text("task_types."+key, "", tt.summary())
		if o.TaskTypes == nil {
			o.TaskTypes = make(map[string]TaskType)
		}
		o.TaskTypes[key] = tt
		return nil
	})
}

// summary is a type in the history.
func (tt *TaskType) summary() string {
	parts := []string{strconv.Quote(tt.DisplayName), "category " + strconv.Quote(tt.Category)}
	for _, part := range []struct{ name, value string }{
		{"unit", tt.Unit}, {"minutes", numberText(tt.BaselineMinutes)}, {"low", numberText(tt.LowMinutes)},
		{"high", numberText(tt.HighMinutes)}, {"source", tt.Source.Derivation},
	} {
		switch {
		case part.value == "":
		case part.name == "unit" || part.name == "source":
			parts = append(parts, part.name+" "+strconv.Quote(part.value))
		default:
			parts = append(parts, part.name+" "+part.value)
		}
	}
	return strings.Join(parts, ", ")
}

// UpdateTaskType changes a task type of the caller's org, for events that are tracked from then on. A built-in type can be overridden, and
// an archived one must be restored first: both are CodeValidation errors.
func (t *Tracker) UpdateTaskType(ctx context.Context, c Caller, key string, p TaskTypePatch, e Edit) (CatalogueEntry, error) {
	return t.editTaskType(ctx, c, key, e, func(o *Org, log *changeLog) error {
		tt, err := o.own(key, "A built-in type cannot be changed: override its baseline instead.")
		if err != nil {
			return err
		}
		if !tt.ArchivedAt.IsZero() {
			return &Error{Code: CodeValidation, Field: "key", Message: "the task type " + key + " is archived", Hint: "Restore it first."}
		}
		if err := p.apply(&tt, log, "task_types."+key+"."); err != nil {
			return err
		}
		o.TaskTypes[key] = tt
		return nil
	})
}

// ArchiveTaskType archives a task type of the caller's org: its events stay, and new ones get CodeUnknownTaskType. Archiving an
// archived type changes nothing.
func (t *Tracker) ArchiveTaskType(ctx context.Context, c Caller, key string, e Edit) (CatalogueEntry, error) {
	return t.setArchived(ctx, c, key, e, "A built-in type cannot be deleted; to get its published baseline back, remove the override.", t.now())
}

// RestoreTaskType brings an archived task type of the caller's org back. Restoring one that is not archived changes nothing.
func (t *Tracker) RestoreTaskType(ctx context.Context, c Caller, key string, e Edit) (CatalogueEntry, error) {
	return t.setArchived(ctx, c, key, e, "A built-in type is never archived.", time.Time{})
}

func (t *Tracker) setArchived(ctx context.Context, c Caller, key string, e Edit, hint string, at time.Time) (CatalogueEntry, error) {
	return t.editTaskType(ctx, c, key, e, func(o *Org, log *changeLog) error {
		tt, err := o.own(key, hint)
		if err != nil || tt.ArchivedAt.IsZero() == at.IsZero() {
			return err
		}
		log.text("task_types."+key+".archived", strconv.FormatBool(at.IsZero()), strconv.FormatBool(!at.IsZero()))
		tt.ArchivedAt = at
		o.TaskTypes[key] = tt
		return nil
	})
}

// own returns a type of the org's own. hint is what to do if it is built in.
func (o *Org) own(key, hint string) (TaskType, error) {
	if _, ok := builtins()[key]; ok {
		return TaskType{}, &Error{Code: CodeValidation, Field: "key", Message: "the task type " + key + " is built in", Hint: hint}
	}
	tt, ok := o.TaskTypes[key]
	if !ok {
		return TaskType{}, noTaskType(key)
	}
	return tt, nil
}

// OverrideTaskType sets the baseline of a built-in type within the caller's org, for events that are tracked from then on. minutes is 0 to
// MaxBaselineMinutes. The reason of the edit stays with the override; the published baseline stays on record.
func (t *Tracker) OverrideTaskType(ctx context.Context, c Caller, key string, minutes decimal.Decimal, e Edit) (CatalogueEntry, error) {
	const field = "baseline_minutes_override"
	minutes, err := checkNumber(field, minutes, MaxBaselineMinutes)
	if err != nil {
		return CatalogueEntry{}, err
	}
	at := t.now()
	return t.editTaskType(ctx, c, key, e, func(o *Org, log *changeLog) error {
		if err := o.builtin(key); err != nil {
			return err
		}
		old, there := o.Overrides[key]
		if there && old.BaselineMinutes.Equal(minutes) && old.Reason == e.Reason {
			return nil
		}
		if o.Overrides == nil {
			o.Overrides = make(map[string]Override)
		}
		log.override(key, old, there, numberText(decimal.NewNullDecimal(minutes)))
		o.Overrides[key] = Override{BaselineMinutes: minutes, Reason: e.Reason, At: at}
		return nil
	})
}

// RemoveOverride gives a built-in type its published baseline back. Without an override it is a CodeNotFound error.
func (t *Tracker) RemoveOverride(ctx context.Context, c Caller, key string, e Edit) (CatalogueEntry, error) {
	return t.editTaskType(ctx, c, key, e, func(o *Org, log *changeLog) error {
		if err := o.builtin(key); err != nil {
			return err
		}
		old, there := o.Overrides[key]
		if !there {
			return &Error{Code: CodeNotFound, Message: "the task type " + key + " has no override"}
		}
		log.override(key, old, there, "")
		delete(o.Overrides, key)
		return nil
	})
}

// override notes a change of an override, also of its reason alone.
func (l *changeLog) override(key string, old Override, there bool, now string) {
	was := ""
	if there {
		was = numberText(decimal.NewNullDecimal(old.BaselineMinutes))
	}
	l.changes = append(l.changes, Change{At: l.at, KeyID: l.keyID, Subject: "overrides." + key, Old: was, New: now, Reason: l.reason})
}

// builtin refuses what is no built-in type.
func (o *Org) builtin(key string) error {
	if _, ok := builtins()[key]; ok {
		return nil
	}
	if _, ok := o.TaskTypes[key]; ok {
		return &Error{
			Code: CodeValidation, Field: "key", Message: "the task type " + key + " is the org's own", Hint: "Change its baseline itself.",
		}
	}
	return noTaskType(key)
}

// editTaskType is edit for one task type.
func (t *Tracker) editTaskType(ctx context.Context, c Caller, key string, e Edit, f func(*Org, *changeLog) error) (CatalogueEntry, error) {
	org, err := t.edit(ctx, c, e, FeatureTaskTypes, f)
	if err != nil {
		return CatalogueEntry{}, err
	}
	entry, _ := org.entry(key, t.cfg.FallbackBaseline)
	return entry, nil
}

// apply changes a type, and notes it under subjects that begin with a prefix.
func (p *TaskTypePatch) apply(tt *TaskType, log *changeLog, prefix string) error {
	for _, text := range []struct {
		field string
		to    *string
		value *string
	}{
		{"display_name", &tt.DisplayName, p.DisplayName},
		{"category", &tt.Category, p.Category},
		{"unit", &tt.Unit, p.Unit},
		{"baseline_source", &tt.Source.Derivation, p.BaselineSource},
	} {
		if text.value == nil {
			continue
		}
		if err := log.setText(prefix+text.field, text.field, text.to, *text.value); err != nil {
			return err
		}
	}
	for _, required := range []struct{ field, value string }{{"display_name", tt.DisplayName}, {"category", tt.Category}} {
		if required.value == "" {
			return invalid(required.field, "must not be empty")
		}
	}
	if p.BaselineSource != nil {
		if tt.Source = (Evidence{Derivation: *p.BaselineSource}); tt.Source.Derivation != "" {
			tt.Source.Kind = EvidenceStated
		}
	}
	for _, number := range []struct {
		field string
		to    *decimal.NullDecimal
		value *decimal.NullDecimal
	}{
		{"default_baseline_minutes", &tt.BaselineMinutes, p.BaselineMinutes},
		{"low_minutes", &tt.LowMinutes, p.LowMinutes},
		{"high_minutes", &tt.HighMinutes, p.HighMinutes},
	} {
		if number.value == nil {
			continue
		}
		if err := log.setNumber(prefix+number.field, number.field, number.to, *number.value, MaxBaselineMinutes); err != nil {
			return err
		}
	}
	minutes := tt.BaselineMinutes
	switch {
	case (tt.LowMinutes.Valid || tt.HighMinutes.Valid) && !minutes.Valid:
		return invalid("default_baseline_minutes", "is required with low_minutes or high_minutes")
	case tt.LowMinutes.Valid && tt.LowMinutes.Decimal.GreaterThan(minutes.Decimal):
		return invalid("low_minutes", "must not be above default_baseline_minutes")
	case tt.HighMinutes.Valid && tt.HighMinutes.Decimal.LessThan(minutes.Decimal):
		return invalid("high_minutes", "must not be below default_baseline_minutes")
	}
	return nil
}

// sortTaskTypes orders by category and key.
func sortTaskTypes[T any](list []T, of func(*T) *TaskType) {
	slices.SortFunc(list, func(a, b T) int {
		x, y := of(&a), of(&b)
		if c := strings.Compare(x.Category, y.Category); c != 0 {
			return c
		}
		return strings.Compare(x.Key, y.Key)
	})
}
