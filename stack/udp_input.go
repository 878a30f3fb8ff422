package stack

import (
	"net/netip"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/udp"
)

// udp takes in a UDP datagram, the payload of f.
func (e *engine) udp(f *link.Frame, payload []byte, broadcast bool) {
	src, dst := e.header.Src, e.header.Dst
	h, data, why := udp.Parse(payload, src, dst, f.Checksum == link.ChecksumNone)
	if why != udp.DropNone {
		e.s.count.dropUDP(why)
		return
	}
	e.s.count.udpIn.Add(1)
	// A broadcast is for whoever takes any address.
	find := dst
	if broadcast {
		find = netip.IPv4Unspecified()
	}
	u, ok := e.s.sockets.lookup(find, h.DstPort)
	if ok && u.deliver(data, netip.AddrPortFrom(src, h.SrcPort)) {
		return
	}
	e.s.count.drop(dropUDPClosed)
	if !broadcast {
		e.unreachable(ip.PortUnreachable, f)
	}
}
