package humanhours_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// An org values its own people's hours, and has timed its own reviews. Events that were tracked before keep their numbers.
func ExampleTracker_UpdateOrg() {
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
	_, err = tracker.UpdateOrg(ctx, "acme", func(o *humanhours.Org) ([]humanhours.Change, error) {
		o.Currency = "CHF"
		o.HourlyRate = decimal.NewNullDecimal(decimal.NewFromInt(90))
		o.Overrides = map[string]humanhours.Override{"code_review": {BaselineMinutes: decimal.NewFromInt(20), Reason: "timed in April"}}
		return []humanhours.Change{{At: time.Now(), Subject: "code_review", Old: "39", New: "20", Reason: "timed in April"}}, nil
	})
	if err != nil {
		panic(err)
	}
	track()
	history, err := store.History(ctx, "acme")
	if err != nil {
		panic(err)
	}
	fmt.Printf("history: %s, %s -> %s, %s\n", history[0].Subject, history[0].Old, history[0].New, history[0].Reason)
	// Output:
	// 39 minutes (builtin) at 45 EUR (default): 29.25 saved
	// 20 minutes (override) at 90 CHF (org): 29.97 saved
	// history: code_review, 39 -> 20, timed in April
}
