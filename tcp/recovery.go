package tcp

// Loss recovery: what an acknowledgment, or its absence, means, and the way in and out.
// rack.go finds losses by time (RFC 8985), this file by duplicate ACKs for a peer
// without SACK (RFC 5681, 6582) and by the retransmission timer (RFC 6298); prr.go sets
// the window meanwhile, undo.go takes back what was in vain.

// recoveryMode says which losses are being repaired.
type recoveryMode uint8

const (
	recoveryNone recoveryMode = iota
	recoveryFast              // found by RACK or duplicate ACKs
	recoveryLoss              // found by the retransmission timer
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
	// force lets one segment go whatever the congestion window says: a tail loss probe,
	// or the first retransmission after a timeout.
	force      bool
	wasLimited bool // the ACK in hand is such evidence
	rescued    bool // the rescue retransmission of this recovery is spent
	frto       frto
	frtoRoom   int32 // new data that F-RTO may still send, in bytes
}

// mend is what only a connection that has met a loss needs.
type mend struct {
	prr  prr
	undo undoState
}

// mending is t.mend, made if need be.
func (t *TCB) mending() *mend {
	if t.mend == nil {
		t.mend = new(mend)
	}
	return t.mend
}

// flight is how much of ours is in the network, by our best estimate (pipe in
// RFC 6675, FlightSize less what duplicate ACKs report without SACK).
func (t *TCB) flight() int {
	if t.scoreboard == nil {
		return 0 // CLOSED
	}
	return max(0, t.scoreboard.flightBytes-int(t.recovery.dupBytes))
}

// recoverOnAck is told of every acknowledgment that brought news, or, as a duplicate,
// says that something has left the network. before is what was in flight before it.
func (t *TCB) recoverOnAck(seg *Segment, news *ackNews, dup bool, before int, a Acked) {
	now := news.now
	if dup {
		t.trouble().dupAcks++
	}
	t.tlpAcked(now, seg, news, dup)
	if t.undone(news) {
		return
	}
	delivered := news.deliveredBytes
	if !t.is(sackOK) {
		delivered = t.countDuplicate(news.acked, dup)
	}
	r := &t.recovery
	fast := r.mode == recoveryFast
	if t.extra != nil {
		t.mtuProbeArrived(now)
	}
	if r.mode != recoveryNone && t.snd.una.AtOrAfter(r.point) {
		t.leaveRecovery(now)
	}
	lossFound := t.lossFound(now, news, dup)
	switch r.mode {
	case recoveryNone:
		if lossFound && t.mtuProbeLost(now) {
			return
		}
		if lossFound {
			t.enterFastRecovery(now, before, news.acked)
			t.prrUpdate(delivered, false)
			return
		}
	case recoveryFast:
		t.prrUpdate(delivered, news.acked > 0 && !lossFound)
		return
	case recoveryLoss:
		t.frtoAcked(news, dup)
	}
	if news.acked > 0 && !fast { // the end of fast recovery sets the window to ssthresh
		t.grow(a)
	}
}

// grow lets the controller have an acknowledgment.
func (t *TCB) grow(a Acked) {
	before := t.cc.Window()
	a.Limited = t.recovery.wasLimited
	t.cc.Acked(a)
	if t.cc.Window() == before {
		return
	}
	why := WhyCongestionAvoidance
	if t.cc.Window() < t.cc.Ssthresh() {
		why = WhySlowStart
	}
	t.observeCwnd(a.Now, why)
}

// countDuplicate keeps, for a peer without SACK, the number of duplicate ACKs and what
// they say has left the network; before recovery each lets a segment go, limited
// transmit (RFC 3042). It returns how many bytes the acknowledgment delivered.
func (t *TCB) countDuplicate(acked int, dup bool) int {
	r, mss := &t.recovery, t.sendMSS()
	switch {
	case acked > 0:
		known := min(acked, int(r.dupBytes))
		r.dupAcks = 0
		if r.dupBytes -= int32(known); r.mode == recoveryNone {
			r.dupBytes = 0
		}
		return max(acked-known, min(acked, mss))
	case dup && r.mode != recoveryLoss && int(r.dupBytes)+mss <= t.scoreboard.flightBytes:
		r.dupAcks = min(r.dupAcks+1, 250)
		r.dupBytes += int32(mss)
		return mss
	}
	return 0
}

// lossFound marks what the acknowledgment shows to be lost, and reports whether that was
// anything.
func (t *TCB) lossFound(now Time, news *ackNews, dup bool) bool {
	r := &t.recovery
	if t.is(sackOK) {
		t.rackUpdate(now, news)
		found := t.rackDetect(now)
		if found {
			r.why = WhyRACK
		}
		return found
	}
	switch {
	case r.mode == recoveryFast && news.acked > 0:
		// A partial ACK: the segment after it is lost too (RFC 6582, 3.2, step 5).
		t.scoreboard.loseFirst(t.sendMSS())
		r.why = WhyPartialAck
		return true
	case r.mode == recoveryNone && dup && r.dupAcks == dupThresh && t.snd.una.After(r.point):
		// RFC 6582, 3.2: not twice for one window of data.
		t.scoreboard.loseFirst(t.sendMSS())
		r.why = WhyFastRetransmit
		return true
	}
	return false
}

// enterFastRecovery begins fast recovery. before is what was in flight before the
// acknowledgment that showed the loss, and acked what it acknowledged: that counts in
// FlightSize (RFC 5681, equation 4), which is the window that met the loss. A delayed
// acknowledgment that ends at the loss and reports what follows it would otherwise cost
// a small window one segment more.
func (t *TCB) enterFastRecovery(now Time, before, acked int) {
	r := &t.recovery
	r.mode, r.point, r.rescued = recoveryFast, t.snd.nxt, false
	t.trouble().fastRecoveries++
	if t.is(sackOK) {
		t.tally(CountSackRecovery)
	} else {
		t.tally(CountRenoRecovery)
	}
	t.undoMark()
	t.cc.Recovery(now, min(t.snd.nxt.Sub(t.snd.una)+acked, t.cc.Window()))
	t.prrBegin(before)
	t.prrForce()
	t.timers.stop(timerProbe)
	t.observeCwnd(now, WhyRecovery)
}

// leaveRecovery ends recovery: everything outstanding when it began is acknowledged.
func (t *TCB) leaveRecovery(now Time) {
	r := &t.recovery
	fast := r.mode == recoveryFast
	r.mode, r.dupAcks, r.dupBytes, r.force, r.frto = recoveryNone, 0, 0, false, frtoOff
	t.rackRecovered()
	if fast {
		t.cc.Recovered(now)
		t.observeCwnd(now, WhyRecoveryOver)
	}
}

// maxPacket is the most that any IP packet can carry, less a little. What is longer and was lost
// may have been dropped for its length, which is not seen on any wire: after a timeout the
// connection sends nothing longer.
const maxPacket = 65535 - 100

// retransmitTimeout is what the retransmission timer brings (RFC 6298, 5.4 to 5.6;
// RFC 9293, 3.8.3).
func (t *TCB) retransmitTimeout(now Time) {
	if !t.outstanding() {
		return
	}
	if t.givenUp(now) {
		t.giveUp(now)
		return
	}
	t.mtuProbeForget()
	t.maxGSO = min(t.maxGSO, maxPacket)
	if t.troubled() && t.cc != nil {
		t.blackHole(now)
	}
	t.countTimeout(now)
	t.retransmits = min(t.retransmits+1, 250)
	if t.state.Synchronized() && t.cc != nil {
		t.lossTimeout(now)
	} else {
		t.set(synRetransmitted)
		t.scoreboard.loseAll()
		t.recovery.why = WhyRTO
	}
	t.rtt.backOff()
	t.armRetransmit(now)
}

// lossTimeout reacts to a timeout of data.
func (t *TCB) lossTimeout(now Time) {
	if t.retransmits == 1 && t.recovery.mode != recoveryLoss {
		t.undoMark()
	}
	t.cc.Timeout(now, min(t.snd.nxt.Sub(t.snd.una), t.cc.Window()), t.retransmits > 1)
	t.observeCwnd(now, WhyRTO)
	if live := t.scoreboard.all(); len(live) > 0 && live[0].state == sacked {
		// Reported, yet not acknowledged: the receiver has reneged.
		t.tally(CountSACKReneging)
		t.scoreboard.unsack()
	}
	if t.is(sackOK) {
		t.rackTimeout(now)
	} else {
		t.scoreboard.loseAll()
	}
	r := &t.recovery
	again := r.mode == recoveryLoss
	*r = recovery{mode: recoveryLoss, point: t.snd.nxt, limited: r.limited, why: WhyRTO, force: true}
	if !again && t.retransmits == 1 {
		r.frto = frtoFirst
	}
	t.rack.tlpOut = false
	t.timers.stop(timerProbe)
	t.timers.stop(timerReorder)
}

// loseLast marks the last segment in flight as lost.
func (t *TCB) loseLast() bool {
	return t.scoreboard.loseLast(t.sendMSS(), t.snd.nxt-1, t.is(finSent))
}

// givenUp reports whether R2 has passed: a number of retransmissions, or, where the
// application has set one, the user timeout instead (RFC 9293, 3.8.3, MUST-21).
func (t *TCB) givenUp(now Time) bool {
	if d := t.settings().userTimeout; d > 0 {
		return now.Sub(t.progress) >= d
	}
	return int(t.retransmits) >= t.r2()
}

// giveUp ends the connection for want of an answer.
func (t *TCB) giveUp(now Time) {
	t.tally(CountAbortOnTimeout)
	t.end(now, t.timedOut(), WhyTimeout)
}

// r2 is the number of retransmissions after which the connection is given up.
func (t *TCB) r2() int {
	if n := t.settings().r2; n != 0 {
		return int(n)
	}
	switch t.state {
	case StateSynSent:
		return t.params.R2SYN
	case StateSynReceived:
		if t.is(passiveOpen) {
			return t.params.R2SYNACK
		}
		return t.params.R2SYN
	}
	if t.is(orphaned) {
		return t.params.R2Orphan
	}
	return t.params.R2
}

// r1 is the number of retransmissions after which the connection is troubled.
func (t *TCB) r1() int {
	if n := t.settings().r1; n != 0 {
		return int(n)
	}
	return t.params.R1
}
