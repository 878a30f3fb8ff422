package path

import (
	"fmt"
	"math"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// Config is what one direction does to packets. The zero value hands everything over at
// once.
type Config struct {
	// Seed starts the random numbers.
	Seed uint64

	// Rate is the bottleneck's in bits a second, counting IP packets; 0: there is none.
	Rate int64
	// Rates are changes of the rate, by time.
	Rates []RateChange
	// Stalls are times in which the bottleneck sends nothing, and what comes waits.
	Stalls []Window

	// QueuePackets and QueueBytes bound what is at the bottleneck, the packet that it is
	// sending included. What finds no room is dropped. 0: no such bound.
	QueuePackets, QueueBytes int
	// MarkPackets and MarkBytes are how much must be at the bottleneck for a packet that
	// can be marked by ECN to be marked. 0: no marking by that measure.
	MarkPackets, MarkBytes int

	// PoliceRate in bits a second and PoliceBurst in bytes are those of a policer in
	// front of the queue, which drops what exceeds them. PoliceRate 0: no policer.
	PoliceRate  int64
	PoliceBurst int

	// Delay is how long a bit is on the wire.
	Delay time.Duration
	// Delays are changes of the delay, by time. A shorter one does not change the order
	// of packets.
	Delays []DelayChange
	// Jitter is how much longer the wire takes at most, drawn evenly for each packet. On
	// its own it does not change the order: a packet that would overtake another
	// arrives with it.
	Jitter time.Duration

	// Loss is the probability that a packet is lost, each on its own.
	Loss float64
	// BareLoss is the probability that one without data is lost besides: an ACK.
	BareLoss float64
	// Burst loses packets in runs.
	Burst Burst
	// BlackHoles are times in which everything that is sent is lost, unseen by the queue.
	BlackHoles []Window

	// Drops are the numbers, from 1, of packets with data that are lost, unseen by the
	// queue.
	Drops []Range

	// Reorder is the probability that a packet is held back by ReorderBy, so that those
	// behind it overtake.
	Reorder   float64
	ReorderBy time.Duration
	// Duplicate is the probability that a packet arrives twice.
	Duplicate float64
}

// RateChange is the rate from a time on.
type RateChange struct {
	At   mono.Time
	Rate int64 // in bits a second
}

// DelayChange is the delay from a time on.
type DelayChange struct {
	At    mono.Time
	Delay time.Duration
}

// Window is the time from From until before To.
type Window struct{ From, To mono.Time }

func (w Window) has(t mono.Time) bool { return w.From <= t && t < w.To }

// Burst is the model of Gilbert and Elliott: the wire is good, and loses nothing but
// by Config.Loss, or bad, and loses a share of the packets. It may change before each
// packet. In the long run Enter/(Enter+Leave) of the packets meet the bad state, in runs
// of 1/Leave packets on average. It counts packets and not time: who backs off in a burst
// and sends a packet a minute may stay in it for minutes.
type Burst struct {
	Enter float64 // probability of going from good to bad; 0: never
	Leave float64 // probability of going from bad to good
	Loss  float64 // probability of losing a packet in the bad state; 0 stands for 1
}

// Bursts is the Burst that loses the share rate of all packets, in runs of length
// packets on average.
func Bursts(rate, length float64) Burst {
	leave := 1 / length
	return Burst{Enter: min(1, leave*rate/(1-rate)), Leave: leave, Loss: 1}
}

// Range is the numbers from First to Last.
type Range struct{ First, Last int }

// drops reports whether the n-th packet with data is one of Drops.
func (c *Config) drops(n int) bool {
	for _, r := range c.Drops {
		if r.First <= n && n <= r.Last {
			return true
		}
	}
	return false
}

func (c Config) withDefaults() Config {
	if c.Burst.Loss == 0 {
		c.Burst.Loss = 1
	}
	return c
}

func (c *Config) inBlackHole(t mono.Time) bool {
	for _, w := range c.BlackHoles {
		if w.has(t) {
			return true
		}
	}
	return false
}

// delayAt is the delay of a packet whose last bit leaves at t.
func (c *Config) delayAt(t mono.Time) time.Duration {
	delay := c.Delay
	for _, ch := range c.Delays {
		if ch.At <= t {
			delay = ch.Delay
		}
	}
	return delay
}

// Bounds of Config, so that sums of times and products with rates do not overflow.
const (
	MaxTime  = 24 * time.Hour
	MaxRate  = 10_000_000_000_000 // 10 Tbit/s
	MinRate  = 1_000
	MaxBytes = 1 << 40
)

// Validate says what is wrong with c, naming the field, and what would be right.
func (c *Config) Validate() error {
	for _, p := range []struct {
		name string
		v    float64
	}{
		{"Loss", c.Loss}, {"BareLoss", c.BareLoss}, {"Burst.Enter", c.Burst.Enter}, {"Burst.Leave", c.Burst.Leave},
		{"Burst.Loss", c.Burst.Loss}, {"Reorder", c.Reorder}, {"Duplicate", c.Duplicate},
	} {
		if math.IsNaN(p.v) || p.v < 0 || p.v > 1 {
			return fmt.Errorf("%s is %v: want a probability from 0 to 1", p.name, p.v)
		}
	}
	times := []struct {
		name string
		v    time.Duration
	}{{"Delay", c.Delay}, {"Jitter", c.Jitter}, {"ReorderBy", c.ReorderBy}}
	for _, ch := range c.Delays {
		times = append(times, struct {
			name string
			v    time.Duration
		}{"Delays", ch.Delay})
	}
	for _, d := range times {
		if d.v < 0 || d.v > MaxTime {
			return fmt.Errorf("%s is %v: want a time from 0 to %v", d.name, d.v, MaxTime)
		}
	}
	rates := []int64{c.Rate, c.PoliceRate}
	for _, ch := range c.Rates {
		rates = append(rates, ch.Rate)
	}
	for _, r := range rates {
		if r != 0 && (r < MinRate || r > MaxRate) {
			return fmt.Errorf("a rate is %d bits a second: want %d to %d", r, int64(MinRate), int64(MaxRate))
		}
	}
	for _, n := range []int{c.QueuePackets, c.QueueBytes, c.MarkPackets, c.MarkBytes, c.PoliceBurst} {
		if n < 0 || n > MaxBytes {
			return fmt.Errorf("a length is %d: want 0 to %d", n, MaxBytes)
		}
	}
	return c.validatePairs()
}

// validatePairs checks the settings that mean something only together.
func (c *Config) validatePairs() error {
	switch {
	case c.Burst.Enter > 0 && c.Burst.Leave == 0:
		return fmt.Errorf("Burst.Enter is %v but Burst.Leave is 0: a burst would never end", c.Burst.Enter)
	case c.Reorder > 0 && c.ReorderBy == 0:
		return fmt.Errorf("the share Reorder is %v but ReorderBy is 0: nothing would be held back", c.Reorder)
	case c.PoliceRate > 0 && c.PoliceBurst == 0:
		return fmt.Errorf("PoliceRate is %d but PoliceBurst is 0: nothing would pass", c.PoliceRate)
	case c.PoliceBurst > 1<<30:
		return fmt.Errorf("PoliceBurst is %d: want at most 1 GiB", c.PoliceBurst)
	}
	for _, w := range append(append([]Window(nil), c.BlackHoles...), c.Stalls...) {
		if w.From < 0 || w.To <= w.From || w.To > mono.Time(MaxTime) {
			return fmt.Errorf("the time from %v to %v is empty or out of range", time.Duration(w.From), time.Duration(w.To))
		}
	}
	for i := range c.Rates {
		if c.Rates[i].At < 0 || i > 0 && c.Rates[i].At < c.Rates[i-1].At {
			return fmt.Errorf("the changes of Rates are not in order of time")
		}
	}
	for i := range c.Delays {
		if c.Delays[i].At < 0 || i > 0 && c.Delays[i].At < c.Delays[i-1].At {
			return fmt.Errorf("the changes of Delays are not in order of time")
		}
	}
	return nil
}
