package tcp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// ISN is an initial sequence number by RFC 6528: a clock that ticks every 4 µs plus
// a keyed hash of the four-tuple, so that the numbers of one four-tuple grow with time
// (MUST-8) and those of another cannot be guessed from them (MUST-9). The secret must
// be random and live as long as the stack.
func ISN(now Time, secret *[32]byte, e Endpoints) Seq {
	return Seq(now/4000) + Seq(keyedHash(secret, 'i', 0, e.Local.Addr(), e.Local.Port(), e.Remote))
}

// TimestampOffset is a random number a four-tuple, for Setup.TSOffset (RFC 7323, 5.4).
// It is the same for each incarnation, so that the timestamps of one four-tuple
// always grow and TIME-WAIT can be reused by them (RFC 6191).
func TimestampOffset(secret *[32]byte, e Endpoints) uint32 {
	return keyedHash(secret, 't', 0, e.Local.Addr(), e.Local.Port(), e.Remote)
}

// EphemeralOffset is the offset of algorithm 4 of RFC 6056: where in the range of
// ephemeral ports the search starts for this destination.
func EphemeralOffset(secret *[32]byte, local netip.Addr, remote netip.AddrPort) uint32 {
	return keyedHash(secret, 'p', 0, local, 0, remote)
}

// EphemeralCounter says, modulo how many there are, which counter of algorithm 4 tells how
// far the search has come for this destination.
func EphemeralCounter(secret *[32]byte, local netip.Addr, remote netip.AddrPort) uint32 {
	return keyedHash(secret, 'c', 0, local, 0, remote)
}

// keyedHash is a pseudo-random function of a purpose, a number and a four-tuple under a
// secret. It is computed a few times a connection: SHA-256 is fast enough.
func keyedHash(secret *[32]byte, purpose byte, n uint64, local netip.Addr, localPort uint16, remote netip.AddrPort) uint32 {
	var b [32 + 1 + 2*18 + 8]byte
	copy(b[:], secret[:])
	b[32] = purpose
	l, r := local.As16(), remote.Addr().As16()
	copy(b[33:], l[:])
	binary.BigEndian.PutUint16(b[49:], localPort)
	copy(b[51:], r[:])
	binary.BigEndian.PutUint16(b[67:], remote.Port())
	binary.BigEndian.PutUint64(b[69:], n)
	sum := sha256.Sum256(b[:])
	return binary.BigEndian.Uint32(sum[:])
}
