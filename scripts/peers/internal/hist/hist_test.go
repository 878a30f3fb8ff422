package hist

import (
	"testing"
	"time"
)

func TestQuantilesAreWithinOneInSixtyFour(t *testing.T) {
	for _, unit := range []time.Duration{1, 97, time.Microsecond, time.Millisecond, 7 * time.Second} {
		var h Hist
		for i := range 1001 {
			h.Add(time.Duration(1000-i) * unit)
		}
		for _, c := range []struct {
			q    float64
			want time.Duration
		}{{0, 0}, {0.25, 250 * unit}, {0.5, 500 * unit}, {0.99, 990 * unit}, {1, 1000 * unit}} {
			got := h.Quantile(c.q)
			if diff := (got - c.want).Abs(); diff > c.want/perOctave {
				t.Errorf("unit %v: quantile %v is %v, want %v", unit, c.q, got, c.want)
			}
		}
		if h.Max() != 1000*unit || h.Count() != 1001 {
			t.Errorf("unit %v: max %v of %d", unit, h.Max(), h.Count())
		}
	}
}

func TestEveryDurationFallsIntoItsBucket(t *testing.T) {
	for d := time.Duration(0); d < 100*time.Second; d += d/100 + 1 {
		if m := middle(bucket(d)); (m - d).Abs() > d/perOctave {
			t.Fatalf("%v fell into the bucket around %v", d, m)
		}
	}
}

func TestMergeAddsUp(t *testing.T) {
	var a, b Hist
	a.Add(time.Second)
	b.Add(3 * time.Second)
	b.Add(-time.Second)
	a.Merge(&b)
	if a.Count() != 3 || a.Max() != 3*time.Second || a.Quantile(0) != 0 {
		t.Errorf("%d counted, max %v, least %v", a.Count(), a.Max(), a.Quantile(0))
	}
}

func TestEmptyHasNoQuantiles(t *testing.T) {
	var h Hist
	if h.Quantile(0.5) != 0 {
		t.Error(h.Quantile(0.5))
	}
}
