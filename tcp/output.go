package tcp

// What to send next (RFC 9293, 3.7.4, 3.8.6; RFC 5681).

// Out is a segment to be sent: a header and slices of the send buffer.
type Out struct {
	// Segment is the header; its Payload and Block are nil. GSOSize is not 0 for a
	// super-segment, which the device cuts into pieces of that much data.
	Segment
	// Data is the payload, in order, and DataLen its length in bytes. The slices are
	// valid until another method of the TCB is called.
	Data    [][]byte
	DataLen int
	// ECT: the packet is to be marked ECT(0), ECN-capable (RFC 3168, section 6.1.2).
	ECT bool
}

// Next fills out with the next segment to send and reports whether there is one. The
// driver calls it until it says no after every batch of segments, every Tick and every
// user call. One ACK answers all segments of a batch (MUST-58, MUST-59).
func (t *TCB) Next(now Time, out *Out) bool {
	out.Data, out.DataLen, out.ECT, out.Again = out.Data[:0], 0, false, false
	t.unanswered = 0
	t.clear(written | pushDue)
	if t.replies != nil {
		t.nextReply(now, out)
		return true
	}
	switch {
	case t.is(rstDue):
		t.clear(rstDue)
		t.emitReset(now, out)
		return true
	case t.state == StateClosed || t.state == StateListen:
		return false
	case t.nextRetransmission(now, out),
		t.nextProbe(now, out),
		t.nextNew(now, out),
		t.nextKeepAlive(now, out),
		t.nextAck(now, out):
		return true
	}
	t.settle(now)
	t.account(now)
	t.timers.rest()
	if t.cc != nil && (t.unsent() == 0 || t.timers.armed(timerAutocork)) && t.scoreboard.lostBytes == 0 && t.flight() < t.window() {
		t.rate.limited(t.flight())
	}
	return false
}

// nextReply sends the oldest of the waiting resets.
func (t *TCB) nextReply(now Time, out *Out) {
	out.Segment = t.replies.list[t.replies.sent]
	if t.replies.sent++; t.replies.sent == len(t.replies.list) {
		t.replies = nil
	}
	t.sent(now, out, WhyRefused)
}

// emitReset is the reset of an ABORT: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>. The peer heeds it
// if SEQ is what it expects next (RFC 9293, 3.10.7.4), which is nothing beyond its window: as on
// Linux the octets that have been sent there, a probe for one, do not count.
func (t *TCB) emitReset(now Time, out *Out) {
	seq := t.snd.nxt
	if end := t.windowEnd(); seq.After(end) && end.After(t.snd.iss) { // a SYN needs no window
		seq = end
	}
	out.Segment = Segment{
		SrcPort: t.ends.Local.Port(), DstPort: t.ends.Remote.Port(),
		Seq: seq, Ack: t.rcv.nxt, Flags: RST | ACK,
	}
	t.sent(now, out, WhyAborted)
}

// sendMSS is the effective send MSS (RFC 9293, 3.7.1, MUST-16): what the peer takes
// and the path carries, less the options of every segment.
func (t *TCB) sendMSS() int {
	n := int(t.snd.mss)
	if t.is(timestampsOK) {
		n -= lenTimestampsPadded
	}
	return n
}

// unsent is how many numbers wait to be sent for the first time: data and FIN.
func (t *TCB) unsent() int {
	if t.is(finSent) {
		return 0
	}
	n := t.dataEnd().Sub(t.dataNxt())
	if t.finWaits() {
		n++
	}
	return n
}

// finWaits reports whether a FIN follows the data: not before the handshake is complete.
func (t *TCB) finWaits() bool { return t.is(finQueued) && t.state.Synchronized() }

// windowEnd is the right edge of the peer's window.
func (t *TCB) windowEnd() Seq { return t.snd.una.Add(int(t.snd.wnd)) }

// fill is the most data that one segment may carry within limit bytes: whole
// segments of mss where the device cuts them, else one.
func (t *TCB) fill(limit, mss int) int {
	if limit <= mss || int(t.maxGSO) < 2*mss {
		return min(limit, mss)
	}
	return min(limit, int(t.maxGSO)/mss*mss)
}

// nextRetransmission sends again the first run that is lost.
func (t *TCB) nextRetransmission(now Time, out *Out) bool {
	i := t.scoreboard.firstLost()
	if i < 0 || t.recovery.frto >= frtoProbe {
		return false // F-RTO tries new data first
	}
	if run := t.scoreboard.runs[i]; run.start == t.snd.iss && !t.is(synAcked) {
		t.scoreboard.resend(i, 1, 0, now, rateMark{})
		t.tally(CountSynRetrans)
		out.Again = true
		t.emitSYN(now, out, t.synOptions(now), t.recovery.why)
		t.countResent(out)
		return true
	}
	if !t.state.Synchronized() {
		return false // what Fast Open has sent goes again when the handshake is complete
	}
	opts := t.options(now)
	mss := int(t.snd.mss) - opts.len()
	room := t.window() - t.flight()
	if t.recovery.force {
		room = max(room, mss)
	} else if t.paced(now) {
		return false
	}
	t.scoreboard.joinLost(i, max(room, mss))
	run := t.scoreboard.runs[i]
	n := min(run.len(), t.windowEnd().Sub(run.start))
	if room < min(run.len(), mss) {
		t.recovery.limited = t.snd.nxt // the congestion window holds data back
		return false
	}
	if n <= 0 {
		return false
	}
	t.recovery.force = false
	room = min(room, t.paceBurst(mss))
	if n = t.fill(min(n, max(room/mss, 1)*mss), mss); n < run.len() && run.start.Add(n) == t.dataEnd() && t.windowEnd().After(t.dataEnd()) {
		n++ // the FIN rides on the last of the data
	}
	if run.start == t.snd.una {
		t.armRetransmit(now) // as on Linux: it has just been given another round trip
	}
	t.scoreboard.resend(i, n, min(n, mss)+opts.len(), now, t.sendMark(now))
	t.prrSent(n)
	if t.recovery.why != WhyTLP && t.recovery.why != WhyWindowOpened {
		t.undoSent(now, n)
	}
	t.pace(now, n)
	out.Again = true
	t.emit(now, out, run.start, n, opts, t.recovery.why)
	t.countResent(out)
	t.tallyRepair(segments(out.DataLen, out.GSOSize))
	return true
}

// countResent counts a retransmission.
func (t *TCB) countResent(out *Out) {
	w := t.trouble()
	w.retransSegs += uint64(segments(out.DataLen, out.GSOSize))
	w.bytesRetrans += uint64(out.DataLen)
}

// nextProbe sends what the persist timer asks for: one octet that a closed window has
// no room for, or, with a window that is merely small, what it takes.
func (t *TCB) nextProbe(now Time, out *Out) bool {
	if !t.is(probeDue) {
		return false
	}
	t.clear(probeDue)
	if !t.persisting() {
		return false
	}
	t.tally(CountWinProbe)
	opts := t.options(now)
	n := 1
	if t.snd.wnd > 0 {
		n = min(t.unsent(), int(t.snd.wnd), int(t.snd.mss)-opts.len())
	}
	if t.outstanding() {
		// The octet at SND.UNA again.
		if i := t.scoreboard.head; t.scoreboard.runs[i].state != lost {
			t.scoreboard.mark(&t.scoreboard.runs[i], lost)
		}
		t.scoreboard.resend(t.scoreboard.head, n, n+opts.len(), now, t.sendMark(now))
		out.Again = true
		t.emit(now, out, t.snd.una, n, opts, WhyProbe)
		return true
	}
	t.sendNew(now, out, n, opts, WhyProbe)
	return true
}

// nextNew sends what has not been sent: the SYN, data, the FIN.
func (t *TCB) nextNew(now Time, out *Out) bool {
	if t.snd.nxt == t.snd.iss && !t.outstanding() && (t.state == StateSynSent || t.state == StateSynReceived) {
		t.sendSYN(now, out)
		return true
	}
	if t.cc == nil {
		return false
	}
	if t.extra != nil {
		t.agePath(now)
	}
	unsent := t.unsent()
	switch {
	case t.is(tlpDue) && unsent > 0:
		return t.nextTailProbe(now, out)
	case t.recovery.frto == frtoSecond && int(t.recovery.frtoRoom) < t.sendMSS(),
		t.recovery.frto < frtoProbe && t.scoreboard.lostBytes > 0:
		return false
	case unsent == 0:
		return t.rescue(now, out)
	}
	if !t.outstanding() && now.Sub(t.lastData) > t.rto() {
		t.cc.Idle(now)
	}
	opts := t.options(now)
	mss := int(t.snd.mss) - opts.len()
	room := t.window() - t.flight()
	if !t.is(synAcked) {
		room++ // the SYN is no data: what is answered before its ACK has the whole window
	}
	switch {
	case t.recovery.frto >= frtoProbe:
		room = int(t.recovery.frtoRoom) // RFC 5682, 2.1, step 2b
	case t.paced(now):
		return false
	case t.extra != nil && t.nextMTUProbe(now, out, unsent, room):
		return true
	}
	n := t.allowed(now, unsent, room, mss)
	if t.recovery.frto == frtoProbe {
		if n <= 0 { // it cannot be tried: conventional recovery
			t.recovery.frto = frtoOff
			return t.nextRetransmission(now, out)
		}
		t.recovery.frto = frtoSecond
	}
	if n <= 0 {
		return false
	}
	t.recovery.frtoRoom -= int32(n)
	t.sendNew(now, out, n, opts, WhyNone)
	return true
}

// sendSYN sends our SYN or SYN,ACK for the first time.
func (t *TCB) sendSYN(now Time, out *Out) {
	o, data := t.synOptions(now), 0
	if t.fast != nil {
		data = t.fastSYN(&o)
	}
	t.snd.nxt = t.snd.iss.Add(1 + data)
	run := sentRun{start: t.snd.iss, end: t.snd.nxt, at: now, rate: t.sendMark(now)}
	if data > 0 {
		run.size = uint16(data + o.len())
		out.Data, out.DataLen = t.sendBuf.Slices(out.Data, 0, data), data
	}
	t.record().sent(run, t.sendMSS())
	t.armRetransmit(now)
	t.emitSYN(now, out, o, WhyNone)
}

// nextTailProbe sends a segment of new data as a tail loss probe (RFC 8985, 7.3).
func (t *TCB) nextTailProbe(now Time, out *Out) bool {
	t.clear(tlpDue)
	opts := t.options(now)
	n := min(t.unsent(), t.windowEnd().Sub(t.snd.nxt), int(t.snd.mss)-opts.len())
	if n <= 0 {
		return false
	}
	t.sendNew(now, out, n, opts, WhyTLP)
	t.rack.tlpEnd = t.snd.nxt
	return true
}

// rescue is the rescue retransmission (RFC 6675, section 4, NextSeg 4): once a recovery,
// when nothing else can be sent, the last segment again, if it should have been reported
// by now.
func (t *TCB) rescue(now Time, out *Out) bool {
	r := &t.recovery
	if r.mode != recoveryFast || r.rescued || !t.is(sackOK) || t.window()-t.flight() < t.sendMSS() {
		return false
	}
	runs := t.scoreboard.all()
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].state != inFlight {
			continue
		}
		wait := 2 * t.rtt.srtt
		if wait == 0 {
			wait = t.rto() // how long the round trip is has not been measured yet
		}
		if runs[i].retx > 0 || runs[i].at.Add(wait) > now {
			return false
		}
		r.rescued = true
		t.loseLast()
		r.why = WhyRescue
		return t.nextRetransmission(now, out)
	}
	return false
}

// sendNew sends the next n numbers for the first time.
func (t *TCB) sendNew(now Time, out *Out, n int, opts Options, why Why) {
	start := t.snd.nxt
	t.setTo(finSent, n == t.unsent() && t.finWaits())
	if !t.outstanding() {
		t.progress = now
	}
	mark := t.sendMark(now)
	t.snd.nxt = start.Add(n)
	mss := int(t.snd.mss) - opts.len()
	if why == WhyMTUProbe {
		mss = n
	}
	t.record().sent(sentRun{
		start: start, end: t.snd.nxt, at: now, rate: mark, appLimited: t.rate.appLimited != 0,
		size: uint16(min(n, mss) + opts.len()), probe: why == WhyMTUProbe,
	}, t.sendMSS())
	t.prrSent(n)
	t.pace(now, n)
	if n%t.sendMSS() != 0 && why != WhyMTUProbe {
		t.snd.sml = t.snd.nxt
	}
	if !t.timers.armed(timerRetransmit) && t.snd.wnd > 0 {
		t.armRetransmit(now)
	}
	if why != WhyProbe {
		t.armProbe(now)
	}
	t.emit(now, out, start, n, opts, why)
	out.ECT = t.is(ecnOK) && out.DataLen > 0 && why != WhyProbe // RFC 3168, 6.1.6
	if t.is(cwrDue) && out.DataLen > 0 {
		out.Flags |= CWR // RFC 3168, 6.1.2: on the first new data after the reaction
		t.clear(cwrDue)
	}
}

// allowed is how many of the unsent numbers may go now in one segment: by the peer's
// window, by the congestion window, by the sender's side of silly-window avoidance
// (RFC 9293, 3.8.6.2.1) and by Nagle. mss is the data that fits a segment with the
// options it will have, room what the congestion window leaves.
func (t *TCB) allowed(now Time, unsent, room, mss int) int {
	wnd := t.windowEnd().Sub(t.snd.nxt)
	data := unsent
	if t.finWaits() {
		data-- // a FIN needs a number in the window, but no room in a segment
	}
	if room < min(unsent, mss) {
		t.recovery.limited = t.snd.nxt // the congestion window holds data back
		return 0
	}
	burst := min(room, t.paceBurst(mss))
	if data <= min(wnd, t.fill(min(data, burst), mss)) {
		return t.tail(now, min(unsent, wnd), data, mss)
	}
	if room < min(unsent, wnd) {
		t.recovery.limited = t.snd.nxt.Add(room)
	}
	n := min(data, wnd, burst)
	if n >= mss {
		return t.fill(n/mss*mss, mss)
	}
	// Less than a segment: the window is small. Worth a segment if it is half of
	// the largest that the peer ever offered (3.8.6.2.1, condition 3).
	if n > 0 && n == wnd && n*2 >= int(t.snd.maxWnd) {
		return n
	}
	return 0
}

// tail decides about a segment of n numbers that would carry all the data that is
// left, and the FIN if there is one and the window has a number for it: whole, or without
// an end that is smaller than a segment and has to wait for the ACK of a smaller one
// before it (Nagle, RFC 9293, 3.7.4, in Minshall's form as on Linux: only a small
// segment in flight holds a small one back).
func (t *TCB) tail(now Time, n, data, mss int) int {
	if t.autocorks(now, data, mss) {
		return 0
	}
	small := data % mss
	if small != 0 && t.own != nil && t.own.cork && !t.is(finQueued) {
		return data - small
	}
	if small == 0 || t.is(noDelay|finQueued) || t.snd.sml.AtOrBefore(t.snd.una) {
		return n
	}
	return data - small
}

// nextKeepAlive sends a keep-alive probe: nothing, at SND.NXT-1 (SHLD-12), which the
// peer has to answer as it is out of its window.
func (t *TCB) nextKeepAlive(now Time, out *Out) bool {
	if !t.is(keepAliveDue) {
		return false
	}
	t.clear(keepAliveDue)
	t.tally(CountKeepAlive)
	t.emit(now, out, t.snd.nxt-1, 0, t.options(now), WhyKeepAlive)
	return true
}

// nextAck sends a bare ACK if one is owed.
func (t *TCB) nextAck(now Time, out *Out) bool {
	if !t.is(ackNow) && !t.is(updateWindow) {
		return false
	}
	if t.state == StateSynSent || t.state == StateSynReceived && t.snd.nxt == t.snd.iss {
		return false
	}
	why := WhyNone
	switch {
	case t.is(challengeDue):
		why = WhyChallenge
	case !t.is(ackNow):
		why = WhyWindowUpdate
	}
	t.emit(now, out, t.snd.nxt, 0, t.options(now), why)
	return true
}

// options are the options of a segment that is not a SYN.
func (t *TCB) options(now Time) Options {
	var o Options
	if t.is(timestampsOK) {
		o.HasTimestamps = true
		o.TSVal, o.TSEcr = t.timestamp(now), t.tsRecent
	}
	if t.is(sackOK) && (t.ooo != nil || t.is(dsackDue)) {
		t.sackOptions(&o)
	}
	return o
}

// timestamp is our timestamp clock: milliseconds, as on Linux (RFC 7323, section 5.4).
func (t *TCB) timestamp(now Time) uint32 { return timestampAt(now, t.tsOffset) }

func timestampAt(at Time, offset uint32) uint32 { return uint32(at/1e6) + offset }

// synOptions are those of our SYN, or of our SYN,ACK, which offers only what the peer has
// offered.
func (t *TCB) synOptions(now Time) Options {
	o := Options{MSS: t.mss}
	answer := t.state != StateSynSent
	o.SACKPermitted = !t.params.NoSACK && (!answer || t.is(sackOK))
	if o.HasTimestamps = !t.params.NoTimestamps && (!answer || t.is(timestampsOK)); o.HasTimestamps {
		o.TSVal, o.TSEcr = t.timestamp(now), t.tsRecent
	}
	if o.HasWScale = !t.params.NoWindowScale && (!answer || t.is(wscaleOK)); o.HasWScale {
		o.WScale = t.params.windowShift()
	}
	return o
}

// emitSYN fills out with our SYN, or our SYN,ACK in SYN-RECEIVED.
func (t *TCB) emitSYN(now Time, out *Out, o Options, why Why) {
	answer := t.state != StateSynSent
	out.Segment = Segment{
		SrcPort: t.ends.Local.Port(), DstPort: t.ends.Remote.Port(),
		Seq: t.snd.iss, Flags: SYN, Options: o,
		Window: uint16(min(t.rcvWnd(), 65535)), Again: out.Again,
	}
	if answer {
		out.Ack, out.Flags = t.rcv.nxt, SYN|ACK
		t.ackSent()
	}
	out.Flags |= t.ecnSYN(answer)
	if out.DataLen > 0 && out.DataLen == t.sendBuf.Len() {
		out.Flags |= PSH
	}
	t.sent(now, out, why)
}

// emit fills out with the n numbers from seq on, n being 0 for a bare ACK; out.Again
// says whether they have been sent before.
func (t *TCB) emit(now Time, out *Out, seq Seq, n int, opts Options, why Why) {
	flags := ACK
	end, dataEnd := seq.Add(n), t.dataEnd()
	if n > 0 && end.After(dataEnd) {
		flags |= FIN
		n--
		end--
	}
	if n > 0 {
		out.Data = t.sendBuf.Slices(out.Data, seq.Sub(t.bufStart()), n)
		out.DataLen = n
		if end == dataEnd {
			flags |= PSH // the last of what was written (MUST-61)
		}
	}
	out.Segment = Segment{
		SrcPort: t.ends.Local.Port(), DstPort: t.ends.Remote.Port(),
		Seq: seq, Ack: t.rcv.nxt, Flags: flags, Options: opts,
		Window: t.advertise(), Again: out.Again,
	}
	if mss := int(t.snd.mss) - opts.len(); n > mss && why != WhyMTUProbe {
		out.GSOSize = mss
	}
	if t.is(ecnEchoing) {
		out.Flags |= ECE
	}
	t.ackSent()
	t.sent(now, out, why)
}

// ackSent notes that the peer now knows our RCV.NXT and our window.
func (t *TCB) ackSent() {
	t.quickAckSent()
	t.rcv.acked = t.rcv.nxt
	t.clear(ackNow | ackSoon | updateWindow | challengeDue | dsackDue)
	t.timers.stop(timerDelayedAck)
}

// sent counts a segment that leaves and tells the observer.
func (t *TCB) sent(now Time, out *Out, why Why) {
	segs := uint64(segments(out.DataLen, out.GSOSize))
	if out.DataLen > 0 {
		t.lastData = now
		t.dataSaid(now)
		t.count.dataSegsOut += segs
	}
	t.count.segsOut += segs
	t.count.bytesSent += uint64(out.DataLen)
	if t.observer != nil {
		t.observeOut(now, out, why)
	}
}
