// Package gso does in software what a device with offloads is asked to do: it cuts a
// super-segment into the packets that the wire would carry, and completes a
// checksum that was left partial. Devices without the offload fall back on it, and
// whoever must see packets as a wire would (an impairment, a capture) looks through
// it.
//
// TCP is cut by the rules that TSO hardware follows: every piece repeats the headers,
// options included, with the sequence number moved on (RFC 9293, section 3.4); FIN
// and PSH stay on the last piece only, CWR on the first only (RFC 3168, section
// 6.1.2); the IPv4 identification counts up (RFC 6864). UDP becomes datagrams of one
// size each.
//
// For a device to which a super-segment is merely too long Shorten cuts it into shorter ones.
//
// It refuses to cut what it does not fully understand: IP fragments, IPv6 headers
// other than extension headers in front of TCP or UDP, headers that do not agree
// with the frame's offload state.
package gso

import (
	"errors"
	"sync"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
)

// Errors of Split. The frame is to be dropped.
var (
	// ErrHeaders: the headers of a super-segment are cut short, contradict its
	// offload state or are none that can be repeated.
	ErrHeaders = errors.New("gso: super-segment with headers that cannot be cut")
	// ErrSize: a super-segment whose GSOSize is 0.
	ErrSize = errors.New("gso: super-segment with a GSO size of 0")
	// ErrChecksum: ChecksumStart and ChecksumOffset point outside the frame.
	ErrChecksum = errors.New("gso: partial checksum outside of the frame")
)

// scratch is what Split works in, kept from one call to the next.
type scratch struct {
	whole  []byte // the gathered frame; the pieces are made in it, one over the other
	header []byte // its headers as they were
	piece  link.Frame
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Split calls emit with each packet that f stands for, in order. A packet lies whole
// in Data, is GSONone and has its checksum complete (ChecksumNone, or ChecksumValid
// where an ordinary frame came with that). It and its memory are only good until emit
// returns, and must not be changed. f is not changed.
//
// The checksum of a super-segment is not carried over: each piece gets its own,
// whatever the field held; except that UDP over IPv4 sent without a checksum stays
// without. A super-segment of no payload or of one piece comes out as one packet.
//
// Split returns ErrHeaders, ErrSize or ErrChecksum, and then has emitted nothing.
func Split(f *link.Frame, emit func(*link.Frame)) error {
	if f.GSO == link.GSONone && f.Checksum != link.ChecksumPartial && len(f.Payload) == 0 {
		emit(f)
		return nil
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.whole = f.AppendTo(s.whole[:0])
	if f.GSO != link.GSONone {
		return s.cut(f, 0, emit)
	}
	s.piece = link.Frame{Data: s.whole, Offload: link.Offload{Checksum: f.Checksum}}
	if f.Checksum == link.ChecksumPartial {
		s.piece.Checksum = link.ChecksumNone
		if err := complete(s.whole, int(f.ChecksumStart), int(f.ChecksumOffset)); err != nil {
			return err
		}
	}
	emit(&s.piece)
	return nil
}

// Shorten calls emit with super-segments of at most most bytes each, or one packet, that together
// are f, in order: for a device that does not take f because of its length. They and their memory
// are as those of Split, but that their checksums stay partial, and its errors are the same. What
// is no TCP super-segment with a partial checksum comes out as from Split.
func Shorten(f *link.Frame, most int, emit func(*link.Frame)) error {
	if f.GSO != link.GSOTCP4 && f.GSO != link.GSOTCP6 || f.Checksum != link.ChecksumPartial {
		return Split(f, emit)
	}
	if f.Len() <= most {
		emit(f)
		return nil
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.whole = f.AppendTo(s.whole[:0])
	return s.cut(f, most, emit)
}

// cut makes and emits the pieces of the super-segment in s.whole: packets, or, where most
// says how many bytes they may have, super-segments with partial checksums.
//
// Each piece is made where its payload lies: the headers are written in front of it,
// over the end of the piece before, which has been emitted by then.
//
//	| headers | payload 1 | payload 2 | payload 3 |
//	            | headers | payload 2 |
//	                        | headers | payload 3 |
func (s *scratch) cut(f *link.Frame, most int, emit func(*link.Frame)) error {
	if f.GSOSize == 0 {
		return ErrSize
	}
	l, ok := parse(s.whole, f.GSO)
	packets := max(1, (most-l.payload)/int(f.GSOSize)) // in a piece
	size, total := packets*int(f.GSOSize), len(s.whole)-l.payload
	if !ok || !l.fits(l.payload+min(size, total)) {
		return ErrHeaders
	}
	l.noChecksum = f.GSO == link.GSOUDP && l.is4 && f.Checksum != link.ChecksumPartial &&
		l.checksumIsZero(s.whole)
	l.partial = most > 0
	s.header = append(s.header[:0], s.whole[:l.payload]...)
	l.pseudo = pseudoHeader(s.header, l)
	for at, i := 0, 0; i == 0 || at < total; at, i = at+size, i+packets {
		end := min(at+size, total)
		p := s.whole[at : l.payload+end]
		copy(p, s.header)
		l.patch(p, part{index: i, offset: at, last: end == total})
		s.piece = link.Frame{Data: p}
		if l.partial {
			s.piece.Offload = f.Offload
			if end-at <= int(f.GSOSize) {
				s.piece.GSO, s.piece.GSOSize = link.GSONone, 0
			}
		}
		emit(&s.piece)
	}
	return nil
}

// complete fills in the checksum of packet p that starts at start and whose field,
// offset bytes further, holds the sum of the pseudo-header.
func complete(p []byte, start, offset int) error {
	if start+offset+2 > len(p) {
		return ErrChecksum
	}
	sum := ^checksum.Sum(0, p[start:])
	if offset == wire.UDPChecksum {
		sum = udpNonZero(sum)
	}
	wire.Put16(p[start+offset:], sum)
	return nil
}
