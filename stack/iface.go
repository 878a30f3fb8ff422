package stack

import (
	"net/netip"
	"sync/atomic"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
)

// loopMTU is the MTU in bytes of the way to our own addresses, that of Linux's lo
// within what an IPv4 packet can be.
const loopMTU = 65535

// iface is a device with what the stack needs to know of it at every packet.
type iface struct {
	stack   *Stack
	dev     link.Device
	queues  []link.Queue
	engines []*engine
	big     link.BigSender // dev, if it is one
	mtu     atomic.Int64
	// local: packets stay within the stack, and loopback addresses are in their place.
	local bool
}

func (i *iface) init(s *Stack, dev link.Device) {
	i.stack = s
	i.dev = dev
	i.queues = dev.Queues()
	i.big, _ = dev.(link.BigSender)
	i.mtu.Store(int64(dev.MTU()))
}

// headerLen is the length of the IP headers that the stack sends to dst.
func headerLen(dst netip.Addr) int {
	if dst.Is4() {
		return ip.HeaderLen4
	}
	return ip.HeaderLen6
}

// mss is the MSS to announce to dst (RFC 9293, section 3.7.1, MUST-67).
func (i *iface) mss(dst netip.Addr) int {
	return i.mtuTo(dst) - headerLen(dst) - tcp.HeaderLen
}

// maxGSO is the most data that a super-segment to dst may carry: what an IP packet can
// be, or what the device takes beyond that, less the longest headers. 0: the device takes none.
func (i *iface) maxGSO(dst netip.Addr) int {
	if !i.cuts(dst) {
		return 0
	}
	frame := 65535
	if i.big != nil && dst.Is4() {
		frame = max(frame, i.big.BigTo(dst))
	}
	return frame - ip.HeaderLen6 - tcp.MaxHeaderLen
}

// cuts reports whether the device takes super-segments to dst now.
func (i *iface) cuts(dst netip.Addr) bool {
	caps := i.dev.Caps()
	if dst.Is4() {
		return caps.TSO4
	}
	return caps.TSO6
}

// route is the way that packets to one destination take.
type route struct {
	via  *iface
	lane uint16 // index of the queue
	// How the packets of a connection are to be marked.
	ttl    uint8 // 0: as the stack's are
	tos    uint8 // the DSCP; the ECN bits are 0
	mayCut bool  // routers may cut IPv4 packets: see ip.PathMTU
}

// hopLimit is the TTL or hop limit of packets by r.
func (r *route) hopLimit() uint8 {
	if r.ttl != 0 {
		return r.ttl
	}
	return r.via.stack.cfg.TTL
}

// lane is the index of the queue for the flow with this number.
func (i *iface) lane(flow uint64) uint16 {
	if i.local {
		return 0
	}
	return i.stack.lanes.of(flow)
}

// routeTo is the way to dst of a flow with this number.
func (s *Stack) routeTo(dst netip.Addr, flow uint64) route {
	if s.addrs.isLocal(dst) || dst.IsInterfaceLocalMulticast() {
		return route{via: &s.loop}
	}
	return route{via: &s.device, lane: s.device.lane(flow)}
}
