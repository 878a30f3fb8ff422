package stack

import (
	"net/netip"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/udp"
)

// udp takes in a UDP datagram, the payload of f, or several in one super-segment.
func (e *engine) udp(f *link.Frame, payload []byte) {
	h := &e.header
	head, data, why := udp.Parse(payload, h.Src, h.Dst, f.Checksum == link.ChecksumNone)
	if why != udp.DropNone {
		e.dropUDP(why)
		return
	}
	d := datagram{from: netip.AddrPortFrom(h.Src, head.SrcPort), to: h.Dst, ttl: h.TTL, tos: h.TOS}
	size := len(data)
	if f.GSO == link.GSOUDP && f.GSOSize != 0 && size > 0 {
		size = int(f.GSOSize)
	}
	switch e.to {
	case toForeign:
		e.foreignUDP(f, d, head.DstPort, data, size)
		return
	case toBroadcast, toGroup:
		if !e.spread(d, head.DstPort, data, size) {
			e.drop(nobodyHears(e.to))
			add(&e.count.udp[e.family].IgnoredMulti, e.packets)
		}
		return
	}
	if u := e.s.sockets.lookup(netip.AddrPortFrom(h.Dst, head.DstPort), d.from); u != nil && u.deliver(e.count, d, data, size) {
		return
	}
	e.drop(dropUDPClosed)
	add(&e.count.udp[e.family].NoPorts, e.packets)
	e.unreachable(ip.PortUnreachable, f)
}

// nobodyHears is why a datagram to everybody or a group was dropped.
func nobodyHears(to reach) drop {
	if to == toGroup {
		return dropNotForUs
	}
	return dropUDPClosed
}

// spread gives what was broadcast, or sent to a group, to every socket of the port that
// takes any address, and hears the group.
func (e *engine) spread(d datagram, port uint16, data []byte, size int) (taken bool) {
	e.s.sockets.each(port, func(u *UDPConn) {
		if !u.awaits(d.to, false) || e.to == toGroup && !u.hears(d.to, d.from.Addr()) {
			return
		}
		if u.deliver(e.count, d, data, size) {
			taken = true
		}
	})
	return taken
}

// udpError tells a dialed socket what happened to a datagram of its own, where Linux
// does: errors that may pass by themselves are not told (RFC 1122, section 4.1.3.3). Other
// sockets are not told, for the error does not say which of their datagrams it was. That the
// path is narrow is heeded for any socket that may have sent the datagram.
func (e *engine) udpError(now mono.Time, q *pathError, local, remote netip.AddrPort) bool {
	u := e.s.sockets.dialedFrom(local, remote)
	if u == nil && e.s.addrs.isLocal(local.Addr()) {
		u = e.s.sockets.lookup(local, remote)
	}
	if u == nil {
		return false
	}
	switch {
	case q.Class == ip.ErrorMTU:
		e.s.tooBig(now, q.Quote)
		if u.connected() {
			u.tooBig()
		}
	case u.connected() && (q.Class == ip.ErrorHard || q.Kind == ip.ErrorProtocol || q.Kind == ip.ErrorParameter):
		u.fail(q.Errno)
	default:
		return false
	}
	return true
}
