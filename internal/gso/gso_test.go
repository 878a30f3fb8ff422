package gso

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

var (
	src4, dst4 = net.IPv4(10, 77, 0, 1).To4(), net.IPv4(10, 77, 0, 2).To4()
	src6, dst6 = net.ParseIP("fd77::1"), net.ParseIP("fd77::2")
)

// super describes a super-segment (or an ordinary packet, with gso 0).
type super struct {
	is4, udp  bool
	extension bool // an IPv6 destination options header in front of the transport
	partial   bool
	noSum     bool // UDP without a checksum
	gso       int
	id        uint16
	seq       uint32
	flags     byte // of TCP
	options   []layers.TCPOption
	ipOptions []layers.IPv4Option
	payload   []byte
	cut       int // where Data ends and Payload begins
}

// kind is the GSO kind that fits.
func (s *super) kind() link.GSO {
	switch {
	case s.gso == 0:
		return link.GSONone
	case s.udp:
		return link.GSOUDP
	case s.is4:
		return link.GSOTCP4
	}
	return link.GSOTCP6
}

// network is the IP header, and the extension header if there is one.
func (s *super) network() (gopacket.NetworkLayer, []gopacket.SerializableLayer) {
	proto := layers.IPProtocolTCP
	if s.udp {
		proto = layers.IPProtocolUDP
	}
	if s.is4 {
		ip := &layers.IPv4{Version: 4, TTL: 64, Id: s.id, Flags: layers.IPv4DontFragment, Protocol: proto, SrcIP: src4, DstIP: dst4, Options: s.ipOptions}
		return ip, []gopacket.SerializableLayer{ip}
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: 0x12345, NextHeader: proto, SrcIP: src6, DstIP: dst6}
	if !s.extension {
		return ip, []gopacket.SerializableLayer{ip}
	}
	ip.NextHeader = layers.IPProtocolIPv6Destination
	ext := gopacket.Payload([]byte{byte(proto), 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	return ip, []gopacket.SerializableLayer{ip, ext}
}

// packet is the whole packet with lengths and checksums as gopacket fills them in.
func (s *super) packet(t failer) []byte {
	nl, ls := s.network()
	if s.udp {
		udp := &layers.UDP{SrcPort: 4000, DstPort: 4001}
		check(t, udp.SetNetworkLayerForChecksum(nl))
		ls = append(ls, udp)
	} else {
		tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: s.seq, Ack: 7, Window: 512, Options: s.options}
		check(t, tcp.SetNetworkLayerForChecksum(nl))
		ls = append(ls, tcp)
	}
	buf := gopacket.NewSerializeBuffer()
	ls = append(ls, gopacket.Payload(s.payload))
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return buf.Bytes()
}

// frame is the frame as a sender would write it.
func (s *super) frame(t failer) *link.Frame {
	b := s.packet(t)
	f := &link.Frame{}
	f.GSO, f.GSOSize = s.kind(), uint16(s.gso)
	start := len(b) - len(s.payload) - 8
	offset := wire.UDPChecksum
	if !s.udp {
		start = len(b) - len(s.payload) - s.tcpHeaderLen()
		offset = wire.TCPChecksum
		b[start+wire.TCPFlags] = s.flags
		resum(b, start, offset)
	}
	if s.gso != 0 {
		f.HeaderLen = uint16(len(b) - len(s.payload))
	}
	switch {
	case s.partial:
		f.Checksum = link.ChecksumPartial
		f.ChecksumStart, f.ChecksumOffset = uint16(start), uint16(offset)
		wire.Put16(b[start+offset:], partialSum(b, start))
	case s.noSum:
		wire.Put16(b[start+offset:], 0)
	}
	cut := min(s.cut, len(b))
	f.Data = b[:cut:cut]
	if cut < len(b) {
		half := cut + (len(b)-cut)/2
		f.Payload = [][]byte{b[cut:half], nil, b[half:]}
	}
	return f
}

func (s *super) tcpHeaderLen() int {
	n := 20
	for _, o := range s.options {
		n += max(1, int(o.OptionLength))
	}
	return (n + 3) / 4 * 4
}

// failer is *testing.T and *rapid.T.
type failer interface {
	Fatalf(format string, args ...any)
}

func check(t failer, err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// The tests sum by the definition of RFC 1071, a word at a time.
func slowSum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for i := range p {
			if i%2 == 0 {
				sum += uint32(p[i]) << 8
			} else {
				sum += uint32(p[i])
			}
			sum = sum>>16 + sum&0xffff
		}
	}
	return uint16(sum)
}

// partialSum is the folded pseudo-header sum of the packet whose transport header
// starts at start.
func partialSum(b []byte, start int) uint16 {
	n := len(b) - start
	if b[0]>>4 == 4 {
		return slowSum(b[12:20], []byte{0, b[9], byte(n >> 8), byte(n)})
	}
	proto := b[6]
	if proto == extDestOpts {
		proto = b[40]
	}
	return slowSum(b[8:40], []byte{0, 0, byte(n >> 8), byte(n), 0, 0, 0, proto})
}

// resum fills in the transport checksum anew.
func resum(b []byte, start, offset int) {
	wire.Put16(b[start+offset:], 0)
	pseudo := partialSum(b, start)
	wire.Put16(b[start+offset:], ^slowSum([]byte{byte(pseudo >> 8), byte(pseudo)}, b[start:]))
}

// split collects copies of what Split emits.
func split(f *link.Frame) ([]link.Frame, error) {
	var out []link.Frame
	err := Split(f, func(p *link.Frame) {
		c := *p
		c.Data = bytes.Clone(p.Data)
		out = append(out, c)
	})
	return out, err
}

// judged is a packet as gopacket decodes it, after gopacket found that lengths and
// checksums are those that it would write itself.
type judged struct {
	ip4     *layers.IPv4
	ip6     *layers.IPv6
	tcp     *layers.TCP
	udp     *layers.UDP
	payload []byte
}

func judge(t failer, b []byte) (j judged) {
	first := layers.LayerTypeIPv6
	if b[0]>>4 == 4 {
		first = layers.LayerTypeIPv4
	}
	p := gopacket.NewPacket(b, first, gopacket.DecodeOptions{})
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket cannot decode the piece: %v", e.Error())
	}
	j.ip4, _ = p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	j.ip6, _ = p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	j.tcp, _ = p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	j.udp, _ = p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	var transport gopacket.SerializableLayer
	var contents []byte
	switch {
	case j.tcp != nil:
		check(t, j.tcp.SetNetworkLayerForChecksum(p.NetworkLayer()))
		transport, contents, j.payload = j.tcp, j.tcp.Contents, j.tcp.Payload
	case j.udp != nil:
		check(t, j.udp.SetNetworkLayerForChecksum(p.NetworkLayer()))
		transport, contents, j.payload = j.udp, j.udp.Contents, j.udp.Payload
	default:
		t.Fatalf("no transport layer in %v", p)
	}
	if p.Metadata().Truncated {
		t.Fatalf("gopacket calls the piece truncated")
	}
	want := bytes.Clone(contents)
	if j.udp == nil || j.udp.Checksum != 0 {
		same(t, "transport header", want, serialize(t, transport, j.payload)[:len(want)])
	}
	if j.ip4 != nil {
		if int(j.ip4.Length) != len(b) {
			t.Fatalf("total length %d of %d bytes", j.ip4.Length, len(b))
		}
		want := bytes.Clone(j.ip4.Contents)
		same(t, "IPv4 header", want, serialize(t, j.ip4, j.ip4.Payload)[:len(want)])
	} else if int(j.ip6.Length) != len(b)-40 {
		t.Fatalf("payload length %d of %d bytes", j.ip6.Length, len(b)-40)
	}
	return j
}

func serialize(t failer, l gopacket.SerializableLayer, payload []byte) []byte {
	buf := gopacket.NewSerializeBuffer()
	check(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l, gopacket.Payload(payload)))
	return buf.Bytes()
}

func same(t failer, what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		t.Fatalf("%s\n%x\ngopacket writes\n%x", what, got, want)
	}
}

func drawSuper(t *rapid.T) *super {
	s := &super{
		is4:     rapid.Bool().Draw(t, "is4"),
		udp:     rapid.Bool().Draw(t, "udp"),
		partial: rapid.Bool().Draw(t, "partial"),
		id:      rapid.Uint16().Draw(t, "id"),
		seq:     rapid.Uint32().Draw(t, "seq"),
		flags:   rapid.Byte().Draw(t, "flags"),
		gso:     rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(500, 9000), rapid.Just(65535)).Draw(t, "gso"),
		cut:     rapid.IntRange(0, 200).Draw(t, "cut"),
	}
	longest := 4000
	if s.gso >= 500 {
		longest = 65000
	}
	n := rapid.IntRange(0, longest).Draw(t, "payload")
	s.payload = make([]byte, n)
	for i := range s.payload {
		s.payload[i] = byte(i * 7 >> 3)
	}
	if !s.is4 {
		s.extension = rapid.Bool().Draw(t, "extension")
	} else if rapid.Bool().Draw(t, "ip options") {
		s.ipOptions = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}}
	}
	if !s.udp && rapid.Bool().Draw(t, "timestamps") {
		s.options = []layers.TCPOption{{OptionType: 1}, {OptionType: 1},
			{OptionType: 8, OptionLength: 10, OptionData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}}
	}
	if s.udp && s.is4 && !s.partial {
		s.noSum = rapid.Bool().Draw(t, "no checksum")
	}
	return s
}

func TestPiecesAreThePacketsThatTheSuperSegmentStandsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuper(t)
		f := s.frame(t)
		before := f.AppendTo(nil)
		pieces, err := split(f)
		check(t, err)
		if !bytes.Equal(f.AppendTo(nil), before) {
			t.Fatalf("Split changed the frame")
		}
		if want := max(1, (len(s.payload)+s.gso-1)/s.gso); len(pieces) != want {
			t.Fatalf("%d pieces, want %d", len(pieces), want)
		}
		var joined []byte
		for i, p := range pieces {
			if p.Offload != (link.Offload{}) || p.Payload != nil {
				t.Fatalf("piece %d is no ordinary packet: %+v", i, p.Offload)
			}
			j := judge(t, p.Data)
			s.judgePiece(t, j, i, len(pieces), len(joined))
			if last := i == len(pieces)-1; !last && len(j.payload) != s.gso {
				t.Fatalf("piece %d has %d bytes of payload, want %d", i, len(j.payload), s.gso)
			}
			joined = append(joined, j.payload...)
		}
		if !bytes.Equal(joined, s.payload) {
			t.Fatalf("the pieces do not join to the payload")
		}
	})
}

// judgePiece checks what changes from piece to piece.
func (s *super) judgePiece(t failer, j judged, i, n, offset int) {
	if s.is4 && j.ip4.Id != s.id+uint16(i) {
		t.Fatalf("piece %d has identification %d, want %d", i, j.ip4.Id, s.id+uint16(i))
	}
	if s.udp {
		if s.noSum != (j.udp.Checksum == 0) {
			t.Fatalf("piece %d has checksum %#x", i, j.udp.Checksum)
		}
		return
	}
	if j.tcp.Seq != s.seq+uint32(offset) {
		t.Fatalf("piece %d has sequence number %d, want %d", i, j.tcp.Seq, s.seq+uint32(offset))
	}
	want := s.flags
	if i > 0 {
		want &^= wire.FlagCWR
	}
	if i < n-1 {
		want &^= wire.FlagFIN | wire.FlagPSH
	}
	if got := j.tcp.Contents[wire.TCPFlags]; got != want {
		t.Fatalf("piece %d has flags %#x, want %#x", i, got, want)
	}
	if len(j.tcp.Contents) != s.tcpHeaderLen() {
		t.Fatalf("piece %d has a header of %d bytes, want %d", i, len(j.tcp.Contents), s.tcpHeaderLen())
	}
}

func TestOrdinaryPartialChecksumIsCompleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuper(t)
		s.gso, s.partial, s.noSum = 0, true, false
		pieces, err := split(s.frame(t))
		check(t, err)
		if len(pieces) != 1 || pieces[0].Offload != (link.Offload{}) || pieces[0].Payload != nil {
			t.Fatalf("not one ordinary packet: %+v", pieces)
		}
		j := judge(t, pieces[0].Data)
		if !bytes.Equal(j.payload, s.payload) {
			t.Fatalf("other payload")
		}
	})
}

func TestOrdinaryPacketComesOutAsItIs(t *testing.T) {
	for _, state := range []link.Checksum{link.ChecksumNone, link.ChecksumValid} {
		f := &link.Frame{Data: []byte("no IP at all"), Offload: link.Offload{Checksum: state}}
		pieces, err := split(f)
		if err != nil || len(pieces) != 1 || string(pieces[0].Data) != "no IP at all" || pieces[0].Checksum != state {
			t.Errorf("state %d: %+v, %v", state, pieces, err)
		}
		f = &link.Frame{Data: []byte("no IP"), Payload: [][]byte{[]byte(" at "), []byte("all")}, Offload: f.Offload}
		pieces, err = split(f)
		if err != nil || len(pieces) != 1 || string(pieces[0].Data) != "no IP at all" || pieces[0].Checksum != state || pieces[0].Payload != nil {
			t.Errorf("state %d, gathered: %+v, %v", state, pieces, err)
		}
	}
}

func TestUDPChecksumThatComesOutZeroIsWrittenAsOnes(t *testing.T) {
	s := &super{is4: true, udp: true, payload: make([]byte, 2)}
	b := s.packet(t)
	// The right checksum as payload makes the sum come out as 0 (RFC 768).
	copy(b[28:], b[26:28])
	wire.Put16(b[26:], partialSum(b, 20))
	f := &link.Frame{Data: b, Offload: link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 6}}
	pieces, err := split(f)
	if err != nil || wire.Get16(pieces[0].Data[26:]) != 0xffff {
		t.Errorf("checksum %x, %v; want ffff", pieces[0].Data[26:28], err)
	}
	f.Offload.GSO, f.Offload.GSOSize = link.GSOUDP, 2
	pieces, err = split(f)
	if err != nil || wire.Get16(pieces[0].Data[26:]) != 0xffff {
		t.Errorf("of a super-segment: checksum %x, %v; want ffff", pieces[0].Data[26:28], err)
	}
}

func TestWhatCannotBeCutIsRefused(t *testing.T) {
	good4 := func() *link.Frame {
		return (&super{is4: true, gso: 100, payload: make([]byte, 250), cut: 1000}).frame(t)
	}
	good6 := func() *link.Frame { return (&super{gso: 100, payload: make([]byte, 250), cut: 1000}).frame(t) }
	for _, c := range []struct {
		name string
		base func() *link.Frame
		harm func(f *link.Frame)
		want error
	}{
		{"no GSO size", good4, func(f *link.Frame) { f.GSOSize = 0 }, ErrSize},
		{"empty", good4, func(f *link.Frame) { f.Data = nil }, ErrHeaders},
		{"version 5", good4, func(f *link.Frame) { f.Data[0] = 0x55 }, ErrHeaders},
		{"IPv4 called IPv6", good4, func(f *link.Frame) { f.GSO = link.GSOTCP6 }, ErrHeaders},
		{"IPv6 called IPv4", good6, func(f *link.Frame) { f.GSO = link.GSOTCP4 }, ErrHeaders},
		{"TCP called UDP", good4, func(f *link.Frame) { f.GSO = link.GSOUDP }, ErrHeaders},
		{"unknown kind", good4, func(f *link.Frame) { f.GSO = 9 }, ErrHeaders},
		{"not TCP", good4, func(f *link.Frame) { f.Data[wire.IP4Protocol] = 1 }, ErrHeaders},
		{"more fragments", good4, func(f *link.Frame) { f.Data[wire.IP4Fragment] = 0x20 }, ErrHeaders},
		{"later fragment", good4, func(f *link.Frame) { f.Data[wire.IP4Fragment+1] = 1 }, ErrHeaders},
		{"IHL below 5", good4, func(f *link.Frame) { f.Data[0] = 0x44 }, ErrHeaders},
		{"IHL beyond the end", good4, func(f *link.Frame) { f.Data[0] = 0x4f; f.Data = f.Data[:40] }, ErrHeaders},
		{"TCP header cut short", good4, func(f *link.Frame) { f.Data = f.Data[:39] }, ErrHeaders},
		{"data offset below 5", good4, func(f *link.Frame) { f.Data[20+wire.TCPDataOffset] = 4 << 4 }, ErrHeaders},
		{"data offset beyond the end", good4, func(f *link.Frame) { f.Data[20+wire.TCPDataOffset] = 15 << 4; f.Data = f.Data[:79] }, ErrHeaders},
		{"IPv6 header cut short", good6, func(f *link.Frame) { f.Data = f.Data[:39] }, ErrHeaders},
		{"IPv6 fragment", good6, func(f *link.Frame) { f.Data[wire.IP6NextHeader] = 44 }, ErrHeaders},
		{"IPv6 options beyond the end", good6, func(f *link.Frame) { f.Data[wire.IP6NextHeader] = extHopByHop; f.Data[41] = 255 }, ErrHeaders},
		{"IPv6 routing header still to be obeyed", good6, func(f *link.Frame) {
			f.Data[wire.IP6NextHeader] = extRouting
			copy(f.Data[40:], []byte{wire.ProtoTCP, 0, 0, 1})
		}, ErrHeaders},
		{"piece longer than IPv4 can say", good4, func(f *link.Frame) { f.GSOSize = 65535; f.Data = append(f.Data, make([]byte, 65300)...) }, ErrHeaders},
		{"piece longer than IPv6 can say", good6, func(f *link.Frame) { f.GSOSize = 65535; f.Data = append(f.Data, make([]byte, 65400)...) }, ErrHeaders},
		{"checksum outside", good4, func(f *link.Frame) {
			f.Offload = link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: uint16(len(f.Data) - 17), ChecksumOffset: 16}
		}, ErrChecksum},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.base()
			if _, err := split(f); err != nil {
				t.Fatalf("before the harm: %v", err)
			}
			c.harm(f)
			pieces, err := split(f)
			if !errors.Is(err, c.want) || len(pieces) != 0 {
				t.Errorf("%d pieces, %v; want none, %v", len(pieces), err, c.want)
			}
		})
	}
}

func TestSplitWithinEmit(t *testing.T) {
	f := (&super{is4: true, gso: 100, payload: make([]byte, 250), partial: true}).frame(t)
	var sizes []int
	check(t, Split(f, func(p *link.Frame) {
		n := p.Len()
		inner, err := split(f)
		check(t, err)
		if len(inner) != 3 || p.Len() != n {
			t.Errorf("%d pieces within emit", len(inner))
		}
		judge(t, p.Data)
		sizes = append(sizes, n)
	}))
	if fmt.Sprint(sizes) != "[140 140 90]" {
		t.Errorf("sizes %v", sizes)
	}
}

// FuzzSplit: whatever the bytes and the claims about them, Split does not panic, and
// what it emits are ordinary packets that are no more bytes than headers repeated.
func FuzzSplit(f *testing.F) {
	for _, s := range []*super{
		{is4: true, gso: 10, payload: make([]byte, 35), partial: true},
		{gso: 10, payload: make([]byte, 35), extension: true},
		{is4: true, udp: true, gso: 10, payload: make([]byte, 35)},
	} {
		fr := s.frame(f)
		o := fr.Offload
		f.Add(fr.AppendTo(nil), byte(o.GSO), byte(o.Checksum), o.GSOSize, o.ChecksumStart, o.ChecksumOffset)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind, sum byte, size, start, offset uint16) {
		if len(b) > link.MaxFrame {
			return
		}
		fr := &link.Frame{Data: b, Offload: link.Offload{GSO: link.GSO(kind), Checksum: link.Checksum(sum),
			GSOSize: size, ChecksumStart: start, ChecksumOffset: offset}}
		n := 0
		err := Split(fr, func(p *link.Frame) {
			n++
			if p.GSO != link.GSONone || p.Checksum == link.ChecksumPartial || len(p.Payload) != 0 || len(p.Data) > len(b) {
				t.Fatalf("emitted %+v of %d bytes from %d", p.Offload, len(p.Data), len(b))
			}
		})
		if (err != nil) != (n == 0) || n > len(b)+1 {
			t.Fatalf("%d packets, %v", n, err)
		}
	})
}

func BenchmarkSplit64KiB(b *testing.B) {
	f := (&super{is4: true, gso: 1460, payload: make([]byte, 64240), partial: true, cut: 40}).frame(b)
	b.SetBytes(int64(f.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if err := Split(f, func(*link.Frame) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// longFrame is a super-segment longer than any packet, whose header says a total length of 0.
func longFrame(t failer) (*super, *link.Frame) {
	s := &super{is4: true, partial: true, gso: 1448, id: 0xfff0, seq: 0xffff_0000,
		flags: wire.FlagCWR | wire.FlagFIN | wire.FlagPSH | wire.FlagACK, cut: 40}
	whole := bytes.Repeat([]byte("0123456789abcdef"), 12_000)
	s.payload = whole[:1448]
	f := s.frame(t) // gopacket cannot say the length either
	s.payload = whole
	wire.Put16(f.Data[wire.IP4TotalLen:], 0)
	f.Payload = [][]byte{whole[:100_000], whole[100_000:]}
	return s, f
}

// TestASuperSegmentLongerThanAnyPacketIsCut: the pieces say their own lengths.
func TestASuperSegmentLongerThanAnyPacketIsCut(t *testing.T) {
	s, f := longFrame(t)
	whole := s.payload
	pieces, err := split(f)
	check(t, err)
	var joined []byte
	for i, p := range pieces {
		j := judge(t, p.Data)
		s.judgePiece(t, j, i, len(pieces), len(joined))
		joined = append(joined, j.payload...)
	}
	if len(pieces) != (len(whole)+1447)/1448 || !bytes.Equal(joined, whole) {
		t.Errorf("%d pieces with %d bytes", len(pieces), len(joined))
	}
}

// shorten collects copies of what Shorten emits.
func shorten(f *link.Frame, most int) ([]link.Frame, error) {
	var out []link.Frame
	err := Shorten(f, most, func(p *link.Frame) {
		c := *p
		c.Data, c.Payload = p.AppendTo(nil), nil
		out = append(out, c)
	})
	return out, err
}

// TestShorterSuperSegmentsStandForTheSamePackets: each is no longer than it may be, and as it is the
// checksum that it asks for is right, whether it is cut then, as a device would cut it, or not.
func TestShorterSuperSegmentsStandForTheSamePackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSuper(t)
		f := s.frame(t)
		most := rapid.IntRange(1, f.Len()+10).Draw(t, "most")
		judgeShorter(t, s, f, most)
	})
	s, f := longFrame(t)
	if n := judgeShorter(t, s, f, 65535); n != 3 {
		t.Errorf("%d super-segments, want 3", n)
	}
}

func judgeShorter(t failer, s *super, f *link.Frame, most int) int {
	want, err := split(f)
	check(t, err)
	shorter, err := shorten(f, most)
	check(t, err)
	var got []link.Frame
	for _, p := range shorter {
		if n := p.Len(); n > most && n > want[0].Len() {
			t.Fatalf("a super-segment has %d bytes, want %d at most", n, most)
		}
		if !s.udp && s.partial && p.Checksum != link.ChecksumPartial {
			t.Fatalf("the checksum is summed: %+v", p.Offload)
		}
		packets, err := split(&p)
		check(t, err)
		got = append(got, packets...)
		if many := len(packets) > 1; len(shorter) > 1 && many != (p.GSO != link.GSONone) {
			t.Fatalf("%+v of %d packets", p.Offload, len(packets))
		}
		p.GSO = link.GSONone
		whole, err := split(&p)
		check(t, err)
		if len(whole[0].Data) <= 0xffff {
			judge(t, whole[0].Data)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		same(t, fmt.Sprintf("packet %d", i), got[i].Data, want[i].Data)
	}
	return len(shorter)
}
