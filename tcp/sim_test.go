package tcp_test

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/tcp"
)

// Two TCBs over a bad wire in virtual time. Whatever the wire does short of silence,
// both streams arrive byte for byte, both ends learn of the other's close, and both
// reach CLOSED.

// impairment is what the wire does to packets, each direction alike.
type impairment struct {
	loss, dup, corrupt float64       // probabilities
	delay, jitter      time.Duration // jitter reorders
}

// world is two ends, the wire between them and the clock.
type world struct {
	rng  *rand.Rand
	now  tcp.Time
	bad  impairment
	wire packets
	n    int // packets so far
	ends [2]*end
	log  []string
}

// end is one TCB with its application, which writes total bytes, reads all that
// comes, and closes.
type end struct {
	*world
	name    string
	tcb     tcp.TCB
	watch   watch
	peer    *end
	total   int
	read    int
	sawEOF  bool
	closed  bool
	aborted bool
	thinks  tcp.Time // when the application looks again
	lazy    bool     // reads little at a time
	states  []tcp.State
	una     tcp.Seq
	rcv     tcp.Seq
	stream  func(int) byte
	wrong   error
}

type packet struct {
	at   tcp.Time
	n    int
	to   *end
	data []byte
}

type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	return p[i].at < p[j].at || p[i].at == p[j].at && p[i].n < p[j].n
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	old := *p
	x := old[len(old)-1]
	*p = old[:len(old)-1]
	return x
}

func (w *world) logf(format string, args ...any) {
	if len(w.log) < 3000 {
		w.log = append(w.log, fmt.Sprintf("%12v ", time.Duration(w.now))+fmt.Sprintf(format, args...))
	}
}

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// newWorld makes the two ends of a seed, each with settings of its own.
func newWorld(seed uint64, bad func(*rand.Rand) impairment) *world {
	r := rand.New(rand.NewPCG(seed, 9293))
	w := &world{rng: r, now: tcp.Time(r.Int64N(int64(time.Hour)))}
	w.bad = bad(r)
	addrs := [2]netip.AddrPort{netip.MustParseAddrPort("10.77.0.1:40000"), netip.MustParseAddrPort("10.77.0.2:80")}
	var mss [2]int
	for i := range w.ends {
		mss[i] = pick(r, 536, 1000, 1460, 8960)
		w.ends[i] = &end{world: w, name: [2]string{"a", "b"}[i], stream: [2]func(int) byte{ours, theirs}[i],
			total: pick(r, 0, 1, r.IntN(5000), r.IntN(300000)), lazy: r.IntN(4) == 0, thinks: w.now}
	}
	for i, e := range w.ends {
		e.peer = w.ends[1-i]
		p := tcp.Params{
			SendBuffer: pick(r, 4096, 16<<10, 1<<20), ReceiveBuffer: pick(r, 4096, 16<<10, 128<<10, 1<<20),
			NoTimestamps: r.IntN(3) == 0, NoSACK: r.IntN(3) == 0, NoWindowScale: r.IntN(4) == 0,
			// A bad wire must not make the tries run out, nor a lost FIN outlast TIME-WAIT.
			MaxRTO: 4 * time.Second, R2: 60, R2SYN: 60, R2SYNACK: 60,
		}.WithDefaults()
		s := tcp.Setup{
			Params: &p, MSS: mss[i], MaxGSO: pick(r, 0, 64<<10),
			Endpoints: tcp.Endpoints{Local: addrs[i], Remote: addrs[1-i]},
			ISS:       tcp.Seq(r.Uint32()), TSOffset: r.Uint32(),
		}
		s.Observer = func(ev *tcp.Event) {
			if ev.Kind == tcp.EventState {
				e.states = append(e.states, ev.From, ev.To)
				w.logf("%s %v to %v %v", e.name, ev.From, ev.To, ev.Why)
			}
		}
		e.watch = watch{tcb: &e.tcb, setup: s, stream: e.stream, peerMSS: mss[1-i]}
		if i == 0 || r.IntN(5) == 0 { // else a simultaneous open
			e.tcb.OpenActive(w.now, s)
		} else {
			e.tcb.OpenPassive(w.now, s)
		}
		e.tcb.SetNoDelay(w.now, r.IntN(2) == 0)
		e.tcb.SetKeepAlive(w.now, tcp.KeepAlive{Enable: true, Idle: 30 * time.Second}) // who waits for nothing finds a lost reset
	}
	return w
}

// run plays the world to its end; the error says what went wrong.
func (w *world) run(abortAt time.Duration) error {
	start := w.now
	for steps := 0; ; steps++ {
		for _, e := range w.ends {
			if err := e.settle(); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
		if a, b := w.ends[0], w.ends[1]; a.tcb.Done() && b.tcb.Done() && a.thinks == b.thinks && a.thinks == tcp.Never && len(w.wire) == 0 {
			return nil
		}
		if w.now.Sub(start) > 10*time.Hour || steps > 1_000_000 {
			return errors.New("no end in ten hours")
		}
		next := tcp.Never
		if len(w.wire) > 0 {
			next = w.wire[0].at
		}
		for _, e := range w.ends {
			next = min(next, e.tcb.Deadline(), e.thinks)
		}
		if next == tcp.Never {
			return fmt.Errorf("standstill: %v and %v", w.ends[0].tcb.State(), w.ends[1].tcb.State())
		}
		w.now = max(w.now, next)
		w.step(abortAt != 0 && w.now.Sub(start) > abortAt)
	}
}

// step does what is due now.
func (w *world) step(abort bool) {
	for len(w.wire) > 0 && w.wire[0].at <= w.now {
		p := heap.Pop(&w.wire).(packet)
		p.to.arrive(p.data)
	}
	for _, e := range w.ends {
		if e.tcb.Deadline() <= w.now {
			e.tcb.Tick(w.now)
		}
		if e.thinks <= w.now {
			e.application(abort && e.name == "a")
		}
	}
}

// arrive hands a packet to the TCB, or answers for the one that has gone.
func (e *end) arrive(data []byte) {
	var seg tcp.Segment
	if err := tcp.Parse(data, &seg); err != nil {
		panic(err)
	}
	if e.tcb.Done() {
		var reply tcp.Segment
		if tcp.Refuse(&seg, &reply) {
			e.transmit(reply.AppendHeader(nil))
		}
		return
	}
	if e.rng.IntN(3) == 0 {
		blk := buffer.NewBlock()
		if err := tcp.Parse(blk.B[:copy(blk.B, data)], &seg); err != nil {
			panic(err)
		}
		seg.Block = blk
	}
	e.tcb.Segment(e.now, &seg)
	seg.Block.Release()
	for i := range data {
		data[i] = 0xee
	}
	if e.rng.IntN(2) == 0 && e.thinks != tcp.Never {
		e.thinks = e.now
	}
}

// settle takes what the TCB has to send and checks what must always hold.
func (e *end) settle() error {
	if e.wrong != nil {
		return e.wrong
	}
	var out tcp.Out
	for e.tcb.Next(e.now, &out) {
		s, err := e.watch.take(e.now, &out)
		if err != nil {
			return err
		}
		if e.tcb.Done() && !s.Flags.Has(tcp.RST) && s.Len() > 0 {
			return fmt.Errorf("done, and sends %v", s.Flags)
		}
		for _, b := range cut(s) {
			e.transmit(b)
		}
	}
	if dl := e.tcb.Deadline(); dl <= e.now && !e.tcb.Done() {
		e.tcb.Tick(e.now)
		if dl = e.tcb.Deadline(); dl <= e.now {
			return fmt.Errorf("a deadline %v ago", e.now.Sub(dl))
		}
	}
	i := e.tcb.Info(e.now)
	if i.State < tcp.StateEstablished {
		return nil
	}
	limit := e.watch.setup.Params.ReceiveBuffer
	p := e.peer.tcb.Info(e.now)
	switch {
	case i.SndUna.After(i.SndNxt):
		return errors.New("SND.UNA beyond SND.NXT")
	case e.una != 0 && i.SndUna.Before(e.una), e.rcv != 0 && i.RcvNxt.Before(e.rcv):
		return errors.New("SND.UNA or RCV.NXT has moved back")
	case i.ReceiveQueue+i.OutOfOrder > limit+e.watch.setup.MSS:
		return fmt.Errorf("%d bytes held, the buffer is %d", i.ReceiveQueue+i.OutOfOrder, limit)
	case p.State >= tcp.StateEstablished && i.RcvNxt.After(p.SndNxt):
		return errors.New("received what was never sent")
	}
	e.una, e.rcv = i.SndUna, i.RcvNxt
	return nil
}

// cut makes honest packets of a super-segment.
func cut(s *sent) [][]byte {
	if s.GSOSize == 0 {
		return [][]byte{append(s.header[:len(s.header):len(s.header)], s.Payload...)}
	}
	var all [][]byte
	for rest := s.Payload; len(rest) > 0; {
		n := min(len(rest), s.GSOSize)
		piece := s.Segment
		if n < len(rest) {
			piece.Flags &^= tcp.FIN | tcp.PSH
		}
		all = append(all, append(piece.AppendHeader(nil), rest[:n]...))
		s.Seq, rest = s.Seq.Add(n), rest[n:]
	}
	return all
}

// transmit puts a packet on the wire, for what that is worth.
func (e *end) transmit(b []byte) {
	w, r := e.world, e.rng
	copies := 1
	switch x := r.Float64(); {
	case x < w.bad.loss+w.bad.corrupt: // a corrupted packet fails its checksum
		copies = 0
	case x < w.bad.loss+w.bad.corrupt+w.bad.dup:
		copies = 2
	}
	var seg tcp.Segment
	tcp.Parse(b, &seg)
	w.logf("%s %v seq %d len %d ack %d win %d, %d copies", e.name, seg.Flags, seg.Seq, len(seg.Payload), seg.Ack, seg.Window, copies)
	for range copies {
		at := w.now.Add(w.bad.delay)
		if w.bad.jitter > 0 {
			at = at.Add(time.Duration(r.Int64N(int64(w.bad.jitter))))
		}
		w.n++
		heap.Push(&w.wire, packet{at: at, n: w.n, to: e.peer, data: append([]byte(nil), b...)})
	}
}

// application writes some, reads some, closes when it has written all, and says when
// it will look again.
func (e *end) application(abort bool) {
	r := e.rng
	if abort && !e.aborted {
		e.aborted = true
		e.tcb.Abort(e.now)
	}
	if n := min(e.total-e.watch.written, 1+r.IntN(20000)); n > 0 && !e.closed {
		p := make([]byte, n)
		for i := range p {
			p[i] = e.stream(e.watch.written + i)
		}
		n, _ := e.tcb.Write(e.now, p)
		e.watch.written += n
	}
	if e.tcb.State() == tcp.StateListen && e.peer.tcb.Done() {
		e.tcb.Close(e.now) // the caller has given up: nobody else will call
	}
	// To close before the handshake is to give up the call (3.10.4).
	if e.watch.written == e.total && !e.closed && e.tcb.State() >= tcp.StateEstablished {
		if err := e.tcb.CloseWrite(e.now); err == nil {
			e.closed = true
		}
	}
	size := 64 << 10
	if e.lazy {
		size = 1 + r.IntN(2000)
	}
	p := make([]byte, size)
	var err error
	for !e.sawEOF {
		var n int
		n, err = e.tcb.Read(e.now, p)
		for i, b := range p[:n] {
			if b != e.peer.stream(e.read+i) {
				e.wrong = fmt.Errorf("byte %d of the stream arrived wrong", e.read+i)
			}
		}
		e.read += n
		e.sawEOF = errors.Is(err, io.EOF)
		if n == 0 || e.lazy {
			break
		}
	}
	e.thinks = e.now.Add(time.Duration(r.Int64N(int64(50 * time.Millisecond))))
	if (e.sawEOF || err != nil) && (e.closed || e.tcb.Done()) {
		e.thinks = tcp.Never
	}
}

// finished says whether an end has come to the end that it should.
func (e *end) finished(aborted bool) error {
	switch err := e.tcb.Err(); {
	case e.tcb.State() != tcp.StateClosed:
		return fmt.Errorf("in %v at the end", e.tcb.State())
	case aborted:
		if err != nil && !errors.Is(err, tcp.ErrReset) && !errors.Is(err, tcp.ErrAborted) && !errors.Is(err, tcp.ErrRefused) {
			return fmt.Errorf("an abort ended in %w", err)
		}
		return nil
	case err != nil:
		return err
	case e.read != e.peer.total:
		return fmt.Errorf("read %d bytes of %d", e.read, e.peer.total)
	case !e.sawEOF:
		return errors.New("all bytes, and no EOF")
	}
	at := tcp.StateClosed
	for i := 0; i < len(e.states); i += 2 {
		if from, to := e.states[i], e.states[i+1]; from != at || !legalMove(from, to) {
			return fmt.Errorf("the observer was told %v to %v in %v", from, to, at)
		}
		at = e.states[i+1]
	}
	return nil
}

func simulate(t *testing.T, seeds int, aborts bool, bad func(*rand.Rand) impairment, check func(*world) error) {
	for seed := range uint64(seeds) {
		w := newWorld(seed, bad)
		var abortAt time.Duration
		if aborts {
			abortAt = time.Duration(1 + w.rng.Int64N(int64(2*time.Second)))
		}
		err := w.run(abortAt)
		for _, e := range w.ends {
			if err == nil {
				if err = e.finished(w.ends[0].aborted); err != nil {
					err = fmt.Errorf("%s: %w", e.name, err)
				}
			}
		}
		if err == nil && check != nil {
			err = check(w)
		}
		if err != nil {
			t.Fatalf("seed %d, %+v: %v\na is %+v\nb is %+v\nthe last of it:\n%s", seed, w.bad, err,
				w.ends[0].tcb.Info(w.now), w.ends[1].tcb.Info(w.now),
				strings.Join(w.log[max(0, len(w.log)-60):], "\n"))
		}
	}
}

// TestTwoEndsOverABadWire: loss up to 30 %, duplication, corruption, reordering.
func TestTwoEndsOverABadWire(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 30
	}
	simulate(t, seeds, false, func(r *rand.Rand) impairment {
		return impairment{
			loss: 0.3 * r.Float64() * float64(r.IntN(2)), dup: 0.1 * r.Float64(), corrupt: 0.02 * r.Float64(),
			delay:  time.Duration(1 + r.Int64N(int64(100*time.Millisecond))),
			jitter: pick(r, 0, time.Millisecond, 50*time.Millisecond),
		}
	}, nil)
}

// TestTwoEndsOverAGoodWire: nothing is lost, so nothing is sent twice but zero-window
// probes; both ends stay in order.
func TestTwoEndsOverAGoodWire(t *testing.T) {
	simulate(t, 100, false, func(r *rand.Rand) impairment {
		return impairment{delay: time.Duration(1 + r.Int64N(int64(100*time.Millisecond)))}
	}, func(w *world) error {
		for _, e := range w.ends {
			i := e.tcb.Info(w.now)
			if i.FastRecovery != 0 || i.Timeouts != 0 && !e.peer.lazy && e.peer.watch.setup.Params.ReceiveBuffer > 16<<10 {
				return fmt.Errorf("%s repaired what was not broken", e.name)
			}
		}
		return nil
	})
}

// TestAbortReachesTheOtherEnd: one end aborts in the middle; the other learns of it
// even if the reset is lost.
func TestAbortReachesTheOtherEnd(t *testing.T) {
	simulate(t, 100, true, func(r *rand.Rand) impairment {
		return impairment{loss: 0.2 * r.Float64(), delay: 20 * time.Millisecond, jitter: pick(r, 0, 10*time.Millisecond)}
	}, nil)
}
