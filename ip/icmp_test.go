package ip_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/ip"
)

// pair is the two hosts of a family.
type pair struct {
	name     string
	is4      bool
	us, them netip.Addr
}

var families = []pair{{"IPv4", true, us4, them4}, {"IPv6", false, us6, them6}}

// gopacketEcho is an echo request from them to us by gopacket.
func gopacketEcho(t *testing.T, f pair, id, seq uint16, data []byte) []byte {
	if f.is4 {
		return serialize(t,
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: f.them.AsSlice(), DstIP: f.us.AsSlice()},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: seq},
			gopacket.Payload(data))
	}
	l := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: f.them.AsSlice(), DstIP: f.us.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	if err := icmp.SetNetworkLayerForChecksum(l); err != nil {
		t.Fatal(err)
	}
	return serialize(t, l, icmp, &layers.ICMPv6Echo{Identifier: id, SeqNumber: seq}, gopacket.Payload(data))
}

// RFC 792; RFC 4443, section 4.2: identifier, sequence number and data come back.
func TestEchoRequestOfGopacketIsAnswered(t *testing.T) {
	for _, f := range families {
		for _, n := range []int{0, 1, 56, 1400, 1401} {
			data := bytes.Repeat([]byte{0xa5, 1, 2}, n)[:n]
			h, m := mustParseICMP(t, gopacketEcho(t, f, 0xabcd, 0x0102, data))
			reply, ok := ip.EchoReply(&m, &h)
			if !ok {
				t.Fatalf("%s: no reply", f.name)
			}
			p := decode(t, icmpPacket(&reply, f.us, f.them))
			var id, seq uint16
			var back []byte
			if f.is4 {
				l := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
				if l.TypeCode.Type() != layers.ICMPv4TypeEchoReply || l.TypeCode.Code() != 0 {
					t.Errorf("type %v", l.TypeCode)
				}
				id, seq, back = l.Id, l.Seq, l.Payload
			} else {
				icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
				if tc := icmp.TypeCode; tc.Type() != layers.ICMPv6TypeEchoReply || tc.Code() != 0 {
					t.Errorf("type %v", tc)
				}
				l := p.Layer(layers.LayerTypeICMPv6Echo).(*layers.ICMPv6Echo)
				id, seq, back = l.Identifier, l.SeqNumber, icmp.Payload[4:]
			}
			if id != 0xabcd || seq != 0x0102 || !bytes.Equal(back, data) {
				t.Errorf("%s: id %#x, seq %#x, %d bytes of data", f.name, id, seq, len(back))
			}
		}
	}
}

// gopacket does not verify ICMP checksums; it computes them: serialize the same message
// by both and compare.
func TestEchoRequestIsWhatGopacketWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(families).Draw(rt, "family")
		id, seq := rapid.Uint16().Draw(rt, "id"), rapid.Uint16().Draw(rt, "seq")
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "data")
		want := gopacketEcho(t, f, id, seq, data)
		m := ip.EchoRequest(f.is4, id, seq, data)
		got := icmpPacket(&m, f.them, f.us)
		if !bytes.Equal(got, want) {
			rt.Fatalf("got  % x\nwant % x", got, want)
		}
	})
}

func TestEchoReplyIsReadBack(t *testing.T) {
	for _, f := range families {
		request := ip.EchoRequest(f.is4, 7, 9, []byte("data"))
		if _, _, _, ok := request.EchoReply(f.is4); ok {
			t.Errorf("%s: a request is taken for a reply", f.name)
		}
		h, m := mustParseICMP(t, icmpPacket(&request, f.us, f.them))
		reply, _ := ip.EchoReply(&m, &h)
		h, m = mustParseICMP(t, icmpPacket(&reply, f.them, f.us))
		id, seq, data, ok := m.EchoReply(f.is4)
		if !ok || id != 7 || seq != 9 || string(data) != "data" {
			t.Errorf("%s: %d %d %q %v", f.name, id, seq, data, ok)
		}
		if _, ok := ip.EchoReply(&m, &h); ok {
			t.Errorf("%s: a reply is answered", f.name)
		}
	}
}

func TestEchoRequestIsNotAnswered(t *testing.T) {
	tests := []struct{ name, src, dst string }{
		{"to multicast", "10.77.0.1", "224.0.0.1"},
		{"to limited broadcast", "10.77.0.1", "255.255.255.255"},
		{"to this network", "10.77.0.1", "0.0.0.0"},
		{"from multicast", "224.0.0.1", "10.77.0.2"},
		{"from limited broadcast", "255.255.255.255", "10.77.0.2"},
		{"from unspecified", "0.0.0.0", "10.77.0.2"},
		{"to the IPv6 unspecified address", "fd77::1", "::"},
		{"from IPv6 multicast", "ff02::1", "fd77::2"},
		{"from IPv6 unspecified", "::", "fd77::2"},
	}
	for _, test := range tests {
		h := ip.Header{Src: netip.MustParseAddr(test.src), Dst: netip.MustParseAddr(test.dst)}
		m := ip.EchoRequest(h.Is4(), 1, 1, nil)
		if reply, ok := ip.EchoReply(&m, &h); ok {
			t.Errorf("%s: answered by %+v", test.name, reply)
		}
	}
}

// Only the type of the own family is an echo: 8 is nothing in ICMPv6, 128 nothing in
// ICMP.
func TestEchoOfTheOtherFamilyIsNone(t *testing.T) {
	for _, f := range families {
		h := ip.Header{Src: f.them, Dst: f.us}
		m := ip.EchoRequest(!f.is4, 1, 1, nil)
		if _, ok := ip.EchoReply(&m, &h); ok {
			t.Errorf("%s answers an echo request of the other family", f.name)
		}
	}
}

func TestEchoRequestWithAnotherCodeIsAnsweredWithCodeZero(t *testing.T) {
	for _, f := range families {
		m := ip.EchoRequest(f.is4, 1, 2, nil)
		m.Code = 5
		reply, ok := ip.EchoReply(&m, &ip.Header{Src: f.them, Dst: f.us})
		if !ok || reply.Code != 0 || reply.Rest != 1<<16|2 {
			t.Errorf("%s: %+v, %v", f.name, reply, ok)
		}
	}
}

func TestParseMessageDrops(t *testing.T) {
	for _, f := range families {
		m := ip.EchoRequest(f.is4, 1, 2, []byte("odd"))
		whole := m.Append(nil, f.them, f.us)
		h := ip.Header{Src: f.them, Dst: f.us}
		for n := range 8 {
			if drop := ip.ParseMessage(&h, whole[:n], &m); drop != ip.DropICMPShort {
				t.Errorf("%s: %d bytes: %v", f.name, n, drop)
			}
		}
		for bit := range len(whole) * 8 {
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			if drop := ip.ParseMessage(&h, b, &m); drop != ip.DropICMPChecksum {
				t.Errorf("%s: bit %d flipped: %v", f.name, bit, drop)
			}
		}
		if drop := ip.ParseMessage(&h, whole, &m); drop != ip.DropNone {
			t.Errorf("%s: whole: %v", f.name, drop)
		}
	}
}

// RFC 4443, section 2.3: the ICMPv6 checksum covers the addresses; that of ICMP does not.
func TestChecksumCoversAddressesInICMPv6Only(t *testing.T) {
	m := ip.EchoRequest(false, 1, 2, nil)
	b := m.Append(nil, them6, us6)
	other := ip.Header{Src: netip.MustParseAddr("fd77::9"), Dst: us6}
	if drop := ip.ParseMessage(&other, b, &m); drop != ip.DropICMPChecksum {
		t.Errorf("ICMPv6 from another address: %v", drop)
	}
	m = ip.EchoRequest(true, 1, 2, nil)
	b = m.Append(nil, them4, us4)
	if sum := sum16(b); sum != 0xffff {
		t.Errorf("ICMP message sums to %#04x", sum)
	}
}

func TestMessageAppendsBehindWhatIsThere(t *testing.T) {
	for _, f := range families {
		m := ip.Message{Type: 200, Code: 3, Rest: 0x01020304, Body: []byte("body")}
		alone := m.Append(nil, f.us, f.them)
		// An odd prefix must not shift the words of the checksum.
		if got := m.Append([]byte("pre"), f.us, f.them); !bytes.Equal(got, append([]byte("pre"), alone...)) {
			t.Errorf("%s: % x, want % x", f.name, got[3:], alone)
		}
		if alone[0] != 200 || alone[1] != 3 || binary.BigEndian.Uint32(alone[4:]) != m.Rest || string(alone[8:]) != "body" {
			t.Errorf("%s: % x", f.name, alone)
		}
	}
}

func TestIsICMPAsksForTheFamilysOwn(t *testing.T) {
	for _, c := range []struct {
		dst  netip.Addr
		p    ip.Protocol
		want bool
	}{{us4, ip.ICMP, true}, {us4, ip.ICMPv6, false}, {us6, ip.ICMPv6, true}, {us6, ip.ICMP, false}, {us4, ip.UDP, false}} {
		h := ip.Header{Dst: c.dst, Protocol: c.p}
		if h.IsICMP() != c.want {
			t.Errorf("%v to %v: %v", c.p, c.dst, !c.want)
		}
	}
}
