// Package device is a wire between two link.Devices that behaves as the simulator's path
// does (package path): whole stacks can be put on it, for one inside a testing/synctest
// bubble, where its time is virtual and exact.
//
// A super-segment meets the path as the packets that it stands for: it is cut and its
// checksums are completed (package gso) when it is written. The path's marks are set in
// the IP header (RFC 3168, section 5).
package device

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/link"
)

// Device is one end of the wire. It implements link.Device, with one queue.
type Device struct {
	name   string
	mtu    int
	out    *lane // what this end writes
	in     *lane // what it reads
	events chan link.Event

	mu     sync.Mutex
	closed bool
}

// New returns the two ends of a wire that carries packets of at most mtu bytes: ab is what
// becomes of the packets from a to b. Both ends offer all offloads of TCP. The error says
// what is wrong with a configuration. Both ends are to be closed.
func New(mtu int, ab, ba path.Config) (a, b *Device, err error) {
	for _, c := range []*path.Config{&ab, &ba} {
		if err := c.Validate(); err != nil {
			return nil, nil, fmt.Errorf("device: %w", err)
		}
	}
	epoch := time.Now()
	toB, toA := newLane(epoch, path.New(ab, 0)), newLane(epoch, path.New(ba, 1))
	return newDevice("path0", mtu, toB, toA), newDevice("path1", mtu, toA, toB), nil
}

func newDevice(name string, mtu int, out, in *lane) *Device {
	d := &Device{name: name, mtu: mtu, out: out, in: in, events: make(chan link.Event, 1)}
	d.events <- link.Event{Kind: link.EventUp}
	return d
}

// Name implements link.Device.
func (d *Device) Name() string { return d.name }

// MTU implements link.Device. It never changes.
func (d *Device) MTU() int { return d.mtu }

// Caps implements link.Device.
func (d *Device) Caps() link.Caps { return link.Caps{Checksum: true, TSO4: true, TSO6: true} }

// Queues implements link.Device.
func (d *Device) Queues() []link.Queue { return []link.Queue{d} }

// Events implements link.Device: EventUp at the start.
func (d *Device) Events() <-chan link.Event { return d.events }

// Stats are the counts of what this end has written.
func (d *Device) Stats() path.Stats { return d.out.stats() }

// Read implements link.Queue.
func (d *Device) Read(frames []link.Frame) (int, error) { return d.in.read(frames) }

// Write implements link.Queue. Its errors are link.ErrClosed and those of package gso.
func (d *Device) Write(frames []link.Frame) (int, error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return 0, link.ErrClosed
	}
	return d.out.write(frames)
}

// Close implements link.Device. What is on its way to this end is dropped.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return link.ErrClosed
	}
	d.closed = true
	d.in.close()
	close(d.events)
	return nil
}

// lane is one direction.
type lane struct {
	epoch time.Time

	mu      sync.Mutex
	arrived sync.Cond // of mu: ready is no longer empty, or closed
	model   *path.Direction
	order   ring.Ring[flying] // by due
	late    []flying          // held back, by due
	ready   ring.Ring[flying]
	timer   *time.Timer
	armed   mono.Time
	closed  bool
}

// flying is a packet on its way.
type flying struct {
	due   mono.Time
	block *buffer.Block
	len   int
}

func newLane(epoch time.Time, model *path.Direction) *lane {
	l := &lane{epoch: epoch, model: model, armed: mono.Never}
	l.arrived.L = &l.mu
	return l
}

func (l *lane) now() mono.Time { return mono.Time(time.Since(l.epoch)) }

// write puts frames on the path, cut into packets.
func (l *lane) write(frames []link.Frame) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for i := range frames {
		err := gso.Split(&frames[i], func(p *link.Frame) { l.send(now, p.Data) })
		if err != nil {
			l.settle(now)
			return i, err
		}
	}
	l.settle(now)
	return len(frames), nil
}

// send puts one packet on the path.
func (l *lane) send(now mono.Time, data []byte) {
	if len(data) == 0 || len(data) > buffer.BlockSize || l.closed {
		return
	}
	v := l.model.Send(now, look(data))
	if v.Fate != path.Arrives {
		return
	}
	copies := 1
	if v.Twice {
		copies = 2
	}
	for range copies {
		f := flying{due: v.At, block: buffer.NewBlockFor(len(data)), len: len(data)}
		copy(f.block.B, data)
		if v.Marked {
			mark(f.block.B[:f.len])
		}
		if v.Late {
			l.hold(f)
		} else {
			l.order.Push(f)
		}
	}
}

// hold keeps a packet that others overtake.
func (l *lane) hold(f flying) {
	i := len(l.late)
	for i > 0 && l.late[i-1].due > f.due {
		i--
	}
	l.late = append(l.late, flying{})
	copy(l.late[i+1:], l.late[i:])
	l.late[i] = f
}

// settle hands over what is due and sets the timer for what is not.
func (l *lane) settle(now mono.Time) {
	for {
		ordered := l.order.Len() > 0 && l.order.Front().due <= now
		switch {
		case len(l.late) > 0 && l.late[0].due <= now && (!ordered || l.late[0].due < l.order.Front().due):
			l.ready.Push(l.late[0])
			l.late = append(l.late[:0], l.late[1:]...)
			continue
		case ordered:
			l.ready.Push(l.order.Pop())
			continue
		}
		break
	}
	if l.ready.Len() > 0 {
		l.arrived.Signal()
	}
	next := mono.Never
	if l.order.Len() > 0 {
		next = l.order.Front().due
	}
	if len(l.late) > 0 {
		next = min(next, l.late[0].due)
	}
	if next < l.armed {
		l.armed = next
		if l.timer == nil {
			l.timer = time.AfterFunc(next.Sub(now), l.fire)
		} else {
			l.timer.Reset(next.Sub(now))
		}
	}
}

// fire is the timer's function.
func (l *lane) fire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = mono.Never
	if !l.closed {
		l.settle(l.now())
	}
}

// read waits for packets and fills frames.
func (l *lane) read(frames []link.Frame) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.ready.Len() == 0 && !l.closed {
		l.arrived.Wait()
	}
	if l.closed {
		return 0, link.ErrClosed
	}
	n := 0
	for n < len(frames) && l.ready.Len() > 0 {
		f := l.ready.Pop()
		if f.len <= len(frames[n].Data) {
			frames[n] = link.Frame{Data: frames[n].Data[:f.len]}
			copy(frames[n].Data, f.block.B)
			n++
		}
		f.block.Release()
	}
	return n, nil
}

// close ends all reads and drops what is on its way.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for _, r := range []*ring.Ring[flying]{&l.order, &l.ready} {
		for r.Len() > 0 {
			f := r.Pop()
			f.block.Release()
		}
	}
	for _, f := range l.late {
		f.block.Release()
	}
	l.late = nil
	l.arrived.Broadcast()
}

func (l *lane) stats() path.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.model.Stats(l.now())
}

// The fields of the headers that the path looks at, and protocol number and flags of TCP.
const (
	ecnMask     = 3
	ecnCE       = 3
	protocolTCP = 6
	numbered    = 1 | 2 | 4 // FIN, SYN, RST
)

// look says what the path needs to know of a packet. Of TCP it tells acknowledgments
// without data from the rest; of anything else everything is data.
func look(p []byte) path.Packet {
	k := path.Packet{Size: len(p), Data: true}
	header, protocol := 0, byte(0)
	switch {
	case p[0]>>4 == 4 && len(p) >= 20:
		header, protocol = int(p[0]&0xf)*4, p[9]
		k.ECT = p[1]&ecnMask != 0
	case p[0]>>4 == 6 && len(p) >= 40:
		header, protocol = 40, p[6]
		k.ECT = p[1]>>4&ecnMask != 0
	}
	if protocol == protocolTCP && len(p) >= header+20 {
		k.Data = len(p) > header+int(p[header+12]>>4)*4
		k.Bare = !k.Data && p[header+13]&numbered == 0
	}
	return k
}

// mark sets Congestion Experienced, and corrects the checksum of an IPv4 header.
func mark(p []byte) {
	if p[0]>>4 == 6 {
		p[1] |= ecnCE << 4
		return
	}
	p[1] |= ecnCE
	header := p[:int(p[0]&0xf)*4]
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], ^checksum.Sum(0, header))
}
