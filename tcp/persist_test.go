package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The persist timer: zero-window probes (RFC 9293, 3.8.6.1).

// shut is an established connection whose peer has shut its window, and that has
// n bytes to send.
func shut(t *testing.T, n int) *dialogue {
	t.Helper()
	d := established(t)
	d.send(". 1 ack 1 win 0")
	d.expectNothing()
	d.write(n)
	d.expectNothing() // SHLD-15
	return d
}

// TestZeroWindowIsProbed: the first probe after one RTO (SHLD-29), gaps that double
// (SHLD-30) up to the longest timeout; each one octet at SND.UNA.
func TestZeroWindowIsProbed(t *testing.T) {
	d := shut(t, 1000)
	var at time.Duration
	gap := rtoAfter
	for range 12 {
		at += gap
		gap = min(2*gap, 120*time.Second)
		d.at(at - 1)
		d.expectNothing()
		d.wait(1)
		d.expect("@" + at.String() + " . 1(1) ack 1")
	}
}

// TestProbedForEverWhileAnswered: MUST-37: the connection lives as long as the peer
// answers, and the probes go on, two minutes apart.
func TestProbedForEverWhileAnswered(t *testing.T) {
	d := shut(t, 1000)
	var last tcp.Time
	probes := 0
	for end := d.now.Add(6 * time.Hour); d.now < end; {
		dl := d.tcb.Deadline()
		if dl == tcp.Never {
			d.fail("nothing is due, and data wait")
		}
		d.wait(dl.Sub(d.now))
		for range d.heard {
			probes++
		}
		if len(d.heard) == 0 {
			continue
		}
		if gap := d.now.Sub(last); last != 0 && gap > 120*time.Second+time.Second {
			d.fail("%v between two probes", gap)
		}
		last = d.now
		d.expect("@* . 1(1) ack 1")
		d.wait(rtt)
		d.send(". 1 ack 1 win 0")
		d.expectNothing()
	}
	if probes < 180 || probes > 250 {
		d.fail("%d probes in six hours", probes)
	}
	d.expectState(tcp.StateEstablished)
	d.send(". 1 ack 1 win 65535")
	d.expect("P. 1(1000) ack 1")
	d.send(". 1 ack 1001")
	d.expectNothing()
}

// TestUnansweredProbesEnd: a peer that answers none is gone (Linux; R2).
func TestUnansweredProbesEnd(t *testing.T) {
	d := shut(t, 1000)
	d.wait(2 * time.Hour)
	if n := len(d.overheard()); n < 10 || n > 20 {
		d.fail("%d probes", n)
	}
	d.expectReadError(tcp.ErrTimeout)
	d.expectClosed(tcp.ErrTimeout)
}

// TestWindowOpensBetweenProbes: the update is acted on at once, and all that was
// written arrives.
func TestWindowOpensBetweenProbes(t *testing.T) {
	d := shut(t, 2500)
	d.wait(rtoAfter)
	d.expect("@210ms . 1(1) ack 1")
	d.send(". 1 ack 1 win 0")
	d.expectNothing()
	d.wait(50 * time.Millisecond)
	d.send(". 1 ack 1 win 65535") // the probe's octet was not taken
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1", "P. 2001(500) ack 1")
	d.send(". 1 ack 2501")
	d.expectNothing()
	if d.tcb.Deadline() != tcp.Never {
		d.fail("all is acknowledged, and a timer runs")
	}
}

// TestAnswerToProbeAfterTheWindowHasOpened: the peer takes the probe's octet, and what
// it had sent before that, with room in its window but not enough to be worth a
// segment, arrives first. The ACK of the octet is still one of what was sent (3.10.7.4,
// fifth).
func TestAnswerToProbeAfterTheWindowHasOpened(t *testing.T) {
	d := shut(t, 5000)
	d.wait(rtoAfter)
	d.expect("@210ms . 1(1) ack 1")
	d.send("P. 1(10) ack 1 win 100")
	d.overheard()
	d.send(". 11 ack 2 win 100")
	for _, u := range d.overheard() {
		if len(u.Payload) == 0 {
			d.fail("the ACK of an octet that was sent is answered by %s", u.text)
		}
	}
	if una := d.info().SndUna.Sub(d.iss); una != 2 {
		d.fail("SND.UNA is %d after the ACK of the probe's octet, want 2", una)
	}
}

// TestProbeOctetIsTaken: the peer had room for one after all.
func TestProbeOctetIsTaken(t *testing.T) {
	d := shut(t, 2)
	d.wait(rtoAfter)
	d.expect("@210ms . 1(1) ack 1")
	d.send(". 1 ack 2 win 0")
	d.expectNothing()
	d.wait(3 * time.Second)
	if len(d.heard) == 0 {
		d.fail("the second octet is not probed for")
	}
	for _, u := range d.overheard() {
		if why := d.mismatch("@* P. 2(1) ack 1", &u); why != "" {
			d.fail("%s: %s", u.text, why)
		}
	}
	d.send(". 1 ack 3 win 0")
	d.expectNothing()
	if d.tcb.Deadline() != tcp.Never {
		d.fail("all is acknowledged, and a timer runs")
	}
}

// TestNoProbeWithoutData: a shut window concerns only who wants to send.
func TestNoProbeWithoutData(t *testing.T) {
	d := established(t)
	d.send(". 1 ack 1 win 0")
	d.wait(24 * time.Hour)
	d.expectNothing()
}

// TestWindowShutWithDataInFlight: MUST-35: what is in flight is retransmitted or
// probed for, and nothing new is sent.
func TestWindowShutWithDataInFlight(t *testing.T) {
	d := established(t, withWindow(2000))
	d.write(4000)
	d.expect(". 1(1000) ack 1", ". 1001(1000) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001 win 0") // shrunk by 1,000 below what we have sent (MUST-34)
	d.expectNothing()
	d.wait(time.Second)
	for _, u := range d.overheard() {
		if u.Seq != d.iss.Add(1001) || len(u.Payload) > 1000 {
			d.fail("with the window shut: %s", u.text)
		}
	}
	d.expectState(tcp.StateEstablished)
	d.send(". 1 ack 2001 win 2000")
	d.expect(". 2001(1000) ack 1", "P. 3001(1000) ack 1")
}

// TestShrunkWindowDoesNotTimeOut: SHLD-17: data beyond a window that has shrunk
// are no cause to give up while the peer answers.
func TestShrunkWindowDoesNotTimeOut(t *testing.T) {
	d := established(t, withWindow(5000))
	d.write(5000)
	if n := len(d.overheard()); n != 5 {
		d.fail("%d segments", n)
	}
	d.send(". 1 ack 1 win 0")
	d.expectNothing()
	for end := d.now.Add(2 * time.Hour); d.now < end; {
		d.wait(d.tcb.Deadline().Sub(d.now))
		if n := len(d.overheard()); n > 0 {
			d.send(". 1 ack 1 win 0")
			d.overheard()
		}
		d.expectState(tcp.StateEstablished)
	}
	d.send(". 1 ack 1 win 5000")
	d.overheard()
	d.wait(3 * time.Minute)
	if h := d.overheard(); len(h) == 0 {
		d.fail("the window is open again, and nothing is retransmitted (SHLD-16)")
	}
}

// TestFINAloneBehindTheShutWindow: with all data acknowledged the FIN goes at once,
// as on Linux, or as the probe.
func TestFINAloneBehindTheShutWindow(t *testing.T) {
	d := established(t)
	d.send(". 1 ack 1 win 0")
	d.close()
	d.wait(rtoAfter)
	d.expect("@* F. 1 ack 1")
	d.send(". 1 ack 2 win 0")
	d.expectNothing()
	d.expectState(tcp.StateFinWait2)
}

// TestFINWaitsBehindTheShutWindow: probes go on for the data before a FIN.
func TestFINWaitsBehindTheShutWindow(t *testing.T) {
	d := shut(t, 10)
	d.close()
	d.expectNothing()
	d.wait(rtoAfter)
	if h := d.overheard(); len(h) != 1 || h[0].Seq != d.iss.Add(1) || len(h[0].Payload) != 1 {
		d.fail("%d segments", len(h))
	}
	d.send(". 1 ack 1 win 100")
	if h := d.heard; len(h) == 2 {
		d.expect("P. 1(10) ack 1", "F. 11 ack 1")
	} else {
		d.expect("FP. 1(10) ack 1")
	}
}

// TestPeerWithAShutWindowIsReclaimedByTheApplication: RFC 6429: it may hold what was written
// as long as it answers, and TCP alone does not end that; the application can, at once or
// after a time that it chooses, and then nothing is held.
func TestPeerWithAShutWindowIsReclaimedByTheApplication(t *testing.T) {
	answered := func(d *dialogue, until time.Duration) {
		t.Helper()
		for end := d.now.Add(until); d.now < end && !d.tcb.Done(); {
			d.wait(min(d.tcb.Deadline().Sub(d.now), end.Sub(d.now)))
			for _, u := range d.overheard() {
				if !u.Flags.Has(tcp.RST) {
					d.send(". 1 ack 1 win 0")
				}
			}
		}
	}
	for name, end := range map[string]func(*dialogue){
		"abort": func(d *dialogue) { d.abort() },
		"a close that lingers for a minute": func(d *dialogue) {
			d.tcb.SetLinger(time.Minute)
			d.close()
			answered(d, time.Minute-1)
			if d.tcb.Done() {
				d.fail("it is over before its time")
			}
			answered(d, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			budget := tcp.NewBudget(1 << 20)
			d := established(t, withParams(tcp.Params{Budget: budget}))
			d.send(". 1 ack 1 win 0")
			d.write(50_000)
			answered(d, 24*time.Hour)
			d.expectState(tcp.StateEstablished)
			end(d)
			d.overheard()
			d.expectClosed(tcp.ErrAborted)
			if n := budget.Used(); n != 0 {
				d.fail("%d bytes are held", n)
			}
		})
	}
}
