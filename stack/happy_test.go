package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

// script is a resolver that answers for each family after a time: "50ms ADDR ADDR",
// "0s none", "1s fail", "never". never does not heed the context either.
type script struct{ ip4, ip6 string }

func (s script) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	words := strings.Fields(s.ip4)
	if network == "ip6" {
		words = strings.Fields(s.ip6)
	}
	if words[0] == "never" {
		select {}
	}
	after, err := time.ParseDuration(words[0])
	if err != nil {
		panic(err)
	}
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var addrs []netip.Addr
	for _, w := range words[1:] {
		switch w {
		case "none":
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		case "fail":
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		}
		addrs = append(addrs, netip.MustParseAddr(w))
	}
	return addrs, nil
}

// globalConfig is that of a host with a global address of IPv6: RFC 6724 prefers IPv4 to
// fd77::1.
func globalConfig(n int) Config {
	return Config{Addrs: prefixes(fmt.Sprintf("10.77.0.%d/24", n), fmt.Sprintf("2001:db8::%d/64", n))}
}

// Who wins the race, and when, over a wire without delay: 10.77.0.2 and 2001:db8::2 answer,
// the port 81 of theirs refuses, and nobody is at other addresses.
func TestHappyEyeballs(t *testing.T) {
	const dead4, dead6, alive4, alive6 = "10.77.0.66", "2001:db8::66", "10.77.0.2", "2001:db8::2"
	for _, tt := range []struct {
		name     string
		ip4, ip6 string
		port     int
		delay    time.Duration
		timeout  time.Duration
		want     string // the winner
		at       time.Duration
	}{
		{"both at once: IPv6", "0s " + alive4, "0s " + alive6, 80, 0, 0, alive6, 0},
		{"IPv6 is dead: IPv4 after the attempt delay", "0s " + alive4, "0s " + dead6, 80, 0, 0, alive4, 250 * time.Millisecond},
		{"the delay of the user", "0s " + alive4, "0s " + dead6, 80, time.Second, 0, alive4, time.Second},
		{"not below 10 ms", "0s " + alive4, "0s " + dead6, 80, time.Millisecond, 0, alive4, 10 * time.Millisecond},
		{"A first, AAAA within 50 ms: IPv6", "0s " + alive4, "30ms " + alive6, 80, 0, 0, alive6, 30 * time.Millisecond},
		{"A first, AAAA too late: IPv4", "10ms " + alive4, "90ms " + alive6, 80, 0, 0, alive4, 60 * time.Millisecond},
		{"A first, no AAAA: at once", "0s " + alive4, "20ms none", 80, 0, 0, alive4, 20 * time.Millisecond},
		{"A first, AAAA fails: at once", "0s " + alive4, "20ms fail", 80, 0, 0, alive4, 20 * time.Millisecond},
		{"AAAA first: at once", "never", "0s " + alive6, 80, 0, 0, alive6, 0},
		{"AAAA dead and A late: when it comes", "400ms " + alive4, "0s " + dead6, 80, 0, 0, alive4, 400 * time.Millisecond},
		{"AAAA dead and A soon: after the attempt delay", "100ms " + alive4, "0s " + dead6, 80, 0, 0, alive4, 250 * time.Millisecond},
		{"A dead, AAAA late: after the attempt delay", "0s " + dead4, "100ms " + alive6, 80, 0, 0, alive6, 300 * time.Millisecond},
		{"by turns: the fourth", "0s " + dead4 + " " + alive4, "0s " + dead6 + " 2001:db8::67", 80, 0, 0, alive4, 750 * time.Millisecond},
		{"an unreachable family costs nothing", "0s " + alive4, "0s 2a00::1", 80, 0, 0, alive4, 0},
		{"one by one, half of the time for the first", "0s " + alive4, "0s " + dead6, 80, -1, 8 * time.Second, alive4, 4 * time.Second},
		{"one by one, at least two seconds", "0s " + alive4, "0s " + dead6, 80, -1, 3 * time.Second, alive4, 2 * time.Second},
		{"one by one waits for both families", "0s " + alive4, "90ms " + alive6, 80, -1, 0, alive6, 90 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if strings.HasPrefix(tt.ip4, "never") {
					tt.ip4 = "1h " + alive4 // a goroutine for ever would keep the bubble
				}
				client := globalConfig(1)
				client.Routes = routes("0.0.0.0/0")
				client.Resolver = script{tt.ip4, tt.ip6}
				h := newHosts(t, client, globalConfig(2), pipe.Config{})
				defer h.close()
				l := h.listen(t, "tcp", ":80")
				defer l.Close()
				start := time.Now()
				d := Dialer{Stack: h.client, FallbackDelay: tt.delay, Timeout: tt.timeout}
				c, err := d.Dial("tcp", fmt.Sprintf("name.test:%d", tt.port))
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				if got := c.RemoteAddr().(*net.TCPAddr).IP.String(); got != tt.want || took != tt.at {
					t.Errorf("%s after %v, want %s after %v", got, took, tt.want, tt.at)
				}
				synctest.Wait()
				if conns := h.client.Conns(); len(conns) != 1 {
					t.Errorf("the losers are left: %v", conns)
				}
				c.Close()
			})
		})
	}
}

// An attempt that is refused makes way for the next at once.
func TestRefusedAttemptMakesWayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := globalConfig(1)
		client.Resolver = script{"0s 10.77.0.2", "0s 2001:db8::2"}
		h := newHosts(t, client, globalConfig(2), pipe.Config{})
		defer h.close()
		l := h.listen(t, "tcp4", ":80")
		defer l.Close()
		start := time.Now()
		c := h.dial(t, "tcp", "name.test:80")
		if took := time.Since(start); took != 0 || c.RemoteAddr().String() != "10.77.0.2:80" {
			t.Errorf("%v after %v", c.RemoteAddr(), took)
		}
	})
}

// When each attempt begins: by turns of the families, in the order of RFC 6724 within each.
func TestAttemptsGoByTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := globalConfig(1)
		client.Resolver = script{"0s 10.77.0.61 10.77.0.62 10.77.0.63", "0s 2a00::1 2001:db8::61"} // the nearer last
		h := newHosts(t, client, globalConfig(2), pipe.Config{})
		defer h.close()
		var mu sync.Mutex
		var got []string
		start := time.Now()
		d := Dialer{Stack: h.client, Timeout: 3 * time.Second, Attempt: func(_ context.Context, network, address string) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf("%v %s %s", time.Since(start), network, address))
			return nil
		}}
		_, err := d.Dial("tcp", "name.test:80")
		want := "0s tcp [2001:db8::61]:80|250ms tcp 10.77.0.61:80|500ms tcp [2a00::1]:80|750ms tcp 10.77.0.62:80|1s tcp 10.77.0.63:80"
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("attempts:\n%s, want\n%s", s, want)
		}
		wantErr(t, err, os.ErrDeadlineExceeded, "dial tcp [2001:db8::61]:80: i/o timeout")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("failed after %v", took)
		}
		noConns(t, h.client)
	})
}

// Two handshakes under way when the first ends: the other is taken back on both sides.
func TestSecondHandshakeIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		client := globalConfig(1)
		client.Resolver = script{"0s 10.77.0.2", "0s 2001:db8::2"}
		path := impair.Config{Delay: 200 * time.Millisecond}
		slow, err := impair.Wrap(a, path, path)
		if err != nil {
			t.Fatal(err)
		}
		h := newHostsOn(t, slow, b, client, globalConfig(2))
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		start := time.Now()
		c := h.dial(t, "tcp", "name.test:80")
		if took := time.Since(start); took != 400*time.Millisecond || c.RemoteAddr().String() != "[2001:db8::2]:80" {
			t.Fatalf("%v after %v", c.RemoteAddr(), took)
		}
		<-time.After(time.Second)
		for _, s := range []*Stack{h.client, h.server} {
			if conns := s.Conns(); len(conns) != 1 {
				t.Errorf("%d connections", len(conns))
			}
		}
		accept(t, l).SetLinger(0)
		l.Close()
		c.SetLinger(0)
		c.Close()
	})
}

func TestDialOfANameFails(t *testing.T) {
	for name, tt := range map[string]struct {
		network  string
		ip4, ip6 string
		is       error
		text     string
		at       time.Duration
	}{
		"no such name":            {"tcp", "0s none", "0s none", nil, "dial tcp: lookup name.test: no such host", 0},
		"a failing server":        {"tcp", "0s none", "0s fail", nil, "dial tcp: lookup name.test: server misbehaving", 0},
		"no address":              {"tcp", "0s", "0s", nil, "dial tcp: lookup name.test: no such host", 0},
		"all refuse":              {"tcp", "0s 10.77.0.2", "0s 2001:db8::2", syscall.ECONNREFUSED, "dial tcp [2001:db8::2]:81: connect: connection refused", 0},
		"of the wanted family":    {"tcp4", "0s 10.77.0.2", "0s 2001:db8::2", syscall.ECONNREFUSED, "dial tcp4 10.77.0.2:81: connect: connection refused", 0},
		"no route":                {"tcp", "0s none", "0s 2a00::1", syscall.ENETUNREACH, "dial tcp [2a00::1]:81: connect: network is unreachable", 0},
		"the resolver is silent":  {"tcp", "1h", "1h", context.DeadlineExceeded, "dial tcp: lookup name.test: i/o timeout", 5 * time.Second},
		"no answer from anywhere": {"tcp", "0s 10.77.0.66", "0s none", os.ErrDeadlineExceeded, "dial tcp 10.77.0.66:81: i/o timeout", 5 * time.Second},
		"UDP, no such name":       {"udp", "0s none", "0s none", nil, "dial udp: lookup name.test: no such host", 0},
		"UDP, no route":           {"udp", "0s none", "0s 2a00::1", syscall.ENETUNREACH, "dial udp [2a00::1]:81: connect: network is unreachable", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := globalConfig(1)
				client.Routes = routes("0.0.0.0/0")
				client.Resolver = script{tt.ip4, tt.ip6}
				h := newHosts(t, client, globalConfig(2), pipe.Config{})
				defer h.close()
				start := time.Now()
				d := Dialer{Stack: h.client, Timeout: 5 * time.Second}
				c, err := d.Dial(tt.network, "name.test:81")
				if c != nil {
					t.Fatalf("dialed %v", c.RemoteAddr())
				}
				if took := time.Since(start); took != tt.at {
					t.Errorf("failed after %v, want %v", took, tt.at)
				}
				if err.Error() != tt.text {
					t.Errorf("error reads\n%v, want\n%s", err, tt.text)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is not %v", err, tt.is)
				}
				noConns(t, h.client)
			})
		})
	}
}

// A resolver that does not heed its context holds nobody up.
func TestDialIsCanceledDuringTheLookup(t *testing.T) {
	for _, delay := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			client := globalConfig(1)
			client.Resolver = ResolverFunc(func(context.Context, string, string) ([]netip.Addr, error) {
				<-release
				return nil, nil
			})
			h := newHosts(t, client, globalConfig(2), pipe.Config{})
			defer h.close()
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				synctest.Wait()
				cancel()
			}()
			d := Dialer{Stack: h.client, FallbackDelay: delay}
			_, err := d.DialContext(ctx, "tcp", "name.test:80")
			wantErr(t, err, context.Canceled, "dial tcp: lookup name.test: operation was canceled")
			close(release)
		})
	}
}

// A UDP socket goes to the first address by RFC 6724, and LocalAddr says of which family.
func TestUDPDialsTheFirstAddressOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := globalConfig(1)
		client.Resolver = script{"0s 10.77.0.2", "20ms 2001:db8::2"}
		h := newHosts(t, client, globalConfig(2), pipe.Config{})
		defer h.close()
		for local, want := range map[string]string{"": "[2001:db8::2]:53", "10.77.0.1:0": "10.77.0.2:53", "0.0.0.0:0": "[2001:db8::2]:53"} {
			d := Dialer{Stack: h.client}
			if local != "" {
				d.LocalAddr = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local))
			}
			c, err := d.Dial("udp", "name.test:domain")
			if err != nil {
				t.Fatal(err)
			}
			if got := c.RemoteAddr().String(); got != want {
				t.Errorf("from %q: %s, want %s", local, got, want)
			}
			c.Close()
		}
	})
}

// As in net: of both families the IPv4 address.
func TestListenByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := globalConfig(2)
		server.Resolver = script{"0s 10.77.0.2", "0s 2001:db8::2"}
		h := newHosts(t, globalConfig(1), server, pipe.Config{})
		defer h.close()
		for network, want := range map[string]string{"tcp": "10.77.0.2:80", "tcp6": "[2001:db8::2]:80"} {
			l := h.listen(t, network, "name.test:http")
			if got := l.Addr().String(); got != want {
				t.Errorf("%s: %s, want %s", network, got, want)
			}
			l.Close()
		}
		l := h.listen(t, "tcp", "localhost:80")
		defer l.Close()
		if got := l.Addr().String(); got != "127.0.0.1:80" {
			t.Errorf("localhost: %s", got)
		}
		for _, address := range []string{"localhost:80", "LOCALHOST.:80", "db.localhost:80"} {
			c, err := h.server.Dial("tcp", address) // ::1 refuses
			if err != nil || c.RemoteAddr().String() != "127.0.0.1:80" {
				t.Fatalf("%s: %v, %v", address, c, err)
			}
			c.Close()
			accept(t, l).Close()
		}
	})
}
