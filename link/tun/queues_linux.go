package tun

import (
	"fmt"
	"os"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

var _ link.Spreader = (*Device)(nil)

// addQueues opens the queues behind the first and wraps all.
func (d *Device) addQueues(cfg Config, flags uint16) error {
	files := []*os.File{d.wg.File()}
	for len(files) < cfg.Queues {
		f, err := attach(clonePath, d.name, flags)
		if err != nil {
			return fmt.Errorf("queue %d: %w", len(files)+1, err)
		}
		files = append(files, f)
		d.more = append(d.more, f)
	}
	for _, f := range files {
		// Not Fd, which would make the file blocking.
		raw, err := f.SyscallConn()
		if err != nil {
			return fmt.Errorf("tun: %s: %w", d.name, err)
		}
		q := newQueue(d, raw)
		q.joins = cfg.Offload != OffloadOff
		d.queues = append(d.queues, q)
	}
	d.attached = len(d.queues)
	return nil
}

// Spread has the kernel send by the first n queues only. A queue that it does not send by is
// detached from the interface: with one left the kernel has no queue to choose and no flows to
// keep in mind. What stands in it can be read until the kernel is sure that nobody adds to it;
// then it is thrown away. Meanwhile the kernel drops what it would send by it: whoever
// does not want to lose that writes to other queues for a while before, for a flow is
// sent by the queue that it was written to last.
func (d *Device) Spread(n int) error {
	if n < 1 || n > len(d.queues) {
		return fmt.Errorf("tun: %s: %d queues are out of range: choose 1 to %d", d.name, n, len(d.queues))
	}
	d.spreading.Lock()
	defer d.spreading.Unlock()
	// From the end, and back in the same order: the kernel numbers the attached ones.
	for d.attached > n {
		if err := d.attach(d.attached-1, false); err != nil {
			return err
		}
		d.attached--
	}
	for d.attached < n {
		if err := d.attach(d.attached, true); err != nil {
			return err
		}
		d.attached++
	}
	return nil
}

// attach attaches queue i to the interface again, or detaches it.
func (d *Device) attach(i int, on bool) error {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return fmt.Errorf("tun: %w", err)
	}
	ifr.SetUint16(unix.IFF_DETACH_QUEUE)
	if on {
		ifr.SetUint16(unix.IFF_ATTACH_QUEUE)
	}
	q := d.queues[i].(*queue)
	if e := q.raw.Control(func(fd uintptr) {
		err = unix.IoctlIfreq(int(fd), unix.TUNSETQUEUE, ifr)
		if err == unix.EINVAL && unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr) == unix.EBADFD {
			err = unix.EBADFD // which says why: there is no interface
		}
	}); e != nil {
		err = e
	}
	if err != nil {
		return q.fail("spread over the queues of", err)
	}
	return nil
}
