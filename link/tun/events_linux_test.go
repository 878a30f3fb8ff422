package tun

import (
	"fmt"
	"strings"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
)

// wantEvents takes exactly these from the device, in order.
func (h *host) wantEvents(want ...link.Event) {
	h.t.Helper()
	for _, w := range want {
		if got, ok := <-h.Events(); !ok || got != w {
			h.t.Fatalf("event %v, %v, want %v", got, ok, w)
		}
	}
}

func (h *host) ip(format string) {
	h.t.Helper()
	nstest.IP(h.t, fmt.Sprintf(format, h.Name()))
}

var (
	up   = link.Event{Kind: link.EventUp}
	down = link.Event{Kind: link.EventDown}
)

func mtu(n int) link.Event { return link.Event{Kind: link.EventMTU, MTU: n} }

func TestEventsTellUpDownAndMTU(t *testing.T) {
	h := newHost(t, Config{MTU: 1500})
	h.wantEvents(up)
	h.ip("link set %s mtu 1400")
	h.wantEvents(mtu(1400))
	if h.MTU() != 1400 {
		t.Errorf("MTU = %d, want 1400", h.MTU())
	}
	h.ip("link set %s down")
	h.wantEvents(down)
	h.ip("link set %s mtu 9000")
	h.wantEvents(mtu(9000))
	h.ip("link set %s up")
	h.wantEvents(up)
	h.Close()
	if ev, ok := <-h.Events(); ok {
		t.Errorf("event %v after all", ev)
	}
}

func TestEventsFollowARenamedInterface(t *testing.T) {
	h := newHost(t, Config{Name: "before0"})
	h.wantEvents(up)
	h.ip("link set %s down")
	h.wantEvents(down)
	h.ip("link set %s name after0")
	nstest.IP(t, "link set after0 mtu 1300")
	h.wantEvents(mtu(1300))
	nstest.IP(t, "link set after0 up")
	h.wantEvents(up)
}

func TestDeletedInterfaceGoesDownAndFailsCalls(t *testing.T) {
	h := newHost(t, Config{})
	h.wantEvents(up)
	read := make(chan error)
	go func() {
		_, err := h.Queues()[0].Read(readFrames(1, link.MaxFrame))
		read <- err
	}()
	h.ip("link delete %s")
	h.wantEvents(down)
	const want = "somebody deleted the interface"
	if err := <-read; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the waiting Read = %v, want %q", err, want)
	}
	if _, err := h.Queues()[0].Read(readFrames(1, 100)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Read = %v, want %q", err, want)
	}
	frame := link.Frame{Data: udpPacket(t, udp4, nil)}
	if n, err := h.Queues()[0].Write([]link.Frame{frame}); n != 0 || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Write = %d, %v, want %q", n, err, want)
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestWriteToAnInterfaceThatIsDownIsDropped(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	h.ip("link set %s down")
	before, caps := h.Stats(), h.Caps()
	if before != (Stats{}) {
		t.Errorf("Stats = %+v, want nothing dropped yet", before)
	}
	frames := []link.Frame{{Data: udpPacket(t, f, []byte("one"))}, tcpFrame(t, f, 1000, pattern(3000))}
	if n, err := h.Queues()[0].Write(frames); n != 2 || err != nil {
		t.Errorf("Write = %d, %v, want 2, nil", n, err)
	}
	h.wantStats(Stats{WriteDown: 2})
	h.ip("link set %s up")
	h.write(h.Queues()[0], link.Frame{Data: udpPacket(t, f, []byte("two"))})
	if got := h.receive(socket); got != "two" {
		t.Errorf("received %q", got)
	}
	if h.Caps() != caps {
		t.Errorf("Caps = %+v, want %+v as before", h.Caps(), caps)
	}
}
