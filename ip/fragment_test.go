package ip_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
)

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
