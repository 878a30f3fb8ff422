package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/result"
	"github.com/a644562b/portico/scripts/peers/internal/sample"
)

// senders is a table of what the senders showed at the points whose ratio is poor: the
// rate of a connection is what it has in flight by its round trip, so this says which of
// the two it is that differs, and whether the cores were all busy.
func (t *table) senders() string {
	var rows strings.Builder
	for _, p := range slices.SortedFunc(maps.Keys(t.points), before) {
		for _, n := range t.conns {
			rounds := t.points[p][n]
			if c := compare(rounds); len(c.ratio) == 0 || result.SpreadOf(c.ratio).Median >= poor {
				continue
			}
			base, other := t.sender(rounds, t.base), t.sender(rounds, t.other)
			if base != "" && other != "" {
				fmt.Fprintf(&rows, "| %s | %s | %v %% | %d |%s%s\n", p.path, p.direction(), p.loss, n, base, other)
			}
		}
	}
	if rows.Len() == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n| path | %s is | loss | connections |", t.other)
	for _, name := range []string{t.base, t.other} {
		fmt.Fprintf(&b, " %s: window | in flight | round trip | cores |", name)
	}
	fmt.Fprintf(&b, "\n|---|---|---|---|%s\n", strings.Repeat("---|---|---|---|", 2))
	return b.String() + rows.String()
}

// sender are the four cells of a stack: medians over the rounds of the means of each.
func (t *table) sender(rounds map[int]*pair, label string) string {
	var window, flight, rtt, cores []float64
	for _, p := range rounds {
		l := p.base
		if label == t.other {
			l = p.other
		}
		if l == nil || !l.OK() || l.Seconds <= 0 {
			continue
		}
		mean, ok := sample.Mean(l.Extra)
		if !ok {
			continue
		}
		window, flight = append(window, mean.Window), append(flight, mean.Flight)
		rtt, cores = append(rtt, float64(mean.RTT)/float64(time.Millisecond)), append(cores, l.MachCPU/l.Seconds)
	}
	if len(window) == 0 {
		return ""
	}
	mid := func(v []float64) float64 { return result.SpreadOf(v).Median }
	return fmt.Sprintf(" %.0f | %.0f | %.2f ms | %.2f |", mid(window), mid(flight), mid(rtt), mid(cores))
}
