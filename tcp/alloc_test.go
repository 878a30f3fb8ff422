package tcp_test

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/tcp"
)

// A connection in its steady state takes no memory from the collector: not for a
// segment in, not for one out, not for a timer.

// steady is an established connection without an observer, stepped without the kit,
// which itself allocates.
type steady struct {
	tcb        tcp.TCB
	now        tcp.Time
	seq, ack   tcp.Seq // what the peer sends next, and has of ours
	in         tcp.Segment
	out        tcp.Out
	buf        []byte
	sent, read int
}

func newSteady(t testing.TB, ts bool) *steady { return newSteadyFor(t, ts, 0) }

// newSteadyFor is newSteady on a device that cuts super-segments of up to maxGSO bytes.
func newSteadyFor(t testing.TB, ts bool, maxGSO int) *steady {
	d := newDialogue(t)
	p := tcp.Params{ReceiveBuffer: 64 << 10, SendBuffer: 64 << 10, NoTimestamps: !ts}.WithDefaults()
	s := &steady{now: d.now, seq: 5000, buf: make([]byte, 1000)}
	s.tcb.OpenActive(s.now, tcp.Setup{Params: &p, MSS: 1460, MaxGSO: maxGSO, Endpoints: d.setup.Endpoints, ISS: 1000})
	s.drain()
	s.in = tcp.Segment{SrcPort: 40000, DstPort: 80, Window: 65535, Seq: s.seq, Ack: 1001, Flags: tcp.SYN | tcp.ACK}
	s.in.Options = tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: ts, TSVal: 1}
	s.tcb.Segment(s.now, &s.in)
	s.drain()
	s.seq, s.ack = 5001, 1001
	s.in.Flags, s.in.Options = tcp.ACK, tcp.Options{HasTimestamps: ts, TSVal: 1}
	if s.tcb.State() != tcp.StateEstablished {
		t.Fatalf("in %v", s.tcb.State())
	}
	return s
}

// drain takes what the TCB has to send.
func (s *steady) drain() {
	for s.tcb.Next(s.now, &s.out) {
		s.sent += s.out.DataLen
		s.in.Options.TSEcr = s.out.Options.TSVal
	}
}

// arrive lets the peer send a segment with data, or a bare ACK.
func (s *steady) arrive(data []byte) {
	s.in.Seq, s.in.Ack, s.in.Payload = s.seq, s.ack, data
	s.tcb.Segment(s.now, &s.in)
	s.seq = s.seq.Add(len(data))
	s.drain()
}

func allocs(t *testing.T, what string, f func()) {
	t.Helper()
	for range 100 { // until the buffers have their size
		f()
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties pools
	if n := testing.AllocsPerRun(500, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, ts := range []bool{false, true} {
		s := newSteady(t, ts)
		allocs(t, "two segments in, read, one ACK out", func() {
			s.now = s.now.Add(time.Millisecond)
			s.in.Options.TSVal++
			s.arrive(s.buf)
			s.arrive(s.buf)
			for range 2 {
				n, _ := s.tcb.Read(s.now, s.buf)
				s.read += n
			}
			s.drain()
		})
		if s.read != 2*601*1000 {
			t.Fatalf("%d bytes were read", s.read)
		}

		allocs(t, "write, a segment out, its ACK in", func() {
			s.now = s.now.Add(time.Millisecond)
			n, _ := s.tcb.Write(s.now, s.buf)
			s.drain()
			s.now = s.now.Add(time.Millisecond)
			s.ack = s.ack.Add(n)
			s.in.Options.TSVal++
			s.arrive(nil)
		})
		if s.sent != 601*1000 {
			t.Fatalf("%d bytes were sent", s.sent)
		}

		allocs(t, "a segment in, the delayed ACK out", func() {
			s.arrive(s.buf[:10])
			s.tcb.Read(s.now, s.buf)
			s.now = s.now.Add(100 * time.Millisecond)
			s.tcb.Tick(s.now)
			s.drain()
		})
	}
}

// TestInfoAllocatesNothing: observers may ask as often as they like.
func TestInfoAllocatesNothing(t *testing.T) {
	s := newSteady(t, true)
	var i tcp.Info
	allocs(t, "Info", func() { i = s.tcb.Info(s.now) })
	if i.State != tcp.StateEstablished {
		t.Error(i.State)
	}
}
