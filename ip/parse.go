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
// Every length is checked, and so are the IPv4 header checksum and that the addresses
// can occur on a wire at all. Whether the packet is for this host is the caller's
// question, and so are broadcast addresses of its networks (IsBroadcast).
func Parse(packet []byte, h *Header) (payload []byte, drop Drop) {
	end, drop := parse(packet, h)
	if drop == DropNone {
		drop = checkWireAddrs(h)
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
	if drop == DropNone {
		drop = checkLocalAddrs(h)
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
		if drop := checkOptions4(packet[HeaderLen4:h.Len]); drop != DropNone {
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
	h.ID = binary.BigEndian.Uint16(p[off4ID:])
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

// checkOptions4 walks the options and obeys none. One that says that the packet has not
// reached its end yet is a reason to drop it: a host does not forward, and delivering
// would let a sender write the route of his choice (RFC 7126, sections 4.3 and 4.4).
func checkOptions4(b []byte) Drop {
	for len(b) > 0 {
		switch b[0] {
		case optEOL:
			return DropNone
		case optNOP:
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return DropOptions
		}
		if b[0] == optLSRR || b[0] == optSSRR {
			// The pointer counts from 1, and the route ends where it points beyond.
			if b[1] < 3 || b[2] < 4 {
				return DropOptions
			}
			if b[2] <= b[1] {
				return DropSourceRoute
			}
		}
		b = b[b[1]:]
	}
	return DropNone
}
