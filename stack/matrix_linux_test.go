package stack

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/tun"
)

// TestEveryWayOfATUNCarriesTheSameBytes moves data both ways at once over several connections,
// opened from either side, between us and the kernel: with offloads and without, over one
// queue and two, at every kind of MTU, by IPv4 and by IPv6.
func TestEveryWayOfATUNCarriesTheSameBytes(t *testing.T) {
	nstest.Require(t)
	network := 0
	for _, offload := range []tun.OffloadMode{tun.OffloadOn, tun.OffloadOff} {
		for _, queues := range []int{1, 2} {
			for _, mtu := range []int{576, 1280, 1500, 9000, 65535} {
				network++
				w := wayOfTUN{offload: offload, queues: queues, mtu: mtu, network: network}
				t.Run(fmt.Sprintf("offload=%v/queues=%d/mtu=%d", offload, queues, mtu), w.test)
			}
		}
	}
}

// wayOfTUN is one way to have a TUN.
type wayOfTUN struct {
	offload            tun.OffloadMode
	queues, mtu        int
	network            int // a number of its own
	stack              *Stack
	dev                *tun.Device
	judge              *judge
	kernel, ours       []netip.Addr
	bytesEachWay, each int
	acknowledged       *acknowledged // nil: nobody waits for that
	byLoad             bool          // not all queues are in use at any time
}

// open makes the TUN, the kernel's side of it and the stack.
func (w *wayOfTUN) open(t *testing.T) {
	t.Helper()
	nstest.Require(t)
	name := fmt.Sprintf("tunway%d", w.network)
	dev, err := tun.Open(tun.Config{Name: name, MTU: w.mtu, Queues: w.queues, Offload: w.offload})
	if err != nil {
		t.Fatal(err)
	}
	nets := prefixes(fmt.Sprintf("10.79.%d.1/24", w.network))
	if w.mtu >= 1280 { // RFC 8200, section 5
		nets = append(nets, prefixes(fmt.Sprintf("fd79:%d::1/64", w.network))...)
	}
	nstest.IP(t, "link set "+name+" up")
	cfg := Config{SpreadAlways: !w.byLoad}
	if w.acknowledged != nil {
		cfg.Observe = w.acknowledged.observe
	}
	for _, p := range nets {
		nstest.AddAddr(t, name, p)
		w.kernel, w.ours = append(w.kernel, p.Addr()), append(w.ours, p.Addr().Next())
		cfg.Addrs = append(cfg.Addrs, netip.PrefixFrom(p.Addr().Next(), p.Bits()))
	}
	w.dev, w.judge = dev, newJudge(w.mtu, w.offload != tun.OffloadOff)
	if w.stack, err = New(watched{dev, w.judge}, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.stack.Close() })
}

func (w *wayOfTUN) test(t *testing.T) {
	w.open(t)
	w.bytesEachWay, w.each = 1<<20, 2
	if race.Enabled {
		w.bytesEachWay = 1 << 18
	}
	var connections sync.WaitGroup
	for i := range w.ours {
		connections.Go(func() { w.exchange(t, w.kernelDials(t, w.ours[i])) })
		connections.Go(func() { w.exchange(t, w.weDial(t, w.kernel[i])) })
	}
	connections.Wait()
	w.judge.check(t)
	want := link.Caps{}
	if w.offload != tun.OffloadOff {
		want = w.dev.Caps() // what the kernel refuses of USO is its own affair
		want.Checksum, want.TSO4, want.TSO6 = true, true, true
	}
	if got := w.dev.Caps(); got != want {
		t.Errorf("the device can %+v in the end, want %+v", got, want)
	}
	if lost := w.dev.Stats(); lost != (tun.Stats{}) {
		t.Errorf("the TUN lost frames: %+v", lost)
	}
	// Where a super-segment is longer than a packet there must have been some, or the test shows little.
	if w.offload != tun.OffloadOff && w.mtu < 9000 && (w.judge.supers["in"] == 0 || w.judge.supers["out"] == 0) {
		t.Errorf("super-segments: %v, want some both ways", w.judge.supers)
	}
}

// kernelDials yields pairs of connections to addr, the kernel's end first.
func (w *wayOfTUN) kernelDials(t *testing.T, addr netip.Addr) [][2]net.Conn {
	l, err := w.stack.Listen("tcp", netip.AddrPortFrom(addr, 7000).String())
	if err != nil {
		t.Error(err)
		return nil
	}
	defer l.Close()
	return w.pairs(t, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, false)
}

// weDial is the same with us as the client.
func (w *wayOfTUN) weDial(t *testing.T, addr netip.Addr) [][2]net.Conn {
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 7001).String())
	if err != nil {
		t.Error(err)
		return nil
	}
	defer l.Close()
	return w.pairs(t, l, func() (net.Conn, error) { return w.stack.Dial("tcp", l.Addr().String()) }, true)
}

func (w *wayOfTUN) pairs(t *testing.T, l net.Listener, dial func() (net.Conn, error), acceptedFirst bool) (all [][2]net.Conn) {
	for range w.each {
		dialed, err := dial()
		if err != nil {
			t.Error(err)
			return all
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Error(err)
			return all
		}
		pair := [2]net.Conn{dialed, accepted}
		if acceptedFirst {
			pair = [2]net.Conn{accepted, dialed}
		}
		all = append(all, pair)
	}
	return all
}

// exchange sends on every connection both ways at once and compares digests.
func (w *wayOfTUN) exchange(t *testing.T, pairs [][2]net.Conn) {
	var all sync.WaitGroup
	for n, pair := range pairs {
		for i := range pair {
			all.Go(func() {
				defer pair[i].Close()
				w.transfer(t, pair[i], uint64(2*n+i), uint64(2*n+1-i))
			})
		}
	}
	all.Wait()
}

// halfCloser is what both kinds of connection can do.
type halfCloser interface{ CloseWrite() error }

// transfer sends the bytes of one seed, in pieces of many sizes, while it reads those of the
// other end's, to the end.
func (w *wayOfTUN) transfer(t *testing.T, c net.Conn, own, other uint64) {
	c.SetDeadline(time.Now().Add(time.Minute)) // for a connection that stands still
	var writer sync.WaitGroup
	writer.Go(func() {
		data, size := stream(own, w.bytesEachWay), rand.New(rand.NewPCG(own, 1))
		for len(data) > 0 {
			n := min(1+size.IntN(100_000), len(data))
			if _, err := c.Write(data[:n]); err != nil {
				t.Errorf("write with %d bytes to go: %v", len(data), err)
				return
			}
			data = data[n:]
		}
		if err := c.(halfCloser).CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	h := sha256.New()
	n, err := io.Copy(h, c)
	writer.Wait()
	if err != nil || n != int64(w.bytesEachWay) {
		t.Errorf("read %d of %d bytes, error %v", n, w.bytesEachWay, err)
		return
	}
	if want := sha256.Sum256(stream(other, w.bytesEachWay)); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Error("the bytes that arrived are not those that were sent")
	}
}

// stream is n bytes that no other seed has.
func stream(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}
