package stack

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
)

// elsewhere are addresses that are nobody's here.
var elsewhere = []string{"203.0.113.7", "2001:db8::7"}

// withForward runs a test between a client and a gateway that takes what f says.
func withForward(t *testing.T, f Forward, test func(t *testing.T, h *hosts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := serverConfig()
		cfg.Forward = f
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		defer h.close()
		test(t, h)
	})
}

func TestForwarderAcceptsForTheAddressThatWasAsked(t *testing.T) {
	for _, host := range elsewhere {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), 80)
		echo := func(r *TCPRequest) {
			if r.LocalAddr().String() != to.String() || r.Local() != to {
				t.Errorf("asked for %v", r.LocalAddr())
			}
			<-time.After(500 * time.Millisecond) // the handler reaches whoever is behind
			c, err := r.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			if c.LocalAddr().String() != to.String() || c.RemoteAddr().String() != r.RemoteAddr().String() {
				t.Errorf("accepted %v from %v", c.LocalAddr(), c.RemoteAddr())
			}
			got, err := io.ReadAll(c) // to the peer's half-close
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(c, "you said %s", got)
			c.Close()
			if _, err := r.Accept(); !errors.Is(err, errDecided) {
				t.Errorf("a second Accept: %v", err)
			}
		}
		withForward(t, Forward{TCP: echo}, func(t *testing.T, h *hosts) {
			start := time.Now()
			c := h.dial(t, "tcp", to.String())
			if d := time.Since(start); d < 500*time.Millisecond {
				t.Errorf("established after %v, before the handler accepted", d)
			}
			mustWrite(t, c, "hello")
			c.CloseWrite()
			wantRead(t, c, "you said hello")
			wantEOF(t, c)
			c.Close()
			if n := len(h.server.forwarder.tcp); n != 0 {
				t.Errorf("%d requests left", n)
			}
		})
	}
}

func TestForwarderRefusesTCPByReset(t *testing.T) {
	for name, handler := range map[string]func(*TCPRequest){
		"refused":   func(r *TCPRequest) { r.Refuse() },
		"undecided": func(r *TCPRequest) {},
	} {
		t.Run(name, func(t *testing.T) {
			withForward(t, Forward{TCP: handler}, func(t *testing.T, h *hosts) {
				for _, host := range elsewhere {
					to := netip.AddrPortFrom(netip.MustParseAddr(host), 80)
					_, err := h.client.Dial("tcp", to.String())
					wantErr(t, err, syscall.ECONNREFUSED, "dial tcp "+to.String()+": connect: connection refused")
				}
				noConns(t, h.server)
			})
		})
	}
}

// The stack of the tests on the wire is asked for a host that is not there.
func forwardWire(t *testing.T, f Forward, test func(t *testing.T, w *wire, from, to netip.AddrPort)) {
	t.Helper()
	cfg := serverConfig()
	cfg.Forward = f
	for _, host := range elsewhere {
		to := netip.MustParseAddr(host)
		client, _ := pairOf(to.Is6())
		withWire(t, cfg, func(t *testing.T, w *wire) { test(t, w, ap(client, 1000), ap(to, 7777)) })
	}
}

func TestNothingIsForwardedUnlessAsked(t *testing.T) {
	forwardWire(t, Forward{}, func(t *testing.T, w *wire, from, to netip.AddrPort) {
		// A socket of any address is one of our addresses only.
		w.udpSocket("udp", ":7777")
		w.s.Listen("tcp", ":7777")
		w.raw(udpPacket(from, to, "x"))
		w.raw(tcpPacket(from, to, "S", 1, 0, ""))
		w.want()
		if n := w.s.Stats().Drops["not_for_us"]; n != 2 {
			t.Errorf("%d drops: %v", n, w.s.Stats().Drops)
		}
	})
}

func TestForwarderAnswersNoEchoForOthersAndResetsStrays(t *testing.T) {
	all := Forward{TCP: func(r *TCPRequest) { r.Ignore() }, UDP: func(r *UDPRequest) { r.Ignore() }}
	forwardWire(t, all, func(t *testing.T, w *wire, from, to netip.AddrPort) {
		w.s.Listen("tcp", ":7777") // not asked about others
		w.raw(echoPacket(from.Addr(), to.Addr(), 7, 9, "hello"))
		w.raw(tcpPacket(from, to, "S", 1, 0, ""))
		w.raw(udpPacket(from, to, "x"))
		w.want()
		w.raw(tcpPacket(from, to, "A", 5, 77, ""))
		w.want(fmt.Sprintf("%v>%v TCP 7777>1000 RST seq 77 ack 0", to.Addr(), from.Addr()))
		w.s.forwarder.mu.Lock()
		defer w.s.forwarder.mu.Unlock()
		if n := len(w.s.forwarder.tcp) + len(w.s.forwarder.flows); n != 0 {
			t.Errorf("%d requests left", n)
		}
	})
}

func TestForwarderBoundsWhatIsUndecided(t *testing.T) {
	asked := make(chan bool, 100)
	release := make(chan bool)
	f := Forward{MaxTCP: 3, MaxUDP: 3,
		TCP: func(r *TCPRequest) { asked <- true; <-release; r.Ignore() },
		UDP: func(r *UDPRequest) { asked <- true; <-release; r.Ignore() },
	}
	cfg := serverConfig()
	cfg.Forward = f
	synctest.Test(t, func(t *testing.T) {
		asked, release = make(chan bool, 100), make(chan bool)
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		to := netip.MustParseAddrPort("203.0.113.7:80")
		for range 5 {
			go h.client.Dial("tcp", to.String())
			c, err := h.client.Dial("udp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("one"))
			c.Write([]byte("two")) // of the same flow
		}
		<-time.After(100 * time.Millisecond)
		if n := len(asked); n != 6 {
			t.Errorf("handlers were asked %d times, want 3 and 3", n)
		}
		if n := h.server.Stats().Drops["forward_full"]; n != 2+4 {
			t.Errorf("%d drops", n)
		}
		close(release)
		h.close()
	})
}

func TestForwardedFlowIsAConnection(t *testing.T) {
	for _, host := range elsewhere {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), 7777)
		ended := make(chan time.Time, 1)
		requests := 0
		dns := func(r *UDPRequest) {
			requests++
			if r.Local() != to {
				t.Errorf("asked for %v", r.Local())
			}
			u, err := r.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer u.Close()
			b := make([]byte, 100)
			for {
				n, err := u.Read(b)
				if err != nil {
					if err != io.EOF {
						t.Errorf("the idle flow ended with %v", err)
					}
					ended <- time.Now()
					return
				}
				fmt.Fprintf(u, "answer to %s", b[:n])
			}
		}
		synctest.Test(t, func(t *testing.T) {
			ended = make(chan time.Time, 1)
			cfg := serverConfig()
			cfg.Forward = Forward{UDP: dns, UDPIdle: 10 * time.Second}
			h := newHosts(t, clientConfig(), cfg, pipe.Config{})
			defer h.close()
			c := h.dialUDP(t, to.String())
			for i := range 3 {
				mustWrite(t, c, fmt.Sprint("question ", i))
				wantRead(t, c, fmt.Sprint("answer to question ", i))
				<-time.After(8 * time.Second)
			}
			last := time.Now().Add(-8 * time.Second)
			if d := (<-ended).Sub(last); d != 10*time.Second {
				t.Errorf("the flow ended %v after the last datagram", d)
			}
			// It may come back.
			mustWrite(t, c, "again")
			wantRead(t, c, "answer to again")
			<-ended
			if requests != 2 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}

func TestForwarderRefusesFlowsByPortUnreachable(t *testing.T) {
	withForward(t, Forward{UDP: func(r *UDPRequest) {}}, func(t *testing.T, h *hosts) {
		for _, host := range elsewhere {
			c := h.dialUDP(t, netip.AddrPortFrom(netip.MustParseAddr(host), 7777).String())
			mustWrite(t, c, "anybody?")
			_, err := c.Read(make([]byte, 1))
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("Read: %v", err)
			}
		}
		if n := h.server.forwarder.held.Load(); n != 0 {
			t.Errorf("%d bytes held by no flow", n)
		}
	})
}
