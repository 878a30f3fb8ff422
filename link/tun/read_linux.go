package tun

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// queue is one queue of the TUN. What Read works with is kept here, for there is one
// reader; writers bring their own.
type queue struct {
	dev *Device
	raw syscall.RawConn
	// writev is unix.Writev; tests put a kernel in its place that refuses offloads.
	writev func(fd int, iov [][]byte) (int, error)

	hdr    vnetHdr
	spare  [1]byte
	iov    [3][]byte
	frames []link.Frame
	n      int
	err    error
	fillFn func(fd uintptr) bool
}

func newQueue(d *Device, raw syscall.RawConn) *queue {
	q := &queue{dev: d, raw: raw, writev: unix.Writev}
	q.iov[0], q.iov[2] = q.hdr[:], q.spare[:]
	q.fillFn = q.fill
	return q
}

// Read waits for a frame and takes those behind it that are there already.
func (q *queue) Read(frames []link.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	q.frames, q.n, q.err = frames, 0, nil
	err := q.raw.Read(q.fillFn)
	q.frames, q.iov[1] = nil, nil
	if q.n > 0 {
		return q.n, nil // an error is still there for the next Read
	}
	if q.err != nil {
		err = q.err
	}
	return 0, q.fail("read", err)
}

// fill reads frames until there are no more or no room; false when there was none
// and the netpoller shall wait.
func (q *queue) fill(fd uintptr) bool {
	for q.n < len(q.frames) {
		switch ok, err := q.readFrame(int(fd), &q.frames[q.n]); {
		case err == unix.EAGAIN:
			return q.n > 0
		case err == unix.EINTR:
		case err != nil:
			q.err = err
			return true
		case ok:
			q.n++
		}
	}
	return true
}

// readFrame reads one frame; false when it was one to drop. The kernel cuts what
// does not fit without a word, so one byte more than the frame has room for is
// offered: when it is taken, the frame was too long.
func (q *queue) readFrame(fd int, f *link.Frame) (bool, error) {
	q.iov[1] = f.Data
	n, err := unix.Readv(fd, q.iov[:])
	if err != nil {
		return false, err
	}
	if n -= vnetHdrLen; n > len(f.Data) {
		q.dev.stats.readTooLong.Add(1)
		return false, nil
	}
	if n <= 0 {
		q.dev.stats.readMalformed.Add(1)
		return false, nil
	}
	o, ok := q.hdr.decode(f.Data[:n])
	if !ok {
		q.dev.stats.readMalformed.Add(1)
		return false, nil
	}
	f.Data, f.Payload, f.Offload = f.Data[:n], nil, o
	return true, nil
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
