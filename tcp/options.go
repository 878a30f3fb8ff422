package tcp

import "encoding/binary"

// Kinds of options (RFC 9293, section 3.1; RFC 7323; RFC 2018).
const (
	optEOL           = 0
	optNOP           = 1
	optMSS           = 2
	optWScale        = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
	optFastOpen      = 34

	lenMSS           = 4
	lenWScale        = 3
	lenSACKPermitted = 2
	lenTimestamps    = 10
	lenSACKBlock     = 8

	// lenTimestampsPadded is what timestamps cost in every segment.
	lenTimestampsPadded = 12

	maxOptions    = MaxHeaderLen - HeaderLen
	maxSACKBlocks = 4
	maxWScale     = 14 // RFC 7323, section 2.3
)

// SACKBlock is a range [Start, End) that the receiver holds beyond its cumulative
// acknowledgment (RFC 2018).
type SACKBlock struct {
	Start, End Seq
}

// Options are the options of a segment that the house understands.
type Options struct {
	MSS           uint16 // largest segment that the sender takes, in bytes; 0: absent
	SACKPermitted bool
	HasWScale     bool
	HasTimestamps bool
	WScale        uint8  // as on the wire, may exceed 14
	TSVal, TSEcr  uint32 // RFC 7323, section 3
	SACKBlocks    uint8  // how many of SACK count
	SACK          [maxSACKBlocks]SACKBlock
	HasFastOpen   bool // RFC 7413, in SYNs only
	FastOpen      FastOpenCookie
}

// parse reads a list of options. Unknown kinds are skipped by their length
// (MUST-6); a length below 2 or past the end ends the list (MUST-7); an option of a
// known kind and a wrong length is skipped like an unknown one.
func (o *Options) parse(b []byte) {
	for len(b) > 0 {
		kind := b[0]
		if kind == optEOL {
			return
		}
		if kind == optNOP {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		o.parseOne(kind, b[2:b[1]])
		b = b[b[1]:]
	}
}

// parseOne takes one option, value being what follows its length.
func (o *Options) parseOne(kind byte, value []byte) {
	switch n := len(value) + 2; {
	case kind == optMSS && n == lenMSS:
		o.MSS = binary.BigEndian.Uint16(value)
	case kind == optWScale && n == lenWScale:
		o.HasWScale, o.WScale = true, value[0]
	case kind == optSACKPermitted && n == lenSACKPermitted:
		o.SACKPermitted = true
	case kind == optTimestamps && n == lenTimestamps:
		o.HasTimestamps = true
		o.TSVal = binary.BigEndian.Uint32(value)
		o.TSEcr = binary.BigEndian.Uint32(value[4:])
	case kind == optFastOpen:
		if c, ok := cookieOf(value); ok {
			o.HasFastOpen, o.FastOpen = true, c
		}
	case kind == optSACK && len(value)%lenSACKBlock == 0:
		o.SACKBlocks = 0
		for ; len(value) > 0 && o.SACKBlocks < maxSACKBlocks; value = value[lenSACKBlock:] {
			o.SACK[o.SACKBlocks] = SACKBlock{
				Start: Seq(binary.BigEndian.Uint32(value)),
				End:   Seq(binary.BigEndian.Uint32(value[4:])),
			}
			o.SACKBlocks++
		}
	}
}

// append writes the options in the order in which Linux writes them, so that
// nothing on the path meets an order that it has not met before: MSS, SACK
// permitted (in front of the timestamps, in the place of their padding),
// timestamps, NOP and window scale, Fast Open, SACK blocks. What is written is a multiple of
// four bytes and never exceeds 40: SACK blocks that do not fit are left out.
func (o *Options) append(b []byte) []byte {
	start := len(b)
	if o.MSS != 0 {
		b = append(b, optMSS, lenMSS, byte(o.MSS>>8), byte(o.MSS))
	}
	switch {
	case o.SACKPermitted && o.HasTimestamps:
		b = append(b, optSACKPermitted, lenSACKPermitted)
	case o.SACKPermitted:
		b = append(b, optNOP, optNOP, optSACKPermitted, lenSACKPermitted)
	case o.HasTimestamps:
		b = append(b, optNOP, optNOP)
	}
	if o.HasTimestamps {
		b = append(b, optTimestamps, lenTimestamps)
		b = binary.BigEndian.AppendUint32(b, o.TSVal)
		b = binary.BigEndian.AppendUint32(b, o.TSEcr)
	}
	if o.HasWScale {
		b = append(b, optNOP, optWScale, lenWScale, o.WScale)
	}
	if o.HasFastOpen {
		b = append(b, optFastOpen, 2+o.FastOpen.n)
		b = append(b, o.FastOpen.bytes()...)
		for (len(b)-start)%4 != 0 {
			b = append(b, optNOP)
		}
	}
	room := (maxOptions - (len(b) - start) - 4) / lenSACKBlock
	if n := min(int(o.SACKBlocks), room); n > 0 {
		b = append(b, optNOP, optNOP, optSACK, byte(2+n*lenSACKBlock))
		for _, blk := range o.SACK[:n] {
			b = binary.BigEndian.AppendUint32(b, uint32(blk.Start))
			b = binary.BigEndian.AppendUint32(b, uint32(blk.End))
		}
	}
	return b
}

// len is how many bytes append writes.
func (o *Options) len() int {
	n := 0
	if o.MSS != 0 {
		n += lenMSS
	}
	if o.HasTimestamps {
		n += lenTimestampsPadded
	} else if o.SACKPermitted {
		n += 4
	}
	if o.HasWScale {
		n += 4
	}
	if o.HasFastOpen {
		n += (2 + int(o.FastOpen.n) + 3) &^ 3
	}
	if blocks := min(int(o.SACKBlocks), (maxOptions-n-4)/lenSACKBlock); blocks > 0 {
		n += 4 + blocks*lenSACKBlock
	}
	return n
}
