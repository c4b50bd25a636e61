// Package bench measures each path of this module beside the raw limit of what lies under it: the same work at the layer below, in the same run. Command
// report runs all of it and writes docs/benchmarks.md.
//
// Two cores and noisy neighbours make times of one minute useless for the next. So both sides of a row take turns, a round is short, a result is a ratio,
// and of the rounds the median counts.
package bench
