package stack

import (
	"net/netip"

	"github.com/a644562b/portico/ip"
)

// addrs are the stack's own addresses and the choice among them.
type addrs struct {
	prefixes []netip.Prefix
	own      map[netip.Addr]bool
}

func newAddrs(prefixes []netip.Prefix) addrs {
	a := addrs{prefixes: append([]netip.Prefix(nil), prefixes...), own: make(map[netip.Addr]bool)}
	for _, p := range prefixes {
		a.own[p.Addr()] = true
	}
	return a
}

// isLocal reports whether packets to dst stay within the stack.
func (a *addrs) isLocal(dst netip.Addr) bool { return a.own[dst] || dst.IsLoopback() }

// isBroadcast reports whether dst is the limited broadcast address or that of one of our
// networks.
func (a *addrs) isBroadcast(dst netip.Addr) bool {
	if !dst.Is4() {
		return false
	}
	for _, p := range a.prefixes {
		if ip.IsBroadcast(dst, p) {
			return true
		}
	}
	return false
}

// source is the address that packets to dst come from: dst itself when it is local, else
// the address whose prefix contains dst and is the longest, else the first of the family.
// ok is false when the stack has none of the family.
func (a *addrs) source(dst netip.Addr) (src netip.Addr, ok bool) {
	if a.isLocal(dst) {
		return dst, true
	}
	longest := -1
	for _, p := range a.prefixes {
		if p.Addr().Is4() != dst.Is4() {
			continue
		}
		bits := 0
		if p.Contains(dst) {
			bits = p.Bits()
		}
		if bits > longest {
			src, longest = p.Addr(), bits
		}
	}
	return src, longest >= 0
}

// anyOwn is what an empty or unspecified host means to Dial: this host, by its first
// address, of the family if one is asked for.
func (a *addrs) anyOwn(want family) (netip.Addr, bool) {
	for _, p := range a.prefixes {
		if want.has(p.Addr()) {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}
