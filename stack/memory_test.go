package stack

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link/pipe"
)

// idleCost bounds the heap in bytes of an idle connection. Two thirds of it are the TCB; a
// buffer of any kind would not fit.
const idleCost = 1024

// TestIdleConnectionHoldsNoBuffer counts the whole heap, tables and listener included, for
// connections that have carried data both ways and are idle. A blocked call would add its
// goroutine, which is the application's, and 160 bytes.
func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has its own memory")
	}
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.PortRange = [2]uint16{1024, 65535}
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		const n = 20_000
		conns := make([]*Conn, 0, 2*(n+100))
		open := func(n int) {
			for range n {
				c := h.dial(t, "tcp", "10.77.0.2:80")
				synctest.Wait()
				s := accept(t, l)
				mustWrite(t, c, "hello")
				synctest.Wait()
				wantRead(t, s, "hello")
				mustWrite(t, s, "world")
				synctest.Wait()
				wantRead(t, c, "world")
				conns = append(conns, c, s)
			}
			<-time.After(time.Second) // the last ACKs
			h.quiet(t, conns[0], conns[1])
		}
		open(100) // pools and tables have their first size
		before := heap()
		open(n)
		each := float64(heap()-before) / (2 * n)
		t.Logf("%.0f bytes a connection", each)
		if each > idleCost {
			t.Errorf("an idle connection costs %.0f bytes, want at most %d", each, idleCost)
		}
		runtime.KeepAlive(conns)
	})
}

// timeWaitCost bounds the heap in bytes of a connection in TIME-WAIT: the record is 96, its
// entry in the table of connections up to 27.
const timeWaitCost = 128

// TestTimeWaitCostsARecord counts the whole heap of both hosts for connections that have gone
// through their lives one after the other: with the record and its entry in the table whatever
// else might be left of them, at the end that is in TIME-WAIT and at the other.
func TestTimeWaitCostsARecord(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector has its own memory")
	}
	for _, address := range []string{"10.77.0.2:80", "[fd77::2]:80"} {
		t.Run(address, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := clientConfig()
				cfg.PortRange = [2]uint16{1024, 65535}
				h := newHosts(t, cfg, serverConfig(), pipe.Config{})
				defer h.close()
				l := h.listen(t, "tcp", ":80")
				still := [2]*Conn{h.dial(t, "tcp", "10.77.0.2:80"), accept(t, l)}
				live := func(n int) {
					for range n {
						c := h.dial(t, "tcp", address)
						s := accept(t, l)
						mustWrite(t, c, "hello")
						wantRead(t, s, "hello")
						c.Close()
						wantEOF(t, s)
						s.Close()
					}
					h.quiet(t, still[0], still[1])
				}
				live(500) // pools and tables have their first size
				before := heap()
				for range 3 { // wherever the table is between two of its sizes
					const n = 10_000
					was := h.client.Stats().Device.TCPTimeWaits
					live(n)
					now := h.client.Stats().Device.TCPTimeWaits
					if now-was != n {
						t.Fatalf("%d are in TIME-WAIT after %d, want %d more", now, was, n)
					}
					each := float64(heap()-before) / float64(now-500)
					t.Logf("%d: %.1f bytes each", now, each)
					if each > timeWaitCost {
						t.Errorf("of %d in TIME-WAIT each costs %.1f bytes, want at most %d", now, each, timeWaitCost)
					}
				}
				runtime.KeepAlive(still)
			})
		})
	}
}

// quiet exchanges so little between two ends that the engines give back what they held for
// bursts.
func (h *hosts) quiet(t *testing.T, a, b *Conn) {
	t.Helper()
	for range 5 * patience {
		mustWrite(t, a, "x")
		synctest.Wait()
		wantRead(t, b, "x")
		mustWrite(t, b, "x")
		synctest.Wait()
		wantRead(t, a, "x")
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the pools keep what they have for one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
