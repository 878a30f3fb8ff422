package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

func TestNewSaysWhatIsWrongWithTheConfig(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		mtu  int
		text string
	}{
		{Config{}, 0, "Addrs is empty"},
		{Config{Addrs: []netip.Prefix{{}}}, 0, "invalid prefix"},
		{Config{Addrs: prefixes("10.0.0.0/24", "10.0.0.0/24")}, 0, "stands twice"},
		{Config{Addrs: prefixes("10.0.0.255/24")}, 0, "cannot be the address of a host"},
		{Config{Addrs: prefixes("127.0.0.1/8")}, 0, "cannot be the address of a host"},
		{Config{Addrs: prefixes("224.0.0.1/32")}, 0, "cannot be the address of a host"},
		{Config{Addrs: prefixes("::ffff:10.0.0.1/128")}, 0, "cannot be the address of a host"},
		{Config{Addrs: prefixes("fd77::1/64")}, 1279, "needs an MTU of 1280"},
		{Config{Addrs: prefixes("10.0.0.1/24")}, 67, "IPv4 needs 68"},
		{Config{Addrs: prefixes("10.0.0.1/24"), PortRange: [2]uint16{0, 5}}, 0, "PortRange"},
		{Config{Addrs: prefixes("10.0.0.1/24"), PortRange: [2]uint16{6, 5}}, 0, "PortRange"},
		{Config{Addrs: prefixes("10.0.0.1/24"), Backlog: -1}, 0, "Backlog"},
		{Config{Addrs: prefixes("10.0.0.1/24"), DSCP: 64}, 0, "DSCP is 64; it must be 0 to 63"},
	} {
		a, b := pipe.New(pipe.Config{MTU: test.mtu})
		_, err := New(a, test.cfg)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("New: %v, want something about %q", err, test.text)
		}
		// The device is left alone.
		if err := a.Close(); err != nil {
			t.Errorf("New closed the device: %v", err)
		}
		b.Close()
	}
}

func TestCloseEndsEverything(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		l := h.listen(t, "tcp", ":80")
		u := h.listenPacket(t, h.server, "udp", ":53")
		unaccepted := h.dial(t, "tcp", "10.77.0.2:80")
		halfOpen := make(chan error, 1)
		go func() {
			_, err := h.server.Dial("tcp", "10.77.0.99:80")
			halfOpen <- err
		}()
		results := make(chan error, 4)
		for _, call := range []func() error{
			func() error { _, err := s.Read(make([]byte, 1)); return err },
			func() error { _, err := s.Write(make([]byte, 64<<20)); return err },
			func() error { _, err := u.Read(make([]byte, 1)); return err },
			func() error {
				for {
					if _, err := l.Accept(); err != nil {
						return err
					}
				}
			},
		} {
			go func() { results <- call() }()
		}
		synctest.Wait()
		if n := stackGoroutines(); n != 2*4 {
			t.Errorf("%d goroutines run for two stacks", n)
		}
		if err := h.server.Close(); err != nil {
			t.Fatal(err)
		}
		for range cap(results) {
			if err := <-results; !errors.Is(err, net.ErrClosed) {
				t.Errorf("blocked call: %v", err)
			}
		}
		if err := <-halfOpen; !errors.Is(err, net.ErrClosed) {
			t.Errorf("blocked Dial: %v", err)
		}
		noConns(t, h.server)
		if n := len(h.server.listeners.all()) + len(h.server.sockets.all()); n != 0 {
			t.Errorf("%d sockets left", n)
		}
		if err := h.server.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
		if err := h.server.Err(); err != net.ErrClosed {
			t.Errorf("Err: %v", err)
		}
		// The peers were told, unless their wire went first.
		for _, peer := range []*Conn{c, unaccepted} {
			_, err := io.Copy(io.Discard, peer)
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, net.ErrClosed) {
				t.Errorf("peer: %v", err)
			}
		}
		if n := h.server.Stats().TCP.OutRsts; n != 2 {
			t.Errorf("%d resets sent, want one each for the connections", n)
		}
		for name, call := range map[string]func() error{
			"Listen":       func() error { _, err := h.server.Listen("tcp", ":81"); return err },
			"ListenPacket": func() error { _, err := h.server.ListenPacket("udp", ":81"); return err },
			"Dial":         func() error { _, err := h.server.Dial("tcp", "10.77.0.1:81"); return err },
			"Dial udp":     func() error { _, err := h.server.Dial("udp", "10.77.0.1:81"); return err },
			"Ping":         func() error { _, err := h.server.Ping(t.Context(), client4, 1, nil); return err },
			"Close":        h.server.Close,
			"Shutdown":     func() error { return h.server.Shutdown(t.Context()) },
			"Conn.Close":   s.Close,
			"Accept":       func() error { _, err := l.Accept(); return err },
		} {
			if err := call(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		h.client.Close()
		synctest.Wait()
		if n := stackGoroutines(); n != 0 {
			t.Errorf("%d goroutines left", n)
		}
	})
}

func TestConnThatEndedBeforeTheStackIsClosedWithIt(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		mustWrite(t, c, "data")
		synctest.Wait()
		s.SetLinger(0)
		s.SetReadDeadline(time.Now().Add(time.Hour))
		s.Close()
		c.SetReadDeadline(time.Now().Add(time.Hour))
		synctest.Wait() // c has been reset and is out of the tables
		h.client.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
		if c.extra.readDeadline.timer != nil || s.extra.readDeadline.timer != nil {
			t.Error("a timer of a deadline is left")
		}
	})
}

func TestShutdownWaitsForDelivery(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		l := h.listen(t, "tcp", ":80")
		data := make([]byte, 200_000)
		s.Write(data)
		s.Close() // still being delivered
		done := make(chan error)
		start := time.Now()
		go func() { done <- h.server.Shutdown(t.Context()) }()
		<-time.After(30 * time.Second) // less than FIN-WAIT-2 lasts
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept during Shutdown: %v", err)
		}
		select {
		case err := <-done:
			t.Fatalf("Shutdown = %v before the data was read", err)
		default:
		}
		if n, err := io.Copy(io.Discard, c); n != int64(len(data)) || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		c.Close()
		if err := <-done; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		// The server closed first: it had to wait for its peer, not for its TIME-WAIT.
		if d := time.Since(start); d > 31*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
	})
}

func TestShutdownGivesUpWithTheContext(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		_, s := h.connect(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h.server.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("Shutdown = %v", err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Shutdown: %v", err)
		}
	})
}

func TestStackClosesItselfWhenTheDeviceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		cfg := serverConfig()
		cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		a, b := pipe.New(pipe.Config{Names: [2]string{"near", "far"}})
		s := newStack(t, a, cfg)
		l, err := s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		if s.Err() != nil {
			t.Errorf("Err of an open stack: %v", s.Err())
		}
		b.Close() // the wire is gone
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		<-s.Done()
		synctest.Wait()
		if err := s.Err(); err == nil || err.Error() != "stack: near: the far side has closed the wire" {
			t.Errorf("Err: %v", err)
		}
		if !strings.Contains(logged.String(), "level=ERROR") || !strings.Contains(logged.String(), "the far side has closed the wire") {
			t.Errorf("log: %s", logged.String())
		}
		if err := s.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// What is easily forgotten is an error that names it, and no panic.
func TestForgottenDeviceOrStackIsAnError(t *testing.T) {
	ctx := t.Context()
	for what, f := range map[string]func() error{
		"device":                   func() error { _, err := New(nil, serverConfig()); return err },
		"Stack, to dial":           func() error { _, err := new(Dialer).Dial("tcp", "10.77.0.2:80"); return err },
		"Stack, to dial a name":    func() error { _, err := new(Dialer).DialContext(ctx, "udp", "a.test:80"); return err },
		"Stack, to listen":         func() error { _, err := new(ListenConfig).Listen(ctx, "tcp", ":80"); return err },
		"Stack, to listen for UDP": func() error { _, err := new(ListenConfig).ListenPacket(ctx, "udp", ":53"); return err },
	} {
		missing, _, _ := strings.Cut(what, ",")
		if err := f(); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without a %s: %v", what, err)
		}
	}
}

func TestReadErrorOfTheDeviceClosesTheStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		s := newStack(t, failingReads{a}, serverConfig())
		<-s.Done()
		if err := s.Err(); err == nil || err.Error() != "stack: pipe0: read: bad file descriptor" {
			t.Errorf("Err: %v", err)
		}
		b.Close()
	})
}

type failingReads struct{ link.Device }

func (f failingReads) Queues() []link.Queue { return []link.Queue{failingQueue{f.Device.Queues()[0]}} }

type failingQueue struct{ link.Queue }

func (failingQueue) Read([]link.Frame) (int, error) {
	return 0, fmt.Errorf("read: %w", syscall.EBADF)
}

func TestObserverIsAskedOnceForEveryConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := make(map[ConnID]int)
		events := make(map[uint64][]string)
		observe := func(id ConnID) tcp.Observer {
			mu.Lock()
			defer mu.Unlock()
			asked[id]++
			return func(e *tcp.Event) {
				if e.Kind == tcp.EventState {
					mu.Lock()
					defer mu.Unlock()
					events[id.Serial] = append(events[id.Serial], e.To.String())
				}
			}
		}
		cfg := serverConfig()
		cfg.Observe = observe
		h := newHosts(t, clientConfig(), cfg, pipe.Config{})
		defer h.close()
		c, s := h.connect(t)
		id := s.ID()
		c.Close()
		wantEOF(t, s)
		s.Close()
		<-time.After(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(asked) != 1 || asked[id] != 1 || !id.Passive || id.Remote.Addr() != client4 {
			t.Errorf("asked for %v, connection %+v", asked, id)
		}
		want := "LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED"
		if got := strings.Join(events[id.Serial], " "); got != want {
			t.Errorf("states %s, want %s", got, want)
		}
	})
}

func TestMTUEventChangesNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{MTU: 9000})
		dev := &resizable{Device: a, events: make(chan link.Event, 1)}
		h := newHostsOn(t, dev, b, clientConfig(), serverConfig())
		defer h.close()
		c, _ := h.connect(t)
		if got := c.Info().AdvMSS; got != 9000-40 {
			t.Errorf("MSS %d", got)
		}
		dev.events <- link.Event{Kind: link.EventMTU, MTU: 1400}
		synctest.Wait()
		c2, _ := h.connect(t)
		if got := c2.Info().AdvMSS; got != 1400-40 {
			t.Errorf("MSS %d after the MTU changed", got)
		}
		u := h.dialUDP(t, "10.77.0.2:53")
		u.SetPathMTU(PathMTUDo)
		if _, err := u.Write(make([]byte, 1400)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("datagram beyond the new MTU: %v", err)
		}
	})
}

// resizable is a device whose events a test makes.
type resizable struct {
	link.Device
	events chan link.Event
}

func (r *resizable) Events() <-chan link.Event { return r.events }

func (r *resizable) Close() error {
	close(r.events)
	return r.Device.Close()
}

func TestEpochAndNowAgreeWithTheClock(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		<-time.After(time.Second)
		if got := h.client.Epoch().Add(time.Duration(h.client.Now())); !got.Equal(time.Now()) {
			t.Errorf("epoch + now = %v, the clock says %v", got, time.Now())
		}
		if got := h.client.Addrs(); len(got) != 3 || got[0] != clientConfig().Addrs[0] || got[2].String() != "fe80::1/64" {
			t.Errorf("Addrs: %v", got)
		}
	})
}
