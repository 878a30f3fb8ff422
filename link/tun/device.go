package tun

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/a644562b/portico/link"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// Device is a TUN interface. It implements link.Device.
type Device struct {
	name   string
	wg     wgtun.Device
	queues []link.Queue
	events chan link.Event
	log    *slog.Logger
	mtu    atomic.Int64
	caps   atomic.Uint32 // of type offload
	stats  counters
	closed atomic.Bool
	// more are files besides wg's that go with the device.
	more []io.Closer
	// attached is how many of the queues the kernel sends by, guarded by spreading.
	attached  int
	spreading sync.Mutex
	// big says to whom long super-segments may go; nil where BIG TCP is unknown.
	big *bigPeer
	// watched is closed when the watcher of wg's events has ended.
	watched chan struct{}
}

var _ link.Device = (*Device)(nil)

// offload is a set of kinds of work that the far side does for a writer.
type offload uint32

const (
	offloadChecksum offload = 1 << iota
	offloadTSO4
	offloadTSO6
	offloadUSO
	offloadBig // TSO4 of more than MaxFrame: BIG TCP

	offloadTSO = offloadTSO4 | offloadTSO6
	offloadAll = offloadChecksum | offloadTSO | offloadUSO | offloadBig
)

// eventBuffer is how many events a reader may fall behind before the oldest is
// lost.
const eventBuffer = 16

func newDevice(wg wgtun.Device, name string, cfg Config) *Device {
	d := &Device{
		name:    name,
		wg:      wg,
		events:  make(chan link.Event, eventBuffer),
		log:     cfg.Logger,
		watched: make(chan struct{}),
	}
	d.mtu.Store(int64(cfg.MTU))
	return d
}

// Name is the name of the interface as it was when it was opened.
func (d *Device) Name() string { return d.name }

// MTU is the MTU of the interface in bytes; whoever administers the host may
// change it (see Events).
func (d *Device) MTU() int { return int(d.mtu.Load()) }

// Caps says which offloads may be written. They only ever shrink: at the kernel's
// first refusal of one.
func (d *Device) Caps() link.Caps {
	c := offload(d.caps.Load())
	return link.Caps{
		Checksum: c&offloadChecksum != 0,
		TSO4:     c&offloadTSO4 != 0,
		TSO6:     c&offloadTSO6 != 0,
		USO:      c&offloadUSO != 0,
	}
}

// Queues are the queues of the TUN.
func (d *Device) Queues() []link.Queue { return d.queues }

// Events tells when the interface goes up or down and when its MTU changes. An
// interface that somebody deletes goes down. The channel is closed by Close.
func (d *Device) Events() <-chan link.Event { return d.events }

// Close removes the interface, ends all Reads and returns when nothing runs any
// more on behalf of the device. Closing twice returns link.ErrClosed.
func (d *Device) Close() error {
	if !d.closed.CompareAndSwap(false, true) {
		return link.ErrClosed
	}
	err := d.wg.Close()
	for _, c := range d.more {
		err = errors.Join(err, c.Close())
	}
	<-d.watched
	if err != nil {
		return fmt.Errorf("tun: close %s: %w", d.name, err)
	}
	return nil
}

// Stats counts frames that the device did not pass on.
type Stats struct {
	// ReadTooLong: the frame did not fit the memory given to Read.
	ReadTooLong uint64
	// ReadMalformed: the offload state of the frame contradicts its bytes or is
	// unknown.
	ReadMalformed uint64
	// WriteDown: the interface was down.
	WriteDown uint64
	// WriteNoRoom: the kernel had no memory or no room in a queue.
	WriteNoRoom uint64
	// WriteMalformed: the frame's offload state contradicts its length, or the kernel
	// refused a plain packet (which begins with neither a 4 nor a 6, for one).
	WriteMalformed uint64
}

type counters struct {
	readTooLong, readMalformed, writeDown, writeNoRoom, writeMalformed atomic.Uint64
}

// Stats returns the counts since Open, summed over all queues.
func (d *Device) Stats() Stats {
	return Stats{
		ReadTooLong:    d.stats.readTooLong.Load(),
		ReadMalformed:  d.stats.readMalformed.Load(),
		WriteDown:      d.stats.writeDown.Load(),
		WriteNoRoom:    d.stats.writeNoRoom.Load(),
		WriteMalformed: d.stats.writeMalformed.Load(),
	}
}

// fail turns the error of a read or a write into what the caller gets.
func (d *Device) fail(op string, err error) error {
	if d.closed.Load() {
		return link.ErrClosed
	}
	return fmt.Errorf("tun: %s %s: %w", op, d.name, err)
}

// state is what events tell about an interface.
type state struct {
	up  bool
	mtu int
}

// watch turns wireguard's events into ours until wireguard closes its channel.
// It must never block on a reader of ours: wireguard's senders would block in
// turn, and with them Close. look says how the interface stands after an event;
// only a difference is worth an event of ours.
func (d *Device) watch(look func(wgtun.Event, state) state) {
	defer close(d.watched)
	defer close(d.events)
	last := state{mtu: d.MTU()}
	for ev := range d.wg.Events() {
		now := look(ev, last)
		if now.mtu != last.mtu {
			d.mtu.Store(int64(now.mtu))
			d.tell(link.Event{Kind: link.EventMTU, MTU: now.mtu})
		}
		if now.up != last.up {
			kind := link.EventDown
			if now.up {
				kind = link.EventUp
			}
			d.tell(link.Event{Kind: kind})
		}
		last = now
	}
}

// tell sends an event and loses the oldest for it when the channel is full. The
// watcher is the only sender.
func (d *Device) tell(ev link.Event) {
	for {
		select {
		case d.events <- ev:
			return
		default:
		}
		select {
		case <-d.events:
		default:
		}
	}
}
