package stack

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
)

// udpFlow is what a UDPConn has more when a Forward handler was asked about it.
type udpFlow struct {
	last  atomic.Int64 // when something was sent or received, a mono.Time
	timer *time.Timer
	held  int  // what of the forwarder's memory it has; guarded by the lock of the socket
	over  bool // it has been idle for too long; likewise
}

// UDPRequest is the first datagram of a flow to an address that is not the stack's. One of
// Accept, Refuse and Ignore decides it; its methods may be called from any goroutine.
// Datagrams that come meanwhile wait with the first.
type UDPRequest struct {
	conn    *UDPConn
	header  ip.Header // of the first datagram
	packet  []byte    // its beginning, for the error that refuses it
	decided atomic.Bool
}

// quotedMost is how much of a packet an ICMP error may quote.
const quotedMost = 1280

// foreignUDP takes in a datagram to an address that is not ours, in frame f: one of a flow
// that exists, or the first of one that a handler is asked about.
func (e *engine) foreignUDP(f *link.Frame, d datagram, port uint16, data []byte, size int) {
	local := netip.AddrPortFrom(d.to, port)
	if u := e.s.sockets.dialedFrom(local, d.from); u != nil && u.deliver(e.count, d, data, size) {
		return
	}
	u := e.s.newFlow(local, d.from)
	if u == nil {
		e.drop(dropForwardFull)
		add(&e.count.udp[e.family].InErrors, e.packets)
		return
	}
	u.deliver(e.count, d, data, size)
	r := &UDPRequest{conn: u, header: e.header, packet: bytes.Clone(f.Data[:min(len(f.Data), quotedMost)])}
	go func() {
		defer r.Refuse()
		e.s.cfg.Forward.UDP(r)
	}()
}

// newFlow makes a flow; nil when there are too many.
func (s *Stack) newFlow(local, remote netip.AddrPort) *UDPConn {
	f := &s.forwarder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.flows) >= s.cfg.Forward.MaxUDP {
		return nil
	}
	u := newUDPConn(s, networkUDP, binding{addr: local.Addr(), families: familyOf(local.Addr()), port: local.Port()})
	u.peer, u.limit, u.flow = remote, flowBuffer, &udpFlow{}
	if _, ok := s.sockets.dialed.Insert(s.sockets.key(u), flowtable.Of(u)); !ok {
		return nil // another queue was faster; the next datagram finds it
	}
	f.flows[u] = struct{}{}
	u.used()
	u.flow.timer = time.AfterFunc(s.cfg.Forward.UDPIdle, u.idle)
	return u
}

// used notes that something was sent or received.
func (u *UDPConn) used() {
	if u.flow != nil {
		u.flow.last.Store(int64(u.stack.Now()))
	}
}

// idle ends a flow in which nothing has happened for too long, or looks again later.
func (u *UDPConn) idle() {
	left := u.stack.cfg.Forward.UDPIdle - u.stack.Now().Sub(mono.Time(u.flow.last.Load()))
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return
	}
	if left > 0 {
		u.flow.timer.Reset(left)
		u.mu.Unlock()
		return
	}
	u.flow.over = true
	u.canRead.Broadcast()
	u.mu.Unlock()
	u.leaveFlows()
}

// ended reports whether the flow has been idle for too long. The socket is locked.
func (u *UDPConn) ended() bool { return u.flow != nil && u.flow.over }

// leaveFlows makes room for another flow. The next datagram of this one makes a new
// request.
func (u *UDPConn) leaveFlows() {
	u.stack.sockets.dialed.Delete(u.stack.sockets.key(u), flowtable.Of(u))
	f := &u.stack.forwarder
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flows, u)
}

// settleFlow tells the forwarder what the flow holds, be it used or kept for later. Once
// the flows hold half of what they may, one that has been read gives back what it kept, so
// that flows of the past leave room for those in use. The socket is locked.
func (u *UDPConn) settleFlow() {
	if u.flow == nil {
		return
	}
	held := &u.stack.forwarder.held
	if u.queue.len() == 0 && held.Load() > int64(u.stack.cfg.Forward.UDPMemory/2) {
		u.queue = datagrams{}
	}
	now := u.queue.footprint()
	held.Add(int64(now - u.flow.held))
	u.flow.held = now
}

// flowFull reports whether the flows hold all that they may together.
func (u *UDPConn) flowFull() bool {
	return u.flow != nil && u.stack.forwarder.held.Load() >= int64(u.stack.cfg.Forward.UDPMemory)
}

// LocalAddr is the address that the peer asked for, a *net.UDPAddr.
func (r *UDPRequest) LocalAddr() net.Addr { return r.conn.LocalAddr() }

// RemoteAddr is who asks, a *net.UDPAddr.
func (r *UDPRequest) RemoteAddr() net.Addr { return r.conn.RemoteAddr() }

// Local and Remote are LocalAddr and RemoteAddr without the allocation.
func (r *UDPRequest) Local() netip.AddrPort  { return r.conn.binding.addrPort() }
func (r *UDPRequest) Remote() netip.AddrPort { return r.conn.peer }

// Accept returns the flow, a net.Conn whose first datagram waits to be read. What is
// written to it comes from the address that was asked for. When it has been idle for too
// long, reads return io.EOF and writes EPIPE; it is to be closed all the same.
func (r *UDPRequest) Accept() (*UDPConn, error) {
	if !r.decided.CompareAndSwap(false, true) {
		return nil, requestError(networkUDP, r.LocalAddr(), r.RemoteAddr(), errDecided)
	}
	r.packet = nil
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if r.conn.closed {
		return nil, requestError(networkUDP, r.LocalAddr(), r.RemoteAddr(), net.ErrClosed)
	}
	return r.conn, nil
}

// Refuse answers by an ICMP error that the port is unreachable, where the rate of errors
// permits. It does nothing when the request has been decided.
func (r *UDPRequest) Refuse() {
	if !r.decided.CompareAndSwap(false, true) {
		return
	}
	r.conn.shut()
	if m, ok := ip.Unreachable(ip.PortUnreachable, &r.header, r.packet); ok {
		o := getOutbox()
		r.conn.stack.sendError(&r.header, &m, o)
		o.put()
	}
	r.packet = nil
}

// Ignore drops what has come without an answer. The next datagram makes a new request.
func (r *UDPRequest) Ignore() {
	if r.decided.CompareAndSwap(false, true) {
		r.conn.shut()
	}
}
