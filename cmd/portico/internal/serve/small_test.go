package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// kernel is the kernel's own loopback as a Network.
type kernel struct{}

func (kernel) Listen(network, address string) (net.Listener, error) {
	return net.Listen(network, address)
}
func (kernel) ListenPacket(network, address string) (net.PacketConn, error) {
	return net.ListenPacket(network, address)
}

// startAll serves every service on a port of its own and returns where, for TCP and UDP.
func startAll(t *testing.T) (s *Server, streams, datagrams map[string]string) {
	t.Helper()
	var specs []Spec
	for _, service := range Services() {
		specs = append(specs, Spec{service, "127.0.0.1:0"})
	}
	s, err := Start(Config{Network: kernel{}, Host: fakeHost{}}, specs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	streams, datagrams = make(map[string]string), make(map[string]string)
	for i, l := range s.listeners {
		streams[specs[i].Service] = l.Addr().String()
	}
	for i, pc := range s.packets {
		datagrams[specs[i+1].Service] = pc.LocalAddr().String() // http has none
	}
	return s, streams, datagrams
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestEchoEndsAfterTheFINAndAllBeforeIt(t *testing.T) {
	_, at, _ := startAll(t)
	c := dial(t, "tcp", at["echo"]).(*net.TCPConn)
	sent := make([]byte, 1<<20)
	new(Pattern).Read(sent)
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back (%v)", len(got), err)
	}
}

func TestDiscardSaysNothing(t *testing.T) {
	_, at, _ := startAll(t)
	c := dial(t, "tcp", at["discard"]).(*net.TCPConn)
	if _, err := c.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || len(got) != 0 {
		t.Errorf("%q (%v)", got, err)
	}
}

func TestChargenSendsThePatternUntilClosed(t *testing.T) {
	_, at, _ := startAll(t)
	c := dial(t, "tcp", at["chargen"])
	got := make([]byte, 3*len(chargenLines))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	// RFC 864: the first lines of the popular pattern.
	lines := strings.SplitN(string(got), "\r\n", 3)
	if lines[0] != ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`+"`abcdefg" ||
		lines[1] != `!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`+"`abcdefgh" {
		t.Errorf("the lines begin %q, %q", lines[0], lines[1])
	}
	for i := range 2 * len(chargenLines) {
		if got[i] != got[i+len(chargenLines)] {
			t.Fatal("the pattern does not go on where it left off")
		}
	}
}

func TestDaytimeIsOneLine(t *testing.T) {
	_, at, _ := startAll(t)
	got, err := io.ReadAll(dial(t, "tcp", at["daytime"]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse("Monday, January 2, 2006 15:04:05-MST\r\n", string(got)); err != nil {
		t.Error(err)
	}
}

func TestDatagramServicesAnswer(t *testing.T) {
	_, _, at := startAll(t)
	buf := make([]byte, 2048)
	exchange := func(service, request string) string {
		t.Helper()
		c := dial(t, "udp", at[service])
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		return string(buf[:n])
	}
	if got := exchange("echo", "hello"); got != "hello" {
		t.Errorf("echo: %q", got)
	}
	if got := exchange("daytime", ""); !strings.HasSuffix(got, "\r\n") {
		t.Errorf("daytime: %q", got)
	}
	if got := exchange("chargen", "?"); len(got) > 512 || !strings.HasPrefix(string(chargenLines), got) {
		t.Errorf("chargen: %q", got)
	}
}

// scriptedPackets is a PacketConn that receives what it was given and keeps what is sent.
type scriptedPackets struct {
	net.PacketConn
	in   []net.Addr
	sent []net.Addr
}

func (p *scriptedPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(p.in) == 0 {
		return 0, nil, net.ErrClosed
	}
	from := p.in[0]
	p.in = p.in[1:]
	return copy(b, "x"), from, nil
}

func (p *scriptedPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	p.sent = append(p.sent, to)
	return len(b), nil
}

func TestDatagramServicesDoNotTalkToEachOther(t *testing.T) {
	from := func(port int) net.Addr { return &net.UDPAddr{IP: net.IPv4(10, 77, 0, 1), Port: port} }
	p := &scriptedPackets{in: []net.Addr{from(7), from(13), from(17), from(19), from(4000)}}
	(&Server{}).answer(p, "echo")
	if len(p.sent) != 1 || p.sent[0].String() != "10.77.0.1:4000" {
		t.Errorf("answers went to %v", p.sent)
	}
	p = &scriptedPackets{in: []net.Addr{from(4000)}}
	(&Server{}).answer(p, "discard")
	if len(p.sent) != 0 {
		t.Errorf("discard answered %v", p.sent)
	}
}

func TestShutdownClosesSmallServicesAndWaitsForRequests(t *testing.T) {
	s, at, _ := startAll(t)
	c := dial(t, "tcp", at["echo"])
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + at["http"] + "/bytes/40000000") // more than the kernel's buffers hold
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the echo connection is still open")
	}
	select {
	case <-done:
		t.Error("the request under way was not waited for")
	default:
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != 40_000_000 || err != nil {
		t.Errorf("the request under way got %d bytes (%v)", n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantClosed(t, s.listeners)
}

func TestStartLeavesNothingRunningWhenItFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var n noted
	_, err = Start(Config{Network: &n, Host: fakeHost{}}, []Spec{{"echo", "127.0.0.1:0"}, {"discard", taken.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "cannot serve discard on "+taken.Addr().String()) {
		t.Errorf("error %v", err)
	}
	if wantClosed(t, n.listeners); len(n.listeners) != 1 {
		t.Errorf("%d listeners were made before", len(n.listeners))
	}
}

// noted is a kernel whose listeners are noted.
type noted struct {
	kernel
	listeners []net.Listener
}

func (n *noted) Listen(network, address string) (net.Listener, error) {
	l, err := n.kernel.Listen(network, address)
	if err == nil {
		n.listeners = append(n.listeners, l)
	}
	return l, err
}

// wantClosed asks the listeners themselves: their ports may be somebody else's by now.
func wantClosed(t *testing.T, listeners []net.Listener) {
	t.Helper()
	for _, l := range listeners {
		if err := l.(*net.TCPListener).SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v still listens", l.Addr())
		}
	}
}

func TestParseSpecs(t *testing.T) {
	got, err := ParseSpecs("http=:80, echo=[fd77::2]:7,")
	if want := []Spec{{"http", ":80"}, {"echo", "[fd77::2]:7"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseSpecs(""); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseSpecs(Default); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"http", "http:80", "gopher=:70", "http=80", "http=", "http=:"} {
		if _, err := ParseSpecs(bad); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestChargenStopsWhenThePeerIsGone(t *testing.T) {
	a, b := net.Pipe()
	b.Close()
	if err := generate(a); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}
