package stack

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/tcp"
)

// TCPRequest is a SYN to an address that is not the stack's. One of Accept, Refuse and
// Ignore decides it; its methods may be called from any goroutine.
type TCPRequest struct {
	stack   *Stack
	ends    tcp.Endpoints
	key     flowtable.Key
	route   route
	syn     tcp.Segment // the latest; guarded by the lock of the forwarder
	decided atomic.Bool
}

// requestTCP asks the handler about the SYN in hand.
func (e *engine) requestTCP(key flowtable.Key, ends tcp.Endpoints) {
	f := &e.s.forwarder
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.tcp[key]; r != nil {
		if r.ends == ends {
			r.keep(&e.seg) // perhaps the peer has given up and begun anew
		}
		return
	}
	if f.closed || len(f.tcp) >= e.s.cfg.Forward.MaxTCP {
		e.drop(dropForwardFull)
		add(&e.count.tcpExt.ListenDrops, e.packets)
		return
	}
	r := &TCPRequest{stack: e.s, ends: ends, key: key, route: route{via: e.in, lane: e.lane}}
	r.keep(&e.seg)
	f.tcp[key] = r
	go func() {
		defer r.Refuse()
		e.s.cfg.Forward.TCP(r)
	}()
}

// keep remembers a SYN without its data, which the peer will send again.
func (r *TCPRequest) keep(seg *tcp.Segment) {
	r.syn = *seg
	r.syn.Payload, r.syn.Block, r.syn.GSOSize = nil, nil, 0
}

// LocalAddr is the address that the peer asked for, a *net.TCPAddr.
func (r *TCPRequest) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(r.ends.Local) }

// RemoteAddr is who asks, a *net.TCPAddr.
func (r *TCPRequest) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(r.ends.Remote) }

// Local and Remote are LocalAddr and RemoteAddr without the allocation.
func (r *TCPRequest) Local() netip.AddrPort  { return r.ends.Local }
func (r *TCPRequest) Remote() netip.AddrPort { return r.ends.Remote }

// take decides the request and returns its SYN. The four-tuple stays taken until forget.
func (r *TCPRequest) take() (syn tcp.Segment, ok bool) {
	if !r.decided.CompareAndSwap(false, true) {
		return syn, false
	}
	r.stack.forwarder.mu.Lock()
	defer r.stack.forwarder.mu.Unlock()
	return r.syn, true
}

// forget makes room for another request of the four-tuple, if there is none already.
func (r *TCPRequest) forget() {
	f := &r.stack.forwarder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tcp[r.key] == r {
		delete(f.tcp, r.key)
	}
}

// Accept answers the SYN from the address that was asked for, and waits until the
// connection is established. It fails with what the handshake fails with, and with
// net.ErrClosed when the stack is closed.
func (r *TCPRequest) Accept() (*Conn, error) {
	syn, ok := r.take()
	if !ok {
		return nil, requestError(networkTCP, r.LocalAddr(), r.RemoteAddr(), errDecided)
	}
	defer r.forget()
	c, err := r.accept(&syn)
	if err != nil {
		return nil, requestError(networkTCP, r.LocalAddr(), r.RemoteAddr(), err)
	}
	return c, nil
}

func (r *TCPRequest) accept(syn *tcp.Segment) (*Conn, error) {
	s := r.stack
	c := newConn(s, networkTCPAny, r.route.via, s.serial.Add(1))
	defer s.forwarder.handshake(c, s.cfg.Forward.MaxTCP)()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	if c.gone {
		return nil, os.NewSyscallError("accept", syscall.ECONNABORTED)
	}
	if !s.insert(c, r.ends) {
		return nil, os.NewSyscallError("accept", syscall.EADDRINUSE)
	}
	now := c.now()
	c.open(now, r.ends, true)
	c.tcb.Segment(c.at(now), syn)
	box := getOutbox()
	c.settle(now, box)
	box.put()
	r.forget() // the table of connections has it now
	for !c.tcb.State().Synchronized() {
		switch {
		case c.usable() != nil:
			return nil, c.usable()
		case c.gone && c.tcb.Err() != nil:
			return nil, systemError("accept", c.tcb.Err())
		case c.gone:
			return nil, os.NewSyscallError("accept", syscall.ECONNABORTED) // reset by the peer
		}
		c.extras().canWrite.Wait()
	}
	return c, nil
}

// handshake counts c, which nobody knows of yet, among those in their handshake until over is
// called. Where there are too many the oldest makes way.
func (f *forwarder) handshake(c *Conn, most int) (over func()) {
	f.mu.Lock()
	l := &f.handshakes
	own := l.PushBack(c)
	var oldest *Conn
	if l.Len() > most {
		oldest = l.Remove(l.Front()).(*Conn)
	}
	f.mu.Unlock()
	if oldest != nil {
		oldest.makeWay()
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		l.Remove(own) // nothing, when it has made way
	}
}

// makeWay ends a handshake without a word to the peer, as a listener forgets one.
func (c *Conn) makeWay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.tcb.State() {
	case tcp.StateSynReceived:
		c.tcb.Abort(c.now())
		c.leave()
	case tcp.StateClosed:
		c.gone = true // before it was opened
	}
}

// Refuse answers the SYN by a reset, as a port does that nobody listens on. It does nothing
// when the request has been decided.
func (r *TCPRequest) Refuse() {
	syn, ok := r.take()
	if !ok {
		return
	}
	r.forget()
	var reset tcp.Segment
	if tcp.Refuse(&syn, &reset) {
		o := getOutbox()
		r.stack.sendSegment(r.route, r.ends.Local.Addr(), r.ends.Remote.Addr(), r.stack.tos(), &reset, nil, 0, o)
		o.put()
	}
}

// Ignore does not answer the SYN. The peer will try again, which makes a new request.
func (r *TCPRequest) Ignore() {
	if _, ok := r.take(); ok {
		r.forget()
	}
}
