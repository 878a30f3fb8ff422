package sim

import "github.com/a644562b/portico/internal/mono"

// source is something that happens at a time. Of those at the same time the one that was
// made first happens first: what else stands in the agenda has no influence.
type source struct {
	fire  func()
	when  mono.Time
	order uint64
	place int // in the agenda, from 1; 0: not in it
}

// lastOrder is that of sources which only watch.
const lastOrder = 1<<64 - 1

// agenda is what is to happen: a heap of sources, each of which stands in it at most once.
type agenda struct {
	heap []*source
	made uint64
}

// init makes s ready to be set.
func (a *agenda) init(s *source, fire func()) {
	a.made++
	*s = source{fire: fire, order: a.made}
}

func (s *source) before(o *source) bool {
	return s.when < o.when || s.when == o.when && s.order < o.order
}

// next is when the next thing happens.
func (a *agenda) next() mono.Time {
	if len(a.heap) == 0 {
		return mono.Never
	}
	return a.heap[0].when
}

// set lets s happen at when, and not at another time that was set before.
func (a *agenda) set(s *source, when mono.Time) {
	if s.place == 0 {
		a.heap = append(a.heap, nil)
		s.place = len(a.heap)
	}
	s.when = when
	a.fix(s)
}

// fix moves s to where it belongs from where it stands, which may be a gap.
func (a *agenda) fix(s *source) {
	i := s.place - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s.before(a.heap[up]) {
			break
		}
		a.put(i, a.heap[up])
		i = up
	}
	for {
		down := 2*i + 1
		if down+1 < len(a.heap) && a.heap[down+1].before(a.heap[down]) {
			down++
		}
		if down >= len(a.heap) || !a.heap[down].before(s) {
			break
		}
		a.put(i, a.heap[down])
		i = down
	}
	a.put(i, s)
}

func (a *agenda) put(i int, s *source) {
	a.heap[i] = s
	s.place = i + 1
}

// remove takes s out, if it stands in the agenda.
func (a *agenda) remove(s *source) {
	if s.place == 0 {
		return
	}
	last := a.heap[len(a.heap)-1]
	a.heap[len(a.heap)-1] = nil
	a.heap = a.heap[:len(a.heap)-1]
	if last != s {
		last.place = s.place
		a.fix(last)
	}
	s.place = 0
}

// pop takes out the next one.
func (a *agenda) pop() *source {
	s := a.heap[0]
	a.remove(s)
	return s
}
