// Package serve is what portico offers to visitors: a web site that shows a connection
// to whoever made it (net/http on a listener of the stack), and the small services that
// every host once had: echo (RFC 862), discard (RFC 863), chargen (RFC 864) and daytime
// (RFC 867), over TCP and UDP.
//
// It knows the stack only as something to listen on and to list, so that the kernel's
// sockets, or none, serve as well in tests.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/a644562b/portico/cmd/portico/internal/view"
)

// Default is what a daemon serves if not told otherwise, in the form ParseSpecs reads.
const Default = "http=:80,echo=:7,discard=:9,chargen=:19,daytime=:13"

// Spec is a service and the address that it listens on.
type Spec struct {
	Service string // one of Services
	Address string // host:port, the host empty for every address
}

// Services are the names that a Spec may have.
func Services() []string { return []string{"http", "echo", "discard", "chargen", "daytime"} }

// ParseSpecs reads a list such as "http=:80,echo=:7". An empty list serves nothing.
func ParseSpecs(list string) ([]Spec, error) {
	var specs []Spec
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		service, address, ok := strings.Cut(item, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form service=address:port, as in http=:80", item)
		}
		if !slices.Contains(Services(), service) {
			return nil, fmt.Errorf("no service is called %q: choose from %s", service, strings.Join(Services(), ", "))
		}
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return nil, fmt.Errorf("%q in %q is not an address and port, as in :80 or [fd77::2]:80", address, item)
		}
		specs = append(specs, Spec{service, address})
	}
	return specs, nil
}

// Network is what services listen on; a *stack.Stack is one.
type Network interface {
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
}

// Config says what the services run on.
type Config struct {
	Network Network
	// Host is listed by /conns.
	Host view.Host
	// Logger hears of connections that failed. Nil: nobody.
	Logger *slog.Logger
	// ConnState, if set, is told of the HTTP connections' states.
	ConnState func(net.Conn, http.ConnState)
}

// Server is a set of running services.
type Server struct {
	cfg       Config
	site      *http.Server
	listeners []net.Listener
	packets   []net.PacketConn
	running   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // of the small services
	closed bool
}

// Start listens on the address of every spec and serves. When one of them cannot be
// listened on nothing is left running.
func Start(cfg Config, specs []Spec) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, conns: make(map[net.Conn]struct{})}
	s.site = newSite(cfg)
	for _, spec := range specs {
		if err := s.start(spec); err != nil {
			s.Close()
			return nil, fmt.Errorf("cannot serve %s on %s: %w", spec.Service, spec.Address, err)
		}
	}
	return s, nil
}

func (s *Server) start(spec Spec) error {
	l, err := s.cfg.Network.Listen("tcp", spec.Address)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, l)
	if spec.Service == "http" {
		s.running.Go(func() {
			if err := s.site.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				s.cfg.Logger.Error("http ended", "err", err)
			}
		})
		return nil
	}
	s.running.Go(func() { s.accept(l, spec.Service) })
	pc, err := s.cfg.Network.ListenPacket("udp", spec.Address)
	if err != nil {
		return err
	}
	s.packets = append(s.packets, pc)
	s.running.Go(func() { s.answer(pc, spec.Service) })
	return nil
}

// Shutdown stops listening, closes what is idle, waits for HTTP requests under way until
// ctx ends, and closes what is still open then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeSmall()
	err := s.site.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) {
		err = nil // its listener was closed above, and it had not noticed yet
	}
	if err != nil {
		s.site.Close()
	}
	s.running.Wait()
	return err
}

// Close ends everything at once.
func (s *Server) Close() {
	s.closeSmall()
	s.site.Close()
	s.running.Wait()
}

// closeSmall closes every listener and the connections of the small services.
func (s *Server) closeSmall() {
	for _, l := range s.listeners {
		l.Close()
	}
	for _, pc := range s.packets {
		pc.Close()
	}
	s.mu.Lock()
	s.closed = true
	conns := make([]net.Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// track remembers a connection so that it can be closed; false when it is too late.
func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
