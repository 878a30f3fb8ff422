package flowtable

import "math/bits"

// slots is the hash table of one shard, with open addressing: an entry stands in the slot
// that its key calls its home, or in the first free one behind it. Key and value lie side by
// side, four pairs to a line of the processor's cache when the value is a pointer: among a
// million entries, where every line that is touched has to come from memory, a lookup touches
// one, or two neighbours, which the processor fetches together.
//
// Homes grow with the keys, so that the order of the entries is the same in a table of any
// size: to make it larger or smaller is one walk through both, from front to back. That is
// cheap enough to do it in small steps, and little of the memory is ever unused.
type slots[V comparable] struct {
	all []slot[V]
	n   int // of them in use
}

type slot[V comparable] struct {
	mark  mark
	value V
}

// mark is the key of an entry with its tag, plus one, in the place of the bits that chose the
// shard.
type mark uint64

// none is the mark of a slot without an entry.
const none mark = 0

func slotOf[V comparable](k Key, e Entry[V]) slot[V] {
	return slot[V]{mark(k)&^(shards-1) | mark(e.Tag+1), e.Value}
}

func (s *slot[V]) entry() Entry[V] {
	return Entry[V]{s.value, Tag(s.mark&(shards-1)) - 1}
}

// of reports whether the mark is that of an entry under k.
func (m mark) of(k Key) bool { return m^mark(k) < shards }

const (
	leastSlots = 8
	// At three quarters an entry is found in the third slot, on average, and that there is
	// none in the ninth.
	fullNum, fullDen = 3, 4
	// Full, the table grows by a quarter; it shrinks when an eighth is in use.
	shrinkBy = 8
)

// home is where an entry with mark m would stand if it were alone. The tag does not matter.
func (s *slots[V]) home(m mark) int {
	hi, _ := bits.Mul64(uint64(m&^(shards-1)), uint64(len(s.all)))
	return int(hi)
}

// after is the slot behind i; the first one is behind the last.
func (s *slots[V]) after(i int) int {
	if i++; i < len(s.all) {
		return i
	}
	return 0
}

// find returns the slot of the entry under k, and whether there is one.
func (s *slots[V]) find(k Key) (int, bool) {
	if s.n == 0 {
		return 0, false
	}
	for i := s.home(mark(k)); ; i = s.after(i) {
		switch m := s.all[i].mark; {
		case m == none:
			return 0, false
		case m.of(k):
			return i, true
		}
	}
}

// add enters e under k, where nothing is.
func (s *slots[V]) add(k Key, e Entry[V]) {
	if s.n >= len(s.all)*fullNum/fullDen {
		s.resize(max(leastSlots, len(s.all)*5/4))
	}
	s.place(slotOf(k, e))
	s.n++
}

func (s *slots[V]) place(e slot[V]) {
	i := s.home(e.mark)
	for s.all[i].mark != none {
		i = s.after(i)
	}
	s.all[i] = e
}

// remove empties slot i. Those behind it that stand away from home move up, so that no
// search ends at the gap too early.
func (s *slots[V]) remove(i int) {
	gap := i
	for i = s.after(i); s.all[i].mark != none; i = s.after(i) {
		if s.distance(s.home(s.all[i].mark), i) >= s.distance(gap, i) {
			s.all[gap] = s.all[i]
			gap = i
		}
	}
	s.all[gap] = slot[V]{}
	s.n--
	switch {
	case s.n == 0:
		s.all = nil
	case len(s.all) > leastSlots && s.n <= len(s.all)/shrinkBy:
		s.resize(max(leastSlots, 2*s.n))
	}
}

// distance is how many slots lie from one to another.
func (s *slots[V]) distance(from, to int) int {
	if to < from {
		to += len(s.all)
	}
	return to - from
}

// resize moves all entries to a table of n slots.
func (s *slots[V]) resize(n int) {
	old := s.all
	s.all = make([]slot[V], n)
	for i := range old {
		if old[i].mark != none {
			s.place(old[i])
		}
	}
}
