package stack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	solicitedNode  = "ff02::1:ff00:2" // of fd77::2 and fe80::2
	sourceLinkAddr = layers.ICMPv6OptSourceAddress
)

// discovery makes a message of neighbour discovery as a neighbour sends it.
func discovery(src, dst string, typ uint8, body gopacket.SerializableLayer) []byte {
	b := packet(netip.MustParseAddr(src), netip.MustParseAddr(dst), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}, body)
	b[7] = 255
	return b
}

func solicitation(src, dst, target string, options ...layers.ICMPv6Option) []byte {
	return discovery(src, dst, 135, &layers.ICMPv6NeighborSolicitation{
		TargetAddress: netip.MustParseAddr(target).AsSlice(), Options: options,
	})
}

// RFC 4861, section 7.2.4, where there are no link-layer addresses to tell; RFC 4862, section
// 5.4.3, for the last two.
func TestNeighbourSolicitationIsAnswered(t *testing.T) {
	ethernet := layers.ICMPv6Option{Type: sourceLinkAddr, Data: []byte{2, 0, 0, 0, 0, 1}}
	for _, test := range []struct {
		name        string
		packet      []byte
		target, dst string
		flags       uint8
	}{
		{"to the address", solicitation("fd77::1", "fd77::2", "fd77::2"), "fd77::2", "fd77::1", 0x40},
		{"to its group", solicitation("fd77::1", solicitedNode, "fd77::2"), "fd77::2", "fd77::1", 0x40},
		{"for another address of ours", solicitation("fe80::1", "fd77::2", "fe80::2"), "fe80::2", "fe80::1", 0x40},
		{"to all nodes", solicitation("fe80::1", "ff02::1", "fd77::2"), "fd77::2", "fe80::1", 0x40},
		{"with a link-layer address", solicitation("fd77::1", "fd77::2", "fd77::2", ethernet), "fd77::2", "fd77::1", 0x40},
		{"from who would like to have it", solicitation("::", solicitedNode, "fd77::2"), "fd77::2", "ff02::1", 0},
		{"likewise, link-local", solicitation("::", solicitedNode, "fe80::2"), "fe80::2", "ff02::1", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				w.raw(test.packet)
				if len(w.sent) != 1 {
					t.Fatalf("%d packets sent; drops %v", len(w.sent), w.s.Stats().Drops)
				}
				p := w.next()
				h := p.NetworkLayer().(*layers.IPv6)
				a, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
				if !ok || h.HopLimit != 255 || h.SrcIP.String() != test.target || h.DstIP.String() != test.dst {
					t.Fatalf("sent %v", p)
				}
				if a.TargetAddress.String() != test.target || a.Flags != test.flags || len(a.Options) != 0 {
					t.Errorf("advertised %+v", a)
				}
			})
		})
	}
}

func TestSolicitationsThatAreNotAnswered(t *testing.T) {
	change := func(b []byte, at int, v byte) []byte {
		b[at] = v
		sum := gopacket.Payload(b[40:])
		sum[2], sum[3] = 0, 0
		pseudo := append(bytes.Clone(b[8:40]), 0, 0, 0, byte(len(sum)), 0, 0, 0, 58)
		binary.BigEndian.PutUint16(sum[2:], ^plainSum(append(pseudo, sum...)))
		return b
	}
	good := func() []byte { return solicitation("fd77::1", "fd77::2", "fd77::2") }
	withOption := func() []byte {
		return solicitation("fd77::1", "fd77::2", "fd77::2", layers.ICMPv6Option{Type: 14, Data: make([]byte, 6)})
	}
	atomic := func() []byte {
		b := slices.Insert(good(), 40, 58, 0, 0, 0, 0, 0, 0, 1)
		b[5], b[6] = b[5]+8, 44
		return b
	}
	for _, test := range []struct {
		name, reason string
		packet       []byte
	}{
		{"through a router", "icmp_solicitation", change(good(), 7, 254)},
		{"another code", "icmp_solicitation", change(good(), 41, 1)},
		{"an option without a length", "icmp_solicitation", change(withOption(), 65, 0)},
		{"an option beyond the end", "icmp_solicitation", change(withOption(), 65, 2)},
		{"half an option", "icmp_solicitation", discovery("fd77::1", "fd77::2", 135, append(gopacket.Payload(good()[44:]), 14))},
		{"cut", "icmp_solicitation", discovery("fd77::1", "fd77::2", 135, gopacket.Payload(good()[44:63]))},
		{"for a group", "icmp_solicitation", solicitation("fd77::1", "fd77::2", "ff02::1")},
		{"in an atomic fragment", "icmp_solicitation", atomic()},
		{"from nobody, with a link-layer address", "icmp_solicitation",
			solicitation("::", solicitedNode, "fd77::2", layers.ICMPv6Option{Type: sourceLinkAddr, Data: make([]byte, 6)})},
		{"from nobody, to all nodes", "icmp_solicitation", solicitation("::", "ff02::1", "fd77::2")},
		{"from nobody, to the address", "ip_bad_source", solicitation("::", "fd77::2", "fd77::2")},
		{"for another", "icmp_ignored", solicitation("fd77::1", "fd77::2", "fd77::3")},
		{"to the group of another", "not_for_us", solicitation("fd77::1", "ff02::1:ff00:3", "fd77::3")},
		{"wrong checksum", "icmp_checksum", append(good()[:63], 9)},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				w.raw(test.packet)
				w.wantDrop(test.reason)
			})
		})
	}
}

// RFC 6980: neither is one whose pieces have been put together.
func TestSolicitationInFragmentsIsIgnored(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		long := solicitation("fd77::1", "fd77::2", "fd77::2", layers.ICMPv6Option{Type: 14, Data: make([]byte, 1014)})
		for _, piece := range fragmentsOf(long, 7, 512) {
			w.raw(piece)
		}
		w.wantDrop("icmp_solicitation")
	})
}

// Routers, redirects and neighbours' advertisements change nothing here: the next packet
// goes out as before.
func TestRouterAdvertisementsAndRedirectsAreIgnored(t *testing.T) {
	router := &layers.ICMPv6RouterAdvertisement{HopLimit: 7, Flags: 0xc0, RouterLifetime: 1800, Options: layers.ICMPv6Options{
		{Type: layers.ICMPv6OptMTU, Data: []byte{0, 0, 0, 0, 5, 0}},
		{Type: layers.ICMPv6OptPrefixInfo, Data: append([]byte{64, 0xc0, 0, 0, 0xe, 0x10, 0, 0, 0xe, 0x10, 0, 0, 0, 0}, netip.MustParseAddr("2001:db8::").AsSlice()...)},
	}}
	redirect := &layers.ICMPv6Redirect{TargetAddress: netip.MustParseAddr("fe80::9").AsSlice(), DestinationAddress: client6.AsSlice()}
	neighbour := &layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: client6.AsSlice()}
	for _, test := range []struct {
		name, reason string
		packet       []byte
	}{
		{"router advertisement", "icmp_ignored", discovery("fe80::1", "ff02::1", 134, router)},
		{"router advertisement to us", "icmp_ignored", discovery("fe80::1", "fe80::2", 134, router)},
		{"router solicitation", "not_for_us", discovery("fe80::1", "ff02::2", 133, &layers.ICMPv6RouterSolicitation{})},
		{"redirect", "icmp_ignored", discovery("fe80::1", "fd77::2", 137, redirect)},
		{"advertisement", "icmp_ignored", discovery("fe80::1", "ff02::1", 136, neighbour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				w.raw(test.packet)
				w.wantDrop(test.reason)
				c, err := w.s.Dial("udp", ap(client6, 9).String())
				if err != nil {
					t.Fatal(err)
				}
				c.Write(make([]byte, 1452))
				synctest.Wait()
				if len(w.sent) != 1 {
					t.Fatalf("%d packets for one datagram of the link's MTU", len(w.sent))
				}
				if h := w.next().NetworkLayer().(*layers.IPv6); h.HopLimit != 64 || h.DstIP.String() != client6.String() {
					t.Errorf("sent %+v", h)
				}
				if n := len(w.s.Addrs()); n != 3 {
					t.Errorf("%d addresses", n)
				}
			})
		})
	}
}

// RFC 4443, section 4.2: who is in a group says so when it is asked, by an address of its
// own; over IPv4 nobody does (RFC 1122, section 3.2.2.6).
func TestEchoToAGroup(t *testing.T) {
	for _, test := range []struct{ from, to, answer string }{
		{"fd77::1", "ff02::1", "fd77::2"},
		{"fe80::1", "ff02::1", "fe80::2"},
		{"fe80::1", solicitedNode, "fe80::2"},
		{"fd77::1", someGroup6.String(), "fd77::2"}, // which a socket has joined
		{"fd77::1", "ff05::102", ""},
		{"::", "ff02::1", ""},
		{"10.77.0.1", "224.0.0.1", ""},
		{"10.77.0.1", someGroup4.String(), ""},
	} {
		t.Run(test.from+" to "+test.to, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				u := w.udpSocket("udp", ":7777")
				for _, g := range []netip.Addr{someGroup4, someGroup6} {
					if err := u.JoinGroup(g); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(3 * time.Second)
				w.reports()
				w.raw(echoPacket(netip.MustParseAddr(test.from), netip.MustParseAddr(test.to), 7, 9, "who?"))
				if test.answer == "" {
					w.want()
					return
				}
				w.want(test.answer + ">" + test.from + ` ICMP EchoReply "\x00\a\x00\twho?"`)
			})
		})
	}
}
