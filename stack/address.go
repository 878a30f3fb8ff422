package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// family is a set of address families.
type family uint8

const (
	family4 family = 1 << iota
	family6
	familyAny = family4 | family6
)

// familyOf is the family of one address.
func familyOf(a netip.Addr) family {
	if a.Is4() {
		return family4
	}
	return family6
}

// has reports whether the family of a is in the set.
func (f family) has(a netip.Addr) bool { return f&familyOf(a) != 0 }

// The transports, as the networks of package net begin.
const (
	networkTCP = "tcp"
	networkUDP = "udp"
)

// network is a network of TCP, in a byte.
type network uint8

const (
	networkTCPAny network = iota
	networkTCP4
	networkTCP6
)

// tcpNetwork is the network of TCP of that name, "tcp" for all but "tcp4" and "tcp6".
func tcpNetwork(name string) network {
	switch name {
	case "tcp4":
		return networkTCP4
	case "tcp6":
		return networkTCP6
	}
	return networkTCPAny
}

func (n network) String() string { return [...]string{"tcp", "tcp4", "tcp6"}[n] }

// parseNetwork takes a network of package net apart, "tcp6" for one.
func parseNetwork(network string) (transport string, f family, err error) {
	switch network {
	case "tcp", "udp":
		return network, familyAny, nil
	case "tcp4", "udp4":
		return network[:3], family4, nil
	case "tcp6", "udp6":
		return network[:3], family6, nil
	}
	return "", 0, net.UnknownNetworkError(network)
}

var (
	errMissingAddress = errors.New("missing address")
	errNoStack        = errors.New("the field Stack is nil; set it to the stack to dial or listen by")
	errPortZero       = errors.New("port 0 names no service; dial a port from 1 to 65535")
)

// What net says when an address is not of the family asked for, and when Listen is
// given a network of packets or the other way round.
const (
	noSuitableAddress = "no suitable address found"
	unexpectedType    = "unexpected address type"
)

// services finds ports by the name of their service, in the host's list of them: that of
// Go, for the C library's uses a channel that must not be met in a testing/synctest bubble.
var services = &net.Resolver{PreferGo: true}

// target is what a user has written for a host and a port: an address, a name that is
// yet to be resolved, or neither, which means this host.
type target struct {
	addr netip.Addr // without a zone
	name string
	port uint16
}

// parseTarget reads "host:port" as net does. A host that is empty or the unspecified
// address gives neither an address nor a name, and stands for the families of the network:
// with "tcp" that is both, whichever unspecified address was written (as in net.Listen).
func (s *Stack) parseTarget(network string, f family, address string) (target, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return target{}, err
	}
	port, err := services.LookupPort(context.Background(), network, service)
	if err != nil {
		return target{}, err
	}
	t := target{port: uint16(port)}
	if host == "" {
		return t, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		t.name = host
		return t, nil
	}
	if addr, err = s.unzoned(addr.Unmap()); err != nil {
		return target{}, err
	}
	if !f.has(addr) {
		return target{}, &net.AddrError{Err: noSuitableAddress, Addr: host}
	}
	if !addr.IsUnspecified() {
		t.addr = addr
	}
	return t, nil
}

// netAddr is an address as net prints it: of the concrete type that users of net
// expect of the transport.
func (s *Stack) netAddr(transport string, a netip.AddrPort) net.Addr {
	a = s.zoned(a)
	if transport == networkUDP {
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}

// addrPortOf reads an address that a user gave as a net.Addr. Without an IP the Addr of
// the result is the zero one. ok is false for types that are not of net's TCP or UDP.
func addrPortOf(a net.Addr) (ap netip.AddrPort, ok bool) {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	default:
		return ap, false
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
}
