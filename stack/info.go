package stack

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/a644562b/portico/tcp"
)

// ConnInfo describes a TCP connection. Local and Remote are in both of its parts: in Info with
// their zones, as LocalAddr and RemoteAddr have them.
type ConnInfo struct {
	ConnID `json:"-"`
	tcp.Info
	Serial uint64 `json:"serial"` // that of ConnID
	// Orphan: the application has closed the connection, or never accepted it; the
	// stack brings it to its end alone.
	Orphan bool `json:"orphan"`
}

// Conns describes all TCP connections in whatever state, in the order in which they were
// made. Each description is of one instant, all together are not.
func (s *Stack) Conns() []ConnInfo {
	var infos []ConnInfo
	for _, f := range s.conns.Values() {
		if info, ok := f.describe(s); ok {
			s.zoneEnds(&info.Info)
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b ConnInfo) int { return cmp.Compare(a.Serial, b.Serial) })
	return infos
}

func (c *Conn) describe(s *Stack) (ConnInfo, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w, ok := c.successor(); ok { // it has retired since the list was made
		return w.describe(s)
	}
	if c.gone {
		return ConnInfo{}, false
	}
	return ConnInfo{ConnID: c.id(), Info: c.tcb.Info(c.now()), Serial: c.serial, Orphan: c.closed}, true
}

// Info describes the connection. It may be called after Close.
func (c *Conn) Info() tcp.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	info := c.tcb.Info(now)
	if c.retired {
		c.waited(&info, now)
	}
	c.stack().zoneEnds(&info)
	return info
}

// zoneEnds puts the zones on a description of a connection.
func (s *Stack) zoneEnds(i *tcp.Info) { i.Local, i.Remote = s.zoned(i.Local), s.zoned(i.Remote) }

// SoftError is what is wrong with the path to the peer, as far as anybody said, or nil: the
// last ICMP error about something in flight, a syscall.Errno such as EHOSTUNREACH, or
// tcp.ErrTroubled after tcp.Params.R1 retransmissions in a row without an answer (RFC 9293,
// section 3.9.1.8, MUST-47). The connection goes on trying, and the next acknowledgment
// clears the error. Nobody is told who does not ask.
func (c *Conn) SoftError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tcb.LastSoftError()
}

// ID names the connection.
func (c *Conn) ID() ConnID { return c.id() }

func (c *Conn) id() ConnID {
	ends := c.tcb.Ends()
	return ConnID{Local: ends.Local, Remote: ends.Remote, Serial: c.serial, Passive: c.passive}
}

// sortByLocal sorts descriptions of sockets by port, then address.
func sortByLocal[T any](list []T, local func(T) netip.AddrPort) {
	slices.SortFunc(list, func(a, b T) int {
		x, y := local(a), local(b)
		return cmp.Or(cmp.Compare(x.Port(), y.Port()), x.Addr().Compare(y.Addr()))
	})
}
