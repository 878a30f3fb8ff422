package stack

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// fastOpenCounters are the names that wantCounted takes.
const fastOpenCounters = "TcpExtTCPFastOpen*"

// The option of RFC 7413.
const kindFastOpen layers.TCPOptionKind = 34

func fastOpenOption(cookie []byte) layers.TCPOption {
	return layers.TCPOption{OptionType: kindFastOpen, OptionLength: uint8(2 + len(cookie)), OptionData: cookie}
}

// cookieIn is the cookie in a segment; false: no option.
func cookieIn(s *layers.TCP) (cookie []byte, ok bool) {
	for _, o := range s.Options {
		if o.OptionType == kindFastOpen {
			return o.OptionData, true
		}
	}
	return nil, false
}

// ---- The server, and a peer in the hands of the test.

// fastServer is a wire with a listener at port 80 that takes up to pending fast openings.
func fastServer(t *testing.T, pending int, f func(t *testing.T, w *wire, l *Listener, client, server netip.Addr)) {
	t.Helper()
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.(*Listener).SetFastOpen(pending)
		f(t, w, l.(*Listener), client, server)
	})
}

// fastSYN sends a SYN with the option, and data, and returns the SYN,ACK.
func (r *remote) fastSYN(cookie []byte, data string) heardTCP {
	r.w.t.Helper()
	r.options = []layers.TCPOption{fastOpenOption(cookie)}
	r.say("S 0", data)
	r.options = nil
	h := r.w.heard()
	if len(h) == 0 || !h[0].SYN || !h[0].ACK {
		r.w.t.Fatalf("a SYN is answered by %v", h)
	}
	r.iss = h[0].Seq
	return h[0]
}

// ask asks for a cookie, by a handshake of its own from another port.
func (w *wire) ask(client, server netip.Addr) []byte {
	w.t.Helper()
	r := w.newRemote(ap(client, 999), ap(server, 80))
	synAck := r.fastSYN(nil, "")
	cookie, ok := cookieIn(synAck.TCP)
	if !ok || len(cookie) < 4 || len(cookie) > 16 || len(cookie)%2 != 0 {
		w.t.Fatalf("who asks for a cookie gets % x, %v", cookie, ok)
	}
	r.say("R 1")
	w.heard()
	return cookie
}

// TestFastOpenOfAServer: section 4.2.2. Data of the SYN is read, and the answer leaves, before
// the handshake is complete.
func TestFastOpenOfAServer(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		synAck := r.fastSYN(cookie, "request")
		if got := synAck.Ack - r.irs; got != 1+7 {
			t.Errorf("the SYN,ACK acknowledges %d numbers, want all", got)
		}
		if _, ok := cookieIn(synAck.TCP); ok {
			t.Error("a good cookie is given anew")
		}
		conn := accept(t, l)
		wantRead(t, conn, "request")
		mustWrite(t, conn, "answer")
		h := w.heard()
		if len(h) != 1 || string(h[0].Payload) != "answer" || h[0].Seq != r.iss+1 || h[0].SYN {
			t.Fatalf("before the third segment the stack says %v", h)
		}
		r.say("A 8 7")
		r.hear()
		if st := conn.Info().State; st != tcp.StateEstablished {
			t.Errorf("state %v", st)
		}
		r.say("FA 8 7")
		wantEOF(t, conn)
		conn.Close()
		r.hear("FA 7 9")
	})
}

// TestFastOpenNeedsAGoodCookie: otherwise the handshake is the usual one, data of the SYN is
// not acknowledged and comes again, and a good cookie is given.
func TestFastOpenNeedsAGoodCookie(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		good := w.ask(client, server)
		other := w.ask(netip.MustParseAddr(map[bool]string{true: "10.77.0.9", false: "fd77::9"}[client.Is4()]), server)
		flipped := slices.Clone(good)
		flipped[0] ^= 1
		for i, cookie := range [][]byte{flipped, other, good[:4], append(slices.Clone(good), 0, 0), nil} {
			r := w.newRemote(ap(client, uint16(1000+i)), ap(server, 80))
			synAck := r.fastSYN(cookie, "request")
			if got := synAck.Ack - r.irs; got != 1 {
				t.Errorf("cookie % x: %d numbers are acknowledged", cookie, got)
			}
			if given, _ := cookieIn(synAck.TCP); !bytes.Equal(given, good) {
				t.Errorf("cookie % x: given is % x, want % x", cookie, given, good)
			}
			r.say("PA 1 1", "request")
			conn := accept(t, l)
			wantRead(t, conn, "request")
			conn.Close()
			w.heard()
		}
		wantCounted(t, w.s, "TcpExtTCPFastOpenPassiveFail 4, TcpExtTCPFastOpenCookieReqd 3", fastOpenCounters)
	})
}

// TestFastOpenOptionOfABrokenLength: what is no cookie by its length is no option.
func TestFastOpenOptionOfABrokenLength(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		for i, n := range []int{1, 2, 3, 5, 7, 9, 17, 18} {
			r := w.newRemote(ap(client, uint16(1000+i)), ap(server, 80))
			if given, ok := cookieIn(r.fastSYN(make([]byte, n), "x").TCP); ok {
				t.Errorf("a cookie of %d bytes gets % x", n, given)
			}
		}
	})
}

// TestFastOpenIsOff by default: no cookie is given, and none is good.
func TestFastOpenIsOff(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		l.SetFastOpen(0)
		for i, cookie := range [][]byte{nil, cookie} {
			r := w.newRemote(ap(client, uint16(1000+i)), ap(server, 80))
			synAck := r.fastSYN(cookie, "request")
			if given, ok := cookieIn(synAck.TCP); ok || synAck.Ack != r.irs+1 {
				t.Errorf("given % x, acknowledged %d", given, synAck.Ack-r.irs)
			}
		}
	})
}

// TestFastOpenCookieOutlivesItsKey by a day, and its owner gets the next one.
func TestFastOpenCookieOutlivesItsKey(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		for i, want := range []struct{ taken, renewed bool }{{true, false}, {true, true}, {false, true}} {
			r := w.newRemote(ap(client, uint16(1000+i)), ap(server, 80))
			synAck := r.fastSYN(cookie, "request")
			given, ok := cookieIn(synAck.TCP)
			if taken := synAck.Ack == r.irs+8; taken != want.taken || ok != want.renewed || ok && bytes.Equal(given, cookie) {
				t.Errorf("after %d days: taken %v, given % x", i, taken, given)
			}
			r.say("RA 8 1")
			w.heard()
			<-time.After(24 * time.Hour)
		}
	})
}

// TestFastOpeningsArePendingOnlySoMany: PendingFastOpenRequests. Those that are reset count for
// a while (section 5.1), those that come to their end do not.
func TestFastOpeningsArePendingOnlySoMany(t *testing.T) {
	fastServer(t, 2, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		port := uint16(1000)
		open := func() (r *remote, fast bool) {
			port++
			r = w.newRemote(ap(client, port), ap(server, 80))
			fast = r.fastSYN(cookie, "x").Ack == r.irs+2
			return r, fast
		}
		want := func(what string, want bool) *remote {
			t.Helper()
			r, fast := open()
			if fast != want {
				t.Errorf("%s: opened fast is %v", what, fast)
			}
			return r
		}
		first := want("the first", true)
		second := want("the second", true)
		usual := want("a third", false)
		usual.say("PA 1 1", "x") // in the usual way it is welcome
		usual.hear("A 1 2")
		first.say("A 2 1")
		first.hear()
		third := want("once the first is complete", true)
		second.say("R 2")
		want("when one was reset", false)
		<-time.After(resetPause)
		w.heard()
		want("a minute after", true)
		third.say("R 2")
		w.heard()
		for range 4 {
			conn := accept(t, l)
			wantRead(t, conn, "x")
			conn.Close()
		}
		wantCounted(t, w.s, "TcpExtTCPFastOpenPassive 4, TcpExtTCPFastOpenListenOverflow 2, TcpExtTCPFastOpenCookieReqd 1", fastOpenCounters)
	})
}

// TestFastOpeningMayComeToNothing: the application hears of a reset, and of a peer that does
// not answer (R2 of a SYN,ACK), which is sent again alone and without the option.
func TestFastOpeningMayComeToNothing(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		r.fastSYN(cookie, "x")
		conn := accept(t, l)
		mustWrite(t, conn, "answer")
		r.hear("A 1 2 (6)")
		r.say("R 2")
		wantRead(t, conn, "x")
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after a reset: %v", err)
		}
		noConns(t, w.s)

		r = w.newRemote(ap(client, 1001), ap(server, 80))
		r.fastSYN(cookie, "x")
		conn = accept(t, l)
		mustWrite(t, conn, "answer")
		r.hear("A 1 2 (6)")
		for range 5 {
			<-time.After(16 * time.Second)
			for _, h := range w.heard() {
				if _, ok := cookieIn(h.TCP); ok || !h.SYN || len(h.Payload) > 0 {
					t.Errorf("sent again is %v", h)
				}
			}
		}
		wantRead(t, conn, "x")
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("without an answer: %v", err)
		}
		noConns(t, w.s)
	})
}

// TestFastOpeningRepairsItsAnswer: the SYN,ACK and the answer were lost.
func TestFastOpeningRepairsItsAnswer(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		r.fastSYN(cookie, "x")
		conn := accept(t, l)
		mustWrite(t, conn, "answer")
		conn.CloseWrite()
		r.hear("A 1 2 (6)") // the FIN waits for the handshake
		<-time.After(time.Second)
		r.hear("SA 0 2")
		r.say("S 0") // the peer has not heard it either
		r.hear("SA 0 2")
		r.say("A 2 1")
		r.hear("A 1 2 (6)", "FA 7 2")
		r.say("A 2 8")
		r.hear()
		wantRead(t, conn, "x")
		r.say("FA 2 8")
		<-time.After(time.Second)
		r.hear("A 8 3")
		wantEOF(t, conn)
	})
}

// TestFINOfAFastSYNComesAgain: it is not acknowledged with the data.
func TestFINOfAFastSYNComesAgain(t *testing.T) {
	fastServer(t, 10, func(t *testing.T, w *wire, l *Listener, client, server netip.Addr) {
		cookie := w.ask(client, server)
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		r.options = []layers.TCPOption{fastOpenOption(cookie)}
		r.say("SF 0", "x")
		r.options = nil
		r.hear("SA 0 2")
		conn := accept(t, l)
		wantRead(t, conn, "x")
		r.say("FA 2 1")
		<-time.After(time.Second)
		r.hear("A 1 3")
		wantEOF(t, conn)
	})
}

// ---- The client, and a server in the hands of the test.
