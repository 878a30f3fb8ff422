// Package path is a model of one direction of a network path: a bottleneck of a certain
// rate with a queue of a certain length in front of it, then a wire with a delay that may
// lose packets, hold them back, or duplicate them. It holds no packets. It is asked about
// each when it is sent, and says at once whether and when it will arrive: the queue is
// first in, first out, so nothing that comes later can change that. Whoever asks
// therefore knows the fate of every copy of every byte from the moment of its sending.
//
// A packet meets, in this order: a drop by its number, a black hole, the policer, the queue (which drops it, or
// marks it by ECN), the bottleneck's rate, random loss and loss in bursts, delay and
// jitter, reordering, duplication.
//
// All chance comes from generators seeded by Config.Seed, one a kind, so that the n-th
// packet meets the same fate of a kind whatever the other settings are. The package reads
// no clock: times are arguments, and must not go back.
//
// It does not model a medium that two directions share, nor queues with flows kept apart.
package path

import (
	"math/rand/v2"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/internal/sim/dist"
)

// Packet is what the model needs to know of a packet.
type Packet struct {
	Size int  // in bytes, with its IP header
	Bare bool // it takes no sequence number: an acknowledgment, for one
	Data bool // it carries data
	ECT  bool // it may be marked by ECN (RFC 3168) instead of being dropped
}

// Fate is what becomes of a packet.
type Fate uint8

const (
	Arrives   Fate = iota
	QueueFull      // dropped: the queue was full
	Lost           // lost by chance, alone
	LostBurst      // lost by chance, in a burst
	BlackHole      // sent into a black hole
	Policed        // dropped by the policer
	Dropped        // one of Config.Drops
	numFates
)

var fateNames = [numFates]string{"arrives", "queue full", "lost at random", "lost in a burst", "black hole", "policed", "dropped by its number"}

func (f Fate) String() string {
	if f < numFates {
		return fateNames[f]
	}
	return "unknown fate"
}

// Verdict is the fate of one packet.
type Verdict struct {
	Fate Fate
	// At is when the last bit of the packet arrives; only with Arrives.
	At mono.Time
	// Wait is how long it stood in the queue before its first bit was sent.
	Wait time.Duration
	// Late: it was held back, so that those behind it overtake.
	Late bool
	// Marked: the queue set Congestion Experienced.
	Marked bool
	// Twice: a copy arrives right behind it.
	Twice bool
}

// Direction is one direction of a path at work.
type Direction struct {
	cfg  Config
	link link

	queue ring.Ring[leaving]
	bytes int // of the packets in queue
	seen  mono.Time
	depth dist.Dist // of the queue in bytes, weighted by nanoseconds

	credit  uint64 // of the policer, in bits times nanoseconds a second
	policed mono.Time

	data  int       // packets with data so far
	last  mono.Time // when the last packet that was not held back is due
	bad   bool      // the state of the bursts
	dice  [numDice]*rand.Rand
	stats Stats
}

// leaving is a packet in the queue, which its last bit leaves at a time.
type leaving struct {
	at   mono.Time
	size int
}

// The kinds of chance, each with a generator of its own.
const (
	dieLoss = iota
	dieBare
	dieBurst
	dieReorder
	dieDuplicate
	dieJitter
	numDice
)

// New returns a direction. stream tells directions that share a seed apart. cfg must be
// valid (Config.Validate).
func New(cfg Config, stream uint64) *Direction {
	cfg = cfg.withDefaults()
	d := &Direction{cfg: cfg, link: newLink(cfg), credit: policeFull(cfg)}
	for i := range d.dice {
		d.dice[i] = rand.New(rand.NewPCG(cfg.Seed, stream*numDice+uint64(i)))
	}
	return d
}

// Send says what becomes of a packet that is sent at now.
func (d *Direction) Send(now mono.Time, p Packet) Verdict {
	v := d.fate(now, p)
	d.stats.count(v, p.Size)
	return v
}

func (d *Direction) fate(now mono.Time, p Packet) Verdict {
	// Every packet rolls every die that is in use, whatever becomes of it.
	lost := d.chance(dieLoss, d.cfg.Loss)
	if p.Bare && d.chance(dieBare, d.cfg.BareLoss) {
		lost = true
	}
	burst := d.burst()
	v := Verdict{Late: d.chance(dieReorder, d.cfg.Reorder), Twice: d.chance(dieDuplicate, d.cfg.Duplicate)}
	jitter := d.jitter()
	if p.Data {
		d.data++
	}
	switch {
	case p.Data && d.cfg.drops(d.data):
		return Verdict{Fate: Dropped}
	case d.cfg.inBlackHole(now):
		return Verdict{Fate: BlackHole}
	case !d.police(now, p.Size):
		return Verdict{Fate: Policed}
	}
	d.advance(now)
	if d.full(p.Size) {
		return Verdict{Fate: QueueFull}
	}
	v.Marked = p.ECT && d.long()
	start, end := d.link.send(now, p.Size)
	d.queue.Push(leaving{at: end, size: p.Size})
	d.bytes += p.Size
	d.stats.MaxPackets = max(d.stats.MaxPackets, d.queue.Len())
	switch {
	case burst:
		return Verdict{Fate: LostBurst, Wait: start.Sub(now)}
	case lost:
		return Verdict{Fate: Lost, Wait: start.Sub(now)}
	}
	v.Wait = start.Sub(now)
	due := max(end.Add(d.cfg.delayAt(end)+jitter), d.last)
	if v.At = due; v.Late {
		v.At = due.Add(d.cfg.ReorderBy)
	} else {
		d.last = due
	}
	return v
}

// chance is true with probability p. A die that is not in use is not rolled.
func (d *Direction) chance(die int, p float64) bool {
	return p > 0 && d.dice[die].Float64() < p
}

// burst moves the model of Gilbert and Elliott on by one packet and reports whether it
// loses it.
func (d *Direction) burst() bool {
	b := d.cfg.Burst
	if b.Enter == 0 {
		return false
	}
	roll := d.dice[dieBurst].Float64()
	if d.bad {
		d.bad = roll >= b.Leave
	} else {
		d.bad = roll < b.Enter
	}
	lost := d.dice[dieBurst].Float64() < b.Loss
	return d.bad && lost
}

func (d *Direction) jitter() time.Duration {
	if d.cfg.Jitter == 0 {
		return 0
	}
	return time.Duration(d.dice[dieJitter].Float64() * float64(d.cfg.Jitter))
}

// advance lets pass the time to now: what has left the queue by then goes.
func (d *Direction) advance(now mono.Time) {
	for d.queue.Len() > 0 && d.queue.Front().at <= now {
		p := d.queue.Pop()
		d.observe(p.at)
		d.bytes -= p.size
	}
	d.observe(now)
}

// observe accounts for the queue as it was until now.
func (d *Direction) observe(now mono.Time) {
	d.depth.Add(int64(d.bytes), int64(now-d.seen))
	d.seen = max(d.seen, now)
}

// full reports whether the queue has no room for a packet of size bytes.
func (d *Direction) full(size int) bool {
	return d.cfg.QueuePackets > 0 && d.queue.Len() >= d.cfg.QueuePackets ||
		d.cfg.QueueBytes > 0 && d.bytes+size > d.cfg.QueueBytes
}

// long reports whether the queue is as long as it takes to mark packets.
func (d *Direction) long() bool {
	return d.cfg.MarkPackets > 0 && d.queue.Len() >= d.cfg.MarkPackets ||
		d.cfg.MarkBytes > 0 && d.bytes >= d.cfg.MarkBytes
}

// Backlog is how many packets and bytes are at the bottleneck at now, the one that it is
// sending included.
func (d *Direction) Backlog(now mono.Time) (packets, bytes int) {
	d.advance(now)
	return d.queue.Len(), d.bytes
}

// Drain is how long the bottleneck will take for what it has now.
func (d *Direction) Drain(now mono.Time) time.Duration {
	return max(0, d.link.free.Sub(now))
}

// Limit is the length of the queue in packets and bytes; 0 where there is none.
func (d *Direction) Limit() (packets, bytes int) { return d.cfg.QueuePackets, d.cfg.QueueBytes }

// Rate is the rate of the bottleneck at now in bits a second; 0 where there is none, or
// where it stands still.
func (d *Direction) Rate(now mono.Time) int64 { return max(0, d.link.rateAt(now)) }

// Stats are the counts so far, and the queue until now.
func (d *Direction) Stats(now mono.Time) Stats {
	d.advance(now)
	s := d.stats
	s.Depth = &d.depth
	return s
}

// Stats count the packets of a direction by what became of them.
type Stats struct {
	Packets, Bytes [numFates]uint64
	Late           uint64 // held back
	Duplicated     uint64
	Marked         uint64
	MaxPackets     int        // most packets that were in the queue
	Depth          *dist.Dist // of the queue in bytes, weighted by time
}

func (s *Stats) count(v Verdict, size int) {
	s.Packets[v.Fate]++
	s.Bytes[v.Fate] += uint64(size)
	if v.Fate != Arrives {
		return
	}
	if v.Late {
		s.Late++
	}
	if v.Twice {
		s.Duplicated++
	}
	if v.Marked {
		s.Marked++
	}
}

// Sent is how many packets were sent.
func (s *Stats) Sent() (n uint64) {
	for _, p := range s.Packets {
		n += p
	}
	return n
}

// Restart forgets what has been counted until now.
func (d *Direction) Restart(now mono.Time) {
	d.advance(now)
	d.stats = Stats{}
	d.depth = dist.Dist{}
}
