package stack

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/a644562b/portico/internal/ring"
)

// defaultUDPBuffer bounds what waits in a UDP socket, in bytes, as on Linux
// (net.core.rmem_default). Every datagram counts for datagramOverhead more than its
// payload, so that empty ones are not free.
const (
	defaultUDPBuffer = 212_992
	datagramOverhead = 256
)

// UDPConn is a UDP socket: a net.PacketConn, and, when it was dialed, a net.Conn. Its
// methods may be called at any time from any goroutine.
type UDPConn struct {
	stack   *Stack
	network string
	binding binding
	peer    netip.AddrPort // the zero AddrPort unless dialed

	drops atomic.Uint64

	mu            sync.Mutex
	canRead       sync.Cond
	queue         ring.Ring[datagram]
	queued        int // bytes that the queue counts for
	limit         int
	refused       bool // the peer has said that nobody listens; told once
	readDeadline  deadline
	writeDeadline deadline
	closed        bool
}

// datagram is one that waits to be read.
type datagram struct {
	payload []byte
	from    netip.AddrPort
}

func (d *datagram) charge() int { return len(d.payload) + datagramOverhead }

var (
	_ net.PacketConn = (*UDPConn)(nil)
	_ net.Conn       = (*UDPConn)(nil)
)

// ListenPacket opens a UDP socket. The networks are "udp", "udp4" and "udp6"; the address
// and the errors are as for Listen. The result is a *UDPConn.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	transport, f, err := parseNetwork(network)
	if err == nil && transport != networkUDP {
		err = &net.AddrError{Err: unexpectedType, Addr: address}
	}
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	b, err := s.parseBinding(network, f, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	u := newUDPConn(s, network, b)
	if err := s.bind(func() error { return s.sockets.add(u, s.cfg.PortRange) }, &b); err != nil {
		return nil, opError("listen", network, nil, bindingAddr(transport, &b), err)
	}
	return u, nil
}

func newUDPConn(s *Stack, network string, b binding) *UDPConn {
	u := &UDPConn{stack: s, network: network, binding: b, limit: defaultUDPBuffer}
	u.canRead.L = &u.mu
	return u
}

// dialUDP opens a socket that exchanges datagrams with remote only.
func (s *Stack) dialUDP(network string, local, remote netip.AddrPort) (*UDPConn, error) {
	u := newUDPConn(s, network, binding{addr: local.Addr(), families: familyOf(local.Addr()), port: local.Port()})
	u.peer = remote
	if err := s.sockets.add(u, s.cfg.PortRange); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *UDPConn) bindingOf() *binding { return &u.binding }

// connected reports whether the socket was dialed.
func (u *UDPConn) connected() bool { return u.peer.IsValid() }

// deliver queues a datagram, which it copies. It is false when the socket does not take
// datagrams from there.
func (u *UDPConn) deliver(payload []byte, from netip.AddrPort) bool {
	if u.connected() && from != u.peer {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	d := datagram{from: from}
	if u.queued+len(payload)+datagramOverhead > u.limit {
		u.drops.Add(1)
		u.stack.count.drop(dropUDPQueue)
		return true
	}
	d.payload = append([]byte(nil), payload...)
	u.queued += d.charge()
	u.queue.Push(d)
	u.canRead.Signal()
	return true
}

// refuse makes the next Read or Write return ECONNREFUSED: an ICMP error said that nobody
// listens at the peer's port.
func (u *UDPConn) refuse() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refused = true
	u.canRead.Broadcast()
}

// receive waits for a datagram and copies what fits of it to b; the rest is lost, as on
// Linux.
func (u *UDPConn) receive(b []byte) (int, netip.AddrPort, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		switch {
		case u.closed:
			return 0, netip.AddrPort{}, net.ErrClosed
		case u.readDeadline.expired:
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		case u.refused:
			u.refused = false
			return 0, netip.AddrPort{}, os.NewSyscallError("read", syscall.ECONNREFUSED)
		case u.queue.Len() > 0:
			d := u.queue.Pop()
			u.queued -= d.charge()
			return copy(b, d.payload), d.from, nil
		}
		u.canRead.Wait()
	}
}

// Read reads one datagram. What does not fit b is lost.
func (u *UDPConn) Read(b []byte) (int, error) {
	n, _, err := u.receive(b)
	return n, u.opError("read", err)
}

// ReadFrom reads one datagram and tells its sender, a *net.UDPAddr.
func (u *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := u.receive(b)
	if err != nil {
		return n, nil, u.opError("read", err)
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without the allocation.
func (u *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := u.receive(b)
	return n, from, u.opError("read", err)
}

// send sends a datagram. It never waits.
func (u *UDPConn) send(b []byte, to netip.AddrPort) error {
	if err := u.maySend(); err != nil {
		return err
	}
	if !u.binding.families.has(to.Addr()) {
		return &net.AddrError{Err: noSuitableAddress, Addr: to.String()}
	}
	if to.Port() == 0 {
		return os.NewSyscallError("sendto", syscall.EINVAL)
	}
	src, err := u.stack.addrs.source(to.Addr())
	if err != nil {
		return os.NewSyscallError("sendto", err)
	}
	if u.binding.addr.IsValid() {
		src = u.binding.addr
	}
	if src.IsLoopback() && !u.stack.addrs.isLocal(to.Addr()) {
		return os.NewSyscallError("sendto", syscall.EINVAL) // never on a wire (RFC 1122, section 3.2.1.3 (g))
	}
	err = u.stack.sendDatagram(netip.AddrPortFrom(src, u.binding.port), to, b)
	if err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return nil
}

// maySend returns why nothing can be sent now.
func (u *UDPConn) maySend() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.closed:
		return net.ErrClosed
	case u.writeDeadline.expired:
		return os.ErrDeadlineExceeded
	case u.refused:
		u.refused = false
		return os.NewSyscallError("write", syscall.ECONNREFUSED)
	}
	return nil
}

// Write sends a datagram to the address that was dialed. One that does not fit the MTU
// gives EMSGSIZE.
func (u *UDPConn) Write(b []byte) (int, error) {
	err := os.NewSyscallError("write", syscall.EDESTADDRREQ)
	if u.connected() {
		err = u.send(b, u.peer)
	}
	if err != nil {
		return 0, u.opError("write", err)
	}
	return len(b), nil
}

// WriteTo sends a datagram to addr, a *net.UDPAddr. Broadcast addresses are allowed. On a
// socket that was dialed the error is net.ErrWriteToConnected.
func (u *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addrPortOf(addr)
	var err error
	switch {
	case u.connected():
		err = net.ErrWriteToConnected
	case !ok || addr.Network() != networkUDP:
		err = syscall.EINVAL
	default:
		err = u.sendTo(b, to)
	}
	if err != nil {
		return 0, opError("write", u.network, u.LocalAddr(), addr, err)
	}
	return len(b), nil
}

// WriteToUDPAddrPort is WriteTo without the allocation.
func (u *UDPConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	err := net.ErrWriteToConnected
	if !u.connected() {
		err = u.sendTo(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	}
	if err != nil {
		return 0, opError("write", u.network, u.LocalAddr(), net.UDPAddrFromAddrPort(to), err)
	}
	return len(b), nil
}

// sendTo is send to an address of the user, of which an unspecified one is the stack
// itself.
func (u *UDPConn) sendTo(b []byte, to netip.AddrPort) error {
	if a := to.Addr(); !a.IsValid() || a.IsUnspecified() {
		own, ok := u.stack.addrs.anyOwn(u.binding.families)
		if !ok {
			return os.NewSyscallError("sendto", syscall.ENETUNREACH)
		}
		to = netip.AddrPortFrom(own, to.Port())
	}
	return u.send(b, to)
}

// Close closes the socket and drops what was not read. Blocked calls return
// net.ErrClosed.
func (u *UDPConn) Close() error {
	if !u.shut() {
		return u.opError("close", net.ErrClosed)
	}
	return nil
}

// shut is Close. It is false when the socket was closed already.
func (u *UDPConn) shut() bool {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return false
	}
	u.closed = true
	u.queue, u.queued = ring.Ring[datagram]{}, 0
	u.readDeadline.stop()
	u.writeDeadline.stop()
	u.canRead.Broadcast()
	u.mu.Unlock()
	u.stack.sockets.remove(u)
	return true
}

// LocalAddr is a *net.UDPAddr.
func (u *UDPConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(u.binding.addrPort()) }

// RemoteAddr is a *net.UDPAddr, or nil when the socket was not dialed.
func (u *UDPConn) RemoteAddr() net.Addr {
	if !u.connected() {
		return nil
	}
	return net.UDPAddrFromAddrPort(u.peer)
}

func (u *UDPConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, u.network, u.LocalAddr(), u.RemoteAddr(), err)
}

// SetDeadline sets both deadlines.
func (u *UDPConn) SetDeadline(t time.Time) error {
	return u.set(func() {
		u.readDeadline.moveTo(t, &u.canRead)
		u.writeDeadline.moveTo(t, &u.canRead)
	})
}

// SetReadDeadline makes reads that still wait at t, and all later ones, return
// os.ErrDeadlineExceeded, until a later deadline is set. The zero time clears it.
func (u *UDPConn) SetReadDeadline(t time.Time) error {
	return u.set(func() { u.readDeadline.moveTo(t, &u.canRead) })
}

// SetWriteDeadline makes writes after t return os.ErrDeadlineExceeded. They never wait.
func (u *UDPConn) SetWriteDeadline(t time.Time) error {
	return u.set(func() { u.writeDeadline.moveTo(t, &u.canRead) })
}

// SetReadBuffer bounds what waits to be read: bytes, each datagram counting for 256 more
// than its payload. Datagrams that find no room are dropped and counted. Minimum 2,304,
// as on Linux; default 212,992.
func (u *UDPConn) SetReadBuffer(bytes int) error {
	return u.set(func() { u.limit = max(bytes, minUDPBuffer) })
}

const minUDPBuffer = 2304

// set runs f, which changes a setting, on a socket that is not closed.
func (u *UDPConn) set(f func()) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return opError("set", u.network, nil, u.LocalAddr(), net.ErrClosed)
	}
	f()
	return nil
}

// PacketInfo describes a UDP socket.
type PacketInfo struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"` // the zero AddrPort unless dialed
	Queued int            `json:"queued"` // bytes that wait, overhead included
	Drops  uint64         `json:"drops"`  // datagrams that found no room
}

// PacketConns describes all UDP sockets, by port.
func (s *Stack) PacketConns() []PacketInfo {
	var infos []PacketInfo
	for _, u := range s.sockets.all() {
		u.mu.Lock()
		infos = append(infos, PacketInfo{
			Local: u.binding.addrPort(), Remote: u.peer, Queued: u.queued, Drops: u.drops.Load(),
		})
		u.mu.Unlock()
	}
	sortByLocal(infos, func(i PacketInfo) netip.AddrPort { return i.Local })
	return infos
}
