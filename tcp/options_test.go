package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// What the two sides agree on in the handshake.

func fullPeer(p *peer) { p.mss, p.sack, p.ts, p.wscale = 1460, true, true, 7 }

// TestOptionsOfSYN: all offers, in Linux's order.
func TestOptionsOfSYN(t *testing.T) {
	d := newDialogue(t)
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	d.expect("S 0 <mss 1460,sackOK,TS * 0,nop,wscale *>")
}

// TestOptionsOfSynAck: each option of the SYN is answered, in the same order.
func TestOptionsOfSynAck(t *testing.T) {
	d := newDialogue(t, withPeer(fullPeer))
	d.listenUp()
	d.send("S 0 <mss 1400,sackOK,TS 77 0,nop,wscale 3>")
	d.expect("S. 0 ack 1 <mss 1460,sackOK,TS * 77,nop,wscale *>")
	d.send(". 1 ack 1 <nop,nop,TS 78 " + itoa(int(d.lastTS)) + ">")
	d.expectNothing()
	i := d.info()
	if !i.SACK || !i.Timestamps || !i.WindowScale || i.SndWndShift != 3 || i.SndMSS != 1400-12 || i.AdvMSS != 1460 {
		d.fail("agreed on %+v", i)
	}
}

// TestOptionsNotOfferedAreDeclined: what the SYN lacks the SYN,ACK lacks (RFC 7323,
// 2.2 and 3.2; RFC 2018, 2).
func TestOptionsNotOfferedAreDeclined(t *testing.T) {
	for _, c := range []struct {
		syn, want string
	}{
		{"mss 1400", "mss 1460"},
		{"", "mss 1460"},
		{"mss 1400,nop,nop,sackOK", "mss 1460,nop,nop,sackOK"},
		{"mss 1400,nop,nop,TS 5 0", "mss 1460,nop,nop,TS * 5"},
		{"mss 1400,nop,wscale 2", "mss 1460,nop,wscale *"},
	} {
		d := newDialogue(t)
		d.listenUp()
		d.send("S 0 <" + c.syn + ">")
		d.expect("S. 0 ack 1 <" + c.want + ">")
	}
}

// TestPeerDeclines: as the caller we have offered all, and use none.
func TestPeerDeclines(t *testing.T) {
	d := newDialogue(t)
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1 win 5000 <mss 1000>")
	d.expect(". 1 ack 1 <>")
	i := d.info()
	if i.SACK || i.Timestamps || i.WindowScale || i.SndWndShift != 0 || i.RcvWndShift != 0 || i.SndMSS != 1000 || i.SndWnd != 5000 {
		d.fail("agreed on %+v", i)
	}
	d.send(". 1001(10) ack 1")
	d.expect(". 1 ack 1 <>") // no SACK block
	if i.RcvWnd > 65535 {
		d.fail("RCV.WND is %d without window scaling", i.RcvWnd)
	}
}

// TestParamsDecline: our own settings leave the option out and decline the peer's.
func TestParamsDecline(t *testing.T) {
	for _, c := range []struct {
		p         tcp.Params
		syn, back string
	}{
		{tcp.Params{NoTimestamps: true}, "mss 1460,nop,nop,sackOK,nop,wscale *", "mss 1460,nop,nop,sackOK,nop,wscale *"},
		{tcp.Params{NoSACK: true}, "mss 1460,nop,nop,TS * 0,nop,wscale *", "mss 1460,nop,nop,TS * 9,nop,wscale *"},
		{tcp.Params{NoWindowScale: true}, "mss 1460,sackOK,TS * 0", "mss 1460,sackOK,TS * 9"},
	} {
		d := newDialogue(t, withParams(c.p))
		d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
		d.expect("S 0 <" + c.syn + ">")

		d = newDialogue(t, withParams(c.p))
		d.listenUp()
		d.send("S 0 <mss 1000,sackOK,TS 9 0,nop,wscale 4>")
		d.expect("S. 0 ack 1 <" + c.back + ">")
	}
}

// TestMSSIsAnnounced: MTU less 40 for IPv4 and 60 for IPv6, not less options
// (MUST-14, MUST-67, SHLD-5); the watch compares every SYN.
func TestMSSIsAnnounced(t *testing.T) {
	for _, mss := range []int{1460, 1440, 536, 9000 - 40, 65495} {
		d := newDialogue(t, withMSS(mss))
		d.openActive()
		if d.info().AdvMSS != mss {
			d.fail("Info says %d", d.info().AdvMSS)
		}
	}
}

// TestDefaultSendMSS: MUST-15.
func TestDefaultSendMSS(t *testing.T) {
	noMSS := withPeer(func(p *peer) { p.mss = 0 })
	d := established(t, noMSS)
	d.write(2000)
	d.expect(". 1(536) ack 1", ". 537(536) ack 1", ". 1073(536) ack 1", "P. 1609(392) ack 1")
	d = established(t, noMSS, withIPv6)
	d.write(2000)
	d.expect(". 1(1220) ack 1", "P. 1221(780) ack 1")
	d = passively(t, tcp.StateEstablished, noMSS)
	d.write(1000)
	d.expect(". 1(536) ack 1", "P. 537(464) ack 1")
}

// TestSendMSSIsTheSmaller: of what the peer takes and what our own path takes, less
// the options (MUST-16; RFC 6691).
func TestSendMSSIsTheSmaller(t *testing.T) {
	for _, c := range []struct {
		own, peer int
		ts        bool
		want      int
	}{
		{1460, 1000, false, 1000},
		{1000, 1460, false, 1000},
		{1460, 1460, true, 1448},
		{1460, 8960, true, 1448},
		{536, 1460, true, 524},
		{1460, 536, true, 524},
	} {
		d := established(t, withMSS(c.own), withPeer(func(p *peer) { p.mss, p.ts = c.peer, c.ts }))
		if got := d.info().SndMSS; got != c.want {
			d.fail("SndMSS %d, want %d", got, c.want)
		}
		d.write(c.want + 1)
		d.expect(". 1("+itoa(c.want)+") ack 1", "P. "+itoa(c.want+1)+"(1) ack 1")
	}
}

// TestSillyMSSIsSurvived: an MSS below what options take, or of nothing, neither
// stops the stream nor makes segments without end.
func TestSillyMSSIsSurvived(t *testing.T) {
	for _, mss := range []string{"mss 0", "mss 1", "mss 11", "mss 12", "mss 13", "mss 40", "mss 65535"} {
		d := newDialogue(t)
		d.watch.peerMSS = 65535 // the peer cannot mean it: any size is as good
		d.listenUp()
		d.send("S 0 <" + mss + ",nop,nop,TS 1 0>")
		d.expect("S. 0 ack 1")
		d.send(". 1 ack 1 <nop,nop,TS 1 " + itoa(int(d.lastTS)) + ">")
		d.expectNothing()
		d.write(3000)
		h := d.overheard()
		if len(h) == 0 || len(h) > 100 {
			d.fail("%s: 3000 bytes went out in %d segments at first", mss, len(h))
		}
		for _, u := range h {
			if len(u.Payload) == 0 {
				d.fail("%s: an empty segment", mss)
			}
		}
	}
}

// TestMSSLaterIsIgnored: MUST-65 for the sender; as receivers we pay no heed.
func TestMSSLaterIsIgnored(t *testing.T) {
	d := established(t)
	d.send(". 1 ack 1 <mss 100>")
	d.expectNothing()
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
}

// TestOptionsOnAnySegment: MUST-5: strange options are no reason to drop anything.
func TestOptionsOnAnySegment(t *testing.T) {
	d := established(t)
	d.send("P. 1(5) ack 1 <raw c8 06 1 2 3 4,nop,wscale 9,sackOK>")
	d.expectLate(". 1 ack 6")
	d.send("P. 6(5) ack 1 <raw c8 0>")
	d.expectLate(". 1 ack 11")
	d.send("F. 11 ack 1 <raw fd 04 0 0>")
	d.expectLate(". 1 ack 12")
	d.expectRead(10)
}

// TestWindowIsUnsigned: MUST-1: above 32,767 is not below zero.
func TestWindowIsUnsigned(t *testing.T) {
	d := established(t, withWindow(40000), withPeer(func(p *peer) { p.mss = 1460 }))
	if got := d.info().SndWnd; got != 40000 {
		d.fail("SND.WND is %d", got)
	}
	d.write(1460)
	d.expect("P. 1(1460) ack 1")
	d.send(". 1 ack 1461 win 65535")
	d.expectNothing()
	if got := d.info().SndWnd; got != 65535 {
		d.fail("SND.WND is %d", got)
	}
}

// TestWindowScaleIsCapped: a shift above 14 counts as 14 (RFC 7323, 2.3).
func TestWindowScaleIsCapped(t *testing.T) {
	d := newDialogue(t)
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1 <mss 1000,nop,wscale 200>")
	d.expect(". 1 ack 1")
	d.send(". 1 ack 1 win 1")
	d.expectNothing()
	if i := d.info(); i.SndWndShift != 14 || i.SndWnd != 1<<14 {
		d.fail("shift %d, SND.WND %d", i.SndWndShift, i.SndWnd)
	}
}

// TestOurScaledWindow: what we write, shifted by what we have announced, is what we
// take, and more than 64 KiB when the buffer is (RFC 7323, 2).
func TestOurScaledWindow(t *testing.T) {
	d := newDialogue(t, withPeer(fullPeer), withParams(tcp.Params{ReceiveBuffer: 8 << 20}))
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1")
	shift := d.info().RcvWndShift
	if shift < 7 || shift > 14 {
		d.fail("a shift of %d for a buffer of 8 MiB", shift)
	}
	u := d.overheard()[0]
	if wnd := int(u.Window) << shift; wnd != d.info().RcvWnd {
		d.fail("the window on the wire is %d, RCV.WND %d", wnd, d.info().RcvWnd)
	}
	// Data that fill the window, whatever it is, and keep it filled, are all taken.
	off := 1
	for n := 0; n < 4000; n++ {
		d.send(". " + itoa(off) + "(1448) ack 1")
		off += 1448
		d.overheard()
		d.take(1448)
		d.overheard()
		d.wait(100 * time.Microsecond)
		d.overheard()
	}
	d.wait(delack)
	d.overheard()
	if got := d.info().RcvNxt.Sub(d.irs); got != off {
		d.fail("RCV.NXT is %d, want %d", got, off)
	}
}

// TestWindowUpdateNeedsANewerSegment: SND.WL1 and SND.WL2 keep old segments from
// moving the window (3.10.7.4, fifth).
func TestWindowUpdateNeedsANewerSegment(t *testing.T) {
	d := established(t)
	d.write(2000)
	d.expect(". 1(1000) ack 1", "P. 1001(1000) ack 1")
	d.send("P. 1(100) ack 1001 win 5000")
	d.expectLate(". 2001 ack 101")
	d.window(5000)
	d.send("P. 101(100) ack 2001 win 4000") // WL1 moves on
	d.expectLate(". 2001 ack 201")
	d.window(4000)
	d.send(". 201 ack 1001 win 9000") // SEG.ACK below SND.UNA
	d.expectNothing()
	d.window(4000)
	d.send(". 201 ack 2001 win 3000") // SEG.SEQ beyond WL1
	d.expectNothing()
	d.window(3000)
	d.send(". 201 ack 2001 win 7000") // both as in WL1 and WL2: a window update
	d.expectNothing()
	d.window(7000)
	d.send(". 301(100) ack 2001 win 9000") // beyond a gap: WL1 is 301 now
	d.expect(". 2001 ack 201")
	d.window(9000)
	d.send(". 201(100) ack 2001 win 5000") // sent before it: SEG.SEQ below WL1
	d.expect(". 2001 ack 401")
	d.window(9000)
}

func (d *dialogue) window(want int) {
	d.Helper()
	if got := d.info().SndWnd; got != want {
		d.fail("SND.WND is %d, want %d", got, want)
	}
}
