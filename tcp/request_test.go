package tcp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// A Request is held to do what a TCB does that was opened passively and got the same SYN:
// the state table and the matrices say what that is.

// twins are such a TCB and such a Request in the hands of one peer.
type twins struct {
	testing.TB
	now   tcp.Time
	setup tcp.Setup

	tcb    tcp.TCB
	r      tcp.Request
	child  tcp.TCB // what the Request has become
	fate   tcp.Fate
	events [2][]string // what an observer is told of the TCB and of the Request
	counts [2]tallied  // and what they count

	iss, irs tcp.Seq
	story    []string
}

// newTwins lets both hear the SYN.
func newTwins(t testing.TB, p tcp.Params, syn tcp.Segment) *twins {
	t.Helper()
	p = p.WithDefaults()
	w := &twins{TB: t, now: tcp.Time(time.Hour), iss: 0xffffff00, irs: syn.Seq}
	w.setup = tcp.Setup{
		Params: &p, MSS: 1460, ISS: w.iss, TSOffset: 77, MaxGSO: 0,
		Endpoints: tcp.Endpoints{Local: endsOfTwins.Local, Remote: endsOfTwins.Remote},
	}
	own := w.setup
	params := [2]tcp.Params{p, p}
	for i := range params {
		w.counts[i] = make(tallied)
		params[i].Tally = w.counts[i]
	}
	own.Observer, own.Params = w.observer(0), &params[0]
	w.tcb.OpenPassive(w.now, own)
	first := syn
	w.tcb.Segment(w.now, &first)
	own.Observer, own.Params = w.observer(1), &params[1]
	var reply tcp.Segment
	w.r.Open(w.now, own, &syn, &reply)
	w.compare("the SYN", w.drain(&w.tcb), []string{text(&reply, 0)})
	return w
}

var endsOfTwins = tcp.Endpoints{Local: netip.MustParseAddrPort("10.77.0.2:80"), Remote: netip.MustParseAddrPort("10.77.0.1:40000")}

// observer notes all events of one of them but times that are not of the wire.
func (w *twins) observer(i int) tcp.Observer {
	return func(e *tcp.Event) {
		line := fmt.Sprintf("%v %v %v %v>%v", e.Kind, e.Why, e.Segment.Flags, e.From, e.To)
		w.events[i] = append(w.events[i], line)
	}
}

// text is a segment as far as both have to agree: an ACK in the handshake may offer any
// window.
func text(s *tcp.Segment, data int) string {
	win := fmt.Sprint(s.Window)
	if s.Flags&(tcp.SYN|tcp.RST) == 0 {
		win = "any"
	}
	return fmt.Sprintf("%d>%d %v seq %d ack %d win %s %+v, %d bytes, again %v", s.SrcPort, s.DstPort, s.Flags, s.Seq, s.Ack, win, s.Options, data, s.Again)
}

// drain takes what a TCB has to say.
func (w *twins) drain(t *tcp.TCB) (list []string) {
	var out tcp.Out
	for t.Next(w.now, &out) {
		list = append(list, text(&out.Segment, out.DataLen))
	}
	return list
}

func (w *twins) compare(what string, tcb, request []string) {
	w.Helper()
	w.story = append(w.story, fmt.Sprintf("%v %s: %v", w.now.Sub(tcp.Time(time.Hour)), what, tcb))
	if !slices.Equal(tcb, request) {
		w.Fatalf("%q\n%s\nthe TCB says\n%v\nthe Request\n%v", what, strings.Join(w.story, "\n"), tcb, request)
	}
	if !slices.Equal(w.events[0], w.events[1]) {
		w.Fatalf("%q\n%s\nan observer of the TCB is told\n%q\nof the Request\n%q", what, strings.Join(w.story, "\n"), w.events[0], w.events[1])
	}
	w.events = [2][]string{}
	if a, b := w.counts[0].String(), w.counts[1].String(); a != b {
		w.Fatalf("%q\n%s\nthe TCB has counted\n%s\nthe Request\n%s", what, strings.Join(w.story, "\n"), a, b)
	}
	state := w.tcb.State()
	switch w.fate {
	case tcp.RequestWaits:
		if state != tcp.StateSynReceived {
			w.Fatalf("%s\nthe TCB is in %v, the Request waits", strings.Join(w.story, "\n"), state)
		}
	case tcp.RequestOver:
		if state != tcp.StateListen && state != tcp.StateClosed {
			w.Fatalf("%s\nthe TCB is in %v, the Request is over", strings.Join(w.story, "\n"), state)
		}
	case tcp.RequestCompleted:
		w.compareInfo()
	}
}

// compareInfo: what the TCB that came of the Request knows is what the other knows, but for
// the window that it has promised and what was only noise.
func (w *twins) compareInfo() {
	w.Helper()
	a, b := w.tcb.Info(w.now), w.child.Info(w.now)
	a.RcvWnd, b.RcvWnd, a.DuplicateIn, b.DuplicateIn = 0, 0, 0, 0
	a.DataSegsIn, b.DataSegsIn = 0, 0
	if a != b {
		w.Fatalf("%s\nthe TCB knows\n%+v\nwhat came of the Request\n%+v", strings.Join(w.story, "\n"), a, b)
	}
}

// send lets a segment of the peer's arrive at both.
func (w *twins) send(seg tcp.Segment) {
	w.Helper()
	seg.SrcPort, seg.DstPort = 40000, 80
	one, two := seg, seg
	w.tcb.Segment(w.now, &one)
	said := w.drain(&w.tcb)
	var other []string
	switch w.fate {
	case tcp.RequestOver:
		return
	case tcp.RequestWaits:
		var reply tcp.Segment
		var answer bool
		if w.fate, answer = w.r.Segment(w.now, &two, &reply); answer {
			other = append(other, text(&reply, 0))
		}
		if w.fate == tcp.RequestCompleted {
			w.child.OpenRequest(w.now, w.setup, &w.r)
			w.child.Segment(w.now, &two)
			other = append(other, w.drain(&w.child)...)
		}
	case tcp.RequestCompleted:
		w.child.Segment(w.now, &two)
		other = w.drain(&w.child)
	}
	w.compare(fmt.Sprintf("%v seq %d ack %d len %d %+v", seg.Flags, seg.Seq-w.irs, seg.Ack-w.iss, len(seg.Payload), seg.Options), said, other)
}

// wait lets time pass, deadline by deadline.
func (w *twins) wait(d time.Duration) {
	w.Helper()
	end := w.now.Add(d)
	for {
		next := w.tcb.Deadline()
		mine := w.r.Deadline()
		switch w.fate {
		case tcp.RequestOver:
			w.now = end
			return
		case tcp.RequestCompleted:
			mine = w.child.Deadline()
		}
		if next != mine {
			w.Fatalf("%s\ndeadlines %v and %v", strings.Join(w.story, "\n"), next, mine)
		}
		if next > end {
			w.now = end
			return
		}
		w.now = next
		w.tick()
	}
}

func (w *twins) tick() {
	w.Helper()
	w.tcb.Tick(w.now)
	said := w.drain(&w.tcb)
	var other []string
	if w.fate == tcp.RequestCompleted {
		w.child.Tick(w.now)
		other = w.drain(&w.child)
	} else {
		var reply tcp.Segment
		fate, answer := w.r.Tick(w.now, &reply)
		if w.fate = fate; answer {
			other = append(other, text(&reply, 0))
		}
	}
	w.compare("time", said, other)
}

// write lets both applications write, where there are connections.
func (w *twins) write(n int) {
	w.Helper()
	if w.fate != tcp.RequestCompleted {
		return
	}
	w.tcb.Write(w.now, make([]byte, n))
	w.child.Write(w.now, make([]byte, n))
	w.compare("a write", w.drain(&w.tcb), w.drain(&w.child))
}

// randomSYN is a SYN with some options, and settings to meet it.
func randomSYN(rnd *rand.Rand) (p tcp.Params, syn tcp.Segment) {
	coin := func() bool { return rnd.IntN(2) == 0 }
	p.NoSACK, p.NoTimestamps, p.NoWindowScale = rnd.IntN(5) == 0, rnd.IntN(5) == 0, rnd.IntN(5) == 0
	p.ECN = tcp.ECNMode(rnd.IntN(3))
	if coin() {
		p.ReceiveBuffer = 4096 + rnd.IntN(200_000)
	}
	syn = tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: tcp.Seq(rnd.Uint32()), Flags: tcp.SYN, Window: uint16(rnd.Uint32())}
	if coin() {
		syn.Flags |= tcp.ECE | tcp.CWR
	}
	o := &syn.Options
	if coin() {
		o.MSS = uint16(rnd.IntN(9000))
	}
	o.SACKPermitted = coin()
	if o.HasWScale = coin(); o.HasWScale {
		o.WScale = uint8(rnd.IntN(20))
	}
	if o.HasTimestamps = coin(); o.HasTimestamps {
		o.TSVal = rnd.Uint32()
	}
	return p, syn
}

// randomSegment is one of a peer that may be honest, confused or somebody else.
func (w *twins) randomSegment(rnd *rand.Rand, syn *tcp.Segment) tcp.Segment {
	pick := func(of ...int) int { return of[rnd.IntN(len(of))] }
	seg := tcp.Segment{
		Seq: w.irs.Add(pick(0, 1, 1, 1, 1, 2, 100, -1, -500, 4000, 3_000_000)),
		Ack: w.iss.Add(pick(1, 1, 1, 1, 0, 2, -1, 70_000)), Flags: tcp.ACK, Window: uint16(rnd.Uint32()),
	}
	switch rnd.IntN(8) {
	case 0:
		seg.Flags = tcp.SYN
	case 1:
		seg.Flags = tcp.RST
	case 2:
		seg.Flags = tcp.Flags(rnd.Uint32())
	}
	seg.Flags &^= tcp.URG // a window of its own, which the promise of the TCB bounds
	// A TCB reports as duplicate what lies before the SYN, which is of no use to anybody.
	if rnd.IntN(3) == 0 && seg.Seq.After(w.irs) {
		seg.Payload = make([]byte, rnd.IntN(600))
	}
	if syn.Options.HasTimestamps && rnd.IntN(8) != 0 {
		seg.Options.HasTimestamps = true
		seg.Options.TSVal = syn.Options.TSVal + uint32(pick(0, 0, 1, 500, -1))
		seg.Options.TSEcr = uint32(w.now/1e6) + 77 - uint32(rnd.IntN(1500))
	}
	return seg
}

// TestRequestDoesWhatATCBDoes: whatever arrives whenever, from a passive open in
// SYN-RECEIVED nobody can tell whether a TCB or a Request is behind it, and afterwards not
// whether there was one.
func TestRequestDoesWhatATCBDoes(t *testing.T) {
	var fates [3]int
	for seed := range uint64(4000) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		p, syn := randomSYN(rnd)
		w := newTwins(t, p, syn)
		for range 1 + rnd.IntN(12) {
			switch rnd.IntN(6) {
			case 0:
				w.wait(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			case 1:
				w.write(1 + rnd.IntN(3000))
			default:
				w.send(w.randomSegment(rnd, &syn))
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.wait(2 * time.Minute)
		fates[w.fate]++
	}
	if fates[tcp.RequestOver] < 200 || fates[tcp.RequestCompleted] < 200 {
		t.Errorf("fates %v: not all were tried", fates)
	}
}

// TestMatrixOfRequests: the column of the passive SYN-RECEIVED, cell by cell.
func TestMatrixOfRequests(t *testing.T) {
	played := 0
	for _, c := range cells(t, segmentMatrix) {
		if c.place != passiveSynReceived[0] {
			continue
		}
		played++
		t.Run(c.event, func(t *testing.T) {
			w := newTwins(t, tcp.Params{}, tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 7000, Flags: tcp.SYN, Window: 65535})
			l := parseLine(c.event, numbers{seq: w.irs, ack: w.iss, names: map[string]int{"una": 0, "nxt": 1, "rcv": 1, "edge": 65536}})
			w.send(tcp.Segment{Seq: l.seq, Ack: l.ack, Flags: l.flags, Payload: make([]byte, l.dlen), Window: 65535, Urgent: uint16(max(l.urg, 0))})
			want := tcp.RequestWaits
			switch {
			case c.then == tcp.StateListen:
				want = tcp.RequestOver
			case c.moves:
				want = tcp.RequestCompleted
			}
			if w.fate != want {
				t.Errorf("fate %v, want %v: %s", w.fate, want, c.output)
			}
		})
	}
	if played < 40 {
		t.Errorf("%d cells were played", played)
	}
}
