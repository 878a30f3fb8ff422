package stack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// pathError is an ICMP error about a packet that claims to be one of ours, as a socket is
// told of it. The addresses are ours and its own by now; the socket checks what only it can
// know, TCP that the sequence number is in flight (RFC 5927, section 4), before it believes
// anything. Class says what the error means: soft, hard, or smaller packets.
type pathError struct {
	// Quote is what the error says and quotes. It and its Transport are the engine's, and
	// are not to be kept.
	*ip.Quote
	// From is who sent the error: a router on the way, or the destination.
	From netip.Addr
	// Errno is what a system call on Linux would return for it.
	Errno syscall.Errno
}

// The errors of IPv4 whose errno is not that of their kind (icmp_err_convert of Linux).
var errnoOfCode4 = map[uint8]syscall.Errno{
	5:  syscall.EOPNOTSUPP,  // source route failed
	7:  syscall.EHOSTDOWN,   // host unknown
	9:  syscall.ENETUNREACH, // network prohibited
	10: syscall.EHOSTUNREACH,
	13: syscall.EHOSTUNREACH,
}

// errnoOf is the errno by which Linux names an ICMP error.
func errnoOf(q *ip.Quote) syscall.Errno {
	switch q.Kind {
	case ip.ErrorNet, ip.ErrorHost, ip.ErrorAdmin:
		return unreachableErrno(q)
	case ip.ErrorProtocol:
		if q.Header.Is4() {
			return syscall.ENOPROTOOPT
		}
		return syscall.EPROTO
	case ip.ErrorPort:
		return syscall.ECONNREFUSED
	case ip.ErrorTooBig:
		return syscall.EMSGSIZE
	case ip.ErrorParameter:
		return syscall.EPROTO
	}
	return syscall.EHOSTUNREACH // time exceeded
}

func unreachableErrno(q *ip.Quote) syscall.Errno {
	if errno, ok := errnoOfCode4[q.Code]; ok && q.Header.Is4() {
		return errno
	}
	switch q.Kind {
	case ip.ErrorNet:
		return syscall.ENETUNREACH
	case ip.ErrorAdmin:
		return syscall.EACCES
	}
	return syscall.EHOSTUNREACH
}

// maxPaths bounds how many paths are known to be narrower than our link.
const maxPaths = 4096

// paths are the path MTUs that all sockets share.
type paths struct {
	// some is false while nothing is known, which is nearly always: then nobody locks.
	some atomic.Bool
	// lowered counts what has been learnt: connections look whether it concerns them when
	// it has changed since they last looked.
	lowered atomic.Uint32
	mu      sync.RWMutex
	table   ip.PathMTUs
}

func (p *paths) init() { p.table = ip.NewPathMTUs(maxPaths) }

// pathMTU is what a packet by r to dst may be now, no longer than an IP packet can be.
func (s *Stack) pathMTU(r route, dst netip.Addr) ip.PathMTU {
	link := min(r.via.mtuTo(dst), loopMTU)
	p := &s.paths
	if !p.some.Load() {
		return ip.PathMTU{MTU: link}
	}
	now := s.Now()
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.table.Get(now, dst, link)
}

// adviseAgainst is the negative advice that IP gets about a destination from which a
// connection hears nothing although it has sent the same again R1 times (RFC 9293, 3.8.3,
// MUST-20). There is one device and no gateway to choose another for; what can be wrong is
// what was learned about the path, and that is forgotten. Linux does the same with the routes
// that redirects and packets too big have made.
func (s *Stack) adviseAgainst(dst netip.Addr) {
	p := &s.paths
	if !p.some.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.table.Forget(dst)
	p.some.Store(p.table.Len() > 0)
}

// tooBig takes in an error of class ip.ErrorMTU that has proven to be about a packet of
// ours. It returns what packets to that destination may be from now on, and whether that
// is less than before.
func (s *Stack) tooBig(now mono.Time, q *ip.Quote) (path ip.PathMTU, lowered bool) {
	link := min(s.routeTo(q.Header.Dst, 0).via.mtuTo(q.Header.Dst), loopMTU)
	p := &s.paths
	p.mu.Lock()
	defer p.mu.Unlock()
	path, lowered = p.table.Heed(now, q, link)
	p.some.Store(p.table.Len() > 0)
	if lowered {
		p.lowered.Add(1)
	}
	return path, lowered
}
