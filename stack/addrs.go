package stack

import (
	"net/netip"
	"syscall"

	"github.com/a644562b/portico/ip"
)

// addrs are the stack's own addresses and the choice among them.
type addrs struct {
	prefixes []netip.Prefix
	own      map[netip.Addr]bool
	policy   ip.Policy
	routes   ip.Routes
	plain    bool   // routes are the networks of our addresses and the default ones
	families family // those that we have an address of
}

// newAddrs takes what the configuration says, and adds what a host has besides.
func newAddrs(cfg *Config) addrs {
	a := addrs{prefixes: append([]netip.Prefix(nil), cfg.Addrs...), own: make(map[netip.Addr]bool), policy: cfg.AddrPolicy}
	if p, ok := linkLocal(cfg.Addrs); ok {
		a.prefixes = append(a.prefixes, p)
	}
	for _, p := range a.prefixes {
		a.own[p.Addr()] = true
		a.families |= familyOf(p.Addr())
	}
	a.addRoutes(cfg)
	return a
}

// linkLocal is the link-local address that every IPv6 interface has to have (RFC 4291,
// section 2.8): where none is configured, that of the interface identifier of the first
// IPv6 address, fe80::2 beside fd77::2. It is not looked for on the link first (RFC 4862,
// section 5.4): a TUN has no neighbours, and nothing but the configuration gives addresses.
func linkLocal(prefixes []netip.Prefix) (netip.Prefix, bool) {
	var first netip.Addr
	for _, p := range prefixes {
		switch {
		case p.Addr().Is4():
		case p.Addr().IsLinkLocalUnicast():
			return netip.Prefix{}, false
		case !first.IsValid():
			first = p.Addr()
		}
	}
	if !first.IsValid() {
		return netip.Prefix{}, false
	}
	b := first.As16()
	copy(b[:8], []byte{0xfe, 0x80, 0, 0, 0, 0, 0, 0})
	return netip.PrefixFrom(netip.AddrFrom16(b), 64), true
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

// loopback4 is what packets to any address of 127.0.0.0/8 come from, as on Linux.
var loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// source is the address that packets to dst come from: dst itself when it is ours, else
// what the route names, else by RFC 6724, section 5. Without a way to dst the error is
// what connect answers: see reach.
func (a *addrs) source(dst netip.Addr) (netip.Addr, error) {
	if a.isLocal(dst) {
		if dst.Is4() && dst.IsLoopback() {
			return loopback4, nil
		}
		return dst, nil
	}
	r, err := a.reach(dst)
	if err != nil {
		return netip.Addr{}, err
	}
	if r != nil && r.Source.IsValid() {
		return r.Source, nil
	}
	src, ok := a.policy.Source(a.prefixes, dst)
	if !ok {
		return netip.Addr{}, syscall.ENETUNREACH
	}
	return src, nil
}

// answerer is the address that an answer to a packet with header h comes from: the one that
// was asked, or the one of ours to send from where that was a group (RFC 4443, section 2.2).
func (a *addrs) answerer(h *ip.Header) (netip.Addr, error) {
	if h.Dst.IsMulticast() {
		return a.source(h.Src)
	}
	return h.Dst, nil
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

// prefixOf is the prefix that an address of ours was given with.
func (a *addrs) prefixOf(own netip.Addr) netip.Prefix {
	for _, p := range a.prefixes {
		if p.Addr() == own {
			return p
		}
	}
	return netip.PrefixFrom(own, own.BitLen())
}

// sorted puts the addresses of a peer into the order in which they are to be tried (RFC
// 6724, section 6).
func (a *addrs) sorted(peer []netip.Addr) []netip.Addr {
	list := make([]ip.Destination, len(peer))
	for i, dst := range peer {
		list[i].Addr = dst
		if src, err := a.source(dst); err == nil {
			list[i].Source = a.prefixOf(src)
		}
	}
	a.policy.SortDestinations(list)
	out := make([]netip.Addr, len(list))
	for i := range list {
		out[i] = list[i].Addr
	}
	return out
}
