package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/a644562b/portico/internal/mono"
)

// TestTheAgendaIsInOrder compares it with a sorted list, through sets, moves and removals;
// of sources at the same time the first made comes first.
func TestTheAgendaIsInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var a agenda
	if a.next() != mono.Never {
		t.Errorf("an empty agenda has something at %d", a.next())
	}
	sources := make([]source, 50)
	for i := range sources {
		a.init(&sources[i], nil)
	}
	in := make(map[*source]bool)
	for range 20_000 {
		s := &sources[r.IntN(len(sources))]
		switch r.IntN(4) {
		case 0:
			a.remove(s)
			delete(in, s)
		case 1:
			if len(in) > 0 {
				var want *source
				for o := range in {
					if want == nil || o.before(want) {
						want = o
					}
				}
				if at := a.next(); at != want.when {
					t.Fatalf("next at %d, want %d", at, want.when)
				}
				if got := a.pop(); got != want {
					t.Fatalf("popped %d of %d, want %d of %d", got.order, got.when, want.order, want.when)
				}
				delete(in, want)
			}
		default:
			a.set(s, mono.Time(r.IntN(20)))
			in[s] = true
		}
		if len(a.heap) != len(in) || slices.Contains(a.heap, nil) {
			t.Fatalf("%d in the heap of %d", len(a.heap), len(in))
		}
	}
}
