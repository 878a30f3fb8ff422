package tcp

import "time"

// recoveryMode says which losses are being repaired.
type recoveryMode uint8

const (
	recoveryNone recoveryMode = iota
	recoveryFast              // found by duplicate ACKs or SACK (RFC 5681, 6582, 6675)
	recoveryLoss              // found by the retransmission timer (RFC 6298)
)

// dupThresh is the number of duplicate ACKs that mean a loss (RFC 5681, 3.2).
const dupThresh = 3

// recovery is the state of loss recovery.
type recovery struct {
	point Seq // RecoveryPoint, recover: SND.NXT when the loss was found
	// limited is SND.NXT when the congestion window last held data back: ACKs up to
	// there are evidence that it may grow.
	limited Seq
	// dupBytes is, for a peer without SACK, how much the duplicate ACKs say has left
	// the network: a segment each.
	dupBytes int32
	dupAcks  uint8
	mode     recoveryMode
	why      Why // why the runs that are lost now were marked so
	// force lets one segment go whatever the congestion window says: the first
	// retransmission of a recovery (RFC 6675, section 5, 4.3).
	force      bool
	wasLimited bool // the ACK in hand is such evidence
}

// flight is how much of ours is in the network, by our best estimate (pipe in
// RFC 6675, FlightSize less what duplicate ACKs report without SACK).
func (t *TCB) flight() int {
	return max(0, t.scoreboard.flightBytes-int(t.recovery.dupBytes))
}

// recoverOnAck is told of every acknowledgment that brought news: acked bytes
// cumulatively, reports by SACK (already on the scoreboard), or, as a duplicate, that
// something has left the network.
func (t *TCB) recoverOnAck(now Time, acked int, dup bool, rtt time.Duration) {
	r := &t.recovery
	if dup {
		t.count.dupAcks++
	}
	if r.mode != recoveryNone && t.snd.una.AtOrAfter(r.point) {
		t.leaveRecovery(now)
	}
	switch r.mode {
	case recoveryNone:
		t.countDuplicate(acked, dup)
		if t.lossFound() {
			t.enterFastRecovery(now)
			return
		}
	case recoveryFast:
		t.moreLost(acked, dup)
		return
	case recoveryLoss:
		if t.is(sackOK) {
			t.scoreboard.loseBelowReports(t.sendMSS())
		}
	}
	if acked > 0 {
		before := t.cc.Window()
		t.cc.Acked(Acked{Now: now, Bytes: acked, RTT: rtt, Limited: r.wasLimited})
		if t.cc.Window() != before {
			t.observeCwnd(now, t.growth())
		}
	}
}

// growth names the phase that the congestion window grows in.
func (t *TCB) growth() Why {
	if t.cc.Window() < t.cc.Ssthresh() {
		return WhySlowStart
	}
	return WhyCongestionAvoidance
}

// countDuplicate counts duplicate ACKs where SACK does not say more. Each lets a
// segment go: limited transmit (RFC 3042).
func (t *TCB) countDuplicate(acked int, dup bool) {
	r := &t.recovery
	switch {
	case acked > 0:
		r.dupAcks, r.dupBytes = 0, 0
	case dup && !t.is(sackOK):
		r.dupAcks = min(r.dupAcks+1, 250)
		r.dupBytes += int32(t.sendMSS())
	}
}

// lossFound reports whether the acknowledgments so far mean a loss, and marks it.
func (t *TCB) lossFound() bool {
	if t.is(sackOK) {
		return t.scoreboard.loseBelowReports(t.sendMSS())
	}
	// RFC 6582, 3.2: not twice for one window of data.
	return t.recovery.dupAcks == dupThresh && t.snd.una.After(t.recovery.point)
}

func (t *TCB) enterFastRecovery(now Time) {
	r := &t.recovery
	if !t.is(sackOK) {
		t.scoreboard.loseFirst(t.sendMSS())
	}
	r.mode, r.point, r.why, r.force = recoveryFast, t.snd.nxt, WhyFastRetransmit, true
	t.count.fastRecoveries++
	t.cc.Recovery(now, t.snd.nxt.Sub(t.snd.una))
	t.observeCwnd(now, WhyRecovery)
}

// moreLost marks what an acknowledgment during fast recovery shows to be lost besides.
func (t *TCB) moreLost(acked int, dup bool) {
	r := &t.recovery
	switch {
	case t.is(sackOK):
		t.scoreboard.loseBelowReports(t.sendMSS())
	case acked > 0:
		// A partial ACK: the segment after it is lost too (RFC 6582, 3.2, step 5).
		t.scoreboard.loseFirst(t.sendMSS())
		r.dupBytes = max(0, r.dupBytes-int32(acked))
		r.why, r.force = WhyPartialAck, true
	case dup:
		r.dupBytes += int32(t.sendMSS())
	}
}

func (t *TCB) leaveRecovery(now Time) {
	r := &t.recovery
	fast := r.mode == recoveryFast
	r.mode, r.dupAcks, r.dupBytes, r.force = recoveryNone, 0, 0, false
	if fast {
		t.cc.Recovered(now)
		t.observeCwnd(now, WhyRecoveryOver)
	}
}

// retransmitTimeout is what the retransmission timer brings (RFC 6298, 5.4 to 5.6;
// RFC 9293, 3.8.3).
func (t *TCB) retransmitTimeout(now Time) {
	if !t.outstanding() {
		return
	}
	if t.givenUp(now) {
		t.end(now, ErrTimeout, WhyTimeout)
		return
	}
	t.retransmits = min(t.retransmits+1, 250)
	t.count.timeouts++
	t.rtt.backOff()
	if !t.state.Synchronized() {
		t.set(synRetransmitted)
	}
	if t.cc != nil {
		t.cc.Timeout(now, t.snd.nxt.Sub(t.snd.una), t.retransmits > 1)
		t.observeCwnd(now, WhyRTO)
	}
	if live := t.scoreboard.all(); len(live) > 0 && live[0].state == sacked {
		// Reported, yet not acknowledged: the receiver has reneged.
		t.scoreboard.unsack()
	}
	t.scoreboard.loseAll()
	r := &t.recovery
	*r = recovery{mode: recoveryLoss, point: t.snd.nxt, limited: r.limited, why: WhyRTO, force: true}
	t.armRetransmit(now)
}

// givenUp reports whether R2 has passed: a number of retransmissions, or, where the
// application has set one, the user timeout instead (RFC 9293, 3.8.3, MUST-21).
func (t *TCB) givenUp(now Time) bool {
	if t.userTimeout > 0 {
		return now.Sub(t.progress) >= t.userTimeout
	}
	return int(t.retransmits) >= t.r2()
}

// r2 is the number of retransmissions after which the connection is given up.
func (t *TCB) r2() int {
	switch t.state {
	case StateSynSent:
		return t.params.R2SYN
	case StateSynReceived:
		if t.is(passiveOpen) {
			return t.params.R2SYNACK
		}
		return t.params.R2SYN
	}
	return t.params.R2
}
