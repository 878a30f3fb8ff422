package stack

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
)

func itoa(port uint16) string { return strconv.Itoa(int(port)) }

// binding is what a socket is bound to: a port of one address, or, with the zero Addr,
// of all addresses of some families.
type binding struct {
	addr     netip.Addr
	families family
	port     uint16
}

// takes reports whether a packet to dst (and the binding's port) is for the binding.
func (b *binding) takes(dst netip.Addr) bool {
	return b.addr == dst || !b.addr.IsValid() && b.families.has(dst)
}

// overlaps reports whether some packet would be for both. On Linux a wildcard and an
// address of its family cannot share a port.
func (b *binding) overlaps(o *binding) bool {
	switch {
	case b.port != o.port || b.families&o.families == 0:
		return false
	case b.addr.IsValid() && o.addr.IsValid():
		return b.addr == o.addr
	}
	return true
}

// addrPort is the binding as an address: a wildcard of both families is "[::]", as in
// net.
func (b *binding) addrPort() netip.AddrPort {
	switch {
	case b.addr.IsValid():
		return netip.AddrPortFrom(b.addr, b.port)
	case b.families == family4:
		return netip.AddrPortFrom(netip.IPv4Unspecified(), b.port)
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), b.port)
}

// bound is a socket with a binding: a *Listener or a *UDPConn.
type bound interface {
	comparable
	bindingOf() *binding
}

// portTable holds the bound sockets of one transport. TCP connections are not in it:
// a port whose only users are connections can be listened on, as with the SO_REUSEADDR
// that net sets.
type portTable[S bound] struct {
	mu     sync.RWMutex
	closed bool
	ports  map[uint16][]S
}

// add enters a socket. Port 0 in its binding means any free port of the range, and is
// replaced by it; the search starts at a random one (RFC 6056, algorithm 1).
func (t *portTable[S]) add(s S, ports [2]uint16) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	b := s.bindingOf()
	if b.port == 0 {
		port, ok := t.free(*b, ports)
		if !ok {
			return &portsExhausted{first: ports[0], last: ports[1]}
		}
		b.port = port
	} else if t.inUse(b) {
		return os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if t.ports == nil {
		t.ports = make(map[uint16][]S)
	}
	t.ports[b.port] = append(t.ports[b.port], s)
	return nil
}

// free finds a port for b.
func (t *portTable[S]) free(b binding, ports [2]uint16) (uint16, bool) {
	n := int(ports[1]) - int(ports[0]) + 1
	start := rand.IntN(n)
	for i := range n {
		b.port = ports[0] + uint16((start+i)%n)
		if !t.inUse(&b) {
			return b.port, true
		}
	}
	return 0, false
}

func (t *portTable[S]) inUse(b *binding) bool {
	for _, s := range t.ports[b.port] {
		if s.bindingOf().overlaps(b) {
			return true
		}
	}
	return false
}

// conflicts reports whether a connection from local would meet a socket that is bound
// to it.
func (t *portTable[S]) conflicts(local netip.AddrPort) bool {
	_, ok := t.lookup(local.Addr(), local.Port())
	return ok
}

// lookup finds the socket that packets to dst and port are for.
func (t *portTable[S]) lookup(dst netip.Addr, port uint16) (s S, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range t.ports[port] {
		// At most one takes it: bindings do not overlap.
		if s.bindingOf().takes(dst) {
			return s, true
		}
	}
	return s, false
}

// remove takes a socket out. Removing it twice does nothing.
func (t *portTable[S]) remove(s S) {
	t.mu.Lock()
	defer t.mu.Unlock()
	port := s.bindingOf().port
	sockets := t.ports[port]
	for i := range sockets {
		if sockets[i] != s {
			continue
		}
		// Readers hold the lock while they walk: the array may change in place.
		sockets[i] = sockets[len(sockets)-1]
		var none S
		sockets[len(sockets)-1] = none
		t.ports[port] = sockets[:len(sockets)-1]
		break
	}
	if len(t.ports[port]) == 0 {
		delete(t.ports, port)
	}
}

// all returns the sockets, in no order.
func (t *portTable[S]) all() []S {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []S
	for _, sockets := range t.ports {
		all = append(all, sockets...)
	}
	return all
}

// close refuses further sockets and returns those that are there.
func (t *portTable[S]) close() []S {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.all()
}
