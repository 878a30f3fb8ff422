package ip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/a644562b/portico/ip"
)

// The examples of RFC 6724, section 10.1, and one for each rule.
func TestSourceAddressSelection(t *testing.T) {
	for _, tt := range []struct {
		rule, dst, own, want string
	}{
		// Section 10.1.
		{"2: appropriate scope", "2001:db8:1::1", "2001:db8:3::1/64 fe80::1/64", "2001:db8:3::1"},
		{"2: appropriate scope", "ff05::1", "2001:db8:3::1/64 fe80::1/64", "2001:db8:3::1"},
		{"8: longest match", "2001:db8:1::1", "2001:db8:1::2/64 2001:db8:3::2/64", "2001:db8:1::2"},
		{"2: appropriate scope", "fe80::1", "fe80::2/64 2001:db8:1::2/64", "fe80::2"},
		{"1: same address", "2001:db8:1::1", "2001:db8:1::1/64 2001:db8:2::1/64", "2001:db8:1::1"},
		{"1: also as the second", "2001:db8:1::1", "2001:db8:2::1/64 2001:db8:1::1/64", "2001:db8:1::1"},
		{"6: matching label", "2002:c633:6401::1", "2002:c633:6401::d5e3:7953:13eb:22e8/64 2001:db8:1::2/64", "2002:c633:6401:0:d5e3:7953:13eb:22e8"},
		{"6: matching label", "2001:db8:1::d5e3:0:0:1", "2001:db8:1::2/64 2002:c633:6401::1/64", "2001:db8:1::2"},
		{"6: matching label", "2002:c633:6401::1", "2001:db8:1::2/64 2002:c633:6401::2/64", "2002:c633:6401::2"},
		// Scope, both ways and beyond.
		{"2: the smallest that suffices", "fec0::1", "2001:db8::1/64 fec0::2/64 fe80::1/64", "fec0::2"},
		{"2: the largest where none does", "2001:db8::9", "fe80::1/64 fec0::2/64", "fec0::2"},
		{"2: link-local multicast", "ff02::1", "2001:db8::1/64 fe80::1/64", "fe80::1"},
		{"2: global multicast", "ff0e::1", "fe80::1/64 2001:db8::1/64", "2001:db8::1"},
		{"6: unique local to unique local", "fd01::1", "2001:db8::1/64 fd77::1/64", "fd77::1"},
		{"6: global to global", "2a00::1", "fd77::1/64 2001:db8::1/64", "2001:db8::1"},
		// Rule 8 looks no further than the prefix of the address.
		{"8: up to the prefix's length", "2001:db8:1::ff", "2001:db8:1::1/64 2001:db8:1::fe/64", "2001:db8:1::1"},
		{"8: up to the prefix's length", "2001:db8:1::ff", "2001:db8:1::1/48 2001:db8:1::fe/64", "2001:db8:1::fe"},
		{"first of equals", "2001:db8::9", "2001:db8::1/64 2001:db8::2/64", "2001:db8::1"},
		// IPv4.
		{"containing prefix", "10.77.5.1", "10.0.0.1/8 10.77.5.2/24", "10.77.5.2"},
		{"nearness in bits is none", "8.8.8.8", "192.0.2.1/24 10.0.0.1/8", "192.0.2.1"},
		{"2: not link-local", "8.8.8.8", "169.254.1.1/16 10.0.0.1/8", "10.0.0.1"},
		{"2: link-local", "169.254.9.9", "10.0.0.1/8 169.254.1.1/16", "169.254.1.1"},
		{"no address of the family", "fd77::1", "10.0.0.1/8", ""},
		{"no address of the family", "10.0.0.1", "fd77::1/64", ""},
	} {
		var own []netip.Prefix
		for p := range strings.FieldsSeq(tt.own) {
			own = append(own, netip.MustParsePrefix(p))
		}
		got, ok := ip.DefaultPolicy.Source(own, netip.MustParseAddr(tt.dst))
		text := ""
		if ok {
			text = got.String()
		}
		if text != tt.want {
			t.Errorf("rule %s: %s from %s: %q, want %s", tt.rule, tt.dst, tt.own, text, tt.want)
		}
	}
}

// The examples of RFC 6724, section 10.2, and one for each rule. Each line is a list of
// destinations in the wanted order with what is sent from; it is given in both orders.
func TestDestinationAddressSelection(t *testing.T) {
	for _, tt := range []struct{ rule, first, second string }{
		// Section 10.2.
		{"2: matching scope", "2001:db8:1::1 from 2001:db8:1::2/64", "198.51.100.121 from 169.254.13.78/16"},
		{"2: matching scope", "198.51.100.121 from 198.51.100.117/24", "2001:db8:1::1 from fe80::1/64"},
		{"6: higher precedence", "2001:db8:1::1 from 2001:db8:1::2/64", "10.1.2.3 from 10.1.2.4/24"},
		{"8: smaller scope", "fe80::1 from fe80::2/64", "2001:db8:1::1 from 2001:db8:1::2/64"},
		{"9: longest matching prefix", "2001:db8:1::1 from 2001:db8:1::2/64", "2001:db8:3ffe::1 from 2001:db8:3f44::2/32"},
		{"5: matching label", "2002:c633:6401::1 from 2002:c633:6401::2/64", "2001:db8:1::1 from fe80::2/64"},
		{"6: higher precedence", "2001:db8:1::1 from 2001:db8:1::2/64", "2002:c633:6401::1 from 2002:c633:6401::2/64"},
		// One for each of the others.
		{"1: unusable", "10.1.2.3 from 10.1.2.4/24", "2001:db8:1::1 from -"},
		{"5: matching label", "203.0.113.1 from 10.0.0.1/8", "2001:db8::1 from fd77::1/64"},
		{"5: matching label", "203.0.113.1 from 10.0.0.1/8", "2002:c633:6401::1 from 2001:db8::1/64"},
		{"6: IPv4 before Teredo", "203.0.113.1 from 10.0.0.1/8", "2001::1 from 2001::2/32"},
		{"6: IPv4 before unique local", "203.0.113.1 from 10.0.0.1/8", "fd78::1 from fd77::1/64"},
		{"6: loopback", "::1 from ::1/128", "127.0.0.1 from 127.0.0.1/8"},
	} {
		for _, order := range [][]string{{tt.first, tt.second}, {tt.second, tt.first}} {
			list := destinations(order...)
			ip.DefaultPolicy.SortDestinations(list)
			if want := destinations(tt.first)[0].Addr; list[0].Addr != want {
				t.Errorf("rule %s: given %q, %v is first", tt.rule, order, list[0].Addr)
			}
		}
	}
}

// Rule 10: what no rule decides stays as it was, and over IPv4 prefixes decide nothing.
func TestDestinationsOfEqualWorthKeepTheirOrder(t *testing.T) {
	order := []string{"198.51.100.9 from 10.0.0.1/8", "10.0.0.9 from 10.0.0.1/8", "203.0.113.4 from 10.0.0.1/8"}
	list := destinations(order...)
	ip.DefaultPolicy.SortDestinations(list)
	for i, d := range destinations(order...) {
		if list[i] != d {
			t.Errorf("%v is in place %d, want %v", list[i].Addr, i, d.Addr)
		}
	}
}

func TestPolicyOfTheUser(t *testing.T) {
	// Prefer IPv4, the usual reason to change the table (RFC 6724, section 10.3).
	policy := append(ip.Policy{{Prefix: netip.MustParsePrefix("::ffff:0:0/96"), Precedence: 100, Label: 4}}, ip.DefaultPolicy...)
	list := destinations("2001:db8:1::1 from 2001:db8:1::2/64", "10.1.2.3 from 10.1.2.4/24")
	policy.SortDestinations(list)
	if !list[0].Addr.Is4() {
		t.Errorf("%v is first", list[0].Addr)
	}
}

// destinations reads "ADDR from PREFIX"; "-" is no source.
func destinations(texts ...string) []ip.Destination {
	var list []ip.Destination
	for _, text := range texts {
		words := strings.Fields(text)
		d := ip.Destination{Addr: netip.MustParseAddr(words[0])}
		if words[2] != "-" {
			d.Source = netip.MustParsePrefix(words[2])
		}
		list = append(list, d)
	}
	return list
}
