package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// bindTests say which two sockets can be bound to one port, as on Linux.
var bindTests = []struct {
	network1, host1 string
	network2, host2 string
	conflict        bool
}{
	{"4", "10.77.0.2", "4", "10.77.0.2", true},
	{"4", "10.77.0.2", "", "10.77.0.2", true},
	{"4", "10.77.0.2", "4", "10.77.0.3", false},
	{"4", "", "4", "", true},
	{"4", "", "4", "10.77.0.2", true},
	{"4", "10.77.0.2", "4", "", true},
	{"4", "0.0.0.0", "4", "10.77.0.2", true},
	{"4", "", "6", "", false},
	{"6", "", "4", "", false},
	{"6", "", "6", "", true},
	{"6", "[::]", "6", "[fd77::2]", true},
	{"6", "", "4", "10.77.0.2", false},
	{"", "", "4", "", true},
	{"", "", "6", "", true},
	{"", "", "", "", true},
	{"", "", "", "10.77.0.2", true},
	{"", "", "", "[fd77::2]", true},
	{"", "0.0.0.0", "6", "", true}, // as in net, "0.0.0.0" with "tcp" is both families
	{"", "[::]", "4", "", true},
	{"", "[fd77::2]", "", "10.77.0.2", false},
	{"", "127.0.0.1", "", "10.77.0.2", false},
	{"", "127.0.0.1", "", "", true},
}

// binder is Listen or ListenPacket.
type binder func(s *Stack, family, host string) (io.Closer, error)

func bindTCP(s *Stack, family, host string) (io.Closer, error) {
	return s.Listen("tcp"+family, host+":80")
}

func bindUDP(s *Stack, family, host string) (io.Closer, error) {
	return s.ListenPacket("udp"+family, host+":80")
}

func TestBindConflictsAsOnLinux(t *testing.T) {
	for name, bind := range map[string]binder{"tcp": bindTCP, "udp": bindUDP} {
		for _, test := range bindTests {
			t.Run(fmt.Sprintf("%s%s %s with %s %s", name, test.network1, test.host1, test.network2, test.host2), func(t *testing.T) {
				a, b := pipe.New(pipe.Config{})
				defer b.Close()
				s := newStack(t, a, Config{Addrs: prefixes("10.77.0.2/24", "10.77.0.3/24", "fd77::2/64")})
				defer s.Close()
				first, err := bind(s, test.network1, test.host1)
				if err != nil {
					t.Fatal(err)
				}
				second, err := bind(s, test.network2, test.host2)
				switch {
				case test.conflict && !errors.Is(err, syscall.EADDRINUSE):
					t.Fatalf("second bind: %v, want EADDRINUSE", err)
				case !test.conflict && err != nil:
					t.Fatalf("second bind: %v", err)
				}
				if second != nil && !test.conflict {
					second.Close()
				}
				// A closed socket leaves its port.
				first.Close()
				again, err := bind(s, test.network2, test.host2)
				if err != nil {
					t.Fatalf("bind after Close: %v", err)
				}
				again.Close()
				if n := len(s.listeners.ports) + len(s.sockets.ports); n != 0 {
					t.Errorf("%d ports left in the tables", n)
				}
			})
		}
	}
}

func TestListenErrorsReadAsInNet(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		taken := h.listen(t, "tcp", ":80")
		defer taken.Close()
		for _, test := range []struct {
			network, address string
			is               error
			text             string
		}{
			{"tcp", ":80", syscall.EADDRINUSE, "listen tcp :80: bind: address already in use"},
			{"tcp4", "10.77.0.2:80", syscall.EADDRINUSE, "listen tcp4 10.77.0.2:80: bind: address already in use"},
			{"tcp", "10.77.0.9:80", syscall.EADDRNOTAVAIL, "listen tcp 10.77.0.9:80: bind: cannot assign requested address"},
			{"tcp", "[fd77::9]:0", syscall.EADDRNOTAVAIL, "listen tcp [fd77::9]:0: bind: cannot assign requested address"},
			{"tcp9", ":80", net.UnknownNetworkError("tcp9"), "listen tcp9: unknown network tcp9"},
			{"udp", ":80", nil, "listen udp :80: address :80: unexpected address type"},
			{"tcp", "80", nil, "listen tcp: address 80: missing port in address"},
			{"tcp", ":65536", nil, "listen tcp: address 65536: invalid port"},
			{"tcp", ":-1", nil, "listen tcp: address -1: invalid port"},
			{"tcp", ":nosuch", nil, "listen tcp: lookup tcp/nosuch: unknown port"},
			{"tcp4", "[::]:81", nil, "listen tcp4: address ::: no suitable address found"},
			{"tcp6", "10.77.0.2:81", nil, "listen tcp6: address 10.77.0.2: no suitable address found"},
			{"tcp", "[fd77::2%eth0]:81", nil, "listen tcp: address fd77::2%eth0: no device \"eth0\" here; the zone is pipe1, or none"},
			{"tcp", "server:81", nil, "listen tcp: lookup server: the stack has no resolver; give Config.DNS or Config.Resolver, or a literal address"},
		} {
			l, err := h.server.Listen(test.network, test.address)
			if l != nil {
				t.Fatalf("Listen(%s, %s) succeeded", test.network, test.address)
			}
			var op *net.OpError
			if !errors.As(err, &op) || err.Error() != test.text {
				t.Errorf("Listen(%s, %s):\n%v, want\n%s", test.network, test.address, err, test.text)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Listen(%s, %s): %v is not %v", test.network, test.address, err, test.is)
			}
		}
		_, err := h.server.ListenPacket("tcp", ":80")
		if want := "listen tcp: address :80: unexpected address type"; err == nil || err.Error() != want {
			t.Errorf("ListenPacket: %v, want %s", err, want)
		}
	})
}

func TestListenerAddrIsWhatWasBound(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, test := range []struct{ network, address, want string }{
			{"tcp", ":80", "[::]:80"},
			{"tcp4", ":81", "0.0.0.0:81"},
			{"tcp6", ":82", "[::]:82"},
			{"tcp", "10.77.0.2:83", "10.77.0.2:83"},
			{"tcp", "[::ffff:10.77.0.2]:84", "10.77.0.2:84"},
			{"tcp", "[fd77::2]:85", "[fd77::2]:85"},
			{"tcp", "127.0.0.1:http", "127.0.0.1:80"},
		} {
			if test.address == "127.0.0.1:http" {
				h.server.listeners.all()[0].Close()
			}
			l, err := h.server.Listen(test.network, test.address)
			if errors.Is(err, syscall.EADDRINUSE) {
				continue // port 80 is taken by the first, or was closed above
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Addr().String(); got != test.want {
				t.Errorf("Listen(%s, %s).Addr() = %s, want %s", test.network, test.address, got, test.want)
			}
		}
	})
}

func TestPortZeroIsAFreeEphemeralPort(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		seen := make(map[int]bool)
		for range 50 {
			l := h.listen(t, "tcp", ":0")
			port := l.Addr().(*net.TCPAddr).Port
			if seen[port] || port < firstEphemeral || port > lastEphemeral {
				t.Fatalf("got port %d", port)
			}
			seen[port] = true
		}
		l := h.listen(t, "tcp", "")
		if port := l.Addr().(*net.TCPAddr).Port; seen[port] || port == 0 {
			t.Fatalf("got port %d for an empty address", port)
		}
	})
}

func TestEphemeralPortsToListenOnRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := serverConfig()
		cfg.PortRange = [2]uint16{100, 102}
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		defer h.close()
		for range 3 {
			h.listen(t, "tcp", ":0")
		}
		_, err := h.server.Listen("tcp", ":0")
		wantErr(t, err, syscall.EADDRNOTAVAIL, "listen tcp :0: every port from 100 to 102 is in use; "+
			"widen PortRange or add an address: cannot assign requested address")
	})
}

func TestWildcardListenerTakesItsFamilies(t *testing.T) {
	for _, test := range []struct {
		network   string
		four, six bool
	}{{"tcp", true, true}, {"tcp4", true, false}, {"tcp6", false, true}} {
		t.Run(test.network, func(t *testing.T) {
			withHosts(t, func(t *testing.T, h *hosts) {
				h.listen(t, test.network, ":80")
				for address, want := range map[string]bool{"10.77.0.2:80": test.four, "[fd77::2]:80": test.six} {
					c, err := h.client.Dial("tcp", address)
					if got := err == nil; got != want {
						t.Errorf("Dial %s: %v", address, err)
					}
					if c != nil {
						c.Close()
					}
				}
			})
		})
	}
}

func TestPortOfConnectionsCanBeListenedOn(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t) // closes its listener
		l := h.listen(t, "tcp", ":80")
		server.Close() // FIN-WAIT, then TIME-WAIT at port 80
		client.Close()
		<-time.After(time.Second)
		if conns := h.server.Conns(); len(conns) != 1 || conns[0].State != tcp.StateTimeWait {
			t.Fatalf("server's connections: %+v", conns)
		}
		l.Close()
		h.listen(t, "tcp", ":80").Close()
	})
}

func TestAcceptDeadlineAndClose(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", ":80")
		start := time.Now()
		l.SetDeadline(start.Add(time.Minute))
		_, err := l.Accept()
		wantErr(t, err, os.ErrDeadlineExceeded, "accept tcp [::]:80: i/o timeout")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("Accept waited %v", d)
		}
		l.SetDeadline(time.Time{})
		done := make(chan error)
		go func() {
			_, err := l.Accept()
			done <- err
		}()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantErr(t, <-done, net.ErrClosed, "accept tcp [::]:80: use of closed network connection")
		wantErr(t, l.Close(), net.ErrClosed, "close tcp [::]:80: use of closed network connection")
		wantErr(t, l.SetDeadline(time.Time{}), net.ErrClosed, "set tcp [::]:80: use of closed network connection")
	})
}

func TestClosingListenerResetsWhatWasNotAccepted(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", ":80")
		accepted := h.dial(t, "tcp", "10.77.0.2:80")
		server := accept(t, l)
		waiting := h.dial(t, "tcp", "10.77.0.2:80")
		l.Close()
		_, err := waiting.Read(make([]byte, 1))
		wantErr(t, err, syscall.ECONNRESET, fmt.Sprintf("read tcp %v->10.77.0.2:80: read: connection reset by peer", waiting.LocalAddr()))
		mustWrite(t, accepted, "still here")
		wantRead(t, server, "still here")
		if n := len(h.server.Conns()); n != 1 {
			t.Errorf("%d connections left, want the accepted one", n)
		}
	})
}

func TestFullBacklogIgnoresSYNsUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := serverConfig()
		cfg.Backlog = 2
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		h.dial(t, "tcp", "10.77.0.2:80")
		h.dial(t, "tcp", "10.77.0.2:80")
		third := make(chan error)
		go func() {
			_, err := h.client.Dial("tcp", "10.77.0.2:80")
			third <- err
		}()
		<-time.After(10 * time.Second)
		if info := h.server.Listeners()[0]; info.Queued != 2 || info.Backlog != 2 {
			t.Errorf("listener: %+v", info)
		}
		if n := h.server.Stats().Drops["tcp_backlog_full"]; n == 0 {
			t.Error("no SYN was counted as dropped")
		}
		accept(t, l)
		if err := <-third; err != nil {
			t.Errorf("third dial, once there was room: %v", err)
		}
	})
}
