package tun

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// control asks the kernel how the interface stands. It holds a socket of its own,
// made where the interface was made: a socket belongs to a network namespace for
// life, whereas the goroutine that asks may run on a thread of another one.
type control struct {
	tun  syscall.RawConn
	sock int
}

func newControl(file *os.File) (*control, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return &control{sock: -1}, fmt.Errorf("tun: %w", err)
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &control{sock: -1}, fmt.Errorf("tun: make a control socket: %w", err)
	}
	return &control{tun: raw, sock: sock}, nil
}

func (c *control) close() {
	if c.sock >= 0 {
		unix.Close(c.sock)
	}
}

// look says how the interface stands. wireguard's event is not more than a reason to
// look: it says "up" of an interface that is down, and "down" as a mere change.
// An interface that is gone is down and keeps its MTU.
func (c *control) look(_ wgtun.Event, last state) state {
	gone := state{up: false, mtu: last.mtu}
	// Ask by the name that the interface has now; it may have been renamed.
	ifr, err := unix.NewIfreq("")
	if err != nil || c.ioctl(unix.TUNGETIFF, ifr) != nil {
		return gone
	}
	name := ifr.Name()
	if unix.IoctlIfreq(c.sock, unix.SIOCGIFFLAGS, ifr) != nil {
		return gone
	}
	now := state{up: ifr.Uint16()&unix.IFF_UP != 0, mtu: last.mtu}
	if ifr, err = unix.NewIfreq(name); err == nil && unix.IoctlIfreq(c.sock, unix.SIOCGIFMTU, ifr) == nil {
		now.mtu = int(int32(ifr.Uint32()))
	}
	return now
}

// ioctl is one on the TUN itself.
func (c *control) ioctl(request uint, ifr *unix.Ifreq) error {
	var err error
	if e := c.tun.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), request, ifr) }); e != nil {
		return e
	}
	return err
}

// setFeatures says what the kernel may give us unfinished.
func (c *control) setFeatures(features int) error {
	var err error
	if e := c.tun.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, features) }); e != nil {
		return e
	}
	return err
}
