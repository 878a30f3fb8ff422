package gso

import (
	"encoding/binary"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/link"
)

// Protocol numbers and extension headers that may stand in front of TCP and UDP
// (RFC 8200, section 4).
const (
	protoTCP     = 6
	protoUDP     = 17
	extHopByHop  = 0
	extRouting   = 43
	extDestOpts  = 60
	ip4HeaderLen = 20
	ip6HeaderLen = 40
	tcpHeaderLen = 20
	udpHeaderLen = 8
)

// Where the fields stand that change from piece to piece.
const (
	ip4TotalLen   = 2
	ip4ID         = 4
	ip4Fragment   = 6
	ip4Protocol   = 9
	ip4Checksum   = 10
	ip4Addrs      = 12
	ip6PayloadLen = 4
	ip6NextHeader = 6
	ip6Addrs      = 8
	// ip6SegmentsLeft counts from the start of a routing header.
	ip6SegmentsLeft = 3
	tcpSeq          = 4
	tcpDataOffset   = 12
	tcpFlags        = 13
	tcpChecksum     = 16
	udpLength       = 4
	udpChecksum     = 6
)

const (
	flagFIN = 0x01
	flagPSH = 0x08
	flagCWR = 0x80

	// ip4FragmentBits are MF and the fragment offset.
	ip4FragmentBits = 0x3fff
)

// layout is where things stand in a super-segment, and what all its pieces share.
type layout struct {
	is4                bool
	proto              uint8
	transport, payload int // where they start, in bytes
	pseudo             uint16
	noChecksum         bool
}

// part is one piece's place in the super-segment.
type part struct {
	index  int
	offset int // of its payload from the payload's start, in bytes
	last   bool
}

// parse finds the headers of super-segment b of the kind that the frame claims.
// It does not trust Offload.HeaderLen: kernels have been seen to get it wrong on
// forwarded traffic.
func parse(b []byte, kind link.GSO) (l layout, ok bool) {
	if len(b) == 0 {
		return l, false
	}
	switch b[0] >> 4 {
	case 4:
		l, ok = parse4(b)
	case 6:
		l, ok = parse6(b)
	}
	if !ok {
		return l, false
	}
	switch {
	case kind == link.GSOTCP4 && l.is4 && l.proto == protoTCP, kind == link.GSOTCP6 && !l.is4 && l.proto == protoTCP:
		if len(b) < l.transport+tcpHeaderLen {
			return l, false
		}
		n := int(b[l.transport+tcpDataOffset]>>4) * 4
		l.payload = l.transport + n
		return l, n >= tcpHeaderLen && l.payload <= len(b)
	case kind == link.GSOUDP && l.proto == protoUDP:
		l.payload = l.transport + udpHeaderLen
		return l, l.payload <= len(b)
	}
	return l, false
}

func parse4(b []byte) (layout, bool) {
	n := int(b[0]&0xf) * 4
	if n < ip4HeaderLen || len(b) < n || get16(b[ip4Fragment:])&ip4FragmentBits != 0 {
		return layout{}, false
	}
	return layout{is4: true, proto: b[ip4Protocol], transport: n}, true
}

func parse6(b []byte) (layout, bool) {
	if len(b) < ip6HeaderLen {
		return layout{}, false
	}
	next, at := b[ip6NextHeader], ip6HeaderLen
	for next == extHopByHop || next == extRouting || next == extDestOpts {
		if len(b) < at+8 {
			return layout{}, false
		}
		if next == extRouting && b[at+ip6SegmentsLeft] != 0 {
			// The destination that the pseudo-header names is not in the header yet.
			return layout{}, false
		}
		next, at = b[at], at+8+int(b[at+1])*8
	}
	return layout{proto: next, transport: at}, at <= len(b)
}

// fits reports whether a packet of n bytes in all can say its length.
func (l *layout) fits(n int) bool {
	if l.is4 {
		return n <= 0xffff
	}
	return n-ip6HeaderLen <= 0xffff
}

// checksumAt is where the transport checksum stands.
func (l *layout) checksumAt() int {
	if l.proto == protoTCP {
		return l.transport + tcpChecksum
	}
	return l.transport + udpChecksum
}

func (l *layout) checksumIsZero(b []byte) bool { return get16(b[l.checksumAt():]) == 0 }

// pseudoHeader is the sum of the pseudo-header without its length, which differs
// from piece to piece (RFC 9293, section 3.1; RFC 8200, section 8.1).
func pseudoHeader(header []byte, l layout) uint16 {
	if l.is4 {
		return checksum.Sum(uint16(l.proto), header[ip4Addrs:ip4HeaderLen])
	}
	return checksum.Sum(uint16(l.proto), header[ip6Addrs:ip6HeaderLen])
}

// patch turns p, the headers of the whole and the payload of one piece, into that
// piece.
func (l *layout) patch(p []byte, at part) {
	if l.is4 {
		put16(p[ip4TotalLen:], uint16(len(p)))
		put16(p[ip4ID:], get16(p[ip4ID:])+uint16(at.index))
		put16(p[ip4Checksum:], 0)
		put16(p[ip4Checksum:], ^checksum.Sum(0, p[:l.transport]))
	} else {
		put16(p[ip6PayloadLen:], uint16(len(p)-ip6HeaderLen))
	}
	t := p[l.transport:]
	if l.proto == protoTCP {
		patchTCP(t, at)
	} else {
		put16(t[udpLength:], uint16(len(t)))
	}
	if l.noChecksum {
		return
	}
	field := p[l.checksumAt():]
	put16(field, 0)
	sum := ^checksum.Sum(checksum.Combine(l.pseudo, uint16(len(t))), t)
	if l.proto == protoUDP {
		sum = udpNonZero(sum)
	}
	put16(field, sum)
}

func patchTCP(t []byte, at part) {
	seq := binary.BigEndian.Uint32(t[tcpSeq:])
	binary.BigEndian.PutUint32(t[tcpSeq:], seq+uint32(at.offset))
	if at.index > 0 {
		t[tcpFlags] &^= flagCWR
	}
	if !at.last {
		t[tcpFlags] &^= flagFIN | flagPSH
	}
}

// udpNonZero is sum as UDP writes it: 0 would say that there is none (RFC 768).
func udpNonZero(sum uint16) uint16 {
	if sum == 0 {
		return 0xffff
	}
	return sum
}

func get16(b []byte) uint16    { return binary.BigEndian.Uint16(b) }
func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }
