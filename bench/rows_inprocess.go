package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/pricebook"
	"github.com/humanhours/humanhours-go/store/memory"
)

// tracker is one with prices and exchange rates on a store; its clock stands still.
func tracker(s humanhours.Store) (*humanhours.Tracker, error) {
	return humanhours.New(s, humanhours.Config{Clock: clock, Prices: pricebook.Snapshot(), Rates: pricebook.SnapshotRates(), Logger: slog.New(slog.DiscardHandler)})
}

func nothing() error { return nil }

// InProcess are the rows that need neither a file nor a server. Those of one goroutine have one processor: another one would collect the garbage of a
// side beside it, and disturb it as it likes.
func InProcess() []Row {
	track := tracks("`Track`, memory store, one goroutine, with idempotency key", 0.8, 2.5, Documented, Request)
	beside := track
	beside.Name, beside.Goal = "`Track`, likewise, and another processor for the collector", 0
	return []Row{
		onOne(track),
		beside,
		onOne(tracks("`Track` of the smallest request, on one processor again", 0, 6, Small, smallRequest)),
		onOne(tracks("`Track` of a full request, likewise", 0, 2.5, Full, fullRequest)),
		onOne(Row{
			Name: "`TrackBatch` of 1000, memory store", Raw: "`json.Unmarshal` of the same requests", Unit: "events", Goal: 0.4, Time: true, Guard: 2.5, Multiple: 1000,
			Start: func() (Side, Side, func() error, error) {
				return tracking(1000, Request), unmarshalling(keyed(Documented)), nothing, nil
			},
		}),
		{
			Name: "limiter in process, 1,000,000 keys, 2 goroutines", Raw: "`golang.org/x/time/rate`, a map of the same keys", Unit: "takes", Goal: 1, Guard: 0.4,
			Start: limiters,
		},
		{
			Name: "price look-up during a refresh", Raw: "a read of a Go map", Unit: "quotes", Goal: 3, Time: true, Guard: 8,
			Start: quotes,
		},
	}
}

// tracks is the row of a request, and of its body.
func tracks(name string, goal, guard float64, body string, request func() humanhours.TrackRequest) Row {
	return Row{
		Name: name, Raw: "`json.Unmarshal` of its own request", Unit: "events", Goal: goal, Guard: guard, Time: true,
		Start: func() (Side, Side, func() error, error) {
			return tracking(1, request), unmarshalling(keyed(body)), nothing, nil
		},
	}
}

// tracking tracks in calls of some events each. A new store now and then keeps the memory that it has the same.
func tracking(size int, request func() humanhours.TrackRequest) Side {
	var t *humanhours.Tracker
	var key keys
	left := 0
	ctx, one := context.Background(), request()
	requests := make([]humanhours.TrackRequest, size)
	return func(n int) (spent Spent, err error) {
		began := time.Now()
		names := key.many(n)
		spent.Inputs = time.Since(began)
		for done := 0; done+size <= n; done += size {
			if left -= size; left < 0 {
				left = 200_000
				if t, err = tracker(memory.New()); err != nil {
					return spent, err
				}
			}
			if size == 1 {
				one.IdempotencyKey = names(done)
				if r, err := t.Track(ctx, humanhours.Caller{}, one); err != nil || r.Replayed {
					return spent, fmt.Errorf("an event: replayed %t, %w", r.Replayed, err)
				}
				continue
			}
			began := time.Now()
			for i := range requests {
				requests[i], requests[i].IdempotencyKey = one, names(done+i)
			}
			spent.Inputs += time.Since(began)
			results, err := t.TrackBatch(ctx, humanhours.Caller{}, requests)
			if err != nil {
				return spent, err
			}
			for i := range results {
				if r := &results[i]; r.Err != nil || r.Replayed {
					return spent, fmt.Errorf("event %d of a batch: replayed %t, %w", i, r.Replayed, r.Err)
				}
			}
		}
		return spent, nil
	}
}

func unmarshalling(body string) Side {
	text := []byte(body)
	return func(n int) (Spent, error) {
		for range n {
			var r requestJSON
			if err := json.Unmarshal(text, &r); err != nil {
				return Spent{}, err
			}
		}
		return Spent{}, nil
	}
}

// limiters take for a million keys, each side with two goroutines.
func limiters() (Side, Side, func() error, error) {
	const count, goroutines, limit = 1_000_000, 2, 60
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("key-%08d", i*7919%count)
	}
	both := func(take func(name string) error) Side {
		var at atomic.Int64
		return func(n int) (Spent, error) {
			var all sync.WaitGroup
			errs := make([]error, goroutines)
			for g := range goroutines {
				first := at.Add(int64(n/goroutines)) - int64(n/goroutines)
				all.Go(func() {
					for i := range n / goroutines {
						if err := take(names[(int(first)+i)%count]); err != nil {
							errs[g] = err
							return
						}
					}
				})
			}
			all.Wait()
			return Spent{}, errs[0]
		}
	}
	ctx, ours := context.Background(), humanhours.NewLimiter(nil)
	var mu sync.Mutex
	raw := make(map[string]*rate.Limiter)
	return both(func(name string) error {
			_, err := ours.Take(ctx, humanhours.TakeQuery{Key: name, Limit: limit})
			return err
		}), both(func(name string) error {
			mu.Lock()
			l := raw[name]
			if l == nil {
				l = rate.NewLimiter(limit, limit)
				raw[name] = l
			}
			mu.Unlock()
			l.Allow()
			return nil
		}), nothing, nil
}

// quotes asks a book that is being refreshed all the time.
func quotes() (Side, Side, func() error, error) {
	const model = "anthropic/claude-haiku-4.5"
	ctx, q := context.Background(), humanhours.PriceQuery{Org: "acme", Model: model, At: start, Usage: Request().Usage}
	plain := make(map[string]humanhours.Price)
	var listing []string
	for id := range pricebook.Snapshot().Models() {
		got, err := pricebook.Snapshot().Quote(ctx, humanhours.PriceQuery{Model: id, At: start})
		if err != nil {
			return nil, nil, nil, err
		}
		plain[id] = got.Price
		price := func(d []byte) string { return `"` + string(d) + `"` }
		listing = append(listing, `{"id":"`+id+`","pricing":{"prompt":`+price(humanhours.AppendDecimal(nil, got.Price.Input.Decimal))+
			`,"completion":`+price(humanhours.AppendDecimal(nil, got.Price.Output.Decimal))+`}}`)
	}
	body := `{"data":[` + strings.Join(listing, ",") + `]}`
	book, err := pricebook.New(pricebook.Config{Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: transport(func() *http.Response {
		return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body))}
	})}})
	if err != nil {
		return nil, nil, nil, err
	}
	refreshing, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for refreshing.Err() == nil {
			_, _ = book.Refresh(refreshing) // what the feed says has no part in it
			time.Sleep(10 * time.Millisecond)
		}
	}()
	var sink humanhours.Price
	return func(n int) (Spent, error) {
			for range n {
				got, err := book.Quote(ctx, q)
				if err != nil || got.Unpriced != "" {
					return Spent{}, fmt.Errorf("quote %v: %w", got.Unpriced, err)
				}
			}
			return Spent{}, nil
		}, func(n int) (Spent, error) {
			for range n {
				sink = plain[model]
			}
			if !sink.Input.Valid {
				return Spent{}, fmt.Errorf("no price")
			}
			return Spent{}, nil
		}, func() error {
			cancel()
			<-done
			return nil
		}, nil
}

type transport func() *http.Response

func (t transport) RoundTrip(*http.Request) (*http.Response, error) { return t(), nil }
