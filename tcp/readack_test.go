package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// What a reader that waits, and a writer that does, spare the wire and the processor.

// awaited is a connection past its quick ACKs whose reader waits for data.
func awaited(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	d := established(t, opts...)
	d.tcb.SetQuickAck(d.now, false) // the beginning is over
	if n := d.take(1); n != 0 {
		d.fail("%d bytes were read before there were any", n)
	}
	return d
}

// TestAckLeavesWithTheReadOfWhoWaits: one segment tells of the data and of the room, as on
// Linux, and not two.
func TestAckLeavesWithTheReadOfWhoWaits(t *testing.T) {
	d := awaited(t)
	d.send(". 1(1000) ack 1", ". 1001(1000) ack 1", ". 2001(1000) ack 1")
	d.expectNothing()
	d.expectRead(3000)
	d.expect(". 1 ack 3001")
	d.wait(time.Hour)
	d.expectNothing()
}

// TestAckDoesNotWaitForAReaderThatDoesNotCome: once, as long as any ACK waits.
func TestAckDoesNotWaitForAReaderThatDoesNotCome(t *testing.T) {
	d := awaited(t)
	d.send(". 1(1000) ack 1", ". 1001(1000) ack 1")
	d.at(delack - 1)
	d.expectNothing()
	d.at(delack)
	d.expect("@40ms . 1 ack 2001")
	d.tcb.SetQuickAck(d.now, false) // what is left of the beginning hides nothing
	d.send(". 2001(1000) ack 1", ". 3001(1000) ack 1")
	d.expect(". 1 ack 4001")
}

// TestAckDoesNotWaitForAReaderWithHalfTheWindowUsed: the peer must not run dry.
func TestAckDoesNotWaitForAReaderWithHalfTheWindowUsed(t *testing.T) {
	d := awaited(t, withParams(tcp.Params{ReceiveBuffer: 16 << 10}))
	for off := 1; off < 8001; off += 1000 {
		d.send(". " + itoa(off) + "(1000) ack 1")
		d.expectNothing()
	}
	d.send(". 8001(1000) ack 1")
	if h := d.overheard(); len(h) != 1 || h[0].Ack != d.irs.Add(9001) {
		d.fail("more than half of the window is used, and the peer hears %d segments", len(h))
	}
}

// TestWriterIsWokenForAQuarterOfTheBuffer: for less it would be woken by every ACK.
func TestWriterIsWokenForAQuarterOfTheBuffer(t *testing.T) {
	d := established(t, withParams(tcp.Params{SendBuffer: 16 << 10}))
	if n := d.tryWrite(20000); n != 16<<10 {
		d.fail("Write took %d bytes", n)
	}
	d.overheard()
	if d.tcb.Writable() {
		d.fail("writable with a full buffer")
	}
	d.send(". 1 ack 4001")
	d.overheard()
	if d.tcb.Writable() {
		d.fail("woken for 4,000 bytes of 16,384")
	}
	d.send(". 1 ack 5001")
	d.overheard()
	if !d.tcb.Writable() {
		d.fail("not woken for 5,000 bytes of 16,384")
	}
}
