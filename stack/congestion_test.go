package stack

import (
	"io"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

func TestCongestionControlOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, clientConfig(), serverConfig(), pipe.Config{})
		defer h.close()
		client, server := h.connect(t)
		if got := server.Info().Congestion; got != "cubic" {
			t.Errorf("the default is %q, want cubic", got)
		}
		if err := server.SetCongestion("newreno"); err != nil {
			t.Fatal(err)
		}
		if got := server.Info().Congestion; got != "newreno" {
			t.Errorf("it is %q after SetCongestion(newreno)", got)
		}
		if got := client.Info().Congestion; got != "cubic" {
			t.Errorf("the other end has become %q", got)
		}
		if err := server.SetCongestion("vegas"); err == nil {
			t.Error("an unknown name is accepted")
		}
	})
}

// marker is a router that marks every n-th ECN-capable packet (RFC 3168, section 5).
type marker struct {
	link.Device
	link.Queue
	every, capable, marked int
}

func (m *marker) Queues() []link.Queue { return []link.Queue{m} }

func (m *marker) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		b := frames[i].Data
		if b[0]>>4 != 4 || b[1]&ecnMask != ecnECT0 {
			continue
		}
		if m.capable++; m.capable%m.every == 0 {
			m.marked++
			// The header sum covers the octet (RFC 1624: the sum of the complement
			// goes down by what the octet goes up).
			b[1] |= ecnCE
			sum := int(b[10])<<8 | int(b[11])
			if sum--; sum <= 0 {
				sum += 0xffff
			}
			b[10], b[11] = byte(sum>>8), byte(sum)
		}
	}
	return m.Queue.Write(frames)
}

// TestECNReducesTheWindowWithoutALoss: marks on the way are echoed and slow the sender
// down, and nothing is sent twice.
func TestECNReducesTheWindowWithoutALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		m := &marker{Device: a, Queue: a.Queues()[0], every: 400}
		config := func(addr string) Config {
			return Config{
				Addrs: []netip.Prefix{netip.MustParsePrefix(addr)},
				TCP:   tcp.Params{ECN: tcp.ECNAsk},
			}
		}
		client, err := New(m, config("10.77.0.1/24"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := New(b, config("10.77.0.2/24"))
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		l, err := server.Listen("tcp", ":9")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan int64)
		go func() {
			c, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			n, _ := io.Copy(io.Discard, c)
			got <- n
		}()
		c, err := client.Dial("tcp", "10.77.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		const size = 4 << 20
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		c.(*Conn).CloseWrite()
		if n := <-got; n != size {
			t.Errorf("%d bytes arrived, want %d", n, size)
		}
		info := c.(*Conn).Info()
		if !info.ECN || m.marked == 0 {
			t.Fatalf("no ECN: agreed %v, %d packets capable, %d marked", info.ECN, m.capable, m.marked)
		}
		if info.Ssthresh == tcp.MaxWindow {
			t.Error("the marks have not reduced the window")
		}
		if info.RetransSegs != 0 {
			t.Errorf("%d segments were sent again although none was lost", info.RetransSegs)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
