// Package demo plays a scene and tells what happened: a client fetches a page from a
// portico, twice over one connection, which the client closes first; then it asks for the
// time of day, which portico closes first. Where it may, the scene has the kernel, a TUN
// and the real curl in it, in a network namespace of its own (OnTUN, which InNamespace
// starts); where it may not, two stacks on a pipe in memory (OnPipe). A second scene shows
// what portico does about a loss and a shut window.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/osi"
	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/google/gopacket/pcapgo"
)

// The cast.
var (
	hostAddr    = netip.MustParsePrefix("10.77.0.1/24")
	porticoAddr = netip.MustParsePrefix("10.77.0.2/24")
)

const services = "http=:80,daytime=:13"

// Story is what happened.
type Story struct {
	Wire    string `json:"wire"`   // "tun" or "pipe"
	Client  string `json:"client"` // "curl" or the name of what stood in for it
	Command string `json:"command"`
	// Page is what the client got the second time.
	Page string `json:"page"`
	// Ladders are that of the page's connection and that of the time of day's.
	Ladders []*ladder.Ladder `json:"ladders"`
	// Trouble is that of a connection over a wire that loses, to a visitor who does not read.
	Trouble *ladder.Ladder `json:"trouble"`
	// Anatomy is the second request for the page.
	Anatomy *osi.Anatomy `json:"anatomy"`
	// Sockets are portico's while the connection was open.
	Sockets view.Sockets `json:"sockets"`
}

// UnableError says that the scene could not be set up here.
type UnableError struct{ Err error }

func (e *UnableError) Error() string { return e.Err.Error() }
func (e *UnableError) Unwrap() error { return e.Err }

// client is who asks.
type client struct {
	name    string
	command string
	// fetch gets the page twice over one connection, with cookies and gzip, and returns
	// what came the second time.
	fetch func(ctx context.Context, url string) (string, error)
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// scene is a portico with its services and a capture of its wire.
type scene struct {
	node    *node.Node
	watch   *node.Watch
	server  *serve.Server
	capture lockedBuffer

	mu      sync.Mutex
	sockets view.Sockets // when the first answer was complete
}

// newScene puts a portico on the device that open makes a host of.
func newScene(open func(node.Config) (*node.Node, error)) (*scene, error) {
	s := &scene{watch: node.NewWatch()}
	n, err := open(node.Config{Addrs: []netip.Prefix{porticoAddr}, Capture: &s.capture, OnChange: s.watch.Changed})
	if err != nil {
		return nil, &UnableError{err}
	}
	s.node = n
	specs, err := serve.ParseSpecs(services)
	if err == nil {
		s.server, err = serve.Start(serve.Config{Network: n.Stack, Host: n.Stack, ConnState: s.onConn}, specs)
	}
	if err != nil {
		n.Stack.Close()
		return nil, err
	}
	return s, nil
}

// onConn looks at the sockets when the first answer is complete. The connection is open
// then: this runs in the server's goroutine for it, so that the second request waits.
func (s *scene) onConn(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateIdle && s.sockets.Connections == nil {
		s.sockets = view.All(s.node.Stack)
	}
}

// closeTime is how long a connection gets to close when the client is done.
const closeTime = 3 * time.Second

// play lets the client ask, closes the scene and tells.
func (s *scene) play(ctx context.Context, c client, wire string, about osi.Wire) (*Story, error) {
	story := &Story{Wire: wire, Client: c.name, Command: c.command}
	err := s.ask(ctx, c, story)
	var traces []record.Trace
	for _, sum := range s.node.Book.List() {
		if t, err := s.node.Book.Find(fmt.Sprint(sum.Serial)); err == nil {
			traces = append(traces, t)
		}
	}
	s.server.Close()
	s.node.Stack.Close()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	story.Sockets = s.sockets
	s.mu.Unlock()
	if len(traces) < 2 {
		return nil, fmt.Errorf("the demo saw %d connections instead of two", len(traces))
	}
	for i, t := range traces {
		peer := c.name
		if i > 0 {
			peer = "visitor"
		}
		story.Ladders = append(story.Ladders, ladder.Build(t, ladder.Config{Peer: peer}))
	}
	if story.Trouble, err = trouble(ctx); err != nil {
		return nil, err
	}
	packets, err := s.capture.packets()
	if err != nil {
		return nil, err
	}
	story.Anatomy, err = osi.TakeApart(packets, traces[0].Remote, traces[0].Local, about)
	return story, err
}

// ask is the client's part.
func (s *scene) ask(ctx context.Context, c client, story *Story) error {
	page, err := c.fetch(ctx, pageURL())
	if err != nil {
		return fmt.Errorf("%s did not get the page: %w", c.name, err)
	}
	story.Page = page
	if err := s.settle(ctx, 1); err != nil {
		return err
	}
	conn, err := c.dial(ctx, "tcp", netip.AddrPortFrom(porticoAddr.Addr(), 13).String())
	if err != nil {
		return fmt.Errorf("cannot ask for the time of day: %w", err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		return fmt.Errorf("cannot read the time of day: %w", err)
	}
	conn.Close()
	return s.settle(ctx, 2)
}

func pageURL() string { return "http://" + porticoAddr.Addr().String() + "/" }

// settle waits until want connections have run their course.
func (s *scene) settle(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	if !s.watch.Settled(ctx, s.node.Book, want) {
		return errors.New("a connection did not close in time")
	}
	return nil
}

// lockedBuffer is memory for a capture.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// packets reads the packets back.
func (b *lockedBuffer) packets() ([][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b.buf.Bytes()), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return nil, fmt.Errorf("cannot read the capture: %w", err)
	}
	var packets [][]byte
	for {
		p, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the capture: %w", err)
		}
		packets = append(packets, p)
	}
}
