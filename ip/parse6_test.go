package ip_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/ip"
)

// Extension headers as bytes; the first byte is the next header.
func options6(next byte, options ...byte) []byte {
	b := append([]byte{next, 0}, options...)
	for len(b)%8 != 0 {
		b = append(b, 0) // Pad1
	}
	b[1] = byte(len(b)/8 - 1)
	return b
}

func routing6(next, typ, segmentsLeft byte) []byte {
	return append([]byte{next, 2, typ, segmentsLeft, 0, 0, 0, 0}, make([]byte, 16)...)
}

func fragment6(next byte, offset uint16, more byte) []byte {
	return []byte{next, 0xee, byte(offset >> 5), byte(offset<<3) | more, 1, 2, 3, 4}
}

const (
	hop, route, frag, none, dest, udp = 0, 43, 44, 59, 60, 17
)

var data = []byte("12345678")

func TestParse6ReadsEveryField(t *testing.T) {
	b := packet6(udp, []byte("payload"))
	b[0], b[1], b[2], b[3] = 0x6b, 0x9a, 0xbc, 0xde
	b[7] = 7
	h, payload := mustParse(t, b)
	want := ip.Header{
		Src: them6, Dst: us6, Protocol: ip.UDP, TTL: 7, TOS: 0xb9, FlowLabel: 0xabcde,
		Len: 40, ProtocolOffset: 6,
	}
	if h != want {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if string(payload) != "payload" {
		t.Errorf("payload %q", payload)
	}
	if h.Is4() {
		t.Error("Is4 is true")
	}
}

func TestParse6Drops(t *testing.T) {
	whole := packet6(udp, data)
	tests := []struct {
		name   string
		packet []byte
		want   ip.Drop
	}{
		{"one byte", whole[:1], ip.DropShort},
		{"a byte less than a header", whole[:39], ip.DropShort},
		{"packet cut", whole[:len(whole)-1], ip.DropLength},
		{"jumbogram without its option", func() []byte { b := packet6(hop, data); b[5] = 0; return b }(), ip.DropExtension},
		{"jumbogram", packet6(hop, options6(udp, 0xc2, 4, 0, 1, 0, 0), data), ip.DropUnknownOption},

		{"hop-by-hop cut in its first bytes", packet6(hop, []byte{udp, 0, 1, 4, 0, 0, 0}), ip.DropExtension},
		{"hop-by-hop missing", packet6(hop), ip.DropExtension},
		{"hop-by-hop longer than the packet", packet6(hop, []byte{udp, 1, 1, 4, 0, 0, 0, 0}), ip.DropExtension},
		{"hop-by-hop longer than the packet but not than what arrived", append(packet6(hop, []byte{udp, 1, 1, 4, 0, 0, 0, 0}), data...), ip.DropExtension},
		{"destination options longer than the packet", packet6(dest, []byte{udp, 255, 1, 4, 0, 0, 0, 0}, data), ip.DropExtension},
		{"option without its length", packet6(dest, []byte{udp, 0, 1, 3, 0, 0, 0, 5}, data), ip.DropExtension},
		{"option beyond its header", packet6(dest, []byte{udp, 0, 1, 5, 0, 0, 0, 0}, data), ip.DropExtension},
		{"unknown option that says drop", packet6(dest, options6(udp, 0x5e, 0), data), ip.DropUnknownOption},
		{"unknown option that says drop and tell", packet6(dest, options6(udp, 0x9e, 0), data), ip.DropUnknownOption},
		{"unknown option that says drop and tell unless multicast", packet6(hop, options6(udp, 0xde, 0), data), ip.DropUnknownOption},
		{"unknown option behind one to skip", packet6(dest, options6(udp, 0x1e, 2, 9, 9, 0x5e, 0), data), ip.DropUnknownOption},

		{"seventeen extension headers", packet6(dest, bytes.Repeat(options6(dest), 16), options6(udp), data), ip.DropTooManyExtensions},
		{"nine options", packet6(dest, options6(udp, bytes.Repeat([]byte{0x1e, 0}, 9)...), data), ip.DropTooManyOptions},
		{"routing header type 0 to go on", packet6(route, routing6(udp, 0, 1), data), ip.DropSourceRoute},
		{"segment routing header to go on", packet6(route, routing6(udp, 4, 1), data), ip.DropSourceRoute},
		{"unknown routing header to go on", packet6(route, routing6(udp, 77, 255), data), ip.DropSourceRoute},
		{"routing header cut", packet6(route, routing6(udp, 0, 0)[:23]), ip.DropExtension},
		{"routing header behind options to go on", packet6(hop, options6(route), routing6(udp, 0, 1), data), ip.DropSourceRoute},

		{"first fragment", packet6(frag, fragment6(udp, 0, 1), data), ip.DropFragment},
		{"later fragment", packet6(frag, fragment6(udp, 1, 1), data), ip.DropFragment},
		{"last fragment", packet6(frag, fragment6(udp, 0x1fff, 0), data), ip.DropFragment},
		{"fragment header cut", packet6(frag, fragment6(udp, 0, 0)[:7]), ip.DropExtension},

		{"no next header", packet6(none), ip.DropNoNextHeader},
		{"no next header with bytes behind", packet6(none, data), ip.DropNoNextHeader},
		{"no next header behind options", packet6(dest, options6(none), data), ip.DropNoNextHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { expectDrop(t, test.packet, test.want) })
	}
}

func TestParse6Addresses(t *testing.T) {
	tests := []struct {
		name, src, dst string
		want           ip.Drop
	}{
		{"unicast", "2001:db8::1", "fd77::2", ip.DropNone},
		{"link-local", "fe80::1", "fe80::2", ip.DropNone},
		{"to all nodes of the link", "fe80::1", "ff02::1", ip.DropNone},
		{"to multicast of global scope", "fe80::1", "ff0e::101", ip.DropNone},
		{"from unspecified", "::", "fd77::2", ip.DropBadSource},
		{"from unspecified to a group, but of UDP", "::", "ff02::1", ip.DropBadSource},
		{"from loopback", "::1", "fd77::2", ip.DropBadSource},
		{"from multicast", "ff02::1", "fd77::2", ip.DropBadSource},
		{"from an IPv4-mapped address", "::ffff:10.77.0.1", "fd77::2", ip.DropBadSource},
		{"to unspecified", "fd77::1", "::", ip.DropBadDestination},
		{"to loopback", "fd77::1", "::1", ip.DropBadDestination},
		{"to an IPv4-mapped address", "fd77::1", "::ffff:10.77.0.2", ip.DropBadDestination},
		{"to multicast of reserved scope", "fd77::1", "ff00::1", ip.DropBadDestination},
		{"to multicast within the node", "fd77::1", "ff01::1", ip.DropBadDestination},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := packet6(udp, data)
			src, dst := netip.MustParseAddr(test.src).As16(), netip.MustParseAddr(test.dst).As16()
			copy(b[8:], src[:])
			copy(b[24:], dst[:])
			expectDrop(t, b, test.want)
		})
	}
}

func TestParse6WalksExtensionHeaders(t *testing.T) {
	tests := []struct {
		name   string
		packet []byte
		// where the last header's next header field stands, and where the payload starts
		at, start int
	}{
		{"none", packet6(udp, data), 6, 40},
		{"hop-by-hop", packet6(hop, options6(udp), data), 40, 48},
		{"router alert", packet6(hop, options6(udp, 5, 2, 0, 0, 1, 0), data), 40, 48},
		{"unknown option to skip", packet6(dest, options6(udp, 0x1e, 3, 1, 2, 3), data), 40, 48},
		{"PadN to the end", packet6(dest, options6(udp, 1, 4, 0, 0, 0, 0), data), 40, 48},
		{"long options", packet6(dest, options6(udp, append([]byte{1, 252}, make([]byte, 252)...)...), data), 40, 296},
		{"routing header used up", packet6(route, routing6(udp, 0, 0), data), 40, 64},
		{"atomic fragment", packet6(frag, fragment6(udp, 0, 0), data), 40, 48},
		{"atomic fragment with reserved bits", packet6(frag, []byte{udp, 0xff, 0, 6, 1, 2, 3, 4}, data), 40, 48},
		{"all in the recommended order", packet6(hop, options6(dest), options6(route), routing6(frag, 0, 0), fragment6(dest, 0, 0), options6(udp), data), 88, 96},
		{"all in another order", packet6(frag, fragment6(dest, 0, 0), options6(route), routing6(udp, 0, 0), data), 56, 80},
		{"sixteen", packet6(dest, bytes.Repeat(options6(dest), 15), options6(udp), data), 40 + 15*8, 40 + 16*8},
		{"eight options to skip", packet6(dest, options6(udp, bytes.Repeat([]byte{0x1e, 0}, 8)...), data), 40, 64},
		{"padding without end", packet6(dest, options6(udp, make([]byte, 2046)...), data), 40, 40 + 2048},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, payload := mustParse(t, test.packet)
			if h.Protocol != ip.UDP || h.ProtocolOffset != test.at || h.Len != test.start || h.FragmentOffset != 0 || h.MF {
				t.Errorf("%+v, want protocol at %d and payload at %d", h, test.at, test.start)
			}
			if !bytes.Equal(payload, data) {
				t.Errorf("payload %q, want %q", payload, data)
			}
		})
	}
}

// RFC 8200, section 4: hop-by-hop options elsewhere than first are like an unknown next
// header, and so is whatever else is no extension header: the caller finds that nobody
// serves it and answers.
func TestParse6LeavesUnknownNextHeaderToTheCaller(t *testing.T) {
	tests := []struct {
		name         string
		packet       []byte
		protocol, at int
	}{
		{"second hop-by-hop", packet6(hop, options6(hop), options6(udp), data), 0, 40},
		{"hop-by-hop behind destination options", packet6(dest, options6(hop), options6(udp), data), 0, 40},
		{"ESP", packet6(50, data), 50, 6},
		{"AH", packet6(51, data), 51, 6},
		{"experimental", packet6(dest, options6(253), data), 253, 40},
		{"ICMP of the other family", packet6(1, data), 1, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, _ := mustParse(t, test.packet)
			if int(h.Protocol) != test.protocol || h.ProtocolOffset != test.at {
				t.Errorf("protocol %d at %d, want %d at %d", h.Protocol, h.ProtocolOffset, test.protocol, test.at)
			}
			if h.IsICMP() {
				t.Error("taken for ICMP")
			}
		})
	}
}

func TestParse6CutsPadding(t *testing.T) {
	_, payload := mustParse(t, append(packet6(udp, data), "padding"...))
	if !bytes.Equal(payload, data) || cap(payload) != len(payload) {
		t.Errorf("payload %q of capacity %d", payload, cap(payload))
	}
}

func TestParse6TakesAnyHopLimit(t *testing.T) {
	for _, limit := range []byte{0, 1, 255} {
		b := packet6(udp, data)
		b[7] = limit
		if h, _ := mustParse(t, b); h.TTL != limit {
			t.Errorf("hop limit %d, want %d", h.TTL, limit)
		}
	}
}

func TestParse6LongestPacket(t *testing.T) {
	_, payload := mustParse(t, packet6(udp, make([]byte, 65535)))
	if len(payload) != ip.MaxPayload6 {
		t.Errorf("%d bytes, want %d", len(payload), ip.MaxPayload6)
	}
}

func TestParse6FragmentTellsWhatItIs(t *testing.T) {
	var h ip.Header
	if _, drop := ip.Parse(packet6(frag, fragment6(udp, 185, 1), data), &h); drop != ip.DropFragment {
		t.Fatalf("drop %v", drop)
	}
	if !h.MF || h.FragmentOffset != 1480 {
		t.Errorf("%+v", h)
	}
}

// A chain as long as a packet can hold costs no more than one of sixteen headers.
func TestParse6LongestChain(t *testing.T) {
	n := 65528 / 8
	expectDrop(t, packet6(dest, bytes.Repeat(options6(dest), n-1), options6(udp), []byte("1234567")), ip.DropTooManyExtensions)
}

// What gopacket writes is read with the same meaning.
func TestParse6AgreesWithGopacket(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src, dst := unicast6().Draw(rt, "src"), unicast6().Draw(rt, "dst")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(rt, "payload")
		l := &layers.IPv6{
			Version: 6, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
			TrafficClass: rapid.Byte().Draw(rt, "class"),
			FlowLabel:    rapid.Uint32Range(0, 0xfffff).Draw(rt, "label"),
			HopLimit:     rapid.Byte().Draw(rt, "limit"),
			NextHeader:   layers.IPProtocolTCP,
		}
		stack := []gopacket.SerializableLayer{l}
		length, at := 40, 6
		if rapid.Bool().Draw(rt, "destination options") {
			d := &layers.IPv6Destination{}
			d.NextHeader = layers.IPProtocolTCP
			// Kinds that say skip, with the padding gopacket does not add by itself.
			n := rapid.IntRange(0, 30).Draw(rt, "n")*8 + 4
			d.Options = []*layers.IPv6DestinationOption{{
				OptionType: rapid.ByteRange(2, 0x3f).Draw(rt, "kind"), OptionData: make([]byte, n), OptionLength: uint8(n),
			}}
			l.NextHeader = layers.IPProtocolIPv6Destination
			stack = append(stack, d)
			at, length = 40, 40+4+n
		}
		packet := serialize(t, append(stack, gopacket.Payload(payload))...)
		var h ip.Header
		got, drop := ip.Parse(packet, &h)
		if drop != ip.DropNone {
			rt.Fatalf("drop %v of % x", drop, packet)
		}
		want := ip.Header{
			Src: src, Dst: dst, Protocol: ip.TCP, TTL: l.HopLimit, TOS: l.TrafficClass, FlowLabel: l.FlowLabel,
			Len: length, ProtocolOffset: at,
		}
		if h != want || !bytes.Equal(got, payload) {
			rt.Fatalf("%+v with %d bytes, want %+v with %d", h, len(got), want, len(payload))
		}
	})
}

func unicast6() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))
		a[0] = rapid.SampledFrom([]byte{0x20, 0x26, 0x2a, 0xfd, 0xfe}).Draw(t, "first")
		return netip.AddrFrom16(a)
	})
}
