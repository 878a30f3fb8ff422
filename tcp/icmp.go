package tcp

import "errors"

// What ICMP errors mean to a connection (RFC 9293, 3.9.2.2; RFC 5927; RFC 5461). The driver
// has found the connection by the addresses and ports that the error quotes, and asks
// InFlight about the sequence number (MUST-54); pmtu.go has the error that asks for
// smaller packets. Source quench does not get this far (MUST-55, RFC 6633).

// ErrTroubled is the soft error of a connection that has reached R1 (RFC 9293, 3.8.3).
var ErrTroubled = errors.New("tcp: no answer to repeated retransmissions")

// SoftError takes in an error that may pass (MUST-56): the connection goes on trying. The
// application can ask for it (SHLD-25), and hears of it should the connection time out.
func (t *TCB) SoftError(now Time, err error) {
	if t.params == nil || t.state == StateClosed {
		return
	}
	t.extras().soft = err
	t.tellError(now, err)
}

// HardError takes in an error that will not pass. Before the connection is synchronized it
// ends it (SHLD-26); later it is a soft one: the peer has answered before, and whoever is
// on the way can guess a sequence number (RFC 5927, section 5.2).
func (t *TCB) HardError(now Time, err error) {
	switch t.state {
	case StateSynSent, StateSynReceived:
		t.tellError(now, err)
		t.end(now, err, WhyUnreachable)
	default:
		t.SoftError(now, err)
	}
}

func (t *TCB) tellError(now Time, err error) {
	if t.observer != nil {
		t.observer(&Event{Time: now, Kind: EventError, Why: WhyUnreachable, From: t.state, Err: err})
	}
}

// LastSoftError is what is wrong with the path, as far as anybody said (MUST-47): the last
// error of SoftError, or ErrTroubled from R1 on (SHLD-9). An acknowledgment clears it.
func (t *TCB) LastSoftError() error {
	switch {
	case t.extra != nil && t.extra.soft != nil:
		return t.extra.soft
	case t.params != nil && t.troubled():
		return ErrTroubled
	}
	return nil
}

// Troubled reports whether R1 has been reached: the segment at SND.UNA has been sent again
// that often without an answer (RFC 9293, 3.8.3). The driver is then to advise IP.
func (t *TCB) Troubled() bool { return t.params != nil && t.troubled() }

// troubled reports whether R1 has been reached.
func (t *TCB) troubled() bool { return int(t.retransmits) >= t.r1() }

// timedOut is the error of a connection that is given up: why, if an ICMP error has said
// so, as on Linux.
func (t *TCB) timedOut() error {
	if t.extra != nil && t.extra.soft != nil {
		return t.extra.soft
	}
	return ErrTimeout
}

// acceptedAck is called for every acceptable acknowledgment: something works.
func (t *TCB) acceptedAck() {
	if t.extra != nil {
		t.extra.soft = nil
	}
}
