package humanhours_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// Each request of a batch has its own answer. One that is bad changes nothing for the others.
func ExampleTracker_TrackBatch() {
	tracker, err := humanhours.New(memory.New(), humanhours.Config{})
	if err != nil {
		panic(err)
	}
	results, err := tracker.TrackBatch(context.Background(), humanhours.Caller{}, []humanhours.TrackRequest{
		{AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess},
		{AgentID: "support-bot", TaskType: "juggling", Outcome: humanhours.OutcomeSuccess},
		{AgentID: "review-bot", TaskType: "code_review", Outcome: humanhours.OutcomeFailure},
		{AgentID: "review-bot", TaskType: "code_review", Outcome: "great"},
	})
	if err != nil {
		panic(err)
	}
	for i, r := range results {
		var e *humanhours.Error
		if errors.As(r.Err, &e) {
			fmt.Printf("%d: %s: %s\n", i, e.Code, e.Message)
			continue
		}
		fmt.Printf("%d: %s saved %s hours\n", i, r.Event.AgentID, r.Event.HoursSaved)
	}
	// Output:
	// 0: support-bot saved 0.067 hours
	// 1: unknown_task_type: task_type "juggling" is not in the catalogue
	// 2: review-bot saved 0 hours
	// 3: validation_error: outcome must be one of success, failure, needs_review
}
