package ip

import (
	"net/netip"
	"time"

	"github.com/a644562b/portico/internal/aging"
	"github.com/a644562b/portico/internal/mono"
)

const (
	// pathMTULifetime is how long a path is taken for narrow before larger packets are
	// tried again (RFC 1191, section 6.3; RFC 8201, section 4: 10 minutes).
	pathMTULifetime = 10 * time.Minute

	// minMTU4 is what every IPv4 link carries (RFC 791, section 3.2). A router that says
	// less says nonsense.
	minMTU4 = 68
	// minPathMTU4 is where we stop to shrink packets, as Linux does (min_pmtu): on a path
	// that is narrower still, packets of that size go out without DF and routers cut them
	// (RFC 1191, section 3 allows it). So nobody can make us send crumbs.
	minPathMTU4 = 552
	// minMTU6 is what every IPv6 link carries (RFC 8200, section 5).
	minMTU6 = 1280
)

// plateaus are the MTUs that occur (RFC 1191, section 7.1), largest first: where a
// router does not say what it takes, the next one below is tried.
var plateaus = [...]int{65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, minMTU4}

// PathMTU is what one packet to a destination may be.
type PathMTU struct {
	// MTU is the length of the longest packet in bytes, IP header included.
	MTU int
	// MayCut is set for a path of IPv4 that is narrower than packets are made for: they
	// are sent without DF. Never over IPv6.
	MayCut bool
}

// PathMTUs is what is known of the paths to destinations that are narrower than our own
// link (RFC 1191; RFC 8201): a bounded table whose entries end after ten minutes. It is
// fed by errors of ErrorTooBig that have proven to be about a packet of ours, and serves
// all protocols alike. It does not lock. Make it by NewPathMTUs.
//
// A report never raises an estimate, and one below the least MTU of the family (68, 1280)
// is refused: so a packet too big below 1280 changes nothing, and no fragment header is
// ever sent for its sake (RFC 8021; RFC 8201, section 4).
type PathMTUs struct {
	paths *aging.Table[netip.Addr, PathMTU]
}

// NewPathMTUs returns an empty table of at most max destinations.
func NewPathMTUs(max int) PathMTUs {
	return PathMTUs{paths: aging.New[netip.Addr, PathMTU](pathMTULifetime, max)}
}

// Len is how many destinations the table holds.
func (p *PathMTUs) Len() int { return p.paths.Len() }

// Get returns what packets to dst may be now; link is the MTU of the link that they
// leave by.
func (p *PathMTUs) Get(now mono.Time, dst netip.Addr, link int) PathMTU {
	if known, ok := p.paths.Get(now, dst); ok && known.MTU <= link {
		return known
	}
	return PathMTU{MTU: link}
}

// Heed takes in an error of ErrorTooBig about a packet of ours, which the caller has
// verified. It returns what packets to that destination may be from now on, and whether
// that is less than before.
func (p *PathMTUs) Heed(now mono.Time, q *Quote, link int) (path PathMTU, lowered bool) {
	dst := q.Header.Dst
	before := p.Get(now, dst, link)
	path, ok := q.pathMTU(before.MTU)
	if q.Kind != ErrorTooBig || !ok {
		return before, false
	}
	if path.MTU > before.MTU || path == before || before.MayCut {
		return before, false
	}
	p.paths.Set(now, dst, path)
	return path, true
}

// Forget drops what is known of the path to dst: somebody gets no answer from there, and it
// may not be the path any more (RFC 9293, 3.8.3, MUST-20).
func (p *PathMTUs) Forget(dst netip.Addr) { p.paths.Delete(dst) }

// pathMTU is what an error says about the path; before is what we thought. It is false
// when it says nothing that can be true.
func (q *Quote) pathMTU(before int) (path PathMTU, ok bool) {
	if !q.Header.Is4() {
		return PathMTU{MTU: q.MTU}, q.MTU >= minMTU6
	}
	mtu := q.MTU
	if mtu == 0 {
		mtu = plateauBelow(q.sentLength(before))
	}
	switch {
	case mtu < minMTU4:
		return PathMTU{}, false
	case mtu < minPathMTU4:
		return PathMTU{MTU: min(minPathMTU4, before), MayCut: true}, true
	}
	return PathMTU{MTU: mtu}, true
}

// sentLength is the length of the IPv4 packet that was too big. Routers descended from
// 4.2BSD count its header twice (RFC 1191, section 5).
func (q *Quote) sentLength(before int) int {
	n := q.Length
	if n > before {
		n -= q.Header.Len
	}
	return min(n, before)
}

// plateauBelow is the largest plateau below n bytes, or 0.
func plateauBelow(n int) int {
	for _, p := range plateaus {
		if p < n {
			return p
		}
	}
	return 0
}
