package tun

import (
	"testing"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// vnet builds a virtio header field by field.
func vnet(flags, kind byte, headerLen, size, start, offset uint16) vnetHdr {
	var h vnetHdr
	h[0], h[1] = flags, kind
	h.put(vnetHeaderLen, headerLen)
	h.put(vnetGSOSize, size)
	h.put(vnetCsumStart, start)
	h.put(vnetCsumOffset, offset)
	return h
}

// rawTCP is an IP header of ipLen bytes and a TCP header of tcpLen bytes at the start of a
// packet of n bytes, cut short where they do not fit.
func rawTCP(version byte, ipLen, tcpLen, n int) []byte {
	p := make([]byte, n)
	p[0] = version << 4
	if version == 4 {
		p[0] |= byte(ipLen / 4)
	} else if n > ip6NextHeader {
		p[ip6NextHeader] = unix.IPPROTO_TCP
	}
	if ipLen+tcpDataOffset < n {
		p[ipLen+tcpDataOffset] = byte(tcpLen/4) << 4
	}
	return p
}

func TestDecodeVirtioHeader(t *testing.T) {
	const (
		needs = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		valid = unix.VIRTIO_NET_HDR_F_DATA_VALID
		none  = unix.VIRTIO_NET_HDR_GSO_NONE
		tcp4  = unix.VIRTIO_NET_HDR_GSO_TCPV4
		tcp6  = unix.VIRTIO_NET_HDR_GSO_TCPV6
		udp   = unix.VIRTIO_NET_HDR_GSO_UDP_L4
		ufo   = unix.VIRTIO_NET_HDR_GSO_UDP
		ecn   = unix.VIRTIO_NET_HDR_GSO_ECN
	)
	for _, tt := range []struct {
		name   string
		hdr    vnetHdr
		packet []byte
		want   link.Offload
		ok     bool
	}{
		{"nobody vouches", vnet(0, none, 0, 0, 0, 0), rawTCP(4, 20, 20, 40), link.Offload{}, true},
		{"the kernel has verified", vnet(valid, none, 0, 0, 0, 0), rawTCP(4, 20, 20, 40),
			link.Offload{Checksum: link.ChecksumValid}, true},
		{"a local sender left it partial", vnet(needs, none, 0, 0, 20, 16), rawTCP(4, 20, 20, 40),
			link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}, true},
		{"partial wins over verified", vnet(needs|valid, none, 0, 0, 20, 16), rawTCP(4, 20, 20, 40),
			link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}, true},
		{"checksum at the very end", vnet(needs, none, 0, 0, 20, 18), rawTCP(4, 20, 20, 40),
			link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 18}, true},
		{"checksum beyond the end", vnet(needs, none, 0, 0, 20, 19), rawTCP(4, 20, 20, 40), link.Offload{}, false},
		{"checksum far beyond the end", vnet(needs, none, 0, 0, 65535, 65535), rawTCP(4, 20, 20, 40), link.Offload{}, false},
		{"super-segment, its header length not trusted", vnet(needs, tcp4, 1500, 1448, 20, 16), rawTCP(4, 20, 32, 3000),
			link.Offload{GSO: link.GSOTCP4, GSOSize: 1448, HeaderLen: 52, Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}, true},
		{"super-segment with CWR", vnet(needs, tcp4|ecn, 0, 1448, 20, 16), rawTCP(4, 20, 32, 3000),
			link.Offload{GSO: link.GSOTCP4, GSOSize: 1448, HeaderLen: 52, Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}, true},
		{"IPv6 behind an extension header", vnet(needs, tcp6, 0, 1400, 48, 16), rawTCP(6, 48, 20, 3000),
			link.Offload{GSO: link.GSOTCP6, GSOSize: 1400, HeaderLen: 68, Checksum: link.ChecksumPartial, ChecksumStart: 48, ChecksumOffset: 16}, true},
		{"UDP", vnet(needs, udp, 0, 1000, 20, 6), rawTCP(4, 20, 0, 3000),
			link.Offload{GSO: link.GSOUDP, GSOSize: 1000, HeaderLen: 28, Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 6}, true},
		{"verified super-segment behind IPv4 options", vnet(valid, tcp4, 0, 1000, 0, 0), rawTCP(4, 24, 20, 3000),
			link.Offload{GSO: link.GSOTCP4, GSOSize: 1000, HeaderLen: 44, Checksum: link.ChecksumValid}, true},
		{"verified super-segment over IPv6", vnet(valid, tcp6, 0, 1000, 0, 0), rawTCP(6, 40, 20, 3000),
			link.Offload{GSO: link.GSOTCP6, GSOSize: 1000, HeaderLen: 60, Checksum: link.ChecksumValid}, true},
		{"IPv4 header length below the least", vnet(0, tcp4, 0, 1000, 0, 0), rawTCP(4, 16, 20, 3000), link.Offload{}, false},
		{"neither IPv4 nor IPv6", vnet(0, tcp4, 0, 1000, 0, 0), rawTCP(5, 20, 20, 3000), link.Offload{}, false},
		{"TCP header below the least", vnet(needs, tcp4, 0, 1448, 20, 16), rawTCP(4, 20, 16, 3000), link.Offload{}, false},
		{"TCP header cut short", vnet(needs, tcp4, 0, 1448, 20, 16), rawTCP(4, 20, 60, 79), link.Offload{}, false},
		{"no TCP header at all", vnet(needs, tcp4, 0, 1448, 20, 4), rawTCP(4, 20, 20, 30), link.Offload{}, false},
		{"UDP header cut short", vnet(needs, udp, 0, 1000, 20, 4), rawTCP(4, 20, 0, 27), link.Offload{}, false},
		{"super-segment of size 0", vnet(needs, tcp4, 0, 0, 20, 16), rawTCP(4, 20, 20, 3000), link.Offload{}, false},
		{"UFO, which we never asked for", vnet(needs, ufo, 0, 1000, 20, 6), rawTCP(4, 20, 20, 3000), link.Offload{}, false},
		{"unknown kind", vnet(needs, 9, 0, 1000, 20, 6), rawTCP(4, 20, 20, 3000), link.Offload{}, false},
		{"no bytes", vnet(0, none, 0, 0, 0, 0), nil, link.Offload{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.hdr.decode(tt.packet)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("decode = %+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestEncodeVirtioHeader(t *testing.T) {
	part := link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 40, ChecksumOffset: 16}
	with := func(kind link.GSO, size, header uint16) link.Offload {
		o := part
		o.GSO, o.GSOSize, o.HeaderLen = kind, size, header
		return o
	}
	for _, tt := range []struct {
		name string
		o    link.Offload
		want vnetHdr
	}{
		{"plain packet", link.Offload{HeaderLen: 40}, vnet(0, 0, 0, 0, 0, 0)},
		{"verified means nothing to a writer", link.Offload{Checksum: link.ChecksumValid}, vnet(0, 0, 0, 0, 0, 0)},
		{"partial checksum", part, vnet(1, 0, 0, 0, 40, 16)},
		{"TCP over IPv4", with(link.GSOTCP4, 1448, 72), vnet(1, 1, 72, 1448, 40, 16)},
		{"TCP over IPv6", with(link.GSOTCP6, 1428, 72), vnet(1, 4, 72, 1428, 40, 16)},
		{"UDP", with(link.GSOUDP, 1000, 48), vnet(1, 5, 48, 1000, 40, 16)},
	} {
		got := vnet(0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff) // what was there before must go
		if got.encode(&tt.o); got != tt.want {
			t.Errorf("%s: encode = %x, want %x", tt.name, got, tt.want)
		}
	}
}

// FuzzDecode: whatever the header says of whatever packet, the offload state that
// comes out lies within the packet.
func FuzzDecode(f *testing.F) {
	add := func(h vnetHdr, p []byte) { f.Add(h[:], p) }
	add(vnet(1, 1, 40, 1448, 20, 16), rawTCP(4, 20, 32, 3000))
	add(vnet(1, 5, 28, 1000, 20, 6), rawTCP(4, 20, 0, 3000))
	add(vnet(2, 4, 0, 1400, 0, 0), rawTCP(6, 40, 20, 3000))
	add(vnet(1, 0, 0, 0, 65535, 65535), rawTCP(4, 20, 20, 40))
	f.Fuzz(func(t *testing.T, header, packet []byte) {
		var h vnetHdr
		copy(h[:], header)
		o, ok := h.decode(packet)
		if !ok {
			return
		}
		if len(packet) == 0 {
			t.Fatal("a frame of no bytes")
		}
		if o.Checksum == link.ChecksumPartial && int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > len(packet) {
			t.Fatalf("%+v: checksum outside of %d bytes", o, len(packet))
		}
		if o.GSO != link.GSONone && (o.GSOSize == 0 || o.HeaderLen < udpHeader || int(o.HeaderLen) > len(packet)) {
			t.Fatalf("%+v: impossible for a super-segment of %d bytes", o, len(packet))
		}
		if o.GSO == link.GSONone && (o.GSOSize != 0 || o.HeaderLen != 0) {
			t.Fatalf("%+v: an ordinary packet with a size", o)
		}
	})
}
