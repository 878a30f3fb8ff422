package ip_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// packetSeeds are packets of every kind that the parser tells apart.
func packetSeeds() [][]byte {
	echo4, echo6 := ip.EchoRequest(true, 1, 2, data), ip.EchoRequest(false, 1, 2, data)
	loose := packet4([]byte{131, 7, 4, 10, 0, 0, 9, 0}, "12345678")
	fragment := packet4(nil, "12345678")
	fragment[6] = 0x20
	return [][]byte{
		nil,
		{0x45},
		{0x60},
		packet4(nil, ""),
		packet4(nil, "12345678"),
		packet4([]byte{148, 4, 0, 0}, "12345678"),
		packet4(bytes.Repeat([]byte{1}, 40), "12345678"),
		packet4([]byte{48, 2, 1, 1}, "12345678"),
		loose,
		fix4(fragment),
		append(packet4(nil, "x"), "padding"...),
		icmpPacket(&echo4, them4, us4),
		icmpPacket(&ip.Message{Type: 3, Code: 3, Body: ours(families[0], ip.UDP, 20)}, them4, us4),
		packet6(udp),
		packet6(udp, data),
		packet6(hop, options6(udp, 5, 2, 0, 0, 1, 0), data),
		packet6(hop, options6(dest), options6(route), routing6(frag, 0, 0), fragment6(dest, 0, 0), options6(udp), data),
		packet6(route, routing6(udp, 0, 1), data),
		packet6(frag, fragment6(udp, 1, 1), data),
		packet6(dest, options6(hop), options6(udp), data),
		packet6(dest, options6(udp, 0xc2, 4, 0, 1, 0, 0), data),
		packet6(none),
		icmpPacket(&echo6, them6, us6),
		icmpPacket(&ip.Message{Type: 1, Code: 4, Body: ours(families[1], ip.UDP, 20)}, them6, us6),
	}
}

// FuzzParse holds Parse, for any bytes, to this:
//   - it does not panic, and does not change the packet;
//   - a drop is one that has a name, and comes without a payload;
//   - header and payload lie in the packet, one behind the other, and end within it;
//   - the source of what is accepted is one host's, and what is accepted is no fragment;
//   - gopacket reads the same from an IPv4 header that is accepted and has no options;
//   - what is accepted, emitted again, parses the same;
//   - an error about it keeps to its limit, is well formed, and quotes the packet.
func FuzzParse(f *testing.F) {
	for _, s := range packetSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		checkParse(t, packet)
		if len(packet) >= 20 && packet[0]>>4 == 4 {
			// The checksum stops what the fuzzer tries; have it right and go on.
			if n := int(packet[0]&0xf) * 4; n >= 20 && n <= len(packet) {
				checkParse(t, fix4(bytes.Clone(packet)))
			}
		}
	})
}

func checkParse(t *testing.T, packet []byte) {
	before := bytes.Clone(packet)
	var h ip.Header
	payload, drop := ip.Parse(packet, &h)
	if !bytes.Equal(packet, before) {
		t.Fatal("packet changed")
	}
	if drop != ip.DropNone {
		if payload != nil {
			t.Fatalf("payload with drop %v", drop)
		}
		if drop >= ip.NumDrops {
			t.Fatalf("drop %d", drop)
		}
		checkDropped(t, drop, h, packet)
		return
	}
	minimum := ip.HeaderLen6
	if h.Is4() {
		minimum = ip.HeaderLen4
	}
	if h.Len < minimum || h.Len+len(payload) > len(packet) {
		t.Fatalf("header of %d and payload of %d bytes in a packet of %d", h.Len, len(payload), len(packet))
	}
	if len(payload) > 0 && &payload[0] != &packet[h.Len] {
		t.Fatal("the payload is not behind the header")
	}
	if cap(payload) != len(payload) {
		t.Fatal("the payload reaches beyond its packet")
	}
	if h.ProtocolOffset >= h.Len || packet[h.ProtocolOffset] != byte(h.Protocol) {
		t.Fatalf("protocol %d does not stand at %d", h.Protocol, h.ProtocolOffset)
	}
	if !ip.ValidSource(h.Src) || h.Dst.IsUnspecified() || h.Dst.IsLoopback() || h.Src.Is4() != h.Dst.Is4() {
		t.Fatalf("from %v to %v", h.Src, h.Dst)
	}
	if h.MF || h.FragmentOffset != 0 {
		t.Fatalf("a fragment: %+v", h)
	}
	if h.Is4() && h.Len == ip.HeaderLen4 { // gopacket refuses options of length 2
		checkWithGopacket(t, packet, &h, payload)
	}
	checkEmittedAgain(t, h, payload)
	checkErrors(t, &h, packet)
}

// checkDropped looks at what is made of a packet that is dropped: a fragment is taken or
// refused, and an error about a fault keeps to the rules.
func checkDropped(t *testing.T, drop ip.Drop, h ip.Header, packet []byte) {
	if drop == ip.DropFragment {
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		if whole, why := r.Add(0, &h, packet); whole != nil {
			t.Fatal("one fragment is a whole datagram")
		} else if why != ip.DropNone {
			checkProblem(t, why, &h, packet)
		}
		given, ok := r.Expire(mono.Never - 1)
		if ok && given.First != nil {
			if m, ok := ip.TimeExceeded(&h, given.First); ok {
				checkError(t, &h, given.First, &m)
			}
		}
		return
	}
	checkProblem(t, drop, &h, packet)
}

func checkProblem(t *testing.T, why ip.Drop, h *ip.Header, packet []byte) {
	m, ok := ip.ParameterProblem(why, h, packet)
	if !ok {
		return
	}
	if h.Fault > len(packet) || h.Fault < 0 || h.Fault == 0 && why != ip.DropFragmentChain {
		t.Fatalf("%v: a fault at %d of %d bytes", why, h.Fault, len(packet))
	}
	checkError(t, h, packet, &m)
}

// checkError verifies that an error keeps to its limit, is well formed, quotes the packet, and
// would not be answered itself.
func checkError(t *testing.T, h *ip.Header, packet []byte, m *ip.Message) {
	limit, src := 1280, us6
	if h.Is4() {
		limit, src = 576, us4
	}
	if !bytes.HasPrefix(packet, m.Body) {
		t.Fatal("the quote is not the packet's beginning")
	}
	e := icmpPacket(m, src, h.Src)
	if len(e) > limit {
		t.Fatalf("an error of %d bytes", len(e))
	}
	eh, em := mustParseICMP(t, e)
	if em.Type != m.Type || em.Code != m.Code || em.Rest != m.Rest || !bytes.Equal(em.Body, m.Body) {
		t.Fatalf("sent %+v, read %+v", m, em)
	}
	for _, reason := range reasons {
		if m, ok := ip.Unreachable(reason, &eh, e); ok {
			t.Fatalf("an error about an error: %+v", m)
		}
	}
}

func checkWithGopacket(t *testing.T, packet []byte, h *ip.Header, payload []byte) {
	var l layers.IPv4
	if err := l.DecodeFromBytes(packet, gopacket.NilDecodeFeedback); err != nil {
		t.Fatalf("gopacket: %v", err)
	}
	if !bytes.Equal(l.SrcIP, h.Src.AsSlice()) || !bytes.Equal(l.DstIP, h.Dst.AsSlice()) || l.TTL != h.TTL || l.TOS != h.TOS ||
		byte(l.Protocol) != byte(h.Protocol) || uint32(l.Id) != h.ID || int(l.IHL)*4 != h.Len || !bytes.Equal(l.Payload, payload) {
		t.Fatalf("gopacket reads %+v, we %+v", l, h)
	}
}

func checkEmittedAgain(t *testing.T, h ip.Header, payload []byte) {
	if h.TTL == 0 {
		h.TTL = ip.DefaultTTL // a host takes 0 and never sends it
	}
	h.Len, h.ProtocolOffset, h.Fragmented = ip.HeaderLen4, 9, false
	if !h.Is4() {
		h.Len, h.ProtocolOffset = ip.HeaderLen6, 6
		if h.Protocol == hop {
			return // a protocol nobody serves, which would be something else in front
		}
	}
	var again ip.Header
	p, drop := ip.Parse(append(h.Append(nil, len(payload)), payload...), &again)
	if drop != ip.DropNone || again != h || !bytes.Equal(p, payload) {
		t.Fatalf("emitted again: %+v with %d bytes (%v), want %+v with %d", again, len(p), drop, h, len(payload))
	}
}

func checkErrors(t *testing.T, h *ip.Header, packet []byte) {
	for _, reason := range reasons {
		if m, ok := ip.Unreachable(reason, h, packet); ok {
			checkError(t, h, packet, &m)
		}
	}
}

// FuzzICMP holds ParseMessage, EchoReply and ParseQuote, for any bytes over either
// family, to this:
//   - none panics or changes the bytes;
//   - a message is dropped when it is short or its checksum is wrong, and only then;
//   - emitted again, it is the same bytes;
//   - a reply to it is no request, so that two hosts never play ping-pong;
//   - a quote that is taken has a kind and at least 8 bytes, which lie in the body.
func FuzzICMP(f *testing.F) {
	for _, s := range packetSeeds() {
		f.Add(true, s)
		f.Add(false, s)
	}
	for _, fam := range families {
		request := ip.EchoRequest(fam.is4, 1, 2, data)
		f.Add(fam.is4, request.Append(nil, fam.them, fam.us))
		solicitation := ip.Message{Type: 135, Body: append(us6.AsSlice(), 14, 1, 0, 0, 0, 0, 0, 0)}
		f.Add(fam.is4, solicitation.Append(nil, fam.them, fam.us))
		for typ := range uint8(13) {
			m := ip.Message{Type: typ, Code: 4, Rest: 1400, Body: ours(fam, ip.TCP, 30)}
			f.Add(fam.is4, m.Append(nil, fam.them, fam.us))
			m.Rest = 16<<24 | 32<<16
			f.Add(fam.is4, m.Append(nil, fam.them, fam.us))
		}
	}
	f.Fuzz(func(t *testing.T, is4 bool, payload []byte) {
		fam := families[1]
		if is4 {
			fam = families[0]
		}
		checkMessage(t, fam, payload)
		if len(payload) >= 8 {
			// The checksum stops what the fuzzer tries; have it right and go on.
			fixed := bytes.Clone(payload)
			fixICMP(fam, fixed)
			if !checkMessage(t, fam, fixed) {
				t.Fatal("a message with the right checksum is dropped")
			}
		}
	})
}

// fixICMP fills in the checksum of a message from them to us.
func fixICMP(f pair, b []byte) {
	b[2], b[3] = 0, 0
	covered := b
	if !f.is4 {
		covered = append(f.them.AsSlice(), f.us.AsSlice()...)
		covered = binary.BigEndian.AppendUint32(covered, uint32(len(b)))
		covered = append(append(covered, 0, 0, 0, 58), b...)
	}
	binary.BigEndian.PutUint16(b[2:], ^sum16(covered))
}

// checkMessage reports whether the message was taken.
func checkMessage(t *testing.T, f pair, payload []byte) bool {
	before := bytes.Clone(payload)
	h := ip.Header{Src: f.them, Dst: f.us, Protocol: ip.ICMP}
	var m ip.Message
	drop := ip.ParseMessage(&h, payload, &m)
	switch {
	case len(payload) < 8 && drop == ip.DropICMPShort, len(payload) >= 8 && drop == ip.DropICMPChecksum:
		return false
	case drop != ip.DropNone:
		t.Fatalf("%d bytes: drop %v", len(payload), drop)
	}
	again := m.Append(nil, f.them, f.us)
	// A checksum of 0 and one of 0xffff are both right where one of them is.
	if !bytes.Equal(again[:2], payload[:2]) || !bytes.Equal(again[4:], payload[4:]) || ip.ParseMessage(&h, again, new(ip.Message)) != ip.DropNone {
		t.Fatalf("emitted again % x, was % x", again, payload)
	}
	if reply, ok := ip.EchoReply(&m, &h); ok {
		if _, _, back, ok := reply.EchoReply(f.is4); !ok || !bytes.Equal(back, m.Body) {
			t.Fatalf("a reply that is none: %+v", reply)
		}
		if _, ok := ip.EchoReply(&reply, &h); ok {
			t.Fatal("a reply is answered")
		}
	}
	h.TTL = 255
	if target, ok, drop := ip.ParseSolicitation(&h, &m); ok && drop == ip.DropNone && (m.Type != 135 || f.is4 || target.IsMulticast() || len(payload) < 24) {
		t.Fatalf("a solicitation for %v of %d bytes", target, len(payload))
	}
	var q ip.Quote
	if ip.ParseQuote(f.is4, &m, &q) {
		if q.Kind < ip.ErrorNet || q.Kind > ip.ErrorOther || q.MTU < 0 {
			t.Fatalf("%+v", q)
		}
		if len(q.Transport) < 8 || q.Header.Len+len(q.Transport) > len(m.Body) || &q.Transport[0] != &m.Body[q.Header.Len] {
			t.Fatalf("header of %d and %d bytes of transport in %d", q.Header.Len, len(q.Transport), len(m.Body))
		}
		if q.Header.Is4() != f.is4 || q.Header.FragmentOffset != 0 {
			t.Fatalf("%+v", q.Header)
		}
	}
	if !bytes.Equal(payload, before) {
		t.Fatal("payload changed")
	}
	return true
}
