package ip_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
)

// ours is the start of a packet that we sent to them: what an error about it quotes.
func ours(f pair, protocol ip.Protocol, n int) []byte {
	return wholePacket(pair{f.name, f.is4, f.them, f.us}, protocol, n)
}

func TestParseQuoteSortsErrors(t *testing.T) {
	type row struct {
		typ, code uint8
		rest      uint32
		want      ip.Quote // Kind, MTU and Pointer
	}
	kind := func(k ip.ErrorKind) ip.Quote { return ip.Quote{Kind: k} }
	tests := map[string][]row{
		"IPv4": {
			{3, 0, 0, kind(ip.ErrorNet)},
			{3, 1, 0, kind(ip.ErrorHost)},
			{3, 2, 0, kind(ip.ErrorProtocol)},
			{3, 3, 0, kind(ip.ErrorPort)},
			{3, 4, 1400, ip.Quote{Kind: ip.ErrorTooBig, MTU: 1400}},
			{3, 4, 0, ip.Quote{Kind: ip.ErrorTooBig}}, // before RFC 1191
			{3, 4, 0xffff, ip.Quote{Kind: ip.ErrorTooBig, MTU: 65535}},
			{3, 5, 0, kind(ip.ErrorNet)},
			{3, 6, 0, kind(ip.ErrorNet)},
			{3, 7, 0, kind(ip.ErrorHost)},
			{3, 8, 0, kind(ip.ErrorHost)},
			{3, 9, 0, kind(ip.ErrorAdmin)},
			{3, 10, 0, kind(ip.ErrorAdmin)},
			{3, 11, 0, kind(ip.ErrorNet)},
			{3, 12, 0, kind(ip.ErrorHost)},
			{3, 13, 0, kind(ip.ErrorAdmin)},
			{3, 99, 0, kind(ip.ErrorHost)},
			{11, 0, 0, kind(ip.ErrorTimeExceeded)},
			{11, 1, 0, kind(ip.ErrorTimeExceeded)},
			{12, 0, 20 << 24, ip.Quote{Kind: ip.ErrorParameter, Pointer: 20}},
		},
		"IPv6": {
			{1, 0, 0, kind(ip.ErrorNet)},
			{1, 1, 0, kind(ip.ErrorAdmin)},
			{1, 2, 0, kind(ip.ErrorHost)},
			{1, 3, 0, kind(ip.ErrorHost)},
			{1, 4, 0, kind(ip.ErrorPort)},
			{1, 5, 0, kind(ip.ErrorAdmin)},
			{1, 6, 0, kind(ip.ErrorAdmin)},
			{1, 99, 0, kind(ip.ErrorHost)},
			{2, 0, 1280, ip.Quote{Kind: ip.ErrorTooBig, MTU: 1280}},
			{2, 0, 0xffffffff, ip.Quote{Kind: ip.ErrorTooBig, MTU: math.MaxInt32}},
			{3, 0, 0, kind(ip.ErrorTimeExceeded)},
			{3, 1, 0, kind(ip.ErrorTimeExceeded)},
			{4, 0, 4, ip.Quote{Kind: ip.ErrorParameter, Pointer: 4}},
			{4, 1, 6, ip.Quote{Kind: ip.ErrorProtocol, Pointer: 6}},
			{4, 2, 42, ip.Quote{Kind: ip.ErrorParameter, Pointer: 42}},
			{5, 0, 0, kind(ip.ErrorOther)},
			{127, 9, 0, kind(ip.ErrorOther)},
		},
	}
	for _, f := range families {
		packet := ours(f, ip.TCP, 20)
		for _, r := range tests[f.name] {
			m := ip.Message{Type: r.typ, Code: r.code, Rest: r.rest, Body: packet}
			var q ip.Quote
			if !ip.ParseQuote(f.is4, &m, &q) {
				t.Errorf("%s type %d code %d: none", f.name, r.typ, r.code)
				continue
			}
			if q.Kind != r.want.Kind || q.MTU != r.want.MTU || q.Pointer != r.want.Pointer {
				t.Errorf("%s type %d code %d: %v MTU %d pointer %d, want %v MTU %d pointer %d", f.name, r.typ, r.code,
					q.Kind, q.MTU, q.Pointer, r.want.Kind, r.want.MTU, r.want.Pointer)
			}
			if q.Header.Src != f.us || q.Header.Dst != f.them || q.Header.Protocol != ip.TCP || !bytes.Equal(q.Transport, packet[len(packet)-20:]) {
				t.Errorf("%s type %d code %d: %+v, % x", f.name, r.typ, r.code, q.Header, q.Transport)
			}
		}
	}
}

// Source quench (RFC 6633), redirects and what is no error at all.
func TestParseQuoteTakesNoOtherMessage(t *testing.T) {
	errors := map[string][]uint8{"IPv4": {3, 11, 12}}
	for typ := range uint8(128) {
		errors["IPv6"] = append(errors["IPv6"], typ) // unknown ones too (RFC 4443, section 2.4 (a))
	}
	for _, f := range families {
		for typ := range 256 {
			m := ip.Message{Type: uint8(typ), Body: ours(f, ip.UDP, 8)}
			want := bytes.Contains(errors[f.name], []byte{uint8(typ)})
			var q ip.Quote
			if got := ip.ParseQuote(f.is4, &m, &q); got != want {
				t.Errorf("%s type %d: %v, %+v", f.name, typ, got, q)
			}
		}
	}
}

func TestParseQuoteOfShortAndBrokenQuotes(t *testing.T) {
	edit := func(b []byte, f func([]byte)) []byte {
		b = bytes.Clone(b)
		f(b)
		return b
	}
	udp4, udp6 := ours(families[0], ip.UDP, 100), ours(families[1], ip.UDP, 100)
	tests := []struct {
		name  string
		is4   bool
		body  []byte
		bytes int // of the transport, 0: not taken
	}{
		{"nothing", true, nil, 0},
		{"half a header", true, udp4[:19], 0},
		{"a header alone", true, udp4[:20], 0},
		{"7 bytes of transport", true, udp4[:27], 0},
		{"8 bytes of transport", true, udp4[:28], 8},
		{"all", true, udp4, 100},
		{"more than all", true, append(bytes.Clone(udp4), "padding"...), 100},
		{"wrong checksum after a router", true, edit(udp4, func(b []byte) { b[8]-- }), 100},
		{"not an IPv4 packet", true, udp6, 0},
		{"IHL 4", true, edit(udp4, func(b []byte) { b[0] = 0x44 }), 0},
		{"options", true, packet4(make([]byte, 8), "12345678"), 8},
		{"options beyond the quote", true, packet4(make([]byte, 40), "12345678")[:56], 0},
		{"a later fragment", true, edit(udp4, func(b []byte) { b[7] = 1 }), 0},
		{"the first fragment", true, edit(udp4, func(b []byte) { b[6] = 0x20 }), 100},
		{"a total length of nothing", true, edit(udp4, func(b []byte) { b[2], b[3] = 0, 0 }), 0},
		{"a packet of 7 bytes", true, append(ours(families[0], ip.UDP, 7), 0, 0, 0), 0},

		{"nothing of IPv6", false, nil, 0},
		{"half an IPv6 header", false, udp6[:39], 0},
		{"7 bytes behind IPv6", false, udp6[:47], 0},
		{"8 bytes behind IPv6", false, udp6[:48], 8},
		{"all of IPv6", false, udp6, 100},
		{"more than all of IPv6", false, append(bytes.Clone(udp6), "padding"...), 100},
		{"not an IPv6 packet", false, udp4, 0},
		{"extension headers", false, packet6(hop, options6(dest), options6(udp), data), 8},
		{"an extension header cut", false, packet6(hop, options6(dest), options6(udp), data)[:52], 0},
		{"an atomic fragment", false, packet6(frag, fragment6(udp, 0, 0), data), 8},
		{"the first IPv6 fragment", false, packet6(frag, fragment6(udp, 0, 1), data), 8},
		{"the first IPv6 fragment, with options in it", false, packet6(hop, options6(frag), fragment6(dest, 0, 1), options6(udp), data), 8},
		{"a fragment in a fragment", false, packet6(frag, fragment6(frag, 0, 1), fragment6(udp, 0, 1), data), 0},
		{"the first IPv6 fragment, too short", false, packet6(frag, fragment6(udp, 0, 1), data[:7]), 0},
		{"a later IPv6 fragment", false, packet6(frag, fragment6(udp, 1, 0), data), 0},
		{"a packet of 7 bytes of IPv6", false, append(ours(families[1], ip.UDP, 7), 0, 0, 0), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := ip.Message{Type: 1, Code: 4, Body: test.body}
			if test.is4 {
				m = ip.Message{Type: 3, Code: 3, Body: test.body}
			}
			var q ip.Quote
			ok := ip.ParseQuote(test.is4, &m, &q)
			if ok != (test.bytes > 0) || ok && len(q.Transport) != test.bytes {
				t.Errorf("%v with %d bytes, want %d", ok, len(q.Transport), test.bytes)
			}
		})
	}
}

// RFC 4884, section 4: the length of the quote in words, with extensions behind it.
func TestParseQuoteCutsExtensions(t *testing.T) {
	extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 0, 0, 0}
	for _, f := range families {
		quoted := ours(f, ip.UDP, 500)[:128]
		header := len(ours(f, ip.UDP, 0))
		m := ip.Message{Type: 3, Code: 3, Rest: 32 << 16, Body: append(bytes.Clone(quoted), extension...)}
		if !f.is4 {
			m.Type, m.Code, m.Rest = 1, 4, 16<<24
		}
		var q ip.Quote
		if !ip.ParseQuote(f.is4, &m, &q) || !bytes.Equal(q.Transport, quoted[header:]) {
			t.Errorf("%s: %d bytes of transport, want %d", f.name, len(q.Transport), 128-header)
		}
		// A length beyond the message is no length.
		m.Rest = 255 << 16
		if !f.is4 {
			m.Rest = 255 << 24
		}
		if !ip.ParseQuote(f.is4, &m, &q) || len(q.Transport) != len(m.Body)-header {
			t.Errorf("%s: %d bytes of transport", f.name, len(q.Transport))
		}
	}
}

// The MTU of a packet too big fills all of the word: no length hides in it.
func TestParseQuoteDoesNotTakeMTUForLength(t *testing.T) {
	f := families[1]
	m := ip.Message{Type: 2, Rest: 1<<24 | 1500, Body: ours(f, ip.UDP, 200)}
	var q ip.Quote
	if !ip.ParseQuote(false, &m, &q) || q.MTU != 1<<24|1500 || len(q.Transport) != 200 {
		t.Errorf("MTU %d, %d bytes of transport", q.MTU, len(q.Transport))
	}
}

// An error that gopacket writes about a datagram that we sent.
func TestParseQuoteAgreesWithGopacket(t *testing.T) {
	f := families[0]
	sent := udpByGopacket(t, pair{"", true, f.them, f.us}, []byte("hello"))
	packet := serialize(t,
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: f.them.AsSlice(), DstIP: f.us.AsSlice()},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded), Seq: 1300},
		gopacket.Payload(sent))
	_, m := mustParseICMP(t, packet)
	var q ip.Quote
	if !ip.ParseQuote(true, &m, &q) || q.Kind != ip.ErrorTooBig || q.MTU != 1300 || q.Header.ID != 9 || q.Header.Src != f.us || !bytes.Equal(q.Transport, sent[20:]) {
		t.Errorf("%+v", q)
	}
}

// What we send as an error is what we understand as one.
func TestUnreachableIsReadBack(t *testing.T) {
	kinds := map[ip.UnreachableReason]ip.ErrorKind{
		ip.NetUnreachable: ip.ErrorNet, ip.HostUnreachable: ip.ErrorHost, ip.ProtocolUnreachable: ip.ErrorProtocol,
		ip.PortUnreachable: ip.ErrorPort, ip.AdminProhibited: ip.ErrorAdmin,
	}
	for _, f := range families {
		for reason, kind := range kinds {
			packet := wholePacket(f, ip.UDP, 3000)
			h, _ := mustParse(t, packet)
			m, ok := ip.Unreachable(reason, &h, packet)
			if !ok {
				t.Fatal("none")
			}
			_, m = mustParseICMP(t, icmpPacket(&m, f.us, f.them))
			var q ip.Quote
			if !ip.ParseQuote(f.is4, &m, &q) || q.Kind != kind || q.Header != h || !bytes.Equal(q.Transport, packet[h.Len:len(m.Body)]) {
				t.Errorf("%s, %v: %v, %+v", f.name, reason, q.Kind, q.Header)
			}
		}
	}
}

// RFC 1122, sections 3.2.2.1 and 4.2.3.9; RFC 9293, section 3.9.2.2. What these do not name is
// as on Linux.
func TestParseQuoteTellsHardErrorsFromSoft(t *testing.T) {
	hard := map[string]map[[2]uint8]bool{
		"IPv4": {{3, 2}: true, {3, 3}: true, {3, 9}: true, {3, 10}: true, {3, 13}: true},
		"IPv6": {{1, 1}: true, {1, 4}: true, {1, 5}: true, {1, 6}: true},
	}
	tooBig := map[string][2]uint8{"IPv4": {3, 4}, "IPv6": {2, 0}}
	for _, f := range families {
		for typ := range uint8(13) {
			for code := range uint8(20) {
				m := ip.Message{Type: typ, Code: code, Rest: 1400, Body: ours(f, ip.TCP, 20)}
				var q ip.Quote
				if !ip.ParseQuote(f.is4, &m, &q) {
					continue
				}
				want := ip.ErrorSoft
				switch at := [2]uint8{typ, code}; {
				case hard[f.name][at]:
					want = ip.ErrorHard
				case at == tooBig[f.name], !f.is4 && typ == 2:
					want = ip.ErrorMTU
				}
				if q.Class != want || q.Code != code {
					t.Errorf("%s type %d code %d: class %d code %d, want class %d", f.name, typ, code, q.Class, q.Code, want)
				}
			}
		}
	}
}

// The length is that of the packet that was sent, not of what came back of it.
func TestParseQuoteTellsTheLengthOfWhatWasSent(t *testing.T) {
	for _, f := range families {
		sent := ours(f, ip.UDP, 1300)
		m := ip.Message{Type: 3, Body: sent[:80]}
		if !f.is4 {
			m.Type = 1
		}
		var q ip.Quote
		if !ip.ParseQuote(f.is4, &m, &q) || q.Length != len(sent) {
			t.Errorf("%s: length %d, want %d", f.name, q.Length, len(sent))
		}
	}
}

func TestErrorKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := ip.ErrorNet; k <= ip.ErrorOther; k++ {
		if seen[k.String()] || k.String() == "" || k.String() == "unknown error" {
			t.Errorf("kind %d is called %q", k, k)
		}
		seen[k.String()] = true
	}
	for _, k := range []ip.ErrorKind{0, ip.ErrorOther + 1, 255} {
		if k.String() != "unknown error" {
			t.Errorf("kind %d is called %q", k, k)
		}
	}
}
