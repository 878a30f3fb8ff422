package tcp

// The seventh and eighth step of SEGMENT ARRIVES: the segment text and the FIN
// (RFC 9293, 3.10.7.4).

// textArrives takes the data and the FIN of a segment that has been trimmed to the
// window.
func (t *TCB) textArrives(now Time, seg *Segment) {
	if seg.Len() == 0 {
		return
	}
	switch t.state {
	case StateEstablished, StateFinWait1, StateFinWait2:
	default:
		// The peer's FIN has been received: this should not occur. An ACK tells it so.
		t.drop(now, WhyNotForState)
		t.set(ackNow)
		return
	}
	if n := len(seg.Payload); n > 0 {
		if t.is(orphaned) {
			// Nobody will read it: say so now (RFC 9293, 3.6.1, SHLD-3).
			t.drop(now, WhyDataAfterClose)
			t.tally(CountAbortOnData)
			t.abort(now, ErrAborted, WhyDataAfterClose)
			return
		}
		t.rcv.mss = t.peerSegment(seg)
		t.measureReceiver(now, seg)
		t.dataHeard(now, n)
	}
	if seg.Seq != t.rcv.nxt {
		t.outOfOrder(now, seg)
		return
	}
	t.inOrder(now, seg)
}

// peerSegment is the size of the peer's full segments as far as seen: an ACK is owed for
// every second of them (SHLD-19). Two of one smaller size in a row say that the path carries
// no more now (as on Linux): otherwise each pair of those would wait for the timer.
func (t *TCB) peerSegment(seg *Segment) uint16 {
	n := len(seg.Payload)
	if seg.GSOSize > 0 {
		n = min(n, seg.GSOSize)
	}
	size := uint16(min(n, int(t.mss)))
	twice := size == t.rcv.last || seg.GSOSize > 0 && len(seg.Payload) >= 2*n
	t.rcv.last = size
	if size >= t.rcv.mss || twice && (size >= defaultMSS4 || !seg.Flags.Has(PSH)) {
		return size
	}
	return t.rcv.mss
}

// inOrder takes a segment that starts at RCV.NXT and what it makes contiguous.
func (t *TCB) inOrder(now Time, seg *Segment) {
	filledGap := t.ooo != nil
	if n := len(seg.Payload); n > 0 {
		t.deliver(seg)
		t.rcv.nxt = t.rcv.nxt.Add(n)
	}
	if seg.Flags.Has(FIN) {
		t.rcv.fin = t.rcv.nxt
		t.set(finKnown)
	}
	if filledGap {
		if held := t.ooo.ranges[0]; held.Start.Before(t.rcv.nxt) {
			t.duplicateArrived(held.Start, earlierSeq(held.End, t.rcv.nxt))
		}
		t.fillGap()
	}
	t.urgentPassed()
	if t.is(finKnown) && t.rcv.fin == t.rcv.nxt {
		t.finArrives(now, filledGap)
		return
	}
	t.ackText(now, filledGap)
}

// ackText decides when what has arrived in order is acknowledged (RFC 5681, 4.2): at once
// when a gap is filled, in whole or part, and for every second segment of full size; else
// an ACK may wait. Where a reader waits for the data the ACK leaves with its Read, as on
// Linux, and tells of the room too: two segments would have done the work of one. But
// before half of the window is used up it leaves in any case.
func (t *TCB) ackText(now Time, filledGap bool) {
	switch {
	case filledGap, t.ackAtOnce(),
		t.secondSegment() && (!t.is(readerWaits) || t.rcv.nxt.Sub(t.rcv.acked) >= t.rcvWnd()):
		t.set(ackNow)
	default:
		t.ackLater(now)
	}
}

// secondSegment reports whether two segments of full size wait for an ACK (SHLD-19).
func (t *TCB) secondSegment() bool { return t.rcv.nxt.Sub(t.rcv.acked) >= 2*int(t.rcv.mss) }

// deliver adds the payload of a segment that is in order to the reader's queue.
func (t *TCB) deliver(seg *Segment) {
	t.count.bytesReceived += uint64(len(seg.Payload))
	switch {
	case t.is(readShut):
	case seg.Block != nil && len(seg.Payload) >= linkThreshold:
		t.recvBuf.Link(seg.Block, seg.Payload)
		seg.Block = nil
	default:
		t.recvBuf.Append(seg.Payload)
	}
}

// finArrives is the eighth step, for a FIN at RCV.NXT. Where it is the peer that closes
// first its ACK may wait, as on Linux: the application will mostly close too, and the ACK
// rides on our FIN.
func (t *TCB) finArrives(now Time, filledGap bool) {
	t.rcv.nxt = t.rcv.nxt.Add(1)
	t.rcv.adv = laterSeq(t.rcv.adv, t.rcv.nxt)
	t.releaseOutOfOrder()
	t.set(finReceived)
	if t.is(urgent) {
		t.rcv.up = earlierSeq(t.rcv.up, t.rcv.fin)
		t.urgentPassed()
	}
	switch t.state {
	case StateEstablished:
		t.delack.pingpong = true
		t.ackText(now, filledGap)
		t.move(now, StateCloseWait, WhyNone)
		return
	case StateFinWait1: // our FIN is not acknowledged, or this would be FIN-WAIT-2
		t.move(now, StateClosing, WhyNone)
	case StateFinWait2:
		t.enterTimeWait(now)
	}
	t.set(ackNow)
}

// outOfOrder keeps a segment beyond a gap (SHLD-31) and reports it at once (MAY-13).
func (t *TCB) outOfOrder(now Time, seg *Segment) {
	t.trouble().outOfOrder++
	t.set(ackNow)
	if seg.Flags.Has(FIN) {
		t.rcv.fin = seg.Seq.Add(len(seg.Payload))
		t.set(finKnown)
	}
	if len(seg.Payload) == 0 {
		return
	}
	if t.ooo == nil {
		t.ooo = new(reassembly)
	}
	kept, dup := t.ooo.insert(seg, t.outOfOrderLimit())
	if kept {
		t.tally(CountOFOQueue)
	} else {
		t.tally(CountOFODrop)
		t.drop(now, WhyNoMemory)
	}
	if dup.Start != dup.End {
		t.tally(CountOFOMerge)
	}
	t.duplicateArrived(dup.Start, dup.End)
	if t.ooo.empty() {
		t.ooo = nil
	}
}

// fillGap moves what has become contiguous to the reader's queue.
func (t *TCB) fillGap() {
	for {
		p, ok := t.ooo.pop(t.rcv.nxt)
		if !ok {
			break
		}
		n := len(p.b)
		t.count.bytesReceived += uint64(n)
		t.rcv.nxt = t.rcv.nxt.Add(n)
		if t.is(readShut) {
			p.block.Release()
		} else {
			t.recvBuf.Link(p.block, p.b)
		}
	}
	t.ooo.trim(t.rcv.nxt)
	if t.ooo.empty() {
		t.ooo = nil
	}
}
