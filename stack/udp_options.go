package stack

import (
	"net"

	"github.com/a644562b/portico/ip"
)

// udpOptions are the settings of a socket that matter when it sends.
type udpOptions struct {
	ttl, tos  uint8
	groupTTL  uint8 // of datagrams to a group
	groupLoop bool  // such come back to this stack's own members
	broadcast bool  // broadcast addresses may be sent to
	pathMTU   PathMTU
	segment   int // bytes of payload that a Write is cut into; 0: one datagram a Write
}

// PathMTU says what a socket does about datagrams that do not fit the path to their
// destination. The values are those of IP_MTU_DISCOVER on Linux.
type PathMTU uint8

const (
	// PathMTUWant, the default: what fits the path is sent with don't fragment, and what
	// does not in fragments.
	PathMTUWant PathMTU = iota
	// PathMTUDo: nothing is sent in fragments; what does not fit gives EMSGSIZE.
	PathMTUDo
	// PathMTUDont: routers may fragment what is sent, and what routers say of the path
	// is not heeded.
	PathMTUDont
	// PathMTUProbe: as PathMTUDo, but only the device's own MTU counts and not what
	// routers have said, for programs that find out by themselves.
	PathMTUProbe
)

// defaultUDPBuffer bounds what waits in a UDP socket, in bytes, as on Linux
// (net.core.rmem_default); minUDPBuffer is the least bound.
const (
	defaultUDPBuffer = 212_992
	minUDPBuffer     = 2304
)

// set runs f, which changes a setting, on a socket that is not closed.
func (u *UDPConn) set(f func()) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return opError("set", u.network, nil, u.LocalAddr(), net.ErrClosed)
	}
	f()
	return nil
}

// setIn is set for a value that must lie in a range.
func (u *UDPConn) setIn(what string, v, least, most int, f func()) error {
	if v < least || v > most {
		return opError("set", u.network, nil, u.LocalAddr(), outOfRange(what, v, least, most))
	}
	return u.set(f)
}

// SetReadBuffer bounds what waits to be read: bytes, each datagram counting for 256 more
// than its payload. Datagrams that find no room are dropped and counted; one always finds
// room. Minimum 2,304, as on Linux; default 212,992.
func (u *UDPConn) SetReadBuffer(bytes int) error {
	return u.set(func() { u.limit = max(bytes, minUDPBuffer) })
}

// SetWriteBuffer is there for programs written for net. Nothing waits to be sent, so
// there is nothing to bound; on a closed socket it is an error all the same.
func (u *UDPConn) SetWriteBuffer(bytes int) error { return u.set(func() {}) }

// SetTTL sets the time to live or hop limit of what is sent to one host, 1 to 255.
// Default: Config.TTL.
func (u *UDPConn) SetTTL(ttl int) error {
	return u.setIn("the TTL", ttl, 1, 255, func() { u.options.ttl = uint8(ttl) })
}

// SetTOS sets the type of service or traffic class of what is sent, 0 to 255: DSCP<<2 (RFC
// 2474) and the two bits of ECN (RFC 3168), which a program that sets them must heed
// (RFC 8085, section 3.1.7). Default: Config.DSCP.
func (u *UDPConn) SetTOS(tos int) error {
	return u.setIn("the TOS", tos, 0, 255, func() { u.options.tos = uint8(tos) })
}

// SetPathMTU sets what becomes of datagrams that do not fit the path.
func (u *UDPConn) SetPathMTU(mode PathMTU) error {
	return u.setIn("the mode", int(mode), int(PathMTUWant), int(PathMTUProbe), func() { u.options.pathMTU = mode })
}

// SetBroadcast says whether broadcast addresses may be sent to; where not, sending to one
// gives EACCES. As in net they may unless this forbids it.
func (u *UDPConn) SetBroadcast(allowed bool) error {
	return u.set(func() { u.options.broadcast = allowed })
}

// maxSegments is how many datagrams one send may be cut into, as on Linux
// (UDP_MAX_SEGMENTS).
const maxSegments = 64

// SetSegmentSize makes every write be cut into datagrams of so many bytes of payload, the
// last of which may be shorter; 64 at most, more are EINVAL. The device cuts where it can
// (UDP segmentation offload), else the stack does. 0, the default: one datagram a write.
func (u *UDPConn) SetSegmentSize(bytes int) error {
	return u.setIn("the segment size", bytes, 0, ip.MaxPayload6, func() { u.options.segment = bytes })
}
