package ip

import "encoding/binary"

// The longest packet in bytes that carries an error: what every host takes (RFC 1812,
// section 4.3.2.3 with RFC 791; RFC 4443, section 2.4 (c)).
const (
	maxError4 = 576
	maxError6 = 1280
)

// UnreachableReason is why a packet could not be delivered, for both families.
type UnreachableReason uint8

const (
	NetUnreachable      UnreachableReason = iota + 1 // no route
	HostUnreachable                                  // the host does not answer
	ProtocolUnreachable                              // nobody speaks the protocol; over IPv6 a parameter problem
	PortUnreachable                                  // nobody listens at the port
	AdminProhibited                                  // somebody forbids it
)

var reasonNames = [...]string{
	NetUnreachable:      "network unreachable",
	HostUnreachable:     "host unreachable",
	ProtocolUnreachable: "protocol unreachable",
	PortUnreachable:     "port unreachable",
	AdminProhibited:     "administratively prohibited",
}

// String is a short phrase.
func (r UnreachableReason) String() string {
	if r >= 1 && int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown reason"
}

// Codes of destination unreachable over IPv4 (RFC 792; RFC 1812, section 5.2.7.1) and
// over IPv6 (RFC 4443, section 3.1).
const (
	code4Net      = 0
	code4Host     = 1
	code4Protocol = 2
	code4Port     = 3
	code4TooBig   = 4
	code4Admin    = 13

	code6Net   = 0
	code6Admin = 1
	code6Host  = 3
	code6Port  = 4
)

// Unreachable makes the error that tells the sender of packet why it was not delivered.
// h is the header that Parse read from packet, which is all of it from its IP header
// on. The body of the message is the start of packet, not a copy: as much as keeps the
// error within 576 bytes over IPv4 (RFC 1122, section 3.2.2; RFC 1812, section 4.3.2.3)
// and 1280 over IPv6 (RFC 4443, section 2.4 (c)).
//
// It is false when the rules forbid an error (RFC 1122, section 3.2.2; RFC 4443,
// section 2.4 (e)): about an ICMP error or redirect, to or from an address that names
// more or less than one host, about a fragment other than the first; and for a reason
// that does not exist. Rate and the broadcast addresses of the host's networks are the
// caller's to watch (Limiter, IsBroadcast).
func Unreachable(reason UnreachableReason, h *Header, packet []byte) (Message, bool) {
	m, ok := unreachableMessage(reason, h)
	if !ok || !mayAnswer(h, packet) {
		return Message{}, false
	}
	m.Body = quote(h, packet)
	return m, true
}

// unreachableMessage is the message without its body.
func unreachableMessage(reason UnreachableReason, h *Header) (Message, bool) {
	if h.Is4() {
		switch reason {
		case NetUnreachable:
			return Message{Type: icmp4Unreachable, Code: code4Net}, true
		case HostUnreachable:
			return Message{Type: icmp4Unreachable, Code: code4Host}, true
		case ProtocolUnreachable:
			return Message{Type: icmp4Unreachable, Code: code4Protocol}, true
		case PortUnreachable:
			return Message{Type: icmp4Unreachable, Code: code4Port}, true
		case AdminProhibited:
			return Message{Type: icmp4Unreachable, Code: code4Admin}, true
		}
		return Message{}, false
	}
	switch reason {
	case NetUnreachable:
		return Message{Type: icmp6Unreachable, Code: code6Net}, true
	case HostUnreachable:
		return Message{Type: icmp6Unreachable, Code: code6Host}, true
	case ProtocolUnreachable:
		// The pointer is to the next header field that nobody understood.
		return Message{Type: icmp6ParamProblem, Code: code6UnknownNextHeader, Rest: uint32(h.ProtocolOffset)}, true
	case PortUnreachable:
		return Message{Type: icmp6Unreachable, Code: code6Port}, true
	case AdminProhibited:
		return Message{Type: icmp6Unreachable, Code: code6Admin}, true
	}
	return Message{}, false
}

// mayAnswer holds the rules about which packets an error may be sent.
func mayAnswer(h *Header, packet []byte) bool {
	if !singleHost(h.Src) || !singleHost(h.Dst) || h.FragmentOffset != 0 {
		return false
	}
	if !h.Is4() {
		return !carriesError6(packet)
	}
	// A message too short to show its type counts as an error.
	return h.Protocol != ICMP || h.Len < len(packet) && !isError(true, packet[h.Len])
}

// isError reports whether ICMP messages of a type are errors, which may not be answered
// by errors: those of the RFCs, and over IPv4 source quench and redirect, over IPv6
// redirect and all the unknown types that are reserved for errors.
func isError(is4 bool, typ uint8) bool {
	if !is4 {
		return typ < icmp6FirstInfo || typ == icmp6Redirect
	}
	switch typ {
	case icmp4Unreachable, icmp4SourceQuench, icmp4Redirect, icmp4TimeExceeded, icmp4ParamProblem:
		return true
	}
	return false
}

// quote is the start of packet that an error carries, without padding behind it.
func quote(h *Header, packet []byte) []byte {
	if h.Is4() {
		end := int(binary.BigEndian.Uint16(packet[off4Length:]))
		return packet[:min(end, len(packet), maxError4-HeaderLen4-ICMPHeaderLen)]
	}
	end := HeaderLen6 + int(binary.BigEndian.Uint16(packet[off6Length:]))
	return packet[:min(end, len(packet), maxError6-HeaderLen6-ICMPHeaderLen)]
}
