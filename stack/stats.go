package stack

import (
	"sync/atomic"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/udp"
)

// drop is why the stack itself dropped a packet; ip.Drop and udp.Drop have the reasons of
// the formats.
type drop uint8

const (
	dropNotForUs    drop = iota // another host's address, or a multicast group
	dropOwnSource               // from the wire with one of our own addresses as its source
	dropTCPShort                // no TCP header (RFC 9293, section 3.1)
	dropTCPChecksum             // wrong TCP checksum (MUST-3)
	dropTCPPort                 // TCP port 0
	dropTCPClosed               // TCP to a port that nobody listens on
	dropTCPListen               // neither SYN nor ACK to a listener (RFC 9293, section 3.10.7.2)
	dropTCPBacklog              // SYN to a listener whose backlog is full
	dropUDPClosed               // UDP to a port that nobody listens on
	dropUDPQueue                // the socket's queue is full
	dropPingQueue               // likewise, of a ping socket
	dropProtocol                // a protocol that the house does not speak
	dropICMPIgnored             // ICMP that concerns nobody here
	dropICMPLimited             // an ICMP error that was not sent, for their rate is limited
	dropMembership              // IGMP or MLD that did not come from the link as it has to
	dropForwardFull             // for another host, and more requests or flows wait than may
	dropTransmit                // not taken by the device
	dropTransmitBig             // longer than the MTU
	dropNoRoute                 // an answer to an address that no route leads to

	numDrops = iota
)

var dropNames = [numDrops]string{
	dropNotForUs:    "not_for_us",
	dropOwnSource:   "own_source",
	dropTCPShort:    "tcp_header",
	dropTCPChecksum: "tcp_checksum",
	dropTCPPort:     "tcp_port_zero",
	dropTCPClosed:   "tcp_closed_port",
	dropTCPListen:   "tcp_not_for_listen",
	dropTCPBacklog:  "tcp_backlog_full",
	dropUDPClosed:   "udp_closed_port",
	dropUDPQueue:    "udp_queue_full",
	dropPingQueue:   "ping_queue_full",
	dropProtocol:    "protocol_unknown",
	dropICMPIgnored: "icmp_ignored",
	dropICMPLimited: "icmp_rate_limited",
	dropMembership:  "group_message",
	dropForwardFull: "forward_full",
	dropTransmit:    "transmit_refused",
	dropTransmitBig: "transmit_too_big",
	dropNoRoute:     "no_route",
}

// Stats are the counters of a stack since it was made. Packets to its own addresses
// count on both sides.
type Stats struct {
	FramesIn  uint64 `json:"frames_in"` // a super-segment counts as one
	FramesOut uint64 `json:"frames_out"`
	BytesIn   uint64 `json:"bytes_in"` // IP headers included
	BytesOut  uint64 `json:"bytes_out"`

	TCPSegmentsIn  uint64 `json:"tcp_segments_in"` // a super-segment counts as what it is cut into
	TCPSegmentsOut uint64 `json:"tcp_segments_out"`
	ResetsIn       uint64 `json:"tcp_resets_in"`
	ResetsOut      uint64 `json:"tcp_resets_out"`
	ActiveOpens    uint64 `json:"tcp_active_opens"`
	PassiveOpens   uint64 `json:"tcp_passive_opens"`
	// SYN cookies (RFC 4987): sent, brought back by an ACK, and ACKs that bring none back to a
	// listener which has sent some of late.
	SynCookiesSent     uint64 `json:"tcp_syncookies_sent"`
	SynCookiesReceived uint64 `json:"tcp_syncookies_received"`
	SynCookiesFailed   uint64 `json:"tcp_syncookies_failed"`

	Connections uint64 `json:"tcp_connections"` // now, in any state
	// TimeWaits are those in TIME-WAIT now, closed by their applications; TimeWaitOverflows
	// those that were CLOSED at once because there were Config.MaxTimeWait.
	TimeWaits         uint64 `json:"tcp_time_wait"`
	TimeWaitOverflows uint64 `json:"tcp_time_wait_overflows"`
	// Orphans are the connections now that their applications have closed and that are not in
	// TIME-WAIT; OrphanOverflows those that Close has reset because there were
	// Config.MaxOrphans.
	Orphans         uint64 `json:"tcp_orphans"`
	OrphanOverflows uint64 `json:"tcp_orphan_overflows"`

	UDPIn   uint64 `json:"udp_in"` // datagrams
	UDPOut  uint64 `json:"udp_out"`
	ICMPIn  uint64 `json:"icmp_in"` // messages
	ICMPOut uint64 `json:"icmp_out"`

	// ChecksumErrors are the drops for wrong checksums, of whatever protocol.
	ChecksumErrors uint64 `json:"checksum_errors"`
	// Drops are the packets dropped by reason; reasons that never occurred are
	// missing.
	Drops map[string]uint64 `json:"drops"`
}

// counters are what Stats is read from.
type counters struct {
	framesIn, framesOut, bytesIn, bytesOut                atomic.Uint64
	tcpIn, tcpOut, resetsIn, resetsOut, actives, passives atomic.Uint64
	orphanOverflows                                       atomic.Uint64
	cookiesSent, cookiesReceived, cookiesFailed           atomic.Uint64
	timeWaitOverflows                                     atomic.Uint64
	udpIn, udpOut, icmpIn, icmpOut                        atomic.Uint64
	drops                                                 [numDrops]atomic.Uint64
	ipDrops                                               [ip.NumDrops]atomic.Uint64
	udpDrops                                              [udp.NumDrops]atomic.Uint64
}

func (c *counters) drop(d drop)        { c.drops[d].Add(1) }
func (c *counters) dropIP(d ip.Drop)   { c.ipDrops[d].Add(1) }
func (c *counters) dropUDP(d udp.Drop) { c.udpDrops[d].Add(1) }

// Stats returns the counters. Each is exact; together they are not of one instant.
func (s *Stack) Stats() Stats {
	c := &s.count
	st := Stats{
		FramesIn: c.framesIn.Load(), FramesOut: c.framesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		TCPSegmentsIn: c.tcpIn.Load(), TCPSegmentsOut: c.tcpOut.Load(),
		ResetsIn: c.resetsIn.Load(), ResetsOut: c.resetsOut.Load(),
		ActiveOpens: c.actives.Load(), PassiveOpens: c.passives.Load(),
		SynCookiesSent: c.cookiesSent.Load(), SynCookiesReceived: c.cookiesReceived.Load(), SynCookiesFailed: c.cookiesFailed.Load(),
		Connections: uint64(s.conns.Len()),
		TimeWaits:   uint64(s.waits.len()), TimeWaitOverflows: c.timeWaitOverflows.Load(),
		Orphans: uint64(s.orphans.Load()), OrphanOverflows: c.orphanOverflows.Load(),
		UDPIn: c.udpIn.Load(), UDPOut: c.udpOut.Load(),
		ICMPIn: c.icmpIn.Load(), ICMPOut: c.icmpOut.Load(),
		Drops: make(map[string]uint64),
	}
	for i := range c.drops {
		st.add(dropNames[i], c.drops[i].Load())
	}
	for i := range c.ipDrops {
		st.add(ip.Drop(i).String(), c.ipDrops[i].Load())
	}
	for i := range c.udpDrops {
		st.add(udp.Drop(i).String(), c.udpDrops[i].Load())
	}
	st.ChecksumErrors = c.drops[dropTCPChecksum].Load() + c.ipDrops[ip.DropHeaderChecksum].Load() +
		c.ipDrops[ip.DropICMPChecksum].Load() + c.udpDrops[udp.DropChecksum].Load()
	return st
}

func (st *Stats) add(reason string, n uint64) {
	if n != 0 {
		st.Drops[reason] = n
	}
}
