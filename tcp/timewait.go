package tcp

import "time"

// pawsIdle is the age at which TS.Recent stops to count: half the time in which a
// millisecond clock of 32 bits wraps (RFC 7323, section 5.5).
const pawsIdle = 24 * 24 * time.Hour

// enterTimeWait starts TIME-WAIT: 2·MSL, in which the last ACK can be repeated and
// old segments die (RFC 9293, 3.6.1, MUST-13). Everything but the numbers is given
// back.
func (t *TCB) enterTimeWait(now Time) {
	t.releaseSend()
	t.releaseOutOfOrder()
	t.timers.stopAll()
	t.cc = nil
	t.move(now, StateTimeWait, WhyNone)
	t.timers.arm(timerLife, now.Add(2*t.params.MSL))
}

// timeWaitArrives handles what TIME-WAIT treats in its own way and reports whether seg
// has been dealt with.
func (t *TCB) timeWaitArrives(now Time, seg *Segment) bool {
	if seg.Flags.Has(RST) {
		// RFC 1337, fix 1. RFC 9293 would close; but the peer, CLOSED by now, answers
		// each of our answers to an old duplicate by a reset that fits, and the next
		// connection would meet the duplicates that TIME-WAIT is there to outlive.
		t.drop(now, WhyBadReset)
		return true
	}
	if seg.Flags&(SYN|RST|ACK) == SYN && t.reusable(seg) {
		// The connection goes; the driver finds it Done and takes the SYN to the
		// listener (MAY-2; RFC 6191).
		t.end(now, nil, WhyPeerReopens)
		return true
	}
	// The peer's FIN again: our last ACK got lost. Repeat it and wait anew. Its
	// number lies before the window, so that the steps would not see the FIN.
	if seg.Flags&(FIN|SYN|RST|ACK) == FIN|ACK && seg.Seq.Add(seg.Len()) == t.rcv.nxt {
		t.set(ackNow)
		t.timers.arm(timerLife, now.Add(2*t.params.MSL))
		return true
	}
	return false
}

// reusable reports whether a SYN cannot be of the old connection: its number is
// beyond the last one, or its timestamp is newer (RFC 6191, section 2).
func (t *TCB) reusable(seg *Segment) bool {
	if t.is(timestampsOK) && seg.Options.HasTimestamps {
		if d := int32(seg.Options.TSVal - t.tsRecent); d != 0 {
			return d > 0
		}
	}
	return seg.Seq.After(t.rcv.nxt)
}
