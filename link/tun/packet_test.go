package tun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// flow is a four-tuple; local is behind the TUN, remote is the kernel.
type flow struct {
	local, remote netip.AddrPort
}

var (
	udp4 = flow{netip.MustParseAddrPort("10.98.0.2:5000"), netip.MustParseAddrPort("10.98.0.1:6000")}
)

func (f flow) is4() bool { return f.local.Addr().Is4() }

// network is the IP header of a packet from local to remote.
func (f flow) network(proto layers.IPProtocol) gopacket.SerializableLayer {
	if f.is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Id: 7, Flags: layers.IPv4DontFragment, Protocol: proto,
			SrcIP: f.local.Addr().AsSlice(), DstIP: f.remote.Addr().AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto,
		SrcIP: f.local.Addr().AsSlice(), DstIP: f.remote.Addr().AsSlice()}
}

// headerLen is the length of the IP header.
func (f flow) headerLen() int {
	if f.is4() {
		return 20
	}
	return 40
}

func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// udpPacket is a whole datagram with its checksum.
func udpPacket(t testing.TB, f flow, payload []byte) []byte {
	t.Helper()
	ip := f.network(layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(f.local.Port()), DstPort: layers.UDPPort(f.remote.Port())}
	udp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
	return serialize(t, ip, udp, gopacket.Payload(payload))
}

// udpFrame is a datagram, or with size > 0 a super-segment of them, with a partial
// checksum and its payload in slices.
func udpFrame(t testing.TB, f flow, size int, payload []byte) link.Frame {
	t.Helper()
	return partial(f, udpPacket(t, f, payload), 17, 6, f.headerLen()+8, size)
}

// partial turns a whole packet into a frame with a partial checksum.
func partial(f flow, packet []byte, proto uint8, field, header, size int) link.Frame {
	start := f.headerLen()
	pseudo := checksum.PseudoHeader(f.local.Addr(), f.remote.Addr(), proto, len(packet)-start)
	binary.BigEndian.PutUint16(packet[start+field:], pseudo)
	out := link.Frame{
		Data: packet[:header],
		Offload: link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: uint16(start),
			ChecksumOffset: uint16(field), HeaderLen: uint16(header)},
	}
	for rest := packet[header:]; len(rest) > 0; {
		n := min(len(rest), 700)
		out.Payload = append(out.Payload, rest[:n], nil)
		rest = rest[n:]
	}
	if size > 0 {
		out.GSOSize = uint16(size)
		switch {
		case proto == 17:
			out.GSO = link.GSOUDP
		case f.is4():
			out.GSO = link.GSOTCP4
		default:
			out.GSO = link.GSOTCP6
		}
	}
	return out
}

// decode reads a packet with gopacket, which judges our headers.
func decode(t testing.TB, packet []byte) gopacket.Packet {
	t.Helper()
	first := layers.LayerTypeIPv4
	if packet[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(packet, first, gopacket.NoCopy)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("%x: %v", packet, e.Error())
	}
	return p
}

// checkedUDP returns the payload of a datagram whose checksum must be right.
func checkedUDP(t testing.TB, packet []byte) []byte {
	t.Helper()
	p := decode(t, packet)
	src, dst := p.NetworkLayer().NetworkFlow().Endpoints()
	srcAddr, _ := netip.AddrFromSlice(src.Raw())
	dstAddr, _ := netip.AddrFromSlice(dst.Raw())
	udp := p.TransportLayer().(*layers.UDP)
	segment := append(append([]byte(nil), udp.Contents...), udp.Payload...)
	if sum := checksum.Sum(checksum.PseudoHeader(srcAddr, dstAddr, 17, len(segment)), segment); sum != 0xffff {
		t.Errorf("wrong UDP checksum in %x", packet)
	}
	return udp.Payload
}

// pattern is n bytes in which no two places nearby look the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*37)
	}
	return b
}

// readFrames are n frames with room for size bytes each.
func readFrames(n, size int) []link.Frame {
	frames := make([]link.Frame, n)
	for i := range frames {
		frames[i].Data = make([]byte, size)
	}
	return frames
}
