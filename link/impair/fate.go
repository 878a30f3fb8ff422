package impair

import (
	"math/rand/v2"
	"time"
)

// fate is what the wire will do to one packet.
type fate struct {
	lost, late, twice, corrupt bool
	bit                        int // which to flip, with corrupt
	jitter                     time.Duration
}

// fates draws a fate for each packet of a direction, in order.
//
// Every packet takes the same number of random numbers whatever the settings and
// whatever became of it, so that the n-th packet always meets the same fate: a
// queue that overflows, or one setting that changes, does not deal the others anew.
type fates struct {
	cfg Config
	rng *rand.Rand
	bad bool // the state of the bursts
}

// newFates starts the numbers of a direction; the directions of one seed differ by
// stream.
func newFates(cfg Config, stream uint64) fates {
	return fates{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, stream))}
}

// next draws the fate of a packet of n bytes, n at least 1.
func (f *fates) next(n int) fate {
	lost := f.chance(f.cfg.Loss)
	inBurst := f.burst()
	return fate{
		lost:    lost || inBurst,
		late:    f.chance(f.cfg.Reorder),
		twice:   f.chance(f.cfg.Duplicate),
		corrupt: f.chance(f.cfg.Corrupt),
		bit:     int(f.rng.Float64() * float64(8*n)),
		jitter:  time.Duration(f.rng.Float64() * float64(f.cfg.Jitter)),
	}
}

// burst moves the model of Gilbert and Elliott on by one packet and reports whether
// it loses it.
func (f *fates) burst() bool {
	flip := f.rng.Float64()
	if f.bad {
		f.bad = flip >= f.cfg.Burst.Leave
	} else {
		f.bad = flip < f.cfg.Burst.Enter
	}
	lost := f.chance(f.cfg.Burst.Loss)
	return f.bad && lost
}

// chance is true with probability p.
func (f *fates) chance(p float64) bool { return f.rng.Float64() < p }
