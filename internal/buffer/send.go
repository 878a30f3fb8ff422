package buffer

import "github.com/a644562b/portico/internal/pool"

// Send is a queue of bytes that are looked at by their distance from its head and
// leave from the head. It keeps them in blocks that never move, so that slices of
// it may be handed to a device. The zero value is empty, and an empty queue holds no
// memory.
type Send struct {
	n    int
	list *sendList // nil when the queue is empty
}

// sendList is where the bytes of a Send are.
type sendList struct {
	runs []run
	// lastRun and lastStart remember where Slices stopped last time: the next call
	// nearly always goes on there. lastStart is the distance of that run from the
	// head.
	lastRun, lastStart int
}

var sendLists pool.Pool[sendList]

// run is a part [from, to) of a block that holds bytes.
type run struct {
	block    *Block
	from, to int32
}

func (r *run) len() int { return int(r.to - r.from) }

// full reports whether nothing more can be appended behind the run's bytes.
func (r *run) full() bool { return int(r.to) == len(r.block.B) }

// append copies what fits of p behind the run's bytes.
func (r *run) append(p []byte) int {
	c := copy(r.block.B[r.to:], p)
	r.to += int32(c)
	return c
}

// keepRuns is how many runs a list that goes back to the pool keeps room for.
const keepRuns = 16

// Len is the number of bytes in the queue.
func (q *Send) Len() int { return q.n }

// Append copies p to the end of the queue.
func (q *Send) Append(p []byte) {
	if len(p) > 0 && q.list == nil {
		q.list = sendLists.Get()
	}
	for len(p) > 0 {
		l := q.list
		if len(l.runs) == 0 || l.runs[len(l.runs)-1].full() {
			// A queue that already has bytes will get more: a larger block.
			l.runs = append(l.runs, run{block: NewBlockFor(max(len(p), min(q.n*2, BlockSize)))})
		}
		c := l.runs[len(l.runs)-1].append(p)
		q.n += c
		p = p[c:]
	}
}

// Discard drops n bytes, at most Len, from the head and gives back the memory that
// held them.
func (q *Send) Discard(n int) {
	if n == 0 {
		return
	}
	if q.n -= n; q.n == 0 {
		q.Clear()
		return
	}
	l, done := q.list, 0
	for n > 0 {
		r := &l.runs[done]
		if n < r.len() {
			r.from += int32(n)
			break
		}
		n -= r.len()
		r.block.Release()
		done++
	}
	l.lastRun, l.lastStart = 0, 0
	if done > 0 {
		rest := copy(l.runs, l.runs[done:])
		clear(l.runs[rest:])
		l.runs = l.runs[:rest]
	}
}

// Clear drops everything.
func (q *Send) Clear() {
	l := q.list
	*q = Send{}
	if l == nil {
		return
	}
	for i := range l.runs {
		l.runs[i].block.Release()
	}
	if cap(l.runs) > keepRuns {
		l.runs = nil
	}
	clear(l.runs)
	*l = sendList{runs: l.runs[:0]}
	sendLists.Put(l)
}

// Slices appends to dst the bytes [off, off+n) of the queue, without copying them.
// They stay valid until Discard drops them or Clear is called.
func (q *Send) Slices(dst [][]byte, off, n int) [][]byte {
	l := q.list
	if l == nil {
		return dst
	}
	i, start := 0, 0
	if off >= l.lastStart {
		i, start = l.lastRun, l.lastStart
	}
	for n > 0 {
		r := &l.runs[i]
		if off >= start+r.len() {
			start += r.len()
			i++
			continue
		}
		from := int(r.from) + off - start
		take := min(n, int(r.to)-from)
		dst = append(dst, r.block.B[from:from+take])
		off += take
		n -= take
	}
	l.lastRun, l.lastStart = i, start
	return dst
}
