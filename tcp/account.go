package tcp

import "time"

// What a sender spends its time on, as Linux counts it (tcpi_busy_time and its kin; RFC
// 4898): on the network, on the peer's window, on a buffer that is too small for the path.

// stopwatch is a time in nanoseconds, added up over several stretches. While it runs it is
// short by the time at which it was started; its owner knows whether it does.
type stopwatch int64

func (w *stopwatch) start(now Time) { *w -= stopwatch(now) }
func (w *stopwatch) stop(now Time)  { *w += stopwatch(now) }

// watched is what a stopwatch shows that runs while c holds.
func (t *TCB) watched(w stopwatch, c condition, now Time) time.Duration {
	if t.is(c) {
		w.stop(now)
	}
	return time.Duration(w)
}

// stopwatches are the conditions under which those of account run.
const stopwatches = sendBusy | windowLimited | bufferLimited

// account is called when nothing more can be sent now: it lets the stopwatches run that
// the reason calls for, and stops the others.
func (t *TCB) account(now Time) {
	want := t.heldBackBy()
	changed := (t.flags ^ want) & stopwatches
	if changed == 0 {
		return
	}
	t.watch(&t.busy, now, changed&sendBusy)
	if changed &^= sendBusy; changed != 0 {
		w := t.trouble()
		t.watch(&w.windowLimited, now, changed&windowLimited)
		t.watch(&w.bufferLimited, now, changed&bufferLimited)
	}
}

// watch starts or stops a stopwatch that runs while c holds, where c has changed; none for
// where it has not.
func (t *TCB) watch(w *stopwatch, now Time, c condition) {
	switch {
	case c == 0:
		return
	case t.is(c):
		w.stop(now)
	default:
		w.start(now)
	}
	t.flags ^= c
}

// heldBackBy is why not everything that was written has been acknowledged.
func (t *TCB) heldBackBy() condition {
	if t.sendBuf.Len() == 0 || t.cc == nil {
		return 0
	}
	unsent := t.unsent()
	if unsent == 0 {
		if t.is(writerWaits) {
			return sendBusy | bufferLimited
		}
		return sendBusy
	}
	// As on Linux the peer's window counts only where the congestion window has room.
	if next := min(unsent, t.sendMSS()); t.windowEnd().Sub(t.snd.nxt) < next && t.window()-t.flight() >= next {
		return sendBusy | windowLimited
	}
	return sendBusy
}

// countTimeout counts an expiry of the retransmission timer.
func (t *TCB) countTimeout(now Time) {
	w := t.trouble()
	w.timeouts++
	t.tally(CountTimeouts)
	if !t.is(timingOut) {
		w.timeoutRuns++
		t.watch(&w.timedOut, now, timingOut)
	}
}

// timeoutOver is called when the peer acknowledges something after timeouts.
func (t *TCB) timeoutOver(now Time) {
	if t.is(timingOut) {
		t.watch(&t.trouble().timedOut, now, timingOut)
	}
}
