package chaos

import (
	"time"

	"github.com/a644562b/portico/tcp"
)

// wire is one direction of the path, with whoever sits on it.
type wire struct {
	*world
	to    *end // nil: the script
	under int  // packets on it
	free  tcp.Time
	hole  tcp.Time // until then everything is lost
	spike tcp.Time // until then everything takes extra more
	extra time.Duration
	climate
	meddler
}

// climate is what the path does to packets.
type climate struct {
	delay, jitter      time.Duration // jitter reorders
	loss, ackLoss, dup float64
	late               float64 // held back, so that others overtake
	mark               float64 // packets that can be marked by ECN and are
	rate               float64 // bytes per second; 0: at once
	queue              time.Duration
	whole              bool // super-segments arrive as such
}

func newWire(w *world, to *end) *wire {
	x := &wire{world: w, to: to}
	x.climate = w.newClimate()
	return x
}

func (w *world) newClimate() climate {
	r := w.dice
	c := climate{
		delay: time.Duration(pick(r, 0, r.IntN(1000), r.IntN(50000), r.IntN(300000))) * time.Microsecond,
		whole: maybe(r, 2),
	}
	if maybe(r, 2) {
		c.jitter = time.Duration(1+r.IntN(40000)) * time.Microsecond
	}
	if maybe(r, 2) {
		c.loss = pick(r, 0.01, 0.05, 0.3) * r.Float64() * 2
	}
	if maybe(r, 3) {
		c.ackLoss = r.Float64() * 0.6
	}
	if maybe(r, 2) {
		c.dup = r.Float64() * 0.1
	}
	if maybe(r, 3) {
		c.late = r.Float64() * 0.2
	}
	if maybe(r, 3) {
		c.mark = r.Float64() * 0.3
	}
	if maybe(r, 2) {
		c.rate = float64(20000 + r.IntN(2_000_000))
		c.queue = time.Duration(10+r.IntN(2000)) * time.Millisecond
	}
	return c
}

// weather changes something on a wire, again and again until the chaos is over.
func (w *world) weather() {
	if w.calm {
		return
	}
	r := w.dice
	x := w.wires[r.IntN(len(w.wires))]
	for_ := time.Duration(r.Int64N(int64(3 * time.Second)))
	switch r.IntN(12) {
	case 0, 1:
		x.climate = w.newClimate()
	case 2:
		x.hole = w.now.Add(for_ * time.Duration(pick(r, 1, 1, 1, 8)))
		w.tell("a black hole towards %s for %v", x.name(), x.hole.Sub(w.now))
	case 3:
		x.spike, x.extra = w.now.Add(for_), for_/2
	case 4:
		x.rate = float64(5000 + r.IntN(3_000_000))
	default:
		x.meddler = w.newMeddler()
	}
	if len(w.ends) == 2 && maybe(r, 2) {
		w.inject(w.ends[r.IntN(2)])
	}
	w.after(time.Duration(r.Int64N(int64(1500*time.Millisecond))), w.weather)
}

func (w *world) tell(format string, args ...any) {
	if w.story != nil {
		w.story("- " + sprintf(format, args...))
	}
}

func (x *wire) name() string {
	if x.to == nil {
		return "the script"
	}
	return x.to.name
}

// calmDown ends the chaos: the path is perfect and everybody honest.
func (w *world) calmDown() {
	if w.calm {
		return
	}
	w.calm, w.calmAt = true, w.now
	w.tell("the chaos is over")
	for _, x := range w.wires {
		x.climate = climate{delay: min(x.delay, 100*time.Millisecond), whole: x.whole}
		x.hole, x.spike, x.meddler = 0, 0, meddler{last: x.last, known: x.known}
	}
	for _, e := range w.ends {
		e.app.stopped = false
		e.think(0)
	}
	if w.script != nil {
		w.script.calmDown()
	}
}

// packet is a packet on its way.
type packet struct {
	seg     tcp.Segment // with no payload
	payload []byte
	ect     bool
}

// send takes what a TCB sends: cut, unless the wire takes it whole.
func (x *wire) send(seg *tcp.Segment, payload []byte, ect bool) {
	if seg.GSOSize == 0 || x.whole {
		x.enter(packet{*seg, payload, ect})
		return
	}
	p := packet{*seg, nil, ect}
	p.seg.GSOSize = 0
	for first := true; len(payload) > 0; first = false {
		n := min(len(payload), seg.GSOSize)
		p.payload, payload = payload[:n], payload[n:]
		p.seg.Flags = seg.Flags
		if len(payload) > 0 {
			p.seg.Flags &^= tcp.FIN | tcp.PSH
		}
		if !first {
			p.seg.Flags &^= tcp.CWR
		}
		x.enter(p)
		p.seg.Seq = p.seg.Seq.Add(n)
	}
}

// enter lets a packet meet the meddler and then the path.
func (x *wire) enter(p packet) {
	if x.calm || x.to == nil {
		x.put(p)
		return
	}
	x.meddle(p)
}

func (x *wire) put(p packet) {
	r := x.dice
	bare := len(p.payload) == 0 && p.seg.Flags&(tcp.SYN|tcp.FIN|tcp.RST) == 0
	if !x.calm && (x.now < x.hole || r.Float64() < x.loss || bare && r.Float64() < x.ackLoss) {
		x.tell("lost")
		return
	}
	leaves := x.now
	if x.rate > 0 {
		if x.free.Sub(x.now) > x.queue {
			x.tell("no room in the queue")
			return
		}
		x.free = max(x.free, x.now).Add(time.Duration(float64(40+len(p.payload)) / x.rate * 1e9))
		leaves = x.free
	}
	copies := 1
	if r.Float64() < x.dup {
		copies = 2
	}
	p.seg.CE = p.ect && r.Float64() < x.mark
	for range copies {
		due := leaves.Add(x.delay)
		if x.now < x.spike {
			due = due.Add(x.extra)
		}
		if x.jitter > 0 {
			due = due.Add(time.Duration(r.Int64N(int64(x.jitter))))
		}
		if r.Float64() < x.late {
			due = due.Add(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
		}
		x.under++
		x.at(due, func() { x.deliver(p) })
	}
}

// deliver writes the packet to bytes and lets its receiver read them.
func (x *wire) deliver(p packet) {
	x.under--
	head := p.seg.AppendHeader(nil)
	var seg tcp.Segment
	if err := tcp.Parse(head, &seg); err != nil {
		x.fail(0, "a header does not parse: %v", err)
		return
	}
	seg.GSOSize, seg.CE = p.seg.GSOSize, p.seg.CE
	if x.to == nil {
		x.script.arrive(&seg, p.payload)
		return
	}
	x.to.tell("< %s", describe(&seg, len(p.payload)))
	x.to.arrive(&seg, p.payload)
}
