package tcp

// Explicit congestion notification (RFC 3168).

// ECNMode says what a stack does about ECN.
type ECNMode uint8

const (
	ECNAccept ECNMode = iota // use it when the peer asks for it (the default, as on Linux)
	ECNAsk                   // ask for it in our SYNs as well
	ECNOff                   // neither
)

// ecnSYN is the flags of our SYN, or of our SYN,ACK (section 6.1.1). A SYN that is sent
// again does not ask: something on the path may drop those that do (section 6.1.1.1).
func (t *TCB) ecnSYN(answer bool) Flags {
	switch {
	case answer && t.is(ecnOK):
		return ECE
	case !answer && t.params.ECN == ECNAsk && t.retransmits == 0:
		return ECE | CWR
	}
	return 0
}

// ecnHandshake looks at the peer's SYN or SYN,ACK.
func (t *TCB) ecnHandshake(seg *Segment) {
	const both = ECE | CWR
	switch {
	case t.params.ECN == ECNOff:
		t.clear(ecnOK)
	case seg.Flags.Has(ACK): // the answer to ours: ECE alone
		t.setTo(ecnOK, t.params.ECN == ECNAsk && seg.Flags&both == ECE)
	default:
		t.setTo(ecnOK, seg.Flags&both == both)
	}
}

// ecnArrives takes the receiver's part (section 6.1.3): congestion experienced is echoed
// on every ACK until the sender says that it has reacted.
func (t *TCB) ecnArrives(seg *Segment) {
	if !t.is(ecnOK) {
		return
	}
	if seg.Flags.Has(CWR) {
		t.clear(ecnEchoing)
	}
	if seg.ECT || seg.CE {
		t.set(ecnSeen)
	}
	if seg.CE {
		t.trouble().ceIn++
		t.set(ecnEchoing | ackNow)
	}
}

// ecnEcho takes the sender's part (section 6.1.2): at most one reaction a round trip, and
// none besides that to a loss. acked is what the segment newly acknowledged: it was in
// flight until now. Something sent after the reaction must have been acknowledged: the CWR
// is on that, and until it arrives the echo is of the old mark.
func (t *TCB) ecnEcho(now Time, seg *Segment, acked int) {
	if !t.is(ecnOK) || seg.Flags&(ECE|SYN) != ECE {
		return
	}
	if acked > 0 {
		t.trouble().bytesECE += uint64(acked)
	}
	if t.recovery.mode != recoveryNone || !t.snd.una.After(t.ecnPoint) {
		return
	}
	t.ecnPoint = t.snd.nxt
	t.set(cwrDue)
	t.undoForget()
	t.cc.Recovery(now, min(t.snd.nxt.Sub(t.snd.una)+acked, t.cc.Window()))
	t.observeCwnd(now, WhyECN)
}
