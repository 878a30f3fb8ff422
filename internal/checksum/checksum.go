// Package checksum is the Internet checksum of RFC 1071, the one that IPv4 headers,
// ICMP, TCP and UDP share, and the pseudo-headers of RFC 9293, section 3.1, and
// RFC 8200, section 8.1, which the transport checksums cover too.
//
// A sum here is the one's-complement sum of 16-bit big-endian words, folded to 16
// bits and not inverted. What stands in a packet is its complement, ^sum; a packet
// with its checksum in place sums to Valid. A sum is 0 only when every byte was 0.
//
// The package knows nothing of where a checksum stands in a header, nor of UDP's rule
// that 0 means none.
package checksum

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/a644562b/portico/internal/race"
)

// Valid is the sum over a range of bytes whose checksum is in place and right.
const Valid = 0xffff

// vectorFrom is the length in bytes from which vector instructions are faster, by
// BenchmarkSumByWay; but for 128 bytes and just above, where it is up to 4 ns slower.
const vectorFrom = 64

// Sum adds the sum of b to initial. The first byte of b counts as the high half of
// a word, and an odd last byte as a high half followed by 0 (RFC 1071, section 1).
func Sum(initial uint16, b []byte) uint16 {
	// The sum does not depend on the byte order that the words are added in, as
	// long as the result is read in the same (RFC 1071, section 2 (B)).
	sum := uint64(bits.ReverseBytes16(initial))
	// The race detector does not see what assembly reads.
	if hasVector && len(b) >= vectorFrom && !race.Enabled {
		sum = addVector(sum, b)
	} else {
		sum = addWords(sum, b)
	}
	return bits.ReverseBytes16(fold(sum))
}

// addWords adds to sum, end-around carry included, the little-endian words of b. It is
// what Sum does where there is nothing faster, and for what is short.
func addWords(sum uint64, b []byte) uint64 {
	// Eight bytes are four words, whose carries come back around when folding. So add
	// whole registers as they lie in memory.
	var c uint64
	for len(b) >= 128 {
		p := (*[128]byte)(b)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[0:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[8:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[16:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[24:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[32:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[40:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[48:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[56:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[64:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[72:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[80:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[88:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[96:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[104:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[112:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(p[120:]), c)
		b = b[128:]
	}
	for len(b) >= 8 {
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	sum, c = bits.Add64(sum, tail(b), c)
	// The carry may itself carry once: a sum of all ones and a carry.
	sum, c = bits.Add64(sum, 0, c)
	return sum + c
}

// tail is the last 0 to 7 bytes as a little-endian number.
func tail(b []byte) (v uint64) {
	if len(b) >= 4 {
		v = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		switch len(b) {
		case 3:
			return v | uint64(b[0])<<32 | uint64(b[1])<<40 | uint64(b[2])<<48
		case 2:
			return v | uint64(b[0])<<32 | uint64(b[1])<<40
		case 1:
			return v | uint64(b[0])<<32
		}
		return v
	}
	switch len(b) {
	case 3:
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 2:
		return uint64(b[0]) | uint64(b[1])<<8
	case 1:
		return uint64(b[0])
	}
	return 0
}

// fold adds the four words of sum, end-around carry included.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// SumSlices adds to initial the sum of the parts as if they stood one behind the
// other. Parts of odd length are allowed: what follows one starts in the low half of
// a word, where its sum counts with the bytes swapped (RFC 1071, section 2 (B)).
func SumSlices(initial uint16, parts ...[]byte) uint16 {
	sum, odd := initial, false
	for _, p := range parts {
		if odd {
			sum = Combine(sum, bits.ReverseBytes16(Sum(0, p)))
		} else {
			sum = Sum(sum, p)
		}
		odd = odd != (len(p)%2 != 0)
	}
	return sum
}

// Combine is the one's-complement sum of two sums. The bytes behind b must start at an
// even offset from those behind a.
func Combine(a, b uint16) uint16 {
	sum := uint32(a) + uint32(b)
	return uint16(sum>>16 + sum)
}

// PseudoHeader is the sum of the pseudo-header of a transport segment of length bytes,
// header included: that of RFC 9293, section 3.1, when both addresses are IPv4, and
// else that of RFC 8200, section 8.1. Zones do not count.
func PseudoHeader(src, dst netip.Addr, proto uint8, length int) uint16 {
	// The numbers are big-endian here, so that the fold gives the sum as it is.
	rest := uint64(proto) + uint64(uint32(length))
	if src.Is4() && dst.Is4() {
		s, d := src.As4(), dst.As4()
		return fold(rest + uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:])))
	}
	s, d := src.As16(), dst.As16()
	sum, c := bits.Add64(rest, binary.BigEndian.Uint64(s[:8]), 0)
	sum, c = bits.Add64(sum, binary.BigEndian.Uint64(s[8:]), c)
	sum, c = bits.Add64(sum, binary.BigEndian.Uint64(d[:8]), c)
	sum, c = bits.Add64(sum, binary.BigEndian.Uint64(d[8:]), c)
	sum, c = bits.Add64(sum, 0, c)
	return fold(sum + c)
}
