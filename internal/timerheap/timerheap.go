// Package timerheap keeps deadlines in order: a heap with four children a node in
// which every item stands at most once and knows its place, so that a deadline
// moves or goes without a search. It reads no clock and does not lock.
package timerheap

import "github.com/a644562b/portico/internal/mono"

// Place is where an item stands in its heap. The item holds it (as a field) and the heap
// writes it; the zero value is an item in no heap.
type Place int32

// Heap holds items by their deadlines. It is empty and ready once PlaceOf is set.
type Heap[T any] struct {
	// PlaceOf returns the address of an item's Place, always the same one. It must not
	// change afterwards.
	PlaceOf func(T) *Place

	entries []entry[T]
}

// entry repeats the deadline beside the item, so that comparing touches no item.
type entry[T any] struct {
	when mono.Time
	item T
}

const children = 4

// Len is the number of items in the heap.
func (h *Heap[T]) Len() int { return len(h.entries) }

// Set puts the item into the heap at when, or moves it there.
func (h *Heap[T]) Set(item T, when mono.Time) {
	place := h.PlaceOf(item)
	if *place == 0 {
		h.entries = append(h.entries, entry[T]{})
		h.up(len(h.entries)-1, entry[T]{when, item})
		return
	}
	i := int(*place) - 1
	if e := (entry[T]{when, item}); when < h.entries[i].when {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// Remove takes the item out. It does nothing when the item is in no heap.
func (h *Heap[T]) Remove(item T) {
	place := h.PlaceOf(item)
	if *place == 0 {
		return
	}
	i := int(*place) - 1
	*place = 0
	last := len(h.entries) - 1
	e := h.entries[last]
	h.entries[last] = entry[T]{}
	h.entries = h.entries[:last]
	if i == last {
		return
	}
	if i > 0 && e.when < h.entries[(i-1)/children].when {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// Next is the earliest deadline, mono.Never when the heap is empty.
func (h *Heap[T]) Next() mono.Time {
	if len(h.entries) == 0 {
		return mono.Never
	}
	return h.entries[0].when
}

// Pop takes out the item with the earliest deadline if that is not after now.
func (h *Heap[T]) Pop(now mono.Time) (item T, ok bool) {
	if h.Next() > now || len(h.entries) == 0 {
		return item, false
	}
	item = h.entries[0].item
	h.Remove(item)
	return item, true
}

// put writes e at i and tells its item.
func (h *Heap[T]) put(i int, e entry[T]) {
	h.entries[i] = e
	*h.PlaceOf(e.item) = Place(i + 1)
}

// up places e at i or above, moving later parents down.
func (h *Heap[T]) up(i int, e entry[T]) {
	for i > 0 {
		parent := (i - 1) / children
		if h.entries[parent].when <= e.when {
			break
		}
		h.put(i, h.entries[parent])
		i = parent
	}
	h.put(i, e)
}

// down places e at i or below, moving the earliest child up.
func (h *Heap[T]) down(i int, e entry[T]) {
	for {
		first := i*children + 1
		if first >= len(h.entries) {
			break
		}
		earliest := first
		for c := first + 1; c < min(first+children, len(h.entries)); c++ {
			if h.entries[c].when < h.entries[earliest].when {
				earliest = c
			}
		}
		if h.entries[earliest].when >= e.when {
			break
		}
		h.put(i, h.entries[earliest])
		i = earliest
	}
	h.put(i, e)
}
