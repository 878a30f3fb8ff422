package buffer

import "github.com/a644562b/portico/internal/pool"

// Receive is a queue of bytes for a reader. Large pieces are linked, small ones
// copied together, so that a byte never pins a block of 64 KiB. The zero value is
// empty, and an empty queue holds no memory.
type Receive struct {
	n    int
	list *receiveList // nil when the queue is empty
}

// receiveList is where the bytes of a Receive are.
type receiveList struct {
	parts []part
	head  int  // parts before it have been read
	own   bool // the last part's block is ours to append to
}

var receiveLists pool.Pool[receiveList]

// Len is the number of bytes in the queue.
func (q *Receive) Len() int { return q.n }

// begin is the list, made if need be.
func (q *Receive) begin() *receiveList {
	if q.list == nil {
		q.list = receiveLists.Get()
	}
	return q.list
}

// Append copies p to the end of the queue.
func (q *Receive) Append(p []byte) {
	for len(p) > 0 {
		l := q.begin()
		if !l.own || l.last().full() {
			// A reader that lags behind gets more: a larger block.
			block := NewBlockFor(max(len(p), min(q.n, BlockSize)))
			l.parts = append(l.parts, part{block: block, b: block.B[:0]})
			l.own = true
		}
		c := l.last().append(p)
		q.n += c
		p = p[c:]
	}
}

func (l *receiveList) last() *part { return &l.parts[len(l.parts)-1] }

// Link adds p, which lies in block, to the end of the queue without copying it, and
// takes block over.
func (q *Receive) Link(block *Block, p []byte) {
	if len(p) == 0 {
		block.Release()
		return
	}
	l := q.begin()
	l.parts = append(l.parts, part{block: block, b: p})
	l.own = false
	q.n += len(p)
}

// Read copies what it can to p, takes it from the queue, and returns how much.
func (q *Receive) Read(p []byte) int {
	done := 0
	for len(p) > 0 && q.n > 0 {
		l := q.list
		r := &l.parts[l.head]
		c := copy(p, r.b)
		p = p[c:]
		r.b = r.b[c:]
		q.n -= c
		done += c
		if len(r.b) == 0 {
			r.block.Release()
			*r = part{}
			l.head++
		}
	}
	q.tidy()
	return done
}

// tidy closes up the list, or gives it back, when most or all of it has been read.
func (q *Receive) tidy() {
	switch {
	case q.n == 0:
		q.Clear()
	case q.list.head >= 32 && q.list.head*2 >= len(q.list.parts):
		q.list.moveDown()
	}
}

// Take takes the first bytes from the queue and hands them over with the block that they
// lie in: a large piece, or the only one, as it is, small ones copied together. There must
// be some.
func (q *Receive) Take() (*Block, []byte) {
	l := q.list
	r := &l.parts[l.head]
	if len(r.b) < min(q.n, BlockSize/2) {
		block := NewBlockFor(q.n)
		return block, block.B[:q.Read(block.B)]
	}
	block, b := r.block, r.b
	*r = part{}
	l.head++
	q.n -= len(b)
	q.tidy()
	return block, b
}

// moveDown closes up the list when most of it has been read.
func (l *receiveList) moveDown() {
	n := copy(l.parts, l.parts[l.head:])
	clear(l.parts[n:])
	l.parts = l.parts[:n]
	l.head = 0
}

// Clear drops everything.
func (q *Receive) Clear() {
	l := q.list
	*q = Receive{}
	if l == nil {
		return
	}
	for i := l.head; i < len(l.parts); i++ {
		l.parts[i].block.Release()
	}
	if cap(l.parts) > keepParts {
		l.parts = nil
	}
	clear(l.parts)
	*l = receiveList{parts: l.parts[:0]}
	receiveLists.Put(l)
}
