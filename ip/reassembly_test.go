package ip_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// cut is a fragment from them to us, as bytes of the test's own: the data of a UDP
// datagram from offset on.
type cut struct {
	f        pair
	src      netip.Addr // them unless set
	id       uint32
	offset   int
	more     bool
	tos      byte
	protocol byte // UDP unless set
	options  []byte
	data     []byte
}

func (c cut) packet() []byte {
	if c.protocol == 0 {
		c.protocol = udp
	}
	if !c.src.IsValid() {
		c.src = c.f.them
	}
	if c.f.is4 {
		b := packet4(c.options, string(c.data))
		b[1], b[9] = c.tos, c.protocol
		binary.BigEndian.PutUint16(b[4:], uint16(c.id))
		field := uint16(c.offset / 8)
		if c.more {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], field)
		copy(b[12:], c.src.AsSlice())
		return fix4(b)
	}
	field := uint16(c.offset)
	if c.more {
		field |= 1
	}
	fragment := []byte{c.protocol, 0, byte(field >> 8), byte(field)}
	fragment = binary.BigEndian.AppendUint32(fragment, c.id)
	b := packet6(frag, fragment, c.data)
	if c.options != nil {
		b = packet6(dest, append([]byte{frag, byte(len(c.options)/8 - 1)}, c.options[2:]...), fragment, c.data)
	}
	b[0], b[1] = 6<<4|c.tos>>4, c.tos<<4
	copy(b[8:], c.src.AsSlice())
	return b
}

// add gives a fragment to r and returns the datagram as a packet when it is whole.
func add(t testing.TB, r *ip.Reassembler, now mono.Time, packet []byte) ([]byte, ip.Drop) {
	t.Helper()
	var h ip.Header
	if _, drop := ip.Parse(packet, &h); drop != ip.DropFragment {
		t.Fatalf("not a fragment: %v, % x", drop, packet[:min(len(packet), 60)])
	}
	before := bytes.Clone(packet)
	whole, drop := r.Add(now, &h, packet)
	if !bytes.Equal(packet, before) {
		t.Fatal("the packet was changed")
	}
	clear(packet) // what r keeps it has copied
	if whole == nil {
		return nil, drop
	}
	if drop != ip.DropNone {
		t.Fatalf("a whole datagram and drop %v", drop)
	}
	b := whole.Append(nil)
	if len(b) != whole.Len() {
		t.Fatalf("%d bytes, Len says %d", len(b), whole.Len())
	}
	return b, drop
}

// wantWhole verifies that packet is all right and carries a payload.
func wantWhole(t testing.TB, f pair, packet, payload []byte) ip.Header {
	t.Helper()
	if packet == nil {
		t.Fatal("the datagram is not whole")
	}
	var h ip.Header
	got, drop := ip.Parse(packet, &h)
	if drop != ip.DropNone || h.Src != f.them || h.Dst != f.us || h.Protocol != ip.UDP {
		t.Fatalf("%v, %+v", drop, h)
	}
	if !bytes.Equal(got, payload) {
		t.Fatalf("payload of %d bytes differs from the %d sent", len(got), len(payload))
	}
	return h
}

// pattern is n bytes no two stretches of which are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// slice cuts a payload at the given offsets.
func slice(f pair, id uint32, payload []byte, at ...int) []cut {
	at = append(append([]int{0}, at...), len(payload))
	var cuts []cut
	for i := range len(at) - 1 {
		cuts = append(cuts, cut{f: f, id: id, offset: at[i], more: at[i+1] < len(payload), data: payload[at[i]:at[i+1]]})
	}
	return cuts
}

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

// RFC 5722 for both families: the datagram ends, silently, and so does what still comes of
// it; once it would have timed out its identification is free again.
func TestOverlapEndsTheDatagram(t *testing.T) {
	payload := pattern(96)
	piece := func(offset, n int, more bool) cut {
		return cut{offset: offset, more: more, data: payload[offset : offset+n]}
	}
	for name, overlap := range map[string][]cut{
		"by the end of the one before": {piece(0, 32, true), piece(24, 16, true)},
		"by the start of the next":     {piece(32, 32, true), piece(24, 16, true)},
		"within one":                   {piece(0, 64, true), piece(8, 8, true)},
		"around one":                   {piece(40, 8, true), piece(32, 24, true)},
		"same start, longer":           {piece(32, 16, true), piece(32, 24, true)},
		"same start, shorter":          {piece(32, 24, true), piece(32, 16, true)},
		"same end, longer":             {piece(40, 8, true), piece(32, 16, true)},
		"of two":                       {piece(0, 32, true), piece(40, 24, true), piece(24, 24, true)},
		"the same place, other bytes":  {piece(32, 16, true), {offset: 32, more: true, data: pattern(16)}},
		"beyond the last":              {piece(80, 16, false), {offset: 96, more: true, data: pattern(8)}},
		"up to the last's end":         {piece(64, 16, false), piece(72, 8, true)},
		"another last, longer":         {piece(64, 16, false), {offset: 80, data: pattern(16)}},
		"another last, shorter":        {piece(80, 16, false), piece(64, 8, false)},
		"a last before what is there":  {piece(64, 16, true), piece(40, 16, false)},
		"the last again as no last":    {piece(80, 16, false), piece(80, 16, true)},
		"one more again as the last":   {piece(32, 16, true), piece(32, 16, false)},
	} {
		for _, f := range families {
			t.Run(name+" "+f.name, func(t *testing.T) {
				r := ip.NewReassembler(ip.ReassemblyLimits{})
				send := func(now mono.Time, c cut) ([]byte, ip.Drop) {
					c.f, c.id = f, 5
					return add(t, r, now, c.packet())
				}
				for _, c := range overlap[:len(overlap)-1] {
					if _, drop := send(0, c); drop != ip.DropNone {
						t.Fatalf("drop %v", drop)
					}
				}
				if whole, drop := send(1, overlap[len(overlap)-1]); whole != nil || drop != ip.DropFragmentOverlap {
					t.Fatalf("the overlap: %v", drop)
				}
				// The whole datagram once more, in order: none of it is taken.
				for _, c := range slice(f, 5, payload, 8, 40, 64) {
					if whole, drop := send(2, c); whole != nil || drop != ip.DropFragmentOverlap {
						t.Fatalf("after the overlap: %v", drop)
					}
				}
				end := r.Deadline()
				if end != mono.Time(60*time.Second) {
					t.Fatalf("deadline %v", time.Duration(end))
				}
				if first, refused, ok := r.Expire(end); !ok || !refused || first != nil {
					t.Fatalf("at its end: %d bytes, refused %v, %v", len(first), refused, ok)
				}
				var whole []byte
				for _, c := range slice(f, 5, payload, 8, 40, 64) {
					whole, _ = send(end, c)
				}
				wantWhole(t, f, whole, payload)
			})
		}
	}
}

func TestExactDuplicateIsIgnored(t *testing.T) {
	for _, f := range families {
		payload := pattern(64)
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		var whole []byte
		for i, c := range slice(f, 5, payload, 8, 40) {
			var drop ip.Drop
			whole, drop = add(t, r, 0, c.packet())
			if drop != ip.DropNone {
				t.Fatal(drop)
			}
			if i == 2 {
				break // whole: another would begin the next
			}
			if _, drop := add(t, r, 0, c.packet()); drop != ip.DropFragmentDuplicate {
				t.Errorf("%s: piece %d again: %v", f.name, i, drop)
			}
		}
		wantWhole(t, f, whole, payload)
	}
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

// RFC 8200, section 4.5, which tells where the fault lies; over IPv4 nobody is told.
func TestFragmentsThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		name  string
		c     cut
		want  ip.Drop
		code  uint8
		fault uint32
	}{
		{"7 bytes and more to come", cut{more: true, data: pattern(7)}, ip.DropFragmentLength, 0, 4},
		{"9 bytes and more to come", cut{offset: 16, more: true, data: pattern(9)}, ip.DropFragmentLength, 0, 4},
		{"nothing and more to come", cut{offset: 16, more: true}, ip.DropFragmentLength, 0, 4},
		{"nothing as the last", cut{offset: 16}, ip.DropFragmentLength, 0, 4},
		{"beyond 65,535", cut{offset: 65528, data: pattern(8)}, ip.DropFragmentTooLong, 0, 42},
		{"far beyond 65,535", cut{offset: 65528, more: true, data: pattern(1400)}, ip.DropFragmentTooLong, 0, 42},
	} {
		for _, f := range families {
			t.Run(test.name+" "+f.name, func(t *testing.T) {
				c := test.c
				c.f = f
				packet := c.packet()
				var h ip.Header
				ip.Parse(packet, &h)
				r := ip.NewReassembler(ip.ReassemblyLimits{})
				if whole, drop := r.Add(0, &h, packet); whole != nil || drop != test.want {
					t.Fatalf("%v, want %v", drop, test.want)
				}
				if r.Len() != 0 || r.Memory() != 0 {
					t.Error("something is kept of it")
				}
				m, ok := ip.ParameterProblem(test.want, &h, packet)
				if f.is4 {
					if ok {
						t.Errorf("told: %+v", m)
					}
					return
				}
				if !ok || m.Type != 4 || m.Code != test.code || m.Rest != test.fault || !bytes.Equal(m.Body, packet[:min(len(packet), 1232)]) {
					t.Errorf("%v, type %d code %d pointer %d, %d bytes", ok, m.Type, m.Code, m.Rest, len(m.Body))
				}
			})
		}
	}
}

// RFC 7112, section 5: the first fragment holds all headers, or is dropped, which code 3
// may tell.
func TestFirstFragmentHoldsTheWholeChain(t *testing.T) {
	f := families[1]
	for _, test := range []struct {
		name string
		next byte
		data []byte
		ok   bool
	}{
		{"all of UDP", udp, make([]byte, 8), true},
		{"all of ICMPv6", 58, make([]byte, 8), true},
		{"TCP without its end", 6, make([]byte, 16), false},
		{"all of TCP", 6, make([]byte, 24), true},
		{"options and UDP", dest, append(options6(udp), make([]byte, 8)...), true},
		{"options alone", dest, options6(udp), false},
		{"half of the options", dest, append([]byte{udp, 1}, make([]byte, 6)...), false},
		{"routing header and UDP", route, append(routing6(udp, 0, 0), make([]byte, 8)...), true},
		{"routing header alone", route, routing6(udp, 0, 0), false},
		{"nothing behind", none, make([]byte, 8), true},
		{"a protocol nobody knows", 253, make([]byte, 8), true},
		{"options and nothing of a protocol nobody knows", dest, options6(253), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			packet := cut{f: f, id: 1, more: true, protocol: test.next, data: test.data}.packet()
			var h ip.Header
			ip.Parse(packet, &h)
			r := ip.NewReassembler(ip.ReassemblyLimits{})
			_, drop := r.Add(0, &h, packet)
			if test.ok {
				if drop != ip.DropNone {
					t.Errorf("drop %v", drop)
				}
				return
			}
			m, ok := ip.ParameterProblem(drop, &h, packet)
			if drop != ip.DropFragmentChain || !ok || m.Type != 4 || m.Code != 3 || m.Rest != 0 {
				t.Errorf("drop %v; %v, %+v", drop, ok, m)
			}
		})
	}
}

// RFC 6946: an atomic fragment has nothing to do with others of its identification.
func TestAtomicFragmentStandsAlone(t *testing.T) {
	f := families[1]
	r := ip.NewReassembler(ip.ReassemblyLimits{})
	payload := pattern(40)
	cuts := slice(f, 0x01020304, payload, 16)
	add(t, r, 0, cuts[0].packet())
	h, got := mustParse(t, packet6(frag, fragment6(udp, 0, 0), data)) // identification 1.2.3.4 too
	if h.Protocol != ip.UDP || !bytes.Equal(got, data) || h.ID != 0 {
		t.Fatalf("%+v", h)
	}
	whole, _ := add(t, r, 0, cuts[1].packet())
	wantWhole(t, f, whole, payload)
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

// RFC 792; RFC 8200, section 4.5: who sent the first fragment is told, and only if it came.
func TestReassemblyTimesOut(t *testing.T) {
	for _, f := range families {
		for _, lost := range []int{0, 1, 2} {
			t.Run(fmt.Sprintf("%s without piece %d", f.name, lost), func(t *testing.T) {
				r := ip.NewReassembler(ip.ReassemblyLimits{})
				payload := pattern(3000)
				cuts := slice(f, 1, payload, 1400, 2800)
				const second = mono.Time(time.Second)
				for i, c := range cuts {
					if i != lost {
						add(t, r, mono.Time(i)*second, c.packet())
					}
				}
				began := mono.Time(0)
				if lost == 0 {
					began = second
				}
				if d := r.Deadline(); d != began+60*second {
					t.Fatalf("deadline %v", time.Duration(d))
				}
				if _, _, ok := r.Expire(began + 60*second - 1); ok {
					t.Fatal("given up too early")
				}
				first, refused, ok := r.Expire(began + 60*second)
				if !ok || refused {
					t.Fatal("not given up")
				}
				if r.Len() != 0 || r.Memory() != 0 {
					t.Error("it is still there")
				}
				if lost == 0 {
					if first != nil {
						t.Error("a first fragment that never came")
					}
					return
				}
				sent := cuts[0].packet()
				if !bytes.Equal(first, sent) {
					t.Fatalf("the first fragment is % x…", first[:40])
				}
				var h ip.Header
				if _, drop := ip.Parse(first, &h); drop != ip.DropFragment {
					t.Fatal(drop)
				}
				m, ok := ip.TimeExceeded(&h, first)
				typ, limit := uint8(11), 576-28
				if !f.is4 {
					typ, limit = 3, 1280-48
				}
				if !ok || m.Type != typ || m.Code != 1 || m.Rest != 0 || !bytes.Equal(m.Body, sent[:limit]) {
					t.Errorf("%v, type %d code %d, %d bytes", ok, m.Type, m.Code, len(m.Body))
				}
				decode(t, icmpPacket(&m, f.us, f.them))
			})
		}
	}
}

// An error is not answered by an error, in pieces neither.
func TestTimeExceededIsNeverAboutAnError(t *testing.T) {
	for _, f := range families {
		c := cut{f: f, id: 1, more: true, protocol: 1, data: append([]byte{3, 3}, make([]byte, 30)...)}
		if !f.is4 {
			c.protocol, c.data[0] = 58, 1
		}
		for _, echo := range []bool{false, true} {
			if echo {
				c.data[0] = map[bool]byte{true: 8, false: 128}[f.is4]
			}
			packet := c.packet()
			var h ip.Header
			ip.Parse(packet, &h)
			if m, ok := ip.TimeExceeded(&h, packet); ok != echo {
				t.Errorf("%s, echo %v: %v, %+v", f.name, echo, ok, m)
			}
		}
	}
}

// 10,000 half-finished datagrams, from as many sources or from one: memory stays within
// its bounds, and a datagram whose pieces come meanwhile is delivered.
func TestFloodOfFragmentsIsBounded(t *testing.T) {
	const memory, sourceMemory = 4 << 20, 1 << 20 // the defaults
	for _, f := range families {
		for name, source := range map[string]func(i int) netip.Addr{
			"many sources": func(i int) netip.Addr {
				a := f.them.AsSlice()
				a[len(a)-2], a[len(a)-1] = byte(i>>8)+1, byte(i)
				src, _ := netip.AddrFromSlice(a)
				return src
			},
			"one source": func(int) netip.Addr {
				return map[bool]netip.Addr{true: netip.MustParseAddr("10.77.0.66"), false: netip.MustParseAddr("fd77::66")}[f.is4]
			},
		} {
			for _, size := range []int{8, 1480, 20000} {
				t.Run(fmt.Sprintf("%s, %s, pieces of %d", f.name, name, size), func(t *testing.T) {
					r := ip.NewReassembler(ip.ReassemblyLimits{})
					payload := pattern(4000)
					honest := slice(f, 1, payload, 1480, 2960)
					evicted, delivered := 0, 0
					flood := pattern(size)
					for i := range 10000 {
						now := mono.Time(i) * mono.Time(100*time.Microsecond)
						c := cut{f: f, src: source(i), id: uint32(i), more: true, data: flood}
						if _, drop := add(t, r, now, c.packet()); drop != ip.DropNone {
							t.Fatalf("drop %v", drop)
						}
						if r.Memory() > memory || name == "one source" && r.Memory() > sourceMemory+8000 {
							t.Fatalf("%d bytes after %d datagrams", r.Memory(), i+1)
						}
						evicted += r.Evicted()
						// A piece of the honest one every 10 of the flood's.
						if i%10 == 0 {
							k := i / 10 % 3
							honest[k].id = uint32(1 + i/30)
							whole, _ := add(t, r, now, honest[k].packet())
							if whole != nil {
								wantWhole(t, f, whole, payload)
								delivered++
							}
						}
					}
					if delivered != 333 {
						t.Errorf("%d of 333 honest datagrams were delivered", delivered)
					}
					if got := evicted + r.Len(); got != 10000+1 { // the honest one that has begun too
						t.Errorf("%d evicted and %d left of 10,001", evicted, r.Len())
					}
				})
			}
		}
	}
}

func TestReassemblyLimitsTheDatagrams(t *testing.T) {
	for _, f := range families {
		r := ip.NewReassembler(ip.ReassemblyLimits{Datagrams: 10, SourceDatagrams: 3})
		other := func(i int) netip.Addr {
			a := f.them.AsSlice()
			a[len(a)-1] = byte(100 + i)
			src, _ := netip.AddrFromSlice(a)
			return src
		}
		for i := range 30 {
			add(t, r, mono.Time(i), cut{f: f, src: other(i / 5), id: uint32(i), more: true, data: data}.packet())
			if r.Len() > 10 {
				t.Fatalf("%s: %d datagrams", f.name, r.Len())
			}
		}
		// The last three of each of the last sources; the oldest left is the third of one
		// of them.
		if r.Len() != 10 || r.Evicted() != 20 {
			t.Errorf("%s: %d datagrams", f.name, r.Len())
		}
		if d := r.Deadline(); d != mono.Time(60*time.Second)+14 {
			t.Errorf("%s: the oldest began at %d", f.name, d-mono.Time(60*time.Second))
		}
	}
}

// What has to make way for its own pieces is not half delivered.
func TestDatagramLargerThanItsSourceMayHold(t *testing.T) {
	for _, f := range families {
		r := ip.NewReassembler(ip.ReassemblyLimits{SourceMemory: 2000})
		cuts := slice(f, 1, pattern(4000), 1000, 2000, 3000)
		var drops []ip.Drop
		for _, c := range cuts {
			whole, drop := add(t, r, 0, c.packet())
			if whole != nil {
				t.Fatal("delivered")
			}
			drops = append(drops, drop)
		}
		if fmt.Sprint(drops) != "[none ip_reassembly_memory none ip_reassembly_memory]" {
			t.Errorf("%s: %v", f.name, drops)
		}
	}
}

// What we send in fragments: gopacket reads it, and it becomes what it was.
func TestFragmentsOfWhatWeSend(t *testing.T) {
	for _, f := range families {
		longest, header := ip.MaxPayload4, 20
		if !f.is4 {
			longest, header = ip.MaxPayload6, 48
		}
		for _, n := range []int{1, 1480, 1481, 2000, 65507, longest} {
			for _, mtu := range []int{68, 552, 1280, 1492, 1500, 9001} {
				r := ip.NewReassembler(ip.ReassemblyLimits{SourceMemory: 2 << 20})
				payload := pattern(n)
				h := ip.Header{Src: f.them, Dst: f.us, Protocol: ip.UDP, TTL: 9, TOS: 0xb8, ID: 0x12345678, FlowLabel: 0xabcde}
				pieces, ok := ip.Fragment(&h, n, mtu)
				if !ok {
					t.Fatalf("%s %d/%d: none", f.name, n, mtu)
				}
				var whole []byte
				at, count := 0, 0
				for {
					b, from, to, ok := pieces.Next(nil)
					if !ok {
						break
					}
					if from != at {
						t.Fatalf("from %d, want %d", from, at)
					}
					at, count = to, count+1
					b = append(b, payload[from:to]...)
					if len(b) > mtu || to < n && len(b) <= mtu-8 {
						t.Fatalf("%s: a piece of %d bytes for %d", f.name, len(b), mtu)
					}
					judge(t, f, b, from, to < n)
					if count == 1 && to == n {
						continue // an atomic one is no fragment to the parser
					}
					whole, _ = add(t, r, 0, b)
				}
				if at != n || count != (n+(mtu-header)&^7-1)/((mtu-header)&^7) {
					t.Errorf("%s %d/%d: %d pieces up to %d", f.name, n, mtu, count, at)
				}
				if count > 1 {
					got := wantWhole(t, f, whole, payload)
					if got.TTL != 9 || got.TOS != 0xb8 || !f.is4 && got.FlowLabel != 0xabcde {
						t.Errorf("%s: %+v", f.name, got)
					}
				}
			}
		}
	}
}

// judge has gopacket read a fragment.
func judge(t *testing.T, f pair, b []byte, offset int, more bool) {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv6)
	if f.is4 {
		first = layers.LayerTypeIPv4
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	if f.is4 {
		l := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if int(l.FragOffset)*8 != offset || (l.Flags&layers.IPv4MoreFragments != 0) != more || l.Flags&layers.IPv4DontFragment != 0 ||
			l.Id != 0x5678 || int(l.Length) != len(b) || sum16(b[:20]) != 0xffff {
			t.Fatalf("gopacket reads %+v", l)
		}
		return
	}
	l6 := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	l := p.Layer(layers.LayerTypeIPv6Fragment).(*layers.IPv6Fragment)
	if int(l.FragmentOffset)*8 != offset || l.MoreFragments != more || l.Identification != 0x12345678 || l.NextHeader != layers.IPProtocolUDP ||
		int(l6.Length) != len(b)-40 {
		t.Fatalf("gopacket reads %+v, %+v", l6, l)
	}
}

func TestFragmentRefuses(t *testing.T) {
	h := func(f pair, df bool) *ip.Header {
		return &ip.Header{Src: f.us, Dst: f.them, Protocol: ip.UDP, DF: df}
	}
	v4, v6 := families[0], families[1]
	for name, test := range map[string]struct {
		h      *ip.Header
		n, mtu int
	}{
		"DF":                     {h(v4, true), 2000, 1500},
		"more than IPv4 carries": {h(v4, false), ip.MaxPayload4 + 1, 1500},
		"more than IPv6 carries": {h(v6, false), ip.MaxPayload6 + 1, 1500},
		"no room at all":         {h(v4, false), 100, 27},
		"no room in IPv6":        {h(v6, false), 100, 55},
		"an MTU of nothing":      {h(v4, false), 100, 0},
	} {
		if _, ok := ip.Fragment(test.h, test.n, test.mtu); ok {
			t.Errorf("%s: cut", name)
		}
	}
}
