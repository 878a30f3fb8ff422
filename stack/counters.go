package stack

import (
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/tcp"
	"github.com/a644562b/portico/udp"
)

// counters are what Stats is read from: the sums over the shards.
type counters struct {
	// shards are first those of the engines, one each, and then those of the goroutines
	// that borrow an outbox, which share them by its number.
	shards  []shard
	lanes   int // how many of the engines read the device
	engines int
	// messages are those of ICMP and ICMPv6 by family, direction and type.
	messages [2][2][256]atomic.Uint64
}

var _ tcp.Tally = (*counters)(nil)

// maxSenders bounds the shards of those that send.
const maxSenders = 16

// init makes the shards for a device and a loop of so many queues.
func (c *counters) init(device, loop int) {
	c.lanes, c.engines = device, device+loop
	c.shards = make([]shard, c.engines+min(runtime.GOMAXPROCS(0), maxSenders))
}

// of is the shard of the engine of one queue.
func (c *counters) of(in *iface, lane int) *shard {
	if in.local {
		lane += c.lanes
	}
	return &c.shards[lane]
}

// by is the shard of whoever has o.
func (c *counters) by(o *outbox) *shard {
	if o.count != nil {
		return o.count
	}
	senders := c.shards[c.engines:]
	return &senders[o.number%uint32(len(senders))]
}

// traffic is how much has gone over the device, and not the loop.
func (c *counters) traffic() (t traffic) {
	for i := range c.shards {
		if i >= c.lanes && i < c.engines {
			continue // of the loop
		}
		sh := &c.shards[i]
		t.frames += atomic.LoadUint64(&sh.device.InFrames) + atomic.LoadUint64(&sh.device.OutFrames)
		for f := range sh.ip {
			t.octets += atomic.LoadUint64(&sh.ip[f].InOctets) + atomic.LoadUint64(&sh.ip[f].OutOctets)
		}
	}
	return t
}

// rare is where those count that have neither: what happens seldom, or to one goroutine at
// a time.
func (c *counters) rare() *shard { return &c.shards[c.engines] }

// Indices of arrays by family and by direction.
const (
	in4, in6        = 0, 1
	inward, outward = 0, 1
)

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return in4
	}
	return in6
}

// shard is a part of all counters. Each is added to by add, so that nobody waits; that two
// processors hardly ever write to the same shard makes it cheap.
type shard struct {
	ip     [2]IPStats
	udp    [2]UDPStats
	icmp   [2]icmpSums
	tcp    TCPStats
	tcpExt TCPExtStats
	ipExt  IPExtStats
	device DeviceStats

	tally    [tcp.NumCounters]uint64
	drops    [numDrops]uint64
	ipDrops  [ip.NumDrops]uint64
	udpDrops [udp.NumDrops]uint64
	tcpDrops [numTCPDrops]uint64

	_ [64]byte // so that no line of a cache is shared with the next shard
}

// icmpSums are what is counted of messages besides their types.
type icmpSums struct{ inMsgs, inErrors, inCsumErrors, outMsgs, limitHost, limitGlobal uint64 }

// add adds n to a counter of a shard.
func add(counter *uint64, n int) { atomic.AddUint64(counter, uint64(n)) }

func (sh *shard) drop(d drop, packets int) { add(&sh.drops[d], packets) }

// Count and Drop are what the connections call.
func (c *counters) Count(which tcp.Counter, n int) { add(&c.rare().tally[which], n) }
func (c *counters) Drop(why tcp.Why)               { add(&c.rare().tcpDrops[why-firstTCPDrop], 1) }

// drop, dropIP and dropUDP count the packet in hand as dropped.
func (e *engine) drop(d drop)      { e.count.drop(d, e.packets) }
func (e *engine) dropIP(d ip.Drop) { add(&e.count.ipDrops[d], e.packets) }
func (e *engine) dropUDP(d udp.Drop) {
	add(&e.count.udpDrops[d], e.packets)
	c := &e.count.udp[e.family]
	add(&c.InErrors, e.packets)
	if d == udp.DropChecksum || d == udp.DropZeroChecksum {
		add(&c.InCsumErrors, e.packets)
	}
}

// onWire is how many packets a frame of n bytes stands for, and how many bytes these have
// together: each piece of a super-segment has the headers.
func onWire(n int, o *link.Offload) (packets, octets int) {
	data, piece := n-int(o.HeaderLen), int(o.GSOSize)
	if piece == 0 || o.HeaderLen == 0 || data <= piece {
		return 1, n
	}
	packets = (data + piece - 1) / piece
	return packets, n + (packets-1)*int(o.HeaderLen)
}

// familyOfPacket is the index of the family that a packet claims to be of.
func familyOfPacket(b []byte) (family int, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	switch b[0] >> 4 {
	case 4:
		return in4, true
	case 6:
		return in6, true
	}
	return 0, false
}

// arrived counts the packet in hand, whatever may be wrong with it.
func (e *engine) arrived(f *link.Frame) {
	e.packets, e.octets = onWire(len(f.Data), &f.Offload)
	e.reassembled = false
	var ok bool
	if e.family, ok = familyOfPacket(f.Data); ok {
		c := &e.count.ip[e.family]
		add(&c.InReceives, e.packets)
		add(&c.InOctets, e.octets)
	}
}

// understood counts what the header of the packet in hand says.
func (e *engine) understood() {
	h, c := &e.header, &e.count.ip[e.family]
	switch h.TOS & ecnMask {
	case 0:
		add(&c.InNoECTPkts, e.packets)
	case ecnECT0:
		add(&c.InECT0Pkts, e.packets)
	case ecnCE:
		add(&c.InCEPkts, e.packets)
	default:
		add(&c.InECT1Pkts, e.packets)
	}
	if h.Dst.IsMulticast() {
		add(&c.InMcastPkts, e.packets)
		add(&c.InMcastOctets, e.octets)
	}
}

// broadcast counts a packet to everybody on the link, a datagram of fragments not again.
func (e *engine) broadcast() {
	if !e.reassembled {
		add(&e.count.ipExt.InBcastPkts, e.packets)
		add(&e.count.ipExt.InBcastOctets, e.octets)
	}
}

// delivers counts the packet in hand as handed to its protocol.
func (e *engine) delivers() { add(&e.count.ip[e.family].InDelivers, e.packets) }

// malformed counts packets that were dropped by what stands in their IP headers.
func (sh *shard) malformed(family int, why ip.Drop, packets int) {
	c := &sh.ip[family]
	switch why {
	case ip.DropVersion: // of neither family
	case ip.DropLength:
		add(&c.InTruncatedPkts, packets)
	case ip.DropBadDestination:
		add(&c.InAddrErrors, packets)
	case ip.DropNoNextHeader:
		add(&c.InDiscards, packets)
	case ip.DropFragmentDuplicate: // nothing has failed
	case ip.DropFragmentLength, ip.DropFragmentTooLong, ip.DropFragmentChain, ip.DropFragmentOverlap,
		ip.DropFragmentECN, ip.DropReassemblyMemory:
		add(&c.ReasmFails, packets)
		if why == ip.DropFragmentOverlap && family == in4 {
			add(&sh.ipExt.ReasmOverlaps, packets)
		}
	default:
		add(&c.InHdrErrors, packets)
		if why == ip.DropHeaderChecksum {
			add(&sh.ipExt.InCsumErrors, packets)
		}
	}
}

// evicted counts datagrams that were given up for others.
func (c *counters) evicted(family, datagrams int) {
	if datagrams > 0 {
		add(&c.rare().ipDrops[ip.DropReassemblyEvicted], datagrams)
		add(&c.rare().ip[family].ReasmFails, datagrams)
	}
}

// timedOut counts a datagram whose pieces did not all come.
func (c *counters) timedOut(is4 bool) {
	family := in6
	if is4 {
		family = in4
	}
	add(&c.rare().ipDrops[ip.DropReassemblyTimeout], 1)
	add(&c.rare().ip[family].ReasmTimeout, 1)
	add(&c.rare().ip[family].ReasmFails, 1)
}

// overflow counts segments for which a listener has no room.
func (sh *shard) overflow(packets int) {
	add(&sh.tcpExt.ListenOverflows, packets)
	add(&sh.tcpExt.ListenDrops, packets)
}

// sentMessage counts a message of ICMP or ICMPv6 that is handed to IP.
func (c *counters) sentMessage(sh *shard, family int, typ uint8) {
	add(&sh.icmp[family].outMsgs, 1)
	c.messages[family][outward][typ].Add(1)
}

// transmitted counts a frame to dst that the device has taken.
func (s *Stack) transmitted(r route, dst netip.Addr, f *link.Frame, o *outbox) {
	packets, octets := onWire(f.Len(), &f.Offload)
	sh := s.count.by(o)
	if r.via.local {
		sh = s.count.of(r.via, int(r.lane)) // where traffic does not look
	}
	add(&sh.device.OutFrames, 1)
	c := &sh.ip[familyIndex(dst)]
	add(&c.OutTransmits, packets)
	add(&c.OutOctets, octets)
	switch {
	case dst.IsMulticast():
		add(&c.OutMcastPkts, packets)
		add(&c.OutMcastOctets, octets)
	case s.addrs.isBroadcast(dst):
		add(&sh.ipExt.OutBcastPkts, packets)
		add(&sh.ipExt.OutBcastOctets, octets)
	}
}

// refused counts a frame to dst that the device has not taken.
func (s *Stack) refused(dst netip.Addr, f *link.Frame, o *outbox) {
	packets, _ := onWire(f.Len(), &f.Offload)
	sh := s.count.by(o)
	sh.drop(dropTransmit, packets)
	add(&sh.ip[familyIndex(dst)].OutDiscards, packets)
}

// unrouted counts an answer that nobody can be reached with.
func (s *Stack) unrouted(dst netip.Addr, o *outbox) {
	sh := s.count.by(o)
	sh.drop(dropNoRoute, 1)
	add(&sh.ip[familyIndex(dst)].OutNoRoutes, 1)
}

// source is addrs.source for what an application wants to send.
func (s *Stack) source(dst netip.Addr) (netip.Addr, error) {
	src, err := s.addrs.source(dst)
	if err != nil {
		add(&s.count.rare().ip[familyIndex(dst)].OutNoRoutes, 1)
	}
	return src, err
}
