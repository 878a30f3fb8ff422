package ip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// ReassemblyLimits bound what a Reassembler holds. Zero fields have their defaults.
type ReassemblyLimits struct {
	// Memory is how many bytes all pieces together may take, bookkeeping included, and
	// SourceMemory those from one source. Defaults 4 MiB and 1 MiB. What has waited
	// longest makes room.
	Memory, SourceMemory int
	// Datagrams is how many may be unfinished at once, and SourceDatagrams those from one
	// source. Defaults 4096 and 64. The oldest makes room.
	Datagrams, SourceDatagrams int
	// Timeout is how long after its first piece came a datagram is given up. Default 60 s,
	// as RFC 8200, section 4.5 says and RFC 1122, section 3.3.2 allows (60 to 120 s).
	Timeout time.Duration
}

func (l ReassemblyLimits) withDefaults() ReassemblyLimits {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&l.Memory, 4<<20)
	set(&l.SourceMemory, 1<<20)
	set(&l.Datagrams, 4096)
	set(&l.SourceDatagrams, 64)
	if l.Timeout == 0 {
		l.Timeout = 60 * time.Second
	}
	return l
}

// Reassembler puts datagrams together from their fragments, for both families (RFC 791,
// section 3.2; RFC 8200, section 4.5).
//
// RFC 815 keeps a list of the holes; this keeps the pieces in order, which is its
// complement, and counts the bytes it has: no hole is left when they are as many as the
// last piece says. RFC 5722's rule holds for both families: pieces that overlap, or
// that contradict one another about the datagram's end, end it, and whatever of it still
// comes is dropped until it would have timed out. Only an exact duplicate of a piece is
// ignored, as RFC 8200 allows: networks duplicate packets.
//
// Nobody can make it grow beyond its limits. Where they are reached the oldest datagram
// makes way, first of the same source and then of all: an honest one is whole within
// moments, and is hardly ever the oldest.
//
// It does not lock. Make it by NewReassembler.
type Reassembler struct {
	limits    ReassemblyLimits
	memory    int
	datagrams map[fragmentKey]*partial
	sources   map[netip.Addr]*fragmentSource
	// ages is the ring of all partials; ages.next began first.
	ages    partial
	evicted [2]int // of IPv4 and IPv6
}

// NewReassembler returns an empty reassembler.
func NewReassembler(limits ReassemblyLimits) *Reassembler {
	r := &Reassembler{
		limits:    limits.withDefaults(),
		datagrams: make(map[fragmentKey]*partial),
		sources:   make(map[netip.Addr]*fragmentSource),
	}
	r.ages.prev, r.ages.next = &r.ages, &r.ages
	return r
}

// Len is how many datagrams are unfinished, those included that were refused and whose
// late pieces are waited for. Memory is how many bytes all of them take.
func (r *Reassembler) Len() int { return len(r.datagrams) }

// Memory is how many bytes the unfinished datagrams take.
func (r *Reassembler) Memory() int { return r.memory }

// Evicted is how many datagrams of each family have made way for others since it was called
// last.
func (r *Reassembler) Evicted() (four, six int) {
	four, six = r.evicted[0], r.evicted[1]
	r.evicted = [2]int{}
	return four, six
}

// Add takes in a fragment: a packet of which Parse has said DropFragment, with the header
// that it has read. The packet is copied. When it was the last piece missing, whole is the
// datagram; otherwise whole is nil, and drop is why the fragment was not kept, if so. A
// fragment that is dropped for what stands in it leaves the place of the fault in
// h.Fault, for ParameterProblem.
func (r *Reassembler) Add(now mono.Time, h *Header, packet []byte) (whole *Datagram, drop Drop) {
	f := readFragment(h, packet)
	if drop := f.check(h, packet); drop != DropNone {
		return nil, drop
	}
	p := r.datagrams[f.key]
	if p == nil {
		p = r.begin(now, f.key)
	}
	if p.refused {
		return nil, DropFragmentOverlap
	}
	at, drop := p.place(&f)
	switch drop {
	case DropNone:
	case DropFragmentOverlap:
		r.refuse(p)
		return nil, drop
	default:
		return nil, drop
	}
	if !r.reserve(p, f.charge()) {
		return nil, DropReassemblyMemory
	}
	p.insert(at, &f, h)
	if !p.whole() {
		return nil, DropNone
	}
	r.remove(p)
	return p.finish()
}

// Deadline is when Expire will have something to do; mono.Never while nothing waits.
func (r *Reassembler) Deadline() mono.Time {
	if len(r.datagrams) == 0 {
		return mono.Never
	}
	return r.ages.next.began.Add(r.limits.Timeout)
}

// Expired is a datagram whose pieces did not all come in time.
type Expired struct {
	// First is the packet that its first fragment came in, for TimeExceeded, or nil when
	// that never came: then nobody is told (RFC 792; RFC 8200, section 4.5).
	First []byte
	// Refused: it had been refused before, and was counted then.
	Refused bool
	// Is4: it was of IPv4.
	Is4 bool
}

// Expire gives up the oldest datagram if its time is over, and is false when there is none.
func (r *Reassembler) Expire(now mono.Time) (Expired, bool) {
	if r.Deadline() > now {
		return Expired{}, false
	}
	p := r.ages.next
	r.remove(p)
	return Expired{First: p.first, Refused: p.refused, Is4: p.key.src.Is4()}, true
}

// fragmentKey tells datagrams apart: for IPv4 by addresses, protocol and identification
// (RFC 791, section 3.2), for IPv6 by addresses and identification (RFC 8200, section 4.5).
type fragmentKey struct {
	src, dst netip.Addr
	id       uint32
	protocol Protocol
}

// fragment is a fragment taken apart.
type fragment struct {
	key    fragmentKey
	packet []byte // without padding
	start  int    // where in packet the data starts
	offset int    // of the data in the datagram
	more   bool
}

func readFragment(h *Header, packet []byte) fragment {
	f := fragment{
		key:    fragmentKey{src: h.Src, dst: h.Dst, id: h.ID},
		start:  h.Len,
		offset: h.FragmentOffset, more: h.MF,
	}
	if h.Is4() {
		f.key.protocol = h.Protocol
		f.packet = packet[:binary.BigEndian.Uint16(packet[off4Length:])]
		return f
	}
	f.start += fragmentHeaderLen
	f.packet = packet[:HeaderLen6+int(binary.BigEndian.Uint16(packet[off6Length:]))]
	return f
}

func (f *fragment) data() []byte { return f.packet[f.start:] }
func (f *fragment) end() int     { return f.offset + len(f.data()) }

// The bookkeeping of a datagram and of a piece in bytes, rounded up.
const (
	partialOverhead = 512
	pieceOverhead   = 64
)

func (f *fragment) charge() int {
	if f.offset == 0 {
		return pieceOverhead + len(f.packet)
	}
	return pieceOverhead + len(f.data())
}

// check refuses what can be part of no datagram.
func (f *fragment) check(h *Header, packet []byte) Drop {
	n := len(f.data())
	if n == 0 || f.more && n%8 != 0 {
		h.Fault = off6Length // RFC 8200, section 4.5: the payload length
		return DropFragmentLength
	}
	headers := h.Len
	if !h.Is4() {
		headers -= HeaderLen6 // which its length field does not count
	}
	if headers+f.end() > 65535 {
		h.Fault = h.Len + 2 // likewise: the fragment offset
		return DropFragmentTooLong
	}
	if !h.Is4() && f.offset == 0 && !holdsChain(f.packet, h.Len) {
		h.Fault = 0
		return DropFragmentChain
	}
	return DropNone
}

// fragmentSource is who sent fragments, with the datagrams that he has not finished, by
// age.
type fragmentSource struct {
	partials []*partial
	memory   int
}

// begin starts a datagram.
func (r *Reassembler) begin(now mono.Time, k fragmentKey) *partial {
	s := r.sources[k.src]
	if s == nil {
		s = &fragmentSource{}
	}
	if len(s.partials) >= r.limits.SourceDatagrams {
		r.evict(s.partials[0])
	}
	if len(r.datagrams) >= r.limits.Datagrams {
		r.evict(r.ages.next)
	}
	p := &partial{key: k, began: now, source: s, total: unknown}
	r.sources[k.src] = s
	s.partials = append(s.partials, p)
	r.datagrams[k] = p
	p.prev, p.next = r.ages.prev, &r.ages
	p.prev.next, p.next.prev = p, p
	r.charge(p, partialOverhead)
	return p
}

// reserve makes room for n more bytes of p. It is false when p itself had to make way.
func (r *Reassembler) reserve(p *partial, n int) bool {
	for p.source.memory+n > r.limits.SourceMemory {
		oldest := p.source.partials[0]
		r.evict(oldest)
		if oldest == p {
			return false
		}
	}
	for r.memory+n > r.limits.Memory {
		oldest := r.ages.next
		r.evict(oldest)
		if oldest == p {
			return false
		}
	}
	r.charge(p, n)
	return true
}

func (r *Reassembler) charge(p *partial, n int) {
	p.memory += n
	p.source.memory += n
	r.memory += n
}

func (r *Reassembler) evict(p *partial) {
	if p.key.src.Is4() {
		r.evicted[0]++
	} else {
		r.evicted[1]++
	}
	r.remove(p)
}

// refuse frees what there is of p and remembers only that it is not wanted.
func (r *Reassembler) refuse(p *partial) {
	r.charge(p, partialOverhead-p.memory)
	p.refused, p.pieces, p.first = true, nil, nil
}

// remove forgets p.
func (r *Reassembler) remove(p *partial) {
	r.charge(p, -p.memory)
	delete(r.datagrams, p.key)
	p.prev.next, p.next.prev = p.next, p.prev
	s := p.source
	i := slices.Index(s.partials, p)
	s.partials = slices.Delete(s.partials, i, i+1)
	if len(s.partials) == 0 {
		delete(r.sources, p.key.src)
	}
}

// unknown is the total of a datagram whose last piece has not come.
const unknown = -1

// partial is an unfinished datagram.
type partial struct {
	key    fragmentKey
	began  mono.Time
	source *fragmentSource
	memory int
	// prev and next are its neighbours by age.
	prev, next *partial

	pieces []piece // by offset; none overlaps another
	have   int     // bytes in them
	total  int     // bytes there will be, or unknown
	// first is the packet that the piece of offset 0 came in. Its header becomes the
	// datagram's: header is that header, up to and without a fragment header of IPv6.
	first  []byte
	header Header
	ecn    uint8 // the ECN codepoints seen, a bit each
	// refused: pieces overlapped. What still comes is dropped (RFC 5722, section 3).
	refused bool
}

type piece struct {
	offset int
	data   []byte
}

func (p *piece) end() int { return p.offset + len(p.data) }

// place finds where among the pieces f belongs. A drop is DropFragmentDuplicate, or
// DropFragmentOverlap when p and f cannot both be right.
func (p *partial) place(f *fragment) (at int, drop Drop) {
	furthest := 0
	if n := len(p.pieces); n > 0 {
		furthest = p.pieces[n-1].end()
	}
	switch {
	case p.total != unknown && f.more && f.end() >= p.total, // beyond the last
		p.total != unknown && !f.more && f.end() != p.total, // another last
		!f.more && f.end() < furthest:                       // the last, before what is there
		return 0, DropFragmentOverlap
	}
	at, same := slices.BinarySearchFunc(p.pieces, f.offset, func(p piece, offset int) int { return p.offset - offset })
	switch {
	case same && !f.more == (p.pieces[at].end() == p.total) && bytes.Equal(p.pieces[at].data, f.data()):
		return 0, DropFragmentDuplicate
	case at < len(p.pieces) && p.pieces[at].offset < f.end(),
		at > 0 && p.pieces[at-1].end() > f.offset:
		return 0, DropFragmentOverlap
	}
	return at, DropNone
}

// insert adds a copy of f.
func (p *partial) insert(at int, f *fragment, h *Header) {
	data := f.data()
	if f.offset == 0 {
		p.first = bytes.Clone(f.packet)
		p.header = *h
		data = p.first[f.start:]
	} else {
		data = bytes.Clone(data)
	}
	p.pieces = slices.Insert(p.pieces, at, piece{f.offset, data})
	p.have += len(data)
	p.ecn |= 1 << (h.TOS & ecnMask)
	if !f.more {
		p.total = f.end()
	}
}

func (p *partial) whole() bool { return p.have == p.total }

// ECN codepoints (RFC 3168, section 5).
const (
	ecnMask   = 0b11
	ecnNotECT = 0b00
	ecnCE     = 0b11
)

// finish makes the datagram of pieces without a hole. Congestion that one of them has
// met is told; pieces some of which are not of an ECN-capable transport are of no honest
// sender, and to deliver them could hide the mark (RFC 3168, section 5.3; so does Linux).
func (p *partial) finish() (*Datagram, Drop) {
	const notECT, ce = 1 << ecnNotECT, 1 << ecnCE
	if p.ecn&notECT != 0 && p.ecn != notECT {
		return nil, DropFragmentECN
	}
	d := &Datagram{header: p.header, first: p.first, pieces: p.pieces, payload: p.total, ce: p.ecn&ce != 0}
	if d.header.Len+d.payload > d.longest() {
		return nil, DropFragmentTooLong // by the options of its first fragment
	}
	return d, DropNone
}

// Datagram is a datagram whose pieces have all come.
type Datagram struct {
	header  Header
	first   []byte
	pieces  []piece
	payload int
	ce      bool
}

func (d *Datagram) longest() int {
	if d.header.Is4() {
		return 65535
	}
	return HeaderLen6 + 65535
}

// Len is the length of the packet that Append makes, at most 65,535 bytes for IPv4 and
// 40 more for IPv6.
func (d *Datagram) Len() int { return d.header.Len + d.payload }

// Append appends the datagram as one packet: the header of the first fragment, options
// and extension headers included, without what made it a fragment, and all the data.
func (d *Datagram) Append(b []byte) []byte {
	start := len(b)
	h := &d.header
	b = append(b, d.first[:h.Len]...)
	for i := range d.pieces {
		b = append(b, d.pieces[i].data...)
	}
	p := b[start:]
	if h.Is4() {
		binary.BigEndian.PutUint16(p[off4Length:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[off4Fragment:], binary.BigEndian.Uint16(p[off4Fragment:])&flagDF)
		if d.ce {
			p[off4TOS] |= ecnCE
		}
		fixChecksum4(p[:h.Len])
		return b
	}
	p[h.ProtocolOffset] = d.first[h.Len] // the next header of the fragment header
	binary.BigEndian.PutUint16(p[off6Length:], uint16(len(p)-HeaderLen6))
	if d.ce {
		p[1] |= ecnCE << 4
	}
	return b
}
