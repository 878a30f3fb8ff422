// Package host gives the kernel its side of a TUN: addresses, and the interface up. What
// that takes differs between systems; where portico does not know how, the error says
// what a person has to type.
package host

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// outside are those of peers whose addresses no network of addrs holds.
func outside(peers, addrs []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(peers), func(p netip.Prefix) bool {
		return slices.ContainsFunc(addrs, func(a netip.Prefix) bool { return a.Contains(p.Addr()) })
	})
}

// Conflict returns an error if an interface of this machine already has one of the networks
// of prefixes, or a part of one, so that packets would go there. A network that is a part of
// a larger one is no conflict: routes to the smaller win.
func Conflict(prefixes []netip.Prefix) error {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil // whoever adds the address will say what is wrong
	}
	for _, iface := range ifaces {
		addrs, err := iface.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			have, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			for _, want := range prefixes {
				if have.Overlaps(want) && have.Bits() >= want.Bits() {
					return fmt.Errorf("%s overlaps %s, which %s has: choose other addresses with --addr and --host-addr",
						want, have, iface.Name)
				}
			}
		}
	}
	return nil
}
