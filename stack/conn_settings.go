package stack

import (
	"fmt"
	"os"
	"syscall"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// dscpShift is where the DSCP stands in the TOS octet or traffic class (RFC 2474).
const dscpShift = 2

// maxDSCP is the largest code point.
const maxDSCP = 63

// tos is the TOS octet or traffic class of what has no setting of its own.
func (s *Stack) tos() uint8 { return s.cfg.DSCP << dscpShift }

// route is the way that the connection's packets take.
func (c *Conn) route() route {
	return route{via: c.via, lane: c.via.lane(c.serial), ttl: c.ttl, tos: c.dscp << dscpShift, mayCut: c.mayCut}
}

// setIn is option for a value that must lie in a range; where it does not, the error is
// EINVAL and says so.
func (c *Conn) setIn(what string, v, least, most int, f func(now mono.Time)) error {
	if v < least || v > most {
		return opError("set", c.network.String(), nil, c.LocalAddr(), outOfRange(what, v, least, most))
	}
	return c.option(f)
}

// outOfRange says that a setting must be least to most.
func outOfRange(what string, v, least, most int) error {
	return fmt.Errorf("%s is %d; it must be %d to %d: %w", what, v, least, most, os.NewSyscallError("setsockopt", syscall.EINVAL))
}

// SetTTL sets the time to live or hop limit of what the connection sends, 1 to 255 (RFC
// 9293, section 3.9.2, MUST-49). The default is Config.TTL.
func (c *Conn) SetTTL(ttl int) error {
	return c.setIn("the TTL", ttl, 1, 255, func(mono.Time) { c.ttl = uint8(ttl) })
}

// SetDSCP sets the differentiated services code point of what the connection sends, 0 to
// 63, from the next packet on (RFC 2474; RFC 9293, section 3.9.1.9). The default is that of
// Config. The two bits beside it are those of ECN, and the stack's own.
func (c *Conn) SetDSCP(dscp int) error {
	return c.setIn("the DSCP", dscp, 0, maxDSCP, func(mono.Time) { c.dscp = uint8(dscp) })
}

// ReceivedDSCP is the code point of the packet that came last (RFC 9293, MAY-9).
func (c *Conn) ReceivedDSCP() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.dscpIn)
}

// SetCork holds back what does not fill a segment, also with SetNoDelay, so that several
// writes leave as few packets (TCP_CORK of Linux). It leaves when the cork is drawn, when
// the connection is closed for writing, or when nothing is in flight and a retransmission
// timeout has passed.
func (c *Conn) SetCork(on bool) error {
	return c.option(func(now mono.Time) { c.tcb.SetCork(now, on) })
}

// SetUnsentLowWater bounds how much Write takes beyond what has been sent, in bytes, so that
// what is written last does not wait behind much that was written before (TCP_NOTSENT_LOWAT
// of Linux). 0, the default: only the write buffer bounds it. At most 64 MiB.
func (c *Conn) SetUnsentLowWater(bytes int) error {
	return c.setIn("the low-water mark", bytes, 0, 64<<20, func(mono.Time) { c.tcb.SetUnsentLowWater(bytes) })
}

// SetRetries sets R1 and R2 (RFC 9293, section 3.8.3): after r1 retransmissions of one
// segment SoftError returns tcp.ErrTroubled, after r2 the connection is given up with
// ETIMEDOUT, or the soft error if there is another. 0 stands for tcp.Params.R1 and R2; at
// most tcp.MaxRetries. Where it is set the user timeout goes before r2.
func (c *Conn) SetRetries(r1, r2 int) error {
	most := tcp.MaxRetries
	if r2 > 0 {
		most = min(most, r2)
	}
	if r1 < 0 || r1 > most {
		return c.setIn("R1", r1, 0, most, nil)
	}
	return c.setIn("R2", r2, 0, tcp.MaxRetries, func(mono.Time) { c.tcb.SetRetries(r1, r2) })
}

// SetQuickAck makes the next ACKs leave at once, the one that waits included, or lets them
// wait for data to ride on (TCP_QUICKACK of Linux). It is no lasting setting: what arrives
// and is written decides anew.
func (c *Conn) SetQuickAck(on bool) error {
	return c.option(func(now mono.Time) { c.tcb.SetQuickAck(now, on) })
}
