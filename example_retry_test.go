package humanhours_test

import (
	"context"
	"fmt"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// A request with an idempotency key can be sent again after a timeout: it is stored once.
func ExampleTracker_Track_retry() {
	ctx := context.Background()
	tracker, err := humanhours.New(memory.New(), humanhours.Config{})
	if err != nil {
		panic(err)
	}
	request := humanhours.TrackRequest{
		AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
		IdempotencyKey: "run-8412",
	}
	first, err := tracker.Track(ctx, humanhours.Caller{}, request)
	if err != nil {
		panic(err)
	}
	retry, err := tracker.Track(ctx, humanhours.Caller{}, request)
	if err != nil {
		panic(err)
	}
	fmt.Println("replayed:", retry.Replayed, "same event:", retry.Event.ID == first.Event.ID)

	// Another task under the same key is not stored either, and that is not hidden.
	request.TaskType = "code_review"
	other, err := tracker.Track(ctx, humanhours.Caller{}, request)
	if err != nil {
		panic(err)
	}
	fmt.Println("mismatch:", other.Mismatch, "the event is still of:", other.Event.TaskType)
	// Output:
	// replayed: true same event: true
	// mismatch: true the event is still of: email_classification
}
