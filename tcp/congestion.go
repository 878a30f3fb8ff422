package tcp

import (
	"fmt"
	"time"
)

// Congestion decides how much of a connection may be in the network at once
// (RFC 5681 and what came after), and optionally how fast it leaves. All sizes are
// bytes. The TCB tells it what happened and asks for the window; it never sees a
// segment. During fast recovery proportional rate reduction (RFC 9937) sets the window,
// on the way to what the controller's Ssthresh says.
type Congestion interface {
	// Name is what Info calls the controller.
	Name() string
	// Window is the congestion window: never less than one MSS.
	Window() int
	// Ssthresh is the slow-start threshold; MaxWindow before the first loss.
	Ssthresh() int
	// PacingRate is the rate in bytes per second at which data should leave; 0: the
	// controller has no wish, and the TCB paces by window and round trip, if asked to.
	PacingRate() float64
	// Acked: new data was acknowledged outside of fast recovery.
	Acked(a Acked)
	// Recovery: congestion was found without a timeout (a loss, or ECN), for the
	// first time in a window of data. flight is what was outstanding.
	Recovery(now Time, flight int)
	// Recovered: everything outstanding at the last Recovery has been acknowledged.
	Recovered(now Time)
	// Timeout: the retransmission timer expired. again says that it was for a segment
	// that had been retransmitted by the timer before.
	Timeout(now Time, flight int, again bool)
	// Undo: the last Recovery or Timeout was for nothing; things are to be as before
	// (RFC 4015).
	Undo(now Time)
	// Idle: data is about to be sent after an idle time of more than a
	// retransmission timeout (RFC 5681, section 4.1).
	Idle(now Time)
	// Resize: segments have another size from now on. MSS and Initial of s count, as in
	// the beginning; the window and the threshold stay what they are in bytes.
	Resize(s CongestionSetup)
}

// Acked is what an acknowledgment of new data tells a Congestion.
type Acked struct {
	Now Time
	// Bytes is how much data it newly acknowledged.
	Bytes int
	// RTT is a sample of the round trip, or 0; SRTT and MinRTT are the smoothed one and
	// the least of late.
	RTT, SRTT, MinRTT time.Duration
	// Flight is what is in the network after it.
	Flight int
	// Limited says that the congestion window held data back: only then is there
	// evidence that it may grow (RFC 7661, section 4.1).
	Limited bool
	// Round says that a round trip began: data sent after the last such acknowledgment
	// has been acknowledged.
	Round bool
	// Rate is how fast data is delivered.
	Rate RateSample
}

// CongestionSetup is what a controller starts with.
type CongestionSetup struct {
	MSS     int // most data in a segment, in bytes
	Initial int // initial congestion window in bytes, also after an idle time
	// Window and Ssthresh are in bytes what a connection that changes its controller
	// has; 0 in a new one.
	Window, Ssthresh int
}

// window is the first window in bytes.
func (s *CongestionSetup) window() int {
	if s.Window > 0 {
		return min(s.Window, maxCwnd)
	}
	return min(s.Initial, maxCwnd)
}

// ssthresh is the first threshold in bytes.
func (s *CongestionSetup) ssthresh() int {
	if s.Ssthresh > 0 {
		return s.Ssthresh
	}
	return MaxWindow
}

// CongestionControl makes the controller of one connection. NewReno and CUBIC are such
// functions; another package may bring its own.
type CongestionControl func(CongestionSetup) Congestion

// CongestionByName finds a controller by the name that Info shows.
func CongestionByName(name string) (CongestionControl, error) {
	switch name {
	case "cubic":
		return CUBIC, nil
	case "newreno", "reno":
		return NewReno, nil
	}
	return nil, fmt.Errorf("tcp: no congestion control %q: there are cubic and newreno", name)
}
