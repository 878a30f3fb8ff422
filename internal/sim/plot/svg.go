package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
	"strconv"
)

// svg is a canvas that writes SVG.
type svg struct {
	b     bytes.Buffer
	clips int
}

func newSVG(w, h float64) *svg {
	s := new(svg)
	fmt.Fprintf(&s.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" font-family="Helvetica, Arial, sans-serif">`+"\n", w, h, w, h)
	fmt.Fprintf(&s.b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	return s
}

func (s *svg) write(w io.Writer) error {
	s.b.WriteString("</svg>\n")
	_, err := w.Write(s.b.Bytes())
	return err
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// num is a coordinate to a hundredth of a pixel.
func num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}

func (s *svg) points(p []point) {
	for i, q := range p {
		if i > 0 {
			s.b.WriteByte(' ')
		}
		s.b.WriteString(num(q.x) + "," + num(q.y))
	}
}

func (s *svg) line(p []point, st stroke) {
	s.b.WriteString(`<polyline fill="none" stroke="` + hex(st.color) + `" stroke-width="` + num(st.width) + `" stroke-linejoin="round"`)
	if st.dash {
		s.b.WriteString(` stroke-dasharray="6 4"`)
	}
	s.b.WriteString(` points="`)
	s.points(p)
	s.b.WriteString("\"/>\n")
}

func (s *svg) area(p []point, y float64, c color.RGBA) {
	s.b.WriteString(`<polygon fill="` + hex(c) + `" points="` + num(p[0].x) + "," + num(y) + " ")
	s.points(p)
	s.b.WriteString(" " + num(p[len(p)-1].x) + "," + num(y) + "\"/>\n")
}

func (s *svg) mark(shape Shape, at []point, c color.RGBA) {
	if len(at) == 0 {
		return
	}
	filled := shape != Cross
	if filled {
		s.b.WriteString(`<path fill="` + hex(c) + `" d="`)
	} else {
		s.b.WriteString(`<path fill="none" stroke="` + hex(c) + `" stroke-width="1.3" d="`)
	}
	for _, p := range at {
		for _, part := range outline(shape, p) {
			for i, q := range part {
				s.b.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + num(q.x) + " " + num(q.y))
			}
			if filled {
				s.b.WriteByte('Z')
			}
		}
	}
	s.b.WriteString("\"/>\n")
}

func (s *svg) text(x, y float64, text string, size float64, a anchor, c color.RGBA) {
	s.b.WriteString(`<text x="` + num(x) + `" y="` + num(y) + `" font-size="` + num(size) + `" fill="` + hex(c) + `"`)
	switch a {
	case middle:
		s.b.WriteString(` text-anchor="middle"`)
	case right:
		s.b.WriteString(` text-anchor="end"`)
	}
	s.b.WriteByte('>')
	_ = xml.EscapeText(&s.b, []byte(text)) // a bytes.Buffer takes everything
	s.b.WriteString("</text>\n")
}

func (s *svg) clip(x, y, w, h float64) {
	s.clips++
	fmt.Fprintf(&s.b, `<clipPath id="c%d"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath>`+"\n", s.clips, num(x), num(y), num(w), num(h))
	fmt.Fprintf(&s.b, `<g clip-path="url(#c%d)">`+"\n", s.clips)
}

func (s *svg) unclip() { s.b.WriteString("</g>\n") }

// markSize is from the middle of a mark to its corners, in pixels.
const markSize = 3.5

// outline is the lines of a mark, or the corners of a filled one.
func outline(shape Shape, p point) [][]point {
	const m = markSize
	switch shape {
	case Up:
		return [][]point{{{p.x - m, p.y + m}, {p.x, p.y - m}, {p.x + m, p.y + m}}}
	case Down:
		return [][]point{{{p.x - m, p.y - m}, {p.x, p.y + m}, {p.x + m, p.y - m}}}
	}
	return [][]point{{{p.x - m, p.y - m}, {p.x + m, p.y + m}}, {{p.x - m, p.y + m}, {p.x + m, p.y - m}}}
}
