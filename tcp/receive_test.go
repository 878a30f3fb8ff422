package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/tcp"
)

// What arrives: reassembly, SACK blocks, the receive window.

// TestReorderedDataArriveInOrder: every order of five segments, some twice.
func TestReorderedDataArriveInOrder(t *testing.T) {
	perm([]int{0, 1, 2, 3, 4}, func(order []int) {
		d := established(t, withSACK)
		for _, i := range order {
			d.send(". " + itoa(1+i*700) + "(700) ack 1")
			d.overheard()
			d.send(". " + itoa(max(1, i*700-50)) + "(300) ack 1") // overlaps its neighbour
			d.overheard()
		}
		d.wait(delack)
		d.overheard()
		if got := d.info().RcvNxt.Sub(d.irs); got != 3501 {
			d.fail("RCV.NXT is %d, want 3501, after %v", got, order)
		}
		if d.info().OutOfOrder != 0 {
			d.fail("%d bytes left beyond a gap that is closed", d.info().OutOfOrder)
		}
		d.expectRead(3500)
	})
}

func perm(p []int, f func([]int)) {
	var rec func(k int)
	rec = func(k int) {
		if k == len(p) {
			f(p)
			return
		}
		for i := k; i < len(p); i++ {
			p[k], p[i] = p[i], p[k]
			rec(k + 1)
			p[k], p[i] = p[i], p[k]
		}
	}
	rec(0)
}

// TestOutOfOrderIsCounted: Info shows what is held.
func TestOutOfOrderIsCounted(t *testing.T) {
	d := established(t)
	d.send(". 501(100) ack 1", ". 701(100) ack 1", ". 501(100) ack 1")
	d.expect(". 1 ack 1")
	if i := d.info(); i.OutOfOrder != 200 || i.ReceiveQueue != 0 {
		d.fail("%d bytes out of order, %d in order", i.OutOfOrder, i.ReceiveQueue)
	}
}

// TestBlockIsTakenOrCopied: a payload that comes with its Block may be kept as it
// is, and then the Block is the TCB's; else it was copied.
func TestBlockIsTakenOrCopied(t *testing.T) {
	d := established(t)
	for _, text := range []string{". 1(40000) ack 1", ". 50001(10000) ack 1", ". 40001(10000) ack 1", ". 60001(1) ack 1"} {
		d.tell(">", text+" in a block")
		blk := buffer.NewBlock()
		n := copy(blk.B, d.onWire(text))
		var seg tcp.Segment
		if err := tcp.Parse(blk.B[:n], &seg); err != nil {
			t.Fatal(err)
		}
		seg.Block = blk
		d.act()
		d.tcb.Segment(d.now, &seg)
		if seg.Block != nil { // still ours: what is in it may change
			for i := range blk.B {
				blk.B[i] = 0xee
			}
			blk.Release()
		}
		d.listen()
		d.overheard()
	}
	d.expectRead(60001)
	d.overheard()
}

// ---- SACK blocks: RFC 2018, section 4.

// TestSACKBlocksNewestFirst: the first block holds the segment that has just come,
// the others are those reported before, most recent first.
func TestSACKBlocksNewestFirst(t *testing.T) {
	d := established(t, withSACK)
	for _, c := range []struct{ send, want string }{
		{". 3001(1000) ack 1", ". 1 ack 1 <nop,nop,sack 3001:4001>"},
		{". 7001(1000) ack 1", ". 1 ack 1 <nop,nop,sack 7001:8001 3001:4001>"},
		{". 5001(1000) ack 1", ". 1 ack 1 <nop,nop,sack 5001:6001 7001:8001 3001:4001>"},
		{". 9001(1000) ack 1", ". 1 ack 1 <nop,nop,sack 9001:10001 5001:6001 7001:8001 3001:4001>"},
		{". 11001(1000) ack 1", ". 1 ack 1 <nop,nop,sack 11001:12001 9001:10001 5001:6001 7001:8001>"},
		{". 6001(1000) ack 1", // Joins two. "As many distinct blocks as possible" are four; Linux remembers
			// no more blocks than it can send, and so has forgotten the oldest.
			". 1 ack 1 <nop,nop,sack 5001:8001 11001:12001 9001:10001 3001:4001> | " +
				". 1 ack 1 <nop,nop,sack 5001:8001 11001:12001 9001:10001>"},
		{". 1(2000) ack 1", ". 1 ack 2001 <nop,nop,sack 5001:8001 11001:12001 9001:10001 3001:4001> | " +
			". 1 ack 2001 <nop,nop,sack 5001:8001 11001:12001 9001:10001>"},
		{". 2001(1000) ack 1", ". 1 ack 4001 <nop,nop,sack 5001:8001 11001:12001 9001:10001>"},
		{". 4001(1000) ack 1", ". 1 ack 8001 <nop,nop,sack 11001:12001 9001:10001>"},
		{". 8001(3000) ack 1", ". 1 ack 12001 <nop,nop,sack 9001:10001>"},
	} {
		d.send(c.send)
		d.expect(c.want)
	}
	d.expectRead(12000)
}

// TestThreeSACKBlocksWithTimestamps: four do not fit beside them (RFC 2018, 3).
func TestThreeSACKBlocksWithTimestamps(t *testing.T) {
	d := established(t, withSACK, withTS)
	for _, c := range []struct{ send, want string }{
		{". 2001(500) ack 1", "sack 2001:2501"},
		{". 4001(500) ack 1", "sack 4001:4501 2001:2501"},
		{". 6001(500) ack 1", "sack 6001:6501 4001:4501 2001:2501"},
		{". 8001(500) ack 1", "sack 8001:8501 6001:6501 4001:4501"},
	} {
		d.send(c.send)
		d.expect(". 1 ack 1 <nop,nop,TS * *,nop,nop," + c.want + ">")
	}
}

// TestSACKRidesOnData: blocks are on every ACK while there is a gap, and the data
// make room for them (MUST-16; RFC 2018, 4).
func TestSACKRidesOnData(t *testing.T) {
	d := established(t, withSACK)
	d.send(". 3001(1000) ack 1")
	d.expect(". 1 ack 1 <nop,nop,sack 3001:4001>")
	d.write(10)
	d.expect("P. 1(10) ack 1 <nop,nop,sack 3001:4001>")
	d.write(5000)
	for _, u := range d.overheard() { // the watch measures them
		if u.Options.SACKBlocks != 1 {
			d.fail("%s lacks its SACK block", u.text)
		}
	}
}

// TestNoSACKUnlessPermitted: RFC 2018, 4.
func TestNoSACKUnlessPermitted(t *testing.T) {
	d := established(t)
	d.send(". 3001(1000) ack 1")
	d.expect(". 1 ack 1 <>")
}

// ---- The receive window: 3.8.6.

// fill sends data until the window is shut, and returns the next sequence number.
func (d *dialogue) fill() int {
	d.Helper()
	i := d.info()
	off, room := i.RcvNxt.Sub(d.irs), i.RcvWnd
	for room > 0 {
		n := min(room, 1000)
		d.send(". " + itoa(off) + "(" + itoa(n) + ") ack 1")
		d.overheard()
		off += n
		room -= n
	}
	d.wait(delack)
	d.overheard()
	if i = d.info(); i.RcvWnd != 0 || i.RcvNxt.Sub(d.irs) != off {
		d.fail("the window is filled, and RCV.WND is %d, RCV.NXT %d, want 0, %d", i.RcvWnd, i.RcvNxt.Sub(d.irs), off)
	}
	return off
}

func smallBuffer(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	opts = append(opts, withParams(tcp.Params{ReceiveBuffer: 4096}), withPeer(func(p *peer) { p.mss = 1460 }))
	return established(t, opts...)
}

// TestFullBufferShutsTheWindow: what the reader leaves is held, what comes beyond is
// answered with a window of zero, and a probe's octet is not lost.
func TestFullBufferShutsTheWindow(t *testing.T) {
	d := smallBuffer(t)
	end := d.fill()
	if n := end - 1; n < 2048 || n > 4096 {
		d.fail("a buffer of 4096 takes %d bytes", n)
	}
	d.send(". " + itoa(end) + "(1) ack 1") // the probe of 3.8.6.1
	d.expect(". 1 ack " + itoa(end) + " win 0")
	d.send(". " + itoa(end) + "(1000) ack 1")
	d.expect(". 1 ack " + itoa(end) + " win 0")
	for d.tcb.Readable() {
		d.take(100)
		d.overheard()
	}
	d.send(". " + itoa(end) + "(1000) ack 1")
	d.expectLate(". 1 ack " + itoa(end+1000))
	d.expectRead(1000)
}

// TestZeroWindowStillHearsAcks: 3.4, MUST-66: with a shut window ACK, URG and RST of
// a segment at RCV.NXT are processed, whatever its data.
func TestZeroWindowStillHearsAcks(t *testing.T) {
	d := smallBuffer(t)
	end := itoa(d.fill())
	d.write(1000)
	d.expect("P. 1(1000) ack " + end + " win 0")
	d.send(". " + end + " ack 1001 win 3000")
	d.expectNothing()
	if i := d.info(); i.SndUna.Sub(d.iss) != 1001 || i.SndWnd != 3000 {
		d.fail("SND.UNA is %d, SND.WND %d", i.SndUna.Sub(d.iss), i.SndWnd)
	}
	// With data that find no room: their ACK counts all the same. This is what keeps
	// two peers with shut windows from waiting for each other.
	d.write(1000)
	d.expect("P. 1001(1000) ack " + end + " win 0")
	d.send("P. " + end + "(500) ack 2001 win 4000")
	d.expect(". 2001 ack " + end + " win 0")
	if i := d.info(); i.SndUna.Sub(d.iss) != 2001 || i.SndWnd != 4000 {
		d.fail("SND.UNA is %d, SND.WND %d", i.SndUna.Sub(d.iss), i.SndWnd)
	}
}

func TestZeroWindowStillHearsRST(t *testing.T) {
	d := smallBuffer(t)
	end := d.fill()
	d.send("R " + itoa(end+1)) // not at RCV.NXT: outside a window of nothing
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
	d.send("R " + itoa(end))
	d.expectNothing()
	d.expectState(tcp.StateClosed)
}

// TestDataBeyondTheWindowAreCut: a segment that overlaps the right edge is trimmed to
// the window.
func TestDataBeyondTheWindowAreCut(t *testing.T) {
	d := smallBuffer(t)
	wnd := d.info().RcvWnd
	d.send(". 1(" + itoa(wnd+500) + ") ack 1")
	d.wait(delack)
	for _, u := range d.overheard() {
		if u.Ack.Sub(d.irs) != wnd+1 || u.Window != 0 {
			d.fail("heard %s, want ACK %d and a window of 0", u.text, wnd+1)
		}
	}
	d.expectRead(wnd)
}

// TestFINBeyondTheWindowIsCut: with the data before it, so is a FIN that does not
// fit.
func TestFINBeyondTheWindowIsCut(t *testing.T) {
	d := smallBuffer(t)
	wnd := d.info().RcvWnd
	d.send("F. 1(" + itoa(wnd+5) + ") ack 1")
	d.wait(delack)
	d.overheard()
	d.expectState(tcp.StateEstablished)
	if got := d.info().RcvNxt.Sub(d.irs); got != wnd+1 {
		d.fail("RCV.NXT is %d, want %d", got, wnd+1)
	}
}

// TestSillyWindowIsNotOffered: MUST-39, 3.8.6.2.2: the reader takes a byte at a time,
// and the window opens in steps of a full segment or half the buffer.
func TestSillyWindowIsNotOffered(t *testing.T) {
	d := smallBuffer(t)
	end := d.fill()
	step := min(4096/2, 1460)
	freed, offered := 0, 0
	for range end - 1 {
		d.take(1)
		freed++
		for _, u := range d.overheard() {
			wnd := int(u.Window)
			if u.Ack.Sub(d.irs) != end || wnd-offered < step && wnd != offered {
				d.fail("after %d bytes were read: %s; a step of less than %d", freed, u.text, step)
			}
			offered = wnd
		}
		if freed-offered >= 4096/2+1 {
			d.fail("%d bytes are free and %d offered: more than half the buffer is kept back", freed, offered)
		}
	}
	// A probe in between is answered by the window as it is offered, not as it is free.
	d.fill()
	d.take(100)
	d.overheard()
	at := itoa(d.info().RcvNxt.Sub(d.irs))
	d.wait(time.Second)
	d.send(". " + at + "(1) ack 1")
	d.expect(". 1 ack " + at + " win 0")
}

// TestWindowUpdateAfterLargeRead: a reader that empties a full buffer is heard at
// once: the peer waits for nothing else.
func TestWindowUpdateAfterLargeRead(t *testing.T) {
	d := smallBuffer(t)
	end := d.fill()
	d.take(4096)
	if len(d.heard) != 1 || int(d.heard[0].Window) < 2048 {
		d.fail("the buffer is empty again, and the peer is not told")
	}
	d.expect(". 1 ack " + itoa(end))
}

// TestReceiveBufferCanChange: SetReceiveBuffer on a live connection; the window never
// shrinks (SHLD-14: the watch looks).
func TestReceiveBufferCanChange(t *testing.T) {
	d := smallBuffer(t)
	d.fill()
	d.call("SetReceiveBuffer", func() { d.tcb.SetReceiveBuffer(d.now, 32<<10) })
	d.overheard()
	d.wait(time.Second)
	d.overheard()
	at := d.info().RcvNxt.Sub(d.irs)
	d.send(". " + itoa(at) + "(1) ack 1") // at the latest a probe learns of it
	d.wait(delack)
	d.overheard()
	if d.info().RcvWnd == 0 {
		d.fail("the buffer has grown, and the window has not")
	}
	d.call("SetReceiveBuffer", func() { d.tcb.SetReceiveBuffer(d.now, 4096) })
	d.overheard()
	d.fill()
}

// TestBufferChangeDuringTheHandshake: the SYN,ACK and what follows it promise one
// window, whatever becomes of the buffer between them: what was promised once is kept,
// and what is kept is taken (RFC 7323, 2.4: any segment that was in any window sent).
func TestBufferChangeDuringTheHandshake(t *testing.T) {
	for _, size := range []int{4096, 60000} {
		d := passively(t, tcp.StateSynReceived, withParams(tcp.Params{ReceiveBuffer: 16 << 10}))
		d.call("SetReceiveBuffer", func() { d.tcb.SetReceiveBuffer(d.now, size) })
		d.overheard()
		d.wait(time.Second)
		d.expect("@1s S. 0 ack 1")
		promised := d.watch.edge.Sub(d.irs) - 1
		d.send(". 1 ack 1")
		d.expectNothing()
		for off := 0; off < promised; {
			n := min(1000, promised-off)
			d.send(". " + itoa(1+off) + "(" + itoa(n) + ") ack 1")
			d.overheard() // the watch looks at the edge
			off += n
		}
		d.wait(delack)
		d.overheard()
		if got := d.info().RcvNxt.Sub(d.irs) - 1; got != promised {
			d.fail("of %d bytes promised %d are taken", promised, got)
		}
	}
}
