package stack

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/a644562b/portico/ip"
)

// addRoutes fills the table: the networks of our addresses are on the link, then comes
// what the configuration names, or, where it names nothing, a default route of each
// family that we have an address of.
func (a *addrs) addRoutes(cfg *Config) {
	for _, p := range a.prefixes {
		a.routes.Add(ip.Route{Prefix: p})
	}
	for _, r := range cfg.Routes {
		a.routes.Add(r)
	}
	if cfg.Routes != nil {
		return
	}
	a.plain = true
	for _, p := range a.prefixes {
		if p.Addr().Is4() {
			a.routes.Add(ip.Route{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
		} else {
			a.routes.Add(ip.Route{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
		}
	}
}

// reach finds the route to dst. Without one, and to a blackhole, the error is ENETUNREACH;
// of an unreachable network it is EHOSTUNREACH, of a prohibited one EACCES, and of what no
// host sends to EINVAL. Our own
// addresses, multicast and the limited broadcast need no route, and where everything goes
// by the device none is looked for: nil without an error.
func (a *addrs) reach(dst netip.Addr) (*ip.Route, error) {
	if !ip.ValidDestination(dst) {
		return nil, syscall.EINVAL
	}
	if a.plain && a.families.has(dst) || a.isLocal(dst) || dst.IsMulticast() || dst == limitedBroadcast {
		return nil, nil
	}
	r := a.routes.Lookup(dst)
	if r == nil {
		return nil, syscall.ENETUNREACH
	}
	switch r.Kind {
	case ip.RouteBlackhole:
		return nil, syscall.ENETUNREACH
	case ip.RouteUnreachable:
		return nil, syscall.EHOSTUNREACH
	case ip.RouteProhibit:
		return nil, syscall.EACCES
	}
	return r, nil
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// answerable reports whether dst can be sent to.
func (a *addrs) answerable(dst netip.Addr) bool {
	_, err := a.reach(dst)
	return err == nil
}

// mtuTo is the largest packet in bytes that the device and the route to dst carry; what
// lies further along the path is not known to it.
func (i *iface) mtuTo(dst netip.Addr) int {
	mtu := int(i.mtu.Load())
	if i.local || i.stack.addrs.plain {
		return mtu
	}
	if r, err := i.stack.addrs.reach(dst); err == nil && r != nil && r.MTU != 0 {
		return min(mtu, r.MTU)
	}
	return mtu
}

// checkRoutes refuses routes that make no sense.
func (c *Config) checkRoutes() error {
	own := make(map[netip.Addr]bool)
	for _, p := range c.Addrs {
		own[p.Addr()] = true
	}
	for _, r := range c.Routes {
		least := minMTU4
		if r.Prefix.Addr().Is6() {
			least = minMTU6
		}
		switch {
		case !r.Prefix.IsValid():
			return fmt.Errorf("stack: Routes holds an invalid prefix; write a network such as 10.0.0.0/8, or 0.0.0.0/0 for the default")
		case r.Prefix.Addr().Is4In6():
			return fmt.Errorf("stack: the route to %v is of an IPv4-mapped network; write it as IPv4", r.Prefix)
		case r.Kind > ip.RouteProhibit:
			return fmt.Errorf("stack: the route to %v has the unknown kind %d", r.Prefix, r.Kind)
		case r.MTU != 0 && r.MTU < least:
			return fmt.Errorf("stack: the route to %v has an MTU of %d; it needs %d or more, or 0 for that of the device", r.Prefix, r.MTU, least)
		case r.Source.IsValid() && !own[r.Source]:
			return fmt.Errorf("stack: the route to %v has the source %v, which is not in Addrs", r.Prefix, r.Source)
		case r.Source.IsValid() && r.Source.Is4() != r.Prefix.Addr().Is4():
			return fmt.Errorf("stack: the route to %v has the source %v of the other family", r.Prefix, r.Source)
		}
	}
	return nil
}
