package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ipv6Settings is where the kernel keeps what it was told about IPv6; missing where it has
// none.
const ipv6Settings = "/proc/sys/net/ipv6/conf"

// HasIPv6 reports whether the kernel knows IPv6 at all.
func HasIPv6() bool {
	_, err := os.Stat(ipv6Settings)
	return err == nil
}

// enableIPv6 allows IPv6 on the interface, which a machine may have forbidden to new ones.
// The interface is ours. An error shows when the address is given.
func enableIPv6(name string) {
	_ = os.WriteFile(filepath.Join(ipv6Settings, name, "disable_ipv6"), []byte("0"), 0)
}

// Configure gives the interface its addresses, takes it up, and leads packets to peers there
// that no network of addrs holds. All vanishes with the interface.
func Configure(name string, addrs, peers []netip.Prefix) error {
	iface, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", name, err)
	}
	for _, p := range addrs {
		addr, err := netlink.ParseAddr(p.String())
		if err != nil {
			return fmt.Errorf("cannot give %s to %s: %w", p, name, err)
		}
		if p.Addr().Is6() {
			enableIPv6(name)
			addr.Flags = unix.IFA_F_NODAD // nobody else is on this wire
		}
		if err := netlink.AddrAdd(iface, addr); err != nil {
			return fmt.Errorf("cannot give %s to %s: %w", p, name, explain(p, err))
		}
	}
	if err := netlink.LinkSetUp(iface); err != nil {
		return fmt.Errorf("cannot take %s up: %w", name, err)
	}
	for _, p := range outside(peers, addrs) {
		if err := netlink.RouteAdd(routeTo(p.Addr(), iface)); err != nil {
			return fmt.Errorf("cannot lead packets to %s by %s: %w", p.Addr(), name, err)
		}
	}
	return awaitIPv6(iface, addrs)
}

// routeTo is the route to one address by an interface.
func routeTo(a netip.Addr, by netlink.Link) *netlink.Route {
	bits := a.BitLen()
	return &netlink.Route{
		LinkIndex: by.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, bits)},
	}
}

// How long the kernel gets to make IPv6 addresses usable, and how often to look.
const (
	addressPatience = 2 * time.Second
	addressInterval = time.Millisecond
)

// awaitIPv6 waits until packets to the IPv6 addresses are taken in. The kernel comes to that
// point in a worker of its own, some time after the interface is up, although with
// IFA_F_NODAD there is nothing to detect: first the address ceases to be tentative, then it
// gets its local route, and until then what is sent to it is dropped.
func awaitIPv6(iface netlink.Link, prefixes []netip.Prefix) error {
	for limit := time.Now().Add(addressPatience); ; time.Sleep(addressInterval) {
		addrs, err := netlink.AddrList(iface, netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("cannot list the addresses of %s: %w", iface.Attrs().Name, err)
		}
		tentative := slices.ContainsFunc(addrs, func(a netlink.Addr) bool {
			return a.Flags&unix.IFA_F_TENTATIVE != 0 && !a.IP.IsLinkLocalUnicast()
		})
		if !tentative && !slices.ContainsFunc(prefixes, notLocal6) || time.Now().After(limit) {
			return nil
		}
	}
}

// notLocal6 reports whether packets to an IPv6 address would not be taken in yet.
func notLocal6(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return false
	}
	routes, err := netlink.RouteGet(p.Addr().AsSlice())
	return err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL
}

// explain adds the remedy to the kernel's reason.
func explain(p netip.Prefix, err error) error {
	switch {
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: run it with sudo", err)
	case p.Addr().Is6() && (errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EOPNOTSUPP)):
		return fmt.Errorf("%w: IPv6 is off on this machine; give only IPv4 addresses, or set net.ipv6.conf.all.disable_ipv6=0", err)
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: that is no address for a host; choose another with --host-addr", err)
	}
	return err
}
