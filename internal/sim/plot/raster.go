package plot

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
)

// raster is a canvas that draws pixels. Everything is made of strokes with round ends:
// a pixel is covered by how near it lies to the line.
type raster struct {
	img   *image.RGBA
	scale float64
	// mask is how much of each pixel the shape in hand covers; dirty is where.
	mask  []uint8
	dirty image.Rectangle
	clips image.Rectangle
}

func newRaster(w, h, scale float64) *raster {
	r := &raster{img: image.NewRGBA(image.Rect(0, 0, int(w*scale), int(h*scale))), scale: scale}
	draw.Draw(r.img, r.img.Bounds(), image.NewUniform(white), image.Point{}, draw.Src)
	r.mask = make([]uint8, r.img.Rect.Dx()*r.img.Rect.Dy())
	r.clips = r.img.Rect
	return r
}

func (r *raster) write(w io.Writer) error {
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, r.img)
}

func (r *raster) clip(x, y, w, h float64) {
	s := r.scale
	r.clips = image.Rect(int(x*s), int(y*s), int(math.Ceil((x+w)*s)), int(math.Ceil((y+h)*s))).Intersect(r.img.Rect)
}

func (r *raster) unclip() { r.clips = r.img.Rect }

// cover notes that a pixel is covered by at least c, from 0 to 1.
func (r *raster) cover(x, y int, c float64) {
	i := y*r.img.Rect.Dx() + x
	r.mask[i] = max(r.mask[i], uint8(math.Round(min(c, 1)*255)))
}

// segment covers what lies within half a width of the line from a to b, in pixels.
func (r *raster) segment(a, b point, width float64) {
	half := width / 2
	box := image.Rect(
		int(math.Floor(min(a.x, b.x)-half-1)), int(math.Floor(min(a.y, b.y)-half-1)),
		int(math.Ceil(max(a.x, b.x)+half+1)), int(math.Ceil(max(a.y, b.y)+half+1)),
	).Intersect(r.clips)
	dx, dy := b.x-a.x, b.y-a.y
	length := dx*dx + dy*dy
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			px, py := float64(x)+0.5-a.x, float64(y)+0.5-a.y
			t := 0.0
			if length > 0 {
				t = min(max((px*dx+py*dy)/length, 0), 1)
			}
			if c := half + 0.5 - math.Hypot(px-t*dx, py-t*dy); c > 0 {
				r.cover(x, y, c)
			}
		}
	}
	r.dirty = r.dirty.Union(box)
}

// paint puts color where the mask is, and empties it.
func (r *raster) paint(c color.RGBA) {
	for y := r.dirty.Min.Y; y < r.dirty.Max.Y; y++ {
		for x := r.dirty.Min.X; x < r.dirty.Max.X; x++ {
			i := y*r.img.Rect.Dx() + x
			m := int(r.mask[i])
			if m == 0 {
				continue
			}
			r.mask[i] = 0
			p := r.img.Pix[4*i : 4*i+3]
			for k, v := range [3]uint8{c.R, c.G, c.B} {
				p[k] = uint8((int(p[k])*(255-m) + int(v)*m + 127) / 255)
			}
		}
	}
	r.dirty = image.Rectangle{}
}

// scaled is points in pixels.
func (r *raster) scaled(p []point) []point {
	out := make([]point, len(p))
	for i, q := range p {
		out[i] = point{q.x * r.scale, q.y * r.scale}
	}
	return out
}

func (r *raster) line(p []point, s stroke) {
	p = r.scaled(p)
	if s.dash {
		for _, d := range dashes(p, 6*r.scale, 4*r.scale) {
			r.polyline(d, s.width*r.scale)
		}
	} else {
		r.polyline(p, s.width*r.scale)
	}
	r.paint(s.color)
}

func (r *raster) polyline(p []point, width float64) {
	for i := 1; i < len(p); i++ {
		r.segment(p[i-1], p[i], width)
	}
}

// dashes cuts a line into dashes of length on, off apart.
func dashes(p []point, on, off float64) [][]point {
	var all [][]point
	var cur []point
	left, drawing := on, true
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		for {
			d := math.Hypot(b.x-a.x, b.y-a.y)
			if drawing && len(cur) == 0 {
				cur = append(cur, a)
			}
			if d <= left {
				left -= d
				if drawing {
					cur = append(cur, b)
				}
				break
			}
			a = point{a.x + (b.x-a.x)*left/d, a.y + (b.y-a.y)*left/d}
			if drawing {
				all = append(all, append(cur, a))
				cur = nil
				left = off
			} else {
				left = on
			}
			drawing = !drawing
		}
	}
	if len(cur) > 1 {
		all = append(all, cur)
	}
	return all
}

func (r *raster) area(p []point, level float64, c color.RGBA) {
	p = r.scaled(p)
	floor := level * r.scale
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		for x := max(int(a.x), r.clips.Min.X); x < min(int(math.Ceil(b.x)), r.clips.Max.X); x++ {
			t := 0.0
			if b.x > a.x {
				t = min(max((float64(x)+0.5-a.x)/(b.x-a.x), 0), 1)
			}
			top := a.y + t*(b.y-a.y)
			for y := max(int(top), r.clips.Min.Y); y < min(int(floor), r.clips.Max.Y); y++ {
				r.cover(x, y, float64(y+1)-top)
			}
		}
	}
	r.dirty = r.clips
	r.paint(c)
}

func (r *raster) mark(shape Shape, at []point, c color.RGBA) {
	for _, p := range at {
		for _, part := range outline(shape, p) {
			part = r.scaled(part)
			if shape == Cross {
				r.polyline(part, 1.3*r.scale)
				continue
			}
			r.triangle(part)
		}
	}
	r.paint(c)
}

// triangle fills a triangle.
func (r *raster) triangle(p []point) {
	box := image.Rect(
		int(min(p[0].x, p[1].x, p[2].x)), int(min(p[0].y, p[1].y, p[2].y)),
		int(max(p[0].x, p[1].x, p[2].x))+2, int(max(p[0].y, p[1].y, p[2].y))+2,
	).Intersect(r.clips)
	turn := math.Copysign(1, (p[1].x-p[0].x)*(p[2].y-p[0].y)-(p[1].y-p[0].y)*(p[2].x-p[0].x))
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := 1.0
			for i, a := range p {
				b := p[(i+1)%3]
				side := ((b.x-a.x)*(float64(y)+0.5-a.y) - (b.y-a.y)*(float64(x)+0.5-a.x)) * turn
				c = min(c, side/math.Hypot(b.x-a.x, b.y-a.y)+0.5)
			}
			if c > 0 {
				r.cover(x, y, c)
			}
		}
	}
	r.dirty = r.dirty.Union(box)
}

func (r *raster) text(x, y float64, s string, size float64, a anchor, c color.RGBA) {
	switch a {
	case middle:
		x -= textWidth(s, size) / 2
	case right:
		x -= textWidth(s, size)
	}
	unit := size * capHeight / glyphCap * r.scale
	x, y = x*r.scale, y*r.scale
	for _, ch := range s {
		g := glyphOf(ch)
		for _, path := range g.paths {
			p := make([]point, len(path))
			for i, q := range path {
				p[i] = point{x + q.x*unit, y - q.y*unit}
			}
			r.polyline(p, max(size*0.092, 1.05)*r.scale)
		}
		x += (g.width + glyphGap) * unit
	}
	r.paint(c)
}
