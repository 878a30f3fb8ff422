package chaos

import (
	"time"

	"github.com/a644562b/portico/tcp"
)

// hostile is a peer that follows a script of its own: the only end can be held to
// nothing but its own invariants, and to end.
type hostile struct {
	*world
	e      *end
	nxt    tcp.Seq // the next number it sends
	rcv    tcp.Seq // the next number it expects
	base   uint32  // of its timestamps
	echo   uint32
	mss    uint16
	open   bool
	honest int // of ten things it does so many as it should
	after_ string
}

func newHostile(w *world, e *end) *hostile {
	r := w.dice
	return &hostile{world: w, e: e, nxt: tcp.Seq(r.Uint32()), base: r.Uint32(), honest: 3 + r.IntN(7),
		mss: pick(r, uint16(0), 1, 100, 536, 1460, 65535)}
}

// begin calls, or waits to be called.
func (h *hostile) begin(active bool) {
	h.tell("the script, honest in %d of 10", h.honest)
	if active {
		h.call()
	}
	h.after(0, h.act)
}

// call sends a SYN until the TCB has left LISTEN.
func (h *hostile) call() {
	if s := h.e.tcb.State(); s != tcp.StateListen || h.calm {
		return
	}
	h.say(tcp.Segment{Seq: h.nxt - 1, Flags: tcp.SYN | pick(h.dice, 0, 0, 0, tcp.ECE|tcp.CWR, tcp.FIN), Options: h.synOptions()}, nil)
	h.after(500*time.Millisecond, h.call)
}

func (h *hostile) synOptions() tcp.Options {
	r := h.dice
	return tcp.Options{MSS: h.mss, SACKPermitted: !maybe(r, 4), HasTimestamps: !maybe(r, 3), TSVal: h.clock(), TSEcr: h.echo,
		HasWScale: !maybe(r, 3), WScale: uint8(pick(r, 0, 2, 8, 14, 200))}
}

func (h *hostile) clock() uint32 { return h.base + uint32(h.now/1e6) }

// say lets a segment of the script arrive after a while.
func (h *hostile) say(seg tcp.Segment, payload []byte) {
	r := h.dice
	seg.SrcPort, seg.DstPort = h.e.setup.Remote.Port(), h.e.setup.Local.Port()
	if i := h.e.tcb.Info(h.now); i.Timestamps && !seg.Flags.Has(tcp.SYN) && !(!h.calm && maybe(r, 50)) {
		seg.Options.HasTimestamps, seg.Options.TSVal, seg.Options.TSEcr = true, h.clock(), h.echo
		if !h.calm && maybe(r, 20) {
			seg.Options.TSVal += uint32(r.IntN(20000) - 15000)
		}
		if !h.calm && maybe(r, 20) {
			seg.Options.TSEcr = pick(r, 0, r.Uint32(), h.echo-uint32(r.IntN(10000)))
		}
	}
	h.after(time.Duration(r.IntN(40))*time.Millisecond, func() {
		head := seg.AppendHeader(nil)
		var in tcp.Segment
		if err := tcp.Parse(head, &in); err != nil {
			h.fail(0, "a header of the script does not parse: %v", err)
			return
		}
		in.CE = seg.CE
		h.e.tell("< %s", describe(&in, len(payload)))
		h.e.arrive(&in, payload)
	})
}

// arrive takes a segment of the TCB.
func (h *hostile) arrive(seg *tcp.Segment, payload []byte) {
	if h.calm && h.after_ == "silent" {
		return
	}
	if seg.Options.HasTimestamps {
		h.echo = seg.Options.TSVal
	}
	end := seg.Seq.Add(len(payload))
	if seg.Flags.Has(tcp.FIN) {
		end++
	}
	switch {
	case seg.Flags.Has(tcp.RST):
		return
	case seg.Flags.Has(tcp.SYN):
		if !h.open || h.rcv != seg.Seq.Add(1) {
			h.open, h.rcv = true, seg.Seq.Add(1)
		}
		if !seg.Flags.Has(tcp.ACK) {
			h.say(tcp.Segment{Seq: h.nxt - 1, Ack: h.rcv, Flags: tcp.SYN | tcp.ACK, Window: h.window(), Options: h.synOptions()}, nil)
			return
		}
	case seg.Seq.AtOrBefore(h.rcv) && end.After(h.rcv):
		h.rcv = end
	}
	if h.calm {
		h.calmAnswer(seg)
		return
	}
	if end != seg.Seq || seg.Flags.Has(tcp.SYN) {
		h.react()
	}
}

// window is what an honest peer of changing mood would say.
func (h *hostile) window() uint16 {
	return uint16(pick(h.dice, 65535, 65535, 1000, 20000, h.dice.IntN(65536)))
}

// act says something unasked, again and again.
func (h *hostile) act() {
	if h.calm {
		return
	}
	if h.open || h.e.tcb.State() != tcp.StateListen {
		h.react()
	}
	h.after(time.Duration(h.dice.IntN(300))*time.Millisecond, h.act)
}

// react does one thing.
func (h *hostile) react() {
	r, i := h.dice, h.e.tcb.Info(h.now)
	ack := tcp.Segment{Seq: i.RcvNxt, Ack: h.rcv, Flags: tcp.ACK, Window: h.window()}
	if r.IntN(10) < h.honest {
		if maybe(r, 3) {
			h.say(ack, stream("b", int(uint16(ack.Seq)), 1+r.IntN(1400)))
			return
		}
		h.say(ack, nil)
		return
	}
	out := max(1, i.SndNxt.Sub(i.SndUna))
	switch r.IntN(20) {
	case 0:
		for range 1 + r.IntN(8) {
			h.say(ack, nil)
		}
	case 1:
		ack.Ack = i.SndUna
		for range 2 + r.IntN(5) {
			ack.Ack = ack.Ack.Add(r.IntN(out))
			h.say(ack, nil)
		}
	case 2: // optimistic
		ack.Ack = i.SndNxt
		h.say(ack, nil)
	case 3:
		ack.Ack = i.SndUna.Add(r.IntN(out + 1))
		h.say(ack, nil)
	case 4, 5, 6:
		ack.Ack = pick(r, ack.Ack, i.SndUna)
		h.addSACK(&ack, i.SndUna, out)
		h.say(ack, nil)
	case 7, 8:
		ack.Window = uint16(pick(r, 0, 0, 1, 2, 100, r.IntN(3000)))
		h.say(ack, nil)
	case 9:
		ack.Ack = i.SndNxt.Add(r.IntN(100000))
		h.say(ack, nil)
	case 10:
		ack.Ack = i.SndUna.Add(-r.IntN(1 << r.IntN(31)))
		h.say(ack, nil)
	case 11, 12:
		ack.Seq = i.RcvNxt.Add(r.IntN(20000) - 5000)
		h.say(ack, stream("b", int(uint16(ack.Seq)), pick(r, 1, 1+r.IntN(100), 1+r.IntN(20000))))
	case 13:
		ack.Flags |= tcp.URG | pick(r, 0, tcp.PSH, tcp.ECE, tcp.CWR)
		ack.Urgent, ack.CE = uint16(r.Uint32()), maybe(r, 2)
		h.say(ack, stream("b", 0, r.IntN(100)))
	case 14:
		ack.Flags |= pick(r, tcp.ECE, tcp.CWR)
		ack.CE = maybe(r, 2)
		h.say(ack, nil)
	default:
		h.garbage(ack, &i)
	}
}

// garbage is what no peer would send.
func (h *hostile) garbage(seg tcp.Segment, i *tcp.Info) {
	r := h.dice
	switch r.IntN(6) {
	case 0:
		seg.Flags, seg.Seq = tcp.RST, i.RcvNxt.Add(pick(r, 1, r.IntN(70000), -1-r.IntN(70000)))
	case 1:
		seg.Flags, seg.Seq = tcp.SYN|pick(r, 0, tcp.ACK), seg.Seq.Add(pick(r, 0, 1, -1, r.IntN(1<<20)))
	case 2:
		if maybe(r, 6) {
			seg.Flags |= tcp.FIN
			seg.Seq = seg.Seq.Add(pick(r, 0, 0, r.IntN(2000)))
		}
	case 3:
		seg.Flags = tcp.Flags(r.Uint32())
		if !maybe(r, 30) {
			seg.Flags &^= tcp.RST
		}
		seg.Urgent = uint16(r.Uint32())
	case 4:
		seg.Seq, seg.Ack, seg.Flags = tcp.Seq(r.Uint32()), tcp.Seq(r.Uint32()), tcp.Flags(r.Uint32())
	case 5:
		if maybe(r, 60) {
			seg.Flags = tcp.RST
		}
	}
	h.say(seg, stream("b", r.IntN(10000), pick(r, 0, 0, r.IntN(3000))))
}

// addSACK adds blocks, likely and unlikely ones.
func (h *hostile) addSACK(seg *tcp.Segment, una tcp.Seq, out int) {
	r, o := h.dice, &seg.Options
	for range 1 + r.IntN(3) {
		from := una.Add(r.IntN(out))
		if maybe(r, 6) {
			from = una.Add(r.IntN(200000) - 100000)
		}
		o.SACK[o.SACKBlocks] = tcp.SACKBlock{Start: from, End: from.Add(pick(r, 1+r.IntN(out), 1+r.IntN(3000), -r.IntN(3000)))}
		o.SACKBlocks++
	}
}

// calmDown: the peer falls silent, or takes everything and closes, or resets.
func (h *hostile) calmDown() {
	h.after_ = pick(h.dice, "silent", "generous", "generous", "reset")
	h.tell("the script: %s", h.after_)
	e := h.e
	switch h.after_ {
	case "generous":
		h.nag()
		h.after(30*time.Minute, func() {
			if i := e.tcb.Info(h.now); i.State.Synchronized() && (e.app.written < e.app.total && !e.app.wroteAll && !e.app.closed || i.SendQueue > 0) {
				h.fail(14, "%v after the chaos %d bytes are not delivered, and %d not written, to a generous peer: %s", h.now.Sub(h.calmAt), i.SendQueue, e.app.total-e.app.written, h.states())
			}
		})
	case "reset":
		h.after(time.Second, func() {
			h.say(tcp.Segment{Seq: e.tcb.Info(h.now).RcvNxt, Ack: h.rcv, Flags: tcp.RST | tcp.ACK}, nil)
		})
	}
	h.after(time.Duration(31+h.dice.IntN(10))*time.Minute, func() {
		e.tell("Close")
		e.tcb.Close(h.now)
		e.app.closed, e.app.sawEOF = true, true
		e.flush("Close")
	})
}

// nag tells the TCB for a while, in case it waits for it, that there is room.
func (h *hostile) nag() {
	if i := h.e.tcb.Info(h.now); i.State.Synchronized() {
		h.say(tcp.Segment{Seq: i.RcvNxt, Ack: i.SndNxt, Flags: tcp.ACK, Window: 65535}, nil)
	}
	if h.now.Sub(h.calmAt) < 5*time.Minute {
		h.after(10*time.Second, h.nag)
	}
}

// calmAnswer acknowledges all there is.
func (h *hostile) calmAnswer(seg *tcp.Segment) {
	i := h.e.tcb.Info(h.now)
	answer := tcp.Segment{Seq: i.RcvNxt, Ack: i.SndNxt, Flags: tcp.ACK, Window: 65535}
	if !i.State.Synchronized() {
		answer.Seq = h.nxt
		answer.Ack = h.rcv
	}
	if seg.Flags.Has(tcp.FIN) {
		answer.Flags |= tcp.FIN
	}
	if seg.Flags.Has(tcp.FIN) || seg.Seq != i.SndNxt { // not an ACK for an ACK
		h.say(answer, nil)
	}
}
