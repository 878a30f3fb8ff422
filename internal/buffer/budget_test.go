package buffer

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestBudgetTellsWhatIsGivenBack: as long as it is not spent, and only who still watches.
func TestBudgetTellsWhatIsGivenBack(t *testing.T) {
	b := NewBudget(100)
	var first, second int
	stop := b.Watch(func() { first++ })
	b.Watch(func() { second++ })
	told := func(f, s int) {
		t.Helper()
		if first != f || second != s {
			t.Fatalf("told %d and %d times, want %d and %d", first, second, f, s)
		}
	}
	b.Add(150)
	b.Add(-50) // spent still
	told(0, 0)
	b.Add(-1)
	told(1, 1)
	stop()
	b.Add(-99)
	told(1, 2)
	var none *Budget
	none.Watch(func() {})()
	none.Add(-1)
}

// TestBudgetIsWatchedByManyAtOnce: watchers come and go while bytes do.
func TestBudgetIsWatchedByManyAtOnce(t *testing.T) {
	b := NewBudget(1 << 20)
	var told atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				stop := b.Watch(func() { told.Add(1) })
				b.Add(1)
				b.Add(-1)
				stop()
			}
		})
	}
	all.Wait()
	if b.Used() != 0 || told.Load() < 4000 {
		t.Fatalf("%d bytes are held; told %d times", b.Used(), told.Load())
	}
	before := told.Load()
	b.Add(-1)
	if told.Load() != before {
		t.Fatal("somebody who has stopped watching was told")
	}
}
