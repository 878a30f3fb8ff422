package grid

import (
	"fmt"
	"testing"
	"time"
)

// TestADelaySpikeCostsNoHalving: the path stops for longer than the retransmission timeout
// and loses nothing. What was sent again for nothing is found out, and the windows are as
// before.
func TestADelaySpikeCostsNoHalving(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, spike := range []time.Duration{100 * ms, 300 * ms, 600 * ms, 1500 * ms} {
			for _, gso := range []string{"off", "64KB"} {
				const start = 5 * time.Second
				run := []string{"rate 10mbit", "rtt 40ms", "queue 4MB", "buffers 100KB", "gso " + gso, "flow " + cc,
					fmt.Sprintf("stall %v..%v down", start, start+spike)}
				before := one(t, append(run, fmt.Sprintf("time %v", start))...)
				after := one(t, append(run, fmt.Sprintf("time %v", start+spike+500*ms))...)
				name := fmt.Sprintf("%v, gso %s", spike, gso)
				if after.Cwnd < before.Cwnd || after.Ssthresh < before.Ssthresh {
					t.Errorf("%s: the window was %d with ssthresh %d, and is %d with %d; %s", name, before.Cwnd, before.Ssthresh, after.Cwnd, after.Ssthresh, repairs(after))
				}
				// 100 KB were the limit all along: nothing was learnt about more.
				if after.Cwnd > before.Cwnd+100_000/2 {
					t.Errorf("%s: the window has grown from %d to %d, though never used", name, before.Cwnd, after.Cwnd)
				}
				if spike > 400*ms && after.Undos == 0 || after.Needed.Segments != 0 || after.Spurious.Segments > after.Timeouts {
					t.Errorf("%s: %s", name, repairs(after))
				}
			}
		}
	})
}

// TestLostAcksCostLittle: a fifth of the acknowledgments is lost, and less than a tenth of
// the goodput. Acknowledgments are cumulative: nothing needs to be sent again but, when
// the very last of a flight are lost, by a probe.
func TestLostAcksCostLittle(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, rate := range []string{"10mbit", "100mbit"} {
			for _, rtt := range []string{"5ms", "20ms", "100ms"} {
				run := []string{"rate " + rate, "rtt " + rtt, "flow " + cc, "time 20s"}
				clean, lossy := one(t, run...), one(t, append(run, "ack-loss 20%")...)
				t.Logf("%s %s: %.2f to %.2f Mbit/s", rate, rtt, clean.Goodput/1e6, lossy.Goodput/1e6)
				if lossy.Goodput < 0.9*clean.Goodput {
					t.Errorf("%s, %s: %.2f Mbit/s of %.2f; %s", rate, rtt, lossy.Goodput/1e6, clean.Goodput/1e6, repairs(lossy))
				}
				if lossy.Timeouts > 0 {
					t.Errorf("%s, %s: %s", rate, rtt, repairs(lossy))
				}
			}
		}
	})
}

// TestNothingIsSentTwiceWhereNothingIsLost: on any path with room for all of it.
func TestNothingIsSentTwiceWhereNothingIsLost(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, rate := range []string{"1mbit", "10mbit", "1gbit"} {
			for _, rtt := range []string{"0.1ms", "1ms", "20ms", "100ms", "300ms"} {
				for _, gso := range []string{"off", "64KB"} {
					for _, gro := range []string{"off", "50us"} {
						for _, jitter := range []string{"0s", "3ms"} {
							f := one(t, "rate "+rate, "rtt "+rtt, "queue 64MB", "jitter "+jitter, "gso "+gso, "gro "+gro, "flow "+cc+" 3MB")
							if f.Needed.Segments+f.Spurious.Segments+f.Timeouts+f.FastRecovery > 0 || !f.Complete {
								t.Errorf("%s, %s, gso %s, gro %s, jitter %s: %s", rate, rtt, gso, gro, jitter, repairs(f))
							}
						}
					}
				}
			}
		}
	})
}
