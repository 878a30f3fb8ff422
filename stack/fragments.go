package stack

import (
	"crypto/rand"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
)

// idents are the identifications of all datagrams that may be cut.
type idents struct {
	mu   sync.Mutex
	next *ip.Idents
}

func (i *idents) init() {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	i.next = ip.NewIdents(secret)
}

// identify gives h an identification if the packet may be cut: over IPv4 by anybody on its
// way (RFC 6864), over IPv6 by us.
func (s *Stack) identify(h *ip.Header) {
	if h.DF {
		return
	}
	s.idents.mu.Lock()
	h.ID = s.idents.next.Next(h.Src, h.Dst, h.Protocol)
	s.idents.mu.Unlock()
}

// sendFragments sends the datagram whose header is h and whose payload is body in pieces of
// at most mtu bytes. It is false when that cannot be.
func (s *Stack) sendFragments(r route, h *ip.Header, body []byte, mtu int, o *outbox) bool {
	s.identify(h)
	pieces, ok := ip.Fragment(h, len(body), mtu)
	count := &s.count.by(o).ip[familyIndex(h.Dst)]
	if !ok {
		add(&count.FragFails, 1)
		return false
	}
	add(&count.FragOKs, 1)
	for {
		b, from, to, more := pieces.Next(o.header[:0])
		if !more {
			return true
		}
		add(&count.FragCreates, 1)
		o.parts[0] = body[from:to]
		o.frame[0] = link.Frame{Data: b, Payload: o.parts[:]}
		s.transmit(r, h.Dst, o.frame[:], o)
	}
}

// flow is what the flow label of IPv6 is made from.
type flow struct {
	src, dst         [16]byte
	srcPort, dstPort uint16
	protocol         ip.Protocol
}

// flowLabel is the label of a flow: the same for each of its packets, and for others
// another that cannot be guessed (RFC 6437, section 3). 0 for IPv4, which has none.
func (s *Stack) flowLabel(src, dst netip.AddrPort, p ip.Protocol) uint32 {
	if dst.Addr().Is4() {
		return 0
	}
	sum := maphash.Comparable(s.flowSeed, flow{
		src: src.Addr().As16(), dst: dst.Addr().As16(), srcPort: src.Port(), dstPort: dst.Port(), protocol: p,
	})
	return max(1, uint32(sum)&(1<<20-1)) // 0 would mean: no label
}
