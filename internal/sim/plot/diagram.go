package plot

import (
	"image/color"
	"math"
	"strconv"
)

// diagram is a panel on its place.
type diagram struct {
	figure     *Figure
	panel      *Panel
	canvas     canvas
	x, y, w, h float64
	top        float64 // the value at the upper edge; the lower one is 0
	unit       Unit
}

// headroom is what the axis goes beyond the greatest value.
const headroom = 1.06

func (d *diagram) draw(last bool) {
	d.scale()
	d.axes(last)
	d.head()
	d.canvas.clip(d.x, d.y, d.w, d.h)
	for i := range d.panel.Series {
		d.series(&d.panel.Series[i])
	}
	for _, m := range d.panel.Marks {
		d.canvas.mark(m.Shape, d.thin(d.place(m.X, m.Y)), m.Color)
	}
	d.canvas.unclip()
	d.canvas.line([]point{{d.x, d.y}, {d.x + d.w, d.y}, {d.x + d.w, d.y + d.h}, {d.x, d.y + d.h}, {d.x, d.y}}, stroke{border, 1, false})
}

// scale finds the greatest value and its unit.
func (d *diagram) scale() {
	most := 0.0
	for _, s := range d.panel.Series {
		if s.Loose {
			continue
		}
		most = max(most, greatest(s.Y))
	}
	for _, m := range d.panel.Marks {
		most = max(most, greatest(m.Y))
	}
	if most == 0 {
		most = d.panel.Units[0].Of
	}
	d.unit = unitFor(d.panel.Units, most)
	d.top = most * headroom
}

// greatest is the greatest of the values that are known.
func greatest(ys []float64) float64 {
	most := 0.0
	for _, y := range ys {
		if y > most { // never for NaN
			most = y
		}
	}
	return most
}

// axes draws the grid and the numbers; the time only below the last panel.
func (d *diagram) axes(last bool) {
	c := d.canvas
	at, step := ticks(0, d.top/d.unit.Of, max(2, int(d.h/28)))
	for _, v := range at {
		y := d.py(v * d.unit.Of)
		if v > 0 {
			c.line([]point{{d.x, y}, {d.x + d.w, y}}, stroke{grid, 1, false})
		}
		c.text(d.x-8, y+4, label(v, step), 11, right, faint)
	}
	name, scale := "s", 1.0
	if d.figure.To-d.figure.From < 1 {
		name, scale = "ms", 1e3
	}
	at, step = ticks(d.figure.From*scale, d.figure.To*scale, 12)
	for _, v := range at {
		x := d.px(v / scale)
		c.line([]point{{x, d.y}, {x, d.y + d.h}}, stroke{grid, 1, false})
		if last {
			c.text(x, d.y+d.h+18, label(v, step), 11, middle, faint)
		}
	}
	if last {
		c.text(d.x+d.w/2, d.y+d.h+38, "time in "+name, 12, middle, ink)
	}
}

// label is a number on an axis with as many digits as its step needs.
func label(v, step float64) string {
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// head writes the panel's title and, from the right, the legend.
func (d *diagram) head() {
	c, y := d.canvas, d.y-panelHead
	c.text(d.x, y, d.panel.Title+" ("+d.unit.Name+")", 13, left, ink)
	x := d.x + d.w
	const size, gap, sample = 11, 24, 20
	entry := func(name string, draw func(x float64)) {
		x -= textWidth(name, size)
		c.text(x, y, name, size, left, faint)
		x -= sample + 6
		draw(x)
		x -= gap
	}
	for i := len(d.panel.Marks) - 1; i >= 0; i-- {
		if m := d.panel.Marks[i]; len(m.X) > 0 {
			entry(m.Name, func(x float64) { c.mark(m.Shape, []point{{x + sample/2 + 4, y - 4}}, m.Color) })
		}
	}
	for i := len(d.panel.Series) - 1; i >= 0; i-- {
		if s := d.panel.Series[i]; s.Name != "" {
			entry(s.Name, func(x float64) {
				c.line([]point{{x, y - 4}, {x + sample, y - 4}}, stroke{s.Color, max(s.Width, 1.5), s.Dash})
			})
		}
	}
}

func (d *diagram) px(t float64) float64 {
	return d.x + (t-d.figure.From)/(d.figure.To-d.figure.From)*d.w
}

func (d *diagram) py(v float64) float64 { return d.y + d.h - v/d.top*d.h }

// place is points of data in pixels.
func (d *diagram) place(xs, ys []float64) []point {
	all := make([]point, len(xs))
	for i := range xs {
		all[i] = point{d.px(xs[i]), d.py(ys[i])}
	}
	return all
}

// series draws a line, in pieces where it leaves the panel upwards or has no value (NaN).
func (d *diagram) series(s *Series) {
	var piece []point
	flush := func() {
		if len(piece) > 1 {
			p := decimate(piece)
			if s.Area {
				d.canvas.area(p, d.py(0), mix(s.Color, white, 0.75))
			}
			d.canvas.line(p, stroke{s.Color, s.Width, s.Dash})
		}
		piece = piece[:0]
	}
	for i, p := range d.place(s.X, s.Y) {
		if math.IsNaN(p.y) || s.Loose && s.Y[i] > d.top {
			flush()
			continue
		}
		if n := len(piece); s.Step && n > 0 && piece[n-1].y != p.y {
			piece = append(piece, point{p.x, piece[n-1].y})
		}
		piece = append(piece, p)
	}
	flush()
}

// decimate leaves of the points of each column of pixels the first, the lowest, the
// highest and the last.
func decimate(p []point) []point {
	if len(p) < 2*width {
		return append([]point(nil), p...)
	}
	var out []point
	for i := 0; i < len(p); {
		j, lo, hi := i, i, i
		for ; j < len(p) && math.Floor(p[j].x) == math.Floor(p[i].x); j++ {
			if p[j].y < p[lo].y {
				lo = j
			}
			if p[j].y > p[hi].y {
				hi = j
			}
		}
		last := -1
		for _, k := range []int{i, min(lo, hi), max(lo, hi), j - 1} {
			if k > last {
				out = append(out, p[k])
				last = k
			}
		}
		i = j
	}
	return out
}

// thin leaves out marks that would cover another.
func (d *diagram) thin(p []point) []point {
	type cell struct{ x, y int }
	seen := make(map[cell]bool)
	var out []point
	for _, q := range p {
		c := cell{int(q.x / 2), int(q.y / 2)}
		if !seen[c] {
			seen[c] = true
			out = append(out, q)
		}
	}
	return out
}

// mix is a with the share s of b.
func mix(a, b color.RGBA, s float64) color.RGBA {
	m := func(x, y uint8) uint8 { return uint8(math.Round(float64(x)*(1-s) + float64(y)*s)) }
	return color.RGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 0xff}
}
