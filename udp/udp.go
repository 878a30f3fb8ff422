// Package udp is the UDP header and its rules, sans I/O: RFC 768, RFC 1122,
// section 4.1, RFC 6935 (no zero checksum over IPv6) and the tolerance of RFC 9868
// towards bytes after the datagram.
//
// It refuses to know sockets and ports in use (that is the stack's), UDP options,
// jumbograms (RFC 2675) and tunnels that would want a zero checksum over IPv6
// (RFC 6936).
package udp

import (
	"encoding/binary"
	"net/netip"

	"github.com/a644562b/portico/internal/checksum"
)

// HeaderLen is the length in bytes of the header.
const HeaderLen = 8

// The most payload in bytes that a datagram can carry: MaxPayload by its own length
// field, which is what fits over IPv6, and MaxPayload4 by the length field of IPv4.
const (
	MaxPayload  = 65535 - HeaderLen
	MaxPayload4 = 65535 - 20 - HeaderLen
)

// Where the fields of the header stand (RFC 768).
const (
	offSrcPort = 0
	offDstPort = 2
	offLength  = 4
	// OffChecksum is exported for whoever leaves the checksum to the device.
	OffChecksum = 6
)

// protocol is UDP's number in the pseudo-header.
const protocol = 17

// Header is the header of a datagram as it was on the wire.
type Header struct {
	SrcPort, DstPort uint16
	// Length is that of header and payload in bytes, at least HeaderLen.
	Length int
	// Checksum is 0 when the sender made none.
	Checksum uint16
}

// Parse reads the datagram in b, which is the whole payload of an IP packet from src
// to dst. What follows the datagram's own length is cut off (RFC 9868). A checksum of
// 0 is accepted over IPv4 (RFC 768) and refused over IPv6 (RFC 6935). verify says
// whether to sum the bytes: false when the device vouches for them. The payload is a
// slice of b, and nil with any drop other than DropNone.
func Parse(b []byte, src, dst netip.Addr, verify bool) (h Header, payload []byte, drop Drop) {
	if len(b) < HeaderLen {
		return h, nil, DropShort
	}
	h = Header{
		SrcPort:  binary.BigEndian.Uint16(b[offSrcPort:]),
		DstPort:  binary.BigEndian.Uint16(b[offDstPort:]),
		Length:   int(binary.BigEndian.Uint16(b[offLength:])),
		Checksum: binary.BigEndian.Uint16(b[OffChecksum:]),
	}
	if h.Length < HeaderLen || h.Length > len(b) {
		return h, nil, DropLength
	}
	b = b[:h.Length:h.Length]
	if h.Checksum == 0 {
		if !dst.Is4() {
			return h, nil, DropZeroChecksum
		}
	} else if verify && checksum.Sum(checksum.PseudoHeader(src, dst, protocol, h.Length), b) != checksum.Valid {
		return h, nil, DropChecksum
	}
	return h, b[HeaderLen:], DropNone
}

// Append appends a datagram to b: the header with its checksum and the payload, whose
// parts are joined in order. See AppendHeader for the limits.
func Append(b []byte, srcPort, dstPort uint16, src, dst netip.Addr, payload ...[]byte) []byte {
	b = AppendHeader(b, srcPort, dstPort, src, dst, payload...)
	for _, p := range payload {
		b = append(b, p...)
	}
	return b
}

// AppendHeader appends the header of a datagram that carries the payload, checksum
// included, and not the payload itself, for who gathers it when writing. The caller keeps
// the payload within MaxPayload4 or MaxPayload; beyond MaxPayload the length field sticks
// at 65535, and the receiver will drop the datagram.
func AppendHeader(b []byte, srcPort, dstPort uint16, src, dst netip.Addr, payload ...[]byte) []byte {
	n := 0
	for _, p := range payload {
		n += len(p)
	}
	start := len(b)
	b = AppendUnsummed(b, srcPort, dstPort, n)
	h := b[start:]
	sum := checksum.Sum(checksum.PseudoHeader(src, dst, protocol, lengthOf(n)), h)
	binary.BigEndian.PutUint16(h[OffChecksum:], Complete(checksum.SumSlices(sum, payload...)))
	return b
}

// AppendUnsummed appends the header of a datagram with n bytes of payload and 0 for its
// checksum, for who sums, or leaves it to the device. The limits are those of AppendHeader.
func AppendUnsummed(b []byte, srcPort, dstPort uint16, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, srcPort)
	b = binary.BigEndian.AppendUint16(b, dstPort)
	b = binary.BigEndian.AppendUint16(b, uint16(lengthOf(n)))
	return append(b, 0, 0)
}

// Complete makes the checksum to send of the sum of pseudo-header, header and payload: its
// complement, of which 0 is sent as 0xffff (RFC 768).
func Complete(sum uint16) uint16 {
	if sum = ^sum; sum == 0 {
		return 0xffff
	}
	return sum
}

// lengthOf is the length field for n bytes of payload.
func lengthOf(n int) int { return min(HeaderLen+n, HeaderLen+MaxPayload) }
