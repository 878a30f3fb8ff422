package stack

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/ring"
)

// Listener accepts TCP connections, a net.Listener. Its methods may be called at any time
// from any goroutine.
type Listener struct {
	stack   *Stack
	network string
	binding binding
	config  ListenConfig

	// mu is taken with the lock of a connection held, never the other way round.
	mu        sync.Mutex
	canAccept sync.Cond
	queue     ring.Ring[*Conn] // established, not accepted
	claimed   int              // places in the queue for connections that are on their way
	requests  int              // handshakes under way: the SYN queue
	fast      fastOpener
	deadline  deadline
	closed    bool

	cookiesUntil atomic.Int64 // until then SYN cookies may come back; 0: none was sent
	floodTold    sync.Once    // the log has been told that the SYN queue is full
}

var _ net.Listener = (*Listener)(nil)

// Listen waits for TCP connections at a local address. The networks are "tcp", "tcp4" and
// "tcp6", the address is as for net.Listen: without a host, or with the unspecified one,
// every address of the stack, of both families with "tcp"; with port 0 a free port, which
// Addr tells. A port that another listener uses for the same address, or for all of them,
// gives EADDRINUSE; an address that is not the stack's EADDRNOTAVAIL. A name is
// resolved, and one of its addresses listened on. The result is a *Listener. For settings see
// ListenConfig.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	return (&ListenConfig{Stack: s}).Listen(context.Background(), network, address)
}

// parseBinding reads the address of a Listen or ListenPacket.
func (s *Stack) parseBinding(ctx context.Context, network string, f family, address string) (binding, error) {
	if address == "" {
		return binding{families: f}, nil
	}
	t, err := s.parseTarget(network, f, address)
	if err != nil {
		return binding{}, err
	}
	if t.name != "" {
		if t.addr, err = s.bindingAddr(ctx, t.name, f); err != nil {
			return binding{}, err
		}
	}
	b := binding{addr: t.addr, families: f, port: t.port}
	if t.addr.IsValid() {
		b.families = familyOf(t.addr)
	}
	return b, nil
}

// bind runs add, which enters a socket bound to b into its table.
func (s *Stack) bind(add func() error, b *binding) error {
	if s.closing.Load() {
		return net.ErrClosed
	}
	if b.addr.IsValid() && !s.addrs.isLocal(b.addr) {
		return errNotOurs
	}
	return add()
}

// bindingAddr is the address of a name to bind to: of several the first, one of IPv4 before
// others, as in net.
func (s *Stack) bindingAddr(ctx context.Context, name string, f family) (netip.Addr, error) {
	addrs, err := s.lookup(ctx, s.resolver, name, f)
	if err != nil {
		return netip.Addr{}, err
	}
	if i := slices.IndexFunc(addrs, netip.Addr.Is4); i >= 0 {
		return addrs[i], nil
	}
	return addrs[0], nil
}

// describe is how an error names a binding: the wildcard of both families as ":80".
func (s *Stack) describe(transport string, b *binding) net.Addr {
	if !b.addr.IsValid() {
		if transport == networkUDP {
			return &net.UDPAddr{Port: int(b.port)}
		}
		return &net.TCPAddr{Port: int(b.port)}
	}
	return s.netAddr(transport, b.addrPort())
}

func (l *Listener) bindingOf() *binding { return &l.binding }

// Accept waits for a connection and returns it, a *Conn. It is established (but see
// SetFastOpen), and may have ended since. After Close the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.accept()
	if err != nil {
		return nil, opError("accept", l.network, nil, l.Addr(), err)
	}
	return c, nil
}

func (l *Listener) accept() (*Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, net.ErrClosed
		case l.deadline.expired:
			return nil, os.ErrDeadlineExceeded
		case l.queue.Len() > 0:
			return l.queue.Pop(), nil
		}
		l.canAccept.Wait()
	}
}

// SetDeadline makes calls of Accept that still wait at t, and all later ones, return
// os.ErrDeadlineExceeded, until a later deadline is set. The zero time clears it.
func (l *Listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return opError("set", l.network, nil, l.Addr(), net.ErrClosed)
	}
	l.deadline.moveTo(t, &l.canAccept)
	return nil
}

// Addr is the address that the listener is bound to, a *net.TCPAddr.
func (l *Listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(l.stack.zoned(l.binding.addrPort()))
}

// Close stops listening. Connections that have not been accepted are reset, and so are
// handshakes; accepted connections are left alone.
func (l *Listener) Close() error {
	if !l.shut() {
		return opError("close", l.network, nil, l.Addr(), net.ErrClosed)
	}
	return nil
}

// shut is Close. It is false when the listener was closed already.
func (l *Listener) shut() bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.closed = true
	queue := l.queue
	l.queue = ring.Ring[*Conn]{}
	l.deadline.stop()
	l.canAccept.Broadcast()
	l.mu.Unlock()

	l.stack.listeners.remove(l)
	box := getOutbox()
	for queue.Len() > 0 {
		queue.Pop().abandon(l.stack, box)
	}
	for _, f := range l.stack.conns.Values() {
		if r, ok := f.(*request); ok && r.listener == l {
			r.cancel(box)
		}
	}
	box.put()
	return true
}

// room is whom a listener has room for.
type room uint8

const (
	roomForNobody   room = iota // closed, or the queue of connections to accept is full
	roomForNoRecord             // the SYN queue is full, and there are no cookies
	roomForCookie               // the SYN queue is full, or cookies answer all
	roomForRequest
)

// room says how a SYN is to be answered now. As on Linux either queue may be as long as the
// backlog.
func (l *Listener) room() room {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.roomNow()
}

func (l *Listener) roomNow() room {
	switch cookies := l.stack.cfg.SYNCookies; {
	case l.closed, l.queueFull():
		return roomForNobody
	case cookies == SYNCookiesAlways:
		return roomForCookie
	case l.requests < l.stack.cfg.Backlog:
		return roomForRequest
	case cookies == SYNCookiesNever:
		return roomForNoRecord
	}
	return roomForCookie
}

func (l *Listener) queueFull() bool { return l.queue.Len()+l.claimed >= l.stack.cfg.Backlog }

// admit enters a request into the table of connections, if there is room for it, and unless
// there is something under its key already, which it returns. Close finds all that are
// admitted before.
func (l *Listener) admit(key flowtable.Key, r *request) (other tcpFlow, room room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room = l.roomNow(); room != roomForRequest {
		return nil, room
	}
	if other, ok := l.stack.conns.Insert(key, r); !ok {
		return other, room
	}
	l.requests++
	return nil, room
}

// dismiss forgets a request that came to nothing or became a connection.
func (l *Listener) dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
}

// claim reserves a place in the queue for a connection that ready puts there, unless the
// queue is full. unclaim gives it back.
func (l *Listener) claim() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queueFull() {
		return false
	}
	l.claimed++
	return true
}

func (l *Listener) unclaim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claimed--
}

// ready puts a connection that is established into the place that was claimed. It is false
// when the listener has been closed meanwhile.
func (l *Listener) ready(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claimed--
	if l.closed {
		return false
	}
	l.queue.Push(c)
	l.canAccept.Signal()
	return true
}

// ListenerInfo describes a listener.
type ListenerInfo struct {
	Local netip.AddrPort `json:"local"`
	// Queued is how many connections have not been accepted, Handshakes how many are not
	// established yet; of either there may be Backlog.
	Queued     int `json:"queued"`
	Handshakes int `json:"handshakes"`
	Backlog    int `json:"backlog"`
}

// Listeners describes all listeners, by port.
func (s *Stack) Listeners() []ListenerInfo {
	var infos []ListenerInfo
	for _, l := range s.listeners.all() {
		l.mu.Lock()
		infos = append(infos, ListenerInfo{
			Local: s.zoned(l.binding.addrPort()), Queued: l.queue.Len(), Handshakes: l.requests, Backlog: s.cfg.Backlog,
		})
		l.mu.Unlock()
	}
	sortByLocal(infos, func(i ListenerInfo) netip.AddrPort { return i.Local })
	return infos
}
