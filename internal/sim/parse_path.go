package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/a644562b/portico/internal/sim/path"
)

// The lines of a scenario that describe the path. Each applies to both directions unless
// it says which; a comma separates what is said of the one and the other.

var pathStatements = []statement{
	{"rate", "20mbit down, 5mbit up", "the bottleneck's rate, counting IP packets; without it there is no bottleneck", eachWay(func(d *Direction, w *words) (err error) {
		d.Rate, err = value(w, ParseRate)
		return err
	}), nil},
	{"rtt", "40ms", "the round trip of the empty path, half of it each way", func(s *Scenario, list []string) error {
		w := &words{list}
		rtt, err := value(w, ParseTime)
		if err != nil {
			return err
		}
		s.Path[Down].Delay, s.Path[Up].Delay = rtt-rtt/2, rtt/2
		return w.end()
	}, nil},
	{"delay", "30ms down, 10ms up", "the delay of one direction", eachWay(func(d *Direction, w *words) (err error) {
		d.Delay, err = value(w, ParseTime)
		return err
	}), nil},
	{"at", "10s rate 5mbit down", "from then on another rate, or another rtt", parseAt, func(s *Scenario) {
		for w := range s.Path {
			s.Path[w].Rates, s.Path[w].Delays = nil, nil
		}
	}},
	{"queue", "1bdp", "what the bottleneck holds: in bandwidth-delay products, packets (100pkt), bytes (64KB) or time (20ms); 1bdp unless said; bdp and time come to 10 packets at least", eachWay(func(d *Direction, w *words) (err error) {
		d.Queue, err = value(w, ParseAmount)
		return err
	}), nil},
	{"mark", "20pkt", "the length of the queue from which on ECN marks what may be marked", eachWay(func(d *Direction, w *words) (err error) {
		d.Mark, err = value(w, ParseAmount)
		return err
	}), nil},
	{"police", "10mbit burst 100KB", "a policer in front of the queue drops what exceeds the rate beyond the burst", eachWay(func(d *Direction, w *words) (err error) {
		if d.PoliceRate, err = value(w, ParseRate); err != nil {
			return err
		}
		burst, err := after(w, "burst", ParseSize)
		d.PoliceBurst = int(burst)
		return err
	}), nil},
	{"loss", "0.5% down", "the share of packets lost, each on its own", eachWay(func(d *Direction, w *words) (err error) {
		d.Loss, err = value(w, ParseShare)
		w.skip("random")
		return err
	}), nil},
	{"loss-burst", "0.5% of 8", "the share of packets lost in bursts of so many packets on average (Gilbert-Elliott)", eachWay(parseBurst), nil},
	{"ack-loss", "20%", "the share of packets without data lost besides", eachWay(func(d *Direction, w *words) (err error) {
		d.BareLoss, err = value(w, ParseShare)
		return err
	}), nil},
	{"drop", "5 8..10 down", "the packets with data of these numbers, from 1, are lost", eachWay(parseDrop), func(s *Scenario) {
		for w := range s.Path {
			s.Path[w].Drops = nil
		}
	}},
	{"reorder", "2% by 5ms", "the share of packets held back so long that others overtake", eachWay(func(d *Direction, w *words) (err error) {
		if d.Reorder, err = value(w, ParseShare); err != nil || d.Reorder == 0 {
			return err
		}
		d.ReorderBy, err = after(w, "by", ParseTime)
		return err
	}), nil},
	{"duplicate", "1%", "the share of packets that arrive twice", eachWay(func(d *Direction, w *words) (err error) {
		d.Duplicate, err = value(w, ParseShare)
		return err
	}), nil},
	{"jitter", "3ms", "how much longer a packet takes at most, drawn evenly; the order stays", eachWay(func(d *Direction, w *words) (err error) {
		d.Jitter, err = value(w, ParseTime)
		return err
	}), nil},
	{"blackhole", "5s..7s", "what is sent in that time is lost", eachWay(func(d *Direction, w *words) error {
		v, err := value(w, span)
		d.BlackHoles = append(d.BlackHoles, path.Window{From: at(v[0]), To: at(v[1])})
		return err
	}), func(s *Scenario) {
		for w := range s.Path {
			s.Path[w].BlackHoles = nil
		}
	}},
	{"stall", "5s..5.3s", "the bottleneck sends nothing in that time, and what comes waits", eachWay(func(d *Direction, w *words) error {
		v, err := value(w, span)
		d.Stalls = append(d.Stalls, path.Window{From: at(v[0]), To: at(v[1])})
		return err
	}), func(s *Scenario) {
		for w := range s.Path {
			s.Path[w].Stalls = nil
		}
	}},
}

// eachWay reads parts separated by commas, each for the direction that it names.
func eachWay(set func(*Direction, *words) error) func(*Scenario, []string) error {
	return func(s *Scenario, list []string) error {
		for _, part := range parts(list) {
			for _, way := range (&words{part}).way() {
				w := &words{part}
				w.way()
				if err := set(&s.Path[way], w); err != nil {
					return err
				}
				if err := w.end(); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// parts splits words at the commas.
func parts(list []string) [][]string {
	all := [][]string{nil}
	for _, w := range list {
		if w == "," {
			all = append(all, nil)
			continue
		}
		all[len(all)-1] = append(all[len(all)-1], w)
	}
	return all
}

// parseBurst reads the share that is lost in bursts and their mean length in packets.
func parseBurst(d *Direction, w *words) error {
	share, err := value(w, ParseShare)
	if err != nil {
		return err
	}
	if share == 0 {
		d.Burst = path.Burst{}
		return nil
	}
	length, err := after(w, "of", count(100_000))
	if err != nil {
		return err
	}
	w.skip("packets")
	if share > 0.9 {
		return fmt.Errorf("a share of %s in bursts leaves no good times: want at most 90 %%", FormatShare(share))
	}
	d.Burst = path.Bursts(share, float64(length))
	return nil
}

// parseAt reads a change of the rate or the round trip at a time.
func parseAt(s *Scenario, list []string) error {
	w := &words{list}
	ways := w.way()
	when, err := value(w, ParseTime)
	if err != nil {
		return err
	}
	switch {
	case w.skip("rate"):
		rate, err := value(w, ParseRate)
		if err != nil {
			return err
		}
		for _, way := range ways {
			s.Path[way].Rates = append(s.Path[way].Rates, path.RateChange{At: at(when), Rate: rate})
		}
	case w.skip("rtt"):
		rtt, err := value(w, ParseTime)
		if err != nil {
			return err
		}
		for i, d := range []time.Duration{rtt - rtt/2, rtt / 2} {
			s.Path[i].Delays = append(s.Path[i].Delays, path.DelayChange{At: at(when), Delay: d})
		}
		if len(ways) == 1 {
			return fmt.Errorf("a round trip is both ways: leave %q out", ways[0])
		}
	default:
		return fmt.Errorf("neither rate nor rtt follows the time")
	}
	return w.end()
}

// parseDrop reads numbers of packets, and ranges of them.
func parseDrop(d *Direction, w *words) error {
	if len(w.list) == 0 {
		return errMissing
	}
	for {
		word, ok := w.take()
		if !ok {
			return nil
		}
		first, last, isRange := strings.Cut(word, "..")
		if !isRange {
			last = first
		}
		a, err := count(1e9)(first)
		if err != nil {
			return err
		}
		b, err := count(1e9)(last)
		if err != nil {
			return err
		}
		if b < a {
			return fmt.Errorf("%q ends before it has begun", word)
		}
		d.Drops = append(d.Drops, path.Range{First: a, Last: b})
	}
}
