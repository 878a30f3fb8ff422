package tcp_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// The matrix: what comes of every kind of segment, of every call and of every timer in
// each of the eleven states, to be read beside RFC 9293, 3.10. SYN-RECEIVED has two
// columns, for an active and a passive OPEN (MUST-11). The table of statetable_test.go has
// more segments of each kind, and holds those that do not count to leave no trace.
//
// Numbers are written as in notation_test.go: una, nxt and rcv are SND.UNA, SND.NXT and
// RCV.NXT, and edge is the right edge of our window. A cell is what is sent, then the
// state that follows where it is another, then what the application hears:
//
//	"-"     nothing is sent
//	ack     <SEQ=SND.NXT><ACK=RCV.NXT>: an answer, a challenge, or a duplicate
//	ack+5   the same, with five numbers more acknowledged; it may be a delayed ACK
//	rst     <SEQ=SEG.ACK><CTL=RST>
//	rst0    <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
//	sa      our SYN,ACK
//	>EST    the state afterwards
//	!reset  the error of every later call
const segmentMatrix = `
segment                  | CLOSED | LISTEN | SYN-SENT           | SYN-RCVD           | SYN-RCVD passive | ESTAB            | FIN-WAIT-1       | FIN-WAIT-2       | CLOSE-WAIT       | CLOSING          | LAST-ACK         | TIME-WAIT
--- SYN
S rcv                    | rst0   | sa >SR | sa >SR             | ack                | - >LISTEN        | ack              | ack              | ack              | ack              | ack              | ack              | ack
S rcv+100                | rst0   | sa >SR | sa >SR             | ack                | - >LISTEN        | ack              | ack              | ack              | ack              | ack              | ack              | - >CLOSED
S rcv-1                  | rst0   | sa >SR | sa >SR             | sa                 | sa               | ack              | ack              | ack              | ack              | ack              | ack              | ack
S edge+9                 | rst0   | sa >SR | sa >SR             | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | - >CLOSED
SF rcv                   | rst0   | sa >SR | sa >SR             | ack                | - >LISTEN        | ack              | ack              | ack              | ack              | ack              | ack              | ack
--- SYN,ACK
S. rcv-1 ack nxt         | rst    | rst    | ack >EST           | - >EST             | - >EST           | ack              | ack              | ack              | ack              | ack              | ack              | ack
S. rcv ack nxt           | rst    | rst    | ack+1 >EST         | ack                | - >LISTEN        | ack              | ack              | ack              | ack              | ack              | ack              | ack
S. rcv ack nxt+1         | rst    | rst    | rst                | ack                | - >LISTEN        | ack              | ack              | ack              | ack              | ack              | ack              | ack
--- ACK
. rcv ack nxt            | rst    | rst    | -                  | - >EST             | - >EST           | -                | - >FW2           | -                | -                | - >TW            | - >CLOSED        | -
. rcv ack una            | rst    | rst    | rst                | rst                | rst              | -                | -                | -                | -                | -                | -                | -
. rcv ack una-1          | rst    | rst    | rst                | rst                | rst              | -                | -                | -                | -                | -                | -                | -
. rcv ack una-70000      | rst    | rst    | rst                | rst                | rst              | ack              | ack              | ack              | ack              | ack              | ack              | ack
. rcv ack nxt+1          | rst    | rst    | rst                | rst                | rst              | ack              | ack              | ack              | ack              | ack              | ack              | ack
. rcv-1 ack nxt          | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
. edge ack nxt           | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
. rcv ack nxt win 0      | rst    | rst    | -                  | - >EST             | - >EST           | -                | - >FW2           | -                | -                | - >TW            | - >CLOSED        | -
U. rcv ack nxt urg 5     | rst    | rst    | -                  | - >EST             | - >EST           | -                | - >FW2           | -                | -                | - >TW            | - >CLOSED        | -
--- text
P. rcv(5) ack nxt        | rst    | rst    | -                  | ack+5 >EST         | ack+5 >EST       | ack+5            | ack+5 >FW2       | ack+5            | ack              | ack >TW          | - >CLOSED        | ack
P. rcv-3(8) ack nxt      | rst    | rst    | -                  | ack+5 >EST         | ack+5 >EST       | ack+5            | ack+5 >FW2       | ack+5            | ack              | ack >TW          | - >CLOSED        | ack
P. rcv-5(5) ack nxt      | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
P. rcv+10(5) ack nxt     | rst    | rst    | -                  | ack >EST           | ack >EST         | ack              | ack >FW2         | ack              | ack              | ack >TW          | - >CLOSED        | ack
P. edge-5(10) ack nxt    | rst    | rst    | -                  | ack >EST           | ack >EST         | ack              | ack >FW2         | ack              | ack              | ack >TW          | - >CLOSED        | ack
P. edge(5) ack nxt       | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
P. rcv(5) ack una        | rst    | rst    | rst                | rst                | rst              | ack+5            | ack+5            | ack+5            | ack              | ack              | ack              | ack
P. rcv(5) ack nxt+1      | rst    | rst    | rst                | rst                | rst              | ack              | ack              | ack              | ack              | ack              | ack              | ack
P. rcv(5) ack una-70000  | rst    | rst    | rst                | rst                | rst              | ack              | ack              | ack              | ack              | ack              | ack              | ack
PU. rcv(5) ack una urg 5 | rst    | rst    | rst                | rst                | rst              | ack+5            | ack+5            | ack+5            | ack              | ack              | ack              | ack
--- FIN
F. rcv ack nxt           | rst    | rst    | -                  | ack+1 >CW          | ack+1 >CW        | ack+1 >CW        | ack+1 >TW        | ack+1 >TW        | ack              | ack >TW          | - >CLOSED        | ack
F. rcv ack una           | rst    | rst    | rst                | rst                | rst              | ack+1 >CW        | ack+1 >CLOSING   | ack+1 >TW        | ack              | ack              | ack              | ack
FP. rcv(5) ack nxt       | rst    | rst    | -                  | ack+6 >CW          | ack+6 >CW        | ack+6 >CW        | ack+6 >TW        | ack+6 >TW        | ack              | ack >TW          | - >CLOSED        | ack
F. rcv-1 ack nxt         | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
F. rcv+5 ack nxt         | rst    | rst    | -                  | ack >EST           | ack >EST         | ack              | ack >FW2         | ack              | ack              | ack >TW          | - >CLOSED        | ack
F. edge ack nxt          | rst    | rst    | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | ack
F. rcv ack nxt+1         | rst    | rst    | rst                | rst                | rst              | ack              | ack              | ack              | ack              | ack              | ack              | ack
--- RST
R rcv                    | -      | -      | -                  | - >CLOSED !refused | - >LISTEN        | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | -
R. rcv ack nxt           | -      | -      | - >CLOSED !refused | - >CLOSED !refused | - >LISTEN        | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | -
R. rcv ack nxt+1         | -      | -      | -                  | - >CLOSED !refused | - >LISTEN        | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | -
R rcv(20)                | -      | -      | -                  | - >CLOSED !refused | - >LISTEN        | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | -
SFRPU. rcv ack nxt       | -      | -      | - >CLOSED !refused | - >CLOSED !refused | - >LISTEN        | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset | -
R rcv+1                  | -      | -      | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | -
R edge-1                 | -      | -      | -                  | ack                | ack              | ack              | ack              | ack              | ack              | ack              | ack              | -
R edge                   | -      | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
R rcv-1                  | -      | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
--- no ACK bit
- rcv                    | rst0   | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
P rcv(5)                 | rst0   | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
F rcv                    | rst0   | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
U rcv(5)                 | rst0   | -      | -                  | -                  | -                | -                | -                | -                | -                | -                | -                | -
`

// fullMatrix is the same while our window is zero: text finds no room, and ACK, RST and URG
// count all the same where the segment stands at RCV.NXT (3.4, 3.10.7.4, MUST-66).
const fullMatrix = `
segment              | ESTAB            | FIN-WAIT-1       | FIN-WAIT-2
. rcv ack nxt        | -                | - >FW2           | -
. rcv+1 ack nxt      | ack              | ack              | ack
. rcv-1 ack nxt      | ack              | ack              | ack
P. rcv(1) ack nxt    | ack              | ack >FW2         | ack
P. rcv(1000) ack nxt | ack              | ack >FW2         | ack
P. rcv+1(5) ack nxt  | ack              | ack              | ack
P. rcv-5(5) ack nxt  | ack              | ack              | ack
F. rcv ack nxt       | ack              | ack >FW2         | ack
U. rcv ack nxt urg 5 | -                | - >FW2           | -
S rcv                | ack              | ack              | ack
R rcv                | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset
R. rcv ack nxt       | - >CLOSED !reset | - >CLOSED !reset | - >CLOSED !reset
R rcv+1              | -                | -                | -
`

// columns are the states as a head of a matrix calls them.
var columns = map[string]place{
	"CLOSED": {state: tcp.StateClosed}, "LISTEN": {state: tcp.StateListen}, "SYN-SENT": {state: tcp.StateSynSent},
	"SYN-RCVD": {state: tcp.StateSynReceived}, "SYN-RCVD passive": {state: tcp.StateSynReceived, passive: true},
	"ESTAB": {state: tcp.StateEstablished}, "FIN-WAIT-1": {state: tcp.StateFinWait1}, "FIN-WAIT-2": {state: tcp.StateFinWait2},
	"CLOSE-WAIT": {state: tcp.StateCloseWait}, "CLOSING": {state: tcp.StateClosing}, "LAST-ACK": {state: tcp.StateLastAck},
	"TIME-WAIT": {state: tcp.StateTimeWait},
}

// afterwards are the states as a cell calls them.
var afterwards = map[string]tcp.State{
	">CLOSED": tcp.StateClosed, ">LISTEN": tcp.StateListen, ">SR": tcp.StateSynReceived, ">EST": tcp.StateEstablished,
	">FW1": tcp.StateFinWait1, ">FW2": tcp.StateFinWait2, ">CW": tcp.StateCloseWait, ">CLOSING": tcp.StateClosing,
	">LA": tcp.StateLastAck, ">TW": tcp.StateTimeWait,
}

// heardErrors are the errors as a cell calls them.
var heardErrors = map[string]error{
	"!refused": tcp.ErrRefused, "!reset": tcp.ErrReset, "!timeout": tcp.ErrTimeout, "!aborted": tcp.ErrAborted,
	"!closing": tcp.ErrClosing, "!none": tcp.ErrNotConnected, "!eof": io.EOF,
}

// cell is one of a matrix.
type cell struct {
	place
	event  string
	output string
	moves  bool
	then   tcp.State
	err    error // of every later call, or for a call its own
}

// cells reads a matrix; a hole or a word that it does not know fails the test.
func cells(t *testing.T, matrix string) (list []cell) {
	t.Helper()
	var heads []place
	for _, line := range strings.Split(strings.TrimSpace(matrix), "\n") {
		if strings.HasPrefix(line, "---") {
			continue
		}
		fields := strings.Split(line, "|")
		if heads == nil {
			for _, name := range fields[1:] {
				p, ok := columns[strings.TrimSpace(name)]
				if !ok {
					t.Fatalf("no state is called %q", name)
				}
				heads = append(heads, p)
			}
			continue
		}
		if len(fields) != len(heads)+1 {
			t.Fatalf("%d cells for %d states: %s", len(fields)-1, len(heads), line)
		}
		for i, text := range fields[1:] {
			list = append(list, parseCell(t, heads[i], strings.TrimSpace(fields[0]), text))
		}
	}
	return list
}

func parseCell(t *testing.T, p place, event, text string) cell {
	t.Helper()
	c := cell{place: p, event: event, then: p.state}
	var output []string
	for _, word := range strings.Fields(text) {
		state, isState := afterwards[word]
		err, isErr := heardErrors[word]
		switch {
		case isState:
			c.moves, c.then = true, state
		case isErr:
			c.err = err
		case strings.HasPrefix(word, ">"), strings.HasPrefix(word, "!"):
			t.Fatalf("%s in %v: unknown %q", event, p, word)
		default:
			output = append(output, word)
		}
	}
	if c.output = strings.Join(output, " "); c.output == "" {
		t.Fatalf("%s in %v: the cell is empty", event, p)
	}
	return c
}

func (c *cell) name() string { return fmt.Sprintf("%v/%s", c.place, c.event) }

// row is the cell as a row of the state table, for a dialogue d in its state.
func (c *cell) row(t *testing.T, d *dialogue) row {
	t.Helper()
	seg := parseLine(c.event, numbers{names: d.names})
	r := row{then: c.then, errs: []error{c.err}}
	if !c.moves {
		r.then = sameState
	}
	grown, isAck := strings.CutPrefix(c.output, "ack")
	switch {
	case c.output == "-":
	case c.output == "rst":
		r.reply = "R " + itoa(int(int32(seg.ack)))
	case c.output == "sa":
		r.reply = "S. 0 ack " + itoa(int(int32(seg.seq))+1)
	case isAck:
		n, _ := strconv.Atoi(grown) // none: 0
		r.reply = ". nxt ack rcv"
		if n > 0 {
			r.reply += "+" + itoa(n)
			r.late = true
			if r.reads = n; seg.flags.Has(tcp.SYN) || seg.flags.Has(tcp.FIN) {
				r.reads--
			}
		}
	default:
		t.Fatalf("%s: unknown output %q", c.name(), c.output)
	}
	return r
}

// TestMatrixOfSegments: 3.10.7, SEGMENT ARRIVES.
func TestMatrixOfSegments(t *testing.T) {
	list := cells(t, segmentMatrix)
	if n := len(columns); len(list)%n != 0 || len(list)/n < 40 {
		t.Fatalf("%d cells for %d states", len(list), n)
	}
	for _, c := range list {
		t.Run(c.name(), func(t *testing.T) {
			if c.state == tcp.StateClosed {
				c.playClosed(t)
				return
			}
			d := c.reach(t)
			r := c.row(t, d)
			r.playOn(d, c.event)
		})
	}
}

// playClosed plays a cell of CLOSED, where there is no TCB.
func (c *cell) playClosed(t *testing.T) {
	d := newDialogue(t)
	d.names = fixtureNumbers[tcp.StateClosed]
	b := d.onWire(c.event)
	var seg, reply tcp.Segment
	if err := tcp.Parse(b, &seg); err != nil {
		t.Fatal(err)
	}
	got := "-"
	if tcp.Refuse(&seg, &reply) {
		switch {
		case reply.Flags == tcp.RST && reply.Seq == seg.Ack:
			got = "rst"
		case reply.Flags == tcp.RST|tcp.ACK && reply.Seq == 0 && reply.Ack == seg.Seq.Add(seg.Len()):
			got = "rst0"
		default:
			got = fmt.Sprintf("%v SEQ %d ACK %d", reply.Flags, reply.Seq, reply.Ack)
		}
	}
	if got != c.output {
		t.Errorf("answered by %s, want %s", got, c.output)
	}
}

// TestMatrixOfSegmentsInAZeroWindow is fullMatrix.
func TestMatrixOfSegmentsInAZeroWindow(t *testing.T) {
	for _, c := range cells(t, fullMatrix) {
		t.Run(c.name(), func(t *testing.T) {
			d := smallBuffer(t)
			end := d.fill()
			una, nxt := 1, 1
			if c.state != tcp.StateEstablished {
				d.closeWrite()
				d.expect("F. 1 ack " + itoa(end))
				nxt = 2
			}
			if c.state == tcp.StateFinWait2 {
				d.send(". " + itoa(end) + " ack 2")
				d.expectNothing()
				una = 2
			}
			d.names = map[string]int{"una": una, "nxt": nxt, "rcv": end, "edge": end}
			d.mark = d.now
			r := c.row(t, d)
			r.playFull(d, c.event, end-1)
		})
	}
}

// playFull is playOn where held bytes wait for the reader: they outlive the end.
func (r *row) playFull(d *dialogue, send string, held int) {
	d.Helper()
	d.send(send)
	if r.reply == "" {
		d.expectNothing()
	} else {
		d.expect(r.reply + " win 0")
	}
	then := r.then
	if then != sameState {
		d.expectState(then)
	}
	d.at(100 * time.Millisecond)
	d.expectNothing()
	for got := 0; got < held; got += d.take(held) {
		d.overheard() // the window opens
	}
	d.overheard()
	if r.errs[0] != nil {
		d.expectReadError(r.errs[0])
	}
}
