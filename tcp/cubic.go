package tcp

import (
	"math"
	"time"
)

// cubic is CUBIC, RFC 9438: after a reduction the window grows as a cubic function of
// the time since, so that it comes back fast, stays long near where the loss was, and
// then probes; where that would be slower than NewReno it grows as NewReno would.
// Windows are computed in segments as in the RFC, in floating point, which neither
// overflows nor loses what counts.
type cubic struct {
	mss     int32
	initial int32
	hystart hystart
	cubicWindow
	before *cubicWindow // what Undo goes back to; nil before the first reduction
}

// cubicWindow is the part of the state that a reduction changes.
type cubicWindow struct {
	cwnd      float64 // in segments
	ssthresh  float64
	wMax      float64 // W_max: where the last reduction began
	wEst      float64 // W_est: what NewReno would have by now
	cwndPrior float64 // cwnd_prior: where the last reduction began, for alpha
	k         float64 // K: seconds from the epoch to W_max
	epoch     Time    // when congestion avoidance began, 0: not yet
	lastAck   Time
}

// The constants of RFC 9438, section 4.
const (
	cubicC     = 0.4
	cubicBeta  = 0.7
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// CUBIC makes the controller of RFC 9438, with HyStart++ (RFC 9406) in slow start: the
// default, as on Linux.
func CUBIC(s CongestionSetup) Congestion {
	c := &cubic{mss: int32(s.MSS), initial: int32(s.Initial)}
	c.cwnd, c.ssthresh = float64(s.window())/float64(s.MSS), math.Inf(1)
	c.cwnd = min(c.cwnd, c.limit())
	if s.ssthresh() < MaxWindow {
		c.ssthresh = float64(s.ssthresh()) / float64(s.MSS)
	}
	c.hystart.init()
	return c
}

func (c *cubic) Name() string        { return "cubic" }
func (c *cubic) PacingRate() float64 { return 0 }

func (c *cubic) Window() int { return max(int(c.mss), int(c.cwnd*float64(c.mss))) }

func (c *cubic) Ssthresh() int {
	if math.IsInf(c.ssthresh, 1) {
		return MaxWindow
	}
	return int(min(c.ssthresh*float64(c.mss), maxCwnd))
}

// limit is the largest window in segments.
func (c *cubic) limit() float64 { return maxCwnd / float64(c.mss) }

// Acked grows the window.
func (c *cubic) Acked(a Acked) {
	segs := float64(a.Bytes) / float64(c.mss)
	if c.cwnd < c.ssthresh {
		exit := c.hystart.acked(a)
		if a.Limited {
			c.cwnd = min(c.cwnd+c.hystart.growth(segs), max(c.ssthresh, c.cwnd))
		}
		if exit {
			c.ssthresh = c.cwnd
		}
		c.cwnd = min(c.cwnd, c.limit())
		return
	}
	if !a.Limited {
		// The time in which the window is not used does not count (section 5.8).
		if c.epoch != 0 && c.lastAck != 0 {
			c.epoch += a.Now - c.lastAck
		}
		c.lastAck = a.Now
		return
	}
	c.avoid(a, segs)
	c.lastAck = a.Now
	c.cwnd = min(c.cwnd, c.limit())
}

// avoid is congestion avoidance (section 4.2 to 4.5) for segs acknowledged segments.
func (c *cubic) avoid(a Acked, segs float64) {
	if c.epoch == 0 {
		c.epoch = a.Now
		c.wEst = c.cwnd
		if c.wMax <= c.cwnd {
			c.wMax, c.k = c.cwnd, 0
		} else {
			c.k = math.Cbrt((c.wMax - c.cwnd) / cubicC) // cwnd_epoch is cwnd
		}
	}
	// The Reno-friendly region (section 4.3).
	alpha := cubicAlpha
	if c.wEst >= c.cwndPrior {
		alpha = 1
	}
	c.wEst += alpha * segs / c.cwnd
	t := a.Now.Sub(c.epoch).Seconds()
	if c.at(t) < c.wEst {
		c.cwnd = max(c.cwnd, c.wEst)
		return
	}
	// The concave and the convex region (sections 4.4 and 4.5).
	target := min(max(c.at(t+rttOf(a).Seconds()), c.cwnd), 1.5*c.cwnd)
	c.cwnd += (target - c.cwnd) / c.cwnd * segs
}

// rttOf is the round trip that an acknowledgment is of, as best we know.
func rttOf(a Acked) time.Duration {
	if a.SRTT > 0 {
		return a.SRTT
	}
	return a.RTT
}

// at is W_cubic, t seconds after the epoch (figure 1).
func (c *cubic) at(t float64) float64 {
	d := t - c.k
	return cubicC*d*d*d + c.wMax
}

// Recovery reduces the window (section 4.6), with fast convergence (section 4.7).
func (c *cubic) Recovery(Time, int) {
	c.reduce()
	c.cwnd = c.ssthresh
}

// reduce sets ssthresh and W_max. It starts from the window and not from what is in flight
// as section 4.6 allows where the window does not grow unused: a loss among the last
// segments of a burst does not cost the window of the next.
func (c *cubic) reduce() {
	if c.before == nil {
		c.before = new(cubicWindow)
	}
	*c.before = c.cubicWindow
	c.hystart.stop()
	c.cwndPrior = c.cwnd
	if c.cwnd < c.wMax {
		c.wMax = c.cwnd * (1 + cubicBeta) / 2
	} else {
		c.wMax = c.cwnd
	}
	c.ssthresh = max(c.cwnd*cubicBeta, 2)
	c.epoch, c.lastAck = 0, 0
}

// Recovered leaves the window where Recovery put it.
func (c *cubic) Recovered(Time) {}

// Timeout (section 4.8).
func (c *cubic) Timeout(_ Time, _ int, again bool) {
	if !again {
		c.reduce()
	}
	c.cwnd, c.wMax = 1, 0 // K is 0 and W_max the window where slow start ends
	c.epoch, c.lastAck = 0, 0
}

// Undo (section 4.9).
func (c *cubic) Undo(Time) {
	if c.before == nil {
		return
	}
	now := c.cubicWindow
	c.cubicWindow = *c.before
	c.cwnd = max(c.cwnd, now.cwnd)
	c.ssthresh = max(c.ssthresh, now.ssthresh)
}

// Idle restarts from the initial window (RFC 5681, 4.1), and cubic growth anew
// (section 5.8).
func (c *cubic) Idle(Time) {
	c.cwnd = min(c.cwnd, float64(c.initial)/float64(c.mss))
	c.epoch, c.lastAck = 0, 0
}

// Resize counts the windows in segments of the new size. The cubic function, which knows
// no other unit, starts anew.
func (c *cubic) Resize(s CongestionSetup) {
	scale := float64(c.mss) / float64(s.MSS)
	c.mss, c.initial = int32(s.MSS), int32(s.Initial)
	c.cubicWindow.resize(scale)
	if c.before != nil {
		c.before.resize(scale)
	}
	c.cwnd = max(c.cwnd, 1)
}

func (w *cubicWindow) resize(scale float64) {
	w.cwnd *= scale
	w.ssthresh *= scale
	w.wMax *= scale
	w.cwndPrior *= scale
	w.epoch, w.lastAck = 0, 0
}
