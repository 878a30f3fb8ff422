package tcp_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Sets of states of the table. SYN-RECEIVED stands twice, because what a reset or a
// SYN does to it depends on how it was reached (MUST-11).
type place struct {
	state   tcp.State
	passive bool
}

func (p place) String() string {
	if p.passive {
		return p.state.String() + " (passive)"
	}
	return p.state.String()
}

func (p place) reach(t testing.TB) *dialogue {
	t.Helper()
	if p.passive {
		return passively(t, p.state)
	}
	return inState(t, p.state)
}

func in(states ...tcp.State) (ps []place) {
	for _, s := range states {
		ps = append(ps, place{state: s})
	}
	return ps
}

var (
	passiveSynReceived = []place{{state: tcp.StateSynReceived, passive: true}}
	activeSynReceived  = in(tcp.StateSynReceived)
	synReceived        = slices.Concat(activeSynReceived, passiveSynReceived)

	openForReading = in(tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2)
	afterPeersFIN  = in(tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait)
	beforeTimeWait = slices.Concat(openForReading,
		in(tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck))
	synchronized = slices.Concat(openForReading, afterPeersFIN)
	handshaken   = slices.Concat(synReceived, synchronized) // SYN-RECEIVED and all beyond
)

// row is one line of SEGMENT ARRIVES (RFC 9293, 3.10.7).
type row struct {
	clause string
	places []place
	send   []string // each is a test of its own
	reply  string   // "" for none
	// late: the reply may be a delayed ACK (3.8.6.3).
	late bool
	// then is the state afterwards, or one of the two below.
	then tcp.State
	// errs: Err afterwards is one of these; nil for none.
	errs []error
	// reads is what the application can read afterwards, in bytes.
	reads int
}

const (
	// sameState in row.then: the state does not change.
	sameState tcp.State = 100 + iota
	// dropped: neither does anything else that the segment might have moved.
	dropped
)

// beyond is a place to the right of any window that these fixtures offer.
const beyond = "rcv+2000000"

var stateTable = []row{
	// ---- 3.10.7.2 LISTEN
	{clause: "LISTEN: a reset is ignored", places: in(tcp.StateListen),
		send: []string{"R 0", "R. 0 ack 1", "R 5(10)"}, then: dropped},
	{clause: "LISTEN: an ACK is answered by a reset at SEG.ACK", places: in(tcp.StateListen),
		send: []string{". 5 ack 7", "S. 0 ack 7", "F. 3(10) ack 7", "PU. 0(1) ack 7"}, reply: "R 7", then: dropped},
	{clause: "LISTEN: a SYN is answered by SYN,ACK", places: in(tcp.StateListen),
		send: []string{"S 0", "SP 0", "SEC 0"}, reply: "S. 0 ack 1 | SE. 0 ack 1", then: tcp.StateSynReceived},
	{clause: "LISTEN: data in a SYN are acknowledged only if they are kept", places: in(tcp.StateListen),
		send: []string{"S 0(5)"}, reply: "S. 0 ack 1 | S. 0 ack 6", then: tcp.StateSynReceived},
	{clause: "LISTEN: anything else is dropped", places: in(tcp.StateListen),
		send: []string{"- 0", "- 0(10)", "F 0", "P 5(3)", "U 0(1)"}, then: dropped},

	// ---- 3.10.7.3 SYN-SENT
	{clause: "SYN-SENT: an ACK of what was never sent, or of nothing, is answered by a reset",
		places: in(tcp.StateSynSent), send: []string{"S. 0 ack 0", ". 5 ack 0", ". 0(10) ack 0", "S. 0 ack -1"},
		reply: "R 0 | R -1", then: dropped},
	{clause: "SYN-SENT: an ACK beyond SND.NXT is answered by a reset", places: in(tcp.StateSynSent),
		send: []string{"S. 0 ack 2", ". 5 ack 2", "F. 0(5) ack 2"}, reply: "R 2", then: dropped},
	{clause: "SYN-SENT: a reset with an unacceptable ACK is dropped", places: in(tcp.StateSynSent),
		send: []string{"R. 0 ack 0", "R. 0 ack 2", "R. 7 ack 1000"}, then: dropped},
	{clause: "SYN-SENT: a reset with our ACK is a refusal", places: in(tcp.StateSynSent),
		send: []string{"R. 0 ack 1", "R. 12345 ack 1", "R. 0(4) ack 1"}, then: tcp.StateClosed,
		errs: []error{tcp.ErrRefused}},
	{clause: "SYN-SENT: a reset without ACK is ignored", places: in(tcp.StateSynSent),
		send: []string{"R 0", "R 1", "RS 0"}, then: dropped},
	{clause: "SYN-SENT: SYN,ACK completes the handshake", places: in(tcp.StateSynSent),
		send: []string{"S. 0 ack 1"}, reply: ". 1 ack 1", then: tcp.StateEstablished},
	{clause: "SYN-SENT: a SYN alone is a simultaneous open (MUST-10)", places: in(tcp.StateSynSent),
		send: []string{"S 0"}, reply: "S. 0 ack 1", then: tcp.StateSynReceived},
	{clause: "SYN-SENT: neither SYN nor RST, dropped", places: in(tcp.StateSynSent),
		send: []string{". 1 ack 1", "P. 1(10) ack 1", "F. 1 ack 1", "- 1(10)", "F 1"}, then: dropped},

	// ---- 3.10.7.4, first: sequence number
	{clause: "outside the window: answered by an ACK and dropped", places: handshaken,
		send: []string{". " + beyond + " ack nxt", "P. " + beyond + "(10) ack nxt", "F. " + beyond + " ack nxt",
			"P. rcv-5(5) ack nxt", ". rcv-1 ack nxt", ". rcv-100(50) ack nxt"},
		reply: ". nxt ack rcv", then: dropped},

	// ---- second: RST (RFC 5961, 3)
	{clause: "RST outside the window: dropped", places: handshaken,
		send: []string{"R " + beyond, "R. " + beyond + " ack nxt", "R rcv-1", "R. rcv-1 ack una"}, then: dropped},
	{clause: "RST at RCV.NXT resets a passive SYN-RECEIVED to LISTEN (MUST-11)", places: passiveSynReceived,
		send: []string{"R rcv", "R. rcv ack nxt"}, then: tcp.StateListen},
	{clause: "RST at RCV.NXT refuses an active SYN-RECEIVED (MUST-11)", places: activeSynReceived,
		send: []string{"R rcv", "R. rcv ack nxt"}, then: tcp.StateClosed,
		errs: []error{tcp.ErrRefused, tcp.ErrReset}},
	{clause: "RST at RCV.NXT resets the connection, with data too (SHLD-2)",
		places: in(tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateCloseWait),
		send:   []string{"R rcv", "R. rcv ack nxt", "R rcv(20)", "RU rcv", "RF. rcv ack una"},
		then:   tcp.StateClosed, errs: []error{tcp.ErrReset}},
	{clause: "RST at RCV.NXT ends what was ending", places: in(tcp.StateClosing, tcp.StateLastAck),
		send: []string{"R rcv", "R. rcv ack nxt"}, then: tcp.StateClosed, errs: []error{nil, tcp.ErrReset}},
	{clause: "TIME-WAIT: no RST ends it (RFC 1337)", places: in(tcp.StateTimeWait),
		send: []string{"R rcv", "R. rcv ack nxt", "R rcv+1", "R rcv(20)"}, then: dropped},
	{clause: "RST in the window, not at RCV.NXT: challenged (RFC 5961, 3.2)",
		places: slices.Concat(synReceived, beforeTimeWait),
		send:   []string{"R rcv+1", "R rcv+1000", "R. rcv+7 ack nxt", "R rcv+9(20)"}, reply: ". nxt ack rcv", then: dropped},

	// ---- fourth: SYN (RFC 5961, 4)
	{clause: "SYN in the window returns a passive SYN-RECEIVED to LISTEN", places: passiveSynReceived,
		send: []string{"S rcv", "S rcv+10"}, then: tcp.StateListen},
	{clause: "SYN on an active SYN-RECEIVED: challenged", places: activeSynReceived,
		send: []string{"S rcv", "S rcv+10", "S " + beyond}, reply: ". nxt ack rcv", then: dropped},
	{clause: "the SYN again, in SYN-RECEIVED: an ACK, or what Linux does, the SYN,ACK again",
		places: synReceived, send: []string{"S 0"}, reply: ". nxt ack rcv | S. 0 ack rcv", then: dropped},
	{clause: "SYN anywhere: challenged", places: beforeTimeWait,
		send:  []string{"S rcv", "S rcv+100", "S rcv-1", "S 0", "S " + beyond, "S. rcv+5 ack nxt", "S rcv+3(40)", "SF. rcv ack nxt"},
		reply: ". nxt ack rcv", then: dropped},
	{clause: "TIME-WAIT: a SYN that is old, or carries an ACK: challenged", places: in(tcp.StateTimeWait),
		send: []string{"S rcv-1", "S 0", "S. rcv+5 ack nxt"}, reply: ". nxt ack rcv", then: dropped},
	{clause: "TIME-WAIT: a SYN beyond the last sequence number may open anew (MAY-2)", places: in(tcp.StateTimeWait),
		send: []string{"S rcv+1", "S rcv+100", "S " + beyond}, then: tcp.StateClosed},

	// ---- fifth: ACK
	{clause: "no ACK bit: dropped", places: handshaken,
		send: []string{"- rcv", "P rcv(5)", "F rcv", "U rcv(1)", "- rcv+10(5)"}, then: dropped},
	{clause: "SYN-RECEIVED: an ACK outside (SND.UNA, SND.NXT] is answered by a reset", places: synReceived,
		send: []string{". rcv ack una", "P. rcv(5) ack una", "F. rcv ack una"}, reply: "R una", then: dropped},
	{clause: "SYN-RECEIVED: an ACK beyond SND.NXT is answered by a reset", places: synReceived,
		send: []string{". rcv ack nxt+1", "P. rcv(5) ack nxt+1"}, reply: "R nxt+1", then: dropped},
	{clause: "SYN-RECEIVED: our SYN is acknowledged", places: synReceived,
		send: []string{". rcv ack nxt"}, then: tcp.StateEstablished},
	{clause: "SYN-RECEIVED: data with the third ACK are taken", places: synReceived,
		send: []string{"P. rcv(5) ack nxt"}, reply: ". nxt ack rcv+5", late: true, then: tcp.StateEstablished, reads: 5},
	{clause: "an ACK of what was never sent is answered and dropped, data and all", places: beforeTimeWait,
		send:  []string{". rcv ack nxt+1", ". rcv ack nxt+60000", "P. rcv(5) ack nxt+1", "F. rcv ack nxt+1"},
		reply: ". nxt ack rcv", then: dropped},
	{clause: "an ACK older than the largest window is challenged and dropped (RFC 5961, 5; MAY-12)",
		places: beforeTimeWait,
		send:   []string{". rcv ack una-65536", "P. rcv(5) ack una-70000", "F. rcv ack una-1000000"},
		reply:  ". nxt ack rcv", then: dropped},
	{clause: "a duplicate ACK says nothing new", places: beforeTimeWait,
		send: []string{". rcv ack una"}, then: sameState},
	{clause: "FIN-WAIT-1: our FIN is acknowledged", places: in(tcp.StateFinWait1),
		send: []string{". rcv ack nxt"}, then: tcp.StateFinWait2},
	{clause: "CLOSING: our FIN is acknowledged", places: in(tcp.StateClosing),
		send: []string{". rcv ack nxt"}, then: tcp.StateTimeWait},
	{clause: "LAST-ACK: our FIN is acknowledged", places: in(tcp.StateLastAck),
		send: []string{". rcv ack nxt"}, then: tcp.StateClosed, errs: []error{nil}},
	{clause: "TIME-WAIT: an ACK is of no interest", places: in(tcp.StateTimeWait),
		send: []string{". rcv ack nxt"}, then: dropped},

	// ---- sixth and seventh: URG, the segment text
	{clause: "text in order is taken and acknowledged", places: openForReading,
		send: []string{"P. rcv(5) ack una", ". rcv(5) ack una"}, reply: ". nxt ack rcv+5", late: true, then: sameState, reads: 5},
	{clause: "text that is partly old is trimmed", places: openForReading,
		send: []string{"P. rcv-20(25) ack una"}, reply: ". nxt ack rcv+5", late: true, then: sameState, reads: 5},
	{clause: "urgent text is text (MUST-30, MUST-31)", places: openForReading,
		send:  []string{"PU. rcv(5) ack una urg 1", "U. rcv(5) ack una urg 60000"},
		reply: ". nxt ack rcv+5", late: true, then: sameState, reads: 5},
	{clause: "text beyond a gap is kept, and the gap told at once (SHLD-31, MAY-13)", places: openForReading,
		send: []string{"P. rcv+10(5) ack una"}, reply: ". nxt ack rcv", then: sameState},
	{clause: "text after the peer's FIN is ignored, and an ACK sent", places: afterPeersFIN,
		send: []string{"P. rcv(5) ack una", "P. rcv+10(5) ack una"}, reply: ". nxt ack rcv", late: true, then: sameState},

	// ---- eighth: FIN
	{clause: "SYN-RECEIVED: a FIN with the third ACK", places: synReceived,
		send: []string{"F. rcv ack nxt"}, reply: ". nxt ack rcv+1", late: true, then: tcp.StateCloseWait},
	{clause: "ESTABLISHED: a FIN", places: in(tcp.StateEstablished),
		send: []string{"F. rcv ack nxt", "FP. rcv ack nxt"}, reply: ". nxt ack rcv+1", late: true, then: tcp.StateCloseWait},
	{clause: "ESTABLISHED: a FIN with data", places: in(tcp.StateEstablished),
		send: []string{"FP. rcv(5) ack nxt", "FP. rcv-3(8) ack nxt"}, reply: ". nxt ack rcv+6", late: true,
		then: tcp.StateCloseWait, reads: 5},
	{clause: "a FIN beyond a gap waits for the gap to close", places: openForReading,
		send: []string{"F. rcv+3 ack una", "F. rcv+1(3) ack una"}, reply: ". nxt ack rcv", then: sameState},
	{clause: "FIN-WAIT-1: the FINs cross", places: in(tcp.StateFinWait1),
		send: []string{"F. rcv ack una"}, reply: ". nxt ack rcv+1", late: true, then: tcp.StateClosing},
	{clause: "FIN-WAIT-1: a FIN that acknowledges ours", places: in(tcp.StateFinWait1),
		send: []string{"F. rcv ack nxt"}, reply: ". nxt ack rcv+1", late: true, then: tcp.StateTimeWait},
	{clause: "FIN-WAIT-1: data and a FIN that acknowledges ours", places: in(tcp.StateFinWait1),
		send: []string{"FP. rcv(5) ack nxt"}, reply: ". nxt ack rcv+6", late: true, then: tcp.StateTimeWait, reads: 5},
	{clause: "FIN-WAIT-2: a FIN", places: in(tcp.StateFinWait2),
		send: []string{"F. rcv ack nxt"}, reply: ". nxt ack rcv+1", late: true, then: tcp.StateTimeWait},
	{clause: "the peer's FIN again is acknowledged again", places: afterPeersFIN,
		send: []string{"F. rcv-1 ack una"}, reply: ". nxt ack rcv", then: sameState},
}

// TestStateTable plays each row in each state that it covers: this segment, this
// answer, nothing else, this state afterwards, this error for the application.
func TestStateTable(t *testing.T) {
	for _, r := range stateTable {
		for _, p := range r.places {
			for _, send := range r.send {
				t.Run(fmt.Sprintf("%s/%v/%s", r.clause, p, send), func(t *testing.T) { r.play(t, p, send) })
			}
		}
	}
}

func (r *row) play(t *testing.T, p place, send string) { r.playOn(p.reach(t), send) }

// playOn plays the row on a dialogue in the state that its fixture has reached.
func (r *row) playOn(d *dialogue, send string) {
	d.Helper()
	was := d.tcb.State()
	before := d.info()
	if r.then == dropped {
		send += " win 777" // a window that must not be taken over
	}
	d.send(send)
	switch {
	case r.reply == "":
		d.expectNothing()
	case r.late:
		d.expectLate(r.reply)
	default:
		d.expect(r.reply)
	}
	then := r.then
	if then >= sameState {
		then = was
	}
	d.expectState(then)
	if r.then == dropped {
		r.unmoved(d, &before)
	}
	if len(r.errs) == 0 {
		r.errs = []error{nil}
	}
	if !slices.ContainsFunc(r.errs, func(e error) bool { return errors.Is(d.tcb.Err(), e) }) {
		d.fail("Err is %v, want one of %v", d.tcb.Err(), r.errs)
	}
	r.application(d, was, then)
	if done := then == tcp.StateClosed; d.tcb.Done() != done {
		d.fail("Done is %v in %v", d.tcb.Done(), then)
	}
	// Nothing else is said before the first timer of any fixture.
	d.at(100 * time.Millisecond)
	d.expectNothing()
}

// unmoved says that the segment has left no trace in the TCB.
func (r *row) unmoved(d *dialogue, before *tcp.Info) {
	d.Helper()
	after := d.info()
	if after.SndUna != before.SndUna || after.SndNxt != before.SndNxt || after.SndWnd != before.SndWnd ||
		after.RcvNxt != before.RcvNxt || after.ReceiveQueue != before.ReceiveQueue || after.OutOfOrder != before.OutOfOrder {
		d.fail("a segment that does not count has moved the TCB\nfrom %+v\nto   %+v", *before, after)
	}
}

// application says what the user sees afterwards (MUST-12).
func (r *row) application(d *dialogue, was, then tcp.State) {
	d.Helper()
	if err := d.tcb.Err(); err != nil {
		switch was {
		case tcp.StateSynSent, tcp.StateSynReceived, tcp.StateEstablished:
			d.expectReadError(err)
			d.expectWriteError(err)
		case tcp.StateFinWait1, tcp.StateFinWait2:
			d.expectReadError(err)
		case tcp.StateCloseWait: // Read may have its EOF
			d.expectWriteError(err)
		}
		return
	}
	d.expectRead(r.reads)
	switch then {
	case tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck, tcp.StateTimeWait:
		d.expectEOF()
	case tcp.StateEstablished, tcp.StateFinWait1, tcp.StateFinWait2, tcp.StateSynSent, tcp.StateSynReceived:
		d.expectReadError(nil)
	}
}

// TestClosedAnswersWithReset is the table's part for CLOSED, where there is no
// connection (RFC 9293, 3.10.7.1).
func TestClosedAnswersWithReset(t *testing.T) {
	for _, c := range []struct{ send, reply string }{
		// With ACK off: sequence number zero, and an ACK of all that came.
		{"S =1000", "R. =0 ack =1001"},
		{"- =1000", "R. =0 ack =1000"},
		{"P =1000(10)", "R. =0 ack =1010"},
		{"F =1000(10)", "R. =0 ack =1011"},
		{"S =1000(10)", "R. =0 ack =1011"},
		{"S =4294967295", "R. =0 ack =0"},
		// With ACK on: the sequence number that the peer waits for, and no ACK.
		{". =1000 ack =2000", "R =2000"},
		{"S. =1000 ack =2000", "R =2000"},
		{"FP. =1000(10) ack =2000", "R =2000"},
		{". =0 ack =0", "R =0"},
		// A reset is never answered.
		{"R =1000", ""},
		{"R. =1000 ack =2000", ""},
		{"RS =1000", ""},
		{"RF. =1000(10) ack =2000", ""},
	} {
		t.Run(c.send, func(t *testing.T) {
			d := newDialogue(t)
			var seg, reply tcp.Segment
			if err := tcp.Parse(d.onWire(c.send), &seg); err != nil {
				t.Fatal(err)
			}
			answered := tcp.Refuse(&seg, &reply)
			if answered != (c.reply != "") {
				t.Fatalf("answered %v, want %q", answered, c.reply)
			}
			if !answered {
				return
			}
			out := tcp.Out{Segment: reply}
			s, err := throughTheWire(&out)
			if err != nil {
				t.Fatal(err)
			}
			want := parseLine(c.reply, numbers{})
			if s.Flags != want.flags || s.Seq != want.seq || s.Ack != want.ack || len(s.Payload) != 0 {
				t.Errorf("answered %v SEQ %d ACK %d, want %q", s.Flags, s.Seq, s.Ack, c.reply)
			}
			if s.SrcPort != 80 || s.DstPort != 40000 {
				t.Errorf("answered from port %d to %d", s.SrcPort, s.DstPort)
			}
		})
	}
}
