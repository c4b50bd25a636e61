package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// allocsGoal is how many allocations Track is to make at most.
const allocsGoal = 25

// Allocs are the allocations of one event, with an idempotency key and a price, on the memory store.
type Allocs struct {
	Track  float64
	Batch  float64 // each of a thousand
	Decode float64 // from its stored encoding
}

// Allocations counts them.
func Allocations() (a Allocs, err error) {
	t, err := tracker(memory.New())
	if err != nil {
		return a, err
	}
	ctx := context.Background()
	var key keys
	request := Request()
	a.Track = testing.AllocsPerRun(2000, func() {
		request.IdempotencyKey = key.next()
		_, failed := t.Track(ctx, humanhours.Caller{}, request)
		err = errors.Join(err, failed)
	}) - 1 // the key
	requests := make([]humanhours.TrackRequest, 1000)
	a.Batch = testing.AllocsPerRun(20, func() {
		for i := range requests {
			requests[i] = request
			requests[i].IdempotencyKey = key.next()
		}
		results, failed := t.TrackBatch(ctx, humanhours.Caller{}, requests)
		err = errors.Join(err, failed)
		for i := range results {
			err = errors.Join(err, results[i].Err)
		}
	})/float64(len(requests)) - 1
	stored := template.Event.AppendStored(nil)
	a.Decode = testing.AllocsPerRun(2000, func() {
		_, failed := humanhours.DecodeStored("acme", stored)
		err = errors.Join(err, failed)
	})
	return a, err
}
