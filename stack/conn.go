package stack

import (
	"net/netip"
	"sync"

	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/timerheap"
	"github.com/a644562b/portico/tcp"
)

// ConnID names a TCP connection. The addresses in it have no zones.
type ConnID struct {
	Local, Remote netip.AddrPort
	// Serial is unique in the life of the stack, which a four-tuple is not.
	Serial uint64
	// Passive: the connection came from a Listener.
	Passive bool
}

// Conn is a TCP connection, a net.Conn. Its methods may be called at any time from any
// goroutine.
//
// An idle one is its TCB and little else: what only some ever need is behind a pointer.
type Conn struct {
	via    *iface
	serial uint64

	mu    sync.Mutex
	extra *extras // nil until something in it is needed
	tcb   tcp.TCB
	// clock is the latest time that the TCB has been told. The time of a batch may
	// be older than that of a call which got the lock first.
	clock mono.Time
	// alarm is when the timers will look at the connection, at the latest.
	alarm mono.Time

	place     timerheap.Place // guarded by the lock of the stack's timers
	pathsSeen uint32          // of paths.lowered
	network   network         // does not change
	ttl, dscp uint8           // of what is sent; 0: the stack's TTL
	dscpIn    uint8           // of the packet that came last
	mayCut    bool            // the path is narrower than packets are made for
	held      bool            // a Control function has it: nothing leaves yet
	passive   bool
	deferred  bool // the SYN waits for the first Write
	fast      bool // opened by Fast Open, and the handshake is not complete
	touched   bool // an engine will settle it after its batch
	writing   bool // a Write, which may wait halfway, is in progress
	closed    bool // the application has closed it; it may linger
	starving  bool // it is among the stack's starved
	draining  bool // Shutdown would wait for it
	orphan    bool // counted among the orphans
	gone      bool // out of all tables
	retired   bool // likewise, and a waiting is there instead
}

// newConn returns a connection that nobody else knows of yet.
func newConn(s *Stack, n network, via *iface, serial uint64) *Conn {
	return &Conn{network: n, via: via, dscp: s.cfg.DSCP, serial: serial, alarm: mono.Never}
}

func (c *Conn) stack() *Stack { return c.via.stack }

// open brings the TCB to life. The connection is in the table, and locked.
func (c *Conn) open(now mono.Time, ends tcp.Endpoints, passive bool) {
	s := c.stack()
	c.passive = passive
	setup := tcp.Setup{
		Params:    &s.cfg.TCP,
		Observer:  s.observer(ConnID{Local: ends.Local, Remote: ends.Remote, Serial: c.serial, Passive: passive}),
		Endpoints: ends,
		MSS:       c.via.mss(ends.Remote.Addr()),
		MaxGSO:    c.via.maxGSO(ends.Remote.Addr()),
		ISS:       tcp.ISN(now, &s.secret, ends),
		TSOffset:  tcp.TimestampOffset(&s.secret, ends),
	}
	now = c.at(now)
	c.knownPath(now, ends.Remote.Addr(), &setup)
	if passive {
		c.tcb.OpenPassive(now, setup)
	} else {
		c.tcb.OpenActive(now, setup)
	}
	c.opened(now)
}

// openRequest brings the TCB to life that a handshake has led to. The connection is in the
// table, and locked.
func (c *Conn) openRequest(now mono.Time, hs *tcp.Request) {
	c.passive = true
	remote := hs.Ends().Remote.Addr()
	setup := tcp.Setup{MSS: c.via.mss(remote), MaxGSO: c.via.maxGSO(remote)}
	now = c.at(now)
	c.knownPath(now, remote, &setup)
	c.tcb.OpenRequest(now, setup, hs)
	c.opened(now)
}

// opened gives the TCB the settings of new connections.
func (c *Conn) opened(now mono.Time) {
	s := c.stack()
	c.draining = true
	s.drain.add()
	c.tcb.SetNoDelay(now, true) // as in net
	if s.cfg.KeepAlive.Enable {
		c.tcb.SetKeepAlive(now, s.cfg.KeepAlive)
	}
}

// observer is who wants to look at a connection; nil: nobody.
func (s *Stack) observer(id ConnID) tcp.Observer {
	if s.cfg.Observe == nil {
		return nil
	}
	return s.cfg.Observe(id)
}

// at returns now, or the latest time that the TCB has been told when that is later.
func (c *Conn) at(now mono.Time) mono.Time {
	c.clock = max(c.clock, now)
	return c.clock
}

// now is the time, read under the lock.
func (c *Conn) now() mono.Time { return c.at(c.stack().Now()) }

// over reports whether the connection has nothing left to do: it is CLOSED, or its
// passive open was undone (RFC 9293, section 3.10.7.4).
func (c *Conn) over() bool {
	return c.tcb.Done() || c.passive && c.tcb.State() == tcp.StateListen
}

// settle follows every use of the TCB, under the lock: what there is to send is sent,
// who waits for what has happened is woken, the next deadline is set; a connection
// that is over leaves the tables.
func (c *Conn) settle(now mono.Time, box *outbox) {
	now = c.at(now)
	if c.held || c.deferred || c.retired {
		return
	}
	ends := c.tcb.Ends()
	c.heedPaths(now, ends.Remote.Addr())
	r := c.route()
	for c.tcb.Next(now, &box.out) {
		c.stack().sendNext(r, ends.Local.Addr(), ends.Remote.Addr(), box)
	}
	if c.tcb.Readable() {
		c.extra.readers()
	}
	if c.tcb.Writable() {
		c.extra.writers()
	}
	over := c.over()
	if c.fast && (over || c.tcb.State().Synchronized()) {
		c.fastOpenOver(now)
	}
	if over {
		c.leave()
		return
	}
	if c.tcb.State() == tcp.StateTimeWait {
		c.drained()
		if c.retire(now) {
			return
		}
	}
	if c.tcb.Starved() && !c.starving {
		c.starving = true
		c.stack().starved.add(c)
	}
	c.wakeBy(c.tcb.Deadline())
}

// leave takes the connection out of all tables.
func (c *Conn) leave() {
	if c.gone {
		return
	}
	c.gone = true
	c.drained()
	if c.starving {
		c.stack().starved.remove(c)
	}
	c.stack().conns.Delete(c.key(), c)
	c.stack().timers.remove(c)
	c.extra.readers()
	c.extra.writers()
}

// drained tells Shutdown that it need not wait for this one any more, and that it is no
// orphan.
func (c *Conn) drained() {
	if c.orphan {
		c.orphan = false
		c.stack().orphans.Add(-1)
	}
	if c.draining {
		c.draining = false
		c.stack().drain.remove()
	}
}

func (c *Conn) key() flowtable.Key {
	ends := c.tcb.Ends()
	return c.stack().conns.Key(ends.Local, ends.Remote)
}

func (c *Conn) sleeps() *timerheap.Place { return &c.place }

// tick is called by the timers.
func (c *Conn) tick(now mono.Time, box *outbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alarm = mono.Never
	if c.gone {
		return
	}
	now = c.at(now)
	if d := c.tcb.Deadline(); d > now {
		c.wakeBy(d) // it has moved later, and nothing else has happened
		return
	}
	if c.tcb.Misses(now) && c.catchUp() {
		if c.gone {
			return
		}
		now = c.now()
	}
	c.heedPaths(now, c.tcb.Ends().Remote.Addr()) // before a timeout decides how much goes again
	before := c.tcb.Troubled()
	c.tcb.Tick(now)
	if !before && c.tcb.Troubled() {
		c.stack().adviseAgainst(c.tcb.Ends().Remote.Addr())
	}
	c.settle(now, box)
}

// wakeBy lets the timers look at the connection at d, unless they will before.
func (c *Conn) wakeBy(d mono.Time) {
	t := &c.stack().timers
	switch {
	case d < c.alarm:
		c.alarm = d
		t.set(c, d)
	case d == mono.Never && c.alarm != mono.Never && t.crowded.Load():
		c.alarm = mono.Never
		t.remove(c)
	}
}
