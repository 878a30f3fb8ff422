package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// narrow is a device with a router behind it whose next link carries less than the
// device: packets beyond that are dropped, and unless it is silenced the router says so.
type narrow struct {
	link.Device
	far    link.Device // the other end of the wire, by which the router's errors come back
	mtu    int
	silent bool

	mu      sync.Mutex
	largest int // of the packets that got through
	refused int // packets that did not
}

// narrowTo changes what the link carries, and returns what has been counted since the last
// time.
func (n *narrow) narrowTo(mtu int) (refused, largest int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	refused, largest = n.refused, n.largest
	n.mtu, n.refused, n.largest = mtu, 0, 0
	return refused, largest
}

func (n *narrow) Queues() []link.Queue {
	var queues []link.Queue
	for _, q := range n.Device.Queues() {
		queues = append(queues, &narrowQueue{q, n})
	}
	return queues
}

type narrowQueue struct {
	link.Queue
	n *narrow
}

// Write lets pass what is small enough, a super-segment by the pieces that it stands for.
func (q *narrowQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		f := &frames[i]
		size := f.Len()
		if f.GSO != link.GSONone {
			size = int(f.HeaderLen) + int(f.GSOSize)
		}
		q.n.mu.Lock()
		if size > q.n.mtu {
			q.n.refused++
			q.n.mu.Unlock()
			if !q.n.silent {
				answer := q.n.tooBig(f)
				time.AfterFunc(5*time.Millisecond, func() {
					q.n.far.Queues()[0].Write([]link.Frame{{Data: answer}})
				})
			}
			continue
		}
		q.n.largest = max(q.n.largest, size)
		q.n.mu.Unlock()
		if _, err := q.Queue.Write(frames[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(frames), nil
}

// tooBig is what a router says about a packet, which it quotes in part.
func (n *narrow) tooBig(f *link.Frame) []byte {
	b := append([]byte(nil), f.Data...)
	for _, p := range f.Payload {
		b = append(b, p...)
	}
	b = b[:min(len(b), 128)]
	if b[0]>>4 == 6 {
		dst, _ := netip.AddrFromSlice(b[8:24])
		return packet(netip.MustParseAddr("fd77::fe"), dst, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)},
			gopacket.Payload(binary.BigEndian.AppendUint32(nil, uint32(n.mtu))), gopacket.Payload(b))
	}
	dst, _ := netip.AddrFromSlice(b[12:16])
	return packet(netip.MustParseAddr("10.77.0.254"), dst,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(n.mtu)}, gopacket.Payload(b))
}

// TestTransferThroughANarrowPath: a client whose own link carries 1,500 bytes sends
// through a hop that carries less, and which says so or does not. Everything arrives;
// without ICMP the path is used to within 8 bytes of what it carries.
func TestTransferThroughANarrowPath(t *testing.T) {
	data := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	for _, silent := range []bool{false, true} {
		for _, server := range []string{"10.77.0.2:80", "[fd77::2]:80"} {
			for _, mtu := range []int{1280, 1400, 1492} {
				for _, caps := range []link.Caps{{}, {Checksum: true, TSO4: true, TSO6: true}} {
					name := fmt.Sprintf("%s MTU %d silent %v offload %v", server, mtu, silent, caps.TSO4)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { throughNarrowPath(t, server, mtu, silent, caps, data) })
					})
				}
			}
		}
	}
}

func throughNarrowPath(t *testing.T, address string, mtu int, silent bool, caps link.Caps, data []byte) {
	a, b := pipe.New(pipe.Config{Caps: caps})
	router := &narrow{Device: a, far: b, mtu: mtu, silent: silent}
	h := newHostsOn(t, router, b, clientConfig(), serverConfig())
	defer h.close()
	l := h.listen(t, "tcp", ":80")
	got := make(chan []byte)
	go func() {
		c := accept(t, l)
		all, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		c.Close()
		got <- all
	}()
	c := h.dial(t, "tcp", address)
	start := time.Now()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if !bytes.Equal(<-got, data) {
		t.Error("other bytes arrived than were sent")
	}
	info := c.Info()
	switch {
	case silent && (router.largest < mtu-8 || router.largest > mtu):
		t.Errorf("the largest packet that got through had %d bytes", router.largest)
	case silent && time.Since(start) > 10*time.Second:
		t.Errorf("it took %v", time.Since(start))
	case !silent && router.largest != mtu:
		t.Errorf("the largest packet that got through had %d bytes", router.largest)
	case !silent && info.Timeouts != 0:
		t.Errorf("%d timeouts, though the router answered", info.Timeouts)
	case info.FastRecovery != 0:
		t.Errorf("%d recoveries: congestion control took a narrow path for a busy one", info.FastRecovery)
	}
	wantEOF(t, c)
	c.Close()
}

// TestPathMTULearntIsToldToConnectionsThatAreThere: what an error about a packet of one
// socket has taught, the connections to the same destination heed with their next
// segment (RFC 1191, section 6.2; RFC 8201, section 5.3), and those to others do not.
func TestPathMTULearntIsToldToConnectionsThatAreThere(t *testing.T) {
	for _, server := range []string{"10.77.0.2", "fd77::2"} {
		for _, teacher := range []string{"tcp", "udp"} {
			t.Run(server+" by "+teacher, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { learntPathIsTold(t, server, teacher) })
			})
		}
	}
}

func learntPathIsTold(t *testing.T, server, teacher string) {
	a, b := pipe.New(pipe.Config{})
	router := &narrow{Device: a, far: b, mtu: 1500}
	h := newHostsOn(t, router, b, clientConfig(), serverConfig())
	defer h.close()
	l := h.listen(t, "tcp", ":80")
	const size = 100_000
	transfer := func(c *Conn, at net.Conn) {
		t.Helper()
		go c.Write(noise(size))
		if got, err := io.ReadAll(io.LimitReader(at, size)); err != nil || !bytes.Equal(got, noise(size)) {
			t.Fatalf("%d bytes arrived: %v", len(got), err)
		}
	}
	idle := h.dial(t, "tcp", net.JoinHostPort(server, "80"))
	defer idle.Close()
	at := accept(t, l)
	defer at.Close()
	transfer(idle, at)

	router.narrowTo(1400)
	if teacher == "tcp" {
		other := h.dial(t, "tcp", net.JoinHostPort(server, "80"))
		defer other.Close()
		otherAt := accept(t, l)
		defer otherAt.Close()
		transfer(other, otherAt)
	} else {
		other, err := h.client.Dial("udp", net.JoinHostPort(server, "80"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		other.Write(noise(1450))
	}
	<-time.After(time.Second) // the error has come by then
	if refused, _ := router.narrowTo(1400); refused == 0 {
		t.Fatal("nothing was too big: nothing has been learnt")
	}
	transfer(idle, at)
	if refused, largest := router.narrowTo(1400); refused != 0 || largest != 1400 {
		t.Errorf("%d packets were too big, the largest that got through had %d bytes", refused, largest)
	}
}
