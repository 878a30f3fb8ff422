// Package hist counts durations in a log-linear histogram, so that millions of them
// take a fixed amount of memory.
package hist

import (
	"math/bits"
	"time"
)

// perOctave is the number of buckets for each power of two: quantiles are exact
// within 1/64.
const perOctave = 64

// Hist is a histogram of durations. The zero value is empty.
type Hist struct {
	n     [perOctave * 40]int64
	total int64
	max   time.Duration
}

// Add counts d; what is negative counts as 0.
func (h *Hist) Add(d time.Duration) {
	d = max(d, 0)
	h.max = max(h.max, d)
	h.total++
	h.n[bucket(d)]++
}

// bucket is the index of d: one bucket a nanosecond up to 2·perOctave, then perOctave
// for each power of two.
func bucket(d time.Duration) int {
	e := max(bits.Len64(uint64(d))-7, 0)
	return min(e*perOctave+int(d>>e), perOctave*40-1)
}

// middle is the duration in the middle of bucket i.
func middle(i int) time.Duration {
	e := max(i/perOctave-1, 0)
	lower := time.Duration(i-e*perOctave) << e
	return lower + time.Duration(1)<<e/2
}

// Merge adds the counts of o.
func (h *Hist) Merge(o *Hist) {
	for i, c := range o.n {
		h.n[i] += c
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is the number of durations counted.
func (h *Hist) Count() int64 { return h.total }

// Max is the longest duration counted.
func (h *Hist) Max() time.Duration { return h.max }

// Quantile is the duration that a share q, 0 to 1, of what was counted does not
// exceed; 0 if nothing was.
func (h *Hist) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	want := int64(q * float64(h.total-1))
	var seen int64
	for i, c := range h.n {
		if seen += c; seen > want {
			return min(middle(i), h.max)
		}
	}
	return h.max
}
