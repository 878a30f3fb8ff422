package impair

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func everything(seed uint64) Config {
	return Config{
		Seed: seed, Loss: 0.05, Burst: Burst{Enter: 0.01, Leave: 0.3, Loss: 0.9},
		Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond,
		Reorder: 0.05, ReorderBy: 4 * time.Millisecond, Duplicate: 0.05, Corrupt: 0.05,
		Rate: 10_000_000, QueuePackets: 20,
	}
}

func episode(t *testing.T, make func(*testing.T, Config) *wire, cfg Config) (got []arrival, s Stats) {
	synctest.Test(t, func(t *testing.T) {
		w := make(t, cfg)
		for i := range 200 {
			w.write(numbered(10*i, 10, 100+i)...)
			w.write(superSegment(3000, 1000))
			w.pass(3 * time.Millisecond)
		}
		w.pass(time.Second)
		s, got = w.stats(), w.finish()
	})
	return got, s
}

func TestSameSeedGivesTheSameRun(t *testing.T) {
	for name, wire := range map[string]func(*testing.T, Config) *wire{"out": outward, "in": inward} {
		t.Run(name, func(t *testing.T) {
			one, s1 := episode(t, wire, everything(1))
			again, s2 := episode(t, wire, everything(1))
			if !slices.Equal(one, again) || s1 != s2 {
				t.Errorf("the second run differs: %+v, %+v", s1, s2)
			}
			if s1.Lost == 0 || s1.Duplicated == 0 || s1.Reordered == 0 || s1.Corrupted == 0 || s1.QueueDrops == 0 {
				t.Errorf("not everything happened: %+v", s1)
			}
			other, _ := episode(t, wire, everything(2))
			if slices.Equal(one, other) {
				t.Error("another seed gives the same run")
			}
		})
	}
}

func TestDirectionsOfOneSeedDiffer(t *testing.T) {
	out, _ := episode(t, outward, Config{Seed: 1, Loss: 0.3})
	in, _ := episode(t, inward, Config{Seed: 1, Loss: 0.3})
	if slices.Equal(indices(out), indices(in)) {
		t.Error("both directions lose the same packets")
	}
}

func TestNthPacketMeetsTheSameFateWhateverElseIsSet(t *testing.T) {
	const n = 2000
	lost := func(cfg Config) (list []int) {
		synctest.Test(t, func(t *testing.T) {
			w := outward(t, cfg)
			w.write(numbered(0, n, 100)...)
			w.pass(time.Hour)
			arrived := make([]bool, n)
			for _, i := range indices(w.finish()) {
				arrived[i] = true
			}
			for i, ok := range arrived {
				if !ok {
					list = append(list, i)
				}
			}
		})
		return list
	}
	alone := lost(Config{Seed: 4, Loss: 0.2})
	mixed := lost(Config{Seed: 4, Loss: 0.2, Delay: time.Second, Jitter: time.Second, Duplicate: 0.3, Reorder: 0.2, Rate: 1_000_000, QueuePackets: n})
	if !slices.Equal(alone, mixed) {
		t.Error("other packets are lost when other settings change")
	}
}
