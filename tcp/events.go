package tcp

import (
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// Time is an instant in nanoseconds since the epoch of whoever drives the TCB.
type Time = mono.Time

// Never is the deadline of a TCB that waits for nothing.
const Never = mono.Never

// EventKind says what an Event reports.
type EventKind uint8

const (
	// EventState: the connection moved From one state To another.
	EventState EventKind = iota + 1
	// EventSegmentIn: Segment arrived; From is the state that it met. Reported before
	// anything it causes.
	EventSegmentIn
	// EventSegmentOut: Segment was handed to the driver. Why is WhyNone, or why it
	// is a retransmission, a probe or an answer out of the ordinary.
	EventSegmentOut
	// EventDrop: the segment last reported by EventSegmentIn was not accepted; Why
	// says why.
	EventDrop
	// EventRTT: a round trip was measured: RTT, and the SRTT and RTO it led to.
	EventRTT
	// EventCwnd: Cwnd or Ssthresh changed; Why says what changed it.
	EventCwnd
	// EventUrgent: the peer has urgent data, and there was none before or there is more
	// of it now; Urgent says how far the reader is from its end (RFC 9293, 3.8.5,
	// MUST-32).
	EventUrgent
	// EventMSS: our segments have another size now, MSS; Why says what changed it.
	EventMSS
	// EventError: an ICMP error about a segment in flight: Err.
	EventError
)

// Why is the reason behind an event.
type Why uint8

const (
	WhyNone Why = iota

	// Segments sent again, or sent for a reason of their own.
	WhyRTO            // the retransmission timer expired (RFC 6298)
	WhyFastRetransmit // three duplicate ACKs or the like by SACK (RFC 5681, 6675)
	WhyPartialAck     // a partial ACK showed the next hole (RFC 6582)
	WhyProbe          // a zero-window probe (RFC 9293, 3.8.6.1)
	WhyKeepAlive      // a keep-alive probe (RFC 9293, 3.8.4)
	WhyChallenge      // a challenge ACK (RFC 5961)
	WhyRefused        // the reset that answers what fits no connection (RFC 9293, 3.10.7.1)
	WhyAborted        // the reset of an ABORT call, or of a CLOSE with data unread
	WhyWindowUpdate   // the reader made room
	WhyWindowOpened   // sent beyond a closed window, again now that it is open
	WhyPeerRepeats    // the SYN,ACK again, because the peer repeats its SYN
	WhyRACK           // what was sent later has arrived (RFC 8985)
	WhyTLP            // a tail loss probe (RFC 8985, section 7)
	WhyRescue         // the rescue retransmission of a recovery (RFC 6675, section 4)
	WhyFastOpen       // data of a SYN that the SYN,ACK did not take (RFC 7413)
	WhyTooBig         // it was too big for the path (RFC 1191, RFC 8201)
	WhyMTUProbe       // larger than usual, to try out the path (RFC 4821)

	// Segments dropped on arrival.
	WhyOutOfWindow    // outside the receive window
	WhyPAWS           // an old timestamp (RFC 7323, section 5)
	WhyBadAck         // acknowledges what was never sent, or what is too old (RFC 5961)
	WhyNoAck          // no ACK bit where every segment has one
	WhyBadReset       // a reset that is not at RCV.NXT, or acknowledges wrongly
	WhyUnexpectedSYN  // a SYN on a synchronized connection
	WhyNotForState    // this state does not take it
	WhyNoMemory       // out-of-order data beyond the limit of pieces
	WhyAcceptQueue    // completes a handshake, and the queue of connections to accept is full
	WhyDataAfterClose // data for an application that has closed

	// Changes of state that no segment or call explains by itself.
	WhyTimeout       // R2 or the user timeout passed (RFC 9293, 3.8.3)
	WhyKeepAliveDead // no answer to the keep-alive probes
	WhyTimeWaitOver  // 2·MSL passed
	WhyTimeWaitFull  // there were too many in TIME-WAIT
	WhyFinWait2Over  // the peer of a closed socket never sent its FIN
	WhyLingerOver    // the time of SetLinger passed
	WhyReset         // the peer reset the connection
	WhyUnreachable   // an ICMP error says that the peer cannot be reached (RFC 9293, 3.9.2.2)
	WhyCookie        // an ACK brought back a SYN cookie (RFC 4987)
	WhyPeerReopens   // a new SYN ended TIME-WAIT (RFC 6191)

	// Congestion window.
	WhySlowStart
	WhyCongestionAvoidance
	WhyRecovery      // entered fast recovery
	WhyRecoveryOver  // left it
	WhyIdle          // restart after idle (RFC 5681, 4.1)
	WhyECN           // the path reports congestion (RFC 3168)
	WhySpuriousDSACK // undone: all that was sent again was reported as a duplicate
	WhySpuriousEcho  // undone: the echoed timestamp is of the first copy (RFC 3522)
	WhySpuriousFRTO  // undone: F-RTO found the timeout spurious (RFC 5682)

	// Size of segments; besides WhyTooBig and WhyMTUProbe.
	WhyBlackHole // large packets seem to vanish (RFC 4821, section 7.7)
	WhyPathAged  // what was known of the path has become old
)

var whyNames = [...]string{
	WhyNone:                "",
	WhyRTO:                 "retransmission timeout",
	WhyFastRetransmit:      "fast retransmit",
	WhyPartialAck:          "partial ACK",
	WhyProbe:               "zero-window probe",
	WhyKeepAlive:           "keep-alive probe",
	WhyChallenge:           "challenge ACK",
	WhyRefused:             "no such connection",
	WhyAborted:             "aborted",
	WhyWindowUpdate:        "window update",
	WhyWindowOpened:        "window opened again",
	WhyPeerRepeats:         "peer repeats its SYN",
	WhyRACK:                "later data arrived (RACK)",
	WhyTLP:                 "tail loss probe",
	WhyRescue:              "rescue retransmission",
	WhyFastOpen:            "data of the SYN not taken",
	WhyTooBig:              "too big for the path",
	WhyMTUProbe:            "probe of the path MTU",
	WhyBlackHole:           "large packets seem to vanish",
	WhyPathAged:            "path MTU aged",
	WhyOutOfWindow:         "outside the window",
	WhyPAWS:                "old timestamp",
	WhyBadAck:              "unacceptable ACK",
	WhyNoAck:               "no ACK bit",
	WhyBadReset:            "unacceptable RST",
	WhyUnexpectedSYN:       "unexpected SYN",
	WhyNotForState:         "not for this state",
	WhyNoMemory:            "too many pieces out of order",
	WhyAcceptQueue:         "accept queue full",
	WhyDataAfterClose:      "data after close",
	WhyTimeout:             "timed out",
	WhyKeepAliveDead:       "keep-alive unanswered",
	WhyTimeWaitOver:        "2·MSL over",
	WhyTimeWaitFull:        "too many in TIME-WAIT",
	WhyFinWait2Over:        "FIN-WAIT-2 timeout",
	WhyLingerOver:          "linger time over",
	WhyReset:               "reset by peer",
	WhyUnreachable:         "peer unreachable",
	WhyCookie:              "SYN cookie came back",
	WhyPeerReopens:         "peer opens anew",
	WhySlowStart:           "slow start",
	WhyCongestionAvoidance: "congestion avoidance",
	WhyRecovery:            "fast recovery",
	WhyRecoveryOver:        "recovery over",
	WhyIdle:                "restart after idle",
	WhyECN:                 "congestion reported by the path",
	WhySpuriousDSACK:       "undone: both copies arrived",
	WhySpuriousEcho:        "undone: the first copy was acknowledged",
	WhySpuriousFRTO:        "undone: the timeout was spurious",
}

// String is a short phrase; empty for WhyNone.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return "unknown reason"
}

// Event is one thing that happened to a connection. Which fields have a meaning
// depends on Kind. Events are values: an Observer may keep them.
type Event struct {
	Time Time
	Kind EventKind
	Why  Why
	// From and To are set on EventState; From alone on the segment events: the
	// state in which the segment was received or sent.
	From, To State
	// Segment is set on the segment events, with Payload and Block nil: DataLen
	// has the length.
	Segment SegmentInfo
	// RTT, SRTT and RTO are set on EventRTT.
	RTT, SRTT, RTO time.Duration
	// Cwnd, Ssthresh and Flight, in bytes, are set on EventCwnd. Ssthresh is
	// MaxWindow while slow start has not met its first loss.
	Cwnd, Ssthresh, Flight int
	// Urgent, in bytes, is set on EventUrgent.
	Urgent int
	// MSS, in bytes and options included, is set on EventMSS.
	MSS int
	// Err is set on EventError.
	Err error
}

// SegmentInfo is what an observer sees of a segment: its header, the length of its
// data, and the window with the scale applied.
type SegmentInfo struct {
	SrcPort, DstPort uint16
	Seq, Ack         Seq
	Flags            Flags
	// Window is in bytes, scaled (in a SYN it never is).
	Window  int
	Urgent  uint16
	DataLen int
	// GSOSize is the data in bytes of each packet that a super-segment is cut
	// into; 0 for an ordinary segment.
	GSOSize int
	// Again: it was sent before, wholly or in part, as Segment.Again has it. Of those that
	// arrive it says nothing.
	Again   bool
	Options Options
}

// Len is SEG.LEN: the data and one each for SYN and FIN.
func (s *SegmentInfo) Len() int {
	n := s.DataLen
	if s.Flags.Has(SYN) {
		n++
	}
	if s.Flags.Has(FIN) {
		n++
	}
	return n
}

// Observer is told what happens to one connection, in order, from within the call
// that made it happen, with the connection's lock held by whoever holds one:
// it must be quick and must not call back into the connection. A nil Observer costs
// a comparison.
type Observer func(*Event)
