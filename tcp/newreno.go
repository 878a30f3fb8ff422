package tcp

// newReno is slow start and congestion avoidance of RFC 5681 with the recovery of
// RFC 6582: during fast recovery the window is ssthresh, and what is in the network is
// counted by the scoreboard instead of being modelled by inflating the window.
type newReno struct {
	mss, cwnd, ssthresh int
	initial             int
	acked               int // bytes acknowledged towards the next step of congestion avoidance
}

// newNewReno starts a controller with a window of that many segments; RFC 6928 bounds
// ten segments by 14,600 bytes.
func newNewReno(mss, segments int) *newReno {
	w := segments * mss
	if segments == 10 {
		w = min(w, max(2*mss, 14600))
	}
	return &newReno{mss: mss, cwnd: w, ssthresh: MaxWindow, initial: w}
}

func (r *newReno) Name() string  { return "newreno" }
func (r *newReno) Window() int   { return r.cwnd }
func (r *newReno) Ssthresh() int { return r.ssthresh }

// Acked grows the window (RFC 5681, 3.1): in slow start by what was acknowledged, so
// that a stretch ACK counts for what it covers as on Linux (RFC 3465 would stop at two
// segments); in congestion avoidance by one segment a window of data.
func (r *newReno) Acked(a Acked) {
	if !a.Limited {
		return
	}
	n := a.Bytes
	if r.cwnd < r.ssthresh {
		step := min(n, r.ssthresh-r.cwnd)
		r.cwnd += step
		n -= step
	}
	r.acked += n
	if r.acked >= r.cwnd {
		steps := r.acked / r.cwnd
		r.acked -= steps * r.cwnd
		r.cwnd += steps * r.mss
	}
	r.cwnd = min(r.cwnd, MaxWindow/2)
}

// Recovery halves what is in flight (RFC 5681, equation 4).
func (r *newReno) Recovery(_ Time, flight int) {
	r.ssthresh = max(flight/2, 2*r.mss)
	r.cwnd = r.ssthresh
	r.acked = 0
}

func (r *newReno) Recovered(Time) {}

// Timeout: one segment, the loss window; ssthresh is not lowered again for a segment
// that was retransmitted already (RFC 5681, 3.1).
func (r *newReno) Timeout(_ Time, flight int, again bool) {
	if !again {
		r.ssthresh = max(flight/2, 2*r.mss)
	}
	r.cwnd = r.mss
	r.acked = 0
}

// Idle restarts from the initial window (RFC 5681, 4.1).
func (r *newReno) Idle(Time) { r.cwnd = min(r.cwnd, r.initial) }
