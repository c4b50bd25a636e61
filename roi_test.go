package humanhours_test

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// roiInput returns the input of a successful task.
func roiInput(minutes, seconds, rate, cost string) humanhours.ROIInput {
	return humanhours.ROIInput{
		BaselineMinutes: dec(minutes), AgentSeconds: dec(seconds), HourlyRate: dec(rate), AgentCost: null(cost),
		Outcome: humanhours.OutcomeSuccess,
	}
}

func TestComputeROI(t *testing.T) {
	const success, failure, review = humanhours.OutcomeSuccess, humanhours.OutcomeFailure, humanhours.OutcomeNeedsReview
	for _, tc := range []struct {
		name                         string
		minutes, seconds, rate, cost string
		outcome                      humanhours.Outcome
		want                         figures
	}{
		{"published example", "4.0", "4", "45", "", success, figures{"0.066", "2.97", "", "2.97"}},
		{"with a run cost", "4.0", "4", "45", "0.0123", success, figures{"0.066", "2.97", "0.0123", "2.9577"}},
		{"a run that costs nothing", "4.0", "4", "45", "0", success, figures{"0.066", "2.97", "0", "2.97"}},
		{"a cost above the saving", "4.0", "4", "45", "3", success, figures{"0.066", "2.97", "3", "-0.03"}},
		{"a review is credited", "4.0", "4", "45", "0.5", review, figures{"0.066", "2.97", "0.5", "2.47"}},
		{"a failure saves nothing", "4.0", "4", "45", "", failure, figures{"0", "0", "", "0"}},
		{"a failure still costs", "4.0", "4", "45", "0.5", failure, figures{"0", "0", "0.5", "-0.5"}},
		{"the agent was slower", "1", "120", "45", "", success, figures{"0", "0", "", "0"}},
		{"the agent was as fast", "1", "60", "45", "", success, figures{"0", "0", "", "0"}},
		{"no baseline", "0", "0", "45", "", success, figures{"0", "0", "", "0"}},
		{"no rate", "60", "0", "0", "", success, figures{"1", "0", "", "0"}},
		{"half of a thousandth rounds up", "0.03", "0", "1000", "", success, figures{"0.001", "1", "", "1"}},
		{"just under half rounds down", "0.03", "0.000000001", "1000", "", success, figures{"0", "0", "", "0"}},
		{"half rounds away from zero, not to even", "0.15", "0", "1000", "", success, figures{"0.003", "3", "", "3"}},
		{"money at half of the last place", "0.06", "0", "0.0000005", "", success, figures{"0.001", "0.000000001", "", "0.000000001"}},
		{"money just under half of the last place", "0.06", "0", "0.000000499", "", success, figures{"0.001", "0", "", "0"}},
		{"a cost is rounded to 9 decimals", "0", "0", "0", "0.0000000015", success, figures{"0", "0", "0.000000002", "-0.000000002"}},
		{"noise of a float is rounded away", "0.30000000000000004", "0", "10.000000000000002", "", success, figures{"0.005", "0.05", "", "0.05"}},
		{"a rate is rounded before it is used", "60", "0", "0.0000000004", "", success, figures{"1", "0", "", "0"}},
		{"all at their bounds", "525600", "0", "1000000", "1000000000", success, figures{"8760", "8760000000", "1000000000", "7760000000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := roiInput(tc.minutes, tc.seconds, tc.rate, tc.cost)
			in.Outcome = tc.outcome
			got, err := humanhours.ComputeROI(in)
			require.NoError(t, err)
			assert.Equal(t, tc.want, figuresOf(got))
		})
	}
}

func TestComputeROIOptions(t *testing.T) {
	in := roiInput("4", "4", "45", "1")
	in.Scale = humanhours.Scale{Hours: 2, Money: 1}
	got, err := humanhours.ComputeROI(in)
	require.NoError(t, err)
	assert.Equal(t, figures{"0.07", "3.2", "1", "2.2"}, figuresOf(got), "another scale")

	in = roiInput("4", "4", "45", "1")
	in.Credit = func(o humanhours.Outcome) bool { return o == humanhours.OutcomeFailure }
	got, err = humanhours.ComputeROI(in)
	require.NoError(t, err)
	assert.Equal(t, figures{"0", "0", "1", "-1"}, figuresOf(got), "success is not credited here")
	in.Outcome = humanhours.OutcomeFailure
	got, err = humanhours.ComputeROI(in)
	require.NoError(t, err)
	assert.Equal(t, figures{"0.066", "2.97", "1", "1.97"}, figuresOf(got), "a failure is")

	for _, outcome := range []humanhours.Outcome{"", "done", "Success"} {
		in.Outcome = outcome
		_, err = humanhours.ComputeROI(in)
		requireError(t, err, humanhours.CodeValidation, "outcome")
	}
}

func TestTrackerAnswersWhatComputeROISays(t *testing.T) {
	r := seeded(11)
	w := newRandomWorld(t, r)
	for range 300 {
		req := randomRequest(r)
		e := w.trackOne(t, req)
		want, err := humanhours.ComputeROI(humanhours.ROIInput{
			BaselineMinutes: e.Baseline.Minutes, AgentSeconds: req.AgentDuration.Decimal, HourlyRate: e.HourlyRate.Amount,
			AgentCost: e.AgentCost, Outcome: req.Outcome,
		})
		require.NoError(t, err)
		require.Equal(t, figuresOf(want), figuresOf(e.ROI), "%+v", req)
	}
}

// roundHalfAway is the rounding rule, written down a second time on fractions.
func roundHalfAway(x *big.Rat, places int64) *big.Rat {
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(places), nil))
	scaled := new(big.Rat).Mul(x, scale)
	half := big.NewRat(int64(scaled.Sign()), 2)
	scaled.Add(scaled, half)
	whole := new(big.Int).Quo(scaled.Num(), scaled.Denom())
	return new(big.Rat).Quo(new(big.Rat).SetInt(whole), scale)
}

func randomROIInput(r *rand.Rand) humanhours.ROIInput {
	in := humanhours.ROIInput{
		BaselineMinutes: randomNumber(r, pick[int64](r, 5, 600, humanhours.MaxBaselineMinutes), 12),
		AgentSeconds:    randomNumber(r, pick[int64](r, 200, 9_000, humanhours.MaxDurationSeconds), 12),
		HourlyRate:      randomNumber(r, pick[int64](r, 200, humanhours.MaxHourlyRate), 12),
		Outcome:         pick(r, humanhours.OutcomeSuccess, humanhours.OutcomeSuccess, humanhours.OutcomeNeedsReview, humanhours.OutcomeFailure),
	}
	if r.IntN(3) > 0 {
		in.AgentCost = decimal.NewNullDecimal(randomNumber(r, pick[int64](r, 3, humanhours.MaxAgentCost), 12))
	}
	return in
}

func TestComputeROIProperties(t *testing.T) {
	r := seeded(1)
	saved := 0
	for range 4000 {
		in := randomROIInput(r)
		roi, err := humanhours.ComputeROI(in)
		require.NoError(t, err, "%+v", in)

		// The published formula on fractions.
		kept := func(d decimal.Decimal) *big.Rat { return roundHalfAway(rat(d), 9) }
		hours := new(big.Rat)
		if in.Outcome != humanhours.OutcomeFailure {
			minutes := new(big.Rat).Sub(kept(in.BaselineMinutes), new(big.Rat).Quo(kept(in.AgentSeconds), big.NewRat(60, 1)))
			if minutes.Sign() > 0 {
				hours = roundHalfAway(minutes.Quo(minutes, big.NewRat(60, 1)), 3)
			}
		}
		cost := roundHalfAway(new(big.Rat).Mul(hours, kept(in.HourlyRate)), 9)
		net := new(big.Rat).Sub(cost, kept(in.AgentCost.Decimal))
		require.Zero(t, hours.Cmp(rat(roi.HoursSaved)), "hours of %+v: want %s, got %s", in, hours.FloatString(4), roi.HoursSaved)
		require.Zero(t, cost.Cmp(rat(roi.CostSaved)), "cost of %+v: want %s, got %s", in, cost.FloatString(10), roi.CostSaved)
		require.Zero(t, net.Cmp(rat(roi.NetSaved)), "net of %+v: want %s, got %s", in, net.FloatString(10), roi.NetSaved)
		require.Equal(t, in.AgentCost.Valid, roi.AgentCost.Valid)
		require.False(t, roi.HoursSaved.IsNegative())
		require.True(t, roi.NetSaved.Equal(roi.CostSaved.Sub(roi.AgentCost.Decimal)), "net is cost - agent cost, exactly")
		if roi.HoursSaved.IsPositive() {
			saved++
		}

		// More baseline never saves less.
		more := in
		more.BaselineMinutes = decimal.Min(in.BaselineMinutes.Add(randomNumber(r, 10, 9)), decimal.NewFromInt(humanhours.MaxBaselineMinutes))
		longer, err := humanhours.ComputeROI(more)
		require.NoError(t, err)
		require.True(t, longer.HoursSaved.GreaterThanOrEqual(roi.HoursSaved), "%s minutes save less than %s", more.BaselineMinutes, in.BaselineMinutes)
		require.True(t, longer.NetSaved.GreaterThanOrEqual(roi.NetSaved))

		// Digits that are not kept make no difference.
		in.BaselineMinutes, in.AgentSeconds = in.BaselineMinutes.Round(9), in.AgentSeconds.Round(9)
		in.HourlyRate, in.AgentCost.Decimal = in.HourlyRate.Round(9), in.AgentCost.Decimal.Round(9)
		rounded, err := humanhours.ComputeROI(in)
		require.NoError(t, err)
		require.Equal(t, figuresOf(roi), figuresOf(rounded))
	}
	require.Greater(t, saved, 1000, "the generator must make tasks that save something")
}

// A number of absurd size must be answered from its magnitude: rescaling it would take all time and memory there is, so
// that a regression shows as a test that never ends.
func TestComputeROIAbsurdNumbers(t *testing.T) {
	fields := map[string]func(*humanhours.ROIInput, decimal.Decimal){
		"human_baseline_minutes": func(in *humanhours.ROIInput, d decimal.Decimal) { in.BaselineMinutes = d },
		"agent_duration_seconds": func(in *humanhours.ROIInput, d decimal.Decimal) { in.AgentSeconds = d },
		"hourly_rate":            func(in *humanhours.ROIInput, d decimal.Decimal) { in.HourlyRate = d },
		"agent_cost":             func(in *humanhours.ROIInput, d decimal.Decimal) { in.AgentCost = decimal.NewNullDecimal(d) },
	}
	for name, tc := range map[string]struct {
		d    decimal.Decimal
		want string // part of the message; empty: accepted, and worth 0
	}{
		"1e999999999":                {decimal.New(1, 999_999_999), "must be at most"},
		"1e2147483647":               {decimal.New(1, math.MaxInt32), "must be at most"},
		"40 digits":                  {dec(strings.Repeat("9", 40)), "must be at most"},
		"2000 digits":                {dec(strings.Repeat("1", 2000)), "must be at most"},
		"-1e999999999":               {decimal.New(-1, 999_999_999), "must not be negative"},
		"-1e-999999999":              {decimal.New(-1, -999_999_999), "must not be negative"},
		"-0.0000000000000001":        {dec("-0.0000000000000001"), "must not be negative"},
		"1e-999999999":               {decimal.New(1, -999_999_999), ""},
		"1e-2147483648":              {decimal.New(1, math.MinInt32), ""},
		"0e999999999":                {decimal.New(0, 999_999_999), ""},
		"0e-999999999":               {decimal.New(0, -999_999_999), ""},
		"40 digits behind the point": {decimal.New(4, -10).Add(decimal.New(1, -40)), ""},
	} {
		for field, set := range fields {
			t.Run(name+" as "+field, func(t *testing.T) {
				in := roiInput("4", "4", "45", "1")
				set(&in, tc.d)
				got, err := humanhours.ComputeROI(in)
				if tc.want != "" {
					assert.Contains(t, requireError(t, err, humanhours.CodeValidation, field).Message, tc.want)
					return
				}
				require.NoError(t, err)
				set(&in, decimal.Zero)
				want, err := humanhours.ComputeROI(in)
				require.NoError(t, err)
				assert.Equal(t, figuresOf(want), figuresOf(got))
			})
		}
	}
}

func TestComputeROIBoundsAreInclusive(t *testing.T) {
	for field, tc := range map[string]struct {
		limit int64
		set   func(*humanhours.ROIInput, decimal.Decimal)
	}{
		"human_baseline_minutes": {humanhours.MaxBaselineMinutes, func(in *humanhours.ROIInput, d decimal.Decimal) { in.BaselineMinutes = d }},
		"agent_duration_seconds": {humanhours.MaxDurationSeconds, func(in *humanhours.ROIInput, d decimal.Decimal) { in.AgentSeconds = d }},
		"hourly_rate":            {humanhours.MaxHourlyRate, func(in *humanhours.ROIInput, d decimal.Decimal) { in.HourlyRate = d }},
		"agent_cost":             {humanhours.MaxAgentCost, func(in *humanhours.ROIInput, d decimal.Decimal) { in.AgentCost = decimal.NewNullDecimal(d) }},
	} {
		limit := decimal.NewFromInt(tc.limit)
		for excess, ok := range map[string]bool{"0": true, "0.00000000049": true, "0.0000000005": false, "0.000000001": false, "1": false} {
			in := roiInput("4", "4", "45", "1")
			tc.set(&in, limit.Add(dec(excess)))
			_, err := humanhours.ComputeROI(in)
			if ok {
				assert.NoError(t, err, "%s + %s: what is rounded away is not over the bound", field, excess)
			} else {
				requireError(t, err, humanhours.CodeValidation, field)
			}
		}
	}
}

func TestRecomputeGivesTheNumbersOfTheEvent(t *testing.T) {
	r := seeded(2)
	w := newRandomWorld(t, r)
	seen := map[humanhours.CostSource]int{}
	converted, credited := 0, 0
	for range 3000 {
		e := w.trackOne(t, randomRequest(r))
		require.Equal(t, figuresOf(e.ROI), figuresOf(e.Recompute()), "%+v", e)

		decoded, err := humanhours.DecodeStored(e.Org, e.AppendStored(nil))
		require.NoError(t, err)
		require.Equal(t, figuresOf(e.ROI), figuresOf(decoded.Recompute()), "after the stored encoding: %+v", e)

		seen[e.Cost.Source]++
		if e.Cost.FX.To != "" {
			converted++
		}
		if e.HoursSaved.IsPositive() {
			credited++
		}
	}
	require.Greater(t, seen[humanhours.CostProvided], 100)
	require.Greater(t, seen[humanhours.CostComputed], 100)
	require.Greater(t, seen[humanhours.CostNone], 100)
	require.Greater(t, converted, 50)
	require.Greater(t, credited, 500)
}

func TestRecomputeUsesWhatIsFrozenOnTheEvent(t *testing.T) {
	// Nobody would credit this failure by default, and no Config says so any more once it is decoded.
	w := newWorld(t, humanhours.Config{Credit: func(humanhours.Outcome) bool { return true }})
	e := w.trackOne(t, request(func(r *humanhours.TrackRequest) { r.Outcome = humanhours.OutcomeFailure }))
	decoded, err := humanhours.DecodeStored(e.Org, e.AppendStored(nil))
	require.NoError(t, err)
	assert.Equal(t, figures{"0.066", "2.97", "", "2.97"}, figuresOf(decoded.Recompute()))

	e.HourlyRate.Amount = dec("90")
	assert.Equal(t, figures{"0.066", "5.94", "", "5.94"}, figuresOf(e.Recompute()), "computed again, not repeated")
}

// The public encoding has no scale, and the zero Scale means DefaultScale.
func TestRecomputeOfAnEventFromItsPublicEncoding(t *testing.T) {
	e := newWorld(t, humanhours.Config{}).trackOne(t, request())
	public, err := json.Marshal(e)
	require.NoError(t, err)
	var decoded humanhours.Event
	require.NoError(t, json.Unmarshal(public, &decoded))
	assert.Equal(t, figures{"0.066", "2.97", "", "2.97"}, figuresOf(decoded.Recompute()))
}

// A scale out of range would make numbers of a billion digits.
func TestScaleIsBounded(t *testing.T) {
	for _, scale := range []humanhours.Scale{{Hours: 1 << 30, Money: 9}, {Hours: 3, Money: 19}, {Hours: -1, Money: 9}} {
		_, err := humanhours.ComputeROI(humanhours.ROIInput{Outcome: humanhours.OutcomeSuccess, Scale: scale})
		requireError(t, err, humanhours.CodeValidation, "scale")
	}
	_, err := humanhours.DecodeStored("acme", []byte(`{"v":1,"hours_scale":1073741824,"money_scale":9}`))
	assert.Error(t, err)
	assert.Equal(t, "1e999999999", string(humanhours.AppendDecimal(nil, decimal.New(1, 999999999))))
	assert.Equal(t, "-12e-999999999", string(humanhours.AppendDecimal(nil, decimal.New(-120, -1000000000))))
}
