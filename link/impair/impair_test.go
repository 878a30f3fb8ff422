package impair

import (
	"errors"
	"math/bits"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/link"
)

func TestDelayIsExact(t *testing.T) {
	bothWays(t, Config{Delay: 30 * time.Millisecond}, func(w *wire) {
		w.write(numbered(0, 2, 100)...)
		w.pass(10 * time.Millisecond)
		w.write(numbered(2, 1, 100)...)
		w.pass(time.Second)
		w.write(numbered(3, 1, 100)...)
		w.pass(29 * time.Millisecond)
		if n := w.arrived(); n != 3 {
			w.t.Errorf("%d arrived before the last one's time, want 3", n)
		}
		w.pass(time.Millisecond)
		expect(w.t, w.finish(), []int{0, 1, 2, 3}, ms(30, 30, 40, 1040))
	})
}

func TestEachDirectionHasItsOwnDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{Delay: 20 * time.Millisecond}, Config{Delay: 300 * time.Millisecond})
		go func() { // echo
			f := []link.Frame{{Data: make([]byte, 100)}}
			if _, err := w.peer.Queues()[0].Read(f); err != nil {
				t.Error(err)
			}
			if _, err := w.peer.Queues()[0].Write(f); err != nil {
				t.Error(err)
			}
		}()
		w.from, w.to = w.dev.Queues()[0], w.dev.Queues()[0]
		w.collect()
		w.write(numbered(7, 1, 100)...)
		w.pass(time.Second)
		expect(t, w.finish(), []int{7}, ms(320))
	})
}

func TestJitterStaysInItsRangeAndKeepsTheOrder(t *testing.T) {
	const n = 1000
	bothWays(t, Config{Seed: 1, Delay: 10 * time.Millisecond, Jitter: 8 * time.Millisecond}, func(w *wire) {
		for i := range n {
			w.write(numbered(i, 1, 60)...)
			w.pass(20 * time.Millisecond) // apart, so that none waits for another
		}
		got := w.finish()
		if len(got) != n {
			w.t.Fatalf("%d arrived, want %d", len(got), n)
		}
		var sum time.Duration
		for i, a := range got {
			late := a.at - time.Duration(i)*20*time.Millisecond
			if a.index() != i || late < 10*time.Millisecond || late >= 18*time.Millisecond {
				w.t.Fatalf("packet %d took %v", a.index(), late)
			}
			sum += late
		}
		if mean := sum / n; mean < 13800*time.Microsecond || mean > 14200*time.Microsecond {
			w.t.Errorf("mean delay %v, want 14ms", mean)
		}
	})
	bothWays(t, Config{Seed: 1, Jitter: 8 * time.Millisecond}, func(w *wire) {
		for i := range n {
			w.write(numbered(i, 1, 60)...)
			w.pass(time.Microsecond) // close: without the rule they would overtake
		}
		w.pass(time.Second)
		got := w.finish()
		if len(got) != n || !slices.IsSorted(indices(got)) {
			w.t.Errorf("%d of %d arrived, in order: %v", len(got), n, slices.IsSorted(indices(got)))
		}
	})
}

func TestRateIsExact(t *testing.T) {
	bothWays(t, Config{Rate: 1_000_000}, func(w *wire) { // 125 bytes are 1 ms
		w.write(numbered(0, 3, 125)...)
		w.write(numbered(3, 1, 1250)...)
		w.pass(100 * time.Millisecond) // it has been idle since 13 ms
		w.write(numbered(4, 2, 250)...)
		w.pass(time.Second)
		expect(w.t, w.finish(), []int{0, 1, 2, 3, 4, 5}, ms(1, 2, 3, 13, 102, 104))
	})
}

func TestRateThatDoesNotDivideIsKeptInTheLongRun(t *testing.T) {
	const n = 7000 // of 12,000 bits at 7 Mbit/s, 1714285.714 ns each: 12 s
	bothWays(t, Config{Rate: 7_000_000, QueuePackets: n}, func(w *wire) {
		w.write(numbered(0, n, 1500)...)
		w.pass(time.Minute)
		got := w.finish()
		if len(got) != n {
			w.t.Fatalf("%d arrived, want %d", len(got), n)
		}
		if first, last := got[0].at, got[n-1].at; first != 1714285 || last != 12*time.Second {
			w.t.Errorf("first after %v, last after %v; want 1.714285ms, 12s", first, last)
		}
	})
}

func TestIdleBottleneckStartsAfresh(t *testing.T) {
	b := bottleneck{rate: 3} // a byte takes 2,666,666,666 and 2/3 ns
	var got []mono.Time
	for _, now := range []mono.Time{0, 0, 10_000_000_000, 10_000_000_000} {
		at, ok := b.send(now, 1)
		if !ok {
			t.Fatal("dropped")
		}
		got = append(got, at)
	}
	want := []mono.Time{2_666_666_666, 5_333_333_333, 12_666_666_666, 15_333_333_333}
	if !slices.Equal(got, want) {
		t.Errorf("sent at %v, want %v", got, want)
	}
}

func TestRateAndDelayAddUp(t *testing.T) {
	bothWays(t, Config{Rate: 1_000_000, Delay: 50 * time.Millisecond}, func(w *wire) {
		w.write(numbered(0, 3, 125)...)
		w.pass(time.Second)
		expect(w.t, w.finish(), []int{0, 1, 2}, ms(51, 52, 53))
	})
}

func TestQueueIsBoundedAndDropsItsTail(t *testing.T) {
	for name, cfg := range map[string]Config{
		"packets": {Rate: 1_000_000, QueuePackets: 3},
		"bytes":   {Rate: 1_000_000, QueueBytes: 3*125 + 124},
		"both":    {Rate: 1_000_000, QueuePackets: 3, QueueBytes: 10000},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, cfg, func(w *wire) {
				w.write(numbered(0, 5, 125)...)
				w.pass(time.Millisecond) // one has left
				w.write(numbered(5, 2, 125)...)
				w.pass(time.Second)
				if s := w.stats(); s.QueueDrops != 3 || s.Passed != 4 {
					w.t.Errorf("stats %+v, want 3 drops", s)
				}
				expect(w.t, w.finish(), []int{0, 1, 2, 5}, ms(1, 2, 3, 4))
			})
		})
	}
}

func TestDefaultQueueOfARate(t *testing.T) {
	bothWays(t, Config{Rate: 1_000_000}, func(w *wire) {
		w.write(numbered(0, DefaultQueuePackets+1, 125)...)
		w.pass(time.Minute)
		if got := w.finish(); len(got) != DefaultQueuePackets {
			w.t.Errorf("%d arrived, want %d", len(got), DefaultQueuePackets)
		}
	})
}

func within(got, want, tolerance float64) bool {
	return got >= want*(1-tolerance) && got <= want*(1+tolerance)
}

func TestLossRateIsMet(t *testing.T) {
	const n = 40000
	for _, p := range []float64{0.01, 0.1, 0.5, 1} {
		bothWays(t, Config{Seed: 42, Loss: p}, func(w *wire) {
			w.write(numbered(0, n, 60)...)
			got := w.finish()
			lost := n - len(got)
			if !within(float64(lost), p*n, 0.05) {
				w.t.Errorf("lost %d of %d, want %v", lost, n, p*n)
			}
			if s := w.stats(); s.Lost != uint64(lost) || s.Packets != n || s.Passed != uint64(len(got)) {
				w.t.Errorf("stats %+v, but %d were lost", s, lost)
			}
			if !slices.IsSorted(indices(got)) {
				w.t.Error("out of order")
			}
		})
	}
}

func TestBurstsHaveTheirRateAndLength(t *testing.T) {
	const n = 1_000_000
	for _, b := range []Burst{{Enter: 0.01, Leave: 0.25, Loss: 1}, {Enter: 0.02, Leave: 0.1, Loss: 0.5}, {Enter: 0.001, Leave: 1, Loss: 1}} {
		f := newFates(Config{Seed: 3, Burst: b}, streamOut)
		lost, runs, lastLost := 0, 0, false
		for range n {
			now := f.next(20).lost
			if now {
				lost++
			}
			if now && !lastLost {
				runs++
			}
			lastLost = now
		}
		if want := n * b.Loss * b.Enter / (b.Enter + b.Leave); !within(float64(lost), want, 0.05) {
			t.Errorf("%+v: lost %d, want about %v", b, lost, want)
		}
		if mean := float64(lost) / float64(runs); b.Loss == 1 && !within(mean, 1/b.Leave, 0.05) {
			t.Errorf("%+v: bursts of %v packets on average, want %v", b, mean, 1/b.Leave)
		}
	}
}

func TestBurstsAreLossesOnTheWire(t *testing.T) {
	const n = 20000
	bothWays(t, Config{Seed: 3, Burst: Burst{Enter: 0.1, Leave: 0.1}}, func(w *wire) {
		w.write(numbered(0, n, 20)...)
		lost := n - len(w.finish())
		if !within(float64(lost), n/2, 0.1) || w.stats().Lost != uint64(lost) {
			w.t.Errorf("lost %d, counted %d, want about %d", lost, w.stats().Lost, n/2)
		}
	})
}

func TestDuplicateArrivesRightBehindItsOriginal(t *testing.T) {
	bothWays(t, Config{Duplicate: 1, Delay: 5 * time.Millisecond}, func(w *wire) {
		w.write(numbered(0, 2, 100)...)
		w.pass(time.Second)
		if s := w.stats(); s.Duplicated != 2 || s.Passed != 4 || s.Packets != 2 {
			w.t.Errorf("stats %+v", s)
		}
		expect(w.t, w.finish(), []int{0, 0, 1, 1}, ms(5, 5, 5, 5))
	})
}

func TestHeldBackPacketIsOvertaken(t *testing.T) {
	const n = 10000
	bothWays(t, Config{Seed: 9, Reorder: 0.1, ReorderBy: 3 * time.Millisecond, Delay: 7 * time.Millisecond}, func(w *wire) {
		for i := range n {
			w.write(numbered(i, 1, 100)...)
			w.pass(time.Millisecond)
		}
		w.pass(time.Second)
		got := w.finish()
		if len(got) != n {
			w.t.Fatalf("%d arrived, want %d", len(got), n)
		}
		late := 0
		for _, a := range got {
			switch took := a.at - time.Duration(a.index())*time.Millisecond; took {
			case 7 * time.Millisecond:
			case 10 * time.Millisecond:
				late++
			default:
				w.t.Fatalf("packet %d took %v, want 7ms or 10ms", a.index(), took)
			}
		}
		if !within(float64(late), 0.1*n, 0.1) || w.stats().Reordered != uint64(late) {
			w.t.Errorf("%d late, counted %d, want about %v", late, w.stats().Reordered, 0.1*n)
		}
		if slices.IsSorted(indices(got)) {
			w.t.Error("nothing was overtaken")
		}
	})
}

func TestReorderByHasADefault(t *testing.T) {
	bothWays(t, Config{Reorder: 1}, func(w *wire) {
		w.write(numbered(0, 1, 100)...)
		w.pass(time.Second)
		expect(w.t, w.finish(), []int{0}, []time.Duration{DefaultReorderBy})
	})
}

func TestCorruptionFlipsOneBitAnywhere(t *testing.T) {
	const n, size = 20000, 50
	bothWays(t, Config{Seed: 5, Corrupt: 1}, func(w *wire) {
		frames := numbered(0, n, size)
		for i := range frames {
			frames[i].Checksum = link.ChecksumValid
		}
		w.write(frames...)
		got := w.finish()
		if len(got) != n {
			w.t.Fatalf("%d arrived, want %d", len(got), n)
		}
		var hit [8 * size]int
		for i, a := range got {
			if a.checksum != link.ChecksumNone {
				w.t.Fatalf("packet %d is still vouched for", i)
			}
			flipped := 0
			for j := range size {
				diff := a.data[j] ^ frames[i].Data[j]
				flipped += bits.OnesCount8(diff)
				if diff != 0 {
					hit[8*j+bits.TrailingZeros8(diff)]++
				}
			}
			if flipped != 1 {
				w.t.Fatalf("packet %d: %d bits differ, want 1", i, flipped)
			}
		}
		for bit, k := range hit { // 50 expected each
			if k < 20 || k > 90 {
				w.t.Errorf("bit %d was flipped %d times of %d", bit, k, n)
			}
		}
	})
}

func TestReadPacketThatWasNotTouchedKeepsItsChecksumState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inward(t, Config{Delay: time.Millisecond})
		f := numbered(0, 1, 100)
		f[0].Checksum = link.ChecksumValid
		w.write(f...)
		w.pass(time.Second)
		if got := w.finish(); len(got) != 1 || got[0].checksum != link.ChecksumValid {
			t.Errorf("%+v", got)
		}
	})
}

func superSegment(n, size int) link.Frame {
	h := make([]byte, 40)
	h[0], h[9] = 0x45, 6
	copy(h[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	h[32] = 5 << 4
	return link.Frame{Data: h, Payload: [][]byte{make([]byte, n)}, Offload: link.Offload{
		GSO: link.GSOTCP4, GSOSize: uint16(size), HeaderLen: 40, Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}}
}

func TestSuperSegmentMeetsTheWireInPieces(t *testing.T) {
	bothWays(t, Config{Rate: 1_000_000}, func(w *wire) {
		f := superSegment(460, 210)
		var want []string
		if err := gso.Split(&f, func(p *link.Frame) { want = append(want, string(p.Data)) }); err != nil {
			w.t.Fatal(err)
		}
		w.write(f)
		w.pass(time.Second)
		got := w.finish()
		if want := append(ms(2, 4), 4640*time.Microsecond); !slices.Equal(times(got), want) {
			w.t.Fatalf("pieces of 250, 250 and 80 bytes at %v, want %v", times(got), want)
		}
		for i, a := range got {
			if a.data != want[i] || a.checksum != link.ChecksumNone {
				w.t.Errorf("piece %d is not what gso.Split makes of it", i)
			}
		}
	})
}

func TestPiecesOfASuperSegmentAreLostOneByOne(t *testing.T) {
	bothWays(t, Config{Seed: 8, Loss: 0.5}, func(w *wire) {
		w.write(superSegment(1000, 10))
		if got := w.finish(); len(got) < 35 || len(got) > 65 {
			w.t.Errorf("%d of 100 pieces arrived, want about 50", len(got))
		}
		if s := w.stats(); s.Packets != 100 {
			w.t.Errorf("stats %+v, want 100 packets", s)
		}
	})
}

func TestSuperSegmentThatCannotBeCut(t *testing.T) {
	bad := superSegment(1000, 100)
	bad.Data[0] = 0x65
	synctest.Test(t, func(t *testing.T) {
		w := outward(t, Config{Delay: 1})
		frames := append(numbered(0, 1, 100), bad)
		if n, err := w.from.Write(frames); n != 1 || !errors.Is(err, gso.ErrHeaders) {
			t.Errorf("Write: %d, %v; want 1, %v", n, err, gso.ErrHeaders)
		}
		w.pass(time.Second)
		expect(t, w.finish(), []int{0}, []time.Duration{1})
	})
	synctest.Test(t, func(t *testing.T) {
		w := inward(t, Config{Delay: 1})
		w.write(bad, numbered(0, 1, 100)[0])
		w.pass(time.Second)
		if s := w.stats(); s.Refused != 1 || s.Packets != 2 {
			t.Errorf("stats %+v, want 1 refused", s)
		}
		expect(t, w.finish(), []int{0}, []time.Duration{1})
	})
}
