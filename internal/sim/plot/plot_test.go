package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		n        int
		want     []float64
	}{
		{0, 30, 12, []float64{0, 5, 10, 15, 20, 25, 30}},
		{0, 106, 5, []float64{0, 50, 100}},
		{0, 0.9, 4, []float64{0, 0.5}},
		{2, 2, 4, []float64{2}},
	} {
		got, _ := ticks(c.from, c.to, c.n)
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("%v to %v in %d: %v, want %v", c.from, c.to, c.n, got, c.want)
		}
		if len(got) > 0 && math.Signbit(got[0]) {
			t.Errorf("%v to %v begins with a negative zero", c.from, c.to)
		}
	}
}

func TestUnitsAndLabels(t *testing.T) {
	for _, c := range []struct {
		units []Unit
		most  float64
		want  string
	}{{Bytes, 999, "B"}, {Bytes, 1e3, "KB"}, {Bytes, 5e7, "MB"}, {Rates, 2e9, "Gbit/s"}, {Times, 0.04, "ms"}, {Times, 2, "s"}, {Times, 1e-9, "µs"}} {
		if got := unitFor(c.units, c.most).Name; got != c.want {
			t.Errorf("%v in %s, want %s", c.most, got, c.want)
		}
	}
	for _, c := range []struct {
		v, step float64
		want    string
	}{{20, 10, "20"}, {0.5, 0.5, "0.5"}, {1.5, 0.05, "1.50"}, {0, 5, "0"}, {0.3, 0.1, "0.3"}} {
		if got := label(c.v, c.step); got != c.want {
			t.Errorf("%v by %v reads %q, want %q", c.v, c.step, got, c.want)
		}
	}
}

// Every character of ASCII that can be seen, and the few others that are used, has
// strokes of its own.
func TestEveryLetterHasAGlyph(t *testing.T) {
	missing := glyphOf('\x00')
	for ch := rune(' '); ch < 0x7f; ch++ {
		if strings.ContainsRune(";\\`{}", ch) {
			continue // nobody writes them into a figure
		}
		g := glyphOf(ch)
		if ch != ' ' && len(g.paths) == 0 || len(g.paths) == 1 && len(g.paths[0]) == len(missing.paths[0]) && g.width == missing.width && ch != 'D' {
			t.Errorf("%q has no glyph", ch)
		}
	}
	for _, ch := range "µ×·–→" {
		if _, ok := font()[ch]; !ok {
			t.Errorf("%q has no glyph", ch)
		}
	}
	for ch, g := range font() {
		for _, path := range g.paths {
			for _, p := range path {
				if p.x < -1 || p.x > 17 || p.y < -5 || p.y > 16 {
					t.Errorf("%q leaves its place at %v", ch, p)
				}
			}
		}
	}
}

func TestDecimationKeepsTheExtremes(t *testing.T) {
	var p []point
	for i := range 100_000 {
		y := 10.0
		switch i {
		case 33_333:
			y = 500
		case 66_666:
			y = -500
		}
		p = append(p, point{float64(i) / 100, y})
	}
	d := decimate(p)
	if len(d) > 4*1001 || d[0] != p[0] || d[len(d)-1] != p[len(p)-1] ||
		!slices.Contains(d, p[33_333]) || !slices.Contains(d, p[66_666]) {
		t.Errorf("%d of %d points", len(d), len(p))
	}
	if !slices.IsSortedFunc(d, func(a, b point) int { return int(math.Copysign(1, a.x-b.x)) }) {
		t.Error("out of order")
	}
}

func TestDashesHaveTheirLength(t *testing.T) {
	all := dashes([]point{{0, 0}, {10, 0}, {10, 15}}, 6, 4)
	want := [][]point{{{0, 0}, {6, 0}}, {{10, 0}, {10, 6}}, {{10, 10}, {10, 15}}}
	if !slices.EqualFunc(all, want, slices.Equal[[]point]) {
		t.Errorf("%v, want %v", all, want)
	}
}

// A figure with everything in it, values that are missing and text that needs escaping.
func figure() *Figure {
	nan := math.NaN()
	return &Figure{Title: "a < b & \"c\"", Subtitle: "→", From: 0, To: 2, Panels: []Panel{
		{Title: "One", Units: Bytes, Height: 100, Series: []Series{
			{Name: "a", X: []float64{0, 1, 2}, Y: []float64{1e3, nan, 2e3}, Color: Palette[0], Width: 1},
			{Name: "loose", X: []float64{0, 1, 2}, Y: []float64{1, 1e9, 2}, Color: Grey, Width: 1, Loose: true, Dash: true},
		}, Marks: []Marks{{Name: "m", X: []float64{1, 1}, Y: []float64{1e3, 1e3}, Color: Red, Shape: Up}, {Name: "none"}}},
		{Title: "Empty", Units: Times, Height: 60},
		{Title: "Area", Units: Rates, Height: 60, Series: []Series{{X: []float64{0, 2}, Y: []float64{1e6, 3e6}, Color: Green, Width: 2, Area: true, Step: true}}},
	}}
}

func TestFiguresAreWellFormedAndRepeatable(t *testing.T) {
	var a, b, c bytes.Buffer
	for _, err := range []error{figure().SVG(&a), figure().SVG(&b), figure().PNG(&c)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if a.String() != b.String() {
		t.Error("the same figure gives other bytes")
	}
	for _, bad := range []string{"NaN", "Inf", "none<"} {
		if strings.Contains(a.String(), bad) {
			t.Errorf("%q stands in it", bad)
		}
	}
	if !strings.Contains(a.String(), "One (KB)") {
		t.Error("a loose line, or a missing value, has set the scale")
	}
	d := xml.NewDecoder(&a)
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	img, err := png.Decode(&c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := img.Bounds().Dy(), int(2*figure().height()); got != want {
		t.Errorf("%d pixels high, want %d", got, want)
	}
}
