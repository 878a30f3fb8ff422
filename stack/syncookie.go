package stack

import (
	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// SYNCookies says when SYN cookies answer SYNs to listeners (RFC 4987, section 3.6;
// net.ipv4.tcp_syncookies of Linux). A cookie costs no memory, so that a flood of SYNs keeps nobody
// out. It costs the peer what does not fit into it: the SYN,ACK is not sent again, and without
// timestamps the connection has no other options.
type SYNCookies uint8

const (
	// SYNCookiesWhenFull: a handshake has a record of its own, and those beyond Config.Backlog
	// a cookie (1, the default of Linux).
	SYNCookiesWhenFull SYNCookies = iota
	// SYNCookiesAlways: each has a cookie, to try out what they do to peers (2). Only
	// what TCP Fast Open takes in does without.
	SYNCookiesAlways
	// SYNCookiesNever: SYNs beyond Config.Backlog are dropped, and peers try again; a flood
	// keeps them out for as long as it lasts (0).
	SYNCookiesNever
)

// noRoom drops the SYN in hand: the SYN queue of l is full, and no cookie is to answer.
func (e *engine) noRoom(l *Listener) {
	l.floodTold.Do(func() {
		e.s.log.Warn("SYN queue full, dropping SYNs", "listener", l.Addr().String(), "backlog", e.s.cfg.Backlog)
	})
	e.drop(dropTCPBacklog)
	add(&e.count.tcpExt.TCPReqQFullDrop, e.packets)
	add(&e.count.tcpExt.ListenDrops, e.packets)
}

// sendCookie answers the SYN in hand by a SYN cookie (RFC 4987, section 3.6): the SYN queue
// of l is full, or that is how all are answered.
func (e *engine) sendCookie(now mono.Time, l *Listener, ends tcp.Endpoints) {
	s := e.s
	l.cookiesUntil.Store(int64(now.Add(tcp.CookieLifetime)))
	if s.cfg.SYNCookies == SYNCookiesWhenFull {
		l.floodTold.Do(func() {
			s.log.Warn("SYN queue full, answering by SYN cookies", "listener", l.Addr().String(), "backlog", s.cfg.Backlog)
		})
	}
	tcp.OpenCookie(now, &s.secret, s.passiveSetup(e.in, ends), &e.seg, &e.reply)
	add(&e.count.tcpExt.SyncookiesSent, 1)
	add(&e.count.tcpExt.TCPReqQFullDoCookies, 1)
	way := route{via: e.in, lane: e.lane}
	l.config.mark(&way)
	way.mayCut = s.pathMTU(way, ends.Remote.Addr()).MayCut
	s.sendSegment(way, ends.Local.Addr(), ends.Remote.Addr(), way.tos, &e.reply, nil, 0, &e.box)
}

// takeCookie makes a connection if the segment in hand brings back a cookie of l. Where none
// was sent of late an ACK is not one, whatever it says.
func (e *engine) takeCookie(now mono.Time, i int, l *Listener, key flowtable.Key, ends tcp.Endpoints) bool {
	s := e.s
	if e.seg.Flags&(tcp.SYN|tcp.RST|tcp.ACK) != tcp.ACK || now >= mono.Time(l.cookiesUntil.Load()) {
		return false
	}
	var hs tcp.Request
	if !tcp.CheckCookie(now, &s.secret, s.passiveSetup(e.in, ends), &e.seg, &hs) {
		add(&e.count.tcpExt.SyncookiesFailed, 1)
		return false
	}
	add(&e.count.tcpExt.SyncookiesRecv, 1)
	if !l.claim() {
		e.overflow()
		return true
	}
	c := newConn(s, tcpNetwork(l.network), e.in, s.serial.Add(1))
	c.mu.Lock()
	if other, ok := s.conns.Insert(key, c); !ok {
		// The engine of another queue was faster with the same ACK.
		c.mu.Unlock()
		l.unclaim()
		other.deliver(e, now, ends, i)
		return true
	}
	hs.Observe(now, s.observer(ConnID{Local: ends.Local, Remote: ends.Remote, Serial: c.serial, Passive: true}))
	e.establish(now, i, l, &hs, c)
	return true
}
