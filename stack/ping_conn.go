package stack

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/ip"
)

// PingConn is a socket for ICMP or ICMPv6 echo, like the ping sockets of Linux (socket type
// SOCK_DGRAM, protocol ICMP): it sends echo requests with an identifier of its own, and
// gets the replies to them and the errors about them. It is a net.PacketConn whose packets
// are whole messages; SendEcho and ReceiveEcho are the same without their format. Its
// methods may be called at any time from any goroutine.
type PingConn struct {
	stack  *Stack
	family family
	local  netip.Addr // what requests come from; the zero Addr leaves the choice to the stack
	id     uint16     // does not change once in the table

	mu            sync.Mutex
	canRead       sync.Cond
	queue         ring.Ring[echoNews]
	queued        int // bytes that the queue counts for
	sent          [recentEchoes]sentEcho
	next          int // in sent
	ttl           uint8
	readDeadline  deadline
	writeDeadline deadline
	closed        bool
}

// recentEchoes is for how many requests errors are believed and round trips measured.
const recentEchoes = 256

// sentEcho is a request that was sent.
type sentEcho struct {
	to  netip.Addr
	seq uint16
	at  mono.Time
}

// echoNews is a reply, or an error, that waits to be read.
type echoNews struct {
	reply EchoReply
	data  []byte
	err   *ICMPError
}

func (n *echoNews) charge() int { return len(n.data) + datagramOverhead }

// Echo is a request to send.
type Echo struct {
	To   netip.Addr
	Seq  uint16
	Data []byte // up to what an IP packet carries; sent in fragments where it has to be
	TTL  uint8  // 0: the setting of the socket
}

// EchoReply is an answer.
type EchoReply struct {
	From netip.Addr
	Seq  uint16
	Size int   // of its data in bytes, which the buffer may not have held
	TTL  uint8 // the hops that it had left
	// RTT is the time since the request, 0 for one that is too long ago: the socket
	// remembers 256.
	RTT time.Duration
}

var _ net.PacketConn = (*PingConn)(nil)

// ListenPing opens a socket for echo requests. The network is "ip4:icmp" or "ip6:ipv6-icmp",
// or with a number "ip4:1" or "ip6:58"; the address is one of the stack's own, or empty. It
// needs no privilege. ListenPacket does the same for these networks.
func (s *Stack) ListenPing(network, address string) (*PingConn, error) {
	p, err := s.listenPing(network, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	return p, nil
}

func (s *Stack) listenPing(network, address string) (*PingConn, error) {
	families := map[string]family{
		"ip4:icmp": family4, "ip4:1": family4, "ip6:ipv6-icmp": family6, "ip6:58": family6,
	}
	f, ok := families[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	var local netip.Addr
	if address != "" {
		a, err := netip.ParseAddr(address)
		if err != nil {
			return nil, &net.AddrError{Err: noSuitableAddress, Addr: address}
		}
		if a, err = s.unzoned(a.Unmap()); err != nil {
			return nil, err
		}
		switch {
		case !f.has(a):
			return nil, &net.AddrError{Err: noSuitableAddress, Addr: address}
		case a.IsUnspecified():
		case !s.addrs.isLocal(a):
			return nil, errNotOurs
		default:
			local = a
		}
	}
	p := newPingConn(s, f, local)
	if err := s.pings.add(p); err != nil {
		return nil, err
	}
	return p, nil
}

func newPingConn(s *Stack, f family, local netip.Addr) *PingConn {
	p := &PingConn{stack: s, family: f, local: local, ttl: s.cfg.TTL}
	p.canRead.L = &p.mu
	return p
}

// ID is the identifier of the socket's requests.
func (p *PingConn) ID() uint16 { return p.id }

// SetTTL sets the TTL or hop limit of what is sent, 1 to 255.
func (p *PingConn) SetTTL(ttl int) error {
	if ttl < 1 || ttl > 255 {
		return p.opError("set", os.NewSyscallError("setsockopt", syscall.EINVAL))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ttl = uint8(ttl)
	return nil
}

// SendEcho sends a request. It never waits.
func (p *PingConn) SendEcho(e Echo) error { return p.opError("write", p.sendEcho(&e)) }

func (p *PingConn) sendEcho(e *Echo) error {
	s := p.stack
	to, err := s.unzoned(e.To.Unmap())
	if err != nil {
		return err
	}
	src, err := p.source(to)
	if err != nil {
		return err
	}
	if ip.ICMPHeaderLen+len(e.Data) > maxPayload(to) {
		return os.NewSyscallError("sendto", syscall.EMSGSIZE)
	}
	ttl, err := p.sending(&sentEcho{to: to, seq: e.Seq, at: s.Now()})
	if err != nil {
		return err
	}
	if e.TTL != 0 {
		ttl = e.TTL
	}
	request := ip.EchoRequest(to.Is4(), p.id, e.Seq, e.Data)
	box := getOutbox()
	defer box.put()
	s.sendMessageAs(s.tos(), ttl, src, to, &request, box)
	return nil
}

// source is the address to send to to from.
func (p *PingConn) source(to netip.Addr) (netip.Addr, error) {
	s := p.stack
	switch {
	case !to.IsValid() || to.IsUnspecified():
		return to, os.NewSyscallError("sendto", syscall.EDESTADDRREQ)
	case !p.family.has(to):
		return to, &net.AddrError{Err: noSuitableAddress, Addr: to.String()}
	case s.addrs.isBroadcast(to):
		return to, os.NewSyscallError("sendto", syscall.EACCES)
	}
	src, err := s.source(to)
	if err != nil {
		return src, os.NewSyscallError("connect", err)
	}
	if p.local.IsValid() {
		src = p.local
	}
	if src.IsLoopback() && !s.addrs.isLocal(to) {
		return src, os.NewSyscallError("sendto", syscall.EINVAL)
	}
	return src, nil
}

// sending notes a request that is about to be sent, and returns the TTL for it.
func (p *PingConn) sending(e *sentEcho) (ttl uint8, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, net.ErrClosed
	case p.writeDeadline.expired:
		return 0, os.ErrDeadlineExceeded
	}
	p.sent[p.next%recentEchoes] = *e
	p.next++
	return p.ttl, nil
}

// remembered finds the newest request to an address with a number; any address where to is
// the zero Addr. The socket is locked.
func (p *PingConn) remembered(to netip.Addr, seq uint16) *sentEcho {
	for i := range min(p.next, recentEchoes) {
		e := &p.sent[(p.next-1-i)%recentEchoes]
		if e.seq == seq && (e.to == to || !to.IsValid()) {
			return e
		}
	}
	return nil
}

// deliver queues a reply in a packet with header h, whose data it copies.
func (p *PingConn) deliver(now mono.Time, h *ip.Header, seq uint16, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := echoNews{reply: EchoReply{From: h.Src, Seq: seq, Size: len(data), TTL: h.TTL}, data: data}
	if e := p.remembered(netip.Addr{}, seq); e != nil {
		n.reply.RTT = now.Sub(e.at)
	}
	p.push(n)
}

// fail queues an error about one of the recent requests. It is false for others.
func (p *PingConn) fail(seq uint16, q *pathError) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remembered(q.Header.Dst, seq) == nil {
		return false
	}
	p.push(echoNews{err: &ICMPError{
		Kind: q.Kind, Code: q.Code, From: q.From, To: q.Header.Dst, Seq: seq, MTU: q.MTU, Errno: q.Errno,
	}})
	return true
}

// push queues what there is room for. The socket is locked.
func (p *PingConn) push(n echoNews) {
	if p.closed || p.queued+n.charge() > defaultUDPBuffer {
		p.stack.count.rare().drop(dropPingQueue, 1)
		return
	}
	n.data = append([]byte(nil), n.data...)
	p.queued += n.charge()
	p.queue.Push(n)
	p.canRead.Signal()
}

// ReceiveEcho waits for a reply and copies what fits of its data to b. An error about a
// request is returned as an *ICMPError in a *net.OpError; the socket goes on.
func (p *PingConn) ReceiveEcho(b []byte) (EchoReply, error) {
	reply, _, err := p.receive(b)
	reply.From = p.stack.zoned(netip.AddrPortFrom(reply.From, 0)).Addr()
	return reply, p.opError("read", err)
}

// receive waits for news; n is how much of the data was copied.
func (p *PingConn) receive(b []byte) (reply EchoReply, n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return EchoReply{}, 0, net.ErrClosed
		case p.readDeadline.expired:
			return EchoReply{}, 0, os.ErrDeadlineExceeded
		case p.queue.Len() > 0:
			news := p.queue.Pop()
			p.queued -= news.charge()
			if news.err != nil {
				return EchoReply{}, 0, news.err
			}
			return news.reply, copy(b, news.data), nil
		}
		p.canRead.Wait()
	}
}

// ReadFrom reads a reply as the message that it was: type, code, checksum, which is 0,
// identifier, sequence number, data. The address is a *net.IPAddr.
func (p *PingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	var data []byte
	if len(b) > ip.ICMPHeaderLen {
		data = b[ip.ICMPHeaderLen:]
	}
	reply, n, err := p.receive(data)
	if err != nil {
		return 0, nil, p.opError("read", err)
	}
	var head [ip.ICMPHeaderLen]byte
	_, head[0] = ip.EchoTypes(p.family == family4)
	binary.BigEndian.PutUint16(head[4:], p.id)
	binary.BigEndian.PutUint16(head[6:], reply.Seq)
	from := p.stack.zoned(netip.AddrPortFrom(reply.From, 0)).Addr()
	return copy(b, head[:]) + n, &net.IPAddr{IP: from.AsSlice(), Zone: from.Zone()}, nil
}

// WriteTo sends an echo request, given as a message, to a *net.IPAddr or *net.UDPAddr. Its
// checksum and identifier are replaced by the right ones; messages of other types give
// EINVAL, as on Linux.
func (p *PingConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := ipOf(addr)
	request, _ := ip.EchoTypes(p.family == family4)
	err := os.NewSyscallError("sendto", syscall.EINVAL)
	if ok && len(b) >= ip.ICMPHeaderLen && b[0] == request && b[1] == 0 {
		err = p.sendEcho(&Echo{To: to, Seq: binary.BigEndian.Uint16(b[6:]), Data: b[ip.ICMPHeaderLen:]})
	}
	if err != nil {
		return 0, opError("write", p.network(), p.LocalAddr(), addr, err)
	}
	return len(b), nil
}

// ipOf is the address of a user's net.Addr.
func ipOf(addr net.Addr) (netip.Addr, bool) {
	if a, ok := addr.(*net.IPAddr); ok {
		to, ok := netip.AddrFromSlice(a.IP)
		return to.Unmap().WithZone(a.Zone), ok
	}
	to, ok := addrPortOf(addr)
	return to.Addr(), ok
}

func (p *PingConn) network() string {
	if p.family == family4 {
		return "ip4:icmp"
	}
	return "ip6:ipv6-icmp"
}

// LocalAddr is a *net.IPAddr, unspecified unless the socket is bound to one address.
func (p *PingConn) LocalAddr() net.Addr {
	a := p.stack.zoned(netip.AddrPortFrom(p.local, 0)).Addr()
	switch {
	case a.IsValid():
	case p.family == family4:
		a = netip.IPv4Unspecified()
	default:
		a = netip.IPv6Unspecified()
	}
	return &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}
}

func (p *PingConn) opError(op string, err error) error {
	return opError(op, p.network(), p.LocalAddr(), nil, err)
}

// SetDeadline sets both deadlines.
func (p *PingConn) SetDeadline(t time.Time) error {
	if err := p.SetReadDeadline(t); err != nil {
		return err
	}
	return p.SetWriteDeadline(t)
}

// SetReadDeadline makes reads that still wait at t, and all later ones, return
// os.ErrDeadlineExceeded, until a later deadline is set. The zero time clears it.
func (p *PingConn) SetReadDeadline(t time.Time) error { return p.setDeadline(&p.readDeadline, t) }

// SetWriteDeadline makes writes after t return os.ErrDeadlineExceeded. They never wait.
func (p *PingConn) SetWriteDeadline(t time.Time) error { return p.setDeadline(&p.writeDeadline, t) }

func (p *PingConn) setDeadline(d *deadline, t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return opError("set", p.network(), nil, nil, net.ErrClosed)
	}
	d.moveTo(t, &p.canRead)
	return nil
}

// Close closes the socket. Blocked calls return net.ErrClosed.
func (p *PingConn) Close() error {
	if !p.shut() {
		return p.opError("close", net.ErrClosed)
	}
	return nil
}

// shut is Close. It is false when the socket was closed already.
func (p *PingConn) shut() bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.closed = true
	p.queue, p.queued = ring.Ring[echoNews]{}, 0
	p.readDeadline.stop()
	p.writeDeadline.stop()
	p.canRead.Broadcast()
	p.mu.Unlock()
	p.stack.pings.remove(p)
	return true
}

// pings are the ping sockets by their identifiers.
type pings struct {
	mu     sync.RWMutex
	closed bool
	byID   map[uint16]*PingConn
}

// maxPings leaves the search for a free identifier short.
const maxPings = 32768

// add gives p an identifier that no other has, and that strangers cannot guess.
func (ps *pings) add(p *PingConn) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case ps.closed:
		return net.ErrClosed
	case len(ps.byID) >= maxPings:
		return os.NewSyscallError("bind", syscall.EADDRINUSE)
	case ps.byID == nil:
		ps.byID = make(map[uint16]*PingConn)
	}
	p.id = uint16(rand.Uint32())
	for ps.byID[p.id] != nil {
		p.id++
	}
	ps.byID[p.id] = p
	return nil
}

func (ps *pings) remove(p *PingConn) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.byID, p.id)
}

// close refuses further sockets and returns those that are there.
func (ps *pings) close() []*PingConn {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.closed = true
	var all []*PingConn
	for _, p := range ps.byID {
		all = append(all, p)
	}
	return all
}

// find returns the socket with that identifier for packets to and from a family, and at
// the address local; nil if there is none.
func (ps *pings) find(id uint16, local netip.Addr) *PingConn {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	p := ps.byID[id]
	if p == nil || !p.family.has(local) || p.local.IsValid() && p.local != local {
		return nil
	}
	return p
}

// reply takes in an echo reply in a packet with header h. It is false when nobody waits
// for it.
func (ps *pings) reply(now mono.Time, id, seq uint16, h *ip.Header, data []byte) bool {
	p := ps.find(id, h.Dst)
	if p == nil {
		return false
	}
	p.deliver(now, h, seq, data)
	return true
}

// fail takes in an error about an echo request of ours, and is false when nobody sent it.
func (ps *pings) fail(q *pathError) bool {
	p := ps.find(binary.BigEndian.Uint16(q.Transport[4:]), q.Header.Src)
	return p != nil && p.fail(binary.BigEndian.Uint16(q.Transport[6:]), q)
}

// pingNetwork reports whether a network is one of a ping socket.
func pingNetwork(network string) bool { return strings.HasPrefix(network, "ip") }
