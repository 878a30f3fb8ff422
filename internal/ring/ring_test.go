package ring

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRingIsFirstInFirstOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Ring[int]
		var model []int
		next := 0
		for _, push := range rapid.SliceOfN(rapid.Bool(), 0, 500).Draw(t, "pushes") {
			if push || len(model) == 0 {
				r.Push(next)
				model = append(model, next)
				next++
			} else {
				if *r.Front() != model[0] {
					t.Fatalf("Front is %d, want %d", *r.Front(), model[0])
				}
				if v := r.Pop(); v != model[0] {
					t.Fatalf("Pop is %d, want %d", v, model[0])
				}
				model = model[1:]
			}
			if r.Len() != len(model) {
				t.Fatalf("Len is %d, want %d", r.Len(), len(model))
			}
		}
		var rest []int
		for r.Len() > 0 {
			rest = append(rest, r.Pop())
		}
		if !slices.Equal(rest, model) {
			t.Fatalf("the rest is %v, want %v", rest, model)
		}
	})
}

func TestRingLetsGoOfWhatWasPopped(t *testing.T) {
	var r Ring[*int]
	r.Push(new(int))
	r.Pop()
	for _, p := range r.items {
		if p != nil {
			t.Fatal("a popped item is still referred to")
		}
	}
}

func TestRingAllocatesNothingOnceGrown(t *testing.T) {
	var r Ring[int]
	turn := func() {
		for i := range 1000 {
			r.Push(i)
		}
		for range 1000 {
			r.Pop()
		}
	}
	turn()
	if n := testing.AllocsPerRun(10, turn); n != 0 {
		t.Errorf("%v allocations a turn, want 0", n)
	}
}

func TestPopOfAnEmptyRingPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var r Ring[int]
	r.Pop()
}
