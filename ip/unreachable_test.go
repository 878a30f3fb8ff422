package ip_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
)

var reasons = []ip.UnreachableReason{
	ip.NetUnreachable, ip.HostUnreachable, ip.ProtocolUnreachable, ip.PortUnreachable, ip.AdminProhibited,
}

// wholePacket is a packet from them to us with n bytes of payload.
func wholePacket(f pair, protocol ip.Protocol, n int) []byte {
	h := ip.Header{Src: f.them, Dst: f.us, Protocol: protocol, TTL: 64}
	b := h.Append(nil, n)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestUnreachableTypeAndCode(t *testing.T) {
	tests := []struct {
		reason                     ip.UnreachableReason
		type4, code4, type6, code6 uint8
		rest6                      uint32
	}{
		{ip.NetUnreachable, 3, 0, 1, 0, 0},
		{ip.HostUnreachable, 3, 1, 1, 3, 0},
		{ip.ProtocolUnreachable, 3, 2, 4, 1, 6}, // parameter problem at the next header field
		{ip.PortUnreachable, 3, 3, 1, 4, 0},
		{ip.AdminProhibited, 3, 13, 1, 1, 0},
	}
	for _, test := range tests {
		for _, f := range families {
			packet := wholePacket(f, ip.UDP, 20)
			h, _ := mustParse(t, packet)
			m, ok := ip.Unreachable(test.reason, &h, packet)
			want := ip.Message{Type: test.type4, Code: test.code4}
			if !f.is4 {
				want = ip.Message{Type: test.type6, Code: test.code6, Rest: test.rest6}
			}
			if !ok || m.Type != want.Type || m.Code != want.Code || m.Rest != want.Rest || !bytes.Equal(m.Body, packet) {
				t.Errorf("%s, %v: %+v, %v, want %+v quoting all", f.name, test.reason, m, ok, want)
			}
		}
	}
}

func TestUnreachableForNoReasonIsNone(t *testing.T) {
	for _, f := range families {
		packet := wholePacket(f, ip.UDP, 20)
		h, _ := mustParse(t, packet)
		for _, reason := range []ip.UnreachableReason{0, 6, 255} {
			if m, ok := ip.Unreachable(reason, &h, packet); ok {
				t.Errorf("%s, %v: %+v", f.name, reason, m)
			}
		}
	}
}

// RFC 4443, section 3.4: the pointer is to the field that names the unknown header,
// behind extension headers in the last of these.
func TestProtocolUnreachable6PointsBehindExtensionHeaders(t *testing.T) {
	packet := packet6(hop, options6(dest), options6(253), data)
	h, _ := mustParse(t, packet)
	m, ok := ip.Unreachable(ip.ProtocolUnreachable, &h, packet)
	if !ok || m.Rest != 48 || packet[m.Rest] != 253 {
		t.Errorf("%+v, %v", m, ok)
	}
}

// RFC 1122, section 3.2.2 and RFC 1812, section 4.3.2.3: header and at least 8 bytes,
// at most 576 in all. RFC 4443, section 2.4 (c): at most 1280 in all.
func TestUnreachableQuotesAsMuchAsFits(t *testing.T) {
	for _, f := range families {
		limit := 1280
		if f.is4 {
			limit = 576
		}
		header := len(wholePacket(f, ip.UDP, 0))
		for _, n := range []int{0, 8, limit - header - 8 - header - 1, limit - header - 8 - header, limit - header - 8 - header + 1, limit, 60000} {
			packet := wholePacket(f, ip.UDP, n)
			h, _ := mustParse(t, packet)
			m, ok := ip.Unreachable(ip.PortUnreachable, &h, packet)
			if !ok {
				t.Fatalf("%s, %d bytes: none", f.name, n)
			}
			want := min(len(packet), limit-header-8)
			if !bytes.Equal(m.Body, packet[:want]) {
				t.Errorf("%s: %d bytes quoted of %d, want %d", f.name, len(m.Body), len(packet), want)
			}
			if e := icmpPacket(&m, f.us, f.them); len(e) > limit {
				t.Errorf("%s: error of %d bytes", f.name, len(e))
			}
		}
	}
}

func TestUnreachableDoesNotQuotePadding(t *testing.T) {
	for _, f := range families {
		packet := wholePacket(f, ip.UDP, 10)
		padded := append(bytes.Clone(packet), "padding"...)
		h, _ := mustParse(t, padded)
		if m, ok := ip.Unreachable(ip.PortUnreachable, &h, padded); !ok || !bytes.Equal(m.Body, packet) {
			t.Errorf("%s: % x, %v", f.name, m.Body, ok)
		}
	}
}

func TestUnreachableIsWellFormedByGopacket(t *testing.T) {
	for _, f := range families {
		packet := udpByGopacket(t, f, []byte("hello"))
		h, _ := mustParse(t, packet)
		m, ok := ip.Unreachable(ip.PortUnreachable, &h, packet)
		if !ok {
			t.Fatal("none")
		}
		e := icmpPacket(&m, f.us, f.them)
		p := decode(t, e)
		if f.is4 {
			l := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			if l.TypeCode != layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodePort) {
				t.Errorf("type %v", l.TypeCode)
			}
			if !bytes.Equal(l.Payload, packet) || sum16(e[20:]) != 0xffff {
				t.Errorf("quote % x, sum %#04x", l.Payload, sum16(e[20:]))
			}
			continue
		}
		l := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if l.TypeCode != layers.CreateICMPv6TypeCode(layers.ICMPv6TypeDestinationUnreachable, layers.ICMPv6CodePortUnreachable) {
			t.Errorf("type %v", l.TypeCode)
		}
		if !bytes.Equal(l.Payload, append(make([]byte, 4), packet...)) {
			t.Errorf("quote % x", l.Payload)
		}
		// The same message with the checksum that gopacket makes.
		network := p.NetworkLayer().(*layers.IPv6)
		if err := l.SetNetworkLayerForChecksum(network); err != nil {
			t.Fatal(err)
		}
		sum := l.Checksum
		again := serialize(t, l, gopacket.Payload(l.Payload))
		if got := binary.BigEndian.Uint16(again[2:]); got != sum {
			t.Errorf("checksum %#04x, gopacket makes %#04x", sum, got)
		}
	}
}

// RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e).
func TestNoErrorIsSentAbout(t *testing.T) {
	echo4, echo6 := ip.EchoRequest(true, 1, 1, nil), ip.EchoRequest(false, 1, 1, nil)
	message := func(f pair, typ uint8) []byte {
		return icmpPacket(&ip.Message{Type: typ, Body: make([]byte, 28)}, f.them, f.us)
	}
	with := func(packet []byte, src, dst string) []byte {
		b := bytes.Clone(packet)
		s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
		if s.Is4() {
			copy(b[12:], s.AsSlice())
			copy(b[16:], d.AsSlice())
			return fix4(b)
		}
		copy(b[8:], s.AsSlice())
		copy(b[24:], d.AsSlice())
		return b
	}
	f4, f6 := families[0], families[1]
	udp4, udp6 := wholePacket(f4, ip.UDP, 20), wholePacket(f6, ip.UDP, 20)
	tests := []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"a datagram", udp4, true},
		{"an echo request", icmpPacket(&echo4, them4, us4), true},
		{"an echo reply", message(f4, 0), true},
		{"destination unreachable", message(f4, 3), false},
		{"source quench", message(f4, 4), false},
		{"redirect", message(f4, 5), false},
		{"time exceeded", message(f4, 11), false},
		{"parameter problem", message(f4, 12), false},
		{"an ICMP message without a type", wholePacket(f4, ip.ICMP, 0), false},
		{"a message of ICMPv6 over IPv4, which is no ICMP", wholePacket(f4, ip.ICMPv6, 20), true},
		{"multicast", with(udp4, "10.77.0.1", "224.0.0.9"), false},
		{"limited broadcast", with(udp4, "10.77.0.1", "255.255.255.255"), false},
		{"a source of multicast", with(udp4, "224.0.0.9", "10.77.0.2"), false},
		{"a source of broadcast", with(udp4, "255.255.255.255", "10.77.0.2"), false},
		{"no source", with(udp4, "0.0.0.0", "10.77.0.2"), false},
		{"the host itself", with(udp4, "127.0.0.1", "127.0.0.1"), true},

		{"an IPv6 datagram", udp6, true},
		{"an ICMPv6 echo request", icmpPacket(&echo6, them6, us6), true},
		{"ICMPv6 destination unreachable", message(f6, 1), false},
		{"packet too big", message(f6, 2), false},
		{"ICMPv6 time exceeded", message(f6, 3), false},
		{"ICMPv6 parameter problem", message(f6, 4), false},
		{"an unknown ICMPv6 error", message(f6, 100), false},
		{"the last ICMPv6 error", message(f6, 127), false},
		{"ICMPv6 redirect", message(f6, 137), false},
		{"unknown ICMPv6 information", message(f6, 200), true},
		{"an ICMPv6 message without a type", wholePacket(f6, ip.ICMPv6, 0), false},
		{"IPv6 multicast", with(udp6, "fd77::1", "ff02::1"), false},
		{"an IPv6 source of multicast", with(udp6, "ff02::1", "fd77::2"), false},
		{"no IPv6 source", with(udp6, "::", "fd77::2"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// What Parse would drop already must be refused here on its own as well.
			var h ip.Header
			if _, drop := ip.Parse(test.packet, &h); drop != ip.DropNone && drop != ip.DropBadSource && drop != ip.DropBadDestination {
				t.Fatalf("drop %v", drop)
			}
			for _, reason := range reasons {
				if m, ok := ip.Unreachable(reason, &h, test.packet); ok != test.want {
					t.Errorf("%v: %+v, %v", reason, m, ok)
				}
			}
		})
	}
}

func TestNoErrorIsSentAboutALaterFragment(t *testing.T) {
	packet := packet4(nil, "12345678")
	packet[7] = 1
	var h ip.Header
	if _, drop := ip.Parse(fix4(packet), &h); drop != ip.DropFragment {
		t.Fatalf("drop %v", drop)
	}
	if m, ok := ip.Unreachable(ip.PortUnreachable, &h, packet); ok {
		t.Errorf("%+v", m)
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range reasons {
		if seen[r.String()] || r.String() == "" || r.String() == "unknown reason" {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
	for _, r := range []ip.UnreachableReason{0, 6, 255} {
		if r.String() != "unknown reason" {
			t.Errorf("reason %d is called %q", r, r)
		}
	}
}
