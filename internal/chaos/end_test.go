package chaos

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/tcp"
)

// end is one TCB with its application and the checks on it.
type end struct {
	*world
	name   string
	tcb    tcp.TCB
	params tcp.Params
	setup  tcp.Setup
	peer   *end  // nil: the peer is a script
	wire   *wire // what it sends goes there
	app    application
	check  checker
	out    tcp.Out
}

// application is what the user of an end does.
type application struct {
	total, written int // of its stream, in bytes
	read           int // of the peer's
	chunk          int // most bytes a call
	sleepy         bool
	stopped        bool // reads nothing for now
	wroteAll       bool // CloseWrite has been called
	closed         bool // Close has
	shutRead       bool // CloseRead has
	sawEOF         bool
	thinks         bool // it will look again
	thinksAt       tcp.Time
	// fatal is what this end has done, or had set, that may end the connection
	// otherwise than in order; "" for nothing.
	fatal string
}

// pattern is what both streams are made of; a period that no segment size divides.
var pattern = func() []byte {
	r := rand.New(rand.NewPCG(9293, 1981))
	b := make([]byte, 99991+128<<10)
	for i := range 99991 {
		b[i] = byte(r.Uint32())
	}
	copy(b[99991:], b)
	return b
}()

// stream is n bytes of the stream of the end of a name, at most 128 KiB.
func stream(name string, off, n int) []byte {
	off += int(name[0]) * 1009
	return pattern[off%99991:][:n]
}

// forget begins anew: the TCB is back in LISTEN, and the connection that was not to be has
// taken with it what was written.
func (a *application) forget() {
	a.written, a.read, a.wroteAll, a.sawEOF = 0, 0, false, false
}

func (e *end) tell(format string, args ...any) {
	if e.story != nil {
		e.story(e.name + " " + fmt.Sprintf(format, args...))
	}
}

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// maybe is true once in n times.
func maybe(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// arrive hands a segment to the TCB, or answers for one that has gone.
func (e *end) arrive(seg *tcp.Segment, payload []byte) {
	if e.tcb.Done() {
		var reply tcp.Segment
		seg.Payload = payload
		if tcp.Refuse(seg, &reply) {
			e.tell("is gone, and answers %s", describe(&reply, 0))
			e.wire.send(&reply, nil, false)
		}
		return
	}
	e.check.segmentComes(seg)
	seg.Payload = append([]byte(nil), payload...)
	if e.dice.IntN(3) == 0 && len(payload) > 0 {
		b := buffer.NewBlockFor(len(payload))
		seg.Block, seg.Payload = b, b.B[:copy(b.B, payload)]
	}
	mine := seg.Payload
	blk := seg.Block
	e.tcb.Segment(e.now, seg)
	if blk == nil || seg.Block != nil { // the memory is the driver's again
		for i := range mine {
			mine[i] = 0xee
		}
		seg.Block.Release()
	}
	seg.Payload, seg.Block = nil, nil
	if !e.calm && maybe(e.dice, 40) {
		return // a batch: the TCB is asked with the next event
	}
	e.flush("a segment")
	if e.calm || maybe(e.dice, 2) {
		e.think(0)
	}
}

// flush takes what the TCB has to send. cause is the one input since the last time.
func (e *end) flush(cause string) {
	if e.failed != nil {
		return
	}
	e.check.batchBegins()
	for n := 0; e.tcb.Next(e.now, &e.out); n++ {
		if n > 50_000 { // a large window in small segments takes some
			e.fail(9, "%s: Next does not come to an end", e.name)
			return
		}
		e.tell("> %s %v", describe(&e.out.Segment, e.out.DataLen), e.check.why)
		e.check.segmentLeaves(&e.out)
		if e.failed != nil {
			return
		}
		payload := make([]byte, 0, e.out.DataLen)
		for _, d := range e.out.Data {
			payload = append(payload, d...)
		}
		seg := e.out.Segment
		e.wire.send(&seg, payload, e.out.ECT)
	}
	e.check.batchEnds(cause)
}

// think puts the application's next look on the list; one that is due sooner stands.
func (e *end) think(after time.Duration) {
	at := e.now.Add(after)
	if e.app.thinks && e.app.thinksAt <= at {
		return
	}
	e.app.thinks, e.app.thinksAt = true, at
	e.at(at, func() {
		if e.app.thinks && e.app.thinksAt == at {
			e.app.thinks = false
			e.act()
		}
	})
}

// act is the application looking at its connection.
func (e *end) act() {
	if !e.calm && maybe(e.dice, 30) {
		e.whim()
	}
	e.write()
	e.readSome()
	e.closeWhenDone()
	e.flush("the application")
	if a := &e.app; a.sawEOF && (a.wroteAll || a.closed) && e.tcb.Done() || a.closed && e.tcb.Done() {
		return
	}
	gap := time.Duration(1+e.dice.IntN(80)) * time.Millisecond
	if e.calm {
		gap = 50 * time.Millisecond
		if e.now.Sub(e.calmAt) > time.Minute {
			gap = 2 * time.Second
		}
		if e.script != nil && (e.app.wroteAll || e.app.closed) {
			gap = 30 * time.Second
		}
	}
	e.think(gap)
}

func (e *end) write() {
	a := &e.app
	for tries := 0; (tries < 4 || e.calm) && a.written < a.total && !a.wroteAll && !a.closed && e.tcb.State() != tcp.StateListen; tries++ {
		n := min(a.total-a.written, 1+e.dice.IntN(a.chunk))
		if maybe(e.dice, 6) {
			n = 1
		}
		wrote, err := e.tcb.Write(e.now, stream(e.name, a.written, n))
		if err != nil {
			e.ended(err)
			return
		}
		a.written += wrote
		if wrote < n || !e.calm && maybe(e.dice, 2) {
			return
		}
	}
}

func (e *end) readSome() {
	a := &e.app
	for (e.calm || !a.stopped) && !a.sawEOF {
		n := 1 + e.dice.IntN(a.chunk)
		if e.calm {
			n = 64 << 10
		}
		p := e.scratch[:n]
		n, err := e.tcb.Read(e.now, p)
		if e.peer != nil && !a.shutRead {
			if a.read+n > e.peer.app.written {
				e.fail(2, "%s: has read %d bytes, %d were written", e.name, a.read+n, e.peer.app.written)
				return
			}
			if got, want := p[:n], stream(e.peer.name, a.read, n); string(got) != string(want) {
				e.fail(2, "%s: reads wrong bytes in [%d,%d)", e.name, a.read, a.read+n)
				return
			}
		}
		a.read += n
		switch {
		case errors.Is(err, io.EOF):
			a.sawEOF = true
			if e.peer != nil && !a.shutRead && !a.closed && (!e.peer.app.wroteAll && !e.peer.app.closed || a.read != e.peer.app.written) && e.tcb.State() != tcp.StateClosed {
				e.fail(2, "%s: EOF after %d bytes of %d written", e.name, a.read, e.peer.app.written)
			}
		case err != nil:
			e.ended(err)
			return
		}
		if n == 0 || a.sleepy && !e.calm {
			return
		}
	}
}

// ended: a call has said that the connection is over.
func (e *end) ended(err error) {
	if e.tcb.State() != tcp.StateClosed && e.tcb.State() != tcp.StateListen && !e.app.wroteAll {
		e.fail(14, "%s: a call says %v in %v", e.name, err, e.tcb.State())
	}
	if e.tcb.State() == tcp.StateClosed {
		e.app.closed = true
	}
}

func (e *end) closeWhenDone() {
	a := &e.app
	switch s := e.tcb.State(); {
	case e.calm && e.peer != nil && e.peer.tcb.Done() && e.fatal() && !a.closed && e.now.Sub(e.calmAt) > 10*time.Minute:
		e.tell("Close: the peer has died, and nobody will say so")
		e.tcb.Close(e.now)
		a.closed, a.sawEOF = true, true
	case s == tcp.StateListen && e.calm && (e.peer == nil || e.peer.tcb.Done()):
		e.tell("Close: nobody calls any more")
		e.tcb.Close(e.now)
		a.closed, a.sawEOF = true, true
	case a.written == a.total && !a.wroteAll && !a.closed && s >= tcp.StateEstablished:
		e.tell("CloseWrite")
		if e.tcb.CloseWrite(e.now) == nil {
			a.wroteAll = true
		}
	}
}

// whim is a call that nobody would expect.
func (e *end) whim() {
	a, r := &e.app, e.dice
	switch r.IntN(16) {
	case 0, 1:
		e.tell("SetNoDelay")
		e.tcb.SetNoDelay(e.now, maybe(r, 2))
	case 2, 3:
		n := pick(r, 1, 4096, 20000, 100000, 1<<20)
		e.tell("SetReceiveBuffer %d", n)
		e.tcb.SetReceiveBuffer(e.now, n)
	case 4:
		n := pick(r, 1, 4096, 20000, 1<<20)
		e.tell("SetSendBuffer %d", n)
		e.tcb.SetSendBuffer(n)
	case 5, 6:
		e.tell("SetCongestion")
		e.tcb.SetCongestion(e.now, pick(r, nil, tcp.CUBIC, tcp.NewReno))
	case 7:
		k := tcp.KeepAlive{Enable: maybe(r, 2), Idle: time.Duration(1+r.IntN(20)) * time.Second, Interval: time.Duration(10+r.IntN(20)) * time.Second}
		if e.rash {
			k.Interval, k.Count = k.Interval/10, 1+r.IntN(4)
		}
		e.tell("SetKeepAlive %v", k)
		e.tcb.SetKeepAlive(e.now, k)
		if e.rash && k.Enable {
			a.fatal = "keep-alive"
		}
	case 8, 9:
		a.stopped = !a.stopped
		e.tell("reading stopped: %v", a.stopped)
	case 10:
		if e.rash && maybe(r, 4) {
			d := time.Duration(r.IntN(60)) * time.Second
			e.tell("SetUserTimeout %v", d)
			e.tcb.SetUserTimeout(e.now, d)
			a.fatal = "user timeout"
		}
	case 11:
		if e.rash && maybe(r, 4) {
			d := time.Duration(r.IntN(20)-3) * time.Second
			e.tell("SetLinger %v", d)
			e.tcb.SetLinger(d)
			if d >= 0 {
				a.fatal = "linger"
			}
		}
	case 12:
		if maybe(r, 12) {
			e.tell("CloseRead")
			e.tcb.CloseRead(e.now)
			a.shutRead = true
		}
	case 13:
		if maybe(r, 24) && (e.rash || e.tcb.State() != tcp.StateSynSent) {
			e.tell("CloseWrite, early")
			before := e.tcb.State()
			if e.tcb.CloseWrite(e.now) == nil {
				a.wroteAll = true
				if before == tcp.StateSynSent {
					a.fatal = "CloseWrite in SYN-SENT"
				}
			}
		}
	case 14:
		if e.rash && maybe(r, 8) {
			e.tell("Close")
			e.tcb.Close(e.now)
			a.closed, a.sawEOF, a.fatal = true, true, "Close"
		}
	case 15:
		if e.rash && maybe(r, 12) {
			e.tell("Abort")
			e.tcb.Abort(e.now)
			a.closed, a.sawEOF, a.fatal = true, true, "Abort"
		}
	}
}

func describe(s *tcp.Segment, n int) string {
	t := fmt.Sprintf("%v seq %d len %d ack %d win %d", s.Flags, s.Seq, n, s.Ack, s.Window)
	if s.GSOSize > 0 {
		t += fmt.Sprintf(" gso %d", s.GSOSize)
	}
	if o := &s.Options; o.HasTimestamps {
		t += fmt.Sprintf(" ts %d %d", o.TSVal, o.TSEcr)
	}
	for _, b := range s.Options.SACK[:s.Options.SACKBlocks] {
		t += fmt.Sprintf(" sack %d:%d", b.Start, b.End)
	}
	return t
}
