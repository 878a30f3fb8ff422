package stack

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// outbox is the memory that a packet is put together in, so that sending allocates
// nothing. An engine has its own; an application's goroutine borrows one.
type outbox struct {
	count  *shard // where its engine counts; nil: where the number says
	number uint32
	out    tcp.Out
	header [ip.HeaderLen6 + tcp.MaxHeaderLen]byte
	frame  [1]link.Frame
	piece  [1]link.Frame // of a super-segment that the device does not cut
	parts  [1][]byte     // the payload of a datagram
}

var (
	outboxes = sync.Pool{New: func() any { return &outbox{number: outboxCount.Add(1)} }}
	// outboxCount is how many have been lent.
	outboxCount atomic.Uint32
)

func getOutbox() *outbox { return outboxes.Get().(*outbox) }

// put gives the outbox back, with nothing in it that would keep other memory alive.
func (o *outbox) put() {
	o.clear()
	outboxes.Put(o)
}

func (o *outbox) clear() {
	clear(o.out.Data)
	o.frame[0], o.piece[0] = link.Frame{}, link.Frame{}
	o.parts[0] = nil
}

// The bits of the TOS octet or traffic class that ECN uses (RFC 3168, section 5).
const (
	ecnECT0 = 0b10 // the sender understands ECN
	ecnCE   = 0b11 // congestion experienced
	ecnMask = 0b11
)

// sendNext sends the segment that Next has put into the outbox.
func (s *Stack) sendNext(r route, src, dst netip.Addr, o *outbox) {
	tos := r.tos
	if o.out.ECT {
		tos |= ecnECT0
	}
	s.sendSegment(r, src, dst, tos, &o.out.Segment, o.out.Data, o.out.DataLen, o)
}

// sendSegment sends a TCP segment or super-segment whose payload is data, of n bytes.
func (s *Stack) sendSegment(r route, src, dst netip.Addr, tos uint8, seg *tcp.Segment, data [][]byte, n int, o *outbox) {
	hlen := headerLen(dst)
	b := seg.AppendHeader(o.header[:hlen])
	length := len(b) - hlen + n
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.TCP, TTL: r.hopLimit(), TOS: tos, DF: !r.mayCut}
	s.identify(&h)
	h.FlowLabel = s.flowLabel(netip.AddrPortFrom(src, seg.SrcPort), netip.AddrPortFrom(dst, seg.DstPort), ip.TCP)
	said := length
	if dst.Is4() && length > ip.MaxPayload4 {
		said = ip.LengthUnsaid // see link.BigSender
	}
	h.Append(o.header[:0], said)

	f := &o.frame[0]
	*f = link.Frame{Data: b, Payload: data}
	segments := 1
	if seg.GSOSize != 0 && n > seg.GSOSize {
		segments = (n + seg.GSOSize - 1) / seg.GSOSize
		f.GSO, f.GSOSize, f.HeaderLen = link.GSOTCP4, uint16(seg.GSOSize), uint16(len(b))
		if !dst.Is4() {
			f.GSO = link.GSOTCP6
		}
	}
	sum := checksum.PseudoHeader(src, dst, uint8(ip.TCP), length)
	if f.GSO != link.GSONone || r.via.dev.Caps().Checksum {
		f.Checksum = link.ChecksumPartial
		f.ChecksumStart, f.ChecksumOffset = uint16(hlen), tcp.OffChecksum
	} else {
		sum = ^checksum.SumSlices(checksum.Sum(sum, b[hlen:]), data...)
	}
	binary.BigEndian.PutUint16(b[hlen+tcp.OffChecksum:], sum)

	count := s.count.by(o)
	add(&count.ip[familyIndex(dst)].OutRequests, segments)
	if seg.Again {
		add(&count.tcp.RetransSegs, segments)
	} else {
		add(&count.tcp.OutSegs, segments)
	}
	if seg.Flags.Has(tcp.RST) {
		add(&count.tcp.OutRsts, 1)
	}
	if f.GSO != link.GSONone && !r.via.cuts(dst) {
		s.sendPieces(r, dst, o)
		return
	}
	s.transmit(r, dst, o.frame[:], o)
}

// sendPieces cuts the super-segment in the outbox for a device that no longer does.
func (s *Stack) sendPieces(r route, dst netip.Addr, o *outbox) {
	err := gso.Split(&o.frame[0], func(f *link.Frame) {
		o.piece[0] = *f
		s.transmit(r, dst, o.piece[:], o)
	})
	if err != nil {
		s.refused(dst, &o.frame[0], o)
	}
}

// sendMessage sends an ICMP or ICMPv6 message, in fragments where the path is too narrow
// for it. Over IPv4 routers may cut it too, as on Linux.
func (s *Stack) sendMessage(src, dst netip.Addr, m *ip.Message, o *outbox) {
	s.sendMessageAs(0, s.cfg.TTL, src, dst, m, o)
}

// sendMessageAs is sendMessage with a type of service or traffic class, and a TTL or hop
// limit.
func (s *Stack) sendMessageAs(tos, ttl uint8, src, dst netip.Addr, m *ip.Message, o *outbox) {
	if !s.addrs.answerable(dst) {
		s.unrouted(dst, o)
		return
	}
	r := s.routeTo(dst, 0)
	hlen := headerLen(dst)
	length := ip.ICMPHeaderLen + len(m.Body)
	if length > maxPayload(dst) {
		s.count.by(o).drop(dropTransmitBig, 1)
		return
	}
	block := buffer.NewBlockFor(hlen + length)
	defer block.Release()
	b := m.Append(block.B[:hlen], src, dst)
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.ICMP, TTL: ttl, TOS: tos}
	if !dst.Is4() {
		h.Protocol = ip.ICMPv6
		h.FlowLabel = s.flowLabel(netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), ip.ICMPv6)
	}
	count := s.count.by(o)
	s.count.sentMessage(count, familyIndex(dst), m.Type)
	add(&count.ip[familyIndex(dst)].OutRequests, 1)
	if mtu := min(r.via.mtuTo(dst), s.pathMTU(r, dst).MTU); hlen+length > mtu {
		if !s.sendFragments(r, &h, b[hlen:], mtu, o) {
			count.drop(dropTransmitBig, 1)
		}
		return
	}
	if dst.Is4() {
		s.identify(&h)
	}
	h.Append(b[:0], length)
	o.frame[0] = link.Frame{Data: b}
	s.transmit(r, dst, o.frame[:], o)
}

// maxPayload is the most that a packet to dst carries behind its IP header, in bytes.
func maxPayload(dst netip.Addr) int {
	if dst.Is4() {
		return ip.MaxPayload4
	}
	return ip.MaxPayload6
}

// transmit writes one frame to dst, with the memory of o. What the device does not take is lost, as
// on any wire.
func (s *Stack) transmit(r route, dst netip.Addr, frame []link.Frame, o *outbox) {
	if _, err := r.via.queues[r.lane].Write(frame); err != nil {
		s.refused(dst, &frame[0], o)
		return
	}
	s.transmitted(r, dst, &frame[0], o)
}
