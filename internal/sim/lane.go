package sim

import (
	"container/heap"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// packet is a packet on its way: a header, and the place of its data in the flow.
type packet struct {
	to     *endpoint
	seg    tcp.Segment // without payload
	off    int64       // of its first byte of data in the flow
	n      int         // of data, in bytes
	size   int         // with all headers
	sent   mono.Time
	due    mono.Time
	serial uint64 // in the order of sending
	marked bool   // Congestion Experienced
	echo   time.Duration
	echoes bool // echo is how long the data that it acknowledges took
}

// lane is one direction of the path with the packets on it.
type lane struct {
	run     *run
	way     Way
	model   *path.Direction
	order   ring.Ring[*packet] // by due
	late    packetHeap         // held back, or a copy
	arrival source
	serial  uint64
	armed   mono.Time
}

func newLane(r *run, w Way, model *path.Direction) *lane {
	l := &lane{run: r, way: w, model: model, armed: mono.Never}
	r.todo.init(&l.arrival, l.deliver)
	return l
}

// send puts a packet on its way and says what will become of it. What does not arrive
// goes back to the pool.
func (l *lane) send(p *packet, kind path.Packet) path.Verdict {
	r := l.run
	v := l.model.Send(r.now, kind)
	if v.Fate != path.Arrives {
		r.free = append(r.free, p)
		return v
	}
	l.serial++
	p.sent, p.due, p.serial, p.marked = r.now, v.At, l.serial, v.Marked
	if v.Late {
		heap.Push(&l.late, p)
	} else {
		l.order.Push(p)
	}
	if v.Twice {
		c := r.newPacket()
		*c = *p
		l.serial++
		c.serial, c.echoes = l.serial, false
		heap.Push(&l.late, c)
	}
	if v.At < l.armed {
		l.arm()
	}
	return v
}

// next is when the first packet is due.
func (l *lane) next() mono.Time {
	next := mono.Never
	if l.order.Len() > 0 {
		next = (*l.order.Front()).due
	}
	if len(l.late) > 0 {
		next = min(next, l.late[0].due)
	}
	return next
}

// arm sets the time of the next batch: when the first packet is due, or as much later as
// the receiver's device collects packets.
func (l *lane) arm() {
	if l.armed = l.next(); l.armed == mono.Never {
		return
	}
	l.run.todo.set(&l.arrival, l.armed.Add(max(0, l.run.sc.GRO)))
}

// pop takes the first packet that is due.
func (l *lane) pop() *packet {
	now := l.run.now
	ordered := l.order.Len() > 0 && (*l.order.Front()).due <= now
	if len(l.late) > 0 && l.late[0].due <= now {
		if !ordered || earlier(l.late[0], *l.order.Front()) {
			return heap.Pop(&l.late).(*packet)
		}
	}
	if ordered {
		return l.order.Pop()
	}
	return nil
}

// deliver hands the receivers all packets that are due, as one batch.
func (l *lane) deliver() {
	r := l.run
	for p := l.pop(); p != nil; p = l.pop() {
		p.to.arrive(p)
		r.free = append(r.free, p)
	}
	l.armed = mono.Never
	l.arm()
	for i := 0; i < len(r.touched); i++ {
		e := r.touched[i]
		e.touched = false
		e.handOver()
		e.settle()
	}
	r.touched = r.touched[:0]
}

// earlier orders packets by when they are due, and then as they were sent.
func earlier(a, b *packet) bool {
	return a.due < b.due || a.due == b.due && a.serial < b.serial
}

// packetHeap orders packets.
type packetHeap []*packet

func (h packetHeap) Len() int           { return len(h) }
func (h packetHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h packetHeap) Less(i, j int) bool { return earlier(h[i], h[j]) }

// Push is for package heap.
func (h *packetHeap) Push(x any) { *h = append(*h, x.(*packet)) }

// Pop is for package heap.
func (h *packetHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return p
}
