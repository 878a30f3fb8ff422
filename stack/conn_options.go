package stack

import (
	"net"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

// SetNoDelay says whether small segments leave at once instead of waiting for company
// (Nagle's algorithm, RFC 9293, section 3.7.4). The default is true, as in net. Small Writes in
// a row share segments whatever is set here: see [tcp.Params].NoAutocork.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.tcpOption(func(now mono.Time) { c.tcb.SetNoDelay(now, noDelay) })
}

// SetKeepAlive turns keep-alive probes on or off (RFC 9293, section 3.8.4).
func (c *Conn) SetKeepAlive(on bool) error {
	return c.tcpOption(func(now mono.Time) {
		k := c.keepAlive()
		k.Enable = on
		c.setKeepAlive(now, k)
	})
}

// What a zero in a net.KeepAliveConfig stands for.
const (
	netKeepAliveIdle     = 15 * time.Second
	netKeepAliveInterval = 15 * time.Second
	netKeepAliveCount    = 9
)

// SetKeepAliveConfig sets the keep-alive probes. As in net, a zero means 15 s, 15 s and
// 9 probes, and a negative field stays as it is.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.tcpOption(func(now mono.Time) {
		k := c.keepAlive()
		k.Enable = config.Enable
		k.Idle = netSetting(config.Idle, netKeepAliveIdle, k.Idle)
		k.Interval = netSetting(config.Interval, netKeepAliveInterval, k.Interval)
		k.Count = netSetting(config.Count, netKeepAliveCount, k.Count)
		c.setKeepAlive(now, k)
	})
}

// SetKeepAlivePeriod sets how long the connection is idle before it is probed, as in net; 0
// means 15 s, and a negative period changes nothing. It does not turn the probes on.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.tcpOption(func(now mono.Time) {
		k := c.keepAlive()
		k.Idle = netSetting(d, netKeepAliveIdle, k.Idle)
		c.setKeepAlive(now, k)
	})
}

// netSetting is what a field of a net.KeepAliveConfig means.
func netSetting[T int | time.Duration](v, zero, old T) T {
	switch {
	case v < 0:
		return old
	case v == 0:
		return zero
	}
	return v
}

// keepAlive are the settings that hold now.
func (c *Conn) keepAlive() tcp.KeepAlive {
	if c.extra != nil && c.extra.keepAlive != nil {
		return *c.extra.keepAlive
	}
	return c.stack().cfg.KeepAlive
}

func (c *Conn) setKeepAlive(now mono.Time, k tcp.KeepAlive) {
	c.extras().keepAlive = &k
	c.tcb.SetKeepAlive(now, k)
}

// SetLinger says what Close does with data that has not been delivered. Negative, the
// default: it is delivered in the background. 0: it is dropped and the peer is reset.
// Positive: Close waits, as on Linux, until the peer has acknowledged everything and the
// FIN, but at most that many seconds; what it has not acknowledged by then is dropped, and
// the peer is reset.
func (c *Conn) SetLinger(sec int) error {
	return c.tcpOption(func(mono.Time) {
		if sec < 0 {
			sec = -1
		}
		c.tcb.SetLinger(time.Duration(sec) * time.Second)
	})
}

// SetUserTimeout says how long data may stay unacknowledged before the connection is
// given up with ETIMEDOUT (RFC 9293, section 3.8.3; RFC 5482). 0: as long as the
// protocol's own limit, tcp.Params.R2.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	return c.option(func(now mono.Time) { c.tcb.SetUserTimeout(now, max(d, 0)) })
}

// SetReadBuffer bounds what waits to be read, and so the window that the peer is offered.
// Bytes, kept within 4 KiB and 64 MiB.
func (c *Conn) SetReadBuffer(bytes int) error {
	return c.option(func(now mono.Time) { c.tcb.SetReceiveBuffer(now, bytes) })
}

// SetWriteBuffer bounds what waits to be sent or acknowledged. Bytes, kept within 4 KiB
// and 64 MiB.
func (c *Conn) SetWriteBuffer(bytes int) error {
	return c.option(func(mono.Time) { c.tcb.SetSendBuffer(bytes) })
}

// tcpOption is option for what net calls settings of TCP: their errors name both ends.
func (c *Conn) tcpOption(f func(now mono.Time)) error {
	err := c.option(f)
	if op, ok := err.(*net.OpError); ok {
		op.Source, op.Addr = c.LocalAddr(), c.RemoteAddr()
	}
	return err
}

// option changes a setting of the TCB, which may have something to send then.
func (c *Conn) option(f func(now mono.Time)) error {
	return c.set(func() { c.call(f) })
}

// SetCongestion changes the congestion control of this connection, by a name that
// tcp.CongestionByName knows. The new one takes over the congestion window. The default
// is the stack's, Config.TCP.Congestion.
func (c *Conn) SetCongestion(name string) error {
	control, err := tcp.CongestionByName(name)
	if err != nil {
		return opError("set", c.network.String(), nil, c.LocalAddr(), err)
	}
	return c.option(func(now mono.Time) { c.tcb.SetCongestion(now, control) })
}
