package tcp_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The user calls: RFC 9293, 3.10.1 to 3.10.6.

func tcpAddrPort(e tcp.Endpoints, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(e.Remote.Addr(), port)
}

// TestCallsOnNoConnection: CLOSED: "connection does not exist".
func TestCallsOnNoConnection(t *testing.T) {
	d := newDialogue(t)
	d.expectState(tcp.StateClosed)
	d.expectReadError(tcp.ErrNotConnected)
	d.expectWriteError(tcp.ErrNotConnected)
	if err := d.tcb.CloseWrite(d.now); !errors.Is(err, tcp.ErrNotConnected) {
		d.fail("CloseWrite: %v", err)
	}
	d.close()
	d.abort()
	d.expectNothing()
	if d.tcb.Deadline() != tcp.Never {
		d.fail("a TCB that was never opened has a deadline")
	}
}

// TestReadBeforeDataIsNotAnError: RECEIVE waits in these states; here it says 0, nil.
func TestReadBeforeDataIsNotAnError(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateListen, tcp.StateSynSent, tcp.StateSynReceived,
		tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2} {
		d := inState(t, s)
		d.expectReadError(nil)
		if d.tcb.Readable() {
			d.fail("%v: nothing to read, and Readable", s)
		}
	}
}

// TestEOFInEveryStateAfterThePeersFIN: MUST-12.
func TestEOFInEveryStateAfterThePeersFIN(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait} {
		d := inState(t, s)
		if !d.tcb.Readable() {
			d.fail("%v: an EOF waits, and Readable is false", s)
		}
		d.expectEOF()
	}
}

// TestWriteAfterCloseIsAnError: 3.10.2: "connection closing".
func TestWriteAfterCloseIsAnError(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait} {
		d := inState(t, s)
		d.expectWriteError(tcp.ErrClosing)
		d.wait(50 * time.Millisecond)
		d.expectNothing()
	}
}

// TestWriteInCloseWait: the half that is open stays open.
func TestWriteInCloseWait(t *testing.T) {
	d := inState(t, tcp.StateCloseWait)
	d.write(10)
	d.expect("P. 1(10) ack 2")
}

// TestEmptyCallsDoNothing: no bytes, no segment.
func TestEmptyCallsDoNothing(t *testing.T) {
	d := established(t)
	d.write(0)
	d.expectNothing()
	d.call("Read 0", func() {
		if n, err := d.tcb.Read(d.now, nil); n != 0 || err != nil {
			d.fail("Read of no bytes: %d, %v", n, err)
		}
	})
	d.expectNothing()
}

// TestErrorsStay: after a reset every call says so, each time.
func TestErrorsStay(t *testing.T) {
	d := established(t)
	d.send("R 1")
	for range 3 {
		d.expectReadError(tcp.ErrReset)
		d.expectWriteError(tcp.ErrReset)
	}
	d.close()
	d.abort()
	d.expectNothing()
}

// TestObserverSeesEverySegment: events are in order, and one for each segment.
func TestObserverSeesEverySegment(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.send("P. 1(50) ack 101")
	d.expectLate(". 101 ack 51")
	var got []string
	for _, e := range d.events {
		switch e.Kind {
		case tcp.EventSegmentIn:
			got = append(got, "in "+e.Segment.Flags.String()+" "+e.From.String())
		case tcp.EventSegmentOut:
			got = append(got, "out "+e.Segment.Flags.String()+" "+e.From.String())
		case tcp.EventState:
			got = append(got, e.To.String())
		case tcp.EventDrop:
			got = append(got, "drop "+e.Why.String())
		}
	}
	want := []string{
		"SYN-SENT", "out SYN SYN-SENT",
		"in SYN,ACK SYN-SENT", "ESTABLISHED", "out ACK ESTABLISHED",
		"out PSH,ACK ESTABLISHED",
		"in PSH,ACK ESTABLISHED", "out ACK ESTABLISHED",
	}
	if len(got) != len(want) {
		d.fail("the observer saw %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			d.fail("the observer saw %q, want %q", got, want)
		}
	}
}

// TestDropsAreReportedWithTheirReason: EventDrop and its Why.
func TestDropsAreReportedWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		state tcp.State
		send  string
		why   tcp.Why
	}{
		{tcp.StateEstablished, ". 2000000 ack 1", tcp.WhyOutOfWindow},
		{tcp.StateEstablished, "- 1(5)", tcp.WhyNoAck},
		{tcp.StateEstablished, "R 100", tcp.WhyBadReset},
		{tcp.StateEstablished, "S 100", tcp.WhyUnexpectedSYN},
		{tcp.StateEstablished, "P. 1(5) ack 7", tcp.WhyBadAck},
		{tcp.StateSynSent, ". 1 ack 1", tcp.WhyNotForState},
		{tcp.StateListen, "- 1(5)", tcp.WhyNotForState},
	} {
		d := inState(t, c.state)
		d.send(c.send)
		d.overheard()
		var drops []tcp.Why
		for _, e := range d.events {
			if e.Kind == tcp.EventDrop {
				drops = append(drops, e.Why)
			}
		}
		if len(drops) != 1 || drops[0] != c.why {
			d.fail("%v, %q: dropped for %q, want %q", c.state, c.send, drops, c.why)
		}
	}
}

// TestRetransmissionsTellTheirReason: Why on EventSegmentOut.
func TestRetransmissionsTellTheirReason(t *testing.T) {
	for name, c := range map[string]struct {
		play func(*dialogue)
		why  tcp.Why
	}{
		"timeout": {func(d *dialogue) { d.wait(rtoAfter) }, tcp.WhyRTO},
		"duplicates": {func(d *dialogue) {
			for range 3 {
				d.send(". 1 ack 1")
			}
		}, tcp.WhyFastRetransmit},
	} {
		t.Run(name, func(t *testing.T) {
			d := flight(t, 4)
			c.play(d)
			d.expect("@* . 1(1000) ack 1")
			last := d.events[len(d.events)-1]
			for _, e := range d.events {
				if e.Kind == tcp.EventSegmentOut {
					if e.Why == tcp.WhyNone && e.Segment.Again {
						d.fail("%v was not sent before", e.Segment)
					}
					last = e
				}
			}
			if last.Why != c.why || !last.Segment.Again {
				d.fail("the retransmission was put down to %q, want %q (sent again: %v)", last.Why, c.why, last.Segment.Again)
			}
		})
	}
}
