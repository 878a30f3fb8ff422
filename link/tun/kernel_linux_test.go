package tun

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
)

// host is a device with the kernel at the other side. The kernel has address .1 (and
// ::1) of a network of its own; all else of it lies behind the TUN.
type host struct {
	t testing.TB
	*Device
	net4, net6 netip.Prefix
}

var networks atomic.Int32

// newHost opens a device and gives the kernel its side.
func newHost(t testing.TB, cfg Config) *host {
	t.Helper()
	nstest.Require(t)
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	n := uint16(networks.Add(1))
	h := &host{t: t, Device: d,
		net4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 24),
		net6: netip.MustParsePrefix(fmt.Sprintf("fd98:%x::/64", n)),
	}
	// The kernel shall say nothing of its own accord.
	nstest.IP(t, fmt.Sprintf("link set dev %s addrgenmode none", d.Name()))
	h.sysctl("accept_ra", "0")
	h.sysctl("router_solicitations", "0")
	nstest.IP(t, fmt.Sprintf("link set dev %s up", d.Name()))
	nstest.AddAddr(t, d.Name(), netip.PrefixFrom(h.net4.Addr().Next(), 24))
	return h
}

// kernelCaps are those of a TUN of this kernel, of which some do no USO: it is asked, for
// distributions bring that to older ones.
func kernelCaps(t testing.TB, d *Device) link.Caps {
	t.Helper()
	ctl, err := newControl(d.wg.File())
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.close()
	return link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: ctl.setFeatures(tcpFeatures|udpFeatures) == nil}
}

func (h *host) sysctl(name, value string) {
	h.t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+h.Name()+"/"+name, []byte(value), 0); err != nil {
		h.t.Fatal(err)
	}
}

// flow is a four-tuple over IPv4 or IPv6, which the kernel has an address for from
// now on: ours is port 5000 behind the TUN, the kernel's is port.
func (h *host) flow(version int, port int) flow {
	h.t.Helper()
	kernel := h.net4.Addr().Next()
	if version == 6 {
		kernel = h.net6.Addr().Next()
		nstest.AddAddr(h.t, h.Name(), netip.PrefixFrom(kernel, 64))
	}
	return flow{
		local:  netip.AddrPortFrom(kernel.Next(), 5000),
		remote: netip.AddrPortFrom(kernel, uint16(port)),
	}
}

// udpSocket is the kernel's end of f, connected to ours.
func (h *host) udpSocket(f flow) *net.UDPConn {
	h.t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(f.remote), net.UDPAddrFromAddrPort(f.local))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// receive returns the next datagram of a kernel socket.
func (h *host) receive(c *net.UDPConn) string {
	h.t.Helper()
	b := make([]byte, 65536)
	n, err := c.Read(b)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b[:n])
}

// read returns the next frame of queue q that is f's, for IPv6 has more to say than
// what was asked of it.
func (h *host) read(q link.Queue, f flow) link.Frame {
	h.t.Helper()
	for {
		frames := readFrames(1, link.MaxFrame)
		if n, err := q.Read(frames); n != 1 || err != nil {
			h.t.Fatalf("Read = %d, %v", n, err)
		}
		if f.owns(frames[0].Data) {
			return frames[0]
		}
	}
}

// owns reports whether a packet goes from the remote to the local address of f.
func (f flow) owns(packet []byte) bool {
	src, dst := 12, 16
	if packet[0]>>4 == 6 {
		src, dst = 8, 24
	}
	local, remote := f.local.Addr().AsSlice(), f.remote.Addr().AsSlice()
	return string(packet[src:src+len(remote)]) == string(remote) && string(packet[dst:dst+len(local)]) == string(local)
}

// write sends one frame, which must be taken.
func (h *host) write(q link.Queue, f link.Frame) {
	h.t.Helper()
	if n, err := q.Write([]link.Frame{f}); n != 1 || err != nil {
		h.t.Fatalf("Write = %d, %v", n, err)
	}
}

// wantStats checks the counters of dropped frames.
func (h *host) wantStats(want Stats) {
	h.t.Helper()
	if got := h.Stats(); got != want {
		h.t.Errorf("Stats = %+v, want %+v", got, want)
	}
}
