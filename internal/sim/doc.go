// Package sim is a simulator of hosts over a network path. The hosts are those of the
// house: each end of a flow is a tcp.TCB, driven as package stack drives it, in virtual
// time that jumps from event to event. The path between them is a model (package path),
// and all chance comes from a seed: the same scenario gives the same run, to the byte of
// its report.
//
// The simulator sees what neither host can: which copy of which byte arrived. It splits
// retransmissions into those that were needed, as no earlier copy of the bytes arrived or
// was going to, and spurious ones, and knows what round trip the packets really had.
//
// # Scenarios
//
// A scenario is a few lines of text that describe a path and what goes over it. What
// stands behind a # is a comment. Each line starts with a word:
//
//	rate 20mbit down, 5mbit up      the bottleneck, of each direction
//	rtt 40ms                        the empty path's round trip
//	queue 1bdp                      or 100pkt, 64KB, 20ms
//	loss 0.5% down                  at random, each packet on its own
//	loss-burst 0.5% of 8            in bursts of 8 packets on average
//	ack-loss 20%                    of packets without data, besides
//	drop 5 8..10 down               these packets with data, counted from 1
//	reorder 2% by 5ms               held back, so that others overtake
//	jitter 3ms
//	at 10s rate 5mbit down          a change
//	blackhole 5s..7s                what is sent in that time is lost
//	stall 12s..12.3s                what is sent in that time waits
//	flow 2x cubic 10MB at 0s        two transfers of 10 MB each
//	flow newreno at 5s up           one in the other direction, to the end
//	cross 5mbit on 1s off 1s        traffic that does not react
//	web 5/s 50KB                    short flows
//	time 30s
//
// What does not name a direction applies to both. Usage has the complete list, and
// Names the scenarios that come with the package.
//
// # How a packet goes
//
// A sender hands over segments or super-segments (GSO). A super-segment is cut into
// packets in front of the path, and each packet meets its own fate. A packet first
// waits for the bottleneck, then meets loss, delay and reordering; package path has the
// order. The receiver's device hands over each packet as it arrives, or collects them
// for a while and merges contiguous ones (GRO). After each batch the hosts touched are
// asked for what they want to send until there is no more, their applications read and
// write, and they are asked again.
//
// The bytes of a flow are a fixed pattern. A sender's segments are compared with it when
// they are sent, and the reader's bytes when they are read; in between a packet is only
// its header and the place of its data in the flow.
//
// The package does not model what lies between host and path (no queue in the sender's
// device), and neither hosts that need time to compute.
package sim
