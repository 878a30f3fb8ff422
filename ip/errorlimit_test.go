package ip_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// The errors that a host sends, by family: unreachable, time exceeded, parameter problem.
var errorTypes = map[bool][]uint8{true: {3, 11, 12}, false: {1, 3, 4}}

func TestErrorsToOneDestination(t *testing.T) {
	for _, f := range families {
		l := ip.NewErrorLimiter()
		m := ip.Message{Type: errorTypes[f.is4][0]}
		count := func(now mono.Time, dst netip.Addr, m *ip.Message, n int) (allowed int) {
			for range n {
				if l.Allow(now, dst, m, 0) == ip.ErrorAllowed {
					allowed++
				}
			}
			return allowed
		}
		const second = mono.Time(time.Second)
		if n := count(0, f.them, &m, 1000); n != 6 {
			t.Errorf("%s: %d at once, want 6", f.name, n)
		}
		// The bucket of a destination is one for all kinds; others have their own.
		if n := count(0, f.them, &ip.Message{Type: errorTypes[f.is4][1]}, 10); n != 0 {
			t.Errorf("%s: %d of another kind", f.name, n)
		}
		if n := count(0, f.us, &m, 1000); n != 6 {
			t.Errorf("%s: %d to another destination, want 6", f.name, n)
		}
		for i := range mono.Time(5) {
			if n := count((i+1)*second, f.them, &m, 1000); n != 1 {
				t.Errorf("%s: %d a second later, want 1", f.name, n)
			}
		}
		if n := count(3600*second, f.them, &m, 1000); n != 6 {
			t.Errorf("%s: %d an hour later, want 6", f.name, n)
		}
	}
}

// A flood with forged sources: what goes out is bounded, for each kind by itself.
func TestErrorsToEverybody(t *testing.T) {
	for _, f := range families {
		l := ip.NewErrorLimiter()
		rng := rand.New(rand.NewPCG(1, 2))
		counts := map[uint8]int{}
		const seconds = 10
		for i := range seconds * 5000 {
			now := mono.Time(i) * mono.Time(time.Second/5000)
			a := f.them.AsSlice()
			for j := range 3 {
				a[len(a)-1-j] = byte(rng.Uint32())
			}
			dst, _ := netip.AddrFromSlice(a)
			for _, typ := range errorTypes[f.is4] {
				if l.Allow(now, dst, &ip.Message{Type: typ}, rng.Uint32()) == ip.ErrorAllowed {
					counts[typ]++
				}
			}
		}
		for _, typ := range errorTypes[f.is4] {
			// One token or two each: between half of the rate and all of it.
			if n := counts[typ]; n > 50+seconds*1000 || n < seconds*500 {
				t.Errorf("%s: %d of type %d in %d s", f.name, n, typ, seconds)
			}
		}
	}
}

// Errors to a forged source beyond its own few take nothing from the others' bucket.
func TestErrorsToOneDestinationDoNotSilenceTheRest(t *testing.T) {
	for _, f := range families {
		l := ip.NewErrorLimiter()
		m := ip.Message{Type: errorTypes[f.is4][0]}
		for range 10000 {
			l.Allow(0, f.them, &m, 0)
		}
		allowed := 0
		for i := range 100 {
			a := f.us.AsSlice()
			a[len(a)-1] = byte(100 + i)
			dst, _ := netip.AddrFromSlice(a)
			if l.Allow(0, dst, &m, 0) == ip.ErrorAllowed {
				allowed++
			}
		}
		if allowed != 44 {
			t.Errorf("%s: %d of the other 44", f.name, allowed)
		}
	}
}

// How many tokens an error takes depends on chance, so that counting them tells little.
func TestErrorsTakeTokensByChance(t *testing.T) {
	burst := func(chance uint32) (n int) {
		l := ip.NewErrorLimiter()
		for i := range 100 {
			if l.Allow(0, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), &ip.Message{Type: 3}, chance) == ip.ErrorAllowed {
				n++
			}
		}
		return n
	}
	if a, b := burst(0), burst(1); a != 50 || b != 25 {
		t.Errorf("%d and %d errors at once, want 50 and 25", a, b)
	}
}
