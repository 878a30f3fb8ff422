package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/a644562b/portico/internal/sim"
	"github.com/spf13/cobra"
)

// simFlags are the flags of `portico sim`. Most say what a line of a scenario says, in
// its words.
type simFlags struct {
	lines  map[string]*[]string // by flag
	flows  int
	bytes  string
	time   string
	cc     string
	asJSON bool
	list   bool
	show   bool
	plot   string
	pcap   string
}

// simLine is a flag that stands for a line of a scenario.
type simLine struct {
	flag, word string
	usage      string
	// before is put in front of the flag's value, and each of the short forms in
	// replace becomes words.
	before  string
	replace []string
	toggle  bool // "on" without a value
}

// simLines are in the order in which they are applied.
var simLines = []simLine{
	{flag: "rate", word: "rate", usage: "the bottleneck's rate, as in `20mbit` or \"20mbit down, 5mbit up\""},
	{flag: "rtt", word: "rtt", usage: "the round trip of the empty path, as in `40ms`"},
	{flag: "delay", word: "delay", usage: "the delay of one direction, as in `\"30ms down\"`"},
	{flag: "rate-at", word: "at", usage: "another rate from a time on, as in `10s=20mbit`; repeatable", replace: []string{"=", " rate "}},
	{flag: "rtt-at", word: "at", usage: "another round trip from a time on, as in `10s=80ms`; repeatable", replace: []string{"=", " rtt "}},
	{flag: "queue", word: "queue", usage: "what the bottleneck holds, as in `1bdp`, 100pkt, 64KB or 20ms"},
	{flag: "mark", word: "mark", usage: "the queue from which on ECN marks, as in `20pkt`"},
	{flag: "police", word: "police", usage: "a policer's rate and burst, as in `10mbit:100KB`", replace: []string{":", " burst "}},
	{flag: "loss", word: "loss", usage: "the share of packets lost at random, as in `1%` or \"1% down\""},
	{flag: "loss-burst", word: "loss-burst", usage: "the share of packets lost in bursts, and their mean length, as in `0.5%:8`", replace: []string{":", " of "}},
	{flag: "ack-loss", word: "ack-loss", usage: "the share of packets without data lost besides, as in `20%`"},
	{flag: "drop", word: "drop", usage: "the packets with data of these numbers are lost, as in `\"5 8..10 down\"`"},
	{flag: "reorder", word: "reorder", usage: "the share of packets held back, and by how much, as in `2%:5ms`", replace: []string{":", " by "}},
	{flag: "duplicate", word: "duplicate", usage: "the share of packets that arrive twice, as in `1%`"},
	{flag: "jitter", word: "jitter", usage: "how much longer a packet takes at most, as in `3ms`"},
	{flag: "blackhole", word: "blackhole", usage: "what is sent in that time is lost, as in `5s..7s`; repeatable"},
	{flag: "stall", word: "stall", usage: "what is sent in that time waits, as in `5s..5.3s`; repeatable"},
	{flag: "cross", word: "cross", usage: "traffic that does not react, as in `\"5mbit on 1s off 1s\"`; repeatable"},
	{flag: "web", word: "web", usage: "short flows, as in `\"5/s 50KB\"`; repeatable"},
	{flag: "flow", word: "flow", usage: "a flow, as in `\"cubic 10MB at 1s up\"`; repeatable, replaces the scenario's"},
	{flag: "seed", word: "seed", usage: "`number` that all chance starts from (default 1)"},
	{flag: "mtu", word: "mtu", usage: "the longest packet in `bytes` (default 1500)"},
	{flag: "gso", word: "gso", usage: "the longest super-segment of a sender, as in `64KB`; off: none (default 64KB)"},
	{flag: "gro", word: "gro", usage: "for how long a receiver collects packets and merges them, as in `50us`; off: it does not (default off)"},
	{flag: "buffers", word: "buffers", usage: "the sockets' buffers, as in `4MB`; auto: they tune themselves (default auto)"},
	{flag: "ecn", word: "ecn", usage: "the connections ask for ECN: `on` or off", toggle: true},
	{flag: "pacing", word: "pacing", usage: "the senders pace: `on` or off", toggle: true},
	{flag: "measure-from", word: "measure", usage: "when rates begin to be measured, as in `5s`", before: "from "},
}

func (f *simFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SortFlags = false
	f.lines = make(map[string]*[]string)
	for _, l := range simLines {
		f.lines[l.flag] = fl.StringArray(l.flag, nil, l.usage)
		if l.toggle {
			fl.Lookup(l.flag).NoOptDefVal = "on"
		}
	}
	fl.IntVar(&f.flows, "flows", 0, "`number` of flows, all like the scenario's first")
	fl.StringVar(&f.bytes, "bytes", "", "how much each flow sends, as in `100MB`")
	fl.StringVar(&f.time, "time", "", "when the run ends, as in `30s`; without --bytes the flows send until then")
	fl.StringVar(&f.cc, "cc", "", "the flows' congestion controllers in turn, as in `cubic,newreno`")
	fl.StringVar(&f.plot, "plot", "", "draw the run to `file` (.svg or .png)")
	fl.StringVar(&f.pcap, "pcap", "", "write the packets at the senders to `file` (pcapng, with comments on losses)")
	fl.BoolVar(&f.asJSON, "json", false, "as JSON")
	fl.BoolVar(&f.list, "list", false, "list the scenarios that come with portico")
	fl.BoolVar(&f.show, "show", false, "write the text of the scenario instead of running it")
}

// apply lets the flags say what they have to say about the scenario.
func (f *simFlags) apply(cmd *cobra.Command, sc *sim.Scenario) error {
	if ext := strings.ToLower(filepath.Ext(f.plot)); f.plot != "" && !slices.Contains(plotFormats, ext) {
		return usagef(cmd, "--plot %q: want a file that ends in %s", f.plot, strings.Join(plotFormats, " or "))
	}
	replaced := make(map[string]bool)
	for _, l := range simLines {
		if !cmd.Flags().Changed(l.flag) {
			continue
		}
		var values []string
		for _, v := range *f.lines[l.flag] {
			if len(l.replace) > 0 {
				v = strings.Replace(v, l.replace[0], l.replace[1], 1)
			}
			values = append(values, l.before+v)
		}
		say := sc.Replace
		if replaced[l.word] { // --rate-at and --rtt-at go together
			say = sc.Add
		}
		replaced[l.word] = true
		if err := say(l.word, values...); err != nil {
			return usagef(cmd, "--%s: %w", l.flag, err)
		}
	}
	return f.applyFlows(cmd, sc)
}

// applyFlows is about how many flows there are and what they send.
func (f *simFlags) applyFlows(cmd *cobra.Command, sc *sim.Scenario) error {
	changed := cmd.Flags().Changed
	if changed("flows") || len(sc.Flows) == 0 && len(sc.Web) == 0 {
		n := 1
		if changed("flows") {
			if n = f.flows; n < 1 || n > sim.MaxFlows {
				return usagef(cmd, "--flows %d: want 1 to %d", n, sim.MaxFlows)
			}
		}
		sc.SetFlowCount(n)
	}
	var end time.Duration
	if changed("time") {
		d, err := sim.ParseTime(f.time)
		if err != nil || d == 0 {
			return usagef(cmd, "--time: %q is no time to run for: want one such as 30s", f.time)
		}
		end = d
		sc.SetTime(end)
	}
	if changed("bytes") {
		n, err := sim.ParseSize(f.bytes)
		if err != nil {
			return usagef(cmd, "--bytes: %w", err)
		}
		sc.SetBytes(n)
		sc.Time = end
	}
	if changed("cc") {
		if err := sc.SetCongestion(strings.Split(f.cc, ",")); err != nil {
			return usagef(cmd, "--cc: %w", err)
		}
	}
	return nil
}
