package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The retransmission timer: RFC 6298, RFC 9293 3.8.1 to 3.8.3.

// estimator is RFC 6298, section 2, with Linux's floor under 4·RTTVAR in place of
// the RFC's 1 s under the whole.
type estimator struct{ srtt, rttvar time.Duration }

func (e *estimator) sample(r time.Duration) time.Duration {
	if e.srtt == 0 {
		e.srtt, e.rttvar = r, r/2 // (2.2)
	} else {
		e.rttvar = (3*e.rttvar + (e.srtt - r).Abs()) / 4 // (2.3), RTTVAR before SRTT
		e.srtt = (7*e.srtt + r) / 8
	}
	return e.srtt + max(200*time.Millisecond, 4*e.rttvar)
}

// TestSYNIsRetransmittedAndGivenUp: 1, 3, 7, 15, 31, 63, 127 s, and after MaxRTO
// more, at 247 s, the caller is told (MUST-22; MUST-23 asks for 180 s at least).
func TestSYNIsRetransmittedAndGivenUp(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.wait(247*time.Second - 1)
	d.expect("@1s S 0", "@3s S 0", "@7s S 0", "@15s S 0", "@31s S 0", "@63s S 0", "@127s S 0")
	d.expectState(tcp.StateSynSent)
	d.wait(1)
	d.expectReadError(tcp.ErrTimeout)
	d.expectWriteError(tcp.ErrTimeout)
	d.expectClosed(tcp.ErrTimeout)
}

// TestSynAckIsRetransmittedAndGivenUp: the passive side keeps Linux's five.
func TestSynAckIsRetransmittedAndGivenUp(t *testing.T) {
	d := passively(t, tcp.StateSynReceived)
	d.wait(63*time.Second - 1)
	d.expect("@1s S. 0 ack 1", "@3s S. 0 ack 1", "@7s S. 0 ack 1", "@15s S. 0 ack 1", "@31s S. 0 ack 1")
	d.expectState(tcp.StateSynReceived)
	d.wait(1)
	d.expectClosed(tcp.ErrTimeout)
}

// TestListenWaitsForNothing: no timer runs before a SYN.
func TestListenWaitsForNothing(t *testing.T) {
	d := inState(t, tcp.StateListen)
	if d.tcb.Deadline() != tcp.Never {
		d.fail("a listener has a deadline")
	}
}

// TestFirstSampleIsTheHandshake: (2.2): SRTT is R, RTTVAR is R/2.
func TestFirstSampleIsTheHandshake(t *testing.T) {
	for name, d := range map[string]*dialogue{
		"active":  established(t),
		"passive": passively(t, tcp.StateEstablished),
	} {
		i := d.info()
		if i.SRTT != rtt || i.RTTVar != rtt/2 || i.RTO != rtoAfter {
			d.fail("%s: SRTT %v, RTTVAR %v, RTO %v; want %v, %v, %v", name, i.SRTT, i.RTTVar, i.RTO, rtt, rtt/2, rtoAfter)
		}
	}
}

// TestEstimatorFollowsTheRFC: (2.3), and the timer is started by what was sent (5.1).
func TestEstimatorFollowsTheRFC(t *testing.T) {
	d := established(t)
	var e estimator
	e.sample(rtt)
	off := 1
	for _, r := range []time.Duration{10, 10, 30, 200, 80, 80, 10, 10, 400, 10} {
		r *= time.Millisecond
		d.write(100)
		d.expect("P. " + itoa(off) + "(100) ack 1")
		off += 100
		d.wait(r)
		if len(d.heard) != 0 { // 400 ms: the timer has expired; Karn then
			d.overheard()
			d.send(". 1 ack " + itoa(off))
			d.expectNothing()
			continue
		}
		d.send(". 1 ack " + itoa(off))
		d.expectNothing()
		want := e.sample(r)
		i := d.info()
		if d := (i.RTO - want).Abs(); d > time.Microsecond {
			t.Errorf("after a sample of %v: RTO %v, want %v", r, i.RTO, want)
		}
	}
	if d.tcb.Deadline() != tcp.Never {
		d.fail("all is acknowledged, and a timer runs (5.2)")
	}
}

// TestRetransmissionBacksOff: (5.5), capped at MaxRTO (2.5), until R2.
func TestRetransmissionBacksOff(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	var at time.Duration
	gap := rtoAfter
	for n := 1; n <= 15; n++ {
		at += gap
		gap = min(2*gap, 120*time.Second)
		d.at(at - 1)
		d.expectNothing()
		d.wait(1)
		d.expect("@" + at.String() + " P. 1(100) ack 1")
		i := d.info()
		if i.Retransmits != n {
			d.fail("Info counts %d retransmissions of %d", i.Retransmits, n)
		}
		if i.Troubled != (n >= 3) { // R1 (SHLD-9, SHLD-10)
			d.fail("Troubled is %v after %d retransmissions", i.Troubled, n)
		}
	}
	if at < 100*time.Second {
		d.fail("R2 is at %v (SHLD-11)", at)
	}
	d.at(at + gap - 1)
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
	d.wait(1)
	d.expectReadError(tcp.ErrTimeout)
	d.expectWriteError(tcp.ErrTimeout)
	d.expectClosed(tcp.ErrTimeout)
}

// TestProgressEndsTheTrouble: R1 and R2 count retransmissions of one segment.
func TestProgressEndsTheTrouble(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.wait(rtoAfter * 7) // at 1, 3 and 7 times the timeout
	if n := len(d.overheard()); n != 3 {
		d.fail("%d retransmissions, want 3", n)
	}
	if !d.info().Troubled {
		d.fail("three retransmissions and no trouble")
	}
	d.send(". 1 ack 101")
	d.expectNothing()
	if i := d.info(); i.Troubled || i.Retransmits != 0 {
		d.fail("all is acknowledged, and Info says %+v", i)
	}
}

// TestKarn: a segment that was sent twice gives no sample, and the backed-off timeout
// stays until one does (RFC 6298, section 3 and 5; MUST-18).
func TestKarn(t *testing.T) {
	d := established(t)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.wait(rtoAfter)
	d.expect("@210ms P. 1(100) ack 1")
	d.wait(5 * time.Millisecond)
	d.send(". 1 ack 101") // of which of the two?
	d.expectNothing()
	if got := d.info().SRTT; got != rtt {
		d.fail("SRTT moved to %v by an ambiguous ACK", got)
	}
	if got := d.info().RTO; got != 2*rtoAfter {
		d.fail("RTO is %v after one back-off and no sample, want %v", got, 2*rtoAfter)
	}
	d.write(100)
	d.expect("P. 101(100) ack 1")
	d.wait(20 * time.Millisecond)
	d.send(". 1 ack 201")
	d.expectNothing()
	e := estimator{srtt: rtt, rttvar: rtt / 2}
	if want, got := e.sample(20*time.Millisecond), d.info().RTO; (got - want).Abs() > time.Microsecond {
		d.fail("RTO is %v after a good sample, want %v", got, want)
	}
}

// TestTimestampsResolveAmbiguity: with timestamps the ACK says which copy it answers
// (RFC 7323, 4.1).
func TestTimestampsResolveAmbiguity(t *testing.T) {
	d := established(t, withTS)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.wait(rtoAfter)
	d.expect("@210ms P. 1(100) ack 1")
	d.wait(30 * time.Millisecond)
	d.send(". 1 ack 101") // echoes the TSval of the second copy
	d.expectNothing()
	e := estimator{srtt: rtt, rttvar: rtt / 2}
	e.sample(30 * time.Millisecond)
	if got := d.info().SRTT; (got - e.srtt).Abs() > time.Millisecond {
		d.fail("SRTT is %v, want about %v", got, e.srtt)
	}
}

// TestPathThatBecomesSlow: the round trip grows from 10 ms to a second. The timer
// expires too early at first; the back-off that Karn's rule keeps lets a segment
// through that was sent once, and its sample ends the needless retransmissions.
func TestPathThatBecomesSlow(t *testing.T) {
	for name, opts := range map[string][]option{"without timestamps": nil, "with": {withTS}} {
		t.Run(name, func(t *testing.T) {
			d := established(t, opts...)
			copies := 0
			for n := range 20 {
				end := itoa(1 + (n+1)*100)
				d.write(100)
				echo := d.lastTS // the receiver echoes the copy that it got first
				d.wait(time.Second)
				copies = len(d.overheard())
				if d.peer.ts {
					d.send(". 1 ack " + end + " <nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) + ">")
				} else {
					d.send(". 1 ack " + end)
				}
				d.expectNothing()
				if n >= 5 && copies != 1 {
					d.fail("segment %d was still sent %d times", n, copies)
				}
			}
			if rto := d.info().RTO; rto < time.Second || rto > 4*time.Second {
				d.fail("RTO is %v on a path of one second", rto)
			}
		})
	}
}

// TestAckOfNewDataRestartsTheTimer: (5.3).
func TestAckOfNewDataRestartsTheTimer(t *testing.T) {
	d := established(t)
	d.write(3000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(1000) ack 1")
	d.wait(100 * time.Millisecond)
	d.send(". 1 ack 1001")
	d.expectNothing()
	rto := d.info().RTO
	d.at(rto - 1)
	d.expectNothing()
	d.at(rto)
	d.expect("@" + rto.String() + " . 1001(1000) ack 1") // the earliest, and no other
}

// TestSendingDoesNotRestartTheTimer: (5.1): it runs for the oldest.
func TestSendingDoesNotRestartTheTimer(t *testing.T) {
	d := established(t)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	start := d.now
	d.wait(100 * time.Millisecond)
	d.write(1000)
	d.expect("P. 1001(1000) ack 1")
	d.mark = start
	d.at(rtoAfter)
	d.expect("@210ms P. 1(1000) ack 1 | @210ms . 1(1000) ack 1")
}

// TestTimeoutAfterLostSYN: (5.7): when the timer expired for the SYN, the timeout
// is 3 s when data begin, for want of a sample.
func TestTimeoutAfterLostSYN(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.wait(time.Second)
	d.expect("@1s S 0")
	d.wait(rtt)
	d.send("S. 0 ack 1")
	d.expect(". 1 ack 1")
	if got := d.info().SRTT; got != 0 {
		d.fail("SRTT is %v after a SYN that was sent twice (Karn)", got)
	}
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.at(3*time.Second - 1)
	d.expectNothing()
	d.at(3 * time.Second)
	d.expect("@3s P. 1(100) ack 1")
}

// TestRetransmissionTakesAFullSegment: small segments may be sent again as one.
func TestRetransmissionTakesAFullSegment(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	for off := 1; off < 31; off += 10 {
		d.write(10)
		d.expect("P. " + itoa(off) + "(10) ack 1")
	}
	d.wait(rtoAfter)
	// Repacketized or as it was; in either case it starts at SND.UNA and is one.
	h := d.overheard()
	if len(h) != 1 || h[0].Seq != d.iss.Add(1) || len(h[0].Payload) != 10 && len(h[0].Payload) != 30 {
		d.fail("%d segments, the first %s", len(h), h[0].text)
	}
}

// TestUserTimeout: 3.10.8 and MUST-21: the connection is given up when data have
// waited that long.
func TestUserTimeout(t *testing.T) {
	d := established(t)
	d.tcb.SetUserTimeout(d.now, 5*time.Second)
	d.wait(time.Hour) // nothing is outstanding: no matter
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.at(5*time.Second - 1)
	d.overheard()
	d.expectState(tcp.StateEstablished)
	d.at(5 * time.Second)
	d.overheard()
	d.expectReadError(tcp.ErrTimeout)
	d.expectClosed(tcp.ErrTimeout)
}

// TestUserTimeoutLongerThanR2: MUST-21: the user's R2 goes before the default,
// which lies at about 15 minutes.
func TestUserTimeoutLongerThanR2(t *testing.T) {
	d := established(t)
	d.tcb.SetUserTimeout(d.now, time.Hour)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.at(time.Hour - 1)
	d.overheard()
	d.expectState(tcp.StateEstablished)
	d.at(time.Hour)
	d.overheard()
	d.expectClosed(tcp.ErrTimeout)
}

// TestUserTimeoutOfCall: MUST-22: likewise for the SYN.
func TestUserTimeoutOfCall(t *testing.T) {
	d := inState(t, tcp.StateSynSent)
	d.tcb.SetUserTimeout(d.now, 5*time.Second)
	d.at(5*time.Second - 1)
	d.expect("@1s S 0", "@3s S 0")
	d.expectState(tcp.StateSynSent)
	d.at(5 * time.Second)
	d.expectClosed(tcp.ErrTimeout)
}

// TestUserTimeoutDoesNotCountAShutWindow: while a peer answers probes with a window of
// zero it is alive (MUST-37); when it opens the window the data in flight have not
// been waiting for that long.
func TestUserTimeoutDoesNotCountAShutWindow(t *testing.T) {
	d := established(t)
	d.tcb.SetUserTimeout(d.now, 5*time.Second)
	d.write(2000)
	d.expect(". 1(1000) ack 1", "P. 1001(1000) ack 1")
	d.send(". 1 ack 1 win 0")
	d.expectNothing()
	for range 60 {
		d.wait(time.Second)
		d.overheard()
		d.send(". 1 ack 1 win 0")
		d.overheard()
		d.expectState(tcp.StateEstablished)
	}
	d.send(". 1 ack 1 win 65535")
	d.overheard()
	d.wait(rtt)
	d.overheard()
	d.expectState(tcp.StateEstablished)
	d.send(". 1 ack 2001")
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
}

// TestUserTimeoutIsProlongedByProgress: what counts is the oldest that waits.
func TestUserTimeoutIsProlongedByProgress(t *testing.T) {
	d := established(t)
	d.tcb.SetUserTimeout(d.now, 5*time.Second)
	for off := 1; off < 1001; off += 100 {
		d.write(100)
		d.wait(3 * time.Second)
		d.overheard()
		d.send(". 1 ack " + itoa(off+100))
		d.expectNothing()
	}
	d.expectState(tcp.StateEstablished)
}
