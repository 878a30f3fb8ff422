package stack

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/ip/group"
	"github.com/a644562b/portico/link"
)

// groups are the memberships of all sockets, and what the routers of the link are told of
// them. Its lock is taken before that of a socket.
type groups struct {
	stack *Stack

	mu           sync.Mutex
	host4, host6 *group.Host
	members      map[netip.Addr]map[*UDPConn]group.Filter
	solicited    map[netip.Addr]bool // the groups of our addresses, for good
	timer        *time.Timer         // nil until needed
	closed       bool
}

// init joins the groups that neighbours look for our addresses by (RFC 4291, section
// 2.8). That is not announced: on a link of two ends nobody needs to be told which of them
// to pass such a question to. A router that asks is told.
func (g *groups) init(s *Stack) {
	g.stack = s
	g.members = make(map[netip.Addr]map[*UDPConn]group.Filter)
	g.solicited = make(map[netip.Addr]bool)
	mtu := int(s.device.mtu.Load())
	g.host4 = group.NewHost(true, mtu, rand.Int64N)
	g.host6 = group.NewHost(false, mtu, rand.Int64N)
	for _, p := range s.addrs.prefixes {
		if p.Addr().Is6() {
			g.solicited[group.SolicitedNode(p.Addr())] = true
		}
	}
	for addr := range g.solicited {
		g.host6.Hold(addr)
	}
}

// in reports whether the stack is in a group, for whatever reason.
func (g *groups) in(addr netip.Addr) bool {
	if addr == group.AllHosts4 || addr == group.AllNodes6 || g.solicited[addr] {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members[addr]) > 0
}

func (g *groups) host(a netip.Addr) *group.Host {
	if a.Is4() {
		return g.host4
	}
	return g.host6
}

// set tells the groups what a socket hears of one; the zero Filter: nothing any more. The
// lock is held.
func (g *groups) set(u *UDPConn, addr netip.Addr, f group.Filter) {
	if f.None() {
		delete(g.members[addr], u)
	} else {
		if g.members[addr] == nil {
			g.members[addr] = make(map[*UDPConn]group.Filter)
		}
		g.members[addr][u] = f
	}
	var all []group.Filter
	for _, f := range g.members[addr] {
		all = append(all, f)
	}
	if len(all) == 0 {
		delete(g.members, addr)
	}
	merged := group.Merge(all)
	if len(merged.Sources) > group.MaxSources {
		merged = group.All // more than a record holds: the sockets sort it out
	}
	now := g.stack.Now()
	g.host(addr).Set(now, addr, merged)
	g.run(now)
}

// message takes in a message of IGMP or MLD.
func (g *groups) message(now mono.Time, is4 bool, m *ip.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.host6
	if is4 {
		h = g.host4
	}
	h.Message(now, m)
	g.run(now)
}

// run sends what is due and sets the timer. The lock is held.
func (g *groups) run(now mono.Time) {
	if g.closed {
		return
	}
	next := mono.Never
	for _, h := range [...]*group.Host{g.host4, g.host6} {
		if h.Deadline() <= now {
			h.Tick(now, g.stack.sendReport)
		}
		next = min(next, h.Deadline())
	}
	switch {
	case next == mono.Never:
	case g.timer == nil:
		g.timer = time.AfterFunc(next.Sub(now), g.wake)
	default:
		g.timer.Reset(next.Sub(now))
	}
}

func (g *groups) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.run(g.stack.Now())
}

// close ends the timer. The sockets have left their groups by then.
func (g *groups) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
}

// internetworkControl is the TOS of what keeps the network going (RFC 9776, section 4).
const internetworkControl = 0xc0

// sendReport sends a message about groups: not beyond the link, and with a router alert. It
// comes from a link-local address where it is of MLD (RFC 9777, section 5.2.14).
func (s *Stack) sendReport(dst netip.Addr, m *ip.Message) {
	h := ip.Header{Dst: dst, Protocol: ip.IGMP, TTL: 1, DF: true, TOS: internetworkControl}
	if !dst.Is4() {
		h.Protocol, h.TOS = ip.ICMPv6, 0
	}
	h.Src = s.addrs.reporter(dst)
	length := ip.ICMPHeaderLen + len(m.Body)
	block := buffer.NewBlockFor(ip.HeaderLen6 + 8 + length)
	defer block.Release()
	b := h.AppendAlert(block.B[:0], length)
	b = m.Append(b, h.Src, dst)
	o := getOutbox()
	defer o.put()
	count := s.count.by(o)
	if dst.Is4() {
		add(&count.device.IGMPOut, 1)
	} else {
		s.count.sentMessage(count, in6, m.Type)
	}
	add(&count.ip[familyIndex(dst)].OutRequests, 1)
	o.frame[0] = link.Frame{Data: b}
	s.transmit(route{via: &s.device}, dst, o.frame[:], o)
}

// reporter is the address that reports about groups come from: the unspecified one where
// there is none that may be used.
func (a *addrs) reporter(dst netip.Addr) netip.Addr {
	for _, p := range a.prefixes {
		if own := p.Addr(); own.Is4() == dst.Is4() && (own.Is4() || own.IsLinkLocalUnicast()) {
			return own
		}
	}
	if dst.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// membership takes in the packet in hand, whose payload it is given, if it is about
// groups: one of IGMP or MLD.
func (e *engine) membership(now mono.Time, f *link.Frame, payload []byte) bool {
	h := &e.header
	if h.Protocol != ip.IGMP && h.Protocol != ip.ICMPv6 || h.Is4() != (h.Protocol == ip.IGMP) {
		return false
	}
	if !h.Is4() && (len(payload) == 0 || !group.IsMLD(payload[0])) {
		return false
	}
	e.delivers()
	if h.Is4() {
		add(&e.count.device.IGMPIn, 1)
		if why := ip.ParseMessage(h, payload, &e.msg); why != ip.DropNone {
			e.dropIP(why)
			return true
		}
	} else if !e.message(payload) {
		return true
	}
	// From the link, and meant for whoever listens (RFC 9776, section 9.1; RFC 9777,
	// section 6.2). Version 1 of IGMP had no router alert.
	alert := ip.HasRouterAlert(f.Data) || h.Is4() && len(e.msg.Body) == 0 && e.msg.Code == 0
	if e.in.local || h.TTL != 1 || !alert || !h.Is4() && !h.Src.IsLinkLocalUnicast() {
		e.drop(dropMembership)
		return true
	}
	e.s.groups.message(now, h.Is4(), &e.msg)
	return true
}

// JoinGroup makes the socket hear what is sent to a group, by whomever, at its port. Unlike
// on Linux a socket hears only the groups that it has joined itself, besides those of all
// hosts, 224.0.0.1 and ff02::1. Errors are those of setsockopt: EINVAL when it is no
// group of a family of the socket, EADDRINUSE when it was joined already, ENOBUFS when the
// socket is in too many.
func (u *UDPConn) JoinGroup(g netip.Addr) error {
	return u.regroup(g, func(_ group.Filter, member bool) (group.Filter, syscall.Errno) {
		if member {
			return group.Filter{}, syscall.EADDRINUSE
		}
		return group.All, 0
	})
}

// LeaveGroup ends what JoinGroup or JoinSourceSpecificGroup began. EADDRNOTAVAIL: the
// socket is not in the group.
func (u *UDPConn) LeaveGroup(g netip.Addr) error {
	return u.regroup(g, func(_ group.Filter, member bool) (group.Filter, syscall.Errno) {
		if !member {
			return group.Filter{}, syscall.EADDRNOTAVAIL
		}
		return group.Filter{}, 0
	})
}

// JoinSourceSpecificGroup makes the socket hear what one source sends to a group; several
// sources add up. EINVAL: the socket hears all of the group already; EADDRNOTAVAIL: the
// source too; ENOBUFS: it has 64.
func (u *UDPConn) JoinSourceSpecificGroup(g, source netip.Addr) error {
	return u.regroup(g, func(f group.Filter, member bool) (group.Filter, syscall.Errno) {
		if member && f.Mode != group.Include {
			return f, syscall.EINVAL
		}
		return withSource(f, source)
	})
}

// LeaveSourceSpecificGroup ends what JoinSourceSpecificGroup began.
func (u *UDPConn) LeaveSourceSpecificGroup(g, source netip.Addr) error {
	return u.regroup(g, func(f group.Filter, member bool) (group.Filter, syscall.Errno) {
		return withoutSource(f, source, member && f.Mode == group.Include)
	})
}

// ExcludeSourceSpecificGroup makes a socket that has joined a group hear one source no
// more. EINVAL: it has not joined all of it.
func (u *UDPConn) ExcludeSourceSpecificGroup(g, source netip.Addr) error {
	return u.regroup(g, func(f group.Filter, member bool) (group.Filter, syscall.Errno) {
		if !member || f.Mode != group.Exclude {
			return f, syscall.EINVAL
		}
		return withSource(f, source)
	})
}

// IncludeSourceSpecificGroup ends what ExcludeSourceSpecificGroup began.
func (u *UDPConn) IncludeSourceSpecificGroup(g, source netip.Addr) error {
	return u.regroup(g, func(f group.Filter, member bool) (group.Filter, syscall.Errno) {
		return withoutSource(f, source, member && f.Mode == group.Exclude)
	})
}

func withSource(f group.Filter, source netip.Addr) (group.Filter, syscall.Errno) {
	source = source.Unmap()
	with := f.With(source)
	switch {
	case len(with.Sources) == len(f.Sources):
		return f, syscall.EADDRNOTAVAIL
	case len(with.Sources) > group.MaxSources:
		return f, syscall.ENOBUFS
	}
	return with, 0
}

func withoutSource(f group.Filter, source netip.Addr, possible bool) (group.Filter, syscall.Errno) {
	without := f.Without(source.Unmap())
	if !possible || len(without.Sources) == len(f.Sources) {
		return f, syscall.EADDRNOTAVAIL
	}
	return without, 0
}

// maxGroups is how many groups a socket may be in.
const maxGroups = 256

// regroup changes what the socket hears of a group by a function of what it heard.
func (u *UDPConn) regroup(g netip.Addr, change func(f group.Filter, member bool) (group.Filter, syscall.Errno)) error {
	g = g.Unmap().WithZone("")
	all := &u.stack.groups
	all.mu.Lock()
	defer all.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return opError("set", u.network, nil, u.LocalAddr(), net.ErrClosed)
	}
	old, member := u.groups[g]
	f, errno := change(old, member)
	switch {
	case !g.IsMulticast() || !u.binding.families.has(g):
		errno = syscall.EINVAL
	case errno == 0 && !member && len(u.groups) >= maxGroups:
		errno = syscall.ENOBUFS
	}
	if errno != 0 {
		return opError("set", u.network, nil, u.LocalAddr(), os.NewSyscallError("setsockopt", errno))
	}
	if f.None() {
		delete(u.groups, g)
	} else {
		if u.groups == nil {
			u.groups = make(map[netip.Addr]group.Filter)
		}
		u.groups[g] = f
	}
	all.set(u, g, f)
	return nil
}

// leaveAll takes a socket that is closed out of its groups.
func (g *groups) leaveAll(u *UDPConn, joined map[netip.Addr]group.Filter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for addr := range joined {
		g.set(u, addr, group.Filter{})
	}
}

// hears reports whether the socket wants what from sends to a group.
func (u *UDPConn) hears(g, from netip.Addr) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f, ok := u.groups[g]; ok {
		return f.Hears(from)
	}
	return g == group.AllHosts4 || g == group.AllNodes6
}

// SetMulticastTTL sets the time to live or hop limit of what is sent to groups, 1 to 255.
// Default 1: it does not leave the link (RFC 1112, section 6.1).
func (u *UDPConn) SetMulticastTTL(ttl int) error {
	return u.setIn("the TTL", ttl, 1, 255, func() { u.options.groupTTL = uint8(ttl) })
}

// SetMulticastLoopback says whether what is sent to a group reaches members on this stack
// too. Default true.
func (u *UDPConn) SetMulticastLoopback(on bool) error {
	return u.set(func() { u.options.groupLoop = on })
}

// ListenMulticastUDP opens a socket that has joined a group and hears it at the port of
// gaddr, which others may share, as net.ListenMulticastUDP does; what the socket itself
// sends to groups does not come back to this stack. The networks are "udp", "udp4" and
// "udp6".
func (s *Stack) ListenMulticastUDP(network string, gaddr *net.UDPAddr) (*UDPConn, error) {
	if gaddr == nil || !gaddr.IP.IsMulticast() {
		return nil, opError("listen", network, nil, udpAddrOrNil(gaddr), &net.AddrError{Err: "not the address of a group", Addr: gaddr.String()})
	}
	lc := ListenConfig{Stack: s}
	u, err := lc.listenPacket(context.Background(), network, gaddr.String())
	if err != nil {
		return nil, err
	}
	u.SetMulticastLoopback(false)
	if err := u.JoinGroup(gaddr.AddrPort().Addr()); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}
