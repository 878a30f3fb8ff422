package chaos

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/a644562b/portico/tcp"
)

// world is the ends of one connection, the wires between them, and the clock. All that
// happens in it follows from its seed.
type world struct {
	seed    uint64
	dice    *rand.Rand
	now     tcp.Time
	begun   tcp.Time
	calm    bool // the chaos is over
	rash    bool // the users do what may end the connection
	calmAt  tcp.Time
	list    events
	serial  int
	steps   int
	ends    []*end
	script  *hostile // the peer of the only end
	wires   []*wire
	budget  *tcp.Budget
	slack   int64 // what may be held beyond the budget
	story   func(string)
	failed  *failure
	scratch []byte
}

// failure is an invariant that did not hold.
type failure struct {
	rule int
	what string
}

func (f *failure) Error() string { return fmt.Sprintf("invariant %d: %s", f.rule, f.what) }

// fail notes the first failure; the world stops.
func (w *world) fail(rule int, format string, args ...any) {
	if w.failed == nil {
		w.failed = &failure{rule, fmt.Sprintf(format, args...)}
	}
}

// event is something that happens at a time.
type event struct {
	at     tcp.Time
	serial int
	do     func()
}

type events []event

func (l events) Len() int { return len(l) }
func (l events) Less(i, j int) bool {
	return l[i].at < l[j].at || l[i].at == l[j].at && l[i].serial < l[j].serial
}
func (l events) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *events) Push(x any)   { *l = append(*l, x.(event)) }
func (l *events) Pop() any {
	old := *l
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*l = old[:len(old)-1]
	return x
}

func (w *world) at(t tcp.Time, do func()) {
	w.serial++
	heap.Push(&w.list, event{max(t, w.now), w.serial, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

// The bounds of a world.
const (
	chaosTime  = 40 * time.Second // the chaos lasts at most so long
	chaosSteps = 5000             // and so many events
	calmTime   = 40 * time.Minute // then everything must come to its end within this
	silentTime = 4 * time.Hour    // with a peer that has gone silent, within this
	maxSteps   = 200000
)

// newWorld makes the world of a seed.
func newWorld(seed uint64, story func(string)) *world {
	r := rand.New(rand.NewPCG(seed, 793))
	w := &world{seed: seed, dice: r, now: tcp.Time(r.Int64N(int64(time.Hour))), scratch: make([]byte, 128<<10)}
	w.begun = w.now
	if story != nil {
		w.story = func(s string) { story(fmt.Sprintf("%14v %s", w.now.Sub(w.begun), s)) }
	}
	w.rash = maybe(r, 4)
	if maybe(r, 4) {
		w.budget = tcp.NewBudget(int64(pick(r, 8<<10, 50<<10, 200<<10, 2<<20)))
	}
	addrs := [2]netip.AddrPort{netip.MustParseAddrPort("10.77.0.1:40000"), netip.MustParseAddrPort("10.77.0.2:80")}
	honest := r.IntN(3) > 0
	if honest {
		a, b := w.newEnd("a", addrs[0], addrs[1]), w.newEnd("b", addrs[1], addrs[0])
		a.peer, b.peer = b, a
		a.wire, b.wire = newWire(w, b), newWire(w, a)
		w.wires = []*wire{a.wire, b.wire}
		a.open(true)
		b.open(maybe(r, 6))
	} else {
		a := w.newEnd("a", addrs[0], addrs[1])
		w.script = newHostile(w, a)
		a.wire = newWire(w, nil)
		w.wires = []*wire{a.wire}
		active := maybe(r, 2)
		a.open(active)
		w.script.begin(!active)
	}
	w.after(0, w.weather)
	w.after(time.Duration(r.Int64N(int64(chaosTime))), w.calmDown)
	return w
}

// newEnd makes an end with settings of its own.
func (w *world) newEnd(name string, local, remote netip.AddrPort) *end {
	r := w.dice
	e := &end{world: w, name: name}
	e.params = tcp.Params{
		SendBuffer: pick(r, 0, 4096, 16<<10, 100<<10), ReceiveBuffer: pick(r, 0, 4096, 16<<10, 128<<10),
		Budget:     w.budget,
		Congestion: pick(r, tcp.CUBIC, tcp.NewReno), Pacing: maybe(r, 4), ECN: pick(r, tcp.ECNAccept, tcp.ECNAsk, tcp.ECNOff),
		NoTimestamps: maybe(r, 3), NoSACK: maybe(r, 4), NoWindowScale: maybe(r, 4),
		InitialWindow: pick(r, 0, 0, 1, 2, 40), MaxRTO: pick(r, 2*time.Second, 10*time.Second, 120*time.Second),
		MinRTO: pick(r, 0, 10*time.Millisecond, time.Second), InitialRTO: pick(r, 0, 0, 200*time.Millisecond),
		DelayedAck: pick(r, 0, time.Millisecond, 500*time.Millisecond),
		MSL:        pick(r, 0, time.Second, 30*time.Second), ChallengeAcks: pick(r, 0, 1, 100),
		R2: 60, R2SYN: 60, R2SYNACK: 60,
	}
	if w.rash && maybe(r, 3) {
		e.params.R2, e.params.R2SYN, e.params.R2SYNACK = 1+r.IntN(6), 1+r.IntN(6), 1+r.IntN(6)
		e.app.fatal = "a small R2"
	}
	e.params = e.params.WithDefaults()
	e.setup = tcp.Setup{
		Params: &e.params, Endpoints: tcp.Endpoints{Local: local, Remote: remote},
		MSS: pick(r, 88, 536, 1000, 1460, 8960), MaxGSO: pick(r, 0, 0, 9000, 64<<10),
		ISS: tcp.Seq(r.Uint32()), TSOffset: r.Uint32(),
	}
	if maybe(r, 3) {
		e.setup.ISS = -tcp.Seq(r.IntN(100000)) // the numbers wrap soon
	}
	e.setup.Observer = e.check.hears
	e.check.end = e
	e.app.sleepy = maybe(r, 4)
	e.app.total = pick(r, 0, r.IntN(3000), r.IntN(40000), r.IntN(300000), r.IntN(300000), r.IntN(1_500_000))
	e.app.chunk = pick(r, 10, 700, 5000, 64<<10)
	if e.app.chunk == 10 {
		e.app.total = min(e.app.total, 3000)
	}
	if w.budget != nil {
		e.app.total = min(e.app.total, 60000) // little moves when memory is short
	}
	if e.setup.MSS < 500 || e.app.sleepy && e.app.chunk < 1000 {
		e.app.total = min(e.app.total, 40000)
	}
	w.ends = append(w.ends, e)
	return e
}

func (e *end) open(active bool) {
	if active {
		e.tcb.OpenActive(e.now, e.setup)
	} else {
		e.tcb.OpenPassive(e.now, e.setup)
	}
	e.tell("opens, active %v, MSS %d, GSO %d, %d bytes to send, %+v", active, e.setup.MSS, e.setup.MaxGSO, e.app.total, e.params)
	if maybe(e.dice, 2) {
		e.tcb.SetNoDelay(e.now, true)
	}
	e.check.begin()
	if e.seed%4 == 1 {
		e.openFast(active)
	}
	e.flush("open")
	e.think(time.Duration(e.dice.IntN(20)) * time.Millisecond)
}

// openFast opens by Fast Open (RFC 7413): one end knows a cookie, the other finds it good.
func (e *end) openFast(active bool) {
	cookie := tcp.MakeFastOpenCookie(e.now, &[32]byte{}, e.setup.Local.Addr(), e.setup.Remote.Addr())
	if !active {
		e.tcb.AcceptFastOpen(cookie)
		return
	}
	mss := uint16(pick(e.dice, 0, 200, 1460))
	e.tcb.OfferFastOpen(cookie, mss)
	if mss == 0 {
		mss = 536
	}
	e.check.mss = min(int(mss), e.setup.MSS)
	e.write()
}

// play lets the world run to its end and returns the failure, if any.
func (w *world) play() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &failure{0, fmt.Sprintf("panic: %v\n%s", p, stack())}
		}
	}()
	for w.failed == nil && !w.over() {
		w.step()
	}
	if w.failed == nil {
		w.judge()
	}
	if w.failed != nil {
		return w.failed
	}
	return nil
}

// step lets the next thing happen.
func (w *world) step() {
	if w.steps++; w.steps > chaosSteps && !w.calm {
		w.calmDown()
	}
	next, who := tcp.Never, (*end)(nil)
	for _, e := range w.ends {
		if dl := e.tcb.Deadline(); dl < next {
			next, who = dl, e
		}
	}
	if len(w.list) > 0 && (w.list[0].at < next || w.list[0].at == next && maybe(w.dice, 2)) {
		ev := heap.Pop(&w.list).(event)
		w.now = max(w.now, ev.at)
		ev.do()
	} else if who != nil {
		w.now = max(w.now, next)
		who.tell("Tick")
		who.tcb.Tick(w.now)
		who.flush("a timer")
		if dl := who.tcb.Deadline(); dl <= w.now && w.failed == nil {
			w.fail(10, "%s: after Tick and Next the deadline lies %v ago", who.name, w.now.Sub(dl))
		}
	} else {
		w.fail(11, "standstill: nobody waits for anything: %s", w.states())
	}
	for _, e := range w.ends {
		e.check.after()
	}
	w.checkTogether()
	limit := calmTime
	if w.script != nil {
		limit = silentTime
	}
	if w.failed == nil && w.calm && (w.now.Sub(w.calmAt) > limit || w.steps > maxSteps) {
		w.fail(14, "%v after the chaos and %d events in all there is no end: %s", w.now.Sub(w.calmAt), w.steps, w.states())
	}
}

func (w *world) states() string {
	s := ""
	for _, e := range w.ends {
		s += fmt.Sprintf("%s %+v; wrote %d of %d, read %d, app %+v; ", e.name, e.tcb.Info(w.now), e.app.written, e.app.total, e.app.read, e.app)
	}
	return s
}

// over reports whether all ends have come to theirs.
func (w *world) over() bool {
	for _, e := range w.ends {
		if !e.tcb.Done() || !e.app.sawEOF && !e.app.closed {
			return false
		}
	}
	for _, x := range w.wires {
		if x.under > 0 {
			return false
		}
	}
	return true
}
