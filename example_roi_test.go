package humanhours_test

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// The arithmetic alone: it needs no store and no clock, and is what every event is computed with.
func ExampleComputeROI() {
	task := humanhours.ROIInput{
		BaselineMinutes: decimal.RequireFromString("4.0"),
		AgentSeconds:    decimal.RequireFromString("4"),
		HourlyRate:      decimal.RequireFromString("45"),
		AgentCost:       decimal.NewNullDecimal(decimal.RequireFromString("0.0021")),
	}
	for _, task.Outcome = range []humanhours.Outcome{humanhours.OutcomeSuccess, humanhours.OutcomeFailure} {
		roi, err := humanhours.ComputeROI(task)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s h, %s saved, net %s\n", task.Outcome, roi.HoursSaved, roi.CostSaved, roi.NetSaved)
	}
	// Output:
	// success: 0.066 h, 2.97 saved, net 2.9679
	// failure: 0 h, 0 saved, net -0.0021
}
