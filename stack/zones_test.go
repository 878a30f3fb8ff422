package stack

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// Link-local addresses with the zone by name, by number and by default.
func TestLinkLocalAddressesWithZones(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, listen := range []string{"[fe80::2%pipe1]:80", "[fe80::2%2]:80", "[fe80::2]:80", ":80"} {
			l := h.listen(t, "tcp", listen)
			if addr := l.Addr().String(); listen != ":80" && addr != "[fe80::2%pipe1]:80" {
				t.Errorf("listening at %s reads %s", listen, addr)
			}
			for _, dial := range []string{"[fe80::2%pipe0]:80", "[fe80::2%2]:80", "[fe80::2]:80"} {
				c := h.dial(t, "tcp", dial)
				s := accept(t, l)
				for name, got := range map[string]net.Addr{"[fe80::1%pipe0]": c.LocalAddr(), "[fe80::2%pipe0]:80": c.RemoteAddr(),
					"[fe80::1%pipe1]": s.RemoteAddr(), "[fe80::2%pipe1]:80": s.LocalAddr()} {
					if !strings.HasPrefix(got.String(), name) {
						t.Errorf("dial %s: an end reads %v, want %s", dial, got, name)
					}
				}
				for _, i := range []tcp.Info{s.Info(), h.server.Conns()[0].Info} {
					if i.Local.String() != s.LocalAddr().String() || i.Remote.String() != s.RemoteAddr().String() {
						t.Errorf("dial %s: the description reads %v and %v", dial, i.Local, i.Remote)
					}
				}
				mustWrite(t, c, "hello")
				wantRead(t, s, "hello")
				c.SetLinger(0)
				c.Close()
				s.Close()
			}
			l.Close()
		}
	})
}

func TestDatagramsToLinkLocalAddresses(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		p, err := h.server.ListenPacket("udp", "[fe80::2%pipe1]:53")
		if err != nil {
			t.Fatal(err)
		}
		c, err := h.client.Dial("udp", "[fe80::2%pipe0]:53")
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, c, "question")
		b := make([]byte, 100)
		n, from, err := p.ReadFrom(b)
		if err != nil || string(b[:n]) != "question" || !strings.HasPrefix(from.String(), "[fe80::1%pipe1]:") {
			t.Fatalf("%q from %v, %v", b[:n], from, err)
		}
		if _, err := p.WriteTo([]byte("answer"), from); err != nil { // with its zone, as it came
			t.Fatal(err)
		}
		wantRead(t, c, "answer")
		_, err = p.(*UDPConn).WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[fe80::1%eth7]:9"))
		var unknown *net.AddrError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `no device "eth7" here; the zone is pipe1`) {
			t.Errorf("to another zone: %v", err)
		}
	})
}

func TestUnknownZoneIsRefused(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for address, want := range map[string]string{
			"[fe80::2%eth0]:80": `dial tcp: address fe80::2%eth0: no device "eth0" here; the zone is pipe0, or none`,
			"[fe80::2%lo]:80":   `dial tcp: address fe80::2%lo: no device "lo" here; the zone is pipe0, or none`,
		} {
			_, err := h.client.Dial("tcp", address)
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", address, err, want)
			}
		}
		l, err := h.client.Listen("tcp", "[::1%lo]:80")
		if err != nil || l.Addr().String() != "[::1]:80" {
			t.Errorf("loopback in its zone: %v, %v", l, err)
		}
	})
}

// To a global address from the global one, to a link-local address from the link-local one,
// although it stands last.
func TestSourceHasTheScopeOfTheDestination(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		for dst, src := range map[string]string{"fe80::99": "fe80::2", "fd77::99": "fd77::2", "2001:db8::1": "fd77::2"} {
			c, err := w.s.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(dst), 9).String())
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("x"))
			p := gopacket.NewPacket(<-w.sent, layers.LayerTypeIPv6, gopacket.Default)
			if got := p.NetworkLayer().NetworkFlow().Src().String(); got != src {
				t.Errorf("to %s from %s, want %s", dst, got, src)
			}
			c.Close()
		}
	})
}

func TestLinkLocalAddressIsMadeOnlyWhereThereIsNone(t *testing.T) {
	for _, tt := range []struct{ addrs, want string }{
		{"10.77.0.2/24", "10.77.0.2/24"},
		{"10.77.0.2/24 fd77::2/64", "10.77.0.2/24 fd77::2/64 fe80::2/64"},
		{"2001:db8::a:b:c:d/56", "2001:db8::a:b:c:d/56 fe80::a:b:c:d/64"},
		{"fe80::9/64 fd77::2/64", "fe80::9/64 fd77::2/64"},
	} {
		a := addrsOf(Config{Addrs: prefixes(strings.Fields(tt.addrs)...)})
		var got []string
		for _, p := range a.prefixes {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %s, want %s", tt.addrs, got, tt.want)
		}
	}
}
