package sim

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"github.com/a644562b/portico/internal/sim/plot"
)

// Figure is the traced run as a figure: windows, round trips, what was delivered, the
// rate, and the queue, over the time. rep is the report of the run.
func (t *Trace) Figure(rep *Report) *plot.Figure {
	f := &plot.Figure{Title: rep.title(), Subtitle: strings.Join(rep.describe(), "; "), From: 0, To: rep.Duration.Seconds()}
	f.Panels = []plot.Panel{t.windows(), t.roundTrips(), t.progress(), t.rates(), t.queuePanel(rep)}
	return f
}

// title names the run.
func (rep *Report) title() string {
	var names []string
	counts := map[string]int{}
	for _, f := range rep.Flows {
		if counts[f.Congestion]++; counts[f.Congestion] == 1 {
			names = append(names, f.Congestion)
		}
	}
	for i, n := range names {
		if counts[n] > 1 {
			names[i] = fmt.Sprintf("%d x %s", counts[n], n)
		}
	}
	if len(names) == 0 {
		names = []string{"short flows"}
	}
	return rep.Scenario + ": " + strings.Join(names, ", ")
}

// flowColor is the color of the i-th flow.
func flowColor(i int) color.RGBA { return plot.Palette[i%len(plot.Palette)] }

// name is what a line of a flow is called in a legend: by what it shows if there is one
// flow, else by the flow.
func (t *Trace) name(i int, what string) string {
	if len(t.flows) == 1 {
		return what
	}
	return fmt.Sprintf("%d %s", t.flows[i].flow.id, congestionName(t.flows[i].flow.spec.Congestion))
}

// only is s where there is one flow, else nothing: the legend has no room.
func (t *Trace) only(s string) string {
	if len(t.flows) == 1 {
		return s
	}
	return ""
}

func (t *Trace) windows() plot.Panel {
	p := plot.Panel{Title: "Congestion window", Units: plot.Bytes, Height: 200}
	if len(t.flows) <= 2 {
		for i, f := range t.flows {
			c := plot.Palette[1]
			if len(t.flows) > 1 {
				c = pale(flowColor(i))
			}
			p.Series = append(p.Series, plot.Series{Name: t.only("in flight"), X: t.times, Y: f.flight, Color: c, Width: 0.9})
		}
	}
	for i, f := range t.flows {
		p.Series = append(p.Series,
			plot.Series{Name: t.only("ssthresh"), X: t.times, Y: f.ssthresh, Color: thresholdColor(t, i), Width: 1, Dash: true, Loose: true},
			plot.Series{Name: t.name(i, "cwnd"), X: t.times, Y: f.cwnd, Color: flowColor(i), Width: 1.6})
	}
	var timeouts, undos plot.Marks
	for _, f := range t.flows {
		timeouts.X, timeouts.Y = append(timeouts.X, f.timeouts.x...), append(timeouts.Y, f.timeouts.y...)
		undos.X, undos.Y = append(undos.X, f.undos.x...), append(undos.Y, f.undos.y...)
	}
	timeouts.Name, timeouts.Color, timeouts.Shape = "timeout", plot.Red, plot.Down
	undos.Name, undos.Color, undos.Shape = "undo", plot.Green, plot.Up
	p.Marks = []plot.Marks{timeouts, undos}
	return p
}

func thresholdColor(t *Trace, i int) color.RGBA {
	if len(t.flows) == 1 {
		return plot.Grey
	}
	return pale(flowColor(i))
}

// pale is c halfway to white.
func pale(c color.RGBA) color.RGBA {
	h := func(v uint8) uint8 { return uint8((int(v) + 255) / 2) }
	return color.RGBA{h(c.R), h(c.G), h(c.B), 0xff}
}

func (t *Trace) roundTrips() plot.Panel {
	p := plot.Panel{Title: "Round trip", Units: plot.Times, Height: 140}
	for i, f := range t.flows {
		x, y := known(t.times, f.path)
		if len(t.flows) > 1 {
			p.Series = append(p.Series, plot.Series{Name: t.name(i, ""), X: x, Y: y, Color: flowColor(i), Width: 1.3})
			continue
		}
		p.Series = append(p.Series, plot.Series{Name: "of the path", X: x, Y: y, Color: pale(plot.Palette[1]), Width: 3})
		x, y = known(t.times, f.measured)
		p.Series = append(p.Series, plot.Series{Name: "as TCP measures it", X: x, Y: y, Color: flowColor(i), Width: 1})
	}
	return p
}

// known leaves out what has no value.
func known(x, y []float64) (kx, ky []float64) {
	for i := range y {
		if !math.IsNaN(y[i]) {
			kx, ky = append(kx, x[i]), append(ky, y[i])
		}
	}
	return kx, ky
}

func (t *Trace) progress() plot.Panel {
	p := plot.Panel{Title: "Delivered, and where packets were lost and sent again", Units: plot.Bytes, Height: 170}
	lost := plot.Marks{Name: "lost", Color: plot.Red}
	needed := plot.Marks{Name: "retransmitted, needed", Color: plot.Green, Shape: plot.Up}
	spurious := plot.Marks{Name: "retransmitted, spurious", Color: plot.Purple, Shape: plot.Down}
	for i, f := range t.flows {
		p.Series = append(p.Series, plot.Series{Name: t.name(i, "delivered"), X: t.times, Y: f.delivered, Color: flowColor(i), Width: 1.6})
		for _, m := range []struct {
			to   *plot.Marks
			from *marks
		}{{&needed, &f.needed}, {&spurious, &f.spurious}, {&lost, &f.lost}} {
			m.to.X, m.to.Y = append(m.to.X, m.from.x...), append(m.to.Y, m.from.y...)
		}
	}
	p.Marks = []plot.Marks{needed, lost, spurious}
	return p
}

// rateBins is how many values the curve of the rates has.
const rateBins = 120

func (t *Trace) rates() plot.Panel {
	p := plot.Panel{Title: "Goodput", Units: plot.Rates, Height: 140}
	bin := max(1, len(t.times)/rateBins)
	for i, f := range t.flows {
		var x, y []float64
		for k := 0; k+bin < len(t.times); k += bin {
			if span := t.times[k+bin] - t.times[k]; span > 0 {
				x = append(x, (t.times[k]+t.times[k+bin])/2)
				y = append(y, (f.delivered[k+bin]-f.delivered[k])*8/span)
			}
		}
		p.Series = append(p.Series, plot.Series{Name: t.name(i, "goodput"), X: x, Y: y, Color: flowColor(i), Width: 1.6})
	}
	if t.run.sc.Path[Down].Rate > 0 {
		p.Series = append(p.Series, plot.Series{Name: "link", X: t.times, Y: t.rate, Color: plot.Grey, Width: 1, Dash: true, Step: true})
	}
	return p
}

func (t *Trace) queuePanel(rep *Report) plot.Panel {
	p := plot.Panel{Title: "Queue", Units: plot.Bytes, Height: 120}
	for w, q := range t.queues {
		used := rep.Path[w].QueueMax > 0 && (w == int(Down) || rep.Path[w].QueueMean > rep.Path[Down].QueueMean/10)
		if !used && w == int(Up) {
			continue
		}
		p.Series = append(p.Series, plot.Series{Name: Way(w).String(), X: t.times, Y: q, Color: plot.Palette[4+w], Width: 1.2, Area: w == int(Down)})
		if n := rep.Path[w].QueueLimitBytes; n > 0 && w == int(Down) {
			ends := []float64{0, rep.Duration.Seconds()}
			p.Series = append(p.Series, plot.Series{Name: "limit", X: ends, Y: []float64{float64(n), float64(n)}, Color: plot.Grey, Width: 1, Dash: true})
		}
	}
	return p
}
