package stack

import (
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
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

// The reasons for which a connection drops a segment.
const (
	firstTCPDrop = tcp.WhyOutOfWindow
	numTCPDrops  = tcp.WhyDataAfterClose - firstTCPDrop + 1
)

var tcpDropNames = [numTCPDrops]string{
	tcp.WhyOutOfWindow - firstTCPDrop:    "tcp_out_of_window",
	tcp.WhyPAWS - firstTCPDrop:           "tcp_old_timestamp",
	tcp.WhyBadAck - firstTCPDrop:         "tcp_bad_ack",
	tcp.WhyNoAck - firstTCPDrop:          "tcp_no_ack",
	tcp.WhyBadReset - firstTCPDrop:       "tcp_bad_reset",
	tcp.WhyUnexpectedSYN - firstTCPDrop:  "tcp_unexpected_syn",
	tcp.WhyNotForState - firstTCPDrop:    "tcp_not_for_state",
	tcp.WhyNoMemory - firstTCPDrop:       "tcp_out_of_order_full",
	tcp.WhyAcceptQueue - firstTCPDrop:    "tcp_accept_queue_full",
	tcp.WhyDataAfterClose - firstTCPDrop: "tcp_data_after_close",
}

// eachDrop calls f with every reason and the counter of it in sh.
func (sh *shard) eachDrop(f func(reason string, counter *uint64)) {
	for i := range sh.drops {
		f(dropNames[i], &sh.drops[i])
	}
	for i := range sh.ipDrops {
		if d := ip.Drop(i); d != ip.DropNone {
			f(d.String(), &sh.ipDrops[i])
		}
	}
	for i := range sh.udpDrops {
		if d := udp.Drop(i); d != udp.DropNone {
			f(d.String(), &sh.udpDrops[i])
		}
	}
	for i := range sh.tcpDrops {
		f(tcpDropNames[i], &sh.tcpDrops[i])
	}
}
