package stack

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/a644562b/portico/ip"
)

// Pong is the answer to a Ping.
type Pong struct {
	RTT   time.Duration
	TTL   uint8 // of the answer: the hops that it had left
	From  netip.Addr
	Bytes int // of payload
}

// Ping sends an ICMP or ICMPv6 echo request with a sequence number, of which the lower 16
// bits count, and a payload, and waits for its answer. It ends with ctx, whose error it
// returns as net would; with the error that the network answered instead; or with EMSGSIZE
// when the payload does not fit a packet. What does not fit the path is sent in fragments.
func (s *Stack) Ping(ctx context.Context, dst netip.Addr, seq int, payload []byte) (Pong, error) {
	dst = dst.Unmap()
	pong, err := s.ping(ctx, dst, uint16(seq), payload)
	if err != nil {
		return Pong{}, opError("ping", "ip", nil, &net.IPAddr{IP: dst.AsSlice()}, err)
	}
	return pong, nil
}

func (s *Stack) ping(ctx context.Context, dst netip.Addr, seq uint16, payload []byte) (Pong, error) {
	if s.closing.Load() {
		return Pong{}, net.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return Pong{}, contextError(err)
	}
	if !dst.IsValid() || dst.IsUnspecified() || dst.IsMulticast() || s.addrs.isBroadcast(dst) {
		return Pong{}, errors.New("not the address of one host")
	}
	src, err := s.addrs.source(dst)
	if err != nil {
		return Pong{}, os.NewSyscallError("connect", err)
	}
	if ip.ICMPHeaderLen+len(payload) > maxPayload(dst) {
		return Pong{}, os.NewSyscallError("sendto", syscall.EMSGSIZE)
	}
	p := &ping{dst: dst, seq: seq, answer: make(chan answer, 1)}
	if !s.pings.add(p) {
		return Pong{}, errors.New("too many pings at once")
	}
	defer s.pings.remove(p)

	sent := s.Now()
	request := ip.EchoRequest(dst.Is4(), p.id, seq, payload)
	box := getOutbox()
	s.sendMessage(src, dst, &request, box)
	box.put()
	select {
	case a := <-p.answer:
		a.pong.RTT = s.Now().Sub(sent)
		return a.pong, a.err
	case <-ctx.Done():
		return Pong{}, contextError(ctx.Err())
	case <-s.stopped:
		return Pong{}, net.ErrClosed
	}
}

// pings are the requests that wait for an answer.
type pings struct {
	mu   sync.Mutex
	byID map[uint16]*ping
}

type ping struct {
	dst     netip.Addr
	id, seq uint16
	answer  chan answer // holds one; later answers to the same request are dropped
}

type answer struct {
	pong Pong
	err  error
}

// maxPings leaves the search for a free identifier short.
const maxPings = 32768

// add gives p an identifier that no other has, and that strangers cannot guess.
func (ps *pings) add(p *ping) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.byID) >= maxPings {
		return false
	}
	if ps.byID == nil {
		ps.byID = make(map[uint16]*ping)
	}
	p.id = uint16(rand.Uint32())
	for ps.byID[p.id] != nil {
		p.id++
	}
	ps.byID[p.id] = p
	return true
}

func (ps *pings) remove(p *ping) {
	ps.mu.Lock()
	delete(ps.byID, p.id)
	ps.mu.Unlock()
}

// find returns the request with that identifier and number to dst; nil if none waits.
func (ps *pings) find(id, seq uint16, dst netip.Addr) *ping {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byID[id]; p != nil && p.seq == seq && p.dst == dst {
		return p
	}
	return nil
}

// reply takes in an echo reply in a packet with header h.
func (ps *pings) reply(id, seq uint16, h *ip.Header, data []byte) bool {
	p := ps.find(id, seq, h.Src)
	if p == nil {
		return false
	}
	p.tell(answer{pong: Pong{TTL: h.TTL, From: h.Src, Bytes: len(data)}})
	return true
}

// fail takes in an error about a request of ours. One that the packet is only late, or
// too big for a path that is to be found out, ends it just as well.
func (ps *pings) fail(q *ip.Quote) bool {
	id := binary.BigEndian.Uint16(q.Transport[4:])
	seq := binary.BigEndian.Uint16(q.Transport[6:])
	p := ps.find(id, seq, q.Header.Dst)
	if p == nil {
		return false
	}
	p.tell(answer{err: errors.New(q.Kind.String())})
	return true
}

func (p *ping) tell(a answer) {
	select {
	case p.answer <- a:
	default:
	}
}
