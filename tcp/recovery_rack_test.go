package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// RACK-TLP, RFC 8985. The minimum round trip is 10 ms: a quarter of it 2.5 ms.

// TestReorderingWindowIsAQuarterRoundTrip: 6.2, step 4: below DupThresh it is
// min_RTT/4, and the timer marks the loss without another ACK (6.3).
func TestReorderingWindowIsAQuarterRoundTrip(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 1001:3001>")
	d.expectNothing()
	if got := d.info().ReorderWindow; got != rtt/4 {
		d.fail("the reordering window is %v", got)
	}
	d.wait(rtt / 4)
	d.expect("@2.5ms . 1(1000) ack 1")
	if i := d.info(); i.FastRecovery != 1 || i.Timeouts != 0 {
		d.fail("Info says %+v", i)
	}
}

// TestReorderingWindowIsZeroAtDupThresh: 6.2, step 4: no reordering has been seen and
// three segments are reported.
func TestReorderingWindowIsZeroAtDupThresh(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
	d.expect(". 1(1000) ack 1")
}

// TestDupThreshCountsSegments: RACK.segs_sacked counts segments, also small ones.
func TestDupThreshCountsSegments(t *testing.T) {
	d := established(t, withSACK)
	d.tcb.SetNoDelay(d.now, true)
	for off := 1; off < 401; off += 100 {
		d.write(100)
		d.expect("P. " + itoa(off) + "(100) ack 1")
	}
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 101:201>")
	d.expectNothing()
	d.send(". 1 ack 1 <nop,nop,sack 101:301>")
	d.expectNothing()
	d.send(". 1 ack 1 <nop,nop,sack 101:401>")
	d.expect(". 1(100) ack 1")
}

// reordered is a flight of which the first two segments arrived the wrong way round:
// reordering has been seen, SND.UNA is 2001.
func reordered(t *testing.T, n int, opts ...option) *dialogue {
	t.Helper()
	d := flight(t, n, append([]option{withSACK}, opts...)...)
	d.send(". 1 ack 1 <nop,nop,sack 1001:2001>")
	d.expectNothing()
	d.send(". 1 ack 2001")
	d.expectNothing()
	return d
}

// TestReorderingWidensTheWindow: step 3 and 4: once reordering was seen, DupThresh counts
// no more: a quarter of a round trip passes first.
func TestReorderingWidensTheWindow(t *testing.T) {
	d := reordered(t, 10)
	d.send(". 1 ack 2001 <nop,nop,sack 3001:10001>")
	d.expectNothing()
	d.wait(rtt/4 - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@2.5ms . 2001(1000) ack 1")
}

// TestReorderingWithinTheWindowCostsNothing: and what arrives meanwhile was not lost.
func TestReorderingWithinTheWindowCostsNothing(t *testing.T) {
	d := reordered(t, 10)
	d.send(". 1 ack 2001 <nop,nop,sack 3001:10001>")
	d.wait(2 * time.Millisecond)
	d.send(". 1 ack 10001")
	d.expectNothing()
	d.wait(time.Hour)
	d.expectNothing()
	if i := d.info(); i.RetransSegs != 0 || i.FastRecovery != 0 || i.Ssthresh != tcp.MaxWindow {
		d.fail("Info says %+v", i)
	}
}

// TestOrderOfBlocksIsNoReordering: step 3 takes what one ACK reports in the order of
// sequence numbers; that the newest block stands first (RFC 2018, 4) shows nothing.
func TestOrderOfBlocksIsNoReordering(t *testing.T) {
	d := flight(t, 10, withSACK)
	// The ACKs of 2-4 and of 6-9 are lost.
	d.send(". 1 ack 1 <nop,nop,sack 5001:10001 1001:4001>")
	h := d.overheard()
	if len(h) == 0 || h[0].Seq != d.iss.Add(1) {
		d.fail("eight segments are reported in order, and the first gap is not repaired at once; the window is %v", d.info().ReorderWindow)
	}
}

// TestDSACKWidensTheWindowOncePerRound: step 4: a quarter more for a round trip with a
// D-SACK, at most the smoothed round trip.
func TestDSACKWidensTheWindowOncePerRound(t *testing.T) {
	d := reordered(t, 10)
	want := []time.Duration{2, 3, 4, 4, 4}
	end := 10001
	una := 2001
	for _, quarters := range want {
		for range 2 {
			d.send(". 1 ack " + itoa(una) + " <nop,nop,sack " + itoa(una-2000) + ":" + itoa(una-1000) + ">")
			d.expectNothing()
			if got := d.info().ReorderWindow; got != quarters*rtt/4 {
				d.fail("the reordering window is %v, want %v", got, quarters*rtt/4)
			}
		}
		d.send(". 1 ack " + itoa(end))
		d.expectNothing()
		d.write(10000)
		d.overheard()
		d.wait(rtt)
		una, end = end, end+10000
	}
}

// TestReorderingWindowNarrowsAfterSixteenRecoveries: step 4, RACK.reo_wnd_persist.
func TestReorderingWindowNarrowsAfterSixteenRecoveries(t *testing.T) {
	d := reordered(t, 10)
	d.send(". 1 ack 2001 <nop,nop,sack 1:1001>")
	d.send(". 1 ack 10001")
	d.expectNothing()
	for n := range 16 {
		if got := d.info().ReorderWindow; got != rtt/2 {
			d.fail("the reordering window is %v after %d recoveries", got, n)
		}
		una := 10001 + n*2000
		d.write(2000)
		d.overheard()
		d.wait(rtt)
		d.send(". 1 ack " + itoa(una) + " <nop,nop,sack " + itoa(una+1000) + ":" + itoa(una+2000) + ">")
		d.expectNothing()
		d.wait(rtt / 2)
		d.expect("@5ms . " + itoa(una) + "(1000) ack 1")
		d.wait(rtt)
		d.send(". 1 ack " + itoa(una+2000))
		d.expectNothing()
	}
	if got := d.info(); got.ReorderWindow != rtt/4 || got.FastRecovery != 16 {
		d.fail("the reordering window is %v after %d recoveries", got.ReorderWindow, got.FastRecovery)
	}
}

// TestRoundTripOfALateSegmentCounts: step 2: RACK.rtt is that of the segment delivered
// last, also when it was not sent last.
func TestRoundTripOfALateSegmentCounts(t *testing.T) {
	d := established(t, withSACK)
	d.write(2000) // 1 and 2 at 0
	d.overheard()
	d.wait(time.Millisecond)
	d.write(1000) // 3 at 1 ms
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 2001:3001>") // 11 ms: RTT 10 ms; 1 and 2 until 12.5 ms
	d.wait(1400 * time.Microsecond)
	d.send(". 1 ack 1001 <nop,nop,sack 2001:3001>") // 12.4 ms: RTT 12.4 ms; 2 until 14.9 ms
	d.expectNothing()
	d.wait(2400 * time.Microsecond)
	d.expectNothing()
	d.wait(200 * time.Microsecond)
	d.expect("@2.5ms . 1001(1000) ack 1")
}

// Tail loss probes, section 7.

// slowTimer puts the retransmission timer out of the way: a second after SRTT.
var slowTimer = withParams(tcp.Params{MinRTO: time.Second})

// TestProbeAfterTwoRoundTrips: 7.2: 2·SRTT for two segments and more; the last of them
// goes again, once, and the retransmission timer starts anew (7.3).
func TestProbeAfterTwoRoundTrips(t *testing.T) {
	d := established(t, withSACK)
	d.write(2000)
	d.expect(". 1(1000) ack 1", "P. 1001(1000) ack 1")
	d.wait(2*rtt - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@20ms P. 1001(1000) ack 1")
	d.wait(rtoAfter - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@230ms . 1(1000) ack 1")
	if i := d.info(); i.TailProbes != 1 || i.Timeouts != 1 {
		d.fail("%d probes, %d timeouts", i.TailProbes, i.Timeouts)
	}
}

// TestNoProbeWithinTenMilliseconds: on a path of 1 ms the peer may wait longer than two round
// trips for a core, and a probe would be in vain.
func TestNoProbeWithinTenMilliseconds(t *testing.T) {
	d := newDialogue(t, withSACK)
	d.listenUp()
	d.send("S 0")
	d.expect("S. 0 ack 1")
	d.wait(time.Millisecond)
	d.send(". 1 ack 1")
	d.expectNothing()
	d.settle(tcp.StateEstablished)
	d.write(2000)
	d.expect(". 1(1000) ack 1", "P. 1001(1000) ack 1")
	d.wait(10*time.Millisecond - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@10ms P. 1001(1000) ack 1")
}

// TestProbeOfOneSegmentWaitsForTheDelayedAck: 7.2: TLP.max_ack_delay more.
func TestProbeOfOneSegmentWaitsForTheDelayedAck(t *testing.T) {
	d := established(t, withSACK, slowTimer)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	d.wait(time.Second)
	d.expect("@220ms P. 1(1000) ack 1")
}

// TestProbeComesBeforeTheTimeout: 7.2: a PTO beyond the RTO is brought forward to it,
// and a probe goes in place of the timeout: the window stays.
func TestProbeComesBeforeTheTimeout(t *testing.T) {
	d := established(t, withSACK)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	d.wait(rtoAfter)
	d.expect("@210ms P. 1(1000) ack 1")
	if i := d.info(); i.TailProbes != 1 || i.Timeouts != 0 || i.Cwnd != 10000 {
		d.fail("%d probes, %d timeouts, cwnd %d", i.TailProbes, i.Timeouts, i.Cwnd)
	}
}

// TestProbeOfASmallTail: 7.3: the highest-sequence segment, not more.
func TestProbeOfASmallTail(t *testing.T) {
	d := established(t, withSACK)
	d.write(2500)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(500) ack 1")
	d.wait(2 * rtt)
	d.expect("@20ms P. 2001(500) ack 1")
}

// TestProbePrefersNewData: 7.3: also beyond the congestion window; it is delivered, and
// nothing was lost (7.4.2).
func TestProbePrefersNewData(t *testing.T) {
	d := established(t, withSACK, withParams(tcp.Params{InitialWindow: 2}))
	d.write(5000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1")
	d.wait(2 * rtt)
	d.expect("@20ms . 2001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 3001")
	d.expect(". 3001(1000) ack 1", "P. 4001(1000) ack 1")
	if i := d.info(); i.RetransSegs != 0 || i.Ssthresh != tcp.MaxWindow {
		d.fail("Info says %+v", i)
	}
}

// TestNoProbeBeyondThePeersWindow: 7.3: new data only if the receive window allows.
func TestNoProbeBeyondThePeersWindow(t *testing.T) {
	d := established(t, withSACK, withWindow(2000))
	d.write(5000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1")
	d.wait(2 * rtt)
	d.expect("@20ms . 1001(1000) ack 1")
}

// tailProbed is a connection of which the last of ten segments was probed for.
func tailProbed(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	d := flight(t, 10, append([]option{slowTimer, withSACK}, opts...)...)
	d.send(". 1 ack 9001")
	d.wait(time.Second)
	d.expect("@220ms P. 9001(1000) ack 1")
	return d
}

// TestLossRepairedByTheProbeCountsOnce: 7.4: ACKs beyond TLP.end_seq and no D-SACK: the
// probe has repaired a loss, to which congestion control reacts.
func TestLossRepairedByTheProbeCountsOnce(t *testing.T) {
	d := tailProbed(t)
	d.send(". 1 ack 10001")
	d.expectNothing()
	if got := d.info().Ssthresh; got != tcp.MaxWindow {
		d.fail("ssthresh is %d before it can be known", got)
	}
	for off := 10001; off < 13001; off += 1000 {
		d.write(1000)
		d.expect("P. " + itoa(off) + "(1000) ack 1")
		d.send(". 1 ack " + itoa(off+1000))
		d.expectNothing()
		if i := d.info(); i.Ssthresh == tcp.MaxWindow || i.Cwnd >= 10000 || i.FastRecovery != 0 {
			d.fail("ssthresh %d, cwnd %d, %d recoveries", i.Ssthresh, i.Cwnd, i.FastRecovery)
		}
	}
}

// TestProbeWhoseLossOneAckShowsReducesAsRecoveryWould: 7.4: the reaction is that of fast
// recovery: of what was in flight before the ACK, not of what it left.
func TestProbeWhoseLossOneAckShowsReducesAsRecoveryWould(t *testing.T) {
	d := tailProbed(t)
	d.write(9000) // with the lost one ten in flight: 9001 to 19001
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 19001")
	d.expectNothing()
	if got := d.info().Ssthresh; got != 7000 {
		d.fail("ssthresh is %d, want 7000", got)
	}
}

// TestSpuriousProbeCostsNothing: 7.4: both copies have arrived, says a D-SACK, or a
// duplicate ACK of a peer that sends none.
func TestSpuriousProbeCostsNothing(t *testing.T) {
	for _, acks := range [][]string{
		{". 1 ack 10001 <nop,nop,sack 9001:10001>"},
		{". 1 ack 10001", ". 1 ack 10001 <nop,nop,sack 9001:10001>"},
	} {
		d := tailProbed(t)
		for _, a := range acks {
			d.send(a)
			d.expectNothing()
		}
		d.write(1000)
		d.expect("P. 10001(1000) ack 1")
		d.send(". 1 ack 11001")
		d.expectNothing()
		if i := d.info(); i.Ssthresh != tcp.MaxWindow || i.Cwnd != 10000 {
			d.fail("ssthresh %d, cwnd %d after a spurious probe", i.Ssthresh, i.Cwnd)
		}
	}
}

// TestDelayedAckEchoIsNoProofOfASpuriousProbe: 7.4: of a segment that the peer had been
// sitting on it echoes the timestamp (RFC 7323, 4.3), and the probe repaired the next.
func TestDelayedAckEchoIsNoProofOfASpuriousProbe(t *testing.T) {
	d := established(t, withSACK, withTS)
	d.write(988)
	echo := d.lastTS
	d.wait(5 * time.Millisecond)
	d.overheard()
	d.write(988) // this one is lost
	d.overheard()
	d.wait(2 * rtt)
	d.expect("@20ms P. 989(988) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1977 <nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) + ">")
	d.expectNothing()
	d.write(988)
	d.expect("P. 1977(988) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 2965")
	d.expectNothing()
	if got := d.info().Ssthresh; got == tcp.MaxWindow {
		d.fail("a loss was repaired by a probe, and nothing reacted")
	}
}

// TestNoSecondProbe: 7.2: one probe, until it is acknowledged.
func TestNoSecondProbe(t *testing.T) {
	d := tailProbed(t)
	d.write(1000)
	d.expect("P. 10001(1000) ack 1")
	d.wait(200 * time.Millisecond)
	d.expectNothing()
}

// TestNoProbeWithoutSACK: 7.2.
func TestNoProbeWithoutSACK(t *testing.T) {
	d := established(t)
	d.write(2000)
	d.overheard()
	d.wait(rtoAfter - 1)
	d.expectNothing()
}
