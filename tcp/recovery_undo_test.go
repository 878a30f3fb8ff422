package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Spurious retransmissions and their undoing: F-RTO (RFC 5682), Eifel (RFC 3522, 4015),
// D-SACK (RFC 2883, 3708).

// expectUndone: window and threshold are as before the loss that was none.
func (d *dialogue) expectUndone(atLeast int) {
	d.Helper()
	if i := d.info(); i.Undos != 1 || i.Cwnd < atLeast || i.Ssthresh != tcp.MaxWindow || i.InRecovery {
		d.fail("%d undos, cwnd %d, ssthresh %d, in recovery %v; want 1, %d and no threshold",
			i.Undos, i.Cwnd, i.Ssthresh, i.InRecovery, atLeast)
	}
}

// expectNotUndone: the loss counts.
func (d *dialogue) expectNotUndone() {
	d.Helper()
	if i := d.info(); i.Undos != 0 || i.Ssthresh == tcp.MaxWindow {
		d.fail("%d undos, ssthresh %d: a genuine loss was taken back", i.Undos, i.Ssthresh)
	}
}

// timedOut is a connection with ten segments in flight and ten more to send whose timer
// has expired: segment 1 has gone again.
func timedOut(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	d := established(t, opts...)
	d.write(20000)
	if n := len(d.overheard()); n != 10 {
		d.fail("a flight of %d", n)
	}
	d.wait(rtoAfter)
	d.expect("@210ms . 1(1000) ack 1")
	d.wait(rtt)
	return d
}

// TestFRTODeclaresATimeoutSpurious: RFC 5682, 2.1: the first ACK after the timeout lets
// two new segments go (2b), the second, of what was not sent again, shows that nothing
// was lost (3b): nothing else goes again, and the window is as it was.
func TestFRTODeclaresATimeoutSpurious(t *testing.T) {
	d := timedOut(t)
	d.send(". 1 ack 1001")
	d.expect(". 10001(1000) ack 1", ". 11001(1000) ack 1")
	d.send(". 1 ack 2001") // ten in flight
	d.overheard()
	d.expectUndone(10000)
	for acked := 3001; acked <= 20001; acked += 1000 {
		d.send(". 1 ack " + itoa(acked))
		for _, u := range d.overheard() {
			if u.Seq.Before(d.iss.Add(12001)) {
				d.fail("%s goes again after a timeout that was spurious", u.text)
			}
		}
	}
	if i := d.info(); i.RetransSegs != 1 || i.SendQueue != 0 {
		d.fail("%d segments were sent again, %d bytes wait", i.RetransSegs, i.SendQueue)
	}
}

// TestFRTOFindsAGenuineLossByADuplicate: 2.1, step 3a: the second ACK is a duplicate:
// the rest goes again, by slow start.
func TestFRTOFindsAGenuineLossByADuplicate(t *testing.T) {
	d := timedOut(t)
	d.send(". 1 ack 1001")
	d.expect(". 10001(1000) ack 1", ". 11001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001")
	h := d.overheard()
	if len(h) == 0 || len(h) > 3 || h[0].Seq != d.iss.Add(1001) {
		d.fail("%d segments after the duplicate, want 1001 first", len(h))
	}
	d.expectNotUndone()
}

// TestFRTOFirstAckADuplicate: 2.1, step 2a: conventional recovery.
func TestFRTOFirstAckADuplicate(t *testing.T) {
	d := timedOut(t)
	d.send(". 1 ack 1")
	d.expectNothing()
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1", ". 2001(1000) ack 1")
	d.expectNotUndone()
}

// TestFRTOAckOfEverything: 2.1 and 3.1, step 2a: an ACK of all that was sent before the
// timeout may be that of the retransmission: no verdict.
func TestFRTOAckOfEverything(t *testing.T) {
	t.Run("without SACK", func(t *testing.T) {
		d := timedOut(t)
		d.send(". 1 ack 10001")
		d.overheard()
		d.expectNotUndone()
	})
	t.Run("SACK", func(t *testing.T) {
		d := established(t, withSACK)
		d.write(10000)
		d.overheard()
		d.wait(230 * time.Millisecond)
		d.expect("@20ms P. 9001(1000) ack 1", "@230ms . 1(1000) ack 1")
		d.wait(rtt)
		d.send(". 1 ack 10001")
		d.expectNothing()
		d.expectNotUndone()
	})
}

// TestFRTOWithoutNewDataRepairs: 2.1, step 2b: nothing new is there to try: the rest goes
// again.
func TestFRTOWithoutNewDataRepairs(t *testing.T) {
	d := flight(t, 10)
	d.wait(rtoAfter - rtt)
	d.expect("@* . 1(1000) ack 1")
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1", ". 2001(1000) ack 1")
	d.expectNotUndone()
}

// TestFRTOWithSACK: 3.1: the retransmission is acknowledged, two new segments go, and a
// block tells of one that was not sent again.
func TestFRTOWithSACK(t *testing.T) {
	d := established(t, withSACK)
	d.write(20000)
	d.overheard()
	d.wait(230 * time.Millisecond)
	d.expect("@20ms . 10001(1000) ack 1", "@230ms . 1(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001")
	d.expect(". 11001(1000) ack 1", ". 12001(1000) ack 1")
	d.send(". 1 ack 1001 <nop,nop,sack 3001:4001>")
	d.overheard()
	d.expectUndone(10000)
}

// TestFRTOWithSACKFindsAGenuineLoss: 3.1, step 3a: the block tells of the new data.
func TestFRTOWithSACKFindsAGenuineLoss(t *testing.T) {
	d := established(t, withSACK)
	d.write(20000)
	d.overheard()
	d.wait(230 * time.Millisecond)
	d.expect("@20ms . 10001(1000) ack 1", "@230ms . 1(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001")
	d.expect(". 11001(1000) ack 1", ". 12001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001 <nop,nop,sack 11001:12001>")
	h := d.overheard()
	if len(h) == 0 || len(h) > 3 || h[0].Seq != d.iss.Add(1001) {
		d.fail("%d segments, want 1001 first", len(h))
	}
	d.expectNotUndone()
}

// TestEifelUndoesASpuriousTimeout: RFC 3522, 3.2: the first ACK echoes what was sent
// before the retransmission. Nothing goes again, new data do.
func TestEifelUndoesASpuriousTimeout(t *testing.T) {
	d := established(t, withTS)
	d.write(20 * 988)
	d.overheard()
	echo := d.lastTS
	d.wait(rtoAfter)
	d.expect("@210ms . 1(988) ack 1")
	d.wait(time.Millisecond)
	d.send(". 1 ack 989 <nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) + ">")
	for _, u := range d.overheard() {
		if u.Seq.Before(d.iss.Add(9881)) {
			d.fail("%s goes again after a spurious timeout", u.text)
		}
	}
	d.expectUndone(9880)
}

// stampedFlight is ten segments of 988 bytes with timestamps, a round trip ago, and the
// TSval that they had.
func stampedFlight(t *testing.T, opts ...option) (*dialogue, uint32) {
	t.Helper()
	d := established(t, append([]option{withTS}, opts...)...)
	d.write(9880)
	d.overheard()
	echo := d.lastTS
	d.wait(rtt)
	return d, echo
}

// TestEifelUndoesASpuriousFastRetransmit: the segment was only late by more than the
// reordering window.
func TestEifelUndoesASpuriousFastRetransmit(t *testing.T) {
	d, echo := stampedFlight(t, withSACK)
	ts := func() string { return "<nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) }
	d.send(". 1 ack 1 " + ts() + ",nop,nop,sack 989:3953>")
	d.expect(". 1(988) ack 1")
	d.wait(time.Millisecond)
	d.send(". 1 ack 3953 " + ts() + ">")
	d.expectNothing()
	d.expectUndone(9880)
	d.wait(time.Millisecond)
	d.send(". 1 ack 9881 " + ts() + ">")
	d.expectNothing()
}

// TestEchoOfTheRetransmissionIsNoProof: the ACK answers the second copy.
func TestEchoOfTheRetransmissionIsNoProof(t *testing.T) {
	d, echo := stampedFlight(t, withSACK)
	d.send(". 1 ack 1 <nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) + ",nop,nop,sack 989:9881>")
	d.expect(". 1(988) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 9881") // echoes the newest TSval
	d.expectNothing()
	d.expectNotUndone()
}

// TestDSACKUndoesASpuriousFastRetransmit: RFC 3708: every retransmission has been
// reported as a duplicate.
func TestDSACKUndoesASpuriousFastRetransmit(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
	d.expect(". 1(1000) ack 1")
	d.wait(time.Millisecond)
	d.send(". 1 ack 10001")
	d.expectNothing()
	d.expectNotUndone()
	d.wait(rtt)
	d.send(". 1 ack 10001 <nop,nop,sack 1:1001>")
	d.expectNothing()
	d.expectUndone(10000)
}

// TestOneDSACKOfTwoUndoesNothing: the other was needed.
func TestOneDSACKOfTwoUndoesNothing(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 2001:10001>")
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 2001 <nop,nop,sack 2001:10001>")
	d.overheard()
	d.send(". 1 ack 10001")
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 10001 <nop,nop,sack 1:1001>")
	d.expectNothing()
	d.expectNotUndone()
}

// TestDSACKDoesNotUndoWhatECNHasAsked: RFC 4015, 3.2: the D-SACK proves that the loss was
// none; the congestion that the path reported since stands.
func TestDSACKDoesNotUndoWhatECNHasAsked(t *testing.T) {
	d := newDialogue(t, withSACK, withParams(tcp.Params{ECN: tcp.ECNAsk}))
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	d.expect("SEC 0")
	d.wait(rtt)
	d.send("SE. 0 ack 1")
	d.expect(". 1 ack 1")
	d.write(10000)
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
	d.expect(". 1(1000) ack 1")
	d.send(". 1 ack 10001") // recovery is over: cwnd 7000
	d.expectNothing()
	d.write(6000)
	d.overheard()
	d.wait(rtt)
	d.send("E. 1 ack 11001")
	d.overheard()
	after := d.info()
	if after.Ssthresh >= 7000 {
		d.fail("no reaction to ECE: ssthresh %d", after.Ssthresh)
	}
	d.send("E. 1 ack 11001 <nop,nop,sack 1:1001>")
	d.overheard()
	if i := d.info(); i.Cwnd > after.Cwnd || i.Ssthresh > after.Ssthresh {
		d.fail("the D-SACK of an earlier retransmission has raised cwnd from %d to %d, ssthresh from %d to %d",
			after.Cwnd, i.Cwnd, after.Ssthresh, i.Ssthresh)
	}
}

// TestBackOffStaysUntilAMeasurement: RFC 6298, 5 at its end, with Karn's rule: an ACK of
// a segment that was sent twice is none.
func TestBackOffStaysUntilAMeasurement(t *testing.T) {
	d := established(t)
	d.write(1000)
	d.overheard()
	d.wait(3 * rtoAfter) // at 210 and 630 ms
	d.expect("@210ms P. 1(1000) ack 1", "@630ms P. 1(1000) ack 1")
	d.send(". 1 ack 1001")
	if got := d.info().RTO; got != 4*rtoAfter {
		d.fail("RTO is %v after two back-offs and no measurement", got)
	}
	d.write(1000)
	d.expect("P. 1001(1000) ack 1")
	d.wait(4*rtoAfter - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@840ms P. 1001(1000) ack 1")
}

// TestRetransmissionTimerAfterAFastRetransmit: SACK does not restart the timer (RFC 6298,
// 5.3: only new data acknowledged does), but the repair of the first segment does, as on
// Linux: with a least timeout of 200 ms instead of RFC 6298's second it would otherwise
// expire before the repair can be acknowledged.
func TestRetransmissionTimerAfterAFastRetransmit(t *testing.T) {
	d := established(t, withSACK)
	d.write(10000)
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 1001:10001>")
	d.expect(". 1(1000) ack 1")
	d.wait(rtoAfter - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@210ms . 1(1000) ack 1")
}

// TestTimeoutMarksOnlyWhatHadItsTime: RFC 8985, 6.3: what was sent less than a round trip
// before the timeout is not lost for it.
func TestTimeoutMarksOnlyWhatHadItsTime(t *testing.T) {
	d := established(t, withSACK)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	d.wait(rtoAfter)
	d.expect("@210ms P. 1(1000) ack 1") // a probe, in place of the timeout
	d.wait(rtoAfter - 5*time.Millisecond)
	d.expectNothing()
	d.write(3000)
	d.expect(". 1001(1000) ack 1", ". 2001(1000) ack 1", "P. 3001(1000) ack 1")
	d.wait(100 * time.Millisecond)
	d.expect("@5ms . 1(1000) ack 1")
	if i := d.info(); i.Timeouts != 1 {
		d.fail("%d timeouts", i.Timeouts)
	}
}
