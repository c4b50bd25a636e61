package humanhours

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// randomDecimal is one of any size that an int64 can be the coefficient of, and sometimes of a greater one.
func randomDecimal(r *rand.Rand, places int32) decimal.Decimal {
	n := r.Int64() >> r.IntN(64)
	d := decimal.New(n, -r.Int32N(places+1))
	if r.IntN(50) == 0 {
		d = d.Mul(decimal.New(r.Int64(), 0))
	}
	return d
}

// TestSmallIsExact: what is computed with small numbers is what decimals say, or wide.
func TestSmallIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fits := 0
	for range 200_000 {
		a, b := randomDecimal(r, 18), randomDecimal(r, 18)
		if r.IntN(2) == 0 {
			a = a.Neg()
		}
		places, den := r.Int32N(19), 1+r.Int64N(10_000)
		x, y := smallOf(a), smallOf(b)
		for name, got := range map[string]struct {
			small
			want decimal.Decimal
		}{
			"plus": {x.plus(y), a.Add(b)}, "minus": {x.minus(y), a.Sub(b)}, "times": {x.times(y), a.Mul(b)}, "rounded": {x.rounded(places), a.Round(places)},
			"over": {x.over(den, -places).times(small{n: 1, exp: -places}), a.DivRound(decimal.NewFromInt(den), places)},
		} {
			if got.wide {
				continue
			}
			fits++
			require.True(t, got.decimal().Equal(got.want), "%v %s %v (%d decimals, divided by %d): %v, want %v", a, name, b, places, den, got.decimal(), got.want)
		}
	}
	assert.Greater(t, fits, 300_000)
}

func TestSmallKnowsWhatDoesNotFit(t *testing.T) {
	most := small{n: math.MaxInt64}
	for name, got := range map[string]small{
		"sum": most.plus(small{n: 1}), "difference": small{n: -math.MaxInt64}.minus(small{n: 1}), "product": most.times(small{n: 2}), "exponent": small{n: 1, exp: 20}.plus(small{n: 1}),
		"number": smallOf(decimal.New(1, 19).Add(decimal.New(1, 0))), "scale": smallOf(decimal.New(1, -37)), "quotient": most.over(1, -1), "divisor": small{n: 1, exp: -37}.over(1, 0),
		"what is computed from it": small{wide: true}.times(small{}).plus(small{}).rounded(2),
	} {
		assert.True(t, got.wide, name)
	}
	assert.False(t, most.plus(small{}).wide)
	assert.False(t, most.minus(most).wide)
}

// TestSmallNumbersAreNoOther: an event has the same numbers whether they are small or not.
func TestSmallNumbersAreNoOther(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	fits := 0
	for range 50_000 {
		minutes, seconds, rate := randomDecimal(r, 9).Abs(), randomDecimal(r, 9).Abs(), randomDecimal(r, 9).Abs()
		cost := decimal.NullDecimal{Decimal: randomDecimal(r, 12).Abs(), Valid: r.IntN(3) > 0}
		scale := Scale{Hours: r.Int32N(maxScale + 1), Money: r.Int32N(maxScale + 1)}
		credited := r.IntN(4) > 0
		want := wideROI(minutes, seconds, rate, cost, credited, scale)
		if got, ok := smallROI(minutes, seconds, rate, cost, credited, scale); ok {
			fits++
			require.True(t, got.HoursSaved.Equal(want.HoursSaved) && got.CostSaved.Equal(want.CostSaved) && got.NetSaved.Equal(want.NetSaved) &&
				got.AgentCost.Valid == want.AgentCost.Valid && got.AgentCost.Decimal.Equal(want.AgentCost.Decimal), "%+v\n%+v", got, want)
		}
		var e Event
		e.TokensIn, e.TokensOut = Int64(r.Int64N(MaxTokens)>>r.IntN(40)), Int64(r.Int64N(MaxTokens)>>r.IntN(40))
		e.Cost.Price.Input, e.Cost.Price.Output = decimal.NewNullDecimal(randomDecimal(r, 15).Abs()), decimal.NewNullDecimal(randomDecimal(r, 15).Abs())
		if r.IntN(2) == 0 {
			e.Cost.FX = ExchangeRate{To: "EUR", Rate: randomDecimal(r, 6).Abs()}
		}
		for range r.IntN(4) {
			e.LLMCalls = append(e.LLMCalls, PricedCall{LLMCall: LLMCall{Usage: e.Usage}, Price: e.Cost.Price, FX: e.Cost.FX})
		}
		require.True(t, e.computedCost(scale.Money).Equal(e.wideCost(scale.Money)), "%v", e.wideCost(18))
	}
	assert.Greater(t, fits, 5_000)
}
