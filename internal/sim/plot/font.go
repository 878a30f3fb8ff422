package plot

import (
	"strings"
	"sync"
)

// The letters of the raster are strokes on a grid: a glyph is lines, separated by spaces,
// and a line pairs of digits in base 36, x and y of a point. A line that begins with ~ is
// a smooth curve through its points. The baseline lies at y=4, small letters reach 14,
// capitals 18, descenders 0.
const glyphs = `
0 ~5i1g0b1654 ~5496ab9g5i
1 1f5i54
2 ~0e1h5i8h9e8b 8b04a4
3 ~0g3i7i9g9d7b4b ~4b8ba8a67434 ~743406
4 747i08a8
5 9i1i0c ~0c3d6d9ca895643406
6 ~9g6i3h1e09154474 ~4474a6a98c5c2b09
7 0iai44
8 ~5i2h1f2c5b ~5b8c9f8h5i ~5b1a072554 ~5485a79a5b
9 ~1644 ~447598ad9h6i ~6i3i0g0d2a5a8bad
a ~8c5e2d092554 ~5486 8e84
b 0i04 ~0c3e6e9b976434 ~643406
c ~9c6e3e0b073464 ~346496
d 9i94 ~9c6e3e0b073464 ~346496
e 0999 ~999b7e4e1c09164474 ~447496
f ~7i5i3f 3f34 0e6e
g 9e93 ~93815021 ~9c6e3e0b073464 ~346496
h 0i04 ~0b3e6e8b 8b84
i 0e04 0h0i
j 3e32 ~322000 3h3i
k 0i04 7e08 2a84
l 0i04
m 0e04 ~0b2e4e6b 6b64 ~6b8eaecb cbc4
n 0e04 ~0b3e6e8b 8b84
o ~5e2d092554 ~5485a98d5e
p 0e00 ~0c3e6e9b976434 ~643406
q 9e90 ~9c6e3e0b073464 ~346496
r 0e04 ~0a2d5e
s ~8c5e2e0c2a6887 ~68876424 ~642406
t 3i36 ~364475 0e7e
u 0e08 ~08254487 8e84
v 0e448e
w 0e346e94ce
x 0e84 048e
y 0e44 8e4420 ~442000
z 0e8e0484
A 046ic4 29a9
B 040i6i ~6i9haf9d6b 0b6b ~6baab7a574 7404
C ~bf9h6i3h1f0b173564 ~6495b7
D 040i5i ~5i9gbb9654 5404
E 9i0i0494 0b8b
F 9i0i04 0b8b
G ~bf9h6i3h1f0b173564 ~6495b7 b7ba7a
H 040i a4ai 0bab
I 040i
J 7i78 ~78643407
K 040i ai09 3cb4
L 0i0494
M 040i67cic4
N 040ia4ai
O ~6i2g0b2664 ~64a6cbag6i
P 040i6i ~6i9hae9b6a 6a0a
Q ~6i2g0b2664 ~64a6cbag6i 88c3
R 040i6i ~6i9hae9b6a 6a0a 5ab4
S ~ag6i2h1e4c8aa774 ~743406
T 0iai 5i54
U 0i08 ~08255485a8 a8ai
V 0i54ai
W 0i448ic4gi
X 0ia4 04ai
Y 0i5bai 5b54
Z 0iai04a4
. 0405
, 1502
: 0405 0c0d
; 1502 1c1d
- 0a7a
– 0aaa
+ 0aaa 555f
= 0888 0c8c
/ 038i
( ~3i0d0832
) ~0i3d3802
[ 3i0i0232
] 0i3i3202
% 04ai ~2i0g2e ~2e4g2i ~886684 ~84a688
_ 0282
· 0a0b
× 058d 0d85
µ 0e00 ~08254487 8e84
' 0i0e
" 0i0e 3i3e
! 0i09 0405
? ~0f3i7g7d4b48 4445
< 8e0986
> 0e8906
# 244i 749i 09b9 0dbd
→ 0aca 8e ca86
@ ~a77787 ~6i2g0b2664
* 5d5i 1e9h 1h9e
& ~b44c6i8f0836a8
~ ~0a2c5a7889
^ 0d3i6d
| 020i
$ ~ag6i2h1e4c8aa774 ~743406 6j63
`

// The grid's capital height, and the part of the font's size that it stands for; the gap
// between letters and the width of a space, in units of the grid.
const (
	glyphBase = 4
	glyphCap  = 14
	capHeight = 0.72
	glyphGap  = 4.2
	spaceWide = 3.5
)

// glyph is the strokes of a letter, from its left edge and the baseline up.
type glyph struct {
	width float64
	paths [][]point
}

var font = sync.OnceValue(func() map[rune]glyph {
	all := map[rune]glyph{' ': {width: spaceWide}}
	for line := range strings.SplitSeq(strings.TrimSpace(glyphs), "\n") {
		words := strings.Fields(line)
		var g glyph
		for _, w := range words[1:] {
			g.paths = append(g.paths, parseStroke(w))
		}
		for _, path := range g.paths {
			for _, p := range path {
				g.width = max(g.width, p.x)
			}
		}
		all[[]rune(words[0])[0]] = g
	}
	return all
})

// glyphOf is the letter for ch, a box for what there is none for.
func glyphOf(ch rune) glyph {
	if g, ok := font()[ch]; ok {
		return g
	}
	return glyph{width: 8, paths: [][]point{{{0, 0}, {8, 0}, {8, 14}, {0, 14}, {0, 0}}}}
}

func parseStroke(w string) []point {
	w, smooth := strings.CutPrefix(w, "~")
	var p []point
	for i := 0; i+1 < len(w); i += 2 {
		p = append(p, point{digit(w[i]), digit(w[i+1]) - glyphBase})
	}
	if smooth {
		return curve(p)
	}
	return p
}

func digit(c byte) float64 {
	if c >= 'a' {
		return float64(c-'a') + 10
	}
	return float64(c - '0')
}

// curve is the points of a Catmull-Rom spline through p.
func curve(p []point) []point {
	const steps = 8
	at := func(i int) point { return p[min(max(i, 0), len(p)-1)] }
	out := []point{p[0]}
	for i := 0; i+1 < len(p); i++ {
		a, b, c, d := at(i-1), at(i), at(i+1), at(i+2)
		for s := 1; s <= steps; s++ {
			t := float64(s) / steps
			f := func(a, b, c, d float64) float64 {
				return 0.5 * (2*b + (c-a)*t + (2*a-5*b+4*c-d)*t*t + (3*b-a-3*c+d)*t*t*t)
			}
			out = append(out, point{f(a.x, b.x, c.x, d.x), f(a.y, b.y, c.y, d.y)})
		}
	}
	return out
}

// textWidth is how wide a text is in pixels. It is that of the raster's letters; an SVG
// shows others of about the same width.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, ch := range s {
		w += glyphOf(ch).width + glyphGap
	}
	return w * size * capHeight / glyphCap
}
