package stack

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/tcp"
)

// listenWith listens with settings.
func (w *wire) listenWith(lc ListenConfig, address string) *Listener {
	w.t.Helper()
	lc.Stack = w.s
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	return l.(*Listener)
}

// synTo sends a SYN to a port, and returns the stack's initial number out of the SYN,ACK,
// which must have these marks.
func (w *wire) synTo(client, server netip.AddrPort, want string) (iss uint32) {
	w.t.Helper()
	w.raw(tcpPacket(client, server, "S", 1, 0, ""))
	synctest.Wait()
	answer := <-w.sent
	if h := tcpOf(answer); !h.SYN || !h.ACK {
		w.t.Fatalf("a SYN is answered by %+v", h)
	}
	if got := marks(answer); got != want {
		w.t.Errorf("the SYN,ACK has %s, want %s", got, want)
	}
	return tcpOf(answer).Seq
}

// TestConnectionsInheritTheMarksOfTheListener: from the SYN,ACK on, as on Linux; those of
// another listener are not touched, and UDP sockets have them too.
func TestConnectionsInheritTheMarksOfTheListener(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		dscp := uint8(46)
		l := w.listenWith(ListenConfig{TTL: 9, DSCP: &dscp}, ":80")
		plain := w.listenWith(ListenConfig{}, ":81")
		iss := w.synTo(ap(client, 1000), ap(server, 80), "9/0xb8")
		w.raw(tcpPacket(ap(client, 1000), ap(server, 80), "A", 2, iss+1, ""))
		accept(t, l).Write([]byte("x"))
		w.marked("data", "9/0xb8")
		iss = w.synTo(ap(client, 1000), ap(server, 81), "64/0x00")
		w.raw(tcpPacket(ap(client, 1000), ap(server, 81), "A", 2, iss+1, ""))
		accept(t, plain).Write([]byte("x"))
		w.marked("data from the other listener", "64/0x00")

		lc := ListenConfig{Stack: w.s, TTL: 9, DSCP: &dscp}
		u, err := lc.ListenPacket(context.Background(), "udp", ":53")
		if err != nil {
			t.Fatal(err)
		}
		u.(*UDPConn).WriteToUDPAddrPort([]byte("x"), ap(client, 53))
		w.marked("a datagram", "9/0xb8")
	})
}

// TestListenControlHasEachConnectionFirst: its settings hold before anything is sent; it is
// asked once a connection, and where it refuses one that is reset and not accepted.
func TestListenControlHasEachConnectionFirst(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		asked := 0
		l := w.listenWith(ListenConfig{Control: func(c *Conn) error {
			asked++
			if c.RemoteAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port() == 1001 {
				return errors.New("not this one")
			}
			return errors.Join(c.SetDSCP(10), c.SetTTL(7), c.SetLinger(0))
		}}, ":80")
		refused := w.newRemote(ap(client, 1001), ap(server, 80))
		refused.say("S 0")
		refused.hear("SA 0 1")
		refused.say("A 1 1")
		refused.hear("RA 1 1")
		refused.say("A 1 1")
		refused.hear("R 1")

		iss := w.synTo(ap(client, 1000), ap(server, 80), "64/0x00")
		w.raw(tcpPacket(ap(client, 1000), ap(server, 80), "A", 2, iss+1, "a request with the ACK"))
		<-time.After(time.Second)
		w.marked("the ACK of data that came at once", "7/0x28")
		c := accept(t, l)
		wantRead(t, c, "a request with the ACK")
		c.Close()
		w.marked("the reset of the linger that Control has set", "7/0x28")
		if asked != 2 {
			t.Errorf("Control was asked %d times of two connections", asked)
		}
	})
}

// TestListenersKeepAlive: of a connection that nobody has accepted yet.
func TestListenersKeepAlive(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		w.listenWith(ListenConfig{KeepAlive: &tcp.KeepAlive{Enable: true, Idle: time.Minute}}, ":80")
		r := w.opened(client4, server4, 1000)
		<-time.After(time.Minute - 1)
		r.hear()
		<-time.After(1)
		r.hear("A 0 1")
	})
}

// TestListenConfigSaysWhatIsWrong: as soon as it listens.
func TestListenConfigSaysWhatIsWrong(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		dscp := uint8(64)
		lc := ListenConfig{Stack: w.s, DSCP: &dscp}
		const text = "listen tcp: the DSCP is 64; it must be 0 to 63: setsockopt: invalid argument"
		_, err := lc.Listen(context.Background(), "tcp", ":80")
		wantErr(t, err, syscall.EINVAL, text)
		_, err = lc.ListenPacket(context.Background(), "udp", ":80")
		wantErr(t, err, syscall.EINVAL, "listen udp: the DSCP is 64; it must be 0 to 63: setsockopt: invalid argument")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		lc.DSCP = nil
		if l, err := lc.Listen(ctx, "tcp", ":80"); err == nil || l != nil {
			t.Errorf("listens although its context has ended: %v", l)
		}
	})
}

// TestCookiesHaveTheMarksOfTheListener: a SYN cookie is a SYN,ACK like others, and Control
// sees what comes of it.
func TestCookiesHaveTheMarksOfTheListener(t *testing.T) {
	cfg := serverConfig()
	cfg.Backlog = 1
	withWire(t, cfg, func(t *testing.T, w *wire) {
		dscp := uint8(46)
		l := w.listenWith(ListenConfig{TTL: 9, DSCP: &dscp, Control: func(c *Conn) error { return c.SetTTL(8) }}, ":80")
		w.synTo(ap(client4, 1000), ap(server4, 80), "9/0xb8") // fills the SYN queue
		iss := w.synTo(ap(client4, 1001), ap(server4, 80), "9/0xb8")
		w.raw(tcpPacket(ap(client4, 1001), ap(server4, 80), "A", 2, iss+1, ""))
		accept(t, l).Write([]byte("x"))
		w.marked("data", "8/0xb8")
	})
}
