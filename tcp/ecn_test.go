package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// ECN, RFC 3168, section 6.1.

func ecnMode(m tcp.ECNMode) option { return withParams(tcp.Params{ECN: m}) }

// TestECNHandshakePassive: 6.1.1: ECE on the SYN,ACK for a SYN with both flags, unless it
// is off.
func TestECNHandshakePassive(t *testing.T) {
	for _, c := range []struct {
		mode      tcp.ECNMode
		syn, want string
		on        bool
	}{
		{tcp.ECNAccept, "SEC 0", "SE. 0 ack 1", true},
		{tcp.ECNAsk, "SEC 0", "SE. 0 ack 1", true},
		{tcp.ECNOff, "SEC 0", "S. 0 ack 1", false},
		{tcp.ECNAccept, "S 0", "S. 0 ack 1", false},
		{tcp.ECNAsk, "S 0", "S. 0 ack 1", false},
		{tcp.ECNAccept, "SE 0", "S. 0 ack 1", false},
		{tcp.ECNAccept, "SC 0", "S. 0 ack 1", false},
	} {
		d := newDialogue(t, ecnMode(c.mode))
		d.listenUp()
		d.send(c.syn)
		d.expect(c.want)
		d.wait(rtt)
		d.send(". 1 ack 1")
		if got := d.info().ECN; got != c.on {
			d.fail("mode %d, %s: ECN %v", c.mode, c.syn, got)
		}
	}
}

// TestECNHandshakeActive: 6.1.1: we ask if we are to, and ECE alone says yes; a peer that
// reflects both flags knows nothing of ECN.
func TestECNHandshakeActive(t *testing.T) {
	for _, c := range []struct {
		mode         tcp.ECNMode
		want, synAck string
		on           bool
	}{
		{tcp.ECNAsk, "SEC 0", "SE. 0 ack 1", true},
		{tcp.ECNAsk, "SEC 0", "SEC. 0 ack 1", false},
		{tcp.ECNAsk, "SEC 0", "SC. 0 ack 1", false},
		{tcp.ECNAsk, "SEC 0", "S. 0 ack 1", false},
		{tcp.ECNAccept, "S 0", "S. 0 ack 1", false},
		{tcp.ECNAccept, "S 0", "SE. 0 ack 1", false},
		{tcp.ECNOff, "S 0", "SE. 0 ack 1", false},
	} {
		d := newDialogue(t, ecnMode(c.mode))
		d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
		d.expect(c.want)
		d.wait(rtt)
		d.send(c.synAck)
		d.expect(". 1 ack 1")
		if got := d.info().ECN; got != c.on {
			d.fail("mode %d, %s: ECN %v", c.mode, c.synAck, got)
		}
	}
}

// TestRepeatedSYNDoesNotAsk: 6.1.1.1.
func TestRepeatedSYNDoesNotAsk(t *testing.T) {
	d := newDialogue(t, ecnMode(tcp.ECNAsk))
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	d.expect("SEC 0")
	d.wait(3 * time.Second)
	d.expect("@1s S 0", "@3s S 0")
}

// withECN is an established connection that uses ECN.
func withECN(t *testing.T, p tcp.Params, opts ...option) *dialogue {
	t.Helper()
	p.ECN = tcp.ECNAsk
	d := newDialogue(t, append([]option{withParams(p)}, opts...)...)
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	d.expect("SEC 0")
	d.wait(rtt)
	d.send("SE. 0 ack 1")
	d.expect(". 1 ack 1")
	d.mark = d.now
	return d
}

// arriveCE lets a segment arrive that has met congestion.
func (d *dialogue) arriveCE(text string) {
	d.Helper()
	d.act()
	d.tell("> CE", text)
	var seg tcp.Segment
	if err := tcp.Parse(d.onWire(text), &seg); err != nil {
		d.fail("%v", err)
	}
	seg.CE = true
	d.tcb.Segment(d.now, &seg)
	d.listen()
}

// marks takes all that the TCB sends now and says which of it is ECN-capable.
func (d *dialogue) marks() (ect []bool) {
	d.Helper()
	var out tcp.Out
	for d.tcb.Next(d.now, &out) {
		d.tell("<", letters(out.Flags)+" "+itoa(out.Seq.Sub(d.iss))+"("+itoa(out.DataLen)+")")
		ect = append(ect, out.ECT)
	}
	return ect
}

func (d *dialogue) expectMarks(what string, want ...bool) {
	d.Helper()
	got := d.marks()
	if len(got) != len(want) {
		d.fail("%s: %d segments, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			d.fail("%s: segment %d has ECT %v, want %v", what, i, got[i], want[i])
		}
	}
}

// quietly lets a segment arrive without asking the TCB what it has to say.
func (d *dialogue) quietly(text string) {
	d.Helper()
	var seg tcp.Segment
	if err := tcp.Parse(d.onWire(text), &seg); err != nil {
		d.fail("%v", err)
	}
	d.tell(">", text)
	d.tcb.Segment(d.now, &seg)
}

// TestECTOnNewDataOnly: 6.1.1 (SYNs), 6.1.4 (pure ACKs), 6.1.5 (retransmissions), 6.1.6
// (window probes).
func TestECTOnNewDataOnly(t *testing.T) {
	write := func(d *dialogue, n int) {
		if got, err := d.tcb.Write(d.now, make([]byte, n)); got != n || err != nil {
			d.fail("Write: %d, %v", got, err)
		}
	}
	t.Run("SYN", func(t *testing.T) {
		d := newDialogue(t, ecnMode(tcp.ECNAsk))
		d.tcb.OpenActive(d.now, d.setup)
		d.expectMarks("SYN", false)
		d.quietly("SE. 0 ack 1")
		d.expectMarks("the ACK of the SYN,ACK", false)
	})
	t.Run("data and its retransmission", func(t *testing.T) {
		d := withECN(t, tcp.Params{})
		write(d, 2000)
		d.expectMarks("new data", true, true)
		d.now = d.tcb.Deadline()
		d.tcb.Tick(d.now)
		d.expectMarks("a retransmission", false)
	})
	t.Run("pure ACK", func(t *testing.T) {
		d := withECN(t, tcp.Params{})
		d.quietly(". 1(1000) ack 1")
		d.quietly(". 1001(1000) ack 1")
		d.expectMarks("a pure ACK", false)
	})
	t.Run("window probe", func(t *testing.T) {
		d := withECN(t, tcp.Params{})
		d.quietly(". 1 ack 1 win 0")
		write(d, 2000)
		d.expectMarks("a shut window")
		d.now = d.tcb.Deadline()
		d.tcb.Tick(d.now)
		d.expectMarks("a window probe", false)
		d.now = d.tcb.Deadline()
		d.tcb.Tick(d.now)
		d.expectMarks("the next window probe", false)
	})
	t.Run("FIN without data", func(t *testing.T) {
		d := withECN(t, tcp.Params{})
		_ = d.tcb.CloseWrite(d.now)
		d.expectMarks("a FIN without data", false)
	})
	t.Run("without ECN", func(t *testing.T) {
		d := established(t)
		write(d, 1000)
		d.expectMarks("data without ECN", false)
	})
}

// TestECEUntilCWR: 6.1.3: on every ACK from the packet that met congestion until the peer
// says CWR.
func TestECEUntilCWR(t *testing.T) {
	d := withECN(t, tcp.Params{})
	d.send(". 1(1000) ack 1", ". 1001(1000) ack 1")
	d.expect(". 1 ack 2001")
	d.arriveCE(". 2001(1000) ack 1")
	d.expect("E. 1 ack 3001")
	d.send(". 3001(1000) ack 1", ". 4001(1000) ack 1")
	d.expect("E. 1 ack 5001")
	d.write(1000)
	d.expect("EP. 1(1000) ack 5001")
	d.send("C. 5001(1000) ack 1001", ". 6001(1000) ack 1001")
	d.expect(". 1001 ack 7001")
	if got := d.info().CEIn; got != 1 {
		d.fail("%d packets met congestion", got)
	}
}

// TestCWRAndCEInOneSegment: 6.1.3: congestion met by the packet that carries CWR is new.
func TestCWRAndCEInOneSegment(t *testing.T) {
	d := withECN(t, tcp.Params{})
	d.arriveCE(". 1(1000) ack 1")
	d.expect("E. 1 ack 1001")
	d.arriveCE("C. 1001(1000) ack 1")
	d.expect("E. 1 ack 2001")
}

// TestOneReactionARoundTrip: 6.1.2: the window is reduced at most once for a window of
// data, and CWR stands on the first new data after.
func TestOneReactionARoundTrip(t *testing.T) {
	d := withECN(t, tcp.Params{Congestion: tcp.NewReno})
	d.write(30000)
	if n := len(d.overheard()); n != 10 {
		d.fail("a flight of %d", n)
	}
	d.wait(rtt)
	d.send("E. 1 ack 1001")
	said := d.overheard()
	first := d.info()
	if first.Ssthresh > 5000 || first.Ssthresh < 4000 {
		d.fail("ssthresh %d after ECE, ten segments in flight", first.Ssthresh)
	}
	for acked := 2001; acked < 10001; acked += 1000 {
		d.send("E. 1 ack " + itoa(acked))
		if got := d.info().Ssthresh; got != first.Ssthresh {
			d.fail("a second reaction in the same window: ssthresh %d", got)
		}
		said = append(said, d.overheard()...)
	}
	for n, u := range said {
		if cwr := u.Flags.Has(tcp.CWR); cwr != (n == 0) || u.Seq != d.iss.Add(10001+n*1000) {
			d.fail("segment %d after the reaction is %s", n, u.text)
		}
	}
	if len(said) == 0 {
		d.fail("nothing new was sent")
	}
	d.wait(rtt)
	nxt := d.info().SndNxt.Sub(d.iss)
	d.send("E. 1 ack " + itoa(nxt-1000)) // of a packet sent after the reaction
	d.overheard()
	if got := d.info().Ssthresh; got >= first.Ssthresh {
		d.fail("no reaction in the next round trip: ssthresh %d", got)
	}
}

// TestECEOnAnAckOfEverythingHalves: 6.1.2: the congestion window is halved; that the ACK
// has emptied the network, as that of one super-segment does, makes it no worse.
func TestECEOnAnAckOfEverythingHalves(t *testing.T) {
	d := withECN(t, tcp.Params{Congestion: tcp.NewReno})
	d.write(10000)
	d.overheard()
	d.wait(rtt)
	d.send("E. 1 ack 10001")
	d.expectNothing()
	if i := d.info(); i.Cwnd < 5000 || i.Cwnd > 5500 {
		d.fail("cwnd %d after ECE, it was 10000", i.Cwnd)
	}
}

// TestNoReactionBesidesALoss: 6.1.2: fast recovery has reduced the window for this window
// of data already.
func TestNoReactionBesidesALoss(t *testing.T) {
	d := withECN(t, tcp.Params{Congestion: tcp.NewReno}, withSACK)
	d.write(10000)
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
	d.expect(". 1(1000) ack 1")
	ssthresh := d.info().Ssthresh
	d.send("E. 1 ack 1 <nop,nop,sack 1001:7001>")
	d.overheard()
	d.wait(rtt)
	d.send("E. 1 ack 10001")
	d.overheard()
	if got := d.info().Ssthresh; got != ssthresh {
		d.fail("ssthresh went from %d to %d", ssthresh, got)
	}
}

// TestECEIsIgnoredWithoutECN.
func TestECEIsIgnoredWithoutECN(t *testing.T) {
	d := flight(t, 10)
	d.send("E. 1 ack 5001")
	d.expectNothing()
	if got := d.info().Ssthresh; got != tcp.MaxWindow {
		d.fail("ssthresh %d", got)
	}
}
