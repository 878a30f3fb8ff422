package sim

import (
	"math/rand/v2"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/dist"
	"github.com/a644562b/portico/internal/sim/path"
)

// crossTraffic is a source that does not react.
type crossTraffic struct {
	run  *run
	spec Cross
	rng  *rand.Rand
	next source
	// begun is when it went on last, sent how many packets it has sent since, and off
	// when it goes off.
	begun, off mono.Time
	sent       int64
	packets    uint64
	arrived    uint64
}

func newCross(r *run, spec Cross, i int) *crossTraffic {
	c := &crossTraffic{run: r, spec: spec, rng: r.random(1<<40 + uint64(i)), off: mono.Never}
	r.todo.init(&c.next, c.on)
	r.todo.set(&c.next, at(spec.From))
	return c
}

// on is when the source begins to send.
func (c *crossTraffic) on() {
	c.begun, c.sent = c.run.now, 0
	if c.spec.Off > 0 {
		c.off = c.run.now.Add(exponential(c.rng, c.spec.On))
	}
	c.next.fire = c.send
	c.send()
}

// exponential draws a time of that mean.
func exponential(rng *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(rng.ExpFloat64() * float64(mean))
}

// send sends a packet, and says when the next one goes.
func (c *crossTraffic) send() {
	r := c.run
	if c.spec.To > 0 && r.now >= at(c.spec.To) {
		return
	}
	if r.now >= c.off {
		c.next.fire = c.on
		r.todo.set(&c.next, r.now.Add(exponential(c.rng, c.spec.Off)))
		return
	}
	c.packets++
	c.sent++
	if v := r.lanes[c.spec.Way].model.Send(r.now, path.Packet{Size: r.sc.MTU}); v.Fate == path.Arrives {
		c.arrived++
	}
	gap := float64(r.sc.MTU) * 8 * float64(time.Second) / float64(c.spec.Rate)
	r.todo.set(&c.next, max(r.now+1, c.begun.Add(time.Duration(float64(c.sent)*gap))))
}

// webTraffic is short flows that arrive at random.
type webTraffic struct {
	run   *run
	spec  Web
	rng   *rand.Rand
	next  source
	begun uint64
	done  uint64
	bytes int64
	took  dist.Dist // to completion, in nanoseconds
	stats *flowStats
}

func newWeb(r *run, spec Web, i int) *webTraffic {
	w := &webTraffic{run: r, spec: spec, rng: r.random(1<<41 + uint64(i)), stats: new(flowStats)}
	r.todo.init(&w.next, w.arrive)
	w.schedule()
	return w
}

// schedule says when the next flow arrives.
func (w *webTraffic) schedule() {
	mean := time.Duration(float64(time.Second) / w.spec.PerSecond)
	w.run.todo.set(&w.next, w.run.now.Add(exponential(w.rng, mean)))
}

// arrive opens a flow.
func (w *webTraffic) arrive() {
	w.begun++
	size := max(1, int64(w.rng.ExpFloat64()*float64(w.spec.Bytes)))
	f := newFlow(w.run, Flow{Count: 1, Way: w.spec.Way, Bytes: size, Congestion: w.spec.Congestion}, 0)
	f.web, f.stats = w, w.stats
	f.open()
	w.schedule()
}

// ended takes a flow that has come to its end.
func (w *webTraffic) ended(f *flow) {
	if f.completed != mono.Never {
		w.done++
		w.bytes += f.delivered
		w.took.Add(int64(f.completed.Sub(f.started)), 1)
	}
	f.kill()
}
