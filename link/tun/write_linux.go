package tun

import (
	"sync"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// iovMax is how many slices one writev gathers (UIO_MAXIOV).
const iovMax = 1024

// writer is what one call of Write works with. Writers are many at once: the kernel
// needs no lock of ours around its queue.
type writer struct {
	q      *queue
	frames []link.Frame
	n      int
	err    error

	fd      int
	hdr     vnetHdr
	iov     [][]byte
	whole   []byte // a frame gathered, when it has more slices than writev takes
	sendFn  func(fd uintptr)
	emitFn  func(*link.Frame)
	frameFn func(*link.Frame)
	// badPiece: the kernel refused a plain packet of a frame that was cut.
	badPiece bool
}

var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.sendFn, w.emitFn, w.frameFn = w.send, w.emit, w.frame
	return w
}}

// Write hands frames to the kernel, each by one writev. It never waits: it does not
// even ask the netpoller, for a TUN has no room to wait for, it drops.
func (q *queue) Write(frames []link.Frame) (int, error) {
	w := writers.Get().(*writer)
	w.q, w.frames, w.n, w.err = q, frames, 0, nil
	err := q.raw.Control(w.sendFn)
	if err == nil {
		err = w.err
	}
	n := w.n
	w.q, w.frames = nil, nil
	clear(w.iov[:cap(w.iov)])
	writers.Put(w)
	if err != nil {
		return n, q.fail("write", err)
	}
	return n, nil
}

func (w *writer) send(fd uintptr) {
	w.fd = int(fd)
	for i := range w.frames {
		w.frame(&w.frames[i])
		if w.err != nil {
			return
		}
		w.n++
	}
}

// frame sends f as it is, or cut in software where the kernel does not take it.
func (w *writer) frame(f *link.Frame) {
	if w.err != nil {
		return
	}
	d := w.q.dev
	if !wellFormed(f) {
		d.stats.writeMalformed.Add(1)
		return
	}
	need := needs(f)
	var refusal error
	if d.takes(need) {
		err := w.writev(f)
		switch {
		case need != 0 && isRefusal(err):
			refusal = err
		case need&offloadBig != 0 && isNoRoom(err):
			// The kernel wants up to 17 pieces of memory for a frame. Where it has them only of less
			// than 12 KiB, which may last, it has some for frames of 64 KiB all the same.
		default:
			w.account(err)
			return
		}
	}
	w.badPiece = false
	switch err := w.cut(f, need); {
	case err != nil:
		d.stats.writeMalformed.Add(1)
	case refusal != nil && !w.badPiece:
		// The kernel took in pieces what it refused as a whole: blame the offload, and
		// not the frame.
		d.refuse(need, refusal)
	}
}

// cut sends the pieces of f: shorter super-segments where f is only too long, else packets.
func (w *writer) cut(f *link.Frame, need offload) error {
	if need&offloadBig != 0 && w.q.dev.takes(need&^offloadBig) {
		return gso.Shorten(f, MaxMTU, w.frameFn)
	}
	return gso.Split(f, w.emitFn)
}

// emit sends one plain packet of a frame that was cut.
func (w *writer) emit(f *link.Frame) {
	if w.err != nil {
		return
	}
	err := w.writev(f)
	w.badPiece = w.badPiece || isRefusal(err)
	w.account(err)
}

func (w *writer) writev(f *link.Frame) error {
	w.hdr.encode(&f.Offload)
	w.iov = append(w.iov[:0], w.hdr[:], f.Data)
	if len(f.Payload)+2 <= iovMax {
		w.iov = append(w.iov, f.Payload...)
	} else {
		w.whole = f.AppendTo(w.whole[:0])
		w.iov[1] = w.whole
	}
	for {
		if _, err := w.q.writev(w.fd, w.iov); err != unix.EINTR {
			return err
		}
	}
}

// isRefusal reports whether err says that the kernel does not do this to a frame, as
// opposed to that it cannot just now.
func isRefusal(err error) bool {
	switch err {
	case unix.EINVAL, unix.EOPNOTSUPP, unix.EMSGSIZE:
		return true
	}
	return false
}

// isNoRoom reports whether err says that the kernel has no memory or no room just now.
func isNoRoom(err error) bool {
	switch err {
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return true
	}
	return false
}

// account counts what became of a packet. Only what will not pass by itself is an
// error of Write.
func (w *writer) account(err error) {
	s := &w.q.dev.stats
	switch {
	case err == nil:
	case err == unix.EIO:
		s.writeDown.Add(1)
	case isNoRoom(err):
		s.writeNoRoom.Add(1)
	case isRefusal(err):
		s.writeMalformed.Add(1)
	default:
		w.err = err
	}
}
