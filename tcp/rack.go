package tcp

import "time"

// RACK-TLP (RFC 8985): a segment is lost when one that was sent later has arrived and a
// time for reordering has passed, and a tail that nothing follows is probed for. It
// needs SACK; without, recovery.go counts duplicate ACKs.

// rackState is the state of RFC 8985, section 5.2 and 5.3.
type rackState struct {
	at   Time          // RACK.xmit_ts: when the newest delivered run was sent
	rtt  time.Duration // RACK.rtt
	end  Seq           // RACK.end_seq
	fack Seq           // RACK.fack: the highest number delivered

	dsackRound Seq // RACK.dsack_round, while inRound
	tlpEnd     Seq // TLP.end_seq, while tlpOut

	reordering bool  // RACK.reordering_seen
	valid      bool  // something has been delivered
	multiplier uint8 // RACK.reo_wnd_mult
	persist    uint8 // RACK.reo_wnd_persist
	inRound    bool

	tlpOut     bool // a probe is in flight
	tlpRetrans bool // TLP.is_retrans
}

// reoPersist is for how many recoveries a wider reordering window is kept
// (RFC 8985, section 6.2, step 4).
const reoPersist = 16

// rackUpdate is steps 2 and 3 of section 6.2, for all that news tells.
func (t *TCB) rackUpdate(now Time, news *ackNews) {
	r := &t.rack
	if news.rackValid {
		// Never nothing: over a path without any delay each ACK would find lost what was
		// sent in the same instant.
		r.rtt = max(now.Sub(news.rackAt), time.Microsecond)
		if !r.valid || r.at < news.rackAt || r.at == news.rackAt && r.end.Before(news.rackEnd) {
			r.at, r.end, r.valid = news.rackAt, news.rackEnd, true
		}
	}
	r.fack = news.fack
	if news.reordered {
		r.reordering = true
		t.trouble().reorders++
		t.tally(CountSACKReorder)
	}
	// Step 4: a duplicate report shows that the window was too narrow.
	if news.hasDSACK && (!r.inRound || t.snd.una.AtOrAfter(r.dsackRound)) {
		r.inRound, r.dsackRound = true, t.snd.nxt
		r.multiplier = min(r.multiplier+1, 100)
		r.persist = reoPersist
	}
	if r.inRound && t.snd.una.AtOrAfter(r.dsackRound) {
		r.inRound = false
	}
}

// reorderWindow is RACK_update_reo_wnd of step 4.
func (t *TCB) reorderWindow() time.Duration {
	r := &t.rack
	if !r.reordering {
		if t.recovery.mode != recoveryNone || t.scoreboard.sackedSegs >= dupThresh {
			return 0
		}
	}
	return min(time.Duration(max(r.multiplier, 1))*t.rtt.min.get()/4, t.rtt.srtt)
}

// rackRecovered narrows the reordering window again after a while (step 4).
func (t *TCB) rackRecovered() {
	r := &t.rack
	if r.persist > 0 {
		if r.persist--; r.persist == 0 {
			r.multiplier = 1
		}
	}
}

// rackDetect is step 5, RACK_detect_loss: it marks what is lost by now, arms the
// reordering timer for what may be soon, and returns whether anything was marked.
func (t *TCB) rackDetect(now Time) bool {
	r := &t.rack
	t.timers.stop(timerReorder)
	if !r.valid {
		return false
	}
	wait := r.rtt + t.reorderWindow()
	found, later := false, Never
	for i := range t.scoreboard.all() {
		run := &t.scoreboard.runs[t.scoreboard.head+i]
		if run.state == lost {
			continue
		}
		if !run.sentBefore(r.at, r.end) {
			if run.retx == 0 && run.state == inFlight {
				break // what follows was sent later still
			}
			continue
		}
		if run.state == sacked {
			continue
		}
		if due := run.at.Add(wait); due <= now {
			if run.retx > 0 {
				t.params.count(CountLostRetransmit, segments(run.len(), t.sendMSS()))
			}
			t.scoreboard.mark(run, lost)
			found = true
		} else {
			later = min(later, due)
		}
	}
	if later != Never {
		t.timers.arm(timerReorder, later)
	}
	return found
}

// reorderTimeout is the reordering timer (section 6.3).
func (t *TCB) reorderTimeout(now Time) {
	before := t.flight()
	if t.cc == nil || !t.outstanding() || !t.rackDetect(now) {
		return
	}
	t.recovery.why = WhyRACK
	if t.recovery.mode == recoveryNone {
		if t.mtuProbeLost(now) {
			return
		}
		t.enterFastRecovery(now, before, 0)
	}
	t.prrForce()
}

// rackTimeout marks what a retransmission timeout shows to be lost (section 6.3,
// RACK_mark_losses_on_RTO): the first segment, and all whose time has passed.
func (t *TCB) rackTimeout(now Time) {
	t.scoreboard.loseFirst(t.sendMSS())
	wait := t.rack.rtt + t.reorderWindow()
	for i := range t.scoreboard.all() {
		if run := &t.scoreboard.runs[t.scoreboard.head+i]; run.state == inFlight && run.at.Add(wait) <= now {
			t.scoreboard.mark(run, lost)
		}
	}
}

// armProbe schedules a tail loss probe (section 7.2) in place of a later retransmission
// timeout. It is called when new data has been sent or acknowledged.
func (t *TCB) armProbe(now Time) {
	if !t.is(sackOK) || t.cc == nil || !t.state.Synchronized() || t.rack.tlpOut || t.recovery.mode != recoveryNone ||
		t.scoreboard.sackedBytes > 0 || t.scoreboard.lostBytes > 0 || !t.outstanding() || t.snd.wnd == 0 {
		t.timers.stop(timerProbe)
		return
	}
	pto := t.params.InitialRTO
	if t.rtt.srtt > 0 {
		pto = max(2*t.rtt.srtt, tlpLeast)
		if t.flight() <= t.sendMSS() {
			pto += tlpMaxAckDelay // the peer may wait for a second segment
		}
	}
	t.timers.arm(timerProbe, min(now.Add(pto), t.timers.at(timerRetransmit)))
}

// tlpLeast is the least that a probe waits. Where the network has no delay, two round trips
// are less than a receiver's application may wait for a core, and the probe is in vain: the
// ACK comes when it reads. Linux adds two jiffies instead, 2 to 20 ms. (Eight connections
// over a TUN sent 300 segments again in two seconds, and send none so.)
const tlpLeast = 10 * time.Millisecond

// tlpMaxAckDelay is what a peer's delayed ACK may take (TLP.max_ack_delay), as on Linux.
const tlpMaxAckDelay = 200 * time.Millisecond

// probeTimeout is TLP_send_probe (section 7.3): new data if there is any, else the last
// segment again. What is to be sent is marked here, and leaves by Next.
func (t *TCB) probeTimeout(now Time) {
	if t.cc == nil || !t.outstanding() || t.recovery.mode != recoveryNone || t.scoreboard.lostBytes > 0 {
		return
	}
	if t.unsent() > 0 && t.windowEnd().After(t.snd.nxt) {
		t.set(tlpDue)
		t.rack.tlpRetrans = false
	} else if t.loseLast() {
		t.recovery.why, t.recovery.force = WhyTLP, true
		t.rack.tlpRetrans = true
	}
	t.rack.tlpOut = true
	t.rack.tlpEnd = t.snd.nxt // moved by sendNew if the probe is new data
	t.trouble().tlps++
	t.tally(CountLossProbes)
	t.armRetransmit(now)
}

// tlpAcked is TLP_process_ack (section 7.4): whether the probe repaired a loss, which
// then counts as one.
func (t *TCB) tlpAcked(now Time, seg *Segment, news *ackNews, dup bool) {
	r := &t.rack
	if !r.tlpOut || seg.Ack.Before(r.tlpEnd) {
		return
	}
	switch {
	case news.hasDSACK && news.dsack.End == r.tlpEnd: // both copies have arrived
		r.tlpOut, news.hasDSACK = false, false
	case !r.tlpRetrans, // new data, and it has arrived
		dup && seg.Options.SACKBlocks == 0: // both copies, of a peer without D-SACK
		r.tlpOut = false
	case seg.Ack.After(r.tlpEnd):
		r.tlpOut = false // the probe filled a hole
		t.tally(CountLossProbeRecovery)
		t.undoForget()
		t.cc.Recovery(now, min(t.snd.nxt.Sub(t.snd.una)+news.acked, t.cc.Window()))
		t.observeCwnd(now, WhyTLP)
	}
}

// echoesOriginal reports whether the acknowledgment answers what was sent before the last
// retransmission that it covers.
func (t *TCB) echoesOriginal(news *ackNews) bool {
	return news.resent != 0 && news.echoedBefore(news.resent)
}
