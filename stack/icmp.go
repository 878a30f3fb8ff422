package stack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// errorRate is the limit of ICMP errors that all engines share.
type errorRate struct {
	mu      sync.Mutex
	limiter *ip.ErrorLimiter
}

func (r *errorRate) allow(s *Stack, dst netip.Addr, m *ip.Message) ip.ErrorVerdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limiter.Allow(s.Now(), dst, m, rand.Uint32())
}

// sendError sends an ICMP error about a packet with header h to whoever sent that, within
// the limit of their rate. It comes from the address that was asked, or from ours where
// that was a group (RFC 4443, section 2.2). Nothing is said about a broadcast (RFC 1122,
// section 3.2.2).
func (s *Stack) sendError(h *ip.Header, m *ip.Message, o *outbox) {
	if s.addrs.isBroadcast(h.Dst) {
		return
	}
	count := s.count.by(o)
	if verdict := s.errorRate.allow(s, h.Src, m); verdict != ip.ErrorAllowed {
		count.drop(dropICMPLimited, 1)
		if verdict == ip.ErrorsToHost {
			add(&count.icmp[familyIndex(h.Src)].limitHost, 1)
		} else {
			add(&count.icmp[in4].limitGlobal, 1) // the limit is one for both
		}
		return
	}
	src, err := s.addrs.answerer(h)
	if err != nil {
		s.unrouted(h.Src, o)
		return
	}
	s.sendMessage(src, h.Src, m, o)
}

// unreachable tells the sender of the packet in hand, frame f, that nobody takes it,
// where the rules and the limit permit.
func (e *engine) unreachable(reason ip.UnreachableReason, f *link.Frame) {
	if m, ok := ip.Unreachable(reason, &e.header, f.Data); ok {
		e.s.sendError(&e.header, &m, &e.box)
	}
}

// icmp takes in an ICMP or ICMPv6 message.
func (e *engine) icmp(now mono.Time, payload []byte) {
	h := &e.header
	if !e.message(payload) {
		return
	}
	if e.echo() || e.solicited() {
		return
	}
	if id, seq, data, ok := e.msg.EchoReply(h.Is4()); ok {
		if !e.s.pings.reply(now, id, seq, h, data) {
			e.drop(dropICMPIgnored)
		}
		return
	}
	if !e.quotes(now) {
		e.drop(dropICMPIgnored)
	}
}

// quotes reports whether the message in hand is an error that concerned anybody.
func (e *engine) quotes(now mono.Time) bool {
	h := &e.header
	return ip.ParseQuote(h.Is4(), &e.msg, &e.quote) &&
		e.icmpError(now, &pathError{Quote: &e.quote, From: h.Src, Errno: errnoOf(&e.quote)})
}

// groupICMP takes in an ICMPv6 message to a group: somebody asks who is there, by an echo
// (RFC 4443, section 4.2) or for an address. All else that is told to groups is of routers,
// whom a host on a TUN does not need to know, and of neighbours, whom it does not have.
func (e *engine) groupICMP(payload []byte) {
	h := &e.header
	if !e.s.groups.in(h.Dst) {
		e.notForUs()
		return
	}
	e.delivers()
	if e.message(payload) && !e.solicited() && !e.echo() {
		e.drop(dropICMPIgnored)
	}
}

// echo answers the message in hand if it is a request for that. The reply has the type of
// service of the request (RFC 1122, section 3.2.2.6), but none of what routers have written
// into the request's ECN field.
func (e *engine) echo() bool {
	h := &e.header
	reply, ok := ip.EchoReply(&e.msg, h)
	if !ok {
		return false
	}
	src, err := e.s.addrs.answerer(h)
	if err != nil {
		e.s.unrouted(h.Src, &e.box)
		return true
	}
	e.s.sendMessageAs(h.TOS&^ecnMask, e.s.cfg.TTL, src, h.Src, &reply, &e.box)
	return true
}

// message reads and counts the message of ICMP or ICMPv6 in hand.
func (e *engine) message(payload []byte) bool {
	return e.messageCame(ip.ParseMessage(&e.header, payload, &e.msg))
}

// messageCame counts a message that was read, or that could not be, and is false then.
func (e *engine) messageCame(why ip.Drop) bool {
	c := &e.count.icmp[e.family]
	add(&c.inMsgs, 1)
	if why == ip.DropNone {
		e.s.count.messages[e.family][inward][e.msg.Type].Add(1)
		return true
	}
	e.dropIP(why)
	add(&c.inErrors, 1)
	if why == ip.DropICMPChecksum {
		add(&c.inCsumErrors, 1)
	}
	return false
}

// icmpError finds the socket that sent the packet that an ICMP error is about, and tells
// it: what did not come from an address of ours, only a forwarded flow or connection can
// have sent. It reports whether the error concerned anybody.
func (e *engine) icmpError(now mono.Time, q *pathError) bool {
	local := netip.AddrPortFrom(q.Header.Src, binary.BigEndian.Uint16(q.Transport))
	remote := netip.AddrPortFrom(q.Header.Dst, binary.BigEndian.Uint16(q.Transport[2:]))
	switch q.Header.Protocol {
	case ip.UDP:
		return e.udpError(now, q, local, remote)
	case ip.TCP:
		seq := tcp.Seq(binary.BigEndian.Uint32(q.Transport[4:]))
		return e.tcpError(now, q, tcp.Endpoints{Local: local, Remote: remote}, seq)
	case ip.ICMP, ip.ICMPv6:
		return e.s.addrs.isLocal(q.Header.Src) && e.echoError(now, q)
	}
	return false
}

// echoError takes in an error about an echo request or reply of ours. Too big a reply is
// worth knowing too: the next ones are sent in fragments that fit. An error without
// anything that could be verified can do no more harm than that.
func (e *engine) echoError(now mono.Time, q *pathError) bool {
	heeded := false
	if q.Class == ip.ErrorMTU {
		_, heeded = e.s.tooBig(now, q.Quote)
	}
	return e.s.pings.fail(q) || heeded
}
