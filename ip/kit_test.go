package ip_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
)

var (
	us4   = netip.MustParseAddr("10.77.0.2")
	them4 = netip.MustParseAddr("10.77.0.1")
	us6   = netip.MustParseAddr("fd77::2")
	them6 = netip.MustParseAddr("fd77::1")
)

// sum16 is the Internet checksum, not inverted, written here once more so that the
// tests do not rest on the code under test.
func sum16(b []byte) uint16 {
	var sum uint32
	for i, v := range b {
		if i%2 == 0 {
			sum += uint32(v) << 8
		} else {
			sum += uint32(v)
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// fix4 fills in the header checksum of an IPv4 packet whose IHL is within it.
func fix4(b []byte) []byte {
	n := int(b[0]&0xf) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^sum16(b[:n]))
	return b
}

// packet4 is an IPv4 packet from them to us: options, which are a multiple of 4 bytes
// long, and a payload of protocol 17.
func packet4(options []byte, payload string) []byte {
	b := []byte{
		0x45 + byte(len(options)/4), 0x00, 0, 0,
		0x12, 0x34, 0x40, 0x00,
		64, 17, 0, 0,
		10, 77, 0, 1,
		10, 77, 0, 2,
	}
	b = append(b, options...)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return fix4(b)
}

// packet6 is an IPv6 packet from them to us with the given chain: extension headers and
// payload as they stand, the first being of type next.
func packet6(next byte, chain ...[]byte) []byte {
	b := []byte{0x60, 0, 0, 0, 0, 0, next, 64}
	src, dst := them6.As16(), us6.As16()
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	for _, c := range chain {
		b = append(b, c...)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// serialize makes a packet with gopacket, lengths and checksums filled in by it.
func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l...); err != nil {
		t.Fatalf("gopacket: %v", err)
	}
	return buf.Bytes()
}

// decode has gopacket read a packet and fails when it finds anything wrong with it.
func decode(t testing.TB, packet []byte) gopacket.Packet {
	t.Helper()
	first := layers.LayerTypeIPv4
	if packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(packet, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket refuses % x: %v", packet, e.Error())
	}
	if p.Metadata().Truncated {
		t.Fatalf("gopacket says truncated: % x", packet)
	}
	return p
}

// icmpPacket is the message in a packet from src to dst, by the code under test.
func icmpPacket(m *ip.Message, src, dst netip.Addr) []byte {
	body := m.Append(nil, src, dst)
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.ICMPv6, TTL: 64}
	if dst.Is4() {
		h.Protocol = ip.ICMP
	}
	return append(h.Append(nil, len(body)), body...)
}

// mustParse parses a packet that is all right.
func mustParse(t testing.TB, packet []byte) (h ip.Header, payload []byte) {
	t.Helper()
	payload, drop := ip.Parse(packet, &h)
	if drop != ip.DropNone {
		t.Fatalf("Parse drops % x: %v", packet, drop)
	}
	return h, payload
}

// mustParseICMP parses a packet that is a message that is all right.
func mustParseICMP(t testing.TB, packet []byte) (h ip.Header, m ip.Message) {
	t.Helper()
	h, payload := mustParse(t, packet)
	if !h.IsICMP() {
		t.Fatalf("no ICMP but %v", h.Protocol)
	}
	if drop := ip.ParseMessage(&h, payload, &m); drop != ip.DropNone {
		t.Fatalf("ParseMessage drops % x: %v", payload, drop)
	}
	return h, m
}

// udpByGopacket is a datagram from port 1000 of them to port 2000 of us.
func udpByGopacket(t testing.TB, f pair, data []byte) []byte {
	t.Helper()
	datagram := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if f.is4 {
		l := &layers.IPv4{Version: 4, TTL: 64, Id: 9, Protocol: layers.IPProtocolUDP, SrcIP: f.them.AsSlice(), DstIP: f.us.AsSlice()}
		if err := datagram.SetNetworkLayerForChecksum(l); err != nil {
			t.Fatal(err)
		}
		return serialize(t, l, datagram, gopacket.Payload(data))
	}
	l := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: f.them.AsSlice(), DstIP: f.us.AsSlice()}
	if err := datagram.SetNetworkLayerForChecksum(l); err != nil {
		t.Fatal(err)
	}
	return serialize(t, l, datagram, gopacket.Payload(data))
}
