package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Loss and what it costs: RFC 5681, 6582, 6675, 3042; RFC 2018.

// flight is an established connection that has sent n full segments of 1,000 bytes,
// the last of them pushed, and has nothing more to send. n is at most 10, the
// initial window.
func flight(t *testing.T, n int, opts ...option) *dialogue {
	t.Helper()
	d := established(t, opts...)
	d.write(n * 1000)
	for i, u := range d.overheard() {
		if i >= n || u.Seq != d.iss.Add(1+i*1000) || len(u.Payload) != 1000 {
			d.fail("segment %d of the flight is %s", i, u.text)
		}
	}
	if got := d.info().SndNxt.Sub(d.iss); got != n*1000+1 {
		d.fail("SND.NXT is %d after %d segments", got, n)
	}
	d.wait(rtt)
	return d
}

// TestInitialWindow: ten segments (RFC 6928, 2), and no more before an ACK.
func TestInitialWindow(t *testing.T) {
	for _, c := range []struct {
		p    tcp.Params
		want int
	}{
		{tcp.Params{}, 10},
		{tcp.Params{InitialWindow: 2}, 2},
	} {
		d := established(t, withParams(c.p))
		d.write(40000)
		if n := len(d.overheard()); n != c.want {
			d.fail("%d segments at first, want %d", n, c.want)
		}
	}
}

// TestInitialWindowAfterLostSYNs: one segment (RFC 5681, 3.1; RFC 6928, 2 and Linux
// wait for the second loss).
func TestInitialWindowAfterLostSYNs(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.wait(3 * time.Second)
	d.expect("@1s S 0", "@3s S 0")
	d.send("S. 0 ack 1")
	d.expect(". 1 ack 1")
	d.write(10000)
	d.expect(". 1(1000) ack 1")
}

// TestSlowStart: each ACK lets at most what it acknowledges and one segment more go
// out (RFC 5681, 3.1), and each round trip at most doubles the window.
func TestSlowStart(t *testing.T) {
	d := established(t, withParams(tcp.Params{InitialWindow: 2}))
	d.write(100000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1")
	acked, cwnd := 1, 2000
	for round := range 4 {
		d.wait(rtt)
		for end := d.info().SndNxt.Sub(d.iss); acked < end; {
			acked += 1000
			d.send(". 1 ack " + itoa(acked))
			if n := len(d.overheard()); n != 2 {
				d.fail("an ACK of one segment in slow start let %d go", n)
			}
		}
		cwnd *= 2
		if got := d.info().Cwnd; got != cwnd {
			d.fail("cwnd is %d after round %d, want %d", got, round+1, cwnd)
		}
	}
}

// TestThirdDuplicateAckRetransmits: RFC 5681, 3.2: the third, and only what is
// missing.
func TestThirdDuplicateAckRetransmits(t *testing.T) {
	d := flight(t, 10)
	d.send(". 1 ack 1001")
	d.expectNothing()
	d.send(". 1 ack 1001")
	d.expectNothing()
	d.send(". 1 ack 1001")
	d.expectNothing()
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1")
	if i := d.info(); !i.InRecovery || i.FastRecovery != 1 || i.RetransSegs != 1 ||
		i.Ssthresh > 7000 || i.Ssthresh < 2000 { // half the flight, or with CUBIC seven tenths (RFC 9438, 4.6)
		d.fail("Info says %+v", i)
	}
	for range 5 {
		d.send(". 1 ack 1001")
		d.expectNothing() // there is nothing new to send, and one loss is known
	}
	d.send(". 1 ack 10001")
	d.expectNothing()
	if i := d.info(); i.InRecovery || i.RetransSegs != 1 || i.Timeouts != 0 {
		d.fail("Info says %+v", i)
	}
}

// TestThirdDuplicateAckWithSACK: RFC 6675, 5: DupThresh segments beyond the gap.
func TestThirdDuplicateAckWithSACK(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1001")
	d.expectNothing()
	d.send(". 1 ack 1001 <nop,nop,sack 2001:3001>")
	d.expectNothing()
	d.send(". 1 ack 1001 <nop,nop,sack 2001:4001>")
	d.expectNothing()
	d.send(". 1 ack 1001 <nop,nop,sack 2001:5001>")
	d.expect(". 1001(1000) ack 1")
	d.send(". 1 ack 1001 <nop,nop,sack 2001:10001>")
	d.expectNothing()
	d.send(". 1 ack 10001")
	d.expectNothing()
	if i := d.info(); i.RetransSegs != 1 || i.Timeouts != 0 || i.FastRecovery != 1 {
		d.fail("Info says %+v", i)
	}
}

// TestSACKTellsTheLossAtOnce: one ACK that shows three segments beyond the gap says
// as much as three (RFC 6675, IsLost).
func TestSACKTellsTheLossAtOnce(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1001 <nop,nop,sack 2001:10001>")
	d.expect(". 1001(1000) ack 1")
}

// TestSACKRetransmitsOnlyWhatIsMissing: several gaps in one window, each repaired once
// and nothing else sent twice.
func TestSACKRetransmitsOnlyWhatIsMissing(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1001 <nop,nop,sack 2001:4001>")
	d.expectNothing()
	d.send(". 1 ack 1001 <nop,nop,sack 5001:6001 2001:4001>")
	d.expect(". 1001(1000) ack 1")
	d.send(". 1 ack 1001 <nop,nop,sack 5001:10001 2001:4001>")
	d.expect(". 4001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 4001 <nop,nop,sack 5001:10001>")
	d.expectNothing()
	d.send(". 1 ack 10001")
	d.expectNothing()
	if i := d.info(); i.RetransSegs != 2 || i.FastRecovery != 1 || i.Timeouts != 0 || i.BytesRetrans != 2000 {
		d.fail("Info says %+v", i)
	}
}

// TestPartialAckShowsTheNextHole: RFC 6582, 3.2, step 3: without SACK each partial ACK
// of the recovery repairs one more, without waiting for duplicates.
func TestPartialAckShowsTheNextHole(t *testing.T) {
	d := flight(t, 10)
	d.send(". 1 ack 1001")
	for range 2 {
		d.send(". 1 ack 1001")
		d.expectNothing()
	}
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 4001")
	d.expect(". 4001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 7001")
	d.expect(". 7001(1000) ack 1")
	ssthresh := d.info().Ssthresh
	d.wait(rtt)
	d.send(". 1 ack 10001")
	d.expectNothing()
	if i := d.info(); i.FastRecovery != 1 || i.RetransSegs != 3 || i.Ssthresh != ssthresh || i.InRecovery {
		d.fail("one window of losses halves once; Info says %+v", i)
	}
}

// TestDuplicatesAfterRecoveryBeginNoOther: RFC 6582, 3.2, step 2: without SACK,
// duplicates that acknowledge no more than was out when the loss was found may come
// from what was sent twice.
func TestDuplicatesAfterRecoveryBeginNoOther(t *testing.T) {
	d := flight(t, 10)
	for range 3 {
		d.send(". 1 ack 1")
	}
	d.expect(". 1(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 10001")
	d.expectNothing()
	d.write(3000)
	d.overheard()
	for range 4 {
		d.send(". 1 ack 10001")
		d.expectNothing()
	}
	if i := d.info(); i.FastRecovery != 1 {
		d.fail("%d recoveries", i.FastRecovery)
	}
}

// TestLimitedTransmit: RFC 3042: the first two duplicates let new segments go.
func TestLimitedTransmit(t *testing.T) {
	d := established(t)
	d.write(20000)
	d.overheard() // ten of them
	d.wait(rtt)
	d.send(". 1 ack 1")
	d.expect(". 10001(1000) ack 1")
	d.send(". 1 ack 1")
	d.expect(". 11001(1000) ack 1")
	d.send(". 1 ack 1")
	h := d.overheard()
	if len(h) == 0 || h[0].Seq != d.iss.Add(1) || len(h[0].Payload) != 1000 {
		d.fail("the third duplicate does not retransmit")
	}
}

// TestDuplicatesThatAreNone: RFC 5681, 2: an ACK that carries data, or moves the
// window, or meets no data in flight, is no duplicate ACK.
func TestDuplicatesThatAreNone(t *testing.T) {
	d := flight(t, 5)
	d.send(". 1 ack 1 win 60000")
	for i := range 4 {
		d.send(". 1 ack 1 win " + itoa(60001+i)) // window updates
		d.expectNothing()
	}
	off := 1
	for range 4 {
		d.send("P. " + itoa(off) + "(10) ack 1 win 60004")
		off += 10
		for _, u := range d.overheard() {
			if len(u.Payload) != 0 {
				d.fail("data were taken for duplicate ACKs: %s", u.text)
			}
		}
	}
	d.expectRead(40)
	d.overheard()
	d.wait(delack)
	d.overheard()
	d.send(". 41 ack 5001 win 60004")
	for range 4 {
		d.send(". 41 ack 5001 win 60004") // nothing is in flight
		d.expectNothing()
	}
	if i := d.info(); i.RetransSegs != 0 || i.FastRecovery != 0 {
		d.fail("Info says %+v", i)
	}
}

// TestReorderingBelowTheThresholdCostsNothing: two duplicates are no loss.
func TestReorderingBelowTheThresholdCostsNothing(t *testing.T) {
	for _, opt := range []option{func(*dialogue) {}, withSACK} {
		d := flight(t, 10, opt)
		for _, a := range []int{1001, 1001, 1001, 4001, 5001, 5001, 7001, 7001, 7001, 10001} {
			d.send(". 1 ack " + itoa(a))
			d.expectNothing()
		}
		if i := d.info(); i.RetransSegs != 0 || i.InRecovery || i.Ssthresh != tcp.MaxWindow {
			d.fail("Info says %+v", i)
		}
	}
}

// TestTimeoutSendsOneSegment: RFC 5681, 3.1: after a timeout the window is one
// segment (LW), and the threshold half the flight, or with CUBIC seven tenths (RFC 9438,
// 4.6).
func TestTimeoutSendsOneSegment(t *testing.T) {
	d := flight(t, 10)
	d.wait(rtoAfter - rtt)
	d.expect("@* . 1(1000) ack 1")
	if i := d.info(); i.Cwnd != 1000 || i.Ssthresh != 5000 && i.Ssthresh != 7000 || i.Timeouts != 1 {
		d.fail("Info says %+v", i)
	}
}

// TestGoBackAfterTimeoutSkipsWhatIsHeld: after a timeout all that was not selectively
// acknowledged is sent again, and nothing that was (RFC 6675, 5.1; RFC 2018, 8 allows
// it to be doubted, and then it is sent when the gaps before it are closed).
func TestGoBackAfterTimeoutSkipsWhatIsHeld(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 8001:9001>")
	d.expectNothing()
	d.send(". 1 ack 1 <nop,nop,sack 8001:10001>")
	d.expectNothing()
	d.wait(rtt/4 + rtoAfter) // the timer starts anew with the first repair, as on Linux
	// By time (RFC 8985) the first may have been tried before the timer expires.
	for len(d.heard) > 1 {
		if u := d.heard[0]; u.Seq != d.iss.Add(1) {
			d.fail("%s before the timer", u.text)
		}
		d.heard = d.heard[1:]
	}
	again := map[int]int{}
	acked := 1
	for range 20 {
		for _, u := range d.overheard() {
			for off := u.Seq.Sub(d.iss); off < u.Seq.Sub(d.iss)+len(u.Payload); off += 1000 {
				again[off]++
			}
		}
		d.wait(rtt)
		for again[acked] > 0 {
			acked += 1000
		}
		if acked >= 8001 {
			d.send(". 1 ack 10001")
			break
		}
		d.send(". 1 ack " + itoa(acked) + " <nop,nop,sack 8001:10001>")
	}
	d.expectNothing()
	for off := 1; off <= 9001; off += 1000 {
		want := 1
		if off >= 8001 {
			want = 0
		}
		if again[off] != want {
			d.fail("segment %d was sent again %d times, want %d", off, again[off], want)
		}
	}
}

// TestGoBackAfterTimeoutWithoutSACK: all may be missing; what the ACKs show to have
// arrived is not sent again.
func TestGoBackAfterTimeoutWithoutSACK(t *testing.T) {
	d := flight(t, 10)
	d.wait(rtoAfter)
	d.expect("@* . 1(1000) ack 1")
	d.send(". 1 ack 6001") // it was only the first
	for _, u := range d.overheard() {
		if u.Seq.Before(d.iss.Add(6001)) {
			d.fail("%s was acknowledged before", u.text)
		}
	}
	d.send(". 1 ack 10001")
	d.expectNothing()
	d.wait(time.Hour)
	d.expectNothing()
}

// TestRenegingIsSurvived: RFC 2018, 8: what was reported held may be gone; the data
// are kept until the cumulative ACK, and sent again after a timeout.
func TestRenegingIsSurvived(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 1001:10001>")
	d.expect(". 1(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001") // and nothing of the rest
	acked := 1001
	for range 200 {
		for _, u := range d.overheard() {
			if u.Seq.Sub(d.iss) == acked {
				acked += len(u.Payload)
			}
		}
		if acked >= 10001 {
			break
		}
		d.wait(time.Second)
	}
	if acked < 10001 {
		acked = d.askAgain(acked)
	}
	if acked < 10001 {
		d.fail("the stream is stuck at %d after the peer has forgotten what it held", acked)
	}
}

// askAgain acknowledges what has come and collects what follows, for as long as
// anything does.
func (d *dialogue) askAgain(acked int) int {
	d.Helper()
	for range 50 {
		d.send(". 1 ack " + itoa(acked))
		d.wait(5 * time.Second)
		for _, u := range d.overheard() {
			if u.Seq.Sub(d.iss) == acked {
				acked += len(u.Payload)
			}
		}
	}
	return acked
}

// TestSACKNonsenseIsIgnored: blocks that are empty, backwards, below SND.UNA or beyond
// SND.NXT move nothing.
func TestSACKNonsenseIsIgnored(t *testing.T) {
	d := flight(t, 4, withSACK)
	for _, blocks := range []string{"5001:9001", "3001:2001", "2001:2001", "-3000:-1000", "1:1", "4001:4002", "100000:200000", "-5:100000"} {
		d.send(". 1 ack 1 win 60000 <nop,nop,sack " + blocks + ">")
		for _, u := range d.overheard() {
			// Duplicate ACKs they are, perhaps; that may repair the first segment.
			if u.Seq != d.iss.Add(1) || len(u.Payload) != 1000 {
				d.fail("a SACK of %s has caused %s", blocks, u.text)
			}
		}
	}
	d.send(". 1 ack 4001")
	d.expectNothing()
	d.wait(time.Hour)
	d.expectNothing()
}

// TestNoRetransmissionWithoutLoss: a long stream, ACKs as any receiver sends them,
// and not one segment twice.
func TestNoRetransmissionWithoutLoss(t *testing.T) {
	for name, opts := range map[string][]option{
		"plain": nil, "SACK": {withSACK}, "SACK and timestamps": {withSACK, withTS},
		"super-segments": {withSACK, withGSO(64 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			d := established(t, opts...)
			acked := 1
			for range 200 {
				d.tryWrite(64 << 10)
				d.overheard()
				d.wait(20 * time.Millisecond)
				d.overheard()
				end := d.info().SndNxt.Sub(d.iss)
				for acked < end {
					acked = min(acked+2000, end)
					d.send(". 1 ack " + itoa(acked))
					d.overheard()
				}
			}
			if i := d.info(); i.RetransSegs != 0 || i.BytesRetrans != 0 || i.Timeouts != 0 || i.FastRecovery != 0 {
				d.fail("Info says %+v", i)
			}
		})
	}
}

// TestRestartAfterIdle: RFC 5681, 4.1: after a timeout's length of silence the window
// is at most the initial one.
func TestRestartAfterIdle(t *testing.T) {
	d := established(t)
	acked := 1
	for range 6 {
		d.tryWrite(200000)
		d.overheard()
		d.wait(rtt)
		for end := d.info().SndNxt.Sub(d.iss); acked < end; {
			acked += min(1000, end-acked)
			d.send(". 1 ack " + itoa(acked))
			d.overheard()
		}
	}
	for d.info().SendQueue > 0 {
		acked = d.info().SndNxt.Sub(d.iss)
		d.send(". 1 ack " + itoa(acked))
		d.overheard()
	}
	if d.info().Cwnd < 20000 {
		d.fail("cwnd has only grown to %d", d.info().Cwnd)
	}
	d.wait(10 * time.Second)
	d.write(60000)
	if n := len(d.overheard()); n > 10 {
		d.fail("%d segments at once after ten idle seconds, want at most 10", n)
	}
}

// TestSplitAcksGainNothing: RFC 3465, 2: a segment that is acknowledged in ten parts grows the
// window by what it would have in one.
func TestSplitAcksGainNothing(t *testing.T) {
	grown := func(step int) int {
		d := established(t, withParams(tcp.Params{Congestion: tcp.NewReno})) // which counts in whole bytes
		d.write(30000)
		d.overheard()
		d.wait(rtt)
		for ack := 1 + step; ack <= 1001; ack += step {
			d.send(". 1 ack " + itoa(ack))
			d.overheard()
		}
		return d.info().Cwnd
	}
	if whole, split := grown(1000), grown(100); whole != 11000 || split != whole {
		t.Errorf("the window is %d after one ACK and %d after ten, want 11000", whole, split)
	}
}
