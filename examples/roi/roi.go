// Package roi shows how a program of yours computes with HumanHours' arithmetic and unit-tests it: no Tracker, no store,
// no clock, no network.
package roi

import (
	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// Case is a plan to let an agent do a task.
type Case struct {
	TasksPerMonth int64
	SuccessRate   decimal.Decimal     // 0 to 1
	Task          humanhours.ROIInput // one task; Outcome is set by PerMonth
}

// PerMonth returns what a Case saves in a month: successes are credited, and every run is paid for.
func PerMonth(c Case) (decimal.Decimal, error) {
	c.Task.Outcome = humanhours.OutcomeSuccess
	success, err := humanhours.ComputeROI(c.Task)
	if err != nil {
		return decimal.Decimal{}, err
	}
	c.Task.Outcome = humanhours.OutcomeFailure
	failure, err := humanhours.ComputeROI(c.Task)
	if err != nil {
		return decimal.Decimal{}, err
	}
	tasks := decimal.NewFromInt(c.TasksPerMonth)
	successes := tasks.Mul(c.SuccessRate)
	return success.NetSaved.Mul(successes).Add(failure.NetSaved.Mul(tasks.Sub(successes))), nil
}
