package impair

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"pgregory.net/rapid"
)

var _ link.Device = (*Device)(nil)

func TestZeroConfigHandsThroughUntouched(t *testing.T) {
	for _, inwards := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, Config{}, Config{})
			from, to := w.dev.Queues()[0], w.peer.Queues()[0]
			if inwards {
				from, to = to, from
			}
			f := link.Frame{Data: make([]byte, 3000), Offload: link.Offload{
				GSO: link.GSOTCP4, GSOSize: 1000, HeaderLen: 40, Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16}}
			if n, err := from.Write([]link.Frame{f}); n != 1 || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
			got := []link.Frame{{Data: make([]byte, link.MaxFrame)}}
			if n, err := to.Read(got); n != 1 || err != nil || got[0].Offload != f.Offload || len(got[0].Data) != 3000 {
				t.Errorf("Read: %d, %v, %+v", n, err, got[0].Offload)
			}
			if out, in := w.dev.Stats(); out != (Stats{}) || in != (Stats{}) {
				t.Errorf("stats %+v, %+v; want none", out, in)
			}
			if err := w.dev.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// within reports whether got is within tolerance, a fraction, of want.

// superSegment is IPv4 and TCP headers of 40 bytes and a payload of n bytes, to be cut

// at size.

// everything is a Config with all impairments.

// episode sends a fixed input through cfg and returns all that arrived, with times.

func TestEveryPacketIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.Float64Range(0, 0.3)
		cfg := Config{
			Seed: rapid.Uint64().Draw(rt, "seed"), Loss: p.Draw(rt, "loss"), Duplicate: p.Draw(rt, "duplicate"),
			Corrupt: p.Draw(rt, "corrupt"), Delay: time.Duration(rapid.IntRange(0, 50).Draw(rt, "ms")) * time.Millisecond,
			Rate: rapid.Int64Range(1, 20).Draw(rt, "Mbit/s") * 1_000_000, QueueBytes: rapid.IntRange(1500, 50000).Draw(rt, "queue"),
		}
		synctest.Test(t, func(t *testing.T) {
			w := outward(t, cfg)
			check := func() {
				s := w.stats()
				if s.Packets+s.Duplicated != s.Passed+s.Lost+s.QueueDrops+s.Refused+s.Held {
					rt.Fatalf("%+v does not add up", s)
				}
			}
			for i := range 20 {
				w.write(numbered(10*i, 10, 1000)...)
				w.write(superSegment(5000, 1400))
				check()
				w.pass(2 * time.Millisecond)
				check()
			}
			w.pass(time.Minute)
			check()
			s, got := w.stats(), w.finish()
			if s.Held != 0 || s.Passed != uint64(len(got)) || s.Packets != 20*14 {
				rt.Fatalf("%d arrived: %+v", len(got), s)
			}
		})
	})
}

func TestWhatTheDeviceRefusesIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := outward(t, Config{Delay: time.Millisecond})
		w.write(numbered(0, 1, 100)...)
		w.write(link.Frame{Data: make([]byte, 1501)}, link.Frame{})
		w.write(numbered(1, 1, 100)...)
		w.pass(time.Second)
		if s := w.stats(); s.Refused != 2 || s.Passed != 2 || s.Packets != 4 {
			t.Errorf("stats %+v, want 2 refused", s)
		}
		expect(t, w.finish(), []int{0, 1}, ms(1, 1))
	})
}

func TestPacketTooLongForItsReaderIsDroppedNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{Delay: time.Millisecond})
		w.from = w.peer.Queues()[0]
		w.write(numbered(0, 1, 100)...)
		w.write(numbered(1, 1, 50)...)
		f := []link.Frame{{Data: make([]byte, 99)}}
		if n, err := w.dev.Queues()[0].Read(f); n != 1 || err != nil || len(f[0].Data) != 50 {
			t.Errorf("Read: %d, %v, %d bytes; want the second packet", n, err, len(f[0].Data))
		}
		if _, in := w.dev.Stats(); in.Refused != 1 {
			t.Errorf("stats %+v, want 1 refused", in)
		}
		if err := w.dev.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMemoryOfADelayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := outward(t, Config{Delay: time.Hour})
		w.dev.out.limit = 1000
		w.write(numbered(0, 11, 100)...)
		if s := w.stats(); s.Held != 10 || s.QueueDrops != 1 {
			t.Errorf("stats %+v, want 10 held, 1 dropped", s)
		}
		w.pass(2 * time.Hour)
		w.write(numbered(11, 1, 100)...)
		w.pass(2 * time.Hour)
		if got := w.finish(); len(got) != 11 {
			t.Errorf("%d arrived, want 11", len(got))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{Delay: time.Millisecond})
		w.dev.in.limit = 1000
		w.from = w.peer.Queues()[0]
		w.write(numbered(0, 10, 100)...) // and nobody reads
		w.pass(time.Second)
		w.write(numbered(10, 1, 100)...)
		w.pass(time.Second)
		if _, s := w.dev.Stats(); s.Held != 10 || s.QueueDrops != 1 {
			t.Errorf("stats %+v, want 10 held, 1 dropped", s)
		}
		if err := w.dev.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestQueuesStayApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{Queues: 3})
		cfg := Config{Delay: 10 * time.Millisecond}
		dev, err := Wrap(a, cfg, cfg)
		if err != nil {
			t.Fatal(err)
		}
		through := func(from, to link.Device) {
			for i := range 3 {
				if _, err := from.Queues()[i].Write(numbered(i, 1, 10+i)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 3 {
				f := []link.Frame{{Data: make([]byte, 100)}, {Data: make([]byte, 100)}}
				if n, err := to.Queues()[i].Read(f); n != 1 || err != nil || len(f[0].Data) != 10+i {
					t.Errorf("queue %d: %d frames, %v, %d bytes", i, n, err, len(f[0].Data))
				}
			}
		}
		through(dev, b)
		through(b, dev)
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseLeavesNoGoroutineAndNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		w := newWire(t, Config{Delay: time.Hour}, Config{Delay: time.Hour})
		out, in := w.dev.Queues()[0], w.peer.Queues()[0]
		if _, err := out.Write(numbered(0, 5, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(numbered(0, 5, 100)); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := out.Read([]link.Frame{{Data: make([]byte, 100)}})
			ended <- err
		}()
		synctest.Wait()
		if err := w.dev.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(w.start); d != 0 {
			t.Errorf("Close waited %v for packets on their way", d)
		}
		if err := <-ended; !errors.Is(err, link.ErrClosed) {
			t.Errorf("Read ended with %v", err)
		}
		synctest.Wait()
		// Fewer is no leak: goroutines of a test before this one may have been ending.
		if n := runtime.NumGoroutine(); n > before {
			t.Errorf("%d goroutines, want %d", n, before)
		}
		for _, l := range []*line{&w.dev.out.line, &w.dev.in.line} {
			if l.timer.Stop() {
				t.Error("a timer was left running")
			}
			if l.stats.Held != 0 || l.bytes != 0 {
				t.Errorf("%d packets, %d bytes are still held", l.stats.Held, l.bytes)
			}
		}
		if n, err := out.Write(numbered(0, 1, 100)); n != 0 || !errors.Is(err, link.ErrClosed) {
			t.Errorf("Write after Close: %d, %v", n, err)
		}
		if n, err := out.Read([]link.Frame{{Data: make([]byte, 100)}}); n != 0 || !errors.Is(err, link.ErrClosed) {
			t.Errorf("Read after Close: %d, %v", n, err)
		}
		if err := w.dev.Close(); !errors.Is(err, link.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestDeviceThatEndsUnderneathEndsTheReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pipe.New(pipe.Config{})
		cfg := Config{Loss: 0.1}
		dev, err := Wrap(a, cfg, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Queues()[0].Read([]link.Frame{{Data: make([]byte, 100)}}); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Read: %v", err)
		}
		if _, err := dev.Queues()[0].Write(numbered(0, 10, 100)); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := dev.Close(); !errors.Is(err, link.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// In real time too: nothing here asks how long it took.

func TestRealTime(t *testing.T) {
	a, b := pipe.New(pipe.Config{})
	cfg := Config{Delay: time.Millisecond, Jitter: time.Millisecond, Rate: 100_000_000}
	dev, err := Wrap(a, cfg, cfg)
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	go func() {
		for i := range n {
			if _, err := b.Queues()[0].Write(numbered(i, 1, 100)); err != nil {
				t.Error(err)
			}
		}
	}()
	f := []link.Frame{{}}
	for i := range n {
		f[0].Data = make([]byte, 100)
		if k, err := dev.Queues()[0].Read(f); k != 1 || err != nil || (arrival{data: string(f[0].Data)}).index() != i {
			t.Fatalf("packet %d: %d, %v, %x", i, k, err, f[0].Data[:4])
		}
	}
	if _, err := dev.Queues()[0].Write(numbered(0, n, 100)); err != nil {
		t.Fatal(err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
}

// slow is a device whose Read takes its time to end after Close.
type slow struct {
	link.Device
	closed chan struct{}
	ended  atomic.Bool
}

func (s *slow) Queues() []link.Queue { return []link.Queue{s} }
func (s *slow) Close() error         { close(s.closed); return nil }

func (s *slow) Write(frames []link.Frame) (int, error) { return len(frames), nil }

func (s *slow) Read([]link.Frame) (int, error) {
	<-s.closed
	<-time.After(time.Second)
	s.ended.Store(true)
	return 0, link.ErrClosed
}

func TestCloseWaitsForTheGoroutineThatReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := &slow{closed: make(chan struct{})}
		dev, err := Wrap(under, Config{}, Config{Loss: 0.1})
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if !under.ended.Load() {
			t.Error("Close returned while the device was still being read")
		}
	})
}
