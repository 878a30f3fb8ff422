package stack

import (
	"container/list"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// Forward makes the stack take what is sent to addresses that are not its own, as
// transparent proxies and gateways do: whoever is asked for, a handler decides, and answers
// come from the address that was asked. Without handlers such packets are dropped. Nothing
// else is answered for others: no echo, and no address of the link itself.
//
// A handler runs in a goroutine of its own, one a request, and may take its time. When it
// returns without having decided, the request is refused.
type Forward struct {
	// TCP is asked about connections. Their handshake begins when the handler accepts,
	// which may be after it has reached whoever is behind; until then retransmitted SYNs
	// of the peer are not answered.
	TCP func(*TCPRequest)
	// UDP is asked about flows, which are the datagrams between two pairs of address
	// and port.
	UDP func(*UDPRequest)
	// MaxTCP bounds the requests for connections that have not been decided; SYNs beyond
	// are dropped, and the peer tries again. As many more may be in their handshake: beyond,
	// the one that has lasted longest makes way, and its Accept fails with ECONNABORTED, so
	// that a flood of SYNs (RFC 4987) costs no more. Default 1024.
	MaxTCP int
	// MaxUDP bounds the flows, those that have not been decided included; what would
	// start another is dropped. Default 16,384.
	MaxUDP int
	// UDPIdle is how long a flow lasts in which nothing is sent or received. Default 2
	// minutes (RFC 4787, section 4.3).
	UDPIdle time.Duration
	// UDPMemory bounds the bytes that all flows together hold for what waits to be read, as
	// SetReadBuffer counts them or as they are in fact, whichever is more. Default 64 MiB.
	UDPMemory int
}

const (
	defaultMaxTCP     = 1024
	defaultMaxUDP     = 16_384
	defaultUDPIdle    = 2 * time.Minute
	defaultFlowMemory = 64 << 20
	// flowBuffer bounds what waits in one flow unless SetReadBuffer says otherwise.
	flowBuffer = 64 << 10
)

// withDefaults returns the settings with every zero replaced.
func (f Forward) withDefaults() (Forward, error) {
	if f.MaxTCP < 0 || f.MaxUDP < 0 || f.UDPIdle < 0 || f.UDPMemory < 0 {
		return f, fmt.Errorf("stack: a limit of Forward is negative: MaxTCP %d, MaxUDP %d, UDPIdle %v, UDPMemory %d",
			f.MaxTCP, f.MaxUDP, f.UDPIdle, f.UDPMemory)
	}
	for _, d := range [...]struct {
		value *int
		other int
	}{{&f.MaxTCP, defaultMaxTCP}, {&f.MaxUDP, defaultMaxUDP}, {&f.UDPMemory, defaultFlowMemory}} {
		if *d.value == 0 {
			*d.value = d.other
		}
	}
	if f.UDPIdle == 0 {
		f.UDPIdle = defaultUDPIdle
	}
	return f, nil
}

// forwarder is what the handlers are asked about and have not decided, and the flows.
type forwarder struct {
	mu         sync.Mutex // taken with the lock of a connection held, never the other way round
	tcp        map[flowtable.Key]*TCPRequest
	handshakes list.List // of *Conn: those that Accept waits for, the oldest first
	flows      map[*UDPConn]struct{}
	closed     bool

	held atomic.Int64 // bytes that the flows hold
}

func (f *forwarder) init() {
	f.tcp = make(map[flowtable.Key]*TCPRequest)
	f.flows = make(map[*UDPConn]struct{})
}

// close ends the flows and refuses new ones.
func (f *forwarder) close() {
	f.mu.Lock()
	f.closed = true
	flows := make([]*UDPConn, 0, len(f.flows))
	for u := range f.flows {
		flows = append(flows, u)
	}
	f.mu.Unlock()
	for _, u := range flows {
		u.shut()
	}
}

// fragment6 is what a fragment over IPv6 looks to carry until it is whole.
const fragment6 ip.Protocol = 44

// forwards reports whether somebody takes packets of a protocol to other hosts: of ICMP the
// errors about what handlers have sent.
func (s *Stack) forwards(p ip.Protocol) bool {
	switch p {
	case ip.TCP:
		return s.cfg.Forward.TCP != nil
	case ip.UDP:
		return s.cfg.Forward.UDP != nil
	case fragment6, ip.ICMP, ip.ICMPv6:
		return s.cfg.Forward.UDP != nil || s.cfg.Forward.TCP != nil
	}
	return false
}

// foreign reports whether a packet to an address that is not ours is one for a handler. What
// is sent to neighbours on the link is not to be passed on (RFC 4291, section 2.5.6; RFC
// 3927, section 2.7).
func (s *Stack) foreign(h *ip.Header) bool {
	return s.forwards(h.Protocol) && !h.Dst.IsMulticast() && !h.Dst.IsLinkLocalUnicast() && ip.ValidSource(h.Dst)
}

// foreignICMP takes in an ICMP message to an address that is not ours. Only an error about
// what a handler has sent from there is for anybody here.
func (e *engine) foreignICMP(now mono.Time, payload []byte) {
	h := &e.header
	why := ip.ParseMessage(h, payload, &e.msg)
	if why == ip.DropNone && !e.quotes(now) {
		e.notForUs()
		return
	}
	e.delivers()
	e.messageCame(why)
}

var errDecided = errors.New("the request has been decided already")

// requestError dresses an error of a request for a connection or a flow.
func requestError(network string, local, remote net.Addr, err error) error {
	return opError("accept", network, remote, local, err)
}
