package sim

import "github.com/a644562b/portico/internal/mono"

// overlap is the time in which all flows of the scenario run: from the start of the last
// to the end of the first, within the measurement. Fairness is measured over it.
type overlap struct {
	run      *run
	clock    source
	from, to mono.Time
	start    []int64 // delivered by each flow at from
	share    []int64 // delivered by each flow between from and to
}

func (o *overlap) schedule(r *run) {
	*o = overlap{run: r, to: mono.Never}
	o.from = at(r.sc.MeasureFrom)
	for _, f := range r.flows {
		o.from = max(o.from, at(f.spec.Start))
	}
	r.todo.init(&o.clock, o.begin)
	r.todo.set(&o.clock, o.from)
}

func (o *overlap) begin() {
	if o.to != mono.Never {
		return // one flow has ended before another began
	}
	for _, f := range o.run.flows {
		o.start = append(o.start, f.delivered)
	}
}

// ended is told that a flow has: the first one ends the overlap.
func (o *overlap) ended(*flow) {
	if o.to == mono.Never {
		o.close()
	}
}

func (o *overlap) close() {
	o.to = o.run.now
	for i := range o.start {
		o.share = append(o.share, o.run.flows[i].delivered-o.start[i])
	}
}

// jain is Jain's index of fairness over the overlap, from 1/n to 1; 0 where there is
// nothing to compare.
func (o *overlap) jain() float64 {
	if o.to == mono.Never {
		o.close()
	}
	if len(o.share) < 2 {
		return 0
	}
	var sum, squares float64
	for _, x := range o.share {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(o.share)) * squares)
}
