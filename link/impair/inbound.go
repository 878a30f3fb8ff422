package impair

import (
	"sync"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/link"
)

// inbound is the direction from the wrapped device to the reader.
type inbound struct {
	line
	boxes []inbox
	pumps sync.WaitGroup
}

// inbox is what has arrived for the reader of one queue, guarded by line.mu.
type inbox struct {
	arrived sync.Cond // ready is no longer empty, or err is set, or the line is closed
	ready   ring.Ring[*packet]
	err     error // why the wrapped device gives no more
}

func newInbound(cfg Config, under []link.Queue) *inbound {
	in := &inbound{boxes: make([]inbox, len(under))}
	in.init(cfg, streamIn, in.handOn)
	for i := range in.boxes {
		in.boxes[i].arrived.L = &in.mu
	}
	for i, q := range under {
		in.pumps.Go(func() { in.pump(i, q) })
	}
	return in
}

// pumpBatch is how many frames a pump takes with one Read.
const pumpBatch = 16

// pump reads one queue of the wrapped device until it ends.
func (in *inbound) pump(queue int, under link.Queue) {
	var blocks [pumpBatch]*buffer.Block
	for i := range blocks {
		blocks[i] = buffer.NewBlock()
		defer blocks[i].Release()
	}
	var frames [pumpBatch]link.Frame
	for {
		for i := range frames {
			frames[i] = link.Frame{Data: blocks[i].B[:link.MaxFrame]}
		}
		n, err := under.Read(frames[:])
		if err != nil {
			in.end(queue, err)
			return
		}
		in.take(queue, frames[:n])
	}
}

// take puts frames that were read on their way, cut into packets.
func (in *inbound) take(queue int, frames []link.Frame) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return
	}
	now := in.now()
	for i := range frames {
		err := gso.Split(&frames[i], func(p *link.Frame) { in.arrive(now, queue, p) })
		if err != nil {
			in.stats.Packets++
			in.stats.Refused++
		}
	}
	_ = in.flush(now) // handOn returns no error
}

// end tells the reader that the wrapped device gives no more.
func (in *inbound) end(queue int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.boxes[queue].err = err
	in.boxes[queue].arrived.Signal()
}

// handOn puts a batch into the inboxes.
func (in *inbound) handOn(batch []*packet) error {
	for _, p := range batch {
		box := &in.boxes[p.queue]
		box.ready.Push(p)
		box.arrived.Signal()
	}
	return nil
}

// read waits for packets and fills frames.
func (in *inbound) read(queue int, frames []link.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	box := &in.boxes[queue]
	for {
		for box.ready.Len() == 0 && box.err == nil && !in.closed {
			box.arrived.Wait()
		}
		if in.closed {
			return 0, link.ErrClosed
		}
		if n := in.fill(box, frames); n > 0 {
			return n, nil
		}
		if box.err != nil {
			return 0, box.err
		}
	}
}

// fill moves what is ready into frames and returns how many of them it filled.
func (in *inbound) fill(box *inbox, frames []link.Frame) int {
	n := 0
	for n < len(frames) && box.ready.Len() > 0 {
		p := box.ready.Pop()
		if p.len > len(frames[n].Data) {
			in.stats.Refused++
		} else {
			frames[n] = link.Frame{Data: frames[n].Data[:p.len], Offload: link.Offload{Checksum: p.checksum}}
			copy(frames[n].Data, p.data())
			in.stats.Passed++
			n++
		}
		in.done(p)
	}
	return n
}

// stop ends all reads and drops what is on its way. The pumps end when the wrapped
// device is closed.
func (in *inbound) stop() {
	in.mu.Lock()
	for i := range in.boxes {
		box := &in.boxes[i]
		for box.ready.Len() > 0 {
			in.done(box.ready.Pop())
		}
		box.arrived.Broadcast()
	}
	in.closed = true
	in.mu.Unlock()
	in.line.stop()
}
