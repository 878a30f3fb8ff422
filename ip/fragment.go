package ip

import "encoding/binary"

// This file is the place of fragmentation and reassembly. Today a fragment is
// recognised and dropped as DropFragment, in IPv4 by its MF and offset, in IPv6 by its
// fragment header, and nothing is sent in fragments.
//
// What will live here: reassembly by hole list (RFC 815) with a bound on memory and a
// timeout of 60 s (RFC 8200, section 4.5; RFC 1122, section 3.3.2), overlapping IPv6
// fragments ending their datagram (RFC 5722), totals beyond 65535 bytes refused, header
// chains cut by the first fragment refused (RFC 7112), ECN kept across reassembly
// (RFC 3168, section 5.3), and sending in fragments with identifications nobody can
// guess (RFC 7739).

// fragmentHeaderLen is the length in bytes of the IPv6 fragment header.
const fragmentHeaderLen = 8

// fragmentHeader reads an IPv6 fragment header (RFC 8200, section 4.5). An atomic
// fragment, all of a packet in one, is taken as if the header were not there, on its
// own and never with others of the same identification (RFC 6946).
func (h *Header) fragmentHeader(b []byte) (n int, drop Drop) {
	if len(b) < fragmentHeaderLen {
		return 0, DropExtension
	}
	field := binary.BigEndian.Uint16(b[2:])
	h.FragmentOffset = int(field &^ 7) // 13 bits of units of 8 bytes, in place
	h.MF = field&1 != 0
	if h.MF || h.FragmentOffset != 0 {
		return 0, DropFragment
	}
	return fragmentHeaderLen, DropNone
}

// enterFragment steps over the fragment header that the walk along the extension headers
// stopped at.
func (h *Header) enterFragment(b []byte) {
	h.ProtocolOffset = h.Len
	h.Protocol = Protocol(b[h.Len])
	h.Len += fragmentHeaderLen
}
