package gro

import (
	"fmt"
	"testing"

	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestAFrameOfSegmentsIsOneThatTheKernelWouldGive: what becomes of three segments, the last
// shorter and with PSH, is a frame in every respect like the kernel's.
func TestAFrameOfSegmentsIsOneThatTheKernelWouldGive(t *testing.T) {
	bothFamilies(t, func(t *testing.T, is4 bool) {
		a := plain(is4, 1000)
		b := a.next(1000)
		c := b.next(301)
		c.psh = true
		frames := joined(t, a.packet(t), b.packet(t), c.packet(t))
		if len(frames) != 1 {
			t.Fatalf("%d frames, want 1", len(frames))
		}
		f := frames[0]
		ip, kind := wire.IP6HeaderLen, link.GSOTCP6
		if is4 {
			ip, kind = wire.IP4HeaderLen, link.GSOTCP4
		}
		want := link.Offload{GSO: kind, Checksum: link.ChecksumPartial, GSOSize: 1000, HeaderLen: uint16(ip + 32),
			ChecksumStart: uint16(ip), ChecksumOffset: wire.TCPChecksum}
		if f.Offload != want || f.Payload != nil {
			t.Errorf("offload %+v, want %+v", f.Offload, want)
		}
		// As one segment of that size, but for the checksum, of which only the part of the pseudo-header is there.
		whole := a
		whole.psh = true
		whole.payload = append(append(append([]byte(nil), a.payload...), b.payload...), c.payload...)
		expect := whole.packet(t)
		pseudo := slowSum(wire.ProtoTCP+uint32(len(expect)-ip), expect[map[bool]int{true: wire.IP4Addrs, false: wire.IP6Addrs}[is4]:ip])
		wire.Put16(expect[ip+wire.TCPChecksum:], pseudo)
		same(t, [][]byte{f.Data}, [][]byte{expect})
		same(t, split(t, f), [][]byte{a.packet(t), b.packet(t), c.packet(t)})
	})
}

// TestWhatContinuesASegment: one pair of segments after another, of which something differs
// from what is sure to be joined.
func TestWhatContinuesASegment(t *testing.T) {
	const both, only4, only6 = "46", "4", "6"
	for _, c := range []struct {
		name   string
		family string
		change func(a, b *segment)
		joins  bool
	}{
		{"nothing differs", both, func(a, b *segment) {}, true},
		{"no options", both, func(a, b *segment) { a.options, b.options = nil, nil }, true},
		{"the second is shorter", both, func(a, b *segment) { b.payload = b.payload[:1] }, true},
		{"the second is longer", both, func(a, b *segment) { b.payload = pattern(1001) }, false},
		{"the second has no data", both, func(a, b *segment) { b.payload = nil }, false},
		{"the first has no data", both, func(a, b *segment) { a.payload = nil; b.seq = a.seq }, false},
		{"PSH on the second", both, func(a, b *segment) { b.psh = true }, true},
		{"PSH on the first", both, func(a, b *segment) { a.psh = true }, false},
		{"FIN on the second", both, func(a, b *segment) { b.fin = true }, true},
		{"FIN on the first", both, func(a, b *segment) { a.fin = true; b.seq++ }, false},
		{"a hole", both, func(a, b *segment) { b.seq++ }, false},
		{"an overlap", both, func(a, b *segment) { b.seq-- }, false},
		{"the same again", both, func(a, b *segment) { b.seq, b.payload = a.seq, a.payload }, false},
		{"sequence numbers that wrap", both, func(a, b *segment) { a.seq = 1<<32 - 10; b.seq = 990 }, true},
		{"another ACK", both, func(a, b *segment) { b.ack++ }, false},
		{"another window", both, func(a, b *segment) { b.window++ }, false},
		{"another timestamp", both, func(a, b *segment) { b.options = timestamps(2) }, false},
		{"options on the second", both, func(a, b *segment) { a.options = nil }, false},
		{"options on the first", both, func(a, b *segment) { b.options = nil }, false},
		{"CE on the second", both, func(a, b *segment) { a.tos, b.tos = 2, 3 }, false},
		{"CE on the first", both, func(a, b *segment) { a.tos, b.tos = 3, 2 }, false},
		{"CE on both", both, func(a, b *segment) { a.tos, b.tos = 3, 3 }, true},
		{"another DSCP", both, func(a, b *segment) { b.tos = 0x20 }, false},
		{"ECE on both", both, func(a, b *segment) { a.ece, b.ece = true, true }, true},
		{"ECE on the second", both, func(a, b *segment) { b.ece = true }, false},
		{"ECE on the first", both, func(a, b *segment) { a.ece = true }, false},
		{"CWR on the first", both, func(a, b *segment) { a.cwr = true }, true},
		{"CWR on the second", both, func(a, b *segment) { b.cwr = true }, false},
		{"CWR on both", both, func(a, b *segment) { a.cwr, b.cwr = true, true }, false},
		{"another TTL", both, func(a, b *segment) { b.ttl-- }, false},
		{"another flow label", only6, func(a, b *segment) { b.label++ }, false},
		{"another family", both, func(a, b *segment) { b.is4 = !b.is4 }, false},
		{"identification that stays, DF", only4, func(a, b *segment) { b.id = a.id }, true},
		{"identification that stays, no DF", only4, func(a, b *segment) { b.id = a.id; a.fragmentable, b.fragmentable = true, true }, false},
		{"identification that counts, no DF", only4, func(a, b *segment) { a.fragmentable, b.fragmentable = true, true }, true},
		{"identification that wraps", only4, func(a, b *segment) { a.id, b.id = 0xffff, 0 }, true},
		{"identification that jumps", only4, func(a, b *segment) { b.id++ }, false},
		{"identification that goes back", only4, func(a, b *segment) { b.id = a.id - 1 }, false},
		{"DF on the first", only4, func(a, b *segment) { b.fragmentable = true }, false},
		{"DF on the second", only4, func(a, b *segment) { a.fragmentable = true }, false},
	} {
		for _, family := range c.family {
			t.Run(fmt.Sprintf("%s/IPv%c", c.name, family), func(t *testing.T) {
				a := plain(family == '4', 1000)
				b := a.next(1000)
				c.change(&a, &b)
				packets := [][]byte{a.packet(t), b.packet(t)}
				frames := joined(t, packets...)
				if got := len(frames) == 1; got != c.joins {
					t.Fatalf("joined: %v, want %v", got, c.joins)
				}
				if a.id == b.id && a.is4 && c.joins {
					wire.Put16(packets[1][wire.IP4ID:], b.id+1) // which Split counts
					resum(packets[1])
				}
				same(t, split(t, frames...), packets)
			})
		}
	}
}

// TestBitsOfAHeaderThatKeepItFromBeingJoined flips, in the first, the second or both of two
// packets that would be joined, bits that a description as segment has no word for.
func TestBitsOfAHeaderThatKeepItFromBeingJoined(t *testing.T) {
	const first, second = 1, 2
	type flip struct {
		name  string
		is4   bool
		at    int
		bits  byte
		in    int // first, second or both
		joins bool
		sums  bool // the checksums are put right again
	}
	flips := []flip{
		{"more fragments", true, 6, 0x20, first, false, true},
		{"more fragments", true, 6, 0x20, second, false, true},
		{"more fragments", true, 6, 0x20, first | second, false, true},
		{"fragment offset", true, 7, 1, first | second, false, true},
		{"evil bit", true, 6, 0x80, first | second, false, true},
		{"protocol", true, 9, 0x17, first | second, false, true},
		{"protocol", false, 6, 0x17, first | second, false, true},
		{"version", true, 0, 0x10, first | second, false, true},
		{"total length", true, 3, 1, first, false, true},
		{"total length", true, 3, 1, second, false, true},
		{"payload length", false, 5, 1, first, false, true},
		{"payload length", false, 5, 1, second, false, true},
		{"header checksum", true, 10, 1, first, false, false},
		{"header checksum", true, 10, 1, second, false, false},
	}
	for _, ip := range []struct {
		is4 bool
		len int
	}{{true, wire.IP4HeaderLen}, {false, wire.IP6HeaderLen}} {
		at := func(n int) int { return ip.len + n }
		for _, in := range []int{first, second, first | second} {
			for _, f := range []struct {
				name string
				bit  byte
			}{{"ACK", 0x10}, {"URG", 0x20}, {"RST", 4}, {"SYN", 2}} {
				flips = append(flips, flip{f.name, ip.is4, at(wire.TCPFlags), f.bit, in, false, true})
			}
			flips = append(flips,
				flip{"source port", ip.is4, at(1), 1, in, in == first|second, true},
				flip{"destination port", ip.is4, at(3), 1, in, in == first|second, true},
				flip{"reserved", ip.is4, at(wire.TCPDataOffset), 4, in, in == first|second, true},
				flip{"urgent pointer", ip.is4, at(wire.TCPUrgent), 4, in, in == first|second, true},
				flip{"source address", ip.is4, map[bool]int{true: 15, false: 23}[ip.is4], 1, in, in == first|second, true},
				flip{"destination address", ip.is4, map[bool]int{true: 19, false: 39}[ip.is4], 1, in, in == first|second, true},
				flip{"last byte", ip.is4, ip.len + 32 + 999, 1, in, false, false},
				flip{"TCP checksum", ip.is4, at(wire.TCPChecksum), 0x80, in, false, false},
			)
		}
	}
	for _, f := range flips {
		t.Run(fmt.Sprintf("%s/IPv4=%v/in=%d", f.name, f.is4, f.in), func(t *testing.T) {
			a := plain(f.is4, 1000)
			packets := [][]byte{a.packet(t), a.next(1000).packet(t)}
			r := newReader(t)
			for i, in := range []int{first, second} {
				if f.in&in != 0 {
					packets[i][f.at] ^= f.bits
				}
				var o link.Offload
				if f.sums {
					// It is not by the sum that the difference is noticed.
					resum(packets[i])
					o.Checksum = link.ChecksumValid
				}
				r.take(packets[i], o)
			}
			frames := r.finish()
			if got := len(frames) == 1; got != f.joins {
				t.Fatalf("joined: %v, want %v", got, f.joins)
			}
			same(t, split(t, frames...), packets)
		})
	}
}

// begins reports whether a train begins with packet.
func begins(t *testing.T, packet []byte, o link.Offload) bool {
	r := newReader(t)
	r.take(packet, o)
	_, room := r.train.Next()
	return room != nil
}

// TestHeadersThatAreNotThere: what is cut short, or has headers of another kind, begins no
// train, and nothing reads beyond it.
func TestHeadersThatAreNotThere(t *testing.T) {
	vouched := link.Offload{Checksum: link.ChecksumValid}
	for _, is4 := range []bool{true, false} {
		whole := plain(is4, 1).packet(t)
		for n := range whole {
			if begins(t, whole[:n:n], vouched) {
				t.Errorf("IPv4 %v: a train began with the first %d bytes of %d", is4, n, len(whole))
			}
		}
	}
	for _, offset := range []byte{0, 4, 15} {
		b := plain(true, 10).packet(t)
		b[wire.IP4HeaderLen+wire.TCPDataOffset] = offset << 4
		resum(b)
		if begins(t, b, link.Offload{}) {
			t.Errorf("a train began with a data offset of %d", offset)
		}
	}
	// Options of zeros, which the header's checksum does not notice, and behind them an acknowledgment
	// number that looks, four bytes too early, like the data offset and the flags.
	s := plain(true, 10)
	s.ack = 0x5010_0000
	b := s.packet(t)
	b = append(append(append([]byte(nil), b[:wire.IP4HeaderLen]...), 0, 0, 0, 0), b[wire.IP4HeaderLen:]...)
	b[0]++
	wire.Put16(b[wire.IP4TotalLen:], uint16(len(b)))
	resum(b)
	if begins(t, b, vouched) {
		t.Error("a train began with a packet with IPv4 options")
	}
}

// TestNoRoomIsNamedWhereNothingCanFollow: an ACK, and what ends a train, cost those who read no
// thought about the next.
func TestNoRoomIsNamedWhereNothingCanFollow(t *testing.T) {
	bothFamilies(t, func(t *testing.T, is4 bool) {
		a := plain(is4, 100)
		if !begins(t, a.packet(t), link.Offload{}) {
			t.Fatal("no train began with a segment like any other")
		}
		for name, change := range map[string]func(*segment){
			"no data": func(s *segment) { s.payload = nil },
			"PSH":     func(s *segment) { s.psh = true },
			"FIN":     func(s *segment) { s.fin = true },
			"shorter": func(s *segment) { s.payload = s.payload[:99] },
		} {
			b := a.next(100)
			change(&b)
			if name != "shorter" && begins(t, b.packet(t), link.Offload{}) {
				t.Errorf("a train began with a segment with %s", name)
			}
			r := newReader(t)
			r.take(a.packet(t), link.Offload{})
			if joins := r.take(b.packet(t), link.Offload{}); joins != (name != "no data") {
				t.Errorf("%s joined: %v", name, joins)
			}
			if _, room := r.train.Next(); room != nil {
				t.Errorf("room is named behind a segment with %s", name)
			}
		}
		r := newReader(t)
		r.take(a.packet(t), link.Offload{})
		r.finish()
		if _, room := r.train.Next(); room != nil {
			t.Error("room is named after Finish")
		}
	})
}

// TestIdentificationsCountOrStay: from the second segment on it is settled which.
func TestIdentificationsCountOrStay(t *testing.T) {
	for _, c := range []struct {
		ids   [3]uint16
		third bool
	}{{[3]uint16{7, 8, 9}, true}, {[3]uint16{7, 7, 7}, true}, {[3]uint16{7, 7, 9}, false}, {[3]uint16{7, 7, 8}, false},
		{[3]uint16{7, 8, 7}, false}, {[3]uint16{7, 8, 8}, false}} {
		s, r := plain(true, 100), newReader(t)
		joins := false
		for _, id := range c.ids {
			s.id = id
			joins = r.take(s.packet(t), link.Offload{})
			s = s.next(100)
		}
		if joins != c.third {
			t.Errorf("identifications %v: the third joined: %v", c.ids, joins)
		}
	}
}

// TestWhoVouchesForTheChecksum: a wrong one does not matter where somebody vouches for it,
// for both segments or one.
func TestWhoVouchesForTheChecksum(t *testing.T) {
	bothFamilies(t, func(t *testing.T, is4 bool) {
		start := uint16(wire.IP6HeaderLen)
		if is4 {
			start = wire.IP4HeaderLen
		}
		none, valid := link.Offload{}, link.Offload{Checksum: link.ChecksumValid}
		partial := link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: start, ChecksumOffset: wire.TCPChecksum}
		elsewhere := partial
		elsewhere.ChecksumStart++
		other := partial
		other.ChecksumOffset = 6
		super := valid
		super.GSO, super.GSOSize = link.GSOTCP4, 500
		for _, c := range []struct {
			a, b  link.Offload
			joins bool
		}{
			{valid, valid, true}, {partial, partial, true}, {partial, valid, true}, {valid, partial, true},
			{none, valid, false}, {valid, none, false}, {none, none, false},
			{valid, elsewhere, false}, {elsewhere, valid, false}, {valid, other, false}, {other, valid, false},
			{super, valid, false}, {valid, super, false},
		} {
			a := plain(is4, 1000)
			packets := [][]byte{a.packet(t), a.next(1000).packet(t)}
			for _, p := range packets {
				p[int(start)+wire.TCPChecksum]++
			}
			r := newReader(t)
			r.take(packets[0], c.a)
			if got := r.take(packets[1], c.b); got != c.joins {
				t.Errorf("%+v and %+v joined: %v, want %v", c.a, c.b, got, c.joins)
			}
		}
	})
}

// TestAChecksumThatWasFoundRightIsNotSummedAgain: nor is one that was found wrong passed
// for right.
func TestAChecksumThatWasFoundRightIsNotSummedAgain(t *testing.T) {
	good, bad := plain(true, 100).packet(t), plain(true, 100).packet(t)
	bad[len(bad)-1]++
	for _, c := range []struct {
		packet []byte
		want   link.Checksum
	}{{good, link.ChecksumValid}, {bad, link.ChecksumNone}} {
		f := joined(t, c.packet)[0]
		if f.Offload != (link.Offload{Checksum: c.want}) {
			t.Errorf("offload %+v, want checksum %v and nothing else", f.Offload, c.want)
		}
	}
}

// TestALongTrainEndsWhereItsHeaderCanSayNoMore, or its memory ends: a stream without end
// becomes frames that are as long as possible.
func TestALongTrainEndsWhereItsHeaderCanSayNoMore(t *testing.T) {
	const header4, header6 = wire.IP4HeaderLen + wire.TCPHeaderLen, wire.IP6HeaderLen + wire.TCPHeaderLen
	for _, c := range []struct {
		is4        bool
		memory     int
		size, want int // bytes of each segment; segments in the first frame
	}{
		{is4: true, memory: link.MaxFrame, size: 1460, want: 44},
		{is4: true, memory: link.MaxFrame, size: (65535 - header4) / 5, want: 5}, // to the last byte
		{is4: true, memory: link.MaxFrame, size: (65535-header4)/5 + 1, want: 4},
		{is4: false, memory: link.MaxFrame, size: (65535 + wire.IP6HeaderLen - header6) / 5, want: 5},
		{is4: false, memory: link.MaxFrame, size: (65535+wire.IP6HeaderLen-header6)/5 + 1, want: 4},
		{is4: false, memory: 1 << 20, size: (65535+wire.IP6HeaderLen-header6)/5 + 1, want: 4},
		{is4: true, memory: header4 + 3000, size: 1000, want: 3},
		{is4: true, memory: header4 + 2999, size: 1000, want: 2},
		{is4: true, memory: header4 + 1000, size: 1000, want: 1},
	} {
		r := newReader(t)
		r.memory = c.memory
		s := plain(c.is4, c.size)
		s.options = nil
		var packets [][]byte
		for range c.want + 1 {
			packets = append(packets, s.packet(t))
			r.take(packets[len(packets)-1], link.Offload{})
			s = s.next(c.size)
		}
		frames := r.finish()
		if got := len(split(t, frames[0])); got != c.want || len(frames) != 2 {
			t.Errorf("%+v: %d segments in the first of %d frames", c, got, len(frames))
		}
		decode(t, frames[0])
		same(t, split(t, frames...), packets)
	}
}

// decode reads a frame with gopacket, which compares the length that the IP header tells.
func decode(t failer, f *link.Frame) {
	t.Helper()
	first := layers.LayerTypeIPv6
	if f.Data[0]>>4 == 4 {
		first = layers.LayerTypeIPv4
	}
	p := gopacket.NewPacket(f.Data, first, gopacket.DecodeOptions{})
	if e := p.ErrorLayer(); e != nil || p.Metadata().Truncated {
		t.Fatalf("gopacket cannot decode the frame: %v", p)
	}
	n := len(f.Data)
	for _, l := range p.Layers()[:2] {
		n -= len(l.LayerContents())
	}
	if got := len(p.TransportLayer().LayerPayload()); got != n {
		t.Fatalf("%d bytes of payload by the header, %d in the frame", got, n)
	}
}

// TestAnythingBetweenEndsATrain: a short segment, PSH, a hole end it, and what follows
// begins the next.
func TestAnythingBetweenEndsATrain(t *testing.T) {
	a := plain(true, 1000)
	b := a.next(500) // short
	c := b.next(1000)
	d := c.next(1000)
	d.psh = true
	e := d.next(1000)
	e.psh = false
	lost := e.next(1000)
	f := lost.next(1000)
	g := f.next(1000)
	var packets [][]byte
	for _, s := range []segment{a, b, c, d, e, f, g} {
		packets = append(packets, s.packet(t))
	}
	frames := joined(t, packets...)
	var sizes []int
	for _, f := range frames {
		sizes = append(sizes, len(f.Data)-52)
	}
	if got, want := fmt.Sprint(sizes), "[1500 2000 1000 2000]"; got != want {
		t.Errorf("payloads %v, want %v", got, want)
	}
	same(t, split(t, frames...), packets)
}
