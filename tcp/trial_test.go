package tcp

import (
	"testing"
	"time"
)

// path moves data through a buffer of the size that the trial asks for, at rate(size) bytes
// a second, for a time, and returns the last and the largest size.
func (b *bufferTrial) path(from Time, d time.Duration, size int, rate func(size int) float64) (last, largest int) {
	const step = time.Millisecond
	for t := step; t <= d; t += step {
		size = b.moved(from.Add(t), int(rate(size)*step.Seconds()), size, 16<<20)
		largest = max(largest, size)
	}
	return size, largest
}

const mib = 1 << 20

// TestLargerBufferThatMovesNoMoreIsGivenBack: and is not tried again for ten seconds.
func TestLargerBufferThatMovesNoMoreIsGivenBack(t *testing.T) {
	var b bufferTrial
	steady := func(int) float64 { return 4e9 }
	if last, largest := b.path(0, time.Second, mib, steady); last != mib || largest != 2*mib {
		t.Errorf("after a second it is %d, and was %d; want 1 MiB, and a trial of 2", last, largest)
	}
	now := Time(time.Second)
	if last, largest := b.path(now, 9*time.Second, mib, steady); last != mib || largest != mib {
		t.Errorf("within the rest it is %d, and was %d", last, largest)
	}
	if _, largest := b.path(now.Add(9*time.Second), time.Second, mib, steady); largest != 2*mib {
		t.Errorf("after the rest it was %d: there was no further trial", largest)
	}
}

// TestBufferThatLimitsTheRateGrows: a window a round trip of a millisecond, up to what the
// path carries.
func TestBufferThatLimitsTheRateGrows(t *testing.T) {
	var b bufferTrial
	if last, _ := b.path(0, 2*time.Second, mib, func(size int) float64 { return min(float64(size), 8*mib) * 1000 }); last != 8*mib {
		t.Errorf("it is %d, want the 8 MiB that the path carries in a round trip", last)
	}
}

// TestBufferThatIsHardlyUsedStays: what does not fill half of it in a round trip, or pauses.
func TestBufferThatIsHardlyUsedStays(t *testing.T) {
	var b bufferTrial
	if _, largest := b.path(0, time.Minute, mib, func(int) float64 { return 0.4 * mib * 1000 }); largest != mib {
		t.Errorf("it grew to %d", largest)
	}
	var pauses bufferTrial
	for i := range 100 {
		if size := pauses.moved(Time(i)*Time(3*trialTime), 256*mib, mib, 16*mib); size != mib {
			t.Fatalf("it grew to %d by data that comes in bursts", size)
		}
	}
}
