package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// heapGoal is how many bytes of heap an event of 450 bytes of JSON is to take in the memory store at most.
const heapGoal = 700

// HeapPerEvent is how many bytes of heap the memory store has for each of so many events of some orgs, and for each of as many that come a day later, when the
// idempotency keys of the first name nothing any more.
func HeapPerEvent(events, orgs int) (first, later float64, err error) {
	s := memory.New()
	before := liveHeap()
	var at [2]float64
	for i := range at {
		for made := 0; made < events; {
			group := make([]humanhours.Entry, min(64, events-made))
			for j := range group {
				group[j] = lean(i*events+made+j, orgs)
				group[j].At = group[j].At.Add(time.Duration(i) * humanhours.IdempotencyWindow)
			}
			made += len(group)
			for _, got := range s.Append(context.Background(), group) {
				if got.Err != nil || got.Replayed {
					return 0, 0, fmt.Errorf("replayed %t: %w", got.Replayed, got.Err)
				}
			}
		}
		at[i] = float64(liveHeap()-before) / float64(events)
	}
	runtime.KeepAlive(s)
	return at[0], at[1] - at[0], nil
}

// lean is an entry whose event is 450 bytes of JSON, with a UUID for a key.
func lean(n, ofOrgs int) humanhours.Entry {
	e := entry(n, ofOrgs)
	e.Event.Cost, e.Event.Usage = humanhours.RunCost{Source: humanhours.CostProvided}, humanhours.Usage{}
	e.Event.AgentDuration, e.Event.Metadata = decimal.NullDecimal{}, nil
	digits := strings.TrimPrefix(e.Key, "key-")
	e.Key = "9f1c2d3e-0000-4000-8000-000000000000"[:36-len(digits)] + digits
	return e
}

// liveHeap is what the heap has that somebody holds. What finalizers let go, the second collection finds.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
