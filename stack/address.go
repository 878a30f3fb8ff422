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
	errPortZero       = errors.New("port 0 names no service; dial a port from 1 to 65535")
)

// What net says when an address is not of the family asked for, and when Listen is
// given a network of packets or the other way round.
const (
	noSuitableAddress = "no suitable address found"
	unexpectedType    = "unexpected address type"
	noZones           = "zones are not supported; leave out the part from % on"
)

// services finds ports by the name of their service, in the host's list of them: that of
// Go, for the C library's uses a channel that must not be met in a testing/synctest bubble.
var services = &net.Resolver{PreferGo: true}

// parseAddress reads "host:port" as net does, but for names of hosts, which it does not
// resolve. A host that is empty or the unspecified address gives the zero Addr, and the
// families it stands for: with network "tcp" that is both, whichever unspecified address
// was written (as in net.Listen).
func parseAddress(network string, f family, address string) (netip.Addr, uint16, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	port, err := services.LookupPort(context.Background(), network, service)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	if host == "" {
		return netip.Addr{}, uint16(port), nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, &net.DNSError{
			Err:        "names need a resolver, and a stack has none; give a literal address",
			Name:       host,
			IsNotFound: true,
		}
	}
	addr = addr.Unmap()
	switch {
	case addr.Zone() != "":
		return netip.Addr{}, 0, &net.AddrError{Err: noZones, Addr: host}
	case !f.has(addr):
		return netip.Addr{}, 0, &net.AddrError{Err: noSuitableAddress, Addr: host}
	case addr.IsUnspecified():
		return netip.Addr{}, uint16(port), nil
	}
	return addr, uint16(port), nil
}

// netAddr is an address as net prints it: of the concrete type that users of net
// expect of the transport.
func netAddr(transport string, a netip.AddrPort) net.Addr {
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
