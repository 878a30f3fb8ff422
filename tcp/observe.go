package tcp

// What the TCB tells its observer. All of it runs only when there is one.

func (t *TCB) observeIn(now Time, seg *Segment) {
	e := Event{Time: now, Kind: EventSegmentIn, From: t.state}
	e.Segment = describe(seg, len(seg.Payload), int(seg.Window)<<t.windowShiftOf(seg))
	t.observer(&e)
}

func (t *TCB) observeOut(now Time, out *Out, why Why) {
	e := Event{Time: now, Kind: EventSegmentOut, Why: why, From: t.state}
	wnd := int(out.Window)
	if !out.Flags.Has(SYN) {
		wnd <<= t.rcv.shift
	}
	e.Segment = describe(&out.Segment, out.DataLen, wnd)
	t.observer(&e)
}

func describe(seg *Segment, dataLen, window int) SegmentInfo {
	return SegmentInfo{
		SrcPort: seg.SrcPort, DstPort: seg.DstPort, Seq: seg.Seq, Ack: seg.Ack,
		Flags: seg.Flags, Window: window, Urgent: seg.Urgent, DataLen: dataLen,
		GSOSize: seg.GSOSize, Again: seg.Again, Options: seg.Options,
	}
}

func (t *TCB) observeCwnd(now Time, why Why) {
	if t.observer == nil || t.cc == nil {
		return
	}
	t.observer(&Event{
		Time: now, Kind: EventCwnd, Why: why,
		Cwnd: t.window(), Ssthresh: t.cc.Ssthresh(), Flight: t.flight(),
	})
}
