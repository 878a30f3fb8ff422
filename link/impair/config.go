package impair

import (
	"fmt"
	"math"
	"time"
)

// Config is what happens to the packets of one direction. The zero value does nothing.
//
// A packet first waits for its turn at the bottleneck (Rate), and then meets what the
// wire does to it: it is lost, corrupted, duplicated, delayed, held back.
type Config struct {
	// Seed starts the random numbers. The same seed and the same packets at the same
	// times give the same run. The two directions differ though they share a seed.
	Seed uint64

	// Loss is the probability from 0 to 1 that a packet is lost, each on its own.
	Loss float64
	// Burst loses packets in runs, besides Loss.
	Burst Burst

	// Delay is how long the wire takes.
	Delay time.Duration
	// Jitter is how much longer it takes at most, drawn evenly for each packet. On
	// its own it does not change the order: a packet that would overtake another
	// arrives with it.
	Jitter time.Duration

	// Reorder is the probability that a packet is held back by ReorderBy, so that
	// those behind it overtake.
	Reorder float64
	// ReorderBy is how long; 0 stands for DefaultReorderBy.
	ReorderBy time.Duration

	// Duplicate is the probability that a packet arrives twice, the copy right behind
	// it.
	Duplicate float64
	// Corrupt is the probability that one bit of the packet, header or payload, is
	// flipped. The receiver is left to find out by the checksums.
	Corrupt float64

	// Rate is the bottleneck in bits a second, counting IP packets; 0: none. A packet
	// of n bytes occupies it for 8n/Rate seconds, and arrives when its last bit does.
	Rate int64
	// QueuePackets and QueueBytes bound what is at the bottleneck, the packet that it
	// is sending included; what comes when one of them is exceeded is dropped. 0: no
	// such bound; if both are 0, QueuePackets is DefaultQueuePackets. They need Rate.
	QueuePackets, QueueBytes int
}

// Defaults of Config.
const (
	DefaultReorderBy    = time.Millisecond
	DefaultQueuePackets = 1000
)

// Burst is the model of Gilbert and Elliott: the wire is in a good state, where only
// Config.Loss loses, or in a bad one, where Loss of the packets are lost. It may
// change its state before each packet. In the long run Enter/(Enter+Leave) of the
// packets meet the bad state, in runs of 1/Leave packets on average.
type Burst struct {
	// Enter is the probability of going from good to bad; 0: never.
	Enter float64
	// Leave is the probability of going from bad to good.
	Leave float64
	// Loss is the probability of losing a packet in the bad state; 0 stands for 1.
	Loss float64
}

// Active reports whether c does anything at all. A direction whose Config does not is
// handed through untouched, super-segments whole.
func (c Config) Active() bool {
	return c.Loss > 0 || c.Burst.Enter > 0 || c.Delay > 0 || c.Jitter > 0 || c.Reorder > 0 ||
		c.Duplicate > 0 || c.Corrupt > 0 || c.Rate > 0
}

func (c Config) withDefaults() Config {
	if c.Burst.Loss == 0 {
		c.Burst.Loss = 1
	}
	if c.ReorderBy == 0 {
		c.ReorderBy = DefaultReorderBy
	}
	if c.QueuePackets == 0 && c.QueueBytes == 0 {
		c.QueuePackets = DefaultQueuePackets
	}
	return c
}

// maxTime bounds each time of a Config, so that sums of them do not overflow.
const maxTime = 24 * time.Hour

// Validate says what is wrong with c, naming the field, and what would be right.
func (c Config) Validate() error {
	for _, p := range []struct {
		name string
		v    float64
	}{
		{"Loss", c.Loss}, {"Burst.Enter", c.Burst.Enter}, {"Burst.Leave", c.Burst.Leave}, {"Burst.Loss", c.Burst.Loss},
		{"Reorder", c.Reorder}, {"Duplicate", c.Duplicate}, {"Corrupt", c.Corrupt},
	} {
		if math.IsNaN(p.v) || p.v < 0 || p.v > 1 {
			return fmt.Errorf("%s is %v: want a probability from 0 to 1", p.name, p.v)
		}
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"Delay", c.Delay}, {"Jitter", c.Jitter}, {"ReorderBy", c.ReorderBy}} {
		if d.v < 0 || d.v > maxTime {
			return fmt.Errorf("%s is %v: want a time from 0 to %v", d.name, d.v, maxTime)
		}
	}
	for _, n := range []struct {
		name string
		v    int64
	}{{"Rate", c.Rate}, {"QueuePackets", int64(c.QueuePackets)}, {"QueueBytes", int64(c.QueueBytes)}} {
		if n.v < 0 {
			return fmt.Errorf("%s is %d: want 0 or more", n.name, n.v)
		}
	}
	switch {
	case c.Burst.Enter > 0 && c.Burst.Leave == 0:
		return fmt.Errorf("Burst.Enter is %v but Burst.Leave is 0, a burst would never end: set Leave to 1/(mean length of a burst in packets)", c.Burst.Enter)
	case c.Burst.Enter == 0 && (c.Burst.Leave > 0 || c.Burst.Loss > 0):
		return fmt.Errorf("Burst.Leave or Burst.Loss is set but Burst.Enter is 0: set Enter, or there are no bursts")
	case c.ReorderBy > 0 && c.Reorder == 0:
		return fmt.Errorf("ReorderBy is %v but Reorder is 0: set Reorder, or nothing is held back", c.ReorderBy)
	case c.Rate == 0 && (c.QueuePackets > 0 || c.QueueBytes > 0):
		return fmt.Errorf("QueuePackets or QueueBytes is set but Rate is 0: set Rate, or there is no queue")
	}
	return nil
}
