package stack

import (
	"fmt"
	"net"
	"net/netip"
)

// Zones (RFC 4007). Inside the stack addresses have none: there is one device, and whatever
// is link-local is so there. They are cut off what users give and put on what they get.
//
// A link-local address without a zone means the device, the default zone of RFC 4007,
// section 6. Linux wants the zone, and answers EINVAL without.

// The numbers of the two devices, for zones that are written as one: those that Linux
// would give them.
const (
	zoneLoopback = "1"
	zoneDevice   = "2"
)

// unzoned is a without its zone, or an error when no device of the stack is called so.
func (s *Stack) unzoned(a netip.Addr) (netip.Addr, error) {
	zone, name := a.Zone(), s.device.dev.Name()
	if zone == "" {
		return a, nil
	}
	bare := a.WithZone("")
	switch {
	case zone == name || zone == zoneDevice:
		return bare, nil
	case (zone == s.loop.dev.Name() || zone == zoneLoopback) && s.addrs.isLocal(bare):
		return bare, nil
	}
	return netip.Addr{}, &net.AddrError{Err: fmt.Sprintf("no device %q here; the zone is %s, or none", zone, name), Addr: a.String()}
}

// zoned is a with the zone of the device, where that is a part of it.
func (s *Stack) zoned(a netip.AddrPort) netip.AddrPort {
	if !linkScoped(a.Addr()) {
		return a
	}
	return netip.AddrPortFrom(a.Addr().WithZone(s.device.dev.Name()), a.Port())
}

// linkScoped reports whether a means something on one link only.
func linkScoped(a netip.Addr) bool {
	return a.Is6() && (a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast())
}
