// Command summary reads measurements and prints a Markdown table of medians with
// minimum and maximum: a row for each test and figure, a column for each label.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// cells are the measurements by test and label, with the order in which they came.
type cells struct {
	labels, tests []string
	lines         map[[2]string][]result.Line
	dropped       map[[2]string]int // noisy ones left out; negative: all are noisy, and kept
}

func main() {
	skip := flag.Int("skip", 0, "lines to skip in each file")
	noise := flag.Float64("noise", result.Noisy, "share of the cores used by others from which a measurement is left out")
	flag.Parse()
	c := cells{lines: map[[2]string][]result.Line{}, dropped: map[[2]string]int{}}
	for _, name := range flag.Args() {
		lines, err := result.Read(name, *skip)
		if err != nil {
			fmt.Fprintln(os.Stderr, "summary:", err)
			os.Exit(1)
		}
		for _, l := range lines {
			c.add(l)
		}
	}
	c.leaveOut(*noise)
	c.print()
}

func (c *cells) add(l result.Line) {
	test := fmt.Sprintf("%s:%d", l.Mode, l.Conns)
	if !slices.Contains(c.labels, l.Label) {
		c.labels = append(c.labels, l.Label)
	}
	if !slices.Contains(c.tests, test) {
		c.tests = append(c.tests, test)
	}
	key := [2]string{test, l.Label}
	c.lines[key] = append(c.lines[key], l)
}

// leaveOut drops measurements during which other work used the cores, where a quiet one
// of the same cell exists.
func (c *cells) leaveOut(noise float64) {
	for key, all := range c.lines {
		var calm []result.Line
		for _, l := range all {
			if l.Foreign < noise {
				calm = append(calm, l)
			}
		}
		c.dropped[key] = len(all) - len(calm)
		if len(calm) > 0 {
			c.lines[key] = calm
		} else {
			c.dropped[key] = -len(all)
		}
	}
}

// figure is a row of a test: what it shows, whether a measurement has it, and how it is
// written.
type figure struct {
	name, format string
	get          func(*result.Line) float64
	has          func(*result.Line) bool // nil: all have
}

func extra(name string) figure {
	value := func(l *result.Line) float64 { v, _ := l.Extra[name].(float64); return v }
	return figure{"peer " + name, "%.0f", value, func(l *result.Line) bool { return value(l) != 0 }}
}

var (
	bulk = []figure{
		{"Gbit/s", "%.2f", func(l *result.Line) float64 { return l.Gbps }, nil},
		{"peer CPU s/GB", "%.2f", func(l *result.Line) float64 { return l.PeerPerGB }, nil},
		{"machine CPU s/GB", "%.2f", func(l *result.Line) float64 { return l.MachPerGB }, nil},
		extra("retransmits"), extra("timeouts"),
	}
	trips = []figure{
		{"1/s", "%.0f", func(l *result.Line) float64 { return l.Rate }, nil},
		{"p50 µs", "%.0f", func(l *result.Line) float64 { return l.P50 }, nil},
		{"p99 µs", "%.0f", func(l *result.Line) float64 { return l.P99 }, nil},
		{"p99.9 µs", "%.0f", func(l *result.Line) float64 { return l.P999 }, nil},
		{"peer CPU µs/op", "%.1f", func(l *result.Line) float64 { return l.PeerUsOp }, nil},
		{"machine CPU µs/op", "%.1f", func(l *result.Line) float64 { return l.MachUsOp }, nil},
	}
	writes = []figure{
		{"1/s", "%.0f", func(l *result.Line) float64 { return l.Rate }, nil},
		{"peer CPU µs/op", "%.2f", func(l *result.Line) float64 { return l.PeerUsOp }, nil},
		{"machine CPU µs/op", "%.2f", func(l *result.Line) float64 { return l.MachUsOp }, nil},
	}
	held = []figure{
		{"peer RSS B/conn", "%.0f", func(l *result.Line) float64 { return l.RSSConn }, nil},
		{"after GC B/conn", "%.0f", func(l *result.Line) float64 { return l.RSSGCConn }, nil},
		{"machine B/conn", "%.0f", func(l *result.Line) float64 { return l.MemConn }, nil},
		{"opened/s", "%.0f", func(l *result.Line) float64 { return float64(l.Ops) / l.Seconds }, nil},
	}
	figures = map[string][]figure{
		"upload": bulk, "download": bulk, "small": writes, "rr": trips, "crr": trips, "http": trips, "idle": held,
		"verify": {{"seconds", "%.1f", func(l *result.Line) float64 { return l.Seconds }, nil}},
	}
	always = []figure{
		{"packets dropped on the way", "%.0f", func(l *result.Line) float64 { return float64(l.Dropped()) },
			func(l *result.Line) bool { return l.Dropped() > 0 }},
		{"**FAILED**, errors", "%.0f", func(l *result.Line) float64 { return float64(l.Errors) },
			func(l *result.Line) bool { return !l.OK() }},
	}
)

func (c *cells) print() {
	fmt.Printf("| test | %s |\n|---|%s\n", strings.Join(c.labels, " | "), strings.Repeat("---|", len(c.labels)))
	for _, test := range c.tests {
		mode, _, _ := strings.Cut(test, ":")
		for _, f := range slices.Concat(figures[mode], always) {
			c.row(test, f)
		}
		c.runs(test)
	}
}

// row prints a figure, if any measurement has it.
func (c *cells) row(test string, f figure) {
	row := make([]string, len(c.labels))
	any := false
	for i, label := range c.labels {
		var v []float64
		for _, l := range c.lines[[2]string{test, label}] {
			if f.has == nil || f.has(&l) {
				v = append(v, f.get(&l))
			}
		}
		row[i] = "-"
		if len(v) > 0 {
			any = true
			row[i] = result.SpreadOf(v).Text(f.format, len(v))
		}
	}
	if any {
		fmt.Printf("| %s %s | %s |\n", test, f.name, strings.Join(row, " | "))
	}
}

// runs prints how many measurements there are, where noisy ones were left out.
func (c *cells) runs(test string) {
	row := make([]string, len(c.labels))
	cut := false
	for i, label := range c.labels {
		key := [2]string{test, label}
		row[i] = fmt.Sprint(len(c.lines[key]))
		switch d := c.dropped[key]; {
		case d > 0:
			cut = true
			row[i] += fmt.Sprintf(" (%d noisy left out)", d)
		case d < 0:
			cut = true
			row[i] = fmt.Sprintf("%d, all noisy", -d)
		}
	}
	if cut {
		fmt.Printf("| %s runs | %s |\n", test, strings.Join(row, " | "))
	}
}
