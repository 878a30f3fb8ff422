package ip

import (
	"encoding/binary"
	"net/netip"

	"github.com/a644562b/portico/internal/checksum"
)

// ICMPHeaderLen is the length in bytes of the part of a message before its body, the
// same for every ICMP and ICMPv6 message that the house reads or writes.
const ICMPHeaderLen = 8

// ICMP types (RFC 792). Source quench (4) is neither heeded nor sent (RFC 6633), and
// redirects (5) are not followed.
const (
	icmp4EchoReply    = 0
	icmp4Unreachable  = 3
	icmp4SourceQuench = 4
	icmp4Redirect     = 5
	icmp4Echo         = 8
	icmp4TimeExceeded = 11
	icmp4ParamProblem = 12
)

// ICMPv6 types (RFC 4443). Those below 128 are errors.
const (
	icmp6Unreachable  = 1
	icmp6TooBig       = 2
	icmp6TimeExceeded = 3
	icmp6ParamProblem = 4
	icmp6Echo         = 128
	icmp6EchoReply    = 129
	icmp6Redirect     = 137

	icmp6FirstInfo = 128
)

const offICMPChecksum = 2

// Message is an ICMP or ICMPv6 message: the two families share the layout, not the
// numbers.
type Message struct {
	Type, Code uint8
	// Rest is bytes 4 to 7: identifier<<16 | sequence number of an echo, the MTU or
	// pointer of an error.
	Rest uint32
	// Body is what follows: the data of an echo, the quoted packet of an error.
	Body []byte
}

// ParseMessage reads the message that is the payload of the packet with header h, whose
// IsICMP is true, and verifies its checksum, over IPv6 with the pseudo-header (RFC
// 4443, section 2.3). m.Body is a slice of payload. A drop is DropICMPShort or
// DropICMPChecksum; a message of an unknown type or code is none, and is to be ignored
// (RFC 1122, section 3.2.2) since none of EchoReply and ParseQuote takes it.
func ParseMessage(h *Header, payload []byte, m *Message) Drop {
	*m = Message{}
	if len(payload) < ICMPHeaderLen {
		return DropICMPShort
	}
	if checksum.Sum(icmpPseudoHeader(h.Src, h.Dst, len(payload)), payload) != checksum.Valid {
		return DropICMPChecksum
	}
	m.Type = payload[0]
	m.Code = payload[1]
	m.Rest = binary.BigEndian.Uint32(payload[4:])
	m.Body = payload[ICMPHeaderLen:]
	return DropNone
}

// Append appends the message with its checksum to b: one of ICMP when dst is an IPv4
// address, and else of ICMPv6, whose checksum covers the addresses. For b[n:] to be the
// payload of a packet the body is to be at most MaxPayload4-ICMPHeaderLen bytes.
func (m *Message) Append(b []byte, src, dst netip.Addr) []byte {
	start := len(b)
	b = append(b, m.Type, m.Code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, m.Rest)
	b = append(b, m.Body...)
	p := b[start:]
	sum := checksum.Sum(icmpPseudoHeader(src, dst, len(p)), p)
	binary.BigEndian.PutUint16(p[offICMPChecksum:], ^sum)
	return b
}

// icmpPseudoHeader is the sum that a message's checksum starts from: ICMP has no
// pseudo-header (RFC 792).
func icmpPseudoHeader(src, dst netip.Addr, length int) uint16 {
	if dst.Is4() {
		return 0
	}
	return checksum.PseudoHeader(src, dst, uint8(ICMPv6), length)
}

// EchoReply makes the answer to request, which came in a packet with header h: the same
// identifier, sequence number and data (RFC 792; RFC 4443, section 4.2). It is false
// when request is no echo request, when its source is not one host, and over IPv4 when its
// destination is not, as RFC 1122, section 3.2.2.6 permits; broadcast addresses of the
// host's networks are the caller's to find. Over IPv6 a request to a group is answered,
// by those who are in it and from an address of their own (RFC 4443, section 4.2). The
// code of a request is not looked at. The body of the reply is that of the request, not a
// copy.
func EchoReply(request *Message, h *Header) (Message, bool) {
	echo, reply := EchoTypes(h.Is4())
	if request.Type != echo || !singleHost(h.Src) || !singleHost(h.Dst) && (h.Is4() || !h.Dst.IsMulticast()) {
		return Message{}, false
	}
	return Message{Type: reply, Rest: request.Rest, Body: request.Body}, true
}

// EchoRequest makes a request for an echo. The body is data itself, not a copy.
func EchoRequest(is4 bool, id, seq uint16, data []byte) Message {
	echo, _ := EchoTypes(is4)
	return Message{Type: echo, Rest: uint32(id)<<16 | uint32(seq), Body: data}
}

// EchoReply returns what an echo reply says; ok is false when m is not one. data is a
// slice of the body.
func (m *Message) EchoReply(is4 bool) (id, seq uint16, data []byte, ok bool) {
	if _, reply := EchoTypes(is4); m.Type != reply {
		return 0, 0, nil, false
	}
	return uint16(m.Rest >> 16), uint16(m.Rest), m.Body, true
}

// EchoTypes are the types of an echo request and of its reply, of ICMP or ICMPv6.
func EchoTypes(is4 bool) (echo, reply uint8) {
	if is4 {
		return icmp4Echo, icmp4EchoReply
	}
	return icmp6Echo, icmp6EchoReply
}
