package tun

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
)

func TestTapped(t *testing.T) {
	const head = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
	const on7 = "ffff888009a12000 3      3    0003   7     1 0      0      23456\n"
	for _, tc := range []struct {
		list  string
		index int
		want  bool
	}{
		{"", 7, false}, {head, 7, false}, {head + on7, 7, true}, {head + on7, 8, false},
		{head + strings.Replace(on7, "   7     1", "   0     1", 1), 8, true}, // of any interface
		{head + on7 + strings.Replace(on7, "   7     1", "   8     1", 1), 8, true},
		{head + strings.Replace(on7, "0003", "0800", 1), 7, true},  // IPv4
		{head + strings.Replace(on7, "0003", "88cc", 1), 7, false}, // LLDP
		{"nonsense\n\n7 7\n", 7, false},
	} {
		if got := tapped(strings.NewReader(tc.list), tc.index); got != tc.want {
			t.Errorf("%q, %d: %v", tc.list, tc.index, got)
		}
	}
}

func TestSince(t *testing.T) {
	for _, tc := range []struct {
		release string
		want    bool
	}{
		{"6.3.0", true}, {"6.18.44-generic", true}, {"7.0-rc1", true}, {"10.0", true},
		{"6.2.16", false}, {"5.19.0-50-generic", false}, {"4.18.0-513.el8", false}, {"", false}, {"six.three", false},
	} {
		if got := since(tc.release, 6, 3); got != tc.want {
			t.Errorf("%q: %v", tc.release, got)
		}
	}
}

// TestBigTo: long super-segments are for the kernel's own address on the interface only, as it is
// now, and while the kernel takes super-segments.
func TestBigTo(t *testing.T) {
	nstest.Require(t)
	if !kernelSince(6, 3) {
		t.Skip("this kernel does not do BIG TCP")
	}
	own, other := netip.MustParseAddr("10.66.1.1"), netip.MustParseAddr("10.66.1.3")
	d, err := Open(Config{Name: "tunbig"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	later := func() { d.big.at = d.big.at.Add(-time.Minute) }
	want := func(when string, dst netip.Addr, n int) {
		t.Helper()
		if got := d.BigTo(dst); got != n {
			t.Errorf("%s: %d to %v, want %d", when, got, dst, n)
		}
	}
	want("without an address", own, 0)
	want("without an address", netip.Addr{}, 0)
	nstest.IP(t, "link set tunbig up")
	nstest.IP(t, "addr add 10.66.1.1/24 dev tunbig")
	want("with one", own, maxBig)
	want("with one", other, 0)
	want("with one", netip.MustParseAddr("fd66::1"), 0)
	nstest.IP(t, "addr del 10.66.1.1/24 dev tunbig")
	nstest.IP(t, "addr add 10.66.1.3/24 dev tunbig")
	later()
	want("with another", own, 0)
	want("with another", other, maxBig)
	tap := nstest.Tap(t, "tunbig")
	later()
	want("tapped", other, 0)
	tap.Close()
	want("not any more", other, maxBig)
	d.refuse(offloadTSO4|offloadChecksum, nil)
	want("after a refusal", other, 0)

	d.caps.Store(uint32(offloadAll))
	d.Close()
	later()
	want("closed", other, 0)

	for _, cfg := range []Config{{Name: "tunbig", Offload: OffloadOff}, {Name: "tunbig", NoBigTCP: true}} {
		if d, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		nstest.IP(t, "link set tunbig up")
		nstest.IP(t, "addr add 10.66.1.1/24 dev tunbig")
		if n := d.BigTo(own); n != 0 {
			t.Errorf("%d with %+v", n, cfg)
		}
		d.Close()
	}
}
