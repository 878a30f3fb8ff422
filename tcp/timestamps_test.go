package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Timestamps and PAWS: RFC 7323, sections 3 to 5.

// stamped sends a segment with a TSval of our choice.
func (d *dialogue) stamped(segment string, tsval int) {
	d.Helper()
	d.send(segment + " <nop,nop,TS " + itoa(tsval) + " " + itoa(int(d.lastTS)) + ">")
}

// inTS is an established connection whose peer's clock stands at 1000.
func inTS(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	d := newDialogue(t, append(opts, withTS)...)
	d.openActive()
	d.wait(rtt)
	d.stamped1("S. 0 ack 1", "mss 1000,sackOK", 1000)
	d.expect(". 1 ack 1 <nop,nop,TS * 1000>")
	return d
}

func (d *dialogue) stamped1(segment, more string, tsval int) {
	d.Helper()
	d.send(segment + " <" + more + ",TS " + itoa(tsval) + " " + itoa(int(d.lastTS)) + ">")
}

// TestTimestampsOnEverySegment: once agreed, on all (3.2); the watch sees to it that
// none lacks them. TSval runs, TSecr is what came last in order.
func TestTimestampsOnEverySegment(t *testing.T) {
	d := inTS(t)
	first := d.lastTS
	d.wait(time.Second)
	d.stamped("P. 1(10) ack 1", 2000)
	d.expectLate(". 1 ack 11 <nop,nop,TS * 2000>")
	d.write(10)
	d.expect("P. 1(10) ack 11 <nop,nop,TS * 2000>")
	if ticks := d.lastTS - first; ticks < 1 || ticks > 1100 {
		d.fail("our clock ticked %d times in a second (5.4: 1 ms to 1 s)", ticks)
	}
	d.closeWrite()
	d.expect("F. 11 ack 11 <nop,nop,TS * 2000>")
}

// TestPAWSDropsOldSegments: an older timestamp is answered and dropped (5.3, R1).
func TestPAWSDropsOldSegments(t *testing.T) {
	d := inTS(t)
	d.stamped("P. 1(10) ack 1", 5000)
	d.expectLate(". 1 ack 11 <nop,nop,TS * 5000>")
	d.stamped("P. 11(10) ack 1", 4999)
	d.expect(". 1 ack 11 <nop,nop,TS * 5000>")
	d.stamped("F. 11 ack 1", 4000)
	d.expect(". 1 ack 11 <nop,nop,TS * 5000>")
	d.expectState(tcp.StateEstablished)
	d.stamped("P. 11(10) ack 1", 5000) // the same is not older
	d.expectLate(". 1 ack 21")
	d.expectRead(20)
}

// TestPAWSWraps: timestamps compare modulo 2^32.
func TestPAWSWraps(t *testing.T) {
	d := newDialogue(t, withTS)
	d.openActive()
	d.wait(rtt)
	d.stamped1("S. 0 ack 1", "mss 1000,sackOK", 1<<32-10)
	d.expect(". 1 ack 1")
	d.stamped("P. 1(10) ack 1", 10)
	d.expectLate(". 1 ack 11 <nop,nop,TS * 10>")
	d.stamped("P. 11(10) ack 1", 1<<32-10)
	d.expect(". 1 ack 11 <nop,nop,TS * 10>")
}

// TestPAWSDoesNotApplyToRST: 5.2: a reset is judged by its sequence number alone.
func TestPAWSDoesNotApplyToRST(t *testing.T) {
	for _, opts := range []string{"<nop,nop,TS 1 0>", "<>"} {
		d := inTS(t)
		d.stamped("P. 1(10) ack 1", 5000)
		d.expectLate(". 1 ack 11")
		d.expectRead(10)
		d.send("R. 11 ack 1 " + opts)
		d.expectClosed(tcp.ErrReset)
	}
}

// TestTSRecentFollowsTheLastAckSent: 4.3: only a segment that holds or precedes
// Last.ACK.sent gives the timestamp that is echoed.
func TestTSRecentFollowsTheLastAckSent(t *testing.T) {
	d := inTS(t)
	// Out of order: the TSval of a segment beyond the gap is not echoed (4.2, C).
	d.stamped(". 1001(1000) ack 1", 2000)
	d.expect(". 1 ack 1 <nop,nop,TS * 1000,nop,nop,sack 1001:2001>")
	d.stamped(". 2001(1000) ack 1", 2100)
	d.expect(". 1 ack 1 <nop,nop,TS * 1000,nop,nop,sack 1001:3001>")
	// The one that fills the gap is, although it may be older than those.
	d.stamped(". 1(1000) ack 1", 1900)
	d.expect(". 1 ack 3001 <nop,nop,TS * 1900>")
	d.stamped(". 3001(1000) ack 1", 2300)
	d.expectLate(". 1 ack 4001 <nop,nop,TS * 2300>")
}

// TestDelayedAckEchoesTheEarliest: 4.2, A: an ACK of two segments echoes the first.
func TestDelayedAckEchoesTheEarliest(t *testing.T) {
	d := inTS(t)
	d.stamped(". 1(10) ack 1", 2000)
	if len(d.heard) > 0 {
		t.Skip("acknowledged at once, which leaves nothing to test")
	}
	d.stamped(". 11(10) ack 1", 2020)
	d.expectLate(". 1 ack 21 <nop,nop,TS * 2000>")
}

// TestMissingTimestampIsDropped: 3.2: "SHOULD silently drop the segment", and MUST
// NOT abort.
func TestMissingTimestampIsDropped(t *testing.T) {
	d := inTS(t)
	d.send("P. 1(10) ack 1 <>")
	d.wait(time.Second)
	d.expectNothing()
	d.expectReadError(nil)
	d.expectState(tcp.StateEstablished)
	d.stamped("P. 1(10) ack 1", 2000)
	d.expectLate(". 1 ack 11")
}

// TestTimestampsNotAgreedAreIgnored: 3.2: an option that was not agreed is no
// option.
func TestTimestampsNotAgreedAreIgnored(t *testing.T) {
	d := established(t)
	d.send("P. 1(10) ack 1 <nop,nop,TS 5000 0>")
	d.expectLate(". 1 ack 11 <>")
	d.send("P. 11(10) ack 1 <nop,nop,TS 4000 0>")
	d.expectLate(". 1 ack 21 <>")
	d.expectRead(20)
}

// TestPAWSForgetsAfter24Days: 5.5: after so long the clocks may have come half way
// round, and the sequence number decides alone.
func TestPAWSForgetsAfter24Days(t *testing.T) {
	d := inTS(t)
	d.wait(25 * 24 * time.Hour)
	d.expectNothing()
	d.stamped("P. 1(10) ack 1", 900)
	d.expectLate(". 1 ack 11 <nop,nop,TS * 900>")
	d.expectRead(10)
}

// TestPAWSHoldsFor24Days: 5.5: not a day less, however long the connection is idle.
func TestPAWSHoldsFor24Days(t *testing.T) {
	d := inTS(t)
	d.wait(24*24*time.Hour - time.Minute)
	d.expectNothing()
	d.stamped("P. 1(10) ack 1", 900)
	d.expect(". 1 ack 1 <nop,nop,TS * 1000>")
	d.expectReadError(nil)
	d.wait(2 * time.Minute)
	d.stamped("P. 1(10) ack 1", 900)
	d.expectLate(". 1 ack 11 <nop,nop,TS * 900>")
}

// TestBlindTimestampDoesNotMoveTSRecent: a stranger's segment in the window, with an ACK
// that cannot be or none, must not make the peer's own segments look old.
func TestBlindTimestampDoesNotMoveTSRecent(t *testing.T) {
	for _, c := range []struct{ blind, answer string }{
		{"P. 1(10) ack 1000000", ". 1 ack 1"},
		{"P. 1(10) ack -1000000", ". 1 ack 1"},
		{". 1 ack 1000000", ". 1 ack 1"},
		{"P 1(10)", ""},
		{"S 1", ". 1 ack 1"},
		{"R 5", ". 1 ack 1"},
	} {
		t.Run(c.blind, func(t *testing.T) {
			d := inTS(t)
			d.stamped(c.blind, 1000+1<<30)
			if c.answer != "" {
				d.expect(c.answer + " <nop,nop,TS * 1000>")
			}
			d.stamped("P. 1(10) ack 1", 1001)
			d.expectLate(". 1 ack 11 <nop,nop,TS * 1001>")
			d.expectRead(10)
		})
	}
}

// TestPAWSAppliesToBareAcks: a bare ACK with an old timestamp, reordered on its way,
// is dropped and answered like any segment (5.3, R1).
func TestPAWSAppliesToBareAcks(t *testing.T) {
	d := inTS(t)
	d.write(500)
	d.expect("P. 1(500) ack 1")
	d.stamped(". 1 ack 1", 3000)
	d.expectNothing()
	d.stamped(". 1 ack 501", 2000)
	if una := d.info().SndUna.Sub(d.iss); una != 1 {
		d.fail("an ACK with an old timestamp has moved SND.UNA to %d", una)
	}
	d.expect(". 501 ack 1")
}

// TestTimestampOffsetIsUsed: TSval is this connection's clock: it starts at the
// offset of the Setup, so that connections do not tell the host's uptime.
func TestTimestampOffsetIsUsed(t *testing.T) {
	var vals [2]uint32
	for i := range vals {
		d := newDialogue(t)
		d.setup.TSOffset = uint32(i) * 1000000
		d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
		vals[i] = d.heard[0].Options.TSVal
		d.expect("S 0")
	}
	if vals[1]-vals[0] != 1000000 {
		t.Errorf("TSval %d and %d for offsets 1000000 apart", vals[0], vals[1])
	}
}
