package grid

import (
	"fmt"
	"testing"

	"github.com/a644562b/portico/internal/sim"
)

// TestEqualFlowsShareFairly: flows alike that start one after the other come to equal
// shares: Jain's index is at least 0.95 from the second half minute on, and together they
// fill the link.
func TestEqualFlowsShareFairly(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, n := range []int{2, 4, 8} {
			for _, rtt := range []string{"5ms", "20ms", "100ms"} {
				rep := simulate(t, sim.Options{NoVerify: true}, "rate 20mbit", "rtt "+rtt, "queue 1bdp", "jitter 0.5ms",
					fmt.Sprintf("flow %dx %s every 300ms", n, cc), "time 150s", "measure from 30s")
				t.Logf("%d flows, %s: Jain %.3f, %s", n, rtt, rep.Total.Jain, sim.FormatRate(rep.Total.Goodput))
				if rep.Total.Jain < 0.95 || rep.Total.Goodput < 0.95*20e6*data/packet {
					t.Errorf("%d flows over %s: Jain's index %.3f, %s together", n, rtt, rep.Total.Jain, sim.FormatRate(rep.Total.Goodput))
				}
			}
		}
	})
}
