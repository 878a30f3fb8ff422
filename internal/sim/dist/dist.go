// Package dist keeps distributions of values without keeping the values: a histogram
// whose cells are 1/1024 of the value wide, so that a quantile is right to a tenth of a
// percent, and exact below 2048. The memory does not grow with the number of values.
package dist

import (
	"math"
	"math/bits"
)

// subBits is the binary logarithm of the number of cells that each power of two is
// cut into.
const subBits = 10

const cells = 1 << subBits

// Dist is a distribution of values that are not negative, each with a weight. The zero
// value is empty.
type Dist struct {
	// pages[0] has the values below 2·cells one a cell; each further page the next
	// power of two.
	small  []int64
	pages  [64 - subBits][]int64
	weight int64
	sum    float64
	min    int64
	max    int64
}

// Add takes in a value, counted weight times. Values below 0 count as 0; a weight of 0
// or less adds nothing.
func (d *Dist) Add(v, weight int64) {
	if weight <= 0 {
		return
	}
	v = max(v, 0)
	if d.weight == 0 || v < d.min {
		d.min = v
	}
	d.max = max(d.max, v)
	d.weight += weight
	d.sum += float64(v) * float64(weight)
	if v < 2*cells {
		if d.small == nil {
			d.small = make([]int64, 2*cells)
		}
		d.small[v] += weight
		return
	}
	page := bits.Len64(uint64(v)) - subBits - 2 // 0 for 2·cells to 4·cells-1
	if d.pages[page] == nil {
		d.pages[page] = make([]int64, cells)
	}
	d.pages[page][v>>(page+1)-cells] += weight
}

// Weight is the sum of all weights: how many values there are.
func (d *Dist) Weight() int64 { return d.weight }

// Min is the least value, exactly; 0 when there is none.
func (d *Dist) Min() int64 { return d.min }

// Max is the greatest value, exactly; 0 when there is none.
func (d *Dist) Max() int64 { return d.max }

// Mean is the weighted mean; 0 when there is no value.
func (d *Dist) Mean() float64 {
	if d.weight == 0 {
		return 0
	}
	return d.sum / float64(d.weight)
}

// Quantile is the least value that at least the share q (0 to 1) of the weight does not
// exceed, to a tenth of a percent; 0 when there is no value.
func (d *Dist) Quantile(q float64) int64 {
	if d.weight == 0 {
		return 0
	}
	want := int64(math.Ceil(q * float64(d.weight)))
	want = min(max(want, 1), d.weight)
	var seen int64
	for v, w := range d.small {
		if seen += w; seen >= want {
			return int64(v)
		}
	}
	for page := range d.pages {
		for i, w := range d.pages[page] {
			if seen += w; seen >= want {
				middle := (int64(i+cells) << (page + 1)) + int64(1)<<page
				return min(max(middle, d.min), d.max)
			}
		}
	}
	return d.max
}
