package ladder

import (
	"fmt"
	"strconv"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

// segment works out the numbers of a segment.
func (b *builder) segment(e *record.Entry) *Segment {
	own, other := &b.ladder.Client, &b.ladder.Server
	if b.sender(e.Kind == tcp.EventSegmentIn) == FromServer {
		own, other = other, own
	}
	s := &Segment{
		Flags:          e.Flags.String(),
		Seq:            uint32(e.Seq),
		SeqRel:         relative(own, e.Seq),
		Len:            int(e.DataLen),
		Packets:        e.Packets(),
		Window:         int(e.Window),
		Options:        optionWords(e, other),
		Reason:         e.Why.String(),
		Dropped:        e.Drop.String(),
		Retransmission: e.Again || b.notes.again,
	}
	if e.Flags.Has(tcp.ACK) {
		s.Ack, s.AckRel = uint32(e.Ack), relative(other, e.Ack)
	}
	return s
}

// behind is how far before the initial number a number may lie and still be written
// relative to it: a keep-alive probe sends the one before it. Beyond half the
// sequence space a long transfer is likelier.
const behind = 1 << 16

// relative writes a number as its distance from the initial one of its sender.
func relative(end *End, seq tcp.Seq) string {
	if !end.HasISN {
		return strconv.FormatUint(uint64(seq), 10)
	}
	switch d := uint32(seq) - end.ISN; {
	case d == 0:
		return end.Symbol
	case -d <= behind:
		return fmt.Sprintf("%s-%d", end.Symbol, -d)
	default:
		return fmt.Sprintf("%s+%d", end.Symbol, d)
	}
}

// optionWords writes the options; SACK blocks name numbers of the other end.
func optionWords(e *record.Entry, other *End) []string {
	o := e.Options
	if o == nil {
		return nil
	}
	var words []string
	if o.MSS != 0 {
		words = append(words, fmt.Sprintf("mss %d", o.MSS))
	}
	if o.HasWScale {
		words = append(words, fmt.Sprintf("ws %d", o.WScale))
	}
	if o.SACKPermitted {
		words = append(words, "sack")
	}
	if o.HasTimestamps && e.Flags.Has(tcp.SYN) {
		words = append(words, "ts")
	}
	for _, blk := range o.SACK[:min(int(o.SACKBlocks), len(o.SACK))] {
		words = append(words, fmt.Sprintf("sack %s..%s", relative(other, blk.Start), relative(other, blk.End)))
	}
	return words
}
