package tcp

import "net/netip"

// Request is SYN-RECEIVED of a passive open before there is a connection: what has to be
// kept of a SYN until the ACK that completes the handshake, or nothing, comes. It does what
// a TCB in that state does, in a fraction of the memory, so that SYNs from nowhere cost
// little (RFC 4987, section 3.5, a SYN cache). Open brings it to life.
//
// At most one segment answers one event: each method that may answer fills reply.
type Request struct {
	params   *Params
	observer Observer
	deadline Time // the SYN,ACK is sent again then
	sentAt   Time // when it was last sent
	lastRcv  Time

	challengeSince Time // see ChallengeLimit
	challengeSent  uint16

	local, remote         [16]byte
	localPort, remotePort uint16

	iss, irs Seq
	tsOffset uint32
	tsRecent uint32 // TS.Recent (RFC 7323, 4.3)

	mss     uint16 // what we announce
	peerMSS uint16 // what the peer announces; 0: nothing
	window  uint16 // of the peer's SYN
	segsIn  uint16
	segsOut uint16

	shift       uint8 // of the peer's windows, where both scale
	retransmits uint8 // of the SYN,ACK, by the timer
	repeats     uint8 // of the SYN,ACK, for whatever reason
	flags       requestFlags
}

// requestFlags is a set of facts about a Request.
type requestFlags uint8

const (
	requestSACK       requestFlags = 1 << iota // both sides may send SACK
	requestTimestamps                          // both send timestamps
	requestWScale                              // both scale windows
	requestECN                                 // both do ECN
	requestTold                                // a scaled window was told, see rcvWnd
	requestCookie                              // from a cookie: when the SYN,ACK left is not known
)

func (r *Request) is(f requestFlags) bool { return r.flags&f != 0 }

// setTo sets f or leaves it clear.
func (r *Request) setTo(f requestFlags, on bool) {
	if on {
		r.flags |= f
	}
}

// Fate is what becomes of a Request.
type Fate uint8

const (
	// RequestWaits: the handshake is not complete.
	RequestWaits Fate = iota
	// RequestCompleted: the segment completes the handshake and has not been looked at
	// further. It is for the TCB that OpenRequest makes, or for Overflow.
	RequestCompleted
	// RequestOver: back to LISTEN, and the Request is to be forgotten.
	RequestOver
)

// Open takes the SYN syn, for LISTEN (RFC 9293, 3.10.7.2, third step), and fills reply with
// the SYN,ACK. Its data is not taken: it is not acknowledged either and comes again. MaxGSO,
// PathMSS and PathUntil of s do not matter yet.
func (r *Request) Open(now Time, s Setup, syn, reply *Segment) {
	r.take(s, syn)
	r.move(now, StateClosed, StateListen, WhyNone)
	r.arrived(now, StateListen, syn)
	r.deadline = now.Add(r.params.InitialRTO)
	r.move(now, StateListen, StateSynReceived, WhyNone)
	r.synAck(now, reply, s.FastOpenGrant, WhyNone)
}

// take fills a Request from what a SYN says.
func (r *Request) take(s Setup, syn *Segment) {
	o, p := &syn.Options, s.Params
	*r = Request{
		params: p, observer: s.Observer,
		local: s.Local.Addr().As16(), localPort: s.Local.Port(),
		remote: s.Remote.Addr().As16(), remotePort: s.Remote.Port(),
		iss: s.ISS, irs: syn.Seq, tsOffset: s.TSOffset, tsRecent: o.TSVal,
		mss: announcedMSS(s.MSS), peerMSS: o.MSS, window: syn.Window, shift: min(o.WScale, maxWScale),
	}
	r.setTo(requestSACK, o.SACKPermitted && !p.NoSACK)
	r.setTo(requestTimestamps, o.HasTimestamps && !p.NoTimestamps)
	r.setTo(requestWScale, o.HasWScale && !p.NoWindowScale)
	r.setTo(requestECN, syn.Flags.Has(ECE|CWR) && p.ECN != ECNOff)
}

// At returns now, or the latest time that the Request has been told when that is later: who
// drives it may have read the clock before somebody else who came first.
func (r *Request) At(now Time) Time { return max(now, r.sentAt, r.lastRcv) }

// Troubled reports whether R1 has been reached, as TCB.Troubled.
func (r *Request) Troubled() bool { return int(r.retransmits) >= r.params.R1 }

// Ends are the two ends of the connection to be.
func (r *Request) Ends() Endpoints {
	return Endpoints{Local: unpack(r.local, r.localPort), Remote: unpack(r.remote, r.remotePort)}
}

// unpack is the address that was packed by As16.
func unpack(a [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port)
}

// Deadline is when Tick wants to be called next.
func (r *Request) Deadline() Time { return r.deadline }

// Tick sends the SYN,ACK again when that is due, and gives up after Params.R2SYNACK times.
func (r *Request) Tick(now Time, reply *Segment) (then Fate, answer bool) {
	if now < r.deadline {
		return RequestWaits, false
	}
	if int(r.retransmits) >= r.params.R2SYNACK {
		r.params.count(CountAbortOnTimeout, 1)
		r.move(now, StateSynReceived, StateClosed, WhyTimeout)
		return RequestOver, false
	}
	r.retransmits++
	r.params.count(CountTimeouts, 1)
	r.deadline = now.Add(backedOff(r.params.InitialRTO, r.retransmits, r.params.MaxRTO))
	r.synAck(now, reply, FastOpenCookie{}, WhyRTO)
	return RequestWaits, true
}

// Segment takes a segment that arrived for the connection to be: the steps of RFC 9293,
// 3.10.7.4, for SYN-RECEIVED after a passive OPEN.
func (r *Request) Segment(now Time, seg, reply *Segment) (then Fate, answer bool) {
	if r.completes(seg) {
		return RequestCompleted, false
	}
	r.arrived(now, StateSynReceived, seg)
	switch {
	case seg.Flags&(SYN|ACK|RST) == SYN && seg.Seq == r.irs:
		// The peer's SYN again: see TCB.handshakeRepeated.
		r.drop(now, WhyUnexpectedSYN)
		if !r.mayChallenge(now) {
			r.params.count(CountACKSkippedSynRecv, 1)
			return RequestWaits, false
		}
		r.synAck(now, reply, FastOpenCookie{}, WhyPeerRepeats)
		return RequestWaits, true
	case r.lacksTimestamp(seg):
		r.drop(now, WhyPAWS)
		return RequestWaits, false
	case r.old(seg):
		r.drop(now, WhyPAWS)
		r.params.count(CountPAWSEstab, 1) // of any state but two, as on Linux
		return RequestWaits, r.unacceptable(now, seg, reply)
	case !r.inWindow(seg):
		r.drop(now, WhyOutOfWindow)
		if seg.Flags.Has(RST) {
			return RequestWaits, false
		}
		r.takeTimestamp(seg)
		return RequestWaits, r.unacceptable(now, seg, reply)
	case seg.Flags.Has(RST) && seg.Seq != r.rcvNxt(): // RFC 5961, section 3
		r.drop(now, WhyBadReset)
		return RequestWaits, r.challenge(now, reply)
	case seg.Flags.Has(RST):
		r.params.count(CountEmbryonicRsts, 1)
		r.move(now, StateSynReceived, StateListen, WhyReset)
		return RequestOver, false
	case seg.Flags.Has(SYN):
		r.drop(now, WhyUnexpectedSYN)
		r.move(now, StateSynReceived, StateListen, WhyUnexpectedSYN)
		return RequestOver, false
	case !seg.Flags.Has(ACK):
		r.drop(now, WhyNoAck)
		return RequestWaits, false
	}
	r.drop(now, WhyBadAck)
	*reply = Segment{SrcPort: r.localPort, DstPort: r.remotePort, Seq: seg.Ack, Flags: RST}
	r.sent(now, reply, WhyRefused)
	return RequestWaits, true
}

// Overflow drops a segment that completes the handshake: there is no room for another
// connection. The SYN,ACK is sent again in time, to ask whether the peer is still there,
// and its answer is the next chance.
func (r *Request) Overflow(now Time, seg *Segment) {
	r.arrived(now, StateSynReceived, seg)
	r.drop(now, WhyAcceptQueue)
}

// Abort fills reply with the reset that tells the peer that nobody listens any more.
func (r *Request) Abort(now Time, reply *Segment) {
	*reply = Segment{
		SrcPort: r.localPort, DstPort: r.remotePort,
		Seq: r.iss.Add(1), Ack: r.rcvNxt(), Flags: RST | ACK,
	}
	r.move(now, StateSynReceived, StateClosed, WhyAborted)
	r.sent(now, reply, WhyAborted)
}

// InFlight reports whether seq is that of the SYN,ACK: only then can an ICMP error that
// quotes it be about this handshake (RFC 5927, section 4.1).
func (r *Request) InFlight(seq Seq) bool { return seq == r.iss }

// SoftError takes in an ICMP error that may pass (MUST-56).
func (r *Request) SoftError(now Time, err error) { r.tellError(now, err) }

// HardError takes in one that will not pass: the handshake is over (SHLD-26).
func (r *Request) HardError(now Time, err error) Fate {
	r.tellError(now, err)
	r.move(now, StateSynReceived, StateClosed, WhyUnreachable)
	return RequestOver
}

// Info describes the connection to be at now.
func (r *Request) Info(now Time) Info {
	ends := r.Ends()
	i := Info{
		State: StateSynReceived, Local: ends.Local, Remote: ends.Remote, PassiveOpened: true,
		ISS: r.iss, SndUna: r.iss, SndNxt: r.iss.Add(1), SndWnd: int(r.window),
		IRS: r.irs, RcvNxt: r.rcvNxt(), RcvWnd: r.rcvWnd(),
		RcvMSS: int(min(defaultMSS4, r.mss)), AdvMSS: int(r.mss), PathMTU: packetSize(r.mss, ends.Remote.Addr()),
		WindowScale: r.is(requestWScale), Timestamps: r.is(requestTimestamps), SACK: r.is(requestSACK), ECN: r.is(requestECN),
		Retransmits: int(r.retransmits), Troubled: r.Troubled(),
		Timeouts: uint64(r.retransmits), Backoff: int(r.retransmits), Flight: 1, Outstanding: 1, CAState: "open",
		RTO:   backedOff(r.params.InitialRTO, r.retransmits, r.params.MaxRTO),
		Timer: timerNames[timerRetransmit], Expires: max(0, r.deadline.Sub(now)),
		LastRcv: now.Sub(r.lastRcv), LastDataRcv: -1, LastDataSnd: -1,
		SegmentsIn: uint64(r.segsIn), SegmentsOut: uint64(r.segsOut), RetransSegs: uint64(r.repeats),
		SendBuffer: r.params.SendBuffer, RecvBuffer: r.params.ReceiveBuffer,
	}
	if r.retransmits > 0 {
		i.TimeoutRuns, i.TimedOut = 1, now.Sub(r.firstTimeout())
	}
	if r.repeats > 0 {
		i.Resent = 1
	}
	if r.is(requestWScale) {
		i.SndWndShift, i.RcvWndShift = r.shift, r.params.windowShift()
	}
	return i
}

// firstTimeout is when the timer of the SYN,ACK expired for the first time, by when it will
// next.
func (r *Request) firstTimeout() Time {
	at := r.deadline
	for n := r.retransmits; n > 0; n-- {
		at = at.Add(-backedOff(r.params.InitialRTO, n, r.params.MaxRTO))
	}
	return at
}

// rcvNxt is RCV.NXT.
func (r *Request) rcvNxt() Seq { return r.irs.Add(1) }

// rcvWnd is RCV.WND: what the SYN,ACK offers, or, once a window was told in units of its
// scale, that much rounded up (see TCB.advertise).
func (r *Request) rcvWnd() int {
	wnd := r.params.synWindow()
	if r.is(requestTold) {
		wnd = int(r.scaled(wnd)) << r.rcvShift()
	}
	return wnd
}

func (r *Request) rcvShift() uint8 {
	if !r.is(requestWScale) {
		return 0
	}
	return r.params.windowShift()
}

// scaled is a window as the field of a segment says it, rounded up.
func (r *Request) scaled(wnd int) uint16 {
	shift := r.rcvShift()
	return uint16(min((wnd+1<<shift-1)>>shift, 65535))
}

// completes reports whether seg passes all steps up to the fifth, and acknowledges our SYN.
func (r *Request) completes(seg *Segment) bool {
	if !seg.Flags.Has(ACK) || seg.Flags.Has(RST) || seg.Ack != r.iss.Add(1) || r.lacksTimestamp(seg) || r.old(seg) {
		return false
	}
	if seg.Flags.Has(SYN) {
		return r.crossing(seg)
	}
	return r.inWindow(seg)
}

// crossing reports whether seg is the peer's SYN again, with the ACK of ours: it counts as
// the ACK alone (see TCB.handshakeRepeated).
func (r *Request) crossing(seg *Segment) bool {
	return seg.Flags&(SYN|ACK|RST) == SYN|ACK && seg.Seq == r.irs && seg.Ack == r.iss.Add(1)
}

// lacksTimestamp reports whether seg has none where every segment has one (RFC 7323,
// section 3.2): a reset needs none, and a SYN belongs to another connection.
func (r *Request) lacksTimestamp(seg *Segment) bool {
	return r.is(requestTimestamps) && !seg.Options.HasTimestamps && !seg.Flags.Has(RST) &&
		(!seg.Flags.Has(SYN) || r.crossing(seg))
}

// old is PAWS (RFC 7323, section 5.3, R1). The peer's SYN is not older than a minute or
// two, so that TS.Recent always counts.
func (r *Request) old(seg *Segment) bool {
	return r.is(requestTimestamps) && seg.Options.HasTimestamps && !seg.Flags.Has(RST) &&
		int32(seg.Options.TSVal-r.tsRecent) < 0
}

// takeTimestamp takes the timestamp of an old segment that ends at RCV.NXT, see
// TCB.sequenceAcceptable.
func (r *Request) takeTimestamp(seg *Segment) {
	if r.is(requestTimestamps) && seg.Options.HasTimestamps && seg.Seq.Add(seg.Len()) == r.rcvNxt() {
		r.tsRecent = seg.Options.TSVal // it is not older, see old
	}
}

// inWindow is the table of 3.4. The window is never zero.
func (r *Request) inWindow(seg *Segment) bool {
	nxt, wnd, n := r.rcvNxt(), r.rcvWnd(), seg.Len()
	return seg.Seq.In(nxt, wnd) || n > 0 && seg.Seq.Add(n-1).In(nxt, wnd) ||
		seg.Seq.Before(nxt) && seg.Seq.Add(n).After(nxt.Add(wnd)) // a super-segment
}

// unacceptable makes the ACK that an unacceptable segment earns, see TCB.ackUnacceptable.
func (r *Request) unacceptable(now Time, seg, reply *Segment) bool {
	if len(seg.Payload) == 0 && !seg.Flags.Has(FIN) && !r.mayChallenge(now) {
		r.params.count(CountACKSkippedSynRecv, 1)
		return false
	}
	r.ack(now, reply, WhyNone)
	return true
}

// mayChallenge counts an answer to what is no part of a handshake, and reports whether it
// may be sent.
func (r *Request) mayChallenge(now Time) bool {
	l := ChallengeLimit{since: r.challengeSince, sent: r.challengeSent}
	ok := l.allow(now, r.params.ChallengeAcks)
	r.challengeSince, r.challengeSent = l.since, l.sent
	return ok
}

// challenge makes a challenge ACK (RFC 5961).
func (r *Request) challenge(now Time, reply *Segment) bool {
	if !r.mayChallenge(now) {
		r.params.count(CountACKSkippedChallenge, 1)
		return false
	}
	r.params.count(CountChallengeACK, 1)
	r.ack(now, reply, WhyChallenge)
	return true
}

// ack makes a bare ACK.
func (r *Request) ack(now Time, reply *Segment, why Why) {
	r.flags |= requestTold
	*reply = Segment{
		SrcPort: r.localPort, DstPort: r.remotePort, Seq: r.iss.Add(1), Ack: r.rcvNxt(), Flags: ACK,
		Window: r.scaled(r.params.synWindow()),
	}
	r.timestamps(now, reply)
	r.sent(now, reply, why)
}

// synAck makes the SYN,ACK. It offers what both sides have, and gives a cookie of Fast Open if
// there is one.
func (r *Request) synAck(now Time, reply *Segment, grant FastOpenCookie, why Why) {
	*reply = Segment{
		SrcPort: r.localPort, DstPort: r.remotePort, Seq: r.iss, Ack: r.rcvNxt(), Flags: SYN | ACK,
		Window:  uint16(min(r.rcvWnd(), 65535)),
		Options: Options{MSS: r.mss, SACKPermitted: r.is(requestSACK), HasFastOpen: !grant.IsZero(), FastOpen: grant},
	}
	if r.is(requestWScale) {
		reply.Options.HasWScale, reply.Options.WScale = true, r.params.windowShift()
	}
	if r.is(requestECN) {
		reply.Flags |= ECE
	}
	r.timestamps(now, reply)
	if why != WhyNone {
		r.repeats = min(r.repeats+1, 250)
		reply.Again = true
		r.params.count(CountSynRetrans, 1)
	}
	r.sentAt = now
	r.sent(now, reply, why)
}

func (r *Request) timestamps(now Time, reply *Segment) {
	if r.is(requestTimestamps) {
		reply.Options.HasTimestamps = true
		reply.Options.TSVal, reply.Options.TSEcr = timestampAt(now, r.tsOffset), r.tsRecent
	}
}

// arrived notes a segment, and tells the observer.
func (r *Request) arrived(now Time, state State, seg *Segment) {
	r.lastRcv = now
	r.segsIn++
	if r.observer == nil {
		return
	}
	wnd := int(seg.Window)
	if r.is(requestWScale) && !seg.Flags.Has(SYN) {
		wnd <<= r.shift
	}
	r.observer(&Event{Time: now, Kind: EventSegmentIn, From: state, Segment: describe(seg, len(seg.Payload), wnd)})
}

func (r *Request) sent(now Time, reply *Segment, why Why) {
	r.segsOut++
	if r.observer == nil {
		return
	}
	wnd := int(reply.Window)
	if !reply.Flags.Has(SYN) {
		wnd <<= r.rcvShift()
	}
	r.observer(&Event{Time: now, Kind: EventSegmentOut, Why: why, From: StateSynReceived, Segment: describe(reply, 0, wnd)})
}

func (r *Request) drop(now Time, why Why) {
	r.params.countDrop(why)
	if r.observer != nil {
		r.observer(&Event{Time: now, Kind: EventDrop, Why: why, From: StateSynReceived})
	}
}

func (r *Request) move(now Time, from, to State, why Why) {
	r.params.countMove(from, to, why)
	if r.observer != nil {
		r.observer(&Event{Time: now, Kind: EventState, Why: why, From: from, To: to})
	}
}

func (r *Request) tellError(now Time, err error) {
	if r.observer != nil {
		r.observer(&Event{Time: now, Kind: EventError, Why: WhyUnreachable, From: StateSynReceived, Err: err})
	}
}

// syn is the peer's SYN, as far as it mattered.
func (r *Request) syn() Segment {
	seg := Segment{
		SrcPort: r.remotePort, DstPort: r.localPort, Seq: r.irs, Flags: SYN, Window: r.window,
		Options: Options{
			MSS: r.peerMSS, SACKPermitted: r.is(requestSACK), HasWScale: r.is(requestWScale), WScale: r.shift,
			HasTimestamps: r.is(requestTimestamps), TSVal: r.tsRecent,
		},
	}
	if r.is(requestECN) {
		seg.Flags |= ECE | CWR
	}
	return seg
}

// OpenRequest makes of t the TCB that r stands for, in SYN-RECEIVED, as if it had been there
// from the SYN on. Segment is to have what completes the handshake next. Of s only what r
// does not know counts: MaxGSO, PathMSS and PathUntil.
func (t *TCB) OpenRequest(now Time, s Setup, r *Request) {
	s.Params, s.Observer, s.Endpoints = r.params, nil, r.Ends()
	s.MSS, s.ISS, s.TSOffset = int(r.mss), r.iss, r.tsOffset
	t.setup(now, s)
	t.set(passiveOpen)
	syn := r.syn()
	t.takeSYN(r.sentAt, &syn)
	t.rcv.adv = t.rcv.nxt.Add(r.rcvWnd())
	t.state = StateSynReceived
	t.record().sent(sentRun{start: r.iss, end: r.iss.Add(1), at: r.sentAt, rate: t.sendMark(r.sentAt)}, t.sendMSS())
	t.snd.nxt = r.iss.Add(1)
	t.timers.arm(timerRetransmit, r.deadline)
	t.count.segsIn, t.count.segsOut = uint64(r.segsIn), uint64(r.segsOut)
	if r.repeats > 0 || r.is(requestCookie) {
		t.scoreboard.resend(0, 1, 0, r.sentAt, rateMark{}) // Karn: nothing is measured by it
	}
	if r.repeats > 0 {
		w := t.trouble()
		w.retransSegs, w.timeouts = uint64(r.repeats), uint64(r.retransmits)
	}
	if r.retransmits > 0 {
		w := t.trouble()
		w.timeoutRuns = 1
		t.watch(&w.timedOut, r.firstTimeout(), timingOut)
		t.set(synRetransmitted)
		t.retransmits, t.rtt.backoff = r.retransmits, r.retransmits
	}
	t.observer = r.observer
}
