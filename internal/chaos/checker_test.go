package chaos

import (
	"slices"

	"github.com/a644562b/portico/tcp"
)

// checker holds one end to the invariants; doc.go has the list.
type checker struct {
	*end
	inside inside
	info   tcp.Info

	state    tcp.State
	why      tcp.Why // the reason of the segment sent last
	begun    bool
	una, rcv tcp.Seq
	pending  bool // the TCB has not been asked since something happened
	inputs   int  // how many segments have come since it was asked

	edge    tcp.Seq // the largest right edge told
	hasEdge bool
	mss     int // most data and options that a segment may have
	maxRecv int // largest buffers that the connection had
	maxSend int

	reacted   bool // to ECN, when SND.NXT was reactedAt
	reactedAt tcp.Seq

	// Of the batch at hand: what was sent, and how it was before.
	ranges              []piece
	bare, data          int
	queue, flight, cwnd int
}

// moves are the arrows of figure 5, those of section 3.10.7, and the ways out of
// every state.
var moves = map[tcp.State][]tcp.State{
	tcp.StateClosed:      {tcp.StateListen, tcp.StateSynSent},
	tcp.StateListen:      {tcp.StateSynReceived, tcp.StateClosed},
	tcp.StateSynSent:     {tcp.StateSynReceived, tcp.StateEstablished, tcp.StateClosed},
	tcp.StateSynReceived: {tcp.StateListen, tcp.StateEstablished, tcp.StateFinWait1, tcp.StateClosed},
	tcp.StateEstablished: {tcp.StateFinWait1, tcp.StateCloseWait, tcp.StateClosed},
	tcp.StateFinWait1:    {tcp.StateFinWait2, tcp.StateClosing, tcp.StateClosed},
	tcp.StateFinWait2:    {tcp.StateTimeWait, tcp.StateClosed},
	tcp.StateCloseWait:   {tcp.StateLastAck, tcp.StateClosed},
	tcp.StateClosing:     {tcp.StateTimeWait, tcp.StateClosed},
	tcp.StateLastAck:     {tcp.StateClosed},
	tcp.StateTimeWait:    {tcp.StateClosed},
}

// hears is the observer.
func (c *checker) hears(ev *tcp.Event) {
	switch ev.Kind {
	case tcp.EventSegmentOut:
		c.why = ev.Why
	case tcp.EventDrop:
		c.tell("  dropped: %v", ev.Why)
	case tcp.EventCwnd:
		if ev.Why == tcp.WhyECN {
			c.reactsToECN()
		}
		c.tell("  cwnd %d, ssthresh %d, flight %d: %v", ev.Cwnd, ev.Ssthresh, ev.Flight, ev.Why)
	case tcp.EventState:
		c.tell("  %v to %v: %v", ev.From, ev.To, ev.Why)
		if ev.From != c.state {
			c.fail(12, "%s: told of a move from %v in %v", c.name, ev.From, c.state)
		}
		legal := false
		for _, to := range moves[ev.From] {
			legal = legal || to == ev.To
		}
		if !legal {
			c.fail(12, "%s: moved from %v to %v", c.name, ev.From, ev.To)
		}
		c.state = ev.To
		if ev.To == tcp.StateListen {
			c.begun, c.hasEdge, c.reacted = false, false, false
			c.app.forget()
		}
	}
}

// reactsToECN: at most once a window of data (RFC 3168, 6.1.2): the next time for what was
// sent after the last.
func (c *checker) reactsToECN() {
	look(&c.tcb, &c.inside)
	if s := &c.inside; c.reacted && s.una.AtOrBefore(c.reactedAt) {
		c.fail(15, "%s: a second reaction to ECN, SND.UNA is %d before SND.NXT of the first", c.name, c.reactedAt.Sub(s.una))
	}
	c.reacted, c.reactedAt = true, c.inside.nxt
}

func (c *checker) begin() {
	i := c.tcb.Info(c.now)
	c.maxRecv, c.maxSend = i.RecvBuffer, i.SendBuffer
}

// segmentComes notes what a SYN allows to send.
func (c *checker) segmentComes(seg *tcp.Segment) {
	c.pending = true
	c.inputs++
	if !seg.Flags.Has(tcp.SYN) {
		return
	}
	mss := int(seg.Options.MSS)
	if mss == 0 {
		mss = 536
	}
	c.mss = max(c.mss, min(mss, c.setup.MSS), 88)
}

func (c *checker) batchBegins() {
	c.ranges, c.bare, c.data = c.ranges[:0], 0, 0
	c.info = c.tcb.Info(c.now)
	c.queue, c.flight, c.cwnd = c.info.SendQueue, c.info.Flight, c.info.Cwnd
}

// segmentLeaves checks a segment as it is sent.
func (c *checker) segmentLeaves(out *tcp.Out) {
	c.info = c.tcb.Info(c.now)
	i, n := &c.info, out.DataLen
	took := n
	if out.Flags.Has(tcp.SYN) {
		took++
	}
	if out.Flags.Has(tcp.FIN) {
		took++
	}
	if f := out.Flags; f.Has(tcp.SYN|tcp.FIN) || f.Has(tcp.RST|tcp.SYN) || f.Has(tcp.RST|tcp.FIN) || f&(tcp.SYN|tcp.RST|tcp.ACK) == 0 {
		c.fail(7, "%s: flags %v", c.name, f)
	}
	if took == 0 {
		c.bare++
	}
	c.data += n
	if out.Flags.Has(tcp.RST) {
		return
	}
	end := out.Seq.Add(took)
	switch {
	case out.Flags.Has(tcp.ACK) && out.Ack != i.RcvNxt:
		c.fail(7, "%s: ACK is %d off RCV.NXT", c.name, out.Ack.Sub(i.RcvNxt))
	case took == 0 && out.Seq != i.SndNxt && out.Seq != i.SndNxt-1:
		c.fail(7, "%s: a bare ACK %d off SND.NXT", c.name, out.Seq.Sub(i.SndNxt))
	case took > 1 && !out.Flags.Has(tcp.SYN) && end.After(i.SndUna.Add(i.SndWnd)):
		c.fail(8, "%s: sends [%d,%d) of SND.UNA, the window is %d", c.name, out.Seq.Sub(i.SndUna), end.Sub(i.SndUna), i.SndWnd)
	case took > 0 && (out.Seq.Before(i.SndUna) || end.After(i.SndNxt)):
		c.fail(7, "%s: sends [%d,%d) of SND.UNA, SND.NXT is %d", c.name, out.Seq.Sub(i.SndUna), end.Sub(i.SndUna), i.SndNxt.Sub(i.SndUna))
	}
	c.checkSize(out)
	c.checkData(out)
	c.checkEdge(out)
	if took > 0 {
		for _, r := range c.ranges {
			if out.Seq.Before(r.end) && end.After(r.start) {
				c.fail(9, "%s: sends [%d,%d) of SND.UNA twice at once", c.name, out.Seq.Sub(i.SndUna), end.Sub(i.SndUna))
			}
		}
		c.ranges = append(c.ranges, piece{out.Seq, end, 0})
	}
}

func (c *checker) checkSize(out *tcp.Out) {
	size := out.DataLen
	if out.GSOSize != 0 {
		if size > c.setup.MaxGSO || out.GSOSize > size {
			c.fail(7, "%s: a super-segment of %d bytes in pieces of %d, MaxGSO is %d", c.name, size, out.GSOSize, c.setup.MaxGSO)
		}
		size = out.GSOSize
	}
	if options := len(out.Segment.AppendHeader(nil)) - tcp.HeaderLen; size > 1 && size+options > c.mss {
		c.fail(7, "%s: %d bytes of data and %d of options, the MSS is %d", c.name, size, options, c.mss)
	}
}

func (c *checker) checkData(out *tcp.Out) {
	if out.DataLen == 0 {
		return
	}
	off := out.Seq.Sub(c.info.ISS) - 1
	if out.Flags.Has(tcp.SYN) {
		off++ // the SYN stands before its data
	}
	if off < 0 || off+out.DataLen > c.app.written {
		c.fail(2, "%s: sends [%d,%d) of %d bytes written", c.name, off, off+out.DataLen, c.app.written)
		return
	}
	want, n := stream(c.name, off, out.DataLen), 0
	for _, d := range out.Data {
		if string(d) != string(want[n:n+len(d)]) {
			c.fail(2, "%s: sends wrong bytes at %d", c.name, off+n)
			return
		}
		n += len(d)
	}
}

// checkEdge: but for the rounding of a scaled window, and for a SYN, whose field cannot
// say more than 65,535.
func (c *checker) checkEdge(out *tcp.Out) {
	if !out.Flags.Has(tcp.ACK) {
		return
	}
	unit := 1
	if !out.Flags.Has(tcp.SYN) {
		unit <<= c.info.RcvWndShift
	}
	edge := out.Ack.Add(int(out.Window) * unit)
	if full := out.Flags.Has(tcp.SYN) && out.Window == 65535; c.hasEdge && !full && c.edge.Sub(edge) >= unit {
		c.fail(6, "%s: the right edge of the window moves left by %d", c.name, c.edge.Sub(edge))
	}
	if !c.hasEdge || edge.After(c.edge) {
		c.edge, c.hasEdge = edge, true
	}
}

func (c *checker) batchEnds(cause string) {
	c.pending = false
	c.info = c.tcb.Info(c.now)
	if limit := max(c.inputs, 1) + 1; c.bare > limit {
		c.fail(9, "%s: %s has caused %d segments without data", c.name, cause, c.bare)
	}
	c.inputs = 0
	if c.data > c.queue {
		c.fail(9, "%s: %s has caused %d bytes, the queue had %d", c.name, cause, c.data, c.queue)
	}
	if room := max(c.flight, c.cwnd, c.info.Cwnd) + 3*c.info.SndMSS; c.data > 0 && c.info.Cwnd > 0 && c.info.Flight > room {
		c.fail(9, "%s: %d bytes are in flight, before it were %d, the window is %d", c.name, c.info.Flight, c.flight, c.info.Cwnd)
	}
}

// after checks what holds after every event.
func (c *checker) after() {
	if c.failed != nil {
		return
	}
	c.info = c.tcb.Info(c.now)
	look(&c.tcb, &c.inside)
	c.checkNumbers()
	c.checkScoreboard()
	c.checkReassembly()
	c.checkMemory()
	if !c.pending {
		c.checkTimers()
		c.checkStall()
	}
}

func (c *checker) checkNumbers() {
	i := &c.info
	if i.State == tcp.StateListen || i.State == tcp.StateClosed {
		return
	}
	if i.SndUna.After(i.SndNxt) {
		c.fail(1, "%s: SND.UNA is %d beyond SND.NXT", c.name, i.SndUna.Sub(i.SndNxt))
	}
	if c.begun && (i.SndUna.Before(c.una) || i.RcvNxt.Before(c.rcv)) {
		c.fail(1, "%s: SND.UNA has moved by %d, RCV.NXT by %d", c.name, i.SndUna.Sub(c.una), i.RcvNxt.Sub(c.rcv))
	}
	if i.State >= tcp.StateSynReceived {
		c.una, c.rcv, c.begun = i.SndUna, i.RcvNxt, true
	}
}

func (c *checker) checkScoreboard() {
	s := &c.inside
	if c.info.State == tcp.StateClosed || c.info.State == tcp.StateListen {
		return
	}
	var sums [3]int
	at := s.una
	for k, r := range s.runs {
		switch {
		case r.start != at:
			c.fail(3, "%s: run %d of the scoreboard starts at %d, not at %d", c.name, k, r.start.Sub(s.una), at.Sub(s.una))
			return
		case !r.start.Before(r.end):
			c.fail(3, "%s: run %d of the scoreboard is empty", c.name, k)
			return
		case r.state > runLost:
			c.fail(3, "%s: run %d of the scoreboard is in state %d", c.name, k, r.state)
			return
		}
		sums[r.state] += r.end.Sub(r.start)
		at = r.end
	}
	if at != s.nxt {
		c.fail(3, "%s: the scoreboard ends at %d, SND.NXT is %d", c.name, at.Sub(s.una), s.nxt.Sub(s.una))
	}
	if sums != [3]int{s.flight, s.sacked, s.out} {
		c.fail(3, "%s: the scoreboard has %v, its sums say %d %d %d", c.name, sums, s.flight, s.sacked, s.out)
	}
	if s.dupBytes < 0 {
		c.fail(3, "%s: duplicate ACKs stand for %d bytes", c.name, s.dupBytes)
	}
	if i := &c.info; i.Cwnd != 0 && i.Cwnd < min(i.SndMSS, 1) || i.Flight < 0 {
		c.fail(3, "%s: cwnd %d, flight %d", c.name, i.Cwnd, i.Flight)
	}
}

func (c *checker) checkReassembly() {
	s := &c.inside
	if !s.hasOOO {
		return
	}
	if len(s.ranges) == 0 {
		c.fail(4, "%s: an empty list of pieces out of order", c.name)
	}
	bytes, memory, at := 0, 0, s.rcvNxt.Add(1)
	var joined []piece
	for k, p := range s.pieces {
		if p.start.Before(at) || !p.start.Before(p.end) || p.end.After(s.adv) {
			c.fail(4, "%s: piece %d is [%d,%d) of RCV.NXT, the one before ends at %d, the window at %d", c.name, k,
				p.start.Sub(s.rcvNxt), p.end.Sub(s.rcvNxt), at.Sub(s.rcvNxt), s.adv.Sub(s.rcvNxt))
			return
		}
		at = p.end
		bytes, memory = bytes+p.end.Sub(p.start), memory+p.memory
		if n := len(joined); n > 0 && joined[n-1].end == p.start {
			joined[n-1].end = p.end
		} else {
			joined = append(joined, piece{p.start, p.end, 0})
		}
	}
	if bytes != s.bytes || memory != s.memory {
		c.fail(4, "%s: %d bytes in %d of memory out of order, the sums say %d in %d", c.name, bytes, memory, s.bytes, s.memory)
	}
	withFIN := joinPiece(slices.Clone(joined), piece{s.fin, s.fin + 1, 0}) // the number of a FIN is reported as well
	if !slices.Equal(joined, s.ranges) && !slices.Equal(withFIN, s.ranges) {
		c.fail(4, "%s: pieces make the ranges %v, to be reported are %v", c.name, joined, s.ranges)
	}
}

// joinPiece adds a piece to others, which are in order and do not touch.
func joinPiece(all []piece, p piece) []piece {
	i := 0
	for i < len(all) && all[i].end.Before(p.start) {
		i++
	}
	last := i
	for last < len(all) && all[last].start.AtOrBefore(p.end) {
		if all[last].start.Before(p.start) {
			p.start = all[last].start
		}
		if all[last].end.After(p.end) {
			p.end = all[last].end
		}
		last++
	}
	return slices.Replace(all, i, last, p)
}

func (c *checker) checkMemory() {
	i, s := &c.info, &c.inside
	c.maxRecv, c.maxSend = max(c.maxRecv, i.RecvBuffer), max(c.maxSend, i.SendBuffer)
	if held, limit := i.ReceiveQueue+i.OutOfOrder, c.maxRecv*9/8+2<<8+c.setup.MSS; held > limit {
		c.fail(5, "%s: holds %d bytes for the reader, the buffer is %d", c.name, held, c.maxRecv)
	}
	if i.SendQueue > c.maxSend {
		c.fail(5, "%s: holds %d bytes to send, the buffer is %d", c.name, i.SendQueue, c.maxSend)
	}
	if s.memory > 4*c.maxRecv {
		c.fail(5, "%s: holds %d of memory out of order, the buffer is %d", c.name, s.memory, c.maxRecv)
	}
	if held := i.SendQueue + i.ReceiveQueue + s.memory; c.budget != nil && s.charged != held {
		c.fail(5, "%s: holds %d, the budget was told of %d", c.name, held, s.charged)
	}
	if i.State == tcp.StateClosed && (i.SendQueue > 0 || s.hasOOO || len(s.runs) > 0) {
		c.fail(13, "%s: CLOSED, and holds what nobody will get", c.name)
	}
}

// checkTimers: what waits has a timer, and nothing else has.
func (c *checker) checkTimers() {
	i, s := &c.info, &c.inside
	armed := func(k int) bool { return s.timers[k] != tcp.Never }
	first := 0
	for k := range s.timers {
		if s.timers[k] < s.timers[first] {
			first = k
		}
	}
	if want := timerNames[first]; armed(first) && i.Timer != want {
		panic("the timer that is " + want + " here is " + i.Timer + " in package tcp: bring inside_test.go up to date")
	}
	need := func(k int, why string) {
		if !armed(k) {
			c.fail(11, "%s: %s in %v, and the %s timer does not run (%+v)", c.name, why, i.State, timerNames[k], *i)
		}
	}
	outstanding, unsent := i.SndNxt != i.SndUna, i.UnsentQueue > 0
	switch {
	case i.State == tcp.StateClosed || i.State == tcp.StateListen:
		if armed(first) {
			c.fail(13, "%s: a timer runs in %v", c.name, i.State)
		}
		return
	case i.State == tcp.StateTimeWait:
		need(timerLife, "TIME-WAIT")
		return
	case !i.State.Synchronized():
		need(timerRetransmit, "an unacknowledged SYN")
		return
	case i.SndWnd == 0 && (outstanding || unsent), !outstanding && unsent:
		need(timerPersist, "a window that takes nothing")
	case outstanding:
		need(timerRetransmit, "unacknowledged data")
	}
	if i.State == tcp.StateFinWait2 && c.app.closed {
		need(timerLife, "nobody there any more")
	}
	if i.RcvNxt != s.acked {
		need(timerDelayedAck, "data that was not acknowledged")
	}
}

// checkStall: what may go has gone.
func (c *checker) checkStall() {
	i, s := &c.info, &c.inside
	if open := i.State == tcp.StateEstablished || i.State == tcp.StateFinWait1 || i.State == tcp.StateFinWait2; open &&
		i.ReceiveQueue == 0 && i.RcvNxt == s.acked && !c.app.shutRead && i.RcvWnd < min(i.AdvMSS, i.RecvBuffer/4) && uint64(i.RcvWnd) <= 2*i.BytesReceived && c.budget == nil {
		c.fail(11, "%s: nothing waits for the reader, and the peer knows of a window of %d: %+v", c.name, i.RcvWnd, *i)
	}
	if s.frto == frtoProbe && i.UnsentQueue > 0 {
		c.fail(11, "%s: F-RTO wants to send, and does not: %+v", c.name, *i)
	}
	if !i.State.Synchronized() || i.State == tcp.StateTimeWait || s.frto != 0 || s.timers[timerPace] != tcp.Never {
		return
	}
	room, wnd := i.Cwnd-i.Flight, i.SndUna.Add(i.SndWnd)
	if room < i.SndMSS {
		return
	}
	for _, r := range s.runs {
		if r.state != runLost {
			continue
		}
		if wnd.After(r.start) {
			c.fail(11, "%s: [%d,%d) of SND.UNA is lost and is not sent again: %+v", c.name, r.start.Sub(s.una), r.end.Sub(s.una), *i)
		}
		return
	}
	if s.timers[timerAutocork] != tcp.Never && i.UnsentQueue < c.setup.MaxGSO {
		return // it is to fill a super-segment, and leaves within a millisecond
	}
	if i.UnsentQueue >= i.SndMSS+1 && wnd.Sub(i.SndNxt) >= i.SndMSS {
		c.fail(11, "%s: %d bytes are not sent, and could be: %+v", c.name, i.UnsentQueue, *i)
	}
}

// checkTogether checks what holds between two honest ends, and for the memory of all.
func (w *world) checkTogether() {
	if w.failed != nil {
		return
	}
	if w.budget != nil {
		var sum, slack int64
		for _, e := range w.ends {
			sum += int64(e.check.inside.charged)
			slack += int64(max(e.check.info.RcvWnd, 0)) + int64(4*e.setup.MSS) + 64<<10
		}
		if w.budget.Used() != sum {
			w.fail(5, "the budget counts %d, the connections hold %d", w.budget.Used(), sum)
		}
		w.slack = max(w.slack, slack)
		if used := w.budget.Used(); used > w.budget.Limit()+2*w.slack {
			w.fail(5, "%d bytes are held of a budget of %d, %d had been promised at most", used, w.budget.Limit(), w.slack)
		}
	}
	for _, e := range w.ends {
		if e.peer == nil {
			return
		}
		i, p := &e.check.info, &e.peer.check.info
		if i.State >= tcp.StateSynReceived && p.State >= tcp.StateSynReceived && p.IRS == i.ISS && i.SndUna.After(p.RcvNxt) {
			w.fail(2, "%s takes for acknowledged what %s has not received", e.name, e.peer.name)
		}
	}
}

// judge looks at how it ended.
func (w *world) judge() {
	for _, e := range w.ends {
		err := e.tcb.Err()
		if e.peer == nil || w.fatal() {
			continue
		}
		all := e.app.shutRead || e.app.read == e.peer.app.written && e.app.sawEOF
		late := e.peer.tcb.Err() == nil && all // it answers the FIN after its TIME-WAIT
		switch {
		case err != nil && !(err == tcp.ErrReset && late):
			w.fail(14, "%s ends in %v, and nobody wanted it", e.name, err)
		case !all:
			w.fail(14, "%s has read %d of %d bytes, EOF %v", e.name, e.app.read, e.peer.app.written, e.app.sawEOF)
		case e.app.written != e.app.total && !e.app.wroteAll:
			w.fail(14, "%s has written %d of %d bytes", e.name, e.app.written, e.app.total)
		}
	}
}

// fatal reports whether anybody did, or set, what may end the connection otherwise than in
// order.
func (w *world) fatal() bool {
	for _, e := range w.ends {
		if e.app.fatal != "" {
			return true
		}
	}
	return false
}
