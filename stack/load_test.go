package stack

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

// TestFourConnectionsEchoAtOnceWithoutAStandstill fills all windows in both directions.
// The wire takes no time and loses only what its queue has no room for: a transfer that
// had to wait for a timer more than a few times would show in the virtual time.
func TestFourConnectionsEchoAtOnceWithoutAStandstill(t *testing.T) {
	const conns, size = 4, 8 << 20
	for name, wire := range map[string]pipe.Config{"plain": {}, "offloads": allOffloads()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHosts(t, clientConfig(), serverConfig(), wire)
				defer h.close()
				l := h.listen(t, "tcp", ":7")
				go serveEcho(l)
				start := time.Now()
				var wg sync.WaitGroup
				for i := range conns {
					wg.Go(func() {
						c := h.dial(t, "tcp", "10.77.0.2:7")
						data := make([]byte, size)
						rand.NewChaCha8([32]byte{byte(i)}).Read(data)
						if err := exchange(c, c, data, data); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// serveEcho echoes every connection of l until l is closed.
func serveEcho(l *Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

func TestAThousandConnectionsAtOnce(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", ":7")
		go serveEcho(l)
		const n = 1000
		conns := make([]*Conn, n)
		for i := range conns {
			conns[i] = h.dial(t, "tcp", []string{"10.77.0.2:7", "[fd77::2]:7"}[i%2])
		}
		if got := len(h.server.Conns()); got != n {
			t.Errorf("the server has %d connections", got)
		}
		for i, c := range conns {
			mustWrite(t, c, fmt.Sprintf("connection %4d", i))
		}
		for i, c := range conns {
			wantRead(t, c, fmt.Sprintf("connection %4d", i))
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
		noConns(t, h.server)
	})
}

// TestSimultaneousOpen is figure 8 of RFC 9293: two SYNs cross on a slow wire.
func TestSimultaneousOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		slow := impair.Config{Delay: 10 * time.Millisecond}
		dev, err := impair.Wrap(a, slow, slow)
		if err != nil {
			t.Fatal(err)
		}
		h := newHostsOn(t, dev, b, clientConfig(), serverConfig())
		defer h.close()
		dial := func(s *Stack, from, to string) *Conn {
			d := Dialer{Stack: s, LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
			c, err := d.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return nil
			}
			return c.(*Conn)
		}
		other := make(chan *Conn)
		go func() { other <- dial(h.server, "10.77.0.2:6000", "10.77.0.1:5000") }()
		c := dial(h.client, "10.77.0.1:5000", "10.77.0.2:6000")
		s := <-other
		if t.Failed() {
			return
		}
		mustWrite(t, c, "one")
		mustWrite(t, s, "two")
		wantRead(t, s, "one")
		wantRead(t, c, "two")
		if n := len(h.client.Conns()) + len(h.server.Conns()); n != 2 {
			t.Errorf("%d ends of one connection", n)
		}
		// And both close at the same time (figure 13).
		c.Close()
		s.Close()
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
		noConns(t, h.server)
	})
}

func TestSeveralQueuesShareTheConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, clientConfig(), serverConfig(), pipe.Config{Queues: 4})
		defer h.close()
		go serveEcho(h.listen(t, "tcp", ":7"))
		data := bytes.Repeat([]byte("0123456789"), 10_000)
		var wg sync.WaitGroup
		conns := make([]*Conn, 32)
		for i := range conns {
			conns[i] = h.dial(t, "tcp", "10.77.0.2:7")
			wg.Go(func() {
				if err := exchange(conns[i], conns[i], data, data); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		lanes := make(map[uint16]bool)
		for _, c := range conns {
			lanes[c.route().lane] = true
		}
		if len(lanes) != 4 {
			t.Errorf("%d of 4 queues were used", len(lanes))
		}
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
		noConns(t, h.server)
	})
}
