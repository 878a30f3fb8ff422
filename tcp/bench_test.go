package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/tcp"
)

// The MSS of an Ethernet frame with timestamps, and the super-segment of most of them.
const (
	mss      = 1448
	superLen = 45 * mss
)

// wireSegment is a segment of established bulk traffic as it comes from the wire.
func wireSegment(opts tcp.Options, n int) *tcp.Segment {
	return &tcp.Segment{
		SrcPort: 40000, DstPort: 80, Seq: 0x01020304, Ack: 0x05060708, Flags: tcp.ACK, Window: 60000,
		Options: opts, Payload: make([]byte, n),
	}
}

// headers are the kinds of header that the benchmarks read and write.
var headers = []struct {
	name string
	opts tcp.Options
}{
	{"none", tcp.Options{}},
	{"TS", tcp.Options{HasTimestamps: true, TSVal: 1, TSEcr: 2}},
	{"TS+SACK3", tcp.Options{HasTimestamps: true, TSVal: 1, TSEcr: 2, SACKBlocks: 3,
		SACK: [4]tcp.SACKBlock{{Start: 10, End: 20}, {Start: 30, End: 40}, {Start: 50, End: 60}}}},
	{"SYN", tcp.Options{MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 7, HasTimestamps: true, TSVal: 1}},
}

func BenchmarkParse(b *testing.B) {
	for _, c := range headers {
		b.Run("options="+c.name, func(b *testing.B) {
			s := wireSegment(c.opts, mss)
			wire := append(s.AppendHeader(nil), s.Payload...)
			var seg tcp.Segment
			b.ReportAllocs()
			for b.Loop() {
				if err := tcp.Parse(wire, &seg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	for _, c := range headers {
		b.Run("options="+c.name, func(b *testing.B) {
			s := wireSegment(c.opts, 0)
			room := make([]byte, 0, tcp.MaxHeaderLen)
			b.ReportAllocs()
			for b.Loop() {
				s.AppendHeader(room)
			}
		})
	}
}

// BenchmarkSegmentIn is one segment of data into a TCB, its text read by the application and
// whatever ACK is due out. The memory of the text is handed over, as an engine does with
// what it reads from a device; so the bytes are copied once, to the reader.
func BenchmarkSegmentIn(b *testing.B) {
	for _, c := range []struct {
		name     string
		len, gso int
	}{{"super", superLen, mss}, {"mtu", mss, 0}, {"small", 64, 0}} {
		b.Run(fmt.Sprintf("%s=%dB", c.name, c.len), func(b *testing.B) {
			s := newSteady(b, true)
			s.in.GSOSize = c.gso
			room := make([]byte, c.len)
			read := 0
			b.SetBytes(int64(c.len))
			b.ReportAllocs()
			for b.Loop() {
				s.now = s.now.Add(10 * time.Microsecond)
				s.in.Options.TSVal++
				block := buffer.NewBlockFor(c.len)
				s.in.Block = block
				s.arrive(block.B[:c.len])
				s.in.Block.Release() // unless the TCB has taken it
				n, err := s.tcb.Read(s.now, room)
				if n != c.len || err != nil {
					b.Fatalf("Read = %d, %v", n, err)
				}
				read += n
				s.drain()
			}
		})
	}
}

// BenchmarkAckIn is an ACK that acknowledges nothing and opens nothing: the least that a
// segment costs.
func BenchmarkAckIn(b *testing.B) {
	s := newSteady(b, true)
	b.ReportAllocs()
	for b.Loop() {
		s.now = s.now.Add(10 * time.Microsecond)
		s.in.Options.TSVal++
		s.arrive(nil)
	}
}

// BenchmarkSegmentOut is what the application writes, out in as few segments as the device
// allows, and the one ACK of it all in. The bytes are copied once, from the writer; whoever
// sends the segments has to gather them from where they lie, which is not part of this.
func BenchmarkSegmentOut(b *testing.B) {
	for _, c := range []struct {
		name        string
		len, maxGSO int
	}{{"super", superLen, superLen}, {"mtu", superLen, 0}, {"small", 64, 0}} {
		b.Run(fmt.Sprintf("%s=%dB", c.name, c.len), func(b *testing.B) {
			s := newSteadyFor(b, true, c.maxGSO)
			data := make([]byte, c.len)
			acks := 0
			round := func() {
				n, err := s.tcb.Write(s.now, data)
				if n != c.len || err != nil {
					b.Fatalf("Write = %d, %v", n, err)
				}
				s.drain()
				for end := s.ack.Add(n); s.ack != end; acks++ {
					s.now = s.now.Add(10 * time.Microsecond)
					s.ack = tcp.Seq(1001).Add(s.sent)
					s.in.Options.TSVal++
					s.arrive(nil)
				}
			}
			for range 100 { // until the congestion window holds it all
				round()
			}
			acks = 0
			n := 0
			b.SetBytes(int64(c.len))
			b.ReportAllocs()
			for b.Loop() {
				round()
				n++
			}
			if acks != n {
				b.Fatalf("%d writes took %d ACKs", n, acks)
			}
		})
	}
}
