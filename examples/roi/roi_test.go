package roi

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

func TestPerMonth(t *testing.T) {
	email, ok := humanhours.BuiltinTaskType("email_classification")
	require.True(t, ok)
	dec := decimal.RequireFromString
	task := humanhours.ROIInput{
		BaselineMinutes: email.BaselineMinutes.Decimal, // 4 minutes, with its evidence in email.Source
		AgentSeconds:    dec("4"),
		HourlyRate:      dec("45"),
		AgentCost:       decimal.NewNullDecimal(dec("0.02")),
	}
	for _, tc := range []struct {
		name, successRate, cost string
		want                    string
	}{
		{"every run succeeds", "1", "0.02", "29500"},    // 10,000 x (2.97 - 0.02)
		{"nine of ten succeed", "0.9", "0.02", "26530"}, // 9,000 x 2.95 - 1,000 x 0.02
		{"failures only cost", "0", "0.02", "-200"},
		{"an agent that costs more than it saves", "1", "3", "-300"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			task.AgentCost = decimal.NewNullDecimal(dec(tc.cost))
			got, err := PerMonth(Case{TasksPerMonth: 10_000, SuccessRate: dec(tc.successRate), Task: task})
			require.NoError(t, err)
			require.True(t, dec(tc.want).Equal(got), "got %s, want %s", got, tc.want)
		})
	}
}

// TestConservative uses the low end of the evidence instead of the baseline: the figure that survives an argument.
func TestConservative(t *testing.T) {
	email, _ := humanhours.BuiltinTaskType("email_classification")
	got, err := humanhours.ComputeROI(humanhours.ROIInput{
		BaselineMinutes: email.LowMinutes.Decimal, // 1 minute
		AgentSeconds:    decimal.NewFromInt(4),
		HourlyRate:      decimal.NewFromInt(45),
		Outcome:         humanhours.OutcomeSuccess,
	})
	require.NoError(t, err)
	require.Equal(t, "0.016", got.HoursSaved.String())
	require.Equal(t, "0.72", got.CostSaved.String())
}
