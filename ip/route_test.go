package ip_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/a644562b/portico/ip"
)

func TestLongestPrefixWins(t *testing.T) {
	var table ip.Routes
	if r := table.Lookup(us4); r != nil {
		t.Errorf("an empty table has a route: %v", r)
	}
	for _, p := range []string{"10.77.5.0/24", "0.0.0.0/0", "10.0.0.0/8", "10.77.5.7/32", "fd77::/64", "::/0", "fd77::9/128"} {
		table.Add(ip.Route{Prefix: netip.MustParsePrefix(p)})
	}
	for dst, want := range map[string]string{
		"10.77.5.7": "10.77.5.7/32", "10.77.5.8": "10.77.5.0/24", "10.77.6.1": "10.0.0.0/8", "11.0.0.1": "0.0.0.0/0",
		"fd77::9": "fd77::9/128", "fd77::a": "fd77::/64", "fd78::1": "::/0",
	} {
		if r := table.Lookup(netip.MustParseAddr(dst)); r == nil || r.Prefix.String() != want {
			t.Errorf("%s goes by %v, want %s", dst, r, want)
		}
	}
	if r := table.Lookup(netip.Addr{}); r != nil {
		t.Errorf("no address has the route %v", r)
	}
}

func TestRouteToTheSameNetworkReplaces(t *testing.T) {
	var table ip.Routes
	table.Add(ip.Route{Prefix: netip.MustParsePrefix("10.1.2.3/8"), MTU: 1})
	table.Add(ip.Route{Prefix: netip.MustParsePrefix("10.9.9.9/8"), MTU: 2})
	r := table.Lookup(netip.MustParseAddr("10.5.5.5"))
	if r == nil || r.MTU != 2 || r.Prefix.String() != "10.0.0.0/8" {
		t.Errorf("%+v", r)
	}
}

// Against the plainest search, over networks and addresses that often meet.
func TestLookupAgreesWithALinearSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	addr := func(six bool) netip.Addr {
		if six {
			var b [16]byte
			b[0], b[1], b[15] = 0xfd, byte(rnd.IntN(4)), byte(rnd.IntN(4))
			return netip.AddrFrom16(b)
		}
		return netip.AddrFrom4([4]byte{10, byte(rnd.IntN(4)), 0, byte(rnd.IntN(4))})
	}
	for range 300 {
		var table ip.Routes
		var all []netip.Prefix
		for range 12 {
			a := addr(rnd.IntN(2) == 0)
			p := netip.PrefixFrom(a, rnd.IntN(a.BitLen()+1)).Masked()
			table.Add(ip.Route{Prefix: p})
			all = append(all, p)
		}
		for range 30 {
			dst := addr(rnd.IntN(2) == 0)
			want := netip.Prefix{}
			for _, p := range all {
				if p.Contains(dst) && (!want.IsValid() || p.Bits() > want.Bits()) {
					want = p
				}
			}
			got := netip.Prefix{}
			if r := table.Lookup(dst); r != nil {
				got = r.Prefix
			}
			if got != want {
				t.Fatalf("%v among %v: %v, want %v", dst, all, got, want)
			}
		}
	}
}
