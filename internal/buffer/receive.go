package buffer

// Receive is a queue of bytes for a reader. Large pieces are linked, small ones
// copied together, so that a byte never pins a block of 64 KiB. The zero value is
// empty and holds no memory.
type Receive struct {
	parts []part
	head  int // parts before it have been read
	n     int
	own   bool // the last part's block is ours to append to
}

// part is bytes to read and the block that they lie in.
type part struct {
	block *Block
	b     []byte
}

// keepParts is to Receive what keepRuns is to Send.
const keepParts = 2

// Len is the number of bytes in the queue.
func (q *Receive) Len() int { return q.n }

// Append copies p to the end of the queue.
func (q *Receive) Append(p []byte) {
	for len(p) > 0 {
		if !q.own || len(q.last().b) == cap(q.last().b) {
			// A reader that lags behind gets more: a larger block.
			block := NewBlockFor(max(len(p), min(q.n, BlockSize)))
			q.parts = append(q.parts, part{block: block, b: block.B[:0]})
			q.own = true
		}
		last := q.last()
		at := len(last.b)
		last.b = last.b[:min(cap(last.b), at+len(p))]
		c := copy(last.b[at:], p)
		q.n += c
		p = p[c:]
	}
}

func (q *Receive) last() *part { return &q.parts[len(q.parts)-1] }

// Link adds p, which lies in block, to the end of the queue without copying it, and
// takes block over.
func (q *Receive) Link(block *Block, p []byte) {
	if len(p) == 0 {
		block.Release()
		return
	}
	q.parts = append(q.parts, part{block: block, b: p})
	q.own = false
	q.n += len(p)
}

// Read copies what it can to p, takes it from the queue, and returns how much.
func (q *Receive) Read(p []byte) int {
	done := 0
	for len(p) > 0 && q.n > 0 {
		r := &q.parts[q.head]
		c := copy(p, r.b)
		p = p[c:]
		r.b = r.b[c:]
		q.n -= c
		done += c
		if len(r.b) == 0 {
			r.block.Release()
			*r = part{}
			q.head++
		}
	}
	q.tidy()
	return done
}

// tidy drops the list when all is read, and moves it down when most of it is.
func (q *Receive) tidy() {
	switch {
	case q.n == 0 && cap(q.parts) > keepParts:
		*q = Receive{}
	case q.n == 0:
		clear(q.parts)
		*q = Receive{parts: q.parts[:0]}
	case q.head >= 32 && q.head*2 >= len(q.parts):
		n := copy(q.parts, q.parts[q.head:])
		clear(q.parts[n:])
		q.parts = q.parts[:n]
		q.head = 0
	}
}

// Clear drops everything.
func (q *Receive) Clear() {
	for i := q.head; i < len(q.parts); i++ {
		q.parts[i].block.Release()
	}
	*q = Receive{}
}
