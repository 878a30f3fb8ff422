package tcp_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Requirements of RFC 9293 that no other file has for its subject.

// TestOptionsOfASYNInAnyShape: what a SYN asks for is understood in every order and at
// every offset (MUST-4, MUST-64), behind options that nobody knows (MUST-6), and up to one
// of an illegal length (MUST-7). What was understood shows in the segments that we send.
func TestOptionsOfASYNInAnyShape(t *testing.T) {
	for _, c := range []struct {
		options string
		mss     int
	}{
		{"mss 700", 700},
		{"nop,mss 700", 700},
		{"nop,nop,nop,mss 700", 700},
		{"wscale 3,mss 700", 700}, // at offset 3
		{"sackOK,nop,mss 700", 700},
		{"raw c8 06 1 2 3 4,mss 700", 700},                              // kind 200
		{"raw c8 03 1,mss 700", 700},                                    // and an odd offset
		{"raw 1e 0c 0 0 0 0 0 0 0 0 0 0,mss 700", 700},                  // Multipath TCP
		{"raw fd 08 f9 89 1 2 3 4,raw fe 04 a b,mss 700", 700},          // experiments (RFC 6994)
		{"raw 1d 10 1 2 3 4 5 6 7 8 9 a b c d e,mss 700,raw 13 2", 700}, // TCP-AO
		{"mss 700,eol,raw ff ff ff", 700},                               // rubbish behind the end
		{"eol,mss 700", 536},                                            // behind the end
		{"mss 700,raw c8 0", 700},                                       // a length of 0
		{"mss 700,raw c8 1", 700},                                       // of 1
		{"mss 700,raw c8 ff 0 0", 700},                                  // beyond the header
		{"raw c8 0,mss 700", 536},                                       // where the list ends
		{"raw c8 1,mss 700", 536},
		{"raw c8 ff,mss 700", 536},
		{"raw 2 3 7,mss 700", 700}, // an MSS of a wrong length
		{"raw 2 6 1 2 3 4,mss 700", 700},
		{"mss 700,raw 3 4 9 9,raw 4 3 0,raw 8 3 1", 700}, // others of a wrong length
		{"mss 900,mss 700", 700},
		{"raw 2", 536}, // no room for its length
	} {
		t.Run(c.options, func(t *testing.T) {
			d := newDialogue(t, withPeer(func(p *peer) { p.mss = c.mss }))
			d.listenUp()
			d.send("S 0 <" + c.options + ">")
			d.expect("S. 0 ack 1")
			d.send(". 1 ack 1 <>")
			d.expectNothing()
			d.write(c.mss + 1)
			d.expect(". 1("+itoa(c.mss)+") ack 1 <>", "P. "+itoa(c.mss+1)+"(1) ack 1 <>")
		})
	}
}

// TestHeadersAreWellFormed: over a whole life with losses on both sides: every option has
// the length that its kind has (MUST-68), nothing but zero follows EOL (MUST-69: there is
// none), and MSS stands on the SYN alone (MUST-65).
func TestHeadersAreWellFormed(t *testing.T) {
	d := newDialogue(t, withPeer(fullPeer))
	var all []utterance
	hear := func() { all = append(all, d.overheard()...) }
	d.call("active OPEN", func() { d.tcb.OpenActive(d.now, d.setup) })
	hear()
	d.wait(rtt)
	d.send("S. 0 ack 1")
	hear()
	d.write(20000)
	hear()
	d.send("P. 1001(100) ack 1")
	hear()
	d.send("P. 3001(100) ack 1", "P. 5001(100) ack 1", "P. 7001(100) ack 1", "P. 9001(100) ack 1")
	hear()
	d.wait(time.Second)
	hear()
	d.send(". 1 ack 20001")
	hear()
	d.send("P. 1001(100) ack 20001") // D-SACK
	hear()
	d.closeWrite()
	hear()
	d.send("R 500")
	hear()
	d.abort()
	hear()
	kinds := make(map[string]bool)
	for i, u := range all {
		var names []string
		for _, tok := range strings.Split(readOptions(u.header[tcp.HeaderLen:], d.irs), ",") {
			name, _, _ := strings.Cut(tok, " ")
			names = append(names, name)
			kinds[name] = true
		}
		switch {
		case slices.Contains(names, "broken"), slices.Contains(names, "raw"), slices.Contains(names, "eol"):
			d.fail("%s: options that we do not have", u.text)
		case slices.Contains(names, "mss") != (i == 0):
			d.fail("%s: MSS belongs on the SYN, and on nothing else", u.text)
		}
	}
	for _, kind := range []string{"mss", "sackOK", "TS", "nop", "wscale", "sack"} {
		if !kinds[kind] {
			d.fail("the dialogue was to show %s", kind)
		}
	}
}

// TestRetransmissionInsideAShrunkWindow: SHLD-15, SHLD-16, SHLD-17, MAY-7: what still fits
// is sent again, what does not is not, nor is anything new, and the connection lives as
// long as the peer goes on.
func TestRetransmissionInsideAShrunkWindow(t *testing.T) {
	d := established(t, withWindow(5000))
	d.write(9000)
	if n := len(d.overheard()); n != 5 {
		d.fail("%d segments", n)
	}
	d.wait(rtt)
	d.send(". 1 ack 1 win 2000") // 3,000 bytes less than promised
	d.expectNothing()
	d.wait(10 * time.Minute)
	h := d.overheard()
	if len(h) == 0 {
		d.fail("nothing was sent again")
	}
	for _, u := range h {
		if end := u.Seq.Sub(d.iss) + len(u.Payload); end > 2001 {
			d.fail("%s ends at %d, the window at 2001", u.text, end)
		}
	}
	d.expectState(tcp.StateEstablished)
	d.send(". 1 ack 2001 win 0")
	d.overheard()
	for range 100 { // for hours: the rest lies beyond the edge, the peer answers
		d.wait(3 * time.Minute)
		for _, u := range d.overheard() {
			if u.Seq.Sub(d.iss) != 2001 || len(u.Payload) > 1000 {
				d.fail("beyond a shut window: %s", u.text)
			}
		}
		d.send(". 1 ack 2001 win 0")
		d.overheard()
		d.expectState(tcp.StateEstablished)
	}
	d.send(". 1 ack 2001 win 65535")
	for off := 2001; len(d.heard) > 0; {
		for _, u := range d.overheard() {
			off = max(off, u.Seq.Sub(d.iss)+len(u.Payload))
		}
		d.wait(rtt)
		d.send(". 1 ack " + itoa(off))
		if off == 9001 {
			d.expectNothing()
			return
		}
	}
	d.fail("the rest was not sent when the window opened")
}

// TestWindowsBeyond16Bits: REC-1: windows are computed in 32 bits: with the largest scale a
// gigabyte is a gigabyte, and one byte more than 2^31 behind SND.UNA is no window.
func TestWindowsBeyond16Bits(t *testing.T) {
	d := newDialogue(t, withParams(tcp.Params{SendBuffer: 1 << 20, InitialWindow: 1000}))
	d.openActive()
	d.wait(rtt)
	d.send("S. 0 ack 1 win 1 <mss 1000,nop,wscale 14>")
	d.expect(". 1 ack 1")
	d.send(". 1 ack 1 win 65535")
	d.expectNothing()
	d.write(200000)
	total := 0
	for _, u := range d.overheard() {
		total += len(u.Payload)
	}
	if total != 200000 {
		d.fail("%d bytes were sent into a window of 65,535·2^14", total)
	}
}

// TestDataBehindAReset: SHLD-2: a RST may carry an explanation; it is a RST.
func TestDataBehindAReset(t *testing.T) {
	d := established(t)
	d.send("P. 1(5) ack 1")
	d.expectLate(". 1 ack 6")
	d.send("R. 6(30) ack 1")
	d.expectRead(5) // what was acknowledged, and not the explanation
	d.expectReadError(tcp.ErrReset)
	d.expectClosed(tcp.ErrReset)
}

// TestFirstProbeHasTheAcknowledgedBytesInLine: 3.8.6.1, MUST-36: a probe's octet is part of
// the stream: taken or not, nothing is lost or sent twice.
func TestFirstProbeHasTheAcknowledgedBytesInLine(t *testing.T) {
	for _, taken := range []int{0, 1} {
		d := shut(t, 3000)
		d.wait(rtoAfter)
		d.expect("@210ms . 1(1) ack 1")
		d.send(". 1 ack " + itoa(1+taken) + " win 0")
		d.expectNothing()
		d.send(". 1 ack " + itoa(1+taken) + " win 65535")
		next := 1 + taken
		for _, u := range d.overheard() {
			if u.Seq.Sub(d.iss) != next {
				d.fail("%s does not follow at %d", u.text, next)
			}
			next += len(u.Payload)
		}
		if next != 3001 {
			d.fail("sent up to %d, want 3001", next)
		}
	}
}

// TestMoreThanSequenceSpaceIsCounted: five gigabytes arrive in order, past every number once
// and some twice, and the counters go on: they have 64 bits.
func TestMoreThanSequenceSpaceIsCounted(t *testing.T) {
	d := established(t)
	d.call("CloseRead", func() { d.tcb.CloseRead(d.now) }) // nobody has to copy them
	d.overheard()
	const total, size = 5 << 30, 32 << 10
	payload := make([]byte, size)
	var out tcp.Out
	for got := uint64(0); got < total; got += size {
		seg := tcp.Segment{
			SrcPort: d.setup.Remote.Port(), DstPort: d.setup.Local.Port(), Flags: tcp.ACK, Window: 65535,
			Seq: d.irs.Add(1) + tcp.Seq(got), Ack: d.iss.Add(1), Payload: payload,
		}
		d.tcb.Segment(d.now, &seg)
		for d.tcb.Next(d.now, &out) {
			if want := seg.Seq.Add(size); out.Ack != want {
				d.fail("after %d bytes ACK is %d off", got+size, out.Ack.Sub(want))
			}
		}
		d.now = d.now.Add(time.Microsecond)
		if len(d.events) > 1000 { // there are hundreds of thousands
			d.events = slices.DeleteFunc(d.events, func(e tcp.Event) bool { return e.Kind != tcp.EventState })
		}
	}
	if got := d.info().BytesReceived; got != total {
		d.fail("%d bytes are counted, want %d", got, uint64(total))
	}
	d.abort()
	d.expect("R. 1 ack =" + itoa(int(uint32(d.irs.Add(1)+tcp.Seq(total%(1<<32))))))
}
