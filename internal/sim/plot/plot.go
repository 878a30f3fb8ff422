// Package plot draws figures of stacked panels that share a time axis, as SVG and, from
// the same drawing, as PNG. Lines, areas and marks are all that it knows: the letters of
// the PNG are strokes too (font.go), so that neither a font nor a library is needed.
//
// The same figure gives the same bytes.
package plot

import (
	"image/color"
	"io"
	"math"
)

// Figure is panels one below the other.
type Figure struct {
	Title, Subtitle string
	// From and To are the ends of the time axis in seconds.
	From, To float64
	Panels   []Panel
}

// Panel is one diagram over the time.
type Panel struct {
	Title string
	// Units are what values may be shown in: the largest is taken that leaves the
	// greatest value at 1 or more.
	Units  []Unit
	Series []Series
	Marks  []Marks
	Height float64 // in pixels
}

// Unit is a unit of the vertical axis and how much of the data it is.
type Unit struct {
	Name string
	Of   float64
}

// Units of the common quantities: bytes, bits a second, seconds.
var (
	Bytes = []Unit{{"B", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}}
	Rates = []Unit{{"bit/s", 1}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}}
	Times = []Unit{{"µs", 1e-6}, {"ms", 1e-3}, {"s", 1}}
)

// Series is a line.
type Series struct {
	Name  string // in the legend; "" for none
	X, Y  []float64
	Color color.RGBA
	Width float64
	Dash  bool
	Step  bool // holds a value until the next
	Area  bool // filled down to 0 as well
	// Loose lines do not widen the vertical axis: what leaves the panel is not drawn.
	Loose bool
}

// Shape is that of a mark.
type Shape uint8

const (
	Cross Shape = iota
	Up          // triangle that points up
	Down
)

// Marks are points.
type Marks struct {
	Name  string
	X, Y  []float64
	Color color.RGBA
	Shape Shape
}

// Sizes of a figure in pixels.
const (
	width        = 1200
	marginLeft   = 84
	marginRight  = 28
	marginTop    = 82
	marginBottom = 50
	panelGap     = 42
	panelHead    = 10 // from the head line of a panel to its frame
)

// Colors of everything but the data.
var (
	ink    = color.RGBA{0x22, 0x26, 0x2b, 0xff}
	faint  = color.RGBA{0x6a, 0x70, 0x78, 0xff}
	grid   = color.RGBA{0xe4, 0xe7, 0xeb, 0xff}
	border = color.RGBA{0xb4, 0xba, 0xc2, 0xff}
	white  = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

// Palette are colors for data that are told apart well.
var Palette = []color.RGBA{
	{0x1f, 0x6f, 0xb4, 0xff}, {0xe0, 0x7b, 0x00, 0xff}, {0x2e, 0x93, 0x55, 0xff}, {0x8a, 0x56, 0xb0, 0xff},
	{0x0f, 0xa3, 0xb1, 0xff}, {0xb5, 0x52, 0x3a, 0xff}, {0xd0, 0x5f, 0x9c, 0xff}, {0x7a, 0x85, 0x1c, 0xff},
}

// Colors with a meaning.
var (
	Red    = color.RGBA{0xc6, 0x28, 0x28, 0xff}
	Green  = color.RGBA{0x2e, 0x93, 0x55, 0xff}
	Purple = color.RGBA{0x9c, 0x27, 0xb0, 0xff}
	Grey   = color.RGBA{0x80, 0x86, 0x8e, 0xff}
)

type point struct{ x, y float64 }

// anchor says which part of a text stands at its place.
type anchor uint8

const (
	left anchor = iota
	middle
	right
)

// stroke is how a line is drawn.
type stroke struct {
	color color.RGBA
	width float64
	dash  bool
}

// canvas is what a figure is drawn on.
type canvas interface {
	line(points []point, s stroke)
	// area fills what lies between the points and the level y.
	area(points []point, y float64, c color.RGBA)
	mark(shape Shape, at []point, c color.RGBA)
	text(x, y float64, s string, size float64, a anchor, c color.RGBA)
	// clip limits what is drawn to a rectangle, until unclip.
	clip(x, y, w, h float64)
	unclip()
}

// SVG writes the figure as SVG.
func (f *Figure) SVG(w io.Writer) error {
	s := newSVG(width, f.height())
	f.draw(s)
	return s.write(w)
}

// PNG writes the figure as PNG, at twice the size of the SVG.
func (f *Figure) PNG(w io.Writer) error {
	r := newRaster(width, f.height(), 2)
	f.draw(r)
	return r.write(w)
}

func (f *Figure) height() float64 {
	h := float64(marginTop + marginBottom)
	for _, p := range f.Panels {
		h += p.Height + panelGap
	}
	return h - panelGap + panelHead
}

func (f *Figure) draw(c canvas) {
	c.text(marginLeft, 28, f.Title, 19, left, ink)
	c.text(marginLeft, 47, f.Subtitle, 12, left, faint)
	y := float64(marginTop + panelHead)
	for i := range f.Panels {
		p := &f.Panels[i]
		d := diagram{figure: f, panel: p, canvas: c, x: marginLeft, y: y, w: width - marginLeft - marginRight, h: p.Height}
		d.draw(i == len(f.Panels)-1)
		y += p.Height + panelGap
	}
}

// ticks are round values that cut [from, to] into n parts or a few less.
func ticks(from, to float64, n int) (at []float64, step float64) {
	if !(to > from) {
		return []float64{from}, 1
	}
	raw := (to - from) / float64(n)
	base := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if step = m * base; step >= raw*0.999 {
			break
		}
	}
	for k := math.Ceil(from/step - 1e-9); k*step <= to+step*1e-9; k++ {
		at = append(at, k*step+0) // a zero without a sign
	}
	return at, step
}

// unitFor picks the unit for values up to most.
func unitFor(units []Unit, most float64) Unit {
	best := units[0]
	for _, u := range units {
		if most >= u.Of {
			best = u
		}
	}
	return best
}
