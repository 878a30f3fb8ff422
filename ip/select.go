package ip

import (
	"cmp"
	"net/netip"
	"slices"
)

// Choice of addresses by RFC 6724: which of its own a host sends from (section 5), and
// which of a peer's it tries first (section 6).
//
// Four of the rules have nothing to decide here. A host on a TUN is told its addresses and
// gets none by autoconfiguration, so that none is deprecated or temporary (source rules 3
// and 7, destination rule 3); none is a home address (rules 4); and there is one device
// (source rules 5 and 5.5) and no tunnel beneath it (destination rule 7).

// PolicyEntry is a row of the policy table of RFC 6724, section 2.1.
type PolicyEntry struct {
	Prefix     netip.Prefix // of IPv6; IPv4 addresses are looked up as ::ffff:a.b.c.d
	Precedence int          // destinations of a higher one are tried first
	Label      int          // destination and source of one label go together
}

// Policy is a policy table. The entry of the longest prefix that contains an address is
// the one that counts, and of several for one prefix the first.
type Policy []PolicyEntry

// DefaultPolicy is the table of RFC 6724, section 2.1.
var DefaultPolicy = Policy{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::/0"), 40, 1},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
}

// entry finds the entry for a; the zero entry when the table has none.
func (p Policy) entry(a netip.Addr) PolicyEntry {
	// A prefix never contains an IPv4-mapped address as netip sees it: compare bits.
	wide := netip.AddrFrom16(a.As16())
	best := PolicyEntry{}
	bits := -1
	for _, e := range p {
		if e.Prefix.Bits() > bits && commonBits(wide, e.Prefix.Addr()) >= e.Prefix.Bits() {
			best, bits = e, e.Prefix.Bits()
		}
	}
	return best
}

// Scopes of addresses (RFC 6724, section 3.1; RFC 4291, section 2.7). A greater one
// reaches further.
const (
	scopeLink   = 0x2
	scopeSite   = 0x5
	scopeGlobal = 0xe
)

// scope is the scope of a. Loopback counts as link-local, and so do 127.0.0.0/8 and
// 169.254.0.0/16; private IPv4 addresses are global (RFC 6724, sections 3.1 and 3.2).
func scope(a netip.Addr) int {
	switch {
	case a.Is6() && a.IsMulticast():
		return int(a.As16()[1] & 0xf)
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast():
		return scopeLink
	case siteLocal.Contains(a):
		return scopeSite
	}
	return scopeGlobal
}

// siteLocal is deprecated (RFC 3879) and still has its scope.
var siteLocal = netip.MustParsePrefix("fec0::/10")

// commonBits is how many leading bits two addresses of the same length share.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := 8 * i
			for ; d&0x80 == 0; d <<= 1 {
				n++
			}
			return n
		}
	}
	return 128
}

// matching is CommonPrefixLen of RFC 6724, section 2.2: how much of the prefix of one of
// our addresses the destination shares. Over IPv4 the whole prefix counts or nothing:
// networks that are numerically near are not near.
func matching(own netip.Prefix, dst netip.Addr) int {
	if dst.Is4() {
		if own.Contains(dst) {
			return own.Bits()
		}
		return 0
	}
	return min(commonBits(own.Addr(), dst), own.Bits())
}

// Source chooses which of a host's own addresses, given with the lengths of their
// prefixes, packets to dst come from (RFC 6724, section 5). Of equals it is the first. ok
// is false when there is none of the family of dst.
func (p Policy) Source(own []netip.Prefix, dst netip.Addr) (src netip.Addr, ok bool) {
	best := -1
	for i := range own {
		if own[i].Addr().Is4() != dst.Is4() {
			continue
		}
		if best < 0 || p.betterSource(own[i], own[best], dst) {
			best = i
		}
	}
	if best < 0 {
		return netip.Addr{}, false
	}
	return own[best].Addr(), true
}

// betterSource reports whether a is to be preferred to b, which stood before it.
func (p Policy) betterSource(a, b netip.Prefix, dst netip.Addr) bool {
	// Rule 1: prefer same address.
	if (a.Addr() == dst) != (b.Addr() == dst) {
		return a.Addr() == dst
	}
	// Rule 2: prefer appropriate scope.
	sa, sb, sd := scope(a.Addr()), scope(b.Addr()), scope(dst)
	switch {
	case sa < sb:
		return sa >= sd
	case sb < sa:
		return sb < sd
	}
	// Rule 6: prefer matching label.
	label := p.entry(dst).Label
	if la, lb := p.entry(a.Addr()).Label == label, p.entry(b.Addr()).Label == label; la != lb {
		return la
	}
	// Rule 8: use longest matching prefix.
	return matching(a, dst) > matching(b, dst)
}

// Destination is an address of a peer, and what a host would send from.
type Destination struct {
	Addr netip.Addr
	// Source is the address by which Addr is reached with the length of its prefix; the
	// zero Prefix: it cannot be reached.
	Source netip.Prefix
}

// SortDestinations puts a peer's addresses into the order in which they are to be tried
// (RFC 6724, section 6). Those between which no rule decides stay in the order that they
// came in (rule 10), which over IPv4 the longest matching prefix does not change: name
// servers spread the load by it (the text allows this of rules 9 and 10).
func (p Policy) SortDestinations(list []Destination) {
	slices.SortStableFunc(list, p.compareDestinations)
}

// compareDestinations is negative when a is to be tried before b.
func (p Policy) compareDestinations(a, b Destination) int {
	// Rule 1: avoid unusable destinations.
	if !a.Source.IsValid() || !b.Source.IsValid() {
		return -prefer(a.Source.IsValid(), b.Source.IsValid())
	}
	// Rule 2: prefer matching scope.
	sa, sb := scope(a.Addr), scope(b.Addr)
	if c := prefer(sa == scope(a.Source.Addr()), sb == scope(b.Source.Addr())); c != 0 {
		return -c
	}
	// Rule 5: prefer matching label.
	ea, eb := p.entry(a.Addr), p.entry(b.Addr)
	if c := prefer(ea.Label == p.entry(a.Source.Addr()).Label, eb.Label == p.entry(b.Source.Addr()).Label); c != 0 {
		return -c
	}
	// Rule 6: prefer higher precedence.
	if c := cmp.Compare(eb.Precedence, ea.Precedence); c != 0 {
		return c
	}
	// Rule 8: prefer smaller scope.
	if c := cmp.Compare(sa, sb); c != 0 {
		return c
	}
	// Rule 9: use longest matching prefix.
	if a.Addr.Is6() && b.Addr.Is6() {
		return cmp.Compare(matching(b.Source, b.Addr), matching(a.Source, a.Addr))
	}
	return 0
}

// prefer is 1 when only a holds, -1 when only b does.
func prefer(a, b bool) int {
	switch {
	case a && !b:
		return 1
	case b && !a:
		return -1
	}
	return 0
}
