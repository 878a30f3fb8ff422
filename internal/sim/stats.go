package sim

import (
	"github.com/a644562b/portico/internal/sim/dist"
	"github.com/a644562b/portico/internal/sim/path"
)

// flowStats are the counts of one flow's sender, as the path sees them.
type flowStats struct {
	packets, bytes   uint64 // sent with data, all headers counted
	arrivals, landed uint64 // of them arrived, in packets and bytes
	lost             uint64 // packets
	marked           uint64 // by ECN
	needed, spurious repairs

	rtt     dist.Dist // of the path, in nanoseconds
	sampled dist.Dist // as TCP measured it
	delay   dist.Dist // one way, of data
}

// repairs are retransmissions of one kind.
type repairs struct{ segments, bytes uint64 }

func (s *flowStats) sent(p *packet, v path.Verdict, needed, spurious int64) {
	if p.n > 0 {
		s.packets++
		s.bytes += uint64(p.size)
	}
	if v.Fate != path.Arrives {
		s.lost++
	}
	if v.Marked {
		s.marked++
	}
	// The SYN and the FIN take a number each, and count as a byte here.
	s.needed.bytes += uint64(needed)
	s.spurious.bytes += uint64(spurious)
	switch {
	case needed > 0:
		s.needed.segments++
	case spurious > 0:
		s.spurious.segments++
	}
}

func (s *flowStats) arrived(p *packet) {
	s.arrivals++
	s.landed += uint64(p.size)
	s.delay.Add(int64(p.due.Sub(p.sent)), 1)
}
