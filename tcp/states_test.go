package tcp_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/a644562b/portico/tcp"
)

// legalMoves is figure 5 of RFC 9293 (3.3.2) with its footnotes; every state may
// also fall to CLOSED by a reset, a timeout or an ABORT.
var legalMoves = map[tcp.State][]tcp.State{
	tcp.StateClosed:      {tcp.StateListen, tcp.StateSynSent},
	tcp.StateListen:      {tcp.StateSynReceived, tcp.StateSynSent},
	tcp.StateSynSent:     {tcp.StateSynReceived, tcp.StateEstablished},
	tcp.StateSynReceived: {tcp.StateListen, tcp.StateEstablished, tcp.StateFinWait1, tcp.StateCloseWait},
	tcp.StateEstablished: {tcp.StateFinWait1, tcp.StateCloseWait},
	tcp.StateFinWait1:    {tcp.StateFinWait2, tcp.StateClosing, tcp.StateTimeWait},
	tcp.StateFinWait2:    {tcp.StateTimeWait},
	tcp.StateCloseWait:   {tcp.StateLastAck},
	tcp.StateClosing:     {tcp.StateTimeWait},
	tcp.StateLastAck:     {},
	tcp.StateTimeWait:    {},
}

// legalMove reports whether figure 5 has this arrow.
func legalMove(from, to tcp.State) bool {
	return to == tcp.StateClosed || slices.Contains(legalMoves[from], to)
}

// checkStates runs at the end of every dialogue: the states that the observer was
// told of make an unbroken path through figure 5 and end where the TCB is.
func (d *dialogue) checkStates() {
	at := tcp.StateClosed
	for _, e := range d.events {
		if e.Kind != tcp.EventState {
			continue
		}
		if e.From != at || !legalMove(e.From, e.To) {
			d.Errorf("the observer was told %v to %v after %v (RFC 9293, figure 5)", e.From, e.To, at)
		}
		at = e.To
	}
	if at != d.tcb.State() {
		d.Errorf("the observer was last told of %v, the state is %v", at, d.tcb.State())
	}
}

// In every fixture una, nxt and rcv have these values. Edge is RCV.NXT + RCV.WND.
var fixtureNumbers = map[tcp.State]map[string]int{
	tcp.StateClosed:      {"una": 0, "nxt": 0, "rcv": 0, "edge": 65535},
	tcp.StateListen:      {"una": 0, "nxt": 0, "rcv": 0},
	tcp.StateSynSent:     {"una": 0, "nxt": 1, "rcv": 0},
	tcp.StateSynReceived: {"una": 0, "nxt": 1, "rcv": 1},
	tcp.StateEstablished: {"una": 1, "nxt": 1, "rcv": 1},
	tcp.StateFinWait1:    {"una": 1, "nxt": 2, "rcv": 1},
	tcp.StateFinWait2:    {"una": 2, "nxt": 2, "rcv": 1},
	tcp.StateCloseWait:   {"una": 1, "nxt": 1, "rcv": 2},
	tcp.StateClosing:     {"una": 1, "nxt": 2, "rcv": 2},
	tcp.StateLastAck:     {"una": 1, "nxt": 2, "rcv": 2},
	tcp.StateTimeWait:    {"una": 2, "nxt": 2, "rcv": 2},
}

// inState opens a TCB and brings it to a state by segments and calls only; up to
// ESTABLISHED as the side that called.
func inState(t testing.TB, want tcp.State, opts ...option) *dialogue {
	t.Helper()
	d := newDialogue(t, opts...)
	switch want {
	case tcp.StateClosed:
	case tcp.StateListen:
		d.listenUp()
	case tcp.StateSynSent:
		d.openActive()
	case tcp.StateSynReceived:
		d.openActive()
		d.send("S 0")
		d.expect("S. 0 ack 1")
	case tcp.StateEstablished:
		d.establish()
	default:
		d.establish()
		d.closeDown(want)
	}
	return d.settle(want)
}

// passively is inState for the side that was called: LISTEN, then a SYN.
func passively(t testing.TB, want tcp.State, opts ...option) *dialogue {
	t.Helper()
	d := newDialogue(t, opts...)
	d.listenUp()
	d.send("S 0")
	d.expect("S. 0 ack 1")
	if want != tcp.StateSynReceived {
		d.wait(rtt)
		d.send(". 1 ack 1")
		d.expectNothing()
	}
	if want != tcp.StateSynReceived && want != tcp.StateEstablished {
		d.closeDown(want)
	}
	return d.settle(want)
}

func established(t testing.TB, opts ...option) *dialogue {
	t.Helper()
	return inState(t, tcp.StateEstablished, opts...)
}

func (d *dialogue) settle(want tcp.State) *dialogue {
	d.Helper()
	d.expectState(want)
	d.names = maps.Clone(fixtureNumbers[want])
	d.names["edge"] = d.names["rcv"] + d.info().RcvWnd
	d.mark = d.now
	return d
}

func (d *dialogue) listenUp() {
	d.Helper()
	d.call("passive OPEN", func() { d.tcb.OpenPassive(d.now, d.setup) })
	d.expectNothing()
}

func (d *dialogue) openActive() {
	d.Helper()
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	d.expect("S 0")
}

func (d *dialogue) establish() {
	d.Helper()
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1")
	d.expect(". 1 ack 1")
}

// peerFIN is the peer's FIN and its acknowledgment, which may be a delayed one.
func (d *dialogue) peerFIN(fin, ack string) {
	d.Helper()
	d.send(fin)
	d.expectLate(ack)
}

// closeDown takes an established connection to one of the closing states.
func (d *dialogue) closeDown(want tcp.State) {
	d.Helper()
	if want == tcp.StateCloseWait || want == tcp.StateLastAck {
		d.peerFIN("F. 1 ack 1", ". 1 ack 2")
		if want == tcp.StateLastAck {
			d.closeWrite()
			d.expect("F. 1 ack 2")
		}
		return
	}
	d.closeWrite()
	d.expect("F. 1 ack 1")
	switch want {
	case tcp.StateFinWait2:
		d.send(". 1 ack 2")
		d.expectNothing()
	case tcp.StateClosing:
		d.peerFIN("F. 1 ack 1", ". 2 ack 2")
	case tcp.StateTimeWait:
		d.send(". 1 ack 2")
		d.expectNothing()
		d.peerFIN("F. 1 ack 2", ". 2 ack 2")
	}
}

// TestFixtures: the eleven states are reached, from either side.
func TestFixtures(t *testing.T) {
	for s := tcp.StateClosed; s <= tcp.StateTimeWait; s++ {
		t.Run(s.String(), func(t *testing.T) { inState(t, s) })
		if s >= tcp.StateSynReceived {
			t.Run(s.String()+"/passive", func(t *testing.T) { passively(t, s) })
		}
	}
}
