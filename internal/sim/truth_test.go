package sim

import (
	"math/rand/v2"
	"testing"
)

// TestTruthOfConstructedCases: copies of numbers, which of them arrive, and what that
// makes of the retransmissions.
func TestTruthOfConstructedCases(t *testing.T) {
	type step struct {
		from, to         int64
		arrives          bool
		needed, spurious int64
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"nothing is sent twice", []step{{0, 10, true, 0, 0}, {10, 20, true, 0, 0}}},
		{"the first copy arrives", []step{{0, 10, true, 0, 0}, {0, 10, true, 0, 10}}},
		{"the first copy is lost", []step{{0, 10, false, 0, 0}, {0, 10, true, 10, 0}}},
		{"a third copy", []step{{0, 10, false, 0, 0}, {0, 10, true, 10, 0}, {0, 10, true, 0, 10}}},
		{"the second copy is lost too", []step{{0, 10, false, 0, 0}, {0, 10, false, 10, 0}, {0, 10, true, 10, 0}}},
		{"half of a super-segment was lost", []step{{0, 10, true, 0, 0}, {10, 20, false, 0, 0}, {0, 20, true, 10, 10}}},
		{"repaired from the middle", []step{{0, 30, false, 0, 0}, {10, 20, true, 10, 0}, {0, 30, true, 20, 10}}},
		{"a copy that brings new data as well", []step{{0, 10, true, 0, 0}, {5, 15, true, 0, 5}, {10, 15, true, 0, 5}}},
		{"new data lost behind an old copy", []step{{0, 10, true, 0, 0}, {5, 15, false, 0, 5}, {5, 15, true, 5, 5}}},
		{"holes apart", []step{{0, 10, false, 0, 0}, {10, 20, true, 0, 0}, {20, 30, false, 0, 0}, {5, 25, true, 10, 10}, {0, 30, true, 10, 20}}},
		{"nothing at all", []step{{0, 0, true, 0, 0}}},
	} {
		var tr truth
		for i, s := range c.steps {
			if needed, spurious := tr.sent(s.from, s.to, s.arrives); needed != s.needed || spurious != s.spurious {
				t.Errorf("%s: step %d: %d needed, %d spurious, want %d and %d", c.name, i, needed, spurious, s.needed, s.spurious)
			}
		}
	}
}

// TestTruthAgainstAnArray compares with the obvious: a flag for each number.
func TestTruthAgainstAnArray(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var tr truth
		const most = 400
		var sent, arrived [most]bool
		high := 0
		for range 100 {
			from := r.IntN(high + 1)
			to := min(from+1+r.IntN(40), most)
			arrives := r.IntN(3) > 0
			var needed, spurious int64
			for i := from; i < to; i++ {
				switch {
				case !sent[i]:
				case arrived[i]:
					spurious++
				default:
					needed++
				}
				sent[i] = true
				arrived[i] = arrived[i] || arrives
			}
			high = max(high, to)
			if n, s := tr.sent(int64(from), int64(to), arrives); n != needed || s != spurious {
				t.Fatalf("[%d, %d): %d needed, %d spurious, want %d, %d", from, to, n, s, needed, spurious)
			}
			for i := 1; i < len(tr.holes); i++ {
				if tr.holes[i].from < tr.holes[i-1].to {
					t.Fatalf("holes out of order: %v", tr.holes)
				}
			}
		}
	}
}
