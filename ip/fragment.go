package ip

import (
	"encoding/binary"
)

// fragmentHeaderLen is the length in bytes of the IPv6 fragment header.
const fragmentHeaderLen = 8

// fragmentHeader reads an IPv6 fragment header (RFC 8200, section 4.5). An atomic
// fragment, all of a packet in one, is taken as if the header were not there, on its
// own and never with others of the same identification (RFC 6946).
func (h *Header) fragmentHeader(b []byte) (n int, drop Drop) {
	if len(b) < fragmentHeaderLen {
		h.Fault = h.Len
		return 0, DropExtension
	}
	field := binary.BigEndian.Uint16(b[2:])
	h.FragmentOffset = int(field &^ 7) // 13 bits of units of 8 bytes, in place
	h.MF = field&1 != 0
	h.Fragmented = true
	if h.MF || h.FragmentOffset != 0 {
		h.ID = binary.BigEndian.Uint32(b[4:])
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

// Fragments cuts a datagram that is longer than its path takes. The pieces have one
// identification, which nobody can guess and which no other datagram to the same
// destination has had for long (Idents); over IPv4 they are without DF.
type Fragments struct {
	header Header
	length int // bytes of payload
	step   int // bytes in each piece but the last
	at     int // where the next piece starts
}

// Fragment returns the pieces of a datagram with header h, without options or extension
// headers, and a payload of payloadLen bytes, none of them longer than mtu bytes. h.ID is
// the identification. It is false when h asks not to be cut, when the datagram is longer
// than the family carries, or when nothing fits the MTU.
func Fragment(h *Header, payloadLen, mtu int) (Fragments, bool) {
	f := Fragments{header: *h, length: payloadLen}
	longest, header := MaxPayload4, HeaderLen4
	if !h.Is4() {
		longest, header = MaxPayload6, HeaderLen6+fragmentHeaderLen
	}
	f.step = (mtu - header) &^ 7
	return f, !h.DF && payloadLen <= longest && f.step > 0
}

// Next appends the header of the next piece to b, which it returns as header, and says
// which bytes of the payload follow it. ok is false when there are no more.
func (f *Fragments) Next(b []byte) (header []byte, from, to int, ok bool) {
	if f.at >= f.length {
		return b, f.length, f.length, false
	}
	from, to = f.at, min(f.at+f.step, f.length)
	f.at = to
	h := f.header
	h.FragmentOffset, h.MF = from, to < f.length
	if h.Is4() {
		return h.Append(b, to-from), from, to, true
	}
	h.Protocol = extFragment
	b = h.Append(b, fragmentHeaderLen+to-from)
	field := uint16(from)
	if h.MF {
		field |= 1
	}
	b = append(b, byte(f.header.Protocol), 0)
	b = binary.BigEndian.AppendUint16(b, field)
	b = binary.BigEndian.AppendUint32(b, h.ID)
	return b, from, to, true
}
