package tcp

// Urgent data (RFC 9293, section 3.8.5; RFC 6093). It stays in line: nothing is taken
// out of the stream. The observer is told where it ends, by EventUrgent, and Info says
// how much of it is left to read. Nothing is sent as urgent: new applications should
// not (SHLD-13), and net.Conn has no call for it.

// urgentArrives is the sixth step of SEGMENT ARRIVES: RCV.UP follows the pointer up,
// and the application is told when there was none, or when it advances (MUST-32).
func (t *TCB) urgentArrives(now Time, up Seq) {
	switch t.state {
	case StateEstablished, StateFinWait1, StateFinWait2:
	default:
		return
	}
	if t.is(finKnown) {
		up = earlierSeq(up, t.rcv.fin)
	}
	if !up.After(t.consumed()) || t.is(urgent) && !up.After(t.rcv.up) {
		return
	}
	t.rcv.up = up
	t.set(urgent)
	if t.observer != nil {
		t.observer(&Event{Time: now, Kind: EventUrgent, From: t.state, Urgent: t.urgentLeft()})
	}
}

// consumed is the number of the next byte that the application will read.
func (t *TCB) consumed() Seq {
	next := t.rcv.nxt
	if t.is(finReceived) {
		next--
	}
	return next.Add(-t.recvBuf.Len())
}

// urgentLeft is how many bytes lie before the end of the urgent data, read or
// still to come (MUST-33).
func (t *TCB) urgentLeft() int {
	if !t.is(urgent) {
		return 0
	}
	return max(0, t.rcv.up.Sub(t.consumed()))
}

// urgentPassed ends the urgent mode once the application has read beyond RCV.UP, so that
// the number is not compared with others when it has become old.
func (t *TCB) urgentPassed() {
	if t.is(urgent) && t.urgentLeft() == 0 {
		t.clear(urgent)
	}
}
