package humanhours

import (
	_ "embed"
	"encoding/json"
	"sync"
	"time"

	"github.com/shopspring/decimal"
)

// TaskType is one kind of task with the time that a person needs for it.
type TaskType struct {
	Key         string `json:"key"`          // lowercase snake_case, unique within an org
	DisplayName string `json:"display_name"` // for people
	Category    string `json:"category"`     // "support", "dev", ...
	Unit        string `json:"unit"`         // what exactly one task is
	// BaselineMinutes is what a person needs for one unit, in minutes, 0 to MaxBaselineMinutes. Not Valid only on an
	// org's own type that was made without it: then Config.FallbackBaseline applies.
	BaselineMinutes decimal.NullDecimal `json:"baseline_minutes"`
	LowMinutes      decimal.NullDecimal `json:"low_minutes"`  // low end of the evidence; not Valid: not known
	HighMinutes     decimal.NullDecimal `json:"high_minutes"` // high end of the evidence; not Valid: not known
	Source          Evidence            `json:"source"`
	ArchivedAt      time.Time           `json:"archived_at,omitzero"` // archived types count as unknown; zero: not archived
}

// Evidence is where a baseline comes from.
type Evidence struct {
	// Kind is, strongest first: "measured" (people were timed), "survey" (people were asked), "practitioner" (one
	// professional's figure), "derived" (computed from another figure), "estimate" (ours). EvidenceStated is for an org's own types.
	Kind       string `json:"evidence"`
	Title      string `json:"title,omitempty"`
	Publisher  string `json:"publisher,omitempty"`
	Year       int    `json:"year,omitempty"` // 0: not dated
	URL        string `json:"url,omitempty"`
	Figure     string `json:"figure,omitempty"` // the figure as published
	Derivation string `json:"derivation"`       // how the minutes follow from it
}

// BaselineSource says which layer a baseline came from.
type BaselineSource string

// The layers, strongest first.
const (
	BaselineRequest  BaselineSource = "request"  // human_baseline_minutes in the request
	BaselineOverride BaselineSource = "override" // the org's override of a built-in type
	BaselineBuiltin  BaselineSource = "builtin"  // the built-in catalogue
	BaselineCustom   BaselineSource = "custom"   // the org's own type
	BaselineFallback BaselineSource = "fallback" // Config.FallbackBaseline
)

// Baseline is the human time that an event was measured against.
type Baseline struct {
	Minutes decimal.Decimal // 0 to MaxBaselineMinutes
	Source  BaselineSource
}

// Override replaces the baseline of a built-in type within one org. The original stays on record.
type Override struct {
	BaselineMinutes decimal.Decimal `json:"baseline_minutes"` // 0 to MaxBaselineMinutes
	Reason          string          `json:"reason,omitempty"`
	At              time.Time       `json:"at,omitzero"`
}

//go:embed builtin_task_types.json
var builtinJSON []byte

// builtins is the built-in catalogue by key, parsed once. It is never written after that.
var builtins = sync.OnceValue(func() map[string]TaskType {
	var list []TaskType
	if err := json.Unmarshal(builtinJSON, &list); err != nil {
		panic("humanhours: the embedded catalogue of task types is broken: " + err.Error())
	}
	byKey := make(map[string]TaskType, len(list))
	for _, tt := range list {
		byKey[tt.Key] = tt
	}
	return byKey
})

// BuiltinTaskTypes returns the built-in task types with their evidence, sorted by category and key. The slice is the
// caller's own.
func BuiltinTaskTypes() []TaskType {
	list := make([]TaskType, 0, len(builtins()))
	for _, tt := range builtins() {
		list = append(list, tt)
	}
	sortTaskTypes(list, func(tt *TaskType) *TaskType { return tt })
	return list
}

// BuiltinTaskType returns one built-in task type, and whether there is one of that key.
func BuiltinTaskType(key string) (TaskType, bool) {
	tt, ok := builtins()[key]
	return tt, ok
}

// resolveBaseline walks the layers: request > override > built-in / own type > fallback. False: the type is unknown, or has no
// minutes, and no fallback is configured.
func (o *Org) resolveBaseline(key string, request, fallback decimal.NullDecimal) (Baseline, bool) {
	if request.Valid {
		return Baseline{Minutes: request.Decimal, Source: BaselineRequest}, true
	}
	if tt, ok := builtins()[key]; ok {
		if override, ok := o.Overrides[key]; ok {
			return Baseline{Minutes: override.BaselineMinutes, Source: BaselineOverride}, true
		}
		return Baseline{Minutes: tt.BaselineMinutes.Decimal, Source: BaselineBuiltin}, true
	}
	if tt, ok := o.TaskTypes[key]; ok && tt.ArchivedAt.IsZero() && tt.BaselineMinutes.Valid {
		return Baseline{Minutes: tt.BaselineMinutes.Decimal, Source: BaselineCustom}, true
	}
	if fallback.Valid {
		return Baseline{Minutes: fallback.Decimal, Source: BaselineFallback}, true
	}
	return Baseline{}, false
}
