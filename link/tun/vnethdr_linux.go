package tun

import (
	"encoding/binary"
	"math"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// virtio_net_hdr as a TUN speaks it (Virtual I/O Device 1.2, section 5.1.6; the legacy
// layout, 16-bit fields in the byte order of the machine):
//
//	 0        1         2..3     4..5      6..7        8..9
//	| flags  | gso type | hdr len | gso size | csum start | csum offset |
const vnetHdrLen = 10

const (
	vnetFlags      = 0
	vnetGSOType    = 1
	vnetHeaderLen  = 2
	vnetGSOSize    = 4
	vnetCsumStart  = 6
	vnetCsumOffset = 8
)

// Lengths that the offload state of a frame is measured against.
const (
	ip4MinHeader  = 20
	ip6Header     = 40
	ip6NextHeader = 6
	tcpDataOffset = 12
	tcpMinHeader  = 20
	udpHeader     = 8
)

type vnetHdr [vnetHdrLen]byte

func (h *vnetHdr) get(at int) uint16    { return binary.NativeEndian.Uint16(h[at:]) }
func (h *vnetHdr) put(at int, v uint16) { binary.NativeEndian.PutUint16(h[at:], v) }

// decode returns the offload state that the header gives to packet; false when the
// two contradict each other or the header asks for what we do not know.
func (h *vnetHdr) decode(packet []byte) (link.Offload, bool) {
	var o link.Offload
	switch {
	case h[vnetFlags]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0:
		o.Checksum = link.ChecksumPartial
		o.ChecksumStart, o.ChecksumOffset = h.get(vnetCsumStart), h.get(vnetCsumOffset)
		if int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > len(packet) {
			return o, false
		}
	case h[vnetFlags]&unix.VIRTIO_NET_HDR_F_DATA_VALID != 0:
		o.Checksum = link.ChecksumValid
	}
	switch h[vnetGSOType] &^ unix.VIRTIO_NET_HDR_GSO_ECN {
	case unix.VIRTIO_NET_HDR_GSO_NONE:
		return o, len(packet) > 0
	case unix.VIRTIO_NET_HDR_GSO_TCPV4:
		o.GSO = link.GSOTCP4
	case unix.VIRTIO_NET_HDR_GSO_TCPV6:
		o.GSO = link.GSOTCP6
	case unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		o.GSO = link.GSOUDP
	default:
		return o, false
	}
	o.GSOSize = h.get(vnetGSOSize)
	n, ok := headerLen(packet, o)
	o.HeaderLen = uint16(n)
	return o, ok && o.GSOSize > 0
}

// headerLen is the length of the headers of a super-segment. The kernel's own word
// for it is not to be trusted: on forwarded traffic it may be the length of the
// whole first piece.
func headerLen(packet []byte, o link.Offload) (int, bool) {
	start := int(o.ChecksumStart)
	if o.Checksum != link.ChecksumPartial {
		var ok bool
		if start, ok = transportStart(packet); !ok {
			return 0, false
		}
	}
	n := udpHeader
	if o.GSO != link.GSOUDP {
		if start+tcpMinHeader > len(packet) {
			return 0, false
		}
		if n = int(packet[start+tcpDataOffset]>>4) * 4; n < tcpMinHeader {
			return 0, false
		}
	}
	return start + n, start+n <= min(len(packet), math.MaxUint16)
}

// transportStart finds the transport header where no checksum start tells. It knows
// IPv4, and IPv6 without extension headers.
func transportStart(packet []byte) (int, bool) {
	switch {
	case len(packet) >= ip4MinHeader && packet[0]>>4 == 4:
		n := int(packet[0]&0xf) * 4
		return n, n >= ip4MinHeader
	case len(packet) >= ip6Header && packet[0]>>4 == 6:
		next := packet[ip6NextHeader]
		return ip6Header, next == unix.IPPROTO_TCP || next == unix.IPPROTO_UDP
	}
	return 0, false
}

// encode writes the offload state of a frame that is to be written.
func (h *vnetHdr) encode(o *link.Offload) {
	*h = vnetHdr{}
	if o.Checksum == link.ChecksumPartial {
		h[vnetFlags] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		h.put(vnetCsumStart, o.ChecksumStart)
		h.put(vnetCsumOffset, o.ChecksumOffset)
	}
	switch o.GSO {
	case link.GSOTCP4:
		h[vnetGSOType] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	case link.GSOTCP6:
		h[vnetGSOType] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	case link.GSOUDP:
		h[vnetGSOType] = unix.VIRTIO_NET_HDR_GSO_UDP_L4
	default:
		return
	}
	h.put(vnetGSOSize, o.GSOSize)
	h.put(vnetHeaderLen, o.HeaderLen)
}
