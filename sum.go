package humanhours

import (
	"math"
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
	maxUnits  = 1 << 61
)

// Add adds d to s.
func (s *Sum) Add(d decimal.Decimal) {
	n, ok := Nano(d)
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

// IsZero reports whether the sum is 0.
func (s *Sum) IsZero() bool {
	if s.rest.IsZero() {
		return s.units == 0 && s.nano == 0
	}
	return s.Decimal().IsZero()
}

// AddNano adds n units of 1e-9 to s.
func (s *Sum) AddNano(n int64) { s.AddSum(&Sum{units: n / nanos, nano: n % nanos}) }

// AddSum adds o to s.
func (s *Sum) AddSum(o *Sum) {
	if s.units > maxUnits || s.units < -maxUnits || o.units > maxUnits || o.units < -maxUnits {
		s.rest = s.rest.Add(o.Decimal())
		return
	}
	s.units += o.units
	s.nano += o.nano
	if s.nano >= nanos || s.nano <= -nanos {
		s.units += s.nano / nanos
		s.nano %= nanos
	}
	if !o.rest.IsZero() {
		s.rest = s.rest.Add(o.rest)
	}
}

// Sub takes o off s.
func (s *Sum) Sub(o *Sum) { s.AddSum(&Sum{units: -o.units, nano: -o.nano, rest: o.rest.Neg()}) }

// Nano returns the sum in units of 1e-9, and false if that is not a whole number or does not fit.
func (s *Sum) Nano() (int64, bool) {
	const most = math.MaxInt64/nanos - 1
	if s.units > most || s.units < -most {
		return 0, false
	}
	n := s.units*nanos + s.nano
	if s.rest.IsZero() {
		return n, true
	}
	rest, ok := Nano(s.rest)
	sum := n + rest
	return sum, ok && (rest >= 0) == (sum >= n)
}

// Nano returns d in units of 1e-9, and false if that is not a whole number of 18 digits at most.
func Nano(d decimal.Decimal) (int64, bool) {
	if d.IsZero() {
		return 0, true
	}
	shift := int(d.Exponent()) + nanoScale
	if shift < 0 || d.NumDigits()+shift > 18 {
		return 0, false
	}
	return d.CoefficientInt64() * powers[shift], true
}
