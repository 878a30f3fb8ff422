package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The faults of RFC 2525, from 2.7 on; those before stand in rfc2525_test.go.

// TestRFC2525InitialRTOTooLow: 2.7: before there is a measurement nothing is sent again
// within a second (RFC 6298, 2.1), and over a path that takes 900 ms each way nothing is at
// all once that is known.
func TestRFC2525InitialRTOTooLow(t *testing.T) {
	for name, d := range map[string]*dialogue{
		"SYN":     inState(t, tcp.StateSynSent),
		"SYN,ACK": passively(t, tcp.StateSynReceived),
	} {
		t.Log(name)
		d.wait(time.Second - 1)
		d.expectNothing()
		d.wait(1)
		if h := d.overheard(); len(h) != 1 || !h[0].Flags.Has(tcp.SYN) {
			d.fail("%d segments after a second, want the SYN again", len(h))
		}
	}
	d := inState(t, tcp.StateSynSent)
	d.wait(900 * time.Millisecond)
	d.send("S. 0 ack 1")
	d.expect(". 1 ack 1")
	for off := 1; off < 5001; off += 1000 {
		d.write(1000)
		d.expect("P. " + itoa(off) + "(1000) ack 1")
		d.wait(900 * time.Millisecond)
		d.send(". 1 ack " + itoa(off+1000))
		d.expectNothing()
	}
}

// TestRFC2525FailureOfWindowDeflationAfterLossRecovery: 2.8: what duplicate ACKs added to
// the window is gone when the recovery is over: no more is in flight then than ssthresh,
// half of what was. With the fault the whole of the inflated window leaves at once.
func TestRFC2525FailureOfWindowDeflationAfterLossRecovery(t *testing.T) {
	for _, opts := range [][]option{nil, {withSACK}} {
		opts = append(opts, withParams(tcp.Params{Congestion: tcp.NewReno, InitialWindow: 20}), withPeer(bulk))
		d := established(t, opts...)
		d.write(200_000)
		if n := d.count(); n != 20 {
			d.fail("%d segments at first, want 20", n)
		}
		d.wait(rtt)
		point := 0
		for dup := 1; dup <= 19; dup++ { // the first segment is lost
			if dup == 3 {
				point = d.info().SndNxt.Sub(d.iss) // limited transmit has sent two more
			}
			if d.peer.sack {
				d.send(". 1 ack 1 <nop,nop,sack 1001:" + itoa(1001+dup*1000) + ">")
			} else {
				d.send(". 1 ack 1")
			}
			d.overheard()
		}
		d.wait(rtt)
		d.send(". 1 ack " + itoa(point))
		if n := d.count(); n > 4 {
			d.fail("the ACK that ends the recovery lets a burst of %d segments go", n)
		}
		if inFlight := d.info().SndNxt.Sub(d.iss) - point; inFlight > 10_000 || inFlight < 8_000 {
			d.fail("%d bytes are in flight after the recovery, want about half of 20,000", inFlight)
		}
	}
}

// TestRFC2525ExcessivelyShortKeepAliveConnectionTimeout: 2.9: an outage of ten minutes, of
// which the application has not asked to hear, ends no connection that is kept alive.
func TestRFC2525ExcessivelyShortKeepAliveConnectionTimeout(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{})
	d.wait(2*time.Hour + 10*time.Minute)
	if n := len(d.overheard()); n < 5 {
		d.fail("%d probes in ten minutes", n)
	}
	d.send(". 1 ack 1")
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
	d.wait(2*time.Hour - 1)
	d.expectNothing()
}

// TestRFC2525FailureToBackOffRetransmissionTimeout: 2.10: each timeout without an answer is
// twice the one before, and by Karn's algorithm the last of them holds for what is sent
// next, until a round trip has been measured. The fault forgets it with the first ACK.
func TestRFC2525FailureToBackOffRetransmissionTimeout(t *testing.T) {
	d := established(t)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	var at time.Duration
	gap := rtoAfter
	for range 3 {
		at += gap
		gap *= 2
		d.at(at)
		d.expect("@" + at.String() + " P. 1(1000) ack 1")
	}
	d.send(". 1 ack 1001") // of which transmission, nobody knows
	d.expectNothing()
	d.write(1000)
	d.expect("P. 1001(1000) ack 1")
	d.wait(gap - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@" + gap.String() + " P. 1001(1000) ack 1")
}

// TestRFC2525InsufficientIntervalBetweenKeepAlives: 2.11: two hours lie between the probes
// of an idle connection whose peer answers them: twelve a day.
func TestRFC2525InsufficientIntervalBetweenKeepAlives(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{})
	for range 12 {
		d.mark = d.now
		d.wait(2*time.Hour - 1)
		d.expectNothing()
		d.wait(1)
		d.expect("@2h . 0 ack 1")
		d.send(". 1 ack 1")
		d.expectNothing()
	}
}

// TestRFC2525WindowProbeDeadlock: 2.12: the reader takes one byte out of a full buffer,
// which is no reason to open the window; the peer's probe, with a byte in it, fits and may
// be taken. From then on its segments lie behind a window of nothing, and their ACKs count
// all the same: the writer, whose buffer is full, goes on.
func TestRFC2525WindowProbeDeadlock(t *testing.T) {
	d := smallBuffer(t)
	d.tcb.SetSendBuffer(4096)
	end := d.fill()
	d.take(1)
	d.overheard()
	d.send(". " + itoa(end) + "(1) ack 1")
	d.overheard()
	nxt := itoa(d.info().RcvNxt.Sub(d.irs)) // what the peer hears of it
	wrote := d.tryWrite(100_000)
	sent := 0
	for _, u := range d.overheard() {
		sent += len(u.Payload)
	}
	if sent != wrote || wrote < 4000 {
		d.fail("%d bytes were sent of %d, which a buffer of 4,096 has taken", sent, wrote)
	}
	for range 50 { // each time a bufferful, acknowledged by a segment that finds no room
		d.wait(rtt)
		d.send("P. " + nxt + "(1) ack " + itoa(1+sent))
		d.overheard()
		if wrote = d.tryWrite(100_000); wrote == 0 {
			d.fail("everything sent is acknowledged, and there is no room to write")
		}
		for _, u := range d.overheard() {
			sent += len(u.Payload)
		}
	}
	for d.tcb.Readable() { // and the other way it goes on when the reader does
		d.take(1000)
		d.overheard()
	}
	d.send(". " + nxt + "(1000) ack " + itoa(1+sent))
	d.wait(time.Second)
	d.overheard()
	d.expectRead(1000)
}

// TestRFC2525StretchACKViolation: 2.13: of a stream of full segments that come one by one,
// with or without a reader who waits for it, never more than two wait for an ACK.
func TestRFC2525StretchACKViolation(t *testing.T) {
	for _, reads := range []bool{false, true} {
		d := established(t, withPeer(func(p *peer) { p.mss = 1460 }))
		acked, acks := 1, 0
		for off := 1; off < 1+60*1000; off += 1000 {
			d.wait(100 * time.Microsecond)
			d.send(". " + itoa(off) + "(1000) ack 1")
			hear := func() {
				for _, u := range d.overheard() {
					acked, acks = u.Ack.Sub(d.irs), acks+1
				}
			}
			hear()
			if reads {
				d.take(1000)
				d.expectReadError(nil)
				hear()
			}
			if waiting := off + 1000 - acked; waiting >= 2000 {
				d.fail("%d bytes have arrived since the last ACK", waiting)
			}
		}
		if acks < 30 {
			d.fail("%d ACKs of 60 segments", acks)
		}
	}
}

// TestRFC2525RetransmissionSendsMultiplePackets: 2.14: a timeout and a third duplicate ACK
// send one segment again, and not the whole window.
func TestRFC2525RetransmissionSendsMultiplePackets(t *testing.T) {
	for _, opts := range [][]option{nil, {withSACK}, {withSACK, withTS}, {withGSO(64 << 10)}} {
		flown := func() (d *dialogue, mss int) {
			d = established(t, opts...)
			mss = d.info().SndMSS
			d.write(10 * mss)
			d.overheard()
			d.wait(rtt)
			return d, mss
		}
		d, mss := flown()
		for dup := range 3 {
			d.send(". 1 ack 1 <" + sackOf(d, 1+mss, 1+(2+dup)*mss) + ">")
		}
		if h := d.overheard(); len(h) != 1 || h[0].Seq != d.iss.Add(1) || len(h[0].Payload) != mss {
			d.fail("%d segments at the third duplicate, want the first alone", len(h))
		}

		d, mss = flown()
		d.wait(rtoAfter + 3*rtt)
		h := d.overheard()
		if d.peer.sack { // a tail loss probe goes before (RFC 8985): the last segment
			if len(h) == 0 || h[0].Seq != d.iss.Add(1+9*mss) {
				d.fail("no tail loss probe among %d segments", len(h))
			}
			h = h[1:]
		}
		if len(h) != 1 || h[0].Seq != d.iss.Add(1) || len(h[0].Payload) != mss {
			d.fail("%d segments at the timeout, want the first alone", len(h))
		}
	}
}

// sackOf is what the peer writes beside the ACK of a segment beyond a gap.
func sackOf(d *dialogue, from, to int) string {
	var opts string
	if d.peer.ts {
		opts = d.usualOptions(tcp.ACK)
	}
	if d.peer.sack {
		if opts != "" {
			opts += ","
		}
		opts += "nop,nop,sack " + itoa(from) + ":" + itoa(to)
	}
	return opts
}

// TestRFC2525FailureToSendFINNotificationPromptly: 2.15: a close is told at once, also
// while data is in flight and an end smaller than a segment goes with it: neither Nagle nor
// the peer's delayed ACK holds the FIN back.
func TestRFC2525FailureToSendFINNotificationPromptly(t *testing.T) {
	for _, n := range []int{0, 1, 500, 1000, 1500, 9000, 9999} {
		d := established(t)
		d.tcb.SetNoDelay(d.now, false)
		for _, part := range []int{n - n/3, n / 3} { // a small one in flight, another behind it
			if part > 0 {
				d.write(part)
				d.overheard()
			}
		}
		d.close()
		h := d.overheard()
		if len(h) == 0 || !h[len(h)-1].Flags.Has(tcp.FIN) || h[len(h)-1].at != d.mark {
			d.fail("%d bytes written and closed: no FIN at once", n)
		}
		if got := h[len(h)-1].Seq.Add(len(h[len(h)-1].Payload)).Sub(d.iss); got != 1+n {
			d.fail("the FIN has the number %d, want %d", got, 1+n)
		}
	}
}

// TestRFC2525FailureToSendRSTAfterHalfDuplexClose: 2.16: what arrives for an application
// that is gone is answered by a reset, in whichever state its close has brought us to.
func TestRFC2525FailureToSendRSTAfterHalfDuplexClose(t *testing.T) {
	for _, acked := range []bool{false, true} {
		d := established(t)
		d.close()
		d.expect("F. 1 ack 1")
		ack := "1"
		if acked {
			ack = "2"
			d.send(". 1 ack 2")
			d.expectNothing()
			d.expectState(tcp.StateFinWait2)
		}
		d.send("P. 1(100) ack " + ack)
		h := d.overheard()
		if len(h) != 1 || !h[0].Flags.Has(tcp.RST) {
			d.fail("data for nobody: %d segments, want a reset", len(h))
		}
		d.expectClosed(tcp.ErrAborted)
	}
}

// TestRFC2525FailureToRSTOnCloseWithDataPending: 2.17: a close while data waits to be read
// is a reset, so that the peer does not take it for read.
func TestRFC2525FailureToRSTOnCloseWithDataPending(t *testing.T) {
	for _, opened := range []func(testing.TB, tcp.State, ...option) *dialogue{inState, passively} {
		for _, state := range []tcp.State{tcp.StateEstablished, tcp.StateCloseWait} {
			d := opened(t, tcp.StateEstablished)
			flags := "P. 1(100) ack 1"
			if state == tcp.StateCloseWait {
				flags = "F" + flags
			}
			d.send(flags)
			d.wait(delack)
			d.overheard()
			d.take(99)
			d.overheard()
			d.close()
			if h := d.overheard(); len(h) != 1 || !h[0].Flags.Has(tcp.RST) || h[0].at != d.mark {
				d.fail("closed with a byte unread: %d segments, want a reset", len(h))
			}
		}
	}
}

// TestRFC2525OptionsMissingFromMSSCalculation: 2.18: no segment is longer than the peer's
// MSS with its options counted, timestamps and SACK blocks; the device does not cut one
// into longer ones either.
func TestRFC2525OptionsMissingFromMSSCalculation(t *testing.T) {
	for _, opts := range [][]option{{withTS}, {withSACK}, {withTS, withSACK}, {withTS, withGSO(64 << 10)}} {
		d := established(t, opts...)
		most := 0
		hear := func() {
			for _, u := range d.overheard() {
				size := len(u.Payload)
				if u.GSOSize != 0 {
					size = int(u.GSOSize)
				}
				if size > 0 {
					most = max(most, size+len(u.header)-tcp.HeaderLen)
				}
			}
		}
		d.write(5_000)
		hear()
		if d.peer.sack { // beyond a gap: blocks ride on what we send
			d.send(". 1001(100) ack 1", ". 2001(100) ack 1")
			hear()
		}
		d.write(3_000)
		hear()
		if most != 1000 {
			d.fail("the largest segment has %d bytes of data and options, want 1,000", most)
		}
	}
}
