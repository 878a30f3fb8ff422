package sim

import "slices"

// truth knows of every number that one end has sent whether a copy of it has arrived or
// is going to: the path says so at the moment of sending. Numbers count from the initial
// sequence number, which is 0, and do not wrap.
type truth struct {
	high  int64  // everything below has been sent at least once
	holes []hole // what has been sent and of which no copy arrives, in order
}

// hole is the numbers [from, to).
type hole struct{ from, to int64 }

// sent takes in a copy of [from, to). Of what had been sent before it returns how much
// was needed, because no earlier copy arrives, and how much was spurious.
func (t *truth) sent(from, to int64, arrives bool) (needed, spurious int64) {
	if again := min(to, t.high); from < again {
		needed = t.missing(from, again)
		spurious = again - from - needed
		if arrives && needed > 0 {
			t.fill(from, again)
		}
	}
	if to > t.high {
		if start := max(from, t.high); !arrives {
			t.lose(start, to)
		}
		t.high = to
	}
	return needed, spurious
}

// first is the index of the first hole that ends after n.
func (t *truth) first(n int64) int {
	i, _ := slices.BinarySearchFunc(t.holes, n, func(h hole, n int64) int {
		if h.to <= n {
			return -1
		}
		return 1
	})
	return i
}

// missing is how many of [from, to) lie in holes.
func (t *truth) missing(from, to int64) (n int64) {
	for _, h := range t.holes[t.first(from):] {
		if h.from >= to {
			break
		}
		n += min(h.to, to) - max(h.from, from)
	}
	return n
}

// fill takes [from, to) out of the holes.
func (t *truth) fill(from, to int64) {
	i := t.first(from)
	for i < len(t.holes) && t.holes[i].from < to {
		h := t.holes[i]
		switch {
		case h.from < from && h.to > to:
			t.holes = slices.Insert(t.holes, i, hole{h.from, from})
			t.holes[i+1].from = to
			return
		case h.from < from:
			t.holes[i].to = from
			i++
		case h.to > to:
			t.holes[i].from = to
			return
		default:
			t.holes = slices.Delete(t.holes, i, i+1)
		}
	}
}

// lose adds [from, to), which lies behind everything sent, to the holes.
func (t *truth) lose(from, to int64) {
	if n := len(t.holes); n > 0 && t.holes[n-1].to == from {
		t.holes[n-1].to = to
		return
	}
	t.holes = append(t.holes, hole{from, to})
}
