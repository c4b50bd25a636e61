package humanhours_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// owner makes changes with an API key.
var owner = humanhours.Caller{Org: "acme", KeyID: "3fK9xQ2b"}

func ptr[T any](v T) *T { return &v }

// history returns the lines of the owner's org as "subject: old -> new (reason)".
func (w *world) history(t testing.TB) []string {
	t.Helper()
	page, err := w.History(t.Context(), owner, 0, humanhours.MaxHistoryPage)
	require.NoError(t, err)
	require.False(t, page.More)
	lines := make([]string, len(page.Changes))
	for i, c := range page.Changes {
		require.Equal(t, owner.KeyID, c.KeyID)
		require.True(t, c.At.Equal(w.clock.Now().Truncate(time.Millisecond)), "%s", c.At)
		lines[i] = c.Subject + ": " + c.Old + " -> " + c.New
		if c.Reason != "" {
			lines[i] += " (" + c.Reason + ")"
		}
	}
	return lines
}

func TestLifeOfAnOwnTaskType(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	made, err := w.CreateTaskType(ctx, owner, "invoice_check", humanhours.TaskTypePatch{
		DisplayName: ptr("Invoice check"), Category: ptr("finance"), Unit: ptr("one invoice"), BaselineMinutes: ptr(null("12.50000000001")),
		LowMinutes: ptr(null("5")), HighMinutes: ptr(null("20")), BaselineSource: ptr("Time study, March"),
	}, humanhours.Edit{Reason: "we check many"})
	require.NoError(t, err)
	assert.False(t, made.Builtin)
	assert.EqualValues(t, 1, made.Version)
	assert.Equal(t, "12.5", text(made.BaselineMinutes), "rounded to what events keep")
	assert.Equal(t, humanhours.Evidence{Kind: humanhours.EvidenceStated, Derivation: "Time study, March"}, made.Source)
	assert.Equal(t, humanhours.BaselineCustom, made.InForce.Source)

	req := request(func(r *humanhours.TrackRequest) { r.TaskType = "invoice_check" })
	first := w.track(t, owner, req).Event
	assert.Equal(t, "12.5", first.Baseline.Minutes.String())

	changed, err := w.UpdateTaskType(ctx, owner, "invoice_check", humanhours.TaskTypePatch{BaselineMinutes: ptr(null("15")), Unit: ptr("")}, humanhours.Edit{})
	require.NoError(t, err)
	assert.EqualValues(t, 2, changed.Version)
	assert.Empty(t, changed.Unit)
	assert.Equal(t, "finance", changed.Category, "what a patch leaves out stays")
	assert.Equal(t, "15", w.track(t, owner, req).Event.Baseline.Minutes.String())
	same, err := w.UpdateTaskType(ctx, owner, "invoice_check", humanhours.TaskTypePatch{BaselineMinutes: ptr(null("15.0"))}, humanhours.Edit{Reason: "again"})
	require.NoError(t, err)
	assert.EqualValues(t, 2, same.Version, "what changes nothing makes no version")

	gone, err := w.ArchiveTaskType(ctx, owner, "invoice_check", humanhours.Edit{Reason: "no longer"})
	require.NoError(t, err)
	assert.True(t, gone.ArchivedAt.Equal(noon))
	_, err = w.Track(ctx, owner, req)
	requireError(t, err, humanhours.CodeUnknownTaskType, "task_type")
	w.clock.Advance(time.Second)
	again, err := w.ArchiveTaskType(ctx, owner, "invoice_check", humanhours.Edit{})
	require.NoError(t, err)
	assert.Equal(t, gone.ArchivedAt, again.ArchivedAt, "archived once")
	w.clock.Advance(-time.Second)
	list, err := w.TaskTypes(ctx, owner, humanhours.TaskTypeQuery{Category: "finance"})
	require.NoError(t, err)
	assert.NotContains(t, keysOf(list), "invoice_check")
	list, err = w.TaskTypes(ctx, owner, humanhours.TaskTypeQuery{Archived: true})
	require.NoError(t, err)
	assert.Equal(t, []string{"invoice_check"}, keysOf(list))
	one, err := w.TaskType(ctx, owner, "invoice_check")
	require.NoError(t, err)
	assert.False(t, one.HasBaseline)
	_, err = w.UpdateTaskType(ctx, owner, "invoice_check", humanhours.TaskTypePatch{Unit: ptr("x")}, humanhours.Edit{})
	assert.Contains(t, requireError(t, err, humanhours.CodeValidation, "key").Hint, "Restore")
	_, err = w.CreateTaskType(ctx, owner, "invoice_check", humanhours.TaskTypePatch{}, humanhours.Edit{})
	assert.Contains(t, requireError(t, err, humanhours.CodeValidation, "key").Hint, "restore")

	_, err = w.RestoreTaskType(ctx, owner, "invoice_check", humanhours.Edit{})
	require.NoError(t, err)
	assert.Equal(t, "15", w.track(t, owner, req).Event.Baseline.Minutes.String())
	stored, _, err := w.store.Event(ctx, "acme", first.ID)
	require.NoError(t, err)
	assert.Equal(t, "12.5", stored.Baseline.Minutes.String(), "a stored event stays as it is")

	assert.Equal(t, []string{
		`task_types.invoice_check:  -> "Invoice check", category "finance", unit "one invoice", minutes 12.5, low 5, high 20, source "Time study, March" (we check many)`,
		"task_types.invoice_check.unit: one invoice -> ",
		"task_types.invoice_check.default_baseline_minutes: 12.5 -> 15",
		"task_types.invoice_check.archived: false -> true (no longer)",
		"task_types.invoice_check.archived: true -> false",
	}, w.history(t))
}

func keysOf(list []humanhours.CatalogueEntry) []string {
	keys := make([]string, len(list))
	for i := range list {
		keys[i] = list[i].Key
	}
	return keys
}

func TestOverride(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx, req := t.Context(), request()
	set, err := w.OverrideTaskType(ctx, owner, "email_classification", dec("6.25"), humanhours.Edit{Reason: "timed in our own team"})
	require.NoError(t, err)
	assert.True(t, set.Builtin)
	assert.Equal(t, "4", text(set.BaselineMinutes), "the published one stays on record")
	assert.Equal(t, "6.25", set.InForce.Minutes.String())
	assert.Equal(t, humanhours.Override{BaselineMinutes: dec("6.25"), Reason: "timed in our own team", At: noon}, *set.Override)
	assert.Equal(t, humanhours.Baseline{Minutes: dec("6.25"), Source: humanhours.BaselineOverride}, w.track(t, owner, req).Event.Baseline)

	_, err = w.OverrideTaskType(ctx, owner, "email_classification", dec("6.250"), humanhours.Edit{Reason: "timed in our own team"})
	require.NoError(t, err)
	_, err = w.OverrideTaskType(ctx, owner, "email_classification", dec("6.25"), humanhours.Edit{Reason: "timed again"})
	require.NoError(t, err)
	back, err := w.RemoveOverride(ctx, owner, "email_classification", humanhours.Edit{Reason: "team has changed"})
	require.NoError(t, err)
	assert.Nil(t, back.Override)
	assert.Equal(t, humanhours.BaselineBuiltin, w.track(t, owner, req).Event.Baseline.Source)
	_, err = w.RemoveOverride(ctx, owner, "email_classification", humanhours.Edit{})
	requireError(t, err, humanhours.CodeNotFound, "")
	assert.Equal(t, []string{
		"overrides.email_classification:  -> 6.25 (timed in our own team)",
		"overrides.email_classification: 6.25 -> 6.25 (timed again)",
		"overrides.email_classification: 6.25 ->  (team has changed)",
	}, w.history(t))
}

// TestRefusedTaskTypeEdits: each leaves the settings and the history as they are.
func TestRefusedTaskTypeEdits(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx, long := t.Context(), strings.Repeat("x", humanhours.MaxTextLength+1)
	_, err := w.CreateTaskType(ctx, owner, "own", humanhours.TaskTypePatch{BaselineMinutes: ptr(null("10"))}, humanhours.Edit{})
	require.NoError(t, err)
	before := w.history(t)
	create := func(key string, p humanhours.TaskTypePatch) error {
		_, err := w.CreateTaskType(ctx, owner, key, p, humanhours.Edit{})
		return err
	}
	update := func(key string, p humanhours.TaskTypePatch) error {
		_, err := w.UpdateTaskType(ctx, owner, key, p, humanhours.Edit{})
		return err
	}
	archive := func(key string) error {
		_, err := w.ArchiveTaskType(ctx, owner, key, humanhours.Edit{})
		return err
	}
	override := func(key, minutes, reason string) error {
		_, err := w.OverrideTaskType(ctx, owner, key, dec(minutes), humanhours.Edit{Reason: reason})
		return err
	}
	for name, tc := range map[string]struct {
		err   error
		code  humanhours.Code
		field string
	}{
		"no key":              {create("", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"upper case":          {create("Own_type", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"kebab":               {create("own-type", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"two underscores":     {create("own__type", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"ends in underscore":  {create("own_", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"digit first":         {create("1own", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"long":                {create(strings.Repeat("a", 201), humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"built in":            {create("blog_post", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"taken":               {create("own", humanhours.TaskTypePatch{}), humanhours.CodeValidation, "key"},
		"negative":            {create("a", humanhours.TaskTypePatch{BaselineMinutes: ptr(null("-1"))}), humanhours.CodeValidation, "default_baseline_minutes"},
		"over a year":         {create("a", humanhours.TaskTypePatch{BaselineMinutes: ptr(null("525601"))}), humanhours.CodeValidation, "default_baseline_minutes"},
		"huge":                {create("a", humanhours.TaskTypePatch{BaselineMinutes: ptr(decimal.NewNullDecimal(decimal.New(1, 999999999)))}), humanhours.CodeValidation, "default_baseline_minutes"},
		"low without minutes": {create("a", humanhours.TaskTypePatch{LowMinutes: ptr(null("1"))}), humanhours.CodeValidation, "default_baseline_minutes"},
		"low over minutes":    {update("own", humanhours.TaskTypePatch{LowMinutes: ptr(null("10.1"))}), humanhours.CodeValidation, "low_minutes"},
		"high under minutes":  {update("own", humanhours.TaskTypePatch{HighMinutes: ptr(null("9.9"))}), humanhours.CodeValidation, "high_minutes"},
		"long name":           {create("a", humanhours.TaskTypePatch{DisplayName: &long}), humanhours.CodeValidation, "display_name"},
		"no name":             {update("own", humanhours.TaskTypePatch{DisplayName: ptr("")}), humanhours.CodeValidation, "display_name"},
		"no category":         {update("own", humanhours.TaskTypePatch{Category: ptr("")}), humanhours.CodeValidation, "category"},
		"control character":   {update("own", humanhours.TaskTypePatch{Unit: ptr("a\x00")}), humanhours.CodeValidation, "unit"},
		"long source":         {update("own", humanhours.TaskTypePatch{BaselineSource: &long}), humanhours.CodeValidation, "baseline_source"},
		"update built in":     {update("blog_post", humanhours.TaskTypePatch{Unit: ptr("x")}), humanhours.CodeValidation, "key"},
		"update nothing":      {update("nothing", humanhours.TaskTypePatch{Unit: ptr("x")}), humanhours.CodeNotFound, ""},
		"archive built in":    {archive("blog_post"), humanhours.CodeValidation, "key"},
		"archive nothing":     {archive("nothing"), humanhours.CodeNotFound, ""},
		"override own":        {override("own", "1", ""), humanhours.CodeValidation, "key"},
		"override nothing":    {override("nothing", "1", ""), humanhours.CodeNotFound, ""},
		"override negative":   {override("blog_post", "-1", ""), humanhours.CodeValidation, "baseline_minutes_override"},
		"override huge":       {override("blog_post", "1e9", ""), humanhours.CodeValidation, "baseline_minutes_override"},
		"long reason":         {override("blog_post", "1", long), humanhours.CodeValidation, "reason"},
	} {
		requireError(t, tc.err, tc.code, tc.field)
		assert.NotEmpty(t, tc.err.Error(), name)
	}
	assert.Contains(t, requireError(t, archive("blog_post"), humanhours.CodeValidation, "key").Hint, "remove the override")
	assert.Equal(t, before, w.history(t))
	_, err = w.TaskType(ctx, owner, "nothing")
	requireError(t, err, humanhours.CodeNotFound, "")
}

func TestTaskTypesAreBounded(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	w.setOrg(t, "acme", func(o *humanhours.Org) {
		o.TaskTypes = map[string]humanhours.TaskType{}
		for i := range humanhours.MaxTaskTypes {
			o.TaskTypes["type_"+strconv.Itoa(i)] = humanhours.TaskType{DisplayName: "x"}
		}
	})
	_, err := w.CreateTaskType(t.Context(), owner, "one_more", humanhours.TaskTypePatch{}, humanhours.Edit{})
	requireError(t, err, humanhours.CodeValidation, "")
}

func TestPlanGates(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Plan = "free" })
	_, err := w.OverrideTaskType(ctx, owner, "blog_post", dec("1"), humanhours.Edit{})
	locked := requireError(t, err, humanhours.CodeFeatureLocked, "")
	assert.Equal(t, "the plan free does not include changes to task types", locked.Message)
	assert.Equal(t, "Plans that do: enterprise, pro.", locked.Hint)
	_, err = w.CreateTaskType(ctx, owner, "own", humanhours.TaskTypePatch{}, humanhours.Edit{})
	requireError(t, err, humanhours.CodeFeatureLocked, "")
	_, err = w.UpdateSettings(ctx, owner, humanhours.SettingsPatch{HourlyRate: ptr(null("60"))}, humanhours.Edit{})
	require.NoError(t, err, "rates are open to all plans")
	_, err = w.TaskTypes(ctx, owner, humanhours.TaskTypeQuery{})
	require.NoError(t, err, "so is reading")
	w.setOrg(t, "acme", func(o *humanhours.Org) { o.Plan = "pro" })
	_, err = w.OverrideTaskType(ctx, owner, "blog_post", dec("1"), humanhours.Edit{})
	require.NoError(t, err)
}

// TestNoEditIsLost: writers that read and write at the same time all find their change in the settings and in the history, in its order.
func TestNoEditIsLost(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	const writers, each = 8, 10
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			for i := range each {
				_, err := w.UpdateAgent(t.Context(), owner, "agent-"+strconv.Itoa(n), humanhours.AgentPatch{HourlyRate: ptr(null(strconv.Itoa(i + 1)))}, humanhours.Edit{})
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	settings, err := w.Settings(t.Context(), owner)
	require.NoError(t, err)
	require.EqualValues(t, writers*each, settings.Version)
	last := map[string]string{}
	for _, line := range w.history(t) {
		subject, values, _ := strings.Cut(line, ": ")
		old, now, _ := strings.Cut(values, " -> ")
		require.Equal(t, last[subject], old, "every line goes on from the one before")
		last[subject] = now
	}
	require.Len(t, last, writers)
}

func TestPreconditions(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	ctx := t.Context()
	edit := func(version int64, rate string) error {
		_, err := w.UpdateSettings(ctx, owner, humanhours.SettingsPatch{HourlyRate: ptr(null(rate))}, humanhours.Edit{IfVersion: humanhours.Int64(version)})
		return err
	}
	requireError(t, edit(1, "50"), humanhours.CodePreconditionFailed, "")
	require.NoError(t, edit(0, "50"), "the version of settings that were never made is 0")
	requireError(t, edit(0, "60"), humanhours.CodePreconditionFailed, "")
	require.NoError(t, edit(1, "60"))
	assert.Contains(t, requireError(t, edit(1, "70"), humanhours.CodePreconditionFailed, "").Message, "version 2")
	assert.Equal(t, []string{"default_hourly_rate:  -> 50", "default_hourly_rate: 50 -> 60"}, w.history(t))
}

// TestAnotherProcessSeesEdits within Config.OrgCacheTTL, and not after it.
func TestAnotherProcessSeesEdits(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	other, err := humanhours.New(w.store, humanhours.Config{Orgs: w.store, Clock: w.clock.Now, OrgCacheTTL: 3 * time.Second})
	require.NoError(t, err)
	read := func() string {
		entry, err := other.TaskType(t.Context(), owner, "blog_post")
		require.NoError(t, err)
		return string(entry.InForce.Source)
	}
	require.Equal(t, "builtin", read())
	_, err = w.OverrideTaskType(t.Context(), owner, "blog_post", dec("1"), humanhours.Edit{})
	require.NoError(t, err)
	w.clock.Advance(3*time.Second - 1)
	require.Equal(t, "builtin", read())
	w.clock.Advance(1)
	require.Equal(t, "override", read())
}

func TestHistoryPages(t *testing.T) {
	w := newWorld(t, humanhours.Config{})
	for i := range 10 {
		_, err := w.UpdateSettings(t.Context(), owner, humanhours.SettingsPatch{HourlyRate: ptr(null(strconv.Itoa(i + 1)))}, humanhours.Edit{})
		require.NoError(t, err)
	}
	for limit := 1; limit <= 11; limit++ {
		var all []humanhours.Change
		before, more := int64(0), true
		for more {
			page, err := w.History(t.Context(), owner, before, limit)
			require.NoError(t, err)
			require.NotEmpty(t, page.Changes, "there is more only if there is")
			all = append(page.Changes, all...)
			before, more = page.Changes[0].Seq, page.More
		}
		require.Len(t, all, 10)
		for i, c := range all {
			require.Equal(t, strconv.Itoa(i+1), c.New)
		}
	}
	for _, limit := range []int{0, -1, humanhours.MaxHistoryPage + 1} {
		_, err := w.History(t.Context(), owner, 0, limit)
		requireError(t, err, humanhours.CodeValidation, "limit")
	}
	_, err := w.History(t.Context(), owner, -1, 1)
	requireError(t, err, humanhours.CodeValidation, "before")
}
