package tcp

// Spurious retransmissions and their undoing: F-RTO (RFC 5682), the Eifel detection by
// timestamps (RFC 3522) and D-SACK (RFC 2883, 3708), with the response of RFC 4015: the
// congestion window and ssthresh are given back.

// frto is the step of F-RTO that comes next (RFC 5682, section 3.1).
type frto uint8

const (
	frtoOff    frto = iota
	frtoFirst       // the first acknowledgment after the timeout (step 2)
	frtoProbe       // send new data instead of retransmissions (step 2b)
	frtoSecond      // the acknowledgment of that decides (step 3)
)

// undoState says whether the last reduction of the window can be undone.
type undoState struct {
	marker  Seq   // undo_marker: SND.UNA when the window was reduced
	resent  int32 // bytes sent again since, less what was reported to be duplicate
	firstAt Time  // when the first of them was sent
	armed   bool
	any     bool // something has been sent again
}

// undoMark notes that the window is about to be reduced.
func (t *TCB) undoMark() {
	t.mending().undo = undoState{armed: true, marker: t.snd.una}
}

// undoForget gives up to undo: what an earlier loss turns out to be no longer matters.
func (t *TCB) undoForget() {
	if t.mend != nil {
		t.mend.undo = undoState{}
	}
}

// undoSent counts n bytes that are sent again.
func (t *TCB) undoSent(now Time, n int) {
	if t.mend == nil || !t.mend.undo.armed {
		return
	}
	u := &t.mend.undo
	if !u.any {
		u.any, u.firstAt = true, now
	}
	u.resent += int32(n)
}

// undone looks at an acknowledgment for proof that what was retransmitted had arrived
// all along, and undoes the reduction if there is. It reports whether it did.
func (t *TCB) undone(news *ackNews) bool {
	if t.mend == nil || !t.mend.undo.armed || !t.mend.undo.any {
		return false
	}
	u := &t.mend.undo
	if news.hasDSACK && news.dsack.Start.AtOrAfter(u.marker) {
		u.resent -= int32(news.dsack.End.Sub(news.dsack.Start))
	}
	var why Why
	switch {
	case u.resent <= 0:
		why = WhySpuriousDSACK // every retransmission has been reported as a duplicate
	case news.acked > 0 && news.resent != 0 && news.echoedBefore(u.firstAt):
		why = WhySpuriousEcho // the original was acknowledged, after we sent it again
	case news.original && t.recovery.frto == frtoSecond:
		why = WhySpuriousFRTO // what we did not send again arrives
	default:
		return false
	}
	t.undoReduction(news, why)
	return true
}

// undoReduction is the response (RFC 4015, section 3.2).
func (t *TCB) undoReduction(news *ackNews, why Why) {
	now := news.now
	t.undoForget()
	t.trouble().undos++
	t.tallyUndo(why)
	t.scoreboard.unlose()
	r := &t.recovery
	if r.mode == recoveryFast || why == WhySpuriousDSACK {
		t.rack.reordering = true // what RACK or duplicate ACKs took for lost was late
	}
	r.limited = t.snd.una // what the smaller window held back is no evidence for the larger
	r.mode, r.dupAcks, r.dupBytes, r.force, r.frto = recoveryNone, 0, 0, false, frtoOff
	t.retransmits = 0 // the back-off stays until there is a measurement
	// What was taken for the arrival of a retransmission was that of the original.
	t.rack.valid = false
	t.rackUpdate(now, news)
	t.cc.Undo(now)
	t.observeCwnd(now, why)
}

// tallyUndo counts what is about to be undone, and by whose word.
func (t *TCB) tallyUndo(why Why) {
	r := &t.recovery
	switch {
	case why == WhySpuriousDSACK:
		t.tally(CountDSACKUndo)
	case r.mode == recoveryLoss:
		t.tally(CountLossUndo)
	case t.snd.una.AtOrAfter(r.point):
		t.tally(CountFullUndo)
	default:
		t.tally(CountPartialUndo)
	}
	if why == WhySpuriousFRTO {
		t.tally(CountSpuriousRTOs)
	}
}

// frtoAcked moves F-RTO on by an acknowledgment during the repair after a timeout.
func (t *TCB) frtoAcked(news *ackNews, dup bool) {
	r := &t.recovery
	switch r.frto {
	case frtoFirst:
		if news.acked == 0 {
			if dup || news.sacked > 0 {
				r.frto = frtoOff // step 2a: a loss
			}
			return
		}
		// Step 2b: two segments of new data, if there are any and the window has room.
		r.frto = frtoOff
		if t.unsent() > 0 && t.windowEnd().Sub(t.snd.nxt) >= min(t.unsent(), t.sendMSS()) {
			r.frto, r.frtoRoom = frtoProbe, int32(2*t.sendMSS())
		}
	case frtoProbe, frtoSecond:
		// Step 3a: conventional recovery, of which one segment may go at once (the RFC
		// sets the window to three); 3b is undone's.
		r.frto, r.force = frtoOff, true
	}
}
