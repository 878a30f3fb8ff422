package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// Dialer has the settings of a dial. The zero value of every field but Stack is its
// default.
type Dialer struct {
	Stack *Stack
	// LocalAddr is the address to dial from, a *net.TCPAddr or *net.UDPAddr to match the
	// network. An unspecified address or port 0 leaves the choice to the stack.
	LocalAddr net.Addr
	// Timeout is how long all of a dial may take, the lookup of a name included. Default:
	// until the protocol gives up (tcp.Params.R2SYN).
	Timeout time.Duration
	// Resolver finds the addresses of names. Default: that of the stack.
	Resolver Resolver
	// FallbackDelay is how long an address of a name is tried before the next one is tried
	// besides (RFC 8305, section 5). Default 250 ms, minimum 10 ms; negative: the next one
	// is tried when the one before has failed.
	FallbackDelay time.Duration
	// Attempt is called before each attempt with the network and the literal address that
	// it goes to; an error ends the attempt. It may run in several goroutines at once.
	Attempt func(ctx context.Context, network, address string) error
	// KeepAlive are the connection's settings where they are to differ from the stack's.
	KeepAlive *tcp.KeepAlive
	// FastOpen sends what is written first with the SYN to a server that has given us a cookie
	// before, and asks others for one (TCP Fast Open, RFC 7413; TCP_FASTOPEN_CONNECT of Linux).
	// Where there is a cookie Dial returns at once, and the SYN leaves with the first Write,
	// or when another call needs it; what is wrong with the server the calls that follow
	// tell. The network may deliver the data twice (section 6.1): only for applications to
	// which that does no harm.
	FastOpen bool
	// Control is called with a TCP connection before its SYN leaves, so that settings
	// hold from the first packet on: SetDSCP, SetTTL, SetReadBuffer, SetRetries and so on.
	// An error ends the dial. Calls that wait, such as Read, must not be made.
	Control func(*Conn) error
}

// Dial is DialContext without a context.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext connects to an address. The networks are "tcp", "tcp4", "tcp6", "udp",
// "udp4" and "udp6"; the address is a host and a port: "10.77.0.1:80", "[fe80::1%tun0]:80",
// "example.org:http". Without a host the stack itself is meant, which can also be reached
// by its own addresses, by those of 127.0.0.0/8 and by ::1.
//
// A name is resolved by Config.Resolver or Config.DNS. Over TCP its addresses of both
// families are then tried by Happy Eyeballs (RFC 8305): in the order of RFC 6724 and by
// turns, each 250 ms after the one before or as soon as that has failed, and the first
// connection wins.
//
// The result is a *Conn or a *UDPConn. Errors are those of net.Dialer: ECONNREFUSED,
// ETIMEDOUT, ENETUNREACH and others where no route leads (see Config.Routes),
// EADDRNOTAVAIL when no port is left, the context's, and a *net.DNSError where a name was
// not resolved; of several attempts the error is that of the first. Once ctx has ended the attempt leaves nothing
// behind; ctx does not affect a connection once made.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := Dialer{Stack: s}
	return d.DialContext(ctx, network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext is Stack.DialContext with the settings of the Dialer.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	transport, f, err := parseNetwork(network)
	if d.Stack == nil {
		err = errNoStack
	}
	if err == nil && address == "" {
		err = errMissingAddress
	}
	var t target
	if err == nil {
		t, err = d.Stack.parseTarget(network, f, address)
	}
	if err == nil && !t.addr.IsValid() && t.name == "" {
		var ok bool
		if t.addr, ok = d.Stack.addrs.anyOwn(f); !ok {
			err = &net.AddrError{Err: noSuitableAddress, Addr: address}
		}
	}
	if err != nil {
		return nil, opError("dial", network, nil, nil, err)
	}
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	if t.name != "" {
		return d.dialName(ctx, network, transport, f, t)
	}
	return d.dialAddr(ctx, network, transport, netip.AddrPortFrom(t.addr, t.port))
}

// dialAddr connects to one address.
func (d *Dialer) dialAddr(ctx context.Context, network, transport string, remote netip.AddrPort) (net.Conn, error) {
	c, err := d.dial(ctx, network, transport, remote)
	if bad := (*net.AddrError)(nil); errors.As(err, &bad) { // LocalAddr is none for this call
		return nil, opError("dial", network, nil, nil, err)
	}
	if err != nil {
		return nil, opError("dial", network, d.LocalAddr, d.Stack.netAddr(transport, remote), err)
	}
	return c, nil
}

// dial makes the connection; its errors are yet to be dressed.
func (d *Dialer) dial(ctx context.Context, network, transport string, remote netip.AddrPort) (net.Conn, error) {
	s := d.Stack
	if s.closing.Load() {
		return nil, net.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, contextError(err)
	}
	if remote.Port() == 0 {
		return nil, errPortZero
	}
	if d.Attempt != nil {
		if err := d.Attempt(ctx, network, s.zoned(remote).String()); err != nil {
			return nil, err
		}
	}
	local, err := d.local(transport, remote.Addr())
	if err != nil {
		return nil, err
	}
	if transport == networkUDP {
		return s.dialUDP(network, local, remote)
	}
	if a := remote.Addr(); a.IsMulticast() || s.addrs.isBroadcast(a) {
		// RFC 9293, section 3.9.2.3, MUST-46.
		return nil, os.NewSyscallError("connect", syscall.ENETUNREACH)
	}
	return d.dialTCP(ctx, network, local, remote)
}

// local is where the connection is to start: an address, and a port unless the stack is
// to choose it.
func (d *Dialer) local(transport string, remote netip.Addr) (netip.AddrPort, error) {
	s := d.Stack
	if d.LocalAddr == nil {
		return s.chosen(remote, 0)
	}
	// Where an address is given RFC 6724, which compares all of ours, need not be asked.
	if _, err := s.addrs.reach(remote); err != nil {
		add(&s.count.rare().ip[familyIndex(remote)].OutNoRoutes, 1)
		return netip.AddrPort{}, os.NewSyscallError("connect", err)
	}
	given, ok := addrPortOf(d.LocalAddr)
	if !ok || d.LocalAddr.Network() != transport {
		return netip.AddrPort{}, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
	}
	a, err := s.unzoned(given.Addr())
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return s.chosen(remote, given.Port())
	case a.Is4() != remote.Is4():
		if _, err := s.chosen(remote, 0); err != nil {
			return netip.AddrPort{}, err
		}
		return netip.AddrPort{}, &net.AddrError{Err: noSuitableAddress, Addr: d.LocalAddr.String()}
	case !s.addrs.isLocal(a):
		return netip.AddrPort{}, errNotOurs
	case a.IsLoopback() && !s.addrs.isLocal(remote):
		return netip.AddrPort{}, os.NewSyscallError("connect", syscall.ENETUNREACH) // it would never come back
	}
	return netip.AddrPortFrom(a, given.Port()), nil
}

// chosen is the address of ours that connections to remote start from by themselves.
func (s *Stack) chosen(remote netip.Addr, port uint16) (netip.AddrPort, error) {
	src, err := s.source(remote)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("connect", err)
	}
	return netip.AddrPortFrom(src, port), nil
}

// dialTCP makes a connection and waits until it is established or has failed.
func (d *Dialer) dialTCP(ctx context.Context, network string, local, remote netip.AddrPort) (net.Conn, error) {
	s := d.Stack
	c := newConn(s, tcpNetwork(network), s.routeTo(remote.Addr(), 0).via, s.serial.Add(1))
	c.mu.Lock()
	defer c.mu.Unlock()
	ends, err := s.claim(c, local, remote)
	if err != nil {
		return nil, err
	}
	now := c.now()
	c.open(now, ends, false)
	if d.KeepAlive != nil {
		c.setKeepAlive(now, *d.KeepAlive)
	}
	waits := d.FastOpen && s.offerFastOpen(now, c, ends)
	if err = c.control(d.Control); err == nil && waits && c.usable() == nil {
		c.deferred = true
		return c, nil
	}
	if err == nil {
		c.call(func(mono.Time) {}) // the SYN leaves
		err = c.waitEstablished(ctx)
	}
	if err != nil {
		c.shut()
		c.call(c.tcb.Abort)
		return nil, err
	}
	if d.KeepAlive == nil && d.Control == nil {
		c.extra = nil // nobody waits any more
	}
	return c, nil
}

// waitEstablished waits until the peer has answered, or ctx ends.
func (c *Conn) waitEstablished(ctx context.Context) error {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			c.extra.writers()
			c.mu.Unlock()
		})
		defer stop()
	}
	for {
		switch {
		case c.tcb.Err() != nil:
			if err := c.usable(); err != nil {
				return err // the stack was closed
			}
			return systemError("connect", c.tcb.Err())
		case c.tcb.State().Synchronized():
			return nil
		case ctx.Err() != nil:
			return contextError(ctx.Err())
		}
		if err := c.usable(); err != nil {
			return err
		}
		c.extras().canWrite.Wait()
	}
}

// claim enters the connection into the table, and so reserves its four-tuple. A local
// port of 0 is replaced by an ephemeral one. The connection is locked.
func (s *Stack) claim(c *Conn, local, remote netip.AddrPort) (tcp.Endpoints, error) {
	ends := tcp.Endpoints{Local: local, Remote: remote}
	if local.Port() != 0 {
		if s.listeners.conflicts(local) || !s.insert(c, ends) {
			return ends, os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
		return ends, nil
	}
	// RFC 6056, algorithm 4: the ports for one destination are tried in order, from
	// where a keyed hash of it says, so that they are not soon used again and nobody
	// else can tell which is next. How far they are is counted for it and few others: were
	// it counted for all together, the search would skip what others took, come round early,
	// and among many connections find the fourth port free or the tenth.
	first, last := s.cfg.PortRange[0], s.cfg.PortRange[1]
	n := uint32(last) - uint32(first) + 1
	offset := tcp.EphemeralOffset(&s.secret, local.Addr(), remote)
	counter := &s.ephemeral[tcp.EphemeralCounter(&s.secret, local.Addr(), remote)%uint32(len(s.ephemeral))]
	for range n {
		port := first + uint16((offset+counter.Add(1))%n)
		ends.Local = netip.AddrPortFrom(local.Addr(), port)
		// A connection to itself would be a strange peer.
		if ends.Local == remote || s.listeners.conflicts(ends.Local) {
			continue
		}
		if s.insert(c, ends) {
			return ends, nil
		}
	}
	return ends, &portsExhausted{first: first, last: last, remote: remote.String()}
}

func (s *Stack) insert(c *Conn, ends tcp.Endpoints) bool {
	_, ok := s.conns.Insert(s.conns.Key(ends.Local, ends.Remote), c)
	return ok
}
