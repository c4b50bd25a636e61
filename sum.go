package humanhours

import (
	"math/big"

	"github.com/shopspring/decimal"
)

// Sum adds decimals up exactly, whatever their size, and fast as long as they have at most 9 decimals and 18 digits. The zero Sum is 0.
type Sum struct {
	units, nano int64           // the sum is units + nano / 1e9 + rest; |nano| stays below 2e9, |units| below maxUnits
	rest        decimal.Decimal // what does not fit
}

const (
	nanoScale = 9
	nanos     = 1_000_000_000
	maxUnits  = 1 << 62
)

// Add adds d to s.
func (s *Sum) Add(d decimal.Decimal) {
	n, ok := nanoOf(d)
	if !ok || s.units > maxUnits || s.units < -maxUnits {
		s.rest = s.rest.Add(d)
		return
	}
	s.units += n / nanos
	s.nano += n % nanos
	if s.nano >= nanos || s.nano <= -nanos {
		s.units += s.nano / nanos
		s.nano %= nanos
	}
}

// Decimal returns the sum.
func (s *Sum) Decimal() decimal.Decimal {
	n := new(big.Int).Mul(big.NewInt(s.units), big.NewInt(nanos))
	return s.rest.Add(decimal.NewFromBigInt(n.Add(n, big.NewInt(s.nano)), -nanoScale))
}

// nanoOf returns d in units of 1e-9, and false if that is not a whole number of 18 digits at most.
func nanoOf(d decimal.Decimal) (int64, bool) {
	if d.IsZero() {
		return 0, true
	}
	shift := int(d.Exponent()) + nanoScale
	if shift < 0 || d.NumDigits()+shift > 18 {
		return 0, false
	}
	n := d.CoefficientInt64()
	for range shift {
		n *= 10
	}
	return n, true
}
