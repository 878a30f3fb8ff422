// Package impair is a bad wire: a link.Device around another that loses, delays,
// reorders, duplicates and corrupts packets and limits their rate, each direction by a
// Config of its own. All chance comes from seeded generators, so that a run can be
// repeated; all time from package time, so that in a testing/synctest bubble it is
// virtual and exact.
//
// A super-segment meets the wire as the packets that it stands for: it is cut and its
// checksums are completed (package gso) before anything happens to it. Direct
// consequences: what leaves an impaired direction is never a super-segment, and a
// corrupted packet has a checksum that is wrong.
//
// A direction with nothing to do (Config.Active) hands everything through untouched.
// The package does not model what TCP or IP do with a bad wire, nor a medium that two
// directions share.
package impair

import (
	"fmt"

	"github.com/a644562b/portico/link"
)

// Streams of the generators: directions that share a seed still differ.
const (
	streamOut = iota
	streamIn
)

// Device is an impaired device. It implements link.Device.
type Device struct {
	link.Device // what is wrapped: Name, MTU, Caps and Events are its own

	out    *outbound // nil: handed through
	in     *inbound  // nil: handed through
	queues []link.Queue
}

// Wrap puts a bad wire in front of dev: out is what happens to packets that are
// written, in to those that are read. The error says which setting is wrong.
//
// With in active, Wrap starts one goroutine a queue that reads dev, so that packets
// have their time of arrival. Close ends it, and closes dev.
func Wrap(dev link.Device, out, in Config) (*Device, error) {
	if err := out.Validate(); err != nil {
		return nil, fmt.Errorf("impair: out: %w", err)
	}
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("impair: in: %w", err)
	}
	d := &Device{Device: dev}
	under := dev.Queues()
	if out.Active() {
		d.out = newOutbound(out.withDefaults(), under)
	}
	if in.Active() {
		d.in = newInbound(in.withDefaults(), under)
	}
	for i, q := range under {
		d.queues = append(d.queues, &queue{under: q, index: i, dev: d})
	}
	return d, nil
}

// Queues implements link.Device.
func (d *Device) Queues() []link.Queue { return d.queues }

// Spread implements link.Spreader where the wrapped device does.
func (d *Device) Spread(n int) error { return link.Spread(d.Device, n) }

// Close implements link.Device: it closes the wrapped device. Packets that are still
// on their way are dropped. When it returns no goroutine and no timer is left.
func (d *Device) Close() error {
	if d.out != nil {
		d.out.stop()
	}
	if d.in != nil {
		d.in.stop()
	}
	err := d.Device.Close()
	if d.in != nil {
		d.in.pumps.Wait()
	}
	return err
}

// Stats are the counts of the two directions so far. A direction that is handed
// through counts nothing.
func (d *Device) Stats() (out, in Stats) {
	if d.out != nil {
		out = d.out.snapshot()
	}
	if d.in != nil {
		in = d.in.snapshot()
	}
	return out, in
}

// Stats count packets of one direction. At any time
//
//	Packets + Duplicated == Passed + Lost + QueueDrops + Refused + Held
//
// unless the device was closed with packets on their way.
type Stats struct {
	Packets    uint64 // came, super-segments counted by their pieces
	Passed     uint64 // were handed on, copies included
	Lost       uint64 // lost by chance, alone or in a burst
	Duplicated uint64 // copies made
	Reordered  uint64 // held back for others to overtake
	Corrupted  uint64 // had a bit flipped
	QueueDrops uint64 // found the bottleneck's queue, or holdLimit, full
	// Refused counts packets that were empty, that the wrapped device did not take,
	// or that did not fit the reader's memory, and super-segments from the wrapped
	// device that could not be cut.
	Refused uint64
	Held    uint64 // are on their way, or wait for the reader
}

// queue is one lane of the device, both directions.
type queue struct {
	under link.Queue
	index int
	dev   *Device
}

// Read implements link.Queue.
func (q *queue) Read(frames []link.Frame) (int, error) {
	if q.dev.in == nil {
		return q.under.Read(frames)
	}
	return q.dev.in.read(q.index, frames)
}

// Write implements link.Queue. With an active direction it returns link.ErrClosed, or
// an error of package gso for a super-segment that cannot be cut; a packet that the
// wrapped device does not take, perhaps much later, is counted (Stats.Refused).
func (q *queue) Write(frames []link.Frame) (int, error) {
	if q.dev.out == nil {
		return q.under.Write(frames)
	}
	return q.dev.out.write(q.index, frames)
}
