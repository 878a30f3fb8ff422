package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// Options say what a run does besides its report.
type Options struct {
	// Observe listens to the events of the senders, which the round trips as measured by
	// TCP come from. It costs about as much as the run itself.
	Observe bool
	// Trace records what a plot shows, and implies Observe.
	Trace *Trace
	// Packets is told of every packet that leaves or reaches the sender of a flow.
	Packets func(*PacketEvent)
	// NoVerify leaves out the comparison of every byte with what it should be.
	NoVerify bool
}

// run is a scenario at work.
type run struct {
	sc    *Scenario
	opt   Options
	now   mono.Time
	end   mono.Time // mono.Never: when all flows have ended
	todo  agenda
	lanes [2]*lane
	flows []*flow
	web   []*webTraffic
	cross []*crossTraffic
	ends  int // flows that have not ended
	serie int // of connections, for addresses and numbers

	common  overlap
	free    []*packet
	touched []*endpoint
	out     tcp.Out
	seg     tcp.Segment
	header  []byte
	buf     []byte
	err     error
}

// maxVirtual bounds a run that does not come to an end.
const maxVirtual = mono.Time(24 * time.Hour)

// Run plays a scenario to its end. The error says what is wrong with the scenario, or, if
// it is none of those, that a byte arrived that was never sent: a bug.
func Run(sc *Scenario, opt Options) (*Report, error) {
	own := *sc
	if err := own.Validate(); err != nil {
		return nil, err
	}
	if opt.Trace != nil {
		opt.Observe = true
	}
	r := &run{sc: &own, opt: opt, end: mono.Never, buf: make([]byte, readSize)}
	if own.Time > 0 {
		r.end = at(own.Time)
	}
	for w := range r.lanes {
		r.lanes[w] = newLane(r, Way(w), path.New(own.pathConfig(Way(w)), uint64(w)))
	}
	r.schedule()
	for r.err == nil && r.step() {
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.report(), nil
}

// step lets the next thing happen; false at the end of the run.
func (r *run) step() bool {
	next := r.todo.next()
	if next > r.end || next > maxVirtual {
		r.now = min(r.end, maxVirtual)
		return false
	}
	if len(r.flows) > 0 && r.ends == 0 && r.end == mono.Never {
		return false
	}
	r.now = max(r.now, next)
	r.todo.pop().fire()
	return true
}

// schedule puts what the scenario says into the agenda.
func (r *run) schedule() {
	for i, spec := range r.sc.expand() {
		f := newFlow(r, spec, i+1)
		r.flows = append(r.flows, f)
		r.once(spec.Start, f.open)
	}
	r.ends = len(r.flows)
	for i, spec := range r.sc.Cross {
		r.cross = append(r.cross, newCross(r, spec, i))
	}
	for i, spec := range r.sc.Web {
		r.web = append(r.web, newWeb(r, spec, i))
	}
	if r.sc.MeasureFrom > 0 {
		r.once(r.sc.MeasureFrom, r.startMeasuring)
	}
	if t := r.opt.Trace; t != nil {
		t.start(r)
	}
	r.common.schedule(r)
}

// once lets f happen at a time.
func (r *run) once(d time.Duration, f func()) {
	s := new(source)
	r.todo.init(s, f)
	r.todo.set(s, at(d))
}

// fail ends the run: the first error counts.
func (r *run) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("sim: at %v: "+format, append([]any{time.Duration(r.now)}, args...)...)
	}
}

// random is a generator of its own for each purpose.
func (r *run) random(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.sc.Seed, 1<<32+purpose))
}

// startMeasuring forgets what has been counted so far.
func (r *run) startMeasuring() {
	for _, f := range r.flows {
		f.startMeasuring()
	}
	for _, l := range r.lanes {
		l.model.Restart(r.now)
	}
}

// newPacket returns a packet to be filled in.
func (r *run) newPacket() *packet {
	if n := len(r.free); n > 0 {
		p := r.free[n-1]
		r.free = r.free[:n-1]
		return p
	}
	return new(packet)
}

// pattern is what every flow's data is: bytes without order, repeated every so many that
// a prime number of them never falls in step with segments or buffers.
const patternLen = 1_048_573

var pattern = sync.OnceValue(func() []byte {
	b := make([]byte, patternLen+maxData)
	rng := rand.NewChaCha8([32]byte{7})
	_, _ = rng.Read(b[:patternLen]) // it never fails
	copy(b[patternLen:], b)
	return b
})

// maxData is the most data of one segment, and readSize that of one Read and Write.
const (
	maxData  = 1 << 16
	readSize = maxData
)

// data is n bytes of a flow from off on, n being at most maxData.
func (r *run) data(off int64, n int) []byte {
	if r.opt.NoVerify {
		off = 0
	}
	i := int(off % patternLen)
	return pattern()[i : i+n]
}
