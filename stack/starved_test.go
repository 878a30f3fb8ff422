package stack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// pourInto has the client write without end into a connection of its own, whose other end,
// which nobody reads, it returns.
func (h *hosts) pourInto(t *testing.T, l *Listener) (client, server *Conn) {
	t.Helper()
	client = h.dial(t, "tcp", "10.77.0.2:80")
	server = accept(t, l)
	go client.Write(make([]byte, 4<<20))
	synctest.Wait()
	return client, server
}

// TestMemoryGivenBackIsToldAtOnce: one connection has taken all memory, and the windows of
// the others are shut. When it ends they go on at once, and do not wait for the probes of
// their peers.
func TestMemoryGivenBackIsToldAtOnce(t *testing.T) {
	for name, end := range map[string]func(hog *Conn){
		"the hog is closed": func(hog *Conn) { hog.Close() },
		"the hog is read": func(hog *Conn) {
			go func() {
				p := make([]byte, 1<<20)
				for {
					if _, err := hog.Read(p); err != nil {
						return
					}
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := serverConfig()
				cfg.TCP = tcp.Params{Budget: tcp.NewBudget(1 << 20), ReceiveBuffer: 1 << 20}
				h := newHosts(t, clientConfig(), cfg, pipe.Config{})
				defer h.close()
				l := h.listen(t, "tcp", ":80")
				_, hog := h.pourInto(t, l)
				var clients, servers []*Conn
				for range 5 {
					c, s := h.pourInto(t, l)
					clients, servers = append(clients, c), append(servers, s)
				}
				<-time.After(3 * time.Minute)
				var had []uint64
				for i, c := range clients {
					if info := c.Info(); info.SndWnd >= 1460 || info.Timer != "persist" || info.Expires < time.Second {
						t.Fatalf("the window is %d, and %s expires in %v", info.SndWnd, info.Timer, info.Expires)
					}
					had = append(had, servers[i].Info().BytesReceived)
				}
				end(hog)
				<-time.After(time.Millisecond)
				for i, s := range servers {
					if got := s.Info().BytesReceived - had[i]; got < 16*1460 {
						t.Errorf("connection %d has received %d bytes more", i, got)
					}
				}
			})
		})
	}
}

// TestStarvedConnectionsAreForgotten: those that end while there is no memory leave nothing.
func TestStarvedConnectionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := serverConfig()
		cfg.TCP = tcp.Params{Budget: tcp.NewBudget(1 << 20), ReceiveBuffer: 1 << 20}
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		defer h.close()
		l := h.listen(t, "tcp", ":80")
		cfg.TCP.Budget.Add(1 << 20)
		for range 10 {
			client, server := h.pourInto(t, l)
			<-time.After(time.Second)
			if n := len(h.server.starved.conns); n != 1 {
				t.Fatalf("%d connections are starved, want 1", n)
			}
			client.SetLinger(0)
			client.Close()
			server.Close()
			synctest.Wait()
			if n := len(h.server.starved.conns); n != 0 || h.server.starved.some.Load() {
				t.Fatalf("%d connections are starved, and all have ended", n)
			}
		}
	})
}
