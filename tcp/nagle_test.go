package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// What the sender holds back: Nagle (RFC 9293, 3.7.4, Minshall's variant as on
// Linux) and silly windows (3.8.6.2.1).

// TestNagleHoldsASmallSegmentBehindASmallOne: and lets it go, with what has gathered,
// when the first is acknowledged (SHLD-7, SHLD-27).
func TestNagleHoldsASmallSegmentBehindASmallOne(t *testing.T) {
	d := established(t)
	d.write(10)
	d.expect("P. 1(10) ack 1") // nothing is in flight: at once (MUST-60)
	d.write(20)
	d.expectNothing()
	d.write(30)
	d.expectNothing()
	d.send(". 1 ack 11")
	d.expect("P. 11(50) ack 1")
}

// TestNagleLetsAFullSegmentGo: what has gathered to a full segment does not wait.
func TestNagleLetsAFullSegmentGo(t *testing.T) {
	d := established(t)
	d.write(10)
	d.expect("P. 1(10) ack 1")
	d.write(990)
	d.expectNothing()
	d.write(20)
	d.expect(". 11(1000) ack 1")
	d.send(". 1 ack 1011")
	d.expect("P. 1011(10) ack 1")
}

// TestMinshallDoesNotWaitForFullSegments: only a small segment in flight holds a
// small one back.
func TestMinshallDoesNotWaitForFullSegments(t *testing.T) {
	d := established(t)
	d.write(2500)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(500) ack 1")
	d.write(10)
	d.expectNothing()
	d.send(". 1 ack 2001") // the small one is still out
	d.expectNothing()
	d.send(". 1 ack 2501")
	d.expect("P. 2501(10) ack 1")
}

// TestNoDelayTurnsNagleOff: MUST-17.
func TestNoDelayTurnsNagleOff(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	for off := 1; off < 51; off += 10 {
		d.write(10)
		d.expect("P. " + itoa(off) + "(10) ack 1")
	}
}

// TestNoDelayReleasesWhatIsHeld: as on Linux, turning Nagle off sends at once.
func TestNoDelayReleasesWhatIsHeld(t *testing.T) {
	d := established(t)
	d.write(10)
	d.expect("P. 1(10) ack 1")
	d.write(10)
	d.expectNothing()
	d.call("SetNoDelay", func() { d.tcb.SetNoDelay(d.now, true) })
	d.expect("P. 11(10) ack 1")
}

// TestFINReleasesWhatIsHeld: nothing more will gather.
func TestFINReleasesWhatIsHeld(t *testing.T) {
	d := established(t)
	d.write(10)
	d.expect("P. 1(10) ack 1")
	d.write(10)
	d.expectNothing()
	d.closeWrite()
	if len(d.heard) == 2 {
		d.expect("P. 11(10) ack 1", "F. 21 ack 1")
	} else {
		d.expect("FP. 11(10) ack 1")
	}
}

// TestSmallWritesGather: SHLD-28: while a small segment is out, many writes become
// few segments.
func TestSmallWritesGather(t *testing.T) {
	d := established(t)
	for range 250 {
		d.write(10)
		d.overheard()
	}
	d.send(". 1 ack 11")
	d.overheard()
	if i := d.info(); i.SegmentsOut > 2+1+3 { // the handshake's two, the first, three of 2,490 bytes
		d.fail("2,500 bytes in writes of 10 went out in %d segments", i.SegmentsOut)
	}
}

// TestPushOnTheLastSegment: MUST-61: of each Write's last segment, and not on those
// between.
func TestPushOnTheLastSegment(t *testing.T) {
	d := established(t)
	d.write(2500)
	for i, u := range d.overheard() {
		if u.Flags.Has(tcp.PSH) != (i == 2) {
			d.fail("PSH on %s", u.text)
		}
	}
}

// TestTinyWindowYieldsNoTinySegments: MUST-38: the peer opens a little of a large
// window; the sender waits for more, and in the end does not wait for ever.
func TestTinyWindowYieldsNoTinySegments(t *testing.T) {
	d := established(t, withWindow(10000))
	d.send(". 1 ack 1 win 100")
	d.write(5000)
	d.expectNothing()
	d.send(". 1 ack 1 win 200")
	d.expectNothing()
	d.wait(time.Second) // the override timeout of 0.1 to 1 s, or a probe
	h := d.overheard()
	if len(h) == 0 || len(h[0].Payload) > 200 || h[0].Seq != d.iss.Add(1) {
		d.fail("after a second %d segments", len(h))
	}
	end := itoa(1 + len(h[0].Payload))
	d.send(". 1 ack " + end + " win 1200") // a full segment fits
	d.expect(". " + end + "(1000) ack 1")
}

// TestHalfTheLargestWindowIsEnough: 3.8.6.2.1, (3): Fs is a half of the largest window
// that the peer ever offered.
func TestHalfTheLargestWindowIsEnough(t *testing.T) {
	d := established(t, withWindow(1000), withPeer(func(p *peer) { p.mss = 1460 }))
	d.send(". 1 ack 1 win 499")
	d.write(3000)
	d.expectNothing()
	d.send(". 1 ack 1 win 500")
	d.expect(". 1(500) ack 1")
}

// TestAllThatIsLeftGoes: 3.8.6.2.1, (2): what is pushed and fits the window goes,
// small as it is.
func TestAllThatIsLeftGoes(t *testing.T) {
	d := established(t, withWindow(10000))
	d.send(". 1 ack 1 win 100")
	d.write(60)
	d.expect("P. 1(60) ack 1")
}

// TestNothingBeyondTheWindow: 3.8.6: SND.UNA + SND.WND is a limit.
func TestNothingBeyondTheWindow(t *testing.T) {
	d := established(t, withWindow(3000))
	d.write(10000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1", ". 2001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001 win 2000") // acknowledged and not read: the edge stays
	d.expectNothing()
	d.send(". 1 ack 1001 win 3000")
	d.expect(". 3001(1000) ack 1")
}

// TestShrunkWindowIsSurvived: MUST-34: the usable window is negative for a while.
func TestShrunkWindowIsSurvived(t *testing.T) {
	d := established(t, withWindow(5000))
	d.write(10000)
	if n := len(d.overheard()); n != 5 {
		d.fail("%d segments", n)
	}
	d.wait(rtt)
	d.send(". 1 ack 1001 win 1000") // right edge at 2001, where 5001 was promised
	d.expectNothing()               // SHLD-15
	d.send(". 1 ack 5001 win 2000")
	d.expect(". 5001(1000) ack 1", ". 6001(1000) ack 1")
}

// TestSendBufferIsALimit: Write takes what there is room for, and goes on when room
// is made.
func TestSendBufferIsALimit(t *testing.T) {
	d := established(t, withParams(tcp.Params{SendBuffer: 4096}))
	if n := d.tryWrite(10000); n != 4096 {
		d.fail("Write took %d bytes, the buffer holds 4096", n)
	}
	d.overheard()
	if d.tcb.Writable() {
		d.fail("full, and Writable")
	}
	if n := d.tryWrite(100); n != 0 {
		d.fail("Write took %d bytes into a full buffer", n)
	}
	d.send(". 1 ack 4097")
	d.expectNothing()
	if !d.tcb.Writable() {
		d.fail("empty, and not Writable")
	}
	d.write(4096)
	d.overheard()
}

// TestSuperSegments: with MaxGSO a run of full segments leaves as one, with the size
// to cut it at; the last, smaller piece may be in it or follow.
func TestSuperSegments(t *testing.T) {
	d := established(t, withGSO(64<<10))
	d.write(9500)
	next := 1
	h := d.overheard()
	for _, u := range h {
		if u.Seq.Sub(d.iss) != next {
			d.fail("%s does not follow at %d", u.text, next)
		}
		if len(u.Payload) > 1000 && u.GSOSize != 1000 {
			d.fail("%d bytes to be cut at %d, want 1000", len(u.Payload), u.GSOSize)
		}
		next += len(u.Payload)
	}
	if next != 9501 || len(h) > 2 {
		d.fail("%d bytes in %d segments", next-1, len(h))
	}
	if i := d.info(); i.SegmentsOut != 2+10 {
		d.fail("%d segments counted, want the handshake's 2 and 10", i.SegmentsOut)
	}
}
