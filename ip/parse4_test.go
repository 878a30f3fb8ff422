package ip_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/ip"
)

func TestParse4ReadsEveryField(t *testing.T) {
	b := packet4(nil, "payload")
	b[1] = 0x2e<<2 | 1 // DSCP EF, ECT(1)
	b[8] = 7
	fix4(b)
	h, payload := mustParse(t, b)
	want := ip.Header{
		Src: them4, Dst: us4, Protocol: ip.UDP, TTL: 7, TOS: 0xb9, ID: 0x1234, DF: true,
		Len: 20, ProtocolOffset: 9,
	}
	if h != want {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if string(payload) != "payload" {
		t.Errorf("payload %q", payload)
	}
	if !h.Is4() {
		t.Error("Is4 is false")
	}
}

func TestParse4Drops(t *testing.T) {
	edit := func(f func(b []byte)) []byte {
		b := packet4(nil, "12345678")
		f(b)
		return fix4(b)
	}
	options := func(o ...byte) []byte {
		for len(o)%4 != 0 {
			o = append(o, 0)
		}
		return packet4(o, "12345678")
	}
	whole := packet4(nil, "12345678")
	tests := []struct {
		name   string
		packet []byte
		want   ip.Drop
	}{
		{"nothing", nil, ip.DropShort},
		{"one byte", whole[:1], ip.DropShort},
		{"a byte less than a header", whole[:19], ip.DropShort},
		{"version 0", append([]byte{0x05}, whole[1:]...), ip.DropVersion},
		{"version 5", append([]byte{0x55}, whole[1:]...), ip.DropVersion},
		{"version 15", append([]byte{0xf5}, whole[1:]...), ip.DropVersion},
		{"IHL 4", append([]byte{0x44}, whole[1:]...), ip.DropHeaderLength},
		{"IHL 0", append([]byte{0x40}, whole[1:]...), ip.DropHeaderLength},
		{"IHL beyond the packet", append([]byte{0x48}, whole[1:]...), ip.DropHeaderLength},
		{"total length 0", edit(func(b []byte) { b[3] = 0 }), ip.DropLength},
		{"total length below the header", edit(func(b []byte) { b[3] = 19 }), ip.DropLength},
		{"total length below the header with options", func() []byte {
			b := packet4(make([]byte, 8), "12345678")
			b[3] = 27
			return fix4(b)
		}(), ip.DropLength},
		{"total length beyond the packet", edit(func(b []byte) { b[3]++ }), ip.DropLength},
		{"packet cut", whole[:len(whole)-1], ip.DropLength},
		{"wrong checksum", func() []byte { b := bytes.Clone(whole); b[11] ^= 1; return b }(), ip.DropHeaderChecksum},
		{"changed TTL without its checksum", func() []byte { b := bytes.Clone(whole); b[8]--; return b }(), ip.DropHeaderChecksum},
		{"checksum that leaves out the options", func() []byte {
			b := packet4([]byte{7, 3, 4, 0}, "12345678")
			b[23] = 1
			return b
		}(), ip.DropHeaderChecksum},
		{"option without length", options(1, 1, 1, 7), ip.DropOptions},
		{"option of length 0", options(7, 0), ip.DropOptions},
		{"option of length 1", options(7, 1), ip.DropOptions},
		{"option beyond the header", options(7, 5, 0, 0), ip.DropOptions},
		{"loose source route to go on", options(131, 7, 4, 10, 0, 0, 9), ip.DropSourceRoute},
		{"strict source route to go on", options(1, 137, 7, 4, 10, 0, 0, 9), ip.DropSourceRoute},
		{"source route that points at its last byte", options(131, 7, 7, 10, 0, 0, 9), ip.DropSourceRoute},
		{"source route without a pointer", options(1, 1, 131, 2), ip.DropOptions},
		{"source route with a pointer into its header", options(131, 7, 3, 10, 0, 0, 9), ip.DropOptions},
		{"more fragments", edit(func(b []byte) { b[6] = 0x20 }), ip.DropFragment},
		{"later fragment", edit(func(b []byte) { b[7] = 1 }), ip.DropFragment},
		{"last fragment at the greatest offset", edit(func(b []byte) { b[6], b[7] = 0x1f, 0xff }), ip.DropFragment},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { expectDrop(t, test.packet, test.want) })
	}
}

// expectDrop checks the reason and that a dropped packet yields no payload.
func expectDrop(t *testing.T, packet []byte, want ip.Drop) {
	t.Helper()
	before := bytes.Clone(packet)
	var h ip.Header
	payload, drop := ip.Parse(packet, &h)
	if drop != want {
		t.Errorf("drop %v, want %v", drop, want)
	}
	if want != ip.DropNone && payload != nil {
		t.Errorf("payload % x with drop %v", payload, drop)
	}
	if !bytes.Equal(packet, before) {
		t.Error("Parse changed the packet")
	}
}

func TestParse4Addresses(t *testing.T) {
	tests := []struct {
		name, src, dst string
		want           ip.Drop
	}{
		{"unicast", "192.0.2.1", "10.77.0.2", ip.DropNone},
		{"to multicast", "192.0.2.1", "224.0.0.1", ip.DropNone},
		{"to limited broadcast", "192.0.2.1", "255.255.255.255", ip.DropNone},
		{"from unspecified", "0.0.0.0", "10.77.0.2", ip.DropBadSource},
		{"from this network", "0.1.2.3", "10.77.0.2", ip.DropBadSource},
		{"from loopback", "127.0.0.1", "10.77.0.2", ip.DropBadSource},
		{"from elsewhere in loopback", "127.255.1.2", "10.77.0.2", ip.DropBadSource},
		{"from multicast", "224.0.0.1", "10.77.0.2", ip.DropBadSource},
		{"from the end of multicast", "239.255.255.255", "10.77.0.2", ip.DropBadSource},
		{"from class E", "240.0.0.1", "10.77.0.2", ip.DropBadSource},
		{"from limited broadcast", "255.255.255.255", "10.77.0.2", ip.DropBadSource},
		{"from the last unicast address", "223.255.255.255", "10.77.0.2", ip.DropNone},
		{"to unspecified", "192.0.2.1", "0.0.0.0", ip.DropBadDestination},
		{"to this network", "192.0.2.1", "0.0.0.9", ip.DropBadDestination},
		{"to loopback", "192.0.2.1", "127.0.0.1", ip.DropBadDestination},
		{"loopback to loopback", "127.0.0.1", "127.0.0.1", ip.DropBadSource},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := packet4(nil, "x")
			src, dst := netip.MustParseAddr(test.src).As4(), netip.MustParseAddr(test.dst).As4()
			copy(b[12:], src[:])
			copy(b[16:], dst[:])
			expectDrop(t, fix4(b), test.want)
		})
	}
}

func TestParse4CutsPadding(t *testing.T) {
	b := append(packet4(nil, "data"), "padding of a link layer"...)
	_, payload := mustParse(t, b)
	if string(payload) != "data" {
		t.Errorf("payload %q, want %q", payload, "data")
	}
	if cap(payload) != len(payload) {
		t.Error("the payload can be appended to over the padding")
	}
}

func TestParse4TakesEmptyPayload(t *testing.T) {
	_, payload := mustParse(t, packet4(nil, ""))
	if payload == nil || len(payload) != 0 {
		t.Errorf("payload %v, want empty and not nil", payload)
	}
}

// RFC 1122, section 3.2.1.7: a host does not discard for a TTL below 2.
func TestParse4TakesAnyTTL(t *testing.T) {
	for _, ttl := range []byte{0, 1, 255} {
		b := packet4(nil, "x")
		b[8] = ttl
		h, _ := mustParse(t, fix4(b))
		if h.TTL != ttl {
			t.Errorf("TTL %d, want %d", h.TTL, ttl)
		}
	}
}

// The reserved flag has no meaning, and whatever DF says the packet is whole.
func TestParse4TakesWholePacketWithAnyFlags(t *testing.T) {
	for flags, df := range map[byte]bool{0x00: false, 0x40: true, 0x80: false, 0xc0: true} {
		b := packet4(nil, "x")
		b[6] = flags
		if h, _ := mustParse(t, fix4(b)); h.DF != df || h.MF || h.FragmentOffset != 0 {
			t.Errorf("flags %#02x: %+v", flags, h)
		}
	}
}

func TestParse4SkipsOptions(t *testing.T) {
	tests := []struct {
		name    string
		options []byte
	}{
		{"none but padding", []byte{0, 0, 0, 0}},
		{"no-operation only", []byte{1, 1, 1, 1}},
		{"router alert", []byte{148, 4, 0, 0}},
		{"record route", []byte{7, 7, 4, 0, 0, 0, 0, 0}},
		{"timestamp", []byte{68, 8, 5, 0, 0, 0, 0, 0}},
		{"security", []byte{130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"unknown", []byte{222, 4, 0xff, 0xff}},
		{"finished source route", []byte{131, 7, 8, 10, 0, 0, 9, 0}},
		{"garbage behind the end", []byte{1, 0, 131, 0}},
		{"the most there can be", bytes.Repeat([]byte{148, 4, 0, 0}, 10)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, payload := mustParse(t, packet4(test.options, "data"))
			if string(payload) != "data" || h.Len != 20+len(test.options) {
				t.Errorf("payload %q behind %d bytes of header", payload, h.Len)
			}
		})
	}
}

func TestParse4LongestPacket(t *testing.T) {
	b := packet4(nil, string(make([]byte, 65535-20)))
	_, payload := mustParse(t, b)
	if len(payload) != ip.MaxPayload4 {
		t.Errorf("%d bytes, want %d", len(payload), ip.MaxPayload4)
	}
}

func TestParse4FragmentTellsWhatItIs(t *testing.T) {
	b := packet4(nil, "12345678")
	b[6], b[7] = 0x20, 0xb9
	var h ip.Header
	if _, drop := ip.Parse(fix4(b), &h); drop != ip.DropFragment {
		t.Fatalf("drop %v", drop)
	}
	if !h.MF || h.FragmentOffset != 0xb9*8 || h.ID != 0x1234 {
		t.Errorf("%+v", h)
	}
}

// What gopacket writes is read with the same meaning.
func TestParse4AgreesWithGopacket(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		src := unicast4().Draw(rt, "src")
		dst := unicast4().Draw(rt, "dst")
		payload := rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(rt, "payload")
		l := &layers.IPv4{
			Version: 4, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
			Protocol: layers.IPProtocol(rapid.Byte().Draw(rt, "protocol")),
			TTL:      rapid.Byte().Draw(rt, "ttl"), TOS: rapid.Byte().Draw(rt, "tos"), Id: rapid.Uint16().Draw(rt, "id"),
		}
		if rapid.Bool().Draw(rt, "df") {
			l.Flags = layers.IPv4DontFragment
		}
		for range rapid.IntRange(0, 3).Draw(rt, "options") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(rt, "option")
			l.Options = append(l.Options, layers.IPv4Option{OptionType: 148, OptionLength: uint8(2 + len(data)), OptionData: data})
		}
		packet := serialize(t, l, gopacket.Payload(payload))
		var h ip.Header
		got, drop := ip.Parse(packet, &h)
		if drop != ip.DropNone {
			rt.Fatalf("drop %v", drop)
		}
		want := ip.Header{
			Src: src, Dst: dst, Protocol: ip.Protocol(l.Protocol), TTL: l.TTL, TOS: l.TOS, ID: uint32(l.Id),
			DF: l.Flags&layers.IPv4DontFragment != 0, Len: int(l.IHL) * 4, ProtocolOffset: 9,
		}
		if h != want || !bytes.Equal(got, payload) {
			rt.Fatalf("%+v with %d bytes, want %+v with %d", h, len(got), want, len(payload))
		}
	})
}

func unicast4() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		a := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr"))
		a[0] = rapid.ByteRange(1, 223).Filter(func(b byte) bool { return b != 127 }).Draw(t, "first")
		return netip.AddrFrom4(a)
	})
}
