package sim

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// flow is one transfer: two ends, an application at each, and what is counted.
type flow struct {
	run  *run
	id   int // from 1; 0 for short flows
	spec Flow
	web  *webTraffic // that it belongs to; nil for the scenario's flows

	client, server tcp.Endpoints
	sender         endpoint
	receiver       endpoint
	app            source

	credit    int64 // that a limited application has made available, in all
	written   int64
	delivered int64 // to the reader, in order

	opened    bool
	stopped   bool // its time is over: it writes no more
	ended     bool
	started   mono.Time // of the measurement
	finish    mono.Time // when it ended
	completed mono.Time // when the reader saw the end
	atFinish  int64     // delivered at finish

	base  baseline
	stats *flowStats
	trace *flowTrace // nil: not traced
}

// baseline is what had been counted when the measurement began.
type baseline struct {
	delivered int64
	info      tcp.Info
}

// newFlow makes a flow that is not open yet.
func newFlow(r *run, spec Flow, id int) *flow {
	f := &flow{run: r, id: id, spec: spec, stats: new(flowStats), started: mono.Never, finish: mono.Never, completed: mono.Never}
	r.todo.init(&f.app, f.think)
	f.sender.peer, f.receiver.peer = &f.receiver, &f.sender
	f.sender.init(f, true)
	f.receiver.init(f, false)
	f.sender.out, f.receiver.out = r.lanes[spec.Way], r.lanes[1-spec.Way]
	return f
}

// open is when the flow begins: the client of a download, or the sender of an upload,
// makes an active open.
func (f *flow) open() {
	r := f.run
	f.opened, f.started = true, r.now
	p := tcp.Params{SendBuffer: r.sc.SendBuffer, ReceiveBuffer: r.sc.ReceiveBuffer, Pacing: r.sc.Pacing}
	if r.sc.ECN {
		p.ECN = tcp.ECNAsk
	}
	p = p.WithDefaults()
	mine := p
	setCongestion(&mine, f.spec.Congestion)
	server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), 80)
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(1 + r.serie/50_000), 1}), uint16(10_000+r.serie%50_000))
	r.serie++
	rng := r.random(uint64(r.serie))
	f.client = tcp.Endpoints{Local: client, Remote: server}
	f.server = tcp.Endpoints{Local: server, Remote: client}
	down := f.spec.Way == Down
	if down { // the server sends
		f.sender.open(&mine, f.server, rng, false)
		f.receiver.open(&p, f.client, rng, true)
	} else {
		f.receiver.open(&p, f.server, rng, false)
		f.sender.open(&mine, f.client, rng, true)
	}
	if f.spec.Chunk > 0 {
		f.think()
	}
	if f.spec.Time > 0 {
		r.once(time.Duration(r.now)+f.spec.Time, f.stop)
	}
	f.sender.settle()
	f.receiver.settle()
}

// think is a limited application that makes the next chunk available.
func (f *flow) think() {
	if f.stopped || f.sender.closed {
		return
	}
	f.credit += f.spec.Chunk
	f.run.todo.set(&f.app, f.run.now.Add(f.spec.Pause))
	f.sender.settle()
}

// stop is the end of a flow that sends for a time.
func (f *flow) stop() {
	f.stopped = true
	f.end()
	f.sender.settle()
}

// available is how much the application has to send now.
func (f *flow) available() int64 {
	n := int64(maxData)
	if f.spec.Bytes > 0 {
		n = min(n, f.spec.Bytes-f.written)
	}
	if f.spec.Chunk > 0 {
		n = min(n, f.credit-f.written)
	}
	if f.stopped {
		return 0
	}
	return n
}

// wroteAll reports whether the application will write no more.
func (f *flow) wroteAll() bool {
	return f.stopped || f.spec.Bytes > 0 && f.written == f.spec.Bytes
}

// deliver takes what the reader has read.
func (f *flow) deliver(b []byte) bool {
	if !f.run.opt.NoVerify && !bytes.Equal(b, f.run.data(f.delivered, len(b))) {
		f.run.fail("flow %d: byte %d or one of the next %d is not what was written", f.id, f.delivered, len(b))
		return false
	}
	f.delivered += int64(len(b))
	return true
}

// eof is when the reader has seen the end.
func (f *flow) eof() {
	if f.delivered != f.written {
		f.run.fail("flow %d: the reader sees the end after %d bytes of %d", f.id, f.delivered, f.written)
	}
	f.completed = f.run.now
	if f.finish == mono.Never {
		f.finish, f.atFinish = f.run.now, f.delivered
	}
}

// settled is told that an end has done all that it could for now. A flow has ended when
// the reader has seen the end and the sender knows it, or when either is broken.
func (f *flow) settled(e *endpoint) {
	if f.ended {
		return
	}
	s := &f.sender.tcb
	finished := f.completed != mono.Never && (s.State() == tcp.StateFinWait2 || s.State() == tcp.StateTimeWait || s.Done())
	if finished || e.tcb.Err() != nil {
		f.end()
	}
}

// end is the end of the flow for the report; its packets may still be on their way.
func (f *flow) end() {
	if f.ended {
		return
	}
	f.ended = true
	if f.finish == mono.Never {
		f.finish, f.atFinish = f.run.now, f.delivered
	}
	if f.web != nil {
		f.web.ended(f)
		return
	}
	f.run.ends--
	f.run.common.ended(f)
}

// kill takes a flow out of the run, timers and all.
func (f *flow) kill() {
	for _, e := range []*endpoint{&f.sender, &f.receiver} {
		e.dead = true
		f.run.todo.remove(&e.timer)
	}
	f.run.todo.remove(&f.app)
}

func (f *flow) startMeasuring() {
	if !f.opened {
		return
	}
	f.base = baseline{delivered: f.delivered, info: f.sender.tcb.Info(f.run.now)}
	f.started = f.run.now
	f.stats = new(flowStats)
}

// packetSent books a packet of the sender.
func (f *flow) packetSent(p *packet, v path.Verdict, needed, spurious int64, ect bool) {
	f.stats.sent(p, v, needed, spurious)
	if f.trace != nil {
		f.trace.packet(f.run.now, p, v, needed, spurious)
	}
	if f.run.opt.Packets != nil {
		f.run.opt.Packets(&PacketEvent{
			Time: f.run.now, Flow: f.id, Out: true, Ends: f.sender.setup.Endpoints, Segment: &p.seg,
			Data: f.run.data(max(p.off, 0), p.n), ECT: ect, Note: note(v, needed, spurious),
		})
	}
}

// note says what is out of the ordinary about a packet.
func note(v path.Verdict, needed, spurious int64) string {
	text := ""
	switch {
	case needed > 0:
		text = "retransmission, needed"
	case spurious > 0:
		text = "retransmission, spurious"
	}
	if v.Fate != path.Arrives {
		if text != "" {
			text += "; "
		}
		text += "lost on the path: " + v.Fate.String()
	}
	return text
}

// dataArrived books a packet with data that has reached the receiver.
func (f *flow) dataArrived(p *packet) {
	if p.to == &f.receiver {
		f.stats.arrived(p)
	}
}

// ackArrived books a packet that has reached the sender.
func (f *flow) ackArrived(p *packet, now mono.Time) {
	if p.echoes {
		rtt := p.echo + p.due.Sub(p.sent)
		f.stats.rtt.Add(int64(rtt), 1)
		if f.trace != nil {
			f.trace.lastPath = rtt.Seconds()
		}
	}
	if f.run.opt.Packets != nil {
		f.run.opt.Packets(&PacketEvent{
			Time: now, Flow: f.id, Ends: f.sender.setup.Endpoints, Segment: &p.seg,
			Data: f.run.data(max(p.off, 0), p.n), CE: p.marked,
		})
	}
}

// observe is the sender's observer.
func (f *flow) observe(e *tcp.Event) {
	if e.Kind == tcp.EventRTT {
		f.stats.sampled.Add(int64(e.RTT), 1)
	}
	if f.trace != nil {
		f.trace.event(e)
	}
}

// PacketEvent is a packet that left the sender of a flow, or reached it.
type PacketEvent struct {
	Time mono.Time
	Flow int  // the flow's number, from 1; 0 for a short flow
	Out  bool // it left
	Ends tcp.Endpoints
	// Segment is its header, and Data its payload; both are good until the call returns.
	Segment *tcp.Segment
	Data    []byte
	ECT, CE bool
	// Note says what became of it when that is out of the ordinary, and whether it is a
	// retransmission that is needed.
	Note string
}
