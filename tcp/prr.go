package tcp

// Proportional rate reduction (RFC 9937): during fast recovery the window comes down to
// ssthresh in proportion to what is delivered, so that the ACK clock neither stops nor
// bursts.

// prr is its state (RFC 9937, section 6).
type prr struct {
	delivered int32 // prr_delivered: bytes delivered since recovery began
	out       int32 // prr_out: bytes sent since
	flight    int32 // RecoverFS: bytes in flight when it began
	window    int32 // the congestion window that it sets
}

// prrBegin starts it. flight is what was in the network before the acknowledgment that
// began recovery. What other acknowledgments of the same batch delivered could not be
// answered yet and counts as delivered now: otherwise a batch that ends in a loss would
// leave the network empty but for one retransmission, and the loss of that costs a timeout.
func (t *TCB) prrBegin(flight int) {
	t.mending().prr = prr{
		flight: int32(max(flight, t.sendMSS())), window: int32(t.flight()),
		delivered: t.unanswered,
	}
}

// prrUpdate follows an acknowledgment that told of the delivery of some bytes. safe is
// SafeACK: it moved SND.UNA and showed no further loss.
func (t *TCB) prrUpdate(delivered int, safe bool) {
	p := &t.mending().prr
	if delivered <= 0 {
		return
	}
	p.delivered += int32(delivered)
	pipe, ssthresh, mss := t.flight(), t.cc.Ssthresh(), t.sendMSS()
	var send int
	if pipe > ssthresh {
		// Proportional: ceil(prr_delivered * ssthresh / RecoverFS) - prr_out.
		want := int64(p.delivered) * int64(ssthresh)
		send = int((want+int64(p.flight)-1)/int64(p.flight)) - int(p.out)
	} else {
		send = max(int(p.delivered-p.out), delivered) // PRR-CRB
		if safe {
			send += mss // PRR-SSRB
		}
		send = min(send, ssthresh-pipe)
	}
	if p.out == 0 {
		send = max(send, mss) // the fast retransmit
	}
	p.window = int32(pipe + max(send, 0))
}

// prrForce lets one segment go: the reordering timer has found a loss without an ACK.
func (t *TCB) prrForce() {
	if t.recovery.mode == recoveryFast {
		p := &t.mending().prr
		p.window = max(p.window, int32(t.flight()+t.sendMSS()))
	}
}

// prrSent counts what is sent during recovery.
func (t *TCB) prrSent(n int) {
	if t.recovery.mode == recoveryFast {
		t.mending().prr.out += int32(n)
	}
}

// window is the congestion window in force.
func (t *TCB) window() int {
	if t.recovery.mode == recoveryFast {
		return int(t.mending().prr.window)
	}
	return t.cc.Window()
}
