package tun

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/a644562b/portico/internal/gro"
	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// queue is one queue of the TUN. What is needed to read is kept here, for one reads at a
// time; writers bring their own.
type queue struct {
	dev *Device
	raw syscall.RawConn
	// writev is unix.Writev; tests put a kernel in its place that refuses offloads.
	writev func(fd int, iov [][]byte) (int, error)
	// joins: TCP segments that follow one another become one frame (package gro).
	joins bool

	hdr    vnetHdr
	spare  [1]byte
	iov    [5][]byte
	frames []link.Frame
	n      int       // frames filled
	train  gro.Train // the last of them, where segments that follow may join it
	err    error
	pollFn func(fd uintptr)

	// What ReadShared waits for, and with which lock; the rest belongs to who holds that.
	waiting []link.Frame
	lock    sync.Locker
	held    bool
	fillFn  func(fd uintptr) bool
}

var _ link.SharedQueue = (*queue)(nil)

// maxReads is how many packets one Read takes at most, however few frames they are joined
// to: of an Ethernet's, fewer than the engine takes in before it answers.
const maxReads = 128

func newQueue(d *Device, raw syscall.RawConn) *queue {
	q := &queue{dev: d, raw: raw, writev: unix.Writev}
	q.iov[0] = q.hdr[:]
	q.fillFn, q.pollFn = q.fill, q.poll
	return q
}

// Read waits for a frame and takes those behind it that are there already.
func (q *queue) Read(frames []link.Frame) (int, error) {
	return q.ReadShared(link.Unshared{}, frames)
}

// ReadShared implements link.SharedQueue.
func (q *queue) ReadShared(l sync.Locker, frames []link.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	q.waiting, q.lock, q.held = frames, l, false
	err := q.raw.Read(q.fillFn)
	if q.held {
		if q.n > 0 {
			return q.n, nil // an error is still there for the next Read
		}
		if q.err != nil {
			err = q.err
		}
		l.Unlock()
	}
	return 0, q.fail("read", err)
}

// fill reads for ReadShared; false when there was nothing and the netpoller shall wait.
// It is called again then: who comes first after a frame has come may take it.
func (q *queue) fill(fd uintptr) bool {
	q.lock.Lock()
	q.held = true
	if q.read(fd, q.waiting) {
		return true
	}
	q.lock.Unlock()
	q.held = false
	return false
}

// Poll implements link.SharedQueue.
func (q *queue) Poll(frames []link.Frame) int {
	q.frames, q.n = frames, 0
	q.raw.Control(q.pollFn)
	return q.n // an error is still there for the next Read
}

func (q *queue) poll(fd uintptr) { q.read(fd, q.frames) }

// read reads packets until there are no more or no room; false when there was none.
func (q *queue) read(fd uintptr, frames []link.Frame) bool {
	q.frames, q.n, q.err = frames, 0, nil
	more := q.readPackets(int(fd))
	q.train.Finish()
	q.frames = nil
	clear(q.iov[1:])
	return more
}

func (q *queue) readPackets(fd int) bool {
	for reads := 0; q.n < len(q.frames) && (reads < maxReads || q.n == 0); reads++ {
		switch err := q.readPacket(fd, &q.frames[q.n]); {
		case err == unix.EAGAIN:
			return q.n > 0
		case err == unix.EINTR:
		case err != nil:
			q.err = err
			return true
		}
	}
	return true
}

// readPacket reads one packet, which fills frame f or lengthens the one before it, unless
// it is one to drop.
func (q *queue) readPacket(fd int, f *link.Frame) error {
	header, room := q.train.Next()
	if header+len(room) > len(f.Data) {
		header, room = 0, nil
	}
	n, err := unix.Readv(fd, q.offer(f.Data, header, room))
	if err != nil {
		return err
	}
	switch n -= vnetHdrLen; {
	case n > len(f.Data):
		q.dev.stats.readTooLong.Add(1)
	case n <= 0:
		q.dev.stats.readMalformed.Add(1)
	case n > header && q.join(f.Data[:n], header, room):
	default:
		q.take(f, n)
	}
	return nil
}

// offer is the memory that a packet is read into, data, which is that of its frame.
// Where a segment may come that continues the train in hand, its headers go there and its
// payload at once to where it belongs, into room; what is longer goes on in data where it
// stands if it is something else.
//
//	data:   | headers |         | the rest |
//	train:  … payload | payload |
//
// The kernel cuts what does not fit without a word, so one byte more than there is room
// for is offered: when it is taken, the packet was too long.
func (q *queue) offer(data []byte, header int, room []byte) [][]byte {
	if room == nil {
		return append(q.iov[:1], data, q.spare[:])
	}
	return append(q.iov[:1], data[:header], room, data[header+len(room):], q.spare[:])
}

// join reports whether the packet that was read by offer continues the train. Otherwise
// packet holds all of it afterwards.
func (q *queue) join(packet []byte, header int, room []byte) bool {
	if payload := len(packet) - header; payload <= len(room) {
		o, ok := q.hdr.decode(packet)
		if ok && q.train.Append(packet[:header], payload, o) {
			return true
		}
	}
	copy(packet[header:], room)
	return false
}

// take fills frame f with the packet of n bytes that lies in it.
func (q *queue) take(f *link.Frame, n int) {
	o, ok := q.hdr.decode(f.Data[:n])
	if !ok {
		q.dev.stats.readMalformed.Add(1)
		return
	}
	memory := f.Data
	f.Data, f.Payload, f.Offload = memory[:n], nil, o
	q.n++
	if q.joins {
		q.train.Finish()
		q.train.Start(f, memory)
	}
}

// fail turns the error of a read or a write into what the caller gets. An interface
// that was deleted under us answers EBADFD, or does not let itself be polled.
func (q *queue) fail(op string, err error) error {
	var errno syscall.Errno
	if !q.dev.closed.Load() && (errors.Is(err, unix.EBADFD) || !errors.As(err, &errno)) {
		return fmt.Errorf("tun: %s %s: somebody deleted the interface: open it anew: %w", op, q.dev.name, err)
	}
	return q.dev.fail(op, err)
}
