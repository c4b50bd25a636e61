package humanhours

import (
	"maps"
	"slices"
	"strings"
)

// Plan is what an org may use. Plans are data: an operator can have others. The zero Plan has no limits.
type Plan struct {
	RequestsPerSecond int      // of each API key, exact, in any one second; 0: no limit
	EventsPerMonth    int64    // of the org, per UTC month of receipt, a hard cap; 0: no cap
	Locked            Features // what the plan lacks; 0: nothing
}

// Features is a set of features that a plan can lack.
type Features uint8

// The features.
const (
	FeatureTaskTypes Features = 1 << iota // own task types and overrides of built-in ones
	FeatureReports                        // reports beyond the usage of the month
)

// featureNames has the words for messages, in bit order.
var featureNames = [...]string{"changes to task types", "reports"}

// String names the features, for messages.
func (f Features) String() string {
	var names []string
	for i, name := range featureNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// DefaultPlans returns the published plans: free, pro and enterprise. The map is the caller's own.
func DefaultPlans() map[string]Plan {
	return map[string]Plan{
		"free":       {RequestsPerSecond: 60, EventsPerMonth: 500, Locked: FeatureTaskTypes | FeatureReports},
		"pro":        {RequestsPerSecond: 200},
		"enterprise": {RequestsPerSecond: 1000},
	}
}

// unlocked refuses what the plan of an org lacks.
func (t *Tracker) unlocked(plan string, need Features) error {
	locked := t.cfg.Plans[plan].Locked & need
	if locked == 0 {
		return nil
	}
	e := &Error{Code: CodeFeatureLocked, Message: "the plan " + plan + " does not include " + locked.String()}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(t.cfg.Plans)) {
		if t.cfg.Plans[name].Locked&need == 0 {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		e.Hint = "Plans that do: " + strings.Join(others, ", ") + "."
	}
	return e
}
