package grid

import (
	"fmt"
	"testing"
	"time"
)

// reorderings are the shares and delays, up to a quarter of the round trip of 40 ms.
func reorderings(f func(share string, by time.Duration)) {
	for _, share := range []string{"0.1%", "0.5%", "2%", "10%", "30%"} {
		for _, by := range []time.Duration{2 * ms, 5 * ms, 10 * ms} {
			f(share, by)
		}
	}
}

// TestReorderingCostsNothingOnceKnown: packets that come late by up to a quarter of a
// round trip, rarely or often. The window of RFC 8985 starts at min_RTT/4, which the whole
// quarter just exceeds, and grows with the first D-SACK (6.2, step 4). It stays so while
// nothing is lost: the 16 recoveries after which it shrinks do not come. From then on
// nothing is sent again, and the rate is that of a path that keeps the order.
func TestReorderingCostsNothingOnceKnown(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for seed := 1; seed <= 3; seed++ {
			run := []string{"rate 20mbit", "rtt 40ms", "queue 4bdp", "flow " + cc + " writing 15mbit", "time 40s", "measure from 10s", fmt.Sprintf("seed %d", seed)}
			clean := one(t, run...)
			reorderings(func(share string, by time.Duration) {
				f := one(t, append(run, fmt.Sprintf("reorder %s by %v down", share, by))...)
				if f.Spurious.Segments+f.Needed.Segments > 0 || f.Timeouts > 0 || f.FastRecovery > 0 {
					t.Errorf("seed %d, %s late by %v: %s", seed, share, by, repairs(f))
				}
				if f.Goodput < 0.999*clean.Goodput {
					t.Errorf("seed %d, %s late by %v: %.3f Mbit/s, in order %.3f", seed, share, by, f.Goodput/1e6, clean.Goodput/1e6)
				}
			})
		}
	})
}

// TestReorderingOfASenderThatTheWindowLimits: here the receiver's buffer is the limit, and
// a late packet stops the sender until it has arrived. Meanwhile the queue drains, so what
// is sent after the stop has a round trip that is shorter by as much, and RACK takes a
// packet that was late before the stop, and is judged by what followed it, for twice as
// late: more than a quarter of a round trip, to which the window adapts by another
// quarter (RFC 8985, 6.2, steps 2 and 4) when such a pair first comes. It happens once in
// a while, is undone, and costs no rate.
func TestReorderingOfASenderThatTheWindowLimits(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		run := []string{"rate 20mbit", "rtt 40ms", "queue 4bdp", "buffers 200KB", "flow " + cc, "time 30s", "measure from 10s"}
		clean := one(t, run...)
		reorderings(func(share string, by time.Duration) {
			f := one(t, append(run, fmt.Sprintf("reorder %s by %v down", share, by))...)
			adapts := uint64(0)
			if 2*by > 40*ms/4 {
				adapts = 1
			}
			if f.Spurious.Segments > adapts || f.FastRecovery != f.Undos || f.Timeouts > 0 {
				t.Errorf("%s late by %v: %s", share, by, repairs(f))
			}
			if f.Goodput < 0.99*clean.Goodput {
				t.Errorf("%s late by %v: %.2f Mbit/s, in order %.2f", share, by, f.Goodput/1e6, clean.Goodput/1e6)
			}
		})
	})
}
