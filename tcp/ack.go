package tcp

import "time"

// The fifth step of SEGMENT ARRIVES: the acknowledgment (RFC 9293, 3.10.7.4).

// ackArrives processes the ACK field. It reports false when the segment is to be
// dropped.
func (t *TCB) ackArrives(now Time, seg *Segment) bool {
	if t.state == StateSynReceived {
		if !seg.Ack.After(t.snd.una) || seg.Ack.After(t.snd.nxt) {
			t.drop(now, WhyBadAck)
			t.reply(Segment{
				SrcPort: t.ends.Local.Port(), DstPort: t.ends.Remote.Port(),
				Seq: seg.Ack, Flags: RST,
			})
			return false
		}
		t.windowFrom(seg)
		t.acknowledged(now, seg)
		t.established(now)
		return true
	}
	switch {
	case seg.Ack.After(t.snd.nxt):
		// It acknowledges what was not sent: an ACK, and drop it.
		t.drop(now, WhyBadAck)
		t.challenge(now)
		return false
	case seg.Ack.Before(t.snd.una - Seq(t.snd.maxWnd)):
		// RFC 5961, section 5: older than any honest duplicate.
		t.drop(now, WhyBadAck)
		t.challenge(now)
		return false
	case seg.Ack.Before(t.snd.una):
		return true // an old duplicate; its text still counts
	}
	t.acknowledged(now, seg)
	return t.ackOfFIN(now)
}

// ackOfFIN makes the moves that the acknowledgment of our FIN brings.
func (t *TCB) ackOfFIN(now Time) bool {
	if !t.is(finSent) || t.outstanding() {
		return true
	}
	switch t.state {
	case StateFinWait1:
		t.move(now, StateFinWait2, WhyNone)
		if t.is(orphaned) {
			t.timers.arm(timerLife, now.Add(t.params.FinWait2))
		}
	case StateClosing:
		t.enterTimeWait(now)
	case StateLastAck:
		t.end(now, nil, WhyNone)
		return false
	}
	return true
}

// acknowledged takes SEG.ACK in [SND.UNA, SND.NXT], the SACK blocks and the window.
func (t *TCB) acknowledged(now Time, seg *Segment) {
	t.acceptedAck()
	news := ackNews{
		now: now, minRTT: t.rtt.min.get(), fack: laterSeq(t.rack.fack, t.snd.una),
		point: t.recovery.point, tsOffset: t.tsOffset, acked: seg.Ack.Sub(t.snd.una),
	}
	if t.is(timestampsOK) && seg.Options.HasTimestamps && seg.Options.TSEcr != 0 {
		news.echo, news.hasEcho = seg.Options.TSEcr, true
	}
	dup := news.acked == 0 && t.outstanding() && seg.Len() == 0 &&
		uint32(seg.Window)<<t.windowShiftOf(seg) == t.snd.wnd
	before := t.flight()

	if news.acked > 0 {
		t.advance(now, seg.Ack, &news)
	}
	t.takeSACK(seg, &news)
	rtt := t.measure(now, &news)
	if news.acked > 0 {
		if t.outstanding() {
			t.armRetransmit(now) // RFC 6298, 5.3
		} else {
			t.timers.stop(timerRetransmit) // RFC 6298, 5.2
		}
	}
	if !seg.Flags.Has(SYN) {
		t.windowFrom(seg)
	}
	rate := t.rate.sample(now, &news, t.rtt.min.get())
	if rate.Rate > 0 && rate.Rate == t.rate.rate {
		t.setTo(rateAppLimited, rate.AppLimited)
	}
	if t.cc == nil {
		return
	}
	t.ecnEcho(now, seg, news.acked)
	if news.acked > 0 || news.sacked > 0 || news.hasDSACK || dup {
		t.recoverOnAck(seg, &news, dup, before, Acked{
			Now: now, Bytes: news.acked, RTT: rtt, SRTT: t.rtt.srtt, MinRTT: t.rtt.min.get(),
			Flight: t.flight(), Round: t.newRound(), Rate: rate,
		})
	}
	t.unanswered += int32(news.deliveredBytes)
	if news.acked > 0 {
		t.armProbe(now)
		t.tuneSendBuffer(now, news.acked)
	}
}

// newRound reports whether a round trip has passed since it last said so.
func (t *TCB) newRound() bool {
	if t.snd.una.Before(t.roundEnd) {
		return false
	}
	t.roundEnd = t.snd.nxt
	return true
}

// advance moves SND.UNA to ack, which lies after it, and drops what it covers.
func (t *TCB) advance(now Time, ack Seq, news *ackNews) {
	start, end := t.bufStart(), t.dataEnd()
	t.recovery.wasLimited = t.snd.una.Before(t.recovery.limited)
	if t.scoreboard.ack(ack, news); len(t.scoreboard.all()) == 0 {
		t.forgetSent()
	}
	t.snd.una = ack
	t.letGo()
	t.set(synAcked)
	// Numbers that are compared with SND.UNA must not fall 2^31 behind it.
	t.snd.sml = laterSeq(t.snd.sml, ack)
	t.recovery.limited = laterSeq(t.recovery.limited, ack)
	if t.recovery.mode == recoveryNone {
		t.recovery.point = laterSeq(t.recovery.point, ack-1)
	}
	t.roundEnd = laterSeq(t.roundEnd, ack)
	t.ecnPoint = laterSeq(t.ecnPoint, ack-1)
	if n := earlierSeq(ack, end).Sub(start); n > 0 {
		t.sendBuf.Discard(n)
		t.count.bytesAcked += uint64(n)
	}
	t.progress = now
	if t.retransmits != 0 {
		t.retransmits = 0
		t.timeoutOver(now)
	}
}

// measure takes a round trip from the acknowledgment (RFC 6298, section 3; RFC 7323,
// section 4): from the time of sending where nothing acknowledged was sent twice (Karn),
// else from the echoed timestamp, unless that is older than the last retransmission of
// what is acknowledged: then it may be that an ACK got lost, and the time in between was
// our own timeout. Only a measurement ends the back-off (RFC 6298, section 5, at its end):
// on a path that has become slower than the timeout there is none before.
func (t *TCB) measure(now Time, news *ackNews) time.Duration {
	var rtt time.Duration
	switch {
	case news.sampled && news.resent == 0:
		rtt = now.Sub(news.sentAt)
		t.rtt.min.add(now, max(rtt, time.Microsecond))
	case news.acked > 0 && news.hasEcho && !t.echoesOriginal(news):
		ticks := int32(t.timestamp(now) - news.echo)
		if ticks < 2 {
			// Below the resolution of the clock: an answer to the last transmission, but
			// not a measure.
			t.rtt.backoff = 0
			return 0
		}
		rtt = time.Duration(ticks) * time.Millisecond
	default:
		return 0
	}
	rtt = max(rtt, time.Microsecond)
	flightSegs := t.snd.nxt.Sub(t.snd.una) / max(2*t.sendMSS(), 1)
	t.rtt.sample(t.params, rtt, flightSegs)
	if t.observer != nil {
		t.observer(&Event{Time: now, Kind: EventRTT, RTT: rtt, SRTT: t.rtt.srtt, RTO: t.rto()})
	}
	return rtt
}

// windowShiftOf is the shift of a segment's window: none in a SYN (RFC 7323, 2.2).
func (t *TCB) windowShiftOf(seg *Segment) uint8 {
	if seg.Flags.Has(SYN) {
		return 0
	}
	return t.snd.shift
}

// windowFrom updates the send window unless the segment is older than the last that
// did (SND.WL1, SND.WL2).
func (t *TCB) windowFrom(seg *Segment) {
	if t.snd.wl1.Before(seg.Seq) || t.snd.wl1 == seg.Seq && t.snd.wl2.AtOrBefore(seg.Ack) {
		t.updateSendWindow(seg)
	}
}

func (t *TCB) updateSendWindow(seg *Segment) {
	wnd := uint32(seg.Window) << t.windowShiftOf(seg)
	opens := t.snd.wnd == 0 && wnd > 0 && t.state.Synchronized()
	t.snd.wnd = wnd
	t.snd.maxWnd = max(t.snd.maxWnd, wnd)
	t.snd.wl1 = seg.Seq
	t.snd.wl2 = seg.Ack
	if opens {
		t.windowOpened()
	}
}

// windowOpened is called when a closed send window opens: what was sent beyond it the
// peer has dropped, and it goes again. A lone probe goes as the beginning of a full
// segment.
func (t *TCB) windowOpened() {
	t.persistCount = 0
	t.progress = t.lastRcv // the user timeout starts anew
	t.scoreboard.loseAll()
	t.recovery.why = WhyWindowOpened
	if t.snd.nxt != t.snd.una.Add(1) || t.is(finSent) || t.scoreboard.lostBytes != 1 {
		return
	}
	more := min(t.dataEnd().Sub(t.snd.nxt), t.sendMSS()-1)
	if more > 0 && int(t.snd.wnd) > more {
		t.scoreboard.extend(more)
		t.snd.nxt, t.snd.sml = t.snd.nxt.Add(more), t.snd.una
	}
}
