package humanhours_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestHourlyRateLayers(t *testing.T) {
	agents := func(rate string) map[string]humanhours.Agent {
		return map[string]humanhours.Agent{"support-bot": {DisplayName: "Support", HourlyRate: null(rate)}, "other": {HourlyRate: null("99")}}
	}
	for _, tc := range []struct {
		name   string
		org    humanhours.Org
		want   string
		source humanhours.RateSource
	}{
		{"agent over org", humanhours.Org{HourlyRate: null("60"), Agents: agents("75.5")}, "75.5", humanhours.RateAgent},
		{"an agent's zero is a rate", humanhours.Org{HourlyRate: null("60"), Agents: agents("0")}, "0", humanhours.RateAgent},
		{"an agent without a rate", humanhours.Org{HourlyRate: null("60"), Agents: agents("")}, "60", humanhours.RateOrg},
		{"an org's zero is a rate", humanhours.Org{HourlyRate: null("0")}, "0", humanhours.RateOrg},
		{"an agent without a rate in an org without one", humanhours.Org{Agents: agents("")}, "45", humanhours.RateDefault},
		{"nothing set", humanhours.Org{}, "45", humanhours.RateDefault},
		{"rounded to what events keep", humanhours.Org{HourlyRate: null("60.0000000004")}, "60", humanhours.RateOrg},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, humanhours.Config{})
			w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.HourlyRate, o.Agents = tc.org.HourlyRate, tc.org.Agents })
			e := w.trackOne(t, request())
			assert.Equal(t, tc.want, e.HourlyRate.Amount.String())
			assert.Equal(t, tc.source, e.HourlyRate.Source)
			assert.True(t, dec("0.066").Mul(dec(tc.want)).Equal(e.CostSaved), "the saving is valued at that rate")
		})
	}
}

func TestCurrencyOfAnOrg(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	assert.Equal(t, "EUR", w.trackOne(t, request()).Currency)
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) { o.Currency = "USD" })
	assert.Equal(t, "USD", w.trackOne(t, request()).Currency)
}

func TestChangedSettingsApplyToNewEventsOnly(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	before := w.trackOne(t, request())
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.HourlyRate = null("90")
		o.Overrides = map[string]humanhours.Override{"email_classification": {BaselineMinutes: dec("1")}}
	})
	stored, _, err := w.store.Event(t.Context(), defaultOrg, before.ID)
	require.NoError(t, err)
	requireSame(t, before, stored)
	assert.Equal(t, figuresOf(before.ROI), figuresOf(stored.Recompute()))
}

// badOrgs are settings that are refused, by the field that is named.
func badOrgs() map[string]map[string]humanhours.Org {
	type orgs = map[string]humanhours.Org
	rate := func(s string) humanhours.Org { return humanhours.Org{HourlyRate: null(s)} }
	override := func(d decimal.Decimal) humanhours.Org {
		return humanhours.Org{Overrides: map[string]humanhours.Override{"code_review": {BaselineMinutes: d}}}
	}
	own := func(tt humanhours.TaskType) humanhours.Org {
		return humanhours.Org{TaskTypes: map[string]humanhours.TaskType{"own": tt}}
	}
	return map[string]orgs{
		"currency": {
			"lower case": {Currency: "eur"}, "too short": {Currency: "EU"}, "too long": {Currency: "EURO"},
			"trailing newline": {Currency: "EUR\n"}, "not letters": {Currency: "€€€"},
		},
		"hourly_rate": {
			"negative": rate("-0.01"), "over the bound": rate("1000000.000000001"), "absurd": {HourlyRate: decimal.NewNullDecimal(decimal.New(1, math.MaxInt32))},
			"of an agent": {Agents: map[string]humanhours.Agent{"bot": {HourlyRate: null("-1")}}},
		},
		"baseline_minutes_override": {
			"negative": override(dec("-1")), "over the bound": override(dec("525600.000000001")), "absurd": override(decimal.New(1, 999_999_999)),
		},
		"default_baseline_minutes": {
			"negative": own(humanhours.TaskType{BaselineMinutes: null("-1")}), "over the bound": own(humanhours.TaskType{BaselineMinutes: null("525601")}),
		},
	}
}

func TestOrgValidate(t *testing.T) {
	for field, orgs := range badOrgs() {
		for name, org := range orgs {
			t.Run(field+" "+name, func(t *testing.T) {
				requireError(t, org.Validate(), humanhours.CodeValidation, field)
			})
		}
	}
	good := humanhours.Org{
		Currency: "CHF", HourlyRate: null("1000000"), Agents: map[string]humanhours.Agent{"bot": {HourlyRate: null("0")}},
		Overrides: map[string]humanhours.Override{"code_review": {BaselineMinutes: dec("525600")}},
		TaskTypes: map[string]humanhours.TaskType{"own": {BaselineMinutes: null("0.1234567894")}, "vague": {}},
	}
	assert.NoError(t, good.Validate())
	assert.Equal(t, "0.1234567894", good.TaskTypes["own"].BaselineMinutes.Decimal.String(), "Validate only looks")
	assert.NoError(t, humanhours.Org{}.Validate())
}

// The ends of a range are numbers of a caller as well: a catalogue that is written with 1e999999999 in it fills the memory.
func TestOrgValidateLooksAtTheRangeOfATaskType(t *testing.T) {
	for name, d := range map[string]decimal.Decimal{"absurd": decimal.New(1, 999_999_999), "negative": dec("-1")} {
		for end, tt := range map[string]humanhours.TaskType{
			"low":  {BaselineMinutes: null("5"), LowMinutes: decimal.NewNullDecimal(d)},
			"high": {BaselineMinutes: null("5"), HighMinutes: decimal.NewNullDecimal(d)},
		} {
			org := humanhours.Org{TaskTypes: map[string]humanhours.TaskType{"own": tt}}
			assert.ErrorIs(t, org.Validate(), humanhours.CodeValidation, "%s %s end", name, end)
		}
	}
}

func TestUpdateOrgRefusesWhatIsNotValid(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.HourlyRate = null("60") })
	for field, orgs := range badOrgs() {
		for name, org := range orgs {
			t.Run(field+" "+name, func(t *testing.T) {
				_, err := w.UpdateOrg(t.Context(), "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
					*o = org
					return []humanhours.Change{{Subject: "everything"}}, nil
				})
				requireError(t, err, humanhours.CodeValidation, field)
			})
		}
	}
	_, err := w.UpdateOrg(t.Context(), "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
		o.Plan = "platinum"
		return nil, nil
	})
	requireError(t, err, humanhours.CodeValidation, "plan")

	org, _, err := w.store.Org(t.Context(), "acme")
	require.NoError(t, err)
	assert.Equal(t, "60", text(org.HourlyRate))
	assert.EqualValues(t, 1, org.Version)
	history, err := w.store.History(t.Context(), humanhours.HistoryQuery{Org: "acme"})
	require.NoError(t, err)
	assert.Empty(t, history)
}

func TestUpdateOrgStoresWhatEventsKeep(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	change := humanhours.Change{At: noon, KeyID: "abcdefgh", Subject: "hourly_rate", Old: "", New: "60", Reason: "new contract"}
	org, err := w.UpdateOrg(t.Context(), "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
		assert.Equal(t, "acme", o.ID)
		o.HourlyRate, o.Plan = null("60.00000000049"), "pro"
		return []humanhours.Change{change}, nil
	})
	require.NoError(t, err)
	assert.Equal(t, "60", text(org.HourlyRate), "rounded as on events")
	history, err := w.store.History(t.Context(), humanhours.HistoryQuery{Org: "acme"})
	require.NoError(t, err)
	change.Seq = 1
	assert.Equal(t, []humanhours.Change{change}, history)
}

func TestUpdateOrgReturnsTheErrorOfTheFunction(t *testing.T) {
	mine := errors.New("not today")
	w := newWorld(t, humanhours.Config{})
	_, err := w.UpdateOrg(t.Context(), "acme", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, mine })
	assert.ErrorIs(t, err, mine)
	assert.NotErrorIs(t, err, humanhours.CodeUnavailable, "it is not the store that failed")
	_, found, err := w.store.Org(t.Context(), "acme")
	require.NoError(t, err)
	assert.False(t, found)

	alone, err := humanhours.New(w.store, humanhours.Config{})
	require.NoError(t, err)
	_, err = alone.UpdateOrg(t.Context(), "acme", func(*humanhours.Org) ([]humanhours.Change, error) { return nil, nil })
	requireError(t, err, humanhours.CodeInternal, "")
}

// Rounding must not reach into a map that the caller of UpdateOrg still holds.
func TestUpdateOrgDoesNotWriteToTheCallersMaps(t *testing.T) {
	mine := map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("0.33333333333")}}
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.TaskTypes = mine })
	assert.Equal(t, "0.33333333333", mine["own"].BaselineMinutes.Decimal.String())
}

// A Caller without an org is in the default one; so is its update.
func TestUpdateOrgWithoutAnIDUpdatesTheDefaultOrg(t *testing.T) {
	w := newWorld(t, humanhours.Config{DefaultOrg: "home"})
	w.setOrg(t, "", func(o *humanhours.Org) { o.HourlyRate = null("60") })
	assert.Equal(t, "60", w.trackOne(t, request()).HourlyRate.Amount.String())
}

func TestOrgDefaults(t *testing.T) {
	defaults := humanhours.Org{
		ID: "ignored", Version: 9, Plan: "pro", Currency: "USD", HourlyRate: null("80.0000000004"),
		TaskTypes: map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("6")}},
	}
	w := newWorld(t, humanhours.Config{OrgDefaults: defaults, OrgCacheTTL: -1})
	defaults.TaskTypes["own"] = humanhours.TaskType{Key: "own", BaselineMinutes: null("1")}
	req := request(func(r *humanhours.TrackRequest) { r.TaskType = "own" })
	e := w.track(t, humanhours.Caller{Org: "stranger"}, req).Event
	assert.Equal(t, "stranger", e.Org)
	assert.Equal(t, "USD", e.Currency)
	assert.Equal(t, "80", e.HourlyRate.Amount.String())
	assert.Equal(t, "6", e.Baseline.Minutes.String(), "New has taken a copy")

	// The first update starts from what was in force: it must not lift the limits of the default plan.
	w.setOrg(t, "known", func(o *humanhours.Org) { o.Currency = "CHF" })
	known, ok, err := w.store.Org(t.Context(), "known")
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "pro", known.Plan)
	assert.Equal(t, int64(1), known.Version)
	e = w.track(t, humanhours.Caller{Org: "known"}, req).Event
	assert.Equal(t, "CHF", e.Currency)
	assert.Equal(t, "80", e.HourlyRate.Amount.String())

	// From then on it takes nothing from them.
	w.setOrg(t, "known", func(o *humanhours.Org) { *o = humanhours.Org{} })
	_, err = w.Track(t.Context(), humanhours.Caller{Org: "known"}, req)
	requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
	e = w.track(t, humanhours.Caller{Org: "known"}, request()).Event
	assert.Equal(t, "45", e.HourlyRate.Amount.String())
}

// The function of an update decides by the version whether somebody else was first, so that of a new org is 0.
func TestFirstUpdateOfAnOrgStartsAtVersionZero(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgDefaults: humanhours.Org{Version: 9, Currency: "USD"}})
	w.setOrg(t, "acme", func(o *humanhours.Org) {
		assert.Equal(t, "USD", o.Currency)
		assert.Zero(t, o.Version)
	})
}

func TestDefaultOrgHasAName(t *testing.T) {
	assert.Equal(t, "default", newWorld(t, humanhours.Config{}).trackOne(t, request()).Org)
	assert.Equal(t, "home", newWorld(t, humanhours.Config{DefaultOrg: "home"}).trackOne(t, request()).Org)
}

func TestNewRefusesAConfigThatIsNotValid(t *testing.T) {
	for _, tc := range []struct {
		names string
		cfg   humanhours.Config
	}{
		{"OrgDefaults", humanhours.Config{OrgDefaults: humanhours.Org{Currency: "euro"}}},
		{"OrgDefaults.Plan", humanhours.Config{OrgDefaults: humanhours.Org{Plan: "platinum"}}},
		{"Plans", humanhours.Config{Plans: map[string]humanhours.Plan{"x": {RequestsPerSecond: -1}}}},
		{"Plans", humanhours.Config{Plans: map[string]humanhours.Plan{"x": {EventsPerMonth: -1}}}},
		{"FallbackBaseline", humanhours.Config{FallbackBaseline: null("-1")}},
		{"FallbackBaseline", humanhours.Config{FallbackBaseline: decimal.NewNullDecimal(decimal.New(1, 999_999_999))}},
		{"Mismatch", humanhours.Config{Mismatch: 7}},
		{"HookQueue", humanhours.Config{HookQueue: -1}},
	} {
		_, err := humanhours.New(newWorld(t, humanhours.Config{}).store, tc.cfg)
		assert.ErrorContains(t, err, "Config."+tc.names)
	}
	_, err := humanhours.New(nil, humanhours.Config{})
	assert.ErrorContains(t, err, "Store")
}

func TestChangesOfOrgsAreIndependent(t *testing.T) {
	w := newWorld(t, humanhours.Config{OrgCacheTTL: time.Hour})
	for i := range 5 {
		id := fmt.Sprint("org", i)
		w.setOrg(t, id, func(o *humanhours.Org) { o.HourlyRate = decimal.NewNullDecimal(decimal.NewFromInt(int64(i))) })
	}
	for i := range 5 {
		e := w.track(t, humanhours.Caller{Org: fmt.Sprint("org", i)}, request()).Event
		assert.Equal(t, fmt.Sprint(i), e.HourlyRate.Amount.String())
	}
}
