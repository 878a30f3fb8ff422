// Command ratios holds one stack against another in measurements that were made in turn,
// and prints a Markdown table: a row for each path, loss and direction. The ratio is that
// of the two in the same round; the table has its median over the rounds, with the least
// and the greatest, and the medians of both.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// poor is the ratio below which a cell is set in bold.
const poor = 0.8

func main() {
	base := flag.String("base", "kernel", "label of the stack that the other is held against")
	other := flag.String("stack", "portico", "label of the other")
	flag.Parse()
	var all []result.Line
	for _, name := range flag.Args() {
		lines, err := result.Read(name, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, "ratios:", err)
			os.Exit(1)
		}
		all = append(all, lines...)
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "ratios: no measurements")
		os.Exit(1)
	}
	t := newTable(*base, *other, all)
	fmt.Print(t.markdown())
}

// point is a row of the table.
type point struct {
	path string  // "routed", or the round trip as in "20ms"
	loss float64 // percent of what flows in direction
	mode string  // "download" or "upload"
}

func (p point) direction() string {
	if p.mode == "download" {
		return "sending"
	}
	return "receiving"
}

// before orders rows: the shortest round trip first, then by direction, then by loss.
func before(a, b point) int {
	rtt := func(p point) float64 {
		v, _ := strconv.ParseFloat(strings.TrimSuffix(p.path, "ms"), 64)
		return v
	}
	return cmp.Or(cmp.Compare(rtt(a), rtt(b)), cmp.Compare(a.mode, b.mode), cmp.Compare(a.loss, b.loss))
}

// pair are the measurements of a round at one point over some connections.
type pair struct{ base, other *result.Line }

type table struct {
	base, other string
	points      map[point]map[int]map[int]*pair // by connections, by round
	conns       []int
	lines       []result.Line
}

func newTable(base, other string, lines []result.Line) *table {
	t := &table{base: base, other: other, points: map[point]map[int]map[int]*pair{}}
	for _, l := range lines {
		if l.Label == base || l.Label == other {
			t.lines = append(t.lines, l)
		}
	}
	for i := range t.lines {
		t.add(&t.lines[i])
	}
	slices.Sort(t.conns)
	return t
}

func (t *table) add(l *result.Line) {
	_, percent, _ := strings.Cut(l.Loss, ":")
	loss, _ := strconv.ParseFloat(percent, 64)
	p := point{l.Path, loss, l.Mode}
	if t.points[p] == nil {
		t.points[p] = map[int]map[int]*pair{}
	}
	if t.points[p][l.Conns] == nil {
		t.points[p][l.Conns] = map[int]*pair{}
	}
	if !slices.Contains(t.conns, l.Conns) {
		t.conns = append(t.conns, l.Conns)
	}
	rounds := t.points[p][l.Conns]
	if rounds[l.Round] == nil {
		rounds[l.Round] = &pair{}
	}
	if l.Label == t.base {
		rounds[l.Round].base = l
	} else {
		rounds[l.Round].other = l
	}
}

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| path | %s is | loss |", t.other)
	for _, n := range t.conns {
		name := fmt.Sprintf("%d connections", n)
		if n == 1 {
			name = "1 connection"
		}
		fmt.Fprintf(&b, " %s: %s | %s | ratio |", name, t.base, t.other)
	}
	fmt.Fprintf(&b, "\n|---|---|---|%s\n", strings.Repeat("---|---|---|", len(t.conns)))
	for _, p := range slices.SortedFunc(maps.Keys(t.points), before) {
		fmt.Fprintf(&b, "| %s | %s | %v %% |", p.path, p.direction(), p.loss)
		for _, n := range t.conns {
			b.WriteString(cells(t.points[p][n]))
		}
		b.WriteByte('\n')
	}
	b.WriteString(t.senders())
	b.WriteString(result.Notes(t.lines, t.other))
	return b.String()
}

// figures of a point over some connections, by round: rates in Mbit/s, and the ratio.
type figures struct{ base, other, ratio []float64 }

// compare takes the rounds in which both were measured. One in which the base failed says
// nothing; one in which the other failed is a ratio of 0.
func compare(rounds map[int]*pair) (f figures) {
	for _, p := range rounds {
		if p.base == nil || p.other == nil || !p.base.OK() {
			continue
		}
		got := p.other.Gbps
		if !p.other.OK() {
			got = 0
		}
		f.base, f.other = append(f.base, p.base.Gbps*1e3), append(f.other, got*1e3)
		f.ratio = append(f.ratio, got/p.base.Gbps)
	}
	return f
}

// cells are the three of a point over some connections.
func cells(rounds map[int]*pair) string {
	f := compare(rounds)
	if len(f.ratio) == 0 {
		return " - | - | - |"
	}
	r := result.SpreadOf(f.ratio)
	text := r.Text("%.2f", len(f.ratio))
	if r.Median < poor {
		text = "**" + text + "**"
	}
	return fmt.Sprintf(" %s | %s | %s |", mbit(result.SpreadOf(f.base).Median), mbit(result.SpreadOf(f.other).Median), text)
}

// mbit writes a rate with three significant digits.
func mbit(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
