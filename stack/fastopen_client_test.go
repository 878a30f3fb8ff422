package stack

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

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
		wantCounted(t, c.s, "TcpExtTCPFastOpenActive 1, TcpExtTCPFastOpenActiveFail 4", fastOpenCounters)
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
		wantCounted(t, h.client, "TcpExtTCPFastOpenActive 2", fastOpenCounters)
		wantCounted(t, h.server, "TcpExtTCPFastOpenPassive 2, TcpExtTCPFastOpenCookieReqd 1", fastOpenCounters)
	})
}
