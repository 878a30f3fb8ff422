package dist

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAnEmptyDistributionIsZero(t *testing.T) {
	var d Dist
	if d.Weight() != 0 || d.Min() != 0 || d.Max() != 0 || d.Mean() != 0 || d.Quantile(0.5) != 0 {
		t.Errorf("%+v", d)
	}
}

// Below 2048 every value has its own cell.
func TestSmallValuesAreExact(t *testing.T) {
	var d Dist
	for v := range int64(101) {
		d.Add(v, 1)
	}
	for _, c := range []struct {
		q    float64
		want int64
	}{{0, 0}, {0.5, 50}, {0.95, 95}, {1, 100}} {
		if got := d.Quantile(c.q); got != c.want {
			t.Errorf("quantile %v is %d, want %d", c.q, got, c.want)
		}
	}
	if d.Mean() != 50 || d.Min() != 0 || d.Max() != 100 || d.Weight() != 101 {
		t.Errorf("mean %v min %d max %d weight %d", d.Mean(), d.Min(), d.Max(), d.Weight())
	}
}

// A quantile is off by no more than a tenth of a percent, at every magnitude.
func TestQuantilesAreRightToATenthOfAPercent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []float64{1e3, 1e6, 1e9, 1e12, 1e18} {
		var d Dist
		var all []int64
		for range 5000 {
			v := int64(scale * (0.5 + r.ExpFloat64()))
			all = append(all, v)
			d.Add(v, 1)
		}
		slices.Sort(all)
		for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
			want := float64(all[int(math.Ceil(q*5000))-1])
			if got := float64(d.Quantile(q)); math.Abs(got-want) > want/1000+1 {
				t.Errorf("scale %g: quantile %v is %g, want %g", scale, q, got, want)
			}
		}
	}
}

func TestWeightsCount(t *testing.T) {
	var d Dist
	d.Add(10, 900)
	d.Add(5000, 100)
	d.Add(7, 0)
	d.Add(7, -3)
	if d.Quantile(0.9) != 10 || d.Quantile(0.91) < 4995 || d.Weight() != 1000 || d.Mean() != 509 || d.Min() != 10 {
		t.Errorf("p90 %d p91 %d weight %d mean %v min %d", d.Quantile(0.9), d.Quantile(0.91), d.Weight(), d.Mean(), d.Min())
	}
}

func TestTheGreatestValueFits(t *testing.T) {
	var d Dist
	d.Add(math.MaxInt64, 1)
	d.Add(-5, 1)
	if d.Max() != math.MaxInt64 || d.Min() != 0 || d.Quantile(1) < math.MaxInt64/1000*999 {
		t.Errorf("min %d max %d p100 %d", d.Min(), d.Max(), d.Quantile(1))
	}
}
