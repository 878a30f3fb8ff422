package stack

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/udp"
)

// outgoing is how a datagram is to be sent.
type outgoing struct {
	src, dst netip.AddrPort
	udpOptions
}

// sendDatagram sends a UDP datagram whose payload are the parts, or as many as out.segment
// makes of it. The errors are errnos of sendmsg: EMSGSIZE when it does not fit, EINVAL when
// there would be too many.
func (s *Stack) sendDatagram(out *outgoing, parts [][]byte, o *outbox) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst := out.dst.Addr()
	if n > maxDatagram(dst) {
		return syscall.EMSGSIZE
	}
	if dst.IsInterfaceLocalMulticast() && !out.groupLoop {
		return nil // nobody else could hear it
	}
	r := s.routeTo(dst, uint64(out.src.Port()))
	if err := s.sendDatagramBy(r, out, parts, n, o); err != nil {
		return err
	}
	if r.via != &s.loop && (dst.IsMulticast() && out.groupLoop || s.addrs.isBroadcast(dst)) {
		// We are among those it is meant for.
		return s.sendDatagramBy(route{via: &s.loop}, out, parts, n, o)
	}
	return nil
}

// sendDatagramBy is sendDatagram by one way, for n bytes of payload.
func (s *Stack) sendDatagramBy(r route, out *outgoing, parts [][]byte, n int, o *outbox) error {
	hlen := headerLen(out.dst.Addr())
	segments := 1
	piece := n
	if out.segment != 0 && n > out.segment {
		piece = out.segment
		if segments = (n + piece - 1) / piece; segments > maxSegments {
			return syscall.EINVAL
		}
	}
	path := s.datagramMTU(r, out)
	if hlen+udp.HeaderLen+piece > path.MTU {
		if segments > 1 || out.pathMTU == PathMTUDo || out.pathMTU == PathMTUProbe {
			return syscall.EMSGSIZE
		}
		return s.sendCut(r, out, parts, n, path.MTU, o)
	}
	s.frameDatagram(r, out, parts, n, path.MayCut, o)
	f := &o.frame[0]
	if segments > 1 {
		f.GSO, f.GSOSize, f.HeaderLen = link.GSOUDP, uint16(piece), uint16(hlen+udp.HeaderLen)
	}
	count, family := s.count.by(o), familyIndex(out.dst.Addr())
	add(&count.udp[family].OutDatagrams, segments)
	add(&count.ip[family].OutRequests, segments)
	if f.GSO != link.GSONone && !r.via.dev.Caps().USO {
		s.sendPieces(r, out.dst.Addr(), o)
		return nil
	}
	s.transmit(r, out.dst.Addr(), o.frame[:], o)
	return nil
}

// sendCut sends a datagram of n bytes in fragments that fit mtu.
func (s *Stack) sendCut(r route, out *outgoing, parts [][]byte, n, mtu int, o *outbox) error {
	src, dst := out.src, out.dst
	block := buffer.NewBlockFor(udp.HeaderLen + n)
	defer block.Release()
	body := udp.Append(block.B[:0], src.Port(), dst.Port(), src.Addr(), dst.Addr(), parts...)
	h := ip.Header{Src: src.Addr(), Dst: dst.Addr(), Protocol: ip.UDP, TTL: out.ttl, TOS: out.tos}
	h.FlowLabel = s.flowLabel(src, dst, ip.UDP)
	count, family := s.count.by(o), familyIndex(dst.Addr())
	add(&count.ip[family].OutRequests, 1)
	if !s.sendFragments(r, &h, body, mtu, o) {
		return syscall.EMSGSIZE
	}
	add(&count.udp[family].OutDatagrams, 1)
	return nil
}

// datagramMTU is how long a packet may be that is not to be cut into fragments, and
// whether routers may cut it all the same.
func (s *Stack) datagramMTU(r route, out *outgoing) ip.PathMTU {
	path := ip.PathMTU{MTU: r.via.mtuTo(out.dst.Addr())}
	switch out.pathMTU {
	case PathMTUDont:
		path.MayCut = out.dst.Addr().Is4()
	case PathMTUWant:
		known := s.pathMTU(r, out.dst.Addr())
		path = ip.PathMTU{MTU: min(path.MTU, known.MTU), MayCut: known.MayCut}
	case PathMTUDo:
		path.MTU = min(path.MTU, s.pathMTU(r, out.dst.Addr()).MTU)
	}
	return path
}

// maxDatagram is the most payload in bytes that a datagram to dst can have.
func maxDatagram(dst netip.Addr) int {
	if dst.Is4() {
		return udp.MaxPayload4
	}
	return udp.MaxPayload
}

// frameDatagram puts the headers of a datagram with n bytes of payload, and the payload,
// into the outbox. mayCut leaves out don't fragment.
func (s *Stack) frameDatagram(r route, out *outgoing, parts [][]byte, n int, mayCut bool, o *outbox) {
	src, dst := out.src.Addr(), out.dst.Addr()
	hlen := headerLen(dst)
	f := &o.frame[0]
	*f = link.Frame{Payload: parts}
	b := udp.AppendUnsummed(o.header[:hlen], out.src.Port(), out.dst.Port(), n)
	sum := checksum.PseudoHeader(src, dst, uint8(ip.UDP), udp.HeaderLen+n)
	if r.via.dev.Caps().Checksum {
		f.Checksum = link.ChecksumPartial
		f.ChecksumStart, f.ChecksumOffset = uint16(hlen), udp.OffChecksum
	} else {
		sum = udp.Complete(checksum.SumSlices(checksum.Sum(sum, b[hlen:]), parts...))
	}
	binary.BigEndian.PutUint16(b[hlen+udp.OffChecksum:], sum)
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.UDP, TTL: out.ttl, TOS: out.tos, DF: !mayCut}
	h.FlowLabel = s.flowLabel(out.src, out.dst, ip.UDP)
	if mayCut {
		s.identify(&h)
	}
	h.Append(o.header[:0], udp.HeaderLen+n)
	f.Data = b
}
