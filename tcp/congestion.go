package tcp

import "time"

// Congestion decides how much of a connection may be in the network at once
// (RFC 5681 and what came after). All sizes are bytes. The TCB tells it what happened
// and asks for the window; it never sees a segment.
type Congestion interface {
	// Name is what Info calls the controller.
	Name() string
	// Window is the congestion window: never less than one MSS.
	Window() int
	// Ssthresh is the slow-start threshold; MaxWindow before the first loss.
	Ssthresh() int
	// Acked: new data was acknowledged outside of fast recovery.
	Acked(a Acked)
	// Recovery: a loss was found without a timeout, for the first time in a window of
	// data.
	Recovery(now Time, flight int)
	// Recovered: everything outstanding at the last Recovery has been acknowledged.
	Recovered(now Time)
	// Timeout: the retransmission timer expired. again says that it was for a segment
	// that had been retransmitted by the timer before.
	Timeout(now Time, flight int, again bool)
	// Idle: data is about to be sent after an idle time of more than a
	// retransmission timeout (RFC 5681, section 4.1).
	Idle(now Time)
}

// Acked is what an acknowledgment of new data tells a Congestion.
type Acked struct {
	Now Time
	// Bytes is how much data it newly acknowledged.
	Bytes int
	// RTT is a sample of the round trip, or 0.
	RTT time.Duration
	// Limited says that the congestion window held data back: only then is there
	// evidence that it may grow (RFC 7661, section 4.1).
	Limited bool
}
