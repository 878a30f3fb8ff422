package grid

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// TestOneLossIsRepairedInOneRoundTrip: in the middle of a transfer one packet is lost. It
// is sent again a round trip later, as soon as three behind it have been reported, and
// nothing else is.
func TestOneLossIsRepairedInOneRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, rtt := range []time.Duration{10 * ms, 100 * ms, 300 * ms} {
			for _, gso := range []string{"off", "64KB"} {
				for _, lost := range []int{50, 200, 401} {
					name := fmt.Sprintf("rtt %v, gso %s, packet %d", rtt, gso, lost)
					f, sent := departures(t, "rate 20mbit", fmt.Sprintf("rtt %v", rtt), "queue 4MB", "buffers 100KB", "gso "+gso,
						fmt.Sprintf("drop %d down", lost), "flow "+cc+" 1MB")
					was := sent[lost-1]
					again := slices.IndexFunc(sent[lost:], func(d departure) bool { return d.from == was.from })
					if again < 0 {
						t.Fatalf("%s: it is never sent again", name)
					}
					took := sent[lost+again].at.Sub(was.at)
					if limit := f.PathRTT.P95 + 10*ms; took > limit {
						t.Errorf("%s: sent again after %v, want %v", name, took, limit)
					}
					if f.Needed.Segments != 1 || f.Spurious.Segments != 0 || f.Timeouts != 0 {
						t.Errorf("%s: %s", name, repairs(f))
					}
				}
			}
		}
	})
}

// pattern is a classic pattern of losses.
type pattern struct {
	name  string
	drops string
	lost  int
	// within is how many round trips later than without losses all has arrived at the
	// latest. A repair takes one. A tail is probed for two round trips after the last ACK
	// (RFC 8985, section 7.2), a lone last segment when the timer would expire, as its ACK
	// may be a delayed one. What the probe shows to be lost is sent by twos for each
	// delivered (RFC 9937, PRR-SSRB): rounds of 1, 2, 4. Where an odd number of segments
	// arrives the ACK that all of this counts from is delayed by 40 ms.
	within float64
}

// TestLossesInAFlightOfTen: ten segments in one flight, and nothing behind them.
func TestLossesInAFlightOfTen(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, p := range []pattern{
			{"the first", "1", 1, 1.2},
			{"one in the middle", "5", 1, 1.2},
			{"the first four", "1..4", 4, 2.2},
			{"every other", "1 3 5 7 9", 5, 2.2},
			{"the last", "10", 1, 4.6},
			{"the last two", "9 10", 2, 4.2},
			{"the last five", "6..10", 5, 6.6},
			{"all but the first", "2..10", 9, 7.6},
			{"all but the last", "1..9", 9, 4.5},
			{"all", "1..10", 10, 6.2},
		} {
			const rtt = 100 * ms
			for _, gso := range []string{"off", "64KB"} {
				deadline := 150*ms + rtt/2 + 15*ms + time.Duration(p.within*float64(rtt))
				f := one(t, "rate 20mbit", fmt.Sprintf("rtt %v", rtt), "queue 4MB", "gso "+gso, "drop "+p.drops+" down",
					fmt.Sprintf("flow %s writing %dB every 60s", cc, 10*data), fmt.Sprintf("time %v", deadline))
				if f.Delivered != 10*data {
					t.Errorf("%s, gso %s: %d of %d bytes have arrived at %v; %s", p.name, gso, f.Delivered, 10*data, deadline, repairs(f))
				}
				if f.Timeouts != 0 || f.Spurious.Segments != 0 || f.Needed.Segments != uint64(p.lost) {
					t.Errorf("%s, gso %s: %s", p.name, gso, repairs(f))
				}
			}
		}
	})
}

// TestLossesInAFlightOfThirty: the fourth flight of thirty segments, the last of which
// carries the FIN.
func TestLossesInAFlightOfThirty(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		const chunk, before = 30 * data, 90
		run := []string{"rate 20mbit", "rtt 100ms", "queue 4MB", fmt.Sprintf("flow %s %dB writing %dB every 250ms", cc, 4*chunk, chunk)}
		clean := one(t, run...)
		if clean.Packets != 120 || clean.Needed.Segments+clean.Spurious.Segments != 0 {
			t.Fatalf("without losses: %d packets, %s", clean.Packets, repairs(clean))
		}
		for _, p := range []pattern{
			{"the first", "1", 1, 1.2},
			{"1 to 4", "1..4", 4, 2.2},
			{"1 to 4 and 11 to 16", "1..4 11..16", 10, 2.5},
			{"every third", "1 4 7 10 13 16 19 22 25 28", 10, 2.5},
			{"the last", "30", 1, 4.7},
			{"the last two", "29 30", 2, 4.3},
			{"the last ten", "21..30", 10, 7.3},
			{"all but the last", "1..29", 29, 7},
		} {
			f := one(t, append(run, "drop "+shift(p.drops, before)+" down")...)
			if extra := f.Completion - clean.Completion; extra > time.Duration(p.within*float64(100*ms)) {
				t.Errorf("%s: it takes %v longer, want at most %v round trips; %s", p.name, extra, p.within, repairs(f))
			}
			if f.Timeouts != 0 || f.Spurious.Segments != 0 || f.Needed.Segments != uint64(p.lost) {
				t.Errorf("%s: %s", p.name, repairs(f))
			}
		}
	})
}

// shift adds n to the numbers of packets.
func shift(drops string, n int) string {
	var out []string
	for _, w := range strings.Fields(drops) {
		var a, b int
		if c, _ := fmt.Sscanf(w, "%d..%d", &a, &b); c == 1 {
			b = a
		}
		out = append(out, fmt.Sprintf("%d..%d", a+n, b+n))
	}
	return strings.Join(out, " ")
}

// TestALostRetransmissionIsSentAgainWithoutATimeout: RACK finds it by what was sent after
// it (RFC 8985, section 3.3), for which the windows have room.
func TestALostRetransmissionIsSentAgainWithoutATimeout(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, rtt := range []time.Duration{10 * ms, 100 * ms} {
			run := []string{"rate 20mbit", fmt.Sprintf("rtt %v", rtt), "queue 4MB", "buffers 4MB", "flow " + cc + " 2MB"}
			const lost = 200
			_, sent := departures(t, append(run, fmt.Sprintf("drop %d down", lost))...)
			again := lost + 1 + slices.IndexFunc(sent[lost:], func(d departure) bool { return d.from == sent[lost-1].from })
			f, sent := departures(t, append(run, fmt.Sprintf("drop %d %d down", lost, again))...)
			var copies []mono.Time
			for _, d := range sent {
				if d.from == sent[lost-1].from {
					copies = append(copies, d.at)
				}
			}
			if len(copies) != 3 || f.Timeouts != 0 || f.Spurious.Segments != 0 {
				t.Errorf("rtt %v: %d copies were sent; %s", rtt, len(copies), repairs(f))
				continue
			}
			// Without reordering RACK has no reason to wait for more than the round trip.
			if took, limit := copies[2].Sub(copies[1]), f.PathRTT.P95*3/2+10*ms; took > limit {
				t.Errorf("rtt %v: the second repair comes after %v, want %v", rtt, took, limit)
			}
		}
	})
}

// TestARepairDoesNotRunIntoTheTimer: with a window of a few segments and a long round trip
// a repair ends later than the timeout that was set when its segment was sent first.
// The timer starts anew with the retransmission (RFC 6298, section 5; RFC 6582, section
// 3.2), so it does not expire.
func TestARepairDoesNotRunIntoTheTimer(t *testing.T) {
	each(t, func(t *testing.T, cc string) {
		for _, rtt := range []time.Duration{300 * ms, 600 * ms} {
			for _, buffer := range []string{"10KB", "30KB"} {
				f := one(t, "rate 20mbit", fmt.Sprintf("rtt %v", rtt), "buffers "+buffer, "drop 40 80 120 down", "flow "+cc+" 300KB")
				if f.Timeouts != 0 || f.Spurious.Segments != 0 || f.Needed.Segments != 3 {
					t.Errorf("rtt %v, buffers of %s: %s", rtt, buffer, repairs(f))
				}
			}
		}
	})
}
