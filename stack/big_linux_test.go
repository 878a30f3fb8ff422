package stack

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/tun"
)

// written is a TUN that notes how long the frames are that are written to it.
type written struct {
	*tun.Device
	longest atomic.Int64 // in bytes
	unsaid  atomic.Int64 // frames of IPv4 whose header says a total length of 0
}

func (w *written) Queues() []link.Queue { return []link.Queue{writtenQueue{w.Device.Queues()[0], w}} }

type writtenQueue struct {
	link.Queue
	to *written
}

func (q writtenQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		q.to.note(frames[i].Data, frames[i].Len())
	}
	return q.Queue.Write(frames)
}

func (w *written) note(header []byte, n int) {
	for {
		longest := w.longest.Load()
		if int64(n) <= longest || w.longest.CompareAndSwap(longest, int64(n)) {
			break
		}
	}
	if header[0]>>4 == 4 && binary.BigEndian.Uint16(header[2:]) == 0 {
		w.unsaid.Add(1)
	}
}

// watchArrivals has f called with the beginning and the length of all that the kernel takes in by
// an interface, as a packet socket shows it, until stop is called.
func watchArrivals(t *testing.T, name string, f func(header []byte, n int)) (stop func()) {
	t.Helper()
	file := nstest.Tap(t, name)
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		header := make([]byte, 20)
		for {
			var n int
			var from syscall.Sockaddr
			var failed error
			err := raw.Read(func(fd uintptr) bool {
				n, from, failed = syscall.Recvfrom(int(fd), header, syscall.MSG_TRUNC)
				return failed != syscall.EAGAIN
			})
			if err != nil || failed != nil {
				return
			}
			if ll, ok := from.(*syscall.SockaddrLinklayer); ok && ll.Pkttype != syscall.PACKET_OUTGOING {
				f(header, n)
			}
		}
	}()
	return func() {
		file.Close()
		<-ended
	}
}

// TestBigTCPIsForTheKernelItself: what its own sockets receive may leave us in super-segments longer
// than any packet, what it forwards not, nor what somebody looks at; and all of it arrives.
func TestBigTCPIsForTheKernelItself(t *testing.T) {
	nstest.Require(t)
	dev := kernelTUN(t)
	to := &written{Device: dev}
	s := newStack(t, to, Config{Addrs: prefixes("10.77.9.2/24", "fd77:9::2/64")})
	defer s.Close()
	if dev.BigTo(netip.MustParseAddr("10.77.9.1")) == 0 {
		t.Skip("this kernel does not do BIG TCP, or somebody looks at all interfaces")
	}
	far := nstest.NewFarHost(t)
	near := func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }
	beyond := func(addr string) (c net.Conn, err error) {
		far.Do(func() { c, err = net.Dial("tcp", addr) })
		return c, err
	}
	for _, c := range []struct {
		name, ours  string
		dial        func(addr string) (net.Conn, error)
		isBig, look bool
	}{
		{"to the kernel", "10.77.9.2:7100", near, true, false},
		{"to the kernel, over IPv6", "[fd77:9::2]:7100", near, false, false},
		{"forwarded", "10.77.9.2:7100", beyond, false, false},
		{"looked at", "10.77.9.2:7100", near, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen written
			if c.look {
				defer watchArrivals(t, "tunstack", seen.note)()
				for dev.BigTo(netip.MustParseAddr("10.77.9.1")) != 0 {
					// Until it has noticed.
				}
			}
			to.longest.Store(0)
			to.unsaid.Store(0)
			got, want := transferTo(t, s, c.ours, c.dial)
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrived of %d, or others", len(got), len(want))
			}
			longest, unsaid := to.longest.Load(), to.unsaid.Load()
			if c.isBig && (longest <= 65535 || unsaid == 0) || !c.isBig && (longest > 65575 || unsaid > 0) {
				t.Errorf("the longest super-segment had %d bytes, and of %d the header does not say the length", longest, unsaid)
			}
			if longest < 20_000 || longest > 192<<10 {
				t.Errorf("the longest super-segment had %d bytes", longest)
			}
			if n := seen.longest.Load(); c.look && (n < 1500 || n > 65535 || seen.unsaid.Load() > 0) {
				t.Errorf("who looks sees %d bytes, and %d packets that do not say their length", n, seen.unsaid.Load())
			}
		})
	}
	if lost := dev.Stats(); lost.WriteMalformed != 0 || lost.WriteNoRoom != 0 {
		t.Errorf("the TUN lost frames: %+v", lost)
	}
}

// transferTo sends much to a client that dial connects to ours, and returns what has arrived and
// what was sent.
func transferTo(t *testing.T, s *Stack, ours string, dial func(addr string) (net.Conn, error)) (got, want []byte) {
	t.Helper()
	l, err := s.Listen("tcp", ours)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := dial(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	want = stream(1, 16<<20)
	go func() {
		server.Write(want)
		server.Close()
	}()
	if got, err = io.ReadAll(client); err != nil {
		t.Error(err)
	}
	return got, want
}
