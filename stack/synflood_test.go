package stack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// spoofed is the i-th address that nobody has.
func spoofed(i int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 172<<24|16<<16+uint32(i))
	return netip.AddrFrom4(a)
}

// flood sends SYNs number from to number to-1 of a flood by wire, and waits until all have
// been looked at.
func flood(t testing.TB, wire link.Queue, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		syn := tcpPacket(ap(spoofed(i), uint16(1024+i%60000)), ap(server4, 80), "S", uint32(i), 0, "")
		if n, err := wire.Write([]link.Frame{{Data: syn}}); n != 1 || err != nil {
			t.Fatalf("the wire took %d SYNs: %v", n, err)
		}
		if i%16 == 0 {
			synctest.Wait()
		}
	}
	synctest.Wait()
}

// TestFloodOfSYNsCostsLittleAndLetsOthersIn: RFC 4987. Half-open connections take a record
// each until the SYN queue is full, and then nothing; who means it comes in all the same, at
// once and with all options.
func TestFloodOfSYNsCostsLittleAndLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, backlog = 30_000, 4096
		a, b := pipe.New(pipe.Config{})
		h := newHostsOn(t, a, b, clientConfig(), serverConfig())
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		wire := a.Queues()[0]
		flood(t, wire, 0, 100) // tables, pools and engines have their first size
		before := heap()
		flood(t, wire, 100, n)
		cost := int64(heap()) - int64(before)
		t.Logf("%d bytes for %d SYNs, a record has %d", cost, n, unsafe.Sizeof(request{}))
		if most := int64(backlog * 300); !race.Enabled && cost > most {
			t.Errorf("%d SYNs cost %d bytes, want %d at most", n, cost, most)
		}
		if info := h.server.Listeners()[0]; info.Handshakes != backlog {
			t.Errorf("listener: %+v", info)
		}
		start := time.Now()
		for i := range 10 {
			c := h.dial(t, "tcp", "10.77.0.2:80")
			s := accept(t, l)
			flood(t, wire, n+100*i, n+100*i+100) // it goes on
			mustWrite(t, c, "let me in")
			wantRead(t, s, "let me in")
			mustWrite(t, s, "welcome")
			wantRead(t, c, "welcome")
			if i := s.Info(); !i.WindowScale || !i.Timestamps || !i.SACK || i.SndMSS != c.Info().SndMSS || i.SndWndShift != c.Info().RcvWndShift {
				t.Errorf("of the options is left %+v", i)
			}
			c.Close()
			s.Close()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("getting in took %v", d)
		}
		st := h.server.Stats()
		if got := st.TCPExt.SyncookiesSent; got != n+1000-backlog+10 {
			t.Errorf("%d cookies were sent", got)
		}
		if st.TCPExt.SyncookiesRecv != 10 || st.TCPExt.SyncookiesFailed != 0 {
			t.Errorf("%d cookies came back, %d did not count", st.TCPExt.SyncookiesRecv, st.TCPExt.SyncookiesFailed)
		}
		<-time.After(3 * time.Minute) // and it is over
		noConns(t, h.server)
		if info := h.server.Listeners()[0]; info.Handshakes != 0 {
			t.Errorf("listener: %+v", info)
		}
	})
}

// TestRecordOfAHandshakeIsSmall: what a SYN costs.
func TestRecordOfAHandshakeIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(request{}); n > 160 {
		t.Errorf("%d bytes", n)
	}
}

// crowded is a wire with a listener at port 80 whose SYN queue of one is full.
func crowded(t *testing.T, f func(t *testing.T, w *wire, l *Listener)) {
	t.Helper()
	cfg := serverConfig()
	cfg.Backlog = 1
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		other := w.newRemote(ap(spoofed(1), 1000), ap(server4, 80))
		other.say("S 0")
		other.hear("SA 0 1")
		f(t, w, l.(*Listener))
	})
}

// TestCookieOnTheWire: the SYN,ACK is a cookie; nothing is known of it but what its ACK says.
func TestCookieOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		say, data string
		hear      []string
		opens     bool
	}{
		"the ACK":            {say: "A 1 1", opens: true},
		"data with it":       {say: "PA 1 1", data: "hello", hear: []string{"A 1 6"}, opens: true},
		"a FIN with it":      {say: "FA 1 1", opens: true},
		"another number":     {say: "A 1 9999", hear: []string{"R 9999"}},
		"another SYN's":      {say: "A 7777 1", hear: []string{"R 1"}},
		"a reset":            {say: "R 1"},
		"a reset with it":    {say: "RA 1 1"},
		"a SYN,ACK":          {say: "SA 0 1", hear: []string{"R 1"}},
		"no ACK":             {say: "P 1", data: "x"},
		"later data, no ACK": {say: "PA 101 1", data: "x", hear: []string{"R 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			crowded(t, func(t *testing.T, w *wire, l *Listener) {
				r := w.newRemote(ap(client4, 1000), ap(server4, 80))
				r.say("S 0")
				r.hear("SA 0 1")
				if n := len(w.s.Conns()); n != 1 {
					t.Fatalf("%d connections are known, want that of the other peer", n)
				}
				r.say(c.say, c.data)
				r.hear(c.hear...)
				if !c.opens {
					if n := len(w.s.Conns()); n != 1 {
						t.Fatalf("%d connections are known", n)
					}
					return
				}
				conn := accept(t, l)
				mustWrite(t, conn, "welcome")
				if h := w.heard(); len(h) != 1 || string(h[0].Payload) != "welcome" {
					t.Fatalf("the connection says %v", h)
				}
				conn.Close()
			})
		})
	}
}

// TestOldCookiesAreRefused: two minutes after the last one an ACK to a listener is an ACK to a
// listener, and before it has to be young enough (3.10.7.2).
func TestOldCookiesAreRefused(t *testing.T) {
	for _, pressed := range []bool{true, false} {
		t.Run(fmt.Sprintf("pressed=%v", pressed), func(t *testing.T) {
			crowded(t, func(t *testing.T, w *wire, l *Listener) {
				r := w.newRemote(ap(client4, 1000), ap(server4, 80))
				r.say("S 0")
				r.hear("SA 0 1")
				<-time.After(tcp.CookieLifetime + time.Second)
				if pressed {
					for i := 10; i < 12; i++ { // fills the queue again
						w.raw(tcpPacket(ap(spoofed(i), 1000), ap(server4, 80), "S", 1, 0, ""))
					}
				}
				w.heard()
				failed := w.s.Stats().TCPExt.SyncookiesFailed
				r.say("A 1 1")
				r.hear("R 1")
				if got := w.s.Stats().TCPExt.SyncookiesFailed - failed; (got == 1) != pressed {
					t.Errorf("%d cookies failed", got)
				}
			})
		})
	}
}

// TestHandshakeWaitsForRoomInTheQueue: an ACK that finds the queue of connections to accept
// full is dropped, and the SYN,ACK that is sent again in time asks for it once more.
func TestHandshakeWaitsForRoomInTheQueue(t *testing.T) {
	cfg := serverConfig()
	cfg.Backlog = 2
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var peers []*remote
		for i := range 4 { // two requests and two cookies
			r := w.newRemote(ap(client4, uint16(1000+i)), ap(server4, 80))
			r.say("S 0")
			r.hear("SA 0 1")
			peers = append(peers, r)
		}
		for _, r := range []*remote{peers[2], peers[3], peers[0], peers[1]} {
			r.say("A 1 1")
			r.hear()
		}
		if info := w.s.Listeners()[0]; info.Queued != 2 || info.Handshakes != 2 {
			t.Errorf("listener: %+v", info)
		}
		if n := w.s.Stats().Drops["tcp_accept_queue_full"]; n != 2 {
			t.Errorf("%d segments were dropped for the backlog", n)
		}
		w.raw(tcpPacket(ap(client4, 2000), ap(server4, 80), "S", 1, 0, ""))
		w.want() // and no cookie is sent for which there would be no room
		for i, r := range []*remote{peers[0], peers[1]} {
			accept(t, l.(*Listener)).Close()
			w.heard()
			if i == 0 {
				<-time.After(time.Second)
				again := 0
				for _, h := range w.heard() { // besides the FIN
					if h.SYN && h.ACK {
						again++
					}
				}
				if again != 2 {
					t.Errorf("after a second %d SYN,ACKs are sent again, want those of both", again)
				}
			}
			r.say("PA 1 1", "hello")
			w.heard()
			if info := w.s.Listeners()[0]; info.Queued != 2 || info.Handshakes != 1-i {
				t.Errorf("listener: %+v", info)
			}
		}
		accept(t, l.(*Listener)).Close() // that of a cookie
		wantRead(t, accept(t, l.(*Listener)), "hello")
	})
}

// TestClosingListenerResetsHandshakes: the peers hear of it.
func TestClosingListenerResetsHandshakes(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		r.say("S 0")
		r.hear("SA 0 1")
		l.Close()
		r.hear("RA 1 1")
		noConns(t, w.s)
	})
}

// TestHandshakesOnManyQueues: every engine has part in every handshake, fast or not.
func TestHandshakesOnManyQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := serverConfig()
		cfg.Backlog = 20
		a, b := pipe.New(pipe.Config{Queues: 4})
		h := newHostsOn(t, a, b, clientConfig(), cfg)
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		l.SetFastOpen(5)
		d := Dialer{Stack: h.client, FastOpen: true}
		var served sync.WaitGroup
		for range 8 {
			served.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					served.Go(func() { c.(*Conn).WriteTo(c); c.Close() })
				}
			})
		}
		var wg sync.WaitGroup
		for lane, q := range a.Queues() {
			wg.Go(func() { // the same SYNs and ACKs by all queues
				for i := range 400 {
					from := ap(spoofed(i%50), uint16(1000+lane%2))
					flags := []string{"S", "A", "S", "R", "SA"}[i%5]
					q.Write([]link.Frame{{Data: tcpPacket(from, ap(server4, 80), flags, uint32(i%3), uint32(i), "")}})
				}
			})
		}
		for range 40 {
			wg.Go(func() {
				for range 3 {
					c, err := d.Dial("tcp", "10.77.0.2:80")
					if err != nil {
						t.Error(err)
						return
					}
					mustWrite(t, c, "hello")
					wantRead(t, c, "hello")
					c.Close()
				}
			})
		}
		wg.Wait()
		l.Close()
		served.Wait()
		<-time.After(3 * time.Minute)
		noConns(t, h.server)
		if n := l.queue.Len() + l.claimed + l.requests + l.fast.pending; n != 0 {
			t.Errorf("%d places of the listener are taken", n)
		}
	})
}

// TestICMPErrorsInAHandshake: a hard error about the SYN,ACK ends it, a soft one does not, nor
// one about another number (RFC 9293, 3.9.2.2; RFC 5927).
func TestICMPErrorsInAHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		code  layers.ICMPv4TypeCode
		quote func(synAck []byte) []byte
		ends  bool
	}{
		"port unreachable":                  {code: layers.CreateICMPv4TypeCode(3, 3), ends: true},
		"host unreachable":                  {code: layers.CreateICMPv4TypeCode(3, 1)},
		"fragmentation needed":              {code: layers.CreateICMPv4TypeCode(3, 4)},
		"port unreachable, of another time": {code: layers.CreateICMPv4TypeCode(3, 3), quote: func(b []byte) []byte { b[24]++; return b }},
	} {
		t.Run(name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				r := w.newRemote(ap(client4, 1000), ap(server4, 80))
				w.raw(r.segment("S 0"))
				synAck := <-w.sent
				if c.quote != nil {
					synAck = c.quote(synAck)
				}
				w.raw(packet(client4, server4, &layers.ICMPv4{TypeCode: c.code}, gopacket.Payload(synAck)))
				if n := len(w.s.Conns()); (n == 0) != c.ends {
					t.Errorf("%d handshakes are left", n)
				}
			})
		})
	}
}
