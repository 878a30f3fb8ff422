package chaos

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/a644562b/portico/tcp"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }
func stack() []byte                             { return debug.Stack() }

// meddler sits on a wire and makes of the acknowledgments that pass those of a bad peer.
// It never acknowledges what the receiver has not, and never changes data: whatever it
// does, a connection recovers once it stops. Probabilities.
type meddler struct {
	shrink    int     // 0 none, 1 by a factor, 2 to nothing, 3 to little, 4 at random, 5 larger, 6 to where the data ends
	split     float64 // an ACK into several, inside of segments
	repeat    float64 // an ACK sent several times
	withhold  float64 // an ACK kept for long
	renege    float64 // SACK for what is not there
	forget    float64 // no SACK
	duplicate float64 // a D-SACK for nothing
	echo      float64 // a wrong timestamp echoed
	old       float64 // an old timestamp
	noise     float64 // ECE, CWR, URG, PSH
	last      tcp.Seq // the last acknowledgment let through
	known     bool
}

func (w *world) newMeddler() (m meddler) {
	r := w.dice
	if maybe(r, 3) {
		m.shrink = 1 + r.IntN(6)
	}
	for _, p := range []*float64{&m.split, &m.repeat, &m.withhold, &m.renege, &m.forget, &m.duplicate, &m.echo, &m.old, &m.noise} {
		if maybe(r, 4) {
			*p = pick(r, 0.05, 0.3, 0.9) * r.Float64()
		}
	}
	w.tell("meddler %+v", m)
	return m
}

func (m *meddler) on(w *world, p float64) bool { return p > 0 && w.dice.Float64() < p }

// meddle changes a packet and sends what becomes of it.
func (x *wire) meddle(p packet) {
	r, m, seg := x.dice, &x.meddler, &p.seg
	if seg.Flags.Has(tcp.SYN) || seg.Flags.Has(tcp.RST) || !seg.Flags.Has(tcp.ACK) {
		x.put(p)
		return
	}
	x.squeeze(seg)
	x.lieAboutSACK(seg)
	if seg.Options.HasTimestamps {
		if m.on(x.world, m.echo) {
			seg.Options.TSEcr = pick(r, 0, seg.Options.TSEcr-uint32(r.IntN(100000)), seg.Options.TSEcr+uint32(r.IntN(1000)), r.Uint32())
		}
		if m.on(x.world, m.old) {
			seg.Options.TSVal -= uint32(r.IntN(5000))
		}
	}
	if m.on(x.world, m.noise) {
		seg.Flags |= pick(r, tcp.ECE, tcp.CWR, tcp.URG, tcp.PSH)
		seg.Urgent = uint16(r.Uint32())
	}
	bare := len(p.payload) == 0 && !seg.Flags.Has(tcp.FIN)
	last, known := m.last, m.known
	if !known || seg.Ack.After(m.last) {
		m.last, m.known = seg.Ack, true
	}
	if !bare {
		x.put(p)
		return
	}
	if step := seg.Ack.Sub(last); known && step > 1 && m.on(x.world, m.split) {
		part := p
		for at := last.Add(1 + r.IntN(step-1)); at.Before(seg.Ack); at = at.Add(1 + r.IntN(step)) {
			part.seg.Ack = at
			x.put(part)
		}
	}
	if m.on(x.world, m.withhold) {
		later := time.Duration(r.Int64N(int64(2 * time.Second)))
		x.tell("withheld for %v", later)
		x.under++
		x.after(later, func() { x.under--; x.put(p) })
		return
	}
	x.put(p)
	if m.on(x.world, m.repeat) {
		for range 1 + r.IntN(6) {
			x.put(p)
		}
	}
}

// squeeze changes the window.
func (x *wire) squeeze(seg *tcp.Segment) {
	r := x.dice
	switch wnd := int(seg.Window); x.shrink {
	case 1:
		seg.Window = uint16(wnd * 3 / 10)
	case 2:
		seg.Window = 0
	case 3:
		seg.Window = uint16(min(wnd, r.IntN(4)))
	case 4:
		seg.Window = uint16(r.IntN(wnd + 1))
	case 5:
		seg.Window = uint16(wnd + r.IntN(65536-wnd))
	case 6:
		i := x.to.tcb.Info(x.now)
		end := i.SndUna.Add(i.SendQueue - r.IntN(3)).Sub(seg.Ack)
		seg.Window = uint16(min(max(end, 0)>>i.SndWndShift, wnd))
	}
}

// lieAboutSACK adds blocks, or takes them away.
func (x *wire) lieAboutSACK(seg *tcp.Segment) {
	r, m, o := x.dice, &x.meddler, &seg.Options
	i := x.to.tcb.Info(x.now)
	if !i.SACK {
		return
	}
	if m.on(x.world, m.forget) {
		o.SACKBlocks = 0
	}
	if out := i.SndNxt.Sub(i.SndUna); out > 1 && m.on(x.world, m.renege) && o.SACKBlocks < 3 {
		from := i.SndUna.Add(r.IntN(out))
		o.SACK[o.SACKBlocks] = tcp.SACKBlock{Start: from, End: from.Add(1 + r.IntN(i.SndNxt.Sub(from)))}
		if maybe(r, 5) {
			o.SACK[o.SACKBlocks] = tcp.SACKBlock{Start: from, End: from.Add(r.IntN(100000) - 50000)}
		}
		o.SACKBlocks++
	}
	if m.on(x.world, m.duplicate) {
		copy(o.SACK[1:], o.SACK[:])
		o.SACKBlocks = min(o.SACKBlocks+1, 4)
		from := seg.Ack.Add(-1 - r.IntN(5000))
		o.SACK[0] = tcp.SACKBlock{Start: from, End: from.Add(1 + r.IntN(3000))}
	}
}

// inject hands an end a segment of somebody who is not on the path: what must be
// ignored, dropped or challenged, but must not harm.
func (w *world) inject(e *end) {
	r, i := w.dice, e.tcb.Info(w.now)
	if !i.State.Synchronized() || i.State == tcp.StateTimeWait {
		return
	}
	seg := tcp.Segment{SrcPort: e.setup.Remote.Port(), DstPort: e.setup.Local.Port(), Window: uint16(r.Uint32())}
	off := i.RcvNxt.Add(1 + r.IntN(max(1, i.RcvWnd)))
	away := i.RcvNxt.Add(-1 - r.IntN(1<<30))
	switch r.IntN(7) {
	case 0:
		seg.Seq, seg.Flags = off, tcp.RST|pick(r, 0, tcp.ACK)
	case 1:
		seg.Seq, seg.Flags = away, tcp.RST
	case 2:
		seg.Seq, seg.Flags = tcp.Seq(r.Uint32()), tcp.SYN|pick(r, 0, tcp.ACK)
	case 3: // acknowledges what was never sent
		seg.Seq, seg.Ack, seg.Flags = i.RcvNxt, i.SndNxt.Add(1+r.IntN(1<<30)), tcp.ACK
	case 4: // or what is very old
		seg.Seq, seg.Ack, seg.Flags = i.RcvNxt, i.SndUna.Add(-(1<<30)-r.IntN(1<<29)), tcp.ACK
	case 5:
		seg.Seq, seg.Flags = i.RcvNxt, pick(r, 0, tcp.PSH, tcp.FIN, tcp.URG)
	case 6:
		seg.Seq, seg.Ack, seg.Flags = away, i.SndNxt, tcp.ACK|pick(r, 0, tcp.FIN, tcp.PSH)
	}
	if i.Timestamps && maybe(r, 2) {
		seg.Options.HasTimestamps, seg.Options.TSVal = true, r.Uint32()
		if seg.Seq == i.RcvNxt {
			seg.Options.HasTimestamps = false
		}
	}
	e.tell("<! %s", describe(&seg, 0))
	e.arrive(&seg, nil)
}
