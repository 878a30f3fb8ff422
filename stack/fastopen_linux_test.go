package stack

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
)

// Numbers of Linux that package syscall does not have.
const (
	msgFastOpen = 0x20000000
	tcpFastOpen = 23
)

// fastCount is a counter of the kernel's about Fast Open.
func fastCount(t *testing.T, name string) int {
	t.Helper()
	return kernelCounter(t, "/proc/net/netstat", "TcpExt TCPFastOpen"+name)
}

// fastKernel puts a stack beside a kernel whose Fast Open is on.
func fastKernel(t *testing.T) *Stack {
	t.Helper()
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	nstest.IP(t, "tcp_metrics flush all") // no cookie of a stack before this one
	nstest.Sysctl(t, "ipv4/tcp_fastopen", "3")
	nstest.Sysctl(t, "ipv4/tcp_fastopen_blackhole_timeout_sec", "0") // older kernels: an hour
	return s
}

// TestKernelOpensFast: the kernel asks us for a cookie, shows it, and counts its data as taken
// with the SYN.
func TestKernelOpensFast(t *testing.T) {
	s := fastKernel(t)
	l, err := s.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.(*Listener).SetFastOpen(10)
	go serveEcho(l.(*Listener))
	data := bytes.Repeat([]byte("0123456789"), 1000) // more than a SYN carries
	failed := fastCount(t, "ActiveFail")
	for _, test := range []struct {
		family int
		addr   syscall.Sockaddr
	}{
		{syscall.AF_INET, &syscall.SockaddrInet4{Port: 80, Addr: netip.MustParseAddr("10.77.9.2").As4()}},
		{syscall.AF_INET6, &syscall.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("fd77:9::2").As16()}},
	} {
		before := fastCount(t, "Active")
		for i, want := range []int{0, 1, 2} {
			fd, err := syscall.Socket(test.family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			// Linux says for each how much it has taken; the socket is a blocking one.
			if err := syscall.Sendto(fd, data, msgFastOpen, test.addr); err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "socket")
			syscall.Shutdown(fd, syscall.SHUT_WR)
			got, err := io.ReadAll(f)
			f.Close()
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("exchange %d: %d bytes came back: %v", i, len(got), err)
			}
			if n := fastCount(t, "Active") - before; n != want {
				t.Errorf("after exchange %d the kernel has opened %d fast, want %d", i, n, want)
			}
		}
	}
	if n := fastCount(t, "ActiveFail") - failed; n != 0 {
		t.Errorf("the kernel counts %d fast openings that failed", n)
	}
}

// TestWeOpenFastToTheKernel: the kernel gives us a cookie, and takes our data with the SYN.
func TestWeOpenFastToTheKernel(t *testing.T) {
	s := fastKernel(t)
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if cerr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpFastOpen, 16)
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	d := Dialer{Stack: s, FastOpen: true}
	failed := fastCount(t, "PassiveFail")
	data := bytes.Repeat([]byte("0123456789"), 1000)
	for _, address := range []string{"10.77.9.1:7001", "[fd77:9::1]:7001"} {
		l, err := listen.Listen(context.Background(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { io.Copy(c, c); c.Close() }()
			}
		}()
		before := fastCount(t, "Passive")
		for i, want := range []int{0, 1, 2} {
			c, err := d.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			c.(*Conn).CloseWrite()
			got, err := io.ReadAll(c)
			c.Close()
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("exchange %d: %d bytes came back: %v", i, len(got), err)
			}
			if n := fastCount(t, "Passive") - before; n != want {
				t.Errorf("after exchange %d the kernel has been opened fast %d times, want %d", i, n, want)
			}
		}
	}
	if n := fastCount(t, "PassiveFail") - failed; n != 0 {
		t.Errorf("the kernel counts %d fast openings that failed", n)
	}
}
