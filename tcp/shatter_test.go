package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// TestReportsOfSingleBytesDoNotShatterWhatWasSent: a receiver that reports every tenth byte of a
// super-segment (as in CVE-2019-11478) has not even half a segment. What a receiver may have
// counts: half a segment, of a path that cuts them in two, and less at either end of what
// was sent at once.
func TestReportsOfSingleBytesDoNotShatterWhatWasSent(t *testing.T) {
	d := established(t, withSACK, withGSO(65000))
	d.write(10_000)
	d.expect("P. 1(10000) ack 1")
	reports := func(wantSacked int, blocks ...string) {
		t.Helper()
		for _, b := range blocks {
			d.send(". 1 ack 1 <nop,nop,sack " + b + ">")
		}
		d.overheard()
		if got := d.info().Sacked; got != wantSacked {
			d.fail("%d bytes count as reported, want %d", got, wantSacked)
		}
	}
	var bytes []string
	for at := 2001; at < 9001; at += 10 {
		bytes = append(bytes, itoa(at)+":"+itoa(at+1))
	}
	reports(0, bytes...)
	reports(0, "2001:2500")
	reports(500, "4001:4501")
	reports(600, "4001:4601")   // it has grown
	reports(601, "10000:10001") // the end
	reports(602, "1:2")         // the beginning, which no honest receiver reports
	reports(10_000, "2:10001")
}

// TestManySACKBlocksCostLittle: what an acknowledgment costs is bounded by what the window holds in
// segments, whatever it reports.
func TestManySACKBlocksCostLittle(t *testing.T) {
	const window = 4 << 20
	d := established(t, withSACK, withGSO(65000), withParams(tcp.Params{SendBuffer: window, InitialWindow: 10_000}),
		withPeer(func(p *peer) { p.wscale = 10 }))
	d.send(". 1 ack 1 win 65535")
	d.write(window)
	d.overheard()
	d.wait(rtt)
	una := d.info().SndUna
	var out tcp.Out
	ack := tcp.Segment{SrcPort: d.setup.Remote.Port(), DstPort: d.setup.Local.Port(), Seq: d.irs.Add(1), Ack: una, Flags: tcp.ACK, Window: 65535}
	ack.Options.SACKBlocks = 3
	packets := 0
	for at := 10; at+1000 < window; at += 3 * 20 {
		for i := range 3 {
			start := una.Add(at + 20*i)
			ack.Options.SACK[i] = tcp.SACKBlock{Start: start, End: start.Add(1)}
		}
		seg := ack
		d.tcb.Segment(d.now, &seg)
		for d.tcb.Next(d.now, &out) {
			packets++
		}
		if at%1020 == 10 {
			d.now = d.now.Add(10 * time.Microsecond)
		}
	}
	if packets > 0 {
		t.Errorf("%d repairs of what nobody lacks", packets)
	}
}
