// Package group is a host's part of managing multicast groups, sans I/O: IGMPv3 (RFC 9776,
// formerly 3376) and MLDv2 (RFC 9777, formerly 3810), which are one protocol in two
// dresses. It merges what the sockets want to hear, tells the routers of the link by
// reports, answers their queries, and speaks the older versions (RFC 1112, RFC 2236, RFC
// 2710) while a router that knows no better is there.
//
// A Host is one family on one link. Whoever owns a clock and the link drives it: Set and
// Query are told what happens, Deadline says when Tick is due, and Tick hands out messages.
// They go out with a hop limit of 1 and the router alert option, from a link-local address
// or the unspecified one where they are of MLD.
//
// It refuses to be a router: it asks nobody, and knows nothing of who else is a member,
// except that a report of another host is enough for both in the older versions.
package group

import (
	"net/netip"
	"slices"
)

// Mode says what the sources of a Filter are.
type Mode uint8

const (
	// Include: only these sources are heard. Without any, nothing is: no member.
	Include Mode = iota
	// Exclude: all but these sources are heard.
	Exclude
)

// Filter says from whom the datagrams to one group are heard (RFC 9776, section 2). The
// zero value is that of who is no member. Sources are sorted, each there once.
type Filter struct {
	Mode    Mode
	Sources []netip.Addr
}

// All is the filter of a member that hears everybody.
var All = Filter{Mode: Exclude}

// None reports whether nothing is heard.
func (f Filter) None() bool { return f.Mode == Include && len(f.Sources) == 0 }

// Hears reports whether datagrams of src are heard.
func (f Filter) Hears(src netip.Addr) bool {
	_, found := slices.BinarySearchFunc(f.Sources, src, netip.Addr.Compare)
	return found == (f.Mode == Include)
}

// With returns the filter with src among its sources.
func (f Filter) With(src netip.Addr) Filter {
	i, found := slices.BinarySearchFunc(f.Sources, src, netip.Addr.Compare)
	if found {
		return f
	}
	return Filter{f.Mode, slices.Insert(slices.Clone(f.Sources), i, src)}
}

// Without returns the filter without src among its sources.
func (f Filter) Without(src netip.Addr) Filter {
	i, found := slices.BinarySearchFunc(f.Sources, src, netip.Addr.Compare)
	if !found {
		return f
	}
	return Filter{f.Mode, slices.Delete(slices.Clone(f.Sources), i, i+1)}
}

// Merge is what the link must deliver so that each of several members gets what it wants
// (RFC 9776, section 3.2): all that any of them hears. A member that hears everything but a
// few decides the mode.
func Merge(filters []Filter) Filter {
	var included, excluded Filter
	some := false
	for _, f := range filters {
		switch {
		case f.Mode == Include:
			for _, s := range f.Sources {
				included = included.With(s)
			}
		case !some:
			some, excluded = true, f
		default:
			excluded = Filter{Exclude, intersect(excluded.Sources, f.Sources)}
		}
	}
	if !some {
		return included
	}
	return Filter{Exclude, subtract(excluded.Sources, included.Sources)}
}

// intersect returns what is in both sorted lists.
func intersect(a, b []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(a), func(s netip.Addr) bool { return !contains(b, s) })
}

// subtract returns what is in the sorted list a and not in b.
func subtract(a, b []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(a), func(s netip.Addr) bool { return contains(b, s) })
}

func contains(list []netip.Addr, a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(list, a, netip.Addr.Compare)
	return found
}

// The groups that every host is in (RFC 1112, section 4; RFC 4291, section 2.7.1).
var (
	AllHosts4 = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	AllNodes6 = netip.MustParseAddr("ff02::1")
)

// Silent reports whether membership in a group is nobody's business: of those that every
// host is in, and those that do not leave the host (RFC 9776, section 5; RFC 9777, section
// 6).
func Silent(g netip.Addr) bool {
	if g.Is4() {
		return g == AllHosts4
	}
	return g == AllNodes6 || g.As16()[1]&0xf <= 1
}

// SolicitedNode is the group by which neighbours look for an IPv6 address (RFC 4291, section
// 2.7.1).
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	copy(b[:13], []byte{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff})
	return netip.AddrFrom16(b)
}
