package tcp

// A TimeWait and its driver.

// TimeWaitHost is what a driver knows of the connection that a TimeWait is of.
type TimeWaitHost struct {
	Params     *Params
	TSOffset   uint32 // that of Setup
	Observer   Observer
	Challenges *ChallengeLimit
}

// TimeWaitOutcome is what the driver of a TimeWait is to do about a segment.
type TimeWaitOutcome uint8

const (
	TimeWaitQuiet  TimeWaitOutcome = iota // nothing
	TimeWaitAnswer                        // send the reply
	TimeWaitAnew                          // send it; Deadline has moved to 2·MSL from here
	// TimeWaitReopens: forget the record, and let the segment, a SYN, open a connection
	// as if there had been none (RFC 9293, 3.6.1, MAY-2).
	TimeWaitReopens
)

// Segment takes a segment that arrived for the connection, and fills in reply if there is to
// be one.
func (w *TimeWait) Segment(now Time, h *TimeWaitHost, seg, reply *Segment) TimeWaitOutcome {
	if h.Observer != nil {
		window := int(seg.Window)
		if !seg.Flags.Has(SYN) {
			window <<= w.shifts >> 4
		}
		h.Observer(&Event{
			Time: now, Kind: EventSegmentIn, From: StateTimeWait,
			Segment: describe(seg, len(seg.Payload), window),
		})
	}
	f := w.arrives(now, h.Params, seg)
	h.Params.countFate(&f)
	if f.why != WhyNone {
		h.Params.countDrop(f.why)
	}
	if f.why != WhyNone && h.Observer != nil {
		h.Observer(&Event{Time: now, Kind: EventDrop, Why: f.why, From: StateTimeWait})
	}
	outcome, why := TimeWaitAnswer, WhyNone
	switch f.act {
	case waitNothing:
		return TimeWaitQuiet
	case waitReopens:
		w.End(now, h.Observer, WhyPeerReopens)
		return TimeWaitReopens
	case waitAnew:
		outcome = TimeWaitAnew
	case waitRationed, waitChallenge:
		allowed := h.Challenges.allow(now, h.Params.ChallengeAcks)
		switch {
		case f.act == waitChallenge && allowed:
			h.Params.count(CountChallengeACK, 1)
			why = WhyChallenge
		case f.act == waitChallenge:
			h.Params.count(CountACKSkippedChallenge, 1)
		case !allowed:
			h.Params.count(CountACKSkippedTimeWait, 1)
		}
		if !allowed {
			return TimeWaitQuiet
		}
	}
	w.answer(now, h, f.dup, why, reply)
	return outcome
}

// answer is <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
func (w *TimeWait) answer(now Time, h *TimeWaitHost, dup SACKBlock, why Why, reply *Segment) {
	*reply = Segment{
		SrcPort: w.localPort, DstPort: w.remotePort,
		Seq: w.sndNxt, Ack: w.rcvNxt, Flags: ACK, Window: w.wnd,
	}
	if o := &reply.Options; w.is(waitTimestamps) {
		o.HasTimestamps, o.TSVal, o.TSEcr = true, timestampAt(now, h.TSOffset), w.tsRecent
	}
	if w.is(waitSACK) && dup != (SACKBlock{}) {
		reply.Options.SACK[0], reply.Options.SACKBlocks = dup, 1 // RFC 2883
		h.Params.count(CountDSACKOldSent, 1)
	}
	if h.Observer != nil {
		h.Observer(&Event{
			Time: now, Kind: EventSegmentOut, Why: why, From: StateTimeWait,
			Segment: describe(reply, 0, w.window()),
		})
	}
}

// End tells the observer, which may be nil, that the connection is CLOSED, and why.
func (w *TimeWait) End(now Time, o Observer, why Why) {
	if o != nil {
		o(&Event{Time: now, Kind: EventState, Why: why, From: StateTimeWait, To: StateClosed})
	}
}
