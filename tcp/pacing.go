package tcp

import "time"

// Pacing: data leaves at a rate instead of in bursts. It is on when the controller names
// a rate, or when the stack asks for it.

// The rate, where the controller has no wish, is a window a round trip and some more, so
// that the window stays what limits: as on Linux, twice in slow start, 1.2 times after.
const (
	paceSlowStart = 2.0
	paceAvoidance = 1.2
)

// paceSlack is how late a driver's timer may be without the rate suffering: what follows
// goes by the time that was meant.
const paceSlack = time.Millisecond

// paceRate is the rate in bytes per second; 0: no pacing.
func (t *TCB) paceRate() float64 {
	if r := t.cc.PacingRate(); r > 0 {
		return r
	}
	if !t.params.Pacing || t.rtt.srtt == 0 {
		return 0
	}
	gain := paceAvoidance
	if t.cc.Window() < t.cc.Ssthresh()/2 {
		gain = paceSlowStart
	}
	return gain * float64(t.window()) / t.rtt.srtt.Seconds()
}

// paced reports whether the next segment has to wait; the timer will call for it.
func (t *TCB) paced(now Time) bool {
	if t.paceAt <= now {
		return false
	}
	t.timers.arm(timerPace, t.paceAt)
	return true
}

// paceBurst is the most data that may leave at once: about a millisecond's worth, and at
// least two segments.
func (t *TCB) paceBurst(mss int) int {
	rate := t.paceRate()
	if rate == 0 {
		return MaxWindow
	}
	return max(2*mss, int(min(rate/1000, MaxWindow)))
}

// pace puts off what follows n bytes.
func (t *TCB) pace(now Time, n int) {
	rate := t.paceRate()
	if rate == 0 {
		t.paceAt = 0
		return
	}
	gap := min(float64(n)/rate, 1) // seconds; a rate near nothing must not stop us
	if now.Sub(t.paceAt) > paceSlack {
		t.paceAt = now
	}
	t.paceAt += Time(gap * 1e9)
}
