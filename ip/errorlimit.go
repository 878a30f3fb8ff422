package ip

import (
	"net/netip"
	"time"

	"github.com/a644562b/portico/internal/aging"
	"github.com/a644562b/portico/internal/mono"
)

// The limits of ICMP errors, as on Linux (icmp_msgs_per_sec, icmp_msgs_burst,
// icmp_ratelimit): of each kind a thousand a second and fifty at once to everybody, and one a
// second and six at once to one destination.
const (
	errorsPerSecond     = 1000
	errorsBurst         = 50
	peerErrorsPerSecond = 1
	peerErrorsBurst     = 6
	// maxErrorPeers bounds the destinations that are told apart. Whoever forges more
	// sources than that meets the limit to everybody.
	maxErrorPeers = 4096
	// peerErrorsFull is how long a destination takes until nothing is held against it.
	peerErrorsFull = peerErrorsBurst * time.Second / peerErrorsPerSecond
)

// ErrorLimiter bounds the rate of the ICMP errors that a host sends (RFC 1812, section
// 4.3.2.8; RFC 4443, section 2.4 (f)): a token bucket for each kind of error, and one for
// each destination, so that one peer that provokes errors does not silence the host towards
// others. It does not lock. Make it by NewErrorLimiter.
//
// What the buckets for everybody let through can be counted from outside, by somebody who
// provokes errors to himself, and could tell him how many errors went to others: whether
// a port that he knocked at with a forged source is open, for one. Therefore the bucket
// of the destination is asked first, so that a forged source soon costs nothing, and an
// error takes one token or two as chance will have it.
type ErrorLimiter struct {
	kinds [icmpKinds]Limiter
	peers *aging.Table[netip.Addr, Limiter]
}

// The kinds of errors that have a bucket each, for both families.
const (
	kindUnreachable = iota
	kindTimeExceeded
	kindParameter
	icmpKinds
)

// NewErrorLimiter returns a limiter with full buckets.
func NewErrorLimiter() *ErrorLimiter {
	l := &ErrorLimiter{peers: aging.New[netip.Addr, Limiter](peerErrorsFull, maxErrorPeers)}
	for i := range l.kinds {
		l.kinds[i] = NewLimiter(errorsPerSecond, errorsBurst)
	}
	return l
}

// ErrorVerdict says whether an error may be sent, and else whose limit it met.
type ErrorVerdict uint8

const (
	ErrorAllowed    ErrorVerdict = iota
	ErrorsToHost                 // too many went to that destination
	ErrorsToAnybody              // too many of the kind were sent
)

// Allow says whether the error m may be sent to dst now, and counts it if so. now does not
// go backwards. chance is a random number that nobody outside knows.
func (l *ErrorLimiter) Allow(now mono.Time, dst netip.Addr, m *Message, chance uint32) ErrorVerdict {
	peer, ok := l.peers.Get(now, dst)
	if !ok {
		peer = NewLimiter(peerErrorsPerSecond, peerErrorsBurst)
	}
	if !peer.Allow(now) {
		return ErrorsToHost
	}
	kind := &l.kinds[errorKind(dst.Is4(), m.Type)]
	if !kind.Allow(now) {
		return ErrorsToAnybody
	}
	if chance&1 != 0 {
		kind.Allow(now)
	}
	l.peers.Set(now, dst, peer)
	return ErrorAllowed
}

func errorKind(is4 bool, typ uint8) int {
	switch {
	case is4 && typ == icmp4TimeExceeded, !is4 && typ == icmp6TimeExceeded:
		return kindTimeExceeded
	case is4 && typ == icmp4ParamProblem, !is4 && typ == icmp6ParamProblem:
		return kindParameter
	}
	return kindUnreachable
}
