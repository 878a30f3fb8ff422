package gro

import (
	"bytes"
	"testing"

	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
	"pgregory.net/rapid"
)

// streams draws packets of a few connections, each a stream with holes, repetitions, marks
// and changes of all kinds, in trains that are interleaved.
func streams(t *rapid.T) (packets [][]byte) {
	var next []segment
	for i := range rapid.IntRange(1, 3).Draw(t, "connections") {
		s := plain(rapid.Bool().Draw(t, "is4"), 0)
		s.seq = rapid.Uint32().Draw(t, "seq")
		s.ack = uint32(i) // tells them apart
		if rapid.Bool().Draw(t, "no options") {
			s.options = nil
		}
		next = append(next, s)
	}
	size := rapid.IntRange(1, 1448).Draw(t, "size")
	for range rapid.IntRange(1, 10).Draw(t, "trains") {
		s := &next[rapid.IntRange(0, len(next)-1).Draw(t, "connection")]
		for range rapid.IntRange(1, 60).Draw(t, "segments") {
			n := size
			if rapid.IntRange(0, 30).Draw(t, "another size") == 20 {
				n = rapid.IntRange(0, 1448).Draw(t, "its size")
			}
			*s = s.next(n)
			whim(t, s)
			packets = append(packets, s.packet(t))
			s.psh, s.fin, s.cwr = false, false, false
		}
	}
	return packets
}

// whim changes something in about every tenth segment.
func whim(t *rapid.T, s *segment) {
	switch rapid.IntRange(-100, 100).Draw(t, "whim") {
	case 40:
		s.psh = true
	case 41:
		s.fin = true
	case 42:
		s.cwr = true
	case 43:
		s.ece = !s.ece
	case 44:
		s.tos ^= 3
	case 45:
		s.seq += rapid.Uint32Range(1, 3000).Draw(t, "hole")
	case 46:
		s.seq -= rapid.Uint32Range(1, 3000).Draw(t, "again")
	case 47:
		s.id += 3
	case 48:
		s.fragmentable = !s.fragmentable
	case 49:
		s.window++
	case 50:
		s.ack += 4
	case 51:
		s.ttl--
	case 52:
		if s.options != nil {
			s.options = timestamps(rapid.Byte().Draw(t, "timestamp"))
		}
	}
}

// TestSplittingWhatWasJoinedGivesThePacketsBack, bit by bit, in their order.
func TestSplittingWhatWasJoinedGivesThePacketsBack(t *testing.T) {
	packets, frames := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := streams(t)
		r := newReader(t)
		r.memory = rapid.SampledFrom([]int{link.MaxFrame, 20_000, 1500}).Draw(t, "memory")
		for _, p := range in {
			r.take(p, link.Offload{})
		}
		out := r.finish()
		for _, f := range out {
			if f.GSO != link.GSONone {
				decode(t, f)
			}
		}
		same(t, split(t, out...), in)
		packets, frames = packets+len(in), frames+len(out)
	})
	if frames > packets/2 {
		t.Errorf("%d packets in %d frames: too few were joined for a proof", packets, frames)
	}
}

// FuzzTrain: whatever the second and the third packet are made of, the first a segment and these
// like it but for changes anywhere, joined or not, they come back, but for fields of
// which there are several ways to write the same.
func FuzzTrain(f *testing.F) {
	f.Add(true, 100, 100, []byte{}, true)
	f.Add(false, 1448, 10, []byte{3, 0, 41, 0xff}, true)
	f.Add(true, 9, 9, []byte{1, 0, 5, 7, 2, 0, 33, 8}, false)
	f.Fuzz(func(t *testing.T, is4 bool, size, last int, changes []byte, resums bool) {
		if size < 1 || size > 1448 || last < 0 || last > 3000 {
			return
		}
		a := plain(is4, size)
		b := a.next(size)
		packets := [][]byte{a.packet(t), b.packet(t), b.next(last).packet(t)}
		for ; len(changes) >= 4; changes = changes[4:] {
			p := packets[changes[0]%3]
			p[(int(changes[1])<<8|int(changes[2]))%len(p)] ^= changes[3]
		}
		for _, p := range packets {
			if v := p[0] >> 4; resums && (v == 4 && p[0]&0xf >= 5 || v == 6) && len(p) >= 80 {
				resum(p)
			}
		}
		frames := joined(t, packets...)
		if len(frames) == 3 {
			same(t, split(t, frames...), packets) // untouched
			return
		}
		got := split(t, frames...)
		if len(got) != 3 {
			t.Fatalf("%d packets, want 3", len(got))
		}
		for i := range got {
			if !bytes.Equal(canonical(got[i]), canonical(packets[i])) {
				t.Fatalf("packet %d is\n%x, was\n%x", i, got[i], packets[i])
			}
		}
	})
}

// canonical is the packet p without its identification where that says nothing (RFC 6864), and with
// checksums of one of the two kinds that mean the same.
func canonical(p []byte) []byte {
	p = bytes.Clone(p)
	at := wire.IP6HeaderLen
	if p[0]>>4 == 4 {
		at = wire.IP4HeaderLen
		if p[wire.IP4Fragment]&0x40 != 0 {
			wire.Put16(p[wire.IP4ID:], 0)
		}
		wire.Put16(p[wire.IP4Checksum:], 0)
	}
	if len(p) >= at+wire.TCPHeaderLen {
		wire.Put16(p[at+wire.TCPChecksum:], 0)
	}
	return p
}

// BenchmarkTrain: what a segment of an Ethernet costs that is joined, and one that is not.
func BenchmarkTrain(b *testing.B) {
	for _, c := range []struct {
		name string
		o    link.Offload
	}{{"vouched", link.Offload{Checksum: link.ChecksumValid}}, {"summed", link.Offload{}}} {
		b.Run(c.name, func(b *testing.B) {
			const size, segments = 1448, 44
			s := plain(true, size)
			memory := make([]byte, link.MaxFrame)
			var packets [segments][]byte
			for i := range packets {
				packets[i] = s.packet(b)
				s = s.next(size)
			}
			var train Train
			var f link.Frame
			b.SetBytes(segments * size)
			b.ReportAllocs()
			for b.Loop() {
				f = link.Frame{Data: memory[:copy(memory, packets[0])], Offload: c.o}
				train.Start(&f, memory)
				for _, p := range packets[1:] {
					header, room := train.Next()
					copy(room, p[header:])
					if !train.Append(p[:header], len(p)-header, c.o) {
						b.Fatal("not joined")
					}
				}
				train.Finish()
			}
		})
	}
}
