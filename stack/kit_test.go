package stack

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// The two hosts of most tests.
var (
	client4 = netip.MustParseAddr("10.77.0.1")
	server4 = netip.MustParseAddr("10.77.0.2")
	client6 = netip.MustParseAddr("fd77::1")
	server6 = netip.MustParseAddr("fd77::2")
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func clientConfig() Config { return Config{Addrs: prefixes("10.77.0.1/24", "fd77::1/64")} }
func serverConfig() Config { return Config{Addrs: prefixes("10.77.0.2/24", "fd77::2/64")} }

// hosts are two stacks on one wire.
type hosts struct {
	client, server *Stack
}

func newHosts(t testing.TB, client, server Config, wire pipe.Config) *hosts {
	t.Helper()
	a, b := pipe.New(wire)
	return newHostsOn(t, a, b, client, server)
}

func newHostsOn(t testing.TB, a, b link.Device, client, server Config) *hosts {
	t.Helper()
	h := &hosts{client: newStack(t, a, client), server: newStack(t, b, server)}
	return h
}

func newStack(t testing.TB, dev link.Device, cfg Config) *Stack {
	t.Helper()
	s, err := New(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// close closes both hosts; the second has perhaps closed itself, for its wire is gone.
func (h *hosts) close() {
	h.client.Close()
	h.server.Close()
}

// withHosts runs a test in virtual time between two hosts. The bubble fails it when a
// goroutine is left at the end.
func withHosts(t *testing.T, f func(t *testing.T, h *hosts)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, clientConfig(), serverConfig(), pipe.Config{})
		defer h.close()
		f(t, h)
	})
}

// listen listens on the server.
func (h *hosts) listen(t testing.TB, network, address string) *Listener {
	t.Helper()
	l, err := h.server.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*Listener)
}

// dial dials from the client.
func (h *hosts) dial(t testing.TB, network, address string) *Conn {
	t.Helper()
	c, err := h.client.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

// connect returns the two ends of a connection to port 80 of the server.
func (h *hosts) connect(t testing.TB) (client, server *Conn) {
	t.Helper()
	l := h.listen(t, "tcp", ":80")
	defer l.Close()
	client = h.dial(t, "tcp", "10.77.0.2:80")
	return client, accept(t, l)
}

func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

// noConns verifies that a stack has no connection, timer or unaccepted connection left.
func noConns(t testing.TB, s *Stack) {
	t.Helper()
	for _, c := range s.Conns() {
		t.Errorf("%v is left in %v", c.ConnID, c.State)
	}
	if n := s.conns.Len(); n != 0 {
		t.Errorf("%d connections in the table", n)
	}
	if n := s.timers.len(); n != 0 {
		t.Errorf("%d timers left", n)
	}
	if n := s.drain.open.Load(); n != 0 {
		t.Errorf("Shutdown would wait for %d connections", n)
	}
}

// len is how many deadlines are set.
func (t *timers) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heap.Len()
}

// wantErr verifies an error the way users of net do: by errors.Is, and that it is a
// *net.OpError with this text.
func wantErr(t testing.TB, err, target error, text string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v is not %v", err, target)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("error %v (%T) is no *net.OpError", err, err)
	}
	if err != nil && err.Error() != text {
		t.Errorf("error reads\n%q, want\n%q", err.Error(), text)
	}
}

// mustWrite writes all of text.
func mustWrite(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

// wantRead reads exactly what is wanted.
func wantRead(t testing.TB, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b[:n], err, want)
	}
}

// wantEOF verifies that nothing more is to come.
func wantEOF(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v, want EOF", n, err)
	}
}

// stackGoroutines counts the goroutines that run code of this package's engines and
// timers.
func stackGoroutines() int {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for _, g := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(g, "stack.(*engine).run") || strings.Contains(g, "stack.(*Stack).runTimers") ||
			strings.Contains(g, "stack.(*Stack).watchDevice") {
			n++
		}
	}
	return n
}

// mute is a device that, once told to, loses all it writes.
type mute struct {
	link.Device
	on atomic.Bool
}

func (m *mute) Queues() []link.Queue {
	var queues []link.Queue
	for _, q := range m.Device.Queues() {
		queues = append(queues, &muteQueue{q, m})
	}
	return queues
}

type muteQueue struct {
	link.Queue
	m *mute
}

func (q *muteQueue) Write(frames []link.Frame) (int, error) {
	if q.m.on.Load() {
		return len(frames), nil
	}
	return q.Queue.Write(frames)
}
