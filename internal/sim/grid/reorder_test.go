package grid

import (
	"fmt"
	"testing"
	"time"
)

// TestReorderingCostsNothingOnceKnown: packets that come late by up to a quarter of a
// round trip, rarely or often: after ten seconds nothing is retransmitted any more, and
// the rate is that of a path that keeps the order.
func TestReorderingCostsNothingOnceKnown(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		run := []string{"rate 20mbit", "rtt 40ms", "queue 4bdp", "buffers 200KB", "flow " + cc, "time 30s", "measure from 10s"}
		clean := one(t, run...)
		for _, share := range []string{"0.1%", "0.5%", "2%", "10%", "30%"} {
			for _, by := range []time.Duration{2 * ms, 5 * ms, 10 * ms} {
				f := one(t, append(run, fmt.Sprintf("reorder %s by %v down", share, by))...)
				t.Logf("%s by %v: %s", share, by, repairs(f))
				// At the whole quarter the first window, min_RTT/4, just does: what exceeds it
				// once, whenever that is, makes it adapt (RFC 8985, 6.2, step 4), and no more.
				adapts := uint64(0)
				if 4*by >= 40*ms {
					adapts = 1
				}
				if uint64(f.Spurious.Segments) > adapts || f.Timeouts > 0 {
					t.Errorf("%s late by %v: %s", share, by, repairs(f))
				}
				if f.Goodput < 0.99*clean.Goodput {
					t.Errorf("%s late by %v: %.2f Mbit/s, in order %.2f", share, by, f.Goodput/1e6, clean.Goodput/1e6)
				}
			}
		}
	})
}
