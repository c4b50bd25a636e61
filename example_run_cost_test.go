package humanhours_test

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// contract is the price list of one company's contract: per token, in euros.
type contract map[string][2]string

func (c contract) Quote(_ context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	price, ok := c[q.Model]
	if !ok {
		return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
	}
	return humanhours.Quote{Price: humanhours.Price{
		Model:    q.Model,
		Input:    decimal.NewNullDecimal(decimal.RequireFromString(price[0])),
		Output:   decimal.NewNullDecimal(decimal.RequireFromString(price[1])),
		Currency: "EUR", Source: "contract", Version: "2026", Date: time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC),
	}}, nil
}

// What a run cost is taken from the request, or computed from its tokens, or unknown. Unknown is not zero.
func Example_runCost() {
	tracker, err := humanhours.New(memory.New(), humanhours.Config{
		Prices: contract{"house-model": {"0.000002", "0.000008"}},
	})
	if err != nil {
		panic(err)
	}
	track := func(model string, cost decimal.NullDecimal) {
		result, err := tracker.Track(context.Background(), humanhours.Caller{}, humanhours.TrackRequest{
			AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
			Model: model, Usage: humanhours.Usage{TokensIn: humanhours.Int64(1200), TokensOut: humanhours.Int64(300)}, AgentCost: cost,
		})
		if err != nil {
			panic(err)
		}
		e := result.Event
		switch {
		case e.AgentCost.Valid:
			fmt.Printf("%s: %s EUR, net %s\n", e.Cost.Source, e.AgentCost.Decimal, e.NetSaved)
		default:
			fmt.Printf("%s: %s, net %s\n", e.Cost.Source, e.Cost.Unpriced, e.NetSaved)
		}
	}
	track("house-model", decimal.NewNullDecimal(decimal.RequireFromString("0.01")))
	track("house-model", decimal.NullDecimal{})
	track("other-model", decimal.NullDecimal{})
	// Output:
	// provided: 0.01 EUR, net 3.005
	// computed: 0.0048 EUR, net 3.0102
	// none: unknown_model, net 3.015
}
