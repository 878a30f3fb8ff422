package impair

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// wire is an impaired pipe in a bubble: what is written to near leaves through far when
// the direction is outward, and the other way round.
type wire struct {
	t         *testing.T
	dev       *Device
	peer      *pipe.Device
	start     time.Time
	from, to  link.Queue
	collected chan struct{}

	mu       sync.Mutex
	arrivals []arrival
}

// arrival is one frame and when it was read, counted from the start of the wire.
type arrival struct {
	at       time.Duration
	data     string
	checksum link.Checksum
}

// index is the number that numbered gave the packet.
func (a arrival) index() int { return int(binary.BigEndian.Uint32([]byte(a.data))) }

// numbered returns n packets of size bytes with their index in front, the first
// being first.
func numbered(first, n, size int) []link.Frame {
	frames := make([]link.Frame, n)
	for i := range frames {
		frames[i].Data = make([]byte, size)
		binary.BigEndian.PutUint32(frames[i].Data, uint32(first+i))
	}
	return frames
}

// bigPipe holds whatever a test writes.
var bigPipe = pipe.Config{Frames: 1 << 20, Bytes: 1 << 30, Caps: link.Caps{Checksum: true, TSO4: true}}

// outward is a wire with cfg from the impaired device to its peer.
func outward(t *testing.T, cfg Config) *wire {
	w := newWire(t, cfg, Config{})
	w.from, w.to = w.dev.Queues()[0], w.peer.Queues()[0]
	return w.collect()
}

// inward is a wire with cfg from the peer to the impaired device.
func inward(t *testing.T, cfg Config) *wire {
	w := newWire(t, Config{}, cfg)
	w.from, w.to = w.peer.Queues()[0], w.dev.Queues()[0]
	return w.collect()
}

func newWire(t *testing.T, out, in Config) *wire {
	t.Helper()
	a, b := pipe.New(bigPipe)
	dev, err := Wrap(a, out, in)
	if err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, dev: dev, peer: b, start: time.Now(), collected: make(chan struct{})}
}

// collect reads everything that leaves the wire, until it is closed.
func (w *wire) collect() *wire {
	go func() {
		defer close(w.collected)
		memory := make([]byte, 4*link.MaxFrame)
		frames := make([]link.Frame, 4)
		for {
			for i := range frames {
				frames[i] = link.Frame{Data: memory[i*link.MaxFrame : (i+1)*link.MaxFrame]}
			}
			n, err := w.to.Read(frames)
			if err != nil {
				return
			}
			w.mu.Lock()
			for _, f := range frames[:n] {
				w.arrivals = append(w.arrivals, arrival{time.Since(w.start), string(f.Data), f.Checksum})
			}
			w.mu.Unlock()
		}
	}()
	return w
}

// write writes frames and wants them all to go.
func (w *wire) write(frames ...link.Frame) {
	w.t.Helper()
	if n, err := w.from.Write(frames); n != len(frames) || err != nil {
		w.t.Fatalf("Write: %d, %v; want %d, nil", n, err, len(frames))
	}
}

// pass lets d go by.
func (w *wire) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// arrived is how many have arrived so far.
func (w *wire) arrived() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.arrivals)
}

// finish closes both ends and returns what arrived.
func (w *wire) finish() []arrival {
	w.t.Helper()
	synctest.Wait()
	if err := w.dev.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
	if err := w.peer.Close(); err != nil {
		w.t.Errorf("Close of the peer: %v", err)
	}
	<-w.collected
	return w.arrivals
}

// stats are the counts of the direction that does something.
func (w *wire) stats() Stats {
	out, in := w.dev.Stats()
	if out == (Stats{}) {
		return in
	}
	return out
}

// bothWays runs f for a wire of cfg in either direction, each in a bubble.
func bothWays(t *testing.T, cfg Config, f func(w *wire)) {
	t.Helper()
	for _, way := range []struct {
		name string
		wire func(*testing.T, Config) *wire
	}{{"out", outward}, {"in", inward}} {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(way.wire(t, cfg)) })
		})
	}
}

// indices are the numbers of the packets in the order of their arrival.
func indices(arrivals []arrival) []int {
	var list []int
	for _, a := range arrivals {
		list = append(list, a.index())
	}
	return list
}

// times are when the packets arrived.
func times(arrivals []arrival) []time.Duration {
	var list []time.Duration
	for _, a := range arrivals {
		list = append(list, a.at)
	}
	return list
}

// expect wants exactly these packets at exactly these times.
func expect(t *testing.T, got []arrival, wantIndices []int, wantTimes []time.Duration) {
	t.Helper()
	if !slices.Equal(indices(got), wantIndices) || !slices.Equal(times(got), wantTimes) {
		t.Errorf("arrived %v at %v,\nwant %v at %v", indices(got), times(got), wantIndices, wantTimes)
	}
}

func ms(list ...int) []time.Duration {
	var d []time.Duration
	for _, n := range list {
		d = append(d, time.Duration(n)*time.Millisecond)
	}
	return d
}
