package tcp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// pairInTimeWait is a TCB in TIME-WAIT whose application is gone, and the record that another
// one in the same place has retired to.
type pairInTimeWait struct {
	*dialogue
	record tcp.TimeWait
	host   tcp.TimeWaitHost
	events []tcp.Event // told by the record
}

func inTimeWaitTwice(t testing.TB, opts ...option) *pairInTimeWait {
	t.Helper()
	p := &pairInTimeWait{dialogue: inState(t, tcp.StateTimeWait, opts...)}
	p.close()
	twin := inState(t, tcp.StateTimeWait, opts...)
	twin.close()
	_, used, ok := twin.tcb.Retire(&p.record)
	if !ok {
		t.Fatal("a TCB in TIME-WAIT whose application is gone does not retire")
	}
	p.host = tcp.TimeWaitHost{
		Params: p.setup.Params, TSOffset: p.setup.TSOffset, Challenges: &used,
		Observer: func(e *tcp.Event) { p.events = append(p.events, *e) },
	}
	return p
}

// meet lets both take the same segment, and fails the test unless both do the same. It is
// false when the segment has ended TIME-WAIT.
func (p *pairInTimeWait) meet(text string) bool {
	p.Helper()
	p.act()
	p.tell(">", text)
	before := len(p.dialogue.events)
	p.events = nil
	b := p.onWire(text)
	var one, other, reply tcp.Segment
	if tcp.Parse(b, &one) != nil || tcp.Parse(b, &other) != nil {
		p.fail("the test's own segment %q", text)
	}
	p.tcb.Segment(p.now, &one)
	p.listen()
	outcome := p.record.Segment(p.now, &p.host, &other, &reply)
	heard := p.overheard()
	answered := outcome == tcp.TimeWaitAnswer || outcome == tcp.TimeWaitAnew
	switch {
	case answered != (len(heard) == 1) || len(heard) > 1:
		p.fail("the outcome for the record is %v, the TCB says %d segments", outcome, len(heard))
	case answered && !bytes.Equal(reply.AppendHeader(nil), heard[0].header):
		p.fail("the record says\n% x, the TCB\n% x", reply.AppendHeader(nil), heard[0].header)
	case p.tcb.Done() != (outcome == tcp.TimeWaitReopens):
		p.fail("the outcome for the record is %v, and Done of the TCB %v", outcome, p.tcb.Done())
	case fmt.Sprint(p.events) != fmt.Sprint(p.dialogue.events[before:]):
		p.fail("the observer of the record hears\n%+v\nthat of the TCB\n%+v", p.events, p.dialogue.events[before:])
	case !p.tcb.Done() && p.record.Deadline() != p.tcb.Deadline():
		p.fail("the record ends in %v, the TCB in %v", p.record.Deadline().Sub(p.now), p.tcb.Deadline().Sub(p.now))
	}
	return !p.tcb.Done()
}

// TestRecordDoesWhatTheTCBWouldDo: what TIME-WAIT owes a peer does not depend on whether the
// application has closed. The TCB's side is what the state table and timewait_test.go hold to
// the RFCs.
func TestRecordDoesWhatTheTCBWouldDo(t *testing.T) {
	setups := map[string][]option{
		"plain":      nil,
		"timestamps": {withTS},
		"SACK":       {withSACK},
		"all": {withTS, withSACK, withPeer(func(p *peer) { p.wscale = 3 }),
			withParams(tcp.Params{ReceiveBufferMax: 64 << 20})},
		"IPv6":          {withIPv6, withTS},
		"two a period":  {withParams(tcp.Params{ChallengeAcks: 2})},
		"a long life":   {withTS, withParams(tcp.Params{MSL: 30 * 24 * time.Hour})},
		"little window": {withParams(tcp.Params{ReceiveBuffer: 4096})},
	}
	flags := []string{".", ".", ".", "P.", "F.", "F.", "FP.", "S", "S.", "SF", "SF.", "-", "F", "P", "R", "R.", "U.", "E.", "SEC"}
	seqs := []string{"rcv", "rcv-1", "rcv-1", "rcv-5", "rcv-3", "rcv-2000", "rcv+1", "rcv+4000", "rcv+70000", "rcv+2000000000", "rcv-2000000000", "0"}
	acks := []string{"nxt", "nxt", "nxt", "nxt+1", "nxt-1", "nxt-65535", "nxt-65536", "nxt-600000", "nxt+70000"}
	ts := []string{"", "", "", "<>", "<nop,nop,TS %d 1>"}
	waits := []time.Duration{0, 0, 0, time.Millisecond, time.Second, 6 * time.Second, 25 * time.Second, 24 * 24 * time.Hour}
	for name, opts := range setups {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			pick := func(from []string) string { return from[rnd.IntN(len(from))] }
			over := 0
			for range 400 {
				p := inTimeWaitTwice(t, opts...)
				for range 60 {
					if wait := waits[rnd.IntN(len(waits))]; p.now.Add(wait) < p.record.Deadline() {
						p.wait(wait)
					}
					f := pick(flags)
					text := f + " " + pick(seqs)
					if n := rnd.IntN(3) * rnd.IntN(6); n > 0 {
						text += fmt.Sprintf("(%d)", n)
					}
					if f[len(f)-1] == '.' {
						text += " ack " + pick(acks)
					}
					if o := pick(ts); o == "" {
					} else if o == "<>" {
						text += " <>"
					} else {
						text += " " + fmt.Sprintf(o, p.tsval()+uint32(rnd.IntN(200_000))-100_000)
					}
					if !p.meet(text) {
						over++
						break
					}
				}
			}
			if over == 0 {
				t.Error("no SYN has ended TIME-WAIT")
			}
		})
	}
}

// TestRetireWaitsForTheApplication: until it has closed, there may be something to read.
func TestRetireWaitsForTheApplication(t *testing.T) {
	d := inState(t, tcp.StateFinWait2)
	var w tcp.TimeWait
	refuse := func(when string) {
		t.Helper()
		if _, _, ok := d.tcb.Retire(&w); ok {
			d.fail("it has retired %s", when)
		}
	}
	refuse("before TIME-WAIT")
	d.send("FP. 1(5) ack 2")
	d.expect(". 2 ack 7")
	refuse("with five bytes to read")
	d.expectRead(5)
	refuse("while its application may read")
	d.wait(10 * time.Second)
	d.close()
	if _, _, ok := d.tcb.Retire(&w); !ok {
		d.fail("it has not retired")
	}
	if left := w.Deadline().Sub(d.now); left != twoMSL-10*time.Second {
		d.fail("TIME-WAIT goes on for %v", left)
	}
	if w.Ends() != d.setup.Endpoints {
		d.fail("the ends of the record are %v", w.Ends())
	}
	if i := w.Info(d.now); i.State != tcp.StateTimeWait || i.Expires != 50*time.Second || i.Local != d.setup.Local || i.Remote != d.setup.Remote {
		d.fail("the record describes itself as %+v", i)
	}
}

// TestTimeWaitEchoesTheTimestampOfARetransmittedFIN: RFC 7323, 4.3, case (A): the peer takes
// its round trip by it.
func TestTimeWaitEchoesTheTimestampOfARetransmittedFIN(t *testing.T) {
	d := inState(t, tcp.StateTimeWait, withTS)
	d.wait(3 * time.Second)
	d.send("F. 1 ack 2")
	d.expect(fmt.Sprintf(". 2 ack 2 <nop,nop,TS * %d>", d.tsval()))
	// An older one is answered, and not echoed.
	last := d.tsval()
	d.wait(time.Second)
	d.send(fmt.Sprintf("F. 1 ack 2 <nop,nop,TS %d 1>", last-1000))
	d.expect(fmt.Sprintf(". 2 ack 2 <nop,nop,TS * %d>", last))
}
