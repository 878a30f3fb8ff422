package stack

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/tcp"
)

// connIn brings a connection of the stack, at port 80, into a state by what its peer
// says and what f calls, and returns both.
var connIn = map[tcp.State]func(c *Conn, r *remote){
	tcp.StateEstablished: func(*Conn, *remote) {},
	tcp.StateFinWait1:    func(c *Conn, r *remote) { c.CloseWrite(); r.hear("FA 1 1") },
	tcp.StateFinWait2:    func(c *Conn, r *remote) { c.CloseWrite(); r.hear("FA 1 1"); r.say("A 1 2") },
	tcp.StateCloseWait: func(_ *Conn, r *remote) {
		r.say("FA 1 1")
		<-time.After(time.Second)
		r.hear("A 1 2")
	},
	tcp.StateClosing: func(c *Conn, r *remote) {
		c.CloseWrite()
		r.hear("FA 1 1")
		r.say("FA 1 1")
		r.hear("A 2 2")
	},
	tcp.StateLastAck: func(c *Conn, r *remote) { r.say("FA 1 1"); c.CloseWrite(); r.hear("FA 1 2") },
	tcp.StateTimeWait: func(c *Conn, r *remote) {
		c.CloseWrite()
		r.hear("FA 1 1")
		r.say("FA 1 2")
		r.hear("A 2 2")
	},
	tcp.StateClosed: func(_ *Conn, r *remote) { r.say("R 1") },
}

// inEachState runs f with a connection in each state that an application can hold one in.
func inEachState(t *testing.T, f func(t *testing.T, w *wire, c *Conn, r *remote, state tcp.State)) {
	t.Helper()
	for state, reach := range connIn {
		t.Run(state.String(), func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				r, conn := w.served(client4, server4, 1000)
				reach(conn, r)
				r.hear()
				f(t, w, conn, r, state)
			})
		})
	}
}

// TestCallsFromManyGoroutinesInEachState: Close, CloseRead and CloseWrite at any time from
// anywhere, with others that wait: everything returns, and nothing is left.
func TestCallsFromManyGoroutinesInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, w *wire, c *Conn, r *remote, _ tcp.State) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { c.Read(make([]byte, 10)) })
			wg.Go(func() { c.Write(make([]byte, 32<<20)) })
		}
		synctest.Wait()
		for range 4 {
			wg.Go(func() { c.CloseWrite() })
			wg.Go(func() { c.CloseRead() })
			wg.Go(func() { c.Close() })
			wg.Go(func() { c.SetDeadline(time.Now()) })
		}
		wg.Wait()
		r.say("R 1")
		r.say("R 2")
		<-time.After(time.Hour) // the data cannot be delivered; R2 and the timers end it
		w.heard()
		noConns(t, w.s)
	})
}

// TestOpenOfWhatExists: OPEN of a four-tuple that a connection has, in whatever state, is an
// error and leaves that connection alone (3.10.1, MUST-41); when it is gone it works.
func TestOpenOfWhatExists(t *testing.T) {
	inEachState(t, func(t *testing.T, w *wire, c *Conn, r *remote, state tcp.State) {
		d := Dialer{Stack: w.s, LocalAddr: &net.TCPAddr{Port: 80}}
		if state == tcp.StateClosed {
			return // the listener has the port; TestListenOnThePortOfAHandshake and others dial
		}
		_, err := d.Dial("tcp", "10.77.0.1:1000")
		wantErr(t, err, syscall.EADDRINUSE, "dial tcp :80->10.77.0.1:1000: bind: address already in use")
		r.hear()
		if got := c.Info().State; got != state {
			t.Errorf("the connection was in %v and is in %v", state, got)
		}
	})
}

// TestDialCancelledAtEveryStep: SYN-SENT, its retransmissions, SYN-RECEIVED of crossing SYNs:
// the context ends, and no connection, timer, goroutine or port is left; a late answer
// is refused.
func TestDialCancelledAtEveryStep(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, 5 * time.Second, 100 * time.Second} {
		for _, crossed := range []bool{false, true} {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				r := w.newRemote(ap(client4, 80), ap(server4, 5000))
				ctx, cancel := context.WithCancel(context.Background())
				d := Dialer{Stack: w.s, LocalAddr: &net.TCPAddr{Port: 5000}}
				result := make(chan error)
				go func() {
					_, err := d.DialContext(ctx, "tcp", "10.77.0.1:80")
					result <- err
				}()
				r.hear("S 0")
				if crossed {
					r.say("S 0")
					r.hear("SA 0 1")
				}
				<-time.After(after)
				synctest.Wait()
				w.heard()
				cancel()
				wantErr(t, <-result, context.Canceled, "dial tcp :5000->10.77.0.1:80: operation was canceled")
				if crossed {
					r.hear("RA 1 1") // ABORT in SYN-RECEIVED (3.10.5)
				} else {
					r.hear()
				}
				noConns(t, w.s)
				r.say("SA 0 1")
				r.hear("R 1")
				// The port is free.
				go func() {
					c, err := d.Dial("tcp", "10.77.0.1:80")
					if err == nil {
						err = c.Close()
					}
					result <- err
				}()
				r.hear("S 0")
				r.say("SA 0 1")
				if err := <-result; err != nil {
					t.Error(err)
				}
				w.heard()
			})
		}
	}
}
