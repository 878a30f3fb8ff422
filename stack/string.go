package stack

import (
	"fmt"
	"net"
	"strings"
)

// How the public types are printed. Without these package fmt would read fields that other
// goroutines change, and print what was to stay secret.

// String names the device and the addresses.
func (s *Stack) String() string {
	words := make([]string, len(s.addrs.prefixes))
	for i, p := range s.addrs.prefixes {
		words[i] = p.String()
	}
	return "stack on " + s.device.dev.Name() + ": " + strings.Join(words, ", ")
}

// String is "tcp LOCAL->REMOTE", as in the errors of the connection.
func (c *Conn) String() string { return arrow("tcp", c.LocalAddr(), c.RemoteAddr()) }

// String is "tcp LOCAL".
func (l *Listener) String() string { return "tcp " + l.Addr().String() }

// String is "udp LOCAL", with "->REMOTE" when the socket was dialed.
func (u *UDPConn) String() string {
	if r := u.RemoteAddr(); r != nil {
		return arrow("udp", u.LocalAddr(), r)
	}
	return "udp " + u.LocalAddr().String()
}

// String is "ping LOCAL" and the identifier.
func (p *PingConn) String() string { return fmt.Sprintf("ping %v id %d", p.LocalAddr(), p.ID()) }

// String is "tcp REMOTE->LOCAL": who asks for whom.
func (r *TCPRequest) String() string { return arrow("tcp", r.RemoteAddr(), r.LocalAddr()) }

// String is "udp REMOTE->LOCAL": who asks for whom.
func (r *UDPRequest) String() string { return arrow("udp", r.RemoteAddr(), r.LocalAddr()) }

func arrow(network string, from, to net.Addr) string {
	return network + " " + from.String() + "->" + to.String()
}
