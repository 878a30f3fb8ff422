package ip_test

import (
	"net/netip"
	"testing"

	"github.com/a644562b/portico/ip"
)

// RFC 6864, section 4.3: within the 65,536 of IPv4 none comes twice for one destination,
// even among others.
func TestIdentificationsDoNotRepeat(t *testing.T) {
	idents := ip.NewIdents([32]byte{1})
	seen := map[uint16]bool{}
	other := netip.MustParseAddr("10.77.0.200")
	for i := range 60000 {
		id := uint16(idents.Next(us4, them4, ip.UDP))
		if seen[id] {
			t.Fatalf("%d again after %d", id, i)
		}
		seen[id] = true
		if i%20 == 0 {
			idents.Next(us4, other, ip.UDP)
		}
	}
}

// RFC 7739: what one destination sees, by each protocol, says nothing about another.
func TestIdentificationsAreNotSharedAmongDestinations(t *testing.T) {
	idents := ip.NewIdents([32]byte{1})
	var firsts []uint32
	seen := map[uint32]bool{}
	distances := map[uint32]bool{}
	note := func(id uint32) {
		if seen[id] {
			t.Errorf("%#x for two", id)
		}
		seen[id] = true
		if n := len(firsts); n > 0 {
			distances[id-firsts[n-1]] = true
		}
		firsts = append(firsts, id)
	}
	for i := range 250 {
		note(idents.Next(us4, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), ip.UDP))
	}
	note(idents.Next(us4, netip.AddrFrom4([4]byte{10, 0, 0, 0}), ip.ICMP))
	note(idents.Next(netip.AddrFrom4([4]byte{10, 77, 0, 3}), netip.AddrFrom4([4]byte{10, 0, 0, 0}), ip.UDP))
	note(idents.Next(us6, them6, ip.UDP))
	if len(distances) != len(firsts)-1 {
		t.Errorf("%d distances among %d identifications: they can be guessed from one another", len(distances), len(firsts))
	}
	// Under another secret all are others.
	if ip.NewIdents([32]byte{2}).Next(us4, netip.AddrFrom4([4]byte{10, 0, 0, 0}), ip.UDP) == firsts[0] {
		t.Error("the secret does not matter")
	}
}
