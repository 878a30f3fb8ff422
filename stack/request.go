package stack

import (
	"sync"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/timerheap"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
)

// request is a handshake that a listener waits for the end of: what is known of a SYN, and
// no connection yet. A listener has as many as its backlog (its SYN queue); beyond, SYN
// cookies answer, or nobody (see SYNCookies).
type request struct {
	mu       sync.Mutex
	tcp      tcp.Request
	listener *Listener
	serial   uint64 // of the connection to be

	place timerheap.Place // guarded by the lock of the stack's timers
	lane  uint16          // queue that the peer's packets came by last
	local bool            // the peer is ourselves
	gone  bool            // out of all tables
}

var (
	_ tcpFlow = (*request)(nil)
	_ sleeper = (*request)(nil)
)

// open takes the SYN in hand for a listener.
func (e *engine) open(now mono.Time, i int, l *Listener, key flowtable.Key, ends tcp.Endpoints) {
	opened, grant := e.openFast(now, i, l, key, ends)
	if opened {
		return
	}
	var r *request
	room := l.room()
	if room == roomForRequest {
		r = &request{listener: l, serial: e.s.serial.Add(1), lane: e.lane, local: e.in.local}
		r.mu.Lock()
		defer r.mu.Unlock()
		var other tcpFlow
		if other, room = l.admit(key, r); other != nil {
			// The engine of another queue was faster with the same SYN.
			other.deliver(e, now, ends, i)
			return
		}
	}
	switch room {
	case roomForNobody:
		e.overflow()
	case roomForNoRecord:
		e.noRoom(l)
	case roomForCookie:
		e.sendCookie(now, l, ends)
	case roomForRequest:
		r.open(e, now, ends, grant)
	}
}

// open answers the SYN in hand; grant is a cookie of Fast Open to give, if there is one. The
// request is in the table, and locked.
func (r *request) open(e *engine, now mono.Time, ends tcp.Endpoints, grant tcp.FastOpenCookie) {
	s := e.s
	setup := s.passiveSetup(e.in, ends)
	setup.FastOpenGrant = grant
	setup.ISS = tcp.ISN(now, &s.secret, ends)
	setup.Observer = s.observer(ConnID{Local: ends.Local, Remote: ends.Remote, Serial: r.serial, Passive: true})
	r.tcp.Open(now, setup, &e.seg, &e.reply)
	r.send(&e.reply, &e.box)
	s.timers.set(r, r.tcp.Deadline())
}

// overflow drops the segment in hand because the queue of its listener is full.
func (e *engine) overflow() {
	e.drop(dropTCPBacklog)
	e.count.overflow(e.packets)
}

// passiveSetup is what is known of a connection that came by a device before there is one.
func (s *Stack) passiveSetup(in *iface, ends tcp.Endpoints) tcp.Setup {
	return tcp.Setup{
		Params: &s.cfg.TCP, Endpoints: ends,
		MSS: in.mss(ends.Remote.Addr()), TSOffset: tcp.TimestampOffset(&s.secret, ends),
	}
}

func (r *request) stack() *Stack { return r.listener.stack }

func (r *request) key() flowtable.Key {
	ends := r.tcp.Ends()
	return r.stack().conns.Key(ends.Local, ends.Remote)
}

// route is the way back to the peer.
func (r *request) route() route {
	way := route{via: &r.stack().device, lane: r.lane}
	if r.local {
		way.via = &r.stack().loop
	}
	r.listener.config.mark(&way)
	way.mayCut = r.stack().pathMTU(way, r.tcp.Ends().Remote.Addr()).MayCut
	return way
}

func (r *request) send(reply *tcp.Segment, box *outbox) {
	ends, way := r.tcp.Ends(), r.route()
	r.stack().sendSegment(way, ends.Local.Addr(), ends.Remote.Addr(), way.tos, reply, nil, 0, box)
}

func (r *request) deliver(e *engine, now mono.Time, ends tcp.Endpoints, i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tcp.Ends() != ends {
		return false
	}
	if r.gone {
		f, ok := r.successor()
		return ok && f.deliver(e, now, ends, i)
	}
	now = r.tcp.At(now)
	r.lane = e.lane
	then, answer := r.tcp.Segment(now, &e.seg, &e.reply)
	switch then {
	case tcp.RequestCompleted:
		r.complete(e, now, i)
	case tcp.RequestOver:
		r.leave()
	}
	if answer {
		r.send(&e.reply, &e.box)
	}
	return true
}

// successor is what has taken the place of a request that is gone: perhaps it has just become
// a connection.
func (r *request) successor() (tcpFlow, bool) {
	f, ok := r.stack().conns.Get(r.key())
	return f, ok && f != tcpFlow(r)
}

// complete makes the connection, if there is room for it. The segment in hand completes
// the handshake.
func (r *request) complete(e *engine, now mono.Time, i int) {
	if !r.listener.claim() {
		e.count.overflow(e.packets)
		r.tcp.Overflow(now, &e.seg)
		return
	}
	c := newConn(e.s, tcpNetwork(r.listener.network), e.in, r.serial)
	c.mu.Lock()
	e.s.conns.Replace(r.key(), r, c)
	r.gone = true
	e.s.timers.remove(r)
	r.listener.dismiss()
	e.establish(now, i, r.listener, &r.tcp, c)
}

// establish brings a connection to life that is in the table, and locked, and whose place
// in the queue of l is claimed. The segment in hand completes the handshake hs.
func (e *engine) establish(now mono.Time, i int, l *Listener, hs *tcp.Request, c *Conn) {
	l.config.markConn(c)
	c.openRequest(now, hs)
	c.receive(e, now, i)
	e.handOver(now, l, c)
}

// handOver gives a connection, which is locked and has its place in the queue of l claimed,
// the settings of l and then to Accept. It unlocks it.
func (e *engine) handOver(now mono.Time, l *Listener, c *Conn) {
	wanted := l.config.configure(now, c)
	c.mu.Unlock()
	switch {
	case !wanted:
		l.unclaim()
	case !l.ready(c):
		c.abandon(e.s, &e.box)
	}
}

func (r *request) pathError(e *engine, now mono.Time, q *pathError, ends tcp.Endpoints, seq tcp.Seq) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone || r.tcp.Ends() != ends || !r.tcp.InFlight(seq) {
		return false
	}
	now = r.tcp.At(now)
	switch q.Class {
	case ip.ErrorMTU:
		return false // no path is too narrow for a SYN,ACK
	case ip.ErrorHard:
		r.tcp.HardError(now, q.Errno)
		r.leave()
	default:
		r.tcp.SoftError(now, q.Errno)
	}
	return true
}

func (r *request) sleeps() *timerheap.Place { return &r.place }

func (r *request) tick(now mono.Time, box *outbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	now = r.tcp.At(now)
	before := r.tcp.Troubled()
	then, answer := r.tcp.Tick(now, &box.out.Segment)
	if !before && r.tcp.Troubled() {
		r.stack().adviseAgainst(r.tcp.Ends().Remote.Addr())
	}
	if answer {
		r.send(&box.out.Segment, box)
	}
	if then == tcp.RequestOver {
		r.leave()
		return
	}
	r.stack().timers.set(r, r.tcp.Deadline())
}

// leave takes a request that came to nothing out of all tables.
func (r *request) leave() {
	r.gone = true
	r.stack().conns.Delete(r.key(), r)
	r.stack().timers.remove(r)
	r.listener.dismiss()
}

func (r *request) describe(s *Stack) (ConnInfo, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		f, ok := r.successor()
		if !ok {
			return ConnInfo{}, false
		}
		return f.describe(s)
	}
	ends := r.tcp.Ends()
	id := ConnID{Local: ends.Local, Remote: ends.Remote, Serial: r.serial, Passive: true}
	return ConnInfo{ConnID: id, Info: r.tcp.Info(r.tcp.At(r.stack().Now())), Serial: r.serial}, true
}

func (r *request) abandon(s *Stack, box *outbox) {
	if r.cancel(box) {
		return
	}
	if f, ok := r.successor(); ok {
		f.abandon(s, box)
	}
}

// cancel resets the handshake. It is false when there is none any more.
func (r *request) cancel(box *outbox) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false
	}
	r.tcp.Abort(r.tcp.At(r.stack().Now()), &box.out.Segment)
	r.send(&box.out.Segment, box)
	r.leave()
	return true
}
