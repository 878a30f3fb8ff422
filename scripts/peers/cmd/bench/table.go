package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// verdict is what becomes of a target.
type verdict uint8

const (
	unjudged  verdict = iota
	met               // by the median
	missed            // by the median, but not by more than the noise
	missedFar         // by more than the noise
)

func (v verdict) String() string { return [...]string{"", "✓", "✗", "✗"}[v] }

// cell is a figure of ours beside another stack's.
type cell struct {
	figure *figure
	other  string
	theirs []float64 // absolute, a round each
	ratios []float64 // ours to theirs in the same round
	target float64   // 0: none
	noise  float64   // set by judge
	verdict
}

// table are all cells of the measurements.
type table struct {
	labels  []string // of the others
	rounds  int
	figures []figure
	lines   []result.Line
	by      map[string]map[string]map[int]*result.Line // point, label, round
}

// pointOf is the name that the test of a line has in groups.
func pointOf(l *result.Line) string {
	test := fmt.Sprintf("%s:%d", l.Mode, l.Conns)
	if _, percent, ok := strings.Cut(l.Loss, ":"); ok {
		return "loss" + percent + "/" + test
	}
	return test
}

func newTable(lines []result.Line) *table {
	t := &table{lines: lines, by: map[string]map[string]map[int]*result.Line{}}
	for i := range lines {
		l := &lines[i]
		p := pointOf(l)
		if t.by[p] == nil {
			t.by[p] = map[string]map[int]*result.Line{}
		}
		if t.by[p][l.Label] == nil {
			t.by[p][l.Label] = map[int]*result.Line{}
		}
		t.by[p][l.Label][l.Round] = l
		t.rounds = max(t.rounds, l.Round)
	}
	for _, p := range peers(nil) {
		measured := slices.ContainsFunc(lines, func(l result.Line) bool { return l.Label == p.label })
		if p.label != ours && measured {
			t.labels = append(t.labels, p.label)
		}
	}
	for _, f := range figures() {
		if t.by[f.test] != nil {
			t.figures = append(t.figures, f)
		}
	}
	return t
}

// values are the figure's of one stack, without rounds that failed.
func (t *table) values(f *figure, label string) (v []float64) {
	for _, l := range t.by[f.test][label] {
		if l.OK() {
			v = append(v, f.value(l))
		}
	}
	return v
}

// cell holds a figure of ours against another's, round by round. A round in which theirs failed
// says nothing; one in which ours did is the worst there is.
func (t *table) cell(f *figure, other string) *cell {
	c := &cell{figure: f, other: other, target: f.target[other], theirs: t.values(f, other)}
	if f.none {
		return c
	}
	for round, theirs := range t.by[f.test][other] {
		own := t.by[f.test][ours][round]
		if own == nil || !theirs.OK() || f.value(theirs) == 0 {
			continue
		}
		ratio := f.value(own) / f.value(theirs)
		switch {
		case own.OK():
		case f.less:
			ratio = math.Inf(1)
		default:
			ratio = 0
		}
		c.ratios = append(c.ratios, ratio)
	}
	return c
}

// cells are those of all figures and stacks that have a ratio, judged.
func (t *table) cells() (all []*cell) {
	for i := range t.figures {
		for _, label := range t.labels {
			if c := t.cell(&t.figures[i], label); len(c.ratios) > 0 {
				all = append(all, c)
			}
		}
	}
	judge(all)
	return all
}

// judge decides about the targets. The noise of a ratio is half of the range that it had in this
// run relative to its median, but no less than that of the cell in the middle: over few
// rounds a range may be small by chance.
func judge(all []*cell) {
	var ranges []float64
	for _, c := range all {
		s := result.SpreadOf(c.ratios)
		if c.noise = (s.Max - s.Min) / 2 / s.Median; math.IsNaN(c.noise) || math.IsInf(c.noise, 0) {
			c.noise = 0
		}
		ranges = append(ranges, c.noise)
	}
	if len(ranges) == 0 {
		return
	}
	floor := result.SpreadOf(ranges).Median
	for _, c := range all {
		c.noise = max(c.noise, floor)
		c.verdict = c.judge(result.SpreadOf(c.ratios).Median)
	}
}

func (c *cell) judge(median float64) verdict {
	switch {
	case c.target == 0:
		return unjudged
	case c.figure.less && median <= c.target, !c.figure.less && median >= c.target:
		return met
	case c.figure.less && median*(1-c.noise) > c.target, !c.figure.less && median*(1+c.noise) < c.target:
		return missedFar
	}
	return missed
}

// text is the ratio as it stands in the table, with the target.
func (c *cell) text() string {
	out := result.SpreadOf(c.ratios).Text("%.2f", len(c.ratios))
	if c.target == 0 {
		return out
	}
	sign := "≥"
	if c.figure.less {
		sign = "≤"
	}
	out += fmt.Sprintf(", %s %v %s", sign, c.target, c.verdict)
	if c.verdict != met {
		out = "**" + out + "**"
	}
	return out
}

// markdown is the table with what a reader must know of the measurements.
func (t *table) markdown() string {
	cells := map[[2]string]*cell{}
	all := t.cells()
	for _, c := range all {
		cells[[2]string{c.figure.name, c.other}] = c
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| work | %s |", ours)
	for _, label := range t.labels {
		fmt.Fprintf(&b, " %s | ratio, target |", label)
	}
	fmt.Fprintf(&b, "\n|---|---|%s\n", strings.Repeat("---|---|", len(t.labels)))
	for i := range t.figures {
		f := &t.figures[i]
		fmt.Fprintf(&b, "| %s | %s |", f.name, t.own(f))
		for _, label := range t.labels {
			ratio := "-"
			if c := cells[[2]string{f.name, label}]; c != nil {
				ratio = c.text()
			}
			fmt.Fprintf(&b, " %s | %s |", t.absolute(f, label), ratio)
		}
		b.WriteByte('\n')
	}
	b.WriteString(t.summary(all))
	b.WriteString(t.checked())
	b.WriteString(result.Notes(t.lines, ours))
	return b.String()
}

// own is ours, with the target of a figure that has to be zero.
func (t *table) own(f *figure) string {
	text := t.absolute(f, ours)
	if !f.none {
		return text
	}
	v := t.values(f, ours)
	if len(v) == 0 {
		return text
	}
	text = result.SpreadOf(v).Text(f.format, len(v)) + ", = 0 " + t.zero(f).String()
	if t.zero(f) != met {
		text = "**" + text + "**"
	}
	return text
}

// zero is the verdict of a figure that has to be zero.
func (t *table) zero(f *figure) verdict {
	v := t.values(f, ours)
	if len(v) == 0 {
		return unjudged
	}
	switch s := result.SpreadOf(v); {
	case s.Median == 0:
		return met
	case s.Min == 0:
		return missed
	}
	return missedFar
}

// absolute is the median of one stack.
func (t *table) absolute(f *figure, label string) string {
	switch v := t.values(f, label); {
	case len(v) > 0:
		return fmt.Sprintf(f.format, result.SpreadOf(v).Median)
	case len(t.by[f.test][label]) > 0:
		return "failed"
	}
	return "-"
}

// summary counts the targets.
func (t *table) summary(all []*cell) string {
	var n, reached int
	count := func(v verdict) {
		if v != unjudged {
			n++
		}
		if v == met {
			reached++
		}
	}
	for _, c := range all {
		count(c.verdict)
	}
	for i := range t.figures {
		if t.figures[i].none {
			count(t.zero(&t.figures[i]))
		}
	}
	return fmt.Sprintf("\nOf %d targets %d are met (✓).\n", n, reached)
}

// checked says whose answers were right to the byte.
func (t *table) checked() string {
	var right, wrong []string
	for _, p := range peers(nil) {
		for _, l := range t.by[verified][p.label] {
			if l.OK() {
				right = append(right, p.label)
			} else {
				wrong = append(wrong, p.label+" failed ("+l.ErrSample+")")
			}
		}
	}
	if len(right)+len(wrong) == 0 {
		return ""
	}
	out := "\n16 MiB both ways at once on 4 connections, with every byte compared: right at " + strings.Join(right, ", ")
	if len(wrong) > 0 {
		out += "; " + strings.Join(wrong, ", ")
	}
	return out + ".\n"
}

// far are the targets that are missed by more than the noise, a line each.
func (t *table) far() (out []string) {
	for _, c := range t.cells() {
		if c.verdict == missedFar {
			out = append(out, fmt.Sprintf("%s beside %s: %s; the noise is %.0f %%", c.figure.name, c.other, strings.Trim(c.text(), "*"), c.noise*100))
		}
	}
	for i := range t.figures {
		if f := &t.figures[i]; f.none && t.zero(f) == missedFar {
			out = append(out, f.name+": "+strings.Trim(t.own(f), "*"))
		}
	}
	return out
}
