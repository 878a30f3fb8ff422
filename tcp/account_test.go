package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// What Info tells of a connection, in the manner of tcp_info.

// TestTimeIsChargedToWhatHoldsBack: data waits for the network, for the peer's window, for
// the network again, and for a buffer that is too small.
func TestTimeIsChargedToWhatHoldsBack(t *testing.T) {
	d := established(t, withPeer(bulk))
	charged := func(busy, window, buffer time.Duration) {
		t.Helper()
		if i := d.info(); i.Busy != busy || i.WindowLimited != window || i.BufferLimited != buffer {
			d.fail("busy for %v, limited by the window for %v, by the buffer for %v; want %v, %v, %v",
				i.Busy, i.WindowLimited, i.BufferLimited, busy, window, buffer)
		}
	}
	const ms = time.Millisecond
	d.wait(time.Hour)
	charged(0, 0, 0)
	d.write(2000)
	d.overheard()
	d.wait(7 * ms)
	charged(7*ms, 0, 0)
	d.send(". 1 ack 2001 win 0")
	d.wait(time.Hour) // a shut window, and nothing that it could hold back
	charged(7*ms, 0, 0)
	d.write(1000)
	d.wait(20 * ms)
	charged(27*ms, 20*ms, 0)
	d.send(". 1 ack 2001 win 4")
	d.overheard()
	d.wait(5 * ms)
	charged(32*ms, 20*ms, 0)
	d.send(". 1 ack 3001")
	d.wait(time.Hour)
	charged(32*ms, 20*ms, 0)

	d.tcb.SetSendBuffer(4096)
	if n := d.tryWrite(10_000); n != 4096 {
		d.fail("a buffer of 4,096 bytes took %d", n)
	}
	d.overheard()
	d.wait(9 * ms)
	charged(41*ms, 20*ms, 9*ms)
	d.send(". 1 ack 7097")
	d.wait(time.Hour)
	charged(41*ms, 20*ms, 9*ms)
	d.write(100)
	d.overheard()
	d.wait(3 * ms)
	d.abort()
	d.overheard()
	d.now = d.now.Add(time.Hour)
	charged(44*ms, 20*ms, 9*ms)
}

// TestTimeoutsAreCountedByRuns: two in a row and one, and how long each run took.
func TestTimeoutsAreCountedByRuns(t *testing.T) {
	d := established(t)
	d.write(100)
	d.overheard()
	d.wait(rtoAfter + 2*rtoAfter)
	d.overheard()
	if i := d.info(); i.Timeouts != 2 || i.TimeoutRuns != 1 || i.TimedOut != 2*rtoAfter || i.Backoff != 2 {
		d.fail("%d timeouts in %d runs of %v, back-off %d", i.Timeouts, i.TimeoutRuns, i.TimedOut, i.Backoff)
	}
	d.send(". 1 ack 101")
	d.wait(time.Hour)
	d.write(100)
	d.overheard()
	gap := d.info().RTO
	d.wait(gap + rtt)
	d.overheard()
	d.send(". 1 ack 201")
	d.wait(time.Hour)
	if i := d.info(); i.Timeouts != 3 || i.TimeoutRuns != 2 || i.TimedOut != 2*rtoAfter+rtt {
		d.fail("%d timeouts in %d runs of %v", i.Timeouts, i.TimeoutRuns, i.TimedOut)
	}
}

// TestInfoTellsWhereSentDataIs: outstanding, reported, lost, sent again; and what the
// sender makes of it.
func TestInfoTellsWhereSentDataIs(t *testing.T) {
	d := established(t, withSACK)
	want := func(state string, outstanding, sacked, lost, resent int) {
		t.Helper()
		i := d.info()
		if i.CAState != state || i.Outstanding != outstanding || i.Sacked != sacked || i.Lost != lost || i.Resent != resent {
			d.fail("%s: %d outstanding, %d sacked, %d lost, %d resent; want %s, %d, %d, %d, %d",
				i.CAState, i.Outstanding, i.Sacked, i.Lost, i.Resent, state, outstanding, sacked, lost, resent)
		}
	}
	want("open", 0, 0, 0, 0)
	d.write(10_000)
	d.overheard()
	want("open", 10_000, 0, 0, 0)
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 2001:3001>")
	want("disorder", 10_000, 1000, 0, 0)
	d.send(". 1 ack 1 <nop,nop,sack 2001:7001>")
	d.overheard()
	want("recovery", 10_000, 5000, 0, 2000)
	d.send(". 1 ack 10001")
	want("open", 0, 0, 0, 0)
	d.write(1000)
	d.overheard()
	d.wait(time.Second)
	d.overheard()
	want("loss", 1000, 0, 0, 1000)
	d.send(". 1 ack 11001")
	want("open", 0, 0, 0, 0)
	if i := d.info(); i.Delivered != 11_001 {
		d.fail("%d bytes delivered, want 11,000 and the SYN", i.Delivered)
	}
}

// TestInfoTellsOfTheReceiver: the ages of what came, its segments, and the peer's size.
func TestInfoTellsOfTheReceiver(t *testing.T) {
	d := established(t, withTS)
	d.wait(time.Second)
	if i := d.info(); i.LastDataRcv != -1 || i.LastDataSnd != -1 || i.LastRcv != time.Second || i.ATO != 0 || i.AdvMSS != 1460 || i.PathMTU != 1500 {
		d.fail("before any data: %+v", i)
	}
	d.send(". 1(900) ack 1", ". 901(900) ack 1")
	d.overheard()
	d.wait(time.Second)
	d.send(". 1801 ack 1")
	d.overheard()
	d.wait(time.Second)
	d.write(10)
	d.overheard()
	d.wait(time.Millisecond)
	i := d.info()
	if i.LastDataRcv != 2*time.Second+time.Millisecond || i.LastDataSnd != time.Millisecond ||
		i.LastRcv != time.Second+time.Millisecond || i.RcvMSS != 900 || i.ATO == 0 {
		d.fail("%+v", i)
	}
	if i.SegmentsIn != 4 || i.DataSegsIn != 2 || i.DataSegsOut != 1 || i.RcvRTT != time.Second {
		d.fail("%d segments in, %d with data, %d out; round trip %v", i.SegmentsIn, i.DataSegsIn, i.DataSegsOut, i.RcvRTT)
	}
}

// TestInfoTellsOfThePath: the MTU that is left by a packet too big, in IPv4 and IPv6.
func TestInfoTellsOfThePath(t *testing.T) {
	for _, c := range []struct {
		opts []option
		mtu  int // of the link
		less int // what a path of MSS 600 carries
	}{{nil, 1500, 640}, {[]option{withIPv6}, 1500, 660}} {
		d := established(t, c.opts...)
		if i := d.info(); i.PathMTU != c.mtu {
			d.fail("MTU %d, want %d", i.PathMTU, c.mtu)
		}
		d.write(1000)
		d.overheard()
		d.call("TooBig", func() { d.tcb.TooBig(d.now, 600, d.now.Add(time.Minute)) })
		d.overheard()
		if i := d.info(); i.PathMTU != c.less {
			d.fail("MTU %d, want %d", i.PathMTU, c.less)
		}
	}
}

// TestInfoTellsOfCongestionMarks: of packets that could be marked, of what was acknowledged
// with ECE, and that the window is reduced for it.
func TestInfoTellsOfCongestionMarks(t *testing.T) {
	d := withECN(t, tcp.Params{})
	if i := d.info(); i.ECNSeen || i.DeliveredCE != 0 || i.CAState != "open" {
		d.fail("%+v", i)
	}
	d.write(4000)
	d.overheard()
	d.wait(rtt)
	d.send(".E 1 ack 2001")
	d.overheard()
	if i := d.info(); i.DeliveredCE != 2000 || i.CAState != "cwr" {
		d.fail("%d bytes acknowledged with ECE, %s", i.DeliveredCE, i.CAState)
	}
	d.send(". 1 ack 4001")
	if i := d.info(); i.DeliveredCE != 2000 || i.CAState != "open" {
		d.fail("%d bytes acknowledged with ECE, %s", i.DeliveredCE, i.CAState)
	}
	d.arriveCE(". 1(10) ack 4001")
	d.overheard()
	if i := d.info(); !i.ECNSeen || i.CEIn != 1 {
		d.fail("a packet that has met congestion: seen %v, %d", i.ECNSeen, i.CEIn)
	}
}

// TestInfoTellsOfFastOpen: whether the peer took the data of our SYN, and why not.
func TestInfoTellsOfFastOpen(t *testing.T) {
	for _, c := range []struct {
		name   string
		cookie int // its length
		answer func(d *dialogue)
		taken  bool
		failed string
	}{
		{"taken", 8, func(d *dialogue) { d.send("S. 0 ack 101") }, true, ""},
		{"not taken", 8, func(d *dialogue) { d.send("S. 0 ack 1") }, false, "data not acknowledged"},
		{"no cookie", 0, func(d *dialogue) { d.send("S. 0 ack 1") }, false, "no cookie"},
		{"lost", 8, func(d *dialogue) {
			d.wait(time.Second)
			d.overheard()
			d.send("S. 0 ack 1")
		}, false, "SYN retransmitted"},
		{"not answered yet", 8, func(*dialogue) {}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDialogue(t)
			d.tcb.OpenActive(d.now, d.setup)
			d.tcb.OfferFastOpen(cookieOfLength(t, c.cookie), 1460)
			d.write(100)
			d.overheard()
			d.wait(rtt)
			c.answer(d)
			d.overheard()
			if i := d.info(); i.FastOpen != c.taken || i.FastOpenFailed != c.failed {
				d.fail("fast open: %v, %q; want %v, %q", i.FastOpen, i.FastOpenFailed, c.taken, c.failed)
			}
		})
	}
}
