package humanhours

import (
	"math"
	"math/bits"

	"github.com/shopspring/decimal"
)

// small is the number n * 10^exp, for arithmetic without a memory allocation. Nearly all numbers of nearly all events are small; a result that does
// not fit is wide, as is all that is computed from it, and must be computed with decimals.
type small struct {
	n    int64
	exp  int32
	wide bool
}

// Digits of a number that is taken up, and how far its exponent may be from 0: so that what is computed from it is bounded too.
const (
	smallDigits = 18
	smallExp    = 36
)

var powers = [smallDigits + 1]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

func smallOf(d decimal.Decimal) small {
	if d.IsZero() {
		return small{}
	}
	if exp := d.Exponent(); exp < -smallExp || exp > smallExp || d.NumDigits() > smallDigits {
		return small{wide: true}
	}
	return small{n: d.CoefficientInt64(), exp: d.Exponent()}
}

// decimal returns a number that is not wide.
func (a small) decimal() decimal.Decimal {
	if a.n == 0 {
		return decimal.Decimal{}
	}
	return decimal.New(a.n, a.exp)
}

func (a small) times(b small) small {
	hi, lo := bits.Mul64(abs(a.n), abs(b.n))
	if a.wide || b.wide || hi > 0 || lo > math.MaxInt64 {
		return small{wide: true}
	}
	return small{n: a.n * b.n, exp: a.exp + b.exp}
}

func (a small) plus(b small) small {
	if b.exp < a.exp {
		a, b = b, a
	}
	b = b.scaled(a.exp)
	sum := a.n + b.n
	if a.wide || b.wide || (sum > a.n) != (b.n > 0) || sum == math.MinInt64 {
		return small{wide: true}
	}
	return small{n: sum, exp: a.exp}
}

func (a small) minus(b small) small {
	b.n = -b.n // no operation goes below -math.MaxInt64
	return a.plus(b)
}

// scaled returns a number with an exponent that is not greater.
func (a small) scaled(exp int32) small {
	if a.n == 0 {
		return small{exp: exp, wide: a.wide}
	}
	if a.exp-exp > smallDigits {
		return small{wide: true}
	}
	return a.times(small{n: powers[a.exp-exp], exp: exp - a.exp})
}

// over returns a / (b * 10^exp) for b > 0, rounded to a whole number half away from zero.
func (a small) over(b int64, exp int32) small {
	a.exp -= exp
	den := small{n: b}
	if a.exp < 0 {
		den = small{n: b, exp: -a.exp}.scaled(0)
	} else {
		a = a.scaled(0)
	}
	if a.wide || den.wide {
		return small{wide: true}
	}
	quotient, rest := a.n/den.n, abs(a.n%den.n)
	switch {
	case rest < uint64(den.n)-rest:
	case a.n < 0:
		quotient--
	default:
		quotient++
	}
	return small{n: quotient}
}

// rounded rounds half away from zero, and leaves a number alone that has no more than that many decimals.
func (a small) rounded(places int32) small {
	if a.wide || a.exp >= -places {
		return a
	}
	a = a.over(1, -places)
	a.exp = -places
	return a
}

func abs(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
