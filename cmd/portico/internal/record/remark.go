package record

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
)

// Remarks hold, for a short while, what segments did to their connections, until somebody
// writes the packets down that carried them: a capture of the wire. Only segments that
// changed a state, were sent again or were not accepted have one.
type Remarks struct {
	mu   sync.Mutex
	said map[packetKey]string
	old  map[packetKey]string // the generation before
}

// remarksKept is how many remarks a generation holds; two generations are kept. A remark
// that nobody asked for, because its packet was not captured, is forgotten with its own.
const remarksKept = 4096

// NewRemarks returns an empty set of remarks.
func NewRemarks() *Remarks { return &Remarks{said: make(map[packetKey]string)} }

// packetKey tells a packet from its neighbours.
type packetKey struct {
	out           bool
	local, remote netip.AddrPort
	seq, ack      tcp.Seq
	flags         tcp.Flags
}

// markFlags are the control bits that stay with the packet that a super-segment's
// remark belongs to.
const markFlags = tcp.SYN | tcp.FIN | tcp.RST

func (r *Remarks) add(k packetKey, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.said[k]; ok {
		text = before + "; " + text
	} else if len(r.said) >= remarksKept {
		r.old, r.said = r.said, make(map[packetKey]string)
	}
	r.said[k] = text
}

func (r *Remarks) take(k packetKey) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range []map[packetKey]string{r.said, r.old} {
		if text, ok := m[k]; ok {
			delete(m, k)
			return text
		}
	}
	return ""
}

// Comment returns the remark on an IP packet that was received, or sent if out, and
// forgets it; "" if there is none.
func (r *Remarks) Comment(out bool, packet []byte) string {
	var h ip.Header
	payload, drop := ip.Parse(packet, &h)
	if drop != ip.DropNone || h.Protocol != ip.TCP {
		return ""
	}
	var seg tcp.Segment
	if tcp.Parse(payload, &seg) != nil {
		return ""
	}
	k := packetKey{
		out: out, seq: seg.Seq, ack: seg.Ack, flags: seg.Flags & markFlags,
		local:  netip.AddrPortFrom(h.Dst, seg.DstPort),
		remote: netip.AddrPortFrom(h.Src, seg.SrcPort),
	}
	if out {
		k.local, k.remote = k.remote, k.local
	}
	return r.take(k)
}

// remarker follows one connection and makes its remarks.
type remarker struct {
	remarks *Remarks
	id      ID
	lastIn  Entry     // the segment that arrived last
	key     packetKey // its packet
	pending []string  // changes of state that the next SYN, FIN or RST of ours shows
}

func (m *remarker) observe(ev *tcp.Event) {
	switch ev.Kind {
	case tcp.EventSegmentIn:
		m.lastIn = segmentEntry(ev)
		m.key = m.keyOf(&m.lastIn)
	case tcp.EventDrop:
		m.remarks.add(m.key, "not accepted: "+ev.Why.String())
	case tcp.EventState:
		m.state(ev)
	case tcp.EventSegmentOut:
		e := segmentEntry(ev)
		var words []string
		if e.Flags&markFlags != 0 {
			words, m.pending = m.pending, nil
		}
		if e.Again {
			words = append(words, "sent again: "+e.Why.String())
		} else if e.Why != tcp.WhyNone {
			words = append(words, e.Why.String())
		}
		if len(words) > 0 {
			m.remarks.add(m.keyOf(&e), strings.Join(words, "; "))
		}
	}
}

func (m *remarker) state(ev *tcp.Event) {
	text := fmt.Sprintf("%s → %s", ev.From, ev.To)
	s := Entry{Time: ev.Time, Kind: ev.Kind, Why: ev.Why, From: ev.From, To: ev.To}
	switch {
	case m.lastIn.Caused(&s):
		m.remarks.add(m.key, text)
	case ev.To != tcp.StateListen && len(m.pending) < 4:
		m.pending = append(m.pending, text)
	}
}

// keyOf is the key of the packet that shows a segment: of a super-segment's packets the
// last if there is a FIN, which only that one carries, else the first.
func (m *remarker) keyOf(e *Entry) packetKey {
	k := packetKey{
		out: e.Kind == tcp.EventSegmentOut, local: m.id.Local, remote: m.id.Remote,
		seq: e.Seq, ack: e.Ack, flags: e.Flags & markFlags,
	}
	if n := e.Packets(); n > 1 && e.Flags.Has(tcp.FIN) {
		k.seq = e.Seq.Add((n - 1) * int(e.GSOSize))
	}
	return k
}
