package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// When an ACK is sent: RFC 9293, 3.8.6.3; RFC 5681, 4.2.

// TestDelayedAck: one segment alone waits for company as long as Linux does
// (MUST-40: below 0.5 s).
func TestDelayedAck(t *testing.T) {
	d := established(t)
	d.tcb.SetQuickAck(d.now, false) // the beginning is over
	d.send("P. 1(100) ack 1")
	d.at(delack - 1)
	d.expectNothing()
	d.at(delack)
	d.expect("@40ms . 1 ack 101")
	d.wait(time.Hour)
	d.expectNothing() // once
}

func TestDelayedAckFollowsTheParams(t *testing.T) {
	d := established(t, withParams(tcp.Params{DelayedAck: 300 * time.Millisecond}))
	d.tcb.SetQuickAck(d.now, false) // the beginning is over
	d.send("P. 1(100) ack 1")
	d.wait(time.Second)
	d.expect("@300ms . 1 ack 101")
}

// TestDelayedAckRidesOnData: the ACK is piggybacked (3.8.6.3).
func TestDelayedAckRidesOnData(t *testing.T) {
	d := established(t)
	d.tcb.SetQuickAck(d.now, false) // the beginning is over
	d.send("P. 1(100) ack 1")
	d.wait(10 * time.Millisecond)
	d.write(50)
	d.expect("P. 1(50) ack 101")
	d.send(". 101 ack 51")
	d.wait(time.Hour)
	d.expectNothing()
}

// TestAckOfFINRidesOnOurs: who closes when the peer has closed sends one segment, as on
// Linux; else the ACK waits no longer than any other, also in quick ACK mode.
func TestAckOfFINRidesOnOurs(t *testing.T) {
	d := established(t)
	d.send("F. 1 ack 1")
	d.expectNothing()
	d.expectEOF()
	d.wait(10 * time.Millisecond)
	d.close()
	d.expect("F. 1 ack 2")
	d.send(". 2 ack 2")
	d.expectNothing()
	d.expectClosed(nil)

	d = established(t)
	d.send("FP. 1(100) ack 1")
	d.expectNothing()
	d.at(delack - 1)
	d.expectNothing()
	d.at(delack)
	d.expect("@40ms . 1 ack 102")
	d.wait(time.Hour)
	d.expectNothing()
}

// TestEverySecondFullSegmentIsAcked: SHLD-19, RFC 5681 4.2.
func TestEverySecondFullSegmentIsAcked(t *testing.T) {
	d := established(t)
	for off := 1; off < 40001; off += 2000 {
		d.send(". " + itoa(off) + "(1000) ack 1")
		acked := len(d.overheard()) > 0 // sooner is no fault
		d.wait(time.Millisecond)
		d.send(". " + itoa(off+1000) + "(1000) ack 1")
		if h := d.overheard(); !acked && (len(h) != 1 || h[0].Ack != d.irs.Add(off+2000)) {
			d.fail("two full segments, and no ACK")
		}
		d.expectRead(2000)
		d.overheard()
	}
}

// TestBatchIsAckedOnce: MUST-58, MUST-59: all that is queued is processed first.
func TestBatchIsAckedOnce(t *testing.T) {
	d := established(t)
	var batch []string
	for off := 1; off < 20001; off += 1000 {
		batch = append(batch, ". "+itoa(off)+"(1000) ack 1")
	}
	d.send(batch...)
	d.expect(". 1 ack 20001")
}

// TestGapIsToldAtOnce: RFC 5681, 4.2: a duplicate ACK for each segment beyond a gap,
// and an ACK at once when the gap is filled, in part or whole.
func TestGapIsToldAtOnce(t *testing.T) {
	d := established(t)
	for _, s := range []string{". 1001(1000) ack 1", ". 2001(1000) ack 1", ". 4001(1000) ack 1"} {
		d.send(s)
		d.expect(". 1 ack 1")
	}
	d.send(". 1(1000) ack 1")
	d.expect(". 1 ack 3001") // one gap left
	d.send(". 3001(1000) ack 1")
	d.expect(". 1 ack 5001")
	d.expectRead(5000)
}

// TestOldDataAreAckedAtOnce: the ACK was lost; the peer waits for it.
func TestOldDataAreAckedAtOnce(t *testing.T) {
	d := established(t)
	d.send("P. 1(100) ack 1")
	d.expectLate(". 1 ack 101")
	d.send("P. 1(100) ack 1")
	d.expect(". 1 ack 101")
	d.expectRead(100)
}

// TestAckIsNotAcked: a bare ACK takes no number and earns no answer.
func TestAckIsNotAcked(t *testing.T) {
	d := established(t)
	for range 5 {
		d.send(". 1 ack 1")
	}
	d.wait(time.Hour)
	d.expectNothing()
}

// TestKeepAliveProbeIsAnswered: SEG.SEQ is RCV.NXT-1 and so outside the window,
// with or without its octet of garbage (3.8.4, MAY-6).
func TestKeepAliveProbeIsAnswered(t *testing.T) {
	d := established(t)
	d.send(". 0 ack 1")
	d.expect(". 1 ack 1")
	d.wait(time.Minute)
	d.send(". 0(1) ack 1")
	d.expect(". 1 ack 1")
}

// TestSegmentsThatHaveBecomeSmallerAreFullOnes: SHLD-19: a peer whose path carries less than
// before, as its search of RFC 4821 makes it, still hears of every second segment at once.
func TestSegmentsThatHaveBecomeSmallerAreFullOnes(t *testing.T) {
	d := established(t)
	d.tcb.SetQuickAck(d.now, false) // the beginning is over
	d.send(". 1(1000) ack 1")
	d.send(". 1001(1000) ack 1")
	d.expect(". 1 ack 2001")
	d.send(". 2001(600) ack 1") // may be the end of a write
	d.expectNothing()
	d.send(". 2601(600) ack 1") // is none
	d.expect(". 1 ack 3201")
	d.send(". 3201(600) ack 1")
	d.expectNothing()
	d.send(". 3801(600) ack 1")
	d.expect(". 1 ack 4401")
}
