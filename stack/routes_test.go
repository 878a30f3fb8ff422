package stack

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link/pipe"
)

// addrsOf are the addresses of a stack of that configuration.
func addrsOf(cfg Config) addrs {
	if cfg.AddrPolicy == nil {
		cfg.AddrPolicy = ip.DefaultPolicy
	}
	return newAddrs(&cfg)
}

// routes makes routes from "PREFIX [KIND] [mtu N] [src ADDR]".
func routes(texts ...string) []ip.Route {
	list := []ip.Route{}
	for _, text := range texts {
		words := strings.Fields(text)
		r := ip.Route{Prefix: netip.MustParsePrefix(words[0])}
		for i := 1; i < len(words); i++ {
			switch words[i] {
			case "blackhole":
				r.Kind = ip.RouteBlackhole
			case "unreachable":
				r.Kind = ip.RouteUnreachable
			case "prohibit":
				r.Kind = ip.RouteProhibit
			case "mtu":
				i++
				fmt.Sscan(words[i], &r.MTU)
			case "src":
				i++
				r.Source = netip.MustParseAddr(words[i])
			default:
				panic(text)
			}
		}
		list = append(list, r)
	}
	return list
}

// The errors at dial, and that nothing leaves where a route refuses.
func TestRoutesDecideAtDial(t *testing.T) {
	cfg := serverConfig()
	cfg.Routes = routes("10.0.0.0/8", "10.9.0.0/16 blackhole", "10.9.9.0/24", "192.0.2.0/24 unreachable",
		"198.51.100.0/24 prohibit", "2001:db8::/32", "2001:db8:bad::/48 unreachable")
	for dst, want := range map[string]error{
		"10.77.0.1":       nil, // on the link
		"10.1.2.3":        nil,
		"10.9.1.1":        syscall.ENETUNREACH,
		"10.9.9.1":        nil, // longer than the blackhole
		"192.0.2.1":       syscall.EHOSTUNREACH,
		"198.51.100.1":    syscall.EACCES,
		"203.0.113.1":     syscall.ENETUNREACH, // no default route
		"fd77::1":         nil,
		"2001:db8::1":     nil,
		"2001:db8:bad::1": syscall.EHOSTUNREACH,
		"2001:db9::1":     syscall.ENETUNREACH,
	} {
		t.Run(dst, func(t *testing.T) {
			withWire(t, cfg, func(t *testing.T, w *wire) {
				to := netip.AddrPortFrom(netip.MustParseAddr(dst), 80).String()
				if want == nil {
					u, err := w.s.Dial("udp", to)
					if err != nil {
						t.Fatal(err)
					}
					defer u.Close()
					u.Write([]byte("x"))
					synctest.Wait()
					if len(w.sent) != 1 {
						t.Errorf("%d packets left", len(w.sent))
					}
					return
				}
				for _, network := range []string{"tcp", "udp"} {
					_, err := w.s.Dial(network, to)
					wantErr(t, err, want, fmt.Sprintf("dial %s %s: connect: %v", network, to, want))
				}
				_, err := w.s.Ping(t.Context(), netip.MustParseAddr(dst), 1, nil)
				wantErr(t, err, want, fmt.Sprintf("ping ip %s: connect: %v", dst, want))
				u, err := w.s.ListenPacket("udp", ":0")
				if err != nil {
					t.Fatal(err)
				}
				_, err = u.(*UDPConn).WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(to))
				wantErr(t, err, want, fmt.Sprintf("write udp %v->%s: sendto: %v", u.LocalAddr(), to, want))
				w.want()
			})
		})
	}
}

// Where no route leads back, what arrives is not answered.
func TestNothingIsAnsweredWithoutARoute(t *testing.T) {
	cfg := serverConfig()
	cfg.Routes = routes("192.0.2.0/24 blackhole")
	stranger := netip.MustParseAddr("192.0.2.9")
	for name, b := range map[string][]byte{
		"SYN to a listener":    tcpPacket(ap(stranger, 1000), ap(server4, 80), "S", 1, 0, ""),
		"SYN to a closed port": tcpPacket(ap(stranger, 1000), ap(server4, 81), "S", 1, 0, ""),
		"UDP to a closed port": udpPacket(ap(stranger, 1000), ap(server4, 81), "x"),
		"echo":                 echoPacket(stranger, server4, 1, 1, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			withWire(t, cfg, func(t *testing.T, w *wire) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				w.raw(b)
				w.wantDrop("no_route")
				noConns(t, w.s)
			})
		})
	}
}

// A route may carry less than the device: our MSS says so, and datagrams that do not fit
// are refused.
func TestMTUOfARoute(t *testing.T) {
	cfg := serverConfig()
	cfg.Routes = routes("0.0.0.0/0", "192.0.2.0/24 mtu 576", "2001:db8::/32 mtu 1280")
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for src, mss := range map[string]uint16{"192.0.2.9": 536, "10.77.0.1": 1460, "203.0.113.1": 1460, "2001:db8::9": 1220, "fd77::1": 1440} {
			from := netip.MustParseAddr(src)
			to := server4
			if from.Is6() {
				to = server6
			}
			w.raw(tcpPacket(ap(from, 1000), ap(to, 80), "S", 1, 0, ""))
			if got := mssOf(t, <-w.sent); got != mss {
				t.Errorf("MSS to %s is %d, want %d", src, got, mss)
			}
		}
		u, err := w.s.Dial("udp", "192.0.2.9:53")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(make([]byte, 548)); err != nil {
			t.Error(err)
		}
		if n := len(<-w.sent); n != 576 {
			t.Errorf("a packet of %d bytes", n)
		}
	})
}

// mssOf is the MSS option of a SYN.
func mssOf(t *testing.T, b []byte) uint16 {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	h, ok := gopacket.NewPacket(b, first, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("no TCP: % x", b)
	}
	for _, o := range h.Options {
		if o.OptionType == layers.TCPOptionKindMSS {
			return uint16(o.OptionData[0])<<8 | uint16(o.OptionData[1])
		}
	}
	t.Fatal("no MSS")
	return 0
}

func TestSourceOfARoute(t *testing.T) {
	a := addrsOf(Config{Addrs: prefixes("10.0.0.1/8", "192.0.2.1/24", "fd77::1/64", "2001:db8::1/64"), Routes: routes(
		"0.0.0.0/0 src 192.0.2.1", "10.5.0.0/16 src 192.0.2.1", "2001:db8::/32 src fd77::1")})
	for dst, want := range map[string]string{
		"203.0.113.1": "192.0.2.1", "10.1.1.1": "10.0.0.1", "10.5.1.1": "192.0.2.1", "2001:db8:1::1": "fd77::1",
		"2001:db8::9": "2001:db8::1", // the network of the address itself is longer
	} {
		if got, err := a.source(netip.MustParseAddr(dst)); err != nil || got.String() != want {
			t.Errorf("source(%s) = %v, %v, want %s", dst, got, err, want)
		}
	}
}

func TestSenselessRoutesAreRefused(t *testing.T) {
	for text, r := range map[string]ip.Route{
		"invalid prefix":                 {},
		"write it as IPv4":               {Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104")},
		"unknown kind 9":                 {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Kind: 9},
		"an MTU of 67; it needs 68":      {Prefix: netip.MustParsePrefix("10.0.0.0/8"), MTU: 67},
		"an MTU of 1279; it needs 1280":  {Prefix: netip.MustParsePrefix("fd00::/8"), MTU: 1279},
		"the source 10.9.9.9, which":     {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Source: netip.MustParseAddr("10.9.9.9")},
		"source 10.77.0.2 of the other ": {Prefix: netip.MustParsePrefix("fd00::/8"), Source: server4},
	} {
		cfg := serverConfig()
		cfg.Routes = []ip.Route{r}
		far, near := pipe.New(pipe.Config{})
		_, err := New(near, cfg)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %q", r, err, text)
		}
		far.Close()
		near.Close()
	}
}
