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

// bounds are the factors of the response within which the rate is to be. The response
// functions hold for small p. At 10 % the window is four segments: a retransmission is
// lost in every tenth repair, and a whole window too often for there to be no timeouts.
func (c cell) bounds() (low, high float64) {
	switch {
	case c.loss == 0:
		return 0.95, 1.01 // what waited behind a hole when the measurement began counts too
	}
	// They leave out that each repair takes a round trip in which the window does not
	// grow, one beside the w/2 in which it does.
	w := mathis(c.loss)
	repair := w / (w + 2)
	switch {
	case c.loss < 0.02:
		return 0.8 * repair, 1.25
	case c.loss < 0.05:
		return 0.7 * repair, 1.25
	}
	return 0.35 * repair, 1.25
}

// packetBudget is how many packets a cell with loss is to send: enough for chance to come
// out even.
const packetBudget = 120_000

// run plays the cell and returns its only flow.
func (c cell) run(t *testing.T) *sim.FlowReport {
	t.Helper()
	length := max(5*time.Second, 100*c.rtt)
	from := length / 3
	if c.loss > 0 {
		span := packetBudget * packet * 8 / c.response()
		length = time.Duration(min(max(span, 5, 60*c.rtt.Seconds()), 4000) * float64(time.Second))
		from = length / 10
	}
	return one(t, fmt.Sprintf("rate %dbit", int64(c.rate)), fmt.Sprintf("rtt %v", c.rtt), "queue 1bdp", fmt.Sprintf("loss %v down", c.loss),
		"buffers 64MiB", "flow "+c.cc, fmt.Sprintf("time %v", length), fmt.Sprintf("measure from %v", from))
}

// TestRatesMeetTheory: over the whole grid the rate is within the stated factors of what
// the response functions promise, and of the link's where nothing is lost and the queue
// holds a bandwidth-delay product.
func TestRatesMeetTheory(t *testing.T) {
	withoutRaceDetector(t)
	for _, cc := range controllers {
		for _, rate := range rates {
			for _, rtt := range roundTrips {
				for _, loss := range losses {
					c := cell{loss, rtt, rate, cc}
					t.Run(c.String(), func(t *testing.T) {
						t.Parallel()
						f := c.run(t)
						got, want := f.Goodput*packet/data, c.response()
						low, high := c.bounds()
						t.Logf("%s of %s, a factor of %.2f", sim.FormatRate(got), sim.FormatRate(want), got/want)
						if got < low*want || got > high*want {
							t.Errorf("%s on the wire: want %v to %v times %s; %s", sim.FormatRate(got), low, high, sim.FormatRate(want), repairs(f))
						}
						if c.loss == 0 && f.Spurious.Segments > 0 {
							t.Errorf("nothing is lost or late but by the queue, and yet: %s", repairs(f))
						}
					})
				}
			}
		}
	}
}
