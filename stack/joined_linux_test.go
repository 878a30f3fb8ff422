package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/tun"
	"github.com/a644562b/portico/tcp"
)

// lastHop is a device without offloads that counts the TCP segments that are written to it
// and sets CE on every hundredth of those that may carry it.
type lastHop struct {
	link.Device
	segments, ect, marked atomic.Int64
}

func (h *lastHop) Queues() []link.Queue { return []link.Queue{&lastHopQueue{h.Device.Queues()[0], h}} }

type lastHopQueue struct {
	link.Queue
	hop *lastHop
}

func (q *lastHopQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		b := frames[i].AppendTo(nil)
		segment, marked := q.hop.mark(b)
		if n, err := q.Queue.Write([]link.Frame{{Data: b}}); n != 1 {
			return i, err
		}
		q.hop.segments.Add(segment)
		q.hop.marked.Add(marked)
	}
	return len(frames), nil
}

// mark marks a packet if it is its turn, and returns by how much the counters grow when it has
// left.
func (h *lastHop) mark(b []byte) (segment, marked int64) {
	is4 := b[0]>>4 == 4
	proto, tos := b[6], b[1]>>4
	if is4 {
		proto, tos = b[9], b[1]
	}
	if proto != uint8(ip.TCP) {
		return 0, 0
	}
	if tos&ecnMask != ecnECT0 || h.ect.Add(1)%100 != 0 {
		return 1, 0
	}
	if !is4 {
		b[1] |= ecnCE << 4
		return 1, 1
	}
	b[1] |= ecnCE
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^checksum.Sum(0, b[:20]))
	return 1, 1
}

// routed is a stack on a TUN that joins segments, and one on another TUN whose packets, of the
// MTU at most, the kernel routes to the first.
type routed struct {
	near, far *Stack
	judge     *judge
	out       *lastHop // what the far one sends, as it leaves the wire
}

func newRouted(t *testing.T, wire impair.Config) *routed {
	t.Helper()
	nstest.Require(t)
	nstest.Sysctl(t, "ipv4/ip_forward", "1")
	nstest.Sysctl(t, "ipv6/conf/all/forwarding", "1")
	open := func(name string, number int, mode tun.OffloadMode) link.Device {
		d, err := tun.Open(tun.Config{Name: name, Offload: mode})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		// Nothing shall be lost but on the wire.
		nstest.IP(t, fmt.Sprintf("link set %s up txqueuelen 20000", name))
		nstest.AddAddr(t, name, netip.MustParsePrefix(fmt.Sprintf("10.81.%d.1/24", number)))
		nstest.AddAddr(t, name, netip.MustParsePrefix(fmt.Sprintf("fd81:%d::1/64", number)))
		return d
	}
	r := &routed{judge: newJudge(1500, true), out: &lastHop{Device: open("tunfar", 2, tun.OffloadOff)}}
	r.near = newStack(t, watched{open("tunnear", 1, tun.OffloadOn), r.judge}, Config{Addrs: prefixes("10.81.1.2/24", "fd81:1::2/64")})
	t.Cleanup(func() { r.near.Close() })
	dev, err := impair.Wrap(r.out, wire, impair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r.far = newStack(t, dev, Config{Addrs: prefixes("10.81.2.2/24", "fd81:2::2/64"), TCP: tcp.Params{ECN: tcp.ECNAsk}})
	t.Cleanup(func() { r.far.Close() })
	return r
}

// transfer opens connections from the far stack to addr, and sends much on each and a
// little back at once.
func (r *routed) transfer(t *testing.T, addr netip.Addr, connections int) {
	t.Helper()
	const much, little = 2 << 20, 100 << 10
	l, err := r.near.Listen("tcp", netip.AddrPortFrom(addr, 7000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all sync.WaitGroup
	for i := range connections {
		a, err := r.far.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []struct {
			c         net.Conn
			own, want []byte
		}{{a, stream(uint64(2*i), much), stream(uint64(2*i+1), little)}, {b, stream(uint64(2*i+1), little), stream(uint64(2*i), much)}} {
			end.c.(*Conn).SetDeadline(time.Now().Add(time.Minute)) // for a connection that stands still
			all.Go(func() {
				if _, err := end.c.Write(end.own); err != nil {
					t.Error(err)
				}
				end.c.(halfCloser).CloseWrite()
			})
			all.Go(func() {
				if got, err := io.ReadAll(end.c); err != nil || !bytes.Equal(got, end.want) {
					t.Errorf("%v: %d bytes of %d, and not as they were sent", err, len(got), len(end.want))
				}
			})
		}
		defer a.Close()
		defer b.Close()
	}
	all.Wait()
}

// settle closes the far stack and waits until the near one has taken in all that it sent: a
// datagram of the kernel's comes behind that.
func (r *routed) settle(t *testing.T) {
	t.Helper()
	r.far.Close()
	u, err := r.near.ListenPacket("udp", "10.81.1.2:7001")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	k, err := net.Dial("udp", u.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err = k.Write([]byte("all")); err == nil {
		_, _, err = u.ReadFrom(make([]byte, 10))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSegmentsThatARouterLeavesSmallAreJoined, and what arrives is what was sent, on paths that
// lose, reorder, repeat and spoil packets too. Segments and marks of congestion count as they were on the wire.
func TestSegmentsThatARouterLeavesSmallAreJoined(t *testing.T) {
	for name, wire := range map[string]impair.Config{
		"clean": {},
		"rough": {Seed: 1, Loss: 0.01, Reorder: 0.01, ReorderBy: 200 * time.Microsecond, Duplicate: 0.01},
		"wrong": {Seed: 2, Loss: 0.005, Corrupt: 0.01},
	} {
		for family, addr := range map[string]string{"IPv4": "10.81.1.2", "IPv6": "fd81:1::2"} {
			t.Run(name+"/"+family, func(t *testing.T) {
				r := newRouted(t, wire)
				r.transfer(t, netip.MustParseAddr(addr), 2)
				r.settle(t)
				st := r.near.Stats()
				if r.judge.supers["in"] == 0 {
					t.Errorf("%d segments were read as %d frames", st.TCP.InSegs, st.Device.InFrames)
				}
				if wire.Corrupt > 0 {
					return // not all that is written arrives, and marks come and go
				}
				r.judge.check(t)
				if got, want := int64(st.TCP.InSegs), r.out.segments.Load(); got != want {
					t.Errorf("%d segments counted, %d were on the wire", got, want)
				}
				if got, want := int64(st.IP.InCEPkts+st.IP6.InCEPkts), r.out.marked.Load(); got != want || got == 0 {
					t.Errorf("%d marks of congestion counted, %d were set", got, want)
				}
			})
		}
	}
}
