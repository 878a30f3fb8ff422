package stack

import (
	"cmp"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

var manyConns = flag.Int("stack.conns", 0,
	"open that many connections at once in TestManyConnections, in real time, and compare with 10,000; default 20,000 in virtual time")

// The flagged form compares with fewConns, and fails when a connection among many takes more
// than mostRatio times as long as one of those.
const (
	fewConns  = 10_000
	mostRatio = 1.5
)

// TestManyConnections opens connections, echoes on each when all are open, closes each, and
// finds nothing left at either host. What a machine has time for is no matter of
// correctness: only with -stack.conns is the time of it judged.
func TestManyConnections(t *testing.T) {
	if race.Enabled {
		t.Skip("it would take minutes, and others look for races")
	}
	if *manyConns == 0 {
		synctest.Test(t, func(t *testing.T) { liveThrough(t, 20_000) })
		return
	}
	liveThrough(t, fewConns) // pools, and the heap that the collector plans for
	var few []life
	for range 5 {
		few = append(few, liveThrough(t, fewConns))
	}
	slices.SortFunc(few, func(a, b life) int { return cmp.Compare(a.each(), b.each()) })
	base, many := few[len(few)/2], liveThrough(t, *manyConns)
	t.Logf("%v (median of %d)", base, len(few))
	t.Logf("%v", many)
	ratio := float64(many.each()) / float64(base.each())
	t.Logf("time per connection: %.2f times that of %d", ratio, fewConns)
	if ratio > mostRatio {
		t.Errorf("a connection among %d takes %.2f times as long as among %d, want at most %.1f",
			*manyConns, ratio, fewConns, mostRatio)
	}
}

// life is what n connections took from their opening to the end.
type life struct {
	n                 int
	open, echo, close time.Duration
	bytes             float64 // of heap for each end, when all were open and had echoed
}

// each is the time that one connection took in all.
func (l life) each() time.Duration { return (l.open + l.echo + l.close) / time.Duration(l.n) }

func (l life) String() string {
	per := func(d time.Duration) time.Duration { return d / time.Duration(l.n) }
	return fmt.Sprintf("%d connections: %v each (open %v, echo %v, close %v), %.0f bytes an end",
		l.n, l.each(), per(l.open), per(l.echo), per(l.close), l.bytes)
}

// crowd is the connections of one worker, which calls for both of their ends.
type crowd struct {
	dialer   Dialer
	port     string
	listener *Listener
	ends     [][2]*Conn // client, server
	err      error
}

// workers is how many calls are made at a time.
const workers = 4

// portsEach is how many connections start from one address of the client's.
const portsEach = 60_000

// liveThrough runs n connections between two hosts through their life.
func liveThrough(t *testing.T, n int) life {
	t.Helper()
	client, server := clientConfig(), serverConfig()
	client.Addrs = manyAddrs(workers * (n/workers/portsEach + 1))
	client.PortRange = [2]uint16{1024, 65535}
	server.Addrs = prefixes("10.77.0.2/16")
	client.TCP = tcp.Params{MSL: time.Second}
	server.TCP = client.TCP
	h := newHosts(t, client, server, pipe.Config{})
	defer h.close()

	crowds := make([]*crowd, workers)
	for w := range crowds {
		c := &crowd{port: fmt.Sprintf("10.77.0.2:%d", 7000+w), dialer: Dialer{Stack: h.client}}
		c.listener = h.listen(t, "tcp", c.port)
		c.ends = make([][2]*Conn, 0, n/workers)
		crowds[w] = c
	}
	addrs := len(client.Addrs) / workers
	before := heap()
	l := life{n: n / workers * workers}
	l.open = together(t, crowds, func(w int, c *crowd) error {
		for i := range cap(c.ends) {
			from := client.Addrs[w*addrs+i/portsEach].Addr()
			if err := c.connect(from); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		return nil
	})
	if a, b := h.client.conns.Len(), h.server.conns.Len(); a != l.n || b != l.n {
		t.Fatalf("%d and %d connections are open, want %d", a, b, l.n)
	}
	for _, s := range []*Stack{h.client, h.server} {
		if set := s.timers.len(); set > manyTimers+workers {
			t.Errorf("%d timers are set for idle connections", set)
		}
	}
	l.echo = together(t, crowds, func(_ int, c *crowd) error { return c.each(echoOnce) })
	l.bytes = float64(heap()-before) / float64(2*l.n)
	l.close = together(t, crowds, func(_ int, c *crowd) error { return c.each(closeBoth) })
	runtime.KeepAlive(crowds)

	// TIME-WAIT ends, at the latest for the connection that was closed last.
	for range 600 {
		if h.client.conns.Len()+h.server.conns.Len() == 0 {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	noConns(t, h.client)
	noConns(t, h.server)
	return l
}

// manyAddrs are n addresses of one network.
func manyAddrs(n int) []netip.Prefix {
	var list []netip.Prefix
	for i := range n {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 1, byte(1 + i)}), 16))
	}
	return list
}

// together runs f for every crowd at the same time and returns how long it took.
func together(t *testing.T, crowds []*crowd, f func(w int, c *crowd) error) time.Duration {
	t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	for w, c := range crowds {
		wg.Go(func() { c.err = f(w, c) })
	}
	wg.Wait()
	for _, c := range crowds {
		if c.err != nil {
			t.Fatal(c.err)
		}
	}
	return time.Since(start)
}

// connect opens one connection more. Nobody else dials the listener, so that what it
// accepts is the other end.
func (c *crowd) connect(from netip.Addr) error {
	c.dialer.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	client, err := c.dialer.Dial("tcp", c.port)
	if err != nil {
		return err
	}
	server, err := c.listener.Accept()
	if err != nil {
		return err
	}
	if client.LocalAddr().String() != server.RemoteAddr().String() {
		return fmt.Errorf("%v was accepted for %v", server.RemoteAddr(), client.LocalAddr())
	}
	c.ends = append(c.ends, [2]*Conn{client.(*Conn), server.(*Conn)})
	return nil
}

func (c *crowd) each(f func(i int, client, server *Conn) error) error {
	for i, e := range c.ends {
		if err := f(i, e[0], e[1]); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

// echoOnce sends what belongs to this connection alone to the server and back.
func echoOnce(i int, client, server *Conn) error {
	sent := fmt.Sprintf("connection %d of %v", i, client.LocalAddr())
	b := make([]byte, len(sent)+1)
	if _, err := client.Write([]byte(sent)); err != nil {
		return err
	}
	n, err := server.Read(b)
	if err != nil {
		return err
	}
	if _, err := server.Write(b[:n]); err != nil {
		return err
	}
	if n, err = client.Read(b); err != nil || string(b[:n]) != sent {
		return fmt.Errorf("echo of %q is %q, %v", sent, b[:n], err)
	}
	return nil
}

// closeBoth closes the client's end and, when the server has seen that, the server's.
func closeBoth(_ int, client, server *Conn) error {
	if err := client.Close(); err != nil {
		return err
	}
	var b [1]byte
	if n, err := server.Read(b[:]); n != 0 || err == nil {
		return fmt.Errorf("Read after the peer's Close = %d, %v", n, err)
	}
	return server.Close()
}
