package tcp

// newReno is slow start and congestion avoidance of RFC 5681.
type newReno struct {
	mss     int
	initial int
	renoWindow
	before renoWindow // what Undo goes back to
}

// renoWindow is the part of the state that a reduction changes.
type renoWindow struct {
	cwnd, ssthresh int
	acked          int // bytes acknowledged towards the next step of congestion avoidance
}

// NewReno makes the classic controller (RFC 5681, 6582). Its window halves at a loss
// and grows by a segment a round trip.
func NewReno(s CongestionSetup) Congestion {
	r := &newReno{mss: s.MSS, initial: s.Initial}
	r.cwnd, r.ssthresh = s.window(), s.ssthresh()
	return r
}

func (r *newReno) Name() string        { return "newreno" }
func (r *newReno) Window() int         { return r.cwnd }
func (r *newReno) Ssthresh() int       { return r.ssthresh }
func (r *newReno) PacingRate() float64 { return 0 }

// maxCwnd keeps sums of windows far from overflow.
const maxCwnd = MaxWindow / 2

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
	r.cwnd = min(r.cwnd, maxCwnd)
}

// Recovery halves what is in flight (RFC 5681, equation 4).
func (r *newReno) Recovery(_ Time, flight int) {
	r.before = r.renoWindow
	r.ssthresh = max(flight/2, 2*r.mss)
	r.cwnd, r.acked = r.ssthresh, 0
}

// Recovered leaves the window where Recovery put it.
func (r *newReno) Recovered(Time) {}

// Timeout: one segment, the loss window; ssthresh is not lowered again for a segment
// that was retransmitted already (RFC 5681, 3.1).
func (r *newReno) Timeout(_ Time, flight int, again bool) {
	if !again {
		r.before = r.renoWindow
		r.ssthresh = max(flight/2, 2*r.mss)
	}
	r.cwnd, r.acked = r.mss, 0
}

// Undo goes back to before the last reduction, but never below what there is now.
func (r *newReno) Undo(Time) {
	r.cwnd = max(r.cwnd, r.before.cwnd)
	r.ssthresh = max(r.ssthresh, r.before.ssthresh)
	r.acked = r.before.acked
}

// Idle restarts from the initial window (RFC 5681, 4.1).
func (r *newReno) Idle(Time) { r.cwnd = min(r.cwnd, r.initial) }

// Resize changes what a segment is.
func (r *newReno) Resize(s CongestionSetup) {
	r.mss, r.initial = s.MSS, s.Initial
	r.cwnd = max(r.cwnd, s.MSS)
}
