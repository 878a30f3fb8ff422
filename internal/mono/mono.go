// Package mono is the time of the protocol: an int64 of nanoseconds on a
// monotonic clock that starts at an epoch of the engine's choice. It is a third
// of the size of time.Time, compares with <, and says nothing about the calendar.
// The package reads no clock; whoever drives the protocol does and passes `now`.
package mono

import (
	"math"
	"time"
)

// Time is an instant in nanoseconds since the epoch of the engine that made it.
// Instants of different engines do not compare.
type Time int64

// Never lies after every instant: the deadline of a timer that is not set.
const Never Time = math.MaxInt64

// Add returns t+d. Never stays Never, and a sum that would overflow is Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never || (d > 0 && t > Never-Time(d)) {
		return Never
	}
	return t + Time(d)
}

// Sub returns the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }
