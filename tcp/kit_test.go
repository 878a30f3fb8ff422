package tcp_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// A dialogue is a conversation with one TCB in virtual time: the test plays the
// peer, the application and the clock. What the TCB says is kept until the test
// says what it expected; to say the next thing before that is an error, so that
// every test of this package means "exactly that and nothing else".
type dialogue struct {
	testing.TB
	tcb  tcp.TCB
	now  tcp.Time
	mark tcp.Time // when the test last did something: @ counts from here

	setup tcp.Setup
	iss   tcp.Seq // of the TCB
	irs   tcp.Seq // of the peer
	peer  peer
	names map[string]int // una, nxt, rcv as the fixture left them

	watch   watch
	heard   []utterance // said by the TCB and not yet expected
	read    int         // bytes that the application has read
	lastTS  uint32      // the last TSval of the TCB
	story   []string
	events  []tcp.Event
	deadend bool // the TCB was done: nothing may follow but the resets of CLOSED
	arrived bool // a segment has, since the TCB was last asked
}

// peer is what the other side announces and how it writes its segments.
type peer struct {
	mss    int // 0: no MSS option
	sack   bool
	ts     bool
	wscale int // -1: none
	win    int // as in the header; the window of a segment that does not name one
	// tsClock is the peer's TSval now; it advances by one each millisecond.
	tsBase uint32
}

type utterance struct {
	*sent
	at   tcp.Time
	text string
}

// option changes how a dialogue is set up.
type option func(*dialogue)

func withParams(p tcp.Params) option {
	return func(d *dialogue) { p = p.WithDefaults(); d.setup.Params = &p }
}
func withPeer(f func(*peer)) option { return func(d *dialogue) { f(&d.peer) } }
func withMSS(n int) option          { return func(d *dialogue) { d.setup.MSS = n } }
func withGSO(n int) option          { return func(d *dialogue) { d.setup.MaxGSO = n } }
func withSACK(d *dialogue)          { d.peer.sack = true }
func withTS(d *dialogue)            { d.peer.ts = true }
func withWindow(n int) option       { return func(d *dialogue) { d.peer.win = n } }
func withIPv6(d *dialogue) {
	d.setup.Local = netip.MustParseAddrPort("[fd77::2]:80")
	d.setup.Remote = netip.MustParseAddrPort("[fd77::1]:40000")
	d.setup.MSS = 1440
}

// rtt is the round trip of every fixture's handshake: SRTT 10 ms, RTTVAR 5 ms, so
// that the timeout after it is SRTT + max(MinRTO, 4·RTTVAR) = 210 ms.
const (
	rtt      = 10 * time.Millisecond
	rtoAfter = 210 * time.Millisecond
	delack   = 40 * time.Millisecond
)

// newDialogue makes a TCB that is not open yet and a peer that takes 1,000 bytes a
// segment and offers no option but MSS. Both initial sequence numbers lie shortly
// before the wrap of sequence space, so that every test that moves data crosses it.
func newDialogue(t testing.TB, opts ...option) *dialogue {
	t.Helper()
	p := tcp.Params{}.WithDefaults()
	d := &dialogue{
		TB:   t,
		now:  tcp.Time(time.Hour),
		iss:  math.MaxUint32 - 1200,
		irs:  math.MaxUint32 - 500,
		peer: peer{mss: 1000, wscale: -1, win: 65535, tsBase: math.MaxUint32 - 5000},
		setup: tcp.Setup{
			Params: &p,
			MSS:    1460,
			Endpoints: tcp.Endpoints{
				Local:  netip.MustParseAddrPort("10.77.0.2:80"),
				Remote: netip.MustParseAddrPort("10.77.0.1:40000"),
			},
			TSOffset: math.MaxUint32 - 9000,
		},
	}
	for _, o := range opts {
		o(d)
	}
	d.setup.ISS = d.iss
	d.setup.Observer = func(e *tcp.Event) { d.events = append(d.events, *e) }
	d.mark = d.now
	d.watch = watch{tcb: &d.tcb, setup: d.setup, stream: ours, peerMSS: d.peer.mss}
	if d.peer.mss == 0 {
		d.watch.peerMSS = 536 // MUST-15
		if d.setup.Remote.Addr().Is6() {
			d.watch.peerMSS = 1220
		}
	}
	t.Cleanup(d.checkStates)
	return d
}

// ours and theirs are the bytes at an offset of the two streams.
func ours(off int) byte   { return byte(off*31 + off>>8*17 + 7) }
func theirs(off int) byte { return ours(off) ^ 0x5a }

// fail ends the test with the whole dialogue.
func (d *dialogue) fail(format string, args ...any) {
	d.Helper()
	d.Fatalf("%s\nthe dialogue (> from the peer, < from the TCB):\n%s",
		fmt.Sprintf(format, args...), strings.Join(d.story, "\n"))
}

// guard, deferred, turns a panic of the TCB into a failure that tells how it came
// about.
func (d *dialogue) guard() {
	d.Helper()
	if r := recover(); r != nil {
		d.fail("panic: %v\n%s", r, debug.Stack())
	}
}

func (d *dialogue) tell(who, what string) {
	d.story = append(d.story, fmt.Sprintf("%12v %s %s", d.now.Sub(tcp.Time(time.Hour)), who, what))
}

// act begins every thing that a test does: what was said before must have been
// expected.
func (d *dialogue) act() {
	d.Helper()
	if len(d.heard) != 0 {
		d.fail("%d segments were sent that nobody expected, the first: %s", len(d.heard), d.heard[0].text)
	}
	d.mark = d.now
}

// call runs a user call and collects what the TCB says to it.
func (d *dialogue) call(what string, f func()) {
	d.Helper()
	d.act()
	d.tell(" ", what)
	defer d.guard()
	f()
	d.listen()
}

// listen takes from the TCB whatever it has to say.
func (d *dialogue) listen() {
	d.Helper()
	defer d.guard()
	var out tcp.Out
	for n := 0; d.tcb.Next(d.now, &out); n++ {
		s, err := d.watch.take(d.now, &out)
		if s != nil {
			u := utterance{sent: s, at: d.now, text: d.write1(s)}
			d.tell("<", u.text)
			d.heard = append(d.heard, u)
		}
		if err != nil {
			d.fail("%v", err)
		}
		if d.deadend && !(d.arrived && s.Flags.Has(tcp.RST)) {
			d.fail("a TCB that was done has sent %s", d.heard[len(d.heard)-1].text)
		}
		if s.Options.HasTimestamps {
			d.lastTS = s.Options.TSVal
		}
		if n > 10000 {
			d.fail("Next does not come to an end")
		}
	}
	if dl := d.tcb.Deadline(); dl <= d.now && !d.tcb.Done() {
		// Nothing is due any more once Tick and Next have run.
		d.tcb.Tick(d.now)
		if dl = d.tcb.Deadline(); dl <= d.now {
			d.fail("deadline %v lies in the past", dl.Sub(tcp.Time(time.Hour)))
		}
		d.listen()
	}
	d.deadend, d.arrived = d.tcb.Done(), false
}

// write1 writes a segment of the TCB in the notation.
func (d *dialogue) write1(s *sent) string {
	text := fmt.Sprintf("%s %d", letters(s.Flags), s.Seq.Sub(d.iss))
	if n := len(s.Payload); n > 0 {
		text += fmt.Sprintf("(%d)", n)
	}
	if s.Flags.Has(tcp.ACK) {
		text += fmt.Sprintf(" ack %d", s.Ack.Sub(d.irs))
	}
	text += fmt.Sprintf(" win %d", s.Window)
	if opts := s.header[tcp.HeaderLen:]; len(opts) > 0 {
		text += " <" + readOptions(opts, d.irs) + ">"
	}
	if s.GSOSize != 0 {
		text += fmt.Sprintf(" cut into %d", s.GSOSize)
	}
	return text
}

// tsval is the peer's timestamp clock.
func (d *dialogue) tsval() uint32 {
	return d.peer.tsBase + uint32(d.now.Sub(tcp.Time(time.Hour))/time.Millisecond)
}

// send lets the segments arrive as one batch, by way of the wire format, and
// collects what the TCB says to it.
func (d *dialogue) send(lines ...string) {
	d.Helper()
	d.act()
	for _, text := range lines {
		d.deliver(text)
	}
	d.listen()
}

// deliver hands one segment to the TCB.
func (d *dialogue) deliver(text string) {
	d.Helper()
	d.tell(">", text)
	defer d.guard()
	b := d.onWire(text)
	var seg tcp.Segment
	if err := tcp.Parse(b, &seg); err != nil {
		d.fail("the test's own segment %q: %v", text, err)
	}
	d.tcb.Segment(d.now, &seg)
	d.arrived = true
	for i := range b {
		b[i] = 0xee // the TCB had no Block: it must have copied what it needs
	}
}

// onWire is the bytes of one segment of the peer's.
func (d *dialogue) onWire(text string) []byte {
	l := parseLine(text, numbers{seq: d.irs, ack: d.iss, names: d.names})
	seg := tcp.Segment{
		SrcPort: d.setup.Remote.Port(), DstPort: d.setup.Local.Port(),
		Seq: l.seq, Ack: l.ack, Flags: l.flags, Window: uint16(d.peer.win),
	}
	if l.win >= 0 {
		seg.Window = uint16(l.win)
	}
	if l.urg >= 0 {
		seg.Urgent = uint16(l.urg)
	}
	opts := l.opts
	if !l.hasOpt {
		opts = d.usualOptions(l.flags)
	}
	b := append(seg.AppendHeader(nil), wireOptions(opts, d.iss)...)
	b[12] = byte(len(b)/4) << 4
	off := l.seq.Sub(d.irs) - 1
	if l.flags.Has(tcp.SYN) {
		off++
	}
	for i := range l.dlen {
		b = append(b, theirs(off+i))
	}
	return b
}

// usualOptions is what the peer writes on a segment whose options are not spelled
// out.
func (d *dialogue) usualOptions(f tcp.Flags) string {
	var toks []string
	if f.Has(tcp.SYN) {
		if d.peer.mss > 0 {
			toks = append(toks, fmt.Sprintf("mss %d", d.peer.mss))
		}
		if d.peer.sack {
			toks = append(toks, "sackOK")
		}
		if d.peer.wscale >= 0 {
			toks = append(toks, fmt.Sprintf("nop,wscale %d", d.peer.wscale))
		}
	}
	if d.peer.ts && !f.Has(tcp.RST) {
		toks = append(toks, fmt.Sprintf("nop,nop,TS %d %d", d.tsval(), d.lastTS))
	}
	return strings.Join(toks, ",")
}

// expect says what the TCB has just said: these segments and nothing else.
func (d *dialogue) expect(lines ...string) {
	d.Helper()
	heard := d.heard
	d.heard = nil
	for i, want := range lines {
		if i >= len(heard) {
			d.fail("expected %q and heard nothing", want)
		}
		if why := d.mismatch(want, &heard[i]); why != "" {
			d.fail("expected %q, heard %q: %s", want, heard[i].text, why)
		}
	}
	if len(heard) > len(lines) {
		d.fail("expected %q and nothing else, but heard %q", lines, heard[len(lines)].text)
	}
}

// expectLate is expect for one ACK that may be a delayed one (RFC 9293, 3.8.6.3).
func (d *dialogue) expectLate(want string) {
	d.Helper()
	if len(d.heard) == 0 {
		d.wait(delack)
	}
	d.expect("@* " + strings.ReplaceAll(want, " | ", " | @* "))
}

// expectNothing says that the TCB kept silent.
func (d *dialogue) expectNothing() { d.Helper(); d.expect() }

// mismatch says how u differs from what was wanted, "" if it does not.
func (d *dialogue) mismatch(want string, u *utterance) string {
	var why string
	for _, alt := range strings.Split(want, " | ") {
		if why = d.differs(parseLine(alt, numbers{seq: d.iss, ack: d.irs, names: d.names}), u); why == "" {
			return ""
		}
	}
	return why
}

func (d *dialogue) differs(l line, u *utterance) string {
	flags := u.Flags
	if !l.flags.Has(tcp.PSH) {
		flags &^= tcp.PSH
	}
	switch {
	case !l.anyAt && u.at != d.mark.Add(l.at):
		return fmt.Sprintf("left at %v", u.at.Sub(d.mark))
	case flags != l.flags:
		return fmt.Sprintf("flags are %v", u.Flags)
	case u.Seq != l.seq:
		return fmt.Sprintf("SEQ is %d", u.Seq.Sub(d.iss))
	case len(u.Payload) != l.dlen:
		return fmt.Sprintf("%d bytes of data", len(u.Payload))
	case l.hasAck && !l.anyAck && u.Ack != l.ack:
		return fmt.Sprintf("ACK is %d", u.Ack.Sub(d.irs))
	case l.win >= 0 && int(u.Window) != l.win:
		return fmt.Sprintf("window is %d", u.Window)
	case l.hasOpt && !sameOptions(l.opts, readOptions(u.header[tcp.HeaderLen:], d.irs)):
		return "options differ"
	}
	return ""
}

// overheard takes what the TCB has said without judging it (beyond what the watch
// does), for tests that count rather than compare.
func (d *dialogue) overheard() []utterance {
	h := d.heard
	d.heard = nil
	return h
}

// wait lets time pass, with a Tick at each deadline on the way.
func (d *dialogue) wait(dur time.Duration) {
	d.Helper()
	defer d.guard()
	end := d.now.Add(dur)
	for n := 0; d.tcb.Deadline() <= end && d.tcb.Deadline() != tcp.Never; n++ {
		if n > 1000000 {
			d.fail("deadlines without end")
		}
		d.now = max(d.now, d.tcb.Deadline())
		d.tcb.Tick(d.now)
		d.listen()
	}
	d.now = end
}

// at waits until dur after the last thing that the test did.
func (d *dialogue) at(dur time.Duration) { d.Helper(); d.wait(d.mark.Add(dur).Sub(d.now)) }

// write writes the next n bytes of our stream; the TCB must take them all.
func (d *dialogue) write(n int) {
	d.Helper()
	if got := d.tryWrite(n); got != n {
		d.fail("Write took %d bytes of %d", got, n)
	}
}

// tryWrite writes up to n bytes and returns how many were taken.
func (d *dialogue) tryWrite(n int) (got int) {
	d.Helper()
	p := make([]byte, n)
	for i := range p {
		p[i] = ours(d.watch.written + i)
	}
	d.call(fmt.Sprintf("Write %d", n), func() {
		var err error
		if got, err = d.tcb.Write(d.now, p); err != nil {
			d.fail("Write: %v", err)
		}
		d.watch.written += got
	})
	clear(p) // Write has copied
	return got
}

// take reads up to n bytes and compares them with what the peer has sent.
func (d *dialogue) take(n int) (got int) {
	d.Helper()
	p := make([]byte, n)
	d.call(fmt.Sprintf("Read up to %d", n), func() {
		var err error
		if got, err = d.tcb.Read(d.now, p); err != nil {
			d.fail("Read: %v", err)
		}
	})
	for i, b := range p[:got] {
		if b != theirs(d.read+i) {
			d.fail("byte %d of the peer's stream was read wrong", d.read+i)
		}
	}
	d.read += got
	return got
}

// expectRead says that exactly n bytes are there to read, and reads them.
func (d *dialogue) expectRead(n int) {
	d.Helper()
	got := 0
	for {
		m := d.takeUntilEOF(max(n, 1))
		if got += m; m == 0 {
			break
		}
	}
	if got != n {
		d.fail("%d bytes were there to read, want %d", got, n)
	}
}

func (d *dialogue) takeUntilEOF(n int) int {
	d.Helper()
	if !d.tcb.Readable() {
		return 0
	}
	p := make([]byte, n)
	var got int
	d.call(fmt.Sprintf("Read up to %d", n), func() { got, _ = d.tcb.Read(d.now, p) })
	for i, b := range p[:got] {
		if b != theirs(d.read+i) {
			d.fail("byte %d of the peer's stream was read wrong", d.read+i)
		}
	}
	d.read += got
	return got
}

// expectReadError says that Read has no bytes and this error (nil: not yet).
func (d *dialogue) expectReadError(want error) {
	d.Helper()
	var p [1]byte
	if n, err := d.tcb.Read(d.now, p[:]); n != 0 || !errors.Is(err, want) {
		d.fail("Read: %d, %v; want 0, %v", n, err, want)
	}
	d.listen()
}

func (d *dialogue) expectEOF() { d.Helper(); d.expectReadError(io.EOF) }

// expectWriteError says that Write takes nothing and returns this error.
func (d *dialogue) expectWriteError(want error) {
	d.Helper()
	if n, err := d.tcb.Write(d.now, []byte{1}); n != 0 || !errors.Is(err, want) {
		d.fail("Write: %d, %v; want 0, %v", n, err, want)
	}
	d.listen()
}

// expectState says in which state the TCB is.
func (d *dialogue) expectState(want tcp.State) {
	d.Helper()
	if got := d.tcb.State(); got != want {
		d.fail("the state is %v, want %v", got, want)
	}
}

// expectClosed says that the connection is over, with this error (nil: in order),
// that nothing more is due and that a driver may forget the TCB.
func (d *dialogue) expectClosed(want error) {
	d.Helper()
	d.expectNothing()
	d.expectState(tcp.StateClosed)
	if err := d.tcb.Err(); !errors.Is(err, want) {
		d.fail("Err is %v, want %v", err, want)
	}
	if !d.tcb.Done() {
		d.fail("CLOSED and not done")
	}
	if dl := d.tcb.Deadline(); dl != tcp.Never {
		d.fail("CLOSED, and a deadline at %v", dl.Sub(d.now))
	}
	d.wait(24 * time.Hour)
	d.expectNothing()
}

func (d *dialogue) info() tcp.Info { return d.tcb.Info(d.now) }

func (d *dialogue) closeWrite() {
	d.Helper()
	d.call("CloseWrite", func() {
		if err := d.tcb.CloseWrite(d.now); err != nil {
			d.fail("CloseWrite: %v", err)
		}
	})
}
func (d *dialogue) close() { d.Helper(); d.call("Close", func() { d.tcb.Close(d.now) }) }
func (d *dialogue) abort() { d.Helper(); d.call("Abort", func() { d.tcb.Abort(d.now) }) }

func itoa(n int) string { return strconv.Itoa(n) }
