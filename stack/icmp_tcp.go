package stack

import (
	"net/netip"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
)

// pathLifetime is how long a connection believes that its path is narrow (RFC 1191,
// section 6.3; RFC 8201, section 4).
const pathLifetime = 10 * time.Minute

// tcpError takes in an ICMP error about a segment of a connection. Nothing is believed
// unless the quoted sequence number is in flight (RFC 5927, section 4.1): it was a guess, or
// the segment has arrived all the same.
func (e *engine) tcpError(now mono.Time, q *pathError, ends tcp.Endpoints, seq tcp.Seq) bool {
	f, ok := e.s.conns.Get(e.s.conns.Key(ends.Local, ends.Remote))
	return ok && f.pathError(e, now, q, ends, seq)
}

func (c *Conn) pathError(e *engine, now mono.Time, q *pathError, ends tcp.Endpoints, seq tcp.Seq) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now = c.at(now)
	if c.gone || c.tcb.Ends() != ends {
		return false
	}
	if !c.tcb.InFlight(seq) {
		add(&e.count.tcpExt.OutOfWindowIcmps, 1)
		return false
	}
	switch q.Class {
	case ip.ErrorMTU:
		if !c.tooBig(now, q.Quote) {
			return false
		}
	case ip.ErrorHard:
		c.tcb.HardError(now, q.Errno)
	default:
		c.tcb.SoftError(now, q.Errno)
	}
	c.settle(now, &e.box)
	return true
}

// tooBig takes in that a segment was too big for the path, and remembers it for other
// sockets. It is false when that cannot be, because we send none so large.
func (c *Conn) tooBig(now mono.Time, q *ip.Quote) bool {
	if q.MTU != 0 && segmentSize(q.MTU, q.Header.Dst) >= c.tcb.LargestSegment() {
		return false
	}
	path, _ := c.stack().tooBig(now, q)
	c.mayCut = path.MayCut
	return c.tcb.TooBig(now, segmentSize(path.MTU, q.Header.Dst), now.Add(pathLifetime))
}

// knownPath is what Setup is to say of the path to dst.
func (c *Conn) knownPath(now mono.Time, dst netip.Addr, s *tcp.Setup) {
	path := c.stack().pathMTU(c.route(), dst)
	c.mayCut = path.MayCut
	if mss := segmentSize(path.MTU, dst); mss < s.MSS {
		s.PathMSS, s.PathUntil = mss, now.Add(pathLifetime)
	}
}

// heedPaths takes in what other sockets have learnt about the path of a connection that is
// there already (RFC 1191, section 6.2; RFC 8201, section 5.3). It is asked before every
// use of the connection and nearly always has nothing to do.
func (c *Conn) heedPaths(now mono.Time, dst netip.Addr) {
	lowered := c.stack().paths.lowered.Load()
	if c.pathsSeen == lowered || !c.tcb.State().Synchronized() {
		return
	}
	c.pathsSeen = lowered
	path := c.stack().pathMTU(c.route(), dst)
	if mss := segmentSize(path.MTU, dst); mss < c.tcb.LargestSegment() {
		c.mayCut = path.MayCut
		c.tcb.SetPathMSS(now, mss, now.Add(pathLifetime))
	}
}

// segmentSize is the MSS that packets of mtu bytes to dst have room for.
func segmentSize(mtu int, dst netip.Addr) int { return mtu - headerLen(dst) - tcp.HeaderLen }
