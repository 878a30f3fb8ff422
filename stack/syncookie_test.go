package stack

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/link/pipe"
)

// withCookies is a wire to a stack of which a listener at port 80 has room for one handshake; log
// has what the operator is told.
func withCookies(t *testing.T, mode SYNCookies, f func(t *testing.T, w *wire, l *Listener, log *bytes.Buffer)) {
	t.Helper()
	var log bytes.Buffer
	cfg := serverConfig()
	cfg.Backlog, cfg.SYNCookies = 1, mode
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f(t, w, l.(*Listener), &log)
	})
}

// TestSYNCookiesNever: a SYN for which there is no room is dropped and counted, the operator is told
// once, and the peer that tries again comes in when there is room. What looks like a cookie is
// an ACK to a listener (RFC 9293, section 3.10.7.2).
func TestSYNCookiesNever(t *testing.T) {
	withCookies(t, SYNCookiesNever, func(t *testing.T, w *wire, l *Listener, log *bytes.Buffer) {
		flood := w.newRemote(ap(spoofed(1), 1000), ap(server4, 80))
		flood.say("S 0")
		flood.hear("SA 0 1")
		r := w.newRemote(ap(client4, 1000), ap(server4, 80))
		for range 2 {
			r.say("S 0")
			r.hear()
		}
		st := w.s.Stats()
		if ext := st.TCPExt; ext.TCPReqQFullDrop != 2 || ext.ListenDrops != 2 || ext.ListenOverflows != 0 || st.Drops["tcp_backlog_full"] != 2 {
			t.Errorf("counted as %+v, drops %v", ext, st.Drops)
		}
		if n := strings.Count(log.String(), "SYN queue full, dropping SYNs"); n != 1 {
			t.Errorf("the operator is told %d times: %s", n, log)
		}
		r.say("A 1 1")
		r.hear("R 1")
		<-time.After(2 * time.Minute) // the flood is over
		w.heard()
		r.say("S 0")
		r.hear("SA 0 1")
		r.say("A 1 1")
		accept(t, l).Close()
		w.heard()
		if ext := w.s.Stats().TCPExt; ext.SyncookiesSent != 0 || ext.SyncookiesRecv != 0 || ext.SyncookiesFailed != 0 || ext.TCPReqQFullDoCookies != 0 {
			t.Errorf("there were cookies: %+v", ext)
		}
	})
}

// TestSYNCookiesAlways: there is no record of any handshake, however much room there is, nobody
// is told of a flood, and the connection is as good as another.
func TestSYNCookiesAlways(t *testing.T) {
	withCookies(t, SYNCookiesAlways, func(t *testing.T, w *wire, l *Listener, log *bytes.Buffer) {
		r := w.newRemote(ap(client4, 1000), ap(server4, 80))
		r.say("S 0")
		r.hear("SA 0 1")
		if conns, info := w.s.Conns(), w.s.Listeners()[0]; len(conns) != 0 || info.Handshakes != 0 {
			t.Errorf("known are %v, listener %+v", conns, info)
		}
		<-time.After(time.Minute)
		r.hear() // it is not sent again
		r.say("PA 1 1", "hello")
		r.hear("A 1 6")
		c := accept(t, l)
		wantRead(t, c, "hello")
		c.Close()
		w.heard()
		if ext := w.s.Stats().TCPExt; ext.SyncookiesSent != 1 || ext.SyncookiesRecv != 1 || ext.TCPReqQFullDoCookies != 1 || ext.TCPReqQFullDrop != 0 {
			t.Errorf("counted as %+v", ext)
		}
		if log.Len() != 0 {
			t.Errorf("the operator is told: %s", log)
		}
	})
}

// TestSYNCookiesWhenFull, the default: the operator is told once.
func TestSYNCookiesWhenFull(t *testing.T) {
	var cfg Config
	withCookies(t, cfg.SYNCookies, func(t *testing.T, w *wire, l *Listener, log *bytes.Buffer) {
		for i := range 3 {
			r := w.newRemote(ap(spoofed(i), 1000), ap(server4, 80))
			r.say("S 0")
			r.hear("SA 0 1")
		}
		if info := w.s.Listeners()[0]; info.Handshakes != 1 || w.s.Stats().TCPExt.SyncookiesSent != 2 {
			t.Errorf("listener %+v, %d cookies", info, w.s.Stats().TCPExt.SyncookiesSent)
		}
		if n := strings.Count(log.String(), "SYN queue full, answering by SYN cookies"); n != 1 {
			t.Errorf("the operator is told %d times: %s", n, log)
		}
	})
}

func TestSYNCookiesIsOneOfThree(t *testing.T) {
	a, b := pipe.New(pipe.Config{})
	defer a.Close()
	defer b.Close()
	cfg := serverConfig()
	cfg.SYNCookies = SYNCookiesNever + 1
	const want = "stack: SYNCookies is 3; it must be SYNCookiesWhenFull, SYNCookiesAlways or SYNCookiesNever"
	if _, err := New(a, cfg); err == nil || err.Error() != want {
		t.Errorf("New: %v, want %s", err, want)
	}
}
