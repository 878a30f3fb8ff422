package chaos

import (
	"slices"
	"testing"

	"github.com/a644562b/portico/tcp"
)

// The same seed is the same dialogue, whether or not anybody listens.
func TestASeedIsAlwaysTheSameDialogue(t *testing.T) {
	for seed := range uint64(30) {
		var one, two []string
		a := newWorld(seed, func(s string) { one = append(one, s) })
		errA := a.play()
		b := newWorld(seed, func(s string) { two = append(two, s) })
		errB := b.play()
		silent := newWorld(seed, nil)
		errC := silent.play()
		if !slices.Equal(one[1:], two[1:]) && !sameButPointers(one, two) || a.steps != silent.steps || a.now != silent.now {
			t.Fatalf("seed %d has played differently", seed)
		}
		if len(one) < 10 || (errA == nil) != (errB == nil) || (errA == nil) != (errC == nil) {
			t.Fatalf("seed %d: %d lines, %v, %v, %v", seed, len(one), errA, errB, errC)
		}
	}
}

// calmWorld is one in which two ends have talked and are in order.
func calmWorld(t *testing.T) *world {
	t.Helper()
	for seed := uint64(0); ; seed++ {
		w := newWorld(seed, nil)
		for w.steps < 400 && w.failed == nil && !w.over() {
			w.step()
			if w.script != nil || w.rash {
				break
			}
			a := w.ends[0]
			i := a.tcb.Info(w.now)
			if i.State == tcp.StateEstablished && i.SndNxt.Sub(i.SndUna) > 200 && i.SndWnd > 3000 && a.app.written > 2000 &&
				!a.check.pending && a.check.inside.timers[timerRetransmit] != tcp.Never {
				return w
			}
		}
	}
}

// Each invariant that an observer can break is broken by one, and found.
func TestEachInvariantCatchesItsViolation(t *testing.T) {
	segment := func(change func(*end, *tcp.Out)) func(*end) {
		return func(e *end) {
			i := e.tcb.Info(e.now)
			var out tcp.Out
			out.Segment = tcp.Segment{Seq: i.SndNxt, Ack: i.RcvNxt, Flags: tcp.ACK, Window: 65535}
			e.check.batchBegins()
			change(e, &out)
			e.check.segmentLeaves(&out)
		}
	}
	// data fills out with n bytes from off of the stream on.
	data := func(e *end, out *tcp.Out, off, n int) {
		out.Seq, out.DataLen = e.setup.ISS.Add(1+off), n
		out.Data = [][]byte{stream(e.name, off, n)}
	}
	snapshot := func(change func(*checker), check func(*checker)) func(*end) {
		return func(e *end) {
			e.check.info = e.tcb.Info(e.now)
			look(&e.tcb, &e.check.inside)
			change(&e.check)
			check(&e.check)
		}
	}
	una := func(e *end) int { return e.tcb.Info(e.now).SndUna.Sub(e.setup.ISS) - 1 }
	for _, tt := range []struct {
		name string
		rule int
		do   func(*end)
	}{
		{"nothing wrong, a segment", -1, segment(func(*end, *tcp.Out) {})},
		{"nothing wrong, data again", -1, segment(func(e *end, o *tcp.Out) { data(e, o, una(e), 20) })},
		{"nothing wrong, a look", -1, func(e *end) { e.check.after() }},
		{"SND.UNA beyond", 1, snapshot(func(c *checker) { c.info.SndUna = c.info.SndNxt + 1 }, (*checker).checkNumbers)},
		{"RCV.NXT back", 1, snapshot(func(c *checker) { c.info.RcvNxt-- }, (*checker).checkNumbers)},
		{"wrong bytes", 2, segment(func(e *end, o *tcp.Out) { data(e, o, una(e), 20); o.Data = [][]byte{stream("z", 0, 20)} })},
		{"a gap in the scoreboard", 3, snapshot(func(c *checker) { c.inside.runs[0].start++ }, (*checker).checkScoreboard)},
		{"a wrong sum", 3, snapshot(func(c *checker) { c.inside.flight++ }, (*checker).checkScoreboard)},
		{"a scoreboard too short", 3, snapshot(func(c *checker) { c.inside.nxt++ }, (*checker).checkScoreboard)},
		{"pieces that overlap", 4, snapshot(func(c *checker) { c.inside.hasOOO, c.inside.pieces = true, overlapping(c) }, (*checker).checkReassembly)},
		{"no pieces", 4, snapshot(func(c *checker) { c.inside.hasOOO, c.inside.ranges = true, nil }, (*checker).checkReassembly)},
		{"too much for the reader", 5, snapshot(func(c *checker) { c.info.ReceiveQueue += 1 << 30 }, (*checker).checkMemory)},
		{"too much to send", 5, snapshot(func(c *checker) { c.info.SendQueue += 1 << 30 }, (*checker).checkMemory)},
		{"the edge moves left", 6, segment(func(e *end, o *tcp.Out) { o.Window = 0; e.check.edge, e.check.hasEdge = o.Ack.Add(5000), true })},
		{"an ACK of something else", 7, segment(func(_ *end, o *tcp.Out) { o.Ack++ })},
		{"contradictory flags", 7, segment(func(_ *end, o *tcp.Out) { o.Flags |= tcp.SYN | tcp.FIN })},
		{"a bare ACK elsewhere", 7, segment(func(_ *end, o *tcp.Out) { o.Seq += 2 })},
		{"before SND.UNA", 7, segment(func(e *end, o *tcp.Out) { o.Seq, o.Flags = e.tcb.Info(e.now).SndUna-1, tcp.ACK|tcp.FIN })},
		{"larger than the MSS", 7, segment(func(e *end, o *tcp.Out) { e.check.mss = 10; data(e, o, una(e), 20) })},
		{"cut without a device that cuts", 7, segment(func(e *end, o *tcp.Out) { e.setup.MaxGSO = 0; data(e, o, una(e), 20); o.GSOSize = 10 })},
		{"beyond the window", 8, segment(func(e *end, o *tcp.Out) {
			i := e.tcb.Info(e.now)
			data(e, o, una(e), 20)
			o.Seq = i.SndUna.Add(i.SndWnd - 19)
		})},
		{"twice at once", 9, segment(func(e *end, o *tcp.Out) { data(e, o, una(e), 20); e.check.segmentLeaves(o) })},
		{"a storm", 9, func(e *end) { e.check.batchBegins(); e.check.inputs, e.check.bare = 1, 3; e.check.batchEnds("x") }},
		{"more than there is", 9, func(e *end) { e.check.batchBegins(); e.check.data = e.check.queue + 1; e.check.batchEnds("x") }},
		{"no retransmission timer", 11, snapshot(func(c *checker) {
			for k := range c.inside.timers {
				c.inside.timers[k] = tcp.Never
			}
		}, (*checker).checkTimers)},
		{"lost and left", 11, snapshot(func(c *checker) {
			c.inside.runs[0].state, c.inside.frto, c.inside.timers[timerPace] = runLost, 0, tcp.Never
			c.info.Cwnd, c.info.Flight = 1<<20, 0
		}, (*checker).checkStall)},
		{"unsent and possible", 11, snapshot(func(c *checker) {
			c.inside.runs, c.inside.frto, c.inside.timers[timerPace] = nil, 0, tcp.Never
			c.info.Cwnd, c.info.Flight, c.info.UnsentQueue, c.info.SndWnd = 1<<20, 0, 1<<20, 1<<20
		}, (*checker).checkStall)},
		{"an arrow that is not there", 12, func(e *end) {
			e.check.hears(&tcp.Event{Kind: tcp.EventState, From: e.check.state, To: tcp.StateTimeWait})
		}},
		{"two reactions to ECN", 15, func(e *end) {
			ev := tcp.Event{Kind: tcp.EventCwnd, Why: tcp.WhyECN}
			e.check.hears(&ev)
			e.check.hears(&ev)
		}},
		{"a timer of the dead", 13, snapshot(func(c *checker) { c.info.State, c.info.Timer = tcp.StateClosed, nameOfFirst(c) }, (*checker).checkTimers)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := calmWorld(t)
			tt.do(w.ends[0])
			got := -1
			if w.failed != nil {
				got = w.failed.rule
			}
			if got != tt.rule {
				t.Errorf("found a breach of %d, want %d: %v", got, tt.rule, w.failed)
			}
		})
	}
}

func overlapping(c *checker) []piece {
	at := c.inside.rcvNxt
	return []piece{{at.Add(1), at.Add(5), 8}, {at.Add(4), at.Add(6), 8}}
}

func nameOfFirst(c *checker) string {
	first := 0
	for k := range c.inside.timers {
		if c.inside.timers[k] < c.inside.timers[first] {
			first = k
		}
	}
	return timerNames[first]
}

// A world whose users want nothing extraordinary ends as its users want, and in time.
func TestJudgeWantsEverythingDelivered(t *testing.T) {
	for seed := uint64(0); ; seed++ {
		w := newWorld(seed, nil)
		if w.script != nil || w.rash || w.budget != nil {
			continue
		}
		if err := w.play(); err != nil {
			t.Fatal(err)
		}
		if w.now.Sub(w.begun) <= 0 || w.now.Sub(w.begun) > chaosTime+calmTime {
			t.Errorf("it took %v", w.now.Sub(w.begun))
		}
		w.ends[1].app.read--
		if w.judge(); w.failed == nil || w.failed.rule != 14 {
			t.Errorf("a byte is missing, and the verdict is %v", w.failed)
		}
		return
	}
}

// sameButPointers compares two stories whose settings print addresses of memory.
func sameButPointers(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	different := 0
	for i := range a {
		if a[i] != b[i] {
			different++
		}
	}
	return different <= 2
}
