package chaos

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/a644562b/portico/internal/race"
)

var (
	oneSeed  = flag.Int64("chaos.seed", -1, "play only this seed, and tell the whole dialogue with -v")
	numSeeds = flag.Int("chaos.seeds", 0, "how many seeds to play; default 5000, 200 under -race, 100 with -short")
	fromSeed = flag.Uint64("chaos.from", 0, "the first seed")
)

func seeds() int {
	switch {
	case *numSeeds > 0:
		return *numSeeds
	case testing.Short():
		return 100
	case race.Enabled:
		return 200
	}
	return 5000
}

// TestChaos plays many worlds. A failing seed is played once more for its story.
func TestChaos(t *testing.T) {
	if *oneSeed >= 0 {
		err := newWorld(uint64(*oneSeed), func(s string) { t.Log(s) }).play()
		if err != nil {
			t.Fatalf("seed %d: %v", *oneSeed, err)
		}
		return
	}
	type verdict struct {
		seed uint64
		err  error
	}
	var (
		mu    sync.Mutex
		bad   []verdict
		next  atomic.Uint64
		group sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= uint64(seeds()) {
					return
				}
				seed := *fromSeed + n
				if err := newWorld(seed, nil).play(); err != nil {
					mu.Lock()
					bad = append(bad, verdict{seed, err})
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	slices.SortFunc(bad, func(a, b verdict) int { return cmp.Compare(a.seed, b.seed) })
	count := map[int]int{}
	for _, v := range bad {
		rule := v.err.(*failure).rule
		if count[rule]++; count[rule] <= 5 {
			t.Errorf("seed %d: %v\n\treplay: %s", v.seed, v.err, replay(v.seed))
		}
	}
	for rule, n := range count {
		t.Errorf("%d of %d seeds break invariant %d", n, seeds(), rule)
	}
}

// remembered are seeds outside the usual ones that have found something once: a rescue
// retransmission of what had left at the same moment, before any round trip was measured.
var remembered = []uint64{101437}

func TestChaosRemembered(t *testing.T) {
	for _, seed := range remembered {
		if err := newWorld(seed, nil).play(); err != nil {
			t.Errorf("seed %d: %v\n\treplay: %s", seed, err, replay(seed))
		}
	}
}

// replay is the command that plays a seed again and tells its story.
func replay(seed uint64) string {
	return fmt.Sprintf("go test ./internal/chaos -run 'TestChaos$' -chaos.seed=%d -v", seed)
}
