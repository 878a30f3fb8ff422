package stack

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// synTo is a SYN from a spoofed address to one that is nobody's.
func synTo(i int) []byte {
	return tcpPacket(ap(spoofed(i), 1024), netip.MustParseAddrPort("203.0.113.7:80"), "S", uint32(i), 0, "")
}

// TestFloodOfForwardedSYNsIsBounded: RFC 4987. Where a handler accepts whoever asks, handshakes
// that nobody completes make way for others, the oldest first, and silently: the peer may
// not know of it. Who means it comes in all the same.
func TestFloodOfForwardedSYNsIsBounded(t *testing.T) {
	const most, n = 8, 1000
	failed := make(chan error, n)
	accepted := make(chan *Conn, n)
	cfg := serverConfig()
	cfg.Forward = Forward{MaxTCP: most, TCP: func(r *TCPRequest) {
		c, err := r.Accept()
		if err != nil {
			failed <- err
			return
		}
		accepted <- c
	}}
	withWire(t, cfg, func(t *testing.T, w *wire) {
		failed, accepted = make(chan error, n), make(chan *Conn, n)
		for i := range n {
			w.raw(synTo(i))
			if got := len(w.s.Conns()); got > most {
				t.Errorf("%d handshakes after %d SYNs, want %d at most", got, i+1, most)
				break
			}
			synAck := <-w.sent
			if i == n-1 {
				iss := decode(t, synAck).Seq
				w.raw(tcpPacket(ap(spoofed(i), 1024), netip.MustParseAddrPort("203.0.113.7:80"), "A", uint32(i+1), iss+1, ""))
			}
		}
		w.want() // no resets
		if len(failed) != n-most || len(accepted) != 1 {
			t.Errorf("%d of %d handshakes have failed, and %d led to a connection", len(failed), n, len(accepted))
		}
		c := <-accepted
		if st := c.Info().State; st != tcp.StateEstablished {
			t.Errorf("the connection of who means it is in %v", st)
		}
		c.SetLinger(0)
		c.Close()
		<-time.After(3 * time.Minute)
		for len(w.sent) > 0 {
			<-w.sent
		}
		if got := len(w.s.Conns()); got != 0 || len(failed) != n-1 {
			t.Errorf("%d connections are left, %d handshakes have failed", got, len(failed))
		}
		for i := range n - 1 {
			if err, want := <-failed, syscall.ECONNABORTED; i < n-most && !errors.Is(err, want) {
				t.Errorf("a handshake that made way failed with %v, want %v", err, want)
			}
		}
	})
}

// TestNextRequestIsNotForgotten: a handshake comes to nothing, and the peer begins anew before
// Accept has returned. What Accept leaves behind then is the next request, about which the handler
// is not asked twice.
func TestNextRequestIsNotForgotten(t *testing.T) {
	asked := 0
	decide := make(chan bool)
	cfg := serverConfig()
	cfg.Forward = Forward{TCP: func(r *TCPRequest) {
		if asked++; asked == 1 {
			if _, err := r.Accept(); err == nil {
				t.Error("a handshake that was reset is complete")
			}
			return
		}
		<-decide
	}}
	withWire(t, cfg, func(t *testing.T, w *wire) {
		decide = make(chan bool)
		from, to := ap(client4, 1000), netip.MustParseAddrPort("203.0.113.7:80")
		syn := func(seq uint32) []byte { return tcpPacket(from, to, "S", seq, 0, "") }
		w.raw(syn(0))
		<-w.sent // the SYN,ACK
		// Both are of one batch: no goroutine but the engine's runs in between.
		both := []link.Frame{{Data: tcpPacket(from, to, "R", 1, 0, "")}, {Data: syn(1000)}}
		if _, err := w.dev.Queues()[0].Write(both); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.raw(syn(1000))
		if asked != 2 {
			t.Errorf("the handler was asked %d times, want 2", asked)
		}
		close(decide)
		synctest.Wait()
		for len(w.sent) > 0 {
			<-w.sent
		}
	})
}
