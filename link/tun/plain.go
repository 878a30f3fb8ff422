package tun

import (
	"errors"
	"sync"
	"syscall"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/link"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// headroom is what wireguard's devices may want in front of a packet: 4 bytes of
// address family on the BSDs, nothing on Windows.
const headroom = 16

// newPlain makes a device that moves plain packets through wireguard's.
func newPlain(wg wgtun.Device, name string, cfg Config) *Device {
	d := newDevice(wg, name, cfg)
	q := &plainQueue{dev: d, wg: wg}
	for range wg.BatchSize() {
		q.bufs = append(q.bufs, make([]byte, headroom+link.MaxFrame))
	}
	q.sizes = make([]int, len(q.bufs))
	d.queues = []link.Queue{q}
	go d.watch(func(ev wgtun.Event, last state) state {
		return lookPlain(wg, ev, last)
	})
	return d
}

// lookPlain takes wireguard's word for what happened.
func lookPlain(wg wgtun.Device, ev wgtun.Event, last state) state {
	if ev&wgtun.EventUp != 0 {
		last.up = true
	}
	if ev&wgtun.EventDown != 0 {
		last.up = false
	}
	if ev&wgtun.EventMTUUpdate != 0 {
		if mtu, err := wg.MTU(); err == nil {
			last.mtu = mtu
		}
	}
	return last
}

// plainQueue is the one queue of a device without offloads.
type plainQueue struct {
	dev   *Device
	wg    wgtun.Device
	bufs  [][]byte // Read's; there is one reader
	sizes []int

	mu  sync.Mutex // guards out, and wireguard's Write, which knows one caller at a time
	out []byte
}

// Read waits for at least one frame.
func (q *plainQueue) Read(frames []link.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	for {
		batch := min(len(frames), len(q.bufs))
		got, err := q.wg.Read(q.bufs[:batch], q.sizes[:batch], headroom)
		if n := q.deliver(frames, got); n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, wgtun.ErrTooManySegments) {
			return 0, q.dev.fail("read", err)
		}
	}
}

// deliver copies the packets of a batch to frames and drops those that do not fit.
func (q *plainQueue) deliver(frames []link.Frame, got int) int {
	n := 0
	for i, size := range q.sizes[:got] {
		f := &frames[n]
		switch {
		case size <= 0:
			q.dev.stats.readMalformed.Add(1)
		case size > len(f.Data):
			q.dev.stats.readTooLong.Add(1)
		default:
			copy(f.Data, q.bufs[i][headroom:headroom+size])
			f.Data, f.Payload, f.Offload = f.Data[:size], nil, link.Offload{}
			n++
		}
	}
	return n
}

// Write sends frames, cut and summed where they are not plain packets.
func (q *plainQueue) Write(frames []link.Frame) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range frames {
		var failed error
		err := gso.Split(&frames[i], func(f *link.Frame) {
			if failed == nil {
				failed = q.packet(f)
			}
		})
		if err != nil {
			q.dev.stats.writeMalformed.Add(1)
		}
		if failed != nil {
			return i, q.dev.fail("write", failed)
		}
	}
	return len(frames), nil
}

// packet sends one packet; only what will not pass by itself is an error.
func (q *plainQueue) packet(f *link.Frame) error {
	if len(f.Data) == 0 {
		q.dev.stats.writeMalformed.Add(1)
		return nil
	}
	q.out = append(q.out[:0], make([]byte, headroom)...)
	q.out = append(q.out, f.Data...)
	_, err := q.wg.Write([][]byte{q.out}, headroom)
	switch {
	case err == nil:
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EAGAIN):
		q.dev.stats.writeNoRoom.Add(1)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EHOSTDOWN):
		q.dev.stats.writeDown.Add(1)
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EMSGSIZE):
		q.dev.stats.writeMalformed.Add(1)
	default:
		return err
	}
	return nil
}
