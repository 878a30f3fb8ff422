package tcp

import "time"

// Buffers that follow the connection: the receive buffer grows with what the reader
// drains in a round trip (dynamic right-sizing), the send buffer with the congestion
// window. Neither holds memory that holds no bytes. All connections of a stack share a
// budget; when it runs short, windows stop to grow and then shrink, as fast as the peer
// uses up what was promised: a promise is kept.

// receiveTuning measures how fast the reader drains.
type receiveTuning struct {
	since Time  // when this round began
	taken int32 // bytes read in it
	rtt   int32 // round trip as the receiver sees it, in microseconds; 0: not known
}

// tuneReceiveBuffer is told of n bytes that were read. The buffer is to hold twice what
// is read in a round trip, so that the window lets the sender double its rate in the
// next one.
func (t *TCB) tuneReceiveBuffer(now Time, n int) {
	u := &t.tune
	fixed := t.is(fixedReceive) || t.params.Budget.Short()
	if t.tried != nil && !fixed && t.shortPath() {
		t.recvLimit = int32(t.tried.receive.moved(now, n, int(t.recvLimit), t.params.ReceiveBufferMax))
		return
	}
	u.taken += int32(min(n, maxBuffer))
	rtt := time.Duration(u.rtt) * time.Microsecond
	if rtt == 0 {
		rtt = t.rtt.srtt
	}
	if rtt == 0 || now.Sub(u.since) < rtt {
		return
	}
	want := 2*int(u.taken) + 16*int(t.mss)
	t.rcvSpace, u.taken, u.since = u.taken, 0, now
	switch {
	case fixed || want <= int(t.recvLimit):
	case t.shortPath():
		t.trials()
	default:
		t.recvLimit = int32(min(want, t.params.ReceiveBufferMax))
	}
}

// measureReceiver takes the round trip that data with a timestamp of ours shows.
func (t *TCB) measureReceiver(now Time, seg *Segment) {
	if !t.is(timestampsOK) || !seg.Options.HasTimestamps || seg.Options.TSEcr == 0 || len(seg.Payload) < int(t.rcv.mss) {
		return
	}
	ticks := int32(t.timestamp(now) - seg.Options.TSEcr)
	if ticks < 0 {
		return
	}
	rtt := max(min(ticks, 1_000_000), 1) * 1000
	if u := &t.tune; u.rtt == 0 || rtt < u.rtt {
		u.rtt = rtt
	} else {
		u.rtt += (rtt - u.rtt) / 8
	}
}

// tuneSendBuffer lets the buffer hold two congestion windows: one in flight and one to
// follow it. n is how many bytes were acknowledged.
func (t *TCB) tuneSendBuffer(now Time, n int) {
	if t.is(fixedSend) || t.cc == nil || t.params.Budget.Short() {
		return
	}
	want := 2 * t.cc.Window()
	switch {
	case want <= int(t.sendLimit):
	case t.shortPath():
		t.sendLimit = int32(t.trials().send.moved(now, n, int(t.sendLimit), min(want, t.params.SendBufferMax)))
	default:
		t.sendLimit = int32(min(want, t.params.SendBufferMax))
	}
}

// charge tells the budget how much memory the connection holds.
func (t *TCB) charge() {
	if t.params == nil || t.params.Budget == nil {
		return
	}
	held := t.sendBuf.Len() + t.recvBuf.Len()
	if t.ooo != nil {
		held += t.ooo.memory
	}
	if d := held - int(t.charged); d != 0 {
		t.params.Budget.Add(d)
		t.charged = int32(held)
	}
}

// outOfOrderLimit is the most memory in bytes that data beyond a gap may hold. What is
// refused was not acknowledged and comes again; but without a little the peer would
// hear of nothing that arrives beyond a gap, and repair by its timer alone.
func (t *TCB) outOfOrderLimit() int {
	limit := 4 * int(t.recvLimit)
	if t.params.Budget.Spent() {
		limit = min(limit, 16<<10)
	}
	return limit
}
