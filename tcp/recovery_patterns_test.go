package tcp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The classic loss patterns, each as a table: what is lost, and what the sender sends
// after its flight, at these times, and nothing else.

// road is a network and a receiver in front of a dialogue's TCB: a segment that is not
// lost is acknowledged one round trip after it left, by an ACK of its own. The receiver
// reports what it holds as RFC 2018, section 4, and RFC 2883 say.
type road struct {
	*dialogue
	start  tcp.Time
	lose   map[int]int // by segment number from 1 on: how many of its copies are lost
	events []arrival
	cum    int      // next number expected
	held   [][2]int // ranges beyond cum, the newest first
	rtt    time.Duration
	said   []string      // what was sent after the flight
	echoes bool          // D-SACKs are sent
	gap    time.Duration // between two segments at the bottleneck
	free   tcp.Time      // when the bottleneck has passed the last one
}

type arrival struct {
	at       tcp.Time
	seq, len int
	ts       uint32
}

// newRoad sends a flight of n segments of which some are lost, and has more further
// segments to send after it.
func newRoad(t *testing.T, n, more int, lose []int, opts ...option) *road {
	t.Helper()
	opts = append([]option{withParams(tcp.Params{InitialWindow: n})}, opts...)
	d := established(t, opts...)
	r := &road{dialogue: d, lose: map[int]int{}, cum: 1, rtt: rtt, gap: gap, start: d.now, echoes: d.info().SACK}
	for _, no := range lose {
		r.lose[no]++
	}
	d.write((n + more) * d.info().SndMSS)
	r.absorb()
	r.said = nil
	return r
}

// gap is how far apart two segments leave the bottleneck of a road.
const gap = 100 * time.Microsecond

// absorb puts what the TCB has said onto the road.
func (r *road) absorb() {
	r.Helper()
	mss := r.info().SndMSS
	for _, u := range r.overheard() {
		text := fmt.Sprintf("%v %d(%d)", u.at.Sub(r.start), u.Seq.Sub(r.iss), len(u.Payload))
		r.said = append(r.said, text)
		cut := u.GSOSize
		if cut == 0 {
			cut = mss
		}
		for off := 0; off < len(u.Payload); off += cut {
			seq := u.Seq.Sub(r.iss) + off
			n := min(cut, len(u.Payload)-off)
			at := max(u.at.Add(r.rtt), r.free)
			r.free = at.Add(r.gap) // what is lost is lost behind the bottleneck
			if no := (seq-1)/mss + 1; r.lose[no] > 0 {
				r.lose[no]--
				continue
			}
			r.events = append(r.events, arrival{at, seq, n, u.Options.TSVal})
		}
	}
}

// drive lets everything happen until nothing is under way and no timer runs, or an hour.
func (r *road) drive() {
	r.Helper()
	for r.now < r.start.Add(time.Hour) {
		r.absorb()
		dl := r.tcb.Deadline()
		if len(r.events) == 0 && dl == tcp.Never {
			return
		}
		if len(r.events) == 0 || dl < r.events[0].at {
			r.wait(dl.Sub(r.now))
			continue
		}
		a := r.events[0]
		r.events = r.events[1:]
		r.now = a.at
		r.arrive(a)
	}
}

// arrive is a segment at the receiver, whose ACK is at the TCB at once.
func (r *road) arrive(a arrival) {
	r.Helper()
	from, to := a.seq, a.seq+a.len
	dsack := ""
	switch in := r.rangeOf(from, to); {
	case to <= r.cum:
		dsack = fmt.Sprintf(" %d:%d", from, to)
	case in >= 0:
		dsack = fmt.Sprintf(" %d:%d", from, to)
		r.held = slices.Insert(slices.Delete(slices.Clone(r.held), in, in+1), 0, r.held[in])
	default:
		r.hold(from, to)
	}
	if !r.echoes {
		dsack = ""
	}
	line := fmt.Sprintf(". 1 ack %d", r.cum)
	blocks := dsack
	if r.info().SACK {
		for _, h := range r.held {
			if strings.Count(blocks, ":") < 3 {
				blocks += fmt.Sprintf(" %d:%d", h[0], h[1])
			}
		}
	}
	var opts []string
	if r.peer.ts {
		opts = append(opts, fmt.Sprintf("nop,nop,TS %d %d", r.tsval(), a.ts))
	}
	if blocks != "" {
		opts = append(opts, "nop,nop,sack"+blocks)
	}
	if len(opts) > 0 {
		line += " <" + strings.Join(opts, ",") + ">"
	}
	r.send(line)
	r.absorb()
}

func (r *road) rangeOf(from, to int) int {
	return slices.IndexFunc(r.held, func(h [2]int) bool { return h[0] <= from && to <= h[1] })
}

// hold takes [from, to) and joins it with what it touches.
func (r *road) hold(from, to int) {
	var rest [][2]int
	for _, h := range r.held {
		if h[1] < from || to < h[0] {
			rest = append(rest, h)
			continue
		}
		from, to = min(from, h[0]), max(to, h[1])
	}
	if from <= r.cum {
		r.cum = max(r.cum, to)
	} else {
		rest = append([][2]int{{from, to}}, rest...)
	}
	r.held = rest
}

// expectSaid compares all that was sent after the flight.
func (r *road) expectSaid(want ...string) {
	r.Helper()
	if !slices.Equal(r.said, want) {
		r.fail("after the flight was sent\n%s\nwant\n%s", strings.Join(r.said, "\n"), strings.Join(want, "\n"))
	}
}

// span is the numbers from one to another.
func span(from, to int) (ns []int) {
	for ; from <= to; from++ {
		ns = append(ns, from)
	}
	return ns
}

// sends writes "TIME SEQ(LEN)" for whole segments by number: sends("10ms", 1, 2).
func sends(at string, mss int, nos ...int) (lines []string) {
	for _, no := range nos {
		lines = append(lines, fmt.Sprintf("%s %d(%d)", at, (no-1)*mss+1, mss))
	}
	return lines
}

// TestClassicLossPatterns. A flight of n segments leaves at 0; the ACK of segment k is
// back at 10 ms and k-1 tenths, if it was not lost. RACK finds what is lost with the
// third report (RFC 8985, 6.2), proportional rate reduction says how much goes with each
// ACK (RFC 9937, with ssthresh at seven tenths of the flight, RFC 9438, 4.6), a tail is
// probed for after two round trips (RFC 8985, 7.2).
func TestClassicLossPatterns(t *testing.T) {
	type at struct {
		when string
		nos  []int
	}
	for _, c := range []struct {
		name    string
		n, more int
		lose    []int
		want    []at
	}{
		{"1 of 10", 10, 0, []int{1}, []at{{"10.3ms", []int{1}}}},
		// Three reports at 10.6 ms. In segments: RecoverFS 28, ssthresh 21; the ACKs let
		// go as DELIVERED * 21/28 exceeds what was sent, and below 21 one for one.
		{"1-4 of 30", 30, 0, span(1, 4), []at{
			{"10.6ms", []int{1}}, {"10.8ms", []int{2}}, {"10.9ms", []int{3}}, {"11.2ms", []int{4}},
		}},
		// The report of 17 shows 11-16 to be lost: 16 in flight, two go, then one an ACK.
		{"1-4 and 11-16 of 30", 30, 0, append(span(1, 4), span(11, 16)...), []at{
			{"10.6ms", []int{1}}, {"10.8ms", []int{2}}, {"10.9ms", []int{3}}, {"11.6ms", []int{4, 11}},
			{"11.7ms", []int{12}}, {"11.8ms", []int{13}}, {"11.9ms", []int{14}}, {"12ms", []int{15}}, {"12.1ms", []int{16}},
		}},
		// The retransmission of 1, sent at 10.3 ms, is lost too: 13, sent at 10.6 ms, is
		// reported at 20.6 ms, and what was sent before it has had its time.
		{"retransmission lost", 10, 10, []int{1, 1}, []at{
			{"10.1ms", []int{11}}, {"10.2ms", []int{12}}, // limited transmit
			{"10.3ms", []int{1}}, {"10.6ms", []int{13}}, {"10.7ms", []int{14}}, {"10.8ms", []int{15}}, {"10.9ms", []int{16}},
			{"20.1ms", []int{17}}, {"20.2ms", []int{18}}, {"20.6ms", []int{1, 19}}, {"20.7ms", []int{20}},
		}},
		// One report: the reordering window, a quarter of the round trip of 10 ms, passes
		// first. Then PRR doubles what is out with each round trip (its slow-start bound).
		{"all but the last of 30", 30, 0, span(1, 29), nil},
	} {
		for _, m := range []struct {
			name string
			mss  int
			opts []option
		}{
			{"SACK", 1000, []option{withSACK}},
			{"SACK and timestamps", 988, []option{withSACK, withTS}},
			{"super-segments", 1000, []option{withSACK, withGSO(64 << 10)}},
		} {
			t.Run(c.name+"/"+m.name, func(t *testing.T) {
				r := newRoad(t, c.n, c.more, c.lose, m.opts...)
				r.drive()
				if c.want != nil {
					var want []string
					for _, a := range c.want {
						want = append(want, sends(a.when, m.mss, a.nos...)...)
					}
					r.expectSaid(want...)
				}
				i := r.info()
				if r.cum != (c.n+c.more)*m.mss+1 || i.SendQueue != 0 {
					r.fail("the receiver has %d bytes, %d wait to be acknowledged", r.cum-1, i.SendQueue)
				}
				if i.Timeouts != 0 || i.TailProbes != 0 || i.FastRecovery != 1 || i.Undos != 0 {
					r.fail("%d timeouts, %d probes, %d recoveries, %d undos", i.Timeouts, i.TailProbes, i.FastRecovery, i.Undos)
				}
				if want := uint64(len(c.lose)); i.RetransSegs != want || i.BytesRetrans != want*uint64(m.mss) {
					r.fail("%d segments sent again, %d bytes; %d were lost", i.RetransSegs, i.BytesRetrans, want)
				}
			})
		}
	}
}

// TestTailLossPatterns: the last, and the last two, of 30: by a probe and not a timeout
// (RFC 8985, 7). After the ACK of all but one of them the probe is due two round trips
// and the peer's ACK delay later, and never later than the retransmission timer.
func TestTailLossPatterns(t *testing.T) {
	for name, opts := range map[string][]option{
		"SACK": {withSACK}, "super-segments": {withSACK, withGSO(64 << 10)},
	} {
		t.Run("the last two/"+name, func(t *testing.T) {
			r := newRoad(t, 30, 0, []int{29, 30}, opts...)
			r.drive()
			i := r.info()
			if len(r.said) != 2 || !strings.HasSuffix(r.said[0], " 29001(1000)") || !strings.HasSuffix(r.said[1], " 28001(1000)") {
				r.fail("sent %q, want the probe with segment 30 and then 29", r.said)
			}
			if i.TailProbes != 1 || i.Timeouts != 0 || i.FastRecovery != 1 || i.RetransSegs != 2 || i.BytesRetrans != 2000 {
				r.fail("Info says %+v", i)
			}
		})
		t.Run("the last/"+name, func(t *testing.T) {
			r := newRoad(t, 30, 0, []int{30}, opts...)
			r.drive()
			i := r.info()
			if len(r.said) != 1 || !strings.HasSuffix(r.said[0], " 29001(1000)") {
				r.fail("sent %q, want segment 30 once", r.said)
			}
			if i.TailProbes != 1 || i.Timeouts != 0 {
				r.fail("%d probes and %d timeouts, want 1 and 0; the window is %d", i.TailProbes, i.Timeouts, i.Cwnd)
			}
		})
	}
}

// TestLossPatternsWithoutSACK: NewReno (RFC 6582): one hole a round trip, each once.
func TestLossPatternsWithoutSACK(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		lose []int
		want []string
	}{
		{"1 of 10", 10, []int{1}, sends("10.3ms", 1000, 1)},
		{"1-4 of 30", 30, span(1, 4), []string{"10.6ms 1(1000)", "20.6ms 1001(1000)", "30.6ms 2001(1000)", "40.6ms 3001(1000)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoad(t, c.n, 0, c.lose)
			r.drive()
			r.expectSaid(c.want...)
			if i := r.info(); i.Timeouts != 0 || i.FastRecovery != 1 || i.RetransSegs != uint64(len(c.lose)) {
				r.fail("Info says %+v", i)
			}
		})
	}
}

// TestWindowAfterRecoveryIsSsthresh: RFC 9937, 6.2, and RFC 6582, 3.2: at the end of
// recovery the window is ssthresh; what was reported during it does not count again.
func TestWindowAfterRecoveryIsSsthresh(t *testing.T) {
	for name, cc := range map[string]tcp.CongestionControl{"cubic": tcp.CUBIC, "newreno": tcp.NewReno} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, 30, 0, span(1, 4), withSACK, withParams(tcp.Params{InitialWindow: 30, Congestion: cc}))
			r.drive()
			if i := r.info(); i.Cwnd != i.Ssthresh {
				r.fail("cwnd %d after recovery, ssthresh %d", i.Cwnd, i.Ssthresh)
			}
		})
	}
}

// TestRescueOfALostTail: RFC 6675, 4, NextSeg (4): the first and the last are lost, and
// nothing follows: both are repaired without a timeout, each by one retransmission.
func TestRescueOfALostTail(t *testing.T) {
	r := newRoad(t, 10, 0, []int{1, 10}, withSACK)
	r.drive()
	if i := r.info(); i.Timeouts != 0 || i.FastRecovery != 1 || i.RetransSegs+i.TailProbes != 2 || r.cum != 10001 {
		r.fail("%d timeouts, %d recoveries, %d segments sent again, %d probes: %q", i.Timeouts, i.FastRecovery, i.RetransSegs, i.TailProbes, r.said)
	}
}

// TestDelaySpikeCostsNoHalving: everything of a flight is late by 390 ms and nothing is
// lost: of the flight at most the probe's and the timer's segment go again, and the
// threshold is as if nothing had been.
func TestDelaySpikeCostsNoHalving(t *testing.T) {
	for name, opts := range map[string][]option{
		"plain": nil, "timestamps": {withTS}, "SACK": {withSACK}, "SACK and timestamps": {withSACK, withTS},
		"super-segments": {withSACK, withTS, withGSO(64 << 10)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoad(t, 10, 40, nil, opts...)
			for i := range r.events {
				r.events[i].at = r.events[i].at.Add(390 * time.Millisecond)
			}
			r.free = r.free.Add(390 * time.Millisecond)
			r.drive()
			i := r.info()
			if i.SendQueue != 0 || i.Ssthresh != tcp.MaxWindow || i.Undos == 0 && i.Timeouts > 0 {
				r.fail("%d timeouts, %d undos, ssthresh %d, %d bytes wait", i.Timeouts, i.Undos, i.Ssthresh, i.SendQueue)
			}
			if i.RetransSegs > 2 {
				r.fail("%d segments were sent again, none was lost", i.RetransSegs)
			}
		})
	}
}

// TestFlightSizeContainsWhatTheAckOfTheLossAcknowledges: RFC 5681, equation 4: a delayed ACK
// ends at the loss and reports what follows it: the window that met the loss was ten.
func TestFlightSizeContainsWhatTheAckOfTheLossAcknowledges(t *testing.T) {
	d := flight(t, 10, withSACK, withParams(tcp.Params{Congestion: tcp.NewReno}))
	d.send(". 1 ack 2001 <nop,nop,sack 3001:6001>")
	d.expect(". 2001(1000) ack 1")
	if i := d.info(); i.Ssthresh != 5000 {
		d.fail("ssthresh is %d", i.Ssthresh)
	}
}

// TestARepairAfterATimeoutGetsAWholeTimeout: the retransmission of the first segment is lost
// after a timeout too, RACK sends it again, and the timer, which had been running since
// the last ACK, starts anew with it: as on Linux, and as outside of such a repair.
func TestARepairAfterATimeoutGetsAWholeTimeout(t *testing.T) {
	d := flight(t, 4, withSACK, withParams(tcp.Params{Congestion: tcp.NewReno}))
	for d.info().Timeouts == 0 {
		d.wait(rtt)
	}
	d.overheard() // a probe, and the timeout
	d.send(". 1 ack 1001")
	d.expect(". 1001(1000) ack 1", ". 2001(1000) ack 1")
	d.wait(100 * time.Millisecond)
	d.send(". 1 ack 1001 <nop,nop,sack 2001:3001>")
	d.at(rtt)
	said := d.overheard()
	if len(said) == 0 || said[0].Seq != d.iss.Add(1001) {
		d.fail("the first segment is not sent again")
	}
	rto := d.info().RTO
	d.wait(said[0].at.Add(rto).Sub(d.now) - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@* . 1001(1000) ack 1")
}
