// Package gro joins in software what a kernel with offloads would have left in one
// piece: TCP segments of one connection that follow one another become a
// super-segment. It is the counterpart of package gso, whose Split gives the segments
// back as they were, but for identifications that say nothing.
//
// It joins by the rules of Linux's GRO: the headers must be equal but for their
// lengths, checksums, sequence numbers, which must follow, and the IPv4
// identification, which must count up, or stay as it is where the datagrams are
// atomic (RFC 6864, section 4). So nothing that a receiver acts on is lost: no ACK, no
// window, no timestamp, and no mark of congestion, for CE is never joined with what is
// not CE (as of fragments, RFC 3168, section 5.3). All segments but the last have the
// size of the first. PSH and FIN end a train; SYN, RST and URG are never in one; CWR
// may stand on the first segment only, as TSO sends it.
//
// It refuses IPv4 options, fragments and IPv6 extension headers, segments without
// data, super-segments, and what has a wrong checksum or none that can be checked.
package gro

import (
	"math"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
)

// Train is a frame that grows: a segment, and those behind it that continue it. The
// zero value is one that nothing continues. Its frame is whole only after Finish.
type Train struct {
	frame  *link.Frame
	memory []byte // of the frame
	is4    bool
	ip     int    // length of the IP header in bytes
	header int    // of all headers
	size   int    // payload of the first segment, and of all but the last
	count  int    // segments in it
	fixed  bool   // each has the IPv4 identification of the first
	open   bool   // something may continue it
	pseudo uint16 // sum of the pseudo-header without the length
	seq    uint32 // of the segment that continues it
}

// Start makes t the train of which f is the first segment. The frame lies at the
// beginning of memory; what comes behind it there is for the segments that follow.
//
// It looks at the checksum of a segment that nobody vouches for, and says so in f
// when it is right.
func (t *Train) Start(f *link.Frame, memory []byte) {
	*t = Train{}
	if f.GSO != link.GSONone || !t.parse(f.Data) || !t.sound(f.Data[:t.header], f.Data[t.header:], f.Offload) {
		return
	}
	if f.Checksum == link.ChecksumNone {
		f.Checksum = link.ChecksumValid
	}
	t.frame, t.memory, t.count, t.open = f, memory, 1, true
	t.size = len(f.Data) - t.header
	t.seq = wire.Get32(f.Data[t.ip+wire.TCPSeq:]) + uint32(t.size)
}

// parse finds the headers of the first segment; false when it is none that a train
// can begin with.
func (t *Train) parse(b []byte) bool {
	switch {
	case len(b) > wire.IP4HeaderLen+wire.TCPHeaderLen && b[0] == 4<<4|wire.IP4HeaderLen/4:
		t.is4, t.ip = true, wire.IP4HeaderLen
		if b[wire.IP4Protocol] != wire.ProtoTCP || wire.Get16(b[wire.IP4Fragment:])&^wire.IP4DF != 0 {
			return false
		}
		t.pseudo = checksum.Sum(wire.ProtoTCP, b[wire.IP4Addrs:wire.IP4HeaderLen])
	case len(b) > wire.IP6HeaderLen+wire.TCPHeaderLen && b[0]>>4 == 6:
		t.ip = wire.IP6HeaderLen
		if b[wire.IP6NextHeader] != wire.ProtoTCP {
			return false
		}
		t.pseudo = checksum.Sum(wire.ProtoTCP, b[wire.IP6Addrs:wire.IP6HeaderLen])
	default:
		return false
	}
	n := int(b[t.ip+wire.TCPDataOffset]>>4) * 4
	t.header = t.ip + n
	// PSH, FIN and what is no ordinary data end a train before anything follows.
	return n >= wire.TCPHeaderLen && t.header < len(b) && b[t.ip+wire.TCPFlags]&^(wire.FlagECE|wire.FlagCWR) == wire.FlagACK
}

// sound reports whether the lengths and checksums of a segment whose headers are
// known to be TCP's are right.
func (t *Train) sound(header, payload []byte, o link.Offload) bool {
	n := len(header) + len(payload)
	if t.is4 {
		if int(wire.Get16(header[wire.IP4TotalLen:])) != n || checksum.Sum(0, header[:wire.IP4HeaderLen]) != checksum.Valid {
			return false
		}
	} else if int(wire.Get16(header[wire.IP6PayloadLen:])) != n-wire.IP6HeaderLen {
		return false
	}
	switch o.Checksum {
	case link.ChecksumNone:
		sum := checksum.Combine(t.pseudo, uint16(n-t.ip))
		return checksum.Sum(checksum.Sum(sum, header[t.ip:]), payload) == checksum.Valid
	case link.ChecksumPartial:
		return int(o.ChecksumStart) == t.ip && o.ChecksumOffset == wire.TCPChecksum
	}
	return true
}

// Next says where a segment that continues the train is to be put: its headers, of
// the length header in bytes, anywhere; its payload into room. Where nothing can
// continue the train, room is nil.
func (t *Train) Next() (header int, room []byte) {
	if !t.open {
		return 0, nil
	}
	n := len(t.frame.Data)
	longest := math.MaxUint16 // what the headers can say
	if !t.is4 {
		longest += wire.IP6HeaderLen
	}
	if n+t.size > min(longest, len(t.memory)) {
		return 0, nil
	}
	return t.header, t.memory[n : n+t.size]
}

// Append takes a segment of which the headers are in header and n bytes of payload
// in the room that Next has named. It is false when the segment does not continue
// the train; then nothing has changed.
func (t *Train) Append(header []byte, n int, o link.Offload) bool {
	first := t.frame.Data
	if n == 0 || o.GSO != link.GSONone ||
		!t.sameIP(first, header) || !t.sameTCP(first[t.ip:t.header], header[t.ip:]) ||
		!t.sound(header, t.memory[len(first):len(first)+n], o) {
		return false
	}
	if t.is4 {
		t.fixed = wire.Get16(first[wire.IP4ID:]) == wire.Get16(header[wire.IP4ID:])
	}
	t.frame.Data = t.memory[:len(first)+n]
	t.frame.Data[t.ip+wire.TCPFlags] |= header[t.ip+wire.TCPFlags]
	t.count++
	t.seq += uint32(n)
	t.open = n == t.size && header[t.ip+wire.TCPFlags]&(wire.FlagPSH|wire.FlagFIN) == 0
	return true
}

// sameIP compares the IP header b with the first, a.
func (t *Train) sameIP(a, b []byte) bool {
	if !t.is4 {
		return wire.Get32(a) == wire.Get32(b) && wire.Get16(a[wire.IP6NextHeader:]) == wire.Get16(b[wire.IP6NextHeader:]) &&
			[32]byte(a[wire.IP6Addrs:wire.IP6HeaderLen]) == [32]byte(b[wire.IP6Addrs:wire.IP6HeaderLen])
	}
	step := wire.Get16(b[wire.IP4ID:]) - wire.Get16(a[wire.IP4ID:])
	atomic := wire.Get16(a[wire.IP4Fragment:])&wire.IP4DF != 0
	counts := step == uint16(t.count) && !t.fixed
	stays := step == 0 && atomic && (t.fixed || t.count == 1)
	return (counts || stays) && wire.Get16(a) == wire.Get16(b) && wire.Get32(a[wire.IP4Fragment:]) == wire.Get32(b[wire.IP4Fragment:]) &&
		wire.Get64(a[wire.IP4Addrs:]) == wire.Get64(b[wire.IP4Addrs:])
}

// sameTCP compares the TCP header b with the first, a: ports, acknowledgment, data
// offset, flags, window, urgent pointer and options; and its sequence number with the
// one that is due.
func (t *Train) sameTCP(a, b []byte) bool {
	return wire.Get32(b[wire.TCPSeq:]) == t.seq && wire.Get32(a) == wire.Get32(b) && wire.Get32(a[wire.TCPAck:]) == wire.Get32(b[wire.TCPAck:]) &&
		a[wire.TCPDataOffset] == b[wire.TCPDataOffset] && b[wire.TCPFlags]&^(wire.FlagPSH|wire.FlagFIN) == a[wire.TCPFlags]&^wire.FlagCWR &&
		wire.Get16(a[wire.TCPWindow:]) == wire.Get16(b[wire.TCPWindow:]) && string(a[wire.TCPUrgent:]) == string(b[wire.TCPUrgent:])
}

// Finish completes the frame, as the kernel would give it: with the lengths of the
// whole and, where it is more than one segment, the offload state of a super-segment whose
// checksum is partial. Nothing continues it from then on.
func (t *Train) Finish() {
	f := t.frame
	t.frame, t.memory, t.open = nil, nil, false
	if f == nil || t.count < 2 {
		return
	}
	b, n := f.Data, len(f.Data)
	f.Offload = link.Offload{GSO: link.GSOTCP6, Checksum: link.ChecksumPartial, GSOSize: uint16(t.size), HeaderLen: uint16(t.header),
		ChecksumStart: uint16(t.ip), ChecksumOffset: wire.TCPChecksum}
	if t.is4 {
		f.GSO = link.GSOTCP4
		wire.Put16(b[wire.IP4TotalLen:], uint16(n))
		wire.Put16(b[wire.IP4Checksum:], 0)
		wire.Put16(b[wire.IP4Checksum:], ^checksum.Sum(0, b[:wire.IP4HeaderLen]))
	} else {
		wire.Put16(b[wire.IP6PayloadLen:], uint16(n-wire.IP6HeaderLen))
	}
	wire.Put16(b[t.ip+wire.TCPChecksum:], checksum.Combine(t.pseudo, uint16(n-t.ip)))
}
