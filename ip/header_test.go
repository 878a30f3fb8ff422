package ip_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/ip"
)

func TestAppend4BytesOnTheWire(t *testing.T) {
	h := ip.Header{Src: us4, Dst: them4, Protocol: ip.TCP, TTL: 64, TOS: 0xb8, ID: 0xbeef, DF: true}
	got := h.Append([]byte("before"), 100)
	want := fix4([]byte{
		0x45, 0xb8, 0, 120,
		0xbe, 0xef, 0x40, 0x00,
		64, 6, 0, 0,
		10, 77, 0, 2,
		10, 77, 0, 1,
	})
	if !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("got  % x\nwant % x", got[6:], want)
	}
}

func TestAppend6BytesOnTheWire(t *testing.T) {
	h := ip.Header{Src: us6, Dst: them6, Protocol: ip.TCP, TTL: 64, TOS: 0xb8, FlowLabel: 0xfabcde}
	got := h.Append([]byte("before"), 100)
	src, dst := us6.As16(), them6.As16()
	want := append([]byte{0x6b, 0x8a, 0xbc, 0xde, 0, 100, 6, 64}, append(src[:], dst[:]...)...)
	if !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("got  % x\nwant % x", got[6:], want)
	}
}

// RFC 1122, section 3.2.1.7: a host must not send a TTL of 0.
func TestAppendNeverSendsTTLZero(t *testing.T) {
	h4 := ip.Header{Src: us4, Dst: them4}
	if ttl := h4.Append(nil, 0)[8]; ttl != ip.DefaultTTL {
		t.Errorf("TTL %d, want %d", ttl, ip.DefaultTTL)
	}
	h6 := ip.Header{Src: us6, Dst: them6}
	if limit := h6.Append(nil, 0)[7]; limit != ip.DefaultTTL {
		t.Errorf("hop limit %d, want %d", limit, ip.DefaultTTL)
	}
}

func TestAppend4Fragment(t *testing.T) {
	for _, c := range []struct {
		h    ip.Header
		want uint16
	}{
		{ip.Header{MF: true}, 0x2000},
		{ip.Header{MF: true, FragmentOffset: 1480}, 0x2000 | 185},
		{ip.Header{FragmentOffset: 65528}, 0x1fff},
		{ip.Header{FragmentOffset: 65536, DF: true}, 0x4000}, // never into the flags
	} {
		c.h.Src, c.h.Dst = us4, them4
		if got := binary.BigEndian.Uint16(c.h.Append(nil, 8)[6:]); got != c.want {
			t.Errorf("%+v: flags and offset %#04x, want %#04x", c.h, got, c.want)
		}
	}
}

// Nothing a caller can put into a header panics; what makes no sense makes a packet
// that a receiver drops.
func TestAppendOfNonsenseDoesNotPanic(t *testing.T) {
	addrs := []netip.Addr{{}, us4, us6, us6.WithZone("tun0"), netip.AddrFrom16(us4.As16())}
	for _, src := range addrs {
		for _, dst := range addrs {
			for _, n := range []int{-100, -1, 0, 65515, 65516, 65535, 65536, math.MaxInt, math.MinInt} {
				h := ip.Header{Src: src, Dst: dst, FragmentOffset: -8, FlowLabel: 0xffffffff}
				b := h.Append(nil, n)
				want := 6
				if dst.Is4() {
					want = 4
				}
				if int(b[0]>>4) != want {
					t.Errorf("%v to %v: version %d, want %d", src, dst, b[0]>>4, want)
				}
			}
		}
	}
}

func TestAppendLengthSticksAtItsMaximum(t *testing.T) {
	h4, h6 := ip.Header{Src: us4, Dst: them4}, ip.Header{Src: us6, Dst: them6}
	for _, more := range []int{1, 1 << 20, math.MaxInt - 65535} {
		if n := binary.BigEndian.Uint16(h4.Append(nil, ip.MaxPayload4+more)[2:]); n != 65535 {
			t.Errorf("IPv4 total length %d", n)
		}
		if n := binary.BigEndian.Uint16(h6.Append(nil, ip.MaxPayload6+more)[4:]); n != 65535 {
			t.Errorf("IPv6 payload length %d", n)
		}
	}
}

// TestLengthUnsaidIsZero: and nothing else of the header is other than it would be.
func TestLengthUnsaidIsZero(t *testing.T) {
	for _, h := range []ip.Header{{Src: us4, Dst: them4, Protocol: ip.TCP}, {Src: us6, Dst: them6, Protocol: ip.TCP}} {
		b, at := h.Append(nil, ip.LengthUnsaid), 4
		if h.Is4() {
			at = 2
		}
		if n := binary.BigEndian.Uint16(b[at:]); n != 0 {
			t.Errorf("%v: the length is %d", h.Dst, n)
		}
		said := h.Append(nil, 1000)
		if h.Is4() {
			// A checksum that is right for the one is right for the other, less the length.
			if sum := checksum.Sum(0, b); sum != 0xffff {
				t.Errorf("the header sums up to %#x", sum)
			}
			copy(b[10:12], said[10:12])
		}
		copy(b[at:at+2], said[at:])
		if !bytes.Equal(b, said) {
			t.Errorf("%v: % x, want % x", h.Dst, b, said)
		}
	}
}

// anyHeader draws headers that say the same when they are parsed again.
func anyHeader() *rapid.Generator[ip.Header] {
	return rapid.Custom(func(t *rapid.T) ip.Header {
		h := ip.Header{TTL: rapid.ByteRange(1, 255).Draw(t, "ttl"), TOS: rapid.Byte().Draw(t, "tos")}
		if rapid.Bool().Draw(t, "v4") {
			h.Src, h.Dst = unicast4().Draw(t, "src"), unicast4().Draw(t, "dst")
			h.ID, h.DF = uint32(rapid.Uint16().Draw(t, "id")), rapid.Bool().Draw(t, "df")
			h.Protocol = ip.Protocol(rapid.Byte().Draw(t, "protocol"))
			h.Len, h.ProtocolOffset = 20, 9
			return h
		}
		h.Src, h.Dst = unicast6().Draw(t, "src"), unicast6().Draw(t, "dst")
		h.FlowLabel = rapid.Uint32Range(0, 0xfffff).Draw(t, "label")
		h.Protocol = rapid.SampledFrom([]ip.Protocol{ip.TCP, ip.UDP, ip.ICMPv6, 50, 253}).Draw(t, "protocol")
		h.Len, h.ProtocolOffset = 40, 6
		return h
	})
}

func TestWhatIsAppendedParsesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHeader().Draw(t, "header")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "payload")
		var got ip.Header
		p, drop := ip.Parse(append(h.Append(nil, len(payload)), payload...), &got)
		if drop != ip.DropNone || got != h || !bytes.Equal(p, payload) {
			t.Fatalf("%+v with %d bytes (%v), want %+v with %d", got, len(p), drop, h, len(payload))
		}
	})
}

// gopacket reads from what is appended what was meant, and writes the same bytes.
func TestGopacketAgreesWithAppend(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := anyHeader().Draw(rt, "header")
		payload := []byte("payload")
		if !h.Is4() {
			h.Protocol = 253 // so that gopacket does not look for more behind it
		}
		packet := append(h.Append(nil, len(payload)), payload...)
		var again []byte
		if h.Is4() {
			var l layers.IPv4
			if err := l.DecodeFromBytes(packet, truncated{rt}); err != nil {
				rt.Fatal(err)
			}
			src, _ := netip.AddrFromSlice(l.SrcIP)
			dst, _ := netip.AddrFromSlice(l.DstIP)
			if src != h.Src || dst != h.Dst || l.TTL != h.TTL || l.TOS != h.TOS || uint32(l.Id) != h.ID ||
				l.Flags&layers.IPv4DontFragment != 0 != h.DF || byte(l.Protocol) != byte(h.Protocol) || l.IHL != 5 || int(l.Length) != len(packet) {
				rt.Fatalf("gopacket reads %+v, want %+v", l, h)
			}
			if !bytes.Equal(l.Payload, payload) {
				rt.Fatalf("payload %q", l.Payload)
			}
			l.Checksum = 0
			again = serialize(t, &l)
		} else {
			var l layers.IPv6
			if err := l.DecodeFromBytes(packet, truncated{rt}); err != nil {
				rt.Fatal(err)
			}
			src, _ := netip.AddrFromSlice(l.SrcIP)
			dst, _ := netip.AddrFromSlice(l.DstIP)
			if src != h.Src || dst != h.Dst || l.HopLimit != h.TTL || l.TrafficClass != h.TOS || l.FlowLabel != h.FlowLabel ||
				byte(l.NextHeader) != byte(h.Protocol) || int(l.Length) != len(payload) {
				rt.Fatalf("gopacket reads %+v, want %+v", l, h)
			}
			l.Length = 0
			again = serialize(t, &l)
			binary.BigEndian.PutUint16(again[4:], uint16(len(payload)))
		}
		header := bytes.Clone(packet[:len(again)])
		if h.Is4() { // gopacket wrote it for an empty payload
			binary.BigEndian.PutUint16(header[2:], 20)
			fix4(header)
		}
		if !bytes.Equal(again, header) {
			rt.Fatalf("gopacket writes % x, we % x", again, header)
		}
	})
}

// truncated is gopacket's way to hear of a packet shorter than it says.
type truncated struct{ t *rapid.T }

func (tr truncated) SetTruncated() { tr.t.Fatal("gopacket says truncated") }

func TestHeaderChecksumIsRightByTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHeader().Filter(func(h ip.Header) bool { return h.Is4() }).Draw(t, "header")
		if sum := sum16(h.Append(nil, 8)); sum != 0xffff {
			t.Fatalf("header sums to %#04x", sum)
		}
	})
}

func TestProtocolNames(t *testing.T) {
	for p, want := range map[ip.Protocol]string{
		ip.ICMP: "ICMP", ip.TCP: "TCP", ip.UDP: "UDP", ip.ICMPv6: "ICMPv6", 47: "protocol 47",
	} {
		if p.String() != want {
			t.Errorf("%d is %q, want %q", uint8(p), p, want)
		}
	}
}

func TestDropNamesAreLabelsAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for d := range ip.Drop(ip.NumDrops) {
		name := d.String()
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("drop %d has the name %q", d, name)
		}
		if seen[name] {
			t.Errorf("two drops are called %q", name)
		}
		seen[name] = true
	}
	if name := ip.Drop(ip.NumDrops).String(); name != "ip_unknown" {
		t.Errorf("a drop that does not exist is called %q", name)
	}
}
