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
	t.seq = get32(f.Data[t.ip+tcpSeq:]) + uint32(t.size)
}

// parse finds the headers of the first segment; false when it is none that a train
// can begin with.
func (t *Train) parse(b []byte) bool {
	switch {
	case len(b) > ip4HeaderLen+tcpHeaderLen && b[0] == 4<<4|ip4HeaderLen/4:
		t.is4, t.ip = true, ip4HeaderLen
		if b[ip4Protocol] != protoTCP || get16(b[ip4Fragment:])&^ip4DF != 0 {
			return false
		}
		t.pseudo = checksum.Sum(protoTCP, b[ip4Addrs:ip4HeaderLen])
	case len(b) > ip6HeaderLen+tcpHeaderLen && b[0]>>4 == 6:
		t.ip = ip6HeaderLen
		if b[ip6NextHeader] != protoTCP {
			return false
		}
		t.pseudo = checksum.Sum(protoTCP, b[ip6Addrs:ip6HeaderLen])
	default:
		return false
	}
	n := int(b[t.ip+tcpDataOffset]>>4) * 4
	t.header = t.ip + n
	// PSH, FIN and what is no ordinary data end a train before anything follows.
	return n >= tcpHeaderLen && t.header < len(b) && b[t.ip+tcpFlags]&^(flagECE|flagCWR) == flagACK
}

// sound reports whether the lengths and checksums of a segment whose headers are
// known to be TCP's are right.
func (t *Train) sound(header, payload []byte, o link.Offload) bool {
	n := len(header) + len(payload)
	if t.is4 {
		if int(get16(header[ip4TotalLen:])) != n || checksum.Sum(0, header[:ip4HeaderLen]) != checksum.Valid {
			return false
		}
	} else if int(get16(header[ip6PayloadLen:])) != n-ip6HeaderLen {
		return false
	}
	switch o.Checksum {
	case link.ChecksumNone:
		sum := checksum.Combine(t.pseudo, uint16(n-t.ip))
		return checksum.Sum(checksum.Sum(sum, header[t.ip:]), payload) == checksum.Valid
	case link.ChecksumPartial:
		return int(o.ChecksumStart) == t.ip && o.ChecksumOffset == tcpChecksum
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
		longest += ip6HeaderLen
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
		t.fixed = get16(first[ip4ID:]) == get16(header[ip4ID:])
	}
	t.frame.Data = t.memory[:len(first)+n]
	t.frame.Data[t.ip+tcpFlags] |= header[t.ip+tcpFlags]
	t.count++
	t.seq += uint32(n)
	t.open = n == t.size && header[t.ip+tcpFlags]&(flagPSH|flagFIN) == 0
	return true
}

// sameIP compares the IP header b with the first, a.
func (t *Train) sameIP(a, b []byte) bool {
	if !t.is4 {
		return get32(a) == get32(b) && get16(a[ip6NextHeader:]) == get16(b[ip6NextHeader:]) &&
			[32]byte(a[ip6Addrs:ip6HeaderLen]) == [32]byte(b[ip6Addrs:ip6HeaderLen])
	}
	step := get16(b[ip4ID:]) - get16(a[ip4ID:])
	atomic := get16(a[ip4Fragment:])&ip4DF != 0
	counts := step == uint16(t.count) && !t.fixed
	stays := step == 0 && atomic && (t.fixed || t.count == 1)
	return (counts || stays) && get16(a) == get16(b) && get32(a[ip4Fragment:]) == get32(b[ip4Fragment:]) &&
		get64(a[ip4Addrs:]) == get64(b[ip4Addrs:])
}

// sameTCP compares the TCP header b with the first, a: ports, acknowledgment, data
// offset, flags, window, urgent pointer and options; and its sequence number with the
// one that is due.
func (t *Train) sameTCP(a, b []byte) bool {
	return get32(b[tcpSeq:]) == t.seq && get32(a) == get32(b) && get32(a[tcpAck:]) == get32(b[tcpAck:]) &&
		a[tcpDataOffset] == b[tcpDataOffset] && b[tcpFlags]&^(flagPSH|flagFIN) == a[tcpFlags]&^flagCWR &&
		get16(a[tcpWindow:]) == get16(b[tcpWindow:]) && string(a[tcpUrgent:]) == string(b[tcpUrgent:])
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
		ChecksumStart: uint16(t.ip), ChecksumOffset: tcpChecksum}
	if t.is4 {
		f.GSO = link.GSOTCP4
		put16(b[ip4TotalLen:], uint16(n))
		put16(b[ip4Checksum:], 0)
		put16(b[ip4Checksum:], ^checksum.Sum(0, b[:ip4HeaderLen]))
	} else {
		put16(b[ip6PayloadLen:], uint16(n-ip6HeaderLen))
	}
	put16(b[t.ip+tcpChecksum:], checksum.Combine(t.pseudo, uint16(n-t.ip)))
}
