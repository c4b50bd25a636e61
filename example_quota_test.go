package humanhours_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// Plans are data. This one is for trying out: two events a month.
func Example_quota() {
	tracker, err := humanhours.New(memory.New(), humanhours.Config{
		Plans:       map[string]humanhours.Plan{"trial": {RequestsPerSecond: 10, EventsPerMonth: 2}},
		OrgDefaults: humanhours.Org{Plan: "trial"},
		Clock:       func() time.Time { return time.Date(2026, time.December, 31, 18, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		panic(err)
	}
	for range 3 {
		_, err := tracker.Track(context.Background(), humanhours.Caller{Org: "acme"}, humanhours.TrackRequest{
			AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
		})
		var e *humanhours.Error
		switch {
		case err == nil:
			fmt.Println("tracked")
		case errors.Is(err, humanhours.CodeQuotaExceeded) && errors.As(err, &e):
			fmt.Println(e.Message, "- try again in", e.RetryAfter)
		default:
			panic(err)
		}
	}
	// Output:
	// tracked
	// tracked
	// the plan's 2 events of this month are used up - try again in 6h0m0s
}
