package tcp

import "time"

// On a short path the rules of tuning.go feed on themselves: what they take for the round
// trip is the time that data waits in the very buffer that they size, so the buffer grows
// to its maximum and the data falls out of the processor's caches on its way through. (With
// buffers of 1 MiB instead of 16 one connection into a TUN was a third faster.) There a larger
// buffer is tried, and kept only where it moves more.

const (
	// shortRTT is the least round trip for which a buffer is sized by the path. At less,
	// the first size of 1 MiB carries 8 Gbit/s and more.
	shortRTT = time.Millisecond
	// trialTime is how long a rate is measured.
	trialTime = 50 * time.Millisecond
	// trialRest is how long a size that was found to be enough stays.
	trialRest = 10 * time.Second
)

// shortPath reports whether the peer is so near that buffers are sized by trial.
func (t *TCB) shortPath() bool {
	m := t.rtt.min.get()
	return m != 0 && m <= shortRTT
}

// bufferTrials are the trials of one connection; it has them once a buffer seems small.
type bufferTrials struct{ send, receive bufferTrial }

// trials returns those of the connection, made if need be.
func (t *TCB) trials() *bufferTrials {
	if t.tried == nil {
		t.tried = new(bufferTrials)
	}
	return t.tried
}

// bufferTrial finds the size of a buffer that a larger one does not improve on.
type bufferTrial struct {
	since  Time  // the measurement began then
	rest   Time  // no trial before then
	bytes  int64 // that went through the buffer since
	rate   int64 // bytes per second before the trial that is under way
	before int32 // the size before it; 0: none is under way
}

// moved is told of n bytes that went through the buffer of size bytes, and returns the size
// that it is to have, at most limit.
func (b *bufferTrial) moved(now Time, n, size, limit int) int {
	b.bytes += int64(n)
	took := now.Sub(b.since)
	if took < trialTime {
		return size
	}
	bytes := b.bytes
	b.bytes, b.since = 0, now
	if took > 2*trialTime {
		return size // it stood still in between: no rate to compare
	}
	rate := int64(float64(bytes) / took.Seconds())
	before := int(b.before)
	b.before = 0
	switch {
	case before != 0 && rate < b.rate+b.rate/4:
		b.rest = now.Add(trialRest)
		return before
	case now < b.rest || size >= limit || bytes < int64(trialTime/shortRTT)*int64(size)/2:
		return size // at a round trip of shortRTT the buffer was half empty
	}
	b.rate, b.before = rate, int32(size)
	return min(2*size, limit)
}
