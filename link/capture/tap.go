package capture

import (
	"fmt"
	"sync"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/link"
)

// pendingLimit bounds the bytes of packets that wait for their comment. A stack that
// stays in one batch for longer than that has the oldest written as things stand.
const pendingLimit = 8 << 20

// tap records the packets of a device, in one order for the whole file. A packet that
// belongs to a batch under way waits for its end, and all behind it wait too.
type tap struct {
	clock   func() time.Time
	comment func(Direction, []byte) string
	onError func(error)
	limit   int // pendingLimit

	mu       sync.Mutex
	file     *file
	stopped  bool  // closed, or the file failed
	err      error // why the file failed
	reported bool  // to onError
	batches  []batch
	records  ring.Ring[record]
	bytes    buffer.Receive // of the packets in records, one behind the other
	packet   []byte         // the one being written
}

// batch is where the reader of one queue is.
type batch struct {
	number   uint64 // counts its batches
	underWay bool   // the reader has frames that it may not be done with
}

// record is a packet that has not been written yet, its bytes apart.
type record struct {
	at    time.Time
	dir   Direction
	len   int
	queue int
	batch uint64 // that it belongs to; 0: none
}

// read records a batch of frames that the reader of queue is about to get.
func (t *tap) read(queue int, frames []link.Frame) {
	t.mu.Lock()
	defer t.unlock()
	t.batches[queue].number++
	t.batches[queue].underWay = true
	t.add(Inbound, queue, frames)
}

// write records frames that are about to be written.
func (t *tap) write(queue int, frames []link.Frame) {
	t.mu.Lock()
	defer t.unlock()
	t.add(Outbound, queue, frames)
}

// settle notes that the reader of queue is done with its batch.
func (t *tap) settle(queue int) {
	t.mu.Lock()
	defer t.unlock()
	t.batches[queue].underWay = false
	t.writeOut()
}

// close writes all that is pending and ends the recording.
func (t *tap) close() {
	t.mu.Lock()
	defer t.unlock()
	for i := range t.batches {
		t.batches[i].underWay = false
	}
	t.writeOut()
	t.stopped = true
}

// unlock unlocks mu, and reports a failure of the file that came up under it.
func (t *tap) unlock() {
	failed := t.err != nil && !t.reported
	t.reported = t.reported || failed
	t.mu.Unlock()
	if failed && t.onError != nil {
		t.onError(t.err) // it never changes again
	}
}

// add records frames as the packets that they stand for. A super-segment that cannot
// be cut is recorded as it is: it is a sight worth seeing.
func (t *tap) add(dir Direction, queue int, frames []link.Frame) {
	if t.stopped {
		return
	}
	r := record{at: t.clock(), dir: dir, queue: queue}
	if t.comment != nil && t.batches[queue].underWay {
		r.batch = t.batches[queue].number
	}
	for i := range frames {
		f := &frames[i]
		if gso.Split(f, func(p *link.Frame) { t.push(r, p.Data) }) != nil {
			t.push(r, f.AppendTo(nil))
		}
	}
	t.writeOut()
}

// push puts a packet behind the pending ones.
func (t *tap) push(r record, packet []byte) {
	r.len = len(packet)
	t.records.Push(r)
	t.bytes.Append(packet)
}

// writeOut writes what need not wait, and what may not wait longer.
func (t *tap) writeOut() {
	if t.stopped || !t.ready() {
		return
	}
	for t.ready() {
		r := t.records.Pop()
		t.packet = append(t.packet[:0], make([]byte, r.len)...)
		t.bytes.Read(t.packet)
		comment := ""
		if t.comment != nil {
			comment = t.comment(r.dir, t.packet)
		}
		t.file.packet(r.at, r.dir, t.packet, comment)
	}
	if err := t.file.flush(); err != nil {
		t.err = fmt.Errorf("capture: writing the file: %w", err)
		t.stopped = true
		t.records = ring.Ring[record]{}
		t.bytes.Clear()
	}
}

// ready reports whether there is a next packet and it can be written.
func (t *tap) ready() bool {
	if t.records.Len() == 0 {
		return false
	}
	r := t.records.Front()
	b := t.batches[r.queue]
	return r.batch == 0 || !b.underWay || b.number != r.batch || t.bytes.Len() > t.limit
}

func (t *tap) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
