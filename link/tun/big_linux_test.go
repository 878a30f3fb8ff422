package tun

import (
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
)

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
	later := func() { d.host.at = d.host.at.Add(-time.Minute) }
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
