package ip

import (
	"cmp"
	"net/netip"
	"slices"
)

// RouteKind is what becomes of packets to a network.
type RouteKind uint8

const (
	// RouteDevice: they go out by the device. There is no link layer and so no gateway
	// to name: whoever is at the other end takes them further.
	RouteDevice RouteKind = iota
	// RouteBlackhole: they vanish, as if there were no route.
	RouteBlackhole
	// RouteUnreachable: the sender is told that the host cannot be reached.
	RouteUnreachable
	// RouteProhibit: the sender is told that it is forbidden.
	RouteProhibit
)

var routeKindNames = [...]string{"device", "blackhole", "unreachable", "prohibit"}

// String is the word of ip-route(8), "device" for the ordinary kind.
func (k RouteKind) String() string {
	if int(k) < len(routeKindNames) {
		return routeKindNames[k]
	}
	return "unknown"
}

// Route says where packets to a network go.
type Route struct {
	// Prefix is the network; 0.0.0.0/0 and ::/0 are the default routes. Bits of the
	// address beyond its length are not looked at.
	Prefix netip.Prefix
	Kind   RouteKind
	// MTU in bytes is the largest packet that the way carries, where that is less than
	// the device's; 0: the device's.
	MTU int
	// Source is the address to send from, before all rules (ip-route(8): src); the zero
	// Addr leaves it to the rules.
	Source netip.Addr
}

// Routes is a table of routes. The zero value is empty. Looking up is safe for any number
// of goroutines at once while nobody adds.
type Routes struct {
	v4, v6 []routeLen
}

// routeLen are the routes of one prefix length, by network address.
type routeLen struct {
	bits int
	to   map[netip.Addr]*Route
}

// Add enters a route, in the place of one to the same network if there is any. The prefix
// is to be valid.
func (t *Routes) Add(r Route) {
	r.Prefix = r.Prefix.Masked()
	lens := &t.v6
	if r.Prefix.Addr().Is4() {
		lens = &t.v4
	}
	at, found := slices.BinarySearchFunc(*lens, r.Prefix.Bits(), func(l routeLen, bits int) int {
		return cmp.Compare(bits, l.bits) // the longest stands first
	})
	if !found {
		*lens = slices.Insert(*lens, at, routeLen{bits: r.Prefix.Bits(), to: make(map[netip.Addr]*Route)})
	}
	(*lens)[at].to[r.Prefix.Addr()] = &r
}

// Lookup finds the route to dst, that of the longest prefix which contains it (RFC 1122,
// section 3.3.1; RFC 4632); nil when there is none. dst is to have no zone.
func (t *Routes) Lookup(dst netip.Addr) *Route {
	lens := t.v6
	if dst.Is4() {
		lens = t.v4
	}
	for i := range lens {
		network, err := dst.Prefix(lens[i].bits)
		if err != nil {
			return nil // no address at all
		}
		if r := lens[i].to[network.Addr()]; r != nil {
			return r
		}
	}
	return nil
}
