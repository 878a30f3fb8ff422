package ip

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// identCounters is how many counters the identifications come from.
const identCounters = 1024

// Idents gives datagrams that may be cut their identifications: a keyed hash of source,
// destination and protocol, plus a counter that only some destinations share (RFC 7739,
// section 5.3). So none repeats for one destination before all others were used (RFC 6864,
// section 4.3: 65,536 over IPv4, within which a datagram's pieces are long there or lost),
// none can be guessed, and whoever sees those of one destination learns nothing about
// another's. Datagrams that cannot be cut have any (RFC 6864, section 4.1).
//
// It does not lock. Make it by NewIdents.
type Idents struct {
	secret   [32]byte
	counters [identCounters]uint32
}

// NewIdents returns a source of identifications. The secret must be random and nobody
// else's.
func NewIdents(secret [32]byte) *Idents {
	n := &Idents{secret: secret}
	// Where a counter starts tells nothing either.
	for i := range n.counters {
		var b [32 + 4]byte
		copy(b[:], secret[:])
		binary.BigEndian.PutUint32(b[32:], uint32(i))
		sum := sha256.Sum256(b[:])
		n.counters[i] = binary.BigEndian.Uint32(sum[:])
	}
	return n
}

// Next returns the identification of the next datagram; over IPv4 its lower 16 bits count.
func (n *Idents) Next(src, dst netip.Addr, p Protocol) uint32 {
	var b [32 + 1 + 2*16]byte
	copy(b[:], n.secret[:])
	b[32] = byte(p)
	s, d := src.As16(), dst.As16()
	copy(b[33:], s[:])
	copy(b[49:], d[:])
	sum := sha256.Sum256(b[:])
	counter := &n.counters[binary.BigEndian.Uint16(sum[4:])%identCounters]
	*counter++
	return binary.BigEndian.Uint32(sum[:]) + *counter
}
