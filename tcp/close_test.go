package tcp_test

import (
	"io"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The end of a connection: RFC 9293, 3.6, figures 12 and 13.

func TestFourWayTeardownAsCloser(t *testing.T) {
	d := established(t)
	d.close()
	d.expect("F. 1 ack 1")
	d.expectState(tcp.StateFinWait1)
	d.send(". 1 ack 2") // the FIN takes one number
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
	d.send("F. 1 ack 2")
	d.expect(". 2 ack 2") // 1 ms later is too late: a peer in LAST-ACK waits for it
	d.expectState(tcp.StateTimeWait)
	d.wait(60 * time.Second)
	d.expectClosed(nil)
}

func TestFourWayTeardownAsClosed(t *testing.T) {
	d := passively(t, tcp.StateEstablished)
	d.peerFIN("F. 1 ack 1", ". 1 ack 2")
	d.expectState(tcp.StateCloseWait)
	d.expectEOF()
	d.close()
	d.expect("F. 1 ack 2")
	d.expectState(tcp.StateLastAck)
	d.send(". 2 ack 2")
	d.expectClosed(nil)
}

// TestSimultaneousClose is figure 13.
func TestSimultaneousClose(t *testing.T) {
	d := established(t)
	d.close()
	d.expect("F. 1 ack 1")
	d.send("F. 1 ack 1")
	d.expectState(tcp.StateClosing)
	d.expectLate(". 2 ack 2")
	d.send(". 2 ack 2")
	d.expectNothing()
	d.expectState(tcp.StateTimeWait)
	d.wait(60 * time.Second)
	d.expectClosed(nil)
}

// TestHalfCloseOurs: we have finished sending and go on receiving (3.6).
func TestHalfCloseOurs(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.closeWrite()
	d.expect("F. 101 ack 1")
	d.send(". 1 ack 102")
	d.expectState(tcp.StateFinWait2)
	d.expectWriteError(tcp.ErrClosing)
	for off := 1; off < 30000; off += 1000 {
		d.send(". " + itoa(off) + "(1000) ack 102")
		d.overheard() // now and then an ACK
		d.expectRead(1000)
	}
	d.wait(3 * time.Hour) // a half-closed connection waits for ever
	d.overheard()
	d.expectState(tcp.StateFinWait2)
	d.send("FP. 30001(5) ack 102")
	d.expect(". 102 ack 30007")
	d.expectRead(5)
	d.expectEOF()
	d.expectState(tcp.StateTimeWait)
}

// TestHalfCloseTheirs: the peer has finished sending; we go on (3.6).
func TestHalfCloseTheirs(t *testing.T) {
	d := established(t)
	d.peerFIN("FP. 1(5) ack 1", ". 1 ack 7")
	d.expectRead(5)
	d.expectEOF()
	d.wait(3 * time.Hour)
	d.expectNothing()
	for off := 1; off < 30000; off += 1000 {
		d.write(1000)
		d.expect(". " + itoa(off) + "(1000) ack 7")
		d.wait(rtt)
		d.send(". 7 ack " + itoa(off+1000))
		d.expectNothing()
	}
	d.closeWrite()
	d.expect("F. 30001 ack 7")
	d.expectState(tcp.StateLastAck)
	d.send(". 7 ack 30002")
	d.expectClosed(nil)
}

// TestFINFollowsQueuedData: CLOSE means "I have no more data to send": what was
// written goes first (3.6, 3.10.4).
func TestFINFollowsQueuedData(t *testing.T) {
	d := established(t, withWindow(1000))
	d.write(2500)
	d.expect(". 1(1000) ack 1")
	d.close()
	d.expectNothing()
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1")
	d.send(". 1 ack 2001")
	if len(d.heard) == 1 {
		d.expect("FP. 2001(500) ack 1")
	} else {
		d.expect("P. 2001(500) ack 1", "F. 2501 ack 1")
	}
	d.expectState(tcp.StateFinWait1)
	d.send(". 1 ack 2502")
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
}

// TestPartialAckOfDataBeforeFIN: an ACK of the data is no ACK of the FIN.
func TestPartialAckOfDataBeforeFIN(t *testing.T) {
	d := established(t)
	d.write(500)
	d.expect("P. 1(500) ack 1")
	d.closeWrite()
	d.expect("F. 501 ack 1")
	d.send(". 1 ack 501") // the data, not the FIN
	d.expectNothing()
	d.expectState(tcp.StateFinWait1)
	d.send(". 1 ack 502")
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
}

// TestLostFINIsSentAgain: the FIN has a number, and so is retransmitted (3.4).
func TestLostFINIsSentAgain(t *testing.T) {
	d := established(t)
	d.closeWrite()
	d.expect("F. 1 ack 1")
	d.at(rtoAfter)
	d.expect("@210ms F. 1 ack 1")
	d.send(". 1 ack 2")
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
}

// TestLostFINInClosingStates: likewise in LAST-ACK and CLOSING.
func TestLostFINInClosingStates(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateLastAck, tcp.StateClosing} {
		t.Run(s.String(), func(t *testing.T) {
			d := inState(t, s)
			d.wait(rtoAfter)
			d.expect("@* F. 1 ack 2")
			d.send(". 2 ack 2")
			d.expectNothing()
			if s == tcp.StateLastAck {
				d.expectClosed(nil)
			} else {
				d.expectState(tcp.StateTimeWait)
			}
		})
	}
}

// TestPeersFINOutOfOrder: the FIN waits for what comes before it.
func TestPeersFINOutOfOrder(t *testing.T) {
	d := established(t)
	d.send("FP. 1001(500) ack 1")
	d.expect(". 1 ack 1")
	d.expectState(tcp.StateEstablished)
	d.send(". 1(1000) ack 1")
	d.expect(". 1 ack 1502")
	d.expectState(tcp.StateCloseWait)
	d.expectRead(1500)
	d.expectEOF()
}

// TestEOFComesAfterTheLastByte: a FIN is seen after the last byte, however small the reads.
func TestEOFComesAfterTheLastByte(t *testing.T) {
	d := established(t)
	d.peerFIN("FP. 1(3) ack 1", ". 1 ack 5")
	for range 3 {
		if d.take(1) != 1 {
			d.fail("a byte is missing")
		}
	}
	d.expectEOF()
	d.expectEOF() // and again
}

// TestUnreadDataOutliveTheConnection: what the peer sent before an orderly close can
// be read after it (3.9.1.4: "the user must be prepared to accept").
func TestUnreadDataOutliveTheConnection(t *testing.T) {
	d := established(t)
	d.send("FP. 1(700) ack 1")
	d.expectLate(". 1 ack 702")
	d.closeWrite()
	d.expect("F. 1 ack 702")
	d.send(". 702 ack 2")
	d.expectNothing()
	d.expectState(tcp.StateClosed)
	d.expectRead(700)
	d.expectEOF()
}

// TestCloseWithUnreadDataResets: SHLD-3, RFC 1122 4.2.2.13 and Linux: the peer is
// told that its data were lost.
func TestCloseWithUnreadDataResets(t *testing.T) {
	d := established(t)
	d.send("P. 1(5) ack 1")
	d.expectLate(". 1 ack 6")
	d.close()
	d.expect("R. 1 ack 6")
	d.expectState(tcp.StateClosed)
	d.wait(time.Hour)
	d.expectNothing()
}

func TestCloseWithUnreadDataResetsInCloseWait(t *testing.T) {
	d := established(t)
	d.peerFIN("FP. 1(5) ack 1", ". 1 ack 7")
	d.close()
	d.expect("R. 1 ack 7")
	d.expectState(tcp.StateClosed)
}

// TestCloseWithReadDataSendsFIN: nothing was lost, nothing is reset.
func TestCloseWithReadDataSendsFIN(t *testing.T) {
	d := established(t)
	d.send("P. 1(5) ack 1")
	d.expectLate(". 1 ack 6")
	d.expectRead(5)
	d.close()
	d.expect("F. 1 ack 6")
}

// TestDataAfterCloseAreAnsweredByReset: SHLD-3 again: "or if new data is received
// after CLOSE is called".
func TestDataAfterCloseAreAnsweredByReset(t *testing.T) {
	for _, acked := range []bool{false, true} {
		d := established(t)
		d.close()
		d.expect("F. 1 ack 1")
		if acked {
			d.send(". 1 ack 2")
			d.expectNothing()
			d.send("P. 1(5) ack 2")
		} else {
			d.send("P. 1(5) ack 1")
		}
		d.expect("R 2 | R 1 | R. 2 ack * ")
		d.expectState(tcp.StateClosed)
		if !d.tcb.Done() {
			d.fail("reset and not done")
		}
		d.wait(time.Hour)
		d.expectNothing()
	}
}

// TestDataAfterHalfCloseAreTaken: CloseWrite is no CLOSE for the reader.
func TestDataAfterHalfCloseAreTaken(t *testing.T) {
	d := inState(t, tcp.StateFinWait1)
	d.send("P. 1(5) ack 1")
	d.expectLate(". 2 ack 6")
	d.expectRead(5)
}

// TestClosingTwiceSendsOneFIN: 3.10.4: "an ok response would be acceptable, as long
// as a second FIN is not emitted".
func TestClosingTwiceSendsOneFIN(t *testing.T) {
	for _, s := range []tcp.State{tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait} {
		t.Run(s.String(), func(t *testing.T) {
			d := inState(t, s)
			d.call("CloseWrite", func() { d.tcb.CloseWrite(d.now) })
			d.expectNothing()
			d.close()
			d.expectNothing()
			d.expectState(s)
		})
	}
}

// TestAbort: 3.10.5.
func TestAbort(t *testing.T) {
	for _, c := range []struct {
		state tcp.State
		reset string // "" for none
	}{
		{tcp.StateListen, ""},
		{tcp.StateSynSent, ""},
		{tcp.StateSynReceived, "R. 1 ack 1"},
		{tcp.StateEstablished, "R. 1 ack 1"},
		{tcp.StateFinWait1, "R. 2 ack 1"},
		{tcp.StateFinWait2, "R. 2 ack 1"},
		{tcp.StateCloseWait, "R. 1 ack 2"},
		{tcp.StateClosing, ""},
		{tcp.StateLastAck, ""},
		{tcp.StateTimeWait, ""},
	} {
		t.Run(c.state.String(), func(t *testing.T) {
			d := inState(t, c.state)
			d.abort()
			if c.reset != "" {
				d.expect(c.reset)
			}
			d.expectNothing()
			d.expectState(tcp.StateClosed)
			if !d.tcb.Done() {
				d.fail("aborted and not done")
			}
			d.wait(time.Hour)
			d.expectNothing()
		})
	}
}

// TestAbortDropsTheQueue: 3.10.5: all queued SENDs are flushed, and the reset
// stands at SND.NXT.
func TestAbortDropsTheQueue(t *testing.T) {
	d := established(t, withWindow(1500))
	d.write(5000)
	d.expect(". 1(1000) ack 1")
	d.abort()
	d.expect("R. 1001 ack 1")
	d.expectReadError(tcp.ErrAborted)
	d.expectWriteError(tcp.ErrAborted)
	d.expectClosed(tcp.ErrAborted)
}

// TestAbortResetsWhereThePeerStands: 3.10.7.4: a reset beyond the peer's window is dropped, and
// the peer would go on to wait for us.
func TestAbortResetsWhereThePeerStands(t *testing.T) {
	t.Run("after a probe of a shut window", func(t *testing.T) {
		d := shut(t, 5000)
		d.wait(rtoAfter)
		d.expect("@" + rtoAfter.String() + " . 1(1) ack 1")
		d.abort()
		d.expect("R. 1 ack 1")
	})
	t.Run("after the window has shrunk", func(t *testing.T) {
		d := established(t, withWindow(1500))
		d.write(1000)
		d.expect("P. 1(1000) ack 1")
		d.send(". 1 ack 1 win 400")
		d.abort()
		d.expect("R. 401 ack 1")
	})
}

// TestLingerZeroCloseResets: SO_LINGER with zero, as on Linux and in net.
func TestLingerZeroCloseResets(t *testing.T) {
	d := established(t)
	d.write(5)
	d.expect("P. 1(5) ack 1")
	d.tcb.SetLinger(0)
	d.close()
	d.expect("R. 6 ack 1")
	d.expectState(tcp.StateClosed)
}

// TestLingerEnds: what the peer does not take in the time of SetLinger is given up.
func TestLingerEnds(t *testing.T) {
	d := established(t)
	d.tcb.SetLinger(5 * time.Second)
	d.write(5)
	d.expect("P. 1(5) ack 1")
	d.close()
	d.expect("F. 6 ack 1")
	d.wait(5*time.Second - 1)
	d.overheard()
	d.expectState(tcp.StateFinWait1)
	d.wait(1)
	d.overheard()
	d.expectState(tcp.StateClosed)
	if !d.tcb.Done() {
		d.fail("the linger time is over, and the TCB not done")
	}
}

// TestCloseReadEndsReading: the application reads no more; sending goes on.
func TestCloseReadEndsReading(t *testing.T) {
	d := established(t)
	d.call("CloseRead", func() { d.tcb.CloseRead(d.now) })
	d.expectNothing()
	d.expectReadError(io.EOF)
	d.expectState(tcp.StateEstablished)
	d.write(5)
	d.expect("P. 1(5) ack 1")
	d.send(". 1 ack 6")
	d.expectNothing()
}
