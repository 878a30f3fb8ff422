package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The faults of RFC 2525, each a test that a TCP with that fault fails. The numbers
// are those of its sections.

// bulk is a peer to whom much can be sent at once: a window of 16 MiB.
func bulk(p *peer) { p.wscale, p.win = 8, 65535 }

// count is how many segments the TCB has said, all of them with data.
func (d *dialogue) count() int {
	d.Helper()
	heard := d.overheard()
	for _, u := range heard {
		if len(u.Payload) == 0 {
			d.fail("heard %s among data", u.text)
		}
	}
	return len(heard)
}

// ackEach acknowledges the segments of 1,000 bytes from number from up to to one by one
// and returns how many segments that let go.
func (d *dialogue) ackEach(from, to int) (sent int) {
	d.Helper()
	for ; from < to; from += 1000 {
		d.send(". 1 ack " + itoa(from+1000))
		sent += d.count()
	}
	return sent
}

// TestRFC2525NoInitialSlowStart: 2.1: an application that writes all at once, and a
// window that would take it: the first flight is the initial window, and every round trip
// after it doubles at most what is sent.
func TestRFC2525NoInitialSlowStart(t *testing.T) {
	d := established(t, withPeer(bulk))
	d.write(500_000)
	round := d.count()
	if round != 10 {
		d.fail("the first flight has %d segments, want 10 (RFC 6928)", round)
	}
	for acked := 1; round < 160; {
		d.wait(rtt)
		sent := d.ackEach(acked, acked+round*1000)
		if acked += round * 1000; sent != 2*round {
			d.fail("%d segments after a flight of %d", sent, round)
		}
		round = sent
	}
}

// TestRFC2525NoSlowStartAfterTimeout: 2.2: after a retransmission timeout the window is one
// segment, and grows from there.
func TestRFC2525NoSlowStartAfterTimeout(t *testing.T) {
	d := flight(t, 10)
	d.wait(rtoAfter)
	if n := d.count(); n != 1 {
		d.fail("%d segments at the timeout, want 1", n)
	}
	acked, round := 1, 1
	for _, want := range []int{2, 4} { // of the nine that were lost behind it
		sent := d.ackEach(acked, acked+round*1000)
		if acked += round * 1000; sent != want {
			d.fail("%d segments after a flight of %d, want %d", sent, round, want)
		}
		round = sent
		d.wait(rtt)
	}
}

// TestRFC2525UninitializedCWND: 2.3: by whatever way a connection is established, the
// window is the initial one when data is there to be sent; the fault was seen where the
// first ACK came late or with data.
func TestRFC2525UninitializedCWND(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(t *testing.T, o option) *dialogue
		want int
	}{
		{"active", func(t *testing.T, o option) *dialogue { return established(t, o) }, 10},
		{"passive", func(t *testing.T, o option) *dialogue { return passively(t, tcp.StateEstablished, o) }, 10},
		{"passive, the ACK comes with data", func(t *testing.T, o option) *dialogue {
			d := passively(t, tcp.StateSynReceived, o)
			d.send("P. 1(100) ack 1")
			d.overheard()
			return d
		}, 10},
		{"passive, the ACK was lost", func(t *testing.T, o option) *dialogue {
			d := passively(t, tcp.StateSynReceived, o)
			d.wait(900 * time.Millisecond)
			d.send("P. 1(100) ack 1", "P. 101(100) ack 1")
			d.overheard()
			return d
		}, 10},
		{"crossing SYNs", func(t *testing.T, o option) *dialogue {
			d := inState(t, tcp.StateSynReceived, o)
			d.send("S. 0 ack 1")
			d.overheard()
			d.expectState(tcp.StateEstablished)
			return d
		}, 10},
		{"a SYN was lost (RFC 5681, 3.1)", func(t *testing.T, o option) *dialogue {
			d := inState(t, tcp.StateSynSent, o)
			d.wait(3 * time.Second)
			d.expect("@1s S 0", "@3s S 0")
			d.send("S. 0 ack 1")
			d.expect(". 1 ack 1")
			return d
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.open(t, withPeer(func(p *peer) { p.win = 60000 }))
			d.write(100_000)
			if n := d.count(); n != c.want {
				d.fail("%d segments in the first flight, want %d", n, c.want)
			}
		})
	}
}

// TestRFC2525InconsistentRetransmission: 2.4: whatever is sent again, in pieces cut and
// joined otherwise than at first, is what was sent at first.
func TestRFC2525InconsistentRetransmission(t *testing.T) {
	for _, opts := range [][]option{nil, {withSACK}, {withTS, withSACK}} {
		d := established(t, append(opts, withParams(tcp.Params{NoAutocork: true}))...)
		d.tcb.SetNoDelay(d.now, true)
		stream := make(map[tcp.Seq]byte)
		again := 0
		hear := func() {
			for _, u := range d.overheard() {
				for i, b := range u.Payload {
					at := u.Seq.Add(i)
					first, known := stream[at]
					if known && b != first {
						d.fail("byte %d was %#x at first and is %#x in %s", at.Sub(d.iss), first, b, u.text)
					}
					if known {
						again++
					}
					stream[at] = b
				}
			}
		}
		for n := 10; n < 400; n += 30 { // small pieces, which a retransmission joins
			d.write(n)
			hear()
		}
		d.wait(rtt)
		d.send(". 1 ack 41") // the first two
		hear()
		d.wait(3 * time.Second) // timeouts
		hear()
		d.call("TooBig", func() { d.tcb.TooBig(d.now, 300, d.now.Add(time.Hour)) }) // and cut smaller
		hear()
		d.wait(time.Minute)
		hear()
		if again < 2600 {
			d.fail("%d bytes were sent again: the test sees too little", again)
		}
	}
}

// TestRFC2525FailureToRetainAboveSequenceData: 2.5: what comes beyond a gap is kept, so
// that one segment repairs it.
func TestRFC2525FailureToRetainAboveSequenceData(t *testing.T) {
	for _, opts := range [][]option{nil, {withSACK}} {
		d := established(t, opts...)
		for off := 1001; off < 20001; off += 1000 {
			d.send(". " + itoa(off) + "(1000) ack 1")
			d.expect(". 1 ack 1")
		}
		d.send(". 1(1000) ack 1")
		d.expect(". 1 ack 20001")
		d.expectRead(20000)
	}
}

// TestRFC2525ExtraAdditiveConstantInCongestionAvoidance: 2.6: a round trip of congestion
// avoidance adds one segment to what is sent in it, at any size of the window. The fault
// adds an eighth of a segment with every ACK besides.
func TestRFC2525ExtraAdditiveConstantInCongestionAvoidance(t *testing.T) {
	d := flight(t, 10, withParams(tcp.Params{Congestion: tcp.NewReno}), withPeer(bulk))
	d.write(900_000)
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1001") // and the second is lost
	d.overheard()
	for range 8 {
		d.send(". 1 ack 1001")
		d.overheard()
	}
	end := d.info().SndNxt.Sub(d.iss)
	d.send(". 1 ack " + itoa(end))
	round := d.count()
	for acked := end; round < 30; {
		d.wait(rtt)
		sent := d.ackEach(acked, acked+round*1000)
		if acked += round * 1000; sent != round && sent != round+1 {
			d.fail("%d segments after %d in congestion avoidance", sent, round)
		}
		round = sent
	}
}
