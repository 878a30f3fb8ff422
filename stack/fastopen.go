package stack

import (
	"net/netip"
	"sync"
	"time"

	"github.com/a644562b/portico/internal/aging"
	"github.com/a644562b/portico/internal/flowtable"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// TCP Fast Open (RFC 7413).

const (
	// maxFastOpens bounds the servers whose cookies are kept, fastOpenLifetime for how long
	// after they were last heard of.
	maxFastOpens     = 4096
	fastOpenLifetime = 7 * 24 * time.Hour
	// fastOpenPause is how long a server, or the path to it, that seems not to bear with data
	// in a SYN is spared them (section 4.1.3.1): twice as long each time, as on Linux, up to
	// fastOpenPause << maxFastOpenLosses.
	fastOpenPause     = time.Hour
	maxFastOpenLosses = 6
	// resetPause is how long an opening that was reset counts as pending (section 5.1).
	resetPause = time.Minute
)

// fastOpens are what the stack knows of servers as a client (section 4.1.3). Cookies do not
// depend on the port, but whether a server takes data does.
type fastOpens struct {
	mu    sync.Mutex
	table *aging.Table[fastOpenKey, fastOpenServer]
}

type fastOpenKey struct {
	local  netip.Addr
	remote netip.AddrPort
}

type fastOpenServer struct {
	cookie tcp.FastOpenCookie
	mss    uint16
	losses uint8     // in a row
	until  mono.Time // nothing is offered before
}

func (f *fastOpens) init() {
	f.table = aging.New[fastOpenKey, fastOpenServer](fastOpenLifetime, maxFastOpens)
}

// offerFastOpen gives the SYN of c what is known of the server. It reports whether the SYN
// should wait for data, for there is a cookie. The connection is locked.
func (s *Stack) offerFastOpen(now mono.Time, c *Conn, ends tcp.Endpoints) bool {
	f := &s.fastOpens
	f.mu.Lock()
	known, _ := f.table.Get(now, fastOpenKey{ends.Local.Addr(), ends.Remote})
	f.mu.Unlock()
	if now < known.until {
		return false
	}
	c.tcb.OfferFastOpen(known.cookie, known.mss)
	c.fast = true
	return !known.cookie.IsZero()
}

// learn takes in what came of an offer.
func (f *fastOpens) learn(now mono.Time, ends tcp.Endpoints, r tcp.FastOpenResult) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fastOpenKey{ends.Local.Addr(), ends.Remote}
	known, _ := f.table.Get(now, key)
	renewed := !r.Cookie.IsZero()
	if renewed {
		known.cookie, known.mss = r.Cookie, r.MSS
	}
	switch {
	case r.Lost, r.Answered && r.Sent > 0 && r.Acked == 0 && !renewed:
		// The path drops such SYNs, or the server does not take their data.
		known.until = now.Add(fastOpenPause << known.losses)
		known.losses = min(known.losses+1, maxFastOpenLosses)
	case r.Acked > 0:
		known.losses = 0
	}
	if known != (fastOpenServer{}) {
		f.table.Set(now, key, known)
	}
}

// fastOpenOver is called when the handshake of a connection that was opened fast is complete,
// or the connection is over.
func (c *Conn) fastOpenOver(now mono.Time) {
	c.fast = false
	if c.passive {
		c.extra.opener.fastOpenOver(now, c.tcb.Err() == tcp.ErrReset && !c.tcb.State().Synchronized())
		c.extra.opener = nil
		return
	}
	if r, ok := c.tcb.FastOpenResult(); ok {
		switch count := &c.stack().count.rare().tcpExt; {
		case r.Acked > 0:
			add(&count.TCPFastOpenActive, 1)
		case r.Sent > 0 && (r.Lost || r.Answered):
			add(&count.TCPFastOpenActiveFail, 1)
		}
		c.stack().fastOpens.learn(now, c.tcb.Ends(), r)
	}
}

// fastOpener is what a listener knows as a server; its lock is the listener's.
type fastOpener struct {
	most    int         // 0: off
	pending int         // opened fast, and the handshake is not complete
	resets  []mono.Time // until when those count that were reset
}

// SetFastOpen makes the listener take data that comes with the SYN of a client which has a
// cookie, and give cookies to those that ask (TCP Fast Open, RFC 7413; TCP_FASTOPEN of Linux).
// Accept then also returns connections whose handshake is not complete yet: they can be read
// and written, but the network may have delivered their first data twice (section 6.1), so
// that only an application to which this does no harm should ask for it. pending is how many
// such there may be at once, at least 0; further SYNs are answered as usual. 0, the default:
// Fast Open is off.
func (l *Listener) SetFastOpen(pending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fast.most = max(pending, 0)
}

func (l *Listener) opensFast() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fast.most > 0
}

// claimFast is claim for a connection whose handshake is not complete. What was reset of late
// counts too: its SYN and reset may have been forged to make room (section 5.1).
func (l *Listener) claimFast(now mono.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.fast
	for len(f.resets) > 0 && f.resets[0] <= now {
		f.resets = f.resets[1:]
	}
	if l.closed || l.queueFull() || f.pending+len(f.resets) >= f.most {
		return false
	}
	f.pending++
	l.claimed++
	return true
}

func (l *Listener) unclaimFast() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fast.pending--
	l.claimed--
}

// fastOpenOver forgets a connection that claimFast has counted.
func (l *Listener) fastOpenOver(now mono.Time, reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fast.pending--
	if reset {
		l.fast.resets = append(l.fast.resets, now.Add(resetPause))
	}
}

// openFast makes a connection of the SYN in hand, with its data, if it has a good cookie
// and there is room (section 4.2.2). grant is the cookie that the SYN,ACK is to give.
func (e *engine) openFast(now mono.Time, i int, l *Listener, key flowtable.Key, ends tcp.Endpoints) (opened bool, grant tcp.FastOpenCookie) {
	s, o := e.s, &e.seg.Options
	if !o.HasFastOpen || !l.opensFast() {
		return false, grant
	}
	local, remote := ends.Local.Addr(), ends.Remote.Addr()
	good, fresh := tcp.CheckFastOpenCookie(now, &s.secret, local, remote, o.FastOpen)
	if !fresh {
		grant = tcp.MakeFastOpenCookie(now, &s.secret, local, remote)
	}
	count := &e.count.tcpExt
	switch {
	case o.FastOpen.IsZero():
		add(&count.TCPFastOpenCookieReqd, 1)
		return false, grant
	case !good:
		add(&count.TCPFastOpenPassiveFail, 1)
		return false, grant
	case !l.claimFast(now):
		add(&count.TCPFastOpenListenOverflow, 1)
		return false, grant
	}
	c := newConn(s, tcpNetwork(l.network), e.in, s.serial.Add(1))
	c.mu.Lock()
	if other, ok := s.conns.Insert(key, c); !ok {
		// The engine of another queue was faster with the same SYN.
		c.mu.Unlock()
		l.unclaimFast()
		other.deliver(e, now, ends, i)
		return true, grant
	}
	add(&e.count.tcpExt.TCPFastOpenPassive, 1)
	l.config.markConn(c)
	c.open(now, ends, true)
	c.tcb.AcceptFastOpen(grant)
	c.fast, c.extras().opener = true, l
	c.receive(e, now, i)
	e.handOver(now, l, c)
	return true, grant
}
