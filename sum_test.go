package humanhours_test

import (
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// TestSumIsExact on numbers of every size and sign, also past what 64 bits hold.
func TestSumIsExact(t *testing.T) {
	for seed := range uint64(200) {
		r := seeded(seed)
		var sum humanhours.Sum
		want := decimal.Decimal{}
		for range 1 + r.IntN(300) {
			d := randomSummand(r)
			sum.Add(d)
			want = want.Add(d)
		}
		require.True(t, want.Equal(sum.Decimal()), "seed %d: want %s, got %s", seed, want, sum.Decimal())
	}
}

func randomSummand(r *rand.Rand) decimal.Decimal {
	switch r.IntN(8) {
	case 0:
		return decimal.New(r.Int64N(10)-5, int32(r.IntN(60)-30))
	case 1:
		return decimal.RequireFromString("9223372036.854775807").Mul(decimal.NewFromInt(r.Int64N(1 << 40)))
	case 2:
		return decimal.New(-1, -9)
	case 3:
		return decimal.New(999_999_999_999_999_999, -9)
	}
	return decimal.New(r.Int64()-r.Int64(), -int32(r.IntN(12)))
}

func TestSumOfManyOfTheLargest(t *testing.T) {
	var sum humanhours.Sum
	largest := decimal.New(999_999_999_999_999_999, -9)
	for range 100_000 {
		sum.Add(largest)
	}
	require.Equal(t, largest.Mul(decimal.NewFromInt(100_000)).String(), sum.Decimal().String())
}
