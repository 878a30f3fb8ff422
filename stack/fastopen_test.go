package stack

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

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

// fastClient is a wire to a peer that listens at port 80 of other.
type fastClient struct {
	*wire
	dialer   Dialer
	us, peer netip.Addr
}

func withFastClient(t *testing.T, f func(t *testing.T, c *fastClient)) {
	t.Helper()
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		f(t, &fastClient{w, Dialer{Stack: w.s, FastOpen: true}, server, client})
	})
}

// dialed is the result of a dial in the background.
type dialed struct {
	conn *Conn
	err  error
}

func (c *fastClient) dial() chan dialed {
	result := make(chan dialed, 1)
	go func() {
		conn, err := c.dialer.Dial("tcp", ap(c.peer, 80).String())
		if err != nil {
			result <- dialed{nil, err}
			return
		}
		result <- dialed{conn.(*Conn), nil}
	}()
	synctest.Wait()
	return result
}

// syn is the SYN that the stack has sent, and the peer that it was sent to.
func (c *fastClient) syn() (heardTCP, *remote) {
	c.t.Helper()
	h := c.heard()
	if len(h) != 1 || !h[0].SYN || h[0].ACK {
		c.t.Fatalf("the stack says %v, want a SYN", h)
	}
	r := c.newRemote(h[0].dst, h[0].src)
	r.iss = h[0].Seq
	return h[0], r
}

var someCookie = []byte{1, 2, 3, 4, 5, 6}

// answer sends a SYN,ACK of so many numbers, with an MSS and a cookie; nil: without.
func (r *remote) answer(acked int, mss uint16, cookie []byte) {
	r.w.t.Helper()
	r.options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{byte(mss >> 8), byte(mss)}}}
	if cookie != nil {
		r.options = append(r.options, fastOpenOption(cookie))
	}
	r.say("SA 0 " + itoa(uint16(acked)))
	r.options = nil
}

// learn lets the stack ask for a cookie, and gives it one.
func (c *fastClient) learn(mss uint16) {
	c.t.Helper()
	result := c.dial()
	syn, r := c.syn()
	if cookie, ok := cookieIn(syn.TCP); !ok || len(cookie) != 0 || len(syn.Payload) != 0 {
		c.t.Fatalf("the first SYN has % x, %v and %d bytes, want the wish for a cookie", cookie, ok, len(syn.Payload))
	}
	r.answer(1, mss, someCookie)
	r.hear("A 1 1")
	d := <-result
	if d.err != nil {
		c.t.Fatal(d.err)
	}
	d.conn.SetLinger(0)
	d.conn.Close()
	c.heard()
}

// open dials where a cookie is known, writes, and returns the SYN.
func (c *fastClient) open(data string) (*Conn, heardTCP, *remote) {
	c.t.Helper()
	result := c.dial()
	if h := c.heard(); len(h) != 0 {
		c.t.Fatalf("before there is data the stack says %v", h)
	}
	d := <-result
	if d.err != nil {
		c.t.Fatal(d.err)
	}
	mustWrite(c.t, d.conn, data)
	syn, r := c.syn()
	return d.conn, syn, r
}

// TestFastOpenOfAClient: section 4.2.2: the cookie and as much of the data as the server took
// the last time, less the options.
func TestFastOpenOfAClient(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(600)
		data := strings.Repeat("0123456789", 100)
		conn, syn, r := c.open(data)
		if cookie, _ := cookieIn(syn.TCP); !bytes.Equal(cookie, someCookie) {
			t.Errorf("the cookie is % x", cookie)
		}
		n := len(syn.Payload)
		if room := 600 - int(syn.DataOffset)*4 + 20; n != room || string(syn.Payload) != data[:n] {
			t.Errorf("the SYN has %d bytes, want the first %d", n, room)
		}
		r.answer(1+n, 600, nil)
		h := c.heard()
		var rest []byte
		for _, s := range h {
			rest = append(rest, s.Payload...)
		}
		if len(h) == 0 || h[0].Ack != r.irs+1 || h[0].Seq != r.iss+1+uint32(n) || string(rest) != data[n:] {
			t.Fatalf("after the SYN,ACK the stack says %v", h)
		}
		r.say("PA 1 1001", "answer")
		wantRead(t, conn, "answer")
	})
}

// TestFastOpenOfACopy: what io.Copy hands over goes with the SYN as well.
func TestFastOpenOfACopy(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		for _, n := range []int{1, 700, 40_000} {
			conn := (<-c.dial()).conn
			data := strings.Repeat("x", n)
			if got, err := io.Copy(conn, strings.NewReader(data)); got != int64(n) || err != nil {
				t.Fatalf("Copy = %d, %v", got, err)
			}
			if syn, _ := c.syn(); len(syn.Payload) != min(n, 1000-int(syn.DataOffset)*4+20) {
				t.Errorf("of %d bytes the SYN has %d", n, len(syn.Payload))
			}
		}
	})
}

// TestDataOfASYNGoesAgain when the SYN,ACK does not acknowledge it, with the ACK; part of it when
// it acknowledges part.
func TestDataOfASYNGoesAgain(t *testing.T) {
	for _, acked := range []int{0, 2} {
		withFastClient(t, func(t *testing.T, c *fastClient) {
			c.learn(1000)
			_, syn, r := c.open("request")
			if string(syn.Payload) != "request" {
				t.Fatalf("the SYN has %q", syn.Payload)
			}
			r.answer(1+acked, 1000, []byte{9, 9, 9, 9})
			h := c.heard()
			if len(h) != 1 || !h[0].ACK || h[0].SYN || h[0].Seq != r.iss+1+uint32(acked) || string(h[0].Payload) != "request"[acked:] {
				t.Fatalf("after the SYN,ACK the stack says %v", h)
			}
			// The new cookie is the one to show from now on.
			_, syn, _ = c.open("again")
			if cookie, _ := cookieIn(syn.TCP); !bytes.Equal(cookie, []byte{9, 9, 9, 9}) || string(syn.Payload) != "again" {
				t.Errorf("the cookie is % x, the data %q", cookie, syn.Payload)
			}
		})
	}
}

// TestLostFastSYNIsFollowedByPlainOnes, without option and data, and where those are answered
// nothing of the kind is tried again for an hour, then two (section 4.1.3.1).
func TestLostFastSYNIsFollowedByPlainOnes(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		for i, pause := range []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour} {
			_, syn, _ := c.open("request")
			if string(syn.Payload) != "request" {
				t.Fatalf("time %d: the SYN has %q", i, syn.Payload)
			}
			<-time.After(time.Second)
			syn, r := c.syn()
			if cookie, ok := cookieIn(syn.TCP); ok || len(syn.Payload) > 0 {
				t.Errorf("the SYN that is sent again has % x and %d bytes", cookie, len(syn.Payload))
			}
			r.answer(1, 1000, nil)
			r.hear("A 1 1 (7)")
			r.say("A 1 8")
			for _, wait := range []time.Duration{0, pause - 2*time.Second} {
				<-time.After(wait)
				result := c.dial()
				syn, r = c.syn()
				if _, ok := cookieIn(syn.TCP); ok || len(syn.Payload) > 0 {
					t.Errorf("time %d, after %v: the SYN has the option", i, wait)
				}
				r.say("RA 0 1")
				if d := <-result; !errors.Is(d.err, syscall.ECONNREFUSED) {
					t.Errorf("dial: %v", d.err)
				}
			}
			<-time.After(3 * time.Second)
			c.heard()
		}
		// One that gets through ends the series.
		_, _, r := c.open("request")
		r.answer(8, 1000, nil)
		r.hear("A 8 1")
		_, _, _ = c.open("request")
		<-time.After(time.Second)
		_, r = c.syn()
		r.answer(1, 1000, nil)
		r.hear("A 1 1 (7)")
		r.say("A 1 8")
		<-time.After(time.Hour)
		c.open("request")
	})
}

// TestLateAnswerToAFastSYN: the SYN has been sent again, and the first SYN,ACK arrives: it is
// taken at its word.
func TestLateAnswerToAFastSYN(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		conn, _, r := c.open("request")
		<-time.After(time.Second)
		c.syn()
		r.answer(8, 1000, nil)
		r.hear("A 8 1")
		mustWrite(t, conn, "more")
		r.hear("A 8 1 (4)")
	})
}

// TestServerThatTakesNoData is not sent any for an hour.
func TestServerThatTakesNoData(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		_, _, r := c.open("request")
		r.answer(1, 1000, nil)
		r.hear("A 1 1 (7)")
		c.dial()
		if syn, _ := c.syn(); len(syn.Payload) > 0 || syn.DataOffset != 10 {
			t.Errorf("the SYN has %d bytes and a header of %d words", len(syn.Payload), syn.DataOffset)
		}
	})
}

// TestFastDialIsRefused: who uses the connection hears of it.
func TestFastDialIsRefused(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		conn, _, r := c.open("request")
		r.say("RA 0 8")
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Read: %v", err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Write: %v", err)
		}
		noConns(t, c.s)
	})
}

// TestCallsBeforeTheFirstWrite: a Read sends the SYN, as the peer may speak first; CloseWrite
// too, and Close leaves nothing.
func TestCallsBeforeTheFirstWrite(t *testing.T) {
	withFastClient(t, func(t *testing.T, c *fastClient) {
		c.learn(1000)
		conn := (<-c.dial()).conn
		go conn.Read(make([]byte, 1))
		synctest.Wait()
		if syn, r := c.syn(); len(syn.Payload) > 0 {
			t.Errorf("the SYN has %d bytes", len(syn.Payload))
		} else {
			r.answer(1, 1000, nil)
			r.hear("A 1 1")
			r.say("R 1")
		}
		conn = (<-c.dial()).conn
		conn.SetReadDeadline(time.Now().Add(time.Second / 2))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		conn.Close()
		c.heard()

		conn = (<-c.dial()).conn
		if n, err := conn.Write(nil); n != 0 || err != nil {
			t.Errorf("Write of nothing = %d, %v", n, err)
		}
		if h := c.heard(); len(h) != 0 {
			t.Errorf("a Write of nothing sends %v", h)
		}
		conn.Close()
		if h := c.heard(); len(h) != 0 {
			t.Errorf("Close sends %v", h)
		}
		if _, err := conn.Write([]byte("x")); err == nil {
			t.Error("a Write after Close succeeds")
		}
		noConns(t, c.s)

		(<-c.dial()).conn.Close()
		dangling := (<-c.dial()).conn
		c.s.Close()
		if _, err := dangling.Read(make([]byte, 1)); err == nil {
			t.Error("a Read after the end of the stack succeeds")
		}
	})
}

// TestFastCloseDeliversWhatWasWritten: the application wrote, closed, and is gone, all before
// the SYN,ACK.
func TestFastCloseDeliversWhatWasWritten(t *testing.T) {
	for name, finish := range map[string]func(*Conn) error{"Close": (*Conn).Close, "CloseWrite": (*Conn).CloseWrite} {
		t.Run(name, func(t *testing.T) {
			withFastClient(t, func(t *testing.T, c *fastClient) {
				c.learn(1000)
				conn, _, r := c.open("request")
				if err := finish(conn); err != nil {
					t.Fatal(err)
				}
				r.hear()
				r.answer(8, 1000, nil)
				r.hear("FA 8 1")
				r.say("FA 1 9")
				r.hear("A 9 2")
				conn.Close()
			})
		})
	}
}

// ---- Both ends ours.

// TestFastOpenSavesARoundTrip, whether the first exchange does or not.
func TestFastOpenSavesARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rtt = 100 * time.Millisecond
		a, b := pipe.New(pipe.Config{})
		slow, err := impair.Wrap(a, impair.Config{Delay: rtt / 2}, impair.Config{Delay: rtt / 2})
		if err != nil {
			t.Fatal(err)
		}
		h := newHostsOn(t, slow, b, clientConfig(), serverConfig())
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		l.SetFastOpen(10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					req := make([]byte, 7)
					if _, err := io.ReadFull(c, req); err == nil {
						c.Write(bytes.ToUpper(req))
					}
					c.Close()
				}()
			}
		}()
		d := Dialer{Stack: h.client, FastOpen: true}
		for i, want := range []time.Duration{2 * rtt, rtt, rtt} {
			start := time.Now()
			c, err := d.Dial("tcp", "10.77.0.2:80")
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, c, "request")
			wantRead(t, c, "REQUEST")
			if took := time.Since(start); took != want {
				t.Errorf("exchange %d took %v, want %v", i, took, want)
			}
			wantEOF(t, c)
			c.Close()
		}
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
		noConns(t, h.server)
	})
}
