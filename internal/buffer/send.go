package buffer

// Send is a queue of bytes that are looked at by their distance from its head and
// leave from the head. It keeps them in blocks that never move, so that slices of
// it may be handed to a device. The zero value is empty and holds no memory.
type Send struct {
	runs []run
	n    int
	// lastRun and lastStart remember where Slices stopped last time: the next call
	// nearly always goes on there. lastStart is the distance of that run from the
	// head.
	lastRun, lastStart int
}

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

// keepRuns is how many runs an empty queue keeps room for: enough that a steady
// stream allocates nothing, little enough for an idle connection.
const keepRuns = 4

// emptied returns the list of an empty queue for its next use.
func emptied(runs []run) []run {
	if cap(runs) > keepRuns {
		return nil
	}
	clear(runs)
	return runs[:0]
}

// Len is the number of bytes in the queue.
func (q *Send) Len() int { return q.n }

// Append copies p to the end of the queue.
func (q *Send) Append(p []byte) {
	for len(p) > 0 {
		if len(q.runs) == 0 || q.runs[len(q.runs)-1].full() {
			// A queue that already has bytes will get more: a larger block.
			q.runs = append(q.runs, run{block: NewBlockFor(max(len(p), min(q.n*2, BlockSize)))})
		}
		c := q.runs[len(q.runs)-1].append(p)
		q.n += c
		p = p[c:]
	}
}

// Discard drops n bytes, at most Len, from the head and gives back the memory that
// held them.
func (q *Send) Discard(n int) {
	q.n -= n
	done := 0
	for n > 0 {
		r := &q.runs[done]
		if n < r.len() {
			r.from += int32(n)
			break
		}
		n -= r.len()
		r.block.Release()
		done++
	}
	q.lastRun, q.lastStart = 0, 0
	if q.n == 0 {
		q.releaseFrom(done)
		return
	}
	if done > 0 {
		q.runs = append(q.runs[:0], q.runs[done:]...)
	}
}

// releaseFrom releases the runs from the i-th on and the list itself.
func (q *Send) releaseFrom(i int) {
	for ; i < len(q.runs); i++ {
		q.runs[i].block.Release()
	}
	q.runs = emptied(q.runs)
}

// Clear drops everything.
func (q *Send) Clear() {
	q.releaseFrom(0)
	*q = Send{}
}

// Slices appends to dst the bytes [off, off+n) of the queue, without copying them.
// They stay valid until Discard drops them or Clear is called.
func (q *Send) Slices(dst [][]byte, off, n int) [][]byte {
	i, start := 0, 0
	if off >= q.lastStart {
		i, start = q.lastRun, q.lastStart
	}
	for n > 0 {
		r := &q.runs[i]
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
	q.lastRun, q.lastStart = i, start
	return dst
}
