package ip

// This file walks IPv6 extension headers (RFC 8200, section 4) with every length
// checked. What the walk refuses is dropped and counted, and Header.Fault says where the
// fault lies, from which ParameterProblem makes the answer that RFC 8200 wants. An
// unknown next header is not refused here; it is a protocol that nobody serves, and
// Unreachable makes the answer. Authentication and encryption (RFC 4302, RFC 4303)
// are such protocols too.

// Extension headers (RFC 8200, section 4; the numbers are IANA's).
const (
	extHopByHop    Protocol = 0
	extRouting     Protocol = 43
	extFragment    Protocol = 44
	extNone        Protocol = 59
	extDestination Protocol = 60
)

// How many extension headers a packet may have, and options other than padding each of
// them (RFC 8504, section 5.3, which Linux follows with 8 options): more than any honest
// packet, and few enough that nobody can make us work for nothing.
const (
	maxExtensions = 16
	maxOptions    = 8
)

// walkExtensions advances h.Len, h.Protocol and h.ProtocolOffset over the extension
// headers of packet, which is cut to its payload length. They may come in any order,
// but hop-by-hop options only first: anywhere else they are an unknown next header
// (section 4).
func (h *Header) walkExtensions(packet []byte) Drop {
	for n := 0; ; n++ {
		var drop Drop
		var length int
		rest := packet[h.Len:]
		if isExtension(h.Protocol) && n == maxExtensions {
			h.Fault = h.Len
			return DropTooManyExtensions
		}
		switch h.Protocol {
		case extHopByHop:
			if h.Len != HeaderLen6 {
				return DropNone
			}
			length, drop = h.optionsHeader(rest)
		case extDestination:
			length, drop = h.optionsHeader(rest)
		case extRouting:
			length, drop = h.routingHeader(rest)
		case extFragment:
			length, drop = h.fragmentHeader(rest)
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
		h.Len += length
	}
}

func isExtension(p Protocol) bool {
	return p == extHopByHop || p == extDestination || p == extRouting || p == extFragment
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

// extension is extensionLen with the fault noted: the header's length field, or where it
// would begin in a packet that ends before.
func (h *Header) extension(b []byte) (n int, drop Drop) {
	if n = extensionLen(b); n == 0 {
		h.Fault = h.Len + min(1, len(b))
		return 0, DropExtension
	}
	return n, DropNone
}

// IPv6 options (RFC 8200, section 4.2).
const (
	opt6Pad1 = 0
	opt6PadN = 1
	// The two highest bits of its type say what a host does that does not know an option.
	opt6Action           = 0xc0
	opt6Skip             = 0x00 // go on
	opt6Drop             = 0x40 // drop the packet
	opt6Answer           = 0x80 // drop it and answer, whoever it was sent to
	opt6AnswerNotToGroup = 0xc0 // drop it and answer, unless it was sent to a group
)

// optionsHeader reads a hop-by-hop or destination options header. All options but the
// padding are unknown here, router alert for one.
func (h *Header) optionsHeader(b []byte) (n int, drop Drop) {
	n, drop = h.extension(b)
	if drop != DropNone {
		return 0, drop
	}
	options := 0
	for at := 2; at < n; {
		if b[at] == opt6Pad1 {
			at++
			continue
		}
		if at+2 > n || at+2+int(b[at+1]) > n {
			h.Fault = h.Len + at + 1
			return 0, DropExtension
		}
		if b[at] != opt6PadN {
			options++
		}
		h.Fault = h.Len + at
		switch {
		case b[at]&opt6Action != opt6Skip:
			return 0, DropUnknownOption
		case options > maxOptions:
			return 0, DropTooManyOptions
		}
		at += 2 + int(b[at+1])
	}
	h.Fault = 0
	return n, DropNone
}

// routingHeader reads a routing header of any type. With no segments left it has no
// meaning any more and is skipped; otherwise the packet wants to be forwarded, which a
// host does not do: no type is known here (RFC 8200, section 4.4; RFC 5095 for type 0).
func (h *Header) routingHeader(b []byte) (n int, drop Drop) {
	n, drop = h.extension(b)
	if drop != DropNone {
		return 0, drop
	}
	if segmentsLeft := b[3]; segmentsLeft != 0 {
		h.Fault = h.Len + 2 // the routing type
		return 0, DropSourceRoute
	}
	return n, DropNone
}

// holdsChain reports whether the first fragment of a datagram, whose fragment header
// stands at at, holds all of the datagram's headers up to that of the transport, as it
// must (RFC 7112, section 5; RFC 8200, section 4.5). No more is asked of what is in them:
// the datagram will be parsed when it is whole.
func holdsChain(packet []byte, at int) bool {
	next, rest := Protocol(packet[at]), packet[at+fragmentHeaderLen:]
	for isExtension(next) {
		n := stepOver(next, rest)
		if n == 0 {
			return false
		}
		next, rest = Protocol(rest[0]), rest[n:]
	}
	return len(rest) >= transportHeader(next)
}

// stepOver is the length of the extension header of type p at the start of b, whatever is
// in it; 0 when there is none, or not all of it.
func stepOver(p Protocol, b []byte) int {
	switch {
	case !isExtension(p):
		return 0
	case p != extFragment:
		return extensionLen(b)
	case len(b) < fragmentHeaderLen:
		return 0
	}
	return fragmentHeaderLen
}

// transportHeader is how long the header of an upper layer is at least: one byte where we
// do not know it.
func transportHeader(p Protocol) int {
	switch p {
	case TCP:
		return 20
	case UDP, ICMPv6:
		return 8
	case extNone:
		return 0
	}
	return 1
}

// carriesError6 reports whether an IPv6 packet carries an ICMPv6 error or redirect, which
// may not be answered by an error, as far as can be seen: it looks behind extension headers
// with a fault in them. A message too short to show its type counts as an error.
func carriesError6(packet []byte) bool {
	next, rest := Protocol(packet[off6NextHeader]), packet[HeaderLen6:]
	for range maxExtensions {
		if next == ICMPv6 {
			return len(rest) == 0 || isError(false, rest[0])
		}
		n := stepOver(next, rest)
		if n == 0 || next == extFragment && (rest[2] != 0 || rest[3]&^7 != 0) {
			return false // a later piece shows no type
		}
		next, rest = Protocol(rest[0]), rest[n:]
	}
	return false
}
