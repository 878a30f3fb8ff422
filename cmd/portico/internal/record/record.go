// Package record keeps what happened to each connection, so that a person can ask
// for it afterwards: the first and the last segments with the changes of state and
// the retransmissions between them, in bounded memory, from the events of package
// tcp.
//
// It does not interpret: what the peer's state must have been, which numbers to
// write relative to which and what to say about it is package ladder's.
package record

import (
	"sync"
	"time"

	"github.com/a644562b/portico/tcp"
)

// How much a recording keeps. With these a recording never exceeds about 20 KiB, and
// that of a connection of ten segments is below 1 KiB.
const (
	// FirstSegments and LastSegments are how many events are kept from the beginning
	// and the end.
	FirstSegments = 64
	LastSegments  = 192
	// MaxTurns is how many changes of state, SYNs, FINs and RSTs are kept from between
	// those, MaxRepairs how many retransmissions and drops.
	MaxTurns   = 24
	MaxRepairs = 40
)

// Entry is one event that was kept: a segment or a change of state.
type Entry struct {
	Time tcp.Time
	Kind tcp.EventKind // EventState, EventSegmentIn or EventSegmentOut
	// Why is the event's own reason; Drop, on EventSegmentIn, why the segment was not
	// accepted.
	Why, Drop tcp.Why
	// From and To are as in tcp.Event.
	From, To tcp.State
	Flags    tcp.Flags
	GSOSize  uint16
	Seq, Ack tcp.Seq
	Window   int32
	DataLen  int32
	Again    bool // it was sent before, for whatever reason; of those that arrive nobody knows
	// Options is nil where the segment carries no more than timestamps.
	Options *tcp.Options
	// Skipped is what was left out right before this entry; nil for nothing.
	Skipped *Gap
}

// Packets is how many packets on the wire the segment stands for.
func (e *Entry) Packets() int { return packets(int(e.DataLen), int(e.GSOSize)) }

func packets(dataLen, gsoSize int) int {
	if gsoSize == 0 || dataLen <= gsoSize {
		return 1
	}
	return (dataLen + gsoSize - 1) / gsoSize
}

// Gap counts segments that were left out of a recording.
type Gap struct {
	SegmentsIn  uint64 `json:"segs_in"`
	SegmentsOut uint64 `json:"segs_out"`
	BytesIn     uint64 `json:"bytes_in"` // data
	BytesOut    uint64 `json:"bytes_out"`
	// Retransmissions are those among SegmentsOut.
	Retransmissions uint64 `json:"retransmissions"`
}

func (g *Gap) add(e *Entry) {
	switch e.Kind {
	case tcp.EventSegmentIn:
		g.SegmentsIn += uint64(e.Packets())
		g.BytesIn += uint64(e.DataLen)
	case tcp.EventSegmentOut:
		g.SegmentsOut += uint64(e.Packets())
		g.BytesOut += uint64(e.DataLen)
		if e.Again {
			g.Retransmissions++
		}
	}
}

// Totals count everything since the connection began, kept or not.
type Totals struct {
	Gap
	// Dropped are the arriving segments that were not accepted.
	Dropped uint64 `json:"dropped"`
	// RTTSamples is the number of round trips measured; MinRTT and SRTT are 0 before
	// the first.
	RTTSamples uint64        `json:"rtt_samples"`
	MinRTT     time.Duration `json:"min_rtt_ns"`
	SRTT       time.Duration `json:"srtt_ns"`
	// Timeouts and Recoveries are how often the retransmission timer or duplicate ACKs
	// cut the congestion window.
	Timeouts   uint64 `json:"timeouts"`
	Recoveries uint64 `json:"recoveries"`
}

// Conn records one connection. Its method Observe is the connection's
// tcp.Observer; the others may be called at any time.
type Conn struct {
	ID

	mu     sync.Mutex
	state  tcp.State
	owes   bool // the FIN that led to TIME-WAIT has not been acknowledged yet
	began  tcp.Time
	last   tcp.Time
	totals Totals

	head []Entry // the first, at most FirstSegments
	mid  []Entry // what mattered of those that fell out of tail
	tail []Entry // a ring of the last, at most LastSegments
	next int     // where the ring's oldest stands once it is full
	gap  Gap     // left out since the last of mid

	turns, repairs int
}

// Observe takes one event. It returns true when the connection has ended with it.
func (c *Conn) Observe(ev *tcp.Event) (ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.head) == 0 {
		c.began = ev.Time
	}
	c.last = ev.Time
	switch ev.Kind {
	case tcp.EventState:
		c.state = ev.To
		c.owes = ev.To == tcp.StateTimeWait && ev.From != tcp.StateClosing
		c.keep(Entry{Time: ev.Time, Kind: ev.Kind, Why: ev.Why, From: ev.From, To: ev.To})
		return ev.To == tcp.StateClosed
	case tcp.EventSegmentIn, tcp.EventSegmentOut:
		if ev.Kind == tcp.EventSegmentOut {
			c.owes = false
		}
		e := segmentEntry(ev)
		c.totals.add(&e)
		c.keep(e)
	case tcp.EventDrop:
		c.totals.Dropped++
		if e := c.lastSegmentIn(); e != nil {
			e.Drop = ev.Why
		}
	case tcp.EventRTT:
		c.totals.addRTT(ev)
	case tcp.EventCwnd:
		switch ev.Why {
		case tcp.WhyRTO:
			c.totals.Timeouts++
		case tcp.WhyRecovery:
			c.totals.Recoveries++
		}
	}
	return false
}

func (t *Totals) addRTT(ev *tcp.Event) {
	if t.RTTSamples == 0 || ev.RTT < t.MinRTT {
		t.MinRTT = ev.RTT
	}
	t.RTTSamples++
	t.SRTT = ev.SRTT
}

func segmentEntry(ev *tcp.Event) Entry {
	s := &ev.Segment
	e := Entry{
		Time: ev.Time, Kind: ev.Kind, Why: ev.Why, From: ev.From, To: ev.From,
		Flags: s.Flags, GSOSize: uint16(s.GSOSize), Seq: s.Seq, Ack: s.Ack,
		Window: int32(s.Window), DataLen: int32(s.DataLen), Again: s.Again,
	}
	if s.Flags.Has(tcp.SYN) || s.Options.SACKBlocks > 0 {
		o := s.Options
		e.Options = &o
	}
	return e
}

// keep files an entry under the first, or else the last; what the last has no room
// for any more is counted, and kept if it mattered.
func (c *Conn) keep(e Entry) {
	if len(c.head) < FirstSegments {
		c.head = append(c.head, e)
		return
	}
	if len(c.tail) < LastSegments {
		c.tail = append(c.tail, e)
		return
	}
	c.evict(c.tail[c.next])
	c.tail[c.next] = e
	c.next = (c.next + 1) % LastSegments
}

func (c *Conn) evict(e Entry) {
	switch {
	case e.Kind == tcp.EventState || e.Flags&(tcp.SYN|tcp.FIN|tcp.RST) != 0:
		if c.turns < MaxTurns {
			c.turns++
			c.keepMid(e)
			return
		}
	case e.Again || e.Drop != tcp.WhyNone:
		if c.repairs < MaxRepairs {
			c.repairs++
			c.keepMid(e)
			return
		}
	}
	c.gap.add(&e)
}

func (c *Conn) keepMid(e Entry) {
	if c.gap != (Gap{}) {
		g := c.gap
		e.Skipped, c.gap = &g, Gap{}
	}
	c.mid = append(c.mid, e)
}

// lastSegmentIn is the entry that an EventDrop speaks of: the segment that arrived
// last, nil if it is no longer kept.
func (c *Conn) lastSegmentIn() *Entry {
	for i := 1; i <= len(c.tail); i++ {
		if e := &c.tail[(c.next-i+len(c.tail))%len(c.tail)]; e.Kind == tcp.EventSegmentIn {
			return e
		}
	}
	for i := len(c.head) - 1; i >= 0 && len(c.tail) == 0; i-- {
		if e := &c.head[i]; e.Kind == tcp.EventSegmentIn {
			return e
		}
	}
	return nil
}

// Caused reports whether the change of state s, the next entry after the arrival of e, is
// that arrival's doing and not a call's or a timer's.
func (e *Entry) Caused(s *Entry) bool {
	if e.Kind != tcp.EventSegmentIn || s.Kind != tcp.EventState || s.Skipped != nil {
		return false
	}
	switch s.To {
	case tcp.StateSynReceived, tcp.StateEstablished, tcp.StateCloseWait, tcp.StateFinWait2, tcp.StateClosing,
		tcp.StateTimeWait:
		return true
	case tcp.StateClosed, tcp.StateListen:
		return s.Time == e.Time && (s.Why == tcp.WhyNone || s.Why == tcp.WhyReset)
	}
	return false // SYN-SENT, FIN-WAIT-1, LAST-ACK: a call's
}

// Trace is a recording as it stands at one moment.
type Trace struct {
	ID
	State       tcp.State
	Began, Last tcp.Time // of the first event and the last
	Totals      Totals
	Entries     []Entry // in the order in which they happened
}

// Trace returns a copy of what has been kept.
func (c *Conn) Trace() Trace {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := Trace{ID: c.ID, State: c.state, Began: c.began, Last: c.last, Totals: c.totals}
	t.Entries = make([]Entry, 0, len(c.head)+len(c.mid)+len(c.tail))
	t.Entries = append(t.Entries, c.head...)
	t.Entries = append(t.Entries, c.mid...)
	first := len(t.Entries)
	t.Entries = append(t.Entries, c.tail[c.next:]...)
	t.Entries = append(t.Entries, c.tail[:c.next]...)
	if c.gap != (Gap{}) {
		g := c.gap
		t.Entries[first].Skipped = &g
	}
	return t
}

// Summary is what a list of recordings says of one.
type Summary struct {
	ID
	State tcp.State
	// Settled: no segment is to be expected any more. It is CLOSED, or in TIME-WAIT and
	// has acknowledged the peer's FIN.
	Settled     bool
	Began, Last tcp.Time
	Totals      Totals
}

// Summary returns the recording without its entries.
func (c *Conn) Summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	settled := c.state == tcp.StateClosed || c.state == tcp.StateTimeWait && !c.owes
	return Summary{ID: c.ID, State: c.state, Settled: settled, Began: c.began, Last: c.last, Totals: c.totals}
}
