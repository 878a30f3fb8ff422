package stack

import (
	"context"
	"net"
)

// ListenPacket is Stack.ListenPacket with these settings, for UDP only: ping sockets have a SetTTL.
func (lc *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	u, err := lc.listenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// ListenPacket opens a UDP socket. The networks are "udp", "udp4" and "udp6"; the address
// and the errors are as for Listen. The address of a group stands for all addresses of the
// stack, with a port that is shared as by ReuseAddr, as in net; the group is not joined.
// The result is a *UDPConn. The networks of ListenPing give a *PingConn.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	if pingNetwork(network) {
		p, err := s.ListenPing(network, address)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	lc := ListenConfig{Stack: s}
	return lc.ListenPacket(context.Background(), network, address)
}

func (lc *ListenConfig) listenPacket(ctx context.Context, network, address string) (*UDPConn, error) {
	transport, f, err := parseNetwork(network)
	if err == nil && transport != networkUDP {
		err = &net.AddrError{Err: unexpectedType, Addr: address}
	}
	if err == nil {
		err = lc.check(ctx)
	}
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	s := lc.Stack
	b, err := s.parseBinding(ctx, network, f, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	shared := lc.reuse()
	if b.addr.IsMulticast() {
		b, shared = binding{families: b.families, port: b.port}, shared|reuseAddr
	}
	u := newUDPConn(s, network, b)
	lc.markSocket(u)
	u.reuse = shared
	if err := s.bind(func() error { return s.sockets.add(u, s.cfg.PortRange) }, &b); err != nil {
		return nil, opError("listen", network, nil, s.describe(transport, &b), err)
	}
	return u, nil
}

func (lc *ListenConfig) reuse() reuse {
	var r reuse
	if lc.ReuseAddr {
		r |= reuseAddr
	}
	if lc.ReusePort {
		r |= reusePort
	}
	return r
}
