package pipe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"pgregory.net/rapid"
)

var _ link.Device = (*Device)(nil)

// allCaps offers everything.
var allCaps = link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: true}

// room returns n frames with memory for any frame.
func room(n int) []link.Frame {
	frames := make([]link.Frame, n)
	for i := range frames {
		frames[i].Data = make([]byte, link.MaxFrame)
	}
	return frames
}

// write writes packets as frames to queue 0 and fails the test if not all go.
func write(t testing.TB, d *Device, packets ...string) {
	t.Helper()
	frames := make([]link.Frame, len(packets))
	for i, p := range packets {
		frames[i].Data = []byte(p)
	}
	if n, err := d.Queues()[0].Write(frames); n != len(frames) || err != nil {
		t.Fatalf("Write: %d, %v; want %d, nil", n, err, len(frames))
	}
}

// expect reads once from queue 0 and wants exactly packets.
func expect(t testing.TB, d *Device, packets ...string) {
	t.Helper()
	frames := room(16)
	n, err := d.Queues()[0].Read(frames)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	var got []string
	for _, f := range frames[:n] {
		got = append(got, string(f.Data))
	}
	if len(got) != len(packets) {
		t.Fatalf("read %q, want %q", got, packets)
	}
	for i := range got {
		if got[i] != packets[i] {
			t.Fatalf("read %q, want %q", got, packets)
		}
	}
}

// expectNothing wants a Read on queue 0 to wait. It leaves the reader behind, to be
// ended by closing d.
func expectNothing(t *testing.T, d *Device) {
	t.Helper()
	read := make(chan int, 1)
	go func() {
		n, _ := d.Queues()[0].Read(room(1))
		read <- n
	}()
	synctest.Wait()
	select {
	case n := <-read:
		t.Fatalf("Read returned %d frames, want it to wait", n)
	default:
	}
}

func TestFramesArriveExactlyAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(Config{MTU: link.MaxFrame, Caps: allCaps})
		defer a.Close()
		defer b.Close()
		var sent []link.Frame
		for range rapid.IntRange(1, 20).Draw(t, "frames") {
			f := link.Frame{Data: rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "data")}
			for range rapid.IntRange(0, 3).Draw(t, "slices") {
				size := rapid.SampledFrom([]int{0, 1, 100, 5000, 20000}).Draw(t, "size")
				f.Payload = append(f.Payload, bytes.Repeat([]byte{byte(size)}, size))
			}
			f.Offload = link.Offload{
				GSO:            link.GSO(rapid.IntRange(0, 3).Draw(t, "gso")),
				Checksum:       link.Checksum(rapid.IntRange(0, 2).Draw(t, "checksum")),
				GSOSize:        rapid.Uint16Range(1, 9000).Draw(t, "size"),
				HeaderLen:      rapid.Uint16Range(0, 120).Draw(t, "header"),
				ChecksumStart:  rapid.Uint16().Draw(t, "start"),
				ChecksumOffset: rapid.Uint16().Draw(t, "offset"),
			}
			sent = append(sent, f)
		}
		if n, err := a.Queues()[0].Write(sent); n != len(sent) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		for at := 0; at < len(sent); {
			frames := room(rapid.IntRange(1, 8).Draw(t, "batch"))
			n, err := b.Queues()[0].Read(frames)
			if err != nil {
				t.Fatal(err)
			}
			if want := min(len(frames), len(sent)-at); n != want {
				t.Fatalf("Read: %d frames, want the %d that are there", n, want)
			}
			for i := range frames[:n] {
				want := sent[at+i]
				if !bytes.Equal(frames[i].Data, want.AppendTo(nil)) || frames[i].Payload != nil {
					t.Fatalf("frame %d has other bytes", at+i)
				}
				if frames[i].Offload != want.Offload {
					t.Fatalf("frame %d: %+v, want %+v", at+i, frames[i].Offload, want.Offload)
				}
			}
			at += n
		}
	})
}

func TestWriteDoesNotKeepTheWritersMemory(t *testing.T) {
	a, b := New(Config{})
	data, payload := []byte("head"), []byte("tail")
	frames := []link.Frame{{Data: data, Payload: [][]byte{payload}}}
	if _, err := a.Queues()[0].Write(frames); err != nil {
		t.Fatal(err)
	}
	copy(data, "xxxx")
	copy(payload, "xxxx")
	expect(t, b, "headtail")
}

func TestReadWaitsDurablyForTheFirstFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := New(Config{})
		got := make(chan string)
		go func() {
			frames := room(1)
			if _, err := b.Queues()[0].Read(frames); err != nil {
				t.Error(err)
			}
			got <- string(frames[0].Data)
		}()
		synctest.Wait() // returns only if the reader is durably blocked
		write(t, a, "hello")
		if s := <-got; s != "hello" {
			t.Errorf("read %q", s)
		}
	})
}

func TestBothDirectionsAreApart(t *testing.T) {
	a, b := New(Config{})
	write(t, a, "to b")
	write(t, b, "to a", "to a too")
	expect(t, a, "to a", "to a too")
	expect(t, b, "to b")
}

func TestQueuesAreApart(t *testing.T) {
	a, b := New(Config{Queues: 3})
	if len(a.Queues()) != 3 || len(b.Queues()) != 3 {
		t.Fatalf("%d and %d queues, want 3", len(a.Queues()), len(b.Queues()))
	}
	for i, q := range a.Queues() {
		if _, err := q.Write([]link.Frame{{Data: []byte{byte(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, q := range b.Queues() {
		frames := room(4)
		if n, err := q.Read(frames); n != 1 || err != nil || frames[0].Data[0] != byte(i) {
			t.Errorf("queue %d: %d frames, %v, %v", i, n, err, frames[0].Data)
		}
	}
}

func TestAFullQueueDropsAndCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"by frames", Config{Frames: 2}},
		{"by bytes", Config{Bytes: 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := New(c.cfg)
				defer b.Close()
				write(t, a, "one", "two", "three", "four")
				if a.Drops() != 2 || b.Drops() != 0 {
					t.Errorf("drops %d and %d, want 2 and 0", a.Drops(), b.Drops())
				}
				expect(t, b, "one", "two")
				write(t, a, "5")
				expect(t, b, "5")
				expectNothing(t, b)
			})
		})
	}
}

func TestWhatIsNotOfferedIsAnErrorOfTheWriter(t *testing.T) {
	long := make([]byte, 1501)
	tso := link.Offload{GSO: link.GSOTCP4, GSOSize: 1460, HeaderLen: 40}
	for _, c := range []struct {
		name  string
		caps  link.Caps
		frame link.Frame
		want  error
	}{
		{"empty", allCaps, link.Frame{}, ErrEmpty},
		{"too long", allCaps, link.Frame{Data: long}, ErrTooLong},
		{"too long with payload", allCaps, link.Frame{Data: long[:20], Payload: [][]byte{long[:1481]}}, ErrTooLong},
		{"partial checksum", link.Caps{TSO4: true}, link.Frame{Data: long[:40], Offload: link.Offload{Checksum: link.ChecksumPartial}}, ErrOffload},
		{"TSO4", link.Caps{TSO6: true, USO: true}, link.Frame{Data: long, Offload: tso}, ErrOffload},
		{"TSO6", link.Caps{TSO4: true, USO: true}, link.Frame{Data: long, Offload: link.Offload{GSO: link.GSOTCP6, GSOSize: 1}}, ErrOffload},
		{"USO", link.Caps{TSO4: true, TSO6: true}, link.Frame{Data: long, Offload: link.Offload{GSO: link.GSOUDP, GSOSize: 1}}, ErrOffload},
		{"unknown GSO", allCaps, link.Frame{Data: long, Offload: link.Offload{GSO: 77, GSOSize: 1}}, ErrOffload},
		{"pieces above the MTU", allCaps, link.Frame{Data: long, Offload: link.Offload{GSO: link.GSOTCP4, GSOSize: 1461, HeaderLen: 40}}, ErrTooLong},
		{"beyond MaxFrame", allCaps, link.Frame{Data: make([]byte, link.MaxFrame+1), Offload: tso}, ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := New(Config{Caps: c.caps})
			frames := []link.Frame{{Data: []byte("before")}, c.frame, {Data: []byte("after")}}
			n, err := a.Queues()[0].Write(frames)
			if n != 1 || !errors.Is(err, c.want) {
				t.Errorf("Write: %d, %v; want 1, %v", n, err, c.want)
			}
			expect(t, b, "before")
		})
	}
}

func TestSuperSegmentWithinTheMTUGoes(t *testing.T) {
	a, b := New(Config{Caps: link.Caps{TSO4: true, Checksum: true}})
	f := link.Frame{Data: make([]byte, 40), Payload: [][]byte{make([]byte, 65000)}}
	f.Offload = link.Offload{GSO: link.GSOTCP4, GSOSize: 1460, HeaderLen: 40, Checksum: link.ChecksumPartial}
	if n, err := a.Queues()[0].Write([]link.Frame{f}); n != 1 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	frames := room(1)
	if n, err := b.Queues()[0].Read(frames); n != 1 || err != nil || frames[0].Len() != 65040 {
		t.Fatalf("Read: %d, %v, %d bytes", n, err, frames[0].Len())
	}
}

func TestFrameTooLongForItsReaderIsDroppedNotCut(t *testing.T) {
	a, b := New(Config{})
	write(t, a, "a long frame", "short")
	frames := []link.Frame{{Data: make([]byte, 5)}, {Data: make([]byte, 5)}}
	if n, err := b.Queues()[0].Read(frames); n != 1 || err != nil || string(frames[0].Data) != "short" {
		t.Errorf("Read: %d, %v, %q", n, err, frames[0].Data)
	}
	if a.Drops() != 1 {
		t.Errorf("%d drops, want 1", a.Drops())
	}
}

func TestReadOfNoFramesReturnsAtOnce(t *testing.T) {
	a, b := New(Config{})
	write(t, a, "x")
	if n, err := b.Queues()[0].Read(nil); n != 0 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	expect(t, b, "x")
}

func TestLoopBringsBackItsOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewLoop(Config{})
		write(t, d, "me")
		expect(t, d, "me")
		expectNothing(t, d)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNamesAndSizes(t *testing.T) {
	a, b := New(Config{Names: [2]string{"left"}, MTU: 1280, Caps: link.Caps{TSO4: true}})
	if a.Name() != "left" || b.Name() != "pipe1" || NewLoop(Config{}).Name() != "loop0" {
		t.Errorf("names %q, %q, %q", a.Name(), b.Name(), NewLoop(Config{}).Name())
	}
	if a.MTU() != 1280 || b.MTU() != 1280 || NewLoop(Config{MTU: 1 << 20}).MTU() != link.MaxFrame {
		t.Errorf("MTUs %d, %d", a.MTU(), b.MTU())
	}
	if want := (link.Caps{TSO4: true}); a.Caps() != want || b.Caps() != want {
		t.Errorf("caps %+v, %+v", a.Caps(), b.Caps())
	}
}

func TestManyWritersAtOnceDoNotMixFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 4, 200
		a, b := New(Config{})
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					p := bytes.Repeat([]byte{byte(w)}, 8+i)
					binary.BigEndian.PutUint32(p, uint32(i))
					if n, err := a.Queues()[0].Write([]link.Frame{{Data: p}}); n != 1 || err != nil {
						t.Errorf("Write: %d, %v", n, err)
					}
				}
			})
		}
		var next [writers]uint32
		frames := room(8)
		for got := 0; got < writers*each; {
			for i := range frames {
				frames[i].Data = frames[i].Data[:cap(frames[i].Data)]
			}
			n, err := b.Queues()[0].Read(frames)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames[:n] {
				w := f.Data[len(f.Data)-1]
				if i := binary.BigEndian.Uint32(f.Data); i != next[w] || len(f.Data) != 8+int(i) {
					t.Fatalf("writer %d: frame %d of %d bytes, want frame %d", w, i, len(f.Data), next[w])
				}
				next[w]++
			}
			got += n
		}
		wg.Wait()
	})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector empties pools")
	}
	a, b := New(Config{Caps: allCaps})
	out := []link.Frame{{Data: make([]byte, 40)}, {Data: make([]byte, 1500)}, {
		Data: make([]byte, 40), Payload: [][]byte{make([]byte, 64000)},
		Offload: link.Offload{GSO: link.GSOTCP4, GSOSize: 1460, HeaderLen: 40},
	}}
	in, memory := make([]link.Frame, 3), make([]byte, 3*link.MaxFrame)
	turn := func() {
		if n, err := a.Queues()[0].Write(out); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		for i := range in {
			in[i].Data = memory[i*link.MaxFrame : (i+1)*link.MaxFrame]
		}
		if n, err := b.Queues()[0].Read(in); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations for three frames, want 0", n)
	}
}
