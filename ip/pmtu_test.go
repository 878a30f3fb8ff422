package ip_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// tooBig is an error about a packet of length bytes that we sent to them.
func tooBig(f pair, length, mtu int) *ip.Quote {
	return &ip.Quote{
		Kind: ip.ErrorTooBig, MTU: mtu, Length: length,
		Header: ip.Header{Src: f.us, Dst: f.them, Len: ip.HeaderLen4},
	}
}

func TestPathMTUHeedsWhatCanBeTrue(t *testing.T) {
	v4, v6 := families[0], families[1]
	cut := func(mtu int) ip.PathMTU { return ip.PathMTU{MTU: mtu, MayCut: true} }
	whole := func(mtu int) ip.PathMTU { return ip.PathMTU{MTU: mtu} }
	for _, test := range []struct {
		name               string
		f                  pair
		link, length, says int
		want               ip.PathMTU
		lowered            bool
	}{
		{"less than the link", v4, 1500, 1500, 1400, whole(1400), true},
		{"as much as the link", v4, 1500, 1500, 1500, whole(1500), false},
		{"more than the link", v4, 1500, 1500, 9000, whole(1500), false},
		{"552", v4, 1500, 1500, 552, whole(552), true},
		{"551: routers may cut", v4, 1500, 1500, 551, cut(552), true},
		{"68: routers may cut", v4, 1500, 1500, 68, cut(552), true},
		{"67: no link is so narrow", v4, 1500, 1500, 67, whole(1500), false},
		{"1: no link is so narrow", v4, 1500, 1500, 1, whole(1500), false},
		{"a link below the floor", v4, 300, 300, 296, cut(300), true},
		{"no MTU: the plateau below", v4, 1500, 1500, 0, whole(1492), true},
		{"no MTU about a small packet", v4, 1500, 1200, 0, whole(1006), true},
		{"no MTU, at a plateau", v4, 1492, 1492, 0, whole(1006), true},
		{"no MTU, jumbo link", v4, 9000, 9000, 0, whole(8166), true},
		{"no MTU, below the floor", v4, 1500, 508, 0, cut(552), true},
		{"no MTU, header counted twice", v4, 1500, 1520, 0, whole(1492), true},
		{"no MTU, header counted twice at a plateau", v4, 1492, 1512, 0, whole(1006), true},
		{"no MTU and a length beyond all", v4, 1500, 65535, 0, whole(1492), true},
		{"no MTU and no length", v4, 1500, 0, 0, whole(1500), false},

		{"IPv6: less than the link", v6, 1500, 1500, 1400, whole(1400), true},
		{"IPv6: as much as the link", v6, 1500, 1500, 1500, whole(1500), false},
		{"IPv6: more than the link", v6, 1500, 1500, 1501, whole(1500), false},
		{"IPv6: 1280", v6, 1500, 1500, 1280, whole(1280), true},
		{"IPv6: 1279", v6, 1500, 1500, 1279, whole(1500), false},
		{"IPv6: 68", v6, 1500, 1500, 68, whole(1500), false},
		{"IPv6: 0", v6, 1500, 1500, 0, whole(1500), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			paths := ip.NewPathMTUs(10)
			got, lowered := paths.Heed(0, tooBig(test.f, test.length, test.says), test.link)
			if got != test.want || lowered != test.lowered {
				t.Errorf("Heed = %+v, %v; want %+v, %v", got, lowered, test.want, test.lowered)
			}
			if got := paths.Get(1, test.f.them, test.link); got != test.want {
				t.Errorf("Get = %+v, want %+v", got, test.want)
			}
			if got := paths.Get(1, test.f.us, test.link); got != (ip.PathMTU{MTU: test.link}) {
				t.Errorf("another destination has %+v", got)
			}
		})
	}
}

func TestPathMTUHeedsNoOtherError(t *testing.T) {
	paths := ip.NewPathMTUs(10)
	q := tooBig(families[0], 1500, 1400)
	q.Kind = ip.ErrorPort
	if got, lowered := paths.Heed(0, q, 1500); got.MTU != 1500 || lowered || paths.Len() != 0 {
		t.Errorf("%+v, %v", got, lowered)
	}
}

// RFC 1191, section 6.3; RFC 8201, section 4: larger packets are tried again after ten
// minutes, and a report that says nothing new does not put that off.
func TestPathMTUAges(t *testing.T) {
	for _, f := range families {
		paths := ip.NewPathMTUs(10)
		at := func(d time.Duration) mono.Time { return mono.Time(d) }
		paths.Heed(0, tooBig(f, 1500, 1400), 1500)
		paths.Heed(at(9*time.Minute), tooBig(f, 1500, 1400), 1500)
		if got := paths.Get(at(10*time.Minute-1), f.them, 1500); got.MTU != 1400 {
			t.Errorf("%s: %+v before ten minutes", f.name, got)
		}
		if got := paths.Get(at(10*time.Minute), f.them, 1500); got.MTU != 1500 {
			t.Errorf("%s: %+v after ten minutes", f.name, got)
		}
		if got, lowered := paths.Heed(at(10*time.Minute), tooBig(f, 1500, 1450), 1500); got.MTU != 1450 || !lowered {
			t.Errorf("%s: then %+v, %v", f.name, got, lowered)
		}
	}
}

func TestPathMTUIsNeverRaisedByAReport(t *testing.T) {
	for _, f := range families {
		paths := ip.NewPathMTUs(10)
		paths.Heed(0, tooBig(f, 1500, 1300), 1500)
		if got, lowered := paths.Heed(1, tooBig(f, 1500, 1400), 1500); got.MTU != 1300 || lowered {
			t.Errorf("%s: %+v, %v", f.name, got, lowered)
		}
		if got, lowered := paths.Heed(2, tooBig(f, 1300, 1290), 1500); got.MTU != 1290 || !lowered {
			t.Errorf("%s: %+v, %v", f.name, got, lowered)
		}
	}
}

// A link that has become narrower than the path was is what counts.
func TestPathMTUIsAtMostTheLinks(t *testing.T) {
	f := families[0]
	paths := ip.NewPathMTUs(10)
	paths.Heed(0, tooBig(f, 1500, 1400), 1500)
	if got := paths.Get(1, f.them, 1300); got != (ip.PathMTU{MTU: 1300}) {
		t.Errorf("%+v", got)
	}
}

func TestPathMTUsAreBounded(t *testing.T) {
	paths := ip.NewPathMTUs(100)
	for i := range 10000 {
		q := tooBig(families[0], 1500, 1400)
		q.Header.Dst = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		paths.Heed(mono.Time(i), q, 1500)
		if got := paths.Get(mono.Time(i), q.Header.Dst, 1500); got.MTU != 1400 {
			t.Fatalf("the newest has %+v", got)
		}
	}
	if paths.Len() != 100 {
		t.Errorf("%d destinations", paths.Len())
	}
}

// Whatever a router says, the path never grows by it, never falls below the floor, and
// gets there in a bounded number of reports.
func TestPathMTUStaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := families[rapid.IntRange(0, 1).Draw(t, "family")]
		floor := 552
		if !f.is4 {
			floor = 1280
		}
		link := rapid.IntRange(floor, 65535).Draw(t, "link")
		paths := ip.NewPathMTUs(10)
		last, lowerings := ip.PathMTU{MTU: link}, 0
		for range 100 {
			got, lowered := paths.Heed(0, tooBig(f, rapid.IntRange(0, 65535).Draw(t, "length"), rapid.IntRange(0, 65535).Draw(t, "mtu")), link)
			if lowered {
				lowerings++
			}
			if got.MTU > last.MTU || got.MTU < floor || got != paths.Get(0, f.them, link) || lowered != (got != last) {
				t.Fatalf("%+v, %v after %+v", got, lowered, last)
			}
			last = got
		}
		if lowerings > link-floor+1 {
			t.Fatalf("%d lowerings", lowerings)
		}
	})
}
