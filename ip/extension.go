package ip

// This file walks IPv6 extension headers (RFC 8200, section 4) with every length
// checked. What the walk refuses is dropped and counted. The answers that RFC 8200 wants
// for some of it (parameter problem, code 0 for a routing header with segments left or
// a field that is wrong, code 2 for an unknown option) will live here too: the drop
// reasons that they will start from are DropSourceRoute and DropUnknownOption. An
// unknown next header is not refused here; it is a protocol that nobody serves, and
// Unreachable makes the answer.

// Extension headers (RFC 8200, section 4; the numbers are IANA's).
const (
	extHopByHop    Protocol = 0
	extRouting     Protocol = 43
	extFragment    Protocol = 44
	extNone        Protocol = 59
	extDestination Protocol = 60
)

// walkExtensions advances h.Len, h.Protocol and h.ProtocolOffset over the extension
// headers of packet, which is cut to its payload length. They may come in any order
// and number, but hop-by-hop options only first: anywhere else they are an unknown next
// header (section 4).
func (h *Header) walkExtensions(packet []byte) Drop {
	for {
		var drop Drop
		var n int
		rest := packet[h.Len:]
		switch h.Protocol {
		case extHopByHop:
			if h.Len != HeaderLen6 {
				return DropNone
			}
			n, drop = optionsHeader(rest)
		case extDestination:
			n, drop = optionsHeader(rest)
		case extRouting:
			n, drop = routingHeader(rest)
		case extFragment:
			n, drop = h.fragmentHeader(rest)
		case extNone:
			return DropNoNextHeader
		default:
			return DropNone
		}
		if drop != DropNone {
			return drop
		}
		h.ProtocolOffset = h.Len
		h.Protocol = Protocol(rest[0])
		h.Len += n
	}
}

// extensionLen is the length in bytes of the extension header at the start of b, by
// its second byte: units of 8 behind the first 8. 0 when it does not fit in b.
func extensionLen(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	n := 8 + int(b[1])*8
	if n > len(b) {
		return 0
	}
	return n
}

// IPv6 options (RFC 8200, section 4.2).
const (
	opt6Pad1 = 0
	// opt6Skip masks the bits that are 00 when a host that does not know an option is to
	// skip it. All others say drop, with or without an answer.
	opt6Skip = 0xc0
)

// optionsHeader reads a hop-by-hop or destination options header. All options but the
// padding are unknown here, router alert for one.
func optionsHeader(b []byte) (n int, drop Drop) {
	n = extensionLen(b)
	if n == 0 {
		return 0, DropExtension
	}
	for o := b[2:n]; len(o) > 0; {
		if o[0] == opt6Pad1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || 2+int(o[1]) > len(o) {
			return 0, DropExtension
		}
		if o[0]&opt6Skip != 0 {
			return 0, DropUnknownOption
		}
		o = o[2+int(o[1]):]
	}
	return n, DropNone
}

// routingHeader reads a routing header of any type. With no segments left it has no
// meaning any more and is skipped; otherwise the packet wants to be forwarded, which a
// host does not do (RFC 8200, section 4.4; RFC 5095 for type 0).
func routingHeader(b []byte) (n int, drop Drop) {
	n = extensionLen(b)
	if n == 0 {
		return 0, DropExtension
	}
	if segmentsLeft := b[3]; segmentsLeft != 0 {
		return 0, DropSourceRoute
	}
	return n, DropNone
}
