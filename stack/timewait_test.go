package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// TIME-WAIT without a Conn. What a peer meets in it is in states_test.go.

// closedFirst is a connection that the client has closed before the server: the client's end
// is in TIME-WAIT.
func (h *hosts) closedFirst(t *testing.T) *Conn {
	t.Helper()
	c, s := h.connect(t)
	c.Close()
	wantEOF(t, s)
	s.Close()
	synctest.Wait()
	return c
}

// TestConnInTimeWaitStaysUsable: that a record has taken its place is nothing that an
// application notices.
func TestConnInTimeWaitStaysUsable(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		mustWrite(t, c, "hello")
		wantRead(t, s, "hello")
		local, remote := c.LocalAddr().String(), c.RemoteAddr().String()
		c.Close()
		wantEOF(t, s)
		s.Close()
		synctest.Wait()
		<-time.After(20 * time.Second)

		i := c.Info()
		if i.State != tcp.StateTimeWait || i.Timer != "timewait" || i.Expires != 40*time.Second || i.BytesSent != 5 {
			t.Errorf("Info of the connection: %+v", i)
		}
		conns := h.client.Conns()
		if len(conns) != 1 {
			t.Fatalf("%d connections", len(conns))
		}
		l := conns[0]
		if l.State != tcp.StateTimeWait || l.Timer != "timewait" || l.Expires != 40*time.Second || !l.Orphan ||
			l.ConnID != c.ID() || l.Serial != c.ID().Serial || l.Info.Local != i.Local || l.Info.Remote != i.Remote ||
			l.SndNxt != i.SndNxt || l.RcvNxt != i.RcvNxt || l.Timestamps != i.Timestamps || l.SACK != i.SACK {
			t.Errorf("Conns has %+v, the connection says %+v", l, i)
		}
		if st := h.client.Stats(); st.Device.TCPTimeWaits != 1 || st.Device.TCPConnections != 1 {
			t.Errorf("Stats count %d in TIME-WAIT of %d", st.Device.TCPTimeWaits, st.Device.TCPConnections)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close again: %v", err)
		}
		if err := c.SetNoDelay(true); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetNoDelay: %v", err)
		}
		if err := c.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite: %v", err)
		}
		if a, b := c.LocalAddr().String(), c.RemoteAddr().String(); a != local || b != remote {
			t.Errorf("it is from %s to %s, was from %s to %s", a, b, local, remote)
		}

		<-time.After(40*time.Second - 1)
		synctest.Wait()
		if i := c.Info(); i.State != tcp.StateTimeWait || i.Expires != 1 {
			t.Errorf("at the end of TIME-WAIT: %v, %v left", i.State, i.Expires)
		}
		<-time.After(1)
		synctest.Wait()
		if i := c.Info(); i.State != tcp.StateClosed || i.Timer != "" || i.BytesSent != 5 {
			t.Errorf("after TIME-WAIT: %+v", i)
		}
		noConns(t, h.client)
	})
}

// TestTimeWaitHoldsItsFourTuple: a dial from the same port is refused as before, and works
// when TIME-WAIT is over.
func TestTimeWaitHoldsItsFourTuple(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c := h.closedFirst(t)
		l := h.listen(t, "tcp", ":80")
		defer l.Close()
		d := Dialer{Stack: h.client, LocalAddr: c.LocalAddr()}
		if _, err := d.Dial("tcp", "10.77.0.2:80"); err == nil {
			t.Fatal("a second connection has the four-tuple of one in TIME-WAIT")
		}
		<-time.After(time.Minute)
		synctest.Wait()
		again, err := d.Dial("tcp", "10.77.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	})
}

// TestTimeWaitOfAHalfClosedConnection begins with the peer's FIN, not with Close.
func TestTimeWaitOfAHalfClosedConnection(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		c.CloseWrite()
		wantEOF(t, s)
		mustWrite(t, s, "late")
		s.Close()
		synctest.Wait()
		<-time.After(25 * time.Second)
		if st := h.client.Stats(); st.Device.TCPTimeWaits != 0 || st.Device.TCPConnections != 1 {
			t.Errorf("with something to read, Stats count %d in TIME-WAIT of %d", st.Device.TCPTimeWaits, st.Device.TCPConnections)
		}
		wantRead(t, c, "late")
		wantEOF(t, c)
		c.Close()
		<-time.After(35*time.Second - 1)
		synctest.Wait()
		if n := h.client.Stats().Device.TCPTimeWaits; n != 1 {
			t.Errorf("%d in TIME-WAIT", n)
		}
		<-time.After(1)
		synctest.Wait()
		noConns(t, h.client)
	})
}

// TestTimeWaitsEndInTheirOrder: one that began first and began anew ends last, and keeps nobody.
func TestTimeWaitsEndInTheirOrder(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		first := w.timeWaiting(client4, server4)
		<-time.After(10 * time.Second)
		second := w.newRemote(ap(client4, 1001), ap(server4, 80))
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		second.say("S 0")
		second.hear("SA 0 1")
		second.say("A 1 1")
		accept(t, l.(*Listener)).Close()
		second.hear("FA 1 1")
		second.say("FA 1 2")
		second.hear("A 2 2")
		<-time.After(20 * time.Second)
		first.say("FA 1 2") // 30 s after its own: until 90 s
		first.hear("A 2 2")
		<-time.After(40*time.Second - 1)
		second.say("PA 1 2", "x")
		second.hear("A 2 2")
		<-time.After(1)
		synctest.Wait()
		second.say("PA 1 2", "x")
		second.hear("R 2")
		<-time.After(20*time.Second - 1)
		first.say("PA 1 2", "x")
		first.hear("A 2 2")
		<-time.After(1)
		synctest.Wait()
		first.say("PA 1 2", "x")
		first.hear("R 2")
		noConns(t, w.s)
	})
}

// TestShortTimeWaitEndsInTime: also when the timers had nothing to do so soon.
func TestShortTimeWaitEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.TCP.MSL = 10 * time.Millisecond
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		c := h.closedFirst(t)
		<-time.After(20*time.Millisecond - 1)
		if got := c.Info().State; got != tcp.StateTimeWait {
			t.Errorf("in %v before the end of TIME-WAIT", got)
		}
		<-time.After(1)
		synctest.Wait()
		noConns(t, h.client)
	})
}

// TestSegmentMeetsAConnThatHasJustRetired: another engine had looked it up before.
func TestSegmentMeetsAConnThatHasJustRetired(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, conn := w.served(client4, server4, 1000)
		conn.Close()
		r.hear("FA 1 1")
		r.say("FA 1 2")
		r.hear("A 2 2")
		e := newEngine(w.s, &w.s.device, 0)
		meet := func(text string, want bool) {
			t.Helper()
			payload, why := e.parse(&link.Frame{Data: r.segment(text)})
			if err := tcp.Parse(payload, &e.seg); err != nil {
				t.Fatal(why, err)
			}
			if got := conn.deliver(e, w.s.Now(), conn.tcb.Ends(), 0); got != want {
				t.Errorf("%s is taken: %v, want %v", text, got, want)
			}
		}
		if info, ok := conn.describe(w.s); !ok || info.State != tcp.StateTimeWait || info.ConnID != conn.ID() {
			t.Errorf("it describes itself as %+v, %v", info, ok)
		}
		meet("FA 1 2", true)
		r.hear("A 2 2")
		meet("S 1000", false) // it is for the listener, and opens the next connection
		r.hear()
		noConns(t, w.s)
		meet("FA 1 2", false)
		r.hear()
	})
}

// TestObserverHearsTimeWait to its end, and what meets it there.
func TestObserverHearsTimeWait(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	cfg := serverConfig()
	cfg.Observe = func(ConnID) tcp.Observer {
		return func(e *tcp.Event) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case e.Kind == tcp.EventState:
				heard = append(heard, fmt.Sprintf("%v %s", e.To, e.Why))
			case e.From == tcp.StateTimeWait && e.Kind != tcp.EventDrop:
				heard = append(heard, fmt.Sprintf("%v %v", e.Kind, e.Segment.Flags))
			}
		}
	}
	withWire(t, cfg, func(t *testing.T, w *wire) {
		r := w.timeWaiting(client4, server4)
		mu.Lock()
		heard = nil
		mu.Unlock()
		r.say("FA 1 2")
		r.hear("A 2 2")
		<-time.After(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			fmt.Sprintf("%v FIN,ACK", tcp.EventSegmentIn), fmt.Sprintf("%v ACK", tcp.EventSegmentOut),
			"CLOSED " + tcp.WhyTimeWaitOver.String(),
		}
		if fmt.Sprint(heard) != fmt.Sprint(want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	})
}

// TestTooManyInTimeWait: what comes beyond the bound is CLOSED at once, and counted; nobody
// else has to leave.
func TestTooManyInTimeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.MaxTimeWait = 3
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		var conns []*Conn
		for range 5 {
			conns = append(conns, h.closedFirst(t))
		}
		for i, c := range conns {
			want := tcp.StateTimeWait
			if i >= 3 {
				want = tcp.StateClosed
			}
			if got := c.Info().State; got != want {
				t.Errorf("connection %d is in %v, want %v", i, got, want)
			}
		}
		if st := h.client.Stats(); st.Device.TCPTimeWaits != 3 || st.TCPExt.TCPTimeWaitOverflow != 2 || st.Device.TCPConnections != 3 {
			t.Errorf("Stats: %d in TIME-WAIT, %d too many, %d in all", st.Device.TCPTimeWaits, st.TCPExt.TCPTimeWaitOverflow, st.Device.TCPConnections)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		noConns(t, h.client)
		if c := h.closedFirst(t); c.Info().State != tcp.StateTimeWait {
			t.Error("no room in TIME-WAIT when those before have ended")
		}
	})
}

// TestTimeWaitAnswersWithTheMarksOfTheConnection: its TTL and DSCP.
func TestTimeWaitAnswersWithTheMarksOfTheConnection(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, conn := w.served(client4, server4, 1000)
		conn.SetTTL(7)
		conn.SetDSCP(10)
		conn.Close()
		r.hear("FA 1 1")
		r.say("FA 1 2")
		r.hear("A 2 2")
		r.say("FA 1 2")
		h := w.heard()
		if len(h) != 1 || h[0].ip4.TTL != 7 || h[0].ip4.TOS != 10<<2 {
			t.Errorf("the answer to the FIN: %+v", h)
		}
	})
}

// TestTimeWaitRationsItsAnswers: ten in five seconds to what carries no data (RFC 5961, 7), and
// those that were sent before TIME-WAIT count.
func TestTimeWaitRationsItsAnswers(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, conn := w.served(client4, server4, 1000)
		for range 4 {
			r.say("R 100")
			r.hear("A 1 1")
		}
		conn.Close()
		r.hear("FA 1 1")
		r.say("FA 1 2")
		r.hear("A 2 2")
		for _, left := range []int{6, 10, 10} {
			for i := range 30 {
				r.say("A 9000000 2")
				if i < left {
					r.hear("A 2 2")
				} else {
					r.hear()
				}
			}
			r.say("FA 1 2") // what is owed is not rationed
			r.hear("A 2 2")
			<-time.After(5 * time.Second)
		}
	})
}

// withTimestamp makes everything that the peer says carry a timestamp.
func (r *remote) withTimestamp(value uint32) {
	var b [8]byte
	binary.BigEndian.PutUint32(b[:], value)
	r.options = []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: b[:]}}
}

// TestTimeWaitOnTheWireTellsSYNsByTimestamp: RFC 6191, section 2, and PAWS.
func TestTimeWaitOnTheWireTellsSYNsByTimestamp(t *testing.T) {
	for name, c := range map[string]struct {
		seq   string
		clock uint32 // the connection's last was 1000
		opens bool
	}{
		"later, beyond":      {"S 1000", 1001, true},
		"later, but before":  {"S -1000", 1001, true},
		"earlier, beyond":    {"S 1000", 999, false},
		"earlier, before":    {"S -1000", 999, false},
		"the same, beyond":   {"S 1000", 1000, true},
		"the same, before":   {"S -1000", 1000, false},
		"a wrap later":       {"S -1000", 1000 + 1<<31 - 1, true},
		"half a wrap before": {"S 1000", 1000 + 1<<31, false},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				r := w.newRemote(ap(client, 1000), ap(server, 80))
				r.withTimestamp(1000)
				r.say("S 0")
				r.hear("SA 0 1")
				r.say("A 1 1")
				conn := accept(t, l.(*Listener))
				conn.Close()
				r.hear("FA 1 1")
				r.say("FA 1 2")
				was := w.heard()
				r.say("FA 1 2")
				now := w.heard()
				if len(was) != 1 || len(now) != 1 || now[0].Ack != r.irs+2 || fmt.Sprint(was[0].Options) != fmt.Sprint(now[0].Options) {
					t.Fatalf("a FIN is answered by %v, and in the same instant again by %v", was, now)
				}
				r.withTimestamp(c.clock)
				r.say(c.seq)
				h := w.heard()
				if len(h) != 1 || h[0].SYN != c.opens || !h[0].ACK {
					t.Fatalf("it is answered by %v", h)
				}
				if conns := w.s.Conns(); len(conns) != 1 || (conns[0].State == tcp.StateTimeWait) == c.opens {
					t.Errorf("left: %+v", conns)
				}
			})
		})
	}
}

// TestCloseOfTheStackEndsTimeWait and tells the observers.
func TestCloseOfTheStackEndsTimeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var last tcp.Event
		cfg := clientConfig()
		cfg.Observe = func(ConnID) tcp.Observer {
			return func(e *tcp.Event) {
				mu.Lock()
				defer mu.Unlock()
				last = *e
			}
		}
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		c := h.closedFirst(t)
		h.client.Close()
		noConns(t, h.client)
		if got := c.Info().State; got != tcp.StateClosed {
			t.Errorf("the connection is in %v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		if last.Kind != tcp.EventState || last.To != tcp.StateClosed || last.Why != tcp.WhyAborted {
			t.Errorf("the observer heard last %+v", last)
		}
	})
}
