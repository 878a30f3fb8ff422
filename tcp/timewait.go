package tcp

import (
	"net/netip"
	"time"
)

// TIME-WAIT: RFC 9293, 3.6.1 and 3.10.7.4; RFC 6191, 1337, 7323, 5961. What there is to know of
// a connection in it is in a TimeWait, and what happens to it stands here once: while the
// application may still read, its TCB asks a TimeWait made for the occasion.

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
	t.timers.arm(timerLife, now.Add(t.params.timeWait()))
}

// timeWait is how long TIME-WAIT lasts.
func (p *Params) timeWait() time.Duration { return 2 * p.MSL }

// TimeWait is what is left of a connection in TIME-WAIT when its application is gone: a record
// of 64 bytes instead of a TCB, made by TCB.Retire. Like a TCB it leaves locking to its driver.
type TimeWait struct {
	until         Time // when it is over
	local, remote [16]byte
	sndNxt        Seq    // SND.NXT, and SND.UNA
	maxWnd        uint32 // MAX.SND.WND
	rcvNxt        Seq
	tsRecent      uint32
	localPort     uint16
	remotePort    uint16
	wnd           uint16 // RCV.WND as on the wire
	shifts        uint8  // Rcv.Wind.Shift, and in the upper half Snd.Wind.Shift
	flags         waitFlags
}

// waitFlags are the conditions that outlive the TCB.
type waitFlags uint8

const (
	waitIPv4 waitFlags = 1 << iota
	waitTimestamps
	waitSACK
	waitScale
	waitPassive
)

func (w *TimeWait) is(f waitFlags) bool { return w.flags&f != 0 }

// timeWait is the record of a TCB in TIME-WAIT.
func (t *TCB) timeWait() TimeWait {
	w := TimeWait{
		until: t.timers.at(timerLife),
		local: t.ends.Local.Addr().As16(), localPort: t.ends.Local.Port(),
		remote: t.ends.Remote.Addr().As16(), remotePort: t.ends.Remote.Port(),
		sndNxt: t.snd.nxt, maxWnd: t.snd.maxWnd,
		rcvNxt: t.rcv.nxt, tsRecent: t.tsRecent,
		shifts: t.rcv.shift | t.snd.shift<<4,
	}
	unit := 1 << t.rcv.shift
	w.wnd = uint16(min((t.rcvWnd()+unit-1)/unit, 65535)) // as rounded as it was promised
	for _, f := range [...]struct {
		is   bool
		flag waitFlags
	}{
		{t.ends.Local.Addr().Is4(), waitIPv4}, {t.is(timestampsOK), waitTimestamps},
		{t.is(sackOK), waitSACK}, {t.is(wscaleOK), waitScale}, {t.is(passiveOpen), waitPassive},
	} {
		if f.is {
			w.flags |= f.flag
		}
	}
	return w
}

// Retire replaces a TCB in TIME-WAIT by w. It reports false, and does nothing, as long as the
// application has not closed the connection or an answer waits to be sent. What the record has
// no room for is the driver's to keep, where there is any: the observer, which hears no more
// from the TCB, and what has been used up of the limit of challenge ACKs. The TCB stays in
// TIME-WAIT until Abort; its Deadline is Never.
func (t *TCB) Retire(w *TimeWait) (o Observer, c ChallengeLimit, ok bool) {
	if t.state != StateTimeWait || !t.is(orphaned) || t.is(ackNow) || t.replies != nil {
		return nil, c, false
	}
	*w = t.timeWait()
	o, t.observer = t.observer, nil
	if t.challenges != nil {
		c, t.challenges = *t.challenges, nil
	}
	t.timers.stopAll()
	return o, c, true
}

// Ends are the two ends of the connection.
func (w *TimeWait) Ends() Endpoints {
	local, remote := netip.AddrFrom16(w.local), netip.AddrFrom16(w.remote)
	if w.is(waitIPv4) {
		local, remote = local.Unmap(), remote.Unmap()
	}
	return Endpoints{netip.AddrPortFrom(local, w.localPort), netip.AddrPortFrom(remote, w.remotePort)}
}

// Deadline is when TIME-WAIT is over.
func (w *TimeWait) Deadline() Time { return w.until }

// Info is what Info of the TCB would be; of what the record does not keep it says nothing.
func (w *TimeWait) Info(now Time) Info {
	ends := w.Ends()
	return Info{
		State: StateTimeWait, Local: ends.Local, Remote: ends.Remote, PassiveOpened: w.is(waitPassive),
		SndUna: w.sndNxt, SndNxt: w.sndNxt, RcvNxt: w.rcvNxt, RcvWnd: w.window(),
		SndWndShift: w.shifts >> 4, RcvWndShift: w.shifts & 15,
		WindowScale: w.is(waitScale), Timestamps: w.is(waitTimestamps), SACK: w.is(waitSACK),
		Timer: timerNames[timerLife], Expires: max(0, w.until.Sub(now)),
	}
}

// window is RCV.WND in bytes.
func (w *TimeWait) window() int { return int(w.wnd) << (w.shifts & 15) }

// fate is what an arriving segment brings about in TIME-WAIT.
type fate struct {
	act waitAct
	why Why       // what is wrong with the segment
	dup SACKBlock // of its text, what had arrived before
}

type waitAct uint8

const (
	waitNothing   waitAct = iota
	waitAck               // an ACK
	waitRationed          // an ACK, if the limit of challenge ACKs allows it
	waitChallenge         // a challenge ACK, likewise
	waitAnew              // an ACK, and 2·MSL from here
	waitReopens           // a new connection takes the four-tuple
)

// arrives is SEGMENT ARRIVES for TIME-WAIT (RFC 9293, 3.10.7.4).
func (w *TimeWait) arrives(now Time, p *Params, seg *Segment) fate {
	switch {
	case seg.Flags.Has(RST):
		// RFC 1337, fix 1. RFC 9293 would close; but the peer, CLOSED by now, answers
		// each of our answers to an old duplicate by a reset that fits, and the next
		// connection would meet the duplicates that TIME-WAIT is there to outlive.
		return fate{why: WhyBadReset}
	case seg.Flags&(SYN|ACK) == SYN && w.reusable(seg):
		return fate{act: waitReopens} // MAY-2; RFC 6191
	case seg.Flags&(FIN|SYN|ACK) == FIN|ACK && seg.Seq.Add(seg.Len()) == w.rcvNxt:
		// The peer's FIN again: our last ACK got lost. Repeat it and wait anew. The answer
		// has to echo this timestamp, or the peer takes its own timeout for a round trip.
		w.takeTimestamp(now, p, seg)
		w.until = now.Add(p.timeWait())
		return fate{act: waitAnew}
	}
	// First, check the sequence number, and before it the timestamp (RFC 7323, 5.3).
	if w.is(waitTimestamps) && !seg.Flags.Has(SYN) && !seg.Options.HasTimestamps {
		return fate{why: WhyPAWS}
	}
	if w.is(waitTimestamps) && seg.Options.HasTimestamps && !w.current(now, p, seg) {
		return fate{act: answerTo(seg), why: WhyPAWS}
	}
	if !seg.Flags.Has(SYN) && !w.inWindow(seg) {
		return fate{act: answerTo(seg), why: WhyOutOfWindow, dup: w.duplicate(seg)}
	}
	switch {
	case seg.Flags.Has(SYN): // fourth: RFC 5961, section 4
		return fate{act: waitChallenge, why: WhyUnexpectedSYN}
	case !seg.Flags.Has(ACK): // fifth
		return fate{why: WhyNoAck}
	case seg.Ack.After(w.sndNxt), seg.Ack.Before(w.sndNxt - Seq(w.maxWnd)):
		// Of what was not sent, or older than any honest duplicate (RFC 5961, section 5).
		return fate{act: waitChallenge, why: WhyBadAck}
	}
	w.takeTimestamp(now, p, seg)
	if seg.Len() > 0 { // behind the peer's FIN: this should not occur, and an ACK tells it so
		return fate{act: waitAck, why: WhyNotForState, dup: w.duplicate(seg)}
	}
	return fate{}
}

// countFate counts what is particular about a segment in TIME-WAIT.
func (p *Params) countFate(f *fate) {
	switch {
	case f.why == WhyPAWS && f.act != waitNothing:
		p.count(CountPAWSTimewait, 1)
	case f.why == WhyUnexpectedSYN:
		p.count(CountSYNChallenge, 1)
	}
}

// answerTo is what an unacceptable segment earns: those without data are rationed like
// challenge ACKs, so that two confused ends do not answer each other for ever.
func answerTo(seg *Segment) waitAct {
	if len(seg.Payload) > 0 || seg.Flags.Has(FIN) {
		return waitAck
	}
	return waitRationed
}

// reusable reports whether a SYN cannot be of the old connection: its number is
// beyond the last one, or its timestamp is newer (RFC 6191, section 2).
func (w *TimeWait) reusable(seg *Segment) bool {
	if w.is(waitTimestamps) && seg.Options.HasTimestamps {
		if d := int32(seg.Options.TSVal - w.tsRecent); d != 0 {
			return d > 0
		}
	}
	return seg.Seq.After(w.rcvNxt)
}

// current is PAWS (RFC 7323, section 5.3, R1). TS.Recent is as old as TIME-WAIT, if it has not
// begun anew: the FIN that brought it had the last timestamp, or an earlier one just before.
func (w *TimeWait) current(now Time, p *Params, seg *Segment) bool {
	began := w.until.Add(-p.timeWait())
	return int32(seg.Options.TSVal-w.tsRecent) >= 0 || now.Sub(began) > pawsIdle
}

// takeTimestamp is RFC 7323, section 4.3; Last.ACK.sent is RCV.NXT.
func (w *TimeWait) takeTimestamp(now Time, p *Params, seg *Segment) {
	if w.is(waitTimestamps) && seg.Options.HasTimestamps && seg.Seq.AtOrBefore(w.rcvNxt) && w.current(now, p, seg) {
		w.tsRecent = seg.Options.TSVal
	}
}

// inWindow is the table of 3.4. A super-segment may begin before the window and end after it.
func (w *TimeWait) inWindow(seg *Segment) bool {
	wnd, n := w.window(), seg.Len()
	switch {
	case wnd == 0:
		return seg.Seq == w.rcvNxt
	case n == 0:
		return seg.Seq.In(w.rcvNxt, wnd)
	}
	last := seg.Seq.Add(n - 1)
	return seg.Seq.In(w.rcvNxt, wnd) || last.In(w.rcvNxt, wnd) ||
		seg.Seq.Before(w.rcvNxt) && last.AtOrAfter(w.rcvNxt.Add(wnd))
}

// duplicate is what of the text of seg lies before RCV.NXT; empty when nothing does.
func (w *TimeWait) duplicate(seg *Segment) SACKBlock {
	end := earlierSeq(seg.Seq.Add(len(seg.Payload)), w.rcvNxt)
	if !seg.Seq.Before(end) {
		return SACKBlock{}
	}
	return SACKBlock{Start: seg.Seq, End: end}
}

// timeWaitArrives is what a segment brings about while the TCB is still there.
func (t *TCB) timeWaitArrives(now Time, seg *Segment) {
	w := t.timeWait()
	f := w.arrives(now, t.params, seg)
	t.tsRecent = w.tsRecent
	t.params.countFate(&f)
	if f.why != WhyNone {
		t.drop(now, f.why)
	}
	if f.dup != (SACKBlock{}) {
		t.trouble().dupIn++
		t.duplicateArrived(f.dup.Start, f.dup.End)
	}
	switch f.act {
	case waitAck:
		t.set(ackNow)
	case waitRationed:
		if t.mayChallenge(now) {
			t.set(ackNow)
		} else {
			t.tally(CountACKSkippedTimeWait)
		}
	case waitChallenge:
		t.challenge(now)
	case waitAnew:
		t.set(ackNow)
		t.timers.arm(timerLife, w.until)
	case waitReopens: // the driver finds it Done and takes the SYN to the listener
		t.end(now, nil, WhyPeerReopens)
	}
}
