package serve

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"
)

// streams are the TCP services. Each returns when the connection has nothing more for
// it; the connection is closed then.
var streams = map[string]func(net.Conn) error{
	"echo":    echo,
	"discard": discard,
	"chargen": generate,
	"daytime": tell,
}

// accept serves every connection that comes to l until l is closed.
func (s *Server) accept(l net.Listener, service string) {
	for {
		c, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.cfg.Logger.Error("cannot accept", "service", service, "err", err)
			}
			return
		}
		if !s.track(c) {
			c.Close()
			continue
		}
		s.running.Go(func() {
			defer s.untrack(c)
			defer c.Close()
			if err := streams[service](c); err != nil && !errors.Is(err, net.ErrClosed) {
				s.cfg.Logger.Debug("connection ended", "service", service, "peer", c.RemoteAddr(), "err", err)
			}
		})
	}
}

// echo sends back what it receives, until the peer's FIN has come and everything before
// it has been sent (RFC 862).
func echo(c net.Conn) error {
	_, err := io.Copy(c, c)
	return err
}

// discard throws away what it receives (RFC 863).
func discard(c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// generate sends lines of characters until the peer closes (RFC 864).
func generate(c net.Conn) error {
	for {
		if _, err := c.Write(chargenLines); err != nil {
			return err
		}
	}
}

// tell sends the date and time as one line, and closes (RFC 867).
func tell(c net.Conn) error {
	_, err := c.Write(daytime(time.Now()))
	return err
}

// daytime is the line in the form of the RFC's first example.
func daytime(now time.Time) []byte {
	return now.AppendFormat(nil, "Monday, January 2, 2006 15:04:05-MST\r\n")
}

const (
	printables   = 95 // ' ' to '~'
	chargenWidth = 72
	chargenLine  = chargenWidth + 2
)

// chargenLines are the 95 different lines of the RFC's popular pattern, nine times over,
// which makes a comfortable Write.
var chargenLines = makeChargen()

func makeChargen() []byte {
	var b []byte
	for i := range printables * 9 {
		for j := range chargenWidth {
			b = append(b, byte(' '+(i+j)%printables))
		}
		b = append(b, '\r', '\n')
	}
	return b
}

// maxDatagramText is the most that the RFC lets chargen answer with.
const maxDatagramText = 512

// datagrams are the UDP services: the answer to a datagram, nil for none.
var datagrams = map[string]func(request []byte) []byte{
	"echo":    func(request []byte) []byte { return request },
	"discard": func([]byte) []byte { return nil },
	"chargen": func([]byte) []byte { return chargenLines[:rand.IntN(maxDatagramText+1)] },
	"daytime": func([]byte) []byte { return daytime(time.Now()) },
}

// answerers are ports whose service answers every datagram. Two of them that got to talk
// to each other would never stop.
var answerers = []uint16{7, 13, 17, 19}

// answer serves datagrams until pc is closed.
func (s *Server) answer(pc net.PacketConn, service string) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.cfg.Logger.Error("cannot read datagrams", "service", service, "err", err)
			}
			return
		}
		addr, err := netip.ParseAddrPort(from.String())
		if err != nil || slices.Contains(answerers, addr.Port()) {
			continue
		}
		reply := datagrams[service](buf[:n])
		if reply == nil {
			continue
		}
		if _, err := pc.WriteTo(reply, from); err != nil && !errors.Is(err, net.ErrClosed) {
			s.cfg.Logger.Debug("cannot answer", "service", service, "peer", from, "err", err)
		}
	}
}
