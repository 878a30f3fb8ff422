package grid

import (
	"math"
	"math/rand/v2"
)

// reference is what theory expects of a cell with loss: a sender, a path and a receiver
// with nothing but the rules of the RFCs that decide about the rate, in whole segments
// and with losses by chance. It is the stochastic model of Padhye, Firoiu, Towsley and
// Kurose ("Modeling TCP Throughput", SIGCOMM 1998), played packet by packet instead of solved
// for its mean, as their formula leaves out what rules a window of a few segments: each
// loss on its own and not the rest of a round with it, SACK, a round trip in each repair
// without growth (RFC 5681, 3.2), windows that hold whole segments, a repair that is
// lost itself (RFC 8985), tails that are probed for, delayed acknowledgments.
//
// It shares no code with package tcp and knows what that has to find out: which copy
// arrived, and the round trip.
type reference struct {
	cubic          bool
	loss           float64
	rtt, tx        float64 // seconds; tx is the time of a packet on the bottleneck
	room           float64 // how long a packet may wait for it
	srtt           float64
	rng            *rand.Rand
	now            float64
	free           float64 // when the bottleneck is
	down, up       []copyOf
	una, nxt       int
	sent           map[int]*segmentState
	serial, newest int // of copies; the newest that has arrived
	pipe, reported int
	prr            struct{ delivered, out, start float64 } // RFC 9937, section 6

	window, ssthresh, acked float64
	recover                 int // the first number that was not sent when recovery began
	mode                    int
	growth                  cubicState

	rto, probe, reorder, ackTimer float64 // deadlines
	backoff                       float64
	probed                        bool

	rcvNxt, unacked int
	got             map[int]bool
	delivered       int // in order, since counting began
}

// copyOf is one copy of a segment, or the ACK that it caused.
type copyOf struct {
	at          float64
	seq, serial int
	cum         int // of an ACK: RCV.NXT
}

type segmentState struct {
	at     float64
	serial int
	is     int // inFlight, sacked, gone
	again  bool
}

const (
	inFlight = iota
	sacked
	gone
)

const (
	open = iota
	repairing
	afterTimeout
)

// The times of RFC 6298 and 9293 as this stack has them: the least variance term of the
// timeout, and the longest that an ACK is delayed.
const (
	leastVariance = 0.2
	delayedAck    = 0.04
)

func never() float64 { return math.Inf(1) }

// referenceRate plays a cell for so many packets and returns its rate in packets a second.
func referenceRate(c cell, packets int) float64 {
	r := &reference{
		cubic: c.cc == "cubic", loss: c.loss, rtt: c.rtt.Seconds(), tx: packet * 8 / c.rate,
		rng: rand.New(rand.NewPCG(7, 7)), sent: map[int]*segmentState{}, got: map[int]bool{},
		window: 10, ssthresh: math.Inf(1), backoff: 1,
		rto: never(), probe: never(), reorder: never(), ackTimer: never(),
	}
	r.room, r.srtt = max(r.rtt, 10*r.tx), r.rtt+r.tx
	r.send()
	var from float64
	for start := packets / 10; r.rcvNxt < packets; {
		r.step()
		if from == 0 && r.rcvNxt >= start {
			from, r.delivered = r.now, 0
		}
	}
	return float64(r.delivered) / (r.now - from)
}

// step lets the next thing happen.
func (r *reference) step() {
	data, ack := never(), never()
	if len(r.down) > 0 {
		data = r.down[0].at
	}
	if len(r.up) > 0 {
		ack = r.up[0].at
	}
	r.now = min(data, ack, r.rto, r.probe, r.reorder, r.ackTimer)
	switch r.now {
	case data:
		p := r.down[0]
		r.down = r.down[1:]
		r.receive(p)
	case ack:
		a := r.up[0]
		r.up = r.up[1:]
		r.ack(a)
	case r.ackTimer:
		r.reply(copyOf{seq: -1, serial: -1})
	case r.reorder:
		r.reorder = never()
		if r.detect(r.pipe) {
			r.window = max(r.window, float64(r.pipe)+1) // a loss found without an ACK
		}
	case r.probe:
		r.tailProbe()
	case r.rto:
		r.timeout()
	}
	r.send()
}

// receive is the receiver: every second segment is acknowledged, and at once what is out
// of order or fills a gap (RFC 5681, 4.2).
func (r *reference) receive(p copyOf) {
	gap := len(r.got) > 0
	if p.seq >= r.rcvNxt {
		r.got[p.seq] = true
	}
	before := r.rcvNxt
	for r.got[r.rcvNxt] {
		delete(r.got, r.rcvNxt)
		r.rcvNxt++
		r.delivered++
	}
	r.unacked += r.rcvNxt - before
	if gap || len(r.got) > 0 || r.unacked >= 2 {
		r.reply(p)
		return
	}
	r.ackTimer = r.now + delayedAck
}

func (r *reference) reply(p copyOf) {
	p.at, p.cum = r.now+r.rtt/2, r.rcvNxt
	r.up = append(r.up, p)
	r.unacked, r.ackTimer = 0, never()
}

// deliver marks a segment as arrived by its newest copy.
func (r *reference) deliver(seq int) {
	s := r.sent[seq]
	if s.is == inFlight {
		r.pipe--
	}
	r.newest = max(r.newest, s.serial)
}

// ack is the sender's side of an acknowledgment.
func (r *reference) ack(a copyOf) {
	newly, arrived, before := 0, 0, r.pipe
	first := a.cum > r.una
	for ; r.una < a.cum; r.una++ {
		s := r.sent[r.una]
		if s.is == sacked {
			r.reported--
		} else {
			r.deliver(r.una)
			arrived++
		}
		if !s.again {
			r.backoff = 1
			r.srtt += (r.now - s.at - r.srtt) / 8
		}
		delete(r.sent, r.una)
		newly++
	}
	if s := r.sent[a.seq]; s != nil && s.is != sacked && a.serial >= 0 {
		r.deliver(a.seq)
		s.is = sacked
		r.reported++
		arrived++
	}
	if first {
		r.probed = false
		r.arm()
	}
	grows := r.mode != repairing
	if r.mode != open && r.una >= r.recover {
		if r.mode == repairing {
			r.window, r.acked = r.ssthresh, 0
		}
		r.mode = open
	}
	found := r.detect(before)
	if r.mode == repairing {
		r.reduceInProportion(float64(arrived), first && !found)
		return
	}
	if grows && newly > 0 {
		r.grow(float64(newly))
	}
}

// reduceInProportion is RFC 9937: what may be sent for what has arrived.
func (r *reference) reduceInProportion(arrived float64, safe bool) {
	if arrived == 0 {
		return
	}
	p := &r.prr
	p.delivered += arrived
	var limit float64
	if pipe := float64(r.pipe); pipe > r.ssthresh {
		limit = math.Ceil(p.delivered*r.ssthresh/p.start) - p.out
	} else {
		limit = max(p.delivered-p.out, arrived)
		if safe {
			limit++
		}
		limit = min(r.ssthresh-pipe, limit)
	}
	if p.out == 0 {
		limit = max(limit, 1) // the fast retransmit
	}
	r.window = float64(r.pipe) + max(limit, 0)
}

// detect finds lost what was sent before something that has arrived, after a quarter of a
// round trip for reordering until three are reported (RFC 8985, 6.2), and begins recovery.
func (r *reference) detect(before int) (found bool) {
	wait := r.rtt / 4
	if r.mode != open || r.reported >= 3 {
		wait = 0
	}
	r.reorder = never()
	for seq := r.una; seq < r.nxt; seq++ {
		s := r.sent[seq]
		if s.is != inFlight || s.serial >= r.newest {
			continue
		}
		if due := s.at + r.srtt + wait; wait > 0 && due > r.now {
			r.reorder = min(r.reorder, due)
			continue
		}
		s.is = gone
		r.pipe--
		found = true
	}
	if found && r.mode == open {
		r.reduce()
		r.mode, r.recover, r.probe = repairing, r.nxt, never()
		r.prr.delivered, r.prr.out, r.prr.start = 0, 0, float64(before)
		r.window = float64(r.pipe) + 1 // the fast retransmit
	}
	return found
}

// reduce is the reduction of RFC 5681, equation 4, or RFC 9438, section 4.6.
func (r *reference) reduce() {
	if r.cubic {
		r.growth.reduce(r.window)
		r.ssthresh = max(2, r.window*0.7)
		return
	}
	r.ssthresh = max(2, min(float64(r.nxt-r.una), r.window)/2)
}

// grow is the growth for n acknowledged segments (RFC 5681, 3.1; RFC 9438, 4.2 to 4.5).
func (r *reference) grow(n float64) {
	switch {
	case r.window < r.ssthresh:
		r.window = min(r.window+n, max(r.ssthresh, r.window))
	case r.cubic:
		r.window = r.growth.grow(r.window, n, r.now, r.rtt)
	default:
		if r.acked += n; r.acked >= r.window {
			r.acked -= r.window
			r.window++
		}
	}
}

// send sends what the window has room for, losses first.
func (r *reference) send() {
	for float64(r.pipe+1) <= r.window {
		if !r.retransmit() {
			r.transmit(r.nxt)
		}
	}
}

// retransmit sends the first segment that is lost again.
func (r *reference) retransmit() bool {
	for seq := r.una; seq < r.nxt; seq++ {
		if r.sent[seq].is == gone {
			r.transmit(seq)
			return true
		}
	}
	return false
}

// transmit puts a copy on the path.
func (r *reference) transmit(seq int) {
	s := r.sent[seq]
	if s == nil {
		s = &segmentState{}
		r.sent[seq] = s
		r.nxt = seq + 1
	} else {
		s.again = true
	}
	r.serial++
	s.at, s.serial, s.is = r.now, r.serial, inFlight
	r.pipe++
	r.prr.out++
	if seq == r.una || math.IsInf(r.rto, 1) {
		r.arm()
	} else {
		r.armProbe()
	}
	leaves := max(r.now, r.free)
	if leaves-r.now > r.room {
		return // the queue is full
	}
	r.free = leaves + r.tx
	if r.rng.Float64() >= r.loss {
		r.down = append(r.down, copyOf{at: r.free + r.rtt/2, seq: seq, serial: r.serial})
	}
}

// arm starts the timers (RFC 6298, section 5; RFC 8985, 7.2).
func (r *reference) arm() {
	r.rto = r.now + (r.srtt+leastVariance)*r.backoff
	r.armProbe()
}

func (r *reference) armProbe() {
	if r.mode != open || r.probed || r.reported > 0 {
		r.probe = never()
		return
	}
	r.probe = r.now + 2*r.srtt
	if r.pipe <= 1 {
		r.probe += leastVariance
	}
	r.probe = min(r.probe, r.rto)
}

func (r *reference) tailProbe() {
	r.probe, r.probed = never(), true
	r.transmit(r.nxt)
	r.rto = r.now + (r.srtt+leastVariance)*r.backoff
}

// timeout is that of RFC 6298: one segment, and slow start up to half (RFC 5681, 3.1).
func (r *reference) timeout() {
	if r.mode != afterTimeout {
		r.reduce()
	}
	r.growth.timeout()
	r.window, r.acked, r.mode, r.recover = 1, 0, afterTimeout, r.nxt
	r.backoff = min(2*r.backoff, 256)
	for seq := r.una; seq < r.nxt; seq++ {
		if s := r.sent[seq]; s.is == inFlight {
			s.is = gone
			r.pipe--
		}
	}
	r.reorder, r.probed = never(), false
	r.rto = r.now + (r.srtt+leastVariance)*r.backoff
}

// cubicState is RFC 9438, in its own words.
type cubicState struct{ wMax, k, wEst, prior, epoch float64 }

func (c *cubicState) reduce(window float64) {
	c.prior = window
	if window < c.wMax {
		c.wMax = window * 1.7 / 2 // fast convergence
	} else {
		c.wMax = window
	}
	c.epoch = 0
}

func (c *cubicState) timeout() { c.wMax, c.epoch = 0, 0 }

func (c *cubicState) grow(window, n, now, rtt float64) float64 {
	if c.epoch == 0 {
		c.epoch, c.wEst, c.k = now, window, 0
		if c.wMax > window {
			c.k = math.Cbrt((c.wMax - window) / 0.4)
		} else {
			c.wMax = window
		}
	}
	alpha := 3 * 0.3 / 1.7
	if c.wEst >= c.prior {
		alpha = 1
	}
	c.wEst += alpha * n / window
	at := func(t float64) float64 { return 0.4*math.Pow(t-c.k, 3) + c.wMax }
	t := now - c.epoch
	if at(t) < c.wEst {
		return max(window, c.wEst)
	}
	return window + (min(max(at(t+rtt), window), 1.5*window)-window)/window*n
}
