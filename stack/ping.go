package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/a644562b/portico/ip"
)

// Pong is the answer to a Ping.
type Pong struct {
	RTT   time.Duration
	TTL   uint8 // of the answer: the hops that it had left
	From  netip.Addr
	Bytes int // of payload
}

// Ping sends an ICMP or ICMPv6 echo request with a sequence number, of which the lower 16
// bits count, and a payload, and waits for its answer. It ends with ctx, whose error it
// returns as net would; with the error that the network answered instead, an *ICMPError;
// or with EMSGSIZE when the payload is longer than a packet can be. To send more than one
// see ListenPing.
func (s *Stack) Ping(ctx context.Context, dst netip.Addr, seq int, payload []byte) (Pong, error) {
	dst = dst.Unmap()
	pong, err := s.ping(ctx, dst, uint16(seq), payload)
	if err != nil {
		return Pong{}, opError("ping", "ip", nil, &net.IPAddr{IP: dst.AsSlice(), Zone: dst.Zone()}, err)
	}
	return pong, nil
}

func (s *Stack) ping(ctx context.Context, dst netip.Addr, seq uint16, payload []byte) (Pong, error) {
	if s.closing.Load() {
		return Pong{}, net.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return Pong{}, contextError(err)
	}
	dst, err := s.unzoned(dst)
	if err != nil {
		return Pong{}, err
	}
	if !dst.IsValid() || dst.IsUnspecified() || dst.IsMulticast() || s.addrs.isBroadcast(dst) {
		return Pong{}, errors.New("not the address of one host")
	}
	p := newPingConn(s, familyOf(dst), netip.Addr{})
	if err := s.pings.add(p); err != nil {
		return Pong{}, err
	}
	defer p.shut()
	stop := context.AfterFunc(ctx, func() { p.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.sendEcho(&Echo{To: dst, Seq: seq, Data: payload}); err != nil {
		return Pong{}, err
	}
	for {
		reply, _, err := p.receive(nil)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Pong{}, contextError(ctx.Err())
		case err != nil:
			return Pong{}, err
		case reply.From == dst && reply.Seq == seq:
			return Pong{RTT: reply.RTT, TTL: reply.TTL, From: dst, Bytes: reply.Size}, nil
		}
	}
}

// ICMPError is an ICMP or ICMPv6 error about a packet that a socket has sent.
type ICMPError struct {
	Kind ip.ErrorKind
	// Code is that of the message; what it says beyond Kind depends on the family.
	Code uint8
	// From is who sent the error, a router on the way or To itself; To where the packet was
	// to go, and Seq its sequence number.
	From, To netip.Addr
	Seq      uint16
	// MTU in bytes is what the next link carries, with ip.ErrorTooBig.
	MTU int
	// Errno is what Linux calls the error: EHOSTUNREACH for time exceeded, too.
	Errno syscall.Errno
}

func (e *ICMPError) Error() string {
	if e.From == e.To {
		return e.Kind.String()
	}
	return e.Kind.String() + ", says " + e.From.String()
}

func (e *ICMPError) Unwrap() error { return e.Errno }
