// Package ip is the Internet layer of a host, sans I/O: IPv4 (RFC 791 with RFC 1122,
// section 3.2), IPv6 (RFC 8200), ICMP (RFC 792 with RFC 1122, section 3.2.2) and ICMPv6
// (RFC 4443). It parses and emits headers and messages and says, by the hosts' rules,
// which packets are to be dropped and why, and which may be answered by an error.
//
// Besides the formats it holds what a host remembers at this layer, each within a bound:
// the fragments of unfinished datagrams (Reassembler; RFC 815, RFC 5722), the paths that
// are narrower than its link (PathMTUs; RFC 1191, RFC 8201), the identifications of what
// it may cut (Idents; RFC 7739) and the rate of its errors (ErrorLimiter). Time is an
// argument.
//
// Parsing never allocates and never keeps or changes the packet, of which a Reassembler
// keeps a copy; emitting appends to the caller's slice.
//
// It refuses to forward, to obey IPv4 options or routing headers (RFC 7126, RFC 5095),
// to heed or send source quench (RFC 6633), to follow redirects, and to know a link
// layer: there is no ARP, and of neighbour discovery (RFC 4861) no more than the answer to
// who asks whether an address is there. Jumbograms (RFC 2675) do not exist for it.
package ip

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/a644562b/portico/internal/checksum"
)

// Lengths in bytes of an IPv4 header without options and of an IPv6 header without
// extension headers.
const (
	HeaderLen4 = 20
	HeaderLen6 = 40
)

// The most payload in bytes behind the headers that Append makes: the length field of
// IPv4 counts the header, that of IPv6 does not.
const (
	MaxPayload4 = 65535 - HeaderLen4
	MaxPayload6 = 65535
)

// DefaultTTL is the time to live and hop limit that the IANA registry of IP parameters
// recommends (RFC 1700).
const DefaultTTL = 64

// Where the fields of the IPv4 header stand (RFC 791, section 3.1).
const (
	off4TOS      = 1
	off4Length   = 2
	off4ID       = 4
	off4Fragment = 6
	off4TTL      = 8
	off4Protocol = 9
	off4Checksum = 10
	off4Src      = 12
	off4Dst      = 16
)

// The IPv4 flags and the fragment offset share 16 bits.
const (
	flagDF       = 0x4000
	flagMF       = 0x2000
	fragmentMask = 0x1fff // in units of 8 bytes
)

// Where the fields of the IPv6 header stand (RFC 8200, section 3).
const (
	off6Length     = 4
	off6NextHeader = 6
	off6HopLimit   = 7
	off6Src        = 8
	off6Dst        = 24
)

const flowLabelMask = 0xfffff

// Protocol is what a packet carries: the protocol of IPv4, and of IPv6 the next header
// behind the last extension header.
type Protocol uint8

// The protocols that the house speaks.
const (
	ICMP   Protocol = 1
	IGMP   Protocol = 2
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
)

// String is the name, or "protocol 47" for one that the house does not speak.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "ICMP"
	case IGMP:
		return "IGMP"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case ICMPv6:
		return "ICMPv6"
	}
	return "protocol " + strconv.Itoa(int(p))
}

// Header is an IPv4 header, or an IPv6 header with its extension headers; Is4 says
// which.
type Header struct {
	Src, Dst netip.Addr
	Protocol Protocol
	// TTL is the time to live or hop limit. A host takes 0 and 1 as well as any other
	// (RFC 1122, section 3.2.1.7; RFC 8200, section 3); Append sends DefaultTTL for 0.
	TTL uint8
	// TOS is the type of service or traffic class: DSCP<<2 (RFC 2474) | ECN (RFC 3168).
	TOS uint8
	// ID tells datagrams apart for reassembly. IPv4: 16 bits, without meaning with DF
	// (RFC 6864). IPv6: 32 bits that only a fragment has, else 0.
	ID uint32
	// DF is don't fragment, of IPv4 only: IPv6 never is on its way.
	DF bool
	// FlowLabel has 20 bits, of IPv6 only (RFC 6437).
	FlowLabel uint32
	// MF is more fragments and FragmentOffset where this one starts, in bytes, a
	// multiple of 8. Append writes them for IPv4 only.
	MF             bool
	FragmentOffset int
	// Fragmented is set by Parse where the packet has a fragment header of IPv6, an atomic
	// one too; who reassembles sets it for the datagram. Append does not heed it.
	Fragmented bool

	// Len is the length in bytes of the header with its options or extension headers,
	// and ProtocolOffset where in the packet Protocol stands. Parse sets them, Append
	// does not heed them.
	Len            int
	ProtocolOffset int
	// Fault is where in the packet that stands which Parse has dropped it for, with the
	// drops that ParameterProblem can tell the sender about.
	Fault int
}

// Is4 reports whether the header is one of IPv4, which its destination decides.
func (h *Header) Is4() bool { return h.Dst.Is4() }

// IsICMP reports whether the payload is a message for ParseMessage: ICMP over IPv4 or
// ICMPv6 over IPv6. The other two pairs are protocols nobody serves.
func (h *Header) IsICMP() bool {
	if h.Is4() {
		return h.Protocol == ICMP
	}
	return h.Protocol == ICMPv6
}

// LengthUnsaid is the length of a payload that no header has room for: see Header.Append.
const LengthUnsaid = -1

// Append appends the header, without options or extension headers, for a payload of
// payloadLen bytes. The IPv4 checksum is filled in. Both addresses are to be of one
// family and payloadLen within MaxPayload4 or MaxPayload6; beyond that the length field
// sticks at 65535, and the receiver will drop the packet. With LengthUnsaid it is 0, as in
// super-segments that are longer than any IPv4 packet (see link.BigSender).
func (h *Header) Append(b []byte, payloadLen int) []byte {
	if h.Is4() {
		return h.append4(b, payloadLen)
	}
	return h.append6(b, payloadLen)
}

func (h *Header) append4(b []byte, payloadLen int) []byte {
	start := len(b)
	b = append(b, make([]byte, HeaderLen4)...)
	p := b[start:]
	p[0] = 4<<4 | HeaderLen4/4
	p[off4TOS] = h.TOS
	binary.BigEndian.PutUint16(p[off4Length:], lengthField(HeaderLen4, payloadLen))
	binary.BigEndian.PutUint16(p[off4ID:], uint16(h.ID))
	fragment := uint16(h.FragmentOffset/8) & fragmentMask
	if h.DF {
		fragment |= flagDF
	}
	if h.MF {
		fragment |= flagMF
	}
	binary.BigEndian.PutUint16(p[off4Fragment:], fragment)
	p[off4TTL] = h.sentTTL()
	p[off4Protocol] = byte(h.Protocol)
	put4(p[off4Src:], h.Src)
	put4(p[off4Dst:], h.Dst)
	fixChecksum4(p)
	return b
}

// fixChecksum4 fills in the checksum of an IPv4 header.
func fixChecksum4(p []byte) {
	p[off4Checksum], p[off4Checksum+1] = 0, 0
	binary.BigEndian.PutUint16(p[off4Checksum:], ^checksum.Sum(0, p))
}

func (h *Header) append6(b []byte, payloadLen int) []byte {
	start := len(b)
	b = append(b, make([]byte, HeaderLen6)...)
	p := b[start:]
	binary.BigEndian.PutUint32(p, 6<<28|uint32(h.TOS)<<20|h.FlowLabel&flowLabelMask)
	binary.BigEndian.PutUint16(p[off6Length:], lengthField(0, payloadLen))
	p[off6NextHeader] = byte(h.Protocol)
	p[off6HopLimit] = h.sentTTL()
	src, dst := h.Src.As16(), h.Dst.As16()
	copy(p[off6Src:], src[:])
	copy(p[off6Dst:], dst[:])
	return b
}

// sentTTL keeps a host from sending 0 (RFC 1122, section 3.2.1.7).
func (h *Header) sentTTL() uint8 {
	if h.TTL == 0 {
		return DefaultTTL
	}
	return h.TTL
}

// lengthField is what a length field says of header and payload bytes, as near as it can.
func lengthField(header, payload int) uint16 {
	if payload == LengthUnsaid {
		return 0
	}
	return uint16(min(header+min(max(payload, 0), 65535), 65535))
}

// put4 writes an IPv4 address; one of another family, which As4 would panic at, is
// written as 0.0.0.0.
func put4(b []byte, a netip.Addr) {
	if a.Is4() || a.Is4In6() {
		v := a.As4()
		copy(b, v[:])
	}
}
