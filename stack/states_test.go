package stack

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The states that a stack holds without a whole connection, or with only a part of one,
// as a peer sees them: SYN-RECEIVED of a listener and TIME-WAIT (RFC 9293, 3.10.7.4).

// TestSynReceivedOnTheWire: each segment meets a handshake that waits for its third part.
func TestSynReceivedOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		say, data string
		hear      []string
		opens     bool // the connection is there then
		gone      bool // it is forgotten: the third part comes too late
	}{
		"the third part":                  {say: "A 1 1", opens: true},
		"with data":                       {say: "PA 1 1", data: "hello", hear: []string{"A 1 6"}, opens: true},
		"a FIN with it":                   {say: "FA 1 1", opens: true},
		"the SYN again":                   {say: "S 0", hear: []string{"SA 0 1"}},
		"an ACK too high":                 {say: "A 1 2", hear: []string{"R 2"}},
		"an ACK of nothing":               {say: "A 1 0", hear: []string{"R 0"}},
		"data with an ACK too high":       {say: "PA 1 2", data: "x", hear: []string{"R 2"}},
		"no ACK bit":                      {say: "P 1", data: "x"},
		"outside the window":              {say: "A 5000000 1", hear: []string{"A 1 1"}},
		"a reset at RCV.NXT":              {say: "R 1", gone: true},
		"a reset at RCV.NXT, with an ACK": {say: "RA 1 1", gone: true},
		"a reset in the window":           {say: "R 100", hear: []string{"A 1 1"}},
		"a reset outside the window":      {say: "R 5000000"},
		"a reset before the window":       {say: "R 0"},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				r := w.newRemote(ap(client, 1000), ap(server, 80))
				r.say("S 0")
				r.hear("SA 0 1")
				r.say(c.say, c.data)
				r.hear(c.hear...)
				if c.gone {
					r.say("A 1 1") // LISTEN does not know it any more
					r.hear("R 1")
					r.say("S 0")
					r.hear("SA 0 1")
				}
				if !c.opens {
					r.say("A 1 1") // and otherwise all is as it was
					r.hear()
				}
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				mustWrite(t, conn, "welcome")
				if h := w.heard(); len(h) != 1 || string(h[0].Payload) != "welcome" {
					t.Fatalf("the connection says %v", h)
				}
			})
		})
	}
}

// TestSynAckIsRepeatedAndGivenUp: R2 of a SYN,ACK, five times, and then nothing is left: a
// listener owes nobody anything.
func TestSynAckIsRepeatedAndGivenUp(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		r := w.newRemote(ap(client, 1000), ap(server, 80))
		r.say("S 0")
		r.hear("SA 0 1")
		for _, gap := range []int{1, 2, 4, 8, 16} {
			<-time.After(time.Duration(gap)*time.Second - time.Millisecond)
			r.hear()
			<-time.After(time.Millisecond)
			r.hear("SA 0 1")
		}
		<-time.After(time.Hour)
		r.hear()
		noConns(t, w.s)
		r.say("A 1 1")
		r.hear("R 1")
	})
}

// timeWaiting is a peer whose connection the stack has closed first: TIME-WAIT.
func (w *wire) timeWaiting(client, server netip.Addr) *remote {
	w.t.Helper()
	l, err := w.s.Listen("tcp", ":80")
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.opened(client, server, 1000)
	conn, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	conn.Close()
	r.hear("FA 1 1")
	r.say("FA 1 2")
	r.hear("A 2 2")
	l.Close()
	return r
}

// TestTimeWaitOnTheWire: what a peer hears in the minute after the end, and that none of it
// ends TIME-WAIT or prolongs it.
func TestTimeWaitOnTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		say, data string
		hear      []string
	}{
		"a bare ACK":                          {say: "A 2 2"},
		"old data":                            {say: "PA 1 2", data: "x", hear: []string{"A 2 2"}},
		"old data from long before":           {say: "PA -5000 1", data: "x", hear: []string{"A 2 2"}},
		"data beyond the window":              {say: "PA 9000000 2", data: "x", hear: []string{"A 2 2"}},
		"a reset at RCV.NXT (RFC 1337)":       {say: "R 2"},
		"a reset in the window":               {say: "R 50"},
		"a reset with an ACK":                 {say: "RA 2 2"},
		"an old SYN":                          {say: "S -1000", hear: []string{"A 2 2"}},
		"SYN,ACK":                             {say: "SA 5 2", hear: []string{"A 2 2"}},
		"no ACK bit":                          {say: "P 2", data: "x"},
		"an ACK of what was not sent":         {say: "A 2 3", hear: []string{"A 2 2"}},
		"an ACK older than any window (5961)": {say: "A 2 -9000000", hear: []string{"A 2 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
				r := w.timeWaiting(client, server)
				<-time.After(30 * time.Second)
				r.hear()
				r.say(c.say, c.data)
				r.hear(c.hear...)
				<-time.After(29 * time.Second)
				r.hear()
				r.say("PA 1 2", "x") // still there (MUST-13)
				r.hear("A 2 2")
				<-time.After(1001 * time.Millisecond)
				noConns(t, w.s)
				r.say("PA 1 2", "x") // and gone
				r.hear("R 2")
			})
		})
	}
}

// TestTimeWaitOnTheWireStartsAnewAtAFIN: our last ACK got lost, perhaps.
func TestTimeWaitOnTheWireStartsAnewAtAFIN(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		r := w.timeWaiting(client, server)
		for range 3 {
			<-time.After(50 * time.Second)
			r.say("FA 1 2")
			r.hear("A 2 2")
		}
		<-time.After(60*time.Second - time.Millisecond)
		r.say("A 2 2")
		r.hear()
		<-time.After(2 * time.Millisecond)
		noConns(t, w.s)
		r.say("A 2 2")
		r.hear("R 2")
	})
}

// TestTimeWaitOnTheWireGivesWayToANewSYN: MAY-2, and the new connection works. Where nobody
// listens any more the SYN is refused.
func TestTimeWaitOnTheWireGivesWayToANewSYN(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		r := w.timeWaiting(client, server)
		<-time.After(time.Second)
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		old := r.iss
		r.irs += 1000
		r.say("S 0")
		r.hear("SA 0 1")
		if int32(r.iss-old) <= 2 {
			t.Errorf("the new initial number %d does not lie beyond the old numbers from %d on", r.iss, old)
		}
		r.say("A 1 1")
		r.hear()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r.say("PA 1 1", "new")
		wantRead(t, conn, "new")
	})
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		r := w.timeWaiting(client, server)
		r.say("S 1000")
		if h := w.heard(); len(h) != 1 || !h[0].RST || !h[0].ACK || h[0].Ack != r.irs+1001 {
			t.Errorf("a SYN to a port that nobody listens at is answered by %v", h)
		}
	})
}

// TestEndIsToldApart: MUST-12: Read says io.EOF after a FIN and ECONNRESET after a RST, also
// with data before either.
func TestEndIsToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		say  string
		want error
	}{
		"FIN": {"FA 6 1", io.EOF},
		"RST": {"R 6", syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
				r, conn := w.served(client, server, 1000)
				r.say("PA 1 1", "hello")
				r.say(c.say)
				synctest.Wait()
				wantRead(t, conn, "hello")
				if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.want) {
					t.Errorf("Read = %d, %v, want %v", n, err, c.want)
				}
			})
		})
	}
}
