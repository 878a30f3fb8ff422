package stack

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link/tun"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestConnBehavesLikeNetBesideTheKernel runs the conformance test of x/net with one end
// ours and the other the kernel's, across a TUN: each end as the client once, in both
// families.
func TestConnBehavesLikeNetBesideTheKernel(t *testing.T) {
	nstest.Require(t)
	s, dev := kernelNeighbour(t)
	for name, host := range map[string]struct{ ours, kernel string }{
		"IPv4": {"10.77.9.2:7000", "10.77.9.1:7001"},
		"IPv6": {"[fd77:9::2]:7000", "[fd77:9::1]:7001"},
	} {
		ours, err := s.Listen("tcp", host.ours)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := net.Listen("tcp", host.kernel)
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		t.Run(name+"/kernel dials, we are tested", func(t *testing.T) {
			nettest.TestConn(t, pairs(func() (net.Conn, error) { return net.Dial("tcp", host.ours) }, ours, true))
		})
		t.Run(name+"/we dial and are tested", func(t *testing.T) {
			nettest.TestConn(t, pairs(func() (net.Conn, error) { return s.Dial("tcp", host.kernel) }, theirs, false))
		})
	}
	if lost := dev.Stats(); lost != (tun.Stats{}) {
		t.Errorf("the TUN lost frames: %+v", lost)
	}
}

// kernelNeighbour puts a stack on a TUN with the kernel on the other side.
func kernelNeighbour(t *testing.T) (*Stack, *tun.Device) {
	dev := kernelTUN(t)
	s, err := New(dev, Config{Addrs: []netip.Prefix{
		netip.MustParsePrefix("10.77.9.2/24"), netip.MustParsePrefix("fd77:9::2/64"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dev
}

// kernelTUN is the TUN of kernelNeighbour, with the kernel at 10.77.9.1 and fd77:9::1.
func kernelTUN(t *testing.T) *tun.Device {
	t.Helper()
	dev, err := tun.Open(tun.Config{Name: "tunstack"})
	if err != nil {
		t.Fatal(err)
	}
	nstest.IP(t, "link set tunstack up")
	nstest.AddAddr(t, "tunstack", netip.MustParsePrefix("10.77.9.1/24"))
	nstest.AddAddr(t, "tunstack", netip.MustParsePrefix("fd77:9::1/64"))
	return dev
}

// pairs makes the pairs of connections that nettest asks for. The first of a pair is the
// one under test; acceptedFirst says that it is the accepted one.
func pairs(dial func() (net.Conn, error), l net.Listener, acceptedFirst bool) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}()
		dialed, err := dial()
		if err != nil {
			return nil, nil, nil, err
		}
		got, ok := <-accepted
		if !ok {
			dialed.Close()
			return nil, nil, nil, net.ErrClosed
		}
		stop = func() {
			dialed.Close()
			got.Close()
		}
		if acceptedFirst {
			return got, dialed, stop, nil
		}
		return dialed, got, stop, nil
	}
}
