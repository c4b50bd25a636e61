package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Side does n operations.
type Side func(n int) (Spent, error)

// Spent is what a Side tells of the time that it took.
type Spent struct {
	Inputs time.Duration // of it, to make what it works on, which does not count
	Remote time.Duration // processor time of the other end of a connection, where there is one
}

// Row is a path beside the raw side that does the same work at the layer below.
type Row struct {
	Name string // of the path
	Raw  string // what it is held against
	Unit string // of operations
	// Goal is what the throughput of the path is to be, as a part of that of the raw side; with Time, its time as a part of that of the raw side.
	// 0: there is none.
	Goal float64
	Time bool
	// Guard is likewise what make bench-smoke holds the path to, with a wide margin, so that only a mistake fails it; 0: to nothing.
	Guard float64
	// Multiple is what the number of operations in a turn is a multiple of, because a call has so many; 0: 64.
	Multiple int
	// Start makes both sides. stop gives back what they hold.
	Start func() (ours, raw Side, stop func() error, err error)
}

// Result is what came of a Row.
type Result struct {
	Row
	Ratios    []float64 // of each round, sorted
	Ours, Ref float64   // operations in a second, the median of each
	CPU, Base float64   // microseconds of the remote end for each operation, the median of each; 0: there is none
	Err       error
}

// Median, Min and Max are those of the ratios.
func (r *Result) Median() float64 { return median(r.Ratios) }
func (r *Result) Min() float64    { return r.Ratios[0] }
func (r *Result) Max() float64    { return r.Ratios[len(r.Ratios)-1] }

// Reached reports whether the median reaches the goal, if there is one.
func (r *Result) Reached() bool { return r.reaches(r.Goal) }

// Guarded reports whether it is within the margin of the guard, if there is one.
func (r *Result) Guarded() bool { return r.reaches(r.Guard) }

func (r *Result) reaches(ratio float64) bool {
	if r.Time && ratio > 0 {
		return r.Median() <= ratio
	}
	return r.Median() >= ratio
}

func median(sorted []float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// round is one turn of a side.
type round struct {
	rate, cpu float64
}

// Measure lets both sides take turns, for about as long each.
func (r Row) Measure(rounds int, each time.Duration) (result Result) {
	result.Row = r
	ours, raw, stop, err := r.Start()
	if err != nil {
		result.Err = err
		return result
	}
	defer func() { result.Err = errors.Join(result.Err, stop()) }()
	sides := [2]Side{ours, raw}
	var counts [2]int
	for i, side := range sides {
		if counts[i], err = calibrate(side, each, r.Multiple); err != nil {
			result.Err = fmt.Errorf("%s: %w", r.Name, err)
			return result
		}
	}
	var turns [2][]round
	for n := range rounds {
		for k := range sides {
			i := (k + n) % 2 // neither side is always the first
			one, err := turn(sides[i], counts[i])
			if err != nil {
				result.Err = fmt.Errorf("%s: %w", r.Name, err)
				return result
			}
			turns[i] = append(turns[i], one)
		}
		ratio := turns[0][n].rate / turns[1][n].rate
		if r.Time {
			ratio = 1 / ratio
		}
		result.Ratios = append(result.Ratios, ratio)
	}
	slices.Sort(result.Ratios)
	pick := func(list []round, f func(round) float64) float64 {
		var values []float64
		for _, one := range list {
			values = append(values, f(one))
		}
		slices.Sort(values)
		return median(values)
	}
	rate, cpu := func(o round) float64 { return o.rate }, func(o round) float64 { return o.cpu }
	result.Ours, result.Ref = pick(turns[0], rate), pick(turns[1], rate)
	result.CPU, result.Base = pick(turns[0], cpu), pick(turns[1], cpu)
	return result
}

// turn runs a side after what others have left behind is gone.
func turn(side Side, n int) (round, error) {
	runtime.GC()
	start := time.Now()
	spent, err := side(n)
	took := time.Since(start) - spent.Inputs
	return round{rate: float64(n) / took.Seconds(), cpu: float64(spent.Remote.Microseconds()) / float64(n)}, err
}

// calibrate returns how many operations take about as long.
func calibrate(side Side, each time.Duration, multiple int) (int, error) {
	if multiple == 0 {
		multiple = 64
	}
	for n := multiple; ; n *= 4 {
		start := time.Now()
		if _, err := side(n); err != nil {
			return 0, err
		}
		if took := time.Since(start); took > each/8 || n > 1<<26 {
			return max(1, int(float64(n)*float64(each)/float64(took))/multiple) * multiple, nil
		}
	}
}
