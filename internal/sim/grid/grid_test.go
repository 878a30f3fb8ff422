package grid

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/sim"
)

// The grid: loss, round trip and rate, for each controller.
var (
	losses     = []float64{0, 0.001, 0.01, 0.03, 0.10}
	roundTrips = []time.Duration{1 * ms, 20 * ms, 100 * ms, 300 * ms}
	rates      = []float64{10e6, 1e9}
)

// cell is one point of the grid.
type cell struct {
	loss float64
	rtt  time.Duration
	rate float64
	cc   string
}

func (c cell) String() string {
	return fmt.Sprintf("%s, %s, %s, loss %s", c.cc, sim.FormatRate(c.rate), sim.FormatTime(c.rtt), sim.FormatShare(c.loss))
}

// mathis is the window in segments that loss by chance leaves to the AIMD of RFC 5681
// with every byte acknowledged counted: sqrt(3/2p) (Mathis et al., "The macroscopic
// behavior of the TCP congestion avoidance algorithm").
func mathis(p float64) float64 { return math.Sqrt(1.5 / p) }

// cubic is what it leaves to CUBIC: the larger of the windows of its two regions (RFC
// 9438, section 5; C is 0.4 and beta 0.7). The Reno-friendly one is that of mathis.
func cubic(p float64, rtt time.Duration) float64 {
	return max(mathis(p), math.Pow(0.4*(3+0.7)/(4*(1-0.7)), 0.25)*math.Pow(rtt.Seconds()/p, 0.75))
}

// response is the rate of packets in bits a second by the response function, at most that
// of the link.
func (c cell) response() float64 {
	if c.loss == 0 {
		return c.rate
	}
	w := mathis(c.loss)
	if c.cc == "cubic" {
		w = cubic(c.loss, c.rtt)
	}
	return min(c.rate, w*packet*8/c.rtt.Seconds())
}

// The response functions hold for losses so rare that windows are large: they leave out the
// round trip of each repair, in which the window does not grow, that windows hold whole
// segments, and timeouts. Up to 1 % they are held within these factors. What every cell is
// to reach comes from reference, which leaves nothing of that out.
const (
	responseLow, responseHigh   = 0.75, 1.25
	referenceLow, referenceHigh = 0.9, 1.1
)

// packetBudget is how many packets a cell with loss is to send: enough for chance to come
// out even.
const packetBudget = 120_000

// run plays the cell and returns its only flow. expected is its rate as far as known.
func (c cell) run(t *testing.T, expected float64) *sim.FlowReport {
	t.Helper()
	length := max(5*time.Second, 100*c.rtt)
	if c.rate < 100e6 {
		// What arrived before and is in order only after the measurement has begun, a window
		// at most, counts: it must be less than a hundredth. (At the high rate that would be
		// too many packets to simulate.)
		length = max(length, 400*c.rtt)
	}
	from := length / 3
	if c.loss > 0 {
		span := packetBudget * packet * 8 / expected
		length = time.Duration(min(max(span, 5, 60*c.rtt.Seconds()), 4000) * float64(time.Second))
		from = length / 10
	}
	return one(t, fmt.Sprintf("rate %dbit", int64(c.rate)), fmt.Sprintf("rtt %v", c.rtt), "queue 1bdp", fmt.Sprintf("loss %v down", c.loss),
		"buffers 64MiB", "flow "+c.cc, fmt.Sprintf("time %v", length), fmt.Sprintf("measure from %v", from))
}

// TestRatesMeetTheory: over the whole grid the rate is what reference makes of the rules of
// the RFCs, within a tenth; where losses are rare it is also what the response functions
// promise, and where nothing is lost and the queue holds a bandwidth-delay product it is
// the link's.
func TestRatesMeetTheory(t *testing.T) {
	withoutRaceDetector(t)
	for _, cc := range controllers {
		for _, rate := range rates {
			for _, rtt := range roundTrips {
				for _, loss := range losses {
					c := cell{loss, rtt, rate, cc}
					t.Run(c.String(), func(t *testing.T) {
						t.Parallel()
						if c.loss == 0 {
							c.fillsTheLink(t)
							return
						}
						want := referenceRate(c, packetBudget) * packet * 8
						f := c.run(t, want)
						got, response := f.Goodput*packet/data, c.response()
						t.Logf("%s: %.2f of the reference, %.2f of the response function", sim.FormatRate(got), got/want, got/response)
						if got < referenceLow*want || got > referenceHigh*want {
							t.Errorf("%s on the wire: want %v to %v times %s; %s", sim.FormatRate(got), referenceLow, referenceHigh, sim.FormatRate(want), repairs(f))
						}
						if c.loss <= 0.01 && (got < responseLow*response || got > responseHigh*response) {
							t.Errorf("%s on the wire: want %v to %v times %s by the response function", sim.FormatRate(got), responseLow, responseHigh, sim.FormatRate(response))
						}
						if f.Spurious.Segments > 0 {
							t.Errorf("nothing is late, and yet: %s", repairs(f))
						}
					})
				}
			}
		}
	}
}

// fillsTheLink is the cell without loss.
func (c cell) fillsTheLink(t *testing.T) {
	t.Helper()
	f := c.run(t, c.rate)
	got := f.Goodput * packet / data
	t.Logf("%s of %s", sim.FormatRate(got), sim.FormatRate(c.rate))
	if got < 0.95*c.rate || got > 1.01*c.rate { // what waited behind a hole when the measurement began counts too
		t.Errorf("%s on the wire: want 0.95 to 1.01 times %s; %s", sim.FormatRate(got), sim.FormatRate(c.rate), repairs(f))
	}
	if f.Spurious.Segments > 0 {
		t.Errorf("nothing is lost or late but by the queue, and yet: %s", repairs(f))
	}
}
