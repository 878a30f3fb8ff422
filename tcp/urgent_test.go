package tcp_test

import (
	"slices"
	"testing"

	"github.com/a644562b/portico/tcp"
)

// Urgent data: RFC 9293, 3.8.5, and RFC 6093: in line, and the application is told.

// told lists how much urgent data there was each time that the application was told.
func (d *dialogue) told() (urgent []int) {
	for _, e := range d.events {
		if e.Kind == tcp.EventUrgent {
			urgent = append(urgent, e.Urgent)
		}
	}
	return urgent
}

// ourBytes are the first n bytes of our stream.
func ourBytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = ours(i)
	}
	return p
}

func (d *dialogue) expectTold(want ...int) {
	d.Helper()
	if got := d.told(); !slices.Equal(got, want) {
		d.fail("the application was told of %d bytes of urgent data, want %d", got, want)
	}
}

func (d *dialogue) expectUrgent(want int) {
	d.Helper()
	if got := d.info().Urgent; got != want {
		d.fail("%d bytes are left up to the urgent pointer, want %d", got, want)
	}
}

// TestUrgentPointerIsToldAtOnce: MUST-32: when it is first set and whenever it advances,
// also before the data come, and once for each.
func TestUrgentPointerIsToldAtOnce(t *testing.T) {
	d := established(t)
	d.send("PU. 1(10) ack 1 urg 4")
	d.expectLate(". 1 ack 11")
	d.expectTold(4)
	d.send("PU. 11(10) ack 1 urg 100") // it lies beyond what has come
	d.expectLate(". 1 ack 21")
	d.expectTold(4, 110)
	d.send("PU. 21(10) ack 1 urg 90") // the same place
	d.expectLate(". 1 ack 31")
	d.send("PU. 31(10) ack 1 urg 10") // before it
	d.expectLate(". 1 ack 41")
	d.expectTold(4, 110)
	d.send("P. 41(10) ack 1 urg 500") // no URG: no pointer
	d.expectLate(". 1 ack 51")
	d.expectTold(4, 110)
	d.expectRead(50)
}

// TestUrgentDataLeftToRead: MUST-33: it shrinks as the application reads, and the mode
// ends with the last urgent byte; nothing is taken out of the stream.
func TestUrgentDataLeftToRead(t *testing.T) {
	d := established(t)
	d.expectUrgent(0)
	d.send("PU. 1(10) ack 1 urg 8")
	d.expectLate(". 1 ack 11")
	d.expectUrgent(8)
	d.take(5)
	d.expectUrgent(3)
	d.take(3)
	d.expectUrgent(0)
	d.take(2)
	d.send("PU. 11(10) ack 1 urg 1") // a new one, and told anew
	d.expectLate(". 1 ack 21")
	d.expectUrgent(1)
	d.expectTold(8, 1)
	d.expectRead(10)
	d.expectUrgent(0)
}

// TestUrgentDataOfAnyLength: MUST-31: the pointer may be 65,535 ahead and move on from
// there; all of it arrives.
func TestUrgentDataOfAnyLength(t *testing.T) {
	d := established(t)
	total := 0
	for range 200 {
		d.send("U. " + itoa(1+total) + "(1000) ack 1 urg 65535")
		d.overheard()
		total += 1000
		d.expectUrgent(65535)
		d.take(1000)
		d.overheard()
	}
	d.wait(delack)
	d.overheard()
	if total != d.read {
		d.fail("%d bytes were read of %d", d.read, total)
	}
	if n := len(d.told()); n != 200 {
		d.fail("told %d times that the pointer has advanced, want 200", n)
	}
}

// TestUrgentPointerOfARepeatedSegment: it counts from the number in the header, also
// where the front of the segment is old (MUST-62).
func TestUrgentPointerOfARepeatedSegment(t *testing.T) {
	d := established(t)
	d.send("P. 1(10) ack 1")
	d.expectLate(". 1 ack 11")
	d.send("PU. 1(20) ack 1 urg 15")
	d.expectLate(". 1 ack 21")
	d.expectTold(15)
	d.take(10)
	d.expectUrgent(5)
	d.send("PU. 1(25) ack 1 urg 3") // points into what has been read
	d.expectLate(". 1 ack 26")
	d.expectTold(15)
	d.expectUrgent(5)
}

// TestUrgentPointerInAZeroWindow: MUST-66: the segment's data find no room, its pointer
// is heard.
func TestUrgentPointerInAZeroWindow(t *testing.T) {
	d := smallBuffer(t)
	end := d.fill()
	at, before := itoa(end), end-1
	d.send("PU. " + at + "(10) ack 1 urg 10")
	d.expect(". 1 ack " + at + " win 0")
	d.expectTold(before + 10)
	d.send("U. " + at + " ack 1 urg 20")
	d.overheard()
	d.expectTold(before+10, before+20)
	d.expectRead(before)
}

// TestUrgentPointerBeyondTheFIN: there is no more than the peer has sent.
func TestUrgentPointerBeyondTheFIN(t *testing.T) {
	d := established(t)
	d.send("FPU. 1(10) ack 1 urg 1000")
	d.expectLate(". 1 ack 12")
	d.expectUrgent(10)
	d.expectRead(10)
	d.expectUrgent(0)
	d.expectEOF()
	d.send("U. 12 ack 1 urg 100") // after the FIN: ignored (3.10.7.4, sixth)
	d.expectNothing()
	d.expectTold(1000)
}

// TestUrgentPointerBeyondAFINThatIsKnown: the FIN has come already, beyond a gap.
func TestUrgentPointerBeyondAFINThatIsKnown(t *testing.T) {
	d := established(t)
	d.send("F. 11 ack 1")
	d.expect(". 1 ack 1")
	d.send("PU. 1(5) ack 1 urg 1000")
	d.overheard()
	d.expectTold(10)
	d.expectUrgent(10)
	d.send("P. 6(5) ack 1")
	d.expectLate(". 1 ack 12")
	d.expectRead(10)
	d.expectUrgent(0)
	d.expectEOF()
}

// TestUrgentPointerOutsideTheWindowIsIgnored: as is all of such a segment.
func TestUrgentPointerOutsideTheWindowIsIgnored(t *testing.T) {
	d := established(t)
	d.send("U. 5000000 ack 1 urg 10")
	d.expect(". 1 ack 1")
	d.send("U. 1 ack 500 urg 10") // an ACK of what was not sent
	d.expect(". 1 ack 1")
	d.expectTold()
	d.expectUrgent(0)
}

// TestNothingIsSentUrgent: sending is declined: nothing that we send has the bit.
func TestNothingIsSentUrgent(t *testing.T) {
	d := established(t)
	d.send("PU. 1(10) ack 1 urg 10")
	d.expect(". 1 ack 11")
	d.call("Write and CloseWrite", func() {
		d.watch.written, _ = d.tcb.Write(d.now, ourBytes(3000))
		_ = d.tcb.CloseWrite(d.now)
	})
	d.wait(rtoAfter)
	h := d.overheard()
	if len(h) < 4 {
		d.fail("%d segments", len(h))
	}
	for _, u := range h {
		if u.Flags.Has(tcp.URG) || u.Urgent != 0 {
			d.fail("%s with an urgent pointer of %d", u.text, u.Urgent)
		}
	}
}
