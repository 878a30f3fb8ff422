package tun

import (
	"net/netip"
	"testing"

	"github.com/a644562b/portico/link"
	"github.com/google/gopacket/layers"
)

func TestFlowComesBackOnTheQueueItWasWrittenOn(t *testing.T) {
	h := newHost(t, Config{Queues: 3})
	if n := len(h.Queues()); n != 3 {
		t.Fatalf("%d queues, want 3", n)
	}
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	for _, i := range []int{2, 0, 1, 2} {
		q := h.Queues()[i]
		h.write(q, link.Frame{Data: udpPacket(t, f, []byte("there"))})
		if got := h.receive(socket); got != "there" {
			t.Fatalf("queue %d: received %q", i, got)
		}
		socket.Write([]byte("and back"))
		if got := string(checkedPartial(t, h.read(q, f))); got != "and back" {
			t.Errorf("queue %d: read %q", i, got)
		}
	}
}

func TestQueuesShareTheFlows(t *testing.T) {
	h := newHost(t, Config{Queues: 2})
	const flows = 40
	type arrival struct{ queue, port int }
	arrived := make(chan arrival)
	for i, q := range h.Queues() {
		go func() {
			frames := readFrames(4, 2000)
			for {
				n, err := q.Read(frames)
				if err != nil {
					return
				}
				for j := range frames[:n] {
					if udp, ok := decode(t, frames[j].Data).TransportLayer().(*layers.UDP); ok {
						arrived <- arrival{i, int(udp.SrcPort)}
					}
					frames[j].Data = frames[j].Data[:2000]
				}
			}
		}()
	}
	f := h.flow(4, 7000)
	for i := range flows {
		f.remote = netip.AddrPortFrom(f.remote.Addr(), uint16(7000+i))
		h.udpSocket(f).Write([]byte("x"))
	}
	queueOf, used := map[int]int{}, map[int]bool{}
	for range flows {
		a := <-arrived
		if _, twice := queueOf[a.port]; twice {
			t.Errorf("the datagram of port %d arrived twice", a.port)
		}
		queueOf[a.port] = a.queue
		used[a.queue] = true
	}
	if len(queueOf) != flows || len(used) != 2 {
		t.Errorf("%d flows over %d queues, want %d over 2", len(queueOf), len(used), flows)
	}
}
