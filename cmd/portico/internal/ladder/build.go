package ladder

import (
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

// Build draws the ladder of a recording.
func Build(t record.Trace, cfg Config) *Ladder {
	cfg = cfg.withDefaults()
	b := &builder{
		trace:  &t,
		peer:   newPeer(&t),
		notes:  noter{gapSaid: make(map[bool]bool), shut: make(map[bool]bool)},
		ladder: &Ladder{Serial: t.Serial, Totals: t.Totals, TimeWait: 2 * cfg.MSL},
	}
	ours := End{Name: cfg.Ours, Addr: t.Local}
	peer := End{Name: cfg.Peer, Addr: t.Remote, Inferred: true, Initial: b.peer.name()}
	if t.Passive {
		b.ours = tcp.StateListen
	}
	ours.Initial = b.ours.String()
	b.findISNs(&ours, &peer)
	if t.Passive {
		b.ladder.Client, b.ladder.Server = peer, ours
	} else {
		b.ladder.Client, b.ladder.Server = ours, peer
	}
	b.ladder.Client.Symbol, b.ladder.Server.Symbol = "x", "y"
	b.walk()
	b.split()
	return b.ladder
}

// builder walks a recording once, with the states of both ends as it goes.
type builder struct {
	trace  *record.Trace
	ladder *Ladder
	ours   tcp.State
	peer   peer
	notes  noter
	rows   []row
	start  tcp.Time
}

// row is a Row with what deciding on phases takes.
type row struct {
	Row
	flags  tcp.Flags
	synced bool    // both ends synchronized after it
	ended  tcp.Why // with over
	over   bool    // our end became CLOSED, and no segment says so
}

// findISNs finds the initial sequence numbers in the SYNs.
func (b *builder) findISNs(ours, peer *End) {
	for i := range b.trace.Entries {
		e := &b.trace.Entries[i]
		if e.Kind == tcp.EventState || !e.Flags.Has(tcp.SYN) {
			continue
		}
		end := ours
		if e.Kind == tcp.EventSegmentIn {
			end = peer
		}
		if !end.HasISN {
			end.HasISN, end.ISN = true, uint32(e.Seq)
		}
	}
}

func (b *builder) walk() {
	entries := b.trace.Entries
	for i := range entries {
		if e := &entries[i]; e.Kind != tcp.EventState {
			b.start = e.Time
			break
		}
	}
	for i := 0; i < len(entries); {
		e := &entries[i]
		if e.Skipped != nil {
			b.add(row{Row: Row{At: b.at(e), Gap: e.Skipped}})
		}
		switch e.Kind {
		case tcp.EventState:
			i += b.stateRow(entries[i:])
		default:
			i += b.segmentRow(entries[i:])
		}
	}
}

// at is the time of an entry on the ladder; a state entered before the first segment
// counts as simultaneous with it.
func (b *builder) at(e *record.Entry) time.Duration { return max(0, e.Time.Sub(b.start)) }

func (b *builder) add(r row) {
	ours, peer := b.ours.String(), b.peer.name()
	if b.trace.Passive {
		r.Client, r.Server = peer, ours
	} else {
		r.Client, r.Server = ours, peer
	}
	r.synced = b.ours.Synchronized() && b.peer.state.Synchronized()
	b.rows = append(b.rows, r)
}

// segmentRow adds the row of the segment at the head of entries, with the changes of
// state that its arrival caused, and returns how many entries that took.
func (b *builder) segmentRow(entries []record.Entry) int {
	e := &entries[0]
	in := e.Kind == tcp.EventSegmentIn
	b.notes.begin(b, e)
	taken := 1
	if in {
		b.peer.received(e)
		for taken < len(entries) && e.Caused(&entries[taken]) {
			b.ours = entries[taken].To
			taken++
		}
	} else {
		b.peer.sent(e)
	}
	r := row{Row: Row{At: b.at(e), From: b.sender(in), Segment: b.segment(e)}, flags: e.Flags}
	r.Notes = b.notes.end(b, e, entries[1:taken])
	r.Plain = plain(e, taken) && b.notes.plain
	b.add(r)
	return taken
}

func (b *builder) sender(in bool) string {
	if in == b.trace.Passive {
		return FromClient
	}
	return FromServer
}

// plain: data or an ACK, and nothing else about it.
func plain(e *record.Entry, taken int) bool {
	return taken == 1 && e.Flags&(tcp.SYN|tcp.FIN|tcp.RST|tcp.URG) == 0 && e.Why == tcp.WhyNone &&
		e.Drop == tcp.WhyNone && e.Window != 0
}

// stateRow takes a change of state that no arrival explains. The segment that it
// sends, if that comes next, shows it; otherwise it gets a row of its own.
func (b *builder) stateRow(entries []record.Entry) int {
	s := &entries[0]
	b.ours = s.To
	const turns = tcp.SYN | tcp.FIN | tcp.RST
	if len(entries) > 1 && entries[1].Kind == tcp.EventSegmentOut && entries[1].Flags&turns != 0 {
		b.notes.pending = s.Why
		return 1
	}
	if s.To == tcp.StateListen || s.To == tcp.StateSynSent {
		return 1 // the initial state, or the SYN was left out
	}
	r := row{Row: Row{At: b.at(s), Notes: b.notes.state(b, s)}}
	if s.To == tcp.StateClosed {
		r.over, r.ended = true, s.Why
	}
	b.add(r)
	return 1
}

// split cuts the rows into phases.
func (b *builder) split() {
	opened := 0
	for opened < len(b.rows) && !b.rows[opened].synced && !closes(&b.rows[opened]) {
		opened++
	}
	if opened < len(b.rows) && b.rows[opened].synced {
		opened++ // the row that completed it
	}
	closing := opened
	for closing < len(b.rows) && !closes(&b.rows[closing]) {
		closing++
	}
	if b.peer.hints.refused || opened == 0 {
		opened, closing = len(b.rows), len(b.rows)
	}
	b.phase(b.openTitle(), b.rows[:opened])
	b.phase("data", b.rows[opened:closing])
	b.phase(b.closeTitle(b.rows[closing:]), b.rows[closing:])
}

func closes(r *row) bool { return r.flags&(tcp.FIN|tcp.RST) != 0 || r.over }

func (b *builder) phase(title string, rows []row) {
	if len(rows) == 0 {
		return
	}
	p := Phase{Title: title, Rows: make([]Row, len(rows))}
	for i := range rows {
		p.Rows[i] = rows[i].Row
	}
	b.ladder.Phases = append(b.ladder.Phases, p)
}

func (b *builder) openTitle() string {
	switch h := b.peer.hints; {
	case h.refused:
		return "handshake, refused"
	case h.unanswered:
		return "handshake, unanswered"
	case h.simultaneousOpen:
		return "simultaneous open"
	}
	return "three-way handshake"
}

func (b *builder) closeTitle(rows []row) string {
	var fins, segments int
	var fromClient, fromServer, reset bool
	for i := range rows {
		r := &rows[i]
		if r.Segment == nil {
			continue
		}
		segments++
		reset = reset || r.flags.Has(tcp.RST)
		if r.flags.Has(tcp.FIN) {
			fins++
			fromClient = fromClient || r.From == FromClient
			fromServer = fromServer || r.From == FromServer
		}
	}
	switch {
	case reset && fins == 0:
		return "reset"
	case reset:
		return "teardown, cut short by a reset"
	case fins == 0 && len(rows) > 0:
		return "the end: " + rows[0].ended.String()
	case b.peer.hints.simultaneousClose:
		return "simultaneous close"
	case !fromClient || !fromServer:
		return "half-close"
	case segments == 3:
		return "four-way teardown, in three segments"
	}
	return "four-way teardown"
}
