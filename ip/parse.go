package ip

import (
	"encoding/binary"
	"net/netip"

	"github.com/a644562b/portico/internal/checksum"
)

// Parse reads a packet that came over a wire into h and returns its payload, a slice of
// packet from which padding behind the packet's own length is cut. With any drop other
// than DropNone the payload is nil and h holds what had been read by then.
//
// A fragment is DropFragment, and all of h is read: it is for a Reassembler. With the
// drops that ParameterProblem knows the addresses have been read and found possible.
//
// Every length is checked, and so are the IPv4 header checksum and that the addresses
// can occur on a wire at all. Whether the packet is for this host is the caller's
// question, and so are broadcast addresses of its networks (IsBroadcast).
func Parse(packet []byte, h *Header) (payload []byte, drop Drop) {
	end, drop := parse(packet, h)
	if drop == DropNone || drop == DropFragment || h.Fault != 0 {
		if bad := checkWireAddrs(h); bad != DropNone {
			drop = bad
		}
	}
	if drop != DropNone {
		return nil, drop
	}
	return packet[h.Len:end:end], DropNone
}

// ParseLocal is Parse for a packet that a host sends to itself: loopback addresses are
// allowed (RFC 1122, section 3.2.1.3 (g)).
func ParseLocal(packet []byte, h *Header) (payload []byte, drop Drop) {
	end, drop := parse(packet, h)
	if drop == DropNone || drop == DropFragment || h.Fault != 0 {
		if bad := checkLocalAddrs(h); bad != DropNone {
			drop = bad
		}
	}
	if drop != DropNone {
		return nil, drop
	}
	return packet[h.Len:end:end], DropNone
}

// parse reads all of the headers and returns where the packet ends.
func parse(packet []byte, h *Header) (end int, drop Drop) {
	*h = Header{}
	if len(packet) == 0 {
		return 0, DropShort
	}
	switch packet[0] >> 4 {
	case 4:
		return parse4(packet, h)
	case 6:
		return parse6(packet, h)
	}
	return 0, DropVersion
}

func parse4(packet []byte, h *Header) (end int, drop Drop) {
	if len(packet) < HeaderLen4 {
		return 0, DropShort
	}
	h.read4(packet)
	if h.Len < HeaderLen4 || h.Len > len(packet) {
		return 0, DropHeaderLength
	}
	end = int(binary.BigEndian.Uint16(packet[off4Length:]))
	if end < h.Len || end > len(packet) {
		return 0, DropLength
	}
	if checksum.Sum(0, packet[:h.Len]) != checksum.Valid {
		return 0, DropHeaderChecksum
	}
	if h.Len > HeaderLen4 {
		if drop := h.walkOptions4(packet[:h.Len]); drop != DropNone {
			return 0, drop
		}
	}
	if h.MF || h.FragmentOffset != 0 {
		return 0, DropFragment
	}
	return end, DropNone
}

// read4 reads the fields of an IPv4 header of which the first HeaderLen4 bytes are
// there.
func (h *Header) read4(packet []byte) {
	p := packet[:HeaderLen4]
	fragment := binary.BigEndian.Uint16(p[off4Fragment:])
	h.Src = netip.AddrFrom4([4]byte(p[off4Src:]))
	h.Dst = netip.AddrFrom4([4]byte(p[off4Dst:]))
	h.Protocol = Protocol(p[off4Protocol])
	h.ProtocolOffset = off4Protocol
	h.TTL = p[off4TTL]
	h.TOS = p[off4TOS]
	h.ID = uint32(binary.BigEndian.Uint16(p[off4ID:]))
	h.DF = fragment&flagDF != 0
	h.MF = fragment&flagMF != 0
	h.FragmentOffset = int(fragment&fragmentMask) * 8
	h.Len = int(p[0]&0xf) * 4
}

func parse6(packet []byte, h *Header) (end int, drop Drop) {
	if len(packet) < HeaderLen6 {
		return 0, DropShort
	}
	h.read6(packet)
	end = HeaderLen6 + int(binary.BigEndian.Uint16(packet[off6Length:]))
	if end > len(packet) {
		return 0, DropLength
	}
	return end, h.walkExtensions(packet[:end])
}

// read6 reads the fields of an IPv6 header of which all bytes are there.
func (h *Header) read6(packet []byte) {
	p := packet[:HeaderLen6]
	first := binary.BigEndian.Uint32(p)
	h.Src = netip.AddrFrom16([16]byte(p[off6Src:]))
	h.Dst = netip.AddrFrom16([16]byte(p[off6Dst:]))
	h.Protocol = Protocol(p[off6NextHeader])
	h.ProtocolOffset = off6NextHeader
	h.TTL = p[off6HopLimit]
	h.TOS = uint8(first >> 20)
	h.FlowLabel = first & flowLabelMask
	h.Len = HeaderLen6
}

// IPv4 options (RFC 791, section 3.1).
const (
	optEOL  = 0
	optNOP  = 1
	optLSRR = 131 // loose source and record route
	optSSRR = 137 // strict source and record route
)

// walkOptions4 walks the options of a header and obeys none. One that says that the packet
// has not reached its end yet is a reason to drop it: a host does not forward, and delivering
// would let a sender write the route of his choice (RFC 7126, sections 4.3 and 4.4). Those
// it does not know it skips (RFC 1122, section 3.2.1.8). In a broken one h.Fault is the
// place of the byte that cannot be.
func (h *Header) walkOptions4(b []byte) Drop {
	for at := HeaderLen4; at < len(b); {
		switch b[at] {
		case optEOL:
			return DropNone
		case optNOP:
			at++
			continue
		}
		if at+2 > len(b) {
			h.Fault = at
			return DropOptions
		}
		n := int(b[at+1])
		if n < 2 || at+n > len(b) {
			h.Fault = at + 1
			return DropOptions
		}
		if b[at] == optLSRR || b[at] == optSSRR {
			if drop := h.sourceRoute4(b[at:at+n], at); drop != DropNone {
				return drop
			}
		}
		at += n
	}
	return DropNone
}

// sourceRoute4 reads a source route, which stands at at.
func (h *Header) sourceRoute4(b []byte, at int) Drop {
	switch {
	case len(b) < 3:
		h.Fault = at + 1
		return DropOptions
	case b[2] < 4:
		h.Fault = at + 2
		return DropOptions
	case int(b[2]) <= len(b): // the pointer counts from 1; the route ends where it points beyond
		return DropSourceRoute
	}
	return DropNone
}
