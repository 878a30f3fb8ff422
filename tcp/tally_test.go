package tcp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// tallied is what a TCB has counted, by name; the segments it has dropped by their reason
// in brackets.
type tallied map[string]int

func (c tallied) Count(what tcp.Counter, n int) { c[what.String()] += n }
func (c tallied) Drop(why tcp.Why)              { c["["+why.String()+"]"]++ }

// String writes what was counted, sorted, without TcpExt in front.
func (c tallied) String() string {
	var lines []string
	for name, n := range c {
		if n != 0 {
			lines = append(lines, fmt.Sprintf("%s %d", strings.TrimPrefix(name, "TcpExt"), n))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// withTally lets c count. It comes after what else changes the parameters.
func withTally(c tallied) option {
	return func(d *dialogue) {
		p := *d.setup.Params
		p.Tally = c
		d.setup.Params = &p
	}
}

// Each case says what a TCB counts from where from has brought it, and nothing else.
func TestWhatIsCounted(t *testing.T) {
	inEstablished := func(opts ...option) func(*testing.T, option) *dialogue {
		return func(t *testing.T, tally option) *dialogue { return established(t, append(opts, tally)...) }
	}
	inFlight := func(opts ...option) func(*testing.T, option) *dialogue {
		return func(t *testing.T, tally option) *dialogue { return flight(t, 10, append(opts, tally)...) }
	}
	in := func(state tcp.State) func(*testing.T, option) *dialogue {
		return func(t *testing.T, tally option) *dialogue { return inState(t, state, tally) }
	}
	for name, test := range map[string]struct {
		from func(*testing.T, option) *dialogue
		do   func(d *dialogue)
		want string
	}{
		"an active open": {func(t *testing.T, tally option) *dialogue { return newDialogue(t, tally) },
			func(d *dialogue) { d.establish() }, "TcpActiveOpens 1, TcpCurrEstab 1"},
		"a passive open": {in(tcp.StateListen), func(d *dialogue) { d.send("S 0") }, "TcpPassiveOpens 1"},
		"a refused open": {in(tcp.StateSynSent), func(d *dialogue) { d.send("R. 0 ack 1") }, "TcpAttemptFails 1"},
		"a SYN of which nothing is heard": {in(tcp.StateSynSent), func(d *dialogue) { d.wait(time.Second) },
			"TCPSynRetrans 1, TCPTimeouts 1"},
		"a reset of a passive open": {func(t *testing.T, tally option) *dialogue { return passively(t, tcp.StateSynReceived, tally) },
			func(d *dialogue) { d.send("R 1") }, "EmbryonicRsts 1, TcpAttemptFails 1"},
		"a reset":                 {inEstablished(), func(d *dialogue) { d.send("R 1") }, "TcpCurrEstab -1, TcpEstabResets 1"},
		"an abort in CLOSE-WAIT":  {in(tcp.StateCloseWait), func(d *dialogue) { d.abort() }, "TcpCurrEstab -1, TcpEstabResets 1"},
		"a FIN":                   {inEstablished(), func(d *dialogue) { d.send("F. 1 ack 1") }, ""},
		"a close":                 {inEstablished(), func(d *dialogue) { d.closeWrite() }, "TcpCurrEstab -1"},
		"TIME-WAIT":               {in(tcp.StateTimeWait), func(d *dialogue) { d.wait(time.Minute) }, "TW 1"},
		"TIME-WAIT and a new SYN": {in(tcp.StateTimeWait), func(d *dialogue) { d.send("S 70000") }, ""},

		"a timeout": {inEstablished(), func(d *dialogue) { d.write(1000); d.wait(rtoAfter) }, "TCPTimeouts 1"},
		"R2": {inEstablished(withParams(tcp.Params{R2: 1})), func(d *dialogue) { d.write(1000); d.wait(time.Minute) },
			"TCPAbortOnTimeout 1, TCPTimeouts 1, TcpCurrEstab -1, TcpEstabResets 1"},
		"a spurious timeout by F-RTO": {func(t *testing.T, tally option) *dialogue { return timedOut(t, tally) },
			func(d *dialogue) {
				d.send(". 1 ack 1001")
				d.overheard()
				d.send(". 1 ack 2001")
			}, "TCPLossUndo 1, TCPSpuriousRTOs 1"},
		"a spurious timeout by its echo": {inEstablished(withTS), func(d *dialogue) {
			d.write(988)
			d.overheard()
			echo := d.lastTS
			d.wait(rtoAfter)
			d.overheard()
			d.send(". 1 ack 989 <nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo)) + ">")
		}, "TCPLossUndo 1, TCPTimeouts 1"},
		"a tail loss probe": {inEstablished(withSACK), func(d *dialogue) { d.write(2000); d.wait(2 * rtt) }, "TCPLossProbes 1"},
		"a repair by it": {func(t *testing.T, tally option) *dialogue { return tailProbed(t, tally) }, func(d *dialogue) {
			d.send(". 1 ack 10001")
			d.write(1000)
			d.overheard()
			d.send(". 1 ack 11001")
		}, "TCPLossProbeRecovery 1"},
		"a loss by SACK": {inFlight(withSACK), func(d *dialogue) { d.send(". 1 ack 1 <nop,nop,sack 1001:4001>") },
			"TCPFastRetrans 1, TCPSackRecovery 1"},
		"a loss by duplicates": {inFlight(), func(d *dialogue) {
			d.send(". 1 ack 1", ". 1 ack 1", ". 1 ack 1")
		}, "TCPFastRetrans 1, TCPRenoRecovery 1"},
		"the repair lost": {inFlight(withSACK), func(d *dialogue) {
			d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
			d.overheard()
			d.write(5000)
			d.send(". 1 ack 1 <nop,nop,sack 1001:10001>") // lets new data go
			d.overheard()
			d.wait(2 * rtt)
			d.send(". 1 ack 1 <nop,nop,sack 1001:11001>")
		}, "TCPFastRetrans 2, TCPLostRetransmit 1, TCPSackRecovery 1"},
		"reordering": {inFlight(withSACK), func(d *dialogue) {
			d.send(". 1 ack 1 <nop,nop,sack 1001:2001>")
			d.send(". 1 ack 2001")
		}, "TCPSACKReorder 1"},
		"a recovery undone halfway": {func(t *testing.T, tally option) *dialogue {
			d, echo := stampedFlight(t, withSACK, tally)
			ts := "<nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo))
			d.send(". 1 ack 1 " + ts + ",nop,nop,sack 989:3953>")
			d.overheard()
			d.wait(time.Millisecond)
			d.lastTS = echo
			return d
		}, func(d *dialogue) { d.send(". 1 ack 3953") }, "TCPPartialUndo 1"},
		"a recovery undone at its end": {func(t *testing.T, tally option) *dialogue {
			d, echo := stampedFlight(t, withSACK, tally)
			ts := "<nop,nop,TS " + itoa(int(d.tsval())) + " " + itoa(int(echo))
			d.send(". 1 ack 1 " + ts + ",nop,nop,sack 989:3953>")
			d.overheard()
			d.wait(time.Millisecond)
			d.lastTS = echo
			return d
		}, func(d *dialogue) { d.send(". 1 ack 9881") }, "TCPFullUndo 1"},
		"a recovery undone by D-SACK": {inFlight(withSACK), func(d *dialogue) {
			d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
			d.overheard()
			d.send(". 1 ack 10001")
			d.send(". 1 ack 10001 <nop,nop,sack 1:1001>")
		}, "TCPDSACKRecv 1, TCPDSACKUndo 1, TCPFastRetrans 1, TCPSackRecovery 1"},
		"a D-SACK beyond the gap": {inFlight(withSACK, slowTimer), func(d *dialogue) {
			d.send(". 1 ack 1 <nop,nop,sack 3001:4001 3001:5001>")
			d.overheard()
		}, "TCPDSACKOfoRecv 1"},

		"a delayed ACK": {inEstablished(), func(d *dialogue) {
			d.call("SetQuickAck", func() { d.tcb.SetQuickAck(d.now, false) })
			d.send("P. 1(10) ack 1")
			d.wait(delack)
		}, "DelayedACKs 1"},
		"data once more": {inEstablished(withSACK), func(d *dialogue) {
			d.send(". 1(500) ack 1")
			d.overheard()
			d.send(". 1(500) ack 1")
		}, "DelayedACKLost 1, TCPDSACKOldSent 1, [outside the window] 1"},
		"data beyond a gap, and once more": {inEstablished(withSACK), func(d *dialogue) {
			d.send(". 1001(500) ack 1")
			d.overheard()
			d.send(". 1001(500) ack 1")
		}, "TCPDSACKOfoSent 1, TCPOFOMerge 1, TCPOFOQueue 2"},
		"data into a window that is shut": {inEstablished(withParams(tcp.Params{ReceiveBuffer: 4096})), func(d *dialogue) {
			end := d.fill()
			d.send(". " + itoa(end) + "(10) ack 1")
		}, "DelayedACKs 1, TCPZeroWindowDrop 1"},
		"a zero-window probe": {inEstablished(), func(d *dialogue) {
			d.send(". 1 ack 1 win 0")
			d.write(1000)
			d.wait(rtoAfter)
		}, "TCPWinProbe 1"},
		"keep-alives in vain": {inEstablished(), func(d *dialogue) {
			k := tcp.KeepAlive{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 2}
			d.call("SetKeepAlive", func() { d.tcb.SetKeepAlive(d.now, k) })
			d.wait(2 * time.Minute)
		}, "TCPAbortOnTimeout 1, TCPKeepAlive 2, TcpCurrEstab -1, TcpEstabResets 1"},

		"an old timestamp": {func(t *testing.T, tally option) *dialogue { return inTS(t, tally) },
			func(d *dialogue) { d.stamped("P. 1(10) ack 1", 999) }, "PAWSEstab 1, [old timestamp] 1"},
		"many of them without data": {func(t *testing.T, tally option) *dialogue { return inTS(t, tally) },
			func(d *dialogue) {
				for range 12 {
					d.stamped(". 1 ack 1", 999)
					d.overheard()
				}
			}, "PAWSEstab 12, TCPACKSkippedPAWS 2, [old timestamp] 12"},
		"SYNs": {inEstablished(), func(d *dialogue) {
			for range 11 {
				d.send("S 100")
				d.overheard()
			}
		}, "TCPACKSkippedChallenge 1, TCPChallengeACK 10, TCPSYNChallenge 11, [unexpected SYN] 11"},
		"a RST in the window": {inEstablished(), func(d *dialogue) { d.send("R 100") }, "TCPChallengeACK 1, [unacceptable RST] 1"},
		"ACKs outside the window": {inEstablished(), func(d *dialogue) {
			for range 13 {
				d.send(". 70000 ack 1")
				d.overheard()
			}
		}, "TCPACKSkippedSeq 3, [outside the window] 13"},

		"a close with data unread": {inEstablished(), func(d *dialogue) {
			d.send("P. 1(10) ack 1")
			d.overheard()
			d.close()
		}, "TCPAbortOnClose 1, TcpCurrEstab -1, TcpEstabResets 1"},
		"a close with linger 0": {inEstablished(), func(d *dialogue) { d.tcb.SetLinger(0); d.close() },
			"TCPAbortOnData 1, TcpCurrEstab -1, TcpEstabResets 1"},
		"data after a close": {inEstablished(), func(d *dialogue) {
			d.close()
			d.overheard()
			d.send("P. 1(10) ack 2")
		}, "TCPAbortOnData 1, TcpCurrEstab -1, [data after close] 1"},
		"Writes that gather": {func(t *testing.T, tally option) *dialogue { return hurried(t, tally) },
			func(d *dialogue) {
				d.write(10)
				d.send(". 1 ack 11")
				d.overheard()
				d.write(10)
			}, "TCPAutoCorking 1"},
		"the end of a linger": {inEstablished(), func(d *dialogue) {
			d.tcb.SetLinger(100 * time.Millisecond)
			d.write(5)
			d.overheard()
			d.close()
			d.wait(100 * time.Millisecond)
		}, "TCPAbortOnLinger 1, TcpCurrEstab -1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := make(tallied)
			d := test.from(t, withTally(c))
			clear(c)
			test.do(d)
			if got := c.String(); got != test.want {
				d.fail("counted\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// RFC 2018, section 8: a receiver may drop what it has reported.
func TestRenegingIsCounted(t *testing.T) {
	c := make(tallied)
	d := flight(t, 10, withSACK, withTally(c))
	d.send(". 1 ack 1 <nop,nop,sack 1001:10001>")
	d.overheard()
	d.send(". 1 ack 1001") // and not 10001
	d.overheard()
	d.wait(time.Minute)
	d.overheard()
	if c["TcpExtTCPSACKReneging"] == 0 {
		d.fail("counted %v", c)
	}
}

// What is sent again is marked, and nothing else is (RFC 4022, tcpRetransSegs).
func TestWhatHasBeenSentBeforeIsMarked(t *testing.T) {
	p := tcp.Params{}.WithDefaults()
	d := newDialogue(t)
	d.setup.Params = &p
	d.establish()
	marked := func() string {
		var text string
		var out tcp.Out
		for d.tcb.Next(d.now, &out) {
			text += fmt.Sprintf("%d(%d) %v ", out.Seq.Sub(d.iss), out.DataLen, out.Again)
		}
		return text
	}
	write := func(n int) {
		if _, err := d.tcb.Write(d.now, make([]byte, n)); err != nil {
			d.fail("%v", err)
		}
	}
	write(2000)
	if got := marked(); got != "1(1000) false 1001(1000) false " {
		d.fail("new data: %s", got)
	}
	d.now = d.now.Add(rtoAfter)
	d.tcb.Tick(d.now)
	if got := marked(); got != "1(1000) true " {
		d.fail("after a timeout: %s", got)
	}
	d.deliver(". 1 ack 2001")
	write(10)
	if got := marked(); got != "2001(10) false " {
		d.fail("after the repair: %s", got)
	}
}
