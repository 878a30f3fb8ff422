package stack

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/a644562b/portico/internal/flowtable"
)

// reuse says with whom a UDP socket shares its port, as SO_REUSEADDR and SO_REUSEPORT do
// on Linux: two sockets that both have one of them in common may overlap.
type reuse uint8

const (
	reuseAddr reuse = 1 << iota // the socket bound last gets what is sent to one host
	reusePort                   // what is sent to one host is spread over the sockets by flow
)

// udpTable holds the UDP sockets: all of them by port, and those that were dialed also by
// their four-tuple, under which they are found first.
type udpTable struct {
	mu     sync.RWMutex
	closed bool
	ports  map[uint16][]*UDPConn // of one port, the one bound last comes last
	dialed *flowtable.Table[*UDPConn]
}

func (t *udpTable) init() {
	t.ports = make(map[uint16][]*UDPConn)
	t.dialed = flowtable.New[*UDPConn]()
}

// add enters a socket. Port 0 in its binding means any free port of the range, and is
// replaced by it; the search starts at a random one (RFC 6056, algorithm 1).
func (t *udpTable) add(u *UDPConn, ports [2]uint16) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	b := &u.binding
	if b.port == 0 {
		port, ok := t.free(*b, ports)
		if !ok {
			return &portsExhausted{first: ports[0], last: ports[1]}
		}
		b.port = port
	} else if t.conflicts(b, u.reuse) {
		return os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if u.connected() {
		if _, ok := t.dialed.Insert(t.key(u), flowtable.Of(u)); !ok {
			return os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
	}
	t.ports[b.port] = append(t.ports[b.port], u)
	return nil
}

// key is that of a socket that was dialed.
func (t *udpTable) key(u *UDPConn) flowtable.Key {
	return t.dialed.Key(u.binding.addrPort(), u.peer)
}

// free finds a port for b that nobody uses, not even to share it.
func (t *udpTable) free(b binding, ports [2]uint16) (uint16, bool) {
	n := int(ports[1]) - int(ports[0]) + 1
	start := rand.IntN(n)
	for i := range n {
		b.port = ports[0] + uint16((start+i)%n)
		if !t.conflicts(&b, 0) {
			return b.port, true
		}
	}
	return 0, false
}

// conflicts reports whether b overlaps a socket that does not share with it.
func (t *udpTable) conflicts(b *binding, shared reuse) bool {
	for _, u := range t.ports[b.port] {
		if u.reuse&shared == 0 && u.binding.overlaps(b) {
			return true
		}
	}
	return false
}

// remove takes a socket out. Removing it twice does nothing.
func (t *udpTable) remove(u *UDPConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.connected() {
		t.dialed.Delete(t.key(u), flowtable.Of(u))
	}
	port := u.binding.port
	// Readers hold the lock while they walk: the array may change in place.
	sockets := slices.DeleteFunc(t.ports[port], func(o *UDPConn) bool { return o == u })
	if len(sockets) == 0 {
		delete(t.ports, port)
		return
	}
	t.ports[port] = sockets
}

// lookup finds the socket that a datagram between two addresses is for: one that was
// dialed to from, else one bound to the address, else one bound to all. Nil: none.
func (t *udpTable) lookup(local, from netip.AddrPort) *UDPConn {
	if u := t.dialedFrom(local, from); u != nil {
		return u
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	sockets := t.ports[local.Port()]
	for _, specific := range [...]bool{true, false} {
		n, last := 0, -1
		for i, u := range sockets {
			if u.awaits(local.Addr(), specific) {
				n, last = n+1, i
			}
		}
		if n > 1 && sockets[last].reuse&reusePort != 0 {
			return t.spread(sockets, local, from, specific, n)
		}
		if n > 0 {
			return sockets[last]
		}
	}
	return nil
}

// dialedFrom finds the socket of a four-tuple: one that was dialed to from, or a flow.
func (t *udpTable) dialedFrom(local, from netip.AddrPort) *UDPConn {
	if t.dialed.Len() == 0 {
		return nil
	}
	e, ok := t.dialed.Get(t.dialed.Key(local, from))
	u := e.Value
	if !ok || u.peer != from || u.binding.addrPort() != local {
		return nil
	}
	return u
}

// spread chooses one of the n sockets that share a port by the flow's hash, so that a
// flow keeps its socket while they stay the same.
func (t *udpTable) spread(sockets []*UDPConn, local, from netip.AddrPort, specific bool, n int) *UDPConn {
	chosen := uint64(t.dialed.Key(local, from)) % uint64(n)
	for _, u := range sockets {
		if !u.awaits(local.Addr(), specific) {
			continue
		}
		if chosen == 0 {
			return u
		}
		chosen--
	}
	return nil
}

// each calls f with every socket that is bound to a port, under the lock of the table:
// what is broadcast or sent to a group goes to all that take it.
func (t *udpTable) each(port uint16, f func(*UDPConn)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, u := range t.ports[port] {
		f(u)
	}
}

// all returns the sockets, in no order.
func (t *udpTable) all() []*UDPConn {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []*UDPConn
	for _, sockets := range t.ports {
		all = append(all, sockets...)
	}
	return all
}

// close refuses further sockets and returns those that are there.
func (t *udpTable) close() []*UDPConn {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.all()
}
