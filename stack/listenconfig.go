package stack

import (
	"context"
	"net"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// ListenConfig has the settings of a Listener, which the connections that it accepts inherit
// as on Linux, or of a UDP socket. The zero value of every field but Stack is its default.
type ListenConfig struct {
	Stack *Stack
	// TTL is the time to live or hop limit of what is sent, that of a Listener's SYN,ACKs
	// included. 0: Config.TTL. See Conn.SetTTL.
	TTL uint8
	// DSCP is likewise the code point, 0 to 63. Nil: Config.DSCP. See Conn.SetDSCP.
	DSCP *uint8
	// KeepAlive are the settings of the connections where they are to differ from the
	// stack's.
	KeepAlive *tcp.KeepAlive
	// Control is called with each connection when its handshake is complete (with Fast Open,
	// when it has begun), before Accept can return it and before it sends anything more: SetReadBuffer, SetCongestion,
	// SetUserTimeout and so on. An error resets the connection, which is then not accepted.
	// It runs in a goroutine of the stack, or of a Write on another connection that waits for
	// room: it must be quick, calls that wait, such as Read, must not be made, and no lock be
	// taken that is held in a Write.
	Control func(*Conn) error
	// ReuseAddr lets UDP sockets that all have it share a port (SO_REUSEADDR). What is
	// broadcast or sent to a group reaches all of them that take it, what is sent to one
	// host only the one bound last.
	ReuseAddr bool
	// ReusePort lets UDP sockets that all have it share a port (SO_REUSEPORT). What is sent
	// to one host is spread over them by flow.
	ReusePort bool
}

// Listen is Stack.Listen with these settings. ctx bounds the lookup of a name, and nothing
// after that.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	transport, f, err := parseNetwork(network)
	if err == nil {
		err = lc.check(ctx)
	}
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	s := lc.Stack
	b, err := s.parseBinding(ctx, network, f, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	if transport != networkTCP {
		err := &net.AddrError{Err: unexpectedType, Addr: address}
		return nil, opError("listen", network, nil, s.describe(transport, &b), err)
	}
	l := &Listener{stack: s, network: network, binding: b, config: *lc}
	l.canAccept.L = &l.mu
	if err := s.bind(func() error { return s.listeners.add(l, s.cfg.PortRange) }, &b); err != nil {
		return nil, opError("listen", network, nil, s.describe(transport, &b), err)
	}
	return l, nil
}

// check refuses what no socket can be given, and to begin when ctx has ended.
func (lc *ListenConfig) check(ctx context.Context) error {
	if lc.Stack == nil {
		return errNoStack
	}
	if lc.DSCP != nil && *lc.DSCP > maxDSCP {
		return outOfRange("the DSCP", int(*lc.DSCP), 0, maxDSCP)
	}
	if ctx.Err() != nil {
		return contextError(ctx.Err())
	}
	return nil
}

// markSocket gives a UDP socket that begins the marks of what it sends.
func (lc *ListenConfig) markSocket(u *UDPConn) {
	if lc.TTL != 0 {
		u.options.ttl = lc.TTL
	}
	if lc.DSCP != nil {
		u.options.tos = *lc.DSCP << dscpShift
	}
}

// mark gives packets by r, to a peer that has no connection yet, the marks of those that its
// connection will have.
func (lc *ListenConfig) mark(r *route) {
	r.ttl, r.tos = lc.TTL, lc.Stack.tos()
	if lc.DSCP != nil {
		r.tos = *lc.DSCP << dscpShift
	}
}

// markConn gives a connection that begins the same.
func (lc *ListenConfig) markConn(c *Conn) {
	way := c.route()
	lc.mark(&way)
	c.ttl, c.dscp = way.ttl, way.tos>>dscpShift
}

// configure gives a connection that is about to be accepted, and locked, its settings. Where Control
// wants it reset that is done, and the result false.
func (lc *ListenConfig) configure(now mono.Time, c *Conn) bool {
	if lc.KeepAlive != nil {
		c.setKeepAlive(now, *lc.KeepAlive)
	}
	if err := c.control(lc.Control); err != nil {
		c.shut()
		c.tcb.Abort(c.now())
		return false
	}
	return true
}

// control lets f, unless it is nil, have the connection, which is locked, while nothing
// leaves.
func (c *Conn) control(f func(*Conn) error) error {
	if f == nil {
		return nil
	}
	c.held = true
	c.mu.Unlock()
	err := f(c)
	c.mu.Lock()
	c.held = false
	return err
}
