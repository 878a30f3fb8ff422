package sim

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// endpoint is one end of a flow: a TCB with its driver and its application.
type endpoint struct {
	run   *run
	flow  *flow
	peer  *endpoint
	tcb   tcp.TCB
	setup tcp.Setup
	out   *lane // the direction that it sends in
	sends bool  // the flow's data

	timer   source
	alarm   mono.Time // what timer is set for
	touched bool
	closed  bool
	dead    bool // takes part no more

	truth truth
	high  tcp.Seq // the number of truth.high

	// The run of contiguous packets that the device is merging.
	held    tcp.Segment
	heldOff int64
	heldLen int

	echo   time.Duration // how long the data took that arrived last
	echoes bool          // it has not been told yet
}

// init sets up one end of a flow that is not open yet.
func (e *endpoint) init(f *flow, sends bool) {
	e.run, e.flow, e.sends, e.alarm = f.run, f, sends, mono.Never
	e.run.todo.init(&e.timer, e.tick)
}

// headerSpace is what a packet spends on IP and TCP headers without options.
const headerSpace = 20 + tcp.HeaderLen

// open brings the TCB to life.
func (e *endpoint) open(p *tcp.Params, ends tcp.Endpoints, rng *rand.Rand, active bool) {
	r := e.run
	e.setup = tcp.Setup{
		Params: p, Endpoints: ends, MSS: r.sc.MTU - headerSpace, MaxGSO: r.sc.GSO,
		ISS: tcp.Seq(rng.Uint32()), TSOffset: rng.Uint32(),
	}
	if e.sends && r.opt.Observe {
		e.setup.Observer = e.flow.observe
	}
	e.high = e.setup.ISS
	if active {
		e.tcb.OpenActive(r.now, e.setup)
	} else {
		e.tcb.OpenPassive(r.now, e.setup)
	}
	e.tcb.SetNoDelay(r.now, true) // as package stack does
}

// offset is how far a number lies behind the initial one. It must lie within 2^31 of
// the highest number sent.
func (e *endpoint) offset(s tcp.Seq) int64 { return e.truth.high + int64(s.Sub(e.high)) }

// settle follows everything that happens to the endpoint, as in package stack: what there
// is to send goes out, the application reads and writes, what that makes to send goes
// out, and the timer is set.
func (e *endpoint) settle() {
	if e.dead {
		return
	}
	e.flush()
	if e.application() {
		e.flush()
	}
	e.flow.settled(e)
	e.setAlarm()
}

// flush puts on the path all that the TCB wants to send.
func (e *endpoint) flush() {
	r := e.run
	for n := 0; e.tcb.Next(r.now, &r.out); n++ {
		e.transmit(&r.out)
		if n > 1_000_000 {
			r.fail("flow %d: there is no end to what it sends at once", e.flow.id)
		}
		if r.err != nil {
			return
		}
	}
}

// setAlarm sets the timer for the next deadline. One that moves later leaves it as it is:
// the timer is set anew when it comes too early.
func (e *endpoint) setAlarm() {
	next := e.tcb.Deadline()
	if next < e.alarm {
		e.alarm = max(next, e.run.now)
		e.run.todo.set(&e.timer, e.alarm)
	}
}

// tick is the timer's function.
func (e *endpoint) tick() {
	e.alarm = mono.Never
	if e.dead {
		return
	}
	if e.tcb.Deadline() <= e.run.now {
		e.tcb.Tick(e.run.now)
		if next := e.tcb.Deadline(); next <= e.run.now {
			e.run.fail("flow %d: a deadline of %v is left after Tick", e.flow.id, time.Duration(next))
			return
		}
		e.settle()
		return
	}
	e.setAlarm()
}

// transmit puts a segment on the path, cut into packets.
func (e *endpoint) transmit(out *tcp.Out) {
	r := e.run
	r.header = out.AppendHeader(r.header[:0])
	from := e.offset(out.Seq) // of SEG.SEQ
	off := from
	if !out.Flags.Has(tcp.SYN) {
		off-- // the first byte follows the SYN
	}
	e.verify(out, off)
	size := out.DataLen
	if out.GSOSize > 0 {
		size = out.GSOSize
	}
	for at := 0; ; {
		n := min(size, out.DataLen-at)
		last := at+n == out.DataLen
		p := r.newPacket()
		*p = packet{to: e.peer, seg: out.Segment, off: off + int64(at), n: n, size: headerSpace - tcp.HeaderLen + len(r.header) + n}
		p.seg.GSOSize = 0
		p.seg.Seq = out.Seq.Add(at)
		if !last {
			p.seg.Flags &^= tcp.FIN | tcp.PSH
		}
		if at > 0 {
			p.seg.Flags &^= tcp.CWR // only the first says so (RFC 3168, section 6.1.2)
		}
		e.put(p, from+int64(at), out.ECT)
		if at += n; last {
			return
		}
	}
}

// put sends one packet whose first number is from, and books what becomes of it.
func (e *endpoint) put(p *packet, from int64, ect bool) {
	numbers := int64(p.n)
	for _, f := range []tcp.Flags{tcp.SYN, tcp.FIN} {
		if p.seg.Flags.Has(f) {
			numbers++
		}
	}
	bare := numbers == 0 && !p.seg.Flags.Has(tcp.RST)
	if p.echo, p.echoes = 0, false; e.echoes && p.seg.Flags.Has(tcp.ACK) {
		p.echo, p.echoes, e.echoes = e.echo, true, false
	}
	sent := *p // the pool may have it back at once
	v := e.out.send(p, path.Packet{Size: p.size, Bare: bare, Data: p.n > 0, ECT: ect})
	needed, spurious := e.truth.sent(from, from+numbers, v.Fate == path.Arrives)
	if end := sent.seg.Seq.Add(int(numbers)); end.After(e.high) {
		e.high = end
	}
	if e.sends {
		e.flow.packetSent(&sent, v, needed, spurious, ect)
	}
}

// verify compares the data of a segment with what the application wrote there.
func (e *endpoint) verify(out *tcp.Out, off int64) {
	if e.run.opt.NoVerify {
		return
	}
	total := 0
	for _, d := range out.Data {
		for len(d) > 0 {
			n := min(len(d), maxData)
			if !bytes.Equal(d[:n], e.run.data(off, n)) {
				e.run.fail("flow %d: a segment at byte %d does not carry what was written there", e.flow.id, off)
				return
			}
			off, total, d = off+int64(n), total+n, d[n:]
		}
	}
	if total != out.DataLen {
		e.run.fail("flow %d: a segment of %d bytes says that it has %d", e.flow.id, total, out.DataLen)
	}
}

// arrive takes a packet from the path. It is handed to the TCB at once, or kept for those
// that continue it.
func (e *endpoint) arrive(p *packet) {
	if e.dead {
		return
	}
	now := e.run.now
	if !e.touched {
		e.touched = true
		e.run.touched = append(e.run.touched, e)
	}
	if p.n > 0 {
		e.echo, e.echoes = p.due.Sub(p.sent), true
		e.flow.dataArrived(p)
	}
	if e.sends {
		e.flow.ackArrived(p, now)
	}
	p.seg.CE = p.marked
	if e.run.sc.GRO < 0 {
		e.take(&p.seg, p.off, p.n)
		return
	}
	if !e.merge(p) {
		e.handOver()
		e.held, e.heldOff, e.heldLen = p.seg, p.off, p.n
	}
}

// noMerge are the flags that keep a packet from being merged with those before it.
const noMerge = tcp.SYN | tcp.FIN | tcp.RST | tcp.URG | tcp.CWR

// merge adds a packet to the run that is held, if it continues it in the way of GRO:
// same headers, next number, no longer than the first, and none behind a shorter one.
func (e *endpoint) merge(p *packet) bool {
	h := &e.held
	size := h.GSOSize
	if size == 0 {
		size = e.heldLen
	}
	switch {
	case e.heldLen == 0, p.n == 0, p.n > size, e.heldLen%size != 0, e.heldLen+p.n > DefaultGSO,
		p.off != e.heldOff+int64(e.heldLen), p.seg.Ack != h.Ack, p.seg.Window != h.Window,
		p.seg.Options != h.Options, (p.seg.Flags|h.Flags)&noMerge != 0, p.seg.CE != h.CE:
		return false
	}
	h.GSOSize = size
	h.Flags |= p.seg.Flags
	e.heldLen += p.n
	return true
}

// handOver gives the TCB what is held.
func (e *endpoint) handOver() {
	if e.held.Flags == 0 {
		return
	}
	e.take(&e.held, e.heldOff, e.heldLen)
	e.held.Flags, e.heldLen = 0, 0
}

// take hands a segment with n bytes from off on to the TCB.
func (e *endpoint) take(seg *tcp.Segment, off int64, n int) {
	r := e.run
	if e.tcb.Done() {
		return // nobody is left to answer
	}
	r.seg = *seg
	if n > 0 {
		r.seg.Payload = r.data(off, n)
	}
	e.tcb.Segment(r.now, &r.seg)
}

// application reads and writes what it can, and reports whether it did anything.
func (e *endpoint) application() bool {
	did := e.read()
	if e.sends {
		did = e.write() || did
	}
	return did
}

// read takes all that is there. When the peer closes, so does this end.
func (e *endpoint) read() (did bool) {
	r := e.run
	if e.sends && !e.tcb.Readable() {
		return false
	}
	for e.tcb.Readable() && !e.closed {
		n, err := e.tcb.Read(r.now, r.buf)
		if n > 0 {
			did = true
			if !e.flow.deliver(r.buf[:n]) {
				return did
			}
			continue
		}
		if errors.Is(err, io.EOF) && !e.sends {
			e.flow.eof()
			e.closeWrite()
			return true
		}
		return did
	}
	return did
}

// write gives the TCB what the application has to send, and closes after the last of it.
func (e *endpoint) write() (did bool) {
	f, r := e.flow, e.run
	for !e.closed && e.tcb.State() >= tcp.StateEstablished {
		n := int(min(f.available(), readSize))
		if n == 0 {
			break
		}
		wrote, err := e.tcb.Write(r.now, r.data(f.written, n))
		if err != nil || wrote == 0 {
			break
		}
		f.written += int64(wrote)
		did = true
	}
	if f.wroteAll() && !e.closed && e.tcb.State() >= tcp.StateEstablished {
		e.closeWrite()
		did = true
	}
	return did
}

func (e *endpoint) closeWrite() {
	e.closed = true
	// It fails only on a connection that has ended, which flow.settled sees.
	_ = e.tcb.CloseWrite(e.run.now)
}
