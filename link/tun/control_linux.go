package tun

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// control asks the kernel how the interface stands. It holds a socket of its own,
// made where the interface was made: a socket belongs to a network namespace for
// life, whereas the goroutine that asks may run on a thread of another one.
type control struct {
	tun syscall.RawConn

	// taps lists the packet sockets of the same namespace; nil: it is not known.
	taps *os.File

	mu   sync.Mutex // held to use or close sock
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
	taps, err := os.Open("/proc/thread-self/net/packet")
	if err != nil {
		taps = nil
	}
	return &control{tun: raw, sock: sock, taps: taps}, nil
}

func (c *control) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock >= 0 {
		unix.Close(c.sock)
		c.sock = -1
	}
	if c.taps != nil {
		c.taps.Close()
	}
}

// look says how the interface stands. wireguard's event is not more than a reason to
// look: it says "up" of an interface that is down, and "down" as a mere change.
// An interface that is gone is down and keeps its MTU.
func (c *control) look(_ wgtun.Event, last state) state {
	ifr := c.ask(unix.SIOCGIFFLAGS)
	if ifr == nil {
		return state{up: false, mtu: last.mtu}
	}
	now := state{up: ifr.Uint16()&unix.IFF_UP != 0, mtu: last.mtu}
	if ifr = c.ask(unix.SIOCGIFMTU); ifr != nil {
		now.mtu = int(int32(ifr.Uint32()))
	}
	return now
}

// bigTo is the first IPv4 address of the kernel's on the interface, not valid when it has none
// or somebody looks at what passes by the interface.
func (c *control) bigTo() netip.Addr {
	ifr := c.ask(unix.SIOCGIFADDR)
	if ifr == nil || c.tapped() {
		return netip.Addr{}
	}
	b, err := ifr.Inet4Addr()
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// tapped reports whether a packet socket, that of tcpdump for one, gets what passes by the
// interface.
func (c *control) tapped() bool {
	ifr := c.ask(unix.SIOCGIFINDEX)
	if c.taps == nil || ifr == nil {
		return false
	}
	return tapped(io.NewSectionReader(c.taps, 0, 1<<20), int(ifr.Uint32()))
}

// tapped looks in a list as /proc/net/packet has it for a socket that gets all packets, or those
// of IPv4, of the interface with this index, or of any, which the list calls 0.
func tapped(list io.Reader, index int) bool {
	const protocol, device = 3, 4 // columns
	for lines := bufio.NewScanner(list); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) > device && (f[protocol] == "0003" || f[protocol] == "0800") && (f[device] == "0" || f[device] == strconv.Itoa(index)) {
			return true
		}
	}
	return false
}

// ask asks about the interface by the name that it has now, for it may have been renamed. The answer
// is nil when there is none.
func (c *control) ask(request uint) *unix.Ifreq {
	c.mu.Lock()
	defer c.mu.Unlock()
	ifr, err := unix.NewIfreq("")
	if err != nil || c.sock < 0 || c.ioctl(unix.TUNGETIFF, ifr) != nil {
		return nil
	}
	if ifr, err = unix.NewIfreq(ifr.Name()); err != nil || unix.IoctlIfreq(c.sock, request, ifr) != nil {
		return nil
	}
	return ifr
}

// kernelSince reports whether the kernel is of this version or later.
func kernelSince(major, minor int) bool {
	var name unix.Utsname
	return unix.Uname(&name) == nil && since(unix.ByteSliceToString(name.Release[:]), major, minor)
}

// since reports whether release, such as "6.18.44-generic", is of this version or later.
func since(release string, major, minor int) bool {
	var a, b int
	n, _ := fmt.Sscanf(release, "%d.%d", &a, &b)
	return n == 2 && (a > major || a == major && b >= minor)
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
