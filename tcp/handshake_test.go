package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The handshake: RFC 9293, 3.5, figures 6 to 9.

func TestThreeWayHandshakeAsCaller(t *testing.T) {
	d := newDialogue(t)
	d.openActive() // "S 0": a SYN takes one number
	d.expectState(tcp.StateSynSent)
	d.wait(rtt)
	d.send("S. 0 ack 1")
	d.expect(". 1 ack 1") // and a bare ACK none: what follows it has its number
	d.expectState(tcp.StateEstablished)
	d.write(10)
	d.expect("P. 1(10) ack 1")
	i := d.info()
	if i.PassiveOpened || i.ISS != d.iss || i.IRS != d.irs || i.SndNxt != d.iss.Add(11) || i.SndUna != d.iss.Add(1) || i.RcvNxt != d.irs.Add(1) {
		d.fail("Info says %+v", i)
	}
}

func TestThreeWayHandshakeAsCalled(t *testing.T) {
	d := passively(t, tcp.StateEstablished)
	d.send("P. 1(10) ack 1") // the bare ACK before took no number
	d.expectLate(". 1 ack 11")
	d.write(10)
	d.expect("P. 1(10) ack 11")
	if i := d.info(); !i.PassiveOpened || i.ISS != d.iss || i.IRS != d.irs {
		d.fail("Info says %+v", i)
	}
}

// TestSimultaneousOpen is figure 8: both call, both SYNs cross (MUST-10).
func TestSimultaneousOpen(t *testing.T) {
	d := newDialogue(t)
	d.openActive()
	d.send("S 0")
	d.expect("S. 0 ack 1")
	d.expectState(tcp.StateSynReceived)
	d.wait(rtt)
	// Line 6: the SYN,ACK of the other side. By 3.10.7.4 alone its SYN is old and
	// earns an ACK; by the figure, and on Linux, it establishes.
	d.send("S. 0 ack 1")
	d.expectState(tcp.StateEstablished)
	for _, u := range d.overheard() {
		if why := d.mismatch(". 1 ack 1", &u); why != "" {
			d.fail("%s: %s", u.text, why)
		}
	}
	d.write(5)
	d.expect("P. 1(5) ack 1")
	d.send("P. 1(5) ack 6")
	d.expectLate(". 6 ack 6")
	d.expectRead(5)
}

// TestSimultaneousOpenCompletedByBareAck: the other side's SYN,ACK was lost, and its
// answer to ours arrives.
func TestSimultaneousOpenCompletedByBareAck(t *testing.T) {
	d := inState(t, tcp.StateSynReceived)
	d.send(". 1 ack 1")
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
}

// TestOldDuplicateSYNIsRefused is figure 9: a SYN,ACK that acknowledges somebody
// else's SYN is reset, and the true one still completes the handshake.
func TestOldDuplicateSYNIsRefused(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.send("S. 0 ack 91") // in answer to an old SYN of an earlier incarnation
	d.expect("R 91")
	d.send("S. 300 ack 1")
	d.expect(". 1 ack 301")
	d.expectState(tcp.StateEstablished)
}

// TestOldDuplicateSYNAtListener is figure 9 from the other side: the caller resets
// what the old SYN had begun, and the listener is a listener again.
func TestOldDuplicateSYNAtListener(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.send("R 1")
	d.expectNothing()
	d.expectState(tcp.StateListen)
	d.wait(time.Hour) // and waits for nothing
	d.expectNothing()
	d.irs += 5000
	d.watch.hasEdge = false
	d.send("S 0")
	d.expect("S. 0 ack 1")
	d.wait(rtt)
	d.send("P. 1(3) ack 1")
	d.expectLate(". 1 ack 4")
	d.expectState(tcp.StateEstablished)
	d.expectRead(3)
}

// TestHalfOpenIsDiscovered is figure 10: our side still believes in a connection
// that the peer has forgotten and opens anew.
func TestHalfOpenIsDiscovered(t *testing.T) {
	d := established(t)
	d.send("S 400")
	d.expect(". 1 ack 1") // line 4: challenged
	d.send("R 1")         // line 5: and the peer resets us at the number it was told
	d.expectNothing()
	d.expectClosed(tcp.ErrReset)
}

// TestActiveSideFindsHalfOpen is figure 11: we send into a connection that the
// peer has forgotten.
func TestActiveSideFindsHalfOpen(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.send("R 1") // SEQ is the ACK of our data
	d.expectClosed(tcp.ErrReset)
}

func TestRefusedCallTellsTheCaller(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.send("R. 0 ack 1")
	d.expectReadError(tcp.ErrRefused)
	d.expectWriteError(tcp.ErrRefused)
	d.expectClosed(tcp.ErrRefused)
}

// TestDataWithThirdAck: "data may be sent with the ACK of the SYN" (3.5, figure 6
// and the text to it).
func TestDataWithThirdAck(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.send("P. 1(100) ack 1")
	d.expectLate(". 1 ack 101")
	d.expectState(tcp.StateEstablished)
	d.expectRead(100)
}

// TestThirdAckLostButDataArrive: any segment with the ACK will do.
func TestThirdAckLostButDataArrive(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.send(". 201(100) ack 1") // even one beyond a gap
	d.expect(". 1 ack 1")
	d.expectState(tcp.StateEstablished)
	d.send(". 1(200) ack 1")
	d.expect(". 1 ack 301")
	d.expectRead(300)
}

// TestDataWrittenBeforeTheAnswer: SEND in SYN-SENT queues (3.10.2).
func TestDataWrittenBeforeTheAnswer(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.write(100)
	d.expectNothing()
	d.wait(rtt)
	d.send("S. 0 ack 1")
	if h := d.heard; len(h) == 2 && len(h[0].Payload) == 0 {
		d.heard = h[1:] // the ACK may go ahead, or with the data
	}
	d.expect("P. 1(100) ack 1")
}

// TestDataInSynAck: data that come with the SYN,ACK are kept or dropped, but what
// is acknowledged is not lost.
func TestDataInSynAck(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.send("S. 0(7) ack 1")
	d.expectState(tcp.StateEstablished)
	d.expect("@* . 1 ack 1 | @* . 1 ack 8")
	d.send("P. 1(7) ack 1") // and the peer sends what it has not seen acknowledged
	d.wait(delack)
	for _, u := range d.overheard() {
		if u.Ack != d.irs.Add(8) || len(u.Payload) != 0 {
			d.fail("heard %s", u.text)
		}
	}
	d.expectRead(7)
}

// TestDataInSYNAreNotLost: 3.10.7.2 lets a listener queue or drop the data of a
// SYN; what its SYN,ACK acknowledges it must have.
func TestDataInSYNAreNotLost(t *testing.T) {
	d := newDialogue(t)
	d.listenUp()
	d.send("S 0(50)")
	d.expect("S. 0 ack 1 | S. 0 ack 51")
	d.expectReadError(nil) // nothing before the handshake is complete
	d.send(". 1(50) ack 1")
	d.wait(delack)
	d.overheard()
	d.expectState(tcp.StateEstablished)
	if got := d.info().RcvNxt.Sub(d.irs); got != 51 {
		d.fail("RCV.NXT is %d after the data came again", got)
	}
	d.expectRead(50)
}

// TestCloseBeforeTheHandshakeEnds: 3.10.4, LISTEN and SYN-SENT: the TCB is deleted
// and nothing is sent.
func TestCloseBeforeTheHandshakeEnds(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateListen, tcp.StateSynSent} {
		t.Run(s.String(), func(t *testing.T) {
			d := inState(t, s)
			d.close()
			d.expectNothing()
			d.expectState(tcp.StateClosed)
			if !d.tcb.Done() {
				d.fail("closed and not done")
			}
			d.wait(time.Hour)
			d.expectNothing()
		})
	}
}

// TestCloseInSynReceived: 3.10.4: the FIN goes out at once or when the handshake is
// complete; either way the connection ends in order.
func TestCloseInSynReceived(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.close()
	early := len(d.heard) > 0
	if early {
		d.expect("F. 1 ack 1")
		d.expectState(tcp.StateFinWait1)
	}
	d.send(". 1 ack 1")
	if !early {
		d.expect("F. 1 ack 1")
	}
	d.expectNothing()
	d.expectState(tcp.StateFinWait1)
	d.send("F. 1 ack 2")
	d.expect(". 2 ack 2")
	d.expectState(tcp.StateTimeWait)
}

// TestCloseInSynReceivedBehindAShutWindow: likewise when the peer's SYN offers no
// window: nothing is probed for before the SYN is acknowledged, and after it the FIN
// is, or is simply sent.
func TestCloseInSynReceivedBehindAShutWindow(t *testing.T) {
	d := newDialogue(t)
	d.listenUp()
	d.send("S 0 win 0")
	d.expect("S. 0 ack 1")
	d.close()
	d.wait(4 * time.Second) // the SYN,ACK goes again, and perhaps a FIN with it
	syns := 0
	for _, u := range d.overheard() {
		switch {
		case u.Flags == tcp.SYN|tcp.ACK:
			syns++
		case u.Flags.Has(tcp.FIN) && u.Seq == d.iss.Add(1) && len(u.Payload) == 0:
		default:
			d.fail("heard %s", u.text)
		}
	}
	if syns != 2 {
		d.fail("the SYN,ACK was repeated %d times in four seconds, want 2", syns)
	}
	d.send(". 1 ack 1 win 0")
	d.wait(4 * time.Second)
	fins := d.overheard()
	if len(fins) == 0 {
		d.fail("the FIN is not sent")
	}
	for _, u := range fins {
		if why := d.mismatch("@* F. 1 ack 1", &u); why != "" {
			d.fail("%s: %s", u.text, why)
		}
	}
	d.send(". 1 ack 2 win 0")
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
}

// TestSynReceivedTakesTheSYNAgain: the SYN,ACK was lost; the caller asks again and
// is answered, by an ACK that tells it what we have (3.10.7.4) or the SYN,ACK
// again, and the handshake completes.
func TestSynReceivedTakesTheSYNAgain(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.wait(300 * time.Millisecond)
	d.send("S 0")
	d.expect("S. 0 ack 1 | . 1 ack 1")
	d.send(". 1 ack 1")
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
}

// TestWindowOfRepeatedSynAck: between two SYN,ACKs an ACK has told the scaled window,
// which is larger than a SYN can say; the second says what it can, not the rest of a
// division.
func TestWindowOfRepeatedSynAck(t *testing.T) {
	d := passively(t, tcp.StateSynReceived, withPeer(func(p *peer) { p.wscale = 7 }))
	d.send(". 5000000 ack 1") // outside the window
	d.expect(". 1 ack 1")
	d.at(time.Second)
	d.expect("@1s S. 0 ack 1 win 65535")
}

// TestWindowOfSYNIsNotScaled: RFC 7323, 2.2.
func TestWindowOfSYNIsNotScaled(t *testing.T) {
	d := newDialogue(t, withPeer(func(p *peer) { p.wscale = 7 }))
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1 win 2000")
	d.expect(". 1 ack 1")
	if got := d.info().SndWnd; got != 2000 {
		d.fail("SND.WND is %d after a SYN with window 2000", got)
	}
	d.send(". 1 ack 1 win 2000")
	d.expectNothing()
	if got := d.info().SndWnd; got != 2000<<7 {
		d.fail("SND.WND is %d after a window of 2000 shifted by 7", got)
	}
}
