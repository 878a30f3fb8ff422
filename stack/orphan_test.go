package stack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// orphans are what an application has closed and the peer has not.

// TestTooManyOrphansAreReset: those beyond the bound by Close; those before are left to
// deliver what they have, and make room when they are through.
func TestTooManyOrphansAreReset(t *testing.T) {
	for _, six := range []bool{false, true} {
		client, server := pairOf(six)
		cfg := serverConfig()
		cfg.MaxOrphans = 2
		t.Run(server.String(), func(t *testing.T) {
			withWire(t, cfg, func(t *testing.T, w *wire) { tooManyOrphans(t, w, client, server) })
		})
	}
}

func tooManyOrphans(t *testing.T, w *wire, client, server netip.Addr) {
	l, err := w.s.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var peers []*remote
	var conns []*Conn
	for i := range 7 {
		peers = append(peers, w.opened(client, server, uint16(1000+i)))
		conns = append(conns, accept(t, l.(*Listener)))
	}
	check := func(orphans, overflows uint64) {
		t.Helper()
		if st := w.s.Stats(); st.Device.TCPOrphans != orphans || st.TCPExt.TCPAbortOnMemory != overflows {
			t.Fatalf("Stats count %d orphans and %d too many, want %d and %d", st.Device.TCPOrphans, st.TCPExt.TCPAbortOnMemory, orphans, overflows)
		}
	}
	peers[5].say("R 1")
	conns[5].Close() // had ended
	conns[6].CloseWrite()
	peers[6].hear("FA 1 1")
	peers[6].say("FA 1 2")
	peers[6].hear("A 2 2")
	conns[6].Close() // in TIME-WAIT
	check(0, 0)
	peers[0].win = 0 // will never take the bytes
	peers[0].say("A 1 1")
	mustWrite(t, conns[0], "hello")
	conns[0].Close()
	peers[0].hear()
	conns[1].Close()
	peers[1].hear("FA 1 1")
	check(2, 0)
	conns[2].Close()
	peers[2].hear("FA 1 1", "RA 2 1")
	if got := conns[2].Info().State; got != tcp.StateClosed {
		t.Errorf("one orphan too many is in %v", got)
	}
	check(2, 1)
	peers[2].say("A 1 2")
	peers[2].hear("R 2") // nothing of it is left

	peers[1].say("FA 1 2") // TIME-WAIT is counted for itself
	peers[1].hear("A 2 2")
	check(1, 1)
	conns[3].Close()
	peers[3].hear("FA 1 1")
	check(2, 1)
	peers[3].say("A 1 2")
	peers[3].hear()
	check(2, 1) // FIN-WAIT-2
	conns[4].Close()
	peers[4].hear("FA 1 1", "RA 2 1")
	check(2, 2)

	peers[3].say("R 1")
	check(1, 2)
	peers[0].say("R 1")
	check(0, 2)
	<-time.After(time.Minute)
	w.s.Close()
	check(0, 2)
}
