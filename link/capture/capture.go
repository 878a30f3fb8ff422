// Package capture is a tap: a link.Device around another that writes a pcapng file of
// all packets, in both directions, readable by tshark and Wireshark. A stack that does
// not capture does not have it on its path.
//
// The file shows what a wire would have carried: a super-segment is cut into its
// packets and partial checksums are completed (package gso), in the file's copy
// only. Link type RAW (101: packets start with the IP header), times in nanoseconds,
// each packet with its direction and, if wanted, a comment.
//
// The package does not filter, does not rotate files, and does not keep the traffic
// waiting for a file that has failed.
package capture

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/a644562b/portico/link"
)

// Direction is a packet's, seen from whoever uses the device. The values are those of
// the direction bits in pcapng's epb_flags.
type Direction uint8

const (
	Inbound  Direction = 1 // it was read
	Outbound Direction = 2 // it was written
)

// String is "in" or "out".
func (d Direction) String() string {
	switch d {
	case Inbound:
		return "in"
	case Outbound:
		return "out"
	}
	return "unknown direction"
}

// Config describes a capture.
type Config struct {
	// Writer gets the file. It is written and flushed whenever a batch has been dealt
	// with, by the goroutine that reads or writes the device: a Writer that blocks
	// holds up the traffic. It is not closed.
	Writer io.Writer
	// SnapLen is how many bytes of each packet are kept at most; 0: all.
	SnapLen int
	// Clock gives the packets' times; nil: time.Now.
	Clock func() time.Time
	// Comment gives the comment on a packet, "" for none; nil: no comments. It sees the
	// whole packet, and must not keep it. It is called when the packet is written to
	// the file, so that it can tell what came of it: a packet that was read, or
	// written while what was read was being dealt with, waits until the next Read of
	// that queue (or Close, or until there are 8 MiB of them); any other is written at
	// once, before it is sent.
	//
	// It is called with the capture's lock held, from within Read, Write or Close: it
	// must not use the device, nor wait for anybody who does. Comments above 65,535
	// bytes are cut.
	Comment func(dir Direction, packet []byte) string
	// OnError is told, once, that writing the file failed and the capture has ended;
	// the traffic goes on. It is called from within Read, Write or Close. nil: nobody
	// is told, see Device.Err.
	OnError func(error)
}

// Device is a device with a tap. It implements link.Device.
type Device struct {
	link.Device // what is captured: all but Queues and Close are its own

	tap    *tap
	queues []link.Queue
}

// Wrap writes the head of the file and returns dev with a tap. The error is that of
// the Writer, or says what is wrong with cfg.
func Wrap(dev link.Device, cfg Config) (*Device, error) {
	if cfg.Writer == nil {
		return nil, errors.New("capture: no Writer: give the file to write to")
	}
	if cfg.SnapLen < 0 {
		return nil, fmt.Errorf("capture: SnapLen is %d: want 0 for whole packets, or a number of bytes", cfg.SnapLen)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	f, err := newFile(cfg.Writer, dev.Name(), cfg.SnapLen)
	if err != nil {
		return nil, fmt.Errorf("capture: writing the head of the file: %w", err)
	}
	under := dev.Queues()
	d := &Device{Device: dev, tap: &tap{
		clock: cfg.Clock, comment: cfg.Comment, onError: cfg.OnError, limit: pendingLimit,
		file: f, batches: make([]batch, len(under)),
	}}
	for i, q := range under {
		d.queues = append(d.queues, &queue{under: q, index: i, tap: d.tap})
	}
	return d, nil
}

// Queues implements link.Device.
func (d *Device) Queues() []link.Queue { return d.queues }

// Spread implements link.Spreader where the wrapped device does.
func (d *Device) Spread(n int) error { return link.Spread(d.Device, n) }

// Close implements link.Device: it closes the captured device, and writes the rest of
// the file. An error of the file is not returned, see Err.
func (d *Device) Close() error {
	err := d.Device.Close()
	d.tap.close()
	return err
}

// Err is why the capture has ended before Close; nil if it has not.
func (d *Device) Err() error { return d.tap.failure() }

// queue is one lane of the device, both directions.
type queue struct {
	under link.Queue
	index int
	tap   *tap
}

// Read implements link.Queue.
func (q *queue) Read(frames []link.Frame) (int, error) {
	q.tap.settle(q.index)
	n, err := q.under.Read(frames)
	if n > 0 {
		q.tap.read(q.index, frames[:n])
	}
	return n, err
}

// Write implements link.Queue. Frames are recorded before they are handed over, so that
// an answer never stands in front of its question; a frame that the device then refuses
// is in the file all the same.
func (q *queue) Write(frames []link.Frame) (int, error) {
	q.tap.write(q.index, frames)
	return q.under.Write(frames)
}
