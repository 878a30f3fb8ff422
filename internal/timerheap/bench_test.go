package timerheap

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/a644562b/portico/internal/mono"
)

// full is a heap with n items at random deadlines below 2n, and the items.
func full(n int) (*Heap[*item], []*item) {
	rnd := rand.New(rand.NewPCG(1, 2))
	h := &Heap[*item]{PlaceOf: placeOf}
	items := make([]*item, n)
	for i := range items {
		items[i] = &item{id: i}
		h.Set(items[i], mono.Time(rnd.IntN(2*n)))
	}
	return h, items
}

// sizes are the numbers of deadlines that the benchmarks keep in order.
var sizes = []int{10, 10_000, 1_000_000}

// BenchmarkMove gives an item at random another deadline at random.
func BenchmarkMove(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			h, items := full(n)
			rnd := rand.New(rand.NewPCG(3, 4))
			b.ReportAllocs()
			for b.Loop() {
				h.Set(items[rnd.IntN(n)], mono.Time(rnd.IntN(2*n)))
			}
		})
	}
}

// BenchmarkPopSet takes out the item whose time has come and sets it anew, about as far
// ahead as the others lie: a timer that expires and is started again.
func BenchmarkPopSet(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			h, _ := full(n)
			rnd := rand.New(rand.NewPCG(5, 6))
			b.ReportAllocs()
			for b.Loop() {
				now := h.Next()
				o, ok := h.Pop(now)
				if !ok {
					b.Fatal("nothing was due")
				}
				h.Set(o, now.Add(1)+mono.Time(rnd.IntN(2*n)))
			}
		})
	}
}

// BenchmarkSetRemove starts a timer as the latest of all and stops it: one that never
// expires.
func BenchmarkSetRemove(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("timers=%d", n), func(b *testing.B) {
			h, _ := full(n)
			o := &item{id: n}
			b.ReportAllocs()
			for b.Loop() {
				h.Set(o, mono.Time(3*n))
				h.Remove(o)
			}
		})
	}
}
