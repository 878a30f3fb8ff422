package ip_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

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
				if _, ok := r.Expire(began + 60*second - 1); ok {
					t.Fatal("given up too early")
				}
				given, ok := r.Expire(began + 60*second)
				if !ok || given.Refused || given.Is4 != f.us.Is4() {
					t.Fatalf("not given up: %+v", given)
				}
				first := given.First
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
						four, six := r.Evicted()
						if six != 0 && f.us.Is4() || four != 0 && !f.us.Is4() {
							t.Fatalf("%d of IPv4 and %d of IPv6 made way", four, six)
						}
						evicted += four + six
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
		if four, six := r.Evicted(); r.Len() != 10 || four+six != 20 {
			t.Errorf("%s: %d datagrams, %d and %d made way", f.name, r.Len(), four, six)
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
