package stack

import (
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/tun"
	"github.com/a644562b/portico/tcp"
)

// steered is a connection between the kernel and us over a TUN with several queues.
type steered struct {
	t            *testing.T
	w            *wayOfTUN
	kernel, ours net.Conn
}

// acknowledged waits until the kernel has acknowledged all that we have sent on each of the
// connections that it watches: until then more may come by the old queue.
type acknowledged struct {
	mu      sync.Mutex
	changed sync.Cond
	sent    map[uint64]tcp.Seq // by serial of the connection: the highest sequence number, and one
	acked   map[uint64]tcp.Seq
}

func newAcknowledged() *acknowledged {
	a := &acknowledged{sent: map[uint64]tcp.Seq{}, acked: map[uint64]tcp.Seq{}}
	a.changed.L = &a.mu
	return a
}

// observe is Config.Observe.
func (a *acknowledged) observe(id ConnID) tcp.Observer {
	return func(e *tcp.Event) {
		a.mu.Lock()
		defer a.mu.Unlock()
		switch s := &e.Segment; e.Kind {
		case tcp.EventSegmentOut:
			a.sent[id.Serial] = s.Seq + tcp.Seq(s.Len())
		case tcp.EventSegmentIn:
			a.acked[id.Serial] = s.Ack
			a.changed.Broadcast()
		}
	}
}

func (a *acknowledged) wait() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !maps.Equal(a.sent, a.acked) {
		a.changed.Wait()
	}
}

// lanes are the queues of the connection as the judge saw them.
func (s *steered) lanes() flowQueues {
	return s.w.judge.flow(s.ours.LocalAddr().(*net.TCPAddr).AddrPort(), s.ours.RemoteAddr().(*net.TCPAddr).AddrPort())
}

// forget makes the judge forget the queues that the connection was seen on.
func (s *steered) forget() {
	s.w.judge.mu.Lock()
	defer s.w.judge.mu.Unlock()
	clear(s.w.judge.queues)
}

// echo sends a byte from the kernel and has it come back from us.
func (s *steered) echo() {
	s.t.Helper()
	b := []byte{'x'}
	for _, step := range []func() error{
		func() error { _, err := s.kernel.Write(b); return err },
		func() error { _, err := io.ReadFull(s.ours, b); return err },
		func() error { _, err := s.ours.Write(b); return err },
		func() error { _, err := io.ReadFull(s.kernel, b); return err },
	} {
		if err := step(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func newSteered(t *testing.T, network, connections int, byLoad bool) (all []*steered) {
	w := &wayOfTUN{offload: tun.OffloadAuto, queues: 2, mtu: 1500, network: network, each: connections, acknowledged: newAcknowledged(), byLoad: byLoad}
	w.open(t)
	pairs := append(w.kernelDials(t, w.ours[0]), w.weDial(t, w.kernel[0])...)
	if len(pairs) != 2*connections {
		t.FailNow()
	}
	for _, p := range pairs {
		for _, c := range p {
			c.SetDeadline(time.Now().Add(time.Minute))
			t.Cleanup(func() { c.Close() })
		}
		all = append(all, &steered{t, w, p[0], p[1]})
	}
	return all
}

func TestAFlowIsAnsweredOnTheQueueThatItComesBy(t *testing.T) {
	nstest.Require(t)
	used := map[int]int{}
	for _, s := range newSteered(t, 101, 16, false) {
		// The kernel answers a packet before it notes the queue that it came by: it is the second
		// from which a flow that we have opened stays on its queue.
		s.echo()
		s.forget()
		for range 3 {
			s.echo()
			if l := s.lanes(); l.in != l.out || len(l.all) != 1 {
				t.Fatalf("connection of %v: in by queue %d, out by %d, used %v", s.ours.RemoteAddr(), l.in, l.out, l.all)
			}
		}
		used[s.lanes().in]++
	}
	if len(used) != 2 {
		t.Errorf("connections by queue: %v, want some on both", used)
	}
}

// TestAFlowComesBackToItsQueue: the kernel sends by the queue that it was last written to, and
// we write to that of the connection, by whichever queue it is that something comes.
func TestAFlowComesBackToItsQueue(t *testing.T) {
	nstest.Require(t)
	for _, s := range newSteered(t, 102, 2, false) {
		s.echo()
		for range 3 {
			s.w.acknowledged.wait()
			before := s.lanes()
			other := 1 - before.in
			// A packet of the flow by the other queue, with a checksum that is none: the kernel sees
			// where it comes from, and then drops it without a word.
			stray := link.Frame{Data: slices.Clone(before.lastOut)}
			if stray.Data == nil {
				t.Fatal("we have sent no segment without data")
			}
			stray.Data[ip.HeaderLen4+tcp.OffChecksum] ^= 0x55
			if _, err := s.w.dev.Queues()[other].Write([]link.Frame{stray}); err != nil {
				t.Fatal(err)
			}
			s.echo()
			if l := s.lanes(); l.in != other || l.out != before.out {
				t.Fatalf("connection of %v, moved to queue %d: in by %d, out by %d", s.ours.RemoteAddr(), other, l.in, l.out)
			}
			s.w.acknowledged.wait()
			s.echo()
			if l := s.lanes(); l.in != before.out || l.out != before.out {
				t.Fatalf("connection of %v, after an answer on queue %d: in by %d, out by %d", s.ours.RemoteAddr(), before.out, l.in, l.out)
			}
		}
	}
}

// TestFlowsShareTheFirstQueueUntilMuchDataMoves: then they spread over both, and gather again,
// as the kernel sees it.
func TestFlowsShareTheFirstQueueUntilMuchDataMoves(t *testing.T) {
	nstest.Require(t)
	all := newSteered(t, 104, 4, true)
	all[0].w.stack.lanes.due.Store(int64(mono.Never)) // the test decides, and not the traffic
	spread := func(n uint32) {
		for _, s := range all {
			s.w.acknowledged.wait()
		}
		if !all[0].w.stack.spreadLanes(n) {
			t.Fatalf("no spread over %d queues", n)
		}
		used := map[int]int{}
		for _, s := range all {
			s.echo() // by which it moves
			s.w.acknowledged.wait()
			s.forget()
			s.echo()
			if l := s.lanes(); l.in != l.out || len(l.all) != 1 {
				t.Fatalf("%d queues, connection of %v: in by %d, out by %d, used %v", n, s.ours.RemoteAddr(), l.in, l.out, l.all)
			}
			used[s.lanes().in]++
		}
		if len(used) != int(n) || used[0] != len(all)/int(n) {
			t.Errorf("connections by queue, with %d in use: %v", n, used)
		}
	}
	for _, s := range all {
		if l := s.lanes(); l.in != 0 || l.out != 0 || len(l.all) != 1 {
			t.Errorf("at first, connection of %v: in by %d, out by %d, used %v", s.ours.RemoteAddr(), l.in, l.out, l.all)
		}
	}
	spread(2)
	spread(1)
	spread(2)
}

// Two queues take in the segments of two connections at once; none may be mixed up with the
// other, nor a connection be opened twice.
func TestQueuesOpenConnectionsAtTheSameTime(t *testing.T) {
	nstest.Require(t)
	w := &wayOfTUN{offload: tun.OffloadAuto, queues: 2, mtu: 1500, network: 103}
	w.open(t)
	l, err := w.stack.Listen("tcp", netip.AddrPortFrom(w.ours[0], 7000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const clients, each = 8, 50
	errs := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	for range clients {
		go func() { errs <- dialAndEcho(l.Addr().String(), each) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := w.stack.Stats().TCP.PassiveOpens; got != clients*each {
		t.Errorf("%d connections were opened, want %d", got, clients*each)
	}
}

// dialAndEcho opens connections one after the other, and has each echo its own address.
func dialAndEcho(addr string, times int) error {
	for range times {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		text := c.LocalAddr().String()
		if _, err = c.Write([]byte(text)); err == nil {
			b := make([]byte, len(text))
			if _, err = io.ReadFull(c, b); err == nil && string(b) != text {
				err = io.ErrUnexpectedEOF
			}
		}
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
