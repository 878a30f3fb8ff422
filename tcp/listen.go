package tcp

// The states before synchronization: CLOSED, LISTEN, SYN-SENT (RFC 9293, sections
// 3.10.7.1 to 3.10.7.3) and what is particular to SYN-RECEIVED.

// Refuse makes the reset by which CLOSED, the state of what does not exist, answers a
// segment (RFC 9293, section 3.10.7.1). It reports false where there is to be no answer:
// to a RST.
func Refuse(seg, reply *Segment) bool {
	if seg.Flags.Has(RST) {
		return false
	}
	*reply = Segment{SrcPort: seg.DstPort, DstPort: seg.SrcPort}
	if seg.Flags.Has(ACK) {
		reply.Seq, reply.Flags = seg.Ack, RST
	} else {
		reply.Ack, reply.Flags = seg.Seq.Add(seg.Len()), RST|ACK
	}
	return true
}

// maxReplies is how many resets and challenge ACKs may wait; more are dropped: the
// driver empties the list after every batch.
const maxReplies = 4

// replies are segments that wait to be sent besides what the connection itself sends.
type replies struct {
	list []Segment
	sent int // of the list
}

// reply lets a segment wait for Next.
func (t *TCB) reply(seg Segment) {
	if t.replies == nil {
		t.replies = new(replies)
	}
	if len(t.replies.list)-t.replies.sent < maxReplies {
		t.replies.list = append(t.replies.list, seg)
	}
}

// refuse answers seg by a reset.
func (t *TCB) refuse(now Time, seg *Segment) {
	var reply Segment
	if Refuse(seg, &reply) {
		t.reply(reply)
	}
	t.drop(now, WhyNotForState)
}

// listenArrives is 3.10.7.2.
func (t *TCB) listenArrives(now Time, seg *Segment) {
	switch {
	case seg.Flags.Has(RST): // first: ignored
		t.drop(now, WhyNotForState)
	case seg.Flags.Has(ACK): // second: a reset
		t.refuse(now, seg)
	case seg.Flags.Has(SYN): // third
		t.synReceived(now, seg)
	default: // fourth: nothing of the kind; dropped
		t.drop(now, WhyNotForState)
	}
}

// synReceived moves to SYN-RECEIVED by a SYN in LISTEN or, crossing ours, in
// SYN-SENT. Its data is not taken, unless it comes with a good cookie (see
// AcceptFastOpen): it is not acknowledged either and comes again.
func (t *TCB) synReceived(now Time, seg *Segment) {
	t.takeSYN(now, seg)
	// The SYN leaves (again) with an ACK.
	t.forgetSent()
	t.snd.nxt = t.snd.iss
	t.timers.stop(timerRetransmit)
	t.move(now, StateSynReceived, WhyNone)
	if t.FastOpened() {
		t.fastText(now, seg)
	}
}

// takeSYN takes the initial number, the window and the options of the peer's SYN.
func (t *TCB) takeSYN(now Time, seg *Segment) {
	offered := t.rcvWnd()
	t.rcv.irs = seg.Seq
	t.rcv.nxt = seg.Seq.Add(1)
	t.rcv.acked = t.rcv.nxt
	t.rcv.adv = t.rcv.nxt.Add(offered)

	o := &seg.Options
	if o.MSS != 0 {
		t.agreeMSS(max(min(o.MSS, t.mss), minMSS))
	} else {
		t.agreeMSS(t.defaultMSS())
	}
	t.setTo(sackOK, o.SACKPermitted && !t.params.NoSACK)
	t.setTo(timestampsOK, o.HasTimestamps && !t.params.NoTimestamps)
	t.setTo(wscaleOK, o.HasWScale && !t.params.NoWindowScale)
	if t.is(timestampsOK) {
		t.tsRecent, t.tsAt = o.TSVal, now
	}
	t.ecnHandshake(seg)
	if t.is(wscaleOK) {
		t.snd.shift = min(o.WScale, maxWScale)
		t.rcv.shift = t.params.windowShift()
	}
	t.updateSendWindow(seg) // never scaled in a SYN
}

// synSentArrives is 3.10.7.3.
func (t *TCB) synSentArrives(now Time, seg *Segment) {
	// First, check the ACK bit.
	acceptable := false
	if seg.Flags.Has(ACK) {
		if seg.Ack.AtOrBefore(t.snd.iss) || seg.Ack.After(t.snd.nxt) {
			t.refuse(now, seg)
			return
		}
		acceptable = true
	}
	// Second, check the RST bit. Without an acceptable ACK anybody could have sent it.
	if seg.Flags.Has(RST) {
		if acceptable {
			t.end(now, ErrRefused, WhyReset)
		} else {
			t.drop(now, WhyBadReset)
		}
		return
	}
	// Third, security. Fourth, check the SYN bit. Fifth, neither SYN nor RST: dropped.
	if !seg.Flags.Has(SYN) {
		t.drop(now, WhyNotForState)
		return
	}
	if !acceptable {
		t.synReceived(now, seg)
		return
	}
	t.takeSYN(now, seg)
	t.acknowledged(now, seg)
	t.set(ackNow)
	t.established(now)
	if t.fast != nil {
		t.fastAnswered(seg)
	}
	t.synText(now, seg)
}

// synText takes what a SYN,ACK carries besides: data and FIN stand after the SYN.
func (t *TCB) synText(now Time, seg *Segment) {
	up := seg.Seq.Add(int(seg.Urgent))
	seg.Seq = seg.Seq.Add(1)
	seg.Flags &^= SYN
	t.trim(seg)
	if seg.Flags.Has(URG) {
		t.urgentArrives(now, up)
	}
	t.textArrives(now, seg)
}

// established enters ESTABLISHED: both sides have agreed on everything, and the
// sender's side starts.
func (t *TCB) established(now Time) {
	if t.cc == nil || t.is(synRetransmitted) {
		t.startSender()
	}
	t.move(now, StateEstablished, WhyNone)
	t.observeCwnd(now, WhySlowStart)
	t.armKeepAlive(now)
	if t.is(finQueued) {
		t.move(now, StateFinWait1, WhyNone) // CLOSE was called before
	}
}

// startSender gives the sender its controller.
func (t *TCB) startSender() {
	if t.is(synRetransmitted) && t.rtt.srtt == 0 {
		t.rtt.base, t.rtt.backoff = min(rtoAfterSYNLoss, t.params.MaxRTO), 0 // RFC 6298, 5.7
	}
	control := t.settings().control
	if control == nil {
		control = t.params.Congestion
	}
	t.cc = control(t.congestionSetup())
}

// congestionSetup is what a controller starts with.
func (t *TCB) congestionSetup() CongestionSetup {
	mss := t.sendMSS()
	initial := t.params.InitialWindow * mss
	switch {
	case t.is(synRetransmitted):
		initial = mss // RFC 5681, 3.1
	case t.params.InitialWindow == defaultInitialWindow:
		initial = min(initial, max(2*mss, 14600)) // RFC 6928
	}
	return CongestionSetup{MSS: mss, Initial: initial}
}

// handshakeRepeated handles, in SYN-RECEIVED, the segments in front of RCV.NXT that
// belong to the handshake. It reports whether seg has been dealt with.
func (t *TCB) handshakeRepeated(now Time, seg *Segment) bool {
	if !seg.Flags.Has(SYN) || seg.Flags.Has(RST) || seg.Seq != t.rcv.irs {
		return false
	}
	if !seg.Flags.Has(ACK) {
		// The peer's SYN again: our SYN,ACK got lost. RFC 9293 would send an ACK, which
		// does not help in SYN-SENT; the SYN,ACK, as on Linux, does.
		if t.outstanding() {
			t.drop(now, WhyUnexpectedSYN)
			if t.mayChallenge(now) {
				t.scoreboard.loseAll()
				t.recovery.why = WhyPeerRepeats
			} else {
				t.tally(CountACKSkippedSynRecv)
			}
		}
		return true
	}
	// The SYN,ACK of a simultaneous open (figure 8, line 6): its SYN is known, its ACK
	// is what we wait for.
	if seg.Ack == t.snd.nxt && t.outstanding() {
		seg.Flags &^= SYN
		seg.Seq = seg.Seq.Add(1)
		seg.Window >>= t.snd.shift // it was not scaled, and is taken for one that is
	}
	return false
}

// backToListen undoes a passive open (RFC 9293, 3.10.7.4, second and fourth step).
func (t *TCB) backToListen(now Time, why Why) {
	s := Setup{
		Params: t.params, Observer: t.observer, Endpoints: t.ends,
		MSS: int(t.mss), MaxGSO: int(t.maxGSO), ISS: t.snd.iss, TSOffset: t.tsOffset,
	}
	if t.extra != nil {
		s.PathMSS, s.PathUntil = int(t.extra.path.known), t.extra.path.until
	}
	from := t.state
	t.releaseSend()
	t.releaseOutOfOrder()
	t.setup(now, s)
	t.state = from
	t.set(passiveOpen)
	t.move(now, StateListen, why)
}
