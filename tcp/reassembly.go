package tcp

import (
	"sort"

	"github.com/a644562b/portico/internal/buffer"
)

// reassembly holds data that arrived beyond a gap. It exists only while there is any.
type reassembly struct {
	pieces []piece     // by sequence number, without overlaps
	ranges []SACKBlock // the pieces joined, by sequence number
	// recent are numbers in the ranges that were added to last, the newest first: the
	// order of the SACK blocks (RFC 2018, section 4).
	recent [maxSACKBlocks]Seq
	nRec   uint8
	bytes  int // data held
	memory int // memory held
}

// piece is data and the block that it lies in.
type piece struct {
	seq   Seq
	b     []byte
	block *buffer.Block
}

func (p *piece) end() Seq { return p.seq.Add(len(p.b)) }

// linkThreshold is the least payload in bytes for which a whole 64 KiB block is kept
// instead of a copy: it bounds what a byte can pin.
const linkThreshold = buffer.BlockSize / 2

func (r *reassembly) empty() bool { return len(r.pieces) == 0 }

func (r *reassembly) clear() {
	for _, p := range r.pieces {
		p.block.Release()
	}
	*r = reassembly{}
}

// insert keeps what is new of a segment's payload. limit bounds the memory in bytes;
// beyond it the segment is refused, which is allowed as it was never acknowledged.
// It returns the first part that was there already, if any.
func (r *reassembly) insert(seg *Segment, limit int) (kept bool, dup SACKBlock) {
	seq, b := seg.Seq, seg.Payload
	start, end := seq, seq.Add(len(b))
	kept = true
	for len(b) > 0 {
		// Skip what piece i has; keep what lies in front of it.
		i := r.search(seq)
		if i < len(r.pieces) && r.pieces[i].seq.AtOrBefore(seq) {
			skip := min(r.pieces[i].end().Sub(seq), len(b))
			if dup.Start == dup.End || dup.End == seq {
				if dup.Start == dup.End {
					dup.Start = seq
				}
				dup.End = seq.Add(skip)
			}
			b, seq = b[skip:], seq.Add(skip)
			continue
		}
		n := len(b)
		if i < len(r.pieces) {
			n = min(n, r.pieces[i].seq.Sub(seq))
		}
		whole := n == len(seg.Payload)
		if !r.put(i, seq, b[:n], seg, whole, limit) {
			kept, end = false, seq
			break
		}
		b, seq = b[n:], seq.Add(n)
	}
	if start.Before(end) {
		r.join(start, end)
	}
	return kept, dup
}

// search is the index of the first piece that ends after seq.
func (r *reassembly) search(seq Seq) int {
	return sort.Search(len(r.pieces), func(i int) bool { return r.pieces[i].end().After(seq) })
}

// put stores b as (part of) the i-th piece.
func (r *reassembly) put(i int, seq Seq, b []byte, seg *Segment, whole bool, limit int) bool {
	if whole && seg.Block != nil && len(b) >= linkThreshold {
		if r.memory+len(seg.Block.B) > limit {
			return false
		}
		r.add(i, piece{seq: seq, b: b, block: seg.Block})
		seg.Block = nil
		return true
	}
	if i > 0 {
		// Behind the piece before it, where it has room.
		p := &r.pieces[i-1]
		if p.end() == seq && cap(p.b)-len(p.b) >= len(b) && len(p.block.B) < buffer.BlockSize {
			p.b = append(p.b, b...)
			r.bytes += len(b)
			return true
		}
	}
	block := buffer.NewBlockFor(len(b))
	if r.memory+len(block.B) > limit {
		block.Release()
		return false
	}
	r.add(i, piece{seq: seq, b: append(block.B[:0], b...), block: block})
	return true
}

func (r *reassembly) add(i int, p piece) {
	r.pieces = append(r.pieces, piece{})
	copy(r.pieces[i+1:], r.pieces[i:])
	r.pieces[i] = p
	r.bytes += len(p.b)
	r.memory += len(p.block.B)
}

// join adds [start, end) to the ranges and makes it the most recent.
func (r *reassembly) join(start, end Seq) {
	first := sort.Search(len(r.ranges), func(i int) bool { return r.ranges[i].End.AtOrAfter(start) })
	last := first
	for last < len(r.ranges) && r.ranges[last].Start.AtOrBefore(end) {
		start = earlierSeq(start, r.ranges[last].Start)
		end = laterSeq(end, r.ranges[last].End)
		last++
	}
	joined := SACKBlock{Start: start, End: end}
	if first == last {
		r.ranges = append(r.ranges, SACKBlock{})
		copy(r.ranges[first+1:], r.ranges[first:])
		r.ranges[first] = joined
	} else {
		r.ranges[first] = joined
		r.ranges = append(r.ranges[:first+1], r.ranges[last:]...)
	}
	// The range moves to the front; entries inside of it go.
	kept := [maxSACKBlocks]Seq{start}
	n := uint8(1)
	for _, s := range r.recent[:r.nRec] {
		if n < maxSACKBlocks && !s.In(start, end.Sub(start)) {
			kept[n] = s
			n++
		}
	}
	r.recent, r.nRec = kept, n
}

// blocks adds the SACK blocks of a segment (RFC 2018, section 4): first the range
// that was added to last. A duplicate within a range comes before just that range
// (RFC 2883, section 4.1).
func (r *reassembly) blocks(o *Options, hasDup bool, dup SACKBlock) {
	inner := -1
	if hasDup {
		if inner = r.rangeOf(dup.Start); inner >= 0 {
			o.SACK[o.SACKBlocks] = r.ranges[inner]
			o.SACKBlocks++
		}
	}
	for _, s := range r.recent[:r.nRec] {
		if i := r.rangeOf(s); i >= 0 && i != inner && int(o.SACKBlocks) < len(o.SACK) {
			o.SACK[o.SACKBlocks] = r.ranges[i]
			o.SACKBlocks++
		}
	}
}

// rangeOf is the index of the range that holds s, or -1.
func (r *reassembly) rangeOf(s Seq) int {
	i := sort.Search(len(r.ranges), func(i int) bool { return r.ranges[i].End.After(s) })
	if i < len(r.ranges) && r.ranges[i].Start.AtOrBefore(s) {
		return i
	}
	return -1
}

// trim drops the ranges that have become part of what is in order.
func (r *reassembly) trim(nxt Seq) {
	for len(r.ranges) > 0 && r.ranges[0].End.AtOrBefore(nxt) {
		r.ranges = r.ranges[1:]
	}
}

// pop takes the first piece if it holds the number nxt, cut to start there. Pieces
// that lie wholly before nxt are dropped.
func (r *reassembly) pop(nxt Seq) (piece, bool) {
	for len(r.pieces) > 0 && r.pieces[0].seq.AtOrBefore(nxt) {
		p := r.pieces[0]
		r.bytes -= len(p.b)
		r.memory -= len(p.block.B)
		r.pieces[0] = piece{}
		r.pieces = r.pieces[1:]
		if old := nxt.Sub(p.seq); old < len(p.b) {
			p.b, p.seq = p.b[old:], nxt
			return p, true
		}
		p.block.Release()
	}
	return piece{}, false
}
