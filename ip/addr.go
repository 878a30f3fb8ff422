package ip

import "net/netip"

// ValidSource reports whether a can be the source of a packet that came over a wire:
// one other host. It is false for loopback, unspecified, multicast and the limited
// broadcast address, for all of 0.0.0.0/8 and 240.0.0.0/4 (RFC 1122, section 3.2.1.3;
// RFC 4291, section 2.5), and for IPv4-mapped IPv6 addresses, which name no host on an
// IPv6 network. A network's own broadcast address is IsBroadcast's to find.
func ValidSource(a netip.Addr) bool { return singleHost(a) && !a.IsLoopback() }

// singleHost reports whether a can name one host, this one included: what an answer
// may be sent to.
func singleHost(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first < 224
	}
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6()
}

// IsBroadcast reports whether a reaches more hosts than one without being multicast:
// the limited broadcast address, or the broadcast address of prefix (RFC 1122, section
// 3.3.6; RFC 919). Networks of /31 (RFC 3021) and /32 have none, nor has IPv6.
func IsBroadcast(a netip.Addr, prefix netip.Prefix) bool {
	if !a.Is4() {
		return false
	}
	v := a.As4()
	if v == [4]byte{255, 255, 255, 255} {
		return true
	}
	if prefix.Bits() > 30 || !prefix.Contains(a) {
		return false
	}
	host := uint32(1)<<(32-prefix.Bits()) - 1
	n := uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3])
	return n&host == host
}

// checkWireAddrs refuses addresses that do not occur on a wire.
func checkWireAddrs(h *Header) Drop {
	switch {
	case !ValidSource(h.Src) && !asksForAddress(h):
		return DropBadSource
	case !validDestination(h.Dst):
		return DropBadDestination
	}
	return DropNone
}

// asksForAddress reports whether the packet may come from a host that has no address yet:
// from the unspecified one, to a group, with a message that asks who is there (RFC 4291,
// section 2.5.2; RFC 4862, section 5.4.2).
func asksForAddress(h *Header) bool {
	return h.Protocol == ICMPv6 && h.Dst.Is6() && h.Dst.IsMulticast() && h.Src.IsUnspecified()
}

// ValidDestination reports whether a host may send to a: not to "this network" (RFC 1122,
// section 3.2.1.3), nor to a group of the reserved scope (RFC 4291, section 2.7).
func ValidDestination(a netip.Addr) bool {
	if a.Is4() {
		return a.As4()[0] != 0
	}
	return !a.IsMulticast() || a.As16()[1]&0xf != 0
}

// checkLocalAddrs is checkWireAddrs where loopback addresses are at home, and groups that do
// not leave the host.
func checkLocalAddrs(h *Header) Drop {
	switch {
	case !singleHost(h.Src):
		return DropBadSource
	case !h.Dst.IsLoopback() && !h.Dst.IsInterfaceLocalMulticast() && !validDestination(h.Dst):
		return DropBadDestination
	}
	return DropNone
}

// validDestination reports whether a packet to a may come over a wire: not to loopback
// (RFC 1122, section 3.2.1.3 (g); RFC 4291, section 2.5.3), nor to "this network" or
// the unspecified address, an IPv4-mapped one, or IPv6 multicast that does not leave
// its node (RFC 4291, section 2.7).
func validDestination(a netip.Addr) bool {
	switch {
	case a.Is4():
		return a.As4()[0] != 0 && !a.IsLoopback()
	case a.IsMulticast():
		scope := a.As16()[1] & 0xf
		return scope > 1
	}
	return !a.IsUnspecified() && !a.IsLoopback() && !a.Is4In6()
}
