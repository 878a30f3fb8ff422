package stack

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/a644562b/portico/ip/group"
)

// UDPConn is a UDP socket: a net.PacketConn, and, when it was dialed, a net.Conn, with
// the calls of net.UDPConn and, for what these leave out, ReadMsg and WriteMsg and their
// batches. Its methods may be called at any time from any goroutine.
//
// Sending never waits: what the device does not take is lost, as on any wire.
type UDPConn struct {
	stack   *Stack
	network string
	binding binding
	reuse   reuse
	peer    netip.AddrPort // the zero AddrPort unless dialed
	flow    *udpFlow       // nil unless a Forward handler was asked about it

	drops atomic.Uint64

	mu            sync.Mutex
	canRead       sync.Cond
	queue         datagrams
	limit         int
	options       udpOptions
	fault         syscall.Errno               // an ICMP error about what was sent, told once; 0: none
	groups        map[netip.Addr]group.Filter // what it hears of the groups it is in
	readDeadline  deadline
	writeDeadline deadline
	closed        bool
}

var (
	_ net.PacketConn = (*UDPConn)(nil)
	_ net.Conn       = (*UDPConn)(nil)
)

func newUDPConn(s *Stack, network string, b binding) *UDPConn {
	u := &UDPConn{stack: s, network: network, binding: b, limit: defaultUDPBuffer}
	u.options = udpOptions{ttl: s.cfg.TTL, tos: s.tos(), groupTTL: 1, groupLoop: true, broadcast: true}
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

// connected reports whether the socket was dialed.
func (u *UDPConn) connected() bool { return u.peer.IsValid() }

// awaits reports whether the socket, which was not dialed, takes datagrams to an address
// from anybody: by being bound to it, or, where specific is false, to all.
func (u *UDPConn) awaits(to netip.Addr, specific bool) bool {
	return !u.connected() && u.binding.addr.IsValid() == specific && u.binding.takes(to)
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
	u.queue = datagrams{}
	u.settleFlow()
	if u.flow != nil {
		u.flow.timer.Stop()
	}
	joined := u.groups
	u.groups = nil
	u.readDeadline.stop()
	u.writeDeadline.stop()
	u.canRead.Broadcast()
	u.mu.Unlock()
	if u.flow != nil {
		u.leaveFlows()
		return true
	}
	u.stack.sockets.remove(u)
	u.stack.groups.leaveAll(u, joined)
	return true
}

// LocalAddr is a *net.UDPAddr.
func (u *UDPConn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(u.stack.zoned(u.binding.addrPort()))
}

// RemoteAddr is a *net.UDPAddr, or nil when the socket was not dialed.
func (u *UDPConn) RemoteAddr() net.Addr {
	if !u.connected() {
		return nil
	}
	return net.UDPAddrFromAddrPort(u.stack.zoned(u.peer))
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
			Local: u.stack.zoned(u.binding.addrPort()), Remote: u.stack.zoned(u.peer), Queued: u.queue.charged, Drops: u.drops.Load(),
		})
		u.mu.Unlock()
	}
	sortByLocal(infos, func(i PacketInfo) netip.AddrPort { return i.Local })
	return infos
}
