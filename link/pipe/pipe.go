// Package pipe is a wire in memory: two link.Devices, what is written to one is
// read from the other. It needs no privileges, and it is safe in testing/synctest
// bubbles: a Read that waits is durably blocked.
//
// Frames arrive exactly as they were written, offload state included. A queue of
// bounded length lies in each direction; what finds it full is dropped and counted,
// as on a wire.
//
// The package loses, delays and reorders nothing on its own (package impair does), and
// it does not look inside a frame.
package pipe

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/a644562b/portico/link"
)

// Errors of Write: the frame is one that the device does not carry.
var (
	// ErrTooLong: an ordinary packet, or a piece of a super-segment, exceeds the MTU,
	// or a super-segment exceeds link.MaxFrame.
	ErrTooLong = errors.New("pipe: frame too long")
	// ErrEmpty: the frame has no bytes.
	ErrEmpty = errors.New("pipe: empty frame")
	// ErrOffload: the frame asks for an offload that Caps does not offer.
	ErrOffload = errors.New("pipe: offload not offered")
)

// Defaults of Config.
const (
	DefaultMTU    = 1500
	DefaultFrames = 4096
	DefaultBytes  = 32 << 20
)

// Config describes a pipe. The zero value is a pipe without offloads and of default
// sizes; a size below 1 stands for its default.
type Config struct {
	// Names are what the two devices are called; "pipe0" and "pipe1" by default. A
	// loop takes the first, by default "loop0".
	Names [2]string
	// MTU is the largest ordinary packet in bytes. At most link.MaxFrame.
	MTU int
	// Queues is the number of lanes. What is written to a queue is read from the
	// queue of the same index at the other end.
	Queues int
	// Frames and Bytes bound what may wait in one direction of one lane. Bytes below
	// link.MaxFrame can never hold the largest frame. The memory is taken as it is
	// needed and given back when the queue is empty.
	Frames, Bytes int
	// Caps are the offloads that both ends offer. Writing a frame that needs one
	// that is not offered is an error of the writer.
	Caps link.Caps
}

func (c Config) withDefaults() Config {
	c.MTU = min(orDefault(c.MTU, DefaultMTU), link.MaxFrame)
	c.Queues = orDefault(c.Queues, 1)
	c.Frames = orDefault(c.Frames, DefaultFrames)
	c.Bytes = orDefault(c.Bytes, DefaultBytes)
	return c
}

func orDefault(v, def int) int {
	if v < 1 {
		return def
	}
	return v
}

// Device is one end of a pipe, or a loop. It implements link.Device.
type Device struct {
	name   string
	cfg    Config
	queues []link.Queue
	lanes  []*lane // one a queue: what comes in
	out    []*lane // one a queue: what goes out; the same as lanes for a loop
	peer   *Device // nil for a loop
	closed atomic.Bool

	eventsLock sync.Mutex // guards sending on events against its closing
	events     chan link.Event
}

// New returns the two ends of a pipe. Each delivers EventUp first. Both are to be
// closed by the caller.
func New(cfg Config) (a, b *Device) {
	cfg = cfg.withDefaults()
	ab, ba := newLanes(cfg), newLanes(cfg)
	a = newDevice(cfg, nameOr(cfg.Names[0], "pipe0"), ba, ab)
	b = newDevice(cfg, nameOr(cfg.Names[1], "pipe1"), ab, ba)
	a.peer, b.peer = b, a
	return a, b
}

// NewLoop returns a device whose writes come back to its own reader.
func NewLoop(cfg Config) *Device {
	cfg = cfg.withDefaults()
	lanes := newLanes(cfg)
	return newDevice(cfg, nameOr(cfg.Names[0], "loop0"), lanes, lanes)
}

func nameOr(name, def string) string {
	if name == "" {
		return def
	}
	return name
}

func newLanes(cfg Config) []*lane {
	lanes := make([]*lane, cfg.Queues)
	for i := range lanes {
		lanes[i] = newLane(cfg.Frames, cfg.Bytes)
	}
	return lanes
}

// eventsKept is how many events wait for a reader that is behind.
const eventsKept = 8

func newDevice(cfg Config, name string, in, out []*lane) *Device {
	d := &Device{name: name, cfg: cfg, lanes: in, out: out, events: make(chan link.Event, eventsKept)}
	for i := range in {
		d.queues = append(d.queues, &queue{dev: d, in: in[i], out: out[i]})
	}
	d.events <- link.Event{Kind: link.EventUp}
	return d
}

// Name implements link.Device.
func (d *Device) Name() string { return d.name }

// MTU implements link.Device. It never changes.
func (d *Device) MTU() int { return d.cfg.MTU }

// Caps implements link.Device. They never change.
func (d *Device) Caps() link.Caps { return d.cfg.Caps }

// Queues implements link.Device.
func (d *Device) Queues() []link.Queue { return d.queues }

// Events implements link.Device: EventUp at the start, EventGone when the other end
// is closed.
func (d *Device) Events() <-chan link.Event { return d.events }

// Drops is the number of frames written to d that never reached a reader: the queue
// was full, the other end was closed, or the reader's memory was too small.
func (d *Device) Drops() uint64 {
	var n uint64
	for _, l := range d.out {
		n += l.drops()
	}
	return n
}

// Close unplugs this end. Its Reads end with link.ErrClosed, frames that wait for them
// are dropped. The other end gets EventGone, may still read what was on its way, and
// what it writes from now on is dropped. A second Close returns link.ErrClosed.
func (d *Device) Close() error {
	if d.closed.Swap(true) {
		return link.ErrClosed
	}
	for _, l := range d.lanes {
		l.close()
	}
	d.eventsLock.Lock()
	close(d.events)
	d.eventsLock.Unlock()
	if d.peer != nil {
		d.peer.deliver(link.Event{Kind: link.EventGone})
	}
	return nil
}

// deliver puts e on the events, at the cost of the oldest when they are full.
func (d *Device) deliver(e link.Event) {
	d.eventsLock.Lock()
	defer d.eventsLock.Unlock()
	if d.closed.Load() {
		return
	}
	for {
		select {
		case d.events <- e:
			return
		default:
		}
		select {
		case <-d.events:
		default:
		}
	}
}

// queue is one lane of a device, both directions.
type queue struct {
	dev     *Device
	in, out *lane
}

// Read implements link.Queue.
func (q *queue) Read(frames []link.Frame) (int, error) {
	return q.in.pop(link.Unshared{}, frames)
}

// ReadShared and Poll implement link.SharedQueue.
func (q *queue) ReadShared(turn sync.Locker, frames []link.Frame) (int, error) {
	return q.in.pop(turn, frames)
}

func (q *queue) Poll(frames []link.Frame) int { return q.in.poll(frames) }

// Write implements link.Queue. Its errors are ErrTooLong, ErrEmpty, ErrOffload and
// link.ErrClosed, to be told apart by errors.Is.
func (q *queue) Write(frames []link.Frame) (int, error) {
	if q.dev.closed.Load() {
		return 0, link.ErrClosed
	}
	for i := range frames {
		if err := q.dev.check(&frames[i]); err != nil {
			q.out.push(frames[:i])
			return i, err
		}
	}
	q.out.push(frames)
	return len(frames), nil
}

// check says why the device does not carry f, nil if it does.
func (d *Device) check(f *link.Frame) error {
	n := f.Len()
	switch {
	case n == 0:
		return ErrEmpty
	case f.Checksum == link.ChecksumPartial && !d.cfg.Caps.Checksum:
		return fmt.Errorf("%w: partial checksum", ErrOffload)
	case f.GSO == link.GSONone:
		return tooLong("packet", n, d.cfg.MTU)
	case !d.offers(f.GSO):
		return fmt.Errorf("%w: super-segment of kind %d", ErrOffload, f.GSO)
	}
	if err := tooLong("super-segment", n, link.MaxFrame); err != nil {
		return err
	}
	return tooLong("piece of a super-segment", min(int(f.HeaderLen)+int(f.GSOSize), n), d.cfg.MTU)
}

// offers reports whether super-segments of that kind may be written.
func (d *Device) offers(kind link.GSO) bool {
	switch kind {
	case link.GSOTCP4:
		return d.cfg.Caps.TSO4
	case link.GSOTCP6:
		return d.cfg.Caps.TSO6
	case link.GSOUDP:
		return d.cfg.Caps.USO
	}
	return false
}

// tooLong is ErrTooLong with the figures, nil if n is within limit.
func tooLong(what string, n, limit int) error {
	if n <= limit {
		return nil
	}
	return fmt.Errorf("%w: %s of %d bytes, at most %d go", ErrTooLong, what, n, limit)
}
