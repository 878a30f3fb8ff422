package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Buffers that follow the connection, and the budget.

// tuned is a connection of which the receive buffer starts at 64 KiB and may grow to 512.
func tuned(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	return established(t, append([]option{
		withParams(tcp.Params{ReceiveBuffer: 64 << 10, ReceiveBufferMax: 512 << 10}),
		withPeer(func(p *peer) { p.wscale = 7 }),
	}, opts...)...)
}

// edge is how much the peer may send now, by the last window that it was told.
func (d *dialogue) edgeLeft(sent int) int {
	return d.watch.edge.Sub(d.irs) - 1 - sent
}

// pour lets the peer send all that the window takes within limit bytes, in segments of
// 1,460, and returns how many bytes it has sent in all.
func (d *dialogue) pour(sent, limit int) int {
	d.Helper()
	room := min(d.edgeLeft(sent), limit)
	for ; room >= 1460; room -= 1460 {
		d.send(". " + itoa(sent+1) + "(1460) ack 1")
		d.overheard()
		sent += 1460
	}
	return sent
}

// drain reads up to n bytes.
func (d *dialogue) drain(n int) (got int) {
	d.Helper()
	for got < n {
		m := d.take(min(n-got, 64<<10))
		d.overheard()
		if m == 0 {
			break
		}
		got += m
	}
	return got
}

// TestReceiveBufferFollowsAFastReader: what is read in a round trip is to fit twice; it
// grows to the limit, and the window with it.
func TestReceiveBufferFollowsAFastReader(t *testing.T) {
	d := tuned(t)
	sent := 0
	for range 12 {
		d.wait(rtt)
		d.overheard()
		sent = d.pour(sent, 1<<20)
		d.drain(1 << 20)
	}
	i := d.info()
	if i.RecvBuffer != 512<<10 {
		d.fail("the buffer is %d after twelve round trips", i.RecvBuffer)
	}
	d.wait(delack)
	d.overheard()
	if got := d.edgeLeft(sent); got < 400<<10 {
		d.fail("the window is %d with a buffer of %d", got, i.RecvBuffer)
	}
}

// TestReceiveBufferIgnoresASlowReader.
func TestReceiveBufferIgnoresASlowReader(t *testing.T) {
	d := tuned(t)
	sent := 0
	for range 30 {
		d.wait(rtt)
		d.overheard()
		sent = d.pour(sent, 1<<20)
		d.drain(2000)
	}
	if got := d.info().RecvBuffer; got != 64<<10 {
		d.fail("the buffer has grown to %d for a reader of 2,000 bytes a round trip", got)
	}
}

// TestReceiveBufferThatIsSetStays.
func TestReceiveBufferThatIsSetStays(t *testing.T) {
	d := tuned(t)
	d.tcb.SetReceiveBuffer(d.now, 64<<10)
	sent := 0
	for range 12 {
		d.wait(rtt)
		d.overheard()
		sent = d.pour(sent, 1<<20)
		d.drain(1 << 20)
	}
	if got := d.info().RecvBuffer; got != 64<<10 {
		d.fail("the buffer is %d", got)
	}
	if d := d.edgeLeft(sent); d > 65<<10 {
		t.Fatalf("the window is %d", d)
	}
}

// TestSendBufferFollowsTheWindow: two congestion windows, to the limit; a size that is set
// stays.
func TestSendBufferFollowsTheWindow(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		d := established(t, withPeer(func(p *peer) { p.wscale = 7 }),
			withParams(tcp.Params{SendBuffer: 32 << 10, SendBufferMax: 128 << 10}))
		if fixed {
			d.tcb.SetSendBuffer(32 << 10)
		}
		for range 10 {
			d.tryWrite(1 << 20)
			d.overheard()
			d.wait(rtt)
			una, nxt := d.info().SndUna.Sub(d.iss), d.info().SndNxt.Sub(d.iss)
			for una < nxt {
				una = min(una+2000, nxt)
				d.send(". 1 ack " + itoa(una) + " win 60000")
				d.tryWriteMore()
			}
		}
		want := 128 << 10
		if fixed {
			want = 32 << 10
		}
		if i := d.info(); i.SendBuffer != want {
			d.fail("the send buffer is %d with a window of %d, want %d", i.SendBuffer, i.Cwnd, want)
		}
	}
}

func (d *dialogue) tryWriteMore() {
	d.Helper()
	d.overheard()
	d.tryWrite(1 << 20)
	d.overheard()
}

// TestBudgetShrinksWindowsAndKeepsPromises: other connections have spent it: what was
// promised is still taken and acknowledged, and read whole; the edge does not move left
// (the watch looks at that) and moves right again when there is memory.
func TestBudgetShrinksWindowsAndKeepsPromises(t *testing.T) {
	budget := tcp.NewBudget(1 << 20)
	d := established(t, withPeer(func(p *peer) { p.wscale = 7 }),
		withParams(tcp.Params{ReceiveBuffer: 64 << 10, Budget: budget}))
	d.tcb.SetQuickAck(d.now, false) // each ACK may round the window up
	sent := d.pour(0, 2920)
	promised := d.edgeLeft(sent)
	if promised < 50000 {
		d.fail("the window is %d", promised)
	}
	budget.Add(1 << 20)
	for range 50 {
		before := sent
		if sent = d.pour(sent, 1<<20); sent == before {
			break
		}
	}
	d.wait(delack)
	d.overheard()
	if got := d.info().RcvNxt.Sub(d.irs) - 1; got != sent || sent < 2920+promised-1460 {
		d.fail("%d bytes were sent within the window, %d taken", sent, got)
	}
	if left := d.edgeLeft(sent); left >= 1460 {
		d.fail("the window is %d with the budget spent and %d bytes unread", left, sent)
	}
	d.wait(time.Second)
	if got := d.drain(sent); got != sent {
		d.fail("%d bytes of %d were there to read", got, sent)
	}
	budget.Add(-1 << 20)
	d.send(". " + itoa(sent+1) + " ack 1")
	d.overheard()
	// Whatever the peer still may send, or its probe, brings the news.
	if left := d.edgeLeft(sent); left < 1460 {
		d.send(". " + itoa(sent+1) + "(1) ack 1")
		sent++
		d.expectLateAny()
	} else {
		sent = d.pour(sent, 1<<20)
		d.drain(1 << 20)
	}
	d.wait(delack)
	d.overheard()
	if left := d.edgeLeft(sent); left < 1460 {
		d.fail("the window stays at %d when there is memory again", left)
	}
}

// expectLateAny takes an ACK that may be a delayed one.
func (d *dialogue) expectLateAny() {
	d.Helper()
	d.overheard()
	d.wait(delack)
	d.overheard()
}

// TestBudgetHoldsBackWriters: and they go on when there is memory again.
func TestBudgetHoldsBackWriters(t *testing.T) {
	budget := tcp.NewBudget(1 << 20)
	d := established(t, withParams(tcp.Params{Budget: budget}))
	budget.Add(1 << 20)
	if got := d.tryWrite(1 << 20); got > 64<<10 || got == 0 {
		d.fail("Write took %d bytes with the budget spent", got)
	}
	d.overheard()
	if d.tcb.Writable() {
		d.fail("writable with the budget spent")
	}
	budget.Add(-1 << 20)
	if !d.tcb.Writable() {
		d.fail("not writable with the budget free")
	}
	if got := d.tryWrite(100000); got != 100000 {
		d.fail("Write took %d bytes", got)
	}
	d.overheard()
}

// TestBudgetIsGivenBack: when a connection ends, however.
func TestBudgetIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(*dialogue){
		"abort": func(d *dialogue) { d.abort(); d.overheard() },
		"reset": func(d *dialogue) { d.send("R. 3001 ack 1"); d.overheard(); d.expectRead(3000) },
	} {
		t.Run(name, func(t *testing.T) {
			budget := tcp.NewBudget(1 << 20)
			d := established(t, withSACK, withParams(tcp.Params{Budget: budget}))
			d.write(50000)
			d.overheard()
			d.send(". 1(1000) ack 1", ". 1001(1000) ack 1", ". 2001(1000) ack 1", ". 5001(1000) ack 1")
			d.overheard()
			if budget.Used() < 54000 {
				d.fail("the budget knows of %d bytes", budget.Used())
			}
			end(d)
			if got := budget.Used(); got != 0 {
				d.fail("%d bytes are still held", got)
			}
		})
	}
}

// TestZeroWindowStillTakesACKsAndResets: RFC 9293, 3.10.7.4: with a zero window ACK, RST
// and URG count.
func TestZeroWindowStillTakesACKsAndResets(t *testing.T) {
	full := func() (*dialogue, int) {
		d := established(t, withParams(tcp.Params{ReceiveBuffer: 4096}))
		d.write(3000)
		d.overheard()
		sent := 0
		for d.edgeLeft(sent) > 0 {
			n := min(1000, d.edgeLeft(sent))
			d.send(". " + itoa(sent+1) + "(" + itoa(n) + ") ack 1")
			sent += n
			d.wait(delack)
			d.overheard()
		}
		if got := d.info().RcvWnd; got != 0 {
			d.fail("the window is %d", got)
		}
		return d, sent
	}
	d, sent := full()
	d.send(". " + itoa(sent+1) + "(10) ack 2001") // a probe that acknowledges
	d.expect(". 3001 ack " + itoa(sent+1) + " win 0")
	if got := d.info().SndUna.Sub(d.iss); got != 2001 {
		d.fail("SND.UNA is %d: the ACK was not taken", got)
	}
	d.send(". " + itoa(sent+1) + " ack 3001")
	d.expectNothing()
	if got := d.info().SndUna.Sub(d.iss); got != 3001 {
		d.fail("SND.UNA is %d: the ACK was not taken", got)
	}
	d.send("R. " + itoa(sent+1) + " ack 3001")
	d.overheard()
	d.expectState(tcp.StateClosed)
}

// TestRelievedConnectionOpensItsWindowAtOnce: the budget was spent, the peer has used up its
// window and waits; when memory is given back Relieve tells it so, once, and only then.
func TestRelievedConnectionOpensItsWindowAtOnce(t *testing.T) {
	budget := tcp.NewBudget(1 << 20)
	budget.Add(1 << 20)
	d := established(t, withPeer(func(p *peer) { p.wscale = 7 }),
		withParams(tcp.Params{ReceiveBuffer: 256 << 10, Budget: budget}))
	relieve := func() { d.call("Relieve", func() { d.tcb.Relieve() }) }
	if d.tcb.Starved() {
		d.fail("starved from the beginning")
	}
	d.tcb.SetQuickAck(d.now, false) // each ACK may round the window up
	sent := d.pour(0, 2920)
	relieve()
	d.expectNothing()
	for before := -1; sent != before; {
		before, sent = sent, d.pour(sent, 1<<20)
	}
	d.wait(delack)
	d.overheard()
	if sent > 66<<10 || d.edgeLeft(sent) >= 1460 || !d.tcb.Starved() {
		d.fail("%d bytes sent, a window of %d, starved: %v", sent, d.edgeLeft(sent), d.tcb.Starved())
	}
	relieve() // nothing has been given back
	d.expectNothing()
	d.wait(time.Minute)
	budget.Add(-1 << 20)
	relieve()
	d.expect(". 1 ack " + itoa(1+sent))
	if left := d.edgeLeft(sent); left < 16*1460 || d.tcb.Starved() {
		d.fail("the window is %d, starved: %v", left, d.tcb.Starved())
	}
	relieve()
	d.expectNothing()
}

// TestFullBufferIsNotStarved: what the reader leaves shuts the window, and no budget opens
// it.
func TestFullBufferIsNotStarved(t *testing.T) {
	budget := tcp.NewBudget(1 << 20)
	d := established(t, withParams(tcp.Params{ReceiveBuffer: 8 << 10, Budget: budget}))
	budget.Add(1 << 20)
	sent := d.pour(0, 1<<20)
	d.wait(delack)
	d.overheard()
	if d.tcb.Starved() {
		d.fail("starved, and the buffer is full after %d bytes", sent)
	}
	budget.Add(-1 << 20)
	d.call("Relieve", func() { d.tcb.Relieve() })
	d.expectNothing()
}

// TestReaderOfAFullBufferIsStarved: the buffer was full, and when the reader has made room
// the budget is spent: its recovery opens the window.
func TestReaderOfAFullBufferIsStarved(t *testing.T) {
	budget := tcp.NewBudget(1 << 20)
	d := established(t, withParams(tcp.Params{ReceiveBuffer: 64 << 10, Budget: budget}))
	sent := 0
	for before := -1; sent != before; {
		before, sent = sent, d.pour(sent, 1<<20)
	}
	d.wait(delack)
	d.overheard()
	budget.Add(1 << 20)
	d.take(40_000)
	d.expectNothing()
	if !d.tcb.Starved() {
		d.fail("not starved, and only the budget keeps the window shut")
	}
	budget.Add(-1 << 20)
	d.call("Relieve", func() { d.tcb.Relieve() })
	if d.overheard(); d.edgeLeft(sent) < 30_000 {
		d.fail("the window is %d", d.edgeLeft(sent))
	}
}
