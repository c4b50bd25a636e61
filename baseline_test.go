package humanhours_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestBuiltinTaskTypes(t *testing.T) {
	raw, err := os.ReadFile("builtin_task_types.json")
	require.NoError(t, err)
	var published []humanhours.TaskType
	require.NoError(t, json.Unmarshal(raw, &published))
	list := humanhours.BuiltinTaskTypes()
	assert.Len(t, list, 50)
	assert.Len(t, list, len(published), "keys are unique")

	assert.True(t, slices.IsSortedFunc(list, func(a, b humanhours.TaskType) int {
		return strings.Compare(a.Category+"\x00"+a.Key, b.Category+"\x00"+b.Key)
	}), "sorted by category and key")

	snakeCase := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	most := decimal.NewFromInt(humanhours.MaxBaselineMinutes)
	for _, tt := range list {
		t.Run(tt.Key, func(t *testing.T) {
			assert.Regexp(t, snakeCase, tt.Key)
			assert.Regexp(t, snakeCase, tt.Category)
			assert.NotEmpty(t, tt.DisplayName)
			assert.NotEmpty(t, tt.Unit, "a baseline means nothing without its unit")
			assert.NotEmpty(t, tt.Source.Derivation, "every baseline says how it was derived")
			assert.Contains(t, []string{"measured", "survey", "practitioner", "derived", "estimate"}, tt.Source.Kind)
			if tt.Source.Kind != "estimate" {
				assert.NotEmpty(t, tt.Source.Title)
				assert.NotEmpty(t, tt.Source.Publisher)
				assert.NotEmpty(t, tt.Source.Figure)
				assert.Regexp(t, `^https?://`, tt.Source.URL)
			}
			require.True(t, tt.BaselineMinutes.Valid && tt.LowMinutes.Valid && tt.HighMinutes.Valid)
			low, minutes, high := tt.LowMinutes.Decimal, tt.BaselineMinutes.Decimal, tt.HighMinutes.Decimal
			assert.True(t, low.IsPositive() && low.LessThanOrEqual(minutes) && minutes.LessThanOrEqual(high) && high.LessThanOrEqual(most),
				"%s <= %s <= %s", low, minutes, high)
			assert.True(t, tt.ArchivedAt.IsZero())

			same, ok := humanhours.BuiltinTaskType(tt.Key)
			assert.True(t, ok)
			assert.Equal(t, tt, same)
		})
	}
	_, ok := humanhours.BuiltinTaskType("no_such_type")
	assert.False(t, ok)
}

func TestBaselineLayers(t *testing.T) {
	settings := func(o *humanhours.Org) {
		o.Overrides = map[string]humanhours.Override{
			"code_review": {BaselineMinutes: dec("20")}, "own": {BaselineMinutes: dec("99")}, "no_such_type": {BaselineMinutes: dec("98")},
			"bug_fix": {BaselineMinutes: dec("0")},
		}
		o.TaskTypes = map[string]humanhours.TaskType{
			"own":         {Key: "own", BaselineMinutes: null("7.5")},
			"no_minutes":  {Key: "no_minutes"},
			"archived":    {Key: "archived", BaselineMinutes: null("3"), ArchivedAt: noon},
			"code_review": {Key: "code_review", BaselineMinutes: null("97")},
		}
	}
	for _, tc := range []struct {
		name, taskType, request, fallback string
		want                              string // empty: unknown_task_type
		source                            humanhours.BaselineSource
	}{
		{"the request wins over an override", "code_review", "4", "60", "4", humanhours.BaselineRequest},
		{"the request wins over an own type", "own", "4", "60", "4", humanhours.BaselineRequest},
		{"the request needs no catalogue", "no_such_type", "4", "", "4", humanhours.BaselineRequest},
		{"zero in the request is a baseline", "code_review", "0", "60", "0", humanhours.BaselineRequest},
		{"an override wins over the built-in", "code_review", "", "60", "20", humanhours.BaselineOverride},
		{"zero as an override is a baseline", "bug_fix", "", "60", "0", humanhours.BaselineOverride},
		{"a built-in", "email_classification", "", "60", "4", humanhours.BaselineBuiltin},
		{"an own type, which an override does not touch", "own", "", "60", "7.5", humanhours.BaselineCustom},
		{"an own type without minutes falls back", "no_minutes", "", "60", "60", humanhours.BaselineFallback},
		{"an archived type falls back", "archived", "", "60", "60", humanhours.BaselineFallback},
		{"an unknown type falls back", "no_such_type", "", "60", "60", humanhours.BaselineFallback},
		{"zero as the fallback is a baseline", "no_such_type", "", "0", "0", humanhours.BaselineFallback},
		{"an own type without minutes or fallback", "no_minutes", "", "", "", ""},
		{"an archived type without fallback", "archived", "", "", "", ""},
		{"an unknown type without fallback", "no_such_type", "", "", "", ""},
		{"keys differ by case", "Email_Classification", "", "", "", ""},
		{"an archived type with minutes in the request", "archived", "4", "", "4", humanhours.BaselineRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{FallbackBaseline: null(tc.fallback)})
			w.setOrg(t, defaultOrg, settings)
			result, err := w.Track(t.Context(), humanhours.Caller{}, request(func(r *humanhours.TrackRequest) {
				r.TaskType, r.HumanBaselineMinutes = tc.taskType, null(tc.request)
			}))
			if tc.want == "" {
				requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
				assert.Empty(t, w.stored(t, defaultOrg))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, result.Event.Baseline.Minutes.String())
			assert.Equal(t, tc.source, result.Event.Baseline.Source)
		})
	}
}

func TestOrgsSeeTheirOwnTaskTypesOnly(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, "acme", func(o *humanhours.Org) {
		o.TaskTypes = map[string]humanhours.TaskType{"own": {Key: "own", Category: "ops", BaselineMinutes: null("5")}}
	})
	req := request(func(r *humanhours.TrackRequest) { r.TaskType = "own" })
	w.track(t, humanhours.Caller{Org: "acme"}, req)
	_, err := w.Track(t.Context(), humanhours.Caller{Org: "globex"}, req)
	requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
}

// catalogue lists the task types of the default org by key.
func catalogue(t *testing.T, w *world, category string) (keys []string, byKey map[string]humanhours.CatalogueEntry) {
	t.Helper()
	list, err := w.TaskTypes(t.Context(), humanhours.Caller{}, humanhours.TaskTypeQuery{Category: category})
	require.NoError(t, err)
	byKey = make(map[string]humanhours.CatalogueEntry)
	for _, entry := range list {
		keys = append(keys, entry.Key)
		byKey[entry.Key] = entry
	}
	return keys, byKey
}

func TestCatalogueOfAnOrg(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.Overrides = map[string]humanhours.Override{"code_review": {BaselineMinutes: dec("20"), Reason: "timed", At: noon}}
		o.TaskTypes = map[string]humanhours.TaskType{
			"a_own":    {Key: "a_own", Category: "dev", BaselineMinutes: null("5")},
			"vague":    {Key: "vague", Category: "dev"},
			"archived": {Key: "archived", Category: "dev", BaselineMinutes: null("5"), ArchivedAt: noon},
			"bug_fix":  {Key: "bug_fix", Category: "dev", BaselineMinutes: null("1")},
		}
	})
	keys, byKey := catalogue(t, w, "dev")
	assert.Equal(t, []string{
		"a_own", "bug_fix", "bug_triage", "code_review", "feature_implementation", "incident_postmortem", "security_alert_triage",
		"unit_test_writing", "vague",
	}, keys)
	all, _ := catalogue(t, w, "")
	assert.Len(t, all, 52)
	none, _ := catalogue(t, w, "no such category")
	assert.Empty(t, none)

	review := byKey["code_review"]
	assert.Equal(t, "39", review.BaselineMinutes.Decimal.String(), "what was published stays visible")
	require.NotNil(t, review.Override)
	assert.Equal(t, "timed", review.Override.Reason)
	assert.Equal(t, humanhours.BaselineOverride, review.InForce.Source)
	assert.Equal(t, "20", review.InForce.Minutes.String())
	assert.Equal(t, humanhours.BaselineBuiltin, byKey["bug_fix"].InForce.Source, "an own type cannot shadow a built-in")
	assert.False(t, byKey["vague"].HasBaseline)

	for key, entry := range byKey { // the list never lies about what an event would get
		if entry.HasBaseline {
			e := w.trackOne(t, request(func(r *humanhours.TrackRequest) { r.TaskType = key }))
			assert.Equal(t, entry.InForce.Source, e.Baseline.Source, key)
			assert.True(t, entry.InForce.Minutes.Equal(e.Baseline.Minutes), key)
		}
	}
}

// The key of the map is what requests are matched against; the Key inside may have been left out.
func TestCatalogueListsAnOwnTypeUnderTheKeyThatRequestsUse(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.TaskTypes = map[string]humanhours.TaskType{"own": {BaselineMinutes: null("5")}}
	})
	w.trackOne(t, request(func(r *humanhours.TrackRequest) { r.TaskType = "own" }))
	_, byKey := catalogue(t, w, "")
	assert.Equal(t, humanhours.BaselineCustom, byKey["own"].InForce.Source)
}

func TestCatalogueHandsOutCopies(t *testing.T) {
	list := humanhours.BuiltinTaskTypes()
	list[0] = humanhours.TaskType{Key: "broken"}
	assert.NotEqual(t, "broken", humanhours.BuiltinTaskTypes()[0].Key)

	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.Overrides = map[string]humanhours.Override{"code_review": {BaselineMinutes: dec("20")}}
	})
	_, byKey := catalogue(t, w, "dev")
	byKey["code_review"].Override.BaselineMinutes = dec("1")
	_, again := catalogue(t, w, "dev")
	assert.Equal(t, "20", again["code_review"].Override.BaselineMinutes.String())
	assert.Equal(t, "20", w.trackOne(t, request(func(r *humanhours.TrackRequest) { r.TaskType = "code_review" })).Baseline.Minutes.String())
}

// An override is for a built-in type: beside an own type it is neither applied nor shown.
func TestOverrideOfAnOwnTypeIsIgnored(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgDefaults: humanhours.Org{
		TaskTypes: map[string]humanhours.TaskType{"mine": {Category: "mine", BaselineMinutes: null("3")}},
		Overrides: map[string]humanhours.Override{"mine": {BaselineMinutes: dec("9")}},
	}})
	list, err := w.TaskTypes(t.Context(), humanhours.Caller{}, humanhours.TaskTypeQuery{Category: "mine"})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Nil(t, list[0].Override)
	require.Equal(t, "3", list[0].InForce.Minutes.String())
}
