package stack

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
)

// arrivals are the lengths of what the kernel takes in by an interface, as a packet socket shows
// them.
type arrivals struct {
	file    *os.File
	longest atomic.Int64 // in bytes
	unsaid  atomic.Int64 // packets of IPv4 whose header says a total length of 0
	ended   chan struct{}
}

func watchArrivals(t *testing.T, name string) *arrivals {
	t.Helper()
	in, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	all := uint16(syscall.ETH_P_ALL<<8 | syscall.ETH_P_ALL>>8)
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: in.Index}); err != nil {
		t.Fatal(err)
	}
	a := &arrivals{file: os.NewFile(uintptr(fd), "packets"), ended: make(chan struct{})}
	go a.run()
	t.Cleanup(a.stop)
	return a
}

func (a *arrivals) run() {
	defer close(a.ended)
	raw, err := a.file.SyscallConn()
	if err != nil {
		return
	}
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
		if ll, ok := from.(*syscall.SockaddrLinklayer); !ok || ll.Pkttype == syscall.PACKET_OUTGOING {
			continue
		}
		a.longest.Store(max(a.longest.Load(), int64(n)))
		if header[0]>>4 == 4 && binary.BigEndian.Uint16(header[2:]) == 0 {
			a.unsaid.Add(1)
		}
	}
}

func (a *arrivals) stop() {
	a.file.Close()
	<-a.ended
}

// TestBigTCPIsForTheKernelItself: what its own sockets receive may come in super-segments longer
// than any packet, what it forwards not, and all of it arrives.
func TestBigTCPIsForTheKernelItself(t *testing.T) {
	nstest.Require(t)
	s, dev := kernelNeighbour(t)
	if dev.BigTo(netip.MustParseAddr("10.77.9.1")) == 0 {
		t.Skip("this kernel does not do BIG TCP")
	}
	far := nstest.NewFarHost(t)
	for name, c := range map[string]struct {
		ours  string
		dial  func(addr string) (net.Conn, error)
		isBig bool
	}{
		"to the kernel":            {"10.77.9.2:7100", func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }, true},
		"to the kernel, over IPv6": {"[fd77:9::2]:7100", func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }, false},
		"forwarded": {"10.77.9.2:7101", func(addr string) (c net.Conn, err error) {
			far.Do(func() { c, err = net.Dial("tcp", addr) })
			return c, err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := s.Listen("tcp", c.ours)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			seen := watchArrivals(t, "tunstack")
			client, err := c.dial(c.ours)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			data := stream(1, 16<<20)
			go func() {
				server.Write(data)
				server.Close()
			}()
			got, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived of %d, or others: %v", len(got), len(data), err)
			}
			seen.stop()
			longest, unsaid := seen.longest.Load(), seen.unsaid.Load()
			if c.isBig && (longest <= 65535 || unsaid == 0) || !c.isBig && (longest > 65575 || unsaid > 0) {
				t.Errorf("the longest super-segment had %d bytes, and of %d the header does not say the length", longest, unsaid)
			}
			if longest < 20_000 || longest > 192<<10 {
				t.Errorf("the longest super-segment had %d bytes", longest)
			}
		})
	}
	if lost := dev.Stats(); lost.WriteMalformed != 0 || lost.WriteNoRoom != 0 {
		t.Errorf("the TUN lost frames: %+v", lost)
	}
}
