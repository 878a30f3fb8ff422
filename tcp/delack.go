package tcp

import "time"

// When an ACK waits for company, and how long (RFC 9293, 3.8.6.3; RFC 5681, section 4.2),
// as Linux decides it. At first, and after an idle time, the peer is in slow start, whose
// clock the ACKs are: they leave at once, quick ACK mode. Once data goes both ways,
// pingpong mode, an ACK rides on the answer. What an ACK waits for follows the time
// between the peer's segments.

// delayedAck is the state of that decision.
type delayedAck struct {
	heard Time  // when data last arrived
	ato   int32 // how long an ACK may wait, in microseconds; 0 before the first data
	quick uint8 // ACKs that are still to leave at once
	// part and parts count the small segments of the peer's turn, since we last sent
	// data, and of the turn before: what came in two is a request that the peer's own
	// Nagle holds back until the first of it is acknowledged.
	part, parts uint8
	pingpong    bool // we have answered within ato
	small       bool // a small segment waits for its ACK
}

const (
	// maxQuickAcks is how many ACKs leave at once (TCP_MAX_QUICKACKS of Linux).
	maxQuickAcks = 16
	// maxDelayedAck is the longest that an ACK waits, as on Linux; MUST-40 allows 0.5 s.
	maxDelayedAck = 200 * time.Millisecond
)

func (d *delayedAck) wait() time.Duration     { return time.Duration(d.ato) * time.Microsecond }
func (d *delayedAck) setWait(w time.Duration) { d.ato = int32(w / time.Microsecond) }

// dataHeard follows the arrival of n bytes of data.
func (t *TCB) dataHeard(now Time, n int) {
	d, least := &t.delack, t.params.DelayedAck
	gap := now.Sub(d.heard)
	switch {
	case d.ato == 0:
		t.quickAcks()
		d.setWait(least)
	case gap <= least/2:
		d.setWait(d.wait()/2 + least/2)
	case gap < d.wait():
		d.setWait(min(d.wait()/2+gap, t.rto()))
	case gap > t.rto():
		t.quickAcks() // the peer starts slowly again
	}
	d.heard = now
	if n < int(t.rcv.mss) {
		d.small = true
		d.part = min(d.part, 254) + 1
	}
}

// quickAcks makes ACKs leave at once, as many as half of the window's segments.
func (t *TCB) quickAcks() {
	n := max(t.rcvWnd()/(2*max(int(t.rcv.mss), 1)), 2)
	t.delack.quick = max(t.delack.quick, uint8(min(n, maxQuickAcks)))
}

// ackAtOnce reports whether an ACK for what has arrived in order must not wait.
func (t *TCB) ackAtOnce() bool {
	d := &t.delack
	if d.pingpong {
		return d.part > 0 && d.part < d.parts
	}
	return d.quick > 0
}

// ackLater lets the ACK wait for company.
func (t *TCB) ackLater(now Time) {
	least := t.params.DelayedAck
	wait := t.delack.wait()
	if wait > least {
		wait = min(wait, max(t.rtt.srtt, least))
	}
	wait = min(max(wait, least), max(maxDelayedAck, least))
	if t.timers.armed(timerDelayedAck) {
		if t.timers.at(timerDelayedAck) <= now.Add(wait/4) {
			t.set(ackNow) // it would leave soon anyway
		}
		return
	}
	t.set(ackSoon)
	t.timers.arm(timerDelayedAck, now.Add(wait))
}

// delayedAckTimeout sends the ACK that nothing came to ride on. Who answers slowly is
// waited for longer; who does not answer, not at all.
func (t *TCB) delayedAckTimeout() {
	if !t.is(ackSoon) {
		return
	}
	t.tally(CountDelayedACKs)
	d := &t.delack
	if d.pingpong {
		d.pingpong = false
		d.setWait(t.params.DelayedAck)
	} else {
		d.setWait(min(2*d.wait(), t.rto()))
	}
	t.set(ackNow)
	t.clear(readerWaits) // it did not come
}

// ackRead is called when the reader has taken what there was: where data goes one way
// only, the ACK for a small segment has nothing to wait for.
func (t *TCB) ackRead() {
	if t.is(ackSoon) && !t.delack.pingpong && t.delack.small && t.recvBuf.Len() == 0 {
		t.set(ackNow)
	}
}

// dataSaid follows the sending of data: soon after the peer's, it is an answer.
func (t *TCB) dataSaid(now Time) {
	d := &t.delack
	if d.ato != 0 && now.Sub(d.heard) < d.wait() {
		d.pingpong = true
	}
	if d.part > 0 {
		d.parts, d.part = d.part, 0
	}
}

// quickAckSent counts an ACK that has left, by itself or with data.
func (t *TCB) quickAckSent() {
	d := &t.delack
	d.small = false
	if d.quick == 0 {
		return
	}
	if d.quick--; d.quick == 0 {
		d.setWait(t.params.DelayedAck)
	}
}

// SetQuickAck makes the next ACKs leave at once, the one that waits included, or lets them
// wait for data to ride on (TCP_QUICKACK of Linux). It is no lasting setting: what arrives
// and is sent decides anew.
func (t *TCB) SetQuickAck(_ Time, on bool) {
	if t.params == nil {
		return
	}
	t.delack.pingpong = !on
	if !on {
		t.delack.quick = 0
		return
	}
	t.quickAcks()
	if t.delack.ato == 0 {
		t.delack.setWait(t.params.DelayedAck)
	}
	if t.is(ackSoon) {
		t.set(ackNow)
	}
}
