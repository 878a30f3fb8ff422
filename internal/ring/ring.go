// Package ring is a first-in, first-out queue that grows by doubling and allocates
// nothing once it has grown. It sets no limit: its owner does. Nothing here locks.
package ring

// Ring is a queue of T. The zero value is empty and holds no memory.
type Ring[T any] struct {
	items []T // its length is 0 or a power of two
	head  int // index of the oldest
	n     int
}

// smallest is the room in items of a ring that holds anything.
const smallest = 16

// Len is the number of items in the queue.
func (r *Ring[T]) Len() int { return r.n }

// Cap is the number of items that the ring has memory for.
func (r *Ring[T]) Cap() int { return len(r.items) }

// Push adds v behind the youngest item.
func (r *Ring[T]) Push(v T) {
	if r.n == len(r.items) {
		r.grow()
	}
	r.items[(r.head+r.n)&(len(r.items)-1)] = v
	r.n++
}

// Front is the oldest item, to be looked at until the next Push or Pop. The queue
// must not be empty.
func (r *Ring[T]) Front() *T {
	if r.n == 0 {
		panic("ring: Front of an empty queue")
	}
	return &r.items[r.head]
}

// Pop takes the oldest item out. The queue must not be empty.
func (r *Ring[T]) Pop() T {
	front := r.Front()
	v := *front
	var zero T
	*front = zero // let go of what it points at
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.n--
	return v
}

func (r *Ring[T]) grow() {
	items := make([]T, max(smallest, 2*len(r.items)))
	n := copy(items, r.items[r.head:])
	copy(items[n:], r.items[:r.head])
	r.items, r.head = items, 0
}
