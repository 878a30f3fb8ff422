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
	parts []part
	// last and lastStart remember where Slices stopped last time: the next call
	// nearly always goes on there. lastStart is the distance of that part from the
	// head.
	last, lastStart int
}

var sendLists pool.Pool[sendList]

// Len is the number of bytes in the queue.
func (q *Send) Len() int { return q.n }

// Append copies p to the end of the queue.
func (q *Send) Append(p []byte) {
	if len(p) > 0 && q.list == nil {
		q.list = sendLists.Get()
	}
	for len(p) > 0 {
		l := q.list
		if len(l.parts) == 0 || l.parts[len(l.parts)-1].full() {
			// A queue that already has bytes will get more: a larger block.
			block := NewBlockFor(max(len(p), min(q.n*2, BlockSize)))
			l.parts = append(l.parts, part{block: block, b: block.B[:0]})
		}
		c := l.parts[len(l.parts)-1].append(p)
		q.n += c
		p = p[c:]
	}
}

// Link adds p, which lies in block, to the end of the queue without copying it, and takes
// block over.
func (q *Send) Link(block *Block, p []byte) {
	if len(p) == 0 {
		block.Release()
		return
	}
	if q.list == nil {
		q.list = sendLists.Get()
	}
	q.list.parts = append(q.list.parts, part{block: block, b: p})
	q.n += len(p)
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
		r := &l.parts[done]
		if n < len(r.b) {
			r.b = r.b[n:]
			break
		}
		n -= len(r.b)
		r.block.Release()
		done++
	}
	l.last, l.lastStart = 0, 0
	if done > 0 {
		rest := copy(l.parts, l.parts[done:])
		clear(l.parts[rest:])
		l.parts = l.parts[:rest]
	}
}

// Clear drops everything.
func (q *Send) Clear() {
	l := q.list
	*q = Send{}
	if l == nil {
		return
	}
	for i := range l.parts {
		l.parts[i].block.Release()
	}
	if cap(l.parts) > keepParts {
		l.parts = nil
	}
	clear(l.parts)
	*l = sendList{parts: l.parts[:0]}
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
		i, start = l.last, l.lastStart
	}
	for n > 0 {
		b := l.parts[i].b
		if off >= start+len(b) {
			start += len(b)
			i++
			continue
		}
		from := off - start
		take := min(n, len(b)-from)
		dst = append(dst, b[from:from+take])
		off += take
		n -= take
	}
	l.last, l.lastStart = i, start
	return dst
}
