package udp_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/a644562b/portico/udp"
)

// pair is two hosts of a family.
type pair struct {
	name     string
	src, dst netip.Addr
}

var families = []pair{
	{"IPv4", netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")},
	{"IPv6", netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd77::2")},
}

// sum is the checksum's sum of the datagram and its pseudo-header as RFC 768 and RFC
// 8200, section 8.1 draw it, written here once more so that the tests do not rest on
// the code under test.
func sum(f pair, datagram []byte) uint16 {
	b := append(f.src.AsSlice(), f.dst.AsSlice()...)
	if f.src.Is4() {
		b = append(b, 0, 17)
		b = binary.BigEndian.AppendUint16(b, uint16(len(datagram)))
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(len(datagram)))
		b = append(b, 0, 0, 0, 17)
	}
	var s uint32
	for i, v := range append(b, datagram...) {
		if i%2 == 0 {
			s += uint32(v) << 8
		} else {
			s += uint32(v)
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// datagram is one with a checksum that is right, built by hand.
func datagram(f pair, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1000)
	b = binary.BigEndian.AppendUint16(b, 53)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	return fix(f, b)
}

// fix fills in the checksum over the datagram's own length.
func fix(f pair, b []byte) []byte {
	b[6], b[7] = 0, 0
	n := int(binary.BigEndian.Uint16(b[4:]))
	c := ^sum(f, b[:n])
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], c)
	return b
}

func TestParseReadsEveryField(t *testing.T) {
	for _, f := range families {
		b := datagram(f, "payload")
		h, payload, drop := udp.Parse(b, f.src, f.dst, true)
		want := udp.Header{SrcPort: 1000, DstPort: 53, Length: 15, Checksum: binary.BigEndian.Uint16(b[6:])}
		if h != want || string(payload) != "payload" || drop != udp.DropNone {
			t.Errorf("%s: %+v, %q, %v", f.name, h, payload, drop)
		}
	}
}

func TestParseDrops(t *testing.T) {
	edit := func(f pair, change func(b []byte)) []byte {
		b := datagram(f, "payload")
		change(b)
		return b
	}
	for _, f := range families {
		whole := datagram(f, "payload")
		tests := []struct {
			name string
			b    []byte
			want udp.Drop
		}{
			{"nothing", nil, udp.DropShort},
			{"7 bytes", whole[:7], udp.DropShort},
			{"length 0", edit(f, func(b []byte) { b[5] = 0 }), udp.DropLength},
			{"length 7", edit(f, func(b []byte) { b[5] = 7 }), udp.DropLength},
			{"length beyond the packet", edit(f, func(b []byte) { b[5] = 16 }), udp.DropLength},
			{"length far beyond the packet", edit(f, func(b []byte) { b[4] = 255 }), udp.DropLength},
			{"cut", whole[:14], udp.DropLength},
			{"header alone of a longer one", whole[:8], udp.DropLength},
			{"wrong checksum", edit(f, func(b []byte) { b[7] ^= 1 }), udp.DropChecksum},
			{"changed port", edit(f, func(b []byte) { b[0] ^= 0x80 }), udp.DropChecksum},
			{"changed payload", edit(f, func(b []byte) { b[14] ^= 1 }), udp.DropChecksum},
			{"shorter by its length alone", edit(f, func(b []byte) { b[5] = 14 }), udp.DropChecksum},
		}
		for _, test := range tests {
			t.Run(f.name+" "+test.name, func(t *testing.T) {
				before := bytes.Clone(test.b)
				_, payload, drop := udp.Parse(test.b, f.src, f.dst, true)
				if drop != test.want || payload != nil {
					t.Errorf("%v with payload %q, want %v", drop, payload, test.want)
				}
				if !bytes.Equal(before, test.b) {
					t.Error("Parse changed the datagram")
				}
			})
		}
	}
}

// RFC 768: no checksum over IPv4 is the sender's right. RFC 6935, section 5: not so over
// IPv6, whoever vouches for the rest.
func TestZeroChecksumIsForIPv4Only(t *testing.T) {
	for _, f := range families {
		for _, verify := range []bool{true, false} {
			b := datagram(f, "payload")
			b[6], b[7] = 0, 0
			_, payload, drop := udp.Parse(b, f.src, f.dst, verify)
			if f.src.Is4() && (drop != udp.DropNone || string(payload) != "payload") {
				t.Errorf("IPv4: %v, %q", drop, payload)
			}
			if !f.src.Is4() && (drop != udp.DropZeroChecksum || payload != nil) {
				t.Errorf("IPv6: %v, %q", drop, payload)
			}
		}
	}
}

func TestChecksumIsNotVerifiedWhenTheDeviceVouches(t *testing.T) {
	for _, f := range families {
		b := datagram(f, "payload")
		b[6] ^= 0x55
		if _, payload, drop := udp.Parse(b, f.src, f.dst, false); drop != udp.DropNone || string(payload) != "payload" {
			t.Errorf("%s: %v, %q", f.name, drop, payload)
		}
	}
}

func TestChecksumCoversTheAddresses(t *testing.T) {
	for _, f := range families {
		b := datagram(f, "payload")
		if _, _, drop := udp.Parse(b, f.src, f.dst.Next(), true); drop != udp.DropChecksum {
			t.Errorf("%s: to another address: %v", f.name, drop)
		}
	}
}

// RFC 9868: bytes behind the datagram are neither delivered nor summed.
func TestSurplusIsCutOff(t *testing.T) {
	for _, f := range families {
		b := append(datagram(f, "data"), "surplus"...)
		h, payload, drop := udp.Parse(b, f.src, f.dst, true)
		if drop != udp.DropNone || string(payload) != "data" || h.Length != 12 {
			t.Errorf("%s: %+v, %q, %v", f.name, h, payload, drop)
		}
		if cap(payload) != len(payload) {
			t.Errorf("%s: the payload can be appended to over the surplus", f.name)
		}
	}
}

func TestEmptyDatagramHasAPayload(t *testing.T) {
	for _, f := range families {
		_, payload, drop := udp.Parse(udp.Append(nil, 1, 2, f.src, f.dst), f.src, f.dst, true)
		if drop != udp.DropNone || payload == nil || len(payload) != 0 {
			t.Errorf("%s: %v, %v", f.name, drop, payload)
		}
	}
}

func TestAppendBytesOnTheWire(t *testing.T) {
	for _, f := range families {
		got := udp.Append([]byte("odd"), 1000, 53, f.src, f.dst, []byte("pay"), nil, []byte("load"))
		want := append([]byte("odd"), datagram(f, "payload")...)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got % x, want % x", f.name, got, want)
		}
	}
}

func TestAppendHeaderCountsThePayloadAndLeavesItOut(t *testing.T) {
	for _, f := range families {
		got := udp.AppendHeader(nil, 1000, 53, f.src, f.dst, []byte("pay"), []byte("load"))
		if want := datagram(f, "payload")[:8]; !bytes.Equal(got, want) {
			t.Errorf("%s: got % x, want % x", f.name, got, want)
		}
	}
}

// RFC 768: a computed checksum of 0 goes out as 0xffff, since 0 would mean none.
func TestComputedZeroIsSentAsOnes(t *testing.T) {
	for _, f := range families {
		// Make the payload's two bytes what is missing to a sum of all ones.
		b := udp.Append(nil, 1000, 53, f.src, f.dst, []byte{0, 0})
		missing := b[6:8]
		got := udp.Append(nil, 1000, 53, f.src, f.dst, missing)
		if c := binary.BigEndian.Uint16(got[6:]); c != 0xffff {
			t.Errorf("%s: checksum %#04x, want 0xffff", f.name, c)
		}
		if _, payload, drop := udp.Parse(got, f.src, f.dst, true); drop != udp.DropNone || !bytes.Equal(payload, missing) {
			t.Errorf("%s: %v", f.name, drop)
		}
	}
}

func TestLongestDatagrams(t *testing.T) {
	for _, n := range []int{udp.MaxPayload4, udp.MaxPayload} {
		f := families[1]
		b := udp.Append(nil, 1, 2, f.src, f.dst, make([]byte, n))
		h, payload, drop := udp.Parse(b, f.src, f.dst, true)
		if drop != udp.DropNone || len(payload) != n || h.Length != n+8 {
			t.Errorf("%d bytes: %+v, %d, %v", n, h, len(payload), drop)
		}
	}
	f := families[0]
	b := udp.AppendHeader(nil, 1, 2, f.src, f.dst, make([]byte, udp.MaxPayload+1))
	if n := binary.BigEndian.Uint16(b[4:]); n != 65535 {
		t.Errorf("a length of %d where there is none", n)
	}
}

// byGopacket is the datagram in an IP packet that gopacket writes, without the IP
// header.
func byGopacket(t testing.TB, f pair, srcPort, dstPort uint16, payload []byte) []byte {
	t.Helper()
	l := &layers.UDP{SrcPort: layers.UDPPort(srcPort), DstPort: layers.UDPPort(dstPort)}
	var network gopacket.NetworkLayer
	if f.src.Is4() {
		network = &layers.IPv4{Version: 4, Protocol: layers.IPProtocolUDP, SrcIP: f.src.AsSlice(), DstIP: f.dst.AsSlice()}
	} else {
		network = &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolUDP, SrcIP: f.src.AsSlice(), DstIP: f.dst.AsSlice()}
	}
	if err := l.SetNetworkLayerForChecksum(network); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// What gopacket writes is read, and what is written is what gopacket writes.
func TestParseAndAppendAgreeWithGopacket(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(families).Draw(rt, "family")
		srcPort, dstPort := rapid.Uint16().Draw(rt, "from"), rapid.Uint16().Draw(rt, "to")
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 700), 0, 4).Draw(rt, "parts")
		want := bytes.Join(parts, nil)
		theirs := byGopacket(t, f, srcPort, dstPort, want)
		h, payload, drop := udp.Parse(theirs, f.src, f.dst, true)
		if drop != udp.DropNone || h.SrcPort != srcPort || h.DstPort != dstPort || h.Length != 8+len(want) || !bytes.Equal(payload, want) {
			rt.Fatalf("%+v with %d bytes, %v", h, len(payload), drop)
		}
		ours := udp.Append(nil, srcPort, dstPort, f.src, f.dst, parts...)
		if binary.BigEndian.Uint16(theirs[6:]) == 0 { // gopacket knows no rule about 0
			theirs[6], theirs[7] = 0xff, 0xff
		}
		if !bytes.Equal(ours, theirs) {
			rt.Fatalf("we write % x, gopacket % x", ours, theirs)
		}
		if got := sum(f, ours); got != 0xffff {
			rt.Fatalf("sums to %#04x", got)
		}
	})
}

func TestDropNamesAreLabelsAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for d := range udp.Drop(udp.NumDrops) {
		name := d.String()
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" || seen[name] {
			t.Errorf("drop %d has the name %q", d, name)
		}
		seen[name] = true
	}
	if name := udp.Drop(udp.NumDrops).String(); name != "udp_unknown" {
		t.Errorf("a drop that does not exist is called %q", name)
	}
}

func TestNothingAllocates(t *testing.T) {
	room := make([]byte, 0, 2048)
	a, b := make([]byte, 701), make([]byte, 600)
	for _, f := range families {
		n := testing.AllocsPerRun(100, func() {
			d := udp.Append(room, 1, 2, f.src, f.dst, a, b)
			if _, _, drop := udp.Parse(d, f.src, f.dst, true); drop != udp.DropNone {
				t.Fatal(drop)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", f.name, n)
		}
	}
}

// FuzzUDP holds Parse, for any bytes over either family, to this:
//   - it does not panic, and does not change the bytes;
//   - a drop is one that has a name, and comes without a payload;
//   - the payload lies behind the header and ends within the bytes, where Length says;
//   - what is accepted, emitted again, parses the same;
//   - with the right checksum, nothing but its lengths can make a datagram dropped.
func FuzzUDP(f *testing.F) {
	for _, fam := range families {
		is4 := fam.src.Is4()
		f.Add(is4, true, []byte(nil))
		f.Add(is4, true, datagram(fam, ""))
		f.Add(is4, true, datagram(fam, "payload"))
		f.Add(is4, false, datagram(fam, "payload"))
		f.Add(is4, true, append(datagram(fam, "odd"), "surplus"...))
		zero := datagram(fam, "payload")
		zero[6], zero[7] = 0, 0
		f.Add(is4, true, zero)
		f.Add(is4, true, zero[:9])
		f.Add(is4, true, zero[:7])
	}
	f.Fuzz(func(t *testing.T, is4, verify bool, b []byte) {
		fam := families[1]
		if is4 {
			fam = families[0]
		}
		checkParse(t, fam, verify, b)
		if len(b) < 8 {
			return
		}
		if n := int(binary.BigEndian.Uint16(b[4:])); n >= 8 && n <= len(b) {
			if drop := checkParse(t, fam, true, fix(fam, bytes.Clone(b))); drop != udp.DropNone {
				t.Fatalf("with the right checksum: %v", drop)
			}
		}
	})
}

func checkParse(t *testing.T, f pair, verify bool, b []byte) udp.Drop {
	before := bytes.Clone(b)
	h, payload, drop := udp.Parse(b, f.src, f.dst, verify)
	if !bytes.Equal(b, before) {
		t.Fatal("bytes changed")
	}
	if drop != udp.DropNone {
		if payload != nil || drop >= udp.NumDrops {
			t.Fatalf("drop %d with payload % x", drop, payload)
		}
		return drop
	}
	if h.Length != 8+len(payload) || h.Length > len(b) || cap(payload) != len(payload) {
		t.Fatalf("%+v with a payload of %d of %d bytes", h, len(payload), len(b))
	}
	if len(payload) > 0 && &payload[0] != &b[8] {
		t.Fatal("the payload is not behind the header")
	}
	again, p, drop := udp.Parse(udp.Append(nil, h.SrcPort, h.DstPort, f.src, f.dst, payload), f.src, f.dst, true)
	h.Checksum, again.Checksum = 0, 0
	if drop != udp.DropNone || again != h || !bytes.Equal(p, payload) {
		t.Fatalf("emitted again: %+v, %v, want %+v", again, drop, h)
	}
	return udp.DropNone
}
