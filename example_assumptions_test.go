package humanhours_test

import (
	"context"
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// An org values its own people's hours, and has timed its own reviews. Events that were tracked before keep their numbers.
func ExampleTracker_OverrideTaskType() {
	ctx := context.Background()
	store := memory.New()
	tracker, err := humanhours.New(store, humanhours.Config{Orgs: store})
	if err != nil {
		panic(err)
	}
	track := func() {
		result, err := tracker.Track(ctx, humanhours.Caller{Org: "acme"}, humanhours.TrackRequest{
			AgentID: "review-bot", TaskType: "code_review", Outcome: humanhours.OutcomeSuccess,
		})
		if err != nil {
			panic(err)
		}
		e := result.Event
		fmt.Printf("%s minutes (%s) at %s %s (%s): %s saved\n",
			e.Baseline.Minutes, e.Baseline.Source, e.HourlyRate.Amount, e.Currency, e.HourlyRate.Source, e.CostSaved)
	}
	track()
	owner := humanhours.Caller{Org: "acme", KeyID: "3fK9xQ2b"}
	currency, rate := "CHF", decimal.NewNullDecimal(decimal.NewFromInt(90))
	_, err = tracker.UpdateSettings(ctx, owner, humanhours.SettingsPatch{Currency: &currency, HourlyRate: &rate}, humanhours.Edit{Reason: "we moved"})
	if err != nil {
		panic(err)
	}
	_, err = tracker.OverrideTaskType(ctx, owner, "code_review", decimal.NewFromInt(20), humanhours.Edit{Reason: "timed in April"})
	if err != nil {
		panic(err)
	}
	track()
	history, err := tracker.History(ctx, owner, 0, 10)
	if err != nil {
		panic(err)
	}
	for _, c := range history.Changes {
		fmt.Printf("%s: %q -> %q, %s (key %s)\n", c.Subject, c.Old, c.New, c.Reason, c.KeyID)
	}
	// Output:
	// 39 minutes (builtin) at 45 EUR (default): 29.25 saved
	// 20 minutes (override) at 90 CHF (org): 29.97 saved
	// currency: "EUR" -> "CHF", we moved (key 3fK9xQ2b)
	// default_hourly_rate: "" -> "90", we moved (key 3fK9xQ2b)
	// overrides.code_review: "" -> "20", timed in April (key 3fK9xQ2b)
}
