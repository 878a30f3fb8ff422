package stack

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// Config says how a stack is to behave. Only Addrs is required; the zero value of every
// other field is its default.
type Config struct {
	// Addrs are the stack's own addresses with their on-link prefixes, at least one.
	// Which of several connections start from, Routes and RFC 6724 decide; of equals it
	// is the first. Beside IPv6 addresses none of which is link-local the stack has one of
	// its own, fe80:: with the last 64 bits of the first (RFC 4291, section 2.8).
	Addrs []netip.Prefix
	// Routes say where packets go besides to the networks of Addrs. Nil: a default route
	// by the device for each family of Addrs; empty but not nil: nowhere else. Without a
	// route Dial answers ENETUNREACH, as it does to a blackhole (Linux says EINVAL there);
	// an unreachable network gives EHOSTUNREACH, a prohibited one EACCES. Packets that come
	// from where no route leads are taken in and not answered.
	Routes []ip.Route
	// DNS are the name servers that the names given to Dial and Listen are looked up at,
	// tried in this order; they are reached through the stack itself. Names of the machine's
	// hosts file are found without them, as by Go programs.
	DNS []netip.AddrPort
	// Resolver looks names up instead of DNS.
	Resolver Resolver
	// AddrPolicy is the policy table of RFC 6724, section 2.1. Nil: ip.DefaultPolicy.
	AddrPolicy ip.Policy
	// TCP are the settings of all TCP connections. Where they name no memory budget the
	// stack makes one of 512 MiB, so that no number of connections takes more for what
	// they hold.
	TCP tcp.Params
	// Observe is asked once for every TCP connection, when it is made and before its
	// first segment is processed, who wants to look at it. It may return nil. The same
	// rules hold for Observe as for a tcp.Observer: be quick and do not call back into
	// the stack. Both are called by whoever takes a packet in, which may be a Write on another
	// connection that waits for room: do not hold in a Write a lock that they take.
	Observe func(ConnID) tcp.Observer
	// Logger is told what an operator should know. Nil: nobody is.
	Logger *slog.Logger
	// TTL is the time to live or hop limit of what is sent. Default 64.
	TTL uint8
	// DSCP is the differentiated services code point of what new connections and UDP sockets
	// send, and of resets, 0 to 63 (RFC 2474). Default 0. See Conn.SetDSCP, UDPConn.SetTOS
	// and ListenConfig.
	DSCP uint8
	// Backlog is how many connections a Listener holds that have not been accepted. SYNs
	// beyond are dropped, and the peer tries again. As many more may be in their
	// handshake; what becomes of SYNs beyond those SYNCookies says. Default 4096, minimum 1.
	Backlog int
	// SYNCookies says which SYNs to listeners are answered by SYN cookies. Default: those for
	// which there is no room.
	SYNCookies SYNCookies
	// MaxTimeWait is how many connections are in TIME-WAIT at most that their applications
	// have closed, each of which takes up to 128 bytes. What comes beyond is CLOSED at once,
	// and counted, as with tcp_max_tw_buckets of Linux. Default 262,144, minimum 1.
	MaxTimeWait int
	// MaxOrphans is how many connections that their applications have closed may still have
	// something to deliver, or wait for the peer's FIN. Beyond, Close resets the connection,
	// and counts it, as with tcp_max_orphans of Linux: a peer that takes nothing in could hold
	// what it is sent for ever. Default 65,536, minimum 1.
	MaxOrphans int
	// PortRange are the first and the last port that the stack chooses for itself.
	// Default 32768 to 60999, as on Linux.
	PortRange [2]uint16
	// Forward says who answers on behalf of addresses that are not ours. Default: nobody.
	Forward Forward
	// SpreadAlways spreads connections over all queues of the device at any time. Without it
	// they share the first until much data moves on several of them (1 Gbit/s together, in large
	// frames), if the device is a link.Spreader: then several engines are faster, for small messages one is.
	SpreadAlways bool
	// KeepAlive are the settings of new TCP connections. Off by default (RFC 9293,
	// section 3.8.4, MUST-25).
	KeepAlive tcp.KeepAlive
}

const (
	defaultBudget  = 512 << 20
	defaultBacklog = 4096
	// defaultTimeWait is that of Linux with much memory.
	defaultTimeWait = 262_144
	defaultOrphans  = 65_536
	firstEphemeral  = 32768
	lastEphemeral   = 60999

	// minMTU6 is what every link has to carry for IPv6 (RFC 8200, section 5); minMTU4
	// for IPv4 (RFC 791, section 3.2).
	minMTU6 = 1280
	minMTU4 = 68
)

// withDefaults returns the configuration with every zero replaced by its default, or an
// error that says which field to change.
func (c Config) withDefaults(dev link.Device) (Config, error) {
	c.TCP = c.TCP.WithDefaults()
	if c.TCP.Budget == nil {
		c.TCP.Budget = tcp.NewBudget(defaultBudget)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.TTL == 0 {
		c.TTL = ip.DefaultTTL
	}
	if c.DSCP > maxDSCP {
		return c, fmt.Errorf("stack: DSCP is %d; it must be 0 to %d", c.DSCP, maxDSCP)
	}
	if c.Backlog == 0 {
		c.Backlog = defaultBacklog
	}
	if c.Backlog < 0 {
		return c, fmt.Errorf("stack: Backlog is %d; it must be positive", c.Backlog)
	}
	if c.SYNCookies > SYNCookiesNever {
		return c, fmt.Errorf("stack: SYNCookies is %d; it must be SYNCookiesWhenFull, SYNCookiesAlways or SYNCookiesNever", c.SYNCookies)
	}
	if c.MaxTimeWait == 0 {
		c.MaxTimeWait = defaultTimeWait
	}
	if c.MaxTimeWait < 0 {
		return c, fmt.Errorf("stack: MaxTimeWait is %d; it must be positive", c.MaxTimeWait)
	}
	if c.MaxOrphans == 0 {
		c.MaxOrphans = defaultOrphans
	}
	if c.MaxOrphans < 0 {
		return c, fmt.Errorf("stack: MaxOrphans is %d; it must be positive", c.MaxOrphans)
	}
	if c.PortRange == [2]uint16{} {
		c.PortRange = [2]uint16{firstEphemeral, lastEphemeral}
	}
	if c.PortRange[0] == 0 || c.PortRange[0] > c.PortRange[1] {
		return c, fmt.Errorf("stack: PortRange is %d to %d; it must start at 1 or more and not end before its start",
			c.PortRange[0], c.PortRange[1])
	}
	var err error
	if c.Forward, err = c.Forward.withDefaults(); err != nil {
		return c, err
	}
	if c.AddrPolicy == nil {
		c.AddrPolicy = ip.DefaultPolicy
	}
	if err := c.checkAddrs(dev.MTU()); err != nil {
		return c, err
	}
	if err := c.checkDNS(); err != nil {
		return c, err
	}
	return c, c.checkRoutes()
}

// checkDNS refuses name servers that cannot be asked.
func (c *Config) checkDNS() error {
	if len(c.DNS) > 0 && c.Resolver != nil {
		return errors.New("stack: DNS and Resolver are both set; one of them looks names up")
	}
	for _, server := range c.DNS {
		if !server.IsValid() || server.Port() == 0 {
			return fmt.Errorf("stack: %v in DNS is no name server; write an address and a port, such as 10.77.0.1:53", server)
		}
	}
	return nil
}

// checkAddrs refuses addresses that cannot be a host's own.
func (c *Config) checkAddrs(mtu int) error {
	if len(c.Addrs) == 0 {
		return errors.New("stack: Addrs is empty; give the stack at least one address with its prefix, such as 10.77.0.2/24")
	}
	seen := make(map[netip.Addr]bool)
	for _, p := range c.Addrs {
		a := p.Addr()
		switch {
		case !p.IsValid():
			return errors.New("stack: Addrs holds an invalid prefix; write an address with its prefix, such as 10.77.0.2/24")
		case !ip.ValidSource(a) || ip.IsBroadcast(a, p):
			return fmt.Errorf("stack: %v in Addrs cannot be the address of a host", p)
		case a.Zone() != "":
			return fmt.Errorf("stack: %v in Addrs has a zone; leave it out", p)
		case seen[a]:
			return fmt.Errorf("stack: %v stands twice in Addrs", a)
		case a.Is6() && mtu < minMTU6:
			return fmt.Errorf("stack: %v in Addrs needs an MTU of %d, the device has %d", p, minMTU6, mtu)
		case mtu < minMTU4:
			return fmt.Errorf("stack: the device's MTU is %d; IPv4 needs %d", mtu, minMTU4)
		}
		seen[a] = true
	}
	return nil
}
