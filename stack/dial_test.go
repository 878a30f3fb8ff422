package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

func TestDialErrorsReadAsInNet(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, test := range []struct {
			network, address string
			is               error
			text             string
		}{
			{"tcp", "10.77.0.2:81", syscall.ECONNREFUSED, "dial tcp 10.77.0.2:81: connect: connection refused"},
			{"tcp6", "[fd77::2]:81", syscall.ECONNREFUSED, "dial tcp6 [fd77::2]:81: connect: connection refused"},
			{"tcp", "127.0.0.1:81", syscall.ECONNREFUSED, "dial tcp 127.0.0.1:81: connect: connection refused"},
			{"tcp", "255.255.255.255:80", syscall.ENETUNREACH, "dial tcp 255.255.255.255:80: connect: network is unreachable"},
			{"tcp", "10.77.0.255:80", syscall.ENETUNREACH, "dial tcp 10.77.0.255:80: connect: network is unreachable"},
			{"tcp", "224.0.0.1:80", syscall.ENETUNREACH, "dial tcp 224.0.0.1:80: connect: network is unreachable"},
			{"tcp", "[ff02::1]:80", syscall.ENETUNREACH, "dial tcp [ff02::1%pipe0]:80: connect: network is unreachable"},
			{"tcp", "10.77.0.2:0", nil, "dial tcp 10.77.0.2:0: " + errPortZero.Error()},
			{"tcp", "", nil, "dial tcp: missing address"},
			{"tcp", "10.77.0.2", nil, "dial tcp: address 10.77.0.2: missing port in address"},
			{"tcp", "10.77.0.2:66666", nil, "dial tcp: address 66666: invalid port"},
			{"tcp4", "[fd77::2]:80", nil, "dial tcp4: address fd77::2: no suitable address found"},
			{"quic", "10.77.0.2:80", net.UnknownNetworkError("quic"), "dial quic: unknown network quic"},
			{"tcp", "example.com:80", nil, "dial tcp: lookup example.com: the stack has no resolver; give Config.DNS or Config.Resolver, or a literal address"},
		} {
			c, err := h.client.Dial(test.network, test.address)
			if c != nil {
				t.Fatalf("Dial(%s, %s) succeeded", test.network, test.address)
			}
			var op *net.OpError
			if !errors.As(err, &op) || err.Error() != test.text {
				t.Errorf("Dial(%s, %s):\n%v, want\n%s", test.network, test.address, err, test.text)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Dial(%s, %s): %v is not %v", test.network, test.address, err, test.is)
			}
		}
		noConns(t, h.client)
		noConns(t, h.server)
	})
}

func TestDialWithoutAddressOfTheFamilyIsUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, Config{Addrs: prefixes("10.77.0.1/24")}, serverConfig(), pipe.Config{})
		defer h.close()
		_, err := h.client.Dial("tcp", "[fd77::2]:80")
		wantErr(t, err, syscall.ENETUNREACH, "dial tcp [fd77::2]:80: connect: network is unreachable")
		_, err = h.client.Dial("udp", "[fd77::2]:80")
		wantErr(t, err, syscall.ENETUNREACH, "dial udp [fd77::2]:80: connect: network is unreachable")
	})
}

// noAnswer is an address on the wire that nobody has.
const noAnswer = "10.77.0.99:80"

func TestDialCancelLeavesNothing(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() {
			_, err := h.client.DialContext(ctx, "tcp", noAnswer)
			result <- err
		}()
		<-time.After(2 * time.Second)
		if conns := h.client.Conns(); len(conns) != 1 || conns[0].State != tcp.StateSynSent {
			t.Fatalf("connections while dialing: %+v", conns)
		}
		cancel()
		wantErr(t, <-result, context.Canceled, "dial tcp "+noAnswer+": operation was canceled")
		noConns(t, h.client)

		sent := h.client.Stats().Device.OutFrames
		<-time.After(time.Hour)
		if n := h.client.Stats().Device.OutFrames - sent; n != 0 {
			t.Errorf("%d frames were sent after the dial was canceled", n)
		}
	})
}

func TestDialTimeoutIsATimeout(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		_, err := h.client.DialContext(ctx, "tcp", noAnswer)
		wantErr(t, err, os.ErrDeadlineExceeded, "dial tcp "+noAnswer+": i/o timeout")
		wantErr(t, err, context.DeadlineExceeded, "dial tcp "+noAnswer+": i/o timeout")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		if d := time.Since(start); d != 1500*time.Millisecond {
			t.Errorf("Dial waited %v", d)
		}
		d := Dialer{Stack: h.client, Timeout: time.Second}
		_, err = d.Dial("tcp", noAnswer)
		wantErr(t, err, os.ErrDeadlineExceeded, "dial tcp "+noAnswer+": i/o timeout")
		noConns(t, h.client)
	})
}

func TestDialGivesUpByItselfWithETIMEDOUT(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		_, err := h.client.Dial("tcp", noAnswer)
		wantErr(t, err, syscall.ETIMEDOUT, "dial tcp "+noAnswer+": connect: connection timed out")
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		noConns(t, h.client)
	})
}

func TestDialWithEndedContextSendsNothing(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := h.client.DialContext(ctx, "tcp", "10.77.0.2:80")
		wantErr(t, err, context.Canceled, "dial tcp 10.77.0.2:80: operation was canceled")
		if n := h.client.Stats().Device.OutFrames; n != 0 {
			t.Errorf("%d frames were sent", n)
		}
	})
}

func TestContextDoesNotAffectEstablishedConnection(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", ":80")
		ctx, cancel := context.WithCancel(t.Context())
		c, err := h.client.DialContext(ctx, "tcp", "10.77.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		mustWrite(t, c, "hello")
		wantRead(t, accept(t, l), "hello")
	})
}

func TestEphemeralPortsRunOutWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.PortRange = [2]uint16{40000, 40004}
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		h.listen(t, "tcp", ":80")
		h.listen(t, "tcp", ":81")
		// A port that is listened on is not used, and one connection each for the rest.
		if _, err := h.client.Listen("tcp", ":40002"); err != nil {
			t.Fatal(err)
		}
		used := make(map[int]bool)
		var last *Conn
		for range 4 {
			last = h.dial(t, "tcp", "10.77.0.2:80")
			used[last.LocalAddr().(*net.TCPAddr).Port] = true
		}
		if len(used) != 4 || used[40002] {
			t.Fatalf("ports used: %v", used)
		}
		_, err := h.client.Dial("tcp", "10.77.0.2:80")
		wantErr(t, err, syscall.EADDRNOTAVAIL, "dial tcp 10.77.0.2:80: every port from 40000 to 40004 is in use towards 10.77.0.2:80; "+
			"widen PortRange or add an address: cannot assign requested address")
		// Another destination has them all again.
		h.dial(t, "tcp", "10.77.0.2:81")
		// And a port that is given back can be used.
		last.SetLinger(0)
		last.Close()
		h.dial(t, "tcp", "10.77.0.2:80")
	})
}

func TestLocalAddressIsThatOfTheLongestPrefix(t *testing.T) {
	a := addrsOf(Config{Addrs: prefixes("10.0.0.1/8", "10.77.0.1/16", "10.77.5.1/24", "192.0.2.1/32", "fd77::1/64")})
	for dst, want := range map[string]string{
		"10.1.2.3":     "10.0.0.1",
		"10.77.2.3":    "10.77.0.1",
		"10.77.5.9":    "10.77.5.1",
		"198.51.100.1": "10.0.0.1",
		"2001:db8::1":  "fd77::1",
		"192.0.2.1":    "192.0.2.1",
		"127.0.0.5":    "127.0.0.1",
		"::1":          "::1",
	} {
		got, err := a.source(netip.MustParseAddr(dst))
		if err != nil || got.String() != want {
			t.Errorf("source(%s) = %v, %v, want %s", dst, got, err, want)
		}
	}
	only4 := addrsOf(Config{Addrs: prefixes("10.0.0.1/8")})
	if src, err := only4.source(netip.MustParseAddr("fd77::1")); err != syscall.ENETUNREACH {
		t.Errorf("an IPv4 stack has a source for IPv6: %v, %v", src, err)
	}
}

func TestStackDialsItself(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l, err := h.client.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		for address, from := range map[string]string{
			"10.77.0.1:80": "10.77.0.1", "[fd77::1]:80": "fd77::1",
			"127.0.0.1:80": "127.0.0.1", "127.1.2.3:80": "127.0.0.1", "[::1]:80": "::1",
			":80": "10.77.0.1", "0.0.0.0:80": "10.77.0.1", "[::]:80": "10.77.0.1",
		} {
			c := h.dialFrom(t, h.client, address)
			s := accept(t, l.(*Listener))
			if ip := c.LocalAddr().(*net.TCPAddr).IP.String(); ip != from {
				t.Errorf("dial %s came from %s, want %s", address, ip, from)
			}
			mustWrite(t, c, "hello")
			wantRead(t, s, "hello")
			c.Close()
			s.Close()
		}
		synctest.Wait()
		if st := h.client.Stats(); st.Device.InFrames != st.Device.OutFrames || h.server.Stats().Device.InFrames != 0 {
			t.Errorf("packets to ourselves went over the wire: %+v", st)
		}
		c := h.dialFrom(t, h.client, ":80")
		c.Close()
		if _, err := h.client.Dial("tcp6", ":81"); err == nil || err.Error() != "dial tcp6 [fd77::1]:81: connect: connection refused" {
			t.Errorf("dial tcp6 without a host: %v", err)
		}
	})
}

func (h *hosts) dialFrom(t *testing.T, s *Stack, address string) *Conn {
	t.Helper()
	c, err := s.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

func TestDialerLocalAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.Addrs = append(cfg.Addrs, netip.MustParsePrefix("10.77.0.7/24"))
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		h.listen(t, "tcp", ":80")
		h.listen(t, "tcp", ":81")
		if _, err := h.client.Listen("tcp", "10.77.0.1:500"); err != nil {
			t.Fatal(err)
		}
		addr := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
		for _, test := range []struct {
			local   net.Addr
			address string
			want    string // the local address, or the error
		}{
			{addr("10.77.0.7:1000"), "10.77.0.2:80", "10.77.0.7:1000"},
			{addr("10.77.0.7:1000"), "10.77.0.2:80", "dial tcp 10.77.0.7:1000->10.77.0.2:80: bind: address already in use"},
			{addr("10.77.0.7:1000"), "10.77.0.2:81", "10.77.0.7:1000"},
			{&net.TCPAddr{Port: 1001}, "10.77.0.2:80", "10.77.0.1:1001"},
			{addr("0.0.0.0:1002"), "10.77.0.2:80", "10.77.0.1:1002"},
			{addr("10.77.0.1:500"), "10.77.0.2:80", "dial tcp 10.77.0.1:500->10.77.0.2:80: bind: address already in use"},
			{addr("10.77.0.9:1"), "10.77.0.2:80", "dial tcp 10.77.0.9:1->10.77.0.2:80: bind: cannot assign requested address"},
			{addr("[fd77::1]:1"), "10.77.0.2:80", "dial tcp: address [fd77::1]:1: no suitable address found"},
			{addr("127.0.0.1:1"), "10.77.0.2:80", "dial tcp 127.0.0.1:1->10.77.0.2:80: connect: network is unreachable"},
			{&net.UDPAddr{Port: 1}, "10.77.0.2:80", "dial tcp: address :1: mismatched local address type"},
			{&net.UnixAddr{Name: "x"}, "10.77.0.2:80", "dial tcp: address x: mismatched local address type"},
		} {
			d := Dialer{Stack: h.client, LocalAddr: test.local}
			c, err := d.Dial("tcp", test.address)
			got := fmt.Sprint(err)
			if err == nil {
				got = c.LocalAddr().String()
			}
			if got != test.want {
				t.Errorf("dial from %v:\n%s, want\n%s", test.local, got, test.want)
			}
		}
	})
}

func TestDialerKeepAlive(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		h.listen(t, "tcp", ":80")
		d := Dialer{Stack: h.client, KeepAlive: &tcp.KeepAlive{Enable: true, Idle: time.Minute}}
		c, err := d.Dial("tcp", "10.77.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		info := c.(*Conn).Info()
		if !info.KeepAlive || info.Timer != "keepalive" || info.Expires != time.Minute {
			t.Errorf("keep-alive %v, timer %q in %v", info.KeepAlive, info.Timer, info.Expires)
		}
	})
}

// TestRFC6056PortsOfOneDestinationFollowEachOther: whatever is dialed in between, for it is
// counted elsewhere (algorithm 4). Destinations of one counter would disturb each other: under
// this secret these have four.
func TestRFC6056PortsOfOneDestinationFollowEachOther(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		h.client.secret = [32]byte{1}
		destinations := []string{"10.77.0.2:80", "10.77.0.2:81", "10.77.0.2:82", "[fd77::2]:80"}
		for _, to := range destinations[:3] {
			h.listen(t, "tcp", to[len("10.77.0.2"):])
		}
		previous := make(map[string]int)
		for i := range 10 {
			for _, to := range destinations {
				port := h.dial(t, "tcp", to).LocalAddr().(*net.TCPAddr).Port
				if i > 0 && port != previous[to]+1 && port != firstEphemeral {
					t.Errorf("port %d after %d to %s", port, previous[to], to)
				}
				previous[to] = port
			}
		}
	})
}
