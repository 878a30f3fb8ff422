package stack

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link/tun"
)

// TestDatagramsOfAllSizesBesideTheKernel sends datagrams both ways across a TUN, empty ones
// and the longest among them, which travel in fragments.
func TestDatagramsOfAllSizesBesideTheKernel(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	for _, host := range []struct{ ours, kernel string }{
		{"10.77.9.2:7777", "10.77.9.1:7778"}, {"[fd77:9::2]:7777", "[fd77:9::1]:7778"},
	} {
		ours, err := s.ListenPacket("udp", host.ours)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := net.ListenPacket("udp", host.kernel)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		for _, way := range []struct{ from, to net.PacketConn }{{ours, theirs}, {theirs, ours}} {
			for _, size := range []int{0, 1, 1452, 1453, 1472, 1473, 9000, 65507} {
				payload := pattern(size)
				if _, err := way.from.WriteTo(payload, way.to.LocalAddr()); err != nil {
					t.Fatalf("%d bytes from %v: %v", size, way.from.LocalAddr(), err)
				}
				way.to.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, from, err := way.to.ReadFrom(b)
				if err != nil || !bytes.Equal(b[:n], payload) || from.String() != way.from.LocalAddr().String() {
					t.Fatalf("%d bytes from %v: read %d from %v, %v", size, way.from.LocalAddr(), n, from, err)
				}
			}
		}
		ours.Close()
		theirs.Close()
	}
}

// TestTransparentProxyForTheKernel routes networks that are nobody's to the TUN: curl
// reaches the handler by the address that it asked for, and so does a UDP client.
func TestTransparentProxyForTheKernel(t *testing.T) {
	nstest.Require(t)
	dev, err := tun.Open(tun.Config{Name: "tunproxy"})
	if err != nil {
		t.Fatal(err)
	}
	nstest.IP(t, "link set tunproxy up")
	nstest.AddAddr(t, "tunproxy", netip.MustParsePrefix("10.77.8.1/24"))
	nstest.AddAddr(t, "tunproxy", netip.MustParsePrefix("fd77:8::1/64"))
	nstest.IP(t, "route add 203.0.113.0/24 dev tunproxy")
	nstest.IP(t, "route add 2001:db8::/32 dev tunproxy")

	accepted := make(chan net.Conn)
	s, err := New(dev, Config{
		Addrs: prefixes("10.77.8.2/24", "fd77:8::2/64"),
		Forward: Forward{
			TCP: func(r *TCPRequest) {
				if c, err := r.Accept(); err == nil {
					accepted <- c
				}
			},
			UDP: func(r *UDPRequest) {
				u, err := r.Accept()
				if err != nil {
					return
				}
				defer u.Close()
				b := make([]byte, 100)
				if n, err := u.Read(b); err == nil {
					fmt.Fprintf(u, "%v heard %s", u.LocalAddr(), b[:n])
				}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%v for %s", r.Context().Value(http.LocalAddrContextKey), r.Host)
	})}
	go web.Serve(&proxied{accepted, make(chan bool)})
	defer web.Close()

	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl")
	}
	for _, host := range []string{"203.0.113.7", "[2001:db8::7]"} {
		out, err := exec.Command(curl, "-sg", "--max-time", "10", "--noproxy", "*", "http://"+host+"/").CombinedOutput()
		if want := host + ":80 for " + host; err != nil || string(out) != want {
			t.Errorf("curl %s: %v, %q, want %q", host, err, out, want)
		}
		c, err := net.Dial("udp", host+":7777")
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		mustWrite(t, c, "hello")
		wantRead(t, c, host+":7777 heard hello")
		c.Close()
	}
}

// proxied is a listener of what a handler accepts.
type proxied struct {
	conns  chan net.Conn
	closed chan bool
}

func (p *proxied) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *proxied) Close() error   { close(p.closed); return nil }
func (p *proxied) Addr() net.Addr { return &net.TCPAddr{} }
