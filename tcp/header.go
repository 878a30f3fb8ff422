package tcp

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/a644562b/portico/internal/buffer"
)

// HeaderLen is the length in bytes of a TCP header without options (RFC 9293,
// section 3.1); MaxHeaderLen that with the most options it can carry.
const (
	HeaderLen    = 20
	MaxHeaderLen = 60
)

// Where the fields of the header stand (figure 1).
const (
	offSrcPort  = 0
	offDstPort  = 2
	offSeq      = 4
	offAck      = 8
	offDataOff  = 12
	offFlags    = 13
	offWindow   = 14
	OffChecksum = 16 // exported for whoever fills in the checksum
	offUrgent   = 18
)

// Errors of Parse. The bytes came from the wire: the segment is dropped and
// counted, and nobody is told.
var (
	ErrShort      = errors.New("tcp: segment shorter than its header")
	ErrDataOffset = errors.New("tcp: data offset below 5 or beyond the segment")
)

// Flags are the control bits of a segment.
type Flags uint8

const (
	FIN Flags = 1 << iota // no more data from the sender; takes one sequence number
	SYN                   // synchronize sequence numbers; takes one
	RST                   // reset the connection
	PSH                   // push
	ACK                   // the acknowledgment field counts
	URG                   // the urgent pointer counts
	ECE                   // ECN echo (RFC 3168)
	CWR                   // congestion window reduced (RFC 3168)
)

// Has reports whether all of the bits of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

var flagNames = [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// String lists the bits by name, "SYN,ACK" for one, in the order people say them.
func (f Flags) String() string {
	if f == 0 {
		return "none"
	}
	var names []string
	for _, i := range [...]int{1, 0, 2, 3, 4, 5, 6, 7} {
		if f&(1<<i) != 0 {
			names = append(names, flagNames[i])
		}
	}
	return strings.Join(names, ",")
}

// MarshalText is String, for JSON.
func (f Flags) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Segment is a TCP segment or a super-segment: up to 64 KiB that travels with one
// header and stands for a run of ordinary segments.
type Segment struct {
	SrcPort, DstPort uint16
	Seq, Ack         Seq
	Flags            Flags
	Window           uint16 // as on the wire, not scaled
	Urgent           uint16
	Options          Options
	Payload          []byte
	// GSOSize is the payload in bytes of each ordinary segment that a super-segment
	// stands for; 0 for an ordinary segment.
	GSOSize int
	// CE: the packet that it came in had met congestion (RFC 3168, section 5).
	CE bool
	// ECT: it was ECN-capable, CE or not.
	ECT bool
	// Again: one to be sent has numbers that have been sent before, a retransmission as
	// RFC 4022 counts them.
	Again bool
	// Block is the memory that Payload lies in, when the TCB may have it. A TCB that
	// takes it sets Block to nil and releases it when the payload has been read; one
	// that does not has copied what it needs.
	Block *buffer.Block
}

// Len is SEG.LEN: the data and one each for SYN and FIN.
func (s *Segment) Len() int {
	n := len(s.Payload)
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// Parse reads the segment in b, which is the whole payload of an IP packet. It does
// not verify the checksum. seg.Payload is a slice of b. Options of a broken length
// end the list of options and leave the segment valid (MUST-7).
func Parse(b []byte, seg *Segment) error {
	if len(b) < HeaderLen {
		return ErrShort
	}
	hlen := int(b[offDataOff]>>4) * 4
	if hlen < HeaderLen || hlen > len(b) {
		return ErrDataOffset
	}
	*seg = Segment{
		SrcPort: binary.BigEndian.Uint16(b[offSrcPort:]),
		DstPort: binary.BigEndian.Uint16(b[offDstPort:]),
		Seq:     Seq(binary.BigEndian.Uint32(b[offSeq:])),
		Ack:     Seq(binary.BigEndian.Uint32(b[offAck:])),
		Flags:   Flags(b[offFlags]),
		Window:  binary.BigEndian.Uint16(b[offWindow:]),
		Urgent:  binary.BigEndian.Uint16(b[offUrgent:]),
		Payload: b[hlen:],
	}
	seg.Options.parse(b[HeaderLen:hlen])
	return nil
}

// AppendHeader appends the header of the segment, options included, to b. The
// checksum field is zero: it covers the pseudo-header, which is the IP layer's to
// know.
func (s *Segment) AppendHeader(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, HeaderLen)...)
	h := b[start:]
	binary.BigEndian.PutUint16(h[offSrcPort:], s.SrcPort)
	binary.BigEndian.PutUint16(h[offDstPort:], s.DstPort)
	binary.BigEndian.PutUint32(h[offSeq:], uint32(s.Seq))
	binary.BigEndian.PutUint32(h[offAck:], uint32(s.Ack))
	h[offFlags] = byte(s.Flags)
	binary.BigEndian.PutUint16(h[offWindow:], s.Window)
	binary.BigEndian.PutUint16(h[offUrgent:], s.Urgent)
	b = s.Options.append(b)
	b[start+offDataOff] = byte((len(b)-start)/4) << 4
	return b
}
