//go:build !linux

package host

import (
	"fmt"
	"net/netip"
	"runtime"
)

// HasIPv6 is taken for granted.
func HasIPv6() bool { return true }

// Configure is known on Linux only.
func Configure(name string, addrs, peers []netip.Prefix) error {
	return fmt.Errorf("cannot give addresses to %s on %s: start with --host-addr none, and give %s its side yourself, with ifconfig for one",
		name, runtime.GOOS, name)
}
