package group_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/ip/group"
)

const long = time.Hour

func TestJoinAndLeaveAreToldAsOftenAsTheRobustnessSays(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.set(1, group.All)
		d.want(10*time.Second, "0s"+to+"TO_EX 1{}", "1s"+to+"TO_EX 1{}")
		d.set(1, group.Filter{})
		d.want(long, "10s"+to+"TO_IN 1{}", "11s"+to+"TO_IN 1{}")
		// What was left is not spoken of.
		d.query(10, 0)
		d.query(10, 1)
		d.want(long)
	})
}

func TestChangesOfSources(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.set(1, d.filter(group.Include, 1))
		d.want(10*time.Second, "0s"+to+"ALLOW 1{1}", "1s"+to+"ALLOW 1{1}")
		d.set(1, d.filter(group.Include, 2, 3))
		d.want(10*time.Second, "10s"+to+"ALLOW 1{2 3}BLOCK 1{1}", "11s"+to+"ALLOW 1{2 3}BLOCK 1{1}")
		d.set(1, d.filter(group.Exclude, 3))
		d.want(10*time.Second, "20s"+to+"TO_EX 1{3}", "21s"+to+"TO_EX 1{3}")
		d.set(1, d.filter(group.Exclude, 4))
		d.want(10*time.Second, "30s"+to+"ALLOW 1{3}BLOCK 1{4}", "31s"+to+"ALLOW 1{3}BLOCK 1{4}")
		d.set(1, d.filter(group.Include, 5))
		d.want(10*time.Second, "40s"+to+"TO_IN 1{5}", "41s"+to+"TO_IN 1{5}")
		d.set(1, group.Filter{})
		d.want(long, "50s"+to+"BLOCK 1{5}", "51s"+to+"BLOCK 1{5}")
	})
}

// A change that comes while another is being told is told with it (RFC 9776, section 5.1).
func TestChangeDuringRepetitionIsMerged(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.set(1, d.filter(group.Include, 1))
		d.want(500*time.Millisecond, "0s"+to+"ALLOW 1{1}")
		d.set(1, d.filter(group.Include, 1, 2))
		d.want(long, "500ms"+to+"ALLOW 1{1 2}", "1.5s"+to+"ALLOW 1{2}")
		d.set(1, group.All)
		d.set(1, d.filter(group.Exclude, 7))
		start := time.Duration(d.now)
		d.want(long, fmt.Sprintf("%v%sTO_EX 1{7}", start, to), fmt.Sprintf("%v%sTO_EX 1{7}", start+time.Second, to),
			fmt.Sprintf("%v%sBLOCK 1{7}", start+2*time.Second, to), fmt.Sprintf("%v%sBLOCK 1{7}", start+3*time.Second, to))
	})
}

// settled is a host in group 1 from sources 1 and 2, in group 2 without source 3, and in
// group 3, about which everything has been said.
func (d *dialogue) settled() {
	d.set(1, d.filter(group.Include, 1, 2))
	d.set(2, d.filter(group.Exclude, 3))
	d.set(3, group.All)
	for d.h.Deadline() != mono.Never {
		d.now = d.h.Deadline()
		d.h.Tick(d.now, func(netip.Addr, *ip.Message) {})
	}
	d.now = mono.Time(100 * time.Second)
}

// unit is what a maximum response code counts.
func (d *dialogue) unit() uint16 {
	if d.six {
		return 100 // milliseconds, of which a tenth of a second has a hundred
	}
	return 1
}

func TestQueriesAreAnsweredWithinTheirTime(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.settled()
		d.query(100*d.unit(), 0)
		d.want(long, "1m50s"+to+"IS_IN 1{1 2}IS_EX 2{3}IS_EX 3{}")

		// A sooner answer to everything makes one about a group needless; a later one
		// does not put it off.
		d.now = mono.Time(1000 * time.Second)
		d.query(50*d.unit(), 0)
		d.query(90*d.unit(), 1)
		d.query(90*d.unit(), 0)
		d.want(long, "16m45s"+to+"IS_IN 1{1 2}IS_EX 2{3}IS_EX 3{}")

		d.now = mono.Time(10000 * time.Second)
		d.query(100*d.unit(), 2)
		d.query(10*d.unit(), 3)
		d.query(10*d.unit(), 9) // no member
		d.want(long, "2h46m41s"+to+"IS_EX 3{}", "2h46m50s"+to+"IS_EX 2{3}")
		d.query(0, 1)
		d.want(0, fmt.Sprintf("%v%sIS_IN 1{1 2}", time.Duration(d.now), to))
	})
}

// TestQueriesAboutSources is the table of RFC 9776, section 5.2.
func TestQueriesAboutSources(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.settled()
		ask := func(want string, g int, sources ...int) {
			t.Helper()
			d.query(0, g, sources...)
			if want == "" {
				d.want(time.Second)
				return
			}
			d.want(time.Second, fmt.Sprintf("%v%s%s", time.Duration(d.now), to, want))
		}
		ask("IS_IN 1{2}", 1, 2, 3)
		ask("", 1, 3)
		ask("IS_IN 2{1 2}", 2, 1, 2, 3)
		ask("", 2, 3)
		ask("IS_IN 3{1}", 3, 1)
		// Two at once are answered together; one about the whole group covers it.
		d.query(10*d.unit(), 2, 1)
		d.query(20*d.unit(), 2, 2)
		d.want(long, fmt.Sprintf("%v%sIS_IN 2{1 2}", time.Duration(d.now.Add(time.Second)), to))
		d.query(10*d.unit(), 2, 1)
		d.query(20*d.unit(), 2)
		d.want(long, fmt.Sprintf("%v%sIS_EX 2{3}", time.Duration(d.now.Add(time.Second)), to))
	})
}

func TestOlderQuerierGetsOlderReports(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		d.settled()
		done := " 224.0.0.2 leave "
		report := func(g int) string { return fmt.Sprintf(" %v report2 %d", d.g(g), g) }
		if d.six {
			done = " ff02::2 done "
			report = func(g int) string { return fmt.Sprintf(" %v report1 %d", d.g(g), g) }
		}
		d.older(100*d.unit(), 0)
		d.want(20*time.Second, "1m50s"+report(1), "1m50s"+report(2), "1m50s"+report(3))
		d.older(10*d.unit(), 3)
		d.want(20*time.Second, "2m1s"+report(3))
		// Joining and leaving.
		d.set(4, group.All)
		d.want(10*time.Second, "2m20s"+report(4), "2m21s"+report(4))
		d.set(4, group.Filter{})
		d.want(10*time.Second, "2m30s"+done+"4")
		// Another host's report is enough for both, and then it is the one to be asked.
		d.older(50*d.unit(), 2)
		d.report(2)
		d.want(10 * time.Second)
		d.set(2, group.Filter{})
		d.want(10 * time.Second)
		// Changes of sources cannot be told.
		d.set(1, d.filter(group.Include, 1))
		d.want(10 * time.Second)
		// When the old querier has been gone for long enough, all is as before: the last
		// query was at 160 s, and 2*125 s + 10 s later nobody waits for it any more.
		d.now = mono.Time((2*125 + 10 + 160 - 1) * time.Second)
		d.query(0, 0)
		d.want(0, "6m59s"+fmt.Sprintf(" %v ", d.g(1))+map[bool]string{false: "report2 1", true: "report1 1"}[d.six], "6m59s"+report(3))
		d.now = mono.Time((2*125 + 10 + 160 + 1) * time.Second)
		d.query(0, 0)
		d.want(0, "7m1s"+to+"IS_IN 1{1}IS_EX 3{}")
	})
}

func TestVersion1OfIGMPKnowsNoLeave(t *testing.T) {
	d := newDialogue(t, false)
	d.settled()
	d.older(0, 0)
	d.want(long, "1m50s 239.1.1.1 report1 1", "1m50s 239.1.1.2 report1 2", "1m50s 239.1.1.3 report1 3")
	d.older(0, 0)
	d.now = d.now.Add(time.Second)
	d.set(3, group.Filter{})
	start := time.Duration(d.now)
	d.want(time.Minute, fmt.Sprint(start+9*time.Second, " 239.1.1.1 report1 1"), fmt.Sprint(start+9*time.Second, " 239.1.1.2 report1 2"))
}

func TestGroupsOfEverybodyAreNotSpokenOf(t *testing.T) {
	for _, test := range []struct {
		six  bool
		addr string
	}{{false, "224.0.0.1"}, {true, "ff02::1"}, {true, "ff01::7"}} {
		d := newDialogue(t, test.six)
		d.h.Set(d.now, addr(test.addr), group.All)
		d.want(time.Minute)
		d.query(0, 0)
		d.older(10*d.unit(), 0)
		d.want(long)
		d.h.Set(d.now, addr(test.addr), group.Filter{})
		d.want(long)
	}
}

func TestHeldGroupIsTheAnswerToQueriesOnly(t *testing.T) {
	d := newDialogue(t, true)
	d.h.Hold(group.SolicitedNode(addr("fd77::abc:def")))
	d.want(long)
	d.query(0, 0)
	d.want(long, "1h0m0s ff02::16 IS_EX def{}") // ff02::1:ffbc:def
	if g := group.SolicitedNode(addr("fd77::abc:def")); g != addr("ff02::1:ffbc:def") {
		t.Errorf("solicited-node group %v", g)
	}
}

func TestReportsAreSplitToFit(t *testing.T) {
	families(t, func(t *testing.T, d *dialogue, to string) {
		all := make([]int, group.MaxSources)
		for i := range all {
			all[i] = i + 1
		}
		for g := range 50 {
			d.set(g+1, d.filter(group.Include, all...))
		}
		n, records := 0, 0
		d.h.Tick(d.now, func(dst netip.Addr, m *ip.Message) {
			n++
			records += int(m.Rest & 0xffff)
			headers := 24 + 8
			if d.six {
				headers = 48 + 8
			}
			if headers+len(m.Body) > 1500 {
				t.Errorf("a report of %d bytes", headers+len(m.Body))
			}
		})
		if records != 50 || n < 2 || n > 50 {
			t.Errorf("%d records in %d reports", records, n)
		}
	})
}

func TestQueriesThatAreNoneAreIgnored(t *testing.T) {
	for name, m := range map[string]ip.Message{
		"IGMP of 9 bytes":                {Type: 0x11, Body: make([]byte, 1)},
		"IGMP of 11 bytes":               {Type: 0x11, Body: make([]byte, 3)},
		"sources that are not there":     {Type: 0x11, Rest: 0xef010101, Body: []byte{2, 125, 0, 1}},
		"sources of no group":            {Type: 0x11, Body: []byte{2, 125, 0, 1, 10, 0, 0, 1}},
		"a group with version 1":         {Type: 0x11, Rest: 0xef010101},
		"a report of version 3":          {Type: 0x22, Body: make([]byte, 8)},
		"a type that nobody knows":       {Type: 0x42, Body: make([]byte, 8)},
		"a report of version 2 and more": {Type: 0x16, Rest: 0xef010101, Body: make([]byte, 4)},
	} {
		d := newDialogue(t, false)
		d.settled()
		d.h.Message(d.now, &m)
		if d.h.Deadline() != mono.Never {
			t.Errorf("%s was answered", name)
		}
	}
	for name, m := range map[string]ip.Message{
		"MLD of 23 bytes":            {Type: 130, Body: make([]byte, 15)},
		"MLD of 27 bytes":            {Type: 130, Body: make([]byte, 19)},
		"sources that are not there": {Type: 130, Body: append(addr("ff05::1").AsSlice(), 2, 125, 0, 1)},
		"a report cut short":         {Type: 131, Body: make([]byte, 15)},
	} {
		d := newDialogue(t, true)
		d.settled()
		d.h.Message(d.now, &m)
		if d.h.Deadline() != mono.Never {
			t.Errorf("%s was answered", name)
		}
	}
}

// TestResponseCodesWithAnExponent is RFC 9776, section 4.1.1 and RFC 9777, section 5.1.3.
func TestResponseCodesWithAnExponent(t *testing.T) {
	for code, want := range map[uint16]time.Duration{127: 12700, 128: 12800, 0x8f: 24800, 0xff: 3174400} {
		d := newDialogue(t, false)
		d.settled()
		d.query(code, 0)
		if got := d.h.Deadline().Sub(d.now); got != want*time.Millisecond {
			t.Errorf("IGMP code %#x: %v, want %v", code, got, want*time.Millisecond)
		}
	}
	for code, want := range map[uint16]time.Duration{32767: 32767, 32768: 32768, 0xffff: 8387584} {
		d := newDialogue(t, true)
		d.settled()
		d.query(code, 0)
		if got := d.h.Deadline().Sub(d.now); got != want*time.Millisecond {
			t.Errorf("MLD code %#x: %v, want %v", code, got, want*time.Millisecond)
		}
	}
}

func drawFilter(t *rapid.T, d *dialogue) group.Filter {
	f := group.Filter{Mode: group.Mode(rapid.IntRange(0, 1).Draw(t, "mode"))}
	for _, n := range rapid.SliceOfN(rapid.IntRange(1, 5), 0, 4).Draw(t, "sources") {
		f = f.With(d.src(n))
	}
	return f
}

func TestMergedFilterHearsWhatAnyHears(t *testing.T) {
	d := newDialogue(t, false)
	rapid.Check(t, func(t *rapid.T) {
		var filters []group.Filter
		for range rapid.IntRange(0, 5).Draw(t, "members") {
			filters = append(filters, drawFilter(t, d))
		}
		merged := group.Merge(filters)
		for n := 1; n <= 6; n++ {
			any := slices.ContainsFunc(filters, func(f group.Filter) bool { return f.Hears(d.src(n)) })
			if merged.Hears(d.src(n)) != any {
				t.Errorf("%v of %v: source %d", merged, filters, n)
			}
		}
	})
}

// A router that does what the reports say knows what the host wants, even when it misses
// one of each two that say the same.
func TestRouterLearnsTheFilterThroughLoss(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDialogue(t, rapid.Bool().Draw(rt, "six"))
		var router group.Filter
		heed := func(m *ip.Message) {
			size, b := 4, m.Body
			if d.six {
				size = 16
			}
			for range m.Rest & 0xffff {
				typ, n := b[0], int(b[2])<<8|int(b[3])
				b = b[4+size:]
				if typ == 3 || typ == 4 { // TO_IN, TO_EX
					router = group.Filter{Mode: group.Mode(typ - 3)}
				}
				for range n {
					s, _ := netip.AddrFromSlice(b[:size])
					b = b[size:]
					add := typ == 3 || typ == 4 || (typ == 5) == (router.Mode == group.Include)
					if add {
						router = router.With(s)
					} else {
						router = router.Without(s)
					}
				}
			}
		}
		drop := false
		for range rapid.IntRange(1, 8).Draw(rt, "changes") {
			f := drawFilter(rt, d)
			d.set(1, f)
			// The first of the two reports of a change that is left alone is lost, or
			// the second.
			first := rapid.Bool().Draw(rt, "lose the first")
			for i := 0; d.h.Deadline() != mono.Never; i++ {
				d.now = d.h.Deadline()
				drop = (i == 0) == first
				d.h.Tick(d.now, func(_ netip.Addr, m *ip.Message) {
					if !drop {
						heed(m)
					}
				})
			}
			if router.Mode != f.Mode || !slices.Equal(router.Sources, f.Sources) {
				rt.Fatalf("the router knows %v, the host wants %v", router, f)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add(false, []byte{0x11, 100, 0, 0, 239, 1, 1, 1, 2, 125, 0, 1, 10, 0, 0, 1})
	f.Add(true, append([]byte{130, 0, 0, 0, 0, 100, 0, 0}, addr("ff05::1").AsSlice()...))
	f.Fuzz(func(t *testing.T, six bool, b []byte) {
		if len(b) < 8 {
			return
		}
		d := newDialogue(t, six)
		d.settled()
		m := ip.Message{Type: b[0], Code: b[1], Rest: uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]), Body: b[8:]}
		d.h.Message(d.now, &m)
		for n := 0; d.h.Deadline() != mono.Never; n++ {
			if n > 10 {
				t.Fatalf("no end of answers")
			}
			d.now = max(d.now, d.h.Deadline())
			d.h.Tick(d.now, func(netip.Addr, *ip.Message) {})
		}
	})
}
