package ladder

import (
	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

// peer infers the other end's state (RFC 9293, figure 5) from both directions: what
// it sent it must have been able to send, and what we sent is taken to have arrived
// until something says otherwise.
type peer struct {
	state   tcp.State
	unknown bool // nothing has been heard of it yet, nor ever will be
	hints   hints

	ourSYN, ourFIN    bool    // sent
	ourISN, ourFINSeq tcp.Seq // the number that each takes
	itsSYN, itsFIN    bool    // arrived
	itsISN, itsFINSeq tcp.Seq
	ackedOurFIN       bool
	hadOurFIN         bool // when it sent its own
}

// hints are what a look ahead in the recording tells about moments of which the
// segments until then leave the choice.
type hints struct {
	simultaneousOpen  bool // its SYN crossed ours
	refused           bool // a RST answered our SYN
	unanswered        bool // nothing did
	simultaneousClose bool // its FIN crossed ours
}

// lookAhead reads the hints off a recording.
func lookAhead(t *record.Trace) hints {
	h := hints{unanswered: !t.Passive}
	var ourSYN, ourFIN, itsSYN, itsFIN bool
	var finSeq tcp.Seq
	for i := range t.Entries {
		e := &t.Entries[i]
		switch {
		case e.Kind == tcp.EventSegmentOut:
			ourSYN = ourSYN || e.Flags.Has(tcp.SYN)
			if e.Flags.Has(tcp.FIN) && !ourFIN {
				ourFIN, finSeq = true, e.Seq.Add(int(e.DataLen))
			}
		case e.Kind != tcp.EventSegmentIn:
		case e.Flags.Has(tcp.RST):
			h.refused = h.refused || ourSYN && !itsSYN && !t.Passive
			h.unanswered = false
		case e.Flags.Has(tcp.SYN):
			h.simultaneousOpen = h.simultaneousOpen || ourSYN && !itsSYN && !e.Flags.Has(tcp.ACK)
			itsSYN, h.unanswered = true, false
		case e.Flags.Has(tcp.FIN) && !itsFIN:
			itsFIN = true
			h.simultaneousClose = ourFIN && !(e.Flags.Has(tcp.ACK) && e.Ack.After(finSeq))
		}
	}
	return h
}

func newPeer(t *record.Trace) peer {
	p := peer{hints: lookAhead(t)}
	p.unknown = p.hints.unanswered
	if !t.Passive && !p.hints.refused && !p.hints.simultaneousOpen {
		p.state = tcp.StateListen
	}
	return p
}

// name is the state as the ladder writes it.
func (p *peer) name() string {
	if p.unknown {
		return "?"
	}
	return p.state.String()
}

// sent takes a segment of ours.
func (p *peer) sent(e *record.Entry) {
	if e.Flags.Has(tcp.RST) {
		p.state = tcp.StateClosed
		return
	}
	if e.Flags.Has(tcp.SYN) {
		p.gotSYN(e)
	}
	if e.Flags.Has(tcp.ACK) {
		p.gotAck(e.Ack)
	}
	if e.Flags.Has(tcp.FIN) {
		p.gotFIN(e)
	}
}

// gotSYN is what our SYN does to the peer when it arrives.
func (p *peer) gotSYN(e *record.Entry) {
	p.ourSYN, p.ourISN = true, e.Seq
	switch {
	case p.hints.refused:
	case p.hints.simultaneousOpen && !p.itsSYN:
		p.state = tcp.StateSynSent
	case p.state == tcp.StateListen:
		p.state = tcp.StateSynReceived
	case p.state == tcp.StateSynSent && e.Flags.Has(tcp.ACK):
		p.state = tcp.StateEstablished
	}
}

// gotAck is what our acknowledgment does to the peer when it arrives.
func (p *peer) gotAck(ack tcp.Seq) {
	if p.state == tcp.StateSynReceived && p.itsSYN && ack.After(p.itsISN) {
		p.state = tcp.StateEstablished
	}
	if !p.itsFIN || !ack.After(p.itsFINSeq) {
		return
	}
	switch p.state {
	case tcp.StateFinWait1:
		p.state = tcp.StateFinWait2
	case tcp.StateClosing:
		p.state = tcp.StateTimeWait
	case tcp.StateLastAck:
		p.state = tcp.StateClosed
	}
}

// gotFIN is what our FIN does to the peer when it arrives.
func (p *peer) gotFIN(e *record.Entry) {
	p.ourFIN, p.ourFINSeq = true, e.Seq.Add(int(e.DataLen))
	switch p.state {
	case tcp.StateSynReceived, tcp.StateEstablished:
		p.state = tcp.StateCloseWait
		if p.hints.simultaneousClose {
			p.state = tcp.StateFinWait1
		}
	case tcp.StateFinWait1:
		p.state = tcp.StateClosing
	case tcp.StateFinWait2:
		p.state = tcp.StateTimeWait
	}
}

// received takes a segment of the peer's.
func (p *peer) received(e *record.Entry) {
	switch {
	case e.Flags.Has(tcp.RST):
		p.state = tcp.StateClosed
		return
	case e.Flags.Has(tcp.SYN):
		p.sentSYN(e)
		return
	case !e.Flags.Has(tcp.ACK):
		return
	}
	if p.ourSYN && e.Ack.After(p.ourISN) && !p.state.Synchronized() && p.state != tcp.StateClosed {
		p.state = tcp.StateEstablished
	}
	if p.ourFIN && e.Ack.After(p.ourFINSeq) {
		p.ackedOurFIN = true
	}
	if e.Flags.Has(tcp.FIN) {
		p.sentFIN(e)
	}
}

// sentSYN: a SYN that comes again shows that our answer had not arrived.
func (p *peer) sentSYN(e *record.Entry) {
	p.itsSYN, p.itsISN = true, e.Seq
	switch {
	case p.hints.simultaneousOpen && p.state == tcp.StateEstablished:
		// Its SYN,ACK crossed ours.
	case e.Flags.Has(tcp.ACK), p.hints.simultaneousOpen:
		p.state = tcp.StateSynReceived
	default:
		p.state = tcp.StateSynSent
	}
}

// sentFIN: which of the three closes it is depends on what the peer had of ours when
// it first sent its FIN. A FIN that comes again shows that our ACK had not arrived.
func (p *peer) sentFIN(e *record.Entry) {
	again := p.itsFIN
	if !again {
		p.hadOurFIN = p.ackedOurFIN
	}
	p.itsFIN, p.itsFINSeq = true, e.Seq.Add(int(e.DataLen))
	switch {
	case p.hadOurFIN:
		p.state = tcp.StateLastAck
	case p.ackedOurFIN, p.ourFIN && !again:
		p.state = tcp.StateClosing // ours arrived since, or arrives next
	default:
		p.state = tcp.StateFinWait1
	}
}
