package stack

import (
	"sync"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// waiting is a connection in TIME-WAIT that its application has closed: a record of 96 bytes in
// the place of its Conn, which lives on only as long as the application keeps it. Records are
// guarded by the lock of the stack's waits.
type waiting struct {
	tcp.TimeWait
	serial     uint64
	rare       *waitingRare // nil: none of it
	prev, next *waiting     // by the order in which they end; a record that has gone is its own next
}

// waitingRare is what few of them have.
type waitingRare struct {
	observer   tcp.Observer
	challenges tcp.ChallengeLimit
	ttl, dscp  uint8 // as in a Conn
}

var _ tcpFlow = (*waiting)(nil)

// waits are the connections that wait. All wait equally long, so that whoever begins, or begins
// anew, ends last, and the list needs no sorting. (Two engines may differ in what time it is by
// as much as a batch takes; so much too late one of the two may end.)
//
// The lock is taken with that of a connection held, and before that of the table.
type waits struct {
	mu          sync.Mutex
	first, last *waiting
	n           int
}

// next is when the first one ends.
func (l *waits) next() mono.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		return mono.Never
	}
	return l.first.Deadline()
}

func (l *waits) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// push makes w the last one.
func (l *waits) push(w *waiting) {
	w.prev, w.next = l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.n++
}

// unlink takes w out of the list.
func (l *waits) unlink(w *waiting) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, w
	l.n--
}

func (w *waiting) gone() bool { return w.next == w }

func (w *waiting) observer() tcp.Observer {
	if w.rare == nil {
		return nil
	}
	return w.rare.observer
}

// retire puts a record in the place of a connection in TIME-WAIT that its application has
// closed, or ends it where there are too many. It is false when it has to wait.
func (c *Conn) retire(now mono.Time) bool {
	if !c.closed {
		return false
	}
	w := &waiting{serial: c.serial}
	observer, challenges, ok := c.tcb.Retire(&w.TimeWait)
	if !ok {
		return false
	}
	if observer != nil || challenges != (tcp.ChallengeLimit{}) || c.ttl != 0 || c.dscp != 0 {
		w.rare = &waitingRare{observer, challenges, c.ttl, c.dscp}
	}
	if c.stack().wait(c, w) {
		c.retired = true
	} else {
		w.End(now, observer, tcp.WhyTimeWaitFull)
		c.tcb.Abort(now)
	}
	c.leave()
	return true
}

// wait enters w, which waits in the place of c. It is false when too many do.
func (s *Stack) wait(c *Conn, w *waiting) bool {
	l := &s.waits
	l.mu.Lock()
	if l.n >= s.cfg.MaxTimeWait {
		l.mu.Unlock()
		add(&s.count.rare().tcpExt.TCPTimeWaitOverflow, 1)
		return false
	}
	l.push(w)
	s.conns.Replace(c.key(), c, w)
	alone := l.n == 1
	l.mu.Unlock()
	if alone {
		s.timers.wakeBy(w.Deadline())
	}
	return true
}

// forget takes w, which is not gone, out of everything. The waits are locked.
func (s *Stack) forget(w *waiting) {
	s.waits.unlink(w)
	ends := w.Ends()
	s.conns.Delete(s.conns.Key(ends.Local, ends.Remote), w)
}

// endWaits ends some of those whose time has come, and reports whether there were any.
func (s *Stack) endWaits(now mono.Time) bool {
	l := &s.waits
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range dueBatch {
		w := l.first
		if w == nil || w.Deadline() > now {
			return i > 0
		}
		s.forget(w)
		s.count.Count(tcp.CountTW, 1)
		w.End(now, w.observer(), tcp.WhyTimeWaitOver)
	}
	return true
}

func (w *waiting) deliver(e *engine, now mono.Time, ends tcp.Endpoints, _ int) bool {
	route := route{via: e.in, lane: e.lane}
	outcome, ok := e.wakes(w, now, ends, &route)
	if !ok || outcome == tcp.TimeWaitReopens {
		return false
	}
	if outcome != tcp.TimeWaitQuiet {
		e.s.sendSegment(route, ends.Local.Addr(), ends.Remote.Addr(), route.tos, &e.reply, nil, 0, &e.box)
	}
	return true
}

// wakes lets w see the segment in hand. It is false when w is gone or of another four-tuple.
func (e *engine) wakes(w *waiting, now mono.Time, ends tcp.Endpoints, r *route) (tcp.TimeWaitOutcome, bool) {
	s, l := e.s, &e.s.waits
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.gone() || w.Ends() != ends {
		return 0, false
	}
	var rare waitingRare
	if w.rare != nil {
		rare = *w.rare
	}
	r.ttl, r.tos = rare.ttl, rare.dscp<<dscpShift
	used := rare.challenges
	outcome := w.Segment(now, &tcp.TimeWaitHost{
		Params:     &s.cfg.TCP,
		TSOffset:   tcp.TimestampOffset(&s.secret, ends),
		Observer:   rare.observer,
		Challenges: &rare.challenges,
	}, &e.seg, &e.reply)
	switch {
	case outcome == tcp.TimeWaitReopens:
		s.forget(w)
	case outcome == tcp.TimeWaitAnew:
		l.unlink(w)
		l.push(w)
	case rare.challenges != used:
		w.rare = &rare
	}
	return outcome, true
}

// pathError: nothing is in flight.
func (w *waiting) pathError(*engine, mono.Time, *pathError, tcp.Endpoints, tcp.Seq) bool {
	return false
}

func (w *waiting) describe(s *Stack) (ConnInfo, bool) {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if w.gone() {
		return ConnInfo{}, false
	}
	info := w.Info(s.Now())
	id := ConnID{Local: info.Local, Remote: info.Remote, Serial: w.serial, Passive: info.PassiveOpened}
	return ConnInfo{ConnID: id, Info: info, Serial: w.serial, Orphan: true}, true
}

func (w *waiting) abandon(s *Stack, _ *outbox) {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if !w.gone() {
		s.forget(w)
		w.End(s.Now(), w.observer(), tcp.WhyAborted)
	}
}

// successor is the record that waits in the place of c.
func (c *Conn) successor() (*waiting, bool) {
	if !c.retired {
		return nil, false
	}
	f, _ := c.stack().conns.Get(c.key())
	w, ok := f.(*waiting)
	return w, ok && w.serial == c.serial
}

// waited brings the TCB of a connection that waits to where its record is.
func (c *Conn) waited(info *tcp.Info, now mono.Time) {
	w, ok := c.successor()
	if ok {
		var of ConnInfo
		if of, ok = w.describe(c.stack()); ok {
			info.Timer, info.Expires = of.Timer, of.Expires
			return
		}
	}
	c.retired = false
	c.tcb.Abort(now) // it is over
	*info = c.tcb.Info(now)
}
