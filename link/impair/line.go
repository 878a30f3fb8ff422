package impair

import (
	"container/heap"
	"sync"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/link"
)

// holdLimit bounds the bytes that one direction holds, on their way or waiting for
// the reader: delay times an unlimited rate must not eat the memory.
const holdLimit = 128 << 20

// packet is a packet on its way.
type packet struct {
	due      mono.Time
	serial   uint64 // in order of arrival, for those due at the same time
	queue    int
	block    *buffer.Block // its memory
	len      int
	checksum link.Checksum
}

func (p *packet) data() []byte { return p.block.B[:p.len] }

// line is one direction: packets arrive, and are delivered when they are due, at once
// if that is now. It has no goroutine, only one timer, set for the earliest.
type line struct {
	epoch time.Time
	// deliver hands packets on, in order, with mu held; it owns them from then on.
	deliver func(batch []*packet) error

	mu     sync.Mutex
	cfg    Config
	limit  int // of bytes; holdLimit
	fates  fates
	hop    bottleneck
	last   mono.Time // when the last packet that was not held back is due
	held   packetHeap
	bytes  int // held or waiting for the reader
	serial uint64
	stats  Stats
	closed bool

	timer  *time.Timer // made when first needed
	armed  mono.Time   // what it is set for; mono.Never if it is not
	firing sync.WaitGroup

	batch []*packet // of flush
	spare []*packet // for reuse
}

// init sets up l in place (it holds a lock) for cfg, which has its defaults filled in.
func (l *line) init(cfg Config, stream uint64, deliver func([]*packet) error) {
	l.epoch = time.Now()
	l.cfg, l.limit = cfg, holdLimit
	l.fates = newFates(cfg, stream)
	l.hop = bottleneck{rate: cfg.Rate, maxPackets: cfg.QueuePackets, maxBytes: cfg.QueueBytes}
	l.deliver = deliver
	l.armed = mono.Never
}

// now is the time since the line was made.
func (l *line) now() mono.Time { return mono.Time(time.Since(l.epoch)) }

// arrive takes one ordinary packet with its checksum complete. It copies f. The
// caller holds mu and calls flush after the last of a batch.
func (l *line) arrive(now mono.Time, queue int, f *link.Frame) {
	l.stats.Packets++
	if len(f.Data) == 0 || len(f.Data) > buffer.BlockSize {
		l.stats.Refused++
		return
	}
	fate := l.fates.next(len(f.Data))
	sent, ok := now, l.bytes+len(f.Data) <= l.limit
	if ok {
		sent, ok = l.hop.send(now, len(f.Data))
	}
	if !ok {
		l.stats.QueueDrops++
		return
	}
	if fate.lost {
		l.stats.Lost++
		return
	}
	p := l.newPacket(f.Data, f.Checksum, queue)
	if fate.corrupt {
		l.stats.Corrupted++
		p.data()[fate.bit/8] ^= 1 << (fate.bit % 8)
		p.checksum = link.ChecksumNone // what vouched for it did so before
	}
	p.due = l.arrival(sent, fate)
	l.hold(p)
	if fate.twice {
		l.stats.Duplicated++
		c := l.newPacket(p.data(), p.checksum, queue)
		c.due = p.due
		l.hold(c)
	}
}

// arrival is when a packet that left the bottleneck at sent is due.
func (l *line) arrival(sent mono.Time, fate fate) mono.Time {
	due := max(sent.Add(l.cfg.Delay+fate.jitter), l.last)
	if fate.late {
		l.stats.Reordered++
		return due.Add(l.cfg.ReorderBy)
	}
	l.last = due
	return due
}

func (l *line) newPacket(data []byte, state link.Checksum, queue int) *packet {
	var p *packet
	if n := len(l.spare); n > 0 {
		p, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		p = new(packet)
	}
	l.serial++
	*p = packet{serial: l.serial, queue: queue, block: buffer.NewBlockFor(len(data)), len: len(data), checksum: state}
	copy(p.data(), data)
	l.bytes += p.len
	l.stats.Held++
	return p
}

// maxSpare is how many packets without memory are kept for reuse.
const maxSpare = 256

// done gives a packet's memory back.
func (l *line) done(p *packet) {
	l.bytes -= p.len
	l.stats.Held--
	p.block.Release()
	p.block = nil
	if len(l.spare) < maxSpare {
		l.spare = append(l.spare, p)
	}
}

func (l *line) hold(p *packet) { heap.Push(&l.held, p) }

// flush delivers what is due and sets the timer for what is not. The caller holds mu.
func (l *line) flush(now mono.Time) error {
	for len(l.held) > 0 && l.held[0].due <= now {
		l.batch = append(l.batch, heap.Pop(&l.held).(*packet))
	}
	var err error
	if len(l.batch) > 0 {
		err = l.deliver(l.batch)
		clear(l.batch)
		l.batch = l.batch[:0]
	}
	next := mono.Never
	if len(l.held) > 0 {
		next = l.held[0].due
	}
	l.arm(now, next)
	return err
}

// arm sets the timer for next. firing counts one for a timer that is set or whose
// function runs, so that stop can wait for it.
func (l *line) arm(now, next mono.Time) {
	switch {
	case next == l.armed:
		return
	case next == mono.Never:
		l.disarm()
		return
	case l.timer == nil:
		l.firing.Add(1)
		l.timer = time.AfterFunc(next.Sub(now), l.fire)
	case !l.timer.Reset(next.Sub(now)):
		l.firing.Add(1)
	}
	l.armed = next
}

func (l *line) disarm() {
	if l.timer != nil && l.timer.Stop() {
		l.firing.Done()
	}
	l.armed = mono.Never
}

// fire is the timer's function.
func (l *line) fire() {
	defer l.firing.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = mono.Never
	if !l.closed {
		// Nobody is there to be told of an error; it is counted.
		_ = l.flush(l.now())
	}
}

// stop drops what is held and waits until the timer's function is not running.
func (l *line) stop() {
	l.mu.Lock()
	l.closed = true
	l.disarm()
	for _, p := range l.held {
		l.done(p)
	}
	l.held = nil
	l.mu.Unlock()
	l.firing.Wait()
}

func (l *line) snapshot() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// packetHeap orders packets by when they are due, and then as they came.
type packetHeap []*packet

func (h packetHeap) Len() int      { return len(h) }
func (h packetHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h packetHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].serial < h[j].serial
}

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
