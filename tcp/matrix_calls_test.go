package tcp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// callMatrix is what each user call does in each state (3.10.1 to 3.10.6). What is sent is
// written as in segmentMatrix, or
//
//	data    five bytes at SND.NXT
//	fin     <SEQ=SND.NXT><ACK=RCV.NXT><CTL=FIN,ACK>
//	reset   <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>
//
// and the error is that of the call itself. OPEN is the driver's: it makes a new TCB, and
// its four-tuple must be free (stack, TestOpenOfWhatExists).
//
// SEND and RECEIVE do not wait in this package: SEND in SYN-SENT and SYN-RECEIVED queues,
// RECEIVE of nothing says so. SHUTDOWN is CLOSE as the RFC has it: no more to send; CLOSE
// is that of the sockets, after which nobody reads either.
const callMatrix = `
call     | CLOSED  | LISTEN    | SYN-SENT  | SYN-RCVD      | SYN-RCVD passive | ESTAB         | FIN-WAIT-1    | FIN-WAIT-2    | CLOSE-WAIT    | CLOSING    | LAST-ACK   | TIME-WAIT
SEND     | - !none | - !none   | -         | -             | -                | data          | - !closing    | - !closing    | data          | - !closing | - !closing | - !closing
RECEIVE  | - !none | -         | -         | -             | -                | -             | -             | -             | - !eof        | - !eof     | - !eof     | - !eof
SHUTDOWN | - !none | - !none   | - >CLOSED | -             | -                | fin >FW1      | - !closing    | - !closing    | fin >LA       | - !closing | - !closing | - !closing
CLOSE    | -       | - >CLOSED | - >CLOSED | -             | -                | fin >FW1      | -             | -             | fin >LA       | -          | -          | -
ABORT    | -       | - >CLOSED | - >CLOSED | reset >CLOSED | reset >CLOSED    | reset >CLOSED | reset >CLOSED | reset >CLOSED | reset >CLOSED | - >CLOSED  | - >CLOSED  | - >CLOSED
STATUS   | -       | -         | -         | -             | -                | -             | -             | -             | -             | -          | -          | -
`

// userCalls are the user calls by their names in callMatrix.
var userCalls = map[string]func(d *dialogue) error{
	"SEND": func(d *dialogue) error {
		n, err := d.tcb.Write(d.now, ourBytes(5))
		d.watch.written += n
		return err
	},
	"RECEIVE": func(d *dialogue) error {
		_, err := d.tcb.Read(d.now, make([]byte, 5))
		return err
	},
	"SHUTDOWN": func(d *dialogue) error { return d.tcb.CloseWrite(d.now) },
	"CLOSE":    func(d *dialogue) error { d.tcb.Close(d.now); return nil },
	"ABORT":    func(d *dialogue) error { d.tcb.Abort(d.now); return nil },
	"STATUS": func(d *dialogue) error {
		if got := d.info().State.String(); got != d.tcb.State().String() {
			return fmt.Errorf("Info says %s", got)
		}
		return nil
	},
}

// TestMatrixOfCalls: 3.10.1 to 3.10.6.
func TestMatrixOfCalls(t *testing.T) {
	for _, c := range cells(t, callMatrix) {
		t.Run(c.name(), func(t *testing.T) {
			d := c.reach(t)
			var err error
			d.call(c.event, func() { err = userCalls[c.event](d) })
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				d.fail("%s says %v, want %v", c.event, err, c.err)
			}
			switch c.output {
			case "-":
				d.expectNothing()
			case "data":
				d.expect("P. nxt(5) ack rcv")
			case "fin":
				d.expect("F. nxt ack rcv")
			case "reset":
				d.expect("R. nxt ack rcv")
			default:
				t.Fatalf("unknown output %q", c.output)
			}
			d.expectState(c.then)
			d.at(100 * time.Millisecond)
			d.expectNothing()
			if c.event == "ABORT" && c.moves && c.state != tcp.StateTimeWait {
				d.expectClosed(tcp.ErrAborted)
			}
		})
	}
}

// timerMatrix is what each timer does in each state when nothing comes from the peer any
// more (3.8, 3.10.8). A cell is when, after what the first column sets up, and what is
// sent first, or only the state that follows; "never" is for a day at least.
//
//	idle        nothing is set up: what is in flight is what the state itself has sent
//	given up    the same, and when it ends (R2)
//	text        five bytes were written before
//	shut        the peer has shut its window, and five bytes were written then
//	delayed     five bytes have come
//	keep-alive  keep-alives are on, one minute
//	user        the user timeout is 5 s
//	closed      the application has closed
const timerMatrix = `
timer      | SYN-SENT              | SYN-RCVD              | SYN-RCVD passive      | ESTAB       | FIN-WAIT-1          | FIN-WAIT-2   | CLOSE-WAIT  | CLOSING             | LAST-ACK            | TIME-WAIT
idle       | 1s syn                | 1s sa                 | 1s sa                 | never       | 210ms fin           | never        | never       | 210ms fin           | 210ms fin           | 1m0s >CLOSED
given up   | 4m7s >CLOSED !timeout | 4m7s >CLOSED !timeout | 1m3s >CLOSED !timeout | never       | R2 >CLOSED !timeout | never        | never       | R2 >CLOSED !timeout | R2 >CLOSED !timeout | 1m0s >CLOSED
text       | 1s syn                | 1s sa                 | 1s sa                 | 210ms data  | *                   | *            | 210ms data  | *                   | *                   | *
shut       | *                     | *                     | *                     | 210ms octet | *                   | *            | 210ms octet | *                   | *                   | *
delayed    | *                     | *                     | *                     | 40ms ack+5  | 40ms ack+5          | 40ms ack+5   | *           | *                   | *                   | *
keep-alive | 1s syn                | 1s sa                 | 1s sa                 | 1m0s probe  | 210ms fin           | 1m0s probe   | 1m0s probe  | 210ms fin           | 210ms fin           | 1m0s >CLOSED
user       | 5s >CLOSED !timeout   | 5s >CLOSED !timeout   | 5s >CLOSED !timeout   | never       | 5s >CLOSED !timeout | never        | never       | 5s >CLOSED !timeout | 5s >CLOSED !timeout | 1m0s >CLOSED
closed     | *                     | *                     | *                     | *           | 210ms fin           | 1m0s >CLOSED | *           | 210ms fin           | 210ms fin           | 1m0s >CLOSED
`

// timerSetups are what the first column of timerMatrix stands for.
var timerSetups = map[string]func(d *dialogue){
	"idle":     func(*dialogue) {},
	"given up": func(*dialogue) {},
	"text": func(d *dialogue) {
		d.write(5)
		d.overheard()
	},
	"shut": func(d *dialogue) {
		d.send(". rcv ack nxt win 0")
		d.write(5)
		d.expectNothing()
	},
	"delayed": func(d *dialogue) {
		d.tcb.SetQuickAck(d.now, false)
		d.send("P. rcv(5) ack una")
		d.expectNothing()
	},
	"keep-alive": func(d *dialogue) {
		d.call("SetKeepAlive", func() { d.tcb.SetKeepAlive(d.now, tcp.KeepAlive{Enable: true, Idle: time.Minute}) })
		if d.tcb.State() == tcp.StateCloseWait {
			d.send(". rcv ack nxt") // it is idle from here on, and not since the FIN, whose ACK was late
			d.expectNothing()
		}
	},
	"user": func(d *dialogue) {
		d.call("SetUserTimeout", func() { d.tcb.SetUserTimeout(d.now, 5*time.Second) })
	},
	"closed": func(d *dialogue) { d.close() },
}

// afterR2 is when fifteen retransmissions, from 210 ms on and doubled up to 120 s, are over.
func afterR2() (at time.Duration) {
	gap := rtoAfter
	for range 16 {
		at += gap
		gap = min(2*gap, 120*time.Second)
	}
	return at
}

// TestMatrixOfTimers: 3.10.8, and the timers of 3.8.
func TestMatrixOfTimers(t *testing.T) {
	for _, c := range cells(t, timerMatrix) {
		if c.output == "*" { // the state does not let it come to that
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			d := c.reach(t)
			timerSetups[c.event](d)
			when, what, _ := strings.Cut(c.output, " ")
			if when == "never" {
				d.wait(24 * time.Hour)
				d.expectNothing()
				d.expectState(c.state)
				return
			}
			at := afterR2()
			if when != "R2" {
				var err error
				if at, err = time.ParseDuration(when); err != nil {
					t.Fatal(err)
				}
			}
			if c.moves {
				d.at(at - 1)
				d.overheard()
				d.expectState(c.state)
				d.at(at)
				d.expectNothing()
				d.expectState(c.then)
				d.expectClosed(c.err)
				return
			}
			d.at(at - 1)
			d.expectNothing()
			d.at(at)
			want := map[string]string{
				"syn": "S 0", "sa": "S. 0 ack rcv", "fin": "F. nxt-1 ack rcv", "data": "P. nxt(5) ack rcv",
				"octet": ". nxt(1) ack rcv", "ack+5": ". nxt ack rcv+5", "probe": ". nxt-1 ack rcv",
			}[what]
			if want == "" {
				t.Fatalf("unknown output %q", what)
			}
			d.expect("@" + when + " " + want)
			d.expectState(c.state)
		})
	}
}
