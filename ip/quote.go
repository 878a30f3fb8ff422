package ip

import (
	"encoding/binary"
	"math"
)

// ErrorKind is what an ICMP error says happened to a packet, for both families.
type ErrorKind uint8

const (
	// ErrorNet, ErrorHost and ErrorAdmin: not delivered now, which may change: to a
	// TCP connection a hint and no more (RFC 1122, section 4.2.3.9).
	ErrorNet   ErrorKind = iota + 1 // no route
	ErrorHost                       // no such host, or no answer from it
	ErrorAdmin                      // somebody forbids it
	// ErrorProtocol and ErrorPort: the host is there and does not take it.
	ErrorProtocol
	ErrorPort
	// ErrorTooBig: longer than the next link's MTU; see Quote.MTU.
	ErrorTooBig
	// ErrorTimeExceeded: TTL or hop limit ran out, or a reassembly did not finish.
	ErrorTimeExceeded
	// ErrorParameter: a header nobody could read; see Quote.Pointer.
	ErrorParameter
	// ErrorOther: an ICMPv6 error of a type that this house does not know. Whoever sent the
	// packet is to hear of it all the same (RFC 4443, section 2.4 (a)).
	ErrorOther
)

var errorKindNames = [...]string{
	ErrorNet:          "network unreachable",
	ErrorHost:         "host unreachable",
	ErrorAdmin:        "administratively prohibited",
	ErrorProtocol:     "protocol unreachable",
	ErrorPort:         "port unreachable",
	ErrorTooBig:       "packet too big",
	ErrorTimeExceeded: "time exceeded",
	ErrorParameter:    "parameter problem",
	ErrorOther:        "error of an unknown type",
}

// String is a short phrase.
func (k ErrorKind) String() string {
	if k >= 1 && int(k) < len(errorKindNames) {
		return errorKindNames[k]
	}
	return "unknown error"
}

// ErrorClass is what an ICMP error means to whoever sent the packet (RFC 1122, sections
// 3.2.2.1 and 4.2.3.9; RFC 9293, section 3.9.2.2; RFC 5461).
type ErrorClass uint8

const (
	// ErrorSoft may pass: go on trying, and tell the application if it wants to know.
	ErrorSoft ErrorClass = iota + 1
	// ErrorHard will not: the destination, or somebody on the way, does not want it. To
	// a TCP connection that is synchronized it is soft all the same (RFC 5927, section 5.2).
	ErrorHard
	// ErrorMTU asks for smaller packets (RFC 1191; RFC 8201).
	ErrorMTU
)

// quotedTransport is how many bytes of the quoted transport header are there at
// least: the ports and, of TCP, the sequence number (RFC 792).
const quotedTransport = 8

// Quote is an ICMP error taken apart. Nothing in it is proven: whoever acts on it checks
// that the quoted packet is one of ours, addresses, ports and, of TCP, a sequence number
// in flight (RFC 5927).
type Quote struct {
	Kind ErrorKind
	// MTU in bytes of the link that was too narrow, with ErrorTooBig, as the router gave
	// it, at most 1<<31-1; 0 over IPv4 from a router older than RFC 1191.
	MTU int
	// Pointer is the offset in bytes of what was wrong in the quoted packet, with
	// ErrorParameter.
	Pointer uint32
	// Class is what the error means to whoever sent the packet.
	Class ErrorClass
	// Code is the code of the message, which Kind is coarser than.
	Code uint8
	// Header is that of the quoted packet: Src is who sent it, which should be us.
	Header Header
	// Length is the length in bytes that the quoted packet had by its own header, which
	// is more than what is quoted of it. A router may have got it wrong.
	Length int
	// Transport is what is quoted of its payload, at least 8 bytes, a slice of the
	// message's body.
	Transport []byte
}

// ParseQuote takes the error message m apart into q; is4 says which family it came by.
// It is false for what is no error, and for one whose quote does not reach 8 bytes into
// the transport header: nobody could tell whom it is about. Source quench (RFC 6633) and
// redirects are not taken either. Codes that this house does not know count as
// ErrorHost.
func ParseQuote(is4 bool, m *Message, q *Quote) bool {
	*q = Quote{Code: m.Code}
	if is4 {
		q.classify4(m)
	} else {
		q.classify6(m)
	}
	if q.Kind == 0 {
		return false
	}
	q.Class = q.class(is4)
	body := quotedPacket(is4, m)
	if is4 {
		return q.parse4(body)
	}
	return q.parse6(body)
}

func (q *Quote) classify4(m *Message) {
	switch m.Type {
	case icmp4Unreachable:
		q.Kind = kind4(m.Code)
		if q.Kind == ErrorTooBig {
			q.MTU = int(m.Rest & 0xffff) // RFC 1191, section 4
		}
	case icmp4TimeExceeded:
		q.Kind = ErrorTimeExceeded
	case icmp4ParamProblem:
		q.Kind, q.Pointer = ErrorParameter, m.Rest>>24
	}
}

// class sorts the kinds. RFC 9293 names ports, protocols and, over IPv6, prohibitions
// (codes 1, 5 and 6) as hard, and a parameter problem of any code as soft. It says nothing
// of the prohibitions of IPv4, codes 9, 10 and 13; they mean the same and are hard, as on
// Linux.
func (q *Quote) class(is4 bool) ErrorClass {
	switch q.Kind {
	case ErrorTooBig:
		return ErrorMTU
	case ErrorPort, ErrorAdmin:
		return ErrorHard
	case ErrorProtocol:
		if is4 {
			return ErrorHard
		}
	}
	return ErrorSoft
}

// kind4 sorts the codes of RFC 792 and RFC 1122, section 3.2.2.1.
func kind4(code uint8) ErrorKind {
	switch code {
	case code4Net, 5, 6, 11: // source route failed, network unknown, not for this TOS
		return ErrorNet
	case code4Protocol:
		return ErrorProtocol
	case code4Port:
		return ErrorPort
	case code4TooBig:
		return ErrorTooBig
	case 9, 10, code4Admin: // network, host, communication prohibited
		return ErrorAdmin
	}
	return ErrorHost
}

func (q *Quote) classify6(m *Message) {
	switch m.Type {
	case icmp6Unreachable:
		q.Kind = kind6(m.Code)
	case icmp6TooBig:
		q.Kind, q.MTU = ErrorTooBig, int(min(m.Rest, math.MaxInt32))
	case icmp6TimeExceeded:
		q.Kind = ErrorTimeExceeded
	case icmp6ParamProblem:
		q.Kind, q.Pointer = ErrorParameter, m.Rest
		if m.Code == code6UnknownNextHeader {
			q.Kind = ErrorProtocol // RFC 5461, section 2.1
		}
	default:
		if m.Type < icmp6FirstInfo {
			q.Kind = ErrorOther
		}
	}
}

// kind6 sorts the codes of RFC 4443, section 3.1.
func kind6(code uint8) ErrorKind {
	switch code {
	case code6Net:
		return ErrorNet
	case code6Port:
		return ErrorPort
	case code6Admin, 5, 6: // also source address policy and reject route
		return ErrorAdmin
	}
	return ErrorHost
}

// quotedPacket is the body without the extensions that RFC 4884 lets a router append:
// the message then says how long the quote is, in words of 4 bytes over IPv4 and of 8
// over IPv6.
func quotedPacket(is4 bool, m *Message) []byte {
	n := 0
	switch {
	case is4: // unreachable, time exceeded and parameter problem alike
		n = int(m.Rest>>16&0xff) * 4
	case m.Type == icmp6Unreachable || m.Type == icmp6TimeExceeded:
		n = int(m.Rest>>24) * 8
	}
	if n == 0 || n > len(m.Body) {
		return m.Body
	}
	return m.Body[:n]
}

// parse4 reads a quoted IPv4 packet. It ends before its length says, and its checksum
// may be of before a router changed the TTL: neither is looked at.
func (q *Quote) parse4(b []byte) bool {
	if len(b) < HeaderLen4 || b[0]>>4 != 4 {
		return false
	}
	q.Header.read4(b)
	if q.Header.Len < HeaderLen4 || q.Header.FragmentOffset != 0 {
		return false
	}
	return q.take(b, int(binary.BigEndian.Uint16(b[off4Length:])))
}

func (q *Quote) parse6(b []byte) bool {
	if len(b) < HeaderLen6 || b[0]>>4 != 6 {
		return false
	}
	q.Header.read6(b)
	drop := q.Header.walkExtensions(b)
	if drop == DropFragment && q.Header.FragmentOffset == 0 {
		q.Header.enterFragment(b) // the first piece has the ports
		drop = q.Header.walkExtensions(b)
	}
	if drop != DropNone {
		return false
	}
	return q.take(b, HeaderLen6+int(binary.BigEndian.Uint16(b[off6Length:])))
}

// take sets Transport to what b holds of the quoted payload, end being where the whole
// packet ended.
func (q *Quote) take(b []byte, end int) bool {
	q.Length = end
	end = min(end, len(b))
	if end-q.Header.Len < quotedTransport {
		return false
	}
	q.Transport = b[q.Header.Len:end:end]
	return true
}
