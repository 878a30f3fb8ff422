package main

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/scripts/peers/internal/hist"
	"github.com/a644562b/portico/scripts/peers/internal/wire"
)

// batch is how many packets are read before those that are due are looked at again.
const batch = 1024

// lane is one direction: it reads packets from in and writes them to out.
type lane struct {
	name    string
	in, out int // descriptors of TUNs, not blocking
	stop    int // becomes readable when it is time to end
	start   time.Time
	tick    time.Duration // packets that are closer than this may be moved at once
	wire    *wire.Wire
	mtu     int

	spare   [][]byte // buffers that no packet is in
	late    hist.Hist
	refused int64 // by the TUN written to
}

// report is what a lane did.
type report struct {
	wire.Stats
	Refused int64 `json:"refused"`
	// How much later than due packets were written, in µs.
	LateP50 int64 `json:"late_p50_us"`
	LateP99 int64 `json:"late_p99_us"`
	LateMax int64 `json:"late_max_us"`
}

func (l *lane) report() report {
	return report{
		Stats: l.wire.Stats(), Refused: l.refused,
		LateP50: l.late.Quantile(0.5).Microseconds(), LateP99: l.late.Quantile(0.99).Microseconds(),
		LateMax: l.late.Max().Microseconds(),
	}
}

func (l *lane) now() mono.Time { return mono.Time(time.Since(l.start)) }

// run moves packets until stop says that it is over.
func (l *lane) run() error {
	runtime.LockOSThread()
	for {
		began := l.now()
		written, err := l.deliver()
		if err != nil {
			return err
		}
		read, err := l.take()
		if err != nil {
			return err
		}
		var over bool
		if written+read > 0 {
			over, err = l.poll(began.Add(l.tick), false)
		} else {
			over, err = l.poll(l.wire.Next(), true)
		}
		if over || err != nil {
			return err
		}
	}
}

// deliver writes what is due, and returns how many packets that were.
func (l *lane) deliver() (n int, err error) {
	for {
		now := l.now()
		p, due := l.wire.Due(now)
		if p == nil {
			return n, nil
		}
		n++
		l.late.Add(now.Sub(due))
		_, err := unix.Write(l.out, p)
		l.spare = append(l.spare, p[:cap(p)])
		switch err {
		case nil:
		case unix.EBADFD:
			return n, fmt.Errorf("%s: the device is gone: %w", l.name, err)
		default:
			l.refused++ // the interface is down, or there is no memory: a loss
		}
	}
}

// poll sleeps until the given time, and if packets count until there is one to read; over
// says that it is time to end.
func (l *lane) poll(until mono.Time, packets bool) (over bool, err error) {
	fds := []unix.PollFd{{Fd: int32(l.stop)}, {Fd: int32(l.in), Events: unix.POLLIN}}
	if !packets {
		fds = fds[:1]
	}
	var timeout *unix.Timespec
	if until != mono.Never {
		ts := unix.NsecToTimespec(int64(max(0, until.Sub(l.now()))))
		timeout = &ts
	}
	if err := ppoll(fds, timeout); err != nil {
		return false, fmt.Errorf("ppoll: %w", err)
	}
	return fds[0].Revents != 0, nil
}

// take reads packets, as many as there are but at most a batch, and returns how many.
func (l *lane) take() (n int, err error) {
	for n < batch {
		buf := l.buffer()
		size, err := unix.Read(l.in, buf)
		if err == nil {
			n++
			if l.wire.Send(l.now(), buf[:size]) {
				continue
			}
		}
		l.spare = append(l.spare, buf)
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return n, nil
		default:
			return n, fmt.Errorf("%s: read: %w", l.name, err)
		}
	}
	return n, nil
}

func (l *lane) buffer() []byte {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return make([]byte, l.mtu)
}
