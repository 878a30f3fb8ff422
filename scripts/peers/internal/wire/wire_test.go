package wire

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

const (
	us = mono.Time(time.Microsecond)
	ms = mono.Time(time.Millisecond)
)

func mustNew(t *testing.T, cfg Config) *Wire {
	t.Helper()
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// numbered is a packet of size bytes that says which one it is.
func numbered(n, size int) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, uint32(n))
	return p
}

// arrival is a packet that came out.
type arrival struct {
	n  int
	at mono.Time
}

// drain lets the time jump from arrival to arrival until the wire is empty.
func drain(t *testing.T, w *Wire) []arrival {
	t.Helper()
	var all []arrival
	for w.Next() != mono.Never {
		now := w.Next()
		if p, _ := w.Due(now - 1); p != nil {
			t.Fatalf("a packet due at %d came out before", now)
		}
		p, at := w.Due(now)
		if p == nil || at != now {
			t.Fatalf("nothing came out at %d, the time that Next gave", now)
		}
		all = append(all, arrival{int(binary.BigEndian.Uint32(p)), now})
	}
	return all
}

func expect(t *testing.T, got, want []arrival) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("arrived %v, want %v", got, want)
	}
}

func TestDelayMovesEveryPacketByTheSame(t *testing.T) {
	w := mustNew(t, Config{Delay: 10 * time.Millisecond})
	for i, at := range []mono.Time{0, 0, 3, 7 * ms} {
		if !w.Send(at, numbered(i, 100)) {
			t.Fatalf("packet %d did not make it", i)
		}
	}
	expect(t, drain(t, w), []arrival{{0, 10 * ms}, {1, 10 * ms}, {2, 10*ms + 3}, {3, 17 * ms}})
	if s := w.Stats(); s != (Stats{Sent: 4, Delivered: 4, Bytes: 400, MostHeld: 4}) {
		t.Errorf("counted %+v", s)
	}
}

func TestWithoutAnythingPacketsArriveAtOnce(t *testing.T) {
	w := mustNew(t, Config{})
	w.Send(5, numbered(0, 1500))
	expect(t, drain(t, w), []arrival{{0, 5}})
}

func TestRateSpacesPackets(t *testing.T) {
	// 1,000 bytes at 8 Mbit/s take 1 ms.
	w := mustNew(t, Config{Delay: 5 * time.Millisecond, Rate: 8_000_000})
	w.Send(0, numbered(0, 1000))
	w.Send(0, numbered(1, 500))
	w.Send(0, numbered(2, 1000))
	w.Send(20*ms, numbered(3, 1000)) // the bottleneck has been idle
	expect(t, drain(t, w), []arrival{{0, 6 * ms}, {1, 6*ms + 500*us}, {2, 7*ms + 500*us}, {3, 26 * ms}})
}

func TestFullQueueDropsTheTail(t *testing.T) {
	w := mustNew(t, Config{Rate: 8_000_000, Queue: 3000})
	var made []bool
	for i := range 5 {
		made = append(made, w.Send(0, numbered(i, 1000)))
	}
	// After half a packet's time there is no room for a whole one, but for a half.
	made = append(made, w.Send(500*us, numbered(5, 1000)), w.Send(500*us, numbered(6, 500)), w.Send(ms, numbered(7, 500)))
	if want := []bool{true, true, true, false, false, false, true, true}; !slices.Equal(made, want) {
		t.Errorf("made it: %v, want %v", made, want)
	}
	expect(t, drain(t, w), []arrival{{0, ms}, {1, 2 * ms}, {2, 3 * ms}, {6, 3*ms + 500*us}, {7, 4 * ms}})
	if s := w.Stats(); s.QueueFull != 3 || s.Sent != 8 || s.Lost != 0 || s.Overflow != 0 {
		t.Errorf("counted %+v", s)
	}
}

func TestQueueIsThatOfThePathUnlessSaid(t *testing.T) {
	// 80 Mbit/s for 2·10 ms are 200,000 bytes; 8 Mbit/s would be 20,000.
	for rate, want := range map[int64]int{80_000_000: 200, 8_000_000: 65} {
		w := mustNew(t, Config{Delay: 10 * time.Millisecond, Rate: rate})
		made := 0
		for i := range 300 {
			if w.Send(0, numbered(i, 1000)) {
				made++
			}
		}
		if made != want {
			t.Errorf("at %d bit/s %d packets of 1,000 bytes found room, want %d", rate, made, want)
		}
	}
}

func TestLostPacketsOccupyTheBottleneck(t *testing.T) {
	w := mustNew(t, Config{Rate: 8_000_000, Loss: 1})
	if w.Send(0, numbered(0, 1000)) {
		t.Error("a packet made it past a loss of 1")
	}
	w.cfg.Loss = 0
	w.Send(0, numbered(1, 1000))
	expect(t, drain(t, w), []arrival{{1, 2 * ms}})
}

// survivors sends n packets and lists those that arrive.
func survivors(t *testing.T, cfg Config, n int) []arrival {
	t.Helper()
	w := mustNew(t, cfg)
	for i := range n {
		w.Send(mono.Time(i), numbered(i, 40))
	}
	all := drain(t, w)
	if s := w.Stats(); s.Lost != int64(n-len(all)) {
		t.Errorf("%d of %d arrived, but %d are counted as lost", len(all), n, s.Lost)
	}
	return all
}

func TestLossIsWhatWasAskedAndFollowsTheSeed(t *testing.T) {
	const n = 50_000
	a := survivors(t, Config{Loss: 0.03, Seed: 7}, n)
	// 1,500 are expected, with a standard deviation of 38.
	if lost := n - len(a); lost < 1300 || lost > 1700 {
		t.Errorf("lost %d of %d at 3 %%", lost, n)
	}
	if !slices.Equal(a, survivors(t, Config{Loss: 0.03, Seed: 7}, n)) {
		t.Error("the same seed lost others")
	}
	if slices.Equal(a, survivors(t, Config{Loss: 0.03, Seed: 8}, n)) {
		t.Error("another seed lost the same")
	}
	if len(survivors(t, Config{Seed: 7}, n)) != n {
		t.Error("lost some without loss")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	w := mustNew(t, Config{Delay: time.Second})
	p := numbered(0, 40)
	for range maxHeld {
		if !w.Send(0, p) {
			t.Fatal("dropped below the bound")
		}
	}
	if w.Send(0, p) || w.Stats().Overflow != 1 {
		t.Errorf("one beyond the bound: %+v", w.Stats())
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for _, cfg := range []Config{
		{Delay: -1}, {Delay: MaxDelay + 1}, {Loss: -0.1}, {Loss: 1.1}, {Rate: -1}, {Rate: 1, Queue: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
