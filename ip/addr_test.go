package ip_test

import (
	"net/netip"
	"testing"

	"github.com/a644562b/portico/ip"
)

func TestValidSource(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.0.0.1": true, "1.0.0.0": true, "126.255.255.255": true, "128.0.0.1": true, "169.254.1.1": true, "223.255.255.255": true,
		"0.0.0.0": false, "0.255.255.255": false, "127.0.0.1": false, "127.255.255.255": false,
		"224.0.0.0": false, "239.1.2.3": false, "240.0.0.0": false, "255.255.255.255": false,
		"2001:db8::1": true, "fe80::1": true, "fd00::1": true, "::2": true,
		"::": false, "::1": false, "ff02::1": false, "::ffff:10.0.0.1": false,
	} {
		if got := ip.ValidSource(netip.MustParseAddr(addr)); got != want {
			t.Errorf("ValidSource(%s) = %v", addr, got)
		}
	}
	if ip.ValidSource(netip.Addr{}) {
		t.Error("no address is a valid source")
	}
}

func TestIsBroadcast(t *testing.T) {
	tests := []struct {
		addr, prefix string
		want         bool
	}{
		{"255.255.255.255", "10.77.0.2/24", true},
		{"255.255.255.255", "10.77.0.2/32", true},
		{"255.255.255.255", "fd77::2/64", true},
		{"10.77.0.255", "10.77.0.2/24", true},
		{"10.77.0.255", "10.77.0.2/16", false},
		{"10.77.255.255", "10.77.0.2/16", true},
		{"10.255.255.255", "10.77.0.2/8", true},
		{"10.77.0.3", "10.77.0.2/30", true},
		{"10.77.0.3", "10.77.0.2/31", false},
		{"10.77.0.2", "10.77.0.2/32", false},
		{"10.77.0.0", "10.77.0.2/24", false},
		{"10.77.1.255", "10.77.0.2/24", false},
		{"ff02::1", "fd77::2/64", false},
		{"fd77::ffff:ffff:ffff:ffff", "fd77::2/64", false},
	}
	for _, test := range tests {
		if got := ip.IsBroadcast(netip.MustParseAddr(test.addr), netip.MustParsePrefix(test.prefix)); got != test.want {
			t.Errorf("IsBroadcast(%s, %s) = %v", test.addr, test.prefix, got)
		}
	}
	if ip.IsBroadcast(us4, netip.Prefix{}) {
		t.Error("the broadcast address of no network")
	}
	if !ip.IsBroadcast(netip.MustParseAddr("255.255.255.255"), netip.Prefix{}) {
		t.Error("the limited broadcast address needs no network")
	}
}

// What a host sends to itself may come from and go to loopback addresses, and is held
// to everything else.
func TestParseLocalAllowsLoopback(t *testing.T) {
	tests := []struct {
		src, dst string
		want     ip.Drop
	}{
		{"127.0.0.1", "127.0.0.1", ip.DropNone},
		{"10.77.0.2", "127.0.0.1", ip.DropNone},
		{"127.0.0.1", "10.77.0.2", ip.DropNone},
		{"10.77.0.2", "10.77.0.2", ip.DropNone},
		{"::1", "::1", ip.DropNone},
		{"fd77::2", "fd77::2", ip.DropNone},
		{"0.0.0.0", "127.0.0.1", ip.DropBadSource},
		{"224.0.0.1", "127.0.0.1", ip.DropBadSource},
		{"ff02::1", "::1", ip.DropBadSource},
		{"::", "::1", ip.DropBadSource},
		{"127.0.0.1", "0.0.0.0", ip.DropBadDestination},
		{"::1", "::", ip.DropBadDestination},
	}
	for _, test := range tests {
		h := ip.Header{Src: netip.MustParseAddr(test.src), Dst: netip.MustParseAddr(test.dst), Protocol: ip.UDP}
		packet := append(h.Append(nil, 4), "data"...)
		payload, drop := ip.ParseLocal(packet, &h)
		if drop != test.want || (drop == ip.DropNone) != (string(payload) == "data") {
			t.Errorf("%s to %s: %q, %v, want %v", test.src, test.dst, payload, drop, test.want)
		}
	}
	var h ip.Header
	if _, drop := ip.ParseLocal(packet4(nil, "x")[:20], &h); drop != ip.DropLength {
		t.Errorf("a packet that is cut: %v", drop)
	}
}
