package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The lines of a scenario that say what goes over the path, and how its hosts are set.

var flowStatements = []statement{
	{"flow", "2x cubic 10MB at 0s every 1s up", "bulk transfers: how many, the controller, until so many bytes (10MB) or so long (20s), the start of the first and the time between starts, the direction; \"writing 2mbit\" or \"writing 100KB every 1s\" limits the application", parseFlow,
		func(s *Scenario) { s.Flows = nil }},
	{"cross", "5mbit down on 1s off 1s from 5s to 20s", "traffic at a constant rate that does not react, always on or on and off at random with these mean times", parseCross,
		func(s *Scenario) { s.Cross = nil }},
	{"web", "5/s 50KB cubic down", "short flows: so many begin a second, of that size on average", parseWeb,
		func(s *Scenario) { s.Web = nil }},
}

var hostStatements = []statement{
	{"time", "30s", "when the run ends; without it when all flows have ended", oneValue(ParseTime, func(s *Scenario, d time.Duration) { s.Time = d }), nil},
	{"measure", "from 5s", "when the rates begin to be measured", func(s *Scenario, list []string) (err error) {
		w := &words{list}
		w.skip("from")
		if s.MeasureFrom, err = value(w, ParseTime); err != nil {
			return err
		}
		return w.end()
	}, nil},
	{"seed", "1", "where all chance starts from", oneValue(func(v string) (uint64, error) {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no whole number", v)
		}
		return n, nil
	}, func(s *Scenario, n uint64) { s.Seed = n }), nil},
	{"mtu", "1500", "the longest packet in bytes", oneValue(func(v string) (int, error) {
		n, err := strconv.Atoi(v)
		if err != nil || n < minMTU || n > maxMTU {
			return 0, fmt.Errorf("%q is no MTU: want %d to %d", v, minMTU, maxMTU)
		}
		return n, nil
	}, func(s *Scenario, n int) { s.MTU = n }), nil},
	{"gso", "64KB", "the longest super-segment that a sender hands over at once; off: none", func(s *Scenario, list []string) error {
		w := &words{list}
		if s.GSO = 0; w.skip("off") {
			return w.end()
		}
		n, err := value(w, ParseSize)
		s.GSO = int(min(n, DefaultGSO))
		if err != nil {
			return err
		}
		return w.end()
	}, nil},
	{"gro", "50us", "for how long a receiver's device collects packets and merges them; off: it does not", func(s *Scenario, list []string) (err error) {
		w := &words{list}
		if s.GRO = -1; w.skip("off") {
			return w.end()
		}
		if s.GRO, err = value(w, ParseTime); err != nil {
			return err
		}
		return w.end()
	}, nil},
	{"buffers", "4MB", "the sockets' send and receive buffers; auto: the default", func(s *Scenario, list []string) error {
		w := &words{list}
		if s.SendBuffer, s.ReceiveBuffer = 0, 0; w.skip("auto") {
			return w.end()
		}
		n, err := value(w, ParseSize)
		if err == nil && n > 64<<20 {
			err = fmt.Errorf("%s is too much: want at most 64MiB", FormatSize(float64(n)))
		}
		s.SendBuffer, s.ReceiveBuffer = int(n), int(n)
		if err != nil {
			return err
		}
		return w.end()
	}, nil},
	{"ecn", "on", "the connections ask for ECN", oneValue(onOff, func(s *Scenario, on bool) { s.ECN = on }), nil},
	{"pacing", "on", "the senders pace their segments", oneValue(onOff, func(s *Scenario, on bool) { s.Pacing = on }), nil},
}

// oneValue reads a line of a single value.
func oneValue[T any](parse func(string) (T, error), set func(*Scenario, T)) func(*Scenario, []string) error {
	return func(s *Scenario, list []string) error {
		w := &words{list}
		v, err := value(w, parse)
		if err != nil {
			return err
		}
		set(s, v)
		return w.end()
	}
}

// oneWay is the direction that a line names, Down if it names none.
func (w *words) oneWay() Way { return w.way()[0] }

func parseFlow(s *Scenario, list []string) error {
	w := &words{list}
	f := Flow{Count: 1, Way: w.oneWay()}
	if len(w.list) > 0 {
		if n, ok := strings.CutSuffix(w.list[0], "x"); ok {
			if c, err := count(MaxFlows)(n); err == nil {
				f.Count = c
				w.take()
			}
		}
	}
	for {
		word, ok := w.take()
		if !ok {
			break
		}
		if err := f.word(word, w); err != nil {
			return err
		}
	}
	s.Flows = append(s.Flows, f)
	return nil
}

// word takes one word about a flow, and what belongs to it.
func (f *Flow) word(word string, w *words) (err error) {
	switch word {
	case "at":
		f.Start, err = value(w, ParseTime)
		return err
	case "every":
		f.Every, err = value(w, ParseTime)
		return err
	case "writing":
		return f.writing(w)
	case "for":
		f.Time, err = value(w, ParseTime)
		return err
	}
	if n, err := ParseSize(word); err == nil {
		f.Bytes = n
		return nil
	}
	if d, err := ParseTime(word); err == nil && d > 0 {
		f.Time = d
		return nil
	}
	if err := checkCongestion(word); err != nil {
		return fmt.Errorf("%q is neither a size (10MB), nor a time (20s), nor a controller: %w", word, err)
	}
	f.Congestion = word
	return nil
}

// writePause is how often an application writes that writes at a constant rate.
const writePause = 20 * time.Millisecond

// writing reads how an application writes that does not always have data.
func (f *Flow) writing(w *words) (err error) {
	word, ok := w.take()
	if !ok {
		return errMissing
	}
	if rate, err := ParseRate(word); err == nil && rate > 0 {
		f.Pause = writePause
		f.Chunk = max(1, int64(float64(rate)/8*f.Pause.Seconds()))
		return nil
	}
	if f.Chunk, err = ParseSize(word); err != nil {
		return fmt.Errorf("%q is neither a rate (2mbit) nor a size (100KB)", word)
	}
	f.Pause, err = after(w, "every", ParseTime)
	if err == nil && f.Pause == 0 {
		err = fmt.Errorf("writing every 0s has no end: leave it out")
	}
	return err
}

func parseCross(s *Scenario, list []string) error {
	w := &words{list}
	c := Cross{Way: w.oneWay()}
	var err error
	if c.Rate, err = value(w, ParseRate); err != nil {
		return err
	}
	if c.Rate == 0 {
		return fmt.Errorf("cross traffic needs a rate")
	}
	for len(w.list) > 0 && err == nil {
		switch word, _ := w.take(); word {
		case "on":
			c.On, err = value(w, ParseTime)
		case "off":
			c.Off, err = value(w, ParseTime)
		case "from":
			c.From, err = value(w, ParseTime)
		case "to":
			c.To, err = value(w, ParseTime)
		default:
			err = fmt.Errorf("%q is not expected here", word)
		}
	}
	switch {
	case err != nil:
		return err
	case (c.On > 0) != (c.Off > 0):
		return fmt.Errorf("on and off go together")
	case c.To > 0 && c.To <= c.From:
		return fmt.Errorf("it ends at %v, before it begins at %v", c.To, c.From)
	}
	s.Cross = append(s.Cross, c)
	return nil
}

func parseWeb(s *Scenario, list []string) error {
	w := &words{list}
	f := Web{Way: w.oneWay()}
	word, _ := w.take()
	number, ok := strings.CutSuffix(word, "/s")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n > 0 && n <= 10_000) {
		return fmt.Errorf("%q is no number of flows a second: want one up to 10000/s, such as 5/s", word)
	}
	f.PerSecond = n
	if f.Bytes, err = value(w, ParseSize); err != nil {
		return err
	}
	if name, ok := w.take(); ok {
		if err := checkCongestion(name); err != nil {
			return err
		}
		f.Congestion = name
	}
	s.Web = append(s.Web, f)
	return w.end()
}
