package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
)

// Way is a direction of the path: Down from the server to the client, Up the other way.
type Way uint8

const (
	Down Way = iota
	Up
)

func (w Way) String() string {
	if w == Up {
		return "up"
	}
	return "down"
}

// Direction is one direction of the path in the words of a person: lengths of queues may
// depend on rate and round trip.
type Direction struct {
	path.Config
	Queue Amount // of the bottleneck; UnitNone: 1 BDP
	Mark  Amount // of the queue from which on ECN marks; UnitNone: never
}

// Flow is one bulk transfer, or several alike.
type Flow struct {
	Count      int    // of flows alike
	Congestion string // the controller's name; "" is the default
	Way        Way
	Start      time.Duration // when the first is opened
	Every      time.Duration // from one's start to the next's
	// Bytes is how much is sent before the FIN; 0: without end. Time is how long the flow
	// sends; 0: without end.
	Bytes int64
	Time  time.Duration
	// Chunk bytes become available to send at every Pause; 0: all at once, the sender
	// is not limited by its application.
	Chunk int64
	Pause time.Duration
}

// Cross is traffic that does not react: packets of full size at a constant rate.
type Cross struct {
	Way      Way
	Rate     int64         // in bits a second while it is on
	On, Off  time.Duration // mean times, drawn exponentially; Off 0: always on
	From, To time.Duration // To 0: to the end
}

// Web is short flows that arrive at random.
type Web struct {
	Way        Way
	PerSecond  float64
	Bytes      int64 // mean size, drawn exponentially
	Congestion string
}

// Scenario is a path and what goes over it.
type Scenario struct {
	Name string
	// Path are the directions Down and Up.
	Path  [2]Direction
	Flows []Flow
	Cross []Cross
	Web   []Web

	Seed uint64
	// Time is when the run ends; 0: when all flows have.
	Time time.Duration
	// MeasureFrom is when the flows' rates and the queue begin to be measured.
	MeasureFrom time.Duration

	MTU int // in bytes, of packets with their IP header
	// GSO is the most data in bytes of a super-segment that a sender hands over at once,
	// to be cut in front of the path; 0: none.
	GSO int
	// GRO is for how long the receiver's device collects packets before it hands them
	// over, contiguous ones merged; below 0: each on its own, at once.
	GRO time.Duration
	// SendBuffer and ReceiveBuffer are the sockets' buffers in bytes; 0: the default of
	// package tcp.
	SendBuffer, ReceiveBuffer int
	ECN                       bool // the connections ask for ECN
	Pacing                    bool // the senders pace
}

// NewScenario is a scenario with the defaults, and no flow.
func NewScenario() *Scenario {
	return &Scenario{Seed: 1, MTU: DefaultMTU, GSO: DefaultGSO, GRO: -1}
}

// Defaults of a Scenario.
const (
	DefaultMTU = 1500
	// DefaultGSO is the most that one IP packet carries with headers and options.
	DefaultGSO = 65535 - 20 - 60
	// DefaultTime is how long a run lasts when nothing says when it ends.
	DefaultTime = 30 * time.Second
)

// Bounds of a Scenario.
const (
	minMTU, maxMTU = 576, 9216

	// MaxFlows is how many flows a scenario may have, short ones apart.
	MaxFlows = 1000
)

// RTT is the round trip of the empty path at the start, without serialization.
func (s *Scenario) RTT() time.Duration { return s.Path[Down].Delay + s.Path[Up].Delay }

// Validate says what is missing or contradicts itself, and fills in when the run ends.
func (s *Scenario) Validate() error {
	if len(s.Flows) == 0 && len(s.Web) == 0 {
		return errors.New("there is no flow: add one, such as: flow cubic 10MB")
	}
	n := 0
	endless := len(s.Flows) == 0
	for i := range s.Flows {
		f := &s.Flows[i]
		n += f.Count
		endless = endless || f.Bytes == 0 && f.Time == 0
		if err := checkCongestion(f.Congestion); err != nil {
			return err
		}
	}
	if n > MaxFlows {
		return fmt.Errorf("there are %d flows: want at most %d", n, MaxFlows)
	}
	if endless && s.Time == 0 {
		s.Time = DefaultTime
		for _, f := range s.Flows {
			s.Time = max(s.Time, f.Start+time.Duration(f.Count-1)*f.Every+DefaultTime)
		}
	}
	if s.Time > 0 && s.MeasureFrom >= s.Time {
		return fmt.Errorf("the measurement starts at %v, but the run ends at %v: start earlier", s.MeasureFrom, s.Time)
	}
	for w := range s.Path {
		c := s.pathConfig(Way(w))
		if err := c.Validate(); err != nil {
			return fmt.Errorf("the path %v: %w", Way(w), err)
		}
	}
	return nil
}

// pathConfig is the model of one direction.
func (s *Scenario) pathConfig(w Way) path.Config {
	d := s.Path[w]
	c := d.Config
	c.Seed = s.Seed
	queue := d.Queue
	if queue.Unit == UnitNone {
		queue = Amount{1, UnitBDP}
	}
	if c.Rate > 0 {
		c.QueuePackets, c.QueueBytes = queue.resolve(c.Rate, s.RTT(), s.MTU)
		c.MarkPackets, c.MarkBytes = d.Mark.resolve(c.Rate, s.RTT(), s.MTU)
	}
	c.Rates = slices.Clone(c.Rates)
	slices.SortStableFunc(c.Rates, func(a, b path.RateChange) int { return cmp.Compare(a.At, b.At) })
	c.Delays = slices.Clone(c.Delays)
	slices.SortStableFunc(c.Delays, func(a, b path.DelayChange) int { return cmp.Compare(a.At, b.At) })
	return c
}

// SetFlowCount makes it n flows, all like the first.
func (s *Scenario) SetFlowCount(n int) {
	f := s.firstFlow()
	f.Count = n
	s.Flows = []Flow{f}
}

func (s *Scenario) firstFlow() Flow {
	if len(s.Flows) > 0 {
		return s.Flows[0]
	}
	return Flow{Count: 1}
}

// SetBytes makes every flow send n bytes, a scenario without flows one flow.
func (s *Scenario) SetBytes(n int64) {
	if len(s.Flows) == 0 {
		s.Flows = []Flow{s.firstFlow()}
	}
	for i := range s.Flows {
		s.Flows[i].Bytes, s.Flows[i].Time = n, 0
	}
	s.Time = 0
}

// SetTime makes the run end at d, and the flows send until then.
func (s *Scenario) SetTime(d time.Duration) {
	s.Time = d
	for i := range s.Flows {
		s.Flows[i].Bytes, s.Flows[i].Time = 0, 0
	}
}

// SetCongestion gives the flows the controllers of these names in turn.
func (s *Scenario) SetCongestion(names []string) error {
	for _, name := range names {
		if err := checkCongestion(name); err != nil {
			return err
		}
	}
	var all []Flow
	i := 0
	for _, f := range s.Flows {
		for n := range f.Count {
			one := f
			one.Count, one.Start, one.Every = 1, f.Start+time.Duration(n)*f.Every, 0
			one.Congestion = names[i%len(names)]
			all = append(all, one)
			i++
		}
	}
	s.Flows = all
	return nil
}

// expand lists the flows one by one.
func (s *Scenario) expand() []Flow {
	var all []Flow
	for _, f := range s.Flows {
		for n := range f.Count {
			one := f
			one.Start += time.Duration(n) * f.Every
			all = append(all, one)
		}
	}
	return all
}

// at is an instant of the run.
func at(d time.Duration) mono.Time { return mono.Time(d) }
