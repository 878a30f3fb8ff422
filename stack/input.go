package stack

import (
	"net/netip"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// packet takes in frame i.
func (e *engine) packet(now mono.Time, i int) {
	f := &e.frames[i]
	h := &e.header
	e.arrived(f)
	payload, why := e.parse(f)
	if why == ip.DropNone || why == ip.DropFragment {
		e.understood()
	}
	if why == ip.DropFragment {
		if !e.fragment(now, i) {
			return
		}
		e.reassembled = true
		payload, why = e.parse(f) // the datagram that it was the last piece of
		h.Fragmented = true
	}
	if why != ip.DropNone {
		e.malformed(why, f)
		return
	}
	e.to = e.accepts(h)
	switch {
	case e.to == toNobody:
	case e.to != toBroadcast && e.to != toForeign && e.membership(now, f, payload):
	case h.Protocol == ip.UDP:
		e.delivers()
		e.udp(f, payload)
	case e.to == toForeign && h.IsICMP():
		e.foreignICMP(now, payload)
	case e.to == toGroup && h.Protocol == ip.ICMPv6 && h.IsICMP():
		e.groupICMP(payload)
	case e.to == toBroadcast, e.to == toGroup:
		e.notForUs()
	case h.Protocol == ip.TCP:
		e.delivers()
		e.tcp(now, i, payload)
	case h.IsICMP():
		e.delivers()
		e.icmp(now, payload)
	default:
		e.drop(dropProtocol)
		add(&e.count.ip[e.family].InUnknownProtos, e.packets)
		e.unreachable(ip.ProtocolUnreachable, f)
	}
}

func (e *engine) parse(f *link.Frame) (payload []byte, why ip.Drop) {
	if e.in.local {
		return ip.ParseLocal(f.Data, &e.header)
	}
	return ip.Parse(f.Data, &e.header)
}

// malformed drops frame f for something in its IP header, and tells the sender what, where
// that is wanted.
func (e *engine) malformed(why ip.Drop, f *link.Frame) {
	e.dropIP(why)
	e.count.malformed(e.family, why, e.packets)
	if m, ok := ip.ParameterProblem(why, &e.header, f.Data); ok && (e.in.local || e.s.concerns(&e.header)) {
		e.s.sendError(&e.header, &m, &e.box)
	}
}

// concerns reports whether a packet from the wire was sent to us, alone or with others, by
// somebody else: what is wrong with one to another host is not ours to tell.
func (s *Stack) concerns(h *ip.Header) bool {
	a := &s.addrs
	return !a.own[h.Src] && !a.isBroadcast(h.Src) && (a.own[h.Dst] || h.Dst.IsMulticast())
}

// reach is whom a packet was sent to.
type reach uint8

const (
	toNobody    reach = iota // not for us, and counted
	toUs                     // one of our addresses
	toBroadcast              // everybody on the link
	toGroup                  // a group, of which we may be in or not
	toForeign                // another host, on behalf of which a handler answers
)

// accepts looks at the addresses: whether the packet is for us, and how. Nobody but
// ourselves sends from our addresses, and no host from a broadcast address (RFC 1122,
// section 3.2.1.3).
func (e *engine) accepts(h *ip.Header) reach {
	a := &e.s.addrs
	switch {
	case e.in.local && a.isLocal(h.Dst):
		return toUs // the usual case of what comes by the loop
	case e.in.local:
	case a.own[h.Src]:
		e.drop(dropOwnSource)
		add(&e.count.ip[e.family].InHdrErrors, e.packets)
		return toNobody
	case a.isBroadcast(h.Src):
		e.dropIP(ip.DropBadSource)
		add(&e.count.ip[e.family].InHdrErrors, e.packets)
		return toNobody
	}
	switch {
	case a.own[h.Dst]:
		return toUs
	case h.Dst.IsMulticast():
		return toGroup
	case a.isBroadcast(h.Dst):
		e.broadcast()
		return toBroadcast
	case !e.in.local && e.s.foreign(h):
		return toForeign
	}
	e.notForUs()
	return toNobody
}

// notForUs drops the packet in hand for its destination.
func (e *engine) notForUs() {
	e.drop(dropNotForUs)
	add(&e.count.ip[e.family].InAddrErrors, e.packets)
}

// verify reports whether the checksum of a transport segment is right or the device
// vouches for it.
func (e *engine) verify(f *link.Frame, p ip.Protocol, payload []byte) bool {
	if f.Checksum != link.ChecksumNone {
		return true
	}
	sum := checksum.PseudoHeader(e.header.Src, e.header.Dst, uint8(p), len(payload))
	return checksum.Sum(sum, payload) == checksum.Valid
}

// tcp takes in a TCP segment, the payload of frame i.
func (e *engine) tcp(now mono.Time, i int, payload []byte) {
	f, seg, count := &e.frames[i], &e.seg, &e.count.tcp
	add(&count.InSegs, e.packets)
	bad := drop(numDrops)
	switch {
	case tcp.Parse(payload, seg) != nil:
		bad = dropTCPShort
	case !e.verify(f, ip.TCP, payload):
		bad = dropTCPChecksum
		add(&count.InCsumErrors, e.packets)
	case seg.SrcPort == 0 || seg.DstPort == 0:
		bad = dropTCPPort
	}
	if bad != numDrops {
		add(&count.InErrs, e.packets)
		e.drop(bad)
		return
	}
	ecn := e.header.TOS & ecnMask
	seg.CE, seg.ECT = ecn == ecnCE, ecn != 0
	seg.GSOSize = int(f.GSOSize)
	if seg.Flags.Has(tcp.RST) {
		add(&e.count.device.TCPInRsts, 1)
	}
	ends := tcp.Endpoints{
		Local:  netip.AddrPortFrom(e.header.Dst, seg.DstPort),
		Remote: netip.AddrPortFrom(e.header.Src, seg.SrcPort),
	}
	key := e.s.conns.Key(ends.Local, ends.Remote)
	if f, ok := e.s.conns.Get(key); ok && f.deliver(e, now, ends, i) {
		return
	}
	e.noConnection(now, i, key, ends)
}

// noConnection takes in a segment that belongs to no connection: LISTEN (RFC 9293, section
// 3.10.7.2) where somebody listens, else CLOSED (section 3.10.7.1).
func (e *engine) noConnection(now mono.Time, i int, key flowtable.Key, ends tcp.Endpoints) {
	seg := &e.seg
	l, listening := e.s.listeners.lookup(ends.Local.Addr(), ends.Local.Port())
	if !e.s.addrs.answerable(ends.Remote.Addr()) {
		e.drop(dropNoRoute)
		add(&e.count.ip[e.family].OutNoRoutes, 1)
		return
	}
	if e.to == toForeign {
		listening = false
		if opens(seg) {
			e.requestTCP(key, ends)
			return
		}
	}
	if listening && opens(seg) {
		e.open(now, i, l, key, ends)
		return
	}
	if listening && e.takeCookie(now, i, l, key, ends) {
		return
	}
	if listening && (seg.Flags.Has(tcp.RST) || !seg.Flags.Has(tcp.ACK)) {
		e.drop(dropTCPListen)
		return
	}
	e.drop(dropTCPClosed)
	if tcp.Refuse(seg, &e.reply) {
		r := route{via: e.in, lane: e.lane}
		e.s.sendSegment(r, ends.Local.Addr(), ends.Remote.Addr(), e.s.tos(), &e.reply, nil, 0, &e.box)
	}
}
