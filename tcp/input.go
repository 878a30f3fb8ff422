package tcp

// SEGMENT ARRIVES, RFC 9293, section 3.10.7. This file has the order of the steps;
// the states before synchronization are in listen.go, the fifth step, the
// acknowledgment, in ack.go, the seventh and eighth, text and FIN, in text.go.

// Segment takes a segment that arrived for this connection. What it makes us send
// comes out of Next. seg is changed; see Segment.Block for who owns its memory.
func (t *TCB) Segment(now Time, seg *Segment) {
	t.lastRcv = now
	segs := uint64(segments(len(seg.Payload), seg.GSOSize))
	t.count.segsIn += segs
	if len(seg.Payload) > 0 {
		t.count.dataSegsIn += segs
	}
	if t.observer != nil {
		t.observeIn(now, seg)
	}
	switch t.state {
	case StateClosed:
		t.refuse(now, seg)
	case StateListen:
		t.listenArrives(now, seg)
	case StateSynSent:
		t.synSentArrives(now, seg)
	default:
		t.segmentArrives(now, seg)
	}
	t.charge()
}

// segments is how many ordinary segments n bytes of data of a given GSO size are.
func segments(n, gsoSize int) int {
	if gsoSize <= 0 || n <= gsoSize {
		return 1
	}
	return (n + gsoSize - 1) / gsoSize
}

// segmentArrives is 3.10.7.4, "Other states".
func (t *TCB) segmentArrives(now Time, seg *Segment) {
	if t.state == StateTimeWait {
		t.timeWaitArrives(now, seg)
		return
	}
	if t.state == StateSynReceived && t.handshakeRepeated(now, seg) {
		return
	}
	// First, check the sequence number, and before it the timestamp (RFC 7323, 5.3).
	if !t.timestampAcceptable(now, seg) || !t.sequenceAcceptable(now, seg) {
		return
	}
	t.probes = 0
	// Second, check the RST bit.
	if seg.Flags.Has(RST) {
		t.resetArrives(now, seg)
		return
	}
	// Third, security and compartment: not in use.
	// Fourth, check the SYN bit.
	if seg.Flags.Has(SYN) {
		t.synArrives(now, seg)
		return
	}
	first := seg.Seq
	t.trim(seg)
	t.ecnArrives(seg)
	// Fifth, check the ACK field.
	if !seg.Flags.Has(ACK) {
		t.drop(now, WhyNoAck)
		return
	}
	if !t.ackArrives(now, seg) {
		return
	}
	t.takeTimestamp(now, first, &seg.Options)
	// Sixth, check the URG bit.
	if seg.Flags.Has(URG) {
		t.urgentArrives(now, first.Add(int(seg.Urgent)))
	}
	// Seventh, process the segment text; eighth, check the FIN bit.
	t.textArrives(now, seg)
}

// drop counts the segment just reported as not accepted, and tells the observer.
func (t *TCB) drop(now Time, why Why) {
	if t.params != nil { // it is CLOSED otherwise
		t.params.countDrop(why)
	}
	if t.observer != nil {
		t.observer(&Event{Time: now, Kind: EventDrop, Why: why, From: t.state})
	}
}

// timestampAcceptable is PAWS (RFC 7323, section 5.3, R1) and the rule of section 3.2
// that once timestamps are agreed every segment but a RST carries one.
func (t *TCB) timestampAcceptable(now Time, seg *Segment) bool {
	if !t.is(timestampsOK) || seg.Flags.Has(RST) {
		return true
	}
	if !seg.Options.HasTimestamps {
		// A SYN belongs to another connection and is answered below.
		if seg.Flags.Has(SYN) {
			return true
		}
		t.drop(now, WhyPAWS)
		return false
	}
	if int32(seg.Options.TSVal-t.tsRecent) >= 0 || now.Sub(t.tsAt) > pawsIdle {
		return true
	}
	t.drop(now, WhyPAWS)
	t.tally(CountPAWSEstab)
	t.ackUnacceptable(now, seg, CountACKSkippedPAWS)
	return false
}

// takeTimestamp is RFC 7323, section 4.3: TS.Recent follows segments that start, at seq,
// at or before the last number we acknowledged.
//
// By the letter of section 5.3 it stands before the ACK is looked at. As on Linux it
// stands behind: a stranger who hits the window would otherwise need no good ACK to
// move TS.Recent far ahead, and PAWS would drop all that the peer sends.
func (t *TCB) takeTimestamp(now Time, seq Seq, o *Options) {
	if !t.is(timestampsOK) || !o.HasTimestamps || seq.After(t.rcv.acked) {
		return
	}
	if int32(o.TSVal-t.tsRecent) >= 0 || now.Sub(t.tsAt) > pawsIdle {
		t.tsRecent, t.tsAt = o.TSVal, now
	}
}

// sequenceAcceptable is the table of 3.4 and what a segment that fails it earns. A SYN
// is let through: RFC 5961, section 4, answers it whatever its number. A segment at
// RCV.NXT that a zero window shuts out loses its text, and its ACK, RST and URG still
// count.
func (t *TCB) sequenceAcceptable(now Time, seg *Segment) bool {
	wnd, n := t.rcvWnd(), seg.Len()
	if seg.Flags&(SYN|RST) == SYN && t.state.Synchronized() {
		return true
	}
	switch {
	case n == 0 && wnd == 0:
		if seg.Seq == t.rcv.nxt {
			return true
		}
	case n == 0:
		if seg.Seq.In(t.rcv.nxt, wnd) {
			return true
		}
	case wnd == 0:
		if seg.Seq == t.rcv.nxt {
			if len(seg.Payload) > 0 {
				t.tally(CountZeroWindowDrop)
			}
			seg.Payload = nil
			seg.Flags &^= FIN
			t.set(ackNow)
			return true
		}
	default:
		if seg.Seq.In(t.rcv.nxt, wnd) || seg.Seq.Add(n-1).In(t.rcv.nxt, wnd) {
			return true
		}
		// A super-segment may begin before the window and end after it.
		if seg.Seq.Before(t.rcv.nxt) && seg.Seq.Add(n).After(t.rcv.adv) {
			return true
		}
	}
	t.drop(now, WhyOutOfWindow)
	if !seg.Flags.Has(RST) {
		if len(seg.Payload) > 0 {
			t.trouble().dupIn++
			if t.state.Synchronized() && seg.Seq.Before(t.rcv.nxt) {
				t.tally(CountDelayedACKLost)
			}
			t.duplicateArrived(seg.Seq, earlierSeq(seg.Seq.Add(len(seg.Payload)), t.rcv.nxt))
		}
		if seg.Seq.Add(n) == t.rcv.acked {
			// The last segment again, because our ACK got lost: the answer has to echo
			// this timestamp, or the peer takes its own timeout for a round trip.
			t.takeTimestamp(now, seg.Seq, &seg.Options)
		}
		t.ackUnacceptable(now, seg, CountACKSkippedSeq)
	}
	return false
}

// ackUnacceptable sends the ACK that an unacceptable segment earns. Those without data
// are rationed like challenge ACKs, so that two confused ends do not answer each other
// for ever; skipped counts those that are not sent.
func (t *TCB) ackUnacceptable(now Time, seg *Segment, skipped Counter) {
	if len(seg.Payload) > 0 || seg.Flags.Has(FIN) {
		t.set(ackNow)
		return
	}
	if t.mayChallenge(now) {
		t.set(ackNow)
	} else if t.state == StateSynReceived {
		t.tally(CountACKSkippedSynRecv)
	} else {
		t.tally(skipped)
	}
}

// resetArrives is the second step, with the exact-match rule of RFC 5961, section 3.
// The number was found to be in the window.
func (t *TCB) resetArrives(now Time, seg *Segment) {
	if seg.Seq != t.rcv.nxt {
		t.drop(now, WhyBadReset)
		t.challenge(now)
		return
	}
	switch t.state {
	case StateSynReceived:
		switch {
		case t.FastOpened(): // the application has it
			t.end(now, ErrReset, WhyReset)
		case t.is(passiveOpen):
			t.tally(CountEmbryonicRsts)
			t.backToListen(now, WhyReset)
		default:
			t.end(now, ErrRefused, WhyReset)
		}
	default:
		t.end(now, ErrReset, WhyReset)
	}
}

// synArrives is the fourth step: RFC 5961, section 4, answers with a challenge ACK; a
// passive open that is not complete starts anew.
func (t *TCB) synArrives(now Time, seg *Segment) {
	t.drop(now, WhyUnexpectedSYN)
	if t.state == StateSynReceived && t.is(passiveOpen) && !t.FastOpened() {
		t.backToListen(now, WhyUnexpectedSYN)
		return
	}
	t.tally(CountSYNChallenge)
	t.challenge(now)
}

// trim cuts off what lies outside the window: old data in front, data and FIN that
// we have not invited behind. The segment has been found acceptable.
func (t *TCB) trim(seg *Segment) {
	if old := t.rcv.nxt.Sub(seg.Seq); old > 0 {
		old = min(old, len(seg.Payload))
		t.duplicateArrived(seg.Seq, seg.Seq.Add(old))
		seg.Payload = seg.Payload[old:]
		seg.Seq = seg.Seq.Add(old)
	}
	if beyond := seg.Seq.Add(seg.Len()).Sub(t.rcv.adv); beyond > 0 {
		if seg.Flags.Has(FIN) {
			seg.Flags &^= FIN
			beyond--
		}
		seg.Payload = seg.Payload[:max(0, len(seg.Payload)-beyond)]
	}
}
