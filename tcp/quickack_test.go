package tcp_test

import (
	"testing"
	"time"
)

// Quick ACK mode and pingpong mode, as on Linux.

// TestFirstSegmentsAreAckedAtOnce: the peer is in slow start, and each ACK lets it grow.
// After sixteen an ACK waits for company.
func TestFirstSegmentsAreAckedAtOnce(t *testing.T) {
	d := established(t)
	for off := 1; off < 161; off += 10 {
		d.send("P. " + itoa(off) + "(10) ack 1")
		d.expect(". 1 ack " + itoa(off+10))
		d.wait(time.Millisecond)
	}
	d.send("P. 161(10) ack 1")
	d.expectNothing()
	d.at(delack)
	d.expect("@40ms . 1 ack 171")
}

// TestAcksAreQuickAfterIdle: after more than a retransmission timeout the peer starts
// slowly again.
func TestAcksAreQuickAfterIdle(t *testing.T) {
	d := established(t)
	for off := 1; off < 161; off += 10 {
		d.send("P. " + itoa(off) + "(10) ack 1")
		d.expect(". 1 ack " + itoa(off+10))
	}
	d.wait(time.Second)
	d.send("P. 161(10) ack 1")
	d.expect(". 1 ack 171")
}

// TestAnAnswerCarriesTheAck: once data goes both ways an ACK waits for the answer, from the
// second request on and after idle times too.
func TestAnAnswerCarriesTheAck(t *testing.T) {
	d := established(t)
	d.send("P. 1(10) ack 1")
	d.expect(". 1 ack 11")
	d.write(10)
	d.expect("P. 1(10) ack 11")
	for n := 1; n < 20; n++ {
		d.send(". " + itoa(10*n+1) + " ack " + itoa(10*n+1))
		d.wait(time.Second)
		d.send("P. " + itoa(10*n+1) + "(10) ack " + itoa(10*n+1))
		d.wait(delack - 1)
		d.expectNothing()
		d.write(10)
		d.expect("P. " + itoa(10*n+1) + "(10) ack " + itoa(10*n+11))
	}
}

// TestAnAnswerThatDoesNotComeIsNotWaitedFor: one ACK was late for it, the next is not.
func TestAnAnswerThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	d := established(t)
	d.send("P. 1(10) ack 1")
	d.expect(". 1 ack 11")
	d.write(10)
	d.expect("P. 1(10) ack 11")
	d.send("P. 11(10) ack 11")
	d.wait(time.Second)
	d.expect("@40ms . 11 ack 21")
	d.send("P. 21(10) ack 11")
	d.expect(". 11 ack 31")
}

// TestReaderThatTookAllAcksASmallSegment: where data goes one way only nothing else will
// come to ride on.
func TestReaderThatTookAllAcksASmallSegment(t *testing.T) {
	d := established(t)
	for off := 1; off < 161; off += 10 {
		d.send("P. " + itoa(off) + "(10) ack 1")
		d.expect(". 1 ack " + itoa(off+10))
	}
	d.take(160)
	d.wait(time.Millisecond)
	d.send("P. 161(10) ack 1")
	d.expectNothing()
	d.take(5)
	d.expectNothing()
	d.take(5)
	d.expect(". 1 ack 171")
}

// TestReaderDoesNotAckFullSegmentsOneByOne: a small segment that was acknowledged long ago
// is no reason to acknowledge every full one.
func TestReaderDoesNotAckFullSegmentsOneByOne(t *testing.T) {
	d := established(t)
	d.send("P. 1(10) ack 1")
	d.expect(". 1 ack 11")
	d.take(10)
	in := 11
	for ; in < 15011; in += 1000 { // to the end of quick ACK mode
		d.send(". " + itoa(in) + "(1000) ack 1")
		d.expect(". 1 ack " + itoa(in+1000))
		d.take(1000)
		d.overheard()
	}
	for range 10 {
		d.send(". " + itoa(in) + "(1000) ack 1")
		d.take(1000)
		d.expectNothing()
		d.send(". " + itoa(in+1000) + "(1000) ack 1")
		d.expect(". 1 ack " + itoa(in+2000))
		d.take(1000)
		in += 2000
	}
}

// TestRequestInTwoPartsNeverWaits: a peer whose Nagle holds the second part of a request
// until the first is acknowledged gets that ACK at once, every time; the ACK of the second
// waits for the answer.
func TestRequestInTwoPartsNeverWaits(t *testing.T) {
	d := established(t)
	in, out := 1, 1
	for n := range 20 {
		d.send("P. " + itoa(in) + "(10) ack " + itoa(out))
		d.expect(". " + itoa(out) + " ack " + itoa(in+10))
		d.wait(rtt)
		d.send("P. " + itoa(in+10) + "(10) ack " + itoa(out))
		if n == 0 {
			d.overheard() // still in quick ACK mode
		}
		d.expectNothing()
		d.wait(time.Millisecond)
		d.write(10)
		d.expect("P. " + itoa(out) + "(10) ack " + itoa(in+20))
		in, out = in+20, out+10
		d.wait(100 * time.Millisecond)
	}
}

// TestSetQuickAck: the ACK that waits leaves, and so do the next.
func TestSetQuickAck(t *testing.T) {
	d := established(t)
	d.call("SetQuickAck off", func() { d.tcb.SetQuickAck(d.now, false) })
	d.send("P. 1(10) ack 1")
	d.expectNothing()
	d.call("SetQuickAck on", func() { d.tcb.SetQuickAck(d.now, true) })
	d.expect(". 1 ack 11")
	d.send("P. 11(10) ack 1")
	d.expect(". 1 ack 21")
}

// TestAckNeverWaitsHalfASecond: MUST-40, whatever rhythm the peer's segments have.
func TestAckNeverWaitsHalfASecond(t *testing.T) {
	d := established(t)
	d.tcb.SetQuickAck(d.now, false)
	off := 1
	for gap := time.Millisecond; gap < 10*time.Second; gap += gap / 3 {
		d.send("P. " + itoa(off) + "(10) ack 1")
		sent := d.mark
		d.wait(200 * time.Millisecond)
		h := d.overheard()
		if off += 10; len(h) != 1 || h[0].Ack != d.irs.Add(off) {
			d.fail("%d ACKs within 200 ms, the first gap being %v", len(h), h[0].at.Sub(sent))
		}
		d.wait(gap)
	}
}
