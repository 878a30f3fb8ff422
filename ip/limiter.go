package ip

import (
	"math"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// Limiter bounds the rate of ICMP errors (RFC 1812, section 4.3.2.8; RFC 4443, section
// 2.4 (f)) by a token bucket, and that of echo replies if one wants. The zero value
// allows nothing. It does not lock.
type Limiter struct {
	interval time.Duration // between tokens; 0: none ever
	credit   time.Duration // what a full bucket is worth, less one token
	// full is when the bucket would be full again but for one token. Kept instead of
	// a count of tokens so that nothing is lost to rounding between calls.
	full mono.Time
}

// NewLimiter returns a limiter that allows burst events at once, at least one, and in
// the long run perSecond events a second. With perSecond below 1 it allows nothing.
func NewLimiter(perSecond, burst int) Limiter {
	if perSecond < 1 {
		return Limiter{}
	}
	interval := max(time.Second/time.Duration(perSecond), 1)
	more := time.Duration(max(burst, 1) - 1)
	more = min(more, math.MaxInt64/2/interval)
	return Limiter{interval: interval, credit: more * interval}
}

// Allow reports whether one more event may happen now, and counts it if so. now does
// not go backwards.
func (l *Limiter) Allow(now mono.Time) bool {
	if l.interval == 0 {
		return false
	}
	full := max(l.full, now)
	if full.Sub(now) > l.credit {
		return false
	}
	l.full = full.Add(l.interval)
	return true
}
