package stack

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/internal/nstest"
)

// tap is a packet socket of the kernel's on a device: what goes through, as a sniffer sees it.
type tap struct {
	t  *testing.T
	fd int
}

func newTap(t *testing.T, device string) *tap {
	t.Helper()
	i, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	const all = syscall.ETH_P_ALL>>8 | syscall.ETH_P_ALL&0xff<<8 // in network order
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Timeval{Sec: 60}
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	return &tap{t, fd}
}

// report waits for a report about a group from an address, and puts it into words.
func (c *tap) report(from, group string) string {
	c.t.Helper()
	b := make([]byte, 65536)
	for {
		n, _, err := syscall.Recvfrom(c.fd, b, 0)
		if err != nil {
			c.t.Fatalf("no report about %s: %v", group, err)
		}
		first := gopacket.Decoder(layers.LayerTypeIPv4)
		if b[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		p := gopacket.NewPacket(b[:n], first, gopacket.Default)
		if p.NetworkLayer().NetworkFlow().Src().String() != from {
			continue
		}
		if text := membershipReport(p, group); text != "" {
			verifySums(c.t, p)
			return text
		}
	}
}

// membershipReport puts the record about a group into words: "to 224.0.0.22 TTL 1 alert:
// change to exclude {}".
func membershipReport(p gopacket.Packet, group string) string {
	var dst string
	var ttl uint8
	var alert bool
	switch h := p.NetworkLayer().(type) {
	case *layers.IPv4:
		dst, ttl = h.DstIP.String(), h.TTL
		alert = slices.ContainsFunc(h.Options, func(o layers.IPv4Option) bool { return o.OptionType == 148 })
	case *layers.IPv6:
		dst, ttl = h.DstIP.String(), h.HopLimit
		alert = h.HopByHop != nil && slices.ContainsFunc(h.HopByHop.Options, func(o *layers.IPv6HopByHopOption) bool { return o.OptionType == 5 })
	}
	word := func(typ uint8, sources int) string {
		name := map[uint8]string{3: "change to include", 4: "change to exclude"}[typ]
		return fmt.Sprintf("to %s TTL %d alert %v: %s of %d sources", dst, ttl, alert, name, sources)
	}
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.IGMP:
			for _, r := range l.GroupRecords {
				if r.MulticastAddress.String() == group {
					return word(uint8(r.Type), len(r.SourceAddresses))
				}
			}
		case *layers.MLDv2MulticastListenerReportMessage:
			for _, r := range l.MulticastAddressRecords {
				if r.MulticastAddress.String() == group {
					return word(uint8(r.RecordType), len(r.SourceAddresses))
				}
			}
		}
	}
	return ""
}

// sendBy makes a socket of the kernel's send to groups by a device.
func sendBy(t *testing.T, u *net.UDPConn, device string, six bool) {
	t.Helper()
	i, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	if six {
		setOption(t, u, syscall.IPPROTO_IPV6, syscall.IPV6_MULTICAST_IF, i.Index)
		return
	}
	raw, err := u.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var serr error
	raw.Control(func(fd uintptr) {
		serr = syscall.SetsockoptIPMreqn(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, &syscall.IPMreqn{Ifindex: int32(i.Index)})
	})
	if serr != nil {
		t.Fatal(serr)
	}
}

// The kernel's sockets and ours in one group: each hears the other while it is in it, and a
// sniffer sees that we say so when we join and when we leave.
func TestGroupsBesideTheKernel(t *testing.T) {
	nstest.Require(t)
	s, dev := kernelNeighbour(t)
	for _, test := range []struct{ group, reporter, routers string }{
		{"239.1.1.1", "10.77.9.2", "224.0.0.22"},
		{"ff05::101", "fe80::2", "ff02::16"},
		{"ff02::101", "fe80::2", "ff02::16"},
	} {
		t.Run(test.group, func(t *testing.T) {
			g := netip.MustParseAddr(test.group)
			sniffer := newTap(t, dev.Name())
			said := func(mode string) {
				t.Helper()
				want := fmt.Sprintf("to %s TTL 1 alert true: change to %s of 0 sources", test.routers, mode)
				if got := sniffer.report(test.reporter, test.group); got != want {
					t.Errorf("reported %q, want %q", got, want)
				}
			}
			p, err := s.ListenPacket("udp", ":7000")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ours := p.(*UDPConn)
			ours.SetReadDeadline(time.Now().Add(time.Minute))
			if err := ours.JoinGroup(g); err != nil {
				t.Fatal(err)
			}
			said("exclude")

			i, err := net.InterfaceByName(dev.Name())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := net.ListenMulticastUDP("udp", i, &net.UDPAddr{IP: g.AsSlice(), Port: 7000, Zone: dev.Name()})
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			theirs.SetReadDeadline(time.Now().Add(time.Minute))
			sendBy(t, theirs, dev.Name(), g.Is6())

			b := make([]byte, 100)
			if _, err := ours.WriteToUDPAddrPort([]byte("from us"), ap(g, 7000)); err != nil {
				t.Fatal(err)
			}
			n, from, err := theirs.ReadFrom(b)
			if err != nil || string(b[:n]) != "from us" || !strings.HasSuffix(from.String(), ":7000") {
				t.Errorf("the kernel read %q from %v, %v", b[:n], from, err)
			}
			wantDatagram(t, ours, "from us") // which is in the group too

			if _, err := theirs.WriteTo([]byte("from them"), &net.UDPAddr{IP: g.AsSlice(), Port: 7000, Zone: dev.Name()}); err != nil {
				t.Fatal(err)
			}
			m := UDPMessage{Buffers: [][]byte{b}}
			if err := ours.ReadMsg(&m); err != nil || string(b[:m.N]) != "from them" || m.Local != g || m.TTL != 1 {
				t.Errorf("we read %q to %v with TTL %d, %v", b[:m.N], m.Local, m.TTL, err)
			}

			if err := ours.LeaveGroup(g); err != nil {
				t.Fatal(err)
			}
			said("include")
			dropped := s.Stats().Drops["not_for_us"]
			theirs.WriteTo([]byte("too late"), &net.UDPAddr{IP: g.AsSlice(), Port: 7000, Zone: dev.Name()})
			back := netip.MustParseAddr(map[bool]string{false: "10.77.9.1", true: "fd77:9::1"}[g.Is6()])
			if _, err := s.Ping(t.Context(), back, 1, nil); err != nil { // what came before it has been seen
				t.Fatal(err)
			}
			if n := s.Stats().Drops["not_for_us"] - dropped; n == 0 {
				t.Error("nothing was dropped after we had left")
			}
			if n := s.PacketConns()[0].Queued; n != 0 {
				t.Errorf("%d bytes wait after we had left", n)
			}
		})
	}
}
