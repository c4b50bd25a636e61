package humanhours_test

import (
	"context"
	"fmt"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// An agent classified an email in 4 seconds. A person needs 4 minutes for that.
func ExampleTracker_Track() {
	tracker, err := humanhours.New(memory.New(), humanhours.Config{
		Clock: func() time.Time { return time.Date(2026, time.May, 14, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		panic(err)
	}
	result, err := tracker.Track(context.Background(), humanhours.Caller{}, humanhours.TrackRequest{
		AgentID:       "support-bot",
		TaskType:      "email_classification",
		Outcome:       humanhours.OutcomeSuccess,
		AgentDuration: humanhours.Seconds(4 * time.Second),
	})
	if err != nil {
		panic(err)
	}
	e := result.Event
	fmt.Println("hours saved:", e.HoursSaved)
	fmt.Println("cost saved: ", e.CostSaved, e.Currency)
	fmt.Println("net saved:  ", e.NetSaved, e.Currency)
	fmt.Println("baseline:   ", e.Baseline.Minutes, "minutes, from the", e.Baseline.Source, "catalogue")
	fmt.Println("hourly rate:", e.HourlyRate.Amount, "from the", e.HourlyRate.Source)
	fmt.Println("received:   ", e.ReceivedAt)
	// Output:
	// hours saved: 0.066
	// cost saved:  2.97 EUR
	// net saved:   2.97 EUR
	// baseline:    4 minutes, from the builtin catalogue
	// hourly rate: 45 from the default
	// received:    2026-05-14 12:00:00 +0000 UTC
}
