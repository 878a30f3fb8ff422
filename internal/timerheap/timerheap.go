// Package timerheap keeps deadlines in order: a heap with four children a node in
// which every item stands at most once and is found without a search, so that a deadline
// moves or goes at once. It reads no clock and does not lock.
package timerheap

import "github.com/a644562b/portico/internal/mono"

// Place is what a heap knows an item by. The item holds it (as a field) and the heap
// writes it; the zero value is an item in no heap.
type Place int32

// Heap holds items by their deadlines. It is empty and ready once PlaceOf is set.
//
// A deadline that moves past others moves them, and among a million items that is past ten
// or so, each of which lies where nothing has been read for long. So none of them is touched:
// where each stands is in an array of its own, and what is in order are deadlines and numbers,
// of which the collector need know nothing.
type Heap[T any] struct {
	// PlaceOf returns the address of an item's Place, always the same one. It must not
	// change afterwards.
	PlaceOf func(T) *Place

	// entries are the heap, the first n, and behind it the numbers that are free.
	entries []entry
	n       int
	items   []T     // by number
	at      []int32 // likewise: where its entry stands
}

// entry is a deadline of the item with a number.
type entry struct {
	when   mono.Time
	number int32
}

const children = 4

// Len is the number of items in the heap.
func (h *Heap[T]) Len() int { return h.n }

// Set puts the item into the heap at when, or moves it there.
func (h *Heap[T]) Set(item T, when mono.Time) {
	place := h.PlaceOf(item)
	if *place == 0 {
		number := h.add(item)
		*place = Place(number + 1)
		h.up(h.n-1, entry{when, number})
		return
	}
	number := int32(*place - 1)
	i := int(h.at[number])
	if e := (entry{when, number}); when < h.entries[i].when {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// add gives the item a number, and room at the end of the heap.
func (h *Heap[T]) add(item T) int32 {
	if h.n == len(h.entries) {
		h.entries = append(h.entries, entry{number: int32(h.n)})
		h.items = append(h.items, item)
		h.at = append(h.at, 0)
	}
	number := h.entries[h.n].number
	h.items[number] = item
	h.n++
	return number
}

// Remove takes the item out. It does nothing when the item is in no heap.
func (h *Heap[T]) Remove(item T) {
	place := h.PlaceOf(item)
	if *place == 0 {
		return
	}
	number := int32(*place - 1)
	*place = 0
	var none T
	h.items[number] = none
	i := int(h.at[number])
	h.n--
	e := h.entries[h.n]
	h.entries[h.n] = entry{number: number}
	switch {
	case i == h.n:
	case i > 0 && e.when < h.entries[(i-1)/children].when:
		h.up(i, e)
	default:
		h.down(i, e)
	}
}

// Next is the earliest deadline, mono.Never when the heap is empty.
func (h *Heap[T]) Next() mono.Time {
	if h.n == 0 {
		return mono.Never
	}
	return h.entries[0].when
}

// Pop takes out the item with the earliest deadline if that is not after now.
func (h *Heap[T]) Pop(now mono.Time) (item T, ok bool) {
	if h.n == 0 || h.entries[0].when > now {
		return item, false
	}
	item = h.items[h.entries[0].number]
	h.Remove(item)
	return item, true
}

// put writes e at i.
func (h *Heap[T]) put(i int, e entry) {
	h.entries[i] = e
	h.at[e.number] = int32(i)
}

// up places e at i or above, moving later parents down.
func (h *Heap[T]) up(i int, e entry) {
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
func (h *Heap[T]) down(i int, e entry) {
	for {
		first := i*children + 1
		if first >= h.n {
			break
		}
		earliest := first
		for c := first + 1; c < min(first+children, h.n); c++ {
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
