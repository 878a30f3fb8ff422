package ip_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// allowed counts how many of n events at once a limiter lets through.
func allowed(l *ip.Limiter, now mono.Time, n int) (count int) {
	for range n {
		if l.Allow(now) {
			count++
		}
	}
	return count
}

func TestLimiterAllowsABurstAndThenItsRate(t *testing.T) {
	l := ip.NewLimiter(10, 5)
	if n := allowed(&l, 0, 100); n != 5 {
		t.Errorf("%d at once, want 5", n)
	}
	step := mono.Time(100 * time.Millisecond)
	if n := allowed(&l, step-1, 100); n != 0 {
		t.Errorf("%d just before the next is due", n)
	}
	if n := allowed(&l, step, 100); n != 1 {
		t.Errorf("%d when one is due", n)
	}
	if n := allowed(&l, 4*step, 100); n != 3 {
		t.Errorf("%d when three are due", n)
	}
	// However long nothing happens, no more than the burst gathers.
	if n := allowed(&l, mono.Time(time.Hour), 100); n != 5 {
		t.Errorf("%d after an hour, want 5", n)
	}
}

func TestLimiterFloodIsBoundedInTheLongRun(t *testing.T) {
	l := ip.NewLimiter(1000, 50)
	count := 0
	for now := mono.Time(0); now < mono.Time(10*time.Second); now += 7919 {
		if l.Allow(now) {
			count++
		}
	}
	if count < 10000+49 || count > 10000+50 {
		t.Errorf("%d in ten seconds, want 10050", count)
	}
}

func TestLimiterThatAllowsNothing(t *testing.T) {
	for _, perSecond := range []int{0, -1} {
		l := ip.NewLimiter(perSecond, 10)
		if n := allowed(&l, mono.Time(time.Hour), 10); n != 0 {
			t.Errorf("%d a second: %d allowed", perSecond, n)
		}
	}
	var zero ip.Limiter
	if zero.Allow(0) {
		t.Error("the zero value allows")
	}
}

func TestLimiterAllowsAtLeastOneAtOnce(t *testing.T) {
	for _, burst := range []int{1, 0, -5} {
		l := ip.NewLimiter(1, burst)
		if n := allowed(&l, 0, 10); n != 1 {
			t.Errorf("burst %d: %d allowed, want 1", burst, n)
		}
	}
}

func TestLimiterOfEnormousFigures(t *testing.T) {
	l := ip.NewLimiter(math.MaxInt, math.MaxInt)
	if n := allowed(&l, 0, 1000); n != 1000 {
		t.Errorf("%d of 1000 allowed", n)
	}
	l = ip.NewLimiter(1, math.MaxInt)
	if n := allowed(&l, 0, 1000); n != 1000 {
		t.Errorf("%d of 1000 allowed", n)
	}
}

// In every stretch of time no more is allowed than the burst and what the rate adds.
func TestLimiterHoldsItsBoundInEveryInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 2000).Draw(t, "rate")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(50*time.Millisecond)), 1, 200).Draw(t, "gaps")
		l := ip.NewLimiter(rate, burst)
		var now mono.Time
		var times []mono.Time
		for _, gap := range gaps {
			now += mono.Time(gap)
			if l.Allow(now) {
				times = append(times, now)
			}
		}
		interval := time.Second / time.Duration(rate)
		for i := range times {
			for j := i; j < len(times); j++ {
				if limit := burst + int(times[j].Sub(times[i])/interval); j-i+1 > limit {
					t.Fatalf("%d allowed within %v", j-i+1, times[j].Sub(times[i]))
				}
			}
		}
	})
}
