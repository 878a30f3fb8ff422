package nstest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// AddAddr gives the kernel an address on device dev, and returns when the kernel takes
// packets for it. For IPv6 that is a moment later than ip(8) returns: the local route
// is made by a worker of the kernel's. There is no duplicate address detection.
func AddAddr(t testing.TB, dev string, addr netip.Prefix) {
	t.Helper()
	if err := addAddr(dev, addr); err != nil {
		t.Fatal(err)
	}
}

// addAddr does so in the namespace of the thread that it runs on.
func addAddr(dev string, addr netip.Prefix) error {
	if addr.Addr().Is4() {
		return runIP(fmt.Sprintf("addr add %v dev %s", addr, dev))
	}
	sock, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer syscall.Close(sock)
	const ipv6Routes = 1 << (syscall.RTNLGRP_IPV6_ROUTE - 1)
	if err := syscall.Bind(sock, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: ipv6Routes}); err != nil {
		return err
	}
	if err := runIP(fmt.Sprintf("addr add %v dev %s nodad", addr, dev)); err != nil {
		return err
	}
	for b := make([]byte, 1<<16); ; {
		n, _, err := syscall.Recvfrom(sock, b, 0)
		if err != nil {
			return fmt.Errorf("wait for the route to %v: %w", addr, err)
		}
		messages, err := syscall.ParseNetlinkMessage(b[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			if isLocalRoute(m, addr.Addr()) {
				return nil
			}
		}
	}
}

func runIP(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}

// isLocalRoute reports whether a message tells of a new route by which packets for
// addr are the kernel's own.
func isLocalRoute(m syscall.NetlinkMessage, addr netip.Addr) bool {
	const rtmType = 7 // of struct rtmsg
	if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) <= rtmType || m.Data[rtmType] != syscall.RTN_LOCAL {
		return false
	}
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if dst, ok := netip.AddrFromSlice(a.Value); ok && a.Attr.Type == syscall.RTA_DST && dst == addr {
			return true
		}
	}
	return false
}
