package gso

import (
	"encoding/binary"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
)

// Extension headers that may stand in front of TCP and UDP (RFC 8200, section 4).
const (
	extHopByHop = 0
	extRouting  = 43
	extDestOpts = 60
	// ip6SegmentsLeft counts from the start of a routing header.
	ip6SegmentsLeft = 3
)

// ip4FragmentBits are MF and the fragment offset.
const ip4FragmentBits = 0x3fff

// layout is where things stand in a super-segment, and what all its pieces share.
type layout struct {
	is4                bool
	proto              uint8
	transport, payload int // where they start, in bytes
	pseudo             uint16
	noChecksum         bool
	partial            bool // the pieces get the sum of their pseudo-header only
}

// part is one piece's place in the super-segment.
type part struct {
	index  int // how many packets are before it
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
	case kind == link.GSOTCP4 && l.is4 && l.proto == wire.ProtoTCP, kind == link.GSOTCP6 && !l.is4 && l.proto == wire.ProtoTCP:
		if len(b) < l.transport+wire.TCPHeaderLen {
			return l, false
		}
		n := int(b[l.transport+wire.TCPDataOffset]>>4) * 4
		l.payload = l.transport + n
		return l, n >= wire.TCPHeaderLen && l.payload <= len(b)
	case kind == link.GSOUDP && l.proto == wire.ProtoUDP:
		l.payload = l.transport + wire.UDPHeaderLen
		return l, l.payload <= len(b)
	}
	return l, false
}

func parse4(b []byte) (layout, bool) {
	n := int(b[0]&0xf) * 4
	if n < wire.IP4HeaderLen || len(b) < n || wire.Get16(b[wire.IP4Fragment:])&ip4FragmentBits != 0 {
		return layout{}, false
	}
	return layout{is4: true, proto: b[wire.IP4Protocol], transport: n}, true
}

func parse6(b []byte) (layout, bool) {
	if len(b) < wire.IP6HeaderLen {
		return layout{}, false
	}
	next, at := b[wire.IP6NextHeader], wire.IP6HeaderLen
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
	return n-wire.IP6HeaderLen <= 0xffff
}

// checksumAt is where the transport checksum stands.
func (l *layout) checksumAt() int {
	if l.proto == wire.ProtoTCP {
		return l.transport + wire.TCPChecksum
	}
	return l.transport + wire.UDPChecksum
}

func (l *layout) checksumIsZero(b []byte) bool { return wire.Get16(b[l.checksumAt():]) == 0 }

// pseudoHeader is the sum of the pseudo-header without its length, which differs
// from piece to piece (RFC 9293, section 3.1; RFC 8200, section 8.1).
func pseudoHeader(header []byte, l layout) uint16 {
	if l.is4 {
		return checksum.Sum(uint16(l.proto), header[wire.IP4Addrs:wire.IP4HeaderLen])
	}
	return checksum.Sum(uint16(l.proto), header[wire.IP6Addrs:wire.IP6HeaderLen])
}

// patch turns p, the headers of the whole and the payload of one piece, into that
// piece.
func (l *layout) patch(p []byte, at part) {
	if l.is4 {
		wire.Put16(p[wire.IP4TotalLen:], uint16(len(p)))
		wire.Put16(p[wire.IP4ID:], wire.Get16(p[wire.IP4ID:])+uint16(at.index))
		wire.Put16(p[wire.IP4Checksum:], 0)
		wire.Put16(p[wire.IP4Checksum:], ^checksum.Sum(0, p[:l.transport]))
	} else {
		wire.Put16(p[wire.IP6PayloadLen:], uint16(len(p)-wire.IP6HeaderLen))
	}
	t := p[l.transport:]
	if l.proto == wire.ProtoTCP {
		patchTCP(t, at)
	} else {
		wire.Put16(t[wire.UDPLength:], uint16(len(t)))
	}
	if l.noChecksum {
		return
	}
	field := p[l.checksumAt():]
	pseudo := checksum.Combine(l.pseudo, uint16(len(t)))
	if l.partial {
		wire.Put16(field, pseudo)
		return
	}
	wire.Put16(field, 0)
	sum := ^checksum.Sum(pseudo, t)
	if l.proto == wire.ProtoUDP {
		sum = udpNonZero(sum)
	}
	wire.Put16(field, sum)
}

func patchTCP(t []byte, at part) {
	seq := binary.BigEndian.Uint32(t[wire.TCPSeq:])
	binary.BigEndian.PutUint32(t[wire.TCPSeq:], seq+uint32(at.offset))
	if at.index > 0 {
		t[wire.TCPFlags] &^= wire.FlagCWR
	}
	if !at.last {
		t[wire.TCPFlags] &^= wire.FlagFIN | wire.FlagPSH
	}
}

// udpNonZero is sum as UDP writes it: 0 would say that there is none (RFC 768).
func udpNonZero(sum uint16) uint16 {
	if sum == 0 {
		return 0xffff
	}
	return sum
}
