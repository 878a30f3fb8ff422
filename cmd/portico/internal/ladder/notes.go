package ladder

import (
	"fmt"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

// noter finds what there is to say about a row. What has been taught once is not
// said again.
type noter struct {
	syns, fins   int
	ackTaught    bool
	lenTaught    bool
	superseg     bool
	gapSaid      map[bool]bool // of arriving segments, of ours
	shut         map[bool]bool // the window that they tell of
	timeWaitSaid bool

	pending tcp.Why // of a change of state that the next segment shows

	// The highest number sent by each end, and the last plain ACK of the peer's.
	ourMax, itsMax   tcp.Seq
	haveOur, haveIts bool
	lastAck          tcp.Seq
	lastWindow       int32

	again  bool // the segment at hand was sent before by the peer
	dupAck bool
	plain  bool // nothing that must be shown
}

// begin looks at a segment before the states move.
func (n *noter) begin(b *builder, e *record.Entry) {
	n.again, n.dupAck = false, false
	end := e.Seq.Add(seqLen(e))
	if e.Kind == tcp.EventSegmentOut {
		if !n.haveOur || end.After(n.ourMax) {
			n.ourMax, n.haveOur = end, true
		}
		return
	}
	n.again = n.haveIts && seqLen(e) > 0 && end.AtOrBefore(n.itsMax) && !b.peer.hints.simultaneousOpen
	if !n.haveIts || end.After(n.itsMax) {
		n.itsMax, n.haveIts = end, true
	}
	if seqLen(e) == 0 && e.Flags == tcp.ACK {
		n.dupAck = n.haveOur && e.Ack == n.lastAck && e.Ack.Before(n.ourMax) && e.Window == n.lastWindow && e.Window > 0 // else it answers a probe
	}
	if e.Flags.Has(tcp.ACK) {
		n.lastAck, n.lastWindow = e.Ack, e.Window
	}
}

// seqLen is SEG.LEN.
func seqLen(e *record.Entry) int {
	n := int(e.DataLen)
	if e.Flags.Has(tcp.SYN) {
		n++
	}
	if e.Flags.Has(tcp.FIN) {
		n++
	}
	return n
}

// end collects the notes of a segment's row, states being the changes of state that
// its arrival caused.
func (n *noter) end(b *builder, e *record.Entry, states []record.Entry) []string {
	var notes []string
	add := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	n.plain = !n.again
	n.sentAgain(e, add)
	n.numbers(e, add)
	if e.Drop != tcp.WhyNone {
		add("not accepted: %s", e.Drop)
	}
	n.gaps(e, add)
	n.window(e, add)
	for i := range states[:max(0, len(states)-1)] {
		add("through %s", states[i].To)
	}
	if len(states) > 0 {
		n.enter(b, &states[len(states)-1], add)
	}
	n.peerEnter(b, e, add)
	return notes
}

// window tells of windows that shut and open.
func (n *noter) window(e *record.Entry, add func(string, ...any)) {
	whose := e.Kind == tcp.EventSegmentIn
	switch {
	case e.Flags&(tcp.SYN|tcp.RST) != 0:
	case e.Window == 0:
		add("window closed: wait")
		n.shut[whose] = true
	case n.shut[whose]:
		add("window open: %s", size(uint64(e.Window)))
		n.plain, n.shut[whose] = false, false
	}
}

// gaps tells of ACKs that report missing data, the first of each run of them.
func (n *noter) gaps(e *record.Entry, add func(string, ...any)) {
	said := n.gapSaid[e.Kind == tcp.EventSegmentIn]
	sack := e.Options != nil && e.Options.SACKBlocks > 0
	switch {
	case !sack && !n.dupAck:
		said = false
	case said:
	case sack && e.Options.SACK[0].Start.Before(e.Ack):
		add("D-SACK: it came twice")
		n.plain, said = false, true
	case sack:
		add("data is missing before these")
		n.plain, said = false, true
	default:
		add("duplicate ACK")
		n.plain, said = false, true
	}
	n.gapSaid[e.Kind == tcp.EventSegmentIn] = said
}

// sentAgain says why a segment goes out that new data does not explain.
func (n *noter) sentAgain(e *record.Entry, add func(string, ...any)) {
	why := e.Why
	if n.pending != tcp.WhyNone && (why == tcp.WhyNone || why == tcp.WhyAborted) {
		why = n.pending
	}
	switch {
	case e.Again:
		add("sent again: %s", e.Why)
	case n.again:
		add("the peer sent this again")
	case why != tcp.WhyNone && e.Kind == tcp.EventSegmentOut:
		add("%s", why)
	}
	n.pending = tcp.WhyNone
}

// numbers teaches what takes numbers.
func (n *noter) numbers(e *record.Entry, add func(string, ...any)) {
	if n.again || e.Again {
		return
	}
	switch {
	case e.Flags.Has(tcp.RST):
		add("RST: no answer, no wait")
	case e.Flags.Has(tcp.SYN):
		if n.syns++; n.syns == 1 {
			add("a SYN takes one number")
		}
	case e.Flags.Has(tcp.FIN):
		if n.fins++; n.fins == 1 {
			add("a FIN takes one number")
		}
	case e.DataLen == 0 && !n.ackTaught && n.syns > 0 && e.Why == tcp.WhyNone:
		n.ackTaught = true
		add("a bare ACK takes none")
	case e.DataLen > 0 && !n.lenTaught:
		n.lenTaught = true
		if e.DataLen == 1 {
			add("a byte takes one number")
		} else {
			add("%d bytes take %d numbers", e.DataLen, e.DataLen)
		}
	}
	if p := e.Packets(); p > 1 && !n.superseg {
		n.superseg = true
		add("on a wire %d packets of %d", p, e.GSOSize)
	}
}

// enter says what our end waits for in a state that an arrival led to.
func (n *noter) enter(b *builder, s *record.Entry, add func(string, ...any)) {
	switch {
	case s.To == tcp.StateTimeWait:
		add("TIME-WAIT: 2·MSL = %s", seconds(b.ladder.TimeWait))
	case s.To == tcp.StateClosed && s.Why != tcp.WhyNone:
		add("%s", s.Why)
	}
}

// peerEnter says whose the waiting is when the peer enters TIME-WAIT with a segment
// of ours.
func (n *noter) peerEnter(b *builder, e *record.Entry, add func(string, ...any)) {
	if e.Kind != tcp.EventSegmentOut || b.peer.state != tcp.StateTimeWait || n.timeWaitSaid {
		return
	}
	n.timeWaitSaid = true
	add("TIME-WAIT is the peer's to wait out")
}

// state is what to say of a change of state without a segment.
func (n *noter) state(b *builder, s *record.Entry) []string {
	switch {
	case s.Why != tcp.WhyNone:
		return []string{s.Why.String()}
	case s.To == tcp.StateFinWait1, s.To == tcp.StateLastAck:
		return []string{"closed: the FIN follows the data"}
	}
	return nil
}

// seconds writes a duration without the zeros that Duration.String adds.
func seconds(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return d.String()
}
