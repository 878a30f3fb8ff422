package tcp

// takeSACK takes the blocks of an acknowledgment (RFC 2018) to the scoreboard. Blocks
// that are empty, end beyond SND.NXT or lie before SND.UNA (a D-SACK, RFC 2883) tell
// it nothing. It returns how many bytes were news.
func (t *TCB) takeSACK(seg *Segment) (news int, res ackResult) {
	if !t.is(sackOK) {
		return 0, res
	}
	for _, b := range seg.Options.SACK[:seg.Options.SACKBlocks] {
		start := laterSeq(b.Start, t.snd.una)
		if !b.Start.Before(b.End) || !start.Before(b.End) || b.End.After(t.snd.nxt) {
			continue
		}
		n, r := t.scoreboard.sack(start, b.End)
		news += n
		if r.sampled && (!res.sampled || r.sentAt > res.sentAt) {
			res = r
		}
	}
	return news, res
}
