package sim

import (
	"math"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// Bounds of a Trace: what is recorded does not grow with the run.
const (
	maxSamples     = 4096
	maxMarks       = 8192
	maxTracedFlows = 8
	firstInterval  = 10 * time.Microsecond
)

// Trace records a run as a plot shows it: samples at even intervals, which double when
// there are too many of them, and marks. The zero value is ready for one run.
type Trace struct {
	run      *run
	clock    source
	interval time.Duration
	times    []float64 // seconds
	flows    []*flowTrace
	queues   [2]series // bytes
	rate     series    // of the bottleneck down, bits a second
}

// series is one value a sample.
type series []float64

// flowTrace is what is recorded of one flow.
type flowTrace struct {
	flow                        *flow
	cwnd, ssthresh, flight      series
	path, measured              series // round trips in seconds; NaN while there is none
	delivered                   series
	lastPath, lastRTT           float64
	lost, needed, spurious      marks
	timeouts, recoveries, undos marks
}

// all lists the series.
func (f *flowTrace) all() []*series {
	return []*series{&f.cwnd, &f.ssthresh, &f.flight, &f.path, &f.measured, &f.delivered}
}

// marks are moments, with the place in the flow. When there are too many every other one
// goes, and from then on every other one is not recorded: a cloud of them looks the same.
type marks struct {
	x, y  []float64
	skip  int // how many of skip+1 are left out
	count int
}

func (m *marks) add(now mono.Time, y float64) {
	m.count++
	if m.count%(m.skip+1) != 0 {
		return
	}
	m.x, m.y = append(m.x, time.Duration(now).Seconds()), append(m.y, y)
	if len(m.x) < maxMarks {
		return
	}
	for i := range maxMarks / 2 {
		m.x[i], m.y[i] = m.x[2*i], m.y[2*i]
	}
	m.x, m.y = m.x[:maxMarks/2], m.y[:maxMarks/2]
	m.skip = 2*m.skip + 1
}

// start is called at the beginning of a run.
func (t *Trace) start(r *run) {
	*t = Trace{run: r, interval: firstInterval}
	for _, f := range r.flows[:min(len(r.flows), maxTracedFlows)] {
		tf := &flowTrace{flow: f, lastPath: math.NaN(), lastRTT: math.NaN()}
		f.trace = tf
		t.flows = append(t.flows, tf)
	}
	t.clock = source{fire: t.sample, order: lastOrder}
	r.todo.set(&t.clock, 0)
}

// sample records how things stand.
func (t *Trace) sample() {
	r := t.run
	t.times = append(t.times, time.Duration(r.now).Seconds())
	for _, f := range t.flows {
		f.sample(r.now)
	}
	for w, l := range r.lanes {
		_, bytes := l.model.Backlog(r.now)
		t.queues[w] = append(t.queues[w], float64(bytes))
	}
	t.rate = append(t.rate, float64(r.lanes[Down].model.Rate(r.now)))
	if len(t.times) == maxSamples {
		t.halve()
	}
	r.todo.set(&t.clock, r.now.Add(t.interval))
}

func (f *flowTrace) sample(now mono.Time) {
	var i tcp.Info
	if f.flow.opened {
		i = f.flow.sender.tcb.Info(now)
	}
	missing := math.NaN()
	value := func(v int) float64 {
		if i.State < tcp.StateEstablished || f.flow.ended {
			return missing
		}
		return float64(v)
	}
	f.cwnd = append(f.cwnd, value(i.Cwnd))
	f.ssthresh = append(f.ssthresh, value(i.Ssthresh))
	f.flight = append(f.flight, value(i.Flight))
	f.path, f.measured = append(f.path, f.lastPath), append(f.measured, f.lastRTT)
	f.lastPath, f.lastRTT = missing, missing
	f.delivered = append(f.delivered, float64(f.flow.delivered))
}

// halve drops every other sample, and takes them half as often from now on. Round trips,
// which not every sample has, are kept from either.
func (t *Trace) halve() {
	half := func(s *[]float64) {
		for i := range maxSamples / 2 {
			v := (*s)[2*i]
			if math.IsNaN(v) {
				v = (*s)[2*i+1]
			}
			(*s)[i] = v
		}
		*s = (*s)[:maxSamples/2]
	}
	half(&t.times)
	for _, f := range t.flows {
		for _, s := range f.all() {
			half((*[]float64)(s))
		}
	}
	for w := range t.queues {
		half((*[]float64)(&t.queues[w]))
	}
	half((*[]float64)(&t.rate))
	t.interval *= 2
}

// packet books a packet of the sender that is worth a mark. The place is that of its
// first byte.
func (f *flowTrace) packet(now mono.Time, p *packet, v path.Verdict, needed, spurious int64) {
	y := float64(max(p.off, 0))
	if v.Fate != path.Arrives {
		f.lost.add(now, y)
	}
	switch {
	case needed > 0:
		f.needed.add(now, y)
	case spurious > 0:
		f.spurious.add(now, y)
	}
}

// event books an event of the sender.
func (f *flowTrace) event(e *tcp.Event) {
	switch {
	case e.Kind == tcp.EventRTT:
		f.lastRTT = e.RTT.Seconds()
	case e.Kind != tcp.EventCwnd:
	case e.Why == tcp.WhyRTO:
		f.timeouts.add(e.Time, float64(e.Cwnd))
	case e.Why == tcp.WhyRecovery:
		f.recoveries.add(e.Time, float64(e.Cwnd))
	case e.Why == tcp.WhySpuriousDSACK, e.Why == tcp.WhySpuriousEcho, e.Why == tcp.WhySpuriousFRTO:
		f.undos.add(e.Time, float64(e.Cwnd))
	}
}
