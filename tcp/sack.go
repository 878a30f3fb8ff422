package tcp

// takeSACK takes the blocks of an acknowledgment (RFC 2018) to the scoreboard. Blocks
// that are empty or end beyond SND.NXT tell it nothing.
func (t *TCB) takeSACK(seg *Segment, news *ackNews) {
	if !t.is(sackOK) {
		return
	}
	blocks := seg.Options.SACK[:seg.Options.SACKBlocks]
	if isDSACK(seg.Ack, blocks) && t.wasSent(blocks[0]) {
		news.dsack, news.hasDSACK = blocks[0], true
		t.trouble().dsacksIn++
		if blocks[0].End.AtOrBefore(seg.Ack) {
			t.tally(CountDSACKRecv)
		} else {
			t.tally(CountDSACKOfoRecv)
		}
		blocks = blocks[1:]
	}
	// By number: that the newest comes first (RFC 2018, section 4) is no reordering.
	for i := range blocks {
		for j := i; j > 0 && blocks[j].Start.Before(blocks[j-1].Start); j-- {
			blocks[j], blocks[j-1] = blocks[j-1], blocks[j]
		}
	}
	for _, b := range blocks {
		start := laterSeq(b.Start, t.snd.una)
		if b.Start.Before(b.End) && start.Before(b.End) && b.End.AtOrBefore(t.snd.nxt) {
			t.scoreboard.sack(start, b.End, t.sendMSS(), news)
		}
	}
}

// isDSACK reports whether the first block says that something arrived twice: it lies
// below the acknowledgment, or inside the second block (RFC 2883, section 4).
func isDSACK(ack Seq, blocks []SACKBlock) bool {
	if len(blocks) == 0 || !blocks[0].Start.Before(blocks[0].End) {
		return false
	}
	if blocks[0].End.AtOrBefore(ack) {
		return true
	}
	return len(blocks) > 1 && blocks[0].Start.AtOrAfter(blocks[1].Start) && blocks[0].End.AtOrBefore(blocks[1].End)
}

// wasSent reports whether b can be a duplicate of something that was sent: it is not
// longer ago than a window.
func (t *TCB) wasSent(b SACKBlock) bool {
	return b.End.AtOrBefore(t.snd.nxt) && t.snd.una.Sub(b.Start) <= int(t.snd.maxWnd)
}

// duplicateArrived notes that [start, end) arrived again, for the next ACK to say so
// (RFC 2883). The first duplicate since the last ACK is reported.
func (t *TCB) duplicateArrived(start, end Seq) {
	if !t.is(sackOK) || t.is(dsackDue) || !start.Before(end) {
		return
	}
	t.rcv.dsack = SACKBlock{Start: start, End: end}
	t.set(dsackDue)
	if start.Before(t.rcv.nxt) {
		t.tally(CountDSACKOldSent)
	} else {
		t.tally(CountDSACKOfoSent)
	}
}

// sackOptions fills the blocks of an ACK: a duplicate first, then what is held beyond
// the gap, the newest first.
func (t *TCB) sackOptions(o *Options) {
	if t.is(dsackDue) {
		o.SACK[0], o.SACKBlocks = t.rcv.dsack, 1
	}
	if t.ooo != nil {
		t.ooo.blocks(o, t.is(dsackDue), t.rcv.dsack)
	}
	// A FIN behind what is held is held as well, and would be sent again.
	for i := range o.SACK[:o.SACKBlocks] {
		if b := &o.SACK[i]; t.is(finKnown) && b.End == t.rcv.fin && *b != t.rcv.dsack {
			b.End = b.End.Add(1)
		}
	}
}
