package stack

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// floodOfFlows sends datagrams to addresses that are nobody's to a stack whose handler
// takes all of them.
type floodOfFlows struct {
	t     *testing.T
	s     *Stack
	far   *pipe.Device
	asked int
	ended chan int // how many datagrams a handler has read
}

func newFloodOfFlows(t *testing.T, f Forward, wait time.Duration) *floodOfFlows {
	far, near := pipe.New(pipe.Config{MTU: 65535})
	flood := &floodOfFlows{t: t, far: far, ended: make(chan int, 100_000)}
	f.UDP = func(r *UDPRequest) { flood.asked++; flood.handle(r, wait) }
	cfg := serverConfig()
	cfg.Forward = f
	flood.s = newStack(t, near, cfg)
	return flood
}

// handle waits before it reads all that comes.
func (f *floodOfFlows) handle(r *UDPRequest, wait time.Duration) {
	u, err := r.Accept()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer u.Close()
	<-time.After(wait)
	for read := 0; ; read++ {
		if _, err := u.Read(make([]byte, 1)); err != nil {
			if err != io.EOF {
				f.t.Errorf("a flow ended with %v", err)
			}
			f.ended <- read
			return
		}
	}
}

func (f *floodOfFlows) send(port, size int) {
	b := udpPacket(ap(client4, uint16(port)), netip.MustParseAddrPort("203.0.113.7:53"), string(noise(size)))
	if _, err := f.far.Queues()[0].Write([]link.Frame{{Data: b}}); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
}

// end waits until n flows have ended, and tells how many datagrams their handlers read.
func (f *floodOfFlows) end(n int) (read int) {
	<-time.After(10 * time.Minute)
	for range n {
		read += <-f.ended
	}
	return read
}

// drops is how many datagrams were dropped for a reason.
func (f *floodOfFlows) drops(reason string) int { return int(f.s.Stats().Drops[reason]) }

// A flood of flows to addresses that are nobody's costs what the limits say, whether their
// handlers read or not; when it is over they end, and an honest flow finds room again.
func TestFloodOfForwardedFlowsIsBounded(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has its own memory")
	}
	for _, wait := range []time.Duration{100 * time.Millisecond, 3 * time.Minute} {
		for _, load := range []struct{ times, size int }{{2, 0}, {2, 1400}, {1, 60000}, {200, 0}} {
			t.Run(fmt.Sprintf("%d of %d bytes, read after %v", load.times, load.size, wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { floodFlows(t, load.times, load.size, wait) })
			})
		}
	}
}

func floodFlows(t *testing.T, times, size int, wait time.Duration) {
	const (
		flows, maxFlows = 1000, 500
		memory          = 1 << 20
		// eachFlow is what a flow may cost besides what waits in it: its socket and timer, its
		// request, and the goroutine of its handler.
		eachFlow = 10 << 10
	)
	f := newFloodOfFlows(t, Forward{UDPMemory: memory, MaxUDP: maxFlows}, wait)
	defer f.far.Close()
	defer f.s.Close()
	for i := range 100 { // the engine and the pools have their size
		f.send(60000+i, 60000)
	}
	f.end(100)
	f.asked = 0
	full, lost := f.drops("forward_full"), f.drops("udp_queue_full")
	before := heap()
	for i := range flows {
		for range times {
			f.send(1000+i, size)
		}
		if i%2 == 1 {
			<-time.After(100 * time.Millisecond)
		}
	}
	if cost := int64(heap()) - int64(before); cost > memory+maxFlows*eachFlow {
		t.Errorf("%d flows cost %d bytes", maxFlows, cost)
	}
	if f.asked != maxFlows {
		t.Errorf("handlers were asked %d times", f.asked)
	}
	if n := f.drops("forward_full") - full; n != times*(flows-maxFlows) {
		t.Errorf("%d datagrams found no room for a flow", n)
	}
	// Before a handler that is slow has closed its flow: what is idle makes room.
	<-time.After(2*time.Minute + time.Second)
	f.asked = 0
	f.send(1000, 100)
	if f.asked != 1 {
		t.Error("no room for a flow after the flood")
	}
	read, sent := f.end(maxFlows+1), times*maxFlows+1
	lost = f.drops("udp_queue_full") - lost
	if read != sent-lost || wait < time.Second && lost != 0 {
		t.Errorf("%d datagrams were read and %d lost of %d", read, lost, sent)
	}
}
