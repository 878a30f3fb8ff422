// Package wire is one direction of a path as a queue: packets that are sent into it come
// out later, in order, or not at all. A packet first passes a bottleneck with a rate and
// a drop-tail queue, may then be lost at random, and arrives after a fixed delay. The
// package reads no clock and moves no bytes: whoever drives it says what time it is.
package wire

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
)

// Config is what happens to the packets. The zero value does nothing to them.
type Config struct {
	// Delay is how long a packet is under way once it has left the bottleneck, 0 to
	// MaxDelay.
	Delay time.Duration
	// Loss is the probability, 0 to 1, that a packet is lost behind the bottleneck.
	Loss float64
	// Seed starts the random numbers: of the same packets, the same seed loses the
	// same ones.
	Seed uint64
	// Rate is that of the bottleneck in bits a second, counting whole packets; 0 for
	// none.
	Rate int64
	// Queue is how many bytes may be at the bottleneck, those of the packet that it
	// sends included; 0 stands for what Rate sends in 2·Delay, but at least minQueue.
	// Without Rate it means nothing.
	Queue int
}

// Bounds of Config.
const (
	MaxDelay = 10 * time.Second
	minQueue = 64 << 10
)

// maxHeld bounds the packets under way, and with them the memory: about 100 MB of
// packets of 1500 bytes.
const maxHeld = 1 << 16

func (c Config) check() error {
	switch {
	case c.Delay < 0 || c.Delay > MaxDelay:
		return fmt.Errorf("delay %v: choose 0 to %v", c.Delay, MaxDelay)
	case math.IsNaN(c.Loss) || c.Loss < 0 || c.Loss > 1:
		return fmt.Errorf("loss %v: choose a probability of 0 to 1", c.Loss)
	case c.Rate < 0:
		return fmt.Errorf("rate %d: choose bits a second, or 0 for none", c.Rate)
	case c.Queue < 0:
		return fmt.Errorf("queue %d: choose bytes, or 0 for what the path holds", c.Queue)
	}
	return nil
}

// Stats count packets.
type Stats struct {
	Sent      int64 `json:"sent"`       // into the wire
	Delivered int64 `json:"delivered"`  // out of it
	Bytes     int64 `json:"bytes"`      // of those delivered
	Lost      int64 `json:"lost"`       // at random
	QueueFull int64 `json:"queue_full"` // at the bottleneck
	Overflow  int64 `json:"overflow"`   // more under way than the wire holds: a fault of the measurement
	MostHeld  int   `json:"most_held"`  // at once
}

// Wire is one direction. It is not safe for concurrent use.
type Wire struct {
	cfg     Config
	random  *rand.Rand
	maxWait time.Duration // what a full queue takes to drain
	free    mono.Time     // when the bottleneck has sent all that it was given
	flying  ring.Ring[packet]
	stats   Stats
}

type packet struct {
	at   mono.Time // when it arrives
	data []byte
}

// New makes a wire.
func New(cfg Config) (*Wire, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	w := &Wire{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0))}
	if cfg.Rate > 0 {
		queue := float64(cfg.Queue)
		if cfg.Queue == 0 {
			queue = max(minQueue, float64(cfg.Rate)/8*(2*cfg.Delay).Seconds())
		}
		w.maxWait = time.Duration(queue * 8 / float64(cfg.Rate) * float64(time.Second))
	}
	return w, nil
}

// Send puts p into the wire at now. False: p did not make it and is the caller's again;
// otherwise it is the wire's until Due returns it. Now must not go back.
func (w *Wire) Send(now mono.Time, p []byte) bool {
	w.stats.Sent++
	left, ok := w.bottleneck(now, len(p))
	switch {
	case !ok:
		w.stats.QueueFull++
	case w.cfg.Loss > 0 && w.random.Float64() < w.cfg.Loss:
		w.stats.Lost++
	case w.flying.Len() >= maxHeld:
		w.stats.Overflow++
	default:
		w.flying.Push(packet{at: left.Add(w.cfg.Delay), data: p})
		w.stats.MostHeld = max(w.stats.MostHeld, w.flying.Len())
		return true
	}
	return false
}

// bottleneck says when the last bit of a packet of size bytes has left; false if the
// queue has no room for it.
func (w *Wire) bottleneck(now mono.Time, size int) (mono.Time, bool) {
	if w.cfg.Rate == 0 {
		return now, true
	}
	sending := time.Duration(int64(size) * 8 * int64(time.Second) / w.cfg.Rate)
	done := max(w.free, now).Add(sending)
	if done.Sub(now) > w.maxWait {
		return 0, false
	}
	w.free = done
	return done, true
}

// Next is when the next packet arrives; mono.Never if there is none.
func (w *Wire) Next() mono.Time {
	if w.flying.Len() == 0 {
		return mono.Never
	}
	return w.flying.Front().at
}

// Due takes out the next packet that has arrived by now, with the time that it was due;
// nil if there is none.
func (w *Wire) Due(now mono.Time) ([]byte, mono.Time) {
	if w.Next() > now {
		return nil, 0
	}
	p := w.flying.Pop()
	w.stats.Delivered++
	w.stats.Bytes += int64(len(p.data))
	return p.data, p.at
}

// Stats returns the counters.
func (w *Wire) Stats() Stats { return w.stats }
