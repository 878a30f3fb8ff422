package main

import (
	"fmt"
	"net/netip"
	"slices"
)

// hostsBeside are the host's addresses where only portico's own were given: in each of their
// networks the first that is free.
func hostsBeside(own []netip.Prefix) ([]netip.Prefix, error) {
	var hosts []netip.Prefix
	for _, p := range own {
		if slices.ContainsFunc(hosts, func(h netip.Prefix) bool { return h.Masked() == p.Masked() }) {
			continue
		}
		h, ok := freeBeside(p, own)
		if !ok {
			return nil, fmt.Errorf("%s leaves the host no address in its network: give it one with --host-addr", p)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// freeBeside is the first address of p's network that a host may have and that none of own is.
func freeBeside(p netip.Prefix, own []netip.Prefix) (netip.Prefix, bool) {
	network := p.Masked()
	a := network.Addr()
	if a.BitLen()-p.Bits() > 1 {
		a = a.Next() // the first is no host's but where there are just two (RFC 3021, RFC 6164)
	}
	for ; network.Contains(a); a = a.Next() {
		if !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Addr() == a }) {
			return netip.PrefixFrom(a, p.Bits()), !isBroadcast(a, network)
		}
	}
	return netip.Prefix{}, false
}

// isBroadcast reports whether a is the last address of an IPv4 network of more than two.
func isBroadcast(a netip.Addr, network netip.Prefix) bool {
	return a.Is4() && network.Bits() < 31 && !network.Contains(a.Next())
}
