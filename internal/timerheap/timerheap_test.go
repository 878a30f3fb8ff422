package timerheap

import (
	"math/rand/v2"
	"testing"

	"github.com/a644562b/portico/internal/mono"
)

type item struct {
	id    int
	when  mono.Time // the model: what the heap was told last
	in    bool
	place Place
}

func placeOf(i *item) *Place { return &i.place }

// check verifies the order of the heap and that every item knows its place.
func check(t *testing.T, h *Heap[*item]) {
	t.Helper()
	for i, e := range h.entries[:h.n] {
		it := h.items[e.number]
		if it.place != Place(e.number+1) || h.at[e.number] != int32(i) {
			t.Fatalf("item %d of number %d is to stand at %d, and stands at %d", it.place, e.number, h.at[e.number], i)
		}
		if e.when != it.when {
			t.Fatalf("item at %d has deadline %d, was set to %d", i, e.when, it.when)
		}
		if i > 0 && h.entries[(i-1)/children].when > e.when {
			t.Fatalf("item at %d is earlier than its parent", i)
		}
	}
	for _, e := range h.entries[h.n:] {
		if h.items[e.number] != nil {
			t.Fatalf("number %d is free and holds an item", e.number)
		}
	}
}

func TestRandomSetRemovePopAgreesWithModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	h := Heap[*item]{PlaceOf: placeOf}
	items := make([]*item, 200)
	for i := range items {
		items[i] = &item{id: i}
	}
	for range 20_000 {
		it := items[rnd.IntN(len(items))]
		switch rnd.IntN(4) {
		case 0, 1:
			it.when, it.in = mono.Time(rnd.IntN(1000)), true
			h.Set(it, it.when)
		case 2:
			it.in = false
			h.Remove(it)
		case 3:
			now := mono.Time(rnd.IntN(1000))
			earliest := mono.Never
			for _, o := range items {
				if o.in {
					earliest = min(earliest, o.when)
				}
			}
			got, ok := h.Pop(now)
			if ok != (earliest <= now) {
				t.Fatalf("Pop(%d) = %v with the earliest at %d", now, ok, earliest)
			}
			if ok {
				if got.when != earliest {
					t.Fatalf("popped %d, the earliest is %d", got.when, earliest)
				}
				got.in = false
			}
		}
		n := 0
		for _, o := range items {
			if o.in {
				n++
			}
			if o.in != (o.place != 0) {
				t.Fatalf("item %d: in = %v, place = %d", o.id, o.in, o.place)
			}
		}
		if n != h.Len() {
			t.Fatalf("Len = %d, want %d", h.Len(), n)
		}
		check(t, &h)
	}
}

func TestEmptyHeapNeverExpires(t *testing.T) {
	h := Heap[*item]{PlaceOf: placeOf}
	if h.Next() != mono.Never {
		t.Fatal("an empty heap has a deadline")
	}
	if _, ok := h.Pop(mono.Never); ok {
		t.Fatal("popped from an empty heap")
	}
}
