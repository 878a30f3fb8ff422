package tcp_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// TestUnusedWindowIsNoLicence: RFC 7661: an application that writes a little in each round
// trip, for minutes, has proven nothing of the path: what it then writes at once leaves in a
// burst of no more than had been proven before.
func TestUnusedWindowIsNoLicence(t *testing.T) {
	for name, control := range map[string]tcp.CongestionControl{"cubic": tcp.CUBIC, "newreno": tcp.NewReno} {
		t.Run(name, func(t *testing.T) {
			d := established(t, withSACK, withParams(tcp.Params{Congestion: control}), withPeer(bulk))
			off := 1
			for range 2000 { // two segments a round trip, twenty seconds
				d.write(2000)
				if n := d.count(); n != 2 {
					d.fail("%d segments of two", n)
				}
				off += 2000
				d.wait(rtt)
				d.send(". 1 ack " + itoa(off))
				d.expectNothing()
			}
			d.write(500_000)
			burst := d.count()
			if burst > 14 { // the initial window, and what little of it had been used
				d.fail("%d segments in one burst after two at a time for long", burst)
			}
		})
	}
}

// TestLossCountsAgainstWhatWasUsed: RFC 7661, section 4.4.1, as RFC 5681 has it: a loss in
// what little is sent into a window that was once large. CUBIC, whose window does not grow
// unused either, reduces the window itself (RFC 9438, section 4.6, allows both).
func TestLossCountsAgainstWhatWasUsed(t *testing.T) {
	d := established(t, withSACK, withParams(tcp.Params{Congestion: tcp.NewReno}), withPeer(bulk))
	d.write(300_000)
	off := 1
	for len(d.heard) > 0 { // a window that was used grows
		off += 1000 * d.count()
		d.wait(rtt)
		d.send(". 1 ack " + itoa(off))
	}
	if cwnd := d.info().Cwnd; cwnd < 100_000 {
		d.fail("the window is %d after 300,000 bytes", cwnd)
	}
	d.write(6000)
	d.count()
	d.wait(rtt)
	d.send(". 1 ack " + itoa(off) + " <nop,nop,sack " + itoa(off+1000) + ":" + itoa(off+6000) + ">")
	if n := d.count(); n != 1 {
		d.fail("%d segments repair one", n)
	}
	d.wait(rtt)
	d.send(". 1 ack " + itoa(off+6000))
	d.expectNothing()
	d.write(300_000)
	if n := d.count(); n != 3 {
		d.fail("%d segments in one burst after a loss among six, want 3", n)
	}
}

// TestLastResortTimerIsConservative: the requirements of RFC 8961, section 4, one by one.
func TestLastResortTimerIsConservative(t *testing.T) {
	t.Run("1: a second before anything is known", func(t *testing.T) {
		d := inState(t, tcp.StateSynSent)
		d.wait(time.Second - 1)
		d.expectNothing()
	})
	t.Run("2: it follows the round trip and its variance", func(t *testing.T) {
		// Whatever the path does within a factor of four, hardly anything is sent again for
		// nothing, with a floor under the variance that is too low to help.
		r := rand.New(rand.NewPCG(8961, 2))
		d := established(t, withParams(tcp.Params{MinRTO: time.Millisecond}))
		off, early := 1, 0
		for range 2000 {
			d.write(1000)
			d.expect("P. " + itoa(off) + "(1000) ack 1")
			off += 1000
			d.wait(100*time.Millisecond + time.Duration(r.IntN(300))*time.Millisecond)
			if len(d.overheard()) > 0 {
				early++
			}
			d.send(". 1 ack " + itoa(off))
			d.expectNothing()
		}
		if early > 20 {
			d.fail("%d of 2,000 segments were sent again before their ACK could come", early)
		}
	})
	t.Run("2d: an ambiguous answer is no sample", func(t *testing.T) {
		d := established(t)
		d.write(1000)
		d.overheard()
		d.wait(rtoAfter)
		d.overheard()
		d.wait(time.Millisecond)
		d.send(". 1 ack 1001") // of the first, or a very fast answer to the second
		d.write(1000)
		d.expect("P. 1001(1000) ack 1")
		d.wait(2*rtoAfter - 1)
		d.expectNothing()
		d.wait(1)
		d.expect("@420ms P. 1001(1000) ack 1")
	})
	t.Run("3: it backs off", func(t *testing.T) {
		d := established(t)
		d.write(1000)
		d.overheard()
		last, gap := d.now, time.Duration(0)
		for range 10 {
			d.wait(d.tcb.Deadline().Sub(d.now))
			d.overheard()
			if d.now.Sub(last) < 2*gap && gap < time.Minute {
				d.fail("%v after %v", d.now.Sub(last), gap)
			}
			last, gap = d.now, d.now.Sub(last)
		}
	})
	t.Run("4: a timeout means congestion", func(t *testing.T) {
		d := flight(t, 10)
		d.wait(rtoAfter)
		if n := d.count(); n != 1 {
			d.fail("%d segments at the timeout, want 1", n)
		}
	})
}
