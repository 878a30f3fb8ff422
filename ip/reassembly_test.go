package ip_test

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

func TestReassemblyInEveryOrder(t *testing.T) {
	for _, f := range families {
		payload := pattern(100)
		cuts := slice(f, 7, payload, 8, 32, 40, 96)
		permute(len(cuts), func(order []int) {
			r := ip.NewReassembler(ip.ReassemblyLimits{})
			for i, c := range order {
				whole, drop := add(t, r, 0, cuts[c].packet())
				if drop != ip.DropNone {
					t.Fatalf("%s %v: drop %v", f.name, order, drop)
				}
				if i < len(order)-1 {
					if whole != nil {
						t.Fatalf("%s %v: whole after %d pieces", f.name, order, i+1)
					}
					continue
				}
				wantWhole(t, f, whole, payload)
			}
			if r.Len() != 0 || r.Memory() != 0 || r.Deadline() != mono.Never {
				t.Fatalf("%s: %d datagrams of %d bytes are left", f.name, r.Len(), r.Memory())
			}
		})
	}
}

// permute calls use with every order of n things.
func permute(n int, use func([]int)) {
	var rest func(order []int)
	rest = func(order []int) {
		if len(order) == n {
			use(order)
			return
		}
	next:
		for i := range n {
			for _, o := range order {
				if o == i {
					continue next
				}
			}
			rest(append(order[:len(order):len(order)], i))
		}
	}
	rest(nil)
}

// Several datagrams at once, cut anywhere, shuffled, some pieces twice, some lost: exactly
// those of which nothing was lost arrive, and as they were sent.
func TestReassemblyOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sent struct {
			f       pair
			payload []byte
			lost    bool
			arrived int
		}
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		var all []*sent
		var pieces []cut
		for id := range rapid.IntRange(1, 6).Draw(t, "datagrams") {
			f := families[rapid.IntRange(0, 1).Draw(t, "family")]
			n := rapid.OneOf(rapid.IntRange(9, 300), rapid.IntRange(9, 65515)).Draw(t, "length")
			s := &sent{f: f, payload: pattern(n)}
			units := rapid.SliceOfNDistinct(rapid.IntRange(1, (n-1)/8), 1, min(20, (n-1)/8), func(i int) int { return i }).Draw(t, "cuts")
			var at []int
			for _, u := range units {
				at = append(at, u*8)
			}
			// By insertion: the test must not rely on what it tests.
			for i := range at {
				for j := i; j > 0 && at[j] < at[j-1]; j-- {
					at[j], at[j-1] = at[j-1], at[j]
				}
			}
			cuts := slice(f, uint32(id), s.payload, at...)
			if !f.is4 && len(cuts[0].data) < 8 {
				t.Fatal("the first piece is too short for its header")
			}
			if rapid.IntRange(0, 3).Draw(t, "lose") == 0 {
				s.lost = true
				i := rapid.IntRange(0, len(cuts)-1).Draw(t, "which")
				cuts = append(cuts[:i:i], cuts[i+1:]...)
			}
			all = append(all, s)
			pieces = append(pieces, cuts...)
		}
		pieces = rapid.Permutation(pieces).Draw(t, "order")
		for _, c := range pieces {
			whole, drop := add2(t, r, c.packet())
			if drop != ip.DropNone {
				t.Fatalf("drop %v", drop)
			}
			if whole == nil {
				if rapid.IntRange(0, 4).Draw(t, "twice") == 0 {
					if _, drop := add2(t, r, c.packet()); drop != ip.DropFragmentDuplicate {
						t.Fatalf("a duplicate is %v", drop)
					}
				}
				continue
			}
			s := all[c.id]
			var h ip.Header
			got, drop := ip.Parse(whole, &h)
			if drop != ip.DropNone || !bytes.Equal(got, s.payload) {
				t.Fatalf("%v, %d bytes instead of %d", drop, len(got), len(s.payload))
			}
			s.arrived++
		}
		for _, s := range all {
			if want := map[bool]int{false: 1, true: 0}[s.lost]; s.arrived != want {
				t.Fatalf("arrived %d times, lost %v", s.arrived, s.lost)
			}
		}
	})
}

func add2(t *rapid.T, r *ip.Reassembler, packet []byte) ([]byte, ip.Drop) {
	var h ip.Header
	if _, drop := ip.Parse(packet, &h); drop != ip.DropFragment {
		t.Fatalf("not a fragment: %v", drop)
	}
	whole, drop := r.Add(0, &h, packet)
	if whole == nil {
		return nil, drop
	}
	return whole.Append(nil), drop
}

// Up to 65,535 bytes, of which IPv4 counts its header and IPv6 does not, and not one more:
// the ping of death.
func TestReassemblyUpToTheLongest(t *testing.T) {
	for _, f := range families {
		longest, header := ip.MaxPayload4, 20
		if !f.is4 {
			longest, header = ip.MaxPayload6, 40
		}
		t.Run(f.name, func(t *testing.T) {
			r := ip.NewReassembler(ip.ReassemblyLimits{})
			payload := pattern(longest)
			var whole []byte
			for _, c := range slice(f, 1, payload, steps(1480, longest)...) {
				whole, _ = add(t, r, 0, c.packet())
			}
			wantWhole(t, f, whole, payload)
			if len(whole) != header+longest {
				t.Errorf("a packet of %d bytes", len(whole))
			}
		})
		t.Run(f.name+" one beyond", func(t *testing.T) {
			r := ip.NewReassembler(ip.ReassemblyLimits{})
			payload := pattern(longest + 1)
			var drop ip.Drop
			for _, c := range slice(f, 1, payload, steps(1480, longest+1)...) {
				var whole []byte
				whole, drop = add(t, r, 0, c.packet())
				if whole != nil {
					t.Fatalf("delivered %d bytes", len(whole))
				}
			}
			if drop != ip.DropFragmentTooLong {
				t.Errorf("the last: %v", drop)
			}
		})
		t.Run(f.name+" by the options of the first", func(t *testing.T) {
			r := ip.NewReassembler(ip.ReassemblyLimits{})
			cuts := slice(f, 1, pattern(longest), 24000, 48000)
			cuts[0].options = []byte{1, 1, 1, 1}
			if !f.is4 {
				cuts[0].options = []byte{0, 0, 1, 4, 0, 0, 0, 0}
			}
			for i, want := range []ip.Drop{ip.DropNone, ip.DropNone, ip.DropFragmentTooLong} {
				if whole, drop := add(t, r, 0, cuts[i].packet()); drop != want || whole != nil {
					t.Errorf("piece %d: %v, want %v", i, drop, want)
				}
			}
			if r.Len() != 0 {
				t.Error("it is still there")
			}
		})
	}
}

// steps are the offsets at which n bytes are cut into pieces of size.
func steps(size, n int) (at []int) {
	for o := size; o < n; o += size {
		at = append(at, o)
	}
	return at
}

// RFC 3168, section 5.3.
func TestReassemblyKeepsECN(t *testing.T) {
	const notECT, ect1, ect0, ce = 0, 1, 2, 3
	for _, f := range families {
		for a := range byte(4) {
			for b := range byte(4) {
				r := ip.NewReassembler(ip.ReassemblyLimits{})
				payload := pattern(40)
				cuts := slice(f, 1, payload, 16, 32)
				cuts[0].tos, cuts[1].tos, cuts[2].tos = 0xb8|a, 0xb8|b, 0xb8|b
				add(t, r, 0, cuts[2].packet())
				add(t, r, 0, cuts[0].packet())
				whole, drop := add(t, r, 0, cuts[1].packet())
				if (a == notECT) != (b == notECT) {
					if whole != nil || drop != ip.DropFragmentECN {
						t.Errorf("%s %d and %d: %v", f.name, a, b, drop)
					}
					continue
				}
				want := a
				if b == ce {
					want = ce
				}
				if h := wantWhole(t, f, whole, payload); h.TOS != 0xb8|want {
					t.Errorf("%s %d and %d: TOS %#x", f.name, a, b, h.TOS)
				}
			}
		}
	}
}

// What the datagram's header is: that of the first fragment, whichever came first.
func TestReassembledHeaderIsThatOfTheFirst(t *testing.T) {
	t.Run("IPv4 options", func(t *testing.T) {
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		payload := pattern(40)
		cuts := slice(families[0], 1, payload, 16)
		cuts[0].options = []byte{148, 4, 0, 0}
		add(t, r, 0, cuts[1].packet())
		whole, _ := add(t, r, 0, cuts[0].packet())
		if h := wantWhole(t, families[0], whole, payload); h.Len != 24 || !bytes.Equal(whole[20:24], cuts[0].options) || h.MF || h.FragmentOffset != 0 {
			t.Errorf("%+v", h)
		}
		if sum16(whole[:24]) != 0xffff {
			t.Error("the header's checksum is wrong")
		}
	})
	t.Run("IPv6 extension headers and next header", func(t *testing.T) {
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		payload := pattern(40)
		cuts := slice(families[1], 1, payload, 16)
		cuts[0].options = []byte{0, 0, 1, 4, 0, 0, 0, 0}
		cuts[1].protocol = 253 // only the first counts (RFC 8200, section 4.5)
		add(t, r, 0, cuts[1].packet())
		whole, _ := add(t, r, 0, cuts[0].packet())
		if h := wantWhole(t, families[1], whole, payload); h.Len != 48 || h.ProtocolOffset != 40 {
			t.Errorf("%+v", h)
		}
	})
}

// Datagrams of other hosts, identifications and, over IPv4, protocols are others.
func TestReassemblyTellsDatagramsApart(t *testing.T) {
	for _, f := range families {
		other := netip.MustParseAddr("10.77.0.9")
		if !f.is4 {
			other = netip.MustParseAddr("fd77::9")
		}
		payload := pattern(40)
		cuts := slice(f, 1, payload, 16)
		strangers := []cut{cuts[1], cuts[1]}
		strangers[0].id = 2
		strangers[1].src = other
		if f.is4 {
			strangers = append(strangers, cuts[1])
			strangers[2].protocol = 6
		}
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		add(t, r, 0, cuts[0].packet())
		for i, c := range strangers {
			if whole, drop := add(t, r, 0, c.packet()); whole != nil || drop != ip.DropNone {
				t.Errorf("%s: stranger %d: %v", f.name, i, drop)
			}
		}
		whole, _ := add(t, r, 0, cuts[1].packet())
		wantWhole(t, f, whole, payload)
	}
}
