package tcp

import "time"

// rttEstimator computes the retransmission timeout by RFC 6298, section 2, with the
// correction of RFC 7323, appendix G, for more than one sample a round trip.
type rttEstimator struct {
	srtt, rttvar time.Duration // srtt is 0 before the first sample
	min          minFilter     // the least sample of late
	base         time.Duration // the timeout without back-off
	backoff      uint8         // doublings (RFC 6298, 5.5)
}

// minFilter is the least of the values of the last one to two periods.
type minFilter struct {
	now, before time.Duration // least of this period and of the one before; 0: none
	since       Time
}

// minPeriod is its period: half of the five minutes over which Linux looks back, so that
// a path which has become longer is believed in the end.
const minPeriod = 150 * time.Second

func (f *minFilter) add(now Time, v time.Duration) {
	if now.Sub(f.since) >= minPeriod {
		f.now, f.before, f.since = 0, f.now, now
	}
	if f.now == 0 || v < f.now {
		f.now = v
	}
}

// get is the least value, 0 when there was none.
func (f *minFilter) get() time.Duration {
	if f.before != 0 && (f.now == 0 || f.before < f.now) {
		return f.before
	}
	return f.now
}

func (r *rttEstimator) init(p *Params) {
	r.base = p.InitialRTO
}

// sample takes a measured round trip (RFC 6298, 2.2 and 2.3). perRTT is how many
// samples a round trip is expected to give.
func (r *rttEstimator) sample(p *Params, rtt time.Duration, perRTT int) {
	r.backoff = 0
	if r.srtt == 0 {
		r.srtt, r.rttvar = rtt, rtt/2
	} else {
		// alpha = 1/8, beta = 1/4, each shared by the samples of a round trip.
		n := time.Duration(max(perRTT, 1))
		r.rttvar += ((r.srtt - rtt).Abs() - r.rttvar) / (4 * n)
		r.srtt += (rtt - r.srtt) / (8 * n)
	}
	// RFC 6298, 2.4 puts a floor under the whole timeout. Linux puts it under the
	// second term: a peer that delays its ACK by 40 ms does not make us time out.
	r.base = min(r.srtt+max(4*r.rttvar, p.MinRTO), p.MaxRTO)
}

// rto is the timeout now, back-off included.
func (t *TCB) rto() time.Duration {
	if t.params == nil {
		return 0 // CLOSED
	}
	return backedOff(t.rtt.base, t.rtt.backoff, t.params.MaxRTO)
}

// backedOff is d doubled n times and at most limit.
func backedOff(d time.Duration, n uint8, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// backOff doubles the timeout (RFC 6298, 5.5).
func (r *rttEstimator) backOff() {
	if r.backoff < 32 {
		r.backoff++
	}
}
