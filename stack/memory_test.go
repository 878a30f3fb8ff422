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
			// In quiet traffic the engines give back what they held for the burst of them.
			for range 5 * patience {
				mustWrite(t, conns[0], "x")
				synctest.Wait()
				wantRead(t, conns[1], "x")
				mustWrite(t, conns[1], "x")
				synctest.Wait()
				wantRead(t, conns[0], "x")
			}
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

func heap() uint64 {
	runtime.GC()
	runtime.GC() // the pools keep what they have for one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
