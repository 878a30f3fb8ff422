package path

import (
	"math"
	"slices"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// unlimited is the rate of a link that sends everything at once.
const unlimited = -1

// link is the bottleneck: what it is sending, and how fast at what time.
type link struct {
	steps []step // by time, the first at 0
	at    int    // the step that free lies in
	// free is when the last bit of the last packet has left, and rest what the division
	// left over, in 1/rate nanoseconds: without it a rate would be missed by up to a
	// nanosecond a packet.
	free mono.Time
	rest uint64
}

// step is a rate in bits a second from a time on; 0 is a standstill.
type step struct {
	from mono.Time
	rate int64
}

// newLink merges the changes of the rate with the stalls.
func newLink(cfg Config) link {
	rateAt := func(t mono.Time) int64 {
		rate := cfg.Rate
		for _, c := range cfg.Rates {
			if c.At <= t {
				rate = c.Rate
			}
		}
		for _, w := range cfg.Stalls {
			if w.has(t) {
				return 0
			}
		}
		if rate == 0 {
			return unlimited
		}
		return rate
	}
	times := []mono.Time{0}
	for _, c := range cfg.Rates {
		times = append(times, c.At)
	}
	for _, w := range cfg.Stalls {
		times = append(times, w.From, w.To)
	}
	slices.Sort(times)
	var l link
	for _, t := range slices.Compact(times) {
		l.steps = append(l.steps, step{t, rateAt(t)})
	}
	return l
}

// rateAt is the rate at now.
func (l *link) rateAt(now mono.Time) int64 {
	rate := l.steps[0].rate
	for _, s := range l.steps[1:] {
		if s.from <= now {
			rate = s.rate
		}
	}
	return rate
}

// send puts a packet behind what the link is sending and returns when its first bit
// goes and its last has gone.
func (l *link) send(now mono.Time, size int) (start, end mono.Time) {
	if l.free < now {
		l.free, l.rest = now, 0
	}
	l.skip()
	start = l.free
	// No overflow: a packet is at most 64 KiB and some, and rest is below the largest
	// int64.
	work := uint64(size)*8*uint64(time.Second) + l.rest
	for {
		rate, until := l.steps[l.at].rate, l.until()
		if rate == unlimited {
			l.rest = 0
			return start, l.free
		}
		if rate > 0 {
			need := work / uint64(rate)
			if end := l.free.Add(time.Duration(min(need, math.MaxInt64))); end <= until {
				l.free, l.rest = end, work%uint64(rate)
				return start, end
			}
			work -= uint64(until-l.free) * uint64(rate)
		}
		l.free = until
		l.skip()
	}
}

// until is when the rate changes next.
func (l *link) until() mono.Time {
	if l.at+1 < len(l.steps) {
		return l.steps[l.at+1].from
	}
	return mono.Never
}

// skip moves to the step that free lies in, and free to the end of a standstill.
func (l *link) skip() {
	for l.at+1 < len(l.steps) && (l.steps[l.at+1].from <= l.free || l.steps[l.at].rate == 0) {
		l.at++
		l.free = max(l.free, l.steps[l.at].from)
	}
}

// policeFull is the credit of a policer that nobody has used.
func policeFull(cfg Config) uint64 {
	return uint64(cfg.PoliceBurst) * 8 * uint64(time.Second)
}

// police reports whether the policer lets a packet pass: a bucket of PoliceBurst bytes
// is filled at PoliceRate and pays for them.
func (d *Direction) police(now mono.Time, size int) bool {
	if d.cfg.PoliceRate == 0 {
		return true
	}
	full, rate := policeFull(d.cfg), uint64(d.cfg.PoliceRate)
	if gone := uint64(now - d.policed); gone > (full-d.credit)/rate {
		d.credit = full
	} else {
		d.credit += gone * rate
	}
	d.policed = now
	price := uint64(size) * 8 * uint64(time.Second)
	if price > d.credit {
		return false
	}
	d.credit -= price
	return true
}

// Capacity is how many bits the link could have sent from one time to another; 0 for one
// without a rate.
func (d *Direction) Capacity(from, to mono.Time) (bits float64) {
	for i, s := range d.link.steps {
		end := mono.Never
		if i+1 < len(d.link.steps) {
			end = d.link.steps[i+1].from
		}
		if s.rate == unlimited {
			return 0
		}
		if a, b := max(from, s.from), min(to, end); a < b {
			bits += float64(s.rate) * b.Sub(a).Seconds()
		}
	}
	return bits
}
