package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// TIME-WAIT: RFC 9293, 3.6.1 and 3.10.7.4.

const twoMSL = 60 * time.Second // the default MSL is 30 s

func TestTimeWaitLastsTwoMSL(t *testing.T) {
	d := inState(t, tcp.StateTimeWait)
	d.wait(twoMSL - 1)
	d.expectNothing()
	d.expectState(tcp.StateTimeWait) // MUST-13
	d.wait(1)
	d.expectClosed(nil)
}

func TestTimeWaitFollowsTheMSLOfTheParams(t *testing.T) {
	d := inState(t, tcp.StateTimeWait, withParams(tcp.Params{MSL: 2 * time.Minute}))
	d.wait(4*time.Minute - 1)
	d.expectState(tcp.StateTimeWait)
	d.wait(1)
	d.expectClosed(nil)
}

// TestTimeWaitAcksRetransmittedFIN: "acknowledge it, and restart the 2 MSL timeout".
func TestTimeWaitAcksRetransmittedFIN(t *testing.T) {
	d := inState(t, tcp.StateTimeWait)
	for range 3 {
		d.wait(50 * time.Second)
		d.expectNothing()
		d.send("F. 1 ack 2")
		d.expect(". 2 ack 2")
		d.expectState(tcp.StateTimeWait)
	}
	d.wait(twoMSL - 1)
	d.expectState(tcp.StateTimeWait)
	d.wait(1)
	d.expectClosed(nil)
}

// TestTimeWaitIsNotProlongedByOthers: only a FIN restarts the timer; old data are
// answered and no more.
func TestTimeWaitIsNotProlongedByOthers(t *testing.T) {
	d := inState(t, tcp.StateTimeWait)
	d.wait(30 * time.Second)
	d.send(". 1(1) ack 2") // old data: outside the window
	d.expect(". 2 ack 2")
	d.wait(29 * time.Second)
	d.send(". -100(50) ack 2")
	d.expect(". 2 ack 2")
	d.wait(time.Second)
	d.expectClosed(nil)
}

// TestTimeWaitIsNotAssassinated: RFC 1337: an old duplicate is answered, the peer, which
// has forgotten the connection, answers that by a reset that fits exactly, and TIME-WAIT
// goes on to its end.
func TestTimeWaitIsNotAssassinated(t *testing.T) {
	d := inState(t, tcp.StateTimeWait)
	d.wait(10 * time.Second)
	d.send("P. -1000(500) ack 1")
	d.expect(". 2 ack 2")
	d.send("R 2") // SEG.ACK of that, as CLOSED makes it
	d.expectNothing()
	d.wait(50*time.Second - 1)
	d.expectState(tcp.StateTimeWait)
	d.send("F. 1 ack 2")
	d.expect(". 2 ack 2")
}

// TestTimeWaitFromClosing: the timer starts when the last ACK comes.
func TestTimeWaitFromClosing(t *testing.T) {
	d := inState(t, tcp.StateClosing)
	d.wait(100 * time.Millisecond)
	d.send(". 2 ack 2")
	d.expectNothing()
	d.expectState(tcp.StateTimeWait)
	d.wait(twoMSL - 1)
	d.expectState(tcp.StateTimeWait)
	d.wait(1)
	d.expectClosed(nil)
}

// TestTimeWaitGivesWayToNewSYN: MAY-2: beyond the last sequence number, without
// timestamps.
func TestTimeWaitGivesWayToNewSYN(t *testing.T) {
	d := inState(t, tcp.StateTimeWait)
	d.send("S 100")
	d.expectNothing()
	if !d.tcb.Done() {
		d.fail("a new SYN in TIME-WAIT, and the TCB does not give way")
	}
}

// TestTimeWaitGivesWayByTimestamp: SHLD-4, RFC 6191: a greater timestamp will do,
// although the sequence number is old.
func TestTimeWaitGivesWayByTimestamp(t *testing.T) {
	d := inState(t, tcp.StateTimeWait, withTS)
	d.wait(2 * time.Second)
	d.send("S -5000")
	d.expectNothing()
	if !d.tcb.Done() {
		d.fail("a SYN with a new timestamp in TIME-WAIT, and the TCB does not give way")
	}
}

// TestTimeWaitKeepsOldSYNOut: an old duplicate does not open a connection, by
// sequence number or by timestamp.
func TestTimeWaitKeepsOldSYNOut(t *testing.T) {
	d := inState(t, tcp.StateTimeWait, withTS)
	d.wait(2 * time.Second)
	d.peer.tsBase -= 100000
	d.send("S -5000")
	d.expect(". 2 ack 2")
	d.expectState(tcp.StateTimeWait)
}

// TestFinWait2OfClosedSocketEnds: Linux's limit for a socket that nobody reads.
func TestFinWait2OfClosedSocketEnds(t *testing.T) {
	d := established(t)
	d.close()
	d.expect("F. 1 ack 1")
	d.send(". 1 ack 2")
	d.expectNothing()
	d.wait(60*time.Second - 1)
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
	d.wait(1)
	d.expectNothing()
	d.expectState(tcp.StateClosed)
	if !d.tcb.Done() {
		d.fail("FIN-WAIT-2 is over, and the TCB not done")
	}
}

// TestFinWait2OfHalfClosedSocketWaits: RFC 9293 knows no limit, and somebody reads.
func TestFinWait2OfHalfClosedSocketWaits(t *testing.T) {
	d := inState(t, tcp.StateFinWait2)
	if dl := d.tcb.Deadline(); dl != tcp.Never {
		d.fail("a deadline in %v", dl.Sub(d.now))
	}
	d.wait(24 * time.Hour)
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
	d.close() // now nobody does
	d.expectNothing()
	d.wait(60*time.Second - 1)
	d.expectState(tcp.StateFinWait2)
	d.wait(1)
	d.expectNothing()
	d.expectState(tcp.StateClosed)
}
